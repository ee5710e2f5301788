package assemble

import (
	"context"

	"github.com/oomtrace/oomtrace/internal/container"
)

// Runtimes are the container runtimes that answer, those that sleep until they
// are asked included.
func Runtimes(ctx context.Context, sockets []string) []container.Source {
	c := container.Open(ctx, container.Options{Sockets: sockets, Wake: true})
	defer func() { _ = c.Close() }()
	c.Ready(ctx)
	return c.Sources()
}
