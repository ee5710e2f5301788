//go:build vmguest

package cli

import (
	"errors"
	"slices"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/tracer"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// legacyScenarios are those whose facts cgroup v1 keeps elsewhere.
var legacyScenarios = []string{
	"cgroup-anon", "cgroup-swap-forbidden", "cgroup-swap-full", "cgroup-file", "cgroup-kernel", "cgroup-ancestor",
	"cgroup-nested-removed", "cgroup-deep", "cgroup-hostile-name", "no-victim", "system-noswap",
}

// TestLegacyScenarios runs under cgroup v1, alone or beside an empty v2
// hierarchy, what it does in another way than v2.
func TestLegacyScenarios(t *testing.T) {
	protectInit(t)
	needV1(t)
	s := startRun(t)
	for _, sc := range workload.Scenarios() {
		if slices.Contains(legacyScenarios, sc.Name) {
			t.Run(sc.Name, func(t *testing.T) { runScenario(t, s, sc) })
		}
	}
	t.Run("memsw", func(t *testing.T) { legacyMemsw(t, s) })
	t.Run("swappiness", func(t *testing.T) { legacySwappiness(t, s) })
	t.Run("machine-swappiness", func(t *testing.T) { legacyMachineSwappiness(t, s) })
}

func needV1(t *testing.T) {
	t.Helper()
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	if h.Version != 1 {
		t.Fatalf("the memory controller is in v%d", h.Version)
	}
}

// legacyKill overruns a cgroup of the given limits, with swap, once prepare has
// set more of it.
func legacyKill(t *testing.T, s *liveRun, l workload.Limits, prepare func(*workload.Cgroup) error) *oom.Record {
	t.Helper()
	g, err := workload.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := g.Swap(96*mib, 5); err != nil {
		t.Fatal(err)
	}
	s.pace(t)
	s.forget()
	c, err := g.Cgroup(nil, "legacy", l)
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		if err := prepare(c); err != nil {
			t.Fatal(err)
		}
	}
	p, err := g.Start(workload.Hog{Name: "legacy", Procs: c.Procs(), Steps: []workload.Step{{Kind: workload.Anon, Bytes: 256 * mib}}})
	if err != nil {
		t.Fatal(err)
	}
	if killed, err := p.Wait(t.Context()); err != nil || !killed {
		t.Fatalf("killed %v, %v", killed, err)
	}
	out := &workload.Outcome{Limit: c.Path, Cgroup: c.Path, Victims: []int{p.PID}}
	records := s.wait(t, 1, oom.KindKill, out)
	s.checkOutcome(t, out, records)
	s.checkLog(t, out, records)
	if v := records[0].Limit.Version; v != oom.Some(uint32(1)) {
		t.Errorf("cgroup version %v", v)
	}
	return &records[0]
}

// legacyMemsw: v1 counts memory and swap together.
func legacyMemsw(t *testing.T, s *liveRun) {
	const most, swap = 32 * mib, 16 * mib
	r := legacyKill(t, s, workload.Limits{MaxBytes: most, SwapBytes: swap}, nil)
	l := r.Limit
	if l.MaxBytes.Value != most || l.MemswMaxBytes.Value != most+swap || l.SwapMaxBytes.Known {
		t.Errorf("limits %v, memsw %v, swap %v", l.MaxBytes, l.MemswMaxBytes, l.SwapMaxBytes)
	}
	if used := l.MemswUsageBytes.Value; used < l.UsageBytes.Value || used > most+swap {
		t.Errorf("memsw %d used, memory %d", used, l.UsageBytes.Value)
	}
	if held := r.Victim.SwapBytes.Value; held < swap/2 || held > swap+mib {
		t.Errorf("%d in swap", held)
	}
}

// legacySwappiness: on v1 a cgroup has a swappiness of its own.
func legacySwappiness(t *testing.T, s *liveRun) {
	r := legacyKill(t, s, workload.Limits{MaxBytes: 32 * mib}, func(c *workload.Cgroup) error {
		return c.Set("memory.swappiness", "0")
	})
	if got := r.Limit.Swappiness; got != oom.Some(uint32(0)) {
		t.Errorf("swappiness %v", got)
	}
	if r.Memory.Swappiness.Value == 0 {
		t.Error("the machine's swappiness is the cgroup's")
	}
	verdict{is: "limit_anon", also: []string{"swap_swappiness_zero"}, not: []string{"swap_none", "swap_forbidden"}}.check(t, r)
}

// legacyMachineSwappiness: the machine's swappiness of 0 is not the cgroup's.
func legacyMachineSwappiness(t *testing.T, s *liveRun) {
	g := openGuest(t)
	r := legacyKill(t, s, workload.Limits{MaxBytes: 32 * mib}, func(c *workload.Cgroup) error {
		return errors.Join(c.Set("memory.swappiness", "60"), g.Sysctl("vm/swappiness", "0"))
	})
	if got := r.Limit.Swappiness; got != oom.Some(uint32(60)) {
		t.Errorf("swappiness %v", got)
	}
	if got := r.Memory.Swappiness; got != oom.Some(uint32(0)) {
		t.Errorf("the machine's swappiness %v", got)
	}
	verdict{is: "limit_anon", also: []string{"swap_full"}, not: []string{"swap_swappiness_zero", "swap_none", "swap_forbidden"}}.check(t, r)
}

// TestLegacyTiers makes one kill on each tier: the limit is named by those that
// see the decision, the victim's cgroup by all.
func TestLegacyTiers(t *testing.T) {
	protectInit(t)
	needV1(t)
	for _, tier := range tracer.Tiers() {
		t.Run(string(tier), func(t *testing.T) {
			s := startRun(t, "--attach", string(tier))
			r := legacyKill(t, s, workload.Limits{MaxBytes: 32 * mib, NoSwap: true}, nil)
			if r.Scope != oom.ScopeCgroup || r.Limit.MaxBytes.Value != 32*mib {
				t.Errorf("scope %q, limit %+v", r.Scope, r.Limit)
			}
		})
	}
}
