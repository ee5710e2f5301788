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
	onNode := func(scope oom.Scope, domain, rss uint64) change { // of two nodes, of which one is allowed
		return func(r *oom.Record) {
			numa(scope, "0", 40*gib)(r)
			r.Memory.TotalBytes, r.DomainBytes = b(256*gib), b(domain)
			r.Victim.RSSBytes, r.Victim.AnonRSSBytes, r.Victim.SwapBytes = b(rss), b(rss), b(0)
		}
	}
	hidden := func(kernel string, free uint64) change { // node 1 is as short as can be
		return func(r *oom.Record) {
			r.Source, r.Kernel, r.Memory.FreeBytes = oom.SourceKmsg, kernel, b(2*gib+free)
			r.Memory.Zones = []oom.Zone{zone(0, "Normal", 2*gib, 20*mib, 30*mib), zone(1, "Normal", free, 20*mib, 30*mib)}
		}
	}
	unevictable := func(r *oom.Record) { // the log lists a part of the zones
		without(r, oom.StatMlocked)
		set(&r.Memory.Stat, oom.StatUnevictable, 2*gib)
		set(&r.Memory.Stat, oom.StatActiveAnon, 0)
		set(&r.Memory.Stat, oom.StatInactiveAnon, gib)
		r.Victim.LockedVMBytes = size{}
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
		{"the kernel's memory comes before", system(marks, swap(0, 0), stat(oom.StatSlabUnrecl, 3*gib), stat(oom.StatActiveAnon, 0)), codeMemoryKernel, false, "out of memory: 3 GiB of 6 GiB (50 %) is kernel memory", "no free memory"},
		{"with swap free", system(marks, swap(2*gib, 2*gib)), codeMemoryLow, false, "vm.min_free_kbytes is high", "state"},
		{"with page cache left", system(marks, swap(0, 0), stat(oom.StatInactiveFile, 3*gib/2)), codeMemoryLow, true, "could also be page cache that reclaim was too slow to drop: 1.5 GiB", ""},
		{"a boost of the marks", system(marks, swap(0, 0), func(r *oom.Record) {
			for i := range r.Memory.Zones {
				z := &r.Memory.Zones[i]
				z.LowBytes, z.HighBytes = b(z.MinBytes.Value+8*mib), b(z.MinBytes.Value+16*mib)
			}
		}), codeSwapNone, false, "", "held"},
		{"what holds the rest comes before free CMA", system(swap(0, 0), cmaMask, stat(oom.StatSlabUnrecl, 2*gib), stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0), func(r *oom.Record) {
			r.Memory.FreeBytes, r.Memory.Zones = b(509*mib), []oom.Zone{zone(0, "Normal", 509*mib, 20*mib, 30*mib)}
			r.Memory.Zones[0].FreeCMABytes = b(500 * mib)
		}), codeMemoryKernel, false, "", "CMA"},
		{"who fills the allowed node", system(onNode(oom.ScopeCpuset, 14*gib, 11*gib)), codeNodeCpuset, false, "of the machine 40 GiB; this process holds 11 GiB; the allowed nodes have 12 GiB", "free little"},
		{"the nodes that a policy allows", system(onNode(oom.ScopeMempolicy, 14*gib, 200*mib)), codeNodeMempolicy, false, "it releases at most 200 MiB of 12 GiB", "holds"},
		{"what these nodes have is not known", system(onNode(oom.ScopeCpuset, 14*gib, 100*gib), func(r *oom.Record) { r.DomainBytes = size{} }), codeNodeCpuset, false, "this process holds 100 GiB of 256 GiB", "allowed nodes"},
		{"a process on more nodes than these", system(onNode(oom.ScopeCpuset, 14*gib, 100*gib)), codeNodeCpuset, false, "", "100 GiB"},
		{"other nodes' memory is not missing", system(fromLog, swap(0, 0), onNode(oom.ScopeCpuset, 12*gib, 11*gib), func(r *oom.Record) {
			r.Memory.FreeBytes, r.Memory.Zones = b(40*mib), r.Memory.Zones[:1]
		}), codeSwapNone, false, "the nodes of the cpuset are out of memory, and no swap is configured", "statistics"},
		{"missing on some node, and no task has it", system(fromLog, swap(0, 0), onNode(oom.ScopeCpuset, 12*gib, 2*gib), func(r *oom.Record) {
			r.Memory.FreeBytes, r.Memory.Zones = b(40*mib), r.Memory.Zones[:1]
		}), codeSwapNone, true, "is in no statistic, on these nodes or on others", ""},
		{"a policy that the log lacks", system(swap(0, 0), hidden("4.4.0-210-generic", 12*mib)), codeNodeMempolicy, true, "node 1 has 12 MiB free, below its watermarks, the rest of the machine 2 GiB", "not short"},
		{"one that it would show", system(swap(0, 0), hidden("4.10.0", 12*mib)), codeNotShort, true, "", "policy"},
		{"the version is not known", system(swap(0, 0), hidden("", 12*mib)), codeNotShort, true, "", "policy"},
		{"the node is above its low mark", system(swap(0, 0), hidden("3.10.0-1160.el7.x86_64", 20*mib)), codeNotShort, true, "", "policy"},
		{"writeback, of swap or of files", system(swap(2*gib, gib), stat(oom.StatInactiveFile, gib), stat(oom.StatFileWriteback, gib)), codeSwapTooSlow, true, "", "written"},
		{"without swap it is of files", system(swap(0, 0), stat(oom.StatInactiveFile, gib), stat(oom.StatFileWriteback, gib)), codeSwapNone, true, "1 GiB of 4 GiB (25 %) is page cache that waits to be written", "server"},
		{"no more waits than there is cache", system(swap(0, 0), stat(oom.StatInactiveFile, 400*mib), stat(oom.StatActiveFile, 0), stat(oom.StatFileDirty, 2*gib)), codeSwapNone, false, "", "written"},
		{"nor of a request limited to nodes", system(fromLog, swap(0, 0), onNode(oom.ScopeCpuset, 12*gib, 11*gib), stat(oom.StatInactiveFile, 60*gib), stat(oom.StatFileDirty, 60*gib)), codeNodeCpuset, false, "", "written"},
		{"slab that is most of the machine", system(func(r *oom.Record) {
			*r = *lowSlab(1800*mib, 2*gib, 8*mib)
			set(&r.Memory.Stat, oom.StatActiveAnon, 0)
			set(&r.Memory.Stat, oom.StatInactiveAnon, 0)
		}), codeMemoryKernel, false, "of 3.9 GiB (46 %) is kernel memory", "can use"},
		{"low memory is slab, and HighMem has room", system(swap(0, 0), func(r *oom.Record) {
			*r = *lowSlab(600*mib, 700*mib, 8*mib)
			r.Memory.FreeBytes, r.Memory.Zones[1].FreeBytes = b(gib+8*mib), b(gib)
		}), codeNodeZone, false, "the rest of the machine 1 GiB; 600 MiB of 700 MiB (86 %) of the zones that the allocation can use is slab", ""},
		{"and HighMem has none, full of tasks", system(func(r *oom.Record) {
			*r = *lowSlab(600*mib, 700*mib, 8*mib)
			tasks(80, repeated(10, 35*mib)...)(r)
		}), codeMemoryKernel, false, "no free memory: 600 MiB of 700 MiB", "free little"},
		{"and swap is free", system(func(r *oom.Record) {
			*r = *lowSlab(600*mib, 700*mib, 8*mib)
			swap(2*gib, 2*gib)(r)
		}), codeMemoryKernel, true, "swapping of the rest that was too slow: 2 GiB of swap is free", ""},
		{"and a quarter of the machine is the kernel's: one reason", system(func(r *oom.Record) {
			*r = *lowSlab(1100*mib, 1300*mib, 8*mib)
		}), codeMemoryKernel, false, "can use is slab, which cannot be swapped; 1.1 GiB of 3.9 GiB (28 %) is kernel memory", "\n1.1 GiB of 3.9 GiB"},
		{"a movable request is not short of low memory", system(func(r *oom.Record) {
			*r = *lowSlab(600*mib, 700*mib, 8*mib)
			movableMask(r)
		}), codeSwapNone, false, "", "slab"},
		{"whether mlock did it is not in the log", system(fromLog, unevictable, swap(2*gib, gib)), codeSwapUnevictable, true, "2 GiB of 4 GiB (50 %) is unevictable and stays", "ramfs"},
		{"it did not", system(fromLog, unevictable, swap(2*gib, gib), stat(oom.StatMlocked, 0)), codeSwapUnevictable, false, "unevictable (ramfs, SHM_LOCK)", ""},
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
