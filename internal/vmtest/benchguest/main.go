// Benchguest runs in a guest: it measures oomtrace and its peers side by side,
// each with the same kills, and prints a table.
package main

import (
	"bufio"
	"bytes"
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
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/vmtest/witness"
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
	name string
	args []string
	pid  *regexp.Regexp // finds the victim's in a line
}

func tracers() []tracer {
	return []tracer{
		{"oomtrace", []string{"/oomtrace", "-o", "json", "--ready-file", "/tmp/ready"}, regexp.MustCompile(`^\{"schema":1,"id":"[^"]*","kind":"kill",.*?"victim":\{"pid":(\d+)`)},
		{"oomkill (libbpf-tools)", []string{"/usr/sbin/oomkill"}, regexp.MustCompile(`OOM kill of PID (\d+)`)},
		{"bpftrace oomkill.bt", []string{"/usr/bin/bpftrace", "/usr/sbin/oomkill.bt"}, regexp.MustCompile(`OOM kill of PID (\d+)`)},
	}
}

// result is one row.
type result struct {
	name       string
	ready      time.Duration
	rss        string
	p50, p99   time.Duration
	seen       int // of the kills, within 3 s
	bpfPerKill time.Duration
	storms     [3]float64 // kills/s without it, with it, and with its reader stopped
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
	fmt.Println("| | start to ready | resident, idle | kill to line p50 | p99 | of 40 kills within 3 s | BPF time a kill | storms, kills/s: without, with, with its reader stopped |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, tr := range tracers() {
		if _, err := os.Stat(tr.args[0]); err != nil {
			fmt.Printf("| %s | not installed |\n", tr.name)
			continue
		}
		r, err := measure(tr, slices.Contains(os.Args, "-latency"))
		if err != nil {
			fmt.Printf("| %s | %v |\n", tr.name, err)
			continue
		}
		fmt.Printf("| %s | %v | %s | %v | %v | %d | %v | %.0f, %.0f, %.0f |\n", r.name, r.ready.Round(time.Millisecond), r.rss,
			r.p50.Round(10*time.Microsecond), r.p99.Round(10*time.Microsecond), r.seen, r.bpfPerKill.Round(time.Microsecond),
			r.storms[0], r.storms[1], r.storms[2])
	}
	if !slices.Contains(os.Args, "-all") {
		return nil
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
	out, err := p.cmd.StdoutPipe()
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

func measure(tr tracer, latency bool) (result, error) {
	r, err := alone(tr)
	if err != nil || latency {
		return r, err
	}
	r.storms, err = storms(tr)
	return r, err
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

// alone measures all but the storms.
func alone(tr tracer) (result, error) {
	r := result{name: tr.name}
	p, ready, err := startTracer(tr)
	if err != nil {
		return r, err
	}
	defer p.stop()
	r.ready = ready
	time.Sleep(4 * time.Second)
	r.rss = resident(p.cmd.Process.Pid)
	before := bpfTime()
	delays, err := latencies(p, 40)
	if err != nil {
		return r, err
	}
	r.bpfPerKill = (bpfTime() - before) / 40
	r.seen = len(delays)
	if len(delays) > 0 {
		slices.Sort(delays)
		r.p50, r.p99 = delays[len(delays)/2], delays[len(delays)*99/100]
	}
	return r, nil
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

// latencies makes kills one by one and gives the time from the kernel's own line
// for each to the tracer's.
func latencies(p *process, n int) ([]time.Duration, error) {
	log, err := witness.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	offset, err := clockOffset(log)
	if err != nil {
		return nil, err
	}
	var out []time.Duration
	for i := range n {
		pid, err := overrun("bench-" + strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		at, err := killedAt(log, pid)
		if err != nil {
			return nil, err
		}
		for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			p.mu.Lock()
			line, ok := p.lines[pid]
			p.mu.Unlock()
			if ok {
				out = append(out, line-(at-offset))
				break
			}
		}
	}
	return out, nil
}

// clockOffset is how far the log's clock is ahead of CLOCK_MONOTONIC.
func clockOffset(log *witness.Log) (time.Duration, error) {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	if _, err := log.Read(); err != nil {
		return 0, err
	}
	now := monotonic()
	if _, err := f.WriteString("<7>oomtrace bench: clock\n"); err != nil {
		return 0, err
	}
	lines, err := log.Read()
	if err != nil {
		return 0, err
	}
	for _, l := range lines {
		if strings.Contains(l, "oomtrace bench: clock") {
			return stamp(l) - now, nil
		}
	}
	return 0, errors.New("the log does not show what was written to it")
}

// stamp is the time of a /dev/kmsg record: "6,123,456789,-;text", in microseconds.
func stamp(line string) time.Duration {
	f := strings.SplitN(line, ",", 4)
	if len(f) < 4 {
		return 0
	}
	us, _ := strconv.ParseInt(f[2], 10, 64)
	return time.Duration(us) * time.Microsecond
}

func killedAt(log *witness.Log, pid int) (time.Duration, error) {
	want := fmt.Sprintf("Killed process %d ", pid)
	for range 200 {
		lines, err := log.Read()
		if err != nil {
			return 0, err
		}
		for _, l := range lines {
			if strings.Contains(l, want) {
				return stamp(l), nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0, fmt.Errorf("the log does not name %d", pid)
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

// cpuTime is what a process has run so far: utime and stime of proc_pid_stat(5),
// in clock ticks of 10 ms.
func cpuTime(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	const afterComm, ticks = 2, 10 * time.Millisecond
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var sum time.Duration
	for _, i := range []int{14 - afterComm - 1, 15 - afterComm - 1} {
		if i < len(f) {
			n, _ := strconv.ParseInt(f[i], 10, 64)
			sum += time.Duration(n) * ticks
		}
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
