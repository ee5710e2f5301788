package harden

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asHardened makes the test binary harden itself, and say what came of it.
const asHardened = "OOMTRACE_TEST_HARDEN"

func TestMain(m *testing.M) {
	if os.Getenv(asHardened) == "" {
		os.Exit(m.Run())
	}
	adj, err := strconv.Atoi(os.Getenv(asHardened))
	if err != nil {
		panic(err)
	}
	LimitHeap()
	holes := objects(1<<10, 8<<10)
	for i := 0; i < len(holes); i += 2 {
		holes[i] = nil
	}
	for _, step := range Apply(Options{OOMScoreAdj: adj}) {
		fmt.Printf("step %s: %v\n", step.Name, step.Err)
	}
	before := faults()
	kept := [...][][]byte{objects(4, 32<<10), objects(200, 4<<10)} // as kills do
	after := faults()
	runtime.KeepAlive(kept)
	runtime.KeepAlive(holes)
	fmt.Printf("faults %d\n", after-before)
	for name, call := range forbidden() {
		fmt.Printf("%s -> %v\n", name, call())
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	for _, task := range append(tasks, "/proc/self/oom_score_adj") {
		b, _ := os.ReadFile(task)
		fmt.Printf("%s\n", b)
	}
}

// faults are those without I/O so far (proc_pid_stat(5)); getrusage(2) is forbidden.
func faults() int {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		panic(err)
	}
	n, err := strconv.Atoi(strings.Fields(string(b))[9])
	if err != nil {
		panic(err)
	}
	return n
}

// objects are on the heap, of a size that the compiler does not know, and touched.
//
//go:noinline
func objects(n, size int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = make([]byte, size)
		out[i][size/2] = 1
	}
	return out
}

// forbidden are system calls that a hardened process must not make, and some that
// it may: those fail for another reason.
func forbidden() map[string]func() error {
	errno := func(nr uintptr, args ...uintptr) func() error {
		args = append(args, 0, 0, 0)
		return func() error {
			_, _, e := unix.RawSyscall(nr, args[0], args[1], args[2])
			return e
		}
	}
	return map[string]func() error{
		"refused exec":       func() error { return unix.Exec("/nonexistent", nil, nil) },
		"refused fork":       errno(unix.SYS_CLONE, uintptr(unix.SIGCHLD)),
		"refused namespace":  errno(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_THREAD),
		"refused unshare":    func() error { return unix.Unshare(0) },
		"refused ptrace":     errno(unix.SYS_PTRACE),
		"refused mount":      func() error { return unix.Mount("", "/nonexistent", "", 0, "") },
		"refused setuid":     errno(unix.SYS_SETUID),
		"refused io_uring":   errno(unix.SYS_IO_URING_SETUP),
		"refused program":    errno(unix.SYS_BPF, unix.BPF_PROG_LOAD),
		"refused perf event": errno(unix.SYS_PERF_EVENT_OPEN),
		"refused network":    func() error { return socket(unix.AF_INET) },
		"allowed socket":     func() error { return socket(unix.AF_UNIX) },
		"refused signal":     func() error { return unix.Kill(os.Getppid(), unix.SIGURG) },
		"refused thread":     func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), unix.SIGURG) },
		"allowed signal":     func() error { return unix.Kill(os.Getpid(), unix.SIGURG) },
		"allowed question":   func() error { return unix.Kill(os.Getppid(), 0) },
		"allowed map lookup": errno(unix.SYS_BPF, unix.BPF_MAP_LOOKUP_ELEM),
		"allowed open":       func() error { return unix.Access("/nonexistent", 0) },
	}
}

