// Package sample reads from /proc, just after a kill, what the kernel programs
// could not read at it: swap devices and huge pages, which no hook passes, and
// on kernels that hide their data symbols the sizes of RAM and swap too. What it
// fills in is named in Record.Sampled.
package sample

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Sampler reads one machine's /proc. It keeps its buffers: one goroutine at a
// time may use it. The zero value reads /proc.
type Sampler struct {
	// Root is the directory that holds /proc's files; empty means /proc. Sys is
	// the same for /sys.
	Root, Sys string
	// Cgroups is where the whole hierarchy with the memory controller is mounted;
	// empty leaves the cgroups of candidates without names.
	Cgroups string

	files
	devices []oom.SwapDevice
	huge    [4]oom.Stat // with the other values of meminfo beside them
	text    []byte      // backs the names of cgroups
	handle  kernfsHandle
	mem     meminfo
	lruGen  oom.Opt[bool]
	readAt  uint64 // CLOCK_BOOTTIME, in nanoseconds; 0: not yet
}

// files reads /proc's, into buffers of its own.
type files struct {
	root string
	buf  []byte
	path []byte
}

// fresh is how long what was read serves the kills before it too: a storm must
// not wait for /proc.
const fresh = uint64(100 * time.Millisecond)

// meminfo is what is taken from the file of that name, in bytes.
type meminfo struct {
	total, swapTotal, swapFree oom.Opt[uint64]
	percpu, vmalloc            oom.Opt[uint64]
	hugetlb                    oom.Opt[uint64] // huge pages of all sizes
	hasHuge                    bool
}

// Record fills in what a kill's record lacks. A file that cannot be read leaves
// its part unknown.
func (s *Sampler) Record(rec *oom.Record) {
	if rec.Source != oom.SourceBPF || rec.Memory == nil {
		return
	}
	s.root = s.Root
	if now := bootNS(); s.stale(rec, now) {
		s.readAt = now
		s.devices = appendSwaps(s.devices[:0], s.read("swaps"))
		s.mem = meminfo{}
		s.readMeminfo(s.read("meminfo"))
		s.otherSizes()
		s.lruGen = lruGen(s.readSys("kernel/mm/lru_gen/enabled"))
	}
	m := rec.Memory
	if len(s.devices) > 0 {
		m.SwapDevices = s.devices
		rec.Sampled = append(rec.Sampled, "memory.swap_devices")
	}
	fill(rec, &m.TotalBytes, "memory.total_bytes", s.mem.total)
	fill(rec, &m.SwapTotalBytes, "memory.swap_total_bytes", s.mem.swapTotal)
	fill(rec, &m.SwapFreeBytes, "memory.swap_free_bytes", s.mem.swapFree)
	if _, known := m.Stat.Get(oom.StatHugepagesTotal); s.mem.hasHuge && !known {
		m.Stat = append(m.Stat, s.huge[:]...)
		rec.Sampled = append(rec.Sampled, "memory.stat.hugepages")
	}
	addStat(rec, oom.StatPercpu, "memory.stat.percpu", s.mem.percpu)
	addStat(rec, oom.StatVmalloc, "memory.stat.vmalloc", s.mem.vmalloc)
	if s.lruGen.Known {
		m.LRUGen = s.lruGen
		rec.Sampled = append(rec.Sampled, "memory.lru_gen")
	}
	s.sysctls(rec)
	s.candidates(rec)
}

// stale says that what was read before does not serve this record: it is old, or
// from before the kill.
func (s *Sampler) stale(rec *oom.Record, now uint64) bool {
	return s.readAt == 0 || now-s.readAt > fresh || rec.UptimeNS.Or(0) > s.readAt
}

// bootNS is CLOCK_BOOTTIME, by which records of BPF are stamped.
func bootNS() uint64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return uint64(ts.Nano())
}

func addStat(rec *oom.Record, name, block string, v oom.Opt[uint64]) {
	if !v.Known {
		return
	}
	rec.Memory.Stat = append(rec.Memory.Stat, oom.Stat{Name: name, Bytes: v.Value})
	rec.Sampled = append(rec.Sampled, block)
}

