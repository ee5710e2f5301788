package enrich

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	uid     = "0f6a1c2e-5b1d-4a77-9a0b-3c5d7e9f1a2b"
	podPath = "/kubepods/burstable/pod" + uid
)

var (
	idA = strings.Repeat("a", 64)
	idB = strings.Repeat("b", 64)
)

// fake is a cache that knows some containers, others after a while.
type fake struct {
	known map[string]container.Info
	late  map[string]container.Info
	pods  map[string]container.PodInfo
	// hang makes Wait last until its context ends.
	hang  bool
	waits atomic.Int32
}

func (f *fake) Lookup(_, id string) (container.Info, bool)  { i, ok := f.known[id]; return i, ok }
func (f *fake) Pod(_, uid string) (container.PodInfo, bool) { p, ok := f.pods[uid]; return p, ok }
func (f *fake) Wait(ctx context.Context, _, id string) bool {
	f.waits.Add(1)
	if f.hang {
		<-ctx.Done()
		return false
	}
	i, ok := f.late[id]
	if ok {
		f.known[id] = i
	}
	return ok
}

func info() container.Info {
	return container.Info{
		Container:    oom.Container{Name: "app", Image: "img:1", Runtime: "containerd", MemoryLimitBytes: oom.Some(uint64(64 << 20))},
		PodContainer: "app",
		Pod:          &container.PodInfo{Namespace: "shop", Name: "cart", UID: uid, SwapBehavior: "NoSwap", Labels: container.Labels{{Key: "app", Value: "cart"}}},
	}
}

func record(path string) *oom.Record {
	return &oom.Record{
		Kind: oom.KindKill, Source: oom.SourceBPF,
		Victim:  &oom.Victim{Cgroup: path},
		Trigger: &oom.Trigger{Cgroup: "/system.slice/cron.service"},
		Limit:   &oom.Limit{Cgroup: podPath},
	}
}

// none is a directory without any file.
func TestPathAlone(t *testing.T) {
	rec := record(podPath + "/" + idA)
	New(Options{}).Record(t.Context(), rec)
	want := oom.Owner{Container: &oom.Container{ID: idA}, Pod: &oom.Pod{UID: uid, QoS: "burstable"}}
	if d := cmp.Diff(want, rec.Victim.Owner); d != "" {
		t.Error(d)
	}
	if rec.Trigger.Unit != "cron.service" || rec.Limit.Level != oom.LevelPod {
		t.Errorf("trigger %q, level %q", rec.Trigger.Unit, rec.Limit.Level)
	}
}

// TestGroupsOwner: the log names the cgroup of a memory.oom.group, and of its victims only the
// first one's; a group that is not killed together names nobody.
func TestGroupsOwner(t *testing.T) {
	for _, group := range []bool{true, false} {
		rec := record("")
		rec.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: podPath + "/" + idA, OOMGroup: oom.Some(group)}}
		New(Options{}).Record(t.Context(), rec)
		if named := rec.Victim.Container != nil && rec.Victim.Container.ID == idA && rec.Victim.Pod != nil; named != group || rec.Victim.Cgroup != "" {
			t.Errorf("group %v: %+v", group, rec.Victim)
		}
	}
}

