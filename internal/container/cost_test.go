package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	cri1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestHandedOut holds that a pod once handed out is not written to: readers have
// no lock. It is for the race detector. A pod is first told with its sandbox, and
// again with its containers.
func TestHandedOut(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	for n := range 50 {
		f.add(100+n, 200+n, "app")
	}
	f.serve(t, root+containerd)
	write(t, root+"/var/lib/kubelet/config.yaml", "swapBehavior: LimitedSwap\n")
	var pods [50]PodInfo
	for range 10 {
		c := open(t, Options{Root: root})
		for known := 0; known < len(pods); {
			known = 0
			for n := range pods {
				if i, ok := c.Lookup(id(100 + n)); ok && i.Pod != nil {
					pods[n] = *i.Pod
				}
				if _, ok := c.Lookup(id(200 + n)); ok {
					known++
				}
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if pods[0].SwapBehavior != "LimitedSwap" || pods[0].Name != "pod-100" {
		t.Errorf("%+v", pods[0])
	}
}

// rawCRI answers a runtime's lists with bytes.
type rawCRI struct {
	mu         sync.Mutex
	sandboxes  []byte
	containers []byte
}

func (r *rawCRI) serve(t testing.TB, path string) {
	t.Helper()
	l := listen(t, path)
	s := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.MaxSendMsgSize(1<<30))
	method := func(name string, answer func() []byte) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: name, Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request []byte
			if err := dec(&request); err != nil {
				return nil, err
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			return answer(), nil
		}}
	}
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "runtime.v1.RuntimeService", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{
		method("Version", func() []byte { return appendText(nil, versionName, "containerd") }),
		method("ListPodSandbox", func() []byte { return r.sandboxes }),
		method("ListContainers", func() []byte { return r.containers }),
	}}, r)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
}

