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

// muchHeld: all zones of the request are short, with a tenth of the memory free in them. By
// default the marks and reserves are a few percent, with THP up to 7.5 % (mm/khugepaged.c,
// set_recommended_min_free_kbytes): these sysctls were raised.
func (e *explanation) muchHeld() bool {
	whole := e.whole()
	return e.zonesShort && whole.Known && ratio(e.held.free, whole.Value, 1, 10)
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
// is no more where this one may take it. A live record has the machine's sum of CMA only.
func (e *explanation) onlyCMA(z *zoneSum) {
	cma, free, short := z.cma, z.free, e.zonesShort
	if cma == 0 {
		cma, free, short = e.freeCMA.Value, sub(z.free, e.freeCMA.Value), z.spare <= e.freeCMA.Value
	}
	if e.settled() || e.sysrq || z.movable || z.n == 0 || !short || !e.total.Known || e.nodesOnly() || !ratio(cma, e.total.Value, 1, 10) {
		return
	}
	e.add(finding{code: codeNodeZone, text: sprintf("only %s of what is free may serve the allocation: %s is CMA, for movable requests alone", sizeText(free), sizeText(cma))})
	e.settle(codeNodeZone)
}

// slabInZones: slab is in the zones of the kernel's own requests alone, neither in HighMem nor
// in ZONE_MOVABLE. With half of what these have it is what such a request is short of, however
// much the others hold or have free. What is above the marks may have been given back since. What dominates the machine is for kernelMemory.
func (e *explanation) slabInZones(z *zoneSum) {
	slab := first(e.rec.Memory.Stat, oom.StatSlabUnrecl)
	if z.n == 0 || z.spare > z.high || z.movable || z.noManaged || e.lowOnly() < math.MaxInt || e.nodesOnly() || !e.total.Known || exceeds(slab.Value, z.managed) ||
		ratio(z.managed, e.total.Value, 7, 8) || dominates(e.kernelFixed.Value, e.total.Value, e.lruAnon) || !ratio(slab.Value, z.managed, 1, 2) {
		return
	}
	text := partText(min(slab.Value, z.managed), z.managed) + " of the zones that the allocation can use is slab, which cannot be swapped"
	e.add(finding{code: codeMemoryKernel, text: text + e.slabCaches(), lead: e.shortage() + ": " + text, aside: text})
	e.settle(codeMemoryKernel)
}
