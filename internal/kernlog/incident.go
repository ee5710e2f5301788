package kernlog

import (
	"slices"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/oom"
)

func (p *Parser) kill(l *lines.Line, k *killLine) {
	if inc := p.groupOf(l, k); inc != nil {
		p.groupKill(l, inc, k)
		return
	}
	if h := p.repeated(k); h != nil && !p.replace(l, k, h) {
		return
	}
	r, fit := p.reportFor(l, k.message, func(r *report) int { return killFits(r, k) })
	if fit < fitsPID && p.late(k) {
		return
	}
	if r != nil && r.headless && r.stage < stageTasks && !r.limitMet() && !p.limitJustBefore(r) {
		// Without a header these may be another allocation's Mem-Info, or another OOM's limit.
		p.end(r)
		r = nil
	}
	if r == nil {
		r = p.newReport(l, true)
	}
	r.note(k.message)
	if !r.chosen.known && !k.bare && !r.grouped {
		// The only line that names a process, so it is the one that was chosen.
		r.chosen, r.assumed = chosen{known: true, pid: k.pid, comm: k.v.Comm, uid: k.v.UID}, true
	}
	inc := &incident{rep: r, id: p.incidentID(&r.stamp, k.pid), killed: map[int32]bool{}, message: k.message, grouped: r.grouped}
	p.remember(inc)
	rec := p.groupKill(l, inc, k)
	if fit == fitsOpen && !r.headless {
		r.claim = &claim{rec: rec, inc: inc, kill: *k, at: p.now}
		return
	}
	p.decided(r, rec)
	p.remove(r)
}

// limitJustBefore says whether the line before is one of a limit's numbers, which only an OOM's
// report has.
func (p *Parser) limitJustBefore(r *report) bool {
	return p.tick == r.touched+1 && p.now.within(&r.last, -clockSlack, clockSlack) && r.limit.UsageBytes.Known && r.mem.lines == 0
}

// claim is a kill that a report was taken for before its later parts came. If they do
// come, the report is another kill's.
type claim struct {
	rec  *oom.Record
	inc  *incident
	kill killLine
	at   stamp
}

// unclaim takes the report back from a kill, since it goes on. A record that was given
// out stays as it is.
func (p *Parser) unclaim(r *report) {
	c := r.claim
	r.claim = nil
	if r.assumed {
		r.assumed, r.chosen, r.scope, r.global = false, chosen{}, "", false
	}
	for i := range p.held {
		h := &p.held[i]
		if h.rec != c.rec || h.out {
			continue
		}
		alone := &report{stamp: c.at, last: c.at, headless: true}
		alone.note(c.kill.message)
		rec := oom.Record{
			Schema: h.rec.Schema, ID: h.rec.ID, Kind: h.rec.Kind, Source: h.rec.Source, Hooks: h.rec.Hooks, UptimeNS: h.rec.UptimeNS,
			Time: h.rec.Time, Node: h.rec.Node, BootID: h.rec.BootID, Kernel: p.o.Kernel,
		}
		p.fill(alone, &rec, &c.kill)
		rec.Incident = p.incidentID(&c.at, c.kill.pid)
		*h.rec, c.inc.rep, c.inc.id = rec, alone, rec.Incident
	}
}

// dropClaimed closes the reports that a kill has taken: another one begins.
func (p *Parser) dropClaimed() {
	p.open = slices.DeleteFunc(p.open, func(r *report) bool { return r.claim != nil && p.now.sameOrigin(&r.stamp) })
}

// secondLine takes an oom.group's chosen task, once more: the first line is printed before the
// task dies, the second while it does. Another log may hold one of them.
func (p *Parser) secondLine(inc *incident, k *killLine) {
	own := slices.IndexFunc(p.held, func(h held) bool { return h.tid == k.pid && h.rec.Incident == inc.id && !h.out })
	if own < 0 {
		return
	}
	second := *k
	p.held[own].second = &second
	for i := range p.held[:own] {
		if h := &p.held[i]; h.bare() && h.sameKill(k, &p.now) && p.tick-h.tick <= interleaved {
			p.stats.Duplicates++
			p.stats.Kills--
			p.held = slices.Delete(p.held, i, i+1)
			return
		}
	}
}

