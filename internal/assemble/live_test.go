package assemble

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/kernlog"
)

// device is a kernel log that a test writes; a FIFO of packets gives a record a read, as
// /dev/kmsg does.
func device(t *testing.T) (*KernelLog, *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := kernlog.OpenKmsg(kernlog.KmsgOptions{Path: path, FromStart: true})
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETFL, unix.O_DIRECT); err != nil { // a write is a read
		t.Fatal(err)
	}
	return log, w
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// TestLive is a live line from the kernel's log to its end by a limit: healthy
// while it runs, counted, and closed.
func TestLive(t *testing.T) {
	log, w := device(t)
	var out bytes.Buffer
	var said []string
	o := LiveOptions{
		StageOptions: StageOptions{Notify: func(text string) { said = append(said, text) }},
		Output:       Output{To: &out, Format: "json"}, Limit: 1, Queue: true, Metrics: "127.0.0.1:0", Version: "v1",
	}
	l, err := OpenLive(t.Context(), nil, log, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "metrics on http://127.0.0.1:") {
		t.Fatalf("said %q", said)
	}
	url := strings.TrimSuffix(strings.Fields(said[0])[2], "/metrics")
	if code, _ := get(t, url+"/healthz"); code != http.StatusServiceUnavailable {
		t.Errorf("healthy before it runs: %d", code)
	}
	if code, _ := get(t, url+"/livez"); code != http.StatusOK {
		t.Errorf("not alive: %d", code)
	}
	if err := errors.Join(l.stages.warmUp(t.Context(), "json"), l.Start()); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, url+"/healthz"); code != http.StatusOK || !l.Alive() {
		t.Errorf("not healthy: %d %s", code, body)
	}
	if _, err := io.WriteString(w, strings.SplitAfter(kernelLog("/a.service"), "\n")[4]); err != nil {
		t.Fatal(err)
	}
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sum, err := l.Summary()
	if err != nil || sum.Kills != 1 || sum.Written != 1 || sum.Traced || strings.Count(out.String(), "\n") != 1 || strings.Contains(out.String(), "warm-up") {
		t.Errorf("%+v, %v: %s", sum, err, out.String())
	}
	if _, body := get(t, url+"/metrics"); !strings.Contains(body, `oomtrace_records_total{kind="kill",scope="cgroup"} 1`) || !strings.Contains(body, `hook="kmsg"`) {
		t.Errorf("metrics: %s", body)
	}
	if l.Waiting() >= 0 || l.Completes() || l.Node() == "" {
		t.Errorf("waiting %d, completes %v, node %q", l.Waiting(), l.Completes(), l.Node())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := log.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the log is open: %v", err)
	}
}

// TestLiveLost: what the log overwrote is said, summed up and in the metrics.
func TestLiveLost(t *testing.T) {
	log, w := device(t)
	var out bytes.Buffer
	var said []string
	l, err := OpenLive(t.Context(), nil, log, LiveOptions{
		StageOptions: StageOptions{Notify: func(text string) { said = append(said, text) }},
		Output:       Output{To: &out, Format: "json"}, Limit: 1, Metrics: "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	url := strings.Fields(said[0])[2]
	if _, body := get(t, url); !strings.Contains(body, `oomtrace_lost_total{kind="log_lines"} 0`) {
		t.Errorf("metrics before: %s", body)
	}
	for _, line := range []string{"6,92,4000000,-;usb 1-1: new device\n", strings.SplitAfter(kernelLog("/a.service"), "\n")[4]} {
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Start(), l.Run(t.Context())); err != nil {
		t.Fatal(err)
	}
	if sum, err := l.Summary(); err != nil || sum.LostLogLines != 11 || sum.Lost != 0 || sum.Written != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	if want := "11 lines of the kernel log lost: overwritten before they were read"; len(said) != 2 || said[1] != want || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("said %q, want %q; wrote %s", said, want, out.String())
	}
	_, body := get(t, url)
	for _, line := range []string{`oomtrace_lost_total{kind="log_lines"} 11`, `oomtrace_lost_total{kind="kill"} 0`, `oomtrace_records_total{kind="lost",scope="unknown"} 1`} {
		if !strings.Contains(body, line) {
			t.Errorf("no %s in %s", line, body)
		}
	}
}

// TestLiveEnds: a context that ends is no failure, and what was in the log is
// written first.
func TestLiveEnds(t *testing.T) {
	log, w := device(t)
	if _, err := io.WriteString(w, strings.SplitAfter(kernelLog("/a.service"), "\n")[4]); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	l, err := OpenLive(t.Context(), nil, log, LiveOptions{Output: Output{To: &out, Format: "json"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(l.Start(), l.Run(ctx), l.Close()); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v: %s", err, out.String())
	}
}

// TestLiveMetricsRefused: an address that is none is distinguished from one in use, and
// what was opened is closed.
func TestLiveMetricsRefused(t *testing.T) {
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = used.Close() }()
	for address, bad := range map[string]bool{"nonsense": true, used.Addr().String(): false} {
		log, _ := device(t)
		_, err := OpenLive(t.Context(), nil, log, LiveOptions{Output: Output{To: io.Discard, Format: "json"}, Metrics: address})
		var m *MetricsError
		if !errors.As(err, &m) || m.BadAddress != bad {
			t.Errorf("%s: %v", address, err)
		}
		if _, err := log.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: the log is open: %v", address, err)
		}
	}
}
