package kernlog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestTotalChanged: what one OOM report shows of the memory is compared with those before
// it of the same boot.
func TestTotalChanged(t *testing.T) {
	report := func(stamp string, pid, ram, reserved int) string {
		var b strings.Builder
		for _, line := range []string{headerLine, "Mem-Info:", "active_anon:9 inactive_anon:9 isolated_anon:0\n free:2000 free_pcp:0 free_cma:0",
			fmt.Sprintf("%d pages RAM", ram), fmt.Sprintf("%d pages reserved", reserved),
			strings.Replace(killLineText, "77", fmt.Sprint(pid), 1)} {
			for part := range strings.SplitSeq(line, "\n") {
				fmt.Fprintln(&b, stamp, part)
			}
		}
		return b.String()
	}
	at := func(s string) string { return "[" + s + "]" }
	change := func(from, to uint64, ago time.Duration) *oom.LimitChange {
		return &oom.LimitChange{FromBytes: oom.Some(from << 12), ToBytes: oom.Some(to << 12), AgoNS: oom.Some(uint64(ago))}
	}
	for name, c := range map[string]struct {
		first, second string
		want          *oom.LimitChange
	}{
		"a balloon":                {report(at("  100.000000"), 70, 262144, 9144), report(at("  460.000000"), 71, 262144, 189144), change(253000, 73000, 6*time.Minute)},
		"taken offline":            {report(at("  100.000000"), 70, 262144, 9144), report(at("  101.500000"), 71, 229376, 9376), change(253000, 220000, 1500*time.Millisecond)},
		"a little":                 {report(at("  100.000000"), 70, 262144, 9144), report(at("  460.000000"), 71, 262144, 13000), nil},
		"more than before":         {report(at("  100.000000"), 70, 229376, 9376), report(at("  460.000000"), 71, 262144, 9144), nil},
		"another boot":             {report(at("  460.000000"), 70, 262144, 9144), report(at("  100.000000"), 71, 262144, 189144), nil},
		"no uptime":                {report("Mar  7 04:11:09 h kernel:", 70, 262144, 9144), report("Mar  7 04:12:09 h kernel:", 71, 262144, 189144), nil},
		"both clocks agree":        {report("Mar  7 04:11:09 h kernel: [  100.000000]", 70, 262144, 9144), report("Mar  7 04:12:09 h kernel: [  160.000000]", 71, 262144, 189144), change(253000, 73000, time.Minute)},
		"a boot, the clocks tell":  {report("Mar  7 04:11:09 h kernel: [  100.000000]", 70, 262144, 9144), report("Mar  7 08:12:09 h kernel: [  160.000000]", 71, 262144, 189144), nil},
		"another machine":          {report("Mar  7 04:11:09 h kernel: [  100.000000]", 70, 262144, 9144), report("Mar  7 04:12:09 g kernel: [  160.000000]", 71, 262144, 189144), nil},
		"the first is of a cgroup": {at("  100.000000") + " Memory cgroup out of memory: Killed process 70 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB\n", report(at("  460.000000"), 71, 262144, 189144), nil},
	} {
		all := readText(t, c.first+c.second, testOptions())
		if len(all) != 2 || all[1].Memory == nil {
			t.Fatalf("%s: %d records", name, len(all))
		}
		got := all[1].Memory.TotalChanged
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want || all[0].Memory != nil && all[0].Memory.TotalChanged != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
