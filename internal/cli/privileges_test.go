//go:build vmguest

package cli

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// serviceCapabilities are those of deploy/oomtrace.service and of the DaemonSet.
func serviceCapabilities() []uintptr {
	return []uintptr{
		unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYSLOG, unix.CAP_SYS_RESOURCE,
		unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH, unix.CAP_IPC_LOCK, unix.CAP_SYS_NICE,
	}
}

// TestPrivilegesOlderVictim kills a process that is older than the tracer: its
// command line can only be had from /proc, and that takes CAP_SYS_PTRACE.
func TestPrivilegesOlderVictim(t *testing.T) {
	less := slices.DeleteFunc(serviceCapabilities(), func(c uintptr) bool { return c == unix.CAP_SYS_PTRACE })
	for _, tt := range []struct {
		name string
		caps []uintptr
		want string
	}{
		{"as documented", serviceCapabilities(), "older --than oomtrace"},
		{"without CAP_SYS_PTRACE", less, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kill := killOlder(t, tt.caps)
			if kill.Victim.Cmdline != tt.want {
				t.Errorf("cmdline %q, want %q", kill.Victim.Cmdline, tt.want)
			}
			stack := kill.Trigger.KernelStack
			if !slices.ContainsFunc(stack, func(frame string) bool { return strings.HasPrefix(frame, "out_of_memory+0x") }) {
				t.Errorf("stack %q", stack)
			}
		})
	}
}

// killOlder lets a tracer with these capabilities and no other privilege see the
// kill of a process that was there before it.
func killOlder(t *testing.T, caps []uintptr) oom.Record {
	t.Helper()
	g, err := workload.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := g.Cgroup(nil, "older", workload.Limits{MaxBytes: 32 * mib, NoSwap: true})
	if err != nil {
		t.Fatal(err)
	}
	older := workload.Hog{
		Name: "older", Args: []string{"--than", "oomtrace"}, Procs: c.Procs(), Adj: 1000,
		Steps: []workload.Step{{Kind: workload.Anon, Bytes: 8 * mib}},
	}
	if p, err := g.Start(older); err != nil {
		t.Fatal(err)
	} else if err := p.Full(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := newTracee(t, "--source", "bpf", "--comm", "older", "-n", "1", "-o", "json")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}, AmbientCaps: caps}
	p.startReady()
	younger := workload.Hog{Name: "younger", Procs: c.Procs(), Steps: []workload.Step{{Kind: workload.Anon, Bytes: 64 * mib}}}
	if _, err := g.Start(younger); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	kills := p.kills()
	if len(kills) != 1 || kills[0].Victim == nil || kills[0].Trigger == nil || filepath.Base(kills[0].Victim.Cgroup) != "older" {
		t.Fatalf("not one kill in the cgroup: %+v", kills)
	}
	return kills[0]
}
