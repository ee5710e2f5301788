package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// atLimit explains an OOM at a cgroup's limit: what fills it, its owner, and why
// swap did not make room.
func (e *explanation) atLimit() {
	e.lowered()
	e.ancestor()
	e.manyTasks(e.max, e.kernel, e.anon)
	e.limitKind()
	if e.givenBack() && !e.inStack("bpf_out_of_memory") {
		e.unsure(e.cause(), "what has been given back since")
	}
	if e.forced() && e.cause() != codeLimitLowered {
		e.unsure(e.cause(), "a limit that was lowered below what is in use")
	}
	e.hugeShare(e.usage.Value)
	e.noTask()
	e.grew()
	if e.has(codeLimitAncestor) {
		e.holder()
		e.protected(e.usage)
	}
	if !e.swappable() {
		return
	}
	locked := e.locked(e.usage, e.limitUnevictable, e.limitSwappable())
	// Swap does not decide the verdict here: the limit is full either way.
	swappable := e.limitSwappable()
	if e.swap() != codeSwapIdle || locked || e.contradicts || e.swappinessZero(e.limitUnevictable, swappable) || e.limitThrashing() ||
		e.has(codeLimitLowered) || e.has(codeLimitNoTask) || e.has(codeLimitFull) {
		return
	}
	if swappable.Known {
		e.add(finding{code: codeSwapUnexplained,
			text:  sprintf("swap was free and the cgroup may swap, yet %s of anonymous memory stayed: the record does not show why", sizeText(swappable.Value)),
			aside: "swap was free, and the record does not show why it " + e.notUsed()})
	}
}

// swappable reports that swap bears on the kind of memory that fills the limit.
func (e *explanation) swappable() bool {
	switch e.cause() {
	case codeLimitFile, codeLimitDirty, codeLimitKernel, codeLimitHugetlb:
		return false
	}
	return true
}

func (e *explanation) limitUsedUp() string {
	s := e.levelWord() + " limit"
	switch {
	case e.usage.Known && e.inStack("bpf_out_of_memory"):
		return "a BPF program asked for the kill (" + sizeText(e.usage.Value) + " in use)"
	case !e.max.Known && e.usage.Known: // what is unlimited is left out of the record
		return "the record has no limit that is used up (" + sizeText(e.usage.Value) + " in use)"
	case e.givenBack():
		return sprintf("%s was met (%s of %s in use by now)", s, sizeText(e.usage.Value), sizeText(e.max.Value))
	case e.forced():
		return sprintf("%s of %s is exceeded (%s in use)", s, sizeText(e.max.Value), sizeText(e.usage.Value))
	case e.max.Known:
		s += " of " + sizeText(e.max.Value)
	}
	if e.memsw {
		s += " on memory and swap"
	}
	return s + " is used up"
}

// givenBack: by the time that the usage was read, there was room below the limit again, such
// as an earlier victim's.
func (f *facts) givenBack() bool {
	return all(f.usage, f.max).Known && !ratio(f.usage.Value, f.max.Value, 9, 10)
}

// writesLimit: the OOM comes from within the write to memory.max, which kills when
// reclaim cannot get below the new limit (mm/memcontrol.c, memory_max_write).
func (f *facts) writesLimit() bool { return f.inStack("memory_max_write") }

// A limit that was lowered explains the kill where the write itself led to it, where
// more is in use than the limit allows, or where it happened within loweredNS.
const (
	loweredNS   = 10e9
	loweredOver = 4 << 20
)

