package render

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/oom"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// checkText holds what is true of every output for people: whole lines of at
// most so many columns, and nothing in them that a terminal would act on.
func checkText(t *testing.T, out string) {
	t.Helper()
	checkWidth(t, out, Columns)
}

func checkWidth(t *testing.T, out string, columns int) {
	t.Helper()
	if out != "" && !strings.HasSuffix(out, "\n") {
		t.Errorf("no whole lines: %q", out)
	}
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if n := width(line); n > columns {
			t.Errorf("%d columns: %s", n, line)
		}
		if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }) {
			t.Errorf("control characters or no UTF-8: %q", line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("blanks at the end: %q", line)
		}
	}
}

func writeText(t *testing.T, opts TextOptions, recs ...*oom.Record) string {
	t.Helper()
	if opts.Location == nil {
		opts.Location = time.UTC
	}
	var out strings.Builder
	text := NewText(&out, opts)
	for _, r := range recs {
		if err := text.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestGolden(t *testing.T) {
	for _, tc := range []struct {
		name  string
		write func(*testing.T, *oom.Record) string
	}{
		{"text", func(t *testing.T, r *oom.Record) string {
			out := writeText(t, TextOptions{}, r)
			checkText(t, out)
			return out
		}},
		{"wide", func(t *testing.T, r *oom.Record) string {
			out := writeText(t, TextOptions{Wide: true}, r)
			checkText(t, out)
			return out
		}},
		{"json", func(t *testing.T, r *oom.Record) string {
			out := writeJSON(t, r)
			checkJSON(t, out)
			return string(out)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			for _, r := range records() {
				fmt.Fprintf(&out, "# %s\n%s\n", r.name, tc.write(t, r.rec))
			}
			golden(t, filepath.Join("testdata", tc.name+".golden"), out.Bytes())
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs; look at it with go test -update and git diff", path)
	}
}

// TestUnknownIsNoNumber shows that nothing is made up for what is not known.
func TestUnknownIsNoNumber(t *testing.T) {
	for _, rec := range []*oom.Record{{Kind: oom.KindKill}, empty(), {Kind: oom.KindLost}} {
		out := writeText(t, TextOptions{Wide: true}, rec)
		if i := strings.IndexAny(out, "0123456789"); i >= 0 || strings.Contains(out, "no limit") {
			t.Errorf("claims something:\n%s", out)
		}
	}
}

// TestPartOfRSS: of a kill's line that is cut behind a size, what is known is the least.
func TestPartOfRSS(t *testing.T) {
	rec := &oom.Record{Kind: oom.KindKill, Victim: &oom.Victim{Comm: "bun", AnonRSSBytes: oom.Some(uint64(5 << 30))}}
	if out := writeText(t, TextOptions{}, rec); !strings.Contains(out, " 5.0G+ ") {
		t.Errorf("not the least that is known:\n%s", out)
	}
}

// TestPIDIsWhole shows that a number is never cut: it would be another one.
func TestPIDIsWhole(t *testing.T) {
	for _, kind := range []oom.Kind{oom.KindKill, oom.KindAlreadyExiting, oom.KindExit} {
		rec := exit(strings.Repeat("\xff", 15), 1)
		rec.Kind = kind
		rec.Victim.PID = oom.Some(int32(4194304))
		rec.Trigger = &oom.Trigger{Comm: "kube-controller", PID: oom.Some(int32(4194303))}
		out := writeText(t, TextOptions{}, rec)
		if !strings.Contains(out, " 4194304 ") || (kind != oom.KindExit && !strings.Contains(out, " 4194303 ")) {
			t.Errorf("%s: a process id is cut:\n%s", kind, out)
		}
	}
}

func TestTextOptions(t *testing.T) {
	rec := cgroupKill()
	plain := writeText(t, TextOptions{Wide: true}, rec, rec)
	if n := strings.Count(plain, "VICTIM"); n != 1 {
		t.Errorf("%d headers", n)
	}
	if strings.Contains(plain, "\x1b") {
		t.Error("colour without being asked")
	}
	color := writeText(t, TextOptions{Wide: true, Color: true}, rec, rec)
	if !strings.Contains(color, bold) || !strings.Contains(color, yellow) {
		t.Errorf("no colour: %q", color)
	}
	if stripped := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(color, ""); stripped != plain {
		t.Errorf("colour changes the text:\n%s", stripped)
	}
	if out := writeText(t, TextOptions{Wide: true, NoWhy: true}, rec); strings.Contains(out, "why") || strings.Contains(out, "limit_full") {
		t.Errorf("explained without being asked:\n%s", out)
	}
	east := writeText(t, TextOptions{Location: time.FixedZone("east", 2*3600)}, rec)
	if !strings.Contains(east, "\n14:42:32 ") {
		t.Errorf("not the zone asked for:\n%s", east)
	}
	if NewText(nil, TextOptions{}).opts.Location != time.Local {
		t.Error("the zero options are not in local time")
	}
	if out := writeText(t, TextOptions{}, &oom.Record{Kind: oom.KindExit}); out != "" {
		t.Errorf("an exit without a victim: %q", out)
	}
}

func TestShort(t *testing.T) {
	for _, tc := range []struct {
		bytes uint64
		want  string
	}{
		{0, "0"}, {1, "1"}, {1023, "1023"}, {kib, "1K"}, {1535, "1K"}, {1537, "2K"}, {912 * kib, "912K"}, {999 * kib, "999K"},
		{1000 * kib, "1M"}, {mib, "1M"}, {251 * mib, "251M"}, {999*mib + 400*kib, "999M"}, {1023 * mib, "1.0G"}, {gib, "1.0G"},
		{1782579200, "1.7G"}, {9*gib + 900*mib, "9.9G"}, {10 * gib, "10G"}, {24 * gib, "24G"}, {1000 * gib, "1.0T"},
		{1 << 50, "1.0P"}, {1 << 60, "1.0E"}, {^uint64(0), "16E"},
	} {
		if got := short(tc.bytes); got != tc.want {
			t.Errorf("short(%d) = %q, want %q", tc.bytes, got, tc.want)
		}
	}
	for shift := range 64 {
		for _, n := range []uint64{1 << shift, 1<<shift - 1, 999 << shift, 1001 << shift} {
			if got := short(n); len(got) > 5 {
				t.Errorf("short(%d) = %q: more than five columns", n, got)
			}
		}
	}
}

func TestDuration(t *testing.T) {
	for _, tc := range []struct {
		ns   uint64
		want string
	}{
		{0, "0 µs"}, {999, "0 µs"}, {38e3, "38 µs"}, {38e6, "38 ms"}, {1.2e9, "1.2 s"}, {125e9, "2m5s"}, {3600e9, "1h0m0s"},
		{^uint64(0), "2562047h47m16.854775807s"},
	} {
		if got := duration(tc.ns); got != tc.want {
			t.Errorf("duration(%d) = %q, want %q", tc.ns, got, tc.want)
		}
	}
}

func TestClean(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""}, {"java -jar", "java -jar"}, {"a\nb\t", `a\x0ab\x09`}, {"\x1b[31m", `\x1b[31m`}, {"\x7f", `\x7f`}, {"\xff\xc3", `\xff\xc3`},
		{`a\x1b`, `a\\x1b`}, {"\u009b", `\u009b`}, {"\u202e", `\u202e`}, {"\u2028", `\u2028`}, {"\u00a0", `\u00a0`}, {"\U000e0041", `\ue0041`},
		{"\ufffd", "\ufffd"}, {"größe 箱", "größe 箱"},
		{"e\u0301 \u0338a", `e` + "\u0301" + ` \u0338a`}, {"\u0301a", `\u0301a`}, {"\n\u0338", `\x0a\u0338`}, {"\\\u0338", `\\\u0338`},
		{"a" + strings.Repeat("\u0336", 6), "a" + strings.Repeat("\u0336", 4) + `\u0336\u0336`}, {"ส\u0e34\u0e49", "ส\u0e34\u0e49"},
		{"a\u3164\u115f\uffa0\u2800", `a\u3164\u115f\uffa0\u2800`}, {"❤\ufe0f\u034f\U000e0100", `❤\ufe0f\u034f\ue0100`},
	} {
		if got := clean(tc.in, false); got != tc.want {
			t.Errorf("clean(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

// TestMessage: a message is a line, and nothing in it is obeyed.
func TestMessage(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""}, {"open /a b: no such file\n", "open /a b: no such file"}, {"two\nlines\tand more\n\n", "two lines and more"},
		{"\x1b[31m\x7f\r", `\x1b[31m\x7f\x0d`}, {"\u009b2J", `\u009b2J`}, {"\x9b2J", `\x9b2J`}, {"\u202egnp.exe", `\u202egnp.exe`},
		{`quoted "\x1b" and \;`, `quoted "\x1b" and \;`}, {"größe 箱", "größe 箱"},
	} {
		if got := Message(tc.in); got != tc.want {
			t.Errorf("Message(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestWidthAndCuts(t *testing.T) {
	for _, tc := range []struct {
		in          string
		width       int
		left, right string // in five columns
	}{
		{"", 0, "", ""}, {"abcde", 5, "abcde", "abcde"}, {"abcdef", 6, "…cdef", "abcd…"}, {"箱箱", 4, "箱箱", "箱箱"}, {"箱箱箱", 6, "…箱箱", "箱箱…"},
		{"a箱箱箱", 7, "…箱箱", "a箱…"}, {"⚡✅⚡", 6, "…✅⚡", "⚡✅…"}, {"e\u0301", 1, "e\u0301", "e\u0301"}, {"✓☎♥", 3, "✓☎♥", "✓☎♥"},
		{"😀🚀🦀", 6, "…🚀🦀", "😀🚀…"}, {"가\uff21", 4, "가\uff21", "가\uff21"},
		{"箱\u0301abcd", 6, "…abcd", "箱\u0301ab…"}, {"abcde\u0301f", 6, "…cde\u0301f", "abcd…"}, {"abc箱\u0301", 5, "abc箱\u0301", "abc箱\u0301"},
	} {
		if got := width(tc.in); got != tc.width {
			t.Errorf("width(%q) = %d, want %d", tc.in, got, tc.width)
		}
		if got := cutLeft(tc.in, 5); got != tc.left {
			t.Errorf("cutLeft(%q) = %q, want %q", tc.in, got, tc.left)
		}
		if got := cutRight(tc.in, 5); got != tc.right {
			t.Errorf("cutRight(%q) = %q, want %q", tc.in, got, tc.right)
		}
	}
}

func TestBar(t *testing.T) {
	for _, tc := range []struct {
		points, most int64
		want         int
	}{
		{0, 0, 0}, {0, 100, 0}, {-5, 100, 0}, {50, 100, barWidth / 2}, {100, 100, barWidth}, {200, 100, barWidth},
		{1 << 62, 1<<63 - 1, barWidth / 2}, {1<<63 - 1, 1<<63 - 1, barWidth}, {5, -1, 0},
	} {
		if got := utf8.RuneCountInString(new(Text).bar(tc.points, tc.most)); got != tc.want {
			t.Errorf("bar(%d, %d) is %d long, want %d", tc.points, tc.most, got, tc.want)
		}
	}
}

// TestWidth: whatever the terminal's width, no line is longer, and wide leaves nothing
// out.
func TestWidth(t *testing.T) {
	letters := func(s string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) || r == '…' || r == '-' {
				return -1
			}
			return r
		}, s)
	}
	for _, r := range records() {
		for _, n := range []int{1, minColumns, 60, 80, 97, 100, 119, 120, 200} {
			out := writeText(t, TextOptions{Wide: true, Width: n}, r.rec)
			checkWidth(t, out, max(n, minColumns))
			if r.rec.Victim == nil || r.rec.Victim.Cmdline == "" {
				continue
			}
			if want := letters(clean(r.rec.Victim.Cmdline, false)); !strings.Contains(letters(out), want) {
				t.Errorf("%s at %d columns: the command line is not whole:\n%s", r.name, n, out)
			}
		}
	}
}

// TestASCII: where the locale is not UTF-8, nothing is written that is not ASCII: the second byte
// of U+029B begins a terminal's command there.
func TestASCII(t *testing.T) {
	all := []*oom.Record{grown(), {Kind: oom.KindKill, Victim: &oom.Victim{Comm: "a\u029b2J", Cmdline: "箱 e\u0301", Cgroup: strings.Repeat("/長い", 40)}}}
	for _, r := range records() {
		all = append(all, r.rec)
	}
	for _, rec := range all {
		out := writeText(t, TextOptions{Wide: true, ASCII: true}, rec)
		if strings.ContainsFunc(out, func(r rune) bool { return r > 126 }) {
			t.Errorf("not ASCII:\n%s", out)
		}
		checkWidth(t, out, Columns)
	}
}

// TestASCIINames: names that differ do so without UTF-8 too.
func TestASCIINames(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"a", "a\u0301", "a\u0300", "\u00e1", "\u00e0", "\u7bb1", "\u9577", "\U0001f600", "\u200b", "?", "\ufffd", "\xff", "a\u034f"} {
		rec := &oom.Record{Kind: oom.KindKill, ID: "1", Victim: &oom.Victim{PID: oom.Some(int32(7)), Comm: name, Cgroup: "/" + name, Cmdline: name}}
		var list bytes.Buffer
		if err := NewList(&list, ListOptions{ASCII: true, Location: time.UTC}).Write(rec); err != nil {
			t.Fatal(err)
		}
		for _, out := range []string{list.String(), writeText(t, TextOptions{ASCII: true}, rec), writeText(t, TextOptions{Wide: true, ASCII: true}, rec)} {
			if other, ok := seen[out]; ok {
				t.Errorf("%q looks like %q:\n%s", name, other, out)
			}
			seen[out] = name
		}
	}
}

// TestCollateral: a few of the processes that die with a victim have a line.
func TestCollateral(t *testing.T) {
	kill := cgroupKill()
	recs := []*oom.Record{kill}
	for i := range 20 {
		r := base("w", at(12, 42, 33))
		r.Kind, r.Cause, r.Incident = oom.KindSigkill, oom.CausePIDNamespace, kill.Incident
		r.Victim = &oom.Victim{PID: oom.Some(int32(100 + i)), Comm: "worker"}
		recs = append(recs, r)
	}
	out := writeText(t, TextOptions{NoWhy: true}, recs...)
	checkText(t, out)
	if n := strings.Count(out, "with java 23143: worker "); n != maxCollateral {
		t.Errorf("%d lines of processes that died with it:\n%s", n, out)
	}
	if n := strings.Count(out, "more of them"); n != 1 {
		t.Errorf("the rest is mentioned %d times:\n%s", n, out)
	}
	out = writeText(t, TextOptions{NoWhy: true}, recs[1])
	if !strings.Contains(out, "with an OOM kill: worker 100 (in its pid namespace)") {
		t.Errorf("of an incident that was not seen:\n%s", out)
	}
}

func TestSpark(t *testing.T) {
	text := NewText(nil, TextOptions{})
	for _, tc := range []struct {
		name   string
		points []oom.HistoryPoint
		want   string
	}{
		{"flat", points(3600, 100, 0, 100), "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  1h"},
		{"a line", points(3600, 0, 0, 150), "▁▁▂▂▃▃▄▄▅▅▆▆▇▇██  1h"},
		{"a burst, drawn large", points(3600, 100, 2, 100, 0, 400), "▁▁▁▁▁▁▁▁▁▁▁▁▁▃▆█  10s"},
		{"all at once", points(0, 1, 0, 2), "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  0ms"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			span := window(tc.points)
			if got := text.spark(tc.points, span) + "  " + spanWord(span); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// points are pairs of seconds ago and MiB.
func points(v ...uint64) []oom.HistoryPoint {
	var out []oom.HistoryPoint
	for i := 0; i < len(v); i += 2 {
		out = append(out, oom.HistoryPoint{AgoNS: v[i] * 1e9, Bytes: v[i+1] * mib})
	}
	return out
}

// TestHeaderComesLate: a header that could not be written is written with the
// next record.
func TestHeaderComesLate(t *testing.T) {
	w := &once{err: io.ErrShortWrite}
	text := NewText(w, TextOptions{NoWhy: true})
	rec := &oom.Record{Kind: oom.KindKill}
	if err := text.Write(rec); !errors.Is(err, w.err) {
		t.Fatal(err)
	}
	for range 2 {
		if err := text.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(w.out.String(), "VICTIM"); n != 1 || !strings.HasPrefix(w.out.String(), "TIME") {
		t.Errorf("%d headers in %q", n, w.out.String())
	}
}

// once fails the first time.
type once struct {
	err   error
	tried bool
	out   strings.Builder
}

func (o *once) Write(p []byte) (int, error) {
	if !o.tried {
		o.tried = true
		return 0, o.err
	}
	return o.out.Write(p)
}

func FuzzText(f *testing.F) {
	hostileSeeds(f)
	f.Fuzz(func(t *testing.T, s string, n uint64) {
		rec := hostile(s, n)
		for _, kind := range []oom.Kind{oom.KindKill, oom.KindAlreadyExiting, oom.KindNoVictim, oom.KindExit, oom.KindLost, oom.KindOOM, oom.KindPanic, oom.KindSigkill, oom.Kind(s)} {
			rec.Kind = kind
			checkText(t, writeText(t, TextOptions{Wide: true}, rec))
		}
		rec.Kind, rec.Victim.Pod, rec.Victim.Container.Name = oom.KindKill, nil, ""
		checkText(t, writeText(t, TextOptions{}, rec))
		rec.Victim.Container = nil
		checkText(t, writeText(t, TextOptions{}, rec))
	})
}

// TestHolds: who holds the memory is in the order of the numbers shown, with the victim where
// the table of tasks has lost its row.
func TestHolds(t *testing.T) {
	named := func(comm string, usage, swap uint64) oom.Holder {
		return oom.Holder{Comm: comm, UsageBytes: some(usage), SwapBytes: some(swap)}
	}
	for name, c := range map[string]struct {
		holders []oom.Holder
		comm    string
		want    string
	}{
		"the victim is lost":    {[]oom.Holder{named("b", 2*mib, 0)}, "hog", "holds: hog 300M · b 2M"},
		"the victim is among":   {[]oom.Holder{named("hog", 299*mib, 0), named("b", 2*mib, 0)}, "hog", "holds: hog 299M · b 2M"},
		"no name of the victim": {[]oom.Holder{named("b", 2*mib, 0)}, "", "holds: b 2M"},
		"a whole report":        {[]oom.Holder{named("b", 2*mib, 0)}, "whole", "holds: b 2M"},
		"cgroups":               {[]oom.Holder{{Cgroup: "/b", UsageBytes: some(2 * mib)}}, "hog", "holds: /b 2M"},
		"more in swap":          {[]oom.Holder{named("hog", 16*mib, 34*mib), named("b", 35*mib, 3*mib)}, "hog", "holds: b 35M · hog 16M"},
		"the fifth is lost": {[]oom.Holder{named("a", 5*mib, 0), named("b", 4*mib, 0), named("c", 3*mib, 0), named("d", 2*mib, 0)}, "hog",
			"holds: hog 300M · a 5M · b 4M · c 3M · and 1 more"},
	} {
		r := systemKill()
		r.Victim.Comm, r.Victim.RSSBytes, r.Incomplete = c.comm, some(300*mib), oom.Some(c.comm != "whole")
		r.Holders, r.HoldersTotal = c.holders, some(uint64(len(c.holders)))
		out := strings.Join(strings.Fields(writeText(t, TextOptions{Width: 120}, r)), " ")
		if !strings.HasSuffix(out, c.want) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// TestHeldTwice: a sum of processes that is more than there is says why, and a cgroup's, or a
// sum within bounds, says nothing.
func TestHeldTwice(t *testing.T) {
	tasks := func(scope oom.Scope, usage ...uint64) *oom.Record {
		r := systemKill()
		r.Scope, r.Limit, r.Memory = scope, &oom.Limit{MaxBytes: some(256 * mib)}, &oom.Memory{TotalBytes: some(256 * mib)}
		for _, u := range usage {
			r.Holders = append(r.Holders, oom.Holder{Comm: "a", UsageBytes: some(u)})
		}
		return r
	}
	cgroups := tasks(oom.ScopeSystem, 200*mib, 100*mib)
	for i := range cgroups.Holders {
		cgroups.Holders[i] = oom.Holder{Cgroup: "/a", UsageBytes: cgroups.Holders[i].UsageBytes}
	}
	for name, c := range map[string]struct {
		rec  *oom.Record
		want string
	}{
		"above the limit":   {tasks(oom.ScopeCgroup, 200*mib, 100*mib), "add up to 300M, more than the limit"},
		"above the machine": {tasks(oom.ScopeSystem, 200*mib, 100*mib), "add up to 300M, more than the machine's memory"},
		"just the limit":    {tasks(oom.ScopeCgroup, 200*mib, 58*mib), ""},
		"one cpuset's":      {tasks(oom.ScopeCpuset, 200*mib, 100*mib), ""},
		"cgroups":           {cgroups, ""},
	} {
		out := strings.Join(strings.Fields(writeText(t, TextOptions{Width: 120}, c.rec)), " ")
		if strings.Contains(out, "add up to") != (c.want != "") || !strings.Contains(out, c.want) {
			t.Errorf("%s: %s", name, out)
		}
	}
}
