package container

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// backend is a place that knows containers. Its calls come from several goroutines.
type backend interface {
	// get gives one container with all that is known; errNotFound if it has
	// none such.
	get(ctx context.Context, id string) (*Info, error)
	// hello asks for the version.
	hello(ctx context.Context) error
	// version names it once it has answered.
	version() string
	close()
}

// podder is a backend whose containers' answers leave out the pod's labels.
type podder interface {
	// pod gives a container's pod with its labels.
	pod(ctx context.Context, id string) (*PodInfo, error)
}

var (
	errNotFound = errors.New("container not known")
	// ErrNoRuntime is a socket that answers, but offers no CRI: Docker's own
	// containerd.
	ErrNoRuntime = errors.New("offers no CRI v1")
	// ErrNoPods is a socket of kubelet's that answers, but knows another
	// version of the Pods API.
	ErrNoPods = errors.New("offers no Pods API v1alpha1")
)

// slow says that a source did not refuse but hung.
func slow(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// downError is a failure of a source as a whole: it refuses, or is no runtime.
type downError struct{ err error }

func (e *downError) Error() string { return e.err.Error() }
func (e *downError) Unwrap() error { return e.err }

// The ranks of sources: what a runtime says replaces what kubelet says, and that
// what files say.
const (
	rankFiles   = 1
	rankKubelet = 2
	rankRuntime = 3
)

const (
	// maxAsks bounds the containers that wait to be asked for.
	maxAsks        = 32768
	maxForeignAsks = 1024
	// parallel is how many questions a source has at once; of those some may be
	// about what was there at the start, and some about containers that hung the
	// last time. One that hangs so holds up no other.
	parallel        = 16
	parallelOld     = 4
	parallelSlow    = 4
	parallelForeign = 1
	// soonPause is the least time between two tries of a source that refuses: one
	// that starts again is back within a moment.
	soonPause = 50 * time.Millisecond
	maxPause  = 30 * time.Second
	// maxHurries is how many times in a row an engine in a container may refuse before
	// a new container no longer shortens the pause.
	maxHurries = 4
	// pace is the least time between two questions to an engine in a container or of a
	// user, on average: they make containers as fast as they like. burst may come at
	// once.
	pace  = 20 * time.Millisecond
	burst = 200
	// podPause is how long the pod's own sandbox, asked for as well, has to tell the
	// pod's labels.
	podPause = time.Second
)

// delays are the pauses before each try to learn of a container.
var delays = [...]time.Duration{
	0, 5 * time.Millisecond, 20 * time.Millisecond, 80 * time.Millisecond, 300 * time.Millisecond,
	time.Second, 3 * time.Second, 5 * time.Second,
}

// source asks one backend about the containers of its domain.
type source struct {
	domain
	cache    *Cache
	path     string // as given by discovery, below Options.Root
	kind     string // "cri", "docker", "podman", "kubelet pods", or a word for files
	rank     int
	inode    [2]uint64
	node     bool // found by a process
	explicit bool // asked for by the user: every failure is worth a word
	back     backend
	cancel   context.CancelFunc
	first    chan struct{} // closed once it was asked for all that were there
	wake     chan struct{}
	gone     bool      // guarded by cache.mu, as are the next two
	used     time.Time // when a container of its domain was seen last
	began    time.Time
	outer    string // the container on the machine that it is in

	mu       sync.Mutex
	asks     askHeap // of containers that start, and what is tried again
	old      []*ask  // of containers that were there before; nil where one moved
	pending  map[*entry]*ask
	busy     [3]int    // questions under way: all, old ones, slow ones
	paced    time.Time // when all questions so far are due at that pace
	primed   bool      // all that were there before are queued
	greeted  bool      // the version was asked for, if that is wanted
	worked   bool      // answered once
	ok       bool      // answered last
	bad      bool      // warned since it last answered
	warned   bool      // of one container's failure
	fails    int       // refusals in a row
	failed   time.Time // when it refused last, and when to try again
	retryAt  time.Time
	answered time.Time // last
	quiet    time.Time // until when it is not waited for
	err      error
	name     string
}

const (
	busyAll = iota
	busyOld
	busySlow
)

// ask is one container to be learned of.
type ask struct {
	e     *entry
	try   int
	due   time.Time
	index int  // in the heap; -1 elsewhere
	old   bool // from a walk
	again bool // also if it is known
	slow  bool // hung the last time
	pod   bool // only the pod's labels are missing
}

// counts says that containers start again under their old ids here.
func (s *source) counts() bool { return s.kind == kindDocker || s.kind == kindPodman }

// wants says whether the container of such a runtime may be known here; the
// runtime is empty where the path left it open.
func (s *source) wants(runtime string) bool {
	if runtime == "buildkit" {
		return false // it tells nobody
	}
	switch s.kind {
	case kindPodman:
		return runtime == "podman"
	case "podman files":
		return runtime == "podman" || runtime == "cri-o"
	case kindDocker, "docker files":
		return runtime == "docker" || runtime == ""
	case "nerdctl files":
		return runtime == "nerdctl" || runtime == ""
	case kindCRI:
		return runtime != "podman" && runtime != "nerdctl" && (runtime != "docker" || strings.Contains(s.path, "dockerd"))
	}
	return runtime != "podman" && runtime != "nerdctl" // kubelet's
}

// ahead is longer than anything waits to be tried again.
const ahead = time.Hour

// push queues a container; again asks even if it is known. It says whether an
// answer is to be expected soon.
func (s *source) push(e *entry, old, again bool) (expected bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := time.Now()
	switch s.rank { // a runtime knows more; let it be first
	case rankRuntime:
		due = due.Add(-ahead) // before those that are tried again, however many
	case rankFiles:
		due = due.Add(delays[3])
	case rankKubelet:
		due = due.Add(delays[4])
	}
	// An engine in a container makes new containers as it likes.
	if soon := s.failed.Add(soonPause); !old && soon.Before(s.retryAt) && (s.system() || s.fails < maxHurries) {
		s.retryAt = soon
	}
	a := s.pending[e]
	switch {
	case a == nil:
		if most := s.bound(maxAsks, maxForeignAsks); len(s.pending) >= most {
			return false
		}
		a = &ask{e: e, due: due, old: old, again: again, index: -1}
		s.pending[e] = a
		s.queue(a)
	case !old && a.old && slices.Contains(s.old, a):
		s.old[slices.Index(s.old, a)] = nil
		a.old, a.again, a.due = false, again, due
		s.queue(a)
	case !old && a.index >= 0 && a.try > 0 && due.Before(a.due):
		a.try, a.again, a.due = 0, a.again || again, due
		heap.Fix(&s.asks, a.index)
	}
	s.poke()
	return s.fails == 0 || s.worked
}

// promising says that a runtime may be there behind the source.
func (s *source) promising() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rank == rankRuntime && s.fails == 0
}

