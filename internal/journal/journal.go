// Package journal reads the last entries of systemd's journal from its files, whose
// format is public (https://systemd.io/JOURNAL_FILE_FORMAT). It starts no program and
// needs no library: it is for a process with few privileges and little memory.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Entry is one message.
type Entry struct {
	Time time.Time
	// PID is the process that wrote it, as journald saw it: a field that no process
	// can forge.
	PID     int32
	Message string
}

// ErrFormat is a file that is no journal, or damaged.
var ErrFormat = errors.New("not a journal file that can be read")

// Bounds of what is read for one question, whatever a file claims.
const (
	maxArrays  = 64  // arrays double in size
	maxEntries = 512 // entries looked at
	maxItems   = 128 // fields of an entry
	maxField   = 512 // bytes; journald compresses longer ones by default
)

// Dirs are where journald keeps its files: in memory, and on disk.
func Dirs() []string { return []string{"/run/log/journal", "/var/log/journal"} }

// Tail gives the entries of a process since a time, newest first, of the files that
// the journal of the system writes to now. A file that is not there has none.
func Tail(dirs []string, machine string, pid int32, since time.Time) ([]Entry, error) {
	var all []Entry
	var errs []error
	for _, dir := range dirs {
		f, err := os.Open(filepath.Join(dir, machine, "system.journal"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		entries, err := tail(f, pid, since)
		all = append(all, entries...)
		if err = errors.Join(err, f.Close()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name(), err))
		}
	}
	return all, errors.Join(errs...)
}

// Machine is the id of this machine, by which journald names its directory.
func Machine(path string) (string, error) {
	b, err := os.ReadFile(path)
	id := strings.TrimSpace(string(b))
	if err == nil && (len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "") {
		return "", fmt.Errorf("%s: not a machine id", path)
	}
	return id, err
}

// Sizes and offsets of the format, in bytes.
const (
	headerSize       = 208
	offsetFlags      = 12
	offsetEntries    = 152
	offsetEntryArray = 176

	entryRealtime = 24
	entryItems    = 64
	arrayNext     = 16
	arrayItems    = 24
	dataPayload   = 64
)

// Types and flags of objects and files.
const (
	typeData       = 1
	typeEntry      = 3
	typeEntryArray = 6
	compressed     = 7        // any of xz, lz4, zstd
	fileCompact    = 1 << 4   // 32-bit offsets
	fileKnown      = 1<<5 - 1 // the incompatible flags that are understood
)

type file struct {
	io.ReaderAt
	compact bool
}

func tail(r io.ReaderAt, pid int32, since time.Time) ([]Entry, error) {
	var header [headerSize]byte
	if _, err := r.ReadAt(header[:], 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	flags := binary.LittleEndian.Uint32(header[offsetFlags:])
	if string(header[:8]) != "LPKSHHRH" || flags&^fileKnown != 0 {
		return nil, ErrFormat
	}
	f := file{r, flags&fileCompact != 0}
	arrays, err := f.arrays(binary.LittleEndian.Uint64(header[offsetEntryArray:]))
	if err != nil {
		return nil, err
	}
	return f.newest(arrays, binary.LittleEndian.Uint64(header[offsetEntries:]), pid, since)
}

// array is a part of the list of all entries.
type array struct {
	at    uint64 // of the first item
	count uint64
}

func (f *file) width() uint64 {
	if f.compact {
		return 4
	}
	return 8
}

// arrays follows the chain of arrays that list all entries.
func (f *file) arrays(at uint64) ([]array, error) {
	var all []array
	for at != 0 && len(all) < maxArrays {
		head, size, err := f.object(at, typeEntryArray, arrayItems)
		if err != nil {
			return nil, err
		}
		all = append(all, array{at + arrayItems, (size - arrayItems) / f.width()})
		at = binary.LittleEndian.Uint64(head[arrayNext:])
	}
	return all, nil
}

// object reads the fixed part of an object, and says how long all of it is.
func (f *file) object(at uint64, kind byte, fixed int) (head []byte, size uint64, err error) {
	head = make([]byte, fixed)
	if at > 1<<62 {
		return nil, 0, ErrFormat
	}
	if _, err := f.ReadAt(head, int64(at)); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	size = binary.LittleEndian.Uint64(head[8:])
	if head[0] != kind || size < uint64(fixed) || size > 1<<40 {
		return nil, 0, ErrFormat
	}
	return head, size, nil
}

// newest goes back through the entries until one is too old.
func (f *file) newest(arrays []array, n uint64, pid int32, since time.Time) ([]Entry, error) {
	var out []Entry
	var before uint64 // entries in the arrays before
	for _, a := range arrays {
		before += a.count
	}
	n = min(n, before)
	for i, looked := len(arrays)-1, 0; i >= 0; i-- {
		before -= arrays[i].count
		for ; n > before; n-- {
			if looked++; looked > maxEntries {
				return out, nil
			}
			at, err := f.offset(arrays[i].at + (n-1-before)*f.width())
			if err != nil {
				return out, err
			}
			e, old, err := f.entry(at, since)
			if err != nil || old {
				return out, err
			}
			if e.PID == pid && e.Message != "" {
				out = append(out, e)
			}
		}
	}
	return out, nil
}

// offset reads one item of a list of offsets.
func (f *file) offset(at uint64) (uint64, error) {
	var b [8]byte
	if _, err := f.ReadAt(b[:f.width()], int64(at)); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// entry reads an entry's time, process and message.
func (f *file) entry(at uint64, since time.Time) (e Entry, old bool, err error) {
	head, size, err := f.object(at, typeEntry, entryItems)
	if err != nil {
		return e, false, err
	}
	e.Time = time.UnixMicro(int64(binary.LittleEndian.Uint64(head[entryRealtime:])))
	if e.Time.Before(since) {
		return e, true, nil
	}
	step := f.width()
	if !f.compact {
		step *= 2 // a hash follows each offset
	}
	items := min((size-entryItems)/step, maxItems)
	for i := range items {
		data, err := f.offset(at + entryItems + i*step)
		if err != nil {
			return e, false, err
		}
		field, err := f.field(data)
		if err != nil {
			return e, false, err
		}
		switch name, value, _ := strings.Cut(field, "="); name {
		case "MESSAGE":
			e.Message = value
		case "_PID":
			e.PID = number(value)
		}
	}
	return e, false, nil
}

// number is a process id, 0 if it is none.
func number(s string) (n int32) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 1<<26 {
			return 0
		}
		n = n*10 + int32(c-'0')
	}
	return n
}

// field reads a field, or nothing of one that is long or compressed.
func (f *file) field(at uint64) (string, error) {
	fixed := dataPayload
	if f.compact {
		fixed += 8
	}
	head, size, err := f.object(at, typeData, fixed)
	if err != nil {
		return "", err
	}
	n := size - uint64(fixed)
	if head[1]&compressed != 0 || n > maxField {
		return "", nil
	}
	text := make([]byte, n)
	if _, err := f.ReadAt(text, int64(at)+int64(fixed)); err != nil {
		return "", fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return string(text), nil
}
