package explain

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// oldV1 is v1 of a kernel that does not count shared memory, with the anonymous memory, the
// cache, and what of both is on the LRU lists.
func oldV1(anon, cache, lruAnon, lruFile uint64, changes ...change) *oom.Record {
	return limitedV1(append([]change{func(r *oom.Record) {
		r.Victim.AnonRSSBytes, r.Victim.RSSBytes = b(anon), b(anon)
		r.Limit.Stat = oom.Stats{
			{Name: oom.LimitV1RSS, Bytes: anon}, {Name: oom.LimitV1Cache, Bytes: cache}, {Name: oom.LimitUnevictable, Bytes: anon + cache - lruAnon - lruFile},
			{Name: oom.LimitActiveAnon, Bytes: lruAnon / 4}, {Name: oom.LimitInactiveAnon, Bytes: lruAnon - lruAnon/4},
			{Name: oom.LimitActiveFile, Bytes: lruFile / 8}, {Name: oom.LimitInactiveFile, Bytes: lruFile - lruFile/8},
		}
	}}, changes...)...)
}

// huge is a limit with so many huge pages charged to it, and the rest anonymous memory.
func huge(v uint64) *oom.Record {
	return limited(limitStat(oom.LimitAnon, 251*mib-v), limitStat(oom.LimitHugetlb, v))
}

func counterPairs() []pair {
	dirty := func(r *oom.Record) {
		set(&r.Limit.Stat, oom.LimitV1Dirty, 100*mib)
		set(&r.Limit.Stat, oom.LimitV1Writeback, 30*mib)
	}
	swapped := func(v uint64) change { return func(r *oom.Record) { r.Limit.SwapUsageBytes = b(v) } }
	beside := func(name string, v uint64) *oom.Record {
		return limited(limitStat(oom.LimitAnon, 180*mib), limitStat(name, v))
	}
	return []pair{
		{codeLimitAlso, "a quarter is kernel memory", beside(oom.LimitKernel, 64*mib), codeLimitAnon, "below a quarter is", beside(oom.LimitKernel, 64*mib-1), codeLimitAnon},
		{codeLimitAlso, "a quarter is sockets", limited(limitStat(oom.LimitAnon, 180*mib), limitStat(oom.LimitSock, 61*mib)), codeLimitAnon,
			"the kinds known are more than the whole", beside(oom.LimitKernel, 140*mib), codeLimitAnon},
		{codeLimitAlso, "a quarter is page cache", beside(oom.LimitFile, 64*mib), codeLimitAnon, "no memory.stat", limited(func(r *oom.Record) { r.Limit.Stat = nil }), codeLimitAnon},
		{codeLimitAlso, "a quarter is page cache, whatever is in swap", limited(limitStat(oom.LimitAnon, 150*mib), limitStat(oom.LimitFile, 90*mib), swapped(26*mib)), codeLimitAnon,
			"page cache that may be swap cache", limited(limitStat(oom.LimitAnon, 150*mib), limitStat(oom.LimitFile, 90*mib), swapped(26*mib+1)), codeLimitAnon},
		{codeLimitHugetlb, "huge pages that are charged", huge(210 * mib), codeLimitHugetlb, "a few of them", huge(20 * mib), codeLimitAnon},
		{codeLimitFile, "v1, cache on the LRU lists of files", oldV1(6*mib, 246*mib, 6*mib, 246*mib), codeLimitFile,
			"v1, cache on the anonymous ones", oldV1(6*mib, 246*mib, 250*mib, 2*mib), codeLimitShmem},
		{codeLimitDirty, "v1, dirty cache", oldV1(90*mib, 160*mib, 90*mib, 160*mib, dirty), codeLimitDirty,
			"v1, locked cache", oldV1(9*mib, 240*mib, 9*mib, 4*mib), codeLimitFile},
	}
}

