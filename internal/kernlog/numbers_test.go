package kernlog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestUnlimited: what the kernel prints for no limit is none, a page less is one.
func TestUnlimited(t *testing.T) {
	for kb, want := range map[uint64]bool{
		8589934588: false, 8589934584: true, 8589934592: true, // 32 bits
		9007199254740988: false, 9007199254740928: false, // 64 bits, pages of 4 and 64 KiB
		9007199254609920: false, 9007199254609919: true,
		262144: true,
	} {
		log := fmt.Sprintf("%s\nmemory: usage 4kB, limit %dkB, failcnt 1\nmemory+swap: usage 4kB, limit %dkB, failcnt 1\n", headerLine, kb, kb)
		all := readText(t, log, testOptions())
		if len(all) != 1 || all[0].Limit.MaxBytes.Known != want || all[0].Limit.MemswMaxBytes.Known != want {
			t.Errorf("%d: %+v", kb, all[0].Limit)
		}
	}
}

// TestGroupWindow: the victims of an oom.group are killed in one go.
func TestGroupWindow(t *testing.T) {
	kill := func(at string, pid int) string {
		return fmt.Sprintf("[%s] Memory cgroup out of memory: Killed process %d (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB, UID:5 pgtables:40kB oom_score_adj:7\n", at, pid)
	}
	for at, same := range map[string]bool{"   10.000001": true, "   10.000002": false, "    5.900000": true, "   60.000000": false} {
		all := readText(t, kill("    5.000001", 77)+"[    5.000001] Tasks in /g are going to be killed due to memory.oom.group set\n"+kill(at, 78), testOptions())
		if len(all) != 2 || (all[0].Incident == all[1].Incident) != same {
			t.Errorf("%s: %d records", at, len(all))
		}
	}
}

// TestZones: the zone of a stamp, with its sign.
func TestZones(t *testing.T) {
	for stamp, want := range map[string]string{
		"2025-03-07T04:11:09-05:00": "2025-03-07T09:11:09Z", "2025-03-07T04:11:09+05:00": "2025-03-06T23:11:09Z",
		"2025-03-07T04:11:09-0530": "2025-03-07T09:41:09Z", "2025-03-07T04:11:09+0000": "2025-03-07T04:11:09Z",
		"2025-03-07T04:11:09Z": "2025-03-07T04:11:09Z", "2025-03-07T04:11:09": "2025-03-07T04:11:09Z",
		"2025-03-07T04:11:09.5+01:00": "2025-03-07T03:11:09.5Z",
	} {
		all := readText(t, stamp+" h kernel: "+killLineText+"\n", testOptions())
		if len(all) != 1 || all[0].Time.UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%s: %v", stamp, all[0].Time)
		}
	}
}

// TestTableUnits: 5.4 and 5.5 print the page tables' bytes and call them kB.
func TestTableUnits(t *testing.T) {
	row := func(tables int) string {
		return fmt.Sprintf("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n[     77]     5    77      100       11 %8d        0             7 a\n", tables)
	}
	kill := func(tables string) string {
		return strings.Replace(killLineText, "pgtables:40kB", "pgtables:"+tables+"kB", 1) + "\n"
	}
	bytes := func(v uint64) oom.Opt[uint64] { return oom.Some(v) }
	for name, c := range map[string]struct {
		log  string
		want oom.Opt[uint64]
	}{
		"kB, the table agrees":           {row(40960) + kill("40"), bytes(40960)},
		"bytes, the table agrees":        {row(40960) + kill("40960"), bytes(40960)},
		"kB that could be bytes":         {row(40960*1024) + kill("40960"), bytes(40960 * 1024)},
		"bytes, more than all there is":  {kill("40960"), bytes(40960)},
		"between: it may be either":      {strings.Replace(kill("8192"), "total-vm:400kB", "total-vm:9000kB", 1), oom.Opt[uint64]{}},
		"kB, less than what is resident": {strings.Replace(strings.Replace(kill("8192"), "total-vm:400kB", "total-vm:90000kB", 1), "anon-rss:40kB", "anon-rss:9000kB", 1), bytes(8192 << 10)},
		"no multiple of a page":          {kill("41"), bytes(41 << 10)},
	} {
		if all := readText(t, c.log, testOptions()); len(all) != 1 || all[0].Victim.PgtablesBytes != c.want {
			t.Errorf("%s: %v", name, all[0].Victim.PgtablesBytes)
		}
	}
}

