package explain

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Zone bits of gfp_mask, the same in all kernels (include/linux/gfp_types.h).
const (
	gfpDMA     = 0x01
	gfpHighmem = 0x02
	gfpDMA32   = 0x04
	gfpMovable = 0x08
)

// zoneSum is what some zones hold together: those that the allocation can use,
// or the rest. spare is what they have above their marks and reserves.
type zoneSum struct {
	n, short         int
	free, high, min  uint64
	boost            uint64 // within the marks
	reserved         uint64 // what is free above the high marks, and within the reserves
	noMin            bool   // a zone's low mark is not known
	managed          uint64
	noManaged        bool   // or what it manages
	cma              uint64 // of what is free; not for all requests
	spare            uint64
	fit              uint64 // of spare, what is in blocks of the order or higher
	fitFree, fitHigh uint64 // what is free in such blocks, and the marks of these zones
	order            int32
	halves           bool   // the kernel wants more than one block of the order
	movable          bool   // the request may use CMA
	guessed          bool   // a mark or a node is not known
	oneNode          bool   // and need not be
	blocks, noBlocks int    // zones above their marks with a list of blocks, and those without a block that will do
	fits, blockless  int    // zones that are more than their reserve, and those without a block that will do
	overMin          uint64 // what the latter have above their min marks and reserves
	tooFewBlocks     bool   // and one of them has some
}

// zones looks at each zone that the allocation could use. The last try before a
// kill is at the high watermark plus the zone's reserve (mm/page_alloc.c,
// __alloc_pages_may_oom, __zone_watermark_ok): a zone above it was refused for
// something else, such as the order.
func (e *explanation) zones() {
	usable, rest := zoneSum{movable: e.movable(), oneNode: e.oneNode(), order: e.trigger.Order.Or(0)}, zoneSum{movable: true}
	usable.halves = e.rec.Source == oom.SourceKmsg && len(e.trigger.GFPFlags) == 0
	guess, anyShort, fullest := e.nodesUnknown(), true, oom.Opt[int32]{}
	if guess {
		fullest, anyShort = e.fullestNode()
	}
	for i := range e.memory.Zones {
		z, of := &e.memory.Zones[i], &rest
		// By the time of the kill, others may have given some memory back: the
		// kernel's word on the constraint stands, the node is the fullest then.
		if e.usable(z) && (!guess || e.nodeSum(z.Node).allShort() || !anyShort && z.Node == fullest) {
			of = &usable
		}
		of.add(z, e.reserve(z))
	}
	e.unlisted(&rest)
	if usable.n == 0 && rest.n > 0 && e.rec.Source == oom.SourceKmsg && e.rec.Trigger != nil {
		e.noUsableZone()
		return
	}
	e.zonesShort, e.held = usable.allShort(), usable
	e.fragments(&usable)
	if usable.n > 0 && (e.zonesShort || guess || e.wasShort(&usable, &rest)) {
		e.shortZones(&usable, &rest)
	}
	e.slabInZones(&usable)
	if !guess {
		e.notShort(&usable)
	}
}

// noUsableZone: the kernel's log lists the zones of the nodes that the request was limited
// to, and it may use none of them: nodes of ZONE_MOVABLE alone, for the kernel's own memory.
func (e *explanation) noUsableZone() {
	nodes := e.trigger.MemsAllowed
	if e.rec.Scope == oom.ScopeMempolicy {
		nodes = e.trigger.Nodemask
	}
	others := func(z oom.Zone) bool { return !z.Node.Known || !oom.InNodes(nodes, z.Node.Value) }
	if !e.nodesOnly() || slices.ContainsFunc(e.memory.Zones, others) {
		return // the log holds zones of others, so that it need not hold all of these
	}
	code, whose := e.constraint()
	free := sumOf(e.memory.Zones, func(z *oom.Zone) uint64 { return z.FreeBytes.Value })
	e.add(finding{code: code, text: whose + " have no zone that the request may use; the zones that they have hold " + sizeText(free) + " free",
		doubt: when(e.rec.Incomplete.Or(false), "a shortage of zones that the log lacks: it is cut"), settles: true})
}

