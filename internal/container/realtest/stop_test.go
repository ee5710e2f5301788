//go:build hosttest || vmguest

package realtest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// ignores says that a process is hog and ignores SIGTERM by now.
func ignores(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || !strings.HasPrefix(string(b), "Name:\thog\n") {
		return false
	}
	_, ignored, ok := strings.Cut(string(b), "\nSigIgn:\t")
	ignored, _, _ = strings.Cut(ignored, "\n")
	mask, err := strconv.ParseUint(ignored, 16, 64)
	return ok && err == nil && mask&(1<<(syscall.SIGTERM-1)) != 0
}

// stopped holds the SIGKILL of a container's first process against what is true: one
// record, of the runtime's program that the container's engine started, which the
// default leaves out, and no kill of the OOM killer.
func (s *session) stopped(t *testing.T, pid int, id, program, startedBy string) {
	t.Helper()
	of := func() []sigkill {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.DeleteFunc(slices.Clone(s.sigkills), func(k sigkill) bool { return int(k.rec.Victim.PID.Value) != pid })
	}
	until(t, fmt.Sprintf("the SIGKILL of %d is seen", pid), func() bool { return len(of()) > 0 })
	all := of()
	k := all[0]
	if len(all) != 1 || k.byDefault || k.rec.Incident != "" || k.rec.Why.Verdict != "killed_by_runtime" {
		t.Errorf("%d records, by default %v, incident %q, %+v", len(all), k.byDefault, k.rec.Incident, k.rec.Why)
	}
	if c := k.rec.Victim.Container; c == nil || c.ID != id {
		t.Errorf("container %+v, want %s", c, id)
	}
	sender := k.rec.Sender
	if sender == nil {
		t.Fatalf("no sender, cause %s", k.rec.Cause)
	}
	isStarter := func(p oom.Parent) bool { return strings.HasPrefix(p.Comm, startedBy) }
	if sender.Program != program || sender.Role != oom.RoleRuntime || !slices.ContainsFunc(sender.Parents, isStarter) {
		t.Errorf("sender %s %s (%s), started by %v; want %s, started by %s", sender.Exe, sender.Comm, sender.Program, sender.Parents, program, startedBy)
	}
	if limit := k.rec.Limit; limit == nil || limit.MaxBytes.Value != 32*mib || !limit.UsageBytes.Known {
		t.Errorf("limit %+v", limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.kills, func(g got) bool { return int(g.rec.Victim.PID.Value) == pid }) {
		t.Error("taken for an OOM kill")
	}
}

// stubborn stops a container that does not end by itself, as kubelet does with that of
// a pod that is deleted.
func stubborn(t *testing.T, c *containerd, s *session) {
	p := mustPod(t, c, "shop", "stubborn", 0)
	ct := p.mustRun(t, "app", limit, "stay")
	pid := ct.process(t)
	s.knows(t, ct.path(), ct.id)
	if _, err := c.client.StopContainer(t.Context(), &cri.StopContainerRequest{ContainerId: ct.id, Timeout: 1}); err != nil {
		t.Fatal(err)
	}
	s.stopped(t, pid, ct.id, "runc", "containerd-shim")
}

// process is the container's, once it ignores SIGTERM.
func (ct *ctr) process(t *testing.T) (pid int) {
	t.Helper()
	until(t, "the process ignores SIGTERM", func() bool {
		b, err := os.ReadFile(filepath.Join(ct.pod.c.h.Root, ct.path(), "cgroup.procs"))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil && ignores(pid)
	})
	return pid
}
