package container

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode"
)

// backend is a place that knows containers. Its calls come from one goroutine.
type backend interface {
	// list gives all containers it has now. It fails with errEnough once put
	// returns false, and with errUnchanged if it would give what it gave last.
	list(ctx context.Context, put func(*Info) bool) error
	// get gives one with all that is known; errNotFound if it has none such.
	get(ctx context.Context, id string) (*Info, error)
	// detail adds what list leaves out.
	detail(ctx context.Context, info *Info) error
	// version names it once it has answered.
	version() string
}

var (
	errNotFound  = errors.New("container not known")
	errUnchanged = errors.New("unchanged since the last list")
	// ErrUnused is the state of a socket that is asked only when one of its
	// containers is seen, since asking would start its service.
	ErrUnused = errors.New("asked only when one of its containers is seen")
	// ErrNoRuntime is a socket that answers, but offers no CRI: Docker's own
	// containerd.
	ErrNoRuntime = errors.New("offers no CRI v1")
	// ErrNoPods is a socket of kubelet's that answers, but knows another
	// version of the Pods API.
	ErrNoPods = errors.New("offers no Pods API v1alpha1")
)

// The ranks of sources: what a runtime says replaces what kubelet says, and that
// what files say.
const (
	rankFiles   = 1
	rankKubelet = 2
	rankRuntime = 3
)

// manyListed is how long a list must be for its memory to be given back at once.
const manyListed = 1000

const (
	maxAsks     = 4096
	detailPause = 5 * time.Millisecond
	// detailAge is when limits are asked for again: they can be changed.
	detailAge = 5 * time.Minute
	// soonPause is the least time between two tries of a source that fails: one
	// that starts again is back within a moment.
	soonPause = 50 * time.Millisecond
	// slowPause is that of one that hangs.
	slowPause = time.Second
)

// delays are the pauses before each try to learn of a new container.
var delays = [...]time.Duration{
	0, 5 * time.Millisecond, 20 * time.Millisecond, 80 * time.Millisecond, 300 * time.Millisecond,
	time.Second, 3 * time.Second, 5 * time.Second,
}

// source asks one backend, in a goroutine of its own: one that hangs holds up
// nobody else.
type source struct {
	cache    *Cache
	path     string // as given by discovery, below Options.Root
	kind     string // "cri", "docker", "podman", "kubelet pods", or a word for files
	rank     int
	local    bool // of this machine, not of a node in a container
	inode    [2]uint64
	explicit bool // asked for by the user: every failure is worth a word
	lazy     func() bool
	back     backend
	cancel   context.CancelFunc
	first    chan struct{} // closed after the first list
	wake     chan struct{}
	gen      uint64 // written under cache.mu

	// of the goroutine alone
	details []string
	fails   int
	failed  time.Time // when it did last
	next    time.Time // when to list again

	mu      sync.Mutex
	asks    askHeap
	pending map[string]*ask
	soon    bool // an ask came while the source failed
	worked  bool // answered once
	ok, bad bool // answered last; warned since it last answered
	err     error
	name    string
	count   int
	quiet   time.Time // until when nobody waits for it
}

// ask is one container to be learned of.
type ask struct {
	id    string
	try   int
	due   time.Time
	index int
	again bool // also if it is known
}

// weight orders sources: this machine's own before those of nodes in containers,
// then by rank.
func (s *source) weight() int {
	if s.local {
		return s.rank + rankRuntime
	}
	return s.rank
}

// counts says that containers start again under their old ids here.
func (s *source) counts() bool { return s.kind == "docker" || s.kind == "podman" }

// wants says whether the container of such a runtime may be known here; the
// runtime is empty where the path left it open.
func (s *source) wants(runtime string) bool {
	if runtime == "buildkit" {
		return false // it tells nobody
	}
	switch s.kind {
	case "podman":
		return runtime == "podman"
	case "docker":
		return runtime == "docker" || runtime == ""
	case "cri":
		return runtime != "podman" && runtime != "nerdctl" && (runtime != "docker" || strings.Contains(s.path, "dockerd"))
	}
	return true
}

