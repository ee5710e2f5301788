package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// docker speaks to Docker, and to podman, whose own API knows its pods.
type docker struct {
	*socket
	kind string
	who  atomic.Pointer[dockerVersion]
}

// dockerVersion is who answers, and the beginning of every request's path:
// podman's own API is versioned.
type dockerVersion struct{ name, full, prefix string }

var errNoDocker = errors.New("is neither Docker nor podman")

// dockerInspect is one container in full.
type dockerInspect struct {
	ID           string `json:"Id"`
	Name         string
	Image        string // its id
	ImageName    string // podman's
	RestartCount json.Number
	Pod          string // podman's
	Config       struct {
		Image  string
		Labels map[string]string
	}
	HostConfig struct {
		Memory       json.Number
		CgroupParent string
	}
}

// statusError is an answer other than success.
type statusError struct {
	what string
	code int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: answered %d %s", e.what, e.code, http.StatusText(e.code))
}

func (d *docker) version() string {
	if v := d.who.Load(); v != nil {
		return v.full
	}
	return ""
}

func (d *docker) close() {}

// hello learns who answers: podman serves Docker's API too.
func (d *docker) hello(ctx context.Context) error {
	header, err := d.do(ctx, "ask who answers", "/_ping", func(io.Reader) error { return nil })
	if err != nil {
		return err
	}
	v := &dockerVersion{name: d.kind}
	name, version, ok := strings.Cut(strings.SplitN(header.Get("Server"), " ", 2)[0], "/")
	switch {
	case ok && strings.EqualFold(name, "libpod"):
		v.name, v.prefix = kindPodman, "/v4.0.0/libpod"
	case ok && strings.EqualFold(name, "docker"):
		v.name = kindDocker
	default:
		return &downError{errNoDocker}
	}
	v.full = printable(strings.TrimSpace(v.name + " " + version))
	d.who.Store(v)
	return nil
}

// maxAnswer and maxForeignAnswer bound an answer, in bytes.
const (
	maxAnswer        = 2 << 20
	maxForeignAnswer = 64 << 10
)

func (d *docker) bound() int64 {
	if d.system() {
		return maxAnswer
	}
	return maxForeignAnswer
}

func (d *docker) get(ctx context.Context, id string) (*Info, error) {
	if d.who.Load() == nil {
		if err := d.hello(ctx); err != nil {
			return nil, err
		}
	}
	who := d.who.Load()
	v := &dockerInspect{}
	if err := d.decode(ctx, "ask for container", who.prefix+"/containers/"+id+"/json", v); err != nil {
		return nil, err
	}
	i := v.info(who.name)
	if v.Pod != "" && i.Pod == nil {
		i.Pod = &PodInfo{UID: text(v.Pod), Name: d.podName(ctx, v.Pod)}
		i.PodContainer = i.Name
	}
	i.whole = true
	return i, nil
}

// info reads an answer, or Docker's file of it.
func (v *dockerInspect) info(runtime string) *Info {
	i := &Info{
		Container: oom.Container{
			ID: v.ID, Name: text(strings.TrimPrefix(v.Name, "/")), Image: word(v.Config.Image), ImageID: word(v.Image), Runtime: runtime,
		},
		Pod: labelled(v.Config.Labels), parent: text(v.HostConfig.CgroupParent),
	}
	first(&i.Image, text(v.ImageName))
	if digest(i.Image) && v.ImageName != "" {
		i.Image = text(v.ImageName)
	}
	// Docker counts its own restarts, and kubelet makes a new container each time.
	if f, ok := kubeletName(i.Name); ok {
		i.RestartCount = f.attempt
	} else if n, ok := number(v.RestartCount.String()); ok {
		i.RestartCount = oom.Some(n)
	}
	if i.Pod != nil {
		if i.PodContainer = text(v.Config.Labels[labelContainerName]); i.PodContainer == "POD" {
			i.PodContainer = ""
		}
		if i.PodContainer != "" {
			i.Name = i.PodContainer
		}
	}
	if n, ok := number(v.HostConfig.Memory.String()); ok && n > 0 {
		i.MemoryLimitBytes = oom.Some(n)
	}
	return i
}

// podName asks podman for the name of a pod; a pod without one is still a pod.
func (d *docker) podName(ctx context.Context, id string) string {
	if id == "" || !plausible(id) {
		return ""
	}
	var v struct{ Name string }
	if err := d.decode(ctx, "ask for pod", d.who.Load().prefix+"/pods/"+id+"/json", &v); err != nil {
		return ""
	}
	return text(v.Name)
}

// decode asks for an object; the answer is bounded.
func (d *docker) decode(ctx context.Context, what, path string, v any) error {
	_, err := d.do(ctx, what, path, func(r io.Reader) error { return json.NewDecoder(r).Decode(v) })
	return err
}

// do asks over a connection of its own, and gives the answer's headers.
func (d *docker) do(ctx context.Context, what, path string, read func(io.Reader) error) (http.Header, error) {
	client := http.Client{
		Transport: &http.Transport{
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return d.dial(ctx) },
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeaders,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	r, err := client.Do(req)
	if at := (*url.Error)(nil); errors.As(err, &at) {
		err = &downError{at.Err} // it breaks off, or is no HTTP
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = r.Body.Close() }()
	switch r.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, errNotFound
	default:
		return nil, &statusError{what: what, code: r.StatusCode}
	}
	if err := read(io.LimitReader(r.Body, d.bound())); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return r.Header, nil
}

// labelled makes a pod of a container's labels; nil if there is none in them.
func labelled(l map[string]string) *PodInfo {
	if l[labelPodName] == "" && l[labelPodUID] == "" {
		return nil
	}
	return &PodInfo{Namespace: word(l[labelPodNamespace]), Name: text(l[labelPodName]), UID: text(l[labelPodUID])}
}
