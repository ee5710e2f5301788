package oom

// Names in Limit.Stat: the keys of memory.stat with the suffix "_bytes", as
// mm/memcontrol.c prints them. Every source uses these, whatever its own
// spelling; a counter that is not in bytes (pgfault and the like) stays out.
const (
	LimitAnon             = "anon_bytes"
	LimitFile             = "file_bytes"
	LimitKernel           = "kernel_bytes" // all kernel memory: stacks, page tables, per-CPU, slab, vmalloc, ... (5.18)
	LimitKernelStack      = "kernel_stack_bytes"
	LimitPagetables       = "pagetables_bytes"
	LimitSecPagetables    = "sec_pagetables_bytes" // of KVM and the IOMMU (6.1)
	LimitPercpu           = "percpu_bytes"
	LimitSock             = "sock_bytes" // charged beside LimitKernel, not in it
	LimitVmalloc          = "vmalloc_bytes"
	LimitShmem            = "shmem_bytes" // part of LimitFile
	LimitZswap            = "zswap_bytes" // what zswap holds compressed; part of LimitKernel (5.19)
	LimitZswapped         = "zswapped_bytes"
	LimitFileMapped       = "file_mapped_bytes"
	LimitFileDirty        = "file_dirty_bytes"
	LimitFileWriteback    = "file_writeback_bytes"
	LimitSwapcached       = "swapcached_bytes"
	LimitAnonTHP          = "anon_thp_bytes"
	LimitInactiveAnon     = "inactive_anon_bytes"
	LimitActiveAnon       = "active_anon_bytes"
	LimitInactiveFile     = "inactive_file_bytes"
	LimitActiveFile       = "active_file_bytes"
	LimitUnevictable      = "unevictable_bytes"
	LimitSlabReclaimable  = "slab_reclaimable_bytes"
	LimitSlabUnrecl       = "slab_unreclaimable_bytes"
	LimitSlab             = "slab_bytes"
	LimitHugetlb          = "hugetlb_bytes"                   // beside LimitAnon and LimitFile; only with memory_hugetlb_accounting (6.13)
	LimitSwap             = "swap_bytes"                      // swapped out, of this cgroup and below; v1 too
	LimitV1Cache          = "cache_bytes"                     // v1: page cache, shmem included
	LimitV1RSS            = "rss_bytes"                       // v1: anonymous memory
	LimitV1MappedFile     = "mapped_file_bytes"               // v1
	LimitV1Dirty          = "dirty_bytes"                     // v1
	LimitV1Writeback      = "writeback_bytes"                 // v1
	LimitV1TotalPrefix    = "total_"                          // v1 with children; a source strips it and drops the plain twin
	LimitV1HierarchicalML = "hierarchical_memory_limit_bytes" // v1
)

// Names in Memory.Stat: the keys of /proc/vmstat without "nr_", in bytes, with
// the suffix "_bytes" (mm/vmstat.c, vmstat_text). The huge-page counters are
// those of /proc/meminfo, summed over all sizes that the source knows.
const (
	StatActiveAnon      = "active_anon_bytes"
	StatInactiveAnon    = "inactive_anon_bytes"
	StatActiveFile      = "active_file_bytes"
	StatInactiveFile    = "inactive_file_bytes"
	StatIsolatedAnon    = "isolated_anon_bytes"
	StatIsolatedFile    = "isolated_file_bytes"
	StatUnevictable     = "unevictable_bytes"
	StatMlocked         = "mlocked_bytes"
	StatFilePages       = "file_pages_bytes" // page cache, shmem and swap cache included
	StatFileDirty       = "file_dirty_bytes"
	StatFileWriteback   = "file_writeback_bytes"
	StatShmem           = "shmem_bytes"
	StatMapped          = "mapped_bytes"
	StatSlabReclaimable = "slab_reclaimable_bytes"
	StatSlabUnrecl      = "slab_unreclaimable_bytes"
	StatKernelStack     = "kernel_stack_bytes"
	StatPageTable       = "page_table_bytes" // nr_page_table_pages
	StatSecPageTable    = "sec_page_table_bytes"
	StatPercpu          = "percpu_bytes"  // meminfo's Percpu
	StatVmalloc         = "vmalloc_bytes" // meminfo's VmallocUsed; kernel stacks included
	StatZspages         = "zspages_bytes" // what zram and zswap keep compressed (zsmalloc)
	StatBounce          = "bounce_bytes"
	StatBalloon         = "balloon_pages_bytes"
	StatGPUActive       = "gpu_active_bytes"              // what GPU drivers use
	StatGPUReclaim      = "gpu_reclaim_bytes"             // what they keep for use again, and drop
	StatKernelMisc      = "kernel_misc_reclaimable_bytes" // pools of drivers that the kernel can drop
	StatFreePCP         = "free_pcp_bytes"                // free pages of the CPUs, not among the free ones
	StatHWPoisoned      = "hwpoisoned_bytes"
	StatReserved        = "reserved_bytes" // present, but not in the total; of a kernel log, from 256 MiB on
	StatFreeCMA         = "free_cma_bytes"
	StatHugepagesTotal  = "hugepages_total_bytes"
	StatHugepagesFree   = "hugepages_free_bytes" // reserved and unused ones included
	StatHugepagesRsvd   = "hugepages_rsvd_bytes"
	StatHugepagesSurp   = "hugepages_surp_bytes"
)
