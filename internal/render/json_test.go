package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// checkJSON holds what is true of every line: one object, whole, that a
// terminal shows as it is and that reads back.
func checkJSON(t *testing.T, out []byte) {
	t.Helper()
	line, ok := bytes.CutSuffix(out, []byte("\n"))
	if !ok || bytes.ContainsRune(line, '\n') {
		t.Errorf("not one line: %q", out)
	}
	if !utf8.Valid(line) || bytes.ContainsFunc(line, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf) }) {
		t.Errorf("control characters or no UTF-8: %q", line)
	}
	var back oom.Record
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&back); err != nil {
		t.Fatalf("%v: %q", err, line)
	}
	var again oom.Record
	if err := json.Unmarshal(writeJSON(t, &back), &again); err != nil || !reflect.DeepEqual(&again, &back) {
		t.Errorf("read back and written again: %v: %q", err, line)
	}
}

func writeJSON(t *testing.T, rec *oom.Record) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := NewJSON(&out).Write(rec); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestJSONEscapes(t *testing.T) {
	for _, tc := range []struct{ name, comm, want string }{
		{"plain", "java", `"java"`},
		{"quotes", `a"b\c`, `"a\"b\\c"`},
		{"newline and escape", "a\n\x1b[31m", `"a\n\u001b[31m"`},
		{"DEL", "a\x7fb", `"a\u007fb"`},
		{"C1", "a\u009b31m", `"a\u009b31m"`},
		{"bidi", "a\u202eb", `"a\u202eb"`},
		{"tag beyond 16 bits", "a\U000e0041", `"a\udb40\udc41"`},
		{"letters stay", "größe 箱 😀", `"größe 箱 😀"`},
		{"no UTF-8", "a\xff\xc3", `"a\ufffd\ufffd"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := writeJSON(t, &oom.Record{Victim: &oom.Victim{Comm: tc.comm}})
			checkJSON(t, out)
			if !bytes.Contains(out, []byte(`"comm":`+tc.want)) {
				t.Errorf("%s\nhas not %s", out, tc.want)
			}
		})
	}
}

// shortWriter takes n bytes of each Write and counts the Writes.
type shortWriter struct {
	n, writes int
	err       error
}

func (w *shortWriter) Write(b []byte) (int, error) {
	w.writes++
	return min(w.n, len(b)), w.err
}

// TestOneWrite shows that a record is one Write and that a part of one is an
// error.
func TestOneWrite(t *testing.T) {
	failed := errors.New("no space")
	for _, tc := range []struct {
		name string
		w    shortWriter
		want error
	}{
		{"whole", shortWriter{n: 1 << 20}, nil},
		{"short", shortWriter{n: 3}, io.ErrShortWrite},
		{"failed", shortWriter{n: 0, err: failed}, failed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := records()[0].rec
			w := tc.w
			if err := NewJSON(&w).Write(rec); !errors.Is(err, tc.want) || w.writes != 1 {
				t.Errorf("JSON: %d writes, error %v, want %v", w.writes, err, tc.want)
			}
			w = tc.w
			if err := NewText(&w, TextOptions{Wide: true}).Write(rec); !errors.Is(err, tc.want) || w.writes != 1 {
				t.Errorf("text: %d writes, error %v, want %v", w.writes, err, tc.want)
			}
		})
	}
}

// hostile puts the fuzzer's text and number wherever a record has such.
func hostile(s string, n uint64) *oom.Record {
	size := oom.Some(n)
	pid := oom.Some(int32(n))
	points := oom.Some(int64(n))
	owner := oom.Owner{
		Unit: s, Container: &oom.Container{ID: s, Name: s, Image: s, Runtime: s},
		Pod: &oom.Pod{Namespace: s, Name: s, UID: s, Container: s, Labels: map[string]string{s: s}},
	}
	return &oom.Record{
		Schema: oom.Schema, ID: s, Kind: oom.KindKill, UptimeNS: size, Node: s, BootID: s, Kernel: s, Source: oom.Source(s),
		Hooks: []string{s}, Incident: s, Scope: oom.Scope(s), Sampled: []string{s, s}, DomainBytes: size, Lost: size,
		Victim: &oom.Victim{
			PID: pid, TID: pid, Comm: s, Cmdline: s, Exe: s, Cgroup: s, Owner: owner, BadnessPages: points,
			TotalVMBytes: size, RSSBytes: size, SwapBytes: size, PgtablesBytes: size,
			CgroupLimits: []oom.CgroupLimit{{Cgroup: s, UsageBytes: size, MaxBytes: size}},
		},
		Trigger: &oom.Trigger{
			PID: pid, Comm: s, Cmdline: s, Cgroup: s, Owner: owner, GFPMask: oom.Some(uint32(n)), GFPFlags: []string{s},
			KernelStack: []string{s, s}, UserStack: []string{s}, Nodemask: s,
		},
		Limit: &oom.Limit{
			Cgroup: s, Level: oom.Level(s), UsageBytes: size, MaxBytes: oom.Some(n / 2), SwapUsageBytes: size,
			Stat: oom.Stats{{Name: s, Bytes: n}},
		},
		Memory: &oom.Memory{
			TotalBytes: size, FreeBytes: size, SwapDevices: []oom.SwapDevice{{Name: s, Type: s, SizeBytes: size}},
			Zones: []oom.Zone{{Node: pid, Zone: s, FreeBytes: size, MinBytes: size, FreeBlocks: []uint64{n}}},
		},
		Candidates: []oom.Candidate{
			{PID: pid, Comm: s, RSSBytes: size, SwapBytes: size, OOMScoreAdj: pid, BadnessPages: points, Cgroup: s},
			{PID: pid, Comm: s, BadnessPages: oom.Some(int64(n >> 1))},
		},
		CandidatesTotal: size,
		Why:             &oom.Why{Verdict: s, Summary: s, Reasons: []oom.Reason{{Code: s, Text: s}}},
		Exit: &oom.Exit{
			AfterNS: size, Reaped: oom.Some(n%2 == 0), ReaperGaveUp: oom.Some(true),
			SharedMM: []oom.SharedProcess{{PID: pid, Comm: s}},
		},
	}
}

// hostileTexts are names and arguments as nobody wants them.
func hostileTexts() []string {
	return []string{
		"", "java", "a\nb\r\tc", "\x1b[2J\x1b]0;x\a", "a\xff\xfe\x80", "\u202eexe.txt\u2066", "\u009b31m\x7f", "\\x1b", "箱箱箱箱⚡⚡⚡",
		"e\u0301\u0301\u0301", "\u2028\u2029\ufeff\u00a0", "\U000e0041", strings.Repeat("very long ", 400), strings.Repeat("x", 5000),
		strings.Repeat("\xff", 300), `</script>"'&`, strings.Repeat("n", 255), strings.Repeat("/\x1b[2J\"\n", 60), "a\x00b", "\xed\xa0\x80", `\ud800`,
	}
}

func hostileSeeds(f *testing.F) {
	for i, s := range hostileTexts() {
		f.Add(s, uint64(1)<<(3*i))
	}
	f.Add("overflow", ^uint64(0))
	f.Add("overflow", ^uint64(0)>>1)
}

func FuzzJSON(f *testing.F) {
	hostileSeeds(f)
	f.Fuzz(func(t *testing.T, s string, n uint64) {
		checkJSON(t, writeJSON(t, hostile(s, n)))
	})
}

// TestTimeOutOfRange: such a time has no form in RFC 3339.
func TestTimeOutOfRange(t *testing.T) {
	rec := &oom.Record{ID: "x", Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err := NewJSON(io.Discard).Write(rec); err == nil {
		t.Error("no error")
	}
}

func BenchmarkJSON(b *testing.B) {
	rec, j := cgroupKill(), NewJSON(io.Discard)
	b.ReportAllocs()
	for b.Loop() {
		if err := j.Write(rec); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEncoder: each field, set or not, is written as encoding/json writes it.
func TestEncoder(t *testing.T) {
	check := func(t *testing.T, rec *oom.Record) {
		t.Helper()
		var want bytes.Buffer
		if err := json.NewEncoder(&want).Encode(rec); err != nil {
			t.Fatal(err)
		}
		if got := writeJSON(t, rec); !bytes.Equal(got, escapeControls(want.Bytes())) {
			t.Errorf("%s\nencoding/json: %s", got, want.Bytes())
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, text := range hostileTexts() {
		f := filler{random: random, text: text, number: random.Uint64(), full: true}
		check(t, f.record())
		for f.full = false; ; {
			if check(t, f.record()); random.IntN(8) == 0 {
				break
			}
		}
	}
	check(t, &oom.Record{})
}
