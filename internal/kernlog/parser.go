package kernlog

import (
	"bytes"
	"slices"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
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
	longest int // of a text that is put together
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
	begun  []begun // the last reports
	// ended are kills that were given without their line, which may be late.
	ended   []ended
	ids     []string  // the last ones that hang on a coarse stamp
	headers [10]stamp // of the last reports
	// The most memory that a record showed, and when.
	most   uint64
	mostAt stamp
	// The last beginning of another allocation's report; 0 for none.
	foreignTick uint64
	// The last kill's line, or the last one of what follows it without another between.
	killTick uint64
	picked   [maxOpen]*report // scratch of pick
	// partial is a line that ended within a name, see join.
	partial     []byte
	partialLine lines.Line
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
	// second is an oom.group's other line of the chosen task: its sizes can be others by then.
	second *killLine
	done   bool // nothing more is to come
	out    bool // given out already; kept to match the reaper's line
	// again: of a report that was read before, unless a panic follows, which is told apart.
	again bool
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
	below := o.lines()
	return &Parser{o: o, longest: below.Longest()}
}

// put gives a record out, once.
func (p *Parser) put(rec *oom.Record, second *killLine) {
	var also killed
	if second != nil {
		also, _ = victimOf(second.pid, &second.v)
	}
	if p.o.Seen.again(rec, also) {
		p.stats.Duplicates++
		if rec.Kind == oom.KindKill {
			p.stats.Kills--
		}
		return
	}
	p.compareTotal(rec)
	p.out = append(p.out, rec)
}

// compareTotal sets the memory that a record shows beside the most that one of the same
// boot did before. By the uptime and, where there is one, the wall clock as well it is the
// same boot; the memory of a virtual machine may be another after the next one.
func (p *Parser) compareTotal(rec *oom.Record) {
	const shrunk = 64
	m := rec.Memory
	if m == nil || !m.TotalBytes.Known || !rec.UptimeNS.Known {
		return
	}
	now, most := stamp{rec.UptimeNS, rec.Time, rec.Node, rec.BootID}, &p.mostAt
	gap, _ := now.since(most)
	both := !now.time.IsZero() && !most.time.IsZero()
	same := p.most > 0 && now.sameOrigin(most) && gap >= 0 && (!both || (now.time.Sub(most.time)-gap).Abs() < time.Minute)
	switch {
	case !same || m.TotalBytes.Value >= p.most:
		p.most, p.mostAt = m.TotalBytes.Value, now
	case p.most-m.TotalBytes.Value > p.most/shrunk:
		m.TotalChanged = &oom.LimitChange{FromBytes: oom.Some(p.most), ToBytes: m.TotalBytes, AgoNS: oom.Some(uint64(gap))}
	}
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
	return rec
}

// Busy says whether ordinary lines may still matter.
func (p *Parser) Busy() bool {
	return len(p.open) > 0 || len(p.partial) > 0 || p.killTick == p.tick && slices.ContainsFunc(p.held, p.memoryMayFollow)
}

// Skip tells of lines that were passed over without looking at them.
func (p *Parser) Skip(n int) {
	p.tick += uint64(n)
	if len(p.held) > 0 {
		if p.o.ExitRecords && n > 0 {
			p.settle()
		}
		p.release(&stamp{})
	}
}

// Line takes the next line of the log. It may change the line, but keeps no reference.
func (p *Parser) Line(l *lines.Line) {
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
	l.Text = scan.TrimEnd(l.Text)
	if len(p.partial) > 0 && p.join(l) { // its report waits no longer than it does
		return
	}
	p.now.uptime, p.now.time, p.now.node, p.now.bootID = l.Uptime, l.Time, l.Node, l.BootID
	p.expire(l)
	p.text(l, l.Text)
}

