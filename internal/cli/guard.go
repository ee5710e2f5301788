package cli

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/harden"
)

// defaultScoreAdj is the lowest there is: the OOM killer passes the process over.
const defaultScoreAdj = -1000

// guard makes this process fit for a machine without memory. What cannot be had is
// reported with -v, and is done without.
func (s *session) guard(ctx context.Context) error {
	s.note("release code", harden.ReleaseCode())
	if err := s.live.WarmUp(ctx); err != nil {
		return err
	}
	kept, err := s.capabilities()
	if err != nil {
		return err
	}
	for _, step := range harden.Apply(harden.Options{OOMScoreAdj: s.oomScoreAdj, Capabilities: kept}) {
		if step.Err != nil && step.Required && !s.allowPrivileges {
			return &failure{
				err: fmt.Errorf("%s: %w", step.Name, step.Err), code: exitError,
				hint: "--allow-privileges goes on with more privileges than needed",
			}
		}
		if errors.Is(step.Err, harden.ErrCgo) {
			say(s.env, "warning: %s: %v", step.Name, step.Err)
			continue
		}
		s.note(step.Name, step.Err)
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
func (s *session) capabilities() ([]uint, error) {
	kept := keptCapabilities()
	if s.file == nil || s.traceFlags.file.maxBytes == 0 {
		return kept, nil
	}
	kept, err := harden.Enough(kept, []uint{unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER}, s.file.CanRotate)
	if err != nil {
		return nil, &failure{
			err: fmt.Errorf("--output-max-bytes: the file could not be rotated: %w", err), code: exitError,
			hint: "let this user write to the directory, or leave --output-max-bytes out",
		}
	}
	return kept, nil
}
