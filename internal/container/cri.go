package container

import (
	"context"
	"errors"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// The labels by which kubelet tells the runtime whose a container is
// (pkg/kubelet/types/labels.go).
const (
	labelPodName       = "io.kubernetes.pod.name"
	labelPodNamespace  = "io.kubernetes.pod.namespace"
	labelPodUID        = "io.kubernetes.pod.uid"
	labelContainerName = "io.kubernetes.container.name"
)

// maxAnswer bounds an answer of a runtime, in bytes; 10 000 containers are about
// half of it. A node in a container has to do with less: whoever runs a process
// by the name of a daemon is asked.
const (
	maxAnswer        = 32 << 20
	maxForeignAnswer = 4 << 20
)

// The calls of CRI (k8s.io/cri-api/pkg/apis/runtime/v1/api.proto).
const (
	criVersion        = "/runtime.v1.RuntimeService/Version"
	criListSandboxes  = "/runtime.v1.RuntimeService/ListPodSandbox"
	criListContainers = "/runtime.v1.RuntimeService/ListContainers"
	criStatus         = "/runtime.v1.RuntimeService/ContainerStatus"
)

// The fields read of it, and written; their numbers never change. A test holds
// them against the module's own types.
const (
	versionName, versionVersion = 2, 3

	listFilter = 1 // of both lists' requests
	filterID   = 1 // of both filters
	listItem   = 1 // of both lists

	sandboxID, sandboxMetadata, sandboxLabels         = 1, 2, 5
	sandboxMetaName, sandboxMetaUID, sandboxMetaSpace = 1, 2, 3

	criID, criSandbox, criMetadata, criImage, criLabels = 1, 2, 3, 4, 8
	criMetaName, criMetaAttempt                         = 1, 2

	imageImage, imageUserSpecified = 1, 18

	statusRequestID              = 1
	statusStatus                 = 1
	statusImage, statusResources = 8, 16
	resourcesLinux               = 1
	linuxMemoryLimit             = 4
)

// cri speaks to a Kubernetes runtime: containerd, CRI-O, cri-dockerd.
type cri struct {
	rpc
	name string // "containerd", as the runtime calls itself
	full string // with its version
}

func (c *cri) version() string { return c.full }

// hello learns the runtime's name.
func (c *cri) hello(ctx context.Context) error {
	var name, version string
	err := c.call(ctx, "ask version", criVersion, nil, func(n fieldNumber, v []byte, _ uint64) error {
		switch n {
		case versionName:
			name = text(string(v))
		case versionVersion:
			version = text(string(v))
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.name, c.full = name, printable(name+" "+version)
	return nil
}

func (c *cri) list(ctx context.Context, put func(*Info) bool) error {
	if err := c.hello(ctx); err != nil {
		return err
	}
	pods := map[string]*PodInfo{}
	err := c.sandboxes(ctx, "", func(i *Info) bool {
		ok := put(i)
		pods[i.ID] = i.Pod // the cache's own by now
		return ok
	})
	if err != nil {
		return err
	}
	return c.containers(ctx, "", func(i *Info, sandbox string) bool {
		if p := pods[sandbox]; p != nil {
			i.Pod = p
		}
		return put(i)
	})
}

// filtered is a list's request: for all, or for what has an id.
func filtered(id string) []byte {
	return appendText(nil, listFilter, appendText(nil, filterID, id))
}

// sandboxes lists pods, which alone have all labels.
func (c *cri) sandboxes(ctx context.Context, id string, put func(*Info) bool) error {
	return c.call(ctx, "list pods", criListSandboxes, filtered(id), func(n fieldNumber, v []byte, _ uint64) error {
		if n == listItem && !put(c.sandbox(v)) {
			return errEnough
		}
		return nil
	})
}

func (c *cri) sandbox(b []byte) *Info {
	p := &PodInfo{}
	i := &Info{Container: oom.Container{Runtime: c.name}, Pod: p}
	var all labelSet
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case sandboxID:
			i.ID = identity(v)
		case sandboxMetadata:
			eachField(v, func(n fieldNumber, v []byte, _ uint64) {
				switch n {
				case sandboxMetaName:
					p.Name = text(string(v))
				case sandboxMetaUID:
					p.UID = text(string(v))
				case sandboxMetaSpace:
					p.Namespace = text(string(v))
				}
			})
		case sandboxLabels:
			all.add(entryOf(v))
		}
	})
	p.Labels = all.labels()
	return i
}

// containers lists containers, with the id of each one's sandbox.
func (c *cri) containers(ctx context.Context, id string, put func(i *Info, sandbox string) bool) error {
	return c.call(ctx, "list containers", criListContainers, filtered(id), func(n fieldNumber, v []byte, _ uint64) error {
		if n != listItem {
			return nil
		}
		if i, sandbox := c.info(v); !put(i, sandbox) {
			return errEnough
		}
		return nil
	})
}

// info reads one container. What its labels say of the pod is for where nobody
// knows the sandbox.
func (c *cri) info(b []byte) (i *Info, sandbox string) {
	i = &Info{Container: oom.Container{Runtime: c.name, RestartCount: oom.Some(uint64(0))}}
	var pod PodInfo
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case criID:
			i.ID = identity(v)
		case criSandbox:
			sandbox = identity(v)
		case criMetadata:
			eachField(v, func(n fieldNumber, v []byte, x uint64) {
				switch n {
				case criMetaName:
					i.Name = text(string(v))
				case criMetaAttempt:
					i.RestartCount = oom.Some(x & 0xffffffff)
				}
			})
		case criImage:
			i.Image = imageName(v)
		case criLabels:
			switch key, value := entryOf(v); string(key) {
			case labelPodName:
				pod.Name = text(string(value))
			case labelPodNamespace:
				pod.Namespace = text(string(value))
			case labelPodUID:
				pod.UID = text(string(value))
			}
		}
	})
	i.PodContainer = i.Name
	if pod.Name != "" || pod.UID != "" {
		i.Pod = &pod
	}
	return i, sandbox
}

