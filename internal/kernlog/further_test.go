package kernlog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
)

// furtherForms are those that lost a report's parts, or gave it twice, and their kind.
func furtherForms(text form) []wrapping {
	each, around, split := text.each, text.around, text.split
	joined := func(before, by string) form {
		return func(lines []sourceLine) string { return before + strings.Join(split(lines), by) + "\n" }
	}
	marshal := func(v any) string {
		out, _ := json.Marshal(v)
		return string(out) + "\n"
	}
	all := func(f func(whole string) string) form {
		return func(lines []sourceLine) string { return f(text(lines)) }
	}
	// boxed pads each line to the longest, as tables are drawn
	boxed := func(before, left, right, after string) form {
		return func(lines []sourceLine) string {
			wide := 0
			for _, l := range split(lines) {
				wide = max(wide, utf8.RuneCountInString(l))
			}
			var b strings.Builder
			b.WriteString(before)
			for _, l := range split(lines) {
				b.WriteString(left + l + strings.Repeat(" ", wide-utf8.RuneCountInString(l)) + right + "\n")
			}
			return b.String() + after
		}
	}
	object := func(f func(line string) any) form {
		return each(func(_ int, l string) string { return marshal(f(l)) })
	}
	cdata := func(l string) string { return "<![CDATA[" + l + "]]>" }
	return []wrapping{
		// XML
		{name: "XML lines", wrap: around("<?xml version=\"1.0\"?>\n<log>\n", "</log>\n", func(_ int, l string) string { return "  <line>" + html.EscapeString(l) + "</line>\n" })},
		{name: "XML lines, bare", wrap: each(func(_ int, l string) string { return "<line>" + html.EscapeString(l) + "</line>\n" })},
		{name: "XML lines with attributes", wrap: around("<log host=\"worker\">\n", "</log>\n", func(n int, l string) string {
			return fmt.Sprintf("<line number=\"%d\" level=\"warn\">%s</line>\n", n+1, html.EscapeString(l))
		})},
		{name: "XML lines in CDATA", wrap: around("<log>\n", "</log>\n", func(_ int, l string) string { return "\t<line>" + cdata(l) + "</line>\n" })},
		{name: "XML lines, all in one", wrap: around("<log>", "</log>\n", func(_ int, l string) string { return "<line>" + html.EscapeString(l) + "</line>" })},
		{name: "XML entries", wrap: around("<entries>\n", "</entries>\n", func(n int, l string) string {
			return fmt.Sprintf("<entry>\n<id>%d</id>\n<message>%s</message>\n</entry>\n", n, html.EscapeString(l))
		})},
		{name: "XML events", wrap: around("<?xml version='1.0' encoding='UTF-8'?>\n<results>\n", "</results>\n", func(n int, l string) string {
			return fmt.Sprintf("<result offset='%d'><field k='_raw'><v xml:space='preserve' trim='0'>%s</v></field></result>\n", n, html.EscapeString(l))
		})},
		{name: "log4j", wrap: each(func(_ int, l string) string {
			return "<log4j:event logger=\"k\" level=\"WARN\"><log4j:message>" + cdata(l) + "</log4j:message></log4j:event>\n"
		})},
		{name: "a whole log in CDATA", wrap: all(func(s string) string { return "<report><dmesg>" + cdata(s) + "</dmesg></report>\n" })},
		{name: "Confluence", wrap: all(func(s string) string {
			return "<ac:structured-macro ac:name=\"code\"><ac:plain-text-body>" + cdata(s) + "</ac:plain-text-body></ac:structured-macro>\n"
		})},
		{name: "MediaWiki", wrap: all(func(s string) string { return "<syntaxhighlight lang=\"text\">\n" + s + "</syntaxhighlight>\n" })},
		{name: "DokuWiki", wrap: all(func(s string) string { return "<code>\n" + s + "</code>\n" })},
		{name: "a list of HTML", wrap: around("<ol>\n", "</ol>\n", func(_ int, l string) string { return "<li>" + html.EscapeString(l) + "</li>\n" })},
		// tables
		{name: "a box", wrap: boxed("┌──────────┐\n", "│ ", " │", "└──────────┘\n")},
		{name: "a heavy box", wrap: boxed("┏━━━━━━━━━━┓\n", "┃ ", " ┃", "┗━━━━━━━━━━┛\n")},
		{name: "a double box", wrap: boxed("╔══════════╗\n", "║ ", " ║", "╚══════════╝\n")},
		{name: "a box with a heading", wrap: boxed("╭─ dmesg ──╮\n", "│", "│", "╰──────────╯\n")},
		{name: "a box of columns", wrap: boxed("┌──────┬──────────┐\n│ host │ message  │\n├──────┼──────────┤\n", "│ web1 │ ", " │", "└──────┴──────────┘\n")},
		{name: "a box of columns, not headed", wrap: boxed("", "│ web1 │ ", " │", "")},
		{name: "a bar at the left", wrap: each(func(_ int, l string) string { return "│ " + l + "\n" })},
		{name: "a frame of ASCII", wrap: boxed("+----------+\n", "| ", " |", "+----------+\n")},
		{name: "a table of one column", wrap: boxed("| message |\n|---------|\n", "| ", " |", "")},
		{name: "psql, one column", wrap: around(" message \n---------\n", "(50 rows)\n\n", func(_ int, l string) string { return " " + l + "\n" })},
		{name: "psql, bordered", wrap: boxed("+------+----------+\n| host | message  |\n+------+----------+\n", "| web1 | ", " |", "+------+----------+\n(50 rows)\n")},
		{name: "a table of Markdown, columns unknown", wrap: around("| when | what |\n|:--|:--|\n", "", func(n int, l string) string { return "| 05:11:09 | " + strings.ReplaceAll(l, "|", "\\|") + " |\n" })},
		{name: "a table of Markdown, no heading", wrap: each(func(n int, l string) string { return "| 05:11:09 | " + strings.ReplaceAll(l, "|", "\\|") + " |\n" })},
		{name: "Jira's table", wrap: around("||when||what||\n", "", func(n int, l string) string { return "|05:11:09|" + l + "|\n" })},
		{name: "an org table", wrap: boxed("| n | message |\n|---+---------|\n", "| 1 | ", " |", "")},
		{name: "a grid of reST", wrap: boxed("+----------+\n", "| ", " |\n+----------+", "")},
		// joined
		{name: `joined by \012`, wrap: joined("", `\012`)},
		{name: `joined by \n`, wrap: joined("", `\n`)},
		{name: `joined by \r\n`, wrap: joined("", `\r\n`)},
		{name: `joined by \\n, no quotes`, wrap: joined("", `\\n`)},
		{name: `joined by \x0a`, wrap: joined("", `\x0a`)},
		{name: "joined by #012", wrap: joined("", "#012")},
		{name: "joined by #015#012", wrap: joined("", "#015#012")},
		{name: "joined by U+2028", wrap: joined("", "\u2028")},
		{name: "joined by <br>", wrap: joined("", "<br>")},
		{name: "joined by VT", wrap: joined("", "\v")},
		{name: "a field with joined lines", wrap: joined("dmesg=", `\n`)},
		// documents
		{name: "RTF", wrap: func(lines []sourceLine) string {
			return "{\\rtf1\\ansi\\deff0{\\fonttbl{\\f0 Courier;}}\n\\f0\\fs20\n" + each(func(_ int, l string) string {
				return strings.NewReplacer("\\", `\\`, "{", `\{`, "}", `\}`).Replace(l) + "\\par\n"
			})(lines) + "}\n"
		}},
		{name: "RTF of a Mac", wrap: func(lines []sourceLine) string {
			return "{\\rtf1\\ansi\\ansicpg1252\\cocoartf2639\n{\\fonttbl\\f0\\fmodern\\fcharset0 CourierNewPSMT;}\n\\f0\\fs24 \\cf0 " + each(func(_ int, l string) string {
				return strings.NewReplacer("\\", `\\`, "{", `\{`, "}", `\}`).Replace(l) + "\\\n"
			})(lines) + "}"
		}},
		{name: "AsciiDoc", wrap: all(func(s string) string { return "[source,text]\n----\n" + s + "----\n" })},
		{name: "a heredoc", wrap: all(func(s string) string { return "cat <<'EOF'\n" + s + "EOF\n" })},
		{name: "TOML", wrap: all(func(s string) string { return "log = '''\n" + s + "'''\n" })},
		{name: "groff", wrap: around(".nf\n", ".fi\n", func(_ int, l string) string { return "\\&" + l + "\n" })},
		// viewers
		{name: "nl", wrap: each(func(n int, l string) string { return fmt.Sprintf("%6d\t%s\n", n+1, l) })},
		{name: "grep -nC", wrap: each(func(n int, l string) string {
			if n%20 == 19 {
				return "--\n" + fmt.Sprintf("%d:%s\n", n+1, l)
			}
			return fmt.Sprintf("%d-%s\n", n+1, l)
		})},
		{name: "grep -HnC of kern.log", wrap: each(func(n int, l string) string {
			if n%20 == 19 {
				return fmt.Sprintf("--\nvar/log/kern.log:%d:%s\n", n+1, l)
			}
			return fmt.Sprintf("var/log/kern.log-%d-%s\n", n+1, l)
		})},
		{name: "git grep", wrap: each(func(n int, l string) string { return fmt.Sprintf("logs/kern.log:%d:%s\n", n+1, l) })},
		{name: "git log -p", wrap: around("commit 0123456\n\n    add log\n\n--- a/kern.log\n+++ b/kern.log\n@@ -1,4 +1,90 @@\n", "\\ No newline at end of file\n", func(_ int, l string) string { return "+" + l + "\n" })},
		{name: "git blame", wrap: each(func(n int, l string) string {
			return fmt.Sprintf("^0123456 (J Doe 2025-03-07 05:11:09 +0100 %3d) %s\n", n+1, l)
		})},
		{name: "a combined diff", wrap: each(func(_ int, l string) string { return "++" + l + "\n" })},
		{name: "tmux with a status line", wrap: all(func(s string) string { return s + "[0] 0:dmesg*                 \"web1\" 05:11 07-Mar-25\n" })},
		{name: "less with its prompt", wrap: all(func(s string) string { return s + "~\n~\n\x1b[7m(END)\x1b[27m\x1b[K" })},
		{name: "a garbled console", wrap: all(func(s string) string { return "\xfe\xfc\x80\x80\xe0\r\n" + strings.ReplaceAll(s, "\n", "\r\n\xff\r\n") })},
		{name: "a console with a login", wrap: all(func(s string) string {
			return "\r\nDebian GNU/Linux 12 web1 ttyS0\r\n\r\nweb1 login: " + strings.ReplaceAll(s, "\n", "\r\n")
		})},
		// spreadsheets
		{name: "Excel's formulas", wrap: around("time,text\r\n", "", func(_ int, l string) string {
			return `05:11:09,"=""` + strings.ReplaceAll(l, `"`, `""""`) + `"""` + "\r\n"
		})},
		{name: "Excel, tabs and quotes", wrap: around("When\tWhat\r\n", "", func(_ int, l string) string { return "05:11:09\t\"" + strings.ReplaceAll(l, `"`, `""`) + "\"\r\n" })},
		{name: "Excel, tabs", wrap: around("When\tWhat\r\n", "", func(_ int, l string) string { return "05:11:09\t" + l + "\r\n" })},
		{name: "a ticket's cell", wrap: all(func(s string) string {
			return "number,opened,description\nINC1,2025-03-07 05:11:09,\"it dies:\n" + strings.ReplaceAll(s, `"`, `""`) + "\"\n"
		})},
		// objects
		{name: "GCP serial port", wrap: all(func(s string) string {
			return marshal(map[string]any{"contents": strings.ReplaceAll(s, "\n", "\r\n"), "kind": "compute#serialPortOutput", "next": "123", "start": "0"})
		})},
		{name: "AWS console, base64", wrap: all(func(s string) string {
			return marshal(map[string]any{"InstanceId": "i-0", "Output": base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(s, "\n", "\r\n"))), "Timestamp": "2025-03-07T05:11:09Z"})
		})},
		{name: "AWS console, text", wrap: all(func(s string) string { return "i-0123456789abcdef0\t" + s + "\t2025-03-07T05:11:09+00:00\n" })},
		{name: "an issue of GitHub's interface", wrap: all(func(s string) string {
			return marshal(map[string]any{"id": 1, "title": "OOM", "body": "It dies:\r\n\r\n```\r\n" + strings.ReplaceAll(s, "\n", "\r\n") + "```\r\n"})
		})},
		{name: "Bugzilla's interface", wrap: all(func(s string) string {
			return marshal(map[string]any{"bugs": map[string]any{"7": map[string]any{"comments": []any{map[string]any{"id": 1, "text": "It dies:\n\n" + s}}}}})
		})},
		{name: "Jira's interface", wrap: all(func(s string) string {
			return marshal(map[string]any{"key": "OPS-7", "fields": map[string]any{"summary": "OOM", "description": "{noformat}\r\n" + strings.ReplaceAll(s, "\n", "\r\n") + "{noformat}"}})
		})},
		{name: "Slack's export", wrap: all(func(s string) string {
			return marshal([]any{map[string]any{"type": "message", "user": "U1", "ts": "1741320669.000100", "text": "```\n" + html.EscapeString(s) + "```"}})
		})},
		{name: "Discord's export", wrap: all(func(s string) string {
			return marshal(map[string]any{"guild": map[string]any{"id": "1"}, "messages": []any{map[string]any{"id": "1", "type": "Default", "content": "```\n" + s + "```"}}})
		})},
		{name: "Telegram's export", wrap: all(func(s string) string {
			return marshal(map[string]any{"name": "ops", "messages": []any{map[string]any{"id": 1, "type": "message", "text": []any{"look: ", map[string]any{"type": "pre", "text": s}}}}})
		})},
		{name: "OpenTelemetry, journald", wrap: object(func(l string) any {
			str := func(v string) any { return map[string]any{"stringValue": v} }
			return map[string]any{"resourceLogs": []any{map[string]any{"scopeLogs": []any{map[string]any{"logRecords": []any{map[string]any{
				"timeUnixNano": "1741320669000000000",
				"body":         map[string]any{"kvlistValue": map[string]any{"values": []any{map[string]any{"key": "PRIORITY", "value": str("4")}, map[string]any{"key": "MESSAGE", "value": str(l)}}}},
			}}}}}}}
		})},
		{name: "OpenTelemetry's debug exporter", wrap: each(func(n int, l string) string {
			return fmt.Sprintf("LogRecord #%d\nObservedTimestamp: 2025-03-07 05:11:09.1 +0000 UTC\nSeverityText: \nBody: Str(%s)\nTrace ID: \n", n, l)
		})},
		{name: "rsyslog's JSON", wrap: object(func(l string) any {
			return map[string]any{"msg": " " + l, "rawmsg": "<4>" + l, "timereported": "2025-03-07T05:11:09+00:00", "hostname": "worker", "syslogtag": "kernel:", "programname": "kernel", "syslogfacility": "0"}
		})},
		{name: "syslog-ng's JSON", wrap: object(func(l string) any {
			return map[string]any{"PROGRAM": "kernel", "PRIORITY": "warning", "MESSAGE": l, "LEGACY_MSGHDR": "kernel: ", "HOST": "worker", "FACILITY": "kern", "DATE": "Mar  7 05:11:09"}
		})},
		{name: "Elastic's original", wrap: object(func(l string) any {
			return map[string]any{"@timestamp": "2025-03-07T05:11:09Z", "log": map[string]any{"original": l, "level": "warning"}}
		})},
		{name: "the journal, one field", wrap: object(func(l string) any { return map[string]any{"MESSAGE": l} })},
		{name: "a container's JSON in Kubernetes", wrap: object(func(l string) any {
			return map[string]any{"@timestamp": "2025-03-07T05:11:09Z", "log": l, "logtag": "F", "stream": "stdout", "kubernetes": map[string]any{"pod_name": "dmesg-x", "labels": map[string]any{"app": "dmesg"}}}
		})},
		{name: "Ansible, results", wrap: all(func(s string) string {
			lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
			out, _ := json.MarshalIndent(map[string]any{"results": []any{map[string]any{"item": "dmesg", "stdout": s, "stdout_lines": lines}}}, "", "  ")
			return "ok: [web1] => " + string(out) + "\n"
		})},
		{name: "Ansible, a registered result", wrap: all(func(s string) string {
			lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
			out, _ := json.MarshalIndent(map[string]any{"out": map[string]any{"changed": true, "stdout": s, "stdout_lines": lines}}, "", "    ")
			return "ok: [web1] => " + string(out) + "\n"
		})},
		{name: "Ansible, YAML", wrap: func(lines []sourceLine) string {
			return "ok: [web1] =>\n  out:\n    stdout: |-\n" + each(func(_ int, l string) string { return "      " + l + "\n" })(lines) + "    stdout_lines:\n" + each(func(_ int, l string) string { return "    - '" + strings.ReplaceAll(l, "'", "''") + "'\n" })(lines)
		}},
		// chats
		{name: "WhatsApp", wrap: each(func(_ int, l string) string { return "[07.03.25, 05:11:09] J Doe: " + l + "\n" })},
		{name: "WhatsApp, a dash", wrap: each(func(_ int, l string) string { return "07/03/2025, 05:11 - J Doe: " + l + "\n" })},
		{name: "marks of direction", wrap: each(func(_ int, l string) string { return "\u200e" + l + "\u200e\n" })},
		{name: "single quotes curled", wrap: each(func(_ int, l string) string { return "‘" + l + "’\n" })},
		{name: "Teams", wrap: all(func(s string) string { return "[5:11 AM] Doe, J\n" + s })},
		{name: "Matrix", wrap: each(func(_ int, l string) string { return "<jdoe> " + l + "\n" })},
		// crashes
		{name: "pstore, the last part first", wrap: func(lines []sourceLine) string {
			l := split(lines)
			at := len(l) / 3
			return "Panic#1 Part1\n" + strings.Join(l[2*at:], "\n") + "\nPanic#1 Part2\n" + strings.Join(l[at:2*at], "\n") + "\nPanic#1 Part3\n" + strings.Join(l[:at], "\n") + "\n"
		}},
	}
}

