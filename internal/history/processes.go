package history

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Bounds of the processes that are sampled: those of cgroups near their limit.
const (
	maxProcesses  = 256
	cgroupsATick  = 8
	processesEach = 16
	keepProcess   = 120 // ticks without a sample
	nearPercent   = 80
	userHZ        = 100 // of the start times in /proc/PID/stat
)

// process is one whose resident memory is sampled.
type process struct {
	pid     int32
	cgroup  string
	comm    string
	ticks   uint64 // start, in 1/userHZ s since boot
	rss     sizes
	last    uint64
	sampled uint32 // tick
}

// stat is what is read of /proc/PID/stat (Documentation/filesystems/proc.rst).
type stat struct {
	comm  string
	ticks uint64
	pages uint64
}

// parseStat reads the fields behind the name, which may hold anything.
func parseStat(b []byte) (s stat, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return s, false
	}
	const state, start, rss = 3, 22, 24 // fields, counted from 1
	f := bytes.Fields(b[end+1:])
	if len(f) <= rss-state {
		return s, false
	}
	ticks, ok1 := number(f[start-state])
	pages, ok2 := number(f[rss-state])
	return stat{comm: string(b[open+1 : end]), ticks: ticks, pages: pages}, ok1 && ok2
}

// readStat reads a process's state. It takes no lock of its memory.
func readStat(proc string, pid int32, buf []byte) (stat, bool) {
	fd, err := unix.Open(proc+"/"+strconv.Itoa(int(pid))+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return stat{}, false
	}
	n, err := unix.Read(fd, buf)
	_ = unix.Close(fd)
	if err != nil {
		return stat{}, false
	}
	return parseStat(buf[:n])
}

// sampleProcesses takes the resident memory of a cgroup's first processes.
func (r *Recorder) sampleProcesses(n *node, now uint32) {
	procs, err := r.tree.read(n.path, "cgroup.procs")
	if err != nil {
		return
	}
	pids := make([]int32, 0, processesEach)
	for line := range bytes.Lines(procs) {
		if v, ok := number(line); ok && v > 0 && v <= math.MaxInt32 && len(pids) < processesEach {
			pids = append(pids, int32(v))
		}
	}
	var buf [1024]byte
	for _, pid := range pids {
		s, ok := readStat(r.proc, pid, buf[:])
		if !ok {
			continue
		}
		r.mu.Lock()
		p := r.processes[pid]
		if p == nil || p.ticks != s.ticks {
			if p == nil && len(r.processes) >= maxProcesses {
				r.mu.Unlock()
				continue
			}
			p = &process{pid: pid, ticks: s.ticks}
			r.processes[pid] = p
		}
		p.comm, p.cgroup, p.sampled, p.last = s.comm, n.path, r.ticks, s.pages*r.pageSize
		p.rss.add(now, p.last)
		r.mu.Unlock()
	}
}

// forgetProcesses drops those that were not sampled for a while.
func (r *Recorder) forgetProcesses() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for pid, p := range r.processes {
		if r.ticks-p.sampled > keepProcess {
			delete(r.processes, pid)
		}
	}
}

// near says that a cgroup, or one above it, is close to its limit.
func (t *tree) near(n *node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for dir := n.path; dir != ""; dir = dir[:max(strings.LastIndexByte(dir, '/'), 0)] {
		if up := t.nodes[dir]; up != nil && up.max != unlimited && up.last/100 >= up.max/10000*nearPercent {
			return true
		}
	}
	return false
}

// resident gives a process's memory up to a time, if it is the one that started at
// start, in nanoseconds.
func (r *Recorder) resident(pid int32, start, ns uint64) []oom.HistoryPoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.processes[pid]
	if p == nil || !sameStart(p.ticks, start) {
		return nil
	}
	return historyPoints(p.rss.before(ns), ns)
}

// sameStart compares the clock ticks of /proc with nanoseconds.
func sameStart(ticks, ns uint64) bool {
	want := ns / (1e9 / userHZ)
	return max(ticks, want)-min(ticks, want) <= 1
}

func historyPoints(points []at[uint64], ns uint64) []oom.HistoryPoint {
	out := make([]oom.HistoryPoint, 0, len(points))
	for _, p := range points {
		back, _ := ago(p.when, ns)
		out = append(out, oom.HistoryPoint{AgoNS: back, Bytes: p.value})
	}
	return out
}

// sampledGrowers are the biggest processes that were sampled in a cgroup, where
// their charges were not counted.
func (r *Recorder) sampledGrowers(dir string, ns uint64) []oom.Grower {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*process
	for _, p := range r.processes {
		if p.cgroup == dir || dir == "/" || isBelow(p.cgroup, dir) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b *process) int {
		return cmp.Or(cmp.Compare(b.last, a.last), cmp.Compare(a.pid, b.pid))
	})
	var out []oom.Grower
	for _, p := range found[:min(len(found), sampledTop)] {
		points := historyPoints(p.rss.before(ns), ns)
		if len(points) == 0 {
			continue
		}
		out = append(out, oom.Grower{PID: oom.Some(p.pid), Comm: p.comm, StartNS: p.ticks * (1e9 / userHZ), Points: points})
	}
	return out
}

const sampledTop = 4
