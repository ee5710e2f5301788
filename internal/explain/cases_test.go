package explain

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// chosenOnly is a log that ends with the kernel's choice.
func chosenOnly(r *oom.Record) {
	r.Source, r.Incomplete, r.Victim.Score, r.Victim.AnonRSSBytes = oom.SourceKmsg, oom.Some(true), oom.Some(int64(900)), size{}
}

func shrank(r *oom.Record) {
	r.Memory.TotalChanged = &oom.LimitChange{FromBytes: b(10 * gib), ToBytes: b(4 * gib), AgoNS: oom.Some(uint64(720e9))}
}

func lowMask(mask uint32) change {
	return func(r *oom.Record) { r.Trigger.GFPMask = oom.Some(mask) }
}

// lowMemory is a machine that is short of the memory below 4 GiB alone.
func lowMemory(mask uint32) *oom.Record {
	return system(lowMask(mask), func(r *oom.Record) {
		r.Memory.FreeBytes = b(2*gib + 6*mib)
		r.Memory.Zones = []oom.Zone{zone(0, "DMA", 2*mib, mib, 3*mib), zone(0, "DMA32", 4*mib, 4*mib, 9*mib), zone(0, "Normal", 2*gib, 20*mib, 30*mib)}
		r.Memory.Zones[0].LowmemReserveBytes = []uint64{0, 700 * mib, 2 * gib}
		r.Memory.Zones[1].LowmemReserveBytes = []uint64{0, 0, gib}
	})
}

func without(r *oom.Record, name string) {
	r.Memory.Stat = slices.DeleteFunc(r.Memory.Stat, func(s oom.Stat) bool { return s.Name == name })
}