// constraint is the code for the nodes that the kernel limits the request to, and what they are
// called; without such a limit, those for its zones.
func (f *facts) constraint() (code, whose string) {
	switch f.rec.Scope {
	case oom.ScopeCpuset:
		return codeNodeCpuset, "the nodes of the cpuset"
	case oom.ScopeMempolicy:
		return codeNodeMempolicy, "the nodes of the memory policy"
	}
	return codeNodeZone, "the zones that the allocation can use"
}

// oneNode: a kernel without NUMA names no node in its log.
func (e *explanation) oneNode() bool {
	return e.rec.Source == oom.SourceKmsg && !e.nodesOnly() &&
		!slices.ContainsFunc(e.memory.Zones, func(z oom.Zone) bool { return z.Node.Known })
}

// unlisted: the kernel's report leaves out the zones that the request may not use
// (mm/show_mem.c, show_free_areas). What the machine has free beyond those listed is
// the rest's; of it, 3 % of what is not listed may be the rest's watermarks.
func (e *explanation) unlisted(rest *zoneSum) {
	if e.rec.Source != oom.SourceKmsg || rest.n > 0 || !all(e.free, e.total).Known || len(e.memory.Zones) == 0 {
		return
	}
	managed := sumOf(e.memory.Zones, func(z *oom.Zone) uint64 { return z.ManagedBytes.Value })
	rest.free = sub(e.free.Value, sumOf(e.memory.Zones, func(z *oom.Zone) uint64 { return z.FreeBytes.Value }))
	rest.spare = sub(rest.free, mul(sub(e.total.Value, managed), 3)/100)
}

// wasShort: a single page was refused, so that each zone was at its mark at the
// last try; what these have above it was given back since, on another CPU. It
// has to be little beside the rest: what is said of a shortage is what the
// record shows. Without an order or mask (0 for some page faults, mm/memory.c)
// no such try is known of. Seen on 5.10, 0.8 MiB in ZONE_DMA.
func (e *explanation) wasShort(usable, rest *zoneSum) bool {
	return e.trigger.Order == oom.Some(int32(0)) && e.trigger.GFPMask.Or(0) != 0 && ratio(rest.spare, usable.spare, 8, 1)
}

// notShort: the zones that the request may use have more above their high watermarks
// and reserves than these marks are, and 1/32 of the RAM, in blocks of the order. Whatever failed,
// it was not for want of memory; or much was given back since. SysRq-f comes from no request:
// tight says of it how much is free.
func (e *explanation) notShort(z *zoneSum) {
	t := e.trigger
	if e.settled() || e.sysrq || z.guessed || !t.GFPMask.Known || !t.Order.Known ||
		z.n == 0 || z.fit <= z.high || z.order > 0 && (z.blocks == 0 || z.noBlocks == z.blocks) {
		return
	}
	free, cma := z.fitFree, max(e.freeCMA.Value, z.cma)
	if !z.movable { // zones of old kernels do not say how much of it is CMA
		cma = sub(cma, z.cma)
		free = sub(free, cma)
	}
	if sub(z.fit, cma) <= z.high {
		return // vendors' kernels keep CMA from movable requests, too
	}
	pagefault := t.GFPMask.Value == 0 || e.inStack("pagefault_out_of_memory")
	if !pagefault && e.total.Known && !ratio(z.fit, e.total.Value, 1, 32) {
		return // as much comes back within a moment, and who holds the rest is why
	}
	if !pagefault && e.policyHidden() {
		return
	}
	f := finding{code: codeNotShort, doubt: "memory that was given back just before the kill", settles: true,
		text: sprintf("memory was not short: %s is free where the request may take it, above high watermarks of %s", sizeText(free), sizeText(z.fitHigh))}
	if pagefault {
		f.lead, f.doubt = f.text+"; a page fault failed for another reason", "a shortage that was over when the numbers were taken"
	}
	e.add(f)
}

// policyHidden: up to 4.9 the log does not show the nodemask (82e7d3abec86). A node whose
// zones are all below their low marks, beside one with room, is what a memory policy of that
// node alone leaves: others would have been served by the other node before.
func (e *explanation) policyHidden() bool {
	if e.rec.Source != oom.SourceKmsg || e.rec.Scope != oom.ScopeSystem || e.trigger.Order.Value != 0 || !e.before(4, 10) {
		return false
	}
	for _, zone := range e.memory.Zones {
		node, z := zone.Node, e.nodeSum(zone.Node)
		if !node.Known || z.n == 0 || z.short != z.n || z.noMin || z.free >= z.min {
			continue
		}
		e.add(finding{code: codeNodeMempolicy, settles: true,
			doubt: "memory that was given back just before the kill: the log lacks the request's memory policy",
			text: sprintf("node %d has %s free, below its watermarks, the rest of the machine %s, and a memory policy probably limits the request to that node",
				node.Value, sizeText(z.free), sizeText(sub(e.free.Value, z.free)))})
		return true
	}
	return false
}

