package kernlog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// columnsReport is a report of a machine without free memory, as a journal keeps it: the
// counters are further lines of one text.
var columnsReport = []string{
	"hog invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO), order=0, oom_score_adj=-998",
	"CPU: 0 PID: 500 Comm: hog Not tainted 6.1.0-18-amd64 #1 Debian", "Call Trace:", " <TASK>", " out_of_memory+0x1fd/0x4c0", " </TASK>", "Mem-Info:",
	"active_anon:102400 inactive_anon:0 isolated_anon:0\n active_file:25 inactive_file:25 isolated_file:0\n unevictable:0 dirty:0 writeback:0\n" +
		" slab_reclaimable:2000 slab_unreclaimable:742400\n mapped:100 shmem:25 pagetables:250\n sec_pagetables:0 bounce:0\n" +
		" kernel_misc_reclaimable:0\n free:9750 free_pcp:10 free_cma:0",
	"Node 0 active_anon:409600kB inactive_anon:0kB active_file:100kB inactive_file:100kB unevictable:0kB isolated(anon):0kB isolated(file):0kB" +
		" mapped:400kB dirty:0kB writeback:0kB shmem:100kB shmem_thp: 0kB shmem_pmdmapped: 0kB anon_thp: 0kB writeback_tmp:0kB kernel_stack:1000kB" +
		" pagetables:1000kB sec_pagetables:0kB all_unreclaimable? no",
	"Node 0 Normal free:39000kB boost:0kB min:40000kB low:50000kB high:60000kB reserved_highatomic:0KB active_anon:0kB inactive_anon:0kB" +
		" active_file:0kB inactive_file:0kB unevictable:0kB writepending:0kB present:4096000kB managed:4044800kB mlocked:0kB bounce:0kB" +
		" free_pcp:0kB local_pcp:0kB free_cma:0kB",
	"lowmem_reserve[]: 0 2911 3850 3850 3850",
	"Node 0 Normal: 813*4kB (UME) 420*8kB (UME) 140*16kB (U) 551*32kB (ME) 10*64kB (M) 5*128kB (U) 0*256kB 0*512kB 0*1024kB 0*2048kB" +
		" 0*4096kB = 27764kB",
	"Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB",
	"75 total pagecache pages", "0 pages in swap cache", "Free swap  = 0kB", "Total swap = 0kB", "1024000 pages RAM",
	"0 pages HighMem/MovableOnly", "12800 pages reserved", "0 pages hwpoisoned", "Tasks state (memory values in pages):",
	"[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
	"[    500]  1000   500   103400   102400    65536        0           200 hog",
	"[      1]     0     1     2000     1000    65536        0             0 systemd",
	"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/x,task=hog,pid=500,uid=1000",
	"Out of memory: Killed process 500 (hog) total-vm:413600kB, anon-rss:409600kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:64kB oom_score_adj:200",
}

// columnsLogs are the same report as programs print it.
func columnsLogs() map[string]string {
	further := func(prefix string) string {
		text := prefix + strings.Join(columnsReport, "\n"+prefix) + "\n"
		return strings.ReplaceAll(text, "\n ", "\n"+strings.Repeat(" ", len(prefix)+1))
	}
	each := func(prefix string) string {
		return strings.TrimSuffix(prefix+strings.ReplaceAll(strings.Join(columnsReport, "\n")+"\n", "\n", "\n"+prefix), prefix)
	}
	return map[string]string{
		"journalctl":             further("Mar 07 04:11:09 worker-7 kernel: "),
		"journalctl, short host": further("Mar 07 04:11:09 w kernel: "),
		"dmesg":                  further("[  123.456789] "),
		"syslog":                 each("Mar  7 04:11:09 worker-7 kernel: [  123.456789] "),
		"dmesg -T":               each("[Fri Mar  7 04:11:09 2025] "),
		"kubectl --timestamps":   each("2025-03-07T04:11:09.123456789Z [  123.456789] "),
		"dmesg -t":               strings.Join(columnsReport, "\n") + "\n",
		"docker compose":         each("web-1  | [  123.456789] "),
		"/dev/kmsg":              each("4,12,123456789,-;"),
	}
}

