package kernlog

import (
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// memBlock is a whole Mem-Info of 2.6.32.
func memBlock(free string) []string {
	return []string{
		"Mem-info:", "Normal per-cpu:", "active_anon:7011 inactive_anon:7013 isolated_anon:0", " active_file:4 inactive_file:9 isolated_file:0",
		" unevictable:0 dirty:0 writeback:0 unstable:0", " free:" + free + " slab_reclaimable:311 slab_unreclaimable:522", " mapped:71 shmem:112 pagetables:88 bounce:0",
		"Normal free:9000kB min:1024kB low:1280kB high:1536kB active_anon:28044kB present:98304kB", "lowmem_reserve[]: 0 0",
		"Normal: 2000*4kB 125*8kB 0*16kB = 9000kB", "201 total pagecache pages", "0 pages in swap cache", "Free swap  = 0kB", "Total swap = 0kB",
		"24576 pages of RAM", "2300 free pages", "1100 reserved pages", "833 slab pages", "0 pages swap cached",
	}
}

const oldHeaderLine = "squid invoked oom-killer: gfp_mask=0xd0, order=2, oom_adj=0"

// at is lines as dmesg has them, all printed at one time.
func at(uptime string, lines ...string) string {
	return "[" + uptime + "] " + strings.Join(lines, "\n["+uptime+"] ") + "\n"
}

// TestReportsInARow: OOMs whose kill lines are not in the log keep what each of them says of the
// memory.
func TestReportsInARow(t *testing.T) {
	whole := memBlock("2250")
	for name, c := range map[string]struct {
		log  string
		free []oom.Opt[uint64]
	}{
		"one after the other": {
			at("   60.000001", append([]string{oldHeaderLine}, whole...)...) + at("   75.000001", append([]string{oldHeaderLine}, memBlock("2301")...)...),
			[]oom.Opt[uint64]{oom.Some(uint64(2250 << 12)), oom.Some(uint64(2301 << 12))},
		},
		"the first one's end is lost": {
			at("   60.000001", append([]string{oldHeaderLine}, whole[:10]...)...) + at("   75.000001", append([]string{oldHeaderLine}, memBlock("2301")...)...),
			[]oom.Opt[uint64]{{}, oom.Some(uint64(2301 << 12))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var free []oom.Opt[uint64]
			for _, rec := range readText(t, c.log, testOptions()) {
				var v oom.Opt[uint64]
				if rec.Memory != nil {
					v = rec.Memory.FreeBytes
				}
				free = append(free, v)
			}
			if !slices.Equal(free, c.free) {
				t.Errorf("free %v, want %v", free, c.free)
			}
		})
	}
}

// TestStatsOfLimit: 5.0 to 5.2 print the counters of the limit's cgroup, and then of those below
// it, before the summary says which one that is.
func TestStatsOfLimit(t *testing.T) {
	stats := func(path, rss string) string {
		return "Memory cgroup stats for " + path + ": cache:12KB rss:" + rss + "KB rss_huge:0KB shmem:0KB swap:40KB active_anon:" + rss + "KB"
	}
	const summary = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/box,task_memcg=/box/a,task=a,pid=77,uid=0"
	const killed = "Memory cgroup out of memory: Killed process 77 (a) total-vm:70000kB, anon-rss:60000kB, file-rss:4kB, shmem-rss:0kB"
	counters := []string{headerLine, "memory: usage 65536kB, limit 65536kB, failcnt 7", "memory+swap: usage 65600kB, limit 9007199254740988kB, failcnt 0"}
	for name, c := range map[string]struct {
		lines []string
		rss   oom.Opt[uint64]
	}{
		"the limit's first":      {append(slices.Clone(counters), stats("/box", "1024"), stats("/box/a", "60000"), summary, killed), oom.Some(uint64(61024 << 10))},
		"the limit's lost":       {append(slices.Clone(counters), stats("/box/a", "60000"), summary, killed), oom.Opt[uint64]{}},
		"the limit's behind":     {append(slices.Clone(counters), stats("/box/a", "60000"), stats("/box", "1024"), summary, killed), oom.Opt[uint64]{}},
		"named before, not here": {append(slices.Clone(counters), "Task in /box/a killed as a result of limit of /box", stats("/box/a", "60000"), stats("/box", "1024"), killed), oom.Some(uint64(61024 << 10))},
	} {
		t.Run(name, func(t *testing.T) {
			all := readText(t, at("    5.000001", c.lines...), testOptions())
			if len(all) != 1 || all[0].Limit == nil {
				t.Fatalf("%d records", len(all))
			}
			if v, ok := all[0].Limit.Stat.Get("rss_bytes"); (oom.Opt[uint64]{Value: v, Known: ok}) != c.rss {
				t.Errorf("rss %d %v, want %v", v, ok, c.rss)
			}
		})
	}
}

// TestNameEnds: a name is 15 bytes at most, whatever follows a kill line without its sizes.
func TestNameEnds(t *testing.T) {
	for name, c := range map[string]struct{ log, comm string }{
		"prose behind":          {"[    5.000001] Out of memory: Killed process 812 (hostapd)\n\nThanks (a lot) for it\n--\nsome words\n", "hostapd"},
		"15 bytes":              {"[    5.000001] Out of memory: Killed process 812 (fifteen-bytes-x)\n", "fifteen-bytes-x"},
		"a bracket in the name": {"[    5.000001] Out of memory: Killed process 812 (a) b)\n", "a) b"},
		"a newline in the name": {"[    5.000001] Out of memory: Killed process 812 (a\n[    5.000001] b) total-vm:4kB, anon-rss:4kB, file-rss:0kB\n", "a\nb"},
	} {
		t.Run(name, func(t *testing.T) {
			all := readText(t, c.log, testOptions())
			if len(all) != 1 || all[0].Victim.Comm != c.comm {
				t.Errorf("%d records, %q", len(all), all[0].Victim.Comm)
			}
		})
	}
}

// TestSummaryCut: a summary that is cut before the task still says what limited the request.
func TestSummaryCut(t *testing.T) {
	for summary, want := range map[string]oom.Scope{
		"oom-kill:constraint=CONSTRAINT_CPUSET,nodemask=(null),cpuset=box,mems_allowed=0":                  oom.ScopeCpuset,
		"oom-kill:constraint=CONSTRAINT_MEMORY_POLICY,nodemask=1,cpuset=/,mems_allowed=0-1":                oom.ScopeMempolicy,
		"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memc": oom.ScopeSystem,
		"oom-kill:constraint=CONSTRAINT_OF_":                                                               oom.ScopeSystem,
	} {
		all := readText(t, at("    5.000001", headerLine, summary, killedLine), testOptions())
		if len(all) != 1 || all[0].Scope != want {
			t.Errorf("%s: %d records, scope %q", summary, len(all), all[0].Scope)
		}
	}
}

// TestSummaryCutLimit: the limit's cgroup is told when its name is whole.
func TestSummaryCutLimit(t *testing.T) {
	const head = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a.slice/b.service"
	for summary, want := range map[string]string{
		head + ",task_memcg=/a.slice/b.ser…":              "/a.slice/b.service",
		head + ",task_memcg=/a.slice/b.service,task=c,pi": "/a.slice/b.service",
		head + ",task_memc":                               "",
		head[:len(head)-4]:                                "",
	} {
		all := readText(t, at("    5.000001", headerLine, summary, "Memory cgroup out of memory: "+killedLine[len("Out of memory: "):]), testOptions())
		if len(all) != 1 || all[0].Scope != oom.ScopeCgroup {
			t.Fatalf("%s: %d records", summary, len(all))
		}
		if l := all[0].Limit; l == nil && want != "" || l != nil && l.Cgroup != want {
			t.Errorf("%s: limit %+v, want %q", summary, l, want)
		}
	}
}

// TestSysrqOld: up to 4.2 the header of a kill by SysRq-f has the order 0.
func TestSysrqOld(t *testing.T) {
	const header, cpu = "kworker/1:2 invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0", "CPU: 1 PID: 99 Comm: kworker/1:2 Not tainted 4.1.0 #1"
	const frame = " [<ffffffff8123>] process_one_work+0x1/0x2"
	for name, c := range map[string]struct {
		lines []string
		sysrq bool
	}{
		"the work":       {[]string{header, cpu, "Workqueue: events moom_callback", "Call Trace:", frame}, true},
		"the frame":      {[]string{header, cpu, "Call Trace:", " [<ffffffff8122>] moom_callback+0x1/0x2", frame}, true},
		"a guess":        {[]string{header, cpu, "Call Trace:", " [<ffffffff8122>] ? moom_callback+0x1/0x2", frame}, false},
		"other work":     {[]string{header, cpu, "Workqueue: events flush_to_ldisc", "Call Trace:", frame}, false},
		"before the CPU": {[]string{header, "Workqueue: events moom_callback", cpu, "Call Trace:", frame}, false},
	} {
		t.Run(name, func(t *testing.T) {
			all := readText(t, at("    5.000001", append(c.lines, killedLine)...), testOptions())
			if len(all) != 1 || all[0].Sysrq.Or(false) != c.sysrq {
				t.Errorf("%d records, sysrq %v", len(all), all[0].Sysrq)
			}
		})
	}
}

// TestNoCallTrace: 32-bit x86 of old writes the frames behind the process's line.
func TestNoCallTrace(t *testing.T) {
	frames := []string{" [<c0170044>] out_of_memory+0x184/0x1d0", " [<c0171bbc>] __alloc_pages+0x31c/0x390", " [<c01a9f2c>] __pollwait+0xac/0xf0"}
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"behind the process":   {append([]string{headerLine, "Pid: 6, comm: squid Not tainted 2.6.24 #1"}, frames...), "out_of_memory+0x184 __alloc_pages+0x31c __pollwait+0xac"},
		"behind another's":     {append([]string{headerLine, "Pid: 6, comm: other Not tainted 2.6.24 #1"}, frames...), ""},
		"without a process":    {append([]string{headerLine}, frames...), ""},
		"with a heading of it": {append([]string{headerLine, "Pid: 6, comm: squid Not tainted 2.6.24 #1", "Call Trace:"}, frames...), "out_of_memory+0x184 __alloc_pages+0x31c __pollwait+0xac"},
	} {
		t.Run(name, func(t *testing.T) {
			all := readText(t, at("    5.000001", append(c.lines, killedLine)...), testOptions())
			if len(all) != 1 || strings.Join(all[0].Trigger.KernelStack, " ") != c.want {
				t.Errorf("%d records, %q", len(all), all[0].Trigger.KernelStack)
			}
		})
	}
}

