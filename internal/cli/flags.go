package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/tracer"
)

// group is a set of flags under one heading of the help.
type group struct {
	title string
	flags *pflag.FlagSet
}

// flagGroups keeps the flags by intent, for the help, and as one set, for
// parsing.
type flagGroups struct {
	groups []group
	all    *pflag.FlagSet
}

func newFlags(name string) *flagGroups {
	all := pflag.NewFlagSet(name, pflag.ContinueOnError)
	all.SetOutput(io.Discard)
	return &flagGroups{all: all}
}

func (g *flagGroups) add(title string, define func(*pflag.FlagSet)) {
	set := pflag.NewFlagSet(title, pflag.ContinueOnError)
	set.SortFlags = false
	define(set)
	g.groups = append(g.groups, group{title, set})
	g.all.AddFlagSet(set)
}

func (g *flagGroups) usages() string {
	var b strings.Builder
	for _, gr := range g.groups {
		fmt.Fprintf(&b, "\n%s:\n%s", gr.title, gr.flags.FlagUsagesWrapped(100))
	}
	return b.String()
}

// parse turns pflag's errors into usage errors.
func (g *flagGroups) parse(args []string) error {
	err := g.all.Parse(args)
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return err
	}
	return usage("see \"oomtrace help\"", "%w", err)
}

// outputFlags are shared by all verbs that write records.
type outputFlags struct {
	output string
	noWhy  bool
	count  int
}

func (o *outputFlags) define(f *pflag.FlagSet) {
	f.StringVarP(&o.output, "output", "o", "", "`format`: text, wide or json (default text on a terminal, else json)")
	f.BoolVar(&o.noWhy, "no-why", false, "leave the explanation out")
	f.IntVarP(&o.count, "count", "n", 0, "stop after `N` kills")
}

func (o *outputFlags) check(env Env) error {
	switch o.output {
	case "":
		o.output = "json"
		if env.StdoutTerminal {
			o.output = "text"
		}
	case "text", "wide", "json":
	default:
		return usage("use text, wide or json", "unknown output format %q", o.output)
	}
	if o.count < 0 {
		return usage("use a positive number", "--count %d is negative", o.count)
	}
	return nil
}

// traceFlags are those of the live trace.
type traceFlags struct {
	outputFlags
	filterFlags
	duration  time.Duration
	readyFile string
	attach    string
	btf       string
	top       int
	verbose   bool
}

func (t *traceFlags) groups() *flagGroups {
	g := newFlags("oomtrace")
	g.add("What to show", func(f *pflag.FlagSet) {
		t.outputFlags.define(f)
		f.IntVar(&t.top, "top", tracer.DefaultTop, "how many of the weighed tasks to keep, at most 32")
	})
	g.add("Which kills", t.filterFlags.define)
	g.add("When to stop, and signs of life", func(f *pflag.FlagSet) {
		f.DurationVarP(&t.duration, "duration", "d", 0, "stop after this `time`, such as 30s or 10m")
		f.StringVar(&t.readyFile, "ready-file", "", "create this `file` once every hook is attached")
		f.BoolVarP(&t.verbose, "verbose", "v", false, "tell which hooks are used and why others are not")
	})
	g.add("How to trace", t.defineHooks)
	return g
}

func (t *traceFlags) defineHooks(f *pflag.FlagSet) {
	f.StringVar(&t.attach, "attach", "auto", "`tier` of hooks: auto, fentry, kprobe, tp_btf, raw_tp or tracepoint")
	f.StringVar(&t.btf, "btf", "", "read the kernel's types from this `file`")
}

func (t *traceFlags) check(env Env) error {
	if err := t.outputFlags.check(env); err != nil {
		return err
	}
	if t.top < 0 || t.top > tracer.MaxTop {
		return usage(fmt.Sprintf("use 0 to %d", tracer.MaxTop), "--top %d is out of range", t.top)
	}
	if t.duration < 0 {
		return usage("use a positive time, such as 30s", "--duration %v is negative", t.duration)
	}
	return t.filterFlags.check()
}

// options are the tracer's part of the flags.
func (t *traceFlags) options() (tracer.Options, error) {
	tier, err := tracer.ParseTier(t.attach)
	if err != nil {
		return tracer.Options{}, usage("use auto, fentry, kprobe, tp_btf, raw_tp or tracepoint", "%w", err)
	}
	opts := tracer.Options{Tier: tier, BTF: t.btf, Top: t.top}
	if t.top == 0 {
		opts.Top = -1
	}
	return opts, nil
}

func runHelp(_ context.Context, args []string, env Env) error {
	if len(args) > 0 {
		return usage("oomtrace help takes no arguments", "unexpected argument %q", args[0])
	}
	return printHelp(env.Stdout)
}

func printHelp(w io.Writer) error {
	_, err := fmt.Fprintf(w, `oomtrace explains OOM kills: who died, who asked for the page, which limit was hit, and why.

  oomtrace [flags]                 trace live until interrupted (needs root)
  oomtrace check [flags]           tell what this machine offers; exit 0 if it can be traced
  oomtrace version | help
%s
Exit: 0 fine, 1 run-time error, 2 usage, 3 this kernel cannot be traced, 4 privileges missing.
`, new(traceFlags).groups().usages())
	return err
}
