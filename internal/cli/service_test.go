//go:build vmguest

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/tracer"
	"github.com/oomtrace/oomtrace/internal/vmtest/witness"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// bpffs mounts a BPF file system and returns a directory for pins on it.
func bpffs(t *testing.T) string {
	t.Helper()
	const dir = "/sys/fs/bpf"
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		t.Fatal(err)
	}
	return filepath.Join(dir, "oomtrace-test-"+strconv.Itoa(os.Getpid()))
}

// killLog collects whom the kernel names as killed, all the time, so that its
// buffer does not overflow.
type killLog struct {
	mu     sync.Mutex
	killed map[int]bool
	stop   chan struct{}
	done   chan error
}

func watchLog(t *testing.T) *killLog {
	t.Helper()
	log, err := witness.Open()
	if err != nil {
		t.Fatal(err)
	}
	k := &killLog{killed: map[int]bool{}, stop: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		var err error
		for last := false; err == nil; {
			select {
			case <-k.stop:
				last = true
			case <-time.After(20 * time.Millisecond):
			}
			err = k.take(log)
			if last {
				break
			}
		}
		k.done <- errors.Join(err, log.Close())
	}()
	return k
}

func (k *killLog) take(log *witness.Log) error {
	lines, err := log.Read()
	if err != nil {
		return err
	}
	kills, err := witness.Kills(lines)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, kill := range kills {
		k.killed[kill.PID] = true
	}
	return nil
}

func (k *killLog) end(t *testing.T) map[int]bool {
	t.Helper()
	close(k.stop)
	if err := <-k.done; err != nil {
		t.Fatal(err)
	}
	return k.killed
}

