package render

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Columns is the width that a line of text keeps to by default, and
// minColumns the least that can be kept to.
const (
	Columns    = 120
	minColumns = 48
)

// TextOptions says how text looks. The zero value is plain text with the
// explanations, in local time.
type TextOptions struct {
	// Wide adds the reasons, the candidates, the zones and the limits.
	Wide bool
	// NoWhy leaves the explanation out.
	NoWhy bool
	// Color uses the terminal's colours.
	Color bool
	// ASCII writes ASCII characters alone, for a locale that is not UTF-8.
	ASCII bool
	// Width is the columns of the terminal; 0 means Columns.
	Width int
	// Location is the time zone; nil means the local one.
	Location *time.Location
}

// Text writes records for people: a line each, aligned under a header.
type Text struct {
	w      io.Writer
	opts   TextOptions
	headed bool
	buf    []byte
	with   collateral
}

// NewText returns a Text that writes to w.
func NewText(w io.Writer, opts TextOptions) *Text {
	opts.Location, opts.Width = cmp.Or(opts.Location, time.Local), max(cmp.Or(opts.Width, Columns), minColumns)
	return &Text{w: w, opts: opts}
}

// column is one column of the line: name, width, and how it is filled.
type column struct {
	name  string
	width int
	right bool
	value func(*Text, *oom.Record) string // clean
	left  bool                            // cut on the left: the end says more
}

// columns are the line's, in order; the widths and two blanks between make Columns
// at most. On a narrower terminal the last ones have lines of their own.
func columns() [8]column {
	return [...]column{
		{name: "TIME", width: 8, value: (*Text).time},
		{name: "SCOPE", width: 9, value: (*Text).scope},
		{name: "VICTIM", width: 19, value: func(t *Text, r *oom.Record) string { return t.victim(r, 19) }},
		{name: "RSS", width: 5, right: true, value: func(_ *Text, r *oom.Record) string { return resident(victimOf(r)) }},
		{name: "SWAP", width: 5, right: true, value: func(_ *Text, r *oom.Record) string { return shortOpt(victimOf(r).SwapBytes) }},
		{name: "LIMIT HIT", width: 21, value: (*Text).limit},
		{name: "INVOKED BY", width: 16, value: func(t *Text, r *oom.Record) string { return t.trigger(r, 16) }},
		{name: "OWNER", width: ownerWidth, left: true, value: func(t *Text, r *oom.Record) string { return t.clean(owner(r)) }},
	}
}

// Write writes one record: a line, and below it what explains it.
func (t *Text) Write(rec *oom.Record) error {
	t.buf = t.buf[:0]
	headed := t.headed
	switch rec.Kind {
	case oom.KindExit:
		t.exit(rec)
	case oom.KindLost:
		t.line(fmt.Sprintf("%s  lost: %s %s", t.time(rec), number(rec.Lost, "some"), lostWhat(rec.LostKind)))
	case oom.KindSigkill:
		if rec.Incident != "" {
			t.diedWith(rec)
		} else {
			t.kill(rec)
		}
	default:
		t.with.remember(rec, t.victim(rec, 40))
		t.kill(rec)
	}
	if t.opts.ASCII {
		t.buf = append(t.buf[:0], asASCII(string(t.buf))...)
	}
	err := writeLine(t.w, t.buf)
	if err != nil {
		t.headed = headed // it was not written either
	}
	return err
}

func (t *Text) kill(rec *oom.Record) {
	if !t.headed {
		t.headed = true
		t.cells(func(c column) string { return c.name }, bold)
	}
	t.cells(func(c column) string { return c.value(t, rec) }, "")
	t.rest(rec)
	if rec.Why != nil && !t.opts.NoWhy {
		t.below("why", t.clean(rec.Why.Summary), yellow)
	}
	if rec.Incomplete.Value {
		t.below("note", "the log holds only part of this report: what is missing is left out", dim)
	}
	t.grew(rec)
	t.holds(rec)
	if t.opts.Wide {
		t.wide(rec)
	}
}

// shown is how many of the columns fit the width.
func (t *Text) shown() int {
	used := -2
	all := columns()
	for i, c := range all {
		if used += 2 + c.width; used > t.opts.Width {
			return i
		}
	}
	return len(all)
}

// cells writes one aligned line.
func (t *Text) cells(text func(column) string, style string) {
	var b strings.Builder
	all := columns()
	shown := all[:t.shown()]
	for i, c := range shown {
		s := text(c)
		if c.left {
			s = cutLeft(s, c.width)
		} else {
			s = cutRight(s, c.width)
		}
		pad := strings.Repeat(" ", c.width-width(s))
		if c.right {
			s = pad + s
		} else if i < len(shown)-1 {
			s += pad
		}
		if i > 0 {
			b.WriteString("  ")
		}
		b.WriteString(s)
	}
	t.styled(strings.TrimRight(b.String(), " "), style)
}

// rest writes the columns that did not fit, and an owner that its column has no room
// for.
func (t *Text) rest(rec *oom.Record) {
	all := columns()
	for i := t.shown(); i < len(all)-1; i++ {
		if s := all[i].value(t, rec); s != "-" {
			t.below(strings.ToLower(all[i].name), s, "")
		}
	}
	if name := t.clean(owner(rec)); name != "-" && (width(name) > ownerWidth || t.shown() < len(all)) {
		if name[0] == '/' { // nothing bounds a path's length, and its end says the most
			name = cutLeft(name, t.opts.Width-len(indent)-len("owner: "))
		}
		t.below("owner", name, "")
	}
}

const (
	bold   = "\x1b[1m"
	yellow = "\x1b[33m"
	dim    = "\x1b[2m"
	reset  = "\x1b[0m"
)