// imageName prefers the name that a person gave to the digest that kubelet made
// of it.
func imageName(b []byte) string {
	var image, user string
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case imageImage:
			image = text(string(v))
		case imageUserSpecified:
			user = text(string(v))
		}
	})
	first(&user, image)
	return user
}

func (c *cri) get(ctx context.Context, id string) (*Info, error) {
	if c.name == "" {
		if err := c.hello(ctx); err != nil {
			return nil, err
		}
	}
	var found *Info
	var sandbox string
	err := c.containers(ctx, id, func(i *Info, of string) bool {
		if i.ID == id { // filters take prefixes
			found, sandbox = i, of
		}
		return found == nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	if found == nil {
		sandbox = id
	}
	pod, err := c.sandboxOf(ctx, sandbox)
	if found == nil {
		return pod, err
	}
	if err == nil { // else what the labels say has to do
		found.Pod = pod.Pod
	}
	_ = c.detail(ctx, found) // names matter more than the limit
	return found, nil
}

func (c *cri) sandboxOf(ctx context.Context, id string) (*Info, error) {
	if id == "" {
		return nil, errNotFound
	}
	var found *Info
	err := c.sandboxes(ctx, id, func(i *Info) bool {
		if i.ID == id {
			found = i
		}
		return found == nil
	})
	switch {
	case found != nil:
		return found, nil
	case err == nil:
		err = errNotFound
	}
	return nil, err
}

// detail adds the memory limit, and an image's name where the list had a digest.
func (c *cri) detail(ctx context.Context, i *Info) error {
	return c.call(ctx, "ask container status", criStatus, appendText(nil, statusRequestID, i.ID), func(n fieldNumber, v []byte, _ uint64) error {
		if n == statusStatus {
			eachField(v, func(n fieldNumber, v []byte, _ uint64) { addStatus(i, n, v) })
		}
		return nil
	})
}

func addStatus(i *Info, n fieldNumber, v []byte) {
	switch n {
	case statusImage:
		if name := imageName(v); name != "" && (i.Image == "" || digest(i.Image)) {
			i.Image = name
		}
	case statusResources:
		eachField(v, func(n fieldNumber, v []byte, _ uint64) {
			if n != resourcesLinux {
				return
			}
			eachField(v, func(n fieldNumber, _ []byte, x uint64) {
				if n == linuxMemoryLimit && int64(x) > 0 {
					i.MemoryLimitBytes = oom.Some(x)
				}
			})
		})
	}
}

// digest says that an image is named by its contents only.
func digest(s string) bool {
	return len(s) >= 64 && (s[:7] == "sha256:" || len(s) == 64)
}

// identity is an id as a runtime wrote it, and nothing where it cannot be one.
func identity(v []byte) string {
	if len(v) > maxID {
		return ""
	}
	return string(v)
}
