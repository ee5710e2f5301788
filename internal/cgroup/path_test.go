package cgroup

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

var update = flag.Bool("update", false, "rewrite the goldens")

const (
	idA  = "3f0c4c21a1d7d0fbb1dc3f4d4ef79a8ab3a5a1ae5fb2d21df54a7a21b1a3e0aa"
	idB  = "b7d0fbb1dc3f4d4ef79a8ab3a5a1ae5fb2d21df54a7a21b1a3e0aa3f0c4c21a1"
	uid  = "0f6a1c2e-5b1d-4a77-9a0b-3c5d7e9f1a2b"
	uidU = "0f6a1c2e_5b1d_4a77_9a0b_3c5d7e9f1a2b"
	hex  = "9f86d081884c7d659a2feaa0c55ad015"
)

const (
	burstable  = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidU + ".slice"
	besteffort = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidU + ".slice"
	guaranteed = "/kubepods.slice/kubepods-pod" + uidU + ".slice"
	static     = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + hex + ".slice"
	kind       = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + uidU + ".slice"
	rootless   = "/user.slice/user-1000.slice/user@1000.service/user.slice"
)

var paths = []struct{ name, path string }{
	{"empty", ""},
	{"root", "/"},
	{"containerd systemd burstable", burstable + "/cri-containerd-" + idA + ".scope"},
	{"containerd systemd besteffort", besteffort + "/cri-containerd-" + idA + ".scope"},
	{"containerd systemd guaranteed", guaranteed + "/cri-containerd-" + idA + ".scope"},
	{"containerd systemd crun", burstable + "/cri-containerd-" + idA + ".scope/container"},
	{"containerd static pod", static + "/cri-containerd-" + idA + ".scope"},
	{"containerd cgroupfs burstable", "/kubepods/burstable/pod" + uid + "/" + idA},
	{"containerd cgroupfs besteffort", "/kubepods/besteffort/pod" + uid + "/" + idA},
	{"containerd cgroupfs guaranteed", "/kubepods/pod" + uid + "/" + idA},
	{"containerd cgroupfs static pod", "/kubepods/burstable/pod" + hex + "/" + idA},
	{"kind systemd", kind + "/cri-containerd-" + idA + ".scope"},
	{"kind cgroupfs", "/kubelet/kubepods/burstable/pod" + uid + "/" + idA},
	{"drivers at odds", "/system.slice/kubepods-burstable-pod" + uidU + ".slice:cri-containerd:" + idA},
	{"drivers at odds guaranteed", "/system.slice/containerd.service/kubepods-pod" + uidU + ".slice:cri-containerd:" + idA},
	{"crio systemd", burstable + "/crio-" + idA + ".scope"},
	{"crio systemd crun", burstable + "/crio-" + idA + ".scope/container"},
	{"crio sandbox", burstable + "/crio-" + idA},
	{"crio conmon", burstable + "/crio-conmon-" + idA + ".scope"},
	{"crio cgroupfs", "/kubepods/burstable/pod" + uid + "/crio-" + idA},
	{"crio cgroupfs conmon", "/kubepods/burstable/pod" + uid + "/crio-conmon-" + idA},
	{"docker systemd", "/system.slice/docker-" + idA + ".scope"},
	{"docker cgroupfs", "/docker/" + idA},
	{"docker cgroup parent", "/batch/night/" + idA},
	{"docker cgroup parent slice", "/batch.slice/docker-" + idA + ".scope"},
	{"docker as cri systemd", burstable + "/docker-" + idA + ".scope"},
	{"docker as cri cgroupfs", "/kubepods/burstable/pod" + uid + "/" + idA},
	{"podman", "/machine.slice/libpod-" + idA + ".scope"},
	{"podman crun", "/machine.slice/libpod-" + idA + ".scope/container"},
	{"podman conmon", "/machine.slice/libpod-conmon-" + idA + ".scope"},
	{"podman cgroupfs", "/libpod_parent/libpod-" + idA},
	{"podman pod", "/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope/container"},
	{"podman pod limit", "/machine.slice/machine-libpod_pod_" + idB + ".slice"},
	{"podman cgroupfs pod", "/libpod_parent/" + idB + "/libpod-" + idA},
	{"podman cgroupfs pod limit", "/libpod_parent/" + idB},
	{"podman pod rootless", rootless + "/user-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope/container"},
	{"podman pod rootless limit", rootless + "/user-libpod_pod_" + idB + ".slice"},
	{"podman pod in a slice", "/foo.slice/foo-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope"},
	{"podman pod in a slice: no id", "/foo.slice/foo-libpod_pod_" + idB[1:] + ".slice/libpod-" + idA + ".scope"},
	{"podman pod in a slice: not a level of systemd's", "/foo.slice/foolibpod_pod_" + idB + ".slice/libpod-" + idA + ".scope"},
	{"podman cgroupfs pod with a parent", "/tenants/" + idB + "/libpod-" + idA},
	{"podman cgroupfs pod with a parent crun", "/tenants/" + idB + "/libpod-" + idA + "/container"},
	{"podman cgroupfs pod with a parent conmon", "/tenants/" + idB + "/libpod-conmon-" + idA},
	{"podman in docker", "/docker/" + idB + "/libpod-" + idA},
	{"podman in a pod's container", "/kubepods/burstable/pod" + uid + "/" + idB + "/libpod-" + idA},
	{"podman in docker with its own parent", "/docker/" + idB + "/libpod_parent/libpod-" + idA},
	{"podman split", "/system.slice/web.service/libpod-payload-" + idA},
	{"podman rootless", rootless + "/libpod-" + idA + ".scope/container"},
	{"ctr name", "/default/web"},
	{"ctr hex", "/default/" + idA},
	{"nerdctl", "/system.slice/nerdctl-" + idA + ".scope"},
	{"service", "/system.slice/nginx.service"},
	{"service escaped", `/system.slice/system-openvpn\x2dclient.slice/openvpn-client@a\x2db.service`},
	{"service reserved name", "/system.slice/_memory.service"},
	{"service with children", "/system.slice/builder.service/job-7/step"},
	{"scope", "/user.slice/user-1000.slice/session-3.scope"},
	{"user unit", "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox-42.scope"},
	{"mount unit", `/system.slice/mnt-data\x2done.mount`},
	{"mount with an id", "/system.slice/run-x-" + idA + ".mount"},
	{"init", "/init.scope"},
	{"slice", "/system.slice"},
	{"systemd in docker", "/docker/" + idA + "/system.slice/inner.service"},
	{"systemd in docker scope", "/system.slice/docker-" + idA + ".scope/system.slice/inner.service"},
	{"systemd in podman crun", "/machine.slice/libpod-" + idA + ".scope/container/system.slice/inner.service"},
	{"init in docker", "/docker/" + idA + "/init"},
	{"node in docker", "/system.slice/docker-" + idB + ".scope" + kind + "/cri-containerd-" + idA + ".scope"},
	{"node in docker cgroupfs", "/docker/" + idB + kind + "/cri-containerd-" + idA + ".scope"},
	{"node in podman crun", "/machine.slice/libpod-" + idB + ".scope/container" + kind + "/cri-containerd-" + idA + ".scope/container"},
	{"node in docker pod limit", "/docker/" + idB + kind},
	{"docker in a pod", "/kubepods/burstable/pod" + uid + "/" + idB + "/docker/" + idA},
	{"limit pod", burstable},
	{"limit pod cgroupfs", "/kubepods/pod" + uid},
	{"limit qos", "/kubepods.slice/kubepods-burstable.slice"},
	{"limit qos cgroupfs", "/kubepods/besteffort"},
	{"limit qos kind", "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"},
	{"limit kubepods", "/kubepods.slice"},
	{"limit kubepods cgroupfs", "/kubepods"},
	{"limit kubepods kind", "/kubelet.slice/kubelet-kubepods.slice"},
	{"ecs on docker", "/ecs/" + hex + "/" + idA},
	{"ecs fargate", "/ecs/" + hex + "/" + hex + "-1234567890"},
	{"lxc", "/lxc.payload.web/system.slice/nginx.service"},
	{"lxc limit", "/lxc.payload.web"},
	{"lxc old", "/lxc/web"},
	{"lxc monitor", "/lxc.monitor.web"},
	{"nspawn", "/machine.slice/systemd-nspawn@deb.service/payload"},
	{"nspawn inner unit", "/machine.slice/systemd-nspawn@deb.service/payload/system.slice/cron.service"},
	{"virtual machine", `/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt/emulator`},
	{"buildkit", "/docker/buildkit/k3sz6w0c8ahq1e2p4r7t9y5um"},
	{"talos", "/podruntime/kubelet"},
	{"kata", burstable + "/kata_" + idA},
	{"kata overhead", "/kata_overhead/" + idA},
	{"cut path", "…/" + "burstable/pod" + uid + "/" + idA},
	{"cut path systemd", "…/kubepods-burstable-pod" + uidU + ".slice/cri-containerd-" + idA + ".scope"},
	{"deleted", "/docker/" + idA + " (deleted)"},
	{"almost an id: short", "/docker/" + idA[1:]},
	{"almost an id: upper case", "/docker/" + strings.ToUpper(idA)},
	{"almost an id: no separator", "/docker/x" + idA},
	{"almost an id: longer", "/docker/" + idA + "0"},
	{"almost a uid", "/kubepods/burstable/pod" + uid[1:] + "/" + idA},
	{"almost a uid: mixed", "/kubepods/burstable/pod" + strings.Replace(uid, "-", "_", 1) + "/" + idA},
	{"service named as a container", "/system.slice/docker-" + idA + ".service"},
	{"hostile unit", "/system.slice/a\x1b[31m\nb.service"},
	{"dots", "/../../a.service/.scope"},
}

