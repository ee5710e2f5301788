package oom

// Complete fills in what r lacks from another witness's record of the same OOM:
// the kernel's own report, where no program could see the decision. What r has
// stays. A report that added something is named in Hooks.
func (r *Record) Complete(report *Record) {
	filled := set(&r.Scope, report.Scope)
	switch l := report.Limit; {
	case l == nil || r.Scope != ScopeCgroup:
	case r.Limit == nil:
		r.Limit, filled = l, true
	case r.Limit.Cgroup == l.Cgroup: // deduced: it is as full now as when its parts were printed
		filled = setOpt(&r.Limit.Failures, l.Failures) || filled
		filled = setList(&r.Limit.Stat, l.Stat) || filled
	}
	if !r.CandidatesTotal.Known && setList(&r.Candidates, report.Candidates) {
		r.CandidatesTotal, r.CandidatesBytes, filled = report.CandidatesTotal, report.CandidatesBytes, true
	}
	if setList(&r.Holders, report.Holders) {
		r.HoldersTotal, filled = report.HoldersTotal, true
	}
	filled = setOpt(&r.DomainBytes, report.DomainBytes) || filled
	switch m := report.Memory; {
	case m == nil:
	case r.Memory == nil:
		r.Memory, filled = m, true
	default:
		filled = r.Memory.complete(m) || filled
	}
	filled = setOpt(&r.Sysrq, report.Sysrq) || filled
	if r.Trigger != nil && report.Trigger != nil {
		filled = r.Trigger.complete(report.Trigger) || filled
	}
	if filled {
		r.Hooks = append(r.Hooks[:len(r.Hooks):len(r.Hooks)], string(SourceKmsg))
	}
}

// complete takes of what is added up, the pages of the nodes, all or none: the console may
// take seconds between the report and the kill.
func (m *Memory) complete(report *Memory) (filled bool) {
	filled = setOpt(&m.TotalBytes, report.TotalBytes)
	filled = setOpt(&m.SwapTotalBytes, report.SwapTotalBytes) || filled
	filled = setOpt(&m.SwapFreeBytes, report.SwapFreeBytes) || filled
	filled = setOpt(&m.OOMKillAllocatingTask, report.OOMKillAllocatingTask) || filled
	filled = setList(&m.SlabCaches, report.SlabCaches) || filled
	filled = setList(&m.Allocations, report.Allocations) || filled
	if m.FreeBytes.Known || len(m.Zones) > 0 {
		return filled
	}
	filled = setOpt(&m.FreeBytes, report.FreeBytes) || filled
	filled = setOpt(&m.SwapCacheBytes, report.SwapCacheBytes) || filled
	for _, s := range report.Stat {
		if _, known := m.Stat.Get(s.Name); !known { // as huge pages are
			m.Stat, filled = append(m.Stat, s), true
		}
	}
	return setList(&m.Zones, report.Zones) || filled
}

func (t *Trigger) complete(report *Trigger) (filled bool) {
	if setOpt(&t.GFPMask, report.GFPMask) {
		t.GFPFlags, filled = report.GFPFlags, true
	}
	filled = setOpt(&t.Order, report.Order) || filled
	if t.Nodemask == "" {
		filled = set(&t.Nodemask, report.Nodemask) || filled
		filled = set(&t.MemsAllowed, report.MemsAllowed) || filled
		filled = set(&t.Cpuset, report.Cpuset) || filled
	}
	return filled
}

// set fills an empty field, and says whether there was something to fill it with.
func set[T comparable](to *T, from T) bool {
	var none T
	if *to != none || from == none {
		return false
	}
	*to = from
	return true
}

// setOpt is set for a field that is not known.
func setOpt[T Scalar](to *Opt[T], from Opt[T]) bool {
	if to.Known || !from.Known {
		return false
	}
	*to = from
	return true
}

// setList is set for a list that is empty.
func setList[S ~[]T, T any](to *S, from S) bool {
	if len(*to) > 0 || len(from) == 0 {
		return false
	}
	*to = from
	return true
}
