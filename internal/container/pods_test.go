package container

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// fakeKubelet serves the Pods API as kubelet does: each pod as it marshals it.
type fakeKubelet struct {
	mu    sync.Mutex
	pods  []*corev1.Pod
	raw   []byte // instead of the pods
	calls int
}

func (f *fakeKubelet) add(pods ...*corev1.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pods = append(f.pods, pods...)
}

func (f *fakeKubelet) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// answer is a ListPodsResponse.
func (f *fakeKubelet) answer() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	out := f.raw
	for _, p := range f.pods {
		b, err := p.Marshal()
		if err != nil {
			return nil, err
		}
		out = protowire.AppendBytes(protowire.AppendTag(out, 1, protowire.BytesType), b)
	}
	return out, nil
}

func (f *fakeKubelet) serve(t testing.TB, path, service string) {
	t.Helper()
	_ = os.Remove(path)
	l := listen(t, path)
	s := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}))
	s.RegisterService(&grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "ListPods",
		Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request []byte
			if err := dec(&request); err != nil {
				return nil, err
			}
			b, err := f.answer()
			return &b, err
		},
	}}}, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
}

// kubePodOf makes a pod of one container as kubelet has it; a container without
// an id has not been started.
func kubePodOf(n, ct int) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("pod-%d", n), Namespace: "shop", UID: types.UID(uid(n)), Labels: map[string]string{"app": "cart"},
			Annotations: map[string]string{"kubernetes.io/config.seen": "2026-01-01T00:00:00Z"}, CreationTimestamp: metav1.Unix(1, 0),
		},
		Spec: corev1.PodSpec{
			NodeName: "n1", TerminationGracePeriodSeconds: new(int64),
			InitContainers: []corev1.Container{{Name: "setup", Image: "setup:1"}},
			Containers: []corev1.Container{{Name: "app", Image: "docker.io/shop/cart:1.4", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("32Mi"), corev1.ResourceCPU: resource.MustParse("100m")},
				Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
			}}},
			EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox:1"}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, QOSClass: corev1.PodQOSBurstable},
	}
	if ct > 0 {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", RestartCount: 3, Image: "sha256:" + id(7), ContainerID: "containerd://" + id(ct)}}
	}
	return p
}

const kubeletSocket = "/var/lib/kubelet" + podsSocket

// TestPodsAPI names containers by kubelet alone.
func TestPodsAPI(t *testing.T) {
	root := shortDir(t)
	f := &fakeKubelet{}
	static := kubePodOf(5, 6)
	static.Annotations[configHash] = id(5)[:32]
	both := kubePodOf(8, 9)
	both.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "debug", ContainerID: "cri-o://" + id(10)}}
	both.Spec.Resources = &corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("48Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("96Mi")},
	}
	f.add(kubePodOf(1, 2), kubePodOf(3, 0), static, both)
	f.serve(t, root+kubeletSocket, "v1alpha1.Pods")
	write(t, root+"/var/lib/kubelet/config.yaml", "swapBehavior: LimitedSwap\n")
	static5 := "/kubepods/burstable/pod" + id(5)[:32] + "/" + id(6)
	tree(t, root, podPath(1, 2), podPath(3, 4), static5, podPath(8, 10))
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	pod := &PodInfo{Namespace: "shop", Name: "pod-1", UID: uid(1), QoS: "burstable", SwapBehavior: "LimitedSwap", Labels: Labels{{"app", "cart"}}}
	want := Info{
		Container: oom.Container{
			ID: id(2), Name: "app", Image: "docker.io/shop/cart:1.4", Runtime: "containerd", RestartCount: oom.Some(uint64(3)),
			MemoryRequestBytes: oom.Some(uint64(32 << 20)), MemoryLimitBytes: oom.Some(uint64(64 << 20)),
		},
		PodContainer: "app", Pod: pod,
	}
	got, _ := c.lookup(podPath(1, 2))
	if d := cmpInfo(want, got); d != "" {
		t.Error(d)
	}
	if p, ok := c.Pod(podPath(3, 4), uid(3)); !ok || p.Name != "pod-3" || p.QoS != "burstable" {
		t.Errorf("a pod without containers yet: %+v", p)
	}
	if i, ok := c.lookup(static5); !ok || i.Pod.UID != id(5)[:32] {
		t.Errorf("a static pod's container: %+v", i)
	}
	if i, _ := c.lookup(podPath(8, 10)); i.Name != "debug" || i.Runtime != "cri-o" || i.Image != "busybox:1" || i.RestartCount != oom.Some(uint64(0)) || i.MemoryRequestBytes != oom.Some(uint64(0)) {
		t.Errorf("an ephemeral container: %+v", i)
	}
	if i, _ := c.lookup(podPath(8, 10)); i.Pod.MemoryRequestBytes != oom.Some(uint64(48<<20)) || i.Pod.MemoryLimitBytes != oom.Some(uint64(96<<20)) {
		t.Errorf("pod-level resources: %+v", i.Pod)
	}
	if s := c.Sources(); len(s) != 1 || s[0].Name != "kubelet Pods API" || !s[0].OK || s[0].Containers != 4 {
		t.Errorf("sources %+v", s)
	}
	// A new pod is asked for when its cgroup is seen.
	f.add(kubePodOf(11, 12))
	c.Seen(podPath(11, 12))
	eventually(t, "the new one is known", func() bool { i, _ := c.lookup(podPath(11, 12)); return i.PodContainer == "app" })
}