// TestColumns: terminals and fold break each line at their width, within numbers too; a copy of
// a screen has no blanks at the ends. Pagers cut the rest off.
func TestColumns(t *testing.T) {
	for name, log := range columnsLogs() {
		want := readText(t, log, testOptions())
		if len(want) != 1 || want[0].Memory == nil {
			t.Fatalf("%s: %d records", name, len(want))
		}
		for width := 60; width < 200; width += widthStep(width) {
			for form, each := range map[string]func(line string) string{
				"fold":     func(line string) string { return folded(line, width, false) },
				"terminal": func(line string) string { return folded(line, width, true) },
				"less -S":  func(line string) string { return line[:min(len(line), width)] + "\n" },
				"less -S, marked": func(line string) string {
					if len(line) > width {
						line = line[:width-1] + ">"
					}
					return line + "\n"
				},
			} {
				var b strings.Builder
				for line := range strings.SplitSeq(strings.TrimSuffix(log, "\n"), "\n") {
					b.WriteString(each(line))
				}
				got := readText(t, b.String(), testOptions())
				what := fmt.Sprintf("%s, %s at %d", name, form, width)
				if len(got) != 1 {
					if !strings.HasPrefix(form, "less") {
						t.Errorf("%s: %d records", what, len(got))
					}
					continue
				}
				if !strings.HasPrefix(form, "less") && name != "dmesg -t" && essence(got[0]) != essence(want[0]) {
					t.Errorf("%s: %s", what, difference(essence(got[0]), essence(want[0])))
				}
				for _, f := range falseNumbers("", tree(t, got[0]), tree(t, want[0])) {
					t.Errorf("%s: %s", what, f)
				}
			}
		}
	}
}

// TestColumnsOfReports: neither a row of the tasks nor a kill's line gets another number where it is cut.
func TestColumnsOfReports(t *testing.T) {
	for _, name := range []string{"3.10-rhel7-cgroup-syslog", "6.12-swapoff", "3.10-system"} {
		log := corpusFile(t, name+".txt")
		want := readText(t, log, testOptions())
		for width := 60; width < 140; width++ {
			var b strings.Builder
			for line := range strings.Lines(log) {
				line = strings.TrimSuffix(line, "\n")
				b.WriteString(line[:min(len(line), width)] + "\n")
			}
			got := readText(t, b.String(), testOptions())
			if len(got) != len(want) {
				continue
			}
			for i, rec := range got {
				rec.Candidates, rec.UptimeNS = nil, want[i].UptimeNS // some are absent, which moves the others
				for _, f := range falseNumbers("", tree(t, rec), tree(t, want[i])) {
					t.Errorf("%s at %d: %s", name, width, f)
				}
			}
		}
	}
}

// TestColumnsByChance: where lines of one kind are as wide as the widest, nothing is cut.
func TestColumnsByChance(t *testing.T) {
	const wider = "[    1.000000] usb 1-1: %s\n"
	for name, line := range map[string]string{
		"summaries": "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a,task=java,pid=204%d,uid=1000",
		"kills":     "Killed process 314%d (pip3) total-vm:2112380kB, anon-rss:1743412kB, file-rss:4kB",
		"headers":   "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=96%d",
	} {
		var log strings.Builder
		for i := range 4 {
			fmt.Fprintf(&log, "[  10%d.000005] "+line+"\n", i, i)
		}
		got, want := readText(t, log.String(), testOptions()), readText(t, fmt.Sprintf(wider, strings.Repeat("x", 200))+log.String(), testOptions())
		if len(got) != 4 || asJSON(t, got) != asJSON(t, want) {
			t.Errorf("%s: %d records, want %d: %s", name, len(got), len(want), difference(asJSON(t, got), asJSON(t, want)))
		}
	}
}

// TestColumnsOfRows: where a pager has cut some lines, rows are read that are whole; of one that is not,
// what is left of a number is no name.
func TestColumnsOfRows(t *testing.T) {
	report := strings.Split(stamped(
		"java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
		"CPU: 1 PID: 204 Comm: java Not tainted 6.1.0-18-amd64 #1 Debian 6.1.76-1 with a longer name than most",
		"Tasks state (memory values in pages):",
		"[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
		"[    101]     0   101   307964     1210    98304        0             0 bash",
		"[    106]     0   105   307964   301209    98304     4095             0 python3",
		"[    204]     0   204   307964     8339    98304    14095          -200 java",
		"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=python3,pid=106,uid=0",
		"Out of memory: Killed process 106 (python3) total-vm:1231856kB, anon-rss:1204836kB, file-rss:0kB, shmem-rss:0kB, UID:0",
	), "\n")
	for _, width := range []int{75, 76, 77, 78, 79, 98, 99, 100, 101} {
		for _, mark := range []string{"", ">"} {
			var log strings.Builder
			for _, line := range report {
				if len(line) > width {
					line = line[:width-len(mark)] + mark
				}
				log.WriteString(line + "\n")
			}
			all := readText(t, log.String(), testOptions())
			if len(all) != 1 || all[0].Victim.PID != oom.Some(int32(105)) || len(all[0].Candidates) != 3 {
				t.Errorf("at %d, %q: %d records", width, mark, len(all))
				continue
			}
			for _, c := range all[0].Candidates {
				if named := len(strings.Trim(c.Comm, "0123456789>")) > 0; named != (width >= 98) || !named && c.Comm != "" {
					t.Errorf("at %d, %q: %q", width, mark, c.Comm)
				}
			}
		}
	}
}

