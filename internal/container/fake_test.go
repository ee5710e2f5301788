package container

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// id makes a container id of a number.
func id(n int) string { return fmt.Sprintf("%064x", n) }

func uid(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012x", n) }

// fakeCRI is a runtime that knows what it is told.
type fakeCRI struct {
	cri1.UnimplementedRuntimeServiceServer
	mu         sync.Mutex
	containers []*cri1.Container
	sandboxes  []*cri1.PodSandbox
	limits     map[string]int64
	hang       chan struct{} // every call waits for it, if set
	calls      map[string]int
	// crio makes it behave as CRI-O does, otherwise as containerd.
	crio    bool
	unready map[string]bool // containers that CRI-O is still creating
}

// listedAgain waits until all containers have been listed n more times.
func (f *fakeCRI) listedAgain(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.calls["ListContainers"]
	}
	// The last one's answer may still be on its way.
	was := count()
	eventually(t, "it was listed again", func() bool { return count() > was+n })
}

func (f *fakeCRI) enter(ctx context.Context, call string) error {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[call]++
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *fakeCRI) add(sandbox, ct int, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sandboxes = append(f.sandboxes, &cri1.PodSandbox{
		Id:       id(sandbox),
		Metadata: &cri1.PodSandboxMetadata{Name: fmt.Sprintf("pod-%d", sandbox), Namespace: "shop", Uid: uid(sandbox)},
		Labels: map[string]string{
			"app": name, labelPodName: fmt.Sprintf("pod-%d", sandbox), labelPodNamespace: "shop", labelPodUID: uid(sandbox),
		},
	})
	f.containers = append(f.containers, &cri1.Container{
		Id: id(ct), PodSandboxId: id(sandbox), Metadata: &cri1.ContainerMetadata{Name: name, Attempt: 3},
		Image: &cri1.ImageSpec{Image: "sha256:" + id(7)},
		Labels: map[string]string{
			labelContainerName: name, labelPodName: fmt.Sprintf("pod-%d", sandbox), labelPodNamespace: "shop", labelPodUID: uid(sandbox),
		},
		Annotations: map[string]string{"io.kubernetes.container.hash": "8d2ed7f1", "io.kubernetes.container.terminationMessagePath": "/dev/termination-log"},
	})
}

func (f *fakeCRI) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.containers, f.sandboxes = nil, nil
}

func (f *fakeCRI) Version(ctx context.Context, _ *cri1.VersionRequest) (*cri1.VersionResponse, error) {
	r := &cri1.VersionResponse{Version: "0.1.0", RuntimeName: "containerd", RuntimeVersion: "v2.1.4", RuntimeApiVersion: "v1"}
	if f.crio {
		r.RuntimeName, r.RuntimeVersion = "cri-o", "1.34.1"
	}
	return r, f.enter(ctx, "Version")
}

func (f *fakeCRI) ListContainers(ctx context.Context, r *cri1.ListContainersRequest) (*cri1.ListContainersResponse, error) {
	if err := f.enter(ctx, "ListContainers"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &cri1.ListContainersResponse{}
	for _, c := range f.containers {
		if want := r.GetFilter().GetId(); (want == "" || strings.HasPrefix(c.Id, want)) && !f.unready[c.Id] {
			out.Containers = append(out.Containers, c)
		}
	}
	return out, nil
}

func (f *fakeCRI) ListPodSandbox(ctx context.Context, r *cri1.ListPodSandboxRequest) (*cri1.ListPodSandboxResponse, error) {
	if err := f.enter(ctx, "ListPodSandbox"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &cri1.ListPodSandboxResponse{}
	for _, s := range f.sandboxes {
		if want := r.GetFilter().GetId(); want == "" || s.Id == want {
			out.Items = append(out.Items, s)
		}
	}
	return out, nil
}

func (f *fakeCRI) ContainerStatus(ctx context.Context, r *cri1.ContainerStatusRequest) (*cri1.ContainerStatusResponse, error) {
	if err := f.enter(ctx, "ContainerStatus"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.containers {
		if c.Id == r.ContainerId {
			return &cri1.ContainerStatusResponse{Status: &cri1.ContainerStatus{
				Id: c.Id, Image: &cri1.ImageSpec{Image: "docker.io/shop/cart:1.4"},
				Resources: &cri1.ContainerResources{Linux: &cri1.LinuxContainerResources{MemoryLimitInBytes: f.limits[c.Id]}},
			}}, nil
		}
	}
	return nil, status.Error(codes.NotFound, "no such container")
}

// serve answers CRI on a socket until the returned function is called.
func (f *fakeCRI) serve(t testing.TB, path string) (stop func()) {
	t.Helper()
	_ = os.Remove(path)
	l := listen(t, path)
	s := grpc.NewServer()
	cri1.RegisterRuntimeServiceServer(s, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	stop = sync.OnceFunc(func() {
		s.Stop()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

func listen(t testing.TB, path string) net.Listener {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fakeDocker answers some of Docker's or podman's API.
type fakeDocker struct {
	server  string // the header
	answers map[string]any
	mu      sync.Mutex
	asked   []string
}

func (f *fakeDocker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked = append(f.asked, r.URL.Path)
	f.mu.Unlock()
	w.Header().Set("Server", f.server)
	if r.URL.Path == "/_ping" {
		_, _ = w.Write([]byte("OK"))
		return
	}
	f.mu.Lock()
	a, ok := f.answers[r.URL.Path]
	f.mu.Unlock()
	if !ok {
		http.Error(w, `{"message":"no such thing"}`, http.StatusNotFound)
		return
	}
	if s, ok := a.(string); ok {
		_, _ = w.Write([]byte(s))
		return
	}
	_ = json.NewEncoder(w).Encode(a)
}

func (f *fakeDocker) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func (f *fakeDocker) serve(t testing.TB, path string) {
	t.Helper()
	l := listen(t, path)
	s := &http.Server{Handler: f, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
}

// shortDir is a temporary directory whose path leaves room for a socket's name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ct")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// warnings collects what a cache warns of.
type warnings struct {
	mu  sync.Mutex
	all []string
}

func (w *warnings) add(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, s)
}

func (w *warnings) get() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.all...)
}

// open opens a cache, and closes it at the end of the test.
func open(t testing.TB, o Options) *Cache {
	t.Helper()
	c := Open(context.Background(), o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// eventually waits for something that happens in another goroutine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not so in a minute: %s", what)
}

// noLeak holds that a function gives back its goroutines and descriptors.
func noLeak(t *testing.T, f func()) {
	t.Helper()
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	f()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		g, d := runtime.NumGoroutine(), descriptors(t)
		if g <= goroutines && d <= fds {
			return
		}
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, were %d; %d descriptors, were %d\n%s", g, goroutines, d, fds, buf[:runtime.Stack(buf, true)])
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func podPath(sandbox, ct int) string {
	return "/kubepods.slice/kubepods-pod" + strings.ReplaceAll(uid(sandbox), "-", "_") + ".slice/cri-containerd-" + id(ct) + ".scope"
}
