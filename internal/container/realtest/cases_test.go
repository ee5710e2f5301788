//go:build hosttest || vmguest

// Package realtest holds oomtrace against real container runtimes: real pods,
// real kills, on this machine or in a guest.
package realtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/records"
)

// limit is large enough for runc to start a container, which counts too.
const limit = 32 * mib

// bound is the longest that a record may be held up: enrich's own, and what a
// busy machine adds.
const bound = 500*time.Millisecond + slack

// containerdCases runs all kills that one running session can watch.
func containerdCases(t *testing.T, c *containerd) {
	s := startSession(t, c.socket()).ready(t)
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *containerd, *session)
	}{
		{"container limit", containerLimit},
		{"pod limit with a sibling", podLimit},
		{"same container name in two pods", sameName},
		{"removed when it dies", removed},
		{"stopped by force", stubborn},
		{"a long record in the log", longRecord},
		{"child dies and main process lives", childDies},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, c, s) })
	}
	for _, tc := range []struct {
		name string
		run  func(*testing.T, *containerd)
	}{
		{"started before", startedBefore},
		{"started in the same second", sameSecond},
		{"runtime killed and started again", runtimeRestarts},
		{"runtime stopped", runtimeStopped},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, c) })
	}
}

// hasLevel checks the limit, from the hooks or else from the kernel's log.
func hasLevel(t *testing.T, r *oom.Record, level oom.Level, cgroup string) {
	t.Helper()
	if r.Limit == nil {
		t.Error("no limit")
		return
	}
	if r.Limit.Level != level || r.Limit.Cgroup != cgroup {
		t.Errorf("limit %s of level %q, want %s of %q", r.Limit.Cgroup, r.Limit.Level, cgroup, level)
	}
}

func containerLimit(t *testing.T, c *containerd, s *session) {
	p := mustPod(t, c, "shop", "cart", 0)
	ct := p.mustRun(t, "app", limit, "eat", "200")
	g := s.killed(t, ct)
	owned(t, ct, &g.rec.Trigger.Owner)
	hasLevel(t, &g.rec, oom.LevelContainer, p.cgroup+"/"+ct.id)
	if limit := g.rec.Victim.Container.MemoryLimitBytes; limit.Known && limit.Value != 32*mib {
		t.Errorf("memory limit %d", limit.Value)
	}
}

func podLimit(t *testing.T, c *containerd, s *session) {
	p := mustPod(t, c, "shop", "both", 2*limit)
	sibling := p.mustRun(t, "sidecar", 0, "pause")
	ct := p.mustRun(t, "app", 0, "eat", "200")
	g := s.killed(t, ct)
	hasLevel(t, &g.rec, oom.LevelPod, p.cgroup)
	if state, err := sibling.state(t.Context()); err != nil || state != cri.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the sibling is %v, %v", state, err)
	}
	if n := len(s.of(sibling.id)); n > 0 {
		t.Errorf("%d kills of the sibling", n)
	}
}

func sameName(t *testing.T, c *containerd, s *session) {
	one, two := mustPod(t, c, "blue", "web", 0), mustPod(t, c, "green", "web", 0)
	a, b := one.mustRun(t, "app", limit, "wait", "200"), two.mustRun(t, "app", limit, "wait", "200")
	for _, ct := range []*ctr{b, a} {
		s.overrun(t, ct)
		s.killed(t, ct)
	}
}

// overrun tells a container to take its memory, until it is killed.
func (s *session) overrun(t *testing.T, ct *ctr) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if len(s.of(ct.id)) > 0 {
			return
		}
		if err := ct.overrun(); err != nil {
			return // it is gone, hence killed
		}
	}
}

// removed makes a record only when the runtime has forgotten the container and
// its pod.
func removed(t *testing.T, c *containerd, s *session) {
	p := mustPod(t, c, "shop", "gone", 0)
	ct, err := p.create(t.Context(), "app", limit, nil, "eat", "200")
	if err != nil {
		t.Fatal(err)
	}
	func() {
		s.gate.Lock()
		defer s.gate.Unlock()
		if err := ct.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := ct.exited(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.knows(t, ct.path(), ct.id)
		if err := ct.remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}()
	if g := s.killed(t, ct); g.took > slack {
		t.Errorf("held up for %v", g.took)
	}
	if _, err := ct.state(t.Context()); err == nil {
		t.Error("the runtime still knows the container: the test proves nothing")
	}
}

// longRecord reads a record back from the log of a container, which containerd has split.
func longRecord(t *testing.T, c *containerd, _ *session) {
	const size = 50_000
	p := mustPod(t, c, "kube-system", "oomtrace", 0)
	p.mustRun(t, "oomtrace", 0, "say", strconv.Itoa(size))
	path := filepath.Join(c.logs(), logName(p, "oomtrace"))
	var log []byte
	until(t, "the log has the whole record", func() bool {
		var err error
		log, err = os.ReadFile(path)
		return err == nil && bytes.Contains(log, []byte(" stdout F "))
	})
	if !bytes.Contains(log, []byte(" stdout P ")) {
		t.Fatal("the runtime did not split the line: the test proves nothing")
	}
	rec, err := records.NewReader(bytes.NewReader(log)).Next()
	if err != nil {
		t.Fatal(err)
	}
	if rec.Node != strings.Repeat("a ", size/2) {
		t.Errorf("a node of %d bytes", len(rec.Node))
	}
}

func childDies(t *testing.T, c *containerd, s *session) {
	p := mustPod(t, c, "shop", "parent", 0)
	ct := p.mustRun(t, "app", limit, "parent", "200")
	s.overrun(t, ct)
	g := s.killed(t, ct)
	if state, err := ct.state(t.Context()); err != nil || state != cri.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the main process is %v, %v", state, err)
	}
	if n := g.rec.Victim.NSPID; n.Known && n.Value == 1 {
		t.Error("the main process died")
	}
}