// lruGen parses /sys/kernel/mm/lru_gen/enabled: a mask, of which the lowest bit
// is the switch (Documentation/admin-guide/mm/multigen_lru.rst). A kernel without
// the file has the older LRU alone.
func lruGen(b []byte) oom.Opt[bool] {
	b = bytes.TrimSpace(b)
	digits, ok := bytes.CutPrefix(b, []byte("0x"))
	v, valid := hex(digits)
	if !ok || !valid {
		return oom.Opt[bool]{Known: b == nil}
	}
	return oom.Some(v&1 != 0)
}

// bufBytes holds what is used of any file, and any line of one.
const bufBytes = 16 << 10

// read returns a file's content, valid until the next call; nil if there is none.
func (s *files) read(name string) []byte { return s.readAll(s.open(name)) }

// readSys is read for a file of /sys.
func (s *Sampler) readSys(name ...string) []byte {
	s.path = append(s.path[:0], s.Sys...)
	if s.Sys == "" {
		s.path = append(s.path, "/sys"...)
	}
	return s.readAll(s.openParts(name...))
}

func (s *files) readAll(fd int) []byte {
	if fd < 0 {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	n := 0
	for n < len(s.buf) {
		m := readOnce(fd, s.buf[n:])
		if m <= 0 {
			break
		}
		n += m
	}
	return s.buf[:n]
}

// open opens a file below the root, given by the parts of its name; it returns
// a negative number if it cannot. Neither the path nor the call needs memory,
// which there may be none of: os.Open does.
func (s *files) open(name ...string) int {
	s.path = append(s.path[:0], s.root...)
	if s.root == "" {
		s.path = append(s.path, "/proc"...)
	}
	return s.openParts(name...)
}

// openParts opens a file below the directory that path names.
func (s *files) openParts(name ...string) int {
	if s.buf == nil {
		s.buf = make([]byte, bufBytes)
	}
	for _, part := range name {
		s.path = append(append(s.path, '/'), part...)
	}
	return s.openPath()
}

// openPath opens the file that path names.
func (s *files) openPath() int {
	s.path = append(s.path, 0)
	at := unix.AT_FDCWD
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(&s.path[0])), unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return -1
	}
	return int(fd)
}

// readOnce reads what there is; 0 or less at the end, or when it fails.
func readOnce(fd int, to []byte) int {
	for {
		n, err := unix.Read(fd, to)
		if !errors.Is(err, unix.EINTR) {
			return n
		}
	}
}

// appendSwaps parses /proc/swaps (mm/swapfile.c, swap_show): name with octal
// escapes, type, size and used in KiB, priority. A device that was at the same
// place in the list before keeps its strings.
func appendSwaps(to []oom.SwapDevice, b []byte) []oom.SwapDevice {
	_, b, _ = bytes.Cut(b, []byte("\n")) // heading
	before := to[:cap(to)]
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		var f [5][]byte
		if !fields(line, f[:]) {
			continue
		}
		var old oom.SwapDevice
		if len(to) < len(before) {
			old = before[len(to)]
		}
		to = append(to, oom.SwapDevice{
			Name: unescape(old.Name, f[0]), Type: same(old.Type, f[1]),
			SizeBytes: kib(f[2]), UsedBytes: kib(f[3]), Priority: priority(f[4]),
		})
	}
	return to
}

// fields takes the first words of a line, and says whether it has that many.
func fields(line []byte, to [][]byte) bool {
	for i := range to {
		line = bytes.TrimLeft(line, " \t\n")
		if len(line) == 0 {
			return false
		}
		end := bytes.IndexAny(line, " \t\n")
		if end < 0 {
			end = len(line)
		}
		to[i], line = line[:end], line[end:]
	}
	return true
}

// same is b as a string: the old one, if it is that.
func same(old string, b []byte) string {
	if old == string(b) {
		return old
	}
	return string(b)
}

// unescape undoes seq_file's octal escapes of white space and backslashes.
func unescape(old string, b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return same(old, b)
	}
	var out []byte
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+3 < len(b) {
			if v, err := strconv.ParseUint(string(b[i+1:i+4]), 8, 8); err == nil {
				out = append(out, byte(v))
				i += 3
				continue
			}
		}
		out = append(out, b[i])
	}
	return string(out)
}

func kib(b []byte) oom.Opt[uint64] {
	v, err := strconv.ParseUint(string(b), 10, 54)
	if err != nil {
		return oom.Opt[uint64]{}
	}
	return oom.Some(v << 10)
}

