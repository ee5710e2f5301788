//go:build vmguest

package history_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/history"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/tracer"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

func TestMain(m *testing.M) {
	workload.Main()
	os.Exit(m.Run())
}

const mib = 1 << 20

// batch is what one charge takes at once: 64 pages (MEMCG_CHARGE_BATCH).
const batch = 64 * 4096

// shape is a way in which a cgroup grows, up to a kill.
type shape struct {
	name string
	hogs []workload.Hog
	// stop ends the first hog while the others grow.
	stop bool
	// falls is set where memory is given back: what was read before and after says
	// nothing of the time between, where that was long.
	falls bool
	// lowered is set where the limit is lowered while nothing happens.
	lowered bool
	// charged is what each hog took, by its name.
	charged map[string]uint64
	// huge is set where a charge takes a huge page.
	huge bool
}

func hog(name string, steps ...workload.Step) workload.Hog {
	return workload.Hog{Name: name, Steps: steps}
}

func anon(bytes, rate int64) workload.Step {
	return workload.Step{Kind: workload.Anon, Bytes: bytes, Rate: rate}
}

func pause(d time.Duration) workload.Step { return workload.Step{Kind: workload.Pause, Time: d} }

// patience is how long a test waits for what must come, in an emulated guest.
const patience = 3 * time.Minute

func shapes(tmpfs, ramfs string) []shape {
	saw, steps := []workload.Step{}, []workload.Step{}
	for range 4 {
		saw = append(saw, anon(20*mib, 16*mib), workload.Step{Kind: workload.Drop})
		steps = append(steps, anon(10*mib, 0), pause(2*time.Second))
	}
	write := func(path string) workload.Step {
		return workload.Step{Kind: workload.Write, Path: path, Bytes: 24 * mib, Rate: 3 * mib}
	}
	return []shape{
		{name: "slow", hogs: []workload.Hog{hog("slow", anon(512<<10, 64<<10))}, charged: map[string]uint64{"slow": 512 << 10}},
		{name: "leak", hogs: []workload.Hog{hog("leak", anon(16*mib, 2*mib))}, charged: map[string]uint64{"leak": 16 * mib}},
		{name: "burst", hogs: []workload.Hog{hog("burst", anon(8*mib, 0), pause(6*time.Second), anon(300*mib, 0))}, charged: map[string]uint64{"burst": 308 * mib}},
		{name: "saw", hogs: []workload.Hog{hog("saw", saw...)}, falls: true, charged: map[string]uint64{"saw": 80 * mib}},
		{name: "steps", hogs: []workload.Hog{hog("steps", steps...)}, charged: map[string]uint64{"steps": 40 * mib}},
		{name: "child", hogs: []workload.Hog{hog("child", anon(30*mib, 0)), hog("parent", anon(12*mib, 2*mib))}, stop: true, falls: true,
			charged: map[string]uint64{"child": 30 * mib, "parent": 12 * mib}},
		{name: "tmpfs", hogs: []workload.Hog{hog("tmpfs", write(filepath.Join(tmpfs, "f")))}, charged: map[string]uint64{"tmpfs": 24 * mib}},
		{name: "cache", hogs: []workload.Hog{hog("cache", write(filepath.Join(ramfs, "f")))}, charged: map[string]uint64{"cache": 24 * mib}},
		{name: "thp", hogs: []workload.Hog{hog("thp", workload.Step{Kind: workload.THP, Bytes: 64 * mib, Rate: 16 * mib})}, huge: true, charged: map[string]uint64{"thp": 64 * mib}},
		{name: "lowered", hogs: []workload.Hog{hog("lowered", anon(20*mib, 0))}, lowered: true, charged: map[string]uint64{"lowered": 20 * mib}},
	}
}

// tiers are the attach types that this guest's kernel has.
func tiers() []tracer.Tier {
	return slices.DeleteFunc([]tracer.Tier{tracer.TierFentry, tracer.TierKprobe},
		func(tier tracer.Tier) bool { return string(tier) == os.Getenv("OOMTRACE_NO_TIER") })
}

