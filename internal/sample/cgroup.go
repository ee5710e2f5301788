package sample

import (
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// kernfsHandle is a struct file_handle of a kernfs node: FILEID_KERNFS of
// include/linux/exportfs.h, and the node's id, which is the cgroup's.
type kernfsHandle struct {
	bytes uint32
	kind  int32
	id    [8]byte
}

const fileidKernfs = 0xfe

// candidates names the cgroups of the tasks that were weighed, by the ids that the
// kernel saw. One that is gone by now stays without a name. The names live until
// the next call.
func (s *Sampler) candidates(rec *oom.Record) {
	if s.Cgroups == "" || len(rec.Candidates) == 0 {
		return
	}
	mount := s.openMount()
	if mount < 0 {
		return
	}
	defer func() { _ = unix.Close(mount) }()
	s.text = s.text[:0]
	found := false
	for i := range rec.Candidates {
		c := &rec.Candidates[i]
		if c.Cgroup != "" || !c.CgroupID.Known {
			continue
		}
		if c.Cgroup = before(rec.Candidates[:i], c.CgroupID.Value); c.Cgroup == "" {
			c.Cgroup = s.cgroup(mount, c.CgroupID.Value)
		}
		found = found || c.Cgroup != ""
	}
	if found {
		rec.Sampled = append(rec.Sampled, "candidates.cgroup")
	}
}

// before is what another candidate of the same cgroup has been given.
func before(candidates []oom.Candidate, id uint64) string {
	for i := range candidates {
		if candidates[i].CgroupID == oom.Some(id) {
			return candidates[i].Cgroup
		}
	}
	return ""
}

func (s *Sampler) openMount() int {
	s.path = append(append(s.path[:0], s.Cgroups...), 0)
	at := unix.AT_FDCWD
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(&s.path[0])), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return -1
	}
	return int(fd)
}

// cgroup is the path of a cgroup below the hierarchy's root, or "". It takes no
// lock that a task without memory could hold, as /proc/PID/cgroup does.
func (s *Sampler) cgroup(mount int, id uint64) string {
	s.handle = kernfsHandle{bytes: 8, kind: fileidKernfs, id: *(*[8]byte)(unsafe.Pointer(&id))}
	fd, _, errno := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(mount), uintptr(unsafe.Pointer(&s.handle)), unix.O_PATH|unix.O_CLOEXEC)
	if errno != 0 {
		return ""
	}
	defer func() { _ = unix.Close(int(fd)) }()
	s.path = append(strconv.AppendInt(append(s.path[:0], "/proc/self/fd/"...), int64(fd), 10), 0)
	at := unix.AT_FDCWD
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(at), uintptr(unsafe.Pointer(&s.path[0])), uintptr(unsafe.Pointer(&s.buf[0])), uintptr(len(s.buf)), 0, 0)
	if errno != 0 || n == 0 || int(n) == len(s.buf) {
		return ""
	}
	path, ok := below(s.Cgroups, unsafe.String(&s.buf[0], int(n)))
	if !ok {
		return ""
	}
	start := len(s.text)
	s.text = append(s.text, path...)
	return unsafe.String(&s.text[start], len(path))
}

// below is a path as seen from a mount point. The kernel marks that of a cgroup
// which is gone with " (deleted)".
func below(mount, path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(mount, "/"))
	if !ok || strings.HasSuffix(rest, " (deleted)") {
		return "", false
	}
	if rest == "" {
		return "/", true
	}
	return rest, rest[0] == '/'
}
