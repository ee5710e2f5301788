package container

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const containerd = "/run/containerd/containerd.sock"

func TestCRIListed(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{limits: map[string]int64{id(2): 64 << 20}}
	f.add(1, 2, "app")
	f.serve(t, root+containerd)
	write(t, root+"/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\nmemorySwap:\n  # swapBehavior: NoSwap\n  swapBehavior: LimitedSwap\n")
	write(t, root+kubeletRoots[0]+allocatedState, `{"data":"{\"entries\":{\"`+uid(1)+`\":{\"ContainerResources\":{\"app\":{\"requests\":{\"memory\":\"32Mi\"},\"limits\":{\"memory\":\"1Gi\"}}}}}}","checksum":1}`)
	c := open(t, Options{Root: root, Interval: 50 * time.Millisecond})
	c.Ready(t.Context())
	eventually(t, "the details are known", func() bool {
		i, _ := c.Lookup(id(2))
		return i.MemoryLimitBytes.Value == 64<<20 && i.MemoryRequestBytes.Known
	})
	pod := &PodInfo{Namespace: "shop", Name: "pod-1", UID: uid(1), SwapBehavior: "LimitedSwap", Labels: Labels{{"app", "app"}}}
	want := Info{
		Container: oom.Container{
			ID: id(2), Name: "app", Image: "docker.io/shop/cart:1.4", Runtime: "containerd", RestartCount: oom.Some(uint64(3)),
			MemoryRequestBytes: oom.Some(uint64(32 << 20)), MemoryLimitBytes: oom.Some(uint64(64 << 20)),
		},
		PodContainer: "app", Pod: pod,
	}
	f.listedAgain(t, 3) // lists have less, and must not take it away
	got, _ := c.Lookup(id(2))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	sandbox, ok := c.Lookup(id(1))
	if !ok || sandbox.PodContainer != "" || sandbox.Pod.Name != "pod-1" {
		t.Errorf("sandbox %+v", sandbox)
	}
	p, ok := c.Pod(uid(1))
	if d := cmp.Diff(*pod, p); !ok || d != "" {
		t.Error(d)
	}
	s := c.Sources()
	if len(s) != 2 || s[0].Name != "containerd v2.1.4" || !s[0].OK || s[0].Err != nil || s[0].Containers != 2 {
		t.Errorf("sources %+v", s)
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
	path := []byte(podPath(1, 2))
	c.Seen(string(path))
	time.Sleep(30 * time.Millisecond)
	if _, ok := c.Lookup(id(2)); ok {
		t.Fatal("known too soon")
	}
	f.add(1, 2, "app")
	eventually(t, "the container is known", func() bool { _, ok := c.Lookup(id(2)); return ok })
	f.clear()
	c.Seen(podPath(1, 2))
	if i, ok := c.Lookup(id(2)); !ok || i.Pod == nil || i.Pod.Labels.Get("app") != "app" {
		t.Errorf("after its removal: %+v", i)
	}
}

func TestWait(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	f.add(1, 2, "app")
	if !c.Wait(t.Context(), id(2), "containerd") || !c.Wait(t.Context(), id(2), "") {
		t.Error("a container that the runtime has is not known")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c.Wait(ctx, id(3), "containerd") {
		t.Error("a container that nobody has is known")
	}
	start := time.Now()
	if c.Wait(t.Context(), id(3), "podman") || c.Wait(t.Context(), "../x", "") || time.Since(start) > time.Second {
		t.Error("waited though nobody can tell")
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.waiters) != 0 {
		t.Errorf("%d waiters left", len(c.waiters))
	}
}

// TestKept holds that what is gone stays for the time given, and no longer.
func TestKept(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root, Interval: 20 * time.Millisecond, Keep: time.Hour})
	c.Ready(t.Context())
	f.clear()
	eventually(t, "it is seen to be gone", func() bool {
		c.mu.RLock()
		defer c.mu.RUnlock()
		return c.entries[id(1)].gone != 0 && c.entries[id(2)].gone != 0 && c.pods[uid(1)].gone != 0
	})
	known := func() (n int) {
		_, ct := c.Lookup(id(2))
		_, sandbox := c.Lookup(id(1))
		_, pod := c.Pod(uid(1))
		for _, ok := range []bool{ct, sandbox, pod} {
			if ok {
				n++
			}
		}
		return n
	}
	if c.forget(time.Now().Add(30 * time.Minute)); known() != 3 {
		t.Error("forgotten too soon")
	}
	if c.forget(time.Now().Add(time.Hour)); known() != 0 {
		t.Error("not forgotten")
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
	c := open(t, Options{Root: root, Interval: 20 * time.Millisecond, Keep: 50 * time.Millisecond, Warn: w.add})
	c.Ready(t.Context())
	stop()
	eventually(t, "it fails", func() bool { return !c.Sources()[0].OK })
	time.Sleep(200 * time.Millisecond)
	if _, ok := c.Lookup(id(2)); !ok {
		t.Error("forgotten while the runtime is down")
	}
	if n := len(w.get()); n != 1 {
		t.Errorf("%d warnings: %q", n, w.get())
	}
	f.add(3, 4, "new")
	f.serve(t, root+containerd)
	eventually(t, "it is asked again", func() bool { _, ok := c.Lookup(id(4)); return ok })
}

// TestHang holds that a runtime that stops answering holds up nothing.
func TestHang(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{hang: make(chan struct{})}
	f.serve(t, root+containerd)
	f.add(1, 2, "app")
	write(t, root+"/var/log/containers/pod-9_shop_web-"+id(9)+".log", "")
	var w warnings
	c := open(t, Options{Root: root, Timeout: 100 * time.Millisecond, Interval: 100 * time.Millisecond, Warn: w.add})
	start := time.Now()
	for n := range 5000 {
		c.Seen(podPath(1, 100+n))
		c.Lookup(id(n))
	}
	// Were each to wait for one call, it would be minutes.
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("5000 containers seen in %v", d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if !c.Wait(ctx, id(9), "") {
		t.Error("another source was held up")
	}
	eventually(t, "a warning", func() bool { return len(w.get()) == 1 })
	close(f.hang)
	eventually(t, "it recovers", func() bool { _, ok := c.Lookup(id(2)); return ok })
	if n := len(w.get()); n != 1 {
		t.Errorf("%d warnings: %q", n, w.get())
	}
}

// TestBadSockets holds that sockets that are no runtime cost a warning, no
// stall and no leak.
func TestBadSockets(t *testing.T) {
	for _, name := range []string{"bad.sock", "docker.sock"} {
		for kind, answer := range map[string]func(net.Conn){
			"mute":    func(c net.Conn) { time.Sleep(10 * time.Millisecond) },
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
					c := Open(t.Context(), Options{Root: root, Sockets: []string{"unix://" + path}, Timeout: 50 * time.Millisecond, Interval: 60 * time.Millisecond, Warn: w.add})
					c.Ready(t.Context())
					c.Seen("/docker/" + id(1))
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

// refuse leaves a socket that nobody listens to.
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

// TestQuiet holds that sockets nobody asked for do not warn where nobody serves
// them, and that those of sleeping services are not woken.
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
	var w warnings
	c := open(t, Options{Root: root, Interval: 20 * time.Millisecond, Warn: w.add})
	c.Ready(t.Context())
	time.Sleep(100 * time.Millisecond)
	if got := w.get(); len(got) != 0 {
		t.Errorf("warnings %q", got)
	}
	if podman.count()+docker.count() != 0 {
		t.Error("a sleeping service was woken")
	}
	unused := 0
	for _, s := range c.Sources() {
		if errors.Is(s.Err, ErrUnused) {
			unused++
		}
	}
	if unused != 2 {
		t.Errorf("sources %+v", c.Sources())
	}
}

func TestDocker(t *testing.T) {
	root := shortDir(t)
	write(t, root+"/run/docker.pid", "1")
	f := &fakeDocker{server: "Docker/26.1.5 (linux)", answers: map[string]any{
		"/containers/json": []map[string]any{
			{"Id": id(1), "Names": []string{"/web"}, "Image": "nginx:1.27", "Labels": map[string]string{"a": "b"}},
			{"Id": id(2), "Names": []string{"/k8s_app_pod-2_shop_" + uid(2) + "_0"}, "Image": "app", "Labels": map[string]string{
				labelPodName: "pod-2", labelPodNamespace: "shop", labelPodUID: uid(2), labelContainerName: "app",
			}},
			{"Id": "../../etc/passwd", "Names": nil},
		},
		"/containers/" + id(1) + "/json": map[string]any{"Id": id(1), "Name": "/web", "RestartCount": 2, "Config": map[string]any{"Image": "nginx:1.27"}, "HostConfig": map[string]any{"Memory": 128 << 20}},
		"/containers/" + id(3) + "/json": map[string]any{"Id": id(3), "Name": "/late", "Config": map[string]any{"Image": "late:1"}, "HostConfig": map[string]any{"Memory": 0}},
		"/containers/" + id(4) + "/json": map[string]any{"Id": id(5), "Name": "/another"},
	}}
	f.serve(t, root+"/run/docker.sock")
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	eventually(t, "the limit is known", func() bool { i, _ := c.Lookup(id(1)); return i.MemoryLimitBytes.Known })
	want := Info{Container: oom.Container{
		ID: id(1), Name: "web", Image: "nginx:1.27", Runtime: "docker",
		MemoryLimitBytes: oom.Some(uint64(128 << 20)), RestartCount: oom.Some(uint64(2)),
	}}
	got, _ := c.Lookup(id(1))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if i, _ := c.Lookup(id(2)); i.PodContainer != "app" || i.Pod == nil || i.Pod.Name != "pod-2" {
		t.Errorf("kubelet's container: %+v", i)
	}
	c.Seen("/system.slice/docker-" + id(3) + ".scope")
	eventually(t, "the new one is known", func() bool { i, _ := c.Lookup(id(3)); return i.Name == "late" })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if c.Wait(ctx, id(4), "docker") {
		t.Error("an answer for another container was taken")
	}
	if s := c.Sources(); s[0].Name != "docker 26.1.5" {
		t.Errorf("sources %+v", s)
	}
}

func TestPodman(t *testing.T) {
	root := shortDir(t)
	const api = "/v4.0.0/libpod"
	f := &fakeDocker{server: "Libpod/5.4.0 (linux)", answers: map[string]any{
		api + "/containers/" + id(1) + "/json": map[string]any{"Id": id(1), "Name": "db", "ImageName": "postgres:17", "Pod": id(9), "RestartCount": 0, "HostConfig": map[string]any{"Memory": 1 << 30}},
		api + "/pods/" + id(9) + "/json":       map[string]any{"Name": "stack"},
	}}
	f.serve(t, root+"/run/podman/podman.sock")
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	if !c.Wait(t.Context(), id(1), "podman") {
		t.Fatal("not known")
	}
	want := Info{
		Container: oom.Container{
			ID: id(1), Name: "db", Image: "postgres:17", Runtime: "podman",
			MemoryLimitBytes: oom.Some(uint64(1 << 30)), RestartCount: oom.Some(uint64(0)),
		},
		PodContainer: "db", Pod: &PodInfo{UID: id(9), Name: "stack"},
	}
	got, _ := c.Lookup(id(1))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestFiles(t *testing.T) {
	root := shortDir(t)
	logDir := root + logLinks
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/var/log/pods/shop_cart-1_"+uid(1)+"/app/0.log", logDir+"/cart-1_shop_app-"+id(1)+".log"); err != nil {
		t.Fatal(err)
	}
	write(t, logDir+"/rubbish.log", "")
	write(t, root+dockerFiles+"/"+id(2)+"/config.v2.json", `{"ID":"`+id(2)+`","Name":"/web","Config":{"Image":"nginx","Labels":null},"RestartCount":1}`)
	write(t, root+dockerFiles+"/"+id(2)+"/hostconfig.json", `{"Memory":1048576}`)
	write(t, root+dockerFiles+"/"+id(8)+"/config.v2.json", `{"ID":`)
	store := root + "/var/lib/containers/storage/overlay-containers"
	write(t, store+"/containers.json", `[{"id":"`+id(3)+`","names":["db"],"metadata":"{\"image-name\":\"postgres:17\",\"name\":\"db\"}"},
		{"id":"`+id(4)+`","names":["k8s_app_cart-2_shop_`+uid(4)+`_0"],"metadata":"{\"image-name\":\"cart:1\"}"}]`)
	write(t, store+"/volatile-containers.json", `[{"id":"`+id(5)+`","names":["tmp"],"metadata":"rubbish"}]`)
	write(t, root+"/var/lib/nerdctl/1935db59/names/default/box", id(6)+"\n")
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	for n, want := range map[int]Info{
		1: {Container: oom.Container{ID: id(1), Name: "app"}, PodContainer: "app", Pod: &PodInfo{Namespace: "shop", Name: "cart-1", UID: uid(1)}},
		2: {Container: oom.Container{ID: id(2), Name: "web", Image: "nginx", Runtime: "docker", MemoryLimitBytes: oom.Some(uint64(1 << 20)), RestartCount: oom.Some(uint64(1))}},
		3: {Container: oom.Container{ID: id(3), Name: "db", Image: "postgres:17"}},
		4: {Container: oom.Container{ID: id(4), Name: "app", Image: "cart:1", Runtime: "cri-o", RestartCount: oom.Some(uint64(0))}, PodContainer: "app", Pod: &PodInfo{Namespace: "shop", Name: "cart-2", UID: uid(4)}},
		5: {Container: oom.Container{ID: id(5), Name: "tmp"}},
		6: {Container: oom.Container{ID: id(6), Name: "box", Runtime: "nerdctl"}},
	} {
		got, _ := c.Lookup(id(n))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("container %d: %s", n, d)
		}
	}
	if p, ok := c.Pod(uid(1)); !ok || p.Name != "cart-1" {
		t.Errorf("pod %+v", p)
	}
	write(t, store+"/volatile-containers.json", `[{"id":"`+id(7)+`","names":["later"],"metadata":"{}"}]`)
	c.Seen("/machine.slice/libpod-" + id(7) + ".scope")
	eventually(t, "the new one is known", func() bool { i, _ := c.Lookup(id(7)); return i.Name == "later" })
	write(t, root+dockerFiles+"/"+id(10)+"/config.v2.json", `{"ID":"`+id(10)+`","Name":"/new","Config":{}}`)
	if !c.Wait(t.Context(), id(10), "docker") {
		t.Error("Docker's new container is not known")
	}
}

// TestNode finds the runtime of a node in a container by its daemon's root, and
// lets go of it when the node is gone.
func TestNode(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	node := root + "/proc/42"
	stop := f.serve(t, node+"/root"+containerd)
	write(t, node+"/comm", "containerd\n")
	write(t, root+"/proc/43/comm", "bash\n")
	write(t, root+"/var/lib/kubelet/config.yaml", "swapBehavior: NoSwap\n")
	c := open(t, Options{Root: root, Interval: 30 * time.Millisecond})
	c.Ready(t.Context())
	i, ok := c.Lookup(id(2))
	if !ok || i.Pod.Name != "pod-1" || i.Pod.SwapBehavior != "" {
		t.Errorf("%+v", i)
	}
	stop()
	if err := os.RemoveAll(node); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is let go", func() bool { return len(c.Sources()) == 0 })
	if _, ok := c.Lookup(id(2)); !ok {
		t.Error("forgotten at once")
	}
}

// TestBounded holds that no runtime can make the cache grow without end.
func TestBounded(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	for n := range 300 {
		f.add(1000+n, 2000+n, strings.Repeat("long", 1000))
	}
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root, Max: 100})
	c.Ready(t.Context())
	f.add(1, 2, "asked")
	if !c.Wait(t.Context(), id(2), "containerd") {
		t.Error("a container asked for found no room")
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) > 100 || len(c.pods) > 100 {
		t.Errorf("%d containers, %d pods", len(c.entries), len(c.pods))
	}
	for _, e := range c.entries {
		if len(e.info.Name) > maxText {
			t.Errorf("a name of %d bytes", len(e.info.Name))
		}
	}
}

func TestNoLeak(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	f.serve(t, root+containerd)
	d := &fakeDocker{server: "Docker/26 (linux)", answers: map[string]any{"/containers/json": "[]"}}
	write(t, root+"/run/docker.pid", "1")
	d.serve(t, root+"/run/docker.sock")
	noLeak(t, func() {
		for range 5 {
			c := Open(t.Context(), Options{Root: root, Interval: 10 * time.Millisecond})
			c.Ready(t.Context())
			for n := range 50 {
				c.Seen(podPath(1, n))
			}
			time.Sleep(30 * time.Millisecond)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if _, ok := c.Lookup(id(2)); !ok {
				t.Error("unknown after Close")
			}
		}
	})
}

func TestQuantity(t *testing.T) {
	for in, want := range map[string]oom.Opt[uint64]{
		`"256Mi"`: oom.Some(uint64(256 << 20)), `"1.5G"`: oom.Some(uint64(1500000000)), `"1e9"`: oom.Some(uint64(1000000000)),
		`1024`: oom.Some(uint64(1024)), `"0"`: oom.Some(uint64(0)), `"128000m"`: oom.Some(uint64(128)), `"1E"`: oom.Some(uint64(1e18)),
		`""`: {}, `"x"`: {}, `"1Zi"`: {}, `"-1"`: {}, `"99E99"`: {}, `"16Ei"`: {}, `null`: {}, `"NaN"`: {},
	} {
		if got := quantity([]byte(in)); got != want {
			t.Errorf("%s: %+v, want %+v", in, got, want)
		}
	}
}

func TestGrants(t *testing.T) {
	for name, data := range map[string]string{
		"1.33":    `{"allocationEntries":{"u":{"c":{"requests":{"memory":"1Mi"},"limits":{"memory":"2Mi"}}}}}`,
		"current": `{"entries":{"u":{"ContainerResources":{"c":{"requests":{"memory":"1Mi","cpu":"1"},"limits":{"memory":"2Mi"}}}}},"podList":"AAAA"}`,
	} {
		state, err := parseState(fmt.Appendf(nil, `{"data":%q,"checksum":1}`, data))
		if err != nil {
			t.Fatal(err)
		}
		got := state.grants()
		want := map[grantKey]grant{{"u", "c"}: {request: oom.Some(uint64(1 << 20)), limit: oom.Some(uint64(2 << 20))}}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(grantKey{}, grant{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func FuzzFiles(f *testing.F) {
	f.Add(`{"data":"{\"entries\":{}}"}`, "cart_shop_app-"+id(1)+".log", `{"name":"k8s_a_b_c_d_0"}`)
	l := &logs{dir: "/nonexistent"}
	f.Fuzz(func(t *testing.T, state, link, metadata string) {
		if data, err := parseState([]byte(state)); err == nil {
			for _, g := range data.grants() {
				if g.limit.Value >= 1<<63 || g.request.Value >= 1<<63 {
					t.Fatal("out of range")
				}
			}
		}
		if i := l.link(link); i != nil && (len(i.ID) != 64 || i.Pod.Name == "" || i.Pod.Namespace == "") {
			t.Fatalf("%+v", i)
		}
		c := storageContainer{ID: id(1), Metadata: metadata}
		if i := c.info(); len(i.Name) > maxText {
			t.Fatalf("a name of %d bytes", len(i.Name))
		}
	})
}
