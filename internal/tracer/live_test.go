//go:build hosttest || vmguest

package tracer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/btf"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
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
	rec   oom.Record
	count oom.Opt[uint64] // the rss without what the CPUs hold
}

// live is a running tracer whose records are collected.
type live struct {
	t      *testing.T
	tracer *Tracer
	log    *witness.Log
	lines  []string
	begun  []time.Time // when a scenario began: the report of the one before is older
	form   *rssForm
	// shared is a kernel whose reports others may use up; reports are those
	// that a scenario found.
	shared  bool
	reports int

	mu      sync.Mutex
	records []seen
	exits   []oom.Record
	more    chan struct{}
}

// start opens a tracer on one tier and collects its records until the test ends.
func start(t *testing.T, tier Tier, form *rssForm) *live {
	t.Helper()
	tr, err := Open(t.Context(), Options{Tier: tier})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	log, err := witness.Open()
	if err != nil {
		t.Fatal(err)
	}
	// What was reported just before is not known.
	begun := slices.Repeat([]time.Time{time.Now()}, reportBurst)
	l := &live{t: t, tracer: tr, log: log, begun: begun, more: make(chan struct{}, 1), form: form}
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
		err := l.tracer.read(ctx, &ev)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if isRecord(&ev) {
			if err := l.keep(ctx, &ev); err != nil {
				return err
			}
		}
		l.tracer.done()
	}
}

// keep keeps a record, and the witness beside it.
func (l *live) keep(ctx context.Context, ev *wire.Event) error {
	raw, err := l.tracer.ring.Next(ctx) // the same again, as it is not done yet
	if err != nil {
		return err
	}
	s := seen{rec: ev.Record, count: rssCount(raw.Bytes)}
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

// rssCount is the victim's rss without what the CPUs still hold: what kernels 6.2
// to 6.18 print in their kill line. No record has it.
func rssCount(b []byte) oom.Opt[uint64] {
	var raw probe.OomtraceVictimEvent
	size := int(unsafe.Sizeof(raw))
	if len(b) < size {
		return oom.Opt[uint64]{} // an exit
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&raw)), size), b)
	if pages := raw.Mm.RssCountPages; pages != ^uint64(0) {
		return oom.Some(pages * uint64(os.Getpagesize()))
	}
	return oom.Opt[uint64]{}
}

// patience is how long a test waits for what must come: a guest is emulated, on a machine
// that may be busy.
const patience = 3 * time.Minute

// settled is how long nothing must come before the log and the tracer are
// taken to have said all: a reader of the ring is woken within a few ms.
const settled = 250 * time.Millisecond

