package kernlog

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// pasted are the forms in which people keep and pass on a log: of a text as dmesg has it.
func pasted() map[string]func(lines []string) []string {
	each := func(f func(i int, line string) string) func([]string) []string {
		return func(lines []string) []string {
			var out []string
			for i, line := range lines {
				out = append(out, f(i, line))
			}
			return out
		}
	}
	blanks := regexp.MustCompile(` +`)
	return map[string]func([]string) []string{
		"as it is":            func(lines []string) []string { return lines },
		"mail":                each(func(_ int, l string) string { return "> " + l }),
		"mail, twice":         each(func(_ int, l string) string { return ">> " + l }),
		"mail, twice apart":   each(func(_ int, l string) string { return "> > " + l }),
		"a column":            each(func(_ int, l string) string { return "| " + l }),
		"cat -n":              each(func(i int, l string) string { return fmt.Sprintf("%6d\t%s", i+1, l) }),
		"nl, squeezed":        each(func(i int, l string) string { return fmt.Sprintf("%d %s", i+1, l) }),
		"grep -n":             each(func(i int, l string) string { return fmt.Sprintf("%d:%s", i+1, l) }),
		"grep -C":             each(func(i int, l string) string { return fmt.Sprintf("%d%c%s", i+1, ":-"[i%2], l) }),
		"grep -Hn":            each(func(i int, l string) string { return fmt.Sprintf("/var/log/kern.log:%d:%s", i+1, l) }),
		"grep -H":             each(func(_ int, l string) string { return "kern.log.1:" + l }),
		"grep -HC":            each(func(i int, l string) string { return fmt.Sprintf("old/kern-1.log-%d-%s", i+1, l) }),
		"colours, written":    each(func(_ int, l string) string { return "^[[32m" + l + "^[[0m" }),
		"colours":             each(func(_ int, l string) string { return "\x1b[1;31m" + l + "\x1b[0m" }),
		"bold":                each(func(_ int, l string) string { return "**" + l + "**" }),
		"bold behind":         each(func(_ int, l string) string { return l + "**" }),
		"a list":              each(func(_ int, l string) string { return "- " + l }),
		"quotes":              each(func(_ int, l string) string { return `"` + l + `",` }),
		"blanks squeezed":     each(func(_ int, l string) string { return blanks.ReplaceAllString(l, " ") }),
		"blanks of web pages": each(func(_ int, l string) string { return strings.ReplaceAll(l, "  ", "\u00a0 ") }),
		"tabs":                each(func(_ int, l string) string { return strings.ReplaceAll(l, "  ", "\t") }),
		"line ends of DOS":    each(func(_ int, l string) string { return l + "\r" }),
		"each line twice":     func(lines []string) []string { return twice(lines) },
		"all of it twice":     func(lines []string) []string { return append(slices.Clone(lines), lines...) },
		"newest first":        func(lines []string) []string { return turned(lines) },
		"newest first, quoted": func(lines []string) []string {
			return each(func(_ int, l string) string { return "> " + l })(turned(lines))
		},
		"newest first, twice": func(lines []string) []string { return twice(turned(lines)) },
	}
}

func twice(lines []string) (out []string) {
	for _, l := range lines {
		out = append(out, l, l)
	}
	return out
}

func turned(lines []string) []string {
	out := slices.Clone(lines)
	slices.Reverse(out)
	return out
}

