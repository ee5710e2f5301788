package assemble

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// quietAfter is when an input without a line makes the kills be written that
// wait for the reaper's outcome: that takes 3 s at most.
const quietAfter = 3500 * time.Millisecond

// input reads a log that may still be written to: a pipe, a terminal. It ends
// with its context, and tells when nothing came for a while.
type input struct {
	ctx   context.Context
	end   context.CancelFunc
	f     io.Reader
	raw   interface{ Control(func(fd uintptr)) error } // nil: cannot be waited for
	wake  [2]int                                       // a pipe, written to when the context ends
	after time.Duration
	// quiet is called after so long without input; its error ends the input.
	quiet func() error
	told  bool // since the last input
}

// newInput must be closed; it leaves r open.
func newInput(ctx context.Context, r io.Reader, quiet func() error) (*input, error) {
	ctx, end := context.WithCancel(ctx)
	in := &input{ctx: ctx, end: end, f: r, quiet: quiet, after: quietAfter, wake: [2]int{-1, -1}}
	f, ok := r.(*os.File)
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
	context.AfterFunc(ctx, func() { _, _ = unix.Write(in.wake[1], []byte{0}) })
	return in, nil
}

// interrupt ends a Read that waits.
func (in *input) interrupt() { in.end() }

// Close releases what waiting took.
func (in *input) Close() error {
	in.end()
	if in.raw == nil {
		return nil
	}
	// The context has ended: its write, to a pipe that is ours, may be under way.
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(in.wake[0]), Events: unix.POLLIN}}, -1)
	return errors.Join(unix.Close(in.wake[0]), unix.Close(in.wake[1]))
}

// Read gives io.EOF at the end of the context too: what was read till then is
// of use.
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
			n, err := in.f.Read(p)
			in.told = in.told && n == 0
			return n, err
		}
	}
}

// wait returns true when the input can be read, false when it is to be asked
// again.
func (in *input) wait() (ready bool, err error) {
	if in.raw == nil {
		return true, nil
	}
	timeout := -1
	if !in.told {
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
		in.told = true
		return false, in.quiet()
	}
	return fds[0].Revents != 0, nil
}
