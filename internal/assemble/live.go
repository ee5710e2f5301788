package assemble

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/harden"
	"github.com/oomtrace/oomtrace/internal/history"
	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/metrics"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/sample"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// namesWait bounds how long the kills of a log wait for the runtimes' first
// answers.
const namesWait = 2 * time.Second

// LiveOptions say how a live line is built.
type LiveOptions struct {
	StageOptions
	Output
	// Limit ends it after so many written kills; 0 is no limit.
	Limit int
	// Queue lets records wait in the source while the output's disk is full.
	Queue bool
	// SinceBoot gives the kills first that the kernel log still holds.
	SinceBoot bool
	// Note takes what only a verbose run says; nil drops it.
	Note func(what string, err error)
	// Metrics is where to serve metrics, as HOST:PORT, Health where to serve
	// /healthz and /livez alone; empty is nowhere.
	Metrics, Health, Version string
}

// Live is a line whose source is the kernel as it runs.
type Live struct {
	o       LiveOptions
	tr      *tracer.Tracer // nil: log is the source
	log     *KernelLog     // the source, or beside tr what completes its records
	past    *KernelLog     // for SinceBoot beside tr
	source  *tracer.Source
	stages  *stages
	servers []*metrics.Server
	line    pipeline.Line
	garbage *harden.Collector
	health  pipeline.Health
	repeats uint64 // what the tracer had counted of repeated OOMs before
	stuck   bool
	// endOutput writes what comes after the last record.
	endOutput func() error
}

