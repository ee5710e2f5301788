package kernlog

import (
	"bytes"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// maxOpen bounds the reports read at once: oom_lock serialises them since
	// 4.2, before that each cgroup could have one, and a log can be of many
	// machines.
	maxOpen = 8
	// A report that gets no more lines ends after so many others or so long.
	reportLines   = 10000
	headlessLines = 64
	reportWait    = time.Minute
	// reaperWait is how long a kill waits for the reaper's outcome, by the
	// log's own clock: the reaper waits 2 s and tries for 1 s more.
	reaperWait  = 10 * time.Second
	reaperLines = 5000
	maxHeld     = 1024
	// An oom.group's victims are killed in one go.
	groupWait = 5 * time.Second
	// clockSlack: CPUs stamp their lines apart and they may be stored out of
	// order; what goes back further is another boot.
	clockSlack = time.Second
	maxRecent  = 4
	maxEnded   = 32
	// maxIDs is among how many ids one is looked for that was given already.
	maxIDs = 128
)

// Parser turns kernel-log lines into records, without I/O. It is not safe for
// concurrent use.
type Parser struct {
	o       Options
	stats   Stats
	now     stamp // of the last line
	tick    uint64
	ordinal uint64
	// open reports, the one touched last at the end.
	open   []*report
	spare  []*report
	recent []*incident
	held   []held
	out    []*oom.Record
	// ended are kills that were given without their line, which may be late.
	ended []ended
	ids   []string // the last ones that hang on a coarse stamp
	// The last beginning of another allocation's report.
	foreignSeen bool
	foreignTick uint64
	// partial is a line that ended within a name, see join.
	partial     []byte
	partialLine Line
	partials    int
}

// incident is a decision whose victim was killed: more may follow.
type incident struct {
	rep      *report
	id       string
	last     stamp
	lastTick uint64
	killed   map[int32]bool
	grouped  bool
	message  message
}

// held is a kill that waits for what the log may still say of it.
type held struct {
	rec  *oom.Record
	at   stamp
	tick uint64
	tid  int32
	done bool // nothing more is to come
	out  bool // given out already; kept to match the reaper's line
}

// ended is a kill that was taken from the kernel's choice.
type ended struct {
	rec  *oom.Record
	pid  int32
	at   stamp
	tick uint64
	row  *row
}

// NewParser returns a parser.
func NewParser(o Options) *Parser {
	if o.Seen == nil {
		o.Seen = &Seen{}
	}
	return &Parser{o: o}
}

// put gives a record out, once.
func (p *Parser) put(rec *oom.Record) {
	if p.o.Seen.Again(rec) {
		p.stats.Duplicates++
		if rec.Kind == oom.KindKill {
			p.stats.Kills--
		}
		return
	}
	p.out = append(p.out, rec)
}

// Stats returns the counts so far.
func (p *Parser) Stats() Stats { return p.stats }

// Take returns the next finished record, or nil.
func (p *Parser) Take() *oom.Record {
	if len(p.out) == 0 {
		return nil
	}
	rec := p.out[0]
	p.out[0] = nil
	p.out = p.out[1:]
	if len(p.out) == 0 {
		p.out = nil
	}
	return rec
}

// busy says whether ordinary lines may still matter.
func (p *Parser) busy() bool { return len(p.open) > 0 || len(p.partial) > 0 }

// skip tells of lines that were passed over without looking at them.
func (p *Parser) skip(lines int) {
	p.tick += uint64(lines)
	if len(p.held) > 0 {
		if p.o.ExitRecords && lines > 0 {
			p.settle()
		}
		p.release(nil)
	}
}

// Line takes the next line of the log.
func (p *Parser) Line(l Line) {
	p.stats.Lines++
	p.tick++
	if l.Cut {
		p.stats.CutLines++
	}
	if l.Node == "" {
		l.Node = p.o.Node
	}
	if l.BootID == "" {
		l.BootID = p.o.BootID
	}
	p.now = stampOf(&l)
	p.expire(&l)
	l.Text = bytes.TrimRight(l.Text, " \t\r\n")
	if len(p.partial) > 0 && p.join(&l) {
		return
	}
	p.text(&l, l.Text)
}

// text takes one printk's text. It can hold several lines: the kernel prints
// counters so. A newline can also stand in a name; of such a text the first
// line says what it is, and a name must not make up a line of its own.
func (p *Parser) text(l *Line, text []byte) {
	first, rest, more := bytes.Cut(text, []byte("\n"))
	first = skipSpaces(bytes.TrimRight(first, " \t\r"))
	if !more {
		if len(first) == 0 || p.keepBack(l, first) || p.anchor(l, first) {
			return
		}
		p.section(l, first)
		return
	}
	whole := skipSpaces(text)
	if p.wholeAnchor(l, whole) {
		return
	}
	if len(first) > 0 && named(classify(first)) {
		p.section(l, whole)
		return
	}
	for line := first; ; {
		if line = skipSpaces(bytes.TrimRight(line, " \t\r")); len(line) > 0 {
			p.section(l, line)
		}
		if !more {
			return
		}
		line, rest, more = bytes.Cut(rest, []byte("\n"))
	}
}

