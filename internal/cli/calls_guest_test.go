//go:build vmguest

package cli

import (
	"errors"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/harden"
	"github.com/oomtrace/oomtrace/internal/vmtest/witness"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// TestPrivilegesCalls holds the table of system calls that a hardened process may make
// against those that it makes, from the ready file to its end.
func TestPrivilegesCalls(t *testing.T) {
	file, pins := filepath.Join(t.TempDir(), "kills.json"), bpffs(t)
	defer unpin(t, pins)
	made, refused := map[uintptr]uint64{}, map[uintptr]uint64{}
	for _, args := range [][]string{
		{"--source", "bpf", "--pin", pins, "--since-boot", "--sigkill", "all", "--metrics", "127.0.0.1:0", "--output-file", file, "--output-max-bytes", "4096"},
		{"--source", "kmsg", "-o", "json"},
	} {
		p := newTracee(t, args...).startReady()
		calls, err := witness.WatchCalls(p.cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		sampled := func() bool {
			m, _, err := calls.Counts()
			return err != nil || m[unix.SYS_GETDENTS64] > 0
		}
		exercise(t, p, sampled)
		p.interrupt()
		m, r, err := calls.Counts()
		if err = errors.Join(err, calls.Close()); err != nil {
			t.Fatal(err)
		}
		for nr, n := range m {
			made[nr] += n
		}
		for nr, n := range r {
			refused[nr] += n
		}
	}
	known := map[uintptr]bool{}
	for _, c := range harden.Calls() {
		known[c.Number] = true
		t.Logf("%s (%d): %d times, %d EPERM", c.Name, c.Number, made[c.Number], refused[c.Number])
		if made[c.Number] == 0 && c.Rare == "" {
			t.Errorf("%s is allowed, is never made, and no reason is given", c.Name)
		}
	}
	for nr := range refused {
		if !known[nr] {
			t.Errorf("call %d is made, and refused", nr)
		}
	}
}

// exercise makes a trace do what it does in its life, sampling above all: it lists a
// cgroup that has others in it, which the kills' own are for a moment only.
func exercise(t *testing.T, p *tracee, sampled func() bool) {
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	stays, err := h.Make(nil, "stays", workload.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stays.Remove(); err != nil {
			t.Error(err)
		}
	}()
	for range 3 {
		if err := overrunOnce("calls"); err != nil {
			t.Fatal(err)
		}
	}
	a := act(t, workload.Sleeper, 0)
	kill(t, a.PID)
	a.Wait()
	if address := regexp.MustCompile(`metrics on http://([^/]+)/metrics`).FindStringSubmatch(p.stderr.String()); address != nil {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		for _, path := range []string{"/metrics", "/healthz"} {
			resp, err := client.Get("http://" + address[1] + path)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = p.cmd.Process.Signal(syscall.SIGURG) // as the runtime does, to preempt
	time.Sleep(3 * time.Second)              // what is done now and then
	eventually(t, "a walk of the cgroups", p.ended, sampled)
	if strings.Contains(p.stderr.String(), "warning") {
		t.Error(p.stderr.String())
	}
}
