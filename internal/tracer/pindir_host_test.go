//go:build hosttest

package tracer

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/ring"
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

// TestHostDamagedPins: a set in which a map was replaced, or the ring's position written
// to, is refused with what to do, and can be removed.
func TestHostDamagedPins(t *testing.T) {
	replace := func(name string, spec ebpf.MapSpec) func(t *testing.T, set string) {
		return func(t *testing.T, set string) {
			m, err := ebpf.NewMap(&spec)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			path := filepath.Join(set, name)
			if err := errors.Join(os.Remove(path), m.Pin(path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	position := func(to uint64) func(t *testing.T, set string) {
		return func(t *testing.T, set string) {
			m, err := ebpf.LoadPinnedMap(filepath.Join(set, "events"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = m.Close() }()
			page, err := unix.Mmap(m.FD(), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err != nil {
				t.Fatal(err)
			}
			binary.NativeEndian.PutUint64(page, to)
			if err := unix.Munmap(page); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name        string
		damage      func(t *testing.T, set string)
		foreign, ok bool // neither: the ring is corrupt
	}{
		{"the ring is a hash", replace("events", ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 8}), true, false},
		{"the ring is smaller", replace("events", ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 4096}), false, true},
		{"one counter", replace("counters", ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE}), true, false},
		{"counters of other flags", replace("counters", ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 64}), true, false},
		{"a position beyond the end", position(1 << 40), false, false},
		{"a position within a header", position(4), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(mountPins(t), "oomtrace")
			tr, err := Open(t.Context(), Options{Pin: dir})
			if err != nil {
				t.Fatal(err)
			}
			set := tr.pin.path
			if err := tr.Close(); err != nil {
				t.Fatal(err)
			}
			tt.damage(t, set)
			tr, err = Open(t.Context(), Options{Pin: dir})
			if tr != nil {
				_ = tr.Close()
			}
			foreign := errors.As(err, new(*ForeignPinError))
			if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrPin) || foreign == errors.Is(err, ring.ErrCorrupt) && err != nil || foreign != tt.foreign {
				t.Errorf("foreign %v: %v", foreign, err)
			}
			if err := Unpin(dir); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHostMounted: what is mounted over the pin directory is neither used nor removed,
// before the start or while pins are made and ended.
func TestHostMounted(t *testing.T) {
	for _, tt := range []struct {
		name, fs, options string
	}{
		{"a tmpfs", "tmpfs", "mode=700"}, {"another bpffs", "bpf", "mode=700"}, {"a bind mount", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bpffs := mountPins(t)
			dir, other := filepath.Join(bpffs, "oomtrace"), filepath.Join(bpffs, "other")
			pinForeign(t, filepath.Join(other, "theirs"))
			tr, err := Open(t.Context(), Options{Pin: dir})
			if err != nil {
				t.Fatal(err)
			}
			if tt.fs == "" {
				err = unix.Mount(other, dir, "", unix.MS_BIND, "")
			} else {
				err = unix.Mount("x", dir, tt.fs, 0, tt.options)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := tr.Close(); err != nil { // its pins are below, and stay
				t.Error(err)
			}
			before := treeOf(t, bpffs)
			again, err := Open(t.Context(), Options{Pin: dir})
			if again != nil {
				_ = again.Close()
			}
			if !errors.Is(err, ErrPin) {
				t.Errorf("opened: %v", err)
			}
			if err := Unpin(dir); !errors.Is(err, ErrPin) {
				t.Errorf("unpinned: %v", err)
			}
			if after := treeOf(t, bpffs); strings.Join(before, " ") != strings.Join(after, " ") {
				t.Errorf("before %v\nafter  %v", before, after)
			}
			if err := unix.Unmount(dir, 0); err != nil {
				t.Fatal(err)
			}
			if tr, err = Open(t.Context(), Options{Pin: dir}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(tr.Close(), Unpin(dir)); err != nil {
				t.Error(err)
			}
		})
	}
}
