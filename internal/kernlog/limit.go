package kernlog

import (
	"bytes"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
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
	return scan.Kilobytes(v)
}

// limitCounter tells the counter lines apart; empty for any other line.
func limitCounter(b []byte) string {
	if b[0] != 'm' && b[0] != 's' && b[0] != 'k' {
		return ""
	}
	for _, name := range [...]string{"memory", "memory+swap", "swap", "kmem"} {
		if scan.HasPrefix(b, name) && scan.HasPrefix(b[len(name):], ": usage ") {
			return name
		}
	}
	return ""
}

// parseCounter reads "memory: usage 32768kB, limit 32768kB, failcnt 251".
func (r *report) parseCounter(name string, b []byte) bool {
	usage, rest, ok := scan.Uint(b[len(name)+len(": usage "):])
	rest, ok2 := bytes.CutPrefix(rest, []byte("kB, limit "))
	limit, rest, ok3 := scan.Uint(rest)
	if !ok || !ok2 || !ok3 || !scan.HasPrefix(rest, "kB") {
		return false
	}
	l := &r.limit
	r.hasLimit = true
	switch name {
	case "memory":
		l.UsageBytes, l.MaxBytes = scan.Kilobytes(usage), maximumKB(limit)
		l.Failures = either(keyed(rest, "failcnt ", scan.Uint), l.Failures)
	case "swap":
		l.Version = oom.Some(uint32(2))
		l.SwapUsageBytes, l.SwapMaxBytes = scan.Kilobytes(usage), maximumKB(limit)
	case "memory+swap":
		l.Version = oom.Some(uint32(1))
		l.MemswUsageBytes, l.MemswMaxBytes = scan.Kilobytes(usage), maximumKB(limit)
	case "kmem":
		l.KmemUsageBytes, l.KmemMaxBytes = scan.Kilobytes(usage), maximumKB(limit)
	}
	return true
}

// parseTaskIn reads "Task in A killed as a result of limit of B" (up to 4.20), or without a
// victim "Memory limit reached of cgroup B"; a cut line has only A.
func (r *report) parseTaskIn(b []byte) bool {
	if path, ok := bytes.CutPrefix(b, []byte(reachedMark)); ok {
		r.scope, r.hasLimit, r.limit.Cgroup = oom.ScopeCgroup, true, kernelPath(scan.Keep(path))
		return true
	}
	b, ok := bytes.CutPrefix(b, []byte("Task in "))
	if !ok && !begunTaskIn(b) {
		return false
	}
	victim, limit, ok := bytes.Cut(b, []byte(taskInMark))
	if !ok {
		if victim, ok = bytes.CutSuffix(b, []byte(" killed")); !ok {
			return false
		}
	}
	r.victimCgroup = kernelPath(scan.Keep(victim))
	if string(limit) == "host" { // Alibaba's kernels say so of the machine
		r.scope = oom.ScopeSystem
		return true
	}
	r.scope, r.hasLimit = oom.ScopeCgroup, true
	if within(victim, limit) {
		r.limit.Cgroup = kernelPath(scan.Keep(limit))
	}
	return true
}

// kernelPath is a cgroup as the kernel prints it, from the root on; empty for one of which
// people have left a part out.
func kernelPath(s string) string {
	if !strings.HasPrefix(s, "/") || strings.Contains(s, "\u2026") || strings.Contains(s+"/", "/.../") {
		return ""
	}
	return s
}

const (
	taskInMark  = " killed as a result of limit of "
	reachedMark = "Memory limit reached of cgroup "
)

// begunTaskIn says whether such a line has lost the words before the first path.
func begunTaskIn(b []byte) bool {
	path, _, ok := bytes.Cut(b, []byte(taskInMark))
	return ok && len(path) > 1 && path[0] == '/' && path[1] != '/' && bytes.IndexByte(path, ' ') < 0
}

// wholeTaskIn says whether such a line has all of the limit's path.
func wholeTaskIn(b []byte) bool {
	victim, limit, ok := bytes.Cut(b[len("Task in "):], []byte(taskInMark))
	return ok && (string(limit) == "host" || within(victim, limit))
}

// within says whether a cgroup is a limit's own or below it, as each victim's is: what else
// stands there is a path that was cut.
func within(cgroup, limit []byte) bool {
	below, ok := bytes.CutPrefix(cgroup, bytes.TrimSuffix(limit, []byte("/")))
	return len(limit) > 0 && ok && (len(below) == 0 || below[0] == '/')
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
		r.statsOfLimit = r.statsOfLimit || r.limit.Cgroup == scan.Keep(path)
		r.firstStats(path)
	} else if i := bytes.LastIndexByte(b, ':'); i >= 0 {
		path = b[:i]
	}
	if r.limit.Cgroup == "" && len(r.stats) == 0 && !r.statsEach {
		r.limit.Cgroup = kernelPath(scan.Keep(path))
	}
	for len(values) > 0 {
		var f []byte
		f, values = scan.Field(values)
		name, number, _ := bytes.Cut(f, []byte(":"))
		if v, unit, ok := scan.Uint(number); ok && string(unit) == "KB" {
			if size := scan.Kilobytes(v); size.Known {
				r.stats.add(name, size.Value)
			}
		}
	}
}

