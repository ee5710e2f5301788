package page

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// growth is how memory grew up to the kill.
type growth struct {
	Charts  []*chart
	Facts   []fact
	Growers []grower
	Charged bool // by the growers, else held
}

// grower is a process that charged memory, or held it.
type grower struct {
	Name, Cmdline string
	Bytes         template.HTML
	Bar           bar
	Exited        bool
}

func growthOf(rec *oom.Record) *growth {
	g := &growth{}
	if h := rec.History; h != nil {
		g.cgroup(rec, h)
	}
	if rec.Memory != nil && rec.Memory.History != nil {
		g.machine(rec.Memory.History)
	}
	if len(g.Charts)+len(g.Facts)+len(g.Growers) == 0 {
		return nil
	}
	return g
}

func (g *growth) cgroup(rec *oom.Record, h *oom.History) {
	c := &chart{}
	name, cgroup := "the cgroup", ""
	if rec.Limit != nil {
		cgroup = rec.Limit.Cgroup
		if rec.Limit.Level != "" {
			name = "the " + string(rec.Limit.Level)
		}
	}
	if len(h.Points) > 1 {
		c.add(name, "c0", true, h.Points)
	}
	for i, p := range h.Growers {
		if len(p.Points) > 1 && i < 5 {
			c.add(process(p.Comm, p.PID), fmt.Sprintf("c%d", i+1), false, p.Points)
		}
	}
	if len(c.series) > 0 {
		c.limit(rec.Limit)
		desc := fmt.Sprintf("Memory of %s %s up to the kill", name, cgroup)
		if h.StartBytes.Known && h.PeakBytes.Known {
			desc += fmt.Sprintf(", from %s to at most %s", short(h.StartBytes.Value), short(h.PeakBytes.Value))
		}
		c.draw("Memory of "+name+sourceWords(h.Source), desc)
		g.Charts = append(g.Charts, c)
	}
	g.cgroupFacts(h)
	g.Charged = slices.ContainsFunc(h.Growers, func(p oom.Grower) bool { return p.ChargedBytes.Known })
	taken := func(p *oom.Grower) oom.Opt[uint64] {
		if g.Charged {
			return p.ChargedBytes
		}
		return p.Held()
	}
	var most uint64
	for i := range h.Growers {
		most = max(most, taken(&h.Growers[i]).Value)
	}
	for i := range h.Growers {
		p := &h.Growers[i]
		n := taken(p)
		g.Growers = append(g.Growers, grower{
			visible(process(p.Comm, p.PID)), visible(p.Cmdline), sizeOpt(n), barAt("c0", "", 0, n.Value, most), p.Exited.Value,
		})
	}
}

func sourceWords(s oom.HistorySource) string {
	switch s {
	case oom.HistoryExact:
		return " (counted in the kernel)"
	case oom.HistorySampled:
		return " (sampled)"
	}
	return ""
}

func (g *growth) cgroupFacts(h *oom.History) {
	l := list(g.Facts)
	l.add("Over", duration(h.SpanNS))
	l.add("Started at", sizeOpt(h.StartBytes))
	l.add("Peak", sizeOpt(h.PeakBytes))
	if h.RateBytesPerS.Known {
		l.add("Rate", signed(h.RateBytesPerS)+" a second")
	}
	l.add("Near the limit for", duration(h.NearLimitNS))
	l.add("Limit hits", number(h.LimitHits))
	g.Facts = l
}

func (c *chart) add(name, class string, area bool, pts []oom.HistoryPoint) {
	c.series = append(c.series, series{name, class, area, pts})
	c.Legend = append(c.Legend, legend{class, visible(name), size(pts[len(pts)-1].Bytes)})
}

// limit marks the limit, and where it was lowered.
func (c *chart) limit(l *oom.Limit) {
	if l == nil || !l.MaxBytes.Known {
		return
	}
	now := mark{label: "limit " + short(l.MaxBytes.Value), bytes: l.MaxBytes.Value, fromNS: math.MaxUint64}
	if ch := l.Changed; ch != nil && ch.FromBytes.Known && ch.AgoNS.Known {
		now.fromNS = ch.AgoNS.Value
		c.marks = append(c.marks, mark{"limit before " + short(ch.FromBytes.Value), ch.FromBytes.Value, math.MaxUint64, ch.AgoNS.Value})
	}
	c.marks = append(c.marks, now)
}

