package history

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// decision is what was found for one incident: its victims share it.
type decision struct {
	incident string
	history  *oom.History
	memory   *oom.MemoryHistory
	swap     *oom.LimitChange
	shrunk   *oom.LimitChange // the machine's memory
	changed  *oom.LimitChange
	high     *oom.LimitChange
	mems     *oom.NodesChange
	holders  []oom.Holder
	total    oom.Opt[uint64]
}

// Stage fills in how it came to the kill: history, memory.history, memory.swap_changed,
// memory.total_changed, holders, limit.changed, limit.high_changed and trigger.mems_changed.
func (r *Recorder) Stage(ctx context.Context, rec *oom.Record) error {
	switch rec.Kind {
	case oom.KindKill, oom.KindAlreadyExiting, oom.KindNoVictim, oom.KindOOM, oom.KindSigkill:
	default:
		return nil
	}
	ns, ok := r.when(rec)
	if !ok {
		return nil
	}
	if rec.Incident == "" || r.last.incident != rec.Incident {
		r.last = r.decide(ctx, rec, ns)
		r.last.incident = strings.Clone(rec.Incident) // the record's memory is used again
	}
	r.last.fill(rec)
	if v := rec.Victim; v != nil && v.PID.Known && v.OOMScoreAdj.Known && !v.StartTime.IsZero() && rec.Time.After(v.StartTime) {
		v.OOMScoreAdjChanged = r.exact.adjusted(v.PID.Value, v.OOMScoreAdj.Value, uint64(rec.Time.Sub(v.StartTime)), ns, r.pathOf)
	}
	return nil
}

// fill gives a record what the decision has, in copies: each record's are redacted.
func (d *decision) fill(rec *oom.Record) {
	if d.history != nil {
		h := *d.history
		h.Growers = slices.Clone(h.Growers)
		rec.History = &h
	}
	if rec.Memory != nil {
		rec.Memory.History, rec.Memory.SwapChanged, rec.Memory.TotalChanged = d.memory, d.swap, d.shrunk
	}
	if rec.Limit != nil {
		rec.Limit.Changed, rec.Limit.HighChanged = d.changed, d.high
	}
	if rec.Trigger != nil {
		rec.Trigger.MemsChanged = d.mems
	}
	if d.holders != nil {
		rec.Holders, rec.HoldersTotal = slices.Clone(d.holders), d.total
		rec.Sampled = append(rec.Sampled, "holders")
	}
}

// when is the record's time on CLOCK_BOOTTIME; false for one that is from before
// the sampling, or from an old log.
func (r *Recorder) when(rec *oom.Record) (uint64, bool) {
	if rec.Source == oom.SourceBPF {
		return rec.UptimeNS.Value, rec.UptimeNS.Known
	}
	age := time.Since(rec.Time)
	if rec.Time.IsZero() || age > host.MostWait || age < -host.MostWait {
		return 0, false
	}
	ns := host.BootNS() - uint64(max(age, 0))
	return ns, ns >= r.started
}

func (r *Recorder) decide(ctx context.Context, rec *oom.Record, ns uint64) decision {
	var d decision
	r.mu.Lock()
	d.memory, d.swap, d.shrunk = machineHistory(&r.machine, ns), r.swap.before(ns), r.total.before(ns)
	r.mu.Unlock()
	var copied *probe.HistoryKilled
	if r.exact != nil && wasCopied(rec) && rec.Trigger != nil && rec.Trigger.TID.Known && (rec.Limit == nil || rec.Limit.CgroupID.Known) {
		var limit uint64 // none
		if rec.Limit != nil {
			limit = rec.Limit.CgroupID.Value
		}
		copied = r.exact.find(limit, rec.Trigger.TID.Value, ns)
	}
	if copied != nil {
		d.mems = memsChanged(&copied.MemsWrites, copied.Mems, ns, r.pathOf)
	}
	if copied != nil && rec.Limit != nil {
		d.history = r.exact.history(copied, ns)
		d.changed = r.exact.changed(&copied.MaxWrites, copied.MaxPages, ns, r.pathOf)
		d.high = r.exact.changed(&copied.HighWrites, copied.HighPages, ns, r.pathOf)
	}
	if d.history == nil {
		d.history = r.sampled(rec, ns)
	}
	if d.history != nil {
		r.growers(d.history, rec, ns)
	}
	r.hold(ctx, &d, rec, ns)
	return d
}

// wasCopied says whether the program that copies what was counted ran for a record: without
// a victim, and for one that exits already, the last copy is of an earlier OOM.
func wasCopied(rec *oom.Record) bool {
	return slices.ContainsFunc(rec.Hooks, func(h string) bool { return strings.HasSuffix(h, ":oom_kill_process") })
}

func (r *Recorder) pathOf(id uint64) string {
	if r.tree == nil {
		return ""
	}
	return r.tree.pathOf(id)
}

