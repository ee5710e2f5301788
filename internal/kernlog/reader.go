package kernlog

import (
	"errors"
	"io"
	"os"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// Reader reads the records out of a log. It is not safe for concurrent use.
type Reader struct {
	p   *Parser
	in  *lines.Reader
	err error // what Next returns when all records are out
	// other reads the input instead of in.
	other func() (*oom.Record, error)
	given bool // a record
}

// NewReader returns a reader of a log, compressed or not, in any form that package lines
// knows. It does not close r.
func NewReader(r io.Reader, o Options) *Reader {
	rd := &Reader{p: NewParser(o)}
	in := o.lines()
	if o.Other != nil {
		in.Other = func(begin []byte, rest io.Reader) (takes, more bool) {
			rd.other, more = o.Other(begin, rest)
			return rd.other != nil, more
		}
	}
	rd.in = lines.NewReader(r, in, grammar{}, rd.p)
	return rd
}

// Stats returns the counts so far.
func (r *Reader) Stats() Stats {
	s, in := r.p.Stats(), r.in.Stats()
	s.Lines, s.CutLines, s.Unknown = in.Lines, in.Cut, in.Unknown
	s.DoubledLines, s.Reversed, s.Foreign = in.Doubled, in.Reversed, in.Foreign
	s.ForeignText, s.ForeignLine = in.ForeignText, in.ForeignLine
	if s.UnknownForm == "" || in.UnknownText != "" && in.UnknownLine < s.UnknownLine {
		s.UnknownForm, s.UnknownLine = in.UnknownText, in.UnknownLine
	}
	if in.Named != "" && !r.given && s.Unplaced+s.Reaped+s.Unknown+s.Foreign+s.Duplicates == 0 {
		s.Unplaced, s.UnknownForm, s.UnknownLine = 1, in.Named, in.NamedLine
	}
	return s
}

// Next returns the next record, in the order of the kills. At the end it
// returns io.EOF; an error of the input comes after the records read up to it.
// The error wraps ErrNotText when the input is no text.
func (r *Reader) Next() (*oom.Record, error) {
	for {
		if r.other != nil {
			return r.other()
		}
		if rec := r.p.Take(); rec != nil {
			r.given = true
			return rec, nil
		}
		if r.err != nil {
			return nil, r.err
		}
		switch err := r.in.Step(); {
		case err == nil:
		case errors.Is(err, lines.ErrOther):
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.p.quiet()
		default:
			r.err = err
			r.p.Flush()
		}
	}
}
