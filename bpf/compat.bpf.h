/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every difference between kernels, one getter each. BTF decides, never the
 * version: fields are backported. Each getter says where both forms were seen.
 */
#ifndef OOMTRACE_COMPAT_H
#define OOMTRACE_COMPAT_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "event.h"

#define MAX_CPUS 1024

/* Set by the loader before the programs are verified. */
const volatile u32 page_shift = 12;
const volatile u32 nr_cpus = 1;         /* possible CPUs */
const volatile u32 nr_nodes = 1;        /* possible NUMA nodes */
/* Addresses from kallsyms; 0 where the kernel hides data symbols. */
const volatile u64 sym_nr_swap_pages = 0;
const volatile u64 sym_total_swap_pages = 0;
const volatile u64 sym_totalram_pages = 0;
const volatile u64 sym_vm_swappiness = 0;
const volatile u64 sym_kill_allocating_task = 0;
const volatile u64 sym_memcg_stats_index = 0;
const volatile u64 sym_hstates = 0;
const volatile u64 sym_hugetlb_max_hstate = 0;
const volatile u64 sym_per_cpu_offset = 0;

/* What to add to a per-CPU pointer for CPU n; filled by the loader. */
u64 percpu_offsets[MAX_CPUS];
u32 percpu_offsets_known;

#define read_kernel(dst, src) bpf_probe_read_kernel((dst), sizeof(*(dst)), (src))

static __always_inline u64 read_u64_at(u64 address)
{
	u64 value = UNKNOWN;

	if (!address || read_kernel(&value, (void *)address))
		return UNKNOWN;
	return value;
}

/* A counter that may be below zero for a while counts as zero. */
static __always_inline u64 read_count_at(u64 address)
{
	s64 value = 0;

	if (!address || read_kernel(&value, (void *)address))
		return UNKNOWN;
	return value < 0 ? 0 : value;
}

static __always_inline u32 read_u32_at(u64 address)
{
	u32 value = UNKNOWN32;

	if (!address || read_kernel(&value, (void *)address))
		return UNKNOWN32;
	return value;
}

/*
 * A function marked so is verified once, on its own, rather than at each call.
 * It takes numbers only: kernel addresses come as u64 (5.10 knows no pointers
 * there). What a loop carries along lies in memory, so that the verifier sees
 * one and the same state in each round.
 */
#define VERIFIED_ONCE __attribute__((noinline))

/*
 * The sum of a percpu_counter as percpu_counter_sum() makes it. Without the
 * offsets only .count is there, which can be off by batch * CPUs.
 */
VERIFIED_ONCE u64 percpu_counter_total(u64 address)
{
	struct percpu_counter *counter = (struct percpu_counter *)address;
	s64 sum = 0;
	u64 parts = 0;
	u32 cpu;

	if (bpf_core_read(&sum, sizeof(sum), &counter->count))
		return UNKNOWN;
	bpf_core_read(&parts, sizeof(parts), &counter->counters);
	if (!parts || !percpu_offsets_known)
		return sum < 0 ? 0 : sum;
	for (cpu = 0; cpu < MAX_CPUS; cpu++) {
		s32 part = 0;

		if (cpu >= nr_cpus)
			break;
		read_kernel(&part, (void *)(parts + percpu_offsets[cpu]));
		sum += part;
	}
	return sum < 0 ? 0 : sum;
}

/*
 * mm->rss_stat: an array of counts up to 6.1 (seen 5.10, 6.1), percpu_counters
 * since f1a7941243c1 in 6.2 (seen 6.12, 6.18, 7.3).
 */
static __always_inline bool mm_counter_is_percpu(void)
{
	return !bpf_core_field_exists(((struct mm_struct *)0)->rss_stat.count);
}

static __always_inline struct percpu_counter *mm_percpu_counter(struct mm_struct *mm, u32 which)
{
	return (void *)mm + bpf_core_field_offset(struct mm_struct___percpu, rss_stat) +
	       which * bpf_core_type_size(struct percpu_counter);
}