// TestGuestTruth holds what is recorded of each shape against a reading of the
// cgroups' usage 50 times a second: counted by each attach type, side by side, and
// sampled.
func TestGuestTruth(t *testing.T) {
	var seen []*observer
	for _, tier := range tiers() {
		seen = append(seen, observe(t, string(tier), tracer.Options{Tier: tier}, len(seen) == 0))
	}
	r := newRun(t)
	tmpfs, err := r.g.Tmpfs(64 * mib)
	if err != nil {
		t.Fatal(err)
	}
	ramfs, err := r.g.Ramfs()
	if err != nil {
		t.Fatal(err)
	}
	all := shapes(tmpfs, ramfs)
	r.grow(all)
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			r.kill(t, s)
			for _, o := range seen {
				t.Run(o.name, func(t *testing.T) {
					got := o.record(t, r.groups[s.name].Path)
					r.check(t, &s, got.exact, oom.HistoryExact)
					if got.sampled != nil {
						r.check(t, &s, got.sampled, oom.HistorySampled)
					}
					checkGrowers(t, &s, got.exact)
					r.checkLimit(t, &s, got.exact)
					r.checkAdjusted(t, got.exact)
				})
			}
		})
	}
}

// run is the cgroups of one run, and what was read of them.
type run struct {
	t      *testing.T
	g      *workload.Guest
	groups map[string]*workload.Cgroup

	lowered    map[string]span // when
	adjustedAt span            // the last one

	mu       sync.Mutex
	readings map[string][]reading
}

// span is between two times of CLOCK_BOOTTIME, in ns.
type span struct{ from, to uint64 }

type reading struct{ ns, bytes uint64 }

func newRun(t *testing.T) *run {
	t.Helper()
	g, err := workload.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return &run{t: t, g: g, groups: map[string]*workload.Cgroup{}, lowered: map[string]span{}, readings: map[string][]reading{}}
}

