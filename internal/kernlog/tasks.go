package kernlog

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// maxRows is how many rows of one table are kept to look a victim up in;
	// the biggest tasks are kept from all rows.
	maxRows       = 1 << 16
	maxCandidates = 10
	maxColumns    = 16
)

// row is one line of the tasks table (dump_task): sizes in pages, page tables in
// bytes, or in pages before 4.15.
type row struct {
	pid, tgid                       int32
	uid                             uint32
	totalVM, rss, anon, file, shmem uint64
	// Up to 3.5 there are no columns of page tables and swap (de34d965a8), and up to 2.6.35
	// none of oom_score_adj (a63d83f427).
	tables, swap      oom.Opt[uint64]
	adj               oom.Opt[int32]
	split, tablePages bool
	unkillable        bool // by the adjustment, whichever is printed
}

// worst is a row with its name, among the biggest.
type worst struct {
	row
	name   string
	points int64
}

type column int

const (
	colIgnore column = iota
	colUID
	colTGID
	colTotalVM
	colRSS
	colAnon
	colFile
	colShmem
	colTablePages
	colTableBytes
	colSwap
	colAdj
	colOldAdj
)

// taskTable is the tasks table of one report.
type taskTable struct {
	headed   bool // the heading was seen: the table is whole from its start
	cut      bool // the heading breaks off: a number behind the rows' columns is no name
	guessed  bool // the heading is lost: its last rows could be those of another kernel
	columns  [maxColumns]column
	width    int
	rows     []row
	index    map[int32]int // of the first row of each thread, as far as one was looked for
	indexed  int
	total    uint64
	pages    uint64 // of all rows; math.MaxUint64: too many to be true
	top      []worst
	names    map[string]byName
	nameless bool  // there are more names than are summed up
	swapped  bool  // a task of a name has memory in swap
	biggest  worst // whatever its adjustment; points are its size
	domain   uint64
	page     uint64 // 0: not known
}

// isHeading says whether this is "[  pid  ]   uid  tgid …".
func isHeading(b []byte) bool {
	if len(b) < 5 || b[0] != '[' {
		return false
	}
	rest := scan.SkipSpaces(b[1:])
	if !scan.HasPrefix(rest, "pid") {
		return false
	}
	rest = scan.SkipSpaces(rest[3:])
	return len(rest) > 0 && rest[0] == ']' && scan.Contains(rest, "tgid")
}

func (t *taskTable) parseHeading(b []byte) {
	_, b, _ = bytes.Cut(b, []byte("]"))
	t.headed, t.cut, t.width = true, false, 0
	for len(b) > 0 && t.width < maxColumns {
		var f []byte
		f, b = scan.Field(b)
		if len(f) == 0 {
			continue
		}
		if string(f) == "name" {
			return
		}
		c := colIgnore
		for _, known := range [...]struct {
			name   string
			column column
		}{
			{"uid", colUID}, {"tgid", colTGID}, {"total_vm", colTotalVM}, {"rss", colRSS}, {"rss_anon", colAnon}, {"rss_file", colFile},
			{"rss_shmem", colShmem}, {"nr_ptes", colTablePages}, {"nr_pmds", colTablePages}, {"nr_puds", colTablePages},
			{"pgtables_bytes", colTableBytes}, {"swapents", colSwap}, {"oom_score_adj", colAdj}, {"oom_adj", colOldAdj},
		} {
			if string(f) == known.name {
				c = known.column
			}
		}
		t.columns[t.width] = c
		t.width++
	}
	t.cut = true
}

// The columns of tables whose heading is lost.
var (
	columns68  = [...]column{colUID, colTGID, colTotalVM, colRSS, colAnon, colFile, colShmem, colTableBytes, colSwap, colAdj}
	columns415 = [...]column{colUID, colTGID, colTotalVM, colRSS, colTableBytes, colSwap, colAdj}
	columns40  = [...]column{colUID, colTGID, colTotalVM, colRSS, colTablePages, colTablePages, colSwap, colAdj}
	columns310 = [...]column{colUID, colTGID, colTotalVM, colRSS, colTablePages, colSwap, colAdj}
	columns35  = [...]column{colUID, colTGID, colTotalVM, colRSS, colIgnore, colIgnore, colAdj} // cpu, oom_adj
)

