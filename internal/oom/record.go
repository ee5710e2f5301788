// Package oom is the data model of oomtrace: one Record per OOM victim, the
// same whether it came from BPF or from the kernel log. Its JSON names are the
// public contract, described in docs/record.md.
//
// Sizes are bytes, times are wall clock with nanoseconds, durations and uptimes
// carry the suffix _ns. A field that is not known is absent: pointers are nil,
// strings and slices empty, an Opt unknown. Zero always means a measured zero.
//
// The package holds data only and imports nothing of oomtrace.
package oom

import (
	"cmp"
	"encoding/json"
	"time"
)

// Schema is the version of the JSON contract that Record implements.
const Schema = 1

// Kind says what a record reports.
type Kind string

// The kinds of records.
const (
	// KindKill is a process that the OOM killer sent SIGKILL.
	KindKill Kind = "kill"
	// KindAlreadyExiting is a task that was marked as victim but not killed,
	// since it was dying already (mm/oom_kill.c, task_will_free_mem).
	KindAlreadyExiting Kind = "already_exiting"
	// KindNoVictim is an OOM for which the kernel found no killable process.
	KindNoVictim Kind = "no_victim"
	// KindExit follows a kill: the victim is gone.
	KindExit Kind = "exit"
	// KindLost stands where records were lost; Record.Lost says how many.
	KindLost Kind = "lost"
	// KindOOM is an OOM that began, and of which the source does not hold the end:
	// a log that was cut.
	KindOOM Kind = "oom"
	// KindPanic is an OOM that made the kernel panic instead of killing; Record.Panic
	// says why.
	KindPanic Kind = "panic"
	// KindSigkill is a process that died of a SIGKILL which the kernel's OOM killer
	// did not send; Record.Sender and Record.Cause say where it came from.
	KindSigkill Kind = "sigkill"
)

// Panic is why the kernel panicked on an OOM (mm/oom_kill.c, check_panic_on_oom and
// out_of_memory).
type Panic string

// The reasons of a panic.
const (
	PanicOnOOM      Panic = "panic_on_oom"
	PanicNoKillable Panic = "no_killable_process"
)

// Cause is what a SIGKILL of kind sigkill came from.
type Cause string

// The causes of a SIGKILL.
const (
	// CauseUser is a process that called kill(2) or one of its kin.
	CauseUser Cause = "user"
	// CauseCgroupKill is a write to cgroup.kill.
	CauseCgroupKill Cause = "cgroup_kill"
	// CausePIDNamespace is the exit of the init of the process's pid namespace.
	CausePIDNamespace Cause = "pid_namespace"
	// CauseSharedMM is the OOM kill of a process with the same memory.
	CauseSharedMM Cause = "shared_mm"
	// CauseMemoryManager is a memory manager in user space: systemd-oomd, earlyoom,
	// nohang and their kind. kubelet evicts through the runtime, so its kills are the
	// runtime's.
	CauseMemoryManager Cause = "memory_manager"
	// CauseKernel is the kernel itself, for a reason that is not memory.
	CauseKernel Cause = "kernel"
)

// LostKind says what a lost record stands for.
type LostKind string

// The kinds of what is lost.
const (
	// LostKill are records of kills, and of tasks that were only marked.
	LostKill     LostKind = "kill"
	LostNoVictim LostKind = "no_victim"
	// LostExit are records of victims' ends, or of what belongs into them.
	LostExit LostKind = "exit"
	// LostSigkill are records of kind sigkill.
	LostSigkill LostKind = "sigkill"
	// LostUnreadable are records of any kind that this version cannot read.
	LostUnreadable LostKind = "unreadable"
	// LostLogLines are no records, but lines of the kernel log that were overwritten before
	// they were read.
	LostLogLines LostKind = "log_lines"
)

// Source says which witness a record comes from.
type Source string

// The sources of records.
const (
	SourceBPF  Source = "bpf"
	SourceKmsg Source = "kmsg"
)

// Scope is the kernel's constraint on the allocation that failed
// (enum oom_constraint, include/linux/oom.h).
type Scope string

// The scopes, in the words of the record.
const (
	ScopeSystem    Scope = "system"
	ScopeCgroup    Scope = "cgroup"
	ScopeCpuset    Scope = "cpuset"
	ScopeMempolicy Scope = "mempolicy"
)

// Level says what kind of cgroup is at its limit.
type Level string

// The levels, from the innermost outwards.
const (
	LevelContainer Level = "container"
	LevelPod       Level = "pod"
	LevelQoS       Level = "qos"
	LevelKubepods  Level = "kubepods"
	LevelService   Level = "service"
	LevelScope     Level = "scope"
	LevelSlice     Level = "slice"
	LevelCgroup    Level = "cgroup"
	LevelRoot      Level = "root"
)

