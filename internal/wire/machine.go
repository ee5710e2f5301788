package wire

import (
	"cmp"
	"slices"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// limitStatNames are memory.stat's names for enum memcg_stat of bpf/event.h.
func limitStatNames() [probe.OomtraceMemcgStatMEMCG_STAT_COUNT]string {
	return [...]string{
		probe.OomtraceMemcgStatMEMCG_STAT_ANON:               oom.LimitAnon,
		probe.OomtraceMemcgStatMEMCG_STAT_FILE:               oom.LimitFile,
		probe.OomtraceMemcgStatMEMCG_STAT_KERNEL:             oom.LimitKernel,
		probe.OomtraceMemcgStatMEMCG_STAT_KERNEL_STACK:       oom.LimitKernelStack,
		probe.OomtraceMemcgStatMEMCG_STAT_PAGETABLES:         oom.LimitPagetables,
		probe.OomtraceMemcgStatMEMCG_STAT_PERCPU:             oom.LimitPercpu,
		probe.OomtraceMemcgStatMEMCG_STAT_SOCK:               oom.LimitSock,
		probe.OomtraceMemcgStatMEMCG_STAT_VMALLOC:            oom.LimitVmalloc,
		probe.OomtraceMemcgStatMEMCG_STAT_SHMEM:              oom.LimitShmem,
		probe.OomtraceMemcgStatMEMCG_STAT_FILE_MAPPED:        oom.LimitFileMapped,
		probe.OomtraceMemcgStatMEMCG_STAT_FILE_DIRTY:         oom.LimitFileDirty,
		probe.OomtraceMemcgStatMEMCG_STAT_FILE_WRITEBACK:     oom.LimitFileWriteback,
		probe.OomtraceMemcgStatMEMCG_STAT_SWAPCACHED:         oom.LimitSwapcached,
		probe.OomtraceMemcgStatMEMCG_STAT_INACTIVE_ANON:      oom.LimitInactiveAnon,
		probe.OomtraceMemcgStatMEMCG_STAT_ACTIVE_ANON:        oom.LimitActiveAnon,
		probe.OomtraceMemcgStatMEMCG_STAT_INACTIVE_FILE:      oom.LimitInactiveFile,
		probe.OomtraceMemcgStatMEMCG_STAT_ACTIVE_FILE:        oom.LimitActiveFile,
		probe.OomtraceMemcgStatMEMCG_STAT_UNEVICTABLE:        oom.LimitUnevictable,
		probe.OomtraceMemcgStatMEMCG_STAT_SLAB_RECLAIMABLE:   oom.LimitSlabReclaimable,
		probe.OomtraceMemcgStatMEMCG_STAT_SLAB_UNRECLAIMABLE: oom.LimitSlabUnrecl,
		probe.OomtraceMemcgStatMEMCG_STAT_SWAP:               oom.LimitSwap,
		probe.OomtraceMemcgStatMEMCG_STAT_ANON_THP:           oom.LimitAnonTHP,
		probe.OomtraceMemcgStatMEMCG_STAT_SEC_PAGETABLES:     oom.LimitSecPagetables,
		probe.OomtraceMemcgStatMEMCG_STAT_ZSWAP:              oom.LimitZswap,
		probe.OomtraceMemcgStatMEMCG_STAT_ZSWAPPED:           oom.LimitZswapped,
		probe.OomtraceMemcgStatMEMCG_STAT_HUGETLB:            oom.LimitHugetlb,
	}
}

// vmStatNames are /proc/vmstat's names, without nr_, for enum vm_stat.
func vmStatNames() [probe.OomtraceVmStatVM_STAT_COUNT]string {
	return [...]string{
		probe.OomtraceVmStatVM_STAT_ACTIVE_ANON:             oom.StatActiveAnon,
		probe.OomtraceVmStatVM_STAT_INACTIVE_ANON:           oom.StatInactiveAnon,
		probe.OomtraceVmStatVM_STAT_ACTIVE_FILE:             oom.StatActiveFile,
		probe.OomtraceVmStatVM_STAT_INACTIVE_FILE:           oom.StatInactiveFile,
		probe.OomtraceVmStatVM_STAT_UNEVICTABLE:             oom.StatUnevictable,
		probe.OomtraceVmStatVM_STAT_MLOCKED:                 oom.StatMlocked,
		probe.OomtraceVmStatVM_STAT_FILE_DIRTY:              oom.StatFileDirty,
		probe.OomtraceVmStatVM_STAT_FILE_WRITEBACK:          oom.StatFileWriteback,
		probe.OomtraceVmStatVM_STAT_SHMEM:                   oom.StatShmem,
		probe.OomtraceVmStatVM_STAT_MAPPED:                  oom.StatMapped,
		probe.OomtraceVmStatVM_STAT_SLAB_RECLAIMABLE:        oom.StatSlabReclaimable,
		probe.OomtraceVmStatVM_STAT_SLAB_UNRECLAIMABLE:      oom.StatSlabUnrecl,
		probe.OomtraceVmStatVM_STAT_KERNEL_STACK:            oom.StatKernelStack,
		probe.OomtraceVmStatVM_STAT_PAGE_TABLE:              oom.StatPageTable,
		probe.OomtraceVmStatVM_STAT_FREE_CMA:                oom.StatFreeCMA,
		probe.OomtraceVmStatVM_STAT_FILE_PAGES:              oom.StatFilePages,
		probe.OomtraceVmStatVM_STAT_ISOLATED_ANON:           oom.StatIsolatedAnon,
		probe.OomtraceVmStatVM_STAT_ISOLATED_FILE:           oom.StatIsolatedFile,
		probe.OomtraceVmStatVM_STAT_ZSPAGES:                 oom.StatZspages,
		probe.OomtraceVmStatVM_STAT_SEC_PAGE_TABLE:          oom.StatSecPageTable,
		probe.OomtraceVmStatVM_STAT_KERNEL_MISC_RECLAIMABLE: oom.StatKernelMisc,
		probe.OomtraceVmStatVM_STAT_BALLOON_PAGES:           oom.StatBalloon,
		probe.OomtraceVmStatVM_STAT_GPU_ACTIVE:              oom.StatGPUActive,
		probe.OomtraceVmStatVM_STAT_GPU_RECLAIM:             oom.StatGPUReclaim,
		probe.OomtraceVmStatVM_STAT_HUGEPAGES_TOTAL:         oom.StatHugepagesTotal,
		probe.OomtraceVmStatVM_STAT_HUGEPAGES_FREE:          oom.StatHugepagesFree,
		probe.OomtraceVmStatVM_STAT_HUGEPAGES_RSVD:          oom.StatHugepagesRsvd,
		probe.OomtraceVmStatVM_STAT_HUGEPAGES_SURP:          oom.StatHugepagesSurp,
	}
}

func (d *victimDecoder) limit() error {
	raw := &d.raw.Limit
	if raw.Id == unknown {
		return d.deduceLimit()
	}
	path, err := d.span(d.raw.LimitPath, "limit")
	if err != nil {
		return err
	}
	cut := raw.Flags&uint32(probe.OomtraceMemcgFlagMEMCG_CUT) != 0
	l := d.newLimit(raw, joinPath(path, cut))
	if cut {
		l.CgroupCut = oom.Some(true)
	}
	l.Stat = make(oom.Stats, 0, len(d.raw.LimitStat))
	for i, name := range limitStatNames() {
		if v := d.raw.LimitStat[i]; v != unknown {
			l.Stat = append(l.Stat, oom.Stat{Name: name, Bytes: v})
		}
	}
	d.rec.Limit = l
	return nil
}

func (d *victimDecoder) newLimit(raw *probe.OomtraceMemcgInfo, path string) *oom.Limit {
	l := &oom.Limit{Cgroup: path, CgroupID: known(raw.Id)}
	l.UsageBytes, l.MaxBytes, l.HighBytes = d.bytes(raw.UsagePages), d.maximum(raw.MaxPages), d.maximum(raw.HighPages)
	l.Failures = known(raw.Failures)
	if raw.Flags&uint32(probe.OomtraceMemcgFlagMEMCG_V2) != 0 {
		l.Version = oom.Some(uint32(2))
		l.SwapUsageBytes, l.SwapMaxBytes = d.bytes(raw.SwapUsagePages), d.maximum(raw.SwapMaxPages)
		l.OOMGroup = oom.Some(raw.Flags&uint32(probe.OomtraceMemcgFlagMEMCG_OOM_GROUP) != 0)
	} else {
		l.Version = oom.Some(uint32(1))
		l.MemswUsageBytes, l.MemswMaxBytes = d.bytes(raw.SwapUsagePages), d.maximum(raw.SwapMaxPages)
		l.KmemUsageBytes, l.KmemMaxBytes = d.bytes(raw.KmemUsagePages), d.maximum(raw.KmemMaxPages)
		l.Swappiness = known32(raw.Swappiness)
	}
	return l
}

func (d *victimDecoder) memory() error {
	raw := &d.raw.Memory
	if raw.FreePages == unknown && raw.TotalPages == unknown {
		return nil
	}
	mem := &oom.Memory{}
	d.rec.Memory = mem
	mem.TotalBytes, mem.FreeBytes = d.bytes(raw.TotalPages), d.bytes(raw.FreePages)
	mem.SwapTotalBytes, mem.SwapFreeBytes = d.bytes(raw.SwapTotalPages), d.bytes(raw.SwapFreePages)
	mem.SwapCacheBytes = d.bytes(raw.SwapCachePages)
	mem.Swappiness = known32(raw.Swappiness)
	if raw.KillAllocatingTask != unknown32 {
		mem.OOMKillAllocatingTask = oom.Some(raw.KillAllocatingTask != 0)
	}
	mem.Stat = make(oom.Stats, 0, len(raw.Stat))
	for i, name := range vmStatNames() {
		if v := raw.Stat[i]; v != unknown {
			mem.Stat = append(mem.Stat, oom.Stat{Name: name, Bytes: v})
		}
	}
	return d.zones()
}

func (d *victimDecoder) zones() error {
	b, err := d.span(d.raw.Zones, "zones")
	if err != nil {
		return err
	}
	d.rec.Memory.Zones = make([]oom.Zone, 0, len(b)/int(unsafe.Sizeof(probe.OomtraceZoneInfo{})))
	for len(b) > 0 {
		raw, err := take[probe.OomtraceZoneInfo](b, "zone")
		if err != nil {
			return err
		}
		b = b[unsafe.Sizeof(raw):]
		d.rec.Memory.Zones = append(d.rec.Memory.Zones, oom.Zone{
			Node: oom.Some(raw.Node), Zone: text(raw.Name[:]),
			FreeBytes: d.bytes(raw.FreePages), MinBytes: d.bytes(raw.MinPages), LowBytes: d.bytes(raw.LowPages),
			HighBytes: d.bytes(raw.HighPages), ManagedBytes: d.bytes(raw.ManagedPages),
			LowmemReserveBytes: knownOf(raw.LowmemReservePages[:], d.page),
			FreeBlocks:         knownOf(raw.FreeBlocks[:], 1),
		})
	}
	return nil
}

// knownOf are the known ones of values, which come first, in units.
func knownOf(values []uint64, unit uint64) []uint64 {
	out := make([]uint64, 0, len(values))
	for _, v := range values {
		if v == unknown {
			break
		}
		out = append(out, v*unit)
	}
	return out
}

func (d *victimDecoder) candidates() error {
	b, err := d.span(d.raw.Candidates, "candidates")
	if err != nil {
		return err
	}
	r := d.rec
	if d.raw.Hooks&uint32(probe.OomtraceHookBitHOOK_EVALUATE_TASK) != 0 {
		r.CandidatesTotal = oom.Some(uint64(d.raw.CandidatesTotal))
		r.CandidatesBytes = d.bytes(d.raw.CandidatesPages)
	}
	r.Candidates = make([]oom.Candidate, 0, len(b)/int(unsafe.Sizeof(probe.OomtraceCandidateInfo{})))
	for len(b) > 0 {
		raw, err := take[probe.OomtraceCandidateInfo](b, "candidate")
		if err != nil {
			return err
		}
		b = b[unsafe.Sizeof(raw):]
		c := oom.Candidate{
			PID: oom.Some(raw.Tgid), UID: oom.Some(raw.Uid), OOMScoreAdj: oom.Some(raw.OomScoreAdj),
			Comm: text(raw.Comm[:]), BadnessPages: oom.Some(raw.Points), Cgroup: d.cgroupOf(raw.CgroupId),
			CgroupID: known(raw.CgroupId),
		}
		if mm := &raw.Mm; mm.TotalVmPages != unknown {
			c.TotalVMBytes, c.SwapBytes = d.bytes(mm.TotalVmPages), d.bytes(mm.SwapPages)
			c.AnonRSSBytes, c.FileRSSBytes, c.ShmemRSSBytes = d.bytes(mm.AnonPages), d.bytes(mm.FilePages), d.bytes(mm.ShmemPages)
			c.RSSBytes = rssBytes(mm, d.page)
			c.PgtablesBytes = known(mm.PgtablesBytes)
		}
		r.Candidates = append(r.Candidates, c)
	}
	slices.SortStableFunc(r.Candidates, func(a, b oom.Candidate) int { return cmp.Compare(b.BadnessPages.Value, a.BadnessPages.Value) })
	return nil
}

// cgroupOf names a candidate's cgroup when the record has its path anyway.
func (d *victimDecoder) cgroupOf(id uint64) string {
	r, same := d.rec, oom.Some(id)
	switch {
	case id == unknown:
	case r.Victim != nil && r.Victim.CgroupID == same:
		return r.Victim.Cgroup
	case r.Trigger != nil && r.Trigger.CgroupID == same:
		return r.Trigger.Cgroup
	case r.Limit != nil && r.Limit.CgroupID == same:
		return r.Limit.Cgroup
	}
	return ""
}
