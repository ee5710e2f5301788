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
	for {
		lo, rest, ok := node(list)
		hi := lo
		if strings.HasPrefix(rest, "-") {
			var end bool
			hi, rest, end = node(rest[1:])
			ok = ok && end
		}
		switch {
		case !ok, rest != "" && rest[0] != ',', lo <= n && n <= hi:
			return true
		case rest == "":
			return false
		}
		list = rest[1:]
	}
}

// node takes a node's number off the front of a list. A list may be long, and is asked about
// for each of hundreds of zones.
func node(s string) (n int32, rest string, ok bool) {
	const most = 1 << 20
	i := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9' && n < most; i++ {
		n = n*10 + int32(s[i]-'0')
	}
	return n, s[i:], i > 0 && n < most
}
