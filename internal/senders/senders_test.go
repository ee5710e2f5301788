package senders

import (
	"fmt"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func sender(uid uint32, exe, cgroup, unit string) *oom.Sender {
	return &oom.Sender{
		UID: oom.Some(uid), Exe: exe, Comm: "x", Cgroup: cgroup, Owner: oom.Owner{Unit: unit},
	}
}

// TestRecognise: a program is what it runs from, not what it calls itself.
func TestRecognise(t *testing.T) {
	const oomd = "/system.slice/systemd-oomd.service"
	script := sender(0, "/usr/bin/python3.11", "/system.slice/nohang.service", "nohang.service")
	script.Args = "/usr/bin/python3\x00-u\x00/usr/sbin/nohang\x00--config\x00/etc/nohang.conf"
	other := sender(0, "/usr/bin/python3.11", "/system.slice/x.service", "x.service")
	other.Args = "/usr/bin/python3\x00/srv/app.py\x00nohang"
	contained := sender(0, "/usr/bin/earlyoom", "/system.slice/docker-1.scope", "docker-1.scope")
	contained.Container = &oom.Container{ID: "1"}
	named := sender(1000, "/home/u/a.out", "/user.slice/user-1000.slice/session-1.scope", "session-1.scope")
	named.Comm = "earlyoom"
	const clone = "/memfd:crun_cloned:/proc/self/exe"
	containedClone, renamed := sender(0, clone, "/machine.slice/libpod-1.scope", ""), sender(0, "/memfd:x", "/machine.slice", "")
	containedClone.Container, renamed.Comm = &oom.Container{ID: "1"}, "memfd:crun_clon"
	for _, tc := range []struct {
		name string
		s    *oom.Sender
		want string
		role oom.Role
	}{
		{"crun, from its copy in memory", sender(0, clone, "/machine.slice", ""), "crun", oom.RoleRuntime},
		{"a user's copy of that name", sender(1000, clone, "/user.slice/user-1000.slice/session-1.scope", ""), "", ""},
		{"a container's copy of that name", containedClone, "", ""},
		{"another copy, which calls itself so", renamed, "", ""},
		{"systemd-oomd, which has a user of its own, by its unit", sender(998, "/usr/lib/systemd/systemd-oomd", oomd, "systemd-oomd.service"), "systemd-oomd", oom.RoleMemoryManager},
		{"a helper in that unit", sender(998, "/usr/bin/kill", oomd, "systemd-oomd.service"), "", ""},
		{"earlyoom by root", sender(0, "/usr/bin/earlyoom", "/system.slice/earlyoom.service", "earlyoom.service"), "earlyoom", oom.RoleMemoryManager},
		{"earlyoom with DynamicUser", sender(61234, "/usr/bin/earlyoom", "/system.slice/earlyoom.service", "earlyoom.service"), "earlyoom", oom.RoleMemoryManager},
		{"a user's file of that name", sender(1000, "/home/u/earlyoom", "/user.slice/user-1000.slice/session-1.scope", "session-1.scope"), "", ""},
		{"a user's unit of that name", sender(1000, "/home/u/earlyoom", "/user.slice/user-1000.slice/user@1000.service/app.slice/earlyoom.service", "earlyoom.service"), "", ""},
		{"a name alone", named, "", ""},
		{"in a container", contained, "", ""},
		{"a script", script, "nohang", oom.RoleMemoryManager},
		{"another script with that argument", other, "", ""},
		{"runc", sender(0, "/usr/sbin/runc", "/system.slice/containerd.service", "containerd.service"), "runc", oom.RoleRuntime},
		{"a shim", sender(0, "/usr/bin/containerd-shim-runc-v2", "/system.slice/containerd.service", "containerd.service"), "containerd-shim", oom.RoleRuntime},
		{"systemd", sender(0, "/usr/lib/systemd/systemd", "/init.scope", "init.scope"), "systemd", oom.RoleServiceManager},
		{"a shell of root", sender(0, "/bin/bash", "/user.slice/user-0.slice/session-1.scope", "session-1.scope"), "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, ok := recognise(tc.s)
			if p.name != tc.want || p.role != tc.role || ok != (tc.want != "") {
				t.Errorf("%q as %q, want %q as %q", p.name, p.role, tc.want, tc.role)
			}
		})
	}
}

