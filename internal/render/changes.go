package render

import (
	"cmp"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// changes lists what was changed before the kill that may explain it.
func (t *Text) changes(r *oom.Record) {
	if l := r.Limit; l != nil {
		t.details("changed", limitChange("limit", l.Changed))
		t.details("changed", limitChange("memory.high", l.HighChanged))
	}
	if m := r.Memory; m != nil {
		t.details("changed", reduced("memory", m.TotalChanged))
		t.details("changed", reduced("swap", m.SwapChanged))
	}
	if r.Trigger != nil && r.Trigger.MemsChanged != nil {
		c := r.Trigger.MemsChanged
		t.details("changed", "cpuset nodes reduced from "+c.From+" to "+c.To+by(c.Comm, c.PID)+before(c.AgoNS))
	}
	if v := r.Victim; v != nil && v.OOMScoreAdjChanged != nil {
		c := v.OOMScoreAdjChanged
		t.details("changed", "oom_score_adj set to "+number(v.OOMScoreAdj, "-")+by(c.Comm, c.PID)+before(c.AgoNS))
	}
}

// reduced is empty without a change.
func reduced(what string, c *oom.LimitChange) string {
	if c == nil {
		return ""
	}
	return what + " reduced from " + shortOpt(c.FromBytes) + " to " + shortOpt(c.ToBytes) + before(c.AgoNS)
}

// limitChange is empty without a change. What had no limit before was given one.
func limitChange(name string, c *oom.LimitChange) string {
	switch {
	case c == nil:
		return ""
	case !c.FromBytes.Known:
		return name + " set to " + shortOpt(c.ToBytes) + by(c.Comm, c.PID) + before(c.AgoNS)
	}
	return name + " lowered from " + shortOpt(c.FromBytes) + " to " + shortOpt(c.ToBytes) + by(c.Comm, c.PID) + before(c.AgoNS)
}

// by names the process that made a change, where it is known; details escapes it.
func by(comm string, pid oom.Opt[int32]) string {
	switch {
	case comm == "" && !pid.Known:
		return ""
	case !pid.Known:
		return " by " + comm
	}
	return " by " + cmp.Or(comm, "?") + " " + number(pid, "")
}

func before(ns oom.Opt[uint64]) string {
	if !ns.Known {
		return ""
	}
	return ", " + duration(ns.Value) + " before"
}