// Record is one line of output: what is known of one OOM victim, or of one
// event around it (see Kind).
type Record struct {
	Schema int `json:"schema"`
	// ID is the same when the same event is written again: after a crash of the
	// reader, or when the same log is read twice.
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	// Time is the wall clock at the kill.
	Time time.Time `json:"time,omitzero"`
	// UptimeNS is the kernel's clock at the kill: boottime from BPF, the
	// printk clock (monotonic since boot, without suspend) from the log.
	UptimeNS Opt[uint64] `json:"uptime_ns,omitzero"`
	Node     string      `json:"node,omitempty"`
	BootID   string      `json:"boot_id,omitempty"`
	// Kernel is the release, as uname -r prints it.
	Kernel string `json:"kernel,omitempty"`
	// CPUs is how many CPUs the machine can have.
	CPUs   Opt[uint32] `json:"cpus,omitzero"`
	Source Source      `json:"source"`
	// Hooks names what fed this record, such as "fentry:oom_kill_process",
	// "tp_btf:mark_victim" or "kmsg".
	Hooks []string `json:"hooks,omitempty"`
	// Incident is shared by all victims of one OOM decision.
	Incident string `json:"incident,omitempty"`
	Scope    Scope  `json:"scope,omitempty"`
	// Sysrq is set when SysRq-f triggered the kill (order -1).
	Sysrq Opt[bool] `json:"sysrq,omitzero"`
	// Panic is why the kernel panicked, on kind panic.
	Panic   Panic    `json:"panic,omitempty"`
	Victim  *Victim  `json:"victim,omitempty"`
	Trigger *Trigger `json:"trigger,omitempty"`
	// Sender is the process that sent the signal, and Cause what kind of SIGKILL it
	// was; on kind sigkill.
	Sender *Sender `json:"sender,omitempty"`
	Cause  Cause   `json:"cause,omitempty"`
	// Limit is the cgroup at its limit; nil on a system OOM.
	Limit  *Limit  `json:"limit,omitempty"`
	Memory *Memory `json:"memory,omitempty"`
	// History is how the memory of Limit.Cgroup grew up to the kill.
	History *History `json:"history,omitempty"`
	// Holders are the owners of the memory that this OOM could draw on, worst first,
	// and HoldersTotal how many there were.
	Holders      []Holder    `json:"holders,omitempty"`
	HoldersTotal Opt[uint64] `json:"holders_total,omitzero"`
	// DomainBytes is oom_control.totalpages: the RAM and swap that this OOM
	// could draw on. It is not the size of the victim.
	DomainBytes Opt[uint64] `json:"domain_bytes,omitzero"`
	// Candidates are the biggest tasks the kernel weighed, worst first.
	Candidates []Candidate `json:"candidates,omitempty"`
	// CandidatesTotal is how many tasks with memory of their own were weighed,
	// CandidatesBytes what they hold together: rss, swap and page tables. What
	// several of them share counts once for each.
	CandidatesTotal Opt[uint64] `json:"candidates_total,omitzero"`
	CandidatesBytes Opt[uint64] `json:"candidates_bytes,omitzero"`
	// Sampled names the blocks that were read from user space just after the
	// kill rather than by the kernel at it, such as "memory.swap_devices", and
	// "victim.container" or "trigger.container" where names came only then.
	Sampled []string `json:"sampled,omitempty"`
	// NamesMissing says for whom, "victim" or "trigger", nobody could name the
	// container in time, though runtimes are asked.
	NamesMissing []string `json:"names_missing,omitempty"`
	// Incomplete is set when the source held only part of the report: a log
	// that was cut or rate-limited.
	Incomplete Opt[bool]   `json:"incomplete,omitzero"`
	Why        *Why        `json:"why,omitempty"`
	Exit       *Exit       `json:"exit,omitempty"`
	Lost       Opt[uint64] `json:"lost,omitzero"`
	// LostKind is what was lost; empty where that is not known.
	LostKind LostKind `json:"lost_kind,omitempty"`
	// Repeats is how many OOMs like this one, in the same cgroup and without a
	// victim, came since the last record of one and have none of their own.
	Repeats Opt[uint64] `json:"repeats,omitzero"`
	// Finished is set on a record that was read as such, perhaps of another machine:
	// nothing of this one belongs into it.
	Finished bool `json:"-"`
	// LogText are the lines of the kernel log that the record was read from, where they
	// were asked for. They are not part of the record: who has it has the log, too.
	LogText string `json:"-"`
	// Unknown are fields of a record that was read and that this version does not know,
	// as UnknownFields gives them. They are written again.
	Unknown json.RawMessage `json:"-"`
}

// Owner says whose a process is, derived from its memory cgroup.
type Owner struct {
	// Unit is the systemd unit's name, such as "nginx.service".
	Unit      string     `json:"unit,omitempty"`
	Container *Container `json:"container,omitempty"`
	// OuterContainer is the container around Container: a Kubernetes node that
	// itself runs in a container.
	OuterContainer *Container `json:"outer_container,omitempty"`
	Pod            *Pod       `json:"pod,omitempty"`
}

