package explain

import "slices"

// dirtyCache: page cache that has to be written first cannot be dropped. It is a reason from
// 1/8 of the RAM on: writers are held back at 20 % of what may be dirty (vm.dirty_ratio). It
// is the verdict as the kernel's memory is.
func (e *explanation) dirtyCache() {
	dirty := min(e.fileDirty.Value, e.lruFile.Value)
	if e.nodesOnly() || !ratio(dirty, e.total.Value, 1, 8) {
		return
	}
	text := partText(dirty, e.total.Value) + " is page cache that waits to be written" +
		when(ratio(first(e.memory.Stat, statUnstable).Value, dirty, 1, 2), ", most of it to an NFS server")
	e.add(finding{code: codeMemoryDirty, text: text, aside: text, lead: e.shortage() + ": " + text,
		settles: dominates(dirty, e.total.Value, e.lruAnon)})
}

// protectedRest: where nothing else says why free swap was not used, and memory.min keeps
// half of the memory, that is why; what is left may have been too much for a slow disk.
func (e *explanation) protectedRest() {
	if e.cause() != codeSwapUnexplained || !ratio(e.minKept, e.whole().Value, 1, 2) {
		return
	}
	e.found = slices.DeleteFunc(e.found, func(f finding) bool { return f.code == codeSwapUnexplained })
	f := e.get(codeMemoryProtected)
	f.lead, f.aside = e.shortage()+", and "+f.text+"; swap was free", ""
	f.doubt = "swapping of the rest that was too slow"
	if e.special {
		e.beside = codeMemoryProtected
	} else {
		e.verdict = codeMemoryProtected
	}
}
