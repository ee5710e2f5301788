package kernlog

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestQuiet: a pipe that is quiet gives out the kill that waits, and what comes after it
// is read on; a line that is half there is not taken for a whole one.
func TestQuiet(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	s, err := NewSource(r, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	s.in.after = 20 * time.Millisecond
	half := len(killLineText) / 2
	second := "[    9.000001] " + strings.ReplaceAll(killLineText, "77", "78") + "\n"
	for _, text := range []string{"[    5.000001] " + killLineText + "\n" + second[:half], second[half:]} {
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		rec, err := s.Next(t.Context())
		if err != nil || rec.Victim.AnonRSSBytes.Value != 40<<10 {
			t.Fatalf("%+v, %v", rec, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if rec, err := s.Next(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("%v, %v", rec, err)
	}
	if err := errors.Join(s.Done(), s.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.Kills != 2 || st.Lines != 2 {
		t.Errorf("%+v", st)
	}
}

// TestQuietForms: an input of any form may be quiet at any byte.
func TestQuietForms(t *testing.T) {
	lines := original(t)
	for _, w := range append(append(textWrappings()[:2], otherWrappings()...), entryForms()...) {
		t.Run(w.name, func(t *testing.T) {
			text := w.wrap(lines)
			want, _ := readAll(t, strings.NewReader(text), testOptions())
			got, _ := readAll(t, &stutter{text: text}, testOptions())
			if len(got) != len(want) {
				t.Fatalf("%d records, want %d", len(got), len(want))
			}
			for i := range got {
				if a, b := essence(got[i]), essence(want[i]); a != b {
					t.Error(difference(a, b))
				}
			}
		})
	}
}

// stutter gives a text in pieces, and is quiet after each.
type stutter struct {
	text  string
	quiet bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.quiet = !s.quiet; s.quiet {
		return 0, os.ErrDeadlineExceeded
	}
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p, s.text[:min(len(s.text), 97)])
	s.text = s.text[n:]
	return n, nil
}
