package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/oom"
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

// maxSources bounds the sockets and files of the system that are asked. Those of users
// and of containers have bounds of their own: none of them takes the system's place.
const (
	maxSources = 48
	maxUsers   = 32
)

// maxForeign bounds the sockets in containers, and maxEach those in one container with
// all that are in it: it may make as many as it likes. More than maxPlaces are not
// looked at. Where there are too many they take turns: see turn.
const (
	maxForeign = 16
	maxEach    = 4
	maxPlaces  = 1024
	minStay    = 10 * time.Second
)

// The kinds of sources.
const (
	kindCRI    = "cri"
	kindDocker = "docker"
	kindPodman = "podman"
	kindLogs   = "kubelet logs"
)

// candidate is a place that may be asked.
type candidate struct {
	socket
	kind     string
	explicit bool
	inode    [2]uint64 // zeros if it is not there
}

// lookWait bounds how long a look for sockets is waited for. A file system in the
// root of a container may hang, for good.
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

// adopt starts a source for each place that was not there before, and says whether
// there was one. Those at fixed places stay; of those found by a process, the ones
// that are gone are stopped.
func (c *Cache) adopt(places []candidate, here bool) (news bool) {
	c.mu.RLock()
	have := slices.Clone(c.sources)
	c.mu.RUnlock()
	if !here {
		have = slices.DeleteFunc(have, func(s *source) bool {
			if !s.node || slices.ContainsFunc(places, func(p candidate) bool { return p.path == s.path && p.domain == s.domain }) {
				return false
			}
			c.stop(s)
			return true
		})
	}
	c.mu.RLock()
	now, waits := time.Now(), c.waits
	c.mu.RUnlock()
	if !here {
		places = waits.order(places)
	}
	for _, p := range places {
		if slices.ContainsFunc(have, func(s *source) bool {
			return s.path == p.path || s.inode == p.inode && p.inode != [2]uint64{} || p.same(s.domain, s.kind)
		}) {
			continue
		}
		if isFull(have, &p) {
			if p.within == "" || !waits.has(p.domain) {
				continue
			}
			c.mu.RLock()
			out := turn(have, outermost(p.within), now)
			c.mu.RUnlock()
			if out == nil {
				continue
			}
			have = slices.DeleteFunc(have, func(s *source) bool { return s == out })
			c.stop(out)
		}
		have, news = append(have, c.start(p)), true
	}
	c.mu.Lock()
	c.sources = have
	if !here { // of those that are left no engine was found, or they have to come again
		c.waits = slices.DeleteFunc(slices.Clone(c.waits), func(d domain) bool {
			return slices.Contains(waits, d) && (slices.ContainsFunc(have, func(s *source) bool { return s.covers(d) }) ||
				!slices.ContainsFunc(places, func(p candidate) bool { return p.covers(d) }))
		})
	}
	c.mu.Unlock()
	return news
}

// isFull says whether there is room for one more source of a place's kind of domain.
func isFull(have []*source, p *candidate) bool {
	n, each, outer := 0, 0, outermost(p.within)
	for _, s := range have {
		if (s.within != "") != (p.within != "") || s.user.Known != p.user.Known {
			continue
		}
		n++
		if s.outer == outer {
			each++
		}
	}
	switch {
	case p.within != "":
		return n >= maxForeign || each >= maxEach
	case p.user.Known:
		return n >= maxUsers
	}
	return n >= maxSources
}

// turn gives the source that goes where an engine in the outermost container waits for
// its turn: of those in containers, or in this one if it has all it may have, the one
// whose domain has had no unknown container for the longest; nil if all have come just
// now. The caller holds c.mu.
func turn(have []*source, outer string, now time.Time) *source {
	each := 0
	for _, s := range have {
		if s.within != "" && s.outer == outer {
			each++
		}
	}
	var out *source
	for _, s := range have {
		if s.within == "" || each >= maxEach && s.outer != outer || now.Sub(s.began) < minStay {
			continue
		}
		if out == nil || s.used.Before(out.used) {
			out = s
		}
	}
	return out
}

