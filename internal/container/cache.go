package container

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/oom"
)

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
	// Wake has services started that are asked only when one of their containers
	// is seen otherwise.
	Wake bool
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

	found chan struct{} // closed once this machine's sources are known
	stat  statFunc      // os.Stat but for tests

	mu       sync.RWMutex // never held while anybody is asked
	entries  map[string]*entry
	pods     map[string]*podEntry
	left     []departed // containers that are gone, the oldest first
	leftPods []departed
	foreign  int // how many entries are of nodes in containers
	labels   int // bytes of all pods' labels
	waiters  map[string]*waiter
	sources  []*source
	kubelet  kubelet
}

// entry is one container. It belongs to the source that knows it best.
type entry struct {
	info     Info
	src      *source
	gen      uint64 // the source's list that had it last
	seen     stamp  // when the source last told of it
	gone     stamp  // when a list did not have it any more
	detailed stamp  // when all that the source can tell was last asked for
}

type podEntry struct {
	info *PodInfo
	src  *source
	gen  uint64
	gone stamp
}

// stamp is a time in Unix nanoseconds; zero is never. There are two of each for
// every container, and time.Time has three times the size.
type stamp int64

func stampOf(t time.Time) stamp { return stamp(t.UnixNano()) }

// olderThan says that a stamp is of a time that long before now, or never was.
func (s stamp) olderThan(d time.Duration, now time.Time) bool { return s <= stampOf(now.Add(-d)) }

// departed is a container or a pod that was seen to be gone. Should it come back
// its stamp is another one.
type departed struct {
	id   string
	when stamp
}

type waiter struct {
	known  chan struct{}
	nobody chan struct{} // closed when all that were asked did not know it
	n      int
	// awaited is how often each source still has to answer that it does not.
	awaited map[*source]int
}

// Open starts to learn; it waits neither for any runtime nor for any file. Close,
// or the end of the context, stops it.
func Open(ctx context.Context, opts Options) *Cache {
	c := newCache(ctx, opts)
	c.wg.Add(1)
	go c.supervise()
	return c
}

