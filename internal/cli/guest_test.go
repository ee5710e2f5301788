//go:build vmguest

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/witness"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// liveRun is oomtrace as a user runs it, with JSON in a pipe.
type liveRun struct {
	t   *testing.T
	log *witness.Log
	// partial is set where the hooks that see the decision were left out: the
	// live records need not have all that the log has.
	partial bool
	reports []time.Time // when those of the kernel's log were read, the last few
	began   uint64      // the uptime of the last forget, in ns
	cmd     *exec.Cmd
	read    chan struct{}
	stderr  bytes.Buffer
	schema  *jsonschema.Schema

	mu      sync.Mutex
	records []oom.Record
}

func startRun(t *testing.T, args ...string) *liveRun {
	t.Helper()
	log, err := witness.Open()
	if err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(t.TempDir(), "ready")
	// How many reports came just before is not known.
	s := &liveRun{t: t, log: log, reports: slices.Repeat([]time.Time{time.Now()}, before+1), partial: slices.Contains(args, "--attach"), read: make(chan struct{}), schema: recordSchema(t)}
	s.cmd = exec.Command("/proc/self/exe", append([]string{"--ready-file", ready}, args...)...)
	s.cmd.Env = append(os.Environ(), asOomtrace+"=1")
	s.cmd.Stderr = &s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.collect(out)
	t.Cleanup(s.stop)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := os.Stat(ready); err == nil {
			return s
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("oomtrace did not get ready")
	return nil
}

func (s *liveRun) stop() {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		s.t.Error(err)
	}
	<-s.read
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("%v\n%s", err, s.stderr.String())
	}
	if !strings.Contains(s.stderr.String(), " 0 lost") {
		s.t.Errorf("records lost:\n%s", s.stderr.String())
	}
	_ = s.log.Close()
}

func (s *liveRun) collect(r io.Reader) {
	defer close(s.read)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var rec oom.Record
		err := json.Unmarshal(lines.Bytes(), &rec)
		s.mu.Lock()
		if err != nil {
			s.t.Errorf("%v: %s", err, lines.Text())
		}
		checkSchema(s.t, s.schema, lines.Bytes())
		s.records = append(s.records, rec)
		s.mu.Unlock()
	}
}

// readLog reads on in the kernel's log, and counts the reports.
func (s *liveRun) readLog(t *testing.T) []string {
	t.Helper()
	lines, err := s.log.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		switch {
		case strings.Contains(l, " invoked oom-killer: "):
			s.reports = append(s.reports, time.Now())
		case strings.Contains(l, " and no killable processes...") && len(s.reports) > 0:
			s.reports = s.reports[:len(s.reports)-1] // this one has no limit
		}
	}
	return lines
}

// before is how many reports may have come in the window before a scenario: it has
// the others of ten.
const before = 4

// pace waits until the kernel will write a report again: it writes at most 10 in
// 5 s, and without its report a cgroup's statistics are not brought up to date. On a
// fast host several scenarios are in one such window.
func (s *liveRun) pace(t *testing.T) {
	t.Helper()
	time.Sleep(600 * time.Millisecond)
	s.readLog(t)
	if n := len(s.reports) - before; n > 0 {
		time.Sleep(time.Until(s.reports[n-1].Add(reportWindow + time.Second)))
		s.reports = s.reports[n:]
	}
}

func (s *liveRun) forget() {
	s.readLog(s.t)
	s.mu.Lock()
	s.records = nil
	s.mu.Unlock()
	s.began = uptime(s.t)
}

// uptime is that of records, in ns.
func uptime(t *testing.T) uint64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		t.Fatal(err)
	}
	return uint64(now.Nano())
}

func (s *liveRun) of(kinds ...oom.Kind) []oom.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []oom.Record
	for _, r := range s.records {
		if slices.Contains(kinds, r.Kind) {
			out = append(out, r)
		}
	}
	return out
}

