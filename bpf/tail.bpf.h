/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The record under construction. One of it is enough: every caller of
 * mark_oom_victim() and out_of_memory() holds oom_lock (mm/oom_kill.c).
 */
#ifndef OOMTRACE_TAIL_H
#define OOMTRACE_TAIL_H

#include "compat.bpf.h"

struct scratch {
	struct victim_event event;
	u8 tail[TAIL_LEN];  /* right behind the event: the two go out as one */
	u32 tail_len;
	u8 path[PATH_LEN];
	u8 exe[EXE_LEN];
	u64 stack[STACK_DEPTH];
	struct memcg_info chain[PATH_LEVELS];
	struct zone_info zones[MAX_ZONES];
	struct candidate_info candidates[CANDIDATE_SLOTS];
	struct user_frame frames[USER_STACK_DEPTH];
};

static struct scratch scratch;

/*
 * Copies len bytes to a tail of that much room; max is len's bound, a constant. What does not
 * fit is left out: an empty span.
 */
static __always_inline struct span append_to(u8 *tail, u32 *tail_len, const u64 room, const void *from, u64 len, const u64 max)
{
	struct span span = {};
	u64 off = *tail_len;

	if (!len)
		return span;
	/* Keeps the compiler from folding the checks into one that the verifier
	 * cannot follow, and from making them on copies. */
	asm volatile("" : "+r"(len), "+r"(off));
	if (len > max || off > room - max)
		return span;
	if (bpf_probe_read_kernel(tail + off, len, from))
		return span;
	span.off = off;
	span.len = len;
	*tail_len = (off + len + 7) & ~7U;
	return span;
}

static __always_inline struct span tail_append(const void *from, u64 len, const u64 max)
{
	return append_to(scratch.tail, &scratch.tail_len, TAIL_LEN, from, len, max);
}

#endif
