package host

import (
	"testing"
	"time"
)

// TestBootClock: the wall clock at boot follows a step of the clock, and nothing
// less.
func TestBootClock(t *testing.T) {
	boot := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	var wall time.Time
	var since, gap uint64
	c := &BootClock{read: func() (time.Time, uint64, uint64) { return wall, since, since + gap }}
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
		{"set just enough", 8500 * time.Millisecond, -time.Hour + 100*time.Microsecond, 0, -time.Hour + 100*time.Microsecond},
		{"no clock", 0, 0, 0, -time.Hour + 100*time.Microsecond},
	} {
		since, gap = uint64(tc.since), uint64(tc.gap)
		wall = boot.Add(tc.since + tc.off)
		if got := c.Start(); !got.Equal(boot.Add(tc.want)) {
			t.Errorf("%s: %v from boot, want %v", tc.name, got.Sub(boot), tc.want)
		}
	}
	var clock BootClock
	if first := clock.Start(); first.IsZero() || clock.Start() != first {
		t.Error("the machine's own clock is not read, or differs from one reading to the next")
	}
}

func TestIdentify(t *testing.T) {
	m := Identify()
	if m.Node == "" || len(m.BootID) != 36 || m.Kernel == "" {
		t.Errorf("%+v", m)
	}
	t.Setenv("NODE_NAME", "node-3")
	if got := Identify().Node; got != "node-3" {
		t.Errorf("node %q, want that of NODE_NAME", got)
	}
}

// TestClocks: the boot clock is the monotonic one and the time asleep.
func TestClocks(t *testing.T) {
	boot, awake, asleep := BootNS(), MonotonicNS(), Asleep()
	if boot == 0 || awake == 0 || asleep < 0 || (time.Duration(boot)-time.Duration(awake)-asleep).Abs() > time.Minute {
		t.Errorf("boot %d, monotonic %d, asleep %v", boot, awake, asleep)
	}
	if d := time.Since(MonotonicStart()) - time.Duration(awake); d.Abs() > time.Minute {
		t.Errorf("the monotonic clock's start is %v off", d)
	}
}
