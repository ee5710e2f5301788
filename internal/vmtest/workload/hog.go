// Package workload makes OOM kills on purpose, inside a test guest.
//
// Its processes are the caller's own binary, started again: a program that uses
// the package calls Main before anything else.
package workload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hogEnv carries a Hog to the process that becomes it.
const hogEnv = "OOMTRACE_HOG"

// Kind says what memory a step takes.
type Kind string

// The kinds of memory.
const (
	// Anon is private memory.
	Anon Kind = "anon"
	// Noise is private memory that nothing can compress.
	Noise Kind = "noise"
	// Half is private memory of which half can be compressed.
	Half Kind = "half"
	// Shmem is shared memory without a name.
	Shmem Kind = "shmem"
	// File maps the file at Step.Path, which ends with the process. On a ramfs
	// it is page cache that nothing can write back.
	File Kind = "file"
	// Write writes a file at Step.Path without mapping it.
	Write Kind = "write"
	// Sync writes a page to Step.Path and waits until the device has it. Not even
	// SIGKILL ends that wait.
	Sync Kind = "sync"
	// Flush waits until the device at Step.Path has all that was written to it.
	Flush Kind = "flush"
	// Pipes fills pipes with data.
	Pipes Kind = "pipes"
	// Rings makes pipes with rings of 256 slots, for which the kernel takes
	// blocks of four pages (fs/pipe.c: 40 bytes a slot, from kmalloc-16k).
	Rings Kind = "rings"
	// Slots makes pipes with rings of 128 slots, for which there is a slab cache (kmalloc-8k).
	Slots Kind = "slots"
	// Holes fills pipes with data, page by page in turn, and closes every
	// second one: half of the memory is free then, and its neighbours can be
	// neither moved nor taken.
	Holes Kind = "holes"
	// Swapoff turns swap on the device at Step.Path off, which brings what is
	// there back to memory.
	Swapoff Kind = "swapoff"
	// Sockets fills socket buffers.
	Sockets Kind = "sockets"
	// Dirs makes directories below Step.Path: dentries and inodes.
	Dirs Kind = "dirs"
	// Huge maps huge pages of 2 MiB, as many as were set aside.
	Huge Kind = "huge"
	// Sparse writes one page in every 2 MiB, of which the kernel makes a huge page.
	Sparse Kind = "sparse"
	// Pgtables reads one page in every 2 MiB, which maps the zero page and
	// leaves nothing but page tables.
	Pgtables Kind = "pgtables"
	// THP is private memory in transparent huge pages, where the machine has any.
	THP Kind = "thp"
	// Drop gives the memory of the step before back.
	Drop Kind = "drop"
	// Churn takes and gives back private memory for ever, and counts the pages in the
	// first 8 bytes of the file at Step.Path.
	Churn Kind = "churn"
	// Pause waits for Step.Time.
	Pause Kind = "pause"
)

// Step is one piece of memory that a process takes.
type Step struct {
	Kind  Kind
	Bytes int64
	// Lock locks the memory (mlock).
	Lock bool
	// Path is the file or directory of File, Write, Sync, Flush, Swapoff and Dirs.
	Path string
	// Node binds the memory to a NUMA node, counted from 1; 0 binds to none.
	Node int
	// Rate is how many bytes a second Anon and Write take; 0 is as fast as can be.
	Rate int64
	Time time.Duration
}

// Hog is a process that takes memory and then sleeps until it is killed.
type Hog struct {
	// Name becomes the process's comm.
	Name  string
	Args  []string
	Steps []Step
	// Procs is the cgroup.procs file of the cgroup to take the memory in.
	Procs string
	UID   int
	// Adj is the oom_score_adj.
	Adj int
	// EachProcs are the cgroup.procs files of the copies, one each; empty is Procs for
	// all.
	EachProcs []string
	// OneCPU keeps the process, and its copies, on the machine's first CPU.
	OneCPU bool
	// LeaderExits makes a process of several threads whose first thread has
	// ended before another one takes the memory.
	LeaderExits bool
	// SharesMM makes a second process with the same memory, without being a
	// thread of the first; it is the one that takes the memory.
	SharesMM bool
	// Waits makes the process wait for Process.Go before it takes its memory. It
	// does not work with Copies.
	Waits bool
	// Copies is how many processes to make, one when 0. Process.PID is the
	// first of them; Full does not work with more.
	Copies int
}

