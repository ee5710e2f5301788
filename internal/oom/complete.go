package oom

// Complete fills in what r lacks from another witness's record of the same OOM:
// the kernel's own report, where no program could see the decision. What r has
// stays. A report that added something is named in Hooks.
func (r *Record) Complete(report *Record) {
	filled := set(&r.Scope, report.Scope)
	if r.Limit == nil && r.Scope == ScopeCgroup && report.Limit != nil {
		r.Limit, filled = report.Limit, true
	}
	if len(r.Candidates) == 0 && len(report.Candidates) > 0 {
		r.Candidates, r.CandidatesTotal, filled = report.Candidates, report.CandidatesTotal, true
	}
	filled = setOpt(&r.Sysrq, report.Sysrq) || filled
	if r.Trigger != nil && report.Trigger != nil {
		filled = r.Trigger.complete(report.Trigger) || filled
	}
	if filled {
		r.Hooks = append(r.Hooks[:len(r.Hooks):len(r.Hooks)], string(SourceKmsg))
	}
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
