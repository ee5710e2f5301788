package kernlog

import (
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// stage orders the parts of a report as the kernel prints them (dump_header).
type stage int

const (
	stageHeader stage = iota
	stageCpuset
	stageCPU
	stageStack
	stageLimit
	stageMemory
	stageTasks
	stageSummary
	stageScore
)

// stamp is when and where a line was printed.
type stamp struct {
	uptime oom.Opt[uint64]
	time   time.Time
	node   string
	bootID string
}

// since is how long after an earlier stamp this one is; unknown without a
// common clock. Only the printk clock goes back when the machine boots anew; a
// wall clock that went back was set.
func (s *stamp) since(earlier *stamp) (time.Duration, bool) {
	if s.uptime.Known && earlier.uptime.Known {
		return time.Duration(s.uptime.Value) - time.Duration(earlier.uptime.Value), true
	}
	if !s.time.IsZero() && !earlier.time.IsZero() {
		gap := s.time.Sub(earlier.time)
		return gap, gap >= 0
	}
	return 0, false
}

// sameOrigin says whether two lines can come from one boot of one machine:
// their clocks compare only then, and only then are they of one report.
func (s *stamp) sameOrigin(o *stamp) bool {
	return (s.bootID == "" || o.bootID == "" || s.bootID == o.bootID) && (s.node == "" || o.node == "" || s.node == o.node)
}

// within says whether two stamps can be of one boot and the clocks that they have in common, if any, put
// this one so long after the earlier one.
func (s *stamp) within(earlier *stamp, least, most time.Duration) bool {
	gap, ok := s.since(earlier)
	return s.sameOrigin(earlier) && (!ok || gap >= least && gap <= most)
}

// fine says whether the stamp is finer than a second.
func (s *stamp) fine() bool { return s.uptime.Known || s.time.Nanosecond() != 0 }

// report is one OOM report while it is being read.
type report struct {
	stamp
	// headless: the header was cut off or never printed.
	headless bool
	// doubtful: lines of another report may be among this one's.
	doubtful bool
	caller   int
	// overtaken: another one has begun since, on a kernel that prints one after
	// the other.
	overtaken bool
	stage     stage
	began     uint64 // the parser's line count at its first line
	behind    bool   // it begins right behind a kill
	touched   uint64 // the parser's line count at the last line of this report
	last      stamp

	// text are its lines, as far as they are kept, and logText what records have of them; kept
	// is the parser's count at the last.
	text    []byte
	logText string
	kept    uint64

	// lines are how many are in it; the first one for when none is placed.
	lines       int
	firstNumber int
	firstText   string

	kernel     string
	hasCPU     bool
	trigger    oom.Trigger
	sysrq      bool
	old        bool // of a kernel up to 2.6.29, which prints less
	oldAdj     bool // the header has oom_adj, as up to 3.6 (01dc52ebdf)
	stackState stackState
	stackMixed bool // frames of two traces could not be told apart
	atLimit    bool // the stack says that a cgroup's limit was hit
	// constraint is the summary's CONSTRAINT_ word; cgroup is set where the
	// kernel's words say that a cgroup's limit was hit.
	scope oom.Scope
	// global: the reason is none of a cgroup's; it can be a constraint to some nodes.
	global bool

	limit     oom.Limit
	hasLimit  bool
	stats     limitStats
	statLines bool
	// Old kernels print the counters of each cgroup below the limit by itself;
	// the limit's own come first.
	statsEach, statsOfLimit bool
	statsFirst              string
	statsMixed              bool // two reports' could not be told apart

	mem   memInfo
	tasks taskTable

	victimCgroup string
	// chosen is the task that the summary or the "Kill process" line names.
	chosen     chosen
	hasSummary bool
	score      oom.Opt[int64]
	scored     bool
	grouped    bool // an oom.group dies
	groupPath  string
	protected  *protection
	unused     int // lines that are in no record
	counted    bool
	// chosenGone: the chosen task has its record; who dies after it is another one.
	chosenGone bool
	// assumed: chosen is the first task that was killed, for want of another word.
	assumed bool
	// claim is the kill that the report was taken for, until more of it comes.
	claim *claim
	// blocks are those of the last record, until more of the report comes.
	blocks *blocks
}

// chosen is the task that the kernel picked, before it is killed.
type chosen struct {
	known bool
	pid   int32
	uid   oom.Opt[uint32]
	comm  string
}

// pageBytes is the size of a page, from the best evidence there is; 0 where what there is
// contradicts itself.
func (r *report) pageBytes(k *killLine) uint64 {
	if r.mem.pageBytes != 0 {
		return r.mem.pageBytes
	}
	if k != nil {
		// The table has the same number in pages that the kill line has in kB.
		if row := r.tasks.find(k.pid); row != nil && row.totalVM != 0 && k.v.TotalVMBytes.Known {
			if kb := k.v.TotalVMBytes.Value / 1024; kb%row.totalVM == 0 {
				if page := kb / row.totalVM * 1024; page >= 4096 && page <= 1<<18 && page&(page-1) == 0 {
					return page
				}
			}
		}
	}
	for _, size := range [...]string{"16k", "64k"} { // variants that distributions name so
		if kb, _, _ := scan.Uint([]byte(size)); strings.HasSuffix(r.kernel, "+"+size) || strings.HasSuffix(r.kernel, "-"+size) {
			return kb * 1024
		}
	}
	return r.mem.derivedPage()
}

const defaultPageBytes = 4096

// domainPages is oom_control.totalpages as far as the report tells; 0 where it
// does not.
func (r *report) domainPages() uint64 {
	page := r.pageBytes(nil)
	if page == 0 {
		return 0
	}
	if r.hasLimit && r.limit.MaxBytes.Known {
		return (r.limit.MaxBytes.Value + r.limit.SwapMaxBytes.Or(0)) / page
	}
	return r.mem.managedPages() + r.mem.swapTotalKB.Or(0)*1024/page
}

// interrupt tells of another allocation's report that begins in this one: a
// trace and a Mem-Info of the same form follow.
func (r *report) interrupt() {
	r.doubtful, r.blocks = true, nil
	if r.stage <= stageStack && r.stackState != stackDone {
		r.stackMixed = true
	}
	r.stage = max(r.stage, stageCPU) // the next one need not be this report's
	switch m := &r.mem; {
	case m.blocks == 0:
		m.foreign = true
	case m.reserved.Known:
		m.whole = true
	default:
		m.mixed = true
	}
}

// stackAtLimit says whether the way into the allocator is one of a cgroup's limit.
func (r *report) stackAtLimit() bool { return r.atLimit && !r.stackMixed }

// printsMemory says whether the kernel prints Mem-Info for a cgroup's limit: up to 3.8
// (58cf188ed7), and up to 4.1 where it panics (2415b9f5cb).
func (r *report) printsMemory() bool {
	return r.before(3, 9) || r.panicsWithoutLimit()
}

// panicsWithoutLimit says whether it is a panic of which the kernel prints Mem-Info and no
// limit, wherever it came from.
func (r *report) panicsWithoutLimit() bool { return r.before(4, 2) && r.mem.panicOnOOM.Known }

// dropMixed drops what Mem-Info says where it is not this report's alone.
func (r *report) dropMixed() {
	if r.scope == oom.ScopeCgroup && r.mem.lines > 0 && !r.printsMemory() {
		r.doubtful, r.mem.mixed = true, true
	}
	if r.mem.mixed || r.mem.foreign {
		r.unused += r.mem.lines
		r.mem = memInfo{killAllocating: r.mem.killAllocating, panicOnOOM: r.mem.panicOnOOM, mixed: true}
	}
}

// memory is what Mem-Info says, where it is this report's.
func (r *report) memory(page uint64) *oom.Memory {
	r.dropMixed()
	m := r.mem.finish(page)
	// The oldest reports do not say how much RAM there is: what the zones have is little more.
	if m != nil && !r.headless && r.trigger.Comm == "" && !r.trigger.Order.Known && !r.mem.ram.Known && r.mem.presentKB > 0 && r.mem.freeListed(page) {
		m.TotalBytes = scan.Kilobytes(r.mem.presentKB)
	}
	return m
}

// missing says whether a part is not there that the kernel prints in each
// report; k is the victim's line, if there was a victim.
func (r *report) missing(k *killLine) bool {
	if r.old {
		return r.stackState == stackNone || r.stackState == stackForeign || r.stackMixed || r.mem.missingOld()
	}
	if !r.hasCPU || r.stackState == stackNone || r.stackState == stackForeign || r.stackMixed || !r.tasks.headed ||
		r.mem.lines > 0 && !r.mem.swapTotalKB.Known && r.tasks.swapped {
		return true
	}
	if r.scope == oom.ScopeCgroup && !r.panicsWithoutLimit() {
		l := &r.limit
		if l.Cgroup == "" || !l.UsageBytes.Known || !l.SwapUsageBytes.Known && !l.MemswUsageBytes.Known || len(r.stats) == 0 && !r.before(3, 9) || r.statsCut() ||
			l.MemswUsageBytes.Known && !l.KmemUsageBytes.Known && r.from(3, 10) {
			return true
		}
	} else if r.mem.missing() {
		return true
	}
	if k == nil {
		return false
	}
	// From 5.0, and where that was ported back, the summary names the victim;
	// before it the "Kill process" line.
	if !r.hasSummary && (r.from(5, 0) || !r.scored && k.bare) || r.trigger.MemsAllowed == "" && !r.hasSummary && r.mem.ofNodes() {
		return true
	}
	return r.rowsLost(k)
}

// rowsLost says whether rows of the tasks table are not there: it has at least the task that
// is killed. Only a cgroup can have none.
func (r *report) rowsLost(k *killLine) bool {
	switch t := &r.tasks; {
	case t.total == 0:
		return k != nil || r.scope != oom.ScopeCgroup || !r.hasCPU || r.stackState == stackNone
	case k == nil || t.total > maxRows:
		return false
	default:
		return t.find(k.pid) == nil && (!r.chosen.known || t.find(r.chosen.pid) == nil)
	}
}

// limitMet says whether what is there of a report is of an OOM at a limit, and of nothing else.
func (r *report) limitMet() bool {
	return r.hasLimit && r.limit.UsageBytes.Known && r.limit.Cgroup != ""
}

// from says whether the kernel is known to be this version or later.
func (r *report) from(major, minor uint64) bool {
	a, b, ok := r.version()
	return ok && (a > major || a == major && b >= minor)
}

// before says whether the kernel is known to be older than this version.
func (r *report) before(major, minor uint64) bool {
	if a, b, ok := r.version(); ok {
		return a < major || a == major && b < minor
	}
	return r.oldAdj && (major > 3 || major == 3 && minor >= 7)
}

func (r *report) version() (major, minor uint64, ok bool) {
	major, rest, ok := scan.Uint([]byte(r.kernel))
	if !ok || len(rest) == 0 {
		return 0, 0, false
	}
	minor, _, ok = scan.Uint(rest[1:])
	return major, minor, ok
}

// statsCut says whether counters of cgroups below the limit are there without
// the limit's own, or with another report's: their sum is none.
func (r *report) statsCut() bool {
	// Of v1's counters, one a line, those with the children come last.
	ownOnly := !r.statsEach && r.stats.has("cache") && !r.stats.totals()
	ofLimit := r.statsOfLimit || r.limit.Cgroup != "" && r.limit.Cgroup == r.statsFirst
	return r.statsMixed || ownOnly || r.statsEach && (!ofLimit || r.statsOfOthers())
}

// statsOfOthers: of cgroups that are printed one by one, the one that holds the memory is
// not there.
func (r *report) statsOfOthers() bool {
	sum := uint64(0)
	for i := range r.stats {
		if s := &r.stats[i]; s.printed == "rss" || s.printed == "cache" || s.printed == "swap" {
			sum += s.v
		}
	}
	used := r.limit.UsageBytes.Value - min(r.limit.UsageBytes.Value, r.limit.KmemUsageBytes.Value)
	return r.limit.UsageBytes.Known && sum < used/8
}
