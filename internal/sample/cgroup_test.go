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

// TestCandidatesKnown: a cgroup that the kernel named in the same record needs no asking,
// and what it said is not sampled.
func TestCandidatesKnown(t *testing.T) {
	id, other := oom.Some(uint64(7)), oom.Some(uint64(8))
	for _, tt := range []struct {
		name string
		rec  oom.Record
		want string
	}{
		{"the victim's", oom.Record{Victim: &oom.Victim{Cgroup: "/a", CgroupID: id}}, "/a"},
		{"the trigger's", oom.Record{Trigger: &oom.Trigger{Cgroup: "/a", CgroupID: id}}, "/a"},
		{"the limit's", oom.Record{Limit: &oom.Limit{Cgroup: "/a", CgroupID: id}}, "/a"},
		{"another", oom.Record{Victim: &oom.Victim{Cgroup: "/a", CgroupID: other}}, ""},
		{"a path that is cut", oom.Record{Victim: &oom.Victim{Cgroup: "…/a", CgroupID: id, CgroupCut: oom.Some(true)}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := tt.rec
			rec.Source, rec.Memory, rec.Candidates = oom.SourceBPF, &oom.Memory{}, []oom.Candidate{{CgroupID: id}}
			s := Sampler{Root: t.TempDir()}
			s.Record(&rec)
			if got := rec.Candidates[0].Cgroup; got != tt.want || slices.Contains(rec.Sampled, oom.SampledCandidateCgroup) {
				t.Errorf("%q, want %q; sampled %v", got, tt.want, rec.Sampled)
			}
		})
	}
}
