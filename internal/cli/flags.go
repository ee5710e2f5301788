package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/cli/help"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/sink"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// parseFlags returns the arguments that are no flags. Where help is asked for, it prints that,
// and returns pflag.ErrHelp. About is the verb's first line; empty is oomtrace's own help.
func parseFlags(flags *help.Groups, args []string, env Env, about string) (rest []string, err error) {
	var wrong *help.Error
	switch err := flags.Parse(args); {
	case err == nil:
		return flags.All.Args(), nil
	case errors.As(err, &wrong):
		return nil, usage(program().MeantFlag(wrong), "%w", err)
	case about == "":
		return nil, cmp.Or(printHelp(env.Stdout), err)
	}
	_, err = fmt.Fprintf(env.Stdout, "%s\n%s", about, flags.Help())
	return nil, cmp.Or(err, pflag.ErrHelp)
}

// outputFlags are shared by all verbs that write records.
type outputFlags struct {
	output string
	noWhy  bool
	count  int
}

// define adds them. Count is what --count does; empty is no such flag.
func (o *outputFlags) define(f *pflag.FlagSet, count string) {
	f.StringVarP(&o.output, "output", "o", "", "`format`: text, wide, json or html (default text on a terminal, else json)")
	f.BoolVar(&o.noWhy, "no-why", false, "leave the explanation out")
	if count != "" {
		f.IntVarP(&o.count, "count", "n", 0, count)
	}
}

const stopAfter = "stop after `N` kills"

func (o *outputFlags) check(env Env) error {
	switch o.output {
	case "":
		o.output = "json"
		if env.StdoutTerminal {
			o.output = "text"
		}
	case "text", "wide", "json", "html":
	default:
		return usage("use text, wide, json or html", "unknown output format %q", o.output)
	}
	if o.count < 0 {
		return usage("use a positive number", "--count %d is negative", o.count)
	}
	return nil
}

func (o *outputFlags) to(w io.Writer, env Env) assemble.Output {
	return assemble.Output{To: w, Format: o.output, Color: env.StdoutTerminal && !env.NoColor, Columns: env.Columns, ASCII: env.ASCII}
}

// filterFlags choose records.
type filterFlags struct {
	filters      pipeline.Filters
	since, until string
}

func (f *filterFlags) checkTimes(now time.Time) error {
	var bad *assemble.TimeError
	if errors.As(assemble.ParseTimes(&f.filters, f.since, f.until, now), &bad) {
		return usage("such as \"2026-11-26 03:00\", 03:00, yesterday, -2h or \"2 days ago\"", "--%s %w", bad.Name, bad.Err)
	}
	return nil
}

func (f *filterFlags) define(set *pflag.FlagSet) {
	set.StringVar(&f.filters.Comm, "comm", "", "victims whose name matches this shell `pattern`")
	set.StringVar(&f.filters.Cgroup, "cgroup", "", "victims whose cgroup path matches `pattern`; a last /** means it and all below")
	set.StringVar(&f.filters.Unit, "unit", "", "victims whose systemd unit matches `pattern`")
	set.StringVar(&f.filters.Namespace, "namespace", "", "victims whose Kubernetes namespace matches `pattern`")
	set.StringVar(&f.filters.Pod, "pod", "", "victims whose pod's name or uid matches `pattern`")
	set.StringVar(&f.filters.Container, "container", "", "victims whose container's name or id matches `pattern`")
}

func (f *filterFlags) check() error {
	var bad *pipeline.PatternError
	if errors.As(f.filters.Check(), &bad) {
		return usage("a pattern knows * ? [a-z] and \\; quote it from the shell", "--%s %q: %w", bad.Name, bad.Pattern, bad.Err)
	}
	return nil
}

// ownerFlags say where the metadata of containers and pods comes from.
type ownerFlags struct {
	sockets    []string
	enrichWait time.Duration
	redact     string
	secrets    []string
}

func (o *ownerFlags) stages(env Env) assemble.StageOptions {
	return assemble.StageOptions{
		Notify:  func(text string) { say(env, "%s", text) },
		Sockets: o.sockets, EnrichWait: o.enrichWait, Redact: o.redact != "false", RedactStrict: o.redact == "strict", RedactNames: o.secrets,
	}
}

func (o *ownerFlags) check() error {
	if o.enrichWait < 0 {
		return usage("use a positive time, such as 500ms, or 0", "--enrich-wait %v is negative", o.enrichWait)
	}
	if !slices.Contains([]string{"true", "false", "strict"}, o.redact) {
		return usage("use true, false or strict", "unknown mode %q of --redact", o.redact)
	}
	return nil
}

