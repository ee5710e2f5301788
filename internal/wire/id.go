package wire

import (
	"fmt"
	"strconv"
)

// bootPrefix is how much of the boot id goes into an id: enough to tell one
// boot of a node from another.
const bootPrefix = 8

func appendBoot(dst []byte, bootID string) []byte {
	if len(bootID) > bootPrefix {
		bootID = bootID[:bootPrefix]
	}
	dst = append(dst, bootID...)
	if bootID != "" {
		dst = append(dst, '-')
	}
	return dst
}

func appendID(dst []byte, bootID string, ns uint64, tid int32) []byte {
	dst = appendBoot(dst, bootID)
	dst = strconv.AppendUint(dst, ns, 16)
	dst = append(dst, '-')
	return strconv.AppendInt(dst, int64(tid), 10)
}

// appendKillID names a kill by its process, which the start time identifies.
func appendKillID(dst []byte, bootID string, startNS uint64, pid int32) []byte {
	dst = append(appendBoot(dst, bootID), 'k')
	dst = strconv.AppendUint(dst, startNS, 16)
	dst = append(dst, '-')
	return strconv.AppendInt(dst, int64(pid), 10)
}

// LossID names a loss: the records of one kind that a set of maps lost, after the
// first from of them, up to the toth. Sets of one boot have different numbers.
func LossID(bootID string, set uint32, kind string, from, to uint64) string {
	return fmt.Sprintf("%slost-%d-%s-%d-%d", appendBoot(nil, bootID), set, kind, from, to)
}

func appendIncident(dst []byte, bootID string, ns uint64) []byte {
	dst = appendBoot(dst, bootID)
	return strconv.AppendUint(dst, ns, 16)
}
