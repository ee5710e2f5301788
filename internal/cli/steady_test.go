package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/enrich"
	"github.com/oomtrace/oomtrace/internal/explain"
	"github.com/oomtrace/oomtrace/internal/metrics"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/sample"
	"github.com/oomtrace/oomtrace/internal/sink"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// oneContainer knows one container, as the cache of a node does.
type oneContainer struct{ info container.Info }

func (n *oneContainer) Lookup(string) (container.Info, bool) { return n.info, true }

func (n *oneContainer) Pod(string) (container.PodInfo, bool) { return *n.info.Pod, true }

func (n *oneContainer) Wait(context.Context, string, string) bool { return true }

func (n *oneContainer) Nested() bool { return false }

// steady is the way of a record from the ring's bytes to a file, set up as a
// session does it.
type steady struct {
	*session
	fake    *fakeRing
	machine wire.Machine
	ev      wire.Event
	path    string
}

// recorded is what the ring of a guest held: a kill in a Kubernetes container.
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../testdata/wire", name+".ring"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func newSteady(t testing.TB) *steady {
	t.Helper()
	s := &steady{path: filepath.Join(t.TempDir(), "out")}
	f, err := sink.Open(sink.Options{Path: s.path, Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	s.fake = &fakeRing{}
	s.session = newSession(t, s.fake, Env{}, f)
	s.p.owners(&ownerFlags{redact: true, enrichWait: time.Second}, enrich.Options{Containers: &oneContainer{container.Info{
		Container: oom.Container{Name: "app", Image: "example.org/cart:1.2", Runtime: "containerd"},
		Pod:       &container.PodInfo{Namespace: "shop", Name: "cart-7c9f", Labels: container.Labels{{Key: "app", Value: "cart"}, {Key: "tier", Value: "web"}}},
	}}})
	s.p.metrics = metrics.New(metrics.Options{})
	s.p.sampler.Root = procOf(t, recorded(t, "kill"))
	s.p.stacks.Close()
	s.p.stacks = sample.NewStacks(sample.StackOptions{Root: s.p.sampler.Root, Wait: time.Minute})
	hooks := []string{"fentry:oom_kill_process", "tp_btf:mark_victim"}
	s.machine = wire.Machine{
		Node: "node-3", BootID: "0b6a3d5e-0000-4000", Kernel: "6.12", PageSize: 4096, BootTime: time.Unix(1_700_000_000, 0),
		Hooks:  func(uint32) []string { return hooks },
		Symbol: func(dst []byte, _ uint64) []byte { return append(dst, "try_charge_memcg+0x3a5"...) },
		GFP:    func(dst []string, _ uint32) []string { return append(dst, "GFP_KERNEL") },
	}
	s.fake.machine = s.machine
	return s
}

// procOf makes a /proc in which the trigger of a recorded kill still lives.
func procOf(t testing.TB, raw []byte) string {
	t.Helper()
	var ev wire.Event
	if err := ev.Decode(raw, &wire.Machine{}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pid := filepath.Join(dir, fmt.Sprint(ev.Record.Trigger.PID.Value))
	if err := os.Mkdir(pid, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(pid, "maps"):    "00400000-7fffffffffff r-xp 00001000 08:01 7 /usr/bin/java\n",
		filepath.Join(dir, "swaps"):   "Filename Type Size Used Priority\n/dev/zram0 partition 98300 0 5\n",
		filepath.Join(dir, "meminfo"): "HugePages_Total: 100\nHugePages_Free: 90\nHugepagesize: 2048 kB\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (s *steady) decode(t testing.TB, raw []byte) *oom.Record {
	if err := s.ev.Decode(raw, &s.machine); err != nil {
		t.Fatal(err)
	}
	s.p.stacks.UserStack(&s.ev.Record, s.ev.UserStack)
	return &s.ev.Record
}

// whole takes a record all the way, owners' names included.
func (s *steady) whole(t testing.TB, raw []byte) {
	if err := s.p.write(context.Background(), s.decode(t, raw)); err != nil {
		t.Fatal(err)
	}
}

// steps moves events of a ring as a session does.
func (s *steady) steps(t testing.TB, raw ...[]byte) {
	s.fake.raw, s.fake.read = raw, 0
	for range raw {
		if err := s.step(context.Background(), &s.ev); err != nil {
			t.Fatal(err)
		}
	}
}

// bare leaves the owners' names out: what is left is what every record takes.
func (s *steady) bare(t testing.TB, raw []byte) {
	rec := s.decode(t, raw)
	s.p.sampler.Record(rec)
	s.p.metrics.Observe(rec)
	s.p.hide(rec)
	explain.Explain(rec)
	if err := s.p.out.Write(rec); err != nil {
		t.Fatal(err)
	}
}

// TestSteadyState: on the way from the ring to the file nothing is allocated,
// but for the explanation and what the owner of a Kubernetes container takes.
func TestSteadyState(t *testing.T) {
	kill, exit := recorded(t, "kill"), recorded(t, "exit")
	both := [][]byte{kill, exit}
	for _, tt := range []struct {
		name string
		most float64
		run  func(s *steady)
	}{
		{"kill", explainAllocs, func(s *steady) { s.bare(t, kill) }},
		{"exit", explainAllocs, func(s *steady) { s.bare(t, exit) }},
		{"kill and exit in a container with names", ownerAllocs + 2*explainAllocs, func(s *steady) { s.whole(t, kill); s.whole(t, exit) }},
		{"steps of a kill and an exit in a container with names", ownerAllocs + 2*explainAllocs, func(s *steady) { s.steps(t, both...) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSteady(t)
			n := testing.AllocsPerRun(100, func() { tt.run(s) })
			t.Logf("%v allocations", n)
			if n > tt.most {
				t.Errorf("%v allocations, want %v", n, tt.most)
			}
			checkLines(t, s.path)
		})
	}
}

// explainAllocs bounds the sentences of an explanation: some 2 KiB.
const explainAllocs = 60

// ownerAllocs bounds what names take: three small allocations (container, pod and
// uid) each for the victim, the trigger and the exit, what is kept of a victim
// until its exit, and for those three the map of the pod's labels, two each: kept
// ready for every pod of the node, those maps would be a third of the cache.
const ownerAllocs = 18

func checkLines(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if !json.Valid([]byte(line)) {
			t.Fatalf("%q", line)
		}
	}
	if n < 101 {
		t.Errorf("%d lines", n)
	}
}

// TestLabelsStay: the next record is decoded into the memory of the last one,
// and its metrics must not turn into this one's.
func TestLabelsStay(t *testing.T) {
	s := newSteady(t)
	s.p.owners(&ownerFlags{}, enrich.Options{})
	kill := recorded(t, "kill")
	for range 3 { // the buffers get as long as they have to be
		s.decode(t, kill)
	}
	s.whole(t, kill)
	s.whole(t, []byte(strings.ReplaceAll(string(kill), "00112233", "99887766")))
	w := httptest.NewRecorder()
	s.p.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, id := range []string{"001122334455", "998877664455"} {
		if !strings.Contains(w.Body.String(), `container="`+id+`"`) {
			t.Errorf("no container %s in %s", id, w.Body)
		}
	}
}

func BenchmarkSteadyState(b *testing.B) {
	kill := recorded(b, "kill")
	both := [][]byte{kill, recorded(b, "exit")}
	for _, bb := range []struct {
		name string
		run  func(*steady)
	}{
		{"kill", func(s *steady) { s.bare(b, kill) }},
		{"with owners", func(s *steady) { s.whole(b, kill) }},
		{"steps of a kill and its exit", func(s *steady) { s.steps(b, both...) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newSteady(b)
			s.p.out = newPipeline(Env{}, io.Discard, &outputFlags{output: "json"}, nil).out
			bb.run(s)
			b.ReportAllocs()
			for b.Loop() {
				bb.run(s)
			}
		})
	}
}
