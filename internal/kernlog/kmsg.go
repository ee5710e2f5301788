package kernlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	kmsgPath = "/dev/kmsg"
	// kmsgRecord is more than any record has: PRINTKRB_RECORD_MAX and its
	// dictionary, each byte escaped to four.
	kmsgRecord = 64 << 10
	// settleAfter is how long a kill waits for an oom.group's line behind it.
	settleAfter = 50 * time.Millisecond
)

// KmsgOptions say how to read the kernel's log buffer. The zero value works.
type KmsgOptions struct {
	Options
	// FromStart reads what the buffer still holds before what comes new.
	FromStart bool
	// UntilNow ends with what the buffer held: Read then returns io.EOF. The
	// reaper's outcomes go into their kills' records, as a Reader has them.
	UntilNow bool
	// AtOnce gives a kill out without waiting for an oom.group's line behind it.
	AtOnce bool
	// Path is the device; empty is /dev/kmsg.
	Path string
}

// device is the log's buffer: a read gives one record.
type device interface {
	io.ReadCloser
	SetReadDeadline(time.Time) error
}

// buffer reads the log's buffer. A read does not wait, and a report is some forty of
// them: the scheduler need not know of each.
type buffer struct {
	*os.File
	conn syscall.RawConn
	now  bool // gives io.EOF where it would have to wait
}

func (b buffer) Read(p []byte) (n int, err error) {
	var errno syscall.Errno
	err = b.conn.Read(func(fd uintptr) bool {
		var got uintptr
		got, _, errno = unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		n = int(got)
		return b.now || errno != unix.EAGAIN
	})
	switch {
	case err != nil: // closed, or the deadline: says os in its words
		return b.File.Read(p)
	case b.now && (errno == unix.EAGAIN || errno == 0 && n == 0):
		return 0, io.EOF
	case errno != 0:
		return 0, errno
	}
	return n, nil
}

// Kmsg reads the OOM records out of the kernel's log buffer as they come. Reads
// are not safe for concurrent use; Close is.
type Kmsg struct {
	f       device
	o       KmsgOptions
	p       *Parser
	text    []byte // scratch
	buf     []byte
	nextSeq uint64
	started bool
	overrun bool
	timed   bool // a deadline is set
	drained bool // the context ended, and what was in the log then is read
	ended   bool // the end of the buffer was reached
	lost    atomic.Uint64
}

// OpenKmsg opens the kernel's log. It needs CAP_SYSLOG where
// kernel.dmesg_restrict is set; the error then wraps fs.ErrPermission.
// Unless it is to end by itself, records of kind exit come apart from their
// kills, as with Options.ExitRecords: a kill is not held back for them.
func OpenKmsg(o KmsgOptions) (*Kmsg, error) {
	f, err := os.OpenFile(cmp.Or(o.Path, kmsgPath), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("kernel log: %w", err)
	}
	if !o.FromStart {
		if _, err := f.Seek(0, io.SeekEnd); err != nil {
			return nil, errors.Join(fmt.Errorf("kernel log: %w", err), f.Close())
		}
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kernel log: %w", err), f.Close())
	}
	return newKmsg(buffer{f, conn, o.UntilNow}, o), nil
}

func newKmsg(f device, o KmsgOptions) *Kmsg {
	o.ExitRecords = !o.UntilNow
	return &Kmsg{f: f, o: o, buf: make([]byte, kmsgRecord), p: NewParser(o.Options)}
}

// Close ends reading; a Read that waits returns an error that wraps
// os.ErrClosed.
func (k *Kmsg) Close() error { return k.f.Close() }

// Next is Read for a pipeline: the end of the context is the end of the log.
func (k *Kmsg) Next(ctx context.Context) (*oom.Record, error) {
	rec, err := k.Read(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, io.EOF
	}
	return rec, err
}

// Done has nothing to acknowledge: the log stays.
func (k *Kmsg) Done() error { return nil }

// Lost is how many log records were overwritten before they were read: at least, since how
// many is not always known. Any goroutine may ask.
func (k *Kmsg) Lost() uint64 { return k.lost.Load() }

// Stats returns the counts so far.
func (k *Kmsg) Stats() Stats { return k.p.Stats() }

