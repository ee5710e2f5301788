package wire

import (
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func TestFreshStat(t *testing.T) {
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
		{"adds up", 32 * mib, 30 * mib, stat(30*mib, 1*mib, 1*mib, true), true},
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
			if got := freshStat(rec, tt.stat); (got != nil) != tt.kept {
				t.Errorf("kept %v, want %v", got != nil, tt.kept)
			}
		})
	}
}
