//go:build vmguest

package realtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// command runs an engine's command and returns what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// daemon runs a service until the test ends.
func daemon(t *testing.T, name string, args ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if b, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s: %s", name, b[max(0, len(b)-4000):])
		}
		_ = log.Close()
	})
}

// await waits for a file.
func await(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s did not appear", path)
}

// archiveOf writes the image that the engines load.
func archiveOf(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := imageFile(path, hogImage, "/hog", "/hog"); err != nil {
		t.Fatal(err)
	}
	return path
}

// engineOwner holds a kill in a container outside of Kubernetes against what is
// true.
func engineOwner(t *testing.T, g got, runtime, id, name string) {
	t.Helper()
	c := g.rec.Victim.Container
	t.Logf("cgroup %s, container %+v", g.rec.Victim.Cgroup, c)
	if c.ID != id || c.Name != name || c.Runtime != runtime || c.Image != hogImage {
		t.Errorf("container %+v, want %s %s %s of %s", c, runtime, id, name, hogImage)
	}
	if g.rec.Limit == nil || g.rec.Limit.Level != oom.LevelContainer {
		t.Errorf("limit %+v, want a container's", g.rec.Limit)
	}
}

// TestGuestDocker kills in containers of Docker.
func TestGuestDocker(t *testing.T) {
	daemon(t, "/usr/sbin/dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
		"--storage-driver=vfs", "--userland-proxy=false", "--exec-opt=native.cgroupdriver=cgroupfs", "--data-root=/tmp/docker")
	await(t, "/run/docker.sock")
	command(t, "docker", "load", "-i", archiveOf(t))
	run := func(t *testing.T, name string, args ...string) string {
		return command(t, "docker", append([]string{"run", "-d", "--network=host", "--memory=32m", "--name=" + name}, args...)...)
	}
	s := startSession(t).ready(t)
	t.Run("kill", func(t *testing.T) {
		id := run(t, "greedy", hogImage, "eat", "200")
		engineOwner(t, s.wait(t, id, 1)[0], "docker", id, "greedy")
	})
	t.Run("removed when it dies", func(t *testing.T) {
		id := run(t, "brief", "--rm", hogImage, "eat", "200")
		engineOwner(t, s.wait(t, id, 1)[0], "docker", id, "brief")
	})
	t.Run("below another cgroup", func(t *testing.T) {
		id := run(t, "lodger", "--cgroup-parent=/tenants", hogImage, "eat", "200")
		engineOwner(t, s.wait(t, id, 1)[0], "docker", id, "lodger")
	})
	t.Run("started before", func(t *testing.T) {
		id := run(t, "early", hogImage, "wait", "200")
		late := startSession(t).ready(t)
		pid, err := strconv.Atoi(command(t, "docker", "inspect", "-f", "{{.State.Pid}}", id))
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(patience); len(late.of(id)) == 0 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if listens(pid) {
				_ = syscall.Kill(pid, syscall.SIGUSR1) // it may just have died
			}
		}
		engineOwner(t, late.wait(t, id, 1)[0], "docker", id, "early")
	})
}

// TestGuestPodman kills in containers of podman, by its files and by its socket.
func TestGuestPodman(t *testing.T) {
	podman := []string{"--cgroup-manager=cgroupfs", "--storage-driver=vfs", "--events-backend=file"}
	do := func(t *testing.T, args ...string) string {
		t.Helper()
		return command(t, "podman", append(podman[:len(podman):len(podman)], args...)...)
	}
	run := func(t *testing.T, name string, args ...string) string {
		t.Helper()
		return do(t, append([]string{"run", "-d", "--network=host", "--memory=32m", "--oom-score-adj=900", "--log-driver=none", "--name=" + name}, args...)...)
	}
	do(t, "load", "-i", archiveOf(t))
	cases := func(t *testing.T, suffix string) {
		s := startSession(t).ready(t)
		t.Run("kill", func(t *testing.T) {
			id := run(t, "greedy"+suffix, hogImage, "eat", "200")
			engineOwner(t, s.wait(t, id, 1)[0], "podman", id, "greedy"+suffix)
		})
		t.Run("removed when it dies", func(t *testing.T) {
			id := run(t, "brief"+suffix, "--rm", hogImage, "eat", "200")
			engineOwner(t, s.wait(t, id, 1)[0], "podman", id, "brief"+suffix)
		})
		t.Run("in a pod", func(t *testing.T) {
			pod := do(t, "pod", "create", "--infra=false", "--name=shop"+suffix)
			id := run(t, "member"+suffix, "--pod=shop"+suffix, hogImage, "eat", "200")
			g := s.wait(t, id, 1)[0]
			engineOwner(t, g, "podman", id, "member"+suffix)
			p := g.rec.Victim.Pod
			if p == nil || p.UID != pod {
				t.Fatalf("pod %+v, want %s", p, pod)
			}
			if suffix == "-socket" && p.Name != "shop"+suffix {
				t.Errorf("pod's name %q", p.Name)
			}
		})
	}
	t.Run("files", func(t *testing.T) { cases(t, "-files") })
	daemon(t, "podman", append(podman[:len(podman):len(podman)], "system", "service", "--time=0")...)
	await(t, "/run/podman/podman.sock")
	t.Run("socket", func(t *testing.T) { cases(t, "-socket") })
}
