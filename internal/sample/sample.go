// Package sample reads from /proc, just after a kill, what the kernel programs
// could not read at it: swap devices and huge pages, which no program passes, and
// on kernels that hide their data symbols the sizes of RAM and swap too. What it
// fills in is named in Record.Sampled.
package sample

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/procfs"
)

// Sampler reads one machine's /proc. It keeps its files open: one goroutine at a
// time may use it. The zero value reads /proc.
type Sampler struct {
	// Root is the directory that holds /proc's files; empty means /proc. Sys is
	// the same for /sys.
	Root, Sys string
	// Cgroups is where the whole hierarchy with the memory controller is mounted;
	// empty leaves the cgroups of candidates without names.
	Cgroups string

	swaps, meminfo, lruGen, mount file
	swappiness, allocatingTask    file
	psi, slabinfo, allocinfo      file
	reclaims                      map[string]bool // slab caches by name
	last                          machine
	readAt                        uint64 // CLOCK_BOOTTIME, in nanoseconds; 0: not yet
}

// fresh is how long what was read serves the kills before it too: a storm must
// not wait for /proc.
const fresh = uint64(100 * time.Millisecond)

// machine is what is read for every kill.
type machine struct {
	swaps   []oom.SwapDevice
	meminfo procfs.Meminfo
	huge    oom.Stats // empty where the kernel has no huge pages
	lruGen  oom.Opt[bool]

	// Both are read for the first record that asks for them.
	slabs                []oom.SlabCache
	sites                []oom.Allocation
	slabsRead, sitesRead bool
}

// Record fills in what a kill's record lacks, unless it has waited too long. A file that
// cannot be read leaves its part unknown.
func (s *Sampler) Record(rec *oom.Record) {
	if rec.Source != oom.SourceBPF || host.Waited(rec.UptimeNS.Value) {
		return
	}
	if rec.Memory == nil {
		if rec.Kind != oom.KindKill && rec.Kind != oom.KindNoVictim && rec.Kind != oom.KindSigkill {
			return
		}
		rec.Memory = &oom.Memory{}
	}
	if now := host.BootNS(); s.stale(rec, now) {
		s.readAt = now
		s.last = s.read()
	}
	s.fill(rec)
	if rec.Kind == oom.KindSigkill {
		s.free(rec)
		s.pressure(rec)
		return
	}
	s.sysctls(rec)
	s.slabs(rec)
	s.allocations(rec)
	s.candidates(rec)
	if len(rec.Sampled) == 0 && isEmpty(rec.Memory) {
		rec.Memory = nil
	}
}

// free is for a record that no OOM is behind: the kernel then took no notice of how
// much memory there was.
func (s *Sampler) free(rec *oom.Record) {
	m := rec.Memory
	for _, f := range [...]struct {
		to      *oom.Opt[uint64]
		read    oom.Opt[uint64]
		sampled string
	}{{&m.FreeBytes, s.last.meminfo.MemFree, oom.SampledFree}, {&m.AvailableBytes, s.last.meminfo.MemAvailable, oom.SampledAvailable}} {
		if f.read.Known {
			*f.to = f.read
			rec.Sampled = append(rec.Sampled, f.sampled)
		}
	}
}

// isEmpty reports that nothing is known of the machine's memory.
func isEmpty(m *oom.Memory) bool {
	return !m.TotalBytes.Known && !m.FreeBytes.Known && len(m.Stat) == 0 && len(m.Zones) == 0
}

// stale says that what was read before does not serve this record: it is old, or
// from before the kill.
func (s *Sampler) stale(rec *oom.Record, now uint64) bool {
	return s.readAt == 0 || now-s.readAt > fresh || rec.UptimeNS.Or(0) > s.readAt
}