// wholeAnchor handles a text of several lines that begins as one of the lines
// with a name in them.
func (p *Parser) wholeAnchor(l *Line, b []byte) bool {
	first, _, _ := bytes.Cut(b, []byte("\n"))
	if isHeader(b) || contains(first, killedMark) || contains(first, killMark) || contains(first, "OOM victim ") ||
		hasPrefix(first, summaryMark) || hasPrefix(first, reaperMark) || hasPrefix(first, "Tasks in ") {
		return p.anchor(l, b)
	}
	return false
}

// keepBack keeps a line back that seems to end within a name: logs as syslog(2)
// gives them, dmesg's for one, write a newline in a name as a new line with the
// same stamp.
func (p *Parser) keepBack(l *Line, b []byte) bool {
	switch {
	case hasPrefix(b, summaryMark):
		if _, ok := parseSummary(b); ok {
			return false
		}
	case hasPrefix(b, statsMark):
		if b[len(b)-1] == ':' || contains(b, ": cache:") {
			return false
		}
	case contains(b, killedMark):
		if k, ok := parseKilled(b, l.exact); ok && !k.noSizes || !ok && !openName(b, l.exact) {
			return false
		}
	default:
		return false
	}
	p.partial = append(p.partial[:0], b...)
	p.partialLine = *l
	p.partialLine.Text = nil
	p.partials = 1
	return true
}

// openName says whether a kill line ends within its name.
func openName(b []byte, exact bool) bool {
	i := bytes.Index(b, []byte(killedMark))
	if _, ok := parseMessage(b[:i], exact); !ok {
		return false
	}
	_, _, ok := cutPID(b[i+len(killedMark):])
	return ok && bytes.IndexByte(b[i:], '(') > 0
}

// maxPartials is how many lines a name may be spread over: 255 bytes can be
// newlines, but whoever does that gets no more.
const maxPartials = 64

// join adds a line to the one kept back. False when it is a line of its own.
func (p *Parser) join(l *Line) bool {
	text, from := l.Text, stampOf(&p.partialLine)
	if at := stampOf(l); !at.sameOrigin(&from) {
		p.giveUpPartial()
		return false
	}
	if p.partialLine.exact && !l.exact {
		for i := 0; i < p.partialLine.indent && len(text) > 0 && text[0] == ' '; i++ {
			text = text[1:] // dmesg writes blanks for the stamp
		}
	} else if l.Uptime != p.partialLine.Uptime || !l.Time.Equal(p.partialLine.Time) {
		p.giveUpPartial()
		return false
	}
	coarse := !l.Uptime.Known
	if coarse && (isHeader(text) || hasPrefix(text, summaryMark)) || p.partials >= maxPartials || len(p.partial)+len(text) > p.o.maxLine() {
		p.giveUpPartial()
		return false
	}
	if !bytes.HasPrefix(text, []byte(",")) { // printed in pieces, else
		p.partial = append(p.partial, '\n')
	}
	p.partial = append(p.partial, text...)
	p.partials++
	b := p.partial
	whole := false
	switch {
	case hasPrefix(b, summaryMark):
		_, whole = parseSummary(b)
	case hasPrefix(b, statsMark):
		whole = b[len(b)-1] == ':'
	default:
		k, ok := parseKilled(b, p.partialLine.exact)
		whole = ok && !k.noSizes
	}
	if whole {
		p.partial = nil
		p.text(&p.partialLine, b)
	}
	return true
}

// giveUpPartial takes the line kept back as it is: its end is lost. So are the lines
// behind it their own, but where there are as many as a name may be spread over by one
// who means to hide in it.
func (p *Parser) giveUpPartial() {
	l, all := p.partialLine, p.partial
	hostile := p.partials >= maxPartials && l.Uptime.Known
	p.partial, p.partials = nil, 0
	for first := true; len(all) > 0; first = false {
		line, rest, _ := bytes.Cut(all, []byte("\n"))
		all = rest
		switch line = skipSpaces(line); {
		case len(line) == 0:
		case !first && hostile && mayAnchor(line):
			p.unplaced(&l, line)
		case !p.anchor(&l, line):
			p.section(&l, line)
		}
	}
}

// mayAnchor is a quick test for the lines that begin, decide or end a report.
func mayAnchor(b []byte) bool {
	for i := range marks {
		if marks[i].index(b) >= 0 {
			return true
		}
	}
	return false
}

// isHeader says whether a line begins a report. The name is the first thing in
// it; the same words in a cgroup's name stand in lines that begin otherwise.
func isHeader(b []byte) bool {
	i := bytes.Index(b, []byte(headerMark))
	return i >= 0 && i <= maxComm+1 && !contains(b, " mems_allowed=") &&
		(!hasPrefix(b, "Task in ") && !hasPrefix(b, "Tasks in ") || !contains(b, " killed "))
}

