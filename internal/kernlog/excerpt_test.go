package kernlog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	excerptCPU  = "[  310.000100] CPU: 2 PID: 771 Comm: worker Not tainted 6.6.30 #1"
	excerptKill = "[  310.000900] Out of memory: Killed process 902 (builder) total-vm:81920kB, anon-rss:40960kB, file-rss:512kB, shmem-rss:0kB, UID:33 pgtables:160kB oom_score_adj:0"
)

// excerpts are parts of logs as people pass them on, each beside what looks like it and is
// something else.
func excerpts() []struct{ name, log, want string } {
	filler := strings.Repeat("nothing of the kernel's here\n", 80)
	counters := "[  900.000001] memory: usage 8192kB, limit 8192kB, failcnt 61\n" +
		"[  900.000002] memory+swap: usage 8192kB, limit 16384kB, failcnt 0\n" +
		"[  900.000003] kmem: usage 96kB, limit 9007199254740988kB, failcnt 0\n"
	table := "[  900.000004] [ pid ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n" +
		"[  900.000005] [  441]     0   441      300       20    40960        0             0 sidecar\n" +
		"[  900.000006] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=p,mems_allowed=0,oom_memcg=/pod,task_memcg=/pod/c,task=sidecar,pid=441,uid=0\n" +
		"[  900.000007] Memory cgroup out of memory: Killed process 441 (sidecar) total-vm:1200kB, anon-rss:80kB, file-rss:0kB, shmem-rss:0kB\n"
	torn := "[  900.000000] Task in /dk/4f killed as a result of limit of /dk/4f\n" + counters +
		"[  900.000008] [ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name\n" +
		"[  900.000009] [  441]     0   441      300       20      12        0             0 sh\n" +
		"[  900.000009] [  442]     0   442      400       60      12        0             0 copy\n" +
		"[  900.000010] Memory cgroup out of memory: Kill process 441 (sh) score 9 or sacrifice child\n"
	header := "[  310.000000] worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
	stack := func(frames ...string) string {
		b := header + excerptCPU + "\n[  310.000200] Call Trace:\n"
		for i, f := range frames {
			b += fmt.Sprintf("[  310.0003%02d]  %s\n", i, f)
		}
		return b + "[  310.000400] RIP: 0033:0x7f\n"
	}
	each := func(cgroup string, rss int) string {
		return fmt.Sprintf("[  900.000004] Memory cgroup stats for %s: cache:0KB rss:%dKB swap:0KB\n", cgroup, rss)
	}
	begun := strings.Replace(header, "310", "900", 1)
	const (
		atLimit = "[  900.000001] memory: usage 8192kB, limit 8192kB, failcnt 61\n"
		none    = "[  900.000005] Out of memory and no killable processes...\n"
		alone   = "[  900.000005] Killed process 902 (builder) total-vm:400kB, anon-rss:40kB, file-rss:0kB\n"
	)
	return []struct{ name, log, want string }{
		{"no victim, 5.0: the first counters are the limit's", begun + counters + each("/a", 64) + each("/a/b", 8000) + none, "no_victim cgroup limit /a 8192 rss 8064"},
		{"the first counters are lost", begun + counters + each("/a/b", 64) + each("/a/c", 8000) + none, "no_victim cgroup limit - 8192 rss 0"},
		{"the last of the limit's numbers is lost", begun + atLimit + each("/a", 8000) + none, "no_victim cgroup limit - 8192 rss 0"},
		{"no victim, up to 4.20", begun + "[  900.000000] Memory limit reached of cgroup /a\n" + counters + each("/a", 8000) + none, "no_victim cgroup limit /a 8192 rss 8000"},
		{"a kill without its summary", begun + counters + each("/a", 8000) + alone, "kill cgroup 902 limit /a 8192 rss 8000"},
		{"a number of the limit's just before a kill", atLimit + alone, "kill cgroup 902 limit - 8192"},
		{"not just before it", atLimit + "something else\n" + alone, "kill - 902"},
		{"long before it", strings.Replace(atLimit, "900", "860", 1) + alone, "kill - 902"},
		{"a kill of the system's behind it", strings.Replace(atLimit, "900", "310", 1) + excerptKill + "\n", "kill system 902"},

		{"counters above a table, far down", filler + counters + table, "kill cgroup 441 limit /pod 8192"},
		{"the same, quoted", filler + quoted(counters+table), "kill cgroup 441 limit /pod 8192"},
		{"a table alone, far down", filler + table, "kill cgroup 441 limit /pod 0"},
		{"counters of a program's", filler + regexp.MustCompile(`(?m)^\[.*?\]`).ReplaceAllString(counters, "app:") + table, "kill cgroup 441 limit /pod 0"},

		{"a cgroup's limit by the stack", stack("dump_stack+0x1/0x2", "mem_cgroup_out_of_memory+0x10/0x20", "try_charge_memcg+0x3/0x4"), "oom cgroup"},
		{"the allocator's stack", stack("out_of_memory+0x10/0x20", "__alloc_pages_slowpath+0x3/0x4"), "oom -"},
		{"another trace in the middle", strings.Replace(stack("out_of_memory+0x1/0x2", "mem_cgroup_out_of_memory+0x10/0x20"),
			"[  310.000301]", "[  310.000301] Call Trace:\n[  310.000301]", 1), "oom -"},
		{"a guessed frame", stack("? mem_cgroup_out_of_memory+0x10/0x20", "out_of_memory+0x1/0x2"), "oom -"},

		{"the first bracket is lost", " " + header[len("[  "):] + excerptCPU + "\n", "oom - trigger worker 310"},
		{"a number is no stamp", "12.5] worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0\n", "oom - trigger 12.5] worker 0"},

		{"the words before a path are lost", "/dk/4f killed as a result of limit of /dk\nmemory: usage 4092kB, limit 4096kB, failcnt 7\n", "oom cgroup limit /dk 4092"},
		{"a path's end is lost", "[  900.000000] Task in /dk/4f killed as a result of limit of /d\n" + counters + "[  900.000008] Memory cgroup out of memory: Kill process 441 (a) score 9 or sacrifice child\n", "kill cgroup 441 limit - 8192"},
		{"a path goes on in the next line", "[  900.000000] Task in /dk/4f killed as a result of limit of /d\nk/4f\n" + counters + "[  900.000008] Memory cgroup out of memory: Kill process 441 (a) score 9 or sacrifice child\n", "kill cgroup 441 limit /dk/4f 8192"},
		{"counters go on in the next line", "[  900.000000] Task in /dk/4f killed as a result of limit of /dk/4f\n" + counters +
			"[  900.000004] Memory cgroup stats for /dk/4f: cache:8000KB rss:6\n4KB rss_huge:0KB shmem:12KB mapped_file:0KB dirty:7000KB writeback:0KB swap:0KB inactive_anon:0KB active_anon:76KB inactive_file:4000KB active_file:3988KB unevictable:0KB\n" +
			"[  900.000008] Memory cgroup out of memory: Kill process 441 (a) score 9 or sacrifice child\n", "kill cgroup 441 limit /dk/4f 8192 rss 64"},

		{"a kill that ends within a name", torn + "[  900.000011] Killed process 442 (", "kill cgroup 442 limit /dk/4f 8192"},
		{"a kill that ends within its number", torn + "[  900.000011] Killed process 44", "kill cgroup 441 limit /dk/4f 8192"},
		{"a kill of none in the table", torn + "[  900.000011] Killed process 449 (", "kill cgroup 441 limit /dk/4f 8192"},

		{"a long rest of a zone's line", header + excerptCPU + "\nMem-Info:\nNormal free:3776kB min:1872kB low:2340kB high:2808kB\nreserved_highatomic:0KB " +
			strings.Repeat("active_file:28kB ", 8) + "present:262144kB managed:220688kB mlocked:0kB\nlowmem_reserve[]: 0 0\n", "oom - managed 220688"},
		{"a long remark behind it", header + excerptCPU + "\nMem-Info:\nNormal free:3776kB min:1872kB low:2340kB high:2808kB\nNow " + strings.Repeat("there is room ", 12) + "managed:220688kB\n", "oom - managed 0"},

		{"flags broken in a quote", "> [  310.000000] worker invoked oom-killer: gfp_mask=0x400cc0(GFP_KE\n> RNEL_ACCOUNT|__GFP_ZERO), order=1, oom_score_adj=0\n> " + excerptCPU + "\n", "oom - flags GFP_KERNEL_ACCOUNT|__GFP_ZERO"},
		{"sizes broken before a colon", header + excerptCPU + "\n" + strings.Replace(excerptKill, "file-rss:", "file-rss\n:", 1) + "\n", "kill system 902 rss 41472"},
		{"frames broken by mail", header + excerptCPU + "\n[  310.000200] [<c0411500>] (unwind_backtrace) from [<c040b66c>]\n(show_stack+0x10/0x14)\n" +
			"[  310.000201] [<c0547a0c>] (out_of_memory) from [<c0599d80>]\n(__alloc_pages+0xce8/0x10bc)\n", "oom - stack __alloc_pages+0xce8"},
	}
}

