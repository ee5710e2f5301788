package enrich

import (
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oomtrace/oomtrace/internal/container"
)

// TestStopped holds that a runtime that is stopped keeps neither of two kills
// that come 10 ms apart: the second ends the wait of the first, and once a wait
// has come to its end no record waits for that runtime.
func TestStopped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path) // connections are made, and no process answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c := container.Open(t.Context(), container.Options{Root: t.TempDir(), Sockets: []string{path}, Timeout: time.Hour})
	t.Cleanup(func() { _ = c.Close() })
	for len(c.Sources()) == 0 {
		time.Sleep(time.Millisecond)
	}
	var second atomic.Bool
	const wait = time.Minute
	e := New(Options{Containers: c, Wait: wait, Pending: second.Load})
	time.AfterFunc(10*time.Millisecond, func() { second.Store(true) })
	start := time.Now()
	for range 2 {
		rec := record(podPath + "/" + idA)
		e.Record(t.Context(), rec)
		if d := cmp.Diff([]string{"victim"}, rec.NamesMissing); d != "" {
			t.Error(d)
		}
	}
	if d := time.Since(start); d > wait/2 {
		t.Errorf("two kills took %v", d)
	}
	second.Store(false)
	e = New(Options{Containers: c, Wait: 50 * time.Millisecond, Pending: second.Load})
	e.Record(t.Context(), record(podPath+"/"+idA)) // to its end
	e = New(Options{Containers: c, Wait: wait})
	start = time.Now()
	e.Record(t.Context(), record(podPath+"/"+idA))
	if d := time.Since(start); d > wait/2 {
		t.Errorf("waited %v for a runtime that had not answered", d)
	}
}
