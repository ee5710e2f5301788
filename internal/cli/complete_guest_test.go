//go:build vmguest

package cli

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// TestGuestCompletion pins the hooks that see no decision: what only that knows
// comes from the kernel's report of the same kill, and the two agree.
func TestGuestCompletion(t *testing.T) {
	protectInit(t)
	s := startRun(t, "--attach", "tracepoint")
	t.Run("no-victim", func(t *testing.T) { s.aloneInLog(t, scenarioOf(t, "no-victim")) })
	// A guest that gets no processor may be too slow for the time that a kill
	// waits: then the record is as the hooks made it, and the next kill tells. A suite of some
	// scenarios finds both by their names.
	const tries = 8
	for range tries {
		completed := false
		t.Run("cgroup-anon", func(t *testing.T) { // whose end removes its cgroup
			rec := s.complete(t, scenarioOf(t, "cgroup-anon"))
			if completed = slices.Contains(rec.Hooks, "kmsg"); completed {
				checkCompleted(t, &rec)
			} else if len(rec.Candidates) > 0 { // a limit can be told by the victim's own cgroups
				t.Errorf("completed by %v", rec.Hooks)
			}
		})
		if completed {
			return
		}
	}
	t.Errorf("none of %d kills was completed", tries)
}

// aloneInLog: an OOM without a victim is in the log alone.
func (s *liveRun) aloneInLog(t *testing.T, sc workload.Scenario) {
	t.Helper()
	g := openGuest(t)
	s.pace(t)
	s.forget()
	ctx, cancel := context.WithTimeout(t.Context(), scenarioPatience)
	defer cancel()
	out, err := sc.Run(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	rec := s.wait(t, 1, oom.KindNoVictim, out)[0]
	if rec.Source != oom.SourceKmsg || rec.Why == nil || rec.Why.Verdict == "" || !slices.Equal(rec.Hooks, []string{"kmsg"}) {
		b, _ := json.Marshal(rec)
		t.Errorf("%s", b)
	}
}

// complete makes a kill and returns its record.
func (s *liveRun) complete(t *testing.T, sc workload.Scenario) oom.Record {
	t.Helper()
	g := openGuest(t)
	s.pace(t)
	s.forget()
	ctx, cancel := context.WithTimeout(t.Context(), scenarioPatience)
	defer cancel()
	out, err := sc.Run(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	records := s.wait(t, max(out.Kills, len(out.Victims)), oom.KindKill, out)
	s.checkLog(t, out, records)
	return records[0]
}

func checkCompleted(t *testing.T, rec *oom.Record) {
	t.Helper()
	if rec.Source != oom.SourceBPF || len(rec.Hooks) < 2 || rec.Scope != oom.ScopeCgroup || rec.Limit == nil || !rec.Limit.MaxBytes.Known ||
		len(rec.Candidates) == 0 || !rec.CandidatesBytes.Known || len(rec.Limit.Stat) == 0 || rec.Trigger == nil || !rec.Trigger.GFPMask.Known ||
		!rec.Trigger.Order.Known {
		b, _ := json.Marshal(rec)
		t.Errorf("%s", b)
	}
}
