package wire

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// limitStatNames are memory.stat's names for enum memcg_stat of bpf/event.h.
func limitStatNames() [probe.OomtraceMemcgStatMEMCG_STAT_COUNT]string {
	return [...]string{
		probe.OomtraceMemcgStatMEMCG_STAT_ANON:               "anon_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_FILE:               "file_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_KERNEL:             "kernel_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_KERNEL_STACK:       "kernel_stack_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_PAGETABLES:         "pagetables_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_PERCPU:             "percpu_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_SOCK:               "sock_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_VMALLOC:            "vmalloc_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_SHMEM:              "shmem_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_FILE_MAPPED:        "file_mapped_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_FILE_DIRTY:         "file_dirty_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_FILE_WRITEBACK:     "file_writeback_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_SWAPCACHED:         "swapcached_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_INACTIVE_ANON:      "inactive_anon_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_ACTIVE_ANON:        "active_anon_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_INACTIVE_FILE:      "inactive_file_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_ACTIVE_FILE:        "active_file_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_UNEVICTABLE:        "unevictable_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_SLAB_RECLAIMABLE:   "slab_reclaimable_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_SLAB_UNRECLAIMABLE: "slab_unreclaimable_bytes",
		probe.OomtraceMemcgStatMEMCG_STAT_SWAP:               "swap_bytes",
	}
}

