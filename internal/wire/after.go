package wire

import (
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

func (ev *Event) decodeExit(b []byte, m *Machine) error {
	raw, err := take[probe.OomtraceExitEvent](b, "exit")
	if err != nil {
		return err
	}
	ev.header(&raw.Hdr, oom.KindExit, raw.Tid, m)
	v, x := &oom.Victim{}, &oom.Exit{}
	ev.Record.Victim, ev.Record.Exit = v, x
	v.PID, v.TID = oom.Some(raw.Tgid), oom.Some(raw.Tid)
	v.Comm = text(raw.Comm[:])
	if raw.Hdr.BootNs >= raw.MarkedBootNs {
		x.AfterNS = oom.Some(raw.Hdr.BootNs - raw.MarkedBootNs)
	}
	fillReaper(x, &raw)
	fillExitMemory(x, &raw.Mm, pageSize(m))
	return nil
}

// reapRounds is how often the OOM reaper tries (MAX_OOM_REAP_RETRIES in
// mm/oom_kill.c).
const reapRounds = 10

// fillReaper says what the OOM reaper did by its last round: a round is the last one
// when it was good, or when the victim went before the next.
func fillReaper(x *oom.Exit, raw *probe.OomtraceExitEvent) {
	switch probe.OomtraceReapResult(raw.ReapLast) {
	case probe.OomtraceReapResultREAP_DONE:
		x.Reaped = oom.Some(true)
		if raw.ReapEndBootNs > raw.MarkedBootNs {
			x.ReapedAfterNS = oom.Some(raw.ReapEndBootNs - raw.MarkedBootNs)
		}
	case probe.OomtraceReapResultREAP_NEEDLESS:
		x.Reaped = oom.Some(false)
	case probe.OomtraceReapResultREAP_BUSY:
		x.Reaped = oom.Some(false)
		if raw.ReapFinishes+raw.ReapSkips >= reapRounds {
			x.ReaperGaveUp = oom.Some(true)
		}
	}
	// REAP_UNSURE and REAP_STARTED leave open what came of it.
}

func fillExitMemory(x *oom.Exit, mm *probe.OomtraceMmInfo, page uint64) {
	x.AnonRSSBytes, x.FileRSSBytes = pageBytes(mm.AnonPages, page), pageBytes(mm.FilePages, page)
	x.ShmemRSSBytes, x.SwapBytes = pageBytes(mm.ShmemPages, page), pageBytes(mm.SwapPages, page)
	x.RSSBytes = rssBytes(mm, page)
}

func (ev *Event) decodeShared(b []byte, m *Machine) error {
	raw, err := take[probe.OomtraceSharedMmEvent](b, "shared mm")
	if err != nil {
		return err
	}
	if raw.Tgid == 0 {
		return &DecodeError{Field: "shared mm process", Need: 1}
	}
	ev.Shared = Shared{
		PID: raw.Tgid, VictimPID: raw.VictimTgid, Comm: text(raw.Comm[:]),
		Incident: incidentID(m.BootID, raw.Hdr.IncidentNs),
	}
	return nil
}

func (ev *Event) decodeCgroup(b []byte) error {
	raw, err := take[probe.OomtraceCgroupEvent](b, "cgroup")
	if err != nil {
		return err
	}
	if int(raw.Len) > len(raw.Path) {
		return &DecodeError{Field: "cgroup path", Need: int(raw.Len), Have: len(raw.Path)}
	}
	if raw.Len == 0 {
		return &DecodeError{Field: "cgroup path", Need: 1}
	}
	ev.Cgroup = Cgroup{ID: raw.Id, Path: string(raw.Path[:raw.Len])}
	return nil
}
