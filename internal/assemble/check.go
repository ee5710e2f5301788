package assemble

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/harden"
	"github.com/oomtrace/oomtrace/internal/history"
	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// CheckOptions say what is tried.
type CheckOptions struct {
	Tracer tracer.Options
	// Source is kmsg for the kernel log alone.
	Source string
	// History is the word for how growth is followed.
	History string
	// Sockets are of runtimes that are asked too.
	Sockets []string
}

// Check really attaches, describes what came of it, and detaches: there is no
// other way to know what a kernel supports. The error is that of OpenSource.
func Check(ctx context.Context, o CheckOptions) ([]string, error) {
	if o.Source == "kmsg" {
		return checkLog(ctx, o)
	}
	tr, err := tracer.Open(ctx, o.Tracer)
	if err != nil {
		// The runtimes are of use all the same: the kernel's log has paths too.
		return append(refused(err), runtimes(ctx, o.Sockets)...), err
	}
	defer func() { _ = tr.Close() }()
	lines := []string{
		row("kernel", tr.Kernel()),
		row("kernel types", readable("/sys/kernel/btf/vmlinux")),
		row("kernel symbols", symbols(tr)),
		row("kernel log", readable("/dev/kmsg")),
	}
	lines = append(lines, DescribePrograms(tr, o.History)...)
	for _, n := range append(tr.Warnings(), tr.Notes()...) {
		lines = append(lines, row("note", n))
	}
	if _, refused := tr.History(); refused != nil && o.History == string(history.ModeExact) {
		err = &HistoryError{refused}
	}
	return append(lines, runtimes(ctx, o.Sockets)...), err
}

// checkLog is for a trace by the kernel log, without programs.
func checkLog(ctx context.Context, o CheckOptions) ([]string, error) {
	_, log, err := OpenSource(ctx, SourceOptions{Source: o.Source})
	if err == nil {
		_ = log.Close()
	}
	lines := []string{row("kernel", host.Identify().Kernel), row("kernel log", readable("/dev/kmsg"))}
	return append(lines, runtimes(ctx, o.Sockets)...), err
}

// DescribePrograms says what is attached, why others are not, and how growth is followed.
func DescribePrograms(tr *tracer.Tracer, history string) (lines []string) {
	for _, a := range tr.Attachments() {
		lines = append(lines, a.Lines()...)
	}
	return append(lines, describeHistory(tr, history)...)
}

func row(what, state string) string { return fmt.Sprintf("%-21s %s", what, state) }

// hardening takes the measures that the trace takes, and says what came of them.
func hardening() (lines []string) {
	for _, step := range harden.Apply(harden.Options{OOMScoreAdj: DefaultScoreAdj, Capabilities: keptCapabilities()}) {
		state := "done"
		if step.Err != nil {
			state = "refused: " + step.Err.Error()
		}
		lines = append(lines, row(step.Name, state))
	}
	return lines
}

// runtimes describes the container runtimes that answer, those that sleep until they
// are asked included. The trace has given up most of its privileges when it asks, so
// that is done here too: a user's own socket may be out of reach then.
func runtimes(ctx context.Context, sockets []string) []string {
	lines := hardening()
	c := container.Open(ctx, container.Options{Sockets: sockets, Wake: true})
	defer func() { _ = c.Close() }()
	c.Ready(ctx)
	all := c.Sources()
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

// Runtimes are the names of the machine's container runtimes that have answered by now.
func (l *Live) Runtimes() []string {
	if l.stages.containers == nil {
		return nil
	}
	return l.stages.containers.Runtimes()
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
