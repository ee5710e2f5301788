package explain

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// sampled are the points that a recorder with log spacing keeps of f, which gives the
// bytes at a time before the kill; every value is off by as much as noise.
func sampled(r *rand.Rand, span float64, noise float64, f func(ago float64) float64) curve {
	var points []oom.HistoryPoint
	first := 0.1 + 0.2*r.Float64()
	ratio := 1.15 + 0.2*r.Float64()
	step := func(ago float64) {
		v := f(ago) * (1 + noise*(2*r.Float64()-1))
		points = append(points, oom.HistoryPoint{AgoNS: uint64(ago * 1e9), Bytes: uint64(max(v, 0))})
	}
	step(0)
	for ago := first; ago < span; ago = max(ago*ratio, ago+first) {
		step(ago)
	}
	step(span)
	return curveOf(points)
}

// slotted are the points that a recorder of f keeps in slots of time, of each level the
// last eight: shifts are by how much stamps of 2^20 ns are shifted to slots of that level.
// every gives the time from one reading, or charge, to the next.
func slotted(r *rand.Rand, span, noise float64, shifts []uint, every, f func(ago float64) float64) curve {
	const perSecond = 1e9 / (1 << 20)
	type slot struct {
		when  uint64
		bytes uint64
	}
	levels := make([][8]slot, len(shifts))
	begin := uint64(r.Int64N(1 << 40)) // of the clock
	at := func(ago float64) uint64 { return begin + uint64((span-ago)*perSecond) + 1 }
	for ago := span; ago > 0; ago -= every(ago) {
		when, v := at(ago), f(ago)*(1+noise*(2*r.Float64()-1))
		for i, shift := range shifts {
			s := &levels[i][when>>shift%8]
			if s.when != 0 && s.when>>shift == when>>shift {
				break
			}
			*s = slot{when, uint64(max(v, 0))}
		}
	}
	points := []oom.HistoryPoint{{Bytes: uint64(f(0))}}
	for _, level := range levels {
		for _, s := range level {
			if s.when != 0 {
				points = append(points, oom.HistoryPoint{AgoNS: uint64(float64(at(0)-s.when) / perSecond * 1e9), Bytes: s.bytes})
			}
		}
	}
	return curveOf(points)
}

// recorders give the points of a curve as each of them keeps them.
func recorders(r *rand.Rand, span float64, f func(float64) float64) map[string]curve {
	const noise = 0.004
	return map[string]curve{
		"log spacing": sampled(r, span, noise, f),
		// bpf/history.bpf.h: charges come at any time, and many of them.
		"exact": slotted(r, span, noise, []uint{7, 10, 13, 16, 19, 22}, func(ago float64) float64 { return max(ago/200, 0.02) * r.ExpFloat64() }, f),
		// internal/history/series.go: once a second.
		"sampled": slotted(r, span, noise, []uint{10, 13, 16, 19, 22, 24}, func(float64) float64 { return 1 + 0.01*r.Float64() }, f),
	}
}

func between(r *rand.Rand, lo, hi float64) float64 { return lo + (hi-lo)*r.Float64() }

// logBetween is spread evenly over the orders of magnitude.
func logBetween(r *rand.Rand, lo, hi float64) float64 {
	return math.Exp(between(r, math.Log(lo), math.Log(hi)))
}