// liveHeap gives what lives after a collection.
func liveHeap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestLiar holds that a runtime cannot make this process big: neither by items
// without end, nor by long texts, nor by new ones each time.
func TestLiar(t *testing.T) {
	one := func(n int, labels int) []byte {
		b := appendText(nil, sandboxID, id(n))
		b = appendText(b, sandboxMetadata, appendText(appendText(nil, sandboxMetaName, strings.Repeat("n", 2000)), sandboxMetaUID, uid(n)))
		for l := range labels {
			b = appendText(b, sandboxLabels, appendText(appendText(nil, mapKey, fmt.Sprintf("key-%d-%d", n, l)), mapValue, strings.Repeat("v", 200)))
		}
		return b
	}
	list := func(from, n, labels int) (out []byte) {
		for i := range n {
			out = appendText(out, listItem, one(from+i, labels))
		}
		return out
	}
	const most = 1000
	for _, tt := range []struct {
		name  string
		list  func(round int) []byte
		bound int // of what is kept, in bytes
	}{
		{"items that are empty", func(int) []byte { return []byte(strings.Repeat("\x0a\x00", 4<<20)) }, 1 << 20},
		{"many with many labels", func(int) []byte { return list(0, 5*most, 30) }, 10 << 20},
		{"others each time", func(round int) []byte { return list(round*most, 2*most, 10) }, 10 << 20},
		{"longer than may be", func(int) []byte { return make([]byte, maxAnswer+1) }, 1 << 20},
		{"an item longer than may be", func(int) []byte { return appendText(nil, listItem, make([]byte, maxItem+1)) }, 1 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := shortDir(t)
			r := &rawCRI{}
			r.serve(t, root+containerd)
			c := Open(t.Context(), Options{Root: root, Max: most, Interval: 10 * time.Millisecond})
			c.Ready(t.Context())
			for round := range 3 {
				answer := tt.list(round)
				r.mu.Lock()
				r.sandboxes, r.containers = answer, answer
				r.mu.Unlock()
				// The runtime's own copies of the answer are in the same heap.
				for range 20 {
					time.Sleep(5 * time.Millisecond)
					var m runtime.MemStats
					if runtime.ReadMemStats(&m); m.HeapAlloc > 400<<20 {
						t.Errorf("%d bytes at once", m.HeapAlloc)
					}
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if len(c.entries) > most || len(c.pods) > most {
				t.Errorf("%d containers, %d pods", len(c.entries), len(c.pods))
			}
			kept := liveHeap()
			runtime.KeepAlive(c)
			c = nil
			if kept -= liveHeap(); kept > tt.bound {
				t.Errorf("%d bytes are kept", kept)
			}
		})
	}
}

// TestLabelsHeld holds that the labels of all pods together are bounded, that the
// count of them follows every change, and that names are kept without them.
func TestLabelsHeld(t *testing.T) {
	c := newCache(t.Context(), Options{Max: 3000})
	s := &source{cache: c, rank: rankRuntime, local: true}
	pod := func(n, size int) *Info {
		return &Info{Pod: &PodInfo{UID: uid(n), Name: "pod", Labels: Labels{{"k", strings.Repeat("v", size-1)}}}}
	}
	count := func() (n int) {
		for _, p := range c.pods {
			n += p.info.Labels.bytes()
		}
		return n
	}
	for n := range 2000 {
		c.put(s, pod(n, 4<<10), false, true)
	}
	if c.labels != count() || c.labels != maxLabelsHeld {
		t.Errorf("%d bytes of labels, counted as %d", count(), c.labels)
	}
	if p, ok := c.Pod(uid(1999)); !ok || p.Name != "pod" || p.Labels != nil {
		t.Errorf("%+v", p)
	}
	c.put(s, &Info{Pod: &PodInfo{UID: uid(2500)}}, false, true)
	if p, ok := c.Pod(uid(2500)); !ok || p.UID != uid(2500) {
		t.Errorf("a pod that has an id only: %+v", p)
	}
	for n := range 500 { // others give room
		c.put(s, pod(n, 1<<10), false, true)
	}
	s.gen++
	c.put(s, pod(1999, 4<<10), false, true)
	if p, _ := c.Pod(uid(1999)); p.Labels == nil {
		t.Error("no labels, though there is room")
	}
	now := time.Now()
	c.listed(s, now)
	c.forget(now.Add(time.Hour))
	if c.labels != count() || c.labels != 4<<10 || len(c.pods) != 1 {
		t.Errorf("%d pods, %d bytes of labels, counted as %d", len(c.pods), count(), c.labels)
	}
}

// TestListMemory holds that to list 10 000 containers takes what is kept of them
// and little more: the whole program has 32 MiB.
func TestListMemory(t *testing.T) {
	const n = 10_000
	root := shortDir(t)
	r := &rawCRI{}
	for i := range n {
		labels := map[string]string{"app": "cart", "pod-template-hash": fmt.Sprintf("%x", i), labelPodName: "p", labelPodNamespace: "shop", labelPodUID: uid(i)}
		sandbox, err := proto.Marshal(&cri1.PodSandbox{Id: id(n + i), Labels: labels, Metadata: &cri1.PodSandboxMetadata{Name: fmt.Sprintf("cart-%d", i), Namespace: "shop", Uid: uid(i)}})
		if err != nil {
			t.Fatal(err)
		}
		ct, err := proto.Marshal(&cri1.Container{
			Id: id(i), PodSandboxId: id(n + i), Metadata: &cri1.ContainerMetadata{Name: "app"}, Labels: labels, Image: &cri1.ImageSpec{Image: "docker.io/shop/cart:1.4"},
			Annotations: map[string]string{"io.kubernetes.container.hash": strings.Repeat("8d2ed7f1", 100)},
		})
		if err != nil {
			t.Fatal(err)
		}
		r.sandboxes = appendText(r.sandboxes, listItem, sandbox)
		r.containers = appendText(r.containers, listItem, ct)
	}
	path := root + containerd
	r.serve(t, path)
	c := newCache(t.Context(), Options{Root: root})
	s := c.start(candidate{path: path, kind: "cri", local: true})
	<-s.first
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, ok := c.Lookup(id(n - 1)); !ok {
		t.Fatal("not listed")
	}
	kept := liveHeap()
	runtime.KeepAlive(c)
	c, s = nil, nil
	kept -= liveHeap()
	t.Logf("%d bytes of answers, %d kept", len(r.sandboxes)+len(r.containers), kept)
	if kept > n*1000 {
		t.Errorf("%d bytes a container", kept/n)
	}
}

// TestLocalFirst holds that a node in a container adds what it alone knows, and
// does not overrule this machine's own runtime.
func TestLocalFirst(t *testing.T) {
	root := shortDir(t)
	mine, node := &fakeCRI{}, &fakeCRI{}
	mine.add(1, 2, "app")
	node.add(1, 2, "lie")
	node.add(3, 4, "inner")
	node.sandboxes[0].Metadata.Name, node.sandboxes[0].Metadata.Namespace = "lie", "lies"
	node.sandboxes[0].Labels["lie"] = "lie"
	node.serve(t, root+"/proc/42/root"+containerd)
	write(t, root+"/proc/42/comm", "containerd\n")
	c := open(t, Options{Root: root, Interval: 20 * time.Millisecond})
	eventually(t, "the node is listed", func() bool { _, ok := c.Lookup(id(4)); return ok })
	if i, _ := c.Lookup(id(2)); i.Name != "lie" || !c.Nested() {
		t.Errorf("before: %+v", i)
	}
	mine.serve(t, root+containerd) // comes later
	eventually(t, "this machine's is believed", func() bool { i, _ := c.Lookup(id(2)); return i.Name == "app" })
	node.listedAgain(t, 3)
	mine.listedAgain(t, 3)
	i, _ := c.Lookup(id(2))
	p, _ := c.Pod(uid(1))
	if i.Name != "app" || i.Pod.Name != "pod-1" || p.Namespace != "shop" || p.Labels.Get("lie") != "" || i.Pod.Labels.Get("lie") != "" {
		t.Errorf("%+v of %+v", i, p)
	}
	if i, _ := c.Lookup(id(4)); i.Name != "inner" {
		t.Errorf("the node's own: %+v", i)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.foreign != 2 {
		t.Errorf("%d entries of nodes, want the container and its sandbox", c.foreign)
	}
}

// TestForeignShare holds that a node in a container cannot fill the cache.
func TestForeignShare(t *testing.T) {
	root := shortDir(t)
	mine, node := &fakeCRI{}, &fakeCRI{}
	for n := range 200 {
		node.add(1000+n, 2000+n, "node")
	}
	node.serve(t, root+"/proc/42/root"+containerd)
	write(t, root+"/proc/42/comm", "containerd\n")
	mine.serve(t, root+containerd)
	c := open(t, Options{Root: root, Max: 120})
	c.Ready(t.Context())
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.foreign > 10 || len(c.entries) > 10 {
		t.Errorf("%d entries of nodes, %d in all", c.foreign, len(c.entries))
	}
}

// TestDenied holds that nobody waits on when all that were asked have said twice
// that they do not know, and that one that hangs is not waited for again.
func TestDenied(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if c.Wait(ctx, id(1), "containerd") || ctx.Err() != nil {
		t.Error("waited until the end for what the runtime does not know")
	}
	if c.Wait(ctx, id(2), "buildkit") || ctx.Err() != nil {
		t.Error("waited for what nobody can know")
	}
	f.mu.Lock()
	f.hang = make(chan struct{})
	f.mu.Unlock()
	short, cancelShort := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancelShort()
	if c.Wait(short, id(3), "containerd") || !errors.Is(short.Err(), context.DeadlineExceeded) {
		t.Error("did not wait for a runtime that hangs")
	}
	if c.Wait(ctx, id(4), "containerd") || ctx.Err() != nil {
		t.Error("waited again for a runtime that hangs")
	}
	f.add(3, 4, "late")
	close(f.hang)
	eventually(t, "it is asked all the same", func() bool { _, ok := c.Lookup(id(4)); return ok })
	f.add(5, 6, "later")
	if !c.Wait(ctx, id(6), "containerd") {
		t.Error("not waited for after it answered")
	}
}

// TestResumed holds that a container that appears while its runtime hangs is
// known soon after the runtime goes on, and does not have to wait for a list.
func TestResumed(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root, Timeout: 50 * time.Millisecond, Interval: time.Hour})
	c.Ready(t.Context())
	hang := make(chan struct{})
	f.mu.Lock()
	f.hang = hang
	f.mu.Unlock()
	c.Seen(podPath(1, 2))
	eventually(t, "the hang is seen", func() bool { return !c.Sources()[0].OK })
	c.Seen(podPath(3, 4))
	f.mu.Lock()
	f.hang = nil
	f.mu.Unlock()
	close(hang)
	f.add(1, 2, "app")
	f.add(3, 4, "app")
	for n := range 2 {
		eventually(t, "it is known", func() bool { _, ok := c.Lookup(id(2 + 2*n)); return ok })
	}
}

