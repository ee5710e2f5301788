package kernlog

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestFindMovesNoRows: a table whose rows come between kills is not put in order for each of them.
func TestFindMovesNoRows(t *testing.T) {
	var table taskTable
	for i := range 100 {
		pid := int32(100 - i/2)
		if !table.add(pid, []column{colUID, colRSS}, []int64{int64(i), 1}, []byte("a")) {
			t.Fatal("no row")
		}
		if r := table.find(pid); r == nil || int(r.uid) != i-i%2 || table.find(1) != nil {
			t.Fatalf("row %d: %+v", i, r)
		}
	}
	if !slices.IsSortedFunc(table.rows, func(a, b row) int { return int(a.uid) - int(b.uid) }) {
		t.Error("the rows were moved")
	}
}

// groupReport is a report with so many zones, of whose group so many die.
func groupReport(zones, victims int) []string {
	all := []string{
		"a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
		"CPU: 1 PID: 7 Comm: a Not tainted 4.19.0 #1", "Mem-Info:",
	}
	for i := range zones {
		all = append(all, fmt.Sprintf("Node %d Normal free:4kB min:4kB low:4kB high:4kB", i),
			"lowmem_reserve[]: "+strings.Repeat("1 ", maxOrders))
	}
	all = append(all, "[ pid ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name")
	for i := range victims {
		all = append(all, fmt.Sprintf("[%7d] 0 %d 1000 100 40960 0 0 n", 1+i, 1+i))
	}
	for i := range victims {
		const kill = "Out of memory: Killed process %d (n) total-vm:4000kB, anon-rss:400kB, file-rss:0kB, shmem-rss:0kB"
		all = append(all, fmt.Sprintf(kill, 1+i))
		if i == 0 {
			all = append(all, "Tasks in /g are going to be killed due to memory.oom.group set")
		}
	}
	for i := range all {
		all[i] = fmt.Sprintf("[   10.%06d] %s\n", i, all[i])
	}
	return all
}

// TestManyVictims: what a report says is worked out once for all its victims, and those of a log
// that is newest first do not all wait to be taken.
func TestManyVictims(t *testing.T) {
	const victims = 4000
	first := groupReport(200, victims)
	last := slices.Clone(first)
	slices.Reverse(last)
	for name, log := range map[string][]string{"oldest first": first, "newest first": last} {
		text := strings.Join(log, "")
		p := NewReader(strings.NewReader(text), testOptions())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n, most := 0, 0
		for {
			rec, err := p.Next()
			if err != nil {
				break
			}
			n++
			most = max(most, len(p.p.out))
			if rec.Memory == nil || len(rec.Memory.Zones) != 200 || len(rec.Holders) != 1 {
				t.Fatalf("%s: %+v, %+v", name, rec.Memory, rec.Holders)
			}
		}
		runtime.ReadMemStats(&after)
		if bytes := after.TotalAlloc - before.TotalAlloc; n != victims || bytes > 100*uint64(len(text)) {
			t.Errorf("%s: %d records, %d MB allocated for a log of %d KB", name, n, bytes>>20, len(text)>>10)
		}
		if most > maxHeld {
			t.Errorf("%s: %d records waited to be taken", name, most)
		}
	}
}

// TestLongNames: of names and boot ids that are longer than any, no more is kept than of those.
func TestLongNames(t *testing.T) {
	var table taskTable
	for i := range 1000 {
		table.add(int32(i), []column{colRSS}, []int64{1}, fmt.Appendf(nil, "%04d%s", i, strings.Repeat("a", 10_000)))
	}
	kept := 0
	for name := range table.names {
		kept += len(name)
	}
	if len(table.names) != 1000 || kept > 100*1000 {
		t.Errorf("%d bytes of %d names", kept, len(table.names))
	}
	const boot = "01234567-89ab-cdef-0123-456789abcdef"
	const kill = "Out of memory: Killed process 7 (a) total-vm:4kB, anon-rss:4kB"
	for id, want := range map[string]string{
		strings.ReplaceAll(boot, "-", ""): boot, boot: boot, strings.Repeat("b", 50_000): "", "b": "b",
	} {
		log := `{"_TRANSPORT":"kernel","_BOOT_ID":"` + id + `","MESSAGE":"` + kill + `"}`
		if all, _ := readAll(t, strings.NewReader(log), testOptions()); len(all) != 1 || all[0].BootID != want {
			t.Errorf("%.40s: %+v", id, all)
		}
	}
}

// TestManyGroups: the victims of one kill die with one cgroup, however many lines name another.
func TestManyGroups(t *testing.T) {
	var text strings.Builder
	text.WriteString(strings.Join(groupReport(1, 20), ""))
	for i := range 3000 {
		fmt.Fprintf(&text, "[   10.5] Tasks in /g%d are going to be killed due to memory.oom.group set\n", i)
	}
	var all []*oom.Record
	n := testing.AllocsPerRun(1, func() { all, _ = readAll(t, strings.NewReader(text.String()), testOptions()) })
	if n > 30_000 || len(all) != 20 {
		t.Errorf("%d records, %v allocations", len(all), n)
	}
	for _, rec := range all {
		if l := rec.Victim.CgroupLimits; len(l) != 1 || l[0].Cgroup != "/g" || !l[0].OOMGroup.Value {
			t.Fatalf("%+v", l)
		}
	}
}
