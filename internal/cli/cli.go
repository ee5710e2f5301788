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

// verb is a verb and what runs it.
type verb struct {
	help.Verb
	run func(ctx context.Context, args []string, env Env) error
}

func verbs() []verb {
	read, list, show := new(readFlags).groups(), new(recallFlags).groups("list"), new(recallFlags).groups("show")
	all := []verb{
		{help.Verb{Args: "[flags]", About: "trace live until interrupted", Flags: new(traceFlags).groups()}, runTrace},
		{help.Verb{Name: "read", Args: "[flags] [FILE...]", About: "the kills in kernel logs; - is stdin", Flags: read, Files: true}, runRead},
		{help.Verb{Name: "list", Args: "[flags] [FILE...]", About: "the kills that this machine remembers", Flags: list, Files: true}, runList},
		{help.Verb{Name: "show", Args: "[flags] [WHICH] [FILE...]", About: "one in full: last, an id, pid, pod", Flags: show, Files: true, Words: []string{"last"}}, runShow},
		{help.Verb{Name: "check", Args: "[flags]", About: "report what this system supports", Flags: new(traceFlags).checkGroups()}, runCheck},
		{help.Verb{Name: "unpin", Args: "[DIR]", About: "remove what --pin left in the kernel", Flags: unpinGroups(new(string)), Files: true}, runUnpin},
		{help.Verb{Name: "completion", Args: "SHELL", About: "completion for bash, zsh or fish", Words: help.Shells()}, runCompletion},
		{help.Verb{Name: "version", About: "print the version"}, runVersion},
	}
	var names []string
	for _, v := range all[1:] {
		names = append(names, v.Name)
	}
	ofHelp := help.Verb{Name: "help", Args: "[VERB]", About: "print this, or the help of a verb", Words: names}
	return append(all, verb{ofHelp, runHelp})
}

// program is all that there is to help with and to complete.
func program() *help.Program {
	p := &help.Program{Name: "oomtrace", Values: map[string][]string{
		"output": {"text", "wide", "json", "html"}, "source": {"auto", "bpf", "kmsg"},
		"sigkill": {"memory", "all", "off"}, "history": {"auto", "exact", "sampled", "off"}, "attach": {"auto", "fentry", "kprobe", "tp_btf", "raw_tp", "tracepoint"},
		"redact": {"true", "false", "strict"},
		"since":  {"today", "yesterday", "-1h", "-1d"}, "until": {"now", "today", "yesterday"},
	}}
	for _, v := range verbs() {
		p.Verbs = append(p.Verbs, v.Verb)
	}
	return p
}

// ManPage completes the source of the manual page with the verbs and flags.
func ManPage(source string) (string, error) { return program().Man(source) }

// Run runs one command line and returns its exit code.
func Run(ctx context.Context, args []string, env Env) int {
	run := runTrace
	for _, v := range verbs() {
		if len(args) > 0 && v.Name == args[0] && v.Name != "" {
			run, args = v.run, args[1:]
			break
		}
	}
	return report(env, run(ctx, args, env))
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
	rest, err := parseFlags(help.New("oomtrace version"), args, env, "oomtrace version: print the version")
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usage("oomtrace version takes no arguments", "unexpected argument %q", rest[0])
	}
	_, err = fmt.Fprintf(env.Stdout, "oomtrace %s\n", versionOf(env))
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

// runCompletion prints the completion for a shell.
func runCompletion(_ context.Context, args []string, env Env) error {
	const about = "oomtrace completion SHELL: completion for bash, zsh or fish"
	rest, err := parseFlags(help.New("oomtrace completion"), args, env, about)
	if err != nil {
		return err
	}
	shells := strings.Join(help.Shells(), ", ")
	switch {
	case len(rest) == 0:
		return usage("oomtrace completion takes one of "+shells, "which shell?")
	case len(rest) > 1:
		return usage("oomtrace completion takes one of "+shells, "unexpected argument %q", rest[1])
	}
	script, ok := program().Completion(rest[0])
	if !ok {
		return usage("use one of "+shells, "unknown shell %q", rest[0])
	}
	_, err = fmt.Fprint(env.Stdout, script)
	return err
}
