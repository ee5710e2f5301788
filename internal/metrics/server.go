package metrics

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// maxConnections bounds the clients of /metrics: the process stays small whoever
// connects.
const maxConnections = 16

// Server serves over HTTP until it is closed.
type Server struct {
	address string
	door    *door
	http    *http.Server // nil: the door answers all
	done    chan error
}

// Serve starts a server of /metrics and of probes at HOST:PORT, or Inherited. Without a
// host it is on loopback.
func Serve(address string, m *Metrics) (*Server, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	limited := newCrowd(l.Addr(), maxConnections)
	s := start(l, m, limited)
	s.http = &http.Server{
		Handler: paced(m.Handler(), time.Now), ConnState: limited.state, ReadHeaderTimeout: headTime, ReadTimeout: 5 * time.Second,
		WriteTimeout: 5 * time.Second, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	go func() { s.done <- s.http.Serve(limited) }()
	return s, nil
}

// ServeHealth starts a server of /healthz and /livez alone.
func ServeHealth(address string, m *Metrics) (*Server, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	return start(l, m, nil), nil
}

// paced lets through as many scrapes as any number of Prometheus servers make, and tells
// the rest to come later: a request runs at the priority of the whole process, and so
// takes a CPU from others.
func paced(next http.Handler, now func() time.Time) http.Handler {
	const (
		pace  = 50 * time.Millisecond
		burst = 40
	)
	var mu sync.Mutex
	var due time.Time // of all requests so far, at that pace
	admit := func() bool {
		mu.Lock()
		defer mu.Unlock()
		t := now()
		if due.Before(t) {
			due = t
		}
		if due.Sub(t) >= burst*pace {
			return false
		}
		due = due.Add(pace)
		return true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isProbe(r.URL.Path) && !admit() {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Connection", "close")
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func start(l net.Listener, m *Metrics, c *crowd) *Server {
	s := &Server{address: l.Addr().String(), door: openDoor(l, m.probe, c), done: make(chan error, 2)}
	go func() { s.done <- s.door.run() }()
	return s
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
	err := s.door.Close()
	ends := 1
	if s.http != nil {
		err = errors.Join(err, s.http.Close())
		ends++
	}
	for range ends {
		if serveErr := <-s.done; !errors.Is(serveErr, http.ErrServerClosed) && !errors.Is(serveErr, net.ErrClosed) {
			err = errors.Join(err, serveErr)
		}
	}
	s.door.gathering.Wait() // what they wait for is closed
	return err
}
