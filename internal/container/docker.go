package container

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// docker speaks to Docker, and to podman, whose own API knows its pods.
type docker struct {
	path   string
	name   string // "docker" or "podman"
	full   string
	prefix string // of every request: podman's own API is versioned
	most   int64  // bounds an answer, in bytes; zero means maxAnswer
}

// dockerContainer is what the lists and answers of both APIs have in common, as
// far as it matters here.
type dockerContainer struct {
	ID     string `json:"Id"`
	Names  []string
	Image  string
	Labels map[string]string
	// podman only
	Pod, PodName string
}

// dockerInspect is one container in full.
type dockerInspect struct {
	ID           string `json:"Id"`
	Name         string
	ImageName    string // podman's
	RestartCount json.Number
	Pod          string // podman's
	Config       struct {
		Image  string
		Labels map[string]string
	}
	HostConfig struct{ Memory json.Number }
}

// statusError is an answer other than success.
type statusError struct {
	what string
	code int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: answered %d %s", e.what, e.code, http.StatusText(e.code))
}

func (d *docker) version() string { return d.full }

// hello learns who answers: podman serves Docker's API too.
func (d *docker) hello(ctx context.Context) error {
	r, err := d.do(ctx, "ask who answers", "/_ping")
	if err != nil {
		return err
	}
	finish(r.Body)
	name, version, ok := strings.Cut(strings.SplitN(r.Header.Get("Server"), " ", 2)[0], "/")
	switch {
	case ok && strings.EqualFold(name, "libpod"):
		d.name, d.prefix = "podman", "/v4.0.0/libpod"
	case ok && strings.EqualFold(name, "docker"):
		d.name, d.prefix = "docker", ""
	}
	d.full = printable(strings.TrimSpace(d.name + " " + version))
	return nil
}

// list takes the stopped ones too: a log may tell of their kill.
func (d *docker) list(ctx context.Context, put func(*Info) bool) error {
	if err := d.hello(ctx); err != nil {
		return err
	}
	const what = "list containers"
	r, err := d.do(ctx, what, d.prefix+"/containers/json?all=true")
	if err != nil {
		return err
	}
	defer finish(r.Body)
	err = eachItem(r.Body, d.bound(), func(c *dockerContainer) bool {
		name := ""
		if len(c.Names) > 0 {
			name = c.Names[0]
		}
		return put(d.info(c.ID, name, c.Image, c.Labels, c.Pod, c.PodName))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (d *docker) bound() int64 {
	if d.most > 0 {
		return d.most
	}
	return maxAnswer
}

var errNoList = errors.New("the answer is no list")

func (d *docker) info(id, name, image string, l map[string]string, podID, podName string) *Info {
	i := &Info{
		Container: oom.Container{ID: id, Name: text(strings.TrimPrefix(name, "/")), Image: text(image), Runtime: d.name},
		Pod:       labelled(l),
	}
	// Docker counts its own restarts, and kubelet makes a new container each time.
	if f, ok := kubeletName(i.Name); ok {
		i.RestartCount = f.attempt
	}
	if i.Pod != nil {
		if i.PodContainer = text(l[labelContainerName]); i.PodContainer == "POD" {
			i.PodContainer = ""
		}
		if i.PodContainer != "" {
			i.Name = i.PodContainer
		}
	} else if podID != "" {
		i.Pod = &PodInfo{UID: text(podID), Name: text(podName)}
		i.PodContainer = i.Name
	}
	return i
}

func (d *docker) get(ctx context.Context, id string) (*Info, error) {
	if d.full == "" {
		if err := d.hello(ctx); err != nil {
			return nil, err
		}
	}
	v, err := d.inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	image := v.Config.Image
	first(&image, v.ImageName)
	i := d.info(id, v.Name, image, v.Config.Labels, v.Pod, d.podName(ctx, v.Pod))
	v.add(i)
	return i, nil
}

// podName asks podman for the name of a pod; a pod without one is still a pod.
func (d *docker) podName(ctx context.Context, id string) string {
	if id == "" || !plausible(id) {
		return ""
	}
	var v struct{ Name string }
	if err := d.decode(ctx, "ask for pod", d.prefix+"/pods/"+id+"/json", &v); err != nil {
		return ""
	}
	return v.Name
}

func (d *docker) inspect(ctx context.Context, id string) (*dockerInspect, error) {
	v := &dockerInspect{}
	if err := d.decode(ctx, "ask for container", d.prefix+"/containers/"+id+"/json", v); err != nil {
		return nil, err
	}
	if v.ID != id {
		return nil, errNotFound // names and prefixes are answered too
	}
	return v, nil
}

func (d *docker) detail(ctx context.Context, i *Info) error {
	v, err := d.inspect(ctx, i.ID)
	if err != nil {
		return err
	}
	v.add(i)
	return nil
}

// add takes what only the full answer has.
func (v *dockerInspect) add(i *Info) {
	if n, ok := number(v.HostConfig.Memory.String()); ok {
		i.MemoryLimitBytes = oom.Opt[uint64]{Value: n, Known: n > 0} // it can be lifted
	}
	if f, ok := kubeletName(strings.TrimPrefix(v.Name, "/")); ok {
		i.RestartCount = f.attempt
	} else if n, ok := number(v.RestartCount.String()); ok {
		i.RestartCount = oom.Some(n)
	}
}

func (d *docker) decode(ctx context.Context, what, path string, v any) error {
	r, err := d.do(ctx, what, path)
	if err != nil {
		return err
	}
	defer finish(r.Body)
	if err := json.NewDecoder(io.LimitReader(r.Body, maxItem)).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// do sends one request over a connection of its own: http.Transport would write
// to the standard logger what a socket says unasked. The answer's body is the
// caller's to finish.
func (d *docker) do(ctx context.Context, what, path string) (*http.Response, error) {
	r, err := d.send(ctx, path)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	switch r.StatusCode {
	case http.StatusOK:
		return r, nil
	case http.StatusNotFound:
		finish(r.Body)
		return nil, errNotFound
	}
	finish(r.Body)
	return nil, &statusError{what: what, code: r.StatusCode}
}

func (d *docker) send(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", d.path)
	if err != nil {
		return nil, err
	}
	// The end of the context ends a read that is under way.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if err = req.Write(conn); err == nil {
		var r *http.Response
		if r, err = http.ReadResponse(bufio.NewReader(io.LimitReader(conn, d.bound())), req); err == nil {
			r.Body = &body{ReadCloser: r.Body, conn: conn, stop: stop}
			return r, nil
		}
	}
	stop()
	_ = conn.Close()
	return nil, err
}

// body closes the connection with the answer.
type body struct {
	io.ReadCloser
	conn net.Conn
	stop func() bool
}

// labelled makes a pod of a container's labels; nil if there is none in them.
func labelled(l map[string]string) *PodInfo {
	if l[labelPodName] == "" && l[labelPodUID] == "" {
		return nil
	}
	return &PodInfo{Namespace: text(l[labelPodNamespace]), Name: text(l[labelPodName]), UID: text(l[labelPodUID])}
}

func (b *body) Close() error {
	b.stop()
	return b.conn.Close()
}

func finish(b io.Closer) { _ = b.Close() }
