// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds what to add to a per-CPU pointer to reach CPU n's copy, with no symbol:
 * the address of a per-CPU array's element on that CPU, less the per-CPU
 * pointer the array itself keeps for it. Needed from 6.2 on, where rss is kept
 * per CPU; bpf_map_lookup_percpu_elem is there since 5.19.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define MAX_CPUS 1024

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct bpf_map {
	u32 id;
} __attribute__((preserve_access_index));

struct bpf_array {
	struct bpf_map map;
	void *pptrs[1];
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map {
	struct bpf_map *map;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} cell SEC(".maps");

u32 cell_id;
u32 cell_cpus;
u64 cell_offsets[MAX_CPUS];

static __always_inline u64 cell_base(struct bpf_map *map)
{
	u64 base = 0;

	bpf_probe_read_kernel(&base, sizeof(base),
			      (void *)map + bpf_core_field_offset(struct bpf_array, pptrs));
	return base;
}

SEC("iter/bpf_map")
int find_percpu_offsets(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;
	u32 cpu, zero = 0;
	u64 base;

	if (!map || BPF_CORE_READ(map, id) != cell_id)
		return 0;
	base = cell_base(map);
	for (cpu = 0; cpu < MAX_CPUS; cpu++) {
		volatile u64 *slot = &cell_offsets[cpu];
		void *here;

		if (cpu >= cell_cpus)
			break;
		here = bpf_map_lookup_percpu_elem(&cell, &zero, cpu);
		if (!here)
			break;
		/* The verifier lets no number be taken from a pointer: through
		 * memory it becomes a number itself. */
		*slot = (u64)here;
		*slot -= base;
	}
	return 0;
}
