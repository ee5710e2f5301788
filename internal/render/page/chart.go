package page

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// The plot's heights in pixels; its width is that of the page. Lines are drawn in a box
// of boxWidth units that is stretched, texts outside of it, so that they keep their size.
const (
	plotTop    = 10
	plotHeight = 200
	axisHeight = 24
	boxWidth   = 1000
)

// series is one line.
type series struct {
	name   string
	class  string
	area   bool
	points []oom.HistoryPoint
}

// mark is a horizontal line that holds from one time before the kill to another.
type mark struct {
	label          string
	bytes          uint64
	fromNS, untilN uint64
}

// chart draws sizes over the time before a kill.
type chart struct {
	Title  string
	Desc   string
	Scale  string
	SVG    template.HTML
	Legend []legend

	series []series
	marks  []mark
	spanNS uint64
	top    uint64
	log    bool
}

// legend explains one colour.
type legend struct {
	Class string
	Name  string
	Value template.HTML
}

// logFrom is the span from which the axis is logarithmic: what happened in the last
// seconds would have no width otherwise.
const logFrom = 120e9

func (c *chart) draw(title, desc string) {
	c.Title, c.Desc = visible(title), visible(desc)
	for _, s := range c.series {
		for _, p := range s.points {
			c.spanNS, c.top = max(c.spanNS, p.AgoNS), max(c.top, p.Bytes)
		}
	}
	for _, m := range c.marks {
		c.top = max(c.top, m.bytes)
	}
	c.log = c.spanNS > logFrom
	c.Scale = "linear time"
	if c.log {
		c.Scale = "logarithmic time"
	}
	c.top = min(c.top, 1<<62) // the axis has room above
	c.top = max(c.top+c.top/12, 1)
	var b, names strings.Builder
	fmt.Fprintf(&b, `<svg class="plot" width="100%%" height="%d" role="img" aria-label="%s">`, plotTop+plotHeight+axisHeight, text(title+". "+desc))
	c.grid(&b, &names)
	fmt.Fprintf(&b, `<svg x="0" y="%d" width="100%%" height="%d" viewBox="0 0 %d %d" preserveAspectRatio="none" overflow="visible" aria-hidden="true">`,
		plotTop, plotHeight, boxWidth, plotHeight)
	for _, s := range c.series {
		c.line(&b, s)
	}
	for _, m := range c.marks {
		y := c.y(m.bytes)
		fmt.Fprintf(&b, `<path class="mark" vector-effect="non-scaling-stroke" d="M%s %sH%s"/>`, coord(c.x(m.fromNS)), coord(y), coord(c.x(m.untilN)))
	}
	b.WriteString(`</svg>` + names.String())
	c.labels(&b)
	b.WriteString(`</svg>`)
	c.SVG = template.HTML(b.String()) //nolint:gosec // numbers, and what text escaped
}

// x is the place of a time in the box.
func (c *chart) x(agoNS uint64) float64 {
	if c.spanNS == 0 {
		return boxWidth
	}
	agoNS = min(agoNS, c.spanNS)
	if c.log {
		const unit = 1e9
		return boxWidth * (1 - math.Log1p(float64(agoNS)/unit)/math.Log1p(float64(c.spanNS)/unit))
	}
	return boxWidth * (1 - float64(agoNS)/float64(c.spanNS))
}

func (c *chart) y(bytes uint64) float64 {
	return plotHeight * (1 - min(float64(bytes)/float64(c.top), 1))
}

func (c *chart) line(b *strings.Builder, s series) {
	if len(s.points) == 0 {
		return
	}
	var d strings.Builder
	for i, p := range s.points {
		op := "L"
		if i == 0 {
			op = "M"
		}
		d.WriteString(op + coord(c.x(p.AgoNS)) + " " + coord(c.y(p.Bytes)))
	}
	first, last := s.points[0], s.points[len(s.points)-1]
	if s.area {
		fmt.Fprintf(b, `<path class="area %s" d="%sL%s %dL%s %dZ"/>`, s.class, d.String(), coord(c.x(last.AgoNS)), plotHeight, coord(c.x(first.AgoNS)), plotHeight)
	}
	fmt.Fprintf(b, `<path class="line %s" vector-effect="non-scaling-stroke" d="%s"/>`, s.class, d.String())
}

