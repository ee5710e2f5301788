package explain

import "github.com/oomtrace/oomtrace/internal/oom"

// summary writes the one sentence. The verdict leads; what stood in the way of
// swap follows.
func (e *Explainer) summary() {
	t := &e.out
	rec := e.f.rec
	switch {
	case rec.Kind == oom.KindLost || rec.Kind == oom.KindExit:
		e.follow()
	case e.verdict == codeSysrq:
		t.s("a person asked for the kill with sysrq-f; memory need not have been short")
	case e.verdict == codeAlreadyExiting:
		t.s("the process was dying already: the kernel marked it, without a kill, so that it can finish")
	case e.verdict == codeNoVictim:
		e.noVictimSummary()
	case e.verdict == codeUnknown:
		e.unknown()
	case e.f.cgroup:
		e.limitSummary()
	default:
		e.systemSummary()
	}
	if e.doubt = e.doubtOf(e.verdict); e.doubt != "" {
		t.s(" (could not be told apart from ").s(e.doubt).s(")")
	}
}

// follow repeats the reasons of a record that follows a kill.
func (e *Explainer) follow() {
	if len(e.spans) == 0 {
		e.out.s("the record does not say how the victim went")
		return
	}
	written := false
	for _, s := range e.spans {
		if s.code == codeExitSlow {
			continue
		}
		if written {
			e.out.s("; ")
		}
		// append reads from the buffer it grows: the old part stays valid.
		e.out.b = append(e.out.b, e.out.b[s.start:s.end]...)
		written = true
	}
}

// noVictimSummary: the numbers are of the search's end, when an earlier victim
// may have given back what it held.
func (e *Explainer) noVictimSummary() {
	f := &e.f
	switch {
	case !f.cgroup:
		e.out.s("out of memory")
	case f.usage.Known && f.max.Known && !ratio(f.usage.Value, f.max.Value, 9, 10):
		e.out.s(f.levelWord()).s(" limit was met (").size(f.usage.Value).s(" of ").size(f.max.Value).s(" are in use by now)")
	default:
		e.out.s(f.levelWord()).s(" limit is used up")
	}
	e.out.s(", and the kernel found nobody to kill")
}

func (e *Explainer) unknown() {
	if e.f.cgroup {
		e.out.s(e.f.levelWord()).s(" limit is used up")
	} else {
		e.out.s("out of memory")
	}
	if s := e.f.victimSize; s.Known {
		e.out.s("; this process held ").size(s.Value)
	}
	e.out.s("; the cause")
}

func (e *Explainer) limitSummary() {
	f, t := &e.f, &e.out
	t.s(f.levelWord()).s(" limit")
	if f.max.Known {
		t.s(" of ").size(f.max.Value)
	}
	if f.memsw {
		t.s(" on memory and swap")
	}
	t.s(" is used up")
	switch e.verdict {
	case codeManyTasks:
		t.s(" by many small tasks (").u(f.rec.CandidatesTotal.Value).s(")")
	case codeLimitAncestor:
		t.s(", mostly by others than the victim's own cgroup")
		if own := ownLevel(f.rec.Victim, f.rec.Limit.Cgroup); own != nil {
			t.s(" (").size(own.UsageBytes.Value).s(")")
		}
	default:
		e.holderSummary()
	}
	e.swapClause()
}

func (e *Explainer) holderSummary() {
	f, t := &e.f, &e.out
	whole := f.usage
	if !whole.Known {
		whole = f.max
	}
	part := f.victimAnon
	words := "anonymous memory"
	switch e.verdict {
	case codeLimitAnon:
		if f.anon.Value > 0 {
			part = f.anon
		}
		// 90 %: what is left are the small ones beside it, a shell or a pause.
		if ratio(f.victimAnon.Value, part.Value, 9, 10) {
			words = "anonymous memory of this process"
		}
	case codeLimitShmem:
		part, words = f.shmem, "tmpfs or shared memory"
	case codeLimitDirty:
		part, words = f.cache, "page cache that waits to be written"
	case codeLimitFile:
		part, words = f.cache, "page cache"
	case codeLimitKernel:
		part, words = f.kernel, "kernel memory"
	default:
		return
	}
	t.s(", ").percent(min(part.Value, whole.Value), whole.Value).s(" of it ").s(words)
}

