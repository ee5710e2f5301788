package explain

import (
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// limit explains an OOM at a cgroup's limit: what fills it, whose it is, and why
// swap did not make room.
func (e *Explainer) limit() {
	e.ancestor()
	e.manyTasks(e.f.max, e.f.kernel, e.f.anon)
	e.holder()
	if e.swap() != swapFree || !e.swappableHolder() {
		return
	}
	// Swap does not decide the verdict here: the limit is full either way.
	swappable := e.limitSwappable()
	if e.swapUnused(e.f.usage, e.f.limitUnevictable, swappable) != "" || e.limitThrashing() {
		return
	}
	if swappable.Known {
		e.reason(codeSwapUnexplained).s("swap was free and the cgroup may swap, yet ").size(swappable.Value).
			s(" of anonymous memory stayed: the record does not show why")
		e.end()
	}
}

// limitThrashing: part of the cgroup's memory is in swap, and more is on its way
// there: reclaim was at it. As with swapBusy, that is likely and never sure.
func (e *Explainer) limitThrashing() bool {
	f := &e.f
	used, moving := f.limitSwapped(), max(f.limitWriteback.Value, f.swapcached.Value)
	if !ratio(used, f.usage.Value, 1, 20) || !ratio(moving, f.usage.Value, 1, 64) {
		return false
	}
	e.reason(codeSwapTooSlow).size(used).s(" of it is in swap and ").size(moving).s(" on the way there or back: probably swapping was too slow")
	e.end()
	return true
}

// limitSwapped is what the cgroup at its limit has in swap.
func (f *facts) limitSwapped() uint64 {
	l := f.rec.Limit
	if l.SwapUsageBytes.Known {
		return l.SwapUsageBytes.Value
	}
	if swapped := first(l.Stat, oom.LimitSwap); swapped.Known {
		return swapped.Value
	}
	return sub(l.MemswUsageBytes.Value, l.UsageBytes.Value)
}

func (e *Explainer) swappableHolder() bool { return e.has(codeLimitAnon) || e.has(codeLimitShmem) }

// limitSwappable is what is on the LRU lists of anonymous memory (shmem is on
// them too), or else what is not unevictable.
func (e *Explainer) limitSwappable() size {
	st := e.f.rec.Limit.Stat
	if lru := all(first(st, oom.LimitActiveAnon), first(st, oom.LimitInactiveAnon)); lru.Known {
		return lru
	}
	s := sum(e.f.anon, e.f.shmem)
	if s.Known {
		s.Value = sub(s.Value, e.f.limitUnevictable.Value)
	}
	return s
}

// levelWord names the cgroup at its limit by its kind, never by its name.
func (f *facts) levelWord() string {
	if f.rec.Limit == nil {
		return "the cgroup's"
	}
	switch f.rec.Limit.Level {
	case oom.LevelContainer:
		return "the container's"
	case oom.LevelPod:
		return "the pod's"
	case oom.LevelQoS:
		return "the QoS class's"
	case oom.LevelKubepods:
		return "the kubepods cgroup's"
	case oom.LevelService:
		return "the service's"
	case oom.LevelScope:
		return "the scope's"
	case oom.LevelSlice:
		return "the slice's"
	case oom.LevelRoot:
		return "the root cgroup's"
	}
	return "the cgroup's"
}

// ancestor tells the limit of a pod or slice from the victim's own. A runtime
// may put the process one level below the container's cgroup (crun does), and a
// service may do so for itself; such a limit is still the victim's own.
func (e *Explainer) ancestor() {
	v, l := e.f.rec.Victim, e.f.rec.Limit
	if v == nil || l == nil || l.Cgroup == "" || l.CgroupCut.Or(false) {
		return
	}
	below := l.Cgroup == "/" && v.Cgroup != "/" && v.Cgroup != ""
	if rest, ok := strings.CutPrefix(v.Cgroup, l.Cgroup); ok && strings.HasPrefix(rest, "/") {
		below = true
	}
	if v.CgroupCut.Or(false) {
		// Every victim of a cgroup's OOM lives in it or below.
		below = v.CgroupID.Known && l.CgroupID.Known && v.CgroupID != l.CgroupID
	}
	switch l.Level {
	case oom.LevelContainer:
		return
	case oom.LevelService, oom.LevelScope:
		below = below && v.Container != nil
	}
	if !below || !e.f.max.Known {
		return
	}
	t := e.reason(codeLimitAncestor).s("the limit of ").size(e.f.max.Value).s(" is ").s(e.f.levelWord()).s(", above the victim's own cgroup")
	own := ownLevel(v, l.Cgroup)
	if own == nil || !own.UsageBytes.Known {
		e.end()
		return
	}
	t.s(", which holds ").size(own.UsageBytes.Value)
	if own.MaxBytes.Known {
		t.s(" of its limit of ").size(own.MaxBytes.Value)
	} else {
		t.s(" and has no limit")
	}
	e.end()
	// With less than half, it is the neighbours that fill the limit.
	if e.f.usage.Known && !ratio(own.UsageBytes.Value, e.f.usage.Value, 1, 2) {
		e.settle(codeLimitAncestor)
	}
}

// ownLevel is the innermost level below the cgroup at its limit that has a limit
// of its own, or else the innermost one.
func ownLevel(v *oom.Victim, limit string) *oom.CgroupLimit {
	var own *oom.CgroupLimit
	for i := range v.CgroupLimits {
		c := &v.CgroupLimits[i]
		if c.Cgroup == limit {
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

// holder says what kind of memory fills the limit. A kind with half or more is
// the verdict; a smaller one is, if it is the largest, but unsure.
func (e *Explainer) holder() {
	f := &e.f
	whole := f.usage
	if !whole.Known {
		whole = f.max
	}
	if !whole.Known {
		return
	}
	kinds := [...]struct {
		code string
		size size
	}{{codeLimitAnon, f.anon}, {codeLimitShmem, f.shmem}, {codeLimitFile, f.cache}, {codeLimitKernel, f.kernel}}
	top := kinds[0]
	for _, k := range kinds[1:] {
		if k.size.Known && k.size.Value > top.size.Value {
			top = k
		}
	}
	// What no kind accounts for may be more than the largest of those known.
	rest := sub(whole.Value, sum(f.anon, f.shmem, f.cache, f.kernel).Value)
	if top.size.Value == 0 || top.size.Value < rest {
		e.holderUnknown(whole)
		return
	}
	code := top.code
	// Half of the cache: the clean half could have gone to make room.
	if code == codeLimitFile && ratio(f.dirty.Value, top.size.Value, 1, 2) {
		code = codeLimitDirty
	}
	e.holderReason(code, top.size.Value, whole.Value)
	if !ratio(top.size.Value, whole.Value, 1, 2) {
		e.unsure(code, "a mix of several kinds of memory")
	}
	switch {
	case code == codeLimitFile:
		e.fileDoubt()
	case code == codeLimitDirty && !f.swapcached.Known && f.rec.Limit != nil && f.limitSwapped() > 0:
		// NR_SWAPCACHE is there since 5.12.
		e.unsure(code, "memory on its way to swap: this kernel counts it as page cache")
	}
	e.settle(code)
}

// pinnedCache says that at least half of the cache cannot be dropped: what is
// unevictable, less all anonymous memory, which mlock may have put there.
func (f *facts) pinnedCache() bool {
	u := f.limitUnevictable
	return u.Known && f.anon.Known && f.cache.Known && ratio(sub(u.Value, f.anon.Value), f.cache.Value, 1, 2)
}

// fileDoubt: clean cache is dropped before the kernel kills, unless it cannot be.
func (e *Explainer) fileDoubt() {
	if e.f.pinnedCache() {
		return
	}
	if !e.f.clean {
		e.unsure(codeLimitFile, "cache that waits to be written")
		return
	}
	e.unsure(codeLimitFile, "cache that reclaim was too slow to drop")
}

// holderUnknown serves records without memory.stat: the victim's own memory may
// fill half of the limit alone.
func (e *Explainer) holderUnknown(whole size) {
	if a := e.f.victimAnon; a.Known && ratio(a.Value, whole.Value, 1, 2) {
		e.reason(codeLimitAnon).s("anonymous memory of this process: ").sizeOf(a.Value, whole.Value)
		e.end()
		e.settle(codeLimitAnon)
		return
	}
	if a := e.f.tasksAnon(); a.Known && ratio(a.Value, whole.Value, 1, 2) {
		e.reason(codeLimitAnon).s("anonymous memory of the tasks listed: ").sizeOf(a.Value, whole.Value)
		e.end()
		e.settle(codeLimitAnon)
		e.unsure(codeLimitAnon, "pages that forked tasks share: each counts them")
		return
	}
	e.reason(codeLimitFull).size(whole.Value).s(" in use")
	if e.f.max.Known {
		e.out.s(", limit ").size(e.f.max.Value)
	}
	e.end()
	e.settle(codeLimitFull)
	e.unsure(codeLimitFull, "any kind of memory: memory.stat is not in the record")
}

// tasksAnon is the anonymous memory of the candidates together.
func (f *facts) tasksAnon() size {
	var s size
	for i := range f.rec.Candidates {
		s = sum(s, f.rec.Candidates[i].AnonRSSBytes)
	}
	return s
}

func (e *Explainer) holderReason(code string, part, whole uint64) {
	f := &e.f
	t := e.reason(code)
	switch code {
	case codeLimitAnon:
		t.s("anonymous memory: ").sizeOf(part, whole)
		if f.victimAnon.Value > 0 {
			t.s(", this process holds ").size(f.victimAnon.Value)
		}
	case codeLimitShmem:
		t.s("tmpfs and shared memory: ").sizeOf(part, whole).s(", which only swap could hold instead")
	case codeLimitDirty:
		t.s("page cache: ").sizeOf(part, whole).s(", ").size(f.dirty.Value).s(" of it dirty or under writeback")
	case codeLimitFile:
		t.s("page cache: ").sizeOf(part, whole)
		if f.clean {
			t.s(", only ").size(f.dirty.Value).s(" of it dirty or under writeback")
		}
		if f.pinnedCache() {
			t.s("; ").size(f.limitUnevictable.Value).s(" is unevictable (ramfs, or locked with mlock)")
		}
	case codeLimitKernel:
		t.s("kernel memory: ").sizeOf(part, whole)
		e.kernelDetail()
	}
	e.end()
}

func (e *Explainer) kernelDetail() {
	if v := e.f.kernelSlab; v.Value > 0 {
		e.out.s(", slab ").size(v.Value)
	}
	if v := e.f.kernelTables; v.Value > 0 {
		e.out.s(", page tables ").size(v.Value)
	}
	if v := e.f.sock; v.Value > 0 {
		e.out.s(", sockets ").size(v.Value)
	}
}

// A fork bomb is told from a busy machine by arithmetic: at least manyTasks of
// them, none above 1/32 of the memory, and yet together they hold half of it, and
// half of it is anonymous: what tasks share counts for each of them.
const manyTasks = 64

func (e *Explainer) manyTasks(whole, kernel, anonymous size) {
	rec := e.f.rec
	total, ok := rec.CandidatesTotal.Get()
	if !whole.Known || !ok || total < manyTasks || len(rec.Candidates) == 0 {
		return
	}
	t, ok := sizeTasks(rec.Candidates)
	if !ok || ratio(t.biggest, whole.Value, 1, 32) {
		return
	}
	all := rec.CandidatesBytes
	if !all.Known {
		// The candidates are the worst of all: one that is not listed counts at
		// most as big as the smallest that is.
		all = oom.Some(add(t.listed, mul(sub(total, t.n), t.smallest)))
	}
	if !ratio(all.Value, whole.Value, 1, 2) || anonymous.Known && !ratio(anonymous.Value, whole.Value, 1, 2) {
		return
	}
	// Kernel memory comes with every task: 16 KiB of stack, the page tables, its
	// objects in slab. Much beyond 256 KiB a task it is the kernel that holds it.
	if ratio(kernel.Value, whole.Value, 2, 5) && kernel.Value/total > 256<<10 {
		return
	}
	r := e.reason(codeManyTasks).u(total).s(" tasks, the biggest of them ").sizeOf(t.biggest, whole.Value)
	if rec.CandidatesBytes.Known {
		r.s("; together they hold ").size(all.Value)
	}
	e.end()
	e.settle(codeManyTasks)
	switch {
	case !rec.CandidatesBytes.Known:
		e.unsure(codeManyTasks, "something else: the record does not hold the tasks' sum")
	case !anonymous.Known:
		e.unsure(codeManyTasks, "memory that they share, counted for each of them")
	case t.same*2 < t.n || rec.Candidates[0].Comm == "":
		e.unsure(codeManyTasks, "ordinary tasks that add up: they have different names")
	}
}

// taskSizes are those of the tasks listed; same have the first one's name.
type taskSizes struct{ n, biggest, smallest, listed, same uint64 }

func sizeTasks(tasks []oom.Candidate) (t taskSizes, ok bool) {
	t.n, t.smallest = uint64(len(tasks)), ^uint64(0)
	for i := range tasks {
		c := &tasks[i]
		s := taskSize(c.RSSBytes, c.SwapBytes, c.PgtablesBytes)
		if !s.Known {
			return t, false
		}
		t.biggest, t.smallest, t.listed = max(t.biggest, s.Value), min(t.smallest, s.Value), add(t.listed, s.Value)
		if c.Comm == tasks[0].Comm {
			t.same++
		}
	}
	return t, true
}
