package initramfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"
)

// Modules returns the named kernel modules and all that they need, in the
// order in which they load. dir is a release's module directory. A name that
// it has no file for is left out: the kernel may have it built in.
func Modules(dir string, names []string) ([]File, error) {
	index := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if name, _, ok := strings.Cut(filepath.Base(p), ".ko"); ok && err == nil && !d.IsDir() {
			index[moduleName(name)] = p
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	l := &loader{index: index, seen: map[string]bool{}}
	for _, name := range names {
		if err := l.add(moduleName(name)); err != nil {
			return nil, err
		}
	}
	return l.files, nil
}

// moduleName folds the two spellings that the kernel takes as one.
func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

type loader struct {
	index map[string]string
	seen  map[string]bool
	files []File
}

// add appends a module after the modules that it depends on.
func (l *loader) add(name string) error {
	p, ok := l.index[name]
	if !ok || l.seen[name] {
		return nil
	}
	l.seen[name] = true
	image, err := readModule(p)
	if err != nil {
		return fmt.Errorf("kernel module %s: %w", name, err)
	}
	needs, err := depends(image)
	if err != nil {
		return fmt.Errorf("kernel module %s: %w", name, err)
	}
	for _, need := range needs {
		if err := l.add(moduleName(need)); err != nil {
			return err
		}
	}
	l.files = append(l.files, File{Path: "vm/modules/" + name + ".ko", Data: image})
	return nil
}

// readModule reads a module and unpacks it where it is packed.
func readModule(p string) ([]byte, error) {
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	switch ext := filepath.Ext(p); ext {
	case ".ko":
		return io.ReadAll(f)
	case ".xz":
		r, err := xz.NewReader(f)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	default:
		return nil, fmt.Errorf("packed as %s, which is not supported", ext)
	}
}

// depends reads the modules that a module names in its .modinfo section.
func depends(image []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, nil
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for entry := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(entry, []byte("depends=")); ok {
			return slices.DeleteFunc(strings.Split(string(list), ","), func(s string) bool { return s == "" }), nil
		}
	}
	return nil, nil
}
