package cli

import (
	"context"
	"sync"
	"time"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// completeWait is the longest that a kill waits for its report in the log,
	// which the kernel writes right before and after the kill.
	completeWait = 100 * time.Millisecond
	// completeKeep bounds the reports kept for kills that have not come yet.
	completeKeep = 64
)

// completer adds to a record what its hooks could not see, from the kernel's
// own report of the same kill.
type completer struct {
	from    reportReader
	mu      sync.Mutex
	reports []*oom.Record
	more    chan struct{}
	ended   chan struct{} // closed when no more reports come
	wait    time.Duration
	asleep  func() time.Duration
	timer   *time.Timer // of complete
}

func newCompleter(from reportReader) *completer {
	c := &completer{
		from: from, more: make(chan struct{}, 1), ended: make(chan struct{}), wait: completeWait, asleep: host.Asleep,
		timer: time.NewTimer(completeWait),
	}
	c.timer.Stop()
	return c
}

// reportReader is where reports come from: the kernel's log.
type reportReader interface {
	Read(context.Context) (*oom.Record, error)
}

// openCompletion opens the kernel log beside hooks that do not see the decision.
// Without it the records are poorer, and that is all.
func (s *session) openCompletion() error {
	for _, a := range s.tr.Attachments() {
		if a.Decides && a.Kind != "" {
			return nil
		}
	}
	k, err := kernlog.OpenKmsg(kernlog.KmsgOptions{Options: liveLog(), AtOnce: true})
	if err != nil {
		if s.verbose {
			say(s.env, "note: %v: records stay without what only the decision knows", err)
		}
		return nil
	}
	s.kmsg = k
	s.completer = newCompleter(k)
	return nil
}

// complete starts reading the log; the function returned waits for its end.
func (s *session) complete(ctx context.Context) func() {
	if s.completer == nil {
		return func() {}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.completer.read(ctx); err != nil && ctx.Err() == nil {
			say(s.env, "%v: from here on records stay without what only the decision knows", err)
		}
	})
	return wg.Wait
}

// read keeps the reports until the log ends. Then no kill waits any longer.
func (c *completer) read(ctx context.Context) error {
	defer close(c.ended)
	for {
		rec, err := c.from.Read(ctx)
		if err != nil {
			return err
		}
		if rec.Kind != oom.KindKill || rec.Victim == nil {
			continue
		}
		c.mu.Lock()
		if len(c.reports) == completeKeep {
			c.reports = append(c.reports[:0], c.reports[1:]...)
		}
		c.reports = append(c.reports, rec)
		c.mu.Unlock()
		select {
		case c.more <- struct{}{}:
		default:
		}
	}
}

// complete waits for the report of rec's kill and fills in from it.
func (c *completer) complete(ctx context.Context, rec *oom.Record) {
	if rec.Kind != oom.KindKill || rec.Victim == nil {
		return
	}
	c.timer.Reset(c.wait)
	defer c.timer.Stop()
	for ended := false; ; {
		if report := c.take(rec); report != nil {
			fillIn(rec, report)
			return
		}
		if ended {
			return
		}
		select {
		case <-c.more:
		case <-c.ended:
			ended = true // what came last is still taken
		case <-c.timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// take finds the report by the thread that the kernel names, and forgets it. A
// number is given again: a report from another time is of another thread.
func (c *completer) take(rec *oom.Record) *oom.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.reports {
		if r.Victim.TID == rec.Victim.TID && c.sameTime(rec, r) {
			c.reports = append(c.reports[:i], c.reports[i+1:]...)
			return r
		}
	}
	return nil
}

// sameTime compares the hooks' clock, which goes on while the machine sleeps,
// with the log's, which does not.
func (c *completer) sameTime(rec, report *oom.Record) bool {
	at, ok := rec.UptimeNS.Get()
	printed, ok2 := report.UptimeNS.Get()
	if !ok || !ok2 {
		return true
	}
	apart := time.Duration(at) - c.asleep() - time.Duration(printed)
	return apart.Abs() < clockSlack
}

// fillIn takes from the log what the record lacks; what the hooks saw stays.
func fillIn(rec, report *oom.Record) {
	filled := set(&rec.Scope, report.Scope)
	if rec.Limit == nil && rec.Scope == oom.ScopeCgroup && report.Limit != nil {
		rec.Limit, filled = report.Limit, true
	}
	if len(rec.Candidates) == 0 && len(report.Candidates) > 0 {
		rec.Candidates, rec.CandidatesTotal, filled = report.Candidates, report.CandidatesTotal, true
	}
	filled = setOpt(&rec.Sysrq, report.Sysrq) || filled
	if rec.Trigger != nil && report.Trigger != nil {
		filled = fillTrigger(rec.Trigger, report.Trigger) || filled
	}
	if filled {
		rec.Hooks = append(rec.Hooks, "kmsg")
	}
}

func fillTrigger(t, r *oom.Trigger) (filled bool) {
	if setOpt(&t.GFPMask, r.GFPMask) {
		t.GFPFlags, filled = r.GFPFlags, true
	}
	filled = setOpt(&t.Order, r.Order) || filled
	if t.Nodemask == "" {
		filled = set(&t.Nodemask, r.Nodemask) || filled
		filled = set(&t.MemsAllowed, r.MemsAllowed) || filled
		filled = set(&t.Cpuset, r.Cpuset) || filled
	}
	return filled
}

// set fills an empty field; true when there was something to fill it with.
func set[T comparable](to *T, from T) bool {
	var none T
	if *to != none || from == none {
		return false
	}
	*to = from
	return true
}

// setOpt fills a field that is not known.
func setOpt[T oom.Scalar](to *oom.Opt[T], from oom.Opt[T]) bool {
	if to.Known || !from.Known {
		return false
	}
	*to = from
	return true
}