func (t *Text) styled(s, style string) {
	if t.opts.Color && style != "" {
		s = style + s + reset
	}
	t.line(s)
}

func (t *Text) clean(s string) string { return clean(s, t.opts.ASCII) }

func (t *Text) line(s string) {
	t.buf = append(append(t.buf, strings.TrimRight(s, " ")...), '\n')
}

// indent is where the lines below a kill start: under SCOPE.
const indent = "          "

// below writes "name: text" below the kill, on as many lines as it takes.
func (t *Text) below(name, text, style string) { t.block(name+": ", text, style) }

// block writes text behind a head, with as much room before the lines that follow.
func (t *Text) block(head, text, style string) {
	for _, part := range wrap(text, t.opts.Width-len(indent)-len(head)) {
		t.styled(indent+head+part, style)
		head = strings.Repeat(" ", len(head))
	}
}

// wrap breaks text at blanks into lines of at most n columns, and what has none
// anywhere.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && width(line)+1+width(word) <= n {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		line = word
		for part, rest := splitAt(line, n); rest != ""; part, rest = splitAt(line, n) {
			lines, line = append(lines, part), rest
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

func (t *Text) time(r *oom.Record) string {
	if !r.Time.IsZero() {
		return r.Time.In(t.opts.Location).Format(time.TimeOnly)
	}
	if ns, ok := r.UptimeNS.Get(); ok {
		return "+" + strconv.FormatUint(ns/1e9, 10)
	}
	return "-"
}

func (t *Text) scope(r *oom.Record) string {
	switch {
	case r.Kind == oom.KindSigkill:
		return "sigkill"
	case r.Sysrq.Value:
		return "sysrq"
	case r.Scope == "":
		return "-"
	}
	return t.clean(string(r.Scope))
}

// victim names the victim in n columns.
func (t *Text) victim(r *oom.Record, n int) string {
	switch {
	case r.Kind == oom.KindNoVictim:
		return "none"
	case r.Kind == oom.KindPanic:
		return "none: kernel panic"
	case r.Kind == oom.KindOOM && r.Victim == nil:
		return "not in the log"
	case r.Victim == nil:
		return "-"
	}
	pid := pidOf(r.Victim)
	const exiting = " exiting"
	if r.Kind == oom.KindAlreadyExiting {
		return t.named(r.Victim.Comm, pid, n-len(exiting)) + exiting
	}
	return t.named(r.Victim.Comm, pid, n)
}

// named is a name and a process id in n columns. It is the name that is cut: a
// number without its end is another number.
func (t *Text) named(comm string, pid oom.Opt[int32], n int) string {
	id := ""
	if pid.Known {
		id = " " + strconv.Itoa(int(pid.Value))
	}
	return cutRight(t.clean(cmp.Or(comm, "?")), n-len(id)) + id
}

// pidOf is the victim's process, or at least the thread that was marked.
func pidOf(v *oom.Victim) oom.Opt[int32] { return cmp.Or(v.PID, v.TID) }

// victimOf is the victim, of which nothing is known where there is none.
func victimOf(r *oom.Record) *oom.Victim {
	if r.Victim == nil {
		return new(oom.Victim)
	}
	return r.Victim
}

// resident is a victim's memory; of a log's line that is cut behind a part of it, at least that.
func resident(v *oom.Victim) string {
	least := v.AnonRSSBytes.Value + v.FileRSSBytes.Value + v.ShmemRSSBytes.Value
	if v.RSSBytes.Known || least == 0 {
		return shortOpt(v.RSSBytes)
	}
	return short(least) + "+"
}

func (t *Text) limit(r *oom.Record) string {
	l := r.Limit
	if l == nil {
		return "-"
	}
	what := t.clean(cmp.Or(string(l.Level), "cgroup"))
	most := l.MaxBytes
	switch {
	case most.Known && l.UsageBytes.Known && full(l.UsageBytes.Value, most.Value):
		return what + " " + short(most.Value) + " (full)"
	case most.Known:
		return what + " " + short(most.Value)
	}
	return what
}

// full allows for the pages that CPUs have charged ahead: 2 % are near enough.
func full(usage, most uint64) bool { return usage >= most || most-usage <= usage/50 }

// trigger names the process that invoked the OOM killer, or that sent the signal.
func (t *Text) trigger(r *oom.Record, n int) string {
	if s := r.Sender; s != nil {
		return t.named(s.Comm, s.PID, n)
	}
	if r.Trigger == nil {
		return "-"
	}
	return t.named(r.Trigger.Comm, r.Trigger.PID, n)
}

func (t *Text) exit(r *oom.Record) {
	if r.Victim == nil || r.Exit == nil {
		return
	}
	s := t.time(r) + "  " + t.victim(r, 40) + " exited"
	if r.Exit.AfterNS.Known {
		s += " after " + duration(r.Exit.AfterNS.Value)
	}
	switch {
	case r.Exit.Reaped.Value:
		s += ", memory reaped"
	case r.Exit.ReaperGaveUp.Value:
		s += ", the OOM reaper gave up"
	}
	switch n := len(r.Exit.SharedMM); {
	case n == 1:
		s += "; another process sharing its memory also died"
	case n > 1:
		s += fmt.Sprintf("; %d other processes sharing its memory also died", n)
	}
	t.styled(cutRight(s, t.opts.Width), dim)
}

// lostWhat names what a lost record stands for.
func lostWhat(kind oom.LostKind) string {
	switch kind {
	case oom.LostKill:
		return "records of kills"
	case oom.LostNoVictim:
		return "records of OOMs without a victim"
	case oom.LostExit:
		return "records of victims' exits"
	case oom.LostUnreadable:
		return "records of another version"
	case oom.LostSigkill:
		return "records of SIGKILLs"
	case oom.LostLogLines:
		return "lines of the kernel log"
	}
	return "records"
}
