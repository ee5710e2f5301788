package explain

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestFullestNode: the nodes of a cpuset are not in the record, and by the time
// of the kill none is below its marks any more. Seen on 7.3.
func TestFullestNode(t *testing.T) {
	zone := func(node int32, free, high uint64) oom.Zone {
		return oom.Zone{Node: oom.Some(node), Zone: "DMA32", FreeBytes: oom.Some(free), MinBytes: oom.Some(high / 2), HighBytes: oom.Some(high)}
	}
	rec := &oom.Record{
		Kind: oom.KindKill, Scope: oom.ScopeCpuset, Victim: &oom.Victim{},
		Memory: &oom.Memory{
			TotalBytes: oom.Some(uint64(458 << 20)), FreeBytes: oom.Some(uint64(223 << 20)),
			Zones: []oom.Zone{zone(0, 205<<20, 2<<20), zone(1, 11<<20, 2<<20)},
		},
	}
	if w := Of(rec); w.Verdict != codeNodeCpuset || !strings.Contains(w.Summary, "cpuset have 11 MiB free, the rest of the machine 205 MiB") {
		t.Errorf("verdict %s: %s", w.Verdict, w.Summary)
	}
	rec.Scope = oom.ScopeSystem
	if w := Of(rec); w.Verdict == codeNodeCpuset {
		t.Errorf("a system OOM: %s", w.Summary)
	}
}
