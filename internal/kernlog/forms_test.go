package kernlog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// entryForms keep a log's parts as fields, as journald, syslog daemons, shippers, clouds and
// spreadsheets do.
func entryForms() []wrapping {
	us, s := time.Microsecond, time.Second
	object := func(f func(l sourceLine, text string) map[string]any) func([]sourceLine) string {
		return eachObject(f)
	}
	stamp := func(l sourceLine) string { return "[" + l.clock() + "] " }
	csv := func(head, comma string, f func(l sourceLine, text string) []string) func([]sourceLine) string {
		return func(lines []sourceLine) string {
			return head + "\n" + eachLine(lines, func(l sourceLine, text string) string {
				cells := f(l, text)
				for i := range cells {
					cells[i] = `"` + strings.ReplaceAll(cells[i], `"`, `""`) + `"`
				}
				return strings.Join(cells, comma)
			})
		}
	}
	iso := func(l sourceLine) string { return l.at().Format("2006-01-02T15:04:05.000000Z") }
	return []wrapping{
		{name: "logcli", uptime: true, wall: true, wallStep: us, wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"labels": map[string]string{"job": "kern", "host": "x"}, "line": stamp(l) + text, "timestamp": iso(l)}
		})},
		{name: "Loki's interface", uptime: true, wall: true, wallStep: us, wrap: func(lines []sourceLine) string {
			var values [][]string
			eachLine(lines, func(l sourceLine, text string) string {
				values = append(values, []string{fmt.Sprint(l.at().UnixNano()), stamp(l) + text})
				return ""
			})
			out, _ := json.Marshal(map[string]any{"status": "success", "data": map[string]any{"resultType": "streams", "result": []any{map[string]any{"stream": map[string]string{"job": "kern"}, "values": values}}}})
			return string(out)
		}},
		{name: "Vector", wall: true, wallStep: us, node: true, wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"appname": "kernel", "facility": "kern", "hostname": "worker", "message": text, "severity": "warning", "timestamp": iso(l)}
		})},
		{name: "fluentd", uptime: true, wall: true, wallStep: us, node: true, wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"host": "worker", "ident": "kernel", "message": stamp(l) + text, "tag": "system.kern", "time": iso(l)}
		})},
		{name: "Filebeat", uptime: true, wall: true, wallStep: us, node: true, wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"@timestamp": iso(l), "message": stamp(l) + text, "host": map[string]any{"name": "worker"}, "process": map[string]any{"name": "kernel"}, "log": map[string]any{"file": map[string]any{"path": "/var/log/kern.log"}}}
		})},
		{name: "Filebeat, the line", uptime: true, wall: true, wallStep: s, node: true, wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"@timestamp": "2025-03-09T01:02:03Z", "message": l.at().Format("Jan _2 15:04:05 worker kernel: ") + stamp(l) + text, "agent": map[string]any{"type": "filebeat"}}
		})},
		{name: "Elasticsearch", uptime: true, wall: true, wallStep: us, node: true, wrap: func(lines []sourceLine) string {
			var hits []any
			eachLine(lines, func(l sourceLine, text string) string {
				hits = append(hits, map[string]any{"_id": "x", "_index": "logs", "_source": map[string]any{"@timestamp": iso(l), "message": stamp(l) + text, "host": map[string]string{"hostname": "worker"}}})
				return ""
			})
			out, _ := json.MarshalIndent(map[string]any{"took": 1, "hits": map[string]any{"total": 2, "hits": hits}}, "", "  ")
			return string(out)
		}},
		{name: "GELF", wall: true, wallStep: us, node: true, wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"version": "1.1", "host": "worker", "short_message": text, "facility": "kern", "timestamp": float64(l.at().UnixMicro()) / 1e6}
		})},
		{name: "CloudWatch", uptime: true, wall: true, wallStep: time.Millisecond, wrap: func(lines []sourceLine) string {
			var events []any
			eachLine(lines, func(l sourceLine, text string) string {
				events = append(events, map[string]any{"timestamp": l.at().UnixMilli(), "message": stamp(l) + text, "ingestionTime": 1})
				return ""
			})
			out, _ := json.MarshalIndent(map[string]any{"events": events, "nextForwardToken": "x"}, "", "  ")
			return string(out)
		}},
		{name: "Splunk", uptime: true, wall: true, wallStep: s, node: true, wrap: object(func(l sourceLine, text string) map[string]any {
			return map[string]any{"preview": false, "result": map[string]any{"_raw": l.at().Format("Jan _2 15:04:05 worker kernel: ") + stamp(l) + text, "_time": "x"}}
		})},
		{name: "CSV of Grafana", uptime: true, wall: true, wallStep: us, wrap: csv(`"Time","Line","tsNs","id"`, ",", func(l sourceLine, text string) []string {
			return []string{iso(l), stamp(l) + text, fmt.Sprint(l.at().UnixNano()), "1_a"}
		})},
		{name: "CSV of CloudWatch", uptime: true, wall: true, wallStep: time.Millisecond, wrap: csv("@message,@timestamp", ",", func(l sourceLine, text string) []string {
			return []string{stamp(l) + text, l.at().Format("2006-01-02 15:04:05.000")}
		})},
		{name: "CSV of the journal", wall: true, wallStep: us, node: true, wrap: csv("_HOSTNAME;MESSAGE;_TRANSPORT;timestamp", ";", func(l sourceLine, text string) []string {
			return []string{"worker", text, "kernel", iso(l)}
		})},
		{name: "a table with tabs", uptime: true, wall: true, wallStep: us, node: true, wrap: csv("timestamp\thost\tmessage", "\t", func(l sourceLine, text string) []string {
			return []string{iso(l), "worker", stamp(l) + text}
		})},
		{name: "a cell of many lines", wall: true, wallStep: us, node: true, wrap: func(lines []sourceLine) string {
			var b strings.Builder
			b.WriteString("timestamp,host,facility,message\n")
			for _, l := range lines {
				fmt.Fprintf(&b, "%s,worker,kern,\"%s\"\n", iso(l), l.text)
			}
			return b.String()
		}},
		{name: "journalctl verbose", uptime: true, wall: true, wallStep: us, node: true, bootID: true, wrap: func(lines []sourceLine) string {
			var b strings.Builder
			for i, l := range lines {
				fmt.Fprintf(&b, "%s [s=1;i=%d;b=2]\n", l.at().Format("Mon 2006-01-02 15:04:05.000000 UTC"), i)
				for _, f := range journalFields(l) {
					b.WriteString("    " + f[0] + "=" + strings.ReplaceAll(f[1], "\n", "\n            ") + "\n")
				}
			}
			return b.String()
		}},
		{name: "all in one text", wrap: func(lines []sourceLine) string {
			out, _ := json.Marshal(map[string]string{"message": strings.TrimSuffix(eachLine(lines, func(_ sourceLine, text string) string { return text }), "\n"), "facility": "kern"})
			return string(out) + "\n"
		}},
		{name: "all in one text with #012", uptime: true, wrap: func(lines []sourceLine) string {
			out, _ := json.Marshal(map[string]string{"message": strings.ReplaceAll(textWrappings()[0].wrap(lines), "\n", "#012")})
			return string(out) + "\n"
		}},
	}
}

