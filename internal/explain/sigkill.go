package explain

import "github.com/oomtrace/oomtrace/internal/oom"

// sigkill explains a SIGKILL that did not come from the kernel's OOM killer: who sent
// it, and whether memory was short.
func (e *explanation) sigkill() {
	by := "an unknown sender"
	if s := e.rec.Sender; s != nil {
		by = senderName(s)
	}
	code, text, doubt := codeKilledByUser, "SIGKILL from "+by, ""
	switch e.rec.Cause {
	case oom.CauseMemoryManager:
		code, text = codeKilledByManager, "killed by a memory manager: "+by
		if s := e.rec.Sender; s != nil && s.Program != "" {
			text = "killed by " + process(s.PID, s.Program)
			if s.Says != "" {
				text += ", which says: " + name(s.Says)
			}
		}
	case oom.CausePIDNamespace:
		code, text = codeKilledWith, "its pid namespace's init exited, and the kernel killed the rest of the namespace"
	case oom.CauseSharedMM:
		code, text = codeKilledWith, "it used the memory of the process that the OOM killer killed"
	case oom.CauseKernel:
		code, text, doubt = codeKilledByKernel, "the kernel sent SIGKILL, for a reason other than memory", "any of them: seccomp, RLIMIT_CPU, a failed exec"
	case oom.CauseCgroupKill:
		text = "cgroup.kill of its cgroup, written by " + by
		fallthrough
	default:
		switch s := e.rec.Sender; {
		case s == nil:
			doubt = "any sender: the record does not hold it"
		case s.Role == oom.RoleRuntime || s.Role == oom.RoleServiceManager:
			code = codeKilledByRuntime
		}
	}
	if e.rec.Incident != "" {
		text += ", following an OOM kill"
	}
	e.add(finding{code: code, text: text, doubt: doubt})
	e.settle(code)
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
// memory; the machine is when no more is free than its watermarks.
func (e *explanation) memoryThen() {
	var usage, limit uint64
	consider := func(u, m size) {
		if u.Known && m.Known && m.Value > 0 && (limit == 0 || float64(u.Value)/float64(m.Value) > float64(usage)/float64(limit)) {
			usage, limit = u.Value, m.Value
		}
	}
	if l := e.rec.Limit; l != nil {
		consider(l.UsageBytes, l.MaxBytes)
	}
	levels := victimLevels(e.rec.Victim)
	for i := range levels {
		consider(levels[i].UsageBytes, levels[i].MaxBytes)
	}
	e.memoryLow()
	low := e.has(codeMemoryLow)
	words := ""
	switch {
	case limit > 0 && ratio(usage, limit, 95, 100):
		words = sprintf("%s of the limit of %s", percentText(usage, limit), sizeText(limit))
	case low:
		words = "the machine had " + sizeText(e.free.Value) + " free"
	}
	if words != "" {
		e.add(finding{code: codeMemoryWasShort, text: "memory was short: " + words, aside: "memory was short: " + words})
		return
	}
	switch {
	case limit > 0:
		words = sprintf("%s of the limit", percentText(usage, limit))
	case e.free.Known && e.total.Known && ratio(e.free.Value, e.total.Value, 1, 10):
		words = partText(e.free.Value, e.total.Value) + " is free"
	default:
		return
	}
	e.add(finding{code: codeMemoryWasFree, text: "memory was not short: " + words, aside: "memory was not short: " + words})
}
