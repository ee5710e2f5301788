package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// swapNearlyFull is a state of swap beside those that have a code: as a verdict it is
// codeSwapFull.
const swapNearlyFull = "nearly_full"

// swap gives the reasons on the swap of the machine and, for the limit of a
// cgroup, of the cgroups on the victim's way up; it returns what stood in the way of
// swapping as a code, codeSwapIdle for nothing, or none where that is not known.
func (e *explanation) swap() string {
	state := e.swapMachine()
	if !e.cgroup || state == codeSwapNone || state == codeSwapoff {
		return state
	}
	return cmp.Or(e.swapCgroup(), state)
}

// swapMachine: swap is full when hardly a slot is left, free from 20 % on, and
// nearly full between the two, where what is left may be out of reach.
func (e *explanation) swapMachine() string {
	if e.swapoff() {
		return codeSwapoff
	}
	if isNone(e.swapTotal) {
		text := "no swap is configured (0 B)"
		if c := e.memory.SwapChanged; c != nil && c.FromBytes.Known && c.AgoNS.Known {
			text += "; " + sizeText(c.FromBytes.Value) + " were turned off " + spanText(c.AgoNS.Value) + " before"
		}
		e.add(finding{code: codeSwapNone, text: text, lead: e.shortage() + ", and no swap is configured", aside: e.besideSwap("no swap is configured"),
			doubt: when(e.holdsUnknown(), "memory that swap could not have taken: the log lacks what held it")})
		return codeSwapNone
	}
	if !all(e.swapTotal, e.swapFree).Known {
		return ""
	}
	state, late := e.swapClass(e.swapFree.Value), e.swapReadLate()
	part, nearly := partText(e.swapFree.Value, e.swapTotal.Value), when(state == swapNearlyFull, "nearly ")
	if state == codeSwapIdle {
		e.add(finding{code: codeSwapIdle, text: part + " of swap is free" + late})
		return state
	}
	e.add(finding{code: codeSwapFull, text: sprintf("swap is %sused up: %s is free%s", nearly, part, late),
		lead: sprintf("%s, and swap (%s) is %sused up, %s free", e.shortage(), sizeText(e.swapTotal.Value), nearly,
			percentText(e.swapFree.Value, e.swapTotal.Value)),
		aside: e.besideSwap("swap is " + nearly + "used up"),
		doubt: cmp.Or(when(state == swapNearlyFull && !e.cgroup, "swap that could not be reached"),
			when(e.lateDecides(state), "another state of swap: it was read after the kill"))})
	return state
}

// holdsUnknown: of a report that is cut, the part that says what held the memory is
// missing.
func (e *explanation) holdsUnknown() bool {
	return !e.cgroup && e.rowsLost() && !e.lruAnon.Known && !all(e.lruBoth, e.kernelFixed).Known
}

// besideSwap is what the state of swap adds to another verdict: to a system's only
// where more of it could have helped.
func (e *explanation) besideSwap(s string) string {
	if e.has(codeSwapMlocked) || e.has(codeSwapUnevictable) {
		return ""
	}
	if !e.cgroup {
		switch e.cause() {
		case codeMemoryKernel, codeMemoryMissing, codeMemoryBalloon, codeMemoryHugepages, codeHugepagesUsed, codeNotShort, codeNodeCpuset, codeNodeMempolicy, codeNodeZone, codeMemoryFragments:
			return ""
		}
	}
	return s
}

// swapReadLate: swap that was read after the kill may hold the victim's already.
func (e *explanation) swapReadLate() string {
	if e.swapGiven.Value > 0 {
		return ", read after the kill and less the victim's " + sizeText(e.swapGiven.Value)
	}
	return when(e.swapLate, ", read after the kill")
}

// lateDecides: what swap counts as depends on when it was read, so nothing is sure.
func (e *explanation) lateDecides(state string) bool {
	return e.swapLate && (!e.swapGiven.Known || e.swapClass(add(e.swapFree.Value, e.swapGiven.Value)) != state)
}