// TestEntryForms: the record is the same in each form.
func TestEntryForms(t *testing.T) {
	lines := original(t)
	want := essence(readText(t, textWrappings()[0].wrap(lines), testOptions())[0])
	for _, w := range entryForms() {
		t.Run(w.name, func(t *testing.T) {
			last := lines[len(lines)-1]
			all, st := readAll(t, strings.NewReader(w.wrap(lines)), testOptions())
			if len(all) != 1 || st.Kills != 1 || st.Reports != 1 || st.Unplaced != 0 {
				t.Fatalf("%d records, %+v", len(all), st)
			}
			rec := all[0]
			if got := essence(rec); got != want {
				t.Error(difference(got, want))
			}
			if rec.UptimeNS.Known != w.uptime || w.uptime && rec.UptimeNS.Value != uint64(last.us)*1000 {
				t.Errorf("uptime %v", rec.UptimeNS)
			}
			if rec.Time.IsZero() == w.wall || w.wall && !rec.Time.Truncate(w.wallStep).Equal(last.at().Truncate(w.wallStep)) {
				t.Errorf("time %v, want %v", rec.Time, last.at())
			}
			if (rec.Node == "worker") != w.node || (rec.BootID != "") != w.bootID {
				t.Errorf("node %q, boot %q", rec.Node, rec.BootID)
			}
		})
	}
}

