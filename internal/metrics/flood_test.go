package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
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
			all, health := serveBoth(t)
			for _, s := range []*Server{all, health} {
				stop := flood(t, s.Address(), send)
				for range 8 {
					if text, err := ask(t, s, healthPath); err != nil || text != "ok\n" {
						t.Errorf("%q, %v", text, err)
					}
				}
				stop()
			}
			closeBoth(t, all, health)
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

// TestCrowdSparesTheNew: a connection whose request is there is no idle one, though the
// server has not begun with it: another that has its answer makes room.
func TestCrowdSparesTheNew(t *testing.T) {
	c := newCrowd(nil, 2)
	conns := map[string]*member{}
	join := func(name string) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = theirs.Close() })
		go c.join(ours, nil)
		conn, err := c.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns[name] = conn.(*member)
		c.state(conn, http.StateNew)
	}
	join("new")
	join("answered")
	c.state(conns["answered"], http.StateIdle)
	join("next")
	for name, open := range map[string]bool{"new": true, "answered": false, "next": true} {
		if slices.Contains(c.open, conns[name]) != open {
			t.Errorf("%s: open %v", name, !open)
		}
	}
}