// Name is what a person calls the owner: the pod, the container or the unit. Empty is none.
func (o *Owner) Name() string {
	switch {
	case o.Pod != nil && o.Pod.Name != "":
		s := o.Pod.Name
		if o.Pod.Namespace != "" {
			s = o.Pod.Namespace + "/" + s
		}
		if o.Pod.Container != "" {
			s += " (" + o.Pod.Container + ")"
		}
		return s
	case o.Container != nil && o.Container.Name != "":
		return o.Container.Name
	case o.Pod != nil && o.Pod.UID != "":
		return "pod " + o.Pod.UID
	case o.Container != nil && o.Container.ID != "":
		return cmp.Or(o.Container.Runtime, "container") + " " + shortID(o.Container.ID)
	}
	return o.Unit
}

// shortID is as much of a container's id as engines show.
func shortID(id string) string {
	const most = 12
	n := 0
	for i := range id {
		if n++; n > most {
			return id[:i] + "…"
		}
	}
	return id
}

// Container is the container that a cgroup belongs to.
type Container struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Image string `json:"image,omitempty"`
	// ImageID is the runtime's id of the image.
	ImageID string `json:"image_id,omitempty"`
	// Runtime is "containerd", "cri-o", "docker", "podman", "nerdctl" and so
	// on; empty where the path leaves it open.
	Runtime string `json:"runtime,omitempty"`
	// MemoryRequestBytes and MemoryLimitBytes are what the runtime or kubelet
	// was asked for.
	MemoryRequestBytes Opt[uint64] `json:"memory_request_bytes,omitzero"`
	MemoryLimitBytes   Opt[uint64] `json:"memory_limit_bytes,omitzero"`
	RestartCount       Opt[uint64] `json:"restart_count,omitzero"`
}

// Pod is the Kubernetes or podman pod that a container belongs to.
type Pod struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// UID has dashes where the cluster's has them; static pods have 32 hex
	// digits without.
	UID string `json:"uid,omitempty"`
	// Container is the container's name within the pod.
	Container string `json:"container,omitempty"`
	// QoS is "guaranteed", "burstable" or "besteffort".
	QoS string `json:"qos,omitempty"`
	// SwapBehavior is kubelet's memorySwap.swapBehavior on this node where its
	// configuration is known: "NoSwap" or "LimitedSwap".
	SwapBehavior string `json:"swap_behavior,omitempty"`
	// MemoryRequestBytes and MemoryLimitBytes are the pod's own (pod-level resources),
	// not the sums of its containers'.
	MemoryRequestBytes Opt[uint64]       `json:"memory_request_bytes,omitzero"`
	MemoryLimitBytes   Opt[uint64]       `json:"memory_limit_bytes,omitzero"`
	Labels             map[string]string `json:"labels,omitempty"`
}

// Victim is the process that was killed or marked.
type Victim struct {
	// PID is the process (thread group) id, as ps shows it.
	PID Opt[int32] `json:"pid,omitzero"`
	// TID is the thread that the kernel marked; the kernel log prints this one.
	TID  Opt[int32] `json:"tid,omitzero"`
	PPID Opt[int32] `json:"ppid,omitzero"`
	// NSPID is the process id inside its own pid namespace.
	NSPID Opt[int32]  `json:"ns_pid,omitzero"`
	UID   Opt[uint32] `json:"uid,omitzero"`
	// Comm is the marked thread's name, at most 15 bytes; hostile text.
	Comm string `json:"comm,omitempty"`
	// Cmdline is the arguments joined by a space, at most 256 bytes; hostile
	// text. CmdlineCut is set when there was more.
	Cmdline    string    `json:"cmdline,omitempty"`
	CmdlineCut Opt[bool] `json:"cmdline_cut,omitzero"`
	// Args is Cmdline with a NUL between the arguments, where those are known:
	// for redaction. It is not written.
	Args      string    `json:"-"`
	Exe       string    `json:"exe,omitempty"`
	StartTime time.Time `json:"start_time,omitzero"`

	TotalVMBytes Opt[uint64] `json:"total_vm_bytes,omitzero"`
	// RSSBytes is AnonRSSBytes + FileRSSBytes + ShmemRSSBytes.
	RSSBytes      Opt[uint64] `json:"rss_bytes,omitzero"`
	AnonRSSBytes  Opt[uint64] `json:"anon_rss_bytes,omitzero"`
	FileRSSBytes  Opt[uint64] `json:"file_rss_bytes,omitzero"`
	ShmemRSSBytes Opt[uint64] `json:"shmem_rss_bytes,omitzero"`
	SwapBytes     Opt[uint64] `json:"swap_bytes,omitzero"`
	PgtablesBytes Opt[uint64] `json:"pgtables_bytes,omitzero"`
	// LockedVMBytes is the mm's mlocked size (mm_struct.locked_vm).
	LockedVMBytes Opt[uint64] `json:"locked_vm_bytes,omitzero"`

	OOMScoreAdj Opt[int32] `json:"oom_score_adj,omitzero"`
	// OOMScoreAdjChanged is the last time that it was written: another process's, or its
	// own. What a process has from its parent has no such time.
	OOMScoreAdjChanged *AdjChange `json:"oom_score_adj_changed,omitempty"`
	// BadnessPages is oom_control.chosen_points: the kernel's points for the
	// chosen task, in pages. Unknown for the other victims of an oom.group.
	BadnessPages Opt[int64] `json:"badness_pages,omitzero"`
	// OOMOrigin is set where the kernel chose the task without weighing it: it
	// was taking memory out of swap or KSM (oom_task_origin).
	OOMOrigin Opt[bool] `json:"oom_origin,omitzero"`
	// Score is the 0..1000 score of kill lines before 5.1; log only.
	Score Opt[int64] `json:"score,omitzero"`

	// Cgroup is the path of the memory cgroup below its hierarchy's root.
	Cgroup   string      `json:"cgroup,omitempty"`
	CgroupID Opt[uint64] `json:"cgroup_id,omitzero"`
	// CgroupCut is set when the path is longer than what was walked: Cgroup
	// then starts with "…/" and holds the innermost levels.
	CgroupCut Opt[bool] `json:"cgroup_cut,omitzero"`
	// CgroupLimits are the memory limits on the way from the victim's own
	// cgroup up to the root, innermost first.
	CgroupLimits []CgroupLimit `json:"cgroup_limits,omitempty"`
	// CgroupPressure is memory.pressure of the victim's own cgroup; on kind sigkill.
	CgroupPressure *Pressure `json:"cgroup_pressure,omitempty"`
	Owner
}

