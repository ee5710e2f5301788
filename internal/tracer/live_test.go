//go:build hosttest || vmguest

package tracer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf/btf"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/witness"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
	"github.com/oomtrace/oomtrace/internal/wire"
)

func TestMain(m *testing.M) {
	workload.Main()
	os.Exit(m.Run())
}

const mib = 1 << 20

// seen is a record as it was decoded, with the witness that goes with it.
type seen struct {
	rec      oom.Record
	rssCount oom.Opt[uint64]
}

// live is a running tracer whose records are collected.
type live struct {
	t      *testing.T
	tracer *Tracer
	log    *witness.Log
	lines  []string

	mu      sync.Mutex
	records []seen
	exits   []oom.Record
	more    chan struct{}
}

// start opens a tracer on one tier and collects its records until the test ends.
func start(t *testing.T, tier Tier) *live {
	t.Helper()
	tr, err := Open(t.Context(), Options{Tier: tier})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	log, err := witness.Open()
	if err != nil {
		t.Fatal(err)
	}
	l := &live{t: t, tracer: tr, log: log, more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.collect(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, tr.Close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *live) collect(ctx context.Context) error {
	var ev wire.Event
	for {
		err := l.tracer.Read(ctx, &ev)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if ev.Cgroup.Path == "" {
			if err := l.keep(&ev); err != nil {
				return err
			}
		}
		l.tracer.Ack(&ev)
	}
}

// keep copies a record: the event is decoded into again.
func (l *live) keep(ev *wire.Event) error {
	b, err := json.Marshal(&ev.Record)
	if err != nil {
		return err
	}
	s := seen{rssCount: ev.RSSCountBytes}
	if err := json.Unmarshal(b, &s.rec); err != nil {
		return err
	}
	l.mu.Lock()
	if s.rec.Kind == oom.KindExit {
		l.exits = append(l.exits, s.rec)
	} else {
		l.records = append(l.records, s)
	}
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return nil
}

// kills waits until the kernel's log and the tracer have named n victims each,
// and returns both.
func (l *live) kills(n int) ([]witness.Kill, []witness.Decision, []seen) {
	l.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		lines, err := l.log.Read()
		if err != nil {
			l.t.Fatal(err)
		}
		l.lines = append(l.lines, lines...)
		kills, err := witness.Kills(l.lines)
		if err != nil {
			l.t.Fatal(err)
		}
		kills = distinct(kills)
		records := l.of(oom.KindKill)
		if len(kills) >= n && len(records) >= n {
			decisions, err := witness.Decisions(l.lines)
			if err != nil {
				l.t.Fatal(err)
			}
			return kills, decisions, records
		}
		select {
		case <-deadline:
			l.t.Fatalf("waited for %d kills: the kernel logged %d, the tracer %d", n, len(kills), len(records))
		case <-l.more:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// distinct drops repetitions: the chosen task of an oom.group is logged twice.
func distinct(kills []witness.Kill) []witness.Kill {
	var out []witness.Kill
	had := map[int]bool{}
	for _, k := range kills {
		if !had[k.PID] {
			had[k.PID] = true
			out = append(out, k)
		}
	}
	return out
}

func (l *live) of(kind oom.Kind) []seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []seen
	for _, s := range l.records {
		if s.rec.Kind == kind {
			out = append(out, s)
		}
	}
	return out
}

// forget starts over with an empty log and no records.
func (l *live) forget() {
	l.t.Helper()
	if _, err := l.log.Read(); err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	l.lines, l.records = nil, nil
	l.mu.Unlock()
}

func percpuRSS(t *testing.T) bool {
	t.Helper()
	return rssIsPerCPU(&attacher{cache: btf.NewCache()})
}

// compare holds a record against the kernel's own line for the same victim.
func compare(t *testing.T, k witness.Kill, s seen) {
	t.Helper()
	v := s.rec.Victim
	want := func(name string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: record %v, kernel %v", name, got, want)
		}
	}
	want("tid", int(v.TID.Value), k.PID)
	want("comm", escaped(v.Comm), k.Comm)
	want("uid", int(v.UID.Value), k.UID)
	want("oom_score_adj", int(v.OOMScoreAdj.Value), k.Adj)
	want("total-vm kB", v.TotalVMBytes.Value/1024, k.TotalVMKB)
	want("pgtables kB", v.PgtablesBytes.Value/1024, k.PgtablesKB)
	want("rss is the sum", v.RSSBytes.Value, v.AnonRSSBytes.Value+v.FileRSSBytes.Value+v.ShmemRSSBytes.Value)
	if percpuRSS(t) {
		comparePerCPU(t, k, s)
		return
	}
	want("file-rss kB", v.FileRSSBytes.Value/1024, k.FileKB)
	want("shmem-rss kB", v.ShmemRSSBytes.Value/1024, k.ShmemKB)
	anon := v.AnonRSSBytes.Value / 1024
	if anon != k.AnonKB && !foldedIn(s.rec, k.AnonKB-anon) {
		want("anon-rss kB", anon, k.AnonKB)
	}
}

// foldedIn says whether a victim may have grown by that much between its mark
// and its line. Up to 6.1 a task keeps up to 64 pages in a counter of its own
// (TASK_RSS_EVENTS_THRESH, mm/memory.c) that its exit folds into the mm's; one
// that is killed by another task can run before that one prints the line.
func foldedIn(r oom.Record, kB uint64) bool {
	return r.Victim.TID != r.Trigger.TID && kB <= 64*uint64(os.Getpagesize())/1024
}

// escaped writes a name as /dev/kmsg does: what is not printable, and the
// backslash, as \xNN (kernel/printk/printk.c, msg_add_ext_text).
func escaped(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c < ' ' || c >= 127 || c == '\\' {
			fmt.Fprintf(&b, `\x%02x`, c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// comparePerCPU: from 6.2 to 6.18 the line shows the counters without what the
// CPUs still hold, later the sum. The sum lies within a batch per CPU of it
// (lib/percpu_counter.c: max(32, 2 * CPUs)).
func comparePerCPU(t *testing.T, k witness.Kill, s seen) {
	t.Helper()
	v := s.rec.Victim
	line := (k.AnonKB + k.FileKB + k.ShmemKB) * 1024
	if line != s.rssCount.Value && line != v.RSSBytes.Value {
		t.Errorf("rss: the kernel's line %d is neither the counts %d nor the sum %d", line, s.rssCount.Value, v.RSSBytes.Value)
	}
	cpus := int64(runtime.NumCPU())
	slack := max(32, 2*cpus) * cpus * int64(os.Getpagesize())
	for _, c := range []struct {
		name       string
		sum, count uint64
	}{
		{"anon", v.AnonRSSBytes.Value, k.AnonKB * 1024},
		{"file", v.FileRSSBytes.Value, k.FileKB * 1024},
		{"shmem", v.ShmemRSSBytes.Value, k.ShmemKB * 1024},
	} {
		if d := int64(c.sum) - int64(c.count); d > slack || d < -slack {
			t.Errorf("%s rss: sum %d, kernel's line %d, more than %d apart", c.name, c.sum, c.count, slack)
		}
	}
}

// compareDecision holds the scope and the cgroups against the "oom-kill:" line.
// The tracepoint tiers leave out what the decision alone knows; what they have
// must be right.
func compareDecision(t *testing.T, d witness.Decision, rec *oom.Record, decided bool) {
	t.Helper()
	scopes := map[string]oom.Scope{
		"CONSTRAINT_NONE": oom.ScopeSystem, "CONSTRAINT_MEMCG": oom.ScopeCgroup,
		"CONSTRAINT_CPUSET": oom.ScopeCpuset, "CONSTRAINT_MEMORY_POLICY": oom.ScopeMempolicy,
	}
	if decided || rec.Scope != "" {
		if rec.Scope != scopes[d.Constraint] {
			t.Errorf("scope: record %q, kernel %s", rec.Scope, d.Constraint)
		}
	}
	if d.OOMMemcg != "" && (decided || rec.Limit != nil) {
		if rec.Limit == nil {
			t.Errorf("no limit; the kernel has %s", d.OOMMemcg)
		} else if rec.Limit.Cgroup != d.OOMMemcg {
			t.Errorf("limit: record %q, kernel %q", rec.Limit.Cgroup, d.OOMMemcg)
		}
	}
	if d.Global && rec.Limit != nil {
		t.Errorf("limit %q on a system OOM", rec.Limit.Cgroup)
	}
	if rec.Victim.Cgroup != d.TaskMemcg {
		t.Errorf("victim's cgroup: record %q, kernel %q", rec.Victim.Cgroup, d.TaskMemcg)
	}
}

// decides says whether a tier sees the decision.
func decides(tier Tier) bool { return tier == TierAuto || tier == TierFentry || tier == TierKprobe }
