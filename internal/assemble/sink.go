package assemble

import (
	"context"
	"io"

	"github.com/oomtrace/oomtrace/docs"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/render"
	"github.com/oomtrace/oomtrace/internal/render/page"
)

// Output says where records go and in which form.
type Output struct {
	To io.Writer
	// Format is "json", "text", "wide", "html" or "list".
	Format string
	Color  bool
	// Columns is the width of text, 0 for the usual; ASCII draws without UTF-8.
	Columns int
	ASCII   bool
}

// sink also gives what ends the output.
func (o Output) sink(noWhy bool) (pipeline.Sink, func() error) {
	switch o.Format {
	case "json":
		return sinkOf(render.NewJSON(o.To)), nothing
	case "list":
		return sinkOf(render.NewList(o.To, render.ListOptions{Width: o.Columns, Color: o.Color, ASCII: o.ASCII})), nothing
	case "html":
		p := page.New(o.To, page.Options{Advice: docs.Advice})
		return sinkOf(p), p.Close
	}
	return sinkOf(render.NewText(o.To, render.TextOptions{
		Wide: o.Format == "wide", NoWhy: noWhy, Color: o.Color, Width: o.Columns, ASCII: o.ASCII,
	})), nothing
}

func nothing() error { return nil }

func sinkOf(w interface{ Write(*oom.Record) error }) pipeline.Sink {
	return func(_ context.Context, rec *oom.Record) error { return w.Write(rec) }
}
