package cli

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/oomtrace/oomtrace/internal/sink"
)

// untilHangup calls end when nobody can read stdout any more, as in
// "oomtrace | head -1": that would show at the next kill only. The function
// returned ends the watch.
func untilHangup(ctx context.Context, w io.Writer, end func(), note func(error)) (stop func()) {
	out, ok := w.(*sink.Stream)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := out.AwaitHangup(ctx)
		switch {
		case err == nil:
			end()
		case ctx.Err() == nil && !errors.Is(err, sink.ErrNoReader):
			note(err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}
