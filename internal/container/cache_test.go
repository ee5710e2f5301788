package container

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const containerd = "/run/containerd/containerd.sock"

func cmpInfo(want, got Info) string {
	got.parent, got.whole, want.parent, want.whole = "", false, "", false
	return cmp.Diff(want, got, cmp.AllowUnexported(Info{}))
}

// TestRuntimes: of the machine itself, each once, whatever kubelet's sources are called.
func TestRuntimes(t *testing.T) {
	c := &Cache{sources: []*source{
		{kind: kindState, ok: true}, {kind: kindLogs, ok: true}, {kind: kindPods, ok: true, name: "kubelet Pods API"},
		{kind: kindCRI, ok: true, name: "containerd v2.1.0"}, {kind: kindDocker, name: "docker 26.1.5"},
		{kind: kindPodman, ok: true, name: "evil", domain: domain{user: oom.Some(uint32(1000))}},
	}}
	if got := c.Runtimes(); !slices.Equal(got, []string{"containerd", "kubelet"}) {
		t.Errorf("%q", got)
	}
}

// TestStart holds that what is there at the start is known once the cache is ready.
func TestStart(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	f.serve(t, root+containerd)
	tree(t, root, podPath(1, 1), podPath(1, 2)+"/container", "/system.slice/cron.service")
	write(t, root+"/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\nmemorySwap:\n  # swapBehavior: NoSwap\n  swapBehavior: LimitedSwap\n")
	write(t, root+kubeletRoots[0]+allocatedState, `{"data":"{\"entries\":{\"`+uid(1)+`\":{\"ContainerResources\":{\"app\":{\"requests\":{\"memory\":\"32Mi\"},\"limits\":{\"memory\":\"1Gi\"}}},`+
		`\"PodLevelResources\":{\"requests\":{\"memory\":\"40Mi\"},\"limits\":{\"memory\":\"80Mi\"}}}}}","checksum":1}`)
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	pod := &PodInfo{
		Namespace: "shop", Name: "pod-1", UID: uid(1), SwapBehavior: "LimitedSwap", Labels: Labels{{"app", "app"}},
		MemoryRequestBytes: oom.Some(uint64(40 << 20)), MemoryLimitBytes: oom.Some(uint64(80 << 20)),
	}
	want := Info{
		Container: oom.Container{
			ID: id(2), Name: "app", Image: "docker.io/shop/cart:1.4", ImageID: "sha256:" + id(7), Runtime: "containerd", RestartCount: oom.Some(uint64(3)),
			MemoryRequestBytes: oom.Some(uint64(32 << 20)), MemoryLimitBytes: oom.Some(uint64(64 << 20)),
		},
		PodContainer: "app", Pod: pod,
	}
	got, _ := c.lookup(podPath(1, 2))
	if d := cmpInfo(want, got); d != "" {
		t.Error(d)
	}
	if got, _ := c.Lookup(podPath(1, 2)+"/container", id(2)); got.Name != "app" {
		t.Errorf("below its scope: %+v", got)
	}
	sandbox, ok := c.lookup(podPath(1, 1))
	if !ok || sandbox.PodContainer != "" || sandbox.Pod.Name != "pod-1" {
		t.Errorf("sandbox %+v", sandbox)
	}
	if p, ok := c.Pod(podPath(1, 2), uid(1)); !ok || p.Name != "pod-1" {
		t.Errorf("pod %+v", p)
	}
	s := c.Sources()
	if len(s) != 2 || s[0].Name != "containerd v2.1.4" || !s[0].OK || s[0].Err != nil || s[0].Containers != 1 {
		t.Errorf("sources %+v", s)
	}
	for _, n := range []int{1, 2} { // each is asked for once, the pod's labels included
		if got := f.count(id(n)); got > 2 {
			t.Errorf("id %d was asked for %d times", n, got)
		}
	}
}

// TestSeen holds that a container that the runtime learns of only after its
// cgroup is there is known soon after, and stays known when it is removed.
func TestSeen(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	c.Seen(podPath(1, 2))
	eventually(t, "it is asked for more than once", func() bool { return f.count(id(2)) > 4 })
	if _, ok := c.lookup(podPath(1, 2)); ok {
		t.Fatal("known too soon")
	}
	f.add(1, 2, "app")
	eventually(t, "the container is known", func() bool { i, ok := c.lookup(podPath(1, 2)); return ok && i.Pod.Labels.Get("app") == "app" })
	f.clear()
	c.Seen(podPath(1, 2))
	if i, ok := c.lookup(podPath(1, 2)); !ok || i.Pod == nil {
		t.Errorf("after its removal: %+v", i)
	}
}

