// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * How memory cgroups grew, counted at each charge. page_counter_try_charge()
 * runs when a CPU's stock of pages is empty, once per 64 pages as a rule
 * (mm/memcontrol.c, try_charge_memcg), and charges the cgroup and all above it.
 * An object of its own: a kernel that refuses it loses nothing else.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "compat.bpf.h"
#include "history.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * By the address of the cgroup's counter; growth.serial shows a reused one. Those
 * that find it full are not followed. An LRU map would forget what it need not: on a
 * machine of many CPUs each of them keeps 128 free elements for itself.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 3840);
	__type(key, u64);
	__type(value, struct growth);
} growths SEC(".maps");

/* Copies of a growth at the kernel's decision; the slots are used in turn. Mapped: to
 * look all of them up for a kill takes a tenth of what it takes in all. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, KILLED_SLOTS);
	__type(key, u32);
	__type(value, struct killed);
} killed SEC(".maps");

/* Writes of limits and of a cpuset's nodes, by limits_key(). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1536);
	__type(key, u64);
	__type(value, struct limit_writes);
} limits SEC(".maps");

/* By process. Those that ended are pushed out by others. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, u32);
	__type(value, struct adj_write);
} adjs SEC(".maps");

/*
 * Who charged last for each cgroup on this CPU: most of a charge is for later, and
 * what is left of it is given back when the CPU turns to another cgroup
 * (mm/memcontrol.c, drain_stock).
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct stocks_of_cpu);
} stocks SEC(".maps");

const enum growth_flag *history_growth_flag __attribute__((unused));

/* What a new entry starts as; nothing writes to it. */
static struct growth nothing;
static struct limit_writes unwritten;
static struct adj_write unadjusted;

/* The next slot of killed; oom_lock is held. */
u32 killed_next;

#define MAX_DEPTH 10
#define UNLIMITED_SHIFT 44 /* PAGE_COUNTER_MAX is 2^47 pages or more */
#define MAX_PAGES 0xffffffffULL
#define CHARGED (1ULL << 32) /* in grow()'s pages: the charge went through */
#define HIT (1ULL << 33)     /* this level refused it */

static __always_inline u64 counter_memcg(u64 counter)
{
	return counter - bpf_core_field_offset(struct mem_cgroup, memory);
}

static __always_inline u64 css_serial(u64 css)
{
	u64 serial = 0;

	read_kernel(&serial, (void *)css + bpf_core_field_offset(struct cgroup_subsys_state, serial_nr));
	return serial;
}

static __always_inline u64 memcg_serial(u64 memcg)
{
	return css_serial(memcg + bpf_core_field_offset(struct mem_cgroup, css));
}

/* A cgroup's or a task's pointer to the state of a controller; 0 for none. */
static __always_inline u64 state_at(u64 pointer)
{
	u64 css = 0;

	read_kernel(&css, (void *)pointer);
	return css;
}

/* The same, of a controller that this kernel need not have. */
#define STATE_OF(states, controller)                                                                                   \
	(bpf_core_enum_value_exists(enum cgroup_subsys_id, controller) ?                                               \
		 state_at((states) + bpf_core_enum_value(enum cgroup_subsys_id, controller) * sizeof(u64)) :           \
		 0)

/* The states of a cgroup, each 0 from its removal on. */
static __always_inline u64 cgroup_states(u64 cgroup)
{
	return cgroup + bpf_core_field_offset(struct cgroup, subsys);
}

/* Those of the current task. */
static __always_inline u64 current_states(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return (u64)BPF_CORE_READ(task, cgroups) + bpf_core_field_offset(struct css_set, subsys);
}

static __always_inline u64 memcg_of(u64 states)
{
	u64 css = STATE_OF(states, memory_cgrp_id);

	return css ? css - bpf_core_field_offset(struct mem_cgroup, css) : 0;
}

static __always_inline u64 cpuset_of(u64 states)
{
	u64 css = STATE_OF(states, cpuset_cgrp_id);

	return css ? css - bpf_core_field_offset(struct cpuset, css) : 0;
}

/*
 * Starts to follow a counter, if it is the memory counter of a living cgroup:
 * swap, memsw, kmem, hugetlb and dmem charge through the same function, and
 * what lies before theirs is no css that its cgroup knows.
 */
