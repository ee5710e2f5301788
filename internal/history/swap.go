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

// before is the last time before ns that swap was turned off; nil where it was not, or
// where swap was turned on since.
func (s *swapTotal) before(ns uint64) *oom.LimitChange {
	if s.fell == 0 || s.fell > ns {
		return nil
	}
	return &oom.LimitChange{FromBytes: kib(s.from), ToBytes: kib(s.is), AgoNS: oom.Some(ns - s.fell)}
}
