package pipeline

import (
	"context"
	"errors"
	"io"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// merged gives first the past, then what is live, and no kill twice.
type merged struct {
	past, live Source
	before     uint64
	warn       func(error)
	held       []*oom.Record   // of the past, but perhaps also live
	given      map[string]bool // ids of those of the log that were held: live may be behind with it
	step       func(context.Context) (*oom.Record, error)
	drained    context.Context // has ended: a live Next with it does not wait
	done       func() error
}

// Merge is a source that gives the past's records and then those of live, which
// was there already when the past was opened: a kill in between is in both.
// Records of the past from before this uptime, in nanoseconds, cannot be. The
// later ones are held until live has been emptied, and left out if live had them.
// An error of the past ends it, and goes to warn.
func Merge(past, live Source, before uint64, warn func(error)) Source {
	drained, cancel := context.WithCancel(context.Background())
	cancel()
	m := &merged{past: past, live: live, before: before, warn: warn, drained: drained, given: map[string]bool{}}
	m.step = m.nextPast
	return m
}

func (m *merged) Next(ctx context.Context) (*oom.Record, error) { return m.step(ctx) }

func (m *merged) Done() error { return m.done() }

// nextPast gives what was certainly over when live began.
func (m *merged) nextPast(ctx context.Context) (*oom.Record, error) {
	for {
		rec, err := m.past.Next(ctx)
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				m.warn(err)
			}
			m.step = m.nextWaiting
			return m.step(ctx)
		}
		if rec.UptimeNS.Value < m.before {
			m.done = m.past.Done
			return rec, nil
		}
		held := *rec
		m.held = append(m.held, &held)
		if err := m.past.Done(); err != nil {
			return nil, err
		}
	}
}

// nextWaiting gives what already waits live.
func (m *merged) nextWaiting(ctx context.Context) (*oom.Record, error) {
	rec, err := m.live.Next(m.drained)
	if errors.Is(err, io.EOF) {
		m.step = m.nextHeld
		return m.step(ctx)
	}
	if err == nil {
		m.done, m.held = m.live.Done, without(m.held, rec)
	}
	return rec, err
}

// nextHeld gives what only the past has.
func (m *merged) nextHeld(ctx context.Context) (*oom.Record, error) {
	if len(m.held) == 0 {
		m.step, m.done = m.nextLive, m.live.Done
		return m.step(ctx)
	}
	rec := m.held[0]
	m.given[rec.ID] = true
	m.held, m.done = m.held[1:], func() error { return nil }
	return rec, nil
}

// nextLive gives what only live has.
func (m *merged) nextLive(ctx context.Context) (*oom.Record, error) {
	for {
		rec, err := m.live.Next(ctx)
		if err != nil || rec.Source != oom.SourceKmsg || !m.given[rec.ID] {
			return rec, err
		}
		if err := m.live.Done(); err != nil {
			return nil, err
		}
	}
}

// without drops the past's record of what was seen live: of a kill, or the same line of the log.
func without(held []*oom.Record, seen *oom.Record) []*oom.Record {
	if seen.Kind == oom.KindExit {
		return held
	}
	for i, rec := range held {
		kill := rec.Victim != nil && seen.Victim != nil && rec.Victim.TID == seen.Victim.TID && rec.Kind == seen.Kind
		if kill || rec.ID == seen.ID {
			return append(held[:i], held[i+1:]...)
		}
	}
	return held
}
