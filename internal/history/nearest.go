package history

import (
	"cmp"
	"slices"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// Near is a cgroup on its way to its limit.
type Near struct {
	Cgroup               string
	UsageBytes, MaxBytes uint64
	// Seconds is when it reaches the limit at the rate of the last minutes.
	Seconds float64
}

// nearSpan is the time over which the rate is taken, at least nearLeast of it.
const (
	nearSpan  = 5 * 60 * 1e9
	nearLeast = 30 * 1e9
)

// Nearest gives the cgroups that reach their limit soonest if they grow on as in the
// last minutes, at most n. One that does not grow is none of them.
func (r *Recorder) Nearest(n int) []Near {
	if r.tree == nil {
		return nil
	}
	now := host.BootNS()
	r.tree.mu.Lock()
	defer r.tree.mu.Unlock()
	var out []Near
	for _, c := range r.tree.order {
		if c.gone != 0 || c.max == unlimited || c.lastAt == 0 {
			continue
		}
		if seconds, ok := timeToLimit(c, now); ok {
			out = append(out, Near{Cgroup: c.path, UsageBytes: c.last, MaxBytes: c.max, Seconds: seconds})
		}
	}
	slices.SortFunc(out, func(a, b Near) int {
		return cmp.Or(cmp.Compare(a.Seconds, b.Seconds), cmp.Compare(a.Cgroup, b.Cgroup))
	})
	return out[:min(n, len(out))]
}

func timeToLimit(c *node, now uint64) (seconds float64, ok bool) {
	var points []oom.HistoryPoint
	for _, p := range historyPoints(c.usageAt.before(now), now) {
		if p.AgoNS <= nearSpan {
			points = append(points, p)
		}
	}
	last, _ := ago(c.lastAt, now)
	if len(points) == 0 || points[0].AgoNS-min(last, points[0].AgoNS) < nearLeast || c.last <= points[0].Bytes {
		return 0, false
	}
	rate := float64(c.last-points[0].Bytes) / (float64(points[0].AgoNS-last) / 1e9)
	return float64(c.max-min(c.last, c.max)) / rate, true
}
