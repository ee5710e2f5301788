// Bench measures oomtrace in a guest, side by side with its peers where they
// are installed here: bench -kernel 6.12.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
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
	charges := flag.Bool("charges", false, "measure the flight recording alone")
	signals := flag.Bool("signals", false, "measure signals alone")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *kernel, *binary, *beside, mode(*short, *latency, *charges, *signals)); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// mode is what is asked of the program in the guest.
func mode(short, latency, charges, signals bool) []string {
	switch {
	case signals:
		return []string{"-signals"}
	case charges:
		return []string{"-charges"}
	case latency:
		return []string{"-latency"}
	case short:
		return []string{"-short"}
	}
	return nil
}

func run(ctx context.Context, kernel, binary, beside string, mode []string) error {
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
	res, err := vmtest.Boot(ctx, vmtest.Options{
		Kernel: k, Command: append([]string{"/bench"}, mode...), Files: append(files, peers...), MemoryMiB: 6144,
		Output: os.Stdout, Timeout: time.Hour, BootTimeout: 5 * time.Minute,
	})
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
