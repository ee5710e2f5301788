package render

import (
	"math"
	"strconv"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// short is a size in at most five columns: 0, 912K, 251M, 1.7G, 24G. Binary
// units, rounded half up.
func short(bytes uint64) string {
	if bytes < 1024 {
		return strconv.FormatUint(bytes, 10)
	}
	v, unit := float64(bytes), 0
	for v >= 999.5 && unit < 6 || unit == 0 {
		v /= 1024
		unit++
	}
	digits := 0
	if v < 9.95 && unit > 2 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + "-KMGTPE"[unit:unit+1]
}

// shortOpt is short, or "-" for what is not known.
func shortOpt(v oom.Opt[uint64]) string {
	if !v.Known {
		return "-"
	}
	return short(v.Value)
}

// duration is a time span as a person reads it: 38 ms, 1.2 s, 2m05s.
func duration(ns uint64) string {
	d := time.Duration(min(ns, math.MaxInt64))
	switch {
	case d < time.Millisecond:
		return strconv.FormatInt(d.Microseconds(), 10) + " µs"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return d.Round(time.Second).String()
}
