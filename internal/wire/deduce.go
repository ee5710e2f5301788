package wire

import (
	"slices"
	"strings"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// The rest of this file is what decoding concludes rather than reads: the scope
// and the limit where the decision was not seen, and which statistics are old.

// memcgFrame is the function that every OOM of a cgroup goes through
// (mm/memcontrol.c).
const memcgFrame = "mem_cgroup_out_of_memory+"

// chargeBatchPages is how far below its limit a cgroup can be when a charge
// fails: CPUs charge that many pages at a time (MEMCG_CHARGE_BATCH).
const chargeBatchPages = 64

// deduceLimit finds the cgroup at its limit where the decision could not be
// hooked. It is on the way from the victim's cgroup to the root and it is full:
// if just one is, it is that one. Otherwise the limit stays unknown.
func (d *victimDecoder) deduceLimit() error {
	if d.raw.Decision.Valid != 0 || d.rec.Scope != oom.ScopeCgroup || d.rec.Victim == nil {
		return nil
	}
	chain, err := d.span(d.raw.Chain, "cgroup limits")
	if err != nil {
		return err
	}
	var full probe.OomtraceMemcgInfo
	at := -1
	for i := range d.rec.Victim.CgroupLimits {
		info, err := take[probe.OomtraceMemcgInfo](chain[i*int(unsafe.Sizeof(full)):], "cgroup limit")
		if err != nil {
			return err
		}
		if info.UsagePages == unknown || info.UsagePages+chargeBatchPages < info.MaxPages {
			continue
		}
		if at >= 0 {
			return nil
		}
		full, at = info, i
	}
	if at >= 0 {
		d.rec.Limit = d.newLimit(&full, d.rec.Victim.CgroupLimits[at].Cgroup)
	}
	return nil
}

func (d *victimDecoder) onStack(function string) bool {
	t := d.rec.Trigger
	return t != nil && slices.ContainsFunc(t.KernelStack, func(frame string) bool { return strings.HasPrefix(frame, function) })
}

// isOld says that the limit's statistics are from before the OOM.
//
// From 5.12 on a cgroup's statistics are added up from the CPUs every two
// seconds and when a process reads memory.stat (kernel/cgroup/rstat.c); the
// kernel's report of an OOM does so too, unless it is rate-limited. The usage
// is always exact, and the parts have to amount to it: an eighth of it may be
// missing, which no counter names.
func isOld(rec *oom.Record, stat oom.Stats) bool {
	if !rec.Limit.UsageBytes.Known || len(stat) == 0 {
		return false
	}
	usage := rec.Limit.UsageBytes.Value
	slack := usage / 8
	var sum uint64
	for _, name := range []string{oom.LimitAnon, oom.LimitFile, oom.LimitSock, oom.LimitHugetlb} {
		v, _ := stat.Get(name)
		sum += v
	}
	if kernel, ok := stat.Get(oom.LimitKernel); ok {
		sum += kernel
		return sum+slack < usage || sum > usage+slack
	}
	// Without a sum of the kernel's memory, much may be in no counter. But a
	// cgroup whose tasks hold most of its usage cannot have next to nothing.
	sum = 0
	for _, st := range stat {
		sum += st.Bytes
	}
	return sum < usage/64 && biggestAnon(rec) > usage/2
}

// biggestAnon is the most anonymous memory of one task of the record.
func biggestAnon(rec *oom.Record) uint64 {
	var most uint64
	if rec.Victim != nil {
		most = rec.Victim.AnonRSSBytes.Value
	}
	for i := range rec.Candidates {
		most = max(most, rec.Candidates[i].AnonRSSBytes.Value)
	}
	return most
}
