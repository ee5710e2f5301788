package history

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

const (
	second = uint64(time.Second)
	mib    = 1 << 20
)

func TestSeries(t *testing.T) {
	for _, tt := range []struct {
		name       string
		hours      uint64
		oldest     time.Duration // at least
		lastMinute int           // points of it, at least
	}{
		{"a minute", 0, 59 * time.Second, 7},
		{"an hour", 1, 59 * time.Minute, 7},
		{"a day", 24, 20 * time.Hour, 7},
		{"three weeks", 500, 34 * time.Hour, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s series[uint64]
			start, end := 3*second, (tt.hours*3600+63)*second
			for ns := start; ns <= end; ns += second {
				s.add(stampAt(ns), ns)
			}
			points := s.before(nil, end)
			lastMinute := 0
			for i, p := range points {
				back, ok := ago(p.when, end)
				if !ok || i > 0 && stampAt(end)-points[i-1].when <= stampAt(end)-p.when {
					t.Fatalf("point %d: %v, after %v", i, p, points[max(i-1, 0)])
				}
				if took := end - p.value; max(took, back)-min(took, back) > 2<<unitShift {
					t.Errorf("point %d is %v old, and says %v", i, time.Duration(took), time.Duration(back))
				}
				if back < 60*second {
					lastMinute++
				}
			}
			if oldest, _ := ago(points[0].when, end); time.Duration(oldest) < tt.oldest {
				t.Errorf("reaches %v back", time.Duration(oldest))
			}
			if lastMinute < tt.lastMinute {
				t.Errorf("%d points of the last minute", lastMinute)
			}
		})
	}
	t.Run("stamps that come round", func(t *testing.T) {
		var s series[int]
		const day = 24 * 3600 * second
		s.add(stampAt(3*second), 1)
		s.add(stampAt(30*day), 2)
		round := uint64(1) << (32 + unitShift) // 52 days
		if got := s.before(nil, round+13*second); len(got) != 1 || got[0].value != 2 {
			t.Errorf("%v", got)
		}
	})
	t.Run("nothing after", func(t *testing.T) {
		var s series[int]
		s.add(stampAt(10*second), 1)
		s.add(stampAt(20*second), 2)
		if got := s.before(nil, 15*second); len(got) != 1 || got[0].value != 1 {
			t.Errorf("%v", got)
		}
	})
}

// points makes points of pairs: seconds ago, MiB.
func points(pairs ...uint64) []oom.HistoryPoint {
	var out []oom.HistoryPoint
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, oom.HistoryPoint{AgoNS: pairs[i] * second, Bytes: pairs[i+1] * mib})
	}
	return out
}

func TestRate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		points []oom.HistoryPoint
		want   oom.Opt[int64] // MiB/s
	}{
		{"one point", points(0, 100), oom.Opt[int64]{}},
		{"steady", points(30, 10, 20, 20, 10, 30, 0, 40), oom.Some[int64](1)},
		{"flat, then a burst", points(3600, 180, 60, 180, 3, 180, 0, 480), oom.Some[int64](100)},
		{"a dip on the way", points(30, 10, 20, 40, 15, 39, 0, 310), oom.Some[int64](10)},
		{"a sawtooth", points(40, 10, 30, 300, 20, 10, 10, 300, 5, 10, 0, 300), oom.Some[int64](58)},
		{"it shrank", points(20, 300, 10, 300, 0, 200), oom.Some[int64](-10)},
		{"it stood", points(20, 300, 10, 300, 0, 300), oom.Some[int64](0)},
		{"two points", points(10, 10, 0, 40), oom.Some[int64](3)},
		{"low twice, with a dip between", points(30, 10, 20, 20, 10, 10, 0, 310), oom.Some[int64](10)},
		{"a dip of a tenth", points(30, 10, 20, 50, 8, 20, 0, 320), oom.Some[int64](10)},
		{"a dip of more", points(30, 10, 20, 51, 8, 20, 0, 320), oom.Some[int64](37)},
		{"a dip that is small beside all of it", points(20, 50, 10, 120, 5, 100, 0, 200), oom.Some[int64](20)},
		{"a hundredth at first", points(20, 0, 10, 1, 0, 100), oom.Some[int64](9)},
		{"more than a hundredth at first", points(20, 0, 10, 2, 0, 100), oom.Some[int64](5)},
		{"a hundredth of all of it at first", points(20, 1000, 10, 1010, 0, 1100), oom.Some[int64](5)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := rate(tt.points)
			if got.Known != tt.want.Known || got.Value/mib != tt.want.Value {
				t.Errorf("%v bytes/s, want %v MiB/s", got, tt.want)
			}
		})
	}
}

