package container

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const userPath = "/user.slice/user-1000.slice/user@1000.service"

// TestSpeaksFor holds which source names which cgroups: all know the container, and
// only one may say so.
func TestSpeaksFor(t *testing.T) {
	node, pod := "/docker/"+id(50), "/kubepods.slice/kubepods-pod"+strings.ReplaceAll(uid(1), "-", "_")+".slice"
	docker := "docker-" + id(2) + ".scope"
	for _, tt := range []struct{ name, path, want string }{
		{"a pod's container", podPath(1, 2), "system"},
		{"below it", podPath(1, 2) + "/container", "system"},
		{"of drivers at odds", "/system.slice/kubepods-pod" + strings.ReplaceAll(uid(1), "-", "_") + ".slice:cri-containerd:" + id(2), "system"},
		{"without a pod", "/system.slice/cri-containerd-" + id(2) + ".scope", "system"},
		{"of another pod", podPath(3, 2), ""},
		{"made by a user", userPath + podPath(1, 2), "user"},
		{"made by a user, the pod alone", userPath + pod + "/" + docker, "user"},
		{"made by another user", strings.ReplaceAll(userPath, "1000", "1001") + podPath(1, 2), ""},
		{"in root's slice", "/user.slice/user-0.slice" + podPath(1, 2), "system"},
		{"made by a service", "/system.slice/evil.service" + podPath(1, 2), ""},
		{"made by a scope", "/system.slice/evil.scope" + podPath(1, 2), ""},
		{"in a node", node + podPath(1, 2), "node"},
		{"in a node, made by a service", node + "/system.slice/a.service" + podPath(1, 2), ""},
		{"in a node, made by a user", node + userPath + podPath(1, 2), ""},
		{"in another node", "/docker/" + id(51) + podPath(1, 2), ""},
		{"in a container of a node", node + podPath(7, 60) + podPath(1, 2), ""},
		{"in a user's slice of that name", "/kubepods.slice" + userPath + podPath(1, 2), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := shortDir(t)
			serve := func(path, name string) {
				f := &fakeCRI{}
				f.add(1, 2, name)
				f.serve(t, path)
			}
			serve(root+containerd, "system")
			dir := process(t, root, 42, node+"/init")
			serve(dir+"/root"+containerd, "node")
			write(t, fmt.Sprintf("%s/proc/%d/cgroup", root, os.Getpid()), "0::"+node+"/system.slice/containerd.service\n")
			d := &fakeDocker{server: "Docker/28 (linux)", answers: map[string]any{
				"/containers/" + id(2) + "/json": map[string]any{"Id": id(2), "Name": "user", "Config": map[string]any{"Labels": map[string]string{labelPodUID: uid(1), labelPodName: "p", labelContainerName: "user"}}},
			}}
			d.serveAt(t, listenAs(t, 1000, root, root+"/run/user/1000/docker.sock"))
			c := open(t, Options{Root: root, Sockets: []string{}})
			c.Ready(t.Context())
			path := tt.path
			if tt.want == "user" { // Docker's, in a user's slice
				path = strings.Replace(path, "cri-containerd-", "docker-", 1)
			}
			c.Seen(path)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if known := c.Wait(ctx, path, id(2)); known != (tt.want != "") {
				t.Errorf("known: %v", known)
			}
			i, _ := c.Lookup(path, id(2))
			if i.Name != tt.want {
				t.Errorf("named by %q, want %q", i.Name, tt.want)
			}
			p, _ := c.Pod(path, uid(1))
			if (tt.want == "" || tt.want == "user") && p.Namespace != "" {
				t.Errorf("pod %+v", p)
			}
		})
	}
}

// TestCovers holds domains against each other, those seen from another cgroup
// namespace included.
func TestCovers(t *testing.T) {
	user := func(n uint32) oom.Opt[uint32] { return oom.Some(n) }
	for _, tt := range []struct {
		source, of domain
		want       bool
	}{
		{domain{}, domain{}, true},
		{domain{}, domain{within: "/docker/a"}, false},
		{domain{}, domain{user: user(1000)}, false},
		{domain{user: user(1000)}, domain{}, false},
		{domain{user: user(1000)}, domain{user: user(1000)}, true},
		{domain{user: user(1000)}, domain{user: user(1001)}, false},
		{domain{within: "/docker/a"}, domain{within: "/docker/a"}, true},
		{domain{within: "/docker/a"}, domain{within: "/x/docker/a"}, false},
		{domain{within: "/../../docker/a"}, domain{within: "/docker/a"}, true},
		{domain{within: "/../a"}, domain{within: "/docker/a"}, true},
		{domain{within: "/../a"}, domain{within: "/docker/ba"}, false},
		{domain{within: "/../docker/b/a"}, domain{within: "/docker/a"}, false},
		{domain{within: "/.."}, domain{within: "/docker/a"}, false},
		{domain{within: "/..a"}, domain{within: "/docker/a"}, false},
		{domain{within: "/../a"}, domain{}, false},
	} {
		if got := tt.source.covers(tt.of); got != tt.want {
			t.Errorf("%+v of %+v: %v", tt.source, tt.of, got)
		}
	}
}