// TestHeadlessRows: what the columns are where the heading is lost.
func TestHeadlessRows(t *testing.T) {
	for name, c := range map[string]struct {
		row                      string
		swap, tables, anon, file uint64
		adj                      int32
	}{
		"6.8":                    {"[     77]     5    77      100       11        8        2        1    40960        3             7 a", 3, 40960, 8, 2, 7},
		"6.8, one page more":     {"[     77]     5    77      100       12        8        2        1    40960        3             7 a", 0, 0, 0, 0, 0},
		"4.15":                   {"[     77]     5    77      100       11    40960        3             7 a", 3, 40960, 0, 0, 7},
		"4.15, an adjustment":    {"[     77]     5    77      100       11    40960        3         -1000 a", 3, 40960, 0, 0, -1000},
		"4.15, a name of digits": {"[     77]     5    77      100       11    40960        3             7 12", 3, 40960, 0, 0, 7},
		"4.0":                    {"[   77]     5    77      100       11       4       2        3             7 a", 3, 6 * 4096, 0, 0, 7},
		"3.10":                   {"[   77]     5    77      100       11       4        3             7 a", 3, 4 * 4096, 0, 0, 7},
		"3.10, many tables":      {"[   77]     5    77  9000000  8000000   16001        3             7 a", 3, 16001 * 4096, 0, 0, 7},
		"3.10, an adjustment":    {"[   77]     5    77      100       11       4        3         -1000 a", 3, 4 * 4096, 0, 0, -1000},
	} {
		log := "[    5.000001] " + c.row + "\n[    5.000002] Out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB\n"
		all := readText(t, log, testOptions())
		if len(all) != 1 {
			t.Fatalf("%s: %d records", name, len(all))
		}
		v := all[0].Victim
		if name == "6.8, one page more" { // no columns fit for sure
			if all[0].Candidates != nil || v.SwapBytes.Known {
				t.Errorf("%s: %+v", name, v)
			}
			continue
		}
		if v.SwapBytes != oom.Some(c.swap*4096) || v.PgtablesBytes != oom.Some(c.tables) || v.OOMScoreAdj != oom.Some(c.adj) || c.anon > 0 && all[0].Candidates[0].AnonRSSBytes != oom.Some(c.anon*4096) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestDomain: an adjustment is a share of what the OOM can draw on, swap included; by it
// the candidates are in order.
func TestDomain(t *testing.T) {
	// 1000 MiB and 1000 MiB of swap: 100 thousandths are 200 MiB with the swap, 100 without.
	for swap, want := range map[string]string{"1024000": "small", "0": "big"} {
		log := strings.Join([]string{
			headerLine, "memory: usage 1024000kB, limit 1024000kB, failcnt 1", "swap: usage 0kB, limit " + swap + "kB, failcnt 0", "Memory cgroup stats for /a:",
			"[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
			"[     77]     5    77   900000    76800        0        0             0 big",
			"[     78]     5    78   900000    38400        0        0           100 small",
			"Memory cgroup out of memory: Killed process 77 (big) total-vm:3600000kB, anon-rss:307200kB, file-rss:0kB, shmem-rss:0kB, UID:5 pgtables:0kB oom_score_adj:0",
		}, "\n") + "\n"
		if all := readText(t, log, testOptions()); len(all) != 1 || all[0].Candidates[0].Comm != want {
			t.Errorf("swap %s: %+v", swap, all[0].Candidates)
		}
	}
}

// TestLookBackFar: the rows before a kill are found behind other lines, but not behind
// too many.
func TestLookBackFar(t *testing.T) {
	for between, found := range map[int]bool{0: true, 5: true, 31: true, 32: false, 100: false} {
		var b strings.Builder
		for i := range 3000 {
			fmt.Fprintf(&b, "[%5d.000000] usb 1-1: new device %d\n", i, i)
		}
		b.WriteString("[ 3000.000001] [     77]     5    77      100       11    40960        3             7 a\n")
		for i := range between {
			fmt.Fprintf(&b, "[ 3000.%06d] usb 1-1: new device %d\n", i+2, i)
		}
		b.WriteString("[ 3000.900000] " + killLineText + "\n")
		all := readText(t, b.String(), testOptions())
		if len(all) != 1 || all[0].Victim.SwapBytes.Known != found {
			t.Errorf("%d lines between: swap %+v", between, all[0].Victim.SwapBytes)
		}
	}
}

// TestSpreadNames: a name that is spread over lines is put together again, up to as many
// as there may be.
func TestSpreadNames(t *testing.T) {
	for n, whole := range map[int]bool{1: true, 14: true, maxPartials - 1: true, maxPartials: false} {
		name := "/x" + strings.Repeat("\ny", n)
		text := "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=" + name + ",task_memcg=" + name + ",task=a,pid=77,uid=5"
		if n > 14 {
			text = strings.Replace(text, ",task_memcg="+name, ",task_memcg=/x", 1)
		}
		log := "[    5.000001] " + strings.ReplaceAll(text, "\n", "\n[    5.000001] ") + "\n[    5.000002] Memory cgroup " + strings.ToLower(killLineText[:1]) + killLineText[1:] + "\n"
		all := readText(t, log, testOptions())
		if len(all) != 1 || (all[0].Limit != nil && all[0].Limit.Cgroup == name) != whole {
			t.Errorf("%d line ends: %d records, limit %+v", n, len(all), all[0].Limit)
		}
	}
}

// TestScores: from 2.6.36 on a score is a share of a thousand, and an adjustment doubles it
// at most; before it was any number.
func TestScores(t *testing.T) {
	for score, want := range map[int]bool{0: true, 1000: true, 2000: true, 2001: false, 61341: false} {
		log := fmt.Sprintf("Out of memory: Kill process 77 (a) score %d or sacrifice child\nKilled process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB\n", score)
		if all := readText(t, log, testOptions()); len(all) != 1 || all[0].Victim.Score.Known != want {
			t.Errorf("%d: %+v", score, all[0].Victim.Score)
		}
	}
}

// TestGroupOfOneName: what the first line says of its task is not another's, though it has
// the same name.
func TestGroupOfOneName(t *testing.T) {
	kill := "Memory cgroup out of memory: Killed process %d (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB\n"
	log := headerLine + "\nTask in /g/h killed as a result of limit of /g\n" + fmt.Sprintf(kill, 77) +
		"Tasks in /g are going to be killed due to memory.oom.group set\n" + fmt.Sprintf(kill, 78)
	all := readText(t, log, testOptions())
	if len(all) != 2 || all[0].Victim.Cgroup != "/g/h" || all[1].Victim.Cgroup != "" || all[1].Victim.PID != oom.Some(int32(78)) {
		t.Errorf("%d records, %+v", len(all), all[1].Victim)
	}
}

// TestWaits: how long a report waits for its kill line, by the log's clock forth and back,
// and a kill for the reaper.
func TestWaits(t *testing.T) {
	for at, same := range map[string]bool{
		"   70.000000": true, "   70.000001": false, // a minute
		"    9.000000": true, "    8.999999": false, // a second
	} {
		all := readText(t, "[   10.000000] "+headerLine+"\n["+at+"] "+killLineText+"\n", testOptions())
		if (len(all) == 1) != same {
			t.Errorf("a kill at %s: %d records", at, len(all))
		}
	}
	for at, same := range map[string]bool{"   20.000000": true, "   20.000001": false} {
		all := readText(t, "[   10.000000] "+killLineText+"\n["+at+"] oom_reaper: reaped process 77 (a), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n", testOptions())
		if len(all) != 1 || (all[0].Exit != nil) != same {
			t.Errorf("the reaper at %s: %d records", at, len(all))
		}
	}
	for lines, same := range map[int]bool{63: true, 64: false} {
		rows := "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n[     77]     5    77      100       11    40960        3             7 a\n"
		all := readText(t, rows+strings.Repeat("usb 1-1: new\n", lines)+killLineText+"\n", testOptions())
		if len(all) != 1 || all[0].Victim.SwapBytes.Known != same {
			t.Errorf("a row %d lines before: %d records", lines, len(all))
		}
	}
}