// TestShapes: 60 curves of each shape with random numbers, and every one is called
// what it is.
func TestShapes(t *testing.T) {
	const limit = 512 * mib
	shapes := []struct {
		name string
		code string // "" for none
		f    func(r *rand.Rand) (span float64, f func(float64) float64)
	}{
		{"leak of a given rate", codeGrewLeak, func(r *rand.Rand) (float64, func(float64) float64) {
			rate := []float64{64 * kib, 2 * mib, 41 * mib / 3600.}[r.IntN(3)]
			grows := between(r, 0.2, 0.8) * limit
			return grows / rate, func(ago float64) float64 { return limit - rate*ago }
		}},
		{"leak after a flat time", codeGrewLeak, func(r *rand.Rand) (float64, func(float64) float64) {
			base, over := between(r, 0.2, 0.6)*limit, between(r, 900, 7200)
			return over * between(r, 1.2, 3), func(ago float64) float64 { return base + (limit-base)*max(0, 1-ago/over) }
		}},
		{"leak after a restart", codeGrewLeak, func(r *rand.Rand) (float64, func(float64) float64) {
			level, low, over := between(r, 0.6, 0.9)*limit, between(r, 0.15, 0.4)*limit, logBetween(r, 180, 7200)
			return over * between(r, 1.4, 2.5), func(ago float64) float64 {
				if ago > over {
					return level
				}
				return low + (limit-low)*(1-ago/over)
			}
		}},
		{"leak of below a minute", codeGrewLeak, func(r *rand.Rand) (float64, func(float64) float64) {
			base, span := between(r, 0.2, 0.7)*limit, between(r, 8, 55)
			return span, func(ago float64) float64 { return base + (limit-base)*(1-ago/span) }
		}},
		{"burst", codeGrewBurst, func(r *rand.Rand) (float64, func(float64) float64) {
			base, over := between(r, 0.05, 0.7)*limit, logBetween(r, 0.5, 60)
			return over * logBetween(r, 12, 500), func(ago float64) float64 { return base + (limit-base)*max(0, 1-ago/over) }
		}},
		{"steps", codeGrewSteps, func(r *rand.Rand) (float64, func(float64) float64) {
			base, n, span := between(r, 0.1, 0.4)*limit, float64(3+r.IntN(4)), logBetween(r, 60, 20000)
			return span, func(ago float64) float64 {
				done := math.Floor(n * (1 - ago/span))
				if ago < 0.3 {
					done = n
				}
				return base + (limit-base)*min(done, n)/n
			}
		}},
		{"sawtooth", codeGrewSawtooth, func(r *rand.Rand) (float64, func(float64) float64) {
			lo, hi, cycles := between(r, 0.1, 0.4)*limit, between(r, 0.75, 0.98)*limit, between(r, 7, 40)
			span := logBetween(r, 60, 7200)
			period := span / cycles
			return span, func(ago float64) float64 {
				if ago < 0.9*period {
					return lo + (limit-lo)*(1-ago/(0.9*period))
				}
				_, part := math.Modf((ago - 0.9*period) / period)
				return lo + (hi-lo)*(1-part)
			}
		}},
		{"ramp at the start", codeGrewNew, func(r *rand.Rand) (float64, func(float64) float64) {
			span, base := logBetween(r, 3, 3000), between(r, 0, 0.05)*limit
			return span, func(ago float64) float64 { return base + (limit-base)*(1-ago/span) }
		}},
		{"full for long", codeFullForLong, func(r *rand.Rand) (float64, func(float64) float64) {
			full := logBetween(r, 90, 3600)
			ramp, base := between(r, 0.05, 0.6)*full, between(r, 0.1, 0.7)*limit
			before := between(r, 0, 3) * full
			return full + ramp + before, func(ago float64) float64 {
				return min(base+(limit-base)*max(0, 1-(ago-full)/ramp), 0.995*limit)
			}
		}},
		{"full all the time", codeFullForLong, func(r *rand.Rand) (float64, func(float64) float64) {
			return logBetween(r, 120, 20000), func(float64) float64 { return 0.985 * limit }
		}},
		{"just reached", codeGrewBurst, func(r *rand.Rand) (float64, func(float64) float64) {
			base, over, full := between(r, 0.1, 0.6)*limit, between(r, 2, 20), between(r, 0, 20)
			return (over + full) * between(r, 10, 100), func(ago float64) float64 {
				return min(base+(limit-base)*max(0, 1-(ago-full)/over), 0.995*limit)
			}
		}},
		{"flat below the limit", "", func(r *rand.Rand) (float64, func(float64) float64) {
			level := between(r, 0.3, 0.9) * limit
			return logBetween(r, 10, 20000), func(float64) float64 { return level }
		}},
	}
	for _, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			for seed := range uint64(60) {
				r := rand.New(rand.NewPCG(seed, 1))
				span, f := s.f(r)
				for name, c := range recorders(r, span, f) {
					if name == "sampled" && span < 60 {
						continue // too few samples for a shape
					}
					if g := shapeOf(c, limit); g.code != s.code {
						t.Errorf("seed %d, %s, %.0f s: %q, want %q: %+v\n%s", seed, name, span, g.code, s.code, g, c)
					}
				}
			}
		})
	}
}

