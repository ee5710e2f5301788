package kernlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

func corpusFile(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const killLineText = "Out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB, UID:5 pgtables:40kB oom_score_adj:7"

// TestKillLines are the wordings of the lines that name a victim.
func TestKillLines(t *testing.T) {
	const sizes = " total-vm:400kB, anon-rss:40kB, file-rss:4kB"
	for _, c := range []struct {
		name, text string
		pid        int32
		comm       string
		scope      oom.Scope
		uid        oom.Opt[uint32]
		rss        oom.Opt[uint64]
		incomplete bool // beyond the missing header
	}{
		{"3.10", "Killed process 77 (a)" + sizes, 77, "a", "", oom.Opt[uint32]{}, oom.Some(uint64(44 << 10)), false},
		{"4.5", "Killed process 77 (a)" + sizes + ", shmem-rss:4kB", 77, "a", "", oom.Opt[uint32]{}, oom.Some(uint64(48 << 10)), false},
		{"RHEL 6", "Killed process 77, UID 12, (a)" + sizes, 77, "a", "", oom.Some(uint32(12)), oom.Some(uint64(44 << 10)), false},
		{"RHEL 6, blanks lost", "Killed process 77, UID 12,(a)" + sizes, 77, "a", "", oom.Some(uint32(12)), oom.Some(uint64(44 << 10)), false},
		{"a blank lost", "Out of memory: Killed process 77(a)" + sizes, 77, "a", oom.ScopeSystem, oom.Opt[uint32]{}, oom.Some(uint64(44 << 10)), false},
		{"RHEL 7", "Killed process 77 (a), UID 12," + sizes + ", shmem-rss:0kB", 77, "a", "", oom.Some(uint32(12)), oom.Some(uint64(44 << 10)), false},
		{"5.1", "Out of memory: Killed process 77 (a)" + sizes + ", shmem-rss:0kB", 77, "a", oom.ScopeSystem, oom.Opt[uint32]{}, oom.Some(uint64(44 << 10)), false},
		{"5.4", killLineText, 77, "a", oom.ScopeSystem, oom.Some(uint32(5)), oom.Some(uint64(44 << 10)), false},
		{"cgroup", "Memory cgroup out of memory: Killed process 77 (a)" + sizes, 77, "a", oom.ScopeCgroup, oom.Opt[uint32]{}, oom.Some(uint64(44 << 10)), false},
		{"allocating task", "Out of memory (oom_kill_allocating_task): Killed process 77 (a)" + sizes, 77, "a", oom.ScopeSystem, oom.Opt[uint32]{}, oom.Some(uint64(44 << 10)), false},
		{"brackets in the name", "Out of memory: Killed process 77 (a) total-vm:1k) (b)" + sizes, 77, "a) total-vm:1k) (b", oom.ScopeSystem, oom.Opt[uint32]{}, oom.Some(uint64(44 << 10)), false},
		{"empty name", "Out of memory: Killed process 77 ()" + sizes, 77, "", oom.ScopeSystem, oom.Opt[uint32]{}, oom.Some(uint64(44 << 10)), false},
		{"Chinese name", "Out of memory: Killed process 77 (内存)" + sizes, 77, "内存", oom.ScopeSystem, oom.Opt[uint32]{}, oom.Some(uint64(44 << 10)), false},
		{"fields left out", "Out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:40kB, ... UID:5 oom_score_adj:7", 77, "a", oom.ScopeSystem, oom.Some(uint32(5)), oom.Opt[uint64]{}, true},
		{"and by one character", "Out of memory: Killed process 77 (a) total-vm:400kB, … UID:5 oom_score_adj:7", 77, "a", oom.ScopeSystem, oom.Some(uint32(5)), oom.Opt[uint64]{}, true},
		{"cut in the numbers", "Out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:4", 77, "a", oom.ScopeSystem, oom.Opt[uint32]{}, oom.Opt[uint64]{}, true},
		{"cut after the name", "Out of memory: Killed process 77 (a)", 77, "a", oom.ScopeSystem, oom.Opt[uint32]{}, oom.Opt[uint64]{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := readText(t, "[    5.000001] "+c.text+"\n", testOptions())
			if len(all) != 1 {
				t.Fatalf("%d records", len(all))
			}
			v := all[0].Victim
			if v.PID != oom.Some(c.pid) || v.Comm != c.comm || all[0].Scope != c.scope || v.UID != c.uid || v.RSSBytes != c.rss {
				t.Errorf("pid %v comm %q scope %q uid %v rss %v", v.PID, v.Comm, all[0].Scope, v.UID, v.RSSBytes)
			}
		})
	}
}

// TestNotKernel: what other programs write about kills is no kill.
func TestNotKernel(t *testing.T) {
	for _, line := range []string{
		"Mar  7 04:11:09 worker kubelet[812]: " + killLineText,
		"Mar  7 04:11:09 worker systemd[1]: foo.service: " + killLineText,
		"2025-03-07T04:11:09.123456+00:00 worker app: " + killLineText,
		"12,5,100,-;" + killLineText,
		"<12>[    5.100000] " + killLineText,
		"user  :warn  : [    5.100000] " + killLineText,
		"<14>1 2025-03-07T04:11:09Z worker kernel - - - " + killLineText,
		`{"_TRANSPORT":"stdout","SYSLOG_IDENTIFIER":"kernel","MESSAGE":"` + killLineText + `"}`,
		`{"SYSLOG_IDENTIFIER":"app","MESSAGE":"` + killLineText + `"}`,
		"__CURSOR=a\n_TRANSPORT=syslog\nMESSAGE=" + killLineText + "\n\n",
	} {
		if all := readText(t, line+"\n", testOptions()); len(all) != 0 {
			t.Errorf("%s: %d records", line, len(all))
		}
	}
}

// TestForgedLines: names make up no kills, reports or lines of their own.
func TestForgedLines(t *testing.T) {
	const fake = "Out of memory: Killed process 1 (init) total-vm:400kB, anon-rss:40kB, file-rss:4kB"
	for name, log := range map[string]string{
		"stats, kmsg":    `6,1,5000000,-;Memory cgroup stats for /x\x0a` + fake + `\x0a:` + "\n",
		"stats, dmesg":   "[    5.000000] Memory cgroup stats for /x\n[    5.000000] " + fake + "\n[    5.000000] :\n",
		"summary, kmsg":  `6,1,5000000,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/x\x0a` + fake + `\x0a,task_memcg=/y,task=a,pid=7,uid=0` + "\n",
		"summary, dmesg": "[    5.000000] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/x\n[    5.000000] " + fake + "\n[    5.000000] ,task_memcg=/y,task=a,pid=7,uid=0\n",
	} {
		for _, rec := range readText(t, log, testOptions()) {
			if rec.Victim != nil && rec.Victim.Comm == "init" {
				t.Errorf("%s: init was killed", name)
			}
		}
	}
}

// TestForgedNames puts whole kernel lines into a cgroup's name, in every line
// that has one and behind every prefix: the record is the true one's.
func TestForgedNames(t *testing.T) {
	const header = "invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
	const fake = "Killed process 1 (init) total-vm:4kB, anon-rss:4kB, file-rss:0kB"
	for _, name := range []string{
		"/u/Out of memory: " + fake, "/u/x Out of memory: " + fake, "/[1.000000] Out of memory: " + fake, "/a kernel: Out of memory: " + fake,
		"/u/Memory cgroup out of memory: " + fake, "/x] " + fake, "/u/kubelet " + header, "/ " + header, "/[1.000000] a " + header,
		"/u/no killable processes", "/Out of memory and no killable processes", "/Out of memory: panic_on_oom is enabled",
		"/Out of memory: OOM victim 1 (init) is already exiting. Skip killing the task", "/Kill process 1 (init) score 1 or sacrifice child",
		"/oom_reaper: reaped process 1 (init), now anon-rss:0kB", "/a,task_memcg=/b", "/a,global_oom,task_memcg=/z", "/a,task=x,pid=7,uid=8", "/a: cache:0KB",
	} {
		lines := []sourceLine{
			{4, 5000000, "a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"},
			{4, 5000001, "CPU: 1 PID: 77 Comm: a Not tainted 6.12.0 #1"},
			{6, 5000002, "memory: usage 400kB, limit 400kB, failcnt 7"},
			{6, 5000003, "Memory cgroup stats for " + name + ":"},
			{6, 5000004, "anon 4096"},
			{6, 5000005, "Tasks state (memory values in pages):"},
			{6, 5000006, "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"},
			{6, 5000007, "[     77]     5    77      100       11    40960        0             7 a"},
			{6, 5000008, "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=" + name + ",task_memcg=" + name + ",task=a,pid=77,uid=5"},
			{6, 5000009, "cgroup: fork rejected by pids controller in " + name},
			{3, 5000010, "Memory cgroup " + strings.ToLower(killLineText[:1]) + killLineText[1:]},
			{6, 5000011, "Tasks in " + name + " are going to be killed due to memory.oom.group set"},
			{6, 5000012, "cgroup: fork rejected by pids controller in " + name},
			{6, 5000013, "Task in " + name + " killed as a result of limit of " + name},
		}
		for _, w := range append(textWrappings(), otherWrappings()...) {
			t.Run(w.name+" "+name, func(t *testing.T) {
				all := readText(t, w.wrap(lines), testOptions())
				if len(all) != 1 {
					t.Fatalf("%d records", len(all))
				}
				rec := all[0]
				if rec.Kind != oom.KindKill || rec.Victim.Comm != "a" || rec.Victim.Cgroup != name || rec.Limit.Cgroup != name ||
					rec.Trigger.Comm != "a" || rec.Exit != nil || rec.Limit.OOMGroup != oom.Some(true) {
					t.Errorf("%s of %+v, limit %+v, trigger %+v", rec.Kind, rec.Victim, rec.Limit, rec.Trigger)
				}
			})
		}
	}
}

// TestTriggerNames: a process that calls itself a kernel line is what it is.
func TestTriggerNames(t *testing.T) {
	for _, comm := range []string{"Killed process", "Out of memory:", "Task in /a", "CPU: 0 Comm: x", "oom_reaper: x", "cgroup: x", "oom-kill:x"} {
		log := "[    5.000001] " + comm + " invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n[    5.000002] CPU: 1 PID: 77 Comm: " + comm + " Not tainted 6.12.0 #1\n[    5.000003] " + killLineText + "\n"
		all := readText(t, log, testOptions())
		if len(all) != 1 || all[0].Trigger == nil || all[0].Trigger.Comm != comm || all[0].Trigger.TID != oom.Some(int32(77)) {
			t.Errorf("%s: %d records", comm, len(all))
		}
	}
}

// TestDmesgEscapes: dmesg writes what it cannot print in hex, and indents the
// further lines of a text.
func TestDmesgEscapes(t *testing.T) {
	kill := func(comm string) string { return strings.Replace(killLineText, "(a)", "("+comm+")", 1) }
	for name, c := range map[string]struct{ log, comm string }{
		"bytes":           {"[    5.000001] " + kill(`\xe5\x86\x85\xe5\xad\x98`) + "\n", "内存"},
		"a literal":       {"[    5.000001] " + kill(`\x41`) + "\n", `\x41`},
		"a newline":       {"[    5.000001] " + kill(`a\x0ab`) + "\n", "a\nb"},
		"indented":        {"[    5.000001] " + strings.Replace(kill("a\nb"), "\n", "\n"+strings.Repeat(" ", 15), 1) + "\n", "a\nb"},
		"each line, -T":   {"[Fri Mar  7 04:00:05 2025] " + strings.Replace(kill("a\nb"), "\n", "\n[Fri Mar  7 04:00:05 2025] ", 1) + "\n", "a\nb"},
		"rsyslog's":       {"Mar  7 04:00:05 worker kernel: " + kill("a#012b") + "\n", "a\nb"},
		"rsyslog's, none": {"Mar  7 04:00:05 worker kernel: " + kill("a#1b#9") + "\n", "a#1b#9"},
	} {
		if all := readText(t, c.log, testOptions()); len(all) != 1 || all[0].Victim.Comm != c.comm {
			t.Errorf("%s: %d records", name, len(all))
		}
	}
}

// TestLookBack: rows in the middle of a log, without their heading.
func TestLookBack(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "[%5d.000000] usb 1-1: new device %d\n", i, i)
	}
	b.WriteString(corpusFile(t, "pip3-system-oom.txt"))
	all := readText(t, b.String(), testOptions())
	if len(all) != 1 || all[0].Victim.SwapBytes != oom.Some(uint64(39263*4096)) {
		t.Errorf("%d records", len(all))
	}
}

