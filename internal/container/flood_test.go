package container

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// frame is one of HTTP/2 (RFC 9113).
func frame(kind, flags byte, stream uint32, payload string) string {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return string(binary.BigEndian.AppendUint32(b, stream)) + payload
}

// TestFlood holds that an engine in a container cannot keep this process busy, with
// frames that no question asked for or with connections that end at once.
func TestFlood(t *testing.T) {
	const (
		window = time.Second
		most   = 15                 // connections in it
		each   = maxUnasked + 1<<19 // of a connection, with what waits in its socket
	)
	for name, flood := range map[string]string{
		"closes":         "",
		"pings":          frame(6, 0, 0, "12345678"),
		"settings":       frame(4, 0, 0, ""),
		"resets":         frame(3, 0, 1, "\x00\x00\x00\x08"),
		"data":           frame(0, 0, 1, strings.Repeat("x", 1000)),
		"unknown frames": frame(99, 0, 0, strings.Repeat("x", 1000)),
		"interim":        frame(1, 4, 1, "\x08\x03100"),
		"continuations":  frame(1, 0, 1, "\x88") + strings.Repeat(frame(9, 0, 1, "\x88"), 1000),
	} {
		t.Run(name, func(t *testing.T) {
			var taken, dials atomic.Int64
			root := shortDir(t)
			node := "/docker/" + id(1_000_000)
			dir := process(t, root, 100, node+"/init")
			write(t, fmt.Sprintf("%s/proc/%d/cgroup", root, os.Getpid()), "0::"+node+"\n")
			l := listen(t, dir+"/root"+containerd)
			defer func() { _ = l.Close() }()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					dials.Add(1)
					go drown(conn, flood, &taken)
				}
			}()
			for i := range 10 {
				tree(t, root, node+podPath(i, 100_000+i))
			}
			c := open(t, Options{Root: root, Timeout: 200 * time.Millisecond})
			c.Ready(t.Context())
			began, before := time.Now(), dials.Load()
			for i := 0; time.Since(began) < window; i++ {
				c.Seen(node + podPath(i, 200_000+i))
				time.Sleep(20 * time.Millisecond)
			}
			if got := dials.Load() - before; got > most && name != "data" { // which is an answer, if a bad one
				t.Errorf("%d connections", got)
			}
			if got := taken.Load(); got > dials.Load()*each {
				t.Errorf("%d bytes taken over %d connections", got, dials.Load())
			}
		})
	}
}

// drown writes the same again and again, after the settings that begin a connection.
func drown(conn net.Conn, flood string, taken *atomic.Int64) {
	defer func() { _ = conn.Close() }()
	if flood == "" {
		return
	}
	go func() { // the peer's frames are read
		b := make([]byte, 4096)
		for {
			if _, err := conn.Read(b); err != nil {
				return
			}
		}
	}()
	if _, err := conn.Write([]byte(frame(4, 0, 0, "") + frame(4, 1, 0, ""))); err != nil {
		return
	}
	time.Sleep(20 * time.Millisecond) // the question is there
	all := []byte(strings.Repeat(flood, 1+4000/len(flood)))
	for {
		n, err := conn.Write(all)
		taken.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// TestPace holds that an engine in a container is asked no more often than it may be,
// however many containers it makes.
func TestPace(t *testing.T) {
	root := shortDir(t)
	node := "/docker/" + id(1_000_000)
	dir := process(t, root, 100, node+"/init")
	write(t, fmt.Sprintf("%s/proc/%d/cgroup", root, os.Getpid()), "0::"+node+"\n")
	f := &fakeCRI{}
	for n := range 1000 {
		f.add(n, 100_000+n, "app")
	}
	f.serve(t, dir+"/root"+containerd)
	c := open(t, Options{Root: root})
	c.Ready(t.Context())
	began := time.Now()
	for n := range 1000 {
		c.Seen(node + podPath(n, 100_000+n))
	}
	eventually(t, "those that may be asked at once are", func() bool { return f.count("ContainerStatus") >= burst })
	time.Sleep(500 * time.Millisecond)
	if got, most := f.count("ContainerStatus"), burst+2+int(time.Since(began)/pace); got > most {
		t.Errorf("asked %d times, at most %d", got, most)
	}
}