// TestPasted: what people make of a log changes nothing of the record.
func TestPasted(t *testing.T) {
	lines := original(t)
	for _, w := range textWrappings() {
		switch w.name {
		case "dmesg", "dmesg -T", "dmesg -x", "dmesg --time-format iso", "journalctl short", "journalctl short-iso", "rsyslog file", "syslog with uptime", "OpenWrt", "dmesg -t":
		default:
			continue
		}
		text := strings.Split(strings.TrimSuffix(w.wrap(lines), "\n"), "\n")
		want := essence(readText(t, strings.Join(text, "\n"), testOptions())[0])
		for name, f := range pasted() {
			bare := w.name == "dmesg -t"
			if bare && (name == "bold" || name == "quotes" || name == "a list" || name == "grep -H" || name == "grep -HC" || name == "nl, squeezed" || name == "each line twice" || strings.HasPrefix(name, "newest first")) {
				continue // nothing but the stamp tells these from the kernel's text
			}
			t.Run(w.name+", "+name, func(t *testing.T) {
				log := strings.Join(f(text), "\n") + "\n"
				all, st := readAll(t, strings.NewReader(log), testOptions())
				if len(all) != 1 || st.Kills != 1 {
					t.Fatalf("%d records, %+v", len(all), st)
				}
				if got := essence(all[0]); got != want {
					t.Errorf("%s", difference(got, want))
				}
				if strings.HasPrefix(name, "newest") != st.Reversed || (name == "each line twice" || name == "newest first, twice") != (st.DoubledLines > 0) || (name == "all of it twice") != (st.Duplicates > 0) {
					t.Errorf("%+v", st)
				}
			})
		}
	}
}

// difference is where two texts part.
func difference(got, want string) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	from := max(0, i-60)
	return fmt.Sprintf("…%s\nwant …%s", got[from:min(len(got), i+80)], want[from:min(len(want), i+80)])
}

// TestNewestFirst: three lines are enough, and what cannot be told is read as it stands.
func TestNewestFirst(t *testing.T) {
	const summaryLine = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=hostapd,pid=812,uid=0"
	kill := wanted{oom.KindKill, "812 hostapd", "squid", nil}
	for name, c := range map[string]struct {
		log  string
		want []wanted
	}{
		"uptimes":          {"[  9.000300] " + killedLine + "\n[  9.000200] " + summaryLine + "\n[  9.000100] " + headerLine + "\n", []wanted{kill}},
		"one second":       {"Mar  7 04:11:09 h kernel: " + killedLine + "\nMar  7 04:11:09 h kernel: " + summaryLine + "\nMar  7 04:11:09 h kernel: " + headerLine + "\n", []wanted{kill}},
		"no stamps":        {killedLine + "\n" + summaryLine + "\n" + headerLine + "\n", []wanted{kill}},
		"a line is apart":  {"[  9.000300] usb 1-1: new\n[  9.000200] " + killedLine + "\n[  9.000100] " + headerLine + "\n", []wanted{kill}},
		"oldest first":     {"[  9.000100] " + headerLine + "\n[  9.000200] " + summaryLine + "\n[  9.000300] " + killedLine + "\n", []wanted{kill}},
		"two boots":        {"[  9.000300] " + headerLine + "\n[  9.000400] " + killedLine + "\n[  1.000100] " + headerLine + "\n", []wanted{kill, {kind: oom.KindOOM, trigger: "squid"}}},
		"a kill, a header": {killedLine + "\n" + headerLine + "\n", []wanted{{kind: oom.KindKill, victim: "812 hostapd"}, {kind: oom.KindOOM, trigger: "squid"}}},
	} {
		t.Run(name, func(t *testing.T) { checkWanted(t, c.log, c.want...) })
	}
}

// TestRecurring: what a report has twice by itself stays.
func TestRecurring(t *testing.T) {
	const at = "[    5.000001] "
	zone := func(name string) string {
		return at + "Node 0 " + name + " free:4kB min:4kB low:4kB high:4kB\n" + at + "lowmem_reserve[]: 0 0\n"
	}
	frames := strings.Repeat(at+" walk+0x1/0x2\n", 3)
	all, st := readAll(t, strings.NewReader(at+headerLine+"\n"+at+"Call Trace:\n"+frames+at+"Mem-Info:\n"+zone("DMA")+zone("Normal")+at+killLineText+"\n"), testOptions())
	if len(all) != 1 || len(all[0].Trigger.KernelStack) != 3 || len(all[0].Memory.Zones) != 2 || all[0].Memory.Zones[1].LowmemReserveBytes == nil || st.DoubledLines != 0 {
		t.Errorf("%d records, %+v", len(all), st)
	}
}

