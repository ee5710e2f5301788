//go:build vmguest

package realtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// shape is a place for a process as a runtime or systemd would make it, where
// there is none: real cgroups, a real kill, and a runtime that only answers.
type shape struct {
	name  string
	leaf  string // where the process is
	limit string // the cgroup at its limit
	level oom.Level
	// What is true of the victim; an empty name is one that nobody knows.
	runtime, container, pod string
	qos                     string
	outer, unit             string
	named                   bool
}

const (
	podUID    = "0f6a1c2e-5b1d-4a77-9a0b-3c5d7e9f1a2b"
	staticUID = "9f86d081884c7d659a2feaa0c55ad015"
)

var (
	idOne   = strings.Repeat("1a", 32)
	idTwo   = strings.Repeat("2b", 32)
	idOuter = strings.Repeat("3c", 32)
)

// shapes are the paths of systemd's cgroup driver and of CRI-O, whose real makers
// need a running systemd or are not in Debian; and each level up to the node.
func shapes() []shape {
	const (
		qos    = "/kubepods.slice/kubepods-burstable.slice"
		nested = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod"
	)
	uid := strings.ReplaceAll(podUID, "-", "_")
	pod := qos + "/kubepods-burstable-pod" + uid + ".slice"
	best := "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uid + ".slice"
	sure := "/kubepods.slice/kubepods-pod" + uid + ".slice"
	static := qos + "/kubepods-burstable-pod" + staticUID + ".slice"
	node := "/docker/" + idOuter
	ctd, crio := "/cri-containerd-"+idOne+".scope", "/crio-"+idTwo+".scope"
	containerd := shape{runtime: "containerd", container: idOne, pod: podUID, qos: "burstable", named: true, level: oom.LevelContainer}
	crioOne := shape{runtime: "cri-o", container: idTwo, pod: podUID, qos: "burstable", named: true, level: oom.LevelContainer}
	of := func(base shape, name, leaf, limit string, change func(*shape)) shape {
		base.name, base.leaf, base.limit = name, leaf, limit
		if change != nil {
			change(&base)
		}
		return base
	}
	level := func(l oom.Level) func(*shape) { return func(s *shape) { s.level = l } }
	return []shape{
		of(containerd, "containerd", pod+ctd, pod+ctd, nil),
		of(containerd, "containerd with crun", pod+ctd+"/container", pod+ctd, nil),
		of(containerd, "containerd with crun and the limit inside", pod+ctd+"/container", pod+ctd+"/container", nil),
		of(containerd, "pod limit", pod+ctd, pod, level(oom.LevelPod)),
		of(containerd, "qos limit", pod+ctd, qos, level(oom.LevelQoS)),
		of(containerd, "kubepods limit", pod+ctd, "/kubepods.slice", level(oom.LevelKubepods)),
		of(containerd, "guaranteed", sure+ctd, sure+ctd, func(s *shape) { s.qos = "guaranteed" }),
		of(containerd, "besteffort", best+ctd, best, func(s *shape) { s.qos, s.level = "besteffort", oom.LevelPod }),
		of(containerd, "static pod", static+ctd, static+ctd, func(s *shape) { s.pod, s.named = staticUID, false }),
		// What is in a container, this machine's runtimes do not speak for.
		of(containerd, "node in a container", node+nested+uid+".slice"+ctd, node+nested+uid+".slice", func(s *shape) { s.outer, s.level, s.named = idOuter, oom.LevelPod, false }),
		of(containerd, "limit of a node in a container", node+nested+uid+".slice"+ctd, node, func(s *shape) { s.outer, s.named = idOuter, false }),
		of(crioOne, "CRI-O", pod+crio, pod+crio, nil),
		of(crioOne, "CRI-O with crun", pod+crio+"/container", pod+crio, nil),
		of(crioOne, "CRI-O pod limit", pod+crio, pod, level(oom.LevelPod)),
		of(crioOne, "CRI-O with cgroupfs", "/kubepods/burstable/pod"+podUID+"/crio-"+idTwo, "/kubepods/burstable", level(oom.LevelQoS)),
		of(crioOne, "CRI-O's monitor", pod+"/crio-conmon-"+idTwo+".scope", pod, func(s *shape) { s.container, s.runtime, s.level = "", "", oom.LevelPod }),
		{name: "podman pod with a parent", leaf: "/tenants/" + idTwo + "/libpod-" + idOne, limit: "/tenants/" + idTwo, level: oom.LevelPod, runtime: "podman", container: idOne, pod: idTwo},
		{name: "service", leaf: "/system.slice/web.service", limit: "/system.slice/web.service", level: oom.LevelService, unit: "web.service"},
		{name: "part of a service", leaf: "/system.slice/web.service/job/step", limit: "/system.slice/web.service", level: oom.LevelService, unit: "web.service"},
		{name: "scope", leaf: "/user.slice/user-1000.slice/session-3.scope", limit: "/user.slice/user-1000.slice/session-3.scope", level: oom.LevelScope, unit: "session-3.scope"},
		{name: "slice", leaf: "/batch.slice/night.service", limit: "/batch.slice", level: oom.LevelSlice, unit: "night.service"},
		{name: "any other", leaf: "/default/web", limit: "/default", level: oom.LevelCgroup},
	}
}

