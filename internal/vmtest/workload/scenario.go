package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
	"unsafe"
)

// Scenario is one way to make the kernel run out of memory.
type Scenario struct {
	// Name is stable.
	Name string
	// About says in one line what happens.
	About string
	// Needs says what the guest must be like; the zero value is any guest.
	Needs Needs
	// On says whether the kernel is one where it can happen; nil means all of them.
	On func() bool
	// Run makes the kills and returns once all victims have exited.
	Run func(context.Context, *Guest) (*Outcome, error)
}

// Needs says what guest a scenario needs. Scenarios with equal Needs can share
// one, each after the other.
type Needs struct {
	// NUMA asks for two memory nodes of half the memory each.
	NUMA bool
	// V2 asks for cgroup v2.
	V2 bool
	// Movable asks for memory of which nearly half can only hold what can be
	// moved, as MovableCmdline makes it.
	Movable bool
	// Kubelet asks for the files of a kubelet with that swap behaviour, which
	// Guest.Kubelet writes.
	Kubelet string
}

// Apart says by what a guest, or the state in which a tracer starts, must differ
// from the usual.
func (n Needs) Apart() Needs {
	n.V2 = false // what guests have by default
	return n
}

// MovableCmdline is for the kernel's command line of a guest of 512 MiB.
const MovableCmdline = "movablecore=224M"

// Outcome is what a scenario did and what the kernel has to say about it.
type Outcome struct {
	// Constraint is the kernel's word in its "oom-kill:" line.
	Constraint string
	// Limit and Cgroup are the paths of the cgroup at its limit and of the
	// victims' cgroup; empty where the scenario made none.
	Limit, Cgroup string
	// Victims are the processes that die in the kernel's words, nil where the
	// choice is the kernel's; Kills is how many at least.
	Victims []int
	Kills   int
	// Silent are processes with one memory: the kernel names one of them, and the
	// others die with it without a line of their own.
	Silent []int
	// Survivors must live on.
	Survivors []int
	// Level is the kind of cgroup at its limit (oom.Level), where it matters.
	Level string
	// Threads is set when the kernel names another thread of the victim.
	Threads bool
	// Mems are the nodes of the victim's cpuset before this process changed them, and
	// after; empty where it did not.
	Mems [2]string
	// NoVictim is set when the kernel finds no process to kill.
	NoVictim bool
	// Exiting is set when the victims were dying before: they are marked, and not
	// killed.
	Exiting bool
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// The kernel's names of the constraints (mm/oom_kill.c).
const (
	constraintNone      = "CONSTRAINT_NONE"
	constraintCpuset    = "CONSTRAINT_CPUSET"
	constraintMempolicy = "CONSTRAINT_MEMORY_POLICY"
	constraintMemcg     = "CONSTRAINT_MEMCG"
)

// Scenarios returns all scenarios.
func Scenarios() []Scenario {
	return slices.Concat(kswapdScenarios(), cgroupScenarios(), shapeScenarios(), podScenarios(), systemScenarios(), swapScenarios(), blockScenarios(), stalledScenarios(), verdictScenarios())
}

// Find returns the scenario of that name.
func Find(name string) (Scenario, error) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("no scenario %q", name)
}

func anon(bytes int64) []Step { return []Step{{Kind: Anon, Bytes: bytes}} }

// overrun starts a hog and waits until the kernel has killed it.
func overrun(ctx context.Context, g *Guest, h Hog) (*Process, error) {
	p, err := g.Start(h)
	if err != nil {
		return nil, err
	}
	return p, expectKill(ctx, p)
}

func expectKill(ctx context.Context, p *Process) error {
	killed, err := p.Wait(ctx)
	if err != nil {
		return err
	}
	if !killed {
		return fmt.Errorf("hog %d ended by itself", p.PID)
	}
	return nil
}