// TestEvents are Kubernetes events as kubectl prints them: node-problem-detector's have
// the kernel's own line.
func TestEvents(t *testing.T) {
	event := func(component, message string) string {
		return `{"apiVersion":"v1","kind":"Event","metadata":{"name":"x.17"},"involvedObject":{"kind":"Node","name":"node-4"},"lastTimestamp":"2025-03-07T04:11:09Z","message":"` + message + `","reason":"OOMKilling","source":{"component":"` + component + `","host":"node-4"},"type":"Warning"}`
	}
	list := func(events ...string) string {
		return `{"apiVersion":"v1","items":[` + strings.Join(events, ",") + `],"kind":"List"}`
	}
	log := list(event("kernel-monitor", "Memory cgroup out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:40kB oom_score_adj:900"),
		event("kubelet", "System OOM encountered, victim process: b, pid: 78"), event("app", killLineText))
	checkWanted(t, log, wanted{oom.KindKill, "77 a", "", func(r *oom.Record) bool {
		return r.Node == "node-4" && r.Scope == oom.ScopeCgroup && r.Time.Hour() == 4
	}})
}

// TestTorn: a report that is torn or cut gives what is certain, never a second kill.
func TestTorn(t *testing.T) {
	kill := wanted{oom.KindKill, "812 hostapd", "squid", nil}
	for name, c := range map[string]struct {
		lines []string
		want  wanted
	}{
		"the summary in pieces":         {[]string{headerLine, "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null)", ",cpuset=/,mems_allowed=0", ",global_oom,task_memcg=/a,task=hostapd,pid=812,uid=0", killedLine}, kill},
		"the summary cut":               {[]string{headerLine, "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_al", killedLine}, kill},
		"the kill line cut":             {[]string{headerLine, "Out of memory: Killed process 812 (hostapd) total-vm:6196kB, anon-r"}, kill},
		"the kill line cut in the name": {[]string{headerLine, "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=hostapd,pid=812,uid=0", "Out of memory: Killed process 812 (host"}, kill},
		"the header cut":                {[]string{"squid invoked oom-killer: gfp_mask=0xcc0(GFP_KERN", killedLine}, kill},
		"wrapped after the pid":         {[]string{headerLine, "Out of memory: Killed process 812\n(hostapd) total-vm:6196kB, anon-rss:1024kB, file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:28kB oom_score_adj:0"}, kill},
		"indented sizes": {[]string{headerLine, "Out of memory: Killed process 812 (hostapd)\n               total-vm:6196kB, anon-rss:1024kB,\n  file-rss:4kB, shmem-rss:0kB, UID:0 pgtables:28kB\n               oom_score_adj:0"}, wanted{oom.KindKill, "812 hostapd", "squid", func(r *oom.Record) bool {
			return r.Victim.RSSBytes == oom.Some(uint64(1028<<10)) && r.Victim.OOMScoreAdj.Known
		}}},
		"the score cut":         {[]string{headerLine, "Out of memory: Kill process 812 (hostapd)"}, kill},
		"the summary shortened": {[]string{headerLine, "oom-kill:constraint=CONSTRAINT_NONE,...,task=hostapd,pid=812,uid=0", killedLine}, kill},
		"stars behind":          {[]string{headerLine, killedLine + "**"}, kill},
	} {
		for source, log := range sources(c.lines...) {
			t.Run(name+", "+source, func(t *testing.T) { checkWanted(t, log, c.want) })
		}
	}
}

