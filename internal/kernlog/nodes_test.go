package kernlog

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestHighatomic: from 6.13 on what is free of the reserve is printed behind it, and is what
// the watermarks leave out.
func TestHighatomic(t *testing.T) {
	for name, c := range map[string]struct {
		fields string
		want   oom.Opt[uint64]
	}{
		"up to 6.12":    {"reserved_highatomic:2048KB active_anon:0kB", oom.Some(uint64(2048 << 10))},
		"from 6.13 on":  {"reserved_highatomic:2048KB free_highatomic:96KB active_anon:0kB", oom.Some(uint64(96 << 10))},
		"none is free":  {"reserved_highatomic:2048KB free_highatomic:0KB active_anon:0kB", oom.Some(uint64(0))},
		"before 4.9":    {"active_anon:0kB", oom.Opt[uint64]{}},
		"of another kB": {"highatomic:12kB", oom.Opt[uint64]{}},
	} {
		log := strings.Join([]string{headerLine, cpuLine, "Mem-Info:", "Node 0 Normal free:9048kB min:88kB low:108kB high:128kB " + c.fields, killedLine}, "\n") + "\n"
		all, _ := readAll(t, strings.NewReader(log), testOptions())
		if len(all) != 1 || len(all[0].Memory.Zones) != 1 || all[0].Memory.Zones[0].HighatomicBytes != c.want {
			t.Errorf("%s: %+v", name, all)
		}
	}
}