// inCgroup makes a cgroup and overruns its limit with one hog.
func inCgroup(ctx context.Context, g *Guest, l Limits, h Hog) (*Outcome, error) {
	c, err := g.Cgroup(nil, "oomtrace-test", l)
	if err != nil {
		return nil, err
	}
	h.Procs = c.Procs()
	if h.Name == "" {
		h.Name = "hog"
	}
	p, err := overrun(ctx, g, h)
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Victims: []int{p.PID}}, nil
}

// cgroupScenarios differ in what fills the cgroup.
func cgroupScenarios() []Scenario {
	full := Limits{MaxBytes: 32 * mib}
	simple := func(name, about string, l Limits, steps ...Step) Scenario {
		return Scenario{Name: name, About: about, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			return inCgroup(ctx, g, l, Hog{Steps: steps})
		}}
	}
	swapped := func(name, about string, l Limits, steps ...Step) Scenario {
		return Scenario{Name: name, About: about, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			if err := g.Swap(96*mib, 5); err != nil {
				return nil, err
			}
			return inCgroup(ctx, g, l, Hog{Steps: steps})
		}}
	}
	grow := Step{Kind: Anon, Bytes: 96 * mib}
	return []Scenario{
		simple("cgroup-anon", "one process grows past its cgroup's limit", full, grow),
		swapped("cgroup-swap", "a process with memory in swap grows locked memory; swap is left", full,
			Step{Kind: Anon, Bytes: 16 * mib}, Step{Kind: Anon, Bytes: 96 * mib, Lock: true}),
		swapped("cgroup-swap-forbidden", "swap is free, but the cgroup may not use it", Limits{MaxBytes: 32 * mib, NoSwap: true}, grow),
		swapped("cgroup-swap-full", "the cgroup's share of swap is used up; the machine has more", Limits{MaxBytes: 32 * mib, SwapBytes: 16 * mib}, grow),
		onFile("cgroup-file", "a mapped file that cannot be dropped, then private memory", File, 20*mib),
		onFile("cgroup-dirty", "page cache that cannot be dropped fills the cgroup", Write, 64*mib),
		simple("cgroup-shmem", "shared memory, then private memory", full, Step{Kind: Shmem, Bytes: 20 * mib}, grow),
		onTmpfs("cgroup-tmpfs", "files on a tmpfs, then private memory"),
		simple("cgroup-kernel", "data in pipes fills the cgroup", full, Step{Kind: Pipes, Bytes: 96 * mib}),
		simple("cgroup-sockets", "data in sockets fills the cgroup", full, Step{Kind: Sockets, Bytes: 256 * mib}),
		simple("cgroup-pgtables", "page tables fill the cgroup", full, Step{Kind: Pgtables, Bytes: 48 * mib}),
		onSlab("cgroup-slab", "directories (dentries and inodes) fill the cgroup"),
	}
}

// onFile uses a file on ramfs, whose pages are page cache that nothing can
// write back.
func onFile(name, about string, kind Kind, bytes int64) Scenario {
	return Scenario{Name: name, About: about, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
		dir, err := g.Ramfs()
		if err != nil {
			return nil, err
		}
		return inCgroup(ctx, g, Limits{MaxBytes: 32 * mib}, Hog{Steps: []Step{
			{Kind: kind, Path: dir + "/file", Bytes: bytes}, {Kind: Anon, Bytes: 96 * mib},
		}})
	}}
}

func onTmpfs(name, about string) Scenario {
	return Scenario{Name: name, About: about, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
		dir, err := g.Tmpfs(64 * mib)
		if err != nil {
			return nil, err
		}
		return inCgroup(ctx, g, Limits{MaxBytes: 32 * mib}, Hog{Steps: []Step{
			{Kind: Write, Path: dir + "/file", Bytes: 20 * mib}, {Kind: Anon, Bytes: 96 * mib},
		}})
	}}
}

