package tracer

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// clockStep is how far the wall clock must have moved against the boot clock
	// to be followed: less is the noise of reading both, and would make the same
	// start time differ from record to record.
	clockStep = time.Millisecond
	// clockTries bounds the readings of both clocks with nothing in between.
	clockTries = 4
)

// anchor is the wall clock at 0 of CLOCK_BOOTTIME, kept true while NTP or a
// person sets the clock.
type anchor struct {
	at time.Time
	// read gives the wall clock, and the boot clock just before and just after.
	read func() (wall time.Time, before, after uint64)
}

func newAnchor() *anchor { return &anchor{read: readClocks} }

func readClocks() (wall time.Time, before, after uint64) {
	before = bootNS()
	wall = time.Now()
	return wall, before, bootNS()
}

// time is the zero time when the clocks cannot be read.
func (a *anchor) time() time.Time {
	for range clockTries {
		wall, before, after := a.read()
		if before == 0 || after < before {
			break
		}
		if time.Duration(after-before) >= clockStep/4 {
			continue // something else ran in between
		}
		// Without Round the runtime's monotonic clock would stay in it, and would
		// be what Sub goes by.
		now := wall.Round(0).Add(-time.Duration(before))
		if d := now.Sub(a.at); a.at.IsZero() || d >= clockStep || d <= -clockStep {
			a.at = now
		}
		break
	}
	return a.at
}

// monotonic is CLOCK_MONOTONIC in nanoseconds; 0 when it cannot be read.
func monotonic() uint64 { return clock(unix.CLOCK_MONOTONIC) }

// bootNS is CLOCK_BOOTTIME in nanoseconds; 0 when it cannot be read.
func bootNS() uint64 { return clock(unix.CLOCK_BOOTTIME) }

func clock(id int32) uint64 {
	var ts unix.Timespec
	if unix.ClockGettime(id, &ts) != nil {
		return 0
	}
	return uint64(ts.Nano())
}
