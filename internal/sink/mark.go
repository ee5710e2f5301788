package sink

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// CreateMark creates an empty file, which says by being there that a process is
// ready. It follows no link and opens no file of others. Without a path it does
// nothing.
func CreateMark(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return fmt.Errorf("create mark: %w", err)
	}
	return f.Close()
}

// RemoveMark removes a mark that an earlier run left. Of a symbolic link the link
// itself goes. What is neither is no mark, and an error.
func RemoveMark(path string) error {
	if path == "" {
		return nil
	}
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove mark: %w", err)
	}
	if mode := info.Mode(); !mode.IsRegular() && mode&os.ModeSymlink == 0 {
		return fmt.Errorf("remove mark: %s: %w", path, ErrNotRegular)
	}
	if err := ignoreMissing(os.Remove(path)); err != nil {
		return fmt.Errorf("remove mark: %w", err)
	}
	return nil
}
