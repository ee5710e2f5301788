/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel types that the BPF programs read: only the members in use, each
 * found in the running kernel through CO-RE. Names after ___ are flavours of
 * the same kernel type (the part after ___ is ignored when relocating).
 * Seen in the BTF of 5.10.223, 6.1.176, 6.12.117, 6.18 and 7.3.4.
 */
#ifndef OOMTRACE_KERNEL_H
#define OOMTRACE_KERNEL_H

typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_RB_AVAIL_DATA = 0, BPF_RB_RING_SIZE = 1 };
enum { BPF_F_USER_STACK = 1U << 8, BPF_F_USER_BUILD_ID = 1U << 11 };
enum { BPF_F_MMAPABLE = 1U << 10 };

/* oom_control.order of a kill asked for by hand (mm/oom_kill.c, is_sysrq_oom) */
#define SYSRQ_ORDER (-1)

/* include/linux/oom.h */
enum oom_constraint {
	CONSTRAINT_NONE,
	CONSTRAINT_CPUSET,
	CONSTRAINT_MEMORY_POLICY,
	CONSTRAINT_MEMCG,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	s64 counter;
} atomic64_t;

typedef struct {
	long counter;
} atomic_long_t;

struct list_head {
	struct list_head *next;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

typedef struct {
	u32 val;
} kuid_t;

struct cred {
	kuid_t uid;
};

/* include/linux/percpu_counter.h: count plus one s32 per CPU */
struct percpu_counter {
	s64 count;
	s32 *counters;
};

struct mm_rss_stat {
	atomic_long_t count[4];
};

struct qstr {
	u32 len;
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
};

struct mm_struct {
	atomic_t mm_users;
	atomic_long_t pgtables_bytes;
	unsigned long total_vm;
	unsigned long locked_vm;
	unsigned long arg_start;
	unsigned long arg_end;
	struct mm_rss_stat rss_stat;
	struct file *exe_file;
	unsigned long flags;
	void *notifier_subscriptions;
};

typedef struct {
	unsigned long __mm_flags[1];
} mm_flags_t;

struct mm_struct___bitmap {
	mm_flags_t flags;
};

struct mm_struct___percpu {
	struct percpu_counter rss_stat[4];
};

struct pid_namespace;

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct hlist_head tasks[4];
	struct upid numbers[1];
};

struct xarray {
	void *xa_head;
};

struct xa_node {
	unsigned char shift;
	void *slots[64];
};

struct idr {
	struct xarray idr_rt;
	unsigned int idr_base;
};

struct pid_namespace {
	struct idr idr;
	unsigned int level;
	struct pid_namespace *parent;
};

struct nsproxy {
	struct pid_namespace *pid_ns_for_children;
};

struct signal_struct {
	atomic_t live;
	struct list_head thread_head;
	short oom_score_adj;
	struct mm_struct *oom_mm;
};

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	u64 id;
	void *priv;
};

struct kernfs_open_file {
	struct kernfs_node *kn;
};

struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
	struct cgroup_subsys_state *subsys[1];
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
	u64 serial_nr;
	unsigned int flags;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
};

/* include/linux/nodemask.h: one bit a node, as many as the kernel may have */
typedef struct {
	unsigned long bits[1];
} nodemask_t;

/* kernel/cgroup/cpuset.c; in kernel/cgroup/cpuset-internal.h since 6.12 */
struct cpuset {
	struct cgroup_subsys_state css;
	nodemask_t effective_mems;
};

struct task_struct {
	unsigned int __state; /* from 5.14 on; state before */
	unsigned int flags;
	int pid;
	int tgid;
	struct mm_struct *mm;
	struct task_struct *real_parent;
	struct task_struct *parent;
	struct list_head children;
	struct list_head sibling;
	unsigned int ptrace;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct hlist_node pid_links[4];
	struct list_head thread_node;
	u64 start_boottime;
	const struct cred *real_cred;
	struct signal_struct *signal;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	nodemask_t mems_allowed;
	char comm[16];
};

/* include/linux/hugetlb.h: one for each size of huge pages */
struct hstate {
	unsigned int order;
	unsigned long nr_huge_pages;
	unsigned long free_huge_pages;
	unsigned long resv_huge_pages;
	unsigned long surplus_huge_pages;
};

struct page_counter {
	atomic_long_t usage;
	unsigned long high;
	unsigned long max;
	unsigned long failcnt;
	unsigned long min;
	unsigned long low;
	atomic_long_t children_min_usage;
	atomic_long_t children_low_usage;
	bool track_failcnt;
	struct page_counter *parent;
};

struct memcg_vmstats {
	long state[1];
};

struct zone {
	unsigned long _watermark[3];
	unsigned long watermark_boost;
	long lowmem_reserve[5];
	struct pglist_data *zone_pgdat;
	atomic_long_t managed_pages;
	const char *name;
	atomic_long_t vm_stat[1];
};

struct free_area {
	unsigned long nr_free;
};

struct zone___areas {
	struct free_area free_area[1];
};

struct zoneref {
	struct zone *zone;
};

struct zonelist {
	struct zoneref _zonerefs[1];
};