// TestColumnsNumbered: what numbers a text's further lines is no rest of a number.
func TestColumnsNumbered(t *testing.T) {
	log := columnsLogs()["dmesg"]
	want := tree(t, readText(t, log, testOptions())[0])
	n := 0
	var numbered strings.Builder
	for line := range strings.Lines(log) {
		n++
		fmt.Fprintf(&numbered, "%d %s", n, line)
	}
	all := readText(t, numbered.String(), testOptions())
	if len(all) != 1 || all[0].Memory == nil {
		t.Fatalf("%d records", len(all))
	}
	for _, f := range falseNumbers("", tree(t, all[0]), want) {
		t.Error(f)
	}
}

// TestColumnsHanging: what is put before each rest is no part of a name.
func TestColumnsHanging(t *testing.T) {
	const indent = "    "
	for _, name := range []string{"dmesg", "journalctl", "syslog"} {
		for width := 100; width < 180; width++ {
			var log strings.Builder
			for line := range strings.Lines(columnsLogs()[name]) {
				line = strings.TrimSuffix(line, "\n")
				first := min(len(line), width)
				log.WriteString(line[:first] + "\n")
				if first < len(line) {
					rests := folded(line[first:], width-len(indent), false)
					log.WriteString(indent + strings.ReplaceAll(strings.TrimSuffix(rests, "\n"), "\n", "\n"+indent) + "\n")
				}
			}
			if all := readText(t, log.String(), testOptions()); len(all) != 1 || all[0].Victim == nil || all[0].Victim.Comm != "hog" {
				t.Errorf("%s at %d: %d records", name, width, len(all))
			}
		}
	}
}

// TestStampsInARow: programs stamp the lines that others have stamped; a tab may be behind one.
func TestStampsInARow(t *testing.T) {
	const docker = "2024-04-19T10:11:12.5Z "
	text := strings.Join(columnsReport, "\n")
	want := essence(readText(t, text+"\n", testOptions())[0])
	for _, prefix := range []string{
		"[  100.000001]\t", "[Fri Apr 19 10:11:12 2024]\t", "[Fr 19. Apr 2024 10:11:12] ", "Apr 19 10:11:12\th\tkernel:\t",
		"Fri 2024-04-19 10:11:12 UTC\th kernel:\t", "2024-04-19T10:11:12Z\t[  100.000001]\t", "1713521472.123456\th\tkernel:\t",
		docker + "[  100.000001] ", docker + "Apr 19 10:11:12 h kernel: [  100.000001] ", docker + "[Fri Apr 19 10:11:12 2024] ",
		docker + "Fri 2024-04-19 10:11:12 UTC h kernel: ", docker + "1713521472.123456 h kernel: ", docker + "4,12,5000001,-;",
		docker + "2024-04-19T10:11:12.4Z ", docker + "2024-04-19T10:11:12.4Z h kernel: ", docker + "2024-04-19T10:11:12.4Z [  100.000001] ",
		"web-1  | " + docker + "2024-04-19T10:11:12.4Z h kernel: ", docker + "stdout F 2024-04-19T10:11:12.4Z h kernel: ",
	} {
		got := readText(t, prefix+strings.ReplaceAll(text, "\n", "\n"+prefix)+"\n", testOptions())
		if len(got) != 1 || essence(got[0]) != want {
			t.Errorf("%q: %d records", prefix, len(got))
			continue
		}
		if at := got[0].Time; !got[0].UptimeNS.Known && (at.Year() < 2024 || at.Format("01-02 15:04:05") != "04-19 10:11:12") {
			t.Errorf("%q: %v", prefix, at)
		}
	}
}

// widthStep leaves most of the rarer widths out.
func widthStep(width int) int {
	if width < 90 {
		return 1
	}
	return 7
}

// folded is a line in parts of a width.
func folded(line string, width int, trim bool) string {
	var b strings.Builder
	for len(line) > width {
		part := line[:width]
		if line = line[width:]; trim {
			part = strings.TrimRight(part, " ")
		}
		b.WriteString(part + "\n")
	}
	return b.String() + line + "\n"
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	out, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func tree(t *testing.T, rec *oom.Record) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(asJSON(t, rec)), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// falseNumbers are the values that a record has otherwise than another one; what is absent is
// not false, nor is what hangs on names, and on which lines there are. Of lists the items are compared by their place.
func falseNumbers(at string, got, want any) (all []string) {
	switch got := got.(type) {
	case nil:
	case map[string]any:
		want, _ := want.(map[string]any)
		for k, v := range got {
			if slices.Contains([]string{".holders", ".holders_total", ".candidates_total", ".candidates_bytes"}, at+"."+k) {
				continue
			}
			all = append(all, falseNumbers(at+"."+k, v, want[k])...)
		}
	case []any:
		want, _ := want.([]any)
		for i, v := range got {
			if i >= len(want) {
				return append(all, fmt.Sprintf("%s: %d items", at, len(got)))
			}
			all = append(all, falseNumbers(fmt.Sprint(at, i), v, want[i])...)
		}
	case float64:
		if got != want {
			all = append(all, fmt.Sprintf("%s: %v, want %v", at, got, want))
		}
	}
	return all
}
