// Benchguest runs in a guest: it measures oomtrace and its peers side by side,
// each with the same kills, and prints a table.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

const mib = 1 << 20

func main() {
	workload.Main()
	if slices.Contains(os.Args, nothing) {
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// tracer is one of those compared.
type tracer struct {
	name     string
	args     []string
	pid      *regexp.Regexp // finds the victim's in a line
	terminal bool           // stdout is one: a C program writes each line at once
}

func tracers() []tracer {
	ours := regexp.MustCompile(`^\{"schema":1,"id":"[^"]*","kind":"kill",.*?"victim":\{"pid":(\d+)`)
	theirs := regexp.MustCompile(`OOM kill of PID (\d+)`)
	flags := []string{"-o", "json", "--ready-file", "/tmp/ready"}
	return []tracer{
		{name: "oomtrace", args: append([]string{"/oomtrace"}, flags...), pid: ours},
		{name: "the other build", args: append([]string{"/oomtrace-beside"}, flags...), pid: ours},
		{name: "oomkill (libbpf-tools)", args: []string{"/usr/sbin/oomkill"}, pid: theirs},
		{name: "oomkill on a terminal", args: []string{"/usr/sbin/oomkill"}, pid: theirs, terminal: true},
		{name: "bpftrace oomkill.bt", args: []string{"/usr/bin/bpftrace", "/usr/sbin/oomkill.bt"}, pid: theirs},
	}
}

func run() error {
	if err := os.WriteFile("/proc/sys/kernel/bpf_stats_enabled", []byte("1"), 0); err != nil {
		return err
	}
	if slices.Contains(os.Args, "-signals") {
		return signals()
	}
	if err := os.WriteFile("/proc/1/oom_score_adj", []byte("-1000"), 0); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0); err != nil {
		return err
	}
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug"} {
		_ = unix.Mount("none", dir, map[string]string{"/sys/kernel/tracing": "tracefs", "/sys/kernel/debug": "debugfs"}[dir], 0, "")
	}
	switch {
	case slices.Contains(os.Args, "-charges"):
		return errors.Join(charges(), added())
	case slices.Contains(os.Args, "-idle"):
		return idle()
	}
	if err := latency(tracers()); err != nil {
		return err
	}
	if slices.Contains(os.Args, "-latency") {
		return nil
	}
	fmt.Print("\n| storms, kills/s | without the tracer | with it | with its reader stopped |\n|---|---|---|---|\n")
	for _, tr := range []tracer{tracers()[0], tracers()[2]} {
		if rates, err := storms(tr); err != nil {
			fmt.Printf("| %s | %v |\n", tr.name, err)
		} else {
			fmt.Printf("| %s | %.0f | %.0f | %.0f |\n", tr.name, rates[0], rates[1], rates[2])
		}
	}
	if !slices.Contains(os.Args, "-all") {
		return nil // -short
	}
	return errors.Join(signals(), long())
}

// process is a running tracer whose lines are stamped as they come.
type process struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	lines map[int]time.Duration // by the pid they name
	count int
}

// monotonic is CLOCK_MONOTONIC.
func monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

func startTracer(tr tracer) (*process, time.Duration, error) {
	_ = os.Remove("/tmp/ready")
	before := programs()
	p := &process{cmd: exec.Command(tr.args[0], tr.args[1:]...), lines: map[int]time.Duration{}}
	p.cmd.Stderr = os.Stderr
	out, err := p.output(tr.terminal)
	if err != nil {
		return nil, 0, err
	}
	started := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, 0, err
	}
	go p.read(out, tr.pid)
	for time.Since(started) < time.Minute {
		time.Sleep(5 * time.Millisecond)
		if strings.HasPrefix(tr.args[0], "/oomtrace") {
			if _, err := os.Stat("/tmp/ready"); err == nil {
				return p, time.Since(started), nil
			}
			continue
		}
		n := programs()
		if n > before {
			return p, time.Since(started), nil
		}
		before = n // the last one's go a while after it
	}
	return nil, 0, errors.New("did not get ready within a minute")
}

