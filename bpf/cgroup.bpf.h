/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory cgroups: which one, its path, its counters, the limits above it. */
#ifndef OOMTRACE_CGROUP_H
#define OOMTRACE_CGROUP_H

#include "compat.bpf.h"
#include "tail.bpf.h"

static __always_inline struct mem_cgroup *task_memcg(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	u64 css = 0;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return NULL;
	read_kernel(&css, (void *)set + bpf_core_field_offset(struct css_set, subsys) +
				  bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id) * sizeof(css));
	if (!css)
		return NULL;
	return (void *)css - bpf_core_field_offset(struct mem_cgroup, css);
}

static __always_inline struct mem_cgroup *memcg_parent(struct mem_cgroup *memcg)
{
	struct cgroup_subsys_state *css = BPF_CORE_READ(memcg, css.parent);

	if (!css)
		return NULL;
	return (void *)css - bpf_core_field_offset(struct mem_cgroup, css);
}

struct path_walk {
	u64 node;
	u64 off;
};

static struct path_walk path_walk;

/* One name. False at the root, which has no parent and no name of its own. */
static __always_inline bool path_step(struct path_walk *walk, u8 *path)
{
	struct kernfs_node *kn = (struct kernfs_node *)walk->node;
	u64 parent = (u64)kernfs_parent(kn), off;
	const char *name = BPF_CORE_READ(kn, name);
	long len;

	off = walk->off;
	asm volatile("" : "+r"(off)); /* as in exe_step */
	if (!parent || off > PATH_LEN - PATH_NAME_LEN)
		return false;
	len = bpf_probe_read_kernel_str(path + off, PATH_NAME_LEN, name);
	if (len <= 0)
		return false;
	walk->off = off + len;
	walk->node = parent;
	return true;
}

VERIFIED_ONCE u32 path_step_up(void) { return path_step(&path_walk, scratch.path); }

/*
 * The names from the leaf up to, not including, the root of the hierarchy, into
 * scratch.path. Returns their length, 0 for the root itself.
 */
VERIFIED_ONCE u64 walk_path(u64 kernfs_node)
{
	int i;

	path_walk.node = kernfs_node;
	path_walk.off = 0;
	for (i = 0; i < PATH_LEVELS; i++) {
		if (!path_step_up())
			break;
	}
	return path_walk.off;
}

static __always_inline struct span append_path(struct kernfs_node *kn, u32 *flags, u32 cut_flag)
{
	u64 len = walk_path((u64)kn);

	if (kernfs_parent((struct kernfs_node *)path_walk.node))
		*flags |= cut_flag;
	return tail_append(scratch.path, len, PATH_LEN);
}

static __always_inline void append_task_cgroup(struct task_info *info, struct task_struct *task)
{
	struct mem_cgroup *memcg = task_memcg(task);
	struct cgroup *cgroup;

	info->cgroup_id = UNKNOWN;
	if (!memcg)
		return;
	cgroup = BPF_CORE_READ(memcg, css.cgroup);
	info->cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	if (cgroup_is_v2(cgroup))
		info->flags |= TASK_CGROUP_V2;
	info->cgroup = append_path(BPF_CORE_READ(cgroup, kn), &info->flags, TASK_CGROUP_CUT);
}

