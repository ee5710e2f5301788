//go:build hosttest || vmguest

package realtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// containerd is a daemon of the test's own: its root, state and socket are in a
// directory that goes with the test.
type containerd struct {
	dir    string
	h      workload.Hierarchy
	cmd    *exec.Cmd
	log    *os.File
	conn   *grpc.ClientConn
	client cri.RuntimeServiceClient

	mu   sync.Mutex
	pods []*pod
}

// config asks for no network, no AppArmor profiles, no snapshots that need a
// file system of their own, and no daemon's standard directory.
const config = `version = 2
root = "%[1]s/root"
state = "%[1]s/state"
[grpc]
  address = "%[1]s/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "%[1]s/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  disable_apparmor = true
  restrict_oom_score_adj = true
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%[1]s/cni"
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "%[1]s/runc"
`

// startContainerd starts containerd with both images in it; hog is the program
// that they hold. The test's end takes away all that it made.
func startContainerd(t *testing.T, hog string) *containerd {
	t.Helper()
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	// A socket's path is short.
	dir, err := os.MkdirTemp("", "ctd-")
	if err != nil {
		t.Fatal(err)
	}
	c := &containerd{dir: dir, h: h}
	t.Cleanup(func() { c.cleanUp(t) })
	if err := os.WriteFile(c.path("config.toml"), fmt.Appendf(nil, config, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c.logs(), 0o755); err != nil {
		t.Fatal(err)
	}
	if c.log, err = os.Create(c.path("log")); err != nil {
		t.Fatal(err)
	}
	c.conn, err = grpc.NewClient("passthrough:///"+c.path("c.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithContextDialer(func(ctx context.Context, path string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))
	if err != nil {
		t.Fatal(err)
	}
	c.client = cri.NewRuntimeServiceClient(c.conn)
	if err := c.start(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, c.logTail())
	}
	for name, args := range map[string][]string{pauseImage: {"/hog", "pause"}, hogImage: {"/hog"}} {
		if err := c.load(t.Context(), name, hog, args); err != nil {
			t.Fatalf("%v\n%s", err, c.logTail())
		}
	}
	return c
}

func (c *containerd) path(name string) string { return filepath.Join(c.dir, name) }

func (c *containerd) logs() string { return c.path("logs") }

func (c *containerd) socket() string { return c.path("c.sock") }

// start starts the daemon and waits until it answers.
func (c *containerd) start(ctx context.Context) error {
	c.cmd = exec.Command("containerd", "--config", c.path("config.toml"))
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c.conn.ResetConnectBackoff()
		_, err := c.client.Version(ctx, &cri.VersionRequest{})
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// load imports an image and waits until the CRI has noticed.
func (c *containerd) load(ctx context.Context, name, hog string, entrypoint []string) error {
	file := c.path("image.tar")
	if err := imageFile(file, name, hog, entrypoint...); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "ctr", "-a", c.socket(), "-n", "k8s.io", "images", "import", "--snapshotter", "native", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import image: %w: %s", err, out)
	}
	images := cri.NewImageServiceClient(c.conn)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		r, err := images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
		if err != nil || r.GetImage() != nil {
			return err
		}
	}
	return fmt.Errorf("image %s is not seen", name)
}

// signal sends a signal to the daemon alone, not to its containers.
func (c *containerd) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// kill ends the daemon at once; its containers live on.
func (c *containerd) kill(t *testing.T) {
	t.Helper()
	c.signal(t, syscall.SIGKILL)
	_ = c.cmd.Wait() // tells of the signal
}

func (c *containerd) logTail() string {
	b, _ := os.ReadFile(c.path("log"))
	return string(b[max(0, len(b)-4000):])
}

// cleanUp removes pods, then the daemon, then whatever is left of them.
func (c *containerd) cleanUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if t.Failed() {
		t.Logf("containerd's log: %s", c.logTail())
	}
	c.mu.Lock()
	pods := slices.Clone(c.pods)
	c.mu.Unlock()
	if c.cmd != nil && c.cmd.Process != nil {
		_ = c.cmd.Process.Signal(syscall.SIGCONT)
		for _, p := range pods {
			if err := p.remove(ctx); err != nil {
				t.Errorf("remove pod: %v", err)
			}
		}
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
		_ = c.cmd.Wait()
	}
	if c.conn != nil {
		_ = c.conn.Close()
	}
	if c.log != nil {
		_ = c.log.Close()
	}
	if left := endProcesses(c.dir); left > 0 {
		t.Errorf("%d processes of containerd were left", left)
	}
	if err := unmountBelow(c.dir); err != nil {
		t.Errorf("unmount: %v", err)
	}
	if err := os.RemoveAll(c.dir); err != nil {
		t.Errorf("remove files: %v", err)
	}
	// The shims' sockets have a place that nothing can change.
	_ = os.Remove("/run/containerd/s")
	_ = os.Remove("/run/containerd")
	removeCgroups(pods)
}

// endProcesses kills all processes that name the directory in their command line, such
// as shims, and counts them. A shim of a pod that was just removed ends by itself, a
// moment later.
func endProcesses(dir string) int {
	var left []int
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if left = processesOf(dir); len(left) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, pid := range left {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return len(left)
}

// processesOf are those that name the directory in their command line.
func processesOf(dir string) (pids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(b), dir) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p))); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// unmountBelow unmounts what is mounted below a directory, the deepest first.
func unmountBelow(dir string) error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var points []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			points = append(points, f[4])
		}
	}
	slices.Sort(points)
	slices.Reverse(points)
	var errs []error
	for _, p := range points {
		errs = append(errs, unix.Unmount(p, unix.MNT_DETACH))
	}
	return errors.Join(errs...)
}

// removeCgroups removes the pods' cgroups of every hierarchy, and kubepods if
// nobody else uses it.
func removeCgroups(pods []*pod) {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*/kubepods")
	roots = append(roots, "/sys/fs/cgroup/kubepods")
	for _, root := range roots {
		for _, p := range pods {
			removeTree(filepath.Join(filepath.Dir(root), p.cgroup))
		}
		_ = os.Remove(filepath.Join(root, "burstable"))
		_ = os.Remove(root)
	}
}

// removeTree removes a cgroup and those below it.
func removeTree(dir string) {
	var dirs []string
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return nil
	})
	slices.Reverse(dirs)
	for _, d := range dirs {
		_ = os.Remove(d)
	}
}