func killedAt(ns uint64) *probe.HistoryKilled {
	k := &probe.HistoryKilled{BootNs: ns, UsagePages: 1000, MaxPages: 1000}
	g := &k.Growth
	g.Serial, g.FirstNs, g.LastNs = 7, ns-60*second, ns-second/1000
	g.LastPages, g.PeakPages, g.PeakWhen = 900, 1000, stampAt(ns-second)
	g.Points[0].When, g.Points[0].Pages = stampAt(ns-60*second), 100
	g.Points[9].When, g.Points[9].Pages = stampAt(ns-30*second), 500
	g.Points[20].When, g.Points[20].Pages = stampAt(ns-60*second), 100 // a slot of another level
	g.Points[30].When, g.Points[30].Pages = stampAt(ns+second), 5      // a charge of another CPU since
	g.NearSinceNs, g.Hits, g.WindowBeforeNs = ns-2*second, 12, ns-60*second
	g.Chargers[0].Tgid, g.Chargers[0].StartBootNs, g.Chargers[0].Pages = 10, second, 50
	copy(g.Chargers[0].Comm[:], "small")
	g.Chargers[3].Tgid, g.Chargers[3].StartBootNs, g.Chargers[3].Pages, g.Chargers[3].Before = 11, 2*second, 500, 400
	copy(g.Chargers[3].Comm[:], "big")
	g.Chargers[5].Tgid, g.Chargers[5].Pages, g.Chargers[5].Flags = 12, 70, uint32(probe.HistoryGrowthFlagGROWTH_KERNEL|probe.HistoryGrowthFlagGROWTH_OUTSIDE)
	g.Chargers[6].Tgid = 13  // charged nothing for long
	g.Chargers[7].Pages = 80 // a free place
	return k
}

func TestExactHistory(t *testing.T) {
	e := &exact{pageSize: 4096}
	ns := 100 * 3600 * second
	h := e.history(killedAt(ns), ns)
	var got []uint64
	for _, p := range h.Points {
		got = append(got, p.Bytes/4096)
	}
	if want := []uint64{100, 500, 1000, 900, 1000}; !slices.Equal(got, want) {
		t.Errorf("points %v, want %v", got, want)
	}
	if s := h.SpanNS.Value; s < 59*second || s > 61*second || h.StartBytes != oom.Some[uint64](100*4096) {
		t.Errorf("span %d from %v", s, h.StartBytes)
	}
	if h.NearLimitNS != oom.Some(2*second) || h.LimitHits != oom.Some[uint64](12) || h.PeakBytes != oom.Some[uint64](1000*4096) || h.GrowersSpanNS != oom.Some(60*second) {
		t.Errorf("near %v hits %v peak %v over %v", h.NearLimitNS, h.LimitHits, h.PeakBytes, h.GrowersSpanNS)
	}
	want := []oom.Grower{
		{PID: oom.Some[int32](11), Comm: "big", StartNS: 2 * second, ChargedBytes: oom.Some[uint64](900 * 4096)},
		{PID: oom.Some[int32](12), ChargedBytes: oom.Some[uint64](70 * 4096), Kernel: oom.Some(true), Outside: oom.Some(true)},
		{PID: oom.Some[int32](10), Comm: "small", StartNS: second, ChargedBytes: oom.Some[uint64](50 * 4096)},
	}
	if !reflect.DeepEqual(h.Growers, want) {
		t.Errorf("growers %+v", h.Growers)
	}
	late := e.history(killedAt(ns), ns+second/2) // its record is from half a second later
	if s := late.SpanNS.Value - h.SpanNS.Value; s < second/2-2<<unitShift || s > second/2+2<<unitShift || late.NearLimitNS != oom.Some(5*second/2) {
		t.Errorf("%d ns longer, near %v", s, late.NearLimitNS)
	}
	if e.history(&probe.HistoryKilled{BootNs: ns}, ns) != nil {
		t.Error("a cgroup that was not followed has a history")
	}
}