// anchor handles the lines that stand for themselves. A part of a report with a
// name in it is none, whatever the name says.
func (p *Parser) anchor(l *Line, b []byte) bool {
	if !mayAnchor(b) {
		return false
	}
	switch {
	case isHeader(b):
		p.header(l, b)
		return true
	case hasPrefix(b, "Tasks in "):
		p.grouping(l, b)
		return true
	case named(classify(b)):
		return false
	}
	switch {
	case hasPrefix(b, summaryMark):
		p.summary(l, b)
	case hasPrefix(b, reaperMark):
		p.reaper(l, b)
	case contains(b, killedMark):
		if k, ok := parseKilled(b, l.exact); ok {
			p.kill(l, &k)
			break
		}
		p.unplaced(l, b)
	case killIndex(b) >= 0:
		p.scoreOrShared(l, b)
	case contains(b, "is already exiting"):
		if k, ok := parseExiting(b, l.exact); ok {
			p.exiting(l, &k)
			break
		}
		p.unplaced(l, b)
	case contains(b, headerMark):
		p.lateHeader(l, b)
	case panicOf(b, l.exact) != "":
		p.panicked(l, b, panicOf(b, l.exact))
	case noVictimLine(b, l.exact):
		p.noVictim(l)
	default:
		return false
	}
	return true
}

// lateHeader handles a header behind a prefix that is not known, so that the
// name is not known either.
func (p *Parser) lateHeader(l *Line, b []byte) {
	i := bytes.Index(b, []byte(headerMark))
	if l.exact || bytes.IndexByte(b[:i], '/') >= 0 {
		p.unplaced(l, b)
		return
	}
	p.header(l, b[i:])
}

// noVictimLine says whether this is "Out of memory and no killable processes...".
func noVictimLine(b []byte, exact bool) bool {
	i := bytes.Index(b, []byte(noKillable))
	return i == 0 || i > 0 && !exact && bytes.IndexByte(b[:i], '/') < 0
}

const (
	noKillable = "Out of memory and no killable process"
	panicMark  = "Kernel panic - not syncing: "
)

// panicOf says why the kernel panics, if this line says so (check_panic_on_oom,
// out_of_memory). Empty for any other line, another panic's too.
func panicOf(b []byte, exact bool) oom.Panic {
	i := bytes.Index(b, []byte(panicMark))
	if i > 0 && (exact || bytes.IndexByte(b[:i], '/') >= 0) {
		return ""
	}
	said := i >= 0
	if said {
		b = b[i+len(panicMark):]
	}
	switch {
	case (hasPrefix(b, "Out of memory: ") || said && hasPrefix(b, "out of memory")) && contains(b, "panic_on_oom is "):
		return oom.PanicOnOOM
	case said && (hasPrefix(b, noKillable) || hasPrefix(b, "System is deadlocked on memory")):
		return oom.PanicNoKillable
	}
	return ""
}

// grouping handles "Tasks in PATH are going to be killed …".
func (p *Parser) grouping(l *Line, b []byte) {
	path, ok := parseGroup(b)
	if !ok || !p.group(l, path) {
		p.unplaced(l, b)
	}
}

func (p *Parser) unplaced(l *Line, b []byte) {
	p.stats.Unplaced++
	p.stats.unknown(l.Number, b)
	if p.o.OnUnplaced != nil {
		p.o.OnUnplaced(l.Number, keep(b))
	}
}

// count takes over what a report says of its own lines.
func (p *Parser) count(r *report) {
	if r.counted {
		return
	}
	r.counted = true
	p.stats.Unused += uint64(r.unused + r.mem.unread + r.stats.sizes() - len(r.stats.finish()))
	p.stats.LeftOut += uint64(r.mem.leftOut)
}

func (p *Parser) newReport(l *Line, headless bool) *report {
	if len(p.open) >= maxOpen {
		p.end(p.open[0])
	}
	r := &report{}
	if n := len(p.spare); n > 0 {
		r, p.spare = p.spare[n-1], p.spare[:n-1]
	}
	rows, top, names := r.tasks.rows[:0], r.tasks.top[:0], r.tasks.names
	clear(names)
	*r = report{stamp: stampOf(l), headless: headless, caller: l.Caller}
	r.tasks.rows, r.tasks.top, r.tasks.names = rows, top, names
	p.open = append(p.open, r)
	p.touch(r, l)
	return r
}

// touch makes r the report that was written to last.
func (p *Parser) touch(r *report, l *Line) {
	r.touched, r.last = p.tick, stampOf(l)
	if n := len(p.open); n > 1 && p.open[n-1] != r {
		p.remove(r)
		p.open = append(p.open, r)
	}
}

func (p *Parser) remove(r *report) {
	for i := range p.open {
		if p.open[i] == r {
			p.open = append(p.open[:i], p.open[i+1:]...)
			return
		}
	}
}

