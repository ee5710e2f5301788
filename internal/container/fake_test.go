package container

import (
	"context"
	"encoding/json"
	"errors"
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

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	cri1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/cgroup"
)

// id makes a container id of a number.
func id(n int) string { return fmt.Sprintf("%064x", n) }

func uid(n int) string { return fmt.Sprintf("00000000-0000-0000-0000-%012x", n) }

// fakeCRI is a runtime that knows what it is told.
type fakeCRI struct {
	cri1.UnimplementedRuntimeServiceServer
	mu         sync.Mutex
	containers map[string]*cri1.ContainerStatus
	sandboxOf  map[string]string // of each container
	sandboxes  map[string]*cri1.PodSandboxStatus
	calls      map[string]int // by the call, and by the id
	// crio makes it behave as CRI-O does, otherwise as containerd.
	crio bool
	// misbehave is asked before each answer, if set.
	misbehave func(ctx context.Context, id string) error
	// change is shown each answer before it is given, if set.
	change func(*cri1.ContainerStatusResponse)
}

func (f *fakeCRI) enter(ctx context.Context, call, id string) error {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[call]++
	f.calls[id]++
	bad := f.misbehave
	f.mu.Unlock()
	if bad != nil {
		return bad(ctx, id)
	}
	return nil
}

func (f *fakeCRI) count(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[what]
}

func (f *fakeCRI) set(misbehave func(context.Context, string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.misbehave = misbehave
}

func (f *fakeCRI) add(sandbox, ct int, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.containers == nil {
		f.containers, f.sandboxes, f.sandboxOf = map[string]*cri1.ContainerStatus{}, map[string]*cri1.PodSandboxStatus{}, map[string]string{}
	}
	pod := fmt.Sprintf("pod-%d", sandbox)
	f.sandboxes[id(sandbox)] = &cri1.PodSandboxStatus{
		Id: id(sandbox), Metadata: &cri1.PodSandboxMetadata{Name: pod, Namespace: "shop", Uid: uid(sandbox)},
		Labels: map[string]string{"app": name, labelPodName: pod, labelPodNamespace: "shop", labelPodUID: uid(sandbox)},
	}
	f.sandboxOf[id(ct)] = id(sandbox)
	f.containers[id(ct)] = &cri1.ContainerStatus{
		Id: id(ct), Metadata: &cri1.ContainerMetadata{Name: name, Attempt: 3},
		Image: &cri1.ImageSpec{Image: "docker.io/shop/cart:1.4"}, ImageRef: "docker.io/shop/cart@sha256:" + id(8), ImageId: "sha256:" + id(7),
		Labels:      map[string]string{labelContainerName: name, labelPodName: pod, labelPodNamespace: "shop", labelPodUID: uid(sandbox)},
		Annotations: map[string]string{"io.kubernetes.container.hash": "8d2ed7f1", "io.kubernetes.container.terminationMessagePath": "/dev/termination-log"},
		Resources:   &cri1.ContainerResources{Linux: &cri1.LinuxContainerResources{MemoryLimitInBytes: 64 << 20}},
	}
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
	return r, f.enter(ctx, "Version", "")
}

func (f *fakeCRI) PodSandboxStatus(ctx context.Context, r *cri1.PodSandboxStatusRequest) (*cri1.PodSandboxStatusResponse, error) {
	if err := f.enter(ctx, "PodSandboxStatus", r.PodSandboxId); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sandboxes[r.PodSandboxId]
	if s == nil {
		return nil, status.Error(codes.NotFound, "no such sandbox")
	}
	return &cri1.PodSandboxStatusResponse{Status: proto.CloneOf(s)}, nil
}

func (f *fakeCRI) ContainerStatus(ctx context.Context, r *cri1.ContainerStatusRequest) (*cri1.ContainerStatusResponse, error) {
	if err := f.enter(ctx, "ContainerStatus", r.ContainerId); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[r.ContainerId]
	if c == nil {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	// Each answer has its own: grpc writes it once the lock is gone.
	out := &cri1.ContainerStatusResponse{Status: proto.CloneOf(c)}
	if r.Verbose {
		out.Info = map[string]string{"info": fmt.Sprintf(`{"sandboxID":%q,"pid":7,"runtimeSpec":{"ociVersion":"1.2.1"}}`, f.sandboxOf[r.ContainerId])}
	}
	if f.change != nil {
		f.change(out)
	}
	return out, nil
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

// listenAs listens as another user where this one is root.
func listenAs(t testing.TB, uid int, root, path string) net.Listener {
	t.Helper()
	if os.Geteuid() != 0 {
		return listen(t, path)
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Chmod(root, 0o755), os.Chown(filepath.Dir(path), uid, uid)); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // the thread's effective id: what the kernel notes of who listens
	defer runtime.UnlockOSThread()
	become := func(euid int) {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(euid), ^uintptr(0)); errno != 0 {
			t.Fatal(errno)
		}
	}
	become(uid)
	defer become(0)
	return listen(t, path)
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
	f.serveAt(t, listen(t, path))
}

func (f *fakeDocker) serveAt(t testing.TB, l net.Listener) {
	t.Helper()
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

// tree makes cgroups below a root.
func tree(t testing.TB, root string, paths ...string) {
	t.Helper()
	write(t, root+"/proc/self/mountinfo", "1 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	write(t, root+"/sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	for _, p := range paths {
		if err := os.MkdirAll(root+"/sys/fs/cgroup"+p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// process makes a containerd of root's below a root, in the initial user namespace.
func process(t testing.TB, root string, pid int, cgroup string) (dir string) {
	t.Helper()
	dir = fmt.Sprintf("%s/proc/%d", root, pid)
	write(t, dir+"/comm", "containerd\n")
	write(t, dir+"/status", "Name:\tcontainerd\nUid:\t0\t0\t0\t0\n")
	write(t, dir+"/cgroup", "0::"+cgroup+"\n")
	link(t, initialUserNS, dir+"/ns/user")
	return dir
}

// link makes a symbolic link, in place of one that is there.
func link(t testing.TB, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(path)
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// lookup is Lookup, by a path that names one container.
func (c *Cache) lookup(path string) (Info, bool) {
	return c.Lookup(path, cgroup.Parse(path).Owner.Container.ID)
}

func podPath(sandbox, ct int) string {
	return "/kubepods.slice/kubepods-pod" + strings.ReplaceAll(uid(sandbox), "-", "_") + ".slice/cri-containerd-" + id(ct) + ".scope"
}