// TestNumbers: what cannot be true is left out, and counted.
func TestNumbers(t *testing.T) {
	report := func(zone, swap string) string {
		return strings.Join([]string{
			headerLine, cpuLine, "Mem-Info:", "active_anon:42 inactive_anon:33 isolated_anon:0", " free:512 free_pcp:0 free_cma:0",
			"Node 0 DMA free:2048kB min:88kB " + zone, swap, "Total swap = 1048572kB", "1024 pages RAM", "24 pages reserved", killedLine,
		}, "\n") + "\n"
	}
	for name, c := range map[string]struct {
		zone, swap string
		low, high  oom.Opt[uint64]
		free       oom.Opt[uint64]
		leftOut    uint64
	}{
		"plausible":     {"low:108kB high:128kB", "Free swap  = 524kB", oom.Some(uint64(108 << 10)), oom.Some(uint64(128 << 10)), oom.Some(uint64(524 << 10)), 0},
		"the most":      {"low:108kB high:4398046511104kB", "Free swap  = 524kB", oom.Some(uint64(108 << 10)), oom.Some(uint64(1 << 52)), oom.Some(uint64(524 << 10)), 0},
		"a page more":   {"low:108kB high:4398046511108kB", "Free swap  = 524kB", oom.Some(uint64(108 << 10)), oom.Opt[uint64]{}, oom.Some(uint64(524 << 10)), 1},
		"of 16 EiB":     {"low:18014398509481980kB high:18446744073709551612kB", "Free swap  = 524kB", oom.Opt[uint64]{}, oom.Opt[uint64]{}, oom.Some(uint64(524 << 10)), 2},
		"swapoff":       {"low:108kB high:128kB", "Free swap  = -245804kB", oom.Some(uint64(108 << 10)), oom.Some(uint64(128 << 10)), oom.Opt[uint64]{}, 1},
		"swapoff, none": {"low:108kB high:128kB", "Free swap  = 0kB", oom.Some(uint64(108 << 10)), oom.Some(uint64(128 << 10)), oom.Some(uint64(0)), 0},
	} {
		all, st := readAll(t, strings.NewReader(report(c.zone, c.swap)), testOptions())
		if len(all) != 1 || len(all[0].Memory.Zones) != 1 {
			t.Fatalf("%s: %d records", name, len(all))
		}
		m := all[0].Memory
		if m.Zones[0].LowBytes != c.low || m.Zones[0].HighBytes != c.high || m.SwapFreeBytes != c.free || st.LeftOut != c.leftOut {
			t.Errorf("%s: low %v high %v swap %v, %d left out", name, m.Zones[0].LowBytes, m.Zones[0].HighBytes, m.SwapFreeBytes, st.LeftOut)
		}
	}
}

