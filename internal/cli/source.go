package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/tracer"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// events is a ring of records; *tracer.Tracer is one.
type events interface {
	Read(ctx context.Context, ev *wire.Event) error
	Done()
	Stats() (tracer.Stats, error)
	// Untold appends what was lost and not told of yet, LossRecord is how to tell,
	// and Told takes note of it.
	Untold([]tracer.Loss) ([]tracer.Loss, error)
	LossRecord(tracer.Loss) *oom.Record
	Told(tracer.Loss) error
	// Waiting is how many records are unread or not acknowledged.
	Waiting() int
}

// pumpHooks moves events from the ring to the output, and lets the kernel
// forget each only after it has been written.
func (s *session) pumpHooks(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.watch = newWatch(stuckVictim, s.tellStuck)
	defer s.watch.stop()
	if s.sinceBoot && !s.tr.Resumed() {
		s.awaitNames(ctx)
		if err := s.fromLog(ctx); err != nil || s.p.full() {
			return err
		}
	}
	if err := s.p.lost(s.ring); err != nil { // while no reader ran
		return err
	}
	done := s.complete(ctx)
	defer func() { cancel(); done() }()
	var ev wire.Event
	for {
		err := s.step(ctx, &ev)
		if errors.Is(err, io.EOF) {
			s.busySince.Store(time.Now().UnixNano())
			defer s.busySince.Store(0)
			return s.p.lost(s.ring)
		}
		if err != nil || s.p.full() {
			return err
		}
	}
}

// namesWait bounds how long the kills of a log wait for the runtimes' first lists.
const namesWait = 2 * time.Second

// awaitNames lets the runtimes say what they know, before old kills are named.
func (s *session) awaitNames(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, namesWait)
	defer cancel()
	s.names.Ready(ctx)
}

// step moves one event.
func (s *session) step(ctx context.Context, ev *wire.Event) error {
	if err := s.ring.Read(ctx, ev); err != nil {
		return err
	}
	if ev.Cgroup.Path != "" {
		s.names.Seen(ev.Cgroup.Path)
		s.ring.Done()
		return nil
	}
	s.busySince.Store(time.Now().UnixNano())
	defer s.busySince.Store(0)
	if s.completer != nil {
		s.completer.complete(ctx, &ev.Record)
	}
	s.p.stacks.UserStack(&ev.Record, ev.UserStack)
	if err := s.p.write(ctx, &ev.Record); err != nil {
		return err
	}
	s.watch.record(&ev.Record)
	s.ring.Done()
	return s.p.lost(s.ring)
}

// tellStuck warns of a victim that holds on to its memory.
func (s *session) tellStuck(v *watched) {
	if errors.Is(unix.Kill(int(v.pid), 0), unix.ESRCH) {
		return // it is gone; only its record is late, or was lost
	}
	held := ""
	if rss, ok := v.rss.Get(); ok {
		held = fmt.Sprintf(", with up to %d MiB", rss>>20)
	}
	say(s.env, "warning: victim %d (%q) is not gone %v after the kill%s: look at /proc/%[1]d/stack", v.pid, v.name(), stuckVictim, held)
}

// write writes a record that no ring holds.
func (s *session) write(ctx context.Context, rec *oom.Record) error {
	s.busySince.Store(time.Now().UnixNano())
	defer s.busySince.Store(0)
	return s.p.write(ctx, rec)
}

// pumpLog moves records from the kernel log to the output.
func (s *session) pumpLog(ctx context.Context) error {
	s.awaitNames(ctx)
	for {
		rec, err := s.kmsg.Read(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		// Nothing tells of new containers here: the kill is the first word.
		if v := rec.Victim; v != nil {
			s.names.Seen(v.Cgroup)
		}
		if err := s.write(ctx, rec); err != nil || s.p.full() {
			return err
		}
	}
}

// clockSlack is how far the log's clock may be from the hooks': printk takes
// the scheduler's clock, which nothing disciplines.
const clockSlack = 10 * time.Second

// fromLog writes the kills that the log still holds. The hooks are attached
// already, so a kill in between is in both: what the ring has is written from
// there, and left out here.
func (s *session) fromLog(ctx context.Context) error {
	attached := s.tr.AttachedMonotonic()
	held, err := s.oldKills(ctx, attached-min(attached, uint64(clockSlack)))
	if err != nil {
		say(s.env, "--since-boot: %v", err)
	}
	drain, cancel := context.WithCancel(ctx)
	cancel()
	var ev wire.Event
	for !s.p.full() {
		held = without(held, &ev.Record)
		if err := s.step(drain, &ev); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return err
		}
	}
	for _, rec := range held {
		if s.p.full() {
			return nil
		}
		if err := s.write(ctx, rec); err != nil {
			return err
		}
	}
	return nil
}

// oldKills writes the log's records from before a time, in nanoseconds of its
// clock, and returns those that came after.
func (s *session) oldKills(ctx context.Context, before uint64) (held []*oom.Record, err error) {
	if s.past == nil {
		return nil, nil
	}
	for {
		rec, err := s.past.Read(ctx)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return held, nil
		}
		if err != nil {
			return held, err
		}
		if rec.UptimeNS.Value >= before {
			held = append(held, rec)
			continue
		}
		if err := s.write(ctx, rec); err != nil {
			return nil, err
		}
		if s.p.full() {
			return nil, nil
		}
	}
}

// without drops the log's record of a kill that the hooks saw.
func without(held []*oom.Record, seen *oom.Record) []*oom.Record {
	if seen.Victim == nil || seen.Kind == oom.KindExit {
		return held
	}
	for i, rec := range held {
		if rec.Victim != nil && rec.Victim.TID == seen.Victim.TID && rec.Kind == seen.Kind {
			return append(held[:i], held[i+1:]...)
		}
	}
	return held
}

// openPast opens the log for --since-boot, while the privileges for it are
// still there.
func (s *session) openPast() {
	if !s.sinceBoot || s.tr == nil || s.tr.Resumed() {
		return
	}
	past, err := kernlog.OpenKmsg(kernlog.KmsgOptions{Options: machineLog(), FromStart: true, UntilNow: true})
	if err != nil {
		say(s.env, "--since-boot: %v", err)
		return
	}
	s.past = past
}