// TestTwoLoggers: of two, one is some lines behind.
func TestTwoLoggers(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(textWrappings()[0].wrap(original(t)), "\n"), "\n")
	for behind, dropped := range map[int]bool{1: true, 4: true, 7: true, 20: false} {
		var b strings.Builder
		for i := range len(lines) + behind {
			if i < len(lines) {
				b.WriteString(lines[i] + "\n")
			}
			if j := i - behind; j >= 0 {
				b.WriteString(lines[j] + "\n")
			}
		}
		all, st := readAll(t, strings.NewReader(b.String()), testOptions())
		if len(all) != 1 && dropped || st.Kills != 1 || (st.DoubledLines > 60) != dropped {
			t.Errorf("%d behind: %d records, %+v", behind, len(all), st)
		}
	}
}

// TestAlmostNewestFirst: CPUs stamp their lines apart, so that a few are out of order.
func TestAlmostNewestFirst(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(textWrappings()[0].wrap(original(t)), "\n"), "\n")
	swap := func(lines []string, at ...int) []string {
		out := slices.Clone(lines)
		for _, i := range at {
			out[i], out[i+1] = out[i+1], out[i]
		}
		return out
	}
	for name, c := range map[string]struct {
		lines    []string
		reversed bool
	}{
		"newest first, one out of order": {swap(turned(lines), 2), true},
		"oldest first, one out of order": {swap(lines, 2), false},
		"oldest first, two out of order": {swap(lines, 1, 4), false},
	} {
		all, st := readAll(t, strings.NewReader(strings.Join(c.lines, "\n")+"\n"), testOptions())
		if len(all) != 1 || all[0].Kind != oom.KindKill || st.Reversed != c.reversed {
			t.Errorf("%s: %d records, %+v", name, len(all), st)
		}
	}
}

// TestWrapped: mail wraps at blanks, at 72 to 80 columns.
func TestWrapped(t *testing.T) {
	lines := original(t)
	for _, w := range textWrappings()[:3] {
		text := w.wrap(lines)
		want := essence(readText(t, text, testOptions())[0])
		for _, width := range []int{76, 80} {
			for _, quote := range []string{"", "> "} {
				var b strings.Builder
				for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
					for line = quote + line; len(line) > width; {
						i := strings.LastIndexByte(line[:width], ' ')
						if i <= len(quote)+14 {
							break
						}
						b.WriteString(line[:i] + "\n")
						line = quote + line[i+1:]
					}
					b.WriteString(line + "\n")
				}
				t.Run(fmt.Sprintf("%s, %d, %q", w.name, width, quote), func(t *testing.T) {
					all := readText(t, b.String(), testOptions())
					if len(all) != 1 {
						t.Fatalf("%d records\n%s", len(all), b.String())
					}
					if got := essence(all[0]); got != want {
						t.Errorf("%s", difference(got, want))
					}
				})
			}
		}
	}
}