// TestCheck holds who may own what a path leads to.
func TestCheck(t *testing.T) {
	const dir, file = unix.S_IFDIR | 0o755, unix.S_IFSOCK | 0o666
	us := uint32(os.Geteuid())
	user := domain{user: oom.Some(us + 1000)}
	for _, tt := range []struct {
		name string
		d    domain
		mode uint32
		uid  uint32
		ok   bool
	}{
		{"root's directory", domain{}, dir, 0, true},
		{"ours", domain{}, dir, us, true},
		{"a user's directory", domain{}, dir, us + 1000, false},
		{"a user's socket", domain{}, file, us + 1000, false},
		{"a user's link", domain{}, unix.S_IFLNK | 0o777, us + 1000, false},
		{"root's link", domain{}, unix.S_IFLNK | 0o777, 0, true},
		{"open to all", domain{}, dir | 0o002, 0, false},
		{"open to all, like /tmp", domain{}, dir | 0o1002, 0, true},
		{"open to a group", domain{}, dir | 0o020, 0, true},
		{"a socket open to all", domain{}, file, 0, true},
		{"the user's own", user, file, us + 1000, true},
		{"another user's", user, file, us + 1001, false},
		{"in a container", domain{within: "/docker/a"}, dir | 0o002, us + 1000, true},
	} {
		err := tt.d.check(tt.name, &unix.Stat_t{Mode: tt.mode, Uid: tt.uid})
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, errUntrusted) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestOpenToAll holds that a runtime's socket is not used where everybody could have
// put it, and that this is said once.
func TestOpenToAll(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	f.serve(t, root+containerd)
	if err := os.Chmod(root+"/run/containerd", 0o777); err != nil {
		t.Fatal(err)
	}
	var w warnings
	c := open(t, Options{Root: root, Warn: w.add})
	c.Ready(t.Context())
	for range 3 {
		if c.Wait(t.Context(), podPath(1, 2), id(2)) {
			t.Error("known")
		}
	}
	if f.count("Version") != 0 {
		t.Error("it was asked")
	}
	if got := w.get(); len(got) != 1 || !strings.Contains(got[0], "everybody may write to containerd") {
		t.Errorf("warnings %q", got)
	}
}

// TestLinks holds that a symbolic link in a container leads nowhere outside of it.
func TestLinks(t *testing.T) {
	for name, place := range map[string]func(t *testing.T, inner, victim string){
		"absolute": func(t *testing.T, inner, victim string) { link(t, victim, inner+containerd) },
		"upwards": func(t *testing.T, inner, victim string) {
			link(t, strings.Repeat("../", 30)+victim[1:], inner+containerd)
		},
		"directory": func(t *testing.T, inner, victim string) {
			link(t, victim[:len(victim)-len("/containerd.sock")], inner+"/run/containerd")
		},
		"magic": func(t *testing.T, inner, victim string) {
			link(t, "/proc/self/root", inner+"/x")
			link(t, "/x"+victim, inner+containerd)
		},
		"loop": func(t *testing.T, inner, _ string) { link(t, "containerd.sock", inner+containerd) },
	} {
		t.Run(name, func(t *testing.T) {
			root := shortDir(t)
			victim := shortDir(t) + "/containerd.sock"
			connected := make(chan struct{}, 100)
			stop := badServer(t, victim, func(net.Conn) { connected <- struct{}{} })
			defer stop()
			node := "/docker/" + id(50)
			dir := process(t, root, 42, node)
			write(t, fmt.Sprintf("%s/proc/%d/cgroup", root, os.Getpid()), "0::"+node+"\n")
			place(t, dir+"/root", victim)
			c := open(t, Options{Root: root})
			c.Ready(t.Context())
			path := node + podPath(1, 2)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if c.Seen(path); c.Wait(ctx, path, id(2)) {
				t.Error("known")
			}
			if len(connected) > 0 {
				t.Error("a socket outside of the container was connected to")
			}
		})
	}
	t.Run("inside", func(t *testing.T) { // as distributions have it
		root := shortDir(t)
		node := "/docker/" + id(50)
		dir := process(t, root, 42, node)
		write(t, fmt.Sprintf("%s/proc/%d/cgroup", root, os.Getpid()), "0::"+node+"\n")
		f := &fakeCRI{}
		f.add(1, 2, "app")
		f.serve(t, dir+"/root/private"+containerd)
		link(t, "/private/run", dir+"/root/run")
		c := open(t, Options{Root: root})
		c.Ready(t.Context())
		if !c.Wait(t.Context(), node+podPath(1, 2), id(2)) {
			t.Error("not known")
		}
	})
}

// TestDaemons holds which processes have their root looked into.
func TestDaemons(t *testing.T) {
	node := "/docker/" + id(50)
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, root, dir string)
		cgroup string
		listen string // the cgroup of who answers
		want   bool
	}{
		{name: "in a container", cgroup: node, listen: node, want: true},
		{name: "of the system", cgroup: "/system.slice/k0s.service", listen: "/", want: true},
		{name: "of another user", cgroup: node, listen: node, change: func(t *testing.T, _, dir string) {
			write(t, dir+"/status", "Uid:\t0\t1000\t0\t0\n")
		}},
		{name: "in a user namespace", cgroup: node, listen: node, change: func(t *testing.T, _, dir string) {
			link(t, "user:[4026532000]", dir+"/ns/user")
		}},
		{name: "in a user's slice", cgroup: userPath + "/x", listen: "/"},
		{name: "in a user's slice, seen from a container", cgroup: "/../.." + userPath, listen: "/"},
		{name: "of no known namespace", cgroup: node, listen: node, change: func(t *testing.T, _, dir string) {
			if err := os.Remove(dir + "/ns/user"); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "without a cgroup", cgroup: node, listen: node, change: func(t *testing.T, _, dir string) { write(t, dir+"/cgroup", "") }},
		{name: "of another name", cgroup: node, listen: node, change: func(t *testing.T, _, dir string) { write(t, dir+"/comm", "bash\n") }},
		{name: "another container answers", cgroup: node, listen: "/docker/" + id(51)},
		{name: "the machine's own answers", cgroup: node, listen: "/system.slice/containerd.service"},
		{name: "a nested container answers", cgroup: node, listen: node + "/docker/" + id(52)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := shortDir(t)
			dir := process(t, root, 42, tt.cgroup)
			if tt.change != nil {
				tt.change(t, root, dir)
			}
			f := &fakeCRI{}
			f.add(1, 2, "app")
			f.serve(t, dir+"/root"+containerd)
			write(t, fmt.Sprintf("%s/proc/%d/cgroup", root, os.Getpid()), "0::"+tt.listen+"\n")
			var w warnings
			c := open(t, Options{Root: root, Warn: w.add})
			c.Ready(t.Context())
			path := podPath(1, 2)
			if strings.HasPrefix(tt.cgroup, node) {
				path = node + path
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if c.Wait(ctx, path, id(2)) != tt.want {
				t.Errorf("known: %v", !tt.want)
			}
			if !tt.want && f.count("ContainerStatus") > 0 {
				t.Error("it was asked")
			}
			if got := w.get(); len(got) > 0 {
				t.Errorf("warnings %q", got)
			}
		})
	}
}

