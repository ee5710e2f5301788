// Package cgroup reads cgroup paths: which container, pod or systemd unit a path
// belongs to, and which hierarchies this machine has. It asks nobody: what a
// path does not say stays unknown.
package cgroup

import (
	"iter"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Path is what the path of a memory cgroup tells by itself.
type Path struct {
	// Owner has the ids, the runtime, the QoS class and the unit; never names
	// of pods, which no path holds.
	Owner oom.Owner
	// Level says what kind of cgroup the path is; empty for an empty path.
	Level oom.Level
}

// Parse reads a path below the root of the memory hierarchy, as the kernel
// prints it. Strings of the result share the path's memory. A name that only
// resembles an id gives none: the path is under control of whoever made the
// cgroup, and a wrong owner is worse than none.
func Parse(path string) (p Path) {
	if rest := trim(path); rest == "" && strings.HasPrefix(path, "/") {
		p.Level = oom.LevelRoot
	}
	for l := range levels(trim(path)) {
		if l.below == "" {
			p.Level = l.kind()
		}
		p.take(l)
	}
	return p
}

// LevelOf says what kind of cgroup a path is that has a member at or below it:
// what a bare id stands for may be told only by what is inside.
func LevelOf(path, member string) oom.Level {
	l := level{path: trim(path)}
	if l.path == "" {
		return Parse(path).Level
	}
	l.up, l.leaf = split(l.path)
	if below, ok := strings.CutPrefix(strings.Trim(member, "/"), l.path+"/"); ok {
		l.below, _, _ = strings.Cut(below, "/")
	}
	return l.kind()
}

// level is one of a path.
type level struct {
	path, up, leaf string // with what is above, that alone, and its own name
	below          string // the level beneath it on the same path, if any
}

// levels gives those of a trimmed path, from the leaf up.
func levels(path string) iter.Seq[level] {
	return func(yield func(level) bool) {
		l := level{up: path}
		for l.up != "" {
			l.path, l.below = l.up, l.leaf
			if l.up, l.leaf = split(l.path); !yield(l) {
				return
			}
		}
	}
}

// trim takes off what is not part of a path's levels.
func trim(path string) string { return strings.Trim(strings.TrimSuffix(path, " (deleted)"), "/") }

// take adds what one level of the path says, going from the leaf up: the first
// of a kind is the innermost and stays.
func (p *Path) take(l level) {
	o := &p.Owner
	c, ok := l.container()
	switch {
	case !ok:
	case o.Container == nil && o.Pod == nil:
		o.Container = &oom.Container{ID: c.id, Name: c.name, Runtime: c.runtime}
	case o.OuterContainer == nil:
		// Above a pod is the node's container, even with none inside the pod.
		o.OuterContainer = &oom.Container{ID: c.id, Name: c.name, Runtime: c.runtime}
	}
	// A container's own scope says nothing more than its id; nspawn's service
	// has no id.
	if o.Unit == "" && c.id == "" {
		o.Unit = unit(l.leaf)
	}
	if o.Pod == nil {
		if id := l.pod(); id != "" {
			o.Pod = &oom.Pod{UID: dashed(id), QoS: qos(l.up, l.leaf)}
		}
	}
}

// kind classifies the cgroup itself, whatever is above it.
func (l level) kind() oom.Level {
	if _, ok := l.container(); ok {
		return oom.LevelContainer
	}
	if l.leaf == "container" || l.leaf == "payload" {
		// crun, and systemd-nspawn, put the tasks one level below.
		above, of := split(l.up)
		if _, ok := (level{up: above, leaf: of, below: l.leaf}).container(); ok {
			return oom.LevelContainer
		}
	}
	switch {
	case l.pod() != "":
		return oom.LevelPod
	case class(l.up, l.leaf) != "":
		return oom.LevelQoS
	case kubepods(l.leaf):
		return oom.LevelKubepods
	case strings.HasSuffix(l.leaf, ".service"):
		return oom.LevelService
	case strings.HasSuffix(l.leaf, ".scope"):
		return oom.LevelScope
	case strings.HasSuffix(l.leaf, ".slice"):
		return oom.LevelSlice
	}
	return oom.LevelCgroup
}

// split gives the path above the last level, and the last level.
func split(path string) (up, leaf string) {
	path = strings.TrimRight(path, "/")
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return strings.TrimRight(path[:i], "/"), path[i+1:]
}

// base is the last level of a path.
func base(path string) string {
	_, leaf := split(path)
	return leaf
}

// unit gives the systemd unit that a level belongs to, or nothing. systemd puts
// a "_" before names that the kernel keeps for itself (cg_escape).
func unit(leaf string) string {
	i := strings.LastIndexByte(leaf, '.')
	if i <= 0 || len(leaf) > 256 {
		return ""
	}
	switch leaf[i:] {
	case ".service", ".scope", ".mount", ".socket", ".swap":
	default:
		return ""
	}
	if !only(leaf, alnum+`:-_.\@`) {
		return ""
	}
	if name := strings.TrimPrefix(leaf, "_"); name[0] != '.' {
		return name
	}
	return leaf
}

// pod gives the pod id that a level holds, as it is written there, or nothing.
func (l level) pod() string {
	leaf := l.leaf
	// podman's slice has the name of the one around it, as systemd wants it:
	// machine-, user- or that of a --cgroup-parent.
	if slice, id, ok := strings.Cut(leaf, "libpod_pod_"); ok && (slice == "" || slice[len(slice)-1] == '-') {
		if id, ok = strings.CutSuffix(id, ".slice"); ok && isID(id) {
			return id
		}
		return ""
	}
	if l.podmanPod() {
		return leaf
	}
	// A driver at odds with the other's leaves "<slice>:cri-containerd:<id>".
	leaf, _, _ = strings.Cut(leaf, ":")
	leaf = strings.TrimSuffix(leaf, ".slice")
	i := strings.LastIndex(leaf, "pod")
	if i < 0 || i > 0 && leaf[i-1] != '-' {
		return ""
	}
	id := leaf[i+len("pod"):]
	if !isUID(id) {
		return ""
	}
	return id
}

// qos gives the QoS class of the pod at this level. Guaranteed pods have no
// level of their own: they are right below kubepods.
func qos(up, leaf string) string {
	name, _, _ := strings.Cut(leaf, ":")
	i := strings.LastIndex(name, "-pod")
	if i < 0 {
		above := base(up)
		if above == "burstable" || above == "besteffort" {
			return above
		}
		if kubepods(above) {
			return "guaranteed"
		}
		return ""
	}
	if kubepods(name[:i]) {
		return "guaranteed"
	}
	return class("", name[:i])
}

// class gives the QoS class whose level this is.
func class(up, leaf string) string {
	if leaf == "burstable" || leaf == "besteffort" {
		if kubepods(base(up)) {
			return leaf
		}
		return ""
	}
	name := strings.TrimSuffix(leaf, ".slice")
	for _, q := range [...]string{"burstable", "besteffort"} {
		rest, ok := strings.CutSuffix(name, q)
		if rest, dash := strings.CutSuffix(rest, "-"); ok && dash && kubepods(rest) {
			return q
		}
	}
	return ""
}

// kubepods says that a level is kubelet's root of all pods: "kubepods" after the
// names of the configured cgroup root, if any.
func kubepods(leaf string) bool {
	name := strings.TrimSuffix(leaf, ".slice")
	rest, ok := strings.CutSuffix(name, "kubepods")
	return ok && (rest == "" || strings.HasSuffix(rest, "-"))
}

// dashed undoes what kubelet's systemd driver does to a uid: a dash would be a
// level of slices.
func dashed(id string) string { return strings.ReplaceAll(id, "_", "-") }
