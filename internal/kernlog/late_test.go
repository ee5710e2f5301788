package kernlog

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestMemoryBehindKill: some vendors' kernels print Mem-Info last.
func TestMemoryBehindKill(t *testing.T) {
	const (
		head    = headerLine + "\n"
		summary = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=hostapd,pid=812,uid=0\n"
		kill    = "Out of memory: Killed process 812 (hostapd) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB\n"
		reaped  = "oom_reaper: reaped process 812 (hostapd), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n"
		memory  = "Mem-Info:\nactive_anon:9 inactive_anon:9 isolated_anon:0\n free:2000 free_pcp:0 free_cma:0\n40000 pages RAM\n4000 pages reserved\n"
	)
	for name, c := range map[string]struct {
		log  string
		free uint64 // pages
	}{
		"behind it":           {head + summary + kill + memory, 2000},
		"behind the reaper":   {head + summary + kill + reaped + memory, 2000},
		"far from the begin":  {strings.Repeat("usb 1-1: new\n", 500) + head + summary + kill + reaped + memory, 2000},
		"the reaper further":  {head + summary + kill + "a word\n" + reaped + memory, 0},
		"further on":          {head + summary + kill + "a word\n" + memory, 0},
		"another one's":       {head + strings.Replace(memory, "2000", "3000", 1) + summary + kill + memory, 3000},
		"without its report":  {kill + memory, 0},
		"a failure's":         {head + summary + kill + "sh: page allocation failure: order:5, mode:0xcc0(GFP_KERNEL), nodemask=(null)\n" + memory, 0},
		"of a cgroup's limit": {head + strings.NewReplacer("NONE", "MEMCG", "global_oom", "oom_memcg=/").Replace(summary) + "Memory cgroup o" + kill[1:] + memory, 0},
	} {
		all := readText(t, c.log, testOptions())
		if len(all) != 1 {
			t.Fatalf("%s: %d records", name, len(all))
		}
		var free uint64
		if m := all[0].Memory; m != nil {
			free = m.FreeBytes.Value >> 12
		}
		if free != c.free {
			t.Errorf("%s: %d free", name, free)
		}
	}
}

// TestMemoryBehindGroup: it is that of all victims of one decision.
func TestMemoryBehindGroup(t *testing.T) {
	const (
		summary = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/g,task=a,pid=812,uid=0\n"
		kill    = "Out of memory: Killed process 812 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB\n"
		group   = "Tasks in /g are going to be killed due to memory.oom.group set\n"
		reaped  = "oom_reaper: reaped process 812 (a), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n"
		memory  = "Mem-Info:\nactive_anon:9 inactive_anon:9 isolated_anon:0\n free:2000 free_pcp:0 free_cma:0\n40000 pages RAM\n4000 pages reserved\n"
	)
	other := strings.NewReplacer("812 (a)", "813 (b)")
	for name, log := range map[string]string{
		"behind all":     kill + group + other.Replace(kill) + memory,
		"and reaped":     kill + group + kill + other.Replace(kill) + reaped + other.Replace(reaped) + memory,
		"reaped between": kill + group + reaped + other.Replace(kill) + other.Replace(reaped) + memory,
		"shared":         kill + "Out of memory: Kill process 815 (c) sharing same memory\n" + group + other.Replace(kill) + memory,
	} {
		all := readText(t, headerLine+"\n"+summary+log, testOptions())
		if len(all) < 2 {
			t.Errorf("%s: %d records", name, len(all))
		}
		for _, rec := range all {
			if rec.Memory == nil || rec.Memory.FreeBytes.Value != 2000<<12 {
				t.Errorf("%s: %v: %+v", name, rec.Victim.PID, rec.Memory)
			}
		}
	}
}

// TestKillThenSilence: a kill line that ends behind the name is its report's, however long
// it takes until the next line.
func TestKillThenSilence(t *testing.T) {
	const report = "STAMP Xorg invoked oom-killer: gfp_mask=0x4d0, order=2, oom_adj=0\n" +
		"STAMP Mem-info:\nSTAMP active_anon:14031 inactive_anon:14073 isolated_anon:1\n" +
		"STAMP Out of memory: kill process 5064 (gnome-session) score 57411 or a child\nSTAMP Killed process 5135 (metacity)\n"
	for name, next := range map[string]string{
		"nothing":        "",
		"at once":        "May 19 03:39:57 mid kernel: usb 1-1: new device\n",
		"a second":       "May 19 03:39:58 mid kernel: usb 1-1: new device\n",
		"two minutes":    "May 19 03:41:57 mid kernel: usb 1-1: new device\n",
		"the next one":   "May 19 03:41:57 mid kernel: gdm3 invoked oom-killer: gfp_mask=0xd0, order=2, oom_adj=0\nMay 19 03:41:57 mid kernel: Killed process 5200 (gdm3)\n",
		"another's":      "May 19 03:41:57 top kernel: usb 1-1: new device\n",
		"the same again": "May 19 03:41:57 mid kernel: Killed process 5135 (metacity)\n",
	} {
		all := readText(t, strings.ReplaceAll(report, "STAMP", "May 19 03:39:57 mid kernel:")+next, testOptions())
		want := 1
		if name == "the next one" || name == "the same again" {
			want = 2
		}
		if len(all) != want || all[0].Victim == nil || all[0].Victim.PID != oom.Some(int32(5135)) || all[0].Trigger == nil || all[0].Trigger.Comm != "Xorg" || all[0].Time.Format("15:04:05") != "03:39:57" {
			t.Errorf("%s: %d records, %+v", name, len(all), all[0].Victim)
		}
	}
}
