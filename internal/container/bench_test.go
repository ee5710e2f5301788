package container

import (
	"context"
	"runtime"
	"testing"
)

// filled gives a cache that has listed n containers, each in a pod of its own.
func filled(b testing.TB, n int) (c *Cache, heapBytes uint64) {
	b.Helper()
	root := shortDir(b)
	f := &fakeCRI{}
	for i := range n {
		f.add(1_000_000+i, i, "app")
	}
	f.serve(b, root+containerd)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c = open(b, Options{Root: root, Timeout: 60_000_000_000})
	c.Ready(context.Background())
	runtime.GC()
	runtime.ReadMemStats(&after)
	if _, ok := c.Lookup(id(n - 1)); !ok {
		b.Fatal("not listed")
	}
	return c, after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
}

func BenchmarkLookup(b *testing.B) {
	c, bytes := filled(b, 10_000)
	ids := make([]string, 256)
	for n := range ids {
		ids[n] = id(n * 39)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, ok := c.Lookup(ids[n%len(ids)]); !ok {
			b.Fatal("not known")
		}
		n++
	}
	b.ReportMetric(float64(bytes)/10_000, "heap-B/container")
}

// BenchmarkList lists 1000 containers over a real socket; the runtime is in the
// same process, so that its cost is counted too.
func BenchmarkList(b *testing.B) {
	root := shortDir(b)
	f := &fakeCRI{}
	for i := range 1000 {
		f.add(1_000_000+i, i, "app")
	}
	f.serve(b, root+containerd)
	conn := &cri{rpc: rpc{path: root + containerd}}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := conn.list(b.Context(), func(*Info) bool { n++; return true }); err != nil || n != 2000 {
			b.Fatal(n, err)
		}
	}
}

func TestLookupAllocates(t *testing.T) {
	c, _ := filled(t, 10)
	known, unknown := id(3), id(77)
	uid := uid(1_000_003)
	if n := testing.AllocsPerRun(100, func() {
		c.Lookup(known)
		c.Lookup(unknown)
		c.Pod(uid)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
