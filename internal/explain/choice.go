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
	trigger := e.allocatingTask(v)
	if group && !v.BadnessPages.Known || trigger {
		// Not chosen by its size.
		return
	}
	e.spared(v)
	e.small(v)
}

// group looks up to the cgroup at its limit, as mem_cgroup_get_oom_group does
// (mm/memcontrol.c).
func (e *Explainer) group(v *oom.Victim) bool {
	for i := range v.CgroupLimits {
		c := &v.CgroupLimits[i]
		if c.OOMGroup.Or(false) {
			t := e.reason(codeVictimGroup).s("memory.oom.group=1")
			if c.UsageBytes.Known {
				t.s(" on a cgroup that holds ").size(c.UsageBytes.Value)
			}
			t.s(": every process in it is killed")
			e.end()
			return true
		}
		if l := e.f.rec.Limit; e.f.cgroup && l != nil && c.Cgroup == l.Cgroup {
			return false
		}
	}
	return false
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
	rec, size := e.f.rec, e.f.victimSize
	if !size.Known || !v.OOMScoreAdj.Known {
		return
	}
	var best *oom.Candidate
	var most uint64
	for i := range rec.Candidates {
		c := &rec.Candidates[i]
		s := taskSize(c.RSSBytes, c.SwapBytes, c.PgtablesBytes)
		if !s.Known || c.PID.Known && c.PID == v.PID || c.OOMScoreAdj.Or(v.OOMScoreAdj.Value) >= v.OOMScoreAdj.Value {
			continue
		}
		if s.Value > add(size.Value, size.Value/10) && s.Value > most {
			best, most = c, s.Value
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
		s("; the victim has ").size(size.Value).s(" and ").n(int64(v.OOMScoreAdj.Value))
	e.end()
}

// small: below 2 % of the memory that ran out, the same shortage is back soon.
func (e *Explainer) small(v *oom.Victim) {
	whole := e.f.max
	if !e.f.cgroup {
		whole = e.f.total
		if !whole.Known {
			whole = e.f.rec.DomainBytes
		}
	}
	size := e.f.victimSize
	if !size.Known || !whole.Known || whole.Value == 0 || ratio(size.Value, whole.Value, 1, 50) {
		return
	}
	e.reason(codeVictimSmall).s("the kill frees at most ").sizeOf(size.Value, whole.Value)
	e.end()
}
