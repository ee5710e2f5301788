/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The command lines, caught at exec: by the time a reader wakes, the victim's
 * /proc entry is often removed, and its argument pages earlier still.
 */
#ifndef OOMTRACE_CMDLINE_H
#define OOMTRACE_CMDLINE_H

#include "compat.bpf.h"
#include "tail.bpf.h"

#define FORK_GENERATIONS 4
#define CHILDREN_LEFT 4  /* of an exiting process */
#define EXITED_KEPT 64   /* of each CPU, before an exec forgets them */
#define EXITED_ROOM 256

struct cmdline {
	u64 arg_start;     /* of the mm: tells an exec's children from strangers */
	u64 start_boot_ns; /* the process's start_boottime */
	u32 len;           /* bytes of text in use */
	u32 cut;           /* 1 when there was more */
	u8 text[CMDLINE_LEN];
};

/* By tgid. The loader sizes it; processes from before come from /proc. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u32);
	__type(value, struct cmdline);
} cmdlines SEC(".maps");

static const struct cmdline no_cmdline;

/*
 * The processes that exited last on each CPU. Their command lines stay for a while, as growers
 * may be among them; then they make room for the living. An exit is only noted, since it must
 * take little time: exec, which needs the room, forgets two each time.
 */
struct exited {
	u32 from, to; /* places modulo EXITED_ROOM */
	struct {
		u64 start_boot_ns;
		u32 tgid;
		u32 pad;
	} last[EXITED_ROOM];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct exited);
} exited_processes SEC(".maps");

/* The line of a process that has the pid by now is younger; that from /proc is in ticks. */
VERIFIED_ONCE int forget_exited(void)
{
	u32 zero = 0, at, tgid;
	struct exited *exited = bpf_map_lookup_elem(&exited_processes, &zero);
	struct cmdline *line;

	if (!exited || exited->to - exited->from <= EXITED_KEPT)
		return 0;
	if (exited->to - exited->from > EXITED_ROOM)
		exited->from = exited->to - EXITED_ROOM;
	at = exited->from++ % EXITED_ROOM;
	tgid = exited->last[at].tgid;
	line = bpf_map_lookup_elem(&cmdlines, &tgid);
	if (line && line->start_boot_ns <= exited->last[at].start_boot_ns)
		bpf_map_delete_elem(&cmdlines, &tgid);
	return 0;
}

static __always_inline void remember_cmdline(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u64 start, len;
	struct cmdline *line;

	forget_exited();
	forget_exited();
	if (!mm || bpf_map_update_elem(&cmdlines, &tgid, &no_cmdline, BPF_ANY))
		return;
	line = bpf_map_lookup_elem(&cmdlines, &tgid);
	if (!line)
		return;
	start = BPF_CORE_READ(mm, arg_start);
	len = BPF_CORE_READ(mm, arg_end) - start;
	line->cut = len > CMDLINE_LEN;
	if (len > CMDLINE_LEN)
		len = CMDLINE_LEN;
	if (bpf_probe_read_user(line->text, len, (void *)start))
		return;
	line->arg_start = start;
	line->start_boot_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	line->len = len;
}

/* A child that has not called exec gets a line of its own: it will not find its parent's. */
VERIFIED_ONCE int pass_cmdline_on(u64 address, u32 tgid)
{
	struct cmdline *of_parent = bpf_map_lookup_elem(&cmdlines, &tgid), *line;
	struct task_struct *child = (struct task_struct *)address;
	u32 child_tgid = BPF_CORE_READ(child, tgid);

	if (!of_parent || !of_parent->len || BPF_CORE_READ(child, mm, arg_start) != of_parent->arg_start)
		return 0;
	if (bpf_map_update_elem(&cmdlines, &child_tgid, of_parent, BPF_NOEXIST))
		return 0;
	line = bpf_map_lookup_elem(&cmdlines, &child_tgid);
	if (line)
		line->start_boot_ns = BPF_CORE_READ(child, start_boottime);
	return 0;
}

VERIFIED_ONCE int pass_cmdlines_on(u64 address)
{
	struct task_struct *task = (struct task_struct *)address;
	struct list_head *head = (void *)task + bpf_core_field_offset(task->children);
	struct list_head *node = BPF_CORE_READ(head, next);
	u32 i, tgid = BPF_CORE_READ(task, tgid);

	for (i = 0; i < CHILDREN_LEFT; i++) {
		if (!node || node == head)
			break;
		pass_cmdline_on((u64)node - bpf_core_field_offset(task->sibling), tgid);
		node = BPF_CORE_READ(node, next);
	}
	return 0;
}

/* A thread exits: its process with it if it is the first one and the last. */
static __always_inline void note_exit(struct task_struct *task)
{
	u64 no_children = (u64)task + bpf_core_field_offset(task->children), id = bpf_get_current_pid_tgid();
	u32 zero = 0, at;
	struct exited *exited;

	if ((u64)BPF_CORE_READ(task, children.next) != no_children)
		pass_cmdlines_on((u64)task);
	if ((u32)id != id >> 32 || BPF_CORE_READ(task, signal, live.counter) > 0)
		return;
	exited = bpf_map_lookup_elem(&exited_processes, &zero);
	if (!exited)
		return;
	at = exited->to++ % EXITED_ROOM;
	exited->last[at].tgid = id;
	exited->last[at].start_boot_ns = BPF_CORE_READ(task, start_boottime);
}

/*
 * A process that never called exec has the command line of the ancestor that
 * did, and shows it by the same address of the arguments.
 */
static __always_inline struct cmdline *find_cmdline(struct task_struct *task, struct mm_struct *mm)
{
	u64 start = BPF_CORE_READ(mm, arg_start);
	int i;

	for (i = 0; i < FORK_GENERATIONS; i++) {
		u32 tgid = BPF_CORE_READ(task, tgid);
		struct cmdline *line = bpf_map_lookup_elem(&cmdlines, &tgid);

		if (line && line->len && line->arg_start == start)
			return line;
		task = BPF_CORE_READ(task, real_parent);
	}
	return NULL;
}

/* The arguments of the current task, as its memory has them. */
static __always_inline void append_own_cmdline(struct task_info *info, struct mm_struct *mm)
{
	u64 start = BPF_CORE_READ(mm, arg_start), len = BPF_CORE_READ(mm, arg_end) - start;

	bool cut = len > CMDLINE_LEN;

	if (cut)
		len = CMDLINE_LEN;
	if (bpf_probe_read_user(scratch.exe, len, (void *)start))
		return;
	info->cmdline = tail_append(scratch.exe, len, CMDLINE_LEN);
	if (cut)
		info->flags |= TASK_CMDLINE_CUT;
}

static __always_inline void append_cmdline(struct task_info *info, struct task_struct *task, struct mm_struct *mm)
{
	struct cmdline *line = find_cmdline(task, mm);

	if (!line) {
		if (mm == BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), mm))
			append_own_cmdline(info, mm);
		return;
	}
	if (line->cut)
		info->flags |= TASK_CMDLINE_CUT;
	info->cmdline = tail_append(line->text, line->len, CMDLINE_LEN);
}

#endif
