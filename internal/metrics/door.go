package metrics

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// maxWaiting bounds the connections that have not sent a whole request yet. The
	// oldest makes room: one that connects and sends nothing keeps no other out.
	maxWaiting = 64
	// maxHead is how much of a request is looked at.
	maxHead = 4 << 10
	// headTime is how long a client may take to send a request.
	headTime = 2 * time.Second
)

// door takes connections in. A probe's request is answered here, as soon as it is there:
// nothing that others do, or leave undone, stands before it but connections that came
// earlier, and these are looked at once each. All other requests go to the crowd.
type door struct {
	net.Listener
	probe func(path string) (status int, text string)
	crowd *crowd // nil: there is nothing but the probe

	gathering sync.WaitGroup // of connections that wait

	mu      sync.Mutex
	closed  bool
	waiting []net.Conn // oldest first
}

// openDoor has the kernel keep a connection back until there is something to read:
// those that only connect never arrive (TCP_DEFER_ACCEPT, tcp(7)). Where that cannot be
// had, or for a client that is slow, there is the list of those that wait.
func openDoor(l net.Listener, probe func(string) (int, string), c *crowd) *door {
	if s, ok := l.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, int(headTime/time.Second))
			})
		}
	}
	return &door{Listener: l, probe: probe, crowd: c}
}

// run takes connections until the listener is closed.
func (d *door) run() error {
	const pause = 10 * time.Millisecond
	buf := make([]byte, maxHead)
	for {
		conn, err := d.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // no descriptor, no memory, or the client is gone
			time.Sleep(pause)
			continue
		}
		switch n := available(conn, buf); {
		case n < 0:
			_ = conn.Close()
		case isWhole(buf[:n]):
			d.serve(conn, buf[:n])
		default:
			d.wait(conn, buf[:n])
		}
		runtime.Gosched() // a kill is not kept waiting by a flood
	}
}

// available reads what has come, without waiting: 0 if nothing has, less at the end.
func available(conn net.Conn, buf []byte) int {
	s, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return -1
	}
	n := 0
	readErr := raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), buf)
		return true
	})
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0
	case readErr != nil || err != nil || n == 0:
		return -1
	}
	return n
}

// isWhole says whether a request's head is there, or more than is looked at.
func isWhole(head []byte) bool {
	return len(head) == maxHead || bytes.Contains(head, []byte("\r\n\r\n")) || bytes.Contains(head, []byte("\n\n"))
}

// wait keeps a connection until its request is there.
func (d *door) wait(conn net.Conn, head []byte) {
	var last net.Conn
	d.mu.Lock()
	if len(d.waiting) >= maxWaiting {
		last, d.waiting = d.waiting[0], slices.Delete(d.waiting, 0, 1)
	}
	d.waiting = append(d.waiting, conn)
	closed := d.closed
	d.mu.Unlock()
	if last != nil {
		_ = last.Close()
	}
	if closed {
		_ = conn.Close()
	}
	head = slices.Clone(head)
	d.gathering.Go(func() { d.gather(conn, head) })
}

// gather reads a request bit by bit, and serves it once it is whole.
func (d *door) gather(conn net.Conn, head []byte) {
	const step = 512
	err := conn.SetReadDeadline(time.Now().Add(headTime))
	for err == nil && !isWhole(head) {
		head = slices.Grow(head, min(step, maxHead-len(head)))
		n := 0
		n, err = conn.Read(head[len(head):min(cap(head), maxHead)])
		head = head[:len(head)+n]
	}
	d.mu.Lock()
	d.waiting = slices.DeleteFunc(d.waiting, func(other net.Conn) bool { return other == conn })
	d.mu.Unlock()
	if !isWhole(head) {
		_ = conn.Close()
		return
	}
	d.serve(conn, head)
}

// serve answers a probe, and gives the crowd what is none.
func (d *door) serve(conn net.Conn, head []byte) {
	method, path := requested(head)
	switch {
	case isProbe(path) && (method == http.MethodGet || method == http.MethodHead):
		status, text := d.probe(path)
		reply(conn, method, status, text)
	case d.crowd == nil && isProbe(path):
		reply(conn, method, http.StatusMethodNotAllowed, "GET only")
	case d.crowd == nil:
		reply(conn, method, http.StatusNotFound, "only "+healthPath+" and "+livePath+" are here")
	default:
		_ = conn.SetReadDeadline(time.Time{}) // http.Server has its own
		d.crowd.join(conn, head)
	}
}

// requested returns what the first line of a request asks for (RFC 9112, 3).
func requested(head []byte) (method, path string) {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	method, target, _ := strings.Cut(string(line), " ")
	target, _, _ = strings.Cut(target, " ")
	path, _, _ = strings.Cut(target, "?")
	return method, strings.TrimSuffix(path, "\r")
}

// reply writes an answer and ends the connection. It fits into the socket's buffer.
func reply(conn net.Conn, method string, status int, text string) {
	text += "\n"
	r := http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Close: true, ContentLength: int64(len(text)),
		Header:  http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
		Body:    io.NopCloser(strings.NewReader(text)),
		Request: &http.Request{Method: method},
	}
	_ = conn.SetWriteDeadline(time.Now().Add(headTime))
	_ = r.Write(conn) // the client may have gone
	_ = conn.Close()
}

// Close ends the door and the connections that wait.
func (d *door) Close() error {
	err := d.Listener.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, conn := range d.waiting {
		_ = conn.Close()
	}
	return err
}