func (e *explanation) lowered() {
	l := e.limit
	if !l.MaxBytes.Known {
		return
	}
	c, writes := l.Changed, e.writesLimit()
	if c != nil && (!c.FromBytes.Known || !c.ToBytes.Known || sub(l.MaxBytes.Value, c.ToBytes.Value) >= 64<<10) {
		c = nil // the first limit of a new cgroup, or one that was raised again
	}
	over := e.exceeded() && !e.forced()
	if c == nil && !writes && !over {
		return
	}
	text := e.levelWord() + " limit was lowered"
	if c != nil {
		text += " from " + sizeText(c.FromBytes.Value)
	}
	text += " to " + sizeText(l.MaxBytes.Value)
	switch {
	case c != nil && (c.PID.Known || c.Comm != ""):
		text += " by " + process(c.PID, c.Comm)
	case writes:
		text += " by " + process(e.trigger.PID, e.trigger.Comm)
	}
	recent := c != nil && c.AgoNS.Known && c.AgoNS.Value <= loweredNS
	if c != nil && c.AgoNS.Known && !writes {
		text += " " + spanText(c.AgoNS.Value) + " before"
	}
	text += when(l.UsageBytes.Value > l.MaxBytes.Value, ", with "+sizeText(l.UsageBytes.Value)+" in use")
	e.add(finding{code: codeLimitLowered, text: text, aside: text, settles: writes || over || recent,
		doubt: when(!writes && c == nil, "charges that the kernel may not refuse")})
}

// exceeded: no charge passes a limit, but for a few that the kernel may not refuse.
func (f *facts) exceeded() bool {
	return ratio(f.usage.Value, f.max.Value, 11, 10) && sub(f.usage.Value, f.max.Value) >= loweredOver
}

// forced: sockets hold what is in use above the limit. The network charges them past it where
// it may not fail (mm/memcontrol.c, mem_cgroup_charge_skmem: __GFP_NOFAIL).
func (f *facts) forced() bool {
	sock := first(f.limit.Stat, oom.LimitSock)
	return f.exceeded() && sock.Value >= sub(f.usage.Value, f.max.Value)
}

// limitThrashing: part of the cgroup's memory is in swap, and more is on its way
// there: reclaim was at it. As with swapBusy, that is likely and never sure.
func (e *explanation) limitThrashing() bool {
	used, moving := e.limitSwapped(), max(first(e.limit.Stat, oom.LimitFileWriteback, oom.LimitV1Writeback).Value, e.swapcached.Value)
	if !ratio(used, e.usage.Value, 1, 20) || !ratio(moving, e.usage.Value, 1, 64) {
		return false
	}
	e.add(finding{code: codeSwapTooSlow,
		text:  sprintf("%s of it is in swap and %s on the way there or back: probably swapping was too slow", sizeText(used), sizeText(moving)),
		aside: "swap probably did not take memory fast enough"})
	return true
}

// limitSwapped is what the cgroup at its limit has in swap.
func (f *facts) limitSwapped() uint64 {
	l := f.limit
	if swapped := cmp.Or(l.SwapUsageBytes, first(l.Stat, oom.LimitSwap)); swapped.Known {
		return swapped.Value
	}
	return sub(l.MemswUsageBytes.Value, l.UsageBytes.Value)
}

// limitSwappable is what is on the LRU lists of anonymous memory (shmem is on
// them too), or else what is not unevictable.
func (e *explanation) limitSwappable() size {
	st, s := e.limit.Stat, sum(e.anon, e.shmem)
	s.Value = sub(s.Value, e.limitUnevictable.Value)
	return cmp.Or(all(first(st, oom.LimitActiveAnon), first(st, oom.LimitInactiveAnon)), s)
}

// anyLevel is the cgroup at its limit where its kind is not known.
const anyLevel = "the cgroup's"

// levelWord names the cgroup at its limit by its kind, never by its name.
func (f *facts) levelWord() string {
	switch l := f.limit.Level; l {
	case oom.LevelContainer, oom.LevelPod, oom.LevelService, oom.LevelScope, oom.LevelSlice:
		return "the " + string(l) + "'s"
	case oom.LevelKubepods, oom.LevelRoot:
		return "the " + string(l) + " cgroup's"
	case oom.LevelQoS:
		return "the QoS class's"
	}
	return anyLevel
}

