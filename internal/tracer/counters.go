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
	// ledger is what the map of that name holds: nobody else writes to it.
	ledger [probe.OomtraceCounterCOUNTER_COUNT]probe.OomtraceLedgerEntry
}

// mapElement is what BPF_MAP_LOOKUP_ELEM and BPF_MAP_UPDATE_ELEM take of union
// bpf_attr (include/uapi/linux/bpf.h).
type mapElement struct {
	fd    uint32
	_     uint32
	key   uint64
	value uint64
	flags uint64
}

// open reads what an earlier reader left in the ledger.
func (c *counters) open(ledger *ebpf.Map) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("read counters: %w", err)
	}
	c.perCPU = make([]uint64, cpus)
	for i := range c.ledger {
		if err := c.call(unix.BPF_MAP_LOOKUP_ELEM, ledger.FD(), uint32(i), unsafe.Pointer(&c.ledger[i])); err != nil {
			return fmt.Errorf("read ledger: %w", err)
		}
	}
	return nil
}

// read fills in all but what the kernel does not count.
func (c *counters) read(maps map[string]*ebpf.Map, s *Stats) error {
	for _, counter := range [...]struct {
		key probe.OomtraceCounter
		to  *uint64
	}{
		{probe.OomtraceCounterCOUNTER_VICTIMS, &s.Victims},
		{probe.OomtraceCounterCOUNTER_NO_VICTIM, &s.NoVictim},
		{probe.OomtraceCounterCOUNTER_REPEATED, &s.Repeated},
		{probe.OomtraceCounterCOUNTER_LOST, &s.Lost},
		{probe.OomtraceCounterCOUNTER_LOST_NO_VICTIM, &s.LostNoVictim},
		{probe.OomtraceCounterCOUNTER_LOST_EXIT, &s.LostExit},
		{probe.OomtraceCounterCOUNTER_LOST_CGROUP, &s.LostCgroup},
		{probe.OomtraceCounterCOUNTER_UNREADABLE, &s.Undecoded},
		{probe.OomtraceCounterCOUNTER_LOST_SIGKILL, &s.LostSigkill},
	} {
		var err error
		if *counter.to, _, err = c.total(maps, counter.key); err != nil {
			return err
		}
	}
	return nil
}

// total is what a counter has come to, and how much of it was told.
func (c *counters) total(maps map[string]*ebpf.Map, key probe.OomtraceCounter) (total, told uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.perCPU == nil {
		return 0, 0, errors.New("read counters: closed")
	}
	if err := c.call(unix.BPF_MAP_LOOKUP_ELEM, maps[probe.OomtraceMapCounters].FD(), uint32(key), unsafe.Pointer(&c.perCPU[0])); err != nil {
		return 0, 0, fmt.Errorf("read counters: %w", err)
	}
	for _, v := range c.perCPU {
		total += v
	}
	return total + c.ledger[key].Inherited, c.ledger[key].Told, nil
}

// inherit adds to a counter what no program of this set has counted.
func (c *counters) inherit(ledger *ebpf.Map, key probe.OomtraceCounter, n uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger[key].Inherited += n
	return c.save(ledger, key)
}

// tell keeps how much of a counter was told.
func (c *counters) tell(ledger *ebpf.Map, key probe.OomtraceCounter, n uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger[key].Told = n
	return c.save(ledger, key)
}

func (c *counters) save(ledger *ebpf.Map, key probe.OomtraceCounter) error {
	if err := c.call(unix.BPF_MAP_UPDATE_ELEM, ledger.FD(), uint32(key), unsafe.Pointer(&c.ledger[key])); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}

// call reads or writes one element.
func (c *counters) call(command uintptr, fd int, key uint32, value unsafe.Pointer) error {
	c.key = key
	c.attr = mapElement{fd: uint32(fd), key: uint64(uintptr(unsafe.Pointer(&c.key))), value: uint64(uintptr(value))}
	for {
		_, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(unsafe.Pointer(&c.attr)), unsafe.Sizeof(c.attr))
		switch {
		case errno == 0:
			return nil
		case !errors.Is(errno, unix.EINTR):
			return errno
		}
	}
}
