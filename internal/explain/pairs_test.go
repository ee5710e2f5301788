package explain

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

func b(v uint64) size { return oom.Some(v) }

type change func(*oom.Record)

// system is a 4 GiB machine that is out of memory, filled with anonymous memory
// of one process, with 2 GiB of swap in use to the end.
func system(changes ...change) *oom.Record {
	r := &oom.Record{
		Kind: oom.KindKill, Scope: oom.ScopeSystem,
		Victim: &oom.Victim{
			PID: oom.Some(int32(100)), RSSBytes: b(3 * gib), AnonRSSBytes: b(3 * gib), SwapBytes: b(1900 * mib),
			OOMScoreAdj: oom.Some(int32(0)), BadnessPages: oom.Some(int64(1 << 20)), LockedVMBytes: b(0),
		},
		Trigger: &oom.Trigger{PID: oom.Some(int32(100)), Order: oom.Some(int32(0)), GFPMask: oom.Some(uint32(0x140dca))},
		Memory: &oom.Memory{
			TotalBytes: b(4 * gib), FreeBytes: b(40 * mib), SwapTotalBytes: b(2 * gib), SwapFreeBytes: b(0),
			Swappiness: oom.Some(uint32(60)),
			Stat: oom.Stats{
				{Name: oom.StatActiveAnon, Bytes: 1 * gib}, {Name: oom.StatInactiveAnon, Bytes: 2 * gib},
				{Name: oom.StatActiveFile, Bytes: 8 * mib}, {Name: oom.StatInactiveFile, Bytes: 8 * mib},
				{Name: oom.StatUnevictable, Bytes: 0}, {Name: oom.StatMlocked, Bytes: 0}, {Name: oom.StatShmem, Bytes: 0},
				{Name: oom.StatSlabReclaimable, Bytes: 50 * mib}, {Name: oom.StatSlabUnrecl, Bytes: 100 * mib},
				{Name: oom.StatKernelStack, Bytes: 10 * mib}, {Name: oom.StatPageTable, Bytes: 20 * mib},
				{Name: oom.StatFileWriteback, Bytes: 0},
			},
			Zones: []oom.Zone{
				zone(0, "DMA32", 20*mib, 20*mib, 30*mib), zone(0, "Normal", 20*mib, 20*mib, 30*mib),
			},
		},
	}
	for _, c := range changes {
		c(r)
	}
	return r
}

func zone(node int32, name string, free, minimum, high uint64) oom.Zone {
	return oom.Zone{Node: oom.Some(node), Zone: name, FreeBytes: b(free), MinBytes: b(minimum), HighBytes: b(high)}
}

// limited is a cgroup of 256 MiB full of anonymous memory of one process, on a
// machine with free swap that the cgroup may use.
func limited(changes ...change) *oom.Record {
	r := &oom.Record{
		Kind: oom.KindKill, Scope: oom.ScopeCgroup,
		Victim: &oom.Victim{
			PID: oom.Some(int32(100)), RSSBytes: b(252 * mib), AnonRSSBytes: b(250 * mib), OOMScoreAdj: oom.Some(int32(0)),
			BadnessPages: oom.Some(int64(1 << 16)), Cgroup: "/a", CgroupLimits: []oom.CgroupLimit{{Cgroup: "/a", UsageBytes: b(256 * mib), MaxBytes: b(256 * mib)}},
		},
		Limit: &oom.Limit{
			Cgroup: "/a", Level: oom.LevelCgroup, UsageBytes: b(256 * mib), MaxBytes: b(256 * mib), SwapUsageBytes: b(0), Version: oom.Some(uint32(2)),
			Stat: oom.Stats{
				{Name: oom.LimitAnon, Bytes: 251 * mib}, {Name: oom.LimitFile, Bytes: 2 * mib}, {Name: oom.LimitKernel, Bytes: 3 * mib},
				{Name: oom.LimitShmem, Bytes: 0}, {Name: oom.LimitUnevictable, Bytes: 0},
			},
		},
		Memory: &oom.Memory{TotalBytes: b(4 * gib), FreeBytes: b(3 * gib), SwapTotalBytes: b(2 * gib), SwapFreeBytes: b(2 * gib), Swappiness: oom.Some(uint32(60))},
	}
	for _, c := range changes {
		c(r)
	}
	return r
}

func limitedV1(changes ...change) *oom.Record {
	return limited(append([]change{func(r *oom.Record) {
		l := r.Limit
		l.Version, l.SwapUsageBytes = oom.Some(uint32(1)), size{}
		l.Stat = oom.Stats{{Name: oom.LimitV1RSS, Bytes: 251 * mib}, {Name: oom.LimitV1Cache, Bytes: 2 * mib}, {Name: oom.LimitUnevictable, Bytes: 0}}
		l.Swappiness = oom.Some(uint32(60))
	}}, changes...)...)
}

func set(s *oom.Stats, name string, v uint64) {
	for i := range *s {
		if (*s)[i].Name == name {
			(*s)[i].Bytes = v
			return
		}
	}
	*s = append(*s, oom.Stat{Name: name, Bytes: v})
}

func stat(name string, v uint64) change { return func(r *oom.Record) { set(&r.Memory.Stat, name, v) } }

func limitStat(name string, v uint64) change {
	return func(r *oom.Record) {
		set(&r.Limit.Stat, name, v)
		if name == oom.LimitAnon {
			r.Victim.AnonRSSBytes, r.Victim.RSSBytes = b(v), b(v)
		}
	}
}

func swap(total, free uint64) change {
	return func(r *oom.Record) { r.Memory.SwapTotalBytes, r.Memory.SwapFreeBytes = b(total), b(free) }
}