VERIFIED_ONCE int follow(u64 counter)
{
	struct mem_cgroup *memcg = (struct mem_cgroup *)counter_memcg(counter);
	struct growth *growth;
	u64 cgroup = 0;

	if (bpf_core_read(&cgroup, sizeof(cgroup), &memcg->css.cgroup) || !cgroup ||
	    memcg_of(cgroup_states(cgroup)) != (u64)memcg || BPF_CORE_READ(memcg, css.flags) & CSS_DYING)
		return 0;
	bpf_map_update_elem(&growths, &counter, &nothing, BPF_ANY);
	growth = bpf_map_lookup_elem(&growths, &counter);
	if (!growth)
		return 0;
	growth->serial = memcg_serial((u64)memcg);
	growth->cgroup_id = BPF_CORE_READ((struct cgroup *)cgroup, kn, id);
	growth->first_ns = bpf_ktime_get_boot_ns();
	growth->window_ns = growth->first_ns;
	growth->window_before_ns = growth->first_ns;
	return 1;
}

/* The entry of a counter, and only its own. */
static __always_inline struct growth *known_growth(u64 counter)
{
	struct growth *growth = bpf_map_lookup_elem(&growths, &counter);

	return growth && growth->serial == memcg_serial(counter_memcg(counter)) ? growth : NULL;
}

static __always_inline u32 unit_time(u64 ns)
{
	u32 when = ns >> UNIT_SHIFT;

	return when ? when : 1;
}

/* Whether it is so long after a time; another CPU may have been there before this one. */
static __always_inline bool is_after(u64 now, u64 since, u64 span)
{
	return now > since && now - since >= span;
}

/*
 * Whether no charge was seen yet in this slot of the first level. This, and not each
 * charge, is when an entry is checked against its cgroup: one that is removed takes
 * its entry along, so that a stale one is rare, and none is copied at a kill.
 */
static __always_inline bool begins_slot(struct growth *growth, u64 now)
{
	u32 slot = unit_time(now) >> FIRST_SHIFT;
	u32 when = growth->points[slot % SLOTS].when;

	return !when || when >> FIRST_SHIFT != slot || is_after(now, growth->last_ns, (u64)STAMP_RANGE << UNIT_SHIFT);
}

/* Stamps are compared by difference, which holds for half of their range. */
static __always_inline void forget_old(struct growth *growth, u32 when)
{
	u32 i;

	for (i = 0; i < LEVELS * SLOTS; i++) {
		if (growth->points[i].when && when - growth->points[i].when >= STAMP_RANGE)
			growth->points[i].when = 0;
	}
	if (when - growth->peak_when >= STAMP_RANGE)
		growth->peak_pages = 0;
}

/*
 * Keeps the first usage of each slot of time: level n has SLOTS slots of
 * 2^(FIRST_SHIFT + n * LEVEL_SHIFT) units. A slot that has begun at one level has
 * at all those above.
 */
static __always_inline void take_point(struct growth *growth, u32 when, u32 pages)
{
	u32 level;

#pragma unroll
	for (level = 0; level < LEVELS; level++) {
		u32 shift = FIRST_SHIFT + level * LEVEL_SHIFT;
		struct growth_point *point = &growth->points[level * SLOTS + (when >> shift) % SLOTS];

		if (point->when && point->when >> shift == when >> shift)
			return;
		point->when = when;
		point->pages = pages;
	}
	forget_old(growth, when);
}

static __always_inline void take_level(struct growth *growth, u64 usage, u64 max, u64 what, u64 now)
{
	u64 top = what & CHARGED ? usage + (u32)what : usage;

	if (top > growth->peak_pages) {
		growth->peak_pages = top;
		growth->peak_when = unit_time(now);
	}
	if (what & HIT)
		growth->hits++;
	if (max == MAX_PAGES || usage * 20 < max * 19)
		growth->near_since_ns = 0;
	else if (!growth->near_since_ns)
		growth->near_since_ns = now;
}

/* Charges count for one to two windows. */
static __always_inline void roll_window(struct growth *growth, u64 now)
{
	bool adjoins = now - growth->window_ns < 2 * WINDOW_NS;
	u32 i;

	for (i = 0; i < CHARGERS; i++) {
		growth->chargers[i].before = adjoins ? growth->chargers[i].pages : 0;
		growth->chargers[i].pages = 0;
	}
	growth->window_before_ns = adjoins ? growth->window_ns : now;
	growth->window_ns = now;
}

