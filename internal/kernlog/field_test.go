package kernlog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestEveryLine takes the lines out of real reports one by one: each is in the record,
// or it is counted.
func TestEveryLine(t *testing.T) {
	sum := func(text string) string {
		all, st := readAll(t, strings.NewReader(text), testOptions())
		out, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s %d %d %d", out, st.Unused, st.Unplaced, st.LeftOut)
	}
	for _, name := range []string{
		"3.10-system.txt", "4.4-system-dmesg-T.txt", "4.15-system-child.txt", "5.10-guest-kmsg.txt", "6.1-guest-kmsg.txt", "6.12-guest-kmsg.txt",
		"6.12-swapoff.txt", "6.18-cgroup-v1.txt", "7.x-guest-kmsg.txt", "6.12-slab-allocations.txt",
	} {
		lines := strings.SplitAfter(corpusFile(t, name), "\n")
		first, last := -1, -1
		for i, line := range lines {
			if first < 0 && strings.Contains(line, headerMark) {
				first = i
			}
			if first >= 0 && strings.Contains(line, killedMark) {
				last = i
				break
			}
		}
		whole := sum(strings.Join(lines[first:last+1], ""))
		for i := first; i <= last; i++ {
			if strings.HasPrefix(lines[i], " ") { // the dictionary of /dev/kmsg
				continue
			}
			if sum(strings.Join(lines[first:i], "")+strings.Join(lines[i+1:last+1], "")) == whole {
				t.Errorf("%s: without %q all is the same", name, lines[i])
			}
		}
	}
}

// wanted is what a log must give.
type wanted struct {
	kind    oom.Kind
	victim  string // "PID COMM"
	trigger string
	check   func(*oom.Record) bool
}

func checkWanted(t *testing.T, log string, want ...wanted) {
	t.Helper()
	all := readText(t, log, testOptions())
	if len(all) != len(want) {
		t.Fatalf("%d records, want %d\n%s", len(all), len(want), log)
	}
	for i, w := range want {
		rec := all[i]
		victim, trigger := "", ""
		if rec.Victim != nil {
			victim = fmt.Sprintf("%d %s", rec.Victim.PID.Value, rec.Victim.Comm)
		}
		if rec.Trigger != nil {
			trigger = rec.Trigger.Comm
		}
		if rec.Kind != w.kind || victim != w.victim || trigger != w.trigger || w.check != nil && !w.check(rec) {
			t.Errorf("record %d: %s %q by %q\n%s", i, rec.Kind, victim, trigger, essence(rec))
		}
	}
}

const (
	headerLine = "squid invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"
	cpuLine    = "CPU: 1 PID: 537 Comm: squid Not tainted 5.15.134 #0"
	killedLine = "Out of memory: Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:28kB oom_score_adj:0"
)

// sources writes lines as the sources of a router, a board or a NAS do.
func sources(lines ...string) map[string]string {
	out := map[string]string{}
	for name, prefix := range map[string]func(i int) string{
		"dmesg":    func(i int) string { return fmt.Sprintf("[%5d.%06d] ", 912, 100+i) },
		"dmesg -T": func(int) string { return "[Fri Mar  7 04:15:12 2025] " },
		"syslog":   func(int) string { return "Mar  7 04:15:12 gate kernel: " },
		"logread": func(i int) string {
			return fmt.Sprintf("Fri Mar  7 04:15:12 2025 kern.warn kernel: [%5d.%06d] ", 912, 100+i)
		},
		"no stamps": func(int) string { return "" },
	} {
		var b strings.Builder
		for i, line := range lines {
			b.WriteString(prefix(i) + line + "\n")
		}
		out[name] = b.String()
	}
	return out
}