// TestCases holds what the words of single reasons and summaries must, and must not,
// say.
func TestCases(t *testing.T) {
	kernel := func(changes ...change) *oom.Record {
		return limited(append([]change{limitStat(oom.LimitAnon, 6*mib), limitStat(oom.LimitFile, 0)}, changes...)...)
	}
	caches := func(r *oom.Record) {
		r.Memory.SlabCaches = []oom.SlabCache{
			{Name: "dentry", TotalBytes: b(9 * mib)}, {Name: "kmalloc-2048", UsedBytes: b(150 * mib)}, {Name: "inode_cache", TotalBytes: b(20 * mib), UsedBytes: b(3 * mib)},
			{Name: "small", TotalBytes: b(mib)},
		}
	}
	spared := func(adj int32, cgroup string) change {
		return func(r *oom.Record) {
			r.Victim.CgroupLimits[0].OOMGroup = oom.Some(true)
			r.Candidates = []oom.Candidate{{PID: oom.Some(int32(9)), Comm: "init", OOMScoreAdj: oom.Some(adj), Cgroup: cgroup}}
		}
	}
	holder := func(h oom.Holder) change { return func(r *oom.Record) { r.Holders = []oom.Holder{h} } }
	sites := func(names ...string) change {
		return func(r *oom.Record) {
			for _, n := range names {
				r.Memory.Allocations = append(r.Memory.Allocations, oom.Allocation{Site: n, Bytes: b(2 * gib)})
			}
		}
	}
	// sharing are tasks that map 500 MiB of shared memory each, of which there is so much.
	sharing := func(tasks int, all uint64) change {
		return func(r *oom.Record) {
			if r.Memory != nil {
				set(&r.Memory.Stat, oom.StatShmem, all)
			}
			for range tasks {
				r.Candidates = append(r.Candidates, oom.Candidate{Comm: "pg", RSSBytes: b(520 * mib), AnonRSSBytes: b(20 * mib), ShmemRSSBytes: b(500 * mib)})
			}
		}
	}
	adjusted := func(adj int32) change {
		return func(r *oom.Record) {
			for i := range r.Candidates {
				r.Candidates[i].OOMScoreAdj = oom.Some(adj)
			}
		}
	}
	old := func(r *oom.Record) {
		r.Victim.PgtablesBytes = b(90 * mib)
		r.Limit.Stat = oom.Stats{{Name: oom.LimitAnon, Bytes: 6 * mib}, {Name: oom.LimitFile, Bytes: 0}, {Name: oom.LimitShmem, Bytes: 0}, {Name: oom.LimitSlabUnrecl, Bytes: 100 * mib}}
	}
	tests := []struct {
		name     string
		rec      *oom.Record
		code     string // "" for the summary
		has, not string
	}{
		{"the largest part of kernel memory is first", kernel(limitStat(oom.LimitKernel, 240*mib), limitStat(oom.LimitSlab, 40*mib), limitStat(oom.LimitVmalloc, 190*mib)),
			codeLimitKernel, "most of it vmalloc 190 MiB, slab 40 MiB", "counter"},
		{"three parts at most", kernel(limitStat(oom.LimitKernel, 240*mib), limitStat(oom.LimitSlab, 60*mib), limitStat(oom.LimitVmalloc, 62*mib), limitStat(oom.LimitPercpu, 58*mib), limitStat(oom.LimitKernelStack, 56*mib)),
			codeLimitKernel, "vmalloc 62 MiB, slab 60 MiB, per-CPU memory 58 MiB", "stacks"},
		{"slab by its caches", kernel(limitStat(oom.LimitKernel, 240*mib), limitStat(oom.LimitSlab, 230*mib), caches), "", "slab 230 MiB: kmalloc-2048 150 MiB, inode_cache 20 MiB, dentry 9 MiB", "small"},
		{"pipes are in no counter", kernel(limitStat(oom.LimitKernel, 240*mib), stack("pipe_write+0x1")), "", "240 MiB in no counter, probably data in pipes", "slab"},
		{"sockets have one", kernel(limitStat(oom.LimitSock, 240*mib)), "", "sockets 240 MiB", "counter"},
		{"no memory.stat, a process as big as the limit", limited(func(r *oom.Record) { r.Limit.Stat, r.Victim.AnonRSSBytes = nil, b(9*mib) }), "",
			"limit of 256 MiB is used up; this process alone has 252 MiB resident", ""},
		{"no memory.stat, a small process", limited(func(r *oom.Record) { r.Limit.Stat, r.Victim.AnonRSSBytes, r.Victim.RSSBytes = nil, b(9*mib), b(20*mib) }), "",
			"limit of 256 MiB is used up", "alone"},
		{"page tables before 5.11", limited(old), codeLimitKernel, "slab 100 MiB, page tables of this process 90 MiB, 60 MiB in no counter", ""},
		{"missing memory, a guess", system(stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0), stack("unix_dgram_sendmsg+0x9")), codeMemoryMissing, "probably data in sockets", "balloon"},
		{"zram that the log does not count", system(stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0)), "", "could also be what zram or zswap holds", ""},
		{"zram that is counted", system(stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0), stat(oom.StatZspages, mib)), "", "could also be pages of drivers", "zram"},
		{"zram where there is no swap", system(swap(0, 0), stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0)), "", "could also be pages of drivers", "zram"},
		{"missing memory, and the log lacks the stacks", system(func(r *oom.Record) {
			set(&r.Memory.Stat, oom.StatActiveAnon, 0)
			set(&r.Memory.Stat, oom.StatInactiveAnon, 0)
			without(r, oom.StatKernelStack)
		}), "", "could also be what zram or zswap holds, pages of drivers, ZFS or a balloon, pipes, sockets, kernel stacks", ""},
		{"the kernel's memory, and the log lacks the stacks", system(swap(0, 0), func(r *oom.Record) {
			set(&r.Memory.Stat, oom.StatInactiveAnon, 0)
			set(&r.Memory.Stat, oom.StatSlabUnrecl, 2700*mib)
			without(r, oom.StatKernelStack)
		}), "", "2.7 GiB of 4 GiB (66 %) is kernel memory", ""},
		{"what is left before 5.18 is the kernel's", limited(func(r *oom.Record) {
			r.Limit.Stat = oom.Stats{{Name: oom.LimitAnon, Bytes: 20 * mib}, {Name: oom.LimitFile, Bytes: 110 * mib}, {Name: oom.LimitShmem, Bytes: 100 * mib}, {Name: oom.LimitSock, Bytes: 6 * mib}}
		}), codeLimitKernel, "kernel memory: 126 MiB of 256 MiB (49 %)", ""},
		{"swap used up in a container without a pod", limited(func(r *oom.Record) {
			r.Victim.Container = &oom.Container{}
			r.Victim.CgroupLimits[0].SwapMaxBytes, r.Victim.CgroupLimits[0].SwapUsageBytes = b(64*mib), b(64*mib)
		}), codeSwapCgroupFull, "its cgroup has used up its swap: 64 MiB of 64 MiB (100 %)", ""},
		{"v1, memory and swap together, no memory.stat", limitedV1(func(r *oom.Record) {
			r.Limit.Stat, r.Limit.UsageBytes, r.Limit.MaxBytes = nil, b(40*mib), b(60*mib)
			r.Limit.MemswMaxBytes, r.Limit.MemswUsageBytes = b(100*mib), b(100*mib)
		}), "", "limit of 100 MiB on memory and swap is used up", "anonymous memory of the tasks"},
		{"a protection below an ancestor's limit", limited(inPod(30*mib), func(r *oom.Record) {
			r.Victim.CgroupLimits[0].UsageBytes, r.Victim.CgroupLimits[0].MinBytes = b(100*mib), b(100*mib)
		}), codeMemoryProtected, "memory.min keeps 100 MiB of 256 MiB (39 %)", ""},
		{"the allocating task, and no id of either", system(func(r *oom.Record) {
			r.Memory.OOMKillAllocatingTask = oom.Some(true)
			r.Victim.TID = oom.Opt[int32]{}
			r.Trigger = &oom.Trigger{Comm: "java"}
		}), codeVictimTrigger, "", "asked for memory"},
		{"a protection above the cgroup at its limit", limited(inPod(30*mib), func(r *oom.Record) {
			r.Limit.Cgroup, r.Victim.Cgroup = "/k/pod", "/k/pod/app"
			c := r.Victim.CgroupLimits
			c[0].Cgroup, c[1].Cgroup = "/k/pod/app", "/k/pod"
			r.Victim.CgroupLimits = append(c, oom.CgroupLimit{Cgroup: "/k", UsageBytes: b(20 * gib), MinBytes: b(10 * gib)})
		}), codeMemoryProtected, "", "memory.min"},
		{"the same, with paths that are cut", limited(inPod(30*mib), func(r *oom.Record) {
			r.Limit.Cgroup, r.Limit.CgroupID, r.Victim.Cgroup, r.Victim.CgroupID, r.Victim.CgroupCut = "/k/pod", b(7), "…/app", b(8), oom.Some(true)
			c := r.Victim.CgroupLimits
			c[0].Cgroup, c[0].CgroupID, c[1].Cgroup, c[1].CgroupID = "…/app", b(8), "…", b(7)
			r.Victim.CgroupLimits = append(c, oom.CgroupLimit{Cgroup: "…", CgroupID: b(6), UsageBytes: b(20 * gib), MinBytes: b(10 * gib)})
		}), codeMemoryProtected, "", "memory.min"},
		{"a protection between the victim and its limit, with paths that are cut", limited(inPod(30*mib), func(r *oom.Record) {
			r.Limit.Cgroup, r.Limit.CgroupID, r.Victim.Cgroup, r.Victim.CgroupID, r.Victim.CgroupCut = "…", b(7), "…/app", b(9), oom.Some(true)
			c := r.Victim.CgroupLimits
			c[0].Cgroup, c[0].CgroupID, c[1].Cgroup, c[1].CgroupID = "…/app", b(9), "…", b(8)
			c[1].UsageBytes, c[1].MinBytes = b(100*mib), b(100*mib)
			r.Victim.CgroupLimits = append(c, oom.CgroupLimit{Cgroup: "…", CgroupID: b(7), UsageBytes: b(256 * mib)})
		}), codeMemoryProtected, "memory.min keeps 100 MiB of 256 MiB (39 %)", ""},
		{"a limit between the victim and the one that was hit, with paths that are cut", limited(inPod(30*mib), func(r *oom.Record) {
			r.Limit.CgroupID, r.Victim.Cgroup, r.Victim.CgroupID, r.Victim.CgroupCut = b(7), "…/app", b(9), oom.Some(true)
			r.Limit.Cgroup = "…"
			level := func(cgroup string, id, usage uint64) oom.CgroupLimit {
				return oom.CgroupLimit{Cgroup: cgroup, CgroupID: b(id), UsageBytes: b(usage)}
			}
			r.Victim.CgroupLimits = []oom.CgroupLimit{level("…/app", 9, 10*mib), level("…", 8, 30*mib), level("…", 7, 256*mib)}
			r.Victim.CgroupLimits[1].MaxBytes = b(64 * mib)
		}), codeLimitAncestor, "which holds 30 MiB of its limit of 64 MiB", ""},
		{"memory.oom.group between them, with paths that are cut", limited(inPod(30*mib), func(r *oom.Record) {
			r.Limit.CgroupID, r.Victim.Cgroup, r.Victim.CgroupID, r.Victim.CgroupCut = b(7), "…/app", b(9), oom.Some(true)
			r.Limit.Cgroup = "…"
			on := oom.Some(true)
			r.Victim.CgroupLimits = []oom.CgroupLimit{
				{Cgroup: "…/app", CgroupID: b(9), OOMGroup: on, UsageBytes: b(10 * mib)}, {Cgroup: "…", CgroupID: b(8)},
				{Cgroup: "…", CgroupID: b(6), OOMGroup: on, UsageBytes: b(33 * mib)}, {Cgroup: "…", CgroupID: b(7), UsageBytes: b(256 * mib)},
			}
		}), codeVictimGroup, "holds 33 MiB", ""},
		{"a protection of the cgroup at its limit", limited(inPod(30*mib), func(r *oom.Record) { r.Victim.CgroupLimits[1].MinBytes = b(200 * mib) }), codeMemoryProtected, "", "memory.min"},
		{"a cpuset that was shrunk", system(numa(oom.ScopeCpuset, "0", 2*gib), memsChanged), "", "; the cpuset was shrunk from nodes 0-1 to 0 by runc (pid 42) 3 s before", ""},
		{"a cpuset that was shrunk, and a memory policy that decides", system(numa(oom.ScopeMempolicy, "0", 2*gib), memsChanged), "", "the nodes of the memory policy have", "shrunk"},
		{"a cpuset that was shrunk, and no numbers of its nodes", system(swap(0, 0), numa(oom.ScopeCpuset, "0", 2*gib), memsChanged, func(r *oom.Record) { r.Memory.Zones = nil }), "", "; the cpuset was shrunk from nodes 0-1 to 0", ""},
		{"nodes that are not known are those that are short", system(numa(oom.ScopeCpuset, "", 2*gib), func(r *oom.Record) {
			r.Memory.Zones = append(r.Memory.Zones, zone(2, "Normal", 15*mib, 5*mib, 10*mib))
		}), "", "the nodes of the cpuset have 20 MiB free, the rest of the machine 2 GiB", ""},
		{"free in zones with a block of the order alone", system(fragmented(2, 400*mib, 90000, 900, 0), smallZone(600*mib), func(r *oom.Record) { r.Trigger.GFPMask = oom.Some(uint32(0xcc0)) }),
			codeNotShort, "182 MiB is free where the request may take it, above high watermarks of 3 MiB", "1003"},
		{"two big ones beside many small", limited(tasks(80, repeated(10, 4*mib)...), bystander(80*mib), bystander(80*mib), func(r *oom.Record) { r.CandidatesBytes = b(300 * mib) }),
			codeManyTasks, "", "tasks"},
		{"the group's others were not chosen by size", limited(spared(-1000, "/a"), spareBig(8*gib, -998), func(r *oom.Record) { r.Victim.BadnessPages = oom.Opt[int64]{} }), codeVictimAdj, "", "spared"},
		{"the bigger of two groups", system(swap(0, 0), tasks(12, repeated(10, 300*mib)...), func(r *oom.Record) {
			for i := range r.Candidates {
				r.Candidates[i].Comm = []string{"z", "a", "z"}[i%3]
			}
		}), "", "the tasks named z hold at least 2.1 GiB of 4 GiB", ""},
		{"the first by name of equal groups", system(swap(0, 0), tasks(10, repeated(10, 300*mib)...), func(r *oom.Record) {
			for i := range r.Candidates {
				r.Candidates[i].Comm = []string{"z", "a"}[i%2]
			}
		}), "", "the tasks named a hold 1.5 GiB of 4 GiB", ""},
		{"swappiness 0 of a cgroup, whose locked memory is not known", limited(swappinessZero, func(r *oom.Record) {
			r.Victim.LockedVMBytes = size{}
			r.Limit.Stat = oom.Stats{{Name: oom.LimitAnon, Bytes: 250 * mib}}
		}), codeSwapSwappiness, "so 250 MiB of anonymous memory stays", ""},
		{"nothing known of the zones but what is free", system(func(r *oom.Record) {
			for i := range r.Memory.Zones {
				r.Memory.Zones[i].FreeBytes, r.Memory.Zones[i].Node = b(gib), oom.Opt[int32]{}
			}
		}), "", "swap (2 GiB) is used up", "not short"},
		{"chosen, and perhaps a child was killed", system(chosenOnly), "", "could also be a child of it", ""},
		{"the line of the kill is there", system(chosenOnly, func(r *oom.Record) { r.Victim.AnonRSSBytes = b(gib) }), "", "", "child"},
		{"a log of a kernel without NUMA", system(func(r *oom.Record) {
			r.Source = oom.SourceKmsg
			for i := range r.Memory.Zones {
				r.Memory.Zones[i].FreeBytes, r.Memory.Zones[i].Node = b(gib), oom.Opt[int32]{}
			}
			r.Memory.FreeBytes = b(gib * uint64(len(r.Memory.Zones)))
		}), "", "memory was not short", "swap"},
		{"the same, limited to nodes", system(func(r *oom.Record) {
			r.Source, r.Scope = oom.SourceKmsg, oom.ScopeMempolicy
			for i := range r.Memory.Zones {
				r.Memory.Zones[i].FreeBytes, r.Memory.Zones[i].Node = b(gib), oom.Opt[int32]{}
			}
		}), "", "", "not short"},
		{"private memory is unevictable only where it is locked", limited(limitStat(oom.LimitUnevictable, 200*mib), limitStat(oom.LimitActiveAnon, 30*mib), limitStat(oom.LimitInactiveAnon, 20*mib), func(r *oom.Record) {
			r.Victim.LockedVMBytes = size{}
		}), "", "locked with mlock, it cannot be swapped", "unevictable"},
		{"files and shared memory may be unevictable without a lock", limited(limitStat(oom.LimitAnon, 40*mib), limitStat(oom.LimitFile, 210*mib), limitStat(oom.LimitShmem, 205*mib), limitStat(oom.LimitUnevictable, 200*mib), func(r *oom.Record) {
			r.Victim.LockedVMBytes = size{}
		}), "", "unevictable, it cannot be swapped", "mlock"},
		{"the victim, summed up by its name", system(swap(0, 0), holder(oom.Holder{Comm: "hog", UsageBytes: b(2 * gib), Tasks: b(1)}), func(r *oom.Record) { r.Victim.Comm = "hog" }), "", "this process holds 3 GiB of 4 GiB", "hog"},
		{"the victim at an ancestor's limit", limited(inPod(250*mib), holder(oom.Holder{Comm: "hog", UsageBytes: b(240 * mib), Tasks: b(1)}), func(r *oom.Record) { r.Victim.Comm = "hog" }), codeHolder, "", "holds"},
		{"nothing holds more than the limit", limited(inPod(250*mib), holder(oom.Holder{Comm: "x", UsageBytes: b(gib), Tasks: b(1)})), codeHolder, "", "holds"},
		{"a swap cache that is not among the files", limited(limitStat(oom.LimitAnon, 126*mib), limitStat(oom.LimitFile, 0), limitStat(oom.LimitSwapcached, 125*mib), limitStat(oom.LimitKernel, 4*mib)),
			codeLimitAnon, "anonymous memory: 251 MiB of 256 MiB (98 %)", ""},
		{"the same beside files", limited(limitStat(oom.LimitAnon, 90*mib), limitStat(oom.LimitFile, 70*mib), limitStat(oom.LimitSwapcached, 92*mib), limitStat(oom.LimitKernel, 3*mib)),
			codeLimitAnon, "anonymous memory: 182 MiB of 256 MiB (71 %)", ""},
		{"what is free is CMA", system(lowMask(0xcc0), func(r *oom.Record) {
			r.Memory.FreeBytes = b(2*gib + 500*mib)
			r.Memory.Zones = []oom.Zone{zone(0, "Normal", 500*mib, 8*mib, 12*mib), zone(0, "HighMem", 2*gib, mib, 12*mib)}
			r.Memory.Zones[0].FreeCMABytes = b(495 * mib)
		}), "", "the zones that the allocation can use have 5 MiB free beside 495 MiB of CMA, which it may not use, the rest of the machine 2 GiB", ""},
		{"a request for ZONE_DMA", lowMemory(0xd1), "", "the zones that the allocation can use have 2 MiB free, the rest of the machine 2 GiB", "swap"},
		{"a request for ZONE_DMA32", lowMemory(0xd4), "", "the zones that the allocation can use have 6 MiB free, the rest of the machine 2 GiB", "swap"},
		{"a request for any memory", lowMemory(0xd0), "", "memory was not short", "the rest"},
		{"a request for ZONE_DMA where there is none", system(lowMask(0xd1)), "", "swap (2 GiB) is used up", "zones"},
		{"a log that is cut, with what held the memory", system(swap(0, 0), fromLog, func(r *oom.Record) { r.Incomplete = oom.Some(true) }), "", "no swap is configured", "could also"},
		{"a log that is cut, without it", system(swap(0, 0), fromLog, noStats, func(r *oom.Record) { r.Incomplete = oom.Some(true) }), "", "could also be memory that swap could not have taken", ""},
		{"memory of no task, and all that are listed could be killed", limited(fromLog, tasks(2, mib, mib), adjusted(0), func(r *oom.Record) { r.CandidatesBytes = b(20 * mib) }), codeLimitNoTask, "could be killed: of processes that moved away", "-1000"},
		{"memory of no task, and one that is listed could not", limited(fromLog, tasks(2, mib, mib), adjusted(-1000), func(r *oom.Record) { r.CandidatesBytes = b(20 * mib) }), codeLimitNoTask, "of tasks at oom_score_adj -1000, or of processes", ""},
		{"memory of no task, and not all are listed", limited(fromLog, tasks(3, mib, mib), adjusted(0), func(r *oom.Record) { r.CandidatesBytes = b(20 * mib) }), codeLimitNoTask, "of tasks at oom_score_adj -1000, or of processes", ""},
		{"memory of no task, live", limited(tasks(2, mib, mib), adjusted(0), func(r *oom.Record) { r.CandidatesBytes = b(20 * mib) }), codeLimitNoTask, "of tasks at oom_score_adj -1000, or of processes", ""},
		{"memory of no task", limited(func(r *oom.Record) { r.CandidatesBytes = b(20 * mib) }), "", "is held by no process that could be killed", ""},
		{"the same, and the log may lack tasks", limited(fromLog, func(r *oom.Record) { r.CandidatesBytes, r.Incomplete = b(20*mib), oom.Some(true) }), "", "", "no process"},
		{"tmpfs of no task, and the log may lack tasks", limited(limitStat(oom.LimitAnon, 8*mib), limitStat(oom.LimitFile, 245*mib), limitStat(oom.LimitShmem, 240*mib), fromLog, func(r *oom.Record) {
			r.CandidatesBytes, r.Incomplete = b(20*mib), oom.Some(true)
		}), "", "", "no process"},
		{"one task that holds all, beside others that share", system(swap(0, 0), holder(oom.Holder{Comm: "holder", UsageBytes: b(3900 * mib), Tasks: b(1)}), func(r *oom.Record) { r.CandidatesBytes = b(4700 * mib) }), "", "holder holds 3.8 GiB of 4 GiB", "share"},
		{"a total that became less", system(shrank), codeMemoryBalloon, "shrank from 10 GiB to 4 GiB within 12 min: a balloon of the hypervisor took it, or it was taken offline", "more belongs"},
		{"a total that became less, and the balloon is counted", system(shrank, stat("balloon_pages_bytes", 6*gib)), codeMemoryBalloon, "within 12 min; 6 GiB more belongs to the hypervisor's balloon", "offline"},
		{"a total that became less, and the balloon is empty", system(shrank, stat("balloon_pages_bytes", 0)), codeMemoryBalloon, "within 12 min: it was taken offline", "balloon"},
		{"no limit", limited(func(r *oom.Record) { r.Limit.MaxBytes = size{} }), "", "the record has no limit that is used up (256 MiB in use), 98 % of it anonymous", "limit of"},
		{"no limit, and a BPF program", limited(stack("bpf_out_of_memory+0x6f"), func(r *oom.Record) { r.Limit.MaxBytes = size{} }), "", "a BPF program asked for the kill (256 MiB in use)", "limit"},
		{"a limit, and what is in use is not known", limited(func(r *oom.Record) { r.Limit.UsageBytes = size{} }), "", "limit of 256 MiB is used up", "record has no"},
		{"tasks of one name that share", system(swap(0, 0), holder(oom.Holder{Comm: "php-fpm", UsageBytes: b(5 * gib), Tasks: b(458)})), codeHolder, "458 tasks named php-fpm hold 5 GiB of 4 GiB, what they share counted for each", ""},
		{"tasks of one name, and all of them share", system(swap(0, 0), holder(oom.Holder{Comm: "python", UsageBytes: b(3900 * mib), Tasks: b(5)}), func(r *oom.Record) { r.CandidatesBytes = b(4700 * mib) }),
			codeHolder, "5 tasks named python hold 3.8 GiB of 4 GiB, what they share counted for each", ""},
		{"tasks of one name, and the rest is in swap", system(holder(oom.Holder{Comm: "python", UsageBytes: b(3900 * mib), Tasks: b(5)}), func(r *oom.Record) { r.CandidatesBytes = b(4700 * mib) }),
			codeHolder, "5 tasks named python hold 3.8 GiB of 4 GiB", "share"},
		{"tasks of one name that count the same shared memory", system(swap(0, 0), sharing(6, 500*mib), holder(oom.Holder{Comm: "pg", UsageBytes: b(3900 * mib), Tasks: b(6)})), codeHolder, "6 tasks named pg hold 1.4 GiB of 4 GiB, what they share counted once", "each"},
		{"some of them are listed", system(swap(0, 0), sharing(5, 500*mib), holder(oom.Holder{Comm: "pg", UsageBytes: b(3900 * mib), Tasks: b(9)})), codeHolder, "9 tasks named pg hold at most 1.9 GiB of 4 GiB", "each"},
		{"what there is of shared memory is more", system(swap(0, 0), sharing(6, 3000*mib), holder(oom.Holder{Comm: "pg", UsageBytes: b(3900 * mib), Tasks: b(6)})), codeHolder, "6 tasks named pg hold 3.8 GiB of 4 GiB", "once"},
		{"another holds more than those that share", system(swap(0, 0), sharing(6, 500*mib), func(r *oom.Record) {
			r.Holders = []oom.Holder{{Comm: "pg", UsageBytes: b(3900 * mib), Tasks: b(6)}, {Comm: "db", UsageBytes: b(1500 * mib), Tasks: b(1)}}
		}), codeHolder, "db holds 1.5 GiB of 4 GiB", "pg"},
		{"at a limit, those that share", limited(inPod(30*mib), sharing(6, 0), limitStat(oom.LimitAnon, 190*mib), limitStat(oom.LimitFile, 60*mib), limitStat(oom.LimitShmem, 50*mib), holder(oom.Holder{Comm: "pg", UsageBytes: b(3200 * mib), Tasks: b(6)})), codeHolder, "6 tasks named pg hold 250 MiB of 256 MiB", "each"},
		{"tasks of one name that may share", system(swap(0, 0), holder(oom.Holder{Comm: "php-fpm", UsageBytes: b(3900 * mib), Tasks: b(458)})), codeHolder, "hold 3.8 GiB of 4 GiB", "share"},
		{"many small tasks, and some of it is in swap", system(tasks(300, repeated(10, 18*mib)...), func(r *oom.Record) { r.Candidates[0].Comm = "sh" }), codeManyTasks, "together they hold 5.3 GiB in memory and swap", "share"},
		{"many small tasks that share", system(swap(0, 0), tasks(300, repeated(10, 18*mib)...)), codeManyTasks, "together they hold 5.3 GiB, what they share counted for each", "in memory"},
		{"a node of ZONE_MOVABLE for the kernel", system(fromLog, cmaMask, func(r *oom.Record) {
			r.Scope, r.Trigger.MemsAllowed, r.Memory.FreeBytes = oom.ScopeCpuset, "4", b(3*gib)
			r.Memory.Zones = []oom.Zone{zone(4, "Movable", 2*gib, 9*mib, 20*mib)}
		}), "", "the nodes of the cpuset have no zone that the request may use; the zones that they have hold 2 GiB free", "could also"},
		{"the same in a log that is cut", system(fromLog, cmaMask, func(r *oom.Record) {
			r.Scope, r.Trigger.MemsAllowed, r.Memory.FreeBytes, r.Incomplete = oom.ScopeCpuset, "4", b(3*gib), oom.Some(true)
			r.Memory.Zones = []oom.Zone{zone(4, "Movable", 2*gib, 9*mib, 20*mib)}
		}), "", "could also be a shortage of zones that the log lacks: it is cut", ""},
		{"zones of other nodes than the allowed one", system(fromLog, func(r *oom.Record) {
			r.Scope, r.Trigger.MemsAllowed, r.Memory.FreeBytes = oom.ScopeCpuset, "4", b(3*gib)
			r.Memory.Zones = []oom.Zone{zone(1, "Normal", 2*gib, 9*mib, 20*mib)}
		}), "", "", "no zone that the request may use"},
		{"the same for a program", system(fromLog, func(r *oom.Record) {
			r.Scope, r.Trigger.MemsAllowed, r.Memory.FreeBytes = oom.ScopeCpuset, "4", b(3*gib)
			r.Memory.Zones = []oom.Zone{zone(4, "Movable", 2*gib, 9*mib, 20*mib)}
		}), "", "", "no zone"},
		{"a tenth is free, and why it was not used is not known", system(swap(0, 0), func(r *oom.Record) {
			r.Memory.FreeBytes, r.Memory.Zones, r.Memory.TotalBytes = b(400*mib), nil, b(4000*mib)
		}), "", "could also be something that is no shortage: 400 MiB is free", ""},
		{"what is mapped and in the swap cache counts once", limited(limitStat(oom.LimitAnon, 200*mib), limitStat(oom.LimitFile, 102*mib), limitStat(oom.LimitSwapcached, 100*mib), limitStat(oom.LimitKernel, 2*mib)),
			codeLimitAnon, "anonymous memory: 252 MiB of 256 MiB (98 %)", ""},
		{"v1, a container by its name", limitedV1(container("/kubepods/podu/abc"), func(r *oom.Record) {
			r.Limit.MemswMaxBytes, r.Limit.MemswUsageBytes = b(256*mib), b(256*mib)
			r.Limit.Cgroup, r.Limit.Level = "/kubepods/podu/abc", ""
		}), codeKubeletNoSwap, "NoSwap", ""},
		{"v1, the pod by its name", limitedV1(container("/kubepods/podu/abc"), func(r *oom.Record) {
			r.Limit.MemswMaxBytes, r.Limit.MemswUsageBytes = b(256*mib), b(256*mib)
			r.Limit.Cgroup, r.Limit.Level = "/kubepods/podu", ""
		}), codeKubeletNoSwap, "", "NoSwap"},
		{"v1, a pod by its level", limitedV1(container("/kubepods/podu/abc"), func(r *oom.Record) {
			r.Limit.MemswMaxBytes, r.Limit.MemswUsageBytes = b(256*mib), b(256*mib)
			r.Limit.Cgroup, r.Limit.Level = "/kubepods/podu/abc", oom.LevelPod
		}), codeKubeletNoSwap, "", "NoSwap"},
		{"the reserve against ZONE_MOVABLE is not the kernel's", system(func(r *oom.Record) {
			cmaMask(r)
			r.Memory.Zones = []oom.Zone{zone(0, "DMA32", 200*mib, 10*mib, 20*mib), zone(0, "Normal", 10*mib, 10*mib, 20*mib), zone(0, "Movable", gib, 10*mib, 20*mib)}
			r.Memory.Zones[0].LowmemReserveBytes = []uint64{0, 80 * mib, 800 * mib} // no ZONE_DMA
			r.Memory.Zones[1].LowmemReserveBytes = []uint64{0, 0, 700 * mib}
			r.Trigger.GFPMask, r.Memory.FreeBytes = oom.Some(uint32(0)), b(gib)
		}), "", "memory was not short: 200 MiB is free", "zones that the allocation"},
		{"protections of others below a limit", limited(inPod(30*mib), func(r *oom.Record) { r.Victim.CgroupLimits[1].ChildrenMinBytes = b(100 * mib) }), codeMemoryProtected, "memory.min keeps 100 MiB of 256 MiB (39 %) in cgroups from reclaim", "victim"},
		{"protections of the machine's cgroups", system(swap(0, 0), func(r *oom.Record) {
			r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: "/a", UsageBytes: b(gib), MinBytes: b(gib)}, {Cgroup: "/", ChildrenLowBytes: b(3 * gib), ChildrenMinBytes: b(2 * gib)}}
		}), "", "memory.min keeps 2 GiB of 4 GiB (50 %) in cgroups from reclaim", "low"},
		{"memory.low gives way in the end", system(swap(0, 0), func(r *oom.Record) {
			r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: "/a", UsageBytes: b(gib), LowBytes: b(3 * gib)}}
		}), codeMemoryProtected, "memory.low keeps 1 GiB of 4 GiB (25 %) of the victim's cgroups from reclaim while other memory can be had", "min"},
		{"the victim's adjustment is not known", system(spareBig(8*gib, -998), func(r *oom.Record) { r.Victim.OOMScoreAdj = oom.Opt[int32]{} }), codeVictimAdj, "", "spared"},
		{"no trigger, and the task that asks is killed", system(func(r *oom.Record) { r.Trigger, r.Memory.OOMKillAllocatingTask = nil, oom.Some(true) }), codeVictimTrigger, "", "asked"},
		{"nothing of the machine", system(func(r *oom.Record) { r.Memory = nil }), "", "out of memory; this process held 4.9 GiB", "swap"},
		{"the cgroup at its limit may not swap, above the levels that are known", limited(func(r *oom.Record) {
			r.Victim.Cgroup, r.Victim.CgroupLimits, r.Limit.SwapMaxBytes = "/a/b/c", []oom.CgroupLimit{{Cgroup: "/a/b/c"}, {Cgroup: "/a/b"}}, b(0)
		}), codeSwapForbidden, "the cgroup at its limit may not swap", "levels"},
		{"a limit without its cgroup's scope", system(func(r *oom.Record) { r.Limit = &oom.Limit{UsageBytes: b(gib), MaxBytes: b(gib)} }), "", "swap (2 GiB) is used up", "limit"},
		{"v1, the maximum of memory and swap is not known", limitedV1(func(r *oom.Record) { r.Limit.MemswUsageBytes = b(300 * mib) }), "", "limit of 256 MiB is used up", "swap is used up"},
		{"nodes in a list that is none", system(numa(oom.ScopeCpuset, "0-x", 2*gib), swap(0, 0)), "", "memory was not short", "nodes of"},
		{"a log that lists other zones too", system(fromLog, numa(oom.ScopeCpuset, "0", 2*gib)), "", "the nodes of the cpuset have 20 MiB free, the rest of the machine 2 GiB", ""},
		{"live, all zones are listed", system(swap(0, 0), cmaMask, func(r *oom.Record) {
			r.Memory.FreeBytes, r.Memory.Zones = b(gib), []oom.Zone{zone(0, "DMA32", 20*mib, 20*mib, 30*mib)}
		}), "", "no swap is configured", "the rest of the machine"},
		{"v1, a burstable pod", limitedV1(container("/kubepods/podu/abc"), func(r *oom.Record) {
			r.Victim.Pod.SwapBehavior, r.Limit.Level = "", oom.LevelContainer
			r.Limit.MemswMaxBytes, r.Limit.MemswUsageBytes = b(256*mib), b(256*mib)
		}), codeKubeletUnsure, "on cgroup v1 kubelet sets the limit on memory and swap", "burstable"},
		{"the first limit of a new cgroup was not lowered", limited(func(r *oom.Record) {
			r.Limit.Changed = &oom.LimitChange{ToBytes: b(256 * mib), AgoNS: oom.Some(uint64(2e9)), PID: oom.Some(int32(5)), Comm: "runc"}
		}), "", "98 % of it anonymous memory", "lowered"},
		{"allocations by site", system(stat(oom.StatSlabUnrecl, 3*gib), stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0), sites("mm/slub.c:1 func:x", "fs/dcache.c:7 func:y")),
			codeMemoryKernel, `slab 3 GiB; y (fs/dcache.c:7) allocated 2 GiB`, "slub"},
		{"a site that allocated more than the kernel holds", system(stat(oom.StatSlabUnrecl, 1100*mib), stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0), sites("drivers/x.c:1 func:x")),
			codeMemoryKernel, "slab 1.1 GiB", "allocated"},
		{"the site of what is missing", system(stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0), sites("mm/memory.c:1 func:x", "net/x.c:7 func:y")),
			"", `(94 %) is in none of the kernel's statistics; y (net/x.c:7) allocated 2 GiB; this`, "could"},
		{"the site of what is missing beside the rest", system(swap(0, 0), stat(oom.StatInactiveAnon, gib), sites("net/x.c:7 func:y")),
			"", `no swap is configured; 1.8 GiB of 4 GiB (44 %) is in no statistic of this record; y (net/x.c:7) allocated 2 GiB; this`, "could"},
		{"GPU drivers", system(stat(oom.StatGPUActive, 2*gib), stat(oom.StatInactiveAnon, 0)), "", "no free memory: 2.1 GiB of 4 GiB (53 %) is kernel memory: GPU drivers 2 GiB", "statistic"},
		{"pools of drivers", system(swap(0, 0), stat(oom.StatKernelMisc, 900*mib), stat(oom.StatGPUReclaim, gib), stat(oom.StatInactiveAnon, 0)), "", "no swap is configured; 1.9 GiB of 4 GiB (48 %) is kernel memory that counts as reclaimable", "statistic"},
		{"page tables of KVM", system(stat(oom.StatSecPageTable, 2*gib), stat(oom.StatInactiveAnon, 0)), codeMemoryKernel, "cannot be swapped: page tables of KVM or the IOMMU 2 GiB", "tables 2"},
		{"free pages of the CPUs", system(stat(oom.StatFreePCP, gib), stat(oom.StatHWPoisoned, gib), stat(oom.StatInactiveAnon, 0)), "", "swap (2 GiB) is used up", "statistic"},
		{"the kernel's memory beside the rest", system(swap(0, 0), stat(oom.StatSlabUnrecl, 1200*mib), caches), "", "no swap is configured; 1.2 GiB of 4 GiB (30 %) is kernel memory, which cannot be swapped (slab 1.2 GiB); this process holds", "dentry"},
		{"the balloon's is what would be missing", system(swap(0, 0), stat(oom.StatBalloon, 3*gib), stat(oom.StatActiveAnon, 512*mib), stat(oom.StatInactiveAnon, 0)), "", "no free memory: 3 GiB of 4 GiB (75 %) belongs to the hypervisor's balloon; this", "more"},
		{"RAM that is not in the total", system(swap(0, 0), stat(oom.StatReserved, 12*gib)), codeMemoryBalloon, "12 GiB of 16 GiB (75 %) of the RAM is not for use: reserved at boot", "more"},
		{"the balloon's is not in the total", system(swap(0, 0), stat(oom.StatReserved, 12*gib), stat(oom.StatBalloon, 11*gib)), codeMemoryBalloon, "11 GiB more belongs to the hypervisor's balloon", "boot"},
		{"reclaim has taken it off the lists", system(swap(8*gib, 7*gib), stat(oom.StatIsolatedAnon, 2*gib), stat(oom.StatInactiveAnon, 0)), "", "probably did not take memory fast enough: 2 GiB of 4 GiB (50 %) is anonymous memory off the LRU lists (isolated), as reclaim has it on the way to swap; this", "statistic"},
		{"a zram that gains nothing", system(swap(2*gib, 0), stat(oom.StatZspages, 1900*mib), stat(oom.StatInactiveAnon, 0)), "", "is used up, 0 % free; 1.9 GiB of 4 GiB (46 %) holds what zram or zswap keeps compressed, for 2 GiB that is swapped out; more of that swap would not help", ""},
		{"huge pages that may be promised", system(stat(oom.StatHugepagesTotal, 2*gib), stat(oom.StatHugepagesFree, 2*gib)), "", "huge pages that are free or reserved", "no process"},
		{"huge pages, and how many are promised is known", system(stat(oom.StatHugepagesTotal, 2*gib), stat(oom.StatHugepagesFree, 2*gib), stat(oom.StatHugepagesRsvd, 0)), "", "huge pages that no process uses", "reserved"},
		{"KSM by the log's stack", system(swap(0, 0), fromLog, stack("break_ksm+0x1", "unmerge_ksm_pages.isra.0+0x2", "run_store+0x3")), codeVictimOrigin, "KSM is being turned off", "swapoff"},
		{"KSM of one process, by madvise", system(swap(0, 0), fromLog, stack("break_ksm+0x1", "unmerge_ksm_pages+0x2", "ksm_madvise+0x3")), codeVictimOrigin, "", "KSM"},
		{"KSM is turned off, and another task was chosen", system(swap(0, 0), fromLog, stack("unmerge_and_remove_all_rmap_items+0x2"), func(r *oom.Record) { r.Victim.PID = oom.Some(int32(5)) }), codeVictimOrigin, "", "KSM"},
		{"the group's spared task is named", limited(spared(-1000, "/a")), codeVictimGroup, "except those at oom_score_adj -1000 (init (pid 9))", "every"},
		{"a task of another cgroup is not", limited(spared(-1000, "/ab")), codeVictimGroup, "except those at oom_score_adj -1000", "init"},
		{"a task at -999 is not", limited(spared(-999, "/a")), codeVictimGroup, "except those at oom_score_adj -1000", "init"},
		{"a holder's request and tasks", system(swap(0, 0), holder(oom.Holder{Cgroup: "/a", UsageBytes: b(2 * gib), Tasks: b(3), RequestBytes: b(gib)})), "", "/a holds 2 GiB of 4 GiB in 3 tasks (requested 1 GiB)", "grew"},
		{"a sum of tasks by name", system(swap(0, 0), holder(oom.Holder{Comm: "php-fpm", UsageBytes: b(2 * gib), Tasks: b(189)})), "", "189 tasks named php-fpm hold 2 GiB", ""},
		{"one task by name", system(swap(0, 0), holder(oom.Holder{Comm: "mysqld", UsageBytes: b(2 * gib), Tasks: b(1)})), "", "mysqld holds 2 GiB", "tasks"},
		{"a unit", system(swap(0, 0), holder(oom.Holder{Owner: oom.Owner{Unit: "a.service"}, UsageBytes: b(2 * gib)})), "", "a.service holds 2 GiB", ""},
		{"a container", system(swap(0, 0), holder(oom.Holder{Owner: oom.Owner{Container: &oom.Container{Name: "db"}, Unit: "a.scope"}, UsageBytes: b(2 * gib)})), "", "db holds 2 GiB", "scope"},
		{"a pod without a namespace", system(swap(0, 0), holder(oom.Holder{Owner: oom.Owner{Pod: &oom.Pod{Name: "p"}}, UsageBytes: b(2 * gib)})), "", "p holds 2 GiB", "/"},
		{"the victim holds it", system(swap(0, 0)), "", "this process holds 3 GiB of 4 GiB", ""},
		{"swap was turned off before", system(swap(0, 0), func(r *oom.Record) {
			r.Memory.SwapChanged = &oom.LimitChange{FromBytes: b(2 * gib), ToBytes: b(0), AgoNS: oom.Some(uint64(40e9))}
		}), codeSwapNone, "no swap is configured (0 B); 2 GiB were turned off 40 s before", ""},
		{"more swap would not help", system(swap(0, 0), stat(oom.StatUnevictable, 2*gib), stat(oom.StatMlocked, 2*gib), stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, gib)), "", "no swap is configured, and swap would not help", ""},
		{"no swap at all in a summary of locked memory of a cgroup", limited(swap(0, 0), limitStat(oom.LimitUnevictable, 200*mib), limitStat(oom.LimitActiveAnon, 30*mib), limitStat(oom.LimitInactiveAnon, 20*mib), func(r *oom.Record) {
			r.Victim.LockedVMBytes = b(200 * mib)
		}), "", "locked with mlock, it cannot be swapped", "no swap is configured"},
		{"KSM", system(swap(0, 0), stack("break_ksm+0x1", "unmerge_ksm_pages.isra.0+0x2"), func(r *oom.Record) { r.Victim.OOMOrigin = oom.Some(true) }), codeVictimOrigin, "KSM is being turned off", "swapoff"},
		{"which process lowered a limit", limited(func(r *oom.Record) { r.Limit.UsageBytes = b(600 * mib) }, stack("memory_max_write+0x1"), func(r *oom.Record) {
			r.Trigger.PID, r.Trigger.Comm = oom.Some(int32(5)), "sh"
			r.Limit.Changed = &oom.LimitChange{FromBytes: b(gib), ToBytes: b(256 * mib), AgoNS: oom.Some(uint64(1e6))}
		}), "", "limit was lowered from 1 GiB to 256 MiB by sh (pid 5), with 600 MiB in use", "before"},
		{"a limit that was lowered below what is in use, and no victim", limited(kind(oom.KindNoVictim), stack("memory_max_write+0x1")), "", "the cgroup's limit was lowered below what is in use, and the kernel found no killable process", "anonymous"},
		{"swap by name of who turns it off", system(swap(0, 0), func(r *oom.Record) {
			r.Trigger.Comm, r.Victim.OOMOrigin = "swapoff", oom.Some(true)
		}), "", "swap is being turned off by swapoff (pid 100)", "no swap"},
		{"noise: swap of a cgroup full of kernel memory", kernel(limitStat(oom.LimitKernel, 240*mib), func(r *oom.Record) { r.Limit.SwapMaxBytes = b(0) }), "", "kernel memory", "swap"},
		{"a high watermark below what CMA has free", system(func(r *oom.Record) {
			cmaMask(r)
			r.Memory.FreeBytes = b(gib)
			r.Memory.Zones = []oom.Zone{zone(0, "Normal", gib, 20*mib, 30*mib)}
			set(&r.Memory.Stat, oom.StatFreeCMA, gib-10*mib)
		}), "", "only 10 MiB of what is free may serve the allocation: 1014 MiB is CMA", "not short"},
		{"SysRq-f in a log that is cut", system(kind(oom.KindOOM), func(r *oom.Record) { r.Victim, r.Sysrq = nil, oom.Some(true) }), "", "how it ended; 40 MiB of 4 GiB (1 %) is free, and swap (2 GiB) is used up, 0 % free; triggered with SysRq-f", ""},
		{"part of a report, without beginning and end", limited(kind(oom.KindOOM), func(r *oom.Record) { r.Victim, r.Trigger = nil, nil }), "", "neither how it began nor how it ended; the cgroup's limit", ""},
		{"counters of two reports", limited(limitStat(oom.LimitFile, 200*mib)), "", "98 % of it anonymous memory of this process (could also be another kind of memory: what memory.stat counts is more than is in use)", ""},
		{"counters of two reports, a small victim", limited(limitStat(oom.LimitFile, 200*mib), victimAnon(4*mib)), "", "is used up (could also be any kind of memory: what memory.stat counts is more than is in use)", "%"},
		{"a victim with memory charged elsewhere", limited(victimAnon(400*mib), func(r *oom.Record) { r.Limit.Stat = nil }), "", "this process holds 400 MiB of anonymous memory, more than the 256 MiB in use (could also be", "%"},
		{"a limit that is not used up by now", limited(limitStat(oom.LimitAnon, 40*mib), func(r *oom.Record) { r.Limit.UsageBytes = b(52 * mib) }), "", "limit was met (52 MiB of 256 MiB in use by now), 77 % of it anonymous memory of this process", "used up"},
		{"a BPF program's kill below a limit", limited(stack("bpf_out_of_memory+0x1"), limitStat(oom.LimitAnon, 40*mib), func(r *oom.Record) { r.Limit.UsageBytes = b(52 * mib) }), "", "a BPF program asked for the kill (52 MiB in use), 77 %", "could also"},
		{"a manager's own words are quoted", &oom.Record{Kind: oom.KindSigkill, Cause: oom.CauseMemoryManager, Sender: &oom.Sender{Comm: "x", Program: "earlyoom", Says: "mem avail: 3 %\n\x1b"}}, "", `which says: "mem avail: 3 %\n\x1b"`, ""},
		{"the reserve by the zones that are there", system(func(r *oom.Record) {
			cmaMask(r)
			r.Memory.Zones = []oom.Zone{zone(0, "DMA32", 90*mib, 10*mib, 20*mib), zone(0, "Normal", 10*mib, 10*mib, 20*mib), zone(0, "Movable", gib, 10*mib, 20*mib)}
			r.Memory.Zones[0].LowmemReserveBytes = []uint64{0, 80 * mib, 800 * mib} // no ZONE_DMA
			r.Memory.Zones[1].LowmemReserveBytes = []uint64{0, 0, 700 * mib}
			r.Memory.FreeBytes = b(gib)
		}), "", "the zones that the allocation can use have 100 MiB free", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := Of(tt.rec)
			check(t, w)
			text := w.Summary
			if tt.code != "" {
				text = ""
				for _, r := range w.Reasons {
					if r.Code == tt.code {
						text = r.Text
					}
				}
			}
			if !strings.Contains(text, tt.has) || tt.not != "" && strings.Contains(text, tt.not) {
				t.Errorf("%q must have %q and not %q: %+v", text, tt.has, tt.not, w)
			}
		})
	}
}

