package records

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const one = `{"schema":1,"id":"a1","kind":"kill","source":"bpf","victim":{"pid":7,"comm":"java"}}`

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string
	return string(b)
}

func readAll(t testing.TB, text string) ([]*oom.Record, Stats) {
	t.Helper()
	r := NewReader(strings.NewReader(text))
	var out []*oom.Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, r.Stats()
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
	}
}

// TestWrappers: each way in which a runtime shows a program's lines gives the record.
func TestWrappers(t *testing.T) {
	half := len(one) / 2
	for _, tt := range []struct{ name, text, messages string }{
		{"as written", one, ""},
		{"behind blank lines", "\n \n" + one, "\n"},
		{"CRI", "2026-11-26T03:00:00.123456789Z stdout F " + one, "2026-11-26T03:00:00.1Z stderr F oomtrace: metrics on x\n2026-11-26T03:00:00.1Z stderr F panic: x\n"},
		{"CRI, split", "2026-11-26T03:00:00.1Z stdout P " + one[:half] + "\n2026-11-26T03:00:00.1Z stdout F " + one[half:], "2026-11-26T03:00:00.1Z stderr F oomtrace: metrics on x\n2026-11-26T03:00:00.1Z stderr F panic: x\n"},
		{"CRI, split with an empty end", "2026-11-26T03:00:00.1Z stdout P " + one + "\n2026-11-26T03:00:00.1Z stdout F ", "2026-11-26T03:00:00.1Z stderr F oomtrace: metrics on x\n2026-11-26T03:00:00.1Z stderr F panic: x\n"},
		{"docker", `{"log":` + quoted(one+"\n") + `,"stream":"stdout","time":"2026-11-26T03:00:00.1Z"}`, `{"log":"oomtrace: metrics on x\n","stream":"stderr"}` + "\n" + `{"log":"goroutine 1\n","stream":"stderr"}` + "\n"},
		{"docker, split", `{"log":` + quoted(one[:half]) + `,"stream":"stdout"}` + "\n" + `{"log":` + quoted(one[half:]+"\n") + `,"stream":"stdout"}`, `{"log":"oomtrace: metrics on x\n","stream":"stderr"}` + "\n" + `{"log":"goroutine 1\n","stream":"stderr"}` + "\n"},
		{"kubectl --prefix", "[pod/oomtrace-x2x7k/oomtrace] " + one, "[pod/oomtrace-x2x7k/oomtrace] oomtrace: metrics on x\n[pod/oomtrace-x2x7k/oomtrace] hint: y\n"},
		{"kubectl --prefix --timestamps", "[pod/oomtrace-x2x7k/oomtrace] 2026-11-26T03:00:00.123456789Z " + one, "[pod/oomtrace-x2x7k/oomtrace] 2026-11-26T03:00:00.1Z oomtrace: x\n"},
		{"kubectl --timestamps", "2026-11-26T03:00:00.123456789Z " + one, "2026-11-26T03:00:00.1Z oomtrace: x\n"},
		{"docker compose", "oomtrace-1  | " + one, "oomtrace-1  | oomtrace: x\n"},
		{"journalctl", "Nov 26 03:00:00 node-3 oomtrace[811]: " + one, "-- Boot 1f --\nNov 26 03:00:00 node-3 systemd[1]: Started oomtrace.service - x.\nNov 26 03:00:00 node-3 oomtrace[811]: oomtrace: x\n"},
		{"journalctl -o short-iso", "2026-11-26T03:00:00+0100 node-3 oomtrace[811]: " + one, "2026-11-26T03:00:00+0100 node-3 oomtrace[811]: hint: x\n"},
		{"journalctl -o json", `{"_HOSTNAME":"node-3","MESSAGE":` + quoted(one) + `}`, `{"UNIT":"oomtrace.service","MESSAGE":"Started oomtrace.service - x."}` + "\n" + `{"MESSAGE":"oomtrace: x"}` + "\n"},
		{"journalctl -o short-precise", "Nov 26 03:00:00.123456 node-3 oomtrace[811]: " + one, "Nov 26 03:00:00.123456 node-3 systemd[1]: Started oomtrace.service - x.\nNov 26 03:00:00.123456 node-3 oomtrace[811]: oomtrace: x\n"},
		{"journalctl -o short-full", "Thu 2026-11-26 03:00:00 UTC node-3 oomtrace[811]: " + one, "Thu 2026-11-26 03:00:00.1 +0100 node-3 oomtrace[811]: oomtrace: x\n"},
		{"journalctl -o with-unit", "Thu 2026-11-26 03:00:00 UTC node-3 oomtrace.service[811]: " + one, "Thu 2026-11-26 03:00:00 UTC node-3 init.scope[1]: Started oomtrace.service - x.\nThu 2026-11-26 03:00:00 UTC node-3 oomtrace.service[811]: oomtrace: x\n"},
		{"journalctl -o short-unix", "1795662000.123456 node-3 oomtrace[811]: " + one, "1795662000.123456 node-3 oomtrace[811]: oomtrace: x\n"},
		{"journalctl -o short-monotonic", "[  105.123456] node-3 oomtrace[811]: " + one, "[  105.123456] node-3 systemd[1]: Started oomtrace.service - x.\n[  105.123456] node-3 oomtrace[811]: oomtrace: x\n"},
		{"journalctl -o short-delta", "[  105.123456 <    0.000123 >] node-3 oomtrace[811]: " + one, "[  105.123456                ] node-3 oomtrace[811]: oomtrace: x\n"},
		{"a date and a time", "2026-11-26 03:00:00 node-3 oomtrace[811]: " + one, "2026-11-26 03:00:00 node-3 systemd[1]: Started oomtrace.service - x.\n2026-11-26 03:00:00 node-3 oomtrace[811]: oomtrace: x\n"},
		{"a date and a precise time", "2026-11-26 03:00:00.123456+01:00 node-3 oomtrace[811]: " + one, "2026-11-26 03:00:00,123 +0100 node-3 oomtrace[811]: oomtrace: x\n"},
		{"journalctl -o short-iso-precise", "2026-11-26T03:00:00.123456+01:00 node-3 oomtrace[811]: " + one, "2026-11-26T03:00:00.123456+0100 node-3 oomtrace[811]: hint: x\n"},
		{"journalctl in color", "Nov 26 03:00:00 node-3 oomtrace[811]: \x1b[0;1;39m" + one + "\x1b[0m", "\x1b[0;38;5;245mNov 26 03:00:00 node-3 oomtrace[811]: oomtrace: x\x1b[0m\n"},
		{"a priority", "<14>Nov 26 03:00:00 node-3 oomtrace[811]: " + one, "<11>Nov 26 03:00:00 node-3 oomtrace[811]: oomtrace: x\n"},
		{"a priority, no host", "<14>Nov 26 03:00:00 oomtrace[811]: " + one, "<11>Nov 26 03:00:00 oomtrace[811]: oomtrace: x\n"},
		{"a priority alone", "<14>oomtrace[811]: " + one, "<11>oomtrace[811]: oomtrace: x\n"},
		{"RFC 5424", "<14>1 2026-11-26T03:00:00.123Z node-3 oomtrace 811 - - " + one, "<11>1 2026-11-26T03:00:00.123Z node-3 oomtrace 811 - - oomtrace: x\n"},
		{"RFC 5424 with data", `<14>1 2026-11-26T03:00:00.123Z node-3 oomtrace - ID47 [x@1 a="b ] c\"" d="e"][y@2 z="1"] ` + "\ufeff" + one, "<11>1 2026-11-26T03:00:00.123Z node-3 systemd 1 - - Started oomtrace.service - x.\n"},
		{"a program's path", "/usr/local/bin/oomtrace[12]: " + one, "/usr/local/bin/oomtrace[12]: oomtrace: x\n"},
		{"a program's path behind syslog", "Nov 26 03:00:00 node-3 /usr/local/bin/oomtrace[12]: " + one, "Nov 26 03:00:00 node-3 /usr/local/bin/oomtrace[12]: oomtrace: x\n"},
		{"docker compose -t", "oomtrace-1  | 2026-11-26T03:00:00.123456789Z " + one, "oomtrace-1  | 2026-11-26T03:00:00.1Z oomtrace: x\n"},
		{"docker compose in color", "\x1b[36moomtrace-1  | \x1b[0m" + one, "\x1b[36moomtrace-1  | \x1b[0moomtrace: x\n"},
		{"docker compose -t in color", "\x1b[36moomtrace-1  | \x1b[0m2026-11-26T03:00:00.1Z " + one, "\x1b[36moomtrace-1  | \x1b[0m2026-11-26T03:00:00.1Z oomtrace: x\n"},
		{"docker-compose in color", "\x1b[36moomtrace_1  |\x1b[0m " + one, "\x1b[36moomtrace_1  |\x1b[0m oomtrace: x\n"},
		{"carriage returns", one + "\r", "oomtrace: x\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, messages := range []string{"", "oomtrace: tracing OOM kills on x\nhint: y\n", tt.messages} {
				text := messages + tt.text
				if is, _ := new(Detector).Detect([]byte(text)); !is && !strings.Contains(tt.name, "split") {
					t.Errorf("not detected behind %q", messages)
				}
				got, stats := readAll(t, text+"\n")
				if len(got) != 1 || got[0].ID != "a1" || got[0].Victim == nil || got[0].Victim.Comm != "java" || stats.Unreadable != 0 {
					t.Errorf("%d records, %+v, behind %q", len(got), stats, messages)
				}
			}
		})
	}
}

