package lines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// words is a grammar of its own: a report is a header, parts and an end.
type words struct{}

func (words) Class(b []byte) Class {
	switch {
	case bytes.Contains(b, []byte(HeaderMark)):
		return Class{Header: true}
	case bytes.HasPrefix(b, []byte("part ")):
		return Class{Part: true, Place: 1, Alone: true}
	case bytes.HasPrefix(b, []byte(KilledMark)):
		return Class{Own: true, Place: 2}
	}
	return Class{Place: -1}
}

func (words) Unfinished(b []byte) bool {
	return bytes.HasPrefix(b, []byte(KilledMark)) && !bytes.HasSuffix(b, []byte("kB"))
}

func (words) Closed(b []byte) bool { return bytes.HasPrefix(b, []byte("part")) }

func known(ns uint64) oom.Opt[uint64] { return oom.Some(ns) }

// list takes all lines of a log.
type list struct {
	lines   []Line
	skipped int
	busy    bool
}

func (l *list) Line(line *Line) {
	own := *line
	own.Text = bytes.Clone(line.Text)
	l.lines = append(l.lines, own)
}
func (l *list) Skip(n int) { l.skipped += n }
func (l *list) Busy() bool { return l.busy }

func read(t *testing.T, in io.Reader, busy bool) (*list, Stats) {
	t.Helper()
	to := &list{busy: busy}
	r := NewReader(in, Options{Location: time.UTC, Year: 2025}, words{}, to)
	var err error
	for err == nil {
		err = r.Step()
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return to, r.Stats()
}

// TestPrefixes are what sources put before the text, and what that says of the line.
func TestPrefixes(t *testing.T) {
	const text = "part one"
	noon := time.Date(2025, 3, 7, 12, 0, 9, 0, time.UTC)
	for raw, want := range map[string]Line{
		text:                                                           {},
		"[    5.000001] " + text:                                       {Uptime: known(5000001000), Exact: true},
		"[    5.000001][  T204] " + text:                               {Uptime: known(5000001000), Exact: true, Caller: 204},
		"[    5.000001] [    C3] " + text:                              {Uptime: known(5000001000), Exact: true, Caller: -4},
		"[99.1] " + text:                                               {Uptime: known(99100000000), Exact: true},
		"<4>[    5.000001] " + text:                                    {Uptime: known(5000001000), Exact: true},
		"4,12,5000001,-,caller=T7;" + text:                             {Uptime: known(5000001000), Exact: true, Caller: 7},
		"[Fri Mar  7 12:00:09 2025] " + text:                           {Time: noon, Exact: true},
		"[Fri Mar 7 12:00:09 2025] " + text:                            {Time: noon, Exact: true},
		"Mar  7 12:00:09 box kernel: " + text:                          {Time: noon, Node: "box", Exact: true},
		"Mar 7 12:00:09 box kernel: " + text:                           {Time: noon, Node: "box", Exact: true},
		"Mar  7 12:00:09 kernel: " + text:                              {Time: noon, Exact: true},
		"2025-03-07T12:00:09Z box kernel: " + text:                     {Time: noon, Node: "box", Exact: true},
		"2025-03-07T07:00:09-05:00 box kernel: " + text:                {Time: noon, Node: "box", Exact: true},
		"2025-03-07T12:00:09,000000+00:00 " + text:                     {Time: noon, Exact: true},
		"2025-03-07T12:00:09Z stdout F <4>" + text:                     {Time: noon},
		"1741348809.000000 box kernel: " + text:                        {Time: noon, Node: "box", Exact: true},
		"Fri 2025-03-07 12:00:09 UTC box kernel: " + text:              {Time: noon, Node: "box", Exact: true},
		"<4>1 2025-03-07T12:00:09Z box kernel - - [a b=\"]\"] " + text: {Time: noon, Node: "box", Exact: true},
		"<4>1 - - kernel - - - " + text:                                {Exact: true},
		"kern  :warn  : [    5.000001] " + text:                        {Uptime: known(5000001000), Exact: true},
		"\tMar  7 12:00:09 box kernel: " + text:                        {Time: noon, Node: "box", Exact: true},
		"    Mar  7 12:00:09 box kernel: " + text:                      {Time: noon, Node: "box", Exact: true},
		"Mar  7 12:00:09 box kernel: : [    5.000001] " + text:         {Time: noon, Node: "box", Uptime: known(5000001000), Exact: true},
		"mar  7 12:00:09 box kernel: " + text:                          {Time: noon, Node: "box", Exact: true},
		"Mär 07 12:00:09 box kernel: " + text:                          {Time: noon, Node: "box", Exact: true},
		"mars 07 12:00:09 box kernel: " + text:                         {Time: noon, Node: "box", Exact: true},
		"mrt 07 12:00:09 box kernel: " + text:                          {Time: noon, Node: "box", Exact: true},
		"märts 07 12:00:09 box kernel: " + text:                        {Time: noon, Node: "box", Exact: true},
		"márc 07 12:00:09 box kernel: " + text:                         {Time: noon, Node: "box", Exact: true},
		"maalis 07 12:00:09 box kernel: " + text:                       {Time: noon, Node: "box", Exact: true},
		"bře 07 12:00:09 box kernel: " + text:                          {Time: noon, Node: "box", Exact: true},
		"мар 07 12:00:09 box kernel: " + text:                          {Time: noon, Node: "box", Exact: true},
		"Мар. 07 12:00:09 box kernel: [    5.000001] " + text:          {Time: noon, Uptime: known(5000001000), Node: "box", Exact: true},
		"Μάρ 07 12:00:09 box kernel: " + text:                          {Time: noon, Node: "box", Exact: true},
		"mar. 07 12:00:09 box kernel: " + text:                         {Time: noon, Node: "box", Exact: true},
		"3月 07 12:00:09 box kernel: " + text:                           {Time: noon, Node: "box", Exact: true},
		" 3월 07 12:00:09 box kernel: " + text:                          {Time: noon, Node: "box", Exact: true},
		"מרץ 07 12:00:09 box kernel: " + text:                          {Time: noon, Node: "box", Exact: true},
		"มี.ค. 07 12:00:09 box kernel: " + text:                        {Time: noon, Node: "box", Exact: true},
		"xyz 07 12:00:09 box kernel: " + text:                          {Node: "box", Exact: true},
		"srp 07 12:00:09 box kernel: " + text:                          {Node: "box", Exact: true},
		"03-07 12:00:09.000 <4>[    5.000001] " + text:                 {Time: noon, Uptime: known(5000001000), Exact: true},
		"03-07 12:00:09.000 [    5.000001] " + text:                    {Time: noon, Uptime: known(5000001000), Exact: true},
		"kernel: " + text:                                              {Exact: true},
		"03-07 12:00:09.000     0     0 W kernel  : " + text:           {Time: noon, Exact: true},
		"[pod/a/b] [    5.000001] " + text:                             {Uptime: known(5000001000), Exact: true},
		"10.0.0.2: kern: warning: [2025-03-07T12:00:09Z]: " + text:     {Time: noon, Exact: true},
		"tty1> [    5.000001] " + text:                                 {Uptime: known(5000001000), Exact: true},
	} {
		to, _ := read(t, strings.NewReader(raw+"\n"), true)
		if len(to.lines) != 1 {
			t.Errorf("%q: %d lines", raw, len(to.lines))
			continue
		}
		got := to.lines[0]
		if string(got.Text) != text || got.Uptime != want.Uptime || !got.Time.Equal(want.Time) || got.Node != want.Node || got.Caller != want.Caller || got.Exact != want.Exact || got.Number != 1 {
			t.Errorf("%q: %+v", raw, got)
		}
	}
}

// TestAnothers: a program's tag or facility makes a line another's, whatever it says further
// on and whatever the language of its stamp is.
func TestAnothers(t *testing.T) {
	const text = "part one [    5.000001] Out of memory: Killed process 7 (a)"
	for _, raw := range []string{
		"Mar 07 12:00:09 box app[7]: " + text,
		"mei 07 12:00:09 box app[7]: " + text,
		"févr. 07 12:00:09 box app: " + text,
		"мар 07 12:00:09 box app: " + text,
		"3月 07 12:00:09 box app: " + text,
		"xyz 07 12:00:09 box app: " + text,
		"03-07 12:00:09.000 app: " + text,
		"Mar 07 12:00:09 > " + text,
		"03-07 12:00:09.000  214  214 I app: " + text,
		"03-07 12:00:09.000 <14>[    5.000001] " + text,
	} {
		if to, _ := read(t, strings.NewReader(raw+"\n"), true); len(to.lines) != 0 {
			t.Errorf("%q: %+v", raw, to.lines[0])
		}
	}
}

// TestMonths: each has its name in each language; what two mean differently is none.
func TestMonths(t *testing.T) {
	for name, want := range map[string]time.Month{
		"Nov": 11, "févr.": 2, "JUN": 6, "kas": 11, "Şub": 2, "paź": 10, "ноя": 11, "Ιούλ": 7, "syys": 9, "11月": 11, "1월": 1, "12월": 12, "7": 7,
		"lis": 0, "lip": 0, "srp": 0, "13月": 0, "0月": 0, "Dez": 12, "": 0, ".": 0, "novnovnovnovnovnovnovnovnov": 0, "\xff\xfe\xfd": 0, "7th": 0,
	} {
		if got, ok := month([]byte(name)); ok != (want > 0) || ok && got != want {
			t.Errorf("%q: %v, %v", name, got, ok)
		}
	}
}

// TestPrinted: a line that is just as the kernel's tools print it is read by its first bytes
// alone, and then as any other.
func TestPrinted(t *testing.T) {
	for raw, at := range map[string]int{
		"4,12,5000001,-;part one":                     15,
		"12,5000001,-;part one":                       -1,
		"30,12,5000001,-;part one":                    -1, // a daemon's
		"4,12,5000001,-,caller=T7;part one":           -1,
		"4,12,5000001,-,ncfrag=0/20;part":             -1,
		"[    5.000001] part one":                     15,
		"[12345.678901] ? part+0x1/0x2 [ext4]":        15,
		"[    5.000001][  T204] part one":             23,
		"[    5.000001] box kernel: part one":         27,
		"[    5.000001] part one ":                    -1,
		"[    5.000001] part one**":                   -1,
		"[    5.000001] part &gt; one":                -1,
		"[    5.000001] part \\x1b one":               -1,
		"[    5.000001] part \x1b[0m one":             -1,
		"[    5.000001 <    0.000001>] part one":      -1,
		"[1741320669.123] kern.warn kernel: part one": -1, // since 1970
		"[Fri Mar  7 12:00:09 2025] part one":         -1,
		`4,12,5000001,-;{"message":"part"}`:           -1,
		`[    5.000001] app: [{"message":"part"}]`:    -1,
		"part one": -1,
		"Mar  7 12:00:09 box kernel: [    5.000001] part one": -1,
	} {
		x := prefixes{o: &Options{Location: time.UTC, Year: 2025}, g: words{}}
		var l Line
		ok := x.printed(&l, []byte(raw))
		if ok != (at >= 0) {
			t.Errorf("%q: %v", raw, ok)
		}
		if want, kernel := x.line([]byte(raw)); ok && (!kernel || !reflect.DeepEqual(l, want) || string(l.Text) != raw[at:]) {
			t.Errorf("%q: %+v, want %+v", raw, l, want)
		}
	}
}

// TestRelevance: what cannot matter is passed over, and counted; parts before an end are
// looked up.
func TestRelevance(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "[%5d.000000] usb %d\n", i, i)
	}
	b.WriteString("[ 1000.000001] part one\n[ 1000.000002] usb x\n[ 1000.000003] Killed process 5 (a) 3kB\n")
	to, st := read(t, strings.NewReader(b.String()), false)
	var got []string
	for _, l := range to.lines[startLines:] {
		got = append(got, fmt.Sprintf("%d %s", l.Number, l.Text))
	}
	if want := "1001 part one, 1002 usb x, 1003 Killed process 5 (a) 3kB"; strings.Join(got, ", ") != want || st.Lines != 1003 {
		t.Errorf("%v, %+v", got, st)
	}
}

