package explain

import (
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// system explains an OOM of the page allocator.
func (e *Explainer) system() {
	f := &e.f
	e.zones()
	e.memoryLow()
	e.hugepages()
	e.manyTasks(f.total, f.kernelFixed, f.lruAnon)
	e.kernelMemory()
	e.sharedMemory()
	e.compressed()
	e.constrained()
	switch e.swap() {
	case swapNone:
		e.settle(codeSwapNone)
	case swapFull:
		e.settle(codeSwapFull)
	case swapNearlyFull:
		if code, most := e.swapRefused(); most {
			e.settle(code)
		}
		e.settle(codeSwapFull)
	case swapFree:
		e.settle(e.swapUnusedSystem())
	default:
		if e.has(codeMemoryLow) {
			e.settle(codeMemoryLow)
			e.unsure(codeMemoryLow, "any cause with swap: the record does not hold its state")
		}
	}
}

// Zone bits of gfp_mask, the same in all kernels (include/linux/gfp_types.h).
const (
	gfpHighmem = 0x02
	gfpMovable = 0x08
)

// zoneSum is what some zones hold together: those that the allocation can use,
// or the rest. spare is what they have above their marks and reserves.
type zoneSum struct {
	n, short         int
	free, high       uint64
	spare            uint64
	order            int32
	blocks, noBlocks int
	blockFree        uint64
}

// zones looks at each zone that the allocation could use. The last try before a
// kill is at the high watermark plus the zone's reserve (mm/page_alloc.c,
// __alloc_pages_may_oom, __zone_watermark_ok): a zone above it was refused for
// something else, such as the order.
func (e *Explainer) zones() {
	m := e.f.rec.Memory
	if m == nil {
		return
	}
	var usable, rest zoneSum
	if t := e.f.rec.Trigger; t != nil {
		usable.order = t.Order.Or(0)
	}
	guess := e.nodesUnknown()
	fullest, anyShort := e.fullestNode()
	for i := range m.Zones {
		z, of := &m.Zones[i], &rest
		// By the time of the kill, others may have given some memory back: the
		// kernel's word on the constraint stands, the node is the fullest then.
		if e.usable(z) && (!guess || e.nodeShort(z.Node) || !anyShort && z.Node == fullest) {
			of = &usable
		}
		of.add(z, e.reserve(z))
	}
	e.fragments(&usable)
	if usable.n > 0 && (usable.short == usable.n || guess || e.wasShort(&usable, &rest)) {
		e.shortage(&usable, &rest)
	}
}

// wasShort: a single page was refused, so that each zone was at its mark at the
// last try; what these have above it was given back since, on another CPU. It
// has to be little beside the rest: what is said of a shortage is what the
// record shows. Without an order or mask (0 for some page faults, mm/memory.c)
// no such try is known of. Seen on 5.10, 0.8 MiB in ZONE_DMA.
func (e *Explainer) wasShort(usable, rest *zoneSum) bool {
	t := e.f.rec.Trigger
	if t == nil || t.Order != oom.Some(int32(0)) || t.GFPMask.Or(0) == 0 {
		return false
	}
	return ratio(rest.spare, usable.spare, 8, 1)
}

// nodesUnknown: the kernel says that policy or cpuset limits the nodes, and the
// record does not hold which. They are then among those that are short.
func (e *Explainer) nodesUnknown() bool {
	rec := e.f.rec
	if rec.Scope != oom.ScopeCpuset && rec.Scope != oom.ScopeMempolicy {
		return false
	}
	t := rec.Trigger
	return t == nil || t.Nodemask == "" && t.MemsAllowed == ""
}

// nodeShort reports that all zones of the node are below their marks.
func (e *Explainer) nodeShort(node oom.Opt[int32]) bool {
	var z zoneSum
	zones := e.f.rec.Memory.Zones
	for i := range zones {
		if zones[i].Node == node && e.usable(&zones[i]) {
			z.add(&zones[i], e.reserve(&zones[i]))
		}
	}
	return z.n > 0 && z.short == z.n
}

// fullestNode is the node with the least memory free; short says that there is
// one whose zones all are.
func (e *Explainer) fullestNode() (fullest oom.Opt[int32], short bool) {
	var least zoneSum
	zones := e.f.rec.Memory.Zones
	for i := range zones {
		var node zoneSum
		for j := range zones {
			if zones[j].Node == zones[i].Node && e.usable(&zones[j]) {
				node.add(&zones[j], e.reserve(&zones[j]))
			}
		}
		if node.n > 0 && (least.n == 0 || node.free < least.free) {
			fullest, least = zones[i].Node, node
		}
		short = short || node.n > 0 && node.short == node.n
	}
	return fullest, short
}

func (z *zoneSum) add(zone *oom.Zone, reserve uint64) {
	mark := zone.HighBytes
	if !mark.Known {
		mark = zone.MinBytes
	}
	if !zone.FreeBytes.Known || !mark.Known {
		return
	}
	z.n++
	z.free, z.high = add(z.free, zone.FreeBytes.Value), add(z.high, mark.Value)
	if zone.FreeBytes.Value <= add(mark.Value, reserve) {
		z.short++
		return
	}
	z.spare = add(z.spare, sub(zone.FreeBytes.Value, add(mark.Value, reserve)))
	if z.order <= 0 || len(zone.FreeBlocks) == 0 {
		return
	}
	z.blocks++
	for i := int(z.order); i < len(zone.FreeBlocks); i++ {
		if zone.FreeBlocks[i] > 0 {
			return
		}
	}
	z.noBlocks++
	z.blockFree = add(z.blockFree, zone.FreeBytes.Value)
}

// usable reports whether the allocation may take from the zone: ZONE_MOVABLE
// only for movable memory, and only nodes that policy and cpuset name.
func (e *Explainer) usable(z *oom.Zone) bool {
	t := e.f.rec.Trigger
	if z.Zone == "Device" {
		return false
	}
	if t == nil {
		return true
	}
	if gfp, ok := t.GFPMask.Get(); ok {
		if z.Zone == "Movable" && gfp&(gfpHighmem|gfpMovable) != gfpHighmem|gfpMovable || z.Zone == "HighMem" && gfp&gfpHighmem == 0 {
			return false
		}
	}
	if !z.Node.Known || z.Node.Value < 0 {
		return true
	}
	return inList(t.Nodemask, z.Node.Value) && inList(t.MemsAllowed, z.Node.Value)
}

// reserve is what the zone keeps from this allocation. The entries are by zone
// type; DMA, DMA32, Normal is the order of the 64-bit kernels, and a movable
// allocation looks at the last of them, the largest.
func (e *Explainer) reserve(z *oom.Zone) uint64 {
	r := z.LowmemReserveBytes
	movable := true
	if t := e.f.rec.Trigger; t != nil && t.GFPMask.Known {
		movable = t.GFPMask.Value&(gfpHighmem|gfpMovable) == gfpHighmem|gfpMovable
	}
	if !movable && len(r) > 3 {
		r = r[:3]
	}
	var most uint64
	for _, v := range r {
		most = max(most, v)
	}
	return most
}

// inList reports whether a kernel list such as "0-1,4" holds n. A list that is
// absent, "(null)" or not a list holds every number.
func inList(list string, n int32) bool {
	if list == "" || list[0] < '0' || list[0] > '9' {
		return true
	}
	for len(list) > 0 {
		var part string
		part, list, _ = strings.Cut(list, ",")
		from, to, isRange := strings.Cut(part, "-")
		lo, ok := number(from)
		hi := lo
		if ok && isRange {
			hi, ok = number(to)
		}
		if !ok {
			return true
		}
		if lo <= n && n <= hi {
			return true
		}
	}
	return false
}

func number(s string) (int32, bool) {
	if s == "" || len(s) > 6 {
		return 0, false
	}
	var n int32
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int32(s[i]-'0')
	}
	return n, true
}