func swappinessZero(r *oom.Record) { r.Memory.Swappiness = oom.Some(uint32(0)) }

func kind(k oom.Kind) change { return func(r *oom.Record) { r.Kind = k } }

func noStats(r *oom.Record) { r.Memory.Stat = nil }

func numa(scope oom.Scope, mems string, free uint64) change {
	return func(r *oom.Record) {
		r.Scope, r.Trigger.MemsAllowed = scope, mems
		r.Memory.FreeBytes = b(20*mib + free)
		r.Memory.Zones = []oom.Zone{zone(0, "Normal", 20*mib, 20*mib, 30*mib), zone(1, "Normal", free, 20*mib, 30*mib)}
	}
}

func fragmented(order int32, free uint64, blocks ...uint64) change {
	return func(r *oom.Record) {
		r.Trigger.Order = oom.Some(order)
		r.Memory.FreeBytes = b(free)
		r.Memory.Zones = []oom.Zone{zone(0, "Normal", free, 20*mib, 30*mib)}
		r.Memory.Zones[0].FreeBlocks = blocks
	}
}

// smallZone adds a zone with blocks of order 2, of which so much is above its marks.
func smallZone(spare uint64) change {
	return func(r *oom.Record) {
		z := zone(0, "DMA", 3*mib+spare, 2*mib, 3*mib)
		z.FreeBlocks = []uint64{27, 19, 7}
		r.Memory.Zones = append(r.Memory.Zones, z)
	}
}

func reserved(n uint64) change {
	return func(r *oom.Record) {
		r.Memory.Zones[0].Zone, r.Memory.Zones[0].LowmemReserveBytes = "DMA32", []uint64{0, 0, n, n}
	}
}

func tasks(total uint64, sizes ...uint64) change {
	return func(r *oom.Record) {
		r.CandidatesTotal = oom.Some(total)
		sum := (total - uint64(len(sizes))) * sizes[len(sizes)-1]
		for i, s := range sizes {
			sum += s
			r.Candidates = append(r.Candidates, oom.Candidate{
				PID: oom.Some(int32(100 + i)), Comm: "fork", RSSBytes: b(s), OOMScoreAdj: oom.Some(int32(0)),
			})
		}
		r.CandidatesBytes = b(sum)
		r.Victim.RSSBytes, r.Victim.AnonRSSBytes, r.Victim.SwapBytes = b(sizes[0]), b(sizes[0]), size{}
	}
}

func spareBig(bytes uint64, adj int32) change {
	return func(r *oom.Record) {
		r.Candidates = []oom.Candidate{
			{PID: oom.Some(int32(100)), RSSBytes: r.Victim.RSSBytes, OOMScoreAdj: r.Victim.OOMScoreAdj},
			{PID: oom.Some(int32(7)), RSSBytes: b(bytes), OOMScoreAdj: oom.Some(adj)},
		}
	}
}

func pod(qos, behavior string, request, limit size) change {
	return func(r *oom.Record) {
		r.Victim.Pod = &oom.Pod{Namespace: "shop", UID: "u", QoS: qos, SwapBehavior: behavior}
		r.Victim.Container = &oom.Container{MemoryRequestBytes: request, MemoryLimitBytes: limit}
		r.Victim.CgroupLimits[0].SwapMaxBytes = b(0)
	}
}

func inPod(own uint64) change {
	return func(r *oom.Record) {
		r.Limit.Level, r.Limit.Cgroup = oom.LevelPod, "/pod"
		r.Victim.Cgroup = "/pod/app"
		r.Victim.CgroupLimits = []oom.CgroupLimit{
			{Cgroup: "/pod/app", UsageBytes: b(own)}, {Cgroup: "/pod", UsageBytes: b(256 * mib), MaxBytes: b(256 * mib)},
		}
	}
}

// levels puts cgroups between the victim and the root, each with its own maximum
// of swap; what is unknown is unlimited.
func levels(swapMax ...size) change {
	return func(r *oom.Record) {
		path := strings.Repeat("/x", len(swapMax))
		r.Victim.Cgroup, r.Victim.CgroupLimits = path, nil
		for _, m := range swapMax {
			r.Victim.CgroupLimits = append(r.Victim.CgroupLimits, oom.CgroupLimit{Cgroup: path, UsageBytes: b(3 * gib), SwapUsageBytes: b(0), SwapMaxBytes: m})
			path = path[:len(path)-2]
		}
	}
}

// container gives the victim one, and a pod of a kubelet without swap.
func container(path ...string) change {
	return func(r *oom.Record) {
		r.Victim.Pod = &oom.Pod{Namespace: "shop", UID: "u", QoS: "burstable", SwapBehavior: "NoSwap"}
		r.Victim.Container = &oom.Container{ID: "abc"}
		for i := range r.Victim.CgroupLimits {
			r.Victim.CgroupLimits[i].Cgroup = path[i]
		}
	}
}

func victimAnon(v uint64) change {
	return func(r *oom.Record) { r.Victim.RSSBytes, r.Victim.AnonRSSBytes = b(v), b(v) }
}

func lruGen(on bool) change { return func(r *oom.Record) { r.Memory.LRUGen = oom.Some(on) } }

func cpus(n uint32) change { return func(r *oom.Record) { r.CPUs = oom.Some(n) } }

// late marks swap's free size as read after the kill, of a victim with as much in it.
func late(victim uint64) change {
	return func(r *oom.Record) {
		r.Sampled = append(r.Sampled, "memory.swap_free_bytes")
		r.Victim.SwapBytes = b(victim)
	}
}

