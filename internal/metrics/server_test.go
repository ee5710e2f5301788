package metrics

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestServe: one connection too many waits until another one is closed, and the
// end does not wait for any.
func TestServe(t *testing.T) {
	s, err := Serve("127.0.0.1:0", New(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	var held []net.Conn
	for range maxConnections {
		held = append(held, dial(t, s.Address()))
		if !answers(held[len(held)-1], 10*time.Second) {
			t.Fatal("no answer")
		}
	}
	late := dial(t, s.Address())
	if answers(late, 200*time.Millisecond) {
		t.Error("one too many is answered")
	}
	_ = held[0].Close()
	_ = late.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := late.Read(make([]byte, 1)); n != 1 {
		t.Errorf("not answered after all: %v", err)
	}
	if err := s.Close(); err != nil { // while all slots are taken
		t.Error(err)
	}
}

func TestServeAddress(t *testing.T) {
	for _, address := range []string{"", "9497", "localhost"} {
		if _, err := Serve(address, New(Options{})); !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %v", address, err)
		}
	}
	s, err := Serve(":0", New(Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if host, _, _ := net.SplitHostPort(s.Address()); !net.ParseIP(host).IsLoopback() {
		t.Errorf("a port alone is at %s", s.Address())
	}
	if _, err := Serve(s.Address(), New(Options{})); err == nil || errors.Is(err, ErrAddress) {
		t.Errorf("an address in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// answers asks for something and waits for the first byte of the answer.
func answers(c net.Conn, wait time.Duration) bool {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(wait))
	n, _ := c.Read(make([]byte, 1))
	return n == 1
}
