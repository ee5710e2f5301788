/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire contract between the BPF programs and internal/wire.
 *
 * Every ring record starts with struct event_header. A victim record is struct
 * victim_event followed by a tail: bytes that its spans point into, so that a
 * record is only as long as what it carries.
 *
 * A number that is not known is UNKNOWN (all ones), since 0 is a fact.
 * Pages are the kernel's own (PAGE_SIZE); user space turns them into bytes.
 * No bitfields, explicit padding, sizes a multiple of 8.
 */
#ifndef OOMTRACE_EVENT_H
#define OOMTRACE_EVENT_H

/* Changes whenever a struct here does: pinned rings outlive their reader. */
#define WIRE_LAYOUT 4

#define UNKNOWN (~0ULL)
#define UNKNOWN32 (~0U)

#define COMM_LEN 16
#define CMDLINE_LEN 256
#define EXE_LEN 1024
#define PATH_LEVELS 16
#define PATH_NAME_LEN 256
#define PATH_LEN (PATH_LEVELS * PATH_NAME_LEN)
#define STACK_DEPTH 64
#define USER_STACK_DEPTH 32
#define MAX_CANDIDATES 32
#define CANDIDATE_SLOTS (MAX_CANDIDATES + 1) /* and the biggest of all */
#define MAX_ZONES 16
#define MAX_ORDER_COUNT 11
#define MAX_ZONE_TYPES 5
#define ZONE_NAME_LEN 16
#define MAX_NODES 64
#define MAX_HUGE_SIZES 8
#define BUILD_ID_LEN 20
#define TAIL_LEN 32768
#define SIGKILL_TAIL_LEN 12288
#define MAX_PARENTS 8

enum event_type {
	EVENT_VICTIM = 1,
	EVENT_NO_VICTIM = 2,
	EVENT_EXIT = 3,
	EVENT_CGROUP = 4,
	EVENT_SHARED_MM = 5,
	EVENT_SIGKILL = 6,
};

/* which programs contributed to a victim record */
enum hook_bit {
	HOOK_OUT_OF_MEMORY = 1 << 0,
	HOOK_OOM_KILL_PROCESS = 1 << 1,
	HOOK_KILL_VICTIM = 1 << 2, /* __oom_kill_process */
	HOOK_EVALUATE_TASK = 1 << 3,
	HOOK_MARK_VICTIM = 1 << 4,
};

enum task_flag {
	TASK_CGROUP_CUT = 1 << 0,   /* more levels than PATH_LEVELS */
	TASK_CMDLINE_CUT = 1 << 1,  /* more than CMDLINE_LEN bytes */
	TASK_EXE_CUT = 1 << 2,
	TASK_CGROUP_V2 = 1 << 3,    /* the memory controller is on the v2 hierarchy */
};

/* Counts of the map counters, which outlives its reader as the ring does. */
enum counter {
	COUNTER_VICTIMS,        /* mark_victim fired */
	COUNTER_LOST,           /* victim records that found the ring full */
	COUNTER_LOST_EXIT,      /* exit and shared-mm records, likewise, and victims not followed */
	COUNTER_LOST_CGROUP,    /* notices of new cgroups */
	COUNTER_LOST_NO_VICTIM, /* no_victim records, likewise */
	COUNTER_NO_VICTIM,      /* OOMs that found no process to kill */
	COUNTER_REPEATED,       /* those of them that were only counted */
	COUNTER_UNREADABLE,     /* records that user space could not decode: it counts them */
	COUNTER_LOST_SIGKILL,   /* records of other SIGKILLs that found their half of the ring full */
	COUNTER_COUNT,
};

/* What user space keeps of each counter, beside the ring for the next reader. */
struct ledger_entry {
	u64 told;      /* of the losses, those reported in a lost record */
	u64 inherited; /* to add to the count: from sets of pins that this one replaced */
};

struct event_header {
	u16 layout;   /* WIRE_LAYOUT */
	u16 type;     /* enum event_type */
	u32 size;     /* bytes of this record, header and tail included */
	u64 boot_ns;  /* bpf_ktime_get_boot_ns: CLOCK_BOOTTIME */
	u64 mono_ns;  /* bpf_ktime_get_ns: CLOCK_MONOTONIC, near printk's clock */
	u64 incident_ns; /* CLOCK_BOOTTIME when the OOM began: the same for all its victims */
};

