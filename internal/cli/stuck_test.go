package cli

import (
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func TestWatch(t *testing.T) {
	told := make(chan int32, 4)
	w := newWatch(50*time.Millisecond, func(r oom.Record) { told <- r.Victim.PID.Value })
	of := func(kind oom.Kind, pid int32) *oom.Record {
		return &oom.Record{Kind: kind, Victim: &oom.Victim{PID: oom.Some(pid), Comm: "victim"}}
	}
	w.record(of(oom.KindKill, 1))
	w.record(of(oom.KindKill, 2))
	w.record(of(oom.KindExit, 1))
	w.record(of(oom.KindExit, 3))
	w.record(&oom.Record{Kind: oom.KindNoVictim})
	select {
	case pid := <-told:
		if pid != 2 {
			t.Errorf("told of %d", pid)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("told of nobody")
	}
	w.record(of(oom.KindKill, 4))
	w.stop()
	if len(w.timers) != 0 || len(told) != 0 {
		t.Errorf("%d watched, %d told", len(w.timers), len(told))
	}
}