func (g *growth) machine(h *oom.MemoryHistory) {
	c := &chart{}
	for i, kind := range []struct {
		name string
		of   func(*oom.MemoryPoint) oom.Opt[uint64]
	}{
		{"anonymous", func(p *oom.MemoryPoint) oom.Opt[uint64] { return p.AnonBytes }},
		{"file", func(p *oom.MemoryPoint) oom.Opt[uint64] { return p.FileBytes }},
		{"unreclaimable slab", func(p *oom.MemoryPoint) oom.Opt[uint64] { return p.SlabUnreclaimableBytes }},
		{"free", func(p *oom.MemoryPoint) oom.Opt[uint64] { return p.FreeBytes }},
		{"swap free", func(p *oom.MemoryPoint) oom.Opt[uint64] { return p.SwapFreeBytes }},
	} {
		var pts []oom.HistoryPoint
		for j := range h.Points {
			if v := kind.of(&h.Points[j]); v.Known {
				pts = append(pts, oom.HistoryPoint{AgoNS: h.Points[j].AgoNS, Bytes: v.Value})
			}
		}
		if len(pts) > 1 {
			c.add(kind.name, fmt.Sprintf("m%d", i), i == 0, pts)
		}
	}
	if len(c.series) > 0 {
		c.draw("The machine"+sourceWords(h.Source), "Memory of the machine by kind, up to the kill")
		g.Charts = append(g.Charts, c)
	}
}

// stack is a bar of what filled a limit, or the machine.
type stack struct {
	Title    string
	Whole    template.HTML
	WholeIs  string
	Segments []segment
	Desc     string
}

// segment is one kind of memory.
type segment struct {
	Bar   bar
	Name  string
	Value template.HTML
	Share string
}

// part is a segment before it has a place.
type part struct {
	class, name string
	bytes       uint64
}

// filled is what is in the limit, in the machine and in the victim.
func filled(rec *oom.Record) []*stack {
	var out []*stack
	if l := rec.Limit; l != nil && len(l.Stat) > 0 {
		whole, is := l.UsageBytes.Value, "in use"
		if l.MaxBytes.Value > whole {
			whole, is = l.MaxBytes.Value, "limit"
		}
		out = append(out, stacked("The limit's cgroup", whole, is, limitParts(l), l.UsageBytes.Value))
	}
	if m := rec.Memory; m != nil && len(m.Stat) > 0 {
		out = append(out, stacked("The machine", m.TotalBytes.Value, "RAM", memoryParts(m), m.TotalBytes.Value))
	}
	return slices.DeleteFunc(out, func(s *stack) bool { return s == nil })
}

func get(s oom.Stats, names ...string) uint64 {
	var sum uint64
	for _, n := range names {
		if v, ok := s.Get(n); ok {
			sum += min(v, math.MaxUint64-sum)
		}
	}
	return sum
}

// limitParts divides memory.stat into kinds that do not overlap.
func limitParts(l *oom.Limit) []part {
	s := l.Stat
	if _, v1 := s.Get(oom.LimitV1Cache); v1 {
		shmem, cache := get(s, oom.LimitShmem), get(s, oom.LimitV1Cache)
		return []part{
			{"k-anon", "anonymous", get(s, oom.LimitV1RSS)}, {"k-shmem", "shared, tmpfs", shmem},
			{"k-file", "page cache", cache - min(shmem, cache)}, {"k-kernel", "kernel", l.KmemUsageBytes.Value},
		}
	}
	shmem, file := get(s, oom.LimitShmem), get(s, oom.LimitFile)
	dirty := min(get(s, oom.LimitFileDirty, oom.LimitFileWriteback), file-min(shmem, file))
	kernel, ok := s.Get(oom.LimitKernel)
	if !ok {
		kernel = get(s, oom.LimitSlabReclaimable, oom.LimitSlabUnrecl, oom.LimitKernelStack, oom.LimitPagetables, oom.LimitPercpu)
	}
	return []part{
		{"k-anon", "anonymous", get(s, oom.LimitAnon)}, {"k-shmem", "shared, tmpfs", shmem},
		{"k-dirty", "page cache, dirty or in writeback", dirty}, {"k-file", "page cache, clean", file - min(shmem, file) - dirty},
		{"k-kernel", "kernel", kernel}, {"k-sock", "sockets", get(s, oom.LimitSock)},
	}
}

