package explain

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

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
				c := sampled(r, span, 0.004, f)
				if g := shapeOf(c, limit); g.code != s.code {
					t.Errorf("seed %d, %.0f s: %q, want %q: %+v\n%s", seed, span, g.code, s.code, g, c)
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
