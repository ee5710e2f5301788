//go:build hosttest || vmguest

package tracer

import (
	"fmt"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/witness"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// scenario is one kill in a memory cgroup: what is set up, and what has to be
// in the record beyond what the kernel's line says.
type scenario struct {
	name  string
	limit workload.Limits
	hogs  []workload.Hog
	kills int
	// remove takes the cgroup away as soon as the victim has exited.
	remove bool
	check  func(*testing.T, *oom.Record)
}

func anon(n int64) []workload.Step { //nolint:unparam // guests use other sizes
	return []workload.Step{{Kind: workload.Anon, Bytes: n * mib}}
}

// cgroupScenarios are those that need nothing but a cgroup, of v1 or v2.
func cgroupScenarios() []scenario {
	limit := workload.Limits{MaxBytes: 24 * mib, NoSwap: true}
	return []scenario{
		{name: "anon", limit: limit, kills: 1, hogs: []workload.Hog{{Name: "anon", Steps: anon(64)}}, check: checkAnon},
		{name: "uid", limit: limit, kills: 1, hogs: []workload.Hog{{Name: "other user", UID: 1234, Steps: anon(64)}}},
		{name: "adj-positive", limit: limit, kills: 1, hogs: []workload.Hog{{Name: "adj+", Adj: 300, Steps: anon(64)}}},
		{name: "removed", limit: limit, kills: 1, remove: true, hogs: []workload.Hog{{Name: "removed", Steps: anon(64)}}},
		{name: "shmem", limit: limit, kills: 1, hogs: []workload.Hog{
			{Name: "shmem", Steps: []workload.Step{{Kind: workload.Shmem, Bytes: 64 * mib}}},
		}, check: func(t *testing.T, r *oom.Record) {
			if r.Victim.ShmemRSSBytes.Value < 16*mib {
				t.Errorf("shmem rss %d: most of 24 MiB expected", r.Victim.ShmemRSSBytes.Value)
			}
		}},
		{name: "hostile-name", limit: limit, kills: 1, hogs: []workload.Hog{{Name: "a) \x1b[31m\n", Steps: anon(64)}}},
	}
}

// checkAnon looks at what the kernel's line does not have.
func checkAnon(t *testing.T, r *oom.Record) {
	v := r.Victim
	if v.PID != v.TID {
		t.Errorf("pid %v, marked thread %v: a single thread expected", v.PID, v.TID)
	}
	if !v.SwapBytes.Known || v.SwapBytes.Value != 0 {
		t.Errorf("swap %v: none, and known, expected", v.SwapBytes)
	}
	if v.Cmdline == "" || v.Exe == "" || v.StartTime.IsZero() {
		t.Errorf("cmdline %q, exe %q, start %v", v.Cmdline, v.Exe, v.StartTime)
	}
	if len(v.CgroupLimits) < 2 {
		t.Fatalf("cgroup limits: %v", v.CgroupLimits)
	}
	if own := v.CgroupLimits[0]; own.MaxBytes.Value != 24*mib || own.Cgroup != v.Cgroup {
		t.Errorf("own limit %+v", own)
	}
	if r.Memory == nil || r.Memory.FreeBytes.Value == 0 || len(r.Memory.Zones) == 0 {
		t.Errorf("memory: %+v", r.Memory)
	}
	if len(r.Trigger.KernelStack) == 0 {
		t.Error("no kernel stack")
	}
}

// run makes the scenario's kill and holds the records against the kernel's log.
func (s scenario) run(t *testing.T, l *live, tier Tier) {
	l.begin(t)
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	parent, err := h.Make(nil, "oomtrace-"+s.name, workload.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = parent.Remove() }()
	group, err := h.Make(parent, "inner", s.limit)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = group.Remove() }()
	s.runHogs(t, group)
	if s.remove {
		if err := group.Remove(); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	s.hold(t, l, tier)
	if s.remove {
		return
	}
	// Each line is one count. The chosen task of an oom.group is killed before
	// the others, and again with them if it is still there.
	lines, err := witness.Kills(l.lines)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := group.OOMKills(); err != nil || n != len(lines) {
		t.Errorf("memory.events counts %d kills (%v), the log %d", n, err, len(lines))
	}
	if again := len(lines) - s.kills; again != 0 && (again != 1 || !s.limit.Group) {
		t.Errorf("%d kill lines of %d victims", len(lines), s.kills)
	}
}

// runHogs starts the hogs, all but the last of which get full first, and waits
// for the end of those that are to die.
func (s scenario) runHogs(t *testing.T, group *workload.Cgroup) {
	t.Helper()
	var running []*workload.Process
	for i, h := range s.hogs {
		h.Procs = group.Procs()
		p, err := workload.Start(h)
		if err != nil {
			t.Fatalf("hog %d: %v", i, err)
		}
		defer func() { _ = p.Stop() }()
		running = append(running, p)
		if i < len(s.hogs)-1 {
			if err := p.Full(t.Context()); err != nil {
				t.Fatalf("hog %d: %v", i, err)
			}
		}
	}
	for _, p := range running[len(running)-s.kills:] {
		if killed, err := p.Wait(t.Context()); err != nil || !killed {
			t.Fatalf("hog %d: killed %v, %v", p.PID, killed, err)
		}
	}
}

// hold compares each kill that the kernel logged with its record.
func (s scenario) hold(t *testing.T, l *live, tier Tier) {
	t.Helper()
	kills, decisions, records := l.kills(s.kills)
	l.reports += len(decisions)
	if len(decisions) != 1 && (len(decisions) > 0 || !l.shared) {
		t.Errorf("%d oom-kill lines: one expected", len(decisions))
	}
	if len(records) != s.kills {
		t.Errorf("%d kill records, the kernel named %d", len(records), len(kills))
	}
	byTID := map[int]seen{}
	incidents := map[string]bool{}
	for _, r := range records {
		byTID[int(r.rec.Victim.TID.Value)] = r
		incidents[r.rec.Incident] = true
	}
	if len(incidents) != 1 {
		t.Errorf("incidents %v: one expected", incidents)
	}
	for _, k := range kills {
		r, ok := byTID[k.PID]
		if !ok {
			t.Fatalf("no record of %d (%s)", k.PID, k.Comm)
		}
		l.compare(t, k, r)
		for _, d := range decisions {
			compareDecision(t, d, &r.rec, decides(tier))
		}
		if s.check != nil {
			s.check(t, &r.rec)
		}
	}
	if t.Failed() {
		t.Log(fmt.Sprintf("%d lines of the kernel's log:", len(l.lines)), l.lines)
	}
}
