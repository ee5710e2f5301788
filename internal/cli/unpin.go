package cli

import (
	"context"
	"errors"
	"io/fs"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/cli/help"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

func unpinGroups(dir *string) *help.Groups {
	g := help.New("oomtrace unpin")
	g.Add("What to remove", func(f *pflag.FlagSet) {
		f.StringVar(dir, "pin", "/sys/fs/bpf/oomtrace", "the bpffs `directory`")
	})
	return g
}

func runUnpin(_ context.Context, args []string, env Env) error {
	var dir string
	rest, err := parseFlags(unpinGroups(&dir), args, env, "oomtrace unpin [DIR]: remove what --pin left in the kernel")
	if err != nil {
		return err
	}
	switch len(rest) {
	case 0:
	case 1:
		dir = rest[0]
	default:
		return usage("oomtrace unpin takes one directory", "unexpected argument %q", rest[1])
	}
	if err := tracer.Unpin(dir); err != nil {
		hint := "stop the oomtrace that uses it; the directory is that of its --pin"
		switch {
		case errors.Is(err, fs.ErrNotExist):
			hint = "give the directory of the --pin that is to end"
		case errors.As(err, new(*tracer.ForeignPinError)):
			hint = "nothing that is not oomtrace's is removed; is this the directory of its --pin, and are you the user who runs it?"
		}
		return &failure{err: err, code: exitError, hint: hint}
	}
	return nil
}