// TestBigTable: the victim and the biggest tasks are found among 50 000 rows.
func TestBigTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("[    9.000001] a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n")
	b.WriteString("[    9.000002] Tasks state (memory values in pages):\n[    9.000003] [  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name\n")
	for i := 1; i <= 50000; i++ {
		fmt.Fprintf(&b, "[    9.000004] [%7d]  1000 %5d     1000 %8d %8d        1        1     4096        %d             0 task %d\n", i, i, i+2, i, i%3, i)
	}
	b.WriteString("[    9.900000] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=task 77,pid=77,uid=1000\n[    9.900001] Out of memory: Killed process 77 (task 77) total-vm:4000kB, anon-rss:308kB, file-rss:4kB, shmem-rss:4kB, UID:1000 pgtables:4kB oom_score_adj:0\n")
	all := readText(t, b.String(), testOptions())
	if len(all) != 1 {
		t.Fatalf("%d records", len(all))
	}
	rec := all[0]
	if rec.CandidatesTotal != oom.Some(uint64(50000)) || len(rec.Candidates) != maxCandidates || rec.Victim.SwapBytes != oom.Some(uint64(2*4096)) || rec.Incomplete != oom.Some(true) { // it has nothing but the table
		t.Errorf("%d of %v candidates, swap %v", len(rec.Candidates), rec.CandidatesTotal, rec.Victim.SwapBytes)
	}
	for i := 1; i < len(rec.Candidates); i++ {
		if rec.Candidates[i].RSSBytes.Value > rec.Candidates[i-1].RSSBytes.Value+3*4096 {
			t.Errorf("candidate %d is bigger than the one before", i)
		}
	}
	if rec.Candidates[0].Comm != "task 50000" && rec.Candidates[0].Comm != "task 49999" {
		t.Errorf("the biggest is %q", rec.Candidates[0].Comm)
	}
}

