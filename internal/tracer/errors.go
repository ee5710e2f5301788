package tracer

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
)

// What Open reports when it cannot trace; test with errors.Is.
var (
	// ErrUnsupported: no program that is needed can be attached to this kernel.
	ErrUnsupported = errors.New("this kernel cannot be traced")
	// ErrPermission: the privileges for BPF are missing.
	ErrPermission = errors.New("missing privileges")
	// ErrNoBTF: the kernel has no BTF; Options.BTF can give it. It comes along with
	// ErrUnsupported.
	ErrNoBTF = errors.New("kernel has no BTF")
	// ErrResources: this process or the machine has no more of what is needed, such
	// as descriptors or memory. Another try may succeed.
	ErrResources = errors.New("out of resources")
	// ErrBTF: the file given for the kernel's BTF cannot be used.
	ErrBTF = errors.New("unusable BTF")
)

// AttachError reports that a needed program could not be attached, with every
// attempt. It is ErrResources when one of them failed for lack of resources,
// ErrPermission when all failed for lack of privileges, else ErrUnsupported.
type AttachError struct {
	Hook     string
	Attempts []Attempt
	// Privileged is set when another program was attached: privileges are not what
	// is missing.
	Privileged bool
}

func (e *AttachError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "attach %s: ", e.Hook)
	for i, a := range e.Attempts {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %v", a.Kind, a.Err)
	}
	return b.String()
}

// Unwrap gives the errors of the attempts.
func (e *AttachError) Unwrap() []error {
	errs := make([]error, 0, len(e.Attempts)+1)
	denied, exhausted := len(e.Attempts) > 0 && !e.Privileged, false
	for _, a := range e.Attempts {
		errs = append(errs, a.Err)
		denied = denied && isPermission(a.Err)
		exhausted = exhausted || isExhausted(a.Err)
	}
	switch {
	case exhausted:
		return append(errs, ErrResources)
	case denied:
		return append(errs, ErrPermission)
	}
	return append(errs, ErrUnsupported)
}

// isExhausted: what failed would have worked with more descriptors or memory.
func isExhausted(err error) bool {
	for _, errno := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// neededDescriptors is what attaching takes for a moment, and some.
const neededDescriptors = 64

// checkDescriptors fails with ErrResources if there are too few descriptors to
// attach with: not all of the library's errors show that this was the cause.
func checkDescriptors() (err error) {
	fds := make([]int, 0, neededDescriptors)
	for len(fds) < cap(fds) && err == nil {
		var fd int
		fd, err = unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err == nil {
			fds = append(fds, fd)
		}
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("%w: only %d descriptors left, %d needed: %w", ErrResources, len(fds), neededDescriptors, err)
	}
	return nil
}

// loadError gives what failed before anything was attached its meaning: otherwise
// is what it is if neither privileges nor resources are missing.
func loadError(what string, err, otherwise error) error {
	switch {
	case isExhausted(err):
		otherwise = ErrResources
	case isPermission(err):
		otherwise = ErrPermission
	}
	return fmt.Errorf("%s: %w: %w", what, otherwise, plainError(err))
}

// isPermission: the verifier, too, says EACCES when it refuses a program, but
// gives its reasons.
func isPermission(err error) bool {
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) && len(verifier.Log) > 0 {
		return false
	}
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)
}

// refusal is an errno with what it means here. The library adds a guess about
// RLIMIT_MEMLOCK to any early EPERM; where that limit is out of the picture
// the guess misleads, so it is replaced.
type refusal struct {
	errno error
	text  string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.errno }

// plainError reduces a library error to one line that says what the kernel
// said.
func plainError(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.As(err, &verifier):
		return err
	case errors.Is(err, unix.EPERM):
		return &refusal{errno: unix.EPERM, text: "operation not permitted"}
	}
	return err
}
