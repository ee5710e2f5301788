//go:build vmguest

package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// sigkillCase makes one process or more die of a SIGKILL.
type sigkillCase struct {
	name  string
	cause oom.Cause
	// run returns the ids of those that die so, and of the sender, 0 for none.
	run func(t *testing.T) (victims []int, sender int)
}

func act(t *testing.T, role workload.Role, namespaces uintptr) *workload.Actor {
	t.Helper()
	a, err := workload.Play(role, namespaces)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func sigkillCases() []sigkillCase {
	return []sigkillCase{
		{"kill", oom.CauseUser, func(t *testing.T) ([]int, int) {
			a := act(t, workload.Sleeper, 0)
			kill(t, a.PID)
			_ = unix.Kill(a.PID, unix.SIGKILL) // the second one kills nobody
			a.Wait()
			return []int{a.PID}, os.Getpid()
		}},
		{"a thread", oom.CauseUser, func(t *testing.T) ([]int, int) {
			a := act(t, workload.Sleeper, 0)
			if err := unix.Tgkill(a.PID, a.PID, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			a.Wait()
			return []int{a.PID}, os.Getpid()
		}},
		{"cgroup.kill", oom.CauseCgroupKill, killCgroup},
		{"pid namespace", oom.CausePIDNamespace, func(t *testing.T) ([]int, int) {
			a := act(t, workload.Family, syscall.CLONE_NEWPID)
			children := childrenOf(t, a.PID)
			if len(children) != 3 {
				t.Fatalf("children %v", children)
			}
			kill(t, a.PID)
			a.Wait()
			return children, a.PID
		}},
		{"CPU limit", oom.CauseKernel, func(t *testing.T) ([]int, int) {
			a := act(t, workload.Burner, 0)
			a.Wait()
			return []int{a.PID}, 0
		}},
		{"a parent's exit", oom.CauseKernel, func(t *testing.T) ([]int, int) { return endWith(t, workload.Parent) }},
		{"a tracer's exit", oom.CauseUser, func(t *testing.T) ([]int, int) { return endWith(t, workload.Tracer) }},
	}
}

func endWith(t *testing.T, role workload.Role) ([]int, int) {
	a := act(t, role, 0)
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	a.Wait()
	return a.Children, a.PID
}

// killCgroup is nil where there is no cgroup.kill (before 5.14, and v1).
func killCgroup(t *testing.T) ([]int, int) {
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Make(nil, "killed", workload.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Remove() }()
	if _, err := c.Get("cgroup.kill"); errors.Is(err, fs.ErrNotExist) {
		return nil, 0
	}
	var pids []int
	for range 2 {
		a := act(t, workload.Sleeper, 0)
		if err := c.Set("cgroup.procs", strconv.Itoa(a.PID)); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, a.PID)
		defer a.Wait()
	}
	if err := c.Set("cgroup.kill", "1"); err != nil {
		t.Fatal(err)
	}
	return pids, os.Getpid()
}

// childrenOf are the processes that have that parent, as this pid namespace sees
// them.
func childrenOf(t *testing.T, parent int) []int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, pid)
		}
	}
	return out
}

// sigkills are the records of kind sigkill by process; one that has two is an error.
func sigkills(t *testing.T, all []oom.Record) map[int]oom.Record {
	t.Helper()
	out := map[int]oom.Record{}
	for _, r := range only(all, oom.KindSigkill) {
		pid := int(r.Victim.PID.Value)
		if _, twice := out[pid]; twice {
			t.Errorf("process %d has two records", pid)
		}
		out[pid] = r
	}
	return out
}

// TestSigkillSenders: with --sigkill all, each process that dies of a SIGKILL has one
// record, with the sender that the test knows.
func TestSigkillSenders(t *testing.T) {
	p := newTracee(t, "--sigkill", "all", "-o", "json").startReady()
	for _, tc := range sigkillCases() {
		t.Run(tc.name, func(t *testing.T) {
			victims, sender := tc.run(t)
			for _, pid := range victims {
				eventually(t, fmt.Sprintf("the record of %d", pid), p.ended, func() bool {
					_, ok := sigkills(t, parse(t, whole(p.out.Bytes())))[pid]
					return ok
				})
				r := sigkills(t, parse(t, whole(p.out.Bytes())))[pid]
				named := 0
				if r.Sender != nil {
					named = int(r.Sender.PID.Value)
				}
				if r.Cause != tc.cause || named != sender || r.Incident != "" {
					t.Errorf("process %d: cause %s, sender %d, incident %q; want %s, %d", pid, r.Cause, named, r.Incident, tc.cause, sender)
				}
				hasPressure(t, &r)
			}
		})
	}
	p.interrupt()
	if kills := only(parse(t, p.out.Bytes()), oom.KindKill); len(kills) > 0 {
		t.Errorf("%d taken for OOM kills", len(kills))
	}
}