func priority(b []byte) oom.Opt[int32] {
	v, err := strconv.ParseInt(string(b), 10, 32)
	if err != nil {
		return oom.Opt[int32]{}
	}
	return oom.Some(int32(v))
}

// readMeminfo takes the huge pages, and RAM and swap for records whose programs
// could not read them (fs/proc/meminfo.c, mm/hugetlb.c).
func (s *Sampler) readMeminfo(b []byte) {
	var total, free, rsvd, surp, size uint64
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\n"))
		name, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		v, ok := number(rest)
		if !ok {
			continue
		}
		switch string(name) {
		case "HugePages_Total":
			total = v
		case "HugePages_Free":
			free = v
		case "HugePages_Rsvd":
			rsvd = v
		case "HugePages_Surp":
			surp = v
		case "Hugepagesize":
			size = v << 10
		case "Hugetlb":
			s.mem.hugetlb = oom.Some(v << 10)
		case "Percpu":
			s.mem.percpu = oom.Some(v << 10)
		case "VmallocUsed":
			s.mem.vmalloc = oom.Some(v << 10)
		case "MemTotal":
			s.mem.total = oom.Some(v << 10)
		case "SwapTotal":
			s.mem.swapTotal = oom.Some(v << 10)
		case "SwapFree":
			s.mem.swapFree = oom.Some(v << 10)
		}
	}
	s.mem.hasHuge = size != 0
	s.huge = [...]oom.Stat{
		{Name: oom.StatHugepagesTotal, Bytes: total * size}, {Name: oom.StatHugepagesFree, Bytes: free * size},
		{Name: oom.StatHugepagesRsvd, Bytes: rsvd * size}, {Name: oom.StatHugepagesSurp, Bytes: surp * size},
	}
}

// hugeSizes are the directories of huge page sizes that any architecture has
// (Documentation/admin-guide/mm/hugetlbpage.rst).
const hugeSizes = "hugepages-64kB hugepages-2048kB hugepages-16384kB hugepages-32768kB hugepages-524288kB hugepages-1048576kB hugepages-16777216kB"

// otherSizes replaces meminfo's count of one size of huge pages by that of all,
// where there are others: meminfo has but their sum.
func (s *Sampler) otherSizes() {
	if !s.mem.hasHuge || !s.mem.hugetlb.Known || s.mem.hugetlb.Value == s.huge[0].Bytes {
		return
	}
	for i := range s.huge {
		s.huge[i].Bytes = 0
	}
	for sizes := hugeSizes; sizes != ""; {
		var dir string
		dir, sizes, _ = strings.Cut(sizes, " ")
		kb, _ := number([]byte(dir[len("hugepages-"):]))
		for i, file := range [len(s.huge)]string{"nr_hugepages", "free_hugepages", "resv_hugepages", "surplus_hugepages"} {
			if n, ok := number(s.readSys("kernel/mm/hugepages", dir, file)); ok {
				s.huge[i].Bytes += n * kb << 10
			}
		}
	}
	s.huge[0].Bytes = s.mem.hugetlb.Value
}

// fill sets what is not known from the kill itself.
func fill(rec *oom.Record, to *oom.Opt[uint64], name string, v oom.Opt[uint64]) {
	if to.Known || !v.Known {
		return
	}
	*to = v
	rec.Sampled = append(rec.Sampled, name)
}

// number reads the first number of a line.
func number(b []byte) (uint64, bool) {
	b = bytes.TrimLeft(b, " ")
	end := 0
	for end < len(b) && b[end] >= '0' && b[end] <= '9' {
		end++
	}
	v, err := strconv.ParseUint(string(b[:end]), 10, 54)
	return v, err == nil
}

func (s *Sampler) sysctls(rec *oom.Record) {
	m := rec.Memory
	if !m.Swappiness.Known {
		if v, ok := number(s.read("sys/vm/swappiness")); ok && v <= 200 {
			m.Swappiness = oom.Some(uint32(v))
			rec.Sampled = append(rec.Sampled, "memory.swappiness")
		}
	}
	if !m.OOMKillAllocatingTask.Known {
		if v, ok := number(s.read("sys/vm/oom_kill_allocating_task")); ok {
			m.OOMKillAllocatingTask = oom.Some(v != 0)
			rec.Sampled = append(rec.Sampled, "memory.oom_kill_allocating_task")
		}
	}
}
