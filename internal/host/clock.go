package host

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BootNS is CLOCK_BOOTTIME in nanoseconds, which goes on while the machine
// sleeps; 0 when it cannot be read.
func BootNS() uint64 { return clock(unix.CLOCK_BOOTTIME) }

// MostWait is how old a record may be for what is read now to be said of it.
const MostWait = 10 * time.Second

// Waited says whether a record of that uptime, 0 for one that is not known, waited longer
// than MostWait for its reader: in a pinned ring, or for room on a disk.
func Waited(uptimeNS uint64) bool { return uptimeNS != 0 && BootNS() > uptimeNS+uint64(MostWait) }

// MonotonicNS is CLOCK_MONOTONIC in nanoseconds, which stands still while the
// machine sleeps, as the kernel log's stamps do; 0 when it cannot be read.
func MonotonicNS() uint64 { return clock(unix.CLOCK_MONOTONIC) }

// clock never waits: the scheduler need not know of the call.
func clock(id uintptr) uint64 {
	var ts unix.Timespec
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return uint64(ts.Nano())
}

// Asleep is how long the machine has slept since it booted.
func Asleep() time.Duration {
	awake, boot := MonotonicNS(), BootNS()
	if boot == 0 || awake == 0 {
		return 0
	}
	return time.Duration(boot - awake)
}

// MonotonicStart is the wall clock at 0 of CLOCK_MONOTONIC, or the zero time.
func MonotonicStart() time.Time {
	ns := MonotonicNS()
	if ns == 0 {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(ns))
}

const (
	// clockStep is how far the wall clock must have moved against the boot clock
	// to be followed: less is the noise of reading both, and would make the same
	// start time differ from record to record.
	clockStep = time.Millisecond
	// clockTries bounds the readings of both clocks with nothing in between.
	clockTries = 4
)

// BootClock gives the wall clock at 0 of CLOCK_BOOTTIME, kept true while NTP or a
// person sets the clock. The zero value reads this machine's clocks.
type BootClock struct {
	at time.Time
	// read gives the wall clock, and the boot clock just before and just after;
	// nil means readClocks.
	read func() (wall time.Time, before, after uint64)
}

func readClocks() (wall time.Time, before, after uint64) {
	before = BootNS()
	wall = time.Now()
	return wall, before, BootNS()
}

// Start returns the wall clock when CLOCK_BOOTTIME was zero; the zero time when
// the clocks cannot be read.
func (c *BootClock) Start() time.Time {
	read := c.read
	if read == nil {
		read = readClocks
	}
	for range clockTries {
		wall, before, after := read()
		if before == 0 || after < before {
			break
		}
		if time.Duration(after-before) >= clockStep/4 {
			continue // something else ran in between
		}
		// Without Round the runtime's monotonic clock would stay in it, and would
		// be what Sub goes by.
		now := wall.Round(0).Add(-time.Duration(before))
		if d := now.Sub(c.at); c.at.IsZero() || d.Abs() >= clockStep {
			c.at = now
		}
		break
	}
	return c.at
}
