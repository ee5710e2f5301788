// Package cli is oomtrace's command line: verbs, flags, messages, exit codes
// and signals. It is the only package that prints.
//
// Rules it keeps: stdout carries data and nothing else; stderr carries lines
// that start with "oomtrace: " and, where there is something to do about it, a
// line that starts with "hint: ". A closed pipe ends it quietly.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/cli/help"
	"github.com/oomtrace/oomtrace/internal/render"
	"github.com/oomtrace/oomtrace/internal/sink"
)

// Env is what a command gets from the outside.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// StdoutTerminal says that a person reads stdout; NoColor is NO_COLOR.
	StdoutTerminal bool
	NoColor        bool
	// StdinTerminal and StderrTerminal say that a person is at the others.
	StdinTerminal, StderrTerminal bool
	// Columns is the terminal's width, 0 without one, and ASCII that the locale is not
	// UTF-8.
	Columns int
	ASCII   bool
	// Version as the build set it; empty means the module's own.
	Version string
}

// Main runs the command line of this process and returns its exit code.
func Main(version string) int {
	// A write to a closed pipe shall be an error, not the end.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := interruptible()
	defer stop()
	return Run(ctx, os.Args[1:], Env{
		Stdin: os.Stdin, Stdout: sink.NewStream(os.Stdout), Stderr: os.Stderr,
		StdoutTerminal: render.IsTerminal(os.Stdout), NoColor: os.Getenv("NO_COLOR") != "", Version: version,
		Columns: render.TerminalColumns(os.Stdout), ASCII: render.ASCIILocale(os.Getenv),
		StdinTerminal: render.IsTerminal(os.Stdin), StderrTerminal: render.IsTerminal(os.Stderr),
	})
}

// interruptible returns a context that the first SIGINT, SIGTERM or SIGHUP ends;
// the second kills, as it would have without a handler. nohup(1) ignores SIGHUP.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		<-signals
		cancel()
		if s, ok := <-signals; ok {
			os.Exit(exitSignal + int(s.(syscall.Signal)))
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel()
	}
}

// verb is one verb.
type verb struct {
	name, args, about string
	run               func(ctx context.Context, args []string, env Env) error
	flags             *help.Groups
	files             bool
	words             []string
}

func verbs() []verb {
	var dir string
	return []verb{
		{"", "[flags]", "trace live until interrupted", runTrace, new(traceFlags).groups(), false, nil},
		{"read", "[flags] [FILE...]", "the kills in kernel logs; - is stdin", runRead, new(readFlags).groups(), true, nil},
		{"list", "[flags] [FILE...]", "the kills that this machine remembers", runList, new(recallFlags).groups("list"), true, nil},
		{"show", "[flags] [WHICH] [FILE...]", "one in full: last, an id, pid, pod", runShow, new(recallFlags).groups("show"), true, []string{"last"}},
		{"check", "[flags]", "report what this system supports", runCheck, new(traceFlags).checkGroups(), false, nil},
		{"unpin", "[DIR]", "remove what --pin left in the kernel", runUnpin, unpinGroups(&dir), true, nil},
		{"completion", "SHELL", "completion for bash, zsh or fish", runCompletion, nil, false, help.Shells()},
		{"version", "", "print the version", runVersion, nil, false, nil},
		{"help", "", "print this", runHelp, nil, false, nil},
	}
}

// verbLines is the verbs' part of the help.
func verbLines() string {
	var b strings.Builder
	for _, v := range verbs() {
		fmt.Fprintf(&b, "  %-40s %s\n", strings.Join(strings.Fields("oomtrace "+v.name+" "+v.args), " "), v.about)
	}
	return b.String()
}

// Run runs one command line and returns its exit code.
func Run(ctx context.Context, args []string, env Env) int {
	run := runTrace
	for _, v := range verbs() {
		if len(args) > 0 && v.name == args[0] && v.name != "" {
			run, args = v.run, args[1:]
			break
		}
	}
	return report(env, run(ctx, args, env))
}

// untilHangup calls end when no process can read stdout any more, as in
// "oomtrace | head -1": that would show at the next kill only. The function
// returned ends the watch.
func untilHangup(ctx context.Context, w io.Writer, end func(), note func(error)) (stop func()) {
	if out, ok := w.(*sink.Stream); ok {
		return out.OnHangup(ctx, end, note)
	}
	return func() {}
}

// failure is an error with the exit code it means and what to do about it.
type failure struct {
	err  error
	code int
	hint string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usage(hint, format string, args ...any) error {
	return &failure{err: fmt.Errorf(format, args...), code: exitUsage, hint: hint}
}

// report prints an error and returns the exit code for it.
func report(env Env, err error) int {
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
		return exitOK
	case errors.Is(err, syscall.EPIPE):
		return exitOK // the reader has seen enough
	case errors.Is(err, sink.ErrStreamClosed):
		err = &failure{err: errors.New("stdout is closed"), code: exitError,
			hint: "give it a reader or a file, or give --output-file; \">/dev/null\" drops the records"}
	}
	say(env, "%v", err)
	code, hint := exitError, ""
	var f *failure
	if errors.As(err, &f) {
		code, hint = f.code, f.hint
	}
	if hint != "" {
		_, _ = fmt.Fprintf(env.Stderr, "hint: %s\n", render.Message(hint))
	}
	return code
}

// say writes one line to stderr, and nothing in it that a terminal obeys.
// Nothing can be done when that fails.
func say(env Env, format string, args ...any) {
	_, _ = fmt.Fprintf(env.Stderr, "oomtrace: %s\n", render.Message(fmt.Sprintf(format, args...)))
}

func runVersion(_ context.Context, args []string, env Env) error {
	if len(args) > 0 {
		return usage("oomtrace version takes no arguments", "unexpected argument %q", args[0])
	}
	_, err := fmt.Fprintf(env.Stdout, "oomtrace %s\n", versionOf(env))
	return err
}

func versionOf(env Env) string {
	if env.Version != "" {
		return env.Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
