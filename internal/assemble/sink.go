package assemble

import (
	"context"
	"io"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/render"
)

// Output says where records go and in which form.
type Output struct {
	To io.Writer
	// Format is "json", "text" or "wide".
	Format string
	Color  bool
}

func (o Output) sink(noWhy bool) pipeline.Sink {
	if o.Format == "json" {
		return sinkOf(render.NewJSON(o.To))
	}
	return sinkOf(render.NewText(o.To, render.TextOptions{Wide: o.Format == "wide", NoWhy: noWhy, Color: o.Color}))
}

func sinkOf(w interface{ Write(*oom.Record) error }) pipeline.Sink {
	return func(_ context.Context, rec *oom.Record) error { return w.Write(rec) }
}
