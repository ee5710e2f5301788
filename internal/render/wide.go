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
	t.ownerDetails(r)
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

// details is detail on as many lines as it takes.
func (t *Text) details(name, text string) {
	if text == "" {
		return
	}
	head := fmt.Sprintf("%-10s ", name+":")
	for i, part := range wrap(clean(text), Columns-len(indent)-len(head)) {
		if i > 0 {
			head = strings.Repeat(" ", len(head))
		}
		t.line(indent + head + part)
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
	if v.Cmdline != "" {
		t.detail("cmdline", v.Cmdline)
	}
	t.detail("memory", fmt.Sprintf("total-vm %s, anon %s, file %s, shmem %s, swap %s, page tables %s",
		exact(v.TotalVMBytes), exact(v.AnonRSSBytes), exact(v.FileRSSBytes), exact(v.ShmemRSSBytes),
		exact(v.SwapBytes), exact(v.PgtablesBytes)))
	t.detail("process", fmt.Sprintf("uid %s, ppid %s, marked thread %s, oom_score_adj %s, badness %s pages",
		number(v.UID, "-"), number(v.PPID, "-"), number(v.TID, "-"), number(v.OOMScoreAdj, "-"), number(v.BadnessPages, "-")))
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
		asked := fmt.Sprintf("order %s, gfp 0x%x", number(g.Order, "-"), g.GFPMask.Value)
		if len(g.GFPFlags) > 0 {
			asked += " (" + strings.Join(g.GFPFlags, "|") + ")"
		}
		t.detail("asked for", asked)
	}
	t.details("stack", strings.Join(wayIn(g.KernelStack), " < "))
	t.details("user stack", strings.Join(g.UserStack, " < "))
}

// wayIn is a kernel stack without the OOM killer's own functions, which say
// nothing about this kill.
func wayIn(stack []string) []string {
	for i := len(stack) - 1; i > 0; i-- {
		if name, _, _ := strings.Cut(stack[i-1], "+"); name == "out_of_memory" {
			return stack[i:]
		}
	}
	return stack
}

func (t *Text) limits(r *oom.Record) {
	if l := r.Limit; l != nil {
		text := fmt.Sprintf("usage %s of %s", exact(l.UsageBytes), maximum(l.MaxBytes, l.UsageBytes))
		if l.SwapUsageBytes.Known || l.SwapMaxBytes.Known {
			text += fmt.Sprintf(", swap %s of %s", exact(l.SwapUsageBytes), maximum(l.SwapMaxBytes, l.SwapUsageBytes))
		}
		if l.MemswUsageBytes.Known {
			text += fmt.Sprintf(", with swap %s of %s", exact(l.MemswUsageBytes), maximum(l.MemswMaxBytes, l.MemswUsageBytes))
		}
		if l.Cgroup != "" {
			text += ": " + l.Cgroup // last, for it can fill the line
		}
		t.detail("limit", text)
	}
	if r.Victim == nil {
		return
	}
	for _, c := range r.Victim.CgroupLimits {
		if !c.UsageBytes.Known && !c.MaxBytes.Known {
			continue // the root has neither
		}
		t.line(cutRight(fmt.Sprintf("%s  %10s of %10s  %s", indent, shortOpt(c.UsageBytes), maximum(c.MaxBytes, c.UsageBytes),
			clean(c.Cgroup)), Columns))
	}
}

// maximum is a limit. An absent one means that there is none, but only where
// the counter it goes with was read.
func maximum(v, usage oom.Opt[uint64]) string {
	if !v.Known && usage.Known {
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
	most := r.Candidates[0].BadnessPages.Value
	t.detail("candidates", number(r.CandidatesTotal, "-")+" weighed")
	for _, c := range r.Candidates {
		t.line(cutRight(fmt.Sprintf("%s  %7s  %s  rss %5s  swap %5s  adj %5s  %s %s", indent, number(c.PID, "-"),
			pad(cutRight(clean(c.Comm), 15), 15), shortOpt(c.RSSBytes), shortOpt(c.SwapBytes), number(c.OOMScoreAdj, "-"),
			pad(bar(c.BadnessPages.Value, most), barWidth), number(c.BadnessPages, "-")), Columns))
	}
}

// bar is as long as the part that points are of most.
func bar(points, most int64) string {
	if points <= 0 || most <= 0 {
		return ""
	}
	part := min(float64(points)/float64(most), 1)
	return strings.Repeat("█", int(part*barWidth))
}

func (t *Text) zones(r *oom.Record) {
	if r.Memory == nil {
		return
	}
	m := r.Memory
	t.detail("machine", fmt.Sprintf("free %s of %s, swap free %s of %s", shortOpt(m.FreeBytes), shortOpt(m.TotalBytes),
		shortOpt(m.SwapFreeBytes), shortOpt(m.SwapTotalBytes)))
	for _, z := range m.Zones {
		t.line(cutRight(fmt.Sprintf("%s  node %s %s  free %5s  min %5s  low %5s  high %5s  managed %5s", indent, number(z.Node, "-"),
			pad(clean(z.Zone), 8), shortOpt(z.FreeBytes), shortOpt(z.MinBytes), shortOpt(z.LowBytes), shortOpt(z.HighBytes),
			shortOpt(z.ManagedBytes)), Columns))
	}
}