// pair is a scenario and the one that looks like it.
type pair struct {
	code      string
	name      string
	rec       *oom.Record
	verdict   string // of rec; "" where code is only a reason
	lookAlike string
	other     *oom.Record
	otherIs   string // verdict of other; "" for any
}

func pairs() []pair {
	var all []pair
	for _, group := range [][]pair{limitPairs(), swapPairs(), kubeletPairs(), memoryPairs(), newPairs(), growthPairs(), sigkillPairs(), outcomePairs(), choicePairs(), kindPairs(), counterPairs()} {
		all = append(all, group...)
	}
	return all
}

func TestPairs(t *testing.T) {
	for _, p := range pairs() {
		t.Run(p.code+"/"+p.name, func(t *testing.T) {
			w := Of(p.rec)
			if !hasCode(w, p.code) {
				t.Errorf("%s is missing: %+v", p.code, w)
			}
			if p.verdict != "" && w.Verdict != p.verdict {
				t.Errorf("verdict %s, want %s: %+v", w.Verdict, p.verdict, w)
			}
		})
		t.Run(p.code+"/not "+p.lookAlike, func(t *testing.T) {
			w := Of(p.other)
			if hasCode(w, p.code) || w.Verdict == p.code {
				t.Errorf("%s is given: %+v", p.code, w)
			}
			if p.otherIs != "" && w.Verdict != p.otherIs {
				t.Errorf("verdict %s, want %s: %+v", w.Verdict, p.otherIs, w)
			}
		})
	}
}

// TestPairsCoverCodes: no code without a scenario and a look-alike.
func TestPairsCoverCodes(t *testing.T) {
	seen := map[string]bool{codeUnknown: true} // a verdict without a reason; TestUnknown
	for _, p := range pairs() {
		seen[p.code] = true
	}
	for _, c := range Codes() {
		if !seen[c.Name] {
			t.Errorf("%s has no pair", c.Name)
		}
	}
}

func hasCode(w *oom.Why, code string) bool {
	for _, r := range w.Reasons {
		if r.Code == code {
			return true
		}
	}
	return false
}

func limitPairs() []pair {
	dirty := []change{limitStat(oom.LimitAnon, 40*mib), limitStat(oom.LimitFile, 210*mib), limitStat(oom.LimitFileDirty, 0), limitStat(oom.LimitFileWriteback, 0)}
	with := func(more ...change) []change { return append(append([]change(nil), dirty...), more...) }
	thrashing := []change{
		limitStat(oom.LimitAnon, 60*mib), limitStat(oom.LimitFile, 190*mib), limitStat(oom.LimitFileDirty, 0), limitStat(oom.LimitFileWriteback, 150*mib),
		limitStat(oom.LimitSwapcached, 185*mib), func(r *oom.Record) { r.Limit.SwapUsageBytes = b(90 * mib) },
	}
	return []pair{
		{codeLimitAnon, "anonymous growth", limited(), codeLimitAnon,
			"the same limit full of tmpfs", limited(limitStat(oom.LimitAnon, 5*mib), limitStat(oom.LimitFile, 245*mib), limitStat(oom.LimitShmem, 240*mib)), codeLimitShmem},
		{codeLimitAnon, "v1", limitedV1(), codeLimitAnon,
			"no memory.stat, small process", limited(func(r *oom.Record) { r.Limit.Stat = nil; r.Victim.AnonRSSBytes = b(9 * mib) }), codeLimitFull},
		{codeLimitShmem, "tmpfs", limited(limitStat(oom.LimitAnon, 5*mib), limitStat(oom.LimitFile, 245*mib), limitStat(oom.LimitShmem, 240*mib)), codeLimitShmem,
			"page cache that is not tmpfs", limited(with(limitStat(oom.LimitFileDirty, 200*mib))...), codeLimitDirty},
		{codeLimitDirty, "dirty cache", limited(with(limitStat(oom.LimitFileDirty, 150*mib), limitStat(oom.LimitFileWriteback, 40*mib))...), codeLimitDirty,
			"clean cache", limited(with(limitStat(oom.LimitFileDirty, 4*mib))...), codeLimitFile},
		{codeLimitAnon, "swap cache under writeback", limited(thrashing...), codeLimitAnon,
			"dirty cache beside a little swap cache", limited(with(limitStat(oom.LimitFileDirty, 150*mib), limitStat(oom.LimitSwapcached, 10*mib))...), codeLimitDirty},
		{codeSwapTooSlow, "a cgroup's swap cache under writeback", limited(thrashing...), codeLimitAnon,
			"a cgroup that swaps nothing now", limited(func(r *oom.Record) { r.Limit.SwapUsageBytes = b(90 * mib) }), codeLimitAnon},
		{codeLimitFile, "clean cache", limited(with(limitStat(oom.LimitFileDirty, 4*mib))...), codeLimitFile,
			"clean cache beside more anonymous memory", limited(limitStat(oom.LimitAnon, 150*mib), limitStat(oom.LimitFile, 100*mib)), codeLimitAnon},
		{codeLimitKernel, "sockets and slab", limited(limitStat(oom.LimitAnon, 20*mib), limitStat(oom.LimitKernel, 100*mib), limitStat(oom.LimitSock, 100*mib)), codeLimitKernel,
			"some kernel memory", limited(limitStat(oom.LimitAnon, 200*mib), limitStat(oom.LimitKernel, 50*mib)), codeLimitAnon},
		{codeLimitKernel, "page tables, before kernel was summed", limited(func(r *oom.Record) {
			r.Victim.AnonRSSBytes = b(20 * mib)
			r.Limit.Stat = oom.Stats{{Name: oom.LimitAnon, Bytes: 20 * mib}, {Name: oom.LimitPagetables, Bytes: 200 * mib}, {Name: oom.LimitKernelStack, Bytes: 10 * mib}}
		}), codeLimitKernel, "nothing but anonymous memory", limited(), codeLimitAnon},
		{codeLimitFull, "no memory.stat", limited(func(r *oom.Record) { r.Limit.Stat = nil; r.Victim.AnonRSSBytes = b(9 * mib) }), codeLimitFull,
			"no memory.stat, but the process is the limit", limited(func(r *oom.Record) { r.Limit.Stat = nil }), codeLimitAnon},
		{codeLimitAncestor, "neighbours fill the pod", limited(inPod(30 * mib)), codeLimitAncestor,
			"the container's own limit", limited(func(r *oom.Record) { r.Limit.Level = oom.LevelContainer }), codeLimitAnon},
		{codeLimitAncestor, "the pod's limit, filled by the victim", limited(inPod(250 * mib)), codeLimitAnon,
			"a sub-cgroup of the container's", limited(func(r *oom.Record) { r.Limit.Level = oom.LevelContainer; r.Victim.Cgroup = "/a/container" }), codeLimitAnon},
		{codeLimitAncestor, "a slice", limited(inPod(30*mib), func(r *oom.Record) { r.Limit.Level = oom.LevelSlice }), codeLimitAncestor,
			"a name that only starts alike", limited(func(r *oom.Record) { r.Limit.Level = oom.LevelPod; r.Victim.Cgroup = "/ab" }), codeLimitAnon},
	}
}

