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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/witness"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

const mib = 1 << 20

// oomtraceCmd is oomtrace as a process of its own.
func oomtraceCmd(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asOomtrace+"=1")
	return cmd
}

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

// overrunOnce lets one process overrun a small cgroup.
func overrunOnce(name string) error {
	h, err := workload.FindHierarchy()
	if err != nil {
		return err
	}
	c, err := h.Make(nil, name, workload.Limits{MaxBytes: 8 * mib})
	if err != nil {
		return err
	}
	p, err := workload.Start(workload.Hog{Name: "storm", Procs: c.Procs(), Steps: []workload.Step{{Kind: workload.Anon, Bytes: 64 * mib}}})
	if err != nil {
		return err
	}
	_, err = p.Wait(context.Background())
	return errors.Join(err, c.Remove())
}

// parse reads JSON lines; half a line is an error.
func parse(t *testing.T, b []byte) []oom.Record {
	t.Helper()
	var out []oom.Record
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		var rec oom.Record
		if err := json.Unmarshal(line, &rec); err != nil || !whole {
			t.Errorf("not a line of JSON: %q", line)
		}
		out = append(out, rec)
		b = rest
	}
	return out
}

// TestServicePin kills the tracer again and again while processes are killed by
// OOM: none of those may be missing in the end.
func TestServicePin(t *testing.T) {
	rounds := 25
	if v, err := strconv.Atoi(os.Getenv("OOMTRACE_ROUNDS")); err == nil {
		rounds = v
	}
	dir := bpffs(t)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) *exec.Cmd {
		cmd := oomtraceCmd(append([]string{"--pin", dir, "-o", "json"}, args...)...)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		return cmd
	}
	// The first one attaches; what is killed before that is nobody's.
	if err := run("-d", "1ms").Run(); err != nil {
		t.Fatal(err)
	}
	log := watchLog(t)
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
	for range rounds {
		cmd := run()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(100+rand.IntN(1000)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	stop.Store(true)
	if err := <-killing; err != nil {
		t.Fatal(err)
	}
	killed := log.end(t)
	if err := run("-d", "1s").Run(); err != nil {
		t.Fatal(err)
	}
	checkDelivered(t, out.Name(), killed, rounds)
	if err := oomtraceCmd("unpin", dir).Run(); err != nil {
		t.Errorf("unpin: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func checkDelivered(t *testing.T, path string, killed map[int]bool, rounds int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[int]string{}
	repeated := 0
	for _, r := range parse(t, b) {
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
	t.Logf("%d kills in %d rounds, %d records, %d of them repeated", len(killed), rounds, len(ids)+repeated, repeated)
}

// TestServiceTwo: the second tracer on a pin says who holds it.
func TestServiceTwo(t *testing.T) {
	dir := bpffs(t)
	ready := filepath.Join(t.TempDir(), "ready")
	first := oomtraceCmd("--pin", dir, "-o", "json", "--ready-file", ready)
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, ready)
	out, err := oomtraceCmd("--pin", dir).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitError || !strings.Contains(string(out), fmt.Sprintf("process %d uses it", first.Process.Pid)) {
		t.Errorf("%v: %s", err, out)
	}
	_ = first.Process.Signal(os.Interrupt)
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	if err := oomtraceCmd("unpin", dir).Run(); err != nil {
		t.Error(err)
	}
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	for range 1000 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s does not appear", path)
}

// groupStorm kills n processes at once, by memory.oom.group.
func groupStorm(t *testing.T, n int) {
	t.Helper()
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Make(nil, "storm-group", workload.Limits{MaxBytes: int64(n) * mib / 2, Group: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := workload.Start(workload.Hog{Name: "storm", Procs: c.Procs(), Copies: n, Steps: []workload.Step{{Kind: workload.Anon, Bytes: mib}}})
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

// TestServiceStorm: a consumer that stops reading for a while. Records and
// reported losses are the kills, exactly.
func TestServiceStorm(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := oomtraceCmd("-o", "json", "--ready-file", ready)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, ready)
	log := watchLog(t)
	for range 6 {
		groupStorm(t, 100)
	}
	time.Sleep(5 * time.Second)
	killed := log.end(t)
	var out bytes.Buffer
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(&out, bufio.NewReader(pipe))
		read <- err
	}()
	time.Sleep(2 * time.Second)
	_ = cmd.Process.Signal(os.Interrupt)
	if err := errors.Join(<-read, cmd.Wait()); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var written, lost int
	for _, r := range parse(t, out.Bytes()) {
		switch r.Kind {
		case oom.KindKill:
			written++
		case oom.KindLost:
			lost += int(r.Lost.Value)
		}
	}
	t.Logf("%d killed, %d written, %d reported lost: %s", len(killed), written, lost, strings.TrimSpace(stderr.String()))
	if written+lost != len(killed) || written < 400 {
		t.Errorf("%d written and %d lost of %d", written, lost, len(killed))
	}
}

// TestServiceMemory: a machine without memory, oomtrace in a container's 32 MiB.
func TestServiceMemory(t *testing.T) {
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	small, err := h.Make(nil, "oomtrace-small", workload.Limits{MaxBytes: 32 * mib, NoSwap: true})
	if err != nil {
		t.Fatal(err)
	}
	procs, err := os.OpenFile(small.Procs(), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = procs.Close() }()
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := exec.Command("/proc/self/exe", "-o", "json", "--ready-file", ready)
	cmd.Env = append(os.Environ(), asOomtrace+"=1", enterCgroup+"="+small.Procs())
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, ready)
	before := faults(t, cmd.Process.Pid)
	log := watchLog(t)
	for i := range 10 {
		systemOOM(t, i%2 == 1)
	}
	time.Sleep(time.Second)
	after, status := faults(t, cmd.Process.Pid), memoryStatus(t, cmd.Process.Pid)
	killed := log.end(t)
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	seen := map[int]bool{}
	for _, r := range parse(t, out.Bytes()) {
		if r.Kind == oom.KindKill {
			seen[int(r.Victim.TID.Value)] = true
		}
	}
	for tid := range killed {
		if !seen[tid] {
			t.Errorf("no record of %d", tid)
		}
	}
	events, _ := small.Get("memory.events")
	t.Logf("%d kills, all written; major faults of the tracer %d; %s; its cgroup: %s", len(killed), after-before, status, strings.ReplaceAll(strings.TrimSpace(events), "\n", ", "))
	if len(killed) < 10 {
		t.Errorf("%d kills", len(killed))
	}
	if err := small.Remove(); err != nil {
		t.Error(err)
	}
}

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
	if err := g.Spares(); err != nil {
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

// TestServiceLog: the kernel log as the source, and as the past.
func TestServiceLog(t *testing.T) {
	for i := range 2 {
		if err := overrunOnce("before-" + strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"--source", "kmsg", "--since-boot"}, {"--since-boot"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			log := map[int]int{}
			ready := filepath.Join(t.TempDir(), "ready")
			cmd := oomtraceCmd(append(args, "-o", "json", "--ready-file", ready)...)
			var out, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// Some while it attaches, some after.
			for i := range 4 {
				if err := overrunOnce(fmt.Sprintf("while-%d", i)); err != nil {
					t.Fatal(err)
				}
			}
			waitFor(t, ready)
			if err := overrunOnce("after"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond)
			_ = cmd.Process.Signal(os.Interrupt)
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v: %s", err, stderr.String())
			}
			groups := map[string]int{}
			for _, r := range parse(t, out.Bytes()) {
				if r.Kind == oom.KindKill {
					log[int(r.Victim.TID.Value)]++
					groups[r.Victim.Cgroup]++
				}
			}
			for tid, n := range log {
				if n != 1 {
					t.Errorf("process %d: %d records", tid, n)
				}
			}
			for _, want := range []string{"/before-0", "/before-1", "/while-0", "/while-1", "/while-2", "/while-3", "/after"} {
				if groups[want] == 0 {
					t.Errorf("no record of the kill in %s: %v", want, groups)
				}
			}
		})
	}
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
		{name: "full output", args: []string{"-o", "json", "-n", "1"}, out: full, kill: true, code: exitError, says: "make room"},
		{name: "not a bpffs", args: []string{"--pin", "/tmp/pins"}, code: exitError, says: "not on a bpffs"},
		{name: "no such pin", args: []string{"unpin", "/sys/fs/bpf/nothing-here"}, code: exitError, says: "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := oomtraceCmd(tt.args...)
			var stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = tt.out, &stderr
			if tt.out == nil {
				cmd.Stdout = io.Discard
			}
			if tt.uid != 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: tt.uid, Gid: tt.uid}}
			}
			ready := filepath.Join(t.TempDir(), "ready")
			if tt.kill {
				cmd.Args = append(cmd.Args, "--ready-file", ready)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if tt.kill {
				waitFor(t, ready)
				if err := overrunOnce("full"); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(stderr.String(), tt.says) {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, stderr.String())
			}
		})
	}
}

// TestServiceClosedPipe: "oomtrace | head -1" ends without a word.
func TestServiceClosedPipe(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	cmd := oomtraceCmd("-o", "json", "--ready-file", ready)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, ready)
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
	if err := cmd.Wait(); err != nil {
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

// needsAdmin is for the tracepoint tier alone: Debian's kernels want it for
// perf_event_open (kernel.perf_event_paranoid=3).
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
					if set.name == needsAdmin && tier != "tracepoint" {
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
