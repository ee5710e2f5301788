//go:build hosttest

package history

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestHostManyCgroups: of ten thousand cgroups that were made and removed, nothing is
// kept, and those that have their paths then have nothing of theirs.
func TestHostManyCgroups(t *testing.T) {
	const many = 10_000
	r, err := newRecorder(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.meminfo.close() })
	if r.tree == nil {
		t.Fatal("this machine has no memory hierarchy of its own")
	}
	dir := "/oomtrace-many-" + strconv.Itoa(os.Getpid())
	t.Cleanup(func() {
		if err := os.Remove(r.tree.path(dir, "")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
	make10k := func() (paths []string) {
		paths = append(paths, dir)
		for i := range many {
			paths = append(paths, filepath.Join(dir, strconv.Itoa(i)))
		}
		for _, p := range paths {
			if err := os.Mkdir(r.tree.path(p, ""), 0o755); err != nil {
				t.Fatal(err)
			}
			r.Notice(p)
		}
		return paths
	}
	remove := func(paths []string) {
		for i := range paths {
			if err := os.Remove(r.tree.path(paths[len(paths)-1-i], "")); err != nil {
				t.Fatal(err)
			}
		}
	}
	ticks := func(n int) {
		for range n {
			r.sample()
		}
	}
	r.tree.fill()
	ticks(1)
	before, heap := len(r.tree.order), heapBytes()
	first := make10k()
	ticks(2)
	if n := len(r.tree.order); n < before+many {
		t.Fatalf("%d of %d cgroups are known", n-before, many)
	}
	remove(first)
	born := stampAt(host.BootNS())
	time.Sleep(2 * time.Millisecond) // a stamp is a millisecond
	second := make10k()
	ticks(2)
	points := 0
	for _, p := range second {
		for _, at := range r.tree.usageOf(p, oom.Opt[uint64]{}, host.BootNS()) {
			if points++; at.when <= born {
				t.Fatalf("%s was made at %d, and has a point of %d", p, born, at.when)
			}
		}
	}
	if points == 0 {
		t.Error("none of the second ones was read")
	}
	remove(second)
	// Each directory is looked at in its turn, and a removed one kept for a while.
	ticks(len(r.tree.order)/looksATick + keepGone + 2)
	if n := len(r.tree.order); n > before+10 || len(r.tree.nodes) != n {
		t.Errorf("%d cgroups are kept, %d by path; %d before", n, len(r.tree.nodes), before)
	}
	if grew := heapBytes() - heap; grew > 2<<20 {
		t.Errorf("%d bytes more are in use", grew)
	}
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
