package kernlog

import (
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Seen knows the records that were read, so that an OOM that is in a log twice, or in two
// logs, is one record. The zero value is ready; it is not safe for concurrent use.
type Seen struct {
	log   int            // the log that is read
	ids   map[string]int // by id: the log
	kills map[killed][]stamp
	order []remembered
}

// killed is what a kill line says: no other kill says the same. Of a report without one it
// is what the OOM was about, which the next may be too.
type killed struct {
	kind                oom.Kind
	pid                 int64
	totalVM, anon, file uint64
	comm                string
}

type remembered struct {
	id   string
	kill killed
}

const (
	// maxSeen bounds the records that are remembered, the last ones.
	maxSeen = 1 << 16
	// maxMoments is how many kills with the same numbers are remembered.
	maxMoments = 8
	// loggedWithin is how far apart two loggers stamp one line.
	loggedWithin = 2 * time.Second
)

// Next tells that another log begins.
func (s *Seen) Next() { s.log++ }

// Again says whether a record was read before, and remembers it.
func (s *Seen) Again(rec *oom.Record) bool { return s.again(rec, killed{}) }

// again does so for a kill that the kernel may name in a second line, which another log can
// hold alone.
func (s *Seen) again(rec *oom.Record, second killed) bool {
	switch rec.Kind {
	case oom.KindExit, oom.KindLost:
		return false
	}
	at := stamp{rec.UptimeNS, rec.Time, rec.Node, rec.BootID}
	kill, known := killOf(rec)
	log, again := s.ids[rec.ID]
	// Within a second a task can stand for more than one record of one log.
	again = again && (at.uptime.Known || !at.time.IsZero() && at.node != "" && log != s.log)
	var moments []stamp
	if known && !again {
		moments = s.kills[kill]
	}
	others := s.kills[second]
	for _, list := range [...][]stamp{moments, others} {
		for i := range list {
			again = again || at.canBe(&list[i]) && (rec.Kind == oom.KindKill || at.uptime.Known != list[i].uptime.Known)
		}
	}
	if again {
		return true
	}
	if s.ids == nil {
		s.ids, s.kills = map[string]int{}, map[killed][]stamp{}
	}
	if len(s.order) >= maxSeen {
		for _, old := range s.order[:maxSeen/2] {
			delete(s.ids, old.id)
			delete(s.kills, old.kill)
		}
		s.order = append(s.order[:0], s.order[maxSeen/2:]...)
	}
	s.ids[rec.ID] = s.log
	if known {
		s.kills[kill] = append(moments[max(0, len(moments)-maxMoments+1):], at)
	}
	s.order = append(s.order, remembered{rec.ID, kill})
	if second != (killed{}) {
		s.kills[second] = append(others[max(0, len(others)-maxMoments+1):], at)
		s.order = append(s.order, remembered{rec.ID, second})
	}
	return false
}

// killOf is a record by its numbers; false where it has too few.
func killOf(rec *oom.Record) (killed, bool) {
	if v := rec.Victim; rec.Kind != oom.KindKill {
		return reportOf(rec)
	} else if v != nil && v.TID.Known {
		return victimOf(v.TID.Value, v)
	}
	return killed{}, false
}

// victimOf is a victim by the numbers of its line; false where that has too few.
func victimOf(tid int32, v *oom.Victim) (killed, bool) {
	if !v.TotalVMBytes.Known || !v.AnonRSSBytes.Known {
		return killed{}, false
	}
	return killed{
		kind: oom.KindKill, pid: int64(tid), totalVM: v.TotalVMBytes.Value, anon: v.AnonRSSBytes.Value, file: v.FileRSSBytes.Value, comm: v.Comm,
	}, true
}

// reportOf is an OOM without a kill line. Two loggers on one machine stamp it each in its
// own way; with stamps of one kind, equal numbers are no sign that it is the same.
func reportOf(rec *oom.Record) (killed, bool) {
	k := killed{kind: rec.Kind}
	if v := rec.Victim; v != nil {
		k.pid, k.comm = int64(v.TID.Value), v.Comm
	}
	if t := rec.Trigger; t != nil {
		k.anon, k.file = uint64(t.TID.Value), uint64(t.GFPMask.Value)
		k.comm += "\x00" + t.Comm
	}
	if m := rec.Memory; m != nil {
		k.totalVM = m.FreeBytes.Value
	}
	if l := rec.Limit; l != nil {
		k.totalVM += l.UsageBytes.Value
		k.comm += "\x00" + l.Cgroup
	}
	return k, k.comm != ""
}

// canBe says whether no clock tells two stamps of records apart.
func (s *stamp) canBe(o *stamp) bool {
	switch {
	case !s.sameOrigin(o):
		return false
	case s.uptime.Known && o.uptime.Known:
		return s.uptime == o.uptime
	case s.time.IsZero() || o.time.IsZero():
		return true
	}
	return s.time.Sub(o.time).Abs() <= loggedWithin
}
