package sample

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// mapsBytes bounds how much of /proc/PID/maps is read.
const mapsBytes = 256 << 10

// StackOptions may be zero.
type StackOptions struct {
	// Root is the directory that holds /proc's files; empty means /proc.
	Root string
	// Wait bounds how long a record waits for names; 0 means 100 ms.
	Wait time.Duration
}

// Stacks names the frames of user stacks. To read a process's maps takes its mmap
// lock, which a thread that waits for memory may hold for as long as there is
// none: so a goroutine of its own reads, and a record does not wait for one that
// hangs. One goroutine at a time may use it.
type Stacks struct {
	root string
	wait time.Duration
	// pending answers a read that was not waited for; nil: there is none. One at a
	// time reads, into buf: more than a line has, a name of PATH_MAX included.
	pending chan []string
	buf     [8 << 10]byte
	// The last answer, for the other victims of its OOM: one task asked for the
	// memory, and a memory.oom.group has many victims.
	incident string
	stack    []oom.UserFrame
	names    []string
}

// NewStacks returns a Stacks that reads this machine's /proc, or Root.
func NewStacks(o StackOptions) *Stacks {
	if o.Wait == 0 {
		o.Wait = 100 * time.Millisecond
	}
	return &Stacks{root: o.Root, wait: o.Wait}
}

// UserStack names the trigger's return addresses, innermost first, by the file
// that is mapped there and the offset in it (Documentation/filesystems/proc.rst,
// maps). Of a process that has exited, or cannot be read in time, there are the
// build ids that the kernel saw, or bare addresses.
func (s *Stacks) UserStack(rec *oom.Record, stack []oom.UserFrame) {
	if i := slices.IndexFunc(stack, func(f oom.UserFrame) bool { return f.Address == 0 }); i >= 0 {
		stack = stack[:i]
	}
	if rec.Trigger == nil || len(stack) == 0 || !rec.Trigger.PID.Known {
		return
	}
	if s.incident == "" || s.incident != rec.Incident || !slices.Equal(s.stack, stack) {
		s.incident, s.stack, s.names = "", stack, nil
		if names, ok := s.ask(rec, stack); ok {
			s.incident, s.names = rec.Incident, names
		}
	}
	for i := range stack {
		if s.names != nil && s.names[i] != "" {
			rec.Trigger.UserStack = append(rec.Trigger.UserStack, s.names[i])
		} else {
			rec.Trigger.UserStack = append(rec.Trigger.UserStack, unmapped(&stack[i]))
		}
	}
	if s.names != nil {
		rec.Sampled = append(rec.Sampled, oom.SampledUserStack)
	}
}

// ask reads the names of the frames that lie in mapped files; false: not in time. The pid may
// be another's where the record has waited.
func (s *Stacks) ask(rec *oom.Record, stack []oom.UserFrame) ([]string, bool) {
	if host.Waited(rec.UptimeNS.Value) {
		return nil, false
	}
	if s.pending != nil {
		select {
		case <-s.pending:
			s.pending = nil
		default:
			return nil, false
		}
	}
	answer := make(chan []string, 1)
	file := below(s.root, "/proc", strconv.Itoa(int(rec.Trigger.PID.Value))+"/maps")
	go func() { answer <- s.readMaps(file, stack) }()
	timer := time.NewTimer(s.wait)
	defer timer.Stop()
	select {
	case names := <-answer:
		return names, true
	case <-timer.C:
		s.pending = answer
		return nil, false
	}
}

// unmapped names a frame whose mapping was removed: by the build id that the kernel
// saw there, "build-id:<hex>+0x12", or else by its address.
func unmapped(f *oom.UserFrame) string {
	if f.BuildID == ([len(f.BuildID)]byte{}) {
		return "0x" + strconv.FormatUint(f.Address, 16)
	}
	return "build-id:" + hex.EncodeToString(f.BuildID[:]) + "+0x" + strconv.FormatUint(uint64(f.Offset), 16)
}

// readMaps names the frames that lie in the files a process has mapped; nil when
// none does. The mappings come in the order of their addresses.
func (s *Stacks) readMaps(file string, stack []oom.UserFrame) []string {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	last := slices.MaxFunc(stack, func(a, b oom.UserFrame) int { return cmp.Compare(a.Address, b.Address) }).Address
	var names []string
	kept := 0 // of a line that is not whole
	for total := 0; total < mapsBytes; {
		n, err := unix.Read(fd, s.buf[kept:])
		if err != nil || n <= 0 {
			break
		}
		total += n
		text := s.buf[:kept+n]
		for {
			line, rest, whole := bytes.Cut(text, []byte{'\n'})
			if !whole {
				break
			}
			text = rest
			if m, ok := parseMapping(line); ok && m.from > last {
				return names
			} else if ok {
				names = m.nameFrames(names, stack)
			}
		}
		kept = copy(s.buf[:], text)
	}
	return names
}

// mapping is one line of /proc/PID/maps.
type mapping struct {
	from, to, offset uint64
	path             []byte
}

// module is the last part of the mapped file's name.
func (m *mapping) module() string {
	first, _, _ := strings.Cut(string(m.path), " ")
	return path.Base(first)
}

// nameFrames names the frames that lie there.
func (m *mapping) nameFrames(names []string, stack []oom.UserFrame) []string {
	for i := range stack {
		if a := stack[i].Address; a >= m.from && a < m.to && (names == nil || names[i] == "") {
			if names == nil {
				names = make([]string, len(stack))
			}
			names[i] = m.module() + "+0x" + strconv.FormatUint(a-m.from+m.offset, 16)
		}
	}
	return names
}

// parseMapping reads "from-to perms offset dev inode path"; false for a mapping
// without a file. Processes have many, so nothing is allocated for one.
func parseMapping(line []byte) (m mapping, ok bool) {
	var f [5][]byte
	for i := range f {
		f[i], line, _ = bytes.Cut(line, []byte(" "))
	}
	if m.path = bytes.TrimLeft(line, " "); len(m.path) == 0 {
		return m, false
	}
	from, to, _ := bytes.Cut(f[0], []byte("-"))
	var errs [3]error
	m.from, errs[0] = strconv.ParseUint(string(from), 16, 64)
	m.to, errs[1] = strconv.ParseUint(string(to), 16, 64)
	m.offset, errs[2] = strconv.ParseUint(string(f[2]), 16, 64)
	return m, errs == [3]error{}
}
