package wire

import (
	"fmt"
	"strconv"
)

// bootPrefix is how much of the boot id goes into an id: enough to tell one
// boot of a node from another.
const bootPrefix = 8

// boot begins the ids of a boot's records; nothing where the boot is not known.
func boot(bootID string) string {
	if bootID == "" {
		return ""
	}
	return bootID[:min(bootPrefix, len(bootID))] + "-"
}

// recordID names a record by the kernel's clock and the thread.
func recordID(bootID string, ns uint64, tid int32) string {
	return boot(bootID) + strconv.FormatUint(ns, 16) + "-" + strconv.Itoa(int(tid))
}

// killID names a kill by its process, which the start time identifies: a process
// is killed once, so this id is the same however the kill was seen, be it by two
// tracers.
func killID(bootID string, startNS uint64, pid int32) string {
	return boot(bootID) + "k" + strconv.FormatUint(startNS, 16) + "-" + strconv.Itoa(int(pid))
}

// LossID names a loss: the records of one kind that a set of maps lost, after the
// first from of them, up to the toth. Sets of one boot have different numbers.
func LossID(bootID string, set uint32, kind string, from, to uint64) string {
	return fmt.Sprintf("%slost-%d-%s-%d-%d", boot(bootID), set, kind, from, to)
}

func incidentID(bootID string, ns uint64) string { return boot(bootID) + strconv.FormatUint(ns, 16) }