// TestUnlisted holds that what a sleeping service told leaves in the end.
func TestUnlisted(t *testing.T) {
	root := shortDir(t)
	const api = "/v4.0.0/libpod"
	f := &fakeDocker{server: "Libpod/5.4.0 (linux)", answers: map[string]any{
		api + "/containers/" + id(1) + "/json": map[string]any{"Id": id(1), "Name": "db", "Pod": id(9)},
		api + "/pods/" + id(9) + "/json":       map[string]any{"Name": "stack"},
	}}
	f.serve(t, root+"/run/podman/podman.sock")
	c := open(t, Options{Root: root, Interval: 20 * time.Millisecond, Keep: 100 * time.Millisecond})
	c.Ready(t.Context())
	if !c.Wait(t.Context(), id(1), "podman") {
		t.Fatal("not known")
	}
	eventually(t, "both are gone", func() bool {
		_, ct := c.Lookup(id(1))
		_, pod := c.Pod(id(9))
		return !ct && !pod
	})
}

// TestEvicted holds who makes room for a container that is asked for: the one
// that is gone for the longest, and only without such the one that was not told
// of for the longest.
func TestEvicted(t *testing.T) {
	c := newCache(t.Context(), Options{Max: 4})
	s := &source{cache: c, rank: rankRuntime, local: true}
	put := func(n int) {
		if !c.put(s, &Info{Container: oom.Container{ID: id(n)}}, true, false) {
			t.Fatalf("no room for %d", n)
		}
		time.Sleep(time.Millisecond)
	}
	known := func() (out []int) {
		for n := range 20 {
			if _, ok := c.Lookup(id(n)); ok {
				out = append(out, n)
			}
		}
		return out
	}
	gone := func(n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.markGone(time.Now(), func(e *entry) bool { return e.info.ID == id(n) })
	}
	for n := range 4 {
		put(n)
	}
	gone(2)
	gone(0)
	put(2) // it is back
	for _, step := range []struct {
		put  int
		want string
	}{{5, "[1 2 3 5]"}, {6, "[2 3 5 6]"}, {7, "[2 5 6 7]"}} {
		if put(step.put); fmt.Sprint(known()) != step.want {
			t.Errorf("after %d: %v, want %s", step.put, known(), step.want)
		}
	}
	if c.put(s, &Info{Container: oom.Container{ID: id(8)}}, false, true) {
		t.Error("a list took a live one's room")
	}
}

