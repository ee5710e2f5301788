package kernlog

import (
	"slices"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// gfpHardwall is ___GFP_HARDWALL up to 5.x: the request keeps to its own cpuset.
const gfpHardwall = 0x20000

// nodeScope is the constraint of a kernel before 5.0, which does not print it, by the rules
// of constrained_alloc (mm/oom_kill.c): a nodemask (printed from 4.10 on) or a cpuset without
// some node that has memory. The report lists only nodes that are allowed, of these all zones
// (SHOW_MEM_FILTER_NODES), so that RAM beyond those listed is on other nodes. Empty where the
// report, which must be whole but for a machine without NUMA, does not show it.
func (r *report) nodeScope(m *oom.Memory, whole bool) oom.Scope {
	t, decide := &r.trigger, r.scope == "" && r.global
	if decide && len(r.mem.zones) > 0 && !r.mem.ofNodes() {
		return oom.ScopeSystem
	}
	if !whole || r.hasSummary || r.sysrq || r.scope != "" && r.scope != oom.ScopeSystem ||
		m == nil || !m.TotalBytes.Known || r.mem.zoneLost {
		return ""
	}
	var managed uint64
	outside, barred := false, false // a zone is listed that the nodemask, or the cpuset, does not have
	for i := range m.Zones {
		z := &m.Zones[i]
		if !z.Node.Known || !z.ManagedBytes.Known {
			return ""
		}
		managed += z.ManagedBytes.Value
		outside = outside || !oom.InNodes(t.Nodemask, z.Node.Value)
		barred = barred || !oom.InNodes(t.MemsAllowed, z.Node.Value)
	}
	if t.Nodemask == "" && (barred || !allListed(t.MemsAllowed, m.Zones)) {
		return "" // lines of a node are lost, or it has no memory
	}
	// The two numbers differ by what was freed since the boot at the most.
	const slack = 64
	unlisted := managed < m.TotalBytes.Value-m.TotalBytes.Value/slack
	switch {
	case t.Nodemask != "" && (outside || unlisted):
		return oom.ScopeMempolicy
	case decide && !barred: // all nodes are allowed
		return oom.ScopeSystem
	case t.Nodemask == "" && unlisted && t.Cpuset != "" && t.Cpuset != "/" && t.MemsAllowed != "" && t.GFPMask.Value&gfpHardwall != 0:
		return oom.ScopeCpuset
	}
	return ""
}

// allListed says whether there are zones of each node of a list.
func allListed(nodes string, zones []oom.Zone) bool {
	const mostNodes = 1 << 10 // MAX_NUMNODES
	for n := range int32(mostNodes) {
		if oom.InNodes(nodes, n) && !slices.ContainsFunc(zones, func(z oom.Zone) bool { return z.Node == oom.Some(n) }) {
			return false
		}
	}
	return true
}

// domain is oom_control.totalpages as constrained_alloc has it: all swap, and all RAM or
// that of the nodes allowed.
func (r *report) domain(scope oom.Scope, page uint64) oom.Opt[uint64] {
	swap := inBytes(r.mem.swapTotalKB, 1<<10)
	if !swap.Known {
		return oom.Opt[uint64]{}
	}
	nodes := r.trigger.MemsAllowed
	switch scope {
	case oom.ScopeSystem:
		if managed := r.mem.managedPages(); managed > 0 {
			return scan.Sum(scan.Times(managed, page), swap)
		}
		return oom.Opt[uint64]{}
	case oom.ScopeMempolicy:
		nodes = r.trigger.Nodemask
	case oom.ScopeCpuset:
	default:
		return oom.Opt[uint64]{}
	}
	// From 6.1 on zones that the request may not use are left out (974f4367dd31).
	const movable = 0x0a // __GFP_HIGHMEM and __GFP_MOVABLE: any zone
	if nodes == "" || len(r.mem.zones) == 0 || r.from(6, 1) && r.trigger.GFPMask.Value&movable != movable {
		return oom.Opt[uint64]{}
	}
	sum := oom.Some(uint64(0))
	for i := range r.mem.zones {
		switch z := &r.mem.zones[i]; {
		case !z.Node.Known || !z.present.Known:
			return oom.Opt[uint64]{}
		case oom.InNodes(nodes, z.Node.Value):
			sum = scan.Sum(sum, z.present)
		}
	}
	if sum.Value == 0 {
		return oom.Opt[uint64]{}
	}
	return scan.Sum(sum, swap)
}