// text takes one printk's text. It can hold several lines: the kernel prints
// counters so. A newline can also stand in a name; of such a text the first
// line says what it is, and a name must not make up a line of its own.
func (p *Parser) text(l *lines.Line, text []byte) {
	end := bytes.IndexByte(text, '\n')
	if end < 0 {
		first := scan.SkipSpaces(text)
		if len(first) == 0 {
			return
		}
		k := classify(first)
		if !ordinary(k) || k != partStat && startsReport(first) {
			if first[0] == 'M' || lines.MayMatter(first) {
				first = respace(first)
				if p.keepBack(l, first) || p.anchor(l, first, k) {
					return
				}
			}
		}
		p.part(l, first, k)
		return
	}
	first, whole := scan.SkipSpaces(scan.TrimEnd(text[:end])), scan.SkipSpaces(text)
	if p.wholeAnchor(l, whole) {
		return
	}
	if len(first) > 0 && named(classify(first)) {
		p.section(l, whole)
		return
	}
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if line = scan.SkipSpaces(scan.TrimEnd(line)); len(line) > 0 {
			p.section(l, line)
		}
	}
}

// ordinary says whether a line of this kind stands for no decision, whatever is in it.
func ordinary(k part) bool {
	return k == partFrame || k >= partStat && k <= partSwap && k != partMemInfo || k == partCounter || k == partRow || k == partOldRow || k == partSlab
}

// startsReport is a quick test for a header, whose name may look like any part.
func startsReport(b []byte) bool {
	const blanks = 8 // that may be too many
	b = b[:min(len(b), maxComm+len(lines.HeaderMark)+blanks)]
	if bytes.IndexByte(b, '-') < 0 {
		return false
	}
	_, ok := headerAt(b)
	return ok
}

// wholeAnchor handles a text of several lines that begins as one of the lines
// with a name in them.
func (p *Parser) wholeAnchor(l *lines.Line, b []byte) bool {
	first, _, _ := bytes.Cut(b, []byte("\n"))
	if isHeader(b) || scan.Contains(first, lines.KilledMark) || scan.Contains(first, lines.KillMark) || scan.Contains(first, "OOM victim ") ||
		scan.HasPrefix(first, lines.SummaryMark) || scan.HasPrefix(first, reaperMark) || scan.HasPrefix(first, "Tasks in ") {
		return p.anchor(l, b, classify(b))
	}
	return false
}

// isOldHeader says whether this is the header up to 2.6.17, which does not name the task.
func isOldHeader(b []byte) bool {
	b, ok := bytes.CutPrefix(b, []byte("oom-killer:"))
	return ok && scan.HasPrefix(scan.SkipSpaces(b), "gfp_mask=")
}

// isHeader says whether a line begins a report. The name is the first thing in
// it; the same words in a cgroup's name stand in lines that begin otherwise.
func isHeader(b []byte) bool {
	i, ok := headerAt(b)
	if !ok {
		return isOldHeader(b)
	}
	return i <= maxComm+1 && !scan.Contains(b, " mems_allowed=") &&
		(!scan.HasPrefix(b, "Task in ") && !scan.HasPrefix(b, "Tasks in ") || !scan.Contains(b, " killed "))
}

// anchor handles the lines that stand for themselves. A part of a report with a
// name in it is none, whatever the name says; k is what it can be.
func (p *Parser) anchor(l *lines.Line, b []byte, k part) bool {
	if !lines.MayMatter(b) {
		return false
	}
	switch {
	case isHeader(b):
		p.header(l, b)
		return true
	case scan.HasPrefix(b, "Tasks in "):
		p.followKill()
		if path, ok := parseGroup(b); ok {
			p.group(l, path)
		} else {
			p.unplaced(l, b)
		}
		return true
	case named(k):
		return false
	}
	switch {
	case scan.HasPrefix(b, lines.SummaryMark):
		p.summary(l, b)
	case scan.HasPrefix(b, reaperMark):
		p.followKill()
		p.reaper(l, b)
	case scan.Contains(b, lines.KilledMark):
		k, ok := parseKilled(b, l.Exact)
		if !ok {
			k, ok = p.tornKill(l, b)
		}
		if !ok {
			p.unplaced(l, b)
			break
		}
		p.kill(l, &k)
		p.killTick = p.tick
	case killIndex(b) >= 0:
		p.followKill()
		p.scoreOrShared(l, b)
	case scan.HasPrefix(b, "Out of memory in UB ") && scan.Contains(b, vzMark):
		if k, ok := parseVZ(b); ok {
			p.kill(l, &k)
			break
		}
		p.unplaced(l, b)
	case scan.Contains(b, "is already exiting"):
		if k, ok := parseExiting(b, l.Exact); ok {
			p.exiting(l, &k)
			break
		}
		p.unplaced(l, b)
	case p.lateHeader(l, b):
	case panicOf(b, l.Exact) != "":
		p.panicked(l, b, panicOf(b, l.Exact))
	case noVictimLine(b, l.Exact):
		p.noVictim(l)
	default:
		return false
	}
	return true
}