// bound is the system's or what any other domain has to do with.
func (s *source) bound(system, foreign int) int {
	if s.system() {
		return system
	}
	return foreign
}

// queue puts an ask in its queue. The caller holds s.mu.
func (s *source) queue(a *ask) {
	if a.old {
		s.old = append(s.old, a)
		return
	}
	heap.Push(&s.asks, a)
}

func (s *source) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// prime says that all containers that were there before are queued.
func (s *source) prime() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primed = true
	s.poke()
}

// silence has the source not waited for for a while, unless it answers before.
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

// run starts questions as they are due, until the context ends.
func (s *source) run(ctx context.Context) {
	var asking sync.WaitGroup
	defer s.back.close()
	defer asking.Wait()
	if s.cache.opts.Wake {
		s.greet(ctx)
	}
	s.mu.Lock()
	s.greeted = true
	s.mu.Unlock()
	for ctx.Err() == nil {
		a, pause := s.next(time.Now())
		if a == nil {
			s.sleep(ctx, pause)
			continue
		}
		asking.Go(func() { s.answer(ctx, a) })
	}
}

// greet asks for the version.
func (s *source) greet(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, s.cache.opts.Timeout)
	defer cancel()
	s.report(ctx, time.Now(), s.back.hello(call))
}

// never is a pause that only news ends.
const never = time.Hour

