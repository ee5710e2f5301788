package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// ListOptions say how a list looks. The zero value is plain text of Columns columns, in
// local time.
type ListOptions struct {
	// Width is the terminal's; 0 is Columns.
	Width int
	// Color uses the terminal's colours.
	Color bool
	// ASCII writes ASCII characters alone, for a locale that is not UTF-8.
	ASCII bool
	// Location is the time zone; nil means the local one.
	Location *time.Location
}

// List writes a line for each record, with what one is called by: its id and its process.
type List struct {
	w      io.Writer
	opts   ListOptions
	headed bool
}

// NewList returns a List that writes to w.
func NewList(w io.Writer, opts ListOptions) *List {
	opts.Location, opts.Width = cmp.Or(opts.Location, time.Local), cmp.Or(opts.Width, Columns)
	return &List{w: w, opts: opts}
}

// The widths of columns that are the same at any terminal's; the cause and the owner share
// what is left. On a narrow one the limit goes first, then the resident size, then the year
// and the seconds.
const (
	listTime, listShortTime, listID, listPID, listComm, listSize = 19, 11, 8, 7, 15, 5
	listBlank                                                    = 2
	minOwner, minCause, maxCause, goodOwner                      = 12, 10, 20, 24
)

// Write writes a line. An exit has none: it goes with its kill.
func (l *List) Write(rec *oom.Record) error {
	if rec.Kind == oom.KindExit {
		return nil
	}
	var b strings.Builder
	if !l.headed {
		l.headed = true
		head := l.row("TIME", "ID", "PID", "COMM", "RSS", "LIMIT", "CAUSE", "OWNER")
		if l.opts.Color {
			head = bold + head + reset
		}
		b.WriteString(head + "\n")
	}
	b.WriteString(l.record(rec) + "\n")
	line := b.String()
	if l.opts.ASCII {
		line = asASCII(line)
	}
	return writeLine(l.w, []byte(line))
}

func (l *List) record(rec *oom.Record) string {
	clean := func(s string) string { return clean(s, l.opts.ASCII) }
	pid, comm, rss, limit, cause := "-", "-", "-", "-", string(rec.Kind)
	if v := rec.Victim; v != nil {
		pid, comm, rss = number(pidOf(v), "-"), clean(v.Comm), resident(v)
	}
	if rec.Limit != nil {
		limit = shortOpt(rec.Limit.MaxBytes)
	}
	switch {
	case rec.Kind == oom.KindLost:
		cause = number(rec.Lost, "some") + " lost"
	case rec.Why != nil && rec.Why.Verdict != "":
		cause = rec.Why.Verdict
	}
	who := owner(rec)
	if who == "-" && rec.Limit != nil && rec.Limit.Cgroup != "" {
		who = rec.Limit.Cgroup
	}
	return l.row(l.time(rec), clean(rec.ID), pid, comm, rss, limit, clean(cause), clean(who))
}

// narrow says that a terminal has no room for a whole date.
func (l *List) narrow() bool {
	return l.opts.Width < listTime+listID+listPID+listComm+4*listBlank+minOwner
}

func (l *List) time(rec *oom.Record) string {
	if !rec.Time.IsZero() {
		layout := time.DateTime
		if l.narrow() {
			layout = "01-02 15:04"
		}
		return rec.Time.In(l.opts.Location).Format(layout)
	}
	if ns, ok := rec.UptimeNS.Get(); ok {
		return fmt.Sprintf("+%d.%03d s", ns/1e9, ns%1e9/1e6)
	}
	return "-"
}

func (l *List) row(at, id, pid, comm, rss, limit, cause, who string) string {
	left := func(s string, n int) string { return pad(cutRight(s, n), n) }
	right := func(s string, n int) string { return strings.Repeat(" ", max(0, n-width(s))) + cutRight(s, n) }
	timeWidth, commWidth := listTime, listComm
	if l.narrow() {
		timeWidth, commWidth = listShortTime, listComm-3
	}
	begin, _ := splitAt(id, listID)
	cells := []string{left(at, timeWidth), pad(begin, listID), right(pid, listPID), left(comm, commWidth)}
	room := l.opts.Width - timeWidth - listID - listPID - commWidth - 4*listBlank
	for _, size := range []string{rss, limit} {
		if room-listSize-listBlank >= minOwner {
			cells = append(cells, right(size, listSize))
			room -= listSize + listBlank
		}
	}
	if n := min(maxCause, max(minCause, room-listBlank-goodOwner)); room >= n+listBlank+minOwner {
		cells = append(cells, left(cause, n))
		room -= n + listBlank
	}
	return strings.TrimRight(strings.Join(append(cells, cutLeft(who, max(room, 1))), "  "), " ")
}