// Pressure is how long tasks waited for memory (PSI,
// Documentation/accounting/psi.rst): Some is the time in which at least one of them
// waited, Full that in which all that were not idle did.
type Pressure struct {
	Some *PressureTime `json:"some,omitempty"`
	Full *PressureTime `json:"full,omitempty"`
}

// PressureTime is one line of a PSI file: the share of the last 10, 60 and 300 s, which
// the kernel works out every two seconds, and the time since the cgroup or the
// machine started.
type PressureTime struct {
	Avg10Percent  Opt[float64] `json:"avg10_percent,omitzero"`
	Avg60Percent  Opt[float64] `json:"avg60_percent,omitzero"`
	Avg300Percent Opt[float64] `json:"avg300_percent,omitzero"`
	TotalNS       Opt[uint64]  `json:"total_ns,omitzero"`
}

// CgroupLimit is one cgroup's limits and usage at the kill.
type CgroupLimit struct {
	Cgroup     string      `json:"cgroup,omitempty"`
	CgroupID   Opt[uint64] `json:"cgroup_id,omitzero"`
	UsageBytes Opt[uint64] `json:"usage_bytes,omitzero"`
	// MaxBytes, HighBytes and the swap maxima are absent when unlimited.
	MaxBytes       Opt[uint64] `json:"max_bytes,omitzero"`
	HighBytes      Opt[uint64] `json:"high_bytes,omitzero"`
	SwapUsageBytes Opt[uint64] `json:"swap_usage_bytes,omitzero"`
	SwapMaxBytes   Opt[uint64] `json:"swap_max_bytes,omitzero"`
	MemswMaxBytes  Opt[uint64] `json:"memsw_max_bytes,omitzero"`
	// MinBytes and LowBytes are v2's protections (memory.min, memory.low), and
	// ChildrenMinBytes and ChildrenLowBytes what those of the cgroups below protect of
	// their usage; absent when there is none.
	MinBytes         Opt[uint64] `json:"min_bytes,omitzero"`
	LowBytes         Opt[uint64] `json:"low_bytes,omitzero"`
	ChildrenMinBytes Opt[uint64] `json:"children_min_bytes,omitzero"`
	ChildrenLowBytes Opt[uint64] `json:"children_low_bytes,omitzero"`
	OOMGroup         Opt[bool]   `json:"oom_group,omitzero"`
	// Swappiness is the cgroup's own (v1 only).
	Swappiness Opt[uint32] `json:"swappiness,omitzero"`
}

// Trigger is the task whose allocation failed, and what it asked for.
type Trigger struct {
	PID     Opt[int32]  `json:"pid,omitzero"`
	TID     Opt[int32]  `json:"tid,omitzero"`
	UID     Opt[uint32] `json:"uid,omitzero"`
	Comm    string      `json:"comm,omitempty"`
	Cmdline string      `json:"cmdline,omitempty"`
	// Args is as for Victim.
	Args        string      `json:"-"`
	OOMScoreAdj Opt[int32]  `json:"oom_score_adj,omitzero"`
	Cgroup      string      `json:"cgroup,omitempty"`
	CgroupID    Opt[uint64] `json:"cgroup_id,omitzero"`
	CgroupCut   Opt[bool]   `json:"cgroup_cut,omitzero"`
	Owner

	GFPMask Opt[uint32] `json:"gfp_mask,omitzero"`
	// GFPFlags are the names as the kernel prints them, such as "GFP_KERNEL".
	GFPFlags []string `json:"gfp_flags,omitempty"`
	// Order is the base-2 logarithm of the pages asked for; -1 is sysrq-f.
	Order Opt[int32] `json:"order,omitzero"`
	// Nodemask, MemsAllowed and Cpuset are the kernel's own words for the
	// nodes that the allocation could use.
	Nodemask    string `json:"nodemask,omitempty"`
	MemsAllowed string `json:"mems_allowed,omitempty"`
	Cpuset      string `json:"cpuset,omitempty"`
	// MemsChanged is the last time before the kill that nodes were taken from the
	// trigger's cpuset, or from the next one above it whose nodes were written.
	MemsChanged *NodesChange `json:"mems_changed,omitempty"`
	// KernelStack is the way into the allocator, innermost first, each
	// "symbol+0xoffset", or a bare address where no symbol is known.
	KernelStack []string `json:"kernel_stack,omitempty"`
	// UserStack is the same for user space: "module+0xoffset".
	UserStack []string `json:"user_stack,omitempty"`
}