func onSlab(name, about string) Scenario {
	return Scenario{Name: name, About: about, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
		dir, err := g.Ramfs()
		if err != nil {
			return nil, err
		}
		return inCgroup(ctx, g, Limits{MaxBytes: 24 * mib}, Hog{Steps: []Step{
			{Kind: Dirs, Path: dir, Bytes: 20 * mib}, {Kind: Anon, Bytes: 32 * mib},
		}})
	}}
}

// shapeScenarios differ in the processes and cgroups, not in the memory.
func shapeScenarios() []Scenario {
	limit := Limits{MaxBytes: 32 * mib}
	as := func(name, about string, h Hog) Scenario {
		h.Steps = anon(96 * mib)
		return Scenario{Name: name, About: about, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			return inCgroup(ctx, g, limit, h)
		}}
	}
	return []Scenario{
		{Name: "cgroup-group", About: "memory.oom.group kills five processes at once", Needs: Needs{V2: true}, Run: runGroup},
		{Name: "cgroup-ancestor", About: "the pod's limit is hit, not the container's own", Run: runAncestor},
		{Name: "cgroup-nested-removed", About: "the victim's cgroup is removed straight after the kill", Run: runRemoved},
		{Name: "cgroup-threads", About: "a thread takes the memory after the first thread has ended", Run: runThreads},
		as("cgroup-uid", "the victim belongs to user 1234", Hog{UID: 1234}),
		as("cgroup-adj-negative", "the victim has oom_score_adj -500", Hog{Adj: -500}),
		as("cgroup-adj-positive", "the victim has oom_score_adj 500", Hog{Adj: 500}),
		{Name: "cgroup-deep", About: "the victim's cgroup is 20 levels below the one at its limit", Run: runDeep},
		{Name: "cgroup-hostile-name", About: "names of process and cgroup hold spaces, quotes, brackets and invalid UTF-8", Run: runHostile},
		{Name: "cgroup-forkbomb", About: "many small processes fill the cgroup", Run: runForkbomb},
		{Name: "cgroup-shared-mm", About: "a second process shares the victim's memory", Run: runSharedMM},
		{Name: "cgroup-adj-protects-biggest", About: "oom_score_adj protects the biggest process, a smaller one dies", Run: runProtected},
		{Name: "no-victim", About: "every process of the full cgroup has oom_score_adj -1000", Run: runNoVictim},
	}
}

func runGroup(ctx context.Context, g *Guest) (*Outcome, error) {
	c, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 48 * mib, Group: true})
	if err != nil {
		return nil, err
	}
	var all []*Process
	for i := range 4 {
		p, err := g.Fill(ctx, Hog{Name: fmt.Sprintf("member-%d", i), Procs: c.Procs(), Steps: anon(4 * mib)})
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	p, err := g.Start(Hog{Name: "grower", Procs: c.Procs(), Steps: anon(96 * mib)})
	if err != nil {
		return nil, err
	}
	out := &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path}
	for _, p := range append(all, p) {
		if err := expectKill(ctx, p); err != nil {
			return nil, err
		}
		out.Victims = append(out.Victims, p.PID)
	}
	return out, nil
}

func runAncestor(ctx context.Context, g *Guest) (*Outcome, error) {
	pod, err := g.Cgroup(nil, "oomtrace-pod", Limits{MaxBytes: 32 * mib})
	if err != nil {
		return nil, err
	}
	container, err := g.Cgroup(pod, "container", Limits{MaxBytes: 256 * mib})
	if err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{Name: "app", Procs: container.Procs(), Steps: anon(96 * mib)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: pod.Path, Cgroup: container.Path, Victims: []int{p.PID}}, nil
}

func runRemoved(ctx context.Context, g *Guest) (*Outcome, error) {
	outer, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 32 * mib})
	if err != nil {
		return nil, err
	}
	inner, err := g.Cgroup(outer, "short-lived", Limits{})
	if err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{Name: "hog", Procs: inner.Procs(), Steps: anon(96 * mib)})
	if err != nil {
		return nil, err
	}
	if err := inner.Remove(); err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: outer.Path, Cgroup: inner.Path, Victims: []int{p.PID}}, nil
}

