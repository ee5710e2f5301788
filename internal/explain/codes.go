package explain

// Code is one stable code of a reason or a verdict.
type Code struct {
	Name string
	// Meaning is one line.
	Meaning string
	// Check is the next step where the verdict is unsure; empty where it never is.
	Check string
}

// The codes. They are part of the public contract: a code keeps its meaning.
const (
	codeLimitAnon       = "limit_anon"
	codeLimitShmem      = "limit_shmem"
	codeLimitDirty      = "limit_dirty"
	codeLimitFile       = "limit_file"
	codeLimitKernel     = "limit_kernel"
	codeLimitHugetlb    = "limit_hugetlb"
	codeLimitAlso       = "limit_also"
	codeLimitFull       = "limit_full"
	codeLimitAncestor   = "limit_ancestor"
	codeLimitLowered    = "limit_lowered"
	codeLimitNoTask     = "limit_no_task"
	codeSwapNone        = "swap_none"
	codeSwapFull        = "swap_full"
	codeSwapIdle        = "swap_idle"
	codeSwapForbidden   = "swap_forbidden"
	codeSwapCgroupFull  = "swap_cgroup_full"
	codeSwapSwappiness  = "swap_swappiness_zero"
	codeSwapMlocked     = "swap_mlocked"
	codeSwapUnevictable = "swap_unevictable"
	codeSwapTooSlow     = "swap_too_slow"
	codeSwapUnexplained = "swap_unexplained"
	codeSwapoff         = "swapoff"
	codeKubeletNoSwap   = "kubelet_no_swap"
	codeKubeletQoS      = "kubelet_qos_no_swap"
	codeKubeletRequest  = "kubelet_request_no_swap"
	codeKubeletLimited  = "kubelet_limited_swap"
	codeKubeletUnsure   = "kubelet_unsure"
	codeMemoryLow       = "memory_free_low"
	codeNotShort        = "memory_not_short"
	codeMinTTL          = "memory_min_ttl"
	codeMemoryKernel    = "memory_kernel"
	codeMemoryMissing   = "memory_missing"
	codeMemoryBalloon   = "memory_balloon"
	codeMemoryShmem     = "memory_shmem"
	codeMemoryDirty     = "memory_dirty"
	codeMemoryZram      = "memory_zram"
	codeMemoryHugepages = "memory_hugepages"
	codeHugepagesUsed   = "memory_hugepages_used"
	codeTHP             = "thp"
	codeMemoryProtected = "memory_protected"
	codeMemoryFragments = "memory_fragmented"
	codeNodeCpuset      = "node_cpuset"
	codeNodeMempolicy   = "node_mempolicy"
	codeNodeZone        = "node_zone"
	codeManyTasks       = "many_small_tasks"
	codeHolder          = "holder"
	codeGrewBurst       = "grew_burst"
	codeGrewLeak        = "grew_leak"
	codeGrewSteps       = "grew_steps"
	codeGrewSawtooth    = "grew_sawtooth"
	codeGrewNew         = "grew_new_process"
	codeFullForLong     = "full_for_long"
	codeVictimAdj       = "victim_adj"
	codeVictimTrigger   = "victim_allocating_task"
	codeVictimSmall     = "victim_small"
	codeVictimGroup     = "victim_oom_group"
	codeVictimOrigin    = "victim_oom_origin"
	codeSysrq           = "sysrq"
	codeAlreadyExiting  = "already_exiting"
	codeNoVictim        = "no_victim"
	codePanic           = "panic"
	codeCut             = "oom_cut"
	codeKilledByManager = "killed_by_manager"
	codeKilledByUser    = "killed_by_user"
	codeKilledByRuntime = "killed_by_runtime"
	codeKilledByKernel  = "killed_by_kernel"
	codeKilledWith      = "killed_with"
	codeMemoryWasShort  = "sigkill_memory_short"
	codeMemoryWasFree   = "sigkill_memory_not_short"
	codeExitGone        = "exit_gone"
	codeExitReaped      = "exit_reaped"
	codeExitGaveUp      = "exit_reaper_gave_up"
	codeExitSlow        = "exit_slow"
	codeLost            = "lost"
	codeUnknown         = "unknown"
)

// checkOf is the next step for a code that is unsure.
func checkOf(code string) string {
	for _, c := range Codes() {
		if c.Name == code {
			return c.Check
		}
	}
	return ""
}

// checkSwap is the next step where the state of swap is in doubt.
const checkSwap = "swapon --show and grep VmSwap /proc/*/status; trace with BPF for swap's state at the kill"

