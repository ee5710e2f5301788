package procfs

import (
	"math"
	"strconv"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Pressure parses a PSI file (kernel/sched/psi.c, psi_show), nil where nothing of it
// can be read.
func Pressure(text string) *oom.Pressure {
	var p oom.Pressure
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch t := pressureTime(f[1:]); f[0] {
		case "some":
			p.Some = t
		case "full":
			p.Full = t
		}
	}
	if p == (oom.Pressure{}) {
		return nil
	}
	return &p
}

// pressureTime is nil where no number of a line can be read.
func pressureTime(fields []string) *oom.PressureTime {
	var t oom.PressureTime
	for _, f := range fields {
		name, number, _ := strings.Cut(f, "=")
		switch name {
		case "avg10":
			t.Avg10Percent = percent(number)
		case "avg60":
			t.Avg60Percent = percent(number)
		case "avg300":
			t.Avg300Percent = percent(number)
		case "total":
			if us, err := strconv.ParseUint(number, 10, 64); err == nil && us <= math.MaxInt64/1000 {
				t.TotalNS = oom.Some(us * 1000)
			}
		}
	}
	if t == (oom.PressureTime{}) {
		return nil
	}
	return &t
}

func percent(s string) oom.Opt[float64] {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= 100) {
		return oom.Opt[float64]{}
	}
	return oom.Some(v)
}
