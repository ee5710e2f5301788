package explain

import (
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestThresholds holds every number that docs/why.md publishes, on both sides.
func TestThresholds(t *testing.T) {
	has := func(code string) func(*oom.Why) bool { return func(w *oom.Why) bool { return hasCode(w, code) } }
	is := func(code string) func(*oom.Why) bool { return func(w *oom.Why) bool { return w.Verdict == code } }
	sure := func(code string) func(*oom.Why) bool {
		return func(w *oom.Why) bool { return w.Verdict == code && !w.Unsure.Value }
	}
	isShort := func(w *oom.Why) bool { return !strings.Contains(w.Summary, "no shortage") }
	says := func(words string) func(*oom.Why) bool {
		return func(w *oom.Why) bool {
			for _, r := range w.Reasons {
				if strings.Contains(r.Text, words) {
					return true
				}
			}
			return false
		}
	}
	leads := func(words string) func(*oom.Why) bool {
		return func(w *oom.Why) bool { return strings.Contains(w.Summary, words) }
	}
	no := func(f func(*oom.Why) bool) func(*oom.Why) bool { return func(w *oom.Why) bool { return !f(w) } }
	tests := []struct {
		name       string
		yes, below uint64 // the value at which it is so, and one at which it is not
		want       func(*oom.Why) bool
		rec        func(v uint64) *oom.Record
	}{
		{"anonymous memory is half", 128 * mib, 128*mib - 1, sure(codeLimitAnon), func(v uint64) *oom.Record {
			return limited(limitStat(oom.LimitAnon, v), limitStat(oom.LimitFile, 100*mib))
		}},
		{"the victim holds nine tenths of it", 225 * mib, 225*mib - 1, func(w *oom.Why) bool { return strings.Contains(w.Summary, "of this process") }, func(v uint64) *oom.Record {
			return limited(limitStat(oom.LimitAnon, 250*mib), victimAnon(v))
		}},
		{"without memory.stat, the victim holds half", 128 * mib, 128*mib - 1, is(codeLimitAnon), func(v uint64) *oom.Record {
			return limited(victimAnon(v), func(r *oom.Record) { r.Limit.Stat = nil })
		}},
		{"half of the cache is dirty", 105 * mib, 105*mib - 1, is(codeLimitDirty), func(v uint64) *oom.Record {
			return limited(limitStat(oom.LimitAnon, 40*mib), limitStat(oom.LimitFile, 210*mib), limitStat(oom.LimitFileDirty, v), limitStat(oom.LimitFileWriteback, 0))
		}},
		{"half of the cache is pinned", 145 * mib, 145*mib - 1, sure(codeLimitFile), func(v uint64) *oom.Record {
			return limited(limitStat(oom.LimitAnon, 40*mib), limitStat(oom.LimitFile, 210*mib), limitStat(oom.LimitUnevictable, v))
		}},
		{"a part of 1/8 of the kernel's memory is named", 25 * mib, 25*mib - 1, says("slab"), func(v uint64) *oom.Record {
			return limited(limitStat(oom.LimitAnon, 20*mib), limitStat(oom.LimitKernel, 200*mib), limitStat(oom.LimitSlab, v))
		}},
		{"the tasks hold below half of a tmpfs", 128*mib - 1, 128 * mib, is(codeLimitShmem), func(v uint64) *oom.Record {
			return limited(inPod(30*mib), limitStat(oom.LimitAnon, 8*mib), limitStat(oom.LimitFile, 245*mib), limitStat(oom.LimitShmem, 240*mib), func(r *oom.Record) { r.CandidatesBytes = b(v) })
		}},
		{"a tmpfs of half the limit, which no task holds", 128 * mib, 128*mib - 1, is(codeLimitShmem), func(v uint64) *oom.Record {
			return limited(inPod(30*mib), limitStat(oom.LimitAnon, 8*mib), limitStat(oom.LimitFile, 245*mib), limitStat(oom.LimitShmem, v), func(r *oom.Record) { r.CandidatesBytes = b(40 * mib) })
		}},
		{"the victim's own cgroup holds below half", 128*mib - 1, 128 * mib, is(codeLimitAncestor), func(v uint64) *oom.Record { return limited(inPod(v)) }},
		{"a tenth more than the limit is in use", 282 * mib, 281 * mib, is(codeLimitLowered), overTheLimit(256 * mib)},
		{"4 MiB more than the limit are in use", 20 * mib, 20*mib - 1, is(codeLimitLowered), overTheLimit(16 * mib)},
		{"lowered 10 s before", 10e9, 10e9 + 1, is(codeLimitLowered), loweredBefore},
		{"lowered to what it is", 256*mib - 64<<10 + 1, 256*mib - 64<<10, has(codeLimitLowered), func(v uint64) *oom.Record {
			return limited(func(r *oom.Record) { r.Limit.Changed = &oom.LimitChange{FromBytes: b(gib), ToBytes: b(v)} })
		}},
		{"the process alone has half of the limit, no statistics", 128 * mib, 128*mib - 1, says("this process alone has"), func(v uint64) *oom.Record {
			return limited(func(r *oom.Record) { r.Limit.Stat, r.Victim.AnonRSSBytes, r.Victim.RSSBytes = nil, b(9*mib), b(v) })
		}},
		{"a quarter is of no task", 187 * mib, 187*mib + 1, has(codeLimitNoTask), func(v uint64) *oom.Record {
			return limited(func(r *oom.Record) { r.CandidatesBytes = b(v) })
		}},
		{"half is in huge pages", 128 * mib, 128*mib - 1, has(codeTHP), func(v uint64) *oom.Record {
			return limited(func(r *oom.Record) { set(&r.Limit.Stat, oom.LimitAnonTHP, v) })
		}},
		{"1 % of swap is left, few CPUs", 1000 * mib / 100, 1000*mib/100 + 1, sure(codeSwapFull), func(v uint64) *oom.Record { return system(swap(1000*mib, v), cpus(2)) }},
		{"128 pages for each CPU are left", 32 * mib, 32*mib + 1, sure(codeSwapFull), func(v uint64) *oom.Record { return system(swap(2*gib, v), cpus(64)) }},
		{"5 % of swap is left, CPUs not known", 50 * mib, 50*mib + 1, sure(codeSwapFull), func(v uint64) *oom.Record { return system(swap(1000*mib, v)) }},
		{"what 512 CPUs hold back is left, CPUs not known", 256 * mib, 256*mib + 1, sure(codeSwapFull), func(v uint64) *oom.Record { return system(swap(20*gib, v)) }},
		{"1 % of swap is left, CPUs not known", 640 * mib, 640*mib + 1, sure(codeSwapFull), func(v uint64) *oom.Record { return system(swap(64000*mib, v)) }},
		{"20 % of swap is free", 200 * mib, 200*mib - 1, has(codeSwapIdle), func(v uint64) *oom.Record { return system(swap(1000*mib, v)) }},
		{"a huge page is left of a cgroup's swap", 98 * mib, 98*mib - 1, has(codeSwapCgroupFull), cgroupSwap(100 * mib)},
		{"and 64 pages for each CPU", 182 * mib, 182*mib - 1, has(codeSwapCgroupFull), func(v uint64) *oom.Record {
			r := cgroupSwap(200 * mib)(v)
			r.CPUs = oom.Some(uint32(64))
			return r
		}},
		{"a cgroup's little swap is half used", mib, mib - 1, has(codeSwapCgroupFull), cgroupSwap(2 * mib)},
		{"v1: 99 % of memory and swap", 99 * mib, 99*mib - 1, has(codeSwapCgroupFull), func(v uint64) *oom.Record {
			return limitedV1(func(r *oom.Record) {
				r.Limit.UsageBytes, r.Limit.MaxBytes = b(40*mib), b(60*mib)
				r.Limit.MemswMaxBytes, r.Limit.MemswUsageBytes = b(100*mib), b(v)
			})
		}},
		{"a cgroup may not swap, and holds half", 3 * gib / 2, 3*gib/2 - 1, sure(codeSwapForbidden), func(v uint64) *oom.Record {
			return system(swap(2*gib, 2*gib), levels(b(0)), victimAnon(v))
		}},
		{"40 % is locked", 1600 * mib, 1600*mib - 1, is(codeSwapMlocked), func(v uint64) *oom.Record { return locked(v, v, gib) }},
		{"more is locked than could be swapped", gib*2 + 1, 2 * gib, is(codeSwapMlocked), func(v uint64) *oom.Record { return locked(v, v, 2*gib) }},
		{"a quarter is locked", 1000 * mib, 1000*mib - 1, has(codeSwapMlocked), func(v uint64) *oom.Record { return locked(v, v, 2*gib) }},
		{"half of it by mlock", gib + 1, gib, has(codeSwapMlocked), func(v uint64) *oom.Record { return locked(2*gib, v, gib) }},
		{"locked by the victim, no statistics", 1024 * mib, 1024*mib - 1, has(codeSwapMlocked), func(v uint64) *oom.Record {
			return system(noStats, func(r *oom.Record) { r.Victim.LockedVMBytes = b(v) })
		}},
		{"5 % of swap is in use", 950 * mib, 950*mib + 1, is(codeSwapTooSlow), func(v uint64) *oom.Record {
			return system(swap(1000*mib, v), stat(oom.StatFileWriteback, 300*mib))
		}},
		{"1/64 is under writeback", 64 * mib, 64*mib - 1, is(codeSwapTooSlow), func(v uint64) *oom.Record {
			return system(swap(2*gib, gib), stat(oom.StatFileWriteback, v))
		}},
		{"5 % of a cgroup is in swap", 12800 * kib, 12800*kib - 1, has(codeSwapTooSlow), func(v uint64) *oom.Record {
			return limited(limitStat(oom.LimitFileWriteback, 100*mib), func(r *oom.Record) { r.Limit.UsageBytes, r.Limit.SwapUsageBytes = b(250*mib), b(v) })
		}},
		{"1/64 of a cgroup is on the way", 4 * mib, 4*mib - 1, has(codeSwapTooSlow), func(v uint64) *oom.Record {
			return limited(limitStat(oom.LimitFileWriteback, v), func(r *oom.Record) { r.Limit.SwapUsageBytes = b(60 * mib) })
		}},
		{"the zones are at their marks", 60 * mib, 60*mib + 1, has(codeMemoryLow), func(v uint64) *oom.Record { return system(func(r *oom.Record) { r.Memory.FreeBytes = b(v) }) }},
		{"below 3 % is free, no zones", 30*mib - 1, 30 * mib, has(codeMemoryLow), func(v uint64) *oom.Record {
			return system(func(r *oom.Record) { r.Memory.Zones, r.Memory.FreeBytes, r.Memory.TotalBytes = nil, b(v), b(1000*mib) })
		}},
		{"a tenth of the RAM is held back", 400 * mib, 400*mib - 1, is(codeMemoryLow), func(v uint64) *oom.Record {
			return system(swap(0, 0), func(r *oom.Record) {
				r.Memory.TotalBytes, r.Memory.FreeBytes, r.Memory.Zones = b(4000*mib), b(v), []oom.Zone{zone(0, "Normal", v, 300*mib, 450*mib)}
			})
		}},
		{"a tenth without a boost", 1099 * mib, 1099*mib - 1, is(codeMemoryLow), func(v uint64) *oom.Record {
			return system(swap(0, 0), func(r *oom.Record) { // a boost of 699 MiB
				r.Memory.TotalBytes, r.Memory.FreeBytes, r.Memory.Zones = b(4000*mib), b(800*mib), []oom.Zone{zone(0, "Normal", 800*mib, 800*mib, v)}
				r.Memory.Zones[0].LowBytes = b(825 * mib)
			})
		}},
		{"most of it by the reserves", 250*mib + 1, 250 * mib, leads("vm.lowmem_reserve_ratio"), func(v uint64) *oom.Record {
			return system(swap(0, 0), func(r *oom.Record) {
				r.Memory.FreeBytes, r.Memory.Zones = b(500*mib), []oom.Zone{zone(0, "DMA32", 500*mib, 90*mib, 500*mib-v)}
				r.Memory.Zones[0].LowmemReserveBytes = []uint64{0, 0, gib}
			})
		}},
		{"by the scale of the marks", 210*mib - 1, 210 * mib, leads("vm.watermark_scale_factor"), func(v uint64) *oom.Record {
			return system(swap(0, 0), func(r *oom.Record) {
				r.Memory.FreeBytes, r.Memory.Zones = b(420*mib), []oom.Zone{zone(0, "Normal", 410*mib, v, 420*mib), zone(0, "DMA32", 10*mib, 10*mib, 20*mib)}
			})
		}},
		{"below a tenth is free, no zones", 400*mib - 1, 400 * mib, sure(codeSwapNone), func(v uint64) *oom.Record {
			return system(swap(0, 0), func(r *oom.Record) { r.Memory.Zones, r.Memory.FreeBytes, r.Memory.TotalBytes = nil, b(v), b(4000*mib) })
		}},
		{"below a tenth is free, and swap unused", 400*mib - 1, 400 * mib, isShort, func(v uint64) *oom.Record {
			return system(swap(4*gib, 4*gib), func(r *oom.Record) { r.Memory.Zones, r.Memory.FreeBytes, r.Memory.TotalBytes = nil, b(v), b(4000*mib) })
		}},
		{"below a tenth of the only zone is free", 100*mib - 1, 100 * mib, isShort, func(v uint64) *oom.Record {
			return system(fromLog, swap(0, 0), func(r *oom.Record) {
				z := zone(0, "Normal", v, 2*mib, 3*mib)
				z.ManagedBytes = b(1000 * mib)
				r.Trigger, r.Memory.Zones, r.Memory.FreeBytes, r.Memory.TotalBytes, r.Memory.Stat = nil, []oom.Zone{z}, oom.Opt[uint64]{}, oom.Opt[uint64]{}, nil
			})
		}},
		{"a tenth is free at a page fault that failed", 400 * mib, 400*mib - 1, is(codeNotShort), func(v uint64) *oom.Record {
			return system(swap(4*gib, 4*gib), func(r *oom.Record) {
				r.Memory.Zones, r.Memory.FreeBytes, r.Memory.TotalBytes, r.Trigger.GFPMask = nil, b(v), b(4000*mib), oom.Some(uint32(0))
			})
		}},
		{"more is free above the marks than they are", 108*mib + 2, 108 * mib, is(codeNotShort), func(v uint64) *oom.Record { return system(pagefault(v)...) }},
		{"1/32 of the RAM is free above the marks", 128*mib + 30*mib, 128*mib + 30*mib - 1, is(codeNotShort), func(v uint64) *oom.Record {
			return system(func(r *oom.Record) {
				r.Memory.FreeBytes, r.Memory.Zones = b(v), []oom.Zone{zone(0, "Normal", v, 20*mib, 30*mib)}
			})
		}},
		{"a zone is at its mark", 30 * mib, 30*mib + 1, is(codeNodeCpuset), func(v uint64) *oom.Record {
			return system(numa(oom.ScopeCpuset, "0", 2*gib), func(r *oom.Record) { r.Memory.Zones[0].FreeBytes, r.Trigger.Order = b(v), oom.Some(int32(1)) }, func(r *oom.Record) { r.Memory.FreeBytes = b(20 * mib) })
		}},
		{"the rest has more than the marks", 60*mib + 1, 60 * mib, is(codeNodeMempolicy), func(v uint64) *oom.Record {
			return system(numa(oom.ScopeMempolicy, "0", v), func(r *oom.Record) { r.Memory.FreeBytes = b(20 * mib) })
		}},
		{"what was given back is 1/8 of the rest", 8*10*mib + 30*mib, 8*10*mib + 30*mib - 1, is(codeNodeMempolicy), func(v uint64) *oom.Record {
			return system(numa(oom.ScopeMempolicy, "0", v), func(r *oom.Record) { r.Memory.Zones[0].FreeBytes, r.Memory.FreeBytes = b(40*mib), b(20*mib) })
		}},
		{"3 % of what the log does not list is left to its marks", 20*mib + 30*mib + 2*gib*3/100 + 1, 20*mib + 30*mib + 2*gib*3/100, is(codeNodeZone), func(v uint64) *oom.Record {
			return system(swap(0, 0), fromLog, cmaMask, func(r *oom.Record) {
				r.Memory.FreeBytes = b(v)
				r.Memory.Zones = []oom.Zone{zone(0, "DMA", 10*mib, 10*mib, 15*mib), zone(0, "DMA32", 10*mib, 10*mib, 15*mib)}
				r.Memory.Zones[0].ManagedBytes, r.Memory.Zones[1].ManagedBytes = b(gib), b(gib)
			})
		}},
		{"40 % is the kernel's", 1600*mib - 30*mib, 1600*mib - 30*mib - 1, is(codeMemoryKernel), func(v uint64) *oom.Record {
			return kernelHeavy(v, gib)
		}},
		{"more is the kernel's than could be swapped", 2*gib - 30*mib + 1, 2*gib - 30*mib, is(codeMemoryKernel), func(v uint64) *oom.Record { return kernelHeavy(v, 2*gib) }},
		{"half is the kernel's, nothing else known", 2000*mib - 30*mib, 2000*mib - 30*mib - 1, is(codeMemoryKernel), func(v uint64) *oom.Record {
			return system(func(r *oom.Record) {
				r.Memory.TotalBytes = b(4000 * mib)
				r.Memory.Stat = oom.Stats{{Name: oom.StatSlabUnrecl, Bytes: v}, {Name: oom.StatKernelStack, Bytes: 10 * mib}, {Name: oom.StatPageTable, Bytes: 20 * mib}}
			})
		}},
		{"40 % is missing", 1600 * mib, 1600*mib - 1, is(codeMemoryMissing), func(v uint64) *oom.Record {
			return system(func(r *oom.Record) {
				r.Memory.TotalBytes = b(4000 * mib)
				known := uint64(40 + 16 + 50 + 100 + 10 + 20)
				set(&r.Memory.Stat, oom.StatInactiveAnon, 0)
				set(&r.Memory.Stat, oom.StatActiveAnon, gib)
				set(&r.Memory.Stat, oom.StatIsolatedFile, 4000*mib-gib-known*mib-v)
			})
		}},
		{"a balloon of 1/8", gib, gib - 7, has(codeMemoryBalloon), func(v uint64) *oom.Record {
			return system(stat(oom.StatBalloon, v), stat(oom.StatIsolatedFile, 4*gib), func(r *oom.Record) { r.Memory.TotalBytes = b(7 * gib) })
		}},
		{"a balloon of 1/8, in the total", 500 * mib, 500*mib - 1, has(codeMemoryBalloon), func(v uint64) *oom.Record { return ballooned(v, v, gib) }},
		{"7/8 of what the balloon has would be missing", 1400 * mib, 1400*mib - 1, no(says("more belongs to")), func(v uint64) *oom.Record { return ballooned(1600*mib, v, gib) }},
		{"40 % is the balloon's, in the total", 1600 * mib, 1600*mib - 1, is(codeMemoryBalloon), func(v uint64) *oom.Record { return ballooned(v, v, gib) }},
		{"as much as the balloon's is not in the total", 1600 * mib, 1600*mib - 1, no(sure(codeMemoryBalloon)), func(v uint64) *oom.Record {
			r := ballooned(1600*mib, 1600*mib, gib)
			set(&r.Memory.Stat, oom.StatReserved, v)
			return r
		}},
		{"1/8 of the RAM is not in the total", gib, gib - 7, has(codeMemoryBalloon), func(v uint64) *oom.Record {
			return system(stat(oom.StatReserved, v), func(r *oom.Record) { r.Memory.TotalBytes = b(7 * gib) })
		}},
		{"a quarter is the kernel's", 1000*mib - 30*mib, 1000*mib - 30*mib - 1, has(codeMemoryKernel), func(v uint64) *oom.Record { return kernelHeavy(v, 2*gib) }},
		{"a part is more than half of the kernel's", 601 * mib, 600 * mib, func(w *oom.Why) bool { return strings.Contains(w.Summary, "(slab ") }, func(v uint64) *oom.Record {
			r := kernelHeavy(v, 2*gib)
			set(&r.Memory.Stat, oom.StatPageTable, 590*mib)
			return r
		}},
		{"a quarter is missing", 1000 * mib, 1000*mib - 1, has(codeMemoryMissing), func(v uint64) *oom.Record { return ballooned(0, v, 2*gib) }},
		{"a quarter of the kernel's counts as reclaimable", 1000 * mib, 1000*mib - 1, no(sure(codeSwapFull)), func(v uint64) *oom.Record {
			return system(stat(oom.StatSlabReclaimable, v), func(r *oom.Record) { r.Memory.TotalBytes = b(4000 * mib) })
		}},
		{"half of the kernel's is of GPU drivers", 1000 * mib, 1000*mib - 1, no(says("cannot be swapped")), func(v uint64) *oom.Record {
			r := kernelHeavy(2000*mib-30*mib-v, gib)
			set(&r.Memory.Stat, oom.StatGPUActive, v)
			return r
		}},
		{"a site allocated half of what is missing", 1000 * mib, 1000*mib - 1, sure(codeMemoryMissing), func(v uint64) *oom.Record {
			r := ballooned(0, 2000*mib, gib)
			r.Memory.Allocations = []oom.Allocation{{Site: "mm/memory.c:9 func:x", Bytes: b(3 * gib)}, {Site: "drivers/x.c:1 func:x", Bytes: b(v)}}
			return r
		}},
		{"a site allocated more than what is counted", 1196*mib + 1, 1196 * mib, sure(codeMemoryMissing), func(v uint64) *oom.Record {
			r := ballooned(0, 2000*mib, 500*mib)
			set(&r.Memory.Stat, oom.StatActiveFile, 1008*mib)
			set(&r.Memory.Stat, oom.StatIsolatedFile, 0)
			set(&r.Memory.Stat, oom.StatHugepagesTotal, 4000*mib-1236*mib-500*mib-2000*mib)
			r.Memory.Allocations = []oom.Allocation{{Site: "drivers/x.c:1 func:x", Bytes: b(v)}}
			return r
		}},
		{"a quarter is isolated", gib, gib - 1, has(codeSwapTooSlow), func(v uint64) *oom.Record {
			return system(swap(2*gib, gib), stat(oom.StatIsolatedAnon, v), stat(oom.StatInactiveAnon, 512*mib))
		}},
		{"what is isolated is anonymous", gib, gib - 1, is(codeManyTasks), func(v uint64) *oom.Record {
			return system(tasks(800, repeated(10, 4*mib)...), stat(oom.StatIsolatedAnon, v), stat(oom.StatInactiveAnon, 0))
		}},
		{"an eighth of the memory is not there any more", gib, gib - 1, has(codeMemoryBalloon), func(v uint64) *oom.Record {
			return system(func(r *oom.Record) {
				r.Memory.TotalChanged = &oom.LimitChange{FromBytes: b(8 * gib), ToBytes: b(8*gib - v), AgoNS: oom.Some(uint64(90e9))}
			})
		}},
		{"a quarter is shared", gib, gib - 1, has(codeMemoryShmem), func(v uint64) *oom.Record { return system(stat(oom.StatShmem, v)) }},
		{"a tenth is free CMA", 400 * mib, 400*mib - 1, leads("is CMA"), func(v uint64) *oom.Record {
			return system(swap(0, 0), cmaMask, func(r *oom.Record) {
				r.Memory.TotalBytes, r.Memory.FreeBytes, r.Memory.Zones = b(4000*mib), b(v+9*mib), []oom.Zone{zone(0, "Normal", v+9*mib, 20*mib, 30*mib)}
				r.Memory.Zones[0].FreeCMABytes = b(v)
			})
		}},
		{"as a sum, and no more above the marks", gib + 30*mib, gib + 30*mib + 1, leads("is CMA"), func(v uint64) *oom.Record {
			return system(swap(0, 0), cmaMask, stat(oom.StatFreeCMA, gib), func(r *oom.Record) {
				r.Memory.FreeBytes, r.Memory.Zones = b(v), []oom.Zone{zone(0, "Normal", v, 20*mib, 30*mib)}
			})
		}},
		{"half of the low zones is slab", 350 * mib, 350*mib - 1, is(codeMemoryKernel), func(v uint64) *oom.Record { return lowSlab(v, 700*mib, 8*mib) }},
		{"these have below 7/8 of the RAM", 875*mib - 1, 875 * mib, is(codeMemoryKernel), func(v uint64) *oom.Record {
			r := lowSlab(450*mib, v, 8*mib)
			r.Memory.TotalBytes = b(1000 * mib)
			set(&r.Memory.Stat, oom.StatActiveAnon, 500*mib)
			set(&r.Memory.Stat, oom.StatInactiveAnon, 0)
			return r
		}},
		{"they have no more above their marks", 20 * mib, 20*mib + 1, is(codeMemoryKernel), func(v uint64) *oom.Record { return lowSlab(400*mib, 700*mib, v) }},
		{"1/8 waits to be written", 512 * mib, 512*mib - 1, has(codeMemoryDirty), func(v uint64) *oom.Record {
			return system(stat(oom.StatInactiveFile, gib), stat(oom.StatFileDirty, v))
		}},
		{"40 % does", 1600 * mib, 1600*mib - 1, is(codeMemoryDirty), func(v uint64) *oom.Record { return writing(v, gib) }},
		{"more than could be swapped does", 2*gib + 1, 2 * gib, is(codeMemoryDirty), func(v uint64) *oom.Record { return writing(v, 2*gib) }},
		{"half of it to NFS", 256 * mib, 256*mib - 1, says("to an NFS server"), func(v uint64) *oom.Record {
			return system(stat(oom.StatInactiveFile, gib), stat(oom.StatFileDirty, 512*mib-v), stat("unstable_bytes", v))
		}},
		{"of writeback the files'", 412 * mib, 412*mib - 1, has(codeMemoryDirty), func(v uint64) *oom.Record {
			return system(stat(oom.StatInactiveFile, gib), stat(oom.StatFileDirty, 100*mib), stat(oom.StatFileWriteback, 50*mib+v), func(r *oom.Record) { r.Memory.SwapCacheBytes = b(50 * mib) })
		}},
		{"of writeback swap's", 64 * mib, 64*mib - 1, is(codeSwapTooSlow), func(v uint64) *oom.Record {
			return system(swap(2*gib, gib), stat(oom.StatFileWriteback, 300*mib), func(r *oom.Record) { r.Memory.SwapCacheBytes = b(v) })
		}},
		{"half is kept by memory.min, swap is free", 2 * gib, 2*gib - 1, is(codeMemoryProtected), func(v uint64) *oom.Record {
			return system(swap(2*gib, 2*gib), func(r *oom.Record) { r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: "/", ChildrenMinBytes: b(v)}} })
		}},
		{"1/8 is zram's", 512 * mib, 512*mib - 1, has(codeMemoryZram), func(v uint64) *oom.Record { return system(stat(oom.StatZspages, v)) }},
		{"a quarter is zram's, and swap is used up", gib, gib - 1, func(w *oom.Why) bool {
			return w.Verdict == codeSwapFull && strings.Contains(w.Summary, "keeps compressed")
		}, func(v uint64) *oom.Record { return system(stat(oom.StatZspages, v)) }},
		{"a quarter is zram's", gib, gib - 1, is(codeMemoryZram), func(v uint64) *oom.Record { return system(swap(2*gib, 2*gib), stat(oom.StatZspages, v)) }},
		{"three quarters of what is swapped are zram's", 600 * mib, 600*mib - 1, is(codeMemoryZram), func(v uint64) *oom.Record {
			return system(swap(2*gib, 2*gib-800*mib), stat(oom.StatZspages, v))
		}},
		{"a quarter more than what is swapped is not swap's alone", 1000 * mib, 1000*mib + 1, is(codeMemoryZram), func(v uint64) *oom.Record {
			return system(swap(2*gib, 2*gib-800*mib), stat(oom.StatZspages, v))
		}},
		{"what they gained is said", 600 * mib, 600*mib - 1, says("for 800 MiB that is swapped out"), func(v uint64) *oom.Record {
			return system(swap(2*gib, 2*gib-800*mib), stat(oom.StatZspages, v))
		}},
		{"and an eighth of the memory", 512 * mib, 512*mib - 1, is(codeMemoryZram), func(v uint64) *oom.Record {
			return system(swap(2*gib, 2*gib-600*mib), stat(oom.StatZspages, v))
		}},
		{"1/8 is idle huge pages", 512 * mib, 512*mib - 1, has(codeMemoryHugepages), func(v uint64) *oom.Record {
			return system(stat(oom.StatHugepagesTotal, v), stat(oom.StatHugepagesFree, v))
		}},
		{"a quarter is idle huge pages", gib, gib - 1, is(codeMemoryHugepages), func(v uint64) *oom.Record {
			return system(stat(oom.StatHugepagesTotal, v), stat(oom.StatHugepagesFree, v))
		}},
		{"a quarter is huge pages in use", gib, gib - 1, has(codeHugepagesUsed), func(v uint64) *oom.Record {
			return system(stat(oom.StatHugepagesTotal, v), stat(oom.StatHugepagesFree, 0))
		}},
		{"40 % is huge pages in use", 1600 * mib, 1600*mib - 1, is(codeHugepagesUsed), func(v uint64) *oom.Record {
			return system(stat(oom.StatHugepagesTotal, v), stat(oom.StatHugepagesFree, 0), stat(oom.StatInactiveAnon, 0), func(r *oom.Record) {
				r.Memory.TotalBytes = b(4000 * mib)
				set(&r.Memory.Stat, oom.StatIsolatedFile, gib) // nothing is missing
			})
		}},
		{"blocks of the order have an eighth of what is free", 2960, 2961, is(codeMemoryFragments), func(v uint64) *oom.Record {
			return system(swap(0, 0), fragmented(2, 400*mib, 102400-4*v, 0, v))
		}},
		{"up to 4.3 they have to be more than the halved mark", 480, 481, sure(codeMemoryFragments), func(v uint64) *oom.Record {
			return system(swap(0, 0), fromLog, fragmented(2, 400*mib, 102400-4*v, 0, v))
		}},
		{"a quarter is protected", gib, gib - 1, has(codeMemoryProtected), func(v uint64) *oom.Record {
			return system(func(r *oom.Record) {
				r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: "/a", UsageBytes: b(3 * gib), LowBytes: b(v)}}
			})
		}},
		{"a quarter is protected below", gib, gib - 1, has(codeMemoryProtected), func(v uint64) *oom.Record {
			return system(func(r *oom.Record) { r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: "/", ChildrenMinBytes: b(v)}} })
		}},
		{"64 tasks", 64, 63, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(v, repeated(10, 4*mib)...), func(r *oom.Record) { r.CandidatesBytes = b(200 * mib); differ(r) })
		}},
		{"each below 1/32", 8*mib - 1, 8 * mib, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(80, repeated(10, v)...), differ, func(r *oom.Record) { r.CandidatesBytes = b(250 * mib) })
		}},
		{"together they hold half", 128 * mib, 128*mib - 1, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(80, repeated(10, mib)...), func(r *oom.Record) { r.CandidatesBytes = b(v) })
		}},
		{"those not listed count as the smallest that is", 2 * mib, 2*mib - 1, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(64, repeated(10, v)...), func(r *oom.Record) { r.CandidatesBytes = size{} })
		}},
		{"half is anonymous", 128 * mib, 128*mib - 1, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(80, repeated(10, 4*mib)...), func(r *oom.Record) { set(&r.Limit.Stat, oom.LimitAnon, v) })
		}},
		{"a third is anonymous without the big one", 300 * mib, 300*mib - 1, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(80, repeated(10, 4*mib)...), bystander(200*mib), func(r *oom.Record) {
				set(&r.Limit.Stat, oom.LimitAnon, v)
				r.Limit.MaxBytes, r.Limit.UsageBytes, r.CandidatesBytes = b(300*mib), b(300*mib), b(620*mib)
			})
		}},
		{"twice what the big one holds", 300 * mib, 300*mib - 1, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(80, repeated(10, 4*mib)...), bystander(100*mib), func(r *oom.Record) { r.CandidatesBytes = b(v) })
		}},
		{"16 tasks of one name", 16, 15, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(v, repeated(10, 15*mib)...), func(r *oom.Record) { r.CandidatesBytes = b(200 * mib) })
		}},
		{"each of them below 1/16", 16*mib - 1, 16 * mib, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(20, repeated(10, v)...), func(r *oom.Record) { r.CandidatesBytes = b(250 * mib) })
		}},
		{"three in four are alike", 6, 5, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(20, repeated(8, 15*mib)...), differ, func(r *oom.Record) {
				for i := range v {
					r.Candidates[i].Comm = "worker"
				}
				r.CandidatesBytes = b(200 * mib)
			})
		}},
		{"eight of them are listed", 8, 7, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(20, repeated(int(v), 15*mib)...), func(r *oom.Record) { r.CandidatesBytes = b(200 * mib) })
		}},
		{"half of those listed are alike", 4, 3, sure(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(80, repeated(8, 4*mib)...), differ, func(r *oom.Record) {
				for i := range v {
					r.Candidates[i].Comm = "worker"
				}
			})
		}},
		{"256 KiB of the kernel's for each task", 80 * 256 * kib, 81*256*kib + 80, is(codeManyTasks), func(v uint64) *oom.Record {
			return limited(tasks(80, repeated(10, 512*kib)...), func(r *oom.Record) {
				r.Limit.MaxBytes, r.Limit.UsageBytes = b(50*mib), b(50*mib)
				r.Limit.Stat = oom.Stats{{Name: oom.LimitAnon, Bytes: 30 * mib}, {Name: oom.LimitFile, Bytes: 0}, {Name: oom.LimitShmem, Bytes: 0}, {Name: oom.LimitKernel, Bytes: v}}
			})
		}},
		{"a quarter is one holder's", gib, gib - 1, has(codeHolder), func(v uint64) *oom.Record {
			return system(victimAnon(mib), func(r *oom.Record) { r.Holders = []oom.Holder{{Cgroup: "/a", UsageBytes: b(v)}} })
		}},
		{"a holder's growth of 1/20", 51*mib + mib/4, 51*mib + mib/8, says("/h"), func(v uint64) *oom.Record {
			return system(func(r *oom.Record) {
				r.Holders = []oom.Holder{{Cgroup: "/a", UsageBytes: b(1025 * mib), GrewBytes: oom.Some(int64(v))}}
				r.Memory.History = &oom.MemoryHistory{SpanNS: oom.Some(uint64(4 * 3600e9))}
			})
		}},
		{"a spared task is a tenth bigger", 3379200*kib + 1, 3379200 * kib, has(codeVictimAdj), func(v uint64) *oom.Record {
			return system(spareBig(v, -1), victimAnon(3000*mib))
		}},
		{"a spared task is a tenth of the memory", 400 * mib, 400*mib - 1, has(codeVictimAdj), func(v uint64) *oom.Record {
			return system(victimAnon(10*mib), spareBig(v, -1), func(r *oom.Record) { r.Memory.TotalBytes = b(4000 * mib) })
		}},
		{"the kill releases below 2 %", 20*mib - 1, 20 * mib, has(codeVictimSmall), func(v uint64) *oom.Record {
			return system(victimAnon(v), func(r *oom.Record) { r.Memory.TotalBytes, r.Victim.SwapBytes = b(1000*mib), b(0) })
		}},
		{"below a tenth is free for sysrq-f", 400*mib - 1, 400 * mib, no(has(codeNotShort)), func(v uint64) *oom.Record {
			return system(func(r *oom.Record) {
				r.Sysrq, r.Trigger.Order, r.Memory.FreeBytes, r.Memory.TotalBytes = oom.Some(true), oom.Some(int32(-1)), b(v), b(4000*mib)
			})
		}},
		{"no victim, 90 % in use", 90 * mib, 90*mib - 1, has(codeLimitAnon), func(v uint64) *oom.Record {
			return limited(kind(oom.KindNoVictim), func(r *oom.Record) { r.Limit.UsageBytes, r.Limit.MaxBytes = b(v), b(100*mib) })
		}},
		{"from nothing to the limit in below an hour", 3599, 3600, has(codeGrewNew), func(v uint64) *oom.Record {
			return limited(history([2]uint64{v * 1000, 0}, [2]uint64{v * 750, 64}, [2]uint64{v * 500, 128}, [2]uint64{v * 250, 192}, [2]uint64{0, 256}))
		}},
		{"from below a tenth to the limit", 25, 26, has(codeGrewNew), func(v uint64) *oom.Record {
			step := (256 - v) / 2
			return limited(history([2]uint64{100e3, v}, [2]uint64{50e3, v + step}, [2]uint64{1, 256}, [2]uint64{0, 256}))
		}},
		{"a steady growth for a minute", 60e3, 59e3, no(says("too short")), func(v uint64) *oom.Record {
			return limited(history([2]uint64{v, 100}, [2]uint64{v * 2 / 3, 152}, [2]uint64{v / 3, 204}, [2]uint64{0, 256}))
		}},
		{"three quarters of a burst in 120 s", 160e3, 161e3, has(codeGrewBurst), func(v uint64) *oom.Record {
			return limited(history([2]uint64{v * 20, 100}, [2]uint64{v * 10, 100}, [2]uint64{v, 100}, [2]uint64{0, 256}))
		}},
		{"a burst in the last fifth of the time", 150e3, 149e3, has(codeGrewBurst), func(v uint64) *oom.Record {
			return limited(history([2]uint64{v, 100}, [2]uint64{v / 2, 100}, [2]uint64{40e3, 100}, [2]uint64{0, 256}))
		}},
		{"a leak 15 % off its line", 201, 202, has(codeGrewLeak), func(v uint64) *oom.Record {
			return limited(history([2]uint64{400e3, 100}, [2]uint64{300e3, 139}, [2]uint64{200e3, v}, [2]uint64{100e3, 217}, [2]uint64{0, 256}))
		}},
		{"two falls of a quarter", 49, 48, has(codeGrewSawtooth), func(v uint64) *oom.Record {
			return limited(history([2]uint64{400e3, 60}, [2]uint64{300e3, 200}, [2]uint64{290e3, 200 - v}, [2]uint64{200e3, 220}, [2]uint64{190e3, 220 - v}, [2]uint64{0, 256}))
		}},
		{"5 s before a burst", 5300, 5000, has(codeGrewBurst), func(v uint64) *oom.Record {
			return limited(history([2]uint64{v, 100}, [2]uint64{v / 2, 100}, [2]uint64{200, 100}, [2]uint64{0, 256}))
		}},
		{"steps for 10 s", 14e3, 13e3, has(codeGrewSteps), func(v uint64) *oom.Record {
			return limited(history([2]uint64{v, 60}, [2]uint64{v * 3 / 4, 60}, [2]uint64{v*3/4 - 1, 120}, [2]uint64{v / 2, 120}, [2]uint64{v/2 - 1, 180}, [2]uint64{100, 180}, [2]uint64{0, 256}))
		}},
		{"a rise after one fall in below 30 % of the time", 290e3, 301e3, has(codeGrewSawtooth), func(v uint64) *oom.Record {
			return limited(history([2]uint64{1000e3, 100}, [2]uint64{800e3, 160}, [2]uint64{600e3, 200}, [2]uint64{v, 60}, [2]uint64{v * 2 / 3, 125}, [2]uint64{v / 3, 190}, [2]uint64{0, 256}))
		}},
		{"an eighth of the range before that fall", 25, 24, has(codeGrewSawtooth), func(v uint64) *oom.Record {
			return limited(history([2]uint64{1000e3, 200}, [2]uint64{800e3, 200 - v}, [2]uint64{600e3, 200}, [2]uint64{200e3, 56}, [2]uint64{133e3, 123}, [2]uint64{67e3, 189}, [2]uint64{0, 256}))
		}},
		{"steps that are 8 % off the line", 123, 124, has(codeGrewSteps), func(v uint64) *oom.Record {
			return limited(history([2]uint64{400e3, 0}, [2]uint64{300e3, 50}, [2]uint64{200e3, 100}, [2]uint64{160e3, v}, [2]uint64{120e3, v}, [2]uint64{60e3, 180}, [2]uint64{20e3, 180}, [2]uint64{0, 200}))
		}},
		{"full for a minute", 60e3, 58e3, has(codeFullForLong), func(v uint64) *oom.Record {
			return limited(history([2]uint64{v + 10e3, 40}, [2]uint64{v + 1e3, 42}, [2]uint64{v, 256}, [2]uint64{v / 2, 256}, [2]uint64{0, 256}))
		}},
		{"a grower charged half of the growth", 78 * mib, 78*mib - 1, has(codeGrewNew), func(v uint64) *oom.Record {
			return limited(history([2]uint64{3600e3, 100}, [2]uint64{60e3, 100}, [2]uint64{4e3, 100}, [2]uint64{0, 256}), grower(3e9, v))
		}},
		{"a SIGKILL at 95 % of the limit", 95, 94, has(codeMemoryWasShort), func(v uint64) *oom.Record {
			return &oom.Record{Kind: oom.KindSigkill, Limit: &oom.Limit{UsageBytes: b(v), MaxBytes: b(100)}}
		}},
		{"a SIGKILL where one had waited", 10, 9, has(codeMemoryWasShort), func(v uint64) *oom.Record {
			some := &oom.PressureTime{Avg10Percent: oom.Some(float64(v))}
			return &oom.Record{Kind: oom.KindSigkill, Victim: &oom.Victim{CgroupPressure: &oom.Pressure{Some: some}}}
		}},
		{"a SIGKILL with a tenth free", 10, 9, has(codeMemoryWasFree), func(v uint64) *oom.Record {
			return &oom.Record{Kind: oom.KindSigkill, Memory: &oom.Memory{FreeBytes: b(v), TotalBytes: b(100)}}
		}},
		{"a share is an eighth and 1 MiB more than the machine has", 4501 * mib, 4501*mib + 1, is(codeMemoryKernel), func(v uint64) *oom.Record {
			return kernelHeavy(v-30*mib, 0) // stacks and page tables
		}},
		{"shares of a cut log are that much together", 4501 * mib, 4501*mib + 1, is(codeMemoryKernel), func(v uint64) *oom.Record {
			rec := kernelHeavy(2100*mib, 600*mib)
			set(&rec.Memory.Stat, oom.StatIsolatedFile, v-2836*mib)
			rec.Source, rec.Incomplete = oom.SourceKmsg, oom.Some(true)
			return rec
		}},
		{"kinds are that much of what is in use", 289 * mib, 289*mib + 1, sure(codeLimitAnon), func(v uint64) *oom.Record {
			return limited(victimAnon(0), limitStat(oom.LimitAnon, v-100*mib), limitStat(oom.LimitFile, 100*mib), limitStat(oom.LimitKernel, 0))
		}},
		{"the victim holds that much of it", 289 * mib, 289*mib + 1, sure(codeLimitAnon), func(v uint64) *oom.Record {
			return limited(victimAnon(v), func(r *oom.Record) { r.Limit.Stat = nil })
		}},
		{"a holder has that much", 4501 * mib, 4501*mib + 1, says("db (pid 7) holds"), func(v uint64) *oom.Record {
			return system(bystander(v), func(r *oom.Record) { r.Memory.TotalBytes = b(4000 * mib) })
		}},
		{"a quarter of the machine is page cache", 1000 * mib, 1000*mib - 1, no(sure(codeSwapNone)), func(v uint64) *oom.Record {
			return system(swap(0, 0), stat(oom.StatActiveFile, v), stat(oom.StatInactiveFile, 0), func(r *oom.Record) { r.Memory.TotalBytes = b(4000 * mib) })
		}},
		{"zram may hold half of what is missing", 1000 * mib, 1000*mib - 1, func(w *oom.Why) bool { return strings.Contains(w.Summary, "zram") }, func(v uint64) *oom.Record {
			rec := kernelHeavy(0, 0)
			set(&rec.Memory.Stat, oom.StatIsolatedFile, 1864*mib) // 2000 MiB are missing
			rec.Memory.SwapTotalBytes, rec.Memory.SwapFreeBytes = b(4000*mib), b(4000*mib-v)
			return rec
		}},
		{"of swap no more can be free than there is", 2 * gib, 2*gib + 1, has(codeSwapIdle), func(v uint64) *oom.Record { return system(swap(2*gib, v)) }},
		{"what is on the lists is no kernel memory", 128*mib - 1, 128*mib + 1, sure(codeLimitKernel), func(v uint64) *oom.Record {
			return limited(victimAnon(0), func(r *oom.Record) {
				r.Limit.Stat = oom.Stats{{Name: oom.LimitAnon}, {Name: oom.LimitFile}, {Name: oom.LimitShmem}, {Name: oom.LimitActiveAnon, Bytes: v}}
			})
		}},
		{"nine tenths of the limit are in use", 225 * mib, 225*mib - 1, func(w *oom.Why) bool {
			return w.Verdict == codeLimitAnon && !w.Unsure.Value && strings.Contains(w.Summary, "is used up")
		}, func(v uint64) *oom.Record {
			return limited(limitStat(oom.LimitAnon, 200*mib), func(r *oom.Record) { r.Limit.UsageBytes, r.Limit.MaxBytes = b(v), b(250*mib) })
		}},
		{"the kernel's and what no statistic has are 40 % together", 1600 * mib, 1600*mib - 1, no(sure(codeSwapFull)), func(v uint64) *oom.Record {
			rec := kernelHeavy(800*mib, 1500*mib)
			set(&rec.Memory.Stat, oom.StatIsolatedFile, 2394*mib-v)
			return rec
		}},
		{"an exit after 5 s", 5e9, 5e9 - 1, is(codeExitSlow), func(v uint64) *oom.Record {
			return &oom.Record{Kind: oom.KindExit, Exit: &oom.Exit{AfterNS: oom.Some(v)}}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if w := Of(tt.rec(tt.yes)); !tt.want(w) {
				t.Errorf("not at %d: %+v", tt.yes, w)
			}
			if w := Of(tt.rec(tt.below)); tt.want(w) {
				t.Errorf("still at %d: %+v", tt.below, w)
			}
		})
	}
}