// TestPartOfLimit: what the kernel says of a limit that is met is of an OOM, also without its
// beginning and its end.
func TestPartOfLimit(t *testing.T) {
	limit := []string{"Task in /box/a killed as a result of limit of /box", "memory: usage 65536kB, limit 65536kB, failcnt 7", "memory+swap: usage 65536kB, limit 65536kB, failcnt 0"}
	kill := []string{"Memory cgroup out of memory: Kill process 77 (a) score 900 or sacrifice child", "Killed process 77 (a) total-vm:70000kB, anon-rss:60000kB, file-rss:4kB"}
	for name, c := range map[string]struct {
		log  string
		want []oom.Kind
	}{
		"alone":                          {at("    5.000001", limit...), []oom.Kind{oom.KindOOM}},
		"no cgroup":                      {at("    5.000001", limit[1:]...), nil},
		"no usage":                       {at("    5.000001", limit[0]), nil},
		"with its kill":                  {at("    5.000001", append(slices.Clone(limit), kill...)...), []oom.Kind{oom.KindKill}},
		"no table, one line of the kill": {at("    5.000001", append(slices.Clone(limit), "Memory cgroup out of memory: Killed process 77 (a) total-vm:70000kB, anon-rss:60000kB, file-rss:4kB, shmem-rss:0kB")...), []oom.Kind{oom.KindKill}},
		"a kill of the machine's":        {at("    5.000001", append(slices.Clone(limit), "Out of memory: Killed process 77 (a) total-vm:70000kB, anon-rss:60000kB, file-rss:4kB, shmem-rss:0kB")...), []oom.Kind{oom.KindKill}},
		"behind its kill":                {at("    5.000001", append(slices.Clone(kill), limit...)...), []oom.Kind{oom.KindKill}},
		"long after a kill":              {at("    5.000001", kill...) + at("   66.000002", limit...), []oom.Kind{oom.KindKill, oom.KindOOM}},
	} {
		t.Run(name, func(t *testing.T) {
			var kinds []oom.Kind
			for _, rec := range readText(t, c.log, testOptions()) {
				if kinds = append(kinds, rec.Kind); !rec.Incomplete.Or(false) {
					t.Errorf("%s is said to be whole", rec.Kind)
				}
			}
			if !slices.Equal(kinds, c.want) {
				t.Errorf("%v, want %v", kinds, c.want)
			}
		})
	}
}

