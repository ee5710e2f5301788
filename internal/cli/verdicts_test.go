package cli

import (
	"slices"
	"testing"

	"github.com/oomtrace/oomtrace/internal/explain"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// verdict is what a scenario's explanation must be, what must be among its
// reasons, and what must not.
type verdict struct {
	is        string
	also, not []string
	// low asks for memory_free_low, unless others have freed memory between the
	// kernel's last try and the kill: the record says then that more is free.
	low bool
	// armToo is what an arm64 guest may give instead. Its zram takes so much of
	// the little memory that the kernel runs out of it before swap is full, and
	// with hardly any page cache left it swaps at swappiness 0 too
	// (mm/vmscan.c, get_scan_count).
	armToo []string
}

func verdicts() map[string]verdict {
	anon := func(also string, not ...string) verdict {
		return verdict{is: "limit_anon", also: []string{also}, not: not}
	}
	kubelet := []string{"kubelet_no_swap", "kubelet_qos_no_swap", "kubelet_request_no_swap", "kubelet_limited_swap", "kubelet_unsure"}
	// pod: of kubelet's rules, this one alone.
	pod := func(code string) verdict {
		v := anon(code, "swap_none", "swap_mlocked", "limit_ancestor")
		for _, k := range kubelet {
			if k != code {
				v.not = append(v.not, k)
			}
		}
		return v
	}
	kernel := verdict{is: "limit_kernel", not: []string{"limit_anon", "limit_file"}}
	return map[string]verdict{
		"cgroup-anon":           anon("swap_none", "swap_forbidden", "limit_ancestor", "victim_adj"),
		"cgroup-swap":           anon("swap_mlocked", "swap_none", "swap_forbidden", "swap_cgroup_full"),
		"cgroup-swap-forbidden": anon("swap_forbidden", slices.Concat(kubelet, []string{"swap_none", "swap_mlocked", "swap_cgroup_full"})...),
		"cgroup-swap-full":      anon("swap_cgroup_full", "swap_none", "swap_forbidden", "swap_mlocked"),
		"cgroup-file":           {is: "limit_file", not: []string{"limit_shmem", "limit_dirty"}},
		"cgroup-dirty":          {is: "limit_file", not: []string{"limit_shmem"}},
		"cgroup-stalled":        {is: "limit_dirty", not: []string{"limit_file", "limit_shmem", "limit_anon"}},
		"cgroup-exiting":        {is: "already_exiting"},
		"cgroup-written":        anon("swap_none", "limit_dirty", "limit_file"),
		"cgroup-shmem":          {is: "limit_shmem", not: []string{"limit_file"}},
		"cgroup-tmpfs":          {is: "limit_shmem", not: []string{"limit_file"}},
		"cgroup-kernel":         kernel,
		"cgroup-sockets":        kernel,
		"cgroup-pgtables":       kernel,
		"cgroup-slab":           kernel,
		"cgroup-zswap":          kernel,
		"cgroup-hugetlb":        {is: "limit_hugetlb", also: []string{"limit_also"}, not: []string{"limit_anon", "limit_kernel", "limit_file"}},
		"cgroup-group":          anon("victim_oom_group", "limit_ancestor"),
		"cgroup-ancestor":       anon("limit_ancestor", "victim_oom_group"),
		"cgroup-nested-removed": anon("limit_ancestor"),
		"cgroup-threads":        anon("swap_none"),
		"cgroup-uid":            anon("swap_none", "victim_adj"),
		"cgroup-adj-negative":   anon("swap_none", "victim_adj"),
		"cgroup-adj-positive":   anon("swap_none", "victim_adj"),
		"cgroup-deep":           anon("limit_ancestor"),
		"cgroup-hostile-name":   anon("swap_none"),
		"cgroup-forkbomb":       {is: "many_small_tasks", not: []string{"limit_kernel"}},
		"cgroup-shared-mm":      anon("swap_none", "many_small_tasks"),

		"cgroup-swappiness":        anon("swap_swappiness_zero", "swap_none", "swap_forbidden", "swap_mlocked"),
		"pod-limit-neighbour":      {is: "limit_ancestor", also: []string{"limit_anon", "victim_adj"}},
		"pod-slice-swap-forbidden": anon("swap_forbidden", append(slices.Clone(kubelet), "swap_none", "limit_ancestor")...),

		"pod-burstable":         pod("kubelet_unsure"),
		"pod-besteffort":        pod("kubelet_qos_no_swap"),
		"pod-guaranteed":        pod("kubelet_qos_no_swap"),
		"pod-noswap":            pod("kubelet_no_swap"),
		"pod-request-is-limit":  pod("kubelet_request_no_swap"),
		"pod-critical":          pod("kubelet_unsure"),
		"pod-limitedswap":       pod("kubelet_limited_swap"),
		"pod-swap-allowed":      anon("swap_mlocked", append(kubelet, "swap_forbidden")...),
		"podman-swap-forbidden": anon("swap_forbidden", kubelet...),

		"cgroup-adj-protects-biggest": anon("victim_adj"),
		"no-victim":                   {is: "no_victim", not: []string{"victim_adj"}},
		"system-noswap":               {is: "swap_none", low: true, not: []string{"swap_idle", "memory_kernel", "memory_shmem", "victim_allocating_task", "victim_small", "victim_adj"}},
		"system-adj-protects-biggest": {is: "swap_none", also: []string{"victim_adj"}, not: []string{"victim_small", "many_small_tasks"}},
		"system-shmem":                {is: "swap_none", also: []string{"memory_shmem", "victim_small"}, not: []string{"memory_kernel", "memory_missing"}},
		"swap-unevictable":            {is: "swap_unevictable", also: []string{"swap_idle"}, not: []string{"swap_mlocked", "swap_full", "swap_swappiness_zero"}},
		"swap-tmpfs":                  {is: "swap_full", also: []string{"memory_shmem"}, not: []string{"swap_idle", "swap_unevictable", "swap_mlocked"}},
		"swap-kernel":                 {is: "memory_kernel", also: []string{"swap_idle"}, not: []string{"swap_full", "swap_none", "memory_fragmented"}},
		"swap-zram":                   {is: "memory_zram", also: []string{"swap_idle"}, not: []string{"swap_full", "swap_mlocked", "memory_missing"}},
		"system-min-ttl":              {is: "memory_min_ttl", also: []string{"swap_idle"}, not: []string{"swap_full", "swap_unexplained", "memory_not_short"}},
		"swapoff":                     {is: "swapoff", also: []string{"victim_oom_origin"}, not: []string{"swap_none", "memory_zram", "victim_adj"}},
		"system-swap-forbidden":       {is: "swap_forbidden", also: []string{"swap_idle"}, not: []string{"swap_unexplained", "swap_full", "swap_mlocked"}},
		"hugepages-used":              {is: "memory_hugepages_used", also: []string{"swap_none"}, not: []string{"memory_hugepages", "memory_missing", "victim_adj"}},
		"swap-idle":                   {is: "swap_swappiness_zero", also: []string{"swap_idle"}, not: []string{"swap_mlocked", "swap_full"}, armToo: []string{"swap_full", "swap_unexplained"}},
		"swap-mlocked":                {is: "swap_mlocked", also: []string{"swap_idle"}, not: []string{"swap_swappiness_zero", "swap_full"}},
		"swap-full":                   {is: "swap_full", not: []string{"swap_idle", "swap_mlocked", "swap_swappiness_zero"}, armToo: []string{"swap_unexplained"}},
		"system-hugepages":            {is: "memory_hugepages", not: []string{"memory_missing"}},
		"system-kernel":               {is: "memory_missing", not: []string{"memory_hugepages"}},
		"alloc-task":                  {is: "swap_none", also: []string{"victim_allocating_task"}, not: []string{"victim_adj"}},
		"sysrq-f":                     {is: "sysrq", also: []string{"memory_not_short"}, not: []string{"swap_none"}},
		"cgroup-limit-lowered":        {is: "limit_lowered", also: []string{"limit_anon"}, not: []string{"limit_ancestor"}},
		"cgroup-thp":                  anon("thp", "limit_ancestor"),
		"cgroup-group-spared":         anon("victim_oom_group", "limit_ancestor"),
		"cgroup-tmpfs-removed":        {is: "limit_shmem", also: []string{"limit_ancestor"}},
		"system-mlocked":              {is: "swap_mlocked", also: []string{"swap_none"}, not: []string{"swap_unevictable", "swap_idle"}},
		"system-ramfs":                {is: "swap_unevictable", also: []string{"swap_none"}, not: []string{"swap_mlocked", "memory_shmem"}},
		"system-protected":            {is: "swap_none", also: []string{"memory_protected"}, not: []string{"memory_missing"}},
		"system-many-tasks":           {is: "many_small_tasks", also: []string{"holder"}, not: []string{"memory_missing"}},
		"sysrq-daemon":                {is: "sysrq", also: []string{"swap_none", "holder"}, not: []string{"memory_not_short"}},
		"system-slab":                 {is: "memory_kernel", also: []string{"swap_none"}, not: []string{"memory_fragmented", "memory_hugepages", "swap_idle"}},
		"system-caches":               {is: "memory_kernel", also: []string{"swap_none"}, not: []string{"memory_fragmented", "memory_missing"}},
		"system-fragmented":           {is: "memory_fragmented", not: []string{"memory_free_low", "node_zone"}},
		"zone-kernel":                 {is: "node_zone", not: []string{"memory_free_low", "memory_fragmented", "node_cpuset", "node_mempolicy"}},
		"zone-anon":                   {is: "swap_none", not: []string{"node_zone"}},
		"system-mempolicy":            {is: "node_mempolicy", not: []string{"node_cpuset"}},
		"system-cpuset":               {is: "node_cpuset", not: []string{"node_mempolicy"}},
	}
}

// noScenario are the codes that no scenario gives, with the reason.
func noScenario() map[string]string {
	return map[string]string{
		"limit_full":        "the hooks always read memory.stat, and a report without it comes from old logs",
		"swap_too_slow":     "on one machine with swap on a device that delays writes, who reclaims waits for the device and no OOM comes (seen on 6.12 with 2 s and with for ever)",
		"memory_dirty":      "writers are held back at a part of what may be dirty: TestPairs of explain",
		"swap_unexplained":  "it stands where the record does not show the cause",
		"limit_no_task":     "TestPairs of explain: a process that moves away leaves its charges, which v1 could take along",
		"memory_balloon":    "a guest's balloon needs a host that inflates it",
		"grew_burst":        "the flight recording gives it: TestShapes of explain, and its own tests",
		"grew_leak":         "as grew_burst",
		"grew_steps":        "as grew_burst",
		"grew_sawtooth":     "as grew_burst",
		"grew_new_process":  "as grew_burst",
		"full_for_long":     "as grew_burst",
		"panic":             "it ends the guest",
		"oom_cut":           "a log that was cut: the tests of kernlog",
		"killed_by_manager": "the senders' own tests",
		"killed_by_user":    "the senders' own tests",
		"killed_by_runtime": "the senders' own tests",
		"killed_by_kernel":  "the senders' own tests",
		"killed_with":       "the senders' own tests",

		"sigkill_memory_short":     "the senders' own tests",
		"sigkill_memory_not_short": "the senders' own tests",
		"exit_gone":                "TestGuestStuck",
		"exit_reaped":              "TestGuestStuck",
		"exit_slow":                "TestGuestStuck",
		"exit_reaper_gave_up":      "a victim must hold the lock of its address space for more than a second, where no signal reaches it",
		"lost":                     "nothing is lost from a ring that is read; the storm tests fill one",
		"unknown":                  "the hooks always see the machine's memory",
	}
}

// TestEveryCodeHasAScenario: each code is what a real kill gives, in a scenario
// that must give it, or has a reason why not.
func TestEveryCodeHasAScenario(t *testing.T) {
	given := map[string]bool{}
	for name, v := range verdicts() {
		if _, err := workload.Find(name); err != nil {
			t.Errorf("a verdict of %q: %v", name, err)
		}
		for _, code := range append(v.also, v.is) {
			given[code] = true
		}
		given["memory_free_low"] = given["memory_free_low"] || v.low
	}
	for _, code := range explain.Codes() {
		why, without := noScenario()[code.Name]
		switch {
		case given[code.Name] && without:
			t.Errorf("%s: a scenario gives it, and there is a reason why none does: %s", code.Name, why)
		case !given[code.Name] && (!without || why == ""):
			t.Errorf("%s: no scenario gives it", code.Name)
		}
		delete(given, code.Name)
	}
	for code := range given {
		t.Errorf("%s: a scenario is to give it, and there is no such code", code)
	}
	for _, s := range workload.Scenarios() {
		if _, ok := verdicts()[s.Name]; !ok {
			t.Errorf("%s: no verdict is expected of this scenario", s.Name)
		}
	}
}