// swapoff: the device's pages are brought back while it counts as swap no more
// (mm/swapfile.c, swapoff), so that the total says 0 with some of it in use.
func (e *explanation) swapoff() bool {
	t, v, m := e.trigger, e.victim, e.memory
	const command = "swapoff"
	at := e.inStack("__do_sys_swapoff", "__se_sys_swapoff", "__x64_sys_swapoff", "__arm64_sys_swapoff", "SyS_swapoff", "sys_swapoff", "try_to_unuse")
	off, by, doubt := isNone(m.SwapTotalBytes), "", ""
	switch {
	case at, t.Comm == command && v.OOMOrigin.Or(false):
		by = " by " + process(t.PID, t.Comm)
	case v.OOMOrigin.Or(false) && v.Comm == command:
		by = " by " + process(v.PID, v.Comm)
	case t.Comm == command && e.rec.Source == oom.SourceKmsg && (off || v.Comm == command && !m.SwapTotalBytes.Known):
		by, doubt = " by "+process(t.PID, t.Comm), "another program of that name: the log lacks its stack"
	}
	used := uint64(0)
	if off {
		used = sumOf(m.SwapDevices, func(d *oom.SwapDevice) uint64 { return d.UsedBytes.Value })
	}
	if by == "" && used == 0 {
		return false
	}
	text := "swap is being turned off" + cmp.Or(by, " (swapoff)") + when(used > 0, ", with "+sizeText(used)+" still in it")
	e.add(finding{code: codeSwapoff, text: text, aside: text, lead: e.shortage() + ", and " + text, doubt: doubt})
	return true
}

// swapClass says what so many bytes free make of the machine's swap. Each CPU
// may hold back 128 slots for itself (mm/swap_slots.c up to 6.13); kernels
// without that cache miss hardly more than a cluster, for which 1 % stands.
func (f *facts) swapClass(free uint64) string {
	total := f.swapTotal.Value
	left := max(total/100, mul(uint64(f.rec.CPUs.Or(mostCPUs)), 128*pageBytes))
	if !f.rec.CPUs.Known {
		left = min(left, total/20)
	}
	switch {
	case free <= min(left, total/5):
		return codeSwapFull
	case ratio(free, total, 1, 5):
		return codeSwapIdle
	}
	return swapNearlyFull
}

// The sizes of pages that thresholds count in. With larger ones, as some arm64
// kernels have, the thresholds are low and the verdict is "nearly" rather than
// "full".
const (
	pageBytes     = 4 << 10
	hugePageBytes = 2 << 20
)

// mostCPUs is as many as the machines have of which there are more than a few.
const mostCPUs = 512

// swapCgroup looks at the limits on swap. The kernel asks every level from the
// page's own cgroup to the root (mm/memcontrol.c, mem_cgroup_get_nr_swap_pages),
// so one 0 on the way is enough.
func (e *explanation) swapCgroup() string {
	if s := e.swapLevels(); s != "" {
		return s
	}
	l := e.limit
	// The limit's own numbers are among the levels but for a deep cgroup.
	own := oom.CgroupLimit{Cgroup: l.Cgroup, SwapUsageBytes: l.SwapUsageBytes, SwapMaxBytes: l.SwapMaxBytes}
	n := e.levelsUp(l.Cgroup)
	if s := e.swapLevel(&own, n); s != "" {
		return s
	}
	return e.swapV1(n)
}

// farUp stands for a number of levels that is not known.
const farUp = 1 << 16

// levelsUp is how many levels a cgroup is above the victim's own.
func (e *explanation) levelsUp(cgroup string) int {
	v, own := e.victim, e.victimCgroup()
	below, ok := strings.CutPrefix(own, strings.TrimSuffix(cgroup, "/"))
	switch {
	case own == "" || cgroup == "", !ok && !levelsRead(v):
		return farUp
	case own == cgroup:
		return 0
	case !ok || v.CgroupCut.Or(false):
		return max(len(v.CgroupLimits), 1)
	}
	return strings.Count(below, "/")
}

