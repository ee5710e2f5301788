// Bench measures oomtrace in a guest, side by side with its peers where they
// are installed here: bench -kernel 6.12.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/vmtest"
	"github.com/oomtrace/oomtrace/internal/vmtest/initramfs"
	"github.com/oomtrace/oomtrace/internal/vmtest/kernels"
)

func main() {
	kernel := flag.String("kernel", "6.12", "kernel")
	binary := flag.String("oomtrace", "build/oomtrace", "the program to measure")
	beside := flag.String("beside", "", "another build of it, to compare with in the same guest (-latency)")
	short := flag.Bool("short", false, "leave out the crowds and the ten thousand kills")
	latency := flag.Bool("latency", false, "leave out the storms too")
	counted := flag.Bool("counted", false, "in a guest of one CPU whose clocks count instructions, one a nanosecond (-latency)")
	charges := flag.Bool("charges", false, "measure the flight recording alone")
	idle := flag.Bool("idle", false, "measure the process at rest alone")
	signals := flag.Bool("signals", false, "measure signals alone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, mode := range modes(*short, *latency, *charges, *idle, *signals) {
		if err := run(ctx, *kernel, *binary, *beside, mode, *counted || mode == chargesMode || mode == idleMode); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
	}
}

// Guests of their own, whose clocks count instructions.
const (
	chargesMode = "-charges"
	idleMode    = "-idle"
)

// modes are what is asked of the program in each guest.
func modes(short, latency, charges, idle, signals bool) []string {
	switch {
	case signals:
		return []string{"-signals"}
	case charges:
		return []string{chargesMode}
	case idle:
		return []string{idleMode}
	case latency:
		return []string{"-latency"}
	case short:
		return []string{"-short"}
	}
	return []string{"-all", chargesMode, idleMode}
}

func run(ctx context.Context, kernel, binary, beside, mode string, counted bool) error {
	k, err := kernels.Resolve(ctx, kernel, kernels.Options{})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "oomtrace-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	guest := filepath.Join(dir, "bench")
	if err := vmtest.BuildProgram(ctx, k.Arch, "", "./internal/vmtest/benchguest", guest); err != nil {
		return err
	}
	files := []initramfs.File{{Path: "/bench", Host: guest, Mode: 0o755}, {Path: "/oomtrace", Host: binary, Mode: 0o755}}
	if beside != "" {
		files = append(files, initramfs.File{Path: "/oomtrace-beside", Host: beside, Mode: 0o755})
	}
	peers, err := installedPeers()
	if err != nil {
		return err
	}
	files = append(files, peers...)
	if mode == chargesMode {
		compiler, err := goCompiler(ctx)
		if err != nil {
			return err
		}
		files = append(files, compiler)
	}
	opts := vmtest.Options{
		Kernel: k, Command: []string{"/bench", mode}, Files: files, MemoryMiB: 6144,
		Output: os.Stdout, Timeout: time.Hour, BootTimeout: 5 * time.Minute,
	}
	if counted {
		opts.Counted, opts.CPUs = true, 1
	}
	res, err := vmtest.Boot(ctx, opts)
	if err != nil {
		var ge *vmtest.GuestError
		if errors.As(err, &ge) {
			return fmt.Errorf("%w\n%s", err, ge.Console)
		}
		return err
	}
	if res.ExitCode != 0 {
		return fmt.Errorf("the guest's exit code is %d", res.ExitCode)
	}
	return nil
}

// goCompiler is this machine's, a static program.
func goCompiler(ctx context.Context) (initramfs.File, error) {
	path, err := exec.CommandContext(ctx, "go", "tool", "-n", "compile").Output()
	if err != nil {
		return initramfs.File{}, fmt.Errorf("find the Go compiler: %w", err)
	}
	return initramfs.File{Path: "/compile", Host: strings.TrimSpace(string(path)), Mode: 0o755}, nil
}

// installedPeers packs the peers that this machine has (packages libbpf-tools
// and bpftrace), with their libraries.
func installedPeers() ([]initramfs.File, error) {
	var programs []string
	for _, p := range []string{"/usr/sbin/oomkill", "/usr/bin/bpftrace"} {
		if _, err := os.Stat(p); err == nil {
			programs = append(programs, p)
		}
	}
	files, err := initramfs.Programs("/", programs...)
	if err != nil {
		return nil, err
	}
	if script := "/usr/sbin/oomkill.bt"; len(programs) > 1 {
		files = append(files, initramfs.File{Path: script, Host: script, Mode: 0o755})
	}
	return files, nil
}
