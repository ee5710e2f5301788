package kernlog

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestCutLines cuts each line that names a process at each byte: no other process gets
// into a record, and the rest of the report is read.
func TestCutLines(t *testing.T) {
	for _, line := range []string{
		killLineText,
		"Memory cgroup out of memory: Killed process 77 (a), UID 12, total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB",
		"Killed process 77, UID 12, (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB",
		"Killed process 77 (a) vsz:400kB, anon-rss:40kB, file-rss:4kB",
		"Out of memory: Kill process 77 (a) score 900 or sacrifice child",
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/g,task_memcg=/g/h,task=a,pid=77,uid=5",
		"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=a,pid=77,uid=5",
		"oom_reaper: reaped process 77 (a), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB",
		"oom_reaper: unable to reap pid:77 (a)",
		"Out of memory: OOM victim 77 (a) is already exiting. Skip killing the task",
		"Tasks in /g are going to be killed due to memory.oom.group set",
		"Task in /g/h killed as a result of limit of /g",
		"Kill process 78 (b) sharing same memory",
		"memory+swap: usage 400kB, limit 400kB, failcnt 12",
		"Memory cgroup stats for /g: cache:0KB rss:12KB",
		"squid cpuset=/ mems_allowed=0",
		"[     77]     5    77      100       11    40960        0             7 a",
		"Node 0 DMA free:2048kB min:88kB low:108kB high:128kB managed:4000kB",
		"Node 0 DMA: 1*4kB (U) 0*8kB 1*16kB = 20kB",
		"Node 0 hugepages_total=4 hugepages_free=1 hugepages_surp=0 hugepages_size=2048kB",
		"Free swap  = 524kB",
		"    44.7 MiB       11443 mm/memory.c:1063 func:folio_prealloc",
		"kmalloc-2k           59164KB      60100KB",
	} {
		for i := range len(line) {
			log := headerLine + "\n" + cpuLine + "\n" + line[:i] + "\n" + killLineText + "\n"
			all := readText(t, log, testOptions())
			kills := 0
			for _, rec := range all {
				if v := rec.Victim; v != nil && v.TID != oom.Some(int32(77)) {
					t.Errorf("%q: a record of %+v", line[:i], v.TID)
				}
				if rec.Kind == oom.KindKill {
					kills++
				}
			}
			if kills != 1 {
				t.Errorf("%q: %d kills", line[:i], kills)
			}
		}
	}
}

// TestTaken: a report that a kill was taken for in its middle is that kill's, unless it
// goes on.
func TestTaken(t *testing.T) {
	mem := "Mem-Info:\nactive_anon:42 inactive_anon:33 isolated_anon:0\n"
	rows := "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n[     77]     5    77      100       11    40960        0             7 a\n"
	other := strings.ReplaceAll(strings.ReplaceAll(killedLine, "812", "912"), "hostapd", "dropbear")
	for name, c := range map[string]struct {
		log  string
		want []wanted
	}{
		"it ends":           {headerLine + "\n" + cpuLine + "\n" + mem + killedLine + "\nusb 1-1: new\n", []wanted{{oom.KindKill, "812 hostapd", "squid", nil}}},
		"it goes on":        {headerLine + "\n" + cpuLine + "\n" + mem + killedLine + "\n" + rows + killLineText + "\n", []wanted{{oom.KindKill, "812 hostapd", "", nil}, {oom.KindKill, "77 a", "squid", nil}}},
		"another follows":   {headerLine + "\n" + cpuLine + "\n" + mem + killedLine + "\n" + headerLine + "\n" + cpuLine + "\n" + other + "\n", []wanted{{oom.KindKill, "812 hostapd", "squid", nil}, {oom.KindKill, "912 dropbear", "squid", nil}}},
		"another kill only": {headerLine + "\n" + cpuLine + "\n" + mem + killedLine + "\n" + other + "\n", []wanted{{oom.KindKill, "812 hostapd", "squid", nil}, {oom.KindKill, "912 dropbear", "", nil}}},
	} {
		t.Run(name, func(t *testing.T) { checkWanted(t, c.log, c.want...) })
	}
}

