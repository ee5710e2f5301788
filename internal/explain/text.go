package explain

import (
	"math"
	"math/bits"
	"strconv"
	"time"
)

// text appends words and numbers to one reused buffer. Its methods chain, and
// none of them allocates once the buffer has grown.
type text struct{ b []byte }

func (t *text) s(s string) *text {
	t.b = append(t.b, s...)
	return t
}

func (t *text) n(n int64) *text {
	t.b = strconv.AppendInt(t.b, n, 10)
	return t
}

func (t *text) u(n uint64) *text {
	t.b = strconv.AppendUint(t.b, n, 10)
	return t
}

// size appends bytes in binary units: one decimal below ten, none above, and
// none for a whole number, so that a configured limit reads as it was written.
func (t *text) size(n uint64) *text {
	units := [...]string{" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"}
	if n < 1024 {
		return t.u(n).s(units[0])
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
	t.b = strconv.AppendFloat(t.b, v, 'f', decimals, 64)
	return t.s(units[exp])
}

// percent appends part of whole in whole percents. It says neither 0 % of
// something nor 100 % of less than all.
func (t *text) percent(part, whole uint64) *text {
	p := uint64(math.Round(100 * float64(part) / float64(max(whole, 1))))
	switch {
	case part > 0 && p == 0:
		return t.s("under 1 %")
	case part < whole && p >= 100:
		p = 99
	}
	return t.u(p).s(" %")
}

// sizeOf appends "12 MiB of 48 MiB (25 %)".
func (t *text) sizeOf(part, whole uint64) *text {
	return t.size(part).s(" of ").size(whole).s(" (").percent(part, whole).s(")")
}

// dur appends nanoseconds with two or three significant digits.
func (t *text) dur(ns uint64) *text {
	d := float64(ns)
	switch {
	case ns < uint64(time.Millisecond):
		return t.u(uint64(math.Round(d / 1e3))).s(" µs")
	case ns < uint64(time.Second):
		return t.u(min(uint64(math.Round(d/1e6)), 999)).s(" ms")
	}
	t.b = strconv.AppendFloat(t.b, d/1e9, 'f', 1, 64)
	return t.s(" s")
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
	if b > a {
		return 0
	}
	return a - b
}