// OpenLive builds a line from the programs of tr, or from log where tr is nil.
// Both are the line's then: it closes them, on failure too.
func OpenLive(ctx context.Context, tr *tracer.Tracer, log *KernelLog, o LiveOptions) (_ *Live, err error) {
	if o.Notify == nil {
		o.Notify = func(string) {}
	}
	if o.Note == nil {
		o.Note = func(string, error) {}
	}
	// The programs are attached: what the stages use from here on comes back, and stays.
	o.Note("release code", harden.ReleaseCode())
	l := &Live{o: o, tr: tr, log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if tr != nil {
		l.stages = newStages(ctx, o.StageOptions, fromPrograms, tr.Pending)
	} else {
		l.stages = newStages(ctx, o.StageOptions, fromLiveLog, nil)
	}
	if err := l.openHistory(); err != nil {
		return nil, err
	}
	l.openLogs()
	if err := l.openMetrics(); err != nil {
		return nil, err
	}
	var sink pipeline.Sink
	sink, l.endOutput = o.sink(o.NoWhy)
	l.line = pipeline.Line{Source: l.openSource(), Stages: l.stages.list(), Sink: sink, Limit: o.Limit, Health: &l.health}
	if tr != nil {
		l.garbage = harden.NewCollector()
		l.line.After = func() { l.garbage.Rest(tr.Pending) }
	}
	if o.Queue {
		l.line.Sink = pipeline.Retry(l.line.Sink, &l.health, o.Notify)
	}
	return l, nil
}

// openHistory starts to follow growth.
func (l *Live) openHistory() (err error) {
	if l.o.History == "" || l.o.History == history.ModeOff {
		return nil
	}
	o := history.Options{Name: l.stages.enricher.Name, Top: l.o.Top}
	if o.Top == 0 {
		o.Top = -1
	}
	if l.tr != nil && l.o.History != history.ModeSampled {
		o.Maps = l.tr.HistoryMaps()
	}
	l.stages.recorder, err = history.Open(o)
	return err
}

const withoutLog = "records lack gfp mask, order and limit, and OOMs without a victim are not seen"

// openLogs opens what is read of the kernel log beside the programs, while the
// privileges for it are still there. Without it records are poorer, or missing
// from before.
func (l *Live) openLogs() {
	if l.tr == nil {
		return
	}
	var err error
	if l.tr.NeedsLog() {
		if l.log, err = openKernelLog(logOptions{atOnce: true}); err != nil {
			l.o.Note(withoutLog, err)
		}
	}
	if l.o.SinceBoot && !l.tr.Resumed() {
		if l.past, err = openKernelLog(logOptions{fromStart: true, untilNow: true}); err != nil {
			l.sinceBootFailed(err)
		}
	}
}

func (l *Live) sinceBootFailed(err error) { l.o.Notify(fmt.Sprintf("--since-boot: %v", err)) }

func (l *Live) openSource() pipeline.Source {
	if l.tr == nil {
		return l.log
	}
	stacks := sample.NewStacks(sample.StackOptions{})
	o := tracer.SourceOptions{
		UserStack: stacks.UserStack, OnCgroup: l.stages.onCgroup, OnShared: l.stages.victims.Shared,
		OnLogEnd: func(err error) { l.o.Notify(fmt.Sprintf("%v: from here on %s", err, withoutLog)) },
	}
	if l.log != nil {
		o.Log = l.log
	}
	l.source = tracer.NewSource(l.tr, o)
	if l.past == nil {
		return l.source
	}
	attached := l.tr.AttachedMonotonic()
	return pipeline.Merge(l.past, l.source, attached-min(attached, uint64(tracer.ClockSlack)), l.sinceBootFailed)
}

func (l *Live) openMetrics() error {
	if l.o.Metrics == "" && l.o.Health == "" {
		return nil
	}
	m := metrics.New(metrics.Options{Version: l.o.Version, Stats: l.stats, Healthy: l.Healthy, Alive: l.Alive})
	if l.o.Metrics != "" {
		l.stages.metrics = m
	}
	if err := l.serve("--metrics", l.o.Metrics, "/metrics", m, metrics.Serve); err != nil {
		return err
	}
	return l.serve("--health", l.o.Health, "/healthz", m, metrics.ServeHealth)
}

// serve opens one of the servers, if it has an address.
func (l *Live) serve(flag, address, path string, m *metrics.Metrics, open func(string, *metrics.Metrics) (*metrics.Server, error)) error {
	if address == "" {
		return nil
	}
	s, err := open(address, m)
	if err != nil {
		return &MetricsError{Flag: flag, Address: address, BadAddress: errors.Is(err, metrics.ErrAddress), Err: err}
	}
	l.servers = append(l.servers, s)
	l.o.Notify(fmt.Sprintf("%s on http://%s%s", strings.TrimPrefix(flag, "--"), s.Address(), path))
	return nil
}

// MetricsError says that the metrics cannot be served.
type MetricsError struct {
	Flag, Address string
	BadAddress    bool // it is not HOST:PORT
	Err           error
}

func (e *MetricsError) Error() string { return e.Flag + ": " + e.Err.Error() }
func (e *MetricsError) Unwrap() error { return e.Err }

func (l *Live) stats() (metrics.Stats, error) {
	if l.tr == nil {
		return metrics.Stats{LostLogLines: l.lostLogLines(), Hooks: []metrics.Hook{{Name: "kmsg", Kind: "kmsg"}}}, nil
	}
	st, err := l.tr.Stats()
	out := metrics.Stats{
		Lost: st.Lost, LostExit: st.LostExit, LostSigkill: st.LostSigkill, LostCgroup: st.LostCgroup, LostNoVictim: st.LostNoVictim,
		LostLogLines: l.lostLogLines(), Repeated: st.Repeated, Undecoded: st.Undecoded, Drained: l.tr.Drained(),
	}
	for _, a := range l.tr.Attachments() {
		out.Hooks = append(out.Hooks, metrics.Hook{Name: a.Hook, Kind: a.Kind})
	}
	for _, p := range l.tr.Programs() {
		out.Programs = append(out.Programs, metrics.Program{Name: p.Name, Runs: p.Runs, Seconds: p.Time.Seconds()})
	}
	if l.stages.recorder != nil {
		const nearest = 10
		for _, n := range l.stages.recorder.Nearest(nearest) {
			out.Near = append(out.Near, metrics.Near{Cgroup: n.Cgroup, Seconds: n.Seconds})
		}
	}
	return out, err
}

// lostLogLines is what the kernel's log overwrote before it was read.
func (l *Live) lostLogLines() (n uint64) {
	for _, log := range []*KernelLog{l.log, l.past} {
		if log != nil {
			n += log.Lost()
		}
	}
	return n
}

// Node is the name of this machine.
func (l *Live) Node() string { return host.Identify().Node }

// Completes says that the kernel log completes the programs' records.
func (l *Live) Completes() bool { return l.tr != nil && l.log != nil }

// Start makes the line healthy before it runs: whoever sees that oomtrace is
// ready finds it so.
func (l *Live) Start() error {
	if l.tr != nil {
		st, err := l.tr.Stats()
		if err != nil {
			return err
		}
		l.repeats = st.Repeated
	}
	l.health.Start()
	return nil
}

// Run moves records until the context ends, the limit is reached or the output
// fails. After pipeline.ErrStuck the line is still in use: Close then leaves to
// the end of the process what it uses.
func (l *Live) Run(ctx context.Context) error {
	defer l.health.Stop()
	if l.tr == nil || l.past != nil {
		l.stages.ready(ctx, namesWait)
	}
	err := l.line.RunOrAbandon(ctx)
	l.stuck = errors.Is(err, pipeline.ErrStuck)
	if err == nil {
		err = l.endOutput()
	}
	return err
}

// Alive is what a watchdog asks.
func (l *Live) Alive() bool { return l.health.Alive() }

// Healthy says why kills are not written just now, if that is so.
func (l *Live) Healthy() error {
	if err := l.health.Err(); err != nil || l.tr == nil {
		return err
	}
	_, err := l.tr.Stats()
	return err
}

// Waiting is how many records the source holds that are not written: -1 where
// that is not known.
func (l *Live) Waiting() int {
	if l.tr == nil {
		return -1
	}
	return l.tr.Waiting()
}

// Summary is what a line has done.
type Summary struct {
	pipeline.Counts
	// Traced is set where programs are the source: the rest is known then.
	Traced bool
	// Repeated OOMs without a victim were counted but not recorded.
	Repeated uint64
	// LostLogLines of the kernel were overwritten before they were read.
	LostLogLines uint64
}

// Summary is for when Run has ended, but not with pipeline.ErrStuck. What was lost
// at the very end counts, too.
func (l *Live) Summary() (Summary, error) {
	s := Summary{Counts: l.line.Counts(), LostLogLines: l.lostLogLines()}
	if l.tr == nil {
		return s, nil
	}
	s.Traced = true
	st, err := l.tr.Stats()
	if err != nil {
		return s, err
	}
	s.Repeated = st.Repeated - l.repeats
	late, err := l.tr.Unreported()
	s.Lost += late
	return s, err
}

// Close releases everything but the output.
func (l *Live) Close() error {
	var errs []error
	for _, s := range l.servers {
		errs = append(errs, s.Close())
	}
	errs = append(errs, l.stages.Close())
	if l.stuck {
		return errors.Join(errs...) // the end of the process releases the rest
	}
	if l.garbage != nil {
		l.garbage.Close()
	}
	if l.source != nil {
		errs = append(errs, l.source.Close())
	}
	for _, log := range []*KernelLog{l.log, l.past} {
		if log != nil {
			errs = append(errs, log.Close())
		}
	}
	if l.tr != nil {
		errs = append(errs, l.tr.Close())
	}
	return errors.Join(errs...)
}