// endless gives the same text again and again.
type endless struct {
	text string
	left int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n+len(e.text) <= len(b) && e.left > 0 {
		n += copy(b[n:], e.text)
		e.left -= len(e.text)
	}
	return n, nil
}

// TestMemoryBound: no input makes the reader grow.
func TestMemoryBound(t *testing.T) {
	const size = 16 << 20
	header := "[    1.000001] a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
	for name, c := range map[string]struct{ first, text string }{
		"a line that never ends":       {"", "Killed process "},
		"a report that never ends":     {header, "[    1.000001]  frame+0x1/0x2\n"},
		"a table that never ends":      {header, "[    1.000001] [   77]     0    77      100       10    40960        0             0 x\n"},
		"rows without a report":        {"", "[    1.000001] [   77]     0    77      100       10    40960        0             0 x\n"},
		"headers only":                 {"", header},
		"kills only":                   {"", "[    1.000001] " + killLineText + "\n"},
		"zones":                        {header, "[    1.000001] Node 0 DMA free:1kB min:1kB low:1kB high:1kB\n"},
		"statistics":                   {header + "[    1.000001] Memory cgroup stats for /a:\n", "[    1.000001] anon 12\n"},
		"a JSON object without an end": {"{\"MESSAGE\":\"", "Killed process "},
		"JSON that only opens":         {"{\"a\":", "{{{{"},
		"an export field without end":  {"__CURSOR=x\n", "MESSAGE"},
		"newlines":                     {"", "\n\n\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(io.MultiReader(strings.NewReader(c.first), &endless{c.text, size}), testOptions())
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			most := uint64(0)
			for n := 0; ; n++ {
				if _, err := r.Next(); err != nil {
					break
				}
				if n%10000 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&after)
					most = max(most, after.HeapAlloc)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			most = max(most, after.HeapAlloc)
			if grown := int64(most) - int64(before.HeapAlloc); grown > 12<<20 {
				t.Errorf("%d MiB", grown>>20)
			}
			runtime.KeepAlive(r)
		})
	}
}

