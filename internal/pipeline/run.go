package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Line is one way from a source to a sink.
type Line struct {
	Source Source
	Stages []Stage
	Sink   Sink
	// Limit ends the line after so many written kills; 0 is no limit.
	Limit int
	// Health may be asked by others while the line runs; RunOrAbandon needs it.
	Health *Health
	// After is called once a record was acknowledged; nil is nothing.
	After func()

	counts Counts
}

// Counts are what a line has done so far.
type Counts struct {
	// Kills passed the stages; Written of them were written.
	Kills, Written int
	// What written records of kind lost stand for: Lost are kills and OOMs
	// without a victim, LostExits exits, LostSigkills SIGKILLs of others,
	// Unreadable what could not be decoded.
	Lost, LostExits, LostSigkills, Unreadable uint64
}

// Run moves records until the source ends, the limit is reached or something
// fails.
func (l *Line) Run(ctx context.Context) error {
	for !l.full() {
		rec, err := l.Source.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.move(ctx, rec); err != nil {
			return err
		}
		if err := l.Source.Done(); err != nil {
			return err
		}
		if l.After != nil {
			l.After()
		}
	}
	return nil
}

// move takes one record through the stages to the sink.
func (l *Line) move(ctx context.Context, rec *oom.Record) error {
	defer l.Health.begin()()
	for _, stage := range l.Stages {
		switch err := stage(ctx, rec); {
		case errors.Is(err, ErrSkip):
			return nil
		case err != nil:
			return err
		}
	}
	if rec.Kind == oom.KindKill {
		l.counts.Kills++
	}
	if err := l.Sink(ctx, rec); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	l.counts.wrote(rec)
	return nil
}

func (c *Counts) wrote(rec *oom.Record) {
	switch {
	case rec.Kind == oom.KindKill:
		c.Written++
	case rec.Kind != oom.KindLost || rec.LostKind == oom.LostLogLines: // which the log counts
	case rec.LostKind == oom.LostExit:
		c.LostExits += rec.Lost.Value
	case rec.LostKind == oom.LostSigkill:
		c.LostSigkills += rec.Lost.Value
	case rec.LostKind == oom.LostUnreadable:
		c.Unreadable += rec.Lost.Value
	default:
		c.Lost += rec.Lost.Value
	}
}

func (l *Line) full() bool { return l.Limit > 0 && l.counts.Written >= l.Limit }

// Counts are for when the line has ended.
func (l *Line) Counts() Counts { return l.counts }

// ErrStuck is the error of a line that was to end, and whose sink hung.
var ErrStuck = errors.New("output is stuck")

const (
	// stuckEnd is how long one record may take once the line is to end.
	stuckEnd = 2 * time.Second
	// stuckTick is how often that is looked at.
	stuckTick = 100 * time.Millisecond
)

// RunOrAbandon is Run for a sink that may hang. Once ctx has ended the line
// writes what is left; nothing can interrupt a write that hangs, so one record
// that takes too long ends the wait with ErrStuck. What the line uses stays in
// use then.
func (l *Line) RunOrAbandon(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	tick := time.NewTicker(stuckTick)
	defer tick.Stop()
	var record int64 // the one on its way, and when it was first seen
	var seen time.Time
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
		}
		now := l.Health.busySince.Load()
		switch {
		case now == 0 || now != record:
			record, seen = now, time.Now()
		case time.Since(seen) >= stuckEnd:
			return ErrStuck
		}
	}
}
