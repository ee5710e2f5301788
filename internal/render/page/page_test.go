package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/oomtrace/oomtrace/internal/explain"
	"github.com/oomtrace/oomtrace/internal/oom"
)

func render(t testing.TB, records ...*oom.Record) string {
	t.Helper()
	var b bytes.Buffer
	p := New(&b, Options{Location: time.UTC, Advice: func(code string) (string, string) { return "`cat C/" + code + "`", "raise it" }})
	for _, r := range records {
		if err := p.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestHostileNames holds each element and attribute of a page full of hostile names
// against those that the page's own templates have.
func TestHostileNames(t *testing.T) {
	elements := map[string]bool{}
	for _, e := range strings.Fields(`html head meta title style body a main header footer script article section p h1 h2 h3 h4 dl div dt dd ul ol li
		table caption thead tbody tr th td span b br code pre data details summary figure figcaption label input output time svg rect line path text`) {
		elements[e] = true
	}
	scripts := 0
	for z := html.NewTokenizer(strings.NewReader(render(t, hostile(), hostile()))); ; {
		if z.Next() == html.ErrorToken {
			if !errors.Is(z.Err(), io.EOF) {
				t.Fatal(z.Err())
			}
			break
		}
		token := z.Token()
		if token.Type == html.TextToken || token.Type == html.DoctypeToken {
			if strings.ContainsAny(token.Data, "\x00\u202e") {
				t.Errorf("control characters in %.100q", token.Data)
			}
			continue
		}
		if !elements[token.Data] {
			t.Errorf("element %q", token.Data)
		}
		if token.Data == "script" && token.Type == html.StartTagToken {
			scripts++
		}
		for _, a := range token.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "href" && a.Val[0] != '#' {
				t.Errorf("attribute %s=%q of %s", a.Key, a.Val, token.Data)
			}
		}
	}
	if scripts != 1 {
		t.Errorf("%d scripts, want the page's own", scripts)
	}
}

func TestPolicyAllowsTheOwnStyleAndScriptAlone(t *testing.T) {
	page := render(t, cgroupKill())
	policy := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)
	if policy == nil {
		t.Fatal("no policy")
	}
	allowed := html.UnescapeString(policy[1])
	for _, name := range []string{"style", "script"} {
		inner := regexp.MustCompile(`(?s)<`+name+`>(.*?)</`+name+`>`).FindAllStringSubmatch(page, -1)
		if len(inner) != 1 || !strings.Contains(allowed, name+"-src '"+hash([]byte(inner[0][1]))+"'") {
			t.Errorf("%d <%s>, policy %s", len(inner), name, allowed)
		}
	}
	if strings.Contains(allowed, "unsafe") || !strings.HasPrefix(allowed, "default-src 'none';") {
		t.Errorf("policy %s", allowed)
	}
}

// TestLog: the kernel's lines are there where the source had them, and not else.
func TestLog(t *testing.T) {
	const summary = "<summary>The kernel&#39;s lines</summary>"
	r := cgroupKill()
	if page := strings.ReplaceAll(render(t, r), "The kernel's", "The kernel&#39;s"); strings.Contains(page, summary) {
		t.Error("a record without a log has one")
	}
	r.LogText = "java invoked oom-killer: <x>\n\tanon 4096\x1b[2J\n"
	page := strings.ReplaceAll(render(t, r), "The kernel's", "The kernel&#39;s")
	if !strings.Contains(page, summary) || !strings.Contains(page, "java invoked oom-killer: &lt;x&gt;\n  anon 4096\\u001b[2J\n</pre>") {
		t.Error("the kernel's lines are not shown as they are")
	}
}

