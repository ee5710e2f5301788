package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/archive"
	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/cli/help"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// recallFlags are those of "oomtrace list" and "oomtrace show".
type recallFlags struct {
	readFlags
	json bool
}

func (r *recallFlags) groups(verb string) *help.Groups {
	formats := "`format`: list (default), text, wide, json or html"
	if verb == "show" {
		formats = "`format`: wide (default), text, json or html"
	}
	g := help.New("oomtrace " + verb)
	g.Add("What to show", func(f *pflag.FlagSet) {
		r.outputFlags.define(f)
		o := f.Lookup("output")
		o.Usage = formats
		f.BoolVar(&r.json, "json", false, "the same as -o json")
	})
	g.Add("Which kills", func(f *pflag.FlagSet) {
		r.filterFlags.define(f)
		r.defineTimes(f)
	})
	g.Add("Ownership", r.defineOwners)
	g.Add("The log", r.defineLog)
	return g
}

// parse is false where help was asked for and given.
func (r *recallFlags) parse(args []string, env Env, verb, about, format string) (rest []string, ok bool, err error) {
	flags := r.groups(verb)
	if err := parseFlags(flags, args); err != nil {
		if isHelp(err) {
			_, err = fmt.Fprintf(env.Stdout, "%s\n%s", about, flags.Help())
		}
		return nil, false, err
	}
	switch {
	case r.json && r.output != "" && r.output != "json":
		return nil, false, usage("give one of them", "--json and -o %s exclude each other", r.output)
	case r.json:
		r.output = "json"
	case r.output == "" || r.output == "list" && verb == "list":
		r.output = "text" // as the check knows it
		defer func() { r.output = format }()
	}
	return flags.All.Args(), true, r.check(env)
}

func runList(ctx context.Context, args []string, env Env) error {
	var r recallFlags
	files, ok, err := r.parse(args, env, "list", "oomtrace list [flags] [FILE...]: the kills that this machine remembers,\nthe newest last", "list")
	if !ok || err != nil {
		return err
	}
	found, err := r.recall(ctx, env, files)
	if err != nil {
		return err
	}
	records := found.Records
	if r.count > 0 {
		records = newest(records, r.count)
	}
	return r.outputFlags.to(env.Stdout, env).Write(ctx, records, r.noWhy)
}

// newest are the last n kills, with all that came between them.
func newest(records []*oom.Record, n int) []*oom.Record {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].Kind == oom.KindKill {
			if n--; n == 0 {
				return records[i:]
			}
		}
	}
	return records
}

func runShow(ctx context.Context, args []string, env Env) error {
	var r recallFlags
	files, ok, err := r.parse(args, env, "show",
		"oomtrace show [flags] [WHICH] [FILE...]: one kill in full\n\n"+
			"WHICH is last (default), a process id, an id or its beginning, or the name\nof a pod or process.", "wide")
	if !ok || err != nil {
		return err
	}
	which := archive.Last
	if len(files) > 0 && !isFile(files[0]) {
		which, files = files[0], files[1:]
	}
	found, err := r.recall(ctx, env, files)
	if err != nil {
		return err
	}
	records, err := archive.Choose(found.Records, which)
	if err != nil {
		return r.chooseFailure(ctx, env, err)
	}
	return r.outputFlags.to(env.Stdout, env).Write(ctx, records, r.noWhy)
}

// isFile takes an argument for a log rather than for a kill.
func isFile(name string) bool {
	if name == "-" || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./") {
		return true
	}
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// chooseFailure shows the matches where there are several.
func (r *recallFlags) chooseFailure(ctx context.Context, env Env, err error) error {
	var several *archive.SeveralError
	if !errors.As(err, &several) {
		return &failure{err: err, code: exitError, hint: "\"oomtrace list\" shows what there is; give last, an id, a process id, or the name of a pod or process"}
	}
	list := assemble.Output{To: env.Stderr, Format: "list", Columns: env.Columns, ASCII: env.ASCII}
	if err := list.Write(ctx, several.Matches, false); err != nil {
		return err
	}
	return &failure{err: err, code: exitError, hint: "give the id of one of them"}
}

// recall finds the kills; none is an error that says where was looked.
func (r *recallFlags) recall(ctx context.Context, env Env, files []string) (assemble.Recalled, error) {
	opts, progress := r.options(env, files), newProgress(env, files)
	if progress != nil {
		opts.OnRead = progress.read
	}
	found, err := assemble.Recall(ctx, assemble.RecallOptions{ReadOptions: opts})
	progress.finish()
	if err != nil {
		return found, outputFailure(err, "")
	}
	if found.Dropped > 0 {
		say(env, "%d older kills are left out; --since and --until choose others", found.Dropped)
	}
	if len(found.Records) > 0 {
		if found.Place != "" {
			say(env, "from %s", found.Place)
		}
		return found, nil
	}
	for _, p := range found.Problems {
		say(env, "%s", p)
	}
	f := &failure{err: errors.New("no kills found"), code: exitError}
	if len(found.Problems) > 0 {
		f.hint = "as root, or in the group systemd-journal, more of the logs can be read"
	}
	return found, f
}
