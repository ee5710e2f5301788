// Package container knows the names of containers and pods: it asks the runtimes
// of this machine (CRI, Docker, podman) and reads kubelet's files, and keeps
// what they say before anything is killed, since afterwards nobody may know.
package container

import (
	"bytes"
	"slices"
	"strings"

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
}

// PodInfo is what is known of one Kubernetes or podman pod.
type PodInfo struct {
	Namespace, Name, UID string
	// QoS is "guaranteed", "burstable" or "besteffort"; empty where only the
	// cgroup path tells.
	QoS string
	// SwapBehavior is kubelet's on this node.
	SwapBehavior string
	Labels       Labels
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

func (s *labelSet) add(key, value []byte) {
	if bytes.HasPrefix(key, []byte("io.kubernetes.pod.")) || bytes.HasPrefix(key, []byte("io.kubernetes.container.")) {
		return
	}
	if s.size += len(key) + len(value); len(s.all) < maxLabels && s.size <= maxLabelBytes {
		s.all = append(s.all, Label{text(string(key)), text(string(value))})
	}
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
	// OK says that it answered when it was last asked; Err is why not.
	OK  bool
	Err error
	// Containers is how many it listed last.
	Containers int
}
