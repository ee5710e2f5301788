package assemble

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/records"
)

// textLog is a log's text, or records as oomtrace writes them, as a source. A goroutine reads it: a kill that waits
// for the reaper's outcome comes once the input has been quiet for a while, which
// only its reader knows.
type textLog struct {
	in      *input
	o       kernlog.Options
	r       *kernlog.Reader // nil where the input holds records
	own     *records.Reader
	file    io.Closer // may be nil
	records chan *oom.Record
	stop    chan struct{}
	ended   chan struct{}
	err     error // once records is closed
}

var errStopped = errors.New("no more records are wanted")

func newTextLog(ctx context.Context, from io.Reader, file io.Closer, o kernlog.Options) (*textLog, error) {
	t := &textLog{file: file, records: make(chan *oom.Record), stop: make(chan struct{}), ended: make(chan struct{}), o: o}
	in, err := newInput(ctx, from, t.quiet)
	if err != nil {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
		return nil, err
	}
	t.in = in
	go t.read()
	return t, nil
}

func (t *textLog) read() {
	defer close(t.ended)
	defer close(t.records)
	next := t.open()
	for {
		rec, err := next()
		if err == nil {
			err = t.send(rec)
		}
		if err != nil {
			t.err = err
			return
		}
	}
}

// open looks at the begin of the input to know what it holds.
func (t *textLog) open() (next func() (*oom.Record, error)) {
	buffered := bufio.NewReaderSize(t.in, detectBytes)
	if !records.Detect(firstLine(buffered)) {
		t.r = kernlog.NewReader(buffered, t.o)
		return t.r.Next
	}
	t.own = records.NewReader(buffered)
	if t.o.OnUnplaced != nil {
		t.own.OnUnreadable = func(line int, why error) { t.o.OnUnplaced(line, why.Error()) }
	}
	return func() (*oom.Record, error) { return t.own.Next(context.Background()) } // the input ends with its own
}

// detectBytes is how much of a line is looked at.
const detectBytes = 64 << 10

// firstLine is what there is up to the end of the first line that is not blank; what
// fails to be read is found again by who reads on.
func firstLine(in *bufio.Reader) []byte {
	for n := 1; ; n++ {
		if _, err := in.Peek(n); err != nil {
			n = 0
		}
		begin, _ := in.Peek(in.Buffered())
		text := bytes.TrimLeft(begin, " \t\r\n")
		if n == 0 || len(begin) == detectBytes || bytes.IndexByte(text, '\n') >= 0 || len(text) > 0 && !mayBeRecord(text) {
			return begin
		}
		n = len(begin)
	}
}

// mayBeRecord spares a log without records the wait for the end of its first line.
func mayBeRecord(text []byte) bool { return len(text) < 512 || bytes.Contains(text, []byte("schema")) }

// quiet gives the kills that wait for the reaper's outcome.
func (t *textLog) quiet() error {
	if t.r == nil {
		return nil
	}
	return t.send(t.r.Quiet()...)
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
func (t *textLog) Stats() kernlog.Stats {
	switch {
	case t.own != nil:
		s := t.own.Stats()
		return kernlog.Stats{Lines: s.Lines, Unplaced: s.Unreadable, CutLines: s.CutLines}
	case t.r != nil:
		return t.r.Stats()
	}
	return kernlog.Stats{}
}

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
