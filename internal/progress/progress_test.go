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

// TestNoBar: there is none without a terminal or a size, and that is no special case.
func TestNoBar(t *testing.T) {
	for name, b := range map[string]*Bar{"no terminal": New(nil, 1000), "no size": New(&bytes.Buffer{}, 0)} {
		if b != nil {
			t.Errorf("%s: there is a bar", name)
		}
		var out bytes.Buffer
		b.Read(1, 1)
		if b.Output(&out) != &out {
			t.Errorf("%s: the output is another", name)
		}
		b.Finish()
	}
}
