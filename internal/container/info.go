// Package container knows the names of containers and pods: it asks the runtimes
// of this machine (CRI, Docker, podman) and reads kubelet's files, and keeps
// what they say before anything is killed, since afterwards nobody may know.
package container

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unique"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Info is what is known of one container. Its strings and labels are shared with
// the cache: they must not be changed.
type Info struct {
	oom.Container
	// PodContainer is the container's name within its pod; empty for a pod's
	// sandbox.
	PodContainer string
	// Pod is the pod it belongs to; nil outside of pods.
	Pod *PodInfo

	// parent is the cgroup that the container was asked to be started in, and
	// whole says that all of the pod's labels are there.
	parent string
	whole  bool
}

// PodInfo is what is known of one Kubernetes or podman pod.
type PodInfo struct {
	Namespace, Name, UID string
	// QoS is "guaranteed", "burstable" or "besteffort"; empty where only the
	// cgroup path tells.
	QoS string
	// SwapBehavior is kubelet's on this node.
	SwapBehavior string
	// MemoryRequestBytes and MemoryLimitBytes are the pod's own (KEP-2837), not
	// the sums of its containers'.
	MemoryRequestBytes, MemoryLimitBytes oom.Opt[uint64]
	Labels                               Labels
}

// Labels are a pod's, by their keys. There are many pods with few labels each:
// a map would be ten times as big.
type Labels []Label

// Label is one of them.
type Label struct{ Key, Value string }

// Get returns the value of a key, or nothing.
func (l Labels) Get(key string) string {
	for _, one := range l {
		if one.Key == key {
			return one.Value
		}
	}
	return ""
}

func (l Labels) bytes() (n int) {
	for _, one := range l {
		n += len(one.Key) + len(one.Value)
	}
	return n
}

// Map returns a copy; nil where there are none.
func (l Labels) Map() map[string]string {
	if len(l) == 0 {
		return nil
	}
	m := make(map[string]string, len(l))
	for _, one := range l {
		m[one.Key] = one.Value
	}
	return m
}

const (
	// maxLabels and maxLabelBytes bound a pod's labels.
	maxLabels     = 64
	maxLabelBytes = 4 << 10
)

// labelSet collects labels, bounded. Those that only repeat the names of the pod
// are left out.
type labelSet struct {
	all  Labels
	size int
}

func (s *labelSet) add(key, value string) {
	if strings.HasPrefix(key, "io.kubernetes.pod.") || strings.HasPrefix(key, "io.kubernetes.container.") {
		return
	}
	if s.size += len(key) + len(value); len(s.all) < maxLabels && s.size <= maxLabelBytes {
		s.all = append(s.all, Label{word(key), word(value)})
	}
}

// labelsOf gives those of a map, in an order of their own: what is left out of too
// many is always the same.
func labelsOf(m map[string]string) Labels {
	var all labelSet
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all.add(key, m[key])
	}
	return all.labels()
}

func (s *labelSet) labels() Labels {
	slices.SortStableFunc(s.all, func(a, b Label) int { return strings.Compare(a.Key, b.Key) })
	return slices.Clip(s.all)
}

// Source is one place that names are asked from.
type Source struct {
	// Name is the runtime's own, with its version, once it has answered.
	Name string
	// Socket is the path of a socket or a directory.
	Socket string
	// OK says that it answered when it was last asked; Err is why not, and nil
	// where it was not asked yet.
	OK  bool
	Err error
	// Containers is how many are known from it.
	Containers int
}

// merge fills in what i does not know.
func (i *Info) merge(from *Info) {
	first(&i.Name, from.Name)
	first(&i.Image, from.Image)
	first(&i.ImageID, from.ImageID)
	first(&i.parent, from.parent)
	first(&i.Runtime, from.Runtime)
	first(&i.PodContainer, from.PodContainer)
	first(&i.MemoryLimitBytes, from.MemoryLimitBytes)
	first(&i.MemoryRequestBytes, from.MemoryRequestBytes)
	first(&i.RestartCount, from.RestartCount)
	first(&i.Pod, from.Pod)
}

// merge fills in what p does not know.
func (p *PodInfo) merge(from *PodInfo) {
	first(&p.UID, from.UID)
	first(&p.Namespace, from.Namespace)
	first(&p.Name, from.Name)
	first(&p.QoS, from.QoS)
	first(&p.MemoryRequestBytes, from.MemoryRequestBytes)
	first(&p.MemoryLimitBytes, from.MemoryLimitBytes)
	if p.Labels == nil {
		p.Labels = from.Labels
	}
}

func (p *PodInfo) equal(q *PodInfo) bool {
	return p.Namespace == q.Namespace && p.Name == q.Name && p.QoS == q.QoS && p.UID == q.UID &&
		p.MemoryRequestBytes == q.MemoryRequestBytes && p.MemoryLimitBytes == q.MemoryLimitBytes &&
		slices.Equal(p.Labels, q.Labels)
}

// first fills in what is not known.
func first[T comparable](v *T, other T) { *v = cmp.Or(*v, other) }

// maxID bounds a container's id, in bytes.
const maxID = 128

// plausible says that a runtime's id is one: not a path, not a book.
func plausible(id string) bool {
	if len(id) < 8 || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// maxText bounds one text of a runtime, in bytes.
const maxText = 512

// text bounds what a runtime says.
func text(s string) string {
	if len(s) > maxText {
		s = strings.Clone(strings.ToValidUTF8(s[:maxText], ""))
	}
	return s
}

// word bounds what many say, and keeps one copy of it.
func word(s string) string {
	if s == "" {
		return ""
	}
	return unique.Make(text(s)).Value()
}