// lateHeader handles a header behind a prefix that is not known, so that the
// name is not known either. False for any other line.
func (p *Parser) lateHeader(l *lines.Line, b []byte) bool {
	i, ok := headerAt(b)
	switch {
	case !ok:
		return false
	case l.Exact, bytes.IndexByte(b[:i], '/') >= 0:
		p.unplaced(l, b)
	default:
		p.header(l, b[i:])
	}
	return true
}

// noVictimLine says whether this is "Out of memory and no killable processes...".
func noVictimLine(b []byte, exact bool) bool {
	i := bytes.Index(b, []byte(noKillable))
	return i == 0 || i > 0 && !exact && bytes.IndexByte(b[:i], '/') < 0
}

const noKillable = "Out of memory and no killable process"

// panicOf says why the kernel panics, if this line says so (check_panic_on_oom,
// out_of_memory). Empty for any other line, another panic's too.
func panicOf(b []byte, exact bool) oom.Panic {
	i := bytes.Index(b, []byte(lines.PanicMark))
	if i > 0 && (exact || bytes.IndexByte(b[:i], '/') >= 0 || scan.Contains(b[:i], "[ end ")) {
		return ""
	}
	said := i >= 0
	if said {
		b = b[i+len(lines.PanicMark):]
	}
	switch {
	case (scan.HasPrefix(b, "Out of memory: ") || said && scan.HasPrefix(b, "out of memory")) && scan.Contains(b, "panic_on_oom is "):
		return oom.PanicOnOOM
	case said && (scan.HasPrefix(b, noKillable) || scan.HasPrefix(b, "System is deadlocked on memory")):
		return oom.PanicNoKillable
	}
	return ""
}

func (p *Parser) unplaced(l *lines.Line, b []byte) {
	p.stats.Unplaced++
	if p.stats.UnknownForm == "" {
		p.stats.UnknownForm, p.stats.UnknownLine = scan.Keep(b), l.Number
	}
	if p.o.OnUnplaced != nil {
		p.o.OnUnplaced(l.Number, scan.Keep(b))
	}
}

func (p *Parser) newReport(l *lines.Line, headless bool) *report {
	if len(p.open) >= maxOpen {
		p.end(p.open[0])
	}
	var r *report
	if n := len(p.spare); n > 0 {
		r, p.spare = p.spare[n-1], p.spare[:n-1]
	} else {
		r = &report{}
	}
	t, stats, stack := &r.tasks, r.stats[:0], r.trigger.KernelStack[:0]
	clear(t.names)
	clear(t.index)
	tasks := taskTable{rows: t.rows[:0], index: t.index, top: t.top[:0], names: t.names}
	*r = report{stamp: p.now, began: p.tick, behind: p.killTick > 0 && p.tick == p.killTick+1, headless: headless, caller: l.Caller, tasks: tasks, stats: stats}
	r.trigger.KernelStack = stack
	p.open = append(p.open, r)
	p.touch(r, l)
	return r
}

// touch makes r the report that was written to last.
func (p *Parser) touch(r *report, l *lines.Line) {
	r.touched, r.last, r.blocks = p.tick, p.now, nil
	p.keepText(r, l, p.o.KeepText/8*7)
	if n := len(p.open); n > 1 && p.open[n-1] != r {
		p.remove(r)
		p.open = append(p.open, r)
	}
}

// textLeft stands for lines that found no room.
const textLeft = "...\n"

// keepText adds a line to what a report's records show of the log, up to so many bytes:
// its last line has room behind the others.
func (p *Parser) keepText(r *report, l *lines.Line, most int) {
	if p.o.KeepText == 0 || r.kept == p.tick {
		return
	}
	r.kept = p.tick
	switch room := most - len(r.text); {
	case len(l.Text) < room:
		r.text = append(append(r.text, l.Text...), '\n')
	case !bytes.HasSuffix(r.text, []byte(textLeft)):
		r.text = append(r.text, textLeft...)
	}
}

