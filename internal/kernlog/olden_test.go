package kernlog

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestGroupWithoutTable: each "Killed process" line behind the group's is about the process
// that it names, whatever the chosen one is called.
func TestGroupWithoutTable(t *testing.T) {
	kill := func(pid string) string {
		return "Memory cgroup out of memory: Killed process " + pid + " (node) total-vm:400kB, anon-rss:40kB, file-rss:4kB"
	}
	const (
		summary = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/app,task_memcg=/app,task=node,pid=412,uid=0"
		group   = "Tasks in /app are going to be killed due to memory.oom.group set"
	)
	inGroup := func(pid, tid int32, cgroup string) func(*oom.Record) bool {
		return func(r *oom.Record) bool {
			v := r.Victim
			return v.PID == oom.Some(pid) && v.TID == oom.Some(tid) && v.Cgroup == cgroup && r.Scope == oom.ScopeCgroup &&
				len(v.CgroupLimits) == 1 && v.CgroupLimits[0].Cgroup == "/app" && v.CgroupLimits[0].OOMGroup.Value
		}
	}
	elided := func(r *oom.Record) bool {
		levels := r.Victim.CgroupLimits
		return r.Victim.Cgroup == "" && r.Limit.Cgroup == "" && len(levels) == 1 && levels[0].Cgroup == "" && levels[0].OOMGroup.Value
	}
	for name, c := range map[string]struct {
		lines []string
		want  []wanted
	}{
		"another of the same name": {[]string{summary, kill("412"), group, kill("411"), kill("412")}, []wanted{
			{oom.KindKill, "412 node", "", inGroup(412, 412, "/app")}, {oom.KindKill, "411 node", "", inGroup(411, 411, "")},
		}},
		"a thread of the chosen one": {[]string{summary, kill("415"), group, kill("411"), kill("415")}, []wanted{
			{oom.KindKill, "412 node", "", inGroup(412, 415, "/app")}, {oom.KindKill, "411 node", "", inGroup(411, 411, "")},
		}},
		"the chosen one's line is lost": {[]string{summary, group, kill("411"), kill("412")}, []wanted{
			{oom.KindKill, "411 node", "", inGroup(411, 411, "")}, {oom.KindKill, "412 node", "", inGroup(412, 412, "/app")},
		}},
		"all before the group's line is lost": {[]string{group, kill("411"), kill("412")}, []wanted{
			{oom.KindKill, "411 node", "", inGroup(411, 411, "")}, {oom.KindKill, "412 node", "", inGroup(412, 412, "")},
		}},
		"a path of which a part is left out": {[]string{strings.Replace(summary, "oom_memcg=/app,task_memcg=/app", "oom_memcg=\u2026/app,task_memcg=\u2026/app", 1), kill("412"), strings.Replace(group, "/app", "\u2026/app", 1), kill("411")}, []wanted{
			{oom.KindKill, "412 node", "", elided}, {oom.KindKill, "411 node", "", elided},
		}},
		"no kill of it": {[]string{group, killedLine}, []wanted{{oom.KindKill, "812 hostapd", "", func(r *oom.Record) bool {
			return r.Scope == oom.ScopeSystem && len(r.Victim.CgroupLimits) == 0
		}}}},
	} {
		t.Run(name, func(t *testing.T) { checkWanted(t, stamped(c.lines...), c.want...) })
	}
}

// stamped gives lines the kernel's clock.
func stamped(lines ...string) string { return sources(lines...)["dmesg"] }

// TestGroupOfNothing: a group's line that no kill follows is told, and so is the reaper's.
func TestGroupOfNothing(t *testing.T) {
	const log = "[ 2.1] Tasks in /app are going to be killed due to memory.oom.group set\n[ 2.2] oom_reaper: reaped process 5 (x), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n"
	if all, st := readAll(t, strings.NewReader(log), testOptions()); len(all) != 0 || st.Unplaced != 1 || st.Reaped != 1 {
		t.Errorf("%d records, %+v", len(all), st)
	}
}

