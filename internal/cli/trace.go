package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/tracer"
	"github.com/oomtrace/oomtrace/internal/wire"
)

func runTrace(ctx context.Context, args []string, env Env) error {
	var t traceFlags
	flags := t.groups()
	if err := flags.parse(args); err != nil {
		if t.isHelp(err) {
			return printHelp(env.Stdout)
		}
		return err
	}
	if rest := flags.all.Args(); len(rest) > 0 {
		return usage("the verbs are check, version and help; see \"oomtrace help\"", "unexpected argument %q", rest[0])
	}
	if err := t.check(env); err != nil {
		return err
	}
	opts, err := t.options()
	if err != nil {
		return err
	}
	tr, err := tracer.Open(ctx, opts)
	if err != nil {
		return openFailure(err, t.btf)
	}
	defer func() { _ = tr.Close() }()
	return t.trace(ctx, env, tr)
}

// trace runs until the context ends, the count is reached or the time is over.
func (t *traceFlags) trace(ctx context.Context, env Env, tr *tracer.Tracer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if t.duration > 0 {
		timer := time.AfterFunc(t.duration, cancel)
		defer timer.Stop()
	}
	t.greet(env, tr)
	if err := t.ready(); err != nil {
		return err
	}
	started := time.Now()
	p := newPipeline(env, &t.outputFlags, t.filters())
	err := t.pump(ctx, cancel, tr, p)
	return errors.Join(err, t.sumUp(env, tr, p, time.Since(started)))
}

// pump moves events from the ring to the output, and lets the kernel forget
// each only after it has been written.
func (t *traceFlags) pump(ctx context.Context, cancel func(), tr *tracer.Tracer, p *pipeline) error {
	var ev wire.Event
	var reported tracer.Stats
	for {
		err := tr.Read(ctx, &ev)
		if errors.Is(err, io.EOF) {
			return p.lost(tr, &reported)
		}
		if err != nil {
			return err
		}
		if ev.Cgroup.Path == "" {
			if err := p.write(&ev.Record); err != nil {
				return err
			}
		}
		tr.Ack(&ev)
		if err := p.lost(tr, &reported); err != nil {
			return err
		}
		if p.full() {
			cancel()
			return nil
		}
	}
}

func (t *traceFlags) isHelp(err error) bool { return isHelp(err) }

// greet tells what is traced and by which hooks.
func (t *traceFlags) greet(env Env, tr *tracer.Tracer) {
	node, _ := os.Hostname()
	say(env, "tracing OOM kills on %s (%s, %s). Ctrl-C to stop.", node, release(tr), strings.Join(kinds(tr.Attachments()), " + "))
	if !t.verbose {
		return
	}
	for _, line := range describe(tr.Attachments()) {
		say(env, "%s", line)
	}
	for _, n := range tr.Notes() {
		say(env, "note: %s", n)
	}
}

func release(tr *tracer.Tracer) string {
	if r := tr.Kernel(); r != "" {
		return r
	}
	return runtime.GOOS
}

// kinds lists the kinds of hooks that see a kill, the decision's first.
func kinds(all []tracer.Attachment) []string {
	var out []string
	seen := map[string]bool{"": true}
	for _, a := range all {
		if a.Sees && !seen[a.Kind] {
			seen[a.Kind] = true
			out = append(out, a.Kind)
		}
	}
	return out
}

// describe gives one line for each hook, with the refusals.
func describe(all []tracer.Attachment) []string {
	var lines []string
	for _, a := range all {
		kind := a.Kind
		if kind == "" {
			kind = "not attached"
		}
		if a.Symbol != "" {
			kind += " on " + a.Symbol
		}
		lines = append(lines, fmt.Sprintf("%-21s %s", a.Hook, kind))
		for _, try := range a.Tried {
			lines = append(lines, fmt.Sprintf("%-21s   %s refused: %s", "", try.Kind, oneLine(try.Err)))
		}
	}
	return lines
}

// ready creates the ready file.
func (t *traceFlags) ready() error {
	if t.readyFile == "" {
		return nil
	}
	f, err := os.Create(t.readyFile)
	if err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	return f.Close()
}

// sumUp closes the session on stderr.
func (t *traceFlags) sumUp(env Env, tr *tracer.Tracer, p *pipeline, d time.Duration) error {
	s, err := tr.Stats()
	if err != nil {
		return err
	}
	say(env, "%d kills in %s, %d written, %d lost", p.kills, d.Round(time.Second), p.written, s.Lost)
	if s.LostExit > 0 {
		say(env, "%d exit records lost", s.LostExit)
	}
	if s.Undecoded > 0 {
		say(env, "%d records could not be decoded", s.Undecoded)
	}
	return nil
}

// openFailure gives an error of the tracer its exit code and a hint.
func openFailure(err error, btfFile string) error {
	switch {
	case errors.Is(err, tracer.ErrBTF):
		return &failure{err: err, code: exitError, hint: fmt.Sprintf("is %s the BTF of this kernel, such as /sys/kernel/btf/vmlinux?", btfFile)}
	case errors.Is(err, tracer.ErrPermission):
		return &failure{err: err, code: exitPermission, hint: "run it as root, or with CAP_BPF, CAP_PERFMON and CAP_SYSLOG"}
	case errors.Is(err, tracer.ErrUnsupported):
		return &failure{err: err, code: exitUnsupported, hint: "\"oomtrace check\" tells what this kernel offers"}
	}
	return err
}