func swapPairs() []pair {
	free := swap(2*gib, 2*gib-20*mib)
	locked := []change{free, stat(oom.StatUnevictable, 2*gib), stat(oom.StatMlocked, 2*gib), stat(oom.StatActiveAnon, 512*mib), stat(oom.StatInactiveAnon, 512*mib)}
	with := func(more ...change) []change { return append(append([]change(nil), locked...), more...) }
	v1 := func(memsw, usage uint64) change {
		return func(r *oom.Record) { r.Limit.MemswMaxBytes, r.Limit.MemswUsageBytes = b(memsw), b(usage) }
	}
	own := func(n uint32) change { return func(r *oom.Record) { r.Limit.Swappiness = oom.Some(n) } }
	v2max := func(usage, maximum uint64) change {
		return func(r *oom.Record) { r.Limit.SwapUsageBytes, r.Limit.SwapMaxBytes = b(usage), b(maximum) }
	}
	return []pair{
		{codeSwapNone, "system", system(swap(0, 0)), codeSwapNone, "swap full", system(), codeSwapFull},
		{codeSwapNone, "cgroup", limited(swap(0, 0)), codeLimitAnon, "swap of an unknown size", limited(func(r *oom.Record) { r.Memory = nil }), codeLimitAnon},
		{codeSwapFull, "system", system(), codeSwapFull, "swap idle", system(free, swappinessZero), codeSwapSwappiness},
		{codeSwapIdle, "idle", system(free), "", "full", system(), codeSwapFull},
		{codeSwapForbidden, "v2", limited(v2max(0, 0)), codeLimitAnon, "swap.max unlimited", limited(), codeLimitAnon},
		{codeSwapForbidden, "v2, below the limit", limited(func(r *oom.Record) { r.Victim.CgroupLimits[0].SwapMaxBytes = b(0) }), codeLimitAnon,
			"swap.max with room", limited(v2max(10*mib, 100*mib)), codeLimitAnon},
		{codeSwapForbidden, "v1", limitedV1(v1(256*mib, 256*mib)), codeLimitAnon, "v1, memsw above", limitedV1(v1(512*mib, 300*mib)), codeLimitAnon},
		{codeSwapCgroupFull, "v2", limited(v2max(100*mib, 100*mib)), codeLimitAnon, "v2 with room", limited(v2max(50*mib, 100*mib)), codeLimitAnon},
		{codeSwapCgroupFull, "v1", limitedV1(v1(512*mib, 512*mib)), codeLimitAnon, "v1 with room", limitedV1(v1(512*mib, 300*mib)), codeLimitAnon},
		{codeSwapSwappiness, "system", system(free, swappinessZero), codeSwapSwappiness, "locked memory, swappiness 0 too", system(with(swappinessZero)...), codeSwapMlocked},
		{codeSwapSwappiness, "system, swap full", system(free, swappinessZero), codeSwapSwappiness, "swappiness 0, swap full", system(swappinessZero), codeSwapFull},
		{codeSwapSwappiness, "v1 cgroup's own", limitedV1(own(0)), codeLimitAnon, "v1, only vm.swappiness is 0", limitedV1(swappinessZero), codeLimitAnon},
		{codeSwapForbidden, "a system OOM of a pod without swap", system(free, levels(b(0))), codeSwapForbidden, "its cgroup may swap", system(free, levels(size{})), codeSwapUnexplained},
		{codeSwapForbidden, "a system OOM, forbidden above", system(free, levels(size{}, b(0))), codeSwapForbidden, "swap is full anyway", system(levels(b(0))), codeSwapFull},
		{codeSwapForbidden, "a system OOM, swap nearly full", system(swap(2*gib, 300*mib), levels(b(0))), codeSwapForbidden, "the memory is others'", system(swap(2*gib, 300*mib), levels(size{})), codeSwapFull},
		{codeSwapForbidden, "forbidden, swappiness 0 too", system(free, swappinessZero, levels(b(0))), codeSwapForbidden, "locked", system(with()...), codeSwapMlocked},
		{codeSwapCgroupFull, "a system OOM, its share is full", system(free, levels(b(mib*100)), func(r *oom.Record) { r.Victim.CgroupLimits[0].SwapUsageBytes = b(100 * mib) }), codeSwapCgroupFull,
			"half of its share", system(free, levels(b(mib*100)), func(r *oom.Record) { r.Victim.CgroupLimits[0].SwapUsageBytes = b(50 * mib) }), codeSwapUnexplained},
		{codeSwapCgroupFull, "less than a huge page is left", limited(v2max(99*mib, 100*mib)), codeLimitAnon, "5 % of much is left", limited(v2max(96*gib, 100*gib)), codeLimitAnon},
		{codeSwapIdle, "read late, the victim had a little", system(free, late(20*mib)), "", "read late, all of it was the victim's", system(free, late(2*gib)), codeSwapFull},
		{codeSwapSwappiness, "v1, the victim's own is 0", system(free, levels(size{}), func(r *oom.Record) { r.Victim.CgroupLimits[0].Swappiness = oom.Some(uint32(0)) }), codeSwapSwappiness,
			"v1, only vm.swappiness is 0", system(free, swappinessZero, levels(size{}), func(r *oom.Record) { r.Victim.CgroupLimits[0].Swappiness = oom.Some(uint32(60)) }), codeSwapUnexplained},
		{codeSwapSwappiness, "v1 cgroup below the limit", limitedV1(own(60), func(r *oom.Record) { r.Victim.CgroupLimits[0].Swappiness = oom.Some(uint32(0)) }), codeLimitAnon,
			"v1, only the limit's is 0", limitedV1(own(0), func(r *oom.Record) { r.Victim.CgroupLimits[0].Swappiness = oom.Some(uint32(60)) }), codeLimitAnon},
		{codeSwapSwappiness, "v2 cgroup", limited(swappinessZero), codeLimitAnon, "forbidden anyway", limited(swappinessZero, v2max(0, 0)), codeLimitAnon},
		{codeSwapMlocked, "system", system(with()...), codeSwapMlocked, "unevictable, not locked", system(with(stat(oom.StatMlocked, 0))...), codeSwapUnevictable},
		{codeSwapMlocked, "by the victim, no statistics", system(free, noStats, func(r *oom.Record) { r.Victim.LockedVMBytes = b(3 * gib) }), codeSwapMlocked,
			"a little locked", system(free, swappinessZero, stat(oom.StatMlocked, 64*mib), stat(oom.StatUnevictable, 64*mib)), codeSwapSwappiness},
		{codeSwapUnevictable, "ramfs", system(with(stat(oom.StatMlocked, 0))...), codeSwapUnevictable, "mlocked", system(with()...), codeSwapMlocked},
		{codeSwapTooSlow, "writeback", system(swap(2*gib, gib), stat(oom.StatFileWriteback, 300*mib)), codeSwapTooSlow,
			"swap not in use", system(free, stat(oom.StatFileWriteback, 300*mib)), codeSwapUnexplained},
		{codeSwapUnexplained, "nothing to be seen", system(free), codeSwapUnexplained, "swappiness 0", system(free, swappinessZero), codeSwapSwappiness},
	}
}

