package container

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/oomtrace/oomtrace/internal/cgroup"
)

const (
	// maxDepth and maxCgroups bound a walk of the tree.
	maxDepth   = 64
	maxCgroups = 1 << 17
)

// memoryTree is the directory of the root of the memory hierarchy; empty if it does
// not show. From a cgroup namespace of our own its path has nothing but "..", where
// it is mounted at all; else the first process has it.
func memoryTree(root string) string {
	h, err := cgroup.ReadHierarchies(root)
	if err == nil && strings.Trim(h.Memory.Root, "/.") == "" && h.Memory.Point != "" {
		if dir := filepath.Join(root, h.Memory.Point); whole(dir) {
			return dir
		}
	}
	first := filepath.Join(root, "proc/1")
	f, err := os.Open(filepath.Join(first, "mountinfo"))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	h, err = cgroup.ParseMountinfo(f)
	if err != nil || h.Memory.Point == "" {
		return ""
	}
	if dir := filepath.Join(first, "root", h.Memory.Point); whole(dir) {
		return dir
	}
	return ""
}

// whole says that a directory is the root of its hierarchy: on v2 it alone has no
// type, and v1 has no types at all.
func whole(dir string) bool {
	fi, err := os.Stat(dir)
	return err == nil && fi.IsDir() && !exists(filepath.Join(dir, "cgroup.type"))
}

// walk gives the path of each cgroup below the root of a hierarchy. A directory's
// links count what is below it, so that most need not be read.
func walk(dir string, each func(path string)) error {
	n := 0
	var down func(path string, depth int) error
	down = func(path string, depth int) error {
		at := filepath.Join(dir, path)
		if fi, err := os.Lstat(at); err != nil || leaf(fi) { // most are, and to open one takes four calls more
			return err
		}
		d, err := os.Open(at)
		if err != nil {
			return err
		}
		defer func() { _ = d.Close() }()
		for {
			entries, err := d.ReadDir(64)
			for _, e := range entries {
				if !e.IsDir() {
					continue
				}
				if n++; n > maxCgroups {
					return errTooMany
				}
				below := path + "/" + e.Name()
				each(below)
				if depth >= maxDepth {
					continue
				}
				if err := down(below, depth+1); err != nil && !errors.Is(err, os.ErrNotExist) {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
	return down("", 0)
}

var errTooMany = errors.New("too many cgroups")

// leaf says that nothing is below a directory. Of 1 link, some file systems do
// not count them.
func leaf(fi os.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 2
}