// Read waits for the next record. Where the buffer was overwritten before it
// was read, a record of kind lost says how many log records are missing, and
// reports that were open are marked incomplete. The error is the context's when
// that ends, after all that was read has been given out.
func (k *Kmsg) Read(ctx context.Context) (*oom.Record, error) {
	k.drained = k.drained && ctx.Err() != nil
	woken := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		_ = k.f.SetReadDeadline(time.Unix(1, 0))
		close(woken)
	})
	defer unwatch()
	for {
		if rec := k.p.Take(); rec != nil {
			return rec, nil
		}
		if k.ended {
			return nil, io.EOF
		}
		err := k.step(ctx)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			k.ended = true
			k.finish()
		case ctx.Err() != nil:
			if !unwatch() { // else its deadline would come into what is read now
				<-woken
			}
			k.drain()
			k.finish()
			if rec := k.p.Take(); rec != nil {
				return rec, nil
			}
			return nil, ctx.Err()
		default:
			return nil, fmt.Errorf("kernel log: %w", err)
		}
	}
}

const (
	// drainRecords bounds what is still read at the end; drainFor without a
	// line means that there is none.
	drainRecords = 100_000
	drainFor     = 20 * time.Millisecond
)

// drain reads what is in the log already.
func (k *Kmsg) drain() {
	if k.drained {
		return
	}
	k.drained, k.timed = true, true
	for range drainRecords {
		if k.f.SetReadDeadline(time.Now().Add(drainFor)) != nil {
			return
		}
		if k.next() != nil {
			return
		}
	}
}

// next reads a record, or learns that some were overwritten.
func (k *Kmsg) next() error {
	n, err := k.f.Read(k.buf)
	switch {
	case errors.Is(err, unix.EPIPE):
		k.overrun = true
		k.p.lost()
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
	case err != nil:
		return err
	default:
		k.record(k.buf[:n])
	}
	return nil
}

// step reads one record of the log.
func (k *Kmsg) step(ctx context.Context) error {
	waiting := k.p.waiting() && !k.o.UntilNow
	if waiting && k.o.AtOnce {
		k.p.settle()
		return nil
	}
	if err := k.setDeadline(waiting); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil { // it may have ended before the deadline was set
		return err
	}
	err := k.next()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if k.timed = true; waiting { // else it is of a context of before
		k.p.settle()
	}
	return nil
}

// setDeadline bounds the next read. Nearly all have no bound, and take it over from the
// one before.
func (k *Kmsg) setDeadline(waiting bool) error {
	if k.o.UntilNow || !waiting && !k.timed {
		return nil
	}
	k.timed = waiting
	if !waiting {
		return k.f.SetReadDeadline(time.Time{})
	}
	return k.f.SetReadDeadline(time.Now().Add(settleAfter))
}

func (k *Kmsg) record(b []byte) {
	h, ok := lines.ParseKmsg(b)
	if !ok {
		return
	}
	// Before the first record nothing says how many are missing.
	missing := uint64(0)
	if k.started && h.Seq > k.nextSeq {
		missing = h.Seq - k.nextSeq
	}
	if k.overrun || missing > 0 {
		k.lostRecord(&stamp{uptime: h.Uptime}, missing)
	}
	k.started, k.overrun, k.nextSeq = true, false, h.Seq+1
	if h.Prio>>3 != 0 || !k.p.Busy() && !lines.MayMatter(h.Text) && !orphanStart(h.Text) {
		k.p.stats.Lines++
		k.p.Skip(1)
		return
	}
	l := lines.Line{Text: h.Message(&k.text), Uptime: h.Uptime, Caller: h.Caller, Exact: true, Number: int(min(h.Seq, 1<<62)), Time: k.wall(h.Uptime)}
	k.p.Line(&l)
}

// orphanStart is a quick test for lines that are kept without a header.
func orphanStart(b []byte) bool {
	b = scan.SkipSpaces(b)
	return len(b) > 0 && (b[0] == '[' || classify(b) != partNone)
}

// wall is the wall clock of a printk stamp: right for what was just printed;
// older stamps do not know of the times that the machine slept.
func (k *Kmsg) wall(uptime oom.Opt[uint64]) time.Time {
	if !k.o.BootTime.IsZero() || !uptime.Known {
		return time.Time{}
	}
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return time.Time{}
	}
	ago := ts.Nano() - int64(min(uptime.Value, 1<<62))
	return time.Now().Add(-time.Duration(ago)).Round(0)
}

// finish gives out all that is open, after what was lost with no record behind it.
func (k *Kmsg) finish() {
	if k.overrun {
		k.overrun = false
		k.lostRecord(&stamp{}, 0)
	}
	k.p.Flush()
}

func (k *Kmsg) lostRecord(s *stamp, missing uint64) {
	s.time, s.node, s.bootID = k.wall(s.uptime), k.o.Node, k.o.BootID
	rec := k.p.base(oom.KindLost, s, 0)
	rec.LostKind = oom.LostLogLines
	k.lost.Add(max(1, missing))
	if missing > 0 {
		rec.Lost = oom.Some(missing)
	}
	k.p.emit(rec)
}