func kubeletPairs() []pair {
	lim := b(256 * mib)
	free := swap(2*gib, 2*gib-20*mib)
	memsw := func(r *oom.Record) { r.Limit.MemswMaxBytes, r.Limit.MemswUsageBytes = lim, lim }
	return []pair{
		{codeKubeletNoSwap, "NoSwap", limited(pod("burstable", "NoSwap", b(128*mib), lim)), codeLimitAnon,
			"LimitedSwap", limited(pod("guaranteed", "LimitedSwap", lim, lim)), codeLimitAnon},
		{codeKubeletNoSwap, "the container's own, the process is below", system(free, levels(size{}, b(0)), container("/kubepods/podu/crio-abc.scope/app", "/kubepods/podu/crio-abc.scope")), codeSwapForbidden,
			"a slice above forbids it", system(free, levels(size{}, size{}, b(0)), container("/x.slice/podu/crio-abc.scope", "/x.slice/podu", "/x.slice")), codeSwapForbidden},
		{codeKubeletNoSwap, "v1", limitedV1(memsw, container("/kubepods/podu/abc"), func(r *oom.Record) { r.Limit.Level = oom.LevelContainer }), codeLimitAnon,
			"v1, the pod's limit", limitedV1(memsw, container("/kubepods/podu/abc"), func(r *oom.Record) { r.Limit.Level = oom.LevelPod }), codeLimitAnon},
		{codeKubeletQoS, "guaranteed", limited(pod("guaranteed", "LimitedSwap", lim, lim)), codeLimitAnon,
			"burstable", limited(pod("burstable", "LimitedSwap", lim, lim)), codeLimitAnon},
		{codeKubeletQoS, "besteffort, configuration unknown", limited(pod("besteffort", "", size{}, size{})), codeLimitAnon,
			"no pod", limited(func(r *oom.Record) { r.Limit.SwapMaxBytes = b(0) }), codeLimitAnon},
		{codeKubeletRequest, "request is limit", limited(pod("burstable", "LimitedSwap", lim, lim)), codeLimitAnon,
			"request below limit", limited(pod("burstable", "LimitedSwap", b(128*mib), lim)), codeLimitAnon},
		{codeKubeletUnsure, "burstable", limited(pod("burstable", "", b(128*mib), lim)), codeLimitAnon,
			"besteffort", limited(pod("besteffort", "", size{}, size{})), codeLimitAnon},
		{codeKubeletUnsure, "critical pod or not", limited(pod("burstable", "LimitedSwap", b(128*mib), lim)), codeLimitAnon,
			"a podman pod", limited(pod("", "", size{}, size{})), codeLimitAnon},
		{codeKubeletLimited, "share used up", limited(pod("burstable", "LimitedSwap", b(128*mib), lim), func(r *oom.Record) {
			c := &r.Victim.CgroupLimits[0]
			c.SwapMaxBytes, c.SwapUsageBytes = b(64*mib), b(64*mib)
		}), codeLimitAnon, "share with room", limited(pod("burstable", "LimitedSwap", b(128*mib), lim), func(r *oom.Record) {
			c := &r.Victim.CgroupLimits[0]
			c.SwapMaxBytes, c.SwapUsageBytes = b(64*mib), b(4*mib)
		}), codeLimitAnon},
	}
}