// TestDelays holds how long a container goes on to be asked for.
func TestDelays(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	start := time.Now()
	c.Seen(podPath(1, 2))
	time.Sleep(250 * time.Millisecond) // 0, 5, 25 and 105 ms, and not yet 405
	if n := f.count("ContainerStatus"); n < 3 || n > 4 && time.Since(start) < 400*time.Millisecond {
		t.Errorf("asked %d times", n)
	}
}

// TestLateRuntime holds that a runtime that comes up after the cache is looked for
// when its first container's cgroup appears.
func TestLateRuntime(t *testing.T) {
	for name, before := range map[string]func(root string){
		"no socket": func(string) {},
		"stale socket": func(root string) {
			listen(t, root+containerd)
			_ = os.Remove(root + containerd)
			refuse(t, root+containerd)
		},
		"logs only": func(root string) { write(t, root+logLinks+"/rubbish", "") },
	} {
		t.Run(name, func(t *testing.T) {
			root := shortDir(t)
			before(root)
			if name != "logs only" {
				tree(t, root)
			}
			c := open(t, Options{Root: root, Interval: time.Hour})
			c.Ready(t.Context())
			f := &fakeCRI{}
			f.add(1, 2, "app")
			f.serve(t, root+containerd)
			if name != "logs only" { // without a tree, what was seen is asked for again
				tree(t, root, podPath(1, 2))
			}
			start := time.Now()
			c.Seen(podPath(1, 2))
			eventually(t, "it is known", func() bool { i, _ := c.lookup(podPath(1, 2)); return i.Name == "app" })
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("after %v", d)
			}
		})
	}
}

