package history

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// fakeV1 makes a machine with a v1 memory hierarchy and one cgroup in it.
func fakeV1(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, "proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
	write(t, root, "proc/self/cgroup", "4:memory:/\n")
	write(t, root, "proc/meminfo", "MemTotal: 100 kB\nMemFree: 10 kB\n")
	write(t, root, "sys/fs/cgroup/memory/a.service/cgroup.procs", "7\n8\n9\n")
	for name, text := range files {
		write(t, root, "sys/fs/cgroup/memory/a.service/"+name, text)
	}
	return root
}

// TestWaited: a record that waited too long has no holders, which are as now.
func TestWaited(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, map[string]uint64{"/a": 10, "/b": 20})})
	for age, want := range map[uint64]int{0: 2, uint64(host.MostWait) + second: 0} {
		rec := systemKill()
		rec.UptimeNS, rec.Incident = oom.Some(rec.UptimeNS.Value-age), strconv.FormatUint(age, 10)
		if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != want {
			t.Errorf("after %d ns: %v: holders %+v", age, err, rec.Holders)
		}
	}
}

// TestV1: what is in swap is what memory and swap together are beyond memory.
func TestV1(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		swap  oom.Opt[uint64]
		limit uint64
	}{
		{"swap", map[string]string{"memory.usage_in_bytes": "1000\n", "memory.memsw.usage_in_bytes": "1300\n", "memory.limit_in_bytes": "2000\n"}, oom.Some[uint64](300), 2000},
		{"nothing in swap", map[string]string{"memory.usage_in_bytes": "1000\n", "memory.memsw.usage_in_bytes": "1000\n", "memory.limit_in_bytes": "9223372036854771712\n"}, oom.Some[uint64](0), unlimited},
		{"memory grew between the two readings", map[string]string{"memory.usage_in_bytes": "1000\n", "memory.memsw.usage_in_bytes": "999\n"}, oom.Opt[uint64]{}, unlimited},
		{"swapaccount=0", map[string]string{"memory.usage_in_bytes": "1000\n", "memory.limit_in_bytes": "none\n"}, oom.Opt[uint64]{}, unlimited},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := openFake(t, Options{Root: fakeV1(t, tt.files)})
			rec := systemKill()
			if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != 1 {
				t.Fatalf("%v: holders %+v", err, rec.Holders)
			}
			if h := rec.Holders[0]; h.SwapBytes != tt.swap || h.UsageBytes != oom.Some[uint64](1000) || h.Tasks != oom.Some[uint64](3) {
				t.Errorf("swap %v of %v, tasks %v", h.SwapBytes, h.UsageBytes, h.Tasks)
			}
			if got := r.tree.limit("/a.service"); got != tt.limit {
				t.Errorf("limit %d, want %d", got, tt.limit)
			}
		})
	}
}

// TestNoMemoryFile: without /proc/meminfo nothing is sampled, and its error names it.
func TestNoMemoryFile(t *testing.T) {
	if _, err := Open(Options{Root: t.TempDir()}); err == nil || !strings.HasPrefix(err.Error(), "sample memory: ") {
		t.Errorf("%v", err)
	}
}

// TestNoHierarchy: the machine's memory alone is followed.
func TestNoHierarchy(t *testing.T) {
	root := t.TempDir()
	write(t, root, "proc/meminfo", "MemFree: 7 kB\nActive(file): 3 kB\nInactive(file): 4 kB\nno value\nSwapFree: x kB\n")
	r := openFake(t, Options{Root: root})
	rec := systemKill()
	rec.Limit = &oom.Limit{Cgroup: "/a", UsageBytes: oom.Some[uint64](5)}
	rec.Memory.History = nil
	if err := r.Stage(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	h := rec.Memory.History
	if h == nil || h.Points[0].FreeBytes != oom.Some[uint64](7<<10) || h.Points[0].FileBytes != oom.Some[uint64](7<<10) || h.Points[0].SwapFreeBytes.Known || rec.History != nil || rec.Holders != nil {
		t.Errorf("memory %+v, history %v, holders %v", h, rec.History, rec.Holders)
	}
	if r.pathOf(1) != "" || r.Nearest(3) != nil {
		t.Error("a cgroup is known")
	}
	r.Notice("/a")
}

// TestMemoryOfNothing: an empty answer of the kernel is no sample.
func TestMemoryOfNothing(t *testing.T) {
	root := t.TempDir()
	write(t, root, "proc/meminfo", "")
	r := openFake(t, Options{Root: root})
	rec := systemKill()
	if err := r.Stage(t.Context(), rec); err != nil || rec.Memory.History != nil {
		t.Errorf("%v: %+v", err, rec.Memory.History)
	}
}

// TestLiveLog: a line of the kernel's log that is followed has the growth up to now,
// one from before the sampling or from another clock has none.
func TestLiveLog(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, map[string]uint64{"/a": 10})})
	for _, tt := range []struct {
		name string
		at   time.Time
		want bool
	}{
		{"just now", time.Now(), true},
		{"a clock that is ahead", time.Now().Add(time.Second), true},
		{"a clock that is far ahead", time.Now().Add(host.MostWait + time.Second), false},
		{"before the sampling", time.Now().Add(-9 * time.Second), false},
		{"no time", time.Time{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := systemKill()
			rec.Source, rec.Time, rec.Incident, rec.UptimeNS = oom.SourceKmsg, tt.at, tt.name, oom.Opt[uint64]{}
			if err := r.Stage(t.Context(), rec); err != nil || (rec.Memory.History != nil) != tt.want {
				t.Errorf("%v: %+v", err, rec.Memory.History)
			}
		})
	}
}