// next gives the ask to start now, or how long there is none.
func (s *source) next(now time.Time) (*ask, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.primed && len(s.old) == 0 && s.busy[busyOld] == 0 || s.fails > 0 {
		s.asked()
	}
	if len(s.pending) == 0 && s.old != nil {
		s.old, s.pending = nil, map[*entry]*ask{} // it may have been a crowd
	}
	most := s.bound(parallel, parallelForeign)
	if s.fails > 0 { // one tries whether it is back
		if wait := s.retryAt.Sub(now); wait > 0 {
			return nil, wait
		}
		most = 1
	}
	if s.busy[busyAll] >= most {
		return nil, never
	}
	if s.paced.Before(now) {
		s.paced = now
	}
	if wait := s.paced.Sub(now) - burst*pace; wait > 0 {
		return nil, wait
	}
	pause := never
	for len(s.asks) > 0 {
		a := s.asks[0]
		if pause = a.due.Sub(now); pause > 0 {
			break
		}
		pause = never
		heap.Pop(&s.asks)
		if !a.slow || s.busy[busySlow] < parallelSlow {
			s.count(a, 1)
			return a, 0
		}
		a.due = now.Add(delays[4]) // it stands back
		heap.Push(&s.asks, a)
	}
	for len(s.old) > 0 && s.busy[busyOld] < parallelOld {
		a := s.old[0]
		if s.old = s.old[1:]; a != nil {
			s.count(a, 1)
			return a, 0
		}
	}
	return nil, pause
}

// count counts an ask as under way, or as done. It is not changed in between.
func (s *source) count(a *ask, n int) {
	if n > 0 && !s.system() {
		s.paced = s.paced.Add(pace)
	}
	s.busy[busyAll] += n
	if a.old {
		s.busy[busyOld] += n
	}
	if a.slow {
		s.busy[busySlow] += n
	}
}