// fragments: every zone that has memory above its marks lacks a block of the
// order. Orders above 3 never reach the OOM killer (PAGE_ALLOC_COSTLY_ORDER).
func (e *Explainer) fragments(z *zoneSum) {
	if z.order <= 0 || z.blocks == 0 || z.noBlocks != z.blocks || z.n-z.short != z.blocks {
		return
	}
	e.reason(codeMemoryFragments).size(z.blockFree).s(" is free above the watermarks, but in no block of order ").n(int64(z.order))
	e.end()
	e.settle(codeMemoryFragments)
}

// shortage: all zones that the allocation could use are short, and the others
// could have served it: above their own high watermarks and reserves, which the
// last try before a kill must leave, they have more than the short ones' marks.
func (e *Explainer) shortage(z, rest *zoneSum) {
	if rest.spare <= z.high {
		return
	}
	code, words := codeNodeZone, "the zones that the allocation can use have "
	switch e.f.rec.Scope {
	case oom.ScopeCpuset:
		code, words = codeNodeCpuset, "the nodes of the cpuset have "
	case oom.ScopeMempolicy:
		code, words = codeNodeMempolicy, "the nodes of the memory policy have "
	}
	e.reason(code).s(words).size(z.free).s(" free, the rest of the machine ").size(rest.free)
	e.end()
	e.settle(code)
	if e.nodesUnknown() {
		e.unsure(code, "other nodes: which ones are allowed is not in the record")
	}
}

