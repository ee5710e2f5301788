//go:build vmguest

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/witness"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// liveRun is oomtrace as a user runs it, with JSON in a pipe.
type liveRun struct {
	t      *testing.T
	log    *witness.Log
	cmd    *exec.Cmd
	read   chan struct{}
	stderr bytes.Buffer
	schema *jsonschema.Schema

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
	s := &liveRun{t: t, log: log, read: make(chan struct{}), schema: recordSchema(t)}
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
	for range 1000 {
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

func (s *liveRun) forget() {
	if _, err := s.log.Read(); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.records = nil
	s.mu.Unlock()
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
// an earlier one left may still be dying.
func (s *liveRun) wait(t *testing.T, n int, kind oom.Kind, out *workload.Outcome) []oom.Record {
	t.Helper()
	for range 500 {
		got := slices.DeleteFunc(s.of(kind), func(r oom.Record) bool {
			if len(out.Victims) > 0 {
				return !slices.Contains(out.Victims, int(r.Victim.PID.Value))
			}
			return out.Limit != "" && (r.Limit == nil || !samePath(r.Limit.Cgroup, out.Limit))
		})
		if len(got) >= n {
			return got
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%d records of kind %s, %d expected", len(s.of(kind)), kind, n)
	return nil
}

// verdict is what a scenario's explanation must be, what must be among its
// reasons, and what must not.
type verdict struct {
	is        string
	also, not []string
	// armToo is what an arm64 guest may give instead. Its zram takes so much of
	// the little memory that the kernel runs out of it before swap is full, and
	// with hardly any page cache left it swaps at swappiness 0 too
	// (mm/vmscan.c, get_scan_count).
	armToo []string
}

func verdicts() map[string]verdict {
	anon := func(also string, not ...string) verdict {
		return verdict{is: "limit_anon", also: []string{also}, not: not}
	}
	kubelet := []string{"kubelet_no_swap", "kubelet_qos_no_swap", "kubelet_request_no_swap", "kubelet_limited_swap", "kubelet_unsure"}
	// pod: of kubelet's rules, this one alone.
	pod := func(code string) verdict {
		v := anon(code, "swap_none", "swap_mlocked", "limit_ancestor")
		for _, k := range kubelet {
			if k != code {
				v.not = append(v.not, k)
			}
		}
		return v
	}
	kernel := verdict{is: "limit_kernel", not: []string{"limit_anon", "limit_file"}}
	return map[string]verdict{
		"cgroup-anon":           anon("swap_none", "swap_forbidden", "limit_ancestor", "victim_adj"),
		"cgroup-swap":           anon("swap_mlocked", "swap_none", "swap_forbidden", "swap_cgroup_full"),
		"cgroup-swap-forbidden": anon("swap_forbidden", slices.Concat(kubelet, []string{"swap_none", "swap_mlocked", "swap_cgroup_full"})...),
		"cgroup-swap-full":      anon("swap_cgroup_full", "swap_none", "swap_forbidden", "swap_mlocked"),
		"cgroup-file":           {is: "limit_file", not: []string{"limit_shmem", "limit_dirty"}},
		"cgroup-dirty":          {is: "limit_file", not: []string{"limit_shmem"}},
		"cgroup-stalled":        {is: "limit_dirty", not: []string{"limit_file", "limit_shmem", "limit_anon"}},
		"cgroup-exiting":        {is: "already_exiting"},
		"cgroup-written":        anon("swap_none", "limit_dirty", "limit_file"),
		"cgroup-shmem":          {is: "limit_shmem", not: []string{"limit_file"}},
		"cgroup-tmpfs":          {is: "limit_shmem", not: []string{"limit_file"}},
		"cgroup-kernel":         kernel,
		"cgroup-sockets":        kernel,
		"cgroup-pgtables":       kernel,
		"cgroup-slab":           kernel,
		"cgroup-group":          anon("victim_oom_group", "limit_ancestor"),
		"cgroup-ancestor":       anon("limit_ancestor", "victim_oom_group"),
		"cgroup-nested-removed": anon("limit_ancestor"),
		"cgroup-threads":        anon("swap_none"),
		"cgroup-uid":            anon("swap_none", "victim_adj"),
		"cgroup-adj-negative":   anon("swap_none", "victim_adj"),
		"cgroup-adj-positive":   anon("swap_none", "victim_adj"),
		"cgroup-deep":           anon("limit_ancestor"),
		"cgroup-hostile-name":   anon("swap_none"),
		"cgroup-forkbomb":       {is: "many_small_tasks", not: []string{"limit_kernel"}},
		"cgroup-shared-mm":      anon("swap_none", "many_small_tasks"),

		"pod-burstable":         pod("kubelet_unsure"),
		"pod-besteffort":        pod("kubelet_qos_no_swap"),
		"pod-guaranteed":        pod("kubelet_qos_no_swap"),
		"pod-noswap":            pod("kubelet_no_swap"),
		"pod-request-is-limit":  pod("kubelet_request_no_swap"),
		"pod-critical":          pod("kubelet_unsure"),
		"pod-limitedswap":       pod("kubelet_limited_swap"),
		"pod-swap-allowed":      anon("swap_mlocked", append(kubelet, "swap_forbidden")...),
		"podman-swap-forbidden": anon("swap_forbidden", kubelet...),

		"cgroup-adj-protects-biggest": anon("victim_adj"),
		"no-victim":                   {is: "no_victim", not: []string{"victim_adj"}},
		"system-noswap":               {is: "swap_none", not: []string{"swap_idle", "memory_kernel", "victim_allocating_task"}},
		"swap-idle":                   {is: "swap_swappiness_zero", also: []string{"swap_idle"}, not: []string{"swap_mlocked", "swap_full"}, armToo: []string{"swap_full", "swap_unexplained"}},
		"swap-mlocked":                {is: "swap_mlocked", also: []string{"swap_idle"}, not: []string{"swap_swappiness_zero", "swap_full"}},
		"swap-full":                   {is: "swap_full", not: []string{"swap_idle", "swap_mlocked", "swap_swappiness_zero"}, armToo: []string{"swap_unexplained"}},
		"system-hugepages":            {is: "memory_hugepages", not: []string{"memory_missing"}},
		"system-kernel":               {is: "memory_missing", not: []string{"memory_hugepages"}},
		"alloc-task":                  {is: "swap_none", also: []string{"victim_allocating_task"}, not: []string{"victim_adj"}},
		"sysrq-f":                     {is: "sysrq", not: []string{"swap_none"}},
		"system-slab":                 {is: "memory_kernel", not: []string{"memory_fragmented", "memory_hugepages"}},
		"system-fragmented":           {is: "memory_fragmented", not: []string{"memory_free_low", "node_zone"}},
		"zone-kernel":                 {is: "node_zone", not: []string{"memory_free_low", "memory_fragmented", "node_cpuset", "node_mempolicy"}},
		"zone-anon":                   {is: "swap_none", not: []string{"node_zone"}},
		"system-mempolicy":            {is: "node_mempolicy", not: []string{"node_cpuset"}},
		"system-cpuset":               {is: "node_cpuset", not: []string{"node_mempolicy"}},
	}
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
		if sc.Needs.Apart() != needs {
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

func protectInit(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/1/oom_score_adj", []byte("-1000"), 0); err != nil {
		t.Fatal(err)
	}
}

func runScenario(t *testing.T, s *liveRun, sc workload.Scenario) {
	g := openGuest(t)
	// The kernel writes at most 10 reports in 5 s, and without its report a
	// cgroup's statistics are not brought up to date.
	time.Sleep(600 * time.Millisecond)
	s.forget()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
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
	want.check(t, records[0].Why)
	checkOutcome(t, out, records)
	checkEvidence(t, records[0])
	s.checkSilent(t, out, records)
	if out.Exiting {
		checkExiting(t, records) // the log has no line that names a kill
	} else {
		s.checkLog(t, records)
	}
	if t.Failed() {
		b, _ := json.Marshal(records[0])
		t.Logf("%s", b)
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

// checkLog holds the records against what the kernel's log says of the same kills.
func (s *liveRun) checkLog(t *testing.T, records []oom.Record) {
	t.Helper()
	lines, err := s.log.Read()
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logRecords(t, lines) {
		if log.Kind != oom.KindKill || log.Victim == nil {
			continue
		}
		for _, rec := range records {
			if rec.Victim.TID != log.Victim.TID {
				continue
			}
			if rec.Incident == records[0].Incident && rec.ID != records[0].ID {
				// The one report of an oom.group is about its first victim.
				rec.Limit, rec.Memory, rec.Candidates = nil, nil, nil
			}
			agree(t, rec, log)
		}
	}
}

func (v verdict) check(t *testing.T, w *oom.Why) {
	t.Helper()
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
	t.Logf("%s (unsure %v): %s", w.Verdict, w.Unsure.Value, w.Summary)
	if t.Failed() {
		for _, r := range w.Reasons {
			t.Logf("    %s: %s", r.Code, r.Text)
		}
	}
}

// samePath compares a path of a record, which is valid UTF-8 and may be cut at
// its outer end, with the real one.
func samePath(got, want string) bool {
	want = strings.ToValidUTF8(want, "\uFFFD")
	if end, ok := strings.CutPrefix(got, "…"); ok {
		return strings.HasSuffix(want, end)
	}
	return got == want
}

// checkOutcome holds the records against what the scenario did.
func checkOutcome(t *testing.T, out *workload.Outcome, records []oom.Record) {
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
		if out.Cgroup != "" && !samePath(r.Victim.Cgroup, out.Cgroup) {
			t.Errorf("victim's cgroup %q, want %q", r.Victim.Cgroup, out.Cgroup)
		}
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
