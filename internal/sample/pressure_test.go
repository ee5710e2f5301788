package sample

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func inode(t *testing.T, path string) oom.Opt[uint64] {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return oom.Some(st.Ino)
}

// TestPressure: a SIGKILL has the pressure of the machine and of the victim's own
// cgroup, and none where the kernel has none or the cgroup is another one by now.
func TestPressure(t *testing.T) {
	const machine, cgroup = "some avg10=7.00 avg60=1.00 avg300=0.00 total=9\n", "some avg10=41.00 avg60=1.00 avg300=0.00 total=9\n"
	cgroups := root(t, map[string]string{"a/memory.pressure": cgroup, "bare/memory.current": "1\n"})
	id := inode(t, cgroups+"/a")
	for _, tc := range []struct {
		name          string
		files         map[string]string
		kind          oom.Kind
		victim        *oom.Victim
		machine, mine bool
	}{
		{"both", map[string]string{"pressure/memory": machine}, oom.KindSigkill, &oom.Victim{Cgroup: "/a", CgroupID: id}, true, true},
		{"another cgroup by now", nil, oom.KindSigkill, &oom.Victim{Cgroup: "/a", CgroupID: oom.Some(id.Value + 1)}, false, false},
		{"removed", nil, oom.KindSigkill, &oom.Victim{Cgroup: "/b", CgroupID: id}, false, false},
		{"no PSI", nil, oom.KindSigkill, &oom.Victim{Cgroup: "/bare", CgroupID: inode(t, cgroups+"/bare")}, false, false},
		{"a path that is cut", nil, oom.KindSigkill, &oom.Victim{Cgroup: "/a", CgroupID: id, CgroupCut: oom.Some(true)}, false, false},
		{"no path", nil, oom.KindSigkill, &oom.Victim{}, false, false},
		{"no victim", map[string]string{"pressure/memory": "rubbish"}, oom.KindSigkill, nil, false, false},
		{"a kill of the OOM killer", map[string]string{"pressure/memory": machine}, oom.KindKill, &oom.Victim{Cgroup: "/a", CgroupID: id}, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := Sampler{Root: root(t, tc.files), Cgroups: cgroups}
			rec := &oom.Record{Kind: tc.kind, Source: oom.SourceBPF, Victim: tc.victim}
			s.Record(rec)
			if m := rec.Memory.Pressure; (m != nil) != tc.machine || slices.Contains(rec.Sampled, oom.SampledPressure) != tc.machine {
				t.Errorf("machine %+v, sampled %v", m, rec.Sampled)
			}
			if tc.victim == nil {
				return
			}
			p := tc.victim.CgroupPressure
			if (p != nil) != tc.mine || slices.Contains(rec.Sampled, oom.SampledCgroupPressure) != tc.mine || p != nil && p.Some.Avg10Percent.Value != 41 {
				t.Errorf("cgroup %+v, sampled %v", p, rec.Sampled)
			}
		})
	}
}

// TestPressureFileStaysOpen: what was opened once is read again as it is then.
func TestPressureFileStaysOpen(t *testing.T) {
	dir := root(t, map[string]string{"pressure/memory": "some avg10=1.00\n"})
	s := Sampler{Root: dir}
	for _, want := range []string{"1.00", "2.50"} {
		if err := os.WriteFile(dir+"/pressure/memory", []byte("some avg10="+want+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		rec := &oom.Record{Kind: oom.KindSigkill, Source: oom.SourceBPF}
		s.Record(rec)
		if p := rec.Memory.Pressure; p == nil || (p.Some.Avg10Percent.Value == 1) != (want == "1.00") {
			t.Errorf("%s: %+v", want, p)
		}
	}
}
