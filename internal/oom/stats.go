package oom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// Stats are named sizes in bytes, in the order of their source. They are an
// object in JSON that keeps this order.
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
	b := make([]byte, 0, 2+len(s)*statBytes)
	b = append(b, '{')
	for i, st := range s {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(st.Name)
		if err != nil {
			return nil, err
		}
		b = append(append(b, name...), ':')
		b = strconv.AppendUint(b, st.Bytes, 10)
	}
	return append(b, '}'), nil
}

// statBytes is about what one size takes as JSON.
const statBytes = 36

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