func TestWait(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	f.add(1, 2, "app")
	for range 2 {
		if !c.Wait(t.Context(), podPath(1, 2), id(2)) {
			t.Error("a container that the runtime has is not known")
		}
	}
	if i, _ := c.lookup(podPath(1, 2)); i.Pod == nil || i.Pod.Labels.Get("app") != "app" {
		t.Errorf("without labels: %+v", i.Pod)
	}
	start := time.Now()
	for _, path := range []string{podPath(1, 3), "/machine.slice/libpod-" + id(3) + ".scope", "/x"} {
		if c.Wait(t.Context(), path, id(3)) {
			t.Errorf("%s: an unknown container is known", path)
		}
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("waited %v though no source knows", d)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, e := range c.entries {
		if e.waiter != nil {
			t.Error("a waiter is left")
		}
	}
}

// TestRestart holds that a runtime that dies keeps its containers known, warns
// once, and is asked again when it is back.
func TestRestart(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	stop := f.serve(t, root+containerd)
	var w warnings
	c := open(t, Options{Root: root, Warn: w.add})
	c.Ready(t.Context())
	if !c.Wait(t.Context(), podPath(1, 2), id(2)) {
		t.Fatal("not known")
	}
	stop()
	c.Seen(podPath(3, 4))
	eventually(t, "it fails", func() bool { return !c.Sources()[0].OK })
	time.Sleep(200 * time.Millisecond)
	if _, ok := c.lookup(podPath(1, 2)); !ok {
		t.Error("forgotten while the runtime is down")
	}
	if n := len(w.get()); n != 1 {
		t.Errorf("%d warnings: %q", n, w.get())
	}
	f.add(3, 4, "new")
	f.serve(t, root+containerd)
	eventually(t, "it is asked again", func() bool { _, ok := c.lookup(podPath(3, 4)); return ok })
}

// TestHang holds that a runtime that stops answering holds up nothing.
func TestHang(t *testing.T) {
	root := shortDir(t)
	hang := make(chan struct{})
	f := &fakeCRI{misbehave: func(ctx context.Context, _ string) error {
		select {
		case <-hang:
		case <-ctx.Done():
		}
		return ctx.Err()
	}}
	f.serve(t, root+containerd)
	f.add(1, 2, "app")
	write(t, root+"/var/log/containers/pod-9_shop_web-"+id(9)+".log", "")
	var w warnings
	c := open(t, Options{Root: root, Timeout: 500 * time.Millisecond, Warn: w.add})
	c.Ready(t.Context())
	start := time.Now()
	for n := range 5000 {
		c.Seen(podPath(1, 100+n))
	}
	// Were each to wait for one call, it would be minutes.
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("5000 containers seen in %v", d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if !c.Wait(ctx, podPath(8, 9), id(9)) {
		t.Error("another source was held up")
	}
	eventually(t, "a warning", func() bool { return len(w.get()) == 1 })
	time.Sleep(time.Second) // two more time out
	if n := len(w.get()); n != 1 {
		t.Errorf("%d warnings: %q", n, w.get())
	}
	close(hang)
	eventually(t, "it recovers", func() bool { c.Seen(podPath(1, 2)); _, ok := c.lookup(podPath(1, 2)); return ok })
}

// TestBadSockets holds that sockets that are no runtime cost a warning, no
// stall and no leak.
func TestBadSockets(t *testing.T) {
	for _, name := range []string{"bad.sock", "docker.sock"} {
		for kind, answer := range map[string]func(net.Conn){
			"mute":    func(net.Conn) { time.Sleep(10 * time.Millisecond) },
			"rubbish": func(c net.Conn) { _, _ = c.Write([]byte(strings.Repeat("\x1b[31mrubbish\n", 100))) },
			"html":    func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")) },
			"closes":  func(c net.Conn) { _ = c.Close() },
			"hangs":   nil,
			"absent":  nil,
			"refuses": nil,
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				noLeak(t, func() {
					path := filepath.Join(shortDir(t), name)
					if kind != "absent" {
						stop := badServer(t, path, answer)
						if kind == "refuses" {
							stop()
							refuse(t, path)
						}
						defer stop()
					}
					var w warnings
					root := shortDir(t)
					c := Open(t.Context(), Options{Root: root, Sockets: []string{"unix://" + path}, Timeout: 50 * time.Millisecond, Warn: w.add})
					c.Ready(t.Context())
					c.Seen("/docker/" + id(1))
					c.Seen(podPath(1, 2))
					time.Sleep(250 * time.Millisecond)
					if err := c.Close(); err != nil {
						t.Error(err)
					}
					if got := w.get(); len(got) != 1 || strings.ContainsAny(got[0], "\x1b\n") {
						t.Errorf("warnings %q", got)
					}
					if s := c.Sources(); len(s) != 1 || s[0].OK || s[0].Err == nil {
						t.Errorf("sources %+v", s)
					}
				})
			})
		}
	}
}

// badServer accepts and answers as told; nil keeps connections without a word.
func badServer(t *testing.T, path string, answer func(net.Conn)) (stop func()) {
	l := listen(t, path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			if answer != nil {
				answer(c)
			}
			open = append(open, c)
		}
		for _, c := range open {
			_ = c.Close()
		}
	}()
	return func() {
		_ = l.Close()
		<-done
	}
}

// refuse leaves a socket that no process listens to.
func refuse(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = os.Remove(path)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Close(fd)
}

// TestQuiet holds that sockets that were not asked for do not warn where nothing
// serves them, and that no service is connected to before one of its containers is
// seen.
func TestQuiet(t *testing.T) {
	root := shortDir(t)
	l := listen(t, root+containerd)
	_ = l.Close()
	if err := os.MkdirAll(root+"/run/crio", 0o755); err != nil {
		t.Fatal(err)
	}
	refuse(t, root+"/run/crio/crio.sock")
	podman := &fakeDocker{server: "Libpod/5.4.0 (linux)"}
	podman.serve(t, root+"/run/podman/podman.sock")
	docker := &fakeDocker{server: "Docker/26.1 (linux)"}
	docker.serve(t, root+"/run/docker.sock")
	tree(t, root, podPath(1, 2))
	var w warnings
	c := open(t, Options{Root: root, Interval: 20 * time.Millisecond, Warn: w.add})
	c.Ready(t.Context())
	c.Seen(podPath(1, 3))
	time.Sleep(100 * time.Millisecond)
	if got := w.get(); len(got) != 0 {
		t.Errorf("warnings %q", got)
	}
	if podman.count()+docker.count() != 0 {
		t.Error("a sleeping service was woken")
	}
}