// TestGroupHasOneVerdict: the victims of one memory.oom.group, in cgroups of their own,
// died of one decision.
func TestGroupHasOneVerdict(t *testing.T) {
	victim := func(own, locked uint64, swapMax size, chosen bool) *oom.Record {
		return limited(func(r *oom.Record) {
			r.Limit.Level, r.Limit.Cgroup, r.Victim.Cgroup = oom.LevelPod, "/slice", "/slice/pod/x"
			r.Victim.CgroupLimits = []oom.CgroupLimit{
				{Cgroup: "/slice/pod/x", UsageBytes: b(own), SwapMaxBytes: swapMax}, {Cgroup: "/slice/pod", UsageBytes: b(200 * mib), OOMGroup: oom.Some(true)},
				{Cgroup: "/slice", UsageBytes: b(256 * mib), MaxBytes: b(256 * mib)},
			}
			r.Victim.AnonRSSBytes, r.Victim.RSSBytes, r.Victim.LockedVMBytes = b(own), b(own), b(locked)
			set(&r.Limit.Stat, oom.LimitUnevictable, 150*mib)
			if !chosen {
				r.Victim.BadnessPages = oom.Opt[int64]{}
			}
		})
	}
	big, small := Of(victim(190*mib, 150*mib, size{}, true)), Of(victim(mib, 0, b(0), false))
	if big.Verdict != small.Verdict || big.Unsure != small.Unsure || big.Summary != small.Summary {
		t.Errorf("one decision, two explanations:\n%+v\n%+v", big, small)
	}
}

