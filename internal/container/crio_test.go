package container

import (
	"strings"
	"testing"

	cri1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestCRIO holds what is different about CRI-O: its name and its paths, images by
// their id, containers that it does not know while it creates them, and pods whose
// sandbox has no cgroup.
func TestCRIO(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{crio: true}
	f.add(1, 2, "app")
	f.containers[id(2)].Image = &cri1.ImageSpec{Image: id(7), UserSpecifiedImage: "rig.example/hog:1"}
	f.containers[id(2)].ImageRef, f.containers[id(2)].ImageId = "rig.example/hog@sha256:"+id(8), id(7)
	f.serve(t, root+"/run/crio/crio.sock")
	pod := func(sandbox int) string {
		return "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(uid(sandbox), "-", "_") + ".slice/crio-"
	}
	tree(t, root, pod(1)+id(2)+".scope/container")
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	path := pod(1) + id(2) + ".scope"
	eventually(t, "the labels are known", func() bool { i, _ := c.lookup(path); return i.Pod != nil && i.Pod.Labels != nil })
	want := Info{
		Container: oom.Container{
			ID: id(2), Name: "app", Image: "rig.example/hog:1", ImageID: id(7), Runtime: "cri-o",
			RestartCount: oom.Some(uint64(3)), MemoryLimitBytes: oom.Some(uint64(64 << 20)),
		},
		PodContainer: "app",
		Pod:          &PodInfo{Namespace: "shop", Name: "pod-1", UID: uid(1), Labels: Labels{{"app", "app"}}},
	}
	got, _ := c.lookup(path)
	if d := cmpInfo(want, got); d != "" {
		t.Error(d)
	}
	if s := c.Sources(); len(s) != 1 || s[0].Name != "cri-o 1.34.1" || !s[0].OK {
		t.Errorf("sources %+v", s)
	}

	calls := f.count("ContainerStatus")
	c.Seen(pod(3) + "conmon-" + id(4) + ".scope") // not the container: no question
	c.Seen(pod(3) + id(4) + ".scope")
	c.Seen(pod(3) + id(4) + ".scope/container")
	eventually(t, "it is asked for", func() bool { return f.count("ContainerStatus") > calls })
	if _, ok := c.lookup(pod(3) + id(4) + ".scope"); ok {
		t.Fatal("known too soon")
	}
	f.add(3, 4, "late")
	eventually(t, "it is known", func() bool { i, _ := c.lookup(pod(3) + id(4) + ".scope"); return i.PodContainer == "late" })
	if !c.Wait(t.Context(), pod(3)+id(3), id(3)) { // as the cgroupfs driver has it: crio-<id>
		t.Error("the sandbox is not known")
	}
	if i, _ := c.lookup(pod(3) + id(3)); i.PodContainer != "" || i.Pod.Name != "pod-3" {
		t.Errorf("sandbox %+v", i)
	}
}

// TestImageNames holds which of a status's names is the image's.
func TestImageNames(t *testing.T) {
	digest := "sha256:" + id(7)
	for name, tt := range map[string]struct {
		in       *cri1.ContainerStatus
		want, id string
	}{
		"name":           {&cri1.ContainerStatus{Image: &cri1.ImageSpec{Image: "a:1"}}, "a:1", ""},
		"asked for":      {&cri1.ContainerStatus{Image: &cri1.ImageSpec{Image: digest, UserSpecifiedImage: "a:1"}, ImageId: digest}, "a:1", digest},
		"digest by name": {&cri1.ContainerStatus{Image: &cri1.ImageSpec{Image: id(7)}, ImageRef: "a@" + digest}, "a@" + digest, id(7)},
		"digest only":    {&cri1.ContainerStatus{ImageRef: digest}, digest, digest},
		"nothing":        {&cri1.ContainerStatus{}, "", ""},
	} {
		if got, i := imageNames(tt.in); got != tt.want || i != tt.id {
			t.Errorf("%s: %q %q, want %q %q", name, got, i, tt.want, tt.id)
		}
	}
}