func TestLongLine(t *testing.T) {
	o := testOptions()
	o.MaxLine = 1000
	log := strings.Repeat("x", 5000) + " Killed process 1 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB\n[    5.000001] " + killLineText + "\n" + strings.Repeat("y", 4<<20) + "\n[    9.000001] " + killLineText
	all, st := readAll(t, strings.NewReader(log), o)
	if len(all) != 2 || st.CutLines != 2 || st.Lines != 4 {
		t.Errorf("%d records, %+v", len(all), st)
	}
}

// TestSmallReads: the records do not hang on how the input comes in.
func TestSmallReads(t *testing.T) {
	for _, name := range logs(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := readAll(t, bytes.NewReader(text), testOptions())
		pieces, _ := readAll(t, iotest.OneByteReader(bytes.NewReader(text)), testOptions())
		if len(whole) != len(pieces) {
			t.Fatalf("%s: %d and %d records", name, len(whole), len(pieces))
		}
		for i := range whole {
			if essence(whole[i]) != essence(pieces[i]) || whole[i].ID != pieces[i].ID {
				t.Errorf("%s: record %d differs", name, i)
			}
		}
	}
}

// TestCutAnywhere cuts a report at each line: a victim that was named is in a
// record all the same, and the cut is told.
func TestCutAnywhere(t *testing.T) {
	lines := strings.SplitAfter(corpusFile(t, "6.18-cgroup-v1.txt"), "\n")
	lines = lines[:len(lines)-1]
	for i := 1; i < len(lines); i++ {
		front := readText(t, strings.Join(lines[i:], ""), testOptions())
		if len(front) != 1 || front[0].Victim.Comm != "python3" || front[0].Incomplete != oom.Some(true) {
			t.Errorf("from line %d: %d records", i, len(front))
		}
		back := readText(t, strings.Join(lines[:i], ""), testOptions())
		if len(back) != 1 || back[0].Incomplete != oom.Some(true) {
			t.Errorf("to line %d: %d records", i, len(back))
		}
	}
}

