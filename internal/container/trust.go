package container

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// This file is the whole rule of who may name a container. docs/containers.md
// has it in words, under "Which source is trusted".
//
// The tree of cgroups falls into domains: the system's, that of each user's slice,
// and that of each container. A source speaks for the containers of one domain,
// and no other source does:
//
//   - the system's runtimes are found at fixed paths that only root can change,
//     and root answers there;
//   - a user's engine is found in /run/user/UID, and that user answers, not root;
//   - an engine in a container is found by a process of root's in it, and a
//     process of the same container answers.

// domain is the part of the tree that a source speaks for.
type domain struct {
	// within is the cgroup of the container that it is in; empty on the machine.
	// From a cgroup namespace it starts with "/..": the path from where the
	// namespace's own path and that one part.
	within string
	// user is the owner of the slice; unknown for the system's.
	user oom.Opt[uint32]
}

func (d domain) system() bool { return d == domain{} }

// domainOf gives the domain that a place lies in.
func domainOf(p *cgroup.Place) domain { return domain{p.Within, p.User} }

// covers says that a place's domain is this one.
func (d domain) covers(of domain) bool {
	if d.user != of.user {
		return false
	}
	rest := d.within
	if !strings.HasPrefix(rest, "/..") {
		return rest == of.within
	}
	for strings.HasPrefix(rest, "/..") {
		rest = rest[len("/.."):]
	}
	return rest != "" && rest[0] == '/' && strings.HasSuffix(of.within, rest)
}

// sane says that a runtime may have put a container at a place at all. In a unit
// that makes cgroups of its own only podman has one ("split").
func sane(p *cgroup.Place) bool {
	return !p.Delegated || p.User.Known || p.Runtime == "podman"
}

// agrees says that what a source told of a container fits its place: the pod, and
// the parent that the container was started with.
func (i *Info) agrees(p *cgroup.Place) bool {
	if p.Pod != "" && i.Pod != nil && i.Pod.UID != "" && i.Pod.UID != p.Pod {
		return false
	}
	return i.parent == "" || filepath.Base(filepath.Dir(p.Cgroup)) == filepath.Base(i.parent)
}

// owner says whose a file may be for a source to be believed: root's, a user's for
// that user's engine, and our own where we are not root.
func (d domain) owner(uid uint32) bool {
	return uid == 0 || int(uid) == os.Geteuid() || d.user.Known && d.user.Value == uid
}

// speaker says who may listen. For a user's containers it is that user alone: a link of
// theirs may lead to an engine of root's, which knows other containers.
func (d domain) speaker(uid uint32) bool {
	if d.user.Known {
		return uid == d.user.Value || uid != 0 && int(uid) == os.Geteuid()
	}
	return d.owner(uid)
}

var (
	errUntrusted = errors.New("not trusted")
	errLoop      = errors.New("too many symbolic links")
)

// maxLinks bounds the symbolic links of a path, as the kernel's MAXSYMLINKS does.
const maxLinks = 40