// TestWholeOnRouter: a kernel without NUMA, cpusets and swap prints no line of them, and its
// report is whole all the same.
func TestWholeOnRouter(t *testing.T) {
	report := func(node, cpuset string, swap ...string) string {
		lines := []string{"ash invoked oom-killer: gfp_mask=0x14200ca(GFP_HIGHUSER_MOVABLE), nodemask=(null),  order=0, oom_score_adj=0"}
		if cpuset != "" {
			lines = append(lines, cpuset)
		}
		lines = append(lines, "CPU: 0 PID: 77 Comm: ash Not tainted 4.14.95 #0", "Call Trace:", "[<800103f8>] out_of_memory+0x2c8/0x360", "[<800da9b0>] __alloc_pages_nodemask+0x9bc/0xb44",
			"Mem-Info:", "active_anon:51 inactive_anon:127 isolated_anon:0", " active_file:4 inactive_file:12 isolated_file:0", " unevictable:0 dirty:0 writeback:0 unstable:0",
			" slab_reclaimable:354 slab_unreclaimable:2158", " mapped:1 shmem:137 pagetables:9 bounce:0", " free:362 free_pcp:45 free_cma:0",
			node+"Normal free:1448kB min:1638kB low:2048kB high:2457kB present:13107kB managed:12375kB", "lowmem_reserve[]: 0 0 0", node+"Normal: 36*4kB (UM) 163*8kB (UM) = 1448kB",
			"156 total pagecache pages")
		lines = append(append(lines, swap...), "3277 pages RAM", "0 pages HighMem/MovableOnly", "183 pages reserved",
			"[ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds swapents oom_score_adj name", "[   77]     0    77      412        1       4       0        0             0 ash",
			"Out of memory: Kill process 77 (ash) score 1 or sacrifice child", "Killed process 77 (ash) total-vm:1648kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB")
		return at(" 1771.164287", lines...)
	}
	swapless := []string{"0 pages in swap cache", "Swap cache stats: add 0, delete 0, find 0/0", "Free swap  = 0kB", "Total swap = 0kB"}
	none := oom.Some(uint64(0))
	for name, c := range map[string]struct {
		log   string
		whole bool
		swap  oom.Opt[uint64]
	}{
		"without all of it":          {report("", ""), true, none},
		"with swap":                  {report("", "", swapless...), true, none},
		"some of swap's lines":       {report("", "", swapless[0]), false, oom.Opt[uint64]{}},
		"NUMA, and the cpuset's":     {report("Node 0 ", "ash cpuset=/ mems_allowed=0"), true, oom.Opt[uint64]{}},
		"a task is swapped out":      {strings.Replace(report("", ""), "0        0             0 ash", "0        7             0 ash", 1), false, oom.Opt[uint64]{}},
		"NUMA, without the cpuset's": {report("Node 0 ", ""), false, oom.Opt[uint64]{}},
	} {
		t.Run(name, func(t *testing.T) {
			all := readText(t, c.log, testOptions())
			if len(all) != 1 || all[0].Memory == nil {
				t.Fatalf("%d records", len(all))
			}
			if rec := all[0]; rec.Incomplete.Or(false) == c.whole || rec.Memory.SwapTotalBytes != c.swap {
				t.Errorf("incomplete %v, swap %v", rec.Incomplete, rec.Memory.SwapTotalBytes)
			}
		})
	}
}