// TestSummaries: kernels without memory cgroups or cpusets print fewer keys.
func TestSummaries(t *testing.T) {
	for name, c := range map[string]struct {
		line  string
		scope oom.Scope
		cpus  string
	}{
		"all":                {"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=hostapd,pid=812,uid=0", oom.ScopeSystem, "/"},
		"no memcg":           {"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,task=hostapd,pid=812,uid=0", oom.ScopeSystem, "/"},
		"no cpusets":         {"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),global_oom,task_memcg=/,task=hostapd,pid=812,uid=0", oom.ScopeSystem, ""},
		"neither":            {"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=hostapd,pid=812,uid=0", oom.ScopeSystem, ""},
		"a cpuset, no memcg": {"oom-kill:constraint=CONSTRAINT_CPUSET,nodemask=(null),cpuset=x,mems_allowed=1,task=hostapd,pid=812,uid=0", oom.ScopeCpuset, "x"},
		"a policy, no memcg": {"oom-kill:constraint=CONSTRAINT_MEMORY_POLICY,nodemask=1,cpuset=/,mems_allowed=0-1,task=hostapd,pid=812,uid=0", oom.ScopeMempolicy, "/"},
	} {
		for source, log := range sources(headerLine, cpuLine, c.line, killedLine) {
			t.Run(name+", "+source, func(t *testing.T) {
				checkWanted(t, log, wanted{oom.KindKill, "812 hostapd", "squid", func(r *oom.Record) bool {
					return r.Scope == c.scope && r.Trigger.Cpuset == c.cpus && r.Limit == nil && r.Victim.RSSBytes == oom.Some(uint64(1028<<10))
				}})
			})
		}
	}
}

// TestShortReports: reports without a table, with either neighbour missing.
func TestShortReports(t *testing.T) {
	mem := []string{"Mem-Info:", "active_anon:42 inactive_anon:33 isolated_anon:0", " free:512 free_pcp:0 free_cma:0", "DMA free:2048kB min:88kB low:108kB high:128kB", "1024 pages RAM", "24 pages reserved"}
	kill := wanted{oom.KindKill, "812 hostapd", "squid", nil}
	cut := wanted{kind: oom.KindOOM, trigger: "squid", check: func(r *oom.Record) bool { return r.Incomplete == oom.Some(true) }}
	for name, c := range map[string]struct {
		lines []string
		want  []wanted
	}{
		"header, kill":               {[]string{headerLine, killedLine}, []wanted{kill}},
		"header, CPU, kill":          {[]string{headerLine, cpuLine, killedLine}, []wanted{kill}},
		"with Mem-Info":              {append(append([]string{headerLine, cpuLine}, mem...), killedLine), []wanted{kill}},
		"no kill line":               {append([]string{headerLine, cpuLine, "Call Trace:", " oom_kill_process+0x8/0x10"}, mem...), []wanted{cut}},
		"the header only":            {[]string{headerLine}, []wanted{cut}},
		"cut, then a whole one":      {[]string{headerLine, cpuLine, strings.Replace(headerLine, "squid", "dnsmasq", 1), killedLine}, []wanted{{oom.KindKill, "812 hostapd", "dnsmasq", nil}, cut}},
		"a kill, then a header":      {[]string{headerLine, killedLine, headerLine}, []wanted{kill, cut}},
		"no victim, its own words":   {[]string{headerLine, cpuLine, "Out of memory and no killable processes..."}, []wanted{{kind: oom.KindNoVictim, trigger: "squid"}}},
		"panic_on_oom":               {[]string{headerLine, cpuLine, "Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled"}, []wanted{{oom.KindPanic, "", "squid", isPanic(oom.PanicOnOOM)}}},
		"compulsory":                 {[]string{headerLine, cpuLine, "Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled"}, []wanted{{oom.KindPanic, "", "squid", isPanic(oom.PanicOnOOM)}}},
		"up to 2.6.35":               {[]string{headerLine, cpuLine, "Kernel panic - not syncing: out of memory. panic_on_oom is selected"}, []wanted{{oom.KindPanic, "", "squid", isPanic(oom.PanicOnOOM)}}},
		"none to kill, up to 4.18":   {[]string{headerLine, cpuLine, "Kernel panic - not syncing: Out of memory and no killable processes..."}, []wanted{{oom.KindPanic, "", "squid", isPanic(oom.PanicNoKillable)}}},
		"none to kill, from 4.19 on": {[]string{headerLine, cpuLine, "Out of memory and no killable processes...", "Kernel panic - not syncing: System is deadlocked on memory"}, []wanted{{oom.KindPanic, "", "squid", isPanic(oom.PanicNoKillable)}}},
		"another panic":              {[]string{headerLine, killedLine, "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009"}, []wanted{kill}},
	} {
		for source, log := range sources(c.lines...) {
			t.Run(name+", "+source, func(t *testing.T) { checkWanted(t, log, c.want...) })
		}
	}
}