// TestServicePin kills the tracer again and again while processes are killed by
// OOM: none of those may be missing in the end. Every other tracer writes to
// --output-file; the others have a file of their own as stdout, where only a
// last line that SIGKILL cut short may be half a line.
func TestServicePin(t *testing.T) {
	rounds := full(100, 25)
	dir, outputs := bpffs(t), t.TempDir()
	common := filepath.Join(outputs, "common")
	run := func(args ...string) *exec.Cmd {
		cmd := oomtraceCmd(append([]string{"--pin", dir, "-o", "json"}, args...)...)
		cmd.Stderr = os.Stderr
		return cmd
	}
	// The first one attaches; what is killed before that is nobody's.
	if err := run("-d", "1ms", "--output-file", common).Run(); err != nil {
		t.Fatal(err)
	}
	log := watchLog(t)
	stopKilling := killNowAndThen()
	for i := range rounds {
		cmd := run("--output-file", common)
		if i%2 == 0 {
			cmd = run()
			out, err := os.Create(filepath.Join(outputs, strconv.Itoa(i)))
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout = out
			defer func() { _ = out.Close() }()
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(100+rand.IntN(1000)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if i%3 == 2 { // what the next one finds is another build's
			disown(t, dir, i)
		}
	}
	if err := stopKilling(); err != nil {
		t.Fatal(err)
	}
	killed := log.end(t)
	if err := run("-d", "1s", "--output-file", common).Run(); err != nil {
		t.Fatal(err)
	}
	checkDelivered(t, outputs, killed, rounds)
	unpin(t, dir)
}

// disown gives all sets of pins names that other builds with the same layout
// could have given them.
func disown(t *testing.T, dir string, round int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		rename(t, filepath.Join(dir, e.Name()), filepath.Join(dir, fmt.Sprintf("l%d-%06x%06x", wire.Layout, round, i)))
	}
}

// full chooses between a test's whole size and the one for a guest that is not
// the one that has the time for it.
func full(whole, less int) int {
	if os.Getenv("OOMTRACE_FULL") != "" {
		return whole
	}
	return less
}

// killNowAndThen lets processes run into their limit until the function
// returned is called.
func killNowAndThen() func() error {
	var stop atomic.Bool
	killing := make(chan error, 1)
	go func() {
		var err error
		for i := 0; !stop.Load() && err == nil; i++ {
			err = overrunOnce("storm-" + strconv.Itoa(i))
			time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
		}
		killing <- err
	}()
	return func() error {
		stop.Store(true)
		return <-killing
	}
}

func unpin(t *testing.T, dir string) {
	t.Helper()
	if out, err := oomtraceCmd("unpin", dir).CombinedOutput(); err != nil {
		t.Errorf("unpin: %v: %s", err, out)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

// readOutputs reads the records of all files. The file that --output-file keeps
// has whole lines; of a stdout, the last line may be cut.
func readOutputs(t *testing.T, dir string) (records []oom.Record, torn int) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if end := bytes.LastIndexByte(b, '\n') + 1; end < len(b) && e.Name() != "common" {
			torn++
			b = b[:end]
		}
		records = append(records, parse(t, b)...)
	}
	return records, torn
}

func checkDelivered(t *testing.T, outputs string, killed map[int]bool, rounds int) {
	t.Helper()
	ids := map[int]string{}
	repeated := 0
	records, torn := readOutputs(t, outputs)
	for _, r := range records {
		if r.Kind == oom.KindLost {
			t.Errorf("%d lost", r.Lost.Value)
		}
		if r.Kind != oom.KindKill {
			continue
		}
		tid := int(r.Victim.TID.Value)
		if id, again := ids[tid]; again {
			repeated++
			if id != r.ID {
				t.Errorf("process %d: ids %s and %s", tid, id, r.ID)
			}
		}
		ids[tid] = r.ID
	}
	for tid := range killed {
		if ids[tid] == "" {
			t.Errorf("the kernel killed %d: no record", tid)
		}
	}
	if len(killed) == 0 {
		t.Error("nothing was killed")
	}
	t.Logf("%d kills in %d rounds, %d records, %d of them repeated, %d lines cut by SIGKILL",
		len(killed), rounds, len(ids)+repeated, repeated, torn)
}

// TestServiceTwo: the second tracer on a pin says who holds it.
func TestServiceTwo(t *testing.T) {
	dir := bpffs(t)
	first := newTracee(t, "--pin", dir, "-o", "json").startReady()
	second := newTracee(t, "--pin", dir).start()
	err := second.wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitError || !strings.Contains(second.stderr.String(), fmt.Sprintf("process %d uses it", first.cmd.Process.Pid)) {
		t.Errorf("%v: %s", err, second.stderr.String())
	}
	first.interrupt()
	unpin(t, dir)
}

// pinnedSet is the one set of pins in a directory.
func pinnedSet(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Fatalf("%s holds %v", dir, entries)
	}
	return filepath.Join(dir, entries[0].Name())
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestServiceLayout: pins of a version with another record layout are replaced,
// and what their ring held is told as lost, once, and never misread; those of
// another build with the same layout are emptied and replaced.
func TestServiceLayout(t *testing.T) {
	dir := bpffs(t)
	newTracee(t, "--pin", dir, "-o", "json").startReady().interrupt()
	ours := pinnedSet(t, dir)
	for _, layout := range []string{"l0-0123456789ab", "l11-0123456789ab"} {
		if err := overrunOnce("foreign"); err != nil { // a kill and an exit wait in the ring
			t.Fatal(err)
		}
		theirs := filepath.Join(dir, layout)
		rename(t, ours, theirs)
		p := newTracee(t, "--pin", dir, "-o", "json").startReady()
		eventually(t, "the lost record", p.ended, func() bool { return len(parse(t, wholeLines(p.out.Bytes()))) > 0 })
		p.interrupt()
		for _, says := range []string{"replacing " + theirs + ", pinned by an incompatible version", "its 2 unread records are lost"} {
			if !strings.Contains(p.stderr.String(), says) {
				t.Errorf("%s: no %q in %s", layout, says, p.stderr.String())
			}
		}
		records := parse(t, p.out.Bytes())
		if len(records) != 1 || records[0].Kind != oom.KindLost || records[0].LostKind != oom.LostUnreadable || records[0].Lost.Value != 2 {
			t.Errorf("%s: %s", layout, p.out.String())
		}
		again := newTracee(t, "--pin", dir, "-o", "json").startReady()
		again.interrupt()
		if out := again.out.String(); out != "" {
			t.Errorf("%s: told again: %s", layout, out)
		}
		if now := pinnedSet(t, dir); now != ours {
			t.Errorf("left %s, want %s", now, ours)
		}
	}

	if err := overrunOnce("layout"); err != nil { // waits in the ring
		t.Fatal(err)
	}
	older := filepath.Join(dir, "l"+strconv.Itoa(wire.Layout)+"-0123456789ab")
	rename(t, ours, older)
	p := newTracee(t, "--pin", dir, "-o", "json", "-v").startReady()
	eventually(t, "the record of the older build", p.ended, func() bool { return len(p.kills()) > 0 })
	p.interrupt()
	if got := p.kills(); len(got) != 1 || got[0].Victim.Cgroup != "/layout" {
		t.Errorf("drained %v", got)
	}
	if says := "took over from another version: " + older; !strings.Contains(p.stderr.String(), says) {
		t.Errorf("no %q in %s", says, p.stderr.String())
	}
	if now := pinnedSet(t, dir); now != ours {
		t.Errorf("left %s, want %s", now, ours)
	}
	unpin(t, dir)
}

// wholeLines leaves out a line that is still being written.
func wholeLines(b []byte) []byte { return b[:bytes.LastIndexByte(b, '\n')+1] }

// TestServiceUnpinnable: links that this kernel cannot pin end with their reader.
// What is killed then is a kill all the same, and the next reader attaches them
// again.
func TestServiceUnpinnable(t *testing.T) {
	dir := bpffs(t)
	kill := func(name string) {
		t.Helper()
		if err := overrunOnce(name); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--pin", dir, "--attach", "kprobe", "-o", "json"}
	p := newTracee(t, args...).startReady()
	_ = p.cmd.Process.Kill()
	_ = p.wait()
	ends := strings.Contains(p.stderr.String(), "this kernel cannot pin kprobe on out_of_memory")
	kill("alone")
	p = newTracee(t, args...).startReady()
	eventually(t, "the kill that nobody read", p.ended, func() bool { return len(p.kills()) == 1 })
	kill("resumed")
	eventually(t, "the kill after it", p.ended, func() bool { return len(p.kills()) == 2 })
	p.interrupt()
	for i, r := range p.kills() {
		if want := []string{"/alone", "/resumed"}[i]; r.Victim.Cgroup != want || r.Limit == nil || r.Limit.Cgroup != want {
			t.Errorf("victim in %s, limit %+v, want %s", r.Victim.Cgroup, r.Limit, want)
		}
		if r.Trigger.GFPMask.Known != (i == 1 || !ends) {
			t.Errorf("%s: gfp mask %v; the links end with their reader: %v", r.Victim.Cgroup, r.Trigger.GFPMask, ends)
		}
	}
	for _, r := range parse(t, p.out.Bytes()) {
		if r.Kind != oom.KindKill && r.Kind != oom.KindExit {
			t.Errorf("a record of kind %s: %s of %+v by %+v, incident %s", r.Kind, r.Cause, r.Victim, r.Sender, r.Incident)
		}
	}
	p = newTracee(t, "--pin", dir, "--top", "3", "-o", "json").startReady()
	p.interrupt()
	if says := "keep their settings (--attach kprobe, --top 10);"; !strings.Contains(p.stderr.String(), says) {
		t.Errorf("no %q in %s", says, p.stderr.String())
	}
	unpin(t, dir)
}

// TestServiceToldOnce: what was lost is told once, over the life of the pins, and
// has the same name for all.
func TestServiceToldOnce(t *testing.T) {
	dir := bpffs(t)
	args := []string{"--pin", dir, "--ring-bytes", "65536", "-o", "json"}
	p := newTracee(t, args...).startReady()
	p.interrupt()
	const victims = 40
	groupStorm(t, victims) // far more than the ring holds
	var records []oom.Record
	var outputs [][]byte
	for range 2 {
		p := newTracee(t, args...).startReady()
		p.interrupt()
		outputs = append(outputs, p.out.Bytes())
		records = append(records, parse(t, p.out.Bytes())...)
	}
	written, lost := told(t, outputs...)
	if written == 0 || lost == 0 || written+lost != victims {
		t.Errorf("%d written and %d lost of %d", written, lost, victims)
	}
	kinds := map[oom.LostKind]int{}
	for _, r := range only(records, oom.KindLost) {
		kinds[r.LostKind]++
		if r.BootID == "" || r.Node == "" || r.Kernel == "" || !r.UptimeNS.Known || !strings.Contains(r.ID, fmt.Sprintf("-%s-0-%d", r.LostKind, r.Lost.Value)) {
			t.Errorf("a lost record that does not say where and which: %+v", r)
		}
	}
	if kinds[oom.LostKill] != 1 || kinds[oom.LostExit] != 1 || len(kinds) != 2 {
		t.Errorf("told of %v: once of kills and once of ends expected", kinds)
	}
	unpin(t, dir)
}

// TestServiceResume: a tracer that goes on with pinned hooks is told of new
// cgroups, and those that come while none runs do not fill the ring.
func TestServiceResume(t *testing.T) {
	dir := bpffs(t)
	for i, name := range []string{"first", "resumed", "again"} {
		tr, err := tracer.Open(t.Context(), tracer.Options{Pin: dir})
		if err != nil {
			t.Fatal(err)
		}
		if tr.Resumed() != (i > 0) {
			t.Errorf("%s: resumed %v", name, tr.Resumed())
		}
		attached := false
		for _, a := range tr.Attachments() {
			attached = attached || a.Hook == "cgroup_mkdir" && a.Kind == "raw_tp"
		}
		if !attached {
			t.Errorf("%s: cgroup_mkdir is not attached: %v", name, tr.Notes())
		}
		newCgroup(t, name)
		if got := nextCgroup(t, tr); got != "/"+name {
			t.Errorf("told of %q, want /%s", got, name)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
		newCgroup(t, "between-"+name)
	}
	unpin(t, dir)
}

func newCgroup(t *testing.T, name string) {
	t.Helper()
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Make(nil, name, workload.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(); err != nil {
		t.Fatal(err)
	}
}

// nextCgroup reads until a notice of a new cgroup.
func nextCgroup(t *testing.T, tr *tracer.Tracer) (path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	source := tracer.NewSource(tr, tracer.SourceOptions{OnCgroup: func(p string) {
		path = p
		cancel()
	}})
	defer func() { _ = source.Close() }()
	for {
		switch _, err := source.Next(ctx); {
		case errors.Is(err, io.EOF):
			return path
		case err != nil:
			t.Fatalf("no notice of a cgroup: %v", err)
		}
		if err := source.Done(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServiceLog: the kernel log as the source, and as the past.
func TestServiceLog(t *testing.T) {
	for i, args := range [][]string{{"--source", "kmsg", "--since-boot"}, {"--since-boot"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			// The kills that follow are fewer than 10, and all need their report.
			time.Sleep(reportWindow + time.Second)
			var want []string
			kill := func(name string) {
				name = fmt.Sprintf("%s-%d", name, i)
				if err := overrunOnce(name); err != nil {
					t.Fatal(err)
				}
				want = append(want, "/"+name)
			}
			kill("before-a")
			kill("before-b")
			p := newTracee(t, append(args, "-o", "json", "--ready-file", filepath.Join(t.TempDir(), "ready"))...)
			ready := p.cmd.Args[len(p.cmd.Args)-1]
			p.start()
			for _, name := range []string{"while-a", "while-b", "while-c"} { // it attaches
				kill(name)
			}
			eventually(t, "the ready file", p.ended, func() bool {
				_, err := os.Stat(ready)
				return err == nil
			})
			kill("after")
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("no record of the kills in %v", missing(p.kills(), want))
				}
			})
			eventually(t, "the records", p.ended, func() bool { return len(missing(p.kills(), want)) == 0 })
			p.interrupt()
			records := map[int32]int{}
			for _, r := range p.kills() {
				records[r.Victim.TID.Value]++
			}
			for tid, n := range records {
				if n != 1 {
					t.Errorf("process %d: %d records", tid, n)
				}
			}
		})
	}
}

// missing are the cgroups that no record names.
func missing(records []oom.Record, cgroups []string) []string {
	return slices.DeleteFunc(slices.Clone(cgroups), func(name string) bool {
		return slices.ContainsFunc(records, func(r oom.Record) bool { return r.Victim.Cgroup == name })
	})
}

// TestServiceErrors: bad surroundings end in one line, a hint and their own
// exit code.
func TestServiceErrors(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = full.Close() }()
	for _, tt := range []struct {
		name string
		args []string
		uid  uint32
		out  *os.File
		kill bool
		code int
		says string
	}{
		{name: "without privileges", args: []string{"--source", "bpf"}, uid: 1234, code: exitPermission, says: "hint: run it as root"},
		{name: "not even the log", uid: 1234, code: exitPermission, says: "hint: run it as root"},
		{name: "no BTF file", args: []string{"--btf", "/nonexistent"}, code: exitError, says: "/nonexistent"},
		{name: "not BTF", args: []string{"--btf", "/proc/version"}, code: exitError, says: "is /proc/version the BTF of this kernel"},
		{name: "full output", args: []string{"-o", "json", "-n", "1"}, out: full, kill: true, code: exitError, says: "free disk space"},
		{name: "not a bpffs", args: []string{"--pin", "/tmp/pins"}, code: exitError, says: "not on a bpffs"},
		{name: "no such pin", args: []string{"unpin", "/sys/fs/bpf/nothing-here"}, code: exitError, says: "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newTracee(t, tt.args...)
			if tt.out != nil {
				p.cmd.Stdout = tt.out
			}
			if tt.uid != 0 {
				p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tt.uid, Gid: tt.uid}}
			}
			if tt.kill {
				p.startReady()
				if err := overrunOnce("full"); err != nil {
					t.Fatal(err)
				}
			} else {
				p.start()
			}
			_ = p.wait()
			if code := p.cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(p.stderr.String(), tt.says) {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, p.stderr.String())
			}
		})
	}
}

