// Package kernels finds the kernels that the tests boot: it turns a name such
// as "6.12" into a kernel image and a directory of modules.
//
// The kernels are Debian's cloud kernels, fetched through apt from the mirror
// that apt on this machine is set up with, kept in a cache and used again.
// Nothing is installed and apt's own lists and configuration are not touched.
package kernels

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnknown is returned for a name that Names does not have.
var ErrUnknown = errors.New("unknown kernel")

// Kernel is a kernel on disk, ready to boot.
type Kernel struct {
	// Name is what was asked for, such as "6.12" or "6.1-arm64".
	Name string
	// Arch is Go's name of the architecture.
	Arch string
	// Release is what uname -r will print.
	Release string
	// Image is the path of the bootable image.
	Image string
	// Modules is the directory that holds this release's kernel/ tree.
	Modules string
}

// Options says where kernels are kept. The zero value works.
type Options struct {
	// Dir is the cache; empty means $OOMTRACE_CACHE/kernels, and without that
	// variable $XDG_CACHE_HOME/oomtrace/kernels.
	Dir string
}

// source is where a kernel comes from: the suite of the Debian archive whose
// metapackage names it.
type source struct {
	name, suite, arch string
}

// sources lists the kernels of the matrix. "7.x" is whatever is newest in
// trixie-backports.
func sources() []source {
	return []source{
		{"5.10", "bullseye", "amd64"},
		{"6.1", "bookworm", "amd64"},
		{"6.12", "trixie", "amd64"},
		{"7.x", "trixie-backports", "amd64"},
		{"6.1-arm64", "bookworm", "arm64"},
	}
}

// Names returns the kernels that Resolve knows, oldest first.
func Names() []string {
	var names []string
	for _, s := range sources() {
		names = append(names, s.name)
	}
	return names
}

// Resolve returns the named kernel, fetching it first if the cache lacks it.
// Two processes may resolve at the same time: one fetches, the other waits.
func Resolve(ctx context.Context, name string, opts Options) (*Kernel, error) {
	src, err := lookup(name)
	if err != nil {
		return nil, err
	}
	dir, err := cacheDir(opts)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(filepath.Join(dir, name+".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	home := filepath.Join(dir, name)
	k, err := open(src, home)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := fetch(ctx, src, dir, home); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	return open(src, home)
}

func lookup(name string) (source, error) {
	for _, s := range sources() {
		if s.name == name {
			return s, nil
		}
	}
	return source{}, fmt.Errorf("%w %q (have %s)", ErrUnknown, name, strings.Join(Names(), ", "))
}

// cacheDir gives the cache, which it makes.
func cacheDir(opts Options) (dir string, err error) {
	if dir = opts.Dir; dir == "" {
		if dir, err = defaultDir(); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("kernel cache: %w", err)
	}
	return dir, nil
}

func defaultDir() (string, error) {
	if dir := os.Getenv("OOMTRACE_CACHE"); dir != "" {
		return filepath.Join(dir, "kernels"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("kernel cache: %w (set OOMTRACE_CACHE)", err)
	}
	return filepath.Join(dir, "oomtrace", "kernels"), nil
}

// open reads a kernel's directory in the cache. It exists only when complete,
// since fetch renames it into place.
func open(src source, home string) (*Kernel, error) {
	release, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", src.name, err)
	}
	return &Kernel{
		Name:    src.name,
		Arch:    src.arch,
		Release: string(release),
		Image:   filepath.Join(home, "vmlinuz"),
		Modules: filepath.Join(home, "modules"),
	}, nil
}

// lock takes an exclusive lock on a file. It is released with the process, so an
// interrupted run leaves nothing behind.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("kernel cache: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}
