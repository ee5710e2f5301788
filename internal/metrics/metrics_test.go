package metrics

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func get(t *testing.T, m *Metrics, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// kill makes a record of a killed process.
func kill(scope oom.Scope, rss uint64, owner oom.Owner) *oom.Record {
	return &oom.Record{
		Kind: oom.KindKill, Scope: scope, Time: time.Unix(1700000000, 500_000_000),
		Victim: &oom.Victim{RSSBytes: oom.Some(rss), Owner: owner},
	}
}

func pod(namespace, name, container string) oom.Owner {
	return oom.Owner{
		Unit:      "cri-containerd-0123456789abcdef.scope",
		Container: &oom.Container{ID: "0123456789abcdef"},
		Pod:       &oom.Pod{Namespace: namespace, Name: name, Container: container},
	}
}

// TestBiggestHolder: one for all victims of a decision, by the owner of what held most.
func TestBiggestHolder(t *testing.T) {
	m := New(Options{MaxSeries: 8})
	for n, incident := range []string{"a", "a", "b", "c", "d", "e"} {
		rec := kill(oom.ScopeSystem, 1, oom.Owner{Unit: "victim.service"})
		rec.Incident = incident
		rec.Holders = []oom.Holder{{Owner: pod("shop", "cache-"+strconv.Itoa(max(1, n)), "app")}, {Owner: oom.Owner{Unit: "small.service"}}}
		m.Observe(rec)
	}
	m.Observe(kill(oom.ScopeSystem, 1, oom.Owner{}))
	_, body := get(t, m, "/metrics")
	for _, line := range []string{
		`oomtrace_biggest_holder_total{container="app",namespace="shop",pod="cache-1",scope="system",unit=""} 1`,
		`oomtrace_biggest_holder_total{container="app",namespace="shop",pod="cache-2",scope="system",unit=""} 1`,
		`oomtrace_biggest_holder_total{container="other",namespace="other",pod="other",scope="system",unit="other"} 3`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no %s in\n%s", line, body)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := New(Options{Version: "v1.2.3", Stats: func() (Stats, error) {
		return Stats{Lost: 3, LostExit: 2, LostCgroup: 1, LostNoVictim: 6, LostLogLines: 8, Repeated: 7, Undecoded: 4, Drained: 5, Hooks: []Hook{
			{"oom_kill_process", "fentry"}, {"oom_kill_process", "kprobe"}, {"oom_evaluate_task", ""},
		}}, nil
	}})
	m.Observe(kill(oom.ScopeCgroup, 200<<20, pod("shop", "cart-7c9f", "app")))
	m.Observe(kill(oom.ScopeCgroup, 200<<20, pod("shop", "cart-7c9f", "app")))
	m.Observe(kill(oom.ScopeSystem, 2<<30, oom.Owner{Unit: "ci.service"}))
	m.Observe(kill(oom.ScopeSystem, 1, oom.Owner{Unit: "docker-1.scope", Container: &oom.Container{ID: "0123456789abcdef"}}))
	m.Observe(&oom.Record{Kind: oom.KindKill})
	m.Observe(&oom.Record{Kind: oom.KindExit, Scope: oom.ScopeSystem})
	m.Observe(&oom.Record{Kind: oom.KindLost})
	m.Observe(&oom.Record{Kind: oom.KindOOM, Scope: oom.ScopeSystem})
	m.Observe(&oom.Record{Kind: oom.KindPanic, Scope: oom.ScopeSystem})
	m.Observe(&oom.Record{Kind: "new", Scope: "new"})
	code, body := get(t, m, "/metrics")
	if code != http.StatusOK {
		t.Fatal(code, body)
	}
	for _, line := range []string{
		`oomtrace_kills_total{container="app",namespace="shop",pod="cart-7c9f",scope="cgroup",unit=""} 2`,
		`oomtrace_kills_total{container="",namespace="",pod="",scope="system",unit="ci.service"} 1`,
		`oomtrace_kills_total{container="0123456789ab",namespace="",pod="",scope="system",unit=""} 1`,
		`oomtrace_kills_total{container="",namespace="",pod="",scope="unknown",unit=""} 1`,
		`oomtrace_records_total{kind="kill",scope="cgroup"} 2`,
		`oomtrace_records_total{kind="exit",scope="system"} 1`,
		`oomtrace_records_total{kind="no_victim",scope="mempolicy"} 0`,
		`oomtrace_victim_rss_bytes_bucket{le="2.68435456e+08"} 3`,
		`oomtrace_victim_rss_bytes_count 4`,
		`oomtrace_last_kill_timestamp_seconds 1.7000000005e+09`,
		`oomtrace_lost_total{kind="kill"} 3`,
		`oomtrace_lost_total{kind="exit"} 2`,
		`oomtrace_lost_total{kind="cgroup"} 1`,
		`oomtrace_lost_total{kind="no_victim"} 6`,
		`oomtrace_lost_total{kind="log_lines"} 8`,
		`oomtrace_records_total{kind="lost",scope="unknown"} 1`,
		`oomtrace_records_total{kind="oom",scope="system"} 1`,
		`oomtrace_records_total{kind="panic",scope="system"} 1`,
		`oomtrace_no_victim_repeats_total 7`,
		`oomtrace_undecoded_total 4`,
		`oomtrace_drained_total 5`,
		`oomtrace_hook_info{hook="oom_kill_process",kind="fentry"} 1`,
		`oomtrace_hook_info{hook="oom_evaluate_task",kind="none"} 1`,
		`version="v1.2.3"} 1`,
		`process_open_fds `,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(body, `kind="new"`) {
		t.Error("a kind that is not counted")
	}
	if problems, err := testutil.GatherAndLint(m.registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func TestZeroOptions(t *testing.T) {
	m := New(Options{})
	code, body := get(t, m, "/metrics")
	if code != http.StatusOK || !strings.Contains(body, `version="unknown"`) || strings.Contains(body, "oomtrace_lost_total") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := get(t, m, "/"); code != http.StatusNotFound {
		t.Errorf("/: %d", code)
	}
}

func TestHealth(t *testing.T) {
	var state error
	alive := true
	m := New(Options{Healthy: func() error { return state }, Alive: func() bool { return alive }})
	if code, body := get(t, m, "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q", code, body)
	}
	state = errors.New("ring: stuck\n\x1b[2J")
	if code, body := get(t, m, "/healthz"); code != http.StatusServiceUnavailable || body != "ring: stuck\ufffd\ufffd[2J\n" {
		t.Errorf("%d %q", code, body)
	}
	// A restart would not help.
	if code, body := get(t, m, "/livez"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("alive: %d %q", code, body)
	}
	alive = false
	if code, body := get(t, m, "/livez"); code != http.StatusServiceUnavailable || body != "output is stuck\n" {
		t.Errorf("not alive: %d %q", code, body)
	}
}

func TestBoundedSeries(t *testing.T) {
	const limit, rounds = 8, 200
	m := New(Options{MaxSeries: limit})
	for i := range rounds {
		m.Observe(kill(oom.ScopeCgroup, 1, pod("shop", fmt.Sprint("cart-", i), "app")))
		m.Observe(kill(oom.ScopeSystem, 1, oom.Owner{Unit: fmt.Sprintf("run-%d.scope", i)}))
	}
	if n, most := testutil.CollectAndCount(m.kills.vec), limit+len(scopes()); n > most {
		t.Errorf("%d series, at most %d", n, most)
	}
	_, body := get(t, m, "/metrics")
	total := 0
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "oomtrace_kills_total{") {
			var n int
			if _, err := fmt.Sscan(line[strings.LastIndex(line, "} ")+2:], &n); err != nil {
				t.Fatal(line, err)
			}
			total += n
		}
	}
	if total != 2*rounds {
		t.Errorf("%d kills in all series, want %d", total, 2*rounds)
	}
	for _, line := range []string{
		`{container="app",namespace="shop",pod="cart-0",scope="cgroup",unit=""} 1`,
		`{container="other",namespace="shop",pod="other",scope="cgroup",unit="other"} 197`,
		`{container="other",namespace="other",pod="other",scope="system",unit="other"}`,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("no %s in\n%s", line, body)
		}
	}
}