// TestManyDaemons holds that a container with any number of daemons, and of containers in
// it, takes no source from another container, neither before that is found nor after.
func TestManyDaemons(t *testing.T) {
	for _, tt := range []struct {
		name   string
		nested func(n int) string
	}{
		{"in one container", func(int) string { return "" }},
		{"in containers in it", func(n int) string { return "/docker/" + id(1000+n) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := shortDir(t)
			node, bad := "/docker/"+id(50), "/docker/"+id(60)
			f := &fakeCRI{}
			f.add(1, 2, "app")
			f.serve(t, process(t, root, 999, node)+"/root"+containerd)
			write(t, fmt.Sprintf("%s/proc/%d/cgroup", root, os.Getpid()), "0::"+node+"\n")
			c := open(t, Options{Root: root, Interval: 300 * time.Millisecond})
			for n := range 300 { // more than one read of a directory gives
				write(t, process(t, root, 1000+n, bad+tt.nested(n))+"/root"+containerd, "")
			}
			later := open(t, Options{Root: root, Interval: 300 * time.Millisecond})
			for when, c := range map[string]*Cache{"first": c, "later": later} {
				c.Ready(t.Context())
				if !c.Wait(t.Context(), node+podPath(1, 2), id(2)) {
					t.Errorf("not known to the one that came %s: %+v", when, c.Sources())
				}
			}
		})
	}
}

