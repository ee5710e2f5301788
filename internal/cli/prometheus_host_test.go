//go:build hosttest

package cli

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/oomtrace/oomtrace/internal/metrics/promtest"
)

// TestHostPrometheus lets a real Prometheus (Debian's package) scrape oomtrace
// while it traces real kills on this machine.
func TestHostPrometheus(t *testing.T) {
	p := newTracee(t, "-o", "json", "--metrics", "127.0.0.1:0").startReady()
	address := regexp.MustCompile(`metrics on http://([^/]+)/metrics`).FindStringSubmatch(p.stderr.String())
	if address == nil {
		t.Fatalf("no address in %q", p.stderr.String())
	}
	prometheus := promtest.Start(t, address[1])
	prometheus.Wait(t, `up{job="oomtrace"}`, "1")
	prometheus.Wait(t, `oomtrace_build_info{version="v0.0.0-test",goversion=~"go1.+"}`, "1")
	hook := prometheus.Wait(t, `oomtrace_hook_info{hook="mark_victim"}`, "1")
	if kind := hook.Labels["kind"]; kind != "tp_btf" && kind != "raw_tp" && kind != "tracepoint" {
		t.Errorf("mark_victim is attached by %q", kind)
	}

	// Others may kill on this machine, too: these have units of their own.
	for _, unit := range []string{"oomtrace-%d.service", `oom\trace-%d.service`} {
		unit = fmt.Sprintf(unit, os.Getpid())
		for _, want := range []string{"1", "2"} {
			if err := overrunOnce(unit); err != nil {
				t.Fatal(err)
			}
			got := prometheus.Wait(t, fmt.Sprintf("oomtrace_kills_total{unit=%q}", unit), want)
			if scope := got.Labels["scope"]; scope != "cgroup" && scope != "unknown" { // some hooks do not tell
				t.Errorf("scope %q", scope)
			}
		}
	}
	// A name that no unit can have is nobody's.
	if err := overrunOnce("oom \"} 1\x1b[2J\\\xff.service"); err != nil {
		t.Fatal(err)
	}
	prometheus.Wait(t, `sum(oomtrace_kills_total{unit="",namespace="",container=""}) >= bool 1`, "1")
	if got := prometheus.Query(`oomtrace_kills_total{unit=~"oom .*"}`); got != nil {
		t.Errorf("%v", got)
	}
	prometheus.Wait(t, `oomtrace_victim_rss_bytes_count >= bool 5`, "1")
	prometheus.Wait(t, `oomtrace_lost_total{kind="kill"}`, "0")
	p.interrupt()
	if n := len(p.kills()); n < 5 {
		t.Errorf("%d kills in the output", n)
	}
}
