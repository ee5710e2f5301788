package kernlog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestPip3 holds the record of a real incident against its numbers: what
// "dmesg | grep 23143" left of the report of a 4.15 to 5.0 kernel.
func TestPip3(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(corpus, "pip3-system-oom.txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := readText(t, string(text), testOptions())
	if len(all) != 1 {
		t.Fatalf("%d records, want 1", len(all))
	}
	rec := all[0]
	v := rec.Victim
	if rec.Kind != oom.KindKill || v.Comm != "pip3" || v.PID != oom.Some(int32(23143)) || v.TID != v.PID || rec.Scope != oom.ScopeSystem {
		t.Errorf("%s of %s %v, scope %s", rec.Kind, v.Comm, v.PID, rec.Scope)
	}
	for name, c := range map[string]struct {
		got  oom.Opt[uint64]
		want uint64
	}{
		"total-vm": {v.TotalVMBytes, 2112380 << 10},
		"anon-rss": {v.AnonRSSBytes, 1743412 << 10},
		"rss":      {v.RSSBytes, 435853 * 4096},
		"swap":     {v.SwapBytes, 39263 * 4096},
		"pgtables": {v.PgtablesBytes, 3997696},
		"uptime":   {rec.UptimeNS, 1375956_719841_000},
		"reaped":   {rec.Exit.ReapedAfterNS, 470_285_000},
		"left":     {rec.Exit.RSSBytes, 0},
	} {
		if c.got != oom.Some(c.want) {
			t.Errorf("%s is %v, want %d", name, c.got, c.want)
		}
	}
	if v.Score != oom.Some(int64(613)) || v.OOMScoreAdj != oom.Some(int32(0)) || v.UID != oom.Some(uint32(0)) {
		t.Errorf("score %v, adjustment %v, uid %v", v.Score, v.OOMScoreAdj, v.UID)
	}
	if rec.Exit.Reaped != oom.Some(true) || rec.Incomplete != oom.Some(true) {
		t.Errorf("reaped %v, incomplete %v", rec.Exit.Reaped, rec.Incomplete)
	}
}

// TestPip3Exit has the same with the reaper's outcome as a record of its own.
func TestPip3Exit(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(corpus, "pip3-system-oom.txt"))
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	o.ExitRecords = true
	all := readText(t, string(text), o)
	if len(all) != 2 || all[0].Exit != nil || all[1].Kind != oom.KindExit {
		t.Fatalf("%d records", len(all))
	}
	if all[0].Incident != all[1].Incident || all[1].Victim.PID != oom.Some(int32(23143)) || all[1].Exit.Reaped != oom.Some(true) {
		t.Errorf("exit record %+v", all[1])
	}
}