// read reads what is sampled for every kill.
func (s *Sampler) read() machine {
	meminfo, _ := s.meminfo.read(s.proc("meminfo"))
	m := machine{meminfo: procfs.ParseMeminfo(meminfo)}
	if m.meminfo.SwapTotal.Or(1) > 0 {
		swaps, _ := s.swaps.readList(s.proc("swaps"))
		m.swaps = procfs.Swaps(swaps)
	}
	m.huge = s.hugepages(&m.meminfo)
	m.lruGen = lruGen(s.lruGen.read(s.sys("kernel/mm/lru_gen/enabled")))
	return m
}

func (s *Sampler) proc(name string) string { return below(s.Root, "/proc", name) }

func (s *Sampler) sys(name string) string { return below(s.Sys, "/sys", name) }

func below(dir, otherwise, name string) string {
	if dir == "" {
		dir = otherwise
	}
	return dir + "/" + name
}

// fill adds what was read to a record.
func (s *Sampler) fill(rec *oom.Record) {
	m, read := rec.Memory, &s.last
	if len(m.SwapDevices) == 0 && len(read.swaps) > 0 {
		m.SwapDevices = slices.Clone(read.swaps)
		rec.Sampled = append(rec.Sampled, oom.SampledSwapDevices)
	}
	for _, f := range [...]struct {
		to      *oom.Opt[uint64]
		read    oom.Opt[uint64]
		sampled string
	}{
		{&m.TotalBytes, read.meminfo.MemTotal, oom.SampledTotal},
		{&m.SwapTotalBytes, read.meminfo.SwapTotal, oom.SampledSwapTotal},
		{&m.SwapFreeBytes, read.meminfo.SwapFree, oom.SampledSwapFree},
	} {
		if f.read.Known && !f.to.Known {
			*f.to = f.read
			rec.Sampled = append(rec.Sampled, f.sampled)
		}
	}
	if _, known := m.Stat.Get(oom.StatHugepagesTotal); len(read.huge) > 0 && !known {
		m.Stat = append(m.Stat, read.huge...)
		rec.Sampled = append(rec.Sampled, oom.SampledHugepages)
	}
	for _, f := range [...]struct {
		read          oom.Opt[uint64]
		stat, sampled string
	}{
		{read.meminfo.Percpu, oom.StatPercpu, oom.SampledPercpu},
		{read.meminfo.VmallocUsed, oom.StatVmalloc, oom.SampledVmalloc},
	} {
		if f.read.Known {
			m.Stat = append(m.Stat, oom.Stat{Name: f.stat, Bytes: f.read.Value})
			rec.Sampled = append(rec.Sampled, f.sampled)
		}
	}
	if read.lruGen.Known {
		m.LRUGen = read.lruGen
		rec.Sampled = append(rec.Sampled, oom.SampledLRUGen)
	}
}

// lruGen parses /sys/kernel/mm/lru_gen/enabled: a mask, of which the lowest bit
// is the switch (Documentation/admin-guide/mm/multigen_lru.rst). A kernel without
// the file has the older LRU alone.
func lruGen(text string, err error) oom.Opt[bool] {
	if errors.Is(err, os.ErrNotExist) {
		return oom.Some(false)
	}
	digits, ok := strings.CutPrefix(strings.TrimSpace(text), "0x")
	mask, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil {
		return oom.Opt[bool]{}
	}
	return oom.Some(mask&1 != 0)
}

// hugeFiles are the counters of a size of huge pages below /sys
// (Documentation/admin-guide/mm/hugetlbpage.rst).
var hugeFiles = [...]struct{ file, stat string }{
	{"nr_hugepages", oom.StatHugepagesTotal},
	{"free_hugepages", oom.StatHugepagesFree},
	{"resv_hugepages", oom.StatHugepagesRsvd},
	{"surplus_hugepages", oom.StatHugepagesSurp},
}

