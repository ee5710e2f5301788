package tracer

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// scripted gives reports one after the other, and then its error.
type scripted struct {
	reports []*oom.Record
	err     error
}

func (s *scripted) Done() error { return nil }

func (s *scripted) Next(ctx context.Context) (*oom.Record, error) {
	if len(s.reports) > 0 {
		rec := s.reports[0]
		s.reports = s.reports[1:]
		return rec, nil
	}
	if s.err != nil {
		return nil, s.err
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// liveKill is what programs that see no decision know of a kill.
func liveKill(tid int32, uptime time.Duration) *oom.Record {
	return &oom.Record{
		Kind: oom.KindKill, Hooks: []string{"tracepoint"}, UptimeNS: oom.Some(uint64(uptime)),
		Victim: &oom.Victim{PID: oom.Some(tid), TID: oom.Some(tid)}, Trigger: &oom.Trigger{Comm: "a"},
	}
}

// logReport is what the log says of one.
func logReport(tid int32, uptime time.Duration) *oom.Record {
	return &oom.Record{
		Kind: oom.KindKill, Scope: oom.ScopeCgroup, UptimeNS: oom.Some(uint64(uptime)), Limit: &oom.Limit{Cgroup: "/a"},
		Candidates: []oom.Candidate{{Comm: "a"}}, CandidatesTotal: oom.Some(uint64(1)), Sysrq: oom.Some(false),
		Victim:  &oom.Victim{TID: oom.Some(tid)},
		Trigger: &oom.Trigger{Comm: "b", GFPMask: oom.Some(uint32(7)), GFPFlags: []string{"GFP_KERNEL"}, Order: oom.Some(int32(0)), MemsAllowed: "0", Cpuset: "/"},
	}
}

// TestComplete: whichever comes first, kill or report, and in whatever order.
func TestComplete(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	stale := logReport(7, time.Minute)
	stale.Limit.Cgroup = "/stale"
	exit := &oom.Record{Kind: oom.KindExit, Victim: &oom.Victim{TID: oom.Some(int32(9))}}
	lost := &oom.Record{Kind: oom.KindLost}
	c := newCompleter(&scripted{reports: []*oom.Record{stale, exit, lost, logReport(8, 5*time.Minute), logReport(7, 5*time.Minute+time.Second)}})
	c.wait = time.Minute
	c.asleep = func() time.Duration { return time.Hour }
	at := time.Hour + 5*time.Minute
	done := make(chan error)
	go func() { done <- c.read(ctx) }()
	for _, tid := range []int32{7, 8} {
		rec := liveKill(tid, at)
		c.complete(ctx, rec)
		if rec.Limit == nil || rec.Limit.Cgroup != "/a" || len(rec.Hooks) != 2 {
			t.Errorf("%d: %+v", tid, rec)
		}
	}
	// A report is of one kill: the next of that number waits in vain.
	c.wait = time.Millisecond
	rec := liveKill(7, at)
	if c.complete(ctx, rec); rec.Limit != nil {
		t.Error("one report for two kills")
	}
	for _, kind := range []oom.Kind{oom.KindExit, oom.KindLost} {
		other := &oom.Record{Kind: kind}
		if c.complete(ctx, other); len(other.Hooks) != 0 {
			t.Errorf("%s was completed", kind)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestCompleteEnds: once the log has ended no kill waits, but what came before
// is taken.
func TestCompleteEnds(t *testing.T) {
	c := newCompleter(&scripted{reports: []*oom.Record{logReport(7, time.Second)}, err: io.ErrUnexpectedEOF})
	c.wait = time.Hour
	if err := c.read(context.Background()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	for _, tid := range []int32{8, 7, 9} {
		rec := liveKill(tid, time.Second)
		c.asleep = func() time.Duration { return 0 }
		c.complete(context.Background(), rec)
		if (rec.Limit != nil) != (tid == 7) {
			t.Errorf("%d: %+v", tid, rec)
		}
	}
}

// TestCompleteLeft: a kill waits from its own time on, and always a little.
func TestCompleteLeft(t *testing.T) {
	c := newCompleter(&scripted{})
	now := time.Duration(host.BootNS())
	for _, tt := range []struct {
		name     string
		at       time.Duration
		from, to time.Duration
	}{
		{"old", now - time.Hour, completeWait / 10, completeWait / 10},
		{"of before the start", 0, completeWait / 10, completeWait / 10},
		{"of now", now + time.Minute, completeWait, completeWait},
		{"half a second old", now - completeWait/2, completeWait / 10, completeWait / 2},
	} {
		if got := c.left(liveKill(7, tt.at)); got < tt.from || got > tt.to {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if got := c.left(&oom.Record{}); got != completeWait {
		t.Errorf("at no known time: %v", got)
	}
}

// TestCompleteBound: reports that no kill asks for do not pile up.
func TestCompleteBound(t *testing.T) {
	var all []*oom.Record
	for tid := range int32(3 * completeKeep) {
		all = append(all, logReport(tid, time.Second))
	}
	c := newCompleter(&scripted{reports: all, err: io.EOF})
	if err := c.read(context.Background()); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if len(c.reports) != completeKeep || c.reports[completeKeep-1].Victim.TID != oom.Some(int32(3*completeKeep-1)) {
		t.Errorf("%d reports kept", len(c.reports))
	}
}