// memoryParts divides the machine's RAM by the lists that pages are on.
func memoryParts(m *oom.Memory) []part {
	s := m.Stat
	return []part{
		{"k-anon", "anonymous and shared (LRU)", get(s, oom.StatActiveAnon, oom.StatInactiveAnon, oom.StatIsolatedAnon)},
		{"k-file", "file (LRU)", get(s, oom.StatActiveFile, oom.StatInactiveFile, oom.StatIsolatedFile)},
		{"k-locked", "unevictable", get(s, oom.StatUnevictable)},
		{"k-kernel", "unreclaimable slab", get(s, oom.StatSlabUnrecl)}, {"k-slab", "reclaimable slab", get(s, oom.StatSlabReclaimable)},
		{"k-tables", "page tables and kernel stacks", get(s, oom.StatPageTable, oom.StatSecPageTable, oom.StatKernelStack)},
		{"k-sock", "per-CPU", get(s, oom.StatPercpu)}, {"k-zram", "compressed swap (zsmalloc)", get(s, oom.StatZspages)},
		{"k-huge", "huge pages", get(s, oom.StatHugepagesTotal)}, {"k-free", "free", m.FreeBytes.Value},
	}
}

// stacked lays the parts side by side; used is what they should add up to.
func stacked(title string, whole uint64, is string, parts []part, used uint64) *stack {
	var sum uint64
	for _, p := range parts {
		sum += min(p.bytes, math.MaxUint64-sum)
	}
	if whole == 0 {
		whole = sum
	}
	if whole == 0 {
		return nil
	}
	if used > sum {
		parts = append(parts, part{"k-other", "in none of these counters", used - sum})
		sum = used
	}
	if sum > whole {
		whole, is = sum, "sum of the counters"
	}
	out := &stack{Title: title, Whole: size(whole), WholeIs: is}
	var at uint64
	var words []string
	for _, p := range parts {
		if p.bytes == 0 {
			continue
		}
		share := percent(p.bytes, whole)
		label := fmt.Sprintf("%s: %s (%s)", p.name, short(p.bytes), share)
		out.Segments = append(out.Segments, segment{barAt(p.class, label, at, at+p.bytes, whole), p.name, size(p.bytes), share})
		words = append(words, label)
		at += p.bytes
	}
	out.Desc = strings.Join(words, ", ")
	return out
}

// level is one cgroup on the way up.
type level struct {
	Cgroup    string
	Usage     template.HTML
	Max, High template.HTML
	Swap      template.HTML
	Protected template.HTML
	Bars      []bar
	Share     string
	Hit       bool
}

func levels(rec *oom.Record) []level {
	if rec.Victim == nil {
		return nil
	}
	var out []level
	for _, c := range rec.Victim.CgroupLimits {
		l := level{
			Cgroup: visible(c.Cgroup), Usage: sizeOpt(c.UsageBytes), Max: unlimited(c.MaxBytes, c.UsageBytes), High: sizeOpt(c.HighBytes),
			Hit: rec.Limit != nil && rec.Limit.Cgroup == c.Cgroup && rec.Limit.Cgroup != "",
		}
		switch {
		case c.SwapMaxBytes.Known:
			l.Swap = sizeOpt(c.SwapUsageBytes) + " of " + sizeOpt(c.SwapMaxBytes)
		case c.MemswMaxBytes.Known:
			l.Swap = "with RAM up to " + sizeOpt(c.MemswMaxBytes)
		default:
			l.Swap = sizeOpt(c.SwapUsageBytes)
		}
		if c.MinBytes.Value > 0 || c.LowBytes.Value > 0 {
			l.Protected = "min " + sizeOpt(c.MinBytes) + ", low " + sizeOpt(c.LowBytes)
		}
		if c.MaxBytes.Known && c.UsageBytes.Known {
			l.Bars = []bar{barAt("c0", "", 0, min(c.UsageBytes.Value, c.MaxBytes.Value), c.MaxBytes.Value)}
			l.Share = percent(c.UsageBytes.Value, c.MaxBytes.Value)
		}
		out = append(out, l)
	}
	return out
}