// hugepages are the huge pages of all sizes. Meminfo counts those of one size, and
// has but the sum of all.
func (s *Sampler) hugepages(m *procfs.Meminfo) oom.Stats {
	size := m.Hugepagesize.Value
	if size == 0 {
		return nil
	}
	var out oom.Stats
	for i, pages := range [len(hugeFiles)]oom.Opt[uint64]{m.HugePagesTotal, m.HugePagesFree, m.HugePagesRsvd, m.HugePagesSurp} {
		out = append(out, oom.Stat{Name: hugeFiles[i].stat, Bytes: pages.Value * size})
	}
	if !m.Hugetlb.Known || m.Hugetlb.Value == out[0].Bytes {
		return out
	}
	clear(out)
	sizes, _ := os.ReadDir(s.sys("kernel/mm/hugepages"))
	for i, f := range hugeFiles {
		out[i].Name = f.stat
		for _, dir := range sizes {
			var kb uint64
			if _, err := fmt.Sscanf(dir.Name(), "hugepages-%dkB", &kb); err != nil {
				continue
			}
			if n, ok := number(os.ReadFile(s.sys("kernel/mm/hugepages/" + dir.Name() + "/" + f.file))); ok {
				out[i].Bytes += n * kb << 10
			}
		}
	}
	out[0].Bytes = m.Hugetlb.Value
	return out
}

// number reads a file that holds one.
func number[T string | []byte](text T, err error) (uint64, bool) {
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 54)
	return n, err == nil
}

func (s *Sampler) sysctls(rec *oom.Record) {
	m := rec.Memory
	if !m.Swappiness.Known {
		if v, ok := number(s.swappiness.readSysctl(s.proc("sys/vm/swappiness"))); ok && v <= 200 {
			m.Swappiness = oom.Some(uint32(v))
			rec.Sampled = append(rec.Sampled, oom.SampledSwappiness)
		}
	}
	if !m.OOMKillAllocatingTask.Known {
		if v, ok := number(s.allocatingTask.readSysctl(s.proc("sys/vm/oom_kill_allocating_task"))); ok {
			m.OOMKillAllocatingTask = oom.Some(v != 0)
			rec.Sampled = append(rec.Sampled, oom.SampledAllocatingTask)
		}
	}
}

// file is kept open from the first read on: opening one takes memory of the
// kernel, for which a machine that has none left lets its tasks wait.
type file struct {
	*os.File
	missing error // this kernel has no such file
	buf     []byte
}

const (
	// fileBytes is more than is used of any file.
	fileBytes = 16 << 10
	// sysctlBytes is more than a number has. As much is taken from the kernel's memory for
	// each read of a parameter (fs/proc/proc_sysctl.c, proc_sys_call_handler).
	sysctlBytes = 32
)

func (f *file) open(path string) (err error) {
	if f.File != nil || f.missing != nil {
		return f.missing
	}
	if f.File, err = os.Open(path); errors.Is(err, os.ErrNotExist) {
		f.missing = err
	}
	return err
}

// room is where the content goes.
func (f *file) room(size int) []byte {
	if f.buf == nil {
		f.buf = make([]byte, size)
	}
	return f.buf
}

// read returns the file's content as it is now. One call has it all: the kernel makes
// the whole text at once into memory that the open file has, unless the file is a list of
// records or a parameter. Nothing in it waits, and the scheduler need not know of it: it
// would take the processor away meanwhile.
func (f *file) read(path string) (string, error) {
	if err := f.open(path); err != nil {
		return "", err
	}
	buf := f.room(fileBytes)
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, f.Fd(), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
	if errno != 0 {
		return "", errno
	}
	return string(buf[:n]), nil
}

// readList does the same of a list, of which a call gives as many records as fit a page.
func (f *file) readList(path string) (string, error) { return f.readAll(path, fileBytes) }

// readSysctl does the same of a kernel parameter that is a number.
func (f *file) readSysctl(path string) (string, error) { return f.readAll(path, sysctlBytes) }

func (f *file) readAll(path string, size int) (string, error) {
	if err := f.open(path); err != nil {
		return "", err
	}
	n, err := f.ReadAt(f.room(size), 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(f.buf[:n]), nil
}