/* Whether the current task is in this cgroup, or below it. */
VERIFIED_ONCE int is_inside(u64 memcg)
{
	u64 css, at = memcg_of(current_states());
	u32 i;

	for (i = 0; i < MAX_DEPTH && at; i++) {
		if (at == memcg)
			return 1;
		css = (u64)BPF_CORE_READ((struct mem_cgroup *)at, css.parent);
		at = css ? css - bpf_core_field_offset(struct mem_cgroup, css) : 0;
	}
	return 0;
}

static __always_inline void name_charger(struct growth_charger *charger)
{
	struct task_struct *task;

	if (has_current_task_btf()) {
		task = bpf_get_current_task_btf()->group_leader;
		__builtin_memcpy(charger->comm, task->comm, sizeof(charger->comm));
		return;
	}
	task = (struct task_struct *)bpf_get_current_task();
	BPF_CORE_READ_INTO(&charger->comm, task, group_leader, comm);
}

/* The current task's process takes the place of the one that charged least. What
 * that one had counts on for the order alone: else the last place would be anew
 * with each small process that comes by. */
VERIFIED_ONCE int add_charger(u64 counter, u64 start, u32 pages)
{
	struct growth *growth = bpf_map_lookup_elem(&growths, &counter);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct growth_charger *charger;
	u32 i, least = 0, sum, least_sum = 0;

	if (!growth)
		return 0;
	for (i = 0; i < CHARGERS; i++) {
		charger = &growth->chargers[i];
		sum = charger->tgid ? charger->pages + charger->before + charger->rank : 0;
		if (!i || sum < least_sum) {
			least = i;
			least_sum = sum;
		}
	}
	charger = &growth->chargers[least % CHARGERS];
	charger->rank = charger->tgid ? least_sum : 0;
	charger->start_boot_ns = start;
	charger->tgid = bpf_get_current_pid_tgid() >> 32;
	charger->pages = pages;
	charger->before = 0;
	charger->flags = 0;
	if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
		charger->flags |= GROWTH_KERNEL;
	if (!is_inside(counter_memcg(counter)))
		charger->flags |= GROWTH_OUTSIDE;
	name_charger(charger);
	return 0;
}

/* False when the current task's process has no place among the chargers. */
static __always_inline bool take_charge(struct growth *growth, u64 start, u32 pages, bool rename)
{
	u32 i, tgid = bpf_get_current_pid_tgid() >> 32;

#pragma unroll
	for (i = 0; i < CHARGERS; i++) {
		struct growth_charger *charger = &growth->chargers[i];

		if (charger->tgid != tgid || charger->start_boot_ns != start)
			continue;
		__sync_fetch_and_add(&charger->pages, pages);
		if (rename)
			name_charger(charger);
		return true;
	}
	return false;
}

/*
 * The first charge of a slot of time, whose point has the time of its own, not that of a
 * tick. growth may be NULL, or another cgroup's by now. NULL when the counter is none of
 * memory.
 */
static __always_inline struct growth *begin_slot(struct growth *growth, u64 counter, u64 usage)
{
	u64 now;

	if (!growth || growth->serial != memcg_serial(counter_memcg(counter))) {
		if (!follow(counter))
			return NULL;
		growth = bpf_map_lookup_elem(&growths, &counter);
		if (!growth)
			return NULL;
	}
	now = bpf_ktime_get_boot_ns();
	if (is_after(now, growth->last_ns, (u64)STAMP_RANGE << UNIT_SHIFT))
		forget_old(growth, unit_time(now));
	take_point(growth, unit_time(now), usage);
	return growth;
}

/*
 * One level of a charge. sizes is the usage before it and, in the lower half, the
 * limit, in pages; what is the pages charged, with CHARGED and HIT. 0 when the
 * counter is none of memory.
 */
VERIFIED_ONCE int grow(u64 counter, u64 sizes, u64 what, u64 now, u64 start)
{
	struct growth *growth = bpf_map_lookup_elem(&growths, &counter);
	u64 usage = sizes >> 32, max = sizes & MAX_PAGES;
	bool began = !growth || begins_slot(growth, now);

	if (began) {
		growth = begin_slot(growth, counter, usage);
		if (!growth)
			return 0;
	}
	growth->last_ns = now;
	growth->last_pages = usage;
	take_level(growth, usage, max, what, now);
	if (is_after(now, growth->window_ns, WINDOW_NS))
		roll_window(growth, now);
	if ((what & CHARGED) && !take_charge(growth, start, what, began))
		add_charger(counter, start, what);
	return 1;
}