// TestCounters: what a counter of the record holds is neither missed nor counted twice.
func TestCounters(t *testing.T) {
	zswap := func(r *oom.Record) {
		limitStat(oom.LimitAnon, 80*mib)(r)
		limitStat(oom.LimitKernel, 172*mib)(r)
		limitStat(oom.LimitSlab, 11*mib)(r)
		limitStat(oom.LimitZswap, 150*mib)(r)
		limitStat(oom.LimitZswapped, 460*mib)(r)
	}
	kmem := func(r *oom.Record) {
		r.Limit.Stat = oom.Stats{{Name: oom.LimitV1RSS, Bytes: 60 * mib}, {Name: oom.LimitV1Cache, Bytes: 4 * mib}, {Name: oom.LimitShmem, Bytes: 0}}
		r.Limit.KmemUsageBytes = b(192 * mib)
	}
	for _, tt := range []struct {
		name     string
		rec      *oom.Record
		has, not string
	}{
		{"zswap is part of the kernel's memory", limited(zswap), "67 % of it kernel memory (zswap 150 MiB for 460 MiB swapped out)", "counter"},
		{"without its counter, in a log", limited(limitStat(oom.LimitAnon, 80*mib), limitStat(oom.LimitKernel, 172*mib), fromLog), "(172 MiB in no counter)", "zswap"},
		{"and live, where not all counters are read", limited(limitStat(oom.LimitAnon, 80*mib), limitStat(oom.LimitKernel, 172*mib), func(r *oom.Record) { r.Source = oom.SourceBPF }),
			"(172 MiB in no counter that was read)", "zswap"},
		{"v1's kmem is a counter", limitedV1(kmem), "192 MiB in kmem, which v1 does not break down", "in no counter"},
		{"v1's kmem, and a guess", limitedV1(kmem, stack("pipe_write+0x1")), "does not break down, probably data in pipes", ""},
		{"huge pages are no kernel memory", limited(func(r *oom.Record) {
			r.Limit.Stat = oom.Stats{{Name: oom.LimitAnon, Bytes: 20 * mib}, {Name: oom.LimitFile, Bytes: 6 * mib}, {Name: oom.LimitShmem, Bytes: 0}, {Name: oom.LimitHugetlb, Bytes: 220 * mib}}
		}), "86 % of it huge pages (hugetlb)", "kernel"},
		{"what the counters hold", limited(limitStat(oom.LimitAnon, 30*mib)), "could also be memory in no counter of the record: those there come to 35 MiB", "memory.stat is not"},
		{"v1, half of the cache is locked", oldV1(9*mib, 240*mib, 9*mib, 120*mib), "page cache (could also be shared memory locked with SHM_LOCK", "waits"},
		{"v1, what may be tmpfs is not said to be page cache", oldV1(150*mib, 90*mib, 150*mib, 0), "59 % of it anonymous", "page cache"},
		{"v1, below half of it is", oldV1(0, 240*mib, 0, 120*mib+1), "could also be cache that waits to be written", "SHM_LOCK"},
		{"v1, shared memory as far as it is on the lists", oldV1(40*mib, 200*mib, 190*mib, 50*mib), "59 % of it tmpfs and shared memory", ""},
	} {
		if s := Of(tt.rec).Summary; !strings.Contains(s, tt.has) || tt.not != "" && strings.Contains(s, tt.not) {
			t.Errorf("%s: %s", tt.name, s)
		}
	}
}

