package explain

import "github.com/oomtrace/oomtrace/internal/oom"

// sigkill explains a SIGKILL that did not come from the kernel's OOM killer: who sent
// it, and whether memory was short.
func (e *explanation) sigkill() {
	s, by, doubt := orEmpty(e.rec.Sender), "an unknown sender", "any sender: the record does not hold it"
	if e.rec.Sender != nil {
		by, doubt = senderName(s), ""
	}
	code, text := codeKilledByUser, "SIGKILL from "+by
	if s.Role == oom.RoleRuntime || s.Role == oom.RoleServiceManager {
		code = codeKilledByRuntime
	}
	switch e.rec.Cause {
	case oom.CauseMemoryManager:
		code, text, doubt = codeKilledByManager, "killed by a memory manager: "+by, ""
		if s.Program != "" {
			text = "killed by " + process(s.PID, s.Program) + when(s.Says != "", ", which says: "+name(s.Says))
		}
	case oom.CausePIDNamespace:
		code, text, doubt = codeKilledWith, "its pid namespace's init exited, and the kernel killed the rest of the namespace", ""
	case oom.CauseSharedMM:
		code, text, doubt = codeKilledWith, "it used the memory of the process that the OOM killer killed", ""
	case oom.CauseKernel:
		code, text, doubt = codeKilledByKernel, "the kernel sent SIGKILL, for a reason other than memory", "any of them: seccomp, RLIMIT_CPU, a failed exec"
	case oom.CauseCgroupKill:
		text = "cgroup.kill of its cgroup, written by " + by
	}
	text += when(e.rec.Incident != "", ", following an OOM kill")
	e.add(finding{code: code, text: text, doubt: doubt, settles: true})
	e.memoryThen()
}

// senderName names a sender, and its owner or the first of its parents.
func senderName(s *oom.Sender) string {
	out := process(s.PID, s.Comm)
	switch o := ownerName(&oom.Holder{Owner: s.Owner}); {
	case o != name(""):
		out += " of " + o
	case len(s.Parents) > 0:
		out += ", started by " + process(s.Parents[0].PID, s.Parents[0].Comm)
	}
	return out
}

// memoryThen: the fullest of the victim's cgroups, from 95 % of its limit on, is short of
// memory; one whose tasks waited for memory for a tenth of the last 10 s is too; the
// machine is when no more is free than its watermarks.
func (e *explanation) memoryThen() {
	var usage, limit uint64
	consider := func(u, m size) {
		if u.Known && m.Known && m.Value > 0 && (limit == 0 || float64(u.Value)/float64(m.Value) > float64(usage)/float64(limit)) {
			usage, limit = u.Value, m.Value
		}
	}
	consider(e.limit.UsageBytes, e.limit.MaxBytes)
	for _, l := range e.victim.CgroupLimits {
		consider(l.UsageBytes, l.MaxBytes)
	}
	e.memoryLow()
	waited, stalled := e.waiting()
	code, claim, state := codeMemoryWasShort, "memory was short: ", ""
	switch {
	case ratio(usage, limit, 95, 100):
		state = sprintf("%s of the limit of %s", percentText(usage, limit), sizeText(limit))
	case e.has(codeMemoryLow):
		state = "the machine had " + sizeText(e.free.Value) + " free"
	case stalled == yes:
	case stalled == unknown:
		return
	default:
		code, claim = codeMemoryWasFree, "memory was not short: "
		switch {
		case limit > 0:
			state = percentText(usage, limit) + " of the limit"
		case ratio(e.free.Value, e.total.Value, 1, 10):
			state = partText(e.free.Value, e.total.Value) + " is free"
		default:
			return
		}
	}
	text := claim + state + when(state != "" && waited != "", ", ") + waited
	e.add(finding{code: code, text: text, aside: text})
}

// answer is what is known of a question.
type answer int

const (
	no answer = iota
	yes
	unknown
)

// stalledPercent is the part of the last 10 s from which on waiting for memory says that
// it was short.
const stalledPercent = 10

// waiting is the pressure of the victim's cgroup in words, or where that is not known
// the machine's, and whether they waited for long. A kernel without pressure has no
// word against what the usage says. Those who wait on the machine may be in another
// cgroup, at a limit of its own: that proves nothing of this one.
func (e *explanation) waiting() (words string, stalled answer) {
	p, whose, long := e.victim.CgroupPressure, "its cgroup's", yes
	if p == nil {
		p, whose, long = e.memory.Pressure, "the machine's", unknown
	}
	if p == nil {
		return "", no
	}
	who, share := "some", orEmpty(p.Some).Avg10Percent
	if full := orEmpty(p.Full).Avg10Percent; full.Value >= stalledPercent {
		who, share = "all", full
	}
	switch {
	case !share.Known:
		return "", unknown
	case share.Value >= stalledPercent:
		stalled = long
	}
	// Not rounded to nothing or to all.
	percent := percentText(uint64(share.Value*100+0.5), 100*100)
	return sprintf("%s of %s tasks waited for memory %s of the last 10 s", who, whose, percent), stalled
}