static __always_inline u64 process_start(void)
{
	struct task_struct *task;

	if (has_current_task_btf())
		return bpf_get_current_task_btf()->group_leader->start_boottime;
	task = (struct task_struct *)bpf_get_current_task();
	return BPF_CORE_READ(task, group_leader, start_boottime);
}

/*
 * A pointer that the verifier knows, as the number that global functions take: what
 * an atomic operation leaves on the stack has no type for it. In assembly, since the
 * compiler knows others than the addition, and 5.10 does not.
 */
static __always_inline u64 number(void *pointer)
{
	u64 value = 0;

	asm volatile("lock *(u64 *)(%0 + 0) += %1" : : "r"(&value), "r"(pointer) : "memory");
	return value;
}

/* fentry's pointers have a type: their fields are read without a helper. */
#define COUNTER(typed, counter, field) ((typed) ? (counter)->field : BPF_CORE_READ(counter, field))

static __always_inline u64 counter_sizes(bool typed, struct page_counter *counter)
{
	u64 usage = COUNTER(typed, counter, usage.counter), max = COUNTER(typed, counter, max);

	if (max >> UNLIMITED_SHIFT || max > MAX_PAGES)
		max = MAX_PAGES;
	return usage << 32 | max;
}

/* Which level refuses the charge: MAX_DEPTH if none does. */
static __always_inline u32 refusing_level(bool typed, struct page_counter *counter, u64 pages)
{
	u32 i;

	for (i = 0; i < MAX_DEPTH && counter; i++) {
		if (COUNTER(typed, counter, usage.counter) + pages > COUNTER(typed, counter, max))
			return i;
		counter = COUNTER(typed, counter, parent);
	}
	return MAX_DEPTH;
}

static __always_inline u32 stock_set(u64 counter)
{
	return (counter >> 11 ^ counter >> 15) % STOCK_SETS;
}

/*
 * CLOCK_BOOTTIME, read once in each tick of the kernel: to read it can take as long as
 * all the rest, and a tick (1 to 10 ms) is short for what is kept.
 */
static __always_inline u64 tick_time(struct stocks_of_cpu *here)
{
	u64 tick = bpf_jiffies64();

	if (here->tick != tick) {
		here->tick = tick;
		here->tick_ns = bpf_ktime_get_boot_ns();
	}
	return here->tick_ns;
}

/* A charge succeeded: the rest of its batch goes into the CPU's stock. */
static __always_inline void remember_stock(struct stocks_of_cpu *here, u64 counter, u64 start)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct stock_owner *owner = here->owners[stock_set(counter)];

	if (owner[0].counter != counter)
		owner[1] = owner[0];
	owner[0].counter = counter;
	owner[0].start_boot_ns = start;
	owner[0].tgid = tgid;
}

/*
 * The cgroup that is charged, and those above it that have a limit. A charge that
 * one of them refuses is taken back from those below.
 */
static __always_inline int on_try_charge(bool typed, struct page_counter *counter, u64 pages)
{
	u32 i, zero = 0, refused = refusing_level(typed, counter, pages);
	struct stocks_of_cpu *here = bpf_map_lookup_elem(&stocks, &zero);
	u64 leaf = number(counter), start = process_start(), now, what, sizes;

	if (!here)
		return 0;
	now = tick_time(here);
	pages &= MAX_PAGES;
	for (i = 0; i < MAX_DEPTH && counter; i++) {
		sizes = counter_sizes(typed, counter);
		what = pages | (refused == MAX_DEPTH ? CHARGED : 0) | (refused == i ? HIT : 0);
		if ((!i || (sizes & MAX_PAGES) != MAX_PAGES) &&
		    !grow(i ? number(counter) : leaf, sizes, what, now, start))
			return 0;
		if (refused == i)
			return 0;
		counter = COUNTER(typed, counter, parent);
	}
	if (pages <= BATCH)
		remember_stock(here, leaf, start);
	return 0;
}

