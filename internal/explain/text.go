package explain

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// sizeText is bytes in binary units: one decimal below ten, none above, and
// none for a whole number, so that a configured limit reads as it was written.
func sizeText(n uint64) string {
	units := [...]string{" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"}
	if n < 1024 {
		return strconv.FormatUint(n, 10) + units[0]
	}
	exp := (bits.Len64(n) - 1) / 10
	v := float64(n) / float64(uint64(1)<<(10*exp))
	if math.Round(v) >= 1024 && exp < len(units)-1 {
		v, exp = v/1024, exp+1
	}
	decimals := 0
	if tenths := math.Round(v * 10); tenths < 100 && math.Mod(tenths, 10) != 0 {
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + units[exp]
}

// percentText is part of whole in whole percents. It says neither 0 % of
// something nor 100 % of less than all.
func percentText(part, whole uint64) string {
	p := uint64(math.Round(100 * float64(part) / float64(max(whole, 1))))
	switch {
	case part > 0 && p == 0:
		return "under 1 %"
	case part < whole && p >= 100:
		p = 99
	}
	return strconv.FormatUint(p, 10) + " %"
}

// partText is "12 MiB of 48 MiB (25 %)".
func partText(part, whole uint64) string {
	return sizeText(part) + " of " + sizeText(whole) + " (" + percentText(part, whole) + ")"
}

// spanText is a time span as a person says it: 38 ms, 2.8 s, 4 min 10 s, 7 h 50 min.
func spanText(ns uint64) string {
	d := time.Duration(min(ns, math.MaxInt64))
	switch {
	case d < time.Millisecond:
		return strconv.FormatInt(d.Round(time.Microsecond).Microseconds(), 10) + " µs"
	case d < time.Second:
		return strconv.FormatInt(min(d.Round(time.Millisecond).Milliseconds(), 999), 10) + " ms"
	case d < time.Minute:
		return strings.TrimSuffix(strconv.FormatFloat(min(d.Seconds(), 59.9), 'f', 1, 64), ".0") + " s"
	case d < 10*time.Minute:
		return twoUnits(uint64(d.Round(time.Second)/time.Second), 60, "min", "s")
	case d.Round(time.Minute) < time.Hour:
		return sprintf("%d min", d.Round(time.Minute)/time.Minute)
	case d < 48*time.Hour:
		return twoUnits(uint64(d.Round(time.Minute)/time.Minute), 60, "h", "min")
	}
	return twoUnits(uint64(d.Round(time.Hour)/time.Hour), 24, "d", "h")
}

func twoUnits(n, per uint64, big, small string) string {
	if n%per == 0 {
		return sprintf("%d %s", n/per, big)
	}
	return sprintf("%d %s %d %s", n/per, big, n%per, small)
}

// name makes a name that others chose safe and short: what is not plain is quoted.
func name(s string) string {
	const most = 48
	cut := ""
	if r := []rune(s); len(r) > most {
		s, cut = string(r[:most-1]), "…"
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/@:+…", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s + cut
	}
	s = strings.TrimSuffix(strconv.QuoteToASCII(s), `"`)
	if len(s) > most+15 {
		s, cut = s[:most+12], "…"
	}
	return s + cut + `"`
}

// process names a process by its id and its name.
func process(pid oom.Opt[int32], comm string) string {
	switch {
	case pid.Known && comm != "":
		return sprintf("%s (pid %d)", name(comm), pid.Value)
	case pid.Known:
		return sprintf("pid %d", pid.Value)
	case comm != "":
		return name(comm)
	}
	return "a process"
}

// ratio reports whether part is at least num/den of whole; it does not
// overflow, and nothing is never a part.
func ratio(part, whole, num, den uint64) bool {
	if part == 0 || whole == 0 {
		return false
	}
	h1, l1 := bits.Mul64(part, den)
	h2, l2 := bits.Mul64(whole, num)
	return h1 > h2 || h1 == h2 && l1 >= l2
}

// add sums without wrapping: a hostile log may hold any number.
func add(v ...uint64) uint64 {
	var sum uint64
	for _, x := range v {
		if sum+x < sum {
			return math.MaxUint64
		}
		sum += x
	}
	return sum
}

// mul is a * b without wrapping.
func mul(a, b uint64) uint64 {
	if hi, lo := bits.Mul64(a, b); hi == 0 {
		return lo
	}
	return math.MaxUint64
}

// sub is a - b, or 0 where the counters, read one after the other, cross.
func sub(a, b uint64) uint64 {
	return a - min(a, b)
}
