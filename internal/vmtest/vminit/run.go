package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/vmtest/frame"
)

// openPort opens a serial port and makes it carry bytes as they are.
func openPort(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// drain waits until the port has sent everything.
func drain(port *os.File) error {
	// TCSBRK with an argument other than 0 is tcdrain.
	return unix.IoctlSetInt(int(port.Fd()), unix.TCSBRK, 1)
}

// run runs the command, forwards its output and collects every process that is
// left to init. It returns when the command has ended.
func run(c config, w *frame.Writer) (code int, err error) {
	path, err := exec.LookPath(c.Command[0])
	if err != nil {
		return 0, err
	}
	r, out, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	p, err := os.StartProcess(path, c.Command, &os.ProcAttr{
		Dir:   "/",
		Env:   append([]string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/", "TMPDIR=/tmp", "OOMTRACE_VM=1"}, c.Env...),
		Files: []*os.File{null, out, out},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err = errors.Join(err, out.Close(), null.Close()); err != nil {
		return 0, err
	}
	copied := make(chan error, 1)
	go func() { copied <- forward(r, w) }()
	code, err = reap(p.Pid)
	// A process left behind may hold the pipe open: end them all.
	if kerr := unix.Kill(-1, unix.SIGKILL); kerr != nil && !errors.Is(kerr, unix.ESRCH) {
		err = errors.Join(err, kerr)
	}
	return code, errors.Join(err, <-copied)
}

// reap waits for children, whosever they were, until pid ends. A signal counts
// as 128 more than its number, as in a shell.
func reap(pid int) (int, error) {
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case got == pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case got == pid:
			return status.ExitStatus(), nil
		}
	}
}

func forward(r *os.File, w *frame.Writer) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if err := w.Write(frame.Frame{Kind: frame.Output, Data: buf[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return r.Close()
		}
		if err != nil {
			return err
		}
	}
}

// powerOff ends the guest; init must not return.
func powerOff() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}