// TestTop: what was not asked for is not written, and all are counted.
func TestTop(t *testing.T) {
	root := fakeRoot(t, machineCgroups())
	for _, tt := range []struct{ top, want int }{{-1, 0}, {1, 1}, {0, 6}, {100, 6}} {
		r := openFake(t, Options{Root: root, Top: tt.top})
		rec := systemKill()
		if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != tt.want || rec.HoldersTotal != oom.Some[uint64](6) {
			t.Errorf("top %d: %v, %d holders of %v", tt.top, err, len(rec.Holders), rec.HoldersTotal)
		}
	}
}

// TestOneIncident: the victims of one decision share what was found for the first of them;
// records that name no incident share nothing.
func TestOneIncident(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a.service": 10})
	r := openFake(t, Options{Root: root})
	for _, tt := range []struct {
		name, incident string
		now, want      uint64 // MiB
	}{
		{"the first victim", "1", 10, 10},
		{"the second", "1", 20, 10},
		{"another incident", "2", 30, 30},
		{"none", "", 40, 40},
		{"again none", "", 50, 50},
	} {
		setUsage(t, root, "/a.service", tt.now*mib)
		rec := systemKill()
		rec.Incident = tt.incident
		if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != 1 || rec.Holders[0].UsageBytes != oom.Some(tt.want*mib) {
			t.Errorf("%s: %v: %+v, want %d MiB", tt.name, err, rec.Holders, tt.want)
		}
	}
}

// TestNotCounted: who wrote a victim's oom_score_adj is known to the programs alone.
func TestNotCounted(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, map[string]uint64{"/a.service": 10})})
	rec := systemKill()
	rec.Victim.OOMScoreAdj, rec.Victim.StartTime = oom.Some[int32](5), rec.Time.Add(-time.Second)
	if err := r.Stage(t.Context(), rec); err != nil || rec.Victim.OOMScoreAdjChanged != nil || len(rec.Holders) != 1 {
		t.Errorf("%v: changed %+v, holders %+v", err, rec.Victim.OOMScoreAdjChanged, rec.Holders)
	}
	rec = systemKill()
	rec.Kind, rec.Victim, rec.Incident = oom.KindNoVictim, nil, "2"
	if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != 1 {
		t.Errorf("no victim: %v: holders %+v", err, rec.Holders)
	}
}

// TestReadRarely: what stands still, and a limit, is read once in a while.
func TestReadRarely(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a": 10})
	r := sampledOnce(t, root)
	for range 3 * slowest {
		r.sample()
	}
	n := r.tree.nodes["/a"]
	reads, due := 0, n.due
	for range 4 * slowest {
		if r.sample(); n.due != due {
			reads, due = reads+1, n.due
		}
	}
	if reads != 4 {
		t.Errorf("%d readings in %d ticks, want one in %d", reads, 4*slowest, slowest)
	}
	write(t, root, "sys/fs/cgroup/a/memory.max", "100")
	old, began := n.maxDue, r.tree.tick
	for n.max == unlimited && r.tree.tick < began+2*maxLevelAge {
		r.sample()
	}
	if n.max != 100 || r.tree.tick < old || r.tree.tick > old+slowest {
		t.Errorf("limit %d at tick %d, which was due at %d", n.max, r.tree.tick, old)
	}
	if n.maxDue != r.tree.tick+maxLevelAge {
		t.Errorf("due at %d next, want %d ticks after %d", n.maxDue, maxLevelAge, r.tree.tick)
	}
}

