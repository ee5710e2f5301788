package metrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// maxConnections bounds what clients can make this process hold: it stays small
// whoever connects. A connection beyond takes the place of one that is idle or
// has sent no request yet: clients that only connect keep no other out.
const maxConnections = 16

// Server serves over HTTP until it is closed.
type Server struct {
	address string
	http    http.Server
	done    chan error
}

// Serve starts a server of /metrics and /healthz at HOST:PORT, or Inherited. Without a
// host it is on loopback.
func Serve(address string, m *Metrics) (*Server, error) { return serve(address, m.Handler()) }

// ServeHealth starts a server of /healthz alone, so that whoever asks for metrics
// does not keep the probe waiting.
func ServeHealth(address string, m *Metrics) (*Server, error) {
	return serve(address, m.healthHandler())
}

func serve(address string, handler http.Handler) (*Server, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	limited := newCrowd(l, maxConnections)
	s := &Server{address: l.Addr().String(), done: make(chan error, 1)}
	s.http = http.Server{
		Handler: handler, ConnState: limited.state, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second,
		WriteTimeout: 5 * time.Second, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	go func() { s.done <- s.http.Serve(limited) }()
	return s, nil
}

// Inherited is the address of the socket that systemd opened and passed on
// (systemd.socket(5)): a service needs no network of its own for it.
const Inherited = "systemd"

// ErrNotInherited is the error for Inherited without a socket.
var ErrNotInherited = errors.New("systemd passed no socket")

func listen(address string) (net.Listener, error) {
	if address == Inherited {
		all, err := activation.Listeners()
		if err == nil && (len(all) != 1 || all[0] == nil) {
			err = ErrNotInherited
		}
		if err != nil {
			return nil, err
		}
		return all[0], nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	if host == "" {
		host = "localhost"
	}
	return net.Listen("tcp", net.JoinHostPort(host, port))
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