static __always_inline void read_memcg(struct memcg_info *info, struct mem_cgroup *memcg)
{
	struct cgroup *cgroup = BPF_CORE_READ(memcg, css.cgroup);

	info->id = BPF_CORE_READ(cgroup, kn, id);
	info->flags = cgroup_is_v2(cgroup) ? MEMCG_V2 : 0;
	if (BPF_CORE_READ(memcg, oom_group))
		info->flags |= MEMCG_OOM_GROUP;
	info->usage_pages = BPF_CORE_READ(memcg, memory.usage.counter);
	info->max_pages = BPF_CORE_READ(memcg, memory.max);
	info->high_pages = BPF_CORE_READ(memcg, memory.high);
	info->failures = memcg_failures(memcg);
	info->min_pages = BPF_CORE_READ(memcg, memory.min);
	info->low_pages = BPF_CORE_READ(memcg, memory.low);
	info->children_min_pages = BPF_CORE_READ(memcg, memory.children_min_usage.counter);
	info->children_low_pages = BPF_CORE_READ(memcg, memory.children_low_usage.counter);
	info->swap_usage_pages = BPF_CORE_READ(memcg, swap.usage.counter);
	info->swap_max_pages = BPF_CORE_READ(memcg, swap.max);
	info->kmem_usage_pages = UNKNOWN;
	info->kmem_max_pages = UNKNOWN;
	if (memcg_has_kmem()) {
		info->kmem_usage_pages = BPF_CORE_READ(memcg, kmem.usage.counter);
		info->kmem_max_pages = BPF_CORE_READ(memcg, kmem.max);
	}
	info->swappiness = memcg_swappiness(memcg);
}

/* Reads one link of the chain and returns the one above. */
VERIFIED_ONCE u64 read_chain_link(u64 address, u32 i)
{
	struct mem_cgroup *memcg = (struct mem_cgroup *)address;

	if (i >= PATH_LEVELS)
		return 0;
	read_memcg(&scratch.chain[i], memcg);
	return (u64)memcg_parent(memcg);
}

/* The limits from memcg up to the root; the path's names give theirs. */
static __always_inline struct span append_chain(struct mem_cgroup *memcg)
{
	u64 at = (u64)memcg;
	u32 n = 0;
	int i;

	for (i = 0; i < PATH_LEVELS; i++) {
		if (!at)
			break;
		at = read_chain_link(at, i);
		n++;
	}
	return tail_append(scratch.chain, n * sizeof(scratch.chain[0]), sizeof(scratch.chain));
}

/* Units as in mm/memcontrol.c, memcg_page_state_unit(). */
enum stat_unit { UNIT_BYTES, UNIT_KIB, UNIT_PAGES, UNIT_HUGE_PAGES };

/* A PMD maps 512 entries of 8 bytes with pages of 4 KiB, and so it is with others. */
#define HUGE_PAGE_SHIFT(page_shift) (2 * (page_shift) - 3)

static __always_inline u64 to_bytes(u64 value, enum stat_unit unit)
{
	if (value == UNKNOWN || unit == UNIT_BYTES)
		return value;
	if (unit == UNIT_HUGE_PAGES)
		return value << HUGE_PAGE_SHIFT(page_shift);
	return unit == UNIT_KIB ? value << 10 : value << page_shift;
}

#define memcg_stat(memcg, type, item, unit)							\
	(bpf_core_enum_value_exists(enum type, item) ?						\
		 to_bytes(memcg_stat_raw(memcg, bpf_core_enum_value(enum type, item)), unit) :	\
		 UNKNOWN)

static __always_inline u64 memcg_anon_thp(struct mem_cgroup *memcg)
{
	u64 count = memcg_stat(memcg, node_stat_item, NR_ANON_THPS, UNIT_BYTES);
	u64 more;
	s64 huge;

	if (anon_thps_in_pages() || count == UNKNOWN)
		return to_bytes(count, UNIT_PAGES);
	more = memcg_held_back((u64)memcg, bpf_core_enum_value(enum node_stat_item, NR_ANON_THPS));
	huge = count + more;
	if (more == UNKNOWN)
		return UNKNOWN;
	return huge < 0 ? 0 : to_bytes(huge, UNIT_HUGE_PAGES);
}

