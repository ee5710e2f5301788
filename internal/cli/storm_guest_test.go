//go:build vmguest

package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// groupStorm kills n processes at once, by memory.oom.group.
func groupStorm(t *testing.T, n int) {
	t.Helper()
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	const each = mib / 2
	c, err := h.Make(nil, "storm-group", workload.Limits{MaxBytes: int64(n) * each, Group: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := workload.Start(workload.Hog{Name: "storm", Procs: c.Procs(), Copies: n, Steps: []workload.Step{{Kind: workload.Anon, Bytes: 2 * each}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(); err != nil {
		t.Fatal(err)
	}
}

// tally counts the kills written and those reported lost, each record once. It
// keeps none of them: ten thousand are more than a guest has memory for.
type tally struct {
	seen          map[string]bool
	written, lost int
	broken        []string // what is not a line of JSON
}

func (c *tally) add(line []byte) {
	var r struct {
		ID       string       `json:"id"`
		Kind     oom.Kind     `json:"kind"`
		Lost     int          `json:"lost"`
		LostKind oom.LostKind `json:"lost_kind"`
	}
	if err := json.Unmarshal(line, &r); err != nil || line[len(line)-1] != '\n' {
		c.broken = append(c.broken, string(line))
		return
	}
	if c.seen[r.ID] {
		return
	}
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	c.seen[r.ID] = true
	switch {
	case r.Kind == oom.KindKill:
		c.written++
	case r.LostKind == oom.LostKill: // ends and other records are lost apart
		c.lost += r.Lost
	}
}

// told counts what is in some outputs.
func told(t *testing.T, outputs ...[]byte) (written, lost int) {
	t.Helper()
	var c tally
	for _, b := range outputs {
		for line := range bytes.Lines(b) {
			c.add(line)
		}
	}
	c.check(t)
	return c.written, c.lost
}

func (c *tally) check(t *testing.T) {
	t.Helper()
	for _, line := range c.broken {
		t.Errorf("not a line of JSON: %q", line)
	}
}

// consumer reads a pipe, unless it is stopped.
type consumer struct {
	gate sync.Mutex
	tally
	done chan error
}

func consume(r io.Reader) *consumer {
	c := &consumer{done: make(chan error, 1)}
	lines := bufio.NewReaderSize(r, 64<<10)
	go func() {
		for {
			line, err := lines.ReadBytes('\n')
			c.gate.Lock() // not before, or who stops it would wait for a line
			if len(line) > 0 {
				c.add(line)
			}
			c.gate.Unlock()
			if err != nil {
				c.done <- err
				return
			}
		}
	}()
	return c
}

// TestServiceStorm: up to ten thousand kills, and a consumer that stops in the middle,
// for a tenth of them: how many come in a time is the host's matter. Records and reported
// losses are the kills, exactly.
func TestServiceStorm(t *testing.T) {
	const together = 200
	storms := full(50, 10)
	p := newTracee(t, "-o", "json")
	c := consume(p.startWithPipe())
	log := watchLog(t)
	started := time.Now()
	for i := range storms {
		switch i {
		case storms / 2:
			c.gate.Lock() // the consumer does something else
		case storms/2 + storms/10:
			c.gate.Unlock()
		}
		groupStorm(t, together)
	}
	took := time.Since(started)
	killed := log.end(t)
	p.interrupt() // which empties the ring first
	if err := <-c.done; !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	c.check(t)
	written, lost := c.written, c.lost
	t.Logf("%d killed in %v, %d written, %d reported lost: %s", len(killed), took.Round(time.Second), written, lost, p.stderr.String())
	if written+lost != len(killed) {
		t.Errorf("%d written and %d lost of %d", written, lost, len(killed))
	}
	if len(killed) < storms*together || written < len(killed)/2 {
		t.Errorf("%d killed, %d written", len(killed), written)
	}
}

// TestServiceNeverRead: nobody reads the pipe, until the ring is full and after.
// What was lost is counted, and what lies in the ring is the next tracer's.
func TestServiceNeverRead(t *testing.T) {
	dir := bpffs(t)
	p := newTracee(t, "-o", "json", "--pin", dir)
	pipe := p.startWithPipe()
	log := watchLog(t)
	for range 10 {
		groupStorm(t, 200)
	}
	killed := log.end(t)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.wait() // killed
	first, err := io.ReadAll(pipe)
	if err != nil {
		t.Fatal(err)
	}
	first = first[:bytes.LastIndexByte(first, '\n')+1] // SIGKILL cut the last line
	next := newTracee(t, "-o", "json", "--pin", dir, "-d", "1s").start()
	if err := next.wait(); err != nil {
		t.Errorf("%v: %s", err, next.stderr.String())
	}
	written, lost := told(t, first, next.out.Bytes())
	t.Logf("%d killed, %d written, %d reported lost: %s", len(killed), written, lost, next.stderr.String())
	if written+lost != len(killed) {
		t.Errorf("%d written and %d lost of %d", written, lost, len(killed))
	}
	if lost == 0 || written == 0 {
		t.Errorf("%d written, %d lost: the ring was not filled", written, lost)
	}
	unpin(t, dir)
}

// TestSmallMemory: a machine of 256 MiB without memory, twenty times without and
// twenty times with swap, and oomtrace started as the DaemonSet does it, in 64 MiB,
// then held to half of it. Each kill is written, and the tracer waits for nothing that
// was swapped out.
func TestSmallMemory(t *testing.T) {
	protectInit(t)
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	small, err := h.Make(nil, "oomtrace-small", workload.Limits{MaxBytes: 64 * mib, NoSwap: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the tracer's end
		if err := small.Remove(); err != nil {
			t.Error(err)
		}
	})
	dir := bpffs(t)
	p := newTracee(t, "-o", "json", "--pin", dir, "--metrics", "127.0.0.1:0")
	p.cmd.Env = append(p.cmd.Env, enterCgroup+"="+small.Procs())
	p.startReady()
	// A start takes 30 MB on 6.12 and 35 on 7.3, where what the verifier takes is charged;
	// after it there are 21.
	if err := small.Set("memory.max", strconv.Itoa(32*mib)); err != nil {
		t.Fatal(err)
	}
	for _, swap := range []bool{false, true} {
		t.Run(map[bool]string{false: "without swap", true: "with swap"}[swap], func(t *testing.T) {
			systemKills(t, p, small, swap)
		})
	}
	p.interrupt()
	unpin(t, dir)
}

// systemOOMs is how often all memory of the machine is taken.
const systemOOMs = 20

// systemKills takes all memory of the machine again and again.
func systemKills(t *testing.T, p *tracee, small *workload.Cgroup, swap bool) {
	before := faults(t, p.cmd.Process.Pid)
	log := watchLog(t)
	for range systemOOMs {
		systemOOM(t, swap)
	}
	killed := log.end(t)
	written := func() map[int]bool {
		seen := map[int]bool{}
		for _, r := range p.kills() {
			seen[int(r.Victim.TID.Value)] = true
		}
		return seen
	}
	eventually(t, "the records", p.ended, func() bool {
		seen := written()
		for tid := range killed {
			if !seen[tid] {
				return false
			}
		}
		return true
	})
	events, err := small.Get("memory.events")
	if err != nil {
		t.Error(err)
	}
	usage, err := small.Get("memory.current")
	if err != nil {
		t.Error(err)
	}
	peak, _ := small.Get("memory.peak") // since 5.19
	major := faults(t, p.cmd.Process.Pid) - before
	t.Logf("%d kills, all written; major faults of the tracer %d; %s; its cgroup: %s now, %s at most, %s", len(killed),
		major, memoryStatus(t, p.cmd.Process.Pid), strings.TrimSpace(usage), strings.TrimSpace(peak),
		strings.ReplaceAll(strings.TrimSpace(events), "\n", ", "))
	if len(killed) < systemOOMs {
		t.Errorf("%d kills", len(killed))
	}
	if major > maxMajorFaults {
		t.Errorf("%d major faults of the tracer", major)
	}
}

// maxMajorFaults is for what the linker wrote of functions that happen to be on a
// stack when garbage is collected: single pages of the program, which in a guest lie in a
// tmpfs and are swapped out like any others. The goal is none (seen: 0 without swap, 1 on
// 7.x and 3 on 6.12 with it, each such a page; 13 to 18 before the warm-up ran every stage).
const maxMajorFaults = 8

func systemOOM(t *testing.T, swap bool) {
	t.Helper()
	g, err := workload.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	if swap {
		if err := g.Swap(64*mib, 5); err != nil {
			t.Fatal(err)
		}
	}
	// Somebody else to kill, as Spares does, for a machine with less memory.
	if _, err := g.Start(workload.Hog{Name: "spare", Copies: 8, Steps: []workload.Step{{Kind: workload.Anon, Bytes: 64 << 10}}}); err != nil {
		t.Fatal(err)
	}
	p, err := g.Start(workload.Hog{Name: "all", Steps: []workload.Step{{Kind: workload.Anon, Bytes: 4 << 30}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// faults is the number of major faults (proc_pid_stat(5), field 12).
func faults(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
	n, err := strconv.Atoi(fields[9])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func memoryStatus(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "RssAnon") || strings.HasPrefix(line, "RssFile") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(out, ", ")
}
