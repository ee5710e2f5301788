package assemble

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/history"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// TestMayFallBack: the log takes the place of programs only where a user has asked for
// nothing that takes programs.
func TestMayFallBack(t *testing.T) {
	refused := fmt.Errorf("open: %w", tracer.ErrUnsupported)
	for _, tt := range []struct {
		name string
		o    SourceOptions
		err  error
		want bool
	}{
		{"unsupported", SourceOptions{Source: "auto"}, refused, true},
		{"not permitted", SourceOptions{Source: "auto"}, tracer.ErrPermission, true},
		{"another error", SourceOptions{Source: "auto"}, io.ErrUnexpectedEOF, false},
		{"programs are asked for", SourceOptions{Source: "bpf"}, refused, false},
		{"an attach type", SourceOptions{Source: "auto", Tracer: tracer.Options{Tier: tracer.TierFentry}}, refused, false},
		{"pins", SourceOptions{Source: "auto", Tracer: tracer.Options{Pin: "/sys/fs/bpf/oomtrace"}}, refused, false},
		{"charges", SourceOptions{Source: "auto", History: history.ModeExact}, refused, false},
		{"samples", SourceOptions{Source: "auto", History: history.ModeSampled}, refused, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.o.mayFallBack(tt.err); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestCapabilities: one that cannot be rotated with any privilege is an error of its own.
func TestCapabilities(t *testing.T) {
	kept, err := (&HardenOptions{}).capabilities()
	if err != nil || len(kept) != len(keptCapabilities()) {
		t.Errorf("without a file: %v, %v", kept, err)
	}
	kept, err = (&HardenOptions{CanRotate: func() error { return nil }}).capabilities()
	if err != nil || len(kept) != len(keptCapabilities()) {
		t.Errorf("where none is needed beyond: %v, %v", kept, err)
	}
	_, err = (&HardenOptions{CanRotate: func() error { return io.ErrClosedPipe }}).capabilities()
	if !errors.As(err, new(*RotateError)) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("where it cannot be: %v", err)
	}
}

func TestParseTimes(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	var f pipeline.Filters
	if err := ParseTimes(&f, "-2h", "", now); err != nil || !f.Since.Equal(now.Add(-2*time.Hour)) || !f.Until.IsZero() {
		t.Errorf("got %v to %v, %v", f.Since, f.Until, err)
	}
	var bad *TimeError
	if err := ParseTimes(&f, "", "soonish", now); !errors.As(err, &bad) || bad.Name != "until" {
		t.Errorf("got %v", err)
	}
}
