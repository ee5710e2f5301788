package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/sink"
)

// TestReadEndsWithItsReader: "journalctl -kf | oomtrace read | head -1" does not
// wait for the next line of the log.
func TestReadEndsWithItsReader(t *testing.T) {
	log, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _, _ = log.Close(), feed.Close(), out.Close() }()
	ended := make(chan int, 1)
	go func() {
		ended <- Run(t.Context(), []string{"read"}, Env{Stdin: log, Stdout: sink.NewStream(out), Stderr: io.Discard})
	}()
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(time.Minute):
		t.Fatal("it has not ended")
	}
}

// TestOpenOutputFailure: another file helps only where the file is the reason.
func TestOpenOutputFailure(t *testing.T) {
	for want, err := range map[string]error{
		"stop the other": sink.ErrInUse, "free disk space": syscall.EDQUOT, "give --output-file a regular": sink.ErrLink,
	} {
		var f *failure
		if err := openOutputFailure(fmt.Errorf("output file: %w", err)); !errors.As(err, &f) || !strings.HasPrefix(f.hint, want) {
			t.Errorf("%v: hint %q", err, f.hint)
		}
	}
}

// TestOutputFailure: what ends a line means to the user.
func TestOutputFailure(t *testing.T) {
	known := &failure{err: errors.New("stdout is closed"), code: exitUsage}
	for _, tt := range []struct {
		name string
		err  error
		code int
		hint bool
	}{
		{"none", nil, exitOK, false},
		{"a closed pipe", fmt.Errorf("write output: %w", syscall.EPIPE), exitOK, false},
		{"no room", fmt.Errorf("write output: %w", syscall.ENOSPC), exitError, true},
		{"known", fmt.Errorf("write output: %w", known), exitUsage, false},
		{"any other", io.ErrShortWrite, exitError, false},
	} {
		err := outputFailure(tt.err, "free disk space")
		var f *failure
		if code := report(Env{Stderr: io.Discard}, err); code != tt.code || tt.hint != (errors.As(err, &f) && f.hint == "free disk space") {
			t.Errorf("%s: exit code %d, %v", tt.name, code, err)
		}
	}
}
