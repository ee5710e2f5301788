/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who a task is and what its mm holds. */
#ifndef OOMTRACE_TASK_H
#define OOMTRACE_TASK_H

#include "compat.bpf.h"
#include "tail.bpf.h"
#include "cgroup.bpf.h"

#define MAX_THREADS_SEARCHED 32
#define PID_TREE_LEVELS 6
#define EXE_LEVELS 24

/*
 * The mm of a process: a leader that has exited has none, while its threads
 * do (mm/oom_kill.c, find_lock_task_mm).
 */
VERIFIED_ONCE u64 process_mm_address(u64 address)
{
	struct task_struct *task = (struct task_struct *)address;
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct list_head *head, *node;
	int i;

	if (mm || (BPF_CORE_READ(task, flags) & PF_KTHREAD))
		return (u64)mm;
	head = (void *)BPF_CORE_READ(task, signal) + bpf_core_field_offset(struct signal_struct, thread_head);
	node = BPF_CORE_READ(head, next);
	for (i = 0; i < MAX_THREADS_SEARCHED; i++) {
		if (!node || node == head)
			break;
		mm = BPF_CORE_READ((struct task_struct *)((void *)node -
					bpf_core_field_offset(struct task_struct, thread_node)), mm);
		if (mm)
			return (u64)mm;
		node = BPF_CORE_READ(node, next);
	}
	return 0;
}

static __always_inline struct mm_struct *process_mm(struct task_struct *task)
{
	return (struct mm_struct *)process_mm_address((u64)task);
}

static __always_inline void read_mm(struct mm_info *info, struct mm_struct *mm)
{
	info->total_vm_pages = BPF_CORE_READ(mm, total_vm);
	info->locked_vm_pages = BPF_CORE_READ(mm, locked_vm);
	info->pgtables_bytes = BPF_CORE_READ(mm, pgtables_bytes.counter);
	info->file_pages = mm_counter(mm, MM_FILEPAGES);
	info->anon_pages = mm_counter(mm, MM_ANONPAGES);
	info->swap_pages = mm_counter(mm, MM_SWAPENTS);
	info->shmem_pages = mm_counter(mm, MM_SHMEMPAGES);
	info->rss_count_pages = mm_counter_approximate(mm, MM_FILEPAGES) +
				mm_counter_approximate(mm, MM_ANONPAGES) +
				mm_counter_approximate(mm, MM_SHMEMPAGES);
}

static __always_inline void clear_mm(struct mm_info *info)
{
	__builtin_memset(info, 0xff, sizeof(*info));
}

/* The process id inside the innermost pid namespace. */
static __always_inline s32 namespace_tgid(struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	u32 level = BPF_CORE_READ(pid, level);
	s32 nr = -1;

	if (!pid || level > 32)
		return -1;
	bpf_core_read(&nr, sizeof(nr), (void *)pid + bpf_core_field_offset(struct pid, numbers) +
					       level * bpf_core_type_size(struct upid));
	return nr;
}

/*
 * A pid of the initial namespace to its task, through the namespace's idr
 * (lib/radix-tree.c): the old form of mark_victim carries only the number.
 */
VERIFIED_ONCE u64 task_address_by_pid(s32 nr)
{
	struct task_struct *current = (struct task_struct *)bpf_get_current_task();
	struct pid_namespace *ns = BPF_CORE_READ(current, nsproxy, pid_ns_for_children);
	u64 entry;
	struct hlist_node *first;
	int i;

	for (i = 0; i < 32; i++) {
		struct pid_namespace *parent = BPF_CORE_READ(ns, parent);

		if (!parent)
			break;
		ns = parent;
	}
	entry = (u64)BPF_CORE_READ(ns, idr.idr_rt.xa_head);
	for (i = 0; i < PID_TREE_LEVELS; i++) {
		struct xa_node *node;
		u32 shift, slot;

		if ((entry & 3) != 2) /* not an inner node: the entry itself */
			break;
		node = (struct xa_node *)(entry & ~3ULL);
		shift = BPF_CORE_READ(node, shift);
		slot = ((u32)nr >> (shift & 31)) & 63;
		if (bpf_core_read(&entry, sizeof(entry), (void *)node +
				  bpf_core_field_offset(struct xa_node, slots) + slot * sizeof(entry)))
			return 0;
	}
	if (!entry || (entry & 3))
		return 0;
	first = BPF_CORE_READ((struct pid *)entry, tasks[PIDTYPE_PID].first);
	if (!first)
		return 0;
	return (u64)first - bpf_core_field_offset(struct task_struct, pid_links);
}

