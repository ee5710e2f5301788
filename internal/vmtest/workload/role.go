package workload

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// roleEnv carries a Role to the process that plays it.
const roleEnv = "OOMTRACE_ROLE"

// Role is what a process does that has to do with SIGKILLs other than the OOM
// killer's.
type Role string

// The roles.
const (
	// Sleeper sleeps until it is killed.
	Sleeper Role = "sleeper"
	// Family has three sleepers as children.
	Family Role = "family"
	// Burner uses up its CPU limit of one second (RLIMIT_CPU).
	Burner Role = "burner"
	// Parent has a sleeper that is to die with it (PR_SET_PDEATHSIG), and exits when
	// it is released.
	Parent Role = "parent"
	// Tracer traces a sleeper that is to die with it (PTRACE_O_EXITKILL), and exits
	// when it is released.
	Tracer Role = "tracer"
	// Killer kills the processes that Tell names.
	Killer Role = "killer"
	// Stormer forks as many processes as Tell says and kills them: it has little memory
	// that a fork must copy.
	Stormer Role = "stormer"
)

// Actor is a process that plays a role.
type Actor struct {
	// PID is its process id as this process sees it.
	PID int
	// Children are its sleepers' ids, as it sees them itself.
	Children []int
	cmd      *exec.Cmd
	stdin    io.WriteCloser
}

// Play starts a role. Namespaces are CLONE_NEW* flags, 0 for none.
func Play(role Role, namespaces uintptr) (*Actor, error) {
	return PlayAs("/proc/self/exe", role, namespaces)
}

// PlayAs starts a role from another name of this program's file.
func PlayAs(exe string, role Role, namespaces uintptr) (*Actor, error) {
	cmd := exec.Command(exe)
	cmd.Args, cmd.Env, cmd.Stderr = []string{string(role)}, []string{roleEnv + "=" + string(role)}, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	a := &Actor{PID: cmd.Process.Pid, cmd: cmd, stdin: in}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", role, err)
	}
	for _, field := range strings.Fields(line) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", role, err)
		}
		a.Children = append(a.Children, pid)
	}
	return a, nil
}

// Tell gives a Killer a process id, or a Stormer a number of processes.
func (a *Actor) Tell(n int) error {
	_, err := fmt.Fprintln(a.stdin, n)
	return err
}

// Release lets an actor exit that waits for it, once it has done all that it was told.
func (a *Actor) Release() error { return a.stdin.Close() }

// Wait waits for the actor's end.
func (a *Actor) Wait() { _ = a.cmd.Wait() }

// play is the actor's side. Each writes its children's ids in a line, then goes on.
func play(role Role) error {
	switch role {
	case Sleeper:
		fmt.Println()
		sleepLong()
		return nil
	case Burner:
		if err := unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
			return err
		}
		fmt.Println()
		for n := 0; ; n++ {
			runtime.KeepAlive(n)
		}
	case Family:
		return family()
	case Parent:
		return withSleeper(&syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, func(int) error { return nil })
	case Tracer:
		return withSleeper(nil, seize)
	case Killer:
		return asTold(func(pid int) error { return unix.Kill(pid, unix.SIGKILL) })
	case Stormer:
		return asTold(storm)
	}
	return fmt.Errorf("no role %q", role)
}

// asTold does something with each number that Tell gives.
func asTold(do func(int) error) error {
	fmt.Println()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}

// storm kills n processes, as many at a time as fit into a guest's memory.
func storm(n int) error {
	for ; n > 0; n -= stormBatch {
		pids, err := Pausers(min(n, stormBatch))
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				return err
			}
		}
		for _, pid := range pids {
			if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

const stormBatch = 100

// sleepLong is longer than any test.
func sleepLong() { time.Sleep(time.Hour) }

// seize traces a process that dies with its tracer.
func seize(pid int) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, unix.PTRACE_O_EXITKILL, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func sleeper(attr *syscall.SysProcAttr) (int, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Env, cmd.SysProcAttr = []string{string(Sleeper)}, []string{roleEnv + "=" + string(Sleeper)}, attr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

func family() error {
	var line []string
	for range 3 {
		pid, err := sleeper(nil)
		if err != nil {
			return err
		}
		line = append(line, strconv.Itoa(pid))
	}
	fmt.Println(strings.Join(line, " "))
	sleepLong()
	return nil
}

// withSleeper starts a sleeper, which both a death signal and a tracer tie to the
// thread that did so.
func withSleeper(attr *syscall.SysProcAttr, then func(pid int) error) error {
	runtime.LockOSThread()
	pid, err := sleeper(attr)
	if err != nil {
		return err
	}
	if err := then(pid); err != nil {
		return err
	}
	fmt.Println(pid)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// Pausers forks n processes that sleep until they are killed, children of this one.
func Pausers(n int) ([]int, error) {
	pids := make([]int, 0, n)
	for range n {
		pid, errno := fork()
		if errno != 0 {
			return pids, fmt.Errorf("fork: %w", errno)
		}
		pids = append(pids, int(pid))
	}
	return pids, nil
}

// fork makes a child that only sleeps, which needs nothing of the Go runtime.
//
//go:nosplit
//go:norace
func fork() (uintptr, syscall.Errno) {
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if pid != 0 || errno != 0 {
		return pid, errno
	}
	for {
		_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}
