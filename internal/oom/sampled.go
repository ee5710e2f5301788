package oom

// Names in Record.Sampled, by which a verdict doubts a number that may be from
// after the kill.
const (
	SampledFree            = "memory.free_bytes"
	SampledAvailable       = "memory.available_bytes"
	SampledPressure        = "memory.pressure"
	SampledCgroupPressure  = "victim.cgroup_pressure"
	SampledTotal           = "memory.total_bytes"
	SampledSwapTotal       = "memory.swap_total_bytes"
	SampledSwapFree        = "memory.swap_free_bytes"
	SampledSwapDevices     = "memory.swap_devices"
	SampledHugepages       = "memory.stat.hugepages"
	SampledPercpu          = "memory.stat.percpu"
	SampledVmalloc         = "memory.stat.vmalloc"
	SampledLRUGen          = "memory.lru_gen"
	SampledSlabCaches      = "memory.slab_caches"
	SampledAllocations     = "memory.allocations"
	SampledSwappiness      = "memory.swappiness"
	SampledAllocatingTask  = "memory.oom_kill_allocating_task"
	SampledCandidateCgroup = "candidates.cgroup"
	SampledUserStack       = "trigger.user_stack"
)
