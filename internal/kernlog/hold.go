package kernlog

import (
	"slices"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// reaper handles the outcome of the OOM reaper.
func (p *Parser) reaper(l *lines.Line, b []byte) {
	k, gaveUp, ok := parseReaper(b)
	if !ok {
		p.unplaced(l, b)
		return
	}
	exit, h := &oom.Exit{
		Reaped: oom.Some(!gaveUp), AnonRSSBytes: k.v.AnonRSSBytes, FileRSSBytes: k.v.FileRSSBytes, ShmemRSSBytes: k.v.ShmemRSSBytes,
		RSSBytes: scan.Sum(k.v.AnonRSSBytes, k.v.FileRSSBytes, k.v.ShmemRSSBytes),
	}, p.heldKill(k.pid)
	if gaveUp {
		exit.ReaperGaveUp = oom.Some(true)
	}
	if h != nil {
		if gap, ok := p.now.since(&h.at); ok && gap >= 0 && p.now.fine() && h.at.fine() {
			exit.ReapedAfterNS = oom.Some(uint64(gap))
		}
	}
	switch {
	case p.o.ExitRecords:
		p.exitRecord(&k, exit, h)
	case h == nil:
		p.stats.Reaped++
	default:
		if h.rec.Exit != nil {
			exit.SharedMM = h.rec.Exit.SharedMM
		}
		h.rec.Exit, h.done = exit, true
		p.release(&p.now)
	}
}

// heldKill finds the kill that the reaper speaks of, by the thread.
func (p *Parser) heldKill(tid int32) *held {
	for i := len(p.held) - 1; i >= 0; i-- {
		if h := &p.held[i]; h.tid == tid && !h.done && p.now.sameOrigin(&h.at) {
			return h
		}
	}
	return nil
}

func (p *Parser) exitRecord(k *killLine, exit *oom.Exit, h *held) {
	rec := p.base(oom.KindExit, &p.now, k.pid)
	rec.Exit = exit
	rec.Victim = &oom.Victim{PID: oom.Some(k.pid), TID: oom.Some(k.pid), Comm: k.v.Comm}
	if h != nil {
		rec.Incident, rec.Victim.PID = h.rec.Incident, h.rec.Victim.PID
		h.done = true
	}
	p.emit(rec)
}

// emit gives out a record that need not wait, after those that do.
func (p *Parser) emit(rec *oom.Record) {
	if p.o.ExitRecords {
		p.settle()
		p.put(rec, nil)
		return
	}
	p.held = append(p.held, held{rec: rec, done: true})
	p.release(&stamp{})
}

// hold keeps a kill back for its outcome; with exit records only until the next
// line has shown whether it was an oom.group's.
func (p *Parser) hold(h held) {
	p.held = append(p.held, h)
	p.drop(max(0, len(p.held)-maxHeld))
}

// settle gives out the kills that wait for no more than the next line. What is
// known of them stays, for the reaper's line.
func (p *Parser) settle() {
	for i := range p.held {
		if h := &p.held[i]; !h.out {
			p.giveHeld(h)
			h.out = true
		}
	}
}

// drop forgets the first n held kills and gives out those that were not yet.
func (p *Parser) drop(n int) {
	for i := range p.held[:n] {
		if !p.held[i].out {
			p.giveHeld(&p.held[i])
		}
	}
	p.held = slices.Delete(p.held, 0, n)
}

// release drops, in order, what need not wait any longer.
func (p *Parser) release(now *stamp) {
	n := 0
	for ; n < len(p.held); n++ {
		h := &p.held[n]
		late := p.tick-h.tick > reaperLines || now.sameOrigin(&h.at) && !now.within(&h.at, -clockSlack, reaperWait)
		if !late && (!h.done || p.o.ExitRecords || p.memoryMayFollow(*h)) {
			break
		}
	}
	if n > 0 {
		p.drop(n)
	}
}