func newCache(ctx context.Context, opts Options) *Cache {
	opts.defaults()
	c := &Cache{
		opts: opts, again: make(chan struct{}, 1), found: make(chan struct{}), stat: osStat,
		entries: map[string]*entry{}, pods: map[string]*podEntry{}, waiters: map[string]*waiter{},
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// closeWait bounds how long Close waits for what it has stopped: a file system
// that hangs, in the root of some container, would hold it up for good.
const closeWait = 2 * time.Second

// Close stops asking and gives everything back. What is known stays readable.
func (c *Cache) Close() error {
	c.cancel()
	done := make(chan struct{})
	go func() {
		c.wg.Wait()
		close(done)
	}()
	t := time.NewTimer(closeWait)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
	return nil
}

// Ready returns once the sources of this machine are found, and every source
// found so far has been listed or has failed, or the context ends.
func (c *Cache) Ready(ctx context.Context) {
	select {
	case <-c.found:
	case <-ctx.Done():
		return
	case <-c.ctx.Done():
		return
	}
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
	here, nodes := &looker{look: c.here}, &looker{look: c.nodes}
	ready := sync.OnceFunc(func() { close(c.found) })
	for {
		c.readKubelet()
		if places, ok := here.wait(c.ctx); ok {
			c.adopt(places, true)
		}
		if places, ok := nodes.wait(c.ctx); ok {
			c.adopt(places, false)
		}
		ready()
		c.forget(time.Now())
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
	ct := p.Owner.Container
	if ct == nil || !plausible(ct.ID) {
		return
	}
	for _, s := range c.whoKnows(ct.ID, ct.Runtime) {
		s.push(ct.ID, false)
	}
	if p.Level == oom.LevelContainer {
		c.refresh(ct.ID)
	}
}

// refreshPause is the least time between two questions for the same details.
const refreshPause = time.Second

// refresh asks again for a container that is known and has its cgroup made:
// Docker and podman start one again under its old id, and count that.
func (c *Cache) refresh(id string) {
	c.mu.RLock()
	e := c.entries[id]
	again := e != nil && e.src.counts() && e.detailed.olderThan(refreshPause, time.Now())
	var s *source
	if again {
		s = e.src
	}
	c.mu.RUnlock()
	if again {
		s.push(id, true)
	}
}

const (
	// answers is how often a source has to say that it does not know a container
	// before it is not waited for any more: the first may have come too soon.
	answers = 2
	// silence is how long nobody waits for a source that did not answer one who
	// waited.
	silence = 10 * time.Second
	// patience is the least wait after which a source counts as silent.
	patience = 20 * time.Millisecond
)

// Wait asks for a container by id, and by the runtime that its path named, if
// any. It returns true once the container is known, and false when nobody could
// tell or the context ends. A source that lets somebody wait in vain is not
// waited for again for a while.
func (c *Cache) Wait(ctx context.Context, id, runtime string) bool {
	if _, ok := c.Lookup(id); ok {
		return true
	}
	if !plausible(id) {
		return false
	}
	start := time.Now()
	w, asked := c.enter(id, runtime)
	defer c.leave(id, w)
	for _, s := range asked {
		if !s.push(id, false) {
			c.denied(s, id, answers)
		}
	}
	select {
	case <-w.known:
		return true
	case <-w.nobody:
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && time.Since(start) >= patience {
			c.silent(w)
		}
	case <-c.ctx.Done():
	}
	_, ok := c.Lookup(id)
	return ok
}

// enter makes or joins the waiter of a container, and gives the sources to ask.
func (c *Cache) enter(id, runtime string) (*waiter, []*source) {
	all := c.whoKnows(id, runtime)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiters[id]
	if w == nil {
		w = &waiter{known: make(chan struct{}), nobody: make(chan struct{}), awaited: map[*source]int{}}
		c.waiters[id] = w
		for _, s := range all {
			// What silent ones know is for the kills to come.
			if s.kind != kindState && !s.isSilent(now) {
				w.awaited[s] = answers
			}
		}
		if len(w.awaited) == 0 {
			close(w.nobody)
		}
		if c.entries[id] != nil { // since the first look
			close(w.known)
			delete(c.waiters, id)
		}
	}
	w.n++
	return w, all
}

// denied counts a source's answers that it does not know a container.
func (c *Cache) denied(s *source, id string, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiters[id]
	if w == nil || w.awaited[s] == 0 {
		return
	}
	if w.awaited[s] -= times; w.awaited[s] > 0 {
		return
	}
	if delete(w.awaited, s); len(w.awaited) == 0 {
		close(w.nobody)
	}
}

// silent marks the sources that have not answered at all.
func (c *Cache) silent(w *waiter) {
	until := time.Now().Add(silence)
	c.mu.RLock()
	defer c.mu.RUnlock()
	for s, n := range w.awaited {
		if n == answers {
			s.silence(until)
		}
	}
}

// leave removes a waiter when its last one goes.
func (c *Cache) leave(id string, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.n--; w.n == 0 && c.waiters[id] == w {
		delete(c.waiters, id)
	}
}

// whoKnows gives every source that may know more of a container than is known.
func (c *Cache) whoKnows(id, runtime string) []*source {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.entries[id]
	var out []*source
	for _, s := range c.sources {
		if (e == nil || e.src.weight() < s.weight()) && s.wants(runtime) {
			out = append(out, s)
		}
	}
	return out
}

// Nested says that runtimes of nodes in containers are asked, too.
func (c *Cache) Nested() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return slices.ContainsFunc(c.sources, func(s *source) bool { return !s.local })
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
// alone. It returns false where there was no room: within a source's list that
// is made only by what is gone, a container asked for always gets in. What a node
// in a container says of those that this machine's own sources know is not heard.
func (c *Cache) put(s *source, info *Info, detailed, listed bool) bool {
	if info.ID != "" && !plausible(info.ID) {
		return true
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	info.Pod = c.putPod(s, info.Pod)
	if info.ID == "" {
		return true
	}
	e := c.entries[info.ID]
	switch {
	case e == nil:
		if !c.room(s, listed) {
			return false
		}
		e = &entry{info: *info, src: s}
		c.kubelet.resources(&e.info)
		c.keep(e)
	case s.weight() < e.src.weight():
		if s.local == e.src.local {
			if e.info.Pod != nil && info.Pod != nil && e.info.Pod.UID == info.Pod.UID {
				e.info.Pod = info.Pod // the one of both
			}
			e.info.merge(info)
		}
		return true
	default:
		c.replace(e, s, info, detailed)
	}
	e.gen, e.gone, e.seen = s.gen, 0, stampOf(now)
	if detailed {
		e.detailed = e.seen
	}
	return true
}

// keep takes a new entry in, and tells who waits for it.
func (c *Cache) keep(e *entry) {
	c.entries[e.info.ID] = e
	if !e.src.local {
		c.foreign++
	}
	if w := c.waiters[e.info.ID]; w != nil {
		close(w.known)
		delete(c.waiters, e.info.ID)
	}
}

// drop lets go of an entry.
func (c *Cache) drop(e *entry) {
	delete(c.entries, e.info.ID)
	if !e.src.local {
		c.foreign--
	}
}

// replace takes what a source says over what was known from it, or from a lesser
// one.
func (c *Cache) replace(e *entry, s *source, info *Info, detailed bool) {
	old := e.info
	e.info = *info
	e.info.ID = old.ID // one copy, not one for each list
	if s.local && !e.src.local {
		c.foreign--
		e.src, e.detailed = s, 0
		c.kubelet.resources(&e.info)
		return
	}
	if e.detailed != 0 && old.Image != "" {
		e.info.Image = old.Image // a list may have the digest only
	}
	if detailed && e.src == s && s.counts() {
		old.MemoryLimitBytes = oom.Opt[uint64]{} // it may have been lifted
	}
	e.src = s
	e.info.merge(&old)
	c.kubelet.resources(&e.info)
}

// putPod keeps a pod, and gives the copy that all its containers share. What was
// given is never written to again: it is read without a lock.
func (c *Cache) putPod(s *source, p *PodInfo) *PodInfo {
	if p == nil || p.UID == "" {
		return p
	}
	e := c.pods[p.UID]
	if e != nil && s.weight() < e.src.weight() {
		if s.local == e.src.local && e.info != p {
			both := *e.info
			both.merge(p)
			c.setPod(e, &both)
		}
		return e.info
	}
	if e == nil || e.info != p {
		mine := *p
		if s.local && mine.SwapBehavior == "" && mine.Namespace != "" {
			mine.SwapBehavior = c.kubelet.swapBehavior
		}
		p = &mine
	}
	if e == nil {
		if !c.roomForPod() {
			p.Labels = nil // they are most of it
			return p
		}
		e = &podEntry{info: &PodInfo{}}
		c.pods[p.UID] = e
		c.setPod(e, p)
	} else if e.info != p {
		if s.local == e.src.local {
			p.merge(e.info)
		}
		c.setPod(e, p)
	}
	e.src, e.gen, e.gone = s, s.gen, 0
	return e.info
}

// maxLabelsHeld bounds the labels of all pods together, in bytes: those of 10 000
// usual ones are a quarter of it.
const maxLabelsHeld = 4 << 20

// setPod has a pod's copy replaced if there is news, without its labels if there
// is no room for them.
func (c *Cache) setPod(e *podEntry, p *PodInfo) {
	if held := c.labels - e.info.Labels.bytes(); held+p.Labels.bytes() > maxLabelsHeld {
		p.Labels = nil
	}
	if e.info.UID == "" || !p.equal(e.info) {
		c.labels += p.Labels.bytes() - e.info.Labels.bytes()
		e.info = p
	}
}

// dropPod lets go of a pod.
func (c *Cache) dropPod(uid string, e *podEntry) {
	delete(c.pods, uid)
	c.labels -= e.info.Labels.bytes()
}

// foreignShare is the part of the cache that nodes in containers may have.
const foreignShare = 12

// room says whether one more container may be kept.
func (c *Cache) room(s *source, listed bool) bool {
	if !s.local && listed && c.foreign >= c.opts.Max/foreignShare {
		return false
	}
	if len(c.entries) < c.opts.Max {
		return true
	}
	for len(c.left) > 0 {
		d := c.left[0]
		c.left = c.left[1:]
		if e := c.entries[d.id]; e != nil && e.gone == d.when {
			c.drop(e)
			return true
		}
	}
	if listed {
		return false
	}
	// More live ones than there is room for: the one that was confirmed the
	// longest ago goes, of a node in a container first.
	var oldest *entry
	for _, e := range c.entries {
		if oldest == nil || e.src.local != oldest.src.local && !e.src.local || e.src.local == oldest.src.local && e.seen < oldest.seen {
			oldest = e
		}
	}
	c.drop(oldest)
	return true
}

func (c *Cache) roomForPod() bool {
	for len(c.pods) >= c.opts.Max && len(c.leftPods) > 0 {
		d := c.leftPods[0]
		c.leftPods = c.leftPods[1:]
		if p := c.pods[d.id]; p != nil && p.gone == d.when {
			c.dropPod(d.id, p)
		}
	}
	return len(c.pods) < c.opts.Max
}

// listed marks what a source's complete list did not have.
func (c *Cache) listed(s *source, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.markGone(now, func(e *entry) bool { return e.src == s && e.gen != s.gen })
	for uid, p := range c.pods {
		if p.src == s && p.gen != s.gen && p.gone == 0 {
			p.gone = stampOf(now)
			c.leftPods = append(c.leftPods, departed{uid, p.gone})
		}
	}
}

// unlisted marks what a source that cannot be listed has not told of for long.
func (c *Cache) unlisted(s *source, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.markGone(now, func(e *entry) bool { return e.src == s && e.seen.olderThan(c.opts.Interval, now) })
	for uid, p := range c.pods {
		if p.src == s && p.gone == 0 { // its containers keep it
			p.gone = stampOf(now)
			c.leftPods = append(c.leftPods, departed{uid, p.gone})
		}
	}
}

func (c *Cache) markGone(now time.Time, of func(*entry) bool) {
	for _, e := range c.entries {
		if e.gone == 0 && of(e) {
			e.gone = stampOf(now)
			c.left = append(c.left, departed{e.info.ID, e.gone})
		}
	}
}

// forget drops what has been gone for long.
func (c *Cache) forget(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.left) > 0 && c.left[0].when.olderThan(c.opts.Keep, now) {
		if e := c.entries[c.left[0].id]; e != nil && e.gone == c.left[0].when {
			c.drop(e)
		}
		c.left = c.left[1:]
	}
	for len(c.leftPods) > 0 && c.leftPods[0].when.olderThan(c.opts.Keep, now) {
		if p := c.pods[c.leftPods[0].id]; p != nil && p.gone == c.leftPods[0].when {
			c.dropPod(c.leftPods[0].id, p)
		}
		c.leftPods = c.leftPods[1:]
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
	return p.Namespace == q.Namespace && p.Name == q.Name && p.QoS == q.QoS && p.SwapBehavior == q.SwapBehavior &&
		slices.Equal(p.Labels, q.Labels)
}

func first(s *string, other string) {
	if *s == "" {
		*s = other
	}
}

// maxID bounds a container's id, in bytes.
const maxID = 128

// plausible says that a runtime's id is one: not a path, not a book.
func plausible(id string) bool {
	if len(id) < 8 || len(id) > maxID {
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
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	if s == "" {
		return ""
	}
	return unique.Make(s).Value()
}