// constrained: the kernel says that cpuset or policy limits the nodes, and the
// machine as a whole is not short. What is true of the whole machine, such as
// that it has no swap, is then not why.
func (e *Explainer) constrained() {
	if e.verdict != "" || e.has(codeMemoryLow) {
		return
	}
	code, words := codeNodeCpuset, "the kernel limits the allocation to the nodes of the cpuset"
	switch e.f.rec.Scope {
	case oom.ScopeCpuset:
	case oom.ScopeMempolicy:
		code, words = codeNodeMempolicy, "the kernel limits the allocation to the nodes of the memory policy"
	default:
		return
	}
	t := e.reason(code).s(words)
	if e.f.free.Known {
		t.s("; the whole machine has ").size(e.f.free.Value).s(" free")
	}
	e.end()
	e.settle(code)
	e.unsure(code, "a shortage of the whole machine: the record does not show how short those nodes are")
}

// compressed: zram and zswap keep swap in the RAM. From 1/8 on that is worth a
// reason; from 1/4 on it is what swap needs most itself.
func (e *Explainer) compressed() {
	f := &e.f
	if !f.total.Known || !ratio(f.zspages.Value, f.total.Value, 1, 8) {
		return
	}
	e.reason(codeMemoryZram).sizeOf(f.zspages.Value, f.total.Value).s(" holds what zram or zswap keeps compressed")
	e.end()
}

// memoryLow: the machine's free memory is no more than its zones' high
// watermarks and reserves, or, without zones, 3 %: the high watermarks of a
// machine of 512 MiB or more add up to less (init_per_zone_wmark_min).
func (e *Explainer) memoryLow() {
	f := &e.f
	if !f.free.Known || f.rec.Memory == nil {
		return
	}
	var marks uint64
	for i := range f.rec.Memory.Zones {
		z := &f.rec.Memory.Zones[i]
		marks = add(marks, z.HighBytes.Value, e.reserve(z))
	}
	switch {
	case marks > 0 && f.free.Value <= marks:
		e.reason(codeMemoryLow).size(f.free.Value).s(" is free; the zones keep up to ").size(marks).s(" for themselves")
	case marks == 0 && f.total.Known && !ratio(f.free.Value, f.total.Value, 3, 100):
		e.reason(codeMemoryLow).sizeOf(f.free.Value, f.total.Value).s(" is free")
	default:
		return
	}
	e.end()
}

