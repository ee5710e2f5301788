// Package render writes records: as JSON, one object a line, and as text for
// people.
package render

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// JSON writes records as JSON, one object a line. Each line is a single Write,
// so that a reader of a pipe sees it at once and whole. One goroutine may use it.
type JSON struct {
	w       io.Writer
	encoder encoder
}

// NewJSON returns a JSON that writes to w.
func NewJSON(w io.Writer) *JSON {
	return &JSON{w: w, encoder: newEncoder()}
}

// lineBytes is room for a record of an ordinary kill, candidates and zones
// included.
const lineBytes = 32 << 10

// Write writes one record. Invalid UTF-8 in it becomes U+FFFD.
func (j *JSON) Write(rec *oom.Record) error {
	line, err := j.encoder.line(rec)
	if err != nil {
		return fmt.Errorf("encode record %s: %w", rec.ID, err)
	}
	if rec.Unknown != nil {
		all, err := oom.AddUnknownFields(line, rec.Unknown)
		if err != nil {
			return fmt.Errorf("encode record %s: %w", rec.ID, err)
		}
		line = escapeControls(append(all, '\n'))
	}
	return writeLine(j.w, line)
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
		if isControl(r) {
			out = appendEscape(out, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

func isControl(r rune) bool { return r >= 0x7f && unicode.In(r, unicode.Cc, unicode.Cf) }

// appendEscape appends \u.... for a character, two of them beyond 16 bits.
func appendEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return appendEscape(appendEscape(dst, high), low)
	}
	return fmt.Appendf(dst, `\u%04x`, r)
}

// writeLine passes on what the writer said, whole lines only.
func writeLine(w io.Writer, line []byte) error {
	n, err := w.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return err
}