// checkLine wants label values that are harmless and a line that is whole.
func checkBody(t *testing.T, body string) {
	t.Helper()
	if !utf8.ValidString(body) || strings.ContainsFunc(body, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
		t.Errorf("not clean: %q", body)
	}
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "oomtrace_") && !strings.HasPrefix(line, "process_") {
			t.Errorf("a line of its own: %q", line)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("shop", "cart", "app", "a.service")
	f.Add("\x1b[2J", "a\nb", "\xff\xfe", `"} 1`)
	f.Add(strings.Repeat("é", 300), strings.Repeat("\xff", 300), "\u202e", "\\")
	f.Fuzz(func(t *testing.T, namespace, name, container, unit string) {
		m := New(Options{Version: unit, Stats: func() (Stats, error) { return Stats{Hooks: []Hook{{name, container}, {namespace, unit}}}, nil }})
		m.Observe(kill(oom.ScopeCgroup, 1, pod(namespace, name, container)))
		m.Observe(kill(oom.Scope(name), 1, oom.Owner{Unit: unit}))
		m.Observe(kill(oom.ScopeSystem, 1, oom.Owner{Container: &oom.Container{ID: container}}))
		code, body := get(t, m, "/metrics")
		if code != http.StatusOK {
			t.Fatal(code, body)
		}
		checkBody(t, body)
		for _, s := range []string{namespace, name, container, unit} {
			if c := clean(s); len(c) > maxLabelBytes || clean(c) != c {
				t.Errorf("clean(%q) = %q", s, c)
			}
		}
	})
}

// TestStatsError: counters that cannot be read are not there; 0 would be a reset.
func TestStatsError(t *testing.T) {
	var failed error
	m := New(Options{Stats: func() (Stats, error) {
		return Stats{Lost: 3, Hooks: []Hook{{"mark_victim", "tp_btf"}}}, failed
	}})
	for _, failed = range []error{nil, errors.New("map is closed"), nil} {
		code, body := get(t, m, "/metrics")
		if code != http.StatusOK {
			t.Errorf("%v: %d", failed, code)
		}
		for _, name := range []string{"oomtrace_lost_total{", "oomtrace_undecoded_total ", "oomtrace_drained_total "} {
			if got, want := strings.Contains(body, name), failed == nil; got != want {
				t.Errorf("%v: %s %v", failed, name, got)
			}
		}
		if !strings.Contains(body, `oomtrace_hook_info{hook="mark_victim",kind="tp_btf"} 1`) {
			t.Errorf("%v: no oomtrace_hook_info", failed)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	m := New(Options{MaxSeries: 4, Stats: func() (Stats, error) { return Stats{}, nil }})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 50 {
				m.Observe(kill(oom.ScopeCgroup, 1, pod("a", fmt.Sprint(i, j), "c")))
				if j%10 == 0 {
					get(t, m, "/metrics")
				}
			}
		})
	}
	wg.Wait()
	if n := testutil.CollectAndCount(m.kills.vec); n > 4+len(scopes()) {
		t.Errorf("%d series", n)
	}
}