// kills waits until the kernel's log and the tracer have named n victims each
// and nothing more comes, and returns both.
func (l *live) kills(n int) ([]witness.Kill, []witness.Decision, []seen) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	quiet := time.Now()
	had := [2]int{}
	for {
		kills, records := l.logged(), l.of(oom.KindKill)
		if now := [2]int{len(kills), len(records)}; now != had {
			had, quiet = now, time.Now()
		}
		if had[0] >= n && had[0] == had[1] && time.Since(quiet) >= settled {
			decisions, err := witness.Decisions(l.lines)
			if err != nil {
				l.t.Fatal(err)
			}
			return kills, decisions, records
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("waited for %d kills: the kernel logged %d, the tracer %d", n, had[0], had[1])
		}
		select {
		case <-l.more:
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// logged reads on in the kernel's log and returns the victims it has named.
func (l *live) logged() []witness.Kill {
	l.t.Helper()
	lines, err := l.log.Read()
	if err != nil {
		l.t.Fatal(err)
	}
	l.lines = append(l.lines, lines...)
	kills, err := witness.Kills(l.lines)
	if err != nil {
		l.t.Fatal(err)
	}
	return distinct(kills)
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

// The kernel writes at most reportBurst reports in reportInterval
// (mm/oom_kill.c, oom_rs), and without one there is no "oom-kill:" line.
const (
	reportBurst    = 10
	reportInterval = 5 * time.Second
)

// begin starts over with an empty log and no records, as late as the kernel
// needs to write another report.
func (l *live) begin(t *testing.T) {
	l.t = t
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		kills, records := len(l.logged()), len(l.of(oom.KindKill))
		if kills == records {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("after the scenario before this one the kernel had logged %d kills, the tracer %d", kills, records)
			break
		}
	}
	l.begun = append(l.begun, time.Now())
	time.Sleep(time.Until(l.begun[len(l.begun)-reportBurst].Add(reportInterval)))
	l.logged()
	l.mu.Lock()
	l.lines, l.records = nil, nil
	l.mu.Unlock()
}

// compare holds a record against the kernel's own line for the same victim.
func (l *live) compare(t *testing.T, k witness.Kill, s seen) {
	t.Helper()
	v := s.rec.Victim
	want := func(name string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s: record %v, kernel %v", name, got, want)
		}
	}
	want("tid", v.TID, oom.Some(int32(k.PID)))
	want("comm", escaped(v.Comm), k.Comm)
	want("uid", v.UID, oom.Some(uint32(k.UID)))
	want("oom_score_adj", v.OOMScoreAdj, oom.Some(int32(k.Adj)))
	want("total-vm", v.TotalVMBytes, oom.Some(k.TotalVMKB*1024))
	want("pgtables", v.PgtablesBytes, oom.Some(k.PgtablesKB*1024))
	for name, part := range map[string]oom.Opt[uint64]{"anon": v.AnonRSSBytes, "file": v.FileRSSBytes, "shmem": v.ShmemRSSBytes} {
		if !part.Known {
			t.Errorf("%s rss is not known", name)
		}
	}
	want("rss is the sum", v.RSSBytes, oom.Some(v.AnonRSSBytes.Value+v.FileRSSBytes.Value+v.ShmemRSSBytes.Value))
	l.form.compare(t, k, s)
}

// rssForm is what this kernel's line prints, as its lines tell: until 6.1 one
// count a process, from 6.2 to 6.18 the counts without what the CPUs hold,
// later the sums (seen 7.x). All lines of a kernel are of one form: one whose
// total is not that of the counts says that each part is the sum, to the byte.
type rssForm struct {
	perCPU             bool
	notCounts, notSums bool
}

func newRSSForm(t *testing.T) *rssForm {
	t.Helper()
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	return &rssForm{perCPU: rssIsPerCPU(types)}
}

func (f *rssForm) compare(t *testing.T, k witness.Kill, s seen) {
	t.Helper()
	v := s.rec.Victim
	line := (k.AnonKB + k.FileKB + k.ShmemKB) * 1024
	if f.perCPU && s.count != oom.Some(line) {
		f.notCounts = true
	}
	// Each CPU holds back less than a batch (lib/percpu_counter.c).
	cpus := uint64(runtime.NumCPU())
	slack := max(32, 2*cpus) * cpus * uint64(os.Getpagesize())
	for _, c := range []struct {
		name string
		sum  oom.Opt[uint64]
		line uint64
	}{
		{"anon", v.AnonRSSBytes, k.AnonKB * 1024},
		{"file", v.FileRSSBytes, k.FileKB * 1024},
		{"shmem", v.ShmemRSSBytes, k.ShmemKB * 1024},
	} {
		if c.sum == oom.Some(c.line) || !f.perCPU && foldedIn(s.rec, c.line-c.sum.Value) {
			continue
		}
		f.notSums = true
		if apart := max(c.sum.Value, c.line) - min(c.sum.Value, c.line); !f.perCPU || f.notCounts || apart > slack {
			t.Errorf("%s rss: the kernel's line has %d, the sum is %v; all counts together are %v, the line's parts %d",
				c.name, c.line, c.sum, s.count, line)
		}
	}
	if f.notCounts && f.notSums {
		t.Error("some lines of this kernel are not the counts, and some not the sums")
	}
}

// foldedIn says whether a victim may have grown by that much between its mark
// and its line. Up to 6.1 a task keeps up to 64 pages in a counter of its own
// (TASK_RSS_EVENTS_THRESH, mm/memory.c) that its exit folds into the mm's; one
// that is killed by another task can run before that one prints the line.
func foldedIn(r oom.Record, bytes uint64) bool {
	return r.Victim.TID != r.Trigger.TID && bytes > 0 && bytes <= 64*uint64(os.Getpagesize())
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