func isPanic(why oom.Panic) func(*oom.Record) bool {
	return func(r *oom.Record) bool { return r.Panic == why }
}

// TestVictimCgroup: where only one line names a process, it is the one chosen, and the
// cgroup is its own.
func TestVictimCgroup(t *testing.T) {
	const task = "Task in /kubepods/burstable/podab/cd killed as a result of limit of /kubepods/burstable/podab"
	const kill = "Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB"
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"one line, as RHEL 8.1":         {[]string{headerLine, task, "Memory cgroup out of memory: " + kill}, "/kubepods/burstable/podab/cd"},
		"two lines":                     {[]string{headerLine, task, "Memory cgroup out of memory: Kill process 77 (a) score 900 or sacrifice child", kill}, "/kubepods/burstable/podab/cd"},
		"the second of two, a child's":  {[]string{headerLine, task, kill}, ""},
		"the kernel chose another task": {[]string{headerLine, task, "Memory cgroup out of memory: Kill process 76 (b) score 900 or sacrifice child", kill}, ""},
	} {
		for source, log := range sources(c.lines...) {
			t.Run(name+", "+source, func(t *testing.T) {
				checkWanted(t, log, wanted{oom.KindKill, "77 a", "squid", func(r *oom.Record) bool {
					return r.Victim.Cgroup == c.want && r.Limit.Cgroup == "/kubepods/burstable/podab"
				}})
			})
		}
	}
}

// TestHeaderForms: the header's parts come in any order, and people hide some.
func TestHeaderForms(t *testing.T) {
	for line, check := range map[string]func(r *oom.Record) bool{
		"smbd invoked oom-killer: order=2, oom_score_adj=-5, gfp_mask=0x27000c0(GFP_KERNEL|0x100000)": func(r *oom.Record) bool {
			return r.Trigger.Order == oom.Some(int32(2)) && r.Trigger.OOMScoreAdj == oom.Some(int32(-5)) && r.Trigger.GFPMask == oom.Some(uint32(0x27000c0))
		},
		"a invoked oom-killer: gfp_mask=0x62****(GFP_HIGHUSER_MOVABLE|__GFP_ZERO), nodemask=(null), order=1,": func(r *oom.Record) bool {
			return !r.Trigger.GFPMask.Known && r.Trigger.Order == oom.Some(int32(1))
		},
		"a invoked oom-killer: gfp_mask=0x62xx, order=1, oom_score_adj=0": func(r *oom.Record) bool {
			return !r.Trigger.GFPMask.Known && r.Trigger.Order == oom.Some(int32(1))
		},
	} {
		rec := readText(t, line+"\n"+cpuLine+"\n"+killLineText+"\n", testOptions())[0]
		if !check(rec) {
			t.Errorf("%s: %+v", line, rec.Trigger)
		}
	}
	log := "a invoked oom-killer: gfp_mask=0x24000c0(GFP_KERNEL), order=0\nTask in /user.slice killed as a result of limit of host\n" + killLineText + "\n"
	if all := readText(t, log, testOptions()); len(all) != 1 || all[0].Scope != oom.ScopeSystem || all[0].Limit != nil || all[0].Victim.Cgroup != "/user.slice" {
		t.Errorf("%d records, %+v", len(all), all[0])
	}
	log = "cat invoked oom-killer: gfp_mask=0xd4, order=3, oom_adj=0\nOut of memory: kill process 2716 (a) score 191570 or a child\nKilled process 2726 (b) vsz:319232kB anon-rss:8156kB, file-rss:2764kB lowmem 0kB\n"
	if all := readText(t, log, testOptions()); len(all) != 1 || all[0].Victim.PID.Value != 2726 || !all[0].Victim.RSSBytes.Known {
		t.Errorf("%d records, %+v", len(all), all[0].Victim)
	}
}