// big is a record of more than 16 KiB, with spaces wherever it may be split.
func big(t *testing.T, id string) (*oom.Record, string) {
	t.Helper()
	rec := &oom.Record{Schema: oom.Schema, ID: id, Kind: oom.KindKill, Source: oom.SourceBPF, Victim: &oom.Victim{Comm: "java"}}
	for i := range 300 {
		rec.Candidates = append(rec.Candidates, oom.Candidate{PID: oom.Some(int32(i)), Comm: strings.Repeat(" ", 15), Cgroup: strings.Repeat(" ", 200)})
	}
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) < 48<<10 {
		t.Fatalf("%d bytes", len(text))
	}
	return rec, string(text)
}

// split wraps a line as a runtime does that splits it at a size; between two parts may
// come a line of the other stream.
func split(text string, size int, wrap func(part string, last bool) string, between string) string {
	var b strings.Builder
	for len(text) > size {
		b.WriteString(wrap(text[:size], false) + between)
		text = text[size:]
	}
	b.WriteString(wrap(text, true))
	return b.String()
}

// TestSplit: a record that a runtime has split is put together byte by byte, also where
// messages on stderr come in between.
func TestSplit(t *testing.T) {
	const at = "2026-11-26T03:00:00.123456789Z "
	cri := func(part string, last bool) string {
		return at + "stdout " + map[bool]string{false: "P ", true: "F "}[last] + part + "\n"
	}
	docker := func(part string, last bool) string {
		if last {
			part += "\n"
		}
		return `{"log":` + quoted(part) + `,"stream":"stdout","time":"2026-11-26T03:00:00.1Z"}` + "\n"
	}
	const criMessage, dockerMessage = at + "stderr F oomtrace: 2 records lost\n", `{"log":"oomtrace: 2 records lost\n","stream":"stderr"}` + "\n"
	for _, tt := range []struct {
		name    string
		size    int
		wrap    func(string, bool) string
		message string
	}{
		{"containerd", 16 << 10, cri, criMessage},
		{"CRI-O", 8 << 10, cri, criMessage},
		{"docker", 16 << 10, docker, dockerMessage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for shift := range 4 {
				want, text := big(t, strings.Repeat("a", 1+shift))
				for _, between := range []string{"", tt.message} {
					got, stats := readAll(t, split(text, tt.size, tt.wrap, between)+tt.wrap(one, true))
					if len(got) != 2 || got[1].ID != "a1" || stats.Unreadable > 0 {
						t.Fatalf("%d records, %+v", len(got), stats)
					}
					if got[0].ID != want.ID || !slices.Equal(got[0].Candidates, want.Candidates) {
						t.Fatalf("record %s differs", got[0].ID)
					}
				}
			}
		})
	}
}