// bare says whether a record that waits has no more than the kill's own line.
func (h *held) bare() bool {
	return !h.out && h.rec.Trigger == nil && h.rec.Limit == nil && h.rec.Memory == nil
}

// sameKill says whether a kill line can be that of a record.
func (h *held) sameKill(k *killLine, s *stamp) bool {
	v := h.rec.Victim
	if h.tid != k.pid || h.rec.Kind != oom.KindKill || v.Comm != k.v.Comm || !s.sameOrigin(&h.at) {
		return false
	}
	gap, ok := s.since(&h.at)
	if ok && s.fine() && h.at.fine() {
		return gap.Abs() <= clockSlack // none is killed twice so soon: an oom.group's chosen task
	}
	return (!ok || gap <= loggedWithin) && (k.agrees(v) || h.second != nil && k.agrees(&h.second.v))
}

// replace drops the record of a kill line alone, of which the report comes now. Else the log has
// both twice, and the report is closed: an oom.group's other victims follow that too.
func (p *Parser) replace(l *lines.Line, k *killLine, h *held) bool {
	r, fit := p.reportFor(l, k.message, func(r *report) int { return killFits(r, k) })
	switch {
	case r == nil || fit < fitsTrigger:
	case r.began > h.tick && h.bare():
		p.stats.Kills--
		i := slices.IndexFunc(p.held, func(o held) bool { return o.rec == h.rec })
		p.held = slices.Delete(p.held, i, i+1)
		return true
	case r.began > h.tick || ownReport(r, k) != fitsNot:
		p.remember(&incident{rep: r, id: h.rec.Incident, killed: map[int32]bool{k.pid: true}, message: k.message, last: p.now, lastTick: p.tick})
		p.remove(r)
	}
	return false
}

// repeated handles a kill line that is there twice; one of the two may be cut. What it
// says more is taken over by the kill's first record, which is returned.
func (p *Parser) repeated(k *killLine) *held {
	for i := len(p.held) - 1; i >= 0; i-- {
		h := &p.held[i]
		if !h.sameKill(k, &p.now) || p.tick-h.tick > interleaved {
			continue
		}
		if !h.out && (h.second == nil || k.agrees(h.rec.Victim)) {
			k.complete(h.rec, nil)
		}
		p.stats.Duplicates++
		return h
	}
	return nil
}

// agrees says whether no number of a kill line is another one than a record's.
func (k *killLine) agrees(v *oom.Victim) bool {
	for _, f := range [...]struct{ a, b oom.Opt[uint64] }{
		{k.v.TotalVMBytes, v.TotalVMBytes}, {k.v.AnonRSSBytes, v.AnonRSSBytes},
		{k.v.FileRSSBytes, v.FileRSSBytes}, {k.v.ShmemRSSBytes, v.ShmemRSSBytes},
	} {
		if f.a.Known && f.b.Known && f.a != f.b {
			return false
		}
	}
	return true
}

// late handles the line of a kill that was given already, from the kernel's
// choice. False when there is none such.
func (p *Parser) late(k *killLine) bool {
	for i := range p.ended {
		e := &p.ended[i]
		if e.pid != k.pid || p.tick-e.tick > reportLines || !p.now.within(&e.at, -clockSlack, reportWait) {
			continue
		}
		for j := range p.held {
			if h := &p.held[j]; h.rec == e.rec && !h.out {
				k.complete(h.rec, e.row)
			}
		}
		p.ended = slices.Delete(p.ended, i, i+1)
		return true
	}
	return false
}

// followKill takes note of a line that says more of a kill.
func (p *Parser) followKill() {
	if p.killTick > 0 && p.tick == p.killTick+1 {
		p.killTick = p.tick
	}
}

