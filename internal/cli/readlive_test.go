package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const oneKill = "[    5.000001] Out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB, UID:5 pgtables:40kB oom_score_adj:7\n"

// waitBuffer can be waited on.
type waitBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *waitBuffer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *waitBuffer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// until waits for a text.
func (w *waitBuffer) until(t *testing.T, text string) {
	t.Helper()
	for range 2000 {
		if strings.Contains(w.String(), text) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%q is not in %q", text, w.String())
}

// TestReadLive: a kill in a pipe that stays open is shown once the reaper would
// have spoken, and an interrupt ends the run with what was read.
func TestReadLive(t *testing.T) {
	for _, how := range []string{"quiet", "interrupted"} {
		t.Run(how, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = r.Close(), w.Close() }()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var out, stderr waitBuffer
			code := make(chan int)
			go func() {
				code <- Run(ctx, []string{"read", "-o", "json"}, Env{Stdin: r, Stdout: &out, Stderr: &stderr})
			}()
			if _, err := io.WriteString(w, oneKill); err != nil {
				t.Fatal(err)
			}
			if how == "quiet" {
				out.until(t, `"pid":77`)
			} else {
				emptied(t, r)
			}
			cancel()
			if got := <-code; got != 0 || strings.Count(out.String(), "\n") != 1 || !strings.Contains(stderr.String(), "1 kill in 1 line") {
				t.Errorf("exit %d, %q, %q", got, out.String(), stderr.String())
			}
		})
	}
}

// emptied waits until all was taken from a pipe.
func emptied(t *testing.T, r *os.File) {
	t.Helper()
	c, err := r.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for left := -1; left != 0; time.Sleep(time.Millisecond) {
		if err := c.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
