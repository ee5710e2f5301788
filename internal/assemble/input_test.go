package assemble

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const oneKill = "[    5.000001] Out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB, UID:5 pgtables:40kB oom_score_adj:7\n"

// TestInput: every kind of input is read whole, and ends with its context.
func TestInput(t *testing.T) {
	text := strings.Repeat(oneKill, 3000) // more than a pipe holds
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(t *testing.T, name string) *os.File {
		f, err := openFile(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	for name, c := range map[string]struct {
		in   func(t *testing.T) io.Reader
		want string
	}{
		"no file":  {func(*testing.T) io.Reader { return strings.NewReader(text) }, text},
		"a file":   {func(t *testing.T) io.Reader { return open(t, file) }, text},
		"a device": {func(t *testing.T) io.Reader { return open(t, os.DevNull) }, ""},
		"a fifo": {func(t *testing.T) io.Reader {
			go func() {
				w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
				if err == nil {
					_, err = io.WriteString(w, text)
					err = errors.Join(err, w.Close())
				}
				if err != nil {
					t.Error(err)
				}
			}()
			return open(t, fifo)
		}, text},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			i, err := newInput(ctx, c.in(t), func() error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = i.Close() }()
			if got, err := io.ReadAll(i); err != nil || string(got) != c.want {
				t.Errorf("%d of %d bytes, %v", len(got), len(c.want), err)
			}
			cancel()
			if n, err := i.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("after the end: %d, %v", n, err)
			}
		})
	}
}

// TestInputQuiet: the call comes once for each time that nothing comes, and its
// error ends the input.
func TestInputQuiet(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	var calls int
	full := errors.New("full")
	in, err := newInput(context.Background(), r, func() error {
		if calls++; calls == 3 {
			return full
		}
		_, err := io.WriteString(w, "x")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	in.after = time.Millisecond
	defer func() { _ = in.Close() }()
	got, err := io.ReadAll(in)
	if string(got) != "xx" || !errors.Is(err, full) || calls != 3 {
		t.Errorf("%q, %v, %d calls", got, err, calls)
	}
}
