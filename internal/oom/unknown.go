package oom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"
)

// UnknownFields returns what of a record's JSON this version has no field for: the same
// objects with nothing else in them, and null in an array for each element without any.
// It is nil where all is known.
func UnknownFields(line []byte) json.RawMessage {
	var out bytes.Buffer
	if raw := unknown(line, reflect.TypeFor[Record]()); raw == nil || json.Compact(&out, raw) != nil { // line ends are not theirs to give
		return nil
	}
	return out.Bytes()
}

func unknown(raw json.RawMessage, t reflect.Type) json.RawMessage {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() && !strings.HasPrefix(t.Name(), "Opt["):
		return unknownOfObject(raw, fieldsOf(t))
	case t.Kind() == reflect.Slice && t != reflect.TypeFor[Stats]() && t.Elem().Kind() == reflect.Struct:
		return unknownOfArray(raw, fieldsOf(t.Elem()))
	}
	return nil
}

func unknownOfObject(raw json.RawMessage, known map[string]reflect.Type) json.RawMessage {
	members, err := membersOf(raw)
	if err != nil {
		return nil
	}
	var out []member
	for _, m := range members {
		ft, ok := known[strings.ToLower(strings.ToUpper(m.key))] // encoding/json does not mind case either, not that of a long s
		if ok {
			m.value = unknown(m.value, ft)
		}
		if m.value != nil {
			out = append(out, m)
		}
	}
	return joinObject(out)
}

func unknownOfArray(raw json.RawMessage, known map[string]reflect.Type) json.RawMessage {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return nil
	}
	some := false
	for i := range elements {
		elements[i] = unknownOfObject(elements[i], known)
		some = some || elements[i] != nil
	}
	if !some {
		return nil
	}
	return joinArray(elements)
}

// fieldsOf are a struct's fields by their names, those of embedded ones included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		if f.Anonymous {
			maps.Copy(out, fieldsOf(f.Type))
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			out[name] = f.Type
		}
	}
	return out
}

// AddUnknownFields writes the fields of UnknownFields back into a record's JSON, behind
// those that are known. Elements of an array that has another length by now are left out.
func AddUnknownFields(line []byte, unknown json.RawMessage) ([]byte, error) {
	out, err := merged(bytes.TrimSpace(line), unknown)
	if err != nil {
		return nil, fmt.Errorf("unknown fields: %w", err)
	}
	return out, nil
}

func merged(known, unknown json.RawMessage) (json.RawMessage, error) {
	switch {
	case len(unknown) == 0 || string(unknown) == "null" || len(known) == 0 || known[0] != unknown[0]:
		return known, nil
	case known[0] == '{':
		return mergedObject(known, unknown)
	case known[0] == '[':
		return mergedArray(known, unknown)
	}
	return known, nil
}

func mergedObject(known, unknown json.RawMessage) (json.RawMessage, error) {
	members, err := membersOf(known)
	if err != nil {
		return nil, err
	}
	more, err := membersOf(unknown)
	if err != nil {
		return nil, err
	}
	at := map[string]int{}
	for i, m := range members {
		at[m.key] = i
	}
	for _, m := range more {
		i, ok := at[m.key]
		if !ok {
			members = append(members, m)
			continue
		}
		if members[i].value, err = merged(members[i].value, m.value); err != nil {
			return nil, err
		}
	}
	return joinObject(members), nil
}

func mergedArray(known, unknown json.RawMessage) (json.RawMessage, error) {
	var elements, more []json.RawMessage
	if err := json.Unmarshal(known, &elements); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(unknown, &more); err != nil {
		return nil, err
	}
	if len(elements) != len(more) {
		return known, nil
	}
	for i := range elements {
		var err error
		if elements[i], err = merged(elements[i], more[i]); err != nil {
			return nil, err
		}
	}
	return joinArray(elements), nil
}

// MapStrings puts each string of valid JSON, but for the keys, through a function.
func MapStrings(raw json.RawMessage, f func(string) string) (json.RawMessage, error) {
	var out json.RawMessage
	for {
		start := bytes.IndexByte(raw, '"')
		if start < 0 {
			return append(out, raw...), nil
		}
		end := stringEnd(raw, start)
		text := raw[start:end]
		if rest := bytes.TrimLeft(raw[end:], " \t\r\n"); len(rest) == 0 || rest[0] != ':' {
			var s string
			if err := json.Unmarshal(text, &s); err != nil {
				return nil, err
			}
			var err error
			if text, err = json.Marshal(f(s)); err != nil {
				return nil, err
			}
		}
		out = append(append(out, raw[:start]...), text...)
		raw = raw[end:]
	}
}

// stringEnd is where the string ends whose quote is at start.
func stringEnd(raw []byte, start int) int {
	for i := start + 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}

// Clone is a copy of a record's content that shares nothing with it.
func (r *Record) Clone() (*Record, error) {
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("copy record %s: %w", r.ID, err)
	}
	own := new(Record)
	if err := json.Unmarshal(line, own); err != nil {
		return nil, fmt.Errorf("copy record %s: %w", r.ID, err)
	}
	own.Finished, own.LogText, own.Unknown = r.Finished, r.LogText, bytes.Clone(r.Unknown)
	return own, nil
}

// member is one key of an object, in the order of the text.
type member struct {
	key   string
	value json.RawMessage
}

func membersOf(raw json.RawMessage) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, fmt.Errorf("not an object: %w", err)
	}
	var out []member
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		m := member{}
		m.key, _ = key.(string) // the decoder takes nothing else
		if err := dec.Decode(&m.value); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// joinObject is nil for no members.
func joinObject(members []member) json.RawMessage {
	if len(members) == 0 {
		return nil
	}
	out := json.RawMessage("{")
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		key, _ := json.Marshal(m.key) // a string
		out = append(append(append(out, key...), ':'), m.value...)
	}
	return append(out, '}')
}

func joinArray(elements []json.RawMessage) json.RawMessage {
	out := json.RawMessage("[")
	for i, e := range elements {
		if i > 0 {
			out = append(out, ',')
		}
		if e == nil {
			e = json.RawMessage("null")
		}
		out = append(out, e...)
	}
	return append(out, ']')
}
