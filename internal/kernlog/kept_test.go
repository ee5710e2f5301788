package kernlog

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// keptForms are more ways in which programs keep a log and people pass it on.
func keptForms(dmesg form) []wrapping {
	bare := func(l sourceLine) string { return "[" + l.clock() + "] " }
	each, around := dmesg.each, dmesg.around
	replaced := func(pairs ...string) form {
		return func(lines []sourceLine) string { return strings.NewReplacer(pairs...).Replace(dmesg(lines)) }
	}
	wide := func(order binary.AppendByteOrder, text func(lines []sourceLine) string) form {
		return func(lines []sourceLine) string {
			var b []byte
			for _, u := range utf16.Encode([]rune(text(lines))) {
				b = order.AppendUint16(b, u)
			}
			return string(b)
		}
	}
	crlf := func(f form) form {
		return func(lines []sourceLine) string { return strings.ReplaceAll(f(lines), "\n", "\r\n") }
	}
	object := func(f func(l sourceLine, text string) map[string]any) form { return eachObject(f) }
	iso := func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05.000000Z") }
	syslog := prefixed(func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 worker kernel: [") + l.clock() + "] " })
	onSyslog := form(syslog).each
	p := func(name string, f func(l sourceLine) string) wrapping {
		return wrapping{name: name, wrap: prefixed(f)}
	}
	b64 := func(s string) string {
		var b strings.Builder
		for e := base64.StdEncoding.EncodeToString([]byte(s)); len(e) > 0; {
			n := min(76, len(e))
			b.WriteString(e[:n] + "\n")
			e = e[n:]
		}
		return b.String()
	}
	mail := "From: A <a@example.org>\nTo: b@example.org\nSubject: OOM again\nDate: Fri, 7 Mar 2025 05:11:09 +0000\nMIME-Version: 1.0\n"
	return []wrapping{
		// encodings
		{name: "UTF-16LE without a mark", wrap: wide(binary.LittleEndian, dmesg)},
		{name: "UTF-16BE without a mark", wrap: wide(binary.BigEndian, dmesg)},
		{name: "UTF-16LE without a mark, CRLF", wrap: wide(binary.LittleEndian, crlf(syslog))},
		{name: "a mark in mid-stream", wrap: func(lines []sourceLine) string {
			return "\ufeffold\n\ufeff" + strings.Replace(dmesg(lines), "\n", "\n\ufeff", 3)
		}},
		{name: "zeros around", wrap: func(lines []sourceLine) string {
			return strings.Repeat("\x00", 777) + dmesg(lines) + strings.Repeat("\x00", 4096)
		}},
		{name: "zeros behind each line", wrap: replaced("\n", "\x00\n")},
		{name: "bell and backspaces", wrap: each(func(_ int, l string) string { return "\a" + l + "\b\n" })},
		{name: "Latin-1 blanks", wrap: replaced("  ", "\xa0 ")},
		// sources
		{name: "strings of Go", wrap: around("in := []string{\n", "}\n", func(_ int, l string) string { return "\t\t" + strconv.Quote(l) + ",\n" })},
		{name: "strings of JavaScript", wrap: around("const log =\n", "  '';\n", func(_ int, l string) string { return "  '" + l + "' +\n" })},
		// line ends
		{name: "CR alone", wrap: replaced("\n", "\r")},
		{name: "CR CR LF", wrap: replaced("\n", "\r\r\n")},
		{name: "LF CR", wrap: replaced("\n", "\n\r")},
		{name: "mixed ends", wrap: each(func(n int, l string) string { return l + []string{"\r", "\r\r\n", "\r"}[n%3] })},
		{name: "CR before each", wrap: each(func(n int, l string) string { return "\r" + l + "\n" })},
		{name: "a blank line between", wrap: replaced("\n", "\n\n")},
		{name: "form feeds", wrap: each(func(n int, l string) string {
			if n%20 == 0 {
				l = "\f" + l
			}
			return l + "\n"
		})},
		// dmesg and journalctl
		{name: "dmesg -H", wrap: func(lines []sourceLine) string {
			var b strings.Builder
			for i, line := range lines {
				for _, t := range strings.Split(line.text, "\n") {
					if i%10 == 0 {
						b.WriteString(line.at().Format("[Jan_2 15:04] ") + t + "\n")
					} else {
						b.WriteString("[  +0.000012] " + t + "\n")
					}
				}
			}
			return b.String()
		}},
		{name: "dmesg -H in colours", wrap: func(lines []sourceLine) string {
			var b strings.Builder
			for i, line := range lines {
				for _, t := range strings.Split(line.text, "\n") {
					if i%10 == 0 {
						b.WriteString(line.at().Format("\x1b[32m[\x1b[1;32mJan_2 15:04\x1b[0m\x1b[32m] \x1b[0m") + t + "\n")
					} else {
						b.WriteString("\x1b[32m[  +0.000012] \x1b[0m\x1b[33m" + t + "\x1b[0m\n")
					}
				}
			}
			return b.String()
		}},
		p("dmesg -e -x", func(l sourceLine) string { return "kern  :warn  : [  +0.000012] " }),
		p("dmesg -T -x", func(l sourceLine) string { return l.at().Format("kern  :warn  : [Mon Jan _2 15:04:05 2006] ") }),
		p("dmesg iso -x", func(l sourceLine) string { return l.at().Format("kern  :warn  : 2006-01-02T15:04:05,000000+00:00 ") }),
		p("dmesg -T -r", func(l sourceLine) string { return "<4>" + l.at().Format("[Mon Jan _2 15:04:05 2006] ") }),
		p("dmesg -T -d", func(l sourceLine) string { return l.at().Format("[Mon Jan _2 15:04:05 2006 <    0.000012>] ") }),
		p("dmesg raw format", func(l sourceLine) string { return fmt.Sprintf("[%d.%06d] ", l.us/1e6, l.us%1e6) }),
		p("dmesg milliseconds", func(l sourceLine) string { return fmt.Sprintf("[%d.%03d] ", l.us/1e6, l.us/1000%1e3) }),
		p("journalctl short-delta", func(l sourceLine) string { return "[" + l.clock() + " <    0.000012 >] worker kernel: " }),
		p("journalctl short-delta, not sure", func(l sourceLine) string { return "[" + l.clock() + " <    0.000012*>] worker kernel: " }),
		p("journalctl short-delta, first", func(l sourceLine) string { return "[" + l.clock() + strings.Repeat(" ", 16) + "] worker kernel: " }),
		p("journalctl short-iso-precise", func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05.000000+0000 worker kernel: ") }),
		p("journalctl short-iso 255", func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05+00:00 worker kernel: ") }),
		p("journalctl with-unit", func(l sourceLine) string { return l.at().Format("Mon 2006-01-02 15:04:05 CEST worker kernel: ") }),
		p("journalctl with-unit, offset", func(l sourceLine) string { return l.at().Format("Mon 2006-01-02 15:04:05 +03 worker kernel: ") }),
		p("journalctl no-hostname", func(l sourceLine) string { return l.at().Format("Jan 02 15:04:05 kernel: ") }),
		p("journalctl short-full no-hostname", func(l sourceLine) string { return l.at().Format("Mon 2006-01-02 15:04:05 UTC kernel: ") }),
		p("journalctl short-monotonic no-hostname", func(l sourceLine) string { return "[" + l.clock() + "] kernel: " }),
		{name: "journalctl, its title", wrap: func(lines []sourceLine) string {
			return "-- Logs begin at Fri 2025-03-07 04:00:01 UTC, end at Fri 2025-03-07 06:00:01 UTC. --\n" + syslog(lines) + "-- Reboot --\n"
		}},
		{name: "journalctl json-sse", wrap: func(lines []sourceLine) string {
			return strings.ReplaceAll("data: "+strings.ReplaceAll(strings.TrimSuffix(journalJSON(lines), "\n"), "\n", "\n\ndata: ")+"\n\n", "", "")
		}},
		{name: "journalctl json-seq", wrap: func(lines []sourceLine) string {
			return "\x1e" + strings.ReplaceAll(strings.TrimSuffix(journalJSON(lines), "\n"), "\n", "\n\x1e") + "\n"
		}},
		// mail
		{name: "base64", wrap: func(lines []sourceLine) string {
			return mail + "Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n\n" + b64("Hello,\n\nit dies:\n"+dmesg(lines)+"\nBye\n")
		}},
		{name: "base64 attached", wrap: func(lines []sourceLine) string {
			return mail + "Content-Type: multipart/mixed; boundary=\"=-abc\"\n\nThis is a multi-part message.\n--=-abc\nContent-Type: text/plain\n\nHello, see below.\n\n--=-abc\nContent-Type: text/x-log; name=\"kern.log\"\nContent-Disposition: attachment; filename=\"kern.log\"\nContent-Transfer-Encoding: BASE64\n\n" + b64(syslog(lines)) + "\n--=-abc--\n"
		}},
		{name: "base64 attached, CRLF", wrap: func(lines []sourceLine) string {
			return strings.ReplaceAll(mail+"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n"+b64("Hello, see below, it is the OOM killer.\n")+"--x\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n"+b64(strings.ReplaceAll(dmesg(lines), "\n", "\r\n"))+"--x--\n", "\n", "\r\n")
		}},
		{name: "multipart, quoted-printable", wrap: func(lines []sourceLine) string {
			return mail + "Content-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n" + printable(dmesg(lines)) + "\n--x--\n"
		}},
		{name: "format=flowed", wrap: func(lines []sourceLine) string {
			var b strings.Builder
			b.WriteString(mail + "Content-Type: text/plain; charset=utf-8; format=flowed\n\nHi,\n\n")
			for line := range strings.Lines(dmesg(lines)) {
				line = strings.TrimRight(line, " \n")
				if strings.HasPrefix(line, " ") || strings.HasPrefix(line, ">") {
					line = " " + line
				}
				for len(line) > 72 {
					i := strings.LastIndexByte(line[:72], ' ')
					if i <= 14 {
						if i = strings.IndexByte(line[15:], ' '); i < 0 {
							break
						}
						i += 15
					}
					b.WriteString(line[:i+1] + "\n")
					line = line[i+1:]
					if strings.HasPrefix(line, " ") || strings.HasPrefix(line, ">") {
						line = " " + line
					}
				}
				b.WriteString(line + "\n")
			}
			return b.String()
		}},
		{name: "nested quotes", wrap: func(lines []sourceLine) string {
			return "Hi,\n\nOn 07.03.25 05:11, A wrote:\n> On Fri, Mar 7, 2025 at 5:00 AM B <b@example.org> wrote:\n>\n" + each(func(_ int, l string) string { return "> > " + l + "\n" })(lines) + ">\n> What is this?\n\nNo idea.\n"
		}},
		{name: "named quotes", wrap: each(func(_ int, l string) string { return "JD> " + l + "\n" })},
		{name: "colon quotes", wrap: each(func(_ int, l string) string { return ": " + l + "\n" })},
		{name: "hash quotes", wrap: each(func(_ int, l string) string { return "# " + l + "\n" })},
		{name: "slashes", wrap: each(func(_ int, l string) string { return "// " + l + "\n" })},
		{name: "percent", wrap: each(func(_ int, l string) string { return "% " + l + "\n" })},
		{name: "semicolons", wrap: each(func(_ int, l string) string { return ";; " + l + "\n" })},
		// containers
		{name: "CRI in parts", wrap: func(lines []sourceLine) string {
			return eachLine(lines, func(l sourceLine, text string) string {
				at := l.at().Format("2006-01-02T15:04:05.000000000Z ")
				text = bare(l) + text
				if len(text) < 100 {
					return at + "stdout F " + text
				}
				return at + "stdout P " + text[:80] + "\n" + at + "stdout P " + text[80:95] + "\n" + at + "stdout F " + text[95:]
			})
		}},
		{name: "CRI stderr with an offset", wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000000+00:00 stderr F ") + bare(l)
		})},
		{name: "docker json in parts", wrap: func(lines []sourceLine) string {
			return `{"log":"begin\n","stream":"stderr","time":"2025-03-07T04:00:00Z"}` + "\n" + eachLine(lines, func(l sourceLine, text string) string {
				text = bare(l) + text + "\n"
				var out []string
				for len(text) > 0 {
					n := min(100, len(text))
					o, _ := json.Marshal(map[string]string{"log": text[:n], "stream": "stderr", "time": iso(l)})
					out, text = append(out, string(o)), text[n:]
				}
				return strings.Join(out, "\n")
			})
		}},
		{name: "docker json of a console", wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"log": "\x1b[32m" + bare(l) + "\x1b[0m" + text + "\r\n", "stream": "stdout", "time": iso(l)}
		})},
		{name: "docker compose", wrap: each(func(_ int, l string) string { return "dmesg-1  | " + l + "\n" })},
		{name: "docker compose with stamps", wrap: prefixed(func(l sourceLine) string { return "dmesg-1  | " + iso(l) + " " + bare(l) })},
		{name: "stern", wrap: each(func(_ int, l string) string { return "node-logger-x7k2p dmesg " + l + "\n" })},
		// lists
		{name: "a YAML list", wrap: around("logs:\n", "", func(_ int, l string) string { return "  - " + strconv.Quote(l) + "\n" })},
		{name: "a YAML list, single quotes", wrap: around("logs:\n", "", func(_ int, l string) string { return "- '" + strings.ReplaceAll(l, "'", "''") + "'\n" })},
		{name: "a YAML list of words", wrap: around("stdout_lines:\n", "", func(_ int, l string) string { return "    - '" + l + "'\n" })},
		{name: "a YAML block", wrap: around("data:\n  kern.log: |\n", "kind: ConfigMap\n", func(_ int, l string) string { return "    " + l + "\n" })},
		{name: "a YAML block, kept", wrap: around("output: |-\n", "", func(_ int, l string) string { return "  " + l + "\n" })},
		{name: "a YAML string of all", wrap: func(lines []sourceLine) string { return "stdout: " + strconv.Quote(dmesg(lines)) + "\nrc: 0\n" }},
		{name: "a list of bytes, as Python prints it", wrap: func(lines []sourceLine) string {
			return "[b'" + strings.ReplaceAll(strings.TrimSuffix(dmesg(lines), "\n"), "\n", `\n', b'`) + "']\n"
		}},
		{name: "Ansible", wrap: func(lines []sourceLine) string {
			o, _ := json.MarshalIndent(map[string]any{"changed": true, "cmd": "dmesg", "rc": 0, "stderr": "", "stdout": dmesg(lines), "stdout_lines": strings.Split(dmesg(lines), "\n")}, "", "    ")
			return "TASK [debug] *******\nok: [web1] => " + string(o) + "\n"
		}},
		{name: "Ansible, msg lines", wrap: func(lines []sourceLine) string {
			o, _ := json.MarshalIndent(map[string]any{"msg": strings.Split(dmesg(lines), "\n")}, "", "    ")
			return "ok: [web1] => " + string(o) + "\n"
		}},
		{name: "Ansible ad hoc", wrap: func(lines []sourceLine) string {
			return "web1 | CHANGED | rc=0 >>\n" + dmesg(lines) + "\nweb2 | CHANGED | rc=0 >>\n\n"
		}},
		{name: "Salt", wrap: around("web1:\n", "web2:\n    Minion did not return. [No response]\n", func(_ int, l string) string { return "    " + l + "\n" })},
		{name: "a JSON of stdout", wrap: func(lines []sourceLine) string {
			o, _ := json.Marshal(map[string]any{"host": "web1", "rc": 0, "stdout": dmesg(lines)})
			return string(o) + "\n"
		}},
		{name: "a JSON list of lines, in an object", wrap: func(lines []sourceLine) string {
			o, _ := json.MarshalIndent(map[string]any{"host": "web1", "lines": strings.Split(dmesg(lines), "\n")}, "", "  ")
			return string(o) + "\n"
		}},
		{name: "a JSON list on one line", wrap: func(lines []sourceLine) string {
			o, _ := json.Marshal(strings.Split(dmesg(lines), "\n"))
			return string(o) + "\n"
		}},
		{name: "a JSON string", wrap: func(lines []sourceLine) string {
			o, _ := json.Marshal(dmesg(lines))
			return string(o) + "\n"
		}},
		{name: "Python's repr", wrap: func(lines []sourceLine) string {
			return "b'" + strings.NewReplacer("\\", `\\`, "\n", `\n`, "'", `\'`).Replace(dmesg(lines)) + "'\n"
		}},
		// log stores
		{name: "logcli default", wrap: prefixed(func(l sourceLine) string { return iso(l) + ` {filename="/var/log/kern.log", host="worker"} ` + bare(l) })},
		{name: "logcli of syslog", wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05Z ") + `{job="varlogs"} ` + l.at().Format("Jan _2 15:04:05 worker kernel: ") + bare(l)
		})},
		{name: "logcli raw", wrap: syslog},
		{name: "Loki, newest first in JSON", wrap: func(lines []sourceLine) string {
			var values [][]string
			eachLine(lines, func(l sourceLine, text string) string {
				values = append([][]string{{fmt.Sprint(l.at().UnixNano()), bare(l) + text}}, values...)
				return ""
			})
			out, _ := json.Marshal(map[string]any{"status": "success", "data": map[string]any{"resultType": "streams", "result": []any{map[string]any{"stream": map[string]string{"job": "kern"}, "values": values}}}})
			return string(out)
		}},
		{name: "Grafana's text download", wrap: prefixed(func(l sourceLine) string { return fmt.Sprintf("%d\t%s\t", l.at().UnixMilli(), iso(l)) + bare(l) })},
		{name: "Grafana's text download, head", wrap: func(lines []sourceLine) string {
			return "Total bytes processed: \"12.3  kB\"\nCommon labels: {\"job\":\"kern\"}\n\n\n" + prefixed(func(l sourceLine) string {
				return iso(l) + "\t" + l.at().Format("2006-01-02T15:04:05Z") + "\t" + bare(l)
			})(lines)
		}},
		{name: "CloudWatch tail", wrap: prefixed(func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000+00:00") + " i-0123456789abcdef0 " + bare(l)
		})},
		{name: "CloudWatch Insights JSON", wrap: func(lines []sourceLine) string {
			var rows []any
			eachLine(lines, func(l sourceLine, text string) string {
				rows = append(rows, []map[string]string{{"field": "@timestamp", "value": l.at().Format("2006-01-02 15:04:05.000")}, {"field": "@message", "value": bare(l) + text}, {"field": "@ptr", "value": "x"}})
				return ""
			})
			out, _ := json.MarshalIndent(map[string]any{"results": rows, "status": "Complete"}, "", "    ")
			return string(out)
		}},
		{name: "Insights' console JSON", wrap: func(lines []sourceLine) string {
			var rows []any
			eachLine(lines, func(l sourceLine, text string) string {
				rows = append(rows, map[string]string{"@timestamp": l.at().Format("2006-01-02 15:04:05.000"), "@message": bare(l) + text})
				return ""
			})
			out, _ := json.MarshalIndent(rows, "", "    ")
			return string(out)
		}},
		{name: "Kibana CSV", wrap: func(lines []sourceLine) string {
			return "\"@timestamp\",\"_id\",\"host.name\",message\n" + eachLine(lines, func(l sourceLine, text string) string {
				return `"` + l.at().Format("Jan 2, 2006 @ 15:04:05.000") + `","abc","worker","` + strings.ReplaceAll(bare(l)+text, `"`, `""`) + `"`
			})
		}},
		{name: "Kibana fields", wrap: func(lines []sourceLine) string {
			var hits []any
			eachLine(lines, func(l sourceLine, text string) string {
				hits = append(hits, map[string]any{"_id": "x", "_index": "logs", "fields": map[string]any{"@timestamp": []string{iso(l)}, "message": []string{bare(l) + text}, "host.name": []string{"worker"}}, "sort": []int{1}})
				return ""
			})
			out, _ := json.MarshalIndent(map[string]any{"took": 1, "hits": map[string]any{"hits": hits}}, "", "  ")
			return string(out)
		}},
		{name: "Splunk CSV", wrap: func(lines []sourceLine) string {
			return "\"_time\",\"_raw\",host,source,sourcetype\n" + eachLine(lines, func(l sourceLine, text string) string {
				return `"` + l.at().Format("2006-01-02T15:04:05.000+0000") + `","` + l.at().Format("Jan _2 15:04:05 worker kernel: ") + strings.ReplaceAll(bare(l)+text, `"`, `""`) + `",worker,"/var/log/messages",syslog`
			})
		}},
		{name: "Graylog CSV", wrap: func(lines []sourceLine) string {
			return "timestamp,source,facility,message\n" + eachLine(lines, func(l sourceLine, text string) string {
				return `"` + l.at().Format("2006-01-02T15:04:05.000Z") + `","worker","kernel","` + strings.ReplaceAll("kernel: "+bare(l)+text, `"`, `""`) + `"`
			})
		}},
		{name: "GCP jsonPayload message", wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"insertId": "x", "jsonPayload": map[string]any{"message": bare(l) + text, "_HOSTNAME": "worker"}, "resource": map[string]any{"type": "gce_instance"}, "timestamp": iso(l), "logName": "projects/p/logs/serialconsole.googleapis.com%2Fserial_port_1_output"}
		})},
		{name: "GCP yaml", wrap: func(lines []sourceLine) string {
			return eachLine(lines, func(l sourceLine, text string) string {
				return "---\ninsertId: x\nresource:\n  type: gce_instance\ntextPayload: '" + strings.ReplaceAll(bare(l)+text, "'", "''") + "'\ntimestamp: '" + iso(l) + "'"
			})
		}},
		{name: "Azure serial", wrap: crlf(dmesg)},
		{name: "Azure Log Analytics CSV", wrap: func(lines []sourceLine) string {
			return "TenantId,\"TimeGenerated [UTC]\",Computer,Facility,SeverityLevel,SyslogMessage,ProcessName\n" + eachLine(lines, func(l sourceLine, text string) string {
				return `x,"` + l.at().Format("1/2/2006, 3:04:05.000 PM") + `",worker,kern,warning,"` + strings.ReplaceAll(bare(l)+text, `"`, `""`) + `",kernel`
			})
		}},
		{name: "Fluent Bit's file", wrap: func(lines []sourceLine) string {
			return eachLine(lines, func(l sourceLine, text string) string {
				o, _ := json.Marshal(map[string]any{"priority": 4, "sequence": 12, "sec": l.us / 1e6, "usec": l.us % 1e6, "msg": text})
				return fmt.Sprintf("[0] kmsg.0: [%d.%09d, %s]", l.at().Unix(), l.at().Nanosecond(), o)
			})
		}},
		{name: "Fluent Bit's kmsg", wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"date": float64(l.at().UnixMicro()) / 1e6, "priority": 4, "sequence": 12, "sec": l.us / 1e6, "usec": l.us % 1e6, "msg": text}
		})},
		{name: "fluentd's file", wrap: func(lines []sourceLine) string {
			return eachLine(lines, func(l sourceLine, text string) string {
				o, _ := json.Marshal(map[string]any{"host": "worker", "ident": "kernel", "message": bare(l) + text})
				return l.at().Format("2006-01-02T15:04:05+00:00\tkern.warn\t") + string(o)
			})
		}},
		{name: "fluentd's stdout", wrap: func(lines []sourceLine) string {
			return eachLine(lines, func(l sourceLine, text string) string {
				o, _ := json.Marshal(map[string]any{"host": "worker", "ident": "kernel", "message": bare(l) + text})
				return l.at().Format("2006-01-02 15:04:05.000000000 +0000 kern.warn: ") + string(o)
			})
		}},
		{name: "Datadog", wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"id": "x", "content": map[string]any{"timestamp": iso(l), "host": "worker", "service": "kernel", "message": bare(l) + text, "tags": []string{"source:kernel"}}}
		})},
		{name: "Datadog v2", wrap: func(lines []sourceLine) string {
			var all []any
			eachLine(lines, func(l sourceLine, text string) string {
				all = append(all, map[string]any{"id": "x", "type": "log", "attributes": map[string]any{"timestamp": iso(l), "host": "worker", "message": bare(l) + text}})
				return ""
			})
			out, _ := json.MarshalIndent(map[string]any{"data": all}, "", " ")
			return string(out)
		}},
		{name: "OpenTelemetry", wrap: func(lines []sourceLine) string {
			var all []any
			eachLine(lines, func(l sourceLine, text string) string {
				all = append(all, map[string]any{"timeUnixNano": fmt.Sprint(l.at().UnixNano()), "severityText": "WARN", "body": map[string]any{"stringValue": bare(l) + text}})
				return ""
			})
			out, _ := json.Marshal(map[string]any{"resourceLogs": []any{map[string]any{"scopeLogs": []any{map[string]any{"logRecords": all}}}}})
			return string(out)
		}},
		// syslog daemons
		p("RFC 3164 with a priority", func(l sourceLine) string { return "<4>" + l.at().Format("Jan _2 15:04:05 worker kernel: ") + bare(l) }),
		p("RFC 5424 without data", func(l sourceLine) string {
			return "<4>1 " + l.at().Format("2006-01-02T15:04:05.000000Z worker kernel - - - ") + bare(l)
		}),
		{name: "RFC 5424 with octet counts", wrap: func(lines []sourceLine) string {
			return eachLine(lines, func(l sourceLine, text string) string {
				m := "<4>1 " + l.at().Format("2006-01-02T15:04:05.000000Z worker kernel - - - ") + bare(l) + text
				return fmt.Sprintf("%d %s", len(m), m)
			})
		}},
		{name: "RFC 5424 with octet counts, in one line", wrap: func(lines []sourceLine) string {
			var b strings.Builder
			eachLine(lines, func(l sourceLine, text string) string {
				m := "<4>1 " + l.at().Format("2006-01-02T15:04:05.000000Z worker kernel - - - ") + bare(l) + text
				fmt.Fprintf(&b, "%d %s", len(m), m)
				return ""
			})
			return b.String()
		}},
		p("RFC 5424 in a file", func(l sourceLine) string {
			return "1 " + l.at().Format("2006-01-02T15:04:05.000000Z worker kernel - - - ") + bare(l)
		}),
		p("syslog-ng ISO", func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05+00:00 worker kernel: ") + bare(l) }),
		p("syslog-ng with a source", func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 s_sys@worker kernel: ") + bare(l) }),
		p("syslog-ng chain", func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 relay/worker kernel: ") + bare(l) }),
		p("busybox", func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 worker kern.warn kernel: ") + bare(l) }),
		p("busybox, no host", func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 kern.warn kernel: ") + bare(l) }),
		p("syslog with a pid", func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 worker kernel[0]: ") + bare(l) }),
		p("syslog with a year", func(l sourceLine) string { return l.at().Format("2006 Jan _2 15:04:05 worker kernel: ") + bare(l) }),
		p("syslog with a year behind", func(l sourceLine) string { return l.at().Format("Jan _2 2006 15:04:05 worker kernel: ") + bare(l) }),
		p("syslog, full year stamp", func(l sourceLine) string { return l.at().Format("2006-01-02 15:04:05 worker kernel: ") + bare(l) }),
		p("syslog, milliseconds", func(l sourceLine) string { return l.at().Format("2006-01-02 15:04:05,000 worker kernel: ") + bare(l) }),
		p("syslog, slashes", func(l sourceLine) string { return l.at().Format("2006/01/02 15:04:05 worker kernel: ") + bare(l) }),
		p("SLES", func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05.000000+00:00 worker kernel: ") + bare(l)
		}),
		p("Synology", func(l sourceLine) string {
			return l.at().Format("2006-01-02T15:04:05+00:00 DiskStation kernel: ") + bare(l)
		}),
		p("QNAP-like", func(l sourceLine) string { return l.at().Format("kern.warn: Jan _2 15:04:05 kernel: ") + bare(l) }),
		p("FreeBSD-like level", func(l sourceLine) string {
			return l.at().Format("Jan _2 15:04:05 <kern.warn> worker kernel: ") + bare(l)
		}),
		p("ESXi vmkernel like", func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05.000Z worker kernel: ") + bare(l) }),
		p("syslog IPv6 host", func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 fe80::1 kernel: ") + bare(l) }),
		// phones, routers
		p("logcat threadtime with uid", func(l sourceLine) string { return l.at().Format("01-02 15:04:05.000  root     0     0 W kernel  : ") }),
		p("logcat year", func(l sourceLine) string { return l.at().Format("2006-01-02 15:04:05.000     0     0 W kernel  : ") }),
		p("logcat -v long", func(l sourceLine) string { return "W/kernel  : " }),
		p("Samsung", func(l sourceLine) string { return "<4>[" + l.clock() + "] I[3:        kswapd0:  214] " }),
		p("Samsung with brackets", func(l sourceLine) string { return "[" + l.clock() + "]  [3:        kswapd0:  214] " }),
		p("MTK", func(l sourceLine) string { return "<4>[" + l.clock() + "]  (2)[214:kswapd0]" }),
		p("OpenWrt without level", func(l sourceLine) string { return l.at().Format("Mon Jan _2 15:04:05 2006 kernel: ") + bare(l) }),
		p("OpenWrt logread -t", func(l sourceLine) string {
			return l.at().Format("Mon Jan _2 15:04:05 2006 ") + fmt.Sprintf("[%d.%03d] kern.warn kernel: ", l.at().Unix(), l.us/1000%1000) + bare(l)
		}),
		p("RouterOS", func(l sourceLine) string { return l.at().Format("jan/02/2006 15:04:05 kernel: ") + bare(l) }),
		// netconsole, pstore, crash
		{name: "netconsole extended", wrap: func(lines []sourceLine) string {
			var b strings.Builder
			for i, l := range lines {
				fmt.Fprintf(&b, "%d,%d,%d,-;%s\n", l.prio, 1000+i, l.us, strings.ReplaceAll(l.text, "\n", `\x0a`))
			}
			return b.String()
		}},
		{name: "netconsole extended, release", wrap: func(lines []sourceLine) string {
			var b strings.Builder
			for i, l := range lines {
				fmt.Fprintf(&b, "6.12.3,%d,%d,%d,-;%s\n", l.prio, 1000+i, l.us, strings.ReplaceAll(l.text, "\n", `\x0a`))
			}
			return b.String()
		}},
		{name: "netconsole fragments", wrap: func(lines []sourceLine) string {
			var b strings.Builder
			for i, l := range lines {
				text := strings.ReplaceAll(l.text, "\n", `\x0a`)
				if len(text) < 60 {
					fmt.Fprintf(&b, "%d,%d,%d,-;%s\n", l.prio, 1000+i, l.us, text)
					continue
				}
				fmt.Fprintf(&b, "%d,%d,%d,-,ncfrag=0/%d;%s\n%d,%d,%d,-,ncfrag=33/%d;%s\n", l.prio, 1000+i, l.us, len(text), text[:33], l.prio, 1000+i, l.us, len(text), text[33:])
			}
			return b.String()
		}},
		{name: "pstore", wrap: func(lines []sourceLine) string {
			return "Oops#1 Part2\n" + prefixed(func(l sourceLine) string { return "<4>" + bare(l) })(lines)
		}},
		{name: "pstore parts", wrap: func(lines []sourceLine) string {
			t := strings.SplitAfter(prefixed(func(l sourceLine) string { return "<4>" + bare(l) })(lines), "\n")
			return "Panic#2 Part1\n" + strings.Join(t[:len(t)/2], "") + "Panic#2 Part2\n" + strings.Join(t[len(t)/2:], "")
		}},
		p("crash's log", func(l sourceLine) string { return fmt.Sprintf("[%5d.%06d] ", l.us/1e6, l.us%1e6) }),
		p("crash's log -T", func(l sourceLine) string { return l.at().Format("[Mon Jan _2 15:04:05 UTC 2006] ") }),
		p("crash's log -t", func(l sourceLine) string { return "" }),
		p("crash's log -m", func(l sourceLine) string { return bare(l) + "<4>" }),
		{name: "crash's session", wrap: func(lines []sourceLine) string { return "crash> log\n" + dmesg(lines) + "crash> quit\n" }},
		{name: "kdb", wrap: func(lines []sourceLine) string { return "[0]kdb> dmesg 200\n" + dmesg(lines) + "[0]kdb> \n" }},
		// consoles, recordings
		{name: "IPMI SOL", wrap: func(lines []sourceLine) string {
			return "[SOL Session operational.  Use ~? for help]\r\r\n" + strings.ReplaceAll(dmesg(lines), "\n", "\r\r\n") + "[terminated ipmitool]\r\n"
		}},
		p("conserver", func(l sourceLine) string { return l.at().Format("[Mon Jan _2 15:04:05 2006]") + bare(l) }),
		p("conserver with a blank", func(l sourceLine) string { return l.at().Format("[Mon Jan _2 15:04:05 2006] ") + bare(l) }),
		p("ts", func(l sourceLine) string { return l.at().Format("Jan 02 15:04:05 ") + bare(l) }),
		p("ts iso", func(l sourceLine) string { return l.at().Format("[2006-01-02 15:04:05] ") + bare(l) }),
		p("ts clock", func(l sourceLine) string { return l.at().Format("15:04:05 ") + bare(l) }),
		p("ts clock in brackets", func(l sourceLine) string { return l.at().Format("[15:04:05] ") + bare(l) }),
		p("ts clock ms in brackets", func(l sourceLine) string { return l.at().Format("[15:04:05.000] ") + bare(l) }),
		p("Jenkins", func(l sourceLine) string { return l.at().Format("[2006-01-02T15:04:05.000Z] ") + bare(l) }),
		p("GitHub Actions", func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05.0000000Z ") + bare(l) }),
		p("GitLab CI", func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05.000000Z 01O ") + bare(l) }),
		p("LAVA", func(l sourceLine) string { return l.at().Format("15:04:05.000000  ") + bare(l) }),
		p("kernelci", func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05.000000  ") + bare(l) }),
		{name: "script", wrap: func(lines []sourceLine) string {
			return "Script started on 2025-03-07 05:00:00+00:00 [TERM=\"xterm\" COLUMNS=\"80\"]\r\n\x1b]0;root@web1: ~\x07root@web1:~# dmesg\r\n" + strings.ReplaceAll(dmesg(lines), "\n", "\r\n") + "\x1b]0;root@web1: ~\x07\x1b[?2004hroot@web1:~# exit\r\n"
		}},
		{name: "titles in each line", wrap: each(func(_ int, l string) string { return "\x1b]0;web1\x07\x1b[?25l" + l + "\x1b[K\x1b[?25h\r\n" })},
		{name: "asciinema", wrap: func(lines []sourceLine) string {
			var b strings.Builder
			b.WriteString(`{"version": 2, "width": 80, "height": 24, "timestamp": 1741320669, "env": {"TERM": "xterm"}}` + "\n")
			for line := range strings.Lines(strings.ReplaceAll(dmesg(lines), "\n", "\r\n")) {
				s, _ := json.Marshal(line)
				fmt.Fprintf(&b, "[1.234567, \"o\", %s]\n", s)
			}
			return b.String()
		}},
		{name: "a colour across the stamp", wrap: each(func(_ int, l string) string {
			if l == "" || l[0] != '[' {
				return l + "\n"
			}
			return "\x1b[32m[\x1b[1m" + l[1:strings.IndexByte(l, ']')] + "\x1b[0m\x1b[32m]\x1b[0m" + l[strings.IndexByte(l, ']')+1:] + "\x1b[m\n"
		})},
		// forums
		{name: "an issue of GitHub", wrap: func(lines []sourceLine) string {
			return "### What happened?\n\nIt died.\n\n<details>\n<summary>dmesg</summary>\n\n```console\n$ dmesg\n" + dmesg(lines) + "```\n\n</details>\n"
		}},
		{name: "details on the same line", wrap: func(lines []sourceLine) string {
			return "<details><summary>dmesg</summary><pre>" + html.EscapeString(dmesg(lines)) + "</pre></details>\n"
		}},
		{name: "a table of GitHub", wrap: around("| Time | Message |\n| --- | --- |\n", "", func(n int, l string) string { return fmt.Sprintf("| 05:11 | %s |\n", l) })},
		{name: "a quoted fence", wrap: around("> ```\n", "> ```\n", func(n int, l string) string { return "> " + l + "\n" })},
		{name: "inline code each", wrap: each(func(_ int, l string) string { return "`" + l + "`\n" })},
		{name: "inline code each, two blanks", wrap: each(func(_ int, l string) string { return "`" + l + "`  \n" })},
		{name: "backslash ends", wrap: each(func(_ int, l string) string { return l + "\\\n" })},
		{name: "escaped Markdown", wrap: replaced("_", `\_`, "[", `\[`, "]", `\]`, "*", `\*`)},
		{name: "escaped underscores", wrap: replaced("_", `\_`)},
		{name: "Jira noformat", wrap: around("{noformat}\n", "{noformat}\n", func(n int, l string) string { return l + "\n" })},
		{name: "Jira noformat in line", wrap: func(lines []sourceLine) string { return "{noformat}" + dmesg(lines) + "{noformat}\n" }},
		{name: "Jira code with a title", wrap: func(lines []sourceLine) string { return "{code:title=dmesg}" + dmesg(lines) + "{code}\n" }},
		{name: "phpBB", wrap: func(lines []sourceLine) string { return "Code: Select all\n" + dmesg(lines) + "\n" }},
		{name: "bbcode", wrap: func(lines []sourceLine) string { return "[code]\n" + dmesg(lines) + "[/code]\n" }},
		{name: "bbcode quote", wrap: func(lines []sourceLine) string { return "[QUOTE=jd;123]" + dmesg(lines) + "[/QUOTE]\n" }},
		{name: "Bugzilla", wrap: func(lines []sourceLine) string {
			return "<pre class=\"bz_comment_text\" id=\"comment_text_0\">Description of problem:\n" + html.EscapeString(dmesg(lines)) + "</pre>\n"
		}},
		{name: "StackExchange", wrap: func(lines []sourceLine) string {
			return "<div class=\"s-prose js-post-body\" itemprop=\"text\">\n<p>My server:</p>\n<pre class=\"lang-none s-code-block\"><code class=\"hljs\">" + html.EscapeString(dmesg(lines)) + "</code></pre></div>\n"
		}},
		{name: "br only", wrap: each(func(_ int, l string) string { return html.EscapeString(l) + "<br>\n" })},
		{name: "br with text", wrap: func(lines []sourceLine) string {
			return "My server dies:<br />\n<br />\n" + each(func(_ int, l string) string { return html.EscapeString(l) + "<br />\n" })(lines)
		}},
		{name: "Reddit", wrap: each(func(_ int, l string) string { return "    " + l + "\n" })},
		{name: "Reddit, numbered list", wrap: each(func(n int, l string) string { return fmt.Sprintf("%d. %s\n", n+1, l) })},
		{name: "Slack", wrap: func(lines []sourceLine) string { return "jdoe  5:11 AM\n```" + dmesg(lines) + "```\n:eyes: 2\n" }},
		{name: "Discord", wrap: func(lines []sourceLine) string { return "jdoe — Today at 5:11 AM\n```\n" + dmesg(lines) + "```\n" }},
		{name: "IRC", wrap: each(func(n int, l string) string { return "05:11 < jdoe> " + l + "\n" })},
		{name: "IRC brackets", wrap: each(func(n int, l string) string { return "[05:11:09] <jdoe> " + l + "\n" })},
		{name: "Telegram", wrap: each(func(n int, l string) string { return "[07.03.2025 05:11] jdoe: " + l + "\n" })},
		{name: "quotes curled", wrap: each(func(n int, l string) string { return "“" + l + "”\n" })},
		{name: "list bullets", wrap: each(func(n int, l string) string { return "• " + l + "\n" })},
		{name: "rst", wrap: around("The log::\n\n", "\nEnd.\n", func(n int, l string) string { return "   " + l + "\n" })},
		{name: "Textile", wrap: func(lines []sourceLine) string {
			return "<pre><code class=\"text\">\n" + dmesg(lines) + "</code></pre>\n"
		}},
		{name: "org", wrap: around("#+BEGIN_SRC\n", "#+END_SRC\n", func(n int, l string) string { return l + "\n" })},
		{name: "org colon", wrap: each(func(n int, l string) string { return ": " + l + "\n" })},
		{name: "TeX", wrap: around("\\begin{verbatim}\n", "\\end{verbatim}\n", func(n int, l string) string { return l + "\n" })},
		// viewers
		{name: "less -N", wrap: each(func(n int, l string) string { return fmt.Sprintf("%7d %s\n", n+1, l) })},
		{name: "line numbers and a bar", wrap: each(func(n int, l string) string { return fmt.Sprintf("%4d | %s\n", n+1, l) })},
		{name: "bat", wrap: each(func(n int, l string) string { return fmt.Sprintf("%4d   │ %s\n", n+1, l) })},
		{name: "line numbers and a colon", wrap: each(func(n int, l string) string { return fmt.Sprintf("%4d: %s\n", n+1, l) })},
		{name: "line numbers and a bracket", wrap: each(func(n int, l string) string { return fmt.Sprintf("%d) %s\n", n+1, l) })},
		{name: "line numbers, zeros", wrap: each(func(n int, l string) string { return fmt.Sprintf("%06d %s\n", n+1, l) })},
		{name: "L numbers", wrap: each(func(n int, l string) string { return fmt.Sprintf("L%d: %s\n", n+1, l) })},
		{name: "grep -H of syslog", wrap: onSyslog(func(n int, l string) string { return "/var/log/syslog.1:" + l + "\n" })},
		{name: "grep -Hn of syslog", wrap: onSyslog(func(n int, l string) string { return fmt.Sprintf("messages-20250307:%d:%s\n", n+1, l) })},
		{name: "grep -H, no dot", wrap: onSyslog(func(n int, l string) string { return "messages:" + l + "\n" })},
		{name: "grep -H, a blank in the name", wrap: onSyslog(func(n int, l string) string { return "my logs/kern.log:" + l + "\n" })},
		{name: "grep of stdin", wrap: onSyslog(func(n int, l string) string { return "(standard input):" + l + "\n" })},
		{name: "zgrep", wrap: onSyslog(func(n int, l string) string { return "/var/log/kern.log.2.gz:" + l + "\n" })},
		{name: "grep --color", wrap: onSyslog(func(n int, l string) string {
			return "\x1b[35m\x1b[Kkern.log\x1b[m\x1b[K\x1b[36m\x1b[K:\x1b[m\x1b[K" + l + "\n"
		})},
		{name: "grep -b", wrap: onSyslog(func(n int, l string) string { return fmt.Sprintf("%d:%s\n", n*117, l) })},
		{name: "ripgrep", wrap: around("kern.log\n", "", func(n int, l string) string { return fmt.Sprintf("%d:%s\n", n+12, l) })},
		{name: "tail of several", wrap: func(lines []sourceLine) string {
			return "==> /var/log/kern.log <==\n" + dmesg(lines) + "\n==> /var/log/syslog <==\n"
		}},
		{name: "pssh", wrap: each(func(n int, l string) string { return "web1: " + l + "\n" })},
		{name: "pdsh", wrap: onSyslog(func(n int, l string) string { return "web1: " + l + "\n" })},
		{name: "clush", wrap: each(func(n int, l string) string { return "node[1-3]: " + l + "\n" })},
		{name: "a diff", wrap: around("diff --git a/kern.log b/kern.log\nnew file mode 100644\nindex 0000000..1234567\n--- /dev/null\n+++ b/kern.log\n@@ -0,0 +1,90 @@\n", "", func(n int, l string) string { return "+" + l + "\n" })},
		{name: "a diff, removed", wrap: each(func(n int, l string) string { return "-" + l + "\n" })},
		{name: "a diff, old style", wrap: each(func(n int, l string) string { return "< " + l + "\n" })},
		{name: "a diff, old style, new", wrap: each(func(n int, l string) string { return "> " + l + "\n" })},
		{name: "a diff, context", wrap: each(func(n int, l string) string { return " " + l + "\n" })},
		{name: "cat -A", wrap: func(lines []sourceLine) string {
			return strings.NewReplacer("\t", "^I", "\n", "$\n").Replace(dmesg(lines))
		}},
		{name: "cat -A, CRLF", wrap: func(lines []sourceLine) string {
			return strings.NewReplacer("\t", "^I", "\n", "^M$\n").Replace(dmesg(lines))
		}},
		{name: "cat -v of CRLF", wrap: replaced("\n", "^M\n")},
		{name: "quoted by git", wrap: each(func(n int, l string) string { return strconv.Quote(l) + "\n" })},
		{name: "quoted with commas", wrap: each(func(n int, l string) string { return "  " + strconv.Quote(l) + ",\n" })},
		{name: "single quotes with commas", wrap: each(func(n int, l string) string { return "    '" + l + "',\n" })},
		{name: "Go's raw", wrap: func(lines []sourceLine) string { return "var log = `" + dmesg(lines) + "`\n" }},
		{name: "C strings", wrap: each(func(n int, l string) string { return "\t\"" + l + "\\n\"\n" })},
		{name: "echo", wrap: each(func(n int, l string) string { return "echo '" + l + "'\n" })},
		{name: "logger", wrap: each(func(n int, l string) string { return "+ " + l + "\n" })},
		{name: "sosreport", wrap: func(lines []sourceLine) string { return "# dmesg\n\n" + dmesg(lines) }},
		{name: "a shell prompt", wrap: func(lines []sourceLine) string {
			return "[root@web1 ~]# dmesg | tail -n 100\n" + dmesg(lines) + "[root@web1 ~]# \n"
		}},
		// spreadsheets
		{name: "TSV of Excel", wrap: func(lines []sourceLine) string {
			return "Time\tHost\tMessage\r\n" + eachLine(lines, func(l sourceLine, text string) string {
				return l.at().Format("2006-01-02 15:04:05\tworker\t") + bare(l) + text + "\r"
			})
		}},
		{name: "CSV, sep line", wrap: func(lines []sourceLine) string {
			return "sep=;\nTime;Message\n" + eachLine(lines, func(l sourceLine, text string) string {
				return l.at().Format("2006-01-02 15:04:05;\"") + strings.ReplaceAll(bare(l)+text, `"`, `""`) + `"`
			})
		}},
		{name: "psql", wrap: func(lines []sourceLine) string {
			return "        at         | message \n-------------------+---------\n" + eachLine(lines, func(l sourceLine, text string) string {
				return " " + l.at().Format("2006-01-02 15:04:05") + " | " + bare(l) + text
			})
		}},
	}
}

// corpusLines are the lines of a real report that has the kernel's stamps and one origin.
func corpusLines(t testing.TB, name string) []sourceLine {
	t.Helper()
	if strings.Contains(name, "callers") {
		return nil // only who printed them tells its lines apart
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	var in recorder
	r := lines.NewReader(bytes.NewReader(text), o.lines(), grammar{}, &in)
	for r.Step() == nil {
	}
	var out []sourceLine
	last := int64(0)
	for _, l := range in.all {
		if !l.Uptime.Known || len(l.Text) == 0 || bytes.ContainsAny(l.Text, "\x1b\r") {
			return nil
		}
		us := int64(l.Uptime.Value / 1000)
		if us+2e6 < last {
			return nil
		}
		last = us
		out = append(out, sourceLine{4, us, strings.TrimRight(string(l.Text), " ")})
	}
	return out
}

func sameFacts(rec *oom.Record) string {
	c := *rec
	if c.Exit != nil {
		e := *c.Exit
		e.ReapedAfterNS = oom.Opt[uint64]{}
		c.Exit = &e
	}
	return essence(&c)
}

// TestKeptForms: the records are the same in each form, whatever stamps the log has.
func TestKeptForms(t *testing.T) {
	for _, w := range textWrappings() {
		var names, but []string
		switch w.name {
		case "dmesg":
			names = []string{"3.10-system", "4.19-group", "pip3-system-oom"}
		case "dmesg -T", "journalctl short":
			names = []string{"4.15-system-child"}
		case "dmesg -t": // a tag's or a path's look, a name before a number of columns
			names = []string{"3.10-system"}
			but = []string{"Telegram", "pssh", "clush", "L numbers", "slashes", "IRC brackets", "format=flowed", "quoted with commas", "asciinema"}
		default:
			continue
		}
		for _, name := range names {
			src := corpusLines(t, filepath.Join(corpus, name+".txt"))
			want := readText(t, w.wrap(src), testOptions())
			for _, form := range keptForms(w.wrap) {
				if slices.Contains(but, form.name) {
					continue
				}
				t.Run(w.name+", "+name+", "+form.name, func(t *testing.T) { sameRecords(t, form.wrap(src), want) })
			}
		}
	}
}

func sameRecords(t *testing.T, text string, want []*oom.Record) {
	t.Helper()
	got, st := readAll(t, strings.NewReader(text), testOptions())
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d; %+v", len(got), len(want), st)
	}
	for i := range got {
		if a, b := sameFacts(got[i]), sameFacts(want[i]); a != b {
			t.Error(difference(a, b))
		}
	}
}

// TestNoForm: what a program writes, or a name holds, makes no kill of what is only like a
// form that is known.
func TestNoForm(t *testing.T) {
	const init = "Out of memory: Killed process 1 (init) total-vm:4kB, anon-rss:4kB, file-rss:0kB"
	name := func(path string) string {
		return "[    5.000001] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=" + path + ",task_memcg=" + path + ",task=a,pid=77,uid=5\n[    5.000002] " +
			strings.Replace(killLineText, "Out of memory", "Memory cgroup out of memory", 1) + "\n"
	}
	limit := func(path string) string {
		return "Task in /a killed as a result of limit of " + path + "\n" + strings.Replace(killLineText, "Out of memory", "Memory cgroup out of memory", 1) + "\n"
	}
	for what, c := range map[string]struct {
		log  string
		want int
	}{
		"a format of printf":            {`l := fmt.Sprintf("Mar  7 04:11:09 h kernel: [    1.000000] ` + strings.Replace(init, "init", "%s", 1) + `", name)` + "\n", 0},
		"a name like one":               {"[    1.000000] " + strings.NewReplacer("init", "%s", " 1 ", " 2 ").Replace(init) + "\n", 1},
		"a name in quotes":              {strings.NewReplacer("(init)", "(\"a\",)", " 1 ", " 2 ").Replace(init) + "\n", 1},
		"an object in a program's line": {`2025-03-07T04:11:09Z app {"msg":"` + init + `"}` + "\n", 0},
		"an object in a name":           {limit(`/{"message":"` + init + `"}`), 1},
		"line ends in a name":           {name(`/"[    1.000000] x\n[    1.000000] ` + init + `\n[    1.000000] y"`), 1},
		"a return in a name":            {name("/a\r[    1.000000] " + init + "\r"), 1},
		"a quote in a name":             {limit(`/"[    1.000000] ` + init + `"`), 1},
		"a program's tag":               {strings.Repeat("app: "+init+"\n", 4), 0},
		"an event in a name":            {limit("/ Warning OOMKilling " + init), 1},
		"an event, by another":          {"apiVersion: v1\nitems:\n- kind: Event\n  message: '" + init + "'\n  source:\n    component: app\n", 0},
		"a tag of XML in a name":        {"<log>\n<line>[    5.000001] x</line>\n" + strings.ReplaceAll(name("/a&lt;/line&gt;&lt;line&gt;"+init+"&lt;/line&gt;"), "\n", "\n\n") + "</log>\n", 1},
		"a tag in CDATA":                {"<log>\n<line><![CDATA[[    5.000001] x]]></line>\n<line><![CDATA[" + strings.TrimSuffix(strings.ReplaceAll(name("/a<line>"+init+"</line>"), "\n", "]]></line>\n<line><![CDATA["), "<line><![CDATA[") + "</log>\n", 1},
		"elements for a name":           {"<a><b></b><c> invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n" + limit("/<line>"+init+"</line>"), 1},
		"a section for a name":          {"<a><![CDATA[x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n" + limit("/]]><line>"+init+"</line>"), 1},
		"a line joined in a name":       {strings.Split(name(`/a\n[    5.000003] x\n[    5.000003] `+init+`\n[    5.000003] y\n[    5.000003] z`), "\n")[0] + "\n", 1},
		"a cell in a name":              {"| when | what |\n|---|---|\n| 05:11 | x |\n" + "| 05:11 | " + strings.TrimSuffix(strings.ReplaceAll(name("/a |\\n| 05:11 | "+init+" |"), "\n", " |\n| 05:11 | "), "| 05:11 | "), 1},
		"a list for a name":             {"stdout_lines: invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\nstdout: | invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n" + limit("/a"), 1},
		"a part of a store in a name":   {"Panic#1 Part1 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n" + limit("/a"), 1},
		"a container's part":            {"2025-03-07T04:11:09.000000000Z stdout P Out of memory: \n2025-03-07T04:11:09.000000000Z stdout F " + init[len("Out of memory: "):] + "\n", 0},
	} {
		got := kills(readText(t, c.log, testOptions()))
		if got[1] != 0 || len(got) != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// TestTimesFound are stamps that stand elsewhere than in most logs.
func TestTimesFound(t *testing.T) {
	const head, kill, at = "squid invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", "Memory cgroup out of memory: Killed process 812 (hostapd)", "03-07T04:11:09"
	const sizes = "total-vm:4kB, anon-rss:4kB, file-rss:0kB"
	for name, c := range map[string]struct{ log, time, node string }{
		"French":          {"[ven. 7 mars 04:11:09 2025] " + head + "\n[ven. 7 mars 04:11:09 2025] " + kill + " " + sizes + "\n", at, ""},
		"Polish":          {"[pią 7 mar 04:11:09 2025] " + head + "\n[pią 7 mar 04:11:09 2025] " + kill + " " + sizes + "\n", at, ""},
		"above the text":  {"Mar 07 04:11:09 db-1 kernel:\n  " + head + "\n\nMar 07 04:11:09 db-1 kernel:\n  " + kill + "\n  " + sizes + "\n", at, "db-1"},
		"not above it":    {"Mar 07 04:11:09 db-1 kernel:\n\n  " + head + "\n  " + kill + " " + sizes + "\n", "", ""},
		"not that far":    {"Mar 07 04:11:09 db-1 kernel:\nwords\n  " + head + "\n  " + kill + " " + sizes + "\n", "", ""},
		"docker compose":  {"node-log-service-1  | 2025-03-07T05:12:00.5Z stderr F Mar  7 04:11:09 db-1 kernel: [   12.5] " + head + "\nnode-log-service-1  | 2025-03-07T05:12:00.5Z stderr F Mar  7 04:11:09 db-1 kernel: [   12.5] " + kill + " " + sizes + "\n", at, "db-1"},
		"another's":       {"node-log-service-1  | 2025-03-07T05:12:00.5Z stderr F Mar  7 04:11:09 db-1 app[7]: [   12.5] " + kill + " " + sizes + "\n", "none", ""},
		"two names there": {"node log service 1  | 2025-03-07T05:12:00.5Z [   12.5] " + kill + " " + sizes + "\n", "", ""},
	} {
		all := readText(t, c.log, testOptions())
		if c.time == "none" && len(all) == 0 {
			continue
		}
		if len(all) != 1 || all[0].Victim.PID.Value != 812 || all[0].Node != c.node {
			t.Errorf("%s: %d records", name, len(all))
			continue
		}
		if got := all[0].Time; got.IsZero() != (c.time == "") || c.time != "" && got.UTC().Format("01-02T15:04:05") != c.time {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestKubectl are events as kubectl prints them.
func TestKubectl(t *testing.T) {
	kill := strings.Replace(killLineText, "Out of memory", "Memory cgroup out of memory", 1)
	half := strings.Index(kill, "file-rss")
	for name, log := range map[string]string{
		"get":         "LAST SEEN   TYPE      REASON       OBJECT        MESSAGE\n3m12s       Warning   OOMKilling   node/node-4   " + kill + "\n5m          Normal    Pulled       pod/web-1     image\n",
		"wide":        "LAST SEEN   TYPE      REASON       OBJECT   SUBOBJECT   SOURCE   MESSAGE   FIRST SEEN   COUNT   NAME\n3m12s       Warning   OOMKilling   node/node-4               kernel-monitor, node-4   " + kill + "   3m12s        1       node-4.17ab\n",
		"describe":    "Events:\n  Type     Reason      Age   From            Message\n  ----     ------      ----  ----            -------\n  Warning  OOMKilling  3m    kernel-monitor  " + kill + "\n  Warning  SystemOOM   3m    kubelet         System OOM encountered, victim process: a, pid: 77\n",
		"YAML":        "apiVersion: v1\nitems:\n- apiVersion: v1\n  involvedObject:\n    kind: Node\n    name: node-4\n  lastTimestamp: \"2025-03-07T05:11:09Z\"\n  message: \"" + kill + "\"\n  reason: OOMKilling\n  source:\n    component: kernel-monitor\n    host: node-4\nkind: List\n",
		"YAML, split": "apiVersion: v1\nitems:\n- involvedObject:\n    kind: Node\n  message: '" + kill[:half-1] + "\n    " + kill[half:] + "'\n  source:\n    component: kernel-monitor\n",
	} {
		t.Run(name, func(t *testing.T) {
			checkWanted(t, log, wanted{oom.KindKill, "77 a", "", func(r *oom.Record) bool {
				return r.Scope == oom.ScopeCgroup && r.Victim.OOMScoreAdj.Known && (!strings.HasPrefix(name, "YAML") || name == "YAML, split" || r.Node == "node-4" && r.Time.Hour() == 5)
			}})
		})
	}
}

// TestVendorPrefixes: phones' kernels put the CPU or the caller before each text, and what keeps
// their log a date before it. Neither is of a name; a name that only looks so stays.
func TestVendorPrefixes(t *testing.T) {
	kill := func(trigger string) wanted { return wanted{oom.KindKill, "812 hostapd", trigger, nil} }
	for name, c := range map[string]struct {
		format  string
		trigger string
		lines   []string
	}{
		"the CPU":                  {"[  104.482941] c%d %s", "squid", []string{headerLine, cpuLine, "Mem-Info:", killedLine}},
		"the CPU, a level, a date": {"09-22 15:36:44.117 <4>[  104.482941] c%d %s", "squid", []string{headerLine, cpuLine, "Mem-Info:", killedLine}},
		"the CPU of ten":           {"<4>[  104.482941] c1%d  %s", "squid", []string{headerLine, cpuLine, "Mem-Info:", killedLine}},
		"a date":                   {"09-22 15:36:44.117 <%d>[  104.482941] %s", "squid", []string{headerLine, cpuLine, killedLine}},
		"a caller of HiSilicon":    {"<4>[  104.482941s][pid:214,cpu%d,kswapd0]%s", "squid", []string{headerLine, cpuLine, killedLine}},
		"a name that looks so":     {"[  104.48294%d] %s", "c2 sh", []string{"c2 sh" + headerLine[len("squid"):], cpuLine, killedLine}},
		"drivers whose names do": {"[  104.48294%d] %s", "c2 sh", []string{"c1 link up", "c2 link up", "c3 link up", "eth0 up", "usb 1 up", "sda up", "md0 up",
			"c2 sh" + headerLine[len("squid"):], cpuLine, killedLine}},
		"such a name behind a date": {"09-22 15:36:44.117 <%d>[  104.482941] %s", "c2 sh", []string{"c2 sh" + headerLine[len("squid"):], cpuLine, killedLine}},
	} {
		var log strings.Builder
		for i, l := range c.lines {
			fmt.Fprintf(&log, c.format+"\n", i, l)
		}
		t.Run(name, func(t *testing.T) { checkWanted(t, log.String(), kill(c.trigger)) })
	}
	checkWanted(t, "[  104.482941] c2 "+killedLine+"\n", kill(""))
}
