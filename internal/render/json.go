// Package render writes records: as JSON, one object a line, and as text for
// people.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

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
	return writeLine(j.w, append(escapeControls(line), '\n'))
}

// escapeControls writes as \u.... what JSON allows as it is and a terminal
// obeys: DEL, the C1 controls and format characters. They occur within strings
// only.
func escapeControls(line []byte) []byte {
	if bytes.IndexFunc(line, isControl) < 0 {
		return line
	}
	out := make([]byte, 0, len(line)+16)
	for _, r := range string(line) {
		switch {
		case !isControl(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func isControl(r rune) bool { return r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf) }

// writeLine passes on what the writer said, whole lines only.
func writeLine(w io.Writer, line []byte) error {
	n, err := w.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return err
}
