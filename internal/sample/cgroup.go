package sample

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// fileidKernfs is FILEID_KERNFS of the kernel: the handle is the
// node's id, which is the cgroup's.
const fileidKernfs = 0xfe

// candidates names the cgroups of the tasks that were weighed, by the ids that the
// kernel saw: as it named them in the same record, or else as they are now. One that is
// removed by now stays without a name.
func (s *Sampler) candidates(rec *oom.Record) {
	if len(rec.Candidates) == 0 {
		return
	}
	paths, sampled := pathsOf(rec), false
	for i := range rec.Candidates {
		c := &rec.Candidates[i]
		if c.Cgroup != "" || !c.CgroupID.Known {
			continue
		}
		path, asked := paths[c.CgroupID.Value]
		if !asked {
			path = s.cgroup(c.CgroupID.Value)
			paths[c.CgroupID.Value] = path
			sampled = sampled || path != ""
		}
		c.Cgroup = path
	}
	if sampled {
		rec.Sampled = append(rec.Sampled, oom.SampledCandidateCgroup)
	}
}

// pathsOf are the cgroups that a record names, by their ids.
func pathsOf(rec *oom.Record) map[uint64]string {
	paths := map[uint64]string{}
	add := func(id oom.Opt[uint64], path string, cut oom.Opt[bool]) {
		if id.Known && path != "" && !cut.Value {
			paths[id.Value] = path
		}
	}
	if v := rec.Victim; v != nil {
		add(v.CgroupID, v.Cgroup, v.CgroupCut)
	}
	if t := rec.Trigger; t != nil {
		add(t.CgroupID, t.Cgroup, t.CgroupCut)
	}
	if l := rec.Limit; l != nil {
		add(l.CgroupID, l.Cgroup, l.CgroupCut)
	}
	return paths
}

// cgroup is the path of a cgroup below the hierarchy's root, or "". It takes no
// lock that a task without memory could hold, as /proc/PID/cgroup does.
func (s *Sampler) cgroup(id uint64) string {
	if s.Cgroups == "" || s.mount.open(s.Cgroups) != nil {
		return ""
	}
	handle := unix.NewFileHandle(fileidKernfs, binary.NativeEndian.AppendUint64(nil, id))
	fd, err := unix.OpenByHandleAt(int(s.mount.Fd()), handle, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return ""
	}
	name, _ := pathBelow(s.Cgroups, path)
	return name
}

// pathBelow is a path as seen from a mount point. The kernel marks that of a
// cgroup which is removed with " (deleted)".
func pathBelow(mount, path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(mount, "/"))
	if !ok || strings.HasSuffix(rest, " (deleted)") {
		return "", false
	}
	if rest == "" {
		return "/", true
	}
	if rest[0] != '/' {
		return "", false
	}
	return rest, true
}