// TestServiceTypes: on a kernel without BTF a file with it
// does; without one the error says so.
func TestServiceTypes(t *testing.T) {
	const own = "/sys/kernel/btf/vmlinux"
	types, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "vmlinux.btf")
	if err := os.WriteFile(file, types, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", filepath.Dir(own), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(filepath.Dir(own), 0); err != nil {
			t.Error(err)
		}
	})
	p := newTracee(t, "--source", "bpf").start()
	_ = p.wait()
	if code := p.cmd.ProcessState.ExitCode(); code != exitUnsupported || !strings.Contains(p.stderr.String(), "--btf FILE") {
		t.Errorf("without a file: exit code %d: %s", code, p.stderr.String())
	}
	p = newTracee(t, "--source", "bpf", "--btf", file, "-o", "json").startReady()
	if err := overrunOnce("typed"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the kill", p.ended, func() bool { return len(p.kills()) > 0 })
	p.interrupt()
	r := p.kills()[0]
	t.Logf("by %v", r.Hooks)
	if r.Limit == nil || r.Limit.Cgroup != "/typed" || r.Limit.MaxBytes.Value != 8*mib || !r.Trigger.GFPMask.Known || !r.Victim.RSSBytes.Known {
		t.Errorf("limit %+v, gfp mask %v, rss %v", r.Limit, r.Trigger.GFPMask, r.Victim.RSSBytes)
	}
}