// Codes returns every code with its meaning, in the order of docs/why.md.
func Codes() []Code {
	const stat = "memory.stat of the cgroup at its limit: anon, file, shmem, kernel, sock"
	return []Code{
		{codeLimitAnon, "a cgroup's limit is used up, mostly by anonymous memory", stat},
		{codeLimitShmem, "a cgroup's limit is used up, mostly by tmpfs or shared memory", stat},
		{codeLimitDirty, "a cgroup's limit is used up, mostly by page cache that waits to be written", "file_dirty and file_writeback in memory.stat of the cgroup; iostat -x 1"},
		{codeLimitFile, "a cgroup's limit is used up, mostly by page cache that is not dirty", "file_mapped, active_file, unevictable and workingset_refault_file in memory.stat of the cgroup"},
		{codeLimitKernel, "a cgroup's limit is used up, mostly by kernel memory: slab, sockets, page tables, stacks", "slab, sock, pagetables and kernel_stack in memory.stat of the cgroup; ss -m; slabtop"},
		{codeLimitHugetlb, "a cgroup's limit is used up, mostly by huge pages (hugetlb)", "hugetlb in memory.stat of the cgroup; grep HugetlbPages /proc/*/status"},
		{codeLimitAlso, "another kind of memory holds a quarter or more of the limit", ""},
		{codeLimitFull, "a cgroup's limit is used up, and no one kind of memory holds most of it", stat},
		{codeLimitAncestor, "the limit is that of a cgroup above the victim's own", "memory.current of each cgroup below the one at its limit"},
		{codeLimitLowered, "the limit was lowered below what is in use", "what sets the limit: kubelet (in-place resize, VPA), systemctl set-property, docker update"},
		{codeLimitNoTask, "much of the memory at the limit belongs to no process that could be killed", ""},
		{codeSwapNone, "no swap is configured", checkSwap},
		{codeSwapFull, "swap is used up", checkSwap},
		{codeSwapIdle, "swap was free", ""},
		{codeSwapForbidden, "the cgroup may not swap", "memory.swap.max of the cgroups that hold the most memory"},
		{codeSwapCgroupFull, "the cgroup has used up the swap it may use", "memory.swap.current and memory.swap.max of the cgroups that hold the most memory"},
		{codeSwapSwappiness, "swap was free, but swappiness is 0", "sysctl vm.swappiness; cat /sys/kernel/mm/lru_gen/enabled; grep VmLck /proc/*/status"},
		{codeSwapMlocked, "the memory is locked with mlock, and swap cannot take it", "grep VmLck /proc/*/status; grep -E 'Mlocked|Unevictable' /proc/meminfo"},
		{codeSwapUnevictable, "the memory is unevictable, and swap cannot take it", "findmnt -t ramfs; grep VmLck /proc/*/status; ipcs -m"},
		{codeSwapTooSlow, "swap was free and in use, but reclaim did not free memory in time", "vmstat 1 (so), iostat -x 1, cat /proc/pressure/memory while it runs short"},
		{codeSwapUnexplained, "swap was free, and the record does not show why it was not used", "memory.swap.max of the cgroups that hold the most memory; sysctl vm.swappiness; grep -E 'VmLck|VmPin' /proc/*/status; oomtrace check, for what this machine hides"},
		{codeSwapoff, "swap is being turned off", checkSwap},
		{codeKubeletNoSwap, "kubelet runs with NoSwap: pods may not swap", ""},
		{codeKubeletQoS, "kubelet gives no swap to pods of this QoS class", ""},
		{codeKubeletRequest, "kubelet gives no swap to a container with this memory request", ""},
		{codeKubeletLimited, "kubelet's LimitedSwap set the size of the swap share", ""},
		{codeKubeletUnsure, "kubelet forbids the pod to swap, by a rule that the record does not show", ""},
		{codeMemoryLow, "the machine has no free memory above its watermarks", checkSwap + "; grep -E 'dirty|writeback|refault_file' /proc/vmstat"},
		{codeNotShort, "memory was free above the watermarks: the machine was not short of it", "trigger.kernel_stack: a page fault may fail for want of a cgroup's charge or in a driver; dmesg just before"},
		{codeMinTTL, "kswapd asked for the kill: min_ttl_ms keeps what was used lately from reclaim", "cat /sys/kernel/mm/lru_gen/min_ttl_ms"},
		{codeMemoryKernel, "much memory is the kernel's: as a verdict, most, and swap cannot take it", "slabtop -o; grep -E 'SUnreclaim|KernelStack|PageTables|Percpu' /proc/meminfo"},
		{codeMemoryMissing, "much memory is in none of the kernel's statistics", "ss -m; zramctl; grep -i -E 'Huge|Vmalloc|Percpu|Balloon' /proc/meminfo; the hypervisor's balloon; /proc/vmallocinfo; grep ^size /proc/spl/kstat/zfs/arcstats"},
		{codeMemoryBalloon, "the hypervisor's balloon has taken much of the memory, or it was reserved or taken offline", "grep -i Balloon /proc/meminfo; vmware-toolbox-cmd stat balloon; virsh dommemstat"},
		{codeMemoryShmem, "much memory is tmpfs or shared memory", ""},
		{codeMemoryDirty, "much memory is page cache that waits to be written", ""},
		{codeMemoryZram, "much memory holds swap itself: zram or zswap", "zramctl; grep -r . /sys/kernel/debug/zswap"},
		{codeMemoryHugepages, "huge pages are set aside and not in use", "grep Huge /proc/meminfo; grep HugetlbPages /proc/*/status"},
		{codeHugepagesUsed, "huge pages (hugetlb) in use or reserved hold the memory", "grep HugetlbPages /proc/*/status"},
		{codeTHP, "transparent huge pages hold much of the memory", ""},
		{codeMemoryProtected, "memory.min or memory.low keeps much of the memory from reclaim", "grep -r . /sys/fs/cgroup --include=memory.min; vmstat 1 (so)"},
		{codeMemoryFragments, "memory is free, but not in blocks of the size asked for", "cat /proc/buddyinfo /proc/pagetypeinfo"},
		{codeNodeCpuset, "the nodes that the cpuset allows are short while the machine has free memory", "cpuset.mems.effective of the cgroup; numactl -H"},
		{codeNodeMempolicy, "the nodes that the memory policy allows are short while the machine has free memory", "grep -o 'bind[^ ]*' /proc/PID/numa_maps; numactl -H"},
		{codeNodeZone, "the zones that the allocation can use are short while the machine has free memory", "grep -E 'Node|free |high ' /proc/zoneinfo"},
		{codeManyTasks, "many small tasks hold the memory, not a big one", "ps -eo comm,rss --sort comm; systemd-cgtop -m"},
		{codeHolder, "who holds the most of the memory", ""},
		{codeGrewBurst, "memory grew in a burst just before the kill", ""},
		{codeGrewLeak, "memory grew steadily for long: a leak", ""},
		{codeGrewSteps, "memory grew in steps", ""},
		{codeGrewSawtooth, "memory rose and fell, and the last rise met the limit", ""},
		{codeGrewNew, "what grew is a process, or a whole cgroup, that had just started", ""},
		{codeFullForLong, "the limit had been used up for long", ""},
		{codeVictimAdj, "a bigger task was spared for its lower oom_score_adj", ""},
		{codeVictimTrigger, "vm.oom_kill_allocating_task: the task that asked was killed", ""},
		{codeVictimSmall, "the kill may free little: what it releases is small", ""},
		{codeVictimGroup, "memory.oom.group: the processes of the cgroup are killed together", ""},
		{codeVictimOrigin, "the task that takes memory out of swap or KSM is killed first", ""},
		{codeSysrq, "the kill was triggered with SysRq-f", ""},
		{codeAlreadyExiting, "the task was exiting already; it was marked, not killed", ""},
		{codeNoVictim, "the kernel found no killable process", ""},
		{codePanic, "the kernel panicked instead of killing", ""},
		{codeCut, "an OOM began, and the log does not hold how it ended", ""},
		{codeKilledByManager, "a memory manager in user space sent SIGKILL", ""},
		{codeKilledByUser, "a process sent SIGKILL", "the sender's parents; journalctl or the audit log of that second"},
		{codeKilledByRuntime, "a container runtime or systemd sent SIGKILL", ""},
		{codeKilledByKernel, "the kernel sent SIGKILL, for a reason that is not memory", "dmesg of that second: seccomp, RLIMIT_CPU, a hung task"},
		{codeKilledWith, "it died with another process: of its pid namespace, its memory, its cgroup", ""},
		{codeMemoryWasShort, "at a SIGKILL: memory was short", ""},
		{codeMemoryWasFree, "at a SIGKILL: memory was not short", ""},
		{codeExitGone, "the victim has exited", ""},
		{codeExitReaped, "the OOM reaper has freed the victim's memory", ""},
		{codeExitGaveUp, "the OOM reaper could not free the victim's memory", ""},
		{codeExitSlow, "the victim took 5 s or more to exit", ""},
		{codeLost, "records, or lines of the kernel log, were lost here", ""},
		{codeUnknown, "the record does not hold enough to say why", "the whole report in the kernel log; trace with BPF: sudo oomtrace"},
	}
}
