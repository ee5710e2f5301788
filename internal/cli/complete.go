package cli

import (
	"context"
	"sync"
	"time"

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
	mu      sync.Mutex
	reports []*oom.Record
	more    chan struct{}
	timer   *time.Timer // of complete
}

func newCompleter() *completer {
	c := &completer{more: make(chan struct{}, 1), timer: time.NewTimer(completeWait)}
	c.timer.Stop()
	return c
}

// openCompletion opens the kernel log beside hooks that do not see the decision.
// Without it the records are poorer, and that is all.
func (s *session) openCompletion() error {
	for _, a := range s.tr.Attachments() {
		if a.Decides && a.Kind != "" {
			return nil
		}
	}
	k, err := kernlog.OpenKmsg(kernlog.KmsgOptions{Options: machineLog()})
	if err != nil {
		if s.verbose {
			say(s.env, "note: %v: records stay without what only the decision knows", err)
		}
		return nil
	}
	s.kmsg = k
	s.completer = newCompleter()
	return nil
}

// complete starts reading the log; the function returned waits for its end.
func (s *session) complete(ctx context.Context) func() {
	if s.completer == nil {
		return func() {}
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.completer.read(ctx, s.kmsg) })
	return wg.Wait
}

func (c *completer) read(ctx context.Context, k *kernlog.Kmsg) {
	for {
		rec, err := k.Read(ctx)
		if err != nil {
			return
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
	c.timer.Reset(completeWait)
	defer c.timer.Stop()
	for {
		if report := c.take(rec); report != nil {
			fillIn(rec, report)
			return
		}
		select {
		case <-c.more:
		case <-c.timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// take finds the report by the thread that the kernel names, and forgets it.
func (c *completer) take(rec *oom.Record) *oom.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range c.reports {
		if r.Victim.TID == rec.Victim.TID {
			c.reports = append(c.reports[:i], c.reports[i+1:]...)
			return r
		}
	}
	return nil
}

// fillIn takes from the log what the record lacks; what the hooks saw stays.
func fillIn(rec, report *oom.Record) {
	rec.Hooks = append(rec.Hooks, "kmsg")
	if rec.Scope == "" {
		rec.Scope = report.Scope
	}
	if rec.Limit == nil && rec.Scope == oom.ScopeCgroup {
		rec.Limit = report.Limit
	}
	if len(rec.Candidates) == 0 {
		rec.Candidates, rec.CandidatesTotal = report.Candidates, report.CandidatesTotal
	}
	if !rec.Sysrq.Known {
		rec.Sysrq = report.Sysrq
	}
	t, r := rec.Trigger, report.Trigger
	if t == nil || r == nil {
		return
	}
	if !t.GFPMask.Known {
		t.GFPMask, t.GFPFlags = r.GFPMask, r.GFPFlags
	}
	if !t.Order.Known {
		t.Order = r.Order
	}
	if t.Nodemask == "" {
		t.Nodemask, t.MemsAllowed, t.Cpuset = r.Nodemask, r.MemsAllowed, r.Cpuset
	}
}
