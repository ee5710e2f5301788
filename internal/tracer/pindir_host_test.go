//go:build hosttest

package tracer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// mountPins mounts a bpffs for one test.
func mountPins(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func pinForeign(t *testing.T, path string) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "foreign", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.Pin(path); err != nil {
		t.Fatal(err)
	}
}

// TestHostForeignPins: neither --pin nor unpin removes or takes over what another
// program pinned.
func TestHostForeignPins(t *testing.T) {
	bpffs := mountPins(t)
	ours := filepath.Join(bpffs, "oomtrace")
	for _, name := range []string{"cilium/calls", "cilium/deep/link", "l9-0123456789ab/map", "top"} {
		pinForeign(t, filepath.Join(bpffs, name))
	}
	if err := os.Symlink(filepath.Join(bpffs, "cilium"), filepath.Join(bpffs, "link")); err != nil {
		t.Fatal(err)
	}
	others := filepath.Join(bpffs, "theirs")
	if err := errors.Join(os.Mkdir(others, 0o700), os.Chown(others, 1234, 1234)); err != nil {
		t.Fatal(err)
	}
	before := treeOf(t, bpffs)
	for _, tt := range []struct{ dir, why string }{
		{bpffs, "mount point"}, {filepath.Join(bpffs, "cilium"), `"calls"`}, {filepath.Join(bpffs, "link"), "symbolic link"},
		{others, "uid 1234"}, {filepath.Join(bpffs, "l9-0123456789ab"), `"map"`},
	} {
		tr, err := Open(t.Context(), Options{Pin: tt.dir})
		if tr != nil {
			_ = tr.Close()
		}
		for what, err := range map[string]error{"open": err, "unpin": Unpin(tt.dir)} {
			if !errors.As(err, new(*ForeignPinError)) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%s %s: %v, want %q", what, tt.dir, err, tt.why)
			}
		}
	}
	tr, err := Open(t.Context(), Options{Pin: ours})
	if err != nil {
		t.Fatal(err)
	}
	if err := Unpin(ours); !errors.Is(err, ErrPin) || errors.As(err, new(*ForeignPinError)) {
		t.Errorf("in use: %v", err)
	}
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Unpin(ours); err != nil {
		t.Fatal(err)
	}
	if after := treeOf(t, bpffs); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("before %v\nafter  %v", before, after)
	}
}

// TestHostHijackedPins: another program's map under the name of ours is not read.
func TestHostHijackedPins(t *testing.T) {
	dir := filepath.Join(mountPins(t), "oomtrace")
	tr, err := Open(t.Context(), Options{Pin: dir})
	if err != nil {
		t.Fatal(err)
	}
	counters := filepath.Join(tr.pin.path, "counters")
	if err := errors.Join(tr.Close(), os.Remove(counters)); err != nil {
		t.Fatal(err)
	}
	pinForeign(t, counters)
	tr, err = Open(t.Context(), Options{Pin: dir})
	if tr != nil {
		_ = tr.Close()
	}
	if !errors.As(err, new(*ForeignPinError)) || !strings.Contains(err.Error(), "another program's map") {
		t.Errorf("opened: %v", err)
	}
	if err := Unpin(dir); err != nil {
		t.Error(err)
	}
}
