package container

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	cri1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestCRIO holds what is different about CRI-O: its name and its paths, images
// by their id in lists, and containers that no list has while they are created,
// though their cgroup may be there (server/container_list.go).
func TestCRIO(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{crio: true, limits: map[string]int64{id(2): 64 << 20}, unready: map[string]bool{id(4): true}}
	f.add(1, 2, "app")
	f.containers[0].Image = &cri1.ImageSpec{Image: id(7)}
	f.serve(t, root+"/run/crio/crio.sock")
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	eventually(t, "the details are known", func() bool { i, _ := c.Lookup(id(2)); return i.MemoryLimitBytes.Known })
	want := Info{
		Container: oom.Container{
			ID: id(2), Name: "app", Image: "docker.io/shop/cart:1.4", Runtime: "cri-o",
			RestartCount: oom.Some(uint64(3)), MemoryLimitBytes: oom.Some(uint64(64 << 20)),
		},
		PodContainer: "app",
		Pod:          &PodInfo{Namespace: "shop", Name: "pod-1", UID: uid(1), Labels: Labels{{"app", "app"}}},
	}
	got, _ := c.Lookup(id(2))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if s := c.Sources(); len(s) != 1 || s[0].Name != "cri-o 1.34.1" || !s[0].OK {
		t.Errorf("sources %+v", s)
	}

	f.add(3, 4, "late")
	pod := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod00000000_0000_0000_0000_000000000003.slice/crio-"
	f.mu.Lock()
	calls := f.calls["ListContainers"]
	f.mu.Unlock()
	c.Seen(pod + "conmon-" + id(4) + ".scope") // not the container: no question
	c.Seen(pod + id(4) + ".scope")
	c.Seen(pod + id(4) + ".scope/container")
	eventually(t, "it is asked for", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.calls["ListContainers"] > calls
	})
	if _, ok := c.Lookup(id(4)); ok {
		t.Fatal("known too soon")
	}
	f.mu.Lock()
	delete(f.unready, id(4))
	f.mu.Unlock()
	eventually(t, "it is known", func() bool { i, _ := c.Lookup(id(4)); return i.PodContainer == "late" })
	if !c.Wait(t.Context(), id(3), "cri-o") { // as the cgroupfs driver has it: crio-<id>
		t.Error("the sandbox is not known")
	}
	if i, _ := c.Lookup(id(3)); i.PodContainer != "" || i.Pod.Name != "pod-3" {
		t.Errorf("sandbox %+v", i)
	}
}