// TestMarks: each of the words is found wherever it stands, and nothing else.
func TestMarks(t *testing.T) {
	for text, want := range map[string]bool{
		"x invoked oom-killer: y": true, "oom": true, "Out of memory": true, "Out of Memory": true, "an OOM victim ": true, "Killed": true, "Kernel panic": true,
		"room": true, "om": false, "OO": false, "Out o": false, "Kil": false, "Kern": false, "": false, "m": false, "mm mm": false, "OOM": false,
	} {
		if MayMatter([]byte(text)) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// TestTimes of entries: dates, and seconds or parts of them since 1970.
func TestTimes(t *testing.T) {
	for text, want := range map[string]string{
		"1741348809": "2025-03-07T12:00:09Z", "1741348809.25": "2025-03-07T12:00:09.25Z", "1741348809250": "2025-03-07T12:00:09.25Z",
		"1741348809250000": "2025-03-07T12:00:09.25Z", "1741348809250000000": "2025-03-07T12:00:09.25Z", "2025-03-07T12:00:09Z": "2025-03-07T12:00:09Z",
		"99999999": "0001-01-01T00:00:00Z", "": "0001-01-01T00:00:00Z", "x": "0001-01-01T00:00:00Z", "1741348809.x": "0001-01-01T00:00:00Z",
		"1741348809250.5": "0001-01-01T00:00:00Z", "1741348809.1234567890": "0001-01-01T00:00:00Z",
	} {
		if got := timeOf(text, time.UTC).UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// TestCells are rows of tables.
func TestCells(t *testing.T) {
	for row, want := range map[string]string{
		`a,b`: `a|b`, `"a","b"`: `a|b`, `"a ""b""",c`: `a "b"|c`, `"a,b",c`: `a,b|c`, `a,`: `a|`, ``: ``, `"a`: `a`, `"a"x,b`: `a|b`, `,,`: `||`,
	} {
		if got := strings.Join(cells([]byte(row), ','), "|"); got != want {
			t.Errorf("%s: %s", row, got)
		}
	}
	if n := len(cells(bytes.Repeat([]byte(","), 1000), ',')); n > maxColumnNames+1 {
		t.Errorf("%d cells", n)
	}
}
