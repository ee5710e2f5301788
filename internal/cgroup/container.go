package cgroup

import "strings"

// found is a container seen at one level of a path.
type found struct{ id, name, runtime string }

// container gives the container whose cgroup a level is.
func (l level) container() (found, bool) {
	id, prefix, ok := hexID(l.leaf)
	if !ok {
		return other(l.up, l.leaf)
	}
	switch {
	case strings.HasSuffix(prefix, "conmon-"), strings.HasSuffix(prefix, "libpod_pod_"):
		return found{}, false
	case l.podmanPod():
		return found{}, false
	}
	return found{id: id, runtime: runtime(l.up, prefix)}, true
}

// podmanPod says that a level which is nothing but an id is a podman pod. It is
// one right below podman's own parent; with a --cgroup-parent only the container
// in it tells, since Docker's containers look the same there.
func (l level) podmanPod() bool {
	if !isID(l.leaf) {
		return false
	}
	up, above := split(l.up)
	if above == "libpod_parent" {
		return true
	}
	_, prefix, ok := hexID(l.below)
	if !ok || prefix != "libpod-" && prefix != "libpod-conmon-" {
		return false
	}
	return above != "docker" && (level{up: up, leaf: above}).pod() == ""
}

// hexID cuts a level into what comes before a 64-digit id and the id. Names that
// end in anything but ".scope" after it are not containers.
func hexID(leaf string) (id, prefix string, ok bool) {
	name := strings.TrimSuffix(leaf, ".scope")
	if len(name) < 64 {
		return "", "", false
	}
	prefix, id = name[:len(name)-64], name[len(name)-64:]
	if !isID(id) {
		return "", "", false
	}
	if prefix == "" || prefix == "kata_" {
		return id, prefix, true
	}
	last := prefix[len(prefix)-1]
	return id, prefix, last == '-' || last == ':' || strings.HasSuffix(prefix, "libpod_pod_")
}

// runtime names the runtime that writes such a prefix; a bare id tells it only
// by the level above.
func runtime(up, prefix string) string {
	if i := strings.LastIndexByte(strings.TrimSuffix(prefix, ":"), ':'); i >= 0 {
		prefix = prefix[i+1:]
	}
	switch strings.TrimRight(prefix, "-:") {
	case "cri-containerd":
		return "containerd"
	case "crio":
		return "cri-o"
	case "docker":
		return "docker"
	case "libpod", "libpod-payload":
		return "podman"
	case "nerdctl":
		return "nerdctl"
	case "kata_":
		return "kata"
	case "":
		switch base(up) {
		case "docker":
			return "docker"
		case "kata_overhead":
			return "kata"
		}
	}
	return ""
}

// other knows the containers whose id is not 64 hex digits. LXC's and nspawn's
// have a name only.
func other(up, leaf string) (found, bool) {
	up, above := split(up)
	if name, ok := strings.CutPrefix(leaf, "lxc.payload."); ok && isName(name) {
		return found{name: name, runtime: "lxc"}, true
	}
	switch above {
	case "lxc", "lxc.payload":
		if isName(leaf) && !strings.HasSuffix(leaf, ".service") {
			return found{name: leaf, runtime: "lxc"}, true
		}
	case "buildkit":
		if len(leaf) == 25 && only(leaf, digits+lower) {
			return found{id: leaf, runtime: "buildkit"}, true
		}
	}
	if name, ok := strings.CutPrefix(leaf, "systemd-nspawn@"); ok {
		if name, ok = strings.CutSuffix(name, ".service"); ok && isName(name) {
			return found{name: name, runtime: "systemd-nspawn"}, true
		}
	}
	// ECS on Fargate: /ecs/<task>/<task>-<number>.
	if base(up) == "ecs" && len(leaf) > 33 && leaf[32] == '-' && only(leaf[:32], hexDigits) && only(leaf[33:], digits) {
		return found{id: leaf}, true
	}
	return found{}, false
}

// isID says that s is a container id: 64 lower-case hex digits.
func isID(s string) bool { return len(s) == 64 && only(s, hexDigits) }

// isUID says that s is a pod's uid: 8-4-4-4-12 hex digits with dashes or with
// the systemd driver's underscores, or a static pod's 32 digits.
func isUID(s string) bool {
	if len(s) == 36 {
		sep := s[8:9]
		if sep != "-" && sep != "_" || s[13:14] != sep || s[18:19] != sep || s[23:24] != sep {
			return false
		}
		s = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	return len(s) == 32 && only(s, hexDigits)
}

// isName says that s is a name a container may have.
func isName(s string) bool {
	return len(s) > 0 && len(s) <= 128 && s[0] != '.' && only(s, alnum+`-_.\`)
}

const (
	digits    = "0123456789"
	hexDigits = digits + "abcdef"
	lower     = "abcdefghijklmnopqrstuvwxyz"
	alnum     = digits + lower + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// only says that s has no other characters.
func only(s, set string) bool { return strings.Trim(s, set) == "" }