func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func killOf(v *oom.Victim, incident string) *oom.Record {
	return &oom.Record{Kind: oom.KindKill, Time: start(), Incident: incident, Victim: v}
}

func sigkill(after time.Duration, v *oom.Victim, s *oom.Sender) *oom.Record {
	return &oom.Record{Kind: oom.KindSigkill, Time: start().Add(after), Victim: v, Sender: s, Cause: oom.CauseUser}
}

func victim(cgroup, unit, container, pod string) *oom.Victim {
	v := &oom.Victim{Cgroup: cgroup, Owner: oom.Owner{Unit: unit}}
	if container != "" {
		v.Container = &oom.Container{ID: container}
	}
	if pod != "" {
		v.Pod = &oom.Pod{UID: pod}
	}
	return v
}

// fromInit is the end of a process with the init of its pid namespace.
func fromInit(pid int32, after time.Duration) *oom.Record {
	rec := sigkill(after, victim("/c", "", "", ""), &oom.Sender{PID: oom.Some(pid)})
	rec.Cause = oom.CausePIDNamespace
	return rec
}

// TestDrawn: what a runtime or service manager kills of the same owner, shortly
// after an OOM kill, follows from that kill; what others kill does not.
func TestDrawn(t *testing.T) {
	runc := func() *oom.Sender { return sender(0, "/usr/bin/runc", "/system.slice/containerd.service", "") }
	systemd := func() *oom.Sender { return sender(0, "/usr/lib/systemd/systemd", "/init.scope", "init.scope") }
	shell := func() *oom.Sender { return sender(0, "/bin/bash", "/user.slice", "") }
	for _, tc := range []struct {
		name   string
		killed *oom.Victim
		then   *oom.Record
		want   string
	}{
		{"same container", victim("/a/1", "", "1", "p"), sigkill(time.Second, victim("/a/1", "", "1", "p"), runc()), "i"},
		{"another container of the pod", victim("/a/1", "", "1", "p"), sigkill(time.Second, victim("/a/2", "", "2", "p"), runc()), "i"},
		{"another pod", victim("/a/1", "", "1", "p"), sigkill(time.Second, victim("/b/1", "", "3", "q"), runc()), ""},
		{"same unit", victim("/system.slice/x.service", "x.service", "", ""), sigkill(90*time.Second, victim("/system.slice/x.service/sub", "x.service", "", ""), systemd()), "i"},
		{"a container in a unit is not the unit", victim("/system.slice/x.service/1", "x.service", "1", ""), sigkill(time.Second, victim("/system.slice/x.service", "x.service", "", ""), systemd()), ""},
		{"the last moment", victim("/a", "", "", ""), sigkill(drawn, victim("/a", "", "", ""), systemd()), "i"},
		{"the pid namespace of the victim", &oom.Victim{PID: oom.Some[int32](7)}, fromInit(7, time.Second), "i"},
		{"another pid namespace", &oom.Victim{PID: oom.Some[int32](7)}, fromInit(8, time.Second), ""},
		{"too late", victim("/a", "", "", ""), sigkill(drawn+1, victim("/a", "", "", ""), systemd()), ""},
		{"before it", victim("/a", "", "", ""), sigkill(-1, victim("/a", "", "", ""), systemd()), ""},
		{"the root cgroup is no owner", victim("/", "", "", ""), sigkill(1, victim("/", "", "", ""), systemd()), ""},
		{"a person", victim("/a", "", "", ""), sigkill(1, victim("/a", "", "", ""), shell()), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := New(Options{})
			tr.Observe(killOf(tc.killed, "i"))
			keep := tr.Observe(tc.then)
			if tc.then.Incident != tc.want || keep != (tc.want != "") {
				t.Errorf("incident %q, kept %v; want %q", tc.then.Incident, keep, tc.want)
			}
		})
	}
}

// TestVictimTwice: a victim of the OOM killer that gets its SIGKILL once more, as the
// chosen process of a memory.oom.group does, has no second record; another process
// with that incident has one.
func TestVictimTwice(t *testing.T) {
	tr := New(Options{Mode: ModeAll})
	tr.Observe(killOf(&oom.Victim{PID: oom.Some[int32](7)}, "i"))
	for pid, keep := range map[int32]bool{7: false, 8: true} {
		rec := sigkill(0, &oom.Victim{PID: oom.Some(pid)}, nil)
		rec.Cause, rec.Incident = oom.CauseSharedMM, "i"
		if got := tr.Observe(rec); got != keep {
			t.Errorf("process %d: kept %v, want %v", pid, got, keep)
		}
	}
}