// TestRestartCount holds that the restarts that Docker counts are those of now.
func TestRestartCount(t *testing.T) {
	root := shortDir(t)
	write(t, root+"/run/docker.pid", "1")
	kube := "k8s_app_pod-2_shop_" + uid(2) + "_4"
	labels := map[string]string{labelPodName: "pod-2", labelPodNamespace: "shop", labelPodUID: uid(2), labelContainerName: "app"}
	inspect := func(restarts, memory int) map[string]any {
		return map[string]any{"Id": id(1), "Name": "/web", "RestartCount": restarts, "HostConfig": map[string]any{"Memory": memory}}
	}
	f := &fakeDocker{server: "Docker/26.1.5 (linux)", answers: map[string]any{
		"/containers/json": []map[string]any{
			{"Id": id(1), "Names": []string{"/web"}}, {"Id": id(2), "Names": []string{"/" + kube}, "Labels": labels},
		},
		"/containers/" + id(1) + "/json": inspect(0, 64<<20),
		"/containers/" + id(2) + "/json": map[string]any{"Id": id(2), "Name": "/" + kube, "RestartCount": 0, "Config": map[string]any{"Labels": labels}},
	}}
	f.serve(t, root+"/run/docker.sock")
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	eventually(t, "the limit is known", func() bool { i, _ := c.Lookup(id(1)); return i.MemoryLimitBytes.Value == 64<<20 })
	f.mu.Lock()
	f.answers["/containers/"+id(1)+"/json"] = inspect(3, 0)
	f.mu.Unlock()
	time.Sleep(refreshPause + 100*time.Millisecond) // else it has just been told
	c.Seen("/docker/" + id(1) + "/inner")           // not the container's own cgroup
	c.Seen("/docker/" + id(1))
	eventually(t, "the restarts are known", func() bool { i, _ := c.Lookup(id(1)); return i.RestartCount.Value == 3 })
	if i, _ := c.Lookup(id(1)); i.MemoryLimitBytes.Known {
		t.Errorf("the limit was lifted: %+v", i)
	}
	eventually(t, "kubelet's attempt is known", func() bool { i, _ := c.Lookup(id(2)); return i.RestartCount.Value == 4 && i.PodContainer == "app" })
}

// TestStuckStat holds that a file system that hangs, in the root of a container,
// holds up neither the start nor the end, nor what is asked of this machine.
func TestStuckStat(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	f.serve(t, root+containerd)
	write(t, root+"/proc/42/comm", "containerd\n")
	stuck := make(chan struct{})
	c := newCache(t.Context(), Options{Root: root})
	c.stat = func(path string) (os.FileInfo, error) {
		if strings.HasPrefix(path, root+"/proc/42/") {
			<-stuck
		}
		return osStat(path)
	}
	c.wg.Add(1)
	go c.supervise()
	eventually(t, "the runtime is asked", func() bool { _, ok := c.Lookup(id(2)); return ok })
	c.Ready(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("Close hangs")
	}
	close(stuck)
}

// TestText holds that a long text is cut between characters.
func TestText(t *testing.T) {
	for _, in := range []string{strings.Repeat("ä", maxText), "x" + strings.Repeat("ä", maxText), strings.Repeat("x", 2*maxText)} {
		if out := text(in); len(out) < maxText-1 || len(out) > maxText || !strings.HasPrefix(in, out) {
			t.Errorf("%d bytes: %q", len(out), out)
		}
	}
}
