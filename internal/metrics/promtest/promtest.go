// Package promtest runs a real Prometheus for tests.
package promtest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Binary is Prometheus's name (Debian: package prometheus).
const Binary = "prometheus"

// patience is how long a value may take to appear.
const patience = time.Minute

// Server is a running Prometheus.
type Server struct{ api string }

// Series is one result of a query.
type Series struct {
	Labels map[string]string
	Value  string
}

// Start runs a Prometheus of its own until the test ends, with a free port on
// loopback and its data in a temporary directory. It scrapes target (host:port)
// every second.
func Start(t testing.TB, target string) *Server {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: oomtrace, static_configs: [{targets: ['%s']}]}]\n", target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	cmd := exec.Command(Binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	var log strings.Builder // read after the end only
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
	return &Server{api: "http://" + address + "/api/v1/query?query="}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Query asks once. Nothing is found as long as Prometheus is not up.
func (s *Server) Query(query string) []Series {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(s.api + url.QueryEscape(query))
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil
	}
	var all []Series
	for _, r := range answer.Data.Result {
		all = append(all, Series{r.Metric, fmt.Sprint(r.Value[1])})
	}
	return all
}

// Wait waits until a query finds a single series of that value, and returns it.
func (s *Server) Wait(t testing.TB, query, value string) Series {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got := s.Query(query)
		if len(got) == 1 && got[0].Value == value {
			return got[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, want %s", query, got, value)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
