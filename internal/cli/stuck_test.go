package cli

import (
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func TestWatch(t *testing.T) {
	told := make(chan watched, 4)
	w := newWatch(50*time.Millisecond, func(v *watched) { told <- *v })
	of := func(kind oom.Kind, pid int32) *oom.Record {
		return &oom.Record{Kind: kind, Victim: &oom.Victim{PID: oom.Some(pid), Comm: "victim", RSSBytes: oom.Some(uint64(pid) << 20)}}
	}
	next := func(pid int32) {
		t.Helper()
		select {
		case v := <-told:
			if v.pid != pid || v.name() != "victim" || v.rss.Value != uint64(pid)<<20 {
				t.Errorf("told of %+v, want %d", v, pid)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("told of nobody")
		}
	}
	w.record(of(oom.KindKill, 1))
	w.record(of(oom.KindKill, 2))
	w.record(of(oom.KindKill, 2)) // the same
	w.record(of(oom.KindExit, 1))
	w.record(of(oom.KindExit, 3))
	w.record(&oom.Record{Kind: oom.KindNoVictim})
	w.record(of(oom.KindKill, 5))
	next(2)
	next(5)
	w.record(of(oom.KindKill, 6)) // after all were gone
	next(6)
	w.record(of(oom.KindKill, 4))
	w.stop()
	if len(told) != 0 {
		t.Errorf("%d told", len(told))
	}
}

// TestWatchIsBounded: a storm of victims that stay takes no memory.
func TestWatchIsBounded(t *testing.T) {
	w := newWatch(time.Hour, func(*watched) {})
	defer w.stop()
	rec := &oom.Record{Victim: &oom.Victim{Comm: "a name that is longer than any can be"}}
	pid := int32(0)
	n := testing.AllocsPerRun(2*maxWatched, func() {
		pid++
		rec.Kind, rec.Victim.PID = oom.KindKill, oom.Some(pid)
		w.record(rec)
		if pid%3 == 0 {
			rec.Kind = oom.KindExit
			w.record(rec)
		}
	})
	if n != 0 || len(w.queue) != maxWatched {
		t.Errorf("%v allocations, %d watched", n, len(w.queue))
	}
}
