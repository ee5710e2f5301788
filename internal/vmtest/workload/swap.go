package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// swapScenarios have free swap, and something that keeps memory out of it.
func swapScenarios() []Scenario {
	// A ramfs's memory and page tables come back after seconds in an emulated guest, and spares that
	// are swapped out give none meanwhile: until there was no process left (seen 7.3, 5.10).
	locked := Hog{Name: "locked", Steps: []Step{{Kind: Anon, Bytes: mib, Lock: true}}, Copies: 16}
	file := func(swap int64, fs func(*Guest) (string, error)) func(context.Context, *Guest) (*Outcome, error) {
		return func(ctx context.Context, g *Guest) (*Outcome, error) {
			dir, err := fs(g)
			if err != nil {
				return nil, err
			}
			if err := g.Swap(swap, 5); err != nil {
				return nil, err
			}
			if _, err := g.Start(locked); err != nil {
				return nil, err
			}
			// Page cache counts as its user's, so that the kernel's choice is clear.
			return fillMachine(ctx, g, Hog{Name: "mapper", Adj: 500, Steps: []Step{{Kind: File, Path: dir + "/file", Bytes: 1 << 30}}})
		}
	}
	return []Scenario{
		{Name: "swap-unevictable", About: "swap is free, but a ramfs holds the memory", Run: file(192*mib, func(g *Guest) (string, error) { return g.Ramfs() })},
		{Name: "swap-tmpfs", About: "a tmpfs holds the memory, and swap as far as it goes", Run: file(48*mib, func(g *Guest) (string, error) { return g.Tmpfs(4 << 30) })},
		{Name: "swap-kernel", About: "swap is free, but page tables hold the memory", Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			if err := g.Swap(192*mib, 5); err != nil {
				return nil, err
			}
			if _, err := g.Start(locked); err != nil {
				return nil, err
			}
			return fillMachine(ctx, g, Hog{Name: "mapper", Steps: []Step{{Kind: Pgtables, Bytes: 1 << 30}}})
		}},
		{Name: "swap-zram", About: "swap is free, but on a zram that gains nothing: what it holds does not compress", Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			if err := g.Swap(1<<30, 5); err != nil {
				return nil, err
			}
			return fillMachine(ctx, g, Hog{Name: "hog", Steps: []Step{{Kind: Noise, Bytes: 4 << 30}}})
		}},
		{Name: "cgroup-zswap", About: "swap is free, but zswap holds what was swapped out, in the cgroup's own memory", Needs: Needs{V2: true}, On: zswapCharged, Run: runZswap},
		{Name: "cgroup-hugetlb", About: "huge pages hold most of a limit that counts them", Needs: Needs{V2: true}, On: hugetlbCharged, Run: runHugetlb},
		{Name: "swapoff", About: "what is in swap has no room in memory, and swap is turned off", Run: runSwapoff},
		{Name: "system-swap-forbidden", About: "no memory left, swap free, but the cgroup of who holds the memory may not use it", Run: runSwapForbidden},
		{Name: "cgroup-swappiness", About: "the cgroup is full and swap free, but vm.swappiness is 0", Needs: Needs{V2: true}, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			if err := errors.Join(g.Swap(96*mib, 5), g.Sysctl("vm/swappiness", "0")); err != nil {
				return nil, err
			}
			return inCgroup(ctx, g, Limits{MaxBytes: 32 * mib}, Hog{Steps: anon(96 * mib)})
		}},
	}
}

func runSwapForbidden(ctx context.Context, g *Guest) (*Outcome, error) {
	if err := g.Swap(192*mib, 5); err != nil {
		return nil, err
	}
	c, err := g.Cgroup(nil, "oomtrace-test", Limits{})
	if err != nil {
		return nil, err
	}
	if err := c.Set("memory.swap.max", "0"); err != nil {
		return nil, err
	}
	out, err := fillMachine(ctx, g, Hog{Name: "hog", Procs: c.Procs(), Steps: anon(4 << 30)})
	if out != nil {
		out.Cgroup = c.Path
	}
	return out, err
}

// zswapCharged says whether a cgroup is charged for what zswap holds of it: since 5.19
// (f4840ccfca25), where zswap is configured (seen 7.3).
func zswapCharged() bool {
	b, err := os.ReadFile("/proc/vmstat")
	return err == nil && bytes.Contains(b, []byte("\nzswpout "))
}

