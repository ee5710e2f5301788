package assemble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/archive"
	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/progress"
	"github.com/oomtrace/oomtrace/internal/records"
	"github.com/oomtrace/oomtrace/internal/render/page"
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
	// Inputs say more of some, by their name in Files.
	Inputs map[string]archive.Input
	// Year is the year of the first stamp in a log that has none.
	Year int
	// OnUnplaced is called for each line that looks like part of a report and
	// was not understood; nil is not at all.
	OnUnplaced func(file string, line int, text string)
	// Progress is the terminal that shows how far a long read is; nil is none.
	Progress io.Writer

	collect pipeline.Sink // in place of an output
	failed  func(error)   // in place of Notify, for a file that could not be read
}

// ReadSummary is what was read and written.
type ReadSummary struct {
	pipeline.Counts
	kernlog.Stats
	// Failed is how many files could not be read to the end.
	Failed int
}

// Read moves the records of logs. A file that cannot be read does not keep the
// others from it: Notify gets the reason.
func Read(ctx context.Context, o ReadOptions) (ReadSummary, error) {
	s := newStages(ctx, o.StageOptions, fromFiles, nil)
	defer func() { _ = s.Close() }()
	if s.containers != nil {
		s.containers.Ready(ctx)
	}
	files := &logFiles{o: &o, progress: progress.New(o.Progress, o.size())}
	files.notify = func(text string) {
		files.progress.Clear()
		s.o.Notify(text)
	}
	defer files.progress.Finish()
	o.To = files.progress.Output(o.To)
	sink, end := o.sink(o.NoWhy)
	if o.collect != nil {
		sink, end = o.collect, nothing
	}
	line := pipeline.Line{Source: files, Stages: s.list(), Sink: sink, Limit: o.Limit}
	err := line.Run(ctx)
	if err == nil {
		err = end()
	}
	files.close()
	return ReadSummary{Counts: line.Counts(), Stats: files.total, Failed: files.failed}, err
}

// size is how much there is to read; 0 where that is not known, as of a pipe.
func (o *ReadOptions) size() (bytes int64) {
	for _, name := range o.Files {
		info, err := os.Stat(name)
		if f, ok := o.Stdin.(*os.File); ok && name == "-" {
			info, err = f.Stat()
		}
		switch {
		case err != nil: // it is not read either
		case info.Mode().IsRegular():
			bytes += info.Size()
		case info.Mode()&os.ModeCharDevice == 0:
			return 0
		}
	}
	return bytes
}

// logFiles is a source of the records of several logs.
type logFiles struct {
	o      *ReadOptions
	notify func(string)
	seen   kernlog.Seen // in any of them
	next   int
	name   string // of the file that is read
	file   logFile
	// records reads the file where oomtrace has written it.
	records  *records.Reader
	total    kernlog.Stats
	progress *progress.Bar
	kills    int
	failed   int
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
			if rec.Kind == oom.KindKill {
				l.kills++
			}
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
	l.seen.Next()
	l.name = l.o.Files[l.next]
	l.next++
	file, err := l.openFile(ctx)
	if err != nil && ctx.Err() == nil {
		l.fail(err)
	}
	if err == nil {
		l.file = file
	}
}

func (l *logFiles) fail(err error) {
	l.failed++
	if l.o.failed != nil {
		l.o.failed(err)
		return
	}
	l.notify(err.Error())
}

// close ends the file that is read, if there is one.
func (l *logFiles) close() {
	if l.file == nil {
		return
	}
	_ = l.file.Close() // it was read
	s := l.file.Stats()
	l.total.Add(&s)
	if l.records != nil {
		s := l.records.Stats()
		l.total.Add(&kernlog.Stats{Lines: s.Lines, Unplaced: s.Unreadable, CutLines: s.CutLines})
	}
	l.file, l.records = nil, nil
}

func (l *logFiles) openFile(ctx context.Context) (logFile, error) {
	opts := kernlog.Options{Year: l.o.Year, Seen: &l.seen}
	if l.o.Format == "html" {
		opts.KeepText = page.LogBytes
	}
	if l.o.OnUnplaced != nil {
		name := l.name
		opts.OnUnplaced = func(line int, text string) {
			l.progress.Clear()
			l.o.OnUnplaced(name, line, text)
		}
	}
	in := l.o.Inputs[l.name]
	opts.Other = l.own(in.Own, opts.OnUnplaced)
	if l.name == "-" {
		return kernlog.NewSource(l.counted(l.o.Stdin), opts)
	}
	if in.Open != nil {
		out, err := in.Open(ctx)
		if err != nil {
			return nil, err
		}
		return openText(out, out, opts)
	}
	f, err := openFile(ctx, l.name)
	if err != nil {
		return nil, err
	}
	if isKernelBuffer(f) {
		if err := f.Close(); err != nil {
			return nil, err
		}
		here := machineLog()
		opts.Node, opts.BootID, opts.Kernel, opts.BootTime = here.Node, here.BootID, here.Kernel, here.BootTime
		return kernlog.OpenKmsg(kernlog.KmsgOptions{Options: opts, FromStart: true, UntilNow: true, Path: l.name})
	}
	return openText(l.counted(f), f, opts)
}

// counted is an input whose bytes are counted, but for a terminal and the like.
func (l *logFiles) counted(from io.Reader) io.Reader {
	f, ok := from.(*os.File)
	if l.progress == nil || !ok {
		return from
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice != 0 {
		return from
	}
	return &counter{f, l}
}

// counter can be waited for as the file itself.
type counter struct {
	*os.File
	l *logFiles
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.File.Read(p)
	c.l.progress.Read(n, c.l.kills)
	return n, err
}

// own is the format of records that oomtrace has written, as is known or to be seen.
func (l *logFiles) own(known bool, onUnplaced func(int, string)) func([]byte, io.Reader) (func() (*oom.Record, error), bool) {
	var d records.Detector
	return func(begin []byte, in io.Reader) (func() (*oom.Record, error), bool) {
		if is, more := d.Detect(begin); !is && !known {
			return nil, more
		}
		l.records = records.NewReader(in)
		if onUnplaced != nil {
			l.records.OnUnreadable = func(line int, why error) { onUnplaced(line, why.Error()) }
		}
		return func() (*oom.Record, error) {
			rec, err := l.records.Next()
			for err == nil && l.seen.Again(rec) {
				rec, err = l.records.Next()
			}
			return rec, err
		}, false
	}
}

func openText(from io.Reader, file io.Closer, opts kernlog.Options) (logFile, error) {
	s, err := kernlog.NewSource(from, opts)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &ownedLog{s, file}, nil
}

// ownedLog is a log whose file closes with it.
type ownedLog struct {
	*kernlog.Source
	file io.Closer
}

func (o *ownedLog) Close() error { return errors.Join(o.Source.Close(), o.file.Close()) }

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
