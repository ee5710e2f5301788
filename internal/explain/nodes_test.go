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

// TestZoneKinds: what is said of zones, nodes and what fills them.
func TestZoneKinds(t *testing.T) {
	marks := func(r *oom.Record) { // of 6 GiB: 1.7 GiB free, held by the marks
		r.Memory.TotalBytes, r.Memory.FreeBytes = b(6*gib), b(1700*mib)
		r.Memory.Zones = []oom.Zone{zone(0, "DMA32", 500*mib, 480*mib, 720*mib), zone(0, "Normal", 1200*mib, 1250*mib, 1875*mib)}
	}
	reserves := func(r *oom.Record) { // the reserve of ZONE_DMA32 is more than the zone
		r.Memory.TotalBytes, r.Memory.FreeBytes = b(10*gib), b(2018*mib)
		r.Memory.Zones = []oom.Zone{zone(0, "DMA32", 2*gib-40*mib, 4*mib, 6*mib), zone(0, "Normal", 10*mib, 8*mib, 12*mib)}
		r.Memory.Zones[0].ManagedBytes, r.Memory.Zones[0].LowmemReserveBytes = b(2*gib), []uint64{0, 0, 7 * gib, 7 * gib}
	}
	big := func(r *oom.Record) { // of 500 GiB: 3 GiB free in ZONE_NORMAL, and little below it
		r.Memory.TotalBytes, r.Memory.FreeBytes = b(500*gib), b(3*gib+10*mib)
		r.Memory.Zones = []oom.Zone{zone(0, "DMA", 10*mib, 4*kib, 6*kib), zone(0, "Normal", 3*gib, 40*mib, 60*mib)}
		r.Memory.Zones[0].LowmemReserveBytes = []uint64{0, gib, 4 * gib, 4 * gib}
	}
	tests := []struct {
		name     string
		rec      *oom.Record
		verdict  string
		unsure   bool
		has, not string // of the summary and the reasons
	}{
		{"held back by the marks", system(marks, swap(0, 0)), codeMemoryLow, false, "1.7 GiB of 6 GiB (28 %) is free, but the zones hold it back from this request: vm.min_free_kbytes is high", "no free memory"},
		{"held back by the reserves", system(reserves, swap(0, 0), stat(oom.StatActiveAnon, 6*gib)), codeMemoryLow, false, "vm.lowmem_reserve_ratio is low", "no free memory"},
		{"a reserve is no more than its zone", system(reserves, swap(0, 0), stat(oom.StatActiveAnon, 6*gib)), codeMemoryLow, false, "reserves 2 GiB)", "7 GiB"},
		{"and no more than is free there", system(big, swap(0, 0), stat(oom.StatActiveAnon, 490*gib)), codeSwapNone, false, "out of memory, and no swap is configured", "no free memory"},
		{"the kernel's memory comes before", system(marks, swap(0, 0), stat(oom.StatSlabUnrecl, 3*gib), stat(oom.StatActiveAnon, 0)), codeMemoryKernel, false, "", "hold it back"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := Of(tt.rec)
			check(t, w)
			text := w.Summary
			for _, r := range w.Reasons {
				text += "\n" + r.Text
			}
			if w.Verdict != tt.verdict || w.Unsure.Value != tt.unsure || !strings.Contains(text, tt.has) || tt.not != "" && strings.Contains(text, tt.not) {
				t.Errorf("want %s (unsure: %v), %q and not %q: %s\n%s", tt.verdict, tt.unsure, tt.has, tt.not, w.Verdict, text)
			}
		})
	}
}
