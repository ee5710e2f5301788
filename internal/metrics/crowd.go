package metrics

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// crowd is what http.Server listens on: connections whose first request is there. It
// holds few. When there are too many, the oldest that has its answer and waits for
// another request is closed; if all are at work, the oldest of these, which its client
// does not read.
type crowd struct {
	address net.Addr
	most    int
	come    chan *member
	closed  chan struct{}
	once    sync.Once

	mu   sync.Mutex
	open []*member // oldest first
}

// member is a connection of a crowd.
type member struct {
	net.Conn
	crowd  *crowd
	active bool   // in a request
	head   []byte // of the request, as far as it was read and not yet given to the server
}

func newCrowd(address net.Addr, most int) *crowd {
	return &crowd{address: address, most: most, come: make(chan *member), closed: make(chan struct{})}
}

// join gives the server a connection of which head was read.
func (c *crowd) join(conn net.Conn, head []byte) {
	m := &member{Conn: conn, crowd: c, active: true, head: slices.Clone(head)}
	c.mu.Lock()
	var last *member
	if len(c.open) >= c.most {
		last = c.open[max(0, slices.IndexFunc(c.open, func(m *member) bool { return !m.active }))]
		c.remove(last)
	}
	c.open = append(c.open, m)
	c.mu.Unlock()
	if last != nil {
		_ = last.Conn.Close() // its client sees the end
	}
	select {
	case c.come <- m:
	case <-c.closed:
		_ = m.Close()
	}
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	select {
	case m := <-c.come:
		return m, nil
	case <-c.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (c *crowd) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// Addr implements net.Listener.
func (c *crowd) Addr() net.Addr { return c.address }

// state follows what http.Server reports of a connection.
func (c *crowd) state(conn net.Conn, state http.ConnState) {
	if m, ok := conn.(*member); ok {
		c.mu.Lock()
		m.active = state == http.StateNew || state == http.StateActive
		c.mu.Unlock()
	}
}

func (c *crowd) remove(m *member) {
	c.open = slices.DeleteFunc(c.open, func(other *member) bool { return other == m })
}

// Read implements net.Conn.
func (m *member) Read(b []byte) (int, error) {
	if len(m.head) > 0 {
		n := copy(b, m.head)
		m.head = m.head[n:]
		return n, nil
	}
	return m.Conn.Read(b)
}

// Close implements net.Conn.
func (m *member) Close() error {
	m.crowd.mu.Lock()
	m.crowd.remove(m)
	m.crowd.mu.Unlock()
	return m.Conn.Close()
}
