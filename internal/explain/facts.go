package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// size is a number of bytes that may be unknown. One that is has the value 0, of which nothing is
// a share, nor is it one of anything: see ratio.
type size = oom.Opt[uint64]

// unkillable is the oom_score_adj of tasks that are never killed.
const unkillable = -1000

// facts are the numbers of one record, brought to one form: names of cgroup v1
// and v2, and of the log and BPF, made alike.
type facts struct {
	rec *oom.Record
	// What the record lacks of these is empty here. Where it matters whether it does, rec says.
	victim  *oom.Victim
	trigger *oom.Trigger
	limit   *oom.Limit
	memory  *oom.Memory
	cgroup  bool
	sysrq   bool

	// The cgroup at its limit.
	usage, max                   size
	memsw                        bool
	clean                        bool // dirty holds all there is, so the rest is clean
	anon, shmem, cache, dirty    size
	hugetlb                      size
	cacheOrShmem                 uint64 // in cache, yet may be shared memory
	kernel                       size   // sockets included
	kernelParts                  []part // or of the machine's
	limitUnevictable, swapcached size

	// nodes is the RAM of the nodes that a cpuset or a memory policy allows.
	nodes size

	// The machine.
	total, free, swapTotal, swapFree size
	swapLate                         bool // read after the kill
	swapGiven                        size // of the victim's, taken off swapFree
	lruAnon, lruFile                 size
	lruBoth                          size // of kernels that do not tell the two
	unevictable, mlocked             size
	kernelFixed, missing             size
	elsewhere                        size // missing, on whatever nodes
	droppable                        size // of the kernel's, what its shrinkers should give back
	isolatedAnon                     size // among lruAnon
	hugeIdle, hugeHeld               size
	sysShmem, writeback              size // of the latter, what may be swap's
	fileDirty                        size // page cache that waits to be written
	zspages, freeCMA, gpu            size
	balloon                          size
	balloonIn                        bool // the total has the balloon's pages

	// group is the cgroup whose memory.oom.group killed, at groupLevel of the victim's.
	group      *oom.CgroupLimit
	groupLevel int

	// contradicts: the parts are more than the whole, so that they are not of one OOM.
	contradicts bool
}

// The parts of the kernel's memory that memory.stat has no name for: of v2 what its counters
// leave, of v1 all of it.
const (
	uncounted = "in no counter"
	kmemOnly  = "in kmem, which v1 does not break down"
)

const zswapPart = "zswap"

// statUnstable is what NFS wrote and the server has not committed: page cache, up to 5.7.
const statUnstable = "unstable_bytes"

const secondTables = "page tables of KVM or the IOMMU"