// fewestColumns are those of 2.6.35 and before: uid, tgid, total_vm, rss, cpu, oom_adj.
const fewestColumns = 6

// rowPID reads the "[ 1234]" that begins a row.
func rowPID(b []byte) (pid int32, rest []byte, ok bool) {
	if len(b) < 4 || b[0] != '[' {
		return 0, nil, false
	}
	pid, rest, ok = scan.PID(scan.SkipSpaces(b[1:]))
	if !ok {
		return 0, nil, false
	}
	rest = scan.SkipSpaces(rest)
	if len(rest) < 2 || rest[0] != ']' || rest[1] != ' ' && rest[1] != '\t' {
		return 0, nil, false
	}
	return pid, rest[1:], true
}

// rowPart says whether a line can be a row: eight numbers with the pid are enough to tell it
// from anything else in brackets, seven below a heading.
func rowPart(b []byte) part {
	_, rest, ok := rowPID(b)
	if !ok {
		return partNone
	}
	var values [maxColumns]int64
	switch n, _ := numbers(rest, values[:len(columns310)]); n {
	case len(columns310):
		return partRow
	case fewestColumns:
		return partOldRow
	}
	return partBadRow
}

// numbers reads up to len(into) whole numbers and returns how many there were
// and what follows.
func numbers(b []byte, into []int64) (int, []byte) {
	for i := range into {
		f, rest := scan.Field(b)
		digits, neg := bytes.CutPrefix(f, []byte("-"))
		v, tail, ok := scan.Uint(digits)
		if !ok || len(tail) > 0 || v > math.MaxInt64 {
			return i, b
		}
		into[i] = int64(v)
		if neg {
			into[i] = -int64(v)
		}
		b = rest
	}
	return len(into), b
}

// parseRow reads a row, by the heading's columns or, without one, by what the
// numbers can be. False when it is none.
func (t *taskTable) parseRow(b []byte) bool {
	pid, rest, ok := rowPID(b)
	if !ok {
		return false
	}
	columns, values := t.columns[:t.width], [maxColumns]int64{}
	if t.width == 0 {
		n, _ := numbers(rest, values[:])
		if columns = guessColumns(values[:n]); columns == nil {
			return false
		}
		if t.guessed = true; len(columns) == len(columns35) && columns[4] == colIgnore {
			t.ofCPUs()
		}
	}
	n, name := numbers(rest, values[:len(columns)])
	if t.cut && len(bytes.Trim(name, " -0123456789>")) == 0 {
		name = nil
	}
	return n == len(columns) && t.add(pid, columns, values[:n], name)
}

// ofCPUs takes the table for one of 3.5 and before: what was read as page tables and swap
// is the CPU and oom_adj.
func (t *taskTable) ofCPUs() {
	t.width = copy(t.columns[:], columns35[:])
	strip := func(r *row) { r.tables, r.swap, r.tablePages = oom.Opt[uint64]{}, oom.Opt[uint64]{}, false }
	for i := range t.rows {
		strip(&t.rows[i])
	}
	for i := range t.top {
		strip(&t.top[i].row)
	}
	strip(&t.biggest.row)
}

// guessColumns picks the columns of a row without a heading: a name may begin
// with digits and so look like one more column, but hardly like two.
func guessColumns(v []int64) []column {
	adj := func(i int) bool { return len(v) > i && len(v) <= i+2 && v[i] >= -1000 && v[i] <= 1000 }
	// entries are how many pages a page table maps where pages have 4 KiB. Of bigger ones a
	// table maps more: there page tables stay unknown.
	const page, entries = 4096, 512
	switch {
	case adj(9) && v[7] > 0 && v[7]%page == 0 && v[3] == v[4]+v[5]+v[6]:
		return columns68[:]
	case adj(6) && v[4] >= page && v[4]%page == 0:
		return columns415[:]
	case adj(7):
		return columns40[:]
	case adj(6) && (v[5] < 0 || v[3] > v[4]*entries):
		return columns35[:]
	case adj(6):
		return columns310[:]
	}
	return nil
}

