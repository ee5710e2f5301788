package lines

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// paused gives a text in pieces, with a pause behind each that is not the last.
type paused struct {
	pieces []string
	waits  bool
}

func (p *paused) Read(b []byte) (int, error) {
	if p.waits {
		p.waits = false
		return 0, os.ErrDeadlineExceeded
	}
	if len(p.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.pieces[0])
	if p.pieces[0] = p.pieces[0][n:]; p.pieces[0] == "" {
		p.pieces, p.waits = p.pieces[1:], len(p.pieces) > 1
	}
	return n, nil
}

// TestParts: a store's parts are put in order, and what is none stays where it is.
func TestParts(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		pieces     []string
		want       string
	}{
		{"two parts", "Oops#1 Part1\n", []string{"Oops#1 Part1\n[2.0] b\nOops#1 Part2\n[1.0] a\n"}, "Oops#1 Part2\n[1.0] a\nOops#1 Part1\n[2.0] b\n"},
		{"a head that was all there was, and is no part's", "Oops#1 Part1", []string{"Oops#1 Part1", "2 x\n[2.0] b\n"}, "Oops#1 Part12 x\n[2.0] b\n"},
		{"the same before parts", "Oops#1 Part1", []string{"Oops#1 Part1", "2 x\nOops#1 Part1\n[2.0] b\nOops#1 Part2\n[1.0] a\n"},
			"Oops#1 Part12 x\nOops#1 Part2\n[1.0] a\nOops#1 Part1\n[2.0] b\n"},
		{"two stores", "Oops#1 Part1\n", []string{"Oops#1 Part1\n[2.0] b\nOops#2 Part1\n[1.0] a\n"}, "Oops#1 Part1\n[2.0] b\nOops#2 Part1\n[1.0] a\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := &source{in: &paused{pieces: tt.pieces}, buf: make([]byte, bufferBytes)}
			r, err := decodeParts(nil, []byte(tt.head), src)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

// TestEscapedPipes: a cell of many escaped marks takes no more than its length.
func TestEscapedPipes(t *testing.T) {
	for row, want := range map[string][]string{
		`| a \| b | c |`: {"a | b", "c"}, `|a\|\||`: {"a||"}, `a\`: {"a|"}, `\||`: {"|"}, `| a | |`: {"a", ""}, `||`: {""}, ``: {""},
	} {
		if got := piped([]byte(row)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", row, got, want)
		}
	}
	row := []byte("| 1 | oom " + strings.Repeat(`\|`, 32<<10) + " |")
	if n := allocated(func() { piped(row) }); n > 10*uint64(len(row)) {
		t.Errorf("%d bytes allocated for a row of %d", n, len(row))
	}
}

// TestDeepEvents: keys below keys take no more memory than their lines.
func TestDeepEvents(t *testing.T) {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: Event\nitems:\n")
	for i := range 300 {
		fmt.Fprintf(&text, "%*s%s:\n", i, "", strings.Repeat("a", 10_000))
	}
	for range 300 {
		fmt.Fprintf(&text, "%300sb: 1\n", "")
	}
	if n := allocated(func() { read(t, strings.NewReader(text.String()), true) }); n > 20*uint64(text.Len()) {
		t.Errorf("%d MB allocated for a text of %d", n/1e6, text.Len()/1e6)
	}
}

// TestGrowingValues: values that are put together of many pieces take no more memory than a
// few times their lines.
func TestGrowingValues(t *testing.T) {
	for name, text := range map[string]string{
		"a list of parts":        `{"message":["oom"` + strings.Repeat(`,"abc"`, 40_000) + "]}\n",
		"keys below a long one":  `{"oom":0,"` + strings.Repeat("k", 100_000) + `":{` + strings.Repeat(`"a":0,`, 20_000) + `"b":0}}` + "\n",
		"an event's blank lines": "apiVersion: v1\nkind: Event\nitems:\n- message: a\n" + strings.Repeat("\n", 60_000),
		"journalctl's verbose":   "Fri 2025-03-07 04:00:24.123456 UTC [s=1]\n    MESSAGE=x\n" + strings.Repeat("     a\n", 30_000),
	} {
		t.Run(name, func(t *testing.T) {
			if n := allocated(func() { read(t, strings.NewReader(text), true) }); n > 150*uint64(len(text))+(64<<20) {
				t.Errorf("%d MB allocated for a text of %d KB", n/1e6, len(text)/1e3)
			}
		})
	}
}

// TestHoleInJSON: blanks and zeros between objects, more than the buffer holds, end nothing.
func TestHoleInJSON(t *testing.T) {
	const kill = `{"_TRANSPORT":"kernel","MESSAGE":"Killed process 7 (a) anon-rss:1kB"}` + "\n"
	for name, hole := range map[string]string{"zeros": "\x00", "line ends": "\n", "blanks": " "} {
		t.Run(name, func(t *testing.T) {
			to, _ := read(t, strings.NewReader(kill+strings.Repeat(hole, 2<<20)+strings.Replace(kill, "7", "8", 1)), true)
			if len(to.lines) != 2 {
				t.Errorf("%d lines, want 2", len(to.lines))
			}
		})
	}
}

// TestTimesWithoutForm: a time that RFC 3339 cannot hold is none.
func TestTimesWithoutForm(t *testing.T) {
	const text = "Out of memory: Killed process 7 (a) total-vm:4kB"
	for stamp, want := range map[string]bool{
		"2025-11-24T01:02:03+01:00 h kernel: ": true, "2025-11-24T01:02:03+23:59 h kernel: ": true,
		"2025-11-24T01:02:03+99:00 h kernel: ": false, "2025-11-24T01:02:03-24:00 h kernel: ": false, "0000-00-00T00:00:00 h kernel: ": false,
	} {
		to, _ := read(t, strings.NewReader(stamp+text+"\n"), true)
		if len(to.lines) != 1 {
			t.Errorf("%q: %d lines", stamp, len(to.lines))
			continue
		}
		got := to.lines[0].Time
		if _, err := got.MarshalJSON(); err != nil || got.IsZero() == want {
			t.Errorf("%q: %v, %v", stamp, got, err)
		}
	}
}

// TestPeekLine: a line that is too long is not looked at ahead, be its end in the buffer or not.
func TestPeekLine(t *testing.T) {
	for text, want := range map[string]bool{
		"1234567890\nx": true, "12345678901\nx": false, "1234567890": true, "12345678901": false, "": false, "\n": true,
	} {
		s := &source{in: strings.NewReader(text), max: 10, buf: make([]byte, bufferBytes)}
		s.fill()
		line, ok := s.peekLine()
		if first, _, _ := strings.Cut(text, "\n"); ok != want || ok && string(line) != first {
			t.Errorf("%q: %q, %v", text, line, ok)
		}
	}
}

// weighing is a grammar that counts the bytes it is asked about.
type weighing struct {
	words
	bytes *int
}

func (w weighing) Class(b []byte) Class {
	*w.bytes += len(b)
	return w.words.Class(b)
}

// TestManyPrefixes: what looks like prefix behind prefix, or like line behind line, is looked at
// a few times only.
func TestManyPrefixes(t *testing.T) {
	for name, again := range map[string]string{
		"of /dev/kmsg": "a 6,1,1,-;", "times that are none": "a 0001-01-01T00:00:00Z ", "days": "a Mon Feb 3 :",
		"stamps": "[    1.0] a ", "brackets": "a [b ",
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			text := "[    1.0] " + again + strings.Repeat(again, 60_000/len(again)) + KilledMark + "7 (a) 4kB\n"
			for _, text := range []string{text, text[len("[    1.0] "):]} {
				r := NewReader(strings.NewReader(text), Options{Year: 2025}, weighing{bytes: &n}, &list{busy: true})
				for r.Step() == nil {
				}
			}
			if n > 100*len(text) {
				t.Errorf("%d MB looked at for two lines of %d KB", n/1e6, len(text)/1e3)
			}
		})
	}
}

// TestReadAhead: it goes on at the end of a line, waits where nothing comes, and reads no
// more than it may.
func TestReadAhead(t *testing.T) {
	s := &source{in: iotest.OneByteReader(strings.NewReader("a\nbc\nd")), max: 10, buf: make([]byte, bufferBytes)}
	for _, want := range []string{"a\n", "a\nbc\n"} {
		if !s.readAhead() || string(s.ahead()) != want {
			t.Errorf("got %q, want %q", s.ahead(), want)
		}
	}
	if s.readAhead() || string(s.ahead()) != "a\nbc\nd" {
		t.Errorf("at the end: %q", s.ahead())
	}
	s = &source{in: strings.NewReader(strings.Repeat("{", 4*readBytes)), max: 10, buf: make([]byte, bufferBytes)}
	if s.readAhead() || len(s.ahead()) != readBytes || s.end >= 2*readBytes {
		t.Errorf("%d bytes of %d", len(s.ahead()), s.end)
	}
}