// TestSignalledAgain: who dies by the OOM killer has no second record when a manager
// signals it too; a later process with its pid has one.
func TestSignalledAgain(t *testing.T) {
	at := func(started time.Duration, cgroup string) *oom.Victim {
		v := victim(cgroup, "", "", "")
		if v.PID = oom.Some[int32](7); started != 0 {
			v.StartTime = start().Add(started)
		}
		return v
	}
	for _, tc := range []struct {
		name         string
		killed, then *oom.Victim
		after        time.Duration
		keep         bool
	}{
		{"the same process", at(-time.Minute, "/u"), at(-time.Minute, "/u"), time.Second, false},
		{"another process with its pid", at(-time.Minute, "/u"), at(time.Second, "/u"), 2 * time.Second, true},
		{"a start that is not known, the same cgroup", at(0, "/u"), at(0, "/u"), time.Second, false},
		{"a start that is not known, another cgroup", at(0, "/u"), at(0, "/v"), time.Second, true},
		{"long after", at(-time.Minute, "/u"), at(-time.Minute, "/u"), drawn + 1, true},
		{"before it", at(-time.Minute, "/u"), at(-time.Minute, "/u"), -1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := New(Options{Mode: ModeAll})
			tr.Observe(killOf(tc.killed, "i"))
			if got := tr.Observe(sigkill(tc.after, tc.then, nil)); got != tc.keep {
				t.Errorf("kept %v, want %v", got, tc.keep)
			}
		})
	}
}

// TestModes: what each mode keeps.
func TestModes(t *testing.T) {
	manager := sender(0, "/usr/bin/earlyoom", "/system.slice/earlyoom.service", "earlyoom.service")
	shell := sender(0, "/bin/bash", "/", "")
	for _, tc := range []struct {
		mode           Mode
		by             *oom.Sender
		incident       string
		keep           bool
		cause, becomes oom.Cause
	}{
		{ModeMemory, manager, "", true, oom.CauseUser, oom.CauseMemoryManager},
		{ModeMemory, manager, "", true, oom.CauseCgroupKill, oom.CauseMemoryManager},
		{"", shell, "", false, oom.CauseUser, oom.CauseUser},
		{ModeMemory, shell, "i", true, oom.CausePIDNamespace, oom.CausePIDNamespace},
		{ModeMemory, nil, "", false, oom.CauseKernel, oom.CauseKernel},
		{ModeMemory, nil, "i", true, oom.CauseSharedMM, oom.CauseSharedMM},
		{ModeAll, shell, "", true, oom.CauseUser, oom.CauseUser},
		{ModeOff, manager, "", false, oom.CauseUser, oom.CauseMemoryManager},
	} {
		t.Run(fmt.Sprintf("%s %s", tc.mode, tc.cause), func(t *testing.T) {
			rec := sigkill(0, victim("/a", "", "", ""), tc.by)
			rec.Cause, rec.Incident = tc.cause, tc.incident
			if keep := New(Options{Mode: tc.mode}).Observe(rec); keep != tc.keep || rec.Cause != tc.becomes {
				t.Errorf("kept %v as %s, want %v as %s", keep, rec.Cause, tc.keep, tc.becomes)
			}
		})
	}
	if !New(Options{Mode: ModeOff}).Observe(killOf(victim("/a", "", "", ""), "i")) {
		t.Error("a kill is dropped")
	}
}

// TestBound: no number of kills makes it grow, and the last ones are kept.
func TestBound(t *testing.T) {
	tr := New(Options{})
	for i := range 10 * maxKills {
		tr.Observe(killOf(victim(fmt.Sprintf("/c%d", i), "", "", ""), fmt.Sprint(i)))
		if len(tr.kills) > maxKills {
			t.Fatalf("%d kills kept", len(tr.kills))
		}
	}
	last := sigkill(1, victim(fmt.Sprintf("/c%d", 10*maxKills-1), "", "", ""), sender(0, "/usr/bin/crun", "/", ""))
	if tr.Observe(last); last.Incident != fmt.Sprint(10*maxKills-1) {
		t.Errorf("incident %q", last.Incident)
	}
}
