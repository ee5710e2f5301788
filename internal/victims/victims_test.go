package victims

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func record(kind oom.Kind, incident string, pid int32) *oom.Record {
	return &oom.Record{Kind: kind, Incident: incident, Victim: &oom.Victim{PID: oom.Some(pid)}}
}

func put(t *testing.T, table *Table, rec *oom.Record) *oom.Record {
	t.Helper()
	if err := table.Record(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec
}

func kill(t *testing.T, table *Table, incident string, pid int32, cgroup string) {
	t.Helper()
	rec := record(oom.KindKill, incident, pid)
	rec.Victim.Cgroup, rec.Victim.CgroupID = cgroup, oom.Some(uint64(pid))
	put(t, table, rec)
}

func shared(pid int32) oom.SharedProcess {
	return oom.SharedProcess{PID: oom.Some(pid), Comm: "sharer-" + strconv.Itoa(int(pid))}
}

// TestExit: an exit has what its own kill said, and no other's.
func TestExit(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(rec *oom.Record, start time.Time) *oom.Record { rec.Victim.StartTime = start; return rec }
	for _, tt := range []struct {
		name   string
		before func(t *testing.T, table *Table)
		exit   *oom.Record
		cgroup string
		shared []oom.SharedProcess
	}{
		{"of its kill", func(t *testing.T, table *Table) { kill(t, table, "a", 1, "/a") }, record(oom.KindExit, "a", 1), "/a", nil},
		{"marked, not killed", func(t *testing.T, table *Table) {
			rec := record(oom.KindAlreadyExiting, "a", 1)
			rec.Victim.Cgroup = "/a"
			put(t, table, rec)
		}, record(oom.KindExit, "a", 1), "/a", nil},
		{"marked twice", func(t *testing.T, table *Table) {
			kill(t, table, "a", 1, "/a")
			kill(t, table, "a", 1, "")
		}, record(oom.KindExit, "a", 1), "/a", nil},
		{"another incident's", func(t *testing.T, table *Table) {
			kill(t, table, "a", 1, "/a")
			table.Shared("a", 1, shared(5))
		}, record(oom.KindExit, "b", 1), "", nil},
		{"process id used again", func(t *testing.T, table *Table) {
			kill(t, table, "a", 1, "/a")
			table.Shared("a", 1, shared(5))
			kill(t, table, "b", 1, "/b")
			table.Shared("b", 1, shared(6))
		}, record(oom.KindExit, "b", 1), "/b", []oom.SharedProcess{shared(6)}},
		{"never seen", func(*testing.T, *Table) {}, record(oom.KindExit, "a", 1), "", nil},
		{"exited before", func(t *testing.T, table *Table) {
			kill(t, table, "a", 1, "/a")
			put(t, table, record(oom.KindExit, "a", 1))
		}, record(oom.KindExit, "a", 1), "", nil},
		{"shared mm", func(t *testing.T, table *Table) {
			kill(t, table, "a", 1, "/a")
			table.Shared("a", 1, shared(5))
			kill(t, table, "a", 2, "/c")
			table.Shared("a", 2, shared(7))
			table.Shared("a", 1, shared(6))
		}, record(oom.KindExit, "a", 1), "/a", []oom.SharedProcess{shared(5), shared(6)}},
		{"shared mm of a lost kill", func(_ *testing.T, table *Table) { table.Shared("a", 1, shared(5)) },
			record(oom.KindExit, "a", 1), "", []oom.SharedProcess{shared(5)}},
		{"no incident", func(t *testing.T, table *Table) { kill(t, table, "a", 1, "/a") }, record(oom.KindExit, "", 1), "/a", nil},
		{"no incident, the youngest", func(t *testing.T, table *Table) {
			kill(t, table, "a", 1, "/a")
			kill(t, table, "b", 1, "/b")
		}, record(oom.KindExit, "", 1), "/b", nil},
		{"no incident, another start", func(t *testing.T, table *Table) {
			rec := at(record(oom.KindKill, "", 1), start)
			rec.Victim.Cgroup = "/a"
			put(t, table, rec)
		}, at(record(oom.KindExit, "", 1), start.Add(time.Minute)), "", nil},
		{"no incident, a later start's kill", func(t *testing.T, table *Table) {
			for i, cgroup := range []string{"/a", "/b"} {
				rec := at(record(oom.KindKill, "", 1), start.Add(time.Duration(i)*time.Minute))
				rec.Victim.Cgroup = cgroup
				put(t, table, rec)
			}
		}, at(record(oom.KindExit, "", 1), start.Add(time.Minute)), "/b", nil},
		{"its own cgroup stays", func(t *testing.T, table *Table) { kill(t, table, "a", 1, "/a") }, func() *oom.Record {
			rec := record(oom.KindExit, "a", 1)
			rec.Victim.Cgroup = "/own"
			return rec
		}(), "/own", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := New(Options{})
			defer table.Close()
			tt.before(t, table)
			put(t, table, tt.exit)
			var got []oom.SharedProcess
			if tt.exit.Exit != nil {
				got = tt.exit.Exit.SharedMM
			}
			if d := cmp.Diff(tt.shared, got); d != "" || tt.exit.Victim.Cgroup != tt.cgroup {
				t.Errorf("cgroup %q, want %q; shared: %s", tt.exit.Victim.Cgroup, tt.cgroup, d)
			}
		})
	}
}

