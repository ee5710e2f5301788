package metrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// maxConnections bounds what clients can make this process hold: it stays small
// whoever connects. Those beyond wait in the kernel, bounded by the listener's
// backlog.
const maxConnections = 16

// Server serves a Metrics over HTTP until it is closed.
type Server struct {
	address string
	http    http.Server
	done    chan error
}

// Serve starts a server at HOST:PORT. Without a host it is on loopback.
func Serve(address string, m *Metrics) (*Server, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	if host == "" {
		host = "localhost"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	s := &Server{address: l.Addr().String(), done: make(chan error, 1)}
	s.http = http.Server{
		Handler: m.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	go func() { s.done <- s.http.Serve(netutil.LimitListener(l, maxConnections)) }()
	return s, nil
}

// ErrAddress is the error for an address that is not HOST:PORT.
var ErrAddress = errors.New("not an address")

// Address is where it listens, as HOST:PORT.
func (s *Server) Address() string { return s.address }

// Close ends it, and waits until it has ended.
func (s *Server) Close() error {
	err := s.http.Close()
	if serveErr := <-s.done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