// TestDetect: what only quotes a record is none.
func TestDetect(t *testing.T) {
	const message = "oomtrace: tracing OOM kills on x\n"
	for _, tt := range []struct {
		name, text string
		want, more bool
	}{
		{"a record", one, true, false},
		{"cut in the middle", one[:60], true, false},
		{"cut before the schema ends", one[:5], false, true},
		{"empty", "", false, false},
		{"a kernel line", "[ 12.3] Out of memory: Killed process 7 (java)", false, false},
		{"a kernel line with a record in it", "[ 12.3] oom-kill: " + one + "\n", false, false},
		{"another program's JSON", `{"log":"hello\n","time":"x"}` + "\n", false, false},
		{"dmesg's JSON", `{"pri":6,"time":1.2,"msg":"x"}` + "\n", false, false},
		{"a journal entry of the kernel", `{"MESSAGE":"Out of memory","_TRANSPORT":"kernel"}` + "\n", false, false},
		{"schema without an id", `{"schema":1,"kind":"kill"}` + "\n", false, false},
		{"another program behind syslog", "Nov 26 03:00:00 node-3 other[811]: " + one + "\n", false, false},
		{"another program's priority", "<14>Nov 26 03:00:00 node-3 other[811]: " + one + "\n", false, false},
		{"another program in RFC 5424", "<14>1 2026-11-26T03:00:00.1Z node-3 other 811 - - " + one + "\n", false, false},
		{"the kernel quotes it", "Nov 26 03:00:00 kernel: oomtrace[811]: " + one + "\n", false, false},
		{"another program's path", "/opt/oomtrace/other[811]: " + one + "\n", false, false},
		{"a message", message, false, true},
		{"a message and a part", message + "ab", false, true},
		{"a kernel line behind a message", message + "[ 12.3] Out of memory: Killed process 7 (java)\n" + one, false, false},
		{"a record behind a message, and then the kernel", message + one + "\nMar  1 10:00:05 host kernel: [  105.0] Out of memory: Killed process 11 (java)\n", false, false},
		{"a record behind the journal's mark, and then a journal entry of the kernel", "-- Boot 1f --\n" + `{"MESSAGE":` + quoted(one) + "}\n" + `{"MESSAGE":"Out of memory: Killed process 11 (java)","_TRANSPORT":"kernel"}` + "\n", false, false},
		{"a record, and then a line of the kernel about something else", one + "\nMar  1 10:00:05 host kernel: eth0: link up\n", true, false},
		{"a record, and then a journal entry of the kernel about something else", one + "\n" + `{"MESSAGE":"eth0: link up","_TRANSPORT":"kernel"}` + "\n", true, false},
		{"a record, and then an app's line", one + "\nMar  1 10:00:05 host app[3]: x Out of memory in pool\n", true, false},
		{"a record, and then the kernel", "oomtrace[12]: " + one + "\nMar  1 10:00:05 host kernel: [  105.0] Out of memory: Killed process 11 (java)\n", false, false},
		{"a bare record, and then the kernel", one + "\n[  105.0] Out of memory: Killed process 11 (java)\n", false, false},
		{"a record, and then a message that quotes the kernel", one + "\noomtrace: x: not understood: Out of memory: Killed process 11 (java)\nhint: kernel: x\n", true, false},
		{"a record behind a message, and then another message", message + one + "\n" + message, true, false},
		{"a container's stderr", "2024-03-01T10:00:05Z stderr F [ 105.0] Out of memory: Killed process 11 (java)\n", false, false},
		{"another container's stderr before a record", "2024-03-01T10:00:05Z stderr F hello\n2024-03-01T10:00:06Z stdout F " + one + "\n", false, false},
		{"a part of a journal entry", `{"__CURSOR":"x","MESSAGE":"{\"sch`, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if is, more := new(Detector).Detect([]byte(tt.text)); is != tt.want || more != tt.more {
				t.Errorf("got %v, %v", is, more)
			}
		})
	}
}