// swapClause is the part on swap of a cgroup's summary.
func (e *Explainer) swapClause() {
	t := &e.out
	switch {
	case e.has(codeSwapForbidden):
		if l := e.f.rec.Limit; l != nil && l.MemswMaxBytes.Known {
			t.s("; it may not swap (memsw limit equals memory limit)")
		} else {
			t.s("; ")
			e.repeat(codeSwapForbidden)
		}
	case e.has(codeSwapCgroupFull):
		t.s("; its swap is used up too")
	case e.has(codeSwapNone):
		t.s("; no swap is configured")
	case e.has(codeSwapFull):
		t.s("; swap is ").s(e.nearly()).s("used up")
	case e.has(codeSwapSwappiness):
		t.s("; swap is not used because swappiness is 0")
	case e.has(codeSwapMlocked):
		t.s("; locked with mlock, it cannot be swapped")
	case e.has(codeSwapUnevictable):
		t.s("; unevictable, it cannot be swapped")
	case e.has(codeSwapTooSlow):
		t.s("; swap probably did not take memory fast enough")
	case e.has(codeSwapUnexplained):
		t.s("; swap was free, and the record does not show why it was not used")
	}
}

func (e *Explainer) systemSummary() {
	f, t := &e.f, &e.out
	lead := "out of memory"
	if e.has(codeMemoryLow) {
		lead = "no free memory"
	}
	switch e.verdict {
	case codeNodeCpuset, codeNodeMempolicy, codeNodeZone, codeMemoryFragments:
		e.repeat(e.verdict)
		return
	case codeMemoryHugepages, codeMemoryKernel, codeMemoryMissing:
		t.s(lead).s(": ")
		e.repeat(e.verdict)
		return
	case codeManyTasks:
		t.s(lead).s(": many small tasks hold it, ")
		e.repeat(e.verdict)
		return
	case codeMemoryLow:
		t.s("no free memory (").size(f.free.Value).s(")")
		return
	case codeSwapNone:
		t.s(lead).s(", and no swap is configured")
	case codeSwapFull:
		t.s(lead).s(", and swap (").size(f.swapTotal.Value).s(") is ").s(e.nearly()).s("used up, ").percent(f.swapFree.Value, f.swapTotal.Value).s(" free")
	default:
		t.s(lead).s(", and swap (").size(f.swapTotal.Value).s(", ").percent(f.swapFree.Value, f.swapTotal.Value).s(" free) ")
		e.unusedClause()
	}
	e.mostly()
}

// nearly is the word for swap of which a little is left.
func (e *Explainer) nearly() string {
	if e.f.swapClass(e.f.swapFree.Value) == swapNearlyFull {
		return "nearly "
	}
	return ""
}

func (e *Explainer) unusedClause() {
	t := &e.out
	switch e.verdict {
	case codeSwapForbidden, codeSwapCgroupFull:
		t.s("could not help: ")
		e.repeat(e.verdict)
	case codeSwapSwappiness:
		t.s("was not used because ")
		if _, own := e.ownSwappiness(); own {
			t.s("its cgroup's swappiness is 0")
		} else {
			t.s("vm.swappiness is 0")
		}
	case codeSwapMlocked:
		t.s("could not help: ")
		e.repeat(e.verdict)
	case codeSwapUnevictable:
		t.s("could not help: ")
		e.repeat(e.verdict)
	case codeMemoryZram:
		t.s("could not take more: ")
		e.repeat(e.verdict)
	case codeSwapTooSlow:
		t.s("probably did not take memory fast enough")
	default:
		t.s("was not used, probably for a reason that is not in the record")
	}
}

// mostly adds what the machine's memory is, where that helps at once.
func (e *Explainer) mostly() {
	if e.has(codeMemoryShmem) && (e.verdict == codeSwapNone || e.verdict == codeSwapFull) {
		e.out.s("; ")
		e.repeat(codeMemoryShmem)
	}
}

// repeat writes the text of a reason that is there already.
func (e *Explainer) repeat(code string) {
	for _, s := range e.spans {
		if s.code == code {
			e.out.b = append(e.out.b, e.out.b[s.start:s.end]...)
			return
		}
	}
}
