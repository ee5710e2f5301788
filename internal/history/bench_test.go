package history

import (
	"strconv"
	"testing"
)

// BenchmarkTick is one second of the sampler's work on a machine with so many cgroups
// that stand still.
func BenchmarkTick(b *testing.B) {
	for _, n := range []int{500, 10_000} {
		b.Run(strconv.Itoa(n)+" cgroups", func(b *testing.B) {
			cgroups := map[string]uint64{}
			for i := range n {
				cgroups["/system.slice/unit-"+strconv.Itoa(i)+".service"] = 10
			}
			r, err := newRecorder(Options{Root: fakeRoot(b, cgroups)})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = r.meminfo.close() }()
			r.tree.fill()
			for range 5 * slowest {
				r.sample()
			}
			b.ReportAllocs()
			for b.Loop() {
				r.sample()
			}
		})
	}
}
