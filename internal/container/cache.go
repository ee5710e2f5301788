package container

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
	"unique"

	"google.golang.org/grpc/grpclog"

	"github.com/oomtrace/oomtrace/internal/cgroup"
)

// Quiet keeps the gRPC library from writing to stderr on its own; what it has to
// say comes as errors. It is for the whole process: call it first of all.
func Quiet() {
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
}

// Options are the settings of a Cache. The zero value works: the usual sockets
// and files of this machine.
type Options struct {
	// Sockets are asked besides those found by themselves, as a path or as
	// "unix:///path". Names with "docker.sock" or "podman" speak Docker's API,
	// "pods-api.sock" is kubelet's, all others are CRI.
	Sockets []string
	// Root is the directory that holds the machine's /run, /var and /proc;
	// empty means "/".
	Root string
	// Interval is how often everything is listed; zero means 30 s.
	Interval time.Duration
	// Keep is how long containers stay known after they are gone; zero means
	// 10 min.
	Keep time.Duration
	// Timeout bounds one call of a runtime; zero means 5 s.
	Timeout time.Duration
	// Max bounds how many containers are kept, sandboxes of pods included;
	// zero means 24576. Pods have the same bound of their own.
	Max int
	// Warn is told once when a source fails, and again only if it had
	// recovered. It is called from several goroutines.
	Warn func(string)
}