func memoryPairs() []pair {
	idle := swap(2*gib, 2*gib)
	noAnon := []change{idle, stat(oom.StatActiveAnon, 100*mib), stat(oom.StatInactiveAnon, 100*mib)}
	with := func(more ...change) []change { return append(append([]change(nil), noAnon...), more...) }
	huge := func(free, rsvd uint64) []change {
		return with(stat(oom.StatHugepagesTotal, 3*gib), stat(oom.StatHugepagesFree, free), stat(oom.StatHugepagesRsvd, rsvd))
	}
	kernelOnly := func(r *oom.Record) { r.Trigger.GFPMask = oom.Some(uint32(0xcc0)) }
	movable := func(r *oom.Record) {
		r.Memory.FreeBytes = b(20*mib + gib)
		r.Memory.Zones = []oom.Zone{zone(0, "Normal", 20*mib, 20*mib, 30*mib), zone(0, "Movable", gib, 20*mib, 30*mib)}
	}
	small := make([]uint64, 10)
	for i := range small {
		small[i] = 4 * mib
	}
	oneBig := append([]uint64{2 * gib}, small...)
	slab := func(v uint64) change { return stat(oom.StatSlabUnrecl, v) }
	return []pair{
		{codeMemoryLow, "below the watermarks", system(), codeSwapFull, "free memory, order 3", system(fragmented(3, 400*mib, 90000, 900, 90)), codeMemoryFragments},
		{codeMemoryKernel, "slab", system(with(slab(3 * gib))...), codeMemoryKernel, "some slab", system(slab(400 * mib)), codeSwapFull},
		{codeMemoryKernel, "page tables", system(with(stat(oom.StatPageTable, 3*gib))...), codeMemoryKernel, "a little reclaimable slab", system(with(stat(oom.StatSlabReclaimable, 1000*mib))...), codeMemoryMissing},
		{codeMemoryMissing, "a balloon", system(with()...), codeMemoryMissing, "huge pages instead", system(huge(0, 0)...), codeHugepagesUsed},
		{codeMemoryShmem, "tmpfs", system(swap(0, 0), stat(oom.StatShmem, 3*gib)), codeSwapNone, "a little tmpfs", system(swap(0, 0), stat(oom.StatShmem, 300*mib)), codeSwapNone},
		{codeMemoryHugepages, "unused", system(huge(3*gib, 0)...), codeMemoryHugepages, "in use", system(huge(0, 0)...), codeHugepagesUsed},
		{codeMemoryHugepages, "half of them", system(huge(2*gib, 0)...), codeMemoryHugepages, "reserved by a mapping", system(huge(3*gib, 3*gib)...), codeHugepagesUsed},
		{codeMemoryFragments, "no block of order 3", system(fragmented(3, 400*mib, 90000, 900, 90, 0, 0)), codeMemoryFragments,
			"order 3, but nothing is free", system(fragmented(3, 10*mib, 2000, 20, 0, 0)), codeSwapFull},
		{codeMemoryFragments, "no block of order 2", system(fragmented(2, 400*mib, 90000, 900, 0, 0, 0)), codeMemoryFragments,
			"blocks are there", system(fragmented(2, 400*mib, 90000, 900, 60000)), codeNotShort},
		{codeMemoryFragments, "a small zone has blocks", system(fragmented(2, 400*mib, 90000, 900, 0), smallZone(40*mib)), codeMemoryFragments,
			"an eighth of what is free is in some", system(fragmented(2, 400*mib, 90000, 900, 0), smallZone(300*mib)), codeSwapFull},
		{codeNodeCpuset, "node 0 only", system(numa(oom.ScopeCpuset, "0", 2*gib)), codeNodeCpuset, "the other node is full too", system(numa(oom.ScopeCpuset, "0", 25*mib)), codeSwapFull},
		{codeNodeCpuset, "nodes not in the record", system(numa(oom.ScopeCpuset, "", 2*gib)), codeNodeCpuset, "a memory policy", system(numa(oom.ScopeMempolicy, "0", 2*gib)), codeNodeMempolicy},
		{codeNodeMempolicy, "node 0 only", system(numa(oom.ScopeMempolicy, "0", 2*gib)), codeNodeMempolicy, "both nodes", system(numa(oom.ScopeMempolicy, "0-1", 25*mib)), codeSwapFull},
		{codeNodeZone, "the reserve is not for everyone", system(movable, kernelOnly, reserved(300*mib), func(r *oom.Record) { r.Memory.Zones[0].FreeBytes = b(320 * mib) }), codeNodeZone,
			"above the mark, no reserve", system(movable, kernelOnly, func(r *oom.Record) { r.Memory.Zones[0].FreeBytes = b(320 * mib) }), codeNotShort},
		{codeNodeZone, "a little was given back since", system(movable, kernelOnly, func(r *oom.Record) { r.Memory.Zones[0].FreeBytes = b(60 * mib) }), codeNodeZone,
			"the order is not known", system(movable, kernelOnly, func(r *oom.Record) {
				r.Memory.Zones[0].FreeBytes, r.Trigger.Order = b(60*mib), oom.Opt[int32]{}
			}), codeSwapFull},
		{codeNodeZone, "free beyond what the zones keep", system(movable, kernelOnly), codeNodeZone,
			"free, but the zones keep more", system(movable, kernelOnly, func(r *oom.Record) { r.Memory.Zones[0].HighBytes = b(2 * gib) }), codeSwapFull},
		{codeNodeZone, "a movable zone that the kernel cannot use", system(movable, kernelOnly), codeNodeZone, "a movable allocation", system(movable), codeNotShort},
		{codeManyTasks, "fork bomb", system(tasks(800, small...)), codeManyTasks, "one big task among many", system(tasks(800, oneBig...)), codeSwapFull},
		{codeManyTasks, "fork bomb, half of it anonymous", system(tasks(800, small...), stat(oom.StatInactiveAnon, gib)), codeManyTasks,
			"many tasks that are smaller than those listed", system(tasks(800, small...), func(r *oom.Record) { r.CandidatesBytes = b(200 * mib) }), codeSwapFull},
		{codeManyTasks, "fork bomb in a cgroup, nothing shared", limited(tasks(80, small...)), codeManyTasks,
			"they share what they hold", limited(tasks(80, small...), limitStat(oom.LimitAnon, 20*mib), limitStat(oom.LimitFile, 225*mib), limitStat(oom.LimitShmem, 225*mib)), codeLimitShmem},
		{codeMemoryZram, "swap in zram", system(idle, stat(oom.StatZspages, 1200*mib), stat(oom.StatInactiveAnon, 512*mib)), codeMemoryZram, "a little in zram", system(idle, stat(oom.StatZspages, 200*mib)), codeSwapUnexplained},
		{codeMemoryMissing, "vmalloc has little of it", system(with(stat(oom.StatVmalloc, 40*mib))...), codeMemoryMissing, "zram holds it", system(with(stat(oom.StatZspages, 3*gib))...), codeMemoryZram},
		{codeMemoryKernel, "vmalloc", system(with(stat(oom.StatVmalloc, 3*gib))...), codeMemoryKernel, "per-CPU memory is little", system(with(stat(oom.StatPercpu, 40*mib))...), codeMemoryMissing},
		{codeNodeCpuset, "no numbers of the nodes, no swap", system(swap(0, 0), numa(oom.ScopeCpuset, "0", 2*gib), func(r *oom.Record) { r.Memory.Zones = nil }), codeNodeCpuset,
			"no limit on the nodes", system(swap(0, 0), numa(oom.ScopeSystem, "", 2*gib)), codeNotShort},
		{codeNodeMempolicy, "a little more than the nodes keep", system(numa(oom.ScopeMempolicy, "0", 62*mib)), codeNodeMempolicy, "the rest keeps it", system(numa(oom.ScopeMempolicy, "0", 38*mib)), codeSwapFull},
		{codeManyTasks, "fork bomb in a cgroup", limited(tasks(80, small...)), codeManyTasks, "few of them", limited(tasks(20, small...)), codeLimitAnon},
		{codeManyTasks, "with their kernel memory", system(tasks(20000, kib*200, kib*200), slab(2*gib), stat(oom.StatActiveAnon, gib), stat(oom.StatInactiveAnon, gib)), codeManyTasks, "a slab leak beside small tasks", system(with(tasks(800, small...), slab(3*gib))...), codeMemoryKernel},
	}
}

