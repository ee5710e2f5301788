package kernlog

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// sourceLine is one printk: its text can hold several lines.
type sourceLine struct {
	prio int
	us   int64
	text string
}

// boot is the wall clock of uptime 0 in the wrapped logs.
var boot = time.Date(2025, 3, 7, 4, 0, 0, 0, time.UTC)

func (l sourceLine) at() time.Time { return boot.Add(time.Duration(l.us) * time.Microsecond) }
func (l sourceLine) clock() string { return fmt.Sprintf("%5d.%06d", l.us/1e6, l.us%1e6) }

// eachLine writes a multi-line printk as syslog(2) does: every line stamped.
func eachLine(lines []sourceLine, f func(l sourceLine, text string) string) string {
	var b strings.Builder
	for _, l := range lines {
		for _, text := range strings.Split(l.text, "\n") {
			b.WriteString(f(l, text) + "\n")
		}
	}
	return b.String()
}

// original is a system-wide report of a real guest.
func original(t testing.TB) []sourceLine {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(corpus, "6.12-guest-kmsg.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []sourceLine
	for _, raw := range bytes.Split(raw, []byte("\n")) {
		h, ok := parseKmsg(raw)
		if !ok || strings.HasPrefix(string(h.Text), "a) b") {
			continue
		}
		l := sourceLine{prio: int(h.Prio), us: int64(h.Uptime.Value / 1000), text: string(h.Message(new([]byte)))}
		if len(lines) > 0 || strings.HasPrefix(l.text, "locker invoked") {
			lines = append(lines, l)
		}
		if strings.HasPrefix(l.text, "Out of memory: Killed") {
			return lines
		}
	}
	t.Fatal("no report")
	return nil
}

type wrapping struct {
	name string
	wrap func([]sourceLine) string
	// what the format knows of a line
	uptime, wall, node, bootID bool
	wallStep                   time.Duration // the stamps' resolution
}

// form is a way to keep a log's lines.
type form func([]sourceLine) string

// split is a log's lines of text in this form.
func (text form) split(lines []sourceLine) []string {
	return strings.Split(strings.TrimSuffix(text(lines), "\n"), "\n")
}

// each puts what f makes of each line of text one behind the other.
func (text form) each(f func(n int, line string) string) form {
	return func(lines []sourceLine) string {
		var b strings.Builder
		for i, line := range text.split(lines) {
			b.WriteString(f(i, line))
		}
		return b.String()
	}
}

// around is each with a text before and behind all.
func (text form) around(before, after string, f func(n int, line string) string) form {
	return func(lines []sourceLine) string { return before + text.each(f)(lines) + after }
}

func prefixed(f func(l sourceLine) string) func([]sourceLine) string {
	return func(lines []sourceLine) string {
		return eachLine(lines, func(l sourceLine, text string) string { return f(l) + text })
	}
}

func textWrappings() []wrapping {
	us, s := time.Microsecond, time.Second
	return []wrapping{
		{name: "dmesg", uptime: true, wrap: prefixed(func(l sourceLine) string { return "[" + l.clock() + "] " })},
		{name: "dmesg with callers", uptime: true, wrap: prefixed(func(l sourceLine) string { return "[" + l.clock() + "][  T204] " })},
		{name: "dmesg -T", wall: true, wallStep: s, wrap: prefixed(func(l sourceLine) string { return l.at().Format("[Mon Jan _2 15:04:05 2006] ") })},
		{name: "dmesg -T in Chinese", wall: true, wallStep: s, wrap: prefixed(func(l sourceLine) string { return "[五 3月 " + l.at().Format("_2 15:04:05 2006] ") })},
		{name: "dmesg -x", uptime: true, wrap: prefixed(func(l sourceLine) string { return "kern  :warn  : [" + l.clock() + "] " })},
		{name: "dmesg -r", uptime: true, wrap: prefixed(func(l sourceLine) string { return fmt.Sprintf("<%d>[%s] ", l.prio, l.clock()) })},
		{name: "dmesg -d", uptime: true, wrap: prefixed(func(l sourceLine) string { return "[" + l.clock() + " <    0.000012>] " })},
		{name: "dmesg -t", wrap: prefixed(func(sourceLine) string { return "" })},
		{name: "dmesg --time-format iso", wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05,000000-07:00 ") })},
		{name: "dmesg in colours", uptime: true, wrap: prefixed(func(l sourceLine) string { return "\x1b[32m[" + l.clock() + "] \x1b[0m\x1b[33m" })},
		{name: "dev kmsg", uptime: true, wrap: func(lines []sourceLine) string {
			var b strings.Builder
			for i, l := range lines {
				fmt.Fprintf(&b, "%d,%d,%d,-,caller=T204;%s\n SUBSYSTEM=none\n", l.prio, i, l.us, strings.ReplaceAll(l.text, "\n", `\x0a`))
			}
			return b.String()
		}},
		{name: "journalctl short", wall: true, wallStep: s, node: true, wrap: prefixed(func(l sourceLine) string { return l.at().Format("Jan 02 15:04:05 worker kernel: ") })},
		{name: "journalctl short, indented lines", wall: true, wallStep: s, node: true, wrap: func(lines []sourceLine) string {
			var b strings.Builder
			for _, l := range lines {
				b.WriteString(l.at().Format("Jan 02 15:04:05 worker kernel: ") + strings.ReplaceAll(l.text, "\n", "\n"+strings.Repeat(" ", 31)) + "\n")
			}
			return b.String()
		}},
		{name: "journalctl short-precise", wall: true, wallStep: us, node: true, wrap: prefixed(func(l sourceLine) string { return l.at().Format("Jan 02 15:04:05.000000 worker kernel: ") })},
		{name: "journalctl short-iso", wall: true, wallStep: s, node: true, wrap: prefixed(func(l sourceLine) string {
			return l.at().In(time.FixedZone("", 3600)).Format("2006-01-02T15:04:05-0700 worker kernel: ")
		})},
		{name: "journalctl short-full", wall: true, wallStep: s, node: true, wrap: prefixed(func(l sourceLine) string { return l.at().Format("Mon 2006-01-02 15:04:05 UTC worker kernel: ") })},
		{name: "journalctl short-monotonic", uptime: true, node: true, wrap: prefixed(func(l sourceLine) string { return "[" + l.clock() + "] worker kernel: " })},
		{name: "journalctl short-unix", wall: true, wallStep: us, node: true, wrap: prefixed(func(l sourceLine) string {
			return fmt.Sprintf("%d.%06d worker kernel: ", l.at().Unix(), l.at().Nanosecond()/1000)
		})},
		{name: "syslog with uptime", uptime: true, wall: true, wallStep: s, node: true, wrap: prefixed(func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 worker kernel: [") + l.clock() + "] " })},
		{name: "rsyslog file", uptime: true, wall: true, wallStep: us, node: true, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000-07:00 worker kernel: [") + l.clock() + "] "
		})},
		{name: "RFC 5424", uptime: true, wall: true, wallStep: us, node: true, wrap: prefixed(func(l sourceLine) string {
			return fmt.Sprintf("<%d>1 %s worker kernel - - [meta sequenceId=\"7\"] \ufeff[%s] ", l.prio, l.at().Format("2006-01-02T15:04:05.000000Z07:00"), l.clock())
		})},
		{name: "OpenWrt", uptime: true, wall: true, wallStep: s, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("Mon Jan _2 15:04:05 2006 kern.err kernel: [") + l.clock() + "] "
		})},
		{name: "CRI", uptime: true, wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000000Z stdout F [") + l.clock() + "] "
		})},
		{name: "kubectl logs --prefix", uptime: true, wrap: prefixed(func(l sourceLine) string { return "[pod/dmesg-x7k2p/dmesg] [" + l.clock() + "] " })},
		{name: "serial console", uptime: true, wrap: prefixed(func(l sourceLine) string { return "serial-port-1> 控制台 | [" + l.clock() + "] " })},
		{name: "dmesg with callers behind a space", uptime: true, wrap: prefixed(func(l sourceLine) string { return "[" + l.clock() + "] [  T204] " })},
		{name: "dmesg -T with callers", wall: true, wallStep: s, wrap: prefixed(func(l sourceLine) string { return l.at().Format("[Mon Jan _2 15:04:05 2006] [  T204] ") })},
		{name: "dmesg -x with callers", uptime: true, wrap: prefixed(func(l sourceLine) string { return "kern  :notice: [" + l.clock() + "] [  T204] " })},
		{name: "dmesg --time-format iso with callers", wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05,000000-07:00 [  T204] ")
		})},
		{name: "dmesg -r -t", wrap: prefixed(func(l sourceLine) string { return fmt.Sprintf("<%d>", l.prio) })},
		{name: "kubectl logs --timestamps", uptime: true, wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000000Z [") + l.clock() + "] "
		})},
		{name: "kubectl logs --timestamps of dmesg -x", uptime: true, wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000000Z kern  :notice: [") + l.clock() + "] "
		})},
		{name: "kubectl logs --timestamps of dmesg -t", wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000000Z ")
		})},
		{name: "kubectl logs --prefix --timestamps", uptime: true, wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("[pod/dmesg-x7k2p/dmesg] 2006-01-02T15:04:05.000000000Z [") + l.clock() + "] "
		})},
		{name: "a stamp and a tab", uptime: true, wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000Z\t[") + l.clock() + "] "
		})},
		{name: "a stamp and a pod", uptime: true, wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000Z dmesg-x7k2p dmesg [") + l.clock() + "] "
		})},
		{name: "a cloud's serial console", uptime: true, wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000Z\tserialconsole\t[") + l.clock() + "] "
		})},
		{name: "Loki", uptime: true, wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000Z {host=\"a b\", job=\"kern\"} [") + l.clock() + "] "
		})},
		{name: "VMware's guest log", uptime: true, wall: true, wallStep: time.Millisecond, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000Z In(05) vcpu-5 - Guest: <4>[") + l.clock() + "] "
		})},
		{name: "Talos", wall: true, wallStep: us, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("10.5.0.2: kern: warning: [2006-01-02T15:04:05.000000000Z]: ")
		})},
		{name: "the tag alone", wrap: prefixed(func(sourceLine) string { return "kernel: " })},
		{name: "an old syslog's tag", uptime: true, wall: true, wallStep: s, node: true, wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("Jan _2 15:04:05 worker vmunix: [") + l.clock() + "] "
		})},
		{name: "rsyslog with escapes", wall: true, wallStep: s, node: true, wrap: func(lines []sourceLine) string {
			var b strings.Builder
			for _, l := range lines {
				b.WriteString(l.at().Format("Jan _2 15:04:05 worker kernel: ") + strings.ReplaceAll(l.text, "\n", "#012") + "\n")
			}
			return b.String()
		}},
		{name: "console with character sets", uptime: true, wrap: prefixed(func(l sourceLine) string { return "\x1b(B\x1b[m[" + l.clock() + "] " })},
		{name: "CRLF", uptime: true, wrap: func(lines []sourceLine) string {
			return strings.ReplaceAll(prefixed(func(l sourceLine) string { return "[" + l.clock() + "] " })(lines), "\n", "\r\n")
		}},
	}
}

