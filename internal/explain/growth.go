package explain

import (
	"cmp"
	"math"
	"slices"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// The shapes of growth. Times are seconds before the kill. Points are dense near the
// kill and sparse far from it, so that nothing here counts points.
const (
	flatGrowth   = 0.05 // of what is held: less is no growth
	swing        = 0.25 // of the range: a fall that is more than noise
	burstSeconds = 120  // the last three quarters of the growth took at most so long,
	burstShare   = 0.2  // and at most this part of the time recorded
	fullSeconds  = 60   // at 95 % of the limit for so long is long
	leakSeconds  = 60   // a steady growth of less is too short to be called a leak
	startSeconds = 3600 // from next to nothing to full within it, it is a start
	straight     = 0.15 // of the growth: how far a steady one is off its straight line
	sawShare     = 0.3  // of the time recorded: a rise after one fall that took less is one of several
	bent         = 0.08 // of the growth: how far one in steps is off it at least
	stepFlat     = 0.06 // of the time of the growth: a level that was held
	stepSpread   = 0.04 // of the growth: within it, a level is held
	shortBefore  = 5    // seconds before a burst: less says nothing of what was usual
	shortSteps   = 10   // seconds of steps: in less, all growth is uneven
	stepHeld     = 0.1  // of the time of the growth: all levels together
)

// curve is memory over time, oldest first.
type curve []point

type point struct{ ago, bytes float64 }

// growth is what a curve shows.
type growth struct {
	code     string
	from, to float64
	seconds  float64 // that the growth took, or that the limit was full
	lo, hi   float64 // of the time before a burst, or of a sawtooth
	before   float64 // how long that was
	steps    int
	short    bool // too short a time to be sure
}

// curveOf are the points in order, without those that cannot be.
func curveOf(points []oom.HistoryPoint) curve {
	var c curve
	for _, p := range points {
		c = append(c, point{float64(p.AgoNS) / 1e9, float64(p.Bytes)})
	}
	slices.SortStableFunc(c, func(a, b point) int { return cmp.Compare(b.ago, a.ago) })
	return c
}

func (c curve) span() float64 { return c[0].ago - c[len(c)-1].ago }

func (c curve) bounds() (lo, hi float64) {
	lo, hi = math.Inf(1), 0
	for _, p := range c {
		lo, hi = min(lo, p.bytes), max(hi, p.bytes)
	}
	return lo, hi
}

func (c curve) spread() float64 {
	lo, hi := c.bounds()
	return hi - lo
}

// reached is how long ago the curve rose above a level for the last time.
func (c curve) reached(level float64) float64 {
	for i := len(c) - 1; i >= 0; i-- {
		if c[i].bytes >= level {
			continue
		}
		if i == len(c)-1 {
			return 0
		}
		a, b := c[i], c[i+1]
		return a.ago - (a.ago-b.ago)*(level-a.bytes)/(b.bytes-a.bytes)
	}
	return c[0].ago
}

// onset is the growth from a level on. Far back it may have begun anywhere between two
// points: it did where the rest of it, drawn as a line, comes from.
func (c curve) onset(from, above float64) curve {
	i, end := len(c)-1, c[len(c)-1]
	for i > 1 && c[i-1].bytes >= from+above {
		i--
	}
	first := c[i]
	slope := (end.bytes - first.bytes) / max(first.ago-end.ago, 1e-9)
	began := min(first.ago+max(first.bytes-from, 0)/max(slope, 1e-9), c[i-1].ago)
	return append(curve{{began, from}}, c[i:]...)
}

// since is the part of the curve from a time on, with the point before it.
func (c curve) since(ago float64) curve {
	for i := range c {
		if c[i].ago <= ago {
			return c[max(i-1, 0):]
		}
	}
	return c[len(c)-1:]
}

// lastRise cuts the curve at its last fall of a quarter of its range or more, and
// says how many there were.
func (c curve) lastRise() (rise curve, falls int) {
	lo, hi := c.bounds()
	least := max(swing*(hi-lo), flatGrowth*hi)
	top, bottom, from, falling := c[0].bytes, c[0].bytes, 0, false
	for i, p := range c {
		switch {
		case falling && p.bytes <= bottom:
			bottom, from = p.bytes, i
		case falling && p.bytes >= bottom+least:
			falling, top = false, p.bytes
		case !falling && p.bytes > top:
			top = p.bytes
		case !falling && p.bytes <= top-least:
			falling, bottom, from = true, p.bytes, i
			falls++
		}
	}
	return c[from:], falls
}

// shapeOf classifies a curve. limit is 0 where there is none.
func shapeOf(c curve, limit float64) growth {
	if len(c) < 4 || c.span() <= 0 {
		return growth{}
	}
	lo, hi := c.bounds()
	rise, falls := c.lastRise()
	if falls >= 2 {
		return growth{code: codeGrewSawtooth, lo: lo, hi: hi, seconds: c.span(), steps: falls}
	}
	whole := c
	if c = rise; len(c) < 4 || c.span() <= 0 {
		return growth{}
	}
	g := growth{from: c[0].bytes, to: c[len(c)-1].bytes}
	if full := c.fullFor(limit); full > 0 {
		g.code, g.seconds = codeFullForLong, full
		return g
	}
	grew := g.to - g.from
	if grew < flatGrowth*g.to {
		return growth{}
	}
	level := func(part float64) float64 { return c.reached(g.from + part*grew) }
	if last := level(0.25); last <= burstSeconds && last <= burstShare*c.span() {
		g.code, g.seconds = codeGrewBurst, level(0.1)
		if g.before = c[0].ago - g.seconds; g.before < shortBefore {
			return growth{}
		}
		g.lo, g.hi = c.before(g.seconds).bounds()
		return g
	}
	phase := c.onset(g.from, 0.05*grew)
	start, off := phase[0].ago, phase.bend()
	if before := whole.before(c[0].ago); falls > 0 && start < sawShare*whole.span() && before.spread() >= swing/2*(hi-lo) {
		return growth{code: codeGrewSawtooth, lo: lo, hi: hi, seconds: whole.span(), steps: falls}
	}
	g.seconds = start
	if n := c.levels(grew); n >= 2 && off > bent*grew && start >= shortSteps {
		g.code, g.steps = codeGrewSteps, n
		return g
	}
	if off > straight*grew {
		return growth{}
	}
	g.code, g.short, g.steps = codeGrewLeak, start < leakSeconds, falls
	if g.from <= 0.1*g.to && start >= 0.8*c.span() && start < startSeconds {
		g.code = codeGrewNew
	}
	return g
}

// before is the part of the curve up to a time.
func (c curve) before(ago float64) curve {
	n := 1
	for n < len(c) && c[n].ago > ago {
		n++
	}
	return c[:n]
}

// fullFor is how long the limit had been full, or 0 where the curve still grew as it
// had before: a slow leak takes long for its last 5 % too.
func (c curve) fullFor(limit float64) float64 {
	if limit <= 0 || c[len(c)-1].bytes < 0.95*limit {
		return 0
	}
	full := c.reached(0.95 * limit)
	if full < fullSeconds {
		return 0
	}
	grew := c[len(c)-1].bytes - c[0].bytes
	if grew < flatGrowth*limit && full >= c[0].ago {
		return full
	}
	fastest := 0.5 * grew / max(c.reached(c[0].bytes+0.25*grew)-c.reached(c[0].bytes+0.75*grew), 1e-9)
	window := c.since(0.67 * full)
	late := (window[len(window)-1].bytes - window[0].bytes) / max(window.span(), 1e-9)
	if late > 0.35*fastest {
		return 0
	}
	return full
}

// levels counts the levels above the first point that were held for a while, one above
// the other, and the end where it lies above them, if they take a fifth of the time: those
// long ago fall between two points.
func (c curve) levels(grew float64) (n int) {
	held, last := 0.0, c[0].bytes
	for i := 0; i < len(c); {
		j, lo, hi := i, c[i].bytes, c[i].bytes
		for j+1 < len(c) {
			nextLo, nextHi := min(lo, c[j+1].bytes), max(hi, c[j+1].bytes)
			if nextHi-nextLo > stepSpread*grew {
				break
			}
			j, lo, hi = j+1, nextLo, nextHi
		}
		if long := c[i].ago - c[j].ago; j > i && long >= stepFlat*c[0].ago {
			if lo > last+2*stepSpread*grew {
				n++
			}
			held, last = held+long, hi
		}
		i = max(j, i+1)
	}
	if held < stepHeld*c[0].ago {
		return 0
	}
	if c[len(c)-1].bytes > last+2*stepSpread*grew {
		n++
	}
	return n
}

// bend is how far the curve is off the line from its first point to its last.
func (c curve) bend() (most float64) {
	a, b := c[0], c[len(c)-1]
	for _, p := range c {
		line := a.bytes + (b.bytes-a.bytes)*(a.ago-p.ago)/max(a.ago-b.ago, 1e-9)
		most = max(most, math.Abs(p.bytes-line))
	}
	return most
}

// grew says how the memory came to be used up: that of the cgroup at its limit, or
// the machine's.
func (e *explanation) grew() {
	c, limit, h := e.machineCurve(), 0.0, orEmpty(e.rec.History)
	if e.cgroup {
		c, limit = curveOf(h.Points), float64(e.max.Value)
	}
	g := shapeOf(c, limit)
	if g.code == codeFullForLong {
		g.seconds = min(max(g.seconds, float64(h.NearLimitNS.Value)/1e9), e.sinceLowered())
		if g.seconds < fullSeconds || e.cause() == codeLimitLowered {
			return
		}
	}
	if text := g.text(limit); text != "" {
		e.add(finding{code: g.code, text: text, aside: text})
	}
	e.newProcess(g, h.Growers)
}

// sinceLowered is how long the limit has been what it is, in seconds: without end where
// it was not lowered.
func (e *explanation) sinceLowered() float64 {
	if c := e.limit.Changed; c != nil && c.FromBytes.Known && c.AgoNS.Known {
		return float64(c.AgoNS.Value) / 1e9
	}
	return math.Inf(1)
}

// machineCurve is what the machine's memory and swap held that is not dropped: anonymous
// memory, slab and swap in use.
func (e *explanation) machineCurve() curve {
	if e.cgroup || e.memory.History == nil {
		return nil
	}
	var points []oom.HistoryPoint
	for _, p := range e.memory.History.Points {
		used := add(p.AnonBytes.Value, p.SlabUnreclaimableBytes.Value)
		if !p.AnonBytes.Known {
			continue
		}
		if p.SwapFreeBytes.Known && e.swapTotal.Known {
			used = add(used, sub(e.swapTotal.Value, p.SwapFreeBytes.Value))
		}
		points = append(points, oom.HistoryPoint{AgoNS: p.AgoNS, Bytes: used})
	}
	return curveOf(points)
}

func (g growth) text(limit float64) string {
	size := func(v float64) string { return sizeText(uint64(max(v, 0))) }
	span := func(s float64) string { return spanText(uint64(s * 1e9)) }
	to := size(g.to)
	if limit > 0 && g.to >= 0.95*limit {
		to = "the limit"
	}
	switch g.code {
	case codeGrewBurst:
		return sprintf("grew from %s to %s in %s, a burst: the %s before it was flat at %s to %s", size(g.from), to, span(g.seconds),
			span(g.before), size(g.lo), size(g.hi))
	case codeGrewLeak:
		rate := rateText((g.to - g.from) / g.seconds)
		if g.short {
			return sprintf("grew steadily from %s to %s, %s; %s is too short to call it a leak", size(g.from), to, rate, span(g.seconds))
		}
		return sprintf("grew steadily from %s to %s, %s for %s, a leak", size(g.from), to, rate, span(g.seconds))
	case codeGrewSteps:
		return sprintf("grew in steps from %s to %s in %s", size(g.from), to, span(g.seconds))
	case codeGrewSawtooth:
		return sprintf("rose and fell between %s and %s for %s; the last rise met %s", size(g.lo), size(g.hi), span(g.seconds),
			cmp.Or(when(limit > 0, "the limit"), "the end"))
	case codeGrewNew:
		return sprintf("grew from %s to %s in %s, all that is recorded%s: a start, or a leak from the start", size(g.from), to, span(g.seconds),
			when(g.steps > 0, " since it fell"))
	case codeFullForLong:
		return sprintf("the limit had been full (95 %% or more) for %s", span(g.seconds))
	}
	return ""
}

// rateText is a growth by the unit of time that makes it a plain number.
func rateText(perSecond float64) string {
	rate := func(v float64, unit string) string { return "+" + sizeText(uint64(v)) + "/" + unit }
	switch {
	case perSecond >= 1<<20:
		return rate(perSecond, "s")
	case perSecond*60 >= 1<<20:
		return rate(perSecond*60, "min")
	}
	return rate(perSecond*3600, "h")
}

// newProcess names a process that began within the growth and charged half of it.
func (e *explanation) newProcess(g growth, growers []oom.Grower) {
	if !e.cgroup || g.code == "" || g.to <= g.from || e.rec.Time.IsZero() || e.has(codeGrewNew) {
		return
	}
	for i := range growers {
		p := &growers[i]
		age := e.rec.Time.Sub(p.StartTime)
		if p.StartTime.IsZero() || age < 0 || age.Seconds() > 1.5*g.seconds+1 || float64(p.ChargedBytes.Value) < 0.5*(g.to-g.from) {
			continue
		}
		who := process(p.PID, p.Comm) + when(p.Exited.Or(false), ", which has exited,")
		text := sprintf("%s charged %s; it had started %s before", who, sizeText(p.ChargedBytes.Value), spanText(uint64(age)))
		e.add(finding{code: codeGrewNew, text: text, aside: text})
		return
	}
}
