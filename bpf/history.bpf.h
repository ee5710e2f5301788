/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the maps of history.bpf.c hold; user space reads them (internal/history). */
#ifndef OOMTRACE_HISTORY_H
#define OOMTRACE_HISTORY_H

/* A stamp is CLOCK_BOOTTIME >> UNIT_SHIFT, about a millisecond; 0 is none. */
#define UNIT_SHIFT 20
#define STAMP_RANGE (1U << 31)
/* Slots of 134 ms, 1.1 s, 8.6 s, 69 s, 9 min, 73 min: 9.8 hours back. */
#define LEVELS 6
#define SLOTS 8
#define FIRST_SHIFT 7
#define LEVEL_SHIFT 3
#define CHARGERS 8
#define WINDOW_NS (1ULL << 37) /* 137 s */
#define KILLED_SLOTS 32

struct growth_point {
	u32 when;
	u32 pages; /* page_counter.usage before a charge */
};

enum growth_flag {
	GROWTH_KERNEL = 1,  /* a kernel thread */
	GROWTH_OUTSIDE = 2, /* not in the cgroup: it charged what another will use */
};

struct growth_charger {
	u64 start_boot_ns; /* CLOCK_BOOTTIME */
	u32 tgid;          /* 0: free */
	u32 pages;         /* charged in the window under way */
	u32 before;        /* pages, in the window before */
	u32 rank;          /* pages of those it took the place of; for the order alone */
	u32 flags;         /* enum growth_flag */
	u32 pad;
	u8 comm[16];       /* of the process's leader */
};

struct growth {
	u64 serial;           /* css.serial_nr, unique since boot */
	u64 cgroup_id;        /* kernfs id */
	u64 first_ns;         /* CLOCK_BOOTTIME, as all _ns here: first charge seen */
	u64 last_ns;          /* last charge seen */
	u64 near_since_ns;    /* at 95 % of the limit or more since then; 0: it is not */
	u64 window_ns;        /* begin of the window under way */
	u64 window_before_ns; /* begin of the one before it */
	u32 last_pages;       /* usage before the last charge */
	u32 peak_pages;       /* highest usage seen */
	u32 peak_when;        /* stamp */
	u32 hits;             /* charges that this cgroup's limit refused */
	struct growth_point points[LEVELS * SLOTS];
	struct growth_charger chargers[CHARGERS];
};

/* One write of a limit or of a cpuset's nodes, before it took effect. */
struct limit_write {
	u64 boot_ns; /* CLOCK_BOOTTIME; 0: none */
	u64 from;    /* pages; of a cpuset the effective nodes, a bit each, the first 64 */
	u64 cgroup_id; /* the writer's memory cgroup */
	u32 tgid;
	u32 pad;
	u8 comm[16];
};

struct limit_writes {
	struct limit_write last;
	struct limit_write before; /* the last one that changed it before that */
};

/* The last write of a process's oom_score_adj. */
struct adj_write {
	u64 boot_ns;   /* CLOCK_BOOTTIME */
	u64 cgroup_id; /* the writer's memory cgroup */
	u32 tgid;      /* the writer */
	s32 adj;       /* as written */
	u8 comm[16];
};

#define BATCH 64 /* MEMCG_CHARGE_BATCH (5.10: 32) */
#define STOCK_SETS 32

struct stock_owner {
	u64 counter;
	u64 start_boot_ns;
	u32 tgid;
	u32 pad;
};

struct stocks_of_cpu {
	u64 tick;    /* jiffies when tick_ns was read */
	u64 tick_ns; /* CLOCK_BOOTTIME */
	struct stock_owner owners[STOCK_SETS][2]; /* the last first */
};

struct killed {
	u64 boot_ns; /* CLOCK_BOOTTIME of the decision; 0: being written */
	u64 cgroup_id; /* of the limit; 0: none was hit, and of what follows only tid and mems are valid */
	u64 usage_pages;
	u64 max_pages;
	u64 high_pages; /* memory.high */
	u32 tid; /* of the task whose allocation failed */
	u32 pad;
	struct limit_writes max_writes;
	struct limit_writes high_writes;
	struct limit_writes mems_writes; /* of the trigger's cpuset, or of the next above it that was written to */
	u64 mems; /* that cpuset's effective nodes, a bit each, the first 64 */
	struct growth growth; /* .serial is 0 where none was followed */
};

#endif