// waiting are the domains in containers that had a container of their own while no
// source spoke for them, the first to come first.
type waiting []domain

func (w waiting) has(d domain) bool {
	return slices.ContainsFunc(w, func(other domain) bool { return d.covers(other) })
}

// order puts the places first whose domain has waited the longest.
func (w waiting) order(places []candidate) []candidate {
	queue := make([][]candidate, len(w)+1)
	for _, p := range places {
		at := slices.IndexFunc(w, p.covers)
		if at < 0 {
			at = len(w)
		}
		queue[at] = append(queue[at], p)
	}
	return slices.Concat(queue...)
}

// await has a domain wait for a source. The caller holds c.mu.
func (c *Cache) await(d domain) {
	if d.within != "" && len(c.waits) < maxPlaces && !slices.Contains(c.waits, d) {
		d.within = strings.Clone(d.within)
		c.waits = append(slices.Clone(c.waits), d)
	}
}

// same says that a place is of a kind that its container has already: it may have one.
func (f *candidate) same(d domain, kind string) bool {
	return d.within != "" && d == f.domain && kind == f.kind
}

// outermost is the cgroup of the container on the machine that another one is in.
func outermost(within string) string {
	for i := 1; i < len(within); i++ {
		if within[i] == '/' && cgroup.Parse(within[:i]).Owner.Container != nil {
			return within[:i]
		}
	}
	return within
}

// stop ends a source. What it told stays, as of others that are gone.
func (c *Cache) stop(s *source) {
	s.cancel()
	c.mu.Lock()
	s.gone = true
	c.mu.Unlock()
}

// here gives the places of this machine.
func (c *Cache) here() []candidate {
	var out []candidate
	for _, s := range c.opts.Sockets {
		path := strings.TrimPrefix(s, "unix://")
		out = append(out, candidate{socket: c.socket(path), kind: kindOf(path), explicit: true, inode: inode(path)})
	}
	add := func(kind string, patterns ...string) {
		for _, p := range patterns {
			// A pattern cannot be malformed, which is Glob's only error.
			paths, _ := filepath.Glob(filepath.Join(c.opts.Root, p))
			for _, path := range paths {
				out = append(out, candidate{socket: c.socket(path), kind: kind, inode: inode(path)})
			}
		}
	}
	files := func(kind string, patterns ...string) {
		n := len(out)
		add(kind, patterns...)
		out = append(out[:n], slices.DeleteFunc(out[n:], func(p candidate) bool { return p.trusted() != nil })...)
	}
	add(kindCRI, criSockets...)
	add(kindDocker, dockerSockets...)
	add(kindPodman, podmanSockets...)
	for _, root := range kubeletRoots {
		add(kindPods, root+podsSocket)
		files(kindState, root+allocatedState)
	}
	files(kindLogs, logLinks)
	files("docker files", dockerFiles)
	files("podman files", podmanFiles)
	files("nerdctl files", nerdctlFiles)
	return out
}

// socket is a place of this machine: the system's, or a user's where it is in the
// directory that systemd made for that user.
func (c *Cache) socket(path string) socket {
	s := socket{path: path, root: "/", proc: filepath.Join(c.opts.Root, "proc")}
	rest, ok := strings.CutPrefix(path, filepath.Join(c.opts.Root, "run/user")+"/")
	if digits, _, deep := strings.Cut(rest, "/"); ok && deep {
		if uid, err := strconv.ParseUint(digits, 10, 32); err == nil && uid > 0 {
			s.user = oom.Some(uint32(uid))
		}
	}
	return s
}