// TestNames: whatever others call their processes, cgroups and slab caches, a text is
// one line, and what is not plain is quoted.
func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"nginx": "nginx", "/a/b-c.slice": "/a/b-c.slice", "": `""`, "a b": `"a b"`, "x\n\x1b[2J": `"x\n\x1b[2J"`, "\xff": `"\xff"`, "größe": `"gr\u00f6\u00dfe"`,
		strings.Repeat("a", 60): strings.Repeat("a", 47) + "…", strings.Repeat("a ", 30): `"` + strings.Repeat("a ", 23) + `a…"`,
		strings.Repeat("é", 40): `"` + strings.Repeat(`\u00e9`, 9) + `\u00e…"`, "a; no swap": `"a; no swap"`,
	} {
		if got := name(in); got != want {
			t.Errorf("name(%q) is %s, want %s", in, got, want)
		}
	}
	evil := "a\n\x1b[2J\"\xff " + strings.Repeat("\u202e", 300)
	for _, rec := range []*oom.Record{
		system(spareBig(8*gib, -998), func(r *oom.Record) { r.Candidates[1].Comm = evil }),
		system(func(r *oom.Record) { r.Holders = []oom.Holder{{Cgroup: evil, UsageBytes: b(3 * gib)}} }),
		system(tasks(20, repeated(10, 110*mib)...), named(evil, evil)),
		limited(limitStat(oom.LimitAnon, 6*mib), limitStat(oom.LimitKernel, 240*mib), limitStat(oom.LimitSlab, 240*mib), func(r *oom.Record) {
			r.Memory.SlabCaches = []oom.SlabCache{{Name: evil, TotalBytes: b(gib)}, {Name: evil}, {Name: evil}}
		}),
		{Kind: oom.KindSigkill, Cause: oom.CauseMemoryManager, Sender: &oom.Sender{Comm: evil, Program: evil, Says: evil, Owner: oom.Owner{Unit: evil}}},
	} {
		for _, r := range Of(rec).Reasons {
			if strings.ContainsAny(r.Text, "\n\x1b\u202e") || !utf8.ValidString(r.Text) {
				t.Errorf("%s: %q", r.Code, r.Text)
			}
		}
	}
}

func memsChanged(r *oom.Record) {
	r.Trigger.MemsChanged = &oom.NodesChange{From: "0-1", To: "0", AgoNS: oom.Some(uint64(3e9)), PID: oom.Some(int32(42)), Comm: "runc"}
}
