package tracer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/oomtrace/oomtrace/internal/probe"
)

// counters reads the programs' counters. Any goroutine may use it.
type counters struct {
	mu sync.Mutex
	// ledger is what the map of that name holds: no other process writes to it.
	ledger [probe.OomtraceCounterCOUNTER_COUNT]probe.OomtraceLedgerEntry
}

// open reads what an earlier reader left in the ledger.
func (c *counters) open(ledger *ebpf.Map) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.ledger {
		if err := ledger.Lookup(uint32(i), &c.ledger[i]); err != nil {
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

// total is what a counter has come to, and how much of it was reported.
func (c *counters) total(maps map[string]*ebpf.Map, key probe.OomtraceCounter) (total, reported uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := maps[probe.OomtraceMapCounters]
	if m == nil {
		return 0, 0, errors.New("read counters: closed")
	}
	if total, err = count(m, key); err != nil {
		return 0, 0, fmt.Errorf("read counters: %w", err)
	}
	return total + c.ledger[key].Inherited, c.ledger[key].Told, nil
}

// count reads a counter without a system call: it is asked for after each record. Builds
// of before had them per CPU, and their pins may be there.
func count(m *ebpf.Map, key probe.OomtraceCounter) (n uint64, err error) {
	if m.Type() == ebpf.PerCPUArray {
		var perCPU []uint64
		err = m.Lookup(uint32(key), &perCPU)
		for _, v := range perCPU {
			n += v
		}
		return n, err
	}
	memory, err := m.Memory()
	if err != nil {
		return 0, err
	}
	var value [8]byte
	_, err = memory.ReadAt(value[:], int64(key)*int64(len(value)))
	return binary.NativeEndian.Uint64(value[:]), err
}

// inherit adds to a counter what no program of this set has counted.
func (c *counters) inherit(ledger *ebpf.Map, key probe.OomtraceCounter, n uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger[key].Inherited += n
	return c.save(ledger, key)
}

// report keeps how much of a counter was reported.
func (c *counters) report(ledger *ebpf.Map, key probe.OomtraceCounter, n uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ledger[key].Told = n
	return c.save(ledger, key)
}

func (c *counters) save(ledger *ebpf.Map, key probe.OomtraceCounter) error {
	if err := ledger.Put(uint32(key), &c.ledger[key]); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}