func (t *taskTable) add(pid int32, columns []column, values []int64, name []byte) bool {
	const oomDisable, never = -17, -1000 // of oom_adj and of oom_score_adj
	r := row{pid: pid, tgid: pid}
	for i, c := range columns {
		v := values[i]
		if v < 0 && c != colAdj && c != colOldAdj && c != colIgnore {
			return false
		}
		switch u := uint64(v); c {
		case colUID:
			if v > math.MaxUint32 {
				return false
			}
			r.uid = uint32(v)
		case colTGID:
			if v > math.MaxInt32 {
				return false
			}
			r.tgid = int32(v)
		case colTotalVM:
			r.totalVM = u
		case colRSS:
			r.rss = u
		case colAnon:
			r.anon = u
		case colFile:
			r.file = u
		case colShmem:
			r.shmem, r.split = u, true // the last of three: a heading may be cut
		case colTablePages:
			r.tables, r.tablePages = oom.Some(r.tables.Value+u), true
		case colTableBytes:
			r.tables = oom.Some(u)
		case colSwap:
			r.swap = oom.Some(u)
		case colOldAdj:
			r.unkillable = r.unkillable || !r.adj.Known && v == oomDisable
		case colAdj:
			if v < math.MinInt16 || v > math.MaxInt16 {
				return false
			}
			r.adj, r.unkillable = oom.Some(int32(v)), v == never
		}
	}
	t.total++
	if len(t.rows) < maxRows {
		t.rows = append(t.rows, r)
	}
	t.rank(r, name)
	return true
}

// points is the kernel's badness as far as the report tells what it rests on
// (oom_badness): only good for the order of rows.
func (t *taskTable) points(r *row) int64 {
	const lowest = math.MinInt64 / 2
	p := r.pages(t.pageSize())
	if r.unkillable {
		return lowest + p // never chosen
	}
	return p + int64(r.adj.Value)*int64(min(t.domain/1000, math.MaxInt32<<8))
}

func (t *taskTable) pageSize() uint64 {
	if t.page == 0 {
		return defaultPageBytes
	}
	return t.page
}

// pages is what a row's task holds.
func (r *row) pages(page uint64) int64 {
	tables := r.tables.Value
	if !r.tablePages {
		tables /= page
	}
	return int64(min(r.rss, math.MaxInt32<<8)) + int64(min(r.swap.Value, math.MaxInt32<<8)) + int64(min(tables, math.MaxInt32<<8))
}

func (t *taskTable) rank(r row, name []byte) {
	name = bytes.TrimLeft(name, " ")
	t.sumName(&r, name)
	size := r.pages(t.pageSize())
	t.pages += min(uint64(size), math.MaxUint64-t.pages)
	if size > t.biggest.points {
		t.biggest = worst{r, scan.Keep(name), size}
	}
	p := t.points(&r)
	if len(t.top) < maxCandidates || p > t.top[maxCandidates-1].points {
		t.top = insertTop(t.top, worst{r, scan.Keep(name), p}, maxCandidates, func(a, b *worst) bool { return a.points > b.points })
	}
}

// byName is what all tasks of one name hold together.
type byName struct {
	rss, swap, tables, tasks uint64 // pages; the tables as in the rows
	tablePages, hasSwap      bool
}

// maxNames bounds how many names are summed up; a report has no more tasks than pids,
// and names are their owners' choice.
const maxNames = 4096