func coord(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
}

// grid draws sizes at round steps; their names go on top of the lines.
func (c *chart) grid(b, names *strings.Builder) {
	step := uint64(1)
	for c.top/step > 5 && step < 1<<62 {
		step *= 2
	}
	for v := uint64(0); v <= c.top && v < 1<<62; v += step {
		y := plotTop + c.y(v)
		fmt.Fprintf(b, `<line class="grid" x1="0" x2="100%%" y1="%[1]s" y2="%[1]s"/>`, coord(y))
		if v > 0 {
			fmt.Fprintf(names, `<text class="tick" x="0" y="%s">%s</text>`, coord(y-4), short(v))
		}
	}
}

// labels draws the times, the kill and the marks' names.
func (c *chart) labels(b *strings.Builder) {
	bottom := plotTop + plotHeight
	fmt.Fprintf(b, `<line class="killed-at" x1="100%%" x2="100%%" y1="0" y2="%d"/>`, bottom)
	fmt.Fprintf(b, `<text class="tick killed" x="100%%" y="%d" text-anchor="end">kill</text>`, bottom+17)
	last := float64(boxWidth - 150)
	for _, ns := range c.ticks() {
		x := c.x(ns)
		if x > last {
			continue
		}
		last = x - 180
		anchor := "middle"
		if x < 60 {
			anchor = "start"
		}
		fmt.Fprintf(b, `<line class="grid" x1="%[1]s%%" x2="%[1]s%%" y1="%[2]d" y2="%[3]d"/>`, coord(x/10), bottom, bottom+5)
		fmt.Fprintf(b, `<text class="tick" x="%s%%" y="%d" text-anchor="%s">−%s</text>`, coord(x/10), bottom+17, anchor, span(ns))
	}
	for _, m := range c.marks {
		x, anchor := c.x(m.untilN)/10, "end"
		dx := -6
		if m.untilN > 0 {
			x, anchor, dx = c.x(m.fromNS)/10, "start", 70
		}
		fmt.Fprintf(b, `<text class="tick marked" x="%s%%" dx="%d" y="%s" text-anchor="%s">%s</text>`, coord(x), dx, coord(plotTop+c.y(m.bytes)-5), anchor, text(m.label))
	}
}

// ticks are times before the kill, the latest first.
func (c *chart) ticks() []uint64 {
	const s, minute, h = uint64(1e9), uint64(60e9), uint64(3600e9)
	if c.log {
		var out []uint64
		for _, t := range [...]uint64{s, 10 * s, minute, 10 * minute, h, 6 * h, 24 * h, 168 * h} {
			if t <= c.spanNS {
				out = append(out, t)
			}
		}
		return out
	}
	step := uint64(1e5)
	for i := 0; c.spanNS/step > 5; i++ {
		step = step * [...]uint64{4, 5, 4}[i%3] / 2 // 1, 2, 5, 10
	}
	var out []uint64
	for t := step; t <= c.spanNS; t += step {
		out = append(out, t)
	}
	return out
}

// bar is one part of a horizontal bar, in percents of its width.
type bar struct {
	Class string
	Title string
	X, W  string
}

func barAt(class, title string, from, to, whole uint64) bar {
	if whole == 0 {
		return bar{class, title, "0", "0"}
	}
	x := 100 * float64(from) / float64(whole)
	w := 100 * float64(to-min(from, to)) / float64(whole)
	return bar{class, title, fmt.Sprintf("%.2f", x), fmt.Sprintf("%.2f", min(w, 100-min(x, 100)))}
}