// UserFrame is one return address in the trigger's program, before it has a name
// in Trigger.UserStack.
type UserFrame struct {
	Address uint64
	// BuildID is that of the file mapped there, and Offset the place in it; both
	// zero where the kernel found none.
	BuildID [20]byte
	Offset  uint64
}

// Limit is the cgroup whose limit was hit, with its counters at the kill.
type Limit struct {
	Cgroup    string      `json:"cgroup,omitempty"`
	CgroupID  Opt[uint64] `json:"cgroup_id,omitzero"`
	CgroupCut Opt[bool]   `json:"cgroup_cut,omitzero"`
	Level     Level       `json:"level,omitempty"`

	UsageBytes Opt[uint64] `json:"usage_bytes,omitzero"`
	// An unlimited maximum is absent.
	MaxBytes  Opt[uint64] `json:"max_bytes,omitzero"`
	HighBytes Opt[uint64] `json:"high_bytes,omitzero"`
	// SwapUsageBytes and SwapMaxBytes are cgroup v2's memory.swap.*.
	SwapUsageBytes Opt[uint64] `json:"swap_usage_bytes,omitzero"`
	SwapMaxBytes   Opt[uint64] `json:"swap_max_bytes,omitzero"`
	// MemswUsageBytes and MemswMaxBytes are v1's memory.memsw.*.
	MemswUsageBytes Opt[uint64] `json:"memsw_usage_bytes,omitzero"`
	MemswMaxBytes   Opt[uint64] `json:"memsw_max_bytes,omitzero"`
	KmemUsageBytes  Opt[uint64] `json:"kmem_usage_bytes,omitzero"`
	KmemMaxBytes    Opt[uint64] `json:"kmem_max_bytes,omitzero"`
	// Failures is how often a charge met the limit: v1's memory.failcnt, v2's
	// page_counter.failcnt where it is kept.
	Failures Opt[uint64] `json:"failures,omitzero"`
	// Swappiness is the cgroup's own (v1 only).
	Swappiness Opt[uint32] `json:"swappiness,omitzero"`
	OOMGroup   Opt[bool]   `json:"oom_group,omitzero"`
	// Changed is the last time the limit was lowered before the kill.
	Changed *LimitChange `json:"changed,omitempty"`
	// HighChanged is the same of memory.high, above which the kernel slows down and
	// reclaims, but does not kill.
	HighChanged *LimitChange `json:"high_changed,omitempty"`
	// Version is 1 or 2: the cgroup version of the memory controller.
	Version Opt[uint32] `json:"version,omitzero"`
	// Stat is memory.stat of this cgroup and its children, in bytes.
	Stat Stats `json:"stat,omitempty"`
}

// Memory is the machine at the kill.
type Memory struct {
	TotalBytes Opt[uint64] `json:"total_bytes,omitzero"`
	FreeBytes  Opt[uint64] `json:"free_bytes,omitzero"`
	// AvailableBytes is /proc/meminfo's MemAvailable; on kind sigkill.
	AvailableBytes Opt[uint64] `json:"available_bytes,omitzero"`
	// Pressure is /proc/pressure/memory; on kind sigkill.
	Pressure       *Pressure    `json:"pressure,omitempty"`
	SwapTotalBytes Opt[uint64]  `json:"swap_total_bytes,omitzero"`
	SwapFreeBytes  Opt[uint64]  `json:"swap_free_bytes,omitzero"`
	SwapCacheBytes Opt[uint64]  `json:"swap_cache_bytes,omitzero"`
	SwapDevices    []SwapDevice `json:"swap_devices,omitempty"`
	// SwapChanged is the last time before the kill that swap was turned off, as sampled:
	// who did it is not known, and when up to an interval of the sampling.
	SwapChanged *LimitChange `json:"swap_changed,omitempty"`
	// TotalChanged is the most that TotalBytes was before, where it has become less: a
	// balloon took some, or it was taken offline. AgoNS is how long that was so no more.
	TotalChanged *LimitChange `json:"total_changed,omitempty"`
	// Swappiness is vm.swappiness, 0 to 200.
	Swappiness Opt[uint32] `json:"swappiness,omitzero"`
	// LRUGen says whether the multi-generational LRU is in use
	// (/sys/kernel/mm/lru_gen/enabled).
	LRUGen Opt[bool] `json:"lru_gen,omitzero"`
	// OOMKillAllocatingTask and PanicOnOOM are the sysctls of that name, the latter only of
	// a panic in a log.
	OOMKillAllocatingTask Opt[bool]   `json:"oom_kill_allocating_task,omitzero"`
	PanicOnOOM            Opt[uint32] `json:"panic_on_oom,omitzero"`
	// Stat has the names of /proc/vmstat with the suffix _bytes.
	Stat  Stats  `json:"stat,omitempty"`
	Zones []Zone `json:"zones,omitempty"`
	// SlabCaches are the kernel's biggest slab caches and Allocations its biggest
	// allocation sites, worst first: from the kernel's own report, or sampled after a
	// kill that kernel memory caused.
	SlabCaches  []SlabCache  `json:"slab_caches,omitempty"`
	Allocations []Allocation `json:"allocations,omitempty"`
	// History is the machine's memory up to the kill.
	History *MemoryHistory `json:"history,omitempty"`
}

