package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// load is work that oomtrace may slow down.
type load struct {
	name string
	run  rate
}

// rate does work for a while, and gives how much of it a second.
type rate func(context.Context, time.Duration) (float64, error)

// loads are those that the flight recording may slow down. What is charged is charged to
// cgroups with a limit: the root has none.
func loads(g *workload.Guest) ([]load, error) {
	churn := func(n int, bytes int64) rate {
		return func(ctx context.Context, d time.Duration) (float64, error) {
			c, err := g.Churn(n, bytes)
			if err != nil {
				return 0, err
			}
			if err := c.Begun(ctx); err != nil {
				return 0, errors.Join(err, c.Stop())
			}
			time.Sleep(d / 4) // each has had its turn
			before, began := c.Pages(), time.Now()
			time.Sleep(d)
			pages := float64(c.Pages() - before)
			return pages / time.Since(began).Seconds(), c.Stop()
		}
	}
	group, err := g.Cgroup(nil, "bench-jobs", workload.Limits{MaxBytes: 1 << 30})
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(group.Procs()))
	if err != nil {
		return nil, err
	}
	source, err := program()
	if err != nil {
		return nil, err
	}
	return []load{
		{"pages of 4 KiB taken in one cgroup", churn(1, mib/4)},
		{"pages of 4 KiB taken in 200 cgroups on one CPU", churn(200, mib/4)},
		{"pages taken as huge pages in one cgroup", churn(1, 32*mib)},
		{"fork and exec", jobs(dir, "/proc/self/exe", nothing)},
		{"compile job", jobs(dir, "/compile", "-c=1", "-p", "main", "-o", os.DevNull, source)},
	}, nil
}

// program writes one for the compiler: it imports nothing.
func program() (string, error) {
	const path = "/tmp/main.go"
	var b strings.Builder
	b.WriteString("package main\n\nfunc main() {}\n")
	for i := range 100 {
		fmt.Fprintf(&b, "\nfunc f%d(m map[string]int, s []string) (n int) {\n\tfor i, v := range s {\n\t\tif m[v] > i {\n\t\t\tn += m[v] * %d\n\t\t}\n\t}\n\treturn n\n}\n", i, i)
	}
	return path, os.WriteFile(path, []byte(b.String()), 0o600)
}

// nothing is the argument of a process that ends at once.
const nothing = "-nothing"

// jobs runs a program in a cgroup, one after the other.
func jobs(cgroup *os.File, program string, args ...string) rate {
	return func(ctx context.Context, d time.Duration) (float64, error) {
		n, began := 0.0, time.Now()
		for ; time.Since(began) < d; n++ {
			cmd := exec.CommandContext(ctx, program, args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}
			if out, err := cmd.CombinedOutput(); err != nil {
				return 0, fmt.Errorf("%w: %s", err, out)
			}
		}
		return n / time.Since(began).Seconds(), nil
	}
}

// charges measures what following each charge costs: the same work in turns without
// and with oomtrace, then the programs' own time.
func charges() error {
	g, err := workload.Open()
	if err != nil {
		return err
	}
	all, err := loads(g)
	if err == nil {
		err = errors.Join(stats(false), sideBySide(all), programTimes(all))
	}
	return errors.Join(err, g.Close())
}

