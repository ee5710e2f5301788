package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// blockScenarios are about blocks of memory: those of the right size, and those
// in the right zone.
func blockScenarios() []Scenario {
	pipes := func(steps ...Step) Hog { return Hog{Name: "pipes", Adj: 500, Steps: steps} }
	full := func(h Hog) func(context.Context, *Guest) (*Outcome, error) {
		return func(ctx context.Context, g *Guest) (*Outcome, error) { return fillMachine(ctx, g, h) }
	}
	rings := Step{Kind: Rings, Bytes: 1 << 30}
	return []Scenario{
		{Name: "system-slab", About: "small kernel objects in blocks of four pages take all memory", Run: full(pipes(rings))},
		{Name: "system-caches", About: "kernel objects of a process that is spared hold most of the memory", Run: runCaches},
		{Name: "system-fragmented", About: "much memory is free, but in single pages, and four in a row are asked for",
			Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
				free, err := memFree()
				if err != nil {
					return nil, err
				}
				// A quarter is left for the pipes themselves and all else that
				// goes on, until the holes are made.
				return fillMachine(ctx, g, pipes(Step{Kind: Holes, Bytes: free / 4 * 3}, rings))
			}},
		{Name: "zone-kernel", About: "kernel memory fills the zones that it may use, while ZONE_MOVABLE has room",
			Needs: Needs{Movable: true}, Run: full(pipes(Step{Kind: Pipes, Bytes: 2 << 30}))},
		{Name: "zone-anon", About: "private memory fills all zones, ZONE_MOVABLE too",
			Needs: Needs{Movable: true}, Run: full(Hog{Name: "hog", Steps: anon(4 << 30)})},
	}
}

// runCaches: what is in slab when the kill is read is what was there at the kill.
func runCaches(ctx context.Context, g *Guest) (*Outcome, error) {
	free, err := memFree()
	if err := errors.Join(err, g.Sysctl("fs/file-max", "200000")); err != nil {
		return nil, err
	}
	holder, err := g.Fill(ctx, Hog{Name: "holder", Adj: -1000, Steps: []Step{{Kind: Slots, Bytes: free / 2}}})
	if err != nil {
		return nil, err
	}
	out, err := fillMachine(ctx, g, Hog{Name: "hog", Adj: 500, Steps: anon(4 << 30)})
	if out != nil {
		out.Survivors = []int{holder.PID}
	}
	return out, err
}

// fillMachine has one hog take all memory.
func fillMachine(ctx context.Context, g *Guest, h Hog) (*Outcome, error) {
	if err := g.Spares(); err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, h)
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintNone, Victims: []int{p.PID}}, nil
}

// memFree is MemFree of /proc/meminfo in bytes.
func memFree() (int64, error) { return meminfo("MemFree") }

// meminfo is a value of /proc/meminfo in bytes.
func meminfo(key string) (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc/meminfo", key)
}
