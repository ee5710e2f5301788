package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// signalsFor is how long signals are sent.
const signalsFor = 5 * time.Second

// signals measures what a signal other than SIGKILL costs: a process sends itself
// ignored ones as fast as it can.
func signals() error {
	p, _, err := startTracer(tracers()[0])
	if err != nil {
		return err
	}
	defer p.stop()
	prog, err := programNamed("raw_signal_generate")
	if err != nil {
		return err
	}
	defer func() { _ = prog.Close() }()
	before, err := prog.Stats()
	if err != nil {
		return err
	}
	signal.Ignore(unix.SIGWINCH)
	var sent int
	started := time.Now()
	for time.Since(started) < signalsFor {
		for range 1000 {
			if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
				return err
			}
		}
		sent += 1000
	}
	took := time.Since(started)
	after, err := prog.Stats()
	if err != nil {
		return err
	}
	runs := after.RunCount - before.RunCount
	if runs == 0 {
		return errors.New("the program on signal_generate did not run")
	}
	fmt.Printf("\n%d signals other than SIGKILL, %.0f a second: %d runs of the program on signal_generate, %.0f ns each\n",
		sent, float64(sent)/took.Seconds(), runs, float64(after.Runtime-before.Runtime)/float64(runs))
	return nil
}

// programNamed is the newest loaded program of a name, of which the kernel keeps 15 bytes
// where it has no types.
func programNamed(name string) (*ebpf.Program, error) {
	var found *ebpf.Program
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		prog, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue
		}
		info, err := prog.Info()
		if err != nil || info.Name != name && info.Name != name[:min(len(name), 15)] {
			_ = prog.Close()
			continue
		}
		if found != nil {
			_ = found.Close()
		}
		found = prog
	}
	if found == nil {
		return nil, fmt.Errorf("no program %s is loaded", name)
	}
	return found, nil
}
