package tracer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ForeignPinError: a directory for --pin is or holds what oomtrace did not make.
// It is an ErrPin. What is foreign stays as it was.
type ForeignPinError struct {
	Dir string
	// Why the directory itself is refused; "" if Names are the reason.
	Why string
	// Names of foreign entries, relative to Dir.
	Names []string
	// Removed is set when oomtrace's own pins beside Names were removed.
	Removed bool
}

func (e *ForeignPinError) Error() string {
	switch {
	case e.Why != "":
		return fmt.Sprintf("%s %s", e.Dir, e.Why)
	case e.Removed:
		return fmt.Sprintf("%s: left in place, not pinned by oomtrace: %s", e.Dir, e.list())
	}
	return fmt.Sprintf("%s: not pinned by oomtrace: %s", e.Dir, e.list())
}

// list names the first few.
func (e *ForeignPinError) list() string {
	const most = 8
	quoted := make([]string, 0, most)
	for _, name := range e.Names[:min(len(e.Names), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	if more := len(e.Names) - most; more > 0 {
		quoted = append(quoted, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(quoted, ", ")
}

// Unwrap makes it an ErrPin.
func (e *ForeignPinError) Unwrap() error { return ErrPin }

// dirFacts are what decides whether a directory may hold our pins.
type dirFacts struct {
	symlink, directory bool
	uid                uint32
	mode               fs.FileMode
	// mountRoot: it is the root of a file system, not a directory that was made
	// on one.
	mountRoot bool
	// looseParent: others may rename the directory, or put another in its place.
	looseParent bool
}

// refuse says why pins must not be made or removed there, or "".
func (f dirFacts) refuse(self uint32) string {
	switch {
	case f.symlink:
		return "is a symbolic link"
	case !f.directory:
		return "is not a directory"
	case f.mountRoot:
		return "is the mount point of a bpffs, which other programs use too"
	case f.uid != self:
		return fmt.Sprintf("belongs to uid %d, not to uid %d, which runs oomtrace", f.uid, self)
	case f.mode.Perm()&0o022 != 0:
		return fmt.Sprintf("can be written by others (mode %04o)", f.mode.Perm())
	case f.looseParent:
		return "is in a directory where others may replace it"
	}
	return ""
}

// openOwnDir opens a directory that is ours, without following a link in its
// place. What is done through it stays in it.
func openOwnDir(name string) (*os.Root, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	facts, err := factsOf(name, info)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	if why := facts.refuse(uint32(os.Geteuid())); why != "" {
		return nil, &ForeignPinError{Dir: name, Why: why}
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	if now, err := root.Stat("."); err != nil || !os.SameFile(info, now) {
		return nil, errors.Join(&ForeignPinError{Dir: name, Why: "was replaced while oomtrace opened it"}, root.Close())
	}
	return root, nil
}

func factsOf(name string, info fs.FileInfo) (f dirFacts, err error) {
	f.symlink, f.directory, f.mode = info.Mode()&fs.ModeSymlink != 0, info.IsDir(), info.Mode()
	f.uid = owner(info)
	if !f.directory {
		return f, nil
	}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st); err != nil {
		return f, fmt.Errorf("statx %s: %w", name, err)
	}
	// The root of every file system that simple_fill_super makes is inode 1
	// (fs/libfs.c); a directory that is bind-mounted, as for a container, is not.
	f.mountRoot = st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 && st.Ino == 1
	parent, err := os.Stat(filepath.Dir(filepath.Clean(name)))
	if err != nil {
		return f, err
	}
	f.looseParent = parent.Mode().Perm()&0o022 != 0 && parent.Mode()&fs.ModeSticky == 0
	return f, nil
}

// owner is the uid of a file; what has none has no owner.
func owner(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return ^uint32(0)
}

// ownNames matches the names that oomtrace gives.
type ownNames struct{ set, pin *regexp.Regexp }

func newOwnNames() ownNames {
	return ownNames{
		set: regexp.MustCompile(`^l[0-9]{1,9}-[0-9a-f]{12}$`),
		pin: regexp.MustCompile(`^(` + strings.Join(slices.Concat(pinnedMaps(), historyMaps(), []string{
			pinComplete,
			pinSettings + `-[a-z_]+-[0-9]+-[0-9a-f]{12}(-(on|off))?`,
			`(` + pinLink + `|` + pinProgram + `)-[0-9]+-[a-z_]+-([0-9a-f]{2})+`,
		}), "|") + `)$`),
	}
}

// contents are those of a pin directory.
type contents struct {
	sets    []string            // names of sets, in order
	pins    map[string][]string // of each set
	foreign []string            // relative to the directory
}

// look reads a pin directory and changes nothing.
func look(dir fs.FS, self uint32) (c contents, err error) {
	names := newOwnNames()
	c.pins = map[string][]string{}
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrPin, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return c, fmt.Errorf("%w: %w", ErrPin, err)
		}
		if !e.IsDir() || !names.set.MatchString(e.Name()) || owner(info) != self {
			c.foreign = append(c.foreign, e.Name())
			continue
		}
		c.sets = append(c.sets, e.Name())
		pins, foreign, err := lookSet(dir, e.Name(), names, self)
		if err != nil {
			return c, err
		}
		c.pins[e.Name()] = pins
		c.foreign = append(c.foreign, foreign...)
	}
	return c, nil
}

func lookSet(dir fs.FS, set string, names ownNames, self uint32) (pins, foreign []string, err error) {
	entries, err := fs.ReadDir(dir, set)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, nil, fmt.Errorf("%w: %w", ErrPin, err)
		case info.Mode().IsRegular() && owner(info) == self && names.pin.MatchString(e.Name()):
			pins = append(pins, e.Name())
		default:
			foreign = append(foreign, path.Join(set, e.Name()))
		}
	}
	return pins, foreign, nil
}