func (o *ownerFlags) define(f *pflag.FlagSet) {
	f.StringArrayVar(&o.sockets, "runtime-socket", nil, "ask this container runtime too; a `path`, may be repeated")
	f.DurationVar(&o.enrichWait, "enrich-wait", 500*time.Millisecond, "longest `time` a record waits for container metadata")
	f.StringVar(&o.redact, "redact", "true", "hide arguments that look like secrets; `mode` strict: all values; false: none")
	f.Lookup("redact").NoOptDefVal = "true"
	f.StringArrayVar(&o.secrets, "redact-name", nil, "hide arguments of this `name` too; may be repeated")
}

// fileFlags send the records to a file instead of stdout.
type fileFlags struct {
	path     string
	maxBytes int64
	keep     int
}

func (o *fileFlags) define(f *pflag.FlagSet) {
	f.StringVar(&o.path, "output-file", "", "append the records to this `file` instead of stdout")
	f.Int64Var(&o.maxBytes, "output-max-bytes", 0, "rotate the file at this `size`; 0 never")
	f.IntVar(&o.keep, "output-keep", sink.DefaultKeep, "keep `N` rotated files")
}

func (o *fileFlags) options() sink.Options {
	opts := sink.Options{Path: o.path, MaxBytes: o.maxBytes, Keep: o.keep}
	if o.keep == 0 {
		opts.Keep = -1 // none
	}
	return opts
}

func (o *fileFlags) check() error {
	switch {
	case o.maxBytes < 0:
		return usage("use a positive size, or 0 for no rotation", "--output-max-bytes %d is negative", o.maxBytes)
	case o.keep < 0:
		return usage("use a positive number, or 0 to keep none", "--output-keep %d is negative", o.keep)
	case o.path == "" && (o.maxBytes != 0 || o.keep != sink.DefaultKeep):
		return usage("give --output-file, too", "--output-max-bytes and --output-keep are for a file")
	}
	return nil
}

// traceFlags are those of the live trace.
type traceFlags struct {
	outputFlags
	filterFlags
	ownerFlags
	file        fileFlags
	duration    time.Duration
	readyFile   string
	source      string
	sinceBoot   bool
	sigkill     string
	attach      string
	history     string
	btf         string
	ringBytes   int
	pin         string
	top         int
	metrics     string
	health      string
	oomScoreAdj int
	verbose     bool
	// allowPrivileges: a refused drop of privileges does not end the program.
	allowPrivileges bool
}

func (t *traceFlags) groups() *help.Groups {
	g := help.New("oomtrace")
	g.Add("What to show", func(f *pflag.FlagSet) {
		t.outputFlags.define(f, stopAfter)
		f.IntVar(&t.top, "top", tracer.DefaultTop, "record `N` OOM candidates, at most 32")
	})
	g.Add("Which kills", func(f *pflag.FlagSet) {
		t.filterFlags.define(f)
		f.StringVar(&t.sigkill, "sigkill", "memory", "`mode` for SIGKILLs not sent by the OOM killer: memory (by memory managers, or drawn by an OOM kill), all or off")
	})
	g.Add("Ownership", t.ownerFlags.define)
	g.Add("Run control", func(f *pflag.FlagSet) {
		f.BoolVar(&t.sinceBoot, "since-boot", false, "first print kills still in the kernel log")
		f.DurationVarP(&t.duration, "duration", "d", 0, "stop after this `time`, such as 30s or 10m")
		f.StringVar(&t.readyFile, "ready-file", "", "create this `file` once every program is attached")
		f.BoolVarP(&t.verbose, "verbose", "v", false, "report which programs are attached, and why others are not")
	})
	g.Add("As a service", func(f *pflag.FlagSet) {
		t.file.define(f)
		f.StringVar(&t.pin, "pin", "", "keep programs and records in this bpffs `directory` while oomtrace is stopped")
		f.StringVar(&t.metrics, "metrics", "", "serve Prometheus metrics at this `address`, such as 127.0.0.1:9497; systemd: on the socket it passed")
		f.StringVar(&t.health, "health", "", "serve /healthz and /livez at this `address` of its own too")
		f.BoolVar(&t.allowPrivileges, "allow-privileges", false, "go on if privileges that are not needed cannot be dropped")
		f.IntVar(&t.oomScoreAdj, "oom-score-adj", assemble.DefaultScoreAdj, "set this process's own oom_score_adj to `N`")
	})
	g.Add("How to trace", t.defineHooks)
	return g
}