func (p *Parser) remove(r *report) {
	if i := slices.Index(p.open, r); i >= 0 {
		p.open = slices.Delete(p.open, i, i+1)
	}
}

func (p *Parser) header(l *lines.Line, b []byte) {
	i, _ := headerAt(b)
	if !keyed(b[i:], "gfp_mask=", scan.Hex).Known {
		p.unplaced(l, b)
		return
	}
	if scan.Contains(b[i:], lines.KilledMark) { // lines are joined, in a way that is not known
		p.unplaced(l, b)
	}
	p.headers[p.stats.Reports%uint64(len(p.headers))] = p.now
	p.stats.Reports++
	p.dropClaimed()
	p.endHeadless()
	r := p.newReport(l, false)
	r.parseHeader(b[:i], b[i:])
	p.overtake(l, r)
}

// endHeadless closes what came before a header: it belongs to an earlier report.
func (p *Parser) endHeadless() {
	for _, r := range p.open {
		if r.headless && p.now.sameOrigin(&r.stamp) {
			p.end(r)
			return
		}
	}
}

// overtake tells the reports of kernels that print one after the other that a
// new one has begun: their ends are lost, and no more parts are theirs. What
// they were about may still be told, where the log is of many machines that it
// does not name; then the lines are mixed.
func (p *Parser) overtake(l *lines.Line, by *report) {
	for _, r := range p.open {
		one, other := begunAs(r), begunAs(by)
		same := !r.headless && one.same(&other) // the log has it twice
		if r == by || r.overtaken || !p.now.sameOrigin(&r.stamp) || !same && (l.Caller != 0 && r.caller != 0 || !r.from(4, 2) && !by.from(4, 2)) {
			continue
		}
		r.overtaken, r.doubtful = true, true
		by.doubtful = by.doubtful || p.tick-r.touched < interleaved && !same
	}
}

// scoreOrShared handles "Kill process N (c) score S or sacrifice child" and
// "Kill process N (c) sharing same memory" (up to 4.5), which follows a kill.
func (p *Parser) scoreOrShared(l *lines.Line, b []byte) {
	k, ok := parseScore(b, l.Exact)
	if !ok {
		if !scan.Contains(b, ") sharing same memory") || !p.shared(b) {
			p.unplaced(l, b)
		}
		return
	}
	r, _ := p.reportFor(l, k.message, func(r *report) int { return scoreFits(r, &k) })
	if r == nil {
		p.endHeadless()
		r = p.newReport(l, true)
	}
	p.touch(r, l)
	r.stage, r.scored, r.score = stageScore, true, k.v.Score
	r.chosen = chosen{known: true, pid: k.pid, comm: k.v.Comm, uid: r.chosen.uid}
	r.note(k.message)
}

// note takes over what the reason says of the scope. "Out of memory" is also
// said where only some nodes were open: up to 4.20 the header's list of nodes is
// all that tells.
func (r *report) note(m message) {
	r.global = r.global || m.scope == oom.ScopeSystem
	if r.scope == "" && (!r.global || r.trigger.Nodemask == "") {
		r.scope = m.scope
	}
	r.mem.killAllocating = r.mem.killAllocating || m.killAllocating
}

// shared adds a process that dies along with the last victim.
func (p *Parser) shared(b []byte) bool {
	pid, rest, ok := scan.PID(b[bytes.Index(b, []byte(lines.KillMark))+len(lines.KillMark):])
	end := bytes.LastIndex(rest, []byte(") sharing same memory"))
	if !ok || !scan.HasPrefix(rest, " (") || end < 2 || len(p.held) == 0 {
		return false
	}
	last := &p.held[len(p.held)-1]
	rec := last.rec
	if last.out || !p.now.sameOrigin(&last.at) || rec.Kind != oom.KindKill {
		return false
	}
	if rec.Exit == nil {
		rec.Exit = &oom.Exit{}
	}
	if len(rec.Exit.SharedMM) < maxStats {
		rec.Exit.SharedMM = append(rec.Exit.SharedMM, oom.SharedProcess{PID: oom.Some(pid), Comm: scan.Keep(rest[2:end])})
	}
	return true
}