static __always_inline u64 mm_counter(struct mm_struct *mm, u32 which)
{
	long count = 0;

	if (mm_counter_is_percpu())
		return percpu_counter_total((u64)mm_percpu_counter(mm, which));
	if (read_kernel(&count, (void *)mm + bpf_core_field_offset(mm->rss_stat) + which * sizeof(count)))
		return UNKNOWN;
	return count < 0 ? 0 : count;
}

/* The .count alone: cheap, and what 6.2 to 6.18 print in the kill line. */
static __always_inline u64 mm_counter_approximate(struct mm_struct *mm, u32 which)
{
	s64 count = 0;

	if (!mm_counter_is_percpu())
		return mm_counter(mm, which);
	if (bpf_core_read(&count, sizeof(count), &mm_percpu_counter(mm, which)->count))
		return UNKNOWN;
	return count < 0 ? 0 : count;
}

/*
 * Exact on few CPUs. On more, the parts of all CPUs for every task on the
 * machine are too many to read under oom_lock.
 */
#define EXACT_CPUS 8

static __always_inline u64 mm_counter_cheap(struct mm_struct *mm, u32 which)
{
	return nr_cpus <= EXACT_CPUS ? mm_counter(mm, which) : mm_counter_approximate(mm, which);
}

/*
 * task_struct.mems_allowed is there with CONFIG_CPUSETS (seen 5.10 to 7.3). The
 * first 64 nodes are all that is read.
 */
static __always_inline u64 task_mems_allowed(struct task_struct *task)
{
	u64 nodes = UNKNOWN;

	if (!bpf_core_field_exists(task->mems_allowed) ||
	    read_kernel(&nodes, (void *)task + bpf_core_field_offset(task->mems_allowed)))
		return UNKNOWN;
	return nodes;
}

/*
 * TASK_NEW: forked and not woken yet, as where __state has its name (5.14), and
 * cgroup.kill is, which alone signals such a task.
 */
static __always_inline bool is_new(struct task_struct *task)
{
	return bpf_core_field_exists(task->__state) && (BPF_CORE_READ(task, __state) & TASK_NEW);
}

/* kernfs_node.parent (seen 5.10 to 6.12) became __parent in 741c10b096bc (seen 6.18, 7.3). */
static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *kn)
{
	if (bpf_core_field_exists(struct kernfs_node, parent))
		return BPF_CORE_READ(kn, parent);
	return BPF_CORE_READ((struct kernfs_node___rcu *)kn, __parent);
}

/*
 * The raw argument of mark_victim: a pid before 72ba14deb40a (seen 5.10), a
 * task since (seen 6.1.176 with the backport, 6.12, 6.18, 7.3). The commit gave
 * the event its uid field too, which is what BTF can be asked for.
 */
static __always_inline bool mark_victim_has_task(void)
{
	return bpf_core_field_exists(struct trace_event_raw_mark_victim___task, uid);
}

/*
 * Where exit_mmap is no tracepoint (seen 5.10; it is one in 6.1), the end of an mm
 * has to be seen by sched_process_exit, which fires after exit_mm() there. Of
 * several threads the last user may still tear it down: the mm then has
 * page tables. With users left, another process goes on with it.
 */
static __always_inline bool mm_is_let_go(struct mm_struct *mm)
{
	return BPF_CORE_READ(mm, mm_users.counter) > 0 || !BPF_CORE_READ(mm, pgtables_bytes.counter);
}

/*
 * mm_struct.flags, a long (seen 5.10 to 6.12) that became a bitmap of its own
 * type (seen 6.18). MMF_OOM_SKIP has been bit 21 since 4.9 (linux/sched/coredump.h,
 * then linux/mm_types.h).
 */
static __always_inline bool mm_oom_skip(struct mm_struct *mm)
{
	unsigned long flags = 0;

	if (bpf_core_field_exists(mm->flags))
		flags = BPF_CORE_READ(mm, flags);
	else if (bpf_core_field_exists(struct mm_struct___bitmap, flags))
		read_kernel(&flags, (void *)mm + bpf_core_field_offset(struct mm_struct___bitmap, flags));
	return flags & (1UL << MMF_OOM_SKIP);
}

