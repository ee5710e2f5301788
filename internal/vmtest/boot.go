// Package vmtest boots real kernels in QEMU and runs programs there.
//
// A guest has no disk: its initramfs holds an init of our own, the kernel
// modules, and the files that the caller adds. Init runs one command and sends
// its output, its exit code and files back as frames over a serial port of its
// own, so that they never mix with the kernel's messages.
package vmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/oomtrace/oomtrace/internal/vmtest/frame"
	"github.com/oomtrace/oomtrace/internal/vmtest/initramfs"
	"github.com/oomtrace/oomtrace/internal/vmtest/kernels"
)

// The ways in which a guest can fail apart from its command's exit code.
var (
	// ErrSilent means that the guest ended, or its time for booting was over,
	// before init spoke.
	ErrSilent = errors.New("guest did not boot")
	// ErrDied means that the guest ended before its command did.
	ErrDied = errors.New("guest died")
	// ErrTimeout means that the command did not end in time.
	ErrTimeout = errors.New("guest ran out of time")
	// ErrInit means that init could not prepare the guest or run the command.
	ErrInit = errors.New("init failed")
)

// Options says what to boot. Kernel and Command are required.
type Options struct {
	Kernel *kernels.Kernel
	// Command is run by init. It finds its output directory in /vm/out: the
	// files that it leaves there become Result.Files.
	Command []string
	// Env is added to the command's environment, as "NAME=value".
	Env []string
	// Files are added to the guest's root file system.
	Files []initramfs.File
	// Modules are loaded in this order after those for swap on zram, each
	// after what it needs itself.
	Modules []string
	// Cgroup is "v2" (also when empty), "v1" or "hybrid".
	Cgroup string
	// Systemd has the systemd that Files hold be the first process. The command is
	// a unit that starts when multi-user.target is reached.
	Systemd bool
	// MemoryMiB and CPUs are the size of the guest; 0 means 512 and 2.
	MemoryMiB, CPUs int
	// Cmdline is added to the kernel's command line.
	Cmdline string
	// QEMU is added to QEMU's arguments.
	QEMU []string
	// Counted has the guest's clocks count its instructions, one a nanosecond: what else
	// runs on the host changes no rate. Of several CPUs, one runs at a time.
	Counted bool
	// Lean leaves out the features of the CPU that cost an emulated one most, and change
	// nothing of a kill.
	Lean bool
	// BootTimeout ends a guest whose init has not spoken, Timeout one whose
	// command has not ended; 0 means 60 seconds and 5 minutes.
	BootTimeout, Timeout time.Duration
	// Output receives what the command writes while it runs; nil discards it.
	// Result.Output has it in any case.
	Output io.Writer
}

// Result is what a guest that came to its end left.
type Result struct {
	// Release is the guest's uname -r.
	Release  string
	ExitCode int
	// Output is what the command wrote to stdout and stderr.
	Output []byte
	// Files are the files below /vm/out, and the kernel log as "dmesg".
	Files map[string][]byte
	// Boots is 2 when the first try did not come up.
	Boots int
	// Elapsed is the wall clock time from QEMU's start to the command's end.
	Elapsed time.Duration
}

// GuestError is a guest that did not come to its end.
type GuestError struct {
	Kernel string
	Err    error
	// Console is what the kernel wrote to its console, Output what the command
	// wrote.
	Console, Output []byte
}

// Error gives the reason and the end of the console's and the command's text.
func (e *GuestError) Error() string {
	return fmt.Sprintf("kernel %s: %v\nconsole: %s\noutput: %s", e.Kernel, e.Err, tail(e.Console), tail(e.Output))
}

// Unwrap returns the reason.
func (e *GuestError) Unwrap() error { return e.Err }

func tail(b []byte) []byte {
	const most = 4096
	return b[max(0, len(b)-most):]
}

