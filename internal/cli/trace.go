package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/sink"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

func runTrace(ctx context.Context, args []string, env Env) error {
	var t traceFlags
	rest, err := parseFlags(t.groups(), args, env, "")
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage(program().Meant(rest[0]), "unexpected argument %q", rest[0])
	}
	if err := t.check(env); err != nil {
		return err
	}
	opts, err := t.options()
	if err != nil {
		return err
	}
	s := &session{traceFlags: &t, env: env}
	if err = s.open(ctx, opts); err == nil {
		err = s.trace(ctx)
	}
	return errors.Join(err, s.close())
}

// session is one live trace.
type session struct {
	*traceFlags
	env  Env
	tr   *tracer.Tracer // nil with the kernel log as source
	live *assemble.Live
	out  io.Writer
	file *sink.File // out, where that is a file
	// abandoned: the output hangs in a write, and uses what it uses.
	abandoned bool
}

// open sets all up, in the order in which a failure is cheapest.
func (s *session) open(ctx context.Context, opts tracer.Options) error {
	if err := sink.RemoveMark(s.readyFile); err != nil {
		return readyFailure(err)
	}
	if err := s.openOutput(); err != nil {
		return err
	}
	var log *assemble.KernelLog
	var err error
	s.tr, log, err = assemble.OpenSource(ctx, assemble.SourceOptions{
		Tracer: opts, Source: s.source, History: assemble.HistoryMode(s.history), SinceBoot: s.sinceBoot,
		OnFallback: func(err error) {
			say(s.env, "cannot attach BPF programs (%v); falling back to the kernel log", err)
		},
	})
	if err != nil {
		return openFailure(err, s.btf)
	}
	if s.live, err = assemble.OpenLive(ctx, s.tr, log, s.liveOptions()); err != nil {
		return openLiveFailure(err)
	}
	harden := assemble.HardenOptions{OOMScoreAdj: s.oomScoreAdj, AllowPrivileges: s.allowPrivileges}
	if s.file != nil && s.traceFlags.file.maxBytes > 0 {
		harden.CanRotate = s.file.CanRotate
	}
	return hardenFailure(s.live.Harden(ctx, harden))
}

func (s *session) openOutput() error {
	s.out = s.env.Stdout
	if s.traceFlags.file.path == "" {
		if out, ok := s.out.(*sink.Stream); ok {
			return out.Check() // no process would miss the records
		}
		return nil
	}
	opts := s.traceFlags.file.options()
	opts.Notify = func(err error) {
		if err == nil {
			say(s.env, "the output file is rotated again")
			return
		}
		say(s.env, "warning: the output file cannot be rotated, and grows beyond --output-max-bytes: %v", err)
	}
	f, err := sink.Open(opts)
	if err != nil {
		return openOutputFailure(err)
	}
	s.file, s.out = f, f
	return nil
}

func (s *session) liveOptions() assemble.LiveOptions {
	o := assemble.LiveOptions{
		StageOptions: s.stages(s.env), Output: s.to(s.out, s.env), Limit: s.count,
		Queue: s.file != nil, SinceBoot: s.sinceBoot, Note: s.note, Metrics: s.metrics, Health: s.health, Version: versionOf(s.env),
	}
	o.History, o.Top = assemble.HistoryMode(s.history), s.top
	o.Filters, o.NoWhy, o.Metadata, o.Sigkill = s.filters, s.noWhy, true, s.sigkill
	return o
}

// trace runs until the context ends, the count is reached or the time is over.
func (s *session) trace(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.duration > 0 {
		timer := time.AfterFunc(s.duration, cancel)
		defer timer.Stop()
	}
	s.greet()
	if err := s.live.Start(); err != nil {
		return err
	}
	if err := sink.CreateMark(s.readyFile); err != nil {
		return readyFailure(err)
	}
	defer s.live.NotifySystemd(ctx)()
	defer sink.OnHangup(ctx, s.out, cancel, func(err error) { s.note("the end of the reader", err) })()
	started := time.Now()
	err := s.live.Run(ctx)
	if s.abandoned = errors.Is(err, pipeline.ErrStuck); s.abandoned {
		return s.stuckFailure() // its counts are not to be had
	}
	const full = "free disk space; later kills were not written (with --pin they remain in the ring buffer)"
	return errors.Join(outputFailure(err, full), s.sumUp(time.Since(started), err))
}

// close releases everything; what was written is on disk then.
func (s *session) close() error {
	var errs []error
	switch {
	case s.live != nil:
		errs = append(errs, s.live.Close())
	case s.tr != nil:
		errs = append(errs, s.tr.Close())
	}
	if s.file != nil && !s.abandoned {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// greet reports what is traced and by which programs.
func (s *session) greet() {
	if s.tr == nil {
		say(s.env, "reading OOM kills of %s from the kernel log. Ctrl-C to stop.", s.live.Node())
		return
	}
	what := strings.Join(tracer.Kinds(s.tr.Attachments()), " + ")
	if s.live.Completes() {
		what += " + kernel log"
	}
	if names := s.live.Runtimes(); len(names) > 0 {
		what += "; " + strings.Join(names, ", ")
	}
	say(s.env, "tracing OOM kills on %s (%s, %s). Ctrl-C to stop.", s.live.Node(), s.tr.Kernel(), what)
	if has := s.tr.RingBytes(); has != s.ringBytes && s.ringBytes != tracer.DefaultRingBytes {
		say(s.env, "--ring-bytes ignored: the pinned ring buffer is %d bytes (run \"oomtrace unpin\" to resize it)", has)
	}
	for _, w := range s.tr.Warnings() {
		say(s.env, "warning: %s", w)
	}
	if !s.verbose {
		return
	}
	for _, line := range assemble.DescribePrograms(s.tr, s.history) {
		say(s.env, "%s", line)
	}
	for _, n := range s.tr.Notes() {
		say(s.env, "note: %s", n)
	}
}

func (s *session) note(what string, err error) {
	if err != nil && s.verbose {
		say(s.env, "note: %s: %v", what, err)
	}
}

// sumUp closes the session on stderr. What an output that failed left unwritten
// is counted.
func (s *session) sumUp(d time.Duration, failed error) error {
	sum, err := s.live.Summary()
	done := fmt.Sprintf("%s in %s, %d written", count(sum.Kills, "kill"), d.Round(time.Second), sum.Written)
	if !sum.Traced {
		say(s.env, "%s, %s of the kernel log lost", done, count(sum.LostLogLines, "line"))
		return err
	}
	say(s.env, "%s, %d lost", done, sum.Lost)
	if n := s.live.Waiting(); failed != nil && n > 0 {
		say(s.env, "%s not written (%s)", count(n, "record"), s.fate())
	}
	sayCounts(s.env, counted{sum.LostExits, "exit record", "lost"}, counted{sum.LostSigkills, "SIGKILL record", "lost"},
		counted{sum.LostLogLines, "line", "of the kernel log lost"}, counted{sum.Unreadable, "record", "not decoded"}, counted{sum.Repeated, "repeated OOM", "without a victim, not recorded again"})
	return err
}

// fate is what becomes of the records that the ring buffer holds at the end.
func (s *session) fate() string {
	if s.pin != "" {
		return "they wait in " + s.pin
	}
	return "they are lost"
}

// counted is what a summary mentions where there is any.
type counted struct {
	n          uint64
	what, fate string
}

func sayCounts(env Env, all ...counted) {
	for _, c := range all {
		if c.n > 0 {
			say(env, "%s %s", count(c.n, c.what), c.fate)
		}
	}
}

// count is "1 kill" or "2 kills".
func count[N int | uint64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
