package sample

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// mapsBytes bounds how much of /proc/PID/maps is read.
const mapsBytes = 256 << 10

// UserStack names the trigger's return addresses, innermost first, by the file
// that is mapped there and the offset in it (Documentation/filesystems/proc.rst,
// maps). A process that is gone leaves bare addresses.
func (s *Sampler) UserStack(rec *oom.Record, addresses []uint64) {
	if rec.Trigger == nil || len(addresses) == 0 || !rec.Trigger.PID.Known {
		return
	}
	maps := s.readMaps(rec.Trigger.PID.Value)
	named := false
	for _, a := range addresses {
		if a == 0 {
			break
		}
		module, offset, ok := findModule(maps, a)
		if !ok {
			rec.Trigger.UserStack = append(rec.Trigger.UserStack, "0x"+strconv.FormatUint(a, 16))
			continue
		}
		named = true
		rec.Trigger.UserStack = append(rec.Trigger.UserStack, fmt.Sprintf("%s+0x%x", module, offset))
	}
	if named {
		rec.Sampled = append(rec.Sampled, "trigger.user_stack")
	}
}

func (s *Sampler) readMaps(pid int32) []byte {
	root := s.Root
	if root == "" {
		root = "/proc"
	}
	f, err := os.Open(filepath.Join(root, strconv.Itoa(int(pid)), "maps"))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(&limited{f, mapsBytes}); err != nil && b.Len() == 0 {
		return nil
	}
	return b.Bytes()
}

// limited reads no more than n bytes.
type limited struct {
	f *os.File
	n int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.n <= 0 {
		return 0, os.ErrClosed
	}
	n, err := l.f.Read(p[:min(len(p), l.n)])
	l.n -= n
	return n, err
}

// findModule looks an address up in the lines "from-to perms offset dev inode path".
func findModule(maps []byte, address uint64) (module string, offset uint64, ok bool) {
	for line := range bytes.Lines(maps) {
		fields := bytes.Fields(line)
		if len(fields) < 6 {
			continue
		}
		from, to, ok := bytes.Cut(fields[0], []byte("-"))
		lo, err1 := strconv.ParseUint(string(from), 16, 64)
		hi, err2 := strconv.ParseUint(string(to), 16, 64)
		off, err3 := strconv.ParseUint(string(fields[2]), 16, 64)
		if !ok || err1 != nil || err2 != nil || err3 != nil || address < lo || address >= hi {
			continue
		}
		return filepath.Base(string(fields[5])), address - lo + off, true
	}
	return "", 0, false
}
