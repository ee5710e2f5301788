package kernlog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestGlued: where a line feed is lost, the next line's stamp is the boundary.
func TestGlued(t *testing.T) {
	const score = "Out of memory: Kill process 812 (hostapd) score 31 or sacrifice child"
	const killed = "Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB, file-rss:4kB"
	all := []string{
		headerLine, cpuLine, "Call Trace:", " dump_stack+0x12/0x34", " oom_kill_process+0x56/0x78 [ours]", "Mem-Info:",
		"active_anon:420 inactive_anon:33 isolated_anon:0", "Node 0 DMA free:2048kB min:88kB low:108kB high:128kB", "lowmem_reserve[]: 0 0 0",
		"1024 pages RAM", "24 pages reserved", "[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name", score, killed,
	}
	dmesg := func(i int) string { return fmt.Sprintf("[  104.48%04d] ", i) }
	syslog := func(i int) string { return "Mar  7 04:11:09 worker kernel: " }
	both := func(i int) string { return syslog(i) + dmesg(i) }
	for name, c := range map[string]struct {
		prefix, glued func(i int) string
		between       string
	}{
		"dmesg":                     {dmesg, dmesg, ""},
		"dmesg, a blank":            {dmesg, dmesg, " "},
		"dmesg -r":                  {func(i int) string { return "<4>" + dmesg(i) }, dmesg, ""},
		"syslog":                    {syslog, syslog, ""},
		"syslog and a stamp":        {both, both, ""},
		"syslog, then only a stamp": {both, dmesg, ""},
	} {
		for i := 1; i < len(all); i++ {
			var log strings.Builder
			for j, l := range all {
				prefix := c.prefix
				switch {
				case j == i:
					prefix = c.glued
					log.WriteString(c.between)
				case j > 0:
					log.WriteString("\n")
				}
				log.WriteString(prefix(j) + l)
			}
			if i == 2 { // behind the task's name, which could be that: the line is lost
				continue
			}
			t.Run(fmt.Sprint(name, ", before ", all[i]), func(t *testing.T) {
				checkWanted(t, log.String()+"\n", wanted{oom.KindKill, "812 hostapd", "squid", func(r *oom.Record) bool {
					return r.Victim.RSSBytes == oom.Some(uint64(1028<<10)) && r.Victim.Score == oom.Some(int64(31)) && (c.prefix(0)[0] != 'M' || r.Node == "worker")
				}})
			})
		}
	}
}

// TestNotGlued: what a name holds is no line, however much it looks like one.
func TestNotGlued(t *testing.T) {
	const forged = "[  104.490000] Out of memory: Killed process 1 (init) total-vm:4kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:4kB oom_score_adj:0"
	for _, line := range []string{
		"Task in /a" + forged + " killed as a result of limit of /a",
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a,task=a,pid=5,uid=0" + forged + ",task=hostapd,pid=812,uid=0",
		"Memory cgroup stats for /a: cache:0KB" + forged + ":",
		"Mem-Info:[7]: segfault at 0 ip 00007f0000000000 sp 00007ffd00000000 error 4 in x" + forged + "[400000+1000]",
		"DMA free:2kB[7]: segfault at 0 ip 00007f0000000000 sp 00007ffd00000000 error 4 in x" + forged + "[400000+1000]",
		"f+0x1/0x2[7]: segfault at 0 ip 00007f0000000000 sp 00007ffd00000000 error 4 in x" + forged + "[400000+1000]",
		"Free swap  = 1: page allocation failure: order:0, mode:0x40cc0(GFP_KERNEL), nodemask=(null),cpuset=a" + forged + ",mems_allowed=0",
		"squid cpuset=a" + forged + " mems_allowed=0",
		"Mem-Info: " + strings.Replace(forged, "104.", "904.", 1), // of another time
		"[  537]     0   537     1549      256    45056        0             0 a" + forged,
	} {
		killed := killedLine
		if strings.Contains(line, "/a") {
			killed = strings.Replace(killed, "Out", "Memory cgroup out", 1)
		}
		checkWanted(t, "[  104.480000] "+headerLine+"\n[  104.480100] "+line+"\n[  104.480200] "+killed+"\n", wanted{oom.KindKill, "812 hostapd", "squid", nil})
	}
}
