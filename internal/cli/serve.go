package cli

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/oomtrace/oomtrace/internal/metrics"
)

// metricsServer serves /metrics and /healthz.
type metricsServer struct {
	server http.Server
	done   chan error
}

// openMetrics starts the server, if one is asked for. A port alone is on
// loopback.
func (s *session) openMetrics() error {
	if s.traceFlags.metrics == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s.traceFlags.metrics)
	if err != nil {
		return usage("use HOST:PORT, such as 127.0.0.1:9497, or :PORT for loopback", "--metrics %q: %w", s.traceFlags.metrics, err)
	}
	if host == "" {
		host = "localhost"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return &failure{err: fmt.Errorf("metrics: %w", err), code: exitError, hint: "give --metrics an address that is free"}
	}
	s.p.metrics = metrics.New(metrics.Options{Version: versionOf(s.env), Stats: s.metricsStats, Healthy: s.healthy})
	m := &metricsServer{done: make(chan error, 1)}
	m.server = http.Server{
		Handler: s.p.metrics.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	go func() { m.done <- m.server.Serve(limitListener(l, maxConnections)) }()
	s.metrics = m
	say(s.env, "metrics on http://%s/metrics", l.Addr())
	return nil
}

func (m *metricsServer) close() error {
	err := m.server.Close()
	if serveErr := <-m.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

func (s *session) metricsStats() (metrics.Stats, error) {
	if s.tr == nil {
		return metrics.Stats{Hooks: []metrics.Hook{{Name: "kmsg", Kind: "kmsg"}}}, nil
	}
	st, err := s.tr.Stats()
	out := metrics.Stats{
		Lost: st.Lost, LostExit: st.LostExit, LostCgroup: st.LostCgroup, LostNoVictim: st.LostNoVictim, Repeated: st.Repeated, Undecoded: st.Undecoded, Drained: s.tr.Drained(),
	}
	for _, a := range s.tr.Attachments() {
		out.Hooks = append(out.Hooks, metrics.Hook{Name: a.Hook, Kind: a.Kind})
	}
	return out, err
}

// maxConnections bounds what clients can make this process hold: it shall stay
// small whoever connects.
const maxConnections = 16

// limitListener accepts no more than n connections at a time; those beyond wait
// in the kernel, of which the listener's backlog is the bound.
func limitListener(l net.Listener, n int) net.Listener {
	return &limitedListener{Listener: l, slots: make(chan struct{}, n), closed: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, release: func() { <-l.slots }}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
