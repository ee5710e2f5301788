package kernlog

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// identity is a hash over what stays the same when the same line is read
// again; n tells those apart that are the same in all else. Where a log has no clock at all,
// the count of records so far stands in for it.
func identity(s *stamp, ordinal uint64, kind string, pid int32, n uint64) string {
	h := sha256.New()
	origin := s.bootID
	if origin == "" {
		origin = s.node
	}
	var number [24]byte
	switch {
	case s.uptime.Known:
		number[0] = 'u'
		binary.LittleEndian.PutUint64(number[8:], s.uptime.Value)
	case !s.time.IsZero():
		number[0] = 't'
		binary.LittleEndian.PutUint64(number[8:], uint64(s.time.UnixNano()))
	default:
		number[0] = 'n'
		binary.LittleEndian.PutUint64(number[8:], ordinal)
	}
	binary.LittleEndian.PutUint32(number[16:], uint32(pid))
	binary.LittleEndian.PutUint32(number[20:], uint32(len(origin)))
	h.Write(number[:])
	h.Write([]byte(origin))
	h.Write([]byte(kind))
	if n > 0 {
		h.Write(binary.LittleEndian.AppendUint64(nil, n))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// base fills what every record has.
func (p *Parser) base(kind oom.Kind, s *stamp, pid int32) *oom.Record {
	r := &oom.Record{
		Schema: oom.Schema, Kind: kind, Source: oom.SourceKmsg, Hooks: []string{hook}, UptimeNS: s.uptime, Time: s.time,
		Node: s.node, BootID: s.bootID, Kernel: p.o.Kernel,
	}
	if r.Time.IsZero() && s.uptime.Known && !p.o.BootTime.IsZero() && s.uptime.Value < 1<<62 {
		r.Time = p.o.BootTime.Add(time.Duration(s.uptime.Value))
	}
	p.ordinal++
	r.ID = p.identify(s, string(kind), pid)
	return r
}

// incidentID is shared by all victims of one decision. It hangs on the report's
// first line and on the task: the victim, or without one the trigger.
func (p *Parser) incidentID(s *stamp, pid int32) string { return p.identify(s, "incident", pid) }

// identify gives an id. Within a stamp as coarse as a second, or none, a task can stand
// for more than one record of a kind: these are counted. Without a stamp the log counts, too.
func (p *Parser) identify(s *stamp, kind string, pid int32) string {
	n := uint64(0)
	if !s.uptime.Known && s.time.IsZero() {
		n = uint64(max(p.o.Seen.log-1, 0)) << 32
	}
	id, same := identity(s, p.ordinal, kind, pid, n), n
	if s.uptime.Known {
		return id
	}
	for _, old := range p.ids {
		if old == id {
			same++
		}
	}
	if len(p.ids) == maxIDs {
		p.ids = append(p.ids[:0], p.ids[maxIDs/2:]...)
	}
	p.ids = append(p.ids, id)
	if same == n {
		return id
	}
	return identity(s, p.ordinal, kind, pid, same)
}

// fill puts what a report says into a record; k is nil without a victim.
func (p *Parser) fill(r *report, rec *oom.Record, k *killLine) {
	r.fill(rec, k)
	if !r.counted { // once, however many victims it has
		r.counted = true
		p.stats.Unused += uint64(r.unused + r.mem.unread + r.stats.unused())
		p.stats.LeftOut += uint64(r.mem.leftOut)
	}
	if k != nil {
		rec.Victim = r.victim(k)
	}
}

// fill puts the report's blocks into a record. Who reads a record may add to its blocks, but
// what is in their lists is shared.
func (r *report) fill(rec *oom.Record, k *killLine) {
	if r.tasks.guessed && (k != nil && k.uidFirst || r.before(3, 6) || r.oldAdj && r.kernel == "") {
		r.tasks.ofCPUs()
	}
	page := r.pageBytes(k)
	if r.kernel != "" {
		rec.Kernel = r.kernel
	}
	if r.scope == "" && !r.global && (r.hasLimit || r.stackAtLimit()) {
		r.scope = oom.ScopeCgroup
	}
	if len(r.logText) != len(r.text) {
		r.logText = string(r.text)
	}
	rec.LogText = r.logText
	if r.sysrq {
		rec.Sysrq = oom.Some(true)
	}
	if !r.headless || r.trigger.TID.Known {
		t := r.trigger
		t.KernelStack = append([]string(nil), t.KernelStack...) // the next report's take its place
		if r.stackMixed {
			t.KernelStack = nil
		}
		if row := r.tasks.find(t.TID.Value); t.TID.Known && row != nil {
			t.PID = oom.Some(row.tgid)
		}
		rec.Trigger = &t
	}
	rec.Limit = r.finishLimit()
	b := r.blocksFor(page, k)
	if b.memory != nil {
		m := *b.memory
		rec.Memory = &m
	}
	rec.Scope, rec.DomainBytes = b.scope, b.domain
	rec.Holders, rec.HoldersTotal = slices.Clone(b.holders), b.holdersTotal
	rec.Candidates = r.tasks.candidates(page)
	if r.tasks.headed && !r.rowsLost(k) {
		rec.CandidatesTotal = oom.Some(r.tasks.total)
		rec.CandidatesBytes = scan.Times(r.tasks.pages, page)
	}
	if !b.whole {
		rec.Incomplete = oom.Some(true)
	} else if m := rec.Memory; m != nil && m.TotalBytes.Known && !m.SwapTotalBytes.Known && !r.mem.ofNodes() {
		// A whole report without a word of swap, of a kernel without NUMA: a router's as a
		// rule, built without CONFIG_SWAP. Of others the lines are more likely lost.
		m.SwapTotalBytes, m.SwapFreeBytes = oom.Some(uint64(0)), oom.Some(uint64(0))
	}
}

// blocks are what is the same in the records of one report, which can have thousands of
// victims, as long as these are the same as well: the page's size, what the report says of the
// scope, and whether it is whole.
type blocks struct {
	page  uint64
	said  oom.Scope
	whole bool

	memory       *oom.Memory
	holders      []oom.Holder
	holdersTotal oom.Opt[uint64]
	scope        oom.Scope
	domain       oom.Opt[uint64]
}

func (r *report) blocksFor(page uint64, k *killLine) *blocks {
	r.dropMixed()
	b := &blocks{page: page, said: r.scope, whole: !r.headless && !r.doubtful && !r.missing(k)}
	if old := r.blocks; old != nil && old.page == page && old.said == b.said && old.whole == b.whole {
		return old
	}
	b.memory = r.memory(page)
	b.holders, b.holdersTotal = r.tasks.holders(page)
	b.scope = cmp.Or(r.nodeScope(b.memory, b.whole), r.scope)
	b.domain = r.domain(b.scope, page)
	r.blocks = b
	return b
}

// victim joins the kill line, the tasks table and the summary.
func (r *report) victim(k *killLine) *oom.Victim {
	v, row := k.v, r.tasks.find(k.pid)
	v.PID, v.TID, v.RSSBytes, v.PgtablesBytes = oom.Some(k.pid), oom.Some(k.pid), k.rss(), k.tablesBytes(row)
	if r.isChosen(k, row) {
		// The summary names the process, the kill line the thread that still
		// has the memory.
		if v.Score = r.score; !r.scored {
			v.PID = oom.Some(r.chosen.pid)
		}
		v.Cgroup, r.chosenGone = r.victimCgroup, true
		v.UID = either(v.UID, r.chosen.uid)
	}
	if row != nil {
		row.fill(&v, r.pageBytes(k))
	}
	v.CgroupLimits = r.protectedLevel(r.pageBytes(k))
	if r.grouped {
		v.CgroupLimits = grouped(v.CgroupLimits, r.groupPath)
	}
	return &v
}

// isChosen says whether the killed task is the one that the kernel chose. The
// two lines can name two threads of it; up to 5.0 a child can be killed instead,
// and then both are in the tasks table, which has no threads.
func (r *report) isChosen(k *killLine, row *row) bool {
	c := &r.chosen
	switch {
	case !c.known:
		return false
	case c.pid == k.pid, row != nil && row.tgid == c.pid:
		return true
	case r.assumed:
		return false
	case c.comm != k.v.Comm, r.chosenGone, r.grouped:
		// Behind the chosen task oom_kill_memcg_member kills the others of an oom.group by
		// themselves.
		return false
	case r.scored:
		return row != nil && r.tasks.headed && r.tasks.find(c.pid) == nil
	}
	return row == nil
}

// fill adds what the kill line does not have.
func (r *row) fill(v *oom.Victim, page uint64) {
	c := r.candidate(page)
	v.PID = c.PID
	v.SwapBytes = either(v.SwapBytes, c.SwapBytes)
	v.UID = either(v.UID, c.UID)
	v.OOMScoreAdj = either(v.OOMScoreAdj, c.OOMScoreAdj)
	v.TotalVMBytes = either(v.TotalVMBytes, c.TotalVMBytes)
	v.PgtablesBytes = either(v.PgtablesBytes, c.PgtablesBytes)
	if r.split && !v.AnonRSSBytes.Known {
		v.AnonRSSBytes, v.FileRSSBytes, v.ShmemRSSBytes = c.AnonRSSBytes, c.FileRSSBytes, c.ShmemRSSBytes
	}
	v.RSSBytes = either(v.RSSBytes, c.RSSBytes)
}

// either is the first of two values that is known.
func either[T oom.Scalar](a, b oom.Opt[T]) oom.Opt[T] {
	if a.Known {
		return a
	}
	return b
}

// keyed is the number behind the first of a key.
func keyed[T oom.Scalar](b []byte, key string, read func([]byte) (T, []byte, bool)) (number oom.Opt[T]) {
	b, _ = scan.After(b, key)
	if v, _, ok := read(b); ok {
		number = oom.Some(v)
	}
	return number
}