// ancestor distinguishes the limit of a pod or slice from the victim's own. Where the
// processes of a memory.oom.group die together, the group stands for the victim.
func (e *explanation) ancestor() {
	l := e.limit
	if e.rec.Victim == nil || l.Cgroup == "" || l.CgroupCut.Or(false) || !e.max.Known || !e.below() {
		return
	}
	text := sprintf("the limit of %s is %s, above the victim's own cgroup", sizeText(e.max.Value), e.levelWord())
	own := cmp.Or(e.group, e.ownLevel())
	if e.group != nil && e.isLimit(own) {
		return
	}
	if own == nil || !own.UsageBytes.Known {
		e.add(finding{code: codeLimitAncestor, text: text})
		return
	}
	text += ", which holds " + sizeText(own.UsageBytes.Value)
	if own.MaxBytes.Known {
		text += " of its limit of " + sizeText(own.MaxBytes.Value)
	} else {
		text += " and has no limit"
	}
	e.add(finding{code: codeLimitAncestor, text: text,
		lead: sprintf("%s, mostly by others than the victim's own cgroup (%s)", e.limitUsedUp(), sizeText(own.UsageBytes.Value)),
		// With less than half, it is the neighbours that fill the limit; unless no process
		// does, such as files on tmpfs, which stay charged when their cgroup is removed.
		settles: e.usage.Known && !ratio(own.UsageBytes.Value, e.usage.Value, 1, 2) && !e.heldByNoTask()})
}

// below reports that the victim lives below the cgroup at its limit. A runtime
// may put the process one level below the container's cgroup (crun does), and a
// service may do so for itself; such a limit is still the victim's own.
func (e *explanation) below() bool {
	v, l, own := e.victim, e.limit, e.victimCgroup()
	below := l.Cgroup == "/" && own != "/" && own != "" || strings.HasPrefix(own, l.Cgroup+"/")
	if v.CgroupCut.Or(false) {
		// Every victim of a cgroup's OOM lives in it or below.
		below = v.CgroupID.Known && l.CgroupID.Known && v.CgroupID != l.CgroupID
	}
	switch l.Level {
	case oom.LevelContainer:
		return false
	case oom.LevelService, oom.LevelScope:
		return below && v.Container != nil
	}
	return below
}

// victimCgroup is the victim's cgroup or, where the kernel's log names only the first victim's
// of a memory.oom.group, the group's: one decision has one explanation.
func (f *facts) victimCgroup() string {
	if f.victim.Cgroup == "" && f.group != nil {
		return f.group.Cgroup
	}
	return f.victim.Cgroup
}

// heldByNoTask: half of the usage is tmpfs and shared memory, while all tasks that
// were weighed hold less than half of it.
func (f *facts) heldByNoTask() bool {
	return !f.rowsLost() && ratio(f.shmem.Value, f.usage.Value, 1, 2) &&
		f.rec.CandidatesBytes.Known && !ratio(f.rec.CandidatesBytes.Value, f.usage.Value, 1, 2)
}

// rowsLost: of a log that is cut, tasks may not be among those listed.
func (f *facts) rowsLost() bool {
	return f.rec.Source == oom.SourceKmsg && f.rec.Incomplete.Or(false)
}

// ownLevel is the innermost level below the cgroup at its limit that has a limit
// of its own, or else the innermost one.
func (f *facts) ownLevel() *oom.CgroupLimit {
	var own *oom.CgroupLimit
	for i := range f.victim.CgroupLimits {
		c := &f.victim.CgroupLimits[i]
		if f.isLimit(c) {
			break
		}
		if c.MaxBytes.Known {
			return c
		}
		if own == nil {
			own = c
		}
	}
	return own
}