/* bytes tail[off .. off+len) */
struct span {
	u16 off;
	u16 len;
};

struct task_info {
	s32 tgid;              /* process id */
	s32 tid;               /* task_struct.pid */
	s32 ppid;              /* real_parent's tgid */
	s32 ns_tgid;           /* tgid in its innermost pid namespace */
	u32 uid;               /* real_cred->uid, initial user namespace */
	s32 oom_score_adj;     /* signal->oom_score_adj, -1000..1000 */
	u64 start_boot_ns;     /* leader's start_boottime */
	u64 cgroup_id;         /* kernfs id of the memory cgroup */
	u32 flags;             /* enum task_flag */
	u32 valid;             /* 1 when the task could be read */
	struct span cgroup;    /* names leaf first, each NUL terminated */
	struct span cmdline;   /* arguments, each NUL terminated */
	struct span exe;       /* names leaf first, each NUL terminated */
	u32 pad;
	u8 comm[COMM_LEN];     /* task_struct.comm, NUL padded */
};

/* All in pages but pgtables; each is the exact sum over the CPUs. */
struct mm_info {
	u64 total_vm_pages;
	u64 file_pages;
	u64 anon_pages;
	u64 swap_pages;
	u64 shmem_pages;
	u64 locked_vm_pages;
	u64 pgtables_bytes;
	u64 rss_count_pages;   /* file+anon+shmem by .count alone: what 6.2 to 6.18 log */
};

enum decision_valid {
	DECISION_UNKNOWN = 0,
	DECISION_MADE = 1,     /* all fields, as the kernel weighed or killed by them */
	DECISION_ASKED = 2,    /* gfp_mask and order alone: nothing was decided yet */
};

struct decision_info {
	u32 gfp_mask;
	s32 order;             /* -1: sysrq-f */
	u32 constraint;        /* enum oom_constraint */
	u32 valid;             /* enum decision_valid */
	u64 total_pages;       /* oom_control.totalpages: the domain */
	s64 chosen_points;     /* pages */
	s32 chosen_tid;
	u32 pad;
	u64 boot_ns;           /* when the decision was seen */
	u64 nodemask;          /* nodes 0 to 63 of oom_control.nodemask; UNKNOWN: no mask */
	u64 mems_allowed;      /* nodes 0 to 63 of the trigger's task_struct.mems_allowed */
};

enum memcg_flag {
	MEMCG_V2 = 1 << 0,
	MEMCG_OOM_GROUP = 1 << 1,
	MEMCG_CUT = 1 << 2,
};

/* One cgroup's page counters, in pages; PAGE_COUNTER_MAX means no limit. */
struct memcg_info {
	u64 id;                /* kernfs id */
	u64 usage_pages;
	u64 max_pages;
	u64 high_pages;
	u64 failures;
	u64 swap_usage_pages;  /* v2: swap; v1: memory+swap */
	u64 swap_max_pages;
	u64 kmem_usage_pages;
	u64 kmem_max_pages;
	u64 min_pages;         /* memory.min, 0 for none */
	u64 low_pages;         /* memory.low */
	u64 children_min_pages; /* usage of the cgroups below that their memory.min protects */
	u64 children_low_pages; /* the same of memory.low */
	u32 flags;             /* enum memcg_flag */
	u32 swappiness;        /* v1 only */
};

/* memory.stat of the cgroup at its limit; bytes; the index is MEMCG_STAT_* */
enum memcg_stat {
	MEMCG_STAT_ANON,
	MEMCG_STAT_FILE,
	MEMCG_STAT_KERNEL,
	MEMCG_STAT_KERNEL_STACK,
	MEMCG_STAT_PAGETABLES,
	MEMCG_STAT_PERCPU,
	MEMCG_STAT_SOCK,
	MEMCG_STAT_VMALLOC,
	MEMCG_STAT_SHMEM,
	MEMCG_STAT_FILE_MAPPED,
	MEMCG_STAT_FILE_DIRTY,
	MEMCG_STAT_FILE_WRITEBACK,
	MEMCG_STAT_SWAPCACHED,
	MEMCG_STAT_INACTIVE_ANON,
	MEMCG_STAT_ACTIVE_ANON,
	MEMCG_STAT_INACTIVE_FILE,
	MEMCG_STAT_ACTIVE_FILE,
	MEMCG_STAT_UNEVICTABLE,
	MEMCG_STAT_SLAB_RECLAIMABLE,
	MEMCG_STAT_SLAB_UNRECLAIMABLE,
	MEMCG_STAT_SWAP,
	MEMCG_STAT_ANON_THP,
	MEMCG_STAT_SEC_PAGETABLES,
	MEMCG_STAT_ZSWAP,
	MEMCG_STAT_ZSWAPPED,
	MEMCG_STAT_HUGETLB,
	MEMCG_STAT_COUNT,
};