// TestMoreForms are inputs that hold a log in part only.
func TestMoreForms(t *testing.T) {
	for name, c := range map[string]struct {
		log   string
		kills int
	}{
		"an object within text":       {"from a colleague:\n" + `{"log":"[    5.000001] ` + killLineText + `\n","stream":"stdout"}` + "\n", 1},
		"no object":                   {"from a colleague:\n{" + killLineText + "}\n", 1},
		"dmesg --json, time alone":    {`{"dmesg":[{"time":5.000001,"msg":"` + killLineText + `"}]}`, 1},
		"dmesg --json, another's":     {`{"dmesg":[{"fac":"user","pri":"err","time":5.000001,"msg":"` + killLineText + `"}]}`, 0},
		"a time in numbers":           {`{"ts":1741320669,"msg":"[    5.000001] ` + killLineText + `"}`, 1},
		"Loki, no pairs":              {`{"data":{"result":[{"stream":{},"values":[["1"]]}]}}`, 0},
		"bytes in JSON":               {`{"MESSAGE":[79,117,116],"_TRANSPORT":"kernel"}`, 0},
		"bytes that are none":         {`{"MESSAGE":[300],"_TRANSPORT":"kernel"}`, 0},
		"a table without a text":      {"a,b\n1," + killLineText + "\n", 1},
		"a table with a quote open":   {"time,message\n1,\"" + killLineText + "\n", 1},
		"export, a long value":        {"__CURSOR=a\n_TRANSPORT=kernel\nX=" + strings.Repeat("x", 70000) + "\nMESSAGE=" + killLineText + "\n\n", 1},
		"export, a long binary value": {"__CURSOR=a\n_TRANSPORT=kernel\nX\n\x00\x80\x01\x00\x00\x00\x00\x00" + strings.Repeat("x", 0x18000) + "\nMESSAGE=" + killLineText + "\n\n", 1},
		"export, cut in a value":      {"__CURSOR=a\n_TRANSPORT=kernel\nMESSAGE=" + killLineText + "\nX\n\x00\x80\x01\x00\x00\x00\x00\x00x", 0},
		"a kernel's line, then more":  {"[    5.000001] " + killLineText + "\nthat was all\n", 1},
	} {
		if all := readText(t, c.log, testOptions()); len(all) != c.kills {
			t.Errorf("%s: %d records", name, len(all))
		}
	}
}

// TestStatsAdd: counts of several logs add up, and the first form that is not known stays.
func TestStatsAdd(t *testing.T) {
	var sum Stats
	for _, log := range []string{
		"[    5.000001] Out of memory: Killed process many\n", headerLine + "\n" + killLineText + "\n" + killLineText + "\n",
		`{"payload":"` + killLineText + `"}`, "Mar  7 04:00:05 h app[1]: " + killLineText + "\n",
	} {
		_, st := readAll(t, strings.NewReader(log), testOptions())
		sum.Add(&st)
	}
	if sum.Lines != 6 || sum.Reports != 1 || sum.Kills != 1 || sum.Unplaced != 1 || sum.Unknown != 1 || sum.DoubledLines != 1 || sum.Foreign != 1 || sum.ForeignLine != 1 || !strings.Contains(sum.ForeignText, "app[1]") || sum.UnknownForm != "Out of memory: Killed process many" {
		t.Errorf("%+v", sum)
	}
}

// TestSourceOfFile: a file needs no waiting for, and a closed one is an error.
func TestSourceOfFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("[    5.000001] "+killLineText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSource(f, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if rec, err := s.Next(t.Context()); err != nil || rec.Kind != oom.KindKill {
		t.Errorf("%+v, %v", rec, err)
	}
	if rec, err := s.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("%+v, %v", rec, err)
	}
	if err := errors.Join(s.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	if _, err := NewSource(f, testOptions()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