// asked closes first. The caller holds s.mu.
func (s *source) asked() {
	select {
	case <-s.first:
	default:
		if s.greeted {
			close(s.first)
		}
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

// answer tries to learn of one container.
func (s *source) answer(ctx context.Context, a *ask) {
	c := s.cache
	c.mu.RLock()
	wanted := a.again || a.pod || a.e.lacks(s)
	c.mu.RUnlock()
	if !wanted {
		s.settle(a, nil)
		return
	}
	call, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	began := time.Now()
	err := s.learn(call, a)
	if ctx.Err() != nil {
		return
	}
	var down *downError
	switch {
	case errors.As(err, &down), slow(err), errors.Is(err, context.Canceled): // by the source: ctx goes on
		s.report(ctx, began, err)
	case err != nil && !errors.Is(err, errNotFound) && !errors.Is(err, errLabels):
		s.report(ctx, began, nil) // it did answer
		s.complain(a.e.id, err)
	default:
		s.report(ctx, began, nil)
	}
	switch {
	case err == nil, errors.Is(err, errLabels), slow(err), down != nil && s.hasWorked():
	case errors.Is(err, errNotFound):
		c.denied(s, a.e, 1)
	default:
		c.denied(s, a.e, answers)
	}
	s.settle(a, err)
}

// learn asks for a container, and for the labels of its pod where its answer has
// none; those of one that was there before can wait for its pod's sandbox.
func (s *source) learn(ctx context.Context, a *ask) error {
	labels, ok := s.back.(podder)
	if a.pod {
		if s.cache.lacksLabels(a.e) {
			p, err := labels.pod(ctx, a.e.id)
			if err != nil {
				return err
			}
			s.cache.put(s, &Info{Pod: p, whole: true})
		}
		return nil
	}
	info, err := s.back.get(ctx, a.e.id)
	if err != nil {
		return err
	}
	if info.ID != a.e.id {
		return errNotFound // it answers names and beginnings of ids, too
	}
	if !ok || info.whole || info.Pod == nil || info.Pod.UID == "" || !s.system() || s.cache.podWhole(s, info.Pod.UID) {
		s.cache.put(s, info)
		return nil
	}
	if a.pod = true; !a.old {
		soon, cancel := context.WithTimeout(ctx, s.cache.opts.LabelsWait)
		defer cancel()
		if p, err := labels.pod(soon, a.e.id); err == nil {
			info.Pod, info.whole, a.pod = p, true, false
		}
	}
	if s.cache.put(s, info); a.pod {
		return errLabels
	}
	return nil
}

// errLabels says that a container is known, and the labels of its pod are not.
var errLabels = errors.New("labels of the pod not known yet")

// settle has an ask tried again, or ends it.
func (s *source) settle(a *ask, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.poke()
	s.count(a, -1)
	was := a.old
	a.old, a.slow = false, slow(err)
	var down *downError
	refused := errors.As(err, &down)
	switch {
	case err == nil, refused && was && !s.worked, !refused && a.try+1 == len(delays):
		delete(s.pending, a.e)
		return
	case was && errors.Is(err, errNotFound): // once more is enough: the next walk asks again
		a.try = len(delays) - 2
		a.due = time.Now().Add(delays[a.try+1])
		a.try++
	case errors.Is(err, errLabels):
		a.try++
		a.due = time.Now().Add(podPause << a.try)
	case refused && s.worked:
		a.due = time.Now()
	case a.try+1 == len(delays):
		delete(s.pending, a.e)
		return
	default:
		a.try++
		a.due = time.Now().Add(delays[a.try])
	}
	heap.Push(&s.asks, a)
}

func (s *source) hasWorked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.worked
}

// pause is the time to the next try of a source that refuses.
func (s *source) pause() time.Duration {
	return min(soonPause<<min(s.fails-1, 16), maxPause)
}

// complain warns of a failure of one container's, once for a source.
func (s *source) complain(id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.warned && s.system() {
		s.warned = true
		s.cache.opts.Warn(printable(fmt.Sprintf("%s: container %s: %v", s.path, id, err)))
	}
}

// report keeps how the last call went, and warns when that is news. Of a socket
// that was not asked for, that nobody serves and that never worked, it is not.
func (s *source) report(ctx context.Context, began time.Time, err error) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if name := s.back.version(); name != "" {
		s.name = name
	}
	now := time.Now()
	if err == nil {
		s.ok, s.worked, s.bad, s.fails, s.err = true, true, false, 0, nil
		s.quiet, s.retryAt, s.answered = time.Time{}, time.Time{}, now
		return
	}
	if slow(err) && (s.answered.After(began) || now.Sub(s.answered) < 2*s.cache.opts.Timeout) {
		return // it hangs for that one only, or is busy
	}
	if began.Before(s.failed) {
		return // of an outage that is counted
	}
	was := s.ok
	s.ok, s.err = false, err
	if !slow(err) {
		s.fails++
		s.failed = now
		s.retryAt = now.Add(s.pause())
	}
	unasked := absent(err) || errors.Is(err, ErrNoRuntime) || errors.Is(err, ErrNoPods)
	if s.bad || !s.explicit && !was && unasked || !s.system() && errors.Is(err, errUntrusted) {
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
	return Source{Name: name, Socket: s.path, OK: s.ok, Err: s.err}
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
	a.index = -1
	*h = old[:len(old)-1]
	return a
}
