package tracer

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
	"github.com/oomtrace/oomtrace/internal/ring"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// SourceOptions are what a Source asks of others. The zero value works.
type SourceOptions struct {
	// UserStack names the frames of the trigger's stack in the record; nil leaves
	// the stack out.
	UserStack func(rec *oom.Record, stack []oom.UserFrame)
	// Log is the kernel's log from here on, for attach types that do not see the
	// decision (NeedsLog): its report of the same kill completes a record, and that of an
	// OOM without a victim is one. Nil is none. The Source reads it until it is closed.
	Log Log
	// OnLogEnd is called when the log can be read no longer.
	OnLogEnd func(error)
	// OnCgroup is called for each memory cgroup that is made.
	OnCgroup func(path string)
	// OnShared is called for each process that was killed along with a victim,
	// whose mm it used, before the victim's exit comes.
	OnShared func(incident string, victim int32, p oom.SharedProcess)
}

// Log gives the kernel log's records.
type Log interface {
	Next(context.Context) (*oom.Record, error)
	Done() error
}

// Source gives the records of a trace, whole and one at a time: the user stack
// named, completed from the kernel log where that is needed, with a record for
// what was lost. A record is valid until the next one is asked for, and counts as
// delivered once Done was called.
type Source struct {
	t      events
	o      SourceOptions
	log    *completer
	cancel context.CancelFunc
	ended  sync.WaitGroup

	event   wire.Event // the last one
	last    *loss      // what the last record stood for; nil: event
	losses  []loss     // that are to be reported
	counted bool       // no event came since losses was filled
}

// events is what a Source needs of a Tracer.
type events interface {
	read(ctx context.Context, ev *wire.Event) error
	done()
	unreported(to []loss) ([]loss, error)
	reported(loss) error
	lossRecord(loss) *oom.Record
}

// NewSource starts to read. Close the source before the tracer.
func NewSource(t *Tracer, o SourceOptions) *Source { return newSource(t, o) }

func newSource(t events, o SourceOptions) *Source {
	s := &Source{t: t, o: o, cancel: func() {}}
	if o.Log == nil {
		return s
	}
	s.log = newCompleter(o.Log)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.ended.Go(func() {
		if err := s.log.read(ctx); err != nil && ctx.Err() == nil && o.OnLogEnd != nil {
			o.OnLogEnd(err)
		}
	})
	return s
}

// Close ends the reading of the log. What was not acknowledged stays in the ring
// buffer.
func (s *Source) Close() error {
	s.cancel()
	s.ended.Wait()
	return nil
}

// Next waits for the next record. Losses come before the record that is read
// after them, each once. Once ctx is done it gives what the ring buffer still
// holds, and then io.EOF.
func (s *Source) Next(ctx context.Context) (*oom.Record, error) {
	if rec, err := s.nextLoss(); rec != nil || err != nil {
		return rec, err
	}
	for {
		own, err := s.read(ctx)
		if own != nil {
			return own, nil
		}
		if errors.Is(err, io.EOF) {
			s.counted = false
			if rec, err := s.nextLoss(); rec != nil || err != nil {
				return rec, err
			}
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
		s.counted = false
		if s.aside() {
			s.t.done()
			continue
		}
		return s.whole(ctx), nil
	}
}

// read waits for the next event, or for a record of the log's own.
func (s *Source) read(ctx context.Context) (own *oom.Record, err error) {
	if s.log == nil {
		return nil, s.t.read(ctx, &s.event)
	}
	for {
		wait, stop := s.log.alone.until(ctx)
		err := s.t.read(wait, &s.event)
		woken := wait.Err() != nil && ctx.Err() == nil
		stop()
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
		if !woken {
			return s.log.alone.last(), err
		}
		if own := s.log.alone.next(); own != nil {
			return own, nil
		}
	}
}

// whole completes the record of the last event.
func (s *Source) whole(ctx context.Context) *oom.Record {
	rec := &s.event.Record
	if s.log != nil {
		s.log.complete(ctx, rec)
	}
	if s.o.UserStack != nil {
		s.o.UserStack(rec, s.event.UserStack)
	}
	return rec
}

// aside hands on an event that is no record.
func (s *Source) aside() bool {
	ev := &s.event
	if ev.Cgroup.Path != "" && s.o.OnCgroup != nil {
		s.o.OnCgroup(ev.Cgroup.Path)
	}
	if ev.Shared.PID != 0 && s.o.OnShared != nil {
		s.o.OnShared(ev.Shared.Incident, ev.Shared.VictimPID, oom.SharedProcess{PID: oom.Some(ev.Shared.PID), Comm: ev.Shared.Comm})
	}
	return !isRecord(ev)
}

// nextLoss gives the record of a loss that is not in the stream yet. The counters
// are read again only after an event: a storm of losses must not keep the ring
// buffer from being read.
func (s *Source) nextLoss() (_ *oom.Record, err error) {
	s.last = nil
	if len(s.losses) == 0 && !s.counted {
		s.counted = true
		if s.losses, err = s.t.unreported(s.losses[:0]); err != nil {
			return nil, err
		}
	}
	if len(s.losses) == 0 {
		return nil, nil
	}
	l := s.losses[0]
	s.losses = s.losses[1:]
	s.last = &l
	return s.t.lossRecord(l), nil
}

// Done acknowledges the last record: the kernel may forget it, and no reader
// reports its loss again.
func (s *Source) Done() error {
	if s.last != nil {
		return s.t.reported(*s.last)
	}
	s.t.done()
	return nil
}

// NeedsLog says that no program sees the kernel's decision: what only that knows
// is in the kernel's log.
func (t *Tracer) NeedsLog() bool {
	for _, a := range t.attachments {
		if a.Decides && a.Kind != "" {
			return false
		}
	}
	return true
}

// Pending says that the ring buffer holds another kill behind those that were
// read. Any goroutine may ask.
func (t *Tracer) Pending() bool {
	_, behind := t.ring.Unread(func(h ring.Head) bool { return wire.IsKill(h) })
	return behind > 0
}

// Unreported is how many kills and OOMs without a victim were lost and have no
// record of it in the stream yet.
func (t *Tracer) Unreported() (uint64, error) {
	all, err := t.unreported(nil)
	var n uint64
	for _, l := range all {
		switch l.counter {
		case probe.OomtraceCounterCOUNTER_LOST, probe.OomtraceCounterCOUNTER_LOST_NO_VICTIM:
			n += l.To - l.From
		}
	}
	return n, err
}
