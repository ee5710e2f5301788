package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// probe asks as kubelet does: a connection of its own, a second to answer.
func probe(t *testing.T, s *Server, path string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// serveBoth serves metrics, and health alone.
func serveBoth(t *testing.T) (all, health *Server) {
	t.Helper()
	m := New(Options{})
	all, err := Serve("127.0.0.1:0", m)
	if err != nil {
		t.Fatal(err)
	}
	if health, err = ServeHealth("127.0.0.1:0", m); err != nil {
		t.Fatal(errors.Join(err, all.Close()))
	}
	return all, health
}

func closeBoth(t *testing.T, all, health *Server) {
	t.Helper()
	if err := errors.Join(all.Close(), health.Close()); err != nil {
		t.Error(err)
	}
}

// TestProbeUnderAttack: whatever connections are held, the probe is answered within a
// second, and what connections take is bounded.
func TestProbeUnderAttack(t *testing.T) {
	const attackers = 4 * maxConnections
	for name, send := range map[string]string{
		"idle":                "",
		"half a request":      "GET /metrics HT",
		"half a header":       "GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ",
		"kept alive":          "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"answers left unread": strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 500),
		"no HTTP":             "\x16\x03\x01",
	} {
		t.Run(name, func(t *testing.T) {
			all, health := serveBoth(t)
			defer closeBoth(t, all, health)
			for _, s := range []*Server{all, health} {
				for range attackers {
					conn, err := net.Dial("tcp", s.Address())
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = conn.Close() }()
					if err := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
						t.Fatal(err)
					}
					_, _ = io.WriteString(conn, send) // it may be closed already
				}
				for range 3 {
					if status, body := probe(t, s, "/healthz"); status != http.StatusOK || body != "ok\n" {
						t.Errorf("%d, %q", status, body)
					}
				}
			}
		})
	}
}

func TestCrowd(t *testing.T) {
	c := newCrowd(&net.TCPAddr{}, 2)
	defer func() { _ = c.Close() }()
	accept := func() net.Conn {
		conn, peer := net.Pipe()
		t.Cleanup(func() { _ = peer.Close() })
		go func() { _, _ = io.Copy(io.Discard, peer) }()
		go c.join(conn, []byte("GET"))
		got, err := c.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	isOpen := func(conn net.Conn) bool {
		_, err := conn.Write([]byte("x"))
		return err == nil
	}
	a, b := accept(), accept()
	head := make([]byte, 3)
	if _, err := io.ReadFull(a, head); err != nil || string(head) != "GET" {
		t.Errorf("what was read is there: %q, %v", head, err)
	}
	c.state(b, http.StateIdle)
	d := accept()
	if got := fmt.Sprint(isOpen(a), isOpen(b), isOpen(d)); got != "true false true" {
		t.Errorf("the idle one goes first: %s", got)
	}
	e := accept()
	if got := fmt.Sprint(isOpen(a), isOpen(d), isOpen(e)); got != "false true true" {
		t.Errorf("then the oldest: %s", got)
	}
	if err := errors.Join(d.Close(), e.Close()); err != nil || len(c.open) != 0 {
		t.Errorf("%d left, %v", len(c.open), err)
	}
}

// TestPaced: a flood of scrapes is told to come later, and one that comes later has its
// answer. The probe always has.
func TestPaced(t *testing.T) {
	now := time.Unix(1000, 0)
	h := paced(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func() time.Time { return now })
	ask := func(n int, path string) (answered int) {
		for range n {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			switch w.Code {
			case http.StatusOK:
				answered++
			case http.StatusTooManyRequests:
				if w.Header().Get("Retry-After") == "" {
					t.Error("not said when to come again")
				}
			default:
				t.Errorf("status %d", w.Code)
			}
		}
		return answered
	}
	if n := ask(1000, "/metrics"); n != 40 {
		t.Errorf("%d at once", n)
	}
	if n := ask(100, healthPath) + ask(100, livePath); n != 200 {
		t.Errorf("%d probes", n)
	}
	total := 0
	for range 100 {
		now = now.Add(100 * time.Millisecond)
		total += ask(50, "/metrics")
	}
	if total != 200 {
		t.Errorf("%d in 10 s", total)
	}
	now = now.Add(time.Hour)
	if n := ask(1000, "/metrics"); n != 40 {
		t.Errorf("%d after an hour", n)
	}
}

// TestHealthAlone: the probe's server has nothing else.
func TestHealthAlone(t *testing.T) {
	s, err := ServeHealth("127.0.0.1:0", New(Options{Healthy: func() error { return errors.New("stuck") }}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if status, body := probe(t, s, "/healthz"); status != http.StatusServiceUnavailable || body != "stuck\n" {
		t.Errorf("%d, %q", status, body)
	}
	if status, body := probe(t, s, "/livez"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("alive: %d, %q", status, body)
	}
	if status, _ := probe(t, s, "/metrics"); status != http.StatusNotFound {
		t.Errorf("metrics: %d", status)
	}
}

func TestNotInherited(t *testing.T) {
	if s, err := Serve(Inherited, New(Options{})); !errors.Is(err, ErrNotInherited) {
		t.Errorf("%v, %v", s, err)
	}
}