// TestOtherKinds: what is beside the largest kind is in the summary in few words.
func TestOtherKinds(t *testing.T) {
	shmem := []change{limitStat(oom.LimitAnon, 140*mib), limitStat(oom.LimitFile, 110*mib), limitStat(oom.LimitShmem, 108*mib)}
	cache := []change{limitStat(oom.LimitAnon, 140*mib), limitStat(oom.LimitFile, 110*mib), limitStat(oom.LimitFileWriteback, 0)}
	with := func(base []change, more ...change) []change { return append(base[:len(base):len(base)], more...) }
	for _, tt := range []struct {
		name     string
		rec      *oom.Record
		has, not string
	}{
		{"slab", limited(limitStat(oom.LimitAnon, 140*mib), limitStat(oom.LimitKernel, 110*mib), limitStat(oom.LimitSlab, 104*mib)),
			"55 % of it anonymous memory of this process; 43 % is kernel memory (slab 104 MiB)", ""},
		{"shared memory", limited(shmem...), "55 % of it anonymous memory of this process; 42 % is tmpfs and shared memory", "cache"},
		{"dirty cache", limited(with(cache, limitStat(oom.LimitFileDirty, 55*mib))...), "; 43 % is page cache that waits to be written", ""},
		{"clean cache", limited(with(cache, limitStat(oom.LimitFileDirty, 55*mib-1))...), "; 43 % is page cache;", "waits"},
		{"three kinds", limited(limitStat(oom.LimitAnon, 86*mib), limitStat(oom.LimitFile, 84*mib), limitStat(oom.LimitShmem, 0), limitStat(oom.LimitKernel, 80*mib)),
			"; 33 % is page cache; 31 % is kernel memory (80 MiB in no counter)", ""},
		{"beside neighbours", limited(inPod(30*mib), limitStat(oom.LimitAnon, 140*mib), limitStat(oom.LimitKernel, 110*mib)), "mostly by others", "kernel memory"},
	} {
		w := Of(tt.rec)
		if !strings.Contains(w.Summary, tt.has) || tt.not != "" && strings.Contains(w.Summary, tt.not) || !hasCode(w, codeLimitAlso) {
			t.Errorf("%s: %+v", tt.name, w)
		}
	}
}

// TestForcedCharges: what sockets hold above the limit needs no limit that was lowered.
func TestForcedCharges(t *testing.T) {
	over := func(sock uint64, changes ...change) *oom.Why {
		return Of(limited(append([]change{limitStat(oom.LimitAnon, 120*mib), limitStat(oom.LimitSock, sock), func(r *oom.Record) { r.Limit.UsageBytes = b(336 * mib) }}, changes...)...))
	}
	kernel := limitStat(oom.LimitKernel, 130*mib)
	lowered := func(ago uint64) change {
		return func(r *oom.Record) {
			r.Limit.Changed = &oom.LimitChange{FromBytes: b(512 * mib), ToBytes: b(256 * mib), AgoNS: oom.Some(ago)}
		}
	}
	for _, tt := range []struct {
		name    string
		why     *oom.Why
		verdict string
		unsure  bool
		summary string
	}{
		{"sockets are all above it", over(80*mib, kernel), codeLimitKernel, true,
			"limit of 256 MiB is exceeded (336 MiB in use), 63 % of it kernel memory (130 MiB in no counter, sockets 80 MiB); 36 % is anonymous memory of this process (could also be a limit that was lowered below what is in use)"},
		{"sockets are not all of it", over(80*mib-1, kernel), codeLimitLowered, true, "was lowered to 256 MiB, with 336 MiB in use (could also be charges that the kernel may not refuse)"},
		{"it was lowered just before", over(80*mib, kernel, lowered(2e9)), codeLimitLowered, false, "was lowered from 512 MiB to 256 MiB 2 s before"},
		{"it was lowered long before", over(80*mib, kernel, lowered(3600e9)), codeLimitKernel, true, "was lowered from 512 MiB to 256 MiB 1 h before"},
		{"by the write itself", over(80*mib, kernel, stack("memory_max_write+0x1")), codeLimitLowered, false, "was lowered to 256 MiB"},
	} {
		if w := tt.why; w.Verdict != tt.verdict || w.Unsure.Or(false) != tt.unsure || !strings.Contains(w.Summary, tt.summary) {
			t.Errorf("%s: %+v", tt.name, w)
		}
	}
}

