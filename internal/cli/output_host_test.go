//go:build hosttest

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// smallDisk is a file system with room for one page, and for 60 KiB more once
// the function returned is called.
func smallDisk(t *testing.T) (dir string, makeRoom func()) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, func() {
		t.Helper()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
}

// killUntil kills until cond is true, and returns the names of the cgroups.
func killUntil(t *testing.T, cond func() bool) (cgroups []string) {
	t.Helper()
	for i := 0; !cond(); i++ {
		if i == 100 {
			t.Fatal("100 kills were not enough")
		}
		name := fmt.Sprintf("oomtrace-output-%d-%d", os.Getpid(), i)
		if err := overrunOnce(name); err != nil {
			t.Fatal(err)
		}
		cgroups = append(cgroups, name)
	}
	return cgroups
}

// killsIn are the kills in a file, which holds whole lines only.
func killsIn(t *testing.T, path string) []oom.Record {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return only(parse(t, b), oom.KindKill)
}

// checkEach wants one record of each kill.
func checkEach(t *testing.T, records []oom.Record, cgroups []string) {
	t.Helper()
	seen := map[string]int{}
	for _, r := range records {
		seen[filepath.Base(r.Victim.Cgroup)]++
	}
	for _, name := range cgroups {
		if seen[name] != 1 {
			t.Errorf("%s: %d records", name, seen[name])
		}
	}
}

func httpGet(t *testing.T, url string) (code int, body string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, strings.TrimSpace(string(b))
}

// TestHostFullOutputFile: a disk that is full for a while costs no record.
func TestHostFullOutputFile(t *testing.T) {
	dir, makeRoom := smallDisk(t)
	path := filepath.Join(dir, "kills.json")
	p := newTracee(t, "-o", "json", "--no-why", "--output-file", path, "--metrics", "127.0.0.1:0").startReady()
	health := "http://" + regexp.MustCompile(`metrics on http://([^/]+)/metrics`).FindStringSubmatch(p.stderr.String())[1] + "/healthz"
	if code, body := httpGet(t, health); code != http.StatusOK || body != "ok" {
		t.Errorf("healthy: %d %q", code, body)
	}
	says := func(text string) func() bool {
		return func() bool { return strings.Contains(p.stderr.String(), text) }
	}
	waits := says("no space left on device; records are queued until there is room")
	cgroups := killUntil(t, waits)
	if code, body := httpGet(t, health); code != http.StatusServiceUnavailable || body != "disk full: records are queued" {
		t.Errorf("full: %d %q", code, body)
	}
	if code, body := httpGet(t, strings.Replace(health, "/healthz", "/livez", 1)); code != http.StatusOK {
		t.Errorf("full: a restart is asked for: %d %q", code, body)
	}
	cgroups = append(cgroups, "oomtrace-output-waits-"+strconv.Itoa(os.Getpid()))
	if err := overrunOnce(cgroups[len(cgroups)-1]); err != nil {
		t.Fatal(err)
	}
	makeRoom()
	eventually(t, "the end of the wait", p.ended, says("there is room again; writing continues"))
	p.interrupt()
	checkEach(t, killsIn(t, path), cgroups)
	if n := strings.Count(p.stderr.String(), "records are queued until"); n != 1 {
		t.Errorf("told %d times: %s", n, p.stderr.String())
	}
}

// TestHostFullStdout: a file on a full disk ends with a whole line.
func TestHostFullStdout(t *testing.T) {
	for _, flags := range []int{os.O_TRUNC, os.O_APPEND} {
		dir, _ := smallDisk(t)
		path := filepath.Join(dir, "kills.json")
		out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flags, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		p := newTracee(t, "-o", "json")
		p.cmd.Stdout = out
		p.startReady()
		killUntil(t, func() bool { return strings.Contains(p.stderr.String(), "no space left on device") })
		_ = p.wait()
		if code := p.cmd.ProcessState.ExitCode(); code != exitError || !strings.Contains(p.stderr.String(), "hint: free disk space") {
			t.Errorf("exit code %d: %s", code, p.stderr.String())
		}
		killsIn(t, path)
		_ = out.Close()
	}
}

