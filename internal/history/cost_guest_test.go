//go:build vmguest

package history_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/history"
	"github.com/oomtrace/oomtrace/internal/probe"
	"github.com/oomtrace/oomtrace/internal/tracer"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// TestGuestCost measures page faults and fork+exec with and without the counting of
// charges, in turns, and what the programs themselves ran.
func TestGuestCost(t *testing.T) {
	if err := os.WriteFile("/proc/sys/kernel/bpf_stats_enabled", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	g, err := workload.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, n := range []int{1, 200} {
		name := fmt.Sprintf("page faults, %d cgroups", n)
		t.Run(name, func(t *testing.T) {
			count := churn(t, g, n)
			compare(t, func(d time.Duration) float64 {
				before := binary.NativeEndian.Uint64(count)
				time.Sleep(d)
				return float64(binary.NativeEndian.Uint64(count) - before)
			})
		})
	}
	t.Run("fork and exec", func(t *testing.T) {
		compare(t, func(d time.Duration) float64 {
			n := 0.0
			for end := time.Now().Add(d); time.Now().Before(end); n++ {
				cmd := exec.Command("/proc/self/exe", "-test.run", "^$")
				if err := cmd.Run(); err != nil {
					t.Fatal(err)
				}
			}
			return n
		})
	})
}

// churn has n processes in n cgroups on one CPU take and give back memory, and gives
// the count of pages.
func churn(t *testing.T, g *workload.Guest, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "count")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	count, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(count) })
	h := workload.Hog{Name: "churn", Copies: max(n, 2), OneCPU: true, Steps: []workload.Step{{Kind: workload.Churn, Bytes: mib, Path: path}}}
	for i := range h.Copies { // with one cgroup, two take turns in it
		name := "churn-" + strconv.Itoa(n) + "-" + strconv.Itoa(min(i, n-1))
		if i < n {
			c, err := g.Cgroup(nil, name, workload.Limits{MaxBytes: 64 * mib})
			if err != nil {
				t.Fatal(err)
			}
			h.EachProcs = append(h.EachProcs, c.Procs())
		} else {
			h.EachProcs = append(h.EachProcs, h.EachProcs[0])
		}
	}
	p, err := workload.Start(h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	time.Sleep(2 * time.Second)
	return count
}

// compare runs something in turns without and with the programs. An emulated machine
// on a busy host is no measure of a percent; the bound is on what the programs ran.
func compare(t *testing.T, run func(time.Duration) float64) {
	t.Helper()
	const rounds, turn = 5, 700 * time.Millisecond
	var rates [2][]float64
	tr, err := tracer.Open(t.Context(), tracer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.History(); err != nil {
		t.Fatal(err)
	}
	_ = tr.Close()
	for range rounds {
		for with := range 2 {
			var tr *tracer.Tracer
			if with == 1 {
				if tr, err = tracer.Open(t.Context(), tracer.Options{}); err != nil {
					t.Fatal(err)
				}
			}
			begin := time.Now()
			n := run(turn)
			rates[with] = append(rates[with], n/time.Since(begin).Seconds())
			if tr != nil {
				if err := tr.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var median [2]float64
	for i := range rates {
		slices.Sort(rates[i])
		median[i] = rates[i][rounds/2]
	}
	loss := 100 * (1 - median[1]/median[0])
	share := programShare(t, run)
	t.Logf("%.0f a second without, %.0f with: %.1f %% fewer; programs ran %.2f %% of a CPU", median[0], median[1], loss, share)
	if share > 3 {
		t.Errorf("programs take %.2f %% of a CPU", share)
	}
}

// programShare is how much of a CPU the programs take, by the kernel's own clock.
func programShare(t *testing.T, run func(time.Duration) float64) float64 {
	t.Helper()
	tr, err := tracer.Open(t.Context(), tracer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close() }()
	if err := os.WriteFile("/proc/sys/kernel/bpf_stats_enabled", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.WriteFile("/proc/sys/kernel/bpf_stats_enabled", []byte("0"), 0) }()
	before, runs := programTime(t)
	begin := time.Now()
	n := run(time.Second)
	took := time.Since(begin)
	after, runsAfter := programTime(t)
	t.Logf("%.0f in %v: %d runs of programs, %v each", n, took.Round(time.Millisecond), runsAfter-runs, (after-before)/time.Duration(max(runsAfter-runs, 1)))
	return 100 * float64(after-before) / float64(took)
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

// TestGuestManyCgroups: of a thousand cgroups that were made, charged and removed,
// nothing is left.
func TestGuestManyCgroups(t *testing.T) {
	const many = 1_000
	tr, err := tracer.Open(t.Context(), tracer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close() }()
	r, err := history.Open(history.Options{Maps: tr.HistoryMaps()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	growths := tr.HistoryMaps()[probe.HistoryMapGrowths]
	before, peak := entries(t, growths), 0
	for i := range many {
		c, err := h.Make(nil, "many-"+strconv.Itoa(i), workload.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r.Notice(c.Path)
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