// TestInterleaved mixes two reports of an old kernel, line by line and without
// the callers: both kills are there, and both say that parts may be mixed up.
func TestInterleaved(t *testing.T) {
	text := corpusFile(t, "3.10-interleaved-callers.txt")
	text = strings.NewReplacer("[T30177] ", " ", "[  T411] ", " ").Replace(text)
	all := readText(t, text, testOptions())
	if len(all) != 2 {
		t.Fatalf("%d records", len(all))
	}
	for _, rec := range all {
		if rec.Incomplete != oom.Some(true) || rec.Trigger == nil || rec.Trigger.Comm != rec.Victim.Comm || rec.Trigger.KernelStack != nil {
			t.Errorf("%s killed by %+v", rec.Victim.Comm, rec.Trigger)
		}
	}
}

// TestGroupLive: live, a kill is given out with the next line, and the group's
// victims are one incident.
func TestGroupLive(t *testing.T) {
	o := testOptions()
	o.ExitRecords = true
	all := readText(t, corpusFile(t, "4.19-group.txt"), o)
	var got []string
	for _, rec := range all {
		got = append(got, fmt.Sprintf("%s %d %v", rec.Kind, rec.Victim.PID.Value, rec.Incident == all[0].Incident))
	}
	want := "kill 702 true, kill 690 true, kill 700 true, exit 702 true, kill 9001 false"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	if len(all) > 0 && all[0].Limit.OOMGroup != oom.Some(true) {
		t.Error("the first victim's limit has no oom_group")
	}
}

func TestSharedMM(t *testing.T) {
	log := "[    5.000001] Out of memory: Kill process 70 (a) score 5 or sacrifice child\n[    5.000002] Killed process 70 (a) total-vm:4kB, anon-rss:4kB, file-rss:0kB\n[    5.000003] Kill process 71 (b) sharing same memory\n"
	all := readText(t, log, testOptions())
	if len(all) != 1 || all[0].Exit == nil || len(all[0].Exit.SharedMM) != 1 || all[0].Exit.SharedMM[0].PID != oom.Some(int32(71)) {
		t.Errorf("%d records", len(all))
	}
}

