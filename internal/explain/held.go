package explain

import (
	"math"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// keeps is what a zone keeps from this allocation of what it has: its high watermark, and
// of its reserve as much as is free there. A reserve goes by the zones above and may be more
// than the zone (calculate_totalreserve_pages, mm/page_alloc.c, caps it at what it manages).
func (e *explanation) keeps(z *oom.Zone) uint64 {
	reserve := e.reserve(z)
	switch {
	case z.FreeBytes.Known:
		reserve = min(reserve, sub(z.FreeBytes.Value, z.HighBytes.Value))
	case z.ManagedBytes.Known:
		reserve = min(reserve, sub(z.ManagedBytes.Value, z.HighBytes.Value))
	}
	return add(z.HighBytes.Value, reserve)
}

// muchHeld: all zones of the request are short, with a tenth of the memory free in them and
// kept by what is set. By default the marks and reserves are a few percent, with THP up to 7.5 %
// (mm/khugepaged.c, set_recommended_min_free_kbytes): these sysctls were raised. A boost of the
// marks, up to 150 % for a moment (mm/page_alloc.c, boost_watermark), is no setting.
func (e *explanation) muchHeld() bool {
	whole, h := e.whole().Value, &e.held
	return e.zonesShort && ratio(h.free, whole, 1, 10) && ratio(add(sub(h.high, h.boost), h.reserved), whole, 1, 10)
}

// boost is what kswapd has raised a zone's marks by: below a boost the low one is a quarter
// or more above the min (__setup_per_zone_wmarks).
func boost(z *oom.Zone) uint64 {
	if !z.MinBytes.Known || !z.LowBytes.Known {
		return 0
	}
	return sub(z.MinBytes.Value, 4*sub(z.LowBytes.Value, z.MinBytes.Value)+1<<20)
}

// heldBack says by what setting much is held.
func (e *explanation) heldBack() {
	if e.settled() || !e.muchHeld() {
		return
	}
	sysctl := "vm.min_free_kbytes is high"
	switch h := &e.held; {
	case h.reserved > h.free/2:
		sysctl = "vm.lowmem_reserve_ratio is low" // it divides
	case !h.noMin && sub(h.high, h.min) > h.min:
		sysctl = "vm.watermark_scale_factor is high"
	}
	text := partText(e.held.free, e.whole().Value) + " is free, but the zones hold it back from this request"
	f := finding{code: codeMemoryLow, text: sprintf("%s (high watermarks %s, reserves %s)", text, sizeText(e.held.high), sizeText(e.held.reserved)),
		lead: text + ": " + sysctl}
	if old := e.get(codeMemoryLow); old != nil {
		*old = f
	} else {
		e.add(f)
	}
	e.settle(codeMemoryLow)
}

// onlyCMA: a tenth of the memory is free and CMA's, which is for movable requests, and there
// is no more where this one may take it. What holds the rest comes first. A live record has
// the machine's sum of CMA only.
func (e *explanation) onlyCMA() {
	z := &e.held
	cma, free, short := z.cma, z.free, e.zonesShort
	if cma == 0 {
		cma, free, short = e.freeCMA.Value, sub(z.free, e.freeCMA.Value), z.spare <= e.freeCMA.Value
	}
	if e.settled() || e.sysrq || z.movable || z.n == 0 || !short || e.nodesOnly() || !ratio(cma, e.total.Value, 1, 10) {
		return
	}
	e.add(finding{code: codeNodeZone, settles: true,
		text: sprintf("only %s of what is free may serve the allocation: %s is CMA, for movable requests alone", sizeText(free), sizeText(cma))})
}

// slabInZones: slab is in the zones of the kernel's own requests alone, neither in HighMem nor
// in ZONE_MOVABLE. With half of what these have it is what such a request is short of, however
// much the others hold or have free; but with swap free the other half could have gone there.
// What is above the marks may have been given back since. What dominates the machine is for
// kernelMemory.
func (e *explanation) slabInZones(z *zoneSum) {
	slab := first(e.memory.Stat, oom.StatSlabUnrecl)
	if z.n == 0 || z.spare > z.high || z.movable || z.noManaged || e.lowOnly() < math.MaxInt || e.nodesOnly() || !e.total.Known || exceeds(slab.Value, z.managed) ||
		ratio(z.managed, e.total.Value, 7, 8) || dominates(e.kernelFixed.Value, e.total.Value, e.lruAnon) || !ratio(slab.Value, z.managed, 1, 2) {
		return
	}
	text := partText(min(slab.Value, z.managed), z.managed) + " of the zones that the allocation can use is slab, which cannot be swapped"
	f := finding{code: codeMemoryKernel, text: text + e.slabCaches(), lead: e.shortage() + ": " + text, aside: text, settles: true}
	if e.swapFree.Known && e.swapClass(e.swapFree.Value) == codeSwapIdle {
		f.doubt = "swapping of the rest that was too slow: " + sizeText(e.swapFree.Value) + " of swap is free"
	}
	e.add(f)
	e.mostOfSlab(slab.Value)
}