// TestWrappedReports: so do the lines of other reports, with words longer than a line, and
// terminals break within words, where blanks at the end are lost.
func TestWrappedReports(t *testing.T) {
	for _, name := range []string{"3.10-rhel7-cgroup-syslog", "3.10-system", "4.19-group", "5.10-clock-set-back", "6.12-swapoff"} {
		raw, err := os.ReadFile(filepath.Join(corpus, name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		want := readText(t, string(raw), testOptions())
		for _, width := range []int{76, 80} {
			var soft, hard strings.Builder
			for line := range strings.Lines(string(raw)) {
				soft.WriteString(breakWords(line, min(width, 80)) + "\n")
				for line = strings.TrimRight(line, " \n"); len(line) > width; line = line[width:] {
					hard.WriteString(strings.TrimRight(line[:width], " ") + "\n")
				}
				hard.WriteString(line + "\n")
			}
			for form, text := range map[string]string{"at blanks": soft.String(), "within words": hard.String()} {
				got := readText(t, text, testOptions())
				if len(got) != len(want) {
					t.Errorf("%s, %s at %d: %d records, want %d", name, form, width, len(got), len(want))
					continue
				}
				for i := range got {
					if got, want := essence(got[i]), essence(want[i]); got != want {
						t.Errorf("%s, %s at %d: %s", name, form, width, difference(got, want))
					}
				}
			}
		}
	}
}

// breakWords breaks a line between its words.
func breakWords(line string, width int) string {
	var b strings.Builder
	n := 0
	for _, word := range strings.SplitAfter(strings.TrimSpace(line), " ") {
		if n > 0 && n+len(strings.TrimRight(word, " ")) > width {
			b.WriteString("\n")
			n = 0
		}
		if n == 0 && b.Len() > 0 && strings.TrimSpace(word) == "" {
			continue
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String()
}

// TestBelieved: a line counts as the kernel's where its facility, transport or identifier
// says so, and otherwise where nothing says whose it is.
func TestBelieved(t *testing.T) {
	const kill = "Out of memory: Killed process 1 (init) total-vm:400kB, anon-rss:40kB, file-rss:4kB"
	for line, want := range map[string]int{
		"Mar  7 04:11:09 h kernel: " + kill:                              1,
		"Mar  7 04:11:09 h my app[12]: " + kill:                          0,
		"12. Mar  7 04:11:09 h my app[12]: " + kill:                      0,
		"JD> 2025-03-07T04:11:09Z h kernel: " + kill:                     1,
		"Mar  7 04:11:09 h my app: " + kill:                              0,
		"Mar  7 04:11:09 h app[12]: [    1.000000] " + kill:              0,
		"Mar  7 04:11:09 h [    1.000000] " + kill:                       0,
		"Mar  7 04:11:09 h " + kill:                                      0,
		"Mar  7 04:11:09 h user.notice kernel: " + kill:                  0,
		"Mar  7 04:11:09 h kern.err kernel: " + kill:                     1,
		"Fri Mar  7 04:11:09 2025 user.notice kernel: " + kill:           0,
		"Fri Mar  7 04:11:09 2025 kern.err kernel: " + kill:              1,
		"2025-03-07T04:11:09+00:00 h my app[12]: " + kill:                0,
		"2025-03-07T04:11:09+00:00 h my app[12]: [    1.000000] " + kill: 0,
		"2025-03-07T04:11:09+00:00 h kernel: " + kill:                    1,
		"I0307 04:11:09.123456    1234 log.go:12] " + kill:               0,
		"2025-03-07 04:11:09,123 INFO app: " + kill:                      0,
		"2025-03-07 04:11:09 h kernel: " + kill:                          1,
		`time="2025-03-07T04:11:09Z" level=info msg="` + kill + `"`:      0,
		"app: " + kill:                          0,
		"my app[12]: " + kill:                   0,
		"kern: " + kill:                         1,
		"web-1 | " + kill:                       1,
		"[2025-03-07 04:11:09] " + kill:         1,
		"[2025-03-07 04:11:09] app: " + kill:    0,
		"user  :notice: [    1.000000] " + kill: 0,
		"kern  :notice: [    1.000000] " + kill: 1,
		"user :notice: [ 1.000000] " + kill:     0,
		"Mar 07 04:11:09 h app[12]: a\n" + strings.Repeat(" ", 30) + kill:                                                                     0,
		"Mar 07 04:11:09 h app[12]: a\n" + kill:                                                                                               0,
		"Mar 07 04:11:09 h app[12]: a\n\n[    1.000000] " + kill:                                                                              1,
		`{"message":"` + kill + `","_TRANSPORT":"syslog"}`:                                                                                    0,
		`{"message":"` + kill + `","_TRANSPORT":"kernel"}`:                                                                                    1,
		`{"message":"` + kill + `","appname":"app","facility":"user"}`:                                                                        0,
		`{"message":"` + kill + `","appname":"kernel","facility":"kern"}`:                                                                     1,
		`{"message":"` + kill + `","appname":"kernel","facility":"user"}`:                                                                     0,
		`{"host":"h","ident":"app","message":"` + kill + `"}`:                                                                                 0,
		`{"host":"h","ident":"kernel","message":"` + kill + `"}`:                                                                              1,
		`{"MESSAGE":"` + kill + `","SYSLOG_FACILITY":"1"}`:                                                                                    0,
		`{"MESSAGE":"` + kill + `","SYSLOG_FACILITY":"0"}`:                                                                                    1,
		`{"log":"` + kill + `\n","stream":"stdout","time":"2025-03-07T04:11:09Z"}`:                                                            0,
		`{"log":"[    1.000000] ` + kill + `\n","stream":"stdout","time":"2025-03-07T04:11:09Z"}`:                                             1,
		"2025-03-07T04:11:09.000000000Z stdout F " + kill:                                                                                     0,
		"2025-03-07T04:11:09.000000000Z stdout F [    1.000000] " + kill:                                                                      1,
		`{"message":"` + kill + `","process":{"name":"app"},"@timestamp":"2025-03-07T04:11:09Z"}`:                                             0,
		`{"message":"` + kill + `","log":{"syslog":{"facility":{"name":"kern"}}},"@timestamp":"2025-03-07T04:11:09Z"}`:                        1,
		`{"kind":"Event","message":"` + kill + `","reason":"OOMKilling","source":{"component":"kernel-monitor","host":"h"},"type":"Warning"}`: 1,
		`{"kind":"Event","message":"` + kill + `","reason":"OOMKilling","source":{"component":"evil"},"type":"Warning"}`:                      0,
	} {
		all, st := readAll(t, strings.NewReader(line+"\n"), testOptions())
		if len(all) != want {
			t.Errorf("%s: %d records", line, len(all))
		}
		if want == 0 && !strings.Contains(line, "stdout F") && st.Foreign == 0 {
			t.Errorf("%s: not counted as another program's: %+v", line, st)
		}
	}
}

// TestSeen: the records that are remembered are the last ones, and what no clock tells
// apart is the same kill.
func TestSeen(t *testing.T) {
	var s Seen
	rec := oom.Record{Kind: oom.KindKill, UptimeNS: oom.Some(uint64(1))}
	for i := range 3 * maxSeen {
		rec.ID = fmt.Sprint(i)
		s.Again(&rec)
	}
	if len(s.ids) > maxSeen || len(s.order) > maxSeen || !s.Again(&rec) {
		t.Errorf("%d ids", len(s.ids))
	}
	at := func(prefix string) string { return prefix + killLineText + "\n" }
	for name, c := range map[string]struct {
		log  string
		want int
	}{
		"one uptime":               {at("[    5.000001] ") + at("[    5.000001] "), 1},
		"less than a second later": {at("[    5.000001] ") + at("[    6.000001] "), 1},
		"another uptime":           {at("[    5.000001] ") + at("[    6.000002] "), 2},
		"dmesg, then syslog":       {at("[    5.000001] ") + at("Mar  7 04:11:09 h kernel: "), 1},
		"a second apart, no host":  {at("[Fri Mar  7 04:11:09 2025] ") + at("[Fri Mar  7 04:11:10 2025] "), 1},
		"two seconds apart":        {at("[Fri Mar  7 04:11:09 2025] ") + at("[Fri Mar  7 04:11:11 2025] "), 1},
		"three seconds apart":      {at("[Fri Mar  7 04:11:09 2025] ") + at("[Fri Mar  7 04:11:12 2025] "), 2},
		"two hosts":                {at("Mar  7 04:11:09 h kernel: ") + at("Mar  7 04:11:09 g kernel: "), 2},
		"no stamps":                {at("") + "\n" + at(""), 1},
		"another number, no stamp": {at("") + strings.Replace(at(""), "40kB", "44kB", 1), 2},
	} {
		if all := readText(t, c.log, testOptions()); len(all) != c.want {
			t.Errorf("%s: %d records", name, len(all))
		}
	}
}
