package harden

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// capabilities are a thread's, in the kernel's two halves.
type capabilities [2]unix.CapUserData

// limit leaves no more than these.
func (c *capabilities) limit(kept []uint) {
	mask := capabilityMask(kept)
	for i := range c {
		c[i].Permitted &= mask[i]
		c[i].Effective &= mask[i]
		c[i].Inheritable = 0
	}
}

func capabilityMask(caps []uint) (mask [2]uint32) {
	for _, c := range caps {
		mask[c/32] |= 1 << (c % 32)
	}
	return mask
}

// WithCapabilities runs f with no more than these effective, of those permitted.
func WithCapabilities(caps []uint, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var before capabilities
	if err := unix.Capget(&header, &before[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	less, mask := before, capabilityMask(caps)
	for i := range less {
		less[i].Effective = less[i].Permitted & mask[i]
	}
	if err := unix.Capset(&header, &less[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	err := f()
	if back := unix.Capset(&header, &before[0]); back != nil {
		err = errors.Join(err, fmt.Errorf("capset: %w", back))
	}
	return err
}

// Enough adds to kept what f needs to succeed: nothing, one of extra, or all of
// them. The error is that of f with kept alone.
func Enough(kept, extra []uint, f func() error) ([]uint, error) {
	tries := [][]uint{nil}
	for i := range extra {
		tries = append(tries, extra[i:i+1])
	}
	var failed error
	for _, more := range append(tries, extra) {
		all := slices.Concat(kept, more)
		err := WithCapabilities(all, f)
		if err == nil {
			return all, nil
		}
		if failed == nil {
			failed = err
		}
	}
	return nil, failed
}

// DropCapabilities lets all threads keep no more than these, and of those only
// what they have; no program that they start gets more.
func DropCapabilities(kept []uint) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data capabilities
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	if err := emptyBoundingSet(data[0].Effective&(1<<unix.CAP_SETPCAP) != 0); errors.Is(err, unix.ENOTSUP) {
		return ErrCgo
	} else if err != nil {
		return err
	}
	data.limit(kept)
	// Every thread has its own; what cgo made is out of reach, and there is none.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	return nil
}

// ErrCgo is the error for a build whose threads are out of Go's reach.
var ErrCgo = errors.New("this build has cgo: build it with CGO_ENABLED=0, as releases are")

// emptyBoundingSet lets no program that is started have any capability, nor this
// process get one back. Without CAP_SETPCAP the bounding set stays; no_new_privs
// keeps it from giving anything.
func emptyBoundingSet(may bool) error {
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("clear ambient capabilities: %w", errno)
	}
	for c := uintptr(0); may && c < 64; c++ {
		_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0, 0)
		if errno == unix.EINVAL { // one more than this kernel has
			return nil
		}
		if errno != 0 {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, errno)
		}
	}
	return nil
}