// output is where the tracer's stdout can be read.
func (p *process) output(terminal bool) (io.Reader, error) {
	if !terminal {
		return p.cmd.StdoutPipe()
	}
	end, tty, err := pty.Open()
	p.cmd.Stdout = tty
	return end, err
}

func (p *process) read(r io.Reader, pid *regexp.Regexp) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, mib)
	for lines.Scan() {
		now := monotonic()
		// The pid stands near the begin; to search the rest is the reader's cost,
		// not the tracer's.
		m := pid.FindSubmatch(lines.Bytes()[:min(len(lines.Bytes()), 1024)])
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(string(m[1]))
		p.mu.Lock()
		p.lines[n] = now
		p.count++
		p.mu.Unlock()
	}
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt)
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
}

// programs counts the loaded BPF programs.
func programs() int {
	n := 0
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		n++
	}
	return n
}

// bpfTime is what all BPF programs together have run.
func bpfTime() time.Duration {
	sum, _ := bpfStats()
	return sum
}

// bpfRuns is how often.
func bpfRuns() uint64 {
	_, runs := bpfStats()
	return runs
}

func bpfStats() (sum time.Duration, runs uint64) {
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

// storms runs three kinds of storm in turn, and gives the median of each: the
// rates drift, with the host's load and the guest's age.
func storms(tr tracer) (medians [3]float64, err error) {
	const rounds = 7
	var rates [3][]float64
	add := func(kind int) error {
		rate, err := storm(4, 100) // fits the ring buffer while no process reads
		rates[kind] = append(rates[kind], rate)
		return err
	}
	for range rounds {
		if err := add(0); err != nil {
			return medians, err
		}
		p, _, err := startTracer(tr)
		if err != nil {
			return medians, err
		}
		err = add(1)
		if err == nil {
			time.Sleep(time.Second) // what it has not read yet
			err = p.cmd.Process.Signal(unix.SIGSTOP)
		}
		if err == nil {
			err = add(2)
		}
		_ = p.cmd.Process.Signal(unix.SIGCONT)
		p.stop()
		if err != nil {
			return medians, err
		}
	}
	for i := range rates {
		slices.Sort(rates[i])
		medians[i] = rates[i][rounds/2]
	}
	return medians, nil
}

// resident is VmRSS and the anonymous part of it.
func resident(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "?"
	}
	values := map[string]int{}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		if f := strings.Fields(rest); len(f) == 2 {
			values[name], _ = strconv.Atoi(f[0])
		}
	}
	return fmt.Sprintf("%.1f MiB (anonymous %.1f)", float64(values["VmRSS"])/1024, float64(values["RssAnon"])/1024)
}

func overrun(name string) (int, error) {
	h, err := workload.FindHierarchy()
	if err != nil {
		return 0, err
	}
	c, err := h.Make(nil, name, workload.Limits{MaxBytes: 8 * mib})
	if err != nil {
		return 0, err
	}
	p, err := workload.Start(workload.Hog{Name: "bench", Procs: c.Procs(), Steps: []workload.Step{{Kind: workload.Anon, Bytes: 64 * mib}}})
	if err != nil {
		return 0, err
	}
	_, err = p.Wait(context.Background())
	return p.PID, errors.Join(err, c.Remove())
}

// storm kills rounds times n processes by memory.oom.group and gives the rate.
func storm(rounds, n int) (float64, error) {
	h, err := workload.FindHierarchy()
	if err != nil {
		return 0, err
	}
	var took time.Duration
	for range rounds {
		c, err := h.Make(nil, "bench-storm", workload.Limits{MaxBytes: int64(n) * mib / 2, Group: true})
		if err != nil {
			return 0, err
		}
		started := time.Now()
		p, err := workload.Start(workload.Hog{Name: "storm", Procs: c.Procs(), Copies: n, Steps: []workload.Step{{Kind: workload.Anon, Bytes: mib}}})
		if err != nil {
			return 0, err
		}
		if _, err := p.Wait(context.Background()); err != nil {
			return 0, err
		}
		took += time.Since(started)
		if err := c.Remove(); err != nil {
			return 0, err
		}
	}
	return float64(rounds*n) / took.Seconds(), nil
}