func runThreads(ctx context.Context, g *Guest) (*Outcome, error) {
	out, err := inCgroup(ctx, g, Limits{MaxBytes: 32 * mib}, Hog{Name: "threads", Steps: anon(96 * mib), LeaderExits: true})
	if out != nil {
		out.Threads = true
	}
	return out, err
}

func runDeep(ctx context.Context, g *Guest) (*Outcome, error) {
	top, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 32 * mib})
	if err != nil {
		return nil, err
	}
	c := top
	for i := range 20 {
		if c, err = g.Cgroup(c, fmt.Sprintf("level-%02d", i+1), Limits{}); err != nil {
			return nil, err
		}
	}
	p, err := overrun(ctx, g, Hog{Name: "deep", Procs: c.Procs(), Steps: anon(96 * mib)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: top.Path, Cgroup: c.Path, Victims: []int{p.PID}}, nil
}

func runHostile(ctx context.Context, g *Guest) (*Outcome, error) {
	c, err := g.Cgroup(nil, "a \"b\", (c) %s\\x41 \u00fc \xff;", Limits{MaxBytes: 32 * mib})
	if err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{
		Name: "a) b\n\x1b[1m(\xff,", Args: []string{"--text=\"x\ny\"", "\xfe\xff"}, Procs: c.Procs(), Steps: anon(96 * mib),
	})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Victims: []int{p.PID}}, nil
}

func runForkbomb(ctx context.Context, g *Guest) (*Outcome, error) {
	c, err := g.Cgroup(nil, "oomtrace-bomb", Limits{MaxBytes: 200 * mib})
	if err != nil {
		return nil, err
	}
	// More of them, and 7.3 takes minutes to end them where it is emulated: their memory
	// shares one tree of mappings, of which each has the lock in turn.
	if _, err := g.Start(Hog{Name: "bomb", Procs: c.Procs(), Steps: anon(mib), Copies: 300}); err != nil {
		return nil, err
	}
	// Which of them dies is the kernel's choice.
	for ctx.Err() == nil {
		n, err := c.OOMKills()
		if err != nil {
			return nil, err
		}
		if n > 0 {
			return &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Kills: 1}, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, fmt.Errorf("the processes did not fill the cgroup: %w", ctx.Err())
}

func runSharedMM(ctx context.Context, g *Guest) (*Outcome, error) {
	c, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 32 * mib})
	if err != nil {
		return nil, err
	}
	p, err := g.Fill(ctx, Hog{Name: "sharer", Procs: c.Procs(), Steps: anon(20 * mib), SharesMM: true})
	if err != nil {
		return nil, err
	}
	out := &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Kills: 1}
	if out.Silent, err = c.pids(); err != nil || len(out.Silent) != 2 {
		return nil, fmt.Errorf("the cgroup has the processes %v: two expected (%w)", out.Silent, err)
	}
	// This one may not be killed: both can have left the cgroup a moment before
	// their memory is.
	grower, err := g.Fill(ctx, Hog{Name: "grower", Procs: c.Procs(), Adj: -1000, Steps: anon(20 * mib)})
	if err != nil {
		return nil, err
	}
	out.Survivors = []int{grower.PID}
	return out, expectKill(ctx, p)
}

func runProtected(ctx context.Context, g *Guest) (*Outcome, error) {
	c, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 48 * mib})
	if err != nil {
		return nil, err
	}
	big, err := g.Fill(ctx, Hog{Name: "big", Procs: c.Procs(), Adj: -900, Steps: anon(28 * mib)})
	if err != nil {
		return nil, err
	}
	small, err := overrun(ctx, g, Hog{Name: "small", Procs: c.Procs(), Steps: anon(32 * mib)})
	if err != nil {
		return nil, err
	}
	return &Outcome{
		Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Victims: []int{small.PID}, Survivors: []int{big.PID},
	}, nil
}

