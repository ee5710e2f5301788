package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// writer makes a journal file, as journald lays it out.
type writer struct {
	b       []byte
	compact bool
}

func (w *writer) object(kind, flags byte, body []byte) (at uint64) {
	for len(w.b)%8 != 0 {
		w.b = append(w.b, 0)
	}
	at = uint64(len(w.b))
	w.b = append(w.b, kind, flags, 0, 0, 0, 0, 0, 0)
	w.b = binary.LittleEndian.AppendUint64(w.b, uint64(objectHeader+len(body)))
	w.b = append(w.b, body...)
	return at
}

const objectHeader = 16

func (w *writer) data(text string, flags byte) uint64 {
	fixed := dataPayload - objectHeader
	if w.compact {
		fixed += 8
	}
	return w.object(typeData, flags, append(make([]byte, fixed), text...))
}

func (w *writer) offsets(offsets []uint64, hashes bool) (b []byte) {
	for _, at := range offsets {
		switch {
		case w.compact:
			b = binary.LittleEndian.AppendUint32(b, uint32(at))
		case hashes:
			b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, at), 0)
		default:
			b = binary.LittleEndian.AppendUint64(b, at)
		}
	}
	return b
}

func (w *writer) entry(at time.Time, fields ...uint64) uint64 {
	body := make([]byte, entryItems-objectHeader)
	binary.LittleEndian.PutUint64(body[entryRealtime-objectHeader:], uint64(at.UnixMicro()))
	return w.object(typeEntry, 0, append(body, w.offsets(fields, true)...))
}

// journal has messages of processes 7 and 8, one a second, and arrays of 2 and 4
// entries; of the last array one item is not used yet.
func journal(compact bool) []byte {
	w := &writer{b: make([]byte, 272), compact: compact}
	copy(w.b, "LPKSHHRH")
	if compact {
		w.b[offsetFlags] = fileCompact
	}
	pids := []uint64{w.data("_PID=7", 0), w.data("_PID=8", 0)}
	unit := w.data("_SYSTEMD_UNIT=x.service", 0)
	var entries []uint64
	for i := range 5 {
		var flags byte
		if i == 3 {
			flags = 4 // zstd
		}
		message := w.data(fmt.Sprintf("MESSAGE=message %d = _PID=9", i), flags)
		entries = append(entries, w.entry(start().Add(time.Duration(i)*time.Second), unit, message, pids[min(i%4, 1)]))
	}
	second := w.object(typeEntryArray, 0, append(make([]byte, 8), w.offsets(append(entries[2:5:5], 0), false)...))
	next := binary.LittleEndian.AppendUint64(nil, second)
	first := w.object(typeEntryArray, 0, append(next, w.offsets(entries[:2], false)...))
	binary.LittleEndian.PutUint64(w.b[offsetEntries:], 5)
	binary.LittleEndian.PutUint64(w.b[offsetEntryArray:], first)
	return w.b
}

// TestTail: the messages of one process since a time, newest first, in both layouts.
func TestTail(t *testing.T) {
	for _, compact := range []bool{false, true} {
		for _, tc := range []struct {
			name  string
			pid   int32
			since time.Duration
			want  []int
		}{
			{"one process", 8, 0, []int{2, 1}}, // 3 is compressed
			{"the other", 7, 0, []int{4, 0}},
			{"since", 7, time.Second, []int{4}},
			{"at that very moment", 7, 4 * time.Second, []int{4}},
			{"too late", 7, 5 * time.Second, nil},
			{"a process that is only in a message", 9, 0, nil},
		} {
			t.Run(fmt.Sprintf("%s, compact %v", tc.name, compact), func(t *testing.T) {
				got, err := tail(bytes.NewReader(journal(compact)), tc.pid, start().Add(tc.since))
				if err != nil || len(got) != len(tc.want) {
					t.Fatalf("%v, %v", got, err)
				}
				for i, n := range tc.want {
					if e := got[i]; e.Message != fmt.Sprintf("message %d = _PID=9", n) || !e.Time.Equal(start().Add(time.Duration(n)*time.Second)) {
						t.Errorf("%+v, want message %d", e, n)
					}
				}
			})
		}
	}
}

// TestTailFiles: a file that is not there has no messages, one that is no journal is
// an error, and what the others have is there.
func TestTailFiles(t *testing.T) {
	const machine = "0123456789abcdef0123456789abcdef"
	good, bad := t.TempDir(), t.TempDir()
	for dir, data := range map[string][]byte{good: journal(true), bad: []byte("no journal")} {
		if err := os.Mkdir(filepath.Join(dir, machine), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, machine, "system.journal"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Tail([]string{t.TempDir(), good}, machine, 7, start())
	if err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	got, err = Tail([]string{bad, good}, machine, 7, start())
	if !errors.Is(err, ErrFormat) || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestMachine(t *testing.T) {
	for text, ok := range map[string]bool{
		"0123456789abcdef0123456789abcdef\n": true, "": false, "uninitialized\n": false,
		"../../../../../../../../etc/passw": false, "0123456789abcdef0123456789abcdeg": false,
	} {
		path := filepath.Join(t.TempDir(), "machine-id")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err := Machine(path); (err == nil) != ok || ok != (id != "") {
			t.Errorf("%q: %q, %v", text, id, err)
		}
	}
}

// FuzzTail: no file makes it fail otherwise than by an error, or read without end.
func FuzzTail(f *testing.F) {
	f.Add(journal(false))
	f.Add(journal(true))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := tail(bytes.NewReader(b), 7, start())
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.PID != 7 || len(e.Message) > maxField {
				t.Errorf("%+v", e)
			}
		}
	})
}