func choicePairs() []pair {
	allocating := func(pid int32) change {
		return func(r *oom.Record) {
			r.Memory.OOMKillAllocatingTask, r.Trigger.PID = oom.Some(true), oom.Some(pid)
		}
	}
	allocatingThread := func(tid int32) change {
		return func(r *oom.Record) {
			r.Memory.OOMKillAllocatingTask, r.Victim.TID = oom.Some(true), r.Victim.PID
			r.Trigger.PID, r.Trigger.TID = oom.Opt[int32]{}, oom.Some(tid)
		}
	}
	headless := func(r *oom.Record) { r.Trigger = nil }
	group := func(on bool) change {
		return func(r *oom.Record) { r.Victim.CgroupLimits[0].OOMGroup = oom.Some(on) }
	}
	tiny := func(r *oom.Record) {
		r.Victim.RSSBytes, r.Victim.AnonRSSBytes, r.Victim.SwapBytes = b(5*mib), b(5*mib), b(0)
	}
	tinyRSS := func(r *oom.Record) {
		r.Victim.RSSBytes, r.Victim.AnonRSSBytes, r.Victim.SwapBytes = b(mib), b(mib), b(0)
	}
	return []pair{
		{codeVictimAdj, "a bigger one is protected", system(spareBig(8*gib, -998)), codeSwapFull, "a bigger one with the same adj", system(spareBig(8*gib, 0)), codeSwapFull},
		{codeVictimAdj, "a fifth bigger", system(spareBig(3600*mib, -998)), codeSwapFull, "bigger by less than two reads may differ", system(spareBig(3200*mib, -998)), codeSwapFull},
		{codeVictimAdj, "protected a little", system(spareBig(8*gib, -1)), codeSwapFull, "a smaller one is protected", system(spareBig(gib, -998)), codeSwapFull},
		{codeVictimTrigger, "the task that asked", system(allocating(100)), codeSwapFull, "another asked", system(allocating(9)), codeSwapFull},
		{codeVictimTrigger, "its thread, in a log", system(allocatingThread(100)), codeSwapFull, "another thread", system(allocatingThread(9)), codeSwapFull},
		{codeVictimTrigger, "a child of it, in a log", system(allocatingThread(9), fromLog), codeSwapFull, "in a log without the line", system(fromLog), codeSwapFull},
		{codeVictimTrigger, "a log without its header", system(allocatingThread(9), fromLog, headless), codeSwapFull, "a cgroup's kill", limited(func(r *oom.Record) { r.Memory.OOMKillAllocatingTask = oom.Some(true) }, fromLog), codeLimitAnon},
		{codeVictimSmall, "5 MiB of 4 GiB", system(tiny), codeSwapFull, "3 GiB of 4 GiB", system(), codeSwapFull},
		{codeVictimSmall, "it maps a file", system(tiny, func(r *oom.Record) { r.Victim.RSSBytes, r.Victim.FileRSSBytes = b(gib+5*mib), b(gib) }), codeSwapFull,
			"it has much in swap", system(tiny, func(r *oom.Record) { r.Victim.SwapBytes = b(gib) }), codeSwapFull},
		{codeVictimSmall, "it maps a little shared memory", system(tiny, func(r *oom.Record) { r.Victim.ShmemRSSBytes = b(5 * mib) }), codeSwapFull,
			"it maps much shared memory", system(tiny, func(r *oom.Record) { r.Victim.RSSBytes, r.Victim.ShmemRSSBytes = b(gib+5*mib), b(gib) }), codeSwapFull},
		{codeVictimSmall, "it locked a little of a file", system(tiny, func(r *oom.Record) { r.Victim.FileRSSBytes, r.Victim.LockedVMBytes = b(gib), b(5*mib) }), codeSwapFull,
			"it locked a file", system(tiny, func(r *oom.Record) { r.Victim.FileRSSBytes, r.Victim.LockedVMBytes = b(gib), b(gib) }), codeSwapFull},
		{codeVictimSmall, "a cgroup", limited(tiny), codeLimitAnon, "its whole cgroup is killed", limited(tiny, group(true)), codeLimitAnon},
		{codeVictimSmall, "little, tmpfs fills the limit", limited(limitStat(oom.LimitAnon, 3*mib), limitStat(oom.LimitFile, 245*mib), limitStat(oom.LimitShmem, 240*mib), tinyRSS), codeLimitShmem,
			"its sockets fill the limit", limited(limitStat(oom.LimitAnon, 3*mib), limitStat(oom.LimitSock, 240*mib), tinyRSS), codeLimitKernel},
		{codeVictimOrigin, "swapoff", system(func(r *oom.Record) { r.Victim.OOMOrigin, r.Victim.BadnessPages = oom.Some(true), oom.Opt[int64]{} }), codeSwapFull, "weighed", system(), codeSwapFull},
		{codeVictimGroup, "oom.group", limited(group(true)), codeLimitAnon, "no oom.group", limited(group(false)), codeLimitAnon},
	}
}