// vmStatNames are /proc/vmstat's names, without nr_, for enum vm_stat.
func vmStatNames() [probe.OomtraceVmStatVM_STAT_COUNT]string {
	return [...]string{
		probe.OomtraceVmStatVM_STAT_ACTIVE_ANON:        "active_anon_bytes",
		probe.OomtraceVmStatVM_STAT_INACTIVE_ANON:      "inactive_anon_bytes",
		probe.OomtraceVmStatVM_STAT_ACTIVE_FILE:        "active_file_bytes",
		probe.OomtraceVmStatVM_STAT_INACTIVE_FILE:      "inactive_file_bytes",
		probe.OomtraceVmStatVM_STAT_UNEVICTABLE:        "unevictable_bytes",
		probe.OomtraceVmStatVM_STAT_MLOCKED:            "mlocked_bytes",
		probe.OomtraceVmStatVM_STAT_FILE_DIRTY:         "file_dirty_bytes",
		probe.OomtraceVmStatVM_STAT_FILE_WRITEBACK:     "file_writeback_bytes",
		probe.OomtraceVmStatVM_STAT_SHMEM:              "shmem_bytes",
		probe.OomtraceVmStatVM_STAT_MAPPED:             "mapped_bytes",
		probe.OomtraceVmStatVM_STAT_SLAB_RECLAIMABLE:   "slab_reclaimable_bytes",
		probe.OomtraceVmStatVM_STAT_SLAB_UNRECLAIMABLE: "slab_unreclaimable_bytes",
		probe.OomtraceVmStatVM_STAT_KERNEL_STACK:       "kernel_stack_bytes",
		probe.OomtraceVmStatVM_STAT_PAGE_TABLE:         "page_table_bytes",
		probe.OomtraceVmStatVM_STAT_FREE_CMA:           "free_cma_bytes",
		probe.OomtraceVmStatVM_STAT_FILE_PAGES:         "file_pages_bytes",
		probe.OomtraceVmStatVM_STAT_ISOLATED_ANON:      oom.StatIsolatedAnon,
		probe.OomtraceVmStatVM_STAT_ISOLATED_FILE:      oom.StatIsolatedFile,
		probe.OomtraceVmStatVM_STAT_ZSPAGES:            oom.StatZspages,
		probe.OomtraceVmStatVM_STAT_HUGEPAGES_TOTAL:    oom.StatHugepagesTotal,
		probe.OomtraceVmStatVM_STAT_HUGEPAGES_FREE:     oom.StatHugepagesFree,
		probe.OomtraceVmStatVM_STAT_HUGEPAGES_RSVD:     oom.StatHugepagesRsvd,
		probe.OomtraceVmStatVM_STAT_HUGEPAGES_SURP:     oom.StatHugepagesSurp,
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
	if cut {
		d.ev.limit.CgroupCut = oom.Some(true)
	}
	d.fillLimit(raw, d.path(path, cut))
	for i, name := range limitStatNames() {
		if v := d.raw.LimitStat[i]; v != unknown {
			d.ev.limit.Stat = append(d.ev.limit.Stat, oom.Stat{Name: name, Bytes: v})
		}
	}
	return nil
}

// memcgFrame is the function that every OOM of a cgroup goes through
// (mm/memcontrol.c).
const memcgFrame = "mem_cgroup_out_of_memory+"

// chargeBatchPages is how far below its limit a cgroup can be when a charge
// fails: CPUs charge that many pages at a time (MEMCG_CHARGE_BATCH).
const chargeBatchPages = 64

// deduceLimit finds the cgroup at its limit where the decision could not be
// hooked. It is on the way from the victim's cgroup to the root and it is full:
// if just one is, it is that one. Otherwise the limit stays unknown.
func (d *victimDecoder) deduceLimit() error {
	if d.raw.Decision.Valid != 0 || d.ev.Record.Scope != oom.ScopeCgroup {
		return nil
	}
	chain, err := d.span(d.raw.Chain, "cgroup limits")
	if err != nil {
		return err
	}
	var full probe.OomtraceMemcgInfo
	at := -1
	for i := range d.ev.victim.CgroupLimits {
		info, err := take[probe.OomtraceMemcgInfo](chain[i*int(unsafe.Sizeof(full)):], "cgroup limit")
		if err != nil {
			return err
		}
		if info.UsagePages == unknown || info.UsagePages+chargeBatchPages < info.MaxPages {
			continue
		}
		if at >= 0 {
			return nil
		}
		full, at = info, i
	}
	if at >= 0 {
		d.fillLimit(&full, d.ev.victim.CgroupLimits[at].Cgroup)
	}
	return nil
}

func (d *victimDecoder) fillLimit(raw *probe.OomtraceMemcgInfo, path string) {
	l := &d.ev.limit
	d.ev.Record.Limit = l
	l.Cgroup, l.CgroupID = path, known(raw.Id)
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
}

func (d *victimDecoder) memory() error {
	raw, mem := &d.raw.Memory, &d.ev.memory
	if raw.FreePages == unknown && raw.TotalPages == unknown {
		return nil
	}
	d.ev.Record.Memory = mem
	mem.TotalBytes, mem.FreeBytes = d.bytes(raw.TotalPages), d.bytes(raw.FreePages)
	mem.SwapTotalBytes, mem.SwapFreeBytes = d.bytes(raw.SwapTotalPages), d.bytes(raw.SwapFreePages)
	mem.SwapCacheBytes = d.bytes(raw.SwapCachePages)
	mem.Swappiness = known32(raw.Swappiness)
	if raw.KillAllocatingTask != unknown32 {
		mem.OOMKillAllocatingTask = oom.Some(raw.KillAllocatingTask != 0)
	}
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
	for len(b) > 0 {
		raw, err := take[probe.OomtraceZoneInfo](b, "zone")
		if err != nil {
			return err
		}
		b = b[unsafe.Sizeof(raw):]
		d.ev.memory.Zones = append(d.ev.memory.Zones, oom.Zone{
			Node: oom.Some(raw.Node), Zone: d.ev.string(trimNUL(raw.Name[:])),
			FreeBytes: d.bytes(raw.FreePages), MinBytes: d.bytes(raw.MinPages), LowBytes: d.bytes(raw.LowPages),
			HighBytes: d.bytes(raw.HighPages), ManagedBytes: d.bytes(raw.ManagedPages),
			LowmemReserveBytes: d.list(&d.ev.reserve, raw.LowmemReservePages[:], d.page),
			FreeBlocks:         d.list(&d.ev.blocks, raw.FreeBlocks[:], 1),
		})
	}
	return nil
}

// list appends the known ones of values to the store and returns that part.
func (d *victimDecoder) list(store *[]uint64, values []uint64, unit uint64) []uint64 {
	start := len(*store)
	for _, v := range values {
		if v == unknown {
			break
		}
		*store = append(*store, v*unit)
	}
	return (*store)[start:len(*store):len(*store)]
}

func (d *victimDecoder) candidates() error {
	b, err := d.span(d.raw.Candidates, "candidates")
	if err != nil {
		return err
	}
	r := &d.ev.Record
	if d.raw.Hooks&uint32(probe.OomtraceHookBitHOOK_EVALUATE_TASK) != 0 {
		r.CandidatesTotal = oom.Some(uint64(d.raw.CandidatesTotal))
		r.CandidatesBytes = d.bytes(d.raw.CandidatesPages)
	}
	for len(b) > 0 {
		raw, err := take[probe.OomtraceCandidateInfo](b, "candidate")
		if err != nil {
			return err
		}
		b = b[unsafe.Sizeof(raw):]
		c := oom.Candidate{
			PID: oom.Some(raw.Tgid), UID: oom.Some(raw.Uid), OOMScoreAdj: oom.Some(raw.OomScoreAdj),
			Comm: d.ev.string(trimNUL(raw.Comm[:])), BadnessPages: oom.Some(raw.Points), Cgroup: d.cgroupOf(raw.CgroupId),
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
	sortCandidates(r.Candidates)
	return nil
}

// cgroupOf names a candidate's cgroup when the record has its path anyway.
func (d *victimDecoder) cgroupOf(id uint64) string {
	switch {
	case id == unknown:
	case d.ev.victim.CgroupID == oom.Some(id):
		return d.ev.victim.Cgroup
	case d.ev.trigger.CgroupID == oom.Some(id):
		return d.ev.trigger.Cgroup
	case d.ev.limit.CgroupID == oom.Some(id):
		return d.ev.limit.Cgroup
	}
	return ""
}

// sortCandidates puts the worst first. They are few: an insertion sort needs
// no closure and no allocation.
func sortCandidates(c []oom.Candidate) {
	for i := 1; i < len(c); i++ {
		for j := i; j > 0 && c[j].BadnessPages.Value > c[j-1].BadnessPages.Value; j-- {
			c[j], c[j-1] = c[j-1], c[j]
		}
	}
}

func (d *victimDecoder) stacks() error {
	kernel, err := d.span(d.raw.KernelStack, "kernel stack")
	if err != nil {
		return err
	}
	user, err := d.span(d.raw.UserStack, "user stack")
	if err != nil {
		return err
	}
	for len(user) >= 8 {
		address, _ := take[uint64](user, "user stack")
		d.ev.UserStack = append(d.ev.UserStack, oom.UserFrame{Address: address})
		user = user[8:]
	}
	if err := d.userFrames(); err != nil {
		return err
	}
	if d.m.Symbol == nil || d.ev.Record.Trigger == nil {
		return nil
	}
	for len(kernel) >= 8 {
		address, _ := take[uint64](kernel, "kernel stack")
		kernel = kernel[8:]
		if d.isHook(address) {
			continue
		}
		start := len(d.ev.text)
		d.ev.text = d.m.Symbol(d.ev.text, address)
		d.ev.trigger.KernelStack = append(d.ev.trigger.KernelStack, d.ev.since(start))
	}
	d.dropOwnFrames()
	return nil
}

// frameValid says that a frame has a build id (enum bpf_stack_build_id_status).
const frameValid = 1

// userFrames takes the build ids of the user stack. Both stacks are of the same
// moment, so that they have the same frames.
func (d *victimDecoder) userFrames() error {
	b, err := d.span(d.raw.UserFrames, "user frames")
	if err != nil {
		return err
	}
	for i := range d.ev.UserStack {
		raw, err := take[probe.OomtraceUserFrame](b, "user frame")
		if err != nil {
			return nil // fewer frames than addresses: the rest has no build id
		}
		b = b[unsafe.Sizeof(raw):]
		if raw.Status == frameValid {
			d.ev.UserStack[i].BuildID, d.ev.UserStack[i].Offset = raw.BuildId, raw.Offset
		}
	}
	return nil
}

// isHook says that the next frame is code of the hooks: outside of the kernel's
// own text, and innermost (of fexit, whose function has returned) or what called
// out_of_memory (its trampoline), which modules do not do.
func (d *victimDecoder) isHook(address uint64) bool {
	if d.m.Core == nil || d.m.Core(address) {
		return false
	}
	stack := d.ev.trigger.KernelStack
	return len(stack) == 0 || strings.HasPrefix(stack[len(stack)-1], "out_of_memory+")
}

// ownFrames bounds how many frames of the hook itself precede the kernel's.
const ownFrames = 8

// dropOwnFrames takes off the frames of the BPF program and its trampoline: the
// stack begins in the function that was hooked.
func (d *victimDecoder) dropOwnFrames() {
	stack := d.ev.trigger.KernelStack
	for i := range min(ownFrames, len(stack)) {
		if strings.HasPrefix(stack[i], "mark_oom_victim+") || strings.HasPrefix(stack[i], "out_of_memory+") {
			stack = stack[:copy(stack, stack[i:])]
			break
		}
	}
	d.ev.trigger.KernelStack = dropTrampoline(stack)
}

// dropTrampoline takes out what fexit puts into the stack: it runs the function
// from a trampoline, which the function's own first bytes call. The trampoline
// came after the symbols were read: where it is still there, its name is any.
func dropTrampoline(stack []string) []string {
	for i := range stack {
		function, _, _ := strings.Cut(stack[i], "+")
		for n := 1; n <= 2 && i+n < len(stack); n++ {
			again, at, _ := strings.Cut(stack[i+n], "+")
			if offset, err := strconv.ParseUint(at, 0, 64); err == nil && again == function && offset <= entryBytes {
				return append(stack[:i+1], stack[i+n+1:]...)
			}
		}
	}
	return stack
}

// entryBytes is how far into a function the call to a trampoline can return:
// endbr64 or bti, and the call.
const entryBytes = 16

func (d *victimDecoder) onStack(function string) bool {
	for _, frame := range d.ev.trigger.KernelStack {
		if strings.HasPrefix(frame, function) {
			return true
		}
	}
	return false
}
