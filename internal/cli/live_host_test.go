//go:build hosttest

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// mine is part of the names of this run's processes and cgroups: others may kill
// on this machine, too.
func mine(name string) string { return name + "-" + strconv.Itoa(os.Getpid()) }

// overrunAs has a process of that name overrun a small cgroup of that name.
func overrunAs(t *testing.T, cgroup, comm string) {
	t.Helper()
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Make(nil, cgroup, workload.Limits{MaxBytes: 8 * mib})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	}()
	p, err := workload.Start(workload.Hog{Name: comm, Procs: c.Procs(), Steps: []workload.Step{{Kind: workload.Anon, Bytes: 64 * mib}}})
	if err != nil {
		t.Fatal(err)
	}
	if killed, err := p.Wait(context.Background()); err != nil || !killed {
		t.Fatalf("killed %v, %v", killed, err)
	}
}

func names(records []oom.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, r.Victim.Comm)
	}
	return out
}

// TestHostCount: -n ends it by itself after so many kills that the filters let
// through.
func TestHostCount(t *testing.T) {
	for _, tc := range []struct {
		name         string
		flag, filter string
		ours, others [2]string // cgroup and comm
	}{
		{"comm", "--comm", mine("ch[n-p]s?n"), [2]string{mine("any"), mine("chosen")}, [2]string{mine("any"), mine("chasen")}},
		{"cgroup", "--cgroup", "/" + mine("ch[n-p]*"), [2]string{mine("chosen"), mine("c")}, [2]string{mine("chasen"), mine("c")}},
		{"below", "--cgroup", "/" + mine("chosen") + "/**", [2]string{mine("chosen"), mine("b")}, [2]string{mine("chosen") + "2", mine("b")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newTracee(t, "-n", "2", tc.flag, tc.filter).startReady()
			overrunAs(t, tc.ours[0], tc.ours[1])
			overrunAs(t, tc.others[0], tc.others[1])
			overrunAs(t, tc.ours[0], tc.ours[1])
			if err := p.wait(); err != nil {
				t.Errorf("%v: %s", err, p.stderr.String())
			}
			for _, r := range p.kills() {
				if r.Victim.Comm != tc.ours[1] || r.Victim.Cgroup != "/"+tc.ours[0] {
					t.Errorf("a kill of %q in %q", r.Victim.Comm, r.Victim.Cgroup)
				}
			}
			if n := len(p.kills()); n != 2 {
				t.Errorf("%d kills", n)
			}
			if !strings.Contains(p.stderr.String(), "oomtrace: 2 kills in ") {
				t.Errorf("stderr %q", p.stderr.String())
			}
		})
	}
}

// TestHostDrain: what is in the ring when the signal comes is written first.
func TestHostDrain(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			p := newTracee(t, "--cgroup", "/"+mine("drain")).startReady()
			p.signal(unix.SIGSTOP)
			for i := range 3 {
				overrunAs(t, mine("drain"), "drain-"+strconv.Itoa(i))
			}
			p.signal(sig)
			if n := len(p.out.Bytes()); n > 0 {
				t.Errorf("%d bytes written while it was stopped", n)
			}
			p.signal(unix.SIGCONT)
			if err := p.wait(); err != nil {
				t.Errorf("%v: %s", err, p.stderr.String())
			}
			if got := names(p.kills()); !slices.Equal(got, []string{"drain-0", "drain-1", "drain-2"}) {
				t.Errorf("kills of %q", got)
			}
			if !strings.Contains(p.stderr.String(), "oomtrace: 3 kills in ") || !strings.Contains(p.stderr.String(), ", 3 written, 0 lost") {
				t.Errorf("stderr %q", p.stderr.String())
			}
		})
	}
}

func (p *tracee) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// TestHostSecondSignal: who does not read on its other end does not keep it.
func TestHostSecondSignal(t *testing.T) {
	for _, tc := range []struct {
		first, second syscall.Signal
		code          int
	}{{unix.SIGINT, unix.SIGTERM, 143}, {unix.SIGTERM, unix.SIGINT, 130}} {
		t.Run(unix.SignalName(tc.second), func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = r.Close(), w.Close() }()
			if err := fill(w); err != nil {
				t.Fatal(err)
			}
			p := newTracee(t, "--cgroup", "/"+mine("signal"))
			p.cmd.Stdout = w
			p.startReady()
			overrunAs(t, mine("signal"), "signal") // it is in the ring, and nowhere to write it
			p.signal(tc.first)
			// Two signals that wait are delivered in the order of their numbers.
			eventually(t, "the first signal's delivery", p.ended, func() bool { return !pending(t, p.cmd.Process.Pid, tc.first) })
			// So does the Go runtime, with those that it has not passed on yet
			// (runtime/sigqueue.go). Well within stuckEnd.
			time.Sleep(500 * time.Millisecond)
			p.signal(tc.second)
			var exit *exec.ExitError
			if err := p.wait(); !errors.As(err, &exit) || exit.ExitCode() != tc.code {
				t.Errorf("%v, want exit status %d", err, tc.code)
			}
		})
	}
}

// fill makes a small pipe and fills it.
func fill(w *os.File) error {
	n, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
	if err == nil {
		_, err = w.Write(make([]byte, n))
	}
	return err
}

// pending says whether a signal to a process has not been taken yet.
func pending(t *testing.T, pid int, sig syscall.Signal) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if mask, ok := strings.CutPrefix(line, "ShdPnd:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return set&(1<<(sig-1)) != 0
		}
	}
	t.Fatal("no ShdPnd")
	return false
}

// terminal is a pseudo terminal.
type terminal struct {
	master, slave *os.File
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &terminal{master, slave}
}

// TestHostColour: a terminal gets text, with colour unless NO_COLOR is set.
func TestHostColour(t *testing.T) {
	for _, noColor := range []bool{false, true} {
		t.Run(fmt.Sprintf("NO_COLOR=%v", noColor), func(t *testing.T) {
			term := openTerminal(t)
			p := newTracee(t, "-n", "1", "--cgroup", "/"+mine("colour"))
			p.cmd.Stdout = term.slave
			if noColor {
				p.cmd.Env = append(p.cmd.Env, "NO_COLOR=1")
			}
			var shown output
			read := make(chan struct{})
			p.startReady()
			_ = term.slave.Close() // the terminal ends with oomtrace
			go func() {
				_, _ = io.Copy(&shown, term.master)
				close(read)
			}()
			overrunAs(t, mine("colour"), "colour")
			if err := p.wait(); err != nil {
				t.Errorf("%v: %s", err, p.stderr.String())
			}
			<-read
			got := shown.Bytes()
			if !bytes.Contains(got, []byte("VICTIM")) || !bytes.Contains(got, []byte("colour")) || bytes.Contains(got, []byte(`"schema"`)) {
				t.Errorf("not text: %q", got)
			}
			if bytes.Contains(got, []byte("\x1b[")) == noColor {
				t.Errorf("NO_COLOR %v: %q", noColor, got)
			}
		})
	}
}