// differ gives each task a name of its own.
func differ(r *oom.Record) {
	for i := range r.Candidates {
		r.Candidates[i].Comm = string(rune('a' + i))
	}
}

func overTheLimit(limit uint64) func(uint64) *oom.Record {
	return func(v uint64) *oom.Record {
		return limited(func(r *oom.Record) { r.Limit.MaxBytes, r.Limit.UsageBytes = b(limit), b(v) })
	}
}

func loweredBefore(ago uint64) *oom.Record {
	return limited(func(r *oom.Record) {
		r.Limit.Changed = &oom.LimitChange{FromBytes: b(512 * mib), ToBytes: b(256 * mib), AgoNS: oom.Some(ago)}
	})
}

func cgroupSwap(most uint64) func(uint64) *oom.Record {
	return func(v uint64) *oom.Record {
		return limited(func(r *oom.Record) { r.Limit.SwapUsageBytes, r.Limit.SwapMaxBytes = b(v), b(most) })
	}
}

// locked is a machine of 4000 MiB with so much unevictable, mlocked and anonymous memory.
func locked(unevictable, mlocked, anon uint64) *oom.Record {
	return system(stat(oom.StatUnevictable, unevictable), stat(oom.StatMlocked, mlocked), stat(oom.StatActiveAnon, anon), stat(oom.StatInactiveAnon, 0),
		func(r *oom.Record) {
			r.Memory.TotalBytes = b(4000 * mib)
			set(&r.Memory.Stat, oom.StatIsolatedFile, 4000*mib-unevictable-anon-300*mib) // nothing is missing
		})
}

