// Package senders says what a SIGKILL that the kernel's OOM killer did not send has
// to do with memory: whether a memory manager sent it, and which OOM kill it
// follows from.
package senders

import (
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Mode says which SIGKILLs are wanted.
type Mode string

// The modes of --sigkill.
const (
	// ModeMemory is the default: those of memory managers, and those that an OOM kill
	// drew after it.
	ModeMemory Mode = "memory"
	ModeAll    Mode = "all"
	ModeOff    Mode = "off"
)

const (
	// drawn is how long after an OOM kill a runtime or a service manager may take to
	// kill what is left of the same container or unit: systemd's OOMPolicy=stop waits
	// for TimeoutStopSec, 90 s by default, a runtime's shim kills at once.
	drawn = 100 * time.Second
	// maxKills bounds the OOM kills that are remembered.
	maxKills = 512
)

// Options says what to keep. The zero value works.
type Options struct {
	// Mode is ModeMemory when empty.
	Mode Mode
}

// Tracker relates SIGKILLs to the OOM kills before them. It is for one goroutine.
type Tracker struct {
	mode  Mode
	kills []kill // oldest first
}

// kill is what is remembered of an OOM kill.
type kill struct {
	at        time.Time
	incident  string
	pid       oom.Opt[int32]
	start     time.Time
	cgroup    string
	container string
	pod       string
	unit      string
}

// New returns an empty tracker.
func New(opts Options) *Tracker {
	if opts.Mode == "" {
		opts.Mode = ModeMemory
	}
	return &Tracker{mode: opts.Mode}
}

// Observe completes a record of kind sigkill, remembers kills, and leaves other
// records alone. It returns false for a SIGKILL that is not wanted.
func (t *Tracker) Observe(rec *oom.Record) (keep bool) {
	switch rec.Kind {
	case oom.KindKill:
		t.remember(rec)
	case oom.KindSigkill:
		if t.again(rec) {
			return false
		}
		t.complete(rec)
		return t.wanted(rec)
	}
	return true
}

// again says that the process was an OOM victim already, and dies of that. The OOM
// killer signals its own victim once more where the chosen process is also one of its
// memory.oom.group, and its first thread has exited by then (mm/oom_kill.c,
// oom_kill_memcg_member); systemd, a unit's processes with OOMPolicy=kill or stop while
// they exit.
func (t *Tracker) again(rec *oom.Record) bool {
	if rec.Victim == nil || !rec.Victim.PID.Known {
		return false
	}
	for i := range t.kills {
		k := &t.kills[i]
		if k.pid == rec.Victim.PID && (rec.Cause == oom.CauseSharedMM && rec.Incident != "" && k.incident == rec.Incident || k.same(rec)) {
			return true
		}
	}
	return false
}

// same says that the record is of the process that was killed, not of another that has
// its pid since.
func (k *kill) same(rec *oom.Record) bool {
	if after := rec.Time.Sub(k.at); after < 0 || after > drawn {
		return false
	}
	if start := rec.Victim.StartTime; !start.IsZero() && !k.start.IsZero() {
		return start.Equal(k.start)
	}
	return k.cgroup != "" && k.cgroup == rec.Victim.Cgroup
}

func (t *Tracker) wanted(rec *oom.Record) bool {
	switch t.mode {
	case ModeAll:
		return true
	case ModeOff:
		return false
	}
	return rec.Incident != "" || rec.Cause == oom.CauseMemoryManager
}

func (t *Tracker) remember(rec *oom.Record) {
	if rec.Victim == nil || rec.Incident == "" {
		return
	}
	v := rec.Victim
	k := kill{at: rec.Time, incident: rec.Incident, pid: v.PID, start: v.StartTime, cgroup: v.Cgroup, unit: v.Unit}
	if v.Container != nil {
		k.container = v.Container.ID
	}
	if v.Pod != nil {
		k.pod = v.Pod.UID
	}
	if len(t.kills) == maxKills {
		t.kills = append(t.kills[:0], t.kills[maxKills/2:]...)
	}
	t.kills = append(t.kills, k)
}

// complete finds the sender's program, and the OOM kill that the signal follows
// from where the kernel did not show it.
func (t *Tracker) complete(rec *oom.Record) {
	if rec.Victim == nil {
		return
	}
	if rec.Limit == nil {
		rec.Limit = fullest(rec.Victim.CgroupLimits)
	}
	if rec.Sender == nil {
		return
	}
	s := rec.Sender
	if p, ok := recognise(s); ok {
		s.Role, s.Program = p.role, p.name
		if p.role == oom.RoleMemoryManager && rec.Cause != oom.CausePIDNamespace {
			rec.Cause = oom.CauseMemoryManager
		}
	}
	switch {
	case rec.Incident != "":
	case rec.Cause == oom.CausePIDNamespace:
		// The init's memory, with which the programs forget a victim, goes before its
		// namespace does (kernel/exit.c, exit_mm and exit_notify).
		rec.Incident = t.last(rec, func(k *kill) bool { return k.pid.Known && k.pid == s.PID })
	case s.Role == oom.RoleRuntime, s.Role == oom.RoleServiceManager:
		rec.Incident = t.last(rec, func(k *kill) bool { return k.related(rec.Victim) })
	}
}

// fullest is the level above a process that is nearest to its limit: the memory of
// its cgroup at that moment. Nil where no level has a limit.
func fullest(levels []oom.CgroupLimit) *oom.Limit {
	var at *oom.CgroupLimit
	share := func(l *oom.CgroupLimit) float64 {
		return float64(l.UsageBytes.Value) / float64(max(l.MaxBytes.Value, 1))
	}
	for i := range levels {
		if l := &levels[i]; l.UsageBytes.Known && l.MaxBytes.Known && (at == nil || share(l) > share(at)) {
			at = l
		}
	}
	if at == nil {
		return nil
	}
	return &oom.Limit{Cgroup: at.Cgroup, CgroupID: at.CgroupID, UsageBytes: at.UsageBytes, MaxBytes: at.MaxBytes, HighBytes: at.HighBytes, SwapUsageBytes: at.SwapUsageBytes, SwapMaxBytes: at.SwapMaxBytes}
}

// last is the incident of the last OOM kill of a kind, shortly before a SIGKILL.
func (t *Tracker) last(rec *oom.Record, is func(*kill) bool) string {
	for i := len(t.kills) - 1; i >= 0; i-- {
		k := &t.kills[i]
		if after := rec.Time.Sub(k.at); after < 0 || after > drawn {
			continue
		}
		if is(k) {
			return k.incident
		}
	}
	return ""
}

func (k *kill) related(v *oom.Victim) bool {
	switch {
	case k.container != "" && v.Container != nil && v.Container.ID == k.container:
		return true
	case k.pod != "" && v.Pod != nil && v.Pod.UID == k.pod:
		return true
	case k.container == "" && v.Container == nil && k.unit != "" && v.Unit == k.unit:
		return true
	}
	return k.cgroup != "" && k.cgroup != "/" && v.Cgroup == k.cgroup
}