func runNoVictim(ctx context.Context, g *Guest) (*Outcome, error) {
	c, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 8 * mib})
	if err != nil {
		return nil, err
	}
	// Data for pipes: their allocation fails with an error, where a page fault
	// would be tried again for ever.
	p, err := g.Fill(ctx, Hog{Name: "unkillable", Procs: c.Procs(), Adj: -1000, Steps: []Step{{Kind: Pipes, Bytes: 8*mib + 128*kib}}})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, NoVictim: true, Survivors: []int{p.PID}}, nil
}

// systemScenarios exhaust the machine.
func systemScenarios() []Scenario {
	const all = 4 << 30
	plain := func(name, about string, setup func(*Guest) error, h Hog) Scenario {
		return Scenario{Name: name, About: about, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			if err := errors.Join(setup(g), g.Spares()); err != nil {
				return nil, err
			}
			p, err := overrun(ctx, g, h)
			if err != nil {
				return nil, err
			}
			return &Outcome{Constraint: constraintNone, Victims: []int{p.PID}}, nil
		}}
	}
	swap := func(bytes int64) func(*Guest) error {
		return func(g *Guest) error { return g.Swap(bytes, 5) }
	}
	hog := Hog{Name: "hog", Steps: anon(all)}
	return []Scenario{
		plain("system-noswap", "no memory left, no swap set up", func(*Guest) error { return nil }, hog),
		{Name: "swap-idle", About: "no memory left, swap free but vm.swappiness is 0", Run: runSwapIdle},
		plain("swap-mlocked", "no memory left, swap free but the memory is locked", swap(256*mib), Hog{Name: "locker", Steps: []Step{{Kind: Anon, Bytes: all, Lock: true}}}),
		plain("swap-full", "no memory and no swap left", swap(64*mib), hog),
		plain("system-hugepages", "much of the memory is reserved as huge pages that no process uses", func(g *Guest) error { return g.HugePages(100) }, hog),
		{Name: "hugepages-used", About: "much of the memory is reserved as huge pages, and a process uses them", Run: runHugepagesUsed},
		plain("system-kernel", "data in pipes takes all memory", func(*Guest) error { return nil }, Hog{Name: "pipes", Adj: 500, Steps: []Step{{Kind: Pipes, Bytes: 2 << 30}}}),
		{Name: "system-adj-protects-biggest", About: "oom_score_adj protects the biggest process from a kill of the machine, among many others", Run: runSystemProtected},
		{Name: "system-shmem", About: "files on a tmpfs take nearly all memory, and who asks for the rest is small", Run: runTmpfsFull},
		{Name: "alloc-task", About: "vm.oom_kill_allocating_task kills who asks, not the biggest", Run: runAllocTask},
		{Name: "sysrq-f", About: "a person asks for a kill with memory left", Run: runSysrq},
		{Name: "system-mempolicy", About: "a node is full that a memory policy binds to", Needs: Needs{NUMA: true, V2: true}, Run: func(ctx context.Context, g *Guest) (*Outcome, error) {
			p, err := overrun(ctx, g, Hog{Name: "bound", Steps: []Step{{Kind: Anon, Bytes: all, Node: 2}}})
			if err != nil {
				return nil, err
			}
			return &Outcome{Constraint: constraintMempolicy, Victims: []int{p.PID}}, nil
		}},
		{Name: "system-cpuset", About: "a node is full that a cpuset is confined to", Needs: Needs{NUMA: true, V2: true}, Run: runCpuset},
	}
}

func runSwapIdle(ctx context.Context, g *Guest) (*Outcome, error) {
	if err := g.Swap(256*mib, 5); err != nil {
		return nil, err
	}
	if err := errors.Join(g.Sysctl("vm/swappiness", "0"), g.Spares()); err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{Name: "hog", Steps: anon(4 << 30)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintNone, Victims: []int{p.PID}}, nil
}

