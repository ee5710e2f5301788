package cgroup

import (
	"strconv"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Place is where in the tree a container's cgroup is. Who may name the container
// depends on it: whoever owns a part of the tree makes cgroups of any name there.
type Place struct {
	// Cgroup is the container's own cgroup, or the pod's.
	Cgroup string
	// Within is the cgroup of the container around it; empty on the machine
	// itself.
	Within string
	// User is the user whose slice it is in, on the machine or in the container
	// around it. Root's slice is the system's.
	User oom.Opt[uint32]
	// Delegated is set below a service or a scope: its processes may make
	// cgroups there.
	Delegated bool
	// Pod is the uid of the pod that it is in, as in Owner.
	Pod string
	// Runtime is the one that the path names, if any.
	Runtime string
}

// PlaceOf gives the place of the container with an id on a path; false if the
// path has none such.
func PlaceOf(path, id string) (Place, bool) {
	return placeOf(path, func(_ level, c found) bool { return id != "" && c.id == id })
}

// PodPlaceOf gives the place of the pod with a uid on a path; false if the path
// has none such.
func PodPlaceOf(path, uid string) (Place, bool) {
	return placeOf(path, func(l level, _ found) bool { return uid != "" && dashed(l.pod()) == uid })
}

// placeOf finds the innermost level that is meant, and what is around it: up to the
// container around, or to the root.
func placeOf(path string, meant func(level, found) bool) (p Place, ok bool) {
	for l := range levels(trim(path)) {
		c, isContainer := l.container()
		switch {
		case !ok && !meant(l, c):
			continue
		case !ok:
			ok, p.Cgroup, p.Runtime = true, "/"+l.path, c.runtime
		case isContainer:
			p.Within = "/" + l.path
		case strings.HasSuffix(l.leaf, ".service"), strings.HasSuffix(l.leaf, ".scope"):
			p.Delegated = true
		}
		if p.Within != "" {
			break
		}
		if p.Pod == "" {
			p.Pod = dashed(l.pod())
		}
	}
	p.User = userOf(strings.TrimPrefix(p.Cgroup, p.Within+"/"))
	return p, ok
}

// userOf gives the user of "user.slice/user-<uid>.slice/…", where systemd puts
// what users run; nothing for root. A path from another cgroup namespace starts
// with "..".
func userOf(path string) (user oom.Opt[uint32]) {
	for strings.HasPrefix(path, "../") {
		path = path[len("../"):]
	}
	rest, ok := strings.CutPrefix(path, "user.slice/user-")
	if !ok {
		return user
	}
	name, _, _ := strings.Cut(rest, "/")
	digits, ok := strings.CutSuffix(name, ".slice")
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n == 0 {
		return user
	}
	return oom.Some(uint32(n))
}

// Around gives the innermost container whose cgroup a process's path is in, and
// the user whose slice it is in, if any.
func Around(path string) (within string, user oom.Opt[uint32]) {
	path = trim(path)
	for l := range levels(path) {
		if _, ok := l.container(); ok {
			return "/" + l.path, userOf(strings.TrimPrefix(path[len(l.path):], "/"))
		}
	}
	return "", userOf(path)
}
