// Vminit is the first process of a test guest: it mounts what a test needs,
// loads modules, runs one command, and hands its output, its exit code, the
// files below /vm/out and the kernel log to the host as frames. Where systemd is
// to be the first process, vminit gives way to it and does its work as a unit.
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

// unitVariable is set where vminit runs as a unit of systemd.
const unitVariable = "OOMTRACE_VM_UNIT"

func main() {
	if os.Getpid() != 1 && os.Getenv(unitVariable) == "" {
		fmt.Fprintln(os.Stderr, "vminit: runs as the first process of a test guest, or as its unit")
		os.Exit(2)
	}
	err := guest()
	// Only the console is left to speak to.
	fmt.Fprintln(os.Stderr, "vminit:", err)
	powerOff()
}

// guest runs the guest's life. It returns only what could not be reported.
func guest() error {
	b, err := os.ReadFile("/vm/config.json")
	if err != nil {
		return err
	}
	var c config
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	prepare := c.prepare
	switch {
	case os.Getpid() != 1:
		prepare = c.prepareUnit
	case c.Systemd:
		return errors.Join(loadModules(c.Modules), becomeSystemd())
	default:
		if err := mountEarly(); err != nil {
			return err
		}
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
	code, err := -1, prepare()
	if err == nil {
		code, err = run(c, w)
	}
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

// prepare makes a running system of the guest.
func (c *config) prepare() error {
	return errors.Join(mountAll(c.Cgroup), loadModules(c.Modules), hostname(c.Hostname), loopback())
}

// prepareUnit adds to what systemd has prepared.
func (c *config) prepareUnit() error {
	return mountThese(mountPoint{"tmpfs", "/vm/out", "mode=755"})
}

// becomeSystemd replaces init by systemd, on a root that is a mount above the
// initial one: from that, which nothing can move away (fs/namespace.c, pivot_root),
// systemd could give no unit a root of its own.
func becomeSystemd() error {
	const root = "/newroot"
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/", root, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind root: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	if err := errors.Join(unix.Chroot("."), os.Chdir("/")); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	const systemd = "/usr/lib/systemd/systemd"
	return fmt.Errorf("%s: %w", systemd, unix.Exec(systemd, []string{"systemd"}, os.Environ()))
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
