package history

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// machine is what is kept of /proc/meminfo, in KiB; unknownKiB where the kernel
// does not give it.
type machine struct {
	total, free, anon, file, slab, swapFree, swapTotal uint64
}

const unknownKiB = ^uint64(0)

// meminfo reads /proc/meminfo (Documentation/filesystems/proc.rst) through a
// descriptor that stays open.
type meminfo struct {
	fd  int
	buf [4096]byte
}

func openMeminfo(path string) (*meminfo, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &meminfo{fd: fd}, nil
}

func (m *meminfo) read() (machine, bool) {
	n, err := unix.Pread(m.fd, m.buf[:], 0)
	if err != nil || n == 0 {
		return machine{}, false
	}
	return parseMeminfo(m.buf[:n]), true
}

func (m *meminfo) close() error { return unix.Close(m.fd) }

func parseMeminfo(b []byte) machine {
	m := machine{total: unknownKiB, free: unknownKiB, anon: unknownKiB, slab: unknownKiB, swapFree: unknownKiB, swapTotal: unknownKiB}
	active, inactive := unknownKiB, unknownKiB
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte{'\n'})
		name, rest, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		var to *uint64
		switch string(name) {
		case "MemTotal":
			to = &m.total
		case "MemFree":
			to = &m.free
		case "AnonPages":
			to = &m.anon
		case "Active(file)":
			to = &active
		case "Inactive(file)":
			to = &inactive
		case "SUnreclaim":
			to = &m.slab
		case "SwapTotal":
			to = &m.swapTotal
		case "SwapFree":
			to = &m.swapFree
		default:
			continue
		}
		if v, ok := number(bytes.TrimSuffix(rest, []byte("kB"))); ok {
			*to = v
		}
	}
	m.file = unknownKiB
	if active != unknownKiB && inactive != unknownKiB {
		m.file = active + inactive
	}
	return m
}

// number reads a decimal number with spaces around it.
func number(b []byte) (uint64, bool) {
	v, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	return v, err == nil
}

// machineHistory is the machine's memory up to a time.
func machineHistory(s *series[machine], ns uint64) *oom.MemoryHistory {
	points := s.before(nil, ns)
	if len(points) == 0 {
		return nil
	}
	h := &oom.MemoryHistory{Source: oom.HistorySampled}
	for _, p := range points {
		back, _ := ago(p.when, ns)
		h.Points = append(h.Points, oom.MemoryPoint{
			AgoNS: back, FreeBytes: kib(p.value.free), AnonBytes: kib(p.value.anon), FileBytes: kib(p.value.file),
			SlabUnreclaimableBytes: kib(p.value.slab), SwapFreeBytes: kib(p.value.swapFree),
		})
	}
	h.SpanNS = oom.Some(h.Points[0].AgoNS)
	return h
}

func kib(v uint64) oom.Opt[uint64] {
	if v == unknownKiB {
		return oom.Opt[uint64]{}
	}
	return oom.Some(v << 10)
}
