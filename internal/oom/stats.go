package oom

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Stats are named sizes in bytes, in the order of their source. They are an
// object in JSON. A slice rather than a map, so that filling one again and
// again needs no allocation.
type Stats []Stat

// Stat is one named size. Name carries the suffix "_bytes".
type Stat struct {
	Name  string
	Bytes uint64
}

// Get returns the size of that name and whether it is there.
func (s Stats) Get(name string) (uint64, bool) {
	for i := range s {
		if s[i].Name == name {
			return s[i].Bytes, true
		}
	}
	return 0, false
}

// MarshalJSON writes an object that keeps the order.
func (s Stats) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, st := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(st.Name)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s:%d", name, st.Bytes)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads an object, keeping its order.
func (s *Stats) UnmarshalJSON(data []byte) error {
	*s = nil
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		key, ok := name.(string)
		if !ok {
			return fmt.Errorf("stats: key %v is not a string", name)
		}
		var v uint64
		if err := dec.Decode(&v); err != nil {
			return fmt.Errorf("stats: %s: %w", key, err)
		}
		*s = append(*s, Stat{Name: key, Bytes: v})
	}
	return nil
}