/*
 * Who is left as a user may be the next thread to leave, between letting go of the mm and
 * tearing it down, or who reads /proc/PID: then the memory goes in a moment. What the OOM
 * killer has done with stays as it is: it was reaped, or is pinned by a process that goes on
 * (mm/oom_kill.c, __oom_kill_process).
 */
static __always_inline bool mm_may_yet_go(struct mm_struct *mm)
{
	return BPF_CORE_READ(mm, mm_users.counter) > 0 && !mm_oom_skip(mm);
}

/*
 * Nothing but the kernel's own page tables maps this mm: no KVM guest, no device.
 * The field is there with CONFIG_MMU_NOTIFIER (since 984cfe4e2526 in 5.6).
 */
static __always_inline bool mm_has_notifiers(struct mm_struct *mm)
{
	return bpf_core_field_exists(mm->notifier_subscriptions) &&
	       BPF_CORE_READ(mm, notifier_subscriptions);
}

/*
 * memory.stat of a cgroup: vmstats[] in the memcg (seen 5.10), then a struct
 * memcg_vmstats of its own (seen 6.1), then one whose index goes through a
 * table (since ff48c71c26aa in 6.10; seen 6.12, 6.18, 7.3). The table's first
 * entry is always NR_INACTIVE_ANON: it holds 1 in 6.12 and 0 since 6.13.
 */
static __always_inline bool memcg_stat_is_indexed(void)
{
	return bpf_core_type_exists(struct memcg_vmstats) &&
	       bpf_core_field_size(struct memcg_vmstats, state) / sizeof(long) <
		       bpf_core_enum_value(enum memcg_stat_item, MEMCG_NR_STAT);
}

static __always_inline bool memcg_stat_readable(void)
{
	return !memcg_stat_is_indexed() || sym_memcg_stats_index;
}

static __always_inline u64 memcg_stat_raw(struct mem_cgroup *memcg, u32 item)
{
	struct memcg_vmstats *stats;
	long value = 0;
	u8 first = 0, slot = 0;

	if (!bpf_core_type_exists(struct memcg_vmstats)) {
		if (read_kernel(&value, (void *)memcg + bpf_core_field_offset(memcg->vmstats) +
						item * sizeof(value)))
			return UNKNOWN;
		return value < 0 ? 0 : value;
	}
	if (memcg_stat_is_indexed()) {
		if (!sym_memcg_stats_index)
			return UNKNOWN;
		read_kernel(&first, (void *)sym_memcg_stats_index +
					    bpf_core_enum_value(enum node_stat_item, NR_INACTIVE_ANON));
		read_kernel(&slot, (void *)sym_memcg_stats_index + item);
		if (slot < first || slot == 255)
			return UNKNOWN;
		item = slot - first;
	}
	stats = BPF_CORE_READ((struct mem_cgroup___vmstats *)memcg, vmstats);
	if (read_kernel(&value, (void *)stats + bpf_core_field_offset(stats->state) + item * sizeof(value)))
		return UNKNOWN;
	return value < 0 ? 0 : value;
}

/*
 * page_counter.failcnt was counted always, and only where track_failcnt says so
 * since that is there (v1 alone; seen 6.18, 7.3). There the kernel prints the
 * event "max" of memory.events as failcnt (mem_cgroup_print_oom_meminfo).
 */
static __always_inline u64 memcg_failures(struct mem_cgroup *memcg)
{
	if (!bpf_core_field_exists(memcg->memory.track_failcnt) ||
	    BPF_CORE_READ(memcg, memory.track_failcnt))
		return BPF_CORE_READ(memcg, memory.failcnt);
	if (!bpf_core_field_exists(memcg->memory_events) ||
	    !bpf_core_enum_value_exists(enum memcg_memory_event, MEMCG_MAX))
		return UNKNOWN;
	return read_count_at((u64)memcg + bpf_core_field_offset(memcg->memory_events) +
			     bpf_core_enum_value(enum memcg_memory_event, MEMCG_MAX) * sizeof(long));
}

/*
 * bpf_get_current_task_btf(), whose task needs no helper to be read, is there since
 * 3ca1032ab7ab in 5.11 (not seen in 5.10, seen from 6.1 on).
 */
static __always_inline bool has_current_task_btf(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf);
}