/* Takes pages from what a process charged. */
VERIFIED_ONCE int take_back(u64 counter, u32 tgid, u64 start, u32 pages)
{
	struct growth *growth = bpf_map_lookup_elem(&growths, &counter);
	u32 i;

	if (!growth)
		return 0;
	for (i = 0; i < CHARGERS; i++) {
		struct growth_charger *charger = &growth->chargers[i];

		if (charger->tgid != tgid || charger->start_boot_ns != start)
			continue;
		if (charger->pages >= pages)
			__sync_fetch_and_add(&charger->pages, -pages);
		else if (charger->before >= pages)
			charger->before -= pages;
		break;
	}
	return 0;
}

/* Who charged what this CPU has in stock of a cgroup. */
static __always_inline struct stock_owner *stock_owner_of(u64 counter)
{
	u32 zero = 0;
	struct stocks_of_cpu *stocks_here = bpf_map_lookup_elem(&stocks, &zero);
	struct stock_owner *owner;

	if (!stocks_here)
		return NULL;
	owner = stocks_here->owners[stock_set(counter)];
	if (owner[0].counter == counter)
		return &owner[0];
	return owner[1].counter == counter ? &owner[1] : NULL;
}

/* A CPU gives back what it has in stock of a cgroup: no process used it. */
static __always_inline int on_drain_stock(bool typed, struct mem_cgroup *memcg, u32 pages)
{
	struct page_counter *counter = &memcg->memory;
	struct stock_owner *owner;
	u32 i;

	if (!memcg || !pages || pages > BATCH)
		return 0;
	owner = stock_owner_of(number(counter));
	if (!owner)
		return 0;
	for (i = 0; i < MAX_DEPTH && counter; i++) {
		if (!i || COUNTER(typed, counter, max) >> UNLIMITED_SHIFT == 0)
			take_back(number(counter), owner->tgid, owner->start_boot_ns, pages);
		counter = COUNTER(typed, counter, parent);
	}
	return 0;
}

SEC("fentry/drain_stock")
int fentry_drain_stock(u64 *ctx)
{
	struct memcg_stock_pcp *stock = (struct memcg_stock_pcp *)ctx[0];

	if (stock_has_slots())
		return on_drain_stock(false, (struct mem_cgroup *)stock_memcg(number(stock), ctx[1]), stock_pages(number(stock), ctx[1]));
	return on_drain_stock(true, stock->cached, stock->nr_pages);
}

SEC("kprobe/drain_stock")
int kprobe_drain_stock(struct pt_regs *ctx)
{
	u64 stock = PT_REGS_PARM1(ctx);
	u32 slot = stock_has_slots() ? PT_REGS_PARM2(ctx) : 0;

	return on_drain_stock(false, (struct mem_cgroup *)stock_memcg(stock, slot), stock_pages(stock, slot));
}

SEC("fentry/page_counter_try_charge")
int fentry_try_charge(u64 *ctx)
{
	return on_try_charge(true, (struct page_counter *)ctx[0], ctx[1]);
}

SEC("kprobe/page_counter_try_charge")
int kprobe_try_charge(struct pt_regs *ctx)
{
	return on_try_charge(false, (struct page_counter *)PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx));
}

/* the decision */

/*
 * Where the writes of memory.max, or of memory.high, of a cgroup are kept; of a cpuset
 * those of cpuset.mems. The states of all controllers are numbered as one.
 */
static __always_inline u64 limits_key(u64 serial, bool high)
{
	return serial << 1 | high;
}

static __always_inline void copy_writes(struct limit_writes *to, u64 serial, bool high)
{
	u64 key = limits_key(serial, high);
	struct limit_writes *writes = bpf_map_lookup_elem(&limits, &key);

	to->last.boot_ns = 0;
	if (writes)
		bpf_probe_read_kernel(to, sizeof(*to), writes);
}

static __always_inline void copy_growth(struct killed *copy, u64 memcg)
{
	struct page_counter *counter = (struct page_counter *)(memcg + bpf_core_field_offset(struct mem_cgroup, memory));
	u64 serial = memcg_serial(memcg);
	struct growth *growth = known_growth((u64)counter);

	copy->cgroup_id = BPF_CORE_READ((struct mem_cgroup *)memcg, css.cgroup, kn, id);
	copy->max_pages = BPF_CORE_READ(counter, max);
	copy->usage_pages = BPF_CORE_READ(counter, usage.counter);
	copy->high_pages = BPF_CORE_READ(counter, high);
	if (growth)
		bpf_probe_read_kernel(&copy->growth, sizeof(copy->growth), growth);
	copy_writes(&copy->max_writes, serial, false);
	copy_writes(&copy->high_writes, serial, true);
}