// before says whether the kernel is known to be older than this version.
func (e *explanation) before(major, minor uint64) bool {
	a, rest, _ := strings.Cut(e.rec.Kernel, ".")
	b := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	x, err1 := strconv.ParseUint(a, 10, 16)
	y, err2 := strconv.ParseUint(b, 10, 16)
	return err1 == nil && err2 == nil && (x < major || x == major && y < minor)
}

// nodesUnknown: the kernel says that policy or cpuset limits the nodes, and the
// record does not hold which. They are then among those that are short. In the
// kernel's log they are those that it lists (show_free_areas skips the others).
func (e *explanation) nodesUnknown() bool {
	return e.nodesOnly() && e.rec.Source != oom.SourceKmsg && e.trigger.Nodemask == "" && e.trigger.MemsAllowed == ""
}

// nodeSum sums up the usable zones of a node.
func (e *explanation) nodeSum(node oom.Opt[int32]) zoneSum {
	z := zoneSum{movable: e.movable()}
	zones := e.memory.Zones
	for i := range zones {
		if zones[i].Node == node && e.usable(&zones[i]) {
			z.add(&zones[i], e.reserve(&zones[i]))
		}
	}
	return z
}

// allShort reports that all of the zones, and there are some, are below their marks.
func (z zoneSum) allShort() bool { return z.n > 0 && z.short == z.n }

// fullestNode is the node with the least memory free; short says that there is
// one whose zones all are.
func (e *explanation) fullestNode() (fullest oom.Opt[int32], short bool) {
	var least zoneSum
	for _, z := range e.memory.Zones {
		node := e.nodeSum(z.Node)
		if node.n > 0 && (least.n == 0 || node.free < least.free) {
			fullest, least = z.Node, node
		}
		short = short || node.allShort()
	}
	return fullest, short
}

func (z *zoneSum) add(zone *oom.Zone, reserve uint64) {
	mark := zone.HighBytes
	if z.guessed = z.guessed || !mark.Known || !zone.Node.Known && !z.oneNode; !mark.Known {
		mark = zone.MinBytes
	}
	if !zone.FreeBytes.Known || !mark.Known {
		return
	}
	// CMA serves movable requests only, and the pages kept for atomic ones none that
	// may wait (mm/page_alloc.c, __zone_watermark_unusable_free).
	free := sub(zone.FreeBytes.Value, zone.HighatomicBytes.Value)
	z.cma = add(z.cma, zone.FreeCMABytes.Value)
	if !z.movable {
		free = sub(free, zone.FreeCMABytes.Value)
	}
	z.n++
	z.free, z.high, z.min = add(z.free, free), add(z.high, mark.Value), add(z.min, zone.MinBytes.Value)
	z.managed, z.noManaged = add(z.managed, zone.ManagedBytes.Value), z.noManaged || !zone.ManagedBytes.Known
	z.boost = add(z.boost, boost(zone))
	z.reserved, z.noMin = add(z.reserved, min(reserve, sub(free, mark.Value))), z.noMin || !zone.MinBytes.Known
	z.addBlockless(zone, free, reserve)
	if free <= add(mark.Value, reserve) {
		z.short++
		return
	}
	spare := sub(free, add(mark.Value, reserve))
	z.spare = add(z.spare, spare)
	in := free
	if z.order > 0 && len(zone.FreeBlocks) > 0 {
		z.blocks++
		if in = z.inBlocks(zone); z.tooFew(in, mark.Value) {
			z.noBlocks++
			return
		}
	}
	z.fit, z.fitFree, z.fitHigh = add(z.fit, min(spare, in)), add(z.fitFree, min(free, in)), add(z.fitHigh, mark.Value)
}

