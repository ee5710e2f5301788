/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The machine at the kill: nodes, zones, swap. */
#ifndef OOMTRACE_MEMORY_H
#define OOMTRACE_MEMORY_H

#include "compat.bpf.h"
#include "cgroup.bpf.h"
#include "tail.bpf.h"

/* struct pglist_data of each node by its id; 0: no such node, or not known. */
static u64 known_nodes[MAX_NODES];
static bool nodes_cut; /* there are more */

VERIFIED_ONCE int know_node(u64 address)
{
	u32 nid = BPF_CORE_READ((struct pglist_data *)address, node_id);

	if (nid < MAX_NODES)
		known_nodes[nid] = address;
	else
		nodes_cut = true;
	return 0;
}

/*
 * A memcg points to the lruvec of every node (mem_cgroup_per_node), and that to
 * the node; to those alone that it has used (linux/memcontrol.h,
 * mem_cgroup_lruvec).
 */
VERIFIED_ONCE u64 node_of_memcg(u64 memcg, u32 nid)
{
	u64 per_node = 0;

	read_kernel(&per_node, (void *)memcg + bpf_core_field_offset(struct mem_cgroup, nodeinfo) +
				       nid * sizeof(per_node));
	if (!per_node)
		return 0;
	return (u64)BPF_CORE_READ((struct mem_cgroup_per_node *)per_node, lruvec.pgdat);
}

/* False at the end of the list. */
VERIFIED_ONCE u32 know_zoneref(u64 zoneref)
{
	struct zone *zone = NULL;

	read_kernel(&zone, (void *)zoneref + bpf_core_field_offset(struct zoneref, zone));
	if (!zone)
		return false;
	know_node((u64)BPF_CORE_READ(zone, zone_pgdat));
	return true;
}

/* As many as a node has. */
VERIFIED_ONCE u32 know_zonerefs(u64 first)
{
	u32 i;

	for (i = 0; i < MAX_ZONE_TYPES; i++) {
		if (!know_zoneref(first + i * bpf_core_type_size(struct zoneref)))
			return false;
	}
	return true;
}

/* A node's zonelist has the zones of all nodes, its own first: what finds
 * one node full goes on to the next (mm/page_alloc.c, build_zonelists). */
VERIFIED_ONCE int know_fallbacks(u64 pgdat)
{
	u64 list = pgdat + bpf_core_field_offset(struct pglist_data, node_zonelists) +
		   bpf_core_field_offset(struct zonelist, _zonerefs);
	u32 i;

	for (i = 0; i < MAX_NODES; i++) {
		if (!know_zonerefs(list + i * MAX_ZONE_TYPES * bpf_core_type_size(struct zoneref)))
			return 0;
	}
	nodes_cut = true;
	return 0;
}

/* The nodes without any symbol, by way of one that memcg or a parent has used. */
static __always_inline void find_nodes(u64 memcg)
{
	u64 pgdat = 0;
	u32 nid, i;

	nodes_cut = false;
	__builtin_memset(known_nodes, 0, sizeof(known_nodes));
	for (i = 0; i < PATH_LEVELS && memcg && !pgdat; i++) {
		for (nid = 0; nid < MAX_NODES && nid < nr_nodes && !pgdat; nid++)
			pgdat = node_of_memcg(memcg, nid);
		memcg = (u64)memcg_parent((struct mem_cgroup *)memcg);
	}
	if (!pgdat)
		return;
	know_node(pgdat);
	know_fallbacks(pgdat);
}

static __always_inline u64 counter_at(void *base, u32 offset, u32 index)
{
	long value = 0;

	if (read_kernel(&value, base + offset + index * sizeof(value)))
		return UNKNOWN;
	return value < 0 ? 0 : value;
}

static __always_inline void add_known(u64 *sum, u64 value)
{
	if (value == UNKNOWN)
		return;
	*sum = *sum == UNKNOWN ? value : *sum + value;
}

