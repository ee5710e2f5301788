package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/cli/help"
	"github.com/oomtrace/oomtrace/internal/render"
)

// checkGroups are the flags of "oomtrace check".
func (t *traceFlags) checkGroups() *help.Groups {
	g := help.New("oomtrace check")
	g.Add("How to trace", t.defineHooks)
	g.Add("Ownership", t.ownerFlags.define)
	return g
}

func runCheck(ctx context.Context, args []string, env Env) error {
	var t traceFlags
	rest, err := parseFlags(t.checkGroups(), args, env, "oomtrace check [flags]: report what this system supports")
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage("oomtrace check takes flags only", "unexpected argument %q", rest[0])
	}
	if err := errors.Join(t.checkSource(), t.ownerFlags.check()); err != nil {
		return err
	}
	opts, err := t.options()
	if err != nil {
		return err
	}
	o := assemble.CheckOptions{Tracer: opts, Source: t.source, History: t.history, Sockets: t.sockets}
	lines, failed := assemble.Check(ctx, o)
	if failed == nil {
		lines = append(lines, "OK: oomtrace can run here")
	}
	for _, line := range lines {
		// Nothing in it that a terminal obeys.
		if _, err = fmt.Fprintln(env.Stdout, render.Message(line)); err != nil {
			break
		}
	}
	return errors.Join(openFailure(failed, t.btf), err)
}
