package kernlog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// cgroupReport is a report of a cgroup's limit up to the kill of its first task.
func cgroupReport(at float64, victim string, pids ...int) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		at += 0.000002
		fmt.Fprintf(&b, "[%12.6f] "+format+"\n", append([]any{at}, args...)...)
	}
	line("bench invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0")
	line("CPU: 2 PID: %d Comm: bench Not tainted 6.1.76 #1", pids[0])
	line("memory: usage 102400kB, limit 102400kB, failcnt 77")
	line("swap: usage 0kB, limit 0kB, failcnt 0")
	line("Memory cgroup stats for /batch/job:")
	line("anon 101000000")
	line("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name")
	for _, pid := range pids {
		line("[%7d]     0 %5d     1200      300    53248        0             0 sh", pid, pid)
	}
	line("oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/batch/job,task_memcg=%s,task=bench,pid=%d,uid=0", victim, pids[0])
	b.WriteString(cgroupKill(at+0.000002, pids[0]))
	return b.String()
}

func cgroupKill(at float64, pid int) string {
	return fmt.Sprintf("[%12.6f] Memory cgroup out of memory: Killed process %d (sh) total-vm:4800kB, anon-rss:200kB, file-rss:1000kB, shmem-rss:0kB, UID:0 pgtables:52kB oom_score_adj:0\n", at, pid)
}

// TestGroupUnsaid: the line that says that a group dies is lost, as in a log of warnings
// and errors.
func TestGroupUnsaid(t *testing.T) {
	report := cgroupReport(700, "/batch/job", 41, 42, 43)
	burst := ""
	for i := range 9 {
		burst += cgroupReport(696+float64(i)/10, "/batch/job", 60+i)
	}
	group := func(r *oom.Record) bool {
		return r.Limit != nil && r.Limit.OOMGroup.Value && len(r.Victim.CgroupLimits) == 1 && r.Victim.CgroupLimits[0].OOMGroup.Value
	}
	for name, c := range map[string]struct {
		log         string
		kills       int // of the last two incidents
		same, group bool
	}{
		"at once":                      {report + cgroupKill(700.0002, 42) + cgroupKill(700.0003, 41) + cgroupKill(700.0004, 43), 3, true, true},
		"the chosen one again":         {report + cgroupKill(700.0002, 41) + cgroupKill(700.0003, 42), 2, true, true},
		"a group below the limit":      {cgroupReport(700, "/batch/job/a", 41, 42) + cgroupKill(700.0002, 42), 2, true, false},
		"a task that was not weighed":  {report + cgroupKill(700.0002, 49), 2, false, false},
		"seconds later":                {report + cgroupKill(701.5, 42), 2, false, false},
		"after ten reports":            {burst + report + cgroupKill(700.0002, 42), 11, false, false},
		"after nine reports":           {burst[strings.Index(burst, "oom_score_adj:0\n")+16:] + report + cgroupKill(700.0002, 42), 10, true, true},
		"after ten reports in an hour": {strings.ReplaceAll(burst, "[  69", "[  39") + report + cgroupKill(700.0002, 42), 11, true, true},
		"of the whole machine":         {report + strings.Replace(cgroupKill(700.0002, 42), "Memory cgroup out", "Out", 1), 2, false, false},
		"with its own report":          {report + cgroupReport(700.0002, "/batch/job", 42, 43), 2, false, false},
	} {
		all := readText(t, c.log, testOptions())
		if len(all) != c.kills {
			t.Errorf("%s: %d records", name, len(all))
			continue
		}
		a, b := all[len(all)-2], all[len(all)-1]
		if same := a.Incident == b.Incident; same != c.same || group(b) != c.group || same && group(a) != c.group {
			t.Errorf("%s: same %v, group %v", name, same, group(b))
		}
	}
}

