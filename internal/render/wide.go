package render

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// wide adds all that does not fit a line.
func (t *Text) wide(r *oom.Record) {
	if r.Why != nil && !t.opts.NoWhy {
		for _, reason := range r.Why.Reasons {
			for i, part := range wrap("- "+t.clean(reason.Text)+" ["+t.clean(reason.Code)+"]", t.opts.Width-len(indent)-2) {
				if i > 0 {
					part = "  " + part
				}
				t.line(indent + part)
			}
		}
		t.details("check", r.Why.Check)
	}
	t.victimDetails(r)
	t.ownerDetails(r)
	t.triggerDetails(r)
	t.limits(r)
	t.changes(r)
	t.candidates(r)
	t.zones(r)
	if len(r.Sampled) > 0 {
		t.details("sampled", "just after the kill: "+strings.Join(r.Sampled, ", "))
	}
}

// details writes "name: text" below the kill, on as many lines as it takes.
func (t *Text) details(name, text string) {
	t.block(fmt.Sprintf("%-11s ", name+":"), t.clean(text), "")
}

// row writes an aligned line; one that does not fit is wrapped.
func (t *Text) row(s string) {
	if s = indent + "  " + s; width(strings.TrimRight(s, " ")) <= t.opts.Width {
		t.line(s)
		return
	}
	head := "  "
	for _, part := range wrap(s, t.opts.Width-len(indent)-4) {
		t.line(indent + head + part)
		head = "    "
	}
}

// number is a known number in full, or what stands for an unknown one.
func number[T int32 | int64 | uint32 | uint64](v oom.Opt[T], unknown string) string {
	if !v.Known {
		return unknown
	}
	return fmt.Sprint(v.Value)
}

func exact(v oom.Opt[uint64]) string {
	if !v.Known {
		return "-"
	}
	return fmt.Sprintf("%d kB", v.Value/1024)
}

func (t *Text) victimDetails(r *oom.Record) {
	v := r.Victim
	if v == nil {
		return
	}
	t.details("cmdline", v.Cmdline)
	t.details("memory", fmt.Sprintf("total-vm %s, anon %s, file %s, shmem %s, swap %s, page tables %s",
		exact(v.TotalVMBytes), exact(v.AnonRSSBytes), exact(v.FileRSSBytes), exact(v.ShmemRSSBytes),
		exact(v.SwapBytes), exact(v.PgtablesBytes)))
	t.details("process", fmt.Sprintf("uid %s, ppid %s, marked thread %s, oom_score_adj %s, badness %s pages",
		number(v.UID, "-"), number(v.PPID, "-"), number(v.TID, "-"), number(v.OOMScoreAdj, "-"), number(v.BadnessPages, "-")))
	t.details("cgroup", v.Cgroup)
	t.details("pressure", pressure(v.CgroupPressure))
}