func (p *Parser) header(l *Line, b []byte) {
	i := bytes.Index(b, []byte(headerMark))
	probe := report{}
	if !probe.parseHeader(b[:i], b[i:]) {
		p.unplaced(l, b)
		return
	}
	p.stats.Reports++
	at := stampOf(l)
	p.dropClaimed(&at)
	p.endHeadless(l)
	r := p.newReport(l, false)
	p.overtake(l, r)
	r.trigger, r.sysrq = probe.trigger, probe.sysrq
}

// endHeadless closes what came before a header: it belongs to an earlier report.
func (p *Parser) endHeadless(l *Line) {
	s := stampOf(l)
	for _, r := range p.open {
		if r.headless && s.sameOrigin(&r.stamp) {
			p.end(r)
			return
		}
	}
}

// overtake tells the reports of kernels that print one after the other that a
// new one has begun: their ends are lost, and no more parts are theirs. What
// they were about may still be told, where the log is of many machines that it
// does not name; then the lines are mixed.
func (p *Parser) overtake(l *Line, by *report) {
	s := stampOf(l)
	for _, r := range p.open {
		if r == by || r.overtaken || !s.sameOrigin(&r.stamp) || l.Caller != 0 && r.caller != 0 || !r.from(4, 2) && !by.from(4, 2) {
			continue
		}
		r.overtaken, r.doubtful = true, true
		by.doubtful = by.doubtful || p.tick-r.touched < interleaved
	}
}

// scoreOrShared handles "Kill process N (c) score S or sacrifice child" and
// "Kill process N (c) sharing same memory" (up to 4.5), which follows a kill.
func (p *Parser) scoreOrShared(l *Line, b []byte) {
	s, ok := parseScore(b, l.exact)
	if !ok {
		if !contains(b, ") sharing same memory") || !p.shared(l, b) {
			p.unplaced(l, b)
		}
		return
	}
	r := p.reportFor(l, s.message, func(r *report) int { return scoreFits(r, &s) })
	if r == nil {
		p.endHeadless(l)
		r = p.newReport(l, true)
	}
	p.touch(r, l)
	r.stage, r.scored, r.score = stageScore, true, s.score
	r.chosen = chosen{known: true, pid: s.pid, comm: s.comm, uid: r.chosen.uid}
	r.note(s.message)
}

// note takes over what the reason says of the scope. "Out of memory" is also
// said where only some nodes were open: up to 4.20 the header's list of nodes is
// all that tells.
func (r *report) note(m message) {
	if r.scope == "" && (m.scope != oom.ScopeSystem || r.trigger.Nodemask == "") {
		r.scope = m.scope
	}
	r.mem.killAllocating = r.mem.killAllocating || m.killAllocating
}

// shared adds a process that dies along with the last victim.
func (p *Parser) shared(l *Line, b []byte) bool {
	pid, rest, ok := cutPID(b[bytes.Index(b, []byte(killMark))+len(killMark):])
	if !ok || !hasPrefix(rest, " (") || len(p.held) == 0 {
		return false
	}
	end := bytes.LastIndex(rest, []byte(") sharing same memory"))
	if end < 2 {
		return false
	}
	last := &p.held[len(p.held)-1]
	rec, s := last.rec, stampOf(l)
	if last.out || !s.sameOrigin(&last.at) || rec.Kind != oom.KindKill {
		return false
	}
	if rec.Exit == nil {
		rec.Exit = &oom.Exit{}
	}
	if len(rec.Exit.SharedMM) < maxStats {
		rec.Exit.SharedMM = append(rec.Exit.SharedMM, oom.SharedProcess{PID: oom.Some(pid), Comm: keep(rest[2:end])})
	}
	return true
}

// reportFor finds the open report that a decision belongs to: by caller where
// the log has it, else the one that fits best, of equals the one touched last.
func (p *Parser) reportFor(l *Line, m message, fits func(*report) int) *report {
	best, _ := p.bestReport(l, m, fits)
	return best
}

// bestReport also says how well it fits.
func (p *Parser) bestReport(l *Line, m message, fits func(*report) int) (best *report, most int) {
	at := stampOf(l)
	for i := len(p.open) - 1; i >= 0; i-- {
		r := p.open[i]
		if !at.sameOrigin(&r.stamp) || r.claim != nil {
			continue
		}
		if l.Caller != 0 && r.caller != 0 && l.Caller != r.caller {
			continue
		}
		cgroup := r.scope == oom.ScopeCgroup
		if m.scope != "" && r.scope != "" && cgroup != (m.scope == oom.ScopeCgroup) {
			continue
		}
		if n := fits(r); n > most {
			best, most = r, n
		}
	}
	return best, most
}

// How well a report fits a decision, 0 for not at all.
const (
	fitsNot  = iota
	fitsOpen // only if nothing more of the report comes
	fitsAny
	fitsTrigger
	fitsTable
	fitsName
	fitsPID
)

func scoreFits(r *report, s *scoreLine) int {
	switch {
	case r.scored || r.chosen.known && r.chosen.pid != s.pid:
		return fitsNot
	case r.chosen.known:
		return fitsPID
	case r.tasks.find(s.pid) != nil:
		return fitsTable
	case r.trigger.Comm == s.comm:
		return fitsTrigger
	}
	return fitsAny
}

