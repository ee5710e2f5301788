/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tasks the kernel weighed. Each call of oom_evaluate_task() costs a few
 * reads; only the worst are kept, and read in full when the kill is certain.
 */
#ifndef OOMTRACE_CANDIDATES_H
#define OOMTRACE_CANDIDATES_H

#include "compat.bpf.h"
#include "tail.bpf.h"
#include "task.bpf.h"

const volatile u32 top_candidates = 10;

/* The console may take seconds for the kernel's report between the weighing and
 * the kill: by then the task's memory can be another task's. */
struct candidate {
	u64 task;
	s64 points;
	u64 start_boot_ns; /* task_struct.start_boottime */
	s32 tgid;
	u32 pad;
};

static struct candidates {
	struct candidate kept[CANDIDATE_SLOTS];
	struct candidate biggest; /* by size alone: adj may keep it out of kept */
	u64 biggest_pages;
	u64 pages;   /* rss, swap and page tables of all seen */
	u32 count;   /* entries of kept in use */
	u32 total;   /* tasks with memory seen */
	u32 least;   /* index of the fewest points in kept */
	u32 rows;    /* entries of kept that are in the record */
} weighed;

static __always_inline void forget_candidates(void)
{
	weighed.count = 0;
	weighed.total = 0;
	weighed.least = 0;
	weighed.pages = 0;
	weighed.biggest_pages = 0;
	weighed.biggest.task = 0;
}

/*
 * mm/oom_kill.c, oom_badness(): rss, swap and page tables, plus adj
 * thousandths of the domain. The rss is the approximate one, which the kernel
 * uses here as well up to 6.18.
 */
static __always_inline s64 badness(struct task_struct *task, struct mm_struct *mm, u64 domain_pages)
{
	s64 adj = BPF_CORE_READ(task, signal, oom_score_adj);
	s64 points;

	points = mm_counter_approximate(mm, MM_FILEPAGES) + mm_counter_approximate(mm, MM_ANONPAGES) +
		 mm_counter_approximate(mm, MM_SHMEMPAGES) + mm_counter_approximate(mm, MM_SWAPENTS) +
		 (BPF_CORE_READ(mm, pgtables_bytes.counter) >> page_shift);
	/* No signed division before -mcpu=v4: the domain is positive, adj is not. */
	return points + adj * (s64)(domain_pages / 1000);
}

VERIFIED_ONCE int find_least(void)
{
	s64 least = weighed.kept[0].points;
	u32 i;

	weighed.least = 0;
	for (i = 1; i < MAX_CANDIDATES; i++) {
		if (i >= weighed.count)
			break;
		if (weighed.kept[i].points < least) {
			least = weighed.kept[i].points;
			weighed.least = i;
		}
	}
	return 0;
}

static __always_inline void note_candidate(struct candidate *to, struct task_struct *task, s64 points)
{
	to->task = (u64)task;
	to->points = points;
	to->start_boot_ns = BPF_CORE_READ(task, start_boottime);
	to->tgid = BPF_CORE_READ(task, tgid);
}

static __always_inline void keep_candidate(struct task_struct *task, s64 points)
{
	u32 slot = weighed.count;

	if (slot < top_candidates && slot < MAX_CANDIDATES) {
		weighed.count = slot + 1;
	} else {
		slot = weighed.least;
		if (slot >= MAX_CANDIDATES || points <= weighed.kept[slot].points)
			return;
	}
	note_candidate(&weighed.kept[slot], task, points);
	find_least();
}

/* What a task's mm holds, whatever its adj. */
static __always_inline u64 mm_pages(struct mm_struct *mm)
{
	return mm_counter_cheap(mm, MM_FILEPAGES) + mm_counter_cheap(mm, MM_ANONPAGES) +
	       mm_counter_cheap(mm, MM_SHMEMPAGES) + mm_counter_cheap(mm, MM_SWAPENTS) +
	       (BPF_CORE_READ(mm, pgtables_bytes.counter) >> page_shift);
}