// removePins removes what is ours of one set, and the set unless something
// foreign is in it. The kernel detaches a link when its last reference goes.
func removePins(dir *os.Root, set string, pins []string) error {
	// The mark goes first: half a set must not look like a whole one.
	errs := []error{ignoreMissing(dir.Remove(path.Join(set, pinComplete)))}
	for _, name := range pins {
		errs = append(errs, ignoreMissing(dir.Remove(path.Join(set, name))))
	}
	if err := dir.Remove(set); !errors.Is(err, unix.ENOTEMPTY) {
		errs = append(errs, ignoreMissing(err))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: remove: %w", ErrPin, err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeSet unpins one set. Foreign entries in it stay.
func removeSet(name string) error {
	dir, err := openOwnDir(filepath.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	set := filepath.Base(name)
	pins, _, err := lookSet(dir.FS(), set, newOwnNames(), uint32(os.Geteuid()))
	if err != nil {
		return err
	}
	return removePins(dir, set, pins)
}

// Unpin removes all that Open pinned below root, and root itself. It fails with
// ErrPin while a tracer uses it, and with a ForeignPinError, as one of them, where
// something there is not oomtrace's.
func Unpin(root string) error {
	if _, err := os.Lstat(root); err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	d, err := openPinDir(root)
	if err != nil {
		return err
	}
	defer func() { _ = d.close() }()
	if err := unpinAll(d.dir, root); err != nil {
		return err
	}
	if err := os.Remove(root); err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	return nil
}

// unpinAll removes the sets, once it has looked at everything.
func unpinAll(dir *os.Root, name string) error {
	c, err := look(dir.FS(), uint32(os.Geteuid()))
	if err != nil {
		return err
	}
	if len(c.sets) == 0 && len(c.foreign) > 0 {
		return &ForeignPinError{Dir: name, Names: c.foreign}
	}
	for _, set := range c.sets {
		if err := removePins(dir, set, c.pins[set]); err != nil {
			return err
		}
	}
	if len(c.foreign) > 0 {
		return &ForeignPinError{Dir: name, Names: c.foreign, Removed: true}
	}
	return nil
}