#define add_node_stat(slot, pgdat, item, unit)							\
	do {											\
		if (bpf_core_enum_value_exists(enum node_stat_item, item))			\
			add_known(&scratch.event.memory.stat[slot],				\
				  to_bytes(counter_at(pgdat, bpf_core_field_offset(pgdat->vm_stat), \
						      bpf_core_enum_value(enum node_stat_item, item)), unit)); \
	} while (0)

#define add_zone_stat(sum, zone, type, item, unit)						\
	do {											\
		if (bpf_core_enum_value_exists(enum type, item))				\
			add_known(sum, to_bytes(counter_at(zone, bpf_core_field_offset(zone->vm_stat), \
							   bpf_core_enum_value(enum type, item)), unit)); \
	} while (0)

/* The slab counters are in pages here, whatever their suffix _B says (mm/vmstat.c). */
VERIFIED_ONCE int add_node(u64 address)
{
	struct pglist_data *pgdat = (struct pglist_data *)address;

	add_node_stat(VM_STAT_ACTIVE_ANON, pgdat, NR_ACTIVE_ANON, UNIT_PAGES);
	add_node_stat(VM_STAT_INACTIVE_ANON, pgdat, NR_INACTIVE_ANON, UNIT_PAGES);
	add_node_stat(VM_STAT_ACTIVE_FILE, pgdat, NR_ACTIVE_FILE, UNIT_PAGES);
	add_node_stat(VM_STAT_INACTIVE_FILE, pgdat, NR_INACTIVE_FILE, UNIT_PAGES);
	add_node_stat(VM_STAT_UNEVICTABLE, pgdat, NR_UNEVICTABLE, UNIT_PAGES);
	add_node_stat(VM_STAT_FILE_DIRTY, pgdat, NR_FILE_DIRTY, UNIT_PAGES);
	add_node_stat(VM_STAT_FILE_WRITEBACK, pgdat, NR_WRITEBACK, UNIT_PAGES);
	add_node_stat(VM_STAT_SHMEM, pgdat, NR_SHMEM, UNIT_PAGES);
	add_node_stat(VM_STAT_MAPPED, pgdat, NR_FILE_MAPPED, UNIT_PAGES);
	add_node_stat(VM_STAT_FILE_PAGES, pgdat, NR_FILE_PAGES, UNIT_PAGES);
	add_node_stat(VM_STAT_ISOLATED_ANON, pgdat, NR_ISOLATED_ANON, UNIT_PAGES);
	add_node_stat(VM_STAT_ISOLATED_FILE, pgdat, NR_ISOLATED_FILE, UNIT_PAGES);
	add_node_stat(VM_STAT_SLAB_RECLAIMABLE, pgdat, NR_SLAB_RECLAIMABLE_B, UNIT_PAGES);
	add_node_stat(VM_STAT_SLAB_UNRECLAIMABLE, pgdat, NR_SLAB_UNRECLAIMABLE_B, UNIT_PAGES);
	add_node_stat(VM_STAT_KERNEL_STACK, pgdat, NR_KERNEL_STACK_KB, UNIT_KIB);
	add_node_stat(VM_STAT_PAGE_TABLE, pgdat, NR_PAGETABLE, UNIT_PAGES);
	add_node_stat(VM_STAT_SEC_PAGE_TABLE, pgdat, NR_SECONDARY_PAGETABLE, UNIT_PAGES);
	add_node_stat(VM_STAT_KERNEL_MISC_RECLAIMABLE, pgdat, NR_KERNEL_MISC_RECLAIMABLE, UNIT_PAGES);
	add_node_stat(VM_STAT_BALLOON_PAGES, pgdat, NR_BALLOON_PAGES, UNIT_PAGES);
	add_node_stat(VM_STAT_GPU_ACTIVE, pgdat, NR_GPU_ACTIVE, UNIT_PAGES);
	add_node_stat(VM_STAT_GPU_RECLAIM, pgdat, NR_GPU_RECLAIM, UNIT_PAGES);
	if (bpf_core_enum_value_exists(enum node_stat_item, NR_SWAPCACHE))
		add_known(&scratch.event.memory.swap_cache_pages,
			  counter_at(pgdat, bpf_core_field_offset(pgdat->vm_stat),
				     bpf_core_enum_value(enum node_stat_item, NR_SWAPCACHE)));
	return 0;
}

