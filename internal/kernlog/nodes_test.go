package kernlog

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestHighatomic: from 6.13 on what is free of the reserve is printed behind it, and is what
// the watermarks leave out.
func TestHighatomic(t *testing.T) {
	for name, c := range map[string]struct {
		fields string
		want   oom.Opt[uint64]
	}{
		"up to 6.12":    {"reserved_highatomic:2048KB active_anon:0kB", oom.Some(uint64(2048 << 10))},
		"from 6.13 on":  {"reserved_highatomic:2048KB free_highatomic:96KB active_anon:0kB", oom.Some(uint64(96 << 10))},
		"none is free":  {"reserved_highatomic:2048KB free_highatomic:0KB active_anon:0kB", oom.Some(uint64(0))},
		"before 4.9":    {"active_anon:0kB", oom.Opt[uint64]{}},
		"of another kB": {"highatomic:12kB", oom.Opt[uint64]{}},
	} {
		log := strings.Join([]string{headerLine, cpuLine, "Mem-Info:", "Node 0 Normal free:9048kB min:88kB low:108kB high:128kB " + c.fields, killedLine}, "\n") + "\n"
		all, _ := readAll(t, strings.NewReader(log), testOptions())
		if len(all) != 1 || len(all[0].Memory.Zones) != 1 || all[0].Memory.Zones[0].HighatomicBytes != c.want {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// oldNodes is a whole report of a kernel before 5.0, of two nodes of 4000 MiB each, with
// node 2 in the report and node 0 as well where both is set.
func oldNodes(header, cpuset string, both bool) string {
	zone := func(node, free string) string {
		return "Node " + node + " Normal free:" + free + "kB min:11264kB low:14080kB high:16896kB present:4194304kB managed:4096000kB mlocked:0kB"
	}
	lines := []string{
		header, cpuset, "CPU: 5 PID: 4711 Comm: solver Not tainted 4.14.336 #1", "Call Trace:", " dump_stack+0x5c/0x85", " out_of_memory+0x2d6/0x500", "Mem-Info:",
		"active_anon:1703111 inactive_anon:80021 isolated_anon:0", " active_file:311 inactive_file:404 isolated_file:0",
		" unevictable:0 dirty:0 writeback:0 unstable:0", " slab_reclaimable:9001 slab_unreclaimable:21044", " mapped:511 shmem:77 pagetables:5511 bounce:0", " free:181717 free_pcp:0 free_cma:0",
	}
	if both {
		lines = append(lines, zone("0", "716000"), "lowmem_reserve[]: 0 0 0 0")
	}
	lines = append(lines, zone("2", "10868"), "lowmem_reserve[]: 0 0 0 0")
	if both {
		lines = append(lines, "Node 0 Normal: 9*4kB (U) 2*8kB (U) = 52kB")
	}
	lines = append(lines, "Node 2 Normal: 7*4kB (U) 3*8kB (U) = 52kB",
		"821 total pagecache pages", "0 pages in swap cache", "Free swap  = 0kB", "Total swap = 524288kB", "2097152 pages RAM", "0 pages HighMem/MovableOnly", "49152 pages reserved",
		"[ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds swapents oom_score_adj name",
		"[ 4711]  1000  4711   990000   970000    1911       6        0             0 solver",
		"Out of memory: Kill process 4711 (solver) score 467 or sacrifice child",
		"Killed process 4711 (solver) total-vm:3960000kB, anon-rss:3879000kB, file-rss:1000kB, shmem-rss:0kB")
	return strings.Join(lines, "\n") + "\n"
}

// TestOldConstraint: before 5.0 the constraint is by the nodes that are allowed and listed.
func TestOldConstraint(t *testing.T) {
	const (
		head     = "solver invoked oom-killer: gfp_mask=0x14280ca(GFP_HIGHUSER_MOVABLE|__GFP_ZERO), nodemask="
		tail     = ",  order=0, oom_score_adj=0"
		null     = head + "(null)" + tail
		kernel   = "solver invoked oom-killer: gfp_mask=0x14000c0(GFP_KERNEL), nodemask=(null),  order=0, oom_score_adj=0"
		old      = "solver invoked oom-killer: gfp_mask=0x24280ca, order=0, oom_score_adj=0"
		cpuset   = "solver cpuset=batch mems_allowed=2"
		root     = "solver cpuset=/ mems_allowed=0,2"
		node     = 4096<<20 + 512<<20 // present, and swap
		machine  = 8000<<20 + 512<<20 // managed, and swap
		lostZone = "Node 0 Normal: 1*4kB (U) = 4kB\nNode 2 Normal: 7*4kB"
	)
	for name, c := range map[string]struct {
		log    string
		scope  oom.Scope
		domain uint64
	}{
		"a cpuset":                      {oldNodes(null, cpuset, false), oom.ScopeCpuset, node},
		"before 4.10":                   {oldNodes(old, cpuset, false), oom.ScopeCpuset, node},
		"a node's lines are lost":       {oldNodes(null, "solver cpuset=batch mems_allowed=0,2", false), oom.ScopeSystem, machine},
		"its nodes are all":             {oldNodes(null, "solver cpuset=batch mems_allowed=0,2", true), oom.ScopeSystem, machine},
		"the root's are all":            {oldNodes(null, "solver cpuset=/ mems_allowed=2", false), oom.ScopeSystem, machine},
		"not for the kernel's requests": {oldNodes(kernel, cpuset, false), oom.ScopeSystem, machine},
		"a zone's line is lost":         {strings.Replace(oldNodes(null, cpuset, false), "Node 2 Normal: 7*4kB", lostZone, 1), oom.ScopeSystem, machine},
		"a report that is cut":          {strings.Replace(oldNodes(null, cpuset, false), "2097152 pages RAM\n", "", 1), oom.ScopeSystem, 0},
		"a policy":                      {oldNodes(head+"2"+tail, root, false), oom.ScopeMempolicy, node},
		"a policy, 4.10":                {oldNodes(head+"2"+tail, root, true), oom.ScopeMempolicy, node},
		"a policy of all nodes":         {oldNodes(head+"0,2"+tail, root, true), oom.ScopeSystem, machine},
		"a cpuset within a policy":      {oldNodes(head+"0,2"+tail, cpuset, true), "", 0},
		"no NUMA":                       {strings.ReplaceAll(oldNodes(head+"0"+tail, "solver cpuset=/ mems_allowed=0", false), "Node 2 ", ""), oom.ScopeSystem, machine},
	} {
		all, _ := readAll(t, strings.NewReader(c.log), testOptions())
		if len(all) != 1 || all[0].Scope != c.scope || all[0].DomainBytes.Value != c.domain {
			t.Errorf("%s: %d records, scope %q, domain %v", name, len(all), all[0].Scope, all[0].DomainBytes)
		}
	}
	// Both sides of what may be freed since the boot: 1/64 of 8000 MiB.
	for managed, want := range map[string]oom.Scope{"8064000": oom.ScopeSystem, "8063996": oom.ScopeCpuset} {
		log := strings.Replace(oldNodes(null, cpuset, false), "managed:4096000kB", "managed:"+managed+"kB", 1)
		if all, _ := readAll(t, strings.NewReader(log), testOptions()); len(all) != 1 || all[0].Scope != want {
			t.Errorf("managed %s: scope %q", managed, all[0].Scope)
		}
	}
}

// TestProtected: what memory.min and memory.low keep, of the machine's cgroups or of those
// below a limit.
func TestProtected(t *testing.T) {
	line := func(least, low string) string {
		return "Memory cgroup min protection " + least + "kB -- low protection " + low + "kB"
	}
	system := func(lines ...string) string { // 2040 MiB
		return strings.Join(append(append([]string{headerLine, cpuLine, "Mem-Info:", " free:512 free_pcp:0 free_cma:0", "524288 pages RAM", "2048 pages reserved"}, lines...), killedLine), "\n") + "\n"
	}
	limit := strings.Join([]string{headerLine, cpuLine, "memory: usage 524288kB, limit 524288kB, failcnt 9", "swap: usage 0kB, limit 0kB, failcnt 0", "Memory cgroup stats for /a:", "anon 4096", line("204800", "0"),
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a/b,task=hostapd,pid=812,uid=0",
		"Memory cgroup out of memory: Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:28kB oom_score_adj:0",
		"Tasks in /a/b are going to be killed due to memory.oom.group set"}, "\n") + "\n"
	mended := func(log string) string { return strings.ReplaceAll(log, "5.15.134", "7.0.2") }
	for name, c := range map[string]struct {
		log, cgroup string
		least, low  uint64
	}{
		"it may be either":             {system(line("307200", "409600")), "", 0, 0},
		"of the machine":               {mended(system(line("307200", "409600"))), "/", 300 << 20, 400 << 20},
		"memory.low alone":             {mended(system(line("0", "409600"))), "/", 0, 400 << 20},
		"none":                         {system(line("0", "0")), "", 0, 0},
		"a page's size times as much":  {system(line("1258291200", "1677721600")), "/", 300 << 20, 400 << 20},
		"as much as there is, and 1/8": {mended(system(line("2350080", "0"))), "/", 2295 << 20, 0},
		"more than that":               {system(line("2350084", "0")), "/", 2350084 << 10 / 4096, 0},
		"more than there can be":       {system(line("0", "36028797018963964")), "", 0, 0},
		"a line that is cut":           {system("Memory cgroup min protection 307200kB -- low prot"), "", 0, 0},
		"below a limit":                {mended(limit), "/a", 200 << 20, 0},
	} {
		all, _ := readAll(t, strings.NewReader(c.log), testOptions())
		if len(all) != 1 || all[0].Victim == nil {
			t.Fatalf("%s: %d records", name, len(all))
		}
		levels := all[0].Victim.CgroupLimits
		if c.cgroup == "" {
			if len(levels) != 0 {
				t.Errorf("%s: %+v", name, levels)
			}
			continue
		}
		if l := levels[len(levels)-1]; l.Cgroup != c.cgroup || l.ChildrenMinBytes.Value != c.least || l.ChildrenLowBytes.Value != c.low {
			t.Errorf("%s: %+v", name, levels)
		}
		if c.cgroup == "/a" && (len(levels) != 2 || levels[0].Cgroup != "/a/b" || !levels[0].OOMGroup.Value) {
			t.Errorf("%s: the group: %+v", name, levels)
		}
	}
	two := mended(system(line("307200", "0")))
	two = strings.Replace(two, headerLine, "cron"+headerLine[len("squid"):]+"\n"+strings.Replace(mended(cpuLine), "squid", "cron", 1)+"\n"+headerLine, 1)
	two = strings.Replace(two, "Mem-Info:", "Mem-Info:\nMem-Info:", 1)
	all, _ := readAll(t, strings.NewReader(two), testOptions())
	for _, r := range all {
		if r.Victim != nil && len(r.Victim.CgroupLimits) != 0 {
			t.Errorf("of one of two OOMs at once: %+v", r.Victim.CgroupLimits)
		}
	}
}
