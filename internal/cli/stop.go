package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/oomtrace/oomtrace/internal/sink"
)

const (
	// stuckEnd is how long one record may take once the trace is to end.
	stuckEnd = 2 * time.Second
	// stuckTick is how often that is looked at.
	stuckTick = 100 * time.Millisecond
)

// await waits for the pump. Once the context is done the pump writes what is
// left; nothing can interrupt a write that hangs, so the wait for it ends when
// one record takes too long.
func (s *session) await(ctx context.Context, pumped <-chan error) error {
	select {
	case err := <-pumped:
		return err
	case <-ctx.Done():
	}
	tick := time.NewTicker(stuckTick)
	defer tick.Stop()
	var record int64 // the one on its way, and when it was first seen
	var seen time.Time
	for {
		select {
		case err := <-pumped:
			return err
		case <-tick.C:
		}
		now := s.busySince.Load()
		switch {
		case now == 0 || now != record:
			record, seen = now, time.Now()
		case time.Since(seen) >= stuckEnd:
			s.abandoned = true
			return s.stuckFailure()
		}
	}
}

// stuckFailure says what a stuck output leaves unwritten.
func (s *session) stuckFailure() error {
	what := "the kernel log has the records that are not written"
	if s.ring != nil {
		n, fate := s.ring.Waiting(), "they are lost"
		if s.pin != "" {
			fate = "they wait in " + s.pin
		}
		what = fmt.Sprintf("%s not written (%s)", count(n, "record"), fate)
	}
	return &failure{err: fmt.Errorf("output is stuck: %s", what), code: exitError, hint: "is stdout still read? With --pin, records wait for the next start"}
}

// untilHangup calls end when nobody can read stdout any more, as in
// "oomtrace | head -1": that would show at the next kill only. The function
// returned ends the watch.
func untilHangup(ctx context.Context, w io.Writer, end func(), note func(error)) (stop func()) {
	out, ok := w.(*sink.Stream)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := out.AwaitHangup(ctx)
		switch {
		case err == nil:
			end()
		case ctx.Err() == nil && !errors.Is(err, sink.ErrNoReader):
			note(err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}