// TestPodsAPIAndRuntime holds that both add up: what the runtime says of names
// stays, and kubelet adds what only it knows.
func TestPodsAPIAndRuntime(t *testing.T) {
	root := shortDir(t)
	k, f := &fakeKubelet{}, &fakeCRI{}
	k.serve(t, root+kubeletSocket, "v1alpha1.Pods")
	f.serve(t, root+containerd)
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	f.add(1, 2, "app")
	c.Seen(podPath(1, 2))
	eventually(t, "the runtime has told", func() bool { i, _ := c.lookup(podPath(1, 2)); return i.Pod != nil })
	k.add(kubePodOf(1, 2)) // later, as it is
	eventually(t, "kubelet has told", func() bool { i, _ := c.lookup(podPath(1, 2)); return i.MemoryRequestBytes.Known })
	i, _ := c.lookup(podPath(1, 2))
	if i.MemoryLimitBytes != oom.Some(uint64(64<<20)) || i.Runtime != "containerd" || i.Pod.Name != "pod-1" || i.Pod.QoS != "burstable" || i.Pod.Labels.Get("app") != "app" {
		t.Errorf("%+v of %+v", i, i.Pod)
	}
	asked := k.asked()
	for range 100 {
		c.Seen(podPath(1, 2))
	}
	if n := k.asked() - asked; n > 1 {
		t.Errorf("asked %d times for what is known", n)
	}
}

func TestPodsAPIOther(t *testing.T) {
	for name, tc := range map[string]struct {
		service string
		raw     []byte
		want    error
		warns   int
	}{
		"another version": {service: "v7.Pods", want: ErrNoPods},
		"rubbish":         {service: "v1alpha1.Pods", raw: []byte("\xff\xff\xff rubbish")},
		"rubbish inside":  {service: "v1alpha1.Pods", raw: []byte("\x0a\x04\x0a\xff\xff\xff")},
	} {
		t.Run(name, func(t *testing.T) {
			root := shortDir(t)
			f := &fakeKubelet{raw: tc.raw}
			f.serve(t, root+kubeletSocket, tc.service)
			noLeak(t, func() {
				var w warnings
				c := Open(t.Context(), Options{Root: root, Warn: w.add, Wake: true})
				c.Ready(t.Context())
				if s := c.Sources(); len(s) != 1 || !errors.Is(s[0].Err, tc.want) || s[0].OK != (tc.want == nil) {
					t.Errorf("sources %+v", s)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				if n := len(w.get()); n != tc.warns {
					t.Errorf("%d warnings: %q", n, w.get())
				}
			})
		})
	}
}

// state writes kubelet's state in its later form.
func state(t *testing.T, path string, pods ...*corev1.Pod) {
	t.Helper()
	var list corev1.PodList
	for _, p := range pods {
		list.Items = append(list.Items, *p)
	}
	b, err := list.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	data := fmt.Sprintf(`{"podList":%q,"entries":{%q:{"ContainerResources":{"app":{"requests":{"memory":"16Mi"}}}}}}`,
		base64.StdEncoding.EncodeToString(b), uid(1))
	tmp := path + ".tmp"
	write(t, tmp, fmt.Sprintf(`{"version":"v2","data":%q,"checksum":1}`, data))
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

// TestState names pods by kubelet's state file: there is no socket at all.
func TestState(t *testing.T) {
	root := shortDir(t)
	path := filepath.Join(root, kubeletRoots[0]+allocatedState)
	state(t, path, kubePodOf(1, 0))
	tree(t, root, podPath(1, 2))
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	eventually(t, "the file is read", func() bool { _, ok := c.Pod(podPath(1, 2), uid(1)); return ok })
	if p, ok := c.Pod(podPath(1, 2), uid(1)); !ok || p.Namespace != "shop" || p.Name != "pod-1" || p.Labels.Get("app") != "cart" {
		t.Errorf("pod %+v", p)
	}
	start := time.Now()
	if c.Wait(t.Context(), podPath(1, 2), id(2)) || time.Since(start) > 10*time.Second {
		t.Error("waited for a container that the file cannot know")
	}
	state(t, path, kubePodOf(1, 0), kubePodOf(3, 0))
	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.Seen(podPath(3, 4))
	eventually(t, "the new pod is known", func() bool { p, _ := c.Pod(podPath(3, 4), uid(3)); return p.Name == "pod-3" })
	if s := c.Sources(); len(s) != 1 || s[0].Name != "kubelet state" || !s[0].OK {
		t.Errorf("sources %+v", s)
	}
}

func FuzzPods(f *testing.F) {
	pod := kubePodOf(1, 2)
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "setup", ContainerID: "cri-o://" + id(3)}}
	b, err := pod.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("\x0a\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, i := range parsePod(b).infos() {
			if i.Pod == nil || i.Pod.UID == "" {
				t.Fatalf("no pod: %+v", i)
			}
			if i.ID != "" && (!plausible(i.ID) || i.Name == "" || i.PodContainer != i.Name) {
				t.Fatalf("%+v", i)
			}
			for _, s := range []string{i.Name, i.Image, i.Runtime, i.Pod.Name, i.Pod.Namespace, i.Pod.UID} {
				if len(s) > maxText {
					t.Fatalf("a text of %d bytes", len(s))
				}
			}
			if len(i.Pod.Labels) > maxLabels || i.MemoryLimitBytes.Value >= 1<<63 {
				t.Fatalf("%+v", i)
			}
		}
	})
}

// BenchmarkPods reads kubelet's answer of 110 pods, as many as a node has by
// default.
func BenchmarkPods(b *testing.B) {
	f := &fakeKubelet{}
	for n := range 110 {
		f.add(kubePodOf(n, 1000+n))
	}
	answer, err := f.answer()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(answer)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		eachField(answer, func(_ fieldNumber, pod []byte, _ uint64) { n += len(parsePod(pod).infos()) })
		if n != 110 {
			b.Fatal(n)
		}
	}
}