/*
 * Whom oom_evaluate_task() passes over before it weighs (mm/oom_kill.c,
 * oom_unkillable_task, oom_cpuset_eligible): the machine's init, kernel threads, which may have a
 * process's mm (vhost), and in an OOM of the machine those without a node in common. Which nodes a
 * policy leaves to a task is not looked at, nor are its other threads.
 */
static __always_inline bool may_be_chosen(struct task_struct *task, struct oom_control *oc)
{
	u64 here, there;

	if (BPF_CORE_READ(task, tgid) == 1 || (BPF_CORE_READ(task, flags) & PF_KTHREAD))
		return false;
	if (nr_nodes <= 1 || nr_nodes > MAX_NODES || BPF_CORE_READ(oc, memcg) || BPF_CORE_READ(oc, nodemask))
		return true;
	here = task_mems_allowed((struct task_struct *)bpf_get_current_task());
	there = task_mems_allowed(task);
	return here & there;
}

static __always_inline void weigh(struct task_struct *task, u64 domain_pages)
{
	struct mm_struct *mm = process_mm(task);
	u64 pages;
	s64 points;

	if (!mm)
		return;
	weighed.total++;
	pages = mm_pages(mm);
	weighed.pages += pages;
	if (!top_candidates)
		return;
	points = badness(task, mm, domain_pages);
	keep_candidate(task, points);
	if (pages > weighed.biggest_pages) {
		weighed.biggest_pages = pages;
		note_candidate(&weighed.biggest, task, points);
	}
}

/* Puts the biggest behind the kept ones, unless it is one of them. */
VERIFIED_ONCE u32 keep_biggest(void)
{
	u32 i, n = weighed.count;

	if (!weighed.biggest.task || n >= CANDIDATE_SLOTS)
		return n;
	for (i = 0; i < MAX_CANDIDATES; i++) {
		if (i >= n)
			break;
		if (weighed.kept[i].task == weighed.biggest.task)
			return n;
	}
	weighed.kept[n] = weighed.biggest;
	return n + 1;
}

/* False when the task has exited since: its row is removed. */
VERIFIED_ONCE int read_candidate(u64 i, u64 row)
{
	struct candidate_info *info;
	struct task_struct *task;
	struct mem_cgroup *memcg;
	struct mm_struct *mm;

	if (i >= CANDIDATE_SLOTS)
		return 0;
	barrier_var(row); /* one check of both tells the verifier about neither */
	if (row >= CANDIDATE_SLOTS)
		return 0;
	info = &scratch.candidates[row];
	task = (struct task_struct *)weighed.kept[i].task;
	if (BPF_CORE_READ(task, tgid) != weighed.kept[i].tgid ||
	    BPF_CORE_READ(task, start_boottime) != weighed.kept[i].start_boot_ns)
		return 0;
	info->tgid = BPF_CORE_READ(task, tgid);
	info->tid = BPF_CORE_READ(task, pid);
	info->uid = BPF_CORE_READ(task, real_cred, uid.val);
	info->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	info->points = weighed.kept[i].points;
	memcg = task_memcg(task);
	info->cgroup_id = memcg ? BPF_CORE_READ(memcg, css.cgroup, kn, id) : UNKNOWN;
	bpf_core_read(info->comm, sizeof(info->comm), &task->comm);
	mm = process_mm(task);
	if (mm)
		read_mm(&info->mm, mm);
	else
		clear_mm(&info->mm);
	return 1;
}

static __always_inline void append_candidates(void)
{
	u32 i, n, kept = keep_biggest();

	weighed.rows = 0;
	for (i = 0; i < CANDIDATE_SLOTS; i++) {
		if (i >= kept)
			break;
		if (read_candidate(i, weighed.rows))
			weighed.rows++;
	}
	n = weighed.rows;
	if (n > CANDIDATE_SLOTS)
		n = CANDIDATE_SLOTS;
	scratch.event.candidates_total = weighed.total;
	scratch.event.candidates_pages = weighed.pages;
	scratch.event.candidates =
		tail_append(scratch.candidates, n * sizeof(scratch.candidates[0]), sizeof(scratch.candidates));
}

#endif