func (t *traceFlags) defineHooks(f *pflag.FlagSet) {
	f.StringVar(&t.source, "source", "auto", "`mode` auto, bpf (programs) or kmsg (the kernel log)")
	f.StringVar(&t.attach, "attach", "auto", "attach `type` of the programs: auto, fentry, kprobe, tp_btf, raw_tp or tracepoint")
	f.StringVar(&t.history, "history", "auto", "`mode` of following growth: auto, exact, sampled or off")
	f.StringVar(&t.btf, "btf", "", "read the kernel's types from this `file`")
	f.IntVar(&t.ringBytes, "ring-bytes", tracer.DefaultRingBytes, "ring buffer `size` (power of two); holds records while output is blocked")
}

func (t *traceFlags) check(env Env) error {
	if err := t.outputFlags.check(env); err != nil {
		return err
	}
	if t.top < 0 || t.top > tracer.MaxTop {
		return usage(fmt.Sprintf("use 0 to %d", tracer.MaxTop), "--top %d is out of range", t.top)
	}
	if err := t.checkSource(); err != nil {
		return err
	}
	switch t.sigkill {
	case "memory", "all", "off":
	default:
		return usage("use memory, all or off", "--sigkill %q is unknown", t.sigkill)
	}
	if t.oomScoreAdj < -1000 || t.oomScoreAdj > 1000 {
		return usage("use -1000 to 1000", "--oom-score-adj %d is out of range", t.oomScoreAdj)
	}
	if t.duration < 0 {
		return usage("use a positive time, such as 30s", "--duration %v is negative", t.duration)
	}
	return errors.Join(t.filterFlags.check(), t.ownerFlags.check(), t.file.check())
}

func (t *traceFlags) checkSource() error {
	switch t.source {
	case "auto", "bpf":
		return nil
	case "kmsg":
		if t.pin != "" || t.attach != "auto" || t.btf != "" || t.ringBytes != tracer.DefaultRingBytes {
			return usage("--pin, --attach, --btf and --ring-bytes are for --source bpf", "--source kmsg attaches no programs")
		}
		if t.history == "exact" {
			return usage("use --history auto", "--history exact counts with programs, and --source kmsg attaches none")
		}
		if t.sigkill == "all" {
			return usage("leave out one of the two", "--sigkill all needs programs, and --source kmsg attaches none")
		}
		return nil
	}
	return usage("use auto, bpf or kmsg", "unknown source %q", t.source)
}

// options are the tracer's part of the flags.
func (t *traceFlags) options() (tracer.Options, error) {
	tier, err := tracer.ParseTier(t.attach)
	if err != nil {
		return tracer.Options{}, usage("use auto, fentry, kprobe, tp_btf, raw_tp or tracepoint", "%w", err)
	}
	if n := t.ringBytes; !tracer.ValidRingBytes(n) {
		return tracer.Options{}, usage(fmt.Sprintf("use a power of two from %d to %d", tracer.MinRingBytes, tracer.MaxRingBytes),
			"--ring-bytes %d is not a valid ring buffer size", n)
	}
	mode, err := assemble.ParseHistory(t.history)
	if err != nil {
		return tracer.Options{}, usage("use auto, exact, sampled or off", "--history: %w", err)
	}
	opts := tracer.Options{
		Tier: tier, BTF: t.btf, Top: t.top, Pin: t.pin, RingBytes: t.ringBytes,
		NoSigkills: t.sigkill == "off", NoHistory: !mode.Counts(),
	}
	if t.top == 0 {
		opts.Top = -1
	}
	return opts, nil
}

func runHelp(ctx context.Context, args []string, env Env) error {
	// "help read --help" asks for the same twice.
	args = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == "-h" || arg == "--help" })
	rest, err := parseFlags(help.New("oomtrace help"), args, env, "")
	switch {
	case err != nil:
		return err
	case len(rest) == 0:
		return printHelp(env.Stdout)
	case len(rest) > 1:
		return usage("oomtrace help takes one verb", "unexpected argument %q", rest[1])
	}
	for _, v := range verbs() {
		if v.Name == rest[0] && v.Name != "" {
			return v.run(ctx, []string{"--help"}, env)
		}
	}
	return usage(program().Meant(rest[0]), "unexpected argument %q", rest[0])
}

func printHelp(w io.Writer) error {
	_, err := fmt.Fprintf(w, `oomtrace explains OOM kills: which process died, which one asked for memory,
which limit was hit, and why.

%s
Examples:
  sudo oomtrace                                   watch kills as they happen
  oomtrace list --since yesterday                 what died last night?
  oomtrace read -o html kern.log >kills.html      a page to look at

Without a verb:
%s
Exit: 0 fine, 1 run-time error, 2 usage, 3 this kernel cannot be traced,
4 privileges missing.
`, program().Usage(), new(traceFlags).groups().Help())
	return err
}
