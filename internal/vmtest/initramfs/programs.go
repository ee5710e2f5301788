package initramfs

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ErrNoLibrary is a shared library that a program needs and the tree lacks.
var ErrNoLibrary = errors.New("shared library not found")

// Programs returns programs of a Debian file tree, with the shared libraries
// that they need. Paths are below the tree and become the guest's.
func Programs(root string, paths ...string) ([]File, error) {
	var files []File
	had := map[string]bool{}
	for _, p := range paths {
		files = append(files, File{Path: p, Host: filepath.Join(root, p), Mode: 0o755})
	}
	for i := 0; i < len(files); i++ {
		needed, err := libraries(root, files[i].Host)
		if err != nil {
			return nil, fmt.Errorf("initramfs: %s: %w", files[i].Path, err)
		}
		for _, f := range needed {
			if !had[f.Path] {
				had[f.Path] = true
				files = append(files, f)
			}
		}
	}
	return files, nil
}

// libraries gives what a program or library loads directly.
func libraries(root, host string) ([]File, error) {
	f, err := elf.Open(host)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) {
			return nil, nil // a script
		}
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	var files []File
	if p := f.Section(".interp"); p != nil {
		name, err := p.Data()
		if err != nil {
			return nil, err
		}
		loader := strings.TrimRight(string(name), "\x00")
		files = append(files, File{Path: loader, Host: filepath.Join(root, loader), Mode: 0o755})
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		lib, err := library(root, n)
		if err != nil {
			return nil, err
		}
		files = append(files, lib)
	}
	return files, nil
}

// library finds a library where Debian's loader looks for it.
func library(root, name string) (File, error) {
	for _, dir := range []string{"usr/lib/*-linux-gnu", "lib/*-linux-gnu", "usr/lib64", "usr/lib"} {
		found, err := filepath.Glob(filepath.Join(root, dir, name))
		if err != nil {
			return File{}, err
		}
		for _, host := range found {
			if _, err := os.Stat(host); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return File{Path: path.Join("/lib", filepath.Base(filepath.Dir(host)), name), Host: host, Mode: 0o644}, nil
		}
	}
	return File{}, fmt.Errorf("%w: %s", ErrNoLibrary, name)
}