// part is a named share of the kernel's memory.
type part struct {
	name string
	size
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

// isNone says that there is none, which is not to say that it is unknown.
func isNone(v size) bool { return v.Known && v.Value == 0 }

// all adds the values; it is unknown if one of them is.
func all(v ...size) size {
	for _, x := range v {
		if !x.Known {
			return size{}
		}
	}
	return sum(v...)
}

// sumOf adds a number of each item.
func sumOf[T any](list []T, number func(*T) uint64) (s uint64) {
	for i := range list {
		s = add(s, number(&list[i]))
	}
	return s
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

func gather(rec *oom.Record) facts {
	f := facts{rec: rec, victim: orEmpty(rec.Victim), trigger: orEmpty(rec.Trigger), limit: orEmpty(rec.Limit), memory: orEmpty(rec.Memory)}
	f.cgroup = rec.Scope == oom.ScopeCgroup || rec.Scope == "" && rec.Limit != nil
	f.sysrq = rec.Sysrq.Or(false) || f.trigger.Order.Or(0) == -1
	f.gatherGroup()
	f.gatherLimit()
	f.gatherMemory()
	f.gatherNodes()
	return f
}

// orEmpty is what p points to, or else nothing known.
func orEmpty[T any](p *T) *T {
	if p == nil {
		p = new(T)
	}
	return p
}

// gatherGroup finds the topmost cgroup with memory.oom.group, from the victim's up
// to the one at its limit, as mem_cgroup_get_oom_group has it (mm/memcontrol.c).
func (f *facts) gatherGroup() {
	for i := range f.victim.CgroupLimits {
		c := &f.victim.CgroupLimits[i]
		if c.OOMGroup.Or(false) {
			f.group, f.groupLevel = c, i
		}
		if f.isLimit(c) {
			return
		}
	}
}

// isLimit says whether a level is the cgroup at its limit: paths may be cut, and then alike.
func (f *facts) isLimit(c *oom.CgroupLimit) bool {
	switch l := f.rec.Limit; {
	case !f.cgroup || l == nil:
		return false
	case l.CgroupID.Known && c.CgroupID.Known:
		return l.CgroupID == c.CgroupID
	default:
		return c.Cgroup == l.Cgroup
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

func (f *facts) gatherLimit() {
	l, st := f.limit, f.limit.Stat
	f.usage, f.max = l.UsageBytes, l.MaxBytes
	f.anon = first(st, oom.LimitAnon, oom.LimitV1RSS)
	f.gatherCache(st)
	f.hugetlb = first(st, oom.LimitHugetlb)
	f.limitUnevictable = first(st, oom.LimitUnevictable)
	sock, known := first(st, oom.LimitSock), f.gatherKernelParts(st)
	f.kernel = first(st, oom.LimitKernel)
	name := uncounted
	if !f.kernel.Known {
		f.kernel = l.KmemUsageBytes // v1: all of it, the parts are not
		if !known.Known {
			name = kmemOnly
		}
	}
	whole := f.kernel.Known
	if !whole {
		f.kernel = known
	}
	f.gatherDirty(st, sum(f.kernel, sock, f.hugetlb))
	if !whole && f.usage.Known && f.anon.Known && f.cache.Known {
		// Before 5.18 memory.stat has no sum of the kernel's memory, and part of
		// it (pipes, page tables before 5.11) in no counter: what is charged is
		// anonymous, page cache, or the kernel's (mm/memcontrol.c).
		lists := sum(first(st, oom.LimitActiveAnon), first(st, oom.LimitInactiveAnon), first(st, oom.LimitActiveFile),
			first(st, oom.LimitInactiveFile), first(st, oom.LimitUnevictable))
		user := max(add(f.anon.Value, f.cache.Value, f.shmem.Value), lists.Value) // no counter has swap cache before 5.12
		rest := sub(sub(f.usage.Value, user), add(sock.Value, f.hugetlb.Value))
		f.kernel = oom.Some(max(f.kernel.Value, rest))
	}
	f.gatherUncounted(name, sub(f.kernel.Value, known.Value))
	f.addParts(part{"sockets", sock})
	f.kernel = sum(f.kernel, sock)
	f.gatherMemsw()
}

// addParts adds what is not 0 to the parts of the kernel's memory, and returns the sum.
func (f *facts) addParts(parts ...part) (known size) {
	for _, p := range parts {
		if known = sum(known, p.size); p.Value > 0 {
			f.kernelParts = append(f.kernelParts, p)
		}
	}
	return known
}

// gatherCache tells page cache from tmpfs and shared memory, which is in the same counter.
// v1 of old kernels (RHEL 7, 4.4) has no counter of the latter; but pages of files are on the
// LRU lists of files, and shared memory is on the anonymous ones (mm/shmem.c,
// __SetPageSwapBacked). What of the cache is on neither is unevictable, and may be either.
func (f *facts) gatherCache(st oom.Stats) {
	f.shmem, f.cache = first(st, oom.LimitShmem), first(st, oom.LimitFile, oom.LimitV1Cache)
	switch {
	case !f.cache.Known:
	case f.shmem.Known:
		f.cache.Value = sub(f.cache.Value, f.shmem.Value)
	default:
		files := all(first(st, oom.LimitActiveFile), first(st, oom.LimitInactiveFile))
		anon := all(first(st, oom.LimitActiveAnon), first(st, oom.LimitInactiveAnon))
		cache := first(st, oom.LimitV1Cache)
		if f.cache = (size{}); !all(cache, files, anon, f.anon).Known {
			return
		}
		f.shmem = oom.Some(min(sub(cache.Value, files.Value), sub(anon.Value, f.anon.Value)))
		f.cache = oom.Some(sub(cache.Value, f.shmem.Value))
		f.cacheOrShmem = sub(f.cache.Value, files.Value)
	}
}

// gatherKernelParts takes the counters that add up to the kernel's memory.
func (f *facts) gatherKernelParts(st oom.Stats) size {
	slab := first(st, oom.LimitSlab)
	if !slab.Known {
		slab = sum(first(st, oom.LimitSlabUnrecl), first(st, oom.LimitSlabReclaimable))
	}
	return f.addParts(
		part{"slab", slab}, part{"page tables", first(st, oom.LimitPagetables)}, part{"kernel stacks", first(st, oom.LimitKernelStack)},
		part{"per-CPU memory", first(st, oom.LimitPercpu)}, part{"vmalloc", first(st, oom.LimitVmalloc)},
		part{secondTables, first(st, oom.LimitSecPagetables)},
		part{zswapPart, first(st, oom.LimitZswap)}, // mm/memcontrol.c, obj_cgroup_charge_zswap
	)
}

// gatherUncounted is for kernel memory that no counter has. Before 5.11 that is where
// page tables are, of which the victim's are known.
func (f *facts) gatherUncounted(name string, rest uint64) {
	if !first(f.limit.Stat, oom.LimitPagetables).Known {
		tables := min(f.victim.PgtablesBytes.Value, rest)
		f.addParts(part{"page tables of this process", oom.Some(tables)})
		rest -= tables
	}
	if len(f.limit.Stat) > 0 {
		f.addParts(part{name, oom.Some(rest)})
	}
}

// gatherDirty takes swap's pages out of the page cache. On their way to swap and
// back they are in the swap cache, which memory.stat counts as file, and in
// writeback (mm/swap_state.c, mm/page_io.c); to their owner they are
// anonymous memory.
func (f *facts) gatherDirty(st oom.Stats, kernel size) {
	dirty, writeback := first(st, oom.LimitFileDirty, oom.LimitV1Dirty), first(st, oom.LimitFileWriteback, oom.LimitV1Writeback)
	f.clean = all(dirty, writeback).Known
	f.swapcached = first(st, oom.LimitSwapcached)
	if cached := f.swapcached.Value; cached > 0 {
		// Some kernels count it with the files; where all kinds leave room for it, it is not.
		if add(f.anon.Value, f.cache.Value, f.shmem.Value, kernel.Value, cached) > f.usage.Value {
			f.cache.Value = sub(f.cache.Value, cached)
		}
		f.addSwapcached(cached, kernel)
		writeback.Value = sub(writeback.Value, cached)
	}
	f.dirty = sum(dirty, writeback)
}

// addSwapcached adds to the anonymous memory what the swap cache alone holds.
// What is mapped as well counts as anonymous already, while each page is charged
// once: both together are no more than what the other kinds leave of the usage.
func (f *facts) addSwapcached(cached uint64, kernel size) {
	if !f.anon.Known {
		return
	}
	both := add(f.anon.Value, cached)
	if f.usage.Known {
		rest := sub(f.usage.Value, add(f.cache.Value, f.shmem.Value, kernel.Value))
		both = min(both, max(f.anon.Value, rest))
	}
	f.anon.Value = both
}

func (f *facts) gatherMemory() {
	m, st := f.memory, f.memory.Stat
	f.total, f.free = m.TotalBytes, m.FreeBytes
	f.swapTotal, f.swapFree = m.SwapTotalBytes, m.SwapFreeBytes
	if f.swapTotal.Known && f.swapFree.Value > f.swapTotal.Value {
		f.swapFree = size{}
	}
	f.gatherLateSwap()
	f.lruAnon, f.isolatedAnon = all(first(st, oom.StatActiveAnon), first(st, oom.StatInactiveAnon)), first(st, oom.StatIsolatedAnon)
	if f.lruAnon.Known { // off the lists only for as long as reclaim or migration is at it
		f.lruAnon = sum(f.lruAnon, f.isolatedAnon)
	}
	f.lruFile = all(first(st, oom.StatActiveFile), first(st, oom.StatInactiveFile))
	f.lruBoth = all(first(st, "active_bytes"), first(st, "inactive_bytes"))
	f.unevictable, f.mlocked = first(st, oom.StatUnevictable), first(st, oom.StatMlocked)
	f.sysShmem = first(st, oom.StatShmem)
	f.gatherWriteback(m)
	f.freeCMA, f.balloon, f.zspages = first(st, oom.StatFreeCMA), first(st, oom.StatBalloon), first(st, oom.StatZspages)
	f.gatherKernel(st)
	f.gatherHuge(st)
	f.leaveOut(f.gatherMissing(st))
}

// swappableMost is what is on the LRU lists of anonymous memory, or what is on both kinds: no less.
func (f *facts) swappableMost() size { return cmp.Or(f.lruAnon, f.lruBoth) }

// gatherKernel takes the kernel's own memory: what stays, and what it should drop by itself.
func (f *facts) gatherKernel(st oom.Stats) {
	stacks, tables := first(st, oom.StatKernelStack), first(st, oom.StatPageTable, oom.LimitPagetables)
	slab, vmalloc, second := first(st, oom.StatSlabUnrecl), first(st, oom.StatVmalloc), first(st, oom.StatSecPageTable)
	f.gpu, f.droppable = first(st, oom.StatGPUActive), first(st, oom.StatSlabReclaimable)
	if both := first(st, "slab_bytes"); !slab.Known && both.Known { // up to 2.6.31
		slab, f.droppable = both, oom.Some(uint64(0))
	}
	if f.droppable.Known {
		f.droppable = sum(f.droppable, first(st, oom.StatKernelMisc), first(st, oom.StatGPUReclaim))
	}
	if f.kernelFixed = slab; slab.Known {
		// Most kernels have their stacks there too (CONFIG_VMAP_STACK).
		vmalloc.Value = sub(vmalloc.Value, stacks.Value)
		f.kernelFixed = sum(slab, stacks, tables, second, first(st, oom.StatPercpu), first(st, oom.StatBounce), vmalloc, f.gpu)
	}
	if f.cgroup {
		return
	}
	f.addParts(
		part{"slab", slab}, part{"kernel stacks", stacks}, part{"page tables", tables}, part{secondTables, second},
		part{"per-CPU memory", first(st, oom.StatPercpu)}, part{"vmalloc", vmalloc}, part{"GPU drivers", f.gpu},
	)
}

// gatherMissing finds what is left of the RAM after everything that the kernel counts, which it
// returns: pages that were taken straight from the allocator. Balloons leave their pages in the
// total that deflate on OOM (virtio) or that can be told to (VMware): no adjust_managed_page_count
// (mm/balloon_compaction.c). They are then what would be missing.
func (f *facts) gatherMissing(st oom.Stats) (known size) {
	known = all(f.free, cmp.Or(all(f.lruAnon, f.lruFile, f.unevictable), f.lruBoth), f.kernelFixed, f.droppable)
	if !f.total.Known || !known.Known {
		return known
	}
	known = sum(known, first(st, oom.StatHugepagesTotal), f.zspages, first(st, oom.StatIsolatedFile), first(st, oom.StatFreePCP), first(st, oom.StatHWPoisoned))
	f.missing = oom.Some(sub(f.total.Value, known.Value))
	if f.balloonIn = ratio(f.missing.Value, f.balloon.Value, 7, 8); f.balloonIn {
		known = sum(known, f.balloon)
		f.missing = oom.Some(sub(f.missing.Value, f.balloon.Value))
	}
	return known
}

// gatherWriteback parts the pages under writeback: those to swap are in the swap cache, the
// others are files' (NR_WRITEBACK counts both). Up to 5.7 what NFS wrote and the server has
// not committed has a counter of its own.
func (f *facts) gatherWriteback(m *oom.Memory) {
	f.writeback = first(m.Stat, oom.StatFileWriteback, "writeback_bytes")
	dirty := first(m.Stat, oom.StatFileDirty, "dirty_bytes")
	files := f.writeback
	switch {
	case m.SwapCacheBytes.Known:
		files.Value = sub(files.Value, m.SwapCacheBytes.Value)
		f.writeback.Value = min(f.writeback.Value, m.SwapCacheBytes.Value)
	case !isNone(m.SwapTotalBytes):
		files.Value = 0
	}
	f.fileDirty = sum(dirty, files, first(m.Stat, statUnstable))
}

// exceeds says whether parts are more than the whole by an eighth and 1 MiB: counters are read
// one after the other, and each CPU is behind with its share.
func exceeds(parts, whole uint64) bool { return parts > add(whole, whole/8, 1<<20) }

// leaveOut drops the shares of the machine's memory that are more than it has, and of a log that
// is cut all where they are together: lines of two reports may be mixed in it.
func (f *facts) leaveOut(known size) {
	if !f.total.Known {
		return
	}
	f.contradicts = f.rowsLost() && exceeds(known.Value, f.total.Value)
	for _, part := range [...]*size{
		&f.free, &f.lruAnon, &f.lruFile, &f.unevictable, &f.mlocked, &f.kernelFixed, &f.hugeIdle, &f.hugeHeld, &f.sysShmem,
		&f.zspages, &f.writeback, &f.droppable, &f.gpu, &f.isolatedAnon,
	} {
		if exceeds(part.Value, f.total.Value) {
			f.contradicts, *part = true, size{}
		}
	}
	if f.contradicts && !f.cgroup {
		var no size
		f.kernelFixed, f.missing, f.hugeIdle, f.hugeHeld, f.unevictable, f.droppable = no, no, no, no, no, no
	}
}

func (f *facts) gatherHuge(st oom.Stats) {
	huge, free := first(st, oom.StatHugepagesTotal), first(st, oom.StatHugepagesFree)
	if free.Known {
		// Reserved pages are promised to a mapping: free, but not unused.
		f.hugeIdle = oom.Some(sub(free.Value, first(st, oom.StatHugepagesRsvd).Value))
		f.hugeHeld = size{Value: sub(huge.Value, f.hugeIdle.Value), Known: huge.Known}
	}
}

// gatherLateSwap: where the kernel hides its variables, swap is read once the
// kill has happened, and what the victim had there may be free by then. It is
// taken off, for the question is what was free before.
func (f *facts) gatherLateSwap() {
	f.swapLate = slices.Contains(f.rec.Sampled, oom.SampledSwapFree)
	if swapped := f.victim.SwapBytes; f.swapLate && f.swapFree.Known && swapped.Known {
		f.swapGiven = oom.Some(min(swapped.Value, f.swapFree.Value))
		f.swapFree.Value -= f.swapGiven.Value
	}
}

// gatherMemsw is for v1, where the limit that was hit may be the one on memory and swap
// together: a charge asks it first (mm/memcontrol.c, try_charge_memcg), also where it is no
// higher than that on memory. What is swapped out is anonymous memory then.
func (f *facts) gatherMemsw() {
	l, usage, maximum := f.limit, f.limit.MemswUsageBytes, f.limit.MemswMaxBytes
	if !ratio(usage.Value, maximum.Value, 99, 100) {
		return
	}
	if l.MaxBytes.Known && (maximum.Value < l.MaxBytes.Value || ratio(l.UsageBytes.Value, l.MaxBytes.Value, 99, 100)) {
		return
	}
	f.memsw = true
	if f.anon.Known && l.UsageBytes.Known {
		f.anon.Value = add(f.anon.Value, sub(usage.Value, l.UsageBytes.Value))
	}
	f.usage, f.max = usage, maximum
}

// nodesOnly reports that the kernel counts some nodes only, and which it names.
func (f *facts) nodesOnly() bool {
	return f.rec.Scope == oom.ScopeCpuset || f.rec.Scope == oom.ScopeMempolicy
}

// gatherNodes: what a limited request can draw on is the RAM of its nodes and all swap
// (mm/oom_kill.c, constrained_alloc). What no statistic has may be on the other nodes: of
// these the log has neither zones nor, from 6.0 on, huge pages (hugetlb_show_meminfo_node).
func (f *facts) gatherNodes() {
	if !f.nodesOnly() {
		return
	}
	if ram := sub(f.rec.DomainBytes.Value, f.swapTotal.Value); f.swapTotal.Known && ram > 0 && (!f.total.Known || !exceeds(ram, f.total.Value)) {
		f.nodes = oom.Some(ram)
	}
	if f.rec.Source == oom.SourceKmsg {
		f.elsewhere, f.missing = f.missing, size{}
	}
}

// whole is the memory that ran out: the cgroup's, or the machine's, or some nodes'.
func (f *facts) whole() size {
	if f.cgroup {
		return cmp.Or(f.usage, f.max) // the first that is known
	}
	return cmp.Or(f.nodes, f.total)
}

// inStack reports that one of the functions is in the trigger's kernel stack.
func (f *facts) inStack(names ...string) bool {
	for _, frame := range f.trigger.KernelStack {
		frame, _, _ = strings.Cut(frame, "+")
		frame, _, _ = strings.Cut(frame, ".") // .isra.0 and the like
		if slices.Contains(names, frame) {
			return true
		}
	}
	return false
}

// kernelHint guesses from what the trigger was doing what kernel memory it is of.
func (f *facts) kernelHint() string {
	for _, h := range []struct {
		words string
		names []string
	}{
		{"data in pipes", []string{"pipe_write", "anon_pipe_write", "alloc_pipe_info", "pipe_fcntl", "pipe_resize_ring"}},
		{"data in sockets", []string{"unix_dgram_sendmsg", "unix_stream_sendmsg", "tcp_sendmsg", "udp_sendmsg", "sock_alloc_send_pskb", "netlink_sendmsg"}},
		{"BPF maps", []string{"map_create", "bpf_map_area_alloc", "__bpf_map_area_alloc", "htab_map_alloc"}},
		{"io_uring", []string{"io_uring_setup", "__do_sys_io_uring_setup"}},
	} {
		if f.inStack(h.names...) {
			return h.words
		}
	}
	return ""
}
