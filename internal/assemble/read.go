package assemble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/pipeline"
)

// ReadOptions say how logs are read.
type ReadOptions struct {
	StageOptions
	Output
	// Limit ends it after so many written kills; 0 is no limit.
	Limit int
	// Files are read one after the other; "-" is Stdin.
	Files []string
	Stdin io.Reader
	// Programs are inputs that are no files, by their name in Files.
	Programs map[string]func(context.Context) (io.ReadCloser, error)
	// Year is the year of the first stamp in a log that has none.
	Year int
	// OnUnplaced is called for each line that looks like part of a report and
	// was not understood; nil is not at all.
	OnUnplaced func(file string, line int, text string)

	collect pipeline.Sink // in place of an output
}

// ReadSummary is what was read and written.
type ReadSummary struct {
	pipeline.Counts
	kernlog.Stats
	// Duplicates were in more than one file.
	Duplicates int
	// Failed is how many files could not be read to the end.
	Failed int
}

// Read moves the records of logs. A file that cannot be read does not keep the
// others from it: Notify gets the reason.
func Read(ctx context.Context, o ReadOptions) (ReadSummary, error) {
	s := newStages(ctx, o.StageOptions, false, nil)
	defer func() { _ = s.Close() }()
	if s.containers != nil {
		s.containers.Ready(ctx)
	}
	var once pipeline.Dedupe
	files := &logFiles{o: &o, notify: s.o.Notify, once: &once}
	sink, end := o.sink(o.NoWhy)
	if o.collect != nil {
		sink = o.collect
	}
	line := pipeline.Line{
		Source: files, Stages: append([]pipeline.Stage{once.Stage}, s.list()...), Sink: sink, Limit: o.Limit,
	}
	err := line.Run(ctx)
	if err == nil {
		err = end()
	}
	files.close()
	return ReadSummary{Counts: line.Counts(), Stats: files.total, Duplicates: once.Dropped(), Failed: files.failed}, err
}

// logFiles is a source of the records of several logs.
type logFiles struct {
	o      *ReadOptions
	notify func(string)
	once   *pipeline.Dedupe
	next   int
	name   string // of the file that is read
	file   logFile
	total  kernlog.Stats
	failed int
}

// logFile is one of them, open.
type logFile interface {
	pipeline.Source
	Stats() kernlog.Stats
	Close() error
}

// Next gives the next record of any file. A run that ends is the end of the log.
func (l *logFiles) Next(ctx context.Context) (*oom.Record, error) {
	for {
		if l.file == nil {
			if l.next == len(l.o.Files) || ctx.Err() != nil {
				return nil, io.EOF
			}
			if l.open(ctx); l.file == nil {
				continue
			}
		}
		rec, err := l.file.Next(ctx)
		if err == nil {
			return rec, nil
		}
		l.close()
		if !errors.Is(err, io.EOF) && ctx.Err() == nil {
			l.fail(fmt.Errorf("read %s: %w", l.name, err))
		}
	}
}

// Done has nothing to acknowledge: the logs stay.
func (l *logFiles) Done() error { return nil }

func (l *logFiles) open(ctx context.Context) {
	if l.next > 0 {
		l.once.NextInput()
	}
	l.name = l.o.Files[l.next]
	l.next++
	file, err := openLogFile(ctx, l.name, l.o)
	if err != nil && ctx.Err() == nil {
		l.fail(err)
	}
	if err == nil {
		l.file = file
	}
}

func (l *logFiles) fail(err error) {
	l.failed++
	l.notify(err.Error())
}

// close ends the file that is read, if there is one.
func (l *logFiles) close() {
	if l.file == nil {
		return
	}
	_ = l.file.Close() // it was read
	s := l.file.Stats()
	l.total.Lines += s.Lines
	l.total.Unplaced += s.Unplaced
	l.total.Unknown += s.Unknown
	l.total.CutLines += s.CutLines
	l.file = nil
}

func openLogFile(ctx context.Context, name string, o *ReadOptions) (logFile, error) {
	opts := kernlog.Options{Year: o.Year}
	if o.OnUnplaced != nil {
		opts.OnUnplaced = func(line int, text string) { o.OnUnplaced(name, line, text) }
	}
	if name == "-" {
		return newTextLog(ctx, o.Stdin, nil, opts)
	}
	if start := o.Programs[name]; start != nil {
		out, err := start(ctx)
		if err != nil {
			return nil, err
		}
		return newTextLog(ctx, out, out, opts)
	}
	f, err := openFile(ctx, name)
	if err != nil {
		return nil, err
	}
	if !isKernelBuffer(f) {
		return newTextLog(ctx, f, f, opts)
	}
	here := machineLog()
	opts.Node, opts.BootID, opts.Kernel, opts.BootTime = here.Node, here.BootID, here.Kernel, here.BootTime
	k, err := kernlog.OpenKmsg(kernlog.KmsgOptions{Options: opts, FromStart: true, UntilNow: true, Path: name})
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return bufferLog{&KernelLog{k}}, nil
}

// bufferLog is what the kernel's buffer holds.
type bufferLog struct{ *KernelLog }

func (b bufferLog) Stats() kernlog.Stats { return b.kmsg.Stats() }

// openFile opens a file. The kernel's buffer would wait for what comes next, and
// a FIFO waits for a writer until the context ends.
func openFile(ctx context.Context, name string) (*os.File, error) {
	flags := os.O_RDONLY
	info, err := os.Stat(name)
	switch {
	case err != nil:
	case info.Mode()&os.ModeCharDevice != 0:
		flags |= unix.O_NONBLOCK
	case info.Mode()&os.ModeNamedPipe != 0:
		// To open it for writing, too, ends the wait: the end of the log follows.
		defer context.AfterFunc(ctx, func() {
			if fd, err := unix.Open(name, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
				_ = unix.Close(fd)
			}
		})()
	}
	return os.OpenFile(name, flags, 0)
}

// isKernelBuffer says whether this is /dev/kmsg, by whatever name.
func isKernelBuffer(f *os.File) bool {
	var st unix.Stat_t
	const memory, kmsg = 1, 11 // Documentation/admin-guide/devices.txt
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(memory, kmsg)
}
