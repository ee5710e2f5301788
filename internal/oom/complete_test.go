package oom

import (
	"slices"
	"testing"
)

// liveKill is what programs that see no decision know of a kill.
func liveKill() *Record {
	return &Record{Kind: KindKill, Hooks: []string{"tracepoint"}, Victim: &Victim{}, Trigger: &Trigger{Comm: "a"}}
}

// logReport is the kernel's report of it.
func logReport() *Record {
	return &Record{
		Kind: KindKill, Scope: ScopeCgroup, Limit: &Limit{Cgroup: "/a"}, Victim: &Victim{},
		Candidates: []Candidate{{Comm: "a"}}, CandidatesTotal: Some(uint64(1)), Sysrq: Some(false),
		Trigger: &Trigger{Comm: "b", GFPMask: Some(uint32(7)), GFPFlags: []string{"GFP_KERNEL"}, Order: Some(int32(0)), MemsAllowed: "0", Cpuset: "/"},
	}
}

func TestComplete(t *testing.T) {
	rec := liveKill()
	rec.Complete(logReport())
	tr := rec.Trigger
	if rec.Scope != ScopeCgroup || rec.Limit == nil || rec.Limit.Cgroup != "/a" || len(rec.Candidates) != 1 || rec.CandidatesTotal != Some(uint64(1)) ||
		rec.Sysrq != Some(false) || tr.Comm != "a" || tr.GFPMask != Some(uint32(7)) || !slices.Equal(tr.GFPFlags, []string{"GFP_KERNEL"}) ||
		tr.Order != Some(int32(0)) || tr.MemsAllowed != "0" || tr.Cpuset != "/" || !slices.Equal(rec.Hooks, []string{"tracepoint", "kmsg"}) {
		t.Errorf("filled in: %+v, trigger %+v", rec, tr)
	}

	// What the programs saw stays, and a report that adds nothing is not named.
	full := logReport()
	full.Hooks, full.Trigger.Nodemask = []string{"fentry"}, "0-1"
	other := logReport()
	other.Scope, other.Limit.Cgroup, other.Trigger.GFPMask, other.Trigger.Order, other.Trigger.Nodemask = ScopeSystem, "/b", Some(uint32(8)), Some(int32(3)), "1"
	full.Complete(other)
	if full.Scope != ScopeCgroup || full.Limit.Cgroup != "/a" || full.Trigger.GFPMask != Some(uint32(7)) || full.Trigger.Order != Some(int32(0)) ||
		full.Trigger.Nodemask != "0-1" || !slices.Equal(full.Hooks, []string{"fentry"}) {
		t.Errorf("changed: %+v, trigger %+v", full, full.Trigger)
	}

	// A limit is a cgroup OOM's only.
	system := liveKill()
	system.Scope = ScopeSystem
	system.Complete(logReport())
	if system.Limit != nil {
		t.Error("a system OOM with a limit")
	}
}
