package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/harden"
	"github.com/oomtrace/oomtrace/internal/sink"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

func runTrace(ctx context.Context, args []string, env Env) error {
	var t traceFlags
	flags := t.groups()
	if err := flags.parse(args); err != nil {
		if isHelp(err) {
			return printHelp(env.Stdout)
		}
		return err
	}
	if rest := flags.all.Args(); len(rest) > 0 {
		return usage("the verbs are read, check, unpin, version and help; see \"oomtrace help\"", "unexpected argument %q", rest[0])
	}
	if err := t.check(env); err != nil {
		return err
	}
	opts, err := t.options()
	if err != nil {
		return err
	}
	s := &session{traceFlags: &t, env: env}
	err = s.open(ctx, opts)
	if err == nil {
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
	harden.LimitHeap()
	if err := removeReady(s.readyFile); err != nil {
		return err
	}
	if err := s.openOutput(); err != nil {
		return err
	}
	log, err := s.openSource(ctx, opts)
	if err != nil {
		return err
	}
	if s.live, err = assemble.OpenLive(ctx, s.tr, log, s.liveOptions()); err != nil {
		return s.openLiveFailure(err)
	}
	return s.guard(ctx)
}

func (s *session) openOutput() error {
	s.out = s.env.Stdout
	if s.traceFlags.file.path == "" {
		return s.env.StdoutErr
	}
	f, err := sink.Open(s.traceFlags.file.options())
	if err != nil {
		return &failure{err: err, code: exitError, hint: "give --output-file a file in a directory that can be written"}
	}
	s.file, s.out = f, f
	return nil
}

// openSource opens the programs, or else the kernel log if that is allowed.
func (s *session) openSource(ctx context.Context, opts tracer.Options) (*assemble.KernelLog, error) {
	if s.source == "kmsg" {
		log, err := assemble.OpenKernelLog(s.sinceBoot)
		return log, openLogFailure(err)
	}
	tr, err := tracer.Open(ctx, opts)
	if err == nil {
		s.tr = tr
		return nil, nil
	}
	if s.source == "auto" && opts.Tier == tracer.TierAuto && s.pin == "" && canFallBack(err) {
		if log, logErr := assemble.OpenKernelLog(s.sinceBoot); logErr == nil {
			say(s.env, "cannot attach BPF programs (%v); falling back to the kernel log", err)
			return log, nil
		}
	}
	return nil, openFailure(err, s.btf)
}

// canFallBack: what the user got wrong is to be reported, not worked around.
func canFallBack(err error) bool {
	return errors.Is(err, tracer.ErrUnsupported) || errors.Is(err, tracer.ErrPermission)
}

func (s *session) liveOptions() assemble.LiveOptions {
	o := assemble.LiveOptions{
		StageOptions: s.ownerFlags.stages(s.env), Output: s.outputFlags.to(s.out, s.env), Limit: s.count,
		Queue: s.file != nil, SinceBoot: s.sinceBoot, Note: s.note, Metrics: s.metrics, Version: versionOf(s.env),
	}
	o.Filters, o.NoWhy, o.Metadata = s.filters, s.noWhy, true
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
	if err := createReady(s.readyFile); err != nil {
		return err
	}
	defer notifySystemd(ctx, s.live.Alive)()
	defer untilHangup(ctx, s.out, cancel, func(err error) { s.note("the end of the reader", err) })()
	started := time.Now()
	err := s.live.Run(ctx)
	if s.abandoned = isStuck(err); s.abandoned {
		return s.stuckFailure() // its counts are not to be had
	}
	return errors.Join(outputFailure(err, traceFull), s.sumUp(time.Since(started), err))
}

const traceFull = "free disk space; later kills were not written (with --pin they remain in the ring buffer)"

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
	what := strings.Join(kinds(s.tr.Attachments()), " + ")
	if s.live.Completes() {
		what += " + kernel log"
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
	for _, line := range describe(s.tr.Attachments()) {
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

// kinds lists the kinds of programs that see a kill, the decision's first.
func kinds(all []tracer.Attachment) []string {
	var out []string
	seen := map[string]bool{"": true}
	for _, a := range all {
		if a.Sees && !seen[a.Kind] {
			seen[a.Kind] = true
			out = append(out, a.Kind)
		}
	}
	return out
}

// describe gives one line for each attach point, with the refusals.
func describe(all []tracer.Attachment) []string {
	var lines []string
	for _, a := range all {
		kind := a.Kind
		if kind == "" {
			kind = "not attached"
		}
		if a.Symbol != "" {
			kind += " on " + a.Symbol
		}
		lines = append(lines, fmt.Sprintf("%-21s %s", a.Hook, kind))
		for _, try := range a.Tried {
			lines = append(lines, fmt.Sprintf("%-21s   %s refused: %v", "", try.Kind, try.Err))
		}
	}
	return lines
}

// sumUp closes the session on stderr. What an output that failed left unwritten
// is counted.
func (s *session) sumUp(d time.Duration, failed error) error {
	sum, err := s.live.Summary()
	if !sum.Traced {
		say(s.env, "%s in %s, %d written", kills(sum.Kills), d.Round(time.Second), sum.Written)
		return err
	}
	say(s.env, "%s in %s, %d written, %d lost", kills(sum.Kills), d.Round(time.Second), sum.Written, sum.Lost)
	if n := s.live.Waiting(); failed != nil && n > 0 {
		say(s.env, "%s not written (%s)", count(n, "record"), s.fate())
	}
	if sum.LostExits > 0 {
		say(s.env, "%d exit records lost", sum.LostExits)
	}
	if sum.Unreadable > 0 {
		say(s.env, "%d records could not be decoded", sum.Unreadable)
	}
	if sum.Repeated > 0 {
		say(s.env, "%d repeated no-victim OOMs were counted but not recorded", sum.Repeated)
	}
	return err
}

// fate is what becomes of the records that the ring buffer holds at the end.
func (s *session) fate() string {
	if s.pin != "" {
		return "they wait in " + s.pin
	}
	return "they are lost"
}

func kills(n int) string { return count(n, "kill") }

// count is "1 kill" or "2 kills".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// createReady creates the ready file, if one is asked for.
func createReady(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err == nil {
		err = f.Close()
	}
	return readyFailure(err)
}

// removeReady removes the ready file of an earlier run, which would be believed.
func removeReady(name string) error {
	path, err := filepath.EvalSymlinks(name)
	if name == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return readyFailure(err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return readyFailure(os.Remove(path))
	}
	return nil
}

func readyFailure(err error) error {
	if err == nil {
		return nil
	}
	return &failure{
		err: fmt.Errorf("ready file: %w", err), code: exitError,
		hint: "give --ready-file a path in a directory that this user can write to without further privileges",
	}
}
