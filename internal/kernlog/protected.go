package kernlog

import (
	"bytes"
	"slices"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// protectedMark begins "Memory cgroup min protection 4kB -- low protection 8kB" of 6.19 and
// later (mm/memcontrol.c, mem_cgroup_show_protected_memory): what memory.min and memory.low
// of the cgroups below the one at its limit, or below the root, keep of their usage.
const protectedMark = "Memory cgroup min protection "

// protection is that line as printed.
type protection struct{ minKB, lowKB uint64 }

func (r *report) parseProtected(b []byte) bool {
	least, rest, ok := scan.Uint(b[len(protectedMark):])
	rest, ok2 := bytes.CutPrefix(rest, []byte("kB -- low protection "))
	low, rest, ok3 := scan.Uint(rest)
	if !ok || !ok2 || !ok3 || string(rest) != "kB" || r.protected != nil {
		return false
	}
	if r.protected = (&protection{minKB: least, lowKB: low}); least == 0 && low == 0 {
		r.unused++
	}
	return true
}

// protectedLevel is the level that the line is of; nil without it, or if nothing is protected.
// Another allocation's report has such a line, too, so that it must not be within this one.
// The first kernels with it print a page's size times as much (mended in 7.0): what cannot be
// in use is that, and what can be may be either, unless the kernel is a later one.
func (r *report) protectedLevel(page uint64) []oom.CgroupLimit {
	if r.protected == nil || r.doubtful || page == 0 {
		return nil
	}
	level, most := oom.CgroupLimit{Cgroup: "/"}, scan.Times(r.mem.managedPages(), page)
	if r.scope == oom.ScopeCgroup {
		level.Cgroup, most = r.limit.Cgroup, r.limit.UsageBytes
	}
	least, low := scan.Kilobytes(r.protected.minKB), scan.Kilobytes(r.protected.lowKB)
	if level.Cgroup == "" || !most.Known || !least.Known || !low.Known {
		return nil
	}
	ceiling := most.Value + most.Value/8 // the two are not read at one moment
	switch {
	case max(least.Value, low.Value) > ceiling:
		least.Value, low.Value = least.Value/page, low.Value/page
	case !r.from(7, 0):
		return nil
	}
	if biggest := max(least.Value, low.Value); biggest > ceiling || biggest == 0 {
		return nil
	}
	if least.Value > 0 {
		level.ChildrenMinBytes = least
	}
	if low.Value > 0 {
		level.ChildrenLowBytes = low
	}
	return []oom.CgroupLimit{level}
}

// grouped adds that the processes of a cgroup are killed together.
func grouped(levels []oom.CgroupLimit, path string) []oom.CgroupLimit {
	if i := slices.IndexFunc(levels, func(l oom.CgroupLimit) bool { return l.Cgroup == path }); i >= 0 {
		levels[i].OOMGroup = oom.Some(true)
		return levels
	}
	return append([]oom.CgroupLimit{{Cgroup: path, OOMGroup: oom.Some(true)}}, levels...)
}
