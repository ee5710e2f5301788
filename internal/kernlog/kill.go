package kernlog

import (
	"bytes"
	"math"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// killLine is what a "Killed process" line says; sizes in bytes.
type killLine struct {
	pid int32
	v   oom.Victim // as far as it is printed; only OpenVZ prints the resident memory as a whole

	message
	cut     bool
	noSizes bool // the line ended in or after the name
	named   bool // after it
	// uidFirst: the user stands before the name, as RHEL 6 prints it.
	uidFirst bool
}

// message is the reason that the line begins with.
type message struct {
	scope          oom.Scope
	killAllocating bool
	bare           bool // no reason: the second of two lines, up to 5.0
}

// parseMessage reads the text before "Killed process" or "Kill process". Where
// the source may have put an unknown prefix before it, its end counts, but not
// behind a path: there are messages that end in a cgroup's name, which says
// what its owner likes.
func parseMessage(b []byte, exact bool) (message, bool) {
	for i := range messages {
		before, ok := bytes.CutSuffix(b, []byte(messages[i].text))
		if ok && (len(before) == 0 || !exact && bytes.IndexByte(before, '/') < 0) {
			return messages[i].message, true
		}
	}
	return message{bare: true}, len(b) == 0
}

// messages are the reasons, longer ones before their own ends; "kernel: " and
// "] " are the ends of unknown prefixes.
var messages = [...]struct {
	text string
	message
}{
	{"Memory cgroup out of memory: ", message{scope: oom.ScopeCgroup}},
	{"Out of memory (oom_kill_allocating_task): ", message{scope: oom.ScopeSystem, killAllocating: true}},
	{"Out of memory: ", message{scope: oom.ScopeSystem}},
	{"Out of Memory: ", message{scope: oom.ScopeSystem}},
	{"Out of memory : ", message{scope: oom.ScopeSystem}},
	{"kernel: ", message{bare: true}},
	{"] ", message{bare: true}},
}

// killHead reads "REASON: MARK PID", with the mark at i, and returns what follows.
func killHead(b []byte, i int, mark string, exact bool) (m message, pid int32, rest []byte, ok bool) {
	if i < 0 {
		return m, 0, nil, false
	}
	if m, ok = parseMessage(b[:i], exact); !ok {
		return m, 0, nil, false
	}
	pid, rest, ok = scan.PID(b[i+len(mark):])
	return m, pid, rest, ok
}

// parseKilled reads "REASON: Killed process PID (COMM) total-vm:1kB, …". The
// name may hold anything, brackets too: it ends at the last place where the
// fixed text begins. RHEL 7 and 8 put ", UID n" after the name, RHEL 6 before.
func parseKilled(b []byte, exact bool) (k killLine, ok bool) {
	var rest []byte
	if k.message, k.pid, rest, ok = killHead(b, bytes.Index(b, []byte(lines.KilledMark)), lines.KilledMark, exact); !ok {
		return k, false
	}
	if s, found := bytes.CutPrefix(rest, []byte(", UID ")); found {
		uid, s, ok := scan.Uint(s)
		if !ok || !scan.HasPrefix(s, ",") {
			return k, false
		}
		k.v.UID, rest, k.uidFirst = uidOf(uid), s[1:], true
	}
	if rest, ok = openBracket(rest); !ok {
		return k, false
	}
	for _, mark := range [...]string{") total-vm:", "), UID ", ") vsz:"} {
		if end := bytes.LastIndex(rest, []byte(mark)); end >= 0 {
			k.v.Comm = scan.Keep(rest[:end])
			return k, k.parseSizes(rest[end+1:])
		}
	}
	// Cut within the line: the name is whole only with its bracket.
	k.cut, k.noSizes = true, true
	end := bytes.LastIndexByte(rest[:min(len(rest), maxComm+1)], ')')
	if end < 0 {
		return k, false
	}
	k.v.Comm = scan.Keep(rest[:end])
	// Up to 2.6.32 the line ends here, with a full stop up to 2.6.23.
	k.noSizes, k.named = string(rest[end+1:]) != ".", len(rest) == end+1
	k.cut = k.noSizes
	return k, true
}

// openBracket takes " (" off, or "(" alone: web pages lose blanks.
func openBracket(b []byte) ([]byte, bool) {
	return bytes.CutPrefix(bytes.TrimPrefix(b, []byte(" ")), []byte("("))
}

// vzMark is how kernels of OpenVZ and Virtuozzo name a victim.
const vzMark = ": OOM killed process "

// parseVZ reads "Out of memory in UB 101: OOM killed process 77 (a) score 0 vm:400kB,
// rss:40kB, swap:0kB": the limit is a container's (its beancounters'), or with UB 0 the
// host's.
func parseVZ(b []byte) (k killLine, ok bool) {
	owner, b, ok := bytes.Cut(b, []byte(vzMark))
	if !ok {
		return k, false
	}
	if id, rest, ok := scan.Uint(owner[bytes.LastIndexByte(owner, ' ')+1:]); ok && len(rest) == 0 && id > 0 {
		k.scope = oom.ScopeCgroup
	}
	if k.pid, b, ok = scan.PID(b); !ok || !scan.HasPrefix(b, " (") {
		return k, false
	}
	end := bytes.LastIndex(b, []byte(") score "))
	if end < 0 {
		return k, false
	}
	k.v.Comm = scan.Keep(b[2:end])
	fieldsKB(bytes.ReplaceAll(b[end:], []byte(","), nil), func(name []byte, kb uint64) {
		switch string(name) {
		case "vm":
			k.v.TotalVMBytes = scan.Kilobytes(kb)
		case "rss":
			k.v.RSSBytes = scan.Kilobytes(kb)
		case "swap":
			k.v.SwapBytes = scan.Kilobytes(kb)
		}
	})
	return k, true
}

func uidOf(v uint64) oom.Opt[uint32] {
	if v > math.MaxUint32 {
		return oom.Opt[uint32]{}
	}
	return oom.Some(uint32(v))
}

// parseSizes reads "total-vm:1kB, anon-rss:1kB, …, UID:0 pgtables:4kB
// oom_score_adj:0". False for text that the kernel does not print there.
func (k *killLine) parseSizes(b []byte) bool {
	b, _ = bytes.CutPrefix(b, []byte(","))
	k.cut = k.cut || bytes.HasSuffix(b, []byte(","))
	if s, ok := bytes.CutPrefix(b, []byte(" UID ")); ok {
		v, rest, ok := scan.Uint(s)
		if !ok {
			return false
		}
		k.v.UID, b = uidOf(v), rest
	}
	for len(b) > 0 {
		var f []byte
		f, b = scan.Field(b)
		f = bytes.TrimSuffix(f, []byte(","))
		if len(f) == 0 {
			continue
		}
		name, value, ok := bytes.Cut(f, []byte(":"))
		if string(f) == "lowmem" { // a patch of old
			_, b = scan.Field(b)
			continue
		}
		last := len(scan.SkipSpaces(b)) == 0
		if isDots(f) { // a writer left fields out
			k.cut = true
			continue
		}
		if !ok || !k.set(name, value) {
			k.cut = k.cut || last
			return last
		}
	}
	k.cut = k.cut || !k.v.TotalVMBytes.Known || !k.v.AnonRSSBytes.Known
	return true
}

// isDots reports whether a field stands for others: "...", "[...]".
func isDots(f []byte) bool {
	f = bytes.Trim(f, "[]()")
	return len(f) > 1 && len(bytes.Trim(f, ".")) == 0 || string(f) == "…"
}

func (k *killLine) set(name, value []byte) bool {
	switch string(name) {
	case "UID":
		v, rest, ok := scan.Uint(value)
		if ok && len(rest) == 0 {
			k.v.UID = uidOf(v)
		}
		return ok && len(rest) == 0
	case "oom_score_adj":
		v, rest, ok := scan.Int32(value)
		if ok && len(rest) == 0 && v >= -1000 && v <= 1000 {
			k.v.OOMScoreAdj = oom.Some(v)
		}
		return ok && len(rest) == 0
	}
	v, unit, ok := scan.Uint(value)
	if !ok || !scan.HasPrefix(unit, "kB") && !scan.HasPrefix(unit, "lkB") {
		return false
	}
	to := k.size(name)
	if to != nil {
		*to = scan.Kilobytes(v)
	}
	return to != nil
}

// size is where a size of this name goes; nil for another name.
func (k *killLine) size(name []byte) *oom.Opt[uint64] {
	switch string(name) {
	case "total-vm", "vsz":
		return &k.v.TotalVMBytes
	case "anon-rss":
		return &k.v.AnonRSSBytes
	case "file-rss":
		return &k.v.FileRSSBytes
	case "shmem-rss":
		return &k.v.ShmemRSSBytes
	case "pgtables":
		return &k.v.PgtablesBytes
	}
	return nil
}

// tablesBytes is the size of the page tables. 5.4 and 5.5 print bytes and call
// them kB (fixed by "mm/oom: fix pgtables units mismatch"); where the tasks
// table or the size of the address space do not decide, it stays unknown.
func (k *killLine) tablesBytes(r *row) oom.Opt[uint64] {
	if !k.v.PgtablesBytes.Known {
		return k.v.PgtablesBytes
	}
	printed := k.v.PgtablesBytes.Value / 1024
	switch {
	case r != nil && !r.tablePages && r.tables.Value == k.v.PgtablesBytes.Value:
		return k.v.PgtablesBytes
	case r != nil && !r.tablePages && r.tables.Value == printed, printed%defaultPageBytes == 0 && printed > 0 && k.v.TotalVMBytes.Known && k.v.PgtablesBytes.Value > k.v.TotalVMBytes.Value:
		return oom.Some(printed)
	case printed%defaultPageBytes == 0 && printed > 0 && k.v.PgtablesBytes.Value > scan.Sum(k.v.AnonRSSBytes, k.v.FileRSSBytes).Or(0):
		return oom.Opt[uint64]{}
	}
	return k.v.PgtablesBytes
}

// rss is the sum of its parts; before 4.5 shared memory counts as file. Of a line that breaks off it is
// not known whether that is so.
func (k *killLine) rss() oom.Opt[uint64] {
	if k.v.RSSBytes.Known || k.cut && !k.v.ShmemRSSBytes.Known {
		return k.v.RSSBytes
	}
	return scan.Sum(k.v.AnonRSSBytes, k.v.FileRSSBytes, oom.Some(k.v.ShmemRSSBytes.Value))
}

// maxScore is the highest score that an oom_score_adj can make of a task's share of
// all memory (oom_badness, 2.6.36 to 5.0).
const maxScore = 2000

// killIndex is where "Kill process " is; up to 2.6.31 it began with a small letter.
func killIndex(b []byte) int {
	i := bytes.Index(b, []byte(lines.KillMark))
	if i < 0 && scan.HasPrefix(b, "Out of memory: kill process ") {
		return len("Out of memory: ")
	}
	return i
}

// parseScore reads "REASON: Kill process PID (COMM) score N or sacrifice child", the
// first of two lines up to 5.0: the kernel's choice, of which a child may be
// killed instead.
func parseScore(b []byte, exact bool) (k killLine, ok bool) {
	var rest []byte
	if k.message, k.pid, rest, ok = killHead(b, killIndex(b), lines.KillMark, exact); !ok {
		return k, false
	}
	if rest, ok = openBracket(rest); !ok {
		return k, false
	}
	end := bytes.LastIndex(rest, []byte(") score "))
	if end < 0 {
		k.v.Comm = scan.Keep(bytes.TrimSuffix(rest, []byte(")")))
		return k, bytes.HasSuffix(rest, []byte(")")) // cut behind the name
	}
	v, after, ok := scan.Uint(rest[end+len(") score "):])
	if !ok {
		return k, false
	}
	k.v.Comm = scan.Keep(rest[:end])
	// Up to 2.6.35, which ends in "or a child", the score is no share of a thousand, but the
	// badness itself. Words follow it: at the end of a line it may be cut.
	if v <= maxScore && len(after) > 0 && !scan.HasPrefix(after, " or a child") {
		k.v.Score = oom.Some(int64(v))
	}
	return k, true
}

// summary is the "oom-kill:" line (5.0 and later).
type summary struct {
	scope              oom.Scope
	nodemask, cpuset   string
	memsAllowed        string
	global             bool
	limitCgroup        string
	victimCgroup, comm string
	pid                int32
	uid                uint32
}

// maxComm is TASK_COMM_LEN without its NUL.
const maxComm = 15

// parseSummary reads "oom-kill:constraint=C,nodemask=N,cpuset=S,
// mems_allowed=M,oom_memcg=A,task_memcg=B,task=COMM,pid=P,uid=U", or with
// global_oom for the whole system. A kernel without CONFIG_CPUSETS or CONFIG_MEMCG
// prints none of their keys. Names may hold commas and keys: numbers are
// taken from the end, and a comm is not longer than 15 bytes.
func parseSummary(b []byte) (s summary, ok bool) {
	b = b[len(lines.SummaryMark):]
	constraint, rest, ok := bytes.Cut(b, []byte(",nodemask="))
	if !ok { // what is between was left out by whoever passed it on
		constraint, b, ok = bytes.Cut(b, []byte(","))
		s.scope, s.global = scopeOf(constraint), scan.Contains(b, ",global_oom,")
		ok = ok && s.parseTask(append([]byte(","), b...))
		s.victimCgroup = ""
		return s, ok
	}
	b = rest
	s.scope = scopeOf(constraint)
	head, task, ok := cutGlobal(b, &s)
	if !ok {
		if s.scope == oom.ScopeCgroup || !s.parseTask(b) {
			return s, false
		}
		// Without memory cgroups what is before the task is no cgroup's name.
		head, task, s.global, s.victimCgroup = []byte(s.victimCgroup), nil, s.scope == oom.ScopeSystem, ""
	}
	if i := bytes.LastIndex(head, []byte(",mems_allowed=")); i >= 0 {
		s.memsAllowed, head = scan.Keep(head[i+len(",mems_allowed="):]), head[:i]
	}
	nodes, cpuset, _ := bytes.Cut(head, []byte(",cpuset="))
	s.nodemask, s.cpuset = nodeList(nodes), scan.Keep(cpuset)
	return s, task == nil || s.parseTask(task)
}

// cutGlobal parts what comes before the cgroups from what comes after the
// limit's.
func cutGlobal(b []byte, s *summary) (head, task []byte, ok bool) {
	const memcg, global, victim = ",oom_memcg=", ",global_oom,task_memcg=", ",task_memcg="
	i, j := bytes.Index(b, []byte(memcg)), bytes.Index(b, []byte(global))
	if j >= 0 && (i < 0 || j < i) {
		s.global = true
		return b[:j], b[j+len(global):], true
	}
	if i < 0 {
		return nil, nil, false
	}
	limit, task, ok := cutLimit(b[i+len(memcg):], victim)
	// 5.0 to 5.2 call it CONSTRAINT_NONE; a BPF program has words of its own.
	s.scope = oom.ScopeCgroup
	if ok { // else the name may be cut
		s.limitCgroup = scan.Keep(limit)
	}
	return b[:i], task, ok
}

// cutLimit parts the limit's cgroup from the victim's, which is the same or
// below it: that tells the mark from the same text in a name.
func cutLimit(b []byte, mark string) (limit, task []byte, ok bool) {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(mark))
		if i < 0 {
			break
		}
		limit, task = b[:from+i], b[from+i+len(mark):]
		if below, found := bytes.CutPrefix(task, bytes.TrimSuffix(limit, []byte("/"))); found && len(below) > 0 && (below[0] == '/' || below[0] == ',') {
			return limit, task, true
		}
		from += i + len(mark)
	}
	return bytes.Cut(b, []byte(mark))
}