// TestServiceClosedPipe: "oomtrace | head -1" ends without a word.
func TestServiceClosedPipe(t *testing.T) {
	p := newTracee(t, "-o", "json")
	pipe := p.startWithPipe()
	if err := overrunOnce("first"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(pipe).ReadString('\n'); err != nil || !json.Valid([]byte(line)) {
		t.Fatalf("%q, %v", line, err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if err := overrunOnce("second"); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
}

// capabilitySets are tried in this order for each tier, as a user without any
// other privilege.
func capabilitySets() []struct {
	name string
	caps []uintptr
} {
	base := []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYSLOG}
	files := append(base[:len(base):len(base)], unix.CAP_DAC_READ_SEARCH)
	return []struct {
		name string
		caps []uintptr
	}{
		{"CAP_BPF, CAP_PERFMON, CAP_SYSLOG", base},
		{"and CAP_DAC_READ_SEARCH", files},
		{"and CAP_SYS_RESOURCE", append(files[:len(files):len(files)], unix.CAP_SYS_RESOURCE)},
		{needsAdmin, append(files[:len(files):len(files)], unix.CAP_SYS_RESOURCE, unix.CAP_SYS_ADMIN)},
	}
}

// needsAdmin is for the tiers that go through perf_event_open, kprobe and
// tracepoint: Debian's kernels want it there (kernel.perf_event_paranoid=3).
const needsAdmin = "and CAP_SYS_ADMIN"

// TestPrivileges measures what each tier needs on this kernel, and that
// it is no more than what docs/operations.md says.
func TestPrivileges(t *testing.T) {
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug"} {
		_ = unix.Mount("none", dir, map[string]string{"/sys/kernel/tracing": "tracefs", "/sys/kernel/debug": "debugfs"}[dir], 0, "")
	}
	for _, tier := range []string{"fentry", "kprobe", "tp_btf", "raw_tp", "tracepoint"} {
		t.Run(tier, func(t *testing.T) {
			for _, set := range capabilitySets() {
				cmd := oomtraceCmd("--source", "bpf", "--attach", tier, "-d", "1ms", "-o", "json")
				cmd.SysProcAttr = &syscall.SysProcAttr{
					Credential: &syscall.Credential{Uid: 1234, Gid: 1234}, AmbientCaps: set.caps,
				}
				out, err := cmd.CombinedOutput()
				if err == nil {
					t.Logf("%s: %s", tier, set.name)
					if set.name == needsAdmin && tier != "kprobe" && tier != "tracepoint" {
						t.Error("CAP_SYS_ADMIN should not be needed")
					}
					return
				}
				t.Logf("%s is not enough: %s", set.name, strings.TrimSpace(string(out)))
			}
			t.Error("none of the documented sets is enough")
		})
	}
}
