package container

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	// Root is the directory that holds the machine's /run, /var, /proc and
	// /sys; empty means "/".
	Root string
	// Interval is how often sockets are looked for and the tree of cgroups is
	// walked, besides when there is news of a container; zero means 30 s.
	Interval time.Duration
	// Timeout bounds one call of a runtime; zero means 5 s.
	Timeout time.Duration
	// LabelsWait bounds how long a container's names wait for its pod's labels; zero
	// means 200 ms.
	LabelsWait time.Duration
	// Max bounds how many containers are kept, sandboxes of pods included;
	// zero means 24576. Pods have the same bound of their own.
	Max int
	// Wake asks every source for its version, those included whose service
	// starts with the first question.
	Wake bool
	// Warn is called once when a source fails, and again only if it had
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
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.LabelsWait <= 0 {
		o.LabelsWait = 200 * time.Millisecond
	}
	if o.Max <= 0 {
		o.Max = 24576
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
}

// Cache knows containers and pods, and learns of more until it is closed.
type Cache struct {
	opts       Options
	cancel     context.CancelFunc
	ctx        context.Context
	wg         sync.WaitGroup
	again      chan struct{} // look for sockets now
	nodesAgain atomic.Bool   // in containers, too

	found chan struct{} // closed once this machine's sources are known
	tree  string        // where the memory hierarchy is mounted; of supervise alone

	mu      sync.RWMutex // never held while a source is asked
	entries map[key]*entry
	pods    map[key]*podEntry
	// The system's, and those of all other domains: who makes cgroups there must
	// not push out the system's.
	recent     [2]clock[*entry]
	recentPods [2]clock[*podEntry]
	labels     [2]int // bytes of all pods' labels
	sources    []*source
	waits      waiting // never written to
	kubelet    kubelet
	states     []*stateFile
}

// key names a container or a pod. The same id in another domain is another one:
// whoever owns that domain chose it.
type key struct {
	in unique.Handle[domain]
	id string
}

func keyOf(d domain, id string) key { return key{unique.Make(d), id} }

// share says whose share of the cache a key counts for.
func (k key) share() int {
	if k.in.Value().system() {
		return 0
	}
	return 1
}

// entry is one container that is known, or asked for. There are many: a pod's
// sandbox is known by its pod alone.
type entry struct {
	key
	info    *Info     // without Pod where that is kept as well
	pod     *podEntry // nil outside of pods
	src     *source   // that told it; nil until known
	waiter  *waiter
	runtime string // as the path names it
	at      int64  // when it was told last, in Unix nanoseconds
	touched bool
}

func (e *entry) used() bool {
	was := e.touched || e.waiter != nil
	e.touched = false
	return was
}

func (e *entry) isSandbox() bool { return e.info == nil }

type podEntry struct {
	key
	info    *PodInfo
	rank    int8
	whole   bool // its labels are known
	touched bool
}

func (e *podEntry) used() bool {
	was := e.touched
	e.touched = false
	return was
}

// clock keeps what was used recently (the second-chance algorithm).
type clock[E interface{ used() bool }] struct {
	all  []E
	hand int
}

