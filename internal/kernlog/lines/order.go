package lines

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

const (
	// decideLines is how many lines show at most which way a log runs.
	decideLines = 64
	// decideSteps is how many steps of the clock decide it at once.
	decideSteps = 8
	// turnLines and turnBytes bound what of a log that is newest first waits for the
	// beginning of its report.
	turnLines = 20000
	turnBytes = 8 << 20
	// nearLines is how far apart, in lines, the two of a line that was written twice are.
	nearLines = 8
	// surelyDoubled is from how many on lines that a report may have twice count too.
	surelyDoubled = 3
)

// order gives lines on, oldest first and each once. Log viewers export newest first:
// the stamps of the first lines tell, and where these are all the same, the order of a
// report's parts. Two loggers on one machine write each line twice.
type order struct {
	give  func(*Line)
	g     Grammar
	mode  orderMode
	kept  []Line
	bytes int
	kill  bool   // among the kept ones is a line that ends a report
	ready []Line // of a log that was turned, to be given on one by one
	given int    // of them

	upped, timed Line // the last ones with an uptime, and with a time only
	rises, falls int
	place        int
	placed       bool
	ups, downs   int // of a report's parts

	near [nearLines]Line

	next    int
	doubled uint64
}

type orderMode int

const (
	undecided orderMode = iota
	oldestFirst
	newestFirst
)

// holding says whether lines wait for others.
func (o *order) holding() bool {
	return o.mode == undecided && len(o.kept) > 0 || o.mode == newestFirst && o.kill
}

// push takes the next line of the log.
func (o *order) push(l *Line) {
	if !canBeWritten(l.Time) {
		l.Time = time.Time{}
	}
	if o.mode != undecided && o.again(l) {
		return
	}
	switch o.mode {
	case oldestFirst:
		o.give(l)
	case undecided:
		o.keep(l)
		o.weigh(l)
	case newestFirst:
		o.keep(l)
		header := o.g.Class(scan.SkipSpaces(l.Text)).Header
		o.kill = o.kill || !header && MayMatter(l.Text)
		if header || len(o.kept) >= turnLines || o.bytes >= turnBytes {
			o.turn()
		}
	}
}

// keep copies a line: its text is the source's.
func (o *order) keep(l *Line) {
	own := *l
	own.Text = bytes.Clone(l.Text)
	o.kept = append(o.kept, own)
	o.bytes += len(l.Text)
}

// weigh notes which way the clock and a report's parts go, and decides when that is clear.
func (o *order) weigh(l *Line) {
	o.note(l)
	if o.rises >= 2 && o.rises > o.falls || o.rises+o.falls >= decideSteps || len(o.kept) >= decideLines {
		o.decide()
	}
}

func (o *order) note(l *Line) {
	if l.Uptime.Known || !l.Time.IsZero() {
		last := &o.timed
		if l.Uptime.Known {
			last = &o.upped
		}
		if sameOrigin(last, l) {
			switch c := compareStamps(last, l); {
			case c < 0:
				o.rises++
			case c > 0:
				o.falls++
			}
		}
		*last = *l
		last.Text = nil
	}
	if len(l.Text) == 0 {
		return
	}
	c := o.g.Class(scan.SkipSpaces(l.Text))
	switch {
	case c.Place < 0:
		return
	case !o.placed:
		o.placed = true
	case c.Place > o.place:
		o.ups++
	case c.Place < o.place:
		o.downs++
	}
	o.place = c.Place
}

// compareStamps compares two stamps by the finest clock that both have; 0 where that
// does not tell.
func compareStamps(a, b *Line) int {
	switch {
	case a.Uptime.Known && b.Uptime.Known:
		return cmp.Compare(a.Uptime.Value, b.Uptime.Value)
	case !a.Time.IsZero() && !b.Time.IsZero():
		return a.Time.Compare(b.Time)
	}
	return 0
}

// sameOrigin says whether two lines can come from one boot of one machine.
func sameOrigin(a, b *Line) bool {
	return (a.BootID == "" || b.BootID == "" || a.BootID == b.BootID) && (a.Node == "" || b.Node == "" || a.Node == b.Node)
}

// decide settles which way the log runs, and gives on what was kept.
func (o *order) decide() {
	kept := o.kept
	o.kept, o.bytes, o.mode = nil, 0, oldestFirst
	down := o.downs > o.ups
	if o.falls > 4*o.rises && (o.falls >= 2 || down) || o.rises == 0 && o.falls == 0 && o.downs >= 2 && down {
		o.mode = newestFirst
	}
	for i := range kept {
		o.push(&kept[i])
	}
}

// turn makes ready what was kept, the last line first.
func (o *order) turn() {
	slices.Reverse(o.kept)
	o.ready = append(o.ready, o.kept...)
	clear(o.kept)
	o.kept, o.bytes, o.kill = o.kept[:0], 0, false
}

// giveNext gives on a line that is ready, false if there is none: what comes of each of thousands
// is to be taken before the next.
func (o *order) giveNext() bool {
	if o.given == len(o.ready) {
		o.ready, o.given = o.ready[:0], 0
		return false
	}
	o.give(&o.ready[o.given])
	o.ready[o.given] = Line{}
	o.given++
	return true
}

// flush gives on all that waits, or makes it ready: no more comes, or not for a while.
func (o *order) flush() {
	if o.mode == undecided {
		o.decide()
	}
	if len(o.kept) > 0 {
		o.turn()
	}
}

// again says whether a line is empty or was just there. A report has no line twice but
// frames, so that these count only in a log that is doubled.
func (o *order) again(l *Line) bool {
	if len(l.Text) == 0 {
		return true
	}
	for i := range o.near {
		n := &o.near[i]
		if !bytes.Equal(n.Text, l.Text) || !sameMoment(n, l) {
			continue
		}
		if last := (o.next + nearLines - 1) % nearLines; i != last && (!n.Uptime.Known || !l.Uptime.Known) {
			continue
		}
		c := o.g.Class(scan.SkipSpaces(l.Text))
		if c.Recurs && o.doubled < surelyDoubled || !c.any() && bytes.IndexByte(l.Text, '\n') < 0 {
			return false
		}
		o.doubled++
		return true
	}
	n := &o.near[o.next]
	n.Text = append(n.Text[:0], l.Text...)
	n.Uptime, n.Time, n.Caller, n.Node, n.BootID = l.Uptime, l.Time, l.Caller, l.Node, l.BootID
	o.next = (o.next + 1) % nearLines
	return false
}

// sameMoment says whether nothing in two stamps tells them apart. One of two loggers may
// leave out what the other writes.
func sameMoment(a, b *Line) bool {
	if !sameOrigin(a, b) || a.Caller != 0 && b.Caller != 0 && a.Caller != b.Caller {
		return false
	}
	if a.Uptime.Known && b.Uptime.Known {
		return a.Uptime == b.Uptime
	}
	if !a.Time.IsZero() && !b.Time.IsZero() {
		gap := a.Time.Sub(b.Time)
		if a.Time.Nanosecond() != 0 && b.Time.Nanosecond() != 0 {
			return gap == 0
		}
		return gap.Abs() < time.Second
	}
	return a.Uptime.Known == b.Uptime.Known || !a.Time.IsZero() || !b.Time.IsZero()
}
