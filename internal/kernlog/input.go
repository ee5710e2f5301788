package kernlog

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// quietAfter is when an input without a line gives out the kills that wait for the
// reaper's outcome: that takes 3 s at most.
const quietAfter = 3500 * time.Millisecond

// Source gives the records of a log: a file, or what may still be written to, such as a
// pipe or a terminal. It is not safe for concurrent use.
type Source struct {
	r  *Reader
	in *input
}

// NewSource returns a source that must be closed; it leaves from open.
func NewSource(from io.Reader, o Options) (*Source, error) {
	in, err := newInput(from)
	if err != nil {
		return nil, err
	}
	return &Source{r: NewReader(in, o), in: in}, nil
}

// Next returns the next record. The end of the context ends the log: what was read till
// then is given out, then io.EOF. The error wraps ErrNotText when the input is no text.
func (s *Source) Next(ctx context.Context) (*oom.Record, error) {
	stop := s.in.until(ctx)
	defer stop()
	return s.r.Next()
}

// Done has nothing to acknowledge: a log stays.
func (s *Source) Done() error { return nil }

// Stats returns the counts so far.
func (s *Source) Stats() Stats { return s.r.Stats() }

// Close releases what waiting took.
func (s *Source) Close() error { return s.in.close() }

// input reads a log that may still be written to. It ends with its context, and returns
// os.ErrDeadlineExceeded once when nothing came for a while.
type input struct {
	ctx   context.Context // of the Next that is under way
	from  io.Reader
	raw   interface{ Control(func(fd uintptr)) error } // nil: cannot be waited for
	wake  [2]int                                       // a pipe, written to when the context ends
	after time.Duration
	said  bool // that nothing came, since the last input
}

// file is what can be waited for: a file, or what counts what is read of one.
type file interface {
	syscall.Conn
	Stat() (os.FileInfo, error)
}

func newInput(from io.Reader) (*input, error) {
	in := &input{ctx: context.Background(), from: from, after: quietAfter, wake: [2]int{-1, -1}}
	f, ok := from.(file)
	if !ok {
		return in, nil
	}
	if info, err := f.Stat(); err != nil || info.Mode().IsRegular() {
		return in, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := unix.Pipe2(in.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	in.raw = raw
	return in, nil
}

// until makes the context end what waits; the function returned takes that back.
func (in *input) until(ctx context.Context) (release func()) {
	in.ctx = ctx
	if in.raw == nil || ctx.Done() == nil {
		return func() {}
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(in.wake[1], []byte{0})
	})
	return func() {
		if !stop() {
			<-woken // the pipe is ours, and may be closed next
		}
	}
}

func (in *input) close() error {
	if in.raw == nil {
		return nil
	}
	in.raw = nil
	return errors.Join(unix.Close(in.wake[0]), unix.Close(in.wake[1]))
}

// Read gives io.EOF at the end of the context too: what was read till then is of use.
func (in *input) Read(p []byte) (int, error) {
	for {
		if in.ctx.Err() != nil {
			return 0, io.EOF
		}
		ready, err := in.wait()
		if err != nil {
			return 0, err
		}
		if ready {
			n, err := in.from.Read(p)
			in.said = in.said && n == 0
			return n, err
		}
	}
}

// wait returns true when the input can be read, false when it is to be asked again.
func (in *input) wait() (ready bool, err error) {
	if in.raw == nil {
		return true, nil
	}
	timeout := -1
	if !in.said {
		timeout = int(in.after.Milliseconds())
	}
	n := 0
	fds := [2]unix.PollFd{{Events: unix.POLLIN}, {Fd: int32(in.wake[0]), Events: unix.POLLIN}}
	control := in.raw.Control(func(fd uintptr) {
		fds[0].Fd = int32(fd)
		n, err = unix.Poll(fds[:], timeout)
	})
	switch {
	case control != nil:
		return false, control
	case errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, os.NewSyscallError("poll", err)
	case n == 0:
		in.said = true
		return false, os.ErrDeadlineExceeded
	}
	return fds[0].Revents != 0, nil
}