// killFits says whether a kill can be what a report was about.
func killFits(r *report, k *killLine) int {
	switch {
	case r.chosen.known && r.chosen.pid == k.pid:
		return fitsPID
	case r.chosen.known && r.chosen.comm == k.comm:
		return fitsName // a thread of the chosen process
	case r.tasks.find(k.pid) != nil:
		return fitsTable
	case !r.chosen.known && (r.trigger.Comm == k.comm || r.trigger.TID == oom.Some(k.pid)):
		return fitsTrigger
	case r.scored:
		return fitsAny // up to 5.0 a child
	case r.chosen.known, r.tasks.headed && r.tasks.total <= maxRows:
		return fitsNot // the kernel still speaks of another
	case r.stage > stageHeader && r.stage < stageTasks:
		return fitsOpen // no table: vm.oom_dump_tasks is 0, or it comes yet
	}
	return fitsAny // all between them is lost
}

func (p *Parser) summary(l *Line, b []byte) {
	s, ok := parseSummary(b)
	if !ok {
		p.unplaced(l, b)
		return
	}
	r := p.reportFor(l, message{}, func(r *report) int { return summaryFits(r, &s) })
	if r == nil {
		p.endHeadless(l)
		r = p.newReport(l, true)
	}
	p.touch(r, l)
	r.stage, r.scope, r.hasSummary = stageSummary, s.scope, true
	if r.scope == "" && s.global {
		r.scope = oom.ScopeSystem
	}
	r.chosen = chosen{known: true, pid: s.pid, uid: oom.Some(s.uid), comm: s.comm}
	r.victimCgroup = s.victimCgroup
	t := &r.trigger
	t.Nodemask, t.Cpuset, t.MemsAllowed = s.nodemask, s.cpuset, s.memsAllowed
	if s.limitCgroup != "" || s.scope == oom.ScopeCgroup {
		r.hasLimit, r.limit.Cgroup = true, s.limitCgroup
	}
}

// ownReport says whether a report is about this very task.
func ownReport(r *report, k *killLine) int {
	if r.headless || !r.chosen.known || r.chosen.pid != k.pid {
		return fitsNot
	}
	return fitsPID
}

// withoutChoice says whether nothing in a report speaks of a victim.
func withoutChoice(r *report) int {
	switch {
	case r.chosen.known:
		return fitsNot
	case r.headless:
		return fitsAny
	}
	return fitsTrigger
}

func summaryFits(r *report, s *summary) int {
	switch {
	case r.chosen.known || r.scope != "" && r.scope != s.scope:
		return fitsNot
	case r.tasks.find(s.pid) != nil:
		return fitsTable
	}
	return fitsAny
}

func (p *Parser) kill(l *Line, k *killLine) {
	s := stampOf(l)
	if inc := p.groupOf(l, k, &s); inc != nil {
		p.groupKill(l, inc, k)
		return
	}
	r, fit := p.bestReport(l, k.message, func(r *report) int { return killFits(r, k) })
	if fit < fitsPID && p.late(k, &s) {
		return
	}
	if r != nil && r.headless && r.stage < stageTasks {
		// Without a header these may be another allocation's Mem-Info.
		p.end(r)
		r = nil
	}
	if r == nil {
		r = p.newReport(l, true)
	}
	r.note(k.message)
	if !r.chosen.known && !k.bare {
		// The only line that names a process, so it is the one that was chosen.
		r.chosen, r.assumed = chosen{known: true, pid: k.pid, comm: k.comm, uid: k.uid}, true
	}
	inc := &incident{rep: r, id: p.incidentID(&r.stamp, k.pid), killed: map[int32]bool{}, message: k.message}
	p.remember(inc)
	rec := p.groupKill(l, inc, k)
	if fit == fitsOpen && !r.headless {
		r.claim = &claim{rec: rec, inc: inc, kill: *k, at: s}
		return
	}
	p.remove(r)
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
		r.assumed, r.chosen, r.scope = false, chosen{}, ""
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
		alone.fill(&rec, &c.kill)
		rec.Victim = alone.victim(&c.kill)
		rec.Incident = p.incidentID(&c.at, c.kill.pid)
		*h.rec, c.inc.rep, c.inc.id = rec, alone, rec.Incident
	}
}

// dropClaimed closes the reports that a kill has taken: another one begins.
func (p *Parser) dropClaimed(s *stamp) {
	for i := 0; i < len(p.open); {
		if r := p.open[i]; r.claim != nil && s.sameOrigin(&r.stamp) {
			p.remove(r)
			continue
		}
		i++
	}
}

// late handles the line of a kill that was given already, from the kernel's
// choice. False when there is none such.
func (p *Parser) late(k *killLine, s *stamp) bool {
	for i := range p.ended {
		e := &p.ended[i]
		gap, ok := s.since(&e.at)
		if e.pid != k.pid || !s.sameOrigin(&e.at) || p.tick-e.tick > reportLines || ok && (gap > reportWait || gap < -clockSlack) {
			continue
		}
		for j := range p.held {
			if h := &p.held[j]; h.rec == e.rec && !h.out {
				k.complete(h.rec, e.row)
			}
		}
		p.ended = append(p.ended[:i], p.ended[i+1:]...)
		return true
	}
	return false
}

