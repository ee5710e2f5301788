// Package render writes records: as JSON, one object a line, and as text for
// people.
package render

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// JSON writes records as JSON, one object a line. Each line is a single Write,
// so that a reader of a pipe sees it at once and whole.
type JSON struct{ w io.Writer }

// NewJSON returns a JSON that writes to w.
func NewJSON(w io.Writer) *JSON { return &JSON{w: w} }

// Write writes one record. Invalid UTF-8 in it becomes U+FFFD.
func (j *JSON) Write(rec *oom.Record) error {
	line, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encode record %s: %w", rec.ID, err)
	}
	return writeLine(j.w, append(line, '\n'))
}

// writeLine passes on what the writer said, whole lines only.
func writeLine(w io.Writer, line []byte) error {
	n, err := w.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return err
}
