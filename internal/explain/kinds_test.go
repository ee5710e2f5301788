package explain

import (
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func stack(frames ...string) change {
	return func(r *oom.Record) {
		if r.Trigger == nil {
			r.Trigger = &oom.Trigger{}
		}
		r.Trigger.KernelStack = frames
	}
}

func fromLog(r *oom.Record) { r.Source = oom.SourceKmsg }

// named gives the tasks listed a name and a cgroup.
func named(comm, cgroup string) change {
	return func(r *oom.Record) {
		for i := range r.Candidates {
			r.Candidates[i].Comm, r.Candidates[i].Cgroup = comm, cgroup
		}
	}
}

func bystander(bytes uint64) change {
	return func(r *oom.Record) {
		r.Candidates = append([]oom.Candidate{{PID: oom.Some(int32(7)), Comm: "db", RSSBytes: b(bytes), AnonRSSBytes: b(bytes), OOMScoreAdj: oom.Some(int32(-1000))}}, r.Candidates...)
		r.CandidatesTotal.Value++
		r.CandidatesBytes.Value += bytes
	}
}

func repeated(n int, v uint64) []uint64 {
	out := make([]uint64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func bySwapoff(r *oom.Record) { r.Trigger.Comm = "swapoff" }

func died(r *oom.Record) { r.Victim.Comm = "swapoff" }

func noSwapLines(r *oom.Record) {
	r.Memory.SwapTotalBytes, r.Memory.SwapFreeBytes, r.Incomplete = oom.Opt[uint64]{}, oom.Opt[uint64]{}, oom.Some(true)
}

func balance(r *oom.Record) { r.Trigger.KernelStack = []string{"balance_pgdat+0x2"} }

func tenth(less uint64) change {
	return func(r *oom.Record) { r.Memory.TotalBytes, r.Memory.FreeBytes = b(4000*mib), b(400*mib-less) }
}

func cached(v uint64) change {
	return func(r *oom.Record) {
		stat(oom.StatActiveFile, v)(r)
		stat(oom.StatInactiveFile, 0)(r)
		r.Memory.TotalBytes = b(4000 * mib)
	}
}

// kswapd asks.
func kswapd(r *oom.Record) { r.Trigger.Comm, r.Trigger.GFPMask = "kswapd1", oom.Some(uint32(0xcc0)) }

// pagefault is a page fault that failed without an allocation, on a machine with room.
func pagefault(free uint64) []change {
	return []change{swap(0, 0), stack("pagefault_out_of_memory+0x5a", "do_user_addr_fault+0x5c"), func(r *oom.Record) {
		r.Trigger.GFPMask = oom.Some(uint32(0))
		r.Memory.FreeBytes = b(free)
		r.Memory.Zones = []oom.Zone{zone(0, "DMA32", free/2, 20*mib, 27*mib), zone(0, "Normal", free/2, 20*mib, 27*mib)}
	}}
}

func newPairs() []pair {
	idle := swap(2*gib, 2*gib)
	lowered := func(from, to, ago uint64) change {
		return func(r *oom.Record) {
			r.Limit.Changed = &oom.LimitChange{FromBytes: b(from), ToBytes: b(to), AgoNS: oom.Some(ago), PID: oom.Some(int32(812)), Comm: "kubelet"}
		}
	}
	over := func(usage uint64) change {
		return func(r *oom.Record) {
			r.Limit.UsageBytes = b(usage)
			limitStat(oom.LimitAnon, usage-5*mib)(r)
		}
	}
	writer := func(r *oom.Record) { r.Trigger = &oom.Trigger{PID: oom.Some(int32(9)), Comm: "sh"} }
	weighed := func(total, bytes uint64) change {
		return func(r *oom.Record) { r.CandidatesTotal, r.CandidatesBytes = oom.Some(total), b(bytes) }
	}
	origin := func(comm string) change {
		return func(r *oom.Record) {
			r.Victim.OOMOrigin, r.Victim.BadnessPages, r.Victim.Comm = oom.Some(true), oom.Opt[int64]{}, comm
		}
	}
	device := func(r *oom.Record) {
		r.Memory.SwapDevices = []oom.SwapDevice{{Name: "/dev/zram0", UsedBytes: b(72 * mib)}}
	}
	lockedBy := func(kind string, bytes uint64) []change {
		anon := (3*gib - bytes) / 2
		return []change{stat(oom.StatUnevictable, bytes), stat(kind, bytes), stat(oom.StatActiveAnon, anon), stat(oom.StatInactiveAnon, anon)}
	}
	with := func(base []change, more ...change) []change { return append(append([]change(nil), more...), base...) }
	huge := func(used uint64) []change {
		return []change{stat(oom.StatHugepagesTotal, used), stat(oom.StatHugepagesFree, 0), stat(oom.StatActiveAnon, 512*mib), stat(oom.StatInactiveAnon, 512*mib)}
	}
	protect := func(bytes uint64) change {
		return func(r *oom.Record) {
			r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: "/a", UsageBytes: b(3 * gib), MinBytes: b(bytes)}}
		}
	}
	dirty := func(bytes uint64) change { // of 2.5 GiB of page cache
		return func(r *oom.Record) {
			set(&r.Memory.Stat, oom.StatActiveAnon, gib)
			set(&r.Memory.Stat, oom.StatInactiveAnon, 0)
			set(&r.Memory.Stat, oom.StatInactiveFile, 2*gib+512*mib)
			set(&r.Memory.Stat, oom.StatFileDirty, bytes)
		}
	}
	holders := func(bytes uint64) change {
		return func(r *oom.Record) {
			r.Holders = []oom.Holder{{Cgroup: "/kubepods/a", UsageBytes: b(bytes), Tasks: b(12), RequestBytes: b(gib),
				Owner: oom.Owner{Pod: &oom.Pod{Namespace: "shop", Name: "search-0"}}}}
		}
	}
	tmpfs := []change{inPod(30 * mib), limitStat(oom.LimitAnon, 8*mib), limitStat(oom.LimitFile, 245*mib), limitStat(oom.LimitShmem, 240*mib)}
	cma := func(cmaFree uint64) change {
		return func(r *oom.Record) {
			r.Trigger.GFPMask = oom.Some(uint32(0xcc0))
			r.Memory.FreeBytes = b(gib)
			r.Memory.Zones = []oom.Zone{zone(0, "Normal", gib, 20*mib, 30*mib)}
			r.Memory.Zones[0].FreeCMABytes = b(cmaFree)
		}
	}
	types := func(letters ...string) change {
		return func(r *oom.Record) { r.Memory.Zones[0].FreeBlockTypes = letters }
	}
	listedOnly := func(free uint64) change {
		return func(r *oom.Record) {
			r.Memory.FreeBytes = b(free)
			r.Memory.Zones = []oom.Zone{zone(0, "DMA32", 20*mib, 20*mib, 30*mib)}
			r.Memory.Zones[0].ManagedBytes = b(2 * gib)
		}
	}
	return []pair{
		{codeLimitLowered, "the write kills", limited(over(600*mib), writer, stack("out_of_memory+0x1", "mem_cgroup_out_of_memory+0x2", "memory_max_write+0x3")), codeLimitLowered,
			"a charge kills", limited(stack("out_of_memory+0x1", "try_charge_memcg+0x2", "do_user_addr_fault+0x3")), codeLimitAnon},
		{codeLimitLowered, "more is in use than the limit", limited(over(300 * mib)), codeLimitLowered, "a little more is", limited(over(258 * mib)), codeLimitAnon},
		{codeLimitLowered, "just before", limited(lowered(512*mib, 256*mib, 2e9)), codeLimitLowered, "and raised again", limited(lowered(512*mib, 128*mib, 2e9)), codeLimitAnon},
		{codeLimitLowered, "an hour before", limited(lowered(512*mib, 256*mib, 3600e9)), codeLimitAnon, "never", limited(), codeLimitAnon},
		{codeLimitNoTask, "of a process that moved away", limited(weighed(3, 60*mib)), codeLimitAnon, "held by the tasks", limited(weighed(3, 250*mib)), codeLimitAnon},
		{codeLimitShmem, "of a removed cgroup", limited(append(tmpfs, weighed(2, 40*mib))...), codeLimitShmem, "the neighbours' processes hold it", limited(inPod(30*mib), weighed(9, 250*mib)), codeLimitAncestor},
		{codeTHP, "nearly all", limited(limitStat(oom.LimitAnonTHP, 200*mib), victimAnon(251*mib)), codeLimitAnon, "some", limited(limitStat(oom.LimitAnonTHP, 100*mib), victimAnon(251*mib)), codeLimitAnon},
		{codeLimitAnon, "pages on their way to swap", limited(limitStat(oom.LimitAnon, 150*mib), limitStat(oom.LimitFile, 104*mib), limitStat(oom.LimitSwapcached, 100*mib), limitStat(oom.LimitKernel, 2*mib), func(r *oom.Record) { r.Limit.SwapUsageBytes = b(110 * mib) }), codeLimitAnon,
			"files", limited(limitStat(oom.LimitAnon, 20*mib), limitStat(oom.LimitFile, 230*mib), limitStat(oom.LimitSwapcached, 4*mib)), codeLimitFile},
		{codeSwapoff, "it is the victim", system(swap(0, 0), origin("swapoff"), device), codeSwapoff, "KSM is turned off", system(swap(0, 0), origin("sh")), codeSwapNone},
		{codeSwapoff, "it asked and died, in a cut log", system(fromLog, bySwapoff, died, noSwapLines), codeSwapoff, "another died", system(fromLog, bySwapoff, noSwapLines), codeMemoryLow},
		{codeSwapoff, "it asked", system(swap(0, 0), stack("try_to_unuse+0x1", "__do_sys_swapoff+0x2")), codeSwapoff, "no swap", system(swap(0, 0)), codeSwapNone},
		{codeSwapoff, "the device is in use, the total is 0", system(swap(0, 0), device), codeSwapoff, "swap is used up", system(device), codeSwapFull},
		{codeSwapMlocked, "no swap", system(with(lockedBy(oom.StatMlocked, 2*gib), swap(0, 0))...), codeSwapMlocked, "no swap, little locked", system(with(lockedBy(oom.StatMlocked, 800*mib), swap(0, 0))...), codeSwapNone},
		{codeSwapMlocked, "swap is full", system(lockedBy(oom.StatMlocked, 2*gib)...), codeSwapMlocked, "swap is full, little locked", system(lockedBy(oom.StatMlocked, 800*mib)...), codeSwapFull},
		{codeSwapUnevictable, "no swap", system(with(lockedBy(oom.StatBounce, 2*gib), swap(0, 0), stat(oom.StatMlocked, 0))...), codeMemoryKernel, "nothing unevictable", system(swap(0, 0)), codeSwapNone},
		{codeHugepagesUsed, "no swap", system(with(huge(2*gib), swap(0, 0))...), codeHugepagesUsed, "unused", system(append(huge(2*gib), stat(oom.StatHugepagesFree, 2*gib), swap(0, 0))...), codeMemoryHugepages},
		{codeMemoryBalloon, "an inflated one", system(stat("balloon_pages_bytes", gib)), codeSwapFull, "a small one", system(stat("balloon_pages_bytes", 100*mib)), codeSwapFull},
		{codeMemoryProtected, "the victim's cgroup", system(protect(2 * gib)), codeSwapFull, "a little of it", system(protect(200 * mib)), codeSwapFull},
		{codeMemoryProtected, "half of it, and swap was free", system(idle, protect(2*gib)), codeMemoryProtected, "a little of it", system(idle, protect(200*mib)), codeSwapUnexplained},
		{codeMemoryDirty, "a copy to a slow disk", system(idle, dirty(2*gib)), codeMemoryDirty, "cache that is clean", system(idle, dirty(0)), codeMemoryLow},
		{codeMinTTL, "its stack", system(kswapd, idle, stack("lru_gen_age_node+0x1", "balance_pgdat.isra.0+0x2")), codeMinTTL, "another's", system(kswapd, idle, stack("__alloc_pages_slowpath+0x1")), codeSwapUnexplained},
		{codeMinTTL, "no stack, kswapd's request", system(kswapd, idle), codeMinTTL, "a page fault's", system(kswapd, idle, movableMask), codeSwapUnexplained},
		{codeMinTTL, "its name", system(kswapd, idle), codeMinTTL, "another name", system(kswapd, idle, func(r *oom.Record) { r.Trigger.Comm = "kswapd0x" }), codeSwapUnexplained},
		{codeMinTTL, "of order 0", system(kswapd, idle), codeMinTTL, "of order 1", system(kswapd, idle, func(r *oom.Record) { r.Trigger.Order.Value = 1 }), codeSwapUnexplained},
		{codeMinTTL, "a fifth of swap is free", system(kswapd, swap(5*gib, gib)), codeMinTTL, "no stack, and less", system(kswapd, swap(5*gib, gib-1)), codeSwapFull},
		{codeMinTTL, "a tenth is free, and no swap", system(kswapd, swap(0, 0), balance, tenth(0)), codeMinTTL, "no stack, and less", system(kswapd, swap(0, 0), tenth(1)), codeSwapNone},
		{codeMinTTL, "page cache is left, and no swap", system(kswapd, swap(0, 0), balance, cached(1000*mib)), codeMinTTL, "no stack, and less", system(kswapd, swap(0, 0), cached(999*mib)), codeSwapNone},
		{codeNotShort, "a page fault", system(pagefault(1400 * mib)...), codeNotShort, "nothing is free", system(pagefault(40 * mib)...), codeSwapNone},
		{codeNotShort, "above the marks", system(idle, pagefault(1400 * mib)[2]), codeNotShort, "a request of four pages, no blocks known", system(pagefault(1400 * mib)[2], func(r *oom.Record) {
			r.Trigger.Order = oom.Some(int32(2))
		}), codeSwapFull},
		{codeNotShort, "CMA, for a movable request", system(cma(900*mib), func(r *oom.Record) { r.Trigger.GFPMask = oom.Some(uint32(0x140dca)) }), codeNotShort,
			"CMA, for the kernel", system(swap(0, 0), cma(gib-10*mib)), codeNodeZone},
		{codeNotShort, "a part of it is CMA", system(swap(0, 0), cma(900*mib), movableMask), codeNotShort, "all above the marks is CMA", system(swap(0, 0), cma(gib-20*mib), movableMask), codeSwapNone},
		{codeMemoryFragments, "the blocks are CMA's", system(fragmented(2, 400*mib, 90000, 900, 40), cmaMask, types("UME", "UM", "C")), codeMemoryFragments,
			"most are not", system(fragmented(2, 400*mib, 90000, 900, 60000), cmaMask, types("UME", "UM", "MC")), codeNotShort},
		{codeMemoryFragments, "the blocks are kept for atomic requests", system(fragmented(2, 400*mib, 90000, 900, 40), types("UME", "UM", "H")), codeMemoryFragments,
			"for any request", system(fragmented(2, 400*mib, 90000, 900, 60000), types("UME", "UM", "U")), codeNotShort},
		{codeNodeZone, "the log lists the usable zones only", system(swap(0, 0), fromLog, cmaMask, listedOnly(gib)), codeNodeZone, "and nothing is free elsewhere", system(swap(0, 0), fromLog, cmaMask, listedOnly(40*mib)), codeSwapNone},
		{codeNodeCpuset, "the log lists its nodes only", system(swap(0, 0), fromLog, listedOnly(gib), func(r *oom.Record) { r.Scope = oom.ScopeCpuset }), codeNodeCpuset,
			"nothing is free elsewhere", system(swap(0, 0), fromLog, listedOnly(25*mib), func(r *oom.Record) { r.Scope = oom.ScopeCpuset }), codeSwapNone},
		{codeManyTasks, "beside a big one that is spared", system(tasks(800, repeated(10, 3*mib)...), bystander(gib)), codeManyTasks,
			"the big one holds as much", system(tasks(800, repeated(10, 3*mib)...), bystander(2*gib)), codeSwapFull},
		{codeManyTasks, "twenty of one service", system(swap(0, 0), tasks(20, repeated(10, 110*mib)...), named("worker", "/svc")), codeManyTasks,
			"twenty of different ones", system(swap(0, 0), tasks(20, repeated(10, 110*mib)...), func(r *oom.Record) {
				for i := range r.Candidates {
					r.Candidates[i].Comm = string(rune('a' + i))
				}
			}), codeSwapNone},
		{codeManyTasks, "twenty workers beside a tmpfs", system(swap(0, 0), tasks(20, repeated(10, 110*mib)...), named("worker", "/svc"), stat(oom.StatShmem, 900*mib)), codeManyTasks,
			"a tmpfs, and what they share counts for each", system(swap(0, 0), tasks(80, repeated(10, 50*mib)...), stat(oom.StatShmem, 2*gib)), codeSwapNone},
		{codeHolder, "a pod", system(swap(0, 0), holders(2*gib)), codeSwapNone, "a small one", system(swap(0, 0), holders(800*mib)), codeSwapNone},
		{codeHolder, "a task that is spared", system(swap(0, 0), spareBig(3500*mib, -1000)), codeSwapNone, "none holds a quarter", system(swap(0, 0), victimAnon(900*mib)), codeSwapNone},
		{codeHolder, "tasks of one cgroup", system(swap(0, 0), tasks(12, repeated(10, 300*mib)...), named("tool", "/build")), codeSwapNone,
			"tasks of the root", system(swap(0, 0), tasks(12, repeated(10, 300*mib)...), named("tool", "/")), codeSwapNone},
	}
}

func movableMask(r *oom.Record) { r.Trigger.GFPMask = oom.Some(uint32(0x140dca)) }

func cmaMask(r *oom.Record) { r.Trigger.GFPMask = oom.Some(uint32(0xcc0)) }

func history(points ...[2]uint64) change {
	return func(r *oom.Record) {
		h := &oom.History{Source: oom.HistoryExact}
		for _, p := range points {
			h.Points = append(h.Points, oom.HistoryPoint{AgoNS: p[0] * 1e6, Bytes: p[1] * mib})
		}
		r.History = h
		r.Time = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	}
}

func grower(age time.Duration, bytes uint64) change {
	return func(r *oom.Record) {
		r.History.Growers = []oom.Grower{{PID: oom.Some(int32(4730)), Comm: "pip3", StartTime: r.Time.Add(-age), ChargedBytes: b(bytes), Exited: oom.Some(true)}}
	}
}

func machine(points ...[2]uint64) change {
	return func(r *oom.Record) {
		h := &oom.MemoryHistory{Source: oom.HistorySampled, SpanNS: oom.Some(points[0][0] * 1e6)}
		for _, p := range points {
			h.Points = append(h.Points, oom.MemoryPoint{AgoNS: p[0] * 1e6, AnonBytes: b(p[1] * mib), SwapFreeBytes: b(0)})
		}
		r.Memory.History = h
	}
}

func growthPairs() []pair {
	burst := history([2]uint64{3600e3, 100}, [2]uint64{1800e3, 101}, [2]uint64{600e3, 99}, [2]uint64{60e3, 100}, [2]uint64{4e3, 102}, [2]uint64{2e3, 180}, [2]uint64{0, 256})
	leak := history([2]uint64{3600e3, 156}, [2]uint64{2700e3, 181}, [2]uint64{1800e3, 206}, [2]uint64{900e3, 231}, [2]uint64{60e3, 255}, [2]uint64{0, 256})
	start := history([2]uint64{200e3, 2}, [2]uint64{150e3, 64}, [2]uint64{100e3, 128}, [2]uint64{50e3, 192}, [2]uint64{0, 256})
	steps := history([2]uint64{400e3, 60}, [2]uint64{301e3, 60}, [2]uint64{300e3, 120}, [2]uint64{201e3, 120}, [2]uint64{200e3, 180}, [2]uint64{1e3, 180}, [2]uint64{0, 256})
	saw := history([2]uint64{400e3, 60}, [2]uint64{350e3, 200}, [2]uint64{340e3, 60}, [2]uint64{200e3, 220}, [2]uint64{190e3, 60}, [2]uint64{60e3, 150}, [2]uint64{0, 256})
	full := history([2]uint64{3600e3, 60}, [2]uint64{1900e3, 62}, [2]uint64{1800e3, 252}, [2]uint64{900e3, 254}, [2]uint64{300e3, 255}, [2]uint64{60e3, 256}, [2]uint64{0, 256})
	reached := history([2]uint64{3600e3, 60}, [2]uint64{1900e3, 62}, [2]uint64{30e3, 63}, [2]uint64{20e3, 252}, [2]uint64{10e3, 254}, [2]uint64{0, 256})
	holders := func(r *oom.Record) {
		r.Holders = []oom.Holder{{UsageBytes: b(3 * gib), GrewBytes: oom.Some(int64(300 * mib)), Owner: oom.Owner{Unit: "search.service"}}}
	}
	return []pair{
		{codeGrewBurst, "300 MiB in seconds", limited(burst), codeLimitAnon, "steadily", limited(leak), codeLimitAnon},
		{codeGrewLeak, "for an hour", limited(leak), codeLimitAnon, "from the start", limited(start), codeLimitAnon},
		{codeGrewLeak, "of the machine, by its holder", system(swap(0, 0), holders, machine([2]uint64{28200e3, 2700}, [2]uint64{21000e3, 2775}, [2]uint64{14100e3, 2850}, [2]uint64{7000e3, 2925}, [2]uint64{0, 3000})), codeSwapNone,
			"flat", system(swap(0, 0), holders, machine([2]uint64{28200e3, 2990}, [2]uint64{21000e3, 2995}, [2]uint64{14100e3, 3000}, [2]uint64{7000e3, 2995}, [2]uint64{0, 3000})), codeSwapNone},
		{codeGrewSteps, "four", limited(steps), codeLimitAnon, "one", limited(burst), codeLimitAnon},
		{codeGrewSawtooth, "three", limited(saw), codeLimitAnon, "steps", limited(steps), codeLimitAnon},
		{codeGrewNew, "all of it", limited(start), codeLimitAnon, "a leak", limited(leak), codeLimitAnon},
		{codeGrewNew, "a process that had just started", limited(burst, grower(3*time.Second, 150*mib)), codeLimitAnon, "an old one", limited(burst, grower(time.Hour, 150*mib)), codeLimitAnon},
		{codeFullForLong, "half an hour", limited(full), codeLimitAnon, "just reached", limited(reached), codeLimitAnon},
	}
}

func sigkillPairs() []pair {
	kill := func(cause oom.Cause, s *oom.Sender, changes ...change) *oom.Record {
		r := &oom.Record{Kind: oom.KindSigkill, Cause: cause, Sender: s, Victim: &oom.Victim{PID: oom.Some(int32(11)), Comm: "nginx",
			CgroupLimits: []oom.CgroupLimit{{Cgroup: "/a", UsageBytes: b(97 * mib), MaxBytes: b(256 * mib)}}}}
		for _, c := range changes {
			c(r)
		}
		return r
	}
	user := &oom.Sender{PID: oom.Some(int32(900)), Comm: "bash", UID: oom.Some(uint32(1000)), Owner: oom.Owner{Unit: "session-1.scope"}}
	oomd := &oom.Sender{PID: oom.Some(int32(400)), Comm: "systemd-oomd", Program: "systemd-oomd", Role: oom.RoleMemoryManager, Says: "pressure 62 % for 30 s"}
	shim := &oom.Sender{PID: oom.Some(int32(500)), Comm: "runc", Role: oom.RoleRuntime, Program: "runc", Parents: []oom.Parent{{PID: oom.Some(int32(499)), Comm: "containerd-shim"}}}
	systemd := &oom.Sender{PID: oom.Some(int32(1)), Comm: "systemd", Role: oom.RoleServiceManager, Program: "systemd"}
	fake := &oom.Sender{PID: oom.Some(int32(501)), Comm: "runc"}
	short := func(r *oom.Record) { r.Victim.CgroupLimits[0].UsageBytes = b(255 * mib) }
	pressure := func(some, full float64) change {
		return func(r *oom.Record) {
			r.Victim.CgroupPressure = &oom.Pressure{Some: &oom.PressureTime{Avg10Percent: oom.Some(some)}, Full: &oom.PressureTime{Avg10Percent: oom.Some(full)}}
		}
	}
	machine := func(some float64) change {
		return func(r *oom.Record) {
			r.Memory = &oom.Memory{Pressure: &oom.Pressure{Some: &oom.PressureTime{Avg10Percent: oom.Some(some)}}}
		}
	}
	noLimit := func(r *oom.Record) { r.Victim.CgroupLimits = nil }
	incident := func(r *oom.Record) { r.Incident = "1" }
	return []pair{
		{codeKilledByManager, "systemd-oomd", kill(oom.CauseMemoryManager, oomd), codeKilledByManager, "a shell", kill(oom.CauseUser, user), codeKilledByUser},
		{codeKilledByUser, "a shell", kill(oom.CauseUser, user), codeKilledByUser, "a runtime", kill(oom.CauseUser, shim), codeKilledByRuntime},
		{codeKilledByRuntime, "cgroup.kill", kill(oom.CauseCgroupKill, shim, incident), codeKilledByRuntime, "a shell's cgroup.kill", kill(oom.CauseCgroupKill, user), codeKilledByUser},
		{codeKilledByRuntime, "systemd", kill(oom.CauseUser, systemd), codeKilledByRuntime, "only named so", kill(oom.CauseUser, fake), codeKilledByUser},
		{codeKilledByUser, "no sender known", kill(oom.CauseUser, nil), codeKilledByUser, "systemd", kill(oom.CauseUser, systemd), codeKilledByRuntime},
		{codeKilledByKernel, "seccomp", kill(oom.CauseKernel, nil), codeKilledByKernel, "a namespace", kill(oom.CausePIDNamespace, nil), codeKilledWith},
		{codeKilledWith, "its namespace", kill(oom.CausePIDNamespace, nil, incident), codeKilledWith, "the kernel", kill(oom.CauseKernel, nil), codeKilledByKernel},
		{codeKilledWith, "its memory", kill(oom.CauseSharedMM, nil, incident), codeKilledWith, "a user", kill(oom.CauseUser, user), codeKilledByUser},
		{codeMemoryWasShort, "99 % of its limit", kill(oom.CauseUser, user, short), codeKilledByUser, "38 %", kill(oom.CauseUser, user), codeKilledByUser},
		{codeMemoryWasFree, "38 % of its limit", kill(oom.CauseUser, user), codeKilledByUser, "no numbers", kill(oom.CauseUser, user, noLimit), codeKilledByUser},
		{codeMemoryWasShort, "all waited", kill(oom.CauseUser, user, pressure(40, 31)), codeKilledByUser, "few waited", kill(oom.CauseUser, user, pressure(0.3, 0)), codeKilledByUser},
		{codeMemoryWasFree, "few waited", kill(oom.CauseUser, user, pressure(0.3, 0)), codeKilledByUser, "one waited", kill(oom.CauseUser, user, pressure(40, 3)), codeKilledByUser},
		{codeMemoryWasShort, "a cgroup's tenth", kill(oom.CauseUser, user, pressure(10, 0)), codeKilledByUser, "the machine's tenth may be others", kill(oom.CauseUser, user, machine(10)), codeKilledByUser},
		{codeMemoryWasFree, "few waited on the machine", kill(oom.CauseUser, user, machine(9.9)), codeKilledByUser, "some waited on the machine", kill(oom.CauseUser, user, machine(10)), codeKilledByUser},
		{codeMemoryWasFree, "the machine", kill(oom.CauseUser, user, noLimit, func(r *oom.Record) { r.Memory = &oom.Memory{TotalBytes: b(4 * gib), FreeBytes: b(gib)} }), codeKilledByUser,
			"the machine is short", kill(oom.CauseUser, user, noLimit, func(r *oom.Record) { r.Memory = &oom.Memory{TotalBytes: b(4 * gib), FreeBytes: b(60 * mib)} }), codeKilledByUser},
	}
}

func outcomePairs() []pair {
	panicked := func(why oom.Panic) change {
		return func(r *oom.Record) { r.Kind, r.Panic = oom.KindPanic, why }
	}
	onLimits := func(r *oom.Record) { r.Memory.PanicOnOOM = oom.Some(uint32(2)) }
	cut := func(r *oom.Record) { r.Kind, r.Victim = oom.KindOOM, nil }
	sysrq := func(r *oom.Record) { r.Sysrq, r.Trigger.Order = oom.Some(true), oom.Some(int32(-1)) }
	roomy := func(r *oom.Record) { r.Memory.FreeBytes = b(2 * gib) }
	// Above the zones' marks, and below a tenth.
	twentieth := func(r *oom.Record) {
		r.Memory.FreeBytes, r.Trigger.GFPMask = b(200*mib), oom.Some(uint32(0xcc0))
		r.Memory.Zones = []oom.Zone{zone(0, "Normal", 200*mib, 2*mib, 3*mib)}
	}
	return []pair{
		{codePanic, "at a cgroup's limit", limited(panicked(oom.PanicOnOOM), onLimits), codePanic, "a kill", limited(), codeLimitAnon},
		{codePanic, "panic_on_oom", system(swap(0, 0), panicked(oom.PanicOnOOM)), codePanic, "a kill", system(swap(0, 0)), codeSwapNone},
		{codePanic, "nothing to kill", system(swap(0, 0), panicked(oom.PanicNoKillable)), codePanic, "no_victim", system(kind(oom.KindNoVictim)), codeNoVictim},
		{codeCut, "a whole report", system(swap(0, 0), cut), codeCut, "a kill", system(swap(0, 0)), codeSwapNone},
		{codeCut, "a line alone", &oom.Record{Kind: oom.KindOOM, Source: oom.SourceKmsg}, codeCut, "a kill line alone", &oom.Record{Kind: oom.KindKill, Source: oom.SourceKmsg}, codeUnknown},
		{codeSwapNone, "a daemon, with no memory free", system(swap(0, 0), sysrq), codeSysrq, "a person, with memory free", system(swap(0, 0), sysrq, roomy), codeSysrq},
		{codeMinTTL, "with swap used up", system(kswapd, swap(gib, 0), balance), codeSwapFull, "SysRq-f", system(kswapd, sysrq, balance), codeSysrq},
		{codeNotShort, "the same free memory, and a request for it", system(swap(0, 0), twentieth), codeNotShort, "a daemon, with a twentieth free", system(swap(0, 0), sysrq, twentieth), codeSysrq},
		{codeNotShort, "a person, with memory free", system(swap(0, 0), sysrq, roomy), codeSysrq, "a daemon, with no memory free", system(swap(0, 0), sysrq), codeSysrq},
	}
}
