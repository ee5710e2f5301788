package kernlog

import (
	"bytes"
	"slices"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// part is what a line within a report can be.
type part int

const (
	partNone    part = iota
	partForeign      // the beginning of another allocation's trace and Mem-Info
	partOrder
	partCpuset
	partCPU
	partTrace
	partTraceEnd
	partFrame
	partTaskIn
	partCounter
	partStats
	partStat
	partMemInfo
	partPages
	partNode // "Node 0 …" and the zones' lines
	partReserve
	partCount
	partSwap
	partSlabs // the heading of the slab caches
	partSlab
	partAllocations
	partAllocation
	partProtected
	partTasks
	partHeading
	partRow
	partOldRow // of 2.6.35 and before
	partBadRow // begins as a row
)

// stageOf is the place of a part in the order of a report.
func stageOf(k part) stage {
	switch {
	case k <= partOrder:
		return stageHeader
	case k == partCpuset:
		return stageCpuset
	case k == partCPU:
		return stageCPU
	case k <= partFrame:
		return stageStack
	case k <= partStat:
		return stageLimit
	case k <= partProtected:
		return stageMemory
	}
	return stageTasks
}

// named says whether a part holds a name that could have a newline in it.
func named(k part) bool {
	return k == partCpuset || k == partCPU || k == partTaskIn || k == partStats || k == partRow || k == partOldRow
}

// orphan says whether a part is worth keeping without a header: it is told
// apart from other lines by itself, and useful.
func orphan(k part) bool {
	return k >= partTaskIn && k != partStat && k != partProtected && k < partOldRow
}

// certain says whether a part can be nothing else, so that one that fits no
// report is worth a word.
func certain(k part) bool {
	return k >= partTaskIn && k <= partStats || k == partHeading || k == partRow
}

// classify says what a line can be, from its first bytes.
func classify(b []byte) part {
	switch c := b[0]; {
	case c == '[':
		return classifyBracket(b)
	case c == ',' && scan.Contains(b, "order="):
		return partOrder
	case c == '/': // the words before it are cut off
		if begunTaskIn(b) {
			return partTaskIn
		}
		return partNone
	case c == '(':
		if _, _, ok := frame(b); ok {
			return partFrame
		}
		return partNone
	case c == '<':
		return begins(b)
	case scan.IsDigit(c):
		v, rest, ok := scan.Uint(b)
		if m := (memInfo{}); ok && m.parseCount(v, rest) {
			return partCount
		}
		if _, ok := allocationRow(b); ok {
			return partAllocation
		}
	}
	return classifyWord(b)
}

func classifyBracket(b []byte) part {
	if isHeading(b) {
		return partHeading
	}
	if k := rowPart(b); k != partNone {
		return k
	}
	if _, _, ok := frame(b); ok {
		return partFrame
	}
	return partNone
}

func classifyWord(b []byte) part {
	if _, _, ok := statLine(b); ok {
		return partStat
	}
	switch b[0] {
	case 'B', 'C', 'T', 'U', 'M', 'l':
		if k := begins(b); k != partNone {
			return k
		}
	}
	switch b[0] {
	case 'A', 'a', 'i', 'f', 'u', 'd', 'w', 's', 'm', 'p', 'b', 'k':
		switch {
		case limitCounter(b) != "":
			return partCounter
		case isPages(b):
			return partPages
		}
	case 'C', 'P':
		switch {
		case scan.HasPrefix(b, "CPU: ") && scan.Contains(b, " Comm: "), scan.HasPrefix(b, "Pid: ") && scan.Contains(b, ", comm: "), isOldCPU(b):
			return partCPU
		}
	case 'T', 'F', 'n':
		if isSwap(b) {
			return partSwap
		}
	}
	return classifyRest(b)
}

// beginnings are those that no other line has.
var beginnings = [...]struct {
	text string
	part part
}{
	{"<TASK>", partTrace}, {"</TASK>", partTraceEnd}, {"Call Trace:", partTrace}, {"Call trace:", partTrace}, {"Backtrace:", partTrace},
	{"Task in ", partTaskIn}, {reachedMark, partTaskIn}, {"lowmem_reserve[]:", partReserve}, {statsMark, partStats}, {"Mem-Info:", partMemInfo},
	{"Mem-info:", partMemInfo}, {"Unreclaimable slab info:", partSlabs}, {"Memory allocations", partAllocations},
	{protectedMark, partProtected}, {"Tasks state (memory values", partTasks},
}

func begins(b []byte) part {
	for i := range beginnings {
		if scan.HasPrefix(b, beginnings[i].text) {
			return beginnings[i].part
		}
	}
	return partNone
}

// classifyRest tells the lines apart that have no beginning of their own.
func classifyRest(b []byte) part {
	if _, _, ok := frame(b); ok {
		return partFrame
	}
	switch {
	case isNode(b):
		return partNode
	case isForeign(b):
		return partForeign
	case bytes.IndexByte(b, '=') > 0 && scan.Contains(b, " mems_allowed=") && scan.Contains(b, "cpuset="):
		return partCpuset
	}
	if b[len(b)-1] == 'B' {
		if _, ok := slabRow(b); ok {
			return partSlab
		}
	}
	return partNone
}

// isSwap says whether this is "Free swap  = 0kB" or "Total swap = 0kB"; up to 2.6.23
// there were colons, and 2.6.9 had "nr_free_swap_pages: 0" instead of both.
func isSwap(b []byte) bool {
	for _, name := range [...]string{"Free swap", "Total swap", "nr_free_swap_pages"} {
		if scan.HasPrefix(b, name) {
			rest := scan.SkipSpaces(b[len(name):])
			return len(rest) > 0 && (rest[0] == '=' || rest[0] == ':')
		}
	}
	return false
}

func isNode(b []byte) bool {
	node, rest := afterNode(b)
	if node.Known && (scan.HasPrefix(rest, "active_anon:") || scan.HasPrefix(rest, "hugepages_total=")) || scan.HasPrefix(b, "hugepages_total=") {
		return true
	}
	if name, v, ok := zoneName(rest, " free:"); ok {
		return len(name) > 0 && len(v) > 0 && scan.IsDigit(v[0])
	}
	_, _, ok := isBlocks(rest)
	return ok
}

// interleaved is how close, in lines, two reports are that may be mixed up.
const interleaved = 256

// isForeign says whether another allocation's trace and Mem-Info follow (warn_alloc: a
// failure, 2.6.31 to 7.x, or a stall, 4.10 to 4.15 and 7.3, or vmalloc's), or just the
// latter (sysrq-m).
func isForeign(b []byte) bool {
	if _, rest, ok := bytes.Cut(b, []byte("mode:0x")); ok {
		return scan.Contains(rest, "nodemask=") || scan.Contains(b, ": page allocation failure") || scan.Contains(b, ": page allocation stall")
	}
	return scan.HasPrefix(b, "sysrq: Show Memory") || scan.HasPrefix(b, "SysRq : Show Memory")
}

// section handles the lines that mean something within a report only.
func (p *Parser) section(l *lines.Line, b []byte) { p.part(l, b, classify(b)) }

// part handles a line of a kind that is known.
func (p *Parser) part(l *lines.Line, b []byte, k part) {
	switch k {
	case partNone:
		if n := len(p.open) - 1; n >= 0 && asksForKill(b) && p.now.sameOrigin(&p.open[n].stamp) && p.open[n].stage == stageCPU {
			p.open[n].sysrq = true
		} else if p.openHere() {
			p.stats.Unused++
		}
		return
	case partForeign:
		p.stats.Unused++
		p.foreign(l)
		return
	}
	if k == partCPU && p.panickedBy(b) {
		return
	}
	if len(p.open) == 0 {
		if !orphan(k) {
			return
		}
		p.newReport(l, true)
	}
	order := p.pick(l, k)
	if len(order) == 0 && orphan(k) && !p.openHere() {
		order = append(order, p.newReport(l, true))
	}
	for _, r := range order {
		if r.apply(k, b) {
			if r.claim != nil {
				p.unclaim(r)
			}
			r.stage = max(r.stage, stageOf(k))
			p.touch(r, l)
			r.count(l, b)
			if k == partCPU && !r.headless {
				p.overtake(l, r)
			}
			return
		}
	}
	if p.openHere() {
		p.stats.Unused++
	}
	switch {
	case len(order) == 1 && k == partCPU && order[0].stackState != stackDone:
		if order[0].stage < stageCPU { // its own is lost, and what follows this one may be that task's
			order[0].interrupt()
		}
		order[0].stackState = stackForeign // someone else's trace begins
	case len(order) > 0 && (certain(k) || k >= partOldRow && order[0].stage == stageTasks):
		order[0].doubtful = true
		p.unplaced(l, b)
	}
}

// count keeps what to tell of a report that is none.
func (r *report) count(l *lines.Line, b []byte) {
	if r.lines++; r.lines == 1 && r.headless {
		r.firstNumber, r.firstText = l.Number, scan.Keep(b)
	}
}

// foreign handles the first line of another allocation's report.
func (p *Parser) foreign(l *lines.Line) {
	p.foreignTick = p.tick
	for _, r := range p.open {
		if p.now.sameOrigin(&r.stamp) && r.stage <= stageMemory && !otherCaller(l.Caller, r.caller) {
			r.interrupt()
		}
	}
}

// openHere says whether a report of the same machine is open.
func (p *Parser) openHere() bool {
	return slices.ContainsFunc(p.open, func(r *report) bool { return p.now.sameOrigin(&r.stamp) })
}

// pick finds the reports that a line can belong to, best first. With the caller
// printed there is just one; else those that are at this part come before those
// that are to come to it, and the one touched last before the others. Two that
// are at the same part cannot be told apart.
func (p *Parser) pick(l *lines.Line, k part) []*report {
	st := stageOf(k)
	order := p.picked[:0]
	for i := len(p.open) - 1; i >= 0; i-- {
		r := p.open[i]
		if !p.now.sameOrigin(&r.stamp) {
			continue
		}
		if l.Caller != 0 && r.caller != 0 {
			if l.Caller == r.caller {
				return append(order[:0], r)
			}
			continue
		}
		if r.stage > st || r.overtaken {
			continue
		}
		order = append(order, r)
	}
	if len(order) > 1 {
		slices.SortStableFunc(order, func(a, b *report) int { return int(b.stage - a.stage) })
	}
	if len(order) > 1 && order[0].stage == order[1].stage && order[0].stage == st && p.tick-order[1].touched < interleaved {
		for _, r := range order[:2] {
			r.doubtful = true
			r.stackMixed = r.stackMixed || k == partFrame
			r.statsMixed = r.statsMixed || k == partStat || k == partStats
		}
	}
	return order
}

// apply reads a line into the report; false when it is not this report's.
func (r *report) apply(k part, b []byte) bool {
	switch k {
	case partTasks:
		r.unused++
	case partOrder:
		if r.trigger.Order.Known {
			return false
		}
		r.parseOrder(b)
	case partCpuset:
		return r.parseCpuset(b)
	case partCPU:
		if isOldCPU(b) {
			return (r.stage < stageCPU || r.stage == stageCPU && r.hasCPU && !r.trigger.TID.Known) && r.parseOldCPU(b)
		}
		return r.stage < stageCPU && r.parseCPU(b)
	case partTrace, partTraceEnd, partFrame:
		return r.applyTrace(k, b)
	case partTaskIn:
		return r.parseTaskIn(b)
	case partCounter:
		return r.parseCounter(limitCounter(b), b)
	case partStats:
		r.parseStats(b)
	case partStat:
		return r.applyStat(b)
	case partMemInfo:
		r.unused++
		above := r.mem.lines
		ours := r.mem.begin()
		if r.mem.lines == 0 {
			r.unused += above
		}
		r.doubtful = r.doubtful || r.mem.mixed
		return ours
	case partPages, partNode, partReserve, partCount, partSwap:
		if r.mem.mixed || r.mem.blocks > 1 {
			return false
		}
		r.mem.apply(k, b)
	case partSlabs, partSlab, partAllocations, partAllocation:
		return r.mem.applySite(k, b)
	case partProtected:
		return r.parseProtected(b)
	case partHeading:
		if r.tasks.total > 0 {
			return false
		}
		r.tasks.domain, r.tasks.page = r.domainPages(), r.pageBytes(nil)
		r.tasks.parseHeading(b)
	case partRow:
		return r.tasks.parseRow(b)
	case partOldRow:
		return r.tasks.headed && r.tasks.width == fewestColumns && r.tasks.parseRow(b)
	case partBadRow:
		return false
	}
	return true
}

func (r *report) applyTrace(k part, b []byte) bool {
	switch {
	case k == partTrace && r.stackState == stackNone:
		r.stackState = stackOpen
		r.unused++
	case k == partTrace && r.stackState == stackOpen && len(r.trigger.KernelStack) > 0:
		r.stackMixed, r.doubtful = true, true // someone else's, in the middle of it
	case k == partTraceEnd && r.stackState == stackOpen:
		r.stackState = stackDone
		r.unused++
	case k == partFrame && (r.stackState == stackOpen || r.stackState == stackNone && r.hasCPU && !r.headless && r.stage <= stageStack):
		r.stackState = stackOpen // 32-bit x86 up to 2.6.26 writes no "Call Trace:"
		if scan.HasPrefix(b, "? ") {
			r.unused++
		} else if name, guessed, ok := frame(b); !ok || guessed || !r.addFrame(name) {
			r.unused++
		}
	default:
		return false
	}
	return true
}

func (r *report) applyStat(b []byte) bool {
	if !r.statLines {
		return false
	}
	name, v, _ := statLine(b)
	// Each counter is printed once: one that comes again is another's.
	again := r.stats.add(name, v)
	r.statsMixed = r.statsMixed || again && !r.statsEach
	return true
}

func (m *memInfo) apply(k part, b []byte) {
	m.lines++
	switch k {
	case partPages:
		m.parsePages(b)
	case partNode:
		m.applyNode(b)
	case partReserve:
		m.parseReserve(b[len("lowmem_reserve[]:"):])
	case partCount:
		v, rest, _ := scan.Uint(b)
		m.parseCount(v, rest)
	case partSwap:
		number := scan.SkipSpaces(b[bytes.IndexAny(b, "=:")+1:])
		v, unit, ok := scan.Uint(number)
		switch {
		case scan.HasPrefix(number, "-"): // during swapoff: less what is used on the device that leaves
			v, unit, ok = scan.Uint(number[1:])
			m.swapLeaves, m.swapInUseKB = true, oom.Opt[uint64]{}
			if ok && string(unit) == "kB" {
				m.swapInUseKB = oom.Some(v)
			}
		case ok && b[0] == 'n' && len(unit) == 0:
			m.swapFree = oom.Some(v)
		case !ok || string(unit) != "kB":
			m.unread++
		case b[0] == 'F':
			m.swapFreeKB = oom.Some(v)
		default:
			m.swapTotalKB = oom.Some(v)
		}
	}
}

// applySite reads the slab caches and the allocation sites, which are such only below
// their headings.
func (m *memInfo) applySite(k part, b []byte) bool {
	switch {
	case k == partSlabs || k == partAllocations:
		m.sites = k
		m.unread++
	case k == partSlab && m.sites == partSlabs:
		s, _ := slabRow(b)
		m.slabs = insertTop(m.slabs, s, maxSites, func(a, b *oom.SlabCache) bool { return a.TotalBytes.Value > b.TotalBytes.Value })
	case k == partAllocation && m.sites == partAllocations:
		s, _ := allocationRow(b)
		m.allocations = insertTop(m.allocations, s, maxSites, func(a, b *oom.Allocation) bool { return a.Bytes.Value > b.Bytes.Value })
	default:
		return false
	}
	m.lines++
	return true
}

func (m *memInfo) applyNode(b []byte) {
	node, rest := afterNode(b)
	switch {
	case scan.HasPrefix(rest, "hugepages_total="):
		m.parseHuge(rest)
	case scan.HasPrefix(rest, "active_anon:"):
		m.parseNode(node, rest)
	default:
		if name, values, ok := zoneName(rest, " free:"); ok {
			m.parseZone(node, name, values)
		} else if name, values, ok := isBlocks(rest); ok {
			m.parseBlocks(node, name, values)
		}
	}
}
