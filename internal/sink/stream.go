package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// ErrStreamClosed is the error for a stream that was closed, or not opened
	// for writing, before this process started.
	ErrStreamClosed = errors.New("closed")
	// ErrNoReader is the error for a stream that no process reads while it is written:
	// a file or a terminal.
	ErrNoReader = errors.New("neither a pipe nor a socket")
)

// Stream writes whole lines to a file that another process opened and may share,
// such as stdout. In a regular file a line is whole or not there at all: what a
// full disk cut off is taken away again. One goroutine may write.
type Stream struct {
	f    *os.File
	kind uint32      // of the file (inode(7)); 0 if there is none
	stat unix.Stat_t // a field, so that a Write need not allocate it
	// closed says why nothing can be written.
	closed error
}

// NewStream returns a Stream that writes to f. Where Check fails, so does every
// Write.
func NewStream(f *os.File) *Stream {
	s := &Stream{f: f}
	if unix.Fstat(int(f.Fd()), &s.stat) == nil {
		s.kind = s.stat.Mode & unix.S_IFMT
	}
	s.closed = s.check()
	return s
}

// Write writes p, which is one or more whole lines. The error wraps the
// system's.
func (s *Stream) Write(p []byte) (int, error) {
	if s.closed != nil {
		return 0, s.closed
	}
	if s.kind != unix.S_IFREG {
		return s.f.Write(p)
	}
	before, err := s.size()
	if err != nil {
		return 0, err
	}
	n, err := s.f.Write(p)
	if err == nil || n == 0 {
		return n, err
	}
	if back := s.takeBack(before, int64(n)); back != nil {
		return n, errors.Join(err, back)
	}
	return 0, err
}

func (s *Stream) size() (int64, error) {
	if err := unix.Fstat(int(s.f.Fd()), &s.stat); err != nil {
		return 0, fmt.Errorf("stat %s: %w", s.f.Name(), err)
	}
	return s.stat.Size, nil
}

// takeBack removes the n bytes written last. It leaves them when they are not
// the end of the file, and all that came to it: other processes write there too.
func (s *Stream) takeBack(before, n int64) error {
	size, err := s.size()
	if err != nil || size != before+n {
		return err
	}
	if err := s.f.Truncate(before); err != nil {
		return fmt.Errorf("take half a line away: %w", cause(err))
	}
	// Not opened for appending, the next write would leave a hole.
	if _, err := s.f.Seek(before, 0); err != nil {
		return fmt.Errorf("take half a line away: %w", cause(err))
	}
	return nil
}

// Check says why nothing can be written, as far as that can be known: a program
// that is started with a closed descriptor 0, 1 or 2 has /dev/null there, since
// Go's runtime opens it (runtime.checkfds). That one is open for reading too,
// and no other descriptor is.
func (s *Stream) Check() error { return s.closed }

func (s *Stream) check() error {
	fd := int(s.f.Fd())
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("%s is %w: %w", s.f.Name(), ErrStreamClosed, err)
	}
	switch flags & unix.O_ACCMODE {
	case unix.O_WRONLY:
		return nil
	case unix.O_RDONLY:
		return fmt.Errorf("%s is %w for writing", s.f.Name(), ErrStreamClosed)
	}
	if s.kind != unix.S_IFCHR || s.stat.Rdev != unix.Mkdev(1, 3) {
		return nil
	}
	for other := range 3 {
		if other != fd && sameOpen(fd, other) {
			return nil // a daemon's: opened once and given to all three
		}
	}
	return fmt.Errorf("%s is %w", s.f.Name(), ErrStreamClosed)
}

// sameOpen says that two descriptors came from one open (kcmp(2), KCMP_FILE).
func sameOpen(a, b int) bool {
	pid := uintptr(os.Getpid())
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, pid, pid, 0, uintptr(a), uintptr(b), 0)
	return errno == 0 && order == 0
}

// AwaitHangup waits until no process can read what is written, or the
// context ends. It does not write, and takes no thread while it waits.
func (s *Stream) AwaitHangup(ctx context.Context) error {
	if s.kind != unix.S_IFIFO && s.kind != unix.S_IFSOCK {
		return ErrNoReader
	}
	watch, err := openHangup(int(s.f.Fd()))
	if err != nil {
		return fmt.Errorf("watch the reader of %s: %w", s.f.Name(), err)
	}
	defer func() { _ = watch.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = watch.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	conn, err := watch.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch the reader of %s: %w", s.f.Name(), err)
	}
	var events [1]unix.EpollEvent
	err = conn.Read(func(fd uintptr) bool {
		n, _ := unix.EpollWait(int(fd), events[:], 0)
		return n > 0
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// OnHangup calls end once nothing can read any more what is written, and fail
// when that cannot be watched. The function returned ends the watch.
func (s *Stream) OnHangup(ctx context.Context, end func(), fail func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := s.AwaitHangup(ctx)
		switch {
		case err == nil:
			end()
		case ctx.Err() == nil && !errors.Is(err, ErrNoReader):
			fail(err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// OnHangup is that of w, where w is a Stream; any other is not watched.
func OnHangup(ctx context.Context, w io.Writer, end func(), fail func(error)) (stop func()) {
	if s, ok := w.(*Stream); ok {
		return s.OnHangup(ctx, end, fail)
	}
	return func() {}
}

// openHangup returns an epoll descriptor that Go's own poller can wait for. It
// is readable once the descriptor has an error or its peer has closed: epoll
// always reports these two (epoll_ctl(2)).
func openHangup(fd int) (*os.File, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd)})
	if err == nil {
		err = unix.SetNonblock(epoll, true)
	}
	if err != nil {
		_ = unix.Close(epoll)
		return nil, err
	}
	return os.NewFile(uintptr(epoll), "hangup"), nil
}
