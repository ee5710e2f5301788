package render

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// encoder writes records as encoding/json does, with controls escaped. A record has
// hundreds of fields that may be unknown: each costs that package a method call, a copy
// and a scan of what came of it, together most of the time that a kill takes.
type encoder struct {
	types  map[reflect.Type]encode
	record encode
	plain  [256]bool // bytes of a string that need no escape
	buf    []byte
	err    error // the first
}

// encode appends one value. It may be asked for its address.
type encode func(*encoder, reflect.Value)

func newEncoder() encoder {
	e := encoder{
		types: map[reflect.Type]encode{reflect.TypeFor[time.Time](): encodeTime, reflect.TypeFor[oom.Stats](): encodeStats},
		buf:   make([]byte, 0, lineBytes),
	}
	e.record = e.of(reflect.TypeFor[*oom.Record]())
	for c := ' '; c < 0x7f; c++ {
		e.plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return e
}

// line is a record and a newline, until the next one.
func (e *encoder) line(rec *oom.Record) ([]byte, error) {
	e.buf, e.err = e.buf[:0], nil
	e.record(e, reflect.ValueOf(rec))
	e.buf = append(e.buf, '\n')
	return e.buf, e.err
}

// of gives what writes values of a type. Types do not hold themselves.
func (e *encoder) of(t reflect.Type) encode {
	if e.types[t] == nil {
		e.types[t] = e.make(t)
	}
	return e.types[t]
}

func (e *encoder) make(t reflect.Type) encode {
	switch t.Kind() {
	case reflect.Struct:
		if isOpt(t) {
			return encodeOpt(e.of(t.Field(0).Type))
		}
		return encodeStruct(e.fields(t))
	case reflect.Pointer:
		return encodePointer(e.of(t.Elem()))
	case reflect.Slice:
		return encodeSlice(e.of(t.Elem()))
	case reflect.String:
		return func(e *encoder, v reflect.Value) { e.text(v.String()) }
	case reflect.Bool:
		return func(e *encoder, v reflect.Value) { e.buf = strconv.AppendBool(e.buf, v.Bool()) }
	case reflect.Int, reflect.Int32, reflect.Int64:
		return func(e *encoder, v reflect.Value) { e.buf = strconv.AppendInt(e.buf, v.Int(), 10) }
	case reflect.Uint32, reflect.Uint64:
		return func(e *encoder, v reflect.Value) { e.buf = strconv.AppendUint(e.buf, v.Uint(), 10) }
	}
	return func(e *encoder, v reflect.Value) { e.rare(v.Interface()) }
}

// isOpt says that a type is an oom.Opt: Value, and Known.
func isOpt(t reflect.Type) bool {
	return t.PkgPath() == reflect.TypeFor[oom.Record]().PkgPath() && strings.HasPrefix(t.Name(), "Opt[")
}

func encodeOpt(value encode) encode {
	return func(e *encoder, v reflect.Value) {
		if !v.Field(1).Bool() {
			e.buf = append(e.buf, "null"...)
			return
		}
		value(e, v.Field(0))
	}
}

// field is one of a struct's, or of one that is embedded in it.
type field struct {
	index  int
	key    string // with colon and comma
	absent func(reflect.Value) bool
	encode encode
	inner  []field // of an embedded struct
}

func (e *encoder) fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous:
			out = append(out, field{index: i, inner: e.fields(f.Type)})
		default:
			out = append(out, field{index: i, key: `"` + name + `":`, absent: absence(f.Type, options), encode: e.of(f.Type)})
		}
	}
	return out
}

// absence says when a field is left out; nil is never.
func absence(t reflect.Type, options string) func(reflect.Value) bool {
	switch {
	case options == "":
		return nil
	case isOpt(t):
		return func(v reflect.Value) bool { return !v.Field(1).Bool() }
	case t == reflect.TypeFor[time.Time]():
		return func(v reflect.Value) bool { return v.Addr().Interface().(*time.Time).IsZero() }
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.String:
		return func(v reflect.Value) bool { return v.Len() == 0 }
	}
	return reflect.Value.IsZero
}

func encodeStruct(fields []field) encode {
	return func(e *encoder, v reflect.Value) {
		e.buf = append(e.buf, '{')
		e.members(fields, v, true)
		e.buf = append(e.buf, '}')
	}
}

// members appends fields, and says whether there was none so far.
func (e *encoder) members(fields []field, v reflect.Value, first bool) bool {
	for i := range fields {
		f := &fields[i]
		value := v.Field(f.index)
		if f.inner != nil {
			first = e.members(f.inner, value, first)
			continue
		}
		if f.absent != nil && f.absent(value) {
			continue
		}
		if !first {
			e.buf = append(e.buf, ',')
		}
		first = false
		e.buf = append(e.buf, f.key...)
		f.encode(e, value)
	}
	return first
}

func encodePointer(elem encode) encode {
	return func(e *encoder, v reflect.Value) {
		if v.IsNil() {
			e.buf = append(e.buf, "null"...)
			return
		}
		elem(e, v.Elem())
	}
}

func encodeSlice(elem encode) encode {
	return func(e *encoder, v reflect.Value) {
		e.buf = append(e.buf, '[')
		for i := range v.Len() {
			if i > 0 {
				e.buf = append(e.buf, ',')
			}
			elem(e, v.Index(i))
		}
		e.buf = append(e.buf, ']')
	}
}

func encodeTime(e *encoder, v reflect.Value) {
	e.buf = append(e.buf, '"')
	text, err := v.Addr().Interface().(*time.Time).AppendText(e.buf)
	e.fail(err)
	if err == nil {
		e.buf = text
	}
	e.buf = append(e.buf, '"')
}

func encodeStats(e *encoder, v reflect.Value) {
	e.buf = append(e.buf, '{')
	for i, s := range *v.Addr().Interface().(*oom.Stats) {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.text(s.Name)
		e.buf = strconv.AppendUint(append(e.buf, ':'), s.Bytes, 10)
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
