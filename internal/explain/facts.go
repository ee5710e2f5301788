package explain

import (
	"slices"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// size is a number of bytes that may be unknown.
type size = oom.Opt[uint64]

// facts are the numbers of one record, brought to one form: names of cgroup v1
// and v2, and of the log and BPF, made alike.
type facts struct {
	rec    *oom.Record
	cgroup bool
	sysrq  bool

	// The cgroup at its limit.
	usage, max                                 size
	memsw                                      bool
	clean                                      bool // dirty holds all there is, so the rest is clean
	anon, shmem, cache, dirty, kernel, sock    size
	kernelSlab, kernelTables, limitUnevictable size
	swapcached, limitWriteback                 size

	// The machine.
	total, free, swapTotal, swapFree size
	swapLate                         bool   // read after the kill
	swapGiven                        uint64 // of the victim's, taken off swapFree
	swapGivenKnown                   bool
	swappiness                       oom.Opt[uint32]
	lruGen                           oom.Opt[bool]
	lruAnon, lruFile                 size
	unevictable, mlocked             size
	kernelFixed, missing             size
	hugeIdle, sysShmem, writeback    size
	hugeKnown, hugeLate              bool // late: counted after the kill
	vmallocKnown                     bool
	zspages                          size

	// The victim: rss, swap and page tables are what the kernel's points count.
	victimSize, victimAnon size
}

// sum adds those of the values that are known; it is unknown if none is.
func sum(v ...size) size {
	var s size
	for _, x := range v {
		if x.Known {
			s = oom.Some(add(s.Value, x.Value))
		}
	}
	return s
}

// all adds the values; it is unknown if one of them is.
func all(v ...size) size {
	for _, x := range v {
		if !x.Known {
			return size{}
		}
	}
	return sum(v...)
}

// first returns the first of the names that the statistics hold.
func first(s oom.Stats, names ...string) size {
	for _, n := range names {
		if v, ok := s.Get(n); ok {
			return oom.Some(v)
		}
	}
	return size{}
}

func (f *facts) gather(rec *oom.Record) {
	*f = facts{rec: rec}
	f.cgroup = rec.Scope == oom.ScopeCgroup || rec.Scope == "" && rec.Limit != nil
	f.sysrq = rec.Sysrq.Or(false) || rec.Trigger != nil && rec.Trigger.Order.Or(0) == -1
	if rec.Limit != nil {
		f.gatherLimit(rec.Limit)
	}
	if rec.Memory != nil {
		f.gatherMemory(rec.Memory)
	}
	if v := rec.Victim; v != nil {
		f.victimAnon = v.AnonRSSBytes
		f.victimSize = taskSize(v.RSSBytes, v.SwapBytes, v.PgtablesBytes)
	}
}

// taskSize is what oom_badness counts. Without the resident size there is none;
// swap and page tables only make it bigger.
func taskSize(rss, swap, tables size) size {
	if !rss.Known {
		return size{}
	}
	return sum(rss, swap, tables)
}

func (f *facts) gatherLimit(l *oom.Limit) {
	st := l.Stat
	f.usage, f.max = l.UsageBytes, l.MaxBytes
	f.anon = first(st, oom.LimitAnon, oom.LimitV1RSS)
	f.shmem = first(st, oom.LimitShmem)
	f.cache = first(st, oom.LimitFile, oom.LimitV1Cache)
	if f.cache.Known {
		f.cache = oom.Opt[uint64]{Value: sub(f.cache.Value, f.shmem.Value), Known: f.shmem.Known}
	}
	f.gatherDirty(st)
	f.sock = first(st, oom.LimitSock)
	f.kernelSlab = first(st, oom.LimitSlab)
	if !f.kernelSlab.Known {
		f.kernelSlab = sum(first(st, oom.LimitSlabUnrecl), first(st, oom.LimitSlabReclaimable))
	}
	f.kernelTables = first(st, oom.LimitPagetables)
	f.kernel = first(st, oom.LimitKernel)
	if !f.kernel.Known {
		f.kernel = l.KmemUsageBytes // v1: all of it, the parts are not
	}
	if !f.kernel.Known {
		f.kernel = sum(f.kernelSlab, f.kernelTables, first(st, oom.LimitKernelStack), first(st, oom.LimitPercpu), first(st, oom.LimitVmalloc))
	}
	if !first(st, oom.LimitKernel).Known && !l.KmemUsageBytes.Known && f.usage.Known && f.anon.Known && f.cache.Known {
		// Before 5.18 memory.stat has no sum of the kernel's memory, and part of
		// it (pipes, page tables before 5.11) in no counter: what is charged is
		// anonymous, page cache, or the kernel's (mm/memcontrol.c).
		rest := sub(sub(sub(f.usage.Value, f.anon.Value), f.cache.Value), sum(f.shmem, f.sock).Value)
		f.kernel = oom.Some(max(f.kernel.Value, rest))
	}
	f.kernel = sum(f.kernel, f.sock)
	f.limitUnevictable = first(st, oom.LimitUnevictable)
	f.gatherMemsw(l)
}

// gatherDirty takes swap's pages out of the page cache. On their way to swap and
// back they are in the swap cache, which memory.stat counts as file, and in
// writeback (mm/swap_state.c, mm/page_io.c); to whom they belong they are
// anonymous memory.
func (f *facts) gatherDirty(st oom.Stats) {
	dirty, writeback := first(st, oom.LimitFileDirty, oom.LimitV1Dirty), first(st, oom.LimitFileWriteback, oom.LimitV1Writeback)
	f.clean = all(dirty, writeback).Known
	f.limitWriteback = writeback
	f.swapcached = first(st, oom.LimitSwapcached)
	if cached := min(f.swapcached.Value, f.cache.Value); cached > 0 {
		f.cache.Value -= cached
		f.anon = f.withSwapcached(st, cached)
		writeback.Value = sub(writeback.Value, cached)
	}
	f.dirty = sum(dirty, writeback)
}

// withSwapcached is the anonymous memory with what the swap cache alone holds.
// What is mapped as well counts as anonymous already: the lists of anonymous
// pages, which have shmem too, hold each page once.
func (f *facts) withSwapcached(st oom.Stats, cached uint64) size {
	if !f.anon.Known {
		return f.anon
	}
	both := add(f.anon.Value, cached)
	if lru := all(first(st, oom.LimitActiveAnon), first(st, oom.LimitInactiveAnon)); lru.Known {
		both = min(both, max(f.anon.Value, sub(lru.Value, f.shmem.Value)))
	}
	return oom.Some(both)
}

func (f *facts) gatherMemory(m *oom.Memory) {
	st := m.Stat
	f.total, f.free = m.TotalBytes, m.FreeBytes
	f.swapTotal, f.swapFree = m.SwapTotalBytes, m.SwapFreeBytes
	f.swappiness, f.lruGen = m.Swappiness, m.LRUGen
	f.gatherLateSwap()
	f.lruAnon = all(first(st, oom.StatActiveAnon), first(st, oom.StatInactiveAnon))
	f.lruFile = all(first(st, oom.StatActiveFile), first(st, oom.StatInactiveFile))
	f.unevictable, f.mlocked = first(st, oom.StatUnevictable), first(st, oom.StatMlocked)
	f.sysShmem = first(st, oom.StatShmem)
	f.writeback = first(st, oom.StatFileWriteback, "writeback_bytes")
	tables := sum(first(st, oom.StatPageTable, oom.LimitPagetables), first(st, oom.StatSecPageTable))
	unreclaimable := first(st, oom.StatSlabUnrecl)
	f.kernelFixed = all(unreclaimable, first(st, oom.StatKernelStack), tables)
	if f.kernelFixed.Known {
		f.kernelFixed = sum(f.kernelFixed, first(st, oom.StatPercpu), first(st, oom.StatBounce))
		if vmalloc := first(st, oom.StatVmalloc); vmalloc.Known {
			// Most kernels have their stacks there too (CONFIG_VMAP_STACK).
			f.kernelFixed = sum(f.kernelFixed, oom.Some(sub(vmalloc.Value, first(st, oom.StatKernelStack).Value)))
			f.vmallocKnown = true
		}
	}
	huge, hugeFree := first(st, oom.StatHugepagesTotal), first(st, oom.StatHugepagesFree)
	f.hugeKnown = huge.Known
	f.hugeLate = slices.Contains(f.rec.Sampled, oom.SampledHugepages)
	if hugeFree.Known {
		// Reserved pages are promised to a mapping: free, but not unused.
		f.hugeIdle = oom.Some(sub(hugeFree.Value, first(st, oom.StatHugepagesRsvd).Value))
	}
	// What is left of the RAM after everything that the kernel counts: pages
	// that a driver, a balloon or vmalloc took straight from the allocator.
	f.zspages = first(st, oom.StatZspages)
	known := all(f.free, f.lruAnon, f.lruFile, f.unevictable, f.kernelFixed, first(st, oom.StatSlabReclaimable))
	if f.total.Known && known.Known {
		known = sum(known, huge, f.zspages, first(st, oom.StatIsolatedAnon), first(st, oom.StatIsolatedFile))
		f.missing = oom.Some(sub(f.total.Value, known.Value))
	}
}

// gatherLateSwap: where the kernel hides its variables, swap is read once the
// kill has happened, and what the victim had there may be free by then. It is
// taken off, for the question is what was free before.
func (f *facts) gatherLateSwap() {
	if f.swapLate = slices.Contains(f.rec.Sampled, oom.SampledSwapFree); !f.swapLate || !f.swapFree.Known {
		return
	}
	if v := f.rec.Victim; v != nil && v.SwapBytes.Known {
		f.swapGivenKnown, f.swapGiven = true, min(v.SwapBytes.Value, f.swapFree.Value)
		f.swapFree.Value -= f.swapGiven
	}
}

// gatherMemsw is for v1, where the limit that was hit may be the one on memory
// and swap together. What is swapped out is anonymous memory then.
func (f *facts) gatherMemsw(l *oom.Limit) {
	usage, maximum := l.MemswUsageBytes, l.MemswMaxBytes
	if !usage.Known || !maximum.Known || !ratio(usage.Value, maximum.Value, 99, 100) {
		return
	}
	if l.MaxBytes.Known && (maximum.Value <= l.MaxBytes.Value || ratio(l.UsageBytes.Value, l.MaxBytes.Value, 99, 100)) {
		return
	}
	f.memsw = true
	if f.anon.Known && l.UsageBytes.Known {
		f.anon.Value = add(f.anon.Value, sub(usage.Value, l.UsageBytes.Value))
	}
	f.usage, f.max = usage, maximum
}
