package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// flood opens connections one after the other, and keeps the last few, until the
// function returned is called.
func flood(t *testing.T, address, send string) (stop func()) {
	t.Helper()
	const attackers, kept = 4, 100
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range attackers {
		all.Go(func() {
			var conns []net.Conn
			for ctx.Err() == nil {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
				if err != nil {
					continue // the machine has no more to give
				}
				_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = io.WriteString(conn, send)
				if conns = append(conns, conn); len(conns) > kept {
					_ = conns[0].Close()
					conns = conns[1:]
				}
			}
			for _, conn := range conns {
				_ = conn.Close()
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// TestProbeInFlood: a probe's connection is not closed in favour of those that come
// after it.
func TestProbeInFlood(t *testing.T) {
	for name, send := range map[string]string{
		"idle":           "",
		"half a request": "GET /healthz HT",
		"probes":         "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"scrapes":        "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			m := New(Options{})
			all, err := Serve("127.0.0.1:0", m)
			if err != nil {
				t.Fatal(err)
			}
			health, err := ServeHealth("127.0.0.1:0", m)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*Server{all, health} {
				stop := flood(t, s.Address(), send)
				for range 8 {
					if text, err := ask(t, s, healthPath); err != nil || text != "ok\n" {
						t.Errorf("%q, %v", text, err)
					}
				}
				stop()
			}
			if err := errors.Join(all.Close(), health.Close()); err != nil {
				t.Error(err)
			}
			for _, s := range []*Server{all, health} {
				if n := len(s.door.waiting); n > maxWaiting || s.http != nil && len(s.door.crowd.open) > maxConnections {
					t.Errorf("%d wait", n)
				}
			}
		})
	}
}

// ask waits longer than a probe would: how fast a loaded machine is says nothing.
func ask(t *testing.T, s *Server, path string) (text string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
