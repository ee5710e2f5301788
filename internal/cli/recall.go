package cli

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/cli/help"
)

const noRoomHint = "free disk space"

// recallFlags are those of "oomtrace list" and "oomtrace show".
type recallFlags struct {
	readFlags
	json bool
}

func (r *recallFlags) groups(verb string) *help.Groups {
	formats, count := "`format`: list (default), text, wide, json or html", "the newest `N` kills"
	if verb == "show" {
		formats, count = "`format`: wide (default), text, json or html", ""
	}
	g := help.New("oomtrace " + verb)
	g.Add("What to show", func(f *pflag.FlagSet) {
		r.outputFlags.define(f, count)
		o := f.Lookup("output")
		o.Usage = formats
		f.BoolVar(&r.json, "json", false, "the same as -o json")
	})
	r.addPast(g)
	return g
}

func (r *recallFlags) parse(args []string, env Env, verb, about, format string) (rest []string, err error) {
	if rest, err = parseFlags(r.groups(verb), args, env, about); err != nil {
		return nil, err
	}
	switch {
	case r.json && r.output != "" && r.output != "json":
		return nil, usage("give one of them", "--json and -o %s exclude each other", r.output)
	case r.json:
		r.output = "json"
	case r.output == "" || r.output == "list" && verb == "list":
		r.output = "text" // as the check knows it
		defer func() { r.output = format }()
	}
	return rest, r.check(env)
}

func runList(ctx context.Context, args []string, env Env) error {
	var r recallFlags
	files, err := r.parse(args, env, "list", "oomtrace list [flags] [FILE...]: the kills that this machine remembers,\nthe newest last", "list")
	if err != nil {
		return err
	}
	found, err := r.recall(ctx, env, files)
	if len(found.Records) == 0 {
		return err
	}
	return cmp.Or(outputFailure(r.to(env.Stdout, env).Write(ctx, found.Newest(r.count), r.noWhy), noRoomHint), err)
}

func runShow(ctx context.Context, args []string, env Env) error {
	var r recallFlags
	rest, err := r.parse(args, env, "show",
		"oomtrace show [flags] [WHICH] [FILE...]: one kill in full\n\n"+
			"WHICH is last (default), a process id, an id or its beginning, or the name\nof a pod or process.", "wide")
	if err != nil {
		return err
	}
	which, files := assemble.Which(rest)
	found, err := r.recall(ctx, env, files)
	if !found.Found() {
		return err
	}
	records, none := found.Choose(which)
	if none != nil {
		return chooseFailure(ctx, env, none)
	}
	return cmp.Or(outputFailure(r.to(env.Stdout, env).Write(ctx, records, r.noWhy), noRoomHint), err)
}

// chooseFailure shows the matches where there are several.
func chooseFailure(ctx context.Context, env Env, err error) error {
	var several *assemble.SeveralError
	if !errors.As(err, &several) {
		return &failure{err: err, code: exitError, hint: "\"oomtrace list\" shows what there is; give last, an id, a process id, or the name of a pod or process"}
	}
	list := assemble.Output{To: env.Stderr, Format: "list", Columns: env.Columns, ASCII: env.ASCII}
	if err := list.Write(ctx, several.Matches, false); err != nil {
		return err
	}
	return &failure{err: err, code: exitError, hint: "give the id of one of them"}
}

// recall finds the kills. None is an error, and so is a file that could not be read: what
// the others have is found all the same.
func (r *recallFlags) recall(ctx context.Context, env Env, files []string) (assemble.Recalled, error) {
	found, err := assemble.Recall(ctx, assemble.RecallOptions{ReadOptions: r.options(env, files)})
	if err != nil {
		return assemble.Recalled{}, outputFailure(err, "")
	}
	for _, p := range found.Problems {
		say(env, "%s", p)
	}
	if found.Dropped > 0 {
		say(env, "%d older kills are left out; --since and --until choose others", found.Dropped)
	}
	f := &failure{err: errors.New("no kills found"), code: exitError}
	switch {
	case !found.Found() && len(found.Problems) > 0:
		f.hint = "as root, or in the group systemd-journal, more of the logs can be read"
	case !found.Found():
	case found.Failed > 0:
		f.err, f.hint = errors.New("not every file could be read"), "give kernel logs as text, or packed with gzip, xz or zstd"
	default:
		if found.Place != "" {
			say(env, "from %s", found.Place)
		}
		return found, nil
	}
	return found, f
}