func TestLimitChanged(t *testing.T) {
	const none = 1 << 51
	for _, tt := range []struct {
		name                    string
		max, lastFrom, beforeOf uint64 // pages; 0: no such write
		from, to                oom.Opt[uint64]
		found                   bool
	}{
		{name: "no write", max: 100},
		{name: "lowered", max: 100, lastFrom: 500, from: oom.Some[uint64](500), to: oom.Some[uint64](100), found: true},
		{name: "lowered from none", max: 100, lastFrom: none, to: oom.Some[uint64](100), found: true},
		{name: "raised", max: 100, lastFrom: 50},
		{name: "lowered, then raised", max: 100, lastFrom: 50, beforeOf: 500},
		{name: "lowered, then the same again", max: 100, lastFrom: 100, beforeOf: 500, from: oom.Some[uint64](500), to: oom.Some[uint64](100), found: true},
		{name: "the same alone", max: 100, lastFrom: 100},
		{name: "the same twice", max: 100, lastFrom: 100, beforeOf: 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &probe.HistoryKilled{BootNs: 100 * second, MaxPages: tt.max}
			for i, from := range []uint64{tt.lastFrom, tt.beforeOf} {
				w := &k.MaxWrites.Last
				if i == 1 {
					w = &k.MaxWrites.Before
				}
				if from != 0 {
					w.From, w.BootNs, w.Tgid, w.CgroupId = from, uint64(90-i)*second, 42, 7
					copy(w.Comm[:], "kubelet")
				}
			}
			c := (&exact{pageSize: 4096}).changed(&k.MaxWrites, k.MaxPages, k.BootNs, func(id uint64) string { return "/writer" + strconv.FormatUint(id, 10) })
			if (c != nil) != tt.found {
				t.Fatalf("%+v", c)
			}
			ago := 10 * second
			if tt.lastFrom == tt.max { // the write before is meant
				ago = 11 * second
			}
			if c != nil && (c.FromBytes.Value != tt.from.Value*4096 || c.FromBytes.Known != tt.from.Known || c.ToBytes != oom.Some(tt.to.Value*4096) || c.Comm != "kubelet" || c.PID != oom.Some[int32](42) || c.Cgroup != "/writer7" || c.AgoNS != oom.Some(ago)) {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestMemsChanged(t *testing.T) {
	for _, tt := range []struct {
		name             string
		is, last, before uint64 // nodes, a bit each; 0: no such write
		from, to         string
	}{
		{name: "no write", is: 0b11},
		{name: "shrunk", is: 0b10, last: 0b11, from: "0-1", to: "1"},
		{name: "another node for one", is: 0b100, last: 0b1011, from: "0-1,3", to: "2"},
		{name: "grown", is: 0b11, last: 0b10},
		{name: "shrunk, then grown", is: 0b11, last: 0b10, before: 0b11},
		{name: "shrunk, then the same again", is: 0b10, last: 0b10, before: 0b11, from: "0-1", to: "1"},
		{name: "of a cpuset that could not be read", is: 0b10, last: unknownNodes},
		{name: "to one that could not be read", is: unknownNodes, last: 0b11},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var writes probe.HistoryLimitWrites
			for i, from := range []uint64{tt.last, tt.before} {
				w := &writes.Last
				if i == 1 {
					w = &writes.Before
				}
				if from != 0 {
					w.From, w.BootNs, w.Tgid, w.CgroupId = from, uint64(90-i)*second, 42, 7
					copy(w.Comm[:], "runc")
				}
			}
			c := memsChanged(&writes, tt.is, 100*second, func(uint64) string { return "/writer" })
			if (c != nil) != (tt.to != "") {
				t.Fatalf("%+v", c)
			}
			ago := 10 * second
			if tt.last == tt.is { // the write before is meant
				ago = 11 * second
			}
			if c != nil && (c.From != tt.from || c.To != tt.to || c.Comm != "runc" || c.PID != oom.Some[int32](42) || c.Cgroup != "/writer" || c.AgoNS != oom.Some(ago)) {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestAdjChange(t *testing.T) {
	for _, tt := range []struct {
		name          string
		written, adj  int32
		at, age, kill uint64
		found         bool
	}{
		{name: "none", adj: 0, age: 50, kill: 100},
		{name: "written", written: 500, adj: 500, at: 90, age: 50, kill: 100, found: true},
		{name: "as the process began", written: 500, adj: 500, at: 50, age: 50, kill: 100, found: true},
		{name: "just before it began", written: 500, adj: 500, at: 49, age: 50, kill: 100},
		{name: "at the kill", written: 500, adj: 500, at: 100, age: 50, kill: 100, found: true},
		{name: "another value since, as a parent's", written: 500, adj: 0, at: 90, age: 50, kill: 100},
		{name: "of an earlier process with this pid", written: 500, adj: 500, at: 40, age: 50, kill: 100},
		{name: "after the kill", written: 500, adj: 500, at: 101, age: 50, kill: 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &probe.HistoryAdjWrite{BootNs: tt.at, Adj: tt.written, Tgid: 42, CgroupId: 7}
			copy(w.Comm[:], "kubelet")
			got := adjChange(w, tt.adj, tt.age, tt.kill, func(id uint64) string { return "/writer" + strconv.FormatUint(id, 10) })
			if (got != nil) != tt.found {
				t.Fatalf("%+v", got)
			}
			if want := (oom.AdjChange{AgoNS: oom.Some(tt.kill - tt.at), PID: oom.Some[int32](42), Comm: "kubelet", Cgroup: "/writer7"}); got != nil && *got != want {
				t.Errorf("%+v", got)
			}
		})
	}
}

func lowered(from, to, ago uint64) *oom.LimitChange {
	return &oom.LimitChange{FromBytes: oom.Some(from << 10), ToBytes: oom.Some(to << 10), AgoNS: oom.Some(ago)}
}

func TestSwapTotal(t *testing.T) {
	for _, tt := range []struct {
		name   string
		totals []uint64 // at 1 ns, 2 ns, ...
		ns     uint64
		want   *oom.LimitChange
	}{
		{name: "no sample", ns: 9},
		{name: "unknown", totals: []uint64{unknownKiB, unknownKiB}, ns: 9},
		{name: "the same", totals: []uint64{8, 8}, ns: 9},
		{name: "none at first", totals: []uint64{0, 8}, ns: 9},
		{name: "turned off", totals: []uint64{8, 8, 0, 0}, ns: 9, want: lowered(8, 0, 6)},
		{name: "not read in between", totals: []uint64{8, unknownKiB, 0}, ns: 9, want: lowered(8, 0, 6)},
		{name: "one of two", totals: []uint64{8, 3}, ns: 9, want: lowered(8, 3, 7)},
		{name: "one after the other", totals: []uint64{8, 3, 0}, ns: 9, want: lowered(3, 0, 6)},
		{name: "on again", totals: []uint64{8, 0, 8}, ns: 9},
		{name: "after the kill", totals: []uint64{8, 8, 8, 0}, ns: 3},
		{name: "at the kill", totals: []uint64{8, 8, 8, 0}, ns: 4, want: lowered(8, 0, 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s swapTotal
			for i, total := range tt.totals {
				s.add(uint64(i)+1, total)
			}
			if got := s.before(tt.ns); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestMemTotal: a balloon takes from the total, and gives back.
func TestMemTotal(t *testing.T) {
	for name, c := range map[string]struct {
		totals []uint64
		want   *oom.LimitChange
	}{
		"as it was":        {[]uint64{6400, 6400, 6400}, nil},
		"a little less":    {[]uint64{6400, 6300, 6300}, nil},
		"a part less":      {[]uint64{6400, 6299, 6299}, lowered(6400, 6299, 3)},
		"bit by bit":       {[]uint64{6400, 6400, 6000, 5000, 2000}, lowered(6400, 2000, 4)},
		"some of it again": {[]uint64{6400, 2000, 4000}, lowered(6400, 4000, 3)},
		"all of it again":  {[]uint64{6400, 2000, 6400}, nil},
		"more than before": {[]uint64{6400, 8000, 7000}, lowered(8000, 7000, 2)},
		"not read":         {[]uint64{unknownKiB, unknownKiB}, nil},
	} {
		var m memTotal
		for i, total := range c.totals {
			m.add(uint64(i)+1, total)
		}
		if got := m.before(uint64(len(c.totals)) + 1); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestMeminfo(t *testing.T) {
	m := parseMeminfo([]byte("MemTotal: 100 kB\nMemFree:  7 kB\nSwapFree: 0 kB\nActive(file): 5 kB\nInactive(file): 6 kB\nAnonPages: 9 kB\nHugePages_Total: 1\n\xff\n:"))
	if m != (machine{total: 100, free: 7, anon: 9, file: 11, slab: unknownKiB, swapFree: 0, swapTotal: unknownKiB}) {
		t.Errorf("%+v", m)
	}
	if parseMeminfo(nil).file != unknownKiB {
		t.Error("nothing was read, and something is known")
	}
}

func TestStat(t *testing.T) {
	b := []byte("12 (a) b (c) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4711 1000 321 18446744073709551615 1 1")
	if s, ok := parseStat(b); !ok || s.comm != "a) b (c" || s.ticks != 4711 || s.pages != 321 {
		t.Errorf("%+v %v", s, ok)
	}
	if s, ok := parseStat([]byte("1 (x) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4711 1000 321")); !ok || s.pages != 321 {
		t.Errorf("cut behind what is read: %+v %v", s, ok)
	}
	for _, b := range []string{"", ")(", "1 (x) S", "1 (x) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4711 1000", "1 (x) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 x 1000 y"} {
		if _, ok := parseStat([]byte(b)); ok {
			t.Errorf("%q is read", b)
		}
	}
}

const podSlice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod11111111_2222_3333_4444_555555555555.slice"

var containerID = fmt.Sprintf("%064x", 0xabc)

// fakeRoot makes a machine with a v2 hierarchy of these cgroups, in MiB.
func fakeRoot(t testing.TB, usage map[string]uint64) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, "proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	write(t, root, "proc/meminfo", "MemFree: 1000 kB\nSwapFree: 0 kB\n")
	write(t, root, "sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	for path, v := range usage {
		setUsage(t, root, path, v*mib)
	}
	return root
}

func setUsage(t testing.TB, root, path string, v uint64) {
	t.Helper()
	write(t, root, "sys/fs/cgroup"+path+"/memory.current", strconv.FormatUint(v, 10)+"\n")
	write(t, root, "sys/fs/cgroup"+path+"/memory.max", "max\n")
	write(t, root, "sys/fs/cgroup"+path+"/memory.swap.current", "4096\n")
	write(t, root, "sys/fs/cgroup"+path+"/cgroup.procs", "1\n2\n")
}

func write(t testing.TB, root, path, text string) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func machineCgroups() map[string]uint64 {
	return map[string]uint64{
		"/system.slice":                                               120,
		"/system.slice/sshd.service":                                  40,
		"/system.slice/cron.service":                                  80,
		"/user.slice":                                                 50,
		"/user.slice/user-0.slice":                                    50,
		"/user.slice/user-0.slice/user@0.service":                     50,
		"/user.slice/user-0.slice/user@0.service/app.slice":           30,
		"/user.slice/user-0.slice/user@0.service/app.slice/x.service": 30,
		"/kubepods.slice":                                             700,
		"/kubepods.slice/kubepods-burstable.slice":                    700,
		podSlice: 700,
		podSlice + "/cri-containerd-" + containerID + ".scope":      650,
		podSlice + "/cri-containerd-" + containerID + ".scope/init": 650,
		"/plain":     9,
		"/plain/one": 5,
		"/plain/two": 4,
		"/empty":     0,
	}
}

// openFake follows such a machine, and has all the time that a busy host needs.
func openFake(t *testing.T, opts Options) *Recorder {
	t.Helper()
	opts.Interval = time.Hour
	r, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	r.askWait = time.Minute
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		tick(t, r)
	}
	return r
}

func tick(t *testing.T, r *Recorder) {
	t.Helper()
	if !r.ask(t.Context(), r.sample) {
		t.Fatal("the sampler does not answer")
	}
}

func systemKill() *oom.Record {
	return &oom.Record{
		Kind: oom.KindKill, Source: oom.SourceBPF, UptimeNS: oom.Some(host.BootNS()), Time: time.Now(), Scope: oom.ScopeSystem,
		Incident: "1", Memory: &oom.Memory{}, Victim: &oom.Victim{PID: oom.Some[int32](1)},
	}
}

func TestHolders(t *testing.T) {
	root := fakeRoot(t, machineCgroups())
	r := openFake(t, Options{Root: root, Top: 3, Name: func(_ string, o *oom.Owner) {
		if o.Container != nil {
			o.Container.MemoryRequestBytes = oom.Some[uint64](123)
		}
		if o.Pod != nil {
			o.Pod.Name = "shop"
		}
	}})
	rec := systemKill()
	rec.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: "/system.slice/sshd.service", UsageBytes: oom.Some[uint64](90 * mib)}}
	setUsage(t, root, "/system.slice/sshd.service", 1*mib) // it died meanwhile
	if err := r.Stage(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	type row struct {
		cgroup string
		mib    uint64
	}
	var got []row
	for _, h := range rec.Holders {
		got = append(got, row{h.Cgroup, h.UsageBytes.Value / mib})
	}
	want := []row{{podSlice, 700}, {"/system.slice/sshd.service", 90}, {"/system.slice/cron.service", 80}}
	if !slices.Equal(got, want) || rec.HoldersTotal != oom.Some[uint64](6) {
		t.Errorf("%v of %v", got, rec.HoldersTotal)
	}
	pod := rec.Holders[0]
	if pod.Pod == nil || pod.Pod.Name != "shop" || pod.RequestBytes != oom.Some[uint64](123) || pod.Tasks != oom.Some[uint64](6) || pod.SwapBytes != oom.Some[uint64](4096) || pod.GrewBytes != oom.Some[int64](0) {
		t.Errorf("%+v", pod)
	}
	if !slices.Contains(rec.Sampled, "holders") || rec.Memory.History == nil || rec.History != nil {
		t.Errorf("sampled %v, %v, %v", rec.Sampled, rec.Memory.History, rec.History)
	}
}

func TestHoldersOfAPod(t *testing.T) {
	other := podSlice + "/cri-containerd-" + fmt.Sprintf("%064x", 0xdef) + ".scope"
	cgroups := machineCgroups()
	cgroups[other] = 50
	r := openFake(t, Options{Root: fakeRoot(t, cgroups)})
	for _, tt := range []struct {
		name, limit string
		want        int
	}{
		{"the pod's limit", podSlice, 2},
		{"a container's own", other, 0},
		{"another's", "/nowhere", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := systemKill()
			rec.Incident, rec.Scope, rec.Limit = tt.name, oom.ScopeCgroup, &oom.Limit{Cgroup: tt.limit}
			if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != tt.want {
				t.Errorf("%d holders, want %d: %v", len(rec.Holders), tt.want, err)
			}
		})
	}
}

func TestSampledHistory(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a": 10, "/b": 20})
	r := openFake(t, Options{Root: root})
	id, _, err := r.tree.id("/a")
	if err != nil {
		t.Fatal(err)
	}
	rec := systemKill()
	rec.Scope = oom.ScopeCgroup
	rec.Limit = &oom.Limit{Cgroup: "/a", CgroupID: oom.Some(id), UsageBytes: oom.Some[uint64](64 * mib)}
	if err := r.Stage(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	h := rec.History
	if h == nil || h.Source != oom.HistorySampled || h.StartBytes != oom.Some[uint64](10*mib) || h.PeakBytes != oom.Some[uint64](64*mib) {
		t.Fatalf("%+v", h)
	}
	t.Run("another cgroup of that path", func(t *testing.T) {
		rec := systemKill()
		rec.Incident, rec.Limit = "2", &oom.Limit{Cgroup: "/a", CgroupID: oom.Some(id + 12345), UsageBytes: oom.Some[uint64](1)}
		if err := r.Stage(t.Context(), rec); err != nil || rec.History != nil {
			t.Errorf("%+v: %v", rec.History, err)
		}
	})
	t.Run("one incident", func(t *testing.T) {
		again := *rec
		again.History, again.Sampled = nil, nil
		if err := r.Stage(t.Context(), &again); err != nil || again.History == nil || again.History == rec.History {
			t.Errorf("%p and %p: %v", again.History, rec.History, err)
		}
	})
	t.Run("an old log", func(t *testing.T) {
		rec := systemKill()
		rec.Source, rec.Time = oom.SourceKmsg, time.Now().Add(-time.Hour)
		if err := r.Stage(t.Context(), rec); err != nil || rec.Memory.History != nil || rec.Holders != nil {
			t.Errorf("%+v: %v", rec, err)
		}
	})
	t.Run("no victim", func(t *testing.T) {
		rec := &oom.Record{Kind: oom.KindExit, Source: oom.SourceBPF, UptimeNS: oom.Some(host.BootNS())}
		if err := r.Stage(t.Context(), rec); err != nil || rec.History != nil {
			t.Errorf("%+v: %v", rec, err)
		}
	})
}

// TestRemoved: a cgroup that is removed, and another one of its path, are told apart,
// and nothing of the first is left.
func TestRemoved(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a": 10, "/b": 20})
	r := openFake(t, Options{Root: root})
	dir := filepath.Join(root, "sys/fs/cgroup/a")
	if err := os.Rename(dir, filepath.Join(root, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	setUsage(t, root, "/a", 99*mib)
	r.Notice("/a")
	for range 3 {
		tick(t, r)
	}
	id, _, err := r.tree.id("/a")
	if err != nil {
		t.Fatal(err)
	}
	if p := r.tree.usageOf("/a", oom.Some(id), host.BootNS()); len(p) == 0 || p[0].value != 99*mib {
		t.Errorf("%v", p)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range keepGone + 2*slowest {
		tick(t, r)
	}
	if n := len(r.tree.order); n != 2 || len(r.tree.nodes) != 2 {
		t.Errorf("%d and %d cgroups are kept", n, len(r.tree.nodes))
	}
}

// TestStill: what does not change is read rarely.
func TestStill(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/still": 10})
	r := openFake(t, Options{Root: root})
	for i := range 100 {
		setUsage(t, root, "/moving", uint64(i)*mib)
		r.Notice("/moving")
		tick(t, r)
	}
	r.tree.mu.Lock()
	defer r.tree.mu.Unlock()
	if n := r.tree.nodes["/still"]; n.every != slowest {
		t.Errorf("every %d ticks", n.every)
	}
	if n := r.tree.nodes["/moving"]; n.every != 1 {
		t.Errorf("every %d ticks", n.every)
	}
}

// TestManyStill: however many stand still, each has its turn, and one that changes is
// read each tick.
func TestManyStill(t *testing.T) {
	const many = 500
	cgroups := map[string]uint64{"/moving": 0}
	for i := range many {
		cgroups["/still-"+strconv.Itoa(i)] = 10
	}
	root := fakeRoot(t, cgroups)
	r, err := newRecorder(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.meminfo.close() })
	r.tree.fill()
	grown := uint64(0)
	moveOn := func() {
		grown += mib
		setUsage(t, root, "/moving", grown)
		r.sample()
	}
	for range 3 * slowest { // each stands still by now
		moveOn()
	}
	began := stampAt(host.BootNS())
	time.Sleep(2 * time.Millisecond) // a stamp is a millisecond
	for i := range slowest + many/stillATick + 1 {
		moveOn()
		if n := r.tree.nodes["/moving"]; n.last != grown {
			t.Errorf("tick %d: %d, not %d", i, n.last, grown)
		}
		if reads := len(r.tree.due) - looksATick; reads > stillATick+1 {
			t.Errorf("tick %d: %d readings", i, reads)
		}
	}
	for _, n := range r.tree.order {
		if n.lastAt <= began && n.path != "/" {
			t.Fatalf("%s was not read", n.path)
		}
	}
}

// TestGrowers: each process has its memory beside what it charged, and one that is
// gone is marked.
func TestGrowers(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a": 95})
	write(t, root, "sys/fs/cgroup/a/memory.max", strconv.Itoa(100*mib))
	write(t, root, "proc/2/stat", "2 (two) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 200 1000 321 1 1 1")
	r := openFake(t, Options{Root: root})
	rec := systemKill()
	rec.Limit = &oom.Limit{Cgroup: "/a", UsageBytes: oom.Some[uint64](100 * mib)}
	h := &oom.History{Growers: []oom.Grower{
		{PID: oom.Some[int32](2), StartNS: 2 * second},
		{PID: oom.Some[int32](2), StartNS: 1 * second}, // had the pid before
		{PID: oom.Some[int32](3), StartNS: 3 * second},
		{PID: oom.Some[int32](4), Kernel: oom.Some(true)},
	}}
	r.growers(h, rec, rec.UptimeNS.Value)
	for i, want := range []oom.Opt[bool]{{}, oom.Some(true), oom.Some(true), {}} {
		if h.Growers[i].Exited != want {
			t.Errorf("grower %d exited: %v", i, h.Growers[i].Exited)
		}
	}
	if p := h.Growers[0].Points; len(p) == 0 || p[0].Bytes != 321*r.pageSize || h.Growers[1].Points != nil {
		t.Errorf("%v, %v", p, h.Growers[1].Points)
	}
	if got := r.sampledGrowers("/a", host.BootNS()); len(got) != 1 || got[0].Comm != "two" {
		t.Errorf("%+v", got)
	}
}

// TestBusySampler: while a read hangs, a record gets what was sampled last.
func TestBusySampler(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, machineCgroups())})
	hang := make(chan struct{})
	started := make(chan struct{})
	go r.ask(context.WithoutCancel(t.Context()), func() { close(started); <-hang })
	<-started
	r.askWait = askWait
	rec := systemKill()
	begin := time.Now()
	err := r.Stage(t.Context(), rec)
	close(hang)
	if err != nil || len(rec.Holders) != 6 || rec.Holders[0].Tasks.Known || time.Since(begin) > 2*time.Second {
		t.Errorf("%v, %d holders after %v", err, len(rec.Holders), time.Since(begin))
	}
}

func TestModes(t *testing.T) {
	for _, m := range Modes() {
		if got, err := ParseMode(string(m)); got != m || err != nil {
			t.Errorf("%q: %q, %v", m, got, err)
		}
	}
	if !ModeAuto.Counts() || !ModeExact.Counts() || ModeSampled.Counts() || ModeOff.Counts() {
		t.Error("auto and exact count, and no other")
	}
	if _, err := ParseMode("often"); err == nil {
		t.Error("\"often\" is a mode")
	}
}

// TestJSON: what is for this program alone is not written.
func TestJSON(t *testing.T) {
	b, err := json.Marshal(oom.Grower{StartNS: 5, Args: "secret"})
	if err != nil || string(b) != "{}" {
		t.Errorf("%s %v", b, err)
	}
}

// TestNearest: the time to the limit is told of those that grow, soonest first.
func TestNearest(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, map[string]uint64{"/a": 1})})
	now := host.BootNS()
	// grow makes a cgroup that grew over a time up to its last reading.
	grow := func(path string, over, lastAgo, from, to, most uint64) {
		n := &node{path: path, last: to * mib, lastAt: stampAt(now - lastAgo*second), max: unlimited}
		if most != unlimited {
			n.max = most * mib
		}
		n.usageAt.add(stampAt(now-(lastAgo+over)*second), from*mib)
		n.usageAt.add(n.lastAt, n.last)
		r.tree.order = append(r.tree.order, n)
	}
	r.tree.mu.Lock()
	grow("/late", 100, 0, 10, 20, 1000)
	grow("/soon", 100, 0, 10, 110, 210)
	grow("/read a while ago", 100, 100, 10, 110, 160)
	grow("/for too short a time", 20, 20, 10, 110, 160)
	grow("/long ago", 100, 250, 10, 110, 160)
	grow("/shrinks", 100, 0, 20, 10, 30)
	grow("/stands", 100, 0, 20, 20, 30)
	grow("/free", 100, 0, 10, 20, unlimited)
	r.tree.mu.Unlock()
	want := []struct {
		cgroup  string
		seconds float64
	}{{"/read a while ago", 50}, {"/soon", 100}, {"/late", 9800}}
	got := r.Nearest(5)
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, w := range want {
		if g := got[i]; g.Cgroup != w.cgroup || math.Abs(g.Seconds/w.seconds-1) > 0.01 {
			t.Errorf("%d: %+v, want %+v", i, g, w)
		}
	}
	if n := len(r.Nearest(1)); n != 1 {
		t.Errorf("%d, one was asked for", n)
	}
}

// copies is the map of them, which the kernel writes to while it is read.
type copies struct {
	killed []probe.HistoryKilled
	// then is done before the second reading of a copy.
	then func([]probe.HistoryKilled)
}

func (s *copies) ReadAt(to []byte, off int64) (int, error) {
	size := int(unsafe.Sizeof(probe.HistoryKilled{}))
	if int(off) >= len(s.killed)*size {
		return 0, io.EOF
	}
	if len(to) == size && s.then != nil {
		s.then(s.killed)
	}
	return copy(to, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s.killed))), len(s.killed)*size)[off:]), nil
}

// TestExactFind: the copy of a record is the last one of its task and cgroup before it.
func TestExactFind(t *testing.T) {
	slot := func(boot, cgroup uint64, tid uint32, usage uint64) probe.HistoryKilled {
		return probe.HistoryKilled{BootNs: boot, CgroupId: cgroup, Tid: tid, UsagePages: usage}
	}
	for _, tt := range []struct {
		name  string
		slots copies
		usage uint64 // of the copy that is found; 0: none
	}{
		{"none", copies{}, 0},
		{"the last before it", copies{killed: []probe.HistoryKilled{slot(50, 1, 2, 5), slot(90, 1, 2, 9), slot(70, 1, 2, 7)}}, 9},
		{"one after it", copies{killed: []probe.HistoryKilled{slot(50, 1, 2, 5), slot(101, 1, 2, 9)}}, 5},
		{"another task's", copies{killed: []probe.HistoryKilled{slot(50, 1, 3, 5)}}, 0},
		{"another cgroup's", copies{killed: []probe.HistoryKilled{slot(50, 0, 2, 5)}}, 0},
		{"being written", copies{killed: []probe.HistoryKilled{slot(0, 1, 2, 5)}}, 0},
		{"overwritten meanwhile", copies{[]probe.HistoryKilled{slot(50, 1, 2, 5)}, func(k []probe.HistoryKilled) { k[0].BootNs = 0 }}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got uint64
			if k := (&exact{killed: &tt.slots}).find(1, 2, 100); k != nil {
				got = k.UsagePages
			}
			if got != tt.usage {
				t.Errorf("usage %d, want %d", got, tt.usage)
			}
		})
	}
}
