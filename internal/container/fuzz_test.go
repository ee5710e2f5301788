package container

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	cri1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/cgroup"
)

// bounded holds an answer to what may be kept of it.
func bounded(t *testing.T, i *Info) {
	t.Helper()
	all := []string{i.Name, i.Image, i.ImageID, i.Runtime, i.PodContainer, i.parent}
	if p := i.Pod; p != nil {
		all = append(all, p.Name, p.Namespace, p.UID, p.QoS)
		if len(p.Labels) > maxLabels || p.Labels.bytes() > maxLabelBytes {
			t.Fatalf("%d labels of %d bytes", len(p.Labels), p.Labels.bytes())
		}
	}
	for _, s := range all {
		if len(s) > maxText {
			t.Fatalf("a text of %d bytes", len(s))
		}
	}
	if i.MemoryLimitBytes.Known && i.MemoryLimitBytes.Value == 0 {
		t.Fatal("no limit is a limit of nothing")
	}
}

func FuzzStatus(f *testing.F) {
	fake := &fakeCRI{}
	fake.add(1, 2, "app")
	b, err := proto.Marshal(&cri1.ContainerStatusResponse{Status: fake.containers[id(2)]})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(strings.Repeat("\x0a\x02\x72\x00", 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r cri1.ContainerStatusResponse
		n := countFields(b, 4)
		if (sparseCodec{}).Unmarshal(b, &r) != nil {
			return
		}
		if n > maxFields || len(r.GetStatus().GetMounts()) > maxFields {
			t.Fatalf("%d fields, %d mounts", n, len(r.GetStatus().GetMounts()))
		}
		c := &cri{}
		c.who.Store(&criVersion{name: "containerd"})
		bounded(t, c.info(r.GetStatus()))
		bounded(t, &Info{Pod: &PodInfo{Labels: labelsOf(r.GetStatus().GetAnnotations())}})
	})
}

func FuzzDocker(f *testing.F) {
	f.Add(`{"Id":"`+id(1)+`","Name":"/web","RestartCount":2,"Config":{"Image":"nginx"},"HostConfig":{"Memory":1048576,"CgroupParent":"/x"}}`, `[{"id":"`+id(3)+`","names":["db"],"metadata":"{\"image-name\":\"postgres:17\"}"}]`)
	f.Add(`{"Name":"/k8s_a_b_c_d_0","Config":{"Labels":{"`+labelPodName+`":"x","`+labelContainerName+`":"POD"}}}`, `[{"names":["k8s_POD_b_c_d_1"]}]`)
	f.Fuzz(func(t *testing.T, inspect, list string) {
		v := &dockerInspect{}
		if json.Unmarshal([]byte(inspect), v) == nil {
			bounded(t, v.info(kindDocker))
		}
		_ = eachItem(strings.NewReader(list), 1<<16, func(c *storageContainer) { bounded(t, c.info()) })
	})
}

func FuzzFiles(f *testing.F) {
	f.Add(`{"data":"{\"entries\":{\"u\":{\"ContainerResources\":{\"c\":{\"requests\":{\"memory\":\"1.5Gi\"}}}}}}"}`, "cart_shop_app-"+id(1)+".log", "kind: KubeletConfiguration")
	l := &logs{files{dir: "/nonexistent"}}
	f.Fuzz(func(t *testing.T, state, link, config string) {
		if data, err := parseState([]byte(state)); err == nil {
			for k, g := range data.grants() {
				if g.limit.Value >= 1<<63 || g.request.Value >= 1<<63 || len(k.uid) > maxText || len(k.container) > maxText {
					t.Fatal("out of range")
				}
			}
		}
		if i := l.link(link); i != nil && (len(i.ID) != 64 || i.Pod.Name == "" || i.Pod.Namespace == "") {
			t.Fatalf("%+v", i)
		}
		if m := swapBehavior.FindStringSubmatch(config); m != nil && m[1] != "NoSwap" && m[1] != "LimitedSwap" {
			t.Fatalf("%q", m)
		}
	})
}

// FuzzTrust holds that no path but the one that the answer agrees with is named, and
// that nothing outside of the system's domain ever is by the system's runtime.
func FuzzTrust(f *testing.F) {
	f.Add(podPath(1, 2))
	f.Add(userPath + podPath(1, 2))
	f.Add("/docker/" + id(9) + podPath(1, 2))
	f.Add("/system.slice/a.service/docker-" + id(2) + ".scope")
	c := &Cache{opts: Options{Max: 10}, entries: map[key]*entry{}, pods: map[key]*podEntry{}}
	s := &source{cache: c, rank: rankRuntime}
	fake := &fakeCRI{}
	fake.add(1, 2, "app")
	api := &cri{}
	api.who.Store(&criVersion{name: "containerd"})
	c.put(s, api.info(fake.containers[id(2)]))
	f.Fuzz(func(t *testing.T, path string) {
		i, ok := c.Lookup(path, id(2))
		p, pod := c.Pod(path, uid(1))
		if !ok && !reflect.DeepEqual(i, Info{}) || !pod && !reflect.DeepEqual(p, PodInfo{}) {
			t.Fatal("names without knowledge")
		}
		for _, tt := range []struct {
			known bool
			place func() (cgroup.Place, bool)
		}{
			{ok, func() (cgroup.Place, bool) { return cgroup.PlaceOf(path, id(2)) }},
			{pod, func() (cgroup.Place, bool) { return cgroup.PodPlaceOf(path, uid(1)) }},
		} {
			if !tt.known {
				continue
			}
			at, found := tt.place()
			if !found || at.Within != "" || at.User.Known || at.Pod != "" && at.Pod != uid(1) || strings.Contains(at.Cgroup, ".service/") && at.Runtime != "podman" {
				t.Fatalf("%q is named: %+v", path, at)
			}
		}
		if utf8.ValidString(path) && strings.Contains(path, userPath) && strings.HasPrefix(path, userPath) && ok {
			t.Fatal("a user's cgroup is named")
		}
	})
}