// sampled is the history of the limit's cgroup as user space saw it.
func (r *Recorder) sampled(rec *oom.Record, ns uint64) *oom.History {
	l := rec.Limit
	if r.tree == nil || l == nil || l.Cgroup == "" || !l.UsageBytes.Known {
		return nil
	}
	points := r.tree.usageOf(l.Cgroup, l.CgroupID, ns)
	if len(points) == 0 {
		return nil
	}
	h := &oom.History{Source: oom.HistorySampled, Points: historyPoints(points, ns)}
	finish(h, l.UsageBytes.Value)
	h.Growers = r.sampledGrowers(l.Cgroup, ns)
	return h
}

// growers adds to each of them what is known of the process.
func (r *Recorder) growers(h *oom.History, rec *oom.Record, ns uint64) {
	h.Growers = h.Growers[:min(len(h.Growers), r.opts.Top)]
	var buf [1024]byte
	boot := rec.Time.Add(-time.Duration(ns))
	for i := range h.Growers {
		g := &h.Growers[i]
		if !rec.Time.IsZero() && g.StartNS != 0 {
			g.StartTime = boot.Add(time.Duration(g.StartNS))
		}
		if len(g.Points) == 0 {
			g.Points = r.resident(g.PID.Value, g.StartNS, ns)
		}
		if g.Kernel.Value {
			continue
		}
		if v := rec.Victim; v != nil && v.PID == g.PID {
			g.Cmdline, g.Args = strings.Clone(v.Cmdline), strings.Clone(v.Args)
			continue
		}
		s, there := readStat(r.proc, g.PID.Value, buf[:])
		same := there && sameStart(s.ticks, g.StartNS)
		if !same {
			g.Exited = oom.Some(true)
		}
		if there && !same {
			continue // the pid is another's now, and so is its command line
		}
		g.Args = r.exact.cmdline(g.PID.Value, g.StartNS)
		g.Cmdline = strings.TrimRight(strings.ReplaceAll(g.Args, "\x00", " "), " ")
	}
}

// hold fills in the holders: of the machine, or of an ancestor's limit. They are as now,
// which says nothing of a record that has waited.
func (r *Recorder) hold(ctx context.Context, d *decision, rec *oom.Record, ns uint64) {
	if r.tree == nil || host.Waited(ns) || rec.Scope == "" && rec.Limit == nil || rec.Limit != nil && rec.Limit.Cgroup == "" {
		return
	}
	of := domain(rec, ns, r.opts.Top)
	if d.memory != nil {
		of.span = d.memory.SpanNS.Value
	}
	least := 1
	if rec.Limit != nil {
		least = 2 // one alone is the limit's own
	}
	if len(r.tree.list(of)) < least {
		return
	}
	holders, total := r.askHolders(ctx, of)
	if total < least {
		return
	}
	for i := range holders {
		r.name(&holders[i])
	}
	d.holders, d.total = holders, oom.Some(uint64(total))
}

// domain is what an OOM could draw on.
func domain(rec *oom.Record, ns uint64, top int) *domainOf {
	of := &domainOf{path: "/", atKill: map[string]uint64{}, ns: ns, top: top}
	if rec.Limit != nil {
		of.path = rec.Limit.Cgroup
	}
	if rec.Victim != nil {
		for _, l := range rec.Victim.CgroupLimits {
			if l.UsageBytes.Known {
				of.atKill[l.Cgroup] = l.UsageBytes.Value
			}
		}
	}
	return of
}

// askHolders has the sampler read a domain's owners, or gives them as sampled last
// where that takes too long.
func (r *Recorder) askHolders(ctx context.Context, of *domainOf) ([]oom.Holder, int) {
	type answer struct {
		holders []oom.Holder
		total   int
	}
	read := make(chan answer, 1)
	if r.ask(ctx, func() {
		holders, total := r.tree.holders(of, true)
		read <- answer{holders, total}
	}) {
		a := <-read
		return a.holders, a.total
	}
	return r.tree.holders(of, false)
}

// name fills in an owner's names, and what it requested.
func (r *Recorder) name(h *oom.Holder) {
	if r.opts.Name == nil {
		return
	}
	r.opts.Name(h.Cgroup, &h.Owner)
	switch {
	case h.Level != oom.LevelPod:
		if h.Container != nil {
			h.RequestBytes = h.Container.MemoryRequestBytes
		}
	case h.Pod != nil && h.Pod.MemoryRequestBytes.Known:
		h.RequestBytes = h.Pod.MemoryRequestBytes
	default:
		h.RequestBytes = r.requests(h)
	}
}

// requests is the sum of what a pod's containers requested; unknown where one of
// them is.
func (r *Recorder) requests(h *oom.Holder) oom.Opt[uint64] {
	sum := oom.Opt[uint64]{}
	for _, dir := range r.tree.containersOf(h.Cgroup) {
		owner := cgroup.Parse(dir).Owner
		r.opts.Name(dir, &owner)
		if owner.Container == nil || !owner.Container.MemoryRequestBytes.Known {
			return oom.Opt[uint64]{}
		}
		sum = oom.Some(sum.Value + owner.Container.MemoryRequestBytes.Value)
	}
	return sum
}