/*
 * A CPU's stock is of one cgroup (seen 5.10 to 6.12), or of several, each in a slot
 * (seen 7.3). Zero where a slot is empty.
 */
static __always_inline bool stock_has_slots(void)
{
	return bpf_core_field_exists(((struct memcg_stock_pcp___slots *)0)->cached);
}

static __always_inline u64 stock_memcg(u64 stock, u32 slot)
{
	u64 memcg = 0;

	if (stock_has_slots())
		stock += bpf_core_field_offset(struct memcg_stock_pcp___slots, cached) + slot * sizeof(memcg);
	else
		stock += bpf_core_field_offset(struct memcg_stock_pcp, cached);
	read_kernel(&memcg, (void *)stock);
	return memcg;
}

static __always_inline u32 stock_pages(u64 stock, u32 slot)
{
	u32 size = 1, pages = 0;
	u8 byte = 0;
	u16 half = 0;

	if (!stock_has_slots()) {
		read_kernel(&pages, (void *)stock + bpf_core_field_offset(struct memcg_stock_pcp, nr_pages));
		return pages;
	}
	size = bpf_core_field_size(struct memcg_stock_pcp___slots, nr_pages) /
	       (bpf_core_field_size(struct memcg_stock_pcp___slots, cached) / sizeof(u64));
	stock += bpf_core_field_offset(struct memcg_stock_pcp___slots, nr_pages) + slot * size;
	if (size == sizeof(byte)) {
		read_kernel(&byte, (void *)stock);
		return byte;
	}
	if (size == sizeof(half)) {
		read_kernel(&half, (void *)stock);
		return half;
	}
	read_kernel(&pages, (void *)stock);
	return pages;
}

/*
 * NR_ANON_THPS counts pages since 5.12 (69473e5de873), as NR_SWAPCACHE is there since
 * (b6038942480e), and huge pages before.
 */
static __always_inline bool anon_thps_in_pages(void)
{
	return bpf_core_enum_value_exists(enum node_stat_item, NR_SWAPCACHE);
}

/*
 * What the CPUs hold back of a cgroup's counter before 5.12, up to 32 each
 * (MEMCG_CHARGE_BATCH): little in pages, 64 MiB in huge ones. What they hold back of its
 * descendants' is not in it. UNKNOWN where the kernel hides data symbols.
 */
VERIFIED_ONCE u64 memcg_held_back(u64 address, u32 item)
{
	struct mem_cgroup *memcg = (struct mem_cgroup *)address;
	u64 parts = 0;
	s64 sum = 0;
	u32 cpu;

	if (!bpf_core_field_exists(memcg->vmstats_percpu) || !sym_per_cpu_offset)
		return UNKNOWN;
	bpf_core_read(&parts, sizeof(parts), &memcg->vmstats_percpu);
	if (!parts)
		return UNKNOWN;
	for (cpu = 0; cpu < MAX_CPUS; cpu++) {
		s64 part = 0;
		u64 offset = 0;

		if (cpu >= nr_cpus)
			break;
		read_kernel(&offset, (void *)(sym_per_cpu_offset + cpu * sizeof(offset)));
		read_kernel(&part, (void *)(parts + offset + item * sizeof(part)));
		sum += part;
	}
	return sum;
}

/* mem_cgroup.swappiness is absent where cgroup v1 is compiled out (seen 7.3). */
static __always_inline u32 memcg_swappiness(struct mem_cgroup *memcg)
{
	if (!bpf_core_field_exists(memcg->swappiness))
		return UNKNOWN32;
	return BPF_CORE_READ(memcg, swappiness);
}

/* mem_cgroup.kmem is absent where cgroup v1 is compiled out (seen 6.12, 7.3). */
static __always_inline bool memcg_has_kmem(void)
{
	return bpf_core_field_exists(struct mem_cgroup, kmem);
}

/*
 * The memory controller is on the v2 hierarchy when its root is
 * cgrp_dfl_root, which is set up first and so gets hierarchy id 0
 * (kernel/cgroup/cgroup.c, cgroup_init).
 */
static __always_inline bool cgroup_is_v2(struct cgroup *cgroup)
{
	return BPF_CORE_READ(cgroup, root, hierarchy_id) == 0;
}

#endif
