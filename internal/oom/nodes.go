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