func (s *summary) parseTask(b []byte) bool {
	cutLast := func(mark string) ([]byte, bool) {
		i := bytes.LastIndex(b, []byte(mark))
		if i < 0 {
			return nil, false
		}
		value := b[i+len(mark):]
		b = b[:i]
		return value, true
	}
	value, ok := cutLast(",uid=")
	uid, rest, ok2 := scan.Uint(value)
	if !ok || !ok2 || len(rest) > 0 || uid > math.MaxUint32 {
		return false
	}
	value, ok = cutLast(",pid=")
	pid, rest, ok2 := scan.PID(value)
	if !ok || !ok2 || len(rest) > 0 {
		return false
	}
	s.uid, s.pid = uint32(uid), pid
	const mark = ",task="
	near := max(0, len(b)-maxComm-len(mark))
	at := near + bytes.Index(b[near:], []byte(mark))
	if at < near {
		at = bytes.LastIndex(b, []byte(mark))
	}
	if at < 0 {
		return false
	}
	s.victimCgroup, s.comm = scan.Keep(b[:at]), scan.Keep(b[at+len(mark):])
	return true
}

// scopeOf names enum oom_constraint (include/linux/oom.h).
func scopeOf(constraint []byte) oom.Scope {
	switch string(constraint) {
	case "CONSTRAINT_NONE":
		return oom.ScopeSystem
	case "CONSTRAINT_CPUSET":
		return oom.ScopeCpuset
	case "CONSTRAINT_MEMORY_POLICY":
		return oom.ScopeMempolicy
	case "CONSTRAINT_MEMCG":
		return oom.ScopeCgroup
	}
	return ""
}