// TestBound: victims whose exit never comes, with processes that shared their
// memory, do not pile up; the youngest stay.
func TestBound(t *testing.T) {
	const n = 100_000
	table := New(Options{Overdue: func(Overdue) {}, After: time.Hour})
	defer table.Close()
	for i := range int32(n) {
		kill(t, table, fmt.Sprint("i", i), i%30_000, "/a")
		table.Shared(fmt.Sprint("i", i), i%30_000, shared(i))
	}
	if table.Len() != maxVictims || len(table.byKey) != maxVictims || len(table.byPID) > maxVictims || table.shared != maxVictims {
		t.Errorf("%d victims, %d and %d by key, %d shared", table.Len(), len(table.byKey), len(table.byPID), table.shared)
	}
	last := put(t, table, record(oom.KindExit, fmt.Sprint("i", n-1), (n-1)%30_000))
	if last.Victim.Cgroup != "/a" || len(last.Exit.SharedMM) != 1 || last.Exit.SharedMM[0].PID.Value != n-1 {
		t.Errorf("%+v", last.Exit)
	}
	if first := put(t, table, record(oom.KindExit, "i0", 0)); first.Victim.Cgroup != "" || first.Exit != nil {
		t.Errorf("%+v", first)
	}
}

// TestBoundShared: of one victim's thousands of processes as many are kept as
// there may be over all, and those of older victims go first.
func TestBoundShared(t *testing.T) {
	table := New(Options{})
	defer table.Close()
	table.Shared("old", 1, shared(1))
	kill(t, table, "none", 2, "/none")
	for i := range int32(2 * maxShared) {
		table.Shared("a", 7, shared(i))
	}
	if table.shared != maxShared || table.Len() != 2 {
		t.Errorf("%d shared of %d victims", table.shared, table.Len())
	}
	if rec := put(t, table, record(oom.KindExit, "a", 7)); len(rec.Exit.SharedMM) != maxShared {
		t.Errorf("%d shared", len(rec.Exit.SharedMM))
	}
	if table.shared != 0 {
		t.Errorf("%d shared are left", table.shared)
	}
}

// TestOverdue: a victim that is alive after its time is reported, once; one that
// exited is not.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []Overdue
		table := New(Options{Overdue: func(o Overdue) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, o)
		}})
		add := func(kind oom.Kind, incident string, pid int32) {
			rec := record(kind, incident, pid)
			rec.Victim.Comm, rec.Victim.RSSBytes = "victim", oom.Some(uint64(pid))
			put(t, table, rec)
		}
		wait := func(d time.Duration, want ...int32) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			var pids []int32
			for _, o := range got {
				pids = append(pids, o.PID)
				if o.Comm != "victim" || o.RSSBytes.Value != uint64(o.PID) || o.After != overdueAfter {
					t.Errorf("%+v", o)
				}
			}
			if got = nil; !slices.Equal(pids, want) {
				t.Errorf("reported %v, want %v", pids, want)
			}
		}
		add(oom.KindKill, "a", 1)
		add(oom.KindKill, "a", 2)
		add(oom.KindKill, "a", 2) // the same
		add(oom.KindExit, "a", 1)
		add(oom.KindExit, "a", 3)
		add(oom.KindAlreadyExiting, "a", 4)
		put(t, table, &oom.Record{Kind: oom.KindNoVictim})
		wait(overdueAfter - time.Second)
		add(oom.KindKill, "b", 5)
		wait(2*time.Second, 2)
		wait(overdueAfter, 5)
		add(oom.KindKill, "c", 6) // after all were reported
		wait(overdueAfter+time.Second, 6)
		add(oom.KindKill, "c", 7)
		table.Close()
		add(oom.KindKill, "c", 8)
		wait(time.Minute)
	})
}

// TestFollow: an OOM that found no process belongs to the kill before it when the same
// task came back with the same limit.
func TestFollow(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(kind oom.Kind, incident, limit string, trigger int32, after time.Duration) *oom.Record {
		rec := &oom.Record{Kind: kind, Incident: incident, Time: start.Add(after), Trigger: &oom.Trigger{PID: oom.Some(trigger)}}
		if limit != "" {
			rec.Limit = &oom.Limit{Cgroup: limit}
		}
		if kind == oom.KindKill {
			rec.Victim = &oom.Victim{PID: oom.Some[int32](7)}
		}
		return rec
	}
	for _, tc := range []struct {
		name  string
		after *oom.Record
		want  string
	}{
		{"same task and limit", at(oom.KindNoVictim, "b", "/a", 1, time.Second), "a"},
		{"the last moment", at(oom.KindNoVictim, "b", "/a", 1, followsWithin), "a"},
		{"too late", at(oom.KindNoVictim, "b", "/a", 1, followsWithin+1), "b"},
		{"before it", at(oom.KindNoVictim, "b", "/a", 1, -1), "b"},
		{"another limit", at(oom.KindNoVictim, "b", "/b", 1, time.Second), "b"},
		{"another task", at(oom.KindNoVictim, "b", "/a", 2, time.Second), "b"},
		{"no limit", at(oom.KindNoVictim, "b", "", 1, time.Second), "b"},
		{"another kill", at(oom.KindKill, "b", "/a", 1, time.Second), "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table := New(Options{})
			defer table.Close()
			put(t, table, at(oom.KindKill, "a", "/a", 1, 0))
			if got := put(t, table, tc.after).Incident; got != tc.want {
				t.Errorf("incident %q, want %q", got, tc.want)
			}
		})
	}
}