/* the machine's counters, bytes; the index is VM_STAT_* */
enum vm_stat {
	VM_STAT_ACTIVE_ANON,
	VM_STAT_INACTIVE_ANON,
	VM_STAT_ACTIVE_FILE,
	VM_STAT_INACTIVE_FILE,
	VM_STAT_UNEVICTABLE,
	VM_STAT_MLOCKED,
	VM_STAT_FILE_DIRTY,
	VM_STAT_FILE_WRITEBACK,
	VM_STAT_SHMEM,
	VM_STAT_MAPPED,
	VM_STAT_SLAB_RECLAIMABLE,
	VM_STAT_SLAB_UNRECLAIMABLE,
	VM_STAT_KERNEL_STACK,
	VM_STAT_PAGE_TABLE,
	VM_STAT_FREE_CMA,
	VM_STAT_FILE_PAGES,
	VM_STAT_ISOLATED_ANON,
	VM_STAT_ISOLATED_FILE,
	VM_STAT_ZSPAGES,
	VM_STAT_SEC_PAGE_TABLE,
	VM_STAT_KERNEL_MISC_RECLAIMABLE,
	VM_STAT_BALLOON_PAGES,
	VM_STAT_GPU_ACTIVE,
	VM_STAT_GPU_RECLAIM,
	/* of all sizes: struct hstate */
	VM_STAT_HUGEPAGES_TOTAL,
	VM_STAT_HUGEPAGES_FREE,
	VM_STAT_HUGEPAGES_RSVD,
	VM_STAT_HUGEPAGES_SURP,
	VM_STAT_COUNT,
};

struct memory_info {
	u64 managed_pages;     /* sum over the zones read */
	u64 total_pages;       /* _totalram_pages */
	u64 free_pages;        /* sum of the zones' NR_FREE_PAGES */
	u64 swap_total_pages;  /* total_swap_pages */
	u64 swap_free_pages;   /* nr_swap_pages, 0 where it is below */
	u64 swap_cache_pages;
	u32 swappiness;        /* vm_swappiness */
	u32 kill_allocating_task;
	u32 nodes;             /* NUMA nodes read */
	u32 zones_cut;         /* zones that did not fit */
	u64 stat[VM_STAT_COUNT]; /* bytes */
};

struct zone_info {
	s32 node;
	u32 pad;
	u8 name[ZONE_NAME_LEN];
	u64 free_pages;
	u64 min_pages;
	u64 low_pages;
	u64 high_pages;
	u64 managed_pages;
	u64 lowmem_reserve_pages[MAX_ZONE_TYPES];
	u64 free_blocks[MAX_ORDER_COUNT]; /* by order */
};

struct candidate_info {
	s32 tgid;
	s32 tid;
	u32 uid;
	s32 oom_score_adj;
	s64 points;            /* pages, as oom_badness reckons */
	u64 cgroup_id;
	struct mm_info mm;
	u8 comm[COMM_LEN];
};

/* What bpf_get_stack() gives with BPF_F_USER_BUILD_ID: struct bpf_stack_build_id. */
struct user_frame {
	s32 status;                /* enum bpf_stack_build_id_status: 1 valid, 2 address only */
	u8 build_id[BUILD_ID_LEN]; /* of the file mapped there */
	u64 offset;                /* in the file; the address where there is no build id */
};