func whole(b []byte) []byte { return b[:strings.LastIndexByte(string(b), '\n')+1] }

// TestSigkillBlastRadius: what dies with the init that the OOM killer chose has
// records of that kill's incident, by default; an unrelated kill has none.
func TestSigkillBlastRadius(t *testing.T) {
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	p := newTracee(t, "-o", "json").startReady()
	other := act(t, workload.Sleeper, 0)
	kill(t, other.PID)
	other.Wait()
	c, err := h.Make(nil, "family", workload.Limits{MaxBytes: 64 * mib, NoSwap: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Remove() }()
	a := act(t, workload.Family, syscall.CLONE_NEWPID)
	children := childrenOf(t, a.PID)
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", a.PID), []byte("1000"), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Set("cgroup.procs", strconv.Itoa(a.PID)); err != nil {
		t.Fatal(err)
	}
	hog, err := workload.Start(workload.Hog{Name: "hog", Procs: c.Procs(), Adj: -900, Steps: []workload.Step{{Kind: workload.Anon, Bytes: 96 * mib}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hog.Stop() }()
	a.Wait()
	for _, pid := range children {
		eventually(t, fmt.Sprintf("the record of %d", pid), p.ended, func() bool {
			_, ok := sigkills(t, parse(t, whole(p.out.Bytes())))[pid]
			return ok
		})
	}
	p.interrupt()
	records := parse(t, p.out.Bytes())
	var incident string
	for _, r := range only(records, oom.KindKill) {
		if int(r.Victim.PID.Value) == a.PID {
			incident = r.Incident
		}
	}
	dead := sigkills(t, records)
	if incident == "" || len(dead) != len(children) {
		t.Fatalf("incident %q, %d records for %d children", incident, len(dead), len(children))
	}
	for _, pid := range children {
		if r := dead[pid]; r.Incident != incident || r.Cause != oom.CausePIDNamespace || r.Sender == nil || int(r.Sender.PID.Value) != a.PID {
			t.Errorf("process %d: %s of %q, sender %v", pid, r.Cause, r.Incident, r.Sender)
		}
	}
}

// hasPressure: a record has the pressure of the machine, and of a cgroup that is still
// there, exactly where the kernel has it.
func hasPressure(t *testing.T, r *oom.Record) {
	t.Helper()
	readable := func(path string) bool {
		_, err := os.ReadFile(path)
		return err == nil
	}
	if want := readable("/proc/pressure/memory"); (r.Memory.Pressure != nil) != want {
		t.Errorf("the machine's pressure is %+v, the kernel has it: %v", r.Memory.Pressure, want)
	}
	if r.Victim.Cgroup != "/" {
		return
	}
	if want := readable("/sys/fs/cgroup/memory.pressure"); (r.Victim.CgroupPressure != nil) != want {
		t.Errorf("the cgroup's pressure is %+v, the kernel has it: %v", r.Victim.CgroupPressure, want)
	}
}

// runtimeKiller is a Killer that runs from a file called runc.
func runtimeKiller(t *testing.T) *workload.Actor {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	runc := filepath.Join(filepath.Dir(exe), "runc")
	if err := os.Link(exe, runc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(runc) })
	return killerAs(t, runc)
}

// clonedKiller is a Killer that runs from a copy in memory, as crun does.
func clonedKiller(t *testing.T) *workload.Actor {
	t.Helper()
	fd, err := unix.MemfdCreate("crun_cloned:/proc/self/exe", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = exe.Close() }()
	memory, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(memory, exe); err != nil {
		t.Fatal(err)
	}
	// What can be written to cannot be run.
	if err := memory.Close(); err != nil {
		t.Fatal(err)
	}
	to, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(to) })
	return killerAs(t, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), to))
}

func killerAs(t *testing.T, exe string) *workload.Actor {
	t.Helper()
	a, err := workload.PlayAs(exe, workload.Killer, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.Release()
		a.Wait()
	})
	return a
}