// openIn opens a path below a root directory without anything being read or
// connected (O_PATH). Symbolic links are resolved within that root, whatever they
// say, and every step is shown to check.
func openIn(root, path string, check func(name string, st *unix.Stat_t) error) (*os.File, error) {
	top, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	way := []int{top} // from the root to where it is
	back := func(to int) {
		for _, fd := range way[to:] {
			_ = unix.Close(fd)
		}
		way = way[:to]
	}
	defer func() { back(0) }()
	links := 0
	for parts := strings.Split(path, "/"); len(parts) > 0; {
		name := parts[0]
		parts = parts[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			back(max(len(way)-1, 1))
			continue
		}
		fd, target, err := step(way[len(way)-1], name, check)
		if err == nil && target != "" {
			if links++; links > maxLinks {
				err = errLoop
			}
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		switch {
		case target == "":
			way = append(way, fd)
			continue
		case target[0] == '/':
			back(1)
		}
		parts = append(strings.Split(target, "/"), parts...)
	}
	last := len(way) - 1
	f := os.NewFile(uintptr(way[last]), path)
	way = way[:last]
	return f, nil
}

// step opens one name in a directory; of a symbolic link it gives the target.
func step(dir int, name string, check func(name string, st *unix.Stat_t) error) (fd int, target string, err error) {
	if fd, err = unix.Openat(dir, name, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err != nil {
		return -1, "", err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil {
		err = check(name, &st)
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return fd, "", nil
	}
	if err == nil {
		target, err = readlink(fd)
	}
	return -1, target, errors.Join(err, unix.Close(fd))
}

// readlink reads the target of an open symbolic link.
func readlink(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	return string(buf[:n]), err
}

// check says that nobody but the domain's owners can change what a path leads to.
// Within a container there is nothing to be held against: it speaks for itself
// only. Groups that may write are the administrator's choice; who may write to a
// socket may only connect.
func (d domain) check(name string, st *unix.Stat_t) error {
	switch kind := st.Mode & unix.S_IFMT; {
	case d.within != "":
		return nil
	case !d.owner(st.Uid):
		return fmt.Errorf("%w: %s belongs to user %d", errUntrusted, name, st.Uid)
	case kind == unix.S_IFDIR && st.Mode&unix.S_IWOTH != 0 && st.Mode&unix.S_ISVTX == 0:
		return fmt.Errorf("%w: everybody may write to %s", errUntrusted, name)
	}
	return nil
}

// answers says that the process behind a connection is one that may speak.
func (d domain) answers(proc string, conn net.Conn) error {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if cerr != nil {
		return fmt.Errorf("ask who listens: %w", cerr)
	}
	if !d.speaker(cred.Uid) {
		return fmt.Errorf("%w: user %d listens", errUntrusted, cred.Uid)
	}
	if d.within == "" {
		return nil
	}
	path, err := cgroupOf(filepath.Join(proc, strconv.Itoa(int(cred.Pid))))
	if err != nil {
		return fmt.Errorf("%w: %w", errUntrusted, err)
	}
	if within, user := cgroup.Around(path); within != d.within || user.Known {
		return fmt.Errorf("%w: a process of another container listens", errUntrusted)
	}
	return nil
}

// daemon is a process in whose root there may be sockets.
type daemon struct {
	root string // its root directory, below /proc
	domain
}

// initialUserNS is the initial user namespace, on every kernel (USER_NS_INIT_INO,
// include/uapi/linux/nsfs.h).
const initialUserNS = "user:[4026531837]"

// daemonOf judges a process by its directory below /proc; dir stays that process's,
// whatever becomes of its number. Only root's processes are heard, and in the
// initial user namespace only: everybody is root in one of their own.
func daemonOf(dir string) (daemon, error) {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return daemon{}, err
	}
	if !rootOnly(status) {
		return daemon{}, fmt.Errorf("%w: not of root", errUntrusted)
	}
	ns, err := os.Readlink(filepath.Join(dir, "ns/user"))
	if err != nil {
		return daemon{}, err
	}
	if ns != initialUserNS {
		return daemon{}, fmt.Errorf("%w: in a user namespace", errUntrusted)
	}
	path, err := cgroupOf(dir)
	if err != nil {
		return daemon{}, err
	}
	within, user := cgroup.Around(path)
	if user.Known {
		return daemon{}, fmt.Errorf("%w: in the slice of user %d", errUntrusted, user.Value)
	}
	return daemon{root: filepath.Join(dir, "root"), domain: domain{within: within}}, nil
}

// rootOnly says that all four user ids of a process are root's (the line "Uid:" of
// /proc/PID/status, Documentation/filesystems/proc.rst).
func rootOnly(status []byte) bool {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			ids := strings.Fields(string(rest))
			return len(ids) == 4 && strings.Join(ids, "") == "0000"
		}
	}
	return false
}

// cgroupOf reads the memory cgroup of a process from its directory below /proc
// (cgroups(7)): "<id>:<controllers>:<path>", with no controllers for v2.
func cgroupOf(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil {
		return "", err
	}
	unified, found := "", false
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		f := strings.SplitN(lines.Text(), ":", 3)
		if len(f) != 3 {
			continue
		}
		if f[1] == "" {
			unified, found = f[2], true
		}
		for c := range strings.SplitSeq(f[1], ",") {
			if c == "memory" {
				return f[2], nil
			}
		}
	}
	if !found {
		return "", errNotFound
	}
	return unified, nil
}
