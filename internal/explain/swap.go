package explain

import (
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// swapState says what stood in the way of swapping, strongest first.
type swapState int

const (
	swapUnknown swapState = iota
	swapNone
	swapForbidden
	swapCgroupFull
	swapFull
	swapNearlyFull
	swapFree
)

// swap gives the reasons on the swap of the machine and, for the limit of a
// cgroup, of the cgroups on the victim's way up; it returns what they amount to.
func (e *Explainer) swap() swapState {
	state := e.swapMachine()
	if !e.f.cgroup || state == swapNone {
		return state
	}
	if s := e.swapCgroup(); s != swapUnknown {
		return s
	}
	return state
}

// swapMachine: swap is full when hardly a slot is left, free from 20 % on, and
// nearly full between the two, where what is left may be out of reach.
func (e *Explainer) swapMachine() swapState {
	f := &e.f
	if !f.swapTotal.Known {
		return swapUnknown
	}
	if f.swapTotal.Value == 0 {
		e.reason(codeSwapNone).s("no swap is configured (0 B)")
		e.end()
		return swapNone
	}
	if !f.swapFree.Known {
		return swapUnknown
	}
	state := f.swapClass(f.swapFree.Value)
	switch state {
	case swapFree:
		e.reason(codeSwapIdle).sizeOf(f.swapFree.Value, f.swapTotal.Value).s(" of swap is free")
	case swapFull:
		e.reason(codeSwapFull).s("swap is used up: ").sizeOf(f.swapFree.Value, f.swapTotal.Value).s(" is free")
	default:
		e.reason(codeSwapFull).s("swap is nearly used up: ").sizeOf(f.swapFree.Value, f.swapTotal.Value).s(" is free")
		if !f.cgroup {
			e.unsure(codeSwapFull, "swap that could not be reached")
		}
	}
	e.swapReadLate(state)
	e.end()
	return state
}

// swapReadLate: swap that was read after the kill may hold the victim's already.
// Where that decides what swap counts as, nothing is sure.
func (e *Explainer) swapReadLate(state swapState) {
	f := &e.f
	if !f.swapLate {
		return
	}
	e.out.s(", read after the kill")
	if f.swapGiven > 0 {
		e.out.s(" and less the victim's ").size(f.swapGiven)
	}
	if f.swapGivenKnown && f.swapClass(add(f.swapFree.Value, f.swapGiven)) == state {
		return
	}
	for _, code := range [...]string{codeSwapFull, codeSwapSwappiness, codeSwapUnexplained, codeSwapTooSlow, codeSwapForbidden, codeSwapCgroupFull} {
		e.unsure(code, "another state of swap: it was read after the kill")
	}
}

// swapClass says what so many bytes free make of the machine's swap. Each CPU
// may hold back 128 slots for itself (mm/swap_slots.c up to 6.13); kernels
// without that cache miss hardly more than a cluster, for which 1 % stands.
func (f *facts) swapClass(free uint64) swapState {
	total := f.swapTotal.Value
	left := max(total/100, mul(uint64(f.rec.CPUs.Value), 128*pageBytes))
	if !f.rec.CPUs.Known {
		left = total / 20
	}
	switch {
	case free <= min(left, total/5):
		return swapFull
	case ratio(free, total, 1, 5):
		return swapFree
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

// swapCgroup looks at the limits on swap. The kernel asks every level from the
// page's own cgroup to the root (mm/memcontrol.c, mem_cgroup_get_nr_swap_pages),
// so one 0 on the way is enough.
func (e *Explainer) swapCgroup() swapState {
	rec, l := e.f.rec, e.f.rec.Limit
	if s := e.swapLevels(); s != swapUnknown {
		return s
	}
	if l == nil {
		return swapUnknown
	}
	// The limit's own numbers are among the levels but for a deep cgroup.
	own := oom.CgroupLimit{Cgroup: l.Cgroup, SwapUsageBytes: l.SwapUsageBytes, SwapMaxBytes: l.SwapMaxBytes}
	n := len(victimLevels(rec.Victim))
	if rec.Victim != nil && rec.Victim.Cgroup == l.Cgroup {
		n = 0
	}
	if s := e.swapLevel(&own, n); s != swapUnknown {
		return s
	}
	return e.swapV1(l)
}

func victimLevels(v *oom.Victim) []oom.CgroupLimit {
	if v == nil {
		return nil
	}
	return v.CgroupLimits
}

func (e *Explainer) swapLevels() swapState {
	levels := victimLevels(e.f.rec.Victim)
	for i := range levels {
		if s := e.swapLevel(&levels[i], i); s != swapUnknown {
			return s
		}
	}
	return swapUnknown
}

// swapLevel looks at one level, the n-th above the victim's own cgroup.
func (e *Explainer) swapLevel(c *oom.CgroupLimit, n int) swapState {
	if !c.SwapMaxBytes.Known {
		return swapUnknown
	}
	usage, maximum := c.SwapUsageBytes, c.SwapMaxBytes.Value
	if maximum == 0 {
		t := e.reason(codeSwapForbidden)
		e.levelName(c.Cgroup, n)
		t.s(" may not swap (memory.swap.max=0)")
		e.end()
		if e.isContainer(c.Cgroup, n) {
			e.kubelet()
		}
		return swapForbidden
	}
	// A huge page is charged as a whole, and each CPU may be about to charge a
	// batch of pages (SWAP_BATCH).
	left := add(hugePageBytes, mul(uint64(e.f.rec.CPUs.Value), 64*pageBytes))
	if usage.Known && sub(maximum, usage.Value) <= left && ratio(usage.Value, maximum, 1, 2) {
		t := e.reason(codeSwapCgroupFull)
		e.levelName(c.Cgroup, n)
		t.s(" has used up its swap: ").sizeOf(usage.Value, maximum)
		e.end()
		if e.isContainer(c.Cgroup, n) {
			e.kubeletShare(maximum)
		}
		return swapCgroupFull
	}
	return swapUnknown
}

// isContainer says whether a level is the container's own cgroup, the one that
// kubelet gives its limits: its name holds the container's id. A runtime may put
// the process a level below (crun does).
func (e *Explainer) isContainer(cgroup string, n int) bool {
	v := e.f.rec.Victim
	if v == nil || v.Container == nil {
		return false
	}
	if v.Container.ID == "" {
		return n == 0
	}
	return strings.Contains(cgroup[strings.LastIndexByte(cgroup, '/')+1:], v.Container.ID)
}

// levelName names a level by what it is, never by its name.
func (e *Explainer) levelName(cgroup string, n int) {
	t, l := &e.out, e.f.rec.Limit
	switch {
	case n == 0:
		t.s("its cgroup")
	case e.isContainer(cgroup, n):
		t.s("its container's cgroup")
	case e.f.cgroup && l != nil && l.Cgroup == cgroup:
		t.s("the cgroup at its limit")
	case n == 1:
		t.s("the cgroup above its own")
	default:
		t.s("a cgroup ").n(int64(n)).s(" levels above its own")
	}
}

// swapV1 looks at v1's limit on memory and swap together. Swapping a page out
// does not lower that counter, so where it is no higher than the memory limit,
// reclaim does not even try (mm/memcontrol.c, try_charge: no MAY_SWAP).
func (e *Explainer) swapV1(l *oom.Limit) swapState {
	memsw := l.MemswMaxBytes
	if !memsw.Known {
		return swapUnknown
	}
	if l.MaxBytes.Known && memsw.Value <= l.MaxBytes.Value {
		e.reason(codeSwapForbidden).s("its cgroup may not swap: memory.memsw.limit_in_bytes is ").size(memsw.Value).
			s(", no more than the memory limit of ").size(l.MaxBytes.Value)
		e.end()
		if l.Level == oom.LevelContainer || l.Level == "" && e.isContainer(l.Cgroup, 0) {
			e.kubelet()
		}
		return swapForbidden
	}
	if u := l.MemswUsageBytes; u.Known && ratio(u.Value, memsw.Value, 99, 100) {
		e.reason(codeSwapCgroupFull).s("its cgroup has used up memory and swap together: ").sizeOf(u.Value, memsw.Value)
		e.end()
		return swapCgroupFull
	}
	return swapUnknown
}

// swapUnusedSystem explains why the machine's free swap took nothing.
func (e *Explainer) swapUnusedSystem() string {
	f := &e.f
	if code := e.locked(f.total, f.unevictable, f.lruAnon); code != "" {
		return code
	}
	code, most := e.swapRefused()
	zero := e.swappinessZero(f.unevictable, f.lruAnon)
	switch {
	case most:
		return code
	case zero != "":
		return zero
	case code != "":
		e.unsure(code, "another cause: most of what could be swapped is not this process's")
		return code
	}
	return e.swapBusy()
}

// swapRefused looks for what the victim's cgroups may not swap. The machine's
// reclaim asks them too, page by page (mm/vmscan.c, can_reclaim_anon_pages), so
// that stays, and explains the kill if it is at least half of what could be
// swapped. cgroup v1 has no such limit here (mem_cgroup_get_nr_swap_pages).
func (e *Explainer) swapRefused() (code string, most bool) {
	switch e.swapLevels() {
	case swapForbidden:
		code = codeSwapForbidden
	case swapCgroupFull:
		code = codeSwapCgroupFull
	}
	f := &e.f
	return code, code != "" && f.lruAnon.Known && ratio(f.victimAnon.Value, f.lruAnon.Value, 1, 2)
}

// swapUnused explains why swap that was free took nothing, and reports the code
// that explains it, or "".
//
// whole is the memory in question, swappable the part of it that could go to
// swap. Pages off the LRU lists of anonymous memory cannot, so the rule for
// locked memory comes first: swappiness does not matter to them.
func (e *Explainer) swapUnused(whole, unevictable, swappable size) string {
	if code := e.locked(whole, unevictable, swappable); code != "" {
		return code
	}
	return e.swappinessZero(unevictable, swappable)
}

// locked asks that the locked memory dominates: otherwise swapping the rest
// would have helped.
func (e *Explainer) locked(whole, unevictable, swappable size) string {
	v := e.f.rec.Victim
	if !whole.Known {
		return ""
	}
	if unevictable.Known {
		if !dominates(unevictable.Value, whole.Value, swappable) {
			return ""
		}
		half := unevictable.Value/2 + 1
		mlocked := !e.f.cgroup && e.f.mlocked.Known && e.f.mlocked.Value >= half
		if mlocked {
			e.reason(codeSwapMlocked).sizeOf(e.f.mlocked.Value, whole.Value).s(" is locked with mlock and stays in memory")
		} else if v != nil && v.LockedVMBytes.Or(0) >= half {
			e.reason(codeSwapMlocked).sizeOf(unevictable.Value, whole.Value).s(" is unevictable; this process locked ").
				size(v.LockedVMBytes.Value).s(" with mlock")
		} else {
			e.reason(codeSwapUnevictable).sizeOf(unevictable.Value, whole.Value).s(" is unevictable and stays in memory")
			e.end()
			return codeSwapUnevictable
		}
		e.end()
		return codeSwapMlocked
	}
	if v == nil || !v.RSSBytes.Known {
		return ""
	}
	// locked_vm counts address space; what is resident of it is at most rss.
	if locked := min(v.LockedVMBytes.Or(0), v.RSSBytes.Value); ratio(locked, whole.Value, 2, 5) {
		e.reason(codeSwapMlocked).s("this process locked ").size(v.LockedVMBytes.Value).s(" with mlock and holds ").
			size(v.RSSBytes.Value).s(" of ").size(whole.Value)
		e.end()
		return codeSwapMlocked
	}
	return ""
}

// swappinessZero: with swappiness 0, reclaim for a cgroup never scans anonymous
// memory (mm/vmscan.c, get_scan_count), nor does the multi-generational LRU, for
// the machine either (isolate_folios). The older LRU does so for the machine
// once the file pages and the free ones are below the high watermarks
// (prepare_scan_control, file_is_tiny), so it is not sure then.
func (e *Explainer) swappinessZero(unevictable, swappable size) string {
	value, own := e.ownSwappiness()
	if !value.Known || value.Value != 0 {
		return ""
	}
	t := e.reason(codeSwapSwappiness)
	if own {
		t.s("the cgroup's memory.swappiness is 0")
	} else {
		t.s("vm.swappiness is 0")
	}
	if swappable.Known {
		t.s(", so ").size(swappable.Value).s(" of anonymous memory stays in memory")
	}
	if e.f.lruGen.Known && !e.f.cgroup && swappable.Known {
		if e.f.lruGen.Value {
			t.s(" (multi-generational LRU)")
		} else if e.fileIsTiny() {
			t.s("; yet with so little page cache the kernel swaps all the same (file_is_tiny)")
		}
	}
	e.end()
	e.swappinessDoubts(own, unevictable, swappable)
	return codeSwapSwappiness
}

// ownSwappiness is the swappiness that reclaim used for the victim's pages: on
// v1 that of its own cgroup, for the machine's reclaim too (mem_cgroup_swappiness),
// else vm.swappiness.
func (e *Explainer) ownSwappiness() (value oom.Opt[uint32], own bool) {
	if levels := victimLevels(e.f.rec.Victim); len(levels) > 0 && levels[0].Swappiness.Known {
		return levels[0].Swappiness, true
	}
	if l := e.f.rec.Limit; e.f.cgroup && l != nil && l.Version.Or(0) != 2 && (l.Swappiness.Known || l.Version.Or(0) == 1) {
		return l.Swappiness, true
	}
	return e.f.swappiness, false
}

func (e *Explainer) swappinessDoubts(own bool, unevictable, swappable size) {
	f := &e.f
	if !unevictable.Known && (f.rec.Victim == nil || !f.rec.Victim.LockedVMBytes.Known) {
		if !f.cgroup || !swappable.Known {
			e.unsure(codeSwapSwappiness, "memory that is mlocked")
		}
	}
	if levels := victimLevels(f.rec.Victim); own && f.cgroup && f.rec.Victim != nil && f.rec.Victim.Cgroup != f.rec.Limit.Cgroup &&
		(len(levels) == 0 || !levels[0].Swappiness.Known) {
		e.unsure(codeSwapSwappiness, "another swappiness of the victim's own cgroup")
	}
	if f.cgroup {
		return
	}
	if own && !ratio(f.victimAnon.Value, f.lruAnon.Value, 1, 2) {
		e.unsure(codeSwapSwappiness, "another swappiness of the cgroups that hold more")
	}
	// What could have been swapped must be the most of what was in the way.
	if most := max(f.kernelFixed.Value, f.unevictable.Value, f.missing.Value); f.lruAnon.Known && f.lruAnon.Value <= most {
		e.unsure(codeSwapSwappiness, "memory that cannot be swapped: there is more of it")
	}
	if !f.lruGen.Or(false) && e.fileIsTiny() {
		e.unsure(codeSwapSwappiness, "swapping that was too slow: with little page cache the older LRU swaps at 0 too")
	}
}

// fileIsTiny: file pages and free ones together are no more than the high
// watermarks.
func (e *Explainer) fileIsTiny() bool {
	f := &e.f
	if !f.lruFile.Known || !f.free.Known || f.rec.Memory == nil {
		return false
	}
	high := uint64(0)
	for i := range f.rec.Memory.Zones {
		high = add(high, f.rec.Memory.Zones[i].HighBytes.Value)
	}
	return add(f.lruFile.Value, f.free.Value) <= high
}

// kubelet says which of kubelet's rules set memory.swap.max to 0
// (pkg/kubelet/kuberuntime/kuberuntime_container_linux.go): NoSwap, or under
// LimitedSwap any pod that is not burstable, a critical pod, and a container
// without a memory request or with one equal to its limit.
func (e *Explainer) kubelet() {
	v := e.f.rec.Victim
	if v == nil || v.Pod == nil || v.Pod.UID == "" && v.Pod.Namespace == "" {
		return
	}
	qos := qosWord(v.Pod.QoS)
	fixed := qos == "guaranteed" || qos == "besteffort"
	switch behavior := v.Pod.SwapBehavior; {
	case behavior == "NoSwap":
		e.reason(codeKubeletNoSwap).s("kubelet runs with swapBehavior NoSwap: no swap for any pod")
	case qos == "":
		// A podman pod has an id but no QoS class.
		return
	case fixed:
		e.reason(codeKubeletQoS).s("kubelet gives ").s(qos).s(" pods no swap, under NoSwap and LimitedSwap alike")
	case e.f.rec.Limit != nil && e.f.rec.Limit.MemswMaxBytes.Known:
		e.reason(codeKubeletUnsure).s("on cgroup v1 kubelet sets the limit on memory and swap to the memory limit, under NoSwap and LimitedSwap alike")
	case behavior == "LimitedSwap":
		e.kubeletRequest(v.Container)
	default:
		e.reason(codeKubeletUnsure).s("memory.swap.max=0 of this burstable pod comes from NoSwap, or from LimitedSwap with a request equal to the limit, " +
			"no request, or a critical pod: the record does not show which")
	}
	e.end()
}

func (e *Explainer) kubeletRequest(c *oom.Container) {
	if c != nil && c.MemoryRequestBytes.Known {
		request, limit := c.MemoryRequestBytes.Value, c.MemoryLimitBytes
		if request == 0 {
			e.reason(codeKubeletRequest).s("LimitedSwap gives a container with a memory request of 0 no swap")
			return
		}
		if limit.Known && limit.Value == request {
			e.reason(codeKubeletRequest).s("LimitedSwap gives a container whose memory request equals its limit (").size(limit.Value).s(") no swap")
			return
		}
	}
	e.reason(codeKubeletUnsure).s("under LimitedSwap, memory.swap.max=0 of this burstable pod comes from a request equal to the limit, " +
		"no request, or a critical pod: the record does not show which")
}

// kubeletShare: a finite share of swap is LimitedSwap's, in proportion to the
// memory request.
func (e *Explainer) kubeletShare(share uint64) {
	v := e.f.rec.Victim
	if v == nil || v.Pod == nil || v.Pod.SwapBehavior != "LimitedSwap" || v.Pod.QoS != "burstable" {
		return
	}
	e.reason(codeKubeletLimited).s("LimitedSwap gave the container ").size(share).s(" of swap, in proportion to its memory request")
	e.end()
}

// qosWord keeps text of a pod's annotation out of the explanation.
func qosWord(s string) string {
	switch s {
	case "guaranteed", "burstable", "besteffort":
		return s
	}
	return ""
}