// TestNodeGone holds that a node's source is let go with the node, and what it told
// stays.
func TestNodeGone(t *testing.T) {
	root := shortDir(t)
	node := "/docker/" + id(50)
	dir := process(t, root, 42, node)
	write(t, fmt.Sprintf("%s/proc/%d/cgroup", root, os.Getpid()), "0::"+node+"\n")
	f := &fakeCRI{}
	f.add(1, 2, "app")
	stop := f.serve(t, dir+"/root"+containerd)
	c := open(t, Options{Root: root, Interval: 30 * time.Millisecond})
	c.Ready(t.Context())
	if !c.Wait(t.Context(), node+podPath(1, 2), id(2)) {
		t.Fatal("not known")
	}
	stop()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is let go", func() bool { return len(c.Sources()) == 0 })
	if _, ok := c.lookup(node + podPath(1, 2)); !ok {
		t.Error("forgotten at once")
	}
}

// TestOneFails holds that a container whose status fails, or hangs, is asked for with
// pauses and takes nothing from the others.
func TestOneFails(t *testing.T) {
	for name, bad := range map[string]func(context.Context) error{
		"fails": func(context.Context) error { return status.Error(codes.Internal, "shim is gone") },
		"hangs": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			root := shortDir(t)
			f := &fakeCRI{}
			var paths []string
			for n := range 60 {
				f.add(100+n, 200+n, "app")
				paths = append(paths, podPath(100+n, 200+n))
			}
			f.set(func(ctx context.Context, asked string) error {
				for n := range 6 {
					if asked == id(200+10*n) {
						return bad(ctx)
					}
				}
				return nil
			})
			f.serve(t, root+containerd)
			var w warnings
			c := open(t, Options{Root: root, Timeout: 3 * time.Second, Warn: w.add})
			c.Ready(t.Context())
			start := time.Now()
			for _, p := range paths {
				c.Seen(p)
			}
			eventually(t, "all others are known", func() bool {
				known := 0
				for _, p := range paths {
					if _, ok := c.lookup(p); ok {
						known++
					}
				}
				return known == 54
			})
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("the others took %v", d)
			}
			time.Sleep(500 * time.Millisecond)
			for n := range 6 {
				if got := f.count(id(200 + 10*n)); got > 5 { // at 0, 5, 25, 105 and 405 ms
					t.Errorf("asked %d times within %v", got, time.Since(start))
				}
			}
			if got := w.get(); name == "fails" && len(got) != 1 || name == "hangs" && len(got) != 0 {
				t.Errorf("warnings %q", got)
			}
			if s := c.Sources(); !s[0].OK {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestForged holds that an answer for another container, or for a pod that the path
// denies, names nothing.
func TestForged(t *testing.T) {
	for name, change := range map[string]func(*cri1.ContainerStatusResponse){
		"another id":  func(r *cri1.ContainerStatusResponse) { r.Status.Id = id(3) },
		"no id":       func(r *cri1.ContainerStatusResponse) { r.Status.Id = "" },
		"the path":    func(r *cri1.ContainerStatusResponse) { r.Status.Id = "../../" + id(2) },
		"no status":   func(r *cri1.ContainerStatusResponse) { r.Status = nil },
		"another pod": func(r *cri1.ContainerStatusResponse) { r.Status.Labels[labelPodUID] = uid(9) },
	} {
		t.Run(name, func(t *testing.T) {
			root := shortDir(t)
			f := &fakeCRI{change: change}
			f.add(1, 2, "app")
			f.serve(t, root+containerd)
			c := open(t, Options{Root: root})
			c.Ready(t.Context())
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if c.Wait(ctx, podPath(1, 2), id(2)) {
				t.Error("known")
			}
			for n := range 5 {
				if i, ok := c.Lookup(podPath(1, n), id(n)); ok && n != 1 {
					t.Errorf("%+v", i)
				}
			}
		})
	}
}

// TestStuck holds that a file system that hangs, in the root of a container, holds up
// neither the start nor the end, nor what is asked of this machine.
func TestStuck(t *testing.T) {
	root := shortDir(t)
	f := &fakeCRI{}
	f.add(1, 2, "app")
	f.serve(t, root+containerd)
	tree(t, root, podPath(1, 2))
	// Opening a FIFO hangs until there is a writer.
	if err := os.MkdirAll(root+"/proc/42", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(root+"/proc/42/comm", 0o600); err != nil {
		t.Fatal(err)
	}
	c := Open(t.Context(), Options{Root: root})
	eventually(t, "the runtime is asked", func() bool { _, ok := c.lookup(podPath(1, 2)); return ok })
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
	w, err := os.OpenFile(root+"/proc/42/comm", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
}

// TestPause holds the pauses of a source that refuses.
func TestPause(t *testing.T) {
	for fails, want := range map[int]time.Duration{1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 3: 200 * time.Millisecond, 10: 25600 * time.Millisecond, 11: 30 * time.Second, 1000: 30 * time.Second} {
		if got := (&source{fails: fails}).pause(); got != want {
			t.Errorf("after %d: %v, want %v", fails, got, want)
		}
	}
}