// wait waits for at least n records of a kind that are of this scenario: what
// an earlier one left may still be dying, and the records of hundreds may still come.
func (s *liveRun) wait(t *testing.T, n int, kind oom.Kind, out *workload.Outcome) []oom.Record {
	t.Helper()
	start := time.Now()
	for time.Since(start) < patience {
		got := slices.DeleteFunc(s.of(kind), func(r oom.Record) bool {
			if r.UptimeNS.Value < s.began {
				return true
			}
			if len(out.Victims) > 0 {
				return !slices.Contains(out.Victims, int(r.Victim.PID.Value))
			}
			return out.Limit != "" && (r.Limit == nil || !samePath(r.Limit.Cgroup, out.Limit))
		})
		if len(got) >= n {
			if took := time.Since(start); took > 2*time.Second {
				t.Logf("the records took %v to come", took.Round(time.Millisecond))
			}
			return got
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%d records of kind %s, %d expected", len(s.of(kind)), kind, n)
	return nil
}

// TestGuestScenarios runs each scenario under a live oomtrace and reads the
// explanation as a user would.
func TestGuestScenarios(t *testing.T) { runScenarios(t, workload.Needs{}) }

// TestGuestKubelet does the same with pods of a kubelet that has left its files.
func TestGuestKubelet(t *testing.T) {
	for _, behavior := range []string{workload.NoSwap, workload.LimitedSwap} {
		t.Run(behavior, func(t *testing.T) {
			g := openGuest(t)
			if err := g.Kubelet(behavior); err != nil {
				t.Fatal(err)
			}
			runScenarios(t, workload.Needs{Kubelet: behavior})
		})
	}
}

// TestNUMAScenarios does the same with those that need two memory nodes.
func TestNUMAScenarios(t *testing.T) { runScenarios(t, workload.Needs{NUMA: true}) }

// TestMovableScenarios does the same with those that need ZONE_MOVABLE.
func TestMovableScenarios(t *testing.T) { runScenarios(t, workload.Needs{Movable: true}) }

func runScenarios(t *testing.T, needs workload.Needs) {
	protectInit(t)
	s := startRun(t)
	for _, sc := range workload.Scenarios() {
		if sc.Needs.Apart() != needs || sc.On != nil && !sc.On() {
			continue
		}
		t.Run(sc.Name, func(t *testing.T) { runScenario(t, s, sc) })
	}
}

func openGuest(t *testing.T) *workload.Guest {
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
	return g
}

// protectInit keeps the guest's init from being killed, and this process from being
// swapped out: what it needs back while nothing is free costs one process after the
// other, until there is none and the kernel panics (seen 7.3, in the middle of a
// scenario whose memory only this process gives back).
func protectInit(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/1/oom_score_adj", []byte("-1000"), 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		t.Fatal(err)
	}
}

// scenarioPatience is for one that takes all memory page by page and starts process after
// process: two minutes have been too few (6.1 on arm64, sysrq-daemon).
const scenarioPatience = 5 * time.Minute

func runScenario(t *testing.T, s *liveRun, sc workload.Scenario) {
	g := openGuest(t)
	s.pace(t)
	s.forget()
	ctx, cancel := context.WithTimeout(t.Context(), scenarioPatience)
	defer cancel()
	t.Cleanup(func() { s.logIfFailed(t) })
	out, err := sc.Run(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	kind, n := oom.KindKill, max(out.Kills, len(out.Victims))
	switch {
	case out.NoVictim:
		kind, n = oom.KindNoVictim, 1
	case out.Exiting:
		kind = oom.KindAlreadyExiting
	}
	records := s.wait(t, n, kind, out)
	want, ok := verdicts()[sc.Name]
	if !ok {
		t.Fatal("no verdict is expected of this scenario: add it to verdicts")
	}
	want.check(t, &records[0])
	s.checkOutcome(t, out, records)
	checkEvidence(t, records[0])
	if m := records[0].Memory; sc.Name == "system-caches" && (len(m.SlabCaches) == 0 || !strings.HasPrefix(m.SlabCaches[0].Name, "kmalloc-") || !slices.Contains(records[0].Sampled, oom.SampledSlabCaches)) {
		t.Errorf("slab caches %+v", m.SlabCaches)
	}
	s.checkSilent(t, out, records)
	if out.Exiting {
		checkExiting(t, records) // the log has no line that names a kill
	} else {
		s.checkLog(t, out, records)
	}
}

// logIfFailed shows what came: all records in short, and the first in full.
func (s *liveRun) logIfFailed(t *testing.T) {
	t.Helper()
	if !t.Failed() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.records {
		if i == 0 {
			b, _ := json.Marshal(r)
			t.Logf("%s", b)
		}
		if r.Victim != nil {
			t.Logf("%d ms: %s of %d %s, incident %s, %+v", r.UptimeNS.Value/1e6, r.Kind, r.Victim.PID.Value, r.Victim.Comm, r.Incident, r.Exit)
		} else {
			t.Logf("%d ms: %s, incident %s", r.UptimeNS.Value/1e6, r.Kind, r.Incident)
		}
	}
}

// checkSilent: of processes with one memory, the kernel names one, and the end of
// that one names the others.
func (s *liveRun) checkSilent(t *testing.T, out *workload.Outcome, records []oom.Record) {
	t.Helper()
	if len(out.Silent) == 0 {
		return
	}
	victim := records[0].Victim.PID
	var named []int
	eventually(t, "the victim's end", nil, func() bool {
		for _, r := range s.of(oom.KindExit) {
			if r.Victim.PID != victim {
				continue
			}
			named = append(named, int(victim.Value))
			for _, p := range r.Exit.SharedMM {
				named = append(named, int(p.PID.Value))
			}
			return true
		}
		return false
	})
	slices.Sort(named)
	slices.Sort(out.Silent)
	if !slices.Equal(named, out.Silent) {
		t.Errorf("the victim and those its end names are %v, they were %v", named, out.Silent)
	}
}

// checkExiting: the kernel decided, and had nobody to kill.
func checkExiting(t *testing.T, records []oom.Record) {
	t.Helper()
	for _, r := range records {
		if r.Scope != oom.ScopeCgroup || !r.Trigger.GFPMask.Known || !r.Trigger.Order.Known || r.Trigger.Comm != "grower" {
			t.Errorf("scope %q, trigger %+v", r.Scope, r.Trigger)
		}
	}
}

// checkEvidence holds what only the kernel's own structures can tell against what
// is known of every guest: all that was weighed lives in a cgroup, and together
// they hold no less than those listed.
func checkEvidence(t *testing.T, rec oom.Record) {
	t.Helper()
	for _, c := range rec.Candidates {
		if c.Cgroup == "" {
			t.Errorf("candidate %d (%s) has no cgroup", c.PID.Value, c.Comm)
		}
	}
	sum := uint64(0)
	for _, c := range rec.Candidates {
		sum += c.RSSBytes.Value + c.SwapBytes.Value + c.PgtablesBytes.Value
	}
	if slack := uint64(len(rec.Candidates)+1) * uint64(between("rss_bytes", 0)); rec.CandidatesBytes.Value+slack < sum {
		t.Errorf("all tasks hold %d, those listed %d", rec.CandidatesBytes.Value, sum)
	}
}

// checkLog holds the records against what the kernel's log says of the same
// kills: all of them must be in it, and one in a whole report.
func (s *liveRun) checkLog(t *testing.T, out *workload.Outcome, records []oom.Record) {
	t.Helper()
	logs := s.logged(t, records)
	whole := false
	for _, rec := range records {
		log := findLog(logs, &rec)
		if log == nil {
			t.Errorf("no line of the kernel's log on the %s of %+v", rec.Kind, rec.Victim)
			continue
		}
		whole = whole || reported(out, log)
		wrong, missing := disagreements(rec, *log)
		if s.partial {
			missing = nil
		}
		for _, d := range append(wrong, missing...) {
			t.Error(d)
		}
	}
	if !whole {
		t.Error("no report of these kills in the kernel's log to hold the records against")
	}
}

// logged reads the kernel's log until it is on all the records: the live ones
// come before the last line.
func (s *liveRun) logged(t *testing.T, records []oom.Record) []oom.Record {
	t.Helper()
	var lines []string
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		lines = append(lines, s.readLog(t)...)
		logs, unplaced := logRecords(t, lines)
		missing := slices.ContainsFunc(records, func(r oom.Record) bool { return findLog(logs, &r) == nil })
		if !missing && unplaced == 0 {
			return logs
		}
		if time.Now().After(deadline) {
			if unplaced > 0 {
				t.Errorf("%d lines of the kernel's log not understood", unplaced)
			}
			return logs
		}
	}
}

// findLog finds the log's record of the same kill, or of an OOM without a victim
// for the same allocation, which comes again and again.
func findLog(logs []oom.Record, rec *oom.Record) *oom.Record {
	for i := range logs {
		l := &logs[i]
		switch {
		case l.Kind != rec.Kind || (l.Victim == nil) != (rec.Victim == nil):
		case l.Victim != nil && l.Victim.TID == rec.Victim.TID:
			return l
		case l.Victim == nil && l.Trigger != nil && l.Trigger.GFPMask == rec.Trigger.GFPMask && l.Trigger.Order == rec.Trigger.Order:
			return l
		}
	}
	return nil
}

// reported says whether the log has what a report of such a kill has: the
// machine's memory, or the statistics of the cgroup at its limit.
func reported(out *workload.Outcome, log *oom.Record) bool {
	if out.Limit != "" {
		return log.Limit != nil && len(log.Limit.Stat) > 0 && log.Limit.UsageBytes.Known
	}
	return log.Memory != nil && log.Memory.FreeBytes.Known && len(log.Memory.Zones) > 0
}

func (v verdict) check(t *testing.T, r *oom.Record) {
	t.Helper()
	w := r.Why
	if w == nil {
		t.Fatal("no explanation")
	}
	if runtime.GOARCH == "arm64" && slices.Contains(v.armToo, w.Verdict) {
		t.Logf("%s (unsure %v): %s", w.Verdict, w.Unsure.Value, w.Summary)
		return
	}
	if w.Verdict != v.is {
		t.Errorf("verdict %s, want %s", w.Verdict, v.is)
	}
	has := func(code string) bool {
		return slices.ContainsFunc(w.Reasons, func(r oom.Reason) bool { return r.Code == code })
	}
	for _, code := range v.also {
		if !has(code) {
			t.Errorf("no reason %s", code)
		}
	}
	for _, code := range v.not {
		if has(code) {
			t.Errorf("reason %s, which only looks alike", code)
		}
	}
	if v.low && has("memory_free_low") != freeLow(r.Memory) {
		t.Errorf("reason memory_free_low: %v, and by the zones %v", has("memory_free_low"), freeLow(r.Memory))
	}
	t.Logf("%s (unsure %v): %s", w.Verdict, w.Unsure.Value, w.Summary)
	if t.Failed() {
		for _, r := range w.Reasons {
			t.Logf("    %s: %s", r.Code, r.Text)
		}
	}
}

// freeLow says whether no more is free than the zones keep back from a request for
// user memory: the high watermarks, and of what is free above that in ZONE_DMA as much as is
// reserved from DMA32.
func freeLow(m *oom.Memory) bool {
	var free, kept uint64
	for _, z := range m.Zones {
		free += z.FreeBytes.Value
		kept += z.HighBytes.Value
		if len(z.LowmemReserveBytes) > 0 {
			kept += min(slices.Max(z.LowmemReserveBytes), z.FreeBytes.Value-min(z.FreeBytes.Value, z.HighBytes.Value))
		}
	}
	return free <= kept
}

// logRecords parses the kernel's own lines, and tells how many it could not
// place.
func logRecords(t *testing.T, lines []string) (records []oom.Record, unplaced uint64) {
	t.Helper()
	r := kernlog.NewReader(strings.NewReader(strings.Join(lines, "\n")+"\n"), kernlog.Options{})
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return records, uint64(r.Stats().Unplaced + r.Stats().Reaped)
		}
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, *rec)
	}
}