type goldenRow struct {
	Name  string
	Path  string
	Level oom.Level `json:",omitempty"`
	oom.Owner
}

func TestParseGolden(t *testing.T) {
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	for _, c := range paths {
		p := Parse(c.path)
		if err := enc.Encode(goldenRow{Name: c.name, Path: c.path, Level: p.Level, Owner: p.Owner}); err != nil {
			t.Fatal(err)
		}
	}
	const file = "testdata/paths.golden"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		g, w := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Errorf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
			}
		}
		t.Fatalf("%s differs: %d lines, want %d", file, len(g), len(w))
	}
}

// TestParseNested holds the invariant that whatever a container does below its
// own cgroup, it stays the container or becomes the outer one.
func TestParseNested(t *testing.T) {
	for _, c := range paths {
		p := Parse(c.path)
		if p.Owner.Container == nil || strings.HasSuffix(c.path, "(deleted)") {
			continue
		}
		below := Parse(c.path + "/a/b")
		if below.Owner.Container == nil || *below.Owner.Container != *p.Owner.Container {
			t.Errorf("%s: below it the container is %+v, want %+v", c.name, below.Owner.Container, p.Owner.Container)
		}
		inner := Parse(c.path + "/docker/" + hex + hex)
		if inner.Owner.OuterContainer == nil || *inner.Owner.OuterContainer != *p.Owner.Container {
			t.Errorf("%s: around an inner container is %+v, want %+v", c.name, inner.Owner.OuterContainer, p.Owner.Container)
		}
	}
}

