package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oomtrace/oomtrace/internal/assemble"
	"github.com/oomtrace/oomtrace/internal/cli/help"
	"github.com/oomtrace/oomtrace/internal/harden"
	"github.com/oomtrace/oomtrace/internal/render"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// runCheck really attaches, reports what came of it, and detaches: there is no
// other way to know what a kernel supports.
func runCheck(ctx context.Context, args []string, env Env) error {
	var t traceFlags
	flags := t.checkGroups()
	if err := parseFlags(flags, args); err != nil {
		if isHelp(err) {
			_, err = fmt.Fprintf(env.Stdout, "oomtrace check [flags]: report what this system supports\n%s", flags.Help())
		}
		return err
	}
	if rest := flags.All.Args(); len(rest) > 0 {
		return usage("oomtrace check takes flags only", "unexpected argument %q", rest[0])
	}
	opts, err := t.options()
	if err != nil {
		return err
	}
	tr, err := tracer.Open(ctx, opts)
	if err != nil {
		// The runtimes are of use all the same: the kernel's log has paths too.
		return errors.Join(openFailure(err, t.btf), printLines(env.Stdout, append(refused(err), runtimes(ctx, t.sockets)...)))
	}
	defer func() { _ = tr.Close() }()
	return printCheck(ctx, env, tr, &t)
}

// checkGroups are the flags of "oomtrace check".
func (t *traceFlags) checkGroups() *help.Groups {
	g := help.New("oomtrace check")
	g.Add("How to trace", t.defineHooks)
	g.Add("Ownership", t.ownerFlags.define)
	return g
}

func printCheck(ctx context.Context, env Env, tr *tracer.Tracer, t *traceFlags) error {
	lines := []string{
		row("kernel", tr.Kernel()),
		row("kernel types", readable("/sys/kernel/btf/vmlinux")),
		row("kernel symbols", symbols(tr)),
		row("kernel log", readable("/dev/kmsg")),
	}
	for _, a := range tr.Attachments() {
		lines = append(lines, a.Lines()...)
	}
	lines = append(lines, assemble.DescribeHistory(tr, t.history)...)
	for _, n := range append(tr.Warnings(), tr.Notes()...) {
		lines = append(lines, row("note", n))
	}
	lines = append(lines, runtimes(ctx, t.sockets)...)
	return printLines(env.Stdout, append(lines, "OK: oomtrace can run here"))
}

func row(what, state string) string { return fmt.Sprintf("%-21s %s", what, state) }

// printLines writes lines, and nothing in them that a terminal obeys.
func printLines(w io.Writer, lines []string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, render.Message(line)); err != nil {
			return err
		}
	}
	return nil
}

// hardening takes the measures that the trace takes, and says what came of them.
func hardening() (lines []string) {
	for _, step := range harden.Apply(harden.Options{OOMScoreAdj: defaultScoreAdj, Capabilities: keptCapabilities()}) {
		state := "done"
		if step.Err != nil {
			state = "refused: " + step.Err.Error()
		}
		lines = append(lines, row(step.Name, state))
	}
	return lines
}

// runtimes describes the container runtimes that answer. The trace has given up
// most of its privileges when it asks, so that is done here too: a user's own
// socket may be out of reach then.
func runtimes(ctx context.Context, sockets []string) []string {
	lines := hardening()
	all := assemble.Runtimes(ctx, sockets)
	if len(all) == 0 {
		return append(lines, row("container runtimes", "none found; containers are identified by cgroup path only"))
	}
	for _, s := range all {
		state := fmt.Sprintf("%s, %d containers", s.Name, s.Containers)
		if s.Err != nil {
			state = s.Err.Error()
		}
		lines = append(lines, row("container runtime", s.Socket+": "+state))
	}
	return lines
}

// refused are the attempts behind a refusal.
func refused(err error) []string {
	var at *tracer.AttachError
	if !errors.As(err, &at) {
		return nil
	}
	return tracer.Attachment{Hook: at.Hook, Tried: at.Attempts}.Lines()
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
