package sink

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limitFile bounds the size of files, as a full disk does, for one test.
func limitFile(t *testing.T, size uint64) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_FSIZE, &before) })
}

// TestStreamShort: a write that only fits in part leaves nothing of it.
func TestStreamShort(t *testing.T) {
	for _, tt := range []struct {
		name   string
		flags  int
		before string
	}{
		{name: "appended to", flags: os.O_APPEND, before: "first\n"},
		{name: "from the start", flags: os.O_TRUNC},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(path, os.O_WRONLY|tt.flags, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			s := NewStream(f)
			line := strings.Repeat("x", 99) + "\n"
			limitFile(t, 250)
			for i := range 4 {
				n, err := s.Write([]byte(line))
				if fits := i < 2; fits != (err == nil) || fits != (n == len(line)) {
					t.Fatalf("write %d: %d, %v", i, n, err)
				}
				if i >= 2 && !errors.Is(err, unix.EFBIG) {
					t.Errorf("write %d: %v", i, err)
				}
			}
			if _, err := s.Write([]byte("short\n")); err != nil { // which still fits
				t.Error(err)
			}
			if b, _ := os.ReadFile(path); string(b) != tt.before+line+line+"short\n" {
				t.Errorf("%q", b)
			}
		})
	}
}

// TestStreamSharedStays: what others wrote is never taken away.
func TestStreamSharedStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	s := NewStream(f)
	if _, err := f.WriteString("half a lineother\n"); err != nil {
		t.Fatal(err)
	}
	if err := s.takeBack(0, int64(len("half a line"))); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "half a lineother\n" {
		t.Errorf("%q", b)
	}
}

func TestStreamCheck(t *testing.T) {
	open := func(path string, flags int) *os.File {
		f, err := os.OpenFile(path, flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	gone := open(os.DevNull, os.O_WRONLY)
	for _, tt := range []struct {
		name   string
		f      *os.File
		closed bool
	}{
		{"/dev/null as a shell opens it", open(os.DevNull, os.O_WRONLY), false},
		{"/dev/null as the runtime opens it", open(os.DevNull, os.O_RDWR), true},
		{"/dev/full", open("/dev/full", os.O_RDWR), false},
		{"opened for reading", open(os.DevNull, os.O_RDONLY), true},
		{"a pipe", w, false},
		{"the wrong end of a pipe", r, true},
		{"no descriptor", gone, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.f == gone {
				_ = gone.Close()
			}
			s := NewStream(tt.f)
			if err := s.Check(); errors.Is(err, ErrStreamClosed) != tt.closed {
				t.Error(err)
			}
			if _, err := s.Write(nil); tt.closed && !errors.Is(err, ErrStreamClosed) {
				t.Errorf("written: %v", err)
			}
		})
	}
}

// TestStreamHangup: the reader goes while nothing is written.
func TestStreamHangup(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name         string
		writer, peer *os.File
	}{
		{"pipe", w, r},
		{"socket", os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "peer")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() { _ = tt.writer.Close() }()
			s := NewStream(tt.writer)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.AwaitHangup(ctx) }()
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			if _, err := s.Write([]byte("line\n")); err != nil {
				t.Fatal(err)
			}
			go func() { ended <- s.AwaitHangup(t.Context()) }()
			select {
			case err := <-ended:
				t.Fatalf("before the reader went: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
			if err := tt.peer.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := NewStream(f).AwaitHangup(t.Context()); !errors.Is(err, ErrNoReader) {
		t.Errorf("a file: %v", err)
	}
}
