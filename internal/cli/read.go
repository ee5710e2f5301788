package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/enrich"
	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// readFlags are those of "oomtrace read".
type readFlags struct {
	outputFlags
	filterFlags
	ownerFlags
	year    int
	names   bool
	verbose bool
	seen    kernlog.Seen
}

func (r *readFlags) groups() *flagGroups {
	g := newFlags("oomtrace read")
	g.add("What to show", func(f *pflag.FlagSet) {
		r.outputFlags.define(f)
		f.BoolVarP(&r.verbose, "verbose", "v", false, "show lines that look like part of a report and were not understood")
	})
	g.add("Which kills", r.filterFlags.define)
	g.add("Whose they were", func(f *pflag.FlagSet) {
		r.ownerFlags.define(f)
		f.BoolVar(&r.names, "names", false, "ask this machine's container runtimes for names; --runtime-socket implies it")
	})
	g.add("The log", func(f *pflag.FlagSet) {
		f.IntVar(&r.year, "year", 0, "the `year` of the first stamp in a log that has none (default the latest that fits)")
	})
	return g
}

func runRead(ctx context.Context, args []string, env Env) error {
	var r readFlags
	flags := r.groups()
	if err := flags.parse(args); err != nil {
		if isHelp(err) {
			_, err = fmt.Fprintf(env.Stdout, "oomtrace read [flags] [FILE...]: the kills in kernel logs; - is stdin\n%s", flags.usages())
		}
		return err
	}
	if err := errors.Join(r.outputFlags.check(env), r.filterFlags.check()); err != nil {
		return err
	}
	files := flags.all.Args()
	if len(files) == 0 {
		files = []string{"-"}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer untilHangup(ctx, env.Stdout, cancel, func(error) {})()
	p := newPipeline(env, env.Stdout, &r.outputFlags, r.filters())
	owners := enrich.Options{Log: true}
	if r.names || len(r.sockets) > 0 {
		names := container.Open(ctx, container.Options{Sockets: r.sockets, Warn: func(text string) { say(env, "%s", text) }})
		defer func() { _ = names.Close() }()
		names.Ready(ctx)
		owners.Containers = names
	}
	p.owners(&r.ownerFlags, owners)
	return r.readAll(ctx, env, p, files)
}

// readAll reads every file; one that cannot be read does not keep the others
// from it.
func (r *readFlags) readAll(ctx context.Context, env Env, p *pipeline, files []string) error {
	var failed error
	var total kernlog.Stats
	for _, name := range files {
		if p.full() || ctx.Err() != nil {
			break
		}
		r.seen.Next()
		stats, err := r.readFile(ctx, env, p, name)
		total.Add(&stats)
		var w *failure
		switch {
		case err == nil:
		case errors.As(err, &w) && w.code == exitError && w.hint == readHint:
			say(env, "%v", err)
			failed = err
		default:
			return err
		}
	}
	r.sumUp(env, p, total)
	if failed != nil {
		return &failure{err: errors.New("not every file could be read"), code: exitError, hint: readHint}
	}
	return nil
}

const readHint = "give kernel logs as text, or packed with gzip, xz or zstd"

func (r *readFlags) sumUp(env Env, p *pipeline, total kernlog.Stats) {
	say(env, "%s in %d lines", kills(p.kills), total.Lines)
	if total.Reversed {
		say(env, "the log is newest first; it was read from its end")
	}
	if total.Duplicates > 0 {
		say(env, "%d duplicate records skipped", total.Duplicates)
	}
	if total.DoubledLines > 0 {
		say(env, "%d duplicate lines skipped", total.DoubledLines)
	}
	if total.Foreign > 0 {
		say(env, "%d lines about kills were written by other programs and do not count", total.Foreign)
	}
	if total.LeftOut > 0 {
		say(env, "%d implausible numbers left out", total.LeftOut)
	}
	if !r.verbose && total.UnknownForm != "" && total.Unplaced+total.Unknown > 0 {
		say(env, "line %d has a form that is not known: %q", total.UnknownLine, total.UnknownForm)
	}
	if total.Unplaced > 0 {
		how := "; -v shows them"
		if r.verbose {
			how = ""
		}
		say(env, "%d lines look like part of a report and were not understood%s", total.Unplaced, how)
	}
	if total.Unknown > 0 {
		say(env, "%d objects of JSON without a text that is known, such as MESSAGE, message, msg or log", total.Unknown)
	}
	if total.CutLines > 0 {
		say(env, "%d lines were too long and cut", total.CutLines)
	}
}

func (r *readFlags) readFile(ctx context.Context, env Env, p *pipeline, name string) (kernlog.Stats, error) {
	opts := kernlog.Options{Year: r.year, Seen: &r.seen}
	if r.verbose {
		opts.OnUnplaced = func(line int, text string) { say(env, "%s:%d: %q", name, line, text) }
	}
	file := env.Stdin
	if name != "-" {
		f, err := openLog(name)
		if err != nil {
			return kernlog.Stats{}, &failure{err: err, code: exitError, hint: readHint}
		}
		defer func() { _ = f.Close() }()
		file = f
		if isKernelBuffer(f) {
			return r.readBuffer(ctx, p, name, opts)
		}
	}
	write := writeOnce{ctx: ctx, p: p}
	var log *kernlog.Reader
	in, err := newInput(ctx, file, func() error { return write.all(log.Quiet()) })
	if err != nil {
		return kernlog.Stats{}, &failure{err: fmt.Errorf("read %s: %w", name, err), code: exitError, hint: readHint}
	}
	defer func() { _ = in.Close() }()
	log = kernlog.NewReader(in, opts)
	err = readRecords(p, name, log.Next, &write)
	return log.Stats(), err
}

// openLog opens a file. The kernel's buffer would wait for what comes next.
func openLog(name string) (*os.File, error) {
	flags := os.O_RDONLY
	if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		flags |= unix.O_NONBLOCK
	}
	return os.OpenFile(name, flags, 0)
}