// TestCutSummary: a summary that ends before the task still has the scope.
func TestCutSummary(t *testing.T) {
	for line, want := range map[string]struct {
		scope    oom.Scope
		unplaced uint64
	}{
		"oom-kill:constraint=CONSTRAINT_CPUSET,nodemask=(null),cpuset=db,mems_allowed=1":                          {oom.ScopeCpuset, 0},
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=db,mems_allowed=1":                           {oom.ScopeCgroup, 0},
		"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0-1":                           {"", 1}, // a limit's too, from 5.0 to 5.2
		"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,ta": {oom.ScopeSystem, 0},
	} {
		all, st := readAll(t, strings.NewReader(headerLine+"\n"+line+"\n"), testOptions())
		if len(all) != 1 || all[0].Scope != want.scope || st.Unplaced != want.unplaced || !all[0].Incomplete.Value {
			t.Errorf("%s: %+v, %d unplaced", line, all, st.Unplaced)
		}
	}
}

// TestRowsLost: of a table whose rows are not there, or only some, nothing is summed up.
func TestRowsLost(t *testing.T) {
	const heading = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
	const own, other = "[    812]     0   812     1549      257    28672        0             0 hostapd", "[    537]     0   537     1000      300    40960        0             0 squid"
	for name, c := range map[string]struct {
		rows []string
		want oom.Opt[uint64]
	}{
		"none":          {nil, oom.Opt[uint64]{}},
		"only others":   {[]string{other}, oom.Opt[uint64]{}},
		"the victim's":  {[]string{own}, oom.Some(uint64(1))},
		"more than one": {[]string{other, own}, oom.Some(uint64(2))},
	} {
		lines := append(append([]string{headerLine, cpuLine, heading}, c.rows...),
			"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=hostapd,pid=812,uid=0", killedLine)
		r := readText(t, stamped(lines...), testOptions())[0]
		if r.Trigger == nil || r.CandidatesTotal != c.want || r.CandidatesBytes.Known != c.want.Known || len(r.Candidates) != len(c.rows) {
			t.Errorf("%s: %v, %v", name, r.CandidatesTotal, r.CandidatesBytes)
		}
	}
}

// TestNoRows: a cgroup can have no task to weigh; the machine always has.
func TestNoRows(t *testing.T) {
	const heading = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
	const counters = "memory: usage 4kB, limit 4kB, failcnt 1"
	trace := []string{cpuLine, "Call Trace:", " dump_stack+0x1/0x2"}
	for name, c := range map[string]struct {
		lines []string
		want  bool
	}{
		"a cgroup, whole": {append(trace[:3:3], counters, heading), true},
		"a cgroup, cut":   {[]string{counters, heading}, false},
		"the machine":     {append(trace[:3:3], "Mem-Info:", " free:2000", heading), false},
	} {
		lines := append(append([]string{headerLine}, c.lines...), "Out of memory and no killable processes...")
		r := readText(t, stamped(lines...), testOptions())[0]
		if r.Kind != oom.KindNoVictim || r.CandidatesTotal.Known != c.want || r.CandidatesTotal.Value != 0 {
			t.Errorf("%s: %s, %v", name, r.Kind, r.CandidatesTotal)
		}
	}
}

