package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/enrich"
	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/sample"
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
	s := &session{traceFlags: &t, env: env, room: room{env: env}}
	err = s.open(ctx, opts)
	if err == nil {
		err = s.trace(ctx)
	}
	return errors.Join(err, s.close())
}

// session is one live trace, from one of the two sources.
type session struct {
	*traceFlags
	env     Env
	tr      *tracer.Tracer // nil with the kernel log as source
	ring    events         // what tr reads
	kmsg    *kernlog.Kmsg  // the source; beside tr, what completes its records
	names   *container.Cache
	metrics *metricsServer
	out     io.Writer
	file    *sink.File
	p       *pipeline
	watch   *watch // of victims that stay
	service service
	past    *kernlog.Kmsg // the log up to now, for --since-boot; may be nil
	// completer adds what the hooks of this machine cannot see; may be nil.
	completer *completer
	// busySince is when the record on its way left the ring, in Unix
	// nanoseconds; 0 when none is.
	busySince atomic.Int64
	pumping   atomic.Bool
	room      room
	// abandoned: the pump still hangs in a write, and uses what it uses.
	abandoned bool
	// repeated is what the tracer had counted of OOMs without a victim and without
	// a record when the session began.
	repeated uint64
}

// open sets all up, in the order in which a failure is cheapest.
func (s *session) open(ctx context.Context, opts tracer.Options) error {
	frugal()
	if err := s.notReady(); err != nil {
		return err
	}
	s.out = s.env.Stdout
	if s.file0().Path != "" {
		f, err := sink.Open(s.file0())
		if err != nil {
			return &failure{err: err, code: exitError, hint: "give --output-file a file in a directory that can be written"}
		}
		s.file, s.out = f, f
	} else if s.env.StdoutErr != nil {
		return s.env.StdoutErr
	}
	if err := s.openSource(ctx, opts); err != nil {
		return err
	}
	s.names = container.Open(ctx, container.Options{
		Sockets: s.sockets, Warn: func(text string) { say(s.env, "%s", text) },
	})
	s.p = newPipeline(s.env, s.out, &s.outputFlags, s.filters())
	s.p.sampler.Cgroups = memoryMount()
	owners := enrich.Options{Containers: s.names}
	if s.tr != nil {
		owners.Hurry = s.tr.KillWaits
	}
	s.p.owners(&s.ownerFlags, owners)
	s.p.stacks = sample.NewStacks(sample.StackOptions{})
	if err := s.openMetrics(); err != nil {
		return err
	}
	return s.guard(ctx)
}

// memoryMount is where the whole hierarchy of memory cgroups is mounted; empty
// where only a part of it shows.
func memoryMount() string {
	h, err := cgroup.ReadHierarchies("/")
	if err != nil || h.Memory.Root != "/" {
		return ""
	}
	return h.Memory.Point
}

func (s *session) file0() sink.Options {
	return sink.Options{Path: s.traceFlags.file.path, MaxBytes: s.traceFlags.file.maxBytes, Keep: s.traceFlags.file.keep}
}

// openSource opens the hooks, or else the kernel log if that is allowed.
func (s *session) openSource(ctx context.Context, opts tracer.Options) error {
	if s.source == "kmsg" {
		return s.openLog(s.sinceBoot)
	}
	tr, err := tracer.Open(ctx, opts)
	if err == nil {
		s.tr, s.ring = tr, tr
		s.openPast()
		return s.openCompletion()
	}
	if s.source == "auto" && opts.Tier == tracer.TierAuto && s.pin == "" && canFallBack(err) {
		if logErr := s.openLog(s.sinceBoot); logErr == nil {
			say(s.env, "no hooks on this machine (%v); reading the kernel log instead", err)
			return nil
		}
	}
	return openFailure(err, s.btf)
}

// canFallBack: what the user got wrong is to be told, not worked around.
func canFallBack(err error) bool {
	return errors.Is(err, tracer.ErrUnsupported) || errors.Is(err, tracer.ErrPermission)
}

// openLog makes the kernel log the source.
func (s *session) openLog(fromStart bool) error {
	k, err := kernlog.OpenKmsg(kernlog.KmsgOptions{Options: liveLog(), FromStart: fromStart})
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return &failure{err: err, code: exitPermission, hint: "run it as root, or with CAP_SYSLOG"}
		}
		return &failure{err: err, code: exitUnsupported, hint: "\"oomtrace read\" takes the output of dmesg too"}
	}
	s.kmsg = k
	return nil
}

// liveLog is for lines as they come: each gets the wall clock of its own time,
// which may have been set since the last one.
func liveLog() kernlog.Options {
	o := machineLog()
	o.BootTime = time.Time{}
	return o
}

// machineLog says what the log of this machine leaves out.
func machineLog() kernlog.Options {
	m := tracer.ThisMachine()
	return kernlog.Options{Node: m.Node, BootID: m.BootID, Kernel: m.Kernel, BootTime: m.MonotonicStart}
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
	s.pumping.Store(true) // whoever sees the ready file finds it healthy
	if err := s.ready(); err != nil {
		return err
	}
	defer s.service.start(ctx, s.alive)()
	defer untilHangup(ctx, s.out, cancel, func(err error) { s.note("the end of the reader", err) })()
	if s.file != nil {
		s.room.stop, s.p.room = ctx.Done(), &s.room
	}
	if s.tr != nil {
		st, err := s.tr.Stats()
		if err != nil {
			return err
		}
		s.repeated = st.Repeated
	}
	started := time.Now()
	pumped := make(chan error, 1)
	go func() { pumped <- s.pump(ctx) }()
	err := s.await(ctx, pumped)
	if s.abandoned {
		return err // its counts are not to be had
	}
	return errors.Join(err, s.sumUp(time.Since(started)))
}