// answers is a runtime that knows one container of a pod, and behaves as
// containerd or CRI-O do.
type answers struct {
	cri.UnimplementedRuntimeServiceServer
	name, version, id string
}

func (a *answers) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{Version: "0.1.0", RuntimeName: a.name, RuntimeVersion: a.version, RuntimeApiVersion: "v1"}, nil
}

func (a *answers) sandbox() string { return strings.Repeat("f", 60) + a.id[:4] }

func (a *answers) PodSandboxStatus(_ context.Context, r *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	if r.GetPodSandboxId() != a.sandbox() {
		return nil, status.Error(codes.NotFound, "no such sandbox")
	}
	return &cri.PodSandboxStatusResponse{Status: &cri.PodSandboxStatus{
		Id: a.sandbox(), Metadata: &cri.PodSandboxMetadata{Name: "cart-0", Namespace: "shop", Uid: podUID}, Labels: map[string]string{"app": "cart"},
	}}, nil
}

func (a *answers) ContainerStatus(_ context.Context, r *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	if r.GetContainerId() != a.id {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	out := &cri.ContainerStatusResponse{Status: &cri.ContainerStatus{
		Id: a.id, Metadata: &cri.ContainerMetadata{Name: "app"}, Image: &cri.ImageSpec{Image: "shop/cart:1"},
		Labels: map[string]string{"io.kubernetes.pod.name": "cart-0", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": podUID},
	}}
	if r.GetVerbose() {
		out.Info = map[string]string{"info": `{"sandboxID":"` + a.sandbox() + `"}`}
	}
	return out, nil
}

// serve answers on a socket until the test ends.
func (a *answers) serve(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	cri.RegisterRuntimeServiceServer(s, a)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return socket
}

// TestGuestOwners kills in all shapes.
func TestGuestOwners(t *testing.T) {
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	s := startSession(t,
		(&answers{name: "containerd", version: "v2.1.4", id: idOne}).serve(t),
		(&answers{name: "cri-o", version: "1.34.1", id: idTwo}).serve(t)).ready(t)
	for _, sh := range shapes() {
		t.Run(sh.name, func(t *testing.T) { sh.run(t, h, s) })
	}
}

func (sh *shape) run(t *testing.T, h workload.Hierarchy, s *session) {
	c := &containerd{h: h}
	if err := c.makeCgroup(sh.leaf, 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		top := filepath.Join(h.Root, strings.Split(sh.leaf, "/")[1])
		until(t, "the cgroups are removed", func() bool {
			removeTree(top)
			_, err := os.Stat(top)
			return err != nil
		})
	}()
	if err := os.WriteFile(filepath.Join(h.Root, sh.limit, limitFile(h)), []byte(strconv.Itoa(limit)), 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/hog", "wait", "200")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	// The test itself is not to be killed, and its children would inherit that.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Root, sh.leaf, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
	until(t, "the process listens", func() bool { return listens(pid) })
	var g got
	until(t, "the kill is seen", func() (ok bool) {
		_ = cmd.Process.Signal(syscall.SIGUSR1) // Go catches it before the program waits for it
		g, ok = s.ofProcess(pid)
		return ok
	})
	hasLevel(t, &g.rec, sh.level, sh.limit)
	if v := g.rec.Victim; v.Cgroup != sh.leaf {
		t.Errorf("cgroup %s", v.Cgroup)
	}
	sh.check(t, &g.rec.Victim.Owner)
	if g.rec.Trigger == nil {
		t.Fatal("no trigger")
	}
	sh.check(t, &g.rec.Trigger.Owner)
}

func limitFile(h workload.Hierarchy) string {
	if h.Version == 1 {
		return "memory.limit_in_bytes"
	}
	return "memory.max"
}

// check holds an owner against what is true.
func (sh *shape) check(t *testing.T, o *oom.Owner) {
	t.Helper()
	want := func(name, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	name := func(s string) string {
		if sh.named {
			return s
		}
		return ""
	}
	c, outer, pod := oom.Container{}, oom.Container{}, oom.Pod{}
	if o.Container != nil {
		c = *o.Container
	}
	if o.OuterContainer != nil {
		outer = *o.OuterContainer
	}
	if o.Pod != nil {
		pod = *o.Pod
	}
	want("container id", c.ID, sh.container)
	want("runtime", c.Runtime, sh.runtime)
	want("outer container", outer.ID, sh.outer)
	want("pod uid", pod.UID, sh.pod)
	want("qos", pod.QoS, sh.qos)
	if sh.pod == "" {
		want("unit", o.Unit, sh.unit)
	}
	want("pod", pod.Name, name("cart-0"))
	want("namespace", pod.Namespace, name("shop"))
	want("label", pod.Labels["app"], name("cart"))
	if sh.container != "" {
		want("container", c.Name, name("app"))
		want("container of pod", pod.Container, name("app"))
	}
}

// ofProcess gives the kill of a process.
func (s *session) ofProcess(pid int) (got, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.kills {
		if p := g.rec.Victim.PID; p.Known && int(p.Value) == pid {
			return g, true
		}
	}
	return got{}, false
}
