// Package lines gives the kernel's lines of a log: whatever the log is kept in, and
// whatever people and programs have put around the text.
//
// A [Reader] finds out by the content what it reads: compressed or not; UTF-8 or UTF-16;
// text with any of the usual prefixes, JSON, journal export, tables; oldest or newest
// line first; each line once or twice; wrapped by mail. It tells the kernel's lines from
// those of other programs, and passes over what cannot be of an OOM report.
//
// Log text is hostile: names in it are chosen by whoever runs a process or makes a
// cgroup. Everything is bounded.
package lines

import (
	"errors"
	"io"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// ErrNotText says that an input is neither text nor a compressed form of it.
var ErrNotText = errors.New("not a text log")

// ErrOther says that Options.Other has taken the input.
var ErrOther = errors.New("not a kernel's log")

// Line is one line of the kernel log, without what the log's source put in front of it.
type Line struct {
	// Text is the message. It may hold several lines, as one printk can. It is valid
	// until the Sink returns.
	Text []byte
	// Uptime is the printk clock in nanoseconds.
	Uptime oom.Opt[uint64]
	// Time is the wall clock; zero where unknown.
	Time time.Time
	// Caller is who printed it (CONFIG_PRINTK_CALLER): a thread id, or -1-n for
	// CPU n; 0 where unknown.
	Caller int
	// Node and BootID are what the line's source says of its origin.
	Node, BootID string
	// Number is the line's number in the log.
	Number int
	// Cut is set when the text was longer than the source may hold.
	Cut bool
	// Exact is set when the text begins where the kernel's message does; no unknown
	// prefix is before it.
	Exact bool
	// Indent is how wide the prefix was: what dmesg writes before the further lines of
	// a text.
	Indent int
}

// marked says whether a source has said of the line when it was, or that it is the kernel's.
func (l *Line) marked() bool { return l.Uptime.Known || !l.Time.IsZero() || l.Exact }

// Sink takes the lines of a log.
type Sink interface {
	// Line takes the next line.
	Line(*Line)
	// Skip is told of lines that were passed over.
	Skip(lines int)
	// Busy says whether lines matter that do not by themselves.
	Busy() bool
}

// Class is what the text of a line can be by itself.
type Class struct {
	// Part: of an OOM report.
	Part bool
	// Place is where in a report it stands; below 0 for nowhere.
	Place int
	// Header begins a report.
	Header bool
	// Own: it begins as a line of the kernel's that has a name in it, which may look
	// like anything.
	Own bool
	// Alone: it is worth keeping without the header of its report.
	Alone bool
	// Frame: one of a trace.
	Frame bool
	// Recurs: a report may have the same twice.
	Recurs bool
	// Weak: it may be the rest of another line as well.
	Weak bool
}

// any says whether the text is of a report, or the kernel's.
func (c Class) any() bool { return c.Part || c.Header || c.Own }

// Grammar knows the kernel's text.
type Grammar interface {
	Class(text []byte) Class
	// Unfinished says whether a line breaks off where the kernel's does not.
	Unfinished(text []byte) bool
	// Closed says whether a text is a whole line of a report that neither ends in a name nor
	// can be made by one, so that what follows it is another line.
	Closed(text []byte) bool
}

// Options say what the log itself does not. The zero value works.
type Options struct {
	// Location is the zone of stamps without one; nil is the local zone.
	Location *time.Location
	// Year is the year of the first stamp that has none. Zero: the latest year that is
	// not in the future.
	Year int
	// MaxLine bounds a line in bytes; what is longer is cut and counted. Zero is 64 KiB.
	MaxLine int
	// Now is the time that a year is guessed by; nil is the real one.
	Now func() time.Time
	// Other is asked with the begin of the input, unpacked, and again while it wants more;
	// where it says that it takes the input, Step returns ErrOther.
	Other func(begin []byte, rest io.Reader) (takes, more bool)
}

const (
	defaultMaxLine = 64 << 10
	minMaxLine     = 256
)

// Longest is the bound of a line in bytes.
func (o *Options) Longest() int {
	if o.MaxLine <= 0 {
		return defaultMaxLine
	}
	return max(o.MaxLine, minMaxLine)
}

// Stats count what went by.
type Stats struct {
	// Lines of text, or entries of JSON, tables or journal export.
	Lines uint64
	// Cut is how many lines were longer than Options.MaxLine.
	Cut uint64
	// Unknown is how many entries had no field that is known to hold a log's text, or
	// no end, among those that could matter. UnknownText is the first of them, and
	// UnknownLine its number.
	Unknown     uint64
	UnknownText string
	UnknownLine int
	// Foreign is how many lines have a kill's words but are another program's. ForeignText
	// is the first of them, and ForeignLine its number.
	Foreign     uint64
	ForeignText string
	ForeignLine int
	// Named is the first line that has the words of an OOM, and NamedLine its number.
	Named     string
	NamedLine int
	// Doubled is how many lines were there twice.
	Doubled uint64
	// Reversed is set when the log is newest first and was turned round.
	Reversed bool
}

// keepFirst keeps a line and its number, if none is there yet.
func keepFirst(kept *string, at *int, text []byte, number int) {
	const most = 200
	if *kept == "" {
		*kept, *at = scan.Keep(text[:min(len(text), most)]), number
	}
}

// unknown counts an entry without a text, and keeps the first.
func (s *Stats) unknown(number int, text []byte) {
	s.Unknown++
	if MayMatter(text) {
		keepFirst(&s.UnknownText, &s.UnknownLine, text, number)
	}
}

// name keeps the first line with the words of an OOM.
func (s *Stats) name(number int, text []byte) {
	if s.Named == "" && (scan.Contains(text, KilledMark) || scan.Contains(text, HeaderMark) || scan.Contains(text, SummaryMark)) {
		keepFirst(&s.Named, &s.NamedLine, text, number)
	}
}

// foreign counts another program's line, and keeps the first.
func (s *Stats) foreign(number int, text []byte) {
	s.Foreign++
	keepFirst(&s.ForeignText, &s.ForeignLine, text, number)
}