/* The first 64 nodes that a cpuset gives. */
static __always_inline u64 cpuset_mems(u64 cpuset)
{
	return read_u64_at(cpuset + bpf_core_field_offset(struct cpuset, effective_mems));
}

/* Of the cpuset of the current task and those above it the lowest that was written to. */
static __always_inline void copy_cpuset(struct killed *copy)
{
	u64 css, at = cpuset_of(current_states());
	u32 i;

	for (i = 0; i < MAX_DEPTH && at; i++) {
		copy_writes(&copy->mems_writes, css_serial(at + bpf_core_field_offset(struct cpuset, css)), false);
		if (copy->mems_writes.last.boot_ns) {
			copy->mems = cpuset_mems(at);
			return;
		}
		css = (u64)BPF_CORE_READ((struct cpuset *)at, css.parent);
		at = css ? css - bpf_core_field_offset(struct cpuset, css) : 0;
	}
}

/* memcg is 0 for an OOM that is none of a cgroup's limit. */
VERIFIED_ONCE int copy_decision(u64 memcg)
{
	u32 slot = killed_next % KILLED_SLOTS;
	struct killed *copy = bpf_map_lookup_elem(&killed, &slot);

	if (!copy)
		return 0;
	killed_next++;
	copy->boot_ns = 0;
	copy->cgroup_id = 0;
	copy->tid = bpf_get_current_pid_tgid();
	copy->growth.serial = 0;
	copy->mems_writes.last.boot_ns = 0;
	if (memcg)
		copy_growth(copy, memcg);
	copy_cpuset(copy);
	copy->boot_ns = bpf_ktime_get_boot_ns();
	return 0;
}

static __always_inline int on_kill(struct oom_control *oc)
{
	u64 memcg = 0;

	if (bpf_core_read(&memcg, sizeof(memcg), &oc->memcg))
		return 0;
	return copy_decision(memcg);
}

SEC("fentry/oom_kill_process")
int fentry_kill(u64 *ctx)
{
	return on_kill((struct oom_control *)ctx[0]);
}

SEC("kprobe/oom_kill_process")
int kprobe_kill(struct pt_regs *ctx)
{
	return on_kill((struct oom_control *)PT_REGS_PARM1(ctx));
}

/* limits */

VERIFIED_ONCE int take_write(u64 key, u64 from)
{
	u64 writer = memcg_of(current_states());
	struct limit_writes *writes;
	struct limit_write *last;

	bpf_map_update_elem(&limits, &key, &unwritten, BPF_NOEXIST);
	writes = bpf_map_lookup_elem(&limits, &key);
	if (!writes)
		return 0;
	last = &writes->last;
	/* One that changed nothing is forgotten: the same value is often written again. */
	if (last->boot_ns && last->from != from)
		writes->before = *last;
	last->boot_ns = bpf_ktime_get_boot_ns();
	last->from = from;
	last->tgid = bpf_get_current_pid_tgid() >> 32;
	last->cgroup_id = writer ? BPF_CORE_READ((struct mem_cgroup *)writer, css.cgroup, kn, id) : UNKNOWN;
	bpf_get_current_comm(last->comm, sizeof(last->comm));
	return 0;
}

/* The states of the cgroup that a file is of (of_css() of include/linux/cgroup.h). */
static __always_inline u64 file_states(struct kernfs_open_file *file)
{
	struct kernfs_node *dir = kernfs_parent(BPF_CORE_READ(file, kn));

	return cgroup_states((u64)BPF_CORE_READ(dir, priv));
}

/* Before the write of a file of a memory cgroup. */
static __always_inline int on_limit_write(struct kernfs_open_file *file, bool high)
{
	u64 memcg = memcg_of(file_states(file));
	struct page_counter *counter = (struct page_counter *)(memcg + bpf_core_field_offset(struct mem_cgroup, memory));

	if (!memcg)
		return 0;
	return take_write(limits_key(memcg_serial(memcg), high),
			  high ? BPF_CORE_READ(counter, high) : BPF_CORE_READ(counter, max));
}