// TestMoves: a cgroup whose usage changes by enough is read at the next tick.
func TestMoves(t *testing.T) {
	for _, tt := range []struct {
		name string
		by   int64
		want bool
	}{
		{"a little less than enough", stillBytes - 1, false},
		{"enough", stillBytes, true},
		{"enough, down", -stillBytes, true},
		{"a little less, down", 1 - stillBytes, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fakeRoot(t, map[string]uint64{"/a": 10})
			r := sampledOnce(t, root)
			setUsage(t, root, "/a", uint64(10*mib+tt.by))
			for range atStart {
				r.sample()
			}
			if n := r.tree.nodes["/a"]; n.last != uint64(10*mib+tt.by) || (n.every == 1) != tt.want {
				t.Errorf("usage %d, read every %d ticks", n.last, n.every)
			}
		})
	}
}

// TestNoticedAgain: a cgroup that is known keeps its samples; one that was found removed
// and is there again begins anew.
func TestNoticedAgain(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a": 10})
	r := sampledOnce(t, root)
	known := r.tree.nodes["/a"]
	r.Notice("/a")
	r.sample()
	if n := r.tree.nodes["/a"]; n != known || len(r.tree.order) != 2 {
		t.Errorf("another node, of %d", len(r.tree.order))
	}
	r.tree.remove(known)
	r.Notice("/a")
	r.sample()
	if n := r.tree.nodes["/a"]; n == known || n.gone != 0 || known.gone == 0 {
		t.Errorf("the old node: %v, gone at %d", n == known, n.gone)
	}
}

