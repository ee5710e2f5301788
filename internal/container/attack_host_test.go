//go:build hosttest

package container

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHostImpostor has processes of an unprivileged user pretend to be a runtime, in
// every way that is open to them: none names a container that is not that user's. What
// root does the same way counts, which shows that the attack is one.
func TestHostImpostor(t *testing.T) {
	const user = 1000
	other, own := podPath(1, 2), "/user.slice/user-1000.slice/user@1000.service/docker-"+id(2)+".scope"
	for _, tt := range []struct {
		name   string
		socket string // below the cache's root, or in a /run of its own
		uid    uint32
		userns bool
		path   string
		known  bool
	}{
		{"the runtime's socket", containerd, user, false, other, false},
		{"the runtime's socket, by root", containerd, 0, false, other, true},
		{"the user's own socket", "/run/user/1000/docker.sock", user, false, "/docker/" + id(2), false},
		{"the user's own socket, for the user's own", "/run/user/1000/docker.sock", user, false, own, true},
		{"a link of the user's to root's socket", "/run/other/docker.sock", 0, false, own, false},
		{"another user's directory", "/run/user/1001/docker.sock", user, false, strings.ReplaceAll(own, "1000", "1001"), false},
		{"root in a user namespace", "own", user, true, other, false},
		{"a mount namespace of the user's", "own", 0, true, other, false},
		{"a mount namespace, by root", "own", 0, false, other, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := shortDir(t)
			if err := os.Chmod(root, 0o755); err != nil {
				t.Fatal(err)
			}
			socket := root + tt.socket
			if tt.socket == "own" {
				socket = containerd
				link(t, "/proc", root+"/proc")
			} else {
				// Open to all, as a careless installation may have it.
				dir := socket[:strings.LastIndexByte(socket, '/')]
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
					t.Fatal(err)
				}
			}
			if tt.socket == "/run/other/docker.sock" {
				linkOf(t, user, "../../other/docker.sock", root+"/run/user/1000/docker.sock")
			}
			startImpostor(t, root, socket, tt.uid, tt.userns, tt.socket == "own")
			c := open(t, Options{Root: root})
			c.Ready(t.Context())
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if known := c.Wait(ctx, tt.path, id(2)); known != tt.known {
				t.Errorf("known: %v; sources %+v", known, c.Sources())
			}
		})
	}
}

// linkOf makes a symbolic link in a user's directory as that user does.
func linkOf(t *testing.T, uid int, target, path string) {
	t.Helper()
	dir := filepath.Dir(path)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, uid, uid), os.Symlink(target, path), os.Lchown(path, uid, uid)); err != nil {
		t.Fatal(err)
	}
}

// startImpostor runs this program as a daemon called containerd.
func startImpostor(t *testing.T, dir, socket string, uid uint32, userns, mount bool) {
	t.Helper()
	name := dir + "/containerd"
	from, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name)
	cmd.Env = append(os.Environ(), "OOMTRACE_TEST_SERVE="+socket)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: true}}
	if mount {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // makes its mounts its own
	}
	if userns {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.Credential = &syscall.Credential{NoSetGroups: true}
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: int(uid), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: int(uid), Size: 1}}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "listening\n" {
		t.Fatalf("%q, %v", line, err)
	}
}
