package tracer

import (
	"time"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// loss is a run of records of one kind that could not be delivered: those after
// the first From of that kind that were lost, up to the Toth.
type loss struct {
	Kind     oom.LostKind
	From, To uint64

	counter probe.OomtraceCounter
}

// losses are the counters that a lost record is due for, by what they count. A
// notice of a cgroup is none: no record goes missing with it.
func losses() [5]loss {
	return [...]loss{
		{Kind: oom.LostKill, counter: probe.OomtraceCounterCOUNTER_LOST},
		{Kind: oom.LostNoVictim, counter: probe.OomtraceCounterCOUNTER_LOST_NO_VICTIM},
		{Kind: oom.LostExit, counter: probe.OomtraceCounterCOUNTER_LOST_EXIT},
		{Kind: oom.LostUnreadable, counter: probe.OomtraceCounterCOUNTER_UNREADABLE},
		{Kind: oom.LostSigkill, counter: probe.OomtraceCounterCOUNTER_LOST_SIGKILL},
	}
}

// unreported appends the losses that no reader has reported yet.
func (t *Tracer) unreported(to []loss) ([]loss, error) {
	for _, l := range losses() {
		total, reported, err := t.counters.total(t.maps, l.counter)
		if err != nil {
			return to, err
		}
		if total > reported {
			l.From, l.To = reported, total
			to = append(to, l)
		}
	}
	return to, nil
}

// reported says that the stream has the loss: no reader reports it again.
func (t *Tracer) reported(l loss) error {
	return t.counters.report(t.maps[probe.OomtraceMapLedger], l.counter, l.To)
}

// lossRecord is what stands in the stream for a loss.
func (t *Tracer) lossRecord(l loss) *oom.Record {
	now := host.BootNS()
	rec := &oom.Record{
		Schema: oom.Schema, Kind: oom.KindLost, Source: oom.SourceBPF, Time: time.Now(),
		ID:   wire.LossID(t.machine.BootID, t.set, string(l.Kind), l.From, l.To),
		Node: t.machine.Node, BootID: t.machine.BootID, Kernel: t.machine.Kernel,
		Lost: oom.Some(l.To - l.From), LostKind: l.Kind,
	}
	if now != 0 {
		rec.UptimeNS = oom.Some(now)
	}
	if l.Kind == oom.LostKill {
		rec.Hooks = t.namesOf(uint32(probe.OomtraceHookBitHOOK_MARK_VICTIM))
	}
	return rec
}
