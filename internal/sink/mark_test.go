package sink

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestMark(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ready")
	exists := func(path string) bool { _, err := os.Lstat(path); return err == nil }
	for _, step := range []struct {
		name  string
		do    func() error
		there bool
	}{
		{"no path", func() error { return errors.Join(CreateMark(""), RemoveMark("")) }, false},
		{"nothing to remove", func() error { return RemoveMark(path) }, false},
		{"create", func() error { return CreateMark(path) }, true},
		{"create again", func() error {
			if err := CreateMark(path); !errors.Is(err, os.ErrExist) {
				return errors.New("another's file was taken")
			}
			return nil
		}, true},
		{"remove", func() error { return RemoveMark(path) }, false},
	} {
		if err := step.do(); err != nil || exists(path) != step.there {
			t.Errorf("%s: %v, there %v", step.name, err, exists(path))
		}
	}
	if err := RemoveMark(dir); !errors.Is(err, ErrNotRegular) || !exists(dir) {
		t.Errorf("a directory: %v, there %v", err, exists(dir))
	}
	if err := CreateMark(filepath.Join(dir, "missing", "ready")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
