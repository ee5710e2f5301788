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

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
}

// discover starts a source for each place that was not there before, and stops
// those of processes that are gone.
func (c *Cache) discover() {
	found := c.candidates()
	c.mu.RLock()
	have := slices.Clone(c.sources)
	c.mu.RUnlock()
	have = slices.DeleteFunc(have, func(s *source) bool {
		if s.local || exists(s.path) {
			return false
		}
		s.cancel()
		s.cache.listedNothing(s)
		return true
	})
	inodes := map[[2]uint64]bool{}
	for _, s := range have {
		inodes[inode(s.path)] = true
	}
	for _, f := range found {
		id := inode(f.path)
		if len(have) >= maxSources || slices.ContainsFunc(have, func(s *source) bool { return s.path == f.path }) ||
			id != [2]uint64{} && inodes[id] {
			continue
		}
		inodes[id] = true
		have = append(have, c.start(f))
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

func (c *Cache) candidates() []candidate {
	var out []candidate
	for _, s := range c.opts.Sockets {
		path := strings.TrimPrefix(s, "unix://")
		out = append(out, candidate{path: path, kind: kindOf(path), local: true, explicit: true})
	}
	add := func(kind string, patterns ...string) {
		for _, p := range patterns {
			// A pattern cannot be malformed, which is Glob's only error.
			paths, _ := filepath.Glob(filepath.Join(c.opts.Root, p))
			for _, path := range paths {
				out = append(out, candidate{path: path, kind: kind, local: true})
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
	return append(out, c.nodes()...)
}

// nodes finds the sockets in other roots than this one's, by their daemons.
func (c *Cache) nodes() []candidate {
	proc := filepath.Join(c.opts.Root, "proc")
	d, err := os.Open(proc)
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
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
			for _, s := range criSockets {
				if path := filepath.Join(root, s); exists(path) {
					out = append(out, candidate{path: path, kind: "cri"})
				}
			}
			if path := filepath.Join(root, dockerSockets[0]); exists(path) {
				out = append(out, candidate{path: path, kind: "docker"})
			}
			if path := filepath.Join(root, kubeletRoots[0]+podsSocket); exists(path) {
				out = append(out, candidate{path: path, kind: kindPods})
			}
		}
	}
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
		cache: c, path: f.path, kind: f.kind, rank: rankRuntime, local: f.local, explicit: f.explicit,
		first: make(chan struct{}), wake: make(chan struct{}, 1), pending: map[string]*ask{},
	}
	switch f.kind {
	case "cri":
		s.open = func() (backend, error) { return openCRI(f.path) }
	case "docker", "podman":
		s.open = func() (backend, error) { return openDocker(f.path, f.kind), nil }
	case kindPods:
		s.rank, s.open = rankKubelet, func() (backend, error) {
			return openPods(f.path, func(i *Info) { c.put(s, i, true, false) })
		}
	case kindState:
		s.rank, s.open = rankFiles, func() (backend, error) {
			return &stateFile{path: f.path, cache: c, put: func(i *Info) { c.put(s, i, true, false) }}, nil
		}
	case "kubelet logs":
		s.rank, s.open = rankFiles, func() (backend, error) { return &logs{dir: f.path}, nil }
	case "docker files":
		s.rank, s.open = rankFiles, func() (backend, error) { return &dockerDir{dir: f.path, cache: c}, nil }
	case "podman files":
		s.rank, s.open = rankFiles, func() (backend, error) { return &storage{dir: f.path}, nil }
	case "nerdctl files":
		s.rank, s.open = rankFiles, func() (backend, error) { return &nerdctl{dir: f.path}, nil }
	}
	if !f.explicit {
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
func inode(path string) [2]uint64 {
	fi, err := os.Stat(path)
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

// known turns gRPC's codes into errors that the rest can compare.
func known(what string, err error) error {
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.NotFound:
		return errNotFound
	case codes.Unimplemented:
		return ErrNoRuntime
	}
	return &callError{what: what, err: err}
}

// callError is a call that a runtime did not answer as it should.
type callError struct {
	what string
	err  error
}

func (e *callError) Error() string { return e.what + ": " + status.Convert(e.err).Message() }
func (e *callError) Unwrap() error { return e.err }

// number reads a decimal that may be missing.
func number(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