func (t *taskTable) sumName(r *row, name []byte) {
	const most, longest = math.MaxInt32 << 8, 4 * maxComm // each byte may be written "\x20"
	name = name[:min(len(name), longest)]
	s, ok := t.names[string(name)]
	if !ok {
		if len(t.names) >= maxNames {
			t.nameless = true
			return
		}
		if t.names == nil {
			t.names = map[string]byName{}
		}
		s.tablePages, s.hasSwap = r.tablePages, r.swap.Known
	}
	s.rss, s.swap, s.tables, s.tasks = s.rss+min(r.rss, most), s.swap+min(r.swap.Value, most), s.tables+min(r.tables.Value, most<<16), s.tasks+1
	t.names[string(name)] = s
	t.swapped = t.swapped || s.swap > 0
}

// holders are the names whose tasks hold most, worst first. Tasks that share memory
// count it once each.
func (t *taskTable) holders(page uint64) ([]oom.Holder, oom.Opt[uint64]) {
	if !t.headed || t.nameless || len(t.names) == 0 {
		return nil, oom.Opt[uint64]{}
	}
	all := make([]oom.Holder, 0, len(t.names))
	for name, s := range t.names {
		tables := s.tables
		if s.tablePages {
			tables *= page
		}
		h := oom.Holder{
			Comm: strings.ToValidUTF8(name, "\ufffd"), UsageBytes: scan.Sum(scan.Times(s.rss, page), oom.Some(tables)), Tasks: oom.Some(s.tasks),
		}
		if s.hasSwap {
			h.SwapBytes = scan.Times(s.swap, page)
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b oom.Holder) int {
		return cmp.Or(cmp.Compare(b.UsageBytes.Value+b.SwapBytes.Value, a.UsageBytes.Value+a.SwapBytes.Value), strings.Compare(a.Comm, b.Comm))
	})
	total := oom.Some(uint64(len(all)))
	if len(all) > maxCandidates {
		all = slices.Clone(all[:maxCandidates])
	}
	return all, total
}

// find returns the row of a thread, or nil.
func (t *taskTable) find(pid int32) *row {
	if t.index == nil {
		t.index = map[int32]int{}
	}
	for ; t.indexed < len(t.rows); t.indexed++ {
		if _, twice := t.index[t.rows[t.indexed].pid]; !twice {
			t.index[t.rows[t.indexed].pid] = t.indexed
		}
	}
	i, ok := t.index[pid]
	if !ok {
		return nil
	}
	return &t.rows[i]
}

// name is a task's, if it is among those whose names are kept.
func (t *taskTable) name(pid int32) string {
	if i := slices.IndexFunc(t.top, func(w worst) bool { return w.pid == pid }); i >= 0 {
		return t.top[i].name
	}
	return ""
}

// candidate is the row in bytes.
func (r *row) candidate(page uint64) oom.Candidate {
	c := oom.Candidate{
		PID: oom.Some(r.tgid), UID: oom.Some(r.uid), TotalVMBytes: scan.Times(r.totalVM, page), RSSBytes: scan.Times(r.rss, page),
		SwapBytes: inBytes(r.swap, page), PgtablesBytes: r.tables, OOMScoreAdj: r.adj,
	}
	if r.tablePages {
		c.PgtablesBytes = inBytes(r.tables, page)
	}
	if r.split {
		c.AnonRSSBytes, c.FileRSSBytes, c.ShmemRSSBytes = scan.Times(r.anon, page), scan.Times(r.file, page), scan.Times(r.shmem, page)
	}
	return c
}

// inBytes is a number of pages in bytes.
func inBytes(pages oom.Opt[uint64], page uint64) oom.Opt[uint64] {
	if !pages.Known {
		return pages
	}
	return scan.Times(pages.Value, page)
}

// candidates are the tasks with the most points, worst first, and the biggest
// of all, if its adjustment keeps it from being one of them.
func (t *taskTable) candidates(page uint64) []oom.Candidate {
	top := t.top
	if t.biggest.points > 0 && !slices.ContainsFunc(top, func(w worst) bool { return w.pid == t.biggest.pid }) {
		top = append(top[:len(top):len(top)], t.biggest)
	}
	if len(top) == 0 {
		return nil
	}
	out := make([]oom.Candidate, 0, len(top))
	for i := range top {
		c := top[i].candidate(page)
		c.Comm = top[i].name
		out = append(out, c)
	}
	return out
}