/*
 * Before the write of a cpuset's mems, or of its cpus, which the name tells apart:
 * "cpuset.mems", in a mount with noprefix "mems".
 */
static __always_inline int on_cpuset_write(struct kernfs_open_file *file)
{
	u64 cpuset = cpuset_of(file_states(file));
	char name[16] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(file, kn, name));
	if (!cpuset || (name[0] != 'm' && name[7] != 'm'))
		return 0;
	return take_write(limits_key(css_serial(cpuset + bpf_core_field_offset(struct cpuset, css)), false), cpuset_mems(cpuset));
}

SEC("fentry/memory_max_write")
int fentry_max_write(u64 *ctx)
{
	return on_limit_write((struct kernfs_open_file *)ctx[0], false);
}

SEC("kprobe/memory_max_write")
int kprobe_max_write(struct pt_regs *ctx)
{
	return on_limit_write((struct kernfs_open_file *)PT_REGS_PARM1(ctx), false);
}

SEC("fentry/memory_high_write")
int fentry_high_write(u64 *ctx)
{
	return on_limit_write((struct kernfs_open_file *)ctx[0], true);
}

SEC("kprobe/memory_high_write")
int kprobe_high_write(struct pt_regs *ctx)
{
	return on_limit_write((struct kernfs_open_file *)PT_REGS_PARM1(ctx), true);
}

/* v1: any limit of the controller; one that leaves memory's as it was is forgotten. */
SEC("fentry/mem_cgroup_write")
int fentry_v1_write(u64 *ctx)
{
	return on_limit_write((struct kernfs_open_file *)ctx[0], false);
}

SEC("kprobe/mem_cgroup_write")
int kprobe_v1_write(struct pt_regs *ctx)
{
	return on_limit_write((struct kernfs_open_file *)PT_REGS_PARM1(ctx), false);
}

SEC("fentry/cpuset_write_resmask")
int fentry_cpuset_write(u64 *ctx)
{
	return on_cpuset_write((struct kernfs_open_file *)ctx[0]);
}

SEC("kprobe/cpuset_write_resmask")
int kprobe_cpuset_write(struct pt_regs *ctx)
{
	return on_cpuset_write((struct kernfs_open_file *)PT_REGS_PARM1(ctx));
}

/* After a write of oom_score_adj (fs/proc/base.c, __set_oom_adj). */
SEC("raw_tp/oom_score_adj_update")
int raw_adj(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	u32 tgid = BPF_CORE_READ(task, tgid);
	u64 writer = memcg_of(current_states());
	struct adj_write *write;

	bpf_map_update_elem(&adjs, &tgid, &unadjusted, BPF_ANY);
	write = bpf_map_lookup_elem(&adjs, &tgid);
	if (!write)
		return 0;
	write->cgroup_id = writer ? BPF_CORE_READ((struct mem_cgroup *)writer, css.cgroup, kn, id) : UNKNOWN;
	write->tgid = bpf_get_current_pid_tgid() >> 32;
	write->adj = BPF_CORE_READ(task, signal, oom_score_adj);
	bpf_get_current_comm(write->comm, sizeof(write->comm));
	write->boot_ns = bpf_ktime_get_boot_ns();
	return 0;
}

/* The writes of a controller's state, by its serial number. */
static __always_inline void forget_writes(u64 serial)
{
	u64 max = limits_key(serial, false), high = limits_key(serial, true);

	bpf_map_delete_elem(&limits, &max);
	bpf_map_delete_elem(&limits, &high);
}

/* A cgroup that is removed is forgotten. */
SEC("raw_tp/cgroup_rmdir")
int raw_cgroup_rmdir(u64 *ctx)
{
	u64 memcg = memcg_of(cgroup_states(ctx[0])), cpuset = cpuset_of(cgroup_states(ctx[0])), counter;

	if (cpuset)
		forget_writes(css_serial(cpuset + bpf_core_field_offset(struct cpuset, css)));
	if (!memcg)
		return 0;
	counter = memcg + bpf_core_field_offset(struct mem_cgroup, memory);
	bpf_map_delete_elem(&growths, &counter);
	forget_writes(memcg_serial(memcg));
	return 0;
}