func runHugepagesUsed(ctx context.Context, g *Guest) (*Outcome, error) {
	const pages = 100
	if err := errors.Join(g.HugePages(pages), g.Spares()); err != nil {
		return nil, err
	}
	user, err := g.Fill(ctx, Hog{Name: "user", Adj: -900, Steps: []Step{{Kind: Huge, Bytes: pages * 2 * mib}}})
	if err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{Name: "hog", Steps: anon(4 << 30)})
	if err != nil {
		return nil, err
	}
	out := &Outcome{Constraint: constraintNone, Victims: []int{p.PID}, Survivors: []int{user.PID}}
	// Pages that are in use when their number is lowered stay set aside.
	return out, errors.Join(user.Stop(), g.hugePagesFree(ctx, pages))
}

func runSystemProtected(ctx context.Context, g *Guest) (*Outcome, error) {
	if err := g.Spares(); err != nil {
		return nil, err
	}
	big, err := g.Fill(ctx, Hog{Name: "big", Adj: -900, Steps: anon(256 * mib)})
	if err != nil {
		return nil, err
	}
	small, err := overrun(ctx, g, Hog{Name: "small", Steps: anon(4 << 30)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintNone, Victims: []int{small.PID}, Survivors: []int{big.PID}}, nil
}

// runTmpfsFull fills a tmpfs, the last of it by a process that holds nothing else.
// It is there before: to start it with little left would kill the spares.
func runTmpfsFull(ctx context.Context, g *Guest) (*Outcome, error) {
	const left = 24 * mib
	dir, err := g.Tmpfs(4 << 30)
	if err != nil {
		return nil, err
	}
	if err := g.Spares(); err != nil {
		return nil, err
	}
	p, err := g.Start(Hog{Name: "small", Adj: 500, Steps: []Step{{Kind: Write, Path: dir + "/rest", Bytes: 1 << 30}}, Waits: true})
	if err != nil {
		return nil, err
	}
	if err := fillFile(ctx, dir+"/file", left); err != nil {
		return nil, err
	}
	if err := p.Go(); err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintNone, Victims: []int{p.PID}}, expectKill(ctx, p)
}

// fillFile writes a file until no more than so much memory is free.
func fillFile(ctx context.Context, path string, left int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	chunk := make([]byte, mib)
	for ctx.Err() == nil {
		free, err := memFree()
		if err != nil || free <= left {
			return err
		}
		for range max((free-left)/2/mib, 1) {
			if _, err := f.Write(chunk); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func runAllocTask(ctx context.Context, g *Guest) (*Outcome, error) {
	if err := errors.Join(g.Sysctl("vm/oom_kill_allocating_task", "1"), g.Spares()); err != nil {
		return nil, err
	}
	big, err := g.Fill(ctx, Hog{Name: "big", Steps: anon(240 * mib)})
	if err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{Name: "asker", Steps: anon(4 << 30)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintNone, Victims: []int{p.PID}, Survivors: []int{big.PID}}, nil
}

func runSysrq(ctx context.Context, g *Guest) (*Outcome, error) {
	p, err := g.Fill(ctx, Hog{Name: "biggest", Steps: anon(64 * mib)})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("f"), 0); err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintNone, Victims: []int{p.PID}}, expectKill(ctx, p)
}

func runCpuset(ctx context.Context, g *Guest) (*Outcome, error) {
	if err := os.WriteFile(g.H.Root+"/cgroup.subtree_control", []byte("+cpuset"), 0); err != nil {
		return nil, err
	}
	c, err := g.Cgroup(nil, "oomtrace-test", Limits{})
	if err != nil {
		return nil, err
	}
	if err := c.Set("cpuset.mems", "1"); err != nil {
		return nil, err
	}
	p, err := overrun(ctx, g, Hog{Name: "confined", Procs: c.Procs(), Steps: anon(4 << 30)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintCpuset, Cgroup: c.Path, Victims: []int{p.PID}, Mems: [2]string{"0-1", "1"}}, nil
}

func ptr(b *byte) uintptr { return uintptr(unsafe.Pointer(b)) }
