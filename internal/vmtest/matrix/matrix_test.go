//go:build vmtest

// Package matrix runs the guest tests of the repository on every kernel.
package matrix

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/vmtest"
	"github.com/oomtrace/oomtrace/internal/vmtest/initramfs"
	"github.com/oomtrace/oomtrace/internal/vmtest/kernels"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

var (
	kernelList = flag.String("kernels", strings.Join(kernels.Names(), " "), "kernels to run on")
	guestRun   = flag.String("guest.run", "", "run only the guest tests that match")
	only       = flag.String("suite", "", "run only this suite")
	guestOut   = flag.String("guest.out", "", "keep each guest's output and files below this directory")
)

// suite is a package whose tests run in guests.
type suite struct {
	name, pkg, run string
	memoryMiB      int
	cpus           int
	qemu           []string
	modules        []string
	cgroup         string
	cmdline        string
	env            []string
	systemd        bool
	// mitigated keeps the kernel's mitigations, for the suites that verify programs with each
	// set of capabilities and attach them by each tier. Without them and with a lean CPU, a
	// guest takes 30 % less of the host's time.
	mitigated bool
	// files adds to the guest's files.
	files func(ctx context.Context, b *builds, k *kernels.Kernel) ([]initramfs.File, error)
	// on are the kernels to run on, all when empty.
	on []string
	// skip names kernels whose guests cannot run this suite, with the reason
	// that the closing line prints.
	skip map[string]string
}

func amd64() []string { return []string{"5.10", "6.1", "6.12", "7.x"} }

// without61 is for what does not differ between 6.1 and the kernels around it (tiers and
// scenarios run there): a run is to stay below an hour and a half on slow hosts too.
func without61() []string { return []string{"5.10", "6.12", "7.x"} }

func suites() []suite {
	return []suite{
		{name: "tiers", pkg: "./internal/tracer", run: "^TestGuest", mitigated: true},
		{name: "history", pkg: "./internal/history", run: "^TestGuest(Truth|Restart)$", memoryMiB: 1024, on: []string{"5.10", "6.1", "7.x", "6.1-arm64"}},
		{name: "history", pkg: "./internal/history", run: "^TestGuest", memoryMiB: 1024, on: []string{"6.12"}},
		{name: "history-v1", pkg: "./internal/history", run: "^TestGuestTruth$", memoryMiB: 1024, cgroup: "v1", cmdline: "swapaccount=1", on: []string{"5.10", "6.1"}},
		{name: "scenarios", pkg: "./internal/cli", run: "^TestGuest", modules: workload.Modules(), on: amd64()},
		// An emulated arm64 guest of 512 MiB has too little left for those that
		// fill the machine's swap or break its memory into pieces.
		{name: "scenarios", pkg: "./internal/cli", run: "^TestGuest$|^TestGuest[A-Z]/^(cgroup|pod|podman|no-victim|sysrq|alloc|system-noswap|system-kernel|swap-mlocked|NoSwap|LimitedSwap)", modules: workload.Modules(), on: []string{"6.1-arm64"}},
		{name: "sigkill", pkg: "./internal/cli", run: "^TestSigkill", on: without61()},
		{name: "numa", pkg: "./internal/cli", run: "^TestNUMA", qemu: vmtest.TwoNodes(), on: without61()},
		{name: "movable", pkg: "./internal/cli", run: "^TestMovable", cmdline: workload.MovableCmdline, on: without61()},
		{name: "service", pkg: "./internal/cli", run: "^TestService", memoryMiB: 768, on: []string{"5.10"}},
		{name: "service", pkg: "./internal/cli", run: "^TestService(Pin|Two|Layout|Unpinnable|ToldOnce|Resume|Log|Errors|Types|ClosedPipe)$", memoryMiB: 768, env: []string{"OOMTRACE_FULL=1"}, on: []string{"6.12"}},
		{name: "storm", pkg: "./internal/cli", run: "^TestService(Storm|NeverRead)$", memoryMiB: 768, env: []string{"OOMTRACE_FULL=1"}, on: []string{"6.12"}},
		{name: "service", pkg: "./internal/cli", run: "^TestService(Pin|NeverRead|Log|Resume|ToldOnce)$", memoryMiB: 768, on: []string{"6.1", "7.x"}},
		{name: "small", pkg: "./internal/cli", run: "^TestSmall", memoryMiB: 256, on: without61()},
		// Programs on each system call make the kernel change the code that all CPUs run:
		// two emulated ones have been seen to wait for each other then (6.1).
		{name: "privileges", pkg: "./internal/cli", run: "^TestPrivileges", cpus: 1, mitigated: true, on: without61()},
		{name: "privileges", pkg: "./internal/cli", run: "^TestPrivilegesCalls$", cpus: 1, mitigated: true, on: []string{"6.1-arm64"}},
		// Debian's kernels from 6.12 on have no memory controller of v1.
		{name: "v1", pkg: "./internal/cli", run: "^TestLegacy", cgroup: "v1", cmdline: "swapaccount=1", on: []string{"5.10", "6.1"}},
		{name: "hybrid", pkg: "./internal/cli", run: "^TestLegacyTiers", cgroup: "hybrid", cmdline: "swapaccount=1", on: []string{"5.10", "6.1"}},
		{name: "owners", pkg: realtest, run: "^TestGuestOwners", on: amd64(), files: hog},
		{name: "owners-v1", pkg: realtest, run: "^TestGuestOwners", cgroup: "v1", on: []string{"6.1"}, files: hog},
		{name: "owners-hybrid", pkg: realtest, run: "^TestGuestOwners", cgroup: "hybrid", on: []string{"6.1"}, files: hog},
		{name: "containerd", pkg: realtest, run: "^TestGuestContainerd", memoryMiB: 1024, on: []string{"6.12"}, files: containerd},
		{name: "docker", pkg: realtest, run: "^TestGuestDocker", memoryMiB: 1536, on: []string{"6.12"}, files: docker},
		{name: "podman", pkg: realtest, run: "^TestGuestPodman", memoryMiB: 1024, on: []string{"6.12"}, files: podman},
		{name: "systemd", pkg: systemdtest, run: "^TestGuest", memoryMiB: 1536, cmdline: "psi=1", systemd: true, on: []string{"6.12"}, files: systemd},
	}
}