// nodes finds the sockets in other roots than this one's, by their daemons. A
// daemon in the root of this machine's first process is of no container: only its
// sockets may be where this process does not see them.
func (c *Cache) nodes() []candidate {
	proc := filepath.Join(c.opts.Root, "proc")
	d, err := os.Open(proc)
	if err != nil {
		return nil
	}
	defer func() { _ = d.Close() }()
	var out []candidate
	for len(out) < maxPlaces {
		names, err := d.Readdirnames(256)
		if err != nil {
			return out
		}
		for _, pid := range names {
			if pid[0] >= '1' && pid[0] <= '9' && isDaemon(filepath.Join(proc, pid)) {
				out = c.node(out, proc, pid)
			}
		}
	}
	return out
}

func isDaemon(dir string) bool {
	comm, err := os.ReadFile(filepath.Join(dir, "comm"))
	return err == nil && slices.Contains(daemons, strings.TrimSuffix(string(comm), "\n"))
}

// node adds the places in the root of one process, if it may be trusted.
func (c *Cache) node(out []candidate, proc, pid string) []candidate {
	open := func() (*os.File, daemon, error) {
		dir, err := os.Open(filepath.Join(proc, pid))
		if err != nil {
			return nil, daemon{}, err
		}
		d, err := daemonOf(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
		if err != nil {
			return nil, d, errors.Join(err, dir.Close())
		}
		return dir, d, nil
	}
	dir, d, err := open()
	if err != nil {
		return out
	}
	defer func() { _ = dir.Close() }()
	root := filepath.Join(proc, pid, "root")
	add := func(kind, path string) {
		if slices.ContainsFunc(out, func(p candidate) bool { return p.same(d.domain, kind) }) {
			return
		}
		f, err := openIn(d.root, path, d.check)
		if err != nil {
			return
		}
		defer func() { _ = f.Close() }()
		out = append(out, candidate{
			socket: socket{domain: d.domain, path: filepath.Join(root, path), root: root, proc: proc, node: open},
			kind:   kind, inode: inode(fmt.Sprintf("/proc/self/fd/%d", f.Fd())),
		})
	}
	for _, s := range criSockets {
		add(kindCRI, s)
	}
	add(kindDocker, dockerSockets[0])
	if d.system() {
		add(kindPods, kubeletRoots[0]+podsSocket)
	}
	return out
}

// kindOf tells by its name what a socket speaks.
func kindOf(path string) string {
	switch {
	case strings.Contains(path, "podman"):
		return kindPodman
	case strings.HasSuffix(path, "pods-api.sock"):
		return kindPods
	case strings.HasSuffix(path, "docker.sock"):
		return kindDocker
	}
	return kindCRI
}

// start makes the source of a place and its goroutine.
func (c *Cache) start(f candidate) *source {
	s := &source{
		cache: c, domain: f.domain, path: f.path, kind: f.kind, rank: rankRuntime, explicit: f.explicit, inode: f.inode, node: f.node != nil,
		first: make(chan struct{}), wake: make(chan struct{}, 1), pending: map[*entry]*ask{}, began: time.Now(), outer: outermost(f.within),
	}
	also := func(i *Info) { c.put(s, i) }
	switch f.kind {
	case kindCRI:
		s.back = &cri{client: client{socket: &f.socket}}
	case kindDocker, kindPodman:
		s.back = &docker{socket: &f.socket, kind: f.kind}
	case kindPods:
		s.rank, s.back = rankKubelet, &kubeletPods{client: client{socket: &f.socket}, also: also}
	case kindState:
		s.rank, s.back = rankFiles, c.newState(f.path, also)
	case kindLogs:
		s.rank, s.back = rankFiles, &logs{files{dir: f.path}}
	case "docker files":
		s.rank, s.back = rankFiles, &dockerDir{files{dir: f.path}}
	case "podman files":
		s.rank, s.back = rankFiles, &storage{files: files{dir: f.path}, also: also}
	case "nerdctl files":
		s.rank, s.back = rankFiles, &nerdctl{files{dir: f.path}}
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(c.ctx)
	c.wg.Go(func() { s.run(ctx) })
	return s
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

// number reads a decimal that may be missing.
func number(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}
