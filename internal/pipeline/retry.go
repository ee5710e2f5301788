package pipeline

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// How often a file that could not grow is tried again.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// NoRoom says that a file could not grow: the disk, the quota or the largest
// file size is reached. It may be otherwise in a while.
func NoRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// Retry is a sink that waits while to has no room: the record stays
// unacknowledged, and those behind it stay in the source. The end of the context
// ends a wait. Health and notify may be nil.
func Retry(to Sink, h *Health, notify func(string)) Sink {
	if h == nil {
		h = new(Health)
	}
	if notify == nil {
		notify = func(string) {}
	}
	return func(ctx context.Context, rec *oom.Record) error {
		err := to(ctx, rec)
		if !NoRoom(err) || ctx.Err() != nil {
			return err
		}
		h.waiting.Store(true)
		defer h.waiting.Store(false)
		notify(fmt.Sprintf("%v; records are queued until there is room", err))
		for pause := retryFirst; NoRoom(err); pause = min(2*pause, retryMost) {
			select {
			case <-ctx.Done():
				return err
			case <-time.After(pause):
				err = to(ctx, rec)
			}
		}
		if err == nil {
			notify("there is room again; writing continues")
		}
		return err
	}
}