// kernelHeavy is a machine of 4000 MiB with so much slab and anonymous memory.
func kernelHeavy(slab, anon uint64) *oom.Record {
	return system(stat(oom.StatSlabUnrecl, slab), stat(oom.StatActiveAnon, anon), stat(oom.StatInactiveAnon, 0),
		func(r *oom.Record) {
			r.Memory.TotalBytes = b(4000 * mib)
			set(&r.Memory.Stat, oom.StatIsolatedFile, sub(4000*mib, slab+anon+300*mib))
		})
}

// slabOf is slab that one counter has.
func slabOf(counter string, v uint64) change {
	return func(r *oom.Record) {
		r.Memory.Stat = slices.DeleteFunc(r.Memory.Stat, func(s oom.Stat) bool { return strings.HasPrefix(s.Name, "slab_") })
		set(&r.Memory.Stat, counter, v)
	}
}

// ballooned is a machine of 4000 MiB with so much in its balloon, missing otherwise, and anonymous.
func ballooned(balloon, missing, anon uint64) *oom.Record {
	return system(stat(oom.StatBalloon, balloon), stat(oom.StatActiveAnon, anon), stat(oom.StatInactiveAnon, 0),
		func(r *oom.Record) {
			r.Memory.TotalBytes = b(4000 * mib)
			set(&r.Memory.Stat, oom.StatIsolatedFile, 4000*mib-236*mib-anon-missing)
		})
}