// noTier names the tier that a kernel lacks: bookworm's arm64 kernel has no
// direct calls for ftrace, which fentry needs (they came to arm64 with 6.4).
func noTier(kernel string) string {
	if kernel == "6.1-arm64" {
		return "fentry"
	}
	return ""
}

func TestVM(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	b := &builds{root: root, dir: t.TempDir()}
	t.Cleanup(func() { b.judge(t) })
	slots := make(chan struct{}, 2)
	for _, name := range strings.Fields(*kernelList) {
		for _, s := range suites() {
			if *only != "" && s.name != *only || len(s.on) > 0 && !slices.Contains(s.on, name) {
				continue
			}
			t.Run(name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				guest(t, b, name, s)
			})
		}
	}
}

// maxSeconds is how many suites of a run may need their second guest: more is no
// chance, but a fault.
const maxSeconds = 1

// builds makes each test binary once.
type builds struct {
	root, dir string
	mu        sync.Mutex
	firsts    []string // of the suites that needed a second guest, what failed in their first
}

// second notes that a suite gets a second guest.
func (b *builds) second(first string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.firsts = append(b.firsts, first)
}

// judge ends the run with what failed in first guests: who reads only a run's end
// must see it.
func (b *builds) judge(t *testing.T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, first := range b.firsts {
		fmt.Printf("vm in all: at first: %s\n", first)
	}
	if n := len(b.firsts); n > maxSeconds {
		t.Errorf("%d suites needed a second guest: %d may, on a busy host", n, maxSeconds)
	}
}

func (b *builds) test(ctx context.Context, arch, pkg string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := filepath.Join(b.dir, strings.ReplaceAll(strings.TrimPrefix(pkg, "./"), "/", "-")+"-"+arch)
	if _, err := os.Stat(out); err == nil {
		return out, nil
	}
	return out, vmtest.BuildTest(ctx, arch, b.root, pkg, out)
}

// longest ends a suite that hangs. Some take more than eight minutes where two guests
// share two CPUs, and to be slower than that is no fault.
const longest = 25 * time.Minute

