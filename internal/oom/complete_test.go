package oom

import (
	"reflect"
	"slices"
	"strings"
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
		Candidates: []Candidate{{Comm: "a"}}, CandidatesTotal: Some(uint64(1)), CandidatesBytes: Some(uint64(4096)),
		DomainBytes: Some(uint64(8192)), Holders: []Holder{{Comm: "a"}}, HoldersTotal: Some(uint64(1)), Sysrq: Some(false),
		Trigger: &Trigger{Comm: "b", GFPMask: Some(uint32(7)), GFPFlags: []string{"GFP_KERNEL"}, Order: Some(int32(0)), MemsAllowed: "0", Cpuset: "/"},
	}
}

func TestComplete(t *testing.T) {
	rec := liveKill()
	rec.Complete(logReport())
	tr := rec.Trigger
	if rec.Scope != ScopeCgroup || rec.Limit == nil || rec.Limit.Cgroup != "/a" || len(rec.Candidates) != 1 || rec.CandidatesTotal != Some(uint64(1)) ||
		rec.CandidatesBytes != Some(uint64(4096)) || rec.DomainBytes != Some(uint64(8192)) || len(rec.Holders) != 1 || rec.HoldersTotal != Some(uint64(1)) ||
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

// TestCompleteLimit: of a limit that was deduced, the log knows what it was filled with. Where
// the two name different cgroups nothing is put together.
func TestCompleteLimit(t *testing.T) {
	for _, cgroup := range []string{"/a", "/b"} {
		rec := liveKill()
		rec.Scope, rec.Limit = ScopeCgroup, &Limit{Cgroup: "/a", UsageBytes: Some(uint64(7)), MaxBytes: Some(uint64(7))}
		report := logReport()
		report.Limit = &Limit{
			Cgroup: cgroup, UsageBytes: Some(uint64(8)), MaxBytes: Some(uint64(9)), SwapMaxBytes: Some(uint64(9)),
			Failures: Some(uint64(3)), Stat: Stats{{LimitAnon, 5}},
		}
		want := *rec.Limit
		if cgroup == "/a" {
			want.Failures, want.Stat = Some(uint64(3)), Stats{{LimitAnon, 5}}
		}
		rec.Complete(report)
		if !reflect.DeepEqual(*rec.Limit, want) {
			t.Errorf("%s: %+v, want %+v", cgroup, *rec.Limit, want)
		}
	}
}

// TestCompleteCandidates: programs that weighed, and were to list none, have weighed.
func TestCompleteCandidates(t *testing.T) {
	rec := liveKill()
	rec.CandidatesTotal = Some(uint64(3))
	if rec.Complete(logReport()); rec.Candidates != nil || rec.CandidatesBytes.Known {
		t.Errorf("%+v", rec)
	}
}

// TestCompleteMemory: the log has what the programs could not read of the machine. What they
// counted of its pages is of another moment, and is not mixed with the log's.
func TestCompleteMemory(t *testing.T) {
	report := logReport()
	report.Scope, report.Limit, report.Memory = ScopeSystem, nil, &Memory{
		TotalBytes: Some(uint64(1)), FreeBytes: Some(uint64(2)), SwapTotalBytes: Some(uint64(3)), SwapFreeBytes: Some(uint64(4)),
		SwapCacheBytes: Some(uint64(5)), OOMKillAllocatingTask: Some(true), Stat: Stats{{StatShmem, 6}, {StatHugepagesTotal, 1}},
		Zones: []Zone{{Zone: "DMA"}, {Zone: "Normal"}}, SlabCaches: []SlabCache{{Name: "a"}}, Allocations: []Allocation{{Site: "b"}},
	}
	none, uncounted, counted, cut := *report.Memory, *report.Memory, *report.Memory, *report.Memory
	uncounted.SwapTotalBytes, uncounted.Stat = Some(uint64(0)), Stats{{StatHugepagesTotal, 8}, {StatShmem, 6}}
	counted.FreeBytes, counted.SwapCacheBytes, counted.Stat, counted.Zones = Some(uint64(9)), Opt[uint64]{}, Stats{{StatUnevictable, 8}}, nil
	cut.FreeBytes, cut.SwapCacheBytes, cut.Stat, cut.Zones = Opt[uint64]{}, Opt[uint64]{}, nil, []Zone{{Zone: "DMA32"}}
	for name, tt := range map[string]struct {
		has  *Memory
		want Memory
	}{
		"none":      {nil, none},
		"uncounted": {&Memory{SwapTotalBytes: Some(uint64(0)), Stat: Stats{{StatHugepagesTotal, 8}}}, uncounted},
		"counted":   {&Memory{FreeBytes: Some(uint64(9)), Stat: Stats{{StatUnevictable, 8}}}, counted},
		"cut":       {&Memory{Zones: []Zone{{Zone: "DMA32"}}}, cut},
	} {
		rec := liveKill()
		rec.Memory = tt.has
		if rec.Complete(report); !reflect.DeepEqual(*rec.Memory, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, *rec.Memory, tt.want)
		}
		// What is the same to both adds nothing.
		rec.Hooks = nil
		if rec.Complete(report); len(rec.Hooks) > 0 {
			t.Errorf("%s: hooks %v", name, rec.Hooks)
		}
	}
}

// TestCompleteAll: no field of a report is left out without a reason.
func TestCompleteAll(t *testing.T) {
	// Of each record itself, of other kinds, what both have of the kill, and what stages add.
	left := strings.Fields(`Schema ID Kind Time UptimeNS Node BootID Kernel CPUs Source Hooks Incident Panic Victim Sender Cause History Sampled
		NamesMissing Incomplete Why Exit Lost LostKind Repeats Finished LogText Unknown`)
	taken := strings.Fields("Scope Limit Candidates CandidatesTotal CandidatesBytes DomainBytes Holders HoldersTotal Sysrq Trigger Memory")
	for f := range reflect.TypeFor[Record]().Fields() {
		if slices.Contains(left, f.Name) == slices.Contains(taken, f.Name) {
			t.Errorf("%s is neither taken from the report nor left", f.Name)
		}
	}
}
