package wire

import "strconv"

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

func appendIncident(dst []byte, bootID string, ns uint64) []byte {
	dst = appendBoot(dst, bootID)
	return strconv.AppendUint(dst, ns, 16)
}
