// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs. An OOM runs as: out_of_memory → oom_evaluate_task for each task →
 * oom_kill_process → __oom_kill_process → mark_victim for each victim, all in
 * the task whose allocation failed, under oom_lock (mm/oom_kill.c). The
 * programs on functions collect what the decision knows; mark_victim sends it.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "event.h"
#include "compat.bpf.h"
#include "tail.bpf.h"
#include "cgroup.bpf.h"
#include "task.bpf.h"
#include "memory.bpf.h"
#include "candidates.bpf.h"
#include "cmdline.bpf.h"
#include "sigkill.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

/* What user space must never lose sight of; see enum counter. Mapped: it looks after
 * each record. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, COUNTER_COUNT);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

/* For user space alone; by enum counter. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COUNTER_COUNT);
	__type(key, u32);
	__type(value, struct ledger_entry);
} ledger SEC(".maps");

/* Puts types into the BTF that the code only names on its stack. */
const struct cgroup_event *wire_cgroup_event __attribute__((unused));
const struct shared_mm_event *wire_shared_mm_event __attribute__((unused));
const struct span *wire_span __attribute__((unused));
const struct zone_info *wire_zone_info __attribute__((unused));
const struct user_frame *wire_user_frame __attribute__((unused));
const enum event_type *wire_event_type __attribute__((unused));
const enum hook_bit *wire_hook_bit __attribute__((unused));
const enum task_flag *wire_task_flag __attribute__((unused));
const enum memcg_flag *wire_memcg_flag __attribute__((unused));
const enum memcg_stat *wire_memcg_stat __attribute__((unused));
const enum vm_stat *wire_vm_stat __attribute__((unused));
const enum decision_valid *wire_decision_valid __attribute__((unused));
const enum reap_result *wire_reap_result __attribute__((unused));
const enum counter *wire_counter __attribute__((unused));
const enum sigkill_info *wire_sigkill_info __attribute__((unused));
const enum sender_flag *wire_sender_flag __attribute__((unused));
const struct parent_info *wire_parent_info __attribute__((unused));

#define MARKS_TOGETHER_NS (100 * 1000 * 1000ULL)
#define MAX_MM_VICTIMS 16
#define NO_VICTIM_EVERY_NS (1000 * 1000 * 1000ULL)

/* Programs that see an OOM before it marks a task. */
#define EARLIER_HOOKS (HOOK_OUT_OF_MEMORY | HOOK_OOM_KILL_PROCESS | HOOK_KILL_VICTIM | HOOK_EVALUATE_TASK)

struct marked {
	struct exit_event event;
	u64 mm;
	u32 next; /* tgid of one marked before that has the same mm, 0 for none */
	u32 pad;
};

/* Victims that have not exited yet, by tgid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct marked);
} victims SEC(".maps");

/* The last victim that an mm is of: where exit_mmap reports it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u32);
} victim_mms SEC(".maps");

/* When a cgroup last found no process to kill: it may try again for ever. */
struct repeated {
	u64 sent_ns; /* CLOCK_BOOTTIME */
	u64 since;   /* times since then that were not sent */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, u64); /* kernfs id, 0 for the machine */
	__type(value, struct repeated);
} no_victims SEC(".maps");

/* The OOM under way. */
static struct {
	u64 incident_ns;  /* CLOCK_BOOTTIME at its begin */
	u64 last_mark_ns; /* CLOCK_BOOTTIME of the mark before */
	u64 tid;          /* of the task that runs it; 0 when none does */
	u32 hooks;        /* enum hook_bit seen so far */
	s32 killing_tgid;  /* what __oom_kill_process was called for */
	u64 memcg;        /* oom_control.memcg */
	struct decision_info info;
	s32 last_victim;  /* tgid marked last: for the shared-mm kills after it */
	u32 decision_len; /* bytes of scratch.tail that all its victims share; 0: none yet */
	u64 last_mm;
	u64 argument;     /* see untyped() */
} oom;

/* Says whether any victim is still around, so that exits cost nothing else. */
static u64 live_victims;

/* Set by the loader as it attaches; a link may have ended since, with its reader. */
u32 kill_victim_hooked;
u32 exit_mmap_hooked;

/* 1: SIGKILLs other than the OOM killer's are sent too. */
const volatile u32 follow_sigkills = 0;

/* The address range of __oom_kill_process, 0 when unknown, which is looked for
 * in the stack that leads to mark_victim. */
const volatile u64 kill_start = 0;
const volatile u64 kill_end = 0;

/* The same of mem_cgroup_scan_tasks, through which an oom.group's victims are
 * found (oom_kill_process in mm/oom_kill.c, since 4.19). */