// TestOldKernels are the forms of 2.6.
func TestOldKernels(t *testing.T) {
	log := strings.Join([]string{
		"mysqld invoked oom-killer: gfp_mask=0x201da, order=0, oom_adj=0",
		"mysqld cpuset=/ mems_allowed=0",
		"Pid: 1187, comm: mysqld Not tainted 2.6.31.14 #3",
		"Call Trace:",
		" [<c04b9a3d>] oom_kill_process+0x7d/0x200",
		" [<c04b9f5e>] __out_of_memory+0x12e/0x150",
		"Mem-Info:",
		"DMA per-cpu:",
		"CPU    0: hi:    0, btch:   1 usd:   0",
		"Active_anon:21015 active_file:107 inactive_anon:21203",
		" inactive_file:201 unevictable:7 dirty:0 writeback:0 unstable:0",
		" free:1191 slab:2037 mapped:54 pagetables:1038 bounce:0",
		"DMA free:1012kB min:124kB low:152kB high:184kB active_anon:1kB present:15864kB pages_scanned:0 all_unreclaimable? yes",
		"lowmem_reserve[]: 0 492 492 492",
		"HighMem free:392kB min:128kB low:194kB high:260kB active_anon:1kB present:15864kB pages_scanned:0 all_unreclaimable? yes",
		"lowmem_reserve[]: 0 0 0 0",
		"DMA: 1*4kB 0*8kB 1*16kB 1*32kB 1*64kB 1*128kB 1*256kB 1*512kB 0*1024kB 0*2048kB 0*4096kB = 1012kB",
		"HighMem: 0*4kB 1*8kB 0*16kB 0*32kB 0*64kB 1*128kB 1*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 392kB",
		"412 total pagecache pages",
		"103 pages in swap cache",
		"Swap cache stats: add 5113, delete 5010, find 211/390",
		"Free swap  = 0kB",
		"Total swap = 65528kB",
		"131056 pages RAM",
		"3211 pages HighMem",
		"2503 pages reserved",
		"911 pages shared",
		"Out of memory: kill process 1187 (mysqld) score 61341 or a child",
		"Killed process 1190 (mysqld)",
	}, "\n") + "\n"
	for name, text := range map[string]string{"as it is": log, "in syslog": "Mar  7 04:11:09 old kernel: " + strings.ReplaceAll(strings.TrimSuffix(log, "\n"), "\n", "\nMar  7 04:11:09 old kernel: ") + "\n"} {
		t.Run(name, func(t *testing.T) {
			checkWanted(t, text, wanted{oom.KindKill, "1190 mysqld", "mysqld", func(r *oom.Record) bool {
				slab, _ := r.Memory.Stat.Get("slab_bytes")
				active, _ := r.Memory.Stat.Get(oom.StatActiveAnon)
				return r.Kernel == "2.6.31.14" && r.Trigger.TID == oom.Some(int32(1187)) && len(r.Trigger.KernelStack) == 2 && slab == 2037*4096 && active == 21015*4096 &&
					len(r.Memory.Zones) == 2 && r.Memory.Zones[1].Zone == "HighMem" && !r.Memory.Zones[1].Node.Known && r.Memory.SwapTotalBytes == oom.Some(uint64(65528<<10)) &&
					r.Scope == oom.ScopeSystem && !r.Victim.Score.Known
			}})
		})
	}
}

// TestForks are the lines of kernels that print others.
func TestForks(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  []wanted
	}{
		"OpenVZ": {[]string{headerLine, "Out of memory in UB 101: OOM killed process 812 (php-cgi) score 0 vm:409580kB, rss:123456kB, swap:0kB"}, []wanted{{oom.KindKill, "812 php-cgi", "squid", func(r *oom.Record) bool {
			return r.Victim.TotalVMBytes == oom.Some(uint64(409580<<10)) && r.Scope == oom.ScopeCgroup && r.Victim.RSSBytes == oom.Some(uint64(123456<<10)) && r.Victim.SwapBytes == oom.Some(uint64(0))
		}}}},
		"OpenVZ, its host": {[]string{"Out of memory in UB 0: OOM killed process 812 (php-cgi) score 0 vm:409580kB, rss:123456kB, swap:4kB"}, []wanted{{oom.KindKill, "812 php-cgi", "", func(r *oom.Record) bool {
			return r.Scope == "" && r.Victim.RSSBytes == oom.Some(uint64(123456<<10)) && r.Victim.SwapBytes == oom.Some(uint64(4096))
		}}}},
		"s390 up to 3.10": {[]string{"squid invoked oom-killer: gfp_mask=0xd0, order=2, oomkilladj=0", "CPU: 0 Not tainted 2.6.28 #1", "Process squid (pid: 537, task: 000000006baa7838, ksp: 0000000053867968)", "Out of memory: Killed process 812 (httpd)"}, []wanted{{oom.KindKill, "812 httpd", "squid", func(r *oom.Record) bool {
			return r.Trigger.TID == oom.Some(int32(537)) && r.Kernel == "2.6.28"
		}}}},
		"s390, another task": {[]string{headerLine, "Process httpd (pid: 537, task: 000000006baa7838, ksp: 0000000053867968)", killedLine}, []wanted{{oom.KindKill, "812 hostapd", "squid", func(r *oom.Record) bool {
			return !r.Trigger.TID.Known
		}}}},
		"2.6.9": {[]string{"oom-killer: gfp_mask=0x1d2", "Mem-info:", "Free swap:            0kB", "131056 pages of RAM", "2503 reserved pages", "103 pages swap cached", "Out of Memory: Killed process 812 (httpd)."}, []wanted{{oom.KindKill, "812 httpd", "", func(r *oom.Record) bool {
			return r.Memory.TotalBytes == oom.Some(uint64((131056-2503)*4096)) && r.Memory.SwapFreeBytes == oom.Some(uint64(0)) && r.Trigger.GFPMask == oom.Some(uint32(0x1d2)) && r.Scope == oom.ScopeSystem
		}}}},
	} {
		for source, log := range sources(c.lines...) {
			t.Run(name+", "+source, func(t *testing.T) { checkWanted(t, log, c.want...) })
		}
	}
}