VERIFIED_ONCE int add_zone_zspages(u64 address)
{
	struct zone *zone = (struct zone *)address;

	add_zone_stat(&scratch.event.memory.stat[VM_STAT_ZSPAGES], zone, zone_stat_item___zspages,
		      NR_ZSPAGES___zone, UNIT_PAGES);
	return 0;
}

/* A function of its own: inlined, the compiler takes the relocation out of the
 * caller's loop and past the check that the enumerator exists. */
VERIFIED_ONCE int add_zone_pagetables(u64 address)
{
	struct zone *zone = (struct zone *)address;

	add_zone_stat(&scratch.event.memory.stat[VM_STAT_PAGE_TABLE], zone, zone_stat_item___pagetable,
		      NR_PAGETABLE___zone, UNIT_PAGES);
	return 0;
}

static __always_inline void add_zone_stats(struct zone *zone)
{
	u64 *stat = scratch.event.memory.stat;

	add_zone_stat(&stat[VM_STAT_MLOCKED], zone, zone_stat_item, NR_MLOCK, UNIT_PAGES);
	add_zone_stat(&stat[VM_STAT_FREE_CMA], zone, zone_stat_item, NR_FREE_CMA_PAGES, UNIT_PAGES);
	if (!bpf_core_enum_value_exists(enum node_stat_item, NR_PAGETABLE))
		add_zone_pagetables((u64)zone);
	add_zone_zspages((u64)zone);
	add_zone_stat(&scratch.event.memory.free_pages, zone, zone_stat_item, NR_FREE_PAGES, UNIT_BYTES);
}

/* mm/show_mem.c prints the watermarks with the boost. */
static __always_inline void read_zone(struct zone_info *info, struct zone *zone, s32 node)
{
	u64 boost = BPF_CORE_READ(zone, watermark_boost);
	u32 i;

	info->node = node;
	info->pad = 0;
	bpf_probe_read_kernel_str(info->name, sizeof(info->name), BPF_CORE_READ(zone, name));
	info->free_pages = counter_at(zone, bpf_core_field_offset(zone->vm_stat),
				      bpf_core_enum_value(enum zone_stat_item, NR_FREE_PAGES));
	info->min_pages = BPF_CORE_READ(zone, _watermark[0]) + boost;
	info->low_pages = BPF_CORE_READ(zone, _watermark[1]) + boost;
	info->high_pages = BPF_CORE_READ(zone, _watermark[2]) + boost;
	info->managed_pages = BPF_CORE_READ(zone, managed_pages.counter);
	for (i = 0; i < MAX_ZONE_TYPES; i++) {
		info->lowmem_reserve_pages[i] = UNKNOWN;
		if (i < bpf_core_field_size(zone->lowmem_reserve) / sizeof(long))
			info->lowmem_reserve_pages[i] =
				counter_at(zone, bpf_core_field_offset(zone->lowmem_reserve), i);
	}
	for (i = 0; i < MAX_ORDER_COUNT; i++) {
		info->free_blocks[i] = UNKNOWN;
		if (i < bpf_core_field_size(struct zone___areas, free_area) /
				bpf_core_type_size(struct free_area))
			read_kernel(&info->free_blocks[i],
				    (void *)zone + bpf_core_field_offset(struct zone___areas, free_area) +
					    i * bpf_core_type_size(struct free_area) +
					    bpf_core_field_offset(struct free_area, nr_free));
	}
}

VERIFIED_ONCE int read_zone_at(u32 slot, u64 address, s32 node)
{
	if (slot < MAX_ZONES)
		read_zone(&scratch.zones[slot], (struct zone *)address, node);
	return 0;
}

