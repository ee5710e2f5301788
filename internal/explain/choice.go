package explain

import (
	"cmp"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// choice says why it was this victim, and what its exit releases. These reasons
// never are the verdict: they do not say why memory ran out.
func (e *explanation) choice() {
	if e.rec.Victim == nil || e.rec.Kind != oom.KindKill {
		return
	}
	e.killedTogether()
	trigger, origin := e.allocatingTask(), e.origin()
	if e.group != nil && !e.victim.BadnessPages.Known || trigger || origin {
		// Not chosen by its size.
		return
	}
	e.spared()
	e.small()
}

// origin: a task that takes memory out of swap or KSM goes first, unweighed
// (mm/oom_kill.c, oom_evaluate_task: oom_task_origin).
func (e *explanation) origin() bool {
	v := e.victim
	ksm := e.inStack("unmerge_and_remove_all_rmap_items") || e.inStack("run_store") && e.inStack("unmerge_ksm_pages", "break_ksm", "break_ksm_pmd_entry")
	if !v.OOMOrigin.Or(false) && (!ksm || v.OOMOrigin.Known || !v.PID.Known || v.PID != e.trigger.PID) {
		return false
	}
	what := "memory out of swap (swapoff) or KSM"
	switch {
	case e.has(codeSwapoff):
		what = "memory out of swap (swapoff)"
	case ksm || e.inStack("unmerge_ksm_pages", "break_ksm"):
		what = "shared pages apart (KSM is being turned off)"
	}
	e.add(finding{code: codeVictimOrigin,
		text:  "it was taking " + what + " (oom_task_origin): the kernel kills that task first, without weighing the others",
		aside: "the task that takes " + what + " is killed first"})
	return true
}

// killedTogether: all of the group but init and those at -1000, of which some may be
// listed.
func (e *explanation) killedTogether() {
	top := e.group
	if top == nil {
		return
	}
	text := "memory.oom.group=1" + when(top.UsageBytes.Known, " on a cgroup that holds "+sizeText(top.UsageBytes.Value)) +
		": its processes are killed together, except those at oom_score_adj -1000"
	var spared []string
	for _, c := range e.rec.Candidates {
		inside := c.Cgroup == "" || c.Cgroup == top.Cgroup || strings.HasPrefix(c.Cgroup, top.Cgroup+"/")
		if c.OOMScoreAdj.Or(0) == unkillable && inside && len(spared) < 3 {
			spared = append(spared, process(c.PID, c.Comm))
		}
	}
	e.add(finding{code: codeVictimGroup, text: text + when(len(spared) > 0, " ("+strings.Join(spared, ", ")+")")})
}

func (e *explanation) allocatingTask() bool {
	v, t := e.victim, e.trigger
	if e.cgroup || e.sysrq || !e.memory.OOMKillAllocatingTask.Or(false) {
		return false
	}
	text := ""
	switch {
	case e.rec.Trigger != nil && v.PID.Known && (t.PID == v.PID || !t.PID.Known && v.TID.Known && t.TID == v.TID):
		text = sprintf("pid %d asked for memory and was killed for it", v.PID.Value)
	case e.rec.Source == oom.SourceKmsg && t.TID.Known && v.TID.Known:
		// The kernel's own line says that it was chosen so: up to 5.0 one of its children dies
		// for it (oom_kill_process).
		text = process(t.TID, t.Comm) + " asked for memory and was chosen for it; a child or another thread of it was killed"
	case e.rec.Source == oom.SourceKmsg && !t.TID.Known:
		text = "the task that asked for memory was chosen for it"
	default:
		return false
	}
	e.add(finding{code: codeVictimTrigger, text: "vm.oom_kill_allocating_task is 1: " + text})
	return true
}

// spared looks for a task at least 10 % bigger, for the numbers of two tasks are
// not read at one moment, with a lower oom_score_adj. One below a tenth of the memory
// is left out.
func (e *explanation) spared() {
	v := e.victim
	if !v.RSSBytes.Known || !v.OOMScoreAdj.Known {
		return
	}
	var best *oom.Candidate
	var most, than uint64
	for i := range e.rec.Candidates {
		c := &e.rec.Candidates[i]
		if !c.RSSBytes.Known || c.PID.Known && c.PID == v.PID || c.OOMScoreAdj.Or(v.OOMScoreAdj.Value) >= v.OOMScoreAdj.Value {
			continue
		}
		theirs, its := common(c, v)
		if theirs > add(its, its/10) && theirs > most {
			best, most, than = c, theirs, its
		}
	}
	if whole := e.whole(); best == nil || whole.Known && !ratio(most, whole.Value, 1, 10) {
		return
	}
	e.add(finding{code: codeVictimAdj, text: sprintf("a bigger task, %s, was spared: %s with oom_score_adj %d; the victim has %s and %d",
		process(best.PID, best.Comm), sizeText(most), best.OOMScoreAdj.Value, sizeText(than), v.OOMScoreAdj.Value)})
}

// common sizes two tasks by the numbers that both have.
func common(c *oom.Candidate, v *oom.Victim) (candidate, victim uint64) {
	candidate, victim = c.RSSBytes.Value, v.RSSBytes.Value
	if c.SwapBytes.Known && v.SwapBytes.Known {
		candidate, victim = add(candidate, c.SwapBytes.Value), add(victim, v.SwapBytes.Value)
	}
	if c.PgtablesBytes.Known && v.PgtablesBytes.Known {
		candidate, victim = add(candidate, c.PgtablesBytes.Value), add(victim, v.PgtablesBytes.Value)
	}
	return candidate, victim
}

// small: below 2 % of the memory that ran out, the same shortage is back soon.
// What counts is all that may go with the process: anonymous memory, swap, page
// tables, what it maps of shared memory, which only it may hold, and what it keeps
// from being dropped by mlock. Sockets, pipes and other kernel memory of its own go
// with it too and are not in these numbers, so that nothing is said where they are
// what fills the memory.
func (e *explanation) small() {
	v, whole := e.victim, e.max.Value
	if !e.cgroup {
		whole = cmp.Or(e.whole(), e.rec.DomainBytes).Value // the first that is known
	}
	if e.group != nil || !v.AnonRSSBytes.Known || !v.SwapBytes.Known && !isNone(e.swapTotal) || whole == 0 {
		return
	}
	switch e.cause() {
	case codeLimitKernel, codeLimitHugetlb, codeMemoryKernel, codeMemoryMissing, codeNotShort:
		return
	}
	own := add(v.AnonRSSBytes.Value, v.SwapBytes.Value, v.PgtablesBytes.Value, v.ShmemRSSBytes.Value,
		min(v.LockedVMBytes.Value, v.FileRSSBytes.Value))
	if !ratio(own, whole, 1, 50) {
		e.add(finding{code: codeVictimSmall, text: "the kill may free little: it releases at most " + partText(own, whole)})
	}
}