// add keeps one more, and gives the one that made room where there are too many.
func (c *clock[E]) add(e E, most int) (old E, full bool) {
	if len(c.all) < most {
		c.all = append(c.all, e)
		return old, false
	}
	for range 2 * len(c.all) {
		c.hand = (c.hand + 1) % len(c.all)
		if !c.all[c.hand].used() {
			break
		}
	}
	old, c.all[c.hand] = c.all[c.hand], e
	return old, true
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
	opts.defaults()
	c := &Cache{
		opts: opts, again: make(chan struct{}, 1), found: make(chan struct{}),
		entries: map[key]*entry{}, pods: map[key]*podEntry{},
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.wg.Go(c.supervise)
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

// Ready returns once the sources of this machine are found, and each has been asked
// for all containers that are there, or the context ends.
func (c *Cache) Ready(ctx context.Context) {
	wait := func(done <-chan struct{}) bool {
		select {
		case <-done:
			return true
		case <-ctx.Done():
		case <-c.ctx.Done():
		}
		return false
	}
	if !wait(c.found) {
		return
	}
	c.mu.RLock()
	sources := c.sources
	c.mu.RUnlock()
	for _, s := range sources {
		if !wait(s.first) {
			return
		}
	}
}

// againPause is the least time between two looks for new sockets: many containers
// may start at once.
const againPause = 500 * time.Millisecond

// supervise looks for sockets and walks the tree of cgroups.
func (c *Cache) supervise() {
	tick := time.NewTicker(c.opts.Interval)
	defer tick.Stop()
	here, nodes := &looker{look: c.here}, &looker{look: c.nodes}
	ready := sync.OnceFunc(func() { close(c.found) })
	for all := true; ; {
		looked := time.Now()
		news := all
		if all {
			c.readSwapBehavior()
		}
		if places, ok := here.wait(c.ctx); ok {
			news = c.adopt(places, true) || news
		}
		if c.nodesAgain.Swap(false) || all {
			if places, ok := nodes.wait(c.ctx); ok {
				news = c.adopt(places, false) || news
			}
		}
		if news {
			c.walk()
		}
		ready()
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
			all = true
		case <-c.again:
			all = false
			select {
			case <-c.ctx.Done():
				return
			case <-time.After(time.Until(looked.Add(againPause))):
			}
		}
	}
}

// walk asks for all containers of the tree that are not known. They yield to those
// that just start.
func (c *Cache) walk() {
	c.mu.RLock()
	none := len(c.sources) == 0
	c.mu.RUnlock()
	if none { // to ask; the first one to come brings a walk of its own
		return
	}
	if c.tree == "" {
		c.tree = memoryTree(c.opts.Root)
	}
	if c.tree != "" {
		// A part of the tree is better than none: what fails is gone, or not ours
		// to read.
		_ = walk(c.tree, func(path string) { c.seen(path, true) })
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, s := range c.sources {
		if c.tree == "" { // what was seen is all there is to ask for
			for _, e := range c.entries {
				if e.src == nil && s.covers(e.in.Value()) && s.wants(e.runtime) {
					s.push(e, true, false)
				}
			}
		}
		s.prime()
	}
}

// Seen asks for the container of a cgroup that was just made, with retries: the
// runtime may know it only in a moment. It does not block and keeps nothing of
// the path.
func (c *Cache) Seen(path string) { c.seen(path, false) }

func (c *Cache) seen(path string, background bool) {
	p := cgroup.Parse(path)
	ct := p.Owner.Container
	if ct == nil || !plausible(ct.ID) {
		return
	}
	place, ok := cgroup.PlaceOf(path, ct.ID)
	if !ok || !sane(&place) {
		return
	}
	e, asked := c.enter(&place, ct.ID)
	if !background && !slices.ContainsFunc(asked, (*source).promising) && (e == nil || !c.known(e)) {
		c.lookAgain(place.Within != "") // its runtime may have come just now
	}
	if e == nil {
		return
	}
	for _, s := range asked {
		s.push(e, background, false)
	}
	if !background && p.Level == oom.LevelContainer && place.Cgroup == strings.TrimSuffix(path, "/") {
		c.refresh(e)
	}
}

// refreshPause is the least time between two questions for a container that is
// known.
const refreshPause = time.Second

// refresh asks again for a container that is known and has its cgroup made:
// Docker and podman start one again under its old id, and count that.
func (c *Cache) refresh(e *entry) {
	c.mu.RLock()
	s, again := e.src, e.src != nil && e.src.counts() && time.Since(time.Unix(0, e.at)) >= refreshPause
	c.mu.RUnlock()
	if again {
		s.push(e, false, true)
	}
}

const (
	// answers is how often a source has to say that it does not know a container
	// before it is not waited for any more: the first may have come too soon.
	answers = 2
	// silence is how long a source is not waited for that let one wait in vain.
	silence = 10 * time.Second
	// patience is the least wait after which a source counts as silent.
	patience = 20 * time.Millisecond
)

// Wait asks for the container with an id on a cgroup path. It returns true once the
// container is known, and false when no source knows it or the context ends. A
// source that does not answer is not waited for again for a while.
func (c *Cache) Wait(ctx context.Context, path, id string) bool {
	if _, ok := c.Lookup(path, id); ok {
		return true
	}
	place, ok := cgroup.PlaceOf(path, id)
	if !ok || !plausible(id) || !sane(&place) {
		return false
	}
	start := time.Now()
	e, asked := c.enter(&place, id)
	if e == nil {
		c.lookAgain(place.Within != "")
		return false
	}
	w := c.join(e, asked)
	defer c.leave(e, w)
	for _, s := range asked {
		if !s.push(e, false, false) {
			c.denied(s, e, answers)
		}
	}
	select {
	case <-w.known:
	case <-w.nobody:
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) && time.Since(start) >= patience {
			c.silent(w)
		}
	case <-c.ctx.Done():
	}
	_, ok = c.Lookup(path, id)
	return ok
}

// enter gives the entry of a container, made if need be, and the sources that may
// know more of it than is known. Of a domain without a source nothing is kept, but
// of the system's: its runtime may be yet to come.
func (c *Cache) enter(p *cgroup.Place, id string) (*entry, []*source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := domainOf(p)
	k := keyOf(d, id)
	e := c.entries[k]
	var asked []*source
	spoken, news := false, e == nil || e.src == nil
	for _, s := range c.sources {
		if !s.covers(d) {
			continue
		}
		if spoken = true; news {
			s.used = time.Now()
		}
		if s.wants(p.Runtime) && (e == nil || e.lacks(s)) {
			asked = append(asked, s)
		}
	}
	if !spoken && news {
		c.await(d)
	}
	switch {
	case e != nil:
		e.touched = true
	case len(asked) > 0 || d.system():
		e = c.newEntry(k)
		e.runtime = p.Runtime
	}
	return e, asked
}

// lacks says that a source may know more of a container than what is known:
// kubelet alone knows what it asked for.
func (e *entry) lacks(s *source) bool {
	switch {
	case e.src == nil || e.src.rank < s.rank:
		return true
	case s.kind == kindPods:
		return !e.isSandbox() && e.info.PodContainer != "" && !e.info.MemoryRequestBytes.Known
	}
	return false
}

// foreignShare is the part of the cache that all domains but the system's have
// together.
const foreignShare = 24

// most is how many containers, or pods, a share may have.
func (c *Cache) most(share int) int {
	if share == 0 {
		return c.opts.Max
	}
	return max(c.opts.Max/foreignShare, 1)
}

// newEntry keeps one more container; one that was not used for long makes room. The
// caller holds c.mu.
func (c *Cache) newEntry(k key) *entry {
	k.id = strings.Clone(k.id)
	e := &entry{key: k, touched: true}
	if old, full := c.recent[k.share()].add(e, c.most(k.share())); full {
		delete(c.entries, old.key)
	}
	c.entries[k] = e
	return e
}

// join makes or joins the waiter of a container.
func (c *Cache) join(e *entry, asked []*source) *waiter {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	w := e.waiter
	if w == nil {
		w = &waiter{known: make(chan struct{}), nobody: make(chan struct{}), awaited: map[*source]int{}}
		for _, s := range asked {
			// What silent ones know is for the kills to come.
			if s.kind != kindState && !s.isSilent(now) {
				w.awaited[s] = answers
			}
		}
		if len(w.awaited) == 0 {
			close(w.nobody)
		}
		if e.src != nil { // since the first look
			close(w.known)
		} else {
			e.waiter = w
		}
	}
	w.n++
	return w
}

// denied counts a source's answers that it does not know a container.
func (c *Cache) denied(s *source, e *entry, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := e.waiter
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
func (c *Cache) leave(e *entry, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.n--; w.n == 0 && e.waiter == w {
		e.waiter = nil
	}
}

// Lookup returns what is known of the container with an id on a cgroup path: nothing
// where the path is not one that its runtime would have made. It waits for nothing.
func (c *Cache) Lookup(path, id string) (Info, bool) {
	place, ok := cgroup.PlaceOf(path, id)
	if !ok || !sane(&place) {
		return Info{}, false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	e := c.entries[keyOf(domainOf(&place), id)]
	if e == nil || e.src == nil {
		return Info{}, false
	}
	var i Info
	if e.info != nil {
		i = *e.info
	}
	i.ID = id
	first(&i.Runtime, e.runtime)
	if e.pod != nil {
		i.Pod = e.pod.info
	}
	if e.share() == 0 {
		c.kubelet.add(&i)
	}
	if !i.agrees(&place) {
		return Info{}, false
	}
	return i, true
}

// Pod returns what is known of the pod with a uid on a cgroup path.
func (c *Cache) Pod(path, uid string) (PodInfo, bool) {
	place, ok := cgroup.PodPlaceOf(path, uid)
	if !ok || !sane(&place) {
		return PodInfo{}, false
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	p := c.pods[keyOf(domainOf(&place), uid)]
	if p == nil {
		return PodInfo{}, false
	}
	i := Info{Pod: p.info}
	if p.share() == 0 {
		c.kubelet.add(&i)
	}
	return *i.Pod, true
}

// Runtimes are the names of those of the machine's own sources that have answered, without
// versions.
func (c *Cache) Runtimes() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []string
	for _, s := range c.sources {
		at := s.status()
		name, _, _ := strings.Cut(at.Name, " ")
		if at.OK && s.system() && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Sources reports which sources there are, and how each answered last.
func (c *Cache) Sources() []Source {
	c.mu.RLock()
	defer c.mu.RUnlock()
	count := map[*source]int{}
	for _, e := range c.entries {
		if e.src != nil && e.info != nil {
			count[e.src]++
		}
	}
	out := make([]Source, len(c.sources))
	for i, s := range c.sources {
		out[i] = s.status()
		out[i].Containers = count[s]
	}
	return out
}

// put takes what a source says of a container, and of its pod; without an id of a
// pod alone.
func (c *Cache) put(s *source, info *Info) {
	if info.PodContainer != "" && s.system() && s.kind != kindState {
		c.readStates() // kubelet wrote down before what it asked for, whoever names the container
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone {
		return
	}
	var pod *podEntry
	if info.Pod != nil && info.Pod.UID != "" {
		pod = c.putPod(s, info)
	}
	if info.ID == "" || !plausible(info.ID) {
		return
	}
	k := keyOf(s.domain, info.ID)
	e := c.entries[k]
	if e == nil {
		if !s.system() {
			return // it was not asked for, or made room
		}
		e = c.newEntry(k)
	}
	c.take(e, s, info, pod)
	e.at = time.Now().UnixNano()
	if w := e.waiter; w != nil {
		close(w.known)
		e.waiter = nil
	}
}

// take has an entry know what a source says. What was handed out is not written to.
// The caller holds c.mu.
func (c *Cache) take(e *entry, s *source, info *Info, pod *podEntry) {
	better := e.src == nil || s.rank >= e.src.rank
	if pod != nil && (better || e.pod == nil) {
		e.pod = pod
	}
	if e.pod != nil {
		info.Pod = nil
	}
	if info.Name == "" && info.PodContainer == "" && e.pod != nil { // a sandbox
		if better {
			first(&e.runtime, info.Runtime)
			e.info, e.src = nil, s
		}
		return
	}
	info.ID = e.id // one copy
	switch {
	case e.info == nil:
	case !better:
		both := *e.info
		both.merge(info)
		e.info = &both
		return
	case e.src == s: // it may have changed
		if !info.MemoryRequestBytes.Known {
			info.MemoryRequestBytes = e.info.MemoryRequestBytes
		}
	default:
		info.merge(e.info)
	}
	if better {
		e.src = s
	}
	e.info = info
}

// readStates reads kubelet's state if it changed. What cannot be read is reported by
// its source.
func (c *Cache) readStates() {
	c.mu.RLock()
	states := c.states
	c.mu.RUnlock()
	for _, f := range states {
		_ = f.refresh()
	}
}

// maxLabelsHeld bounds the labels of all pods together, in bytes: those of 10 000
// usual ones are a quarter of it. What is not the system's has a share.
const maxLabelsHeld = 4 << 20

// putPod keeps a pod, and gives the copy that all its containers share. What was
// given is never written to again: it is read without a lock.
func (c *Cache) putPod(s *source, info *Info) *podEntry {
	k := keyOf(s.domain, info.Pod.UID)
	e := c.pods[k]
	if e == nil {
		e = &podEntry{key: k, info: &PodInfo{}}
		if old, full := c.recentPods[k.share()].add(e, c.most(k.share())); full {
			delete(c.pods, old.key)
			c.labels[k.share()] -= old.info.Labels.bytes()
		}
		c.pods[k] = e
	}
	e.touched = true
	mine := *info.Pod
	if int8(s.rank) >= e.rank {
		mine.merge(e.info)
		e.rank = int8(s.rank)
	} else {
		mine = *e.info
		mine.merge(info.Pod)
	}
	mine.UID = k.id
	e.whole = e.whole || info.whole
	limit := maxLabelsHeld
	if k.share() != 0 {
		limit /= foreignShare
	}
	held := &c.labels[k.share()]
	if *held-e.info.Labels.bytes()+mine.Labels.bytes() > limit {
		mine.Labels = nil
	}
	if !mine.equal(e.info) {
		*held += mine.Labels.bytes() - e.info.Labels.bytes()
		e.info = &mine
	}
	return e
}

// lookAgain has sockets looked for soon, and in containers if asked to: that is a
// look at all processes.
func (c *Cache) lookAgain(nodes bool) {
	if nodes {
		c.nodesAgain.Store(true)
	}
	select {
	case c.again <- struct{}{}:
	default:
	}
}

func (c *Cache) known(e *entry) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return e.src != nil
}

// podWhole says that the labels of a pod are known.
func (c *Cache) podWhole(s *source, uid string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	p := c.pods[keyOf(s.domain, uid)]
	return p != nil && p.whole
}

// lacksLabels says that the labels of a container's pod are not known.
func (c *Cache) lacksLabels(e *entry) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return e.pod != nil && !e.pod.whole
}
