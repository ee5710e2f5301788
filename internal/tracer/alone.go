package tracer

import (
	"context"
	"sync"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// aloneKeep bounds the records of OOMs without a victim that wait to be given out, and the
	// cgroups that are followed.
	aloneKeep = 64
	// aloneEvery is the least time between two records of one cgroup, as the programs have it
	// (NO_VICTIM_EVERY_NS): a task that faults tries again at once.
	aloneEvery = time.Second
	// drainFor is how far behind the log's reader may be at the end.
	drainFor = 20 * time.Millisecond
)

// alone are the records that only the log has, on their way to the reader. The log does not wait
// for that: kills wait for what is in it.
type alone struct {
	mu      sync.Mutex
	waiting []*oom.Record
	repeats map[string]*repeated // by the limit's cgroup; "" is the machine
	came    chan struct{}
	wake    context.CancelFunc // of until
}

// repeated are the OOMs of a cgroup since one had a record.
type repeated struct {
	at uint64 // its time, in nanoseconds of uptime
	n  uint64
}

func newAlone() alone {
	return alone{repeats: map[string]*repeated{}, came: make(chan struct{}, 1), wake: func() {}}
}

// pass hands on a record, or counts it as a repeat of the one before it.
func (a *alone) pass(rec *oom.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if rec.Kind == oom.KindNoVictim && rec.UptimeNS.Known && a.repeat(rec) {
		return
	}
	a.waiting = append(a.waiting, rec)
	a.wake()
	select {
	case a.came <- struct{}{}:
	default:
	}
}

func (a *alone) repeat(rec *oom.Record) bool {
	cgroup, at := "", rec.UptimeNS.Value
	if rec.Limit != nil {
		cgroup = rec.Limit.Cgroup
	}
	r, known := a.repeats[cgroup]
	if !known {
		if len(a.repeats) >= aloneKeep {
			clear(a.repeats) // of as many at once they are no longer counted
		}
		r = &repeated{}
		a.repeats[cgroup] = r
	}
	if known && at-r.at < uint64(aloneEvery) || len(a.waiting) >= aloneKeep {
		r.n++
		return true
	}
	if r.n > 0 {
		rec.Repeats = oom.Some(r.n)
	}
	*r = repeated{at: at}
	return false
}

// until gives a context that ends with ctx, or once there may be a record.
func (a *alone) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wake = cancel
	if len(a.waiting) > 0 { // passed before there was whom to wake
		cancel()
	}
	return ctx, cancel
}

// next is the first record that waits, or nil.
func (a *alone) next() *oom.Record {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) == 0 {
		return nil
	}
	rec := a.waiting[0]
	a.waiting = a.waiting[1:]
	return rec
}

// last is next once no more are waited for: the log is read by another goroutine, which may be a
// moment behind.
func (a *alone) last() *oom.Record {
	enough := time.After(drainFor)
	for {
		if rec := a.next(); rec != nil {
			return rec
		}
		select {
		case <-a.came: // perhaps of a record that was taken
		case <-enough:
			return nil
		}
	}
}
