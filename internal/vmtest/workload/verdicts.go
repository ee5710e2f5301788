package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// verdictScenarios each have a look-alike among the others, from which their
// explanation must differ.
func verdictScenarios() []Scenario {
	return []Scenario{
		{Name: "cgroup-limit-lowered", About: "a process at rest is killed when its limit is lowered below what it holds", Needs: Needs{V2: true}, Run: runLowered},
		{Name: "cgroup-thp", About: "a process touches one page in each of many huge pages, and then takes a little more", Needs: Needs{V2: true}, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			if err := g.HugePagesOnDemand(); err != nil {
				return nil, err
			}
			return inCgroup(ctx, g, Limits{MaxBytes: 64 * mib}, Hog{Steps: []Step{{Kind: Sparse, Bytes: 56 * mib}, {Kind: Anon, Bytes: 96 * mib}}})
		}},
		{Name: "cgroup-group-spared", About: "memory.oom.group kills all processes but one at -1000", Needs: Needs{V2: true}, Run: runGroupSpared},
		{Name: "cgroup-tmpfs-removed", About: "files on a tmpfs stay charged after their cgroup is removed", Needs: Needs{V2: true}, Run: runTmpfsRemoved},
		{Name: "system-mlocked", About: "no memory left and no swap, and the memory is locked", Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			return fillMachine(ctx, g, Hog{Name: "locker", Steps: []Step{{Kind: Anon, Bytes: 4 << 30, Lock: true}}})
		}},
		{Name: "system-ramfs", About: "no memory left and no swap, and a ramfs holds the memory", Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			dir, err := g.Ramfs()
			if err != nil {
				return nil, err
			}
			return fillMachine(ctx, g, Hog{Name: "mapper", Adj: 500, Steps: []Step{{Kind: File, Path: dir + "/file", Bytes: 1 << 30}}})
		}},
		{Name: "system-protected", About: "no memory left, and memory.min keeps what holds it from reclaim", Needs: Needs{V2: true}, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			c, err := g.Cgroup(nil, "oomtrace-test", Limits{})
			if err != nil {
				return nil, err
			}
			if err := c.Set("memory.min", strconv.Itoa(256*mib)); err != nil {
				return nil, err
			}
			out, err := fillMachine(ctx, g, Hog{Name: "hog", Procs: c.Procs(), Steps: anon(4 << 30)})
			if out != nil {
				out.Cgroup = c.Path
			}
			return out, err
		}},
		{Name: "system-many-tasks", About: "twenty processes of one service fill the machine, beside a bigger one that is spared", Run: runManyTasks},
		{Name: "sysrq-daemon", About: "a daemon writes f to sysrq-trigger when hardly any memory is free", Run: runSysrqShort},
	}
}

func runLowered(ctx context.Context, g *Guest) (*Outcome, error) {
	c, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 128 * mib})
	if err != nil {
		return nil, err
	}
	p, err := g.Fill(ctx, Hog{Name: "resting", Procs: c.Procs(), Steps: anon(64 * mib)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Victims: []int{p.PID}}, errors.Join(c.lower(ctx, 32*mib), expectKill(ctx, p))
}

// lower writes memory.max until no more than that is held: the kernel gives up when
// the writer has a signal, such as that of a child's end, with the new limit in place
// and no kill (mm/memcontrol.c, memory_max_write).
func (c *Cgroup) lower(ctx context.Context, limit uint64) error {
	for ctx.Err() == nil {
		if err := c.Set("memory.max", strconv.FormatUint(limit, 10)); err != nil {
			return err
		}
		usage, err := c.Get("memory.current")
		if err != nil {
			return err
		}
		if held, err := strconv.ParseUint(usage, 10, 64); err != nil || held <= limit {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return ctx.Err()
}

func runGroupSpared(ctx context.Context, g *Guest) (*Outcome, error) {
	c, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 48 * mib, Group: true})
	if err != nil {
		return nil, err
	}
	spared, err := g.Fill(ctx, Hog{Name: "spared", Adj: -1000, Procs: c.Procs(), Steps: anon(4 * mib)})
	if err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{Name: "grower", Procs: c.Procs(), Steps: anon(96 * mib)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Victims: []int{p.PID}, Survivors: []int{spared.PID}}, nil
}

func runTmpfsRemoved(ctx context.Context, g *Guest) (*Outcome, error) {
	outer, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 64 * mib})
	if err != nil {
		return nil, err
	}
	dir, err := g.Tmpfs(64 * mib)
	if err != nil {
		return nil, err
	}
	gone, err := g.Cgroup(outer, "gone", Limits{})
	if err != nil {
		return nil, err
	}
	writer, err := g.Fill(ctx, Hog{Name: "writer", Procs: gone.Procs(), Steps: []Step{{Kind: Write, Path: dir + "/file", Bytes: 48 * mib}}})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(writer.Stop(), gone.Remove()); err != nil {
		return nil, err
	}
	own, err := g.Cgroup(outer, "app", Limits{})
	if err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{Name: "app", Procs: own.Procs(), Steps: anon(32 * mib)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: outer.Path, Cgroup: own.Path, Victims: []int{p.PID}}, nil
}

// runManyTasks: which of the twenty dies is the kernel's choice.
func runManyTasks(ctx context.Context, g *Guest) (*Outcome, error) {
	const tasks = 20
	c, err := g.Cgroup(nil, "oomtrace-workers", Limits{})
	if err != nil {
		return nil, err
	}
	big, err := g.Fill(ctx, Hog{Name: "big", Adj: -1000, Steps: anon(64 * mib)})
	if err != nil {
		return nil, err
	}
	free, err := memFree()
	if err != nil {
		return nil, err
	}
	// One task more than there is room for.
	if _, err := g.Start(Hog{Name: "worker", Adj: 500, Procs: c.Procs(), Steps: anon(free / (tasks - 1)), Copies: tasks}); err != nil {
		return nil, err
	}
	for ctx.Err() == nil {
		if n, err := c.OOMKills(); err != nil {
			return nil, err
		} else if n > 0 {
			return &Outcome{Constraint: constraintNone, Cgroup: c.Path, Kills: 1, Survivors: []int{big.PID}}, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, fmt.Errorf("the processes did not fill the machine: %w", ctx.Err())
}

// runSysrqShort leaves less than a tenth of the memory free. What a process takes
// beside its memory differs from kernel to kernel: small ones take what is too much.
func runSysrqShort(ctx context.Context, g *Guest) (*Outcome, error) {
	free, err := memFree()
	if err != nil {
		return nil, err
	}
	p, err := g.Fill(ctx, Hog{Name: "biggest", Adj: 500, Steps: anon(free - 48*mib)})
	if err != nil {
		return nil, err
	}
	for {
		if free, err = memFree(); err != nil {
			return nil, err
		}
		if free < 38*mib {
			break
		}
		if _, err := g.Fill(ctx, Hog{Name: "small", Steps: anon(2 * mib)}); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("f"), 0); err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintNone, Victims: []int{p.PID}}, expectKill(ctx, p)
}