// TestHeadingAlone: a heading without rows does not keep the kill from its report.
func TestHeadingAlone(t *testing.T) {
	const heading = "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"
	const other = "[    537]     0   537     1000      300    40960        0             0 squid"
	for name, c := range map[string]struct {
		lines []string
		same  bool
	}{
		"without rows":        {[]string{headerLine, cpuLine, heading, killedLine}, true},
		"the rows come yet":   {[]string{headerLine, cpuLine, heading, killedLine, other}, false},
		"rows of other tasks": {[]string{headerLine, cpuLine, heading, other, killedLine}, false},
	} {
		for _, r := range readText(t, stamped(c.lines...), testOptions()) {
			if r.Kind == oom.KindKill && (r.Trigger != nil) != c.same {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

// TestOldTables: up to 3.5 a row has the CPU and oom_adj where page tables and swap are now,
// and up to 2.6.35 no oom_score_adj.
func TestOldTables(t *testing.T) {
	const (
		heading = "[ pid ]   uid  tgid total_vm      rss cpu oom_adj oom_score_adj name"
		row     = "[ 6120]   300  6120    91412    20710  41       0           100 perl"
		score   = "Out of memory: Kill process 6120 (perl) score 910 or sacrifice child"
		rhel    = "Killed process 6120, UID 300, (perl) total-vm:365648kB, anon-rss:82612kB, file-rss:228kB"
		kill    = "Killed process 6120 (perl) total-vm:365648kB, anon-rss:82612kB, file-rss:228kB"
		header  = "perl invoked oom-killer: gfp_mask=0x280da, order=0, oom_adj=0, oom_score_adj=0"
	)
	adj, none := oom.Some(int32(100)), oom.Opt[int32]{}
	for name, c := range map[string]struct {
		lines        []string
		tables, swap oom.Opt[uint64]
		adj          oom.Opt[int32]
		rows         int
	}{
		"a heading":                          {[]string{heading, row, score, kill}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, adj, 1},
		"no heading, RHEL 6's kill line":     {[]string{strings.Replace(row, " 20710", " 20710", 1), score, rhel}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, adj, 1},
		"no heading, a header with oom_adj":  {[]string{header, row, score, kill}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, adj, 1},
		"no heading, a kernel of old":        {[]string{"perl invoked oom-killer: gfp_mask=0x280da, order=0, oom_score_adj=0", "Pid: 6120, comm: perl Not tainted 3.5.7 #1 Debian", row, score, kill}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, adj, 1},
		"no heading, 3.6":                    {[]string{"perl invoked oom-killer: gfp_mask=0x280da, order=0, oom_adj=0, oom_score_adj=0", "Pid: 6120, comm: perl Not tainted 3.6.11 #1 Debian", row, score, kill}, oom.Some(uint64(41 * 4096)), oom.Some(uint64(0)), adj, 1},
		"no heading, could be tables":        {[]string{row, score, kill}, oom.Some(uint64(41 * 4096)), oom.Some(uint64(0)), adj, 1},
		"no heading, too few for tables":     {[]string{strings.Replace(row, " 41 ", " 40 ", 1), score, kill}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, adj, 1},
		"no heading, another row's oom_adj":  {[]string{row, "[  311]     0   311     2800       60   1     -17         -1000 udevd", score, kill}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, adj, 2},
		"no heading, behind another's":       {[]string{"[  311]     0   311     2800       60   1     -17         -1000 udevd", row, score, kill}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, adj, 2},
		"2.6.32":                             {[]string{strings.Replace(heading, " oom_score_adj", "", 1), "[  311]     0   311     2800       60   1     -17 udevd", strings.Replace(row, "           100", "", 1), score, kill}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, none, 2},
		"rows of 2.6.32 without the heading": {[]string{strings.Replace(row, "           100", "", 1), score, kill}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, none, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := readText(t, stamped(c.lines...), testOptions())[0]
			v := r.Victim
			if v.PgtablesBytes != c.tables || v.SwapBytes != c.swap || v.OOMScoreAdj != c.adj || len(r.Candidates) != c.rows {
				t.Errorf("%+v, %+v", v, r.Candidates)
			}
			for _, cand := range r.Candidates {
				if cand.SwapBytes.Known != c.swap.Known || cand.PgtablesBytes.Known != c.tables.Known || cand.OOMScoreAdj.Known != c.adj.Known {
					t.Errorf("%+v", cand)
				}
			}
			if c.rows == 2 && r.Candidates[0].Comm != "perl" {
				t.Errorf("first %q", r.Candidates[0].Comm)
			}
		})
	}
}

// TestPanicAtLimit: with vm.panic_on_oom=2 a cgroup's limit panics too (check_panic_on_oom),
// up to 4.1 behind the machine's Mem-Info. What the stack says is where it came from.
func TestPanicAtLimit(t *testing.T) {
	for name, c := range map[string]struct {
		kernel, frame string
		scope         oom.Scope
		memory        bool
	}{
		"a fault at a limit":       {"3.10.0-957.x86_64", " [<ffffffff8114e1ff>] mem_cgroup_oom_synchronize+0x34f/0x580", oom.ScopeCgroup, true},
		"in 4.1":                   {"4.1.12", " mem_cgroup_out_of_memory+0x2d/0x40", oom.ScopeCgroup, true},
		"4.2 prints no Mem-Info":   {"4.2.0", " mem_cgroup_out_of_memory+0x2d/0x40", oom.ScopeCgroup, false},
		"a frame that is a guess":  {"3.10.0-957.x86_64", " [<ffffffff8114e1ff>] ? mem_cgroup_oom_synchronize+0x34f/0x580", oom.ScopeSystem, true},
		"the allocator's own path": {"3.10.0-957.x86_64", " [<ffffffff8114e1ff>] __alloc_pages_nodemask+0x9bb/0xa00", oom.ScopeSystem, true},
	} {
		log := stamped("squid invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0", "CPU: 1 PID: 537 Comm: squid Not tainted "+c.kernel+" #1", "Call Trace:",
			" [<ffffffff8114d83e>] check_panic_on_oom+0x2e/0x60", c.frame, "Mem-Info:", " free:27898 slab_reclaimable:8884", "294896 pages RAM", "7632 pages reserved",
			"Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled")
		all := readText(t, log, testOptions())
		if len(all) != 1 || all[0].Kind != oom.KindPanic || all[0].Limit != nil || all[0].Scope != c.scope || all[0].Memory.PanicOnOOM != oom.Some(uint32(2)) || all[0].Memory.FreeBytes.Known != c.memory {
			t.Errorf("%s: %+v", name, all[0])
		}
	}
}

// TestLimitsMemInfo: up to 3.8 a limit's report has the machine's Mem-Info; where it is not
// known to be the report's, its lines are counted.
func TestLimitsMemInfo(t *testing.T) {
	block := []string{"Mem-Info:", "active_anon:14198 inactive_anon:66406 isolated_anon:0", " free:27898 slab_reclaimable:8884", "Free swap  = 1720104kB", "Total swap = 2064376kB", "294896 pages RAM", "7632 pages reserved"}
	head := []string{"Task in /x killed as a result of limit of /x", "memory: usage 102400kB, limit 102400kB, failcnt 756", "memory+swap: usage 206240kB, limit 1048576kB, failcnt 0"}
	tail := []string{"Memory cgroup out of memory: Kill process 77 (a) score 990 or sacrifice child", "Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB"}
	for name, c := range map[string]struct {
		begin  []string
		memory bool
	}{
		"2.6.36 to 3.6":     {[]string{"a invoked oom-killer: gfp_mask=0xd0, order=0, oom_adj=0, oom_score_adj=0"}, true},
		"3.8":               {[]string{"a invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0", "Pid: 77, comm: a Not tainted 3.8.13 #1"}, true},
		"3.9":               {[]string{"a invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0", "Pid: 77, comm: a Not tainted 3.9.1 #1"}, false},
		"of an unknown one": {[]string{"a invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0"}, false},
	} {
		var lines []string
		for _, part := range [][]string{c.begin, head, block, tail} {
			lines = append(lines, part...)
		}
		all, st := readAll(t, strings.NewReader(stamped(lines...)), testOptions())
		r, unused := all[0], uint64(1)
		if !c.memory {
			unused = uint64(len(block))
		}
		if got := r.Memory != nil && r.Memory.FreeBytes == oom.Some(uint64(27898*4096)) && r.Memory.SwapTotalBytes.Known; got != c.memory || r.Scope != oom.ScopeCgroup || st.Unused != unused {
			t.Errorf("%s: %+v, %d unused", name, r.Memory, st.Unused)
		}
	}
}

// TestGroupSecondLine: the kernel names an oom.group's chosen task twice, and the sizes of the
// second line can be others by then. An event beside the log may have either.
func TestGroupSecondLine(t *testing.T) {
	kill := func(file string) string {
		return "Memory cgroup out of memory: Killed process 412 (node) total-vm:400kB, anon-rss:40kB, file-rss:" + file + "kB, shmem-rss:0kB, UID:0 pgtables:52kB oom_score_adj:0"
	}
	kernel := func(stamp string) string {
		var b strings.Builder
		for _, line := range []string{
			"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/app,task_memcg=/app,task=node,pid=412,uid=0",
			kill("300"), "Tasks in /app are going to be killed due to memory.oom.group set", strings.Replace(kill("8"), "412", "411", 1), kill("8"),
		} {
			b.WriteString(stamp + line + "\n")
		}
		return b.String()
	}
	const event = "  Warning  OOMKilling  3m  kernel-monitor  "
	for name, c := range map[string]struct {
		file  string
		kills int
	}{"the first line": {"300", 2}, "the second line": {"8", 2}, "neither": {"9", 3}} {
		for _, stamp := range []string{"[   70.000100] ", "May 19 18:14:43 n8 kernel: [   70.000100] "} {
			for order, logs := range map[string][]string{"before": {event + kill(c.file) + "\n", kernel(stamp)}, "behind": {kernel(stamp), event + kill(c.file) + "\n"}} {
				all, st := readAll(t, strings.NewReader(strings.Join(logs, "")), testOptions())
				full := 0
				for _, r := range all {
					if r.Victim.Cgroup == "/app" && r.Limit != nil && r.Victim.FileRSSBytes == oom.Some(uint64(300<<10)) {
						full++
					}
				}
				want := c.kills
				if order == "behind" {
					want = 2 // in one log it is the group's, whatever it says
				}
				if len(all) != want || st.Kills != uint64(want) || full != 1 {
					t.Errorf("%s, %s: %d records, %d kills, %d full", name, order, len(all), st.Kills, full)
				}
				var seen Seen
				n := 0
				for _, log := range logs { // as two files
					o := testOptions()
					o.Seen = &seen
					n += len(readText(t, log, o))
					seen.Next()
				}
				if n != c.kills {
					t.Errorf("%s, %s, two files: %d records", name, order, n)
				}
			}
		}
	}
}

// TestSwapoffInLog: free swap below zero is what a device that swapoff empties still holds,
// where it is the only one.
func TestSwapoffInLog(t *testing.T) {
	for name, c := range map[string]struct {
		free, total string
		used        uint64 // kB
		leftOut     uint64
	}{
		"the only device":    {"-81920", "0", 81920, 0},
		"beside another":     {"-81920", "1048572", 0, 1},
		"none":               {"0", "0", 0, 0},
		"more than there is": {"-4503599627370496", "0", 0, 1},
	} {
		all, st := readAll(t, strings.NewReader(stamped(headerLine, cpuLine, "Mem-Info:", " free:2000 free_pcp:0 free_cma:0", "Free swap  = "+c.free+"kB", "Total swap = "+c.total+"kB",
			"262144 pages RAM", "9144 pages reserved", killedLine)), testOptions())
		m := all[0].Memory
		used := uint64(0)
		for _, d := range m.SwapDevices {
			used += d.UsedBytes.Value
		}
		if used != c.used<<10 || st.LeftOut != c.leftOut || m.SwapFreeBytes.Known != (c.free == "0") {
			t.Errorf("%s: %+v, %d left out", name, m, st.LeftOut)
		}
	}
}

// TestNodesSum: where the machine's own block is lost, its counters are those of the nodes,
// up to 4.7 of the zones, if all are listed.
func TestNodesSum(t *testing.T) {
	zone := func(node, managed string) string {
		return "Node " + node + " Normal free:4000kB min:5000kB low:6000kB high:7000kB active_anon:100kB inactive_anon:20kB unevictable:0kB present:80000kB managed:" + managed + "kB mlocked:0kB pagetables:8kB slab_unreclaimable:300kB free_cma:12kB"
	}
	node := func(n string) string {
		return "Node " + n + " active_anon:100kB inactive_anon:20kB unevictable:4kB isolated(anon):16kB mapped:24kB dirty:0kB shmem:12kB writeback_tmp:0kB"
	}
	pages := []string{"40000 pages RAM", "4000 pages reserved"} // 144 000 kB are managed
	const own = "active_anon:999 inactive_anon:7 isolated_anon:0"
	for name, c := range map[string]struct {
		lines                      []string
		anon, mapped, tables, free uint64 // kB
	}{
		"two nodes":              {[]string{node("0"), zone("0", "72000"), node("1"), zone("1", "72000")}, 200, 48, 16, 8000},
		"a zone is not listed":   {[]string{node("0"), zone("0", "72000"), node("1")}, 0, 0, 0, 0},
		"a node's line is lost":  {[]string{node("0"), zone("0", "72000"), zone("1", "72000")}, 200, 0, 16, 8000},
		"before 4.8":             {[]string{zone("0", "72000"), zone("1", "72000")}, 200, 0, 16, 8000},
		"the machine's is there": {[]string{own, node("0"), zone("0", "72000"), node("1"), zone("1", "72000")}, 999 * 4, 48, 16, 8000},
	} {
		all := readText(t, stamped(append(append([]string{headerLine, cpuLine, "Mem-Info:"}, c.lines...), append(pages, killedLine)...)...), testOptions())
		m := all[0].Memory
		get := func(name string) uint64 { v, _ := m.Stat.Get(name); return v >> 10 }
		if a, p, x, free := get(oom.StatActiveAnon), get(oom.StatMapped), get(oom.StatPageTable), m.FreeBytes.Value>>10; a != c.anon || p != c.mapped || x != c.tables || free != c.free {
			t.Errorf("%s: %d %d %d %d", name, a, p, x, free)
		}
	}
}

// TestZonesPresent: up to 3.8 zones say only what they have in all, and the oldest reports nothing
// of the machine's RAM.
func TestZonesPresent(t *testing.T) {
	const (
		oldest = "oom-killer: gfp_mask=0x1d2"
		free   = "active_anon:999 inactive_anon:7 isolated_anon:0\n free:2000 slab_reclaimable:1"
		dma    = "Normal free:3000kB min:50kB low:60kB high:70kB present:80000kB mlocked:40kB"
		normal = "HighMem free:5000kB min:50kB low:60kB high:70kB present:70000kB mlocked:8kB"
		blocks = "HighMem: 2*4kB (U) = 8kB"
		pages  = "40000 pages RAM\n4000 pages reserved" // 144 000 kB in use
	)
	for name, c := range map[string]struct {
		lines          []string
		mlocked, total uint64 // kB
	}{
		"all zones":                 {[]string{headerLine, free, dma, normal, pages}, 48, 144000},
		"more is free":              {[]string{headerLine, strings.Replace(free, "2000", "2100", 1), dma, normal, pages}, 0, 144000},
		"a zone's line is lost":     {[]string{headerLine, strings.Replace(free, "2000", "750", 1), dma, blocks, pages}, 0, 144000},
		"less than the machine has": {[]string{headerLine, free, dma, strings.Replace(normal, "present:7", "present:6", 1), pages}, 0, 144000},
		"the RAM's line is lost":    {[]string{headerLine, free, dma, normal}, 0, 0},
		"none before 2.6.15":        {[]string{oldest, free, dma, normal}, 0, 150000},
		"nor all zones":             {[]string{oldest, free, dma}, 0, 0},
	} {
		lines := strings.Split(strings.Join(append(c.lines, killedLine), "\n"), "\n")
		all := readText(t, stamped(lines...), testOptions())
		if len(all) != 1 {
			t.Fatalf("%s: %d records", name, len(all))
		}
		mlocked, _ := all[0].Memory.Stat.Get(oom.StatMlocked)
		if total := all[0].Memory.TotalBytes.Value; mlocked>>10 != c.mlocked || total>>10 != c.total {
			t.Errorf("%s: mlocked %d, total %d", name, mlocked>>10, total>>10)
		}
	}
}

// TestFreeSwapPages: 2.6.9 printed them in place of the swap's two sizes.
func TestFreeSwapPages(t *testing.T) {
	for line, want := range map[string]oom.Opt[uint64]{
		"nr_free_swap_pages: 96406":   oom.Some(uint64(96406 << 12)),
		"nr_free_swap_pages: 0":       oom.Some(uint64(0)),
		"nr_free_swap_pages: 96406kB": {},
		"nr_free_swap_pages: -1":      {},
	} {
		all := readText(t, "oom-killer: gfp_mask=0x1d2\nFree pages: 420kB (0kB HighMem)\n"+line+"\nOut of Memory: Killed process 1147 (bk).\n", testOptions())
		if len(all) != 1 {
			t.Fatalf("%s: %d records", line, len(all))
		}
		if m := all[0].Memory; m != nil && m.SwapFreeBytes != want || m == nil && want.Known {
			t.Errorf("%s: %+v", line, m)
		}
	}
}

// TestElidedPaths: what people left out of a path makes it none.
func TestElidedPaths(t *testing.T) {
	for path, want := range map[string]string{
		"/user.slice/run-p77.scope": "/user.slice/run-p77.scope", "\u2026/run-p77.scope": "", "/user.slice/\u2026/run-p77.scope": "", ".../run-p77.scope": "",
		"/user.slice/.../run-p77.scope": "", "/user.slice/run...p77": "/user.slice/run...p77", "/": "/",
	} {
		summary := "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=" + path + ",task_memcg=" + path + ",task=hostapd,pid=812,uid=0"
		r := readText(t, stamped(headerLine, cpuLine, summary, strings.Replace(killedLine, "Out", "Memory cgroup out", 1)), testOptions())[0]
		if r.Victim.Cgroup != want || r.Limit.Cgroup != want || r.Scope != oom.ScopeCgroup {
			t.Errorf("%s: %q at %q", path, r.Victim.Cgroup, r.Limit.Cgroup)
		}
		task := "Task in " + path + " killed as a result of limit of " + path
		r = readText(t, stamped(headerLine, cpuLine, task, strings.Replace(killedLine, "Out", "Memory cgroup out", 1)), testOptions())[0]
		if r.Victim.Cgroup != want || r.Limit.Cgroup != want {
			t.Errorf("%s: %q at %q", task, r.Victim.Cgroup, r.Limit.Cgroup)
		}
	}
}