// lacksMemory says whether a kill has a report, but not its Mem-Info.
func (h *held) lacksMemory() bool {
	return !h.out && h.rec.Kind == oom.KindKill && h.rec.Trigger != nil && h.rec.Memory == nil && h.rec.Scope != oom.ScopeCgroup
}

// memoryMayFollow says whether a kill's Mem-Info may be the next line, or is what is read.
func (p *Parser) memoryMayFollow(h held) bool {
	return h.lacksMemory() && (p.tick <= p.killTick+1 || slices.ContainsFunc(p.open, func(r *report) bool { return r.behind }))
}

// memoryBehind takes what follows a kill for its report's Mem-Info, which some vendors' kernels
// print last, and so for that of the incident's other victims. Another allocation's has a line of
// its own before it.
func (p *Parser) memoryBehind(r *report) bool {
	if !r.behind || r.stage != stageMemory || r.hasLimit {
		return false
	}
	incident, page := "", r.pageBytes(nil)
	for i := len(p.held) - 1; i >= 0; i-- {
		h := &p.held[i]
		if h.tick >= r.began || incident != "" && h.rec.Incident != incident {
			continue
		}
		if !h.lacksMemory() || p.foreignTick > h.tick || !r.within(&h.at, -clockSlack, clockSlack) {
			break
		}
		incident = h.rec.Incident
		h.rec.Memory = r.memory(page)
		h.rec.DomainBytes = r.domain(h.rec.Scope, page)
	}
	if incident != "" {
		p.stats.Unused += uint64(r.unused + r.mem.unread)
	}
	return incident != ""
}

// complete adds what the kill line says to a record without it.
func (k *killLine) complete(rec *oom.Record, row *row) {
	v := rec.Victim
	if rec.Scope == "" {
		rec.Scope = k.scope
	}
	v.TotalVMBytes = either(k.v.TotalVMBytes, v.TotalVMBytes)
	v.AnonRSSBytes = either(k.v.AnonRSSBytes, v.AnonRSSBytes)
	v.FileRSSBytes = either(k.v.FileRSSBytes, v.FileRSSBytes)
	v.ShmemRSSBytes = either(k.v.ShmemRSSBytes, v.ShmemRSSBytes)
	v.RSSBytes = either(k.rss(), v.RSSBytes)
	v.PgtablesBytes = either(k.tablesBytes(row), v.PgtablesBytes)
	v.UID = either(k.v.UID, v.UID)
	v.OOMScoreAdj = either(k.v.OOMScoreAdj, v.OOMScoreAdj)
}

// groupKill writes one victim of an incident; nil if it has a record.
func (p *Parser) groupKill(l *lines.Line, inc *incident, k *killLine) *oom.Record {
	inc.last, inc.lastTick = p.now, p.tick
	if inc.killed[k.pid] {
		p.secondLine(inc, k)
		return nil
	}
	if len(inc.killed) < maxRows {
		inc.killed[k.pid] = true
	}
	rec := p.base(oom.KindKill, &p.now, k.pid)
	rec.Incident = inc.id
	p.keepText(inc.rep, l, p.o.KeepText)
	p.fill(inc.rep, rec, k)
	if k.cut && (!inc.rep.old || !k.named) {
		rec.Incomplete = oom.Some(true)
	}
	p.stats.Kills++
	p.hold(held{rec: rec, at: p.now, tick: p.tick, tid: k.pid})
	return rec
}