func socket(domain int) error {
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// hardened is what a process says that has hardened itself. It is built without
// cgo, as the program is, and as the race detector's tests are not: what cgo
// starts is out of reach.
func hardened(t *testing.T, adj int) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "hardened")
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", asHardened, adj))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// TestApply: each thread has lost its capabilities, the heap is there, and not in huge
// pages; all but the last step needs privileges, and is reported where they are missing.
func TestApply(t *testing.T) {
	out := hardened(t, 500)
	threads := strings.Count(out, "Name:\t")
	for what, n := range map[string]int{
		"CapPrm:\t0000000000000000\n": threads, "CapEff:\t0000000000000000\n": threads, "CapInh:\t0000000000000000\n": threads,
		"NoNewPrivs:\t1\n": threads, "step drop privileges: <nil>\n": 1, "step oom_score_adj: <nil>\n": 1, "step ": 5, "\n500\n": 1,
		"CapAmb:\t0000000000000000\n": threads, "Seccomp:\t2\n": threads, "step filter system calls: <nil>\n": 1,
		"THP_enabled:\t0\n": threads, "refused ": 13, " -> operation not permitted\n": 13, "allowed ": 5,
	} {
		if got := strings.Count(out, what); got != n || n == 0 {
			t.Errorf("%d times %q, want %d", got, what, n)
		}
	}
	_, rest, _ := strings.Cut(out, "faults ")
	faults, err := strconv.Atoi(rest[:strings.IndexByte(rest, '\n')])
	if err != nil || faults > 100 { // of some 230 pages
		t.Errorf("%d page faults, %v", faults, err)
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestRefused: what the kernel refuses is said.
func TestRefused(t *testing.T) {
	if out := hardened(t, 2000); !strings.Contains(out, "step oom_score_adj: write ") || !strings.Contains(out, "step drop privileges: <nil>\n") {
		t.Error(out)
	}
}

func TestLimitCapabilities(t *testing.T) {
	all := ^uint32(0)
	c := capabilities{{Effective: 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_CHOWN, Permitted: all, Inheritable: all}, {Effective: all, Permitted: all, Inheritable: all}}
	c.limit([]uint{unix.CAP_SYS_PTRACE, unix.CAP_KILL, unix.CAP_BPF})
	want := capabilities{
		{Effective: 1 << unix.CAP_SYS_PTRACE, Permitted: 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_KILL},
		{Effective: 1 << (unix.CAP_BPF - 32), Permitted: 1 << (unix.CAP_BPF - 32)},
	}
	if c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
}

// TestWithCapabilities: what it takes away is there again.
func TestWithCapabilities(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	effective := func() string {
		b, err := os.ReadFile("/proc/thread-self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "CapEff:\t")
		return rest[:16]
	}
	before, failed := effective(), errors.New("failed")
	err := WithCapabilities(nil, func() error {
		if got := effective(); got != strings.Repeat("0", 16) {
			t.Errorf("still effective: %s", got)
		}
		return failed
	})
	if !errors.Is(err, failed) || effective() != before {
		t.Errorf("%v; effective %s, before %s", err, effective(), before)
	}
}

// TestEnough: what is missing is added, and no more of it than that.
func TestEnough(t *testing.T) {
	refused := errors.New("refused")
	for _, tt := range []struct {
		name  string
		needs int // the tries that fail
		want  []uint
	}{
		{"nothing", 0, []uint{1}},
		{"the first", 1, []uint{1, 2}},
		{"the second", 2, []uint{1, 3}},
		{"both", 3, []uint{1, 2, 3}},
		{"more than there is", 4, nil},
	} {
		tries := 0
		got, err := Enough([]uint{1}, []uint{2, 3}, func() error {
			if tries++; tries <= tt.needs {
				return refused
			}
			return nil
		})
		if !slices.Equal(got, tt.want) || (err != nil) != (tt.want == nil) || err != nil && !errors.Is(err, refused) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

// TestOwnLimit: the lowest of all that can be seen counts.
func TestOwnLimit(t *testing.T) {
	for _, tt := range []struct {
		name, groups string
		files        map[string]string
		want         int64
	}{
		{"nothing is known", "", nil, math.MaxInt64},
		{"no limit", "0::/a/b\n", map[string]string{"a/memory.max": "max\n", "a/b/memory.max": "max\n"}, math.MaxInt64},
		{"its own", "0::/a/b\n", map[string]string{"a/memory.max": "max\n", "a/b/memory.max": "67108864\n"}, 64 << 20},
		{"one above", "0::/a/b\n", map[string]string{"a/memory.max": "33554432\n", "a/b/memory.max": "67108864\n"}, 32 << 20},
		{"a container's namespace", "0::/\n", map[string]string{"memory.max": "67108864\n"}, 64 << 20},
		{
			"v1", "5:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/b\n0::/b\n",
			map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/a/memory.limit_in_bytes": "67108864\n", "a/memory.max": "1\n"}, 64 << 20,
		},
		{"v1, a path from outside of the container", "4:memory:/docker/1\n", map[string]string{"memory/memory.limit_in_bytes": "33554432\n"}, 32 << 20},
		{"a path that leads out", "0::/../../a\n", map[string]string{"a/memory.max": "33554432\n"}, 32 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			write := func(path, text string) {
				path = filepath.Join(root, path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			write("proc/self/cgroup", tt.groups)
			for path, text := range tt.files {
				write(filepath.Join("sys/fs/cgroup", path), text)
			}
			if got := ownLimit(root); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}
