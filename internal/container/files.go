package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// The files that tell names without any socket.
const (
	// logLinks holds kubelet's links <pod>_<namespace>_<container>-<id>.log to
	// /var/log/pods/<namespace>_<pod>_<uid>/<container>/<n>.log.
	logLinks = "/var/log/containers"
	// dockerFiles holds a directory for each container.
	dockerFiles = "/var/lib/docker/containers"
	// podmanFiles is containers/storage's, used by podman and CRI-O.
	podmanFiles = "/var/lib/containers/storage/*-containers"
	// nerdctlFiles holds <hash>/names/<namespace>/<name>, each with an id.
	nerdctlFiles = "/var/lib/nerdctl/*/names"
)

// maxFile bounds what is read of one file, in bytes.
const maxFile = 8 << 20

// readFile reads a regular file, bounded.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, errors.Join(err, errNotFound)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// logs are kubelet's links to the logs of containers: names of pods and
// containers, also of those whose runtime does not answer.
type logs struct{ dir string }

func (l *logs) version() string                     { return "kubelet log links" }
func (l *logs) close()                              {}
func (l *logs) detail(context.Context, *Info) error { return nil }
func (l *logs) list(_ context.Context, put func(*Info)) error {
	return eachName(l.dir, func(name string) bool {
		if i := l.link(name); i != nil {
			put(i)
		}
		return true
	})
}

func (l *logs) get(_ context.Context, id string) (*Info, error) {
	var found *Info
	err := eachName(l.dir, func(name string) bool {
		if strings.HasSuffix(name, "-"+id+".log") {
			found = l.link(name)
		}
		return found == nil
	})
	if err == nil && found == nil {
		err = errNotFound
	}
	return found, err
}

// link reads one link; nil if its name is not kubelet's.
func (l *logs) link(name string) *Info {
	rest, ok := strings.CutSuffix(name, ".log")
	i := strings.LastIndexByte(rest, '-')
	if !ok || i < 0 || len(rest)-i-1 != 64 {
		return nil
	}
	pod, rest2, ok := strings.Cut(rest[:i], "_")
	namespace, ct, ok2 := strings.Cut(rest2, "_")
	if !ok || !ok2 || pod == "" || namespace == "" || ct == "" {
		return nil
	}
	info := &Info{
		Container:    oom.Container{ID: strings.Clone(rest[i+1:]), Name: text(ct)},
		PodContainer: text(ct),
		Pod:          &PodInfo{Namespace: text(namespace), Name: text(pod)},
	}
	if target, err := os.Readlink(filepath.Join(l.dir, name)); err == nil {
		dir := filepath.Base(filepath.Dir(filepath.Dir(target)))
		if uid, ok := strings.CutPrefix(dir, namespace+"_"+pod+"_"); ok {
			info.Pod.UID = text(uid)
		}
	}
	return info
}

// eachName reads a directory in pieces, until f returns false.
func eachName(dir string, f func(name string) bool) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	defer func() { _ = d.Close() }()
	for {
		names, err := d.Readdirnames(256)
		for _, n := range names {
			if !f(n) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
	}
}

// dockerDir is what dockerd keeps of each container on disk.
type dockerDir struct {
	dir   string
	cache *Cache
}

func (d *dockerDir) version() string                     { return "docker files" }
func (d *dockerDir) close()                              {}
func (d *dockerDir) detail(context.Context, *Info) error { return nil }

// list reads only those that nobody has told of yet: there are two files each.
func (d *dockerDir) list(ctx context.Context, put func(*Info)) error {
	return eachName(d.dir, func(id string) bool {
		i, ok := d.cache.Lookup(id)
		if !ok {
			got, err := d.get(ctx, id)
			if err != nil {
				return ctx.Err() == nil
			}
			i = *got
		}
		put(&i)
		return ctx.Err() == nil
	})
}

func (d *dockerDir) get(_ context.Context, id string) (*Info, error) {
	b, err := readFile(filepath.Join(d.dir, id, "config.v2.json"))
	if err != nil {
		return nil, missing("read Docker's file", err)
	}
	v := &dockerInspect{}
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("read Docker's file: %w", err)
	}
	if b, err = readFile(filepath.Join(d.dir, id, "hostconfig.json")); err == nil {
		// The limit is worth nothing without a name, and the other way round.
		_ = json.Unmarshal(b, &v.HostConfig)
	}
	i := (&docker{name: "docker"}).info(id, v.Name, v.Config.Image, v.Config.Labels, "", "")
	v.add(i)
	return i, nil
}

