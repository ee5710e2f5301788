package wire

import (
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// decodeSigkill reads a SIGKILL that the OOM killer did not choose its target for.
// Its victim, and the limits above it, are laid out as in a victim record.
func (ev *Event) decodeSigkill(b []byte, m *Machine) error {
	raw, err := take[probe.OomtraceSigkillEvent](b, "sigkill")
	if err != nil {
		return err
	}
	as := probe.OomtraceVictimEvent{MarkTid: raw.Victim.Tid, Victim: raw.Victim, Mm: raw.Mm, Chain: raw.Chain}
	d := victimDecoder{ev: ev, rec: &ev.Record, raw: &as, tail: b[unsafe.Sizeof(raw):], m: m, page: pageSize(m)}
	ev.header(&raw.Hdr, oom.KindSigkill, raw.Victim.Tid, m)
	ev.Record.Hooks = append(ev.Record.Hooks, "raw_tp:signal_generate")
	if raw.Hdr.IncidentNs == 0 {
		ev.Record.Incident = ""
	}
	if err := d.victim(); err != nil {
		return err
	}
	var sent bool
	ev.Record.Cause, sent = cause(&raw)
	if !sent {
		return nil
	}
	return d.sender(&raw)
}

// The values of si_code that a SIGKILL can have (include/uapi/asm-generic/siginfo.h).
const (
	siUser  = 0
	siQueue = -1
	siTkill = -6
)

// cause says what a SIGKILL came from, and whether the task that ran then has to do
// with it.
func cause(raw *probe.OomtraceSigkillEvent) (cause oom.Cause, sent bool) {
	is := func(f probe.OomtraceSenderFlag) bool { return raw.SenderFlags&uint32(f) != 0 }
	switch probe.OomtraceSigkillInfo(raw.Info) {
	case probe.OomtraceSigkillInfoSIGKILL_INFO_SENDER:
		switch raw.Code {
		case siUser, siQueue, siTkill:
			return oom.CauseUser, true
		}
		return oom.CauseKernel, false // a timer, a message queue: whatever ran then
	case probe.OomtraceSigkillInfoSIGKILL_INFO_NONE:
		return onBehalf(raw, is)
	}
	switch {
	case is(probe.OomtraceSenderFlagSENDER_OOM_KILLER):
		return oom.CauseSharedMM, false
	case is(probe.OomtraceSenderFlagSENDER_EXITING) && is(probe.OomtraceSenderFlagSENDER_NS_INIT):
		return oom.CausePIDNamespace, true // zap_pid_ns_processes, kernel/pid_namespace.c
	case is(probe.OomtraceSenderFlagSENDER_PTRACER):
		return oom.CauseUser, true
	}
	return oom.CauseKernel, false
}

// onBehalf is the cause where the kernel sent on behalf of the task that ran.
func onBehalf(raw *probe.OomtraceSigkillEvent, is func(probe.OomtraceSenderFlag) bool) (cause oom.Cause, sent bool) {
	switch {
	case is(probe.OomtraceSenderFlagSENDER_FORKING):
		return oom.CauseCgroupKill, false // cgroup_post_fork: whoever wrote, it was not the parent that ran
	case is(probe.OomtraceSenderFlagSENDER_EXITING):
		return oom.CauseKernel, true // PR_SET_PDEATHSIG, from the parent
	case is(probe.OomtraceSenderFlagSENDER_KTHREAD):
		return oom.CauseKernel, false
	case raw.Group == 1:
		return oom.CauseUser, true // kill(2) on 7.x; it has a siginfo before
	case is(probe.OomtraceSenderFlagSENDER_PTRACER):
		return oom.CauseUser, true // PTRACE_KILL from 5.19 on
	case is(probe.OomtraceSenderFlagSENDER_SELF):
		return oom.CauseKernel, false
	}
	return oom.CauseCgroupKill, true // __cgroup_kill, kernel/cgroup/cgroup.c
}

func (d *victimDecoder) sender(raw *probe.OomtraceSigkillEvent) error {
	t, s := &raw.Sender, &oom.Sender{}
	d.rec.Sender = s
	s.PID, s.TID, s.PPID, s.UID = oom.Some(t.Tgid), oom.Some(t.Tid), oom.Some(t.Ppid), oom.Some(t.Uid)
	s.Comm = text(t.Comm[:])
	var err error
	if s.Args, s.Cmdline, err = d.cmdline(t); err != nil {
		return err
	}
	if s.Exe, err = d.exe(t); err != nil {
		return err
	}
	s.CgroupID = known(t.CgroupId)
	if s.Cgroup, s.CgroupCut, err = d.taskCgroup(t); err != nil {
		return err
	}
	for _, p := range raw.Parent[:min(int(raw.Parents), len(raw.Parent))] {
		s.Parents = append(s.Parents, oom.Parent{PID: oom.Some(p.Tgid), Comm: text(p.Comm[:])})
	}
	return nil
}