// limitKind says what kind of memory fills the limit. A kind with half or more is
// the verdict; a smaller one is, if it is the largest, but unsure.
func (e *explanation) limitKind() {
	whole := e.whole()
	if !whole.Known {
		return
	}
	kinds := e.kinds()
	top := slices.MaxFunc(kinds[:], func(a, b kindOf) int { return cmp.Compare(a.Value, b.Value) })
	// What no kind accounts for may be more than the largest of those known.
	known := e.counted().Value
	rest := sub(whole.Value, known)
	if e.contradicts = exceeds(known, whole.Value); e.contradicts || top.Value == 0 || top.Value < rest {
		e.kindUnknown(whole.Value)
		return
	}
	f := e.kindFinding(top, whole.Value, " of it ")
	f.lead = e.limitUsedUp() + ", " + f.lead
	f.doubt, f.settles = e.kindDoubt(top, whole.Value), true
	e.add(f)
	e.otherKinds(kinds[:], top, whole.Value)
}

// kindOf is a kind of memory at a limit: its code, and how much there is.
type kindOf struct {
	code string
	size
}

func (e *explanation) kinds() [5]kindOf {
	cache := codeLimitFile
	// Half of the cache: the clean half could have made room.
	if ratio(e.dirty.Value, e.cache.Value, 1, 2) {
		cache = codeLimitDirty
	}
	return [...]kindOf{{codeLimitAnon, e.anon}, {codeLimitShmem, e.shmem}, {cache, e.cache}, {codeLimitKernel, e.kernel}, {codeLimitHugetlb, e.hugetlb}}
}

// counted is what the counters of the record hold together.
func (f *facts) counted() size { return sum(f.anon, f.shmem, f.cache, f.kernel, f.hugetlb) }

// otherKinds are those beside the largest, from a quarter of the limit on: without them there
// would have been room.
func (e *explanation) otherKinds(kinds []kindOf, top kindOf, whole uint64) {
	for _, k := range kinds {
		sure := k.Value
		if (k.code == codeLimitFile || k.code == codeLimitDirty) && !e.swapcached.Known {
			sure = sub(sure, e.limitSwapped()) // before 5.12 the swap cache is in it
		}
		if k == top || e.maybeShmem(k) || !ratio(sure, whole, 1, 4) {
			continue
		}
		f := e.kindFinding(k, whole, " is ")
		other := finding{code: codeLimitAlso, text: f.text}
		if e.cause() == top.code {
			other.aside = f.lead
		}
		e.add(other)
	}
}

// maybeShmem: half of the page cache, or more, may be shared memory.
func (e *explanation) maybeShmem(k kindOf) bool {
	return k.code == codeLimitFile && ratio(e.cacheOrShmem, k.Value, 1, 2)
}

// kindDoubt is what a limit could be full of beside the largest kind. Page cache is there to
// be dropped, or to be written and dropped.
func (e *explanation) kindDoubt(top kindOf, whole uint64) string {
	switch {
	case e.maybeShmem(top):
		return "shared memory locked with SHM_LOCK, or tmpfs beside memory locked with mlock: this kernel does not count it"
	case !ratio(top.Value, whole, 1, 2):
		return "a mix of several kinds of memory"
	case top.code == codeLimitFile && e.pinnedCache():
	case top.code == codeLimitFile && !e.clean:
		return "cache that waits to be written"
	case top.code == codeLimitFile:
		// Clean cache is dropped before the kernel kills, unless it cannot be.
		return "cache that reclaim was too slow to drop"
	case top.code == codeLimitDirty && !e.swapcached.Known && e.limitSwapped() > 0:
		// NR_SWAPCACHE is there since 5.12.
		return "memory on its way to swap: this kernel counts it as page cache"
	}
	return ""
}

// pinnedCache says that at least half of the cache cannot be dropped: what is
// unevictable, less all anonymous memory, which mlock may have put there.
func (f *facts) pinnedCache() bool {
	return f.anon.Known && ratio(sub(f.limitUnevictable.Value, f.anon.Value), f.cache.Value, 1, 2)
}

const countedTooMuch = "what memory.stat counts is more than is in use"

