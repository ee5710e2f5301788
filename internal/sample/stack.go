package sample

import (
	"bytes"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// mapsBytes bounds how much of /proc/PID/maps is read.
const mapsBytes = 256 << 10

// UserStack names the trigger's return addresses, innermost first, by the file
// that is mapped there and the offset in it (Documentation/filesystems/proc.rst,
// maps). A process that is gone leaves bare addresses. The names live until the
// next call.
func (s *Sampler) UserStack(rec *oom.Record, addresses []uint64) {
	if i := indexZero(addresses); i >= 0 {
		addresses = addresses[:i]
	}
	if rec.Trigger == nil || len(addresses) == 0 || !rec.Trigger.PID.Known {
		return
	}
	s.text, s.frames = s.text[:0], s.frames[:0]
	for range addresses {
		s.frames = append(s.frames, "")
	}
	if s.readMaps(rec.Trigger.PID.Value, addresses) {
		rec.Sampled = append(rec.Sampled, "trigger.user_stack")
	}
	for i, a := range addresses {
		if s.frames[i] == "" {
			s.frames[i] = s.frame(nil, "0x", a)
		}
	}
	rec.Trigger.UserStack = append(rec.Trigger.UserStack, s.frames...)
}

func indexZero(addresses []uint64) int {
	for i, a := range addresses {
		if a == 0 {
			return i
		}
	}
	return -1
}

// frame makes "module+0x12" without memory of its own.
func (s *Sampler) frame(module []byte, sep string, n uint64) string {
	start := len(s.text)
	s.text = append(append(s.text, module...), sep...)
	s.text = strconv.AppendUint(s.text, n, 16)
	return unsafe.String(&s.text[start], len(s.text)-start)
}

// readMaps names the frames that lie in the files a process has mapped, and says
// whether there are any.
func (s *Sampler) readMaps(pid int32, addresses []uint64) (named bool) {
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
			named = s.nameFrames(line, addresses) || named
		}
		kept = copy(s.buf, b[end:])
	}
	return named
}

// nameFrames names the frames in one mapping: "from-to perms offset dev inode path".
func (s *Sampler) nameFrames(line []byte, addresses []uint64) (named bool) {
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
	for i, a := range addresses {
		if s.frames[i] == "" && a >= lo && a < hi {
			s.frames[i] = s.frame(module, "+0x", a-lo+offset)
			named = true
		}
	}
	return named
}

func hex(b []byte) (uint64, bool) {
	v, err := strconv.ParseUint(string(b), 16, 64)
	return v, err == nil
}
