package container

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	kindPods = "kubelet pods"
	// podsSocket, below kubelet's root, serves its Pods API: on by default
	// from 1.37, behind a feature gate before (KEP-4188).
	podsSocket = "/pods-api/pods-api.sock"
	// listPods is its call (k8s.io/kubelet/pkg/apis/pods/v1alpha1/api.proto).
	listPods = "/v1alpha1.Pods/ListPods"
	// podsPause is the least time between two questions: an answer is all pods
	// in full.
	podsPause = time.Second
)

// kubeletPods speaks to kubelet: it alone knows what pods asked for, and it knows
// names where the runtime's socket cannot be reached. Its ids come from the
// pods' status, about a second after the runtime has them.
type kubeletPods struct {
	client
	also func(*Info)

	mu    sync.Mutex // held while it is asked: an answer is all pods
	asked time.Time
	full  atomic.Bool
}

func (k *kubeletPods) version() string {
	if k.full.Load() {
		return "kubelet Pods API"
	}
	return ""
}

func (k *kubeletPods) close() { k.client.close() }

func (k *kubeletPods) hello(ctx context.Context) error {
	_, err := k.list(ctx, "")
	return err
}

// maxPods bounds an answer, in bytes: a node has 110 pods, of some 10 KB each.
const maxPods = 8 << 20

// list asks for all pods, since kubelet finds them by their uid only.
func (k *kubeletPods) list(ctx context.Context, id string) (found *Info, err error) {
	conn, err := k.client.get()
	if err != nil {
		return nil, err
	}
	var answer []byte
	err = conn.Invoke(ctx, listPods, &[]byte{}, &answer, grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(maxPods))
	if err != nil {
		return nil, k.refused(ctx, "list pods", err, ErrNoPods)
	}
	k.full.Store(true)
	eachField(answer, func(n fieldNumber, pod []byte, _ uint64) {
		if n != listPodsPods {
			return
		}
		for _, i := range parsePod(pod).infos() {
			if i.ID == id && id != "" {
				found = i
			} else {
				k.also(i)
			}
		}
	})
	return found, nil
}

// get asks not more often than once in a pause.
func (k *kubeletPods) get(ctx context.Context, id string) (*Info, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.asked) < podsPause {
		return nil, errNotFound // or known by now
	}
	k.asked = time.Now()
	found, err := k.list(ctx, id)
	if err == nil && found == nil {
		err = errNotFound
	}
	return found, err
}

// rawCodec takes a message as it is: k8s.io/api, which has a pod's, is many times
// the size of this program.
type rawCodec struct{}

func (rawCodec) Name() string                  { return "proto" }
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = b
	return nil
}

type fieldNumber = protowire.Number

// eachField calls f with each field of a message, as far as it is well formed.
func eachField(b []byte, f func(n fieldNumber, v []byte, x uint64)) {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return
		}
		b = b[size:]
		var v []byte
		var x uint64
		switch kind {
		case protowire.BytesType:
			v, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			x, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(n, kind, b)
		}
		if size < 0 {
			return
		}
		b = b[size:]
		f(n, v, x)
	}
}

// The fields read here: of kubelet's answer (api.proto), and of core/v1 and
// meta/v1 (k8s.io/api/core/v1/generated.proto), whose numbers never change.
const (
	listPodsPods = 1
	podListItems = 2

	podMetadata, podSpec, podStatus = 1, 2, 3

	metaName, metaNamespace, metaUID, metaLabels, metaAnnotations = 1, 3, 5, 11, 12

	specContainers, specInitContainers, specEphemeral, specResources = 2, 20, 34, 40
	ephemeralCommon                                                  = 1

	containerName, containerImage, containerResources = 1, 2, 8

	resourceLimits, resourceRequests = 1, 2

	statusContainers, statusQoS, statusInit, statusEphemeral = 8, 9, 10, 13

	containerStatusName, containerStatusRestarts, containerStatusID = 1, 5, 8

	quantityString = 1

	mapKey, mapValue = 1, 2
)

// configHash is the annotation with a static pod's uid: the one in its cgroup's
// path, where the API server's copy has another.
const configHash = "kubernetes.io/config.hash"

// kubePod is what matters here of a Pod.
type kubePod struct {
	PodInfo
	containers map[string]*kubeContainer
	names      []string
}

type kubeContainer struct {
	image    string
	grant    grant
	id       string
	runtime  string
	restarts oom.Opt[uint64]
}

// maxContainers bounds the containers of a pod.
const maxContainers = 1024