// SlabCache is one slab cache, as in the report's "Unreclaimable slab info" or
// /proc/slabinfo.
type SlabCache struct {
	Name       string      `json:"name"`
	UsedBytes  Opt[uint64] `json:"used_bytes,omitzero"`
	TotalBytes Opt[uint64] `json:"total_bytes,omitzero"`
}

// Allocation is what one place in the kernel's source has allocated
// (CONFIG_MEM_ALLOC_PROFILING, Documentation/mm/allocation-profiling.rst).
type Allocation struct {
	// Site is "file:line func:name", as the kernel prints it.
	Site  string      `json:"site"`
	Bytes Opt[uint64] `json:"bytes,omitzero"`
	Calls Opt[uint64] `json:"calls,omitzero"`
}

// SwapDevice is one row of /proc/swaps.
type SwapDevice struct {
	Name      string      `json:"name,omitempty"`
	Type      string      `json:"type,omitempty"`
	SizeBytes Opt[uint64] `json:"size_bytes,omitzero"`
	UsedBytes Opt[uint64] `json:"used_bytes,omitzero"`
	Priority  Opt[int32]  `json:"priority,omitzero"`
}

// Zone is one memory zone of the zonelist that the allocation could use.
type Zone struct {
	Node         Opt[int32]  `json:"node,omitzero"`
	Zone         string      `json:"zone"`
	FreeBytes    Opt[uint64] `json:"free_bytes,omitzero"`
	MinBytes     Opt[uint64] `json:"min_bytes,omitzero"`
	LowBytes     Opt[uint64] `json:"low_bytes,omitzero"`
	HighBytes    Opt[uint64] `json:"high_bytes,omitzero"`
	ManagedBytes Opt[uint64] `json:"managed_bytes,omitzero"`
	// LowmemReserveBytes is what the zone holds back from allocations that
	// could use a higher zone, one value per zone type.
	LowmemReserveBytes []uint64 `json:"lowmem_reserve_bytes,omitempty"`
	// FreeCMABytes is the part of the free memory that only movable allocations may use,
	// and HighatomicBytes what is reserved for atomic ones, from 6.13 on only what of that is
	// free (mm/page_alloc.c, __zone_watermark_unusable_free).
	FreeCMABytes    Opt[uint64] `json:"free_cma_bytes,omitzero"`
	HighatomicBytes Opt[uint64] `json:"highatomic_bytes,omitzero"`
	// FreeBlocks counts the free blocks by order: index 0 is single pages.
	FreeBlocks []uint64 `json:"free_blocks,omitempty"`
	// FreeBlockTypes are the migrate types that have free blocks, by order, as the
	// kernel's report prints them: U, M, E, H (highatomic), C (CMA), I (isolated).
	FreeBlockTypes []string `json:"free_block_types,omitempty"`
}

// LimitChange is a limit that was lowered before the kill, and by which process.
type LimitChange struct {
	FromBytes Opt[uint64] `json:"from_bytes,omitzero"`
	ToBytes   Opt[uint64] `json:"to_bytes,omitzero"`
	// AgoNS is how long before the kill.
	AgoNS  Opt[uint64] `json:"ago_ns,omitzero"`
	PID    Opt[int32]  `json:"pid,omitzero"`
	Comm   string      `json:"comm,omitempty"`
	Cgroup string      `json:"cgroup,omitempty"`
}

// AdjChange is a write of an oom_score_adj, and by which process.
type AdjChange struct {
	// AgoNS is how long before the kill.
	AgoNS  Opt[uint64] `json:"ago_ns,omitzero"`
	PID    Opt[int32]  `json:"pid,omitzero"`
	Comm   string      `json:"comm,omitempty"`
	Cgroup string      `json:"cgroup,omitempty"`
}

// NodesChange is a cpuset that lost memory nodes, and by which process. The lists are of
// its effective nodes, such as "0-1,4".
type NodesChange struct {
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// AgoNS is how long before the kill.
	AgoNS  Opt[uint64] `json:"ago_ns,omitzero"`
	PID    Opt[int32]  `json:"pid,omitzero"`
	Comm   string      `json:"comm,omitempty"`
	Cgroup string      `json:"cgroup,omitempty"`
}

// HistorySource says how growth was followed.
type HistorySource string

