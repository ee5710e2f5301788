//go:build vmguest

package history_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
	"github.com/oomtrace/oomtrace/internal/tracer"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// TestGuestCost measures what the programs run while memory is taken and given back, and
// while processes begin and end. What that leaves of the speed is "make bench".
func TestGuestCost(t *testing.T) {
	g, err := workload.Open()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := tracer.Open(t.Context(), tracer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(tr.Close(), g.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := tr.History(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 200} {
		t.Run(fmt.Sprintf("page faults, %d cgroups", n), func(t *testing.T) {
			c, err := g.Churn(n, mib/4)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Begun(t.Context()); err != nil {
				t.Fatal(err)
			}
			programShare(t, func() float64 {
				before := c.Pages()
				time.Sleep(2 * time.Second)
				return float64(c.Pages() - before)
			})
			if err := c.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("fork and exec", func(t *testing.T) {
		programShare(t, func() (n float64) {
			for end := time.Now().Add(2 * time.Second); time.Now().Before(end); n++ {
				if err := exec.Command("/proc/self/exe", "-test.run", "^$").Run(); err != nil {
					t.Fatal(err)
				}
			}
			return n
		})
	})
}

// programShare holds against a bound how much of a CPU the programs take, by the
// kernel's own clock.
func programShare(t *testing.T, run func() float64) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/kernel/bpf_stats_enabled", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.WriteFile("/proc/sys/kernel/bpf_stats_enabled", []byte("0"), 0) }()
	before, runs := programTime(t)
	begin := time.Now()
	n := run()
	took := time.Since(begin)
	after, runsAfter := programTime(t)
	share := 100 * float64(after-before) / float64(took)
	t.Logf("%.0f in %v: %d runs of programs, %v each, %.2f %% of a CPU", n, took.Round(time.Millisecond),
		runsAfter-runs, (after-before)/time.Duration(max(runsAfter-runs, 1)), share)
	// What a busy host takes from the guest is in it.
	if share > 5 || runsAfter == runs {
		t.Errorf("programs ran %d times, %.2f %% of a CPU", runsAfter-runs, share)
	}
}

func programTime(t *testing.T) (sum time.Duration, runs uint64) {
	t.Helper()
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		prog, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue
		}
		if s, err := prog.Stats(); err == nil {
			sum, runs = sum+s.Runtime, runs+s.RunCount
		}
		_ = prog.Close()
	}
	return sum, runs
}

// TestGuestManyCgroups: of a thousand cgroups that were made, charged and removed, nothing
// is left, and nothing of them is in the record of a kill in another one of their paths.
// TestHostManyCgroups is about ten thousand, in the sampler.
func TestGuestManyCgroups(t *testing.T) {
	const many = 1_000
	o := observe(t, "many", tracer.Options{}, false)
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	growths := o.maps[probe.HistoryMapGrowths]
	before, peak := entries(t, growths), 0
	for i := range many {
		c, err := h.Make(nil, "many-"+strconv.Itoa(i), workload.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			visit(t, c)
			peak = max(peak, entries(t, growths)-before)
		}
		if err := c.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if left := entries(t, growths) - before; left > 1 || peak == 0 {
		t.Errorf("%d entries are left, %d at most", left, peak)
	}
	born := now()
	c, err := h.Make(nil, "many-0", workload.Limits{MaxBytes: 8 * mib})
	if err != nil {
		t.Fatal(err)
	}
	end := hog("end", anon(64*mib, 0))
	end.Procs, end.Adj = c.Procs(), 1000
	p, err := workload.Start(end)
	if err != nil {
		t.Fatal(err)
	}
	if killed, err := p.Wait(t.Context()); err != nil || !killed {
		t.Fatalf("killed %v: %v", killed, err)
	}
	rec := o.record(t, c.Path).exact
	if h := rec.History; h == nil || h.Source != oom.HistoryExact || h.SpanNS.Value > rec.UptimeNS.Value-born {
		t.Errorf("made %d ns before, history %+v", rec.UptimeNS.Value-born, h)
	}
	if err := c.Remove(); err != nil {
		t.Error(err)
	}
}

// visit has a process take memory in a cgroup, and waits for its end.
func visit(t *testing.T, c *workload.Cgroup) {
	t.Helper()
	h := hog("visit", anon(mib, 0))
	h.Procs = c.Procs()
	p, err := workload.Start(h)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Full(t.Context()), p.Stop()); err != nil {
		t.Fatal(err)
	}
}

func entries(t *testing.T, m *ebpf.Map) (n int) {
	t.Helper()
	var key uint64
	var value probe.HistoryGrowth
	it := m.Iterate()
	for it.Next(&key, &value) {
		n++
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}