// Boot boots a guest, runs the command in it and waits for its end. A guest
// whose init never speaks is tried once more: rarely, under load, an emulated
// machine hangs at boot. Other failures are a *GuestError.
func Boot(ctx context.Context, opts Options) (_ *Result, err error) {
	dir, err := os.MkdirTemp("", "oomtrace-vm-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if opts, err = prepare(ctx, opts, dir); err != nil {
		return nil, err
	}
	for boots := 1; ; boots++ {
		res, err := runGuest(ctx, opts, dir)
		if errors.Is(err, ErrSilent) && boots == 1 && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		res.Boots = boots
		return res, nil
	}
}

// guestConfig is what init reads; vminit has the other side of it.
type guestConfig struct {
	Port     string   `json:"port"`
	Command  []string `json:"command"`
	Env      []string `json:"env,omitempty"`
	Modules  []string `json:"modules,omitempty"`
	Cgroup   string   `json:"cgroup,omitempty"`
	Hostname string   `json:"hostname,omitempty"`
	Systemd  bool     `json:"systemd,omitempty"`
}

// prepare fills in the defaults and writes the initramfs.
func prepare(ctx context.Context, opts Options, dir string) (Options, error) {
	if opts.Kernel == nil || len(opts.Command) == 0 {
		return opts, errors.New("boot: a kernel and a command are needed")
	}
	orDefault(&opts.MemoryMiB, 512)
	orDefault(&opts.CPUs, 2)
	orDefault(&opts.BootTimeout, time.Minute)
	orDefault(&opts.Timeout, 5*time.Minute)
	if opts.Output == nil {
		opts.Output = io.Discard
	}
	initPath := filepath.Join(dir, "init")
	if err := BuildProgram(ctx, opts.Kernel.Arch, "", "github.com/oomtrace/oomtrace/internal/vmtest/vminit", initPath); err != nil {
		return opts, err
	}
	modules, err := initramfs.Modules(opts.Kernel.Modules, append([]string{"lzo-rle", "zsmalloc", "zram"}, opts.Modules...))
	if err != nil {
		return opts, err
	}
	c := guestConfig{
		Port: machines()[opts.Kernel.Arch].port, Command: opts.Command, Env: opts.Env,
		Cgroup: opts.Cgroup, Hostname: "vm-" + opts.Kernel.Name, Systemd: opts.Systemd,
	}
	for _, m := range modules {
		c.Modules = append(c.Modules, "/"+m.Path)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return opts, err
	}
	files := append(modules,
		initramfs.File{Path: "init", Host: initPath},
		initramfs.File{Path: "vm/config.json", Data: text},
		initramfs.File{Path: "root", Mode: fs.ModeDir | 0o700},
	)
	if opts.Systemd {
		files = append(files,
			initramfs.File{Path: "etc/systemd/system/vmtest.service", Data: []byte(unit)},
			initramfs.File{Path: "etc/systemd/system/multi-user.target.wants/vmtest.service", Link: "../vmtest.service"},
		)
	}
	return opts, writeInitramfs(filepath.Join(dir, "initramfs"), append(files, opts.Files...))
}

// unit runs init where systemd is the first process. The test is not to be killed
// by those whose kills it looks at.
const unit = `[Unit]
Description=The command of a test guest
After=multi-user.target

[Service]
Environment=OOMTRACE_VM_UNIT=1
ExecStart=/init
OOMScoreAdjust=-1000
TasksMax=infinity
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
`

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func writeInitramfs(path string, files []initramfs.File) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return initramfs.Write(f, files)
}

// session is one run of a guest, as its frames tell it.
type session struct {
	opts  Options
	res   *Result
	hello chan struct{}
}

// follow reads frames until the guest's command has ended.
func (s *session) follow(r io.Reader) error {
	frames := frame.NewReader(r)
	for {
		f, err := frames.Read()
		if err != nil {
			return err
		}
		switch f.Kind {
		case frame.Hello:
			s.res.Release = f.Name
			close(s.hello)
		case frame.Output:
			s.res.Output = append(s.res.Output, f.Data...)
			if _, err := s.opts.Output.Write(f.Data); err != nil {
				return err
			}
		case frame.File:
			s.res.Files[f.Name] = f.Data
		case frame.Failure:
			return fmt.Errorf("%w: %s", ErrInit, f.Data)
		case frame.Exit:
			s.res.ExitCode, err = strconv.Atoi(f.Name)
			return err
		}
	}
}
