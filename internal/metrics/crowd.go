package metrics

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// crowd is a listener that holds few connections. When there are too many, the
// oldest that waits for a request is closed; if all are at work, the oldest of
// these, which its client does not read.
type crowd struct {
	net.Listener
	most int

	mu   sync.Mutex
	open []*member // oldest first
}

// member is a connection of a crowd.
type member struct {
	net.Conn
	crowd  *crowd
	active bool // in a request
}

func newCrowd(l net.Listener, most int) *crowd { return &crowd{Listener: l, most: most} }

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	m := &member{Conn: conn, crowd: c}
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
	return m, nil
}

// state follows what http.Server reports of a connection.
func (c *crowd) state(conn net.Conn, state http.ConnState) {
	if m, ok := conn.(*member); ok {
		c.mu.Lock()
		m.active = state == http.StateActive
		c.mu.Unlock()
	}
}

func (c *crowd) remove(m *member) {
	c.open = slices.DeleteFunc(c.open, func(other *member) bool { return other == m })
}

// Close implements net.Conn.
func (m *member) Close() error {
	m.crowd.mu.Lock()
	m.crowd.remove(m)
	m.crowd.mu.Unlock()
	return m.Conn.Close()
}