func TestPageSizes(t *testing.T) {
	logged := many(150)
	for _, r := range logged {
		r.LogText = strings.Repeat("<&> a line of a kernel's log\n", LogBytes/29)
	}
	for _, tt := range []struct {
		name    string
		records []*oom.Record
		most    int
	}{
		{"one kill", []*oom.Record{cgroupKill()}, 300 << 10},
		{"one system kill", []*oom.Record{systemKill()}, 300 << 10},
		{"500 kills", many(500), MaxBytes},
		{"one kill with its log", logged[:1], 300 << 10},
		{"150 kills with their logs", logged, MaxBytes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			page := render(t, tt.records...)
			if len(page) > tt.most {
				t.Errorf("%d bytes, want at most %d", len(page), tt.most)
			}
			for _, r := range tt.records {
				if !strings.Contains(page, `<article id="r-`+r.ID+`"`) {
					t.Errorf("record %s has no section", r.ID)
				}
			}
		})
	}
}

// TestNumbersAreTheRecords looks for each size of a record on its page, in full.
func TestNumbersAreTheRecords(t *testing.T) {
	for _, r := range []*oom.Record{cgroupKill(), systemKill()} {
		page := render(t, r)
		visible, _, _ := strings.Cut(page, "<pre ")
		line, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		// Points are drawn; the machine's total is the whole of a bar; the usage that a
		// limit's bar and the history repeat is there once.
		line = regexp.MustCompile(`"points":\[[^\]]*\]`).ReplaceAll(line, []byte(`"points":[]`))
		for _, m := range regexp.MustCompile(`"([a-z_0-9]+_bytes)":(\d+)`).FindAllStringSubmatch(string(line), -1) {
			if m[2] != "0" && !strings.Contains(visible, `<data value="`+m[2]+`"`) && !derived[m[1]] {
				t.Errorf("%s: %s is not on the page", m[1], m[2])
			}
		}
	}
}

// derived are counters that stand in a note, or only where they are not 0.
var derived = map[string]bool{"candidates_bytes": true}

func TestRecordAsJSON(t *testing.T) {
	for _, r := range []*oom.Record{cgroupKill(), hostile()} {
		page := render(t, r)
		_, rest, _ := strings.Cut(page, "<pre ")
		_, rest, _ = strings.Cut(rest, ">")
		text, _, ok := strings.Cut(rest, "</pre>")
		if !ok {
			t.Fatal("no JSON on the page")
		}
		var got oom.Record
		if err := json.Unmarshal([]byte(html.UnescapeString(text)), &got); err != nil {
			t.Fatal(err)
		}
		line, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		var want oom.Record // with what JSON makes of bytes that are not UTF-8
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the page's JSON is another record (-want +got):\n%.1000s", diff)
		}
	}
}

func TestHeadings(t *testing.T) {
	kinds := map[oom.Kind]string{
		oom.KindKill: "java (23143) was killed", oom.KindAlreadyExiting: "java (23143) was exiting and was marked as victim",
		oom.KindNoVictim: "OOM without a process that could be killed", oom.KindOOM: "An OOM whose end is not in the log",
		oom.KindPanic: "The kernel panicked on an OOM", oom.KindSigkill: "java (23143) was killed by SIGKILL",
	}
	for kind, want := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			r := cgroupKill()
			r.Kind = kind
			if page := render(t, r); !strings.Contains(page, ">"+want+"</h1>") {
				t.Errorf("no heading %q", want)
			}
		})
	}
}

// TestExitGoesToItsKill: an exit is no event of its own.
func TestExitGoesToItsKill(t *testing.T) {
	kill := cgroupKill()
	kill.Exit = nil
	exit := &oom.Record{Schema: oom.Schema, ID: "e", Kind: oom.KindExit, Incident: kill.Incident, Victim: &oom.Victim{PID: kill.Victim.PID},
		Exit: &oom.Exit{AfterNS: some(1_500_000_000)}}
	lost := &oom.Record{Schema: oom.Schema, ID: "l", Kind: oom.KindLost, Lost: some(3), LostKind: oom.LostKill}
	page := render(t, kill, exit, lost)
	for _, want := range []string{"<dt>Exited</dt><dd>after <data", "3 records (kill) were lost.", "<h1 "} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if n := strings.Count(page, "<article "); n != 1 {
		t.Errorf("%d sections, want 1", n)
	}
}

