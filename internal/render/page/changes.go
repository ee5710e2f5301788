package page

import (
	"html/template"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// changes are sentences on what was changed before the kill that may explain it.
func changes(rec *oom.Record) (out []template.HTML) {
	if l := rec.Limit; l != nil {
		if l.Changed != nil {
			out = append(out, limitChange("The limit", l.Changed))
		}
		if l.HighChanged != nil {
			out = append(out, limitChange(mono("memory.high"), l.HighChanged))
		}
	}
	if m := rec.Memory; m != nil {
		out = append(out, reduced("The machine's memory", m.TotalChanged)...)
		out = append(out, reduced("Swap", m.SwapChanged)...)
	}
	if t := rec.Trigger; t != nil && t.MemsChanged != nil {
		c := t.MemsChanged
		out = append(out, "The cpuset of the allocation was reduced from nodes "+text(c.From)+" to "+text(c.To)+by(c.AgoNS, c.Comm, c.PID, c.Cgroup))
	}
	if v := rec.Victim; v != nil && v.OOMScoreAdjChanged != nil {
		c := v.OOMScoreAdjChanged
		out = append(out, "The victim's "+mono("oom_score_adj")+" was set to "+number(v.OOMScoreAdj)+by(c.AgoNS, c.Comm, c.PID, c.Cgroup))
	}
	return out
}

// reduced is empty without a change.
func reduced(what template.HTML, c *oom.LimitChange) []template.HTML {
	if c == nil {
		return nil
	}
	return []template.HTML{what + " was reduced from " + sizeOpt(c.FromBytes) + " to " + sizeOpt(c.ToBytes) + by(c.AgoNS, c.Comm, c.PID, c.Cgroup)}
}

// limitChange: what had no limit before was given one.
func limitChange(name template.HTML, c *oom.LimitChange) template.HTML {
	if !c.FromBytes.Known {
		name += " was set to "
	} else {
		name += " was lowered from " + sizeOpt(c.FromBytes) + " to "
	}
	return name + sizeOpt(c.ToBytes) + by(c.AgoNS, c.Comm, c.PID, c.Cgroup)
}

// by ends a sentence with when it was, and which process did it.
func by(ago oom.Opt[uint64], comm string, pid oom.Opt[int32], cgroup string) template.HTML {
	var out template.HTML
	if ago.Known {
		out += ", " + duration(ago) + " before the kill"
	}
	if comm != "" {
		out += ", by " + text(process(comm, pid))
	}
	if cgroup != "" {
		out += " in " + mono(cgroup)
	}
	return out + "."
}
