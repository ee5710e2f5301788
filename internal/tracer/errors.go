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
	// ErrBTF: the file given for the kernel's BTF cannot be used.
	ErrBTF = errors.New("unusable BTF")
)

// AttachError reports that a needed program could not be attached, with every
// attempt. It is ErrPermission when all of them failed for lack of privileges,
// else ErrUnsupported.
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
	denied := len(e.Attempts) > 0 && !e.Privileged
	for _, a := range e.Attempts {
		errs = append(errs, a.Err)
		denied = denied && isPermission(a.Err)
	}
	if denied {
		return append(errs, ErrPermission)
	}
	return append(errs, ErrUnsupported)
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