// complete adds what the kill line says to a record without it.
func (k *killLine) complete(rec *oom.Record, row *row) {
	v := rec.Victim
	if rec.Scope == "" {
		rec.Scope = k.scope
	}
	for _, f := range [...]struct{ to, from *oom.Opt[uint64] }{
		{&v.TotalVMBytes, &k.totalVM}, {&v.AnonRSSBytes, &k.anon}, {&v.FileRSSBytes, &k.file}, {&v.ShmemRSSBytes, &k.shmem},
	} {
		if f.from.Known {
			*f.to = *f.from
		}
	}
	if rss := k.rss(); rss.Known {
		v.RSSBytes = rss
	}
	if tables := k.tablesBytes(row); tables.Known {
		v.PgtablesBytes = tables
	}
	if k.uid.Known {
		v.UID = k.uid
	}
	if k.adj.Known {
		v.OOMScoreAdj = k.adj
	}
}

// groupKill writes one victim of an incident; nil if it has a record.
func (p *Parser) groupKill(l *Line, inc *incident, k *killLine) *oom.Record {
	s := stampOf(l)
	inc.last, inc.lastTick = s, p.tick
	if inc.killed[k.pid] {
		return nil // an oom.group's chosen task, once more
	}
	if len(inc.killed) < maxRows {
		inc.killed[k.pid] = true
	}
	rec := p.base(oom.KindKill, &s, k.pid)
	rec.Incident = inc.id
	p.count(inc.rep)
	inc.rep.fill(rec, k)
	rec.Victim = inc.rep.victim(k)
	if k.cut {
		rec.Incomplete = oom.Some(true)
	}
	p.stats.Kills++
	p.hold(held{rec: rec, at: s, tick: p.tick, tid: k.pid})
	return rec
}

// groupOf returns the oom.group incident that a kill belongs to, if any: the
// group's line was seen, the kill came right after, and the task was weighed.
func (p *Parser) groupOf(l *Line, k *killLine, s *stamp) *incident {
	for i := len(p.recent) - 1; i >= 0; i-- {
		inc := p.recent[i]
		if !inc.grouped || p.tick-inc.lastTick > reportLines {
			continue
		}
		if !s.sameOrigin(&inc.last) {
			continue
		}
		if gap, ok := s.since(&inc.last); ok && (gap < -clockSlack || gap > groupWait) {
			continue
		}
		if l.Caller != 0 && inc.rep.caller != 0 && l.Caller != inc.rep.caller {
			continue
		}
		if k.scope != "" && inc.message.scope != "" && k.scope != inc.message.scope {
			continue
		}
		if inc.killed[k.pid] {
			return inc
		}
		t := &inc.rep.tasks
		if t.headed && t.total <= maxRows && t.find(k.pid) == nil {
			continue
		}
		if p.reportFor(l, k.message, func(r *report) int { return ownReport(r, k) }) != nil {
			continue // a report of its own
		}
		return inc
	}
	return nil
}

// group marks the last incident as an oom.group's.
func (p *Parser) group(l *Line, path string) bool {
	var inc *incident
	s := stampOf(l)
	for _, i := range p.recent {
		if s.sameOrigin(&i.last) {
			inc = i
		}
	}
	if inc == nil {
		return false
	}
	inc.grouped, inc.rep.groupPath = true, path
	for i := range p.held {
		rec := p.held[i].rec
		if rec.Incident != inc.id || p.held[i].out {
			continue
		}
		if rec.Limit != nil && rec.Limit.Cgroup == path {
			rec.Limit.OOMGroup = oom.Some(true)
		}
		rec.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: path, OOMGroup: oom.Some(true)}}
	}
	return true
}

func (p *Parser) remember(inc *incident) {
	if len(p.recent) == maxRecent {
		p.reuse(p.recent[0].rep)
		p.recent = append(p.recent[:0], p.recent[1:]...)
	}
	p.recent = append(p.recent, inc)
}

// reuse keeps a report's big table for the next one.
func (p *Parser) reuse(r *report) {
	if len(p.spare) < 2 {
		p.spare = append(p.spare, r)
	}
}

// exiting handles a victim that was dying before it could be killed.
func (p *Parser) exiting(l *Line, k *killLine) {
	r := p.reportFor(l, k.message, func(r *report) int { return killFits(r, k) })
	if r == nil {
		r = p.newReport(l, true)
	}
	r.note(k.message)
	p.remove(r)
	s := stampOf(l)
	rec := p.base(oom.KindAlreadyExiting, &s, k.pid)
	rec.Incident = p.incidentID(&r.stamp, k.pid)
	p.count(r)
	r.fill(rec, k)
	rec.Victim = r.victim(k)
	p.emit(rec)
	p.reuse(r)
}

