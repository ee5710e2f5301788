package container

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The places where runtimes are found by themselves. /var/run is /run on every
// system that has these.
var (
	criSockets = []string{
		"/run/containerd/containerd.sock",
		"/run/k3s/containerd/containerd.sock", // k3s, rke2
		"/run/k0s/containerd.sock",
		"/var/snap/microk8s/common/run/containerd.sock",
		"/run/crio/crio.sock",
		"/run/cri-dockerd.sock",
	}
	dockerSockets = []string{"/run/docker.sock", "/run/user/*/docker.sock"}
	podmanSockets = []string{"/run/podman/podman.sock", "/run/user/*/podman/podman.sock"}
	// daemons are the processes in whose own root there may be more sockets: a
	// Kubernetes node in a container.
	daemons = []string{"containerd", "crio", "dockerd", "cri-dockerd"}
	// kubeletRoots are where kubelet keeps its files: in general, of k0s, of
	// microk8s.
	kubeletRoots = []string{"/var/lib/kubelet", "/var/lib/k0s/kubelet", "/var/snap/microk8s/common/var/lib/kubelet"}
)

// maxSources bounds the sockets asked: a machine may run any number of nodes in
// containers.
const maxSources = 48

// candidate is a place that may be asked.
type candidate struct {
	path            string
	kind            string
	local, explicit bool
	inode           [2]uint64 // zeros if it is not there
}

// statFunc is os.Stat.
type statFunc func(string) (os.FileInfo, error)

func osStat(path string) (os.FileInfo, error) { return os.Stat(path) }

// lookWait bounds how long a look for sockets is waited for. A stat in the root
// of a container may hang with its file system, for good.
const lookWait = 2 * time.Second

// looker runs a look in a goroutine of its own, one at a time. One that hangs
// is left alone: its result comes when it comes.
type looker struct {
	look func() []candidate
	done chan []candidate // nil when none runs
}

// wait gives the result of a look, unless it takes too long.
func (l *looker) wait(ctx context.Context) ([]candidate, bool) {
	if l.done == nil {
		l.done = make(chan []candidate, 1)
		go func(done chan<- []candidate) { done <- l.look() }(l.done)
	}
	t := time.NewTimer(lookWait)
	defer t.Stop()
	select {
	case places := <-l.done:
		l.done = nil
		return places, ctx.Err() == nil
	case <-t.C:
	case <-ctx.Done():
	}
	return nil, false
}

// adopt starts a source for each place that was not there before. Places of this
// machine stay; of nodes in containers those are stopped that are gone.
func (c *Cache) adopt(places []candidate, local bool) {
	c.mu.RLock()
	have := slices.Clone(c.sources)
	c.mu.RUnlock()
	if !local {
		have = slices.DeleteFunc(have, func(s *source) bool {
			if s.local || slices.ContainsFunc(places, func(p candidate) bool { return p.path == s.path }) {
				return false
			}
			s.cancel()
			c.listedNothing(s)
			return true
		})
	}
	for _, p := range places {
		if len(have) >= maxSources || slices.ContainsFunc(have, func(s *source) bool {
			return s.path == p.path || s.inode == p.inode && p.inode != [2]uint64{}
		}) {
			continue
		}
		have = append(have, c.start(p))
	}
	c.mu.Lock()
	c.sources = have
	c.mu.Unlock()
}

// listedNothing marks all that a stopped source knew as gone.
func (c *Cache) listedNothing(s *source) {
	c.mu.Lock()
	s.gen++
	c.mu.Unlock()
	c.listed(s, time.Now())
}

// lookAgain has discover run soon.
func (c *Cache) lookAgain() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// here gives the places of this machine.
func (c *Cache) here() []candidate {
	var out []candidate
	for _, s := range c.opts.Sockets {
		path := strings.TrimPrefix(s, "unix://")
		out = append(out, candidate{path: path, kind: kindOf(path), local: true, explicit: true, inode: c.inode(path)})
	}
	add := func(kind string, patterns ...string) {
		for _, p := range patterns {
			// A pattern cannot be malformed, which is Glob's only error.
			paths, _ := filepath.Glob(filepath.Join(c.opts.Root, p))
			for _, path := range paths {
				out = append(out, candidate{path: path, kind: kind, local: true, inode: c.inode(path)})
			}
		}
	}
	add("cri", criSockets...)
	add("docker", dockerSockets...)
	add("podman", podmanSockets...)
	for _, root := range kubeletRoots {
		add(kindPods, root+podsSocket)
		add(kindState, root+allocatedState)
	}
	add("kubelet logs", logLinks)
	add("docker files", dockerFiles)
	add("podman files", podmanFiles)
	add("nerdctl files", nerdctlFiles)
	return out
}