// swapLevels asks the levels from the victim's own up, or those that all victims of a
// memory.oom.group share: one decision has one explanation.
func (e *explanation) swapLevels() string {
	levels := e.victim.CgroupLimits
	for i := e.groupLevel; i < len(levels); i++ {
		if s := e.swapLevel(&levels[i], i); s != "" {
			return s
		}
	}
	return ""
}

// swapLevel looks at one level, the n-th above the victim's own cgroup.
func (e *explanation) swapLevel(c *oom.CgroupLimit, n int) string {
	usage, maximum := c.SwapUsageBytes.Value, c.SwapMaxBytes.Value
	if isNone(c.SwapMaxBytes) {
		text := e.levelName(c.Cgroup, n) + " may not swap (memory.swap.max=0)"
		e.refused(codeSwapForbidden, text, text)
		if e.isContainer(c.Cgroup, n) {
			e.kubelet()
		}
		return codeSwapForbidden
	}
	// A huge page is charged as a whole, and each CPU may be about to charge a
	// batch of pages (SWAP_BATCH).
	left := add(hugePageBytes, mul(uint64(e.rec.CPUs.Value), 64*pageBytes))
	if sub(maximum, usage) <= left && ratio(usage, maximum, 1, 2) {
		e.refused(codeSwapCgroupFull, e.levelName(c.Cgroup, n)+" has used up its swap: "+partText(usage, maximum), "its swap is used up too")
		if e.isContainer(c.Cgroup, n) {
			e.kubeletShare(maximum)
		}
		return codeSwapCgroupFull
	}
	return ""
}

// refused: swap that a cgroup may not use.
func (e *explanation) refused(code, text, aside string) {
	e.add(finding{code: code, text: text, lead: e.outOfSwap("could not help: " + text), aside: when(e.cgroup, e.besideSwap(aside))})
}

// outOfSwap is a summary that says what became of swap.
func (e *explanation) outOfSwap(what string) string {
	return sprintf("%s, and swap (%s, %s free) %s", e.shortage(), sizeText(e.swapTotal.Value), percentText(e.swapFree.Value, e.swapTotal.Value), what)
}

// isContainer says whether a level is the container's own cgroup, the one that
// kubelet gives its limits: its name holds the container's id. A runtime may put
// the process a level below (crun does).
func (e *explanation) isContainer(cgroup string, n int) bool {
	c := e.victim.Container
	if c == nil || c.ID == "" {
		return c != nil && n == 0
	}
	return strings.Contains(cgroup[strings.LastIndexByte(cgroup, '/')+1:], c.ID)
}

// levelName names a level by what it is, never by its name.
func (e *explanation) levelName(cgroup string, n int) string {
	switch {
	case n == 0:
		return "its cgroup"
	case e.isContainer(cgroup, n):
		return "its container's cgroup"
	case e.cgroup && e.rec.Limit != nil && e.limit.Cgroup == cgroup:
		if word := e.levelWord(); word != anyLevel {
			return strings.Replace(word+" cgroup", "cgroup's cgroup", "cgroup", 1)
		}
		return "the cgroup at its limit"
	case n == 1:
		return "the cgroup above its own"
	}
	return sprintf("a cgroup %d levels above its own", n)
}