// TestWholeOld: kernels up to 2.6.29 name no process and list no tasks, and their report is
// whole all the same.
func TestWholeOld(t *testing.T) {
	header := "crond invoked oom-killer: gfp_mask=0x201d2, order=0, oomkilladj=0"
	trace := []string{"Call Trace:", " [<ffffffff800c9e2b>] out_of_memory+0x8e/0x2f3", " [<ffffffff8000f53e>] __alloc_pages+0x27f/0x308"}
	memory := []string{
		"Mem-info:", "Free pages:        5964kB (0kB HighMem)", "Active:12031 inactive:12080 dirty:0 writeback:0 unstable:0 free:1491 slab:510 mapped-file:102 mapped-anon:24001 pagetables:401",
		"Node 0 DMA free:680kB min:28kB low:32kB high:40kB active:0kB inactive:0kB present:9452kB", "lowmem_reserve[]: 0 94 94 94",
		"Node 0 DMA32 free:5284kB min:4012kB low:5012kB high:6016kB active:48124kB inactive:48320kB present:101802kB", "lowmem_reserve[]: 0 0 0 0",
		"Node 0 Normal free:0kB min:0kB low:0kB high:0kB active:0kB inactive:0kB present:0kB", "lowmem_reserve[]: 0 0 0 0",
		"Node 0 DMA: 4*4kB 83*8kB = 680kB", "Node 0 DMA32: 1*4kB 660*8kB = 5284kB", "Node 0 Normal: empty", "131 pagecache pages",
	}
	swap := []string{"Free swap  = 0kB", "Total swap = 2096472kB", "Free swap:            0kB"}
	ram := []string{"26214 pages of RAM", "871 reserved pages", "41 pages shared", "11 pages swap cached"}
	stop, none := "Out of memory: Killed process 77, UID 500, (httpd).", "Killed process 77 (httpd)"
	for name, c := range map[string]struct {
		lines [][]string
		whole bool
	}{
		"2.6.18":              {[][]string{{header}, trace, memory, swap, ram, {stop}}, true},
		"2.6.25":              {[][]string{{header}, trace, memory, swap, ram, {"Out of memory: kill process 76 (httpd) score 3300 or a child", none}}, true},
		"2.6.17":              {[][]string{{"oom-killer: gfp_mask=0x201d2, order=0"}, trace, memory, swap, ram, {stop}}, true},
		"without its trace":   {[][]string{{header}, memory, swap, ram, {stop}}, false},
		"without swap":        {[][]string{{header}, trace, memory, ram, {stop}}, false},
		"without the RAM":     {[][]string{{header}, trace, memory, swap, {stop}}, false},
		"without blocks":      {[][]string{{header}, trace, memory[:9], swap, ram, {stop}}, false},
		"cut in the name":     {[][]string{{header}, trace, memory, swap, ram, {stop[:len(stop)-3]}}, false},
		"a header of today's": {[][]string{{strings.Replace(header, "oomkilladj", "oom_score_adj", 1)}, trace, memory, swap, ram, {stop}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			all := readText(t, at("   60.000001", slices.Concat(c.lines...)...), testOptions())
			if len(all) != 1 || all[0].Incomplete.Or(false) == c.whole {
				t.Errorf("%d records, incomplete %v", len(all), all[0].Incomplete)
			}
		})
	}
}