// hugepages: idle ones are worth a reason from 1/8 of the RAM on, and the
// verdict from 1/4 on: with that much back, nothing would have died yet.
func (e *Explainer) hugepages() {
	f := &e.f
	if !f.hugeIdle.Known || !f.total.Known || !ratio(f.hugeIdle.Value, f.total.Value, 1, 8) {
		return
	}
	e.reason(codeMemoryHugepages).sizeOf(f.hugeIdle.Value, f.total.Value).s(" is set aside as huge pages that nobody uses")
	e.end()
	if ratio(f.hugeIdle.Value, f.total.Value, 1, 4) {
		e.settle(codeMemoryHugepages)
	}
	if f.hugeLate {
		e.unsure(codeMemoryHugepages, "huge pages that the victim gave back: they were counted after the kill")
	}
}

// kernelMemory: 40 % of the RAM and more than what could be swapped; with less,
// swap would have made room. Where that part is not known, half.
func (e *Explainer) kernelMemory() {
	f := &e.f
	if !f.total.Known || !f.kernelFixed.Known {
		return
	}
	kernel, total := f.kernelFixed.Value, f.total.Value
	if dominates(kernel, total, f.lruAnon) {
		e.reason(codeMemoryKernel).sizeOf(kernel, total).s(" is kernel memory that cannot be swapped: slab, stacks, page tables, per-CPU, vmalloc")
		e.end()
		e.settle(codeMemoryKernel)
	}
	if m := f.missing.Value; dominates(m, total, f.lruAnon) {
		t := e.reason(codeMemoryMissing).sizeOf(m, total).s(" is in none of the statistics here (drivers, balloon")
		if !f.vmallocKnown {
			t.s(", vmalloc")
		}
		if !f.hugeKnown {
			t.s(", or huge pages")
		}
		t.s(")")
		e.end()
		e.settle(codeMemoryMissing)
		if !f.hugeKnown {
			e.unsure(codeMemoryMissing, "huge pages: the record does not hold their number")
		}
	}
}

// dominates reports whether part is 40 % of whole and more than the swappable
// memory, or half of whole where that is not known.
func dominates(part, whole uint64, swappable size) bool {
	if !swappable.Known {
		return ratio(part, whole, 1, 2)
	}
	return ratio(part, whole, 2, 5) && part > swappable.Value
}

// sharedMemory is a reason from 1/4 of the RAM on: it outlives its processes, so
// that a kill need not free it.
func (e *Explainer) sharedMemory() {
	f := &e.f
	if !f.total.Known || !ratio(f.sysShmem.Value, f.total.Value, 1, 4) {
		return
	}
	e.reason(codeMemoryShmem).sizeOf(f.sysShmem.Value, f.total.Value).s(" is tmpfs or shared memory")
	e.end()
}

// swapBusy is for swap that is free and allowed, with anonymous memory to swap.
// Pages under writeback (of files and swap alike) show that reclaim was at it;
// from 1/64 of the RAM on that is more than a few batches. It is never sure.
func (e *Explainer) swapBusy() string {
	f := &e.f
	used := sub(f.swapTotal.Value, f.swapFree.Value)
	if f.total.Known && ratio(f.writeback.Value, f.total.Value, 1, 64) && ratio(used, f.swapTotal.Value, 1, 20) {
		e.reason(codeSwapTooSlow).size(used).s(" of swap is in use and ").size(f.writeback.Value).s(" is under writeback")
		e.end()
		e.unsure(codeSwapTooSlow, "other work of the same disks")
		return codeSwapTooSlow
	}
	if f.total.Known && ratio(f.zspages.Value, f.total.Value, 1, 4) {
		e.unsure(codeMemoryZram, "swapping that was too slow")
		return codeMemoryZram
	}
	t := e.reason(codeSwapUnexplained).s("swap was free, and the record does not show why it was not used: ").size(f.swapFree.Value).s(" free")
	if f.swappiness.Known {
		t.s(", vm.swappiness ").u(uint64(f.swappiness.Value))
	}
	e.end()
	doubt := "swapping that was too slow"
	if !f.swappiness.Known {
		doubt = "a swappiness of 0, locked memory or slow swapping"
	} else if !f.unevictable.Known {
		doubt = "locked memory or slow swapping"
	}
	e.unsure(codeSwapUnexplained, doubt)
	return codeSwapUnexplained
}
