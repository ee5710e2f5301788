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
	"sync"
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

// files is a directory that names are read from.
type files struct{ dir string }

func (f *files) hello(context.Context) error {
	_, err := os.Stat(f.dir)
	return err
}
func (*files) close() {}

// logs are kubelet's links to the logs of containers: names of pods and
// containers, also of those whose runtime does not answer.
type logs struct{ files }

func (l *logs) version() string { return "kubelet log links" }

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
type dockerDir struct{ files }

func (d *dockerDir) version() string { return "docker files" }

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
	return v.info(kindDocker), nil
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
	files
	also func(*Info)

	mu   sync.Mutex
	read [2]time.Time // when the files that were read last were written
	at   time.Time
}

// storagePause is how long files that did not change are not read again.
const storagePause = time.Second

// storageContainer is one of its containers; metadata is JSON in a string.
type storageContainer struct {
	ID       string   `json:"id"`
	Names    []string `json:"names"`
	Image    string   `json:"image"`
	Metadata string   `json:"metadata"`
}

type storageMetadata struct {
	ImageName     string `json:"image-name"`
	Name          string `json:"name"`
	PodName       string `json:"pod-name"`
	PodID         string `json:"pod-id"`
	ContainerName string `json:"container-name"`
}

func (s *storage) version() string { return "podman files" }

// get reads the files again if they changed: all that is in them is news then, and
// else what is not known from them is not in them.
func (s *storage) get(_ context.Context, id string) (*Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *Info
	var written [2]time.Time
	names := [2]string{"containers.json", "volatile-containers.json"}
	for n, name := range names {
		if fi, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
			written[n] = fi.ModTime()
		}
	}
	if written == s.read && time.Since(s.at) < storagePause {
		return nil, errNotFound
	}
	s.at = time.Now()
	for n, name := range names {
		if written[n].IsZero() {
			continue
		}
		err := s.each(filepath.Join(s.dir, name), func(i *Info) {
			if i.ID == id {
				found = i
			} else if written != s.read {
				s.also(i)
			}
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read podman's files: %w", err)
		}
	}
	if s.read = written; found == nil {
		return nil, errNotFound
	}
	return found, nil
}

// each reads one file, container by container. The writer replaces the files, so
// they are whole.
func (s *storage) each(path string, f func(*Info)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if fi, err := file.Stat(); err != nil || !fi.Mode().IsRegular() {
		return errors.Join(err, errNoList)
	}
	return eachItem(file, maxFile, func(c *storageContainer) { f(c.info()) })
}

func (c *storageContainer) info() *Info {
	var m storageMetadata
	_ = json.Unmarshal([]byte(c.Metadata), &m) // names are in the list too
	i := &Info{Container: oom.Container{ID: c.ID, Name: text(m.Name), Image: text(m.ImageName), ImageID: text(c.Image)}, whole: true}
	if len(c.Names) > 0 {
		i.Name = text(c.Names[0])
	}
	if f, ok := kubeletName(i.Name); ok {
		i.Pod = &PodInfo{Name: text(f.pod), Namespace: text(f.namespace), UID: text(f.uid)}
		i.Name, i.PodContainer, i.Runtime = text(f.container), text(f.container), "cri-o"
		i.RestartCount = f.attempt
		if f.container == "POD" {
			i.Name, i.PodContainer, i.RestartCount = "", "", oom.Opt[uint64]{}
		}
	}
	return i
}

// kubeletNames are the parts of the name that CRI-O and cri-dockerd give a
// container of kubelet's: k8s_<container>_<pod>_<namespace>_<uid>_<attempt>.
type kubeletNames struct {
	container, pod, namespace, uid string
	attempt                        oom.Opt[uint64]
}

func kubeletName(name string) (n kubeletNames, ok bool) {
	f := strings.Split(name, "_")
	if len(f) != 6 || f[0] != "k8s" {
		return n, false
	}
	n = kubeletNames{container: f[1], pod: f[2], namespace: f[3], uid: f[4]}
	if x, ok := number(f[5]); ok && x < 1<<31 {
		n.attempt = oom.Some(x)
	}
	return n, true
}

// maxItem bounds one item of a list, in bytes.
const maxItem = 1 << 20

var errNoList = errors.New("no list of containers")

// eachItem reads a JSON list item by item. An item is bounded as the whole is.
func eachItem[T any](r io.Reader, most int64, f func(*T)) error {
	all := &io.LimitedReader{R: r, N: most}
	one := &io.LimitedReader{R: all, N: maxItem}
	dec := json.NewDecoder(one)
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return errors.Join(err, errNoList)
	}
	for dec.More() {
		one.N = maxItem
		v := new(T)
		if err := dec.Decode(v); err != nil {
			return err
		}
		f(v)
	}
	_, err := dec.Token()
	return err
}

// nerdctl keeps the names it gave in files that hold the id.
type nerdctl struct{ files }

func (n *nerdctl) version() string { return "nerdctl files" }

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
