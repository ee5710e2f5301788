package vmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// machine is how QEMU emulates one architecture.
type machine struct {
	program, debian string
	args            []string
	cpu, leanCPU    string
	console, port   string
	boot            string // parameters of the kernel
}

// machines by Go's name of the architecture. The frames have a port of their
// own: amd64 has four on the ISA bus; arm64's board has one, so a PCI card
// carries the other.
func machines() map[string]machine {
	return map[string]machine{
		"amd64": {
			program: "qemu-system-x86_64", debian: "qemu-system-x86",
			args: []string{"-serial", "chardev:console", "-serial", "chardev:frames"},
			cpu:  "max",
			// A page is cleared 512 words at a time instead of 4096 bytes, each a turn of its own.
			leanCPU: "max,-erms,-la57,-smap",
			console: "ttyS0", port: "/dev/ttyS1",
			// The kernel counts the timer's interrupts in a time that it measures by the
			// CPU, and panics at too few: what a busy host may give an emulated one
			// (arch/x86/kernel/apic/io_apic.c, timer_irq_works; seen 6.12, twice in turn).
			boot: "no_timer_check",
		},
		"arm64": {
			program: "qemu-system-aarch64", debian: "qemu-system-arm",
			// The guest's pointer authentication costs most of the time when it
			// is emulated with the architected algorithm.
			args: []string{"-M", "virt", "-serial", "chardev:console", "-device", "pci-serial,chardev=frames"},
			cpu:  "max,pauth-impdef=on",
			// The registers of SVE are 8 KiB at each switch.
			leanCPU: "max,pauth-impdef=on,sve=off",
			console: "ttyAMA0", port: "/dev/ttyS0",
		},
	}
}

// bootParameters end a guest that cannot go on, with the stacks of all CPUs on
// its console: an emulated CPU has been seen to spin for ever (6.1, two CPUs
// waiting for each other). A minute is more than a busy host makes it wait.
const bootParameters = "quiet loglevel=4 panic=-1 oops=panic watchdog_thresh=30 softlockup_panic=1 panic_print=0x40 " +
	"printk.devkmsg=on log_buf_len=4M"

// qemuArgs returns QEMU's arguments. Emulation is the default, since a
// /dev/kvm that is present may not work; OOMTRACE_KVM=1 asks for it.
func qemuArgs(opts Options, m machine, dir string) []string {
	accel := "tcg,thread=multi"
	var clock []string
	switch {
	case opts.Counted:
		accel, clock = "tcg,thread=single", []string{"-icount", "shift=0,sleep=off"}
	case os.Getenv("OOMTRACE_KVM") == "1":
		accel = "kvm"
	}
	cpu := m.cpu
	if opts.Lean {
		cpu = m.leanCPU
	}
	cmdline := strings.Join(strings.Fields("console="+m.console+" "+bootParameters+" "+m.boot+" "+opts.Cmdline), " ")
	args := []string{
		"-cpu", cpu, "-nodefaults", "-display", "none", "-no-reboot", "-no-user-config",
		"-accel", accel, "-smp", strconv.Itoa(opts.CPUs), "-m", strconv.Itoa(opts.MemoryMiB),
		"-chardev", "file,id=console,path=" + filepath.Join(dir, "console"),
		"-chardev", "socket,id=frames,path=" + filepath.Join(dir, "frames"),
		"-kernel", opts.Kernel.Image, "-initrd", filepath.Join(dir, "initramfs"), "-append", cmdline,
	}
	return slices.Concat(args, m.args, clock, opts.QEMU)
}

// runGuest runs QEMU once, until the guest's command has ended.
func runGuest(ctx context.Context, opts Options, dir string) (*Result, error) {
	m, ok := machines()[opts.Kernel.Arch]
	if !ok {
		return nil, fmt.Errorf("kernel %s: no machine for %s", opts.Kernel.Name, opts.Kernel.Arch)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, opts.BootTimeout+opts.Timeout, ErrTimeout)
	defer cancel()
	socket := filepath.Join(dir, "frames")
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	defer l.Close() //nolint:errcheck // closed early by the run

	s := &session{opts: opts, res: &Result{Files: map[string][]byte{}}, hello: make(chan struct{})}
	start := time.Now()
	err = s.run(ctx, l, exec.Command(m.program, qemuArgs(opts, m, dir)...))
	s.res.Elapsed = time.Since(start)
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%w (Debian has it in the package %s)", err, m.debian)
	}
	if err != nil {
		console, _ := os.ReadFile(filepath.Join(dir, "console"))
		return nil, &GuestError{Kernel: opts.Kernel.Name, Err: err, Console: console, Output: s.res.Output}
	}
	return s.res, nil
}

// run starts QEMU and follows the frames. However it returns, QEMU has ended.
func (s *session) run(ctx context.Context, l net.Listener, qemu *exec.Cmd) error {
	var stderr bytes.Buffer
	qemu.Stderr = &stderr
	if err := qemu.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() {
		err := qemu.Wait()
		_ = l.Close() // ends an Accept that QEMU never answered
		exited <- err
	}()
	followed := make(chan error, 1)
	go func() { followed <- s.accept(l) }()

	reason := s.wait(ctx, followed)
	_ = qemu.Process.Kill() // fails only if it has ended
	exitErr := <-exited
	if reason == nil {
		return nil
	}
	if text := strings.TrimSpace(stderr.String()); text != "" {
		return fmt.Errorf("%w: qemu: %w: %s", reason, exitErr, text)
	}
	return reason
}

// accept takes QEMU's connection and follows its frames.
func (s *session) accept(l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	return errors.Join(s.follow(conn), conn.Close())
}

// wait returns when the guest's command has ended, or with the reason why it
// never will.
func (s *session) wait(ctx context.Context, followed <-chan error) error {
	boot := time.NewTimer(s.opts.BootTimeout)
	defer boot.Stop()
	hello, silence := s.hello, boot.C
	for {
		select {
		case <-hello:
			hello, silence = nil, nil
		case <-silence:
			return fmt.Errorf("%w within %v", ErrSilent, s.opts.BootTimeout)
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-followed:
			return s.ended(err)
		}
	}
}

// ended names the reason why the frames ended.
func (s *session) ended(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrInit):
		return err
	case s.res.Release == "":
		return fmt.Errorf("%w: %w", ErrSilent, err)
	default:
		return fmt.Errorf("%w: %w", ErrDied, err)
	}
}

// TwoNodes gives a guest of 512 MiB two memory nodes.
func TwoNodes() []string {
	return []string{
		"-object", "memory-backend-ram,id=m0,size=256M", "-object", "memory-backend-ram,id=m1,size=256M",
		"-numa", "node,nodeid=0,cpus=0,memdev=m0", "-numa", "node,nodeid=1,cpus=1,memdev=m1",
	}
}