// parsePod reads a Pod as far as it is well formed.
func parsePod(b []byte) *kubePod {
	p := &kubePod{containers: map[string]*kubeContainer{}}
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case podMetadata:
			p.metadata(v)
		case podSpec:
			p.spec(v)
		case podStatus:
			p.status(v)
		}
	})
	return p
}

// infos gives the pod's containers, and the pod alone where none has an id yet.
func (p *kubePod) infos() []*Info {
	if p.UID == "" {
		return nil
	}
	var out []*Info
	for _, name := range p.names {
		c := p.containers[name]
		if c.id == "" {
			continue
		}
		pod := p.PodInfo
		out = append(out, &Info{
			Container: oom.Container{
				ID: c.id, Name: name, Image: c.image, Runtime: c.runtime, RestartCount: c.restarts,
				MemoryRequestBytes: c.grant.request, MemoryLimitBytes: c.grant.limit,
			},
			PodContainer: name, Pod: &pod, whole: true,
		})
	}
	if out == nil {
		out = []*Info{{Pod: &p.PodInfo, whole: true}}
	}
	return out
}

func (p *kubePod) metadata(b []byte) {
	var all labelSet
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case metaName:
			p.Name = text(string(v))
		case metaNamespace:
			p.Namespace = text(string(v))
		case metaUID:
			if p.UID == "" {
				p.UID = text(string(v))
			}
		case metaLabels:
			key, value := entryOf(v)
			all.add(string(key), string(value))
		case metaAnnotations:
			if key, value := entryOf(v); string(key) == configHash && len(value) > 0 {
				p.UID = text(string(value))
			}
		}
	})
	p.Labels = all.labels()
}

func (p *kubePod) spec(b []byte) {
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case specContainers, specInitContainers:
			p.container(v)
		case specResources:
			g := grant{p.MemoryRequestBytes, p.MemoryLimitBytes}
			g.read(v)
			p.MemoryRequestBytes, p.MemoryLimitBytes = g.request, g.limit
		case specEphemeral:
			eachField(v, func(n fieldNumber, v []byte, _ uint64) {
				if n == ephemeralCommon {
					p.container(v)
				}
			})
		}
	})
}

func (p *kubePod) container(b []byte) {
	c := kubeContainer{grant: grant{request: oom.Some(uint64(0))}}
	name := ""
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case containerName:
			name = text(string(v))
		case containerImage:
			c.image = text(string(v))
		case containerResources:
			c.grant.read(v)
		}
	})
	if to := p.named(name); to != nil {
		to.image, to.grant = c.image, c.grant
	}
}

// read takes the memory of a ResourceRequirements.
func (g *grant) read(b []byte) {
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case resourceLimits:
			memory(&g.limit, v)
		case resourceRequests:
			memory(&g.request, v)
		}
	})
}

// named finds a container, or makes room for it: spec and status come in any
// order.
func (p *kubePod) named(name string) *kubeContainer {
	c := p.containers[name]
	if c == nil && name != "" && len(p.names) < maxContainers {
		c = &kubeContainer{}
		p.containers[name] = c
		p.names = append(p.names, name)
	}
	return c
}

// memory takes a map entry's quantity if it is memory's.
func memory(to *oom.Opt[uint64], entry []byte) {
	key, value := entryOf(entry)
	if string(key) != "memory" {
		return
	}
	eachField(value, func(n fieldNumber, v []byte, _ uint64) {
		if n == quantityString {
			*to = quantity(v)
		}
	})
}

func entryOf(b []byte) (key, value []byte) {
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case mapKey:
			key = v
		case mapValue:
			value = v
		}
	})
	return key, value
}

func (p *kubePod) status(b []byte) {
	eachField(b, func(n fieldNumber, v []byte, _ uint64) {
		switch n {
		case statusContainers, statusInit, statusEphemeral:
			p.containerStatus(v)
		case statusQoS:
			switch q := strings.ToLower(string(v)); q {
			case "guaranteed", "burstable", "besteffort":
				p.QoS = text(q)
			}
		}
	})
}

// containerStatus takes what only the status has. A container's id is
// "containerd://<id>".
func (p *kubePod) containerStatus(b []byte) {
	var name, id, runtime string
	restarts := uint64(0) // protobuf may leave a zero out
	eachField(b, func(n fieldNumber, v []byte, x uint64) {
		switch n {
		case containerStatusName:
			name = text(string(v))
		case containerStatusID:
			runtime, id, _ = strings.Cut(string(v), "://")
		case containerStatusRestarts:
			restarts = x
		}
	})
	c := p.named(name)
	if c == nil || !plausible(id) || restarts >= 1<<31 {
		return
	}
	c.id, c.runtime, c.restarts = id, text(runtime), oom.Some(restarts)
}