VERIFIED_ONCE u32 add_zones(u64 address, u32 n)
{
	struct pglist_data *pgdat = (struct pglist_data *)address;
	s32 node = BPF_CORE_READ(pgdat, node_id);
	u32 i;

	for (i = 0; i < MAX_ZONE_TYPES; i++) {
		struct zone *zone = (void *)pgdat + bpf_core_field_offset(pgdat->node_zones) +
				    i * bpf_core_type_size(struct zone);
		u64 managed;

		if (i >= bpf_core_field_size(pgdat->node_zones) / bpf_core_type_size(struct zone))
			break;
		managed = BPF_CORE_READ(zone, managed_pages.counter);
		if (!managed)
			continue;
		add_zone_stats(zone);
		add_known(&scratch.event.memory.managed_pages, managed);
		if (n < MAX_ZONES) {
			read_zone_at(n, (u64)zone, node);
			n++;
		} else {
			scratch.event.memory.zones_cut++;
		}
	}
	return n;
}

/* One size of huge pages (include/linux/hugetlb.h). */
VERIFIED_ONCE int add_huge_size(u64 address)
{
	struct hstate *size = (struct hstate *)address;
	u64 *stat = scratch.event.memory.stat;
	u32 shift = (BPF_CORE_READ(size, order) + page_shift) & 63;

	stat[VM_STAT_HUGEPAGES_TOTAL] += BPF_CORE_READ(size, nr_huge_pages) << shift;
	stat[VM_STAT_HUGEPAGES_FREE] += BPF_CORE_READ(size, free_huge_pages) << shift;
	stat[VM_STAT_HUGEPAGES_RSVD] += BPF_CORE_READ(size, resv_huge_pages) << shift;
	stat[VM_STAT_HUGEPAGES_SURP] += BPF_CORE_READ(size, surplus_huge_pages) << shift;
	return 0;
}

/* Huge pages of all sizes; unknown where the kernel hides its variables. */
static __always_inline void read_hugepages(void)
{
	u64 *stat = scratch.event.memory.stat;
	u32 i, n = read_u32_at(sym_hugetlb_max_hstate);

	if (!bpf_core_type_exists(struct hstate) || !sym_hstates || n == UNKNOWN32)
		return;
	for (i = VM_STAT_HUGEPAGES_TOTAL; i <= VM_STAT_HUGEPAGES_SURP; i++)
		stat[i] = 0;
	for (i = 0; i < MAX_HUGE_SIZES; i++) {
		if (i >= n)
			break;
		add_huge_size(sym_hstates + i * bpf_core_type_size(struct hstate));
	}
}

/* A sum over some of the nodes is none. */
static __always_inline void forget_sums(void)
{
	struct memory_info *memory = &scratch.event.memory;
	u32 i;

	memory->managed_pages = UNKNOWN;
	memory->free_pages = UNKNOWN;
	memory->swap_cache_pages = UNKNOWN;
	for (i = 0; i < VM_STAT_HUGEPAGES_TOTAL; i++)
		memory->stat[i] = UNKNOWN;
}

/* Returns how many zones there are with those of this node. */
VERIFIED_ONCE u32 add_known_node(u32 nid, u32 n)
{
	u64 pgdat = nid < MAX_NODES ? known_nodes[nid] : 0;

	if (!pgdat)
		return n;
	add_node(pgdat);
	scratch.event.memory.nodes++;
	return add_zones(pgdat, n);
}

VERIFIED_ONCE int read_memory(u64 memcg)
{
	struct memory_info *memory = &scratch.event.memory;
	u32 nid, n = 0;

	memory->total_pages = read_u64_at(sym_totalram_pages);
	memory->swap_total_pages = read_u64_at(sym_total_swap_pages);
	memory->swap_free_pages = read_count_at(sym_nr_swap_pages);
	memory->swappiness = read_u32_at(sym_vm_swappiness);
	memory->kill_allocating_task = read_u32_at(sym_kill_allocating_task);
	read_hugepages();
	memory->nodes = 0;
	memory->zones_cut = 0;
	find_nodes(memcg);
	for (nid = 0; nid < MAX_NODES; nid++)
		n = add_known_node(nid, n);
	if (nodes_cut)
		forget_sums();
	if (n > MAX_ZONES)
		n = MAX_ZONES;
	scratch.event.zones = tail_append(scratch.zones, n * sizeof(scratch.zones[0]), sizeof(scratch.zones));
	return 0;
}

#endif
