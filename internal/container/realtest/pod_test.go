//go:build hosttest || vmguest

package realtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const mib = 1 << 20

// pod is a pod as kubelet would ask for it, without a network.
type pod struct {
	c       *containerd
	config  *cri.PodSandboxConfig
	sandbox string
	cgroup  string // below the hierarchy's root

	mu         sync.Mutex
	containers []*ctr
	removed    bool
}

// ctr is a container of a pod.
type ctr struct {
	pod  *pod
	name string
	id   string
}

// newUID makes a uid as Kubernetes has them.
func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// runPod makes and starts a pod; limit is the memory of its own cgroup in bytes,
// 0 for none.
func (c *containerd) runPod(ctx context.Context, namespace, name string, limit int64) (*pod, error) {
	uid := newUID()
	p := &pod{c: c, cgroup: "/kubepods/burstable/pod" + uid}
	p.config = &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Uid: uid, Namespace: namespace},
		Labels: map[string]string{
			"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.uid": uid,
			"app": "real-" + name,
		},
		LogDirectory: c.logs(),
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: p.cgroup,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER},
			},
		},
	}
	if err := c.makeCgroup(p.cgroup, limit); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.pods = append(c.pods, p)
	c.mu.Unlock()
	r, err := c.client.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config})
	if err != nil {
		return nil, fmt.Errorf("run pod %s: %w", name, err)
	}
	p.sandbox = r.GetPodSandboxId()
	return p, nil
}

// makeCgroup makes the cgroup of a pod, as kubelet does.
func (c *containerd) makeCgroup(path string, limit int64) error {
	dir := c.h.Root
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		if c.h.Version == 2 {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+memory +pids"), 0); err != nil {
				return fmt.Errorf("make cgroup: %w", err)
			}
		}
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("make cgroup: %w", err)
		}
	}
	if limit == 0 {
		return nil
	}
	file := "memory.max"
	if c.h.Version == 1 {
		file = "memory.limit_in_bytes"
	}
	return os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatInt(limit, 10)), 0)
}

// create makes a container, which runs hog with the arguments once it is
// started; limit is its memory in bytes, 0 for none.
func (p *pod) create(ctx context.Context, name string, limit int64, unified map[string]string, args ...string) (*ctr, error) {
	r, err := p.c.client.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: p.sandbox, SandboxConfig: p.config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: name, Attempt: 3},
			Image:    &cri.ImageSpec{Image: hogImage},
			Args:     args,
			LogPath:  logName(p, name),
			Labels: map[string]string{
				"io.kubernetes.pod.name": p.config.Metadata.Name, "io.kubernetes.pod.namespace": p.config.Metadata.Namespace,
				"io.kubernetes.pod.uid": p.config.Metadata.Uid, "io.kubernetes.container.name": name,
			},
			Linux: &cri.LinuxContainerConfig{Resources: &cri.LinuxContainerResources{
				MemoryLimitInBytes: limit, OomScoreAdj: 900, Unified: unified,
			}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("create container %s: %w", name, err)
	}
	ct := &ctr{pod: p, name: name, id: r.GetContainerId()}
	p.mu.Lock()
	p.containers = append(p.containers, ct)
	p.mu.Unlock()
	return ct, nil
}

// logName is a container's log in the directory of all.
func logName(p *pod, container string) string {
	return p.config.Metadata.Uid + "-" + container + ".log"
}

// path is the container's cgroup.
func (ct *ctr) path() string { return ct.pod.cgroup + "/" + ct.id }

func (ct *ctr) start(ctx context.Context) error {
	_, err := ct.pod.c.client.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: ct.id})
	if err != nil {
		return fmt.Errorf("start container %s: %w", ct.name, err)
	}
	return nil
}

// run makes and starts a container.
func (p *pod) run(ctx context.Context, name string, limit int64, args ...string) (*ctr, error) {
	ct, err := p.create(ctx, name, limit, nil, args...)
	if err != nil {
		return nil, err
	}
	return ct, ct.start(ctx)
}

// state is what the runtime says of a container now.
func (ct *ctr) state(ctx context.Context) (cri.ContainerState, error) {
	r, err := ct.pod.c.client.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: ct.id})
	return r.GetStatus().GetState(), err
}

// describe tells all that the runtime says of a container, for a failed test.
func (ct *ctr) describe() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := ct.pod.c.client.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: ct.id})
	if err != nil {
		return err.Error()
	}
	s := r.GetStatus()
	return fmt.Sprintf("%v, exit code %d, %s %s", s.GetState(), s.GetExitCode(), s.GetReason(), s.GetMessage())
}

// exited waits until the runtime has noticed that a container has ended.
func (ct *ctr) exited(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		s, err := ct.state(ctx)
		if err != nil || s == cri.ContainerState_CONTAINER_EXITED {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// remove removes an ended container.
func (ct *ctr) remove(ctx context.Context) error {
	_, err := ct.pod.c.client.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: ct.id})
	return err
}

// remove stops and removes a pod with its containers, once.
func (p *pod) remove(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.removed || p.sandbox == "" {
		return nil
	}
	if _, err := p.c.client.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.sandbox}); err != nil {
		return err
	}
	if _, err := p.c.client.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.sandbox}); err != nil {
		return err
	}
	p.removed = true
	return nil
}

// listens says that a process is hog and handles SIGUSR1: before, it is runc, or
// the signal would end it.
func listens(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || !strings.HasPrefix(string(b), "Name:\thog\n") {
		return false
	}
	_, caught, ok := strings.Cut(string(b), "\nSigCgt:\t")
	caught, _, _ = strings.Cut(caught, "\n")
	mask, err := strconv.ParseUint(caught, 16, 64)
	return ok && err == nil && mask&(1<<(syscall.SIGUSR1-1)) != 0
}

// overrun tells a container that waits to take its memory, if it listens. An error says that the container is gone.
func (ct *ctr) overrun() error {
	b, err := os.ReadFile(filepath.Join(ct.pod.c.h.Root, ct.pod.cgroup, ct.id, "cgroup.procs"))
	if err != nil {
		return err
	}
	for pid := range strings.FieldsSeq(string(b)) {
		if n, err := strconv.Atoi(pid); err == nil && n > 1 && listens(n) {
			_ = syscall.Kill(n, syscall.SIGUSR1) // it may just have died
			return nil
		}
	}
	return nil
}

// mustPod and its like are for a test's own goroutine.
func mustPod(t *testing.T, c *containerd, namespace, name string, limit int64) *pod {
	t.Helper()
	p, err := c.runPod(t.Context(), namespace, name, limit)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pod) mustRun(t *testing.T, name string, limit int64, args ...string) *ctr {
	t.Helper()
	ct, err := p.run(t.Context(), name, limit, args...)
	if err != nil {
		t.Fatal(err)
	}
	return ct
}
