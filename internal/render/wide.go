package render

import (
	"fmt"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// wide adds all that does not fit a line.
func (t *Text) wide(r *oom.Record) {
	if r.Why != nil && !t.opts.NoWhy {
		for _, reason := range r.Why.Reasons {
			for i, part := range wrap("- "+clean(reason.Text)+" ["+clean(reason.Code)+"]", Columns-len(indent)) {
				if i > 0 {
					part = "     " + part
				}
				t.line(indent + part)
			}
		}
	}
	t.victimDetails(r)
	t.triggerDetails(r)
	t.limits(r)
	t.candidates(r)
	t.zones(r)
	if len(r.Sampled) > 0 {
		t.detail("sampled", "just after the kill: "+strings.Join(r.Sampled, ", "))
	}
}

// detail writes "name: text" below the kill, cut to the line.
func (t *Text) detail(name, text string) {
	t.line(cutRight(fmt.Sprintf("%s%-10s %s", indent, name+":", clean(text)), Columns))
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
	if v.Cmdline != "" {
		t.detail("cmdline", v.Cmdline)
	}
	t.detail("memory", fmt.Sprintf("total-vm %s, anon %s, file %s, shmem %s, swap %s, page tables %s",
		exact(v.TotalVMBytes), exact(v.AnonRSSBytes), exact(v.FileRSSBytes), exact(v.ShmemRSSBytes),
		exact(v.SwapBytes), exact(v.PgtablesBytes)))
	t.detail("process", fmt.Sprintf("uid %d, ppid %d, marked thread %d, oom_score_adj %d, badness %d pages",
		v.UID.Value, v.PPID.Value, v.TID.Value, v.OOMScoreAdj.Value, v.BadnessPages.Value))
	if v.Cgroup != "" {
		t.detail("cgroup", v.Cgroup)
	}
}

func (t *Text) triggerDetails(r *oom.Record) {
	g := r.Trigger
	if g == nil {
		return
	}
	if g.GFPMask.Known {
		t.detail("asked for", fmt.Sprintf("order %d, gfp 0x%x (%s)", g.Order.Value, g.GFPMask.Value, strings.Join(g.GFPFlags, "|")))
	}
	if len(g.KernelStack) > 0 {
		t.detail("stack", strings.Join(g.KernelStack, " < "))
	}
}

func (t *Text) limits(r *oom.Record) {
	if l := r.Limit; l != nil {
		t.detail("limit", fmt.Sprintf("%s: usage %s of %s, swap %s of %s", l.Cgroup, exact(l.UsageBytes), maximum(l.MaxBytes),
			exact(l.SwapUsageBytes), maximum(l.SwapMaxBytes)))
	}
	if r.Victim == nil {
		return
	}
	for _, c := range r.Victim.CgroupLimits {
		t.line(cutRight(fmt.Sprintf("%s  %10s of %10s  %s", indent, shortOpt(c.UsageBytes), maximum(c.MaxBytes), clean(c.Cgroup)), Columns))
	}
}

func maximum(v oom.Opt[uint64]) string {
	if !v.Known {
		return "no limit"
	}
	return exact(v)
}

const barWidth = 20

// candidates is the table of what the kernel weighed, with a bar for the
// points.
func (t *Text) candidates(r *oom.Record) {
	if len(r.Candidates) == 0 {
		return
	}
	most := max(r.Candidates[0].BadnessPages.Value, 1)
	t.detail("candidates", fmt.Sprintf("%d weighed", r.CandidatesTotal.Value))
	for _, c := range r.Candidates {
		points := c.BadnessPages.Value
		n := min(max(points, 0)*barWidth/most, barWidth)
		t.line(cutRight(fmt.Sprintf("%s  %7d  %-15s  rss %5s  swap %5s  adj %5d  %-*s %d", indent, c.PID.Value,
			cutRight(clean(c.Comm), 15), shortOpt(c.RSSBytes), shortOpt(c.SwapBytes), c.OOMScoreAdj.Value,
			barWidth, strings.Repeat("█", int(n)), points), Columns))
	}
}

func (t *Text) zones(r *oom.Record) {
	if r.Memory == nil {
		return
	}
	m := r.Memory
	t.detail("machine", fmt.Sprintf("free %s of %s, swap free %s of %s", shortOpt(m.FreeBytes), shortOpt(m.TotalBytes),
		shortOpt(m.SwapFreeBytes), shortOpt(m.SwapTotalBytes)))
	for _, z := range m.Zones {
		t.line(cutRight(fmt.Sprintf("%s  node %d %-8s  free %5s  min %5s  low %5s  high %5s  managed %5s", indent, z.Node.Value,
			clean(z.Zone), shortOpt(z.FreeBytes), shortOpt(z.MinBytes), shortOpt(z.LowBytes), shortOpt(z.HighBytes),
			shortOpt(z.ManagedBytes)), Columns))
	}
}