const volatile u64 scan_start = 0;
const volatile u64 scan_end = 0;

static __always_inline void count(enum counter which)
{
	u32 key = which;
	u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

static __always_inline void fill_header(struct event_header *hdr, u16 type, u32 size)
{
	hdr->layout = WIRE_LAYOUT;
	hdr->type = type;
	hdr->size = size;
	hdr->boot_ns = bpf_ktime_get_boot_ns();
	hdr->mono_ns = bpf_ktime_get_ns();
	hdr->incident_ns = oom.incident_ns;
}

static __always_inline void begin_oom(void)
{
	oom.incident_ns = bpf_ktime_get_boot_ns();
	oom.tid = bpf_get_current_pid_tgid();
	oom.hooks = 0;
	oom.killing_tgid = 0;
	/* Of the OOM before: a process made since can have its mm at that address. */
	oom.last_victim = 0;
	oom.last_mm = 0;
	oom.memcg = 0;
	oom.info.valid = 0;
	oom.decision_len = 0;
	forget_candidates();
}

/*
 * An argument of fentry or tp_btf is a typed pointer to the verifier, which a
 * VERIFIED_ONCE function does not take: through memory it becomes a number.
 */
static __always_inline void *untyped(u64 argument)
{
	volatile u64 *slot = &oom.argument;

	*slot = argument;
	return (void *)*slot;
}

/* The OOM under way is the one this task runs. */
static __always_inline bool ours(void)
{
	return oom.tid == bpf_get_current_pid_tgid();
}

/* The nodes that the allocation could use, by its policy and by its cpuset. */
static __always_inline void take_nodes(struct decision_info *info, struct oom_control *oc)
{
	u64 mask = (u64)BPF_CORE_READ(oc, nodemask);

	info->nodemask = read_u64_at(mask);
	info->mems_allowed = task_mems_allowed((struct task_struct *)bpf_get_current_task());
}

/*
 * What the allocation asked for. False when this is no oom_control: a copy of
 * the function that the compiler made may take other arguments.
 */
static __always_inline bool take_request(struct oom_control *oc)
{
	struct decision_info *info = &oom.info;
	u32 gfp_mask;

	if (bpf_core_read(&gfp_mask, sizeof(gfp_mask), &oc->gfp_mask))
		return false;
	info->gfp_mask = gfp_mask;
	info->order = BPF_CORE_READ(oc, order);
	info->boot_ns = bpf_ktime_get_boot_ns();
	take_nodes(info, oc);
	info->valid = DECISION_ASKED;
	oom.memcg = (u64)BPF_CORE_READ(oc, memcg);
	return true;
}

static __always_inline void take_domain(struct oom_control *oc, s32 chosen_tid)
{
	struct decision_info *info = &oom.info;

	if (!take_request(oc))
		return;
	info->constraint = BPF_CORE_READ(oc, constraint);
	info->total_pages = BPF_CORE_READ(oc, totalpages);
	info->chosen_points = BPF_CORE_READ(oc, chosen_points);
	info->chosen_tid = chosen_tid;
	info->valid = DECISION_MADE;
}

/* The victim to be: a task, out of a domain with pages. */
static __always_inline void take_decision(struct oom_control *oc)
{
	struct task_struct *chosen = NULL;
	unsigned long total_pages = 0;
	s32 order = 0;

	bpf_core_read(&order, sizeof(order), &oc->order);
	bpf_core_read(&total_pages, sizeof(total_pages), &oc->totalpages);
	if (bpf_core_read(&chosen, sizeof(chosen), &oc->chosen) || !chosen)
		return;
	if (!total_pages && order != SYSRQ_ORDER)
		return;
	take_domain(oc, BPF_CORE_READ(chosen, pid));
}

static __always_inline int on_out_of_memory(struct oom_control *oc)
{
	begin_oom();
	oom.hooks = HOOK_OUT_OF_MEMORY;
	/* constraint and totalpages are set further down in the function */
	take_request(oc);
	return 0;
}

/* The OOM that a program sees, which can be the first of its programs. */
static __always_inline void join_oom(u32 over)
{
	if (!ours() || (oom.hooks & over))
		begin_oom();
}

static __always_inline int on_evaluate_task(struct task_struct *task, struct oom_control *oc)
{
	join_oom(HOOK_OOM_KILL_PROCESS | HOOK_KILL_VICTIM | HOOK_MARK_VICTIM);
	oom.hooks |= HOOK_EVALUATE_TASK;
	if (!weighed.total)
		take_domain(oc, 0);
	if (may_be_chosen(task, oc))
		weigh(task, oom.info.total_pages);
	return 0;
}

static __always_inline int on_oom_kill_process(struct oom_control *oc)
{
	join_oom(HOOK_OOM_KILL_PROCESS | HOOK_KILL_VICTIM | HOOK_MARK_VICTIM);
	oom.hooks |= HOOK_OOM_KILL_PROCESS;
	take_decision(oc);
	return 0;
}

static __always_inline int on_kill_victim(struct task_struct *victim)
{
	join_oom(0);
	oom.hooks |= HOOK_KILL_VICTIM;
	oom.killing_tgid = BPF_CORE_READ(victim, tgid);
	return 0;
}

static __always_inline void start_event(u16 type)
{
	struct victim_event *event = &scratch.event;

	__builtin_memset(event, 0, sizeof(*event));
	fill_header(&event->hdr, type, 0);
	__builtin_memset(&event->limit, 0xff, sizeof(event->limit));
	__builtin_memset(&event->limit_stat, 0xff, sizeof(event->limit_stat));
	__builtin_memset(&event->memory, 0xff, sizeof(event->memory));
	clear_mm(&event->mm);
	scratch.tail_len = 0;
	oom.decision_len = 0;
}

static __noinline int append_kernel_stack(void *ctx)
{
	long len = bpf_get_stack(ctx, scratch.stack, sizeof(scratch.stack), 0);

	if (len > 0)
		scratch.event.kernel_stack = tail_append(scratch.stack, len, sizeof(scratch.stack));
	return 0;
}

static __noinline int append_user_stack(void *ctx)
{
	long len = bpf_get_stack(ctx, scratch.stack, USER_STACK_DEPTH * sizeof(u64), BPF_F_USER_STACK);

	if (len > 0)
		scratch.event.user_stack = tail_append(scratch.stack, len, USER_STACK_DEPTH * sizeof(u64));
	return 0;
}

/* The same by build id: the addresses say nothing once the mappings are removed,
 * which they are when the task that asked is the victim. */
static __noinline int append_user_frames(void *ctx)
{
	long len = bpf_get_stack(ctx, scratch.frames, sizeof(scratch.frames), BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);

	if (len > 0)
		scratch.event.user_frames = tail_append(scratch.frames, len, sizeof(scratch.frames));
	return 0;
}

/* The limit's own numbers are read last of all, since the report, if there is
 * one, has just brought memory.stat up to date. */
VERIFIED_ONCE int append_limit(void)
{
	struct mem_cgroup *memcg = (struct mem_cgroup *)oom.memcg;
	struct victim_event *event = &scratch.event;

	if (!memcg)
		return 0;
	read_memcg(&event->limit, memcg);
	event->limit_path = append_path(BPF_CORE_READ(memcg, css.cgroup, kn), &event->limit.flags, MEMCG_CUT);
	read_memcg_stat((u64)memcg);
	return 0;
}

static __always_inline void append_task_paths(struct task_info *info, struct task_struct *task, struct mm_struct *mm)
{
	append_task_cgroup(info, task);
	if (!mm)
		return;
	append_cmdline(info, task, mm);
	append_exe(info, mm);
}

VERIFIED_ONCE int append_trigger(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	read_task(&scratch.event.trigger, task);
	append_task_paths(&scratch.event.trigger, task, BPF_CORE_READ(task, mm));
	return 0;
}

VERIFIED_ONCE int append_victim(u64 address)
{
	struct task_struct *task = (struct task_struct *)address;
	struct mm_struct *mm = process_mm(task);

	read_task(&scratch.event.victim, task);
	append_task_paths(&scratch.event.victim, task, mm);
	if (mm)
		read_mm(&scratch.event.mm, mm);
	scratch.event.chain = append_chain(task_memcg(task));
	return 0;
}

static __always_inline void send(enum counter lost)
{
	u32 len = sizeof(struct victim_event) + scratch.tail_len;

	scratch.event.hdr.size = len;
	if (len > sizeof(struct victim_event) + TAIL_LEN ||
	    bpf_ringbuf_output(&events, &scratch, len, 0))
		count(lost);
}

VERIFIED_ONCE int stack_has(u64 start, u64 end)
{
	u32 i;

	for (i = 0; i < STACK_DEPTH; i++) {
		if (i * sizeof(u64) >= scratch.event.kernel_stack.len)
			break;
		if (scratch.stack[i] >= start && scratch.stack[i] < end)
			return 1;
	}
	return 0;
}

/*
 * 1 killed, 0 only marked, 2 not known. That the kill's program says nothing counts
 * only where another one saw this OOM: their links may have ended together.
 */
static __always_inline u32 was_killed(struct task_struct *victim)
{
	if ((oom.hooks & HOOK_KILL_VICTIM) && victim && oom.killing_tgid == BPF_CORE_READ(victim, tgid))
		return 1;
	if (kill_start)
		return stack_has(kill_start, kill_end);
	return kill_victim_hooked && (oom.hooks & EARLIER_HOOKS) ? 0 : 2;
}

/* The entry of a process, if it is its own: pids come again. */
static __always_inline struct marked *marked_process(u32 tgid, u64 start_boot_ns)
{
	struct marked *marked = bpf_map_lookup_elem(&victims, &tgid);

	return marked && marked->event.start_boot_ns == start_boot_ns ? marked : NULL;
}

static __always_inline struct marked *marked_task(struct task_struct *task)
{
	return marked_process(BPF_CORE_READ(task, tgid), BPF_CORE_READ(task, group_leader, start_boottime));
}

/*
 * Processes that share an mm can each be marked: killed as one of an oom.group,
 * or found on its way out by the next OOM.
 */
static __always_inline void follow_mm(struct marked *marked)
{
	u64 mm = marked->mm;
	u32 tgid = marked->event.tgid, *owner;
	struct marked *known = bpf_map_lookup_elem(&victims, &tgid);

	if (!exit_mmap_hooked || !mm || (known && known->mm == mm))
		return;
	owner = bpf_map_lookup_elem(&victim_mms, &mm);
	if (owner && *owner != tgid)
		marked->next = *owner;
	if (bpf_map_update_elem(&victim_mms, &mm, &tgid, BPF_ANY))
		count(COUNTER_LOST_EXIT);
}

static __always_inline void follow_victim(struct task_struct *task)
{
	struct victim_event *event = &scratch.event;
	struct marked marked = {};
	u32 tgid = event->victim.tgid;

	marked.event.tgid = tgid;
	marked.event.tid = event->victim.tid;
	marked.event.start_boot_ns = event->victim.start_boot_ns;
	marked.event.marked_boot_ns = event->hdr.boot_ns;
	marked.event.hdr.incident_ns = event->hdr.incident_ns;
	__builtin_memcpy(marked.event.comm, event->victim.comm, COMM_LEN);
	marked.mm = (u64)process_mm(task);
	oom.last_victim = tgid;
	oom.last_mm = marked.mm;
	follow_mm(&marked);
	if (!bpf_map_update_elem(&victims, &tgid, &marked, BPF_NOEXIST)) {
		__sync_fetch_and_add(&live_victims, 1);
		return;
	}
	/* A victim whose exit was not seen, and whose pid is this one's now, or one
	 * of another OOM, which goes on as it began. */
	if (!marked_process(tgid, marked.event.start_boot_ns) &&
	    bpf_map_update_elem(&victims, &tgid, &marked, BPF_EXIST))
		count(COUNTER_LOST_EXIT);
}

/*
 * With no program that saw this OOM, the stack separates its first victim from those of
 * an oom.group that follow. Where the symbol is hidden, marks by one task that
 * come at once belong together.
 */
static __always_inline bool starts_oom(void)
{
	u64 now = scratch.event.hdr.boot_ns, last = oom.last_mark_ns;

	oom.last_mark_ns = now;
	if (!ours())
		return true;
	if (oom.hooks & EARLIER_HOOKS)
		return false;
	if (scan_start)
		return !stack_has(scan_start, scan_end);
	return now - last > MARKS_TOGETHER_NS;
}

/*
 * An oom.group's chosen process is marked twice, the second time by another
 * thread where the first has left its mm by then: one record a process.
 */
static __always_inline bool is_repeated(struct task_struct *task)
{
	struct marked *marked = marked_task(task);

	return marked && marked->event.hdr.incident_ns == oom.incident_ns;
}

/*
 * Of an oom.group, all but the first victim: the kernel decided once and reports
 * once, and what was read then is still in scratch. The time that another reading
 * takes is taken under oom_lock, for each of them.
 */
static __always_inline bool follows_another(struct task_struct *task)
{
	return task && ours() && oom.decision_len && (oom.hooks & HOOK_KILL_VICTIM) &&
	       oom.killing_tgid == BPF_CORE_READ(task, tgid);
}

static __always_inline void next_victim_event(void)
{
	struct victim_event *event = &scratch.event;

	fill_header(&event->hdr, EVENT_VICTIM, 0);
	__builtin_memset(&event->victim, 0, sizeof(event->victim));
	__builtin_memset(&event->chain, 0, sizeof(event->chain));
	clear_mm(&event->mm);
	scratch.tail_len = oom.decision_len;
}

/* What is the same for all victims of an OOM; its stack is there already. */
static __always_inline void append_decision(void *ctx)
{
	append_user_stack(ctx);
	append_user_frames(ctx);
	append_trigger();
	scratch.event.decision = oom.info;
	append_limit();
	read_memory((u64)task_memcg((struct task_struct *)bpf_get_current_task()));
	append_candidates();
	oom.decision_len = scratch.tail_len;
}

/* False when the victim was sent already. */
static __always_inline bool begin_victim_event(void *ctx, struct task_struct *task)
{
	if (follows_another(task)) {
		if (is_repeated(task))
			return false;
		next_victim_event();
		scratch.event.killed = was_killed(task);
		return true;
	}
	start_event(EVENT_VICTIM);
	append_kernel_stack(ctx);
	if (starts_oom())
		begin_oom();
	if (task && is_repeated(task))
		return false;
	scratch.event.killed = was_killed(task); /* while the stack is at hand */
	append_decision(ctx);
	return true;
}

static __always_inline int on_mark_victim(void *ctx, struct task_struct *task, s32 tid)
{
	struct victim_event *event = &scratch.event;

	count(COUNTER_VICTIMS);
	if (!begin_victim_event(ctx, task))
		return 0;
	event->hdr.incident_ns = oom.incident_ns;
	oom.hooks |= HOOK_MARK_VICTIM;
	event->hooks = oom.hooks;
	event->mark_tid = tid;
	if (task)
		append_victim((u64)task);
	send(COUNTER_LOST);
	if (task)
		follow_victim(task);
	return 0;
}

/* The last half of the ring is for kills and what follows them. */
static __always_inline bool ring_is_half_full(void)
{
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >
	       bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2;
}

/* Whether this one is to be sent, and how many were not since the last one. A
 * task that faults is sent round again at once, so each is like the one before. */
static __always_inline bool is_news(u64 *repeats)
{
	struct mem_cgroup *memcg = (struct mem_cgroup *)oom.memcg;
	u64 id = memcg ? BPF_CORE_READ(memcg, css.cgroup, kn, id) : 0;
	struct repeated *known = bpf_map_lookup_elem(&no_victims, &id);
	struct repeated first = {.sent_ns = bpf_ktime_get_boot_ns()};

	*repeats = 0;
	if (!known) {
		bpf_map_update_elem(&no_victims, &id, &first, BPF_ANY);
		return true;
	}
	if (first.sent_ns - known->sent_ns < NO_VICTIM_EVERY_NS) {
		known->since++;
		return false;
	}
	*repeats = known->since;
	*known = first;
	return true;
}

static __always_inline int on_no_victim(void *ctx)
{
	struct victim_event *event = &scratch.event;
	u64 repeats;

	count(COUNTER_NO_VICTIM);
	if (!is_news(&repeats)) {
		count(COUNTER_REPEATED);
		return 0;
	}
	if (ring_is_half_full()) {
		count(COUNTER_LOST_NO_VICTIM);
		return 0;
	}
	start_event(EVENT_NO_VICTIM);
	event->hooks = oom.hooks;
	event->repeats = repeats;
	append_kernel_stack(ctx);
	append_trigger();
	event->decision = oom.info;
	append_limit();
	read_memory((u64)task_memcg((struct task_struct *)bpf_get_current_task()));
	append_candidates();
	send(COUNTER_LOST_NO_VICTIM);
	return 0;
}

/*
 * out_of_memory() returns false when it found no process. While an earlier victim
 * is still exiting it kills none either, but returns true.
 */
static __always_inline int on_out_of_memory_return(void *ctx, bool killed)
{
	bool found = oom.hooks & (HOOK_OOM_KILL_PROCESS | HOOK_MARK_VICTIM);

	if (!ours())
		return 0;
	if (!killed && !found)
		on_no_victim(ctx);
	oom.tid = 0;
	return 0;
}

/* fentry and fexit */

SEC("fentry/out_of_memory")
int fentry_out_of_memory(u64 *ctx)
{
	return on_out_of_memory(untyped(ctx[0]));
}

SEC("fexit/out_of_memory")
int fexit_out_of_memory(u64 *ctx)
{
	return on_out_of_memory_return(ctx, ctx[1] & 0xff);
}

SEC("fentry/oom_evaluate_task")
int fentry_oom_evaluate_task(u64 *ctx)
{
	return on_evaluate_task(untyped(ctx[0]), untyped(ctx[1]));
}

SEC("fentry/oom_kill_process")
int fentry_oom_kill_process(u64 *ctx)
{
	return on_oom_kill_process(untyped(ctx[0]));
}

SEC("fentry/__oom_kill_process")
int fentry_kill_victim(u64 *ctx)
{
	return on_kill_victim(untyped(ctx[0]));
}

/* kprobe and kretprobe */

SEC("kprobe/out_of_memory")
int kprobe_out_of_memory(struct pt_regs *ctx)
{
	return on_out_of_memory((struct oom_control *)PT_REGS_PARM1(ctx));
}

SEC("kretprobe/out_of_memory")
int kretprobe_out_of_memory(struct pt_regs *ctx)
{
	return on_out_of_memory_return(ctx, PT_REGS_RC(ctx) & 0xff);
}

SEC("kprobe/oom_evaluate_task")
int kprobe_oom_evaluate_task(struct pt_regs *ctx)
{
	return on_evaluate_task((struct task_struct *)PT_REGS_PARM1(ctx),
				(struct oom_control *)PT_REGS_PARM2(ctx));
}

SEC("kprobe/oom_kill_process")
int kprobe_oom_kill_process(struct pt_regs *ctx)
{
	return on_oom_kill_process((struct oom_control *)PT_REGS_PARM1(ctx));
}

SEC("kprobe/__oom_kill_process")
int kprobe_kill_victim(struct pt_regs *ctx)
{
	return on_kill_victim((struct task_struct *)PT_REGS_PARM1(ctx));
}

/* mark_victim: raw arguments, or the event's fields */

static __always_inline int mark_victim_raw(u64 *ctx)
{
	struct task_struct *task;

	if (mark_victim_has_task()) {
		task = untyped(ctx[0]);
		return on_mark_victim(ctx, task, BPF_CORE_READ(task, pid));
	}
	return on_mark_victim(ctx, task_by_pid(ctx[0]), ctx[0]);
}

SEC("tp_btf/mark_victim")
int btf_mark_victim(u64 *ctx)
{
	return mark_victim_raw(ctx);
}

SEC("raw_tp/mark_victim")
int raw_mark_victim(u64 *ctx)
{
	return mark_victim_raw(ctx);
}

SEC("tracepoint/oom/mark_victim")
int event_mark_victim(struct trace_event_raw_mark_victim *ctx)
{
	s32 pid = 0;

	bpf_probe_read_kernel(&pid, sizeof(pid), (void *)ctx + bpf_core_field_offset(ctx->pid));
	return on_mark_victim(ctx, task_by_pid(pid), pid);
}

/* what comes after the kill */

/* The reaper comes again up to MAX_OOM_REAP_RETRIES times, until a round was
 * good; each begins and ends, or is skipped (mm/oom_kill.c, oom_reap_task). */

static __always_inline struct marked *marked_by_tid(s32 tid)
{
	struct task_struct *task = task_by_pid(tid);
	u32 tgid = tid;

	return task ? marked_task(task) : bpf_map_lookup_elem(&victims, &tgid);
}

SEC("raw_tp/start_task_reaping")
int raw_start_task_reaping(u64 *ctx)
{
	struct marked *marked = marked_by_tid(ctx[0]);

	if (!marked)
		return 0;
	marked->event.reap_starts++;
	marked->event.reap_last = REAP_STARTED;
	return 0;
}

/* It fires after a round that failed, too. Only another process that maps the mm can
 * make one fail (__oom_reap_task_mm, mmu_notifier_invalidate_range_start_nonblock). */
SEC("raw_tp/finish_task_reaping")
int raw_finish_task_reaping(u64 *ctx)
{
	struct marked *marked = marked_by_tid(ctx[0]);
	struct mm_struct *mm;

	if (!marked)
		return 0;
	mm = (struct mm_struct *)marked->mm;
	marked->event.reap_finishes++;
	marked->event.reap_end_boot_ns = bpf_ktime_get_boot_ns();
	marked->event.reap_last = mm && !mm_has_notifiers(mm) ? REAP_DONE : REAP_UNSURE;
	return 0;
}

SEC("raw_tp/skip_task_reaping")
int raw_skip_task_reaping(u64 *ctx)
{
	struct marked *marked = marked_by_tid(ctx[0]);
	struct mm_struct *mm;

	if (!marked)
		return 0;
	mm = (struct mm_struct *)marked->mm;
	marked->event.reap_skips++;
	marked->event.reap_last = mm && mm_oom_skip(mm) ? REAP_NEEDLESS : REAP_BUSY;
	return 0;
}

VERIFIED_ONCE int report_exit(u32 tgid)
{
	struct marked *marked = bpf_map_lookup_elem(&victims, &tgid);
	struct exit_event event;
	struct mm_struct *mm;
	u64 incident_ns;

	if (!marked)
		return 0;
	event = marked->event;
	incident_ns = event.hdr.incident_ns;
	mm = (struct mm_struct *)marked->mm;
	/* Of two threads that leave last, the one that deletes reports. */
	if (bpf_map_delete_elem(&victims, &tgid))
		return 0;
	__sync_fetch_and_add(&live_victims, -1);
	fill_header(&event.hdr, EVENT_EXIT, sizeof(event));
	event.hdr.incident_ns = incident_ns;
	clear_mm(&event.mm);
	/* mark_oom_victim() holds the mm through signal->oom_mm until the
	 * signal_struct goes, which is after this; exit_mmap has it in hand. */
	if (mm && !mm_may_yet_go(mm))
		read_mm(&event.mm, mm);
	if (bpf_ringbuf_output(&events, &event, sizeof(event), 0))
		count(COUNTER_LOST_EXIT);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int raw_sched_process_exit(u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct marked *marked;

	note_exit(task);
	if (!live_victims)
		return 0;
	marked = marked_task(task);
	if (!marked || BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0;
	if (marked->mm && (exit_mmap_hooked || process_mm(task) || !mm_is_let_go((struct mm_struct *)marked->mm)))
		return 0; /* the memory is still to go, and this or another hook comes again */
	report_exit(bpf_get_current_pid_tgid() >> 32);
	return 0;
}

/*
 * The end of an mm: its last user tears it down, a thread of its
 * process as a rule. sched_process_exit can come before that on any kernel, since
 * of several threads the last to be counted out need not be its last user;
 * since 6.16 it does so always.
 */
static __always_inline int on_exit_mmap(u64 mm)
{
	struct marked *marked;
	u32 tgid, next, i, *owner;

	if (!live_victims)
		return 0;
	owner = bpf_map_lookup_elem(&victim_mms, &mm);
	if (!owner)
		return 0;
	tgid = *owner;
	bpf_map_delete_elem(&victim_mms, &mm);
	for (i = 0; i < MAX_MM_VICTIMS && tgid; i++) {
		marked = bpf_map_lookup_elem(&victims, &tgid);
		if (!marked || marked->mm != mm)
			return 0;
		next = marked->next;
		report_exit(tgid);
		tgid = next;
	}
	if (tgid)
		count(COUNTER_LOST_EXIT);
	return 0;
}

SEC("raw_tp/exit_mmap")
int raw_exit_mmap(u64 *ctx)
{
	return on_exit_mmap(ctx[0]);
}

/* Where there is no tracepoint. */
SEC("fexit/exit_mmap")
int fexit_exit_mmap(u64 *ctx)
{
	return on_exit_mmap(ctx[0]);
}

static __always_inline void report_shared_mm(struct task_struct *task)
{
	struct shared_mm_event event = {};

	fill_header(&event.hdr, EVENT_SHARED_MM, sizeof(event));
	event.tgid = BPF_CORE_READ(task, tgid);
	event.victim_tgid = oom.last_victim;
	bpf_core_read(event.comm, sizeof(event.comm), &task->comm);
	if (bpf_ringbuf_output(&events, &event, sizeof(event), 0))
		count(COUNTER_LOST_EXIT);
}

/*
 * Processes that share the victim's mm are killed right after it, with neither
 * tracepoint nor log line of their own: only their SIGKILL shows it.
 */
VERIFIED_ONCE u32 shares_victim_mm(u64 address)
{
	struct task_struct *task = (struct task_struct *)address;

	return oom.last_mm && ours() && (u64)process_mm(task) == oom.last_mm &&
	       BPF_CORE_READ(task, tgid) != oom.last_victim;
}

/*
 * The OOM killer signals its victim before it marks it. Where neither a program on
 * __oom_kill_process runs nor its address is known, the kernel's other SIGKILLs look
 * the same: only those of an exiting sender are taken for such.
 */
static __always_inline bool sent_by_oom_killer(struct sigkill_scratch *s, void *ctx, u32 flags, struct task_struct *task)
{
	if (ours() && (oom.hooks & HOOK_KILL_VICTIM) && oom.killing_tgid == BPF_CORE_READ(task, tgid))
		return true;
	if (kill_start)
		return sigkill_stack_has(s, ctx, kill_start, kill_end);
	return !kill_victim_hooked && !(flags & SENDER_EXITING);
}

VERIFIED_ONCE u32 sender_flags(u64 from, u64 to)
{
	struct task_struct *sender = (struct task_struct *)from, *task = (struct task_struct *)to;
	u32 flags = BPF_CORE_READ(sender, flags), out = 0;

	if (flags & PF_EXITING)
		out |= SENDER_EXITING;
	if (flags & PF_KTHREAD)
		out |= SENDER_KTHREAD;
	else if (BPF_CORE_READ(sender, tgid) > 1 && namespace_tgid(sender) == 1)
		out |= SENDER_NS_INIT;
	if (BPF_CORE_READ(sender, tgid) == BPF_CORE_READ(task, tgid))
		out |= SENDER_SELF;
	if (BPF_CORE_READ(task, ptrace) && BPF_CORE_READ(task, parent, tgid) == BPF_CORE_READ(sender, tgid))
		out |= SENDER_PTRACER;
	if (is_new(task))
		out |= SENDER_FORKING;
	return out;
}

VERIFIED_ONCE int fill_sigkill(u64 siginfo, u32 flags, u64 address)
{
	struct task_struct *sender = (struct task_struct *)bpf_get_current_task(), *task = (struct task_struct *)address;
	struct mm_struct *mm = process_mm(task);
	struct marked *marked = marked_task(sender);
	struct sigkill_scratch *s = this_sigkill();
	struct sigkill_event *event;

	if (!s)
		return 0;
	event = &s->event;
	__builtin_memset(event, 0, sizeof(*event));
	s->tail_len = 0;
	fill_header(&event->hdr, EVENT_SIGKILL, 0);
	if (marked) {
		flags |= SENDER_VICTIM;
		event->hdr.incident_ns = marked->event.hdr.incident_ns;
	} else if (!(flags & SENDER_OOM_KILLER)) {
		event->hdr.incident_ns = 0;
	}
	event->sender_flags = flags;
	event->info = siginfo > SEND_SIG_PRIV ? SIGKILL_INFO_SENDER : siginfo;
	event->code = siginfo == SEND_SIG_PRIV ? SI_KERNEL : SI_USER;
	if (siginfo > SEND_SIG_PRIV)
		event->code = BPF_CORE_READ((struct kernel_siginfo *)siginfo, si_code);
	clear_mm(&event->mm);
	sigkill_task(s, &event->victim, task, mm);
	if (mm)
		read_mm(&event->mm, mm);
	sigkill_task(s, &event->sender, sender, BPF_CORE_READ(sender, mm));
	sigkill_chain(s, task);
	sigkill_parents((u64)sender);
	return 0;
}

static __always_inline void send_sigkill(struct sigkill_scratch *s)
{
	u64 len = sizeof(s->event) + s->tail_len;

	s->event.hdr.size = len;
	if (ring_is_half_full()) {
		count(COUNTER_LOST_SIGKILL);
		return;
	}
	/* The check must be on what is passed on. */
	asm volatile("" : "+r"(len));
	if (len > sizeof(s->event) + SIGKILL_TAIL_LEN || bpf_ringbuf_output(&events, s, len, 0))
		count(COUNTER_LOST_SIGKILL);
}

static __always_inline int on_sigkill(void *ctx, u64 siginfo, struct task_struct *task, u32 group)
{
	struct task_struct *sender = (struct task_struct *)bpf_get_current_task();
	struct sigkill_scratch *s;
	u32 flags;

	if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
		return 0;
	s = this_sigkill();
	if (!s)
		return 0;
	flags = sender_flags((u64)sender, (u64)task);
	if (shares_victim_mm((u64)task))
		flags |= SENDER_OOM_KILLER;
	else if (siginfo == SEND_SIG_PRIV && sent_by_oom_killer(s, ctx, flags, task))
		return 0;
	fill_sigkill(siginfo, flags, (u64)task);
	s->event.group = group;
	send_sigkill(s);
	return 0;
}

SEC("raw_tp/signal_generate")
int raw_signal_generate(u64 *ctx)
{
	struct task_struct *task;

	/* One that was ignored or is pending already changes nothing. */
	if ((int)ctx[0] != SIGKILL || (int)ctx[4] != TRACE_SIGNAL_DELIVERED)
		return 0;
	task = (struct task_struct *)ctx[2];
	if (ctx[1] == SEND_SIG_PRIV && shares_victim_mm((u64)task))
		report_shared_mm(task);
	if (!follow_sigkills)
		return 0;
	return on_sigkill(ctx, ctx[1], task, ctx[3]);
}

/* what has to be known before */

SEC("raw_tp/sched_process_exec")
int raw_sched_process_exec(u64 *ctx)
{
	(void)ctx;
	remember_cmdline();
	return 0;
}

SEC("raw_tp/cgroup_mkdir")
int raw_cgroup_mkdir(u64 *ctx)
{
	struct cgroup *cgroup = (struct cgroup *)ctx[0];
	struct cgroup_event *event = NULL;
	long len;

	if (!ring_is_half_full())
		event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNTER_LOST_CGROUP);
		return 0;
	}
	fill_header(&event->hdr, EVENT_CGROUP, sizeof(*event));
	event->id = BPF_CORE_READ(cgroup, kn, id);
	len = bpf_probe_read_kernel_str(event->path, sizeof(event->path), (void *)ctx[1]);
	event->len = len > 0 ? len - 1 : 0;
	event->pad = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}
