package cli

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/sink"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// Exit codes, as documented in the manual page.
const (
	exitOK          = 0
	exitError       = 1 // something failed while running
	exitUsage       = 2 // the command line is wrong
	exitUnsupported = 3 // this kernel cannot be traced
	exitPermission  = 4 // privileges are missing
	exitSignal      = 128
)

// What an error of a layer below means to the user: an exit code, and what to do.

// openFailure gives an error of a source its exit code and a hint.
func openFailure(err error, btfFile string) error {
	log := errors.As(err, new(*assemble.LogError))
	switch {
	case log && errors.Is(err, os.ErrPermission):
		return &failure{err: err, code: exitPermission, hint: "run it as root, or with CAP_SYSLOG"}
	case log:
		return &failure{err: err, code: exitUnsupported, hint: "\"oomtrace read\" takes the output of dmesg too"}
	case errors.As(err, new(*assemble.HistoryError)):
		return &failure{err: err, code: exitUnsupported, hint: "\"--history auto\" samples instead"}
	case errors.Is(err, tracer.ErrNoBTF):
		return &failure{err: err, code: exitUnsupported, hint: "give the types of this very kernel with --btf FILE; \"oomtrace --source kmsg\" reads its log"}
	case errors.Is(err, tracer.ErrBTF):
		return &failure{err: err, code: exitError, hint: fmt.Sprintf("is %s the BTF of this kernel, such as /sys/kernel/btf/vmlinux?", btfFile)}
	case errors.Is(err, tracer.ErrResources):
		return &failure{err: err, code: exitError, hint: "raise the limit on open files (LimitNOFILE=, ulimit -n) or memory (MemoryMax=), then try again"}
	case errors.Is(err, tracer.ErrPermission):
		return &failure{err: err, code: exitPermission, hint: "run it as root, or with CAP_BPF, CAP_PERFMON and CAP_SYSLOG"}
	case errors.Is(err, tracer.ErrUnsupported):
		return &failure{err: err, code: exitUnsupported, hint: "\"oomtrace check\" reports what this kernel supports; \"oomtrace --source kmsg\" reads its log"}
	case errors.As(err, new(*tracer.ForeignPinError)):
		return &failure{err: err, code: exitError, hint: "give --pin a directory of its own, such as /sys/fs/bpf/oomtrace, that nothing else uses"}
	case errors.Is(err, tracer.ErrPin):
		return &failure{err: err, code: exitError, hint: "\"oomtrace unpin\" removes what is pinned; --pin needs a bpffs directory such as /sys/fs/bpf/oomtrace"}
	}
	return err
}

// hardenFailure is for a process that keeps more privileges than it should, or too few.
func hardenFailure(err error) error {
	switch {
	case errors.As(err, new(*assemble.RotateError)):
		return &failure{err: fmt.Errorf("--output-max-bytes: %w", err), code: exitError, hint: "let this user write to the directory, or leave --output-max-bytes out"}
	case errors.As(err, new(*assemble.PrivilegeError)):
		return &failure{err: err, code: exitError, hint: "--allow-privileges goes on with more privileges than needed"}
	}
	return err
}

// openLiveFailure is for a line that cannot be built.
func openLiveFailure(err error) error {
	var m *assemble.MetricsError
	switch {
	case !errors.As(err, &m):
		return err
	case m.BadAddress:
		return usage("use HOST:PORT, such as 127.0.0.1:9497, or :PORT for loopback", "%s %q: %w", m.Flag, m.Address, m.Err)
	}
	return &failure{err: m, code: exitError, hint: "give " + m.Flag + " an address that is free"}
}

// openOutputFailure is for a file that cannot be written.
func openOutputFailure(err error) error {
	f := &failure{err: err, code: exitError}
	switch {
	case errors.Is(err, sink.ErrInUse):
		f.hint = "stop the other oomtrace, or give --output-file another file"
	case pipeline.NoRoom(err):
		f.hint = "free disk space, or give --output-file a file elsewhere"
	default:
		f.hint = "give --output-file a regular file, not a link, in a directory that can be written"
	}
	return f
}

// outputFailure is for a line that ended; a closed pipe stays recognisable. The
// hint is for a disk that is full.
func outputFailure(err error, hint string) error {
	var known *failure
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		return err
	case errors.As(err, &known):
		return known
	}
	f := &failure{err: err, code: exitError}
	if pipeline.NoRoom(err) {
		f.hint = hint
	}
	return f
}

// stuckFailure says what a stuck output leaves unwritten.
func (s *session) stuckFailure() error {
	what := "the kernel log has the records that are not written"
	if n := s.live.Waiting(); n >= 0 {
		what = fmt.Sprintf("%s not written (%s)", count(n, "record"), s.fate())
	}
	return &failure{err: fmt.Errorf("%w: %s", pipeline.ErrStuck, what), code: exitError, hint: "is stdout still read? With --pin, records wait for the next start"}
}

func readyFailure(err error) error {
	return &failure{
		err: fmt.Errorf("ready file: %w", err), code: exitError,
		hint: "give --ready-file a path in a directory that this user can write to without further privileges",
	}
}
