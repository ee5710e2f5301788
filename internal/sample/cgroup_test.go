package sample

import (
	"slices"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func TestBelow(t *testing.T) {
	for _, tt := range []struct {
		mount, path, want string
		ok                bool
	}{
		{"/sys/fs/cgroup", "/sys/fs/cgroup", "/", true},
		{"/sys/fs/cgroup/", "/sys/fs/cgroup/a/b c", "/a/b c", true},
		{"/sys/fs/cgroup", "/sys/fs/cgroup2/a", "", false},
		{"/sys/fs/cgroup", "/sys/fs/cgroup/a (deleted)", "", false},
		{"/sys/fs/cgroup", "(unreachable)/a", "", false},
	} {
		if got, ok := pathBelow(tt.mount, tt.path); ok != tt.ok || got != tt.want {
			t.Errorf("%s below %s is %q, %v", tt.path, tt.mount, got, ok)
		}
	}
}

// A directory that is no cgroup hierarchy names nothing.
func TestCandidatesElsewhere(t *testing.T) {
	s := Sampler{Root: t.TempDir(), Cgroups: t.TempDir()}
	rec := &oom.Record{Source: oom.SourceBPF, Memory: &oom.Memory{}, Candidates: []oom.Candidate{{CgroupID: oom.Some(uint64(1))}, {Cgroup: "/known"}}}
	s.Record(rec)
	if rec.Candidates[0].Cgroup != "" || rec.Candidates[1].Cgroup != "/known" || slices.Contains(rec.Sampled, "candidates.cgroup") {
		t.Errorf("%+v, sampled %v", rec.Candidates, rec.Sampled)
	}
}