// TestKept: a removed cgroup is known for a while, as a kill's record may still come, and
// one that has its path by then stays.
func TestKept(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a": 10})
	r := sampledOnce(t, root)
	first := r.tree.nodes["/a"]
	if err := os.Rename(filepath.Join(root, "sys/fs/cgroup/a"), filepath.Join(root, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	r.tree.remove(first)
	setUsage(t, root, "/a", 20*mib)
	r.Notice("/a")
	r.sample()
	second, ticks := r.tree.nodes["/a"], 1
	for r.tree.pathOf(first.id) != "" && ticks < 2*keepGone {
		r.sample()
		ticks++
	}
	if ticks != keepGone {
		t.Errorf("known for %d ticks, want %d", ticks, keepGone)
	}
	if n := r.tree.nodes["/a"]; n == first || n != second || n.gone != 0 {
		t.Errorf("its path is that of %+v", n)
	}
}

// TestFound: what no notice came of is found by looking.
func TestFound(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a": 10, "/b": 20, "/c": 30})
	r := sampledOnce(t, root)
	setUsage(t, root, "/a/new", 5*mib)
	if err := os.Rename(filepath.Join(root, "sys/fs/cgroup/b"), filepath.Join(root, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	setUsage(t, root, "/b", 7*mib)
	r.tree.remove(r.tree.nodes["/c"])
	r.sample()
	for _, path := range []string{"/a", "/a/new", "/b", "/c"} {
		id, _, err := r.tree.id(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := r.tree.nodes[path]; n == nil || n.id != id || n.gone != 0 {
			t.Errorf("%s, which is %d: %+v", path, id, n)
		}
	}
}

// TestManyCgroups: no more are followed than there is room for, and one that takes the
// path of another needs no room.
func TestManyCgroups(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a": 10, "/b": 20, "/c": 30})
	tree := newTree(filepath.Join(root, "sys/fs/cgroup"), 2)
	for i := range maxNodes - 2 {
		tree.nodes[strconv.Itoa(i)] = &node{}
	}
	another := &node{path: "/a", id: 1}
	tree.nodes["/a"] = another
	for _, path := range []string{"/b", "/c", "/a"} {
		tree.add(path)
	}
	if a, b, c := tree.nodes["/a"], tree.nodes["/b"], tree.nodes["/c"]; a == another || another.gone == 0 || b == nil || c != nil {
		t.Errorf("anew %v, the last %v, one more %v", a != another, b, c)
	}
	for i := range maxNodes + 1 {
		tree.notice(strconv.Itoa(i))
	}
	if n := len(tree.notices); n != maxNodes {
		t.Errorf("%d notices wait, want %d", n, maxNodes)
	}
}

// TestReadAnew: what owners hold is read at the kill, but for the smallest of many; a tick
// reads some of them.
func TestReadAnew(t *testing.T) {
	usage := map[string]uint64{}
	for i := range uint64(freshReads + 1) {
		usage["/unit-"+strconv.FormatUint(i, 10)+".service"] = 1000 - i
	}
	root := fakeRoot(t, usage)
	reads := 0
	for _, n := range sampledOnce(t, root).tree.order {
		if n.lastAt != 0 {
			reads++
		}
	}
	if reads > readsATick {
		t.Errorf("%d readings in one tick", reads)
	}
	r := openFake(t, Options{Root: root, Top: freshReads + 1})
	for range freshReads/readsATick + 1 { // each is read
		tick(t, r)
	}
	for path, mibs := range usage {
		write(t, root, "sys/fs/cgroup"+path+"/memory.current", strconv.FormatUint((mibs+1)*mib, 10))
	}
	rec := systemKill()
	if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != freshReads+1 {
		t.Fatalf("%v: %d holders", err, len(rec.Holders))
	}
	for i, h := range rec.Holders {
		want := 1001 - uint64(i)
		if i == freshReads {
			want--
		}
		if h.UsageBytes != oom.Some(want*mib) {
			t.Errorf("%d, %s: %d MiB, want %d", i, h.Cgroup, h.UsageBytes.Value/mib, want)
		}
	}
}

// TestHoldersOf: they are those of the machine or of the limit, where one is known.
func TestHoldersOf(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, map[string]uint64{"/a": 30, "/a/x.service": 10, "/a/y.service": 20, "/b.service": 5})})
	for _, tt := range []struct {
		name  string
		scope oom.Scope
		limit *oom.Limit
		want  int
	}{
		{"the machine's", oom.ScopeSystem, nil, 3},
		{"a limit's", oom.ScopeCgroup, &oom.Limit{Cgroup: "/a"}, 2},
		{"a limit's, of a record that does not say its scope", "", &oom.Limit{Cgroup: "/a"}, 2},
		{"an unknown scope's", "", nil, 0},
		{"an unknown cgroup's", oom.ScopeCgroup, &oom.Limit{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := systemKill()
			rec.Incident, rec.Scope, rec.Limit = tt.name, tt.scope, tt.limit
			if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != tt.want || rec.HoldersTotal.Value != uint64(tt.want) {
				t.Errorf("%v: %d holders of %v, want %d", err, len(rec.Holders), rec.HoldersTotal, tt.want)
			}
		})
	}
}

// TestGrew: growth is counted from the oldest sample within the time.
func TestGrew(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, nil)})
	ns := host.BootNS()
	n := &node{path: "/a.service", id: 12345}
	for _, p := range []struct{ ago, mib uint64 }{{100, 10}, {50, 30}, {5, 60}} {
		n.usageAt.add(stampAt(ns-p.ago*second), p.mib*mib)
	}
	r.tree.mu.Lock()
	r.tree.nodes[n.path] = n
	r.tree.mu.Unlock()
	back, _ := ago(stampAt(ns-50*second), ns)
	for _, tt := range []struct {
		name string
		span uint64
		want oom.Opt[int64] // MiB
	}{
		{"longer than the samples reach", 200 * second, oom.Some[int64](90)},
		{"as long as one of them is old", back, oom.Some[int64](70)},
		{"a little less", back - 1, oom.Some[int64](40)},
		{"shorter than the last one is old", second, oom.Opt[int64]{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := r.tree.holder(&holding{n: n, bytes: 100 * mib}, &domainOf{ns: ns, span: tt.span}).GrewBytes
			if got.Known != tt.want.Known || got.Value != tt.want.Value*mib {
				t.Errorf("%v, want %v MiB", got, tt.want)
			}
		})
	}
}

// TestTasks: the processes of an owner are known where all of its cgroups could be read.
func TestTasks(t *testing.T) {
	const pod = "/machine.slice/a.service"
	inside := func(n int) map[string]uint64 {
		cgroups := map[string]uint64{pod: 10}
		for i := range n {
			cgroups[pod+"/"+strconv.Itoa(i)] = 1
		}
		return cgroups
	}
	procs := func(root, path string) string {
		return filepath.Join(root, "sys/fs/cgroup", path, "cgroup.procs")
	}
	for _, tt := range []struct {
		name  string
		n     int
		spoil func(t *testing.T, root string)
		want  oom.Opt[uint64]
	}{
		{"the cgroup alone", 0, nil, oom.Some[uint64](2)},
		{"and those in it", 3, nil, oom.Some[uint64](8)},
		{"as many as are read", maxInside, nil, oom.Some[uint64](2 * (maxInside + 1))},
		{"one more", maxInside + 1, nil, oom.Opt[uint64]{}},
		{"one that cannot be read", 3, func(t *testing.T, root string) {
			t.Helper()
			if err := os.Remove(procs(root, pod+"/1")); err != nil {
				t.Fatal(err)
			}
		}, oom.Opt[uint64]{}},
		{"itself cannot be read", 3, func(t *testing.T, root string) {
			t.Helper()
			if err := os.Remove(procs(root, pod)); err != nil {
				t.Fatal(err)
			}
		}, oom.Opt[uint64]{}},
		{"more than one read gives", 1, func(t *testing.T, root string) {
			t.Helper()
			if err := os.WriteFile(procs(root, pod+"/0"), []byte(strings.Repeat("12345\n", 100_000)), 0o644); err != nil {
				t.Fatal(err)
			}
		}, oom.Opt[uint64]{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fakeRoot(t, inside(tt.n))
			if tt.spoil != nil {
				tt.spoil(t, root)
			}
			r := openFake(t, Options{Root: root})
			rec := systemKill()
			if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != 1 || rec.Holders[0].Tasks != tt.want {
				t.Errorf("%v: %+v", err, rec.Holders)
			}
		})
	}
}

