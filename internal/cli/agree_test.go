//go:build vmguest

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// logRecords parses the kernel's own lines since the last call.
func logRecords(t *testing.T, lines []string) []oom.Record {
	t.Helper()
	r := kernlog.NewReader(strings.NewReader(strings.Join(lines, "\n")+"\n"), kernlog.Options{})
	var out []oom.Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			if st := r.Stats(); st.Unplaced > 0 {
				t.Errorf("%d lines of the kernel's log not understood", st.Unplaced)
			}
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, *rec)
	}
}

// agree holds a live record against the one from the kernel's report of the
// same kill, field by field, wherever both have the field.
func agree(t *testing.T, live, log oom.Record) {
	t.Helper()
	a, b := flatten(t, live), flatten(t, log)
	for path, want := range b {
		got, ok := a[path]
		if !ok || got == want || ownWords(path) {
			continue
		}
		if text, ok := got.(string); ok && strings.HasSuffix(path, "cgroup") && samePath(text, want.(string)) {
			continue
		}
		x, isNumber := got.(float64)
		y, _ := want.(float64)
		if isNumber && math.Abs(x-y) <= between(path, max(x, y)) {
			continue
		}
		if path == "candidates_bytes" && math.Abs(x-y) <= float64(log.CandidatesTotal.Value)*between("rss_bytes", 0)+x/20 {
			continue // as much for each task as its own rss may differ by, and what came or went in between
		}
		t.Errorf("%s: live %v, log %v", path, got, want)
	}
}

// flatten gives the leaves of a record's JSON by their paths. Candidates are
// keyed by pid, zones by name.
func flatten(t *testing.T, rec oom.Record) map[string]any {
	t.Helper()
	candidates, zones := rec.Candidates, []oom.Zone(nil)
	if rec.Memory != nil {
		m := *rec.Memory
		zones, m.Zones = m.Zones, nil
		rec.Memory = &m
	}
	rec.Candidates = nil
	if rec.Trigger != nil {
		tr := *rec.Trigger
		tr.GFPFlags = slices.Sorted(slices.Values(tr.GFPFlags)) // their order is each kernel's own
		rec.Trigger = &tr
	}
	out := map[string]any{}
	leaves(t, "", rec, out)
	for _, c := range candidates {
		leaves(t, fmt.Sprintf("candidates.%d", c.PID.Value), c, out)
	}
	for _, z := range zones {
		leaves(t, fmt.Sprintf("zones.%d.%s", z.Node.Value, z.Zone), z, out)
	}
	return out
}

func leaves(t *testing.T, prefix string, v any, out map[string]any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		t.Fatal(err)
	}
	walk(prefix, tree, out)
}

func walk(path string, v any, out map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			walk(strings.TrimPrefix(path+"."+k, "."), e, out)
		}
	case []any:
		for i, e := range v {
			walk(fmt.Sprintf("%s.%d", path, i), e, out)
		}
	default:
		out[path] = v
	}
}

// ownWords are the fields in which each source speaks of itself.
func ownWords(path string) bool {
	for _, own := range []string{"id", "time", "uptime_ns", "source", "hooks", "incident", "why", "sampled", "node", "exit", "trigger.kernel_stack"} {
		if path == own || strings.HasPrefix(path, own+".") {
			return true
		}
	}
	return false
}

// between is by how much a number may differ: the live one is read at the mark,
// the log's is printed just before (the report) or just after (the kill line).
func between(path string, v float64) float64 {
	const page = 4096
	cpus := float64(runtime.NumCPU())
	switch {
	case strings.HasSuffix(path, "rss_bytes"), strings.HasPrefix(path, "victim.swap_"),
		strings.HasPrefix(path, "candidates.") && strings.HasSuffix(path, "swap_bytes"):
		// From 6.2 to 6.18 the log leaves out what the CPUs hold, a batch each
		// for every one of the three counters (lib/percpu_counter.c); up to 6.1
		// a task folds up to 64 pages in as it exits (mm/memory.c).
		return max(3*max(32, 2*cpus)*cpus, 64) * page
	case path == "limit.usage_bytes" || path == "limit.kmem_usage_bytes":
		// Each CPU may give back the batch it holds (MEMCG_CHARGE_BATCH), and
		// have one on trial: page_counter_try_charge adds before it compares.
		return 2 * 64 * cpus * page
	case strings.HasPrefix(path, "limit.stat."), strings.HasPrefix(path, "memory."), strings.HasPrefix(path, "zones."):
		// Other tasks go on while the report is printed, on a slow console, and
		// each CPU holds back up to 125 pages of each counter (mm/vmstat.c).
		return max(v/20, 4<<20)
	case path == "limit.failures":
		return math.Inf(1) // all that share the limit go on trying
	case path == "candidates_total":
		return max(v/50, 1) // some may exit in between
	}
	return 0
}
