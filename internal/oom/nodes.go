package oom

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// NodeList writes nodes, one bit each, as the kernel does.
func NodeList(mask uint64) string {
	var ranges []string
	for n := 0; n < 64; n++ {
		if mask>>n&1 == 0 {
			continue
		}
		first := n
		n += bits.TrailingZeros64(^(mask >> n)) - 1
		if n > first {
			ranges = append(ranges, fmt.Sprintf("%d-%d", first, n))
		} else {
			ranges = append(ranges, strconv.Itoa(n))
		}
	}
	return strings.Join(ranges, ",")
}

// InNodes reports whether a kernel's list of nodes such as "0-1,4" holds n. A list that is
// absent, "(null)" or not a list holds every node.
func InNodes(list string, n int32) bool {
	if list == "" || list[0] < '0' || list[0] > '9' {
		return true
	}
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		lo, err1 := strconv.ParseUint(from, 10, 20)
		hi, err2 := strconv.ParseUint(to, 10, 20)
		if err1 != nil || err2 != nil || lo <= uint64(n) && uint64(n) <= hi {
			return true
		}
	}
	return false
}