func TestNames(t *testing.T) {
	full := &oom.Pod{
		UID: uid, Namespace: "shop", Name: "cart", Container: "app", QoS: "burstable",
		SwapBehavior: "NoSwap", Labels: map[string]string{"app": "cart"},
	}
	limit := oom.Some(uint64(64 << 20))
	for _, c := range []struct {
		name, path string
		fake       *fake
		want       oom.Owner
	}{
		{"known", podPath + "/" + idA, &fake{known: map[string]container.Info{idA: info()}},
			oom.Owner{Container: &oom.Container{ID: idA, Name: "app", Image: "img:1", Runtime: "containerd", MemoryLimitBytes: limit}, Pod: full}},
		{"the path's runtime wins", "/docker/" + idA, &fake{known: map[string]container.Info{idA: {Container: oom.Container{Name: "web", Runtime: "other"}}}},
			oom.Owner{Container: &oom.Container{ID: idA, Name: "web", Runtime: "docker"}}},
		{"late", podPath + "/" + idA, &fake{known: map[string]container.Info{}, late: map[string]container.Info{idA: info()}},
			oom.Owner{Container: &oom.Container{ID: idA, Name: "app", Image: "img:1", Runtime: "containerd", MemoryLimitBytes: limit}, Pod: full}},
		{"only the pod", podPath + "/" + idA, &fake{pods: map[string]container.PodInfo{uid: {Namespace: "shop", Name: "cart", UID: uid}}},
			oom.Owner{Container: &oom.Container{ID: idA}, Pod: &oom.Pod{UID: uid, QoS: "burstable", Namespace: "shop", Name: "cart"}}},
		{"pod that the path does not show", "/kata_overhead/" + idA, &fake{known: map[string]container.Info{idA: {Pod: &container.PodInfo{Namespace: "n", Name: "p", UID: uid}}}},
			oom.Owner{Container: &oom.Container{ID: idA, Runtime: "kata"}, Pod: &oom.Pod{UID: uid, Namespace: "n", Name: "p"}}},
		{"docker in a pod", podPath + "/" + idB + "/docker/" + idA, &fake{known: map[string]container.Info{idB: info()}},
			oom.Owner{
				Container:      &oom.Container{ID: idA, Runtime: "docker"},
				OuterContainer: &oom.Container{ID: idB, Name: "app", Image: "img:1", Runtime: "containerd", MemoryLimitBytes: limit},
				Pod:            full,
			}},
		{"node in a container", "/docker/" + idB + podPath + "/" + idA, &fake{known: map[string]container.Info{
			idA: info(), idB: {Container: oom.Container{Name: "kind-worker"}},
		}}, oom.Owner{
			Container:      &oom.Container{ID: idA, Name: "app", Image: "img:1", Runtime: "containerd", MemoryLimitBytes: limit},
			OuterContainer: &oom.Container{ID: idB, Name: "kind-worker", Runtime: "docker"},
			Pod:            full,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := record(c.path)
			New(Options{Containers: c.fake}).Record(t.Context(), rec)
			if d := cmp.Diff(c.want, rec.Victim.Owner); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestBound holds that no record waits longer than the bound, and has the path's
// own words then, and that it says so.
func TestBound(t *testing.T) {
	f := &fake{hang: true}
	e := New(Options{Containers: f, Wait: 20 * time.Millisecond})
	start := time.Now()
	rec := record(podPath + "/" + idA)
	rec.Trigger.Cgroup = podPath + "/" + idB
	e.Record(t.Context(), rec)
	if rec.Victim.Container == nil || rec.Victim.Pod.UID != uid {
		t.Fatal("the path's own words are missing")
	}
	if d := cmp.Diff([]string{"victim", "trigger"}, rec.NamesMissing); d != "" || len(rec.Sampled) != 0 {
		t.Error(d, rec.Sampled)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestPending holds that a wait ends when another kill is pending.
func TestPending(t *testing.T) {
	f := &fake{hang: true}
	var looks atomic.Int32
	pending := func() bool { return looks.Add(1) > 2 }
	e := New(Options{Containers: f, Wait: time.Hour, Pending: pending})
	e.Record(t.Context(), record(podPath+"/"+idA))
	if n := looks.Load(); n != 3 {
		t.Errorf("%d looks", n)
	}
}

// TestWaited holds that a record says how its names came.
func TestWaited(t *testing.T) {
	known := map[string]container.Info{idA: info()}
	a, b := podPath+"/"+idA, podPath+"/"+idB
	for _, tt := range []struct {
		name             string
		fake             *fake
		victim, trigger  string
		change           func(*oom.Record)
		sampled, missing []string
	}{
		{name: "known", fake: &fake{known: known}, victim: a, trigger: a},
		{name: "late", fake: &fake{known: map[string]container.Info{}, late: known}, victim: a, trigger: "/x.service", sampled: []string{"victim.container"}},
		{name: "both late", fake: &fake{known: map[string]container.Info{}, late: known}, victim: a, trigger: a, sampled: []string{"victim.container", "trigger.container"}},
		{name: "the trigger's only", fake: &fake{known: known}, victim: a, trigger: b, missing: []string{"trigger"}},
		{name: "no container", fake: &fake{}, victim: "/x.service", trigger: podPath},
		{name: "skipped", fake: &fake{}, victim: a, missing: []string{"victim"}, change: func(r *oom.Record) { r.Source = oom.SourceKmsg }},
		{name: "no source is asked", victim: a},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := record(tt.victim)
			rec.Trigger.Cgroup = tt.trigger
			if tt.change != nil {
				tt.change(rec)
			}
			o := Options{}
			if tt.fake != nil {
				o.Containers = tt.fake
			}
			New(o).Record(t.Context(), rec)
			if d := cmp.Diff(tt.sampled, rec.Sampled); d != "" {
				t.Error("sampled", d)
			}
			if d := cmp.Diff(tt.missing, rec.NamesMissing); d != "" {
				t.Error("names_missing", d)
			}
		})
	}
}

// TestLogs holds which records of a log are waited for.
func TestLogs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		log   bool
		age   time.Duration
		waits int32
	}{
		{"live, just now", false, time.Second, 2},
		{"live, of yesterday", false, 24 * time.Hour, 0},
		{"live, of tomorrow", false, -24 * time.Hour, 0},
		{"read at leisure", true, 24 * time.Hour, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			e := New(Options{Containers: f, Log: tt.log})
			for range 2 {
				rec := record(podPath + "/" + idA)
				rec.Source, rec.Time = oom.SourceKmsg, time.Now().Add(-tt.age)
				e.Record(t.Context(), rec)
			}
			if n := f.waits.Load(); n != tt.waits {
				t.Errorf("%d waits, want %d", n, tt.waits)
			}
		})
	}
}

func TestNoWait(t *testing.T) {
	for name, change := range map[string]func(*oom.Record, *Options){
		"negative":  func(_ *oom.Record, o *Options) { o.Wait = -1 },
		"from logs": func(r *oom.Record, _ *Options) { r.Source = oom.SourceKmsg },
		"exit":      func(r *oom.Record, _ *Options) { r.Kind = oom.KindExit },
		"no container": func(r *oom.Record, _ *Options) {
			r.Victim.Cgroup = "/system.slice/a.service"
		},
	} {
		f := &fake{hang: true}
		rec, o := record(podPath+"/"+idA), Options{Containers: f}
		change(rec, &o)
		New(o).Record(t.Context(), rec)
		if f.waits.Load() != 0 {
			t.Errorf("%s: waited", name)
		}
	}
}
