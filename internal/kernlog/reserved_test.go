package kernlog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestReserved: what is present but not managed is in the record from 256 MiB on, where the zones
// show that no hole is among it.
func TestReserved(t *testing.T) {
	report := func(ram, reserved, present int) string {
		return strings.Join([]string{
			headerLine, "Mem-Info:", "active_anon:9 inactive_anon:9 isolated_anon:0\n free:2000 free_pcp:0 free_cma:0",
			"Node 0 DMA free:2048kB min:88kB low:108kB high:128kB present:1024kB managed:1024kB",
			fmt.Sprintf("Node 0 Normal free:2048kB min:88kB low:108kB high:128kB present:%dkB managed:%dkB", present-1024, 4*(ram-reserved)-1024),
			fmt.Sprintf("%d pages RAM", ram), fmt.Sprintf("%d pages reserved", reserved), killLineText, "",
		}, "\n")
	}
	for name, c := range map[string]struct {
		text string
		want oom.Opt[uint64]
	}{
		"much":                        {report(700000, 65536, 2800000), oom.Some(uint64(256 << 20))},
		"a little less":               {report(700000, 65535, 2800000), oom.Opt[uint64]{}},
		"holes are among it":          {report(700000, 65536, 2600000), oom.Opt[uint64]{}},
		"nothing but reserved memory": {report(700000, 700001, 2800000), oom.Opt[uint64]{}},
	} {
		all := readText(t, c.text, testOptions())
		if len(all) != 1 || all[0].Memory == nil {
			t.Fatalf("%s: %d records", name, len(all))
		}
		v, ok := all[0].Memory.Stat.Get(oom.StatReserved)
		if got := (oom.Opt[uint64]{Value: v, Known: ok}); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
