//go:build vmguest

package realtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// engine is a command that runs containers.
type engine struct {
	name string
	args []string
	// flags go with each container.
	flags []string
}

// do runs one of its commands.
func (e *engine) do(t *testing.T, args ...string) string {
	t.Helper()
	return command(t, e.name, append(e.args[:len(e.args):len(e.args)], args...)...)
}

// run starts a container and returns its id.
func (e *engine) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	return e.do(t, slices.Concat([]string{"run", "-d", "--network=host", "--memory=32m", "--name=" + name}, e.flags, args)...)
}

// has says whether a container is still there.
func (e *engine) has(id string) bool {
	return exec.Command(e.name, append(e.args[:len(e.args):len(e.args)], "container", "inspect", id)...).Run() == nil
}

// overrun tells a container that waits to take its memory, until it is killed.
func (e *engine) overrun(t *testing.T, id string) {
	t.Helper()
	pid, err := strconv.Atoi(e.do(t, "inspect", "-f", "{{.State.Pid}}", id))
	if err != nil || pid == 0 {
		t.Fatalf("process %d of container %s: %v", pid, id, err)
	}
	until(t, "the container's process is gone", func() bool {
		if listens(pid) {
			_ = syscall.Kill(pid, syscall.SIGUSR1) // it may just have died
		}
		return gone(pid)
	})
}

// path is the memory cgroup of a container that runs.
func (e *engine) path(t *testing.T, id string) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + e.do(t, "inspect", "-f", "{{.State.Pid}}", id) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if f[1] == "" || f[1] == "memory" {
			return f[2]
		}
	}
	t.Fatalf("no memory cgroup in %q", b)
	return ""
}

// gone says that a process has ended, or has nothing left but its exit code.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || strings.Contains(string(b), "\nState:\tZ")
}

// kill overruns a container at once.
func (e *engine) kill(t *testing.T, s *session, name string, args ...string) {
	t.Helper()
	id := e.run(t, name, append(args, hogImage, "eat", "200")...)
	engineOwner(t, s.wait(t, id)[0], e.name, id, name)
}

// removed makes the record only when the engine has removed the container.
func (e *engine) removed(t *testing.T, s *session, name string) {
	t.Helper()
	id := e.run(t, name, "--rm", hogImage, "wait", "200")
	s.knows(t, e.path(t, id), id)
	func() {
		s.gate.Lock()
		defer s.gate.Unlock()
		e.overrun(t, id)
		until(t, "the container is removed", func() bool { return !e.has(id) })
	}()
	engineOwner(t, s.wait(t, id)[0], e.name, id, name)
}

// stops has an engine end containers by force.
func (e *engine) stops(t *testing.T, s *session, program, startedBy string) {
	for name, args := range map[string][]string{"stopped": {"stop", "-t", "1"}, "killed": {"kill"}} {
		t.Run(name, func(t *testing.T) {
			id := e.run(t, "stubborn-"+name, hogImage, "stay")
			pid, err := strconv.Atoi(e.do(t, "inspect", "-f", "{{.State.Pid}}", id))
			if err != nil {
				t.Fatal(err)
			}
			until(t, "the process ignores SIGTERM", func() bool { return ignores(pid) })
			s.knows(t, e.path(t, id), id)
			e.do(t, append(args, id)...)
			s.stopped(t, pid, id, program, startedBy)
		})
	}
}

// TestGuestDocker kills in containers of Docker.
func TestGuestDocker(t *testing.T) {
	daemon(t, "/usr/sbin/dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false",
		"--storage-driver=vfs", "--userland-proxy=false", "--exec-opt=native.cgroupdriver=cgroupfs", "--data-root=/tmp/docker")
	await(t, "/run/docker.sock")
	docker := &engine{name: "docker"}
	docker.do(t, "load", "-i", archiveOf(t))
	s := startSession(t).ready(t)
	t.Run("kill", func(t *testing.T) { docker.kill(t, s, "greedy") })
	t.Run("removed when it dies", func(t *testing.T) { docker.removed(t, s, "brief") })
	docker.stops(t, s, "runc", "containerd-shim")
	t.Run("below another cgroup", func(t *testing.T) { docker.kill(t, s, "lodger", "--cgroup-parent=/tenants") })
	t.Run("started before", func(t *testing.T) {
		id := docker.run(t, "early", hogImage, "wait", "200")
		late := startSession(t).ready(t)
		docker.overrun(t, id)
		engineOwner(t, late.wait(t, id)[0], "docker", id, "early")
	})
}

// TestGuestPodman kills in containers of podman, by its files and by its socket.
func TestGuestPodman(t *testing.T) {
	podman := &engine{
		name: "podman", args: []string{"--cgroup-manager=cgroupfs", "--storage-driver=vfs", "--events-backend=file"},
		// The test itself is not to be killed, and podman hands that on.
		flags: []string{"--oom-score-adj=900", "--log-driver=none"},
	}
	podman.do(t, "load", "-i", archiveOf(t))
	cases := func(t *testing.T, suffix string) {
		s := startSession(t).ready(t)
		t.Run("kill", func(t *testing.T) { podman.kill(t, s, "greedy"+suffix) })
		t.Run("removed when it dies", func(t *testing.T) { podman.removed(t, s, "brief"+suffix) })
		t.Run("in a pod", func(t *testing.T) {
			pod := podman.do(t, "pod", "create", "--infra=false", "--name=shop"+suffix)
			id := podman.run(t, "member"+suffix, "--pod=shop"+suffix, hogImage, "wait", "200")
			name := ""
			if suffix == "-socket" {
				// The files are read first; they do not name pods.
				name = "shop" + suffix
				path := podman.path(t, id)
				until(t, "the pod's name is known", func() bool { p, _ := s.cache.Pod(path, pod); return p.Name == name })
			}
			podman.overrun(t, id)
			g := s.wait(t, id)[0]
			engineOwner(t, g, "podman", id, "member"+suffix)
			if p := g.rec.Victim.Pod; p == nil || p.UID != pod || p.Name != name {
				t.Errorf("pod %+v, want %s %q", p, pod, name)
			}
		})
	}
	t.Run("files", func(t *testing.T) { cases(t, "-files") })
	podman.stops(t, startSession(t).ready(t), "crun", "podman")
	daemon(t, "podman", append(podman.args[:len(podman.args):len(podman.args)], "system", "service", "--time=0")...)
	await(t, "/run/podman/podman.sock")
	t.Run("socket", func(t *testing.T) { cases(t, "-socket") })
}
