package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/kernlog"
)

// readFlags are those of "oomtrace read".
type readFlags struct {
	outputFlags
	filterFlags
	ownerFlags
	year    int
	names   bool
	verbose bool
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
		f.BoolVar(&r.names, "names", false, "ask this machine's container runtimes for names")
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
	p := newPipeline(env, env.Stdout, &r.outputFlags, r.filters())
	if r.names {
		names := container.Open(ctx, container.Options{Sockets: r.sockets, Warn: func(text string) { say(env, "%s", text) }})
		defer func() { _ = names.Close() }()
		names.Ready(ctx)
		p.owners(&r.ownerFlags, names)
	} else {
		p.owners(&r.ownerFlags, nil)
	}
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
		stats, err := r.readFile(ctx, env, p, name)
		total.Lines += stats.Lines
		total.Unplaced += stats.Unplaced
		total.CutLines += stats.CutLines
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
	if total.Unplaced > 0 {
		how := "; -v shows them"
		if r.verbose {
			how = ""
		}
		say(env, "%d lines look like part of a report and were not understood%s", total.Unplaced, how)
	}
	if total.CutLines > 0 {
		say(env, "%d lines were too long and cut", total.CutLines)
	}
}

func (r *readFlags) readFile(ctx context.Context, env Env, p *pipeline, name string) (kernlog.Stats, error) {
	in := env.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return kernlog.Stats{}, &failure{err: err, code: exitError, hint: readHint}
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	opts := kernlog.Options{Year: r.year}
	if r.verbose {
		opts.OnUnplaced = func(line int, text string) { say(env, "%s:%d: %q", name, line, text) }
	}
	log := kernlog.NewReader(in, opts)
	for !p.full() {
		rec, err := log.Next()
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			break
		}
		if err != nil {
			return log.Stats(), &failure{err: fmt.Errorf("read %s: %w", name, err), code: exitError, hint: readHint}
		}
		if err := p.write(ctx, rec); err != nil {
			return log.Stats(), err
		}
	}
	return log.Stats(), nil
}