// reportFor finds the open report that a decision belongs to: by caller where
// the log has it, else the one that fits best, of equals the one touched last. It also
// says how well that fits.
func (p *Parser) reportFor(l *lines.Line, m message, fits func(*report) int) (best *report, most int) {
	for i := len(p.open) - 1; i >= 0; i-- {
		r := p.open[i]
		cgroup := r.scope == oom.ScopeCgroup
		if !p.now.sameOrigin(&r.stamp) || r.claim != nil || otherCaller(l.Caller, r.caller) ||
			m.scope != "" && r.scope != "" && cgroup != (m.scope == oom.ScopeCgroup) {
			continue
		}
		if n := fits(r); n > most {
			best, most = r, n
		}
	}
	return best, most
}

// otherCaller says whether two lines are of two tasks or CPUs, as far as they name them.
func otherCaller(a, b int) bool { return a != 0 && b != 0 && a != b }

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

func scoreFits(r *report, k *killLine) int {
	switch {
	case r.scored || r.chosen.known && r.chosen.pid != k.pid:
		return fitsNot
	case r.chosen.known:
		return fitsPID
	case r.tasks.find(k.pid) != nil:
		return fitsTable
	case r.trigger.Comm == k.v.Comm:
		return fitsTrigger
	}
	return fitsAny
}

// killFits says whether a kill can be what a report was about.
func killFits(r *report, k *killLine) int {
	switch {
	case r.chosen.known && r.chosen.pid == k.pid:
		return fitsPID
	case r.chosen.known && r.chosen.comm == k.v.Comm:
		return fitsName // a thread of the chosen process
	case r.tasks.find(k.pid) != nil:
		return fitsTable
	case !r.chosen.known && (r.trigger.Comm == k.v.Comm || r.trigger.TID == oom.Some(k.pid)):
		return fitsTrigger
	case r.scored:
		return fitsAny // up to 5.0 a child
	case r.chosen.known, r.tasks.headed && r.tasks.total > 0 && r.tasks.total <= maxRows:
		return fitsNot // the kernel still speaks of another
	case r.stage > stageHeader && r.stage < stageTasks, r.tasks.headed && r.tasks.total == 0:
		return fitsOpen // no table: vm.oom_dump_tasks is 0, or it comes yet
	}
	return fitsAny // all between them is lost
}

func (p *Parser) summary(l *lines.Line, b []byte) {
	s, ok := parseSummary(b)
	if !ok {
		if r, _ := p.reportFor(l, message{}, withoutChoice); r != nil && r.takeCut(&s) {
			p.touch(r, l)
			return
		}
		p.unplaced(l, b)
		return
	}
	r, _ := p.reportFor(l, message{}, func(r *report) int { return summaryFits(r, &s) })
	if r == nil {
		p.endHeadless()
		r = p.newReport(l, true)
	}
	p.touch(r, l)
	r.stage, r.scope, r.hasSummary = stageSummary, s.scope, true
	if r.scope == "" && s.global {
		r.scope = oom.ScopeSystem
	}
	r.chosen = chosen{known: true, pid: s.pid, uid: oom.Some(s.uid), comm: s.comm}
	r.victimCgroup = kernelPath(s.victimCgroup)
	t := &r.trigger
	t.Nodemask, t.Cpuset, t.MemsAllowed = s.nodemask, s.cpuset, s.memsAllowed
	if s.limitCgroup != "" || s.scope == oom.ScopeCgroup {
		r.hasLimit, r.limit.Cgroup = true, kernelPath(s.limitCgroup)
	}
}

// takeCut takes the scope from a summary that ends before the task; false where it has none.
// 5.0 to 5.2 say of a limit too that nothing constrains it.
func (r *report) takeCut(s *summary) bool {
	if s.scope == "" || s.scope == oom.ScopeSystem && !s.global {
		return false
	}
	if r.doubtful = true; r.scope == "" {
		r.scope = s.scope
		if s.limitCgroup != "" {
			r.hasLimit, r.limit.Cgroup = true, kernelPath(s.limitCgroup)
		}
	}
	return true
}