func TestUnplaced(t *testing.T) {
	var got []string
	o := testOptions()
	o.OnUnplaced = func(line int, text string) { got = append(got, fmt.Sprintf("%d %s", line, text)) }
	_, st := readAll(t, strings.NewReader("[    0.900000] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n[    0.900001] [     77]     5    77      100       11    40960        0             7 a\n[    1.000001] x\n[    1.000002] Out of memory: Killed process many\n[    1.000003] oom_reaper: reaped process 7 (x), now anon-rss:0kB\n[    1.000004] y invoked oom-killer: nothing\n"), o)
	want := []string{
		"4 Out of memory: Killed process many", "6 y invoked oom-killer: nothing",
		"1 [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name", // two lines of no report
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || st.Unplaced != 4 || st.Reaped != 1 {
		t.Errorf("%d: %q", st.Unplaced, got)
	}
}

// TestOthersReports: what warn_alloc prints of another allocation is no part of an
// OOM's report, in the words of every kernel.
func TestOthersReports(t *testing.T) {
	for name, head := range map[string]string{
		"2.6.32 failure": "swapper: page allocation failure. order:0, mode:0x20",
		"6.1 failure":    "kworker/0:1: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL|__GFP_COMP), nodemask=(null),cpuset=/,mems_allowed=0",
		"4.14 stalls":    "hog: page allocation stalls for 10004ms, order:0, mode:0x14280ca(GFP_HIGHUSER_MOVABLE|__GFP_ZERO), nodemask=(null)",
		"7.3 stall":      "hog: page allocation stall for 10 secs: order:0, mode:0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_ZERO|__GFP_COMP) nodemask=(null),cpuset=/,mems_allowed=0",
		"6.12 vmalloc":   "insmod: vmalloc error: size 8388608, page order 0, failed to allocate pages, mode:0xdc2(GFP_KERNEL|__GFP_HIGHMEM|__GFP_ZERO), nodemask=(null),cpuset=/,mems_allowed=0",
	} {
		t.Run(name, func(t *testing.T) {
			log := ""
			for i, text := range []string{
				head, "CPU: 0 PID: 736 Comm: hog Not tainted 6.1.0", "Call Trace:", " <TASK>", " dump_stack_lvl+0x5d/0x80", " </TASK>",
				"Mem-Info:", "active_anon:1145 inactive_anon:41022 isolated_anon:0", " free:1923 free_pcp:247 free_cma:0",
				"Node 0 DMA free:2972kB boost:0kB min:92kB low:112kB high:132kB", "lowmem_reserve[]: 0 421 421 421 421",
				"Node 0 DMA: 7*4kB (U) 6*8kB (UM) 7*16kB (U) 5*32kB (U) 7*64kB (UM) 5*128kB (U) 6*256kB (U) = 2972kB",
				"3725 total pagecache pages", "84 pages in swap cache", "Free swap  = 831868kB", "Total swap = 1048572kB", "130942 pages RAM", "19122 pages reserved",
			} {
				log += fmt.Sprintf("[    5.%06d] %s\n", i, text)
			}
			all, st := readAll(t, strings.NewReader(log), testOptions())
			if len(all) != 0 || st.Unplaced != 0 {
				t.Errorf("%d records, %d lines not placed", len(all), st.Unplaced)
			}
		})
	}
}

func TestYears(t *testing.T) {
	log := "Dec 31 23:59:59 h kernel: " + killLineText + "\nJan  1 00:00:01 h kernel: " + strings.Replace(killLineText, "77", "78", 1) + "\n"
	all := readText(t, log, Options{Location: time.UTC, Year: 2024})
	if len(all) != 2 || all[0].Time.Year() != 2024 || all[1].Time.Year() != 2025 {
		t.Errorf("%d records", len(all))
	}
	r := NewReader(strings.NewReader(log), Options{Location: time.UTC, now: func() time.Time { return time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC) }})
	for _, year := range []int{2024, 2025} {
		rec, err := r.Next()
		if err != nil || rec.Time.Year() != year {
			t.Errorf("%v, %v, want %d", rec, err, year)
		}
	}
}

// TestIdentity: the same log gives the same ids, another boot others.
func TestIdentity(t *testing.T) {
	text := corpusFile(t, "4.19-group.txt")
	ids := func(o Options) string {
		var all []string
		for _, rec := range readText(t, text, o) {
			all = append(all, rec.ID)
		}
		return strings.Join(all, " ")
	}
	first := ids(Options{BootID: "a"})
	if first != ids(Options{BootID: "a", BootTime: time.Unix(1e9, 0)}) || first == ids(Options{BootID: "b"}) {
		t.Error("ids do not hang on the boot and the kernel's clock alone")
	}
	seen := map[string]bool{}
	for _, id := range strings.Fields(first) {
		if seen[id] {
			t.Error("an id twice")
		}
		seen[id] = true
	}
	for _, rec := range readText(t, text, Options{BootTime: time.Unix(1e9, 0)}) {
		if !rec.Time.Equal(time.Unix(1e9, 0).Add(time.Duration(rec.UptimeNS.Value))) {
			t.Errorf("time %v", rec.Time)
		}
	}
}

