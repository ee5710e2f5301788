package render

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// appender appends one type's values as encoding/json writes them. It is made
// from the types' own tags, once, and then needs no memory but dst: encoding/json
// allocates some hundred times for a record, which is more than a process should
// ask for on a machine that has no memory left.
//
// Values of structs must be addressable.
type appender func(dst []byte, v reflect.Value) ([]byte, error)

// appenderOf makes the appender of a type. What it has no way of its own for
// goes to encoding/json.
func appenderOf(t reflect.Type) appender {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return appendTime
	case t == reflect.TypeFor[oom.Stats]():
		return appendStats
	case t == reflect.TypeFor[map[string]string]():
		return newMapAppender()
	case isOpt(t):
		return optAppender(appenderOf(t.Field(0).Type))
	case marshalsItself(t):
		return appendByJSON
	}
	switch t.Kind() {
	case reflect.Bool:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendBool(dst, v.Bool()), nil }
	case reflect.String:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return appendString(dst, v.String()), nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendInt(dst, v.Int(), 10), nil }
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64: // a []uint8 is base64
		return func(dst []byte, v reflect.Value) ([]byte, error) { return strconv.AppendUint(dst, v.Uint(), 10), nil }
	case reflect.Pointer:
		return pointerAppender(appenderOf(t.Elem()))
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 {
			return sliceAppender(appenderOf(t.Elem()))
		}
	case reflect.Struct:
		return structAppender(t)
	}
	return appendByJSON
}

// isOpt finds any oom.Opt by its shape.
func isOpt(t reflect.Type) bool {
	_, named := t.MethodByName("Get")
	return t.Kind() == reflect.Struct && named && t.PkgPath() == reflect.TypeFor[oom.Record]().PkgPath() && strings.HasPrefix(t.Name(), "Opt[")
}

func marshalsItself(t reflect.Type) bool {
	for _, i := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler]()} {
		if t.Implements(i) || reflect.PointerTo(t).Implements(i) {
			return true
		}
	}
	return false
}

func appendByJSON(dst []byte, v reflect.Value) ([]byte, error) {
	b, err := json.Marshal(v.Interface())
	return append(dst, escapeControls(b)...), err
}

func appendTime(dst []byte, v reflect.Value) ([]byte, error) {
	dst, err := v.Addr().Interface().(*time.Time).AppendText(append(dst, '"'))
	return append(dst, '"'), err
}

func appendStats(dst []byte, v reflect.Value) ([]byte, error) {
	dst = append(dst, '{')
	for i, st := range *v.Addr().Interface().(*oom.Stats) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, st.Name), ':')
		dst = strconv.AppendUint(dst, st.Bytes, 10)
	}
	return append(dst, '}'), nil
}

// newMapAppender sorts the keys, in a slice that it keeps.
func newMapAppender() appender {
	var keys []string
	return func(dst []byte, v reflect.Value) ([]byte, error) {
		m := *v.Addr().Interface().(*map[string]string)
		if m == nil {
			return append(dst, "null"...), nil
		}
		keys = keys[:0]
		for k := range m {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		dst = append(dst, '{')
		for i, k := range keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, k), ':')
			dst = appendString(dst, m[k])
		}
		return append(dst, '}'), nil
	}
}

func optAppender(value appender) appender {
	return func(dst []byte, v reflect.Value) ([]byte, error) {
		if !v.Field(1).Bool() {
			return append(dst, "null"...), nil
		}
		return value(dst, v.Field(0))
	}
}

func pointerAppender(elem appender) appender {
	return func(dst []byte, v reflect.Value) ([]byte, error) {
		if v.IsNil() {
			return append(dst, "null"...), nil
		}
		return elem(dst, v.Elem())
	}
}

func sliceAppender(elem appender) appender {
	return func(dst []byte, v reflect.Value) (_ []byte, err error) {
		if v.IsNil() {
			return append(dst, "null"...), nil
		}
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = elem(dst, v.Index(i)); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	}
}

// field is one member of an object.
type field struct {
	index  []int
	name   []byte // with its quotes and colon
	absent func(reflect.Value) bool
	value  appender
}

func structAppender(t reflect.Type) appender {
	fields := fieldsOf(t, nil)
	return func(dst []byte, v reflect.Value) (_ []byte, err error) {
		dst = append(dst, '{')
		start := len(dst)
		for i := range fields {
			f := &fields[i]
			value := v.FieldByIndex(f.index)
			if f.absent(value) {
				continue
			}
			if len(dst) > start {
				dst = append(dst, ',')
			}
			if dst, err = f.value(append(dst, f.name...), value); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	}
}

// fieldsOf lists the fields in the order of encoding/json: those of an embedded
// struct in its place.
func fieldsOf(t reflect.Type, above []int) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(above[:len(above):len(above)], i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			fields = append(fields, fieldsOf(f.Type, index)...)
			continue
		case name == "-" || !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		fields = append(fields, field{
			index: index, name: append(appendString(nil, name), ':'), absent: absent(f.Type, options), value: appenderOf(f.Type),
		})
	}
	return fields
}

// absent says when omitempty and omitzero leave a field out.
func absent(t reflect.Type, options string) func(reflect.Value) bool {
	switch {
	case options == "omitempty" && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map):
		return func(v reflect.Value) bool { return v.Len() == 0 }
	case options == "omitempty" && t.Kind() != reflect.Struct:
		return reflect.Value.IsZero
	case options == "omitzero" && isOpt(t):
		return func(v reflect.Value) bool { return !v.Field(1).Bool() }
	case options == "omitzero" && t == reflect.TypeFor[time.Time]():
		return func(v reflect.Value) bool { return v.Addr().Interface().(*time.Time).IsZero() }
	case options == "omitzero":
		return reflect.Value.IsZero
	}
	return func(reflect.Value) bool { return false }
}

// appendString appends a JSON string: escaped as encoding/json does, and what a
// terminal would obey besides (escapeControls).
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for {
		n := plainLen(s)
		dst = append(dst, s[:n]...)
		if s = s[n:]; s == "" {
			return append(dst, '"')
		}
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, `\ufffd`...)
		} else {
			dst = appendRune(dst, r)
		}
		s = s[n:]
	}
}

// plainLen is how much of s, from its start, stands in JSON as it is: nearly all
// of nearly every string.
func plainLen(s string) int {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c >= 0x7f, c == '"', c == '\\', c == '<', c == '>', c == '&':
			return i
		}
	}
	return len(s)
}

func appendRune(dst []byte, r rune) []byte {
	const short = "\"\"\\\\\bb\ff\nn\rr\tt" // what is written as a backslash and a letter
	switch {
	case r == '"', r == '\\', r < ' ':
		for i := 0; i < len(short); i += 2 {
			if rune(short[i]) == r {
				return append(dst, '\\', short[i+1])
			}
		}
		return appendEscape(dst, r)
	case r == '<', r == '>', r == '&', r == '\u2028', r == '\u2029', isControl(r):
		return appendEscape(dst, r)
	}
	return utf8.AppendRune(dst, r)
}

// appendEscape appends \u.... for a character, two of them beyond 16 bits.
func appendEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return appendEscape(appendEscape(dst, high), low)
	}
	return append(dst, '\\', 'u', hexDigit(byte(r>>12)), hexDigit(byte(r>>8)), hexDigit(byte(r>>4)), hexDigit(byte(r)))
}
