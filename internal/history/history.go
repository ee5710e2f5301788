// Package history knows how it came to a kill: how the memory of the machine and of
// its cgroups grew, who holds it, and which limit was changed. What the kernel side
// counted at each charge (bpf/history.bpf.c) is exact; the rest is sampled once a
// second, dense near now and thin far back.
package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cilium/ebpf"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// Mode says how growth is followed.
type Mode string

// The modes, as --history names them.
const (
	// ModeAuto counts exactly where the kernel lets us, and samples.
	ModeAuto Mode = "auto"
	// ModeExact does the same, and is an error where nothing can be counted.
	ModeExact   Mode = "exact"
	ModeSampled Mode = "sampled"
	ModeOff     Mode = "off"
)

// Counts says whether charges are to be counted in the kernel.
func (m Mode) Counts() bool { return m == ModeAuto || m == ModeExact }

// Modes lists the modes.
func Modes() []Mode { return []Mode{ModeAuto, ModeExact, ModeSampled, ModeOff} }

// ParseMode turns a user's word into a Mode; "" is ModeAuto.
func ParseMode(s string) (Mode, error) {
	if s == "" {
		return ModeAuto, nil
	}
	for _, m := range Modes() {
		if s == string(m) {
			return m, nil
		}
	}
	return ModeAuto, fmt.Errorf("unknown mode %q", s)
}

// Options are the settings of a Recorder. The zero value samples this machine.
type Options struct {
	// Maps are those of the BPF programs that count growth, and of the command
	// lines, by name; they stay open as long as the Recorder is. Nil: nothing is
	// counted, all is sampled.
	Maps map[string]*ebpf.Map
	// Name fills in the names of a container and a pod on a cgroup path, without
	// waiting; nil leaves them out.
	Name func(cgroup string, o *oom.Owner)
	// Top is how many holders and growers a record carries; 0 means 10, a
	// negative number none.
	Top int
	// Interval is the time between two samples, none below 0; 0 means a second.
	Interval time.Duration
	// Root is the machine's root directory; empty means "/".
	Root string
}

// Recorder follows growth until it is closed. Stage may be called from one
// goroutine at a time, all else from any.
type Recorder struct {
	opts     Options
	proc     string
	pageSize uint64
	exact    *exact
	tree     *tree // nil without a memory hierarchy
	meminfo  *meminfo
	started  uint64 // CLOCK_BOOTTIME
	stop     context.CancelFunc
	done     chan struct{}
	jobs     chan func()
	askWait  time.Duration

	mu        sync.Mutex // of what follows; never held while a file is read
	machine   series[machine]
	swap      swapTotal
	total     memTotal
	processes map[int32]*process
	ticks     uint32

	last decision // Stage's alone
}

// Open starts to sample. What the machine does not have is left out.
func Open(opts Options) (*Recorder, error) {
	r, err := newRecorder(opts)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go r.run(ctx)
	return r, nil
}

func newRecorder(opts Options) (*Recorder, error) {
	opts.Top = max(cmp.Or(opts.Top, 10), 0)
	opts.Interval = cmp.Or(opts.Interval, time.Second)
	opts.Root = cmp.Or(opts.Root, "/")
	r := &Recorder{
		opts: opts, proc: filepath.Join(opts.Root, "proc"), pageSize: uint64(os.Getpagesize()), started: host.BootNS(),
		done: make(chan struct{}), jobs: make(chan func()), askWait: askWait, processes: map[int32]*process{},
	}
	var err error
	if r.exact, err = newExact(opts.Maps, r.pageSize); err != nil {
		return nil, err
	}
	if r.meminfo, err = openMeminfo(filepath.Join(r.proc, "meminfo")); err != nil {
		return nil, fmt.Errorf("sample memory: %w", err)
	}
	// Only the whole hierarchy has the paths that records name.
	h, err := cgroup.ReadHierarchies(opts.Root)
	if err == nil && h.MemoryVersion != 0 && h.Memory.Root == "/" {
		r.tree = newTree(filepath.Join(opts.Root, h.Memory.Point), h.MemoryVersion)
	}
	return r, nil
}

// Close ends the sampling.
func (r *Recorder) Close() error {
	r.stop()
	select {
	case <-r.done:
		return r.meminfo.close()
	case <-time.After(closeWait):
		return errStuck // the end of the process closes what it still uses
	}
}

// closeWait bounds how long Close waits for a read that hangs.
const closeWait = 2 * time.Second

var errStuck = errors.New("stop sampling: a read of /proc or the cgroups does not return")

// Notice takes the path of a cgroup that was just made.
func (r *Recorder) Notice(path string) {
	if r.tree != nil {
		r.tree.notice(path)
	}
}

func (r *Recorder) run(ctx context.Context) {
	defer close(r.done)
	r.sample()
	if r.tree != nil {
		r.tree.fill()
	}
	tick := time.NewTicker(r.opts.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-r.jobs:
			job()
		case <-tick.C:
			r.sample()
		}
	}
}

// sample is one tick.
func (r *Recorder) sample() {
	m, ok := r.meminfo.read()
	now := host.BootNS()
	r.mu.Lock()
	r.ticks++
	if ok {
		r.machine.add(stampAt(now), m)
		r.swap.add(now, m.swapTotal)
		r.total.add(now, m.total)
	}
	r.mu.Unlock()
	if r.tree == nil {
		return
	}
	left := cgroupsATick
	r.tree.step(func(n *node, now uint32) {
		if left > 0 && r.tree.near(n) {
			left--
			r.sampleProcesses(n, now)
		}
	})
	r.forgetProcesses()
}

// ask has the sampler do something, for which its caller does not wait long: while
// the machine has no memory a read may hang. False: it is not done, or not yet.
func (r *Recorder) ask(ctx context.Context, job func()) bool {
	t := time.NewTimer(r.askWait)
	defer t.Stop()
	done := make(chan struct{})
	select {
	case r.jobs <- func() { defer close(done); job() }:
	case <-t.C:
		return false
	case <-ctx.Done():
		return false
	case <-r.done:
		return false
	}
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// askWait is how long a record waits for the sampler.
const askWait = 100 * time.Millisecond
