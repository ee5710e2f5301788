// Package kernlog turns OOM reports in kernel-log text into records.
//
// Package lines gives it a log's lines; a [Parser] is the state machine that makes
// records of them, without I/O. A [Source] is both for a file or a pipe, a [Kmsg] for
// /dev/kmsg.
//
// The formats are those of Linux 2.6 to 7.x: mm/oom_kill.c (dump_header,
// dump_tasks, dump_oom_summary, __oom_kill_process), mm/memcontrol.c
// (mem_cgroup_print_oom_meminfo), mm/show_mem.c and mm/page_alloc.c
// (show_free_areas), lib/dump_stack.c. The printk clock has microseconds, the
// numbers are what the kernel printed: it counts per CPU and the sum may be a
// few pages off.
//
// Log text is hostile: names in it are chosen by whoever runs a process or
// makes a cgroup. Everything is bounded: lines, open reports, tasks kept.
package kernlog

import (
	"io"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// hook is what records from here name as their hook.
const hook = "kmsg"

// ErrNotText says that an input is neither text nor a compressed form of it.
var ErrNotText = lines.ErrNotText

// Options say what the log itself does not. The zero value works.
type Options struct {
	// Location is the zone of stamps without one (dmesg -T, syslog); nil is
	// the local zone.
	Location *time.Location
	// Node, BootID and Kernel go into the records where the log names none.
	Node, BootID, Kernel string
	// BootTime is the wall clock of uptime 0, for logs that have only the
	// uptime. Zero: unknown.
	BootTime time.Time
	// Year is the year of the first stamp in syslog's old format, which has
	// none. Zero: the latest year that is not in the future.
	Year int
	// MaxLine bounds a line in bytes; what is longer is cut and counted. Zero
	// is 64 KiB.
	MaxLine int
	// KeepText is how many bytes of a report's lines go into its records, as LogText;
	// more is left out, and said. Zero: none.
	KeepText int
	// ExitRecords gives the OOM reaper's outcome as a record of kind exit, and
	// a kill at once. Otherwise the outcome goes into the exit block of the
	// kill's own record, which waits for it (reaperWait): one record a victim.
	ExitRecords bool
	// Seen knows the records of other logs: what is in one of them is left out. Nil: of
	// this log only.
	Seen *Seen
	// Other is asked with the begin of the input, unpacked. Where it returns a function, that
	// one reads the input: a format that is no kernel's log.
	Other func(begin []byte, in io.Reader) (next func() (*oom.Record, error), more bool)
	// OnUnplaced is told of each line that looks like part of an OOM report
	// but could not be read as one. The text is not to be changed.
	OnUnplaced func(line int, text string)
	// now is the time that years are guessed by; nil is the real one.
	now func() time.Time
}

// lines are the options of the layer below.
func (o *Options) lines() lines.Options {
	return lines.Options{Location: o.Location, Year: o.Year, MaxLine: o.MaxLine, Now: o.now}
}

// Stats count what went by.
type Stats struct {
	// Lines of text, or entries of JSON or journal export.
	Lines uint64
	// Reports is how many report headers ("invoked oom-killer") were read.
	Reports uint64
	// Kills is how many victims were killed; an oom.group's chosen task, which
	// the kernel names twice, counts once.
	Kills uint64
	// Unplaced is how many lines looked like part of a report but were not
	// understood.
	Unplaced uint64
	// Reaped is how many lines of the OOM reaper speak of a kill that the log does not hold.
	Reaped uint64
	// Unknown is how many objects of JSON had no key that is known to hold a
	// log's text, or no end, among those that could matter.
	Unknown uint64
	// CutLines is how many lines were longer than Options.MaxLine.
	CutLines uint64
	// Unused is how many lines came within reports and are in no record: registers,
	// titles, counters of events, lines of other subsystems.
	Unused uint64
	// LeftOut is how many numbers cannot be true and were left out.
	LeftOut uint64
	// Duplicates is how many records were read before, and DoubledLines how many lines
	// were there twice in a row; both are left out.
	Duplicates, DoubledLines uint64
	// Foreign is how many lines have a kill's words but are another program's. ForeignText
	// is the first of them, and ForeignLine its number.
	Foreign     uint64
	ForeignText string
	ForeignLine int
	// Reversed is set when the log is newest first and was turned round.
	Reversed bool
	// UnknownForm is the first line that has a kill's words in a form that is not
	// known, and UnknownLine its number.
	UnknownForm string
	UnknownLine int
}

// Add adds up the counts of another log.
func (s *Stats) Add(o *Stats) {
	s.Lines += o.Lines
	s.Reports += o.Reports
	s.Kills += o.Kills
	s.Unplaced += o.Unplaced
	s.Reaped += o.Reaped
	s.Unknown += o.Unknown
	s.CutLines += o.CutLines
	s.Unused += o.Unused
	s.LeftOut += o.LeftOut
	s.Duplicates += o.Duplicates
	s.DoubledLines += o.DoubledLines
	s.Foreign += o.Foreign
	s.Reversed = s.Reversed || o.Reversed
	if s.ForeignText == "" {
		s.ForeignText, s.ForeignLine = o.ForeignText, o.ForeignLine
	}
	if s.UnknownForm == "" {
		s.UnknownForm, s.UnknownLine = o.UnknownForm, o.UnknownLine
	}
}
