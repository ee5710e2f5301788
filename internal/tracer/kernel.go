package tracer

import (
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/oomtrace/oomtrace/internal/probe"
)

// maxCPUs is MAX_CPUS in bpf/compat.bpf.h.
const maxCPUs = 1024

// kallsyms is the kernel's symbol table.
const kallsyms = "/proc/kallsyms"

// The kernel's data symbols that the programs read where kallsyms has them.
const (
	symSwapFree       = "nr_swap_pages"
	symSwapTotal      = "total_swap_pages"
	symRAM            = "_totalram_pages"
	symSwappiness     = "vm_swappiness"
	symAllocatingTask = "sysctl_oom_kill_allocating_task"
	symMemcgStats     = "mem_cgroup_stats_index"
	symHugeSizes      = "hstates"
	symHugeSizeCount  = "hugetlb_max_hstate"
	symCPUOffsets     = "__per_cpu_offset"
	symScanTasks      = "mem_cgroup_scan_tasks"
)

// wantedSymbols are the variables that the programs read, and the functions that they are
// attached to or look for.
func wantedSymbols() symbolNames {
	functions := map[string]bool{symScanTasks: true}
	for _, h := range slices.Concat(decisionHooks(), historyPlan()) {
		if slices.ContainsFunc(h.candidates, func(c candidate) bool { return c.function }) {
			functions[h.function()] = true
		}
	}
	return symbolNames{functions: functions, data: map[string]bool{
		symSwapFree: true, symSwapTotal: true, symRAM: true, symSwappiness: true, symAllocatingTask: true, symMemcgStats: true,
		symHugeSizes: true, symHugeSizeCount: true, symCPUOffsets: true,
	}}
}

// setConstants sets what the programs cannot find out themselves. It
// must come before they are loaded: the verifier cuts branches by it.
func setConstants(spec *ebpf.CollectionSpec, s *Symbols, opts Options) error {
	start, end := s.Range(hookKillVictim)
	scanStart, scanEnd := s.Range(symScanTasks)
	cpus, nodes, err := topology("/sys")
	if err != nil {
		return err
	}
	follow := uint32(1)
	if opts.NoSigkills {
		follow = 0
	}
	values := map[string]any{
		probe.OomtraceVarFollowSigkills:        follow,
		probe.OomtraceVarPageShift:             uint32(bits.TrailingZeros(uint(os.Getpagesize()))),
		probe.OomtraceVarNrCpus:                min(cpus, maxCPUs),
		probe.OomtraceVarNrNodes:               nodes,
		probe.OomtraceVarTopCandidates:         uint32(opts.top()),
		probe.OomtraceVarKillStart:             start,
		probe.OomtraceVarKillEnd:               end,
		probe.OomtraceVarScanStart:             scanStart,
		probe.OomtraceVarScanEnd:               scanEnd,
		probe.OomtraceVarSymNrSwapPages:        s.Data(symSwapFree),
		probe.OomtraceVarSymTotalSwapPages:     s.Data(symSwapTotal),
		probe.OomtraceVarSymTotalramPages:      s.Data(symRAM),
		probe.OomtraceVarSymVmSwappiness:       s.Data(symSwappiness),
		probe.OomtraceVarSymKillAllocatingTask: s.Data(symAllocatingTask),
		probe.OomtraceVarSymMemcgStatsIndex:    s.Data(symMemcgStats),
		probe.OomtraceVarSymHstates:            s.Data(symHugeSizes),
		probe.OomtraceVarSymHugetlbMaxHstate:   s.Data(symHugeSizeCount),
		probe.OomtraceVarSymPerCpuOffset:       s.Data(symCPUOffsets),
	}
	for name, value := range values {
		if err := setVariable(spec, name, value); err != nil {
			return err
		}
	}
	return nil
}

func setVariable(spec *ebpf.CollectionSpec, name string, value any) error {
	v, ok := spec.Variables[name]
	if !ok {
		return fmt.Errorf("set %s: not in the BPF object", name)
	}
	if err := v.Set(value); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// topology counts the possible CPUs and NUMA nodes: the highest number and one.
func topology(sys string) (cpus, nodes uint32, err error) {
	if cpus, err = possible(filepath.Join(sys, "devices/system/cpu/possible")); err != nil {
		return 0, 0, err
	}
	nodes, err = possible(filepath.Join(sys, "devices/system/node/possible"))
	if os.IsNotExist(err) {
		return cpus, 1, nil // no NUMA in this kernel
	}
	return cpus, nodes, err
}

// possible reads a list such as "0-3,8" (Documentation/admin-guide/cputopology.rst).
func possible(path string) (uint32, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	last := strings.TrimSpace(string(b))
	last = last[strings.LastIndexAny(last, "-,")+1:]
	n, err := strconv.ParseUint(last, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return uint32(n) + 1, nil
}