func (c curve) String() string {
	s := ""
	for _, p := range c {
		s += fmt.Sprintf(" %.1fs:%.0fM", p.ago, p.bytes/mib)
	}
	return s
}

// explainedBy reports that a record is explained by a reason.
func explainedBy(rec *oom.Record, code string) bool {
	return slices.ContainsFunc(Of(rec).Reasons, func(r oom.Reason) bool { return r.Code == code })
}

// TestNewProcesses: a process that had started within a burst and charged it is named;
// one that is older, or charged less than half of it, is not.
func TestNewProcesses(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		base, over := between(r, 0.1, 0.6)*256, between(r, 2000, 60e3) // MiB, ms
		flat := over * between(r, 12, 100)
		burst := history([2]uint64{uint64(over + flat), uint64(base)}, [2]uint64{uint64(over + flat/2), uint64(base)}, [2]uint64{uint64(over), uint64(base)},
			[2]uint64{uint64(over / 2), uint64(base+256) / 2}, [2]uint64{0, 256})
		age := func(lo, hi float64) time.Duration { return time.Duration(over * between(r, lo, hi) * 1e6) }
		charged := func(lo, hi float64) uint64 { return uint64((256 - base) * between(r, lo, hi) * mib) }
		for _, tt := range []struct {
			name   string
			grower change
			named  bool
		}{
			{"began and charged it", grower(age(0.2, 1.1), charged(0.6, 1.3)), true},
			{"is older", grower(age(2.5, 100), charged(0.6, 1.3)), false},
			{"charged little", grower(age(0.2, 1.1), charged(0, 0.4)), false},
		} {
			if rec := limited(burst, tt.grower); explainedBy(rec, codeGrewNew) != tt.named {
				t.Errorf("seed %d, %s: %+v", seed, tt.name, Of(rec))
			}
		}
	}
}

// TestFullOrLowered: a limit that is full since it was lowered was full no longer than that.
func TestFullOrLowered(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		span := uint64(logBetween(r, 120e3, 20e6)) // ms
		flat := history([2]uint64{span, 255}, [2]uint64{span / 2, 255}, [2]uint64{span / 4, 255}, [2]uint64{100, 255}, [2]uint64{0, 256})
		lowered := func(ago float64) change {
			return func(r *oom.Record) {
				r.Limit.Changed = &oom.LimitChange{FromBytes: b(512 * mib), ToBytes: b(256 * mib), AgoNS: oom.Some(uint64(ago * 1e9))}
			}
		}
		if rec := limited(flat); !explainedBy(rec, codeFullForLong) {
			t.Errorf("seed %d: full for long: %+v", seed, Of(rec))
		}
		rec := limited(flat, lowered(between(r, 0, 9)))
		if why := Of(rec); why.Verdict != codeLimitLowered || explainedBy(rec, codeFullForLong) {
			t.Errorf("seed %d: just lowered: %+v", seed, why)
		}
		rec = limited(flat, lowered(between(r, 20, 59)))
		if why := Of(rec); why.Verdict == codeLimitLowered || explainedBy(rec, codeFullForLong) {
			t.Errorf("seed %d: lowered within the last minute: %+v", seed, why)
		}
		ago := between(r, 61, 20e3)
		rec = limited(flat, lowered(ago))
		if want := sprintf("for %s", spanText(uint64(min(ago*1e9, float64(span)*1e6)))); !explainedBy(rec, codeFullForLong) || !strings.Contains(Of(rec).Summary, want) {
			t.Errorf("seed %d: lowered %.0f s before, not %q: %+v", seed, ago, want, Of(rec))
		}
	}
}