// addBlockless looks for a block in a zone, also below its high mark: a request is served down to
// the min mark (mm/page_alloc.c, __zone_watermark_ok). A zone that is no more than its reserve and
// that mark never serves it.
func (z *zoneSum) addBlockless(zone *oom.Zone, free, reserve uint64) {
	keep := add(zone.MinBytes.Value, reserve)
	if z.order <= 0 || zone.ManagedBytes.Known && zone.ManagedBytes.Value <= keep {
		return
	}
	z.fits++
	if in := z.inBlocks(zone); len(zone.FreeBlocks) > 0 && z.tooFew(in, zone.MinBytes.Value) {
		z.blockless++
		z.tooFewBlocks = z.tooFewBlocks || in > 0
		z.overMin = add(z.overMin, sub(free, keep))
	}
}

// tooFew says of what is free in blocks of the order whether it will not do.
func (z *zoneSum) tooFew(in, mark uint64) bool {
	return in == 0 || z.halves && in <= mark>>min(z.order, 63)
}

// inBlocks is what a zone has free in blocks of the order or higher that the request may
// take. Up to 4.3 that had to be more than the watermark, halved for each order
// (__zone_watermark_ok); from 4.4 on one block will do. Names of gfp flags came with 4.6.
func (z *zoneSum) inBlocks(zone *oom.Zone) uint64 {
	var all, will uint64
	for i, n := range zone.FreeBlocks {
		pages := mul(n, 1<<min(i, 63))
		if all = add(all, pages); i >= int(z.order) && z.mayTake(zone, i) {
			will = add(will, pages)
		}
	}
	hi, lo := bits.Mul64(zone.FreeBytes.Value, will)
	if all == 0 || hi >= all {
		return zone.FreeBytes.Value
	}
	in, _ := bits.Div64(hi, lo, all)
	return in
}

// mayTake reports whether blocks of an order are of a type that serves the request:
// not kept for atomic requests (H), isolated (I), or CMA (C) for one that cannot move.
func (z *zoneSum) mayTake(zone *oom.Zone, order int) bool {
	if order >= len(zone.FreeBlockTypes) || zone.FreeBlockTypes[order] == "" {
		return true
	}
	return strings.Trim(zone.FreeBlockTypes[order], "HI"+when(!z.movable, "C")) != ""
}

// movable: the request may be served from ZONE_MOVABLE and CMA; so may one of which
// nothing is known.
func (e *explanation) movable() bool {
	mask := e.trigger.GFPMask
	return !mask.Known || mask.Value&(gfpHighmem|gfpMovable) == gfpHighmem|gfpMovable
}

// usable reports whether the allocation may take from the zone: ZONE_MOVABLE
// only for movable memory, and only nodes that policy and cpuset name.
func (e *explanation) usable(z *oom.Zone) bool {
	t := e.trigger
	switch {
	case z.Zone == "Device" || z.Zone == "Movable" && !e.movable():
		return false
	case z.Zone == "HighMem" && t.GFPMask.Known && t.GFPMask.Value&gfpHighmem == 0, e.lowOnly() < zoneRank(z.Zone):
		return false
	case !z.Node.Known || z.Node.Value < 0:
		return true
	}
	return oom.InNodes(t.Nodemask, z.Node.Value) && oom.InNodes(t.MemsAllowed, z.Node.Value)
}

// zoneRank orders the zones below ZONE_NORMAL.
func zoneRank(zone string) int {
	if i := slices.Index([]string{"DMA", "DMA32"}, zone); i >= 0 {
		return i
	}
	return math.MaxInt
}

// lowOnly is the rank of the zone that a request for low memory is confined to, where the
// machine has that zone. Old kernels kill for these too.
func (e *explanation) lowOnly() int {
	mask, zone := e.trigger.GFPMask.Value, ""
	switch {
	case mask&gfpDMA != 0:
		zone = "DMA"
	case mask&gfpDMA32 != 0:
		zone = "DMA32"
	}
	if zone == "" || !slices.ContainsFunc(e.memory.Zones, func(z oom.Zone) bool { return z.Zone == zone }) {
		return math.MaxInt
	}
	return zoneRank(zone)
}