// unlimited is a maximum; that it is absent means none only where the usage was read.
func unlimited(v, usage oom.Opt[uint64]) template.HTML {
	if !v.Known && usage.Known {
		return "no limit"
	}
	return sizeOpt(v)
}

// holders are the owners of the memory.
type holders struct {
	Rows []holder
	Note string
}

type holder struct {
	Name, Detail                          string
	Usage, Swap, Tasks, Requested, Growth template.HTML
	Bar                                   bar
	Victim                                bool
}

func holdersOf(rec *oom.Record) *holders {
	if len(rec.Holders) == 0 {
		return nil
	}
	h := &holders{Note: total(len(rec.Holders), rec.HoldersTotal)}
	var most uint64
	for i := range rec.Holders {
		most = max(most, rec.Holders[i].UsageBytes.Value)
	}
	for i := range rec.Holders {
		o := &rec.Holders[i]
		name, detail := cmp.Or(o.Name(), o.Comm), o.Cgroup
		if name == "" {
			name, detail = o.Cgroup, ""
		}
		row := holder{
			Name: visible(name), Detail: visible(detail), Usage: sizeOpt(o.UsageBytes), Swap: sizeOpt(o.SwapBytes), Tasks: number(o.Tasks),
			Requested: sizeOpt(o.RequestBytes), Growth: signed(o.GrewBytes), Bar: barAt("c0", "", 0, o.UsageBytes.Value, most),
		}
		if v := rec.Victim; v != nil && o.Cgroup != "" {
			row.Victim = v.Cgroup == o.Cgroup || strings.HasPrefix(v.Cgroup, strings.TrimSuffix(o.Cgroup, "/")+"/")
		}
		h.Rows = append(h.Rows, row)
	}
	return h
}

func total(shown int, all oom.Opt[uint64]) string {
	if all.Known && all.Value > uint64(shown) {
		return fmt.Sprintf("The biggest %d of %d.", shown, all.Value)
	}
	return ""
}

// tasks are the candidates.
type tasks struct {
	Rows   []task
	Note   string
	Cgroup string // of all of them
}

type task struct {
	Name, Cgroup                              string
	RSS, Swap, Tables, Virtual, Adj, Pts, UID template.HTML
	Bars                                      []bar
	Victim                                    bool
}

func tasksOf(rec *oom.Record) *tasks {
	if len(rec.Candidates) == 0 {
		return nil
	}
	t := &tasks{Note: total(len(rec.Candidates), rec.CandidatesTotal)}
	if rec.CandidatesBytes.Known {
		t.Note = strings.TrimSpace(t.Note + " All that were weighed hold " + short(rec.CandidatesBytes.Value) + "; what several share counts once for each.")
	}
	held := func(c *oom.Candidate) uint64 {
		sum := min(c.RSSBytes.Value, math.MaxUint64/4) + min(c.SwapBytes.Value, math.MaxUint64/4)
		return sum + min(c.PgtablesBytes.Value, math.MaxUint64/4)
	}
	var most uint64
	for i := range rec.Candidates {
		most = max(most, held(&rec.Candidates[i]))
	}
	for i := range rec.Candidates {
		c := &rec.Candidates[i]
		rss, sw := min(c.RSSBytes.Value, most), min(c.SwapBytes.Value, most)
		row := task{
			Name: visible(process(c.Comm, c.PID)), Cgroup: visible(c.Cgroup), RSS: sizeOpt(c.RSSBytes), Swap: sizeOpt(c.SwapBytes),
			Tables: sizeOpt(c.PgtablesBytes), Virtual: sizeOpt(c.TotalVMBytes), Adj: number(c.OOMScoreAdj), Pts: number(c.BadnessPages), UID: number(c.UID),
			Bars:   []bar{barAt("k-anon", "", 0, rss, most), barAt("k-swap", "", rss, rss+sw, most), barAt("k-tables", "", rss+sw, held(c), most)},
			Victim: rec.Victim != nil && c.PID.Known && c.PID == cmp.Or(rec.Victim.PID, rec.Victim.TID),
		}
		t.Rows = append(t.Rows, row)
	}
	if same := t.Rows[0].Cgroup; !slices.ContainsFunc(t.Rows, func(r task) bool { return r.Cgroup != same }) {
		t.Cgroup = same
		for i := range t.Rows {
			t.Rows[i].Cgroup = ""
		}
	}
	return t
}