// bases are a report of each kind: of the whole system with swap, of a cgroup, of old kernels
// and of Kubernetes, and of a panic.
func bases(t testing.TB) map[string][]sourceLine {
	t.Helper()
	out := map[string][]sourceLine{}
	for name, c := range map[string]struct{ file, last string }{
		"system": {"6.12-swapoff", ""}, "cgroup": {"6.12-guest-kmsg", "Memory cgroup out of memory: Killed"},
		"Kubernetes": {"4.18-rhel8.1-one-line", ""}, "cgroup of old": {"3.10-rhel7-cgroup-syslog", ""}, "system of old": {"3.10-system", ""}, "panic": {"5.15-panic", ""},
	} {
		raw, err := os.ReadFile(filepath.Join(corpus, c.file+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		var in recorder
		o := testOptions()
		r := lines.NewReader(bytes.NewReader(raw), o.lines(), grammar{}, &in)
		for r.Step() == nil {
		}
		for i, l := range in.all {
			us := int64(5e6 + 31*i)
			if l.Uptime.Known {
				us = int64(l.Uptime.Value / 1000)
			}
			text := strings.TrimRight(string(l.Text), " ")
			out[name] = append(out[name], sourceLine{4, us, text})
			if c.last != "" && strings.HasPrefix(text, c.last) {
				break
			}
		}
	}
	return out
}

// TestFurtherForms: the records are the same in each form.
func TestFurtherForms(t *testing.T) {
	// What stands before a line without a stamp may be the begin of its first word, and is
	// another program's that has a tag.
	unstamped := []string{
		"grep -HnC of kern.log", "a container's JSON in Kubernetes", "WhatsApp", "WhatsApp, a dash", "Excel's formulas", "a field with joined lines",
		"a console with a login", "Telegram's export", "AWS console, text",
	}
	tagged := []string{"rsyslog's JSON", "syslog-ng's JSON"} // their text has no tag
	for base, src := range bases(t) {
		for _, w := range textWrappings() {
			var but []string
			switch w.name {
			case "dmesg", "dmesg -T":
			case "dmesg -t":
				but = unstamped
			case "journalctl short":
				but = tagged
			default:
				continue
			}
			want := readText(t, w.wrap(src), testOptions())
			if len(want) == 0 {
				t.Errorf("%s, %s: no records", base, w.name)
			}
			for _, form := range furtherForms(w.wrap) {
				if !slices.Contains(but, form.name) {
					t.Run(form.name+", "+w.name+", "+base, func(t *testing.T) { sameRecords(t, form.wrap(src), want) })
				}
			}
		}
	}
}