// TestGrewOverWhat: growth is counted over the time that the machine's memory is known.
func TestGrewOverWhat(t *testing.T) {
	for _, tt := range []struct {
		name    string
		meminfo string
		want    oom.Opt[int64] // MiB
	}{
		{"known", "MemFree: 1000 kB\n", oom.Some[int64](40)},
		{"unknown", "", oom.Opt[int64]{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fakeRoot(t, map[string]uint64{"/a.service": 100})
			write(t, root, "proc/meminfo", tt.meminfo)
			r := openFake(t, Options{Root: root})
			ns := host.BootNS()
			r.mu.Lock()
			r.machine, r.tree.nodes["/a.service"].usageAt = series[machine]{}, sizes{}
			if tt.want.Known {
				r.machine.add(stampAt(ns-50*second), machine{})
			}
			r.mu.Unlock()
			for _, p := range []struct{ ago, mib uint64 }{{100, 10}, {40, 60}} {
				r.tree.nodes["/a.service"].usageAt.add(stampAt(ns-p.ago*second), p.mib*mib)
			}
			rec := systemKill()
			rec.UptimeNS = oom.Some(ns)
			if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != 1 {
				t.Fatalf("%v: %+v", err, rec.Holders)
			}
			if got := rec.Holders[0].GrewBytes; got.Known != tt.want.Known || got.Value != tt.want.Value*mib {
				t.Errorf("%v, want %v MiB", got, tt.want)
			}
		})
	}
}

// startedAt is /proc/PID/stat of a process that began so many seconds after boot.
func startedAt(pid, seconds int) string {
	return strconv.Itoa(pid) + " (x) S 1 12 12 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 " + strconv.Itoa(100*seconds) + " 1000 321 1 1 1"
}

// nearLimit makes a cgroup whose processes are sampled.
func nearLimit(t *testing.T, root, path string, pids ...int) {
	t.Helper()
	setUsage(t, root, path, 95*mib)
	write(t, root, "sys/fs/cgroup"+path+"/memory.max", strconv.Itoa(100*mib))
	var procs strings.Builder
	for _, pid := range pids {
		procs.WriteString(strconv.Itoa(pid) + "\n")
		if pid > 0 {
			write(t, root, "proc/"+strconv.Itoa(pid)+"/stat", startedAt(pid, 2))
		}
	}
	write(t, root, "sys/fs/cgroup"+path+"/cgroup.procs", procs.String())
}

// sampledOnce follows a machine for one tick.
func sampledOnce(t *testing.T, root string) *Recorder {
	t.Helper()
	r, err := newRecorder(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.meminfo.close() })
	r.tree.fill()
	r.sample()
	return r
}

// TestProcessesOfACgroup: the first of them are sampled; those of another pid namespace,
// which are 0, are none of them.
func TestProcessesOfACgroup(t *testing.T) {
	pids := make([]int, processesEach)
	for i := range processesEach + 1 {
		pids = append(pids, 100+i)
	}
	root := fakeRoot(t, nil)
	nearLimit(t, root, "/a", pids...)
	r := sampledOnce(t, root)
	ns := host.BootNS()
	for i := range processesEach + 1 {
		if got, want := len(r.resident(int32(100+i), 2*second, ns)) > 0, i < processesEach; got != want {
			t.Errorf("process %d is sampled: %v", i, got)
		}
	}
}