// containerCgroup makes a cgroup as podman does, with one process in it.
func containerCgroup(t *testing.T, h workload.Hierarchy, n int, l workload.Limits) (c *workload.Cgroup, pid int) {
	t.Helper()
	c, err := h.Make(nil, fmt.Sprintf("libpod-%064x", n), l)
	if err != nil {
		t.Fatal(err)
	}
	pids, err := workload.Pausers(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Set("cgroup.procs", strconv.Itoa(pids[0])); err != nil {
		t.Fatal(err)
	}
	return c, pids[0]
}

// endContainer has the runtime kill a container's process.
func endContainer(t *testing.T, runtime *workload.Actor, c *workload.Cgroup, pid int) {
	t.Helper()
	if err := runtime.Tell(pid); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(); err != nil {
		t.Error(err)
	}
}

// TestSigkillContainers: by default what a runtime kills at the end of many containers
// has no record, but for the one container in which an OOM kill came before.
func TestSigkillContainers(t *testing.T) {
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	p := newTracee(t, "-o", "json").startReady()
	runtime := runtimeKiller(t)
	const many = 100
	for n := range many {
		c, pid := containerCgroup(t, h, n, workload.Limits{})
		endContainer(t, runtime, c, pid)
	}
	c, pid := containerCgroup(t, h, many, workload.Limits{MaxBytes: 64 * mib, NoSwap: true})
	hog, err := workload.Start(workload.Hog{Name: "hog", Procs: c.Procs(), Adj: 900, Steps: []workload.Step{{Kind: workload.Anon, Bytes: 96 * mib}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hog.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	endContainer(t, clonedKiller(t), c, pid)
	eventually(t, "the record of the last container", p.ended, func() bool {
		return len(only(parse(t, whole(p.out.Bytes())), oom.KindSigkill)) > 0
	})
	p.interrupt()
	records := parse(t, p.out.Bytes())
	kills, dead := only(records, oom.KindKill), sigkills(t, records)
	if len(kills) != 1 || len(dead) != 1 {
		t.Fatalf("%d kills, %d other SIGKILLs", len(kills), len(dead))
	}
	if r := dead[pid]; r.Incident != kills[0].Incident || r.Sender == nil || r.Sender.Program != "crun" || r.Sender.Exe != "/memfd:crun_cloned:/proc/self/exe" || r.Why.Verdict != "killed_by_runtime" {
		t.Errorf("incident %q, the kill's is %q; sender %+v, %+v", r.Incident, kills[0].Incident, r.Sender, r.Why)
	}
}

// TestSigkillStorm: of many kills at once, of which most come while no process reads,
// each is written or counted as lost.
func TestSigkillStorm(t *testing.T) {
	const first, sent = 1000, 2000
	// Half of the ring buffer is for SIGKILLs: about a hundred of them.
	p := newTracee(t, "--sigkill", "all", "-o", "json", "--ring-bytes", "262144").startReady()
	began := time.Now()
	killMany(t, first)
	pause(t, p, func() { killMany(t, sent-first) })
	took := time.Since(began)
	var written, lost, read int
	count := func() int {
		b := whole(p.out.Bytes())
		for _, r := range parse(t, b[read:]) {
			switch {
			case r.Kind == oom.KindSigkill:
				written++
			case r.Kind == oom.KindLost && r.LostKind == oom.LostSigkill:
				lost += int(r.Lost.Value)
			}
		}
		read = len(b)
		return written + lost
	}
	eventually(t, "all records", p.ended, func() bool { return count() >= sent })
	p.interrupt()
	if n := count(); n != sent || lost == 0 {
		t.Errorf("%d written and %d lost of %d", written, lost, sent)
	}
	t.Logf("%d kills in %v: %d written, %d lost", sent, took.Round(time.Millisecond), written, lost)
}

// pause runs a function while the tracee's process is stopped.
func pause(t *testing.T, p *tracee, during func()) {
	t.Helper()
	if err := p.cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.cmd.Process.Signal(unix.SIGCONT); err != nil {
			t.Error(err)
		}
	}()
	during()
}

// killMany kills n processes one after another.
func killMany(t *testing.T, n int) {
	t.Helper()
	a := act(t, workload.Stormer, 0)
	if err := a.Tell(n); err != nil {
		t.Fatal(err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	a.Wait()
}
