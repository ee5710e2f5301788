package history

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// exact reads what bpf/history.bpf.c counted. Its maps belong to the tracer.
type exact struct {
	killed   io.ReaderAt // the map's own memory
	adjs     *ebpf.Map   // may be nil
	cmdlines *ebpf.Map   // of the tracer's other object; may be nil
	pageSize uint64
	slot     probe.HistoryKilled
}

// newExact returns nil where nothing is counted.
func newExact(maps map[string]*ebpf.Map, pageSize uint64) (*exact, error) {
	killed := maps[probe.HistoryMapKilled]
	if killed == nil {
		return nil, nil
	}
	memory, err := killed.Memory()
	if err != nil {
		return nil, fmt.Errorf("map the copies of growth: %w", err)
	}
	return &exact{killed: memory, adjs: maps[probe.HistoryMapAdjs], cmdlines: maps[probe.OomtraceMapCmdlines], pageSize: pageSize}, nil
}

// find gives the copy that the kernel made at a decision: the last one before the
// record's time of the task that it names, until the next is asked for. Nil where it was
// overwritten since.
func (e *exact) find(cgroup uint64, tid int32, ns uint64) *probe.HistoryKilled {
	s := &e.slot
	all := unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
	head := all[:unsafe.Offsetof(s.MaxWrites)]
	var found int64
	var at uint64 // 0: none is found
	for off := int64(0); ; off += int64(len(all)) {
		if _, err := e.killed.ReadAt(head, off); err != nil {
			break
		}
		if s.BootNs > at && s.BootNs <= ns && s.CgroupId == cgroup && s.Tid == uint32(tid) {
			found, at = off, s.BootNs
		}
	}
	if at == 0 {
		return nil
	}
	if _, err := e.killed.ReadAt(all, found); err != nil || s.BootNs != at {
		return nil
	}
	return s
}

// history turns a copy into the form of a record of that time, which another program
// took a little later. Nil where the cgroup was not followed.
func (e *exact) history(k *probe.HistoryKilled, now uint64) *oom.History {
	g := &k.Growth
	if g.Serial == 0 {
		return nil
	}
	points := make([]at[uint32], 0, len(g.Points)+2)
	for _, p := range g.Points {
		points = append(points, at[uint32]{p.When, p.Pages})
	}
	points = append(points, at[uint32]{stampAt(g.LastNs), g.LastPages}, at[uint32]{g.PeakWhen, g.PeakPages})
	points = slices.DeleteFunc(points, func(p at[uint32]) bool {
		_, ok := ago(p.when, now)
		return !ok || p.when == 0
	})
	h := &oom.History{Source: oom.HistoryExact, LimitHits: oom.Some(uint64(g.Hits))}
	for _, p := range inOrder(points, stampAt(now)) {
		back, _ := ago(p.when, now)
		h.Points = append(h.Points, oom.HistoryPoint{AgoNS: back, Bytes: uint64(p.value) * e.pageSize})
	}
	finish(h, k.UsagePages*e.pageSize)
	h.PeakBytes = oom.Some(max(uint64(g.PeakPages), k.UsagePages) * e.pageSize)
	h.NearLimitNS = oom.Some[uint64](0)
	if g.NearSinceNs != 0 {
		h.NearLimitNS = oom.Some(now - min(g.NearSinceNs, now))
	}
	h.GrowersSpanNS = oom.Some(now - min(g.WindowBeforeNs, now))
	h.Growers = e.growers(k)
	return h
}

