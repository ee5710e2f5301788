package sink

import (
	"errors"
	"os"
	"path/filepath"
)

// CreateMark creates an empty file, which says by being there that a process is
// ready. Without a path it does nothing.
func CreateMark(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// RemoveMark removes the mark of an earlier run, which would be believed. What is
// no regular file stays.
func RemoveMark(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if path == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info, err := os.Stat(target); err == nil && info.Mode().IsRegular() {
		return os.Remove(target)
	}
	return nil
}