// TestNearLimit: the processes of a cgroup are sampled where it, or one above it, is close
// to its limit.
func TestNearLimit(t *testing.T) {
	const limit = 1_000_000_000
	for _, tt := range []struct {
		name         string
		usage, above uint64 // of the cgroup and of the one that it is in
		max, maxOver uint64
		want         bool
	}{
		{"four fifths", limit * 8 / 10, 0, limit, unlimited, true},
		{"less", limit*8/10 - 100, 0, limit, unlimited, false},
		{"no limit", limit, 2 * limit, unlimited, unlimited, false},
		{"four fifths of the limit above", 1, limit * 8 / 10, unlimited, limit, true},
		{"less of the limit above", 1, limit*8/10 - 100, unlimited, limit, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := newTree(t.TempDir(), 2)
			n := &node{path: "/a/b", last: tt.usage, max: tt.max}
			tree.nodes = map[string]*node{"/a/b": n, "/a": {path: "/a", last: tt.above, max: tt.maxOver}}
			if got := tree.near(n); got != tt.want {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestChurn: a path that is taken anew again and again leaves no more than a bounded number
// of cgroups that are gone.
func TestChurn(t *testing.T) {
	mount := t.TempDir()
	tree := newTree(mount, 2)
	for i := range 2*maxNodes + 2 {
		if err := os.Mkdir(filepath.Join(mount, "a"), 0o700); err != nil {
			t.Fatal(err)
		}
		tree.add("/a")
		if n := tree.nodes["/a"]; n == nil {
			t.Fatalf("%d: not there", i)
		}
		tree.nodes["/a"].id += 1 << 40 // as of an inode that no other one has
		if err := os.Remove(filepath.Join(mount, "a")); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(tree.order); n != 2*maxNodes {
		t.Errorf("%d cgroups are kept", n)
	}
}

// TestSampledGrowers: those of a cgroup and of the ones in it, the biggest first.
func TestSampledGrowers(t *testing.T) {
	root := fakeRoot(t, nil)
	nearLimit(t, root, "/a", 100, 101)
	nearLimit(t, root, "/a/b", 102)
	nearLimit(t, root, "/ab", 103, 104)
	write(t, root, "proc/102/stat", strings.Replace(startedAt(102, 2), " 321 ", " 322 ", 1))
	r := sampledOnce(t, root)
	for _, tt := range []struct {
		cgroup string
		want   []int32
	}{
		{"/", []int32{102, 100, 101, 103}}, // and no more
		{"/a", []int32{102, 100, 101}},
		{"/a/b", []int32{102}},
		{"/ab", []int32{103, 104}},
		{"/c", nil},
	} {
		t.Run(tt.cgroup, func(t *testing.T) {
			var got []int32
			for _, g := range r.sampledGrowers(tt.cgroup, host.BootNS()) {
				got = append(got, g.PID.Value)
				if g.StartNS != 2*second || len(g.Points) == 0 {
					t.Errorf("%+v", g)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// TestSameProcess: the start in /proc is counted in hundredths of a second.
func TestSameProcess(t *testing.T) {
	root := fakeRoot(t, nil)
	nearLimit(t, root, "/a", 100)
	r := sampledOnce(t, root)
	const tick = second / 100
	for _, tt := range []struct {
		name  string
		start uint64
		want  bool
	}{
		{"two ticks before", 2*second - 2*tick, false},
		{"one before", 2*second - tick, true},
		{"within the tick", 2*second + tick - 1, true},
		{"one after", 2*second + tick, true},
		{"two after", 2*second + 2*tick, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := r.resident(100, tt.start, host.BootNS()) != nil; got != tt.want {
				t.Errorf("%v", got)
			}
		})
	}
}

// TestCgroupsATick bounds the work of one tick.
func TestCgroupsATick(t *testing.T) {
	root := fakeRoot(t, nil)
	for i := range cgroupsATick + 1 {
		nearLimit(t, root, "/"+strconv.Itoa(i), 100+i)
	}
	r := sampledOnce(t, root)
	if n := len(r.processes); n != cgroupsATick {
		t.Errorf("%d processes of one cgroup each, want %d", n, cgroupsATick)
	}
}

// TestManyProcesses: no more are kept than there is room for, and a pid that is used again
// is the new process.
func TestManyProcesses(t *testing.T) {
	root := fakeRoot(t, nil)
	nearLimit(t, root, "/a", 100, 101)
	r, err := newRecorder(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.meminfo.close() })
	for i := range maxProcesses - 1 {
		r.processes[int32(1000+i)] = &process{}
	}
	r.tree.fill()
	r.sample()
	known := func(pid int32, start uint64) bool { return len(r.resident(pid, start, host.BootNS())) > 0 }
	if !known(100, 2*second) || known(101, 2*second) {
		t.Errorf("%v, %v: there was room for one", known(100, 2*second), known(101, 2*second))
	}
	write(t, root, "proc/100/stat", startedAt(100, 9))
	for range slowest {
		r.sample()
	}
	if known(100, 2*second) || !known(100, 9*second) {
		t.Errorf("%v, %v: it is another process", known(100, 2*second), known(100, 9*second))
	}
}

// TestForgetProcesses: what was not sampled for a while is dropped.
func TestForgetProcesses(t *testing.T) {
	root := fakeRoot(t, nil)
	nearLimit(t, root, "/a", 100)
	r := sampledOnce(t, root)
	setUsage(t, root, "/a", 1*mib)
	var last uint32 // tick of its last sample
	for range 2 * keepProcess {
		if p := r.processes[100]; p != nil {
			last = p.sampled
			r.sample()
		}
	}
	if took := r.ticks - last; len(r.processes) != 0 || took != keepProcess+1 {
		t.Errorf("%d processes %d ticks after its last sample, want none after %d", len(r.processes), took, keepProcess+1)
	}
}

// TestPodRequests: a pod requests what its containers do, where all of them say so.
func TestPodRequests(t *testing.T) {
	container := func(n int) string {
		return podSlice + "/cri-containerd-" + strings.Repeat(strconv.Itoa(n), 64) + ".scope"
	}
	for _, tt := range []struct {
		name string
		asks map[string]uint64 // by cgroup
		want oom.Opt[uint64]
	}{
		{"each says so", map[string]uint64{container(1): 10, container(2): 20}, oom.Some[uint64](30)},
		{"one does not", map[string]uint64{container(1): 10}, oom.Opt[uint64]{}},
		{"none does", nil, oom.Opt[uint64]{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fakeRoot(t, map[string]uint64{podSlice: 50, container(1): 20, container(2): 30})
			r := openFake(t, Options{Root: root, Name: func(path string, o *oom.Owner) {
				if v, ok := tt.asks[path]; ok && o.Container != nil {
					o.Container.MemoryRequestBytes = oom.Some(v)
				}
			}})
			rec := systemKill()
			if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != 1 || rec.Holders[0].RequestBytes != tt.want {
				t.Errorf("%v: %+v", err, rec.Holders)
			}
		})
	}
}

// TestStageExact: where the kernel kept a copy, the record has that one, and who
// changed the limit by its cgroup's path.
func TestStageExact(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/a": 10, "/b": 20})
	r := openFake(t, Options{Root: root})
	full, _, err := r.tree.id("/a")
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := r.tree.id("/b")
	if err != nil {
		t.Fatal(err)
	}
	rec := systemKill()
	rec.Hooks = []string{"fentry:oom_kill_process"}
	ns := rec.UptimeNS.Value
	k := killedAt(ns)
	k.CgroupId, k.Tid = full, 12
	limit, high := &k.MaxWrites.Last, &k.HighWrites.Last
	limit.BootNs, limit.From, limit.Tgid, limit.CgroupId = ns-5*second, 2000, 3, id
	high.BootNs, high.From, high.Tgid, high.CgroupId = ns-4*second, 3000, 4, id+999
	k.HighPages = 1000
	r.exact = &exact{killed: &copies{killed: []probe.HistoryKilled{*k}}, pageSize: r.pageSize}
	rec.Trigger = &oom.Trigger{TID: oom.Some[int32](12)}
	rec.Limit = &oom.Limit{Cgroup: "/a", CgroupID: oom.Some(full), UsageBytes: oom.Some[uint64](64 * mib)}
	rec.Victim.OOMScoreAdj, rec.Victim.StartTime = oom.Some[int32](5), rec.Time.Add(-time.Second)
	if err := r.Stage(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if h := rec.History; h == nil || h.Source != oom.HistoryExact || h.LimitHits != oom.Some[uint64](12) {
		t.Fatalf("%+v", h)
	}
	if c := rec.Limit.Changed; c == nil || c.PID != oom.Some[int32](3) || c.Cgroup != "/b" {
		t.Errorf("limit changed %+v", c)
	}
	if c := rec.Limit.HighChanged; c == nil || c.PID != oom.Some[int32](4) || c.Cgroup != "" {
		t.Errorf("high changed %+v", c)
	}
	if rec.Victim.OOMScoreAdjChanged != nil {
		t.Errorf("oom_score_adj changed %+v", rec.Victim.OOMScoreAdjChanged)
	}
	t.Run("none was made", func(t *testing.T) {
		again := *rec
		again.Incident, again.Hooks, again.History = "3", []string{"fentry:out_of_memory", "tp_btf:mark_victim"}, nil
		if err := r.Stage(t.Context(), &again); err != nil || again.History == nil || again.History.Source != oom.HistorySampled {
			t.Errorf("%v: %+v", err, again.History)
		}
	})
	t.Run("another task's", func(t *testing.T) {
		again := *rec
		again.Incident, again.Trigger, again.History = "2", &oom.Trigger{TID: oom.Some[int32](13)}, nil
		if err := r.Stage(t.Context(), &again); err != nil || again.History == nil || again.History.Source != oom.HistorySampled {
			t.Errorf("%v: %+v", err, again.History)
		}
	})
}

// TestStageExactOfTheMachine: a kill without a limit has the copy that names none; a limit
// whose cgroup is not known has no copy.
func TestStageExactOfTheMachine(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, map[string]uint64{"/a": 10})})
	for _, tt := range []struct {
		name  string
		limit *oom.Limit
		want  bool
	}{
		{"no limit", nil, true},
		{"a limit of an unknown cgroup", &oom.Limit{Cgroup: "/a", UsageBytes: oom.Some[uint64](64 * mib)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := systemKill()
			ns := rec.UptimeNS.Value
			k := probe.HistoryKilled{BootNs: ns, Tid: 12, Mems: 0b10}
			k.MemsWrites.Last.From, k.MemsWrites.Last.BootNs = 0b11, ns-second
			r.exact = &exact{killed: &copies{killed: []probe.HistoryKilled{k}}, pageSize: r.pageSize}
			rec.Hooks = []string{"kprobe:oom_kill_process"}
			rec.Incident, rec.Limit, rec.Trigger = tt.name, tt.limit, &oom.Trigger{TID: oom.Some[int32](12)}
			if err := r.Stage(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
			if got := rec.Trigger.MemsChanged != nil; got != tt.want || rec.History != nil && rec.History.Source == oom.HistoryExact {
				t.Errorf("nodes changed %+v, history %+v", rec.Trigger.MemsChanged, rec.History)
			}
		})
	}
}

// TestGrowerOfTheVictim: its command line is the record's.
func TestGrowerOfTheVictim(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, map[string]uint64{"/a": 95})})
	rec := systemKill()
	rec.Victim.Cmdline, rec.Victim.Args = "a b", "a\x00b\x00"
	h := &oom.History{Growers: []oom.Grower{{PID: rec.Victim.PID, StartNS: second}}}
	r.growers(h, rec, rec.UptimeNS.Value)
	g := h.Growers[0]
	if g.Cmdline != "a b" || g.Args != "a\x00b\x00" || g.Exited.Known || !g.StartTime.Equal(rec.Time.Add(-time.Duration(rec.UptimeNS.Value-second))) {
		t.Errorf("%+v", g)
	}
}

// TestAskInVain: who asks waits no longer than its own work lasts, or the sampler.
func TestAskInVain(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, nil)})
	ended, end := context.WithCancel(t.Context())
	end()
	hang, started := make(chan struct{}), make(chan struct{})
	go r.ask(t.Context(), func() { close(started); <-hang })
	<-started
	if r.ask(ended, func() { t.Error("done for one that has ended") }) {
		t.Error("done, while the sampler hangs")
	}
	close(hang)
	waits, stop := context.WithCancel(t.Context())
	left := make(chan struct{})
	if r.ask(waits, func() { stop(); <-left }) {
		t.Error("done, though its work has not ended")
	}
	close(left)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	<-r.done
	if r.ask(t.Context(), func() { t.Error("done after the end") }) {
		t.Error("done after the end")
	}
	var err error
	if r.meminfo, err = openMeminfo("/proc/meminfo"); err != nil { // for the second Close
		t.Fatal(err)
	}
}

// TestRequestOfAContainer: what kubelet keeps of a container or of a pod stands.
func TestRequestOfAContainer(t *testing.T) {
	root := fakeRoot(t, map[string]uint64{"/system.slice/docker-" + containerID + ".scope": 9, podSlice: 50})
	r := openFake(t, Options{Root: root, Name: func(_ string, o *oom.Owner) {
		switch {
		case o.Pod != nil:
			o.Pod.MemoryRequestBytes = oom.Some[uint64](500)
		case o.Container != nil:
			o.Container.MemoryRequestBytes = oom.Some[uint64](90)
		}
	}})
	rec := systemKill()
	if err := r.Stage(t.Context(), rec); err != nil || len(rec.Holders) != 2 {
		t.Fatalf("%v: %+v", err, rec.Holders)
	}
	if pod, container := rec.Holders[0], rec.Holders[1]; pod.RequestBytes != oom.Some[uint64](500) || container.RequestBytes != oom.Some[uint64](90) {
		t.Errorf("%v, %v", pod.RequestBytes, container.RequestBytes)
	}
}

func TestComparePaths(t *testing.T) {
	want := []string{"/a", "/a/b", "/a/b/c", "/a/d", "/a!", "/a-b", "/a-b/c", "/ab", "/b"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, comparePaths)
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
