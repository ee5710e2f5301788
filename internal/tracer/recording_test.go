//go:build vmguest

package tracer

import (
	"os"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// recordings is where the guest hands out files to the host: with
// -guest.out DIR they are kept, and what is in testdata/wire is made anew.
const recordings = "/vm/out"

// podCgroups are a container's place on a Kubernetes node with systemd.
func podCgroups() []string {
	return []string{
		"kubepods.slice", "kubepods-burstable.slice", "kubepods-burstable-pod0f6a1b2c_3d4e_4f50_8a6b_7c8d9e0f1a2b.slice",
		"cri-containerd-00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff.scope",
	}
}

// TestGuestRecording keeps the bytes of a kill and of an exit as the ring has
// them, for tests and benchmarks that run anywhere.
func TestGuestRecording(t *testing.T) {
	protect(t)
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	var group *workload.Cgroup
	for _, name := range podCgroups() {
		parent, limits := group, workload.Limits{}
		if len(name) > 80 {
			limits = workload.Limits{MaxBytes: 64 * mib, NoSwap: true}
		}
		if group, err = h.Make(parent, name, limits); err != nil {
			t.Fatal(err)
		}
		made := group
		t.Cleanup(func() { _ = made.Remove() })
	}
	tr, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close() }()
	var running []*workload.Process
	for i := range 12 { // candidates, each with a little memory; the last one takes it all
		size := int64(i+1) * mib / 4
		if i == 11 {
			size = 128 * mib
		}
		p, err := workload.Start(workload.Hog{
			Name: "java", Args: []string{"-Xmx2g", "-jar", "/srv/cart.jar", "--spring.profiles.active=prod"}, Procs: group.Procs(),
			Steps: []workload.Step{{Kind: workload.Anon, Bytes: size}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Stop() }()
		if i < 11 {
			if err := p.Full(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		running = append(running, p)
	}
	if _, err := running[11].Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	keepBytes(t, tr, map[string]bool{"kill": true, "exit": true})
}

// keepBytes writes the bytes of the first record of each kind.
func keepBytes(t *testing.T, tr *Tracer, want map[string]bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for len(want) > 0 && time.Now().Before(deadline) {
		rec, err := tr.ring.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var ev wire.Event
		if err := ev.Decode(rec.Bytes, &tr.machine); err != nil {
			t.Fatal(err)
		}
		if kind := string(ev.Record.Kind); want[kind] {
			delete(want, kind)
			if err := os.WriteFile(recordings+"/"+kind+".ring", rec.Bytes, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		tr.ring.Done()
	}
}
