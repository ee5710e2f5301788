package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// sparkCells is how many cells a sparkline has.
const sparkCells = 16

// grew draws how the memory came to be used up, and names the processes that charged
// the most, or held the most where charges were not counted.
func (t *Text) grew(r *oom.Record) {
	points, growers := machinePoints(r), []oom.Grower(nil)
	if r.History != nil {
		points, growers = r.History.Points, r.History.Growers
	}
	if len(points) < 2 {
		return
	}
	span := window(points)
	text := fmt.Sprintf("%s  -%s … 0", t.spark(points, span), spanWord(span))
	if t.opts.ASCII {
		text = strings.ReplaceAll(text, "…", "..")
	}
	sep := ": "
	for _, g := range growers[:min(len(growers), 3)] {
		text += sep + t.named(g.Comm, g.PID, 24)
		if g.Exited.Value {
			text += " (exited)"
		}
		switch held := g.Held(); {
		case g.ChargedBytes.Known:
			text += " charged " + short(g.ChargedBytes.Value)
		case held.Known:
			text += " held " + short(held.Value)
		}
		sep = "; "
	}
	t.below("grew", text, dim)
}

// machinePoints is what the machine's memory held that is not dropped.
func machinePoints(r *oom.Record) []oom.HistoryPoint {
	if r.Memory == nil || r.Memory.History == nil {
		return nil
	}
	var points []oom.HistoryPoint
	for _, p := range r.Memory.History.Points {
		if !p.AnonBytes.Known {
			continue
		}
		used := p.AnonBytes.Value + p.SlabUnreclaimableBytes.Value
		if total := r.Memory.SwapTotalBytes; total.Known && p.SwapFreeBytes.Known && p.SwapFreeBytes.Value <= total.Value {
			used += total.Value - p.SwapFreeBytes.Value
		}
		points = append(points, oom.HistoryPoint{AgoNS: p.AgoNS, Bytes: used})
	}
	return points
}

// window is how much of the past is drawn: so much that the last three quarters of
// the growth take a quarter of it, and at least ten seconds if there are.
func window(points []oom.HistoryPoint) uint64 {
	first, last := points[0], points[len(points)-1]
	span := first.AgoNS
	if last.Bytes <= first.Bytes {
		return span
	}
	level := first.Bytes + (last.Bytes-first.Bytes)/4
	ago := span
	for i := len(points) - 1; i >= 0; i-- {
		if ago = points[i].AgoNS; points[i].Bytes < level {
			break
		}
	}
	for _, w := range [...]time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour} {
		if w := uint64(w); w >= 4*min(ago, 1<<60) && w < span {
			return w
		}
	}
	return span
}

// spark draws the points of the last span, from the least to the most.
func (t *Text) spark(points []oom.HistoryPoint, span uint64) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	if t.opts.ASCII {
		levels = []rune("_.-=+*%#")
	}
	var cells [sparkCells]float64
	lo, hi := 0.0, 0.0
	for i := range cells {
		v := bytesAt(points, float64(span)*(1-float64(i)/(sparkCells-1)))
		if cells[i] = v; i == 0 || v < lo {
			lo = v
		}
		hi = max(hi, v)
	}
	var b strings.Builder
	for _, v := range cells {
		level := 0
		if hi > lo {
			level = int((v-lo)/(hi-lo)*float64(len(levels)-1) + 0.5)
		}
		b.WriteRune(levels[level])
	}
	return b.String()
}

// bytesAt is the value so long ago, on the line between two points.
func bytesAt(points []oom.HistoryPoint, ago float64) float64 {
	for i := 1; i < len(points); i++ {
		a, b := points[i-1], points[i]
		if float64(b.AgoNS) <= ago && b.AgoNS < a.AgoNS {
			part := min(max((float64(a.AgoNS)-ago)/float64(a.AgoNS-b.AgoNS), 0), 1)
			return float64(a.Bytes) + part*(float64(b.Bytes)-float64(a.Bytes))
		}
	}
	return float64(points[len(points)-1].Bytes)
}

// spanWord is a span in its largest unit: 45s, 10m, 8h.
func spanWord(ns uint64) string {
	switch s := ns / 1e9; {
	case s < 1:
		return fmt.Sprintf("%dms", ns/1e6)
	case s < 120:
		return fmt.Sprintf("%ds", s)
	case s < 3600 || s < 7200 && s%3600 != 0:
		return fmt.Sprintf("%dm", s/60)
	default:
		return fmt.Sprintf("%dh", s/3600)
	}
}

