package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/enrich"
	"github.com/oomtrace/oomtrace/internal/explain"
	"github.com/oomtrace/oomtrace/internal/metrics"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/redact"
	"github.com/oomtrace/oomtrace/internal/render"
	"github.com/oomtrace/oomtrace/internal/sample"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// recordWriter writes records.
type recordWriter interface {
	Write(*oom.Record) error
}

// pipeline is the way of a record from its source to the output: enrich,
// filter, explain, write.
type pipeline struct {
	env      Env
	out      recordWriter
	filters  []filter
	enricher *enrich.Enricher
	redactor *redact.Redactor
	metrics  *metrics.Metrics
	sampler  sample.Sampler
	stacks   *sample.Stacks // for records of a ring
	noWhy    bool
	limit    int
	room     *room // for an output that goes on once there is room; may be nil
	kills    int   // seen, that passed the filters
	written  int
	// toldUnknown is that a record passed a filter since its names are not known.
	toldUnknown bool
	losses      []tracer.Loss
	// what lost records were written for: of kills and OOMs without a victim, of
	// ends, and of records that could not be decoded
	lostHere, lostExits, unreadable uint64
}

func newPipeline(env Env, w io.Writer, o *outputFlags, filters []filter) *pipeline {
	p := &pipeline{env: env, filters: filters, noWhy: o.noWhy, limit: o.count, enricher: enrich.New(enrich.Options{})}
	if o.output == "json" {
		p.out = render.NewJSON(w)
		return p
	}
	p.out = render.NewText(w, render.TextOptions{
		Wide: o.output == "wide", NoWhy: o.noWhy, Color: env.StdoutTerminal && !env.NoColor,
	})
	return p
}

// owners makes the pipeline ask for names and hide secrets. What the flags do not
// say of the asking is in o.
func (p *pipeline) owners(flags *ownerFlags, o enrich.Options) {
	o.Wait = flags.enrichWait
	if o.Wait <= 0 {
		o.Wait = -1
	}
	p.enricher = enrich.New(o)
	if flags.redact {
		p.redactor = redact.New(flags.secrets...)
	}
}

// write takes one record to the output, unless a filter keeps it out.
func (p *pipeline) write(ctx context.Context, rec *oom.Record) error {
	p.sampler.Record(rec)
	p.enricher.Record(ctx, rec)
	if p.metrics != nil {
		p.metrics.Observe(rec)
	}
	passes, unknown := match(p.filters, rec)
	if !passes {
		return nil
	}
	if unknown && !p.toldUnknown {
		p.toldUnknown = true
		say(p.env, "a victim whose container or pod nobody could name passes --namespace, --pod and --container")
	}
	if rec.Kind == oom.KindKill {
		p.kills++
	}
	p.hide(rec)
	if !p.noWhy {
		explain.Explain(rec)
	}
	if err := p.emit(rec); err != nil {
		return err
	}
	if rec.Kind == oom.KindKill {
		p.written++
	}
	return nil
}

func (p *pipeline) hide(rec *oom.Record) {
	if p.redactor == nil {
		return
	}
	if v := rec.Victim; v != nil {
		v.Args, v.Cmdline = "", p.redact(v.Args, v.Cmdline)
	}
	if t := rec.Trigger; t != nil {
		t.Args, t.Cmdline = "", p.redact(t.Args, t.Cmdline)
	}
}

func (p *pipeline) redact(args, cmdline string) string {
	if args != "" {
		return p.redactor.Args(args, cmdline)
	}
	return p.redactor.Cmdline(cmdline)
}

// full says that the count asked for is reached.
func (p *pipeline) full() bool { return p.limit > 0 && p.written >= p.limit }

// lost puts into the stream what could not be delivered, once: over the life of
// pinned hooks, not of this reader.
func (p *pipeline) lost(ring events) error {
	var err error
	if p.losses, err = ring.Untold(p.losses[:0]); err != nil {
		return err
	}
	for _, l := range p.losses {
		n := l.To - l.From
		say(p.env, "%d records lost: %s", n, lostWhy(l.Kind))
		if err := p.emit(ring.LossRecord(l)); err != nil {
			return err
		}
		if err := ring.Told(l); err != nil {
			return err
		}
		p.told(l.Kind, n)
	}
	return nil
}

// told counts what this session told of.
func (p *pipeline) told(kind oom.LostKind, n uint64) {
	switch kind {
	case oom.LostExit:
		p.lostExits += n
	case oom.LostUnreadable:
		p.unreadable += n
	default:
		p.lostHere += n
	}
}

func lostWhy(kind oom.LostKind) string {
	switch kind {
	case oom.LostNoVictim:
		return "OOMs without a victim filled their half of the ring"
	case oom.LostExit:
		return "ends of victims found the ring full"
	case oom.LostUnreadable:
		return "they could not be decoded"
	}
	return "the ring was full"
}

// emit writes a record to the output, which may have to wait for room.
func (p *pipeline) emit(rec *oom.Record) error {
	err := p.out.Write(rec)
	if p.room != nil && noRoom(err) {
		err = p.room.await(err, func() error { return p.out.Write(rec) })
	}
	return writeFailure(err)
}

// writeFailure names the output in an error; a closed pipe stays recognisable.
func writeFailure(err error) error {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return err
	}
	var told *failure
	if errors.As(err, &told) {
		return err
	}
	f := &failure{err: fmt.Errorf("write output: %w", err), code: exitError}
	if noRoom(err) {
		f.hint = "make room on the device; the kills that follow were not written, those in a --pin wait"
	}
	return f
}

func isHelp(err error) bool { return errors.Is(err, pflag.ErrHelp) }
