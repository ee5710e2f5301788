package sink

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, opts Options) *File {
	t.Helper()
	s, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func write(t *testing.T, s *File, line string) {
	t.Helper()
	if n, err := s.Write([]byte(line)); err != nil || n != len(line) {
		t.Fatalf("Write(%q) = %d, %v", line, n, err)
	}
}

// want compares the files of a directory.
func want(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := files[e.Name()]; !ok || text != string(b) {
			t.Errorf("%s: %q, want %q", e.Name(), b, text)
		}
		delete(files, e.Name())
	}
	for name := range files {
		t.Errorf("no %s", name)
	}
}

func TestRotation(t *testing.T) {
	for _, tt := range []struct {
		name  string
		opts  Options
		lines []string
		files map[string]string
	}{
		{"without a maximum", Options{}, []string{"one\n", "two\n"}, map[string]string{"o": "one\ntwo\n"}},
		{"fits exactly", Options{MaxBytes: 8}, []string{"one\n", "two\n"}, map[string]string{"o": "one\ntwo\n"}},
		{"rotates", Options{MaxBytes: 7, Keep: 2}, []string{"1..\n", "2..\n", "3..\n", "4..\n"},
			map[string]string{"o": "4..\n", "o.1": "3..\n", "o.2": "2..\n"}},
		{"keeps none", Options{MaxBytes: 7, Keep: -1}, []string{"1..\n", "2..\n"}, map[string]string{"o": "2..\n"}},
		{"a line larger than a file", Options{MaxBytes: 4, Keep: 9}, []string{"1\n", "22222222\n", "3\n"},
			map[string]string{"o": "3\n", "o.1": "22222222\n", "o.2": "1\n"}},
		{"the default", Options{MaxBytes: 1}, []string{"1\n", "2\n", "3\n", "4\n", "5\n", "6\n", "7\n"},
			map[string]string{"o": "7\n", "o.1": "6\n", "o.2": "5\n", "o.3": "4\n", "o.4": "3\n", "o.5": "2\n"}},
		{"nothing", Options{}, []string{""}, map[string]string{"o": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.opts.Path = filepath.Join(dir, "o")
			s := open(t, tt.opts)
			for _, l := range tt.lines {
				write(t, s, l)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			want(t, dir, tt.files)
		})
	}
}

func TestOpenMendsTheLastLine(t *testing.T) {
	for _, tt := range []struct{ name, had, want string }{
		{"whole", "{}\n", "{}\nnew\n"},
		{"half JSON", "{}\n{\"a\":", "{}\nnew\n"},
		{"only half JSON", "{\"a\":", "new\n"},
		{"half text", "a\nb", "a\nb\nnew\n"},
		{"long half JSON", "{}\n{" + strings.Repeat("x", 100_000), "{}\nnew\n"},
		{"too long to be a line", "{" + strings.Repeat("x", mendBytes), "{" + strings.Repeat("x", mendBytes) + "\nnew\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "o")
			if err := os.WriteFile(path, []byte(tt.had), 0o600); err != nil {
				t.Fatal(err)
			}
			write(t, open(t, Options{Path: path}), "new\n")
			want(t, dir, map[string]string{"o": tt.want})
		})
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(dir, "used")
	open(t, Options{Path: used})
	for _, tt := range []struct {
		name, path string
		want       error
	}{
		{"a pipe", fifo, ErrNotRegular},
		{"a device", "/dev/null", ErrNotRegular},
		{"a directory", dir, syscall.EISDIR},
		{"no directory", filepath.Join(dir, "no", "o"), fs.ErrNotExist},
		{"in use", used, ErrInUse},
		{"no path", "", fs.ErrNotExist},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Open(Options{Path: tt.path})
			if s != nil || !errors.Is(err, tt.want) {
				t.Errorf("Open = %v, %v; want %v", s, err, tt.want)
			}
			if err != nil && tt.path != "" && strings.Count(err.Error(), tt.path) != 1 {
				t.Errorf("%v: names the path not once", err)
			}
		})
	}
}

func TestWriteErrors(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Path: filepath.Join(dir, "o")})
	if _, err := s.Write([]byte("half")); !errors.Is(err, ErrNotLines) {
		t.Errorf("half a line: %v", err)
	}
	write(t, s, "a\n")
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if _, err := s.Write([]byte("b\n")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	want(t, dir, map[string]string{"o": "a\n"})
}

// A rotation that does not work loses nothing of what was written, and is tried
// again.
func TestRotationFails(t *testing.T) {
	dir := t.TempDir()
	var notices []error
	s := open(t, Options{Path: filepath.Join(dir, "o"), MaxBytes: 4, Keep: 3, Notify: func(err error) { notices = append(notices, err) }})
	write(t, s, "zero\n")
	write(t, s, "one\n")
	withoutFiles(t, func() {
		for range 5 { // more than the files that are kept
			write(t, s, "two\n")
		}
	})
	write(t, s, "three\n")
	want(t, dir, map[string]string{"o": "three\n", "o.1": "one\n" + strings.Repeat("two\n", 5), "o.2": "zero\n"})
	if len(notices) != 2 || !errors.Is(notices[0], syscall.EMFILE) || notices[1] != nil {
		t.Errorf("notices %v", notices)
	}
}

