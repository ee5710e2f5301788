package container

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// engines is a Cache that finds only what a test gives it.
func engines(t *testing.T) *Cache {
	t.Helper()
	c := &Cache{
		opts: Options{Root: t.TempDir(), Sockets: []string{}}, again: make(chan struct{}, 1), found: make(chan struct{}),
		entries: map[key]*entry{}, pods: map[key]*podEntry{},
	}
	c.opts.defaults()
	c.ctx, c.cancel = context.WithCancel(t.Context())
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// engine is what a look finds in the nth container.
func engine(t *testing.T, n int) candidate {
	t.Helper()
	dir := t.TempDir()
	return candidate{socket: socket{domain: domain{within: "/docker/" + id(n)}, path: dir + "/x.sock", root: dir, proc: dir, node: noDaemon}, kind: kindCRI}
}

// noDaemon is a process that is gone.
func noDaemon() (*os.File, daemon, error) { return nil, daemon{}, errUntrusted }

// starts has the nth container start one of its own.
func starts(c *Cache, n, inner int) {
	c.enter(&cgroup.Place{Within: "/docker/" + id(n), Cgroup: "/docker/" + id(n) + "/x"}, id(inner))
}

// speakers are the containers whose engine is asked, and the rest.
func speakers(c *Cache) (within []string, others int) {
	for _, s := range c.sources {
		if s.within == "" {
			others++
			continue
		}
		within = append(within, s.within)
	}
	return within, others
}

// age has all sources been there for long enough to make room.
func age(c *Cache) {
	for _, s := range c.sources {
		s.began = s.began.Add(-2 * minStay)
	}
}

// TestTurns: of 40 engines in containers some are asked, those that are of use. One whose
// container has news, and no engine that is asked, gets its turn, whatever the others do.
func TestTurns(t *testing.T) {
	const all, honest = 40, 39
	c := engines(t)
	var places []candidate
	for n := range all {
		places = append(places, engine(t, n))
	}
	look := func() (within []string) {
		c.adopt(places, false)
		within, _ = speakers(c)
		if len(within) != maxForeign {
			t.Fatalf("%d engines are asked", len(within))
		}
		return within
	}
	first := look()
	age(c)
	if again := look(); !slices.Equal(again, first) {
		t.Error("without news one gave way to another")
	}
	for n := range maxForeign {
		if n != 5 {
			starts(c, n, 1000+n)
		}
	}
	starts(c, honest, 2000)
	now := look()
	if !slices.Contains(now, "/docker/"+id(honest)) || slices.Contains(now, "/docker/"+id(5)) || len(c.waits) != 0 {
		t.Errorf("%q are asked, %d wait", now, len(c.waits))
	}
	starts(c, 20, 3000)
	starts(c, 21, 3001)
	if now = look(); !slices.Contains(now, "/docker/"+id(20)) || slices.Contains(now, "/docker/"+id(0)) {
		t.Errorf("the one that was used the longest ago makes room: %q", now)
	}
	// All the others start containers without an end.
	served := map[string]int{}
	for round := range 12 {
		age(c)
		for n := range all {
			starts(c, n, 10_000+100*round+n)
		}
		for _, within := range look() {
			served[within]++
		}
	}
	for n := range all {
		if got := served["/docker/"+id(n)]; got < 3 || got > 7 {
			t.Errorf("%d was asked in %d of 12 rounds", n, got)
		}
	}
	if len(c.waits) > all {
		t.Errorf("%d wait", len(c.waits))
	}
}

// TestTurnsOfOne: what one container has in it takes turns among itself.
func TestTurnsOfOne(t *testing.T) {
	c := engines(t)
	nested := func(n int) candidate {
		p := engine(t, n)
		p.within = "/docker/" + id(1) + "/docker/" + id(n)
		return p
	}
	places := []candidate{engine(t, 2)}
	for n := range 20 {
		places = append(places, nested(100+n))
	}
	c.adopt(places, false)
	age(c)
	c.await(places[20].domain)
	c.adopt(places, false)
	within, _ := speakers(c)
	if !slices.Contains(within, places[0].within) || !slices.Contains(within, places[20].within) || len(within) != 1+maxEach {
		t.Errorf("%q", within)
	}
}

// TestSystemFirst: neither users nor containers take the place of the system's own.
func TestSystemFirst(t *testing.T) {
	c := engines(t)
	var users, foreign, system []candidate
	for n := range 100 {
		p := candidate{socket: socket{path: fmt.Sprintf("%s/user/%d", c.opts.Root, n), root: "/"}, kind: kindDocker}
		p.user = oom.Some(uint32(1000 + n))
		users, foreign = append(users, p), append(foreign, engine(t, n))
		c.await(foreign[n].domain)
	}
	for n := range 20 {
		system = append(system, candidate{socket: socket{path: fmt.Sprintf("%s/run/%d", c.opts.Root, n), root: "/"}, kind: kindCRI})
	}
	c.adopt(foreign, false)
	c.adopt(append(users, system...), true)
	for range 3 {
		age(c)
		c.adopt(append(users, system...), true)
		c.adopt(foreign, false)
	}
	within, others := speakers(c)
	if len(within) != maxForeign || others != maxUsers+len(system) {
		t.Errorf("%d in containers, %d others", len(within), others)
	}
	for _, p := range system {
		if !slices.ContainsFunc(c.sources, func(s *source) bool { return s.path == p.path }) {
			t.Errorf("%s is not asked", p.path)
		}
	}
}