const reaperMark = "oom_reaper: "

// parseReaper reads "oom_reaper: reaped process PID (COMM), now anon-rss:0kB, …"
// and "oom_reaper: unable to reap pid:PID (COMM)".
func parseReaper(b []byte) (k killLine, gaveUp, ok bool) {
	b = b[len(reaperMark):]
	if b, gaveUp = bytes.CutPrefix(b, []byte("unable to reap pid:")); !gaveUp {
		if b, ok = bytes.CutPrefix(b, []byte("reaped process ")); !ok {
			return k, false, false
		}
	}
	if k.pid, b, ok = scan.PID(b); !ok || !scan.HasPrefix(b, " (") {
		return k, gaveUp, false
	}
	b = b[2:]
	end := bytes.LastIndex(b, []byte("), now "))
	if end < 0 {
		if end = bytes.LastIndexByte(b, ')'); end < 0 {
			return k, gaveUp, false
		}
	}
	k.v.Comm = scan.Keep(b[:end])
	for b = b[end+1:]; len(b) > 0; {
		var f []byte
		f, b = scan.Field(b)
		name, value, _ := bytes.Cut(f, []byte(":"))
		v, unit, ok := scan.Uint(value)
		if to := k.size(name); to != nil && ok && (scan.HasPrefix(unit, "kB") || scan.HasPrefix(unit, "lkB") || scan.HasPrefix(unit, "lulB")) {
			*to = scan.Kilobytes(v)
		}
	}
	return k, gaveUp, true
}

// parseExiting reads "REASON: OOM victim PID (COMM) is already exiting. Skip
// killing the task" (5.9 and later).
func parseExiting(b []byte, exact bool) (k killLine, ok bool) {
	const mark = "OOM victim "
	var rest []byte
	k.message, k.pid, rest, ok = killHead(b, bytes.Index(b, []byte(mark)), mark, exact)
	end := bytes.LastIndex(rest, []byte(") is already exiting"))
	if !ok || !scan.HasPrefix(rest, " (") || end < len(" (") {
		return k, false
	}
	k.v.Comm = scan.Keep(rest[len(" ("):end])
	return k, true
}

// parseGroup reads "Tasks in PATH are going to be killed due to
// memory.oom.group set" (4.19 and later).
func parseGroup(b []byte) (path string, ok bool) {
	i := bytes.LastIndex(b, []byte(" are going to be killed due to memory.oom.group set"))
	if b, ok = bytes.CutPrefix(b[:max(i, 0)], []byte("Tasks in ")); !ok {
		return "", false
	}
	return scan.Keep(b), true
}