struct victim_event {
	struct event_header hdr;
	u32 hooks;             /* enum hook_bit */
	u32 killed;            /* 1 killed, 0 marked only, 2 not known */
	s32 mark_tid;          /* what mark_victim named */
	u32 candidates_total;  /* tasks with memory that were weighed */
	u64 repeats;           /* no_victim: the like of it that were not sent since the last one */
	struct task_info victim;
	struct mm_info mm;
	struct task_info trigger;
	struct decision_info decision;
	struct memcg_info limit;  /* id UNKNOWN: no cgroup at its limit, or not known */
	u64 limit_stat[MEMCG_STAT_COUNT]; /* bytes */
	struct memory_info memory;
	struct span limit_path;
	struct span chain;        /* struct memcg_info[], the victim's own first */
	struct span zones;        /* struct zone_info[] */
	struct span candidates;   /* struct candidate_info[], any order */
	struct span kernel_stack; /* u64[], innermost first */
	struct span user_stack;   /* u64[] of the trigger */
	struct span user_frames;  /* struct user_frame[], the same frames */
	u32 pad;
	u64 candidates_pages;     /* rss, swap and page tables of all that were weighed */
};

enum reap_result {
	REAP_NONE = 0,    /* no reaper came */
	REAP_STARTED = 1, /* a round is under way */
	REAP_DONE = 2,    /* all was reaped that can be */
	REAP_UNSURE = 3,  /* a round ended; it may have left something */
	REAP_BUSY = 4,    /* the mm was locked */
	REAP_NEEDLESS = 5, /* the mm was reaped or torn down before */
};

struct exit_event {
	struct event_header hdr;
	s32 tgid;
	s32 tid;
	u64 marked_boot_ns;
	u64 start_boot_ns;      /* the process's start_boottime */
	u64 reap_end_boot_ns;   /* end of the reaper's last round that reaped; 0: none did */
	u32 reap_starts;        /* the OOM reaper's rounds that began to reap */
	u32 reap_finishes;      /* those that ended */
	u32 reap_skips;         /* rounds that could not, or had nothing to do */
	u32 reap_last;          /* enum reap_result of the last round */
	struct mm_info mm;      /* what the mm still held */
	u8 comm[COMM_LEN];
};

/* a process killed along with the victim since it used the same mm */
struct shared_mm_event {
	struct event_header hdr;
	s32 tgid;
	s32 victim_tgid;
	u8 comm[COMM_LEN];
};

/* how a SIGKILL was sent: the second argument of signal_generate (include/linux/signal.h) */
enum sigkill_info {
	SIGKILL_INFO_NONE = 0,   /* SEND_SIG_NOINFO: by the kernel, on behalf of current */
	SIGKILL_INFO_KERNEL = 1, /* SEND_SIG_PRIV: by the kernel itself */
	SIGKILL_INFO_SENDER = 2, /* a siginfo: kill(2) and its kin */
};

enum sender_flag {
	SENDER_EXITING = 1 << 0,   /* PF_EXITING: it sends as it dies */
	SENDER_NS_INIT = 1 << 1,   /* the init of a pid namespace below the first one */
	SENDER_VICTIM = 1 << 2,    /* a victim of the OOM killer, not exited yet */
	SENDER_KTHREAD = 1 << 3,   /* PF_KTHREAD */
	SENDER_SELF = 1 << 4,      /* the process itself */
	SENDER_PTRACER = 1 << 6,   /* traces the target (PTRACE_KILL, PTRACE_O_EXITKILL) */
	SENDER_OOM_KILLER = 1 << 5, /* the task that runs the OOM killer: the target shares a victim's mm */
	SENDER_FORKING = 1 << 7,   /* the target is not woken yet: it was forked into a cgroup that is killed */
};

struct parent_info {
	s32 tgid;
	u32 pad;
	u8 comm[COMM_LEN];
};

/*
 * A SIGKILL that the OOM killer did not choose its target for, when it was
 * delivered. hdr.incident_ns is that of the OOM kill it follows from, 0 for none.
 */
struct sigkill_event {
	struct event_header hdr;
	s32 code;              /* si_code; SI_USER where there is no siginfo */
	u32 info;              /* enum sigkill_info */
	u32 group;             /* 1: to the process, 0: to one thread of it */
	u32 sender_flags;      /* enum sender_flag */
	struct task_info victim;
	struct mm_info mm;
	struct task_info sender; /* the task that ran when the signal was sent */
	struct span chain;     /* struct memcg_info[], the victim's own first */
	u32 parents;           /* entries of parent in use */
	struct parent_info parent[MAX_PARENTS]; /* of the sender, innermost first */
};

struct cgroup_event {
	struct event_header hdr;
	u64 id;                 /* kernfs id */
	u32 len;
	u32 pad;
	u8 path[512];           /* as the tracepoint prints it, NUL terminated */
};

#endif
