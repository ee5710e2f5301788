package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Place is where a machine keeps kills.
type Place struct {
	// Name is for people.
	Name   string
	Inputs []Input
}

// Input is one log. Open is nil for a file, which Name is the path of.
type Input struct {
	Name string
	Open func(context.Context) (io.ReadCloser, error)
	// Own is of what oomtrace has written, beside messages records alone.
	Own bool
}

// Options say where to look. The zero value is this machine.
type Options struct {
	// Root is put before the paths of files.
	Root string
	// Journalctl is the program; empty is the one in PATH.
	Journalctl string
	// Since spares the journal what is older; zero is all of it.
	Since time.Time
}

// Places are where kills may be kept, the best first: oomtrace's own records say more than
// the kernel's log, and the journal knows older boots than the kernel's buffer.
func Places(o Options) []Place {
	if o.Journalctl == "" {
		o.Journalctl = "journalctl"
	}
	var out []Place
	if own := o.ownFiles(); len(own) > 0 {
		out = append(out, Place{"oomtrace's own files", own})
	}
	journal := o.journal("_SYSTEMD_UNIT=oomtrace.service", "--output=cat")
	journal.Own = true
	return append(out,
		Place{"oomtrace's journal", []Input{journal}},
		Place{"the kernel log in the journal", []Input{o.journal("_TRANSPORT=kernel", "--output=json")}},
		Place{"the kernel log", []Input{{Name: filepath.Join(o.Root, "/dev/kmsg")}}},
		Place{"syslog", o.files("/var/log/kern.log*", "/var/log/messages*")},
	)
}

// ownFiles are what the service writes, by its configuration or in its directory.
func (o *Options) ownFiles() []Input {
	config, _ := os.ReadFile(filepath.Join(o.Root, "/etc/default/oomtrace")) // it may be absent
	patterns := []string{"/var/log/oomtrace/*"}
	if file := outputFile(string(config)); file != "" && filepath.Dir(file) != "/var/log/oomtrace" {
		patterns = append(patterns, globQuoted(file)+"*")
	}
	own := o.files(patterns...)
	for i := range own {
		own[i].Own = true
	}
	return own
}

// outputFile is the argument of --output-file.
func outputFile(config string) string {
	for line := range strings.Lines(config) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		_, rest, ok := strings.Cut(line, "--output-file")
		if !ok {
			continue
		}
		for _, word := range strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune("= \t\"'", r) }) {
			return word
		}
	}
	return ""
}

func globQuoted(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// files are those that there are, the oldest first: a rotated log before its successor.
func (o *Options) files(patterns ...string) []Input {
	type file struct {
		name string
		time time.Time
	}
	var found []file
	for _, p := range patterns {
		names, _ := filepath.Glob(filepath.Join(globQuoted(o.Root), p)) // the patterns are well formed
		for _, n := range names {
			if info, err := os.Stat(n); err == nil && info.Mode().IsRegular() {
				found = append(found, file{n, info.ModTime()})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b file) int { return a.time.Compare(b.time) })
	var out []Input
	for _, f := range found {
		out = append(out, Input{Name: f.name})
	}
	return out
}

// journal is what the journal has of all boots, as far as this user may see it.
func (o *Options) journal(args ...string) Input {
	args = append([]string{"--quiet", "--no-pager", "--all"}, args...)
	if !o.Since.IsZero() {
		// A report begins before its kill.
		args = append(args, fmt.Sprintf("--since=@%d", o.Since.Add(-time.Minute).Unix()))
	}
	open := func(ctx context.Context) (io.ReadCloser, error) { return start(ctx, o.Journalctl, args...) }
	return Input{Name: "journalctl " + strings.Join(args, " "), Open: open}
}

// command is a program whose output is read. That it failed is the error at its end.
type command struct {
	cmd    *exec.Cmd
	out    io.ReadCloser
	errors bytes.Buffer
	cancel context.CancelFunc
	waited bool
	failed error
}

// maxComplaint bounds what is kept of a program's complaint.
const maxComplaint = 4 << 10

func start(ctx context.Context, name string, args ...string) (io.ReadCloser, error) {
	c := &command{}
	ctx, c.cancel = context.WithCancel(ctx)
	c.cmd = exec.CommandContext(ctx, name, args...)
	c.cmd.Stderr = &limited{&c.errors, maxComplaint}
	c.cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "SYSTEMD_COLORS=0")
	var err error
	if c.out, err = c.cmd.StdoutPipe(); err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		c.cancel()
		return nil, err
	}
	return c, nil
}

func (c *command) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if errors.Is(err, io.EOF) && n == 0 {
		if failed := c.wait(); failed != nil {
			return 0, failed
		}
	}
	return n, err
}

func (c *command) wait() error {
	if c.waited {
		return c.failed
	}
	c.waited = true
	err := c.cmd.Wait()
	if text := strings.TrimSpace(c.errors.String()); err != nil && text != "" {
		err = fmt.Errorf("%s: %s: %w", c.cmd.Args[0], text, err)
	}
	// journalctl ends with 1 where nothing matches.
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && c.errors.Len() == 0 {
		err = nil
	}
	c.failed = err
	return err
}

// Close ends the program, if it has not ended.
func (c *command) Close() error {
	c.cancel()
	if !c.waited {
		_ = c.wait() // it was ended
	}
	return nil
}

// limited drops what is too much.
type limited struct {
	to   *bytes.Buffer
	most int
}

func (l *limited) Write(p []byte) (int, error) {
	l.to.Write(p[:min(len(p), l.most-l.to.Len())])
	return len(p), nil
}
