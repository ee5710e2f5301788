package assemble

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/enrich"
	"github.com/oomtrace/oomtrace/internal/metrics"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/sample"
	"github.com/oomtrace/oomtrace/internal/sink"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// oneContainer knows one container, as the cache of a node does.
type oneContainer struct{ info container.Info }

func (n *oneContainer) Lookup(string, string) (container.Info, bool) { return n.info, true }
func (n *oneContainer) Pod(string, string) (container.PodInfo, bool) { return *n.info.Pod, true }
func (n *oneContainer) Wait(context.Context, string, string) bool    { return true }

// recorded is what the ring of a guest held: a kill in a Kubernetes container.
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../testdata/wire", name+".ring"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ring is a source that decodes records of a guest's ring, n in all.
type ring struct {
	raw     [][]byte
	n       int
	machine wire.Machine
	stacks  *sample.Stacks
	ev      wire.Event
	err     error
}

func (r *ring) Next(context.Context) (*oom.Record, error) {
	if r.n == 0 || r.err != nil {
		return nil, io.EOF
	}
	r.err = r.ev.Decode(r.raw[r.n%len(r.raw)], &r.machine)
	r.stacks.UserStack(&r.ev.Record, r.ev.UserStack)
	return &r.ev.Record, r.err
}

func (r *ring) Done() error { r.n--; return nil }

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

// newRing is a source of records of these bytes, and the stages that they go
// through on a node with a runtime.
func newRing(t testing.TB, raw ...[]byte) (*ring, *stages) {
	t.Helper()
	s := liveStages(t, StageOptions{Redact: true})
	s.enricher = enrich.New(enrich.Options{Containers: &oneContainer{container.Info{
		Container: oom.Container{Name: "app", Image: "example.org/cart:1.2", Runtime: "containerd"},
		Pod:       &container.PodInfo{Namespace: "shop", Name: "cart-7c9f", Labels: container.Labels{{Key: "app", Value: "cart"}, {Key: "tier", Value: "web"}}},
	}}})
	s.metrics = metrics.New(metrics.Options{})
	s.sampler.Root = procOf(t, raw[0])
	hooks := []string{"fentry:oom_kill_process", "tp_btf:mark_victim"}
	return &ring{
		raw: raw, stacks: sample.NewStacks(sample.StackOptions{Root: s.sampler.Root, Wait: time.Minute}),
		machine: wire.Machine{
			Node: "node-3", BootID: "0b6a3d5e-0000-4000", Kernel: "6.12", PageSize: 4096, BootTime: time.Unix(1_700_000_000, 0),
			Hooks:  func(uint32) []string { return hooks },
			Symbol: func(uint64) string { return "try_charge_memcg+0x3a5" },
			GFP:    func(uint32) []string { return []string{"GFP_KERNEL"} },
		},
	}, s
}

func (r *ring) move(t testing.TB, n int, s *stages, to pipeline.Sink) {
	t.Helper()
	r.n = n
	line := pipeline.Line{Source: r, Stages: s.list(), Sink: to}
	if err := line.Run(context.Background()); err != nil || r.err != nil {
		t.Fatal(err, r.err)
	}
}

// garbagePerKill bounds what a kill and its exit leave to the collector.
const garbagePerKill = 32 << 10

// TestGarbage: the whole way from the ring's bytes to a file stays within the
// bound, owner included.
func TestGarbage(t *testing.T) {
	f, err := sink.Open(sink.Options{Path: filepath.Join(t.TempDir(), "out")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, s := newRing(t, recorded(t, "kill"), recorded(t, "exit"))
	to := sinkOnly(Output{To: f, Format: "json"}, false)
	r.move(t, 2, s, to) // what is made once
	const kills = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r.move(t, 2*kills, s, to)
	runtime.ReadMemStats(&after)
	n := (after.TotalAlloc - before.TotalAlloc) / kills
	t.Logf("%d bytes a kill with its exit", n)
	if n > slack*garbagePerKill {
		t.Errorf("%d bytes, want at most %d", n, slack*garbagePerKill)
	}
}

// TestLabelsStay: the next record may be decoded into the memory of the last one,
// and its metrics must not turn into this one's.
func TestLabelsStay(t *testing.T) {
	kill := recorded(t, "kill")
	r, s := newRing(t, kill, []byte(strings.ReplaceAll(string(kill), "00112233", "99887766")))
	s.enricher = enrich.New(enrich.Options{})
	r.move(t, 4, s, sinkOnly(Output{To: io.Discard, Format: "json"}, false))
	w := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, id := range []string{"001122334455", "998877664455"} {
		if !strings.Contains(w.Body.String(), `container="`+id+`"`) {
			t.Errorf("no container %s in %s", id, w.Body)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	kill, exit := recorded(b, "kill"), recorded(b, "exit")
	for _, bb := range []struct {
		name string
		raw  [][]byte
	}{{"kill", [][]byte{kill}}, {"kill and exit", [][]byte{kill, exit}}} {
		b.Run(bb.name, func(b *testing.B) {
			r, s := newRing(b, bb.raw...)
			to := sinkOnly(Output{To: io.Discard, Format: "json"}, false)
			b.ReportAllocs()
			for b.Loop() {
				r.move(b, len(bb.raw), s, to)
			}
		})
	}
}