// pump moves records until the context ends.
func (s *session) pump(ctx context.Context) error {
	defer s.pumping.Store(false)
	if s.tr == nil {
		return s.pumpLog(ctx)
	}
	return s.pumpHooks(ctx)
}

// close lets go of everything; what was written is on disk then.
func (s *session) close() error {
	var errs []error
	if s.metrics != nil {
		errs = append(errs, s.metrics.close())
	}
	if s.names != nil {
		errs = append(errs, s.names.Close())
	}
	if s.p != nil && !s.abandoned {
		s.p.stacks.Close()
	}
	if s.abandoned {
		return errors.Join(errs...) // the end of the process lets go of the rest
	}
	if s.kmsg != nil {
		errs = append(errs, s.kmsg.Close())
	}
	if s.past != nil {
		errs = append(errs, s.past.Close())
	}
	if s.tr != nil {
		errs = append(errs, s.tr.Close())
	}
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// greet tells what is traced and by which hooks.
func (s *session) greet() {
	node := tracer.ThisMachine().Node
	if s.tr == nil {
		say(s.env, "reading OOM kills of %s from the kernel log. Ctrl-C to stop.", node)
		return
	}
	what := strings.Join(kinds(s.tr.Attachments()), " + ")
	if s.kmsg != nil {
		what += " + kernel log"
	}
	say(s.env, "tracing OOM kills on %s (%s, %s). Ctrl-C to stop.", node, s.tr.Kernel(), what)
	if has := s.tr.RingBytes(); has != s.ringBytes && s.ringBytes != tracer.DefaultRingBytes {
		say(s.env, "the pinned ring keeps its %d bytes; \"oomtrace unpin\" lets --ring-bytes have its way", has)
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

// kinds lists the kinds of hooks that see a kill, the decision's first.
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

// describe gives one line for each hook, with the refusals.
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

// ready creates the ready file.
func (s *session) ready() error {
	if s.readyFile == "" {
		return nil
	}
	f, err := os.Create(s.readyFile)
	if err == nil {
		err = f.Close()
	}
	return readyFailure(err)
}

// notReady removes the ready file of an earlier run, which would be believed.
func (s *session) notReady() error {
	path, err := filepath.EvalSymlinks(s.readyFile)
	if s.readyFile == "" || errors.Is(err, os.ErrNotExist) {
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

// sumUp closes the session on stderr.
func (s *session) sumUp(d time.Duration) error {
	if s.tr == nil {
		say(s.env, "%s in %s, %d written", kills(s.p.kills), d.Round(time.Second), s.p.written)
		return nil
	}
	st, err := s.tr.Stats()
	if err != nil {
		return err
	}
	say(s.env, "%s in %s, %d written, %d lost", kills(s.p.kills), d.Round(time.Second), s.p.written, s.p.lostHere)
	if s.p.lostExits > 0 {
		say(s.env, "%d exit records lost", s.p.lostExits)
	}
	if s.p.unreadable > 0 {
		say(s.env, "%d records could not be decoded", s.p.unreadable)
	}
	if n := st.Repeated - s.repeated; n > 0 {
		say(s.env, "%d OOMs without a victim came within a second after one in the same cgroup, and have no record", n)
	}
	return nil
}

func kills(n int) string { return count(n, "kill") }

// count is "1 kill" or "2 kills".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// openFailure gives an error of the tracer its exit code and a hint.
func openFailure(err error, btfFile string) error {
	switch {
	case errors.Is(err, tracer.ErrNoBTF):
		return &failure{err: err, code: exitUnsupported, hint: "give the types of this very kernel with --btf FILE; \"oomtrace --source kmsg\" reads its log"}
	case errors.Is(err, tracer.ErrBTF):
		return &failure{err: err, code: exitError, hint: fmt.Sprintf("is %s the BTF of this kernel, such as /sys/kernel/btf/vmlinux?", btfFile)}
	case errors.Is(err, tracer.ErrPermission):
		return &failure{err: err, code: exitPermission, hint: "run it as root, or with CAP_BPF, CAP_PERFMON and CAP_SYSLOG"}
	case errors.Is(err, tracer.ErrUnsupported):
		return &failure{err: err, code: exitUnsupported, hint: "\"oomtrace check\" tells what this kernel offers; \"oomtrace --source kmsg\" reads its log"}
	case errors.As(err, new(*tracer.ForeignPinError)):
		return &failure{err: err, code: exitError, hint: "give --pin a directory of its own, such as /sys/fs/bpf/oomtrace, that nothing else uses"}
	case errors.Is(err, tracer.ErrPin):
		return &failure{err: err, code: exitError, hint: "\"oomtrace unpin\" removes what is pinned; --pin needs a bpffs directory such as /sys/fs/bpf/oomtrace"}
	}
	return err
}
