package kernlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// fifo stands for /dev/kmsg: it can be waited for, and each write is a read.
func fifo(t *testing.T) (path string, write func(string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "kmsg")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal("no fifo:", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	// As packets: a read gives one write's bytes, never two.
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFL, unix.O_DIRECT); err != nil {
		t.Fatal("no packets in a fifo:", err)
	}
	return path, func(s string) {
		if _, err := f.WriteString(s); err != nil {
			t.Error(err)
		}
	}
}

func TestKmsg(t *testing.T) {
	path, write := fifo(t)
	k, err := OpenKmsg(KmsgOptions{FromStart: true, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	next := func() *oom.Record {
		t.Helper()
		rec, err := k.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	write("6,10,5000000,-;usb 1-1: new device\n SUBSYSTEM=usb\n")
	start := time.Now()
	write("3,11,5000100,-;" + killLineText + "\n")
	if rec := next(); rec.Kind != oom.KindKill || rec.Time.IsZero() || time.Since(start) > time.Second {
		t.Errorf("%s after %v at %v", rec.Kind, time.Since(start), rec.Time)
	}
	write("6,15,5100100,-;oom_reaper: reaped process 77 (a), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n")
	if rec := next(); rec.Kind != oom.KindLost || rec.LostKind != oom.LostLogLines || rec.Lost != oom.Some(uint64(3)) || k.Lost() != 3 {
		t.Errorf("%s %s %v, counted %d", rec.Kind, rec.LostKind, rec.Lost, k.Lost())
	}
	if rec := next(); rec.Kind != oom.KindExit || rec.Exit.ReapedAfterNS != oom.Some(uint64(100_000_000)) {
		t.Errorf("%s %v", rec.Kind, rec.Exit)
	}
}

func TestKmsgEnds(t *testing.T) {
	path, write := fifo(t)
	k, err := OpenKmsg(KmsgOptions{FromStart: true, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		write("4,1,5000000,-;a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n")
		cancel()
	}()
	if rec, err := k.Read(ctx); err != nil || rec.Kind != oom.KindOOM || rec.Incomplete != oom.Some(true) {
		t.Errorf("%v, %v", rec, err)
	}
	if _, err := k.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	go func() {
		time.Sleep(20 * time.Millisecond)
		_ = k.Close()
	}()
	if _, err := k.Read(context.Background()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestKmsgMissing(t *testing.T) {
	if _, err := OpenKmsg(KmsgOptions{Path: filepath.Join(t.TempDir(), "no")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// scripted is a buffer whose reads are given beforehand: a record, or an error.
type scripted struct{ reads []any }

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.reads) == 0 {
		return 0, io.EOF
	}
	next := s.reads[0]
	s.reads = s.reads[1:]
	if err, ok := next.(error); ok {
		return 0, err
	}
	return copy(p, next.(string)), nil
}

func (s *scripted) Close() error                    { return nil }
func (s *scripted) SetReadDeadline(time.Time) error { return nil }

// TestKmsgOverrun: what the buffer lost is told wherever it was lost, and the
// report that it was lost from says so.
func TestKmsgOverrun(t *testing.T) {
	const header = "4,%d,5000000,-;a invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
	line := func(seq int) string { return fmt.Sprintf("6,%d,5000000,-;usb 1-1: new device\n", seq) }
	kill := func(seq int) string { return fmt.Sprintf("3,%d,5000100,-;%s\n", seq, killLineText) }
	for _, c := range []struct {
		name  string
		reads []any
		want  string
	}{
		{"nothing", []any{line(7), kill(8)}, "kill"},
		{"before the first", []any{unix.EPIPE, line(7), kill(8)}, "lost unknown, kill"},
		{"before a kill", []any{line(7), unix.EPIPE, kill(12)}, "lost 4, kill"},
		{"without an error", []any{line(7), kill(12)}, "lost 4, kill"},
		{"twice", []any{unix.EPIPE, line(7), unix.EPIPE, unix.EPIPE, kill(9)}, "lost unknown, lost 1, kill"},
		{"at the end", []any{kill(7), unix.EPIPE}, "kill, lost unknown"},
		{"all", []any{unix.EPIPE}, "lost unknown"},
		{"interrupted", []any{unix.EINTR, kill(7), unix.EAGAIN, line(8)}, "kill"},
		{"in a report", []any{fmt.Sprintf(header, 7), unix.EPIPE, kill(12)}, "lost 4, kill"},
	} {
		for _, now := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, until now %v", c.name, now), func(t *testing.T) {
				k := newKmsg(&scripted{c.reads}, KmsgOptions{UntilNow: now})
				var got []string
				for {
					rec, err := k.Read(context.Background())
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					what := string(rec.Kind)
					if rec.Kind == oom.KindLost {
						what += " unknown"
						if rec.Lost.Known {
							what = fmt.Sprintf("%s %d", rec.Kind, rec.Lost.Value)
						}
					} else if rec.Incomplete != oom.Some(true) {
						t.Error("not said to be incomplete")
					}
					got = append(got, what)
				}
				if strings.Join(got, ", ") != c.want {
					t.Errorf("got %s, want %s", strings.Join(got, ", "), c.want)
				}
				least := uint64(strings.Count(c.want, "unknown") + 4*strings.Count(c.want, "lost 4") + strings.Count(c.want, "lost 1"))
				if k.Lost() != least {
					t.Errorf("counted %d, want %d", k.Lost(), least)
				}
			})
		}
	}
}

// TestKmsgInterruptedAtTheEnd: what is in the buffer is read to its end, whatever signals come.
func TestKmsgInterruptedAtTheEnd(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	k := newKmsg(&scripted{[]any{unix.EINTR, "3,7,5000100,-;" + killLineText + "\n", unix.EINTR, "6,9,5000200,-;usb 1-1: new device\n"}}, KmsgOptions{})
	var got []oom.Kind
	for {
		rec, err := k.Read(ended)
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rec.Kind)
	}
	if !slices.Equal(got, []oom.Kind{oom.KindKill, oom.KindLost}) {
		t.Errorf("%v", got)
	}
}

// TestKmsgUntilNow ends where it would have to wait, and has the reaper's
// outcome in the kill's record.
func TestKmsgUntilNow(t *testing.T) {
	path, write := fifo(t)
	k, err := OpenKmsg(KmsgOptions{FromStart: true, UntilNow: true, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	write("3,11,5000100,-;" + killLineText + "\n")
	write("6,12,5100100,-;oom_reaper: reaped process 77 (a), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB\n")
	rec, err := k.Read(context.Background())
	if err != nil || rec.Kind != oom.KindKill || rec.Exit == nil || rec.Exit.Reaped != oom.Some(true) {
		t.Errorf("%+v, %v", rec, err)
	}
	for range 2 {
		if rec, err := k.Read(context.Background()); !errors.Is(err, io.EOF) {
			t.Errorf("%+v, %v", rec, err)
		}
	}
	if st := k.Stats(); st.Lines != 2 || st.Kills != 1 {
		t.Errorf("%+v", st)
	}
}

// TestKmsgAtOnce: a kill does not wait for the next line.
func TestKmsgAtOnce(t *testing.T) {
	reads := []any{"3,11,5000100,-;" + killLineText + "\n", errors.New("read on")}
	k := newKmsg(&scripted{reads}, KmsgOptions{AtOnce: true})
	if rec, err := k.Read(context.Background()); err != nil || rec.Kind != oom.KindKill {
		t.Errorf("%+v, %v", rec, err)
	}
}