func quoted(s string) string {
	return "> " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n> ") + "\n"
}

func TestExcerpts(t *testing.T) {
	for _, tt := range excerpts() {
		t.Run(tt.name, func(t *testing.T) {
			all := readText(t, tt.log, testOptions())
			if len(all) != 1 {
				t.Fatalf("%d records", len(all))
			}
			if got := excerptFacts(all[0], tt.want); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// excerptFacts are those of a record that a test asks for.
func excerptFacts(rec *oom.Record, asked string) string {
	scope := string(rec.Scope)
	if scope == "" {
		scope = "-"
	}
	out := []string{string(rec.Kind), scope}
	if rec.Kind == oom.KindKill {
		out = append(out, fmt.Sprint(rec.Victim.PID.Value))
	}
	words := strings.Fields(asked)
	if slices.Contains(words, "limit") {
		if rec.Limit == nil {
			return strings.Join(append(out, "no limit"), " ")
		}
		name := rec.Limit.Cgroup
		if name == "" {
			name = "-"
		}
		out = append(out, "limit", name, fmt.Sprint(rec.Limit.UsageBytes.Value/1024))
	}
	switch n := len(words); {
	case slices.Contains(words, "trigger"):
		comm := rec.Trigger.Comm
		if comm == "" {
			comm = "-"
		}
		out = append(out, "trigger", comm, fmt.Sprint(rec.UptimeNS.Value/1e9))
	case slices.Contains(words, "managed"):
		out = append(out, "managed", fmt.Sprint(rec.Memory.Zones[0].ManagedBytes.Value/1024))
	case slices.Contains(words, "flags"):
		out = append(out, "flags", strings.Join(rec.Trigger.GFPFlags, "|"))
	case slices.Contains(words, "stack"):
		out = append(out, "stack", strings.Join(rec.Trigger.KernelStack, " "))
	case n > 1 && words[n-2] == "rss" && rec.Limit != nil:
		v, _ := rec.Limit.Stat.Get("rss_bytes")
		out = append(out, "rss", fmt.Sprint(v/1024))
	case n > 1 && words[n-2] == "rss":
		out = append(out, "rss", fmt.Sprint(rec.Victim.RSSBytes.Value/1024))
	}
	return strings.Join(out, " ")
}

// TestPanicWithoutReport: the lines behind a panic name the task and the kernel.
func TestPanicWithoutReport(t *testing.T) {
	const cpu = "[   77.000300] CPU: 1 UID: 0 PID: 61 Comm: kworker/1:2 Tainted: G        C   6.12.4 #1 Distro\n"
	const panics = "[   77.000200] Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled\n"
	for _, tt := range []struct {
		name, log string
		comm      string
		tid       int32
		kernel    string
	}{
		{"right behind it", panics + cpu, "kworker/1:2", 61, "6.12.4"},
		{"behind an empty line", panics + "[   77.000200]\n" + cpu, "kworker/1:2", 61, "6.12.4"},
		{"none to kill", "[   77.000100] Out of memory and no killable processes...\n[   77.000200] Kernel panic - not syncing: System is deadlocked on memory\n" + cpu, "kworker/1:2", 61, "6.12.4"},
		{"broken by mail", "[   77.000100] Out of memory and no killable processes...\n[   77.000200] Kernel panic - not syncing: System is\ndeadlocked on memory\n" + cpu, "kworker/1:2", 61, "6.12.4"},
		{"far behind it", panics + strings.Repeat("[   77.000210] eth0: link is down\n", 9) + cpu, "", 0, ""},
		{"nothing behind it", panics, "", 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := readText(t, tt.log, testOptions())
			if len(all) != 1 || all[0].Kind != oom.KindPanic {
				t.Fatalf("%d records: %+v", len(all), all)
			}
			got := oom.Trigger{}
			if all[0].Trigger != nil {
				got = *all[0].Trigger
			}
			if got.Comm != tt.comm || got.TID.Value != tt.tid || all[0].Kernel != tt.kernel {
				t.Errorf("%q %d of %q", got.Comm, got.TID.Value, all[0].Kernel)
			}
		})
	}
}

// TestWrappedKmsg: mail wraps /dev/kmsg's form too, makes blanks of web pages in it, and has
// text of its own around it.
func TestWrappedKmsg(t *testing.T) {
	log := strings.Join([]string{
		"4,700,52000000,-;worker invoked oom-killer: ",
		"gfp_mask=0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO), order=3, ",
		"oom_score_adj=200",
		"4,701,52000010,-;CPU: 7 PID: 4711 Comm: worker Not tainted 5.10.168 #1",
		"4,702,52000020,-;Mem-Info:",
		"4,703,52000030,-;Node 0 Normal free:90004kB min:40864kB low:81732kB ",
		"high:85948kB present:6724288kB managed:6520292kB mlocked:5732kB",
		"4,704,52000040,-;Node 0 Normal: 8939*4kB (UMEC) 5885*8kB (UECH) ",
		"450*16kB (UECH) 2*32kB (CH) 0*64kB 0*128kB 0*256kB 0*512kB = 90100kB",
		"4,705,52000050,-;Free swap\u00a0 = 1029kB",
		"4,706,52000060,-;Total swap = 11534kB",
		" SUBSYSTEM=memory",
		"3,707,52000090,-;Out of memory: Killed process ",
		"10192 (agent:service) total-vm:15133kB, anon-rss:2750kB, ",
		"file-rss:7134kB, shmem-rss:14kB, UID:10188 pgtables:115kB ",
		"oom_score_adj:999",
	}, "\n") + "\n"
	prose := "Subject: it dies\nX-Signature: a=b; c=d\n\nThis one has far less room than the one that it was before, and every\nline of mine is as long as it can be.\n\n"
	for name, text := range map[string]string{"alone": log, "a mail": prose + log + "\nThanks\n"} {
		all := readText(t, text, testOptions())
		if len(all) != 1 || all[0].Kind != oom.KindKill {
			t.Fatalf("%s: %d records", name, len(all))
		}
		v, m := all[0].Victim, all[0].Memory
		if v.Comm != "agent:service" || v.AnonRSSBytes != oom.Some(uint64(2750<<10)) || v.OOMScoreAdj != oom.Some(int32(999)) {
			t.Errorf("%s: victim %+v", name, v)
		}
		if m.SwapFreeBytes != oom.Some(uint64(1029<<10)) || len(m.Zones) != 1 || len(m.Zones[0].FreeBlocks) != 8 {
			t.Errorf("%s: memory %+v", name, m)
		}
	}
}

// TestPrintedBehindSignatures: a mail's header may hold more "=" than its text.
func TestPrintedBehindSignatures(t *testing.T) {
	signed := "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=x; t=17; bh=" + strings.Repeat("Zm9v=x;b=", 40) + "\n"
	text := "A report=2E=2E=2E=2E=2E=2E\n\n[  310.000000] worker invoked oom-killer: gfp_mask=3D0xcc0(GFP_KERNEL), order=3D0, oom_s=\ncore_adj=3D0\n" + excerptCPU + "\n" + excerptKill + "\n"
	const plain = "[  410.000000] worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n[  410.000000] worker cpuset=341f=ab=12 mems_allowed=0\n"
	for _, tt := range []struct {
		name, head, tail string
	}{
		{"it says so", signed + "Content-Transfer-Encoding: quoted-printable\n\n", plain},
		{"the log's own lines say so", signed + "\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := readText(t, tt.head+text+tt.tail, testOptions())
			if len(all) == 0 || all[0].Kind != oom.KindKill {
				t.Fatalf("%d records", len(all))
			}
			if tt.tail != "" && (len(all) != 2 || all[1].Trigger.Cpuset != "341f=ab=12") {
				t.Errorf("%d records of what is not in its form", len(all))
			}
			if tr := all[0].Trigger; tr == nil || tr.Order != oom.Some(int32(0)) {
				t.Errorf("trigger %+v", tr)
			}
		})
	}
}

// TestBlocksCut: of a line that breaks off, big blocks are not known to be gone.
func TestBlocksCut(t *testing.T) {
	const zone = "[  310.000300] Node 0 Normal free:90004kB min:40864kB low:81732kB high:85948kB managed:6520292kB\n"
	for _, tt := range []struct {
		name, blocks string
		want         int
	}{
		{"whole", "39*4kB (UM) 5*8kB (U) 0*16kB 2*32kB (C) = 260kB", 4},
		{"cut behind a type", "39*4kB (UM) 5*8kB (U)", 0},
		{"cut in a number", "39*4kB (UM) 5*8kB (U) 0*1", 0},
		{"cut before the sum", "39*4kB (UM) 5*8kB (U) 0*16kB 2*32kB (C)", 0},
		{"the sum alone is cut", "39*4kB (UM) 5*8kB (U) 0*16kB 2*32kB (C) = 2", 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := "[  310.000000] worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=3, oom_score_adj=0\n" + excerptCPU + "\n[  310.000200] Mem-Info:\n" +
				zone + "[  310.000301] Node 0 Normal: " + tt.blocks + "\n" + excerptKill + "\n"
			all := readText(t, log, testOptions())
			if len(all) != 1 || len(all[0].Memory.Zones) != 1 {
				t.Fatalf("%d records", len(all))
			}
			if got := len(all[0].Memory.Zones[0].FreeBlocks); got != tt.want {
				t.Errorf("%d orders, want %d", got, tt.want)
			}
		})
	}
}

// TestZonesBroken: a terminal breaks a zone's lines anywhere, mail between words.
func TestZonesBroken(t *testing.T) {
	head := strings.Join([]string{headerLine, cpuLine, "Mem-Info:", "active_anon:9 inactive_anon:9 isolated_anon:0"}, "\n") + "\n"
	const (
		zone   = "HighMem free:224kB min:256kB low:2984kB high:5716kB isolated(anon):16kB present:262144kB managed:262144kB mlocked:4kB free_cma:12kB pages_scanned:31 all_unreclaimable? yes"
		blocks = "HighMem: 10*4kB (UM) 0*8kB 1*1024kB (R) 0*4096kB 2*8192kB (R) = 17448kB"
		node   = "Node 0 active_anon:4kB isolated(anon):8kB kernel_stack:32kB pagetables:40kB all_unreclaimable? no"
		pages  = "262144 pages RAM\n0 pages HighMem/MovableOnly\n196608 pages reserved"
	)
	facts := func(lines ...string) string {
		all := readText(t, head+strings.Join(lines, "\n")+"\n"+killedLine+"\n", testOptions())
		if len(all) != 1 {
			t.Fatalf("%d records of %q", len(all), lines)
		}
		return fmt.Sprintf("%+v", *all[0].Memory)
	}
	want := facts(node, zone, "lowmem_reserve[]: 0 0 0", blocks, pages)
	for _, line := range []string{node, zone, blocks} {
		for i := strings.Index(line, "kB") + 4; i < len(line); i++ {
			broken := strings.TrimRight(line[:i], " ") + "\n" + strings.TrimLeft(line[i:], " ")
			if got := facts(strings.Replace(node, line, broken, 1), strings.Replace(zone, line, broken, 1), "lowmem_reserve[]: 0 0 0",
				strings.Replace(blocks, line, broken, 1), pages); got != want {
				t.Errorf("%q: %s\nwant %s", broken, got, want)
			}
		}
	}
}

// TestCutBlocks: the line behind a list of free blocks that was cut within a word is not its rest.
func TestCutBlocks(t *testing.T) {
	const cut, next = "Normal: 387*4kB (UEM) 150*8kB (UEM) 0*16kB 0*32kB 0*64kB 0*128kB 0*256", "3401 total pagecache pages"
	all := readText(t, strings.Join([]string{headerLine, cpuLine, "Mem-Info:", cut, next, killedLine}, "\n")+"\n", testOptions())
	if len(all) != 1 {
		t.Fatalf("%d records", len(all))
	}
	if got, ok := all[0].Memory.Stat.Get(oom.StatFilePages); !ok || got != 3401*4096 {
		t.Errorf("%d, %v", got, ok)
	}
}

// TestPrintedLineEnds: where all of a mail's text is one line, its line ends are escapes; where
// it has lines, an escaped end stands in a name.
func TestPrintedLineEnds(t *testing.T) {
	const header = "[  310.000000] worker invoked oom-killer: gfp_mask=3D0xcc0(GFP_KERNEL), order=3D0, oom_score_adj=3D0"
	wrap := func(s string) string {
		b := ""
		for ; len(s) > 70; s = s[70:] {
			b += s[:70] + "=\n"
		}
		return b + s + "\n"
	}
	lines := []string{"It died.", header, excerptCPU, "[  310.000200] Mem-Info:", excerptKill, "Any idea?"}
	const head = "Content-Transfer-Encoding: quoted-printable\n\n"
	for name, text := range map[string]string{
		"one line":             head + wrap(strings.Join(lines, "=0A")),
		"lines":                head + strings.Join(lines, "\n") + "\n",
		"colours":              head + strings.ReplaceAll(strings.Join(lines, "\n"), "[  310.", "=1B[32m[  310.") + "\n",
		"lines, one in a name": head + strings.Replace(strings.Join(lines, "\n"), "It died.", "a=0Ab=0Ac=0Ad", 1) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			all := readText(t, text, testOptions())
			if len(all) != 1 || all[0].Kind != oom.KindKill || all[0].Victim.Comm != "builder" || all[0].Trigger.Comm != "worker" {
				t.Errorf("%d records", len(all))
			}
		})
	}
	hidden := head + strings.Join(append(lines[:1:1], "[  311.000000] app: its name is =0A"+excerptKill, "one", "two", "three", "four"), "\n") + "\n"
	if all := readText(t, hidden, testOptions()); len(all) != 0 {
		t.Errorf("%d records of a name", len(all))
	}
}
