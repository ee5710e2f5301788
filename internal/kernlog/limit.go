package kernlog

import (
	"bytes"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// What the kernel prints for "no limit": PAGE_COUNTER_MAX in kB, near 2^53 on
// 64 bits whatever the page size (res_counter's maximum up to 3.18 too), and
// 2^31-1 pages of 4 KiB on 32 bits.
const (
	unlimitedKB   = 1<<53 - 1<<17
	unlimitedKB32 = 8589934588
	unlimited     = 1<<63 - 1<<20
)

func maximumKB(v uint64) oom.Opt[uint64] {
	if v >= unlimitedKB || v == unlimitedKB32 {
		return oom.Opt[uint64]{}
	}
	return kilobytes(v)
}

// limitCounter tells the counter lines apart; empty for any other line.
func limitCounter(b []byte) string {
	for _, name := range [...]string{"memory", "memory+swap", "swap", "kmem"} {
		if hasPrefix(b, name) && hasPrefix(b[len(name):], ": usage ") {
			return name
		}
	}
	return ""
}

// parseCounter reads "memory: usage 32768kB, limit 32768kB, failcnt 251".
func (r *report) parseCounter(name string, b []byte) bool {
	usage, rest, ok := cutUint(b[len(name)+len(": usage "):])
	if !ok || !hasPrefix(rest, "kB, limit ") {
		return false
	}
	limit, rest, ok := cutUint(rest[len("kB, limit "):])
	if !ok || !hasPrefix(rest, "kB") {
		return false
	}
	l := &r.limit
	r.hasLimit = true
	switch name {
	case "memory":
		l.UsageBytes, l.MaxBytes = kilobytes(usage), maximumKB(limit)
		if s, ok := after(rest, "failcnt "); ok {
			if v, _, ok := cutUint(s); ok {
				l.Failures = oom.Some(v)
			}
		}
	case "swap":
		l.Version = oom.Some(uint32(2))
		l.SwapUsageBytes, l.SwapMaxBytes = kilobytes(usage), maximumKB(limit)
	case "memory+swap":
		l.Version = oom.Some(uint32(1))
		l.MemswUsageBytes, l.MemswMaxBytes = kilobytes(usage), maximumKB(limit)
	case "kmem":
		l.KmemUsageBytes, l.KmemMaxBytes = kilobytes(usage), maximumKB(limit)
	}
	return true
}

// parseTaskIn reads "Task in A killed as a result of limit of B" (up to 4.20);
// a cut line has only A.
func (r *report) parseTaskIn(b []byte) bool {
	victim, limit, ok := bytes.Cut(b, []byte(" killed as a result of limit of "))
	if !ok {
		if victim, ok = bytes.CutSuffix(b, []byte(" killed")); !ok {
			return false
		}
	}
	r.scope, r.hasLimit = oom.ScopeCgroup, true
	r.victimCgroup = keep(victim[len("Task in "):])
	if len(limit) > 0 {
		r.limit.Cgroup = keep(limit)
	}
	return true
}

const statsMark = "Memory cgroup stats for "

// parseStats reads "Memory cgroup stats for PATH:", after which 5.3 and later
// print one counter a line, and older kernels "cache:0KB rss:12KB …" on the
// same line, one line for every cgroup below the limit.
func (r *report) parseStats(b []byte) {
	b = b[len(statsMark):]
	r.hasLimit, r.statLines = true, true
	path, values := b, []byte(nil)
	if i := bytes.LastIndex(b, []byte(": cache:")); i >= 0 {
		path, values = b[:i], b[i+2:]
		r.statsEach = true
		r.statsOfLimit = r.statsOfLimit || r.limit.Cgroup == keep(path)
	} else if i := bytes.LastIndexByte(b, ':'); i >= 0 {
		path = b[:i]
	}
	if r.limit.Cgroup == "" && len(r.stats) == 0 && !r.statsEach {
		r.limit.Cgroup = keep(path)
	}
	for len(values) > 0 {
		var f []byte
		f, values = nextField(values)
		name, number, _ := bytes.Cut(f, []byte(":"))
		if v, unit, ok := cutUint(number); ok && string(unit) == "KB" {
			if size := kilobytes(v); size.Known {
				r.stats.add(name, size.Value)
			}
		}
	}
}

// statLine reads "total_rss 33271808" or "anon 33271808".
func statLine(b []byte) (name []byte, v uint64, ok bool) {
	i := bytes.IndexByte(b, ' ')
	if i <= 0 || i+1 >= len(b) {
		return nil, 0, false
	}
	v, rest, ok := cutUint(b[i+1:])
	if !ok || len(rest) > 0 {
		return nil, 0, false
	}
	for _, c := range b[:i] {
		if (c < 'a' || c > 'z') && c != '_' && !isDigit(c) {
			return nil, 0, false
		}
	}
	return b[:i], v, true
}

// limitStats are memory.stat's counters by their printed names.
type limitStats []oom.Stat

// maxStats bounds how many counters of memory.stat are kept.
const maxStats = 128

// add sums up: old kernels print each cgroup below the limit by itself.
func (s *limitStats) add(name []byte, v uint64) {
	for i := range *s {
		if (*s)[i].Name == string(name) {
			if sum := (*s)[i].Bytes + v; sum >= v {
				(*s)[i].Bytes = sum
			}
			return
		}
	}
	if len(*s) < maxStats {
		*s = append(*s, oom.Stat{Name: string(name), Bytes: v})
	}
}

// inBytes says which keys of memory.stat are sizes; the others count events.
func inBytes(name string) bool {
	switch name {
	case "anon", "file", "kernel", "kernel_stack", "pagetables", "sec_pagetables", "percpu", "sock", "vmalloc",
		"shmem", "zswap", "zswapped", "file_mapped", "file_dirty", "file_writeback", "swapcached", "anon_thp",
		"file_thp", "shmem_thp", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable",
		"slab_reclaimable", "slab_unreclaimable", "slab", "hugetlb",
		"cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "swap",
		"hierarchical_memory_limit", "hierarchical_memsw_limit":
		return true
	}
	return false
}

// finish gives the counters the names that all sources share. Where v1 printed
// totals with children, their plain twins are dropped.
func (s limitStats) finish() oom.Stats {
	totals := false
	for i := range s {
		totals = totals || strings.HasPrefix(s[i].Name, oom.LimitV1TotalPrefix)
	}
	var out oom.Stats
	for _, st := range s {
		name, total := strings.CutPrefix(st.Name, oom.LimitV1TotalPrefix)
		hierarchical := strings.HasPrefix(name, "hierarchical_")
		if !inBytes(name) || totals && !total && !hierarchical || hierarchical && st.Bytes >= unlimited {
			continue
		}
		out = append(out, oom.Stat{Name: name + "_bytes", Bytes: st.Bytes})
	}
	return out
}

// sizes is how many of the counters are sizes.
func (s limitStats) sizes() (n int) {
	for i := range s {
		if inBytes(strings.TrimPrefix(s[i].Name, oom.LimitV1TotalPrefix)) {
			n++
		}
	}
	return n
}

func (s limitStats) has(name string) bool {
	for i := range s {
		if s[i].Name == name {
			return true
		}
	}
	return false
}

// finishLimit returns the limit block, or nil on an OOM of the whole system.
func (r *report) finishLimit() *oom.Limit {
	if !r.hasLimit || r.scope == oom.ScopeSystem {
		return nil
	}
	l := r.limit
	if !r.statsCut() {
		l.Stat = r.stats.finish()
	}
	if !l.Version.Known && r.stats.has(oom.LimitV1TotalPrefix+"cache") {
		// Other keys say nothing: from 5.3 v2's names are printed on v1 too.
		l.Version = oom.Some(uint32(1))
	}
	if r.groupPath != "" && r.groupPath == l.Cgroup {
		l.OOMGroup = oom.Some(true)
	}
	return &l
}
