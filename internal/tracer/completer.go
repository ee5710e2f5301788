package tracer

import (
	"context"
	"sync"
	"time"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// completeWait is the longest that a kill waits for its report in the log, which the kernel
	// writes right before and after the kill: only where the log lost it, or this process gets no
	// CPU, does it take that long.
	completeWait = time.Second
	// completeKeep bounds the reports kept for kills that have not come yet.
	completeKeep = 64
	// ClockSlack is how far the log's clock may be from the programs': printk
	// takes the scheduler's clock, which nothing disciplines.
	ClockSlack = 10 * time.Second
)

// completer adds to a record what its programs could not see, from the kernel's
// own report of the same kill, and gives what only the log has as records of their own.
type completer struct {
	log     Log
	mu      sync.Mutex
	reports []*oom.Record
	alone   alone
	more    chan struct{}
	ended   chan struct{} // closed when no more reports come
	wait    time.Duration
	asleep  func() time.Duration
	timer   *time.Timer // of complete
}

func newCompleter(log Log) *completer {
	c := &completer{
		log: log, more: make(chan struct{}, 1), ended: make(chan struct{}), wait: completeWait, asleep: host.Asleep,
		timer: time.NewTimer(completeWait), alone: newAlone(),
	}
	c.timer.Stop()
	return c
}

// read keeps the reports until the log ends. Then no kill waits any longer.
func (c *completer) read(ctx context.Context) error {
	defer close(c.ended)
	for {
		rec, err := c.log.Next(ctx)
		if err != nil {
			return err
		}
		switch {
		case rec.Kind == oom.KindKill && rec.Victim != nil:
			c.keep(rec)
		case rec.Kind == oom.KindNoVictim, rec.Kind == oom.KindLost: // of lines: it may have been of one
			c.alone.pass(rec)
		}
		if err := c.log.Done(); err != nil {
			return err
		}
	}
}

func (c *completer) keep(report *oom.Record) {
	c.mu.Lock()
	if len(c.reports) == completeKeep {
		c.reports = append(c.reports[:0], c.reports[1:]...)
	}
	c.reports = append(c.reports, report)
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// complete waits for the report of rec's kill and fills in from it.
func (c *completer) complete(ctx context.Context, rec *oom.Record) {
	if rec.Kind != oom.KindKill || rec.Victim == nil {
		return
	}
	c.timer.Reset(c.left(rec))
	defer c.timer.Stop()
	for ended := false; ; {
		if report := c.match(rec); report != nil {
			rec.Complete(report)
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

// left is how long a kill still waits. What waited in the ring for the kills before it has its
// report by then, if there is one: a lost log must not fill the ring.
func (c *completer) left(rec *oom.Record) time.Duration {
	age := time.Duration(0)
	if at, ok := rec.UptimeNS.Get(); ok && at < host.BootNS() {
		age = time.Duration(host.BootNS() - at)
	}
	return max(c.wait-age, c.wait/10)
}

// match finds the report by the thread that the kernel names, and forgets it. A
// number is given again: a report from another time is of another thread.
func (c *completer) match(rec *oom.Record) *oom.Record {
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

// sameTime compares the programs' clock, which counts while the machine sleeps,
// with the log's, which does not.
func (c *completer) sameTime(rec, report *oom.Record) bool {
	at, ok := rec.UptimeNS.Get()
	printed, ok2 := report.UptimeNS.Get()
	if !ok || !ok2 {
		return true
	}
	apart := time.Duration(at) - c.asleep() - time.Duration(printed)
	return apart.Abs() < ClockSlack
}
