package wire

import (
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestOldStat has both sides of each threshold.
func TestOldStat(t *testing.T) {
	const mib = 1 << 20
	stat := func(anon, file, kernel uint64, hasKernel bool) oom.Stats {
		s := oom.Stats{{Name: oom.LimitAnon, Bytes: anon}, {Name: oom.LimitFile, Bytes: file}}
		if hasKernel {
			s = append(s, oom.Stat{Name: oom.LimitKernel, Bytes: kernel})
		}
		return s
	}
	tests := []struct {
		name  string
		usage uint64
		anon  uint64 // of the victim
		stat  oom.Stats
		kept  bool
	}{
		{"an eighth is missing", 32 * mib, 0, stat(28*mib, 0, 0, true), true},
		{"more than an eighth is missing", 32 * mib, 0, stat(28*mib-1, 0, 0, true), false},
		{"an eighth too much", 32 * mib, 0, stat(35*mib, 0, 1*mib, true), true},
		{"more than an eighth too much", 32 * mib, 0, stat(35*mib, 1, 1*mib, true), false},
		{"a 64th is counted", 32 * mib, 30 * mib, stat(512<<10, 0, 0, false), true},
		{"less than a 64th is counted", 32 * mib, 30 * mib, stat(512<<10-1, 0, 0, false), false},
		{"a task of half the usage", 32 * mib, 16 * mib, stat(0, 0, 0, false), true},
		{"a task of more than half of it", 32 * mib, 16*mib + 1, stat(0, 0, 0, false), false},
		{"no statistics", 32 * mib, 30 * mib, nil, true},
		{"adds up", 32 * mib, 30 * mib, stat(30*mib, 1*mib, 1*mib, true), true},
		{"huge pages hold what the others do not", 32 * mib, 0, append(stat(4*mib, 0, 0, true), oom.Stat{Name: oom.LimitHugetlb, Bytes: 28 * mib}), true},
		{"not added up yet", 32 * mib, 30 * mib, stat(4096, 0, 0, true), false},
		{"more than there is", 32 * mib, 0, stat(64*mib, 0, 0, true), false},
		{"kernel memory that no counter names", 32 * mib, 1 * mib, stat(1*mib, 0, 0, false), true},
		{"a task that no counter knows of", 32 * mib, 30 * mib, stat(0, 0, 0, false), false},
		{"a task charged elsewhere", 32 * mib, 18 * mib, stat(1*mib, 0, 0, false), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := &oom.Record{
				Limit:  &oom.Limit{UsageBytes: oom.Some(tt.usage)},
				Victim: &oom.Victim{AnonRSSBytes: oom.Some(tt.anon)},
			}
			if old := isOld(rec, tt.stat); old == tt.kept {
				t.Errorf("old %v, kept %v", old, tt.kept)
			}
			rec.Victim, rec.Candidates = nil, []oom.Candidate{{AnonRSSBytes: oom.Some(tt.anon)}}
			if old := isOld(rec, tt.stat); old == tt.kept {
				t.Errorf("with a candidate: old %v, kept %v", old, tt.kept)
			}
			rec.Limit.UsageBytes = oom.Opt[uint64]{}
			if isOld(rec, tt.stat) {
				t.Error("old by a usage that is not known")
			}
		})
	}
}
