package tracer

import (
	"testing"
	"time"
)

// TestAnchor: the wall clock at boot follows a step of the clock, and nothing
// less.
func TestAnchor(t *testing.T) {
	boot := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	var wall time.Time
	var since, gap uint64
	a := &anchor{read: func() (time.Time, uint64, uint64) { return wall, since, since + gap }}
	for _, tc := range []struct {
		name  string
		since time.Duration
		off   time.Duration // of the wall clock, from what boot and since make
		gap   time.Duration // between the readings
		want  time.Duration // from boot
	}{
		{"at first", time.Second, 0, 0, 0},
		{"the noise of reading", 2 * time.Second, 900 * time.Microsecond, 0, 0},
		{"the other way", 3 * time.Second, -900 * time.Microsecond, 0, 0},
		{"preempted in between", 4 * time.Second, time.Hour, 5 * time.Millisecond, 0},
		{"set forward", 5 * time.Second, time.Hour, 0, time.Hour},
		{"noise after it", 6 * time.Second, time.Hour + 900*time.Microsecond, 0, time.Hour},
		{"set back", 7 * time.Second, -time.Hour, 0, -time.Hour},
		{"drifted a little at a time", 8 * time.Second, -time.Hour + 1100*time.Microsecond, 0, -time.Hour + 1100*time.Microsecond},
		{"no clock", 0, 0, 0, -time.Hour + 1100*time.Microsecond},
	} {
		since, gap = uint64(tc.since), uint64(tc.gap)
		wall = boot.Add(tc.since + tc.off)
		if got := a.time(); !got.Equal(boot.Add(tc.want)) {
			t.Errorf("%s: %v from boot, want %v", tc.name, got.Sub(boot), tc.want)
		}
	}
	real := newAnchor()
	if first := real.time(); first.IsZero() || real.time() != first {
		t.Error("the machine's own clock is not read, or differs from one reading to the next")
	}
	if n := testing.AllocsPerRun(100, func() { _ = newest(real) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func newest(a *anchor) time.Time { return a.time() }

// TestOpenedAnchor: a tracer's records get the time of the step that was made
// after it opened.
func TestOpenedAnchor(t *testing.T) {
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	tr := &Tracer{anchor: &anchor{read: func() (time.Time, uint64, uint64) { return now, 1e9, 1e9 }}}
	for _, step := range []time.Duration{0, time.Hour, -2 * time.Hour} {
		now = now.Add(step)
		tr.readClock()
		if want := now.Add(-time.Second); !tr.machine.BootTime.Equal(want) {
			t.Errorf("after %v: boot at %v, want %v", step, tr.machine.BootTime, want)
		}
	}
}
