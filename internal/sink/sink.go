// Package sink writes lines to a file that is rotated by size, for machines
// without a log collector.
package sink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// DefaultKeep is how many rotated files are kept by default.
const DefaultKeep = 5

var (
	// ErrNotRegular is the error for a path that is no regular file: a pipe or
	// a device is better written by way of stdout.
	ErrNotRegular = errors.New("not a regular file")
	// ErrNotLines is the error for a Write of something else than whole lines.
	ErrNotLines = errors.New("not whole lines")
	// ErrLink is the error for a path that is a symbolic link: it may be another
	// user's, and lead anywhere.
	ErrLink = errors.New("a symbolic link")
	// ErrForeign is the error for another user's file, or one with two names, where others may
	// create files.
	ErrForeign = errors.New("another user's file, or a second name of one, in a directory of others")
	// ErrInUse is the error for a file that another process writes.
	ErrInUse = errors.New("in use by another process")
)

// Options tell where to write. All but Path may be zero.
type Options struct {
	// Path is the file; it is appended to, or created with mode 0640. Rotated
	// files are beside it: Path.1 is the youngest.
	Path string
	// MaxBytes is the size that a file does not exceed; 0 means that it is
	// never rotated. A single Write that is larger gets a file of its own.
	MaxBytes int64
	// Keep is how many rotated files stay: 0 means DefaultKeep, less than 0
	// none.
	Keep int
	// Notify is called when the file cannot be rotated, and grows beyond MaxBytes
	// instead, and with nil when that is over. It may be nil.
	Notify func(error)
}

// File is a file of lines. It is locked (flock) while it is open, so that two
// processes do not rotate under each other. One goroutine may use it.
//
// A line is in the file whole or not at all: what a full disk cut off is taken
// away again at once, or else before the next line.
type File struct {
	path     string
	maxBytes int64
	keep     int
	f        *os.File
	// torn is set when a half line could not be taken away; good is then the
	// size that the file has without it.
	torn bool
	good int64
	stat unix.Stat_t // a field, so that a Write need not allocate it
	// stuck is set while the file cannot be rotated.
	stuck  bool
	notify func(error)
	// late are errors of rotated files, which came too late for their Write.
	late error
}

// Open opens the file. A half line at its end, left by a power cut, is removed
// when it looks like JSON, and ended otherwise.
func Open(opts Options) (*File, error) {
	s := &File{path: opts.Path, maxBytes: opts.MaxBytes, keep: opts.Keep, notify: opts.Notify}
	if s.keep == 0 {
		s.keep = DefaultKeep
	}
	f, err := s.open()
	if err != nil {
		return nil, fmt.Errorf("output file %s: %w", opts.Path, cause(err))
	}
	s.f = f
	return s, nil
}

