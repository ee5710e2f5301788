package cgroup

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func TestPlaceOf(t *testing.T) {
	user := oom.Some(uint32(1000))
	ctd := "/cri-containerd-" + idA + ".scope"
	for _, tt := range []struct {
		name, path string
		want       Place
	}{
		{"a pod's", burstable + ctd, Place{Cgroup: burstable + ctd, Pod: uid, Runtime: "containerd"}},
		{"below its own", burstable + ctd + "/container", Place{Cgroup: burstable + ctd, Pod: uid, Runtime: "containerd"}},
		{"deleted", burstable + ctd + " (deleted)", Place{Cgroup: burstable + ctd, Pod: uid, Runtime: "containerd"}},
		{"Docker's", "/docker/" + idA, Place{Cgroup: "/docker/" + idA, Runtime: "docker"}},
		{"of drivers at odds", "/system.slice/kubepods-pod" + uidU + ".slice:cri-containerd:" + idA,
			Place{Cgroup: "/system.slice/kubepods-pod" + uidU + ".slice:cri-containerd:" + idA, Pod: uid, Runtime: "containerd"}},
		{"a user's", rootless + "/libpod-" + idA + ".scope", Place{Cgroup: rootless + "/libpod-" + idA + ".scope", User: user, Delegated: true, Runtime: "podman"}},
		{"in a session", "/user.slice/user-1000.slice/session-3.scope/docker-" + idA + ".scope",
			Place{Cgroup: "/user.slice/user-1000.slice/session-3.scope/docker-" + idA + ".scope", User: user, Delegated: true, Runtime: "docker"}},
		{"root's", "/user.slice/user-0.slice/docker-" + idA + ".scope", Place{Cgroup: "/user.slice/user-0.slice/docker-" + idA + ".scope", Runtime: "docker"}},
		{"no user's", "/user.slice/user-x.slice/docker-" + idA + ".scope", Place{Cgroup: "/user.slice/user-x.slice/docker-" + idA + ".scope", Runtime: "docker"}},
		{"of more than 32 bits", "/user.slice/user-4294967296.slice/docker-" + idA + ".scope", Place{Cgroup: "/user.slice/user-4294967296.slice/docker-" + idA + ".scope", Runtime: "docker"}},
		{"a user's deeper down", "/x/user.slice/user-1000.slice/docker-" + idA + ".scope", Place{Cgroup: "/x/user.slice/user-1000.slice/docker-" + idA + ".scope", Runtime: "docker"}},
		{"in a unit", "/system.slice/a.service/libpod-payload-" + idA, Place{Cgroup: "/system.slice/a.service/libpod-payload-" + idA, Delegated: true, Runtime: "podman"}},
		{"in a container", "/docker/" + idB + kind + ctd, Place{Cgroup: "/docker/" + idB + kind + ctd, Within: "/docker/" + idB, Pod: uid, Runtime: "containerd"}},
		{"in a pod's container", burstable + "/" + idB + "/docker/" + idA, Place{Cgroup: burstable + "/" + idB + "/docker/" + idA, Within: burstable + "/" + idB, Runtime: "docker"}},
		{"a user's in a container", "/docker/" + idB + rootless + "/libpod-" + idA + ".scope",
			Place{Cgroup: "/docker/" + idB + rootless + "/libpod-" + idA + ".scope", Within: "/docker/" + idB, User: user, Delegated: true, Runtime: "podman"}},
		{"in an LXC container", "/lxc.payload.web/docker/" + idA, Place{Cgroup: "/lxc.payload.web/docker/" + idA, Within: "/lxc.payload.web", Runtime: "docker"}},
	} {
		if got, ok := PlaceOf(tt.path, idA); !ok || got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	for _, path := range []string{"", "/", "/docker/" + idB, "/system.slice/" + idA + ".service", burstable} {
		if p, ok := PlaceOf(path, idA); ok {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if p, ok := PodPlaceOf(rootless+burstable+ctd, uid); !ok || p.User != user || p.Cgroup != rootless+burstable {
		t.Errorf("pod: %+v", p)
	}
	if p, ok := PodPlaceOf(burstable, strings.Replace(uid, "0", "1", 1)); ok {
		t.Errorf("another pod: %+v", p)
	}
}

func TestAround(t *testing.T) {
	user := oom.Some(uint32(1000))
	for _, tt := range []struct {
		path, within string
		user         oom.Opt[uint32]
	}{
		{"/", "", oom.Opt[uint32]{}},
		{"/system.slice/containerd.service", "", oom.Opt[uint32]{}},
		{rootless + "/docker.service", "", user},
		{"/../.." + rootless, "", user},
		{"/docker/" + idA, "/docker/" + idA, oom.Opt[uint32]{}},
		{"/docker/" + idA + "/init.scope", "/docker/" + idA, oom.Opt[uint32]{}},
		{"/docker/" + idA + rootless, "/docker/" + idA, user},
		{"/../docker/" + idA + "/x", "/../docker/" + idA, oom.Opt[uint32]{}},
		{rootless + "/libpod-" + idA + ".scope/x", rootless + "/libpod-" + idA + ".scope", oom.Opt[uint32]{}},
		{"/docker-" + idA + ".scope (deleted)", "/docker-" + idA + ".scope", oom.Opt[uint32]{}},
		{"/docker-" + idA + ".scope (deleted) (deleted)", "", oom.Opt[uint32]{}}, // one of that name
	} {
		if within, user := Around(tt.path); within != tt.within || user != tt.user {
			t.Errorf("%s: within %q, user %+v", tt.path, within, user)
		}
	}
}

// TestLengths holds both sides of every length that decides whether a name is an id.
func TestLengths(t *testing.T) {
	of := func(n int) string { return strings.Repeat("a", n) }
	for _, tt := range []struct {
		path string
		want bool
	}{
		{"/docker/buildkit/" + of(24), false}, {"/docker/buildkit/" + of(25), true}, {"/docker/buildkit/" + of(26), false},
		{"/docker/" + of(63), false}, {"/docker/" + of(64), true}, {"/docker/" + of(65), false},
		{"/ecs/x/" + of(31) + "-1", false}, {"/ecs/x/" + of(32) + "-1", true}, {"/ecs/x/" + of(33) + "-1", false}, {"/ecs/x/" + of(32) + "-", false},
		{"/lxc.payload." + of(128), true}, {"/lxc.payload." + of(129), false}, {"/lxc.payload.", false},
	} {
		if got := Parse(tt.path).Owner.Container != nil; got != tt.want {
			t.Errorf("%s: container %v", tt.path, got)
		}
	}
	for n, want := range map[int]bool{256 - 8: true, 257 - 8: false, 0: false} {
		if got := Parse("/system.slice/"+of(n)+".service").Owner.Unit != ""; got != want {
			t.Errorf("a unit of %d bytes: %v", n+8, got)
		}
	}
	for n, want := range map[int]bool{31: false, 32: true, 33: false, 36: false} {
		if got := Parse("/kubepods/pod"+of(n)).Owner.Pod != nil; got != want {
			t.Errorf("a uid of %d digits: %v", n, got)
		}
	}
}

func FuzzPlaceOf(f *testing.F) {
	for _, p := range paths {
		f.Add(p.path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		o := Parse(path).Owner
		if o.Container == nil || o.Container.ID == "" {
			return
		}
		p, ok := PlaceOf(path, o.Container.ID)
		if !ok || !strings.Contains(p.Cgroup, o.Container.ID) || p.Runtime != o.Container.Runtime {
			t.Fatalf("%+v of %+v", p, o.Container)
		}
		if p.Within != "" && !strings.HasPrefix(p.Cgroup, p.Within+"/") || (p.Within == "") != (o.OuterContainer == nil) {
			t.Fatalf("%+v within %+v", p, o.OuterContainer)
		}
		if p.Pod != "" && (o.Pod == nil || o.Pod.UID != p.Pod) {
			t.Fatalf("%+v of pod %+v", p, o.Pod)
		}
		if within, _ := Around(path); within != p.Cgroup && !strings.HasPrefix(within, p.Cgroup+"/") && o.Container.Name == "" && within == "" {
			t.Fatalf("around %q: %q", path, within)
		}
	})
}

// TestNames: what a container may be called, at each edge of what is allowed.
func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"web": true, "AZ": true, "az": true, "09": true, "a-b_c.d": true, `a\x2db`: true, strings.Repeat("n", 128): true,
		"": false, ".web": false, strings.Repeat("n", 129): false,
		"a@": false, "a[": false, "a`": false, "a{": false, "a/": false, "a:": false, "a b": false, "a,": false, "a]": false, "a^": false, "\xff": false,
	} {
		if got := isName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
