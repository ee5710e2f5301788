package assemble

import (
	"context"
	"errors"
	"io"

	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// textLog is a log's text as a source. A goroutine reads it: a kill that waits
// for the reaper's outcome comes once the input has been quiet for a while, which
// only its reader knows.
type textLog struct {
	in      *input
	r       *kernlog.Reader
	file    io.Closer // may be nil
	records chan *oom.Record
	stop    chan struct{}
	ended   chan struct{}
	err     error // once records is closed
}

var errStopped = errors.New("no more records are wanted")

func newTextLog(ctx context.Context, from io.Reader, file io.Closer, o kernlog.Options) (*textLog, error) {
	t := &textLog{file: file, records: make(chan *oom.Record), stop: make(chan struct{}), ended: make(chan struct{})}
	in, err := newInput(ctx, from, func() error { return t.send(t.r.Quiet()...) })
	if err != nil {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
		return nil, err
	}
	t.in, t.r = in, kernlog.NewReader(in, o)
	go t.read()
	return t, nil
}

func (t *textLog) read() {
	defer close(t.ended)
	defer close(t.records)
	for {
		rec, err := t.r.Next()
		if err == nil {
			err = t.send(rec)
		}
		if err != nil {
			t.err = err
			return
		}
	}
}

func (t *textLog) send(records ...*oom.Record) error {
	for _, rec := range records {
		select {
		case t.records <- rec:
		case <-t.stop:
			return errStopped
		}
	}
	return nil
}

// Next waits for the next record; what was read until the context ended comes
// before the end.
func (t *textLog) Next(context.Context) (*oom.Record, error) {
	rec, ok := <-t.records
	if !ok {
		return nil, t.err
	}
	return rec, nil
}

func (t *textLog) Done() error { return nil }

// Stats are for after Close.
func (t *textLog) Stats() kernlog.Stats { return t.r.Stats() }

func (t *textLog) Close() error {
	close(t.stop)
	t.in.interrupt()
	<-t.ended
	err := t.in.Close()
	if t.file != nil {
		err = errors.Join(err, t.file.Close())
	}
	return err
}