// push queues an id; again asks even if it is known. It says whether an answer is
// to be expected soon.
func (s *source) push(id string, again bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	expected := true
	if s.err != nil && !errors.Is(s.err, ErrUnused) {
		if !s.worked {
			return false // the first list that works will have it
		}
		s.soon = true
		expected = !slow(s.err)
	}
	due := time.Now()
	switch s.rank { // a runtime knows more; let it be first
	case rankFiles:
		due = due.Add(delays[3])
	case rankKubelet:
		due = due.Add(delays[4])
	}
	if a := s.pending[id]; a != nil {
		a.again = a.again || again
		if a.try > 0 && due.Before(a.due) {
			a.try, a.due = 0, due
			heap.Fix(&s.asks, a.index)
		}
	} else {
		if len(s.asks) >= maxAsks {
			return false
		}
		a := &ask{id: id, due: due, again: again}
		s.pending[a.id] = a
		heap.Push(&s.asks, a)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return expected
}

// silence has nobody wait for the source for a while, unless it answers before.
func (s *source) silence(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quiet = until
}

func (s *source) isSilent(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.quiet)
}

// slow says that a source did not refuse but hung.
func slow(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// hasten brings the next list forward if an ask waits for it.
func (s *source) hasten(failed time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pause := soonPause
	if slow(s.err) {
		pause = slowPause
	}
	if next := failed.Add(pause); s.soon && next.Before(s.next) {
		s.next = next
	}
	s.soon = false
}

// pop gives the ask that is due, or when the next one will be.
func (s *source) pop(now time.Time) (a *ask, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asks) == 0 {
		return nil, time.Time{}
	}
	if a = s.asks[0]; a.due.After(now) {
		return nil, a.due
	}
	heap.Pop(&s.asks)
	delete(s.pending, a.id)
	return a, time.Time{}
}

// retry queues an ask again, later, unless it was the last try.
func (s *source) retry(a *ask) {
	if a.try++; a.try == len(delays) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[a.id] != nil || len(s.asks) >= maxAsks {
		return
	}
	a.due = time.Now().Add(delays[a.try])
	s.pending[a.id] = a
	heap.Push(&s.asks, a)
}

func (s *source) run(ctx context.Context) {
	defer s.cache.wg.Done()
	s.next = time.Now()
	var nextDetail time.Time
	for ctx.Err() == nil {
		now := time.Now()
		var a *ask
		var due time.Time
		if s.fails == 0 {
			a, due = s.pop(now)
		} else {
			s.hasten(s.failed)
		}
		switch {
		case a != nil:
			s.answer(ctx, a)
			continue
		case !now.Before(s.next):
			s.list(ctx)
			s.next = time.Now().Add(s.pause())
			continue
		case s.fails == 0 && len(s.details) > 0 && !now.Before(nextDetail):
			s.detail(ctx)
			nextDetail = time.Now().Add(detailPause)
			continue
		}
		until := s.next
		if !due.IsZero() && due.Before(until) {
			until = due
		}
		if s.fails == 0 && len(s.details) > 0 && nextDetail.Before(until) {
			until = nextDetail
		}
		s.sleep(ctx, until.Sub(now))
	}
}

func (s *source) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.wake:
	case <-t.C:
	}
}

// pause is the time to the next list; a source that fails is tried sooner, ever
// more seldom.
func (s *source) pause() time.Duration {
	switch {
	case s.fails == 0 || s.fails > 6:
		return s.cache.opts.Interval
	case s.fails == 1:
		return min(soonPause, s.cache.opts.Interval)
	}
	return min(time.Second<<(s.fails-2), s.cache.opts.Interval)
}

