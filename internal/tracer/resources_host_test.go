//go:build hosttest

package tracer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHostFewDescriptors: however few descriptors there are, that is reported as
// such, and no lesser attach type comes of it.
func TestHostFewDescriptors(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: was.Max}); err != nil {
			t.Fatal(err)
		}
	}
	defer limit(was.Cur)
	full, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := len(full.links)
	if err := full.Close(); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for n := uint64(4); n < 100; n += 6 {
		limit(n)
		tr, err := Open(t.Context(), Options{})
		limit(was.Cur)
		switch {
		case err == nil:
			if len(tr.links) != want {
				t.Errorf("%d descriptors: %d links, want %d", n, len(tr.links), want)
			}
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		case errors.Is(err, ErrUnsupported), errors.Is(err, ErrPermission), !errors.Is(err, unix.EMFILE):
			t.Errorf("%d descriptors: %v", n, err)
		default:
			failed++
		}
	}
	if failed == 0 {
		t.Error("none was too few")
	}
}

// TestEndlessBTF: --btf takes no file that may have no end.
func TestHostEndlessBTF(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/zero", fifo, os.TempDir()} {
		if _, err := kernelTypes(path); !errors.Is(err, ErrBTF) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := kernelTypes("/nonexistent"); !errors.Is(err, ErrBTF) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
