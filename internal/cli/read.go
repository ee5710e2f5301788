package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/cli/help"
	"github.com/oomtrace/oomtrace/internal/sink"
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

func (r *readFlags) groups() *help.Groups {
	g := help.New("oomtrace read")
	g.Add("What to show", func(f *pflag.FlagSet) {
		r.outputFlags.define(f, stopAfter)
		f.BoolVarP(&r.verbose, "verbose", "v", false, "show lines that look like part of a report and were not understood")
	})
	r.addPast(g)
	return g
}

// addPast adds what all verbs have that read the past.
func (r *readFlags) addPast(g *help.Groups) {
	g.Add("Which kills", func(f *pflag.FlagSet) {
		r.filterFlags.define(f)
		f.StringVar(&r.since, "since", "", "kills from this `time` on, such as \"2026-11-26 03:00\", -2h or yesterday")
		f.StringVar(&r.until, "until", "", "kills up to this `time`")
	})
	g.Add("Ownership", func(f *pflag.FlagSet) {
		r.ownerFlags.define(f)
		f.BoolVar(&r.names, "names", false, "ask this machine's container runtimes for metadata; --runtime-socket implies it")
	})
	g.Add("The log", func(f *pflag.FlagSet) {
		f.IntVar(&r.year, "year", 0, "the `year` of the first stamp in a log that has none (default the latest that fits)")
	})
}

func (r *readFlags) check(env Env) error {
	return errors.Join(r.outputFlags.check(env), r.filterFlags.check(), r.checkTimes(time.Now()), r.ownerFlags.check())
}

func runRead(ctx context.Context, args []string, env Env) error {
	var r readFlags
	files, err := parseFlags(r.groups(), args, env, "oomtrace read [flags] [FILE...]: the kills in kernel logs; - is stdin")
	if err != nil {
		return err
	}
	if err := r.check(env); err != nil {
		return err
	}
	if len(files) == 0 {
		files = []string{"-"}
	}
	if files[0] == "-" && env.StdinTerminal {
		say(env, "waiting for a kernel log on the terminal; Ctrl-D ends it, \"oomtrace list\" looks for the logs of this machine")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer sink.OnHangup(ctx, env.Stdout, cancel, func(error) {})()
	sum, err := assemble.Read(ctx, r.options(env, files))
	if err != nil {
		return outputFailure(err, "free disk space; later kills were not written")
	}
	r.sumUp(env, sum)
	if sum.Failed > 0 {
		return &failure{err: errors.New("not every file could be read"), code: exitError, hint: "give kernel logs as text, or packed with gzip, xz or zstd"}
	}
	return nil
}

func (r *readFlags) options(env Env, files []string) assemble.ReadOptions {
	o := assemble.ReadOptions{
		StageOptions: r.stages(env), Output: r.to(env.Stdout, env), Limit: r.count,
		Files: files, Stdin: env.Stdin, Year: r.year,
	}
	o.Filters, o.NoWhy, o.Metadata = r.filters, r.noWhy, r.names || len(r.sockets) > 0
	if env.StderrTerminal {
		o.Progress = env.Stderr
	}
	if r.verbose {
		o.OnUnplaced = func(file string, line int, text string) { say(env, "%s:%d: %q", file, line, text) }
	}
	return o
}

func (r *readFlags) sumUp(env Env, sum assemble.ReadSummary) {
	say(env, "%s in %s", count(sum.Counts.Kills, "kill"), count(sum.Lines, "line"))
	if sum.Reversed {
		say(env, "the log is newest first; it was read from its end")
	}
	unplaced := "like part of a report, not understood"
	if !r.verbose {
		unplaced += "; -v shows more"
	}
	sayCounts(env, counted{sum.Duplicates, "duplicate record", "skipped"}, counted{sum.DoubledLines, "duplicate line", "skipped"},
		counted{sum.Foreign, "line", "about kills by other programs, not counted"},
		counted{sum.LeftOut, "implausible number", "left out"}, counted{sum.Unplaced, "line", unplaced},
		counted{sum.Reaped, "line", "of the OOM reaper, of kills that this log does not hold"},
		counted{sum.Unknown, "JSON object", "without a recognized message field, such as MESSAGE, message, msg or log"},
		counted{sum.CutLines, "overlong line", "truncated"})
	if sum.Counts.Kills == 0 && sum.Foreign > 0 {
		say(env, "line %d says that another program wrote it: %q", sum.ForeignLine, sum.ForeignText)
	}
	if !r.verbose && sum.UnknownForm != "" && sum.Unplaced+sum.Unknown > 0 {
		say(env, "line %d has a form that is not known: %q", sum.UnknownLine, sum.UnknownForm)
	}
}
