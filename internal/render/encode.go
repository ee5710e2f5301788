package render

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

//go:generate go run ./encodegen encode_gen.go

// encoder writes records as encoding/json does, with controls escaped. A record has
// hundreds of fields that may be unknown: each costs that package a method call, a copy
// and a scan of what came of it, together most of the time that a kill takes. What
// writes each struct is made from its tags (encode_gen.go).
type encoder struct {
	plain [256]bool // bytes of a string that need no escape
	buf   []byte
	err   error // the first
}

func newEncoder() encoder {
	e := encoder{buf: make([]byte, 0, lineBytes)}
	for c := ' '; c < 0x7f; c++ {
		e.plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return e
}

// line is a record and a newline, until the next one.
func (e *encoder) line(rec *oom.Record) ([]byte, error) {
	e.buf, e.err = e.buf[:0], nil
	e.encodeRecord(rec)
	e.buf = append(e.buf, '\n')
	return e.buf, e.err
}

// key appends a member's name, with quotes and a colon.
func (e *encoder) key(name string) {
	e.next()
	e.buf = append(e.buf, name...)
}

// next begins a member or an element.
func (e *encoder) next() {
	if c := e.buf[len(e.buf)-1]; c != '{' && c != '[' {
		e.buf = append(e.buf, ',')
	}
}

func (e *encoder) bool(v bool)   { e.buf = strconv.AppendBool(e.buf, v) }
func (e *encoder) int(v int64)   { e.buf = strconv.AppendInt(e.buf, v, 10) }
func (e *encoder) uint(v uint64) { e.buf = strconv.AppendUint(e.buf, v, 10) }

func (e *encoder) time(t time.Time) {
	e.buf = append(e.buf, '"')
	text, err := t.AppendText(e.buf)
	e.fail(err)
	if err == nil {
		e.buf = text
	}
	e.buf = append(e.buf, '"')
}

func (e *encoder) stats(stats oom.Stats) {
	e.buf = append(e.buf, '{')
	for _, s := range stats {
		e.next()
		e.text(s.Name)
		e.buf = append(e.buf, ':')
		e.uint(s.Bytes)
	}
	e.buf = append(e.buf, '}')
}

// text appends a string, which nearly always needs no escape.
func (e *encoder) text(s string) {
	for i := range len(s) {
		if !e.plain[s[i]] {
			e.rare(s)
			return
		}
	}
	e.buf = append(append(append(e.buf, '"'), s...), '"')
}

// rare appends what encoding/json makes of a value.
func (e *encoder) rare(v any) {
	text, err := json.Marshal(v)
	e.fail(err)
	e.buf = append(e.buf, escapeControls(text)...)
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}
