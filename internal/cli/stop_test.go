package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/enrich"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/render"
	"github.com/oomtrace/oomtrace/internal/sample"
	"github.com/oomtrace/oomtrace/internal/sink"
	"github.com/oomtrace/oomtrace/internal/tracer"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// fakeRing holds records of a guest's ring, again and again.
type fakeRing struct {
	raw     [][]byte
	machine wire.Machine
	read    int
	acked   int
	stats   tracer.Stats
	err     error
}

func (f *fakeRing) Read(_ context.Context, ev *wire.Event) error {
	if len(f.raw) == 0 {
		return io.EOF
	}
	raw := f.raw[f.read%len(f.raw)]
	f.read++
	return ev.Decode(raw, &f.machine)
}

func (f *fakeRing) Done() { f.acked++ }

func (f *fakeRing) Stats() (tracer.Stats, error) { return f.stats, f.err }

func (f *fakeRing) Untold(to []tracer.Loss) ([]tracer.Loss, error) { return to, f.err }

func (f *fakeRing) LossRecord(tracer.Loss) *oom.Record { return nil }

func (f *fakeRing) Told(tracer.Loss) error { return nil }

func (f *fakeRing) Waiting() int { return len(f.raw) }

// newSession is a session that reads ring and writes to out.
func newSession(t testing.TB, ring events, env Env, out io.Writer) *session {
	s := &session{traceFlags: &traceFlags{}, env: env, ring: ring, out: out, room: room{env: env}}
	s.p = newPipeline(env, out, &outputFlags{output: "json"}, nil)
	s.p.owners(&ownerFlags{}, enrich.Options{})
	s.watch = newWatch(time.Hour, func(*watched) {})
	s.p.stacks = sample.NewStacks(sample.StackOptions{Root: t.TempDir()})
	t.Cleanup(func() {
		s.watch.stop()
	})
	return s
}

// TestStuckOutput: a pipe that nobody reads does not keep the trace from ending.
func TestStuckOutput(t *testing.T) {
	for _, tt := range []struct{ pin, want string }{
		{"", "output is stuck: 1 record not written (they are lost)"},
		{"/sys/fs/bpf/oomtrace", "output is stuck: 1 record not written (they wait in /sys/fs/bpf/oomtrace)"},
	} {
		t.Run(tt.pin, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			_ = w.Fd() // which makes its writes block, as those of stdout do
			ring := &fakeRing{raw: [][]byte{recorded(t, "kill")}}
			s := newSession(t, ring, Env{Stderr: io.Discard}, sink.NewStream(w))
			s.pin = tt.pin
			ctx, cancel := context.WithCancel(t.Context())
			pumped := make(chan error, 1)
			go func() {
				var ev wire.Event
				var err error
				for err == nil {
					err = s.step(t.Context(), &ev)
				}
				pumped <- err
			}()
			cancel()
			err = s.await(ctx, pumped)
			var f *failure
			if !errors.As(err, &f) || f.code != exitError || f.Error() != tt.want || !s.abandoned {
				t.Errorf("%v", err)
			}
			_ = r.Close() // now the write ends
			if err := <-pumped; !errors.Is(err, syscall.EPIPE) {
				t.Error(err)
			}
			_ = w.Close()
		})
	}
}

// TestReadEndsWithItsReader: "journalctl -kf | oomtrace read | head -1" does not
// wait for the next line of the log.
func TestReadEndsWithItsReader(t *testing.T) {
	log, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _, _ = log.Close(), feed.Close(), out.Close() }()
	ended := make(chan int, 1)
	go func() {
		ended <- Run(t.Context(), []string{"read"}, Env{Stdin: log, Stdout: sink.NewStream(out), Stderr: io.Discard})
	}()
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(time.Minute):
		t.Fatal("it has not ended")
	}
}

// TestSlowOutput: one that is slow is waited for, as long as records get through.
func TestSlowOutput(t *testing.T) {
	s := newSession(t, &fakeRing{}, Env{}, io.Discard)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	pumped := make(chan error, 1)
	go func() {
		for range 15 { // longer than one may take, all together
			s.busySince.Store(time.Now().UnixNano())
			time.Sleep(stuckEnd / 10)
		}
		s.busySince.Store(0)
		pumped <- nil
	}()
	if err := s.await(ctx, pumped); err != nil || s.abandoned {
		t.Errorf("%v, abandoned %v", err, s.abandoned)
	}
}

// shut fails with err as long as that is not nil.
type shut struct {
	err   func() error
	tries int
	out   bytes.Buffer
}

func (w *shut) Write(p []byte) (int, error) {
	w.tries++
	if err := w.err(); err != nil {
		return 0, err
	}
	return w.out.Write(p)
}

