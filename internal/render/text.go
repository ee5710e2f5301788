package render

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Columns is the width that a line of text keeps to.
const Columns = 120

// TextOptions says how text looks. The zero value is plain text with the
// explanations, in local time.
type TextOptions struct {
	// Wide adds the reasons, the candidates, the zones and the limits.
	Wide bool
	// NoWhy leaves the explanation out.
	NoWhy bool
	// Color uses the terminal's colours.
	Color bool
	// Location is the time zone; nil means the local one.
	Location *time.Location
}

// Text writes records for people: a line each, aligned under a header.
type Text struct {
	w      io.Writer
	opts   TextOptions
	headed bool
	buf    []byte
}

// NewText returns a Text that writes to w.
func NewText(w io.Writer, opts TextOptions) *Text {
	if opts.Location == nil {
		opts.Location = time.Local
	}
	return &Text{w: w, opts: opts}
}

// column is one column of the line: name, width, and how it is filled.
type column struct {
	name  string
	width int
	right bool
	value func(*Text, *oom.Record) string // clean
	left  bool                            // cut on the left: the end tells more
}

// columns are the line's, in order; the widths and two blanks between make
// Columns at most.
func columns() [8]column {
	return [...]column{
		{name: "TIME", width: 8, value: (*Text).time},
		{name: "SCOPE", width: 9, value: func(_ *Text, r *oom.Record) string { return scope(r) }},
		{name: "VICTIM", width: 19, value: func(_ *Text, r *oom.Record) string { return victim(r, 19) }},
		{name: "RSS", width: 5, right: true, value: func(_ *Text, r *oom.Record) string { return size(r, rss) }},
		{name: "SWAP", width: 5, right: true, value: func(_ *Text, r *oom.Record) string { return size(r, swap) }},
		{name: "LIMIT HIT", width: 21, value: func(_ *Text, r *oom.Record) string { return limit(r) }},
		{name: "ASKED BY", width: 16, value: func(_ *Text, r *oom.Record) string { return trigger(r, 16) }},
		{name: "OWNER", width: ownerWidth, left: true, value: func(_ *Text, r *oom.Record) string { return clean(owner(r)) }},
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
		t.line(fmt.Sprintf("%s  lost: %s %s could not be kept", t.time(rec), number(rec.Lost, "some"), lostWhat(rec.LostKind)))
	default:
		t.kill(rec)
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
	t.longOwner(rec)
	if rec.Why != nil && !t.opts.NoWhy {
		t.why(rec.Why)
	}
	if t.opts.Wide {
		t.wide(rec)
	}
}

// cells writes one aligned line.
func (t *Text) cells(text func(column) string, style string) {
	var b strings.Builder
	all := columns()
	for i, c := range all {
		s := text(c)
		if c.left {
			s = cutLeft(s, c.width)
		} else {
			s = cutRight(s, c.width)
		}
		pad := strings.Repeat(" ", c.width-width(s))
		if c.right {
			s = pad + s
		} else if i < len(all)-1 {
			s += pad
		}
		if i > 0 {
			b.WriteString("  ")
		}
		b.WriteString(s)
	}
	t.styled(strings.TrimRight(b.String(), " "), style)
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

func (t *Text) line(s string) {
	t.buf = append(append(t.buf, strings.TrimRight(s, " ")...), '\n')
}

// indent is where the lines below a kill start: under SCOPE.
const indent = "          "

func (t *Text) why(w *oom.Why) {
	text := "why: " + clean(w.Summary)
	for i, part := range wrap(text, Columns-len(indent)) {
		if i > 0 {
			part = "     " + part
		}
		t.styled(indent+part, yellow)
	}
}

// wrap breaks text at blanks into lines of at most n columns. The lines after
// the first are indented by five by the caller.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		room := n
		if len(lines) > 0 {
			room -= 5
		}
		switch {
		case line == "":
			line = cutRight(word, room)
		case width(line)+1+width(word) <= room:
			line += " " + word
		default:
			lines = append(lines, line)
			line = cutRight(word, n-5)
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

func scope(r *oom.Record) string {
	switch {
	case r.Sysrq.Value:
		return "sysrq"
	case r.Scope == "":
		return "-"
	}
	return clean(string(r.Scope))
}

// victim names the victim in n columns.
func victim(r *oom.Record, n int) string {
	switch {
	case r.Kind == oom.KindNoVictim:
		return "nobody"
	case r.Victim == nil:
		return "-"
	}
	pid := r.Victim.PID
	if !pid.Known {
		pid = r.Victim.TID
	}
	const exiting = " exiting"
	if r.Kind == oom.KindAlreadyExiting {
		return named(r.Victim.Comm, pid, n-len(exiting)) + exiting
	}
	return named(r.Victim.Comm, pid, n)
}

// named is a name and a process id in n columns. It is the name that is cut: a
// number without its end is another number.
func named(comm string, pid oom.Opt[int32], n int) string {
	if comm == "" {
		comm = "?"
	}
	if !pid.Known {
		return cutRight(clean(comm), n)
	}
	id := " " + strconv.Itoa(int(pid.Value))
	return cutRight(clean(comm), n-len(id)) + id
}

func rss(v *oom.Victim) oom.Opt[uint64]  { return v.RSSBytes }
func swap(v *oom.Victim) oom.Opt[uint64] { return v.SwapBytes }

func size(r *oom.Record, of func(*oom.Victim) oom.Opt[uint64]) string {
	if r.Victim == nil {
		return "-"
	}
	return shortOpt(of(r.Victim))
}

func limit(r *oom.Record) string {
	l := r.Limit
	if l == nil {
		return "-"
	}
	what := clean(string(l.Level))
	if what == "" {
		what = "cgroup"
	}
	max := l.MaxBytes
	switch {
	case max.Known && l.UsageBytes.Known && full(l.UsageBytes.Value, max.Value):
		return what + " " + short(max.Value) + " (full)"
	case max.Known:
		return what + " " + short(max.Value)
	}
	return what
}

// full allows for the pages that CPUs have charged ahead: 2 % are near enough.
func full(usage, max uint64) bool { return usage >= max || max-usage <= usage/50 }

func trigger(r *oom.Record, n int) string {
	if r.Trigger == nil {
		return "-"
	}
	return named(r.Trigger.Comm, r.Trigger.PID, n)
}

func (t *Text) exit(r *oom.Record) {
	if r.Victim == nil || r.Exit == nil {
		return
	}
	s := t.time(r) + "  " + victim(r, 40) + " gone"
	if r.Exit.AfterNS.Known {
		s += " after " + duration(r.Exit.AfterNS.Value)
	}
	switch {
	case r.Exit.Reaped.Value:
		s += ", memory reaped"
	case r.Exit.ReaperGaveUp.Value:
		s += ", the reaper gave up"
	}
	if n := len(r.Exit.SharedMM); n > 0 {
		s += fmt.Sprintf(", %d more died that shared its memory", n)
	}
	t.styled(cutRight(s, Columns), dim)
}

// lostWhat names what a lost record stands for.
func lostWhat(kind oom.LostKind) string {
	switch kind {
	case oom.LostKill:
		return "records of kills"
	case oom.LostNoVictim:
		return "records of OOMs without a victim"
	case oom.LostExit:
		return "records of victims' ends"
	case oom.LostUnreadable:
		return "records of another version"
	}
	return "records"
}