// TestHostStuckPipe: a pipe that nobody reads does not keep oomtrace from
// ending at the first signal.
func TestHostStuckPipe(t *testing.T) {
	p := newTracee(t, "-o", "json")
	pipe := p.startWithPipe()
	if _, err := unix.FcntlInt(pipe.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := overrunOnce(fmt.Sprintf("oomtrace-stuck-%d-%d", os.Getpid(), i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.wait()
	told := regexp.MustCompile(`output is stuck: [1-9]\d* records? not written \(they are lost\)`).MatchString(p.stderr.String())
	if code := p.cmd.ProcessState.ExitCode(); code != exitError || !told {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

// TestHostReaderGone: "oomtrace | head -1" does not wait for another kill.
func TestHostReaderGone(t *testing.T) {
	p := newTracee(t, "-o", "json")
	pipe := p.startWithPipe()
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(); err != nil || strings.Contains(p.stderr.String(), "hint:") {
		t.Errorf("exit: %v: %s", err, p.stderr.String())
	}
}

// permitted are the capabilities that a process may use.
func permitted(t *testing.T, pid int) uint64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(b, []byte("CapPrm:\t"))
	mask, err := strconv.ParseUint(string(rest[:16]), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return mask
}

// TestHostRotationKeepsItsRights: with privileges dropped the file is still
// rotated in another user's directory, and only then are rights kept for it.
func TestHostRotationKeepsItsRights(t *testing.T) {
	const other = 12345
	for _, tt := range []struct {
		name   string
		owner  int
		mode   os.FileMode
		rotate bool
		kept   uint64
	}{
		{"own directory", 0, 0o755, true, 0},
		{"another user's", other, 0o755, true, 1 << unix.CAP_DAC_OVERRIDE},
		{"sticky, and its own file", other, 0o777 | os.ModeSticky, true, 0},
		{"not rotated", other, 0o755, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(dir, tt.owner, tt.owner); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, tt.mode); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "kills.json")
			p := newTracee(t, "-o", "json", "--output-file", path)
			if tt.rotate {
				p.cmd.Args = append(p.cmd.Args, "--output-max-bytes", "1") // each record has a file of its own
			}
			p.startReady()
			if permitted(t, p.cmd.Process.Pid)&(1<<unix.CAP_SYS_ADMIN) != 0 {
				t.Fatal("nothing is dropped: threads of cgo are out of reach, build with CGO_ENABLED=0")
			}
			const rights = 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER
			if got := permitted(t, p.cmd.Process.Pid) & rights; got != tt.kept {
				t.Errorf("keeps %#x, want %#x", got, tt.kept)
			}
			if tt.rotate {
				killUntil(t, func() bool {
					_, err := os.Stat(path + ".2")
					return err == nil || p.hasEnded()
				})
			}
			p.interrupt()
		})
	}
}

// TestHostRotationRefused: what would fail at the first rotation fails at once.
func TestHostRotationRefused(t *testing.T) {
	const user = 12345
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "kills.json")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, user, user); err != nil {
		t.Fatal(err)
	}
	cmd := oomtraceCmd("--source", "kmsg", "-d", "1ms", "--output-file", path, "--output-max-bytes", "1000000")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: user, Gid: user}, AmbientCaps: []uintptr{unix.CAP_SYSLOG, unix.CAP_DAC_READ_SEARCH},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitError || !bytes.Contains(out, []byte("could not be rotated: directory "+dir+": permission denied\nhint: let this user write")) {
		t.Errorf("%v: %s", err, out)
	}
}

// TestHostRingBytes: the ring has the size asked for, as the kernel tells it.
func TestHostRingBytes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "4194304"},
		{[]string{"--ring-bytes", "65536"}, "65536"},
	} {
		p := newTracee(t, append([]string{"-o", "json"}, tt.args...)...).startReady()
		if got := ringBytes(t, p.cmd.Process.Pid); got != tt.want {
			t.Errorf("%v: %s bytes, want %s", tt.args, got, tt.want)
		}
		p.interrupt()
	}
}

// ringBytes is max_entries of the ring that a process has open
// (BPF_MAP_TYPE_RINGBUF is 27, include/uapi/linux/bpf.h).
func ringBytes(t *testing.T, pid int) string {
	t.Helper()
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	ring := regexp.MustCompile(`map_type:\t27\n(?s:.*)max_entries:\t(\d+)\n`)
	for _, info := range infos {
		b, _ := os.ReadFile(info) // some close meanwhile
		if m := ring.FindSubmatch(b); m != nil {
			return string(m[1])
		}
	}
	t.Fatal("no ring is open")
	return ""
}