// fullLine is what a hog reports once it has all its memory.
const fullLine = "full\n"

// Process is a running Hog.
type Process struct {
	PID    int
	cmd    *exec.Cmd
	report *os.File
	lines  *bufio.Reader
	full   bool // it said so before its launcher reported its pid
	gate   *os.File
}

// Start starts a hog and returns once its process is there.
func Start(h Hog) (_ *Process, err error) {
	var spec bytes.Buffer // gob, since names and paths need not be UTF-8
	if err := gob.NewEncoder(&spec).Encode(h); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{h.Name}, h.Args...), Stderr: os.Stderr,
		Env: []string{hogEnv + "=" + hex.EncodeToString(spec.Bytes()), "GOMAXPROCS=1", "GOGC=off"}, ExtraFiles: []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}
	p := &Process{cmd: cmd, report: r, lines: bufio.NewReader(r)}
	if h.Waits {
		wait, gate, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, r.Close(), w.Close())
		}
		defer func() { _ = wait.Close() }()
		cmd.ExtraFiles, p.gate = append(cmd.ExtraFiles, wait), gate
	}
	err = cmd.Start()
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("start hog: %w", err), r.Close(), p.Go())
	}
	line, err := p.lines.ReadString('\n')
	if line == fullLine { // both write to the pipe, a small hog may be faster
		p.full = true
		line, err = p.lines.ReadString('\n')
	}
	if err == nil {
		p.PID, err = strconv.Atoi(strings.TrimSpace(line))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hog %s: %w", h.Name, err), p.Stop())
	}
	return p, nil
}

// Go lets a hog that Waits take its memory.
func (p *Process) Go() error {
	if p.gate == nil {
		return nil
	}
	err := p.gate.Close()
	p.gate = nil
	return err
}

// Full waits until the hog has all its memory. It returns io.EOF when the hog
// died before.
func (p *Process) Full(ctx context.Context) error {
	if p.full {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = p.report.Close() })
	defer stop()
	_, err := p.lines.ReadString('\n')
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// waitState waits until the process is in that state of proc_pid_stat(5).
func (p *Process) waitState(ctx context.Context, state byte) error {
	path := fmt.Sprintf("/proc/%d/stat", p.PID)
	for ctx.Err() == nil {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if i := bytes.LastIndexByte(b, ')'); i > 0 && i+2 < len(b) && b[i+2] == state {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("process %d: not in state %c: %w", p.PID, state, ctx.Err())
}

// Wait waits until the hog has exited and reports whether SIGKILL ended it.
func (p *Process) Wait(ctx context.Context) (killed bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	err = p.cmd.Wait()
	_ = p.report.Close()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return false, err
	}
	ws, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ws.ExitStatus() == killedStatus || ws.Signal() == syscall.SIGKILL, nil
}

// mostToLetGo bounds how long Stop waits: a hog that waits for a device goes once that
// one writes, which is undone later.
const mostToLetGo = 30 * time.Second

// letGo waits until no process of the hog holds memory any more: the launcher may end
// before the others, which have the report open and close it after they have let go of
// their memory (kernel/exit.c, do_exit). What the next scenario reads of the machine's
// memory would have them in it.
func (p *Process) letGo() {
	if err := p.report.SetReadDeadline(time.Now().Add(mostToLetGo)); err == nil {
		_, _ = io.Copy(io.Discard, p.lines)
	}
}

// Stop kills the hog and waits for its end.
func (p *Process) Stop() error {
	err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		err = nil
	}
	_ = p.cmd.Wait()
	_ = p.Go()
	p.letGo()
	if cerr := p.report.Close(); cerr != nil && !errors.Is(cerr, os.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return err
}