// checkMems: who took nodes from the trigger's cpuset, and when.
func (s *liveRun) checkMems(t *testing.T, out *workload.Outcome, rec *oom.Record) {
	t.Helper()
	c := rec.Trigger.MemsChanged
	if out.Mems[0] == "" {
		if c != nil {
			t.Errorf("no cpuset was changed: %+v", c)
		}
		return
	}
	if c == nil || c.From != out.Mems[0] || c.To != out.Mems[1] || c.PID != oom.Some(int32(os.Getpid())) || c.Comm == "" || c.Cgroup != "/" || c.AgoNS.Value > rec.UptimeNS.Value-s.began {
		t.Errorf("nodes of the cpuset changed: %+v, want %v", c, out.Mems)
	}
	if !strings.Contains(rec.Why.Summary, "the cpuset was shrunk from nodes "+out.Mems[0]+" to "+out.Mems[1]) {
		t.Errorf("%s", rec.Why.Summary)
	}
}

// checkOutcome holds the records against what the scenario did.
func (s *liveRun) checkOutcome(t *testing.T, out *workload.Outcome, records []oom.Record) {
	t.Helper()
	if out.NoVictim {
		return
	}
	killed := map[int]bool{}
	for _, r := range records {
		killed[int(r.Victim.PID.Value)] = true
		if out.Limit != "" && (r.Limit == nil || !samePath(r.Limit.Cgroup, out.Limit)) {
			t.Errorf("limit %+v, want %q", r.Limit, out.Limit)
		}
		if out.Level != "" && (r.Limit == nil || r.Limit.Level != oom.Level(out.Level)) {
			t.Errorf("limit %+v, want level %s", r.Limit, out.Level)
		}
		if out.Cgroup != "" && !samePath(r.Victim.Cgroup, out.Cgroup) {
			t.Errorf("victim's cgroup %q, want %q", r.Victim.Cgroup, out.Cgroup)
		}
		s.checkMems(t, out, &r)
	}
	for _, pid := range out.Victims {
		if !killed[pid] {
			t.Errorf("no record of %d", pid)
		}
	}
	for _, pid := range out.Survivors {
		if killed[pid] {
			t.Errorf("a record of %d, which lives on", pid)
		}
	}
}
