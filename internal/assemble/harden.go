package assemble

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/harden"
)

// DefaultScoreAdj is the lowest oom_score_adj there is: the OOM killer passes the process over.
const DefaultScoreAdj = -1000

// HardenOptions say how a live line is made fit for a machine without memory.
type HardenOptions struct {
	OOMScoreAdj int
	// CanRotate tries to rotate the output file with the privileges that are kept; nil where
	// it is not rotated.
	CanRotate func() error
	// AllowPrivileges goes on where those that are not needed cannot be dropped.
	AllowPrivileges bool
}

// PrivilegeError says that privileges that are not needed could not be dropped.
type PrivilegeError struct {
	Step string
	Err  error
}

func (e *PrivilegeError) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *PrivilegeError) Unwrap() error { return e.Err }

// RotateError says that the output file could not be rotated later.
type RotateError struct{ Err error }

func (e *RotateError) Error() string { return "the file could not be rotated: " + e.Err.Error() }
func (e *RotateError) Unwrap() error { return e.Err }

// Harden makes this process fit for a machine without memory, and warms the line up. What
// cannot be had, Note gets, and it is done without.
func (l *Live) Harden(ctx context.Context, o HardenOptions) error {
	if err := l.stages.warmUp(ctx, l.o.Format); err != nil {
		return err
	}
	kept, err := o.capabilities()
	if err != nil {
		return err
	}
	for _, step := range harden.Apply(harden.Options{OOMScoreAdj: o.OOMScoreAdj, Capabilities: kept}) {
		switch {
		case step.Err != nil && step.Required && !o.AllowPrivileges:
			return &PrivilegeError{step.Name, step.Err}
		case errors.Is(step.Err, harden.ErrCgo):
			l.o.Notify(fmt.Sprintf("warning: %s: %v", step.Name, step.Err))
		default:
			l.o.Note(step.Name, step.Err)
		}
	}
	return nil
}

// keptCapabilities are what is needed after the programs are attached: BPF to read
// the counters, the others to reach a runtime's sockets and files below
// /proc/PID/root.
func keptCapabilities() []uint {
	return []uint{unix.CAP_BPF, unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE}
}

// capabilities are those to keep: keptCapabilities, and what rotating the output
// file takes beyond, if that was asked for. A directory of another user is
// better found now than at the first rotation.
func (o *HardenOptions) capabilities() ([]uint, error) {
	kept := keptCapabilities()
	if o.CanRotate == nil {
		return kept, nil
	}
	kept, err := harden.Enough(kept, []uint{unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER}, o.CanRotate)
	if err != nil {
		return nil, &RotateError{err}
	}
	return kept, nil
}
