//go:build vmguest

package cli

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// TestGuestCompletion pins the hooks that see no decision: what only that knows
// comes from the kernel's report of the same kill, and the two agree.
func TestGuestCompletion(t *testing.T) {
	protectInit(t)
	s := startRun(t, "--attach", "tracepoint")
	i := slices.IndexFunc(workload.Scenarios(), func(sc workload.Scenario) bool { return sc.Name == "cgroup-anon" })
	if i < 0 {
		t.Fatal("no scenario")
	}
	g := openGuest(t)
	s.forget()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := workload.Scenarios()[i].Run(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	records := s.wait(t, max(out.Kills, len(out.Victims)), oom.KindKill, out)
	checkOutcome(t, out, records)
	s.checkLog(t, records)
	rec := records[0]
	if rec.Source != oom.SourceBPF || !slices.Contains(rec.Hooks, "kmsg") || len(rec.Hooks) < 2 {
		t.Errorf("source %s, hooks %v", rec.Source, rec.Hooks)
	}
	if rec.Scope != oom.ScopeCgroup || rec.Limit == nil || !rec.Limit.MaxBytes.Known || len(rec.Candidates) == 0 || rec.Trigger == nil ||
		!rec.Trigger.GFPMask.Known || !rec.Trigger.Order.Known {
		t.Error("not completed")
	}
	if t.Failed() {
		b, _ := json.Marshal(rec)
		t.Logf("%s", b)
	}
}