// growers are the chargers, worst first.
func (e *exact) growers(k *probe.HistoryKilled) []oom.Grower {
	var out []oom.Grower
	for i := range k.Growth.Chargers {
		c := &k.Growth.Chargers[i]
		pages := uint64(c.Pages) + uint64(c.Before)
		// A free place, or what was charged in the time of an idle CPU, by no process; or two
		// windows without a charge: nothing is known of how long they are over.
		if c.Tgid == 0 || pages == 0 {
			continue
		}
		g := oom.Grower{
			PID: oom.Some(int32(c.Tgid)), Comm: text(c.Comm[:]), StartNS: c.StartBootNs,
			ChargedBytes: oom.Some(pages * e.pageSize),
		}
		if c.Flags&uint32(probe.HistoryGrowthFlagGROWTH_KERNEL) != 0 {
			g.Kernel = oom.Some(true)
		}
		if c.Flags&uint32(probe.HistoryGrowthFlagGROWTH_OUTSIDE) != 0 {
			g.Outside = oom.Some(true)
		}
		out = append(out, g)
	}
	slices.SortStableFunc(out, func(a, b oom.Grower) int {
		return cmp.Compare(b.ChargedBytes.Value, a.ChargedBytes.Value)
	})
	return out
}

// cmdline is what the process of that start was started as, though it may have exited.
func (e *exact) cmdline(pid int32, startNS uint64) string {
	if e == nil || e.cmdlines == nil {
		return ""
	}
	var line probe.OomtraceCmdline
	if e.cmdlines.Lookup(uint32(pid), &line) != nil || !sameStart(line.StartBootNs/(1e9/userHZ), startNS) {
		return ""
	}
	return string(line.Text[:min(int(line.Len), len(line.Text))])
}

// changed is the last write that lowered a limit to what it is; nil where none did, or
// where it was raised since.
func (e *exact) changed(writes *probe.HistoryLimitWrites, to, ns uint64, pathOf func(uint64) string) *oom.LimitChange {
	w := writes.Last
	if w.From == to { // it left the limit as it was
		w = writes.Before
	}
	if w.BootNs == 0 || w.From <= to {
		return nil
	}
	c := &oom.LimitChange{
		ToBytes: oom.Some(to * e.pageSize), AgoNS: oom.Some(ns - min(w.BootNs, ns)),
		PID: oom.Some(int32(w.Tgid)), Comm: text(w.Comm[:]), Cgroup: pathOf(w.CgroupId),
	}
	if w.From>>unlimitedShift == 0 {
		c.FromBytes = oom.Some(w.From * e.pageSize)
	}
	return c
}

// memsChanged is the last write that took nodes from a cpuset; nil where none did, or
// where it got them back since.
func memsChanged(writes *probe.HistoryLimitWrites, to, ns uint64, pathOf func(uint64) string) *oom.NodesChange {
	w := writes.Last
	if w.From == to { // it left the nodes as they were
		w = writes.Before
	}
	if w.BootNs == 0 || to == unknownNodes || w.From == unknownNodes || w.From&^to == 0 {
		return nil
	}
	return &oom.NodesChange{
		From: oom.NodeList(w.From), To: oom.NodeList(to), AgoNS: oom.Some(ns - min(w.BootNs, ns)),
		PID: oom.Some(int32(w.Tgid)), Comm: text(w.Comm[:]), Cgroup: pathOf(w.CgroupId),
	}
}

// unknownNodes is UNKNOWN of bpf/event.h.
const unknownNodes = ^uint64(0)

// adjusted is the last write of a process's oom_score_adj.
func (e *exact) adjusted(pid, adj int32, age, ns uint64, pathOf func(uint64) string) *oom.AdjChange {
	var w probe.HistoryAdjWrite
	if e == nil || e.adjs == nil || e.adjs.Lookup(uint32(pid), &w) != nil {
		return nil
	}
	return adjChange(&w, adj, age, ns, pathOf)
}

// adjChange is nil for a write of another value, or one before the process's lifetime: it
// began so long before the record.
func adjChange(w *probe.HistoryAdjWrite, adj int32, age, ns uint64, pathOf func(uint64) string) *oom.AdjChange {
	if w.BootNs == 0 || w.BootNs > ns || ns-w.BootNs > age || w.Adj != adj {
		return nil
	}
	return &oom.AdjChange{AgoNS: oom.Some(ns - w.BootNs), PID: oom.Some(int32(w.Tgid)), Comm: text(w.Comm[:]), Cgroup: pathOf(w.CgroupId)}
}

// unlimitedShift: from 2^44 pages on a limit is none (PAGE_COUNTER_MAX).
const unlimitedShift = 44

// text is a comm: bytes up to the first NUL.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
