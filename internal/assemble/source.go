package assemble

import (
	"context"
	"errors"

	"github.com/oomtrace/oomtrace/internal/harden"
	"github.com/oomtrace/oomtrace/internal/history"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// SourceOptions say where a live line's records come from.
type SourceOptions struct {
	Tracer tracer.Options
	// Source is "bpf" for the programs, "kmsg" for the kernel's log, and "auto" for the log
	// where there can be no programs.
	Source string
	// History says how growth is to be followed; exact takes programs.
	History history.Mode
	// SinceBoot reads the kernel's log from its start.
	SinceBoot bool
	// OnFallback gets what kept the programs from being attached; nil drops it.
	OnFallback func(error)
}

// LogError says that the kernel's log cannot be read.
type LogError struct{ Err error }

func (e *LogError) Error() string { return e.Err.Error() }
func (e *LogError) Unwrap() error { return e.Err }

// HistoryError says that charges cannot be counted.
type HistoryError struct{ Err error }

func (e *HistoryError) Error() string { return "--history exact: " + e.Err.Error() }
func (e *HistoryError) Unwrap() error { return e.Err }

// OpenSource opens the programs, or else the kernel's log if that is allowed: one of them
// is not nil. The error is a *LogError, a *HistoryError, or the tracer's.
func OpenSource(ctx context.Context, o SourceOptions) (*tracer.Tracer, *KernelLog, error) {
	harden.LimitHeap()
	if o.Source == "kmsg" {
		log, err := openKernelLog(logOptions{fromStart: o.SinceBoot})
		if err != nil {
			return nil, nil, &LogError{err}
		}
		return nil, log, nil
	}
	tr, err := tracer.Open(ctx, o.Tracer)
	if err == nil {
		if _, err := tr.History(); err != nil && o.History == history.ModeExact {
			return nil, nil, errors.Join(&HistoryError{err}, tr.Close())
		}
		return tr, nil, nil
	}
	if o.mayFallBack(err) {
		if log, logErr := openKernelLog(logOptions{fromStart: o.SinceBoot}); logErr == nil {
			if o.OnFallback != nil {
				o.OnFallback(err)
			}
			return nil, log, nil
		}
	}
	return nil, nil, err
}

// mayFallBack: what the user got wrong is to be reported, not worked around.
func (o *SourceOptions) mayFallBack(err error) bool {
	refused := errors.Is(err, tracer.ErrUnsupported) || errors.Is(err, tracer.ErrPermission)
	return refused && o.Source == "auto" && o.Tracer.Tier == tracer.TierAuto && o.Tracer.Pin == "" && o.History != history.ModeExact
}
