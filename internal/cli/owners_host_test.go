//go:build hosttest

package cli

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/container/crifake"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// TestHostOwners holds that each source asks for a container by its cgroup:
// the hooks when its cgroup is made, the kernel's log at the kill, and a log of
// the past while it is fresh.
func TestHostOwners(t *testing.T) {
	for n, tt := range []struct {
		name  string
		args  []string
		first bool // the kill comes before the start
	}{
		{name: "hooks"},
		{name: "kernel log", args: []string{"--source", "kmsg"}},
		{name: "since boot", args: []string{"--since-boot"}, first: true},
		{name: "kernel log since boot", args: []string{"--source", "kmsg", "--since-boot"}, first: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &crifake.Runtime{
				ID: fmt.Sprintf("%056x%08x", os.Getpid(), n), Container: "app", Image: "shop/cart:1.4", Namespace: "shop",
				Pod: "cart-7c9f", UID: "0f6a1c2e-5b1d-4a77-9a0b-3c5d7e9f1a2b", MemoryLimitBytes: 64 << 20,
			}
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Serve(l))
			kill := func() {
				if err := overrunOnce("cri-containerd-" + r.ID + ".scope"); err != nil {
					t.Fatal(err)
				}
			}
			if len(tt.args) > 0 { // what the log names, its report names
				time.Sleep(reportWindow + time.Second)
			}
			if tt.first {
				kill()
			}
			p := newTracee(t, append(tt.args, "-o", "json", "--enrich-wait", "10s", "--runtime-socket", l.Addr().String())...).startReady()
			if !tt.first {
				kill()
			}
			var rec oom.Record
			eventually(t, "the kill is written", nil, func() bool {
				all := p.kills()
				i := slices.IndexFunc(all, func(k oom.Record) bool { return k.Victim.Container != nil && k.Victim.Container.ID == r.ID })
				if i >= 0 {
					rec = all[i]
				}
				return i >= 0
			})
			v := rec.Victim
			if v.Container.Name != r.Container || v.Container.Image != r.Image || v.Container.Runtime != "containerd" ||
				v.Container.MemoryLimitBytes != oom.Some(uint64(64<<20)) {
				t.Errorf("container %+v", v.Container)
			}
			if v.Pod == nil || v.Pod.Name != r.Pod || v.Pod.Namespace != r.Namespace || v.Pod.UID != r.UID || v.Pod.Labels["app"] != r.Container {
				t.Errorf("pod %+v", v.Pod)
			}
			if len(rec.NamesMissing) > 0 {
				t.Errorf("names_missing %v", rec.NamesMissing)
			}
			p.interrupt()
		})
	}
}

// TestHostGreeting holds that the first line names the runtimes that know the containers
// which are there.
func TestHostGreeting(t *testing.T) {
	r := &crifake.Runtime{ID: fmt.Sprintf("%056x%08x", os.Getpid(), 9), UID: "0f6a1c2e-5b1d-4a77-9a0b-3c5d7e9f1a2b"}
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Serve(l))
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.Make(nil, "cri-containerd-"+r.ID+".scope", workload.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Remove() })
	p := newTracee(t, "--runtime-socket", l.Addr().String()).startReady()
	if got := p.stderr.String(); !strings.Contains(got, "; containerd") {
		t.Errorf("%s", got)
	}
	p.interrupt()
}