// TestRoom: a disk without room is waited for, is told once, and is no reason to
// restart; what it refuses for ever ends the trace.
func TestRoom(t *testing.T) {
	full := fmt.Errorf("output file x: %w", syscall.ENOSPC)
	other := errors.New("gone")
	stopped, stop := make(chan struct{}), make(chan struct{})
	close(stopped)
	for _, tt := range []struct {
		name  string
		errs  []error
		stop  chan struct{}
		want  error
		tries int
		acked int
		says  []string
	}{
		{"room at once", nil, stop, nil, 1, 1, nil},
		{"room after a while", []error{full, syscall.EDQUOT, syscall.EFBIG}, stop, nil, 4, 1,
			[]string{"output file x: no space left on device; records wait until there is room", "there is room again: writing goes on"}},
		{"gone meanwhile", []error{full, other}, stop, other, 2, 0, []string{"output file x: no space left on device; records wait until there is room"}},
		{"at the end", []error{full}, stopped, syscall.ENOSPC, 1, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			ring := &fakeRing{raw: [][]byte{recorded(t, "kill")}}
			var s *session
			w := &shut{}
			w.err = func() error {
				if w.tries > 1 {
					if err := s.healthy(); err == nil || !s.alive() {
						t.Errorf("healthy %v, alive %v", err, s.alive())
					}
				}
				if w.tries <= len(tt.errs) {
					return tt.errs[w.tries-1]
				}
				return nil
			}
			s = newSession(t, ring, Env{Stderr: &stderr}, w)
			s.pumping.Store(true)
			s.room.stop, s.p.room = tt.stop, &s.room
			var ev wire.Event
			err := s.step(t.Context(), &ev)
			if !errors.Is(err, tt.want) || w.tries != tt.tries || ring.acked != tt.acked {
				t.Errorf("%v after %d tries, %d acknowledged", err, w.tries, ring.acked)
			}
			var said []string
			for line := range strings.Lines(stderr.String()) {
				said = append(said, strings.TrimPrefix(strings.TrimSpace(line), "oomtrace: "))
			}
			if strings.Join(said, "\n") != strings.Join(tt.says, "\n") {
				t.Errorf("said %q", said)
			}
			if want := min(tt.acked, 1); bytes.Count(w.out.Bytes(), []byte("\n")) != want {
				t.Errorf("wrote %q", w.out.Bytes())
			}
		})
	}
}

func TestHealthy(t *testing.T) {
	ring := &fakeRing{}
	s := newSession(t, ring, Env{}, io.Discard)
	check := func(state, want string, alive bool) {
		t.Helper()
		got := ""
		if err := s.healthy(); err != nil {
			got = err.Error()
		}
		if got != want || s.alive() != alive {
			t.Errorf("%s: %q, alive %v", state, got, s.alive())
		}
	}
	check("before", "not tracing", true)
	s.pumping.Store(true)
	check("running", "", true)
	s.busySince.Store(time.Now().UnixNano())
	check("writing", "", true)
	s.busySince.Store(time.Now().Add(-stuckAfter - time.Second).UnixNano())
	check("stuck", "output is stuck for 2m1s", false)
	s.room.waiting.Store(true)
	check("full", "the output file cannot grow: records wait", true)
	s.room.waiting.Store(false)
	s.busySince.Store(0)
	ring.err = errors.New("read counters: map is gone")
	check("counters", "read counters: map is gone", true)
	s.ring = nil
	check("kernel log", "", true)
}

// blocked is where a record goes to wait.
type blocked struct{ in, out chan struct{} }

func (b blocked) Write(p []byte) (int, error) {
	b.in <- struct{}{}
	<-b.out
	return len(p), nil
}

// TestLogIsBusy: a record of the kernel log that is on its way is seen, too.
func TestLogIsBusy(t *testing.T) {
	w := blocked{make(chan struct{}), make(chan struct{})}
	s := newSession(t, nil, Env{}, io.Discard)
	s.p.out = render.NewJSON(w)
	done := make(chan error, 1)
	go func() { done <- s.write(t.Context(), &oom.Record{Kind: oom.KindKill, Source: oom.SourceKmsg}) }()
	<-w.in
	if s.busySince.Load() == 0 {
		t.Error("not busy")
	}
	w.out <- struct{}{}
	if err := <-done; err != nil || s.busySince.Load() != 0 {
		t.Errorf("%v, busy %v", err, s.busySince.Load())
	}
}

// TestLimitListener: one connection too many waits until another one is closed.
func TestLimitListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const most = 3
	server := http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Hour}
	served := make(chan error, 1)
	go func() { served <- server.Serve(limitListener(l, most)) }()
	var held []net.Conn
	for range most {
		held = append(held, dial(t, l.Addr().String()))
		if !answers(held[len(held)-1], 10*time.Second) {
			t.Fatal("no answer")
		}
	}
	late := dial(t, l.Addr().String())
	if answers(late, 200*time.Millisecond) {
		t.Error("one too many is answered")
	}
	_ = held[0].Close()
	_ = late.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := late.Read(make([]byte, 1)); n != 1 {
		t.Errorf("not answered after all: %v", err)
	}
	if err := server.Close(); err != nil { // while nobody has a slot
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// answers asks for something and waits for the first byte of the answer.
func answers(c net.Conn, wait time.Duration) bool {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	n, _ := c.Read(make([]byte, 1))
	return n == 1
}