// swapV1 looks at v1's limit on memory and swap together, n levels above the victim's own
// cgroup. Swapping a page out does not lower that counter, so where it is no higher than the
// memory limit, reclaim does not even try (mm/memcontrol.c, try_charge: no MAY_SWAP). What is
// swapped out all the same is what other reclaim did, the machine's or an ancestor's.
func (e *explanation) swapV1(n int) string {
	l, memsw, who := e.limit, e.limit.MemswMaxBytes, e.levelName(e.limit.Cgroup, n)
	if all(memsw, l.MaxBytes).Known && memsw.Value <= l.MaxBytes.Value && !e.memsw {
		it := who
		if n == 0 {
			it = "it"
		}
		e.refused(codeSwapForbidden, sprintf("%s may not swap at its limit: memory.memsw.limit_in_bytes is %s, no more than the memory limit of %s",
			who, sizeText(memsw.Value), sizeText(l.MaxBytes.Value)), it+" may not swap (memsw limit equals memory limit)")
		if l.Level == oom.LevelContainer || l.Level == "" && e.isContainer(l.Cgroup, 0) {
			e.kubelet()
		}
		return codeSwapForbidden
	}
	if u := l.MemswUsageBytes; ratio(u.Value, memsw.Value, 99, 100) {
		beside := "its swap is used up too"
		if swapped := e.limitSwapped(); e.memsw && swapped > 0 {
			beside = sizeText(swapped) + " of it is in swap"
		}
		e.refused(codeSwapCgroupFull, who+" has used up memory and swap together: "+partText(u.Value, memsw.Value), beside)
		return codeSwapCgroupFull
	}
	return ""
}

// swapUnusedSystem explains why the machine's free swap took nothing.
func (e *explanation) swapUnusedSystem() string {
	code, most := e.swapRefused()
	zero := e.swappinessZero(e.unevictable, e.lruAnon)
	switch {
	case most:
	case zero:
		code = codeSwapSwappiness
	case code != "":
		e.unsure(code, "another cause: most of what could be swapped is not this process's")
	default:
		code = e.swapBusy()
	}
	if e.lateDecides(codeSwapIdle) {
		e.unsure(code, "another state of swap: it was read after the kill")
	}
	return code
}

// swapRefused looks for what the victim's cgroups may not swap. The machine's
// reclaim asks them too, page by page (mm/vmscan.c, can_reclaim_anon_pages), so
// that stays, and explains the kill if it is at least half of what could be
// swapped. cgroup v1 has no such limit here (mem_cgroup_get_nr_swap_pages).
func (e *explanation) swapRefused() (code string, most bool) {
	code = e.swapLevels()
	return code, code != "" && ratio(e.victim.AnonRSSBytes.Value, e.lruAnon.Value, 1, 2)
}

// locked looks for memory off the LRU lists of anonymous memory, which swap cannot
// take, whether there is swap or not. It is the verdict on a system if it dominates:
// otherwise swapping the rest would have helped. From a quarter on it is a reason.
// What one process locked counts for a process that was killed alone, not for a group.
func (e *explanation) locked(whole, unevictable, swappable size) bool {
	v, own := e.victim, uint64(0) // what is locked by this process
	if e.group == nil {
		// locked_vm counts address space; what is resident of it is at most rss.
		own = v.LockedVMBytes.Value
	}
	bytes := unevictable.Value
	most := dominates(bytes, whole.Value, swappable)
	if !unevictable.Known {
		bytes = min(own, v.RSSBytes.Value)
		most = ratio(bytes, whole.Value, 2, 5)
	}
	if !ratio(bytes, whole.Value, 1, 4) || e.cgroup && !most {
		return false
	}
	f, half := finding{code: codeSwapUnevictable, settles: most && !e.cgroup}, bytes/2+1
	switch {
	case !unevictable.Known:
		f.code = codeSwapMlocked
		f.text = sprintf("this process locked %s with mlock and holds %s of %s", sizeText(own), sizeText(v.RSSBytes.Value), sizeText(whole.Value))
	case !e.cgroup && e.mlocked.Value >= half:
		f.code = codeSwapMlocked
		f.text = partText(e.mlocked.Value, whole.Value) + " is locked with mlock and stays in memory"
	case own >= half:
		f.code = codeSwapMlocked
		f.text = sprintf("%s is unevictable; this process locked %s with mlock", partText(bytes, whole.Value), sizeText(own))
	case e.cgroup && all(e.cache, e.shmem).Known && sub(bytes, add(e.cache.Value, e.shmem.Value)) >= half:
		// Files and shared memory cannot be all of it, and of private memory only what
		// is locked is unevictable.
		f.code = codeSwapMlocked
		f.text = partText(bytes, whole.Value) + " is unevictable, most of it private memory locked with mlock"
	case !e.cgroup && !e.mlocked.Known && !v.LockedVMBytes.Known:
		f.text = partText(bytes, whole.Value) + " is unevictable and stays in memory"
		f.doubt = "memory locked with mlock: the record does not hold how much is"
	default:
		f.text = partText(bytes, whole.Value) + " is unevictable (ramfs, SHM_LOCK) and stays in memory"
	}
	f.lead, f.aside = e.shortage()+": "+f.text+e.moreSwap(), f.text
	switch {
	case e.cgroup && f.code == codeSwapMlocked:
		f.aside = "locked with mlock, it cannot be swapped"
	case e.cgroup:
		f.aside = "unevictable, it cannot be swapped"
	}
	e.add(f)
	return most
}