func TestDocker(t *testing.T) {
	root := shortDir(t)
	kube := map[string]string{labelPodName: "pod-2", labelPodNamespace: "shop", labelPodUID: uid(2), labelContainerName: "app"}
	f := &fakeDocker{server: "Docker/26.1.5 (linux)", answers: map[string]any{
		"/containers/" + id(1) + "/json": map[string]any{"Id": id(1), "Name": "/web", "RestartCount": 2, "Image": "sha256:" + id(7), "Config": map[string]any{"Image": "nginx:1.27"}, "HostConfig": map[string]any{"Memory": 128 << 20}},
		"/containers/" + id(2) + "/json": map[string]any{"Id": id(2), "Name": "/k8s_app_pod-2_shop_" + uid(2) + "_4", "RestartCount": 0, "Config": map[string]any{"Labels": kube}},
		"/containers/" + id(3) + "/json": map[string]any{"Id": id(3), "Name": "/late", "Config": map[string]any{"Image": "late:1"}, "HostConfig": map[string]any{"Memory": 0, "CgroupParent": "/tenants/one"}},
		"/containers/" + id(4) + "/json": map[string]any{"Id": id(5), "Name": "/another"},
	}}
	f.serve(t, root+"/run/docker.sock")
	tree(t, root, "/docker/"+id(1), "/kubepods/pod"+uid(2)+"/"+id(2))
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	want := Info{Container: oom.Container{
		ID: id(1), Name: "web", Image: "nginx:1.27", ImageID: "sha256:" + id(7), Runtime: "docker",
		MemoryLimitBytes: oom.Some(uint64(128 << 20)), RestartCount: oom.Some(uint64(2)),
	}}
	got, _ := c.lookup("/docker/" + id(1))
	if d := cmpInfo(want, got); d != "" {
		t.Error(d)
	}
	i, _ := c.lookup("/kubepods/pod" + uid(2) + "/" + id(2))
	if i.PodContainer != "app" || i.Pod == nil || i.Pod.Name != "pod-2" || i.RestartCount.Value != 4 {
		t.Errorf("kubelet's container: %+v", i)
	}
	c.Seen("/tenants/one/" + id(3))
	eventually(t, "the new one is known", func() bool { i, _ := c.lookup("/tenants/one/" + id(3)); return i.Name == "late" })
	if i, ok := c.lookup("/tenants/two/" + id(3)); ok {
		t.Errorf("below another parent than it was started with: %+v", i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if c.Wait(ctx, "/docker/"+id(4), id(4)) {
		t.Error("an answer for another container was taken")
	}
	if s := c.Sources(); s[0].Name != "docker 26.1.5" {
		t.Errorf("sources %+v", s)
	}
}

// TestRestartCount holds that the restarts that Docker counts are those of now: a
// container that starts again has its cgroup made again.
func TestRestartCount(t *testing.T) {
	root := shortDir(t)
	inspect := func(restarts, memory int) map[string]any {
		return map[string]any{"Id": id(1), "Name": "/web", "RestartCount": restarts, "HostConfig": map[string]any{"Memory": memory}}
	}
	f := &fakeDocker{server: "Docker/26.1.5 (linux)", answers: map[string]any{"/containers/" + id(1) + "/json": inspect(0, 64<<20)}}
	f.serve(t, root+"/run/docker.sock")
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	if !c.Wait(t.Context(), "/docker/"+id(1), id(1)) {
		t.Fatal("not known")
	}
	f.mu.Lock()
	f.answers["/containers/"+id(1)+"/json"] = inspect(3, 0)
	f.mu.Unlock()
	time.Sleep(refreshPause + 100*time.Millisecond) // else it has just been told
	c.Seen("/docker/" + id(1))
	eventually(t, "the restarts are known", func() bool { i, _ := c.lookup("/docker/" + id(1)); return i.RestartCount.Value == 3 })
	if i, _ := c.lookup("/docker/" + id(1)); i.MemoryLimitBytes.Known {
		t.Errorf("the limit was lifted: %+v", i)
	}
}

func TestPodman(t *testing.T) {
	root := shortDir(t)
	const api = "/v4.0.0/libpod"
	f := &fakeDocker{server: "Libpod/5.4.0 (linux)", answers: map[string]any{
		api + "/containers/" + id(1) + "/json": map[string]any{"Id": id(1), "Name": "db", "ImageName": "postgres:17", "Image": id(7), "Pod": id(9), "RestartCount": 0, "HostConfig": map[string]any{"Memory": 1 << 30}},
		api + "/pods/" + id(9) + "/json":       map[string]any{"Name": "stack"},
	}}
	f.serve(t, root+"/run/podman/podman.sock")
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	path := "/machine.slice/machine-libpod_pod_" + id(9) + ".slice/libpod-" + id(1) + ".scope"
	if !c.Wait(t.Context(), path+"/container", id(1)) {
		t.Fatal("not known")
	}
	want := Info{
		Container: oom.Container{
			ID: id(1), Name: "db", Image: "postgres:17", ImageID: id(7), Runtime: "podman",
			MemoryLimitBytes: oom.Some(uint64(1 << 30)), RestartCount: oom.Some(uint64(0)),
		},
		PodContainer: "db", Pod: &PodInfo{UID: id(9), Name: "stack"},
	}
	got, _ := c.lookup(path)
	if d := cmpInfo(want, got); d != "" {
		t.Error(d)
	}
}

func TestFiles(t *testing.T) {
	root := shortDir(t)
	link(t, "/var/log/pods/shop_cart-1_"+uid(1)+"/app/0.log", root+logLinks+"/cart-1_shop_app-"+id(1)+".log")
	write(t, root+logLinks+"/rubbish.log", "")
	write(t, root+dockerFiles+"/"+id(2)+"/config.v2.json", `{"ID":"`+id(2)+`","Name":"/web","Image":"sha256:`+id(70)+`","Config":{"Image":"nginx","Labels":null},"RestartCount":1}`)
	write(t, root+dockerFiles+"/"+id(2)+"/hostconfig.json", `{"Memory":1048576}`)
	write(t, root+dockerFiles+"/"+id(8)+"/config.v2.json", `{"ID":`)
	store := root + "/var/lib/containers/storage/overlay-containers"
	write(t, store+"/containers.json", `[{"id":"`+id(3)+`","names":["db"],"image":"`+id(70)+`","metadata":"{\"image-name\":\"postgres:17\",\"name\":\"db\"}"},
		{"id":"`+id(4)+`","names":["k8s_app_cart-2_shop_`+uid(4)+`_0"],"metadata":"{\"image-name\":\"cart:1\"}"}]`)
	write(t, store+"/volatile-containers.json", `[{"id":"`+id(5)+`","names":["tmp"],"metadata":"rubbish"}]`)
	write(t, root+"/var/lib/nerdctl/1935db59/names/default/box", id(6)+"\n")
	podman := func(n int) string { return "/machine.slice/libpod-" + id(n) + ".scope" }
	paths := map[int]string{
		1: podPath(1, 1), 2: "/docker/" + id(2), 3: podman(3), 4: "/kubepods/pod" + uid(4) + "/crio-" + id(4), 5: podman(5),
		6: "/system.slice/nerdctl-" + id(6) + ".scope", 8: "/docker/" + id(8),
	}
	for _, p := range paths {
		tree(t, root, p)
	}
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	for n, want := range map[int]Info{
		1: {Container: oom.Container{ID: id(1), Name: "app", Runtime: "containerd"}, PodContainer: "app", Pod: &PodInfo{Namespace: "shop", Name: "cart-1", UID: uid(1)}},
		2: {Container: oom.Container{ID: id(2), Name: "web", Image: "nginx", ImageID: "sha256:" + id(70), Runtime: "docker", MemoryLimitBytes: oom.Some(uint64(1 << 20)), RestartCount: oom.Some(uint64(1))}},
		3: {Container: oom.Container{ID: id(3), Name: "db", Image: "postgres:17", ImageID: id(70), Runtime: "podman"}},
		4: {Container: oom.Container{ID: id(4), Name: "app", Image: "cart:1", Runtime: "cri-o", RestartCount: oom.Some(uint64(0))}, PodContainer: "app", Pod: &PodInfo{Namespace: "shop", Name: "cart-2", UID: uid(4)}},
		5: {Container: oom.Container{ID: id(5), Name: "tmp", Runtime: "podman"}},
		6: {Container: oom.Container{ID: id(6), Name: "box", Runtime: "nerdctl"}},
	} {
		got, _ := c.lookup(paths[n])
		if d := cmpInfo(want, got); d != "" {
			t.Errorf("container %d: %s", n, d)
		}
	}
	write(t, store+"/volatile-containers.json", `[{"id":"`+id(7)+`","names":["later"],"metadata":"{}"}]`)
	write(t, root+dockerFiles+"/"+id(10)+"/config.v2.json", `{"ID":"`+id(10)+`","Name":"/new"}`)
	if !c.Wait(t.Context(), podman(7), id(7)) || !c.Wait(t.Context(), "/docker/"+id(10), id(10)) {
		t.Error("a new container is not known")
	}
}

// TestBounded holds that the cache does not grow without end, and which container
// makes room: the one that was not asked for for the longest.
func TestBounded(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	for n := range 300 {
		f.add(1000+n, 2000+n, strings.Repeat("long", 1000))
	}
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root, Max: 100})
	c.Ready(t.Context())
	for n := range 300 {
		c.Seen(podPath(1000, 2000)) // still there
		if !c.Wait(t.Context(), podPath(1000+n, 2000+n), id(2000+n)) {
			t.Fatalf("container %d is not known", n)
		}
	}
	for n, want := range map[int]bool{2000: true, 2150: false, 2299: true} {
		if _, ok := c.lookup(podPath(n-1000, n)); ok != want {
			t.Errorf("container %d: known %v", n, ok)
		}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) > 100 || len(c.pods) > 100 || len(c.recent[0].all) != len(c.entries) || len(c.recentPods[0].all) != len(c.pods) {
		t.Errorf("%d containers, %d pods", len(c.entries), len(c.pods))
	}
	for _, e := range c.entries {
		if e.info != nil && len(e.info.Name) > maxText {
			t.Errorf("a name of %d bytes", len(e.info.Name))
		}
	}
}

