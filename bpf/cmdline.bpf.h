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

struct cmdline {
	u64 arg_start;  /* of the mm: tells an exec's children from strangers */
	u32 len;        /* bytes of text in use */
	u32 cut;        /* 1 when there was more */
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

static __always_inline void remember_cmdline(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	u64 start, len;
	struct cmdline *line;

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
	line->len = len;
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

static __always_inline void append_cmdline(struct task_info *info, struct task_struct *task, struct mm_struct *mm)
{
	struct cmdline *line = find_cmdline(task, mm);

	if (!line)
		return;
	if (line->cut)
		info->flags |= TASK_CMDLINE_CUT;
	info->cmdline = tail_append(line->text, line->len, CMDLINE_LEN);
}

#endif