// TestLimitOfSwap: the cgroup that may not swap, or has used up what it may, is named by what
// it is to the victim; one that is no higher than the memory limit is met all the same.
func TestLimitOfSwap(t *testing.T) {
	memsw := func(usage, swapped, most, maximum uint64) change {
		return func(r *oom.Record) {
			r.Limit.UsageBytes, r.Limit.MaxBytes = b(usage), b(most)
			r.Limit.MemswUsageBytes, r.Limit.MemswMaxBytes = b(usage+swapped), b(maximum)
			set(&r.Limit.Stat, oom.LimitV1RSS, usage-5*mib)
		}
	}
	at := func(victim, limit string, level oom.Level) change {
		return func(r *oom.Record) {
			fromLog(r)
			r.Victim.Cgroup, r.Victim.CgroupLimits, r.Limit.Cgroup, r.Limit.Level = victim, nil, limit, level
		}
	}
	noSwap := func(r *oom.Record) { r.Limit.SwapMaxBytes = b(0) }
	group := func(r *oom.Record) {
		r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: r.Limit.Cgroup, OOMGroup: oom.Some(true)}}
	}
	for _, tt := range []struct {
		name             string
		rec              *oom.Record
		code, text       string
		summary, without string
	}{
		{"memory and swap at a limit that is the memory's too", limitedV1(memsw(400*mib, 112*mib, 512*mib, 512*mib)), codeSwapCgroupFull,
			"its cgroup has used up memory and swap together: 512 MiB of 512 MiB", "limit of 512 MiB on memory and swap is used up", "back since"},
		{"and says what is in swap", limitedV1(memsw(400*mib, 112*mib, 512*mib, 512*mib)), codeSwapCgroupFull, "", "; 112 MiB of it is in swap", "may not"},
		{"below 99 %, something was given back", limitedV1(memsw(394*mib, 112*mib, 512*mib, 512*mib)), codeSwapForbidden, "its cgroup may not swap at its limit",
			"was met (394 MiB of 512 MiB in use by now)", "on memory and swap"},
		{"memory is at its own limit", limitedV1(memsw(508*mib, 4*mib, 512*mib, 512*mib)), codeSwapForbidden, "", "limit of 512 MiB is used up", "on memory and swap"},
		{"a pod's cgroup", limited(at("/pods/p/a", "/pods/p", oom.LevelPod), noSwap), codeSwapForbidden, "the pod's cgroup may not swap (memory.swap.max=0)", "", "its cgroup"},
		{"a slice's, far up", limited(at("/u/a/b/c", "/u", oom.LevelSlice), noSwap), codeSwapForbidden, "the slice's cgroup may not swap", "", "its cgroup"},
		{"kubepods", limited(at("/k/a", "/k", oom.LevelKubepods), noSwap), codeSwapForbidden, "the kubepods cgroup may not swap", "", "its cgroup"},
		{"a cgroup's, of no kind", limited(at("/u/a", "/u", oom.LevelCgroup), noSwap), codeSwapForbidden, "the cgroup at its limit may not swap", "", "its cgroup"},
		{"the victim's own", limited(at("/u/a", "/u/a", oom.LevelService), noSwap), codeSwapForbidden, "its cgroup may not swap", "", ""},
		{"no victim's cgroup is known", limited(at("", "/u/a", oom.LevelService), noSwap), codeSwapForbidden, "the service's cgroup may not swap", "", ""},
		{"but it dies with its group", limited(at("", "/u/a", oom.LevelService), noSwap, group), codeSwapForbidden, "its cgroup may not swap", "", ""},
		{"v1, a pod's", limitedV1(at("/pods/p/a", "/pods/p", oom.LevelPod), func(r *oom.Record) { r.Limit.MemswMaxBytes = r.Limit.MaxBytes }), codeSwapForbidden,
			"the pod's cgroup may not swap at its limit: memory.memsw", "the pod's cgroup may not swap (memsw limit", "its cgroup"},
	} {
		w := Of(tt.rec)
		if r := reasonText(w, tt.code); r == "" || !strings.HasPrefix(r, tt.text) {
			t.Errorf("%s: %s: %q", tt.name, tt.code, r)
		}
		if !strings.Contains(w.Summary, tt.summary) || tt.without != "" && strings.Contains(w.Summary, tt.without) {
			t.Errorf("%s: %s", tt.name, w.Summary)
		}
	}
}

