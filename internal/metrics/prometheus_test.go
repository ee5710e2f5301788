package metrics

import (
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/metrics/promtest"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestScrapedByPrometheus lets a real Prometheus scrape hostile names, where
// one is installed. A real kill is scraped in the host tier.
func TestScrapedByPrometheus(t *testing.T) {
	if _, err := exec.LookPath(promtest.Binary); err != nil {
		t.Log("no prometheus here")
		return
	}
	m := New(Options{Version: "v1", Stats: func() (Stats, error) { return Stats{Lost: 3}, nil }})
	hostile := "a\n\"} 1\x1b[2J\xff\\"
	m.Observe(kill(oom.ScopeCgroup, 1<<30, pod("shop", hostile, "app")))
	m.Observe(kill(oom.ScopeCgroup, 1<<30, oom.Owner{Unit: hostile + strings.Repeat("x", 300) + ".service"}))
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	prometheus := promtest.Start(t, server.Listener.Addr().String())
	got := prometheus.Wait(t, `oomtrace_kills_total{namespace="shop",container="app"}`, "1")
	if want := "a\ufffd\"} 1\ufffd[2J\ufffd\\"; got.Labels["pod"] != want {
		t.Errorf("pod %q, want %q", got.Labels["pod"], want)
	}
	prometheus.Wait(t, `oomtrace_kills_total{unit=~".+"}`, "1")
	prometheus.Wait(t, `oomtrace_lost_total{kind="kill"}`, "3")
	prometheus.Wait(t, `oomtrace_build_info{version="v1"}`, "1")
	prometheus.Wait(t, `up`, "1")
}
