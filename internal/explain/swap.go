package explain

import "github.com/oomtrace/oomtrace/internal/oom"

// swapState says what stood in the way of swapping, strongest first.
type swapState int

const (
	swapUnknown swapState = iota
	swapNone
	swapForbidden
	swapCgroupFull
	swapFull
	swapFree
)

// swap gives the reasons on the swap of the machine and of the cgroups on the
// victim's way up, and returns what they amount to.
func (e *Explainer) swap() swapState {
	state := e.swapMachine()
	if !e.f.cgroup {
		return state
	}
	if s := e.swapCgroup(); s != swapUnknown && state != swapNone {
		return s
	}
	return state
}

// Swap counts as used up with 5 % or less free: each CPU may hold back 128 slots
// for itself (mm/swap_slots.c up to 6.13) and clusters half used are not found
// at once. From 20 % on it counts as free. Between the two it is called used up,
// unsure.
func (e *Explainer) swapMachine() swapState {
	f := &e.f
	if !f.swapTotal.Known {
		return swapUnknown
	}
	total := f.swapTotal.Value
	if total == 0 {
		e.reason(codeSwapNone).s("no swap is configured (0 B)")
		e.end()
		return swapNone
	}
	if !f.swapFree.Known {
		return swapUnknown
	}
	free := f.swapFree.Value
	if ratio(free, total, 1, 5) {
		e.reason(codeSwapIdle).sizeOf(free, total).s(" of swap is free")
		e.end()
		return swapFree
	}
	e.reason(codeSwapFull).s("swap is used up: ").sizeOf(free, total).s(" is free")
	e.end()
	if ratio(free, total, 1, 20) && !f.cgroup {
		e.unsure(codeSwapFull, "swap that could not be reached")
	}
	return swapFull
}

// swapCgroup looks at the limits on swap. The kernel asks every level from the
// page's own cgroup to the root (mm/memcontrol.c, mem_cgroup_get_nr_swap_pages),
// so one 0 on the way is enough.
func (e *Explainer) swapCgroup() swapState {
	rec, l := e.f.rec, e.f.rec.Limit
	if rec.Victim != nil {
		for i := range rec.Victim.CgroupLimits {
			c := &rec.Victim.CgroupLimits[i]
			if s := e.swapLevel(c.SwapUsageBytes, c.SwapMaxBytes); s != swapUnknown {
				return s
			}
		}
	}
	if l == nil {
		return swapUnknown
	}
	if s := e.swapLevel(l.SwapUsageBytes, l.SwapMaxBytes); s != swapUnknown {
		return s
	}
	return e.swapV1(l)
}

func (e *Explainer) swapLevel(usage, maximum size) swapState {
	if !maximum.Known {
		return swapUnknown
	}
	if maximum.Value == 0 {
		e.reason(codeSwapForbidden).s("its cgroup may not swap (memory.swap.max=0)")
		e.end()
		e.kubelet()
		return swapForbidden
	}
	// The same 5 % as for the machine's swap.
	if usage.Known && ratio(usage.Value, maximum.Value, 19, 20) {
		e.reason(codeSwapCgroupFull).s("its cgroup has used up its swap: ").sizeOf(usage.Value, maximum.Value)
		e.end()
		e.kubeletShare(maximum.Value)
		return swapCgroupFull
	}
	return swapUnknown
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
		return swapForbidden
	}
	if u := l.MemswUsageBytes; u.Known && ratio(u.Value, memsw.Value, 99, 100) {
		e.reason(codeSwapCgroupFull).s("its cgroup has used up memory and swap together: ").sizeOf(u.Value, memsw.Value)
		e.end()
		return swapCgroupFull
	}
	return swapUnknown
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
// (prepare_scan_control, file_is_tiny); swap is then in use, and the verdict is
// not sure.
func (e *Explainer) swappinessZero(unevictable, swappable size) string {
	value, own := e.f.swappiness, false
	if l := e.f.rec.Limit; e.f.cgroup && l != nil && l.Version.Or(0) != 2 && (l.Swappiness.Known || l.Version.Or(0) == 1) {
		value, own = l.Swappiness, true
	}
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
	e.end()
	e.swappinessDoubts(own, unevictable, swappable)
	return codeSwapSwappiness
}

func (e *Explainer) swappinessDoubts(own bool, unevictable, swappable size) {
	f := &e.f
	if !unevictable.Known && (f.rec.Victim == nil || !f.rec.Victim.LockedVMBytes.Known) {
		if !f.cgroup || !swappable.Known {
			e.unsure(codeSwapSwappiness, "memory that is mlocked")
		}
	}
	// v1: the swappiness that counts is that of the page's own cgroup.
	if own && f.rec.Victim != nil && f.rec.Victim.Cgroup != f.rec.Limit.Cgroup {
		e.unsure(codeSwapSwappiness, "another swappiness of the victim's own cgroup")
	}
	if f.cgroup || !f.lruFile.Known || !f.free.Known || f.rec.Memory == nil {
		return
	}
	high := uint64(0)
	for i := range f.rec.Memory.Zones {
		high = add(high, f.rec.Memory.Zones[i].HighBytes.Value)
	}
	used := sub(f.swapTotal.Value, f.swapFree.Value)
	if add(f.lruFile.Value, f.free.Value) <= high && ratio(used, f.swapTotal.Value, 1, 10) {
		e.unsure(codeSwapSwappiness, "swapping that was too slow")
	}
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
		e.reason(codeKubeletNoSwap).s("kubelet runs with swapBehavior NoSwap: memory.swap.max=0 for every pod")
	case qos == "":
		// A podman pod has an id but no QoS class.
		return
	case fixed:
		e.reason(codeKubeletQoS).s("kubelet gives ").s(qos).s(" pods memory.swap.max=0, under NoSwap and LimitedSwap alike")
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
