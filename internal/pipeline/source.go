// Package pipeline is the straight line that a record goes: from a source
// through the stages to a sink, one record at a time, top to bottom.
//
// Stages and sinks are functions that the caller gives; the package knows the
// record and nothing else of oomtrace, and prints nothing.
package pipeline

import (
	"context"
	"errors"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Source gives whole records, one at a time. Losses come as records too.
type Source interface {
	// Next waits for the next record, which is valid until the Next after it.
	// Once ctx has ended it gives what there is already, and then io.EOF.
	Next(ctx context.Context) (*oom.Record, error)
	// Done acknowledges the last record: it was written, or dropped on purpose.
	Done() error
}

// Stage changes a record in place. ErrSkip drops the record; any other error
// ends the line.
type Stage func(ctx context.Context, rec *oom.Record) error

// Sink takes a record out of the line. It keeps nothing of it.
type Sink func(ctx context.Context, rec *oom.Record) error

// ErrSkip is what a stage returns to drop a record.
var ErrSkip = errors.New("skip this record")