func dmesgJSON(lines []sourceLine) string {
	var b strings.Builder
	b.WriteString("{\n   \"dmesg\": [\n      {\n")
	for i, l := range lines {
		msg, _ := json.Marshal(l.text)
		if i > 0 {
			b.WriteString("\n      },{\n")
		}
		fmt.Fprintf(&b, "         \"pri\": %d,\n         \"time\": %s,\n         \"msg\": %s", l.prio, l.clock(), msg)
	}
	return b.String() + "\n      }\n   ]\n}\n"
}

func journalFields(l sourceLine) [][2]string {
	return [][2]string{
		{"__CURSOR", "s=1;i=2"},
		{"__REALTIME_TIMESTAMP", fmt.Sprint(l.at().UnixMicro())},
		{"_BOOT_ID", "0123456789abcdef0123456789abcdef"}, {"_HOSTNAME", "worker"}, {"_TRANSPORT", "kernel"},
		{"SYSLOG_IDENTIFIER", "kernel"},
		{"_SOURCE_MONOTONIC_TIMESTAMP", fmt.Sprint(l.us)},
		{"MESSAGE", l.text},
	}
}

func journalJSON(lines []sourceLine) string {
	var b strings.Builder
	for _, l := range lines {
		fields := map[string]any{}
		for _, f := range journalFields(l) {
			fields[f[0]] = f[1]
		}
		if strings.Contains(l.text, "\n") { // as for what is no UTF-8
			var list []int
			for _, c := range []byte(l.text) {
				list = append(list, int(c))
			}
			fields["MESSAGE"] = list
		}
		line, _ := json.Marshal(fields)
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func journalExport(lines []sourceLine) string {
	var b bytes.Buffer
	for _, l := range lines {
		for _, f := range journalFields(l) {
			if !strings.Contains(f[1], "\n") {
				b.WriteString(f[0] + "=" + f[1] + "\n")
				continue
			}
			b.WriteString(f[0] + "\n")
			b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(f[1]))))
			b.WriteString(f[1] + "\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func otherWrappings() []wrapping {
	us := time.Microsecond
	return []wrapping{
		{name: "dmesg --json", uptime: true, wrap: dmesgJSON},
		{name: "dmesg --json on one line", uptime: true, wrap: func(lines []sourceLine) string {
			var b bytes.Buffer
			_ = json.Compact(&b, []byte(dmesgJSON(lines)))
			return b.String()
		}},
		{name: "journalctl json", uptime: true, wall: true, wallStep: us, node: true, bootID: true, wrap: journalJSON},
		{name: "journalctl export", uptime: true, wall: true, wallStep: us, node: true, bootID: true, wrap: journalExport},
		{name: "docker json", uptime: true, wall: true, wallStep: us, wrap: func(lines []sourceLine) string {
			return eachLine(lines, func(l sourceLine, text string) string {
				line, _ := json.Marshal(map[string]string{"log": "[" + l.clock() + "] " + text + "\n", "stream": "stdout", "time": l.at().Format(time.RFC3339Nano)})
				return string(line)
			})
		}},
		{name: "docker json with attributes", uptime: true, wall: true, wallStep: us, wrap: eachObject(func(l sourceLine, text string) map[string]any {
			return map[string]any{"attrs": map[string]string{"tag": "x"}, "log": "[" + l.clock() + "] " + text + "\n", "time": l.at().Format(time.RFC3339Nano)}
		})},
		{name: "Fluent Bit", uptime: true, wall: true, wallStep: us, wrap: eachObject(func(l sourceLine, text string) map[string]any {
			return map[string]any{
				"kubernetes": map[string]any{"annotations": map[string]string{"message": killLineText}, "labels": map[string]string{"a": "b"}, "list": []any{map[string]string{"log": killLineText}}},
				"log":        "[" + l.clock() + "] " + text, "time": l.at().Format(time.RFC3339Nano),
			}
		})},
		{name: "Google Cloud, text", uptime: true, wall: true, wallStep: us, wrap: eachObject(func(l sourceLine, text string) map[string]any {
			return map[string]any{"resource": map[string]any{"labels": map[string]string{"zone": "a"}}, "textPayload": "[" + l.clock() + "] " + text, "timestamp": l.at().Format(time.RFC3339Nano)}
		})},
		{name: "Google Cloud, array of journal entries", uptime: true, wall: true, wallStep: us, node: true, bootID: true, wrap: func(lines []sourceLine) string {
			var all []any
			for _, l := range lines {
				fields := map[string]any{}
				for _, f := range journalFields(l) {
					fields[f[0]] = f[1]
				}
				all = append(all, map[string]any{"jsonPayload": fields, "resource": map[string]any{"type": "k8s_node"}, "timestamp": "2001-01-01T00:00:00Z"})
			}
			text, _ := json.MarshalIndent(all, "", "  ")
			return string(text)
		}},
		{name: "AWS console output", uptime: true, wrap: func(lines []sourceLine) string {
			text, _ := json.MarshalIndent(map[string]string{"InstanceId": "i-1", "Output": strings.ReplaceAll(textWrappings()[0].wrap(lines), "\n", "\r\n"), "Timestamp": "2001-01-01T00:00:00Z"}, "", "    ")
			return string(text)
		}},
	}
}

// eachObject is one object a line.
func eachObject(f func(l sourceLine, text string) map[string]any) func([]sourceLine) string {
	return func(lines []sourceLine) string {
		return eachLine(lines, func(l sourceLine, text string) string {
			line, _ := json.Marshal(f(l, text))
			return string(line)
		})
	}
}

// essence is a record without what depends on the source's stamps.
func essence(rec *oom.Record) string {
	c := *rec
	c.ID, c.Incident, c.Time, c.UptimeNS, c.Node, c.BootID = "", "", time.Time{}, oom.Opt[uint64]{}, "", ""
	out, err := json.Marshal(&c)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

func TestFormats(t *testing.T) {
	lines := original(t)
	want := essence(readText(t, textWrappings()[0].wrap(lines), testOptions())[0])
	if !strings.Contains(want, `"kernel_stack":["oom_kill_process`) || strings.Contains(want, "incomplete") {
		t.Fatal("a poor original: ", want)
	}
	var noise []sourceLine
	for i := range 500 {
		noise = append(noise, sourceLine{6, 1e6 + int64(i)*100, fmt.Sprintf("audit: zoom room %d 日志 \"Kill\"", i)})
	}
	late := make([]sourceLine, len(lines)) // the stamps are wider by then
	for i, l := range lines {
		l.us += 123456e6
		late[i] = l
	}
	for _, w := range append(textWrappings(), otherWrappings()...) {
		for where, log := range map[string][]sourceLine{"": lines, " after other lines": append(noise[:len(noise):len(noise)], lines...), " days after boot": late} {
			t.Run(w.name+where, func(t *testing.T) {
				last := log[len(log)-1]
				all, st := readAll(t, strings.NewReader(w.wrap(log)), testOptions())
				if len(all) != 1 || st.Kills != 1 || st.Reports != 1 || st.Unplaced != 0 {
					t.Fatalf("%d records, %+v", len(all), st)
				}
				rec := all[0]
				if got := essence(rec); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				if rec.UptimeNS.Known != w.uptime || w.uptime && rec.UptimeNS.Value != uint64(last.us)*1000 {
					t.Errorf("uptime %v", rec.UptimeNS)
				}
				if rec.Time.IsZero() == w.wall || w.wall && !rec.Time.Equal(last.at().Truncate(w.wallStep)) {
					t.Errorf("time %v, want %v", rec.Time, last.at())
				}
				if (rec.Node == "worker") != w.node || (rec.BootID == "01234567-89ab-cdef-0123-456789abcdef") != w.bootID {
					t.Errorf("node %q, boot %q", rec.Node, rec.BootID)
				}
			})
		}
	}
}

func compressors() map[string]func(io.Writer) (io.WriteCloser, error) {
	return map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"xz":   func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		"zstd": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	}
}

func pack(t testing.TB, f func(io.Writer) (io.WriteCloser, error), text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := f(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCompressed(t *testing.T) {
	log := textWrappings()[0].wrap(original(t))
	for name, f := range compressors() {
		t.Run(name, func(t *testing.T) {
			packed := pack(t, f, log)
			if all, _ := readAll(t, bytes.NewReader(packed), testOptions()); len(all) != 1 {
				t.Errorf("%d records", len(all))
			}
			later := pack(t, f, strings.ReplaceAll(log, "[   ", "[  9"))
			if all, _ := readAll(t, bytes.NewReader(append(packed[:len(packed):len(packed)], later...)), testOptions()); len(all) != 2 {
				t.Errorf("two in a row: %d records", len(all))
			}
			r := NewReader(bytes.NewReader(packed[:len(packed)-5]), testOptions())
			var err error
			for err == nil {
				_, err = r.Next()
			}
			if errors.Is(err, io.EOF) {
				t.Error("cut: no error")
			}
		})
	}
}

// TestUnknownJSON: objects whose text is not found are told of, and one without
// an end hides no other.
func TestUnknownJSON(t *testing.T) {
	kill, _ := json.Marshal(map[string]string{"MESSAGE": killLineText, "_TRANSPORT": "kernel"})
	for name, c := range map[string]struct {
		log     string
		kills   int
		unknown uint64
	}{
		"known":              {string(kill) + "\n", 1, 0},
		"another program's":  {`{"MESSAGE":"` + killLineText + `","_TRANSPORT":"stdout"}` + "\n", 0, 0},
		"an unknown key":     {`{"payload":"` + killLineText + `"}` + "\n", 0, 1},
		"no JSON":            {`{"MESSAGE":"` + killLineText + `","x":tru}` + "\n", 0, 1},
		"cut in an object":   {`{"MESSAGE":"x","y":{"a":` + "\n" + string(kill) + "\n", 1, 1},
		"cut in a string":    {`{"MESSAGE":"x","y":{"a":"b` + "\n" + string(kill) + "\n", 1, 1},
		"begun in an object": {`{"a":{"b":1}}},"c":2}` + "\n" + string(kill) + "\n", 1, 1},
		"too long":           {`{"MESSAGE":"` + strings.Repeat("x", 1<<20) + `","y":{"a":1}}` + string(kill) + "\n", 1, 0},
		"a list":             {`{"events":[` + string(kill) + `,` + strings.Replace(string(kill), "77", "78", 1) + `],"x":{"y":1}}`, 2, 1},
		"nested only":        {`{"a":{"message":"` + killLineText + `"}}` + "\n", 0, 1},
	} {
		all, st := readAll(t, strings.NewReader(c.log), testOptions())
		if len(all) != c.kills || st.Unknown != c.unknown {
			t.Errorf("%s: %d records, %+v", name, len(all), st)
		}
	}
}

// TestHoles: a crash leaves zeros in a file, before or in the log, or in place
// of a line's beginning.
// TestNamed: what names an OOM, in a form that is not known, is said, and no kill is made of it.
func TestNamed(t *testing.T) {
	for what, log := range map[string]string{
		"joined":      headerLine + "§" + killedLine + "§\n",
		"in the text": "dump: " + strings.Repeat("x", 600) + "/" + killedLine + "\n",
		"an object":   `{"a":{"b":{"c":{"d":{"e":"` + killedLine + `"}}}}}` + "\n",
	} {
		all, st := readAll(t, strings.NewReader(log), testOptions())
		if st.Kills != 0 || st.UnknownForm == "" && st.ForeignText == "" || st.Unplaced+st.Unknown+st.Foreign == 0 || st.UnknownLine+st.ForeignLine < 1 {
			t.Errorf("%s: %d records, %+v", what, len(all), st)
		}
	}
}

func TestHoles(t *testing.T) {
	log := textWrappings()[0].wrap(original(t))
	for _, size := range []int{1, 100, 3000, 5000, 100_000, 2 << 20} {
		for name, at := range map[string]int{"before": 0, "in": strings.Index(log, "Mem-Info:") - len("[   24.123456] "), "after": len(log)} {
			text := log[:at] + strings.Repeat("\x00", size) + log[at:]
			if all, st := readAll(t, strings.NewReader(text), testOptions()); len(all) != 1 || all[0].Incomplete.Known || st.CutLines != 0 {
				t.Errorf("%d zeros %s: %d records, %+v", size, name, len(all), st)
			}
		}
	}
}

// TestHoleInLine: a line that ends in a hole is not the beginning of the next.
func TestHoleInLine(t *testing.T) {
	log := textWrappings()[0].wrap(original(t))
	all, st := readAll(t, strings.NewReader(log[:strings.Index(log, "=")]+strings.Repeat("\x00", 4000)+log), testOptions())
	if len(all) != 1 || all[0].Incomplete.Known || all[0].Trigger.Comm != "locker" || st.Unplaced != 1 {
		t.Errorf("%d records, %+v", len(all), st)
	}
}

// TestWide reads UTF-16, as Windows terminals write it.
func TestWide(t *testing.T) {
	log := "日志 \U0001F600\r\n" + textWrappings()[0].wrap(original(t))
	want := essence(readText(t, log, testOptions())[0])
	for name, order := range map[string]binary.AppendByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian} {
		var b []byte
		for _, u := range utf16.Encode([]rune("\ufeff" + log)) {
			b = order.AppendUint16(b, u)
		}
		for cut, in := range map[string]io.Reader{"": bytes.NewReader(b), ", a byte too much": bytes.NewReader(append(b[:len(b):len(b)], 7)), ", byte by byte": iotest.OneByteReader(bytes.NewReader(b))} {
			if all, _ := readAll(t, in, testOptions()); len(all) != 1 || essence(all[0]) != want {
				t.Errorf("%s%s: %d records", name, cut, len(all))
			}
		}
	}
}