// startedBefore kills in a container that was there before oomtrace.
func startedBefore(t *testing.T, c *containerd) {
	p := mustPod(t, c, "shop", "early", 0)
	ct := p.mustRun(t, "app", limit, "wait", "200")
	s := startSession(t, c.socket()).ready(t)
	s.overrun(t, ct)
	if g := s.killed(t, ct); g.took > slack {
		t.Errorf("held up for %v", g.took)
	}
}

// sameSecond starts the container while the session starts, and does not wait
// for the cache.
func sameSecond(t *testing.T, c *containerd) {
	p := mustPod(t, c, "shop", "together", 0)
	done := make(chan error, 1)
	var ct *ctr
	go func() {
		var err error
		ct, err = p.run(t.Context(), "app", limit, "wait", "200")
		done <- err
	}()
	s := startSession(t, c.socket())
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.overrun(t, ct)
	s.killed(t, ct)
}

// runtimeRestarts kills before, while and after the runtime is dead.
func runtimeRestarts(t *testing.T, c *containerd) {
	p := mustPod(t, c, "shop", "durable", 0)
	first := p.mustRun(t, "first", limit, "wait", "200")
	second := p.mustRun(t, "second", limit, "wait", "200")
	third := p.mustRun(t, "third", limit, "wait", "200")
	s := startSession(t, c.socket()).ready(t)
	s.overrun(t, first)
	s.killed(t, first)
	c.kill(t)
	// A question without an answer has the cache notice.
	s.cache.Seen(p.cgroup + "/" + strings.Repeat("0", 64))
	s.overrun(t, second)
	s.killed(t, second)
	if err := c.start(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, c.logTail())
	}
	s.overrun(t, third)
	s.killed(t, third)
	// The socket is another one now.
	fourth := p.mustRun(t, "fourth", limit, "eat", "200")
	s.killed(t, fourth)
}

// runtimeStopped kills twice in containers that only the stopped runtime knows.
func runtimeStopped(t *testing.T, c *containerd) {
	p := mustPod(t, c, "shop", "silent", 0)
	known := p.mustRun(t, "known", limit, "wait", "200")
	s := startSession(t, c.socket()).ready(t)
	one, two := p.mustRun(t, "one", limit, "wait", "200"), p.mustRun(t, "two", limit, "wait", "200")
	for _, ct := range []*ctr{known, one, two} {
		s.knows(t, ct.path(), ct.id)
	}
	c.signal(t, syscall.SIGSTOP)
	resume := sync.OnceFunc(func() { c.signal(t, syscall.SIGCONT) })
	defer resume()
	blind := startSessionThatWaits(t, 0, c.socket())
	for n, ct := range []*ctr{one, two} {
		blind.overrun(t, ct)
		g := blind.wait(t, ct.id)[0]
		mine(t, ct, &g.rec.Victim.Owner)
		if named(&g.rec.Victim.Owner) {
			t.Errorf("%+v has names: the test proves nothing", g.rec.Victim.Owner)
		}
		if most := []time.Duration{bound, slack}[n]; g.took > most {
			t.Errorf("kill %d was held up for %v, at most %v expected", n, g.took, most)
		}
		// Who had asked in time has the names.
		s.killed(t, ct)
	}
	blind.overrun(t, known)
	s.killed(t, known)
	// Once it goes on, what it starts next is named in both.
	resume()
	next := p.mustRun(t, "next", limit, "wait", "200")
	for _, one := range []*session{s, blind} {
		one.knows(t, next.path(), next.id)
	}
	s.overrun(t, next)
	s.killed(t, next)
	blind.killed(t, next)
}

// many has containers start, overrun and vanish, in pods of their own.
func many(t *testing.T, c *containerd, n, workers int) {
	s := startSession(t, c.socket()).ready(t)
	began := time.Now()
	work := make(chan int)
	all := make([]*ctr, n)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range work {
				ct, err := vanish(t, c, i)
				if err != nil {
					t.Errorf("container %d: %v", i, err)
				}
				all[i] = ct
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
	elapsed := time.Since(began)
	if elapsed > manyWithin {
		t.Errorf("took %v", elapsed)
	}
	names := 0
	var worst time.Duration
	for _, ct := range all {
		if ct == nil {
			continue
		}
		all := s.wait(t, ct.id)
		if len(all) > 1 { // one process in each, and no group
			t.Errorf("%d records of one kill", len(all))
		}
		g := all[0]
		worst = max(worst, g.took)
		if mine(t, ct, &g.rec.Victim.Owner) && named(&g.rec.Victim.Owner) {
			owned(t, ct, &g.rec.Victim.Owner)
			names++
		}
	}
	fmt.Printf("%d containers in %v: %d with names, held up for %v at most\n", n, elapsed.Round(time.Second), names, worst)
	if most := max(namesWait, 500*time.Millisecond) + slack; worst > most {
		t.Errorf("held up for %v, at most %v expected", worst, most)
	}
	if names*100 < n*99 {
		t.Errorf("%d of %d records have names", names, n)
	}
}

// vanish runs one container to its kill and removes it and its pod at once.
func vanish(t *testing.T, c *containerd, i int) (*ctr, error) {
	p, err := c.runPod(t.Context(), "burst", fmt.Sprintf("job-%d", i), 0)
	if err != nil {
		return nil, err
	}
	ct, err := p.run(t.Context(), "app", limit, "eat", "200")
	if err != nil {
		return nil, err
	}
	if err := ct.exited(t.Context()); err != nil {
		return nil, err
	}
	if err := ct.remove(t.Context()); err != nil {
		return nil, err
	}
	return ct, p.remove(t.Context())
}
