package cli

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/explain"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/render"
	"github.com/oomtrace/oomtrace/internal/sample"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// sink writes records.
type sink interface {
	Write(*oom.Record) error
}

// pipeline is the way of a record from its source to stdout: filter, explain,
// write.
type pipeline struct {
	env       Env
	out       sink
	filters   []filter
	sampler   sample.Sampler
	explainer explain.Explainer
	noWhy     bool
	limit     int
	kills     int // seen, that passed the filters
	written   int
}

func newPipeline(env Env, o *outputFlags, filters []filter) *pipeline {
	p := &pipeline{env: env, filters: filters, noWhy: o.noWhy, limit: o.count}
	if o.output == "json" {
		p.out = render.NewJSON(env.Stdout)
		return p
	}
	p.out = render.NewText(env.Stdout, render.TextOptions{
		Wide: o.output == "wide", NoWhy: o.noWhy, Color: env.StdoutTerminal && !env.NoColor,
	})
	return p
}

// write takes one record to the output, unless a filter keeps it out.
func (p *pipeline) write(rec *oom.Record) error {
	if !match(p.filters, rec) {
		return nil
	}
	if rec.Kind == oom.KindKill {
		p.kills++
	}
	p.sampler.Record(rec)
	if !p.noWhy {
		p.explainer.Explain(rec)
	}
	if err := p.out.Write(rec); err != nil {
		return writeFailure(err)
	}
	if rec.Kind == oom.KindKill {
		p.written++
	}
	return nil
}

// full says that the count asked for is reached.
func (p *pipeline) full() bool { return p.limit > 0 && p.written >= p.limit }

// lost puts what the ring could not take into the stream, once.
func (p *pipeline) lost(tr *tracer.Tracer, reported *tracer.Stats) error {
	s, err := tr.Stats()
	if err != nil {
		return err
	}
	n := s.Lost - reported.Lost
	*reported = s
	if n == 0 {
		return nil
	}
	now := time.Now()
	say(p.env, "%d records lost: the ring was full", n)
	return writeFailure(p.out.Write(&oom.Record{
		Schema: oom.Schema, Kind: oom.KindLost, Source: oom.SourceBPF, Time: now,
		ID: fmt.Sprintf("lost-%x", now.UnixNano()), Lost: oom.Some(n),
	}))
}

// writeFailure names the output in an error; a closed pipe stays recognisable.
func writeFailure(err error) error {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return err
	}
	f := &failure{err: fmt.Errorf("write output: %w", err), code: exitError}
	if errors.Is(err, syscall.ENOSPC) {
		f.hint = "make room on the device; the kills that follow were not written"
	}
	return f
}

func isHelp(err error) bool { return errors.Is(err, pflag.ErrHelp) }