func TestNoLeak(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	f.serve(t, root+containerd)
	d := &fakeDocker{server: "Docker/26 (linux)"}
	d.serve(t, root+"/run/docker.sock")
	tree(t, root, podPath(1, 2))
	noLeak(t, func() {
		for range 5 {
			c := Open(t.Context(), Options{Root: root, Interval: 10 * time.Millisecond})
			c.Ready(t.Context())
			for n := range 50 {
				c.Seen(podPath(1, 100+n))
				c.Seen("/docker/" + id(200+n))
			}
			time.Sleep(30 * time.Millisecond)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if _, ok := c.lookup(podPath(1, 2)); !ok {
				t.Error("unknown after Close")
			}
		}
	})
}

// TestIdle holds that a connection that nothing is asked over is given back.
func TestIdle(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	before := descriptors(t)
	if !c.Wait(t.Context(), podPath(1, 2), id(2)) {
		t.Fatal("not known")
	}
	if descriptors(t) == before {
		t.Fatal("no connection")
	}
	eventually(t, "the connection is closed", func() bool { return descriptors(t) == before })
}

func TestQuantity(t *testing.T) {
	for in, want := range map[string]oom.Opt[uint64]{
		`"256Mi"`: oom.Some(uint64(256 << 20)), `"1.5G"`: oom.Some(uint64(1500000000)), `"1e9"`: oom.Some(uint64(1000000000)),
		`1024`: oom.Some(uint64(1024)), `"0"`: oom.Some(uint64(0)), `"128000m"`: oom.Some(uint64(128)), `"1E"`: oom.Some(uint64(1e18)),
		`"128001m"`: oom.Some(uint64(129)), `"1.5"`: oom.Some(uint64(2)), `"1n"`: oom.Some(uint64(1)), // fractions of a byte are rounded up
		`""`: {}, `"x"`: {}, `"1Zi"`: {}, `"-1"`: {}, `"99E99"`: {}, `"16Ei"`: {}, `null`: {}, `"NaN"`: {},
	} {
		if got := quantity([]byte(in)); got != want {
			t.Errorf("%s: %+v, want %+v", in, got, want)
		}
	}
}

