package container

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
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

// maxAnswer bounds an answer of a runtime, in bytes; 10 000 containers are about
// half of it.
const maxAnswer = 32 << 20

// cri speaks to a Kubernetes runtime: containerd, CRI-O, cri-dockerd.
type cri struct {
	*connection
	client runtime.RuntimeServiceClient
	name   string // "containerd", as the runtime calls itself
	full   string // with its version
}

func openCRI(path string) (*cri, error) {
	conn, err := connect(path)
	if err != nil {
		return nil, fmt.Errorf("open CRI client: %w", err)
	}
	return &cri{connection: conn, client: runtime.NewRuntimeServiceClient(conn.ClientConn)}, nil
}

// connection is gRPC over a socket.
type connection struct {
	*grpc.ClientConn
	// dialed is why the last connection failed: gRPC only tells it as text.
	dialed atomic.Pointer[error]
}

func connect(path string) (*connection, error) {
	c := &connection{}
	var err error
	c.ClientConn, err = grpc.NewClient("passthrough:///"+path,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "unix", path)
			c.dialed.Store(&err)
			return conn, err
		}),
		grpc.WithAuthority("localhost"),
		grpc.WithDisableServiceConfig(),
		grpc.WithReadBufferSize(8<<10), grpc.WithWriteBufferSize(4<<10),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	)
	return c, err
}

func (c *connection) close() { _ = c.Close() }

// failed prefers the reason of a connection that could not be made.
func (c *connection) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	if dialed := c.dialed.Load(); dialed != nil && *dialed != nil {
		return *dialed
	}
	return known(what, err)
}

func (c *cri) version() string { return c.full }

// hello learns the runtime's name.
func (c *cri) hello(ctx context.Context) error {
	c.ResetConnectBackoff()
	v, err := c.client.Version(ctx, &runtime.VersionRequest{})
	if err != nil {
		return c.failed("ask version", err)
	}
	c.name = text(v.GetRuntimeName())
	c.full = printable(v.GetRuntimeName() + " " + v.GetRuntimeVersion())
	return nil
}

func (c *cri) list(ctx context.Context, put func(*Info)) error {
	if err := c.hello(ctx); err != nil {
		return err
	}
	sandboxes, err := c.sandboxes(ctx, nil, put)
	if err != nil {
		return err
	}
	r, err := c.client.ListContainers(ctx, &runtime.ListContainersRequest{})
	if err != nil {
		return c.failed("list containers", err)
	}
	for _, ct := range r.GetContainers() {
		put(c.info(ct, sandboxes[ct.GetPodSandboxId()]))
	}
	return nil
}

// sandboxes lists pods, which alone have all labels.
func (c *cri) sandboxes(ctx context.Context, filter *runtime.PodSandboxFilter, put func(*Info)) (map[string]*PodInfo, error) {
	r, err := c.client.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{Filter: filter})
	if err != nil {
		return nil, c.failed("list pods", err)
	}
	out := make(map[string]*PodInfo, len(r.GetItems()))
	for _, s := range r.GetItems() {
		m := s.GetMetadata()
		p := &PodInfo{
			Namespace: text(m.GetNamespace()), Name: text(m.GetName()), UID: text(m.GetUid()),
			Labels: labels(s.GetLabels()),
		}
		out[s.GetId()] = p
		put(&Info{Container: oom.Container{ID: s.GetId(), Runtime: c.name}, Pod: p})
	}
	return out, nil
}

func (c *cri) info(ct *runtime.Container, pod *PodInfo) *Info {
	m := ct.GetMetadata()
	i := &Info{
		Container: oom.Container{
			ID: ct.GetId(), Name: text(m.GetName()), Image: imageName(ct.GetImage()), Runtime: c.name,
			RestartCount: oom.Some(uint64(m.GetAttempt())),
		},
		Pod: pod,
	}
	i.PodContainer = i.Name
	if pod == nil {
		i.Pod = labelled(ct.GetLabels())
	}
	return i
}

// labelled makes a pod of a container's labels; nil if there is none in them.
func labelled(l map[string]string) *PodInfo {
	if l[labelPodName] == "" && l[labelPodUID] == "" {
		return nil
	}
	return &PodInfo{Namespace: text(l[labelPodNamespace]), Name: text(l[labelPodName]), UID: text(l[labelPodUID])}
}

// imageName prefers the name that a person gave to the digest that kubelet made
// of it.
func imageName(i *runtime.ImageSpec) string {
	if s := i.GetUserSpecifiedImage(); s != "" {
		return text(s)
	}
	return text(i.GetImage())
}

func (c *cri) get(ctx context.Context, id string) (*Info, error) {
	if c.name == "" {
		if err := c.hello(ctx); err != nil {
			return nil, err
		}
	}
	r, err := c.client.ListContainers(ctx, &runtime.ListContainersRequest{Filter: &runtime.ContainerFilter{Id: id}})
	if err != nil {
		return nil, c.failed("ask for container", err)
	}
	for _, ct := range r.GetContainers() {
		if ct.GetId() != id {
			continue // filters take prefixes
		}
		i := c.info(ct, nil)
		sandboxes, err := c.sandboxes(ctx, &runtime.PodSandboxFilter{Id: ct.GetPodSandboxId()}, func(*Info) {})
		if p := sandboxes[ct.GetPodSandboxId()]; err == nil && p != nil {
			i.Pod = p
		}
		_ = c.detail(ctx, i) // names matter more than the limit
		return i, nil
	}
	var found *Info
	_, err = c.sandboxes(ctx, &runtime.PodSandboxFilter{Id: id}, func(i *Info) {
		if i.ID == id {
			found = i
		}
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, errNotFound
	}
	return found, nil
}

// detail adds the memory limit, and an image's name where the list had a digest.
func (c *cri) detail(ctx context.Context, i *Info) error {
	r, err := c.client.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: i.ID})
	if err != nil {
		return c.failed("ask container status", err)
	}
	s := r.GetStatus()
	if limit := s.GetResources().GetLinux().GetMemoryLimitInBytes(); limit > 0 {
		i.MemoryLimitBytes = oom.Some(uint64(limit))
	}
	if name := imageName(s.GetImage()); name != "" && (i.Image == "" || digest(i.Image)) {
		i.Image = name
	}
	return nil
}

// digest says that an image is named by its contents only.
func digest(s string) bool {
	return len(s) >= 64 && (s[:7] == "sha256:" || len(s) == 64)
}
