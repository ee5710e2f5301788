package kernlog

import (
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// chatForms are how chats keep and copy a log that somebody pasted there. Of several lines
// in one message, each may have the prefix.
func chatForms(text form) []wrapping {
	each := text.each
	now := func(n int) time.Time { return boot.Add(time.Duration(n) * time.Second) }
	p := func(name string, prefix func(n int) string) wrapping {
		return wrapping{name: name, wrap: each(func(n int, l string) string { return prefix(n) + l + "\n" })}
	}
	// layout also has what others say, before the log and in the middle of it: more than the
	// log's own lines at the start
	layout := func(name, layout string) wrapping {
		say := func(n int, text string) string {
			return strings.Replace(now(n).Format(layout), "bob", "alice-"+string(rune('a'+n%7)), 1) + text + "\n"
		}
		var begin strings.Builder
		for n := range 90 {
			begin.WriteString(say(n, "it was killed again, or not?"))
		}
		return wrapping{name: name, wrap: text.around(begin.String(), say(999, "ok"), func(n int, l string) string {
			l = now(n).Format(layout) + l + "\n"
			if n%16 == 15 {
				l += say(n, "what is this")
			}
			return l
		})}
	}
	// every writes the prefix on a line of its own before each few lines
	every := func(name string, few int, prefix func(n int) string) wrapping {
		return wrapping{name: name, wrap: each(func(n int, l string) string {
			if n%few == 0 {
				l = prefix(n) + "\n" + l
			}
			return l + "\n"
		})}
	}
	marshal := func(v any) string {
		out, _ := json.Marshal(v)
		return string(out)
	}
	messages := func(name string, message func(n int, l string) map[string]any, all func([]any) any) wrapping {
		return wrapping{name: name, wrap: func(lines []sourceLine) string {
			var list []any
			for n, l := range text.split(lines) {
				list = append(list, message(n, l))
			}
			return marshal(all(list)) + "\n"
		}}
	}
	return []wrapping{
		layout("irssi", "15:04 <bob> "), layout("irssi, an operator", "15:04 <@bob> "), layout("irssi, a blank", "15:04 < bob> "),
		layout("irssi, seconds", "15:04:05 <bob> "), layout("mIRC", "[15:04] <bob> "), layout("ZNC", "[15:04:05] <bob> "), layout("ZNC, voiced", "[15:04:05] <+bob> "),
		layout("HexChat", "Jan 02 15:04:05 <bob> "), layout("XChat", "Jan 02 15:04:05 <bob>\t"), layout("a bot", "2006-01-02T15:04:05  <bob> "),
		layout("another bot", "2006-01-02 15:04:05 <bob> "), layout("a bot, zoned", "[2006-01-02T15:04:05Z] <bob> "), layout("a bot with a channel", "15:04:05 #ops <bob> "),
		layout("WeeChat's file", "2006-01-02 15:04:05\tbob\t"), layout("WeeChat", "15:04:05    bob | "), layout("WeeChat, an operator", "15:04:05   @bob | "),
		p("a name in brackets", func(int) string { return "<bob> " }), p("a name with marks", func(int) string { return "<b|ob_^[away]> " }),
		layout("12 hours", "[3:04 PM] <bob> "), layout("12 hours, bare", "3:04 PM <bob> "),
		layout("Discord, compact", "[3:04 PM]bob: "), layout("WhatsApp, a dash", "02/01/2006, 15:04 - bob: "),
		every("Slack", 5, func(n int) string { return now(n).Format("bob  3:04 PM") }),
		every("Slack, the clock below", 5, func(n int) string { return now(n).Format("bob\n  3:04 PM") }),
		every("Slack, 24 hours", 1, func(n int) string { return now(n).Format("15:04") }),
		every("Slack, brackets", 7, func(n int) string { return now(n).Format("bob [3:04 PM]") }),
		every("Discord", 7, func(n int) string { return now(n).Format("bob — Today at 3:04 PM") }),
		every("Discord, a date", 7, func(n int) string { return now(n).Format("bob — 01/02/2006 3:04 PM") }),
		every("DiscordChatExporter", 3, func(n int) string { return "\n" + now(n).Format("[01/02/2006 3:04 PM] bob") }),
		every("Telegram", 4, func(n int) string { return now(n).Format("Bob D, [02.01.2006 15:04]") }),
		every("Telegram, 12 hours", 4, func(n int) string { return now(n).Format("Bob D, [Jan 2, 2006 at 3:04:05 PM]:") }),
		every("Teams", 4, func(n int) string { return now(n).Format("[3:04 PM] Doe, Bob") }),
		every("Teams, a date", 4, func(n int) string { return now(n).Format("[1/2/2006 3:04 PM] Doe, Bob") }),
		messages("Slack's export", func(n int, l string) map[string]any {
			return map[string]any{"type": "message", "user": "U1", "ts": fmt.Sprintf("%d.000100", now(n).Unix()), "text": html.EscapeString(l)}
		}, func(all []any) any { return all }),
		messages("Slack's interface", func(n int, l string) map[string]any {
			return map[string]any{"type": "message", "user": "U1", "ts": fmt.Sprintf("%d.000100", now(n).Unix()), "text": html.EscapeString(l), "team": "T1",
				"blocks": []any{map[string]any{"type": "rich_text", "elements": []any{map[string]any{"type": "rich_text_section", "elements": []any{map[string]any{"type": "text", "text": l}}}}}}}
		}, func(all []any) any { return map[string]any{"ok": true, "messages": all, "has_more": false} }),
		messages("Discord's export", func(n int, l string) map[string]any {
			return map[string]any{"id": fmt.Sprint(n), "type": "Default", "timestamp": now(n).Format(time.RFC3339), "content": l, "author": map[string]any{"id": "1", "name": "bob"}}
		}, func(all []any) any {
			return map[string]any{"guild": map[string]any{"id": "1", "name": "x"}, "messages": all}
		}),
		messages("Matrix's export", func(n int, l string) map[string]any {
			return map[string]any{"type": "m.room.message", "sender": "@bob:example.org", "origin_server_ts": now(n).UnixMilli(), "content": map[string]any{"msgtype": "m.text", "body": l}}
		}, func(all []any) any { return map[string]any{"room_name": "ops", "messages": all} }),
		messages("Mattermost's interface", func(n int, l string) map[string]any {
			return map[string]any{"id": "x", "create_at": now(n).UnixMilli(), "user_id": "u", "message": l}
		}, func(all []any) any { return map[string]any{"posts": all} }),
	}
}

// checkForms: the records are the same in each form as in the text itself, whatever stamps that
// has. unstamped are forms that cannot be told from a program's lines without stamps.
func checkForms(t *testing.T, forms func(form) []wrapping, unstamped ...string) {
	t.Helper()
	for base, src := range bases(t) {
		for _, w := range textWrappings() {
			var but []string
			switch w.name {
			case "dmesg", "dmesg -T", "journalctl short":
			case "dmesg -t":
				but = unstamped
			default:
				continue
			}
			want := readText(t, w.wrap(src), testOptions())
			for _, form := range forms(w.wrap) {
				if !slices.Contains(but, form.name) {
					t.Run(form.name+", "+w.name+", "+base, func(t *testing.T) { sameRecords(t, form.wrap(src), want) })
				}
			}
		}
	}
}

// TestChats: a chat's prefix is none of the log's.
func TestChats(t *testing.T) { checkForms(t, chatForms) }

// TestNoChat: what is like a chat's line and is none stays what it is.
func TestNoChat(t *testing.T) {
	const kill = "Out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB"
	for line, want := range map[string]int{
		"[10:03] <bob> " + kill:                                      1,
		"bob  10:03 AM\n" + kill:                                     1,
		"[10:03] <bob> app[12]: " + kill:                             0,
		"[10:03:11] app: " + kill:                                    0,
		"[10:03 AM] app: " + kill:                                    0,
		"2025-03-07 04:11:09\tapp: x\t" + kill:                       0,
		"Mar  7 04:11:09 <bob> app[12]: " + kill:                     0,
		"Mar  7 04:11:09 <user.warn> h kernel: " + kill:              0,
		"2025-03-07 04:11:09 <error> app: " + kill:                   0,
		"07/03/2025, 05:11 - J Doe: app[12]: " + kill:                0,
		"2025-03-07T04:11:09Z h app[12]: <bob> " + kill:              0,
		"I0307 04:11:09.123456    1234 log.go:12] <bob> " + kill:     0,
		"10:03 <bob> see: app: " + kill + "\n10:03 <eve> " + kill:    1,
		"Mar  7 04:11:09 h app[12]: a\n[10:03] <bob> " + kill + "\n": 1,
	} {
		if got := kills(readText(t, line+"\n", testOptions())); got[77] != want {
			t.Errorf("%q: %v", line, got)
		}
	}
	const name = "1:03 <b> x"
	recs := readText(t, "[    5.000001] "+name+" invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n[    5.000002] "+kill+"\n", testOptions())
	if len(recs) != 1 || recs[0].Trigger.Comm != name {
		t.Errorf("a name like a chat's prefix: %v", recs)
	}
}

// TestBlanks: a blank that is lost or doubled, wherever the kernel's lines have one, loses
// nothing.
func TestBlanks(t *testing.T) {
	logs := map[string][]string{
		"a kill":           {"Out of memory: Killed process 812 (host apd) total-vm:6196kB, anon-rss:1024kB, file-rss:4kB, shmem-rss:0kB, UID:7 pgtables:28kB oom_score_adj:9"},
		"a cgroup's":       {"Memory cgroup out of memory: Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB, file-rss:4kB, shmem-rss:0kB, UID:7 pgtables:28kB oom_score_adj:9"},
		"two lines":        {"Out of memory: Kill process 812 (hostapd) score 5 or sacrifice child", "Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB, file-rss:4kB, shmem-rss:0kB"},
		"the user, behind": {"Killed process 812 (hostapd), UID 7, total-vm:6196kB, anon-rss:1024kB, file-rss:4kB, shmem-rss:0kB"},
		"a header":         {"squid invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), nodemask=0,2, order=3, oom_score_adj=-5", killedLine},
		"a header of old":  {"oom-killer: gfp_mask=0xd0, order=2", killedLine},
	}
	for name, lines := range logs {
		for stamp, prefix := range map[string]string{"stamped": "[    5.000001] ", "no stamps": "", "syslog": "Mar  7 04:11:09 h kernel: "} {
			write := func(first string) string {
				return prefix + first + "\n" + prefix + strings.Join(append(lines[1:], ""), "\n"+prefix) + "\n"
			}
			want := readText(t, write(lines[0]), testOptions())
			if len(want) != 1 {
				t.Fatalf("%s: %d records", name, len(want))
			}
			for i, c := range lines[0] {
				if c != ' ' || strings.HasPrefix(lines[0][i:], " apd") || strings.HasPrefix(lines[0][i:], " invoked") {
					continue
				}
				for _, by := range [...]string{"", "  "} {
					first := lines[0][:i] + by + lines[0][i+1:]
					t.Run(name+", "+stamp+", "+first, func(t *testing.T) { sameRecords(t, write(first), want) })
				}
			}
		}
	}
	for text, want := range map[string]int{"Killprocess1()": 0, "Killedprocess1 (a)": 0, "Kill process 1 (a)": 1, "Killprocess1 (a) score 5 or sacrifice child": 1, "Outofmemory: Killprocess1 (a)": 1} {
		if recs := readText(t, "[    5.000002] "+text+"\n", testOptions()); len(recs) != want {
			t.Errorf("%q: %d records, want %d", text, len(recs), want)
		}
	}
	for _, comm := range [...]string{"Killed  process", "Kill process 1(", "b  invoked"} {
		recs := readText(t, "[    5.000001] "+comm+" invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n[    5.000002] "+killedLine+"\n", testOptions())
		if len(recs) != 1 || recs[0].Trigger == nil || recs[0].Trigger.Comm != comm {
			t.Errorf("%q: %+v", comm, recs)
		}
		recs = readText(t, "[    5.000002] "+strings.Replace(killedLine, "hostapd", comm, 1)+"\n", testOptions())
		if len(recs) != 1 || recs[0].Victim.Comm != comm {
			t.Errorf("%q: %+v", comm, recs)
		}
	}
}

// TestPanicOfCopies: an OOM that is there twice, once without its panic, is one record. One
// that did not end in a panic is another.
func TestPanicOfCopies(t *testing.T) {
	head := []string{headerLine, cpuLine, "Call Trace:", " dump_stack+0x1/0x2", "Mem-Info:", "active_anon:42 inactive_anon:33 isolated_anon:0"}
	const none, stop = "Out of memory and no killable processes...", "Kernel panic - not syncing: System is deadlocked on memory"
	panics, noVictim := wanted{oom.KindPanic, "", "squid", isPanic(oom.PanicNoKillable)}, wanted{kind: oom.KindNoVictim, trigger: "squid"}
	limit := []string{"Task in /a killed as a result of limit of /a", "memory: usage 1024kB, limit 1024kB, failcnt 3"}
	other := slices.Clone(head)
	other[1] = strings.Replace(cpuLine, "537", "538", 1)
	for name, c := range map[string]struct {
		lines []string
		want  []wanted
	}{
		"twice, one panic":         {slices.Concat(head, []string{none}, head, []string{none, stop}), []wanted{panics}},
		"three times":              {slices.Concat(head, []string{none}, head, []string{none}, head, []string{none, stop}), []wanted{panics}},
		"another task's":           {slices.Concat(other, []string{none}, head, []string{none, stop}), []wanted{noVictim, panics}},
		"a cgroup's, then a panic": {slices.Concat(head[:2], limit, []string{"Memory cgroup out of memory and no killable process", none}, head, []string{none, stop}), []wanted{noVictim, panics}},
	} {
		for source, log := range sources(c.lines...) {
			if source == "dmesg" || source == "logread" { // one copy's stamps are the other's
				all := strings.SplitAfter(log, "\n")
				for i, l := range all[:len(all)-1] {
					all[i] = l[:strings.Index(l, "[")+1] + fmt.Sprintf("%5d.%06d", 912, 100+i%(len(head)+1)) + l[strings.Index(l, "]"):]
				}
				if log = strings.Join(all, ""); name != "twice, one panic" && name != "three times" {
					continue
				}
			}
			t.Run(name+", "+source, func(t *testing.T) { checkWanted(t, log, c.want...) })
		}
	}
}

// TestLogcatWithoutTag: Android's logd finds no tag in many lines of the kernel's; the process
// 0 tells whose they are.
func TestLogcatWithoutTag(t *testing.T) {
	lines := original(t)
	want := readText(t, textWrappings()[0].wrap(lines), testOptions())
	for layout, n := range map[string]int{
		"01-02 15:04:05.000     0     0 W         : ": 1, "01-02 15:04:05.000  root     0     0 W         : ": 1, "01-02 15:04:05.000     0     0 W : ": 1,
		"W/        (    0): ": 1, "01-02 15:04:05.000 W/        (    0): ": 1, "01-02 15:04:05.000   214   214 W         : ": 0, "W/        (  214): ": 0,
		"01-02 15:04:05.000     0     0 W app     : ": 0,
	} {
		text := prefixed(func(l sourceLine) string { return l.at().Format(layout) })(lines)
		got := readText(t, text, testOptions())
		if len(got) != n || n > 0 && sameFacts(got[0]) != sameFacts(want[0]) {
			t.Errorf("%q: %d records, want %d", layout, len(got), n)
		}
	}
}

// TestRowsInTwo: rows of the tasks table that were wrapped behind any of their columns are
// whole.
func TestRowsInTwo(t *testing.T) {
	for base, src := range bases(t) {
		for _, w := range textWrappings() {
			if w.name != "dmesg" && w.name != "dmesg -t" {
				continue
			}
			want := readText(t, w.wrap(src), testOptions())
			for n := range 16 {
				columns, indented := 5+n/2, n%2 == 1
				text := form(w.wrap).each(func(_ int, l string) string {
					at := strings.LastIndex(l, "] ")
					if i := strings.Index(l, "["); i < 0 || at < 0 || rowPart([]byte(l[strings.LastIndex(l[:at], "["):])) != partRow {
						return l + "\n"
					}
					rest, out := l[at+1:], l[:at+1]
					for range columns {
						n := len(rest) - len(strings.TrimLeft(rest, " "))
						if end := strings.IndexByte(rest[n:], ' '); end >= 0 {
							out, rest = out+rest[:n+end], rest[n+end:]
						}
					}
					if !indented {
						rest = strings.TrimLeft(rest, " ")
					}
					return out + "\n" + rest + "\n"
				})(src)
				if base == "system" && columns < 9 && strings.Count(text, "\n") == strings.Count(w.wrap(src), "\n") {
					t.Fatal("nothing is wrapped")
				}
				t.Run(fmt.Sprint(base, ", ", w.name, ", ", columns, indented), func(t *testing.T) { sameRecords(t, text, want) })
			}
		}
	}
}

// tableForms are the answers of databases, with the columns apart from the rows.
func tableForms(text form) []wrapping {
	answer := func(name string, table func(rows [][]any) any) wrapping {
		return wrapping{name: name, wrap: func(lines []sourceLine) string {
			var rows [][]any
			for n, l := range text.split(lines) {
				rows = append(rows, []any{boot.Add(time.Duration(n) * time.Second).Format(time.RFC3339), "worker", l})
			}
			out, _ := json.Marshal(table(rows))
			return string(out) + "\n"
		}}
	}
	type object = map[string]any
	named := func(key string, names ...string) (out []any) {
		for _, name := range names {
			out = append(out, object{key: name, "type": "string"})
		}
		return out
	}
	columns := []string{"time", "host", "message"}
	return []wrapping{
		answer("InfluxDB", func(rows [][]any) any {
			return object{"results": []any{object{"statement_id": 0, "series": []any{object{"columns": columns, "name": "syslog", "values": rows}}}}}
		}),
		answer("Elasticsearch's SQL", func(rows [][]any) any {
			return object{"columns": named("name", "@timestamp", "host.name", "message"), "rows": rows}
		}),
		answer("ES|QL", func(rows [][]any) any { return object{"columns": named("name", columns...), "values": rows} }),
		answer("Trino", func(rows [][]any) any { return object{"columns": named("name", columns...), "data": rows} }),
		answer("pandas", func(rows [][]any) any { return object{"columns": columns, "data": rows} }),
		answer("Kusto", func(rows [][]any) any {
			return object{"Tables": []any{object{"TableName": "Table_0", "Columns": named("ColumnName", "TimeGenerated", "Computer", "SyslogMessage"), "Rows": rows}}}
		}),
		answer("Log Analytics", func(rows [][]any) any {
			return object{"tables": []any{object{"columns": named("name", "TimeGenerated", "Computer", "SyslogMessage"), "name": "PrimaryResult", "rows": rows}}}
		}),
		{name: "ClickHouse", wrap: func(lines []sourceLine) string {
			body := strings.TrimPrefix(answer("", func(rows [][]any) any { return object{"data": rows, "rows": len(rows)} }).wrap(lines), "{")
			return `{"meta":[{"name":"t","type":"DateTime"},{"name":"h","type":"String"},{"name":"message","type":"String"}],` + body
		}},
		{name: "BigQuery", wrap: func(lines []sourceLine) string {
			var rows []any
			for _, l := range text.split(lines) {
				rows = append(rows, object{"f": []any{object{"v": "1.741320669E9"}, object{"v": l}}})
			}
			out, _ := json.Marshal(rows)
			return `{"kind":"bigquery#queryResponse","schema":{"fields":[{"name":"timestamp"},{"name":"message"}]},"rows":` + string(out) + "}\n"
		}},
		{name: "Grafana", wrap: func(lines []sourceLine) string {
			var times, texts []any
			for n, l := range text.split(lines) {
				times, texts = append(times, boot.UnixMilli()+int64(n)), append(texts, l)
			}
			out, _ := json.Marshal([][]any{times, texts})
			return `{"results":{"A":{"status":200,"frames":[{"schema":{"refId":"A","fields":[{"name":"Time","type":"time"},{"name":"Line","type":"string"}]},"data":{"values":` + string(out) + "}}]}}}\n"
		}},
		{name: "Loki, a long stream", wrap: func(lines []sourceLine) string {
			pad := make([][]string, 9000)
			for i := range pad {
				pad[i] = []string{"1741320669000000000", "usb 1-1: new high-speed device, and some more words"}
			}
			for _, l := range text.split(lines) {
				pad = append(pad, []string{"1741320669000000000", l})
			}
			out, _ := json.Marshal(object{"data": object{"result": []any{object{"stream": object{"job": "kern"}, "values": pad}}}})
			return string(out) + "\n"
		}},
	}
}

// TestTables: the rows of a table are entries.
func TestTables(t *testing.T) { checkForms(t, tableForms) }

// TestNoTable: what is like a table's row is none, and the labels of a stream say whose it is.
func TestNoTable(t *testing.T) {
	const kill = "Out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB"
	stream := func(labels, line string) string {
		return `{"data":{"result":[{"stream":{` + labels + `},"values":[["1741320669000000000","` + line + `"]]}]}}`
	}
	for log, want := range map[string]int{
		stream(`"job":"kern"`, kill):                                                           1,
		stream(`"syslog_identifier":"app"`, kill):                                              0,
		stream(`"transport":"kernel"`, kill):                                                   1,
		stream(`"stream":"stdout"`, kill):                                                      0,
		`{"message":"data","list":["x",["` + kill + `"]]}`:                                     0,
		`{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1741320669,"77"]]}]}`: 0,
		`{"columns":["time","ident","message"],"rows":[["x","app","` + kill + `"]]}`:           0,
		`{"columns":["time","ident","message"],"rows":[["x","kernel","` + kill + `"]]}`:        1,
		`{"columns":["message"],"rows":[["` + kill + `"]],"note":["` + kill + `"]}`:            1,
	} {
		if got := kills(readText(t, log+"\n", testOptions())); got[77] != want {
			t.Errorf("%s: %v", log, got)
		}
	}
}

// TestPrintedUnsaid: quoted-printable that nothing declares, in a mail with other signs, and a
// name that looks so in a log that is none.
func TestPrintedUnsaid(t *testing.T) {
	lines := original(t)
	plain := textWrappings()[0].wrap(lines)
	want := readText(t, plain, testOptions())
	other := strings.Repeat("DKIM-Signature: v=1; a=rsa; c=relaxed; d=x; s=y; b=z\n", 90)
	sameRecords(t, other+"\n"+printable(plain), want)
	const comm = "gfp_mask=3D=3D0"
	log := "[    5.000001] " + comm + " invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n[    5.000002] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=a,pid=812,uid=0\n[    5.000003] " + killedLine + "\n"
	recs := readText(t, log, testOptions())
	if len(recs) != 1 || recs[0].Trigger == nil || recs[0].Trigger.Comm != comm || recs[0].Victim.PID.Value != 812 {
		t.Errorf("%v", recs)
	}
}