// withoutFiles runs f while no file can be opened.
func withoutFiles(t *testing.T, f func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	f()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
}

// TestRotationToNothingFails: where no rotated file is kept, the old one is gone when the
// new one cannot be made: what was written into it would be lost.
func TestRotationToNothingFails(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Path: filepath.Join(dir, "o"), MaxBytes: 4, Keep: -1})
	write(t, s, "one\n")
	withoutFiles(t, func() {
		for range 2 {
			if n, err := s.Write([]byte("two\n")); n != 0 || !errors.Is(err, syscall.EMFILE) {
				t.Errorf("%d bytes written, %v", n, err)
			}
		}
	})
	write(t, s, "two\n")
	want(t, dir, map[string]string{"o": "two\n"})
}

// TestLinksAreNotFollowed: another user's link leads to nothing of ours.
func TestLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(target, []byte("theirs"), 0o600), os.Symlink("target", link)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Path: link}); !errors.Is(err, ErrLink) {
		t.Errorf("output file: %v", err)
	}
	if err := CreateMark(link); !errors.Is(err, os.ErrExist) {
		t.Errorf("mark: %v", err)
	}
	if err := errors.Join(RemoveMark(link), CreateMark(link)); err != nil {
		t.Fatal(err)
	}
	want(t, dir, map[string]string{"target": "theirs", "link": ""})
	if err := errors.Join(RemoveMark(link), RemoveMark(link)); err != nil {
		t.Error(err)
	}
	if err := RemoveMark(dir); !errors.Is(err, ErrNotRegular) {
		t.Errorf("a directory: %v", err)
	}
	// A link that comes between two files of a rotation is not followed either.
	s := open(t, Options{Path: filepath.Join(dir, "o"), MaxBytes: 4})
	write(t, s, "one\n")
	if err := errors.Join(os.Remove(filepath.Join(dir, "o")), os.Symlink("target", filepath.Join(dir, "o"))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("two\n")); !errors.Is(err, ErrLink) {
		t.Errorf("reopened: %v", err)
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "theirs" {
		t.Errorf("%q, %v", data, err)
	}
}

// TestForeignFile: in a directory for all, a file may be a trap.
func TestForeignFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "o")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	info.Sys().(*syscall.Stat_t).Uid++
	for mode, want := range map[os.FileMode]error{0o755: nil, 0o777 | os.ModeSticky: ErrForeign, 0o755 | os.ModeSticky: nil} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := checkOwner(dir, info); !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", mode, err, want)
		}
	}
}

// TestHardLink: where others may write, the file may be a second name of one of ours.
func TestHardLink(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "target"), filepath.Join(dir, "o")
	for mode, want := range map[os.FileMode]error{0o777 | os.ModeSticky: ErrForeign, 0o775: ErrForeign, 0o755: nil} {
		_ = os.Remove(path)
		if err := errors.Join(os.WriteFile(target, []byte("theirs"), 0o600), os.Link(target, path), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Path: path})
		if !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", mode, err, want)
		}
		data, rerr := os.ReadFile(target)
		if rerr != nil || want != nil && string(data) != "theirs" {
			t.Errorf("%v: %q, %v", mode, data, rerr)
		}
		if err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestFileRemovedOrEmptied(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "o")
	s := open(t, Options{Path: path})
	write(t, s, "one\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, s, "two\n")
	want(t, dir, map[string]string{"o": "two\n"})
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, s, "three\n")
	want(t, dir, map[string]string{"o": "three\n"})
}

func TestNoAllocation(t *testing.T) {
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "o"), MaxBytes: 1 << 30})
	line := []byte(`{"kind":"kill"}` + "\n")
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Write(line) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestFull lets the test binary run into a limit on the size of its files: the
// system then writes half of a line, as on a full disk.
func TestFull(t *testing.T) {
	const key = "SINK_TEST_PATH"
	if path := os.Getenv(key); path != "" {
		if err := full(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFull$")
	cmd.Env = append(os.Environ(), key+"="+filepath.Join(dir, "o"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want(t, dir, map[string]string{"o": "12345678\n" + "1234567\n" + "after\n"})
}

// full writes to a file that may have 20 bytes, and then more.
func full(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := Open(Options{Path: path})
	if err != nil {
		return err
	}
	if err := limit(20); err != nil {
		return err
	}
	for _, line := range []string{"12345678\n", "1234567\n"} {
		if _, err := s.Write([]byte(line)); err != nil {
			return err
		}
	}
	for range 2 {
		if n, err := s.Write([]byte("lost\n")); n != 0 || !errors.Is(err, syscall.EFBIG) {
			return fmt.Errorf("write to a full file: %d, %w", n, err)
		}
		b, err := os.ReadFile(path)
		if err != nil || !bytes.HasSuffix(b, []byte("7\n")) {
			return fmt.Errorf("after a full file: %q, %w", b, err)
		}
	}
	if err := limit(100); err != nil {
		return err
	}
	if _, err := s.Write([]byte("after\n")); err != nil {
		return err
	}
	return s.Close()
}

// limit sets the soft limit only: the hard one cannot be raised again.
func limit(bytes uint64) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &l); err != nil {
		return err
	}
	l.Cur = bytes
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &l)
}
