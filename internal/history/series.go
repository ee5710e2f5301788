package history

import (
	"cmp"
	"math"
	"slices"
)

// Stamps are CLOCK_BOOTTIME in units of 2^20 ns, about a millisecond, as in
// bpf/history.bpf.h; 0 is none. They are compared by difference, which holds for
// half of their range, 26 days.
const unitShift = 20

func stampAt(ns uint64) uint32 { return max(uint32(ns>>unitShift), 1) }

// ago is how long before ns a stamp lies; false for one that lies after it.
func ago(stamp uint32, ns uint64) (uint64, bool) {
	d := int32(stampAt(ns) - stamp)
	return uint64(max(d, 0)) << unitShift, d >= 0
}

// A series of samples has slots of 1.1 s, 8.6 s, 69 s, 9 min, 73 min and 5 h:
// 39 hours back.
const slots = 8

var shifts = [...]uint8{10, 13, 16, 19, 22, 24}

// at is a value and when it was.
type at[T any] struct {
	when  uint32
	value T
}

// series keeps what is sampled, dense near now and thin far back: of each slot of
// time the first value. The zero series is empty.
type series[T any] struct {
	points [len(shifts) * slots]at[T]
}

// add takes a value. A slot that has begun on one level has on all above it.
func (s *series[T]) add(when uint32, value T) {
	for level, shift := range shifts {
		p := &s.points[level*slots+int(when>>shift)%slots]
		if p.when != 0 && p.when>>shift == when>>shift {
			return
		}
		*p = at[T]{when, value}
	}
	for i := range s.points {
		if p := &s.points[i]; int32(when-p.when) < 0 {
			p.when = 0
		}
	}
}

// before appends the points up to a time, oldest first, each once.
func (s *series[T]) before(dst []at[T], ns uint64) []at[T] {
	start := len(dst)
	for _, p := range s.points {
		if _, ok := ago(p.when, ns); ok && p.when != 0 {
			dst = append(dst, p)
		}
	}
	return dst[:start+len(inOrder(dst[start:], stampAt(ns)))]
}

// sizes is a series of numbers of bytes. There are many of them, so each is kept in
// units of 4 KiB: of what is charged in pages that loses nothing.
type sizes struct{ in4k series[uint32] }

const sizeShift = 12

func (s *sizes) add(when uint32, bytes uint64) {
	s.in4k.add(when, uint32(min(bytes>>sizeShift, math.MaxUint32)))
}

func (s *sizes) before(ns uint64) []at[uint64] {
	var out []at[uint64]
	for _, p := range s.in4k.before(nil, ns) {
		out = append(out, at[uint64]{p.when, uint64(p.value) << sizeShift})
	}
	return out
}

// inOrder sorts points by their age and leaves each stamp once.
func inOrder[T any](points []at[T], now uint32) []at[T] {
	slices.SortStableFunc(points, func(a, b at[T]) int { return cmp.Compare(now-b.when, now-a.when) })
	return slices.CompactFunc(points, func(a, b at[T]) bool { return a.when == b.when })
}