// noVictim handles an OOM that the kernel could not solve by a kill. It waits as a kill
// does: the panic may follow.
func (p *Parser) noVictim(l *Line) {
	r := p.withoutVictim(l)
	s := stampOf(l)
	rec := p.withoutKill(r, oom.KindNoVictim, &s)
	p.hold(held{rec: rec, at: s, tick: p.tick, tid: -1})
}

// panicked handles a panic in place of a kill. Where the kernel found no process to kill
// it says that first.
func (p *Parser) panicked(l *Line, b []byte, why oom.Panic) {
	s := stampOf(l)
	for i := len(p.held) - 1; i >= 0 && why == oom.PanicNoKillable; i-- {
		h := &p.held[i]
		gap, ok := s.since(&h.at)
		if h.rec.Kind == oom.KindNoVictim && !h.out && s.sameOrigin(&h.at) && (!ok || gap >= -clockSlack && gap <= reportWait) {
			h.rec.Kind, h.rec.Panic, h.done = oom.KindPanic, why, true
			h.rec.ID = p.identify(&h.at, string(oom.KindPanic), triggerTID(h.rec))
			p.release(nil)
			return
		}
	}
	r := p.withoutVictim(l)
	switch {
	case contains(b, "compulsory panic_on_oom"):
		r.mem.panicOnOOM = oom.Some(uint32(2))
	case contains(b, "system-wide panic_on_oom"):
		r.mem.panicOnOOM = oom.Some(uint32(1))
	}
	if r.scope == "" && r.mem.panicOnOOM == oom.Some(uint32(1)) { // for the whole system only
		r.scope = oom.ScopeSystem
	}
	rec := p.withoutKill(r, oom.KindPanic, &s)
	rec.Panic = why
	p.emit(rec)
}

// triggerTID is the trigger's thread, 0 where it is not known.
func triggerTID(rec *oom.Record) int32 {
	if rec.Trigger == nil {
		return 0
	}
	return rec.Trigger.TID.Value
}

// withoutVictim takes the report that ends without a kill.
func (p *Parser) withoutVictim(l *Line) *report {
	r := p.reportFor(l, message{}, withoutChoice)
	if r == nil {
		r = p.newReport(l, true)
	}
	switch {
	case r.scope != "":
	case r.hasLimit:
		r.scope = oom.ScopeCgroup
	case r.mem.seen:
		r.scope = oom.ScopeSystem
	}
	p.remove(r)
	return r
}

// withoutKill makes the record of a report without a victim.
func (p *Parser) withoutKill(r *report, kind oom.Kind, s *stamp) *oom.Record {
	rec := p.base(kind, s, r.trigger.TID.Value)
	rec.Incident = p.incidentID(&r.stamp, r.trigger.TID.Value)
	p.count(r)
	r.fill(rec, nil)
	p.reuse(r)
	return rec
}

// end closes a report whose kill line never came. Where the kernel's choice is
// known the kill followed it, beyond the end of the log or lost in it.
func (p *Parser) end(r *report) {
	p.remove(r)
	switch {
	case r.claim != nil: // its kill has a record
	case r.chosen.known:
		k := killLine{pid: r.chosen.pid, comm: r.chosen.comm, uid: r.chosen.uid}
		rec := p.base(oom.KindKill, &r.last, k.pid)
		rec.Incident = p.incidentID(&r.stamp, k.pid)
		p.count(r)
		r.fill(rec, &k)
		rec.Victim, rec.Incomplete = r.victim(&k), oom.Some(true)
		p.stats.Kills++
		p.hold(held{rec: rec, at: r.last, tick: p.tick, tid: k.pid})
		p.endedWithout(r, rec, k.pid)
		p.reuse(r)
	case !r.headless:
		if r.scope == "" && r.hasLimit {
			r.scope = oom.ScopeCgroup
		}
		r.doubtful = true // marks it incomplete
		p.emit(p.withoutKill(r, oom.KindOOM, &r.stamp))
	default:
		p.unplacedReport(r)
		p.reuse(r)
	}
}

// endedWithout remembers a kill whose line may still come.
func (p *Parser) endedWithout(r *report, rec *oom.Record, pid int32) {
	e := ended{rec: rec, pid: pid, at: r.last, tick: p.tick}
	if p.now.sameOrigin(&r.last) {
		e.at = p.now
	}
	if row := r.tasks.find(pid); row != nil {
		c := *row
		e.row = &c
	}
	if len(p.ended) == maxEnded {
		p.ended = append(p.ended[:0], p.ended[1:]...)
	}
	p.ended = append(p.ended, e)
}

// unplacedReport tells of lines that no decision came to. A page allocation's
// failure ends in the same ones.
func (p *Parser) unplacedReport(r *report) {
	if r.lines == 0 || r.stage <= stageMemory && p.foreignSeen && p.tick-p.foreignTick <= interleaved {
		return
	}
	p.stats.Unplaced += uint64(r.lines)
	if p.o.OnUnplaced != nil {
		p.o.OnUnplaced(r.firstNumber, r.firstText)
	}
}

