// Package harden makes this process fit for a machine that has run out of memory:
// the OOM killer passes it over, it runs ahead of others, the memory that it uses
// and will use is there and locked, and the privileges that it no longer needs are
// gone.
package harden

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Options say how much. The zero value keeps no capability.
type Options struct {
	// OOMScoreAdj is the process's own adjustment.
	OOMScoreAdj int
	// HeapBytes is how much of the heap is kept ready beyond what is in use; 0
	// means DefaultHeapBytes.
	HeapBytes uint64
	// Capabilities are those to keep.
	Capabilities []uint
}

// DefaultHeapBytes is what some forty kills leave behind.
const DefaultHeapBytes = 1 << 20

// Step is one of the measures, and what kept it from being taken.
type Step struct {
	Name string
	Err  error
	// Required: without it the process can do more than it should.
	Required bool
}

// Apply takes all measures it can. It is to be called once the process has done
// all that it does at its start, and has run once through what it does later:
// what is in memory then is locked there.
func Apply(o Options) []Step {
	if o.HeapBytes == 0 {
		o.HeapBytes = DefaultHeapBytes
	}
	oneProcessor()
	reserveHeap(o.HeapBytes)
	touchSignalStacks()
	steps := []Step{
		{Name: "oom_score_adj", Err: setScoreAdj(o.OOMScoreAdj)},
		{Name: "raise priority", Err: raisePriority()},
		{Name: "lock memory", Err: lockMemory()},
	}
	err := DropCapabilities(o.Capabilities)
	return append(steps,
		Step{Name: "drop privileges", Err: err, Required: !errors.Is(err, ErrCgo)},
		Step{Name: "filter system calls", Err: filterCalls()})
}

// setScoreAdj changes the own adjustment. Below the current one it needs
// CAP_SYS_RESOURCE (Documentation/filesystems/proc.rst, 3.1).
func setScoreAdj(adj int) error {
	return os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(adj)), 0)
}

// niceness is the best there is (setpriority(2)).
const niceness = -20

// raisePriority lets the process's threads run ahead of those that fight for
// memory. It needs CAP_SYS_NICE.
func raisePriority() error {
	nice := niceness
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(nice)); errno != 0 {
		return fmt.Errorf("setpriority: %w", errno)
	}
	return nil
}

// oneProcessor lets Go code run on one CPU at a time, once the start has used them
// all: the work is one record after the other, and threads that wait for more of it
// while they spin, or wake each other, cost more than the work itself. A thread that
// blocks in the kernel does not hold the others up: the runtime takes over from it.
func oneProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// restLimit is where Go's collector starts to work harder: well below the
// 32 MiB that a small container has, with room for what is not Go's.
const restLimit = 20 << 20

// The heap of the start is not collected until it reaches a third of what the process's
// cgroups may take, within these bounds: maps, the ring buffer and code take the rest. Of
// what reading the kernel's types leaves behind most is garbage, but to look for it among
// the rest took a third of the start.
const (
	leastStart = 16 << 20
	mostStart  = 64 << 20
)

// LimitHeap lets the process start with little collecting. GOGC and GOMEMLIMIT have
// their say here and in Apply. Huge pages would be twice the heap after a minute or two,
// where they are for all processes (khugepaged, Documentation/admin-guide/mm/transhuge.rst).
func LimitHeap() {
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0) // without it there is more resident, and nothing else
	setLimit(max(leastStart, min(ownLimit("/")/3, mostStart)))
	setPercent(-1)
}

// setLimit is for where GOMEMLIMIT does not say.
func setLimit(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// setPercent is for where GOGC does not say.
func setPercent(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// ownLimit is the lowest memory limit of the process's cgroups, as far as they can be
// seen: in a container, those up to its own are as a rule (cgroup_namespaces(7)).
func ownLimit(root string) int64 {
	limit := int64(math.MaxInt64)
	b, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) < 3 {
			continue
		}
		mount, file := "sys/fs/cgroup", "memory.max"
		if f[1] != "" {
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		}
		if f[1] != "" && !slices.Contains(strings.Split(f[1], ","), "memory") {
			continue
		}
		for dir := filepath.Clean("/" + f[2]); ; dir = filepath.Dir(dir) {
			b, _ := os.ReadFile(filepath.Join(root, mount, dir, file))
			if v, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
				limit = min(limit, v)
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit
}

// reserveHeap lets the heap have size bytes beyond what is in use before it is
// collected, and brings twice as much into memory: garbage is of many sizes. The runtime gives back to the kernel
// what lies beyond a tenth more than that (runtime/mgcscavenge.go).
func reserveHeap(size uint64) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	setPercent(int(max(50, min(size*100/max(m.HeapAlloc, 1), 400))))
	setLimit(restLimit)
	// The runtime takes the lowest free pages that are enough in a row: small holes serve most
	// objects, and what needs more finds its place beyond them.
	var touched [][]byte
	for _, chunk := range [...]uint64{8 << 10, 32 << 10} {
		for range size / chunk {
			b := make([]byte, chunk)
			for i := 0; i < len(b); i += os.Getpagesize() {
				b[i] = 1
			}
			touched = append(touched, b)
		}
	}
	runtime.KeepAlive(touched)
	runtime.GC()
}

// touchSignalStacks sends each thread the signal by which the runtime interrupts Go code
// (runtime/signal_unix.go, sigPreempt): the kernel writes its frame to a stack that nothing has
// used before. The runtime takes one that it did not send for spurious.
func touchSignalStacks() {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		if tid, err := strconv.Atoi(task.Name()); err == nil {
			_ = unix.Tgkill(os.Getpid(), tid, unix.SIGURG) // a thread may have ended
		}
	}
}

// ReleaseCode lets go of the program's own pages, most of which were only needed
// to start: those that are used again come back from the page cache.
func ReleaseCode() error {
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
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise: %w", errno)
		}
	}
	return nil
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
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("mlockall: %w", err)
	}
	return swapIn()
}

// swapped is the bit of a page that is in swap (Documentation/admin-guide/mm/pagemap.rst).
const swapped = 1 << 62

// swapIn brings back what was swapped out before memory was locked: with
// MCL_ONFAULT that would come back at the first use, in the middle of an OOM.
func swapIn() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	pages, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return err
	}
	defer func() { _ = pages.Close() }()
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		return err
	}
	defer func() { _ = memory.Close() }()
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		var from, to int64
		if len(f) < 2 || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil {
			continue // above the half of the address space that is a process's
		}
		if err := readSwapped(pages, memory, from, to); err != nil {
			return err
		}
	}
	return nil
}

// readSwapped reads a byte of each page of a mapping that is in swap.
func readSwapped(pages, memory *os.File, from, to int64) error {
	size := int64(os.Getpagesize())
	var entries [512 * 8]byte
	for at := from; at < to; {
		n, err := pages.ReadAt(entries[:min(int64(len(entries)), (to-at)/size*8)], at/size*8)
		if n < 8 {
			return err
		}
		for i := 0; i+8 <= n; i, at = i+8, at+size {
			if binary.NativeEndian.Uint64(entries[i:])&swapped == 0 {
				continue
			}
			var b [1]byte
			if _, err := memory.ReadAt(b[:], at); err != nil {
				return fmt.Errorf("swap in: %w", err)
			}
		}
	}
	return nil
}
