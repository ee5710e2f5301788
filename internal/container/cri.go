package container

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// The labels by which kubelet tells the runtime whose a container is
// (pkg/kubelet/types/labels.go).
const (
	labelPodName       = "io.kubernetes.pod.name"
	labelPodNamespace  = "io.kubernetes.pod.namespace"
	labelPodUID        = "io.kubernetes.pod.uid"
	labelContainerName = "io.kubernetes.container.name"
)

// cri speaks to a Kubernetes runtime: containerd, CRI-O, cri-dockerd.
type cri struct {
	client
	who atomic.Pointer[criVersion]
}

// criVersion is a runtime's name and version.
type criVersion struct{ name, full string }

func (c *cri) version() string {
	if v := c.who.Load(); v != nil {
		return v.full
	}
	return ""
}

// service gives the runtime's calls.
func (c *cri) service() (runtime.RuntimeServiceClient, error) {
	conn, err := c.client.get()
	return runtime.NewRuntimeServiceClient(conn), err
}

// hello learns the runtime's name.
func (c *cri) hello(ctx context.Context) error {
	s, err := c.service()
	if err != nil {
		return err
	}
	v, err := s.Version(ctx, &runtime.VersionRequest{})
	if err != nil {
		return c.refused(ctx, "ask version", err, ErrNoRuntime)
	}
	name := word(v.RuntimeName)
	c.who.Store(&criVersion{name: name, full: printable(name + " " + v.RuntimeVersion)})
	return nil
}

// get asks for a container, or for the sandbox of a pod with that id.
func (c *cri) get(ctx context.Context, id string) (*Info, error) {
	if c.who.Load() == nil {
		if err := c.hello(ctx); err != nil {
			return nil, err
		}
	}
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	r, err := s.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: id})
	if err == nil {
		return c.info(r.GetStatus()), nil
	}
	if err = c.refused(ctx, "ask container status", err, ErrNoRuntime); !errors.Is(err, errNotFound) {
		return nil, err
	}
	pod, err := c.sandbox(ctx, id)
	if err != nil {
		return nil, err
	}
	return &Info{Container: oom.Container{ID: id, Runtime: c.who.Load().name}, Pod: pod, whole: true}, nil
}

// info reads one container. Its labels have all of its pod but the pod's own
// labels.
func (c *cri) info(st *runtime.ContainerStatus) *Info {
	l := st.GetLabels()
	i := &Info{Container: oom.Container{
		ID: st.GetId(), Name: word(st.GetMetadata().GetName()), Runtime: c.who.Load().name,
		RestartCount: oom.Some(uint64(st.GetMetadata().GetAttempt())),
	}, Pod: labelled(l)}
	i.PodContainer = i.Name
	i.Image, i.ImageID = imageNames(st)
	if limit := st.GetResources().GetLinux().GetMemoryLimitInBytes(); limit > 0 {
		i.MemoryLimitBytes = oom.Some(uint64(limit))
	}
	return i
}

// imageNames prefers the name that a person gave: CRI-O and kubelet put ids and
// digests where others have names.
func imageNames(st *runtime.ContainerStatus) (name, id string) {
	image := st.GetImage()
	for _, s := range [...]string{image.GetUserSpecifiedImage(), image.GetImage(), st.GetImageRef()} {
		if s != "" && !digest(s) {
			name = s
			break
		}
	}
	for _, s := range [...]string{st.GetImageId(), image.GetImage(), st.GetImageRef()} {
		if digest(s) {
			id = s
			break
		}
	}
	if name == "" {
		name = id
	}
	return word(name), word(id)
}

// digest says that an image is named by its contents only.
func digest(s string) bool {
	hex := strings.TrimPrefix(s, "sha256:")
	return len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// sandbox asks for a pod by its sandbox, which alone has all labels.
func (c *cri) sandbox(ctx context.Context, id string) (*PodInfo, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	r, err := s.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: id})
	if err != nil {
		return nil, c.refused(ctx, "ask pod status", err, ErrNoRuntime)
	}
	st := r.GetStatus()
	if st.GetId() != id {
		return nil, errNotFound // beginnings of ids are answered too
	}
	m := st.GetMetadata()
	return &PodInfo{
		Namespace: word(m.GetNamespace()), Name: text(m.GetName()), UID: text(m.GetUid()), Labels: labelsOf(st.GetLabels()),
	}, nil
}

// pod asks for a container's pod. Only the verbose answer names the sandbox, in
// words of the runtime's own that containerd and CRI-O share.
func (c *cri) pod(ctx context.Context, id string) (*PodInfo, error) {
	s, err := c.service()
	if err != nil {
		return nil, err
	}
	r, err := s.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: id, Verbose: true})
	if err != nil {
		return nil, c.refused(ctx, "ask container status", err, ErrNoRuntime)
	}
	var v struct {
		SandboxID string `json:"sandboxID"`
	}
	if err := json.Unmarshal([]byte(r.GetInfo()["info"]), &v); err != nil || !plausible(v.SandboxID) {
		return nil, errNotFound
	}
	pod, err := c.sandbox(ctx, v.SandboxID)
	if err == nil && pod.UID != r.GetStatus().GetLabels()[labelPodUID] {
		return nil, errNotFound
	}
	return pod, err
}