// TestLevelOf holds that what is inside tells a pod of podman's from a container
// of Docker's, and that it changes nothing else.
func TestLevelOf(t *testing.T) {
	for _, c := range []struct {
		name, path, member string
		want               oom.Level
	}{
		{"podman pod", "/tenants/" + idB, "/tenants/" + idB + "/libpod-" + idA, oom.LevelPod},
		{"podman pod crun", "/tenants/" + idB, "/tenants/" + idB + "/libpod-" + idA + "/container", oom.LevelPod},
		{"docker with a parent", "/tenants/" + idB, "/tenants/" + idB, oom.LevelContainer},
		{"another member", "/tenants/" + idB, "/tenants/" + idA + "/libpod-" + idA, oom.LevelContainer},
		{"docker", "/docker/" + idB, "/docker/" + idB + "/libpod-" + idA, oom.LevelContainer},
		{"no member", "/tenants/" + idB, "", oom.LevelContainer},
		{"kubernetes pod", "/kubepods/pod" + uid, "/kubepods/pod" + uid + "/" + idA, oom.LevelPod},
		{"root", "/", "/docker/" + idA, oom.LevelRoot},
		{"empty", "", "/docker/" + idA, ""},
	} {
		if got := LevelOf(c.path, c.member); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for _, c := range paths {
		if got, want := LevelOf(c.path, ""), Parse(c.path).Level; got != want {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range paths {
		f.Add(c.path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p := Parse(path)
		if (p.Level == "") != (strings.TrimSuffix(path, " (deleted)") == "") {
			t.Fatalf("level %q of %q", p.Level, path)
		}
		o := p.Owner
		if !strings.Contains(path, o.Unit) || strings.ContainsAny(o.Unit, "/ \n\x1b") {
			t.Fatalf("unit %q is not of the path", o.Unit)
		}
		for _, c := range []*oom.Container{o.Container, o.OuterContainer} {
			if c == nil {
				continue
			}
			if c.ID == "" && c.Name == "" || !strings.Contains(path, c.ID) || !strings.Contains(path, c.Name) {
				t.Fatalf("container %+v is not of the path", c)
			}
			if len(c.ID) == 64 && !isID(c.ID) {
				t.Fatalf("bad id %q", c.ID)
			}
		}
		if o.OuterContainer != nil && o.Container == nil && o.Pod == nil {
			t.Fatal("an outer container without an inner one")
		}
		if o.Pod != nil && !isUID(o.Pod.UID) && !isID(o.Pod.UID) {
			t.Fatalf("bad pod uid %q", o.Pod.UID)
		}
		if p.Level == oom.LevelContainer && o.Container == nil || p.Level == oom.LevelPod && o.Pod == nil {
			t.Fatalf("level %s without its owner", p.Level)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, path string }{
		{"service", "/system.slice/nginx.service"},
		{"pod", burstable + "/cri-containerd-" + idA + ".scope"},
		{"node in a container", "/system.slice/docker-" + idB + ".scope" + kind + "/cri-containerd-" + idA + ".scope"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Parse(c.path)
			}
		})
	}
}

func TestParseAllocates(t *testing.T) {
	for _, c := range []struct {
		path string
		want float64
	}{
		{"/system.slice/nginx.service", 0},
		{"/docker/" + idA, 1},
		{"/kubepods/burstable/pod" + uid + "/" + idA, 2},
		{burstable + "/cri-containerd-" + idA + ".scope", 3}, // the uid is rewritten
	} {
		if n := testing.AllocsPerRun(100, func() { Parse(c.path) }); n > c.want {
			t.Errorf("%s: %v allocations, want %v", c.path, n, c.want)
		}
	}
}