func guest(t *testing.T, b *builds, name string, s suite) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	if why, skip := s.skip[name]; skip {
		fmt.Printf("vm %s %s: 0 passed, 0 failed, 0 skipped (not here: %s)\n", name, s.name, why)
		return
	}
	k, err := kernels.Resolve(ctx, name, kernels.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bin, err := b.test(ctx, k.Arch, s.pkg)
	if err != nil {
		t.Fatal(err)
	}
	files := []initramfs.File{{Path: "/test", Host: bin, Mode: 0o755}}
	if s.files != nil {
		more, err := s.files(ctx, b, k)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	// On 7.3 a lean guest kills faster than the memory of a victim comes back that holds a ramfs,
	// until no process is left and the kernel panics (seen twice in turn).
	cmdline, lean := s.cmdline, name != "7.x"
	if lean && !s.mitigated {
		cmdline += " mitigations=off"
	}
	command := []string{"/test", "-test.v", "-test.run", s.run, "-test.timeout", longest.String()}
	if *guestRun != "" {
		command[3] = *guestRun
	}
	live, err := liveOutput(name + "-" + s.name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = live.Close() }()
	twice(t, b, name, s, vmtest.Options{
		Output: live,
		Kernel: k, Command: command, Env: append(s.env, "OOMTRACE_NO_TIER="+noTier(name)),
		Files:     files,
		MemoryMiB: s.memoryMiB, CPUs: s.cpus, QEMU: s.qemu, Systemd: s.systemd, Modules: s.modules, Cgroup: s.cgroup, Cmdline: cmdline, Lean: lean, Timeout: longest + time.Minute, BootTimeout: 4 * time.Minute,
	})
}

// twice gives a suite a second guest when it fails in the first: a machine
// without memory, emulated on a busy host, may come to an end that no test
// foresaw. The closing line names what failed the first time.
func twice(t *testing.T, b *builds, name string, s suite, opts vmtest.Options) {
	first := ""
	for try := 1; ; try++ {
		res, err := vmtest.Boot(t.Context(), opts)
		if err == nil {
			keep(t, name+"-"+s.name, res)
		}
		why := judge(res, err)
		if why != "" && try == 1 && t.Context().Err() == nil {
			first = "; failed at first: " + blame(res, err)
			t.Logf("first try: %s", why)
			said := firstSaid(res, err)
			for _, line := range said {
				fmt.Printf("vm %s %s: at first: %s\n", name, s.name, line)
			}
			b.second(fmt.Sprintf("%s %s: %s: %s", name, s.name, blame(res, err), strings.Join(said[:min(len(said), 2)], " | ")))
			continue
		}
		if res != nil {
			pass, fail, skip := count(res.Output)
			fmt.Printf("vm %s %s: %d passed, %d failed, %d skipped (%s, %s, %d boots%s)\n",
				name, s.name, pass, fail, skip, res.Release, res.Elapsed.Round(time.Second), res.Boots, first)
		}
		if why != "" {
			t.Error(why)
		}
		return
	}
}

// judge says what is wrong with a guest's run, nothing if it is as it should be.
func judge(res *vmtest.Result, err error) string {
	var ge *vmtest.GuestError
	if errors.As(err, &ge) {
		return fmt.Sprintf("%v\n%s\n%s", err, tail(ge.Output, 4000), tail(ge.Console, 4000))
	}
	if err != nil {
		return err.Error()
	}
	pass, fail, skip := count(res.Output)
	switch {
	case fail > 0 || res.ExitCode != 0:
		return fmt.Sprintf("exit %d\n%s", res.ExitCode, failures(res.Output))
	case pass == 0:
		return fmt.Sprintf("no test ran\n%s", tail(res.Output, 4000))
	case skip > 0:
		return fmt.Sprintf("%d tests skipped: what a guest cannot run does not belong to its suite\n%s", skip, failures(res.Output))
	}
	return ""
}

// blame names in one line what failed.
func blame(res *vmtest.Result, err error) string {
	var ge *vmtest.GuestError
	switch {
	case errors.As(err, &ge):
		return ge.Err.Error()
	case err != nil:
		return err.Error()
	}
	var names []string
	for line := range strings.Lines(string(res.Output)) {
		if name, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "--- FAIL: "); ok {
			names = append(names, strings.Fields(name)[0])
		}
	}
	return strings.Join(names, " ")
}

// firstSaid is what is known of a first guest's failure, in short: a second guest's
// success must not hide it.
func firstSaid(res *vmtest.Result, err error) []string {
	const most = 1500 // bytes
	var ge *vmtest.GuestError
	switch {
	case res != nil:
		return complaints(res.Output)
	case errors.As(err, &ge):
		return append(strings.Split(tail(ge.Output, most), "\n"), strings.Split(tail(ge.Console, most), "\n")...)
	}
	return []string{err.Error()}
}

// complaints are what the failed tests said, in short.
func complaints(output []byte) []string {
	const most, width = 12, 240
	said := map[string][]string{}
	var running string
	var out []string
	for line := range strings.Lines(string(output)) {
		line = strings.TrimSpace(line)
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "=== ") && len(f) > 2:
			running = f[2]
		case strings.HasPrefix(line, "--- FAIL: "):
			out = append(out, said[f[2]]...)
		case strings.Contains(line, "_test.go:"):
			said[running] = append(said[running], line[:min(len(line), width)])
		}
	}
	return out[:min(len(out), most)]
}

func count(output []byte) (pass, fail, skip int) {
	for line := range bytes.Lines(output) {
		line = bytes.TrimLeft(line, " ")
		switch {
		case bytes.HasPrefix(line, []byte("--- PASS")):
			pass++
		case bytes.HasPrefix(line, []byte("--- FAIL")):
			fail++
		case bytes.HasPrefix(line, []byte("--- SKIP")):
			skip++
		}
	}
	return pass, fail, skip
}

// failures leaves out what passed.
func failures(output []byte) string {
	var out strings.Builder
	for line := range strings.Lines(string(output)) {
		t := strings.TrimLeft(line, " ")
		if strings.HasPrefix(t, "=== ") || strings.HasPrefix(t, "--- PASS") {
			continue
		}
		out.WriteString(line)
	}
	return tail([]byte(out.String()), 16000)
}

func tail(b []byte, n int) string {
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return string(b)
}

// liveOutput is where a guest's output can be watched.
func liveOutput(name string) (io.WriteCloser, error) {
	if *guestOut == "" {
		return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	path := filepath.Join(*guestOut, name, "live")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.Create(path)
}

func keep(t *testing.T, name string, res *vmtest.Result) {
	if *guestOut == "" {
		return
	}
	files := map[string][]byte{"output": res.Output}
	for n, b := range res.Files {
		files[n] = b
	}
	for n, b := range files {
		path := filepath.Join(*guestOut, name, n)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
