package wire

import (
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

const (
	exiting   = uint32(probe.OomtraceSenderFlagSENDER_EXITING)
	nsInit    = uint32(probe.OomtraceSenderFlagSENDER_NS_INIT)
	self      = uint32(probe.OomtraceSenderFlagSENDER_SELF)
	kthread   = uint32(probe.OomtraceSenderFlagSENDER_KTHREAD)
	ptracer   = uint32(probe.OomtraceSenderFlagSENDER_PTRACER)
	forking   = uint32(probe.OomtraceSenderFlagSENDER_FORKING)
	oomKiller = uint32(probe.OomtraceSenderFlagSENDER_OOM_KILLER)
	marked    = uint32(probe.OomtraceSenderFlagSENDER_VICTIM)
)

// sigkillRecord is a SIGKILL from sudo's kill to a java.
func sigkillRecord() []byte {
	r := &victimRecord{}
	s := probe.OomtraceSigkillEvent{
		Hdr: header(probe.OomtraceEventTypeEVENT_SIGKILL), Info: uint32(probe.OomtraceSigkillInfoSIGKILL_INFO_SENDER), Group: 1,
		Mm: probe.OomtraceMmInfo{TotalVmPages: 100, FilePages: 1, AnonPages: 20, SwapPages: 4, ShmemPages: 3, LockedVmPages: 0, PgtablesBytes: 4096},
	}
	s.Hdr.IncidentNs = 0
	s.Victim, s.Sender = task(r, 700, 701, "java"), task(r, 800, 800, "kill")
	s.Chain = r.append(append(link(4242, 100, 200), link(4241, 300, noLimitPages)...))
	s.Parents = 2
	s.Parent[0] = probe.OomtraceParentInfo{Tgid: 799, Comm: comm("bash")}
	s.Parent[1] = probe.OomtraceParentInfo{Tgid: 1, Comm: comm("systemd")}
	return append(bytesOf(&s), r.tail...)
}

func TestSigkill(t *testing.T) {
	r := decode(t, sigkillRecord()).Record
	v, s := r.Victim, r.Sender
	if r.Kind != oom.KindSigkill || r.Cause != oom.CauseUser || r.Incident != "" || r.ID == "" || r.Limit != nil || r.Time.IsZero() {
		t.Errorf("%s", jsonOf(t, r))
	}
	if v.PID != oom.Some[int32](700) || v.Comm != "java" || v.Cgroup != "/kubepods.slice/pod42/leaf" || v.RSSBytes != some(24*4096) ||
		len(v.CgroupLimits) != 2 || v.CgroupLimits[0].MaxBytes != some(200*4096) || v.CgroupLimits[1].MaxBytes.Known {
		t.Errorf("victim %s", jsonOf(t, v))
	}
	if s.PID != oom.Some[int32](800) || s.Comm != "kill" || s.Exe != "/usr/bin/java" || s.Cgroup != v.Cgroup || s.UID != oom.Some[uint32](1000) || len(s.Parents) != 2 ||
		s.Parents[1].Comm != "systemd" || s.Parents[0].PID != oom.Some[int32](799) {
		t.Errorf("sender %s", jsonOf(t, s))
	}
}

// TestCause: each way in which the kernel sends a SIGKILL.
func TestCause(t *testing.T) {
	const none, kernel, sender = uint32(probe.OomtraceSigkillInfoSIGKILL_INFO_NONE),
		uint32(probe.OomtraceSigkillInfoSIGKILL_INFO_KERNEL), uint32(probe.OomtraceSigkillInfoSIGKILL_INFO_SENDER)
	for _, tc := range []struct {
		name        string
		info        uint32
		code        int32
		group       uint32
		flags       uint32
		want        oom.Cause
		namesSender bool
	}{
		{"kill", sender, siUser, 1, 0, oom.CauseUser, true},
		{"tgkill", sender, siTkill, 0, 0, oom.CauseUser, true},
		{"sigqueue", sender, siQueue, 1, 0, oom.CauseUser, true},
		{"kill of oneself", sender, siUser, 1, self, oom.CauseUser, true},
		{"a timer", sender, -2, 1, 0, oom.CauseKernel, false},
		{"cgroup.kill", none, siUser, 0, 0, oom.CauseCgroupKill, true},
		{"cgroup.kill of one's own cgroup", none, siUser, 0, self, oom.CauseKernel, false},
		{"a fork into a cgroup that is killed", none, siUser, 1, forking, oom.CauseCgroupKill, false},
		{"kill on 7.x", none, siUser, 1, 0, oom.CauseUser, true},
		{"kill of oneself on 7.x", none, siUser, 1, self, oom.CauseUser, true},
		{"PTRACE_KILL", none, siUser, 0, ptracer, oom.CauseUser, true},
		{"a parent's death", none, siUser, 1, exiting, oom.CauseKernel, true},
		{"a kernel thread", none, siUser, 0, kthread, oom.CauseKernel, false},
		{"the init of a pid namespace", kernel, 128, 1, exiting | nsInit, oom.CausePIDNamespace, true},
		{"the same, as an OOM victim", kernel, 128, 1, exiting | nsInit | marked, oom.CausePIDNamespace, true},
		{"an init that does not exit", kernel, 128, 1, nsInit, oom.CauseKernel, false},
		{"a ptracer", kernel, 128, 1, ptracer, oom.CauseUser, true},
		{"a CPU limit", kernel, 128, 1, self, oom.CauseKernel, false},
		{"the mm of a victim", kernel, 128, 1, oomKiller, oom.CauseSharedMM, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, names := cause(&probe.OomtraceSigkillEvent{Info: tc.info, Code: tc.code, Group: tc.group, SenderFlags: tc.flags})
			if got != tc.want || names != tc.namesSender {
				t.Errorf("%s, sender named: %v; want %s, %v", got, names, tc.want, tc.namesSender)
			}
		})
	}
}