func recorder(t *testing.T, o history.Options) *history.Recorder {
	t.Helper()
	r, err := history.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// observer is a tracer and what it recorded.
type observer struct {
	name           string
	exact, sampled *history.Recorder // sampled may be nil
	maps           map[string]*ebpf.Map
	records        chan pair
	resumed        bool
	close          func() error // ends it, and the tracer
}

// pair is one kill as both recorders know it.
type pair struct{ exact, sampled *oom.Record }

// observe starts to trace.
func observe(t *testing.T, name string, opts tracer.Options, sampled bool) *observer {
	t.Helper()
	opts.NoSigkills = true
	tr, err := tracer.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.History(); err != nil {
		t.Fatal(err)
	}
	maps := tr.HistoryMaps()
	o := &observer{name: name, maps: maps, exact: recorder(t, history.Options{Maps: maps}), records: make(chan pair, 64), resumed: tr.Resumed()}
	if sampled {
		o.sampled = recorder(t, history.Options{})
		// Its first tick comes after it has walked the hierarchy: what it takes for older
		// than itself it reads for the second time many ticks later.
		until(t, "two samples of the machine", func() bool {
			h := atKill(t, o.sampled).History
			return h != nil && len(h.Points) > 1
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	src := tracer.NewSource(tr, tracer.SourceOptions{OnCgroup: o.notice})
	done := make(chan error, 1)
	go func() { done <- o.collect(ctx, t, src) }()
	o.close = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, src.Close(), tr.Close())
	})
	t.Cleanup(func() {
		if err := o.close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// atKill is what a recorder knows of the machine at a kill that comes now.
func atKill(t *testing.T, r *history.Recorder) *oom.Memory {
	t.Helper()
	rec := &oom.Record{Kind: oom.KindKill, Source: oom.SourceBPF, UptimeNS: oom.Some(now()), Memory: &oom.Memory{}}
	if err := r.Stage(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec.Memory
}

func (o *observer) notice(path string) {
	o.exact.Notice(path)
	if o.sampled != nil {
		o.sampled.Notice(path)
	}
}

// collect gives the kills as they come, until the context ends.
func (o *observer) collect(ctx context.Context, t *testing.T, src *tracer.Source) error {
	for {
		rec, err := src.Next(ctx)
		if err != nil {
			return nil
		}
		if rec.Kind == oom.KindKill {
			p := pair{exact: deepCopy(t, rec)}
			err := o.exact.Stage(ctx, p.exact)
			if o.sampled != nil {
				p.sampled = deepCopy(t, rec)
				err = errors.Join(err, o.sampled.Stage(ctx, p.sampled))
			}
			if err != nil {
				t.Error(err)
			}
			o.records <- p
		}
		if err := src.Done(); err != nil {
			return err
		}
	}
}

// record waits for the kill at a cgroup's limit. Two may die in one cgroup: the first
// one's record is that of the shape.
func (o *observer) record(t *testing.T, cgroup string) pair {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got := <-o.records:
			if got.exact.Limit != nil && got.exact.Limit.Cgroup == cgroup {
				return got
			}
		case <-deadline:
			t.Fatal("no record")
		}
	}
}

func deepCopy(t *testing.T, rec *oom.Record) *oom.Record {
	b, err := json.Marshal(rec)
	if err != nil {
		t.Error(err)
	}
	c := &oom.Record{}
	if err := json.Unmarshal(b, c); err != nil {
		t.Error(err)
	}
	return c
}

// grow runs all shapes at once, until each has all its memory.
func (r *run) grow(all []shape) {
	first, others := r.start(all)
	time.Sleep(4 * time.Second)
	r.full(first)
	for _, p := range first {
		if err := p.Stop(); err != nil {
			r.t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Second)
	r.lower(all)
	r.full(others)
	r.settle()
}

// full waits until these have taken all that they are to take: one that pauses stands
// still, too.
func (r *run) full(hogs []*workload.Process) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for _, p := range hogs {
		if err := p.Full(ctx); err != nil {
			r.t.Fatal(err)
		}
	}
}

// start gives each shape a cgroup that is read from now on, and begins to grow. It
// returns the processes that are to be stopped, and the others.
func (r *run) start(all []shape) (first, others []*workload.Process) {
	for _, s := range all {
		c, err := r.g.Cgroup(nil, "h-"+s.name, workload.Limits{})
		if err != nil {
			r.t.Fatal(err)
		}
		r.groups[s.name] = c
	}
	stop := make(chan struct{})
	go r.read(stop)
	r.t.Cleanup(func() { close(stop) })
	for _, s := range all {
		if s.lowered {
			r.limit(s.name, 400*mib)
			r.high(s.name, 300*mib)
		}
		for i, h := range s.hogs {
			h.Procs = r.groups[s.name].Procs()
			p, err := r.g.Start(h)
			if err != nil {
				r.t.Fatal(err)
			}
			if i == 0 && s.stop {
				first = append(first, p)
			} else {
				others = append(others, p)
			}
		}
	}
	return first, others
}

// lower lowers the limits of the shapes that want it.
func (r *run) lower(all []shape) {
	for _, s := range all {
		if s.lowered {
			from := now()
			r.limit(s.name, 32*mib)
			r.high(s.name, 200*mib)
			r.lowered[s.name] = span{from, now()}
		}
	}
}

// settle waits until all cgroups have been read twice from now on.
func (r *run) settle() {
	from := now()
	until(r.t, "a reading of every cgroup", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for name := range r.groups {
			all := r.readings[name]
			if len(all) < 2 || all[len(all)-2].ns <= from {
				return false
			}
		}
		return true
	})
}

// usage is the last reading of a cgroup.
func (r *run) usage(name string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.readings[name]
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].bytes
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func (r *run) file(v1, v2 string) string {
	if r.g.H.Version == 1 {
		return v1
	}
	return v2
}

func (r *run) limit(name string, bytes uint64) {
	r.t.Helper()
	r.set(name, r.file("memory.limit_in_bytes", "memory.max"), bytes)
}

// high sets memory.high, which v2 alone has.
func (r *run) high(name string, bytes uint64) {
	r.t.Helper()
	if r.g.H.Version == 2 {
		r.set(name, "memory.high", bytes)
	}
}

func (r *run) set(name, file string, bytes uint64) {
	r.t.Helper()
	if err := r.groups[name].Set(file, strconv.FormatUint(bytes, 10)); err != nil {
		r.t.Fatal(err)
	}
}

// read takes the usage of all cgroups every 20 ms.
func (r *run) read(stop <-chan struct{}) {
	files := map[string]*os.File{}
	for name, c := range r.groups {
		f, err := os.Open(filepath.Join(r.g.H.Root, c.Path, r.file("memory.usage_in_bytes", "memory.current")))
		if err != nil {
			r.t.Error(err)
			return
		}
		files[name] = f
		defer func() { _ = f.Close() }()
	}
	var buf [64]byte
	for {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		for name, f := range files {
			n, err := f.ReadAt(buf[:], 0)
			if n == 0 && err != nil {
				continue // it is removed
			}
			v, _ := strconv.ParseUint(strings.TrimSpace(string(buf[:n])), 10, 64)
			r.mu.Lock()
			r.readings[name] = append(r.readings[name], reading{now(), v})
			r.mu.Unlock()
		}
	}
}

func now() uint64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return uint64(ts.Nano())
}

// kill has a cgroup run into its limit.
func (r *run) kill(t *testing.T, s shape) {
	t.Helper()
	c := r.groups[s.name]
	if !s.lowered {
		text, err := c.Get(r.file("memory.usage_in_bytes", "memory.current"))
		if err != nil {
			t.Fatal(err)
		}
		usage, _ := strconv.ParseUint(text, 10, 64)
		r.limit(s.name, usage+4*mib)
	}
	end := hog("end", anon(64*mib, 0))
	end.Procs, end.Adj, end.Waits = c.Procs(), 1000, true
	p, err := r.g.Start(end)
	if err != nil {
		t.Fatal(err)
	}
	r.adjust(t, p.PID)
	if err := p.Go(); err != nil {
		t.Fatal(err)
	}
	if killed, err := p.Wait(t.Context()); err != nil || !killed {
		t.Fatalf("killed %v: %v", killed, err)
	}
}

// adjusted is what this test writes, after the process itself wrote 1000.
const adjusted = 999

func (r *run) adjust(t *testing.T, pid int) {
	t.Helper()
	path := filepath.Join("/proc", strconv.Itoa(pid), "oom_score_adj")
	until(t, "its own oom_score_adj", func() bool {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b)) == "1000"
	})
	from := now()
	if err := os.WriteFile(path, []byte(strconv.Itoa(adjusted)), 0); err != nil {
		t.Fatal(err)
	}
	r.adjustedAt = span{from, now()}
}