func TestGrants(t *testing.T) {
	one := grant{request: oom.Some(uint64(1 << 20)), limit: oom.Some(uint64(2 << 20))}
	for name, tt := range map[string]struct {
		data string
		want map[grantKey]grant
	}{
		"1.33": {`{"allocationEntries":{"u":{"c":{"requests":{"memory":"1Mi"},"limits":{"memory":"2Mi"}}}}}`, map[grantKey]grant{{"u", "c"}: one}},
		"current": {`{"entries":{"u":{"ContainerResources":{"c":{"requests":{"memory":"1Mi","cpu":"1"},"limits":{"memory":"2Mi"}}}}},"podList":"AAAA"}`,
			map[grantKey]grant{{"u", "c"}: one}},
		"of the pod": {`{"entries":{"u":{"ContainerResources":{"c":{}},"PodLevelResources":{"requests":{"memory":"1Mi"},"limits":{"memory":"2Mi"}}}}}`,
			map[grantKey]grant{{"u", "c"}: {request: oom.Some(uint64(0))}, {"u", ""}: one}},
		"rubbish": {`{"entries":{"u":7,"v":{"c":[]}}}`, map[grantKey]grant{}},
	} {
		state, err := parseState(fmt.Appendf(nil, `{"data":%q,"checksum":1}`, tt.data))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, state.grants(), cmp.AllowUnexported(grantKey{}, grant{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestSwapBehavior holds what counts where kubelet's configuration does not say.
func TestSwapBehavior(t *testing.T) {
	for name, tt := range map[string]struct{ config, want string }{
		"none":        {"", ""},
		"not said":    {"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n", "NoSwap"},
		"empty":       {"kind: KubeletConfiguration\nmemorySwap: {}\n", "NoSwap"},
		"commented":   {"kind: KubeletConfiguration\n#  swapBehavior: LimitedSwap\n", "NoSwap"},
		"said":        {"kind: KubeletConfiguration\nmemorySwap:\n  swapBehavior: LimitedSwap\n", "LimitedSwap"},
		"JSON":        {`{"kind":"KubeletConfiguration","memorySwap":{"swapBehavior":"NoSwap"}}`, "NoSwap"},
		"not kubelet": {"kind: Pod\n", ""},
	} {
		root := shortDir(t)
		if tt.config != "" {
			write(t, root+kubeletConfigs[0], tt.config)
		}
		c := &Cache{opts: Options{Root: root}}
		if c.readSwapBehavior(); c.kubelet.swapBehavior != tt.want {
			t.Errorf("%s: %q, want %q", name, c.kubelet.swapBehavior, tt.want)
		}
	}
}

// TestText holds that a long text is cut between characters.
func TestText(t *testing.T) {
	for _, in := range []string{strings.Repeat("ä", maxText), "x" + strings.Repeat("ä", maxText), strings.Repeat("x", 2*maxText)} {
		if out := text(in); len(out) < maxText-1 || len(out) > maxText || !strings.HasPrefix(in, out) {
			t.Errorf("%d bytes: %q", len(out), out)
		}
	}
}

// TestMemoryTree holds where the whole tree of cgroups is found.
func TestMemoryTree(t *testing.T) {
	const v2 = "1 0 0:1 %s /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	for name, tt := range map[string]struct{ own, first, want string }{
		"the machine's":               {own: fmt.Sprintf(v2, "/"), want: "/sys/fs/cgroup"},
		"mounted into a container":    {own: fmt.Sprintf(v2, "/../../.."), want: "/sys/fs/cgroup"},
		"a part of v1":                {own: "1 0 0:1 /docker/x /sys/fs/cgroup rw - cgroup cgroup rw,memory\n"},
		"of v1":                       {own: "1 0 0:1 / /sys/fs/cgroup rw - cgroup cgroup rw,memory\n", want: "/sys/fs/cgroup"},
		"in the first process's root": {own: "", first: fmt.Sprintf(v2, "/../.."), want: "/proc/1/root/sys/fs/cgroup"},
		"a part in both":              {own: fmt.Sprintf(v2, "/x"), first: fmt.Sprintf(v2, "/x")},
		"none":                        {},
	} {
		root := shortDir(t)
		write(t, root+"/proc/self/mountinfo", tt.own)
		write(t, root+"/proc/1/mountinfo", tt.first)
		for _, dir := range []string{"", "/proc/1/root"} {
			write(t, root+dir+"/sys/fs/cgroup/cgroup.controllers", "memory\n")
			if strings.HasPrefix(name, "a part") {
				write(t, root+dir+"/sys/fs/cgroup/cgroup.type", "domain\n")
			}
		}
		want := tt.want
		if want != "" {
			want = root + want
		}
		if got := memoryTree(root); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