// reserve is what the zone keeps from this allocation. The entries are by zone
// type, ZONE_MOVABLE behind ZONE_NORMAL, and which types a kernel has differs: in the
// row of ZONE_NORMAL the first one that is not 0 is ZONE_MOVABLE's. A movable
// allocation looks at the last of them, the largest.
func (e *explanation) reserve(z *oom.Zone) uint64 {
	r := z.LowmemReserveBytes
	if low := e.lowOnly(); low < math.MaxInt {
		r = r[:min(low+1, len(r))]
	} else if !e.movable() {
		normal := min(2, len(r)-1)
		for _, row := range e.memory.Zones {
			if at := slices.IndexFunc(row.LowmemReserveBytes, func(v uint64) bool { return v > 0 }); row.Zone == "Normal" && at > 0 {
				normal = at - 1
			}
		}
		r = r[:min(normal+1, len(r))]
	}
	if len(r) == 0 {
		return 0
	}
	return slices.Max(r)
}

// fragments: the zones that have memory above their marks have next to none of it in
// blocks of the order. Orders above 3 never reach the OOM killer (PAGE_ALLOC_COSTLY_ORDER).
func (e *explanation) fragments(z *zoneSum) {
	if z.order <= 0 || z.blocks == 0 || z.n-z.short != z.blocks || z.fit > 0 && !ratio(z.spare, z.fit, 8, 1) {
		return
	}
	in := "in no block of order %d that the request may take"
	switch {
	case z.fit > 0:
		in = "only " + sizeText(z.fit) + " of it in blocks of order %d or higher that the request may take"
	case z.halves:
		in = "too little of it in blocks of order %d or higher"
	}
	e.add(finding{code: codeMemoryFragments, settles: true,
		text:  sprintf("%s is free above watermarks and reserves, but "+in, sizeText(z.spare), z.order),
		doubt: when(z.fit > 0, "a shortage: blocks of that order came back just before the kill")})
}

// noBlocks: no zone that may serve the request has a block of its order, while there is memory to
// reclaim: that makes pages free, and with these above the min watermarks, at least a 32nd of
// them, a request for a single one was not refused.
func (e *explanation) noBlocks(after, doubt string) bool {
	z := &e.held
	if e.settled() || e.contradicts || e.nodesOnly() || z.fits == 0 || z.blockless < z.fits || z.overMin == 0 || !ratio(z.overMin, z.min, 1, 32) {
		return false
	}
	in := "in no block of order %d or higher that the request may take"
	if z.tooFewBlocks {
		in = "too little of it in blocks of order %d or higher"
	}
	e.add(finding{code: codeMemoryFragments, doubt: doubt, settles: true,
		text: sizeText(z.overMin) + " is free above the min watermarks, but " + sprintf(in, z.order) + after})
	return true
}

// noBlocksCached: a quarter of the memory is page cache that need not be written first, nor is protected.
func (e *explanation) noBlocksCached() {
	if ratio(sub(e.usableCache(), add(e.fileDirty.Value, e.minKept)), e.total.Value, 1, 4) {
		e.noBlocks("; "+partText(e.lruFile.Value, e.total.Value)+" is page cache", "page cache that reclaim was too slow to drop")
	}
}

// noBlocksOverMin: a single page could have been had, with swap to be used besides.
func (e *explanation) noBlocksOverMin() bool {
	return !ratio(e.minKept, e.total.Value, 1, 4) && e.noBlocks("", "a shortage: memory came back just before the kill")
}

// shortZones: all zones that the allocation could use are short, and the others
// could have served it: above their own high watermarks and reserves, which the
// last try before a kill must leave, they have more than the short ones' marks.
func (e *explanation) shortZones(z, rest *zoneSum) {
	if rest.spare <= z.high {
		return
	}
	code, words := e.constraint()
	words += " have " + sizeText(z.free) + " free" + when(!z.movable && z.cma > z.free, " beside "+sizeText(z.cma)+" of CMA, which it may not use")
	e.add(finding{code: code, text: words + ", the rest of the machine " + sizeText(rest.free) + e.shrunk(), settles: true,
		doubt: when(e.nodesUnknown(), "a shortage of other nodes: which ones are allowed is not in the record")})
}

// shrunk says who took nodes from the cpuset that limits the allocation.
func (e *explanation) shrunk() string {
	c := orEmpty(e.trigger.MemsChanged)
	if e.rec.Scope != oom.ScopeCpuset || c.From == "" || c.To == "" {
		return ""
	}
	text := "; the cpuset was shrunk from nodes " + c.From + " to " + c.To
	if c.PID.Known || c.Comm != "" {
		text += " by " + process(c.PID, c.Comm)
	}
	return text + when(c.AgoNS.Known, " "+spanText(c.AgoNS.Value)+" before")
}
