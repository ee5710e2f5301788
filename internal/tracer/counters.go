package tracer

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/probe"
)

// counters reads the programs' counters, which it is asked for after every
// record: into buffers of its own, since ebpf.Map.Lookup allocates. Any goroutine
// may use it.
type counters struct {
	mu     sync.Mutex
	perCPU []uint64
	key    uint32
	attr   mapElement
}

// mapElement is what BPF_MAP_LOOKUP_ELEM takes of union bpf_attr
// (include/uapi/linux/bpf.h).
type mapElement struct {
	fd    uint32
	_     uint32
	key   uint64
	value uint64
	flags uint64
}

// read fills in all but what the kernel does not count.
func (c *counters) read(m *ebpf.Map, s *Stats) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.perCPU == nil {
		cpus, err := ebpf.PossibleCPU()
		if err != nil {
			return fmt.Errorf("read counters: %w", err)
		}
		c.perCPU = make([]uint64, cpus)
	}
	for _, counter := range [...]struct {
		key probe.OomtraceCounter
		to  *uint64
	}{
		{probe.OomtraceCounterCOUNTER_VICTIMS, &s.Victims},
		{probe.OomtraceCounterCOUNTER_NO_VICTIM, &s.NoVictim},
		{probe.OomtraceCounterCOUNTER_LOST, &s.Lost},
		{probe.OomtraceCounterCOUNTER_LOST_EXIT, &s.LostExit},
		{probe.OomtraceCounterCOUNTER_LOST_CGROUP, &s.LostCgroup},
	} {
		if err := c.lookup(m.FD(), uint32(counter.key)); err != nil {
			return fmt.Errorf("read counters: %w", err)
		}
		for _, v := range c.perCPU {
			*counter.to += v
		}
	}
	return nil
}

// lookup reads one counter of all CPUs.
func (c *counters) lookup(fd int, key uint32) error {
	c.key = key
	c.attr = mapElement{
		fd: uint32(fd), key: uint64(uintptr(unsafe.Pointer(&c.key))), value: uint64(uintptr(unsafe.Pointer(&c.perCPU[0]))),
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_LOOKUP_ELEM, uintptr(unsafe.Pointer(&c.attr)), unsafe.Sizeof(c.attr))
		switch {
		case errno == 0:
			return nil
		case !errors.Is(errno, unix.EINTR):
			return errno
		}
	}
}