func (o *Options) defaults() {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Interval <= 0 {
		o.Interval = 30 * time.Second
	}
	if o.Keep <= 0 {
		o.Keep = 10 * time.Minute
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Max <= 0 {
		o.Max = 24576
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
}

// Cache knows containers and pods, and keeps learning until it is closed.
type Cache struct {
	opts   Options
	cancel context.CancelFunc
	ctx    context.Context
	wg     sync.WaitGroup
	again  chan struct{} // look for sockets now

	mu      sync.RWMutex // never held while anybody is asked
	entries map[string]*entry
	pods    map[string]*podEntry
	waiters map[string]*waiter
	sources []*source
	kubelet kubelet
}

// entry is one container. It belongs to the source that knows it best.
type entry struct {
	info     Info
	src      *source
	gen      uint64    // the source's list that had it last
	gone     time.Time // when a list did not have it any more
	detailed bool      // all that the source can tell is in
}

type podEntry struct {
	info *PodInfo
	src  *source
	gen  uint64
	gone time.Time
}

type waiter struct {
	known chan struct{}
	n     int
}

// Open starts to learn; it does not wait for any runtime. Close, or the end of
// the context, stops it.
func Open(ctx context.Context, opts Options) *Cache {
	opts.defaults()
	c := &Cache{
		opts: opts, again: make(chan struct{}, 1),
		entries: map[string]*entry{}, pods: map[string]*podEntry{}, waiters: map[string]*waiter{},
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.readKubelet()
	c.discover()
	c.wg.Add(1)
	go c.supervise()
	return c
}

// Close stops asking and gives everything back. What is known stays readable.
func (c *Cache) Close() error {
	c.cancel()
	c.wg.Wait()
	return nil
}

// Ready returns once every source found so far has been listed or has failed,
// or the context ends.
func (c *Cache) Ready(ctx context.Context) {
	c.mu.RLock()
	sources := c.sources
	c.mu.RUnlock()
	for _, s := range sources {
		select {
		case <-s.first:
		case <-ctx.Done():
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// againPause is the least time between two looks for new sockets.
const againPause = 500 * time.Millisecond

// supervise looks for new sockets, reads kubelet's files and forgets what is
// long gone.
func (c *Cache) supervise() {
	defer c.wg.Done()
	tick := time.NewTicker(c.opts.Interval)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		case <-c.again:
			// Many containers may start at once.
			select {
			case <-c.ctx.Done():
				return
			case <-time.After(againPause):
			}
		}
		c.readKubelet()
		c.discover()
		c.forget(time.Now())
	}
}

// Lookup returns what is known of a container or of a pod's sandbox. It does not
// allocate and waits for nothing but a map.
func (c *Cache) Lookup(id string) (Info, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.entries[id]
	if e == nil {
		return Info{}, false
	}
	return e.info, true
}

// Pod returns what is known of a pod by its uid.
func (c *Cache) Pod(uid string) (PodInfo, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p := c.pods[uid]
	if p == nil {
		return PodInfo{}, false
	}
	return *p.info, true
}

// Seen asks for the container of a cgroup that was just made, with retries: the
// runtime may know it only in a moment. It does not block and keeps nothing of
// the path.
func (c *Cache) Seen(path string) {
	p := cgroup.Parse(path)
	if p.Owner.OuterContainer != nil {
		c.lookAgain()
	}
	if ct := p.Owner.Container; ct != nil && ct.ID != "" {
		c.ask(ct.ID, ct.Runtime)
	}
}

// Wait asks for a container by id, and by the runtime that its path named, if
// any. It returns true once the container is known, and false when nobody could
// tell or the context ends.
func (c *Cache) Wait(ctx context.Context, id, runtime string) bool {
	c.mu.Lock()
	if c.entries[id] != nil {
		c.mu.Unlock()
		return true
	}
	id = strings.Clone(id)
	w := c.waiters[id]
	if w == nil {
		w = &waiter{known: make(chan struct{})}
		c.waiters[id] = w
	}
	w.n++
	c.mu.Unlock()
	defer c.leave(id, w)
	if !c.ask(id, runtime) {
		return false
	}
	select {
	case <-w.known:
		return true
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	return false
}

// leave removes a waiter when its last one goes.
func (c *Cache) leave(id string, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.n--; w.n == 0 && c.waiters[id] == w {
		delete(c.waiters, id)
	}
}

// ask hands an id to every source that may know it, and says whether there is
// one.
func (c *Cache) ask(id, runtime string) bool {
	if !plausible(id) {
		return false
	}
	c.mu.RLock()
	e, sources := c.entries[id], c.sources
	rank := 0
	if e != nil {
		rank = e.src.rank
	}
	c.mu.RUnlock()
	id = strings.Clone(id)
	asked := false
	for _, s := range sources {
		if rank < s.rank && s.wants(runtime) && s.push(id) && s.kind != kindState {
			asked = true
		}
	}
	return asked
}

// Sources tells who is asked, and how it went last.
func (c *Cache) Sources() []Source {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]Source, len(c.sources))
	for i, s := range c.sources {
		out[i] = s.status()
	}
	return out
}

// lacksRequest says that kubelet may add to what the runtime told: it alone knows
// what a pod's container asked for.
func (e *entry) lacksRequest() bool {
	return e.info.PodContainer != "" && !e.info.MemoryRequestBytes.Known
}

// put takes what a source says of one container, or without an id of a pod
// alone. Within a source's list, room
// is made only by what is gone; a container asked for always gets in.
func (c *Cache) put(s *source, info *Info, detailed, listed bool) {
	if info.ID != "" && !plausible(info.ID) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	info.Pod = c.putPod(s, info.Pod)
	if info.ID == "" {
		return
	}
	e := c.entries[info.ID]
	switch {
	case e == nil:
		if !c.room(listed) {
			return
		}
		e = &entry{info: *info, src: s}
		c.kubelet.resources(&e.info)
		c.entries[info.ID] = e
		if w := c.waiters[info.ID]; w != nil {
			close(w.known)
			delete(c.waiters, info.ID)
		}
	case s.rank < e.src.rank:
		if e.info.Pod != nil && info.Pod != nil && e.info.Pod.UID == info.Pod.UID {
			e.info.Pod = info.Pod // the one of both
		}
		e.info.merge(info)
		return
	default:
		old := e.info
		e.info, e.src = *info, s
		if e.detailed && old.Image != "" {
			e.info.Image = old.Image // a list may have the digest only
		}
		e.info.merge(&old)
		c.kubelet.resources(&e.info)
	}
	e.gen, e.gone = s.gen, time.Time{}
	e.detailed = e.detailed || detailed
}

// putPod keeps a pod, and gives the copy that all its containers share.
func (c *Cache) putPod(s *source, p *PodInfo) *PodInfo {
	if p == nil || p.UID == "" {
		return p
	}
	if s.local && p.SwapBehavior == "" && p.Namespace != "" {
		p.SwapBehavior = c.kubelet.swapBehavior
	}
	e := c.pods[p.UID]
	if e == nil {
		if len(c.pods) >= c.opts.Max {
			return p
		}
		c.pods[p.UID] = &podEntry{info: p, src: s, gen: s.gen}
		return p
	}
	if s.rank < e.src.rank {
		both := *e.info // others hold the old one
		if both.merge(p); !both.equal(e.info) {
			e.info = &both
		}
		return e.info
	}
	p.merge(e.info)
	if !p.equal(e.info) {
		e.info = p
	}
	e.src, e.gen, e.gone = s, s.gen, time.Time{}
	return e.info
}

// room says whether one more container may be kept.
func (c *Cache) room(listed bool) bool {
	if len(c.entries) < c.opts.Max {
		return true
	}
	for id, e := range c.entries {
		if !e.gone.IsZero() {
			delete(c.entries, id)
			return true
		}
	}
	if listed {
		return false
	}
	for id := range c.entries {
		delete(c.entries, id)
		break
	}
	return true
}

// listed marks what a source's complete list did not have.
func (c *Cache) listed(s *source, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if e.src == s && e.gen != s.gen && e.gone.IsZero() {
			e.gone = now
		}
	}
	for _, p := range c.pods {
		if p.src == s && p.gen != s.gen && p.gone.IsZero() {
			p.gone = now
		}
	}
}

// forget drops what has been gone for long.
func (c *Cache) forget(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, e := range c.entries {
		if !e.gone.IsZero() && now.Sub(e.gone) >= c.opts.Keep {
			delete(c.entries, id)
		}
	}
	for uid, p := range c.pods {
		if !p.gone.IsZero() && now.Sub(p.gone) >= c.opts.Keep {
			delete(c.pods, uid)
		}
	}
}

// merge fills in what i does not know.
func (i *Info) merge(from *Info) {
	first(&i.Name, from.Name)
	first(&i.Image, from.Image)
	first(&i.Runtime, from.Runtime)
	first(&i.PodContainer, from.PodContainer)
	if !i.MemoryLimitBytes.Known {
		i.MemoryLimitBytes = from.MemoryLimitBytes
	}
	if !i.MemoryRequestBytes.Known {
		i.MemoryRequestBytes = from.MemoryRequestBytes
	}
	if !i.RestartCount.Known {
		i.RestartCount = from.RestartCount
	}
	if i.Pod == nil {
		i.Pod = from.Pod
	}
}

// merge fills in what p does not know.
func (p *PodInfo) merge(from *PodInfo) {
	first(&p.Namespace, from.Namespace)
	first(&p.Name, from.Name)
	first(&p.QoS, from.QoS)
	first(&p.SwapBehavior, from.SwapBehavior)
	if p.Labels == nil {
		p.Labels = from.Labels
	}
}

func (p *PodInfo) equal(q *PodInfo) bool {
	if p.Namespace != q.Namespace || p.Name != q.Name || p.QoS != q.QoS || p.SwapBehavior != q.SwapBehavior ||
		len(p.Labels) != len(q.Labels) {
		return false
	}
	for k, v := range p.Labels {
		if w, ok := q.Labels[k]; !ok || v != w {
			return false
		}
	}
	return true
}

func first(s *string, other string) {
	if *s == "" {
		*s = other
	}
}

// plausible says that a runtime's id is one: not a path, not a book.
func plausible(id string) bool {
	if len(id) < 8 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// maxText bounds one text of a runtime, in bytes.
const maxText = 512

// text bounds what a runtime says, and keeps one copy of what many say.
func text(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
		for len(s) > 0 && !utf8.ValidString(s[len(s)-1:]) {
			s = s[:len(s)-1]
		}
	}
	if s == "" {
		return ""
	}
	return unique.Make(s).Value()
}

// maxLabels bounds a pod's labels.
const maxLabels = 64

// labels copies labels, bounded. Labels that only repeat the names of the pod
// are left out.
func labels(in map[string]string) map[string]string {
	out := make(map[string]string, min(len(in), maxLabels))
	for k, v := range in {
		if strings.HasPrefix(k, "io.kubernetes.pod.") || strings.HasPrefix(k, "io.kubernetes.container.") {
			continue
		}
		if len(out) == maxLabels {
			break
		}
		out[text(k)] = text(v)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
