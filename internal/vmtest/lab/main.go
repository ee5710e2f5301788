// Lab boots a kernel, makes one scenario's kill there under oomtrace and shows
// the record as text, wide and JSON:
//
//	lab -kernel 6.12 swap-idle
//
// Without a scenario it lists them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/oomtrace/oomtrace/internal/vmtest"
	"github.com/oomtrace/oomtrace/internal/vmtest/initramfs"
	"github.com/oomtrace/oomtrace/internal/vmtest/kernels"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

func main() {
	kernel := flag.String("kernel", "6.12", "kernel: "+strings.Join(kernels.Names(), ", "))
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if flag.NArg() == 0 {
		for _, s := range workload.Scenarios() {
			fmt.Printf("%-28s %s\n", s.Name, s.About)
		}
		return
	}
	if err := run(ctx, *kernel, flag.Arg(0), flag.Args()[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kernel, scenario string, flags []string) error {
	sc, err := workload.Find(scenario)
	if err != nil {
		return fmt.Errorf("%w; without a name the scenarios are listed", err)
	}
	k, err := kernels.Resolve(ctx, kernel, kernels.Options{})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "oomtrace-lab-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var files []initramfs.File
	for name, pkg := range map[string]string{"oomtrace": "./cmd/oomtrace", "lab": "./internal/vmtest/labguest"} {
		out := filepath.Join(dir, name)
		if err := vmtest.BuildProgram(ctx, k.Arch, "", pkg, out); err != nil {
			return err
		}
		files = append(files, initramfs.File{Path: "/" + name, Host: out, Mode: 0o755})
	}
	opts := vmtest.Options{Kernel: k, Command: append([]string{"/lab", sc.Name}, flags...), Files: files, Modules: workload.Modules(), Output: os.Stdout}
	if sc.Needs.NUMA {
		opts.QEMU = vmtest.TwoNodes()
	}
	if sc.Needs.Movable {
		opts.Cmdline = workload.MovableCmdline
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