// TestVendors are the prefixes that phones and televisions have.
func TestVendors(t *testing.T) {
	kill := wanted{oom.KindKill, "812 hostapd", "squid", nil}
	for name, c := range map[string]struct {
		prefix string
		want   []wanted
	}{
		"CPU and uptime":           {"[2-3219.1870] ", []wanted{kill}},
		"a caller after the stamp": {"<4>[ 3219.187012] [1:          squid:  537] ", []wanted{kill}},
		"a caller in parts":        {"[ 3219.187012] <1>.(1)[537:squid]", []wanted{kill}},
		"logcat":                   {"03-07 04:11:09.123     0     0 W kernel  : ", []wanted{kill}},
		"logcat, brief":            {"W/kernel  (    0): ", []wanted{kill}},
		"logcat, with a stamp":     {"03-07 04:11:09.123     0     0 W kernel  : [ 3219.187012] ", []wanted{kill}},
		"logcat, another's":        {"03-07 04:11:09.123   912   912 W app     : ", nil},
		"logcat, another's, brief": {"W/app     (  912): ", nil},
	} {
		t.Run(name, func(t *testing.T) {
			checkWanted(t, c.prefix+headerLine+"\n"+c.prefix+cpuLine+"\n"+c.prefix+killedLine+"\n", c.want...)
		})
	}
}

// TestFrames: each architecture prints a trace in its own way.
func TestFrames(t *testing.T) {
	for line, want := range map[string]string{
		" dump_header+0x43/0x1b0":                                                       "",
		" out_of_memory+0x23b/0x600":                                                    "out_of_memory+0x23b",
		" ? out_of_memory+0x23b/0x600":                                                  "",
		" [<ffffffff8118471d>] out_of_memory+0xcd/0x120":                                "out_of_memory+0xcd",
		"[<0000000000624f38>] out_of_memory+0x2f8/0x3a0":                                "out_of_memory+0x2f8",
		"[c000000001234560] [c0000000003a2b3c] out_of_memory+0x2f8/0x3a0":               "out_of_memory+0x2f8",
		"[c000000001234560] [c0000000003a2b3c] out_of_memory+0x2f8/0x3a0 (unreliable)":  "",
		"([<00000000003131a8>] out_of_memory+0x60/0x68)":                                "out_of_memory+0x60",
		" [<00000000003131a8>] out_of_memory+0x60/0x68 ":                                "out_of_memory+0x60",
		"[<c01387ac>] (oom_kill_process) from [<c0139324>] (out_of_memory+0x1f8/0x4e4)": "out_of_memory+0x1f8",
		" oom_kill_process from out_of_memory+0x1f8/0x4e4":                              "out_of_memory+0x1f8",
		" [out_of_memory+0x167/0x1a0] out_of_memory+0x167/0x1a0":                        "out_of_memory+0x167",
		" [nfs:out_of_memory+0x34c/0x380] out_of_memory+0x34c/0x380":                    "out_of_memory+0x34c",
		" out_of_memory+0x23b/0x600 [xfs]":                                              "out_of_memory+0x23b",
	} {
		for _, title := range []string{"Call Trace:", "Call trace:", "Backtrace:"} {
			all := readText(t, headerLine+"\n"+cpuLine+"\n"+title+"\n"+line+"\n"+killedLine+"\n", testOptions())
			if len(all) != 1 || strings.Join(all[0].Trigger.KernelStack, " ") != want {
				t.Errorf("%s %q: %d records, %v", title, line, len(all), all[0].Trigger.KernelStack)
			}
		}
	}
}