// long measures oomtrace alone: many tasks to weigh, and ten thousand kills.
func long() error {
	tr := tracers()[0]
	p, _, err := startTracer(tr)
	if err != nil {
		return err
	}
	defer p.stop()
	fmt.Print("\n| tasks weighed | BPF time of the kill | of it for each task |\n|---|---|---|\n")
	for _, n := range []int{10, 1000, 20000} {
		d, err := crowd(n)
		if err != nil {
			fmt.Printf("| %d | %v |\n", n, err)
			continue
		}
		fmt.Printf("| %d | %v | %v |\n", n, d.Round(time.Microsecond), (d / time.Duration(n)).Round(time.Nanosecond))
	}
	p.mu.Lock()
	before := p.count
	p.mu.Unlock()
	const kills = 10_000
	cpu := cpuTime(p.cmd.Process.Pid)
	rate, err := storm(kills/200, 200)
	if err != nil {
		return err
	}
	time.Sleep(3 * time.Second)
	p.mu.Lock()
	written := p.count - before
	p.mu.Unlock()
	cpu = cpuTime(p.cmd.Process.Pid) - cpu
	fmt.Printf("\n%d kills in a row: %d written, %.0f kills/s, %v of CPU for each in the tracer's process, resident after %s\n",
		kills, written, rate, (cpu / time.Duration(max(written, 1))).Round(time.Microsecond), resident(p.cmd.Process.Pid))
	return nil
}

// cpuTime is what the threads of a process have run so far
// (Documentation/scheduler/sched-stats.rst).
func cpuTime(pid int) time.Duration {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	var sum time.Duration
	for _, t := range threads {
		b, _ := os.ReadFile(filepath.Clean(t))
		ran, _, _ := strings.Cut(string(b), " ")
		n, _ := strconv.ParseInt(ran, 10, 64)
		sum += time.Duration(n)
	}
	return sum
}

// crowd gives the BPF time of one kill among n tasks of a cgroup.
func crowd(n int) (time.Duration, error) {
	h, err := workload.FindHierarchy()
	if err != nil {
		return 0, err
	}
	c, err := h.Make(nil, "bench-crowd", workload.Limits{})
	if err != nil {
		return 0, err
	}
	many, err := workload.Start(workload.Hog{Name: "crowd", Procs: c.Procs(), Copies: n, Steps: []workload.Step{{Kind: workload.Anon, Bytes: 4096}}})
	if err != nil {
		return 0, err
	}
	for range 600 {
		b, err := os.ReadFile(filepath.Clean(c.Procs()))
		if err != nil {
			return 0, err
		}
		if strings.Count(string(b), "\n") >= n {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	usage, err := c.Get("memory.current")
	if err != nil {
		return 0, err
	}
	bytes, err := strconv.ParseInt(strings.TrimSpace(usage), 10, 64)
	if err != nil {
		return 0, err
	}
	if err := c.Set("memory.max", strconv.FormatInt(bytes+16*mib, 10)); err != nil {
		return 0, err
	}
	before := bpfTime()
	hog, err := workload.Start(workload.Hog{Name: "hog", Adj: 900, Procs: c.Procs(), Steps: []workload.Step{{Kind: workload.Anon, Bytes: 256 * mib}}})
	if err != nil {
		return 0, err
	}
	if _, err := hog.Wait(context.Background()); err != nil {
		return 0, err
	}
	d := bpfTime() - before
	return d, errors.Join(many.Stop(), c.Remove())
}