// checkAdjusted: who wrote the victim's oom_score_adj, and when.
func (r *run) checkAdjusted(t *testing.T, rec *oom.Record) {
	t.Helper()
	c := rec.Victim.OOMScoreAdjChanged
	if c == nil || rec.Victim.OOMScoreAdj != oom.Some[int32](adjusted) || c.PID != oom.Some(int32(os.Getpid())) || c.Comm == "" || c.Cgroup != "/" {
		t.Fatalf("oom_score_adj %v changed: %+v", rec.Victim.OOMScoreAdj, c)
	}
	if at := rec.UptimeNS.Value - c.AgoNS.Value; at < r.adjustedAt.from || at > r.adjustedAt.to {
		t.Errorf("written at %v, not in %v", time.Duration(at), r.adjustedAt)
	}
}

// apart is the longest time between two readings that says what a cgroup which falls had
// between them: one every 20 ms is wanted, and a busy host lets more pass.
const apart = 100 * time.Millisecond

// around is what was read near a time: the least and the most.
func (r *run) around(s *shape, ns uint64) (low, high uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.readings[s.name]
	i, _ := slices.BinarySearchFunc(all, ns, compareReading)
	// The readings before and after, and one more: the stamp is that of its begin.
	from, to := max(i-2, 0), min(i+2, len(all))
	if from >= to || i == 0 && all[0].ns-ns > uint64(time.Second) {
		return 0, 0, false
	}
	if s.falls && i > 0 && i < len(all) && all[i].ns-all[i-1].ns > uint64(apart) {
		return 0, 0, false
	}
	low, high = all[from].bytes, all[from].bytes
	for _, x := range all[from:to] {
		low, high = min(low, x.bytes), max(high, x.bytes)
	}
	return low, high, true
}