// nodes finds the sockets in other roots than this one's, by their daemons. A
// daemon in the root of this machine's first process is no node's: only its
// sockets may be where this process does not see them.
func (c *Cache) nodes() []candidate {
	proc := filepath.Join(c.opts.Root, "proc")
	d, err := os.Open(proc)
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	host := c.inode(filepath.Join(proc, "1", "root"))
	var out []candidate
	for len(out) < maxSources {
		names, err := d.Readdirnames(256)
		if err != nil {
			return out
		}
		for _, pid := range names {
			if pid[0] < '1' || pid[0] > '9' {
				continue
			}
			comm, err := os.ReadFile(filepath.Join(proc, pid, "comm"))
			if err != nil || !slices.Contains(daemons, strings.TrimSuffix(string(comm), "\n")) {
				continue
			}
			root := filepath.Join(proc, pid, "root")
			out = append(out, c.node(root, host != [2]uint64{} && c.inode(root) == host)...)
		}
	}
	return out
}

// node gives the places in one root.
func (c *Cache) node(root string, local bool) []candidate {
	var out []candidate
	add := func(kind, socket string) {
		path := filepath.Join(root, socket)
		if id := c.inode(path); id != [2]uint64{} {
			out = append(out, candidate{path: path, kind: kind, local: local, inode: id})
		}
	}
	for _, s := range criSockets {
		add("cri", s)
	}
	add("docker", dockerSockets[0])
	add(kindPods, kubeletRoots[0]+podsSocket)
	return out
}

// kindOf tells by its name what a socket speaks.
func kindOf(path string) string {
	switch {
	case strings.Contains(path, "podman"):
		return "podman"
	case strings.HasSuffix(path, "pods-api.sock"):
		return kindPods
	case strings.HasSuffix(path, "docker.sock"):
		return "docker"
	}
	return "cri"
}

// start makes the source of a place and its goroutine.
func (c *Cache) start(f candidate) *source {
	s := &source{
		cache: c, path: f.path, kind: f.kind, rank: rankRuntime, local: f.local, explicit: f.explicit, inode: f.inode,
		first: make(chan struct{}), wake: make(chan struct{}, 1), pending: map[string]*ask{},
	}
	most := uint32(0)
	if !f.local {
		most = maxForeignAnswer
	}
	put := func(i *Info) bool { return c.put(s, i, false, true) }
	switch f.kind {
	case "cri":
		s.back = &cri{rpc: rpc{path: f.path, most: most}}
	case "docker", "podman":
		s.back = &docker{path: f.path, name: f.kind, most: int64(most)}
	case kindPods:
		s.rank, s.back = rankKubelet, &kubeletPods{rpc: rpc{path: f.path, most: most}, cache: c, put: put}
	case kindState:
		s.rank, s.back = rankFiles, &stateFile{path: f.path, cache: c, put: put}
	case "kubelet logs":
		s.rank, s.back = rankFiles, &logs{dir: f.path}
	case "docker files":
		s.rank, s.back = rankFiles, &dockerDir{dir: f.path, cache: c}
	case "podman files":
		s.rank, s.back = rankFiles, &storage{dir: f.path, cache: c, put: put}
	case "nerdctl files":
		s.rank, s.back = rankFiles, &nerdctl{dir: f.path}
	}
	if !f.explicit && !c.opts.Wake {
		s.lazy = c.sleeping(f)
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(c.ctx)
	c.wg.Add(1)
	go s.run(ctx)
	return s
}

// sleeping says for a socket-activated service whether it is better left alone:
// asking podman starts it each time, asking Docker starts it for good.
func (c *Cache) sleeping(f candidate) func() bool {
	switch f.kind {
	case "podman":
		return func() bool { return true }
	case "docker":
		run := filepath.Dir(f.path)
		return func() bool {
			return !exists(filepath.Join(run, "docker.pid")) && !exists(filepath.Join(run, "docker"))
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// inode identifies a file; zeros if it is not there.
func (c *Cache) inode(path string) [2]uint64 {
	fi, err := c.stat(path)
	if err != nil {
		return [2]uint64{}
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return [2]uint64{}
	}
	return [2]uint64{uint64(st.Dev), st.Ino}
}

// absent says that nobody serves a socket: a file left behind.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// number reads a decimal that may be missing.
func number(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
