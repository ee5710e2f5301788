// Package container knows the names of containers and pods: it asks the runtimes
// of this machine (CRI, Docker, podman) and reads kubelet's files, and keeps
// what they say before anything is killed, since afterwards nobody may know.
package container

import "github.com/oomtrace/oomtrace/internal/oom"

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
	Labels       map[string]string
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