// note adds a reading in its place.
func (r *run) note(name string, x reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := slices.BinarySearchFunc(r.readings[name], x.ns, compareReading)
	r.readings[name] = slices.Insert(r.readings[name], i, x)
}

func compareReading(a reading, ns uint64) int { return cmp.Compare(a.ns, ns) }

func (r *run) check(t *testing.T, s *shape, rec *oom.Record, source oom.HistorySource) {
	t.Helper()
	h := rec.History
	if h == nil || h.Source != source {
		t.Fatalf("%s: history %+v", source, h)
	}
	slack := uint64(batch * runtime.NumCPU())
	if s.huge {
		slack += uint64(2 * mib * runtime.NumCPU())
	}
	// At the kill, which may lie between two readings, the kernel gave the usage itself.
	r.note(s.name, reading{rec.UptimeNS.Value, rec.Limit.UsageBytes.Value})
	checked := 0
	for i, p := range h.Points {
		if i > 0 && p.AgoNS > h.Points[i-1].AgoNS {
			t.Errorf("%s: point %d is older than the one before", source, i)
		}
		low, high, ok := r.around(s, rec.UptimeNS.Value-p.AgoNS)
		if !ok || i == len(h.Points)-1 {
			continue // the last is the limit's own usage
		}
		checked++
		if p.Bytes+slack < low || p.Bytes > high+slack {
			t.Errorf("%s: %v ago %d KiB, read %d to %d", source, time.Duration(p.AgoNS), p.Bytes>>10, low>>10, high>>10)
		}
	}
	// What grows slowly is sampled rarely, and what takes all at once takes few slots.
	least := 5
	if source == oom.HistorySampled || s.lowered {
		least = 3
	}
	if checked < least {
		t.Errorf("%s: %d points are checked: %v", source, checked, h.Points)
	}
	t.Logf("%s: %d points over %v, rate %d KiB/s, near %v, hits %v", source, len(h.Points),
		time.Duration(h.SpanNS.Value).Round(time.Millisecond), h.RateBytesPerS.Value>>10, time.Duration(h.NearLimitNS.Value), h.LimitHits)
}

// checkGrowers: what each process charged is what it took, within 5 %, and within an
// eighth where it ran into the limit: each try there drains what the CPUs hold charged
// ahead, and the next charge is a batch again (mm/memcontrol.c, drain_all_stock; 15 %
// after 38 tries, seen 6.1).
func checkGrowers(t *testing.T, s *shape, rec *oom.Record) {
	t.Helper()
	found := map[string]uint64{}
	for _, g := range rec.History.Growers {
		found[g.Comm] += g.ChargedBytes.Value
		if g.Kernel.Known || g.Outside.Known || !g.PID.Known || g.StartTime.IsZero() {
			t.Errorf("grower %+v", g)
		}
		if g.Exited.Value != (g.Comm == "child") {
			t.Errorf("%s exited: %v", g.Comm, g.Exited)
		}
	}
	for name, want := range s.charged {
		// Beyond the memory there are page tables, and what is charged ahead.
		slack := want/20 + uint64(batch*runtime.NumCPU())
		if rec.History.LimitHits.Value > 0 {
			slack = want/8 + uint64(batch*runtime.NumCPU())
		}
		if s.huge {
			slack += 2 * mib
		}
		if got := found[name]; got+slack < want || got > want+slack {
			t.Errorf("%s charged %d KiB, took %d: %v", name, got>>10, want>>10, found)
		}
	}
}

// checkLimit: who lowered the limits, and when.
func (r *run) checkLimit(t *testing.T, s *shape, rec *oom.Record) {
	t.Helper()
	if rec.Limit.Changed == nil {
		t.Fatal("the limit was lowered, and nobody knows")
	}
	if !s.lowered {
		r.checkChange(t, s, rec, rec.Limit.Changed, oom.Opt[uint64]{}, rec.Limit.MaxBytes)
	} else {
		r.checkChange(t, s, rec, rec.Limit.Changed, oom.Some[uint64](400*mib), oom.Some[uint64](32*mib))
	}
	high := rec.Limit.HighChanged
	if want := s.lowered && r.g.H.Version == 2; (high != nil) != want {
		t.Errorf("memory.high: %+v", high)
	} else if want {
		r.checkChange(t, s, rec, high, oom.Some[uint64](300*mib), oom.Some[uint64](200*mib))
	}
}

