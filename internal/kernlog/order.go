package kernlog

import (
	"bytes"
	"slices"
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
)

// order gives lines on, oldest first and each once. Log viewers export newest first:
// the stamps of the first lines tell, and where these are all the same, the order of a
// report's parts. Two loggers on one machine write each line twice.
type order struct {
	give  func(Line)
	mode  orderMode
	kept  []Line
	bytes int
	kill  bool // among the kept ones is a line that ends a report

	last         Line // with a stamp
	rises, falls int
	place        stage
	ups, downs   int // of a report's parts

	near    [nearLines]Line
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
func (o *order) push(l Line) {
	if o.mode != undecided && o.again(&l) {
		return
	}
	switch o.mode {
	case oldestFirst:
		o.give(l)
	case undecided:
		o.keep(l)
		o.weigh(&l)
		if o.rises >= 2 && o.rises > o.falls || o.rises+o.falls >= decideSteps || len(o.kept) >= decideLines {
			o.decide()
		}
	case newestFirst:
		o.keep(l)
		header := isHeader(skipSpaces(l.Text))
		o.kill = o.kill || !header && mayAnchor(l.Text)
		if header || len(o.kept) >= turnLines || o.bytes >= turnBytes {
			o.turn()
		}
	}
}

// keep copies a line: its text is the source's.
func (o *order) keep(l Line) {
	l.Text = bytes.Clone(l.Text)
	o.kept = append(o.kept, l)
	o.bytes += len(l.Text)
}

// weigh notes which way the clock and a report's parts go.
func (o *order) weigh(l *Line) {
	if l.Uptime.Known || !l.Time.IsZero() {
		a, b := stampOf(&o.last), stampOf(l)
		if (o.last.Uptime.Known || !o.last.Time.IsZero()) && a.sameOrigin(&b) {
			switch c := compareStamps(&a, &b); {
			case c < 0:
				o.rises++
			case c > 0:
				o.falls++
			}
		}
		o.last = *l
		o.last.Text = nil
	}
	if l.Text == nil {
		return
	}
	at, ok := placeOf(skipSpaces(l.Text))
	switch {
	case !ok:
		return
	case at > o.place:
		o.ups++
	case at < o.place:
		o.downs++
	}
	o.place = at
}

// compareStamps compares two stamps by the finest clock that both have; 0 where that
// does not tell.
func compareStamps(a, b *stamp) int {
	switch {
	case a.uptime.Known && b.uptime.Known:
		return int(min(max(int64(a.uptime.Value)-int64(b.uptime.Value), -1), 1))
	case !a.time.IsZero() && !b.time.IsZero():
		return a.time.Compare(b.time)
	}
	return 0
}

// placeOf is where in a report a line stands.
func placeOf(b []byte) (stage, bool) {
	switch {
	case len(b) == 0:
		return 0, false
	case isHeader(b):
		return stageHeader, true
	case hasPrefix(b, summaryMark):
		return stageSummary, true
	case contains(b, killedMark) && contains(b, ") total-vm:"):
		return stageScore, true
	}
	switch k := classify(b); k {
	case partCPU, partMemInfo, partPages, partSwap, partHeading, partRow:
		if k == partHeading { // rows are below it
			return stageMemory, true
		}
		return stageOf(k), true
	}
	return 0, false
}

// decide settles which way the log runs, and gives on what was kept.
func (o *order) decide() {
	kept := o.kept
	o.kept, o.bytes, o.mode = nil, 0, oldestFirst
	turned := o.falls > 4*o.rises && (o.falls >= 2 || o.downs > o.ups) || o.rises == 0 && o.falls == 0 && o.downs >= 2 && o.downs > o.ups
	if turned {
		o.mode = newestFirst
	}
	for _, l := range kept {
		o.push(l)
	}
}

// turn gives on what was kept, the last line first.
func (o *order) turn() {
	for _, l := range slices.Backward(o.kept) {
		o.give(l)
	}
	clear(o.kept)
	o.kept, o.bytes, o.kill = o.kept[:0], 0, false
}

// flush gives on all that waits: no more comes, or not for a while.
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
		n := &o.near[(o.next+nearLines-1-i)%nearLines]
		if !bytes.Equal(n.Text, l.Text) || !sameMoment(n, l) || i > 0 && !(n.Uptime.Known && l.Uptime.Known) {
			continue
		}
		if _, _, isFrame := frame(skipSpaces(l.Text)); isFrame && o.doubled < 3 {
			continue
		}
		o.doubled++
		n.Text = n.Text[:0] // the third is another's
		return true
	}
	n := &o.near[o.next]
	text := append(n.Text[:0], l.Text...)
	*n = *l
	n.Text = text
	o.next = (o.next + 1) % nearLines
	return false
}

// sameMoment says whether nothing in two stamps tells them apart. One of two loggers may
// leave out what the other writes.
func sameMoment(a, b *Line) bool {
	x, y := stampOf(a), stampOf(b)
	if !x.sameOrigin(&y) || a.Caller != 0 && b.Caller != 0 && a.Caller != b.Caller {
		return false
	}
	if x.uptime.Known && y.uptime.Known {
		return x.uptime == y.uptime
	}
	if !x.time.IsZero() && !y.time.IsZero() {
		const slack = 1e9
		gap := x.time.Sub(y.time)
		if x.fine() && y.fine() {
			return gap == 0
		}
		return gap < slack && gap > -slack
	}
	return x.uptime.Known == y.uptime.Known || !x.time.IsZero() || !y.time.IsZero()
}
