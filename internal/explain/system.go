package explain

import (
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// system explains an OOM of the page allocator.
func (e *explanation) system() {
	e.memoryLow()
	if !e.minTTL() {
		e.zones()
	}
	e.faultFailed()
	if e.mostReserved() {
		e.ballooned() // whatever holds the rest
	}
	e.hugepages()
	private := e.lruAnon // shmem is on these lists too
	private.Value = sub(private.Value, e.sysShmem.Value)
	e.manyTasks(e.total, e.kernelFixed, private)
	e.kernelMemory()
	e.locked(e.total, e.unevictable, e.lruAnon)
	e.sharedMemory()
	e.dirtyCache()
	e.compressed()
	e.ballooned()
	e.hugeShare(e.total.Value)
	e.protected(e.total)
	e.constrained()
	e.onlyCMA()
	e.heldBack()
	e.noBlocksCached()
	e.systemSwap()
	e.protectedRest()
	e.grew()
	e.holder()
}

// minTTL: kswapd asks for a kill itself where the multi-generational LRU has too little that is
// older than min_ttl_ms (mm/vmscan.c, lru_gen_age_node), whatever is free, in any zone. For its
// own requests it never does: they may take the reserves.
func (e *explanation) minTTL() bool {
	t, doubt := e.trigger, ""
	switch node, kswapd := strings.CutPrefix(t.Comm, "kswapd"); {
	case e.sysrq:
		return false
	case e.inStack("lru_gen_age_node", "balance_pgdat"):
	case kswapd && node != "" && strings.Trim(node, "0123456789") == "" && len(t.KernelStack) == 0 &&
		t.Order == oom.Some(int32(0)) && t.GFPMask.Known && t.GFPMask.Value&(gfpHighmem|gfpMovable) == 0:
		doubt = "another program of that name: the record lacks its stack"
	default:
		return false
	}
	swapLeft := ratio(e.swapFree.Value, e.swapTotal.Value, 1, 5)
	f := finding{code: codeMinTTL, doubt: doubt,
		text: "kswapd asked for the kill: lru_gen/min_ttl_ms keeps what was used lately, and too little else could be reclaimed" +
			when(swapLeft, ", with "+partText(e.swapFree.Value, e.swapTotal.Value)+" of swap free")}
	// Otherwise it would have come to a kill a little later without that setting.
	f.settles = swapLeft || !e.swapTotal.Known || !e.tight() || ratio(e.lruFile.Value, e.total.Value, 1, 4)
	f.aside = when(!f.settles, "kswapd asked for the kill, as lru_gen/min_ttl_ms has it")
	if f.settles || doubt == "" {
		e.add(f)
	}
	return true
}

// systemSwap says what swap has to do with it. Why free swap was not used is asked
// only where nothing else explains the kill.
func (e *explanation) systemSwap() {
	code := e.swap()
	if code == codeSwapIdle {
		e.isolated()
	}
	switch {
	case code != codeSwapoff && e.cacheMost():
		code = codeMemoryLow
	case code == codeSwapIdle && !e.settled():
		code = e.swapUnusedSystem()
	case code == swapNearlyFull:
		code = codeSwapFull
		if !e.settled() {
			if refused, most := e.swapRefused(); most {
				code = refused
			}
		}
	case code == "" && e.has(codeMemoryLow):
		code = codeMemoryLow
		e.unsure(code, "any cause with swap: the record does not hold its state")
	}
	e.settle(code)
	e.freeUnused()
	e.cacheLeft()
}

// usableCache is the page cache that must be in zones that the request may use: what the others
// cannot hold.
func (e *explanation) usableCache() uint64 {
	z, others := &e.held, uint64(0)
	switch {
	case z.n == 0:
	case !z.noManaged:
		others = sub(e.total.Value, z.managed)
	case z.n < len(e.memory.Zones):
		others = e.total.Value
	}
	return sub(e.lruFile.Value, others)
}

// cacheMost: with most of the memory in clean page cache, and more than swap or mlock hold back, it is
// reclaim of the cache that failed, whatever the state of swap.
func (e *explanation) cacheMost() bool {
	f := e.get(codeMemoryLow)
	stays := e.lruAnon
	stays.Value = add(stays.Value, e.unevictable.Value)
	if e.settled() || e.contradicts || e.sysrq || e.nodesOnly() || f == nil || ratio(e.minKept, e.total.Value, 1, 4) ||
		e.droppable.Value > e.lruFile.Value || !dominates(sub(e.usableCache(), e.fileDirty.Value), e.total.Value, stays) {
		return false
	}
	f.lead = e.shortage() + ": " + partText(e.lruFile.Value, e.total.Value) + " is page cache that reclaim did not drop"
	f.doubt = "cache that was read in again at once, or that a file system holds"
	for _, code := range [...]string{codeSwapNone, codeSwapFull} {
		if swap := e.get(code); swap != nil {
			swap.aside = ""
		}
	}
	return true
}

// isolated: a task in direct reclaim takes pages off the lists while it writes them out, 32 or as
// many huge ones at a time, and others wait once there are too many (mm/vmscan.c,
// too_many_isolated). With a quarter of the RAM off the lists, swap did not keep up.
func (e *explanation) isolated() {
	if !ratio(e.isolatedAnon.Value, e.total.Value, 1, 4) {
		return
	}
	text := partText(e.isolatedAnon.Value, e.total.Value) + " is anonymous memory off the LRU lists (isolated), as reclaim has it on the way to swap"
	e.add(finding{code: codeSwapTooSlow, text: text, aside: text,
		lead: e.outOfSwap("probably did not take memory fast enough: " + text), doubt: "compaction or migration, which isolate pages too"})
}

// cacheLeft: reclaim drops page cache and slab before the kernel kills. With a quarter of the memory
// in either, a state of swap does not say why, nor with as much of the kernel's and in no statistic
// together as either would have to be, nor where numbers contradict each other.
func (e *explanation) cacheLeft() {
	doubt := ""
	switch {
	case e.contradicts:
		doubt = "another cause: what the record counts is more than the machine has"
	case ratio(e.lruFile.Value, e.total.Value, 1, 4):
		doubt = "page cache that reclaim was too slow to drop: " + sizeText(e.lruFile.Value) + " of it is left"
		if !ratio(e.usableCache(), e.total.Value, 1, 4) {
			doubt = "a shortage of the zones that the request may use: the others may hold the page cache (" + sizeText(e.lruFile.Value) + ")"
		}
	case ratio(e.droppable.Value, e.total.Value, 1, 4):
		doubt = "kernel memory that reclaim was too slow to drop, or that is in use: " + sizeText(e.droppable.Value) + " counts as reclaimable"
	case dominates(e.elsewhere.Value, e.total.Value, e.lruAnon) && !ratio(max(e.victim.AnonRSSBytes.Value, e.tasksAnon()), e.nodes.Value, 1, 2):
		doubt = "memory that swap cannot take: " + sizeText(e.elsewhere.Value) + " is in no statistic, on these nodes or on others"
	case dominates(add(e.kernelFixed.Value, e.missing.Value), e.total.Value, e.swappableMost()):
		doubt = sprintf("memory that swap cannot take: %s is the kernel's, and %s in no statistic", sizeText(e.kernelFixed.Value), sizeText(e.missing.Value))
	case !e.total.Known && e.swappableMost().Known && e.kernelFixed.Value > e.swappableMost().Value:
		doubt = sprintf("memory that swap cannot take: %s is the kernel's, more than there is to swap", sizeText(e.kernelFixed.Value))
	default:
		return
	}
	switch code := e.cause(); code {
	case codeSwapNone, codeSwapFull, codeMemoryLow:
		e.unsure(code, doubt)
	case codeSwapUnexplained:
		f := e.get(code)
		f.doubt = doubt + "; or " + f.doubt
	}
}

// freeUnused: with a tenth of the memory free, and not all zones of the request short, a
// state of swap does not say why.
func (e *explanation) freeUnused() {
	free, total := e.freeListed()
	if e.has(codeMemoryLow) || e.zonesShort || !ratio(free.Value, total.Value, 1, 10) {
		return
	}
	doubt := "something that is no shortage: " + sizeText(free.Value) + " is free" +
		when(ratio(e.freeCMA.Value, free.Value, 1, 2), ", "+sizeText(e.freeCMA.Value)+" of it CMA")
	switch code := e.cause(); code {
	case codeSwapNone, codeSwapFull, codeSwapUnexplained:
		e.get(code).doubt = doubt // whatever else it could be
	}
}

// freeListed is what the machine has free, of how much. Where a log is cut so that it lacks how
// much there is, it is that of the zones that it lists.
func (e *explanation) freeListed() (free, total size) {
	if e.total.Known {
		return e.free, e.total
	}
	for _, z := range e.memory.Zones {
		if !z.FreeBytes.Known || !z.ManagedBytes.Known {
			return size{}, size{}
		}
		free, total = sum(free, z.FreeBytes), sum(total, z.ManagedBytes)
	}
	return free, total
}

// faultFailed: a page fault that failed asks for a kill without a mask (mm/oom_kill.c,
// pagefault_out_of_memory). The page allocator, if it was that, had asked with its own before.
// With a tenth of the memory free and no zones in the record, it was something else.
func (e *explanation) faultFailed() {
	if e.settled() || e.sysrq || len(e.memory.Zones) > 0 || e.trigger.GFPMask != oom.Some(uint32(0)) ||
		!all(e.free, e.total).Known || e.tight() {
		return
	}
	text := "memory was not short: " + partText(e.free.Value, e.total.Value) + " is free"
	e.add(finding{code: codeNotShort, text: text, lead: text + "; a page fault failed for another reason",
		doubt: "a shortage of zones or nodes that the record does not hold", settles: true})
}

// tight: with less than a tenth of the memory free, a kill that was asked for has a
// shortage behind it, as daemons see one.
func (e *explanation) tight() bool {
	return all(e.free, e.total).Known && !ratio(e.free.Value, e.total.Value, 1, 10)
}

// roomy is for a kill that was asked for with memory left.
func (e *explanation) roomy() {
	if all(e.free, e.total).Known {
		e.add(finding{code: codeNotShort, text: "memory was not short: " + partText(e.free.Value, e.total.Value) + " is free", settles: true})
	}
}

// memoryLow: the machine's free memory is no more than its zones' high
// watermarks and reserves, or, without zones, 3 %: the high watermarks of a
// machine of 512 MiB or more add up to less (init_per_zone_wmark_min).
func (e *explanation) memoryLow() {
	if !e.free.Known {
		return
	}
	marks := sumOf(e.memory.Zones, e.keeps)
	lead := "no memory is free beyond what the zones reserve (" + sizeText(e.free.Value) + ")"
	switch {
	case marks > 0 && e.free.Value <= marks:
		e.add(finding{code: codeMemoryLow, lead: lead,
			text: sprintf("%s is free; the zones reserve up to %s", sizeText(e.free.Value), sizeText(marks))})
	case marks == 0 && e.total.Known && !ratio(e.free.Value, e.total.Value, 3, 100):
		e.add(finding{code: codeMemoryLow, lead: lead, text: partText(e.free.Value, e.total.Value) + " is free"})
	}
}

// hugepages: idle ones are a reason from 1/8 of the RAM on, and the
// verdict from 1/4 on: with that much back, nothing would have died yet. Those in use
// are as good as locked.
func (e *explanation) hugepages() {
	late := slices.Contains(e.rec.Sampled, oom.SampledHugepages) // counted after the kill
	if ratio(e.hugeIdle.Value, e.total.Value, 1, 8) {
		text := partText(e.hugeIdle.Value, e.total.Value) + " is set aside as huge pages that "
		if first(e.memory.Stat, oom.StatHugepagesRsvd).Known {
			text += "no process uses"
		} else { // the kernel's log has no count of those that are promised to a mapping
			text += "are free or reserved"
		}
		e.add(finding{code: codeMemoryHugepages, text: text, lead: e.shortage() + ": " + text, settles: ratio(e.hugeIdle.Value, e.total.Value, 1, 4),
			doubt: when(late, "huge pages that the victim gave back: they were counted after the kill")})
	}
	if ratio(e.hugeHeld.Value, e.total.Value, 1, 4) {
		text := partText(e.hugeHeld.Value, e.total.Value) + " is huge pages (hugetlb) in use or reserved"
		e.add(finding{code: codeHugepagesUsed, text: text, aside: text, lead: e.shortage() + ": " + text + e.moreSwap(),
			settles: dominates(e.hugeHeld.Value, e.total.Value, e.lruAnon),
			doubt:   when(late, "another number of them: they were counted after the kill")})
	}
}

// moreSwap ends a sentence on memory that swap cannot take.
func (e *explanation) moreSwap() string {
	switch {
	case !e.swapTotal.Known || e.swapTotal.Value > 0 && !e.swapFree.Known:
		return ""
	case e.swapTotal.Value == 0:
		return "; no swap is configured, and swap would not help"
	case e.swapClass(e.swapFree.Value) == codeSwapIdle:
		return sprintf("; swap (%s, %s free) cannot take it", sizeText(e.swapTotal.Value), percentText(e.swapFree.Value, e.swapTotal.Value))
	}
	return "; swap is used up, and more of it would not help"
}

// kernelMemory: what the kernel holds, and what no statistic has, is a reason from 1/4 of the RAM
// on. The verdict it is from 40 % on, if that is more than what could be swapped; with less, swap
// would have made room. Where that part is not known, half.
func (e *explanation) kernelMemory() {
	if e.kernelFixed.Known {
		e.kernelHolds()
		e.nothingCounts()
	}
}

func (e *explanation) kernelHolds() {
	kernel, total := e.kernelFixed.Value, e.total.Value
	var texts, asides []string
	if ratio(kernel, total, 1, 4) {
		// Of what GPU drivers hold, some can go to swap.
		text := partText(kernel, total) + " is kernel memory" + when(!ratio(e.gpu.Value, kernel, 1, 2), ", which cannot be swapped")
		short := text
		if d := e.kernelDetail(kernel); d != "" {
			text += ": " + d
			short += e.biggestPart(kernel)
		}
		texts, asides = append(texts, text), append(asides, short)
	}
	if ratio(e.droppable.Value, total, 1, 4) {
		text := partText(e.droppable.Value, total) + " is kernel memory that counts as reclaimable (dentries, inodes, drivers' pools)"
		texts, asides = append(texts, text), append(asides, text)
	}
	if len(texts) == 0 {
		return
	}
	text := strings.Join(texts, "; ")
	if zones := e.get(codeMemoryKernel); zones != nil { // see slabInZones
		zones.text += "; " + text
		return
	}
	e.add(finding{code: codeMemoryKernel, text: text + e.allocated(e.kernelSite()), lead: e.shortage() + ": " + texts[0],
		aside:   strings.Join(asides, "; "),
		settles: dominates(kernel, total, e.swappableMost()),
		doubt:   when(!first(e.memory.Stat, oom.StatSlabUnrecl).Known, "slab that can be dropped: this kernel counts it with the rest")})
	if slab := first(e.memory.Stat, oom.StatSlabUnrecl).Value; e.cause() != codeMemoryKernel && slab > kernel/2 && ratio(kernel, total, 1, 4) {
		e.mostOfSlab(slab)
	}
}

// biggestPart names the part that is most of the kernel's memory.
func (e *explanation) biggestPart(kernel uint64) string {
	for _, p := range e.kernelParts {
		if p.Value > kernel/2 {
			return " (" + p.name + " " + sizeText(p.Value) + ")"
		}
	}
	return ""
}

// nothingCounts: the profile of allocations, where the kernel keeps one, says what it is.
func (e *explanation) nothingCounts() {
	m, total, site := e.missing.Value, e.total.Value, e.missingSite()
	if !ratio(m, total, 1, 4) {
		return
	}
	if !dominates(m, total, e.swappableMost()) {
		text := partText(m, total) + " is in no statistic of this record" + e.allocated(site)
		e.add(finding{code: codeMemoryMissing, text: text + when(site == nil, ": it may be "+e.uncounted()), aside: text})
		return
	}
	text := partText(m, total) + " is in none of the kernel's statistics" + e.allocated(site)
	if hint := e.kernelHint(); site == nil && hint != "" {
		text += ", probably " + hint + ", which the trigger was adding to"
	}
	e.add(finding{code: codeMemoryMissing, text: text, lead: e.shortage() + ": " + text, doubt: when(site == nil, e.uncounted()), settles: true})
}

// uncounted are the guesses at memory that no statistic of this record holds.
func (e *explanation) uncounted() string {
	s := "pages of drivers, ZFS or a balloon, pipes, sockets"
	if e.kernelHint() != "" {
		s = "pages of drivers, ZFS or a balloon"
	}
	// What is swapped out is the most that zram and zswap hold.
	if e.swapTotal.Value > 0 && !e.zspages.Known && (!e.swapFree.Known || ratio(e.swapped(), e.missing.Value, 1, 2)) {
		s = "what zram or zswap holds, " + s
	}
	for _, counter := range [...][2]string{
		{oom.StatKernelStack, "kernel stacks"}, {oom.StatVmalloc, "vmalloc"}, {oom.StatPercpu, "per-CPU memory"}, {oom.StatHugepagesTotal, "huge pages"},
	} {
		if !first(e.memory.Stat, counter[0]).Known {
			s += ", " + counter[1]
		}
	}
	return s
}

// kernelSite is the biggest site that may have allocated what is counted as the kernel's.
func (e *explanation) kernelSite() *oom.Allocation {
	return e.site(func(bytes uint64) bool {
		return bytes > 0 && !exceeds(bytes, add(e.kernelFixed.Value, e.droppable.Value))
	})
}

// missingSite is the site that allocated half or more of what no statistic has: more than what it
// could have put into slab or page cache, which are counted.
func (e *explanation) missingSite() *oom.Allocation {
	counted := add(e.kernelFixed.Value, e.droppable.Value, e.lruFile.Value)
	return e.site(func(bytes uint64) bool { return ratio(bytes, e.missing.Value, 1, 2) && bytes > counted })
}

// site is the biggest allocation site that fits. Those below mm/ are for memory of processes, page
// cache and slab, whoever asked.
func (e *explanation) site(fits func(bytes uint64) bool) *oom.Allocation {
	list := e.memory.Allocations
	for i := range list {
		if !strings.HasPrefix(list[i].Site, "mm/") && fits(list[i].Bytes.Value) {
			return &list[i]
		}
	}
	return nil
}

// allocated names a site by its function, if the kernel did: FILE:LINE [MODULE] func:NAME.
func (e *explanation) allocated(a *oom.Allocation) string {
	if a == nil {
		return ""
	}
	site, rest, _ := strings.Cut(a.Site, " ")
	if _, function, ok := strings.Cut(rest, "func:"); ok {
		return sprintf("; %s (%s) allocated %s", name(function), name(site), sizeText(a.Bytes.Value))
	}
	return sprintf("; %s allocated %s", name(a.Site), sizeText(a.Bytes.Value))
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
func (e *explanation) sharedMemory() {
	if ratio(e.sysShmem.Value, e.total.Value, 1, 4) {
		text := partText(e.sysShmem.Value, e.total.Value) + " is tmpfs or shared memory"
		e.add(finding{code: codeMemoryShmem, text: text, aside: text})
	}
}

// compressed: zram and zswap keep swap in the RAM. From 1/8 on that is a
// reason; from 1/4 on it is what swap needs most itself. From 3/4 of what is
// swapped out on hardly any of that has left the RAM.
func (e *explanation) compressed() {
	if !ratio(e.zspages.Value, e.total.Value, 1, 8) {
		return
	}
	text := partText(e.zspages.Value, e.total.Value) + " holds what zram or zswap keeps compressed" +
		when(e.gainless(), ", for "+sizeText(e.swapped())+" that is swapped out")
	e.add(finding{code: codeMemoryZram, text: text, lead: e.outOfSwap("could not take more: " + text),
		aside: when(ratio(e.zspages.Value, e.total.Value, 1, 4), text+when(e.gainless(), "; more of that swap would not help"))})
}

// gainless: what is swapped out stays in the RAM nearly whole. A zram that holds more than that
// is not for swap alone.
func (e *explanation) gainless() bool {
	return ratio(e.zspages.Value, e.swapped(), 3, 4) && ratio(e.swapped(), e.zspages.Value, 4, 5)
}

// mostReserved: nine tenths of the RAM are not for use.
func (e *explanation) mostReserved() bool {
	reserved := first(e.memory.Stat, oom.StatReserved).Value
	return e.total.Known && ratio(reserved, add(e.total.Value, reserved), 9, 10)
}

// restUsed: neither swap nor what reclaim drops has a quarter left.
func (e *explanation) restUsed() bool {
	return !ratio(e.swapFree.Value, e.swapTotal.Value, 1, 4) && !ratio(add(e.lruFile.Value, e.droppable.Value), e.total.Value, 1, 4)
}

const notForUse = " is not for use: reserved at boot (crashkernel=, firmware, KASAN), or taken by a balloon of the hypervisor"

// ballooned: most balloons take their pages from the total, as taking memory offline does. Where
// the kernel does not count the balloon's, either may have made the total less; and what is present
// but not in it may have been reserved at boot as well.
func (e *explanation) ballooned() {
	if !e.total.Known || e.has(codeMemoryBalloon) {
		return
	}
	total, reserved, doubt := e.total.Value, first(e.memory.Stat, oom.StatReserved).Value, ""
	var texts []string
	if e.mostReserved() {
		texts = append(texts, "all but "+sizeText(total)+" of "+sizeText(add(total, reserved))+" of RAM"+notForUse)
	}
	if c := e.memory.TotalChanged; c != nil && ratio(sub(c.FromBytes.Value, c.ToBytes.Value), c.FromBytes.Value, 1, 8) {
		texts = append(texts, sprintf("the machine's memory shrank from %s to %s within %s", sizeText(c.FromBytes.Value), sizeText(c.ToBytes.Value), spanText(c.AgoNS.Value))+
			when(!e.balloon.Known, ": a balloon of the hypervisor took it, or it was taken offline")+
			when(isNone(e.balloon), ": it was taken offline"))
	}
	switch {
	case e.balloonIn && ratio(e.balloon.Value, total, 1, 8):
		texts = append(texts, partText(e.balloon.Value, total)+" belongs to the hypervisor's balloon")
		doubt = when(reserved >= e.balloon.Value, "pages of drivers or ZFS: the balloon's may be among those that the total is without")
	case !e.balloonIn && ratio(e.balloon.Value, add(total, e.balloon.Value), 1, 8):
		texts = append(texts, sizeText(e.balloon.Value)+" more belongs to the hypervisor's balloon")
	case len(texts) == 0 && ratio(reserved, add(total, reserved), 1, 8):
		texts = append(texts, partText(reserved, add(total, reserved))+" of the RAM"+notForUse)
	}
	if len(texts) == 0 {
		return
	}
	text := strings.Join(texts, "; ")
	e.add(finding{code: codeMemoryBalloon, text: text, aside: text, lead: e.shortage() + ": " + text, doubt: doubt,
		settles: e.mostReserved() && e.restUsed() || e.balloonIn && dominates(e.balloon.Value, total, e.lruAnon)})
}

// constrained: the kernel says that cpuset or policy limits the nodes, and the
// machine as a whole is not short. What is true of the whole machine, such as
// that it has no swap, is then not why.
func (e *explanation) constrained() {
	if !e.nodesOnly() || e.settled() || e.has(codeMemoryLow) {
		return
	}
	if len(e.memory.Zones) > 0 && e.total.Known && e.rec.Source == oom.SourceKmsg {
		return // those that the log lists are those nodes', and they are as short as the rest
	}
	code, nodes := e.constraint()
	text := "the kernel limits the allocation to " + nodes + when(e.free.Known, "; the whole machine has "+sizeText(e.free.Value)+" free")
	e.add(finding{code: code, text: text + e.shrunk(), settles: true,
		doubt: "a shortage of the whole machine: the record does not show how short those nodes are"})
}
