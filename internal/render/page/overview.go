package page

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// overview is what several kills have in common.
type overview struct {
	Counts   []fact
	From, To string
	Lanes    []lane
	Verdicts []legend
	Note     string
}

// lane is one owner's kills over time.
type lane struct {
	Owner string
	Own   bool // no owner's name, but words of the page's own
	Count int
	Bars  []tick
	Desc  string
}

// tick is a part of a lane's column.
type tick struct {
	Class, Title string
	X, W         string
	Y, H         string
}

const (
	maxLanes    = 12
	maxVerdicts = 7
	bins        = 100
	laneHeight  = 26
)

func (p *Page) overview(kills []*kill) *overview {
	o := &overview{}
	classes := o.verdicts(kills)
	o.counts(kills)
	at, from, to, unit := clock(kills)
	if at == nil {
		o.Note = "The records have no common clock."
		return o
	}
	o.From, o.To = p.stamp(from, unit), p.stamp(to, unit)
	undated := 0
	byOwner := map[string][]*kill{}
	for _, k := range kills {
		if _, ok := at(k); !ok {
			undated++
			continue
		}
		byOwner[k.laneName()] = append(byOwner[k.laneName()], k)
	}
	names := slices.SortedFunc(maps.Keys(byOwner), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(byOwner[b]), len(byOwner[a])), cmp.Compare(a, b))
	})
	draw := func(name string, own bool, kills []*kill) {
		o.Lanes = append(o.Lanes, drawLane(name, kills, classes, at, from, to))
		o.Lanes[len(o.Lanes)-1].Own = own
	}
	var others []*kill
	for i, n := range names {
		switch {
		case len(names) > maxLanes && i >= maxLanes-1:
			others = append(others, byOwner[n]...)
		case n == "":
			draw("no owner known", true, byOwner[n])
		default:
			draw(n, false, byOwner[n])
		}
	}
	if len(others) > 0 {
		draw(fmt.Sprintf("%d others", len(names)-maxLanes+1), true, others)
	}
	if undated > 0 {
		o.Note = fmt.Sprintf("%d without a time are not in the picture.", undated)
	}
	return o
}

// laneName is the owner without the container's name, so that a pod has one lane.
func (k *kill) laneName() string {
	if v := k.rec.Victim; v != nil && v.Pod != nil && v.Pod.Name != "" {
		return visible((&oom.Owner{Pod: &oom.Pod{Namespace: v.Pod.Namespace, Name: v.Pod.Name}}).Name())
	}
	return k.Owner
}

func (o *overview) counts(kills []*kill) {
	kinds, nodes, owners := map[string]int{}, map[string]bool{}, map[string]bool{}
	var l list
	for _, k := range kills {
		kinds[string(k.rec.Kind)]++
		nodes[k.rec.Node] = true
		owners[k.laneName()] = true
	}
	delete(nodes, "")
	delete(owners, "")
	for _, kind := range []struct{ kind, name string }{
		{"kill", "Kills"}, {"already_exiting", "Marked while exiting"}, {"no_victim", "Without a victim"}, {"oom", "Cut reports"},
		{"panic", "Panics"}, {"sigkill", "Other SIGKILLs"},
	} {
		if n := kinds[kind.kind]; n > 0 {
			l.text(kind.name, fmt.Sprint(n))
		}
	}
	if len(nodes) > 1 {
		l.text("Nodes", fmt.Sprint(len(nodes)))
	}
	if len(owners) > 1 {
		l.text("Owners", fmt.Sprint(len(owners)))
	}
	o.Counts = l
}

// verdicts gives the most frequent verdicts a colour each.
func (o *overview) verdicts(kills []*kill) map[string]string {
	count := map[string]int{}
	for _, k := range kills {
		count[k.verdictName()]++
	}
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b)) })
	classes := map[string]string{}
	others := 0
	for i, n := range names {
		if i >= maxVerdicts && len(names) > maxVerdicts+1 {
			classes[n] = "v-other"
			others += count[n]
			continue
		}
		classes[n] = fmt.Sprintf("c%d", i)
		o.Verdicts = append(o.Verdicts, legend{classes[n], n, template.HTML(fmt.Sprint(count[n]))}) //nolint:gosec // a number
	}
	if others > 0 {
		o.Verdicts = append(o.Verdicts, legend{"v-other", "others", template.HTML(fmt.Sprint(others))}) //nolint:gosec // a number
	}
	return classes
}

func (k *kill) verdictName() string { return cmp.Or(k.Verdict, "no verdict") }

// clock finds what places the kills on one axis: the wall clock, or the time since boot
// where no record has one.
func clock(kills []*kill) (at func(*kill) (int64, bool), from, to int64, unit string) {
	wall := func(k *kill) (int64, bool) {
		const first, last = 1678, 2261 // that fit into nanoseconds since 1970
		return k.rec.Time.UnixNano(), !k.rec.Time.IsZero() && k.rec.Time.Year() >= first && k.rec.Time.Year() <= last
	}
	boot := func(k *kill) (int64, bool) { return int64(min(k.rec.UptimeNS.Value, 1<<62)), k.rec.UptimeNS.Known }
	for _, c := range []struct {
		at   func(*kill) (int64, bool)
		unit string
	}{{wall, "wall"}, {boot, "boot"}} {
		n := 0
		for _, k := range kills {
			v, ok := c.at(k)
			if !ok {
				continue
			}
			if n == 0 || v < from {
				from = v
			}
			if n == 0 || v > to {
				to = v
			}
			n++
		}
		if n > 0 {
			return c.at, from, to, c.unit
		}
	}
	return nil, 0, 0, ""
}

func (p *Page) stamp(v int64, unit string) string {
	if unit == "boot" {
		return span(uint64(v)) + " after boot"
	}
	return time.Unix(0, v).In(p.opts.Location).Format("2006-01-02 15:04")
}

func drawLane(name string, kills []*kill, classes map[string]string, at func(*kill) (int64, bool), from, to int64) lane {
	l := lane{Owner: name, Count: len(kills)}
	var columns [bins]map[string]int
	var sums [bins]int
	most := 1
	count := map[string]int{}
	for _, k := range kills {
		v, _ := at(k)
		bin := bins / 2
		if to > from {
			bin = min(int((float64(v)-float64(from))/(float64(to)-float64(from))*bins), bins-1)
		}
		if columns[bin] == nil {
			columns[bin] = map[string]int{}
		}
		columns[bin][k.verdictName()]++
		count[k.verdictName()]++
		sums[bin]++
		most = max(most, sums[bin])
	}
	for i, column := range columns {
		y := float64(laneHeight)
		for _, n := range slices.Sorted(maps.Keys(column)) {
			h := float64(laneHeight) * float64(column[n]) / float64(max(most, 2))
			y -= h
			l.Bars = append(l.Bars, tick{
				classes[n], fmt.Sprintf("%s: %d", n, column[n]),
				coord(100 * float64(i) / bins), coord(100.0 / bins * 0.8), coord(y), coord(h - 0.5),
			})
		}
	}
	var words []string
	for n, c := range count {
		words = append(words, fmt.Sprintf("%s %d", n, c))
	}
	slices.Sort(words)
	l.Desc = strings.Join(words, ", ")
	return l
}