// isKernelBuffer says whether this is /dev/kmsg, by whatever name.
func isKernelBuffer(f *os.File) bool {
	var st unix.Stat_t
	const memory, kmsg = 1, 11 // Documentation/admin-guide/devices.txt
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(memory, kmsg)
}

// readBuffer reads what the kernel's buffer holds.
func (r *readFlags) readBuffer(ctx context.Context, p *pipeline, name string, opts kernlog.Options) (kernlog.Stats, error) {
	here := machineLog()
	opts.Node, opts.BootID, opts.Kernel, opts.BootTime = here.Node, here.BootID, here.Kernel, here.BootTime
	k, err := kernlog.OpenKmsg(kernlog.KmsgOptions{Options: opts, FromStart: true, UntilNow: true, Path: name})
	if err != nil {
		return kernlog.Stats{}, &failure{err: err, code: exitError, hint: readHint}
	}
	defer func() { _ = k.Close() }()
	err = readRecords(p, name, func() (*oom.Record, error) { return k.Read(ctx) }, &writeOnce{ctx: ctx, p: p})
	return k.Stats(), err
}

// readRecords writes all records that next gives. A log that ends because the
// run ends is no failure, and what was read of it is written.
func readRecords(p *pipeline, name string, next func() (*oom.Record, error), write *writeOnce) error {
	for !p.full() {
		rec, err := next()
		switch {
		case write.err != nil:
			return write.err
		case errors.Is(err, io.EOF), errors.Is(err, context.Canceled), errors.Is(err, errFull):
			return nil
		case err != nil:
			return &failure{err: fmt.Errorf("read %s: %w", name, err), code: exitError, hint: readHint}
		}
		if err := write.all([]*oom.Record{rec}); err != nil && !errors.Is(err, errFull) {
			return err
		}
	}
	return nil
}

// errFull ends an input once as many records are written as were asked for.
var errFull = errors.New("as many records as asked for")

// writeOnce writes records, and keeps a failure of that apart from those of the input
// that it ends.
type writeOnce struct {
	ctx context.Context
	p   *pipeline
	err error
}

func (w *writeOnce) all(records []*oom.Record) error {
	for _, rec := range records {
		if w.p.full() {
			return errFull
		}
		if w.err = w.p.write(w.ctx, rec); w.err != nil {
			return w.err
		}
	}
	return nil
}
