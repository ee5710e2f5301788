/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SIGKILLs that the OOM killer did not choose their target for. Signals are sent
 * on all CPUs at once, so each CPU has a record of its own under construction.
 */
#ifndef OOMTRACE_SIGKILL_H
#define OOMTRACE_SIGKILL_H

#include "compat.bpf.h"
#include "tail.bpf.h"
#include "cgroup.bpf.h"
#include "task.bpf.h"
#include "cmdline.bpf.h"

struct sigkill_scratch {
	struct sigkill_event event;
	u8 tail[SIGKILL_TAIL_LEN]; /* right behind the event: the two go out as one */
	u32 tail_len;
	u32 pad;
	struct path_walk path_walk;
	struct exe_walk exe_walk;
	u8 path[PATH_LEN];
	u8 exe[EXE_LEN];
	u64 stack[STACK_DEPTH];
	struct memcg_info chain[PATH_LEVELS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sigkill_scratch);
} sigkill_scratch SEC(".maps");

static __always_inline struct sigkill_scratch *this_sigkill(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&sigkill_scratch, &zero);
}

static __always_inline struct span sigkill_append(struct sigkill_scratch *s, const void *from, u64 len, const u64 max)
{
	return append_to(s->tail, &s->tail_len, SIGKILL_TAIL_LEN, from, len, max);
}

VERIFIED_ONCE u32 sigkill_path_step(void)
{
	struct sigkill_scratch *s = this_sigkill();

	return s && path_step(&s->path_walk, s->path);
}

VERIFIED_ONCE u32 sigkill_exe_step(void)
{
	struct sigkill_scratch *s = this_sigkill();

	return s && exe_step(&s->exe_walk, s->exe);
}

VERIFIED_ONCE int sigkill_walk_path(u64 kernfs_node)
{
	struct sigkill_scratch *s = this_sigkill();
	int i;

	if (!s)
		return 0;
	s->path_walk.node = kernfs_node;
	s->path_walk.off = 0;
	for (i = 0; i < PATH_LEVELS; i++) {
		if (!sigkill_path_step())
			break;
	}
	return 0;
}

static __always_inline struct span sigkill_path(struct sigkill_scratch *s, struct kernfs_node *kn, u32 *flags)
{
	sigkill_walk_path((u64)kn);
	if (kernfs_parent((struct kernfs_node *)s->path_walk.node))
		*flags |= TASK_CGROUP_CUT;
	return sigkill_append(s, s->path, s->path_walk.off, PATH_LEN);
}

static __always_inline void sigkill_cgroup(struct sigkill_scratch *s, struct task_info *info, struct task_struct *task)
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
	info->cgroup = sigkill_path(s, BPF_CORE_READ(cgroup, kn), &info->flags);
}

VERIFIED_ONCE int sigkill_walk_exe(u64 mm_address)
{
	struct sigkill_scratch *s = this_sigkill();
	int i;

	if (!s || !exe_begin(&s->exe_walk, (struct mm_struct *)mm_address))
		return 0;
	for (i = 0; i < EXE_LEVELS; i++) {
		if (!sigkill_exe_step())
			return 0;
	}
	s->exe_walk.cut = 1;
	return 0;
}

static __always_inline void sigkill_exe(struct sigkill_scratch *s, struct task_info *info, struct mm_struct *mm)
{
	sigkill_walk_exe((u64)mm);
	if (s->exe_walk.cut)
		info->flags |= TASK_EXE_CUT;
	info->exe = sigkill_append(s, s->exe, s->exe_walk.off, EXE_LEN);
}

static __always_inline void sigkill_task(struct sigkill_scratch *s, struct task_info *info, struct task_struct *task, struct mm_struct *mm)
{
	struct cmdline *line;

	read_task(info, task);
	sigkill_cgroup(s, info, task);
	if (!mm)
		return;
	line = find_cmdline(task, mm);
	if (line) {
		if (line->cut)
			info->flags |= TASK_CMDLINE_CUT;
		info->cmdline = sigkill_append(s, line->text, line->len, CMDLINE_LEN);
	}
	sigkill_exe(s, info, mm);
}

/* Reads one link of the chain and returns the one above. */
VERIFIED_ONCE u64 sigkill_chain_link(u64 address, u64 i)
{
	struct mem_cgroup *memcg = (struct mem_cgroup *)address;
	struct sigkill_scratch *s = this_sigkill();

	/* Keeps the compiler from reckoning the place before the check. */
	asm volatile("" : "+r"(i));
	if (!s || i >= PATH_LEVELS)
		return 0;
	asm volatile("" : "+r"(i));
	read_memcg(&s->chain[i], memcg);
	return (u64)memcg_parent(memcg);
}

/* The limits above the victim, as in a victim record. */
static __always_inline void sigkill_chain(struct sigkill_scratch *s, struct task_struct *task)
{
	u64 at = (u64)task_memcg(task);
	u32 n = 0;
	int i;

	for (i = 0; i < PATH_LEVELS; i++) {
		if (!at)
			break;
		at = sigkill_chain_link(at, i);
		n++;
	}
	s->event.chain = sigkill_append(s, s->chain, n * sizeof(s->chain[0]), sizeof(s->chain));
}

/* The sender's ancestors, up to the init of the machine. */
VERIFIED_ONCE int sigkill_parents(u64 address)
{
	struct task_struct *task = (struct task_struct *)address;
	struct sigkill_scratch *s = this_sigkill();
	struct sigkill_event *event;
	int i;

	if (!s)
		return 0;
	event = &s->event;
#pragma unroll
	for (i = 0; i < MAX_PARENTS; i++) {
		if (BPF_CORE_READ(task, tgid) <= 1)
			break;
		task = BPF_CORE_READ(task, real_parent);
		event->parent[i].tgid = BPF_CORE_READ(task, tgid);
		bpf_core_read(event->parent[i].comm, sizeof(event->parent[i].comm), &task->comm);
		event->parents = i + 1;
	}
	return 0;
}

VERIFIED_ONCE int sigkill_frames_in(u64 len, u64 start, u64 end)
{
	struct sigkill_scratch *s = this_sigkill();
	u32 i;

	if (!s)
		return 0;
#pragma unroll
	for (i = 0; i < STACK_DEPTH; i++) {
		if (i * sizeof(u64) >= len)
			break;
		if (s->stack[i] >= start && s->stack[i] < end)
			return 1;
	}
	return 0;
}

static __always_inline bool sigkill_stack_has(struct sigkill_scratch *s, void *ctx, u64 start, u64 end)
{
	long len = bpf_get_stack(ctx, s->stack, sizeof(s->stack), 0);

	return len > 0 && sigkill_frames_in(len, start, end);
}

#endif
