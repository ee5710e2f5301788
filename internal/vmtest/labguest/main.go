// Labguest runs in a guest: it makes one scenario's kill under oomtrace and
// shows the record as text, wide and JSON.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

func main() {
	workload.Main()
	if err := run(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// tracers are the forms of output, each from an oomtrace of its own.
func formats() []string { return []string{"text", "wide", "json"} }

func run(ctx context.Context, name string, flags []string) (err error) {
	sc, err := workload.Find(name)
	if err != nil {
		return err
	}
	if sc.On != nil && !sc.On() {
		return errors.New("this kernel cannot have it")
	}
	if err := os.WriteFile("/proc/1/oom_score_adj", []byte("-1000"), 0); err != nil {
		return err
	}
	g, err := workload.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	if sc.Needs.Kubelet != "" {
		if err := g.Kubelet(sc.Needs.Kubelet); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "lab-")
	if err != nil {
		return err
	}
	var tracers []*exec.Cmd
	for _, f := range formats() {
		cmd, err := start(dir, f, flags)
		if err != nil {
			return err
		}
		tracers = append(tracers, cmd)
	}
	if _, err := sc.Run(ctx, g); err != nil {
		return err
	}
	time.Sleep(time.Second) // the exit record follows the kill
	for i, cmd := range tracers {
		if err := show(dir, formats()[i], cmd); err != nil {
			return err
		}
	}
	return nil
}

func start(dir, format string, flags []string) (*exec.Cmd, error) {
	out, err := os.Create(filepath.Join(dir, format))
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	ready := filepath.Join(dir, format+".ready")
	cmd := exec.Command("/oomtrace", append([]string{"-o", format, "--ready-file", ready}, flags...)...)
	cmd.Stdout = out
	if format == formats()[0] {
		cmd.Stderr = os.Stderr
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for range 3000 { // a minute: the guest may be emulated, on a busy machine
		if _, err := os.Stat(ready); err == nil {
			return cmd, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.New("oomtrace did not get ready")
}

func show(dir, format string, cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("oomtrace -o %s: %w", format, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, format))
	if err != nil {
		return err
	}
	fmt.Printf("\n$ oomtrace -o %s\n%s", format, b)
	return nil
}