// swappinessZero: with swappiness 0, reclaim for a cgroup never scans anonymous
// memory (mm/vmscan.c, get_scan_count), nor does the multi-generational LRU, for
// the machine either (isolate_folios). The older LRU does so for the machine
// once the file pages and the free ones are below the high watermarks
// (prepare_scan_control, file_is_tiny), so it is not sure then.
func (e *explanation) swappinessZero(unevictable, swappable size) bool {
	value, own := e.ownSwappiness()
	if value != oom.Some(uint32(0)) {
		return false
	}
	text, whose := "vm.swappiness is 0", "vm.swappiness is 0"
	if own {
		text, whose = "the cgroup's memory.swappiness is 0", "its cgroup's swappiness is 0"
	}
	if swappable.Known {
		text += ", so " + sizeText(swappable.Value) + " of anonymous memory stays in memory"
	}
	if gen := e.memory.LRUGen; gen.Known && !e.cgroup && swappable.Known {
		if gen.Value {
			text += " (multi-generational LRU)"
		} else if e.fileIsTiny() {
			text += "; yet with so little page cache the kernel swaps all the same (file_is_tiny)"
		}
	}
	e.add(finding{code: codeSwapSwappiness, text: text, lead: e.outOfSwap(e.notUsed() + " because " + whose),
		aside: when(e.cgroup, "swap "+e.notUsed()+" because swappiness is 0"),
		doubt: e.swappinessDoubt(own, unevictable, swappable)})
	return true
}

// ownSwappiness is the swappiness that reclaim used for the victim's pages: on
// v1 that of its own cgroup, for the machine's reclaim too (mem_cgroup_swappiness),
// else vm.swappiness.
func (e *explanation) ownSwappiness() (value oom.Opt[uint32], own bool) {
	if levels := e.victim.CgroupLimits; len(levels) > 0 && levels[0].Swappiness.Known {
		return levels[0].Swappiness, true
	}
	if l := e.limit; e.cgroup && l.Version.Or(0) != 2 && (l.Swappiness.Known || l.Version.Or(0) == 1) {
		return l.Swappiness, true
	}
	return e.memory.Swappiness, false
}

func (e *explanation) swappinessDoubt(own bool, unevictable, swappable size) string {
	switch {
	case !unevictable.Known && !e.victim.LockedVMBytes.Known && (!e.cgroup || !swappable.Known):
		return "memory that is mlocked"
	case e.cgroup:
	case own && !ratio(e.victim.AnonRSSBytes.Value, e.lruAnon.Value, 1, 2):
		return "another swappiness of the cgroups that hold more"
	// What could have been swapped must be the most of what was in the way.
	case e.lruAnon.Known && e.lruAnon.Value <= max(e.kernelFixed.Value, e.unevictable.Value, e.missing.Value):
		return "memory that cannot be swapped: there is more of it"
	case !e.memory.LRUGen.Or(false) && e.fileIsTiny():
		return "swapping that was too slow: with little page cache the older LRU swaps at 0 too"
	}
	return ""
}

