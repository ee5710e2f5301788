package harden

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestIsDue(t *testing.T) {
	const mib = 1 << 20
	for _, tc := range []struct {
		name                string
		objects, live, goal uint64
		want                bool
	}{
		{"two thirds of the room are used", 6 * mib, 4 * mib, 7 * mib, true},
		{"a little less", 6*mib - 2, 4 * mib, 7 * mib, false},
		{"nothing since the last collection", 4 * mib, 4 * mib, 8 * mib, false},
		{"less than what was found alive", 3 * mib, 4 * mib, 8 * mib, false},
		{"no room at all", 5 * mib, 4 * mib, 4 * mib, false},
		{"little room, and all of it used", 4*mib + mib/2 - 1, 4 * mib, 4*mib + mib/2 - 1, false},
		{"a little more", 4*mib + mib/2, 4 * mib, 4*mib + mib/2, true},
		{"no goal", 7 * mib, 4 * mib, 1 << 63, false},
		{"never collected", 7 * mib, 0, 8 * mib, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := isDue(tc.objects, tc.live, tc.goal); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

// TestCollector: garbage that rests follow is collected before the runtime looks for it.
func TestCollector(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	c := NewCollector()
	defer c.Close()
	runtime.GC()
	forced := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	before := forced()
	idle := func() bool { return false }
	c.Rest(idle)
	if n := forced() - before; n > 0 {
		t.Errorf("%d collections without garbage", n)
	}
	fill := func(waits func() bool) bool {
		var kept []byte
		for range 10_000 { // 40 times the least heap that the runtime collects
			kept = make([]byte, 16<<10)
			if c.Rest(waits); forced() > before {
				return true
			}
		}
		runtime.KeepAlive(kept)
		return false
	}
	if fill(func() bool { return true }) {
		t.Error("a collection while a record waits")
	}
	if !fill(idle) {
		t.Error("no collection but the runtime's own")
	}
}
