// Package initramfs writes an initial file system for a Linux kernel: a cpio
// archive in the newc format (kernel: Documentation/driver-api/early-userspace/buffer-format.rst).
package initramfs

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// File is one file of the archive. One of Data, Host and Link says what it
// holds; without any of them it is an empty file.
type File struct {
	// Path is where the guest finds it, with or without a leading slash.
	// Directories on the way are made.
	Path string
	// Mode has the permission bits; 0 means 0755 for a file read from Host
	// that is executable there, otherwise 0644. fs.ModeDir makes a directory.
	Mode fs.FileMode
	Data []byte
	// Host is a file on this machine to copy.
	Host string
	// Link makes a symbolic link to this target.
	Link string
}

// newc's file types, as in stat(2).
const (
	typeDir  = 0o040000
	typeFile = 0o100000
	typeLink = 0o120000
)

// Write writes an archive of the files. Of two files with the same path the
// later one wins.
func Write(w io.Writer, files []File) error {
	a := &archive{w: bufio.NewWriterSize(w, 1<<20)}
	byPath := map[string]File{}
	for _, f := range files {
		f.Path = strings.TrimPrefix(path.Clean("/"+f.Path), "/")
		byPath[f.Path] = f
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if _, ok := byPath[dir]; !ok {
				byPath[dir] = File{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	paths := make([]string, 0, len(byPath))
	for p := range byPath {
		if p != "" {
			paths = append(paths, p)
		}
	}
	// Sorted, a directory comes before what it holds.
	slices.Sort(paths)
	for _, p := range paths {
		if err := a.file(byPath[p]); err != nil {
			return fmt.Errorf("initramfs: /%s: %w", p, err)
		}
	}
	a.header("TRAILER!!!", 0, 0)
	a.pad(512)
	if a.err == nil {
		a.err = a.w.Flush()
	}
	return a.err
}

// archive keeps the first error; writes after it do nothing.
type archive struct {
	w     *bufio.Writer
	n     int64
	inode uint32
	err   error
}

func (a *archive) file(f File) error {
	switch {
	case f.Mode.IsDir():
		a.header(f.Path, typeDir|uint32(f.Mode.Perm()), 0)
	case f.Link != "":
		a.header(f.Path, typeLink|0o777, int64(len(f.Link)))
		a.write([]byte(f.Link))
	case f.Host != "":
		return a.copy(f)
	default:
		mode := f.Mode.Perm()
		if mode == 0 {
			mode = 0o644
		}
		a.header(f.Path, typeFile|uint32(mode), int64(len(f.Data)))
		a.write(f.Data)
	}
	a.pad(4)
	return a.err
}

func (a *archive) copy(f File) error {
	in, err := os.Open(f.Host)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	st, err := in.Stat()
	if err != nil {
		return err
	}
	mode := f.Mode.Perm()
	if mode == 0 {
		mode = 0o644 | st.Mode().Perm()&0o111
	}
	a.header(f.Path, typeFile|uint32(mode), st.Size())
	if a.err != nil {
		return a.err
	}
	n, err := io.CopyN(a.w, in, st.Size())
	a.n += n
	if err != nil {
		return err
	}
	a.pad(4)
	return a.err
}

// header writes the 110 bytes in hexadecimal, the name with its NUL, padding.
func (a *archive) header(name string, mode uint32, size int64) {
	if size > 0xffffffff {
		a.err = fmt.Errorf("%d bytes are too many for newc", size)
		return
	}
	a.inode++
	fields := [13]uint32{0: a.inode, 1: mode, 4: 1, 6: uint32(size), 11: uint32(len(name) + 1)}
	b := []byte("070701")
	for _, v := range fields {
		b = fmt.Appendf(b, "%08x", v)
	}
	b = append(b, name...)
	a.write(append(b, 0))
	a.pad(4)
}

func (a *archive) write(b []byte) {
	if a.err != nil {
		return
	}
	var n int
	n, a.err = a.w.Write(b)
	a.n += int64(n)
}

func (a *archive) pad(to int64) {
	if over := a.n % to; over != 0 {
		a.write(make([]byte, to-over))
	}
}
