package history

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// freshReads bounds how many cgroups are read anew for one record: those that were
// biggest when they were last read.
const freshReads = 256

// holding is an owner of memory, before it is written down.
type holding struct {
	n       *node
	inside  []*node // the cgroups in it
	bytes   uint64
	sampled bool // bytes is known
}

// owns says that a cgroup of this level is an owner as a whole.
func owns(l oom.Level) bool {
	switch l {
	case oom.LevelPod, oom.LevelContainer, oom.LevelService, oom.LevelScope:
		return true
	}
	return false
}

// holdings cuts the cgroups below a path, in the order of tree.below, into owners:
// pods and containers whole; units, unless they hold other owners, such as a user's
// session; and of what has no owner the leaves.
func holdings(nodes []*node) []holding {
	var out []holding
	for i := 0; i < len(nodes); i++ {
		n, end := nodes[i], i+1
		inner := false
		for end < len(nodes) && isBelow(nodes[end].path, n.path) {
			inner = inner || owns(nodes[end].level)
			end++
		}
		switch {
		case n.level == oom.LevelPod, n.level == oom.LevelContainer, owns(n.level) && !inner, end == i+1:
			out = append(out, holding{n: n, inside: nodes[i+1 : end]})
			i = end - 1
		}
	}
	return out
}

// domainOf is a domain's cgroups as an OOM found them.
type domainOf struct {
	path string
	// atKill are the usages, by path, that the kernel gave at the kill: they stand
	// above what is read after it.
	atKill map[string]uint64
	ns     uint64 // CLOCK_BOOTTIME of the kill
	span   uint64 // growth is counted over this time before it
	top    int
}

// list gives a domain's owners by what was sampled last, worst first.
func (t *tree) list(d *domainOf) []holding {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := holdings(t.below(d.path))
	for i := range all {
		all[i].bytes, all[i].sampled = all[i].n.last, all[i].n.lastAt != 0
		if v, ok := d.atKill[all[i].n.path]; ok {
			all[i].bytes, all[i].sampled = v, true
		}
	}
	return byBytes(all)
}

func byBytes(all []holding) []holding {
	slices.SortStableFunc(all, func(a, b holding) int { return cmp.Compare(b.bytes, a.bytes) })
	return all
}

// holders are the owners of a domain's memory, worst first, and how many there are.
// Without reading anew they are as sampled last.
func (t *tree) holders(d *domainOf, anew bool) ([]oom.Holder, int) {
	all := t.list(d)
	for i := range all {
		h := &all[i]
		if _, known := d.atKill[h.n.path]; known || !anew || i >= freshReads {
			continue
		}
		if v, err := t.usage(h.n.path); err == nil {
			h.bytes, h.sampled = v, true
		}
	}
	all = byBytes(slices.DeleteFunc(all, func(h holding) bool { return !h.sampled || h.bytes == 0 }))
	out := make([]oom.Holder, 0, min(d.top, len(all)))
	for i := range min(d.top, len(all)) {
		h := t.holder(&all[i], d)
		if anew {
			h.SwapBytes, h.Tasks = t.swap(&all[i]), t.tasks(&all[i])
		}
		out = append(out, h)
	}
	return out, len(all)
}

func (t *tree) holder(h *holding, d *domainOf) oom.Holder {
	p := cgroup.Parse(h.n.path)
	out := oom.Holder{Cgroup: h.n.path, Level: p.Level, Owner: p.Owner, UsageBytes: oom.Some(h.bytes)}
	for _, at := range t.usageOf(h.n.path, oom.Some(h.n.id), d.ns) {
		if back, _ := ago(at.when, d.ns); back <= d.span { // the oldest within the span
			out.GrewBytes = oom.Some(int64(h.bytes) - int64(at.value))
			break
		}
	}
	return out
}

// swap is what an owner has in swap: v1 counts it together with memory.
func (t *tree) swap(h *holding) oom.Opt[uint64] {
	if !t.v1 {
		if v, err := t.number(h.n.path, "memory.swap.current"); err == nil {
			return oom.Some(v)
		}
		return oom.Opt[uint64]{}
	}
	both, err := t.number(h.n.path, "memory.memsw.usage_in_bytes")
	memory, memErr := t.usage(h.n.path)
	if err != nil || memErr != nil || both < memory {
		return oom.Opt[uint64]{}
	}
	return oom.Some(both - memory)
}

// maxInside bounds the cgroups of one owner whose processes are counted.
const maxInside = 64

// tasks counts an owner's processes; unknown where they are too many for one read.
func (t *tree) tasks(h *holding) oom.Opt[uint64] {
	if len(h.inside) > maxInside {
		return oom.Opt[uint64]{}
	}
	sum := uint64(0)
	count := func(n *node) bool {
		b, err := t.read(n.path, "cgroup.procs")
		if err != nil || len(b) == len(t.buf) {
			return false
		}
		sum += uint64(bytes.Count(b, []byte{'\n'}))
		return true
	}
	if !count(h.n) {
		return oom.Opt[uint64]{}
	}
	for _, n := range h.inside {
		if !count(n) {
			return oom.Opt[uint64]{}
		}
	}
	return oom.Some(sum)
}

// containersOf gives the cgroups of the containers in a pod.
func (t *tree) containersOf(pod string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, n := range t.below(pod) {
		if n.level == oom.LevelContainer && !slices.ContainsFunc(out, func(c string) bool { return isBelow(n.path, c) }) {
			out = append(out, n.path)
		}
	}
	return out
}