func TestNotText(t *testing.T) {
	rubbish := make([]byte, 10000)
	for i := range rubbish {
		rubbish[i] = byte(i * 7919 >> 3)
	}
	for name, in := range map[string][]byte{"rubbish": rubbish, "zeros": make([]byte, 5000), "a journal": append([]byte("LPKSHHRH"), make([]byte, 500)...), "an ELF file": append([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00"), rubbish[:500]...)} {
		if _, err := NewReader(bytes.NewReader(in), testOptions()).Next(); !errors.Is(err, ErrNotText) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "\n", "short", "日志\n", "\x1b[32mgreen\x1b[0m\n", "power loss\x00\x00\x00\x00\nthen more text, and so on\n"} {
		if _, err := NewReader(strings.NewReader(text), testOptions()).Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%q: %v", text, err)
		}
	}
	boom := errors.New("boom")
	r := NewReader(io.MultiReader(strings.NewReader("[    5.000001] "+killLineText+"\n"), iotest.ErrReader(boom)), testOptions())
	if rec, err := r.Next(); rec == nil || err != nil {
		t.Errorf("%v, %v", rec, err)
	}
	if _, err := r.Next(); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
}

// TestFlaws takes a line out of a whole report: where the record lacks what it
// had, it says so.
func TestFlaws(t *testing.T) {
	for _, name := range []string{"5.10-guest-kmsg.txt", "6.12-guest-kmsg.txt", "6.18-cgroup-v1.txt"} {
		lines := strings.SplitAfter(corpusFile(t, name), "\n")
		first, last := -1, -1
		for i, line := range lines {
			if first < 0 && scan.Contains([]byte(line), headerMark) {
				first = i
			}
			if first >= 0 && scan.Contains([]byte(line), killedMark) {
				last = i
				break
			}
		}
		whole := readText(t, strings.Join(lines[first:last+1], ""), testOptions())
		if len(whole) != 1 || whole[0].Incomplete.Known {
			t.Fatalf("%s: %d records", name, len(whole))
		}
		for i := first; i < last; i++ {
			if _, _, ok := statLine([]byte(lines[i][strings.IndexAny(lines[i], ";]")+1 : len(lines[i])-1])); ok || strings.Contains(lines[i], "] total_") || strings.Contains(lines[i], "hierarchical") {
				continue // one counter of many
			}
			if _, _, ok := frame(scan.SkipSpaces([]byte(lines[i][strings.IndexAny(lines[i], ";]")+1:]))); ok || strings.Contains(lines[i], "] [") || strings.Contains(lines[i], ";[ ") && !strings.Contains(lines[i], "pid") {
				continue // a frame, or a row of another task: nothing says that it was there
			}
			cut := readText(t, strings.Join(lines[first:i], "")+strings.Join(lines[i+1:last+1], ""), testOptions())
			if len(cut) != 1 {
				t.Errorf("%s without line %d: %d records", name, i, len(cut))
				continue
			}
			have := *cut[0]
			have.Incomplete = oom.Opt[bool]{}
			if essence(&have) != essence(whole[0]) && cut[0].Incomplete != oom.Some(true) {
				t.Errorf("%s without %q: not said to be incomplete", name, lines[i])
			}
		}
	}
}

// TestTwoOrigins: lines of two machines, or of two boots of one, by turns. Each
// kill is one record, with its own report.
func TestTwoOrigins(t *testing.T) {
	lines := original(t)
	for name, prefix := range map[string][2]func(l sourceLine) string{
		"hosts with uptimes": {
			func(l sourceLine) string {
				return l.at().Format("Jan _2 15:04:05 one kernel: [100") + strings.ReplaceAll(l.clock(), " ", "0") + "] "
			},
			func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 two kernel: [") + l.clock() + "] " },
		},
		"hosts without": {
			func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 one kernel: ") },
			func(l sourceLine) string { return l.at().Format("Jan _2 15:04:05 two kernel: ") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			for _, l := range lines {
				for _, text := range strings.Split(l.text, "\n") {
					b.WriteString(prefix[0](l) + text + "\n" + prefix[1](l) + text + "\n")
				}
			}
			all := readText(t, b.String(), testOptions())
			alone := readText(t, eachLine(lines, func(l sourceLine, text string) string { return prefix[0](l) + text }), testOptions())
			if len(all) != 2 || len(alone) != 1 {
				t.Fatalf("%d and %d records", len(all), len(alone))
			}
			for i, node := range []string{"one", "two"} {
				if all[i].Node != node || essence(all[i]) != essence(alone[0]) {
					t.Errorf("%s: %s", node, essence(all[i]))
				}
			}
		})
	}
}

// TestLateKill: a report that was closed before its kill line came gives one
// record, with what the line says.
func TestLateKill(t *testing.T) {
	var b strings.Builder
	b.WriteString("[    5.000001] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=a,pid=77,uid=5\n")
	for range headlessLines + 2 {
		b.WriteString("[    5.100000] usb 1-1: new device oom\n")
	}
	b.WriteString("[    6.000001] " + killLineText + "\n")
	for _, exits := range []bool{false, true} {
		o := testOptions()
		o.ExitRecords = exits
		all, st := readAll(t, strings.NewReader(b.String()), o)
		if len(all) != 1 || st.Kills != 1 || all[0].Incomplete != oom.Some(true) {
			t.Fatalf("%d records, %+v", len(all), st)
		}
		if rss := all[0].Victim.RSSBytes; !exits && rss != oom.Some(uint64(44<<10)) {
			t.Errorf("rss %v", rss)
		}
	}
}

// TestScopeOfNodes: up to 4.20 a list of nodes in the header may be a cpuset's or
// a policy's: "Out of memory" alone does not say.
func TestScopeOfNodes(t *testing.T) {
	for nodes, want := range map[string]oom.Scope{"(null)": oom.ScopeSystem, "0-1": ""} {
		log := "[    5.000001] a invoked oom-killer: gfp_mask=0x14200ca(GFP_HIGHUSER_MOVABLE), nodemask=" + nodes + ",  order=0, oom_score_adj=0\n[    5.000002] Out of memory: Kill process 77 (a) score 5 or sacrifice child\n[    5.000003] Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB\n"
		if all := readText(t, log, testOptions()); len(all) != 1 || all[0].Scope != want || all[0].Incomplete != oom.Some(true) {
			t.Errorf("%s: %d records", nodes, len(all))
		}
	}
}

// TestStamps: what a stamp does not say is not made up.
func TestStamps(t *testing.T) {
	now := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	for stamp, want := range map[string]time.Time{
		"Feb 29 04:11:09 box kernel: ":             time.Date(2024, 2, 29, 4, 11, 9, 0, time.UTC),
		"Nov  4 04:11:09 box kernel: ":             time.Date(2025, 11, 4, 4, 11, 9, 0, time.UTC),
		"Fri 2025-03-07 04:11:09 UTC box kernel: ": time.Date(2025, 3, 7, 4, 11, 9, 0, time.UTC),
		"Fri 2025-03-07 04:11:09 CET box kernel: ": {},
	} {
		r := NewReader(strings.NewReader(stamp+killLineText+"\n"), Options{Location: time.UTC, now: func() time.Time { return now }})
		rec, err := r.Next()
		if err != nil || !rec.Time.Equal(want) || rec.Node != "box" {
			t.Errorf("%s: %v %v", stamp, rec, err)
		}
	}
}

// TestMixedStats: counters of two reports by turns are nobody's.
func TestMixedStats(t *testing.T) {
	text := corpusFile(t, "5.10-alternate-callers.txt")
	all := readText(t, strings.NewReplacer("[  T95] ", "", "[  T96] ", "").Replace(text), testOptions())
	if len(all) != 2 {
		t.Fatalf("%d records", len(all))
	}
	for _, rec := range all {
		if rec.Incomplete != oom.Some(true) || rec.Limit == nil || rec.Limit.Stat != nil {
			t.Errorf("%s: incomplete %v, limit %+v", rec.Victim.Comm, rec.Incomplete, rec.Limit)
		}
	}
}