func TestUnreadableLinesAreCounted(t *testing.T) {
	var lines []int
	r := NewReader(strings.NewReader(one + "\n{broken\n" + `{"schema":2,"id":"b","kind":"kill"}` + "\n" + strings.Repeat("x", maxLine+10) + "\n" + `{"schema":1}` + "\n" + one))
	r.OnUnreadable = func(line int, _ error) { lines = append(lines, line) }
	n := 0
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if want := (Stats{Lines: 6, Unreadable: 3, CutLines: 1}); n != 2 || r.Stats() != want {
		t.Errorf("%d records, %+v, want %+v", n, r.Stats(), want)
	}
	if len(lines) != 3 || lines[0] != 2 || lines[1] != 3 || lines[2] != 5 {
		t.Errorf("lines %v", lines)
	}
	if _, err := Parse([]byte(`{"schema":2,"id":"b","kind":"kill"}`)); !errors.Is(err, ErrSchema) {
		t.Errorf("schema 2 gives %v", err)
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	rec, err := Parse([]byte(`{"schema":1,"id":"a","kind":"kill","victim":{"pid":7,"new":"x"}}`))
	if err != nil || string(rec.Unknown) != `{"victim":{"new":"x"}}` {
		t.Errorf("%s, %v", rec.Unknown, err)
	}
}

// TestQuietInput: a pipe that says nothing for a while has not ended.
func TestQuietInput(t *testing.T) {
	r := NewReader(&halting{parts: []string{one[:30], "", one[30:] + "\n", ""}})
	if rec, err := r.Next(); err != nil || rec.ID != "a1" {
		t.Errorf("got %v, %v", rec, err)
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

// halting gives its parts, and for an empty one the error of an input that is quiet.
type halting struct{ parts []string }

func (h *halting) Read(p []byte) (int, error) {
	if len(h.parts) == 0 {
		return 0, io.EOF
	}
	part := h.parts[0]
	h.parts = h.parts[1:]
	if part == "" {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(p, part), nil
}

func FuzzReader(f *testing.F) {
	f.Add(one)
	f.Add("2026-11-26T03:00:00.1Z stdout P " + one[:20] + "\n" + one)
	f.Add(`{"log":"{\"schema\":1,\"id\":\"x\",\"kind\":\"kill\"}\n"}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, stats := readAll(t, text)
		if uint64(len(got))+stats.Unreadable > stats.Lines {
			t.Errorf("%d records in %+v", len(got), stats)
		}
		for _, rec := range got {
			line, err := json.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := oom.AddUnknownFields(line, rec.Unknown); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestManyValues: a line of more values than any record has takes no more memory than a few
// times its length.
func TestManyValues(t *testing.T) {
	for name, line := range map[string]string{
		"objects":      `"candidates":[` + strings.Repeat("{},", 1_000_000) + `{}]`,
		"numbers":      `"candidates":[` + strings.Repeat("1,", 1_000_000) + `1]`,
		"below others": `"memory":{"zones":[` + strings.Repeat("{},", 1_000_000) + `{}]}`,
		"unknown":      strings.Repeat(`"a":1,`, 500_000) + `"b":2`,
	} {
		text := `{"schema":1,"id":"a1","kind":"kill",` + line + "}\n" + one
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, stats := readAll(t, text)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; len(got) != 1 || stats.Unreadable != 1 || n > 20*uint64(len(text)) {
			t.Errorf("%s: %d records, %+v, %d MB allocated for %d KB", name, len(got), stats, n>>20, len(text)>>10)
		}
	}
}
