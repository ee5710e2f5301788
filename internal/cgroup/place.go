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
	return placeOf(path, func(up, leaf, below string) bool {
		c, ok := container(up, leaf, below)
		return ok && c.id == id
	})
}

// PodPlaceOf gives the place of the pod with a uid on a path; false if the path
// has none such.
func PodPlaceOf(path, uid string) (Place, bool) {
	return placeOf(path, func(up, leaf, below string) bool {
		id := pod(up, leaf, below)
		return id != "" && dashed(id) == uid
	})
}

// placeOf finds the innermost level that is meant, and what is around it.
func placeOf(path string, meant func(up, leaf, below string) bool) (Place, bool) {
	rest := strings.Trim(strings.TrimSuffix(path, " (deleted)"), "/")
	for below := ""; rest != ""; {
		up, leaf := split(rest)
		if meant(up, leaf, below) {
			p := Place{Cgroup: "/" + rest}
			if c, ok := container(up, leaf, below); ok {
				p.Runtime = c.runtime
			}
			p.climb(up, leaf, below)
			return p, true
		}
		rest, below = up, leaf
	}
	return Place{}, false
}

// climb goes up to the container around, or to the root.
func (p *Place) climb(up, leaf, below string) {
	for {
		if id := pod(up, leaf, below); id != "" && p.Pod == "" {
			p.Pod = dashed(id)
		}
		if up == "" {
			break
		}
		rest := up
		below = leaf
		up, leaf = split(rest)
		if _, ok := container(up, leaf, below); ok {
			p.Within = "/" + rest
			break
		}
		if strings.HasSuffix(leaf, ".service") || strings.HasSuffix(leaf, ".scope") {
			p.Delegated = true
		}
	}
	p.User = userOf(strings.TrimPrefix(p.Cgroup, p.Within+"/"))
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
	path = strings.Trim(strings.TrimSuffix(path, " (deleted)"), "/")
	rest := path
	for below := ""; rest != ""; {
		up, leaf := split(rest)
		if _, ok := container(up, leaf, below); ok {
			return "/" + rest, userOf(strings.TrimPrefix(path[len(rest):], "/"))
		}
		rest, below = up, leaf
	}
	return "", userOf(path)
}
