package explain

import "github.com/oomtrace/oomtrace/internal/oom"

// choice says why it was this victim, and what its end is worth. These reasons
// never are the verdict: they do not say why memory ran out.
func (e *Explainer) choice() {
	v := e.f.rec.Victim
	if v == nil || e.f.rec.Kind != oom.KindKill {
		return
	}
	group := e.group(v)
	trigger, origin := e.allocatingTask(v), e.origin(v)
	if group && !v.BadnessPages.Known || trigger || origin {
		// Not chosen by its size.
		return
	}
	e.spared(v)
	if !group {
		e.small(v)
	}
}

// origin: a task that takes memory out of swap or KSM goes first, unweighed
// (mm/oom_kill.c, oom_evaluate_task: oom_task_origin).
func (e *Explainer) origin(v *oom.Victim) bool {
	if !v.OOMOrigin.Or(false) {
		return false
	}
	e.reason(codeVictimOrigin).s("it was taking memory out of swap (swapoff) or KSM (oom_task_origin): the kernel kills that task first, without weighing the others")
	e.end()
	return true
}

// group looks for the topmost cgroup with memory.oom.group, from the victim's up
// to the one at its limit, as mem_cgroup_get_oom_group does (mm/memcontrol.c).
func (e *Explainer) group(v *oom.Victim) bool {
	var top *oom.CgroupLimit
	for i := range v.CgroupLimits {
		c := &v.CgroupLimits[i]
		if c.OOMGroup.Or(false) {
			top = c
		}
		if l := e.f.rec.Limit; e.f.cgroup && l != nil && c.Cgroup == l.Cgroup {
			break
		}
	}
	if top == nil {
		return false
	}
	t := e.reason(codeVictimGroup).s("memory.oom.group=1")
	if top.UsageBytes.Known {
		t.s(" on a cgroup that holds ").size(top.UsageBytes.Value)
	}
	t.s(": every process in it is killed")
	e.end()
	return true
}

func (e *Explainer) allocatingTask(v *oom.Victim) bool {
	m, t := e.f.rec.Memory, e.f.rec.Trigger
	if e.f.cgroup || e.f.sysrq || m == nil || t == nil || !m.OOMKillAllocatingTask.Or(false) {
		return false
	}
	if !v.PID.Known || t.PID != v.PID {
		return false
	}
	e.reason(codeVictimTrigger).s("vm.oom_kill_allocating_task is 1: pid ").n(int64(v.PID.Value)).s(" asked for memory and was killed for it")
	e.end()
	return true
}

// spared looks for a task at least 10 % bigger, for the numbers of two tasks are
// not read at one moment, with a lower oom_score_adj.
func (e *Explainer) spared(v *oom.Victim) {
	if !v.RSSBytes.Known || !v.OOMScoreAdj.Known {
		return
	}
	var best *oom.Candidate
	var most, than uint64
	for i := range e.f.rec.Candidates {
		c := &e.f.rec.Candidates[i]
		if !c.RSSBytes.Known || c.PID.Known && c.PID == v.PID || c.OOMScoreAdj.Or(v.OOMScoreAdj.Value) >= v.OOMScoreAdj.Value {
			continue
		}
		theirs, its := common(c, v)
		if theirs > add(its, its/10) && theirs > most {
			best, most, than = c, theirs, its
		}
	}
	if best == nil {
		return
	}
	t := e.reason(codeVictimAdj).s("a bigger task")
	if best.PID.Known {
		t.s(" (pid ").n(int64(best.PID.Value)).s(")")
	}
	t.s(" was spared: ").size(most).s(" with oom_score_adj ").n(int64(best.OOMScoreAdj.Value)).
		s("; the victim has ").size(than).s(" and ").n(int64(v.OOMScoreAdj.Value))
	e.end()
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
// What counts is what goes with the process and is not dropped anyway: anonymous
// memory, swap and page tables. Sockets, pipes and other kernel memory of its
// own go with it too and are not in these numbers, so that nothing is said where
// they are what fills the memory.
func (e *Explainer) small(v *oom.Victim) {
	f := &e.f
	whole := f.max
	if !f.cgroup {
		whole = f.total
		if !whole.Known {
			whole = f.rec.DomainBytes
		}
	}
	noSwap := f.swapTotal.Known && f.swapTotal.Value == 0
	if !v.AnonRSSBytes.Known || !v.SwapBytes.Known && !noSwap || !whole.Known || whole.Value == 0 {
		return
	}
	switch e.verdict {
	case codeLimitKernel, codeMemoryKernel, codeMemoryMissing:
		return
	}
	own := sum(v.AnonRSSBytes, v.SwapBytes, v.PgtablesBytes).Value
	if ratio(own, whole.Value, 1, 50) {
		return
	}
	e.reason(codeVictimSmall).s("the kill may free little: its own memory is at most ").sizeOf(own, whole.Value)
	e.end()
}
