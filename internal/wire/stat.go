package wire

import "github.com/oomtrace/oomtrace/internal/oom"

// freshStat returns the limit's statistics, or none of them when they are old.
//
// From 5.12 on a cgroup's statistics are added up from the CPUs every two
// seconds and when somebody reads memory.stat (kernel/cgroup/rstat.c); the
// kernel's report of an OOM does so too, unless it is rate-limited. The usage
// is always exact, and the parts have to amount to it: an eighth of it may be
// missing, which no counter names.
func freshStat(rec *oom.Record, stat oom.Stats) oom.Stats {
	if rec.Limit == nil || !rec.Limit.UsageBytes.Known || len(stat) == 0 {
		return stat
	}
	usage := rec.Limit.UsageBytes.Value
	slack := usage / 8
	var sum uint64
	for _, name := range []string{oom.LimitAnon, oom.LimitFile, oom.LimitSock} {
		v, _ := stat.Get(name)
		sum += v
	}
	if kernel, ok := stat.Get(oom.LimitKernel); ok {
		sum += kernel
		if sum+slack < usage || sum > usage+slack {
			return nil
		}
		return stat
	}
	// Without a sum of the kernel's memory, much may be in no counter. But a
	// cgroup whose tasks hold most of its usage cannot have next to nothing.
	for _, st := range stat {
		sum += st.Bytes
	}
	if sum < usage/64 && biggestAnon(rec) > usage/2 {
		return nil
	}
	return stat
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