// The sources of a history.
const (
	// HistoryExact was counted in the kernel at each charge.
	HistoryExact HistorySource = "exact"
	// HistorySampled was read from user space at intervals.
	HistorySampled HistorySource = "sampled"
)

// History is how the memory of one cgroup, or of one process, grew up to the kill.
type History struct {
	Source HistorySource `json:"source"`
	// SpanNS is how far back the first point lies.
	SpanNS Opt[uint64] `json:"span_ns,omitzero"`
	// Points are oldest first.
	Points     []HistoryPoint `json:"points,omitempty"`
	StartBytes Opt[uint64]    `json:"start_bytes,omitzero"`
	PeakBytes  Opt[uint64]    `json:"peak_bytes,omitzero"`
	// RateBytesPerS is the growth over the part of the span in which it grew to the
	// kill; negative where it shrank.
	RateBytesPerS Opt[int64] `json:"rate_bytes_per_s,omitzero"`
	// NearLimitNS is how long the usage had been at 95 % of the limit or more without
	// a break; LimitHits how many charges the limit refused since the cgroup is followed.
	NearLimitNS Opt[uint64] `json:"near_limit_ns,omitzero"`
	LimitHits   Opt[uint64] `json:"limit_hits,omitzero"`
	// Growers are the processes that charged most, worst first, over the last
	// GrowersSpanNS; where charges were not counted, those that held most.
	Growers       []Grower    `json:"growers,omitempty"`
	GrowersSpanNS Opt[uint64] `json:"growers_span_ns,omitzero"`
}

// HistoryPoint is the usage at one moment.
type HistoryPoint struct {
	AgoNS uint64 `json:"ago_ns"`
	Bytes uint64 `json:"bytes"`
}

// Grower is a process that charged memory to the cgroup. Charged is not held: what it
// has freed since is not taken off.
type Grower struct {
	PID          Opt[int32]  `json:"pid,omitzero"`
	Comm         string      `json:"comm,omitempty"`
	Cmdline      string      `json:"cmdline,omitempty"`
	Args         string      `json:"-"`
	StartTime    time.Time   `json:"start_time,omitzero"`
	ChargedBytes Opt[uint64] `json:"charged_bytes,omitzero"`
	// StartNS is StartTime as CLOCK_BOOTTIME; it is not written.
	StartNS uint64 `json:"-"`
	// Exited is set when the process was not there any more just after the kill.
	Exited Opt[bool] `json:"exited,omitzero"`
	// Kernel is set for a kernel thread, and Outside for a process outside the cgroup:
	// such charge memory that others use.
	Kernel  Opt[bool] `json:"kernel,omitzero"`
	Outside Opt[bool] `json:"outside,omitzero"`
	// Points are its resident memory, oldest first.
	Points []HistoryPoint `json:"points,omitempty"`
}

// Held is its last point.
func (g *Grower) Held() (bytes Opt[uint64]) {
	if n := len(g.Points); n > 0 {
		bytes = Some(g.Points[n-1].Bytes)
	}
	return bytes
}

// MemoryHistory is the machine's memory up to the kill.
type MemoryHistory struct {
	Source HistorySource `json:"source"`
	SpanNS Opt[uint64]   `json:"span_ns,omitzero"`
	// Points are oldest first.
	Points []MemoryPoint `json:"points,omitempty"`
}

// MemoryPoint is the machine's memory at one moment, from /proc/meminfo.
type MemoryPoint struct {
	AgoNS                  uint64      `json:"ago_ns"`
	FreeBytes              Opt[uint64] `json:"free_bytes,omitzero"`
	AnonBytes              Opt[uint64] `json:"anon_bytes,omitzero"`
	FileBytes              Opt[uint64] `json:"file_bytes,omitzero"`
	SlabUnreclaimableBytes Opt[uint64] `json:"slab_unreclaimable_bytes,omitzero"`
	SwapFreeBytes          Opt[uint64] `json:"swap_free_bytes,omitzero"`
}

// Holder is an owner of memory in the OOM's domain: a pod, a container, a unit, or a
// cgroup without one. In a record from the kernel log it is a sum over the report's
// table of tasks, by cgroup or, without one, by Comm.
type Holder struct {
	Cgroup string `json:"cgroup,omitempty"`
	// Comm is set where tasks were summed up by their name.
	Comm  string `json:"comm,omitempty"`
	Level Level  `json:"level,omitempty"`
	Owner
	UsageBytes Opt[uint64] `json:"usage_bytes,omitzero"`
	SwapBytes  Opt[uint64] `json:"swap_bytes,omitzero"`
	Tasks      Opt[uint64] `json:"tasks,omitzero"`
	// RequestBytes is what the pod's containers, or the pod, requested.
	RequestBytes Opt[uint64] `json:"request_bytes,omitzero"`
	// GrewBytes is the growth over the span of Record.Memory.History; negative where
	// it shrank.
	GrewBytes Opt[int64] `json:"grew_bytes,omitzero"`
}