// pressure is a PSI file in a line.
func pressure(p *oom.Pressure) string {
	if p == nil {
		return ""
	}
	var parts []string
	for _, l := range [...]struct {
		who  string
		time *oom.PressureTime
	}{{"some", p.Some}, {"all", p.Full}} {
		if l.time == nil {
			continue
		}
		for _, avg := range [...]struct {
			seconds int
			percent oom.Opt[float64]
		}{{10, l.time.Avg10Percent}, {60, l.time.Avg60Percent}, {300, l.time.Avg300Percent}} {
			if avg.percent.Known {
				parts = append(parts, fmt.Sprintf("%s %.2f %% of %d s", l.who, avg.percent.Value, avg.seconds))
			}
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "waited for memory: " + strings.Join(parts, ", ")
}

func (t *Text) triggerDetails(r *oom.Record) {
	g := r.Trigger
	if g == nil {
		return
	}
	if g.GFPMask.Known {
		asked := fmt.Sprintf("order %s, gfp 0x%x", number(g.Order, "-"), g.GFPMask.Value)
		if len(g.GFPFlags) > 0 {
			asked += " (" + strings.Join(g.GFPFlags, "|") + ")"
		}
		t.details("request", asked)
	}
	t.details("stack", strings.Join(allocating(g.KernelStack), " < "))
	t.details("user stack", strings.Join(g.UserStack, " < "))
}

// allocating is a kernel stack without the OOM killer's own functions, which say
// nothing about this kill.
func allocating(stack []string) []string {
	for i := len(stack) - 1; i > 0; i-- {
		if name, _, _ := strings.Cut(stack[i-1], "+"); name == "out_of_memory" {
			return stack[i:]
		}
	}
	return stack
}

func (t *Text) limits(r *oom.Record) {
	if l := r.Limit; l != nil {
		text := fmt.Sprintf("usage %s of %s", exact(l.UsageBytes), maximum(l.MaxBytes, l.UsageBytes, exact))
		if l.SwapUsageBytes.Known || l.SwapMaxBytes.Known {
			text += fmt.Sprintf(", swap %s of %s", exact(l.SwapUsageBytes), maximum(l.SwapMaxBytes, l.SwapUsageBytes, exact))
		}
		if l.MemswUsageBytes.Known {
			text += fmt.Sprintf(", with swap %s of %s", exact(l.MemswUsageBytes), maximum(l.MemswMaxBytes, l.MemswUsageBytes, exact))
		}
		if l.Cgroup != "" {
			text += ": " + l.Cgroup // last, for it can fill the line
		}
		t.details("limit", text)
		t.details("memory.stat", stats(l.Stat))
	}
	if r.Victim == nil {
		return
	}
	for _, c := range r.Victim.CgroupLimits {
		if !c.UsageBytes.Known && !c.MaxBytes.Known {
			continue // the root has neither
		}
		t.row(fmt.Sprintf("%5s of %8s  %s%s", shortOpt(c.UsageBytes), maximum(c.MaxBytes, c.UsageBytes, shortOpt), swapOf(&c), t.clean(c.Cgroup)))
	}
}

// swapOf is what a level may swap, where that is limited.
func swapOf(c *oom.CgroupLimit) string {
	switch {
	case c.SwapMaxBytes.Known:
		return fmt.Sprintf("swap %s of %s  ", shortOpt(c.SwapUsageBytes), shortOpt(c.SwapMaxBytes))
	case c.MemswMaxBytes.Known:
		return fmt.Sprintf("with swap up to %s  ", shortOpt(c.MemswMaxBytes))
	}
	return ""
}

// stats are the counters that are not zero, biggest first.
func stats(s oom.Stats) string {
	sorted := slices.Clone(s)
	slices.SortStableFunc(sorted, func(a, b oom.Stat) int { return cmp.Compare(b.Bytes, a.Bytes) })
	var parts []string
	for _, st := range sorted {
		if st.Bytes > 0 {
			parts = append(parts, strings.TrimSuffix(st.Name, "_bytes")+" "+short(st.Bytes))
		}
	}
	return strings.Join(parts, ", ")
}

// maximum is a limit. An absent one means that there is none, but only where
// the counter it goes with was read.
func maximum(v, usage oom.Opt[uint64], words func(oom.Opt[uint64]) string) string {
	if !v.Known && usage.Known {
		return "no limit"
	}
	return words(v)
}

const barWidth = 20

// candidates is the table of what the kernel considered, with a bar for the points.
func (t *Text) candidates(r *oom.Record) {
	if len(r.Candidates) == 0 {
		return
	}
	considered := number(r.CandidatesTotal, "-") + " considered"
	if r.CandidatesBytes.Known {
		considered += ", together " + shortOpt(r.CandidatesBytes)
	}
	weight, unit := weights(r.Candidates)
	t.details("candidates", considered+", by "+unit)
	var most int64
	for i := range r.Candidates {
		most = max(most, weight(&r.Candidates[i]).Value)
	}
	for i := range r.Candidates {
		c := &r.Candidates[i]
		w, words := weight(c), "-"
		switch {
		case w.Known && unit == bySize:
			words = short(uint64(w.Value))
		case w.Known:
			words = fmt.Sprint(w.Value)
		}
		t.row(fmt.Sprintf("%7s  %s  rss %5s  swap %5s  adj %5s  %s %s", number(c.PID, "-"),
			pad(cutRight(t.clean(c.Comm), 15), 15), shortOpt(c.RSSBytes), shortOpt(c.SwapBytes), number(c.OOMScoreAdj, "-"),
			pad(t.bar(w.Value, most), barWidth), words))
	}
}

const bySize = "rss + swap + page tables"

// weights says what the bars show: the kernel's points, or, where a log did not
// have them, the size that the points start from.
func weights(candidates []oom.Candidate) (of func(*oom.Candidate) oom.Opt[int64], unit string) {
	for i := range candidates {
		if candidates[i].BadnessPages.Known {
			return func(c *oom.Candidate) oom.Opt[int64] { return c.BadnessPages }, "points"
		}
	}
	return sizeOf, bySize
}

func sizeOf(c *oom.Candidate) oom.Opt[int64] {
	if !c.RSSBytes.Known {
		return oom.Opt[int64]{}
	}
	sum := uint64(0)
	for _, part := range [...]uint64{c.RSSBytes.Value, c.SwapBytes.Value, c.PgtablesBytes.Value} {
		sum += min(part, math.MaxInt64-sum)
	}
	return oom.Some(int64(sum))
}

// bar is as long as the part that points are of most.
func (t *Text) bar(points, most int64) string {
	if points <= 0 || most <= 0 {
		return ""
	}
	block := "█"
	if t.opts.ASCII {
		block = "#"
	}
	part := min(float64(points)/float64(most), 1)
	return strings.Repeat(block, int(part*barWidth))
}

func (t *Text) zones(r *oom.Record) {
	if r.Memory == nil {
		return
	}
	m := r.Memory
	t.details("machine", fmt.Sprintf("free %s of %s, swap free %s of %s", shortOpt(m.FreeBytes), shortOpt(m.TotalBytes),
		shortOpt(m.SwapFreeBytes), shortOpt(m.SwapTotalBytes)))
	t.details("pressure", pressure(m.Pressure))
	for _, z := range m.Zones {
		t.row(fmt.Sprintf("node %s %s  free %5s  min %5s  low %5s  high %5s  managed %5s", number(z.Node, "-"),
			pad(t.clean(z.Zone), 8), shortOpt(z.FreeBytes), shortOpt(z.MinBytes), shortOpt(z.LowBytes), shortOpt(z.HighBytes),
			shortOpt(z.ManagedBytes)))
		t.zoneList("reserved", z.LowmemReserveBytes, short)
		t.zoneList("blocks", z.FreeBlocks, func(n uint64) string { return fmt.Sprint(n) })
	}
}

// zoneList is a zone's numbers in the kernel's order: what it keeps from requests
// that could use a higher zone, by the type of that; its free blocks, by order.
func (t *Text) zoneList(name string, values []uint64, word func(uint64) string) {
	row := fmt.Sprintf("       %-8s", name)
	for _, v := range values {
		row += " " + word(v)
	}
	if len(values) > 0 {
		t.row(row)
	}
}
