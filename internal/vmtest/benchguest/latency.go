package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/vmtest/witness"
)

const (
	latencyRounds = 3
	latencyKills  = 30 // in each round
	lineWait      = 3 * time.Second
)

// latencies are what was measured of one tracer.
type latencies struct {
	ready, delays []time.Duration
	cpu, bpf      time.Duration
	kills         int
	resident      string
	err           error
}

// latency measures the tracers in turn, round by round: the host's load drifts.
func latency(all []tracer) error {
	rows := make([]latencies, len(all))
	for range latencyRounds {
		for i, tr := range all {
			if _, err := os.Stat(tr.args[0]); err != nil || rows[i].err != nil {
				rows[i].err = errors.Join(err, rows[i].err)
				continue
			}
			rows[i].err = rows[i].round(tr)
		}
	}
	fmt.Println("| | start to ready | resident, idle | kill to line p50 | p99 | lines | CPU a kill | BPF time a kill |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for i, r := range rows {
		if r.err != nil {
			fmt.Printf("| %s | %v |\n", all[i].name, r.err)
			continue
		}
		p50, p99 := "none", "none"
		if len(r.delays) > 0 {
			p50, p99 = percentile(r.delays, 50), percentile(r.delays, 99)
		}
		n := time.Duration(r.kills)
		fmt.Printf("| %s | %v | %s | %s | %s | %d of %d | %v | %v |\n", all[i].name, percentile(r.ready, 50), r.resident, p50, p99,
			len(r.delays), r.kills, (r.cpu / n).Round(10*time.Microsecond), (r.bpf / n).Round(time.Microsecond))
	}
	return nil
}

func percentile(d []time.Duration, p int) string {
	slices.Sort(d)
	return d[len(d)*p/100].Round(10 * time.Microsecond).String()
}

// round starts the tracer, makes kills one by one and takes the time from the
// kernel's own line for each to the tracer's.
func (l *latencies) round(tr tracer) error {
	p, ready, err := startTracer(tr)
	if err != nil {
		return err
	}
	defer p.stop()
	l.ready = append(l.ready, ready)
	time.Sleep(4 * time.Second)
	l.resident = resident(p.cmd.Process.Pid)
	log, err := witness.Open()
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	offset, err := clockOffset(log)
	if err != nil {
		return err
	}
	cpu, bpf := cpuTime(p.cmd.Process.Pid), bpfTime()
	for i := range latencyKills {
		pid, err := overrun("bench-" + strconv.Itoa(i))
		if err != nil {
			return err
		}
		at, err := killedAt(log, pid)
		if err != nil {
			return err
		}
		l.kills++
		if line, ok := p.line(pid); ok {
			l.delays = append(l.delays, line-(at-offset))
		} else if len(l.delays) == 0 {
			break // its output is buffered
		}
	}
	l.cpu += cpuTime(p.cmd.Process.Pid) - cpu
	l.bpf += bpfTime() - bpf
	return nil
}

// line waits for the line of a victim.
func (p *process) line(pid int) (at time.Duration, ok bool) {
	for deadline := time.Now().Add(lineWait); !ok && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		p.mu.Lock()
		at, ok = p.lines[pid]
		p.mu.Unlock()
	}
	return at, ok
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
