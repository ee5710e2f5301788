package metrics

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestScrapedByPrometheus lets a real Prometheus scrape hostile names, where
// one is installed (Debian: package prometheus).
func TestScrapedByPrometheus(t *testing.T) {
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Log("no prometheus here")
		return
	}
	m := New(Options{Version: "v1", Stats: func() Stats { return Stats{Lost: 3} }})
	m.Observe(kill(oom.ScopeCgroup, 1<<30, pod("shop", "a\n\"} 1\x1b[2J\xff\\", "app")))
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	api := startPrometheus(t, binary, server.Listener.Addr().String())
	for query, want := range map[string]string{
		`oomtrace_kills_total{namespace="shop",container="app"}`: "1",
		`oomtrace_lost_total{kind="kill"}`:                       "3",
		`up`:                                                     "1",
	} {
		deadline := time.Now().Add(30 * time.Second)
		got := ""
		for got != want && time.Now().Before(deadline) {
			time.Sleep(100 * time.Millisecond)
			got = ask(api, query)
		}
		if got != want {
			t.Errorf("%s: %q, want %s", query, got, want)
		}
	}
}

// startPrometheus returns the address of its API.
func startPrometheus(t *testing.T, binary, target string) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 500ms}\nscrape_configs: [{job_name: oomtrace, static_configs: [{targets: ['%s']}]}]\n", target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+address)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return "http://" + address
}

// ask returns the value of the single series that a query finds, or "".
func ask(api, query string) string {
	resp, err := http.Get(api + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return "" // not up yet
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Data.Result) != 1 {
		return ""
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}
