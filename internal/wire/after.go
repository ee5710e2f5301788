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
	v, x := &ev.victim, &ev.exit
	ev.Record.Victim, ev.Record.Exit = v, x
	v.PID, v.TID = oom.Some(raw.Tgid), oom.Some(raw.Tid)
	v.Comm = ev.string(trimNUL(raw.Comm[:]))
	if raw.Hdr.BootNs >= raw.MarkedBootNs {
		x.AfterNS = oom.Some(raw.Hdr.BootNs - raw.MarkedBootNs)
	}
	ev.reaper(&raw)
	ev.exitMemory(&raw.Mm, pageSize(m))
	return nil
}

// reapRounds is how often the OOM reaper tries (MAX_OOM_REAP_RETRIES in
// mm/oom_kill.c).
const reapRounds = 10

// reaper tells what the OOM reaper did by its last round: a round is the last one
// when it was good, or when the victim went before the next.
func (ev *Event) reaper(raw *probe.OomtraceExitEvent) {
	x := &ev.exit
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

func (ev *Event) exitMemory(mm *probe.OomtraceMmInfo, page uint64) {
	x := &ev.exit
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
		PID: raw.Tgid, VictimPID: raw.VictimTgid, Comm: ev.string(trimNUL(raw.Comm[:])),
		Incident: ev.incident(raw.Hdr.IncidentNs, m),
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
	ev.Cgroup = Cgroup{ID: raw.Id, Path: ev.string(raw.Path[:raw.Len])}
	return nil
}
