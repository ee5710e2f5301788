// Package records reads oomtrace's own JSON: a record a line, as it was written or as
// container runtimes, kubectl and the journal wrap the lines of a program.
//
// A text that quotes such a line is not one: only a line that is a record and nothing
// else, behind the prefix of a known wrapper, counts, and an input is taken for records by
// its first line that is neither blank nor one of oomtrace's messages.
package records

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// maxLine bounds a line; a record with everything in it has a fraction of that.
	maxLine = 4 << 20
	// maxValues bounds the values in it, of which each of two bytes may take hundreds.
	maxValues = 1 << 16
)

// Stats count what was read.
type Stats struct {
	Lines uint64
	// Unreadable are lines that are no record, or one of another schema.
	Unreadable uint64
	// CutLines were longer than any record.
	CutLines uint64
}

// Reader gives the records of an input.
type Reader struct {
	in    *bufio.Reader
	stats Stats
	// parts are of records that a runtime has split over lines.
	parts [streams][]byte
	// OnUnreadable is called for each such line; nil is not at all.
	OnUnreadable func(line int, why error)
}

// ErrSchema is a record of a schema that this version does not know.
var ErrSchema = errors.New("unknown schema")

// NewReader reads from in.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 64<<10)}
}

// Detector tells records from other inputs.
type Detector struct {
	passed int
	own    bool // one of what was passed is a message of oomtrace's own
}

// Detect says whether an input that begins with these bytes holds records, or that it takes
// more of them to tell. It is given the same bytes again then, and those that follow. A line
// that begins like a record and goes on beyond them counts; messages tell nothing.
func (d *Detector) Detect(begin []byte) (is, more bool) {
	for d.passed < len(begin) {
		line, _, whole := bytes.Cut(begin[d.passed:], []byte("\n"))
		u := unwrap(bytes.TrimSpace(line))
		switch {
		case isRecord(u.text, !whole || u.partial):
			return !holdsKernels(begin[d.passed:]), false
		case !whole:
			return false, d.passed > 0 || bytes.Contains(line, []byte("{"))
		case u.isOwnMessage():
			d.own = d.own || len(bytes.TrimSpace(u.text)) > 0
		case !d.own || !u.isMessage() || u.isKernels():
			return false, false
		}
		d.passed += len(line) + 1
	}
	return false, d.passed > 0
}

// holdsKernels says whether the kernel's reports of OOMs stand among records: a journal of more
// than one unit, which is a kernel log.
func holdsKernels(lines []byte) bool {
	for line := range bytes.Lines(lines) {
		u := unwrap(bytes.TrimSpace(line))
		if line[len(line)-1] == '\n' && !isRecord(u.text, true) && !u.isOwnWord() && report.Match(u.text) {
			return true
		}
	}
	return false
}

// isRecord looks at the first keys alone: whole records begin with schema, and id is
// in each.
func isRecord(text []byte, cut bool) bool {
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte(`{`)) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	_, _ = dec.Token() // the brace
	var schema, id bool
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return cut && schema
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return cut && schema
		}
		switch key {
		case "schema":
			schema = len(value) > 0 && value[0] >= '0' && value[0] <= '9'
		case "id":
			id = len(value) > 0 && value[0] == '"'
		}
		if schema && id {
			return true
		}
	}
	return false
}

// Next gives the next record, io.EOF at the end.
func (r *Reader) Next() (*oom.Record, error) {
	for {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		rec, err := r.record(line)
		switch {
		case err != nil:
			r.stats.Unreadable++
			if r.OnUnreadable != nil {
				r.OnUnreadable(int(r.stats.Lines), err)
			}
		case rec != nil:
			return rec, nil
		}
	}
}

// Stats are what was read so far.
func (r *Reader) Stats() Stats { return r.stats }

// line reads a line, of which what is beyond maxLine is passed over.
func (r *Reader) line() ([]byte, error) {
	var line []byte
	cut := false
	for {
		part, err := r.in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			cut = true
		} else {
			line = append(line, part...)
		}
		switch {
		case err == nil:
		case errors.Is(err, bufio.ErrBufferFull), errors.Is(err, os.ErrDeadlineExceeded):
			continue // a pipe may be quiet within a line, too
		case len(line) == 0 && !cut, !errors.Is(err, io.EOF):
			return nil, err
		}
		break
	}
	r.stats.Lines++
	if cut {
		r.stats.CutLines++
		return nil, nil
	}
	return line, nil
}

// record is nil for a message, and for a part of a record that goes on.
func (r *Reader) record(line []byte) (*oom.Record, error) {
	// A part may end with a space that is the record's.
	u := unwrap(bytes.TrimLeft(bytes.TrimRight(line, "\r\n"), " \t"))
	if parts := &r.parts[u.stream]; len(*parts) > 0 || u.partial {
		if len(*parts)+len(u.text) > maxLine {
			*parts = nil
			return nil, errors.New("a record of more than 4 MiB")
		}
		*parts = append(*parts, u.text...)
		if u.partial {
			return nil, nil
		}
		u.text, *parts = *parts, nil
	}
	if u.isMessage() {
		return nil, nil
	}
	return Parse(bytes.TrimSpace(u.text))
}

// Parse reads one record, of schema 1 in any version of it. Fields that this version does
// not know go into Unknown.
func Parse(text []byte) (*oom.Record, error) {
	if bytes.Count(text, []byte(",")) > maxValues {
		return nil, fmt.Errorf("a record of more than %d values", maxValues)
	}
	rec := new(oom.Record)
	if err := json.Unmarshal(text, rec); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	if rec.Schema != oom.Schema {
		return nil, fmt.Errorf("%w %d", ErrSchema, rec.Schema)
	}
	if rec.ID == "" || rec.Kind == "" {
		return nil, errors.New("not a record: it has no id or kind")
	}
	rec.Finished, rec.Unknown = true, oom.UnknownFields(text)
	return rec, nil
}
