package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/harden"
	"github.com/oomtrace/oomtrace/internal/render"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// runCheck really attaches, reports what came of it, and detaches: there is no
// other way to know what a kernel supports.
func runCheck(ctx context.Context, args []string, env Env) error {
	var t traceFlags
	flags := t.checkGroups()
	if err := flags.parse(args); err != nil {
		if isHelp(err) {
			_, err = fmt.Fprintf(env.Stdout, "oomtrace check [flags]: report what this system supports\n%s", flags.usages())
		}
		return err
	}
	if rest := flags.all.Args(); len(rest) > 0 {
		return usage("oomtrace check takes flags only", "unexpected argument %q", rest[0])
	}
	opts, err := t.options()
	if err != nil {
		return err
	}
	tr, err := tracer.Open(ctx, opts)
	if err != nil {
		checkFailed(env, err)
		// The runtimes are of use all the same: the kernel's log has paths too.
		return errors.Join(openFailure(err, t.btf), printRuntimes(ctx, env, t.sockets))
	}
	defer func() { _ = tr.Close() }()
	return printCheck(ctx, env, tr, &t)
}

// checkGroups are the flags of "oomtrace check".
func (t *traceFlags) checkGroups() *flagGroups {
	g := newFlags("oomtrace check")
	g.add("How to trace", t.defineHooks)
	g.add("Ownership", t.ownerFlags.define)
	return g
}

func printCheck(ctx context.Context, env Env, tr *tracer.Tracer, t *traceFlags) error {
	w := env.Stdout
	rows := [][2]string{
		{"kernel", tr.Kernel()},
		{"kernel types", present("/sys/kernel/btf/vmlinux")},
		{"kernel symbols", symbols(tr)},
		{"kernel log", readable("/dev/kmsg")},
	}
	for _, r := range rows {
		if err := printLine(w, "%-21s %s", r[0], r[1]); err != nil {
			return err
		}
	}
	for _, line := range describe(tr.Attachments()) {
		if err := printLine(w, "%s", line); err != nil {
			return err
		}
	}
	for _, n := range append(tr.Warnings(), tr.Notes()...) {
		if err := printLine(w, "%-21s %s", "note", n); err != nil {
			return err
		}
	}
	if err := printRuntimes(ctx, env, t.sockets); err != nil {
		return err
	}
	return printLine(w, "OK: oomtrace can run here")
}

// printLine writes one line, and nothing in it that a terminal obeys.
func printLine(w io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintln(w, render.Message(fmt.Sprintf(format, args...)))
	return err
}

// printRuntimes reports which container runtimes answer. The trace has given up
// most of its privileges when it asks, so that is done here too: a user's own
// socket may be out of reach then.
func printRuntimes(ctx context.Context, env Env, sockets []string) error {
	if err := harden.DropCapabilities(keptCapabilities()); err != nil {
		if err := printLine(env.Stdout, "%-21s privileges are kept: %v", "note", err); err != nil {
			return err
		}
	}
	sources := assemble.Runtimes(ctx, sockets)
	if len(sources) == 0 {
		return printLine(env.Stdout, "%-21s none found; containers are identified by cgroup path only", "container runtimes")
	}
	for _, s := range sources {
		state := fmt.Sprintf("%s, %d containers", s.Name, s.Containers)
		if s.Err != nil {
			state = s.Err.Error()
		}
		if err := printLine(env.Stdout, "%-21s %s: %s", "container runtime", s.Socket, state); err != nil {
			return err
		}
	}
	return nil
}

// checkFailed shows the attempts behind a refusal.
func checkFailed(env Env, err error) {
	var at *tracer.AttachError
	if !asAttachError(err, &at) {
		return
	}
	for _, line := range describe([]tracer.Attachment{{Hook: at.Hook, Tried: at.Attempts}}) {
		_ = printLine(env.Stdout, "%s", line)
	}
}

func present(path string) string {
	if _, err := os.Stat(path); err != nil {
		return "missing: " + path
	}
	return path
}

func readable(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "not readable: " + err.Error()
	}
	_ = f.Close()
	return path
}

func symbols(tr *tracer.Tracer) string {
	n := tr.Symbols().Len()
	if n == 0 {
		return "none (kernel stacks will not be symbolized; see note)"
	}
	hidden := tr.HiddenData()
	if len(hidden) == 0 {
		return fmt.Sprintf("%d functions, all data", n)
	}
	return fmt.Sprintf("%d functions; data not in this kernel's table: %v", n, hidden)
}

func asAttachError(err error, to **tracer.AttachError) bool { return errors.As(err, to) }