VERIFIED_ONCE int read_memcg_stat(u64 address)
{
	struct mem_cgroup *memcg = (struct mem_cgroup *)address;
	u64 *stat = scratch.event.limit_stat;

	if (!memcg_stat_readable())
		return 0;
	stat[MEMCG_STAT_ANON] = memcg_stat(memcg, node_stat_item, NR_ANON_MAPPED, UNIT_PAGES);
	stat[MEMCG_STAT_FILE] = memcg_stat(memcg, node_stat_item, NR_FILE_PAGES, UNIT_PAGES);
	stat[MEMCG_STAT_KERNEL] = memcg_stat(memcg, memcg_stat_item, MEMCG_KMEM, UNIT_PAGES);
	stat[MEMCG_STAT_KERNEL_STACK] = memcg_stat(memcg, node_stat_item, NR_KERNEL_STACK_KB, UNIT_KIB);
	stat[MEMCG_STAT_PAGETABLES] = memcg_stat(memcg, node_stat_item, NR_PAGETABLE, UNIT_PAGES);
	stat[MEMCG_STAT_PERCPU] = memcg_stat(memcg, memcg_stat_item, MEMCG_PERCPU_B, UNIT_BYTES);
	stat[MEMCG_STAT_SOCK] = memcg_stat(memcg, memcg_stat_item, MEMCG_SOCK, UNIT_PAGES);
	stat[MEMCG_STAT_VMALLOC] = memcg_stat(memcg, memcg_stat_item, MEMCG_VMALLOC, UNIT_PAGES);
	stat[MEMCG_STAT_SHMEM] = memcg_stat(memcg, node_stat_item, NR_SHMEM, UNIT_PAGES);
	stat[MEMCG_STAT_FILE_MAPPED] = memcg_stat(memcg, node_stat_item, NR_FILE_MAPPED, UNIT_PAGES);
	stat[MEMCG_STAT_FILE_DIRTY] = memcg_stat(memcg, node_stat_item, NR_FILE_DIRTY, UNIT_PAGES);
	stat[MEMCG_STAT_FILE_WRITEBACK] = memcg_stat(memcg, node_stat_item, NR_WRITEBACK, UNIT_PAGES);
	stat[MEMCG_STAT_SWAPCACHED] = memcg_stat(memcg, node_stat_item, NR_SWAPCACHE, UNIT_PAGES);
	stat[MEMCG_STAT_INACTIVE_ANON] = memcg_stat(memcg, node_stat_item, NR_INACTIVE_ANON, UNIT_PAGES);
	stat[MEMCG_STAT_ACTIVE_ANON] = memcg_stat(memcg, node_stat_item, NR_ACTIVE_ANON, UNIT_PAGES);
	stat[MEMCG_STAT_INACTIVE_FILE] = memcg_stat(memcg, node_stat_item, NR_INACTIVE_FILE, UNIT_PAGES);
	stat[MEMCG_STAT_ACTIVE_FILE] = memcg_stat(memcg, node_stat_item, NR_ACTIVE_FILE, UNIT_PAGES);
	stat[MEMCG_STAT_UNEVICTABLE] = memcg_stat(memcg, node_stat_item, NR_UNEVICTABLE, UNIT_PAGES);
	stat[MEMCG_STAT_SLAB_RECLAIMABLE] = memcg_stat(memcg, node_stat_item, NR_SLAB_RECLAIMABLE_B, UNIT_BYTES);
	stat[MEMCG_STAT_SLAB_UNRECLAIMABLE] = memcg_stat(memcg, node_stat_item, NR_SLAB_UNRECLAIMABLE_B, UNIT_BYTES);
	stat[MEMCG_STAT_SWAP] = memcg_stat(memcg, memcg_stat_item, MEMCG_SWAP, UNIT_PAGES);
	stat[MEMCG_STAT_ANON_THP] = memcg_anon_thp(memcg);
	stat[MEMCG_STAT_SEC_PAGETABLES] = memcg_stat(memcg, node_stat_item, NR_SECONDARY_PAGETABLE, UNIT_PAGES);
	stat[MEMCG_STAT_ZSWAP] = memcg_stat(memcg, memcg_stat_item, MEMCG_ZSWAP_B, UNIT_BYTES);
	stat[MEMCG_STAT_ZSWAPPED] = memcg_stat(memcg, memcg_stat_item, MEMCG_ZSWAPPED, UNIT_PAGES);
	stat[MEMCG_STAT_HUGETLB] = memcg_stat(memcg, node_stat_item, NR_HUGETLB, UNIT_PAGES);
	return 0;
}

#endif