// firstStats takes the cgroup that is printed first for the limit's, where the last of its
// numbers is above: 5.0 to 5.2 name it behind the counters, and without a victim nowhere.
// All others are below it.
func (r *report) firstStats(path []byte) {
	switch first := r.statsFirst; {
	case !r.statsEach:
		r.statsEach, r.statsFirst = true, scan.Keep(path)
		if r.limit.Cgroup == "" && r.limit.KmemUsageBytes.Known {
			r.limit.Cgroup = kernelPath(r.statsFirst)
		}
	case r.limit.Cgroup == first && !within(path, []byte(first)):
		r.limit.Cgroup = ""
	}
}

// statLine reads "total_rss 33271808" or "anon 33271808".
func statLine(b []byte) (name []byte, v uint64, ok bool) {
	i := 0
	for i < len(b) && (b[i] >= 'a' && b[i] <= 'z' || b[i] == '_' || scan.IsDigit(b[i])) {
		i++
	}
	if i == 0 || i == len(b) || b[i] != ' ' {
		return nil, 0, false
	}
	v, rest, ok := scan.Uint(b[i+1:])
	return b[:i], v, ok && len(rest) == 0
}

// limitStat is one of memory.stat's counters.
type limitStat struct {
	printed string
	record  string // its name in a record; empty for one that is no size
	v       uint64
	// asBefore: it and all before it are those of the report before.
	asBefore bool
}

// limitStats are memory.stat's counters.
type limitStats []limitStat

// maxStats bounds how many counters of memory.stat are kept.
const maxStats = 128

// add sums up: old kernels print each cgroup below the limit by itself. It says whether the
// counter was there before.
func (s *limitStats) add(name []byte, v uint64) (again bool) {
	n := len(*s)
	room := (*s)[:min(n+2, cap(*s))]
	if n < len(room) && len(name) > 0 && room[n].printed == string(name) && (n == 0 || room[n-1].asBefore) {
		room[n].v, room[n].asBefore = v, true // most likely, as here, the report before had the same ones
		*s = room[:n+1]
		return false
	}
	for i := range *s {
		if st := &(*s)[i]; st.printed == string(name) {
			if sum := st.v + v; sum >= v {
				st.v = sum
			}
			return true
		}
	}
	if n >= maxStats {
		return false
	}
	if n+1 < len(room) {
		room[n+1] = limitStat{} // not behind this one
	}
	st := limitStat{printed: string(name), v: v}
	if base := strings.TrimPrefix(st.printed, oom.LimitV1TotalPrefix); isSize(base) {
		st.record = base + "_bytes"
	}
	*s = append(*s, st)
	return false
}

// isSize says which keys of memory.stat are sizes; the others count events.
func isSize(name string) bool {
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

// totals says whether v1 printed totals with children.
func (s limitStats) totals() bool {
	for i := range s {
		if strings.HasPrefix(s[i].printed, oom.LimitV1TotalPrefix) {
			return true
		}
	}
	return false
}

// kept says whether a counter goes into the record. Where there are totals with children,
// their plain twins are left out.
func (st *limitStat) kept(totals bool) bool {
	if st.record != "" && !totals && st.v < unlimited {
		return true
	}
	hierarchical := strings.HasPrefix(st.printed, "hierarchical_")
	if st.record == "" || hierarchical && st.v >= unlimited {
		return false
	}
	return !totals || hierarchical || strings.HasPrefix(st.printed, oom.LimitV1TotalPrefix)
}

// finish gives the counters the names that all sources share.
func (s limitStats) finish() oom.Stats {
	totals, n := s.totals(), len(s)-s.unused()
	if n == 0 {
		return nil
	}
	out := make(oom.Stats, 0, n)
	for i := range s {
		if s[i].kept(totals) {
			out = append(out, oom.Stat{Name: s[i].record, Bytes: s[i].v})
		}
	}
	return out
}

// unused is how many of the counters are in no record.
func (s limitStats) unused() (n int) {
	totals := s.totals()
	for i := range s {
		if !s[i].kept(totals) {
			n++
		}
	}
	return n
}

func (s limitStats) has(name string) bool {
	for i := range s {
		if s[i].printed == name {
			return true
		}
	}
	return false
}

// finishLimit returns the limit block, or nil on an OOM of the whole system.
func (r *report) finishLimit() *oom.Limit {
	if !r.hasLimit || r.scope == oom.ScopeSystem || r.scope == "" && r.global {
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
