//go:build hosttest

package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHostFullDisk fills a small tmpfs, frees it and goes on.
func TestHostFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	filler, path := filepath.Join(dir, "filler"), filepath.Join(dir, "o")
	if err := os.WriteFile(filler, make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Options{Path: path, MaxBytes: 24 << 10, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(`{"a":"` + strings.Repeat("x", 3000) + `"}` + "\n")
	refused, written := 0, 0
	for i := range 60 {
		n, err := s.Write(line)
		switch {
		case err == nil:
			written++
		case n == 0 && errors.Is(err, unix.ENOSPC):
			refused++
		default:
			t.Fatalf("write %d: %d, %v", i, n, err)
		}
		checkLines(t, path)
		if refused == 5 {
			if err := os.Remove(filler); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	if refused != 5 || written != 55 {
		t.Errorf("%d written, %d refused", written, refused)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkLines(t, path+".1")
}

// checkLines wants whole JSON lines and nothing else.
func checkLines(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for l := range bytes.Lines(b) {
		if !json.Valid(l) || l[len(l)-1] != '\n' {
			t.Fatalf("%s: half a line of %d bytes", path, len(l))
		}
	}
}
