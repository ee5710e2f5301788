package history

import "github.com/oomtrace/oomtrace/internal/oom"

// swapTotal follows the size of the machine's swap, in KiB. The zero value knows
// nothing.
type swapTotal struct {
	known    bool
	is, from uint64
	fell     uint64 // CLOCK_BOOTTIME of the sample that showed it less; 0: it did not become less
}

func (s *swapTotal) add(ns, total uint64) {
	switch {
	case total == unknownKiB:
		return
	case s.known && total < s.is:
		s.from, s.fell = s.is, ns
	case s.known && total > s.is:
		s.fell = 0 // what was turned off is on again, or other swap is
	}
	s.known, s.is = true, total
}

// memTotal follows the machine's memory, in KiB, which balloons and hotplug change. The
// zero value knows nothing.
type memTotal struct {
	is, most uint64
	at       uint64 // CLOCK_BOOTTIME of the last sample with the most
}

func (t *memTotal) add(ns, total uint64) {
	if total == unknownKiB {
		return
	}
	if t.is = total; total >= t.most {
		t.most, t.at = total, ns
	}
}

// shrunk is by what share of it the memory has to become less to be reported: a guest
// gives and takes a little all the time.
const shrunk = 64

func (t *memTotal) before(ns uint64) *oom.LimitChange {
	if t.at > ns || t.most-t.is <= t.most/shrunk {
		return nil
	}
	return &oom.LimitChange{FromBytes: kib(t.most), ToBytes: kib(t.is), AgoNS: oom.Some(ns - t.at)}
}

// before is the last time before ns that swap was turned off; nil where it was not, or
// where swap was turned on since.
func (s *swapTotal) before(ns uint64) *oom.LimitChange {
	if s.fell == 0 || s.fell > ns {
		return nil
	}
	return &oom.LimitChange{FromBytes: kib(s.from), ToBytes: kib(s.is), AgoNS: oom.Some(ns - s.fell)}
}
