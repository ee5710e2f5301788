//go:build vmguest || hosttest

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

const mib = 1 << 20

// patience is how long a test waits for what must come: a guest is emulated,
// on a machine that may be busy.
const patience = 3 * time.Minute

// eventually waits until cond is true, or fails. After stop nothing will come.
func eventually(t *testing.T, what string, stop <-chan struct{}, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		select {
		case <-stop:
			if !cond() { // it may have come with the end
				t.Fatalf("%s: will not come any more", what)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// output collects what a process writes, to be read while it runs.
type output struct {
	mu sync.Mutex
	b  []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b = append(o.b, p...)
	return len(p), nil
}

func (o *output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.b)
}

func (o *output) String() string { return strings.TrimSpace(string(o.Bytes())) }

// oomtraceCmd is oomtrace as a process of its own.
func oomtraceCmd(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asOomtrace+"=1")
	return cmd
}

// tracee is oomtrace as a process of its own, while it runs.
type tracee struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    output // unless the test gave it a Stdout of its own
	stderr output
	ended  chan struct{}
	err    error // once it has ended

	parsed  int          // bytes of out
	written []oom.Record // the kills in them
}

// newTracee prepares oomtrace; the test may still change cmd.
func newTracee(t *testing.T, args ...string) *tracee {
	p := &tracee{t: t, cmd: oomtraceCmd(args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.stderr
	return p
}

// start starts it. It does not outlive its test.
func (p *tracee) start() *tracee {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("oomtrace %s: %v, stderr: %s", strings.Join(p.cmd.Args[1:], " "), p.cmd.ProcessState, p.stderr.String())
		}
	})
	return p
}

// startReady starts it and waits until its hooks are attached.
func (p *tracee) startReady() *tracee {
	p.t.Helper()
	dir := p.t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil { // oomtrace may run as another user
		p.t.Fatal(err)
	}
	ready := filepath.Join(dir, "ready")
	p.cmd.Args = append(p.cmd.Args, "--ready-file", ready)
	p.start()
	eventually(p.t, "the ready file", p.ended, func() bool {
		_, err := os.Stat(ready)
		return err == nil
	})
	return p
}

// startWithPipe starts it with its output in a pipe that nobody reads yet.
func (p *tracee) startWithPipe() *os.File {
	p.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = r.Close() })
	p.cmd.Stdout = w
	p.startReady()
	if err := w.Close(); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// wait waits for its end.
func (p *tracee) wait() error {
	p.t.Helper()
	eventually(p.t, "the end of oomtrace", nil, p.hasEnded)
	return p.err
}

// hasEnded says whether it has.
func (p *tracee) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// interrupt ends it as a user does; it must end well.
func (p *tracee) interrupt() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt)
	if err := p.wait(); err != nil {
		p.t.Errorf("%v: %s", err, p.stderr.String())
	}
}

// kills are the kills written until now, in whole lines.
func (p *tracee) kills() []oom.Record {
	p.t.Helper()
	b := p.out.Bytes()[p.parsed:]
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	p.parsed += len(b)
	p.written = append(p.written, only(parse(p.t, b), oom.KindKill)...)
	return p.written
}

func only(all []oom.Record, kind oom.Kind) []oom.Record {
	var out []oom.Record
	for _, r := range all {
		if r.Kind == kind {
			out = append(out, r)
		}
	}
	return out
}

// parse reads JSON lines; half a line is an error.
func parse(t *testing.T, b []byte) []oom.Record {
	t.Helper()
	var out []oom.Record
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		var rec oom.Record
		if err := json.Unmarshal(line, &rec); err != nil || !whole {
			t.Errorf("not a line of JSON: %q", line)
		}
		out = append(out, rec)
		b = rest
	}
	return out
}

// overrunOnce lets one process overrun a small cgroup.
func overrunOnce(name string) error {
	h, err := workload.FindHierarchy()
	if err != nil {
		return err
	}
	c, err := h.Make(nil, name, workload.Limits{MaxBytes: 8 * mib})
	if err != nil {
		return err
	}
	p, err := workload.Start(workload.Hog{Name: "storm", Procs: c.Procs(), Steps: []workload.Step{{Kind: workload.Anon, Bytes: 64 * mib}}})
	if err != nil {
		return err
	}
	_, err = p.Wait(context.Background())
	return errors.Join(err, c.Remove())
}

// reportWindow is how long the kernel's limit on OOM reports lasts: 10 in 5 s
// (mm/oom_kill.c, oom_rs). A kill beyond that has a line, but no cgroup in it.
const reportWindow = 5 * time.Second