// reaper handles the outcome of the OOM reaper.
func (p *Parser) reaper(l *Line, b []byte) {
	x, ok := parseReaper(b)
	if !ok {
		p.unplaced(l, b)
		return
	}
	s := stampOf(l)
	exit := &oom.Exit{
		Reaped: oom.Some(!x.gaveUp), AnonRSSBytes: x.anon, FileRSSBytes: x.file, ShmemRSSBytes: x.shmem,
		RSSBytes: sumOpt(x.anon, x.file, x.shmem),
	}
	if x.gaveUp {
		exit.ReaperGaveUp = oom.Some(true)
	}
	h := p.heldKill(x.pid, &s)
	if h != nil {
		if gap, ok := s.since(&h.at); ok && gap >= 0 && s.fine() && h.at.fine() {
			exit.ReapedAfterNS = oom.Some(uint64(gap))
		}
	}
	switch {
	case p.o.ExitRecords:
		p.exitRecord(&s, &x, exit, h)
	case h == nil:
		p.unplaced(l, b)
	default:
		if h.rec.Exit != nil {
			exit.SharedMM = h.rec.Exit.SharedMM
		}
		h.rec.Exit, h.done = exit, true
		p.release(l)
	}
}

// heldKill finds the kill that the reaper speaks of, by the thread.
func (p *Parser) heldKill(tid int32, s *stamp) *held {
	for i := len(p.held) - 1; i >= 0; i-- {
		if h := &p.held[i]; h.tid == tid && !h.done && s.sameOrigin(&h.at) {
			return h
		}
	}
	return nil
}

func (p *Parser) exitRecord(s *stamp, x *reaperLine, exit *oom.Exit, h *held) {
	rec := p.base(oom.KindExit, s, x.pid)
	rec.Exit = exit
	rec.Victim = &oom.Victim{PID: oom.Some(x.pid), TID: oom.Some(x.pid), Comm: x.comm}
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
		p.put(rec)
		return
	}
	p.held = append(p.held, held{rec: rec, done: true})
	p.release(nil)
}

// hold keeps a kill back for its outcome; with exit records only until the next
// line has shown whether it was an oom.group's.
func (p *Parser) hold(h held) {
	p.held = append(p.held, h)
	if len(p.held) > maxHeld {
		p.drop(len(p.held) - maxHeld)
	}
}

// settle gives out the kills that wait for no more than the next line. What is
// known of them stays, for the reaper's line.
func (p *Parser) settle() {
	for i := range p.held {
		if h := &p.held[i]; !h.out {
			p.put(h.rec)
			h.out = true
		}
	}
}

// drop forgets the first n held kills and gives out those that were not yet.
func (p *Parser) drop(n int) {
	for i := range p.held[:n] {
		if !p.held[i].out {
			p.put(p.held[i].rec)
		}
	}
	rest := copy(p.held, p.held[n:])
	clear(p.held[rest:])
	p.held = p.held[:rest]
}

// release drops, in order, what need not wait any longer.
func (p *Parser) release(l *Line) {
	var now stamp
	if l != nil {
		now = stampOf(l)
	}
	n := 0
	for ; n < len(p.held); n++ {
		h := &p.held[n]
		gap, ok := now.since(&h.at)
		late := p.tick-h.tick > reaperLines || ok && now.sameOrigin(&h.at) && (gap > reaperWait || gap < -clockSlack)
		if !late && (!h.done || p.o.ExitRecords) {
			break
		}
	}
	if n > 0 {
		p.drop(n)
	}
}

// expire closes what has waited long enough.
func (p *Parser) expire(l *Line) {
	if len(p.held) > 0 {
		if p.o.ExitRecords && !mayAnchor(l.Text) {
			p.settle()
		}
		p.release(l)
	}
	now := stampOf(l)
	for i := 0; i < len(p.open); {
		r := p.open[i]
		limit := uint64(reportLines)
		if r.headless || r.claim != nil {
			limit = headlessLines
		}
		gap, ok := now.since(&r.last)
		if p.tick-r.touched > limit || ok && now.sameOrigin(&r.last) && (gap > reportWait || gap < -clockSlack) {
			p.end(r)
			continue
		}
		i++
	}
}

// Flush finishes all that is open: the log ends here.
func (p *Parser) Flush() {
	p.giveUpPartial()
	for len(p.open) > 0 {
		p.end(p.open[0])
	}
	p.drop(len(p.held))
}

// quiet gives out what waits: no line came for longer than the reaper takes.
func (p *Parser) quiet() {
	p.giveUpPartial()
	p.drop(len(p.held))
}

// lost marks the open reports: lines are missing from here on.
func (p *Parser) lost() {
	for _, r := range p.open {
		r.doubtful = true
	}
}

// waiting says whether a kill waits for the next line.
func (p *Parser) waiting() bool {
	for i := range p.held {
		if !p.held[i].out {
			return true
		}
	}
	return false
}
