//go:build vmguest

package realtest

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// patience is long: guests are emulated.
	patience = 4 * time.Minute
	slack    = 5 * time.Second
	// manyWithin is how long the many containers may take.
	manyWithin = 20 * time.Minute
	// namesWait keeps the guest's speed out of what is tested: that the names
	// come, not when.
	namesWait = 30 * time.Second
)

func TestMain(m *testing.M) {
	if err := errors.Join(moveRoot(), os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// moveRoot makes the root a mount above the initial one, from which nothing can
// move away (fs/namespace.c, pivot_root): runc must.
func moveRoot() error {
	const root = "/newroot"
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/", root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind root: %w", err)
	}
	if err := unix.Chroot(root); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	return os.Chdir("/")
}

// TestGuestContainerd kills in pods of a real containerd on cgroup v2.
func TestGuestContainerd(t *testing.T) {
	c := startContainerd(t, "/hog")
	containerdCases(t, c)
	t.Run("oom.group", func(t *testing.T) { group(t, c) })
	t.Run("system", func(t *testing.T) { system(t, c) })
	t.Run("many", func(t *testing.T) { many(t, c, 10, 2) })
}

// group kills four processes at once, as kubelet asks for on cgroup v2.
func group(t *testing.T, c *containerd) {
	s := startSession(t, c.socket()).ready(t)
	p := mustPod(t, c, "shop", "group", 0)
	ct, err := p.create(t.Context(), "app", limit, map[string]string{"memory.oom.group": "1"}, "group", "4", "200")
	if err != nil {
		t.Fatal(err)
	}
	if err := ct.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The chosen process is marked twice when its first thread has left before
	// its turn comes: the mark is a thread's (mm/oom_kill.c, mark_oom_victim).
	victims := func() map[int64]bool {
		pids := map[int64]bool{}
		for _, g := range s.of(ct.id) {
			pids[int64(g.rec.Victim.PID.Value)] = true
		}
		return pids
	}
	for deadline := time.Now().Add(patience); len(victims()) < 4 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	all := s.of(ct.id)
	if len(victims()) != 4 {
		t.Fatalf("victims %v, want 4", victims())
	}
	for _, g := range all {
		owned(t, ct, &g.rec.Victim.Owner)
		if g.rec.Incident != all[0].rec.Incident || g.rec.Incident == "" {
			t.Errorf("incident %q, the first has %q", g.rec.Incident, all[0].rec.Incident)
		}
	}
	hasLevel(t, &all[0].rec, oom.LevelContainer, p.cgroup+"/"+ct.id)
}

// system takes all memory of the machine in a container without a limit.
func system(t *testing.T, c *containerd) {
	s := startSession(t, c.socket()).ready(t)
	p := mustPod(t, c, "shop", "unlimited", 0)
	ct := p.mustRun(t, "app", 0, "eat", "4096")
	g := s.killed(t, ct)
	if g.rec.Scope != oom.ScopeSystem || g.rec.Limit != nil {
		t.Errorf("scope %q, limit %+v", g.rec.Scope, g.rec.Limit)
	}
}
