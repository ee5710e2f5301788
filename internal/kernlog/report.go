package kernlog

import (
	"time"

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

func stampOf(l *Line) stamp {
	return stamp{uptime: l.Uptime, time: l.Time, node: l.Node, bootID: l.BootID}
}

// since is how long after an earlier stamp this one is; unknown without a
// common clock, and when the clock went back (another boot).
func (s *stamp) since(earlier *stamp) (time.Duration, bool) {
	if s.uptime.Known && earlier.uptime.Known {
		return time.Duration(s.uptime.Value) - time.Duration(earlier.uptime.Value), true
	}
	if !s.time.IsZero() && !earlier.time.IsZero() {
		return s.time.Sub(earlier.time), true
	}
	return 0, false
}

// report is one OOM report while it is being read.
type report struct {
	stamp
	// headless: the header was cut off or never printed.
	headless bool
	// doubtful: lines of another report may be among this one's.
	doubtful bool
	caller   int
	stage    stage
	touched  uint64 // the parser's line count at the last line of this report
	last     stamp

	kernel     string
	trigger    oom.Trigger
	sysrq      bool
	stackState stackState
	stackMixed bool // frames of two traces could not be told apart
	// constraint is the summary's CONSTRAINT_ word; cgroup is set where the
	// kernel's words say that a cgroup's limit was hit.
	scope oom.Scope

	limit     oom.Limit
	hasLimit  bool
	stats     limitStats
	statLines bool

	mem   memInfo
	tasks taskTable

	victimCgroup string
	// chosen is the task that the summary or the "Kill process" line names.
	chosen    chosen
	score     oom.Opt[int64]
	scored    bool
	groupPath string
}

// chosen is the task that the kernel picked, before it is killed.
type chosen struct {
	known bool
	pid   int32
	uid   oom.Opt[uint32]
	comm  string
}

// pageBytes is the size of a page, from the best evidence there is.
func (r *report) pageBytes(k *killLine) uint64 {
	if r.mem.pageBytes != 0 {
		return r.mem.pageBytes
	}
	if k != nil {
		// The table has the same number in pages that the kill line has in kB.
		if row := r.tasks.find(k.pid); row != nil && row.totalVM != 0 && k.totalVM.Known {
			if kb := k.totalVM.Value / 1024; kb%row.totalVM == 0 {
				if page := kb / row.totalVM * 1024; page >= 4096 && page <= 1<<18 && page&(page-1) == 0 {
					return page
				}
			}
		}
	}
	return defaultPageBytes
}

const defaultPageBytes = 4096

// domainPages is oom_control.totalpages as far as the report tells; 0 where it
// does not.
func (r *report) domainPages() uint64 {
	page := r.pageBytes(nil)
	if r.hasLimit && r.limit.MaxBytes.Known {
		return (r.limit.MaxBytes.Value + r.limit.SwapMaxBytes.Or(0)) / page
	}
	return r.mem.managedPages() + r.mem.swapTotalKB.Or(0)*1024/page
}