// zone is one zone against its marks.
type zone struct {
	Name                          string
	Free, Min, Low, High, Managed template.HTML
	Reserved                      []template.HTML
	Blocks                        []template.HTML
	Bars                          []bar
	Marks                         []bar
	Short                         string
}

// swap is the machine's swap.
type swap struct {
	Facts   []fact
	Devices []device
}

type device struct {
	Name, Type           string
	Size, Used, Priority template.HTML
	Bar                  bar
}

// statTable is a table of counters.
type statTable struct {
	Title string
	Rows  []counter
}

type counter struct {
	Name, About string
	Value       template.HTML
}

func (k *kill) memory() {
	if l := k.rec.Limit; l != nil && len(l.Stat) > 0 {
		k.Stats = append(k.Stats, statTable{"memory.stat of the limit's cgroup", counters(l.Stat)})
	}
	m := k.rec.Memory
	if m == nil {
		return
	}
	if len(m.Stat) > 0 {
		k.Stats = append(k.Stats, statTable{"The machine's counters (/proc/vmstat)", counters(m.Stat)})
	}
	for i := range m.Zones {
		z := zoneOf(&m.Zones[i])
		k.Zones = append(k.Zones, z)
		for len(k.Orders) < len(z.Blocks) {
			k.Orders = append(k.Orders, len(k.Orders))
		}
	}
	k.Swap = swapOf(m)
	for _, c := range m.SlabCaches {
		k.Caches = append(k.Caches, named{visible(c.Name), []template.HTML{sizeOpt(c.UsedBytes), sizeOpt(c.TotalBytes)}})
	}
	for _, a := range m.Allocations {
		k.Sites = append(k.Sites, named{visible(a.Site), []template.HTML{sizeOpt(a.Bytes), number(a.Calls)}})
	}
}

func counters(s oom.Stats) []counter {
	out := make([]counter, 0, len(s))
	for _, st := range slices.SortedStableFunc(slices.Values(s), func(a, b oom.Stat) int { return cmp.Compare(b.Bytes, a.Bytes) }) {
		if st.Bytes > 0 {
			name := strings.TrimSuffix(st.Name, "_bytes")
			out = append(out, counter{visible(name), about[name], size(st.Bytes)})
		}
	}
	return out
}

func zoneOf(z *oom.Zone) zone {
	out := zone{
		Name: visible(z.Zone), Free: sizeOpt(z.FreeBytes), Min: sizeOpt(z.MinBytes), Low: sizeOpt(z.LowBytes), High: sizeOpt(z.HighBytes),
		Managed: sizeOpt(z.ManagedBytes),
	}
	if z.Node.Known {
		out.Name = fmt.Sprintf("node %d, %s", z.Node.Value, out.Name)
	}
	for _, r := range z.LowmemReserveBytes {
		out.Reserved = append(out.Reserved, size(r))
	}
	for _, n := range z.FreeBlocks {
		out.Blocks = append(out.Blocks, template.HTML(fmt.Sprint(n))) //nolint:gosec // a number
	}
	whole := max(z.FreeBytes.Value, z.HighBytes.Value)
	whole += whole / 16
	if !z.FreeBytes.Known || whole == 0 {
		return out
	}
	out.Bars = []bar{barAt("k-free", "free: "+short(z.FreeBytes.Value), 0, z.FreeBytes.Value, whole)}
	for _, m := range []struct {
		name string
		v    oom.Opt[uint64]
	}{{"min", z.MinBytes}, {"low", z.LowBytes}, {"high", z.HighBytes}} {
		if m.v.Known {
			out.Marks = append(out.Marks, barAt(m.name, m.name+": "+short(m.v.Value), m.v.Value, m.v.Value, whole))
		}
		if m.v.Known && z.FreeBytes.Value < m.v.Value && out.Short == "" {
			out.Short = "below " + m.name
		}
	}
	return out
}