static __always_inline struct task_struct *task_by_pid(s32 nr)
{
	return (struct task_struct *)task_address_by_pid(nr);
}

static __always_inline void read_task(struct task_info *info, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	info->valid = 1;
	info->tgid = BPF_CORE_READ(task, tgid);
	info->tid = BPF_CORE_READ(task, pid);
	info->ppid = BPF_CORE_READ(task, real_parent, tgid);
	info->ns_tgid = namespace_tgid(task);
	info->uid = BPF_CORE_READ(task, real_cred, uid.val);
	info->oom_score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	info->start_boot_ns = BPF_CORE_READ(leader, start_boottime);
	bpf_core_read(info->comm, sizeof(info->comm), &task->comm);
}

/* Where a walk up the directory tree has come to. */
struct exe_walk {
	u64 dentry;
	u64 mount;
	u64 off;
	u64 cut;
};

static struct exe_walk exe_walk;

/* One step: a name, or from the root of a mount to where it is mounted. False
 * at the root of all, and for a file without a directory, which has a name too:
 * "memfd:NAME" (mm/memfd.c). */
static __always_inline bool exe_step(struct exe_walk *walk, u8 *exe)
{
	struct dentry *dentry = (struct dentry *)walk->dentry;
	struct mount *mount = (struct mount *)walk->mount;
	u64 parent = (u64)BPF_CORE_READ(dentry, d_parent), off;
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	u8 first = 0;
	long len;

	bpf_probe_read_kernel(&first, sizeof(first), name);
	if (walk->dentry == (u64)BPF_CORE_READ(mount, mnt.mnt_root) || (walk->dentry == parent && first == '/')) {
		u64 up = (u64)BPF_CORE_READ(mount, mnt_parent);

		if (up == walk->mount)
			return false;
		walk->dentry = (u64)BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = up;
		return true;
	}
	off = walk->off;
	/* 5.10 forgets the bounds of a number on the stack: from the check on it must
	 * stay in a register. */
	asm volatile("" : "+r"(off));
	if (off > EXE_LEN - PATH_NAME_LEN) {
		walk->cut = 1;
		return false;
	}
	len = bpf_probe_read_kernel_str(exe + off, PATH_NAME_LEN, name);
	if (len <= 0)
		return false;
	walk->off = off + len;
	if (walk->dentry == parent)
		return false;
	walk->dentry = parent;
	return true;
}

/* Puts a walk at an mm's executable. False where it has none. */
static __always_inline bool exe_begin(struct exe_walk *walk, struct mm_struct *mm)
{
	struct file *exe = BPF_CORE_READ(mm, exe_file);

	walk->off = 0;
	walk->cut = 0;
	if (!exe)
		return false;
	walk->dentry = (u64)BPF_CORE_READ(exe, f_path.dentry);
	walk->mount = (u64)BPF_CORE_READ(exe, f_path.mnt) - bpf_core_field_offset(struct mount, mnt);
	return true;
}

VERIFIED_ONCE u32 exe_step_up(void) { return exe_step(&exe_walk, scratch.exe); }

/*
 * The executable's path into scratch.exe, leaf first, across the mounts up to
 * the root of the mount tree (fs/d_path.c, prepend_path). Returns its length.
 */
VERIFIED_ONCE u64 walk_exe(u64 mm_address)
{
	int i;

	if (!exe_begin(&exe_walk, (struct mm_struct *)mm_address))
		return 0;
	for (i = 0; i < EXE_LEVELS; i++) {
		if (!exe_step_up())
			return exe_walk.off;
	}
	exe_walk.cut = 1;
	return exe_walk.off;
}

static __always_inline void append_exe(struct task_info *info, struct mm_struct *mm)
{
	u64 len = walk_exe((u64)mm);

	if (exe_walk.cut)
		info->flags |= TASK_EXE_CUT;
	info->exe = tail_append(scratch.exe, len, EXE_LEN);
}

#endif
