package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// softLimit is where Go's collector starts to work harder: well below the
// 32 MiB that a small container has, with room for what is not Go's.
const softLimit = 20 << 20

// frugal makes the collector keep the heap small: reading the kernel's types
// at the start leaves much behind, later there is hardly anything to collect.
// GOGC and GOMEMLIMIT still have their say.
func frugal() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(20)
	}
}

// guard makes this process fit for a machine without memory: what it uses stays
// resident, the OOM killer passes it over, and privileges that are no longer
// needed are gone. What cannot be had is told with -v and does without.
func (s *session) guard(ctx context.Context) error {
	s.note("oom_score_adj", setScoreAdj(s.oomScoreAdj))
	s.note("release code", releaseCode())
	if err := s.live.WarmUp(ctx); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // the types are gone: rather fewer collections now
	}
	debug.FreeOSMemory()
	s.note("lock memory", lockMemory())
	kept, err := s.capabilities()
	if err != nil {
		return err
	}
	s.note("drop privileges", dropCapabilities(kept))
	return nil
}

// setScoreAdj changes the own adjustment. Below the current one it needs
// CAP_SYS_RESOURCE (Documentation/filesystems/proc.rst, 3.1).
func setScoreAdj(adj int) error {
	return os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(adj)), 0)
}

// lockMemory keeps what is in use, or comes into use, from being swapped or
// dropped. Without MCL_ONFAULT all of Go's reserved address space would be
// filled. What is mapped later counts against the limit, too, and a runtime that
// may map no more ends: without the limit lifted nothing is locked.
func lockMemory() error {
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited); err != nil {
		return fmt.Errorf("lift RLIMIT_MEMLOCK: %w", err)
	}
	return unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
}

// releaseCode lets go of the program's own pages that were only needed to start:
// what is used again comes back from the page cache, and is locked then. For one
// page the kernel brings in the 16 around it, but none from beyond the mapping
// (mm/memory.c, do_fault_around): smaller mappings hold less that nobody asked
// for.
func releaseCode() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[5] != exe || strings.Contains(f[1], "w") {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil {
			return err
		}
		if err := errors.Join(splitMapping(from, to), madvise(from, to, unix.MADV_DONTNEED)); err != nil {
			return err
		}
	}
	return nil
}

// splitPages is the size of the mappings that the code is split into.
const splitPages = 4

// splitMapping makes many mappings of one, by a mark on every second part that
// means nothing to code: a core dump leaves out what a file holds anyway.
func splitMapping(from, to uintptr) error {
	part := uintptr(splitPages * os.Getpagesize())
	for ; from+part <= to; from += 2 * part {
		if err := madvise(from, from+part, unix.MADV_DONTDUMP); err != nil {
			return err
		}
	}
	return nil
}

func madvise(from, to uintptr, advice int) error {
	if _, _, errno := syscall.RawSyscall(unix.SYS_MADVISE, from, to-from, uintptr(advice)); errno != 0 {
		return fmt.Errorf("madvise: %w", errno)
	}
	return nil
}

// keptCapabilities are what is needed after the hooks are attached: BPF to read
// the counters, the others to reach a runtime's sockets and files below
// /proc/PID/root.
func keptCapabilities() []uint {
	return []uint{unix.CAP_BPF, unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE}
}

// capabilities are those to keep: keptCapabilities, and what rotating the output
// file takes beyond, if that was asked for. A directory of another user is
// better found now than at the first rotation.
func (s *session) capabilities() ([]uint, error) {
	kept := keptCapabilities()
	if s.file == nil || s.traceFlags.file.maxBytes == 0 {
		return kept, nil
	}
	var failed error
	for _, more := range [][]uint{nil, {unix.CAP_DAC_OVERRIDE}, {unix.CAP_FOWNER}, {unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER}} {
		all := append(kept[:len(kept):len(kept)], more...)
		err := withCapabilities(all, s.file.CanRotate)
		if err == nil {
			return all, nil
		}
		if failed == nil {
			failed = err
		}
	}
	return nil, &failure{
		err: fmt.Errorf("--output-max-bytes: the file could not be rotated: %w", failed), code: exitError,
		hint: "let this user write to the directory, or leave --output-max-bytes out",
	}
}

// withCapabilities runs f with no more than these effective, of those permitted.
func withCapabilities(caps []uint, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var before [2]unix.CapUserData
	if err := unix.Capget(&header, &before[0]); err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	less, keep := before, capabilityMask(caps)
	for i := range less {
		less[i].Effective = less[i].Permitted & keep[i]
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

func capabilityMask(caps []uint) (mask [2]uint32) {
	for _, c := range caps {
		mask[c/32] |= 1 << (c % 32)
	}
	return mask
}

// capData is struct __user_cap_data_struct (include/uapi/linux/capability.h).
type capData struct{ effective, permitted, inheritable uint32 }

// dropCapabilities lets all threads keep no more than these, and of those only
// what they have.
func dropCapabilities(kept []uint) error {
	header := struct {
		version uint32
		pid     int32
	}{version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]capData
	if _, _, errno := syscall.RawSyscall(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0); errno != 0 {
		return fmt.Errorf("capget: %w", errno)
	}
	keep := capabilityMask(kept)
	for i := range data {
		data[i].permitted &= keep[i]
		data[i].effective &= keep[i]
		data[i].inheritable = 0
	}
	// Every thread has its own; what cgo made is out of reach, and there is none.
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0); errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("no_new_privs: %w", errno)
	}
	return nil
}