// kindUnknown serves records without memory.stat: the victim's own memory may
// fill half of the limit alone.
func (e *explanation) kindUnknown(whole uint64) {
	lead := e.limitUsedUp()
	if a := e.victim.AnonRSSBytes.Value; e.group == nil && ratio(a, whole, 1, 2) {
		f := finding{code: codeLimitAnon, text: "anonymous memory of this process: " + partText(a, whole),
			lead: sprintf("%s, %s of it anonymous memory of this process", lead, percentText(min(a, whole), whole)), settles: true}
		switch {
		case exceeds(a, whole):
			f.text = "this process holds " + sizeText(a) + " of anonymous memory, more than the " + sizeText(whole) + " in use"
			f.lead, f.doubt = lead+"; "+f.text, "another kind of memory: this process has some that is charged elsewhere"
		case e.contradicts:
			f.doubt = "another kind of memory: " + countedTooMuch
		}
		e.add(f)
		return
	}
	if a := e.tasksAnon(); ratio(a, whole, 1, 2) {
		e.add(finding{code: codeLimitAnon, text: "anonymous memory of the tasks listed: " + partText(a, whole),
			lead:  sprintf("%s, %s of it anonymous memory", lead, percentText(min(a, whole), whole)),
			doubt: "pages that forked tasks share: each counts them", settles: true})
		return
	}
	text := sizeText(whole) + " in use" + when(e.max.Known, ", limit "+sizeText(e.max.Value))
	doubt := "any kind of memory: memory.stat is not in the record"
	if known := e.counted(); known.Known {
		doubt = "memory in no counter of the record: those there come to " + sizeText(known.Value)
	}
	if rss := e.victim.RSSBytes.Value; e.group == nil && ratio(rss, whole, 1, 2) {
		// Not all of it need be charged here: pages of files are whose read them first.
		own := "this process alone has " + sizeText(rss) + " resident"
		text, lead = text+"; "+own, lead+"; "+own
	}
	if e.contradicts {
		doubt = "any kind of memory: " + countedTooMuch
	}
	e.add(finding{code: codeLimitFull, text: text, lead: lead, doubt: doubt, settles: true})
}

// tasksAnon is the anonymous memory of the candidates together.
func (f *facts) tasksAnon() uint64 {
	return sumOf(f.rec.Candidates, func(c *oom.Candidate) uint64 { return c.AnonRSSBytes.Value })
}

// kindFinding says the kind once as a reason and once, in few words, for the summary.
func (e *explanation) kindFinding(k kindOf, whole uint64, verb string) finding {
	words, more, after, share := "", "", "", k.Value
	switch k.code {
	case codeLimitAnon:
		words = "anonymous memory"
		own := e.victim.AnonRSSBytes.Value
		more = when(own > 0, ", this process holds "+sizeText(own))
		// 90 %: what is left are the small ones beside it, a shell or a pause.
		if e.group == nil && ratio(own, k.Value, 9, 10) {
			share, after = min(own, share), " of this process"
		}
	case codeLimitShmem:
		words, more = "tmpfs and shared memory", ", which only swap could hold instead"
		if e.heldByNoTask() {
			more += "; no process holds most of it: files, also of removed cgroups"
			after = ", most of it files that no process holds"
		}
	case codeLimitDirty:
		words, after = "page cache", " that waits to be written"
		more = sprintf(", %s of it dirty or under writeback", sizeText(e.dirty.Value))
	case codeLimitFile:
		words = "page cache"
		more = when(e.clean, ", only "+sizeText(e.dirty.Value)+" of it dirty or under writeback")
		if e.pinnedCache() {
			more += sprintf("; %s is unevictable (ramfs, or locked with mlock)", sizeText(e.limitUnevictable.Value))
			after = ", which is unevictable (ramfs, or locked with mlock)"
		}
	case codeLimitHugetlb:
		words, more = "huge pages (hugetlb)", ", which can be neither swapped nor reclaimed"
	case codeLimitKernel:
		words = "kernel memory"
		if detail := e.kernelDetail(k.Value); detail != "" {
			more, after = ", most of it "+detail, " ("+detail+")"
		}
	}
	return finding{code: k.code, text: words + ": " + partText(k.Value, whole) + more,
		lead: percentText(min(share, whole), whole) + verb + words + after}
}

