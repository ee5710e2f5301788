package explain

// Code is one stable code of a reason or a verdict.
type Code struct {
	Name string
	// Meaning is one line.
	Meaning string
}

// The codes. They are part of the public contract: a code keeps its meaning.
const (
	codeLimitAnon       = "limit_anon"
	codeLimitShmem      = "limit_shmem"
	codeLimitDirty      = "limit_dirty"
	codeLimitFile       = "limit_file"
	codeLimitKernel     = "limit_kernel"
	codeLimitFull       = "limit_full"
	codeLimitAncestor   = "limit_ancestor"
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
	codeKubeletNoSwap   = "kubelet_no_swap"
	codeKubeletQoS      = "kubelet_qos_no_swap"
	codeKubeletRequest  = "kubelet_request_no_swap"
	codeKubeletLimited  = "kubelet_limited_swap"
	codeKubeletUnsure   = "kubelet_unsure"
	codeMemoryLow       = "memory_free_low"
	codeMemoryKernel    = "memory_kernel"
	codeMemoryMissing   = "memory_missing"
	codeMemoryShmem     = "memory_shmem"
	codeMemoryZram      = "memory_zram"
	codeMemoryHugepages = "memory_hugepages"
	codeMemoryFragments = "memory_fragmented"
	codeNodeCpuset      = "node_cpuset"
	codeNodeMempolicy   = "node_mempolicy"
	codeNodeZone        = "node_zone"
	codeManyTasks       = "many_small_tasks"
	codeVictimAdj       = "victim_adj"
	codeVictimTrigger   = "victim_allocating_task"
	codeVictimSmall     = "victim_small"
	codeVictimGroup     = "victim_oom_group"
	codeVictimOrigin    = "victim_oom_origin"
	codeSysrq           = "sysrq"
	codeAlreadyExiting  = "already_exiting"
	codeNoVictim        = "no_victim"
	codeExitGone        = "exit_gone"
	codeExitReaped      = "exit_reaped"
	codeExitGaveUp      = "exit_reaper_gave_up"
	codeExitSlow        = "exit_slow"
	codeLost            = "lost"
	codeUnknown         = "unknown"
)

// Codes returns every code with its meaning, in the order of docs/why.md.
func Codes() []Code {
	return []Code{
		{codeLimitAnon, "a cgroup's limit is used up, mostly by anonymous memory"},
		{codeLimitShmem, "a cgroup's limit is used up, mostly by tmpfs or shared memory"},
		{codeLimitDirty, "a cgroup's limit is used up, mostly by page cache that waits to be written"},
		{codeLimitFile, "a cgroup's limit is used up, mostly by page cache that is not dirty"},
		{codeLimitKernel, "a cgroup's limit is used up, mostly by kernel memory: slab, sockets, page tables, stacks"},
		{codeLimitFull, "a cgroup's limit is used up, and no one kind of memory holds most of it"},
		{codeLimitAncestor, "the limit is that of a cgroup above the victim's own"},
		{codeSwapNone, "no swap is configured"},
		{codeSwapFull, "swap is used up"},
		{codeSwapIdle, "swap was free"},
		{codeSwapForbidden, "the cgroup may not swap"},
		{codeSwapCgroupFull, "the cgroup has used up the swap it may use"},
		{codeSwapSwappiness, "swap was free, but swappiness is 0"},
		{codeSwapMlocked, "swap was free, but the memory is locked with mlock"},
		{codeSwapUnevictable, "swap was free, but the memory is unevictable"},
		{codeSwapTooSlow, "swap was free and in use, but reclaim did not free memory in time"},
		{codeSwapUnexplained, "swap was free, and the record does not show why it was not used"},
		{codeKubeletNoSwap, "kubelet runs with NoSwap: pods may not swap"},
		{codeKubeletQoS, "kubelet gives no swap to pods of this QoS class"},
		{codeKubeletRequest, "kubelet gives no swap to a container with this memory request"},
		{codeKubeletLimited, "kubelet's LimitedSwap set the size of the swap share"},
		{codeKubeletUnsure, "kubelet forbids the pod to swap, by a rule that the record does not show"},
		{codeMemoryLow, "the machine has no free memory above its watermarks"},
		{codeMemoryKernel, "most memory is kernel memory, which cannot be swapped"},
		{codeMemoryMissing, "most memory is in none of the kernel's statistics: drivers, a balloon"},
		{codeMemoryShmem, "much memory is tmpfs or shared memory"},
		{codeMemoryZram, "much memory holds swap itself: zram or zswap"},
		{codeMemoryHugepages, "huge pages are set aside and unused"},
		{codeMemoryFragments, "memory is free, but not in blocks of the size asked for"},
		{codeNodeCpuset, "the nodes that the cpuset allows are short while the machine has free memory"},
		{codeNodeMempolicy, "the nodes that the memory policy allows are short while the machine has free memory"},
		{codeNodeZone, "the zones that the allocation can use are short while the machine has free memory"},
		{codeManyTasks, "many small tasks hold the memory, not a big one"},
		{codeVictimAdj, "a bigger task was spared for its lower oom_score_adj"},
		{codeVictimTrigger, "vm.oom_kill_allocating_task: the task that asked was killed"},
		{codeVictimSmall, "the kill may free little: the victim's own memory is small"},
		{codeVictimGroup, "memory.oom.group: all processes of the cgroup are killed"},
		{codeVictimOrigin, "the task that takes memory out of swap or KSM is killed first"},
		{codeSysrq, "a person asked for the kill (sysrq-f)"},
		{codeAlreadyExiting, "the task was dying already; it was marked, not killed"},
		{codeNoVictim, "the kernel found nobody to kill"},
		{codeExitGone, "the victim is gone"},
		{codeExitReaped, "the reaper has taken the victim's memory"},
		{codeExitGaveUp, "the reaper could not take the victim's memory"},
		{codeExitSlow, "the victim took 5 s or more to go"},
		{codeLost, "records were lost here"},
		{codeUnknown, "the record does not hold enough to say why"},
	}
}