// missing keeps a file that is not there apart from one that cannot be read.
func missing(what string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errNotFound
	}
	return fmt.Errorf("%s: %w", what, err)
}

// storage is the list of containers that containers/storage keeps for podman and
// CRI-O: containers.json, and for those that leave with their boot
// volatile-containers.json.
type storage struct {
	dir   string
	read  [2]time.Time // when the files that infos come from were written
	infos map[string]*Info
}

// storageContainer is one of its containers; metadata is JSON in a string.
type storageContainer struct {
	ID       string   `json:"id"`
	Names    []string `json:"names"`
	Metadata string   `json:"metadata"`
}

type storageMetadata struct {
	ImageName     string `json:"image-name"`
	Name          string `json:"name"`
	PodName       string `json:"pod-name"`
	PodID         string `json:"pod-id"`
	ContainerName string `json:"container-name"`
}

func (s *storage) version() string                     { return "podman files" }
func (s *storage) close()                              {}
func (s *storage) detail(context.Context, *Info) error { return nil }

func (s *storage) list(_ context.Context, put func(*Info)) error {
	if err := s.refresh(); err != nil {
		return err
	}
	for _, i := range s.infos {
		c := *i
		put(&c)
	}
	return nil
}

func (s *storage) get(_ context.Context, id string) (*Info, error) {
	if err := s.refresh(); err != nil {
		return nil, err
	}
	i := s.infos[id]
	if i == nil {
		return nil, errNotFound
	}
	c := *i
	return &c, nil
}

// refresh reads the files again if they changed. The writer replaces them, so
// they are whole.
func (s *storage) refresh() error {
	files := [2]string{"containers.json", "volatile-containers.json"}
	var written [2]time.Time
	for n, f := range files {
		if fi, err := os.Stat(filepath.Join(s.dir, f)); err == nil {
			written[n] = fi.ModTime()
		}
	}
	if s.infos != nil && written == s.read {
		return nil
	}
	infos := map[string]*Info{}
	for n, f := range files {
		if written[n].IsZero() {
			continue
		}
		b, err := readFile(filepath.Join(s.dir, f))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var list []storageContainer
		if err == nil {
			err = json.Unmarshal(b, &list)
		}
		if err != nil {
			return fmt.Errorf("read podman's files: %w", err)
		}
		for _, c := range list {
			infos[c.ID] = c.info()
		}
	}
	s.infos, s.read = infos, written
	return nil
}

func (c *storageContainer) info() *Info {
	var m storageMetadata
	_ = json.Unmarshal([]byte(c.Metadata), &m) // names are in the list too
	i := &Info{Container: oom.Container{ID: c.ID, Name: text(m.Name), Image: text(m.ImageName)}}
	if len(c.Names) > 0 {
		i.Name = text(c.Names[0])
	}
	// kubelet's containers of CRI-O: k8s_<container>_<pod>_<namespace>_<uid>_<n>.
	if f := strings.Split(i.Name, "_"); len(f) == 6 && f[0] == "k8s" {
		i.Pod = &PodInfo{Name: text(f[2]), Namespace: text(f[3]), UID: text(f[4])}
		i.Name, i.PodContainer, i.Runtime = text(f[1]), text(f[1]), "cri-o"
		if f[1] == "POD" {
			i.Name, i.PodContainer = "", ""
		}
	}
	return i
}

// nerdctl keeps the names it gave in files that hold the id.
type nerdctl struct{ dir string }

func (n *nerdctl) version() string                     { return "nerdctl files" }
func (n *nerdctl) close()                              {}
func (n *nerdctl) detail(context.Context, *Info) error { return nil }

func (n *nerdctl) list(_ context.Context, put func(*Info)) error {
	return n.each(func(i *Info) bool {
		put(i)
		return true
	})
}

func (n *nerdctl) get(_ context.Context, id string) (*Info, error) {
	var found *Info
	err := n.each(func(i *Info) bool {
		if i.ID == id {
			found = i
		}
		return found == nil
	})
	if err == nil && found == nil {
		err = errNotFound
	}
	return found, err
}

func (n *nerdctl) each(f func(*Info) bool) error {
	return eachName(n.dir, func(namespace string) bool {
		more := true
		// A namespace that went in between has no names.
		_ = eachName(filepath.Join(n.dir, namespace), func(name string) bool {
			b, err := readFile(filepath.Join(n.dir, namespace, name))
			if id := strings.TrimSpace(string(b)); err == nil && plausible(id) {
				more = f(&Info{Container: oom.Container{ID: id, Name: text(name), Runtime: "nerdctl"}})
			}
			return more
		})
		return more
	})
}