// Sender is the process that sent a SIGKILL.
type Sender struct {
	PID     Opt[int32]  `json:"pid,omitzero"`
	TID     Opt[int32]  `json:"tid,omitzero"`
	PPID    Opt[int32]  `json:"ppid,omitzero"`
	UID     Opt[uint32] `json:"uid,omitzero"`
	Comm    string      `json:"comm,omitempty"`
	Cmdline string      `json:"cmdline,omitempty"`
	Args    string      `json:"-"`
	Exe     string      `json:"exe,omitempty"`
	// Parents are the sender's ancestors, innermost first, up to one that has a name:
	// a unit, a container, a pod.
	Parents   []Parent    `json:"parents,omitempty"`
	Cgroup    string      `json:"cgroup,omitempty"`
	CgroupID  Opt[uint64] `json:"cgroup_id,omitzero"`
	CgroupCut Opt[bool]   `json:"cgroup_cut,omitzero"`
	// Role is what the sender was recognised as, and Program its name, such as
	// "earlyoom" or "runc"; Says is its own word for the reason.
	Role    Role   `json:"role,omitempty"`
	Program string `json:"program,omitempty"`
	Says    string `json:"says,omitempty"`
	Owner
}

// Role is what a sender is to the processes that it kills.
type Role string

// The roles of senders.
const (
	// RoleMemoryManager kills to free memory: systemd-oomd, earlyoom and their kind.
	RoleMemoryManager Role = "memory_manager"
	// RoleRuntime runs containers: runc, conmon, a containerd shim.
	RoleRuntime Role = "runtime"
	// RoleServiceManager runs services: systemd, of the system or of a user.
	RoleServiceManager Role = "service_manager"
)

// Parent is one ancestor of a sender.
type Parent struct {
	PID  Opt[int32] `json:"pid,omitzero"`
	Comm string     `json:"comm,omitempty"`
}

// Candidate is one task that the kernel weighed.
type Candidate struct {
	PID           Opt[int32]  `json:"pid,omitzero"`
	Comm          string      `json:"comm,omitempty"`
	UID           Opt[uint32] `json:"uid,omitzero"`
	TotalVMBytes  Opt[uint64] `json:"total_vm_bytes,omitzero"`
	RSSBytes      Opt[uint64] `json:"rss_bytes,omitzero"`
	AnonRSSBytes  Opt[uint64] `json:"anon_rss_bytes,omitzero"`
	FileRSSBytes  Opt[uint64] `json:"file_rss_bytes,omitzero"`
	ShmemRSSBytes Opt[uint64] `json:"shmem_rss_bytes,omitzero"`
	SwapBytes     Opt[uint64] `json:"swap_bytes,omitzero"`
	PgtablesBytes Opt[uint64] `json:"pgtables_bytes,omitzero"`
	OOMScoreAdj   Opt[int32]  `json:"oom_score_adj,omitzero"`
	BadnessPages  Opt[int64]  `json:"badness_pages,omitzero"`
	Cgroup        string      `json:"cgroup,omitempty"`
	CgroupID      Opt[uint64] `json:"cgroup_id,omitzero"`
}

// Why explains a record. Every reason rests on numbers of the same record.
type Why struct {
	// Verdict is the stable code of the main cause.
	Verdict string   `json:"verdict"`
	Summary string   `json:"summary"`
	Reasons []Reason `json:"reasons,omitempty"`
	// Unsure is set when the evidence allows for another verdict too; Check is how to
	// find out then.
	Unsure Opt[bool] `json:"unsure,omitzero"`
	Check  string    `json:"check,omitempty"`
}

// Reason is one fact that led to the verdict.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Exit reports how a victim went.
type Exit struct {
	// AfterNS is the time from the mark to the exit of the last thread.
	AfterNS Opt[uint64] `json:"after_ns,omitzero"`
	// Reaped is set when the OOM reaper finished with the victim's memory;
	// ReaperGaveUp when it tried and could not.
	Reaped       Opt[bool] `json:"reaped,omitzero"`
	ReaperGaveUp Opt[bool] `json:"reaper_gave_up,omitzero"`
	// ReapedAfterNS is the time from the mark to the reaper's end.
	ReapedAfterNS Opt[uint64] `json:"reaped_after_ns,omitzero"`
	// The rest is what the mm still held: at the exit from BPF, after the
	// reaper's pass from the log.
	RSSBytes      Opt[uint64] `json:"rss_bytes,omitzero"`
	AnonRSSBytes  Opt[uint64] `json:"anon_rss_bytes,omitzero"`
	FileRSSBytes  Opt[uint64] `json:"file_rss_bytes,omitzero"`
	ShmemRSSBytes Opt[uint64] `json:"shmem_rss_bytes,omitzero"`
	SwapBytes     Opt[uint64] `json:"swap_bytes,omitzero"`
	// SharedMM are the processes killed along with the victim because they
	// used the same memory (CLONE_VM without CLONE_THREAD).
	SharedMM []SharedProcess `json:"shared_mm,omitempty"`
}

// SharedProcess is a process that died with the victim whose mm it shared.
type SharedProcess struct {
	PID  Opt[int32] `json:"pid,omitzero"`
	Comm string     `json:"comm,omitempty"`
}