func kindPairs() []pair {
	exit := func(x *oom.Exit) *oom.Record { return &oom.Record{Kind: oom.KindExit, Exit: x} }
	ms := func(n uint64) oom.Opt[uint64] { return oom.Some(n * 1e6) }
	yes := oom.Some(true)
	sysrq := func(r *oom.Record) { r.Sysrq, r.Trigger.Order = yes, oom.Some(int32(-1)) }
	spared := func(adj int32) change {
		return func(r *oom.Record) {
			r.Kind, r.Victim = oom.KindNoVictim, nil
			r.Candidates = []oom.Candidate{{OOMScoreAdj: oom.Some(adj), RSSBytes: b(gib)}}
		}
	}
	return []pair{
		{codeSysrq, "a person asked", system(sysrq), codeSysrq, "the memory asked", system(), codeSwapFull},
		{codeAlreadyExiting, "marked", limited(kind(oom.KindAlreadyExiting)), codeAlreadyExiting, "killed", limited(), codeLimitAnon},
		{codeNoVictim, "all are spared", limited(spared(-1000)), codeNoVictim, "killed", limited(), codeLimitAnon},
		{codeNoVictim, "an earlier victim has given memory back", limited(spared(-1000), func(r *oom.Record) { r.Limit.UsageBytes = b(100 * mib) }), codeNoVictim, "killed", limited(), codeLimitAnon},
		{codeExitGone, "gone", exit(&oom.Exit{AfterNS: ms(38), Reaped: yes}), codeExitGone, "reaped, not gone", exit(&oom.Exit{Reaped: yes}), codeExitReaped},
		{codeExitReaped, "reaped", exit(&oom.Exit{Reaped: yes, ReapedAfterNS: ms(12), RSSBytes: b(0)}), codeExitReaped, "gone before", exit(&oom.Exit{AfterNS: ms(3)}), codeExitGone},
		{codeExitGaveUp, "gave up", exit(&oom.Exit{ReaperGaveUp: yes, RSSBytes: b(90 * mib)}), codeExitGaveUp, "reaped", exit(&oom.Exit{Reaped: yes, AfterNS: ms(38)}), codeExitGone},
		{codeExitSlow, "slow", exit(&oom.Exit{AfterNS: ms(6000)}), codeExitSlow, "in time", exit(&oom.Exit{AfterNS: ms(4000)}), codeExitGone},
		{codeLost, "lost", &oom.Record{Kind: oom.KindLost, Lost: oom.Some(uint64(3))}, codeLost, "a kill", limited(), codeLimitAnon},
	}
}
