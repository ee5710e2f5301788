package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestBar: the bar is shown to a person who has waited for a while, and is away before
// anything else is written.
func TestBar(t *testing.T) {
	var terminal, out bytes.Buffer
	b := New(&terminal, 1000)
	b.Read(100, 0)
	if terminal.Len() > 0 {
		t.Errorf("shown at once: %q", &terminal)
	}
	b.started = time.Now().Add(-2 * after)
	b.Read(400, 1)
	time.Sleep(throttle + time.Millisecond)
	b.Read(100, 1)
	if got := terminal.String(); !strings.Contains(got, "oomtrace: 1 kill ") {
		t.Errorf("shown: %q", got)
	}
	terminal.Reset()
	if _, err := b.Output(&out).Write([]byte("line\n")); err != nil || out.String() != "line\n" {
		t.Errorf("written: %q, %v", &out, err)
	}
	if !strings.HasSuffix(terminal.String(), "\r") {
		t.Errorf("the bar is not cleared: %q", &terminal)
	}
	b.Finish()
}

// TestUnknownSize: of a pipe it is shown what was read, not how much of what.
func TestUnknownSize(t *testing.T) {
	var terminal bytes.Buffer
	b := New(&terminal, 0)
	b.started = time.Now().Add(-2 * after)
	for range 3 {
		b.Read(1<<20, 2)
		time.Sleep(throttle + time.Millisecond)
	}
	got := terminal.String()
	if !strings.Contains(got, "oomtrace: 2 kills (3.0 MiB, ") || !strings.Contains(got, "B/s)") {
		t.Errorf("shown: %q", got)
	}
	for _, wrong := range []string{"%", "NaN", "Inf", "[", "\n"} {
		if strings.Contains(got, wrong) {
			t.Errorf("%q in %q", wrong, got)
		}
	}
	terminal.Reset()
	b.Finish()
	if got := terminal.String(); !strings.HasSuffix(got, "\r") || strings.Contains(strings.TrimSpace(got), "oomtrace") {
		t.Errorf("left at the end: %q", got)
	}
}

// TestNoBar: there is none without a terminal, and that is no special case.
func TestNoBar(t *testing.T) {
	b := New(nil, 1000)
	if b != nil {
		t.Error("there is a bar")
	}
	var out bytes.Buffer
	b.Read(1, 1)
	if b.Output(&out) != &out {
		t.Error("the output is another")
	}
	b.Finish()
}
