package kernlog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
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
		t.Skip("no fifo:", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	// As packets: a read gives one write's bytes, never two.
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFL, unix.O_DIRECT); err != nil {
		t.Skip("no packets in a fifo:", err)
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
	if rec := next(); rec.Kind != oom.KindLost || rec.Lost != oom.Some(uint64(3)) {
		t.Errorf("%s %v", rec.Kind, rec.Lost)
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
	if rec, err := k.Read(ctx); err != nil || rec.Kind != oom.KindNoVictim || rec.Incomplete != oom.Some(true) {
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