// cause drops the path that os puts into its errors: it is named already.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// open opens path, and checks, locks and mends it.
func (s *File) open() (*os.File, error) {
	// Without O_NONBLOCK, opening a pipe would wait for its reader.
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0o640)
	if errors.Is(err, unix.ELOOP) {
		return nil, ErrLink
	}
	if err != nil {
		return nil, err
	}
	if err := s.prepare(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (s *File) prepare(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return ErrNotRegular
	}
	if err := checkOwner(filepath.Dir(s.path), info); err != nil {
		return err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrInUse
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := mend(f, info.Size()); err != nil {
		return fmt.Errorf("mend its last line: %w", err)
	}
	return nil
}

// checkOwner refuses a file that another user may have put there to be written to
// (proc(5), fs.protected_regular and fs.protected_hardlinks, which not every machine has
// set).
func checkOwner(dir string, file os.FileInfo) error {
	in, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := file.Sys().(*syscall.Stat_t)
	of, ofOK := in.Sys().(*syscall.Stat_t)
	if !ok || !ofOK {
		return nil
	}
	others := in.Mode().Perm()&0o022 != 0 || of.Uid != 0 && int(of.Uid) != os.Geteuid()
	all := in.Mode()&os.ModeSticky != 0 && in.Mode().Perm()&0o002 != 0
	if all && int(st.Uid) != os.Geteuid() || others && st.Nlink > 1 {
		return ErrForeign
	}
	return nil
}

// mendBytes is how far back the start of a half line is looked for.
const mendBytes = 1 << 20

// mend makes the file end with a whole line.
func mend(f *os.File, size int64) error {
	from := max(size-mendBytes, 0)
	tail := make([]byte, 1)
	if size == 0 {
		return nil
	}
	if _, err := f.ReadAt(tail, size-1); err != nil || tail[0] == '\n' {
		return err
	}
	tail = make([]byte, size-from)
	if _, err := f.ReadAt(tail, from); err != nil {
		return err
	}
	newline := bytes.LastIndexByte(tail, '\n')
	start := from + int64(newline) + 1
	if (newline >= 0 || from == 0) && tail[newline+1] == '{' {
		return f.Truncate(start)
	}
	_, err := f.Write([]byte{'\n'})
	return err
}

// Write writes p, which is one or more whole lines. After an error nothing of p
// is in the file and the next Write tries anew, so that it goes on once the
// disk has room again. The error wraps the system's, such as ENOSPC.
func (s *File) Write(p []byte) (int, error) {
	if err := s.write(p); err != nil {
		return 0, fmt.Errorf("output file %s: %w", s.path, cause(err))
	}
	return len(p), nil
}

func (s *File) write(p []byte) error {
	switch {
	case s.f == nil:
		return os.ErrClosed
	case len(p) == 0:
		return nil
	case p[len(p)-1] != '\n':
		return ErrNotLines
	}
	size, err := s.ready(int64(len(p)))
	if err != nil {
		return err
	}
	n, err := s.f.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil && n > 0 {
		s.torn, s.good = true, size
		return errors.Join(err, s.untear())
	}
	return err
}

// ready makes room for n bytes and returns the size of the file.
func (s *File) ready(n int64) (int64, error) {
	if err := s.untear(); err != nil {
		return 0, err
	}
	size, err := s.size()
	if err != nil {
		return 0, err
	}
	full := s.maxBytes > 0 && size > 0 && size+n > s.maxBytes
	gone := s.stat.Nlink == 0 // it was removed
	if !full && !gone {
		return size, nil
	}
	if !gone {
		err = s.shift()
	}
	if err == nil {
		err = s.reopen()
	}
	if err != nil {
		err = fmt.Errorf("rotate: %w", cause(err))
	}
	size, statErr := s.size()
	if err != nil && s.stat.Nlink == 0 {
		return 0, err // what is written now would be lost
	}
	s.rotated(err)
	return size, statErr
}

// rotated reports when rotating starts to fail, and when it works again.
func (s *File) rotated(err error) {
	if failed := err != nil; failed != s.stuck {
		s.stuck = failed
		if s.notify != nil {
			s.notify(err)
		}
	}
}

// untear takes a half line away.
func (s *File) untear() error {
	if !s.torn {
		return nil
	}
	size, err := s.size()
	if err != nil {
		return err
	}
	if size > s.good {
		if err := s.f.Truncate(s.good); err != nil {
			return fmt.Errorf("take a half line away: %w", cause(err))
		}
	}
	s.torn = false
	return nil
}

// size asks the system each time: the file may have been truncated.
func (s *File) size() (int64, error) {
	if err := unix.Fstat(int(s.f.Fd()), &s.stat); err != nil {
		return 0, fmt.Errorf("stat: %w", err)
	}
	return s.stat.Size, nil
}

// reopen opens the file of that name now. The old one stays open until that has
// worked.
func (s *File) reopen() error {
	f, err := s.open()
	if err != nil {
		return err
	}
	s.late = errors.Join(s.late, finish(s.f))
	s.f = f
	return nil
}

// CanRotate says whether the calling thread, with the ids and capabilities that
// it has, may rename and create files in the directory (path_resolution(7)).
func (s *File) CanRotate() error {
	dir := filepath.Dir(s.path)
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	if err == nil {
		err = s.mayRename(dir)
	}
	if err != nil {
		return fmt.Errorf("directory %s: %w", dir, err)
	}
	return nil
}

// mayRename: in a sticky directory, a file may be renamed by its owner, the
// directory's, and CAP_FOWNER.
func (s *File) mayRename(dir string) error {
	var d unix.Stat_t
	if err := unix.Stat(dir, &d); err != nil {
		return err
	}
	if _, err := s.size(); err != nil {
		return err
	}
	if me := uint32(os.Geteuid()); d.Mode&unix.S_ISVTX == 0 || d.Uid == me || s.stat.Uid == me {
		return nil
	}
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return err
	}
	if data[0].Effective&(1<<unix.CAP_FOWNER) == 0 {
		return unix.EPERM
	}
	return nil
}

// shift gives Path the number 1, 1 the number 2 and so on up to the first free
// number; if there is none, the last file goes. So a rotation that failed half
// way moves nothing twice when it is tried again.
func (s *File) shift() error {
	if s.keep < 0 {
		return ignoreMissing(os.Remove(s.path))
	}
	free := 0
	for free < s.keep && exists(s.numbered(free)) {
		free++
	}
	for i := free - 1; i >= 0; i-- {
		if err := os.Rename(s.numbered(i), s.numbered(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// exists says no only of a file that is surely missing.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// numbered returns the name of a rotated file; 0 is the current one.
func (s *File) numbered(i int) string {
	if i == 0 {
		return s.path
	}
	return s.path + "." + strconv.Itoa(i)
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// finish closes a file after its content has reached the disk.
func finish(f *os.File) error {
	err := f.Sync()
	// Some file systems cannot sync, and say so.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// Close brings what was written to the disk (fsync) and closes the file. It
// reports the errors of rotated files too. A second Close does nothing.
func (s *File) Close() error {
	if s.f == nil {
		return nil
	}
	err := errors.Join(s.late, s.untear(), finish(s.f))
	s.f, s.late = nil, nil
	if err != nil {
		return fmt.Errorf("output file %s: %w", s.path, err)
	}
	return nil
}