func sideBySide(all []load) error {
	const rounds, turn = 3, time.Second
	rates := make([][2][]float64, len(all))
	for range rounds {
		for with := range 2 {
			err := traced(with == 1, func() error {
				for i, l := range all {
					n, err := l.run(context.Background(), turn)
					if err != nil {
						return fmt.Errorf("%s: %w", l.name, err)
					}
					rates[i][with] = append(rates[i][with], n)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	fmt.Print("\n| a second | without | with oomtrace | fewer, median of the rounds | least and most |\n|---|---|---|---|---|\n")
	for i, l := range all {
		var losses []float64
		for n := range rounds {
			losses = append(losses, 100*(1-rates[i][1][n]/rates[i][0][n]))
		}
		slices.Sort(losses)
		fmt.Printf("| %s | %.0f | %.0f | %.2f %% | %.2f to %.2f %% |\n", l.name, median(rates[i][0]), median(rates[i][1]),
			losses[rounds/2], losses[0], losses[rounds-1])
	}
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// traced runs something beside oomtrace, or alone.
func traced(with bool, run func() error) error {
	if !with {
		return run()
	}
	p, _, err := startTracer(tracers()[0])
	if err != nil {
		return err
	}
	defer p.stop()
	time.Sleep(time.Second) // its start is over
	return run()
}

// stats turns the kernel's clock for programs on or off: it has a cost of its own.
func stats(on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	return os.WriteFile("/proc/sys/kernel/bpf_stats_enabled", []byte(value), 0)
}

// programTimes is what the programs themselves ran, by the kernel's clock.
func programTimes(all []load) error {
	if err := stats(true); err != nil {
		return err
	}
	fmt.Print("\n| with oomtrace | runs of programs a second | each | share of a CPU |\n|---|---|---|---|\n")
	return traced(true, func() error {
		for _, l := range all {
			before, runs, began := bpfTime(), bpfRuns(), time.Now()
			if _, err := l.run(context.Background(), time.Second); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			took, n := time.Since(began), bpfRuns()-runs
			ran := bpfTime() - before
			fmt.Printf("| %s | %.0f | %v | %.2f %% |\n", l.name, float64(n)/took.Seconds(), ran/time.Duration(max(n, 1)), 100*float64(ran)/float64(took))
		}
		return nil
	})
}

// added is what following growth adds to the memory of the maps and of the process.
func added() error {
	fmt.Print("\n| | maps | resident |\n|---|---|---|\n")
	for _, mode := range []string{"off", "sampled", "auto"} {
		tr := tracers()[0]
		tr.args = append(tr.args, "--history", mode)
		p, _, err := startTracer(tr)
		if err != nil {
			return err
		}
		time.Sleep(10 * time.Second)
		bytes, err := mapMemory(p.cmd.Process.Pid)
		if err != nil {
			return err
		}
		fmt.Printf("| --history %s | %.2f MiB | %s |\n", mode, float64(bytes)/mib, resident(p.cmd.Process.Pid))
		p.stop()
	}
	return nil
}

// mapMemory is what the maps that a process has open take, as the kernel counts it
// (memlock of their fdinfo).
func mapMemory(pid int) (sum uint64, err error) {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), "map_type:") {
			continue // closed since, or none
		}
		_, rest, _ := strings.Cut(string(b), "memlock:")
		var bytes uint64
		if _, err := fmt.Sscan(rest, &bytes); err != nil {
			return 0, fmt.Errorf("%s: memlock: %w", path, err)
		}
		sum += bytes
	}
	return sum, nil
}

// idle measures the process at rest beside cgroups of services.
func idle() error {
	const settle, span = 90 * time.Second, 40 * time.Second
	h, err := workload.FindHierarchy()
	if err != nil {
		return err
	}
	slice, err := h.Make(nil, "system.slice", workload.Limits{})
	if err != nil {
		return err
	}
	fmt.Print("\n| cgroups at rest | CPU of the process | resident |\n|---|---|---|\n")
	var groups []*workload.Cgroup
	for _, n := range []int{500, 10_000} {
		for len(groups) < n {
			c, err := h.Make(slice, "unit-"+strconv.Itoa(len(groups))+".service", workload.Limits{})
			if err != nil {
				return err
			}
			groups = append(groups, c)
		}
		p, _, err := startTracer(tracers()[0])
		if err != nil {
			return err
		}
		time.Sleep(settle) // it comes to know them
		before := cpuExact(p.cmd.Process.Pid)
		time.Sleep(span)
		used := cpuExact(p.cmd.Process.Pid) - before
		fmt.Printf("| %d | %.3f %% | %s |\n", n, 100*float64(used)/float64(span), resident(p.cmd.Process.Pid))
		p.stop()
	}
	for _, c := range slices.Backward(groups) {
		err = errors.Join(err, c.Remove())
	}
	return errors.Join(err, slice.Remove())
}

// cpuExact is what the threads of a process have run (Documentation/scheduler/sched-stats.rst).
func cpuExact(pid int) (sum time.Duration) {
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, path := range paths {
		var ns int64
		if b, err := os.ReadFile(path); err == nil {
			_, _ = fmt.Sscan(string(b), &ns)
		}
		sum += time.Duration(ns)
	}
	return sum
}