func swapOf(m *oom.Memory) *swap {
	var l list
	l.add("Swap", sizeOpt(m.SwapTotalBytes))
	if m.SwapFreeBytes.Known {
		free := sizeOpt(m.SwapFreeBytes)
		if share := percent(m.SwapFreeBytes.Value, m.SwapTotalBytes.Value); share != "" {
			free += " (" + text(share) + ")"
		}
		l.add("Free", free)
	}
	l.add("Swap cache", sizeOpt(m.SwapCacheBytes))
	l.add("vm.swappiness", number(m.Swappiness))
	if m.LRUGen.Known {
		l.text("Multi-generational LRU", map[bool]string{true: "in use", false: "not in use"}[m.LRUGen.Value])
	}
	if m.OOMKillAllocatingTask.Known {
		l.text("vm.oom_kill_allocating_task", map[bool]string{true: "1", false: "0"}[m.OOMKillAllocatingTask.Value])
	}
	l.add("vm.panic_on_oom", number(m.PanicOnOOM))
	s := &swap{Facts: l}
	for _, d := range m.SwapDevices {
		s.Devices = append(s.Devices, device{
			visible(d.Name), visible(d.Type), sizeOpt(d.SizeBytes), sizeOpt(d.UsedBytes), number(d.Priority),
			barAt("k-swap", "", 0, d.UsedBytes.Value, d.SizeBytes.Value),
		})
	}
	if len(s.Facts)+len(s.Devices) == 0 {
		return nil
	}
	return s
}

// maxIndent is deeper than any field of a record. What is deeper is another's, and each of
// its lines would be indented that far.
const maxIndent = 16

// jsonText is a record's JSON with line breaks, if it is not nested too deeply. Within an
// element a quote needs no escape, and one would double the page.
func jsonText(line []byte) template.HTML {
	var b bytes.Buffer
	layOut := func() error { return json.Indent(&b, line, "", " ") }
	if nesting(line) > maxIndent {
		layOut = func() error { return json.Compact(&b, line) }
	}
	if layOut() != nil {
		return ""
	}
	s := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(b.String())
	var out strings.Builder
	for _, r := range s {
		if r != '\n' && invisible(r) {
			for _, u := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&out, "\\u%04x", u)
			}
		} else {
			out.WriteRune(r)
		}
	}
	return template.HTML(out.String()) //nolint:gosec // escaped above
}

// nesting is how deep the objects and arrays of a JSON text are, at the most.
func nesting(text []byte) (deepest int) {
	depth, inString, escaped := 0, false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}', c == ']':
			depth--
		}
	}
	return deepest
}

// about explains the counters that a reader meets most.
var about = map[string]string{
	"anon": "memory of processes, not of files", "file": "page cache, shared memory included", "kernel": "all kernel memory of the cgroup",
	"active_anon": "anonymous, used lately", "inactive_anon": "anonymous, first to be swapped out",
	"active_file": "page cache, used lately", "inactive_file": "page cache, first to be dropped",
	"isolated_anon": "taken off the LRU lists, by reclaim for example", "isolated_file": "taken off the LRU lists, by reclaim for example",
	"unevictable": "cannot be reclaimed: mlock, ramfs, SHM_LOCK", "mlocked": "locked with mlock",
	"file_pages": "page cache with shared memory and swap cache", "file_dirty": "waits to be written to disk", "file_writeback": "is being written to disk",
	"shmem": "tmpfs, System V and anonymous shared memory", "mapped": "page cache that processes have mapped", "file_mapped": "page cache that processes have mapped",
	"slab_reclaimable": "kernel objects that can be dropped, such as dentries", "slab_unreclaimable": "kernel objects that cannot be dropped",
	"slab": "both kinds of slab", "kernel_stack": "stacks of threads in the kernel", "page_table": "page tables", "pagetables": "page tables",
	"percpu": "the kernel's per-CPU memory", "vmalloc": "vmalloc areas, kernel stacks included", "sock": "buffers of sockets",
	"reserved": "in use since boot, or taken by a balloon", "balloon_pages": "taken by the hypervisor's balloon",
	"gpu_active": "in use by GPU drivers", "gpu_reclaim": "kept by GPU drivers for use again", "kernel_misc_reclaimable": "pools of drivers that can be dropped",
	"zspages": "what zram and zswap keep compressed", "bounce": "bounce buffers of block devices", "free_cma": "free, but for movable memory only (CMA)",
	"swapcached": "in RAM and in swap at once", "anon_thp": "anonymous memory in huge pages", "hugepages_total": "set aside as huge pages",
	"hugepages_free": "huge pages not in use", "swap": "swapped out",
}