// groupOf returns the oom.group incident that a kill belongs to, if any: the
// group's line was seen, the kill came right after, and the task was weighed.
func (p *Parser) groupOf(l *lines.Line, k *killLine) *incident {
	for i := len(p.recent) - 1; i >= 0; i-- {
		inc := p.recent[i]
		if !inc.grouped && !p.unsaidGroup(inc, k) || p.tick-inc.lastTick > reportLines || !p.now.within(&inc.last, -clockSlack, groupWait) ||
			otherCaller(l.Caller, inc.rep.caller) || k.scope != "" && inc.message.scope != "" && k.scope != inc.message.scope {
			continue
		}
		if r, _ := p.reportFor(l, k.message, func(r *report) int { return ownReport(r, k) }); r != nil {
			continue // a report of its own
		}
		t := &inc.rep.tasks
		if !inc.killed[k.pid] && t.headed && t.total <= maxRows && t.find(k.pid) == nil {
			continue
		}
		if path := inc.rep.limit.Cgroup; !inc.grouped && path != "" && path == inc.rep.victimCgroup {
			p.group(l, path)
		}
		return inc
	}
	return nil
}

// unsaidGroup says whether a kill is of an oom.group whose line is lost: one of the tasks
// that were weighed dies at once after the chosen one, without a report of its own, which
// the kernel leaves out only after ten in 5 s (oom_rs).
func (p *Parser) unsaidGroup(inc *incident, k *killLine) bool {
	if inc != p.recent[len(p.recent)-1] || inc.message.scope != oom.ScopeCgroup || k.scope != oom.ScopeCgroup || inc.rep.tasks.find(k.pid) == nil {
		return false
	}
	gap, ok := p.now.since(&inc.last)
	if !ok || gap > time.Second || p.tick-inc.lastTick > interleaved {
		return false
	}
	burst, ok := p.now.since(&p.headers[p.stats.Reports%uint64(len(p.headers))])
	return !ok || burst > groupWait
}

// group marks the last incident as an oom.group's. Without one the lines before it are lost:
// then it is kept for the kills that follow.
func (p *Parser) group(l *lines.Line, path string) {
	path = kernelPath(path)
	var inc *incident
	for _, i := range p.recent {
		other := i.grouped && i.rep.groupPath != path // the kernel says it once for each kill
		if !other && p.now.within(&i.last, -clockSlack, groupWait) && p.tick-i.lastTick <= reportLines {
			inc = i
		}
	}
	if inc == nil {
		p.groupBefore(l, path)
		return
	}
	inc.grouped, inc.rep.grouped, inc.rep.groupPath = true, true, path
	for i := range p.held {
		rec := p.held[i].rec
		if rec.Incident != inc.id || rec.Victim == nil || p.held[i].out { // ids of two OOMs of one moment may be the same
			continue
		}
		if rec.Limit != nil && path != "" && rec.Limit.Cgroup == path {
			rec.Limit.OOMGroup = oom.Some(true)
		}
		rec.Victim.CgroupLimits = grouped(rec.Victim.CgroupLimits, path)
	}
}

// groupBefore takes the group's line for a report of which the chosen task's kill is lost.
func (p *Parser) groupBefore(l *lines.Line, path string) {
	r, _ := p.reportFor(l, message{scope: oom.ScopeCgroup}, func(r *report) int {
		if r.grouped {
			return fitsNot
		}
		return fitsAny
	})
	if r == nil {
		r = p.newReport(l, true)
	}
	p.touch(r, l)
	r.count(l, l.Text)
	r.grouped, r.groupPath, r.scope, r.stage = true, path, oom.ScopeCgroup, stageScore
}

func (p *Parser) remember(inc *incident) {
	if len(p.recent) == maxRecent {
		oldest := p.recent[0].rep
		p.recent = slices.Delete(p.recent, 0, 1)
		p.reuse(oldest)
	}
	p.recent = append(p.recent, inc)
}

// reuse keeps a report's big table for the next one, unless it is in use elsewhere.
func (p *Parser) reuse(r *report) {
	inUse := slices.Contains(p.open, r) || slices.Contains(p.spare, r) || slices.ContainsFunc(p.recent, func(inc *incident) bool { return inc.rep == r })
	if len(p.spare) < 2 && !inUse {
		p.spare = append(p.spare, r)
	}
}
