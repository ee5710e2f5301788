//go:build vmguest

package cli

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// TestGuestCandidates: the kernel weighs neither the machine's init, whatever its adjustment, nor a
// thread of its own that has a process's memory, as up to 6.3 the worker of vhost has its owner's.
func TestGuestCandidates(t *testing.T) {
	protectInit(t)
	s := startRun(t)
	const adj = "/proc/1/oom_score_adj"
	if err := os.WriteFile(adj, []byte("1000"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(adj, []byte("-1000"), 0); err != nil {
			t.Error(err)
		}
	})
	startVhost(t)
	for _, c := range s.complete(t, scenarioOf(t, "sysrq-f")).Candidates {
		if c.PID.Value == 1 || strings.HasPrefix(c.Comm, "vhost-") {
			t.Errorf("%d (%s) is a candidate", c.PID.Value, c.Comm)
		}
	}
}

// TestNUMACandidates: nor a process without a memory node in common, where a cpuset's nodes are full.
func TestNUMACandidates(t *testing.T) {
	protectInit(t)
	s := startRun(t)
	cpuset := scenarioOf(t, "system-cpuset")
	run, elsewhere := cpuset.Run, 0
	cpuset.Run = func(ctx context.Context, g *workload.Guest) (*workload.Outcome, error) {
		if err := os.WriteFile(g.H.Root+"/cgroup.subtree_control", []byte("+cpuset"), 0); err != nil {
			return nil, err
		}
		c, err := g.Cgroup(nil, "oomtrace-elsewhere", workload.Limits{})
		if err != nil {
			return nil, err
		}
		const mib = 1 << 20
		p, err := g.Start(workload.Hog{
			Name: "elsewhere", Adj: 500, Procs: c.Procs(), Waits: true, Steps: []workload.Step{{Kind: workload.Anon, Bytes: 64 * mib}},
		})
		if err != nil {
			return nil, err
		}
		elsewhere = p.PID
		if err := errors.Join(c.Set("cpuset.mems", "0"), p.Go(), p.Full(ctx)); err != nil {
			return nil, err
		}
		return run(ctx, g)
	}
	rec := s.complete(t, cpuset)
	weighed := func(pid int) bool {
		return slices.ContainsFunc(rec.Candidates, func(c oom.Candidate) bool { return c.PID == oom.Some(int32(pid)) })
	}
	if victim := int(rec.Victim.PID.Value); weighed(elsewhere) || !weighed(victim) {
		t.Errorf("of %d on another node and the victim %d: %+v", elsewhere, victim, rec.Candidates)
	}
}

func scenarioOf(t *testing.T, name string) workload.Scenario {
	t.Helper()
	sc, err := workload.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// startVhost makes a worker that has this process's memory.
func startVhost(t *testing.T) {
	t.Helper()
	f, err := os.Open("/dev/vhost-vsock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	const setOwner = 0xaf01 // VHOST_SET_OWNER
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), setOwner, 0); errno != 0 {
		t.Fatal(errno)
	}
}