func (r *run) checkChange(t *testing.T, s *shape, rec *oom.Record, c *oom.LimitChange, from, to oom.Opt[uint64]) {
	t.Helper()
	if c.FromBytes != from || c.ToBytes != to || c.PID.Value != int32(os.Getpid()) || c.Comm == "" || c.Cgroup != "/" {
		t.Errorf("%+v, want from %v to %v", c, from, to)
	}
	if at, want := rec.UptimeNS.Value-c.AgoNS.Value, r.lowered[s.name]; s.lowered && (at < want.from || at > want.to) {
		t.Errorf("lowered at %v, not in %v to %v", time.Duration(at), time.Duration(want.from), time.Duration(want.to))
	}
}

// TestGuestSwapoff: when swap was turned off, and of what size.
func TestGuestSwapoff(t *testing.T) {
	const size, interval = 64 * mib, 200 * time.Millisecond
	r := recorder(t, history.Options{Interval: interval})
	g, err := workload.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Swap(size, 1); err != nil {
		t.Fatal(errors.Join(err, g.Close()))
	}
	until(t, "a sample with swap", func() bool {
		h := atKill(t, r).History
		return h != nil && slices.ContainsFunc(h.Points, func(p oom.MemoryPoint) bool { return p.SwapFreeBytes.Value > 0 })
	})
	if c := atKill(t, r).SwapChanged; c != nil {
		t.Errorf("nobody turned swap off: %+v", c)
	}
	from := now()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	to := now()
	var end uint64
	var c *oom.LimitChange
	for deadline := time.Now().Add(patience); c == nil && time.Now().Before(deadline); time.Sleep(interval) {
		end, c = now(), atKill(t, r).SwapChanged
	}
	if c == nil || c.ToBytes != oom.Some[uint64](0) || c.FromBytes.Value > size || c.FromBytes.Value < size-mib || c.PID.Known {
		t.Fatalf("%+v", c)
	}
	// A busy host may hold the guest up.
	if at := end - c.AgoNS.Value; at < from || at > to+uint64(10*interval) {
		t.Errorf("turned off at %v, not in %v to %v", time.Duration(at), time.Duration(from), time.Duration(to))
	}
}

// TestGuestRestart: with pins, what was counted before a restart and while no reader ran
// is in the record of a later kill.
func TestGuestRestart(t *testing.T) {
	const bpffs = "/sys/fs/bpf"
	if err := unix.Mount("bpf", bpffs, "bpf", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		t.Fatal(err)
	}
	opts := tracer.Options{Pin: filepath.Join(bpffs, "history")}
	t.Cleanup(func() {
		if err := tracer.Unpin(opts.Pin); err != nil {
			t.Error(err)
		}
	})
	first := observe(t, "first", opts, false)
	r := newRun(t)
	s := shape{name: "restart", hogs: []workload.Hog{hog("restart", anon(24*mib, 2*mib))}, lowered: true, charged: map[string]uint64{"restart": 24 * mib}}
	_, hogs := r.start([]shape{s})
	until(t, "some growth with a reader", func() bool { return r.usage(s.name) >= 3*mib })
	r.lower([]shape{s})
	ended := now()
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	// What is charged now is more than the bound on growers.
	unread := r.usage(s.name) + 4*mib
	until(t, "some growth without a reader", func() bool { return r.usage(s.name) >= unread })
	second := observe(t, "second", opts, false)
	if !second.resumed {
		t.Error("the second reader began anew")
	}
	r.full(hogs)
	r.settle()
	r.kill(t, s)
	got := second.record(t, r.groups[s.name].Path).exact
	r.check(t, &s, got, oom.HistoryExact)
	checkGrowers(t, &s, got)
	r.checkLimit(t, &s, got)
	r.checkAdjusted(t, got)
	if first := got.History.Points[0]; got.UptimeNS.Value-first.AgoNS > ended {
		t.Errorf("no point is from before the restart: %v", got.History.Points)
	}
}
