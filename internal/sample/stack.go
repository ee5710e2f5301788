package sample

import (
	"bytes"
	stdhex "encoding/hex"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

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
	wait   time.Duration
	timer  *time.Timer
	bare   frames // of records that do not wait
	reader mapsReader
	ask    chan struct{}
	answer chan struct{}
	hangs  bool // the reader has not answered yet, and has its buffers
	// incident is the OOM that the reader's last answer is for; empty: none.
	incident []byte
}

// NewStacks starts the reader, which Close ends.
func NewStacks(o StackOptions) *Stacks {
	if o.Wait == 0 {
		o.Wait = 100 * time.Millisecond
	}
	s := &Stacks{
		wait: o.Wait, timer: time.NewTimer(o.Wait), ask: make(chan struct{}), answer: make(chan struct{}, 1),
		reader: mapsReader{files: files{root: o.Root}},
	}
	s.timer.Stop()
	go s.serve()
	return s
}

func (s *Stacks) serve() {
	defer close(s.answer)
	for range s.ask {
		s.reader.read()
		s.answer <- struct{}{}
	}
}

// Close ends the reader. One that hangs ends by itself once it has an answer.
func (s *Stacks) Close() {
	close(s.ask)
	if !s.answered() {
		return
	}
	for range s.answer { // until it is closed
	}
}

// answered says whether the reader is free.
func (s *Stacks) answered() bool {
	if s.hangs {
		select {
		case <-s.answer:
			s.hangs = false
		default:
		}
	}
	return !s.hangs
}

// UserStack names the trigger's return addresses, innermost first, by the file
// that is mapped there and the offset in it (Documentation/filesystems/proc.rst,
// maps). Of a process that is gone, or cannot be read in time, there are the
// build ids that the kernel saw, or bare addresses. The names live until the next
// call.
func (s *Stacks) UserStack(rec *oom.Record, stack []oom.UserFrame) {
	if i := slices.IndexFunc(stack, func(f oom.UserFrame) bool { return f.Address == 0 }); i >= 0 {
		stack = stack[:i]
	}
	if rec.Trigger == nil || len(stack) == 0 || !rec.Trigger.PID.Known {
		return
	}
	if s.again(rec, stack) || s.named(rec, stack) {
		if s.reader.found {
			rec.Sampled = append(rec.Sampled, "trigger.user_stack")
		}
		rec.Trigger.UserStack = append(rec.Trigger.UserStack, s.reader.names...)
		return
	}
	s.bare.reset(len(stack))
	s.bare.fill(stack)
	rec.Trigger.UserStack = append(rec.Trigger.UserStack, s.bare.names...)
}

// again says that the reader's last answer is for this stack too: one task asked
// for the memory, and a memory.oom.group has many victims.
func (s *Stacks) again(rec *oom.Record, stack []oom.UserFrame) bool {
	return len(s.incident) > 0 && string(s.incident) == rec.Incident && slices.Equal(s.reader.stack, stack)
}

// named lets the reader name the frames, and says whether it has done so.
func (s *Stacks) named(rec *oom.Record, stack []oom.UserFrame) bool {
	s.incident = s.incident[:0]
	if !s.answered() {
		return false
	}
	s.reader.pid = rec.Trigger.PID.Value
	s.reader.stack = append(s.reader.stack[:0], stack...)
	s.ask <- struct{}{}
	s.timer.Reset(s.wait)
	defer s.timer.Stop()
	select {
	case <-s.answer:
		s.incident = append(s.incident, rec.Incident...)
		return true
	case <-s.timer.C:
		s.hangs = true
		return false
	}
}

// frames are the names of a stack's frames, in memory that is used again.
type frames struct {
	text  []byte
	names []string
}

func (f *frames) reset(n int) {
	f.text, f.names = f.text[:0], f.names[:0]
	for range n {
		f.names = append(f.names, "")
	}
}

// fill gives the frames without a name their build id or address.
func (f *frames) fill(stack []oom.UserFrame) {
	for i := range stack {
		if f.names[i] == "" {
			f.names[i] = f.unmapped(&stack[i])
		}
	}
}

// mapsReader names the frames of one process.
type mapsReader struct {
	files
	frames
	pid   int32
	stack []oom.UserFrame
	found bool // a name
}

func (s *mapsReader) read() {
	s.reset(len(s.stack))
	s.found = s.readMaps(s.pid, s.stack)
	s.fill(s.stack)
}

// unmapped names a frame whose mapping is gone: by the build id that the kernel
// saw there, "build-id:<hex>+0x12", or else by its address.
func (f *frames) unmapped(at *oom.UserFrame) string {
	if at.BuildID == ([len(at.BuildID)]byte{}) {
		return f.frame(nil, "0x", at.Address)
	}
	start := len(f.text)
	f.text = append(f.text, "build-id:"...)
	f.text = stdhex.AppendEncode(f.text, at.BuildID[:])
	f.frame(nil, "+0x", at.Offset)
	return unsafe.String(&f.text[start], len(f.text)-start)
}

// frame makes "module+0x12" without memory of its own.
func (s *frames) frame(module []byte, sep string, n uint64) string {
	start := len(s.text)
	s.text = append(append(s.text, module...), sep...)
	s.text = strconv.AppendUint(s.text, n, 16)
	return unsafe.String(&s.text[start], len(s.text)-start)
}

// readMaps names the frames that lie in the files a process has mapped, and says
// whether there are any.
func (s *mapsReader) readMaps(pid int32, stack []oom.UserFrame) (named bool) {
	var digits [11]byte
	fd := s.open(unsafe.String(&digits[0], len(strconv.AppendInt(digits[:0], int64(pid), 10))), "maps")
	if fd < 0 {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	for total, kept := 0, 0; total < mapsBytes && kept < len(s.buf); {
		n := readOnce(fd, s.buf[kept:])
		if n <= 0 {
			break
		}
		total += n
		b := s.buf[:kept+n]
		end := bytes.LastIndexByte(b, '\n') + 1
		for lines := b[:end]; len(lines) > 0; {
			var line []byte
			line, lines, _ = bytes.Cut(lines, []byte("\n"))
			named = s.nameFrames(line, stack) || named
		}
		kept = copy(s.buf, b[end:])
	}
	return named
}

// nameFrames names the frames in one mapping: "from-to perms offset dev inode path".
func (s *mapsReader) nameFrames(line []byte, stack []oom.UserFrame) (named bool) {
	var f [6][]byte
	if !fields(line, f[:]) {
		return false
	}
	from, to, ok := bytes.Cut(f[0], []byte("-"))
	lo, loOK := hex(from)
	hi, hiOK := hex(to)
	offset, offsetOK := hex(f[2])
	if !ok || !loOK || !hiOK || !offsetOK {
		return false
	}
	module := f[5][bytes.LastIndexByte(f[5], '/')+1:]
	for i := range stack {
		if a := stack[i].Address; s.names[i] == "" && a >= lo && a < hi {
			s.names[i] = s.frame(module, "+0x", a-lo+offset)
			named = true
		}
	}
	return named
}

func hex(b []byte) (uint64, bool) {
	v, err := strconv.ParseUint(string(b), 16, 64)
	return v, err == nil
}