// ownReport says whether a report is about this very task.
func ownReport(r *report, k *killLine) int {
	if r.headless && !r.scored || !r.chosen.known || r.chosen.pid != k.pid {
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

// exiting handles a victim that was dying before it could be killed.
func (p *Parser) exiting(l *lines.Line, k *killLine) {
	r, _ := p.reportFor(l, k.message, func(r *report) int { return killFits(r, k) })
	if r == nil {
		r = p.newReport(l, true)
	}
	r.note(k.message)
	p.keepText(r, l, p.o.KeepText)
	p.remove(r)
	p.emit(p.record(r, oom.KindAlreadyExiting, &p.now, k.pid, k))
}

// noVictim handles an OOM that the kernel could not solve by a kill. It waits as a kill
// does: the panic may follow.
func (p *Parser) noVictim(l *lines.Line) {
	r := p.withoutVictim(l)
	rec := p.record(r, oom.KindNoVictim, &p.now, r.trigger.TID.Value, nil)
	if given := p.decided(r, rec); given || p.holds(p.before(r).id) < 0 {
		p.hold(held{rec: rec, at: p.now, tick: p.tick, tid: -1, again: !given})
	}
}

// panicked handles a panic in place of a kill. Where the kernel found no process to kill
// it says that first.
func (p *Parser) panicked(l *lines.Line, b []byte, why oom.Panic) {
	for i := len(p.held) - 1; i >= 0 && why == oom.PanicNoKillable; i-- {
		h := &p.held[i]
		if h.rec.Kind == oom.KindNoVictim && !h.out && p.now.within(&h.at, -clockSlack, reportWait) {
			h.rec.Kind, h.rec.Panic, h.done = oom.KindPanic, why, h.rec.Trigger != nil
			h.tick = p.tick
			h.rec.ID = p.identify(&h.at, string(oom.KindPanic), triggerTID(h.rec))
			p.dropCopies(i)
			p.release(&stamp{})
			return
		}
	}
	r := p.withoutVictim(l)
	switch {
	case scan.Contains(b, "compulsory panic_on_oom"):
		r.mem.panicOnOOM = oom.Some(uint32(2))
	case scan.Contains(b, "system-wide panic_on_oom"):
		r.mem.panicOnOOM = oom.Some(uint32(1))
	}
	if r.scope == "" && r.mem.panicOnOOM == oom.Some(uint32(1)) { // for the whole system only
		r.scope = oom.ScopeSystem
	}
	rec := p.record(r, oom.KindPanic, &p.now, r.trigger.TID.Value, nil)
	rec.Panic = why
	if !p.decided(r, rec) {
		p.stats.Duplicates++
		return
	}
	if rec.Trigger == nil { // the next lines name the task
		p.hold(held{rec: rec, at: p.now, tick: p.tick, tid: -1})
		return
	}
	p.emit(rec)
}

// panickedBy takes the line on the CPU behind a panic whose report is lost: it names the task
// that ran out of memory.
func (p *Parser) panickedBy(b []byte) bool {
	const near = 4
	if len(p.held) == 0 {
		return false
	}
	h := &p.held[len(p.held)-1]
	if h.out || h.rec.Kind != oom.KindPanic || h.rec.Trigger != nil || p.tick-h.tick > near || !p.now.sameOrigin(&h.at) {
		return false
	}
	r := report{headless: true}
	if r.parseCPU(b); !r.trigger.TID.Known {
		return false
	}
	_, comm, _ := bytes.Cut(b, []byte("omm: "))
	for _, end := range [...]string{" Not tainted ", " Tainted: ", " Kdump: "} {
		comm, _, _ = bytes.Cut(comm, []byte(end))
	}
	if len(comm) <= maxComm {
		r.trigger.Comm = scan.Keep(comm)
	}
	h.rec.Trigger, h.rec.Kernel, h.done = &r.trigger, r.kernel, true
	p.release(&stamp{})
	return true
}

// triggerTID is the trigger's thread, 0 where it is not known.
func triggerTID(rec *oom.Record) int32 {
	if rec.Trigger == nil {
		return 0
	}
	return rec.Trigger.TID.Value
}

// withoutVictim takes the report that ends without a kill.
func (p *Parser) withoutVictim(l *lines.Line) *report {
	r, _ := p.reportFor(l, message{}, withoutChoice)
	if r == nil {
		r = p.newReport(l, true)
	}
	switch {
	case r.scope != "":
	case r.hasLimit, r.stackAtLimit():
		r.scope = oom.ScopeCgroup
	case r.mem.lines > 0:
		r.scope = oom.ScopeSystem
	}
	p.keepText(r, l, p.o.KeepText)
	p.remove(r)
	return r
}

// record makes the one record of a report; without a victim k is nil and the process the trigger.
func (p *Parser) record(r *report, kind oom.Kind, s *stamp, pid int32, k *killLine) *oom.Record {
	rec := p.base(kind, s, pid)
	rec.Incident = p.incidentID(&r.stamp, pid)
	p.fill(r, rec, k)
	p.reuse(r)
	return rec
}

// end closes a report whose kill line never came. Where the kernel's choice is
// known the kill followed it, beyond the end of the log or lost in it.
func (p *Parser) end(r *report) {
	p.remove(r)
	switch {
	case r.claim != nil: // its kill has a record
	case p.before(r) != nil:
		p.stats.Duplicates++
		p.reuse(r)
	case r.chosen.known && p.killedBefore(r): // the lines came in another order
	case r.chosen.known:
		k := killLine{pid: r.chosen.pid, v: oom.Victim{Comm: r.chosen.comm, UID: r.chosen.uid}}
		rec := p.record(r, oom.KindKill, &r.last, k.pid, &k)
		rec.Incomplete = oom.Some(true)
		p.decided(r, rec)
		p.stats.Kills++
		p.hold(held{rec: rec, at: r.last, tick: p.tick, tid: k.pid})
		p.endedWithout(r, rec, k.pid)
	case !r.headless, r.limitMet() && !p.killedSince(r):
		if r.scope == "" && r.hasLimit {
			r.scope = oom.ScopeCgroup
		}
		r.doubtful = true // marks it incomplete
		if rec := p.record(r, oom.KindOOM, &r.stamp, r.trigger.TID.Value, nil); p.decided(r, rec) {
			p.emit(rec)
		}
	case p.memoryBehind(r):
		p.reuse(r)
	default:
		p.unplacedReport(r)
		p.reuse(r)
	}
}

// killedSince says whether a kill came so close before a report without a header that these
// may be its own lines, in another order.
func (p *Parser) killedSince(r *report) bool {
	return slices.ContainsFunc(p.recent, func(inc *incident) bool {
		return r.within(&inc.last, -reportWait, reportWait) && p.tick-inc.lastTick <= reportLines
	})
}

// killedBefore says whether the kill that a report decided on was given just before it. That
// kill's record lacks what this report says.
func (p *Parser) killedBefore(r *report) bool {
	for i := range p.ended {
		e := &p.ended[i]
		if gap, ok := r.last.since(&e.at); e.pid == r.chosen.pid && r.last.sameOrigin(&e.at) && ok && gap.Abs() <= clockSlack {
			return true
		}
	}
	for _, inc := range p.recent {
		if !inc.killed[r.chosen.pid] || p.tick-inc.lastTick > reportLines || !r.last.within(&inc.last, -clockSlack, clockSlack) {
			continue
		}
		for i := range p.held {
			if rec := p.held[i].rec; rec.Incident == inc.id && !p.held[i].out {
				rec.Incomplete = oom.Some(true)
			}
		}
		return true
	}
	return false
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
		p.ended = slices.Delete(p.ended, 0, 1)
	}
	p.ended = append(p.ended, e)
}

// unplacedReport tells of lines that no decision came to. A page allocation's
// failure ends in the same ones.
func (p *Parser) unplacedReport(r *report) {
	if r.lines == 0 || r.stage <= stageMemory && p.foreignTick > 0 && p.tick-p.foreignTick <= interleaved {
		return
	}
	p.stats.Unplaced += uint64(r.lines)
	if p.o.OnUnplaced != nil {
		p.o.OnUnplaced(r.firstNumber, r.firstText)
	}
}

// expire closes what has waited long enough.
func (p *Parser) expire(l *lines.Line) {
	if len(p.held) > 0 {
		if p.o.ExitRecords && !lines.MayMatter(l.Text) {
			p.settle()
		}
		p.release(&p.now)
	}
	now := &p.now
	for i := 0; i < len(p.open); {
		r := p.open[i]
		limit := uint64(reportLines)
		if r.headless || r.claim != nil {
			limit = headlessLines
		}
		if p.tick-r.touched > limit || now.sameOrigin(&r.last) && !now.within(&r.last, -clockSlack, reportWait) {
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
	return slices.ContainsFunc(p.held, func(h held) bool { return !h.out })
}