func reasonText(w *oom.Why, code string) string {
	for _, r := range w.Reasons {
		if r.Code == code {
			return r.Text
		}
	}
	return ""
}

// TestGroupBelowTheLimit: the victims of a memory.oom.group whose own cgroup the log does not
// name are explained as the one whose cgroup it names.
func TestGroupBelowTheLimit(t *testing.T) {
	victim := func(cgroup, group string) *oom.Why {
		return Of(limited(fromLog, func(r *oom.Record) {
			r.Limit.Cgroup, r.Limit.Level, r.Victim.Cgroup = "/pods/p", oom.LevelPod, cgroup
			r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: group, OOMGroup: oom.Some(true)}}
		}))
	}
	for group, above := range map[string]bool{"/pods/p/a": true, "/pods/p": false} {
		first, second := victim("/pods/p/a", group), victim("", group)
		if hasCode(first, codeLimitAncestor) != above || first.Summary != second.Summary || len(first.Reasons) != len(second.Reasons) {
			t.Errorf("a group of %s:\n%+v\n%+v", group, first, second)
		}
	}
}

// TestSwapGuesses: what a record rules out is not among the guesses at why swap was not used.
func TestSwapGuesses(t *testing.T) {
	record := func(unevictable uint64, changes ...change) *oom.Record {
		return system(append([]change{swap(2*gib, 2*gib), fromLog, stat(oom.StatUnevictable, unevictable), func(r *oom.Record) {
			r.Memory.Swappiness, r.Victim.CgroupLimits, r.Victim.Cgroup = oom.Opt[uint32]{}, nil, "/"
		}}, changes...)...)
	}
	in := func(cgroup string, pod *oom.Pod) change {
		return func(r *oom.Record) { r.Victim.Cgroup, r.Victim.Pod = cgroup, pod }
	}
	levels := func(l ...oom.CgroupLimit) change { return func(r *oom.Record) { r.Victim.CgroupLimits = l } }
	pod := &oom.Pod{UID: "u", QoS: "burstable"}
	for _, tt := range []struct {
		name string
		rec  *oom.Record
		want string
	}{
		{"nothing is locked", record(0), "(could also be a swappiness of 0, slow swapping or pages pinned by a device)"},
		{"below a quarter is", record(gib - 1), "(could also be a swappiness of 0, slow swapping or pages pinned by a device)"},
		{"a quarter is", record(gib), "(could also be a swappiness of 0, locked memory, slow swapping or pages pinned by a device)"},
		{"of a pod", record(0, in("/kubepods/u/c", pod)), "(could also be memory.swap.max=0 of the pod's cgroup (kubelet's NoSwap), a swappiness of 0, slow swapping or pages pinned by a device)"},
		{"of a pod whose limits are known", record(0, in("/kubepods/u/c", pod), levels(oom.CgroupLimit{Cgroup: "/kubepods/u/c", UsageBytes: b(gib)})),
			"(could also be a swappiness of 0, slow swapping or pages pinned by a device)"},
		{"of a pod, with what the log says of memory.min", record(0, in("/kubepods/u/c", pod), levels(oom.CgroupLimit{Cgroup: "/", ChildrenMinBytes: b(mib)})),
			"(could also be memory.swap.max=0 of the pod's cgroup (kubelet's NoSwap), a swappiness of 0, slow swapping or pages pinned by a device)"},
		{"of a unit", record(0, in("/system.slice/a.service", nil)), "(could also be a cgroup that may not swap, a swappiness of 0, slow swapping or pages pinned by a device)"},
	} {
		if w := Of(tt.rec); w.Verdict != codeSwapUnexplained || !strings.HasSuffix(w.Summary, tt.want) {
			t.Errorf("%s: %+v", tt.name, w)
		}
	}
}