struct pglist_data {
	struct zone node_zones[1];
	struct zonelist node_zonelists[1];
	int nr_zones;
	int node_id;
	atomic_long_t vm_stat[1];
};

struct lruvec {
	struct pglist_data *pgdat;
};

struct mem_cgroup_per_node {
	struct lruvec lruvec;
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
	struct page_counter swap;
	struct page_counter kmem;
	bool oom_group;
	int swappiness;
	atomic_long_t memory_events[1];
	atomic_long_t vmstats[1];
	struct memcg_vmstats_percpu *vmstats_percpu;
	struct mem_cgroup_per_node *nodeinfo[1];
};

struct mem_cgroup___vmstats {
	struct memcg_vmstats *vmstats;
};

/* mm/memcontrol.c: what a CPU has charged ahead, for one cgroup or for several */
struct memcg_stock_pcp {
	struct mem_cgroup *cached;
	unsigned int nr_pages;
};

struct memcg_stock_pcp___slots {
	struct mem_cgroup *cached[1];
	u8 nr_pages[1];
};

struct oom_control {
	struct zonelist *zonelist;
	nodemask_t *nodemask;
	struct mem_cgroup *memcg;
	u32 gfp_mask;
	int order;
	unsigned long totalpages;
	struct task_struct *chosen;
	long chosen_points;
	enum oom_constraint constraint;
};

struct kernel_siginfo {
	int si_code;
};

struct trace_entry {
	int pid;
};

/* The pid is the first field after the common ones in either form. */
struct trace_event_raw_mark_victim {
	struct trace_entry ent;
	int pid;
};

/* 72ba14deb40a added the fields, and made the task the raw argument. */
struct trace_event_raw_mark_victim___task {
	u32 uid;
};

#pragma clang attribute pop

/* The values are relocated: those here only have to compile. */
enum bpf_func_id {
	BPF_FUNC_get_current_task_btf = 158,
};

enum cgroup_subsys_id {
	cpuset_cgrp_id = 0,
	memory_cgrp_id = 4,
};

enum node_stat_item {
	NR_INACTIVE_ANON,
	NR_ACTIVE_ANON,
	NR_INACTIVE_FILE,
	NR_ACTIVE_FILE,
	NR_UNEVICTABLE,
	NR_SLAB_RECLAIMABLE_B,
	NR_SLAB_UNRECLAIMABLE_B,
	NR_ANON_MAPPED,
	NR_FILE_MAPPED,
	NR_FILE_PAGES,
	NR_FILE_DIRTY,
	NR_WRITEBACK,
	NR_SHMEM,
	NR_KERNEL_STACK_KB,
	NR_PAGETABLE,
	NR_ANON_THPS,
	NR_SWAPCACHE,
	NR_VMALLOC,
	NR_ISOLATED_ANON,
	NR_ISOLATED_FILE,
	NR_KERNEL_MISC_RECLAIMABLE,
	NR_SECONDARY_PAGETABLE, /* 6.1 */
	NR_HUGETLB,             /* 6.13 */
	NR_BALLOON_PAGES,       /* seen 7.3 */
	NR_GPU_ACTIVE,          /* seen 7.3 */
	NR_GPU_RECLAIM,
};

enum zone_stat_item {
	NR_FREE_PAGES,
	NR_MLOCK,
	NR_FREE_CMA_PAGES,
};

/* NR_PAGETABLE moved from the zones (seen 5.10) to the nodes (seen 6.1). */
enum zone_stat_item___pagetable {
	NR_PAGETABLE___zone,
};

/* NR_ZSPAGES is there where zsmalloc is configured, module or not. */
enum zone_stat_item___zspages {
	NR_ZSPAGES___zone,
};

enum memcg_memory_event {
	MEMCG_MAX = 2,
};

enum memcg_stat_item {
	MEMCG_SWAP,
	MEMCG_SOCK,
	MEMCG_PERCPU_B,
	MEMCG_VMALLOC,
	MEMCG_KMEM,
	MEMCG_ZSWAP_B, /* 5.19 */
	MEMCG_ZSWAPPED,
	MEMCG_NR_STAT,
};

/* include/linux/mm_types_task.h; the order has not changed since 4.5 */
enum {
	MM_FILEPAGES,
	MM_ANONPAGES,
	MM_SWAPENTS,
	MM_SHMEMPAGES,
};

/* include/linux/pid.h, enum pid_type */
enum { PIDTYPE_PID = 0, PIDTYPE_TGID = 1 };

#define PF_EXITING 0x00000004
/* css.flags (include/linux/cgroup-defs.h, since 4.13): set when it is being removed */
#define CSS_DYING (1U << 4)

#define PF_KTHREAD 0x00200000
#define TASK_NEW 0x00000800 /* of __state */
#define MMF_OOM_SKIP 21
#define SIGKILL 9
#define SEND_SIG_NOINFO 0
#define SEND_SIG_PRIV 1
#define SI_USER 0
#define SI_KERNEL 128
#define PF_EXITING 0x00000004
#define TRACE_SIGNAL_DELIVERED 0 /* include/trace/events/signal.h */

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	unsigned long orig_rax, rip, cs, eflags, rsp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
};
#endif

#endif
