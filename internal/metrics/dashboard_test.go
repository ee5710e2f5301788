package metrics

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/metrics/promtest"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestDashboardHasData runs each query of the dashboard against a real Prometheus, where
// one is installed, that has scraped a machine with a bit of everything.
func TestDashboardHasData(t *testing.T) {
	if _, err := exec.LookPath(promtest.Binary); err != nil {
		t.Log("no prometheus here")
		return
	}
	text, err := os.ReadFile("../../deploy/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	m := New(Options{Version: "v1", Stats: func() (Stats, error) {
		return Stats{
			Lost: 3, Hooks: []Hook{{Name: "mark_victim", Kind: "tp_btf"}}, Near: []Near{{Cgroup: "/shop", Seconds: 90}},
		}, nil
	}})
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	prometheus := promtest.Start(t, server.Listener.Addr().String())
	prometheus.Wait(t, "up", "1")
	killed := kill(oom.ScopeCgroup, 1<<30, pod("shop", "cart-0", "app"))
	killed.Time = time.Now()
	killed.Holders = []oom.Holder{{Owner: pod("shop", "cache-0", "app")}}
	m.Observe(killed)
	m.Observe(kill(oom.ScopeSystem, 1<<30, oom.Owner{Unit: "ci.service"}))
	m.Observe(&oom.Record{Kind: oom.KindSigkill, Cause: oom.CauseUser, Victim: &oom.Victim{Comm: "a"}, Sender: &oom.Sender{Comm: "earlyoom", Program: "earlyoom", Role: oom.RoleMemoryManager}})
	variables := strings.NewReplacer("$__range", "1h", "$__rate_interval", "1m", "$instance", ".*", "$namespace", ".*", `job="oomtrace"`, `job=~".+"`)
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			t.Run(p.Title, func(t *testing.T) {
				query := variables.Replace(target.Expr)
				deadline := time.Now().Add(20 * time.Second)
				for len(prometheus.Query(query)) == 0 {
					if time.Now().After(deadline) {
						t.Fatalf("no data: %s", query)
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
	}
}