// holds names the owners of the memory, worst first.
func (t *Text) holds(r *oom.Record) {
	const most = 4
	if len(r.Holders) == 0 {
		return
	}
	sep := " · "
	if t.opts.ASCII {
		sep = ", "
	}
	var parts []string
	list := shownHolders(r)
	for i := range list[:min(len(list), most)] {
		h := &list[i]
		name := ownerName(&h.Owner, h.Cgroup)
		if name == "-" {
			name = h.Comm
		}
		parts = append(parts, cutLeft(t.clean(name), 40)+" "+shortOpt(h.UsageBytes))
	}
	text := strings.Join(parts, sep)
	all, shown := r.HoldersTotal.Value+uint64(len(list)), uint64(len(r.Holders)+len(parts))
	if r.HoldersTotal.Known && all > shown {
		text += fmt.Sprintf("%sand %d more", sep, all-shown)
	}
	t.below("holds", text, dim)
	if sum, why := heldTwice(r, list); why != "" {
		t.below("note", "these add up to "+short(sum)+", "+why, dim)
	}
}

// shownHolders are in the order of what they have in memory, which is what is shown. The victim
// is among them where the log lacks its row in the table of tasks.
func shownHolders(r *oom.Record) []oom.Holder {
	list, v := slices.Clone(r.Holders), r.Victim
	if v != nil && r.Incomplete.Or(false) && v.Comm != "" && v.RSSBytes.Known &&
		!slices.ContainsFunc(list, func(h oom.Holder) bool { return h.Comm == "" || h.Comm == v.Comm }) {
		list = append(list, oom.Holder{Comm: v.Comm, UsageBytes: v.RSSBytes})
	}
	slices.SortStableFunc(list, func(a, b oom.Holder) int { return cmp.Compare(b.UsageBytes.Value, a.UsageBytes.Value) })
	return list
}

// heldTwice says why the processes of all names have more together than there is, and how
// much that is; empty where they have not. What cgroups hold is charged once.
func heldTwice(r *oom.Record, list []oom.Holder) (sum uint64, why string) {
	for i := range list {
		h := &list[i]
		if h.Comm == "" || !h.UsageBytes.Known || sum+h.UsageBytes.Value < sum {
			return 0, ""
		}
		sum += h.UsageBytes.Value
	}
	const shared = ": memory that processes share counts for each of them"
	beyond := func(whole oom.Opt[uint64]) bool { return whole.Known && sum > whole.Value+whole.Value/64 }
	switch l, m := r.Limit, r.Memory; {
	case r.Scope == oom.ScopeCgroup && l != nil && beyond(l.MaxBytes):
		return sum, "more than the limit" + shared + ", and what another cgroup was charged for counts too"
	case r.Scope == oom.ScopeSystem && m != nil && beyond(m.TotalBytes):
		return sum, "more than the machine's memory" + shared
	}
	return 0, ""
}

// collateral remembers the victims of the last incidents, for those that die with them.
type collateral struct {
	incidents [8]incident
	next      int
}

type incident struct {
	id, victim string
	shown      int
}

// maxCollateral is how many that die with a victim have a line of their own.
const maxCollateral = 5

func (c *collateral) remember(r *oom.Record, victim string) {
	if r.Kind != oom.KindKill || r.Incident == "" || c.find(r.Incident).victim != "" {
		return
	}
	c.add(incident{id: r.Incident, victim: victim})
}

func (c *collateral) add(i incident) *incident {
	at := &c.incidents[c.next]
	c.next = (c.next + 1) % len(c.incidents)
	*at = i
	return at
}

func (c *collateral) find(id string) *incident {
	for i := range c.incidents {
		if c.incidents[i].id == id {
			return &c.incidents[i]
		}
	}
	return &incident{}
}

// diedWith is the line of a process that died with a victim. Of a namespace of ten
// thousand, the first few have one.
func (t *Text) diedWith(r *oom.Record) {
	of := t.with.find(r.Incident)
	if of.id == "" {
		of = t.with.add(incident{id: r.Incident})
	}
	if of.shown++; of.shown > maxCollateral+1 {
		return
	}
	who := t.victim(r, 40) + " (" + t.causeWord(r) + ")"
	if of.shown > maxCollateral {
		who = "more of them; -o json lists each"
	}
	t.styled(cutRight(fmt.Sprintf("%s  with %s: %s", t.time(r), cmp.Or(of.victim, "an OOM kill"), who), t.opts.Width), dim)
}

func (t *Text) causeWord(r *oom.Record) string {
	by := ""
	if r.Sender != nil {
		by = " from " + t.trigger(r, 30)
	}
	switch r.Cause {
	case oom.CausePIDNamespace:
		return "in its pid namespace"
	case oom.CauseSharedMM:
		return "shared its memory"
	case oom.CauseCgroupKill:
		return "cgroup.kill" + by
	}
	return "SIGKILL" + by
}