// kernelDetail names the biggest parts of the kernel's memory, worst first: those of
// 1/8 of it, three at most; of slab its biggest caches where they are known.
func (e *explanation) kernelDetail(whole uint64) string {
	parts := slices.Clone(e.kernelParts)
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(b.Value, a.Value) })
	var words []string
	for _, p := range parts {
		if len(words) == 3 || !ratio(p.Value, whole, 1, 8) {
			break
		}
		w := p.name + " " + sizeText(p.Value)
		switch p.name {
		case "slab":
			w += e.slabCaches()
		case zswapPart:
			held := first(e.limit.Stat, oom.LimitZswapped)
			w += when(held.Known, " for "+sizeText(held.Value)+" swapped out")
		case uncounted, kmemOnly:
			// The tracer does not read all of memory.stat.
			w = sizeText(p.Value) + " " + p.name + when(p.name == uncounted && e.rec.Source == oom.SourceBPF, " that was read")
			if hint := e.kernelHint(); hint != "" {
				w += ", probably " + hint
			}
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

// slabCaches names the three biggest caches.
func (e *explanation) slabCaches() string {
	caches := slices.Clone(e.memory.SlabCaches)
	slices.SortStableFunc(caches, func(a, b oom.SlabCache) int { return cmp.Compare(cacheSize(b), cacheSize(a)) })
	var words []string
	for _, c := range caches[:min(len(caches), 3)] {
		words = append(words, name(c.Name)+" "+sizeText(cacheSize(c)))
	}
	return when(len(words) > 0, ": "+strings.Join(words, ", "))
}

func cacheSize(c oom.SlabCache) uint64 { return max(c.TotalBytes.Value, c.UsedBytes.Value) }

// mostOfSlab has the summary name the cache that is most of slab, if it has room.
func (e *explanation) mostOfSlab(slab uint64) {
	for _, c := range e.memory.SlabCaches {
		if cacheSize(c) > slab/2 {
			e.add(finding{code: codeMemoryKernel, aside: "the slab cache " + name(c.Name) + " holds " + sizeText(cacheSize(c))})
			return
		}
	}
}

// hugeShare: transparent huge pages are charged as a whole, even where a process
// touched little of each.
func (e *explanation) hugeShare(whole uint64) {
	if thps := first(e.limit.Stat, oom.LimitAnonTHP, "rss_huge_bytes").Value; ratio(thps, whole, 1, 2) {
		e.add(finding{code: codeTHP, text: partText(thps, whole) + " is in transparent huge pages, each held as a whole however little of it was touched",
			aside: percentText(thps, whole) + " is in transparent huge pages"})
	}
}

// noTask: anonymous memory that is more than what all tasks hold that were weighed, by
// a quarter of the usage. It stays charged when a process moves to another cgroup.
func (e *explanation) noTask() {
	held := e.rec.CandidatesBytes
	rest := sub(e.anon.Value, held.Value)
	if !held.Known || e.memsw || e.rowsLost() || !ratio(rest, e.usage.Value, 1, 4) {
		return
	}
	e.add(finding{code: codeLimitNoTask,
		text: sprintf("%s of anonymous memory is of no task that could be killed: of %sprocesses that moved away or are exiting",
			partText(rest, e.usage.Value), when(!e.killableAll(), "tasks at oom_score_adj -1000, or of ")),
		aside: percentText(rest, e.usage.Value) + " is held by no process that could be killed"})
}

// killableAll: the kernel's table has tasks at -1000 too (mm/oom_kill.c, dump_tasks), and all of
// this one are listed, none of them such.
func (e *explanation) killableAll() bool {
	list := e.rec.Candidates
	return e.rec.Source == oom.SourceKmsg && e.rec.CandidatesTotal == oom.Some(uint64(len(list))) &&
		!slices.ContainsFunc(list, func(c oom.Candidate) bool { return c.OOMScoreAdj.Or(unkillable) == unkillable })
}