// writing is a machine of 4000 MiB with page cache that waits to be written.
func writing(dirty, anon uint64) *oom.Record {
	return system(stat(oom.StatActiveAnon, anon), stat(oom.StatInactiveAnon, 0), stat(oom.StatInactiveFile, 2*gib+mib), stat(oom.StatFileDirty, dirty), func(r *oom.Record) {
		r.Memory.TotalBytes = b(4000 * mib)
		set(&r.Memory.Stat, oom.StatSlabUnrecl, 0)
	})
}

// lowSlab is a machine of 4000 MiB with little beside so much slab in the zones below HighMem,
// for a request of the kernel's. These have high marks of 10 MiB.
func lowSlab(slab, managed, free uint64) *oom.Record {
	return system(swap(0, 0), cmaMask, stat(oom.StatSlabUnrecl, slab), func(r *oom.Record) {
		r.Memory.TotalBytes, r.Memory.FreeBytes = b(4000*mib), b(free+3*mib)
		r.Memory.Zones = []oom.Zone{zone(0, "Normal", free, 7*mib, 10*mib), zone(0, "HighMem", 3*mib, 2*mib, 4*mib)}
		r.Memory.Zones[0].ManagedBytes, r.Memory.Zones[1].ManagedBytes = b(managed), b(4000*mib-managed)
	})
}