// hugetlbCharged says whether memory.stat has the huge pages that a cgroup is charged for:
// since 6.13 (seen 7.3).
func hugetlbCharged() bool { return kernelHas("NR_HUGETLB") }

// runHugetlb has cgroup2 count huge pages, which an option of the mount asks for
// (Documentation/admin-guide/cgroup-v2.rst).
func runHugetlb(ctx context.Context, g *Guest) (*Outcome, error) {
	remount := func(options string) error { return unix.Mount("", cgroupMount, "", unix.MS_REMOUNT, options) }
	if err := remount("memory_hugetlb_accounting"); err != nil {
		return nil, fmt.Errorf("count huge pages: %w", err)
	}
	g.defers(func() error { return remount("") })
	if err := g.HugePages(20); err != nil {
		return nil, err
	}
	return inCgroup(ctx, g, Limits{MaxBytes: 48 * mib}, Hog{Steps: []Step{{Kind: Huge, Bytes: 32 * mib}, {Kind: Anon, Bytes: 64 * mib}}})
}

// zswap are the settings of zswap (Documentation/admin-guide/mm/zswap.rst).
const zswap = "/sys/module/zswap/parameters/"

func runZswap(ctx context.Context, g *Guest) (*Outcome, error) {
	settings := []error{g.Swap(256*mib, 5), g.set(zswap+"compressor", "lzo-rle")}
	if _, err := os.Stat(zswap + "zpool"); err == nil { // there is one kind since 6.18
		settings = append(settings, g.set(zswap+"zpool", "zsmalloc"))
	}
	if err := errors.Join(append(settings, g.set(zswap+"enabled", "Y"))...); err != nil {
		return nil, err
	}
	return inCgroup(ctx, g, Limits{MaxBytes: 32 * mib}, Hog{Steps: []Step{{Kind: Half, Bytes: 128 * mib}}})
}

// runSwapoff: who turns swap off when memory has no room for what is there is
// the first to be killed (mm/swapfile.c, set_current_oom_origin).
func runSwapoff(ctx context.Context, g *Guest) (*Outcome, error) {
	const swapped = 96 * mib
	dev, err := g.zram(2 * swapped)
	if err != nil {
		return nil, err
	}
	if err := g.swapOn(dev, 2*swapped, 5); err != nil {
		return nil, err
	}
	free, err := memFree()
	if err != nil {
		return nil, err
	}
	holder, err := g.Fill(ctx, Hog{Name: "holder", Adj: -1000, Steps: anon(free + swapped)})
	if err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{Name: "swapoff", Steps: []Step{{Kind: Swapoff, Path: dev}}})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintNone, Victims: []int{p.PID}, Survivors: []int{holder.PID}}, nil
}

// lruGen are the settings of the multi-generational LRU (mm/vmscan.c, lru_gen_attrs).
const lruGen = "/sys/kernel/mm/lru_gen/"

// kswapdKills says whether kswapd heeds min_ttl_ms before swap is full: seen on 6.12 and 7.3, and
// not on 6.1, which has lru_gen_struct for what became lru_gen_folio in 6.3 (391655fe08d1). 5.10
// has neither.
func kswapdKills() bool { return kernelHas("lru_gen_folio") }

// kernelHas says whether a name is among those of the kernel's types.
func kernelHas(name string) bool {
	types, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	return err == nil && bytes.Contains(types, []byte("\x00"+name+"\x00"))
}

// kswapdScenarios come before those after which kswapd has given up on the node
// (kswapd_failures, mm/vmscan.c).
func kswapdScenarios() []Scenario {
	return []Scenario{
		{Name: "system-min-ttl", About: "swap is free, but lru_gen/min_ttl_ms keeps all that was used lately", On: kswapdKills, Run: runMinTTL},
	}
}

// runMinTTL: in ten minutes, longer than it takes, no page gets old enough to be reclaimed.
func runMinTTL(ctx context.Context, g *Guest) (*Outcome, error) {
	if err := errors.Join(g.Swap(192*mib, 5), g.set(lruGen+"enabled", "y"), g.set(lruGen+"min_ttl_ms", "600000")); err != nil {
		return nil, err
	}
	// Slowly in the end: who is killed is not who asks, and goes on meanwhile.
	return fillMachine(ctx, g, Hog{Name: "hog", Steps: []Step{{Kind: Anon, Bytes: 240 * mib}, {Kind: Anon, Bytes: 4 << 30, Rate: 16 * mib}}})
}
