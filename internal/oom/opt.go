package oom

import (
	"encoding/json"
	"strconv"
)

// Opt is a value that may be unknown. The zero Opt is unknown, so a field that
// no source filled stays out of the JSON (with the omitzero tag) instead of
// showing up as a 0 that nobody read.
type Opt[T Scalar] struct {
	// Value is meaningful only when Known is set.
	Value T
	Known bool
}

// Scalar lists the types an Opt can carry.
type Scalar interface {
	int | int32 | int64 | uint32 | uint64 | float64 | bool
}

// Some returns a known value.
func Some[T Scalar](v T) Opt[T] { return Opt[T]{Value: v, Known: true} }

// Get returns the value and whether it is known.
func (o Opt[T]) Get() (T, bool) { return o.Value, o.Known }

// Or returns the value, or def when it is unknown.
func (o Opt[T]) Or(def T) T {
	if o.Known {
		return o.Value
	}
	return def
}

// IsZero reports that the value is unknown; for omitzero, which copies the value to
// the heap for a method that has no pointer receiver.
func (o *Opt[T]) IsZero() bool { return !o.Known }

// MarshalJSON writes the bare value, or null when it is unknown.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if !o.Known {
		return []byte("null"), nil
	}
	b := make([]byte, 0, maxDigits)
	switch v := any(o.Value).(type) {
	case int:
		b = strconv.AppendInt(b, int64(v), 10)
	case int32:
		b = strconv.AppendInt(b, int64(v), 10)
	case int64:
		b = strconv.AppendInt(b, v, 10)
	case uint32:
		b = strconv.AppendUint(b, uint64(v), 10)
	case uint64:
		b = strconv.AppendUint(b, v, 10)
	case float64:
		return json.Marshal(v)
	case bool:
		b = strconv.AppendBool(b, v)
	}
	return b, nil
}

// maxDigits is room for any Scalar as text.
const maxDigits = len("-9223372036854775808")

// UnmarshalJSON reads the bare value; null leaves the value unknown.
func (o *Opt[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*o = Opt[T]{}
		return nil
	}
	if err := json.Unmarshal(b, &o.Value); err != nil {
		return err
	}
	o.Known = true
	return nil
}