// fileIsTiny: file pages and free ones together are no more than the high
// watermarks.
func (e *explanation) fileIsTiny() bool {
	files := all(e.lruFile, e.free)
	return files.Known && files.Value <= sumOf(e.memory.Zones, func(z *oom.Zone) uint64 { return z.HighBytes.Value })
}

// swapBusy is for swap that is free and allowed, with anonymous memory to swap.
// Pages under writeback (of files and swap alike) show that reclaim was at it;
// from 1/64 of the RAM on that is more than a few batches. It is never sure.
func (e *explanation) swapBusy() string {
	used := sub(e.swapTotal.Value, e.swapFree.Value)
	if e.has(codeSwapTooSlow) {
		return codeSwapTooSlow
	}
	if ratio(e.writeback.Value, e.total.Value, 1, 64) && ratio(used, e.swapTotal.Value, 1, 20) {
		e.add(finding{code: codeSwapTooSlow, text: sprintf("%s of swap is in use and %s is under writeback", sizeText(used), sizeText(e.writeback.Value)),
			lead: e.outOfSwap("probably did not take memory fast enough"), doubt: "other work of the same disks"})
		return codeSwapTooSlow
	}
	if ratio(e.zspages.Value, e.total.Value, 1, 4) || e.has(codeMemoryZram) && e.gainless() {
		e.unsure(codeMemoryZram, "swapping that was too slow")
		return codeMemoryZram
	}
	if e.noBlocksOverMin() {
		return codeMemoryFragments
	}
	text := sprintf("swap was free, and the record does not show why it %s: %s free", e.notUsed(), sizeText(e.swapFree.Value))
	if v := e.memory.Swappiness; v.Known {
		text += sprintf(", vm.swappiness %d", v.Value)
	}
	e.add(finding{code: codeSwapUnexplained, text: text, doubt: e.swapGuesses(),
		lead: e.outOfSwap(e.notUsed() + ", for a reason that is not in the record")})
	return codeSwapUnexplained
}

// notUsed is what free swap was, from 1 % in use on.
func (e *explanation) notUsed() string {
	whole := e.swapTotal
	if e.cgroup {
		whole = e.usage
	}
	if ratio(e.swapped(), whole.Value, 1, 100) {
		return "did not take more"
	}
	return "was not used"
}

// swapGuesses are the causes that this record leaves open. The kernel's log has the limits of
// no cgroup; kubelet's NoSwap, the default, sets memory.swap.max to 0 for each container.
// Pinned pages stay on the LRU lists, so that nothing counts them here (mm/gup.c, FOLL_PIN).
func (e *explanation) swapGuesses() string {
	var guesses []string
	if v := e.victim; e.rec.Victim != nil && !levelsRead(v) {
		switch {
		case v.Pod != nil:
			guesses = append(guesses, "memory.swap.max=0 of the pod's cgroup (kubelet's NoSwap)")
		case v.Cgroup != "" && v.Cgroup != "/":
			guesses = append(guesses, "a cgroup that may not swap")
		}
	}
	if !e.memory.Swappiness.Known {
		guesses = append(guesses, "a swappiness of 0")
	}
	if !e.unevictable.Known || ratio(e.unevictable.Value, e.total.Value, 1, 4) {
		guesses = append(guesses, "locked memory")
	}
	return strings.Join(append(guesses, "slow swapping"), ", ") + " or pages pinned by a device"
}

// levelsRead says whether the limits of the victim's cgroups are in the record: of a log it may
// have a level for the little that the log says of it.
func levelsRead(v *oom.Victim) bool {
	return slices.ContainsFunc(v.CgroupLimits, func(l oom.CgroupLimit) bool { return l.UsageBytes.Known })
}