// TestPoorRecords: what is not known is left out, and no record breaks the page.
func TestPoorRecords(t *testing.T) {
	for _, tt := range []struct {
		name string
		rec  *oom.Record
	}{
		{"nothing known", &oom.Record{Kind: oom.KindKill}},
		{"blocks with nothing known", &oom.Record{
			Victim: &oom.Victim{CgroupLimits: []oom.CgroupLimit{{}}}, Trigger: &oom.Trigger{}, Limit: &oom.Limit{Changed: &oom.LimitChange{}, HighChanged: &oom.LimitChange{}}, Sender: &oom.Sender{},
			Memory:  &oom.Memory{Zones: []oom.Zone{{}}, SwapDevices: []oom.SwapDevice{{}}, History: &oom.MemoryHistory{Points: make([]oom.MemoryPoint, 3)}},
			History: &oom.History{Points: make([]oom.HistoryPoint, 2), Growers: make([]oom.Grower, 2)}, Holders: make([]oom.Holder, 2),
			Candidates: make([]oom.Candidate, 2), Why: &oom.Why{}, Exit: &oom.Exit{},
		}},
		{"numbers as big as can be", &oom.Record{
			Victim: &oom.Victim{RSSBytes: some(1<<64 - 1)}, Limit: &oom.Limit{MaxBytes: some(1<<64 - 1), UsageBytes: some(1<<64 - 1), Stat: oom.Stats{{Name: oom.LimitAnon, Bytes: 1<<64 - 1}, {Name: oom.LimitFile, Bytes: 1<<64 - 1}}},
			Memory:     &oom.Memory{Zones: []oom.Zone{{FreeBytes: some(1<<64 - 1), HighBytes: some(1<<64 - 1)}}, SwapTotalBytes: some(1<<64 - 1), SwapFreeBytes: some(1<<64 - 1)},
			History:    &oom.History{Points: []oom.HistoryPoint{{AgoNS: 1<<64 - 1, Bytes: 1<<64 - 1}, {AgoNS: 0, Bytes: 1<<64 - 1}}, RateBytesPerS: oom.Some(int64(-1 << 63))},
			Candidates: []oom.Candidate{{RSSBytes: some(1<<64 - 1), SwapBytes: some(1<<64 - 1)}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, page, _ := strings.Cut(render(t, tt.rec), "<main ")
			page, _, _ = strings.Cut(page, "<pre ")
			for _, bad := range []string{"NaN", "Inf", "%!", "ZgotmplZ", "-922", `="%"`} {
				if strings.Contains(page, bad) {
					t.Errorf("%q on the page", bad)
				}
			}
			render(t, tt.rec, tt.rec)
		})
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{short(0), "0 B"}, {short(1023), "1023 B"}, {short(1024), "1 KiB"}, {short(268435456), "256 MiB"}, {short(1785253888), "1.7 GiB"},
		{short(1<<64 - 1), "16 EiB"}, {grouped(1234567), "1 234 567"}, {grouped(12), "12"},
		{span(999), "0 µs"}, {span(38e6), "38 ms"}, {span(1.5e9), "1.5 s"}, {span(60e9), "1 min"}, {span(5400e9), "1.5 h"}, {span(200 * 3600e9), "8 days"},
		{percent(1, 1000), "<1 %"}, {percent(999, 1000), "99 %"}, {percent(1, 0), ""},
		{sentence("no free memory"), "No free memory."}, {sentence("vm.swappiness is 0"), "vm.swappiness is 0."},
		{visible("a\u202eb\x00\xff"), `a\u202eb\u0000` + "\ufffd"}, {visible("\u3164a\ufe0f\u2800\U000e0100"), `\u3164a\ufe0f\u2800\ue0100`},
		{visible("\u0301e\u0301 \u0338"), `\u0301e` + "\u0301" + ` \u0338`}, {visible("a" + strings.Repeat("\u0336", 6)), "a" + strings.Repeat("\u0336", 4) + `\u0336\u0336`}, {string(prose("see `a<b`")), "see <code>a&lt;b</code>"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

// TestChanges: what was changed before a kill, in sentences.
func TestChanges(t *testing.T) {
	r := cgroupKill()
	r.Limit.HighChanged = &oom.LimitChange{ToBytes: some(200 * mib), AgoNS: some(38e6), PID: oom.Some(int32(911)), Comm: "runc"}
	r.Memory.TotalChanged = &oom.LimitChange{FromBytes: some(8192 * mib), ToBytes: some(6144 * mib), AgoNS: some(180e9)}
	r.Memory.SwapChanged = &oom.LimitChange{FromBytes: some(2048 * mib), ToBytes: some(0), AgoNS: some(5e9)}
	r.Trigger.MemsChanged = &oom.NodesChange{From: "0-1", To: "1"}
	r.Victim.OOMScoreAdj, r.Victim.OOMScoreAdjChanged = oom.Some(int32(500)), &oom.AdjChange{AgoNS: some(60e9), PID: oom.Some(int32(77)), Comm: "kubelet", Cgroup: "/k"}
	page := plain(render(t, r))
	for _, want := range []string{
		"The limit was lowered from 384 MiB to 256 MiB, 7 min before the kill, by kubelet (911) in /system.slice/kubelet.service.",
		"memory.high was set to 200 MiB, 38 ms before the kill, by runc (911).",
		"The machine's memory was reduced from 8 GiB to 6 GiB, 3 min before the kill.",
		"Swap was reduced from 2 GiB to 0 B, 5 s before the kill.",
		"The cpuset of the allocation was reduced from nodes 0-1 to 1.",
		"The victim's oom_score_adj was set to 500, 1 min before the kill, by kubelet (77) in /k.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if page := render(t, systemKill()); strings.Contains(page, "Changed before the kill") {
		t.Error("nothing was changed, and there is a section on it")
	}
}

// plain is a page without its tags.
func plain(page string) string {
	return html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, ""))
}

// TestSampledGrowers: where charges were not counted, the page says what the processes held.
func TestSampledGrowers(t *testing.T) {
	r := cgroupKill()
	for i := range r.History.Growers {
		r.History.Growers[i].ChargedBytes = oom.Opt[uint64]{}
	}
	r.History.Growers[2].Points = []oom.HistoryPoint{{AgoNS: 1e9, Bytes: 500 * kib}}
	page := render(t, r)
	for _, want := range []string{"Processes that held most", ">Held</th>", "500 KiB"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"harged", `="%"`} {
		if strings.Contains(page, bad) {
			t.Errorf("%q on the page", bad)
		}
	}
}

var update = flag.Bool("update", false, "write the golden files")

// TestExample: the record of README's picture is one that a page of the tests shows, and is
// explained as the code does.
func TestExample(t *testing.T) {
	line, err := encode(cgroupKill())
	if err != nil {
		t.Fatal(err)
	}
	const name = "testdata/example.json"
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(name, append(line, '\n'), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(line)+"\n" {
		t.Errorf("%s differs; -update writes it", name)
	}
	var r oom.Record
	if err := json.Unmarshal(got, &r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(explain.Of(&r), r.Why); diff != "" {
		t.Errorf("explained again (-), and its own (+):\n%s", diff)
	}
}

func TestSender(t *testing.T) {
	page := render(t, sigkill())
	for _, want := range []string{"pip3 (24161) was killed by systemd-oomd (411)", "Who sent the signal", "systemd-oomd (memory manager)", "memory pressure 62.1 % for 30 s", "some 62.10 % of 10 s, all 41.00 % of 10 s, all 12.00 % of 60 s"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}
