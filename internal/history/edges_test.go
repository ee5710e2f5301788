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
		{"a clock that is far ahead", time.Now().Add(recent + time.Second), false},
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
	t.Run("another task's", func(t *testing.T) {
		again := *rec
		again.Incident, again.Trigger, again.History = "2", &oom.Trigger{TID: oom.Some[int32](13)}, nil
		if err := r.Stage(t.Context(), &again); err != nil || again.History == nil || again.History.Source != oom.HistorySampled {
			t.Errorf("%v: %+v", err, again.History)
		}
	})
}

// TestGrowerOfTheVictim: its command line is the record's.
func TestGrowerOfTheVictim(t *testing.T) {
	r := openFake(t, Options{Root: fakeRoot(t, map[string]uint64{"/a": 95})})
	rec := systemKill()
	rec.Victim.Cmdline, rec.Victim.Args = "a b", "a\x00b\x00"
	h := &oom.History{Growers: []oom.Grower{{PID: rec.Victim.PID, StartNS: second}}}
	r.growers(h, rec, rec.UptimeNS.Value)
	g := h.Growers[0]
	if g.Cmdline != "a b" || g.Args != "a\x00b\x00" || g.Exited.Known || g.StartTime.IsZero() {
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