// list learns all containers of the source.
func (s *source) list(ctx context.Context) {
	defer s.listedOnce()
	if s.lazy != nil && s.lazy() {
		s.report(ctx, ErrUnused)
		s.cache.unlisted(s, time.Now())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cache.opts.Timeout)
	defer cancel()
	s.cache.mu.Lock()
	s.gen++
	s.cache.mu.Unlock()
	n, items, most := 0, 0, 2*s.cache.opts.Max
	err := s.back.list(ctx, func(i *Info) bool {
		if items++; i.ID != "" {
			n++
		}
		return items <= most && s.cache.put(s, i, false, true)
	})
	whole := err == nil
	if errors.Is(err, errUnchanged) || errors.Is(err, errEnough) {
		err = nil
	}
	if s.report(ctx, err); err != nil {
		return
	}
	if !whole {
		return // what it did not have need not be gone
	}
	s.mu.Lock()
	s.count = n
	s.mu.Unlock()
	s.cache.listed(s, time.Now())
	s.details = s.undetailed()
	if n >= manyListed {
		// What it took to read them lies idle until the next one, far away.
		debug.FreeOSMemory()
	}
}

func (s *source) listedOnce() {
	select {
	case <-s.first:
	default:
		close(s.first)
	}
}

// undetailed gives the containers whose limits are still to be asked for.
func (s *source) undetailed() []string {
	ids := s.details[:0]
	if s.rank < rankRuntime {
		return ids
	}
	s.cache.mu.RLock()
	defer s.cache.mu.RUnlock()
	now := time.Now()
	for id, e := range s.cache.entries {
		if e.src == s && e.detailed.olderThan(detailAge, now) && e.gone == 0 && (e.info.Pod == nil || e.info.PodContainer != "") {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *source) detail(ctx context.Context) {
	id := s.details[len(s.details)-1]
	s.details = s.details[:len(s.details)-1]
	info, ok := s.cache.Lookup(id)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cache.opts.Timeout)
	defer cancel()
	switch err := s.back.detail(ctx, &info); {
	case err == nil:
		s.cache.put(s, &info, true, true)
	case !errors.Is(err, errNotFound):
		s.details = s.details[:0]
		s.report(ctx, err)
	}
}

// answer tries to learn of one container.
func (s *source) answer(ctx context.Context, a *ask) {
	s.cache.mu.RLock()
	e := s.cache.entries[a.id]
	known := e != nil && e.src.weight() >= s.weight() && (s.rank != rankKubelet || !e.lacksRequest())
	s.cache.mu.RUnlock()
	if known && !a.again {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.cache.opts.Timeout)
	defer cancel()
	info, err := s.back.get(ctx, a.id)
	switch {
	case err == nil:
		s.report(ctx, nil)
		s.cache.put(s, info, true, false)
	case errors.Is(err, errNotFound):
		s.report(ctx, nil)
		s.retry(a)
		s.cache.denied(s, a.id, 1)
	default:
		s.report(ctx, err)
		s.retry(a) // once a list has worked again
	}
}

// report keeps how the last call went, and warns when that is news. Of a socket
// nobody asked for, that nobody serves and that never worked, it is not.
func (s *source) report(ctx context.Context, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	if s.back.version() != "" {
		s.name = s.back.version()
	}
	if err == nil {
		s.ok, s.worked, s.bad, s.fails, s.quiet = true, true, false, 0, time.Time{}
		return
	}
	was := s.ok
	s.ok = false
	if errors.Is(err, ErrUnused) {
		s.fails = 0
		return
	}
	s.fails++
	s.failed = time.Now()
	if next := time.Now().Add(s.pause()); next.Before(s.next) {
		s.next = next
	}
	if s.bad || !s.explicit && !was && (absent(err) || errors.Is(err, ErrNoRuntime) || errors.Is(err, ErrNoPods)) {
		return
	}
	s.bad = true
	s.cache.opts.Warn(printable(fmt.Sprintf("%s: %v", s.path, err)))
}

func (s *source) status() Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := s.name
	if name == "" {
		name = s.kind
	}
	return Source{Name: name, Socket: s.path, OK: s.ok, Err: s.err, Containers: s.count}
}

// printable bounds and cleans what may hold a runtime's own words.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// askHeap is the asks by when they are due.
type askHeap []*ask

func (h askHeap) Len() int           { return len(h) }
func (h askHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h askHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *askHeap) Push(x any) {
	a := x.(*ask)
	a.index = len(*h)
	*h = append(*h, a)
}
func (h *askHeap) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return a
}
