package sample

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/procfs"
)

// pressure fills in how long tasks of the victim's cgroup, and of the machine, waited
// for memory: what a usage near a limit does not say, for it may be page cache. A
// kernel without PSI, one booted with psi=0 and cgroup v1 have no such files.
func (s *Sampler) pressure(rec *oom.Record) {
	if text, err := s.psi.read(s.proc("pressure/memory")); err == nil {
		if rec.Memory.Pressure = procfs.Pressure(text); rec.Memory.Pressure != nil {
			rec.Sampled = append(rec.Sampled, oom.SampledPressure)
		}
	}
	v := rec.Victim
	if v == nil || s.Cgroups == "" || !strings.HasPrefix(v.Cgroup, "/") || v.CgroupCut.Value {
		return
	}
	dir := s.Cgroups + v.Cgroup
	text, err := os.ReadFile(dir + "/memory.pressure")
	if err != nil || !isCgroup(dir, v.CgroupID) {
		return
	}
	if v.CgroupPressure = procfs.Pressure(string(text)); v.CgroupPressure != nil {
		rec.Sampled = append(rec.Sampled, oom.SampledCgroupPressure)
	}
}

// isCgroup tells a cgroup from a later one of that name: its id is the inode's number.
func isCgroup(dir string, id oom.Opt[uint64]) bool {
	var st unix.Stat_t
	return id.Known && unix.Stat(dir, &st) == nil && st.Ino == id.Value
}
