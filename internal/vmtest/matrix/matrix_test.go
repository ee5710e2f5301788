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
	qemu           []string
	cgroup         string
	env            []string
	// files adds to the guest's files.
	files func(ctx context.Context, b *builds, k *kernels.Kernel) ([]initramfs.File, error)
	// on are the kernels to run on, all when empty.
	on []string
	// skip names kernels whose guests cannot run this suite, with the reason
	// that the closing line prints.
	skip map[string]string
}

func suites() []suite {
	return []suite{
		{name: "tiers", pkg: "./internal/tracer", run: "^TestGuest"},
		{name: "scenarios", pkg: "./internal/cli", run: "^TestGuest"},
		{name: "numa", pkg: "./internal/cli", run: "^TestNUMA", qemu: vmtest.TwoNodes(), on: []string{"5.10", "6.1", "6.12", "7.x"}},
		{name: "service", pkg: "./internal/cli", run: "^TestService", on: []string{"5.10", "6.1", "6.12", "7.x"}},
		{name: "privileges", pkg: "./internal/cli", run: "^TestPrivileges", on: []string{"5.10", "6.12"}},
		{name: "containerd", pkg: realtest, run: "^TestGuestContainerd", memoryMiB: 1024, on: []string{"6.12"}, files: containerd},
		{name: "docker", pkg: realtest, run: "^TestGuestDocker", memoryMiB: 1536, on: []string{"6.12"}, files: docker},
		{name: "podman", pkg: realtest, run: "^TestGuestPodman", memoryMiB: 1024, on: []string{"6.12"}, files: podman},
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

// builds makes each test binary once.
type builds struct {
	root, dir string
	mu        sync.Mutex
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
	command := []string{"/test", "-test.v", "-test.run", s.run, "-test.timeout", "25m"}
	if *guestRun != "" {
		command[3] = *guestRun
	}
	live, err := liveOutput(name + "-" + s.name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = live.Close() }()
	res, err := vmtest.Boot(ctx, vmtest.Options{
		Output: live,
		Kernel: k, Command: command, Env: append(s.env, "OOMTRACE_NO_TIER="+noTier(name)),
		Files:     files,
		MemoryMiB: s.memoryMiB, QEMU: s.qemu, Cgroup: s.cgroup, Timeout: 25 * time.Minute, BootTimeout: 2 * time.Minute,
	})
	if err != nil {
		var ge *vmtest.GuestError
		if errors.As(err, &ge) {
			t.Fatalf("%v\n%s\n%s", err, tail(ge.Output, 4000), tail(ge.Console, 4000))
		}
		t.Fatal(err)
	}
	keep(t, name+"-"+s.name, res)
	report(t, name, s, res)
}

// report prints the guest's counts in the form that testcount passes on.
func report(t *testing.T, name string, s suite, res *vmtest.Result) {
	pass, fail, skip := count(res.Output)
	fmt.Printf("vm %s %s: %d passed, %d failed, %d skipped (%s, %s, %d boots)\n",
		name, s.name, pass, fail, skip, res.Release, res.Elapsed.Round(time.Second), res.Boots)
	switch {
	case fail > 0 || res.ExitCode != 0:
		t.Errorf("exit %d\n%s", res.ExitCode, failures(res.Output))
	case pass == 0:
		t.Errorf("no test ran\n%s", tail(res.Output, 4000))
	case skip > 0:
		t.Errorf("%d tests skipped: what a guest cannot run does not belong to its suite\n%s", skip, failures(res.Output))
	}
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