// TestOthersTrace: where the report's own lines are lost, what follows another task's first
// line is that task's.
func TestOthersTrace(t *testing.T) {
	const mem = "Mem-Info:\nactive_anon:90000 inactive_anon:9 isolated_anon:0\n free:2000 free_pcp:0 free_cma:0\n262144 pages RAM\n9144 pages reserved\n"
	const other = "CPU: 0 PID: 99 Comm: kworker/0:1 Not tainted 6.1.0 #1\nCall Trace:\n warn_alloc+0x113/0x190\n"
	for name, c := range map[string]struct {
		log  string
		want oom.Opt[uint64] // free memory, in pages
	}{
		"its own":                     {headerLine + "\n" + cpuLine + "\n" + mem + killLineText, oom.Some(uint64(2000))},
		"another's":                   {headerLine + "\n" + other + mem + killLineText, oom.Opt[uint64]{}},
		"another's, and then its own": {headerLine + "\n" + other + strings.Replace(mem, "2000", "1000", 1) + mem + killLineText, oom.Some(uint64(2000))},
		"another's trace within it":   {headerLine + "\n" + cpuLine + "\n" + other + mem + killLineText, oom.Some(uint64(2000))},
	} {
		all := readText(t, c.log+"\n", testOptions())
		if len(all) != 1 {
			t.Fatalf("%s: %d records", name, len(all))
		}
		got := oom.Opt[uint64]{}
		if m := all[0].Memory; m != nil && m.FreeBytes.Known {
			got = oom.Some(m.FreeBytes.Value >> 12)
		}
		if got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestGenericText: words like the kernel's, of others, stand for no OOM.
func TestGenericText(t *testing.T) {
	for _, line := range []string{
		"java.lang.OutOfMemoryError: Java heap space", "python3: MemoryError", "[drm] Out of memory: no vram", "xen:balloon: Out of memory",
		"kworker/0:1: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO), nodemask=(null),cpuset=/,mems_allowed=0",
		"SLUB: Unable to allocate memory on node -1, gfp=0xa20(GFP_ATOMIC)", "Out of memory, giving up", "TCP: out of memory -- consider tuning tcp_mem",
		"Memory cgroup out of memory", "lowmemorykiller: Killing 'com.foo' (1234), adj 900,", "out_of_memory: foo: allocation of 123 failed",
		"pool: Out of memory and no killable workers", "Kernel panic - not syncing: Out of memory", "Kernel panic - not syncing: Fatal exception in interrupt",
		"Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009", "VM: killing process httpd", "fatal: Out of memory, malloc failed (tried to allocate 7 bytes)",
	} {
		if all := readText(t, "[  100.000001] "+line+"\n", testOptions()); len(all) > 0 {
			t.Errorf("%s: %+v", line, all[0])
		}
	}
	for line, want := range map[string]wanted{
		"Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled":          {oom.KindPanic, "", "", isPanic(oom.PanicOnOOM)},
		"Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled":           {oom.KindPanic, "", "", isPanic(oom.PanicOnOOM)},
		"Kernel panic - not syncing: out of memory. panic_on_oom is selected":                     {oom.KindPanic, "", "", isPanic(oom.PanicOnOOM)},
		"Kernel panic - not syncing: out of memory. Compulsory panic_on_oom is selected.":         {oom.KindPanic, "", "", isPanic(oom.PanicOnOOM)},
		"Kernel panic - not syncing: System is deadlocked on memory":                              {oom.KindPanic, "", "", isPanic(oom.PanicNoKillable)},
		"Kernel panic - not syncing: Out of memory and no killable processes...":                  {oom.KindPanic, "", "", isPanic(oom.PanicNoKillable)},
		"Out of memory and no killable processes...":                                              {oom.KindNoVictim, "", "", nil},
		"Out of Memory: Killed process 2592 (oracle).":                                            {oom.KindKill, "2592 oracle", "", nil},
		"Out of memory: kill process 17373 (firefox-bin) score 47 or a child":                     {oom.KindKill, "17373 firefox-bin", "", nil},
		"Out of memory (oom_kill_allocating_task): Kill process 3 (x) score 5 or sacrifice child": {oom.KindKill, "3 x", "", nil},
	} {
		t.Run(line, func(t *testing.T) { checkWanted(t, "[  100.000001] "+line+"\n", want) })
	}
}
