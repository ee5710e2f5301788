// Vminit is the first process of a test guest: it mounts what a test needs,
// loads modules, runs one command, and hands its output, its exit code, the
// files below /vm/out and the kernel log to the host as frames.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/vmtest/frame"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "vminit: runs as the first process of a test guest only")
		os.Exit(2)
	}
	err := guest()
	// Only the console is left to speak to.
	fmt.Fprintln(os.Stderr, "vminit:", err)
	powerOff()
}

// guest runs the guest's life. It returns only what could not be reported.
func guest() error {
	if err := mountEarly(); err != nil {
		return err
	}
	b, err := os.ReadFile("/vm/config.json")
	if err != nil {
		return err
	}
	var c config
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	port, err := openPort(c.Port)
	if err != nil {
		return err
	}
	// An init that waits for one of its own pages in swap asks for memory, and
	// the kernel panics when no process is left to kill for it.
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock init's memory: %w", err)
	}
	w := frame.NewWriter(port)
	if err := w.Write(frame.Frame{Kind: frame.Hello, Name: release()}); err != nil {
		return err
	}
	code, err := runCommand(c, w)
	if err != nil {
		err = w.Write(frame.Frame{Kind: frame.Failure, Data: []byte(err.Error())})
		code = -1
	}
	return errors.Join(err, handOut(w), w.Write(frame.Frame{Kind: frame.Exit, Name: strconv.Itoa(code)}), drain(port))
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// runCommand prepares the guest and runs the command to its end.
func runCommand(c config, w *frame.Writer) (int, error) {
	if err := errors.Join(mountAll(c.Cgroup), loadModules(c.Modules), hostname(c.Hostname), loopback()); err != nil {
		return 0, err
	}
	return run(c, w)
}

func hostname(name string) error {
	if name == "" {
		return nil
	}
	return unix.Sethostname([]byte(name))
}

// loopback brings the interface lo up.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing written
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// loadModules loads the modules in order. One that the kernel has already is
// no error.
func loadModules(paths []string) error {
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return fmt.Errorf("module: %w", err)
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		if err = errors.Join(ignore(err, unix.EEXIST), f.Close()); err != nil {
			return fmt.Errorf("module %s: %w", p, err)
		}
	}
	return nil
}

func ignore(err, which error) error {
	if errors.Is(err, which) {
		return nil
	}
	return err
}

// handOut sends the files below /vm/out and the kernel log.
func handOut(w *frame.Writer) error {
	const out = "/vm/out"
	err := filepath.WalkDir(out, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return w.Write(frame.Frame{Kind: frame.File, Name: strings.TrimPrefix(p, out+"/"), Data: data})
	})
	log, klogErr := kernelLog()
	return errors.Join(err, klogErr, w.Write(frame.Frame{Kind: frame.File, Name: "dmesg", Data: log}))
}

// kernelLog reads the ring buffer as dmesg does.
func kernelLog() ([]byte, error) {
	const sizeBuffer = 10
	n, err := unix.Klogctl(sizeBuffer, nil)
	if err != nil {
		return nil, fmt.Errorf("kernel log: %w", err)
	}
	buf := make([]byte, n)
	n, err = unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil {
		return nil, fmt.Errorf("kernel log: %w", err)
	}
	return buf[:n], nil
}
