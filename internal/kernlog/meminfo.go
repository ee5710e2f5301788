package kernlog

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// maxZones and maxOrders bound what a report may make us keep.
const (
	maxZones  = 256
	maxOrders = 32
	// usualOrders are how many most kernels print.
	usualOrders = 11
)

// memInfo is the Mem-Info part of a report as printed: counters in pages.
type memInfo struct {
	blocks int // how many "Mem-Info:" lines there were
	// foreign: the block that comes first is another allocation's; whole: this
	// report's is read; mixed: two blocks that cannot be told apart.
	foreign, whole, mixed bool
	pageBytes             uint64
	pages                 []pageStat
	free                  oom.Opt[uint64]
	ram                   oom.Opt[uint64]
	reserved              oom.Opt[uint64]
	cache                 oom.Opt[uint64]
	swapCache, swapFree   oom.Opt[uint64]

	swapTotalKB, swapFreeKB oom.Opt[uint64]
	hugeTotal, hugeFree     oom.Opt[uint64] // bytes
	hugeSurp                oom.Opt[uint64]
	zones                   []zone
	managedKB, presentKB    uint64     // of the zones listed
	anonKB                  uint64     // of the nodes listed
	zoneLost                bool       // the line of one of which there is another
	sums                    []oom.Stat // of nodes or zones, bytes
	nodeSums, zoneSums      []oom.Stat // of counters that the machine's block has too
	nodes                   []int32    // with a line of their own
	killAllocating          bool
	panicOnOOM              oom.Opt[uint32]
	slabs                   []oom.SlabCache
	allocations             []oom.Allocation
	leftOut                 int // numbers that cannot be true
	swapInUseKB             oom.Opt[uint64]
	swapLeaves              bool // swapoff is at work: the free swap is printed below zero
	unread                  int  // counters that are not known
	lines                   int  // below its heading, or without one
	sites                   part // the list that is open
}

// zone is one with what a record has otherwise.
type zone struct {
	oom.Zone
	reserve []uint64 // lowmem_reserve in pages
	present oom.Opt[uint64]
}

// begin starts a block; false when it is not this report's.
func (m *memInfo) begin() bool {
	m.blocks++
	switch {
	case m.blocks == 1:
		// What came before is the end of another block.
		*m = memInfo{blocks: 1, foreign: m.foreign, mixed: m.mixed, killAllocating: m.killAllocating, panicOnOOM: m.panicOnOOM}
		return true
	case m.foreign && m.reserved.Known:
		*m = memInfo{blocks: 1, killAllocating: m.killAllocating, panicOnOOM: m.panicOnOOM}
		return true
	case !m.whole && (!m.reserved.Known || !m.swapTotalKB.Known || !m.cache.Known):
		m.mixed = true
	}
	return false
}

// missing says whether a line of the block is not there.
func (m *memInfo) missing() bool {
	if m.mixed || m.foreign || !m.free.Known || !m.cache.Known || managedUnknown(m) ||
		m.swapTotalKB.Known != (m.swapFreeKB.Known || m.swapLeaves) || m.swapTotalKB.Known != m.swapCache.Known || len(m.zones) == 0 {
		return true
	}
	for _, name := range [...]string{oom.StatActiveAnon, oom.StatActiveFile, oom.StatUnevictable, oom.StatSlabReclaimable, oom.StatMapped} {
		if !slices.ContainsFunc(m.pages, func(p pageStat) bool { return p.name == name }) {
			return true
		}
	}
	return slices.ContainsFunc(m.zones, func(z zone) bool { return z.FreeBlocks == nil || z.reserve == nil })
}

// missingOld says it of the lines of kernels up to 2.6.29, which have fewer counters and print
// "empty" for the blocks of a zone that is.
func (m *memInfo) missingOld() bool {
	empty := slices.ContainsFunc(m.zones, func(z zone) bool { return z.FreeBlocks == nil && z.FreeBytes.Value > 0 })
	return m.mixed || m.foreign || !m.free.Known || managedUnknown(m) || !m.swapTotalKB.Known || !m.swapFreeKB.Known || len(m.zones) == 0 || empty
}

// ofNodes says whether the kernel is one with NUMA, which has cpusets too.
func (m *memInfo) ofNodes() bool {
	return m.lines == 0 || slices.ContainsFunc(m.zones, func(z zone) bool { return z.Node.Known })
}

func managedUnknown(m *memInfo) bool { return !m.ram.Known || !m.reserved.Known }

type pageStat struct {
	name  string
	pages uint64
}

func (m *memInfo) managedPages() uint64 {
	if !m.ram.Known || !m.reserved.Known || m.reserved.Value > m.ram.Value {
		return 0
	}
	return m.ram.Value - m.reserved.Value
}

// pageName is /proc/vmstat's name for a counter of the Mem-Info lines.
func pageName(printed []byte) string {
	switch string(printed) {
	case "dirty":
		return oom.StatFileDirty
	case "writeback":
		return oom.StatFileWriteback
	case "pagetables":
		return oom.StatPageTable
	case "sec_pagetables":
		return oom.StatSecPageTable
	case "Active": // up to 2.6.27
		return "active_bytes"
	case "Active_anon": // up to 2.6.31
		return oom.StatActiveAnon
	}
	for _, name := range [...]string{
		oom.StatActiveAnon, oom.StatInactiveAnon, oom.StatIsolatedAnon, oom.StatActiveFile, oom.StatInactiveFile, oom.StatIsolatedFile,
		oom.StatUnevictable, oom.StatSlabReclaimable, oom.StatSlabUnrecl, oom.StatMapped, oom.StatShmem, oom.StatBounce, oom.StatFreeCMA,
		oom.StatFreePCP, oom.StatKernelMisc, "unstable_bytes", "inactive_bytes", "slab_bytes", // the last two are both kinds, of old kernels
	} {
		if string(printed) == strings.TrimSuffix(name, "_bytes") {
			return name
		}
	}
	return ""
}

// isPages says whether a line is one of Mem-Info's global counters.
func isPages(b []byte) bool {
	name, number, ok := bytes.Cut(b, []byte(":"))
	if !ok || len(number) == 0 || !scan.IsDigit(number[0]) {
		return false
	}
	return string(name) == "free" || pageName(name) != ""
}

// parsePages reads "active_file:42 inactive_file:33 isolated_file:0", in pages.
func (m *memInfo) parsePages(b []byte) {
	for len(b) > 0 {
		var f []byte
		f, b = scan.Field(b)
		name, number, ok := bytes.Cut(f, []byte(":"))
		if !ok {
			continue
		}
		v, rest, ok := scan.Uint(number)
		if !ok || len(rest) > 0 {
			continue
		}
		switch n := pageName(name); {
		case string(name) == "free":
			m.free = oom.Some(v)
		case n == "":
			m.unread++
		case len(m.pages) < maxStats:
			m.pages = append(m.pages, pageStat{n, v})
		}
	}
}

// afterNode takes "Node 3 " off; node is unknown on kernels without NUMA.
func afterNode(b []byte) (node oom.Opt[int32], rest []byte) {
	if !scan.HasPrefix(b, "Node ") {
		return node, b
	}
	n, rest, ok := scan.Int32(b[len("Node "):])
	if !ok || len(rest) == 0 || rest[0] != ' ' {
		return node, b
	}
	return oom.Some(n), rest[1:]
}

// zoneName cuts a zone's name off when mark follows it.
func zoneName(b []byte, mark string) (name, rest []byte, ok bool) {
	const longest = 16
	i := bytes.Index(b[:min(len(b), longest+len(mark))], []byte(mark))
	if i <= 0 || bytes.IndexByte(b[:i], ' ') >= 0 {
		return nil, nil, false
	}
	return b[:i], b[i+len(mark):], true
}

// isBlocks says whether this is "DMA32: 1*4kB (U) …".
func isBlocks(b []byte) (name, rest []byte, ok bool) {
	name, rest, ok = zoneName(b, ": ")
	if !ok {
		return nil, nil, false
	}
	_, tail, ok := scan.Uint(rest)
	return name, rest, ok && len(tail) > 0 && tail[0] == '*'
}

// fieldsKB calls f for each "name:12kB" of a line.
func fieldsKB(b []byte, f func(name []byte, kb uint64)) {
	for len(b) > 0 {
		var field []byte
		field, b = scan.Field(b)
		i := bytes.LastIndexByte(field, ':')
		if i <= 0 {
			continue
		}
		number := field[i+1:]
		if len(number) == 0 { // "shmem_thp: 0kB" of 4.8 to 5.10
			number, b = scan.Field(b)
		}
		if v, unit, ok := scan.Uint(number); ok && (string(unit) == "kB" || string(unit) == "KB") {
			f(field[:i], v)
		}
	}
}

// parseZone reads "free:15872kB min:88kB low:108kB … managed:15908kB …".
func (m *memInfo) parseZone(node oom.Opt[int32], name, b []byte) {
	if len(m.zones) >= maxZones {
		return
	}
	z := zone{Zone: oom.Zone{Node: node, Zone: scan.Keep(name)}}
	if v, _, ok := scan.Uint(b); ok {
		z.FreeBytes = m.size(v)
	}
	whole := m.blockWhole()
	fieldsKB(b, func(name []byte, kb uint64) {
		switch string(name) {
		case "min":
			z.MinBytes = m.size(kb)
		case "low":
			z.LowBytes = m.size(kb)
		case "high":
			z.HighBytes = m.size(kb)
		case "present":
			z.present = m.size(kb)
			m.presentKB += min(kb, mostMemory)
		case "managed":
			z.ManagedBytes = m.size(kb)
			m.managedKB += kb
		case "free_cma":
			z.FreeCMABytes = m.size(kb)
		case "reserved_highatomic", "free_highatomic": // the latter, from 6.13 on, is last and stands
			z.HighatomicBytes = m.size(kb)
		case "mlocked":
			m.sum(oom.StatMlocked, kb)
		case "kernel_stack":
			m.sum(oom.StatKernelStack, kb)
		case "zspages":
			m.sum("zspages_bytes", kb) // what zram and zswap hold
		default:
			if !whole {
				addSum(&m.zoneSums, kbName(name), kb)
			}
		}
	})
	m.zones = append(m.zones, z)
}

// size is a number of kB in bytes; what no machine has is left out.
func (m *memInfo) size(kb uint64) oom.Opt[uint64] {
	v := scan.Kilobytes(kb)
	if !v.Known || v.Value > mostMemory {
		m.leftOut++
		return oom.Opt[uint64]{}
	}
	return v
}

// mostMemory is more than physical addresses reach (52 bits).
const mostMemory = 1 << 52

// parseNode reads a node's line (4.8 and later); the global lines have most of
// it already.
func (m *memInfo) parseNode(node oom.Opt[int32], b []byte) {
	used, whole := false, m.blockWhole()
	if !slices.Contains(m.nodes, node.Value) && len(m.nodes) < maxZones {
		m.nodes = append(m.nodes, node.Value)
	}
	fieldsKB(b, func(name []byte, kb uint64) {
		if !whole {
			addSum(&m.nodeSums, kbName(name), kb)
		}
		switch string(name) {
		case "active_anon", "inactive_anon":
			m.anonKB += min(kb, mostMemory)
			return
		case "kernel_stack":
			m.sum(oom.StatKernelStack, kb)
		case "shadow_call_stack":
			m.sum("shadow_call_stack_bytes", kb)
		case "Balloon", "balloon":
			m.sum(oom.StatBalloon, kb)
		case "gpu_active":
			m.sum(oom.StatGPUActive, kb)
		case "gpu_reclaim":
			m.sum(oom.StatGPUReclaim, kb)
		default:
			return
		}
		used = true
	})
	if !used {
		m.unread++
	}
}

func (m *memInfo) sum(name string, kb uint64) { addSum(&m.sums, name, kb) }

func addSum(to *[]oom.Stat, name string, kb uint64) {
	v := scan.Kilobytes(kb)
	if !v.Known || name == "" {
		return
	}
	list := *to
	for i := range list {
		if list[i].Name == name {
			if s := list[i].Bytes + v.Value; s >= v.Value {
				list[i].Bytes = s
			}
			return
		}
	}
	*to = append(list, oom.Stat{Name: name, Bytes: v.Value})
}

// kbName is /proc/vmstat's name for a counter of a node's or zone's line.
func kbName(printed []byte) string {
	switch string(printed) {
	case "isolated(anon)":
		return oom.StatIsolatedAnon
	case "isolated(file)":
		return oom.StatIsolatedFile
	case "free_pcp", "free_cma": // both the machine's and a CPU's own are printed
		return ""
	}
	return pageName(printed)
}

// blockWhole says whether the machine's own counters are there, from the first to what is free:
// then nothing need be added up.
func (m *memInfo) blockWhole() bool {
	const fewest = 15 // of 2.6.32 and later
	return m.free.Known && len(m.pages) >= fewest
}

// allNodes says whether each zone's node has its own line.
func (m *memInfo) allNodes() bool {
	return len(m.nodes) > 0 &&
		!slices.ContainsFunc(m.zones, func(z zone) bool { return z.Node.Known && !slices.Contains(m.nodes, z.Node.Value) })
}

// allListed says whether every zone's line is there.
func (m *memInfo) allListed(page uint64) bool {
	managed := scan.Times(m.managedPages(), page)
	if m.managedKB == 0 && m.presentKB > 0 { // up to 3.8, which counts in what the boot took
		return managed.Value > 0 && scan.Kilobytes(m.presentKB).Value >= managed.Value && m.freeListed(page)
	}
	return managed.Value > 0 && managed == scan.Kilobytes(m.managedKB)
}

// freeListed says whether the zones that are listed have all that is free on the machine, but
// for what came and went between the lines.
func (m *memInfo) freeListed(page uint64) bool {
	const slack = 64
	sum, all := m.zonesFree(), inBytes(m.free, page)
	return !m.zoneLost && sum.Known && all.Known && max(sum.Value, all.Value)-min(sum.Value, all.Value) <= all.Value/slack
}

// zonesFree is what is free by the zones' lines.
func (m *memInfo) zonesFree() oom.Opt[uint64] {
	sum := oom.Some(uint64(0))
	for i := range m.zones {
		sum = scan.Sum(sum, m.zones[i].FreeBytes)
	}
	return sum
}

// parseReserve reads "lowmem_reserve[]: 0 2911 3850", in pages, of the zone
// printed just before.
func (m *memInfo) parseReserve(b []byte) {
	if len(m.zones) == 0 || m.zones[len(m.zones)-1].reserve != nil {
		return
	}
	var list []uint64
	for len(b) > 0 && len(list) < maxOrders {
		var f []byte
		f, b = scan.Field(b)
		if v, rest, ok := scan.Uint(f); ok && len(rest) == 0 {
			if v > mostMemory/defaultPageBytes {
				m.leftOut++
				list = []uint64{}
				break
			}
			list = append(list, v)
		}
	}
	m.zones[len(m.zones)-1].reserve = list
}

// parseBlocks reads "1*4kB (U) 0*8kB … = 15872kB" for a zone printed before.
func (m *memInfo) parseBlocks(node oom.Opt[int32], name, b []byte) {
	var z *oom.Zone
	for i := range m.zones {
		if own := &m.zones[i].Zone; own.Node == node && own.Zone == string(name) {
			z = own
		}
	}
	if z == nil {
		z, m.zoneLost = &oom.Zone{}, true
	}
	if z.FreeBlocks != nil {
		return
	}
	if !m.countBlocks(z, b) { // none of the rest is better than some: big blocks stand last
		z.FreeBlocks, z.FreeBlockTypes = nil, nil
		m.unread++
	}
}

// countBlocks reads them, and says whether all are there: their sum is last.
func (m *memInfo) countBlocks(z *oom.Zone, b []byte) bool {
	summed := bytes.IndexByte(b, '=') >= 0
	for len(b) > 0 && len(z.FreeBlocks) < maxOrders {
		var f []byte
		f, b = scan.Field(b)
		count, size, ok := bytes.Cut(f, []byte("*"))
		if !ok {
			continue
		}
		n, _, ok := scan.Uint(count)
		kb, unit, ok2 := scan.Uint(size)
		if !ok || !ok2 || string(unit) != "kB" {
			return false
		}
		if len(z.FreeBlocks) == 0 && kb >= 4 && kb <= 1024 && kb&(kb-1) == 0 {
			m.pageBytes = kb * 1024 // order 0 is a page
		}
		if z.FreeBlocks == nil {
			z.FreeBlocks, z.FreeBlockTypes = make([]uint64, 0, usualOrders), make([]string, 0, usualOrders)
		}
		z.FreeBlocks = append(z.FreeBlocks, n)
		types := ""
		if next, rest := scan.Field(b); len(next) > 2 && next[0] == '(' && next[len(next)-1] == ')' {
			types, b = scan.Keep(next[1:len(next)-1]), rest
		}
		z.FreeBlockTypes = append(z.FreeBlockTypes, types)
	}
	if !slices.ContainsFunc(z.FreeBlockTypes, func(s string) bool { return s != "" }) {
		z.FreeBlockTypes = nil
	}
	return summed
}

// slabRow reads "kmalloc-2048 59164KB 60100KB": what is used, and what is taken.
func slabRow(b []byte) (s oom.SlabCache, ok bool) {
	b, total := lastField(b)
	name, used := lastField(b)
	u, unit, ok := scan.Uint(used)
	t, unit2, ok2 := scan.Uint(total)
	if !ok || !ok2 || string(unit) != "KB" || string(unit2) != "KB" || len(name) == 0 {
		return s, false
	}
	return oom.SlabCache{Name: scan.Keep(name), UsedBytes: scan.Kilobytes(u), TotalBytes: scan.Kilobytes(t)}, true
}

// lastField cuts the last word off, and the spaces before it.
func lastField(b []byte) (rest, field []byte) {
	b = bytes.TrimRight(b, " ")
	i := bytes.LastIndexByte(b, ' ')
	return bytes.TrimRight(b[:max(i, 0)], " "), b[i+1:]
}

// allocationRow reads "4.00 GiB 1048576 mm/memory.c:1012 func:alloc_anon_folio", with a
// module in brackets before the function. The size has three digits (string_get_size).
func allocationRow(b []byte) (a oom.Allocation, ok bool) {
	number, b := scan.Field(b)
	unit, b := scan.Field(b)
	calls, site := scan.Field(b)
	n, rest, ok := scan.Uint(calls)
	shift := slices.Index([]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}, string(unit))
	size, err := strconv.ParseFloat(string(number), 64)
	if !ok || len(rest) > 0 || shift < 0 || err != nil || !scan.IsDigit(scan.First(number)) || !scan.Contains(site, " func:") || size >= 1024*1024 {
		return a, false
	}
	return oom.Allocation{Site: scan.Keep(scan.SkipSpaces(site)), Bytes: oom.Some(uint64(size * float64(uint64(1)<<(10*shift)))), Calls: oom.Some(n)}, true
}

// maxSites is how many slab caches and allocation sites a record has.
const maxSites = 10

// insertTop keeps so many, the first ones, in order.
func insertTop[T any](list []T, v T, most int, before func(a, b *T) bool) []T {
	i := len(list)
	for i > 0 && before(&v, &list[i-1]) {
		i--
	}
	list = slices.Insert(list, i, v)
	return list[:min(len(list), most)]
}

// parseHuge reads "hugepages_total=4 hugepages_free=1 hugepages_surp=0
// hugepages_size=2048kB", one line a node and size.
func (m *memInfo) parseHuge(b []byte) {
	size := keyed(b, "hugepages_size=", scan.Uint)
	if !size.Known || size.Value > math.MaxUint32 {
		return
	}
	add := func(sum *oom.Opt[uint64], key string) {
		if v := inBytes(keyed(b, key, scan.Uint), size.Value<<10); v.Known {
			*sum = oom.Some(sum.Or(0) + v.Value)
		}
	}
	if keyed(b, "hugepages_total=", scan.Uint) == oom.Some(uint64(0)) {
		m.unread++
	}
	add(&m.hugeTotal, "hugepages_total=")
	add(&m.hugeFree, "hugepages_free=")
	add(&m.hugeSurp, "hugepages_surp=")
}

// parseCount reads the lines that begin with a number of pages.
func (m *memInfo) parseCount(v uint64, rest []byte) bool {
	switch string(rest) {
	case " total pagecache pages", " pagecache pages":
		m.cache = oom.Some(v)
	case " pages in swap cache", " pages swap cached":
		m.swapCache = oom.Some(v)
	case " pages RAM", " pages of RAM":
		m.ram = oom.Some(v)
	case " pages reserved", " reserved pages":
		m.reserved = oom.Some(v)
	case " pages hwpoisoned":
		m.notable(oom.StatHWPoisoned, v)
	case " pages cma reserved":
		m.notable("cma_reserved_bytes", v)
	case " pages HighMem/MovableOnly", " pages HighMem", " pages of HIGHMEM", " pages shared", " pages non-shared", " free pages", " slab pages":
		m.unread++
	default:
		return false
	}
	return true
}

// notable keeps a counter that most machines have at zero.
func (m *memInfo) notable(name string, pages uint64) {
	if pages == 0 {
		m.unread++
	} else if len(m.pages) < maxStats {
		m.pages = append(m.pages, pageStat{name, pages})
	}
}

// derivedPage is the size of a page by the counters that are there in kB for each zone or
// node too. Those that the request may not use are not listed, so that what is listed can
// be less than all; where it is more than all in pages of 4 KiB, pages are bigger.
func (m *memInfo) derivedPage() uint64 {
	const enough, biggest = 1024, 64 // pages; fewer may have come and gone between two lines
	var freeKB, anon uint64
	for i := range m.zones {
		freeKB += m.zones[i].FreeBytes.Value / 1024
	}
	for _, p := range m.pages {
		if p.name == oom.StatActiveAnon || p.name == oom.StatInactiveAnon {
			anon += min(p.pages, mostMemory)
		}
	}
	page := uint64(defaultPageBytes)
	for _, c := range [...]struct{ kb, pages uint64 }{{m.managedKB, m.managedPages()}, {m.anonKB, anon}, {freeKB, m.free.Value}} {
		if c.kb == 0 || c.pages < enough || c.pages > mostMemory {
			continue
		}
		kb := uint64(4)
		for kb <= biggest && c.kb > c.pages*kb/8*9 {
			kb *= 4
		}
		switch {
		case kb <= biggest && c.kb >= c.pages*kb/8*7:
			return kb * 1024
		case kb > 4:
			page = 0
		}
	}
	return page
}

// finish turns pages into bytes.
func (m *memInfo) finish(page uint64) *oom.Memory {
	if m.lines == 0 && !m.killAllocating && !m.panicOnOOM.Known {
		return nil
	}
	out := &oom.Memory{FreeBytes: inBytes(m.free, page), SwapCacheBytes: inBytes(m.swapCache, page), PanicOnOOM: m.panicOnOOM}
	if !m.free.Known && m.allListed(page) {
		out.FreeBytes = m.zonesFree()
	}
	if m.killAllocating {
		out.OOMKillAllocatingTask = oom.Some(true)
	}
	if managed := m.managedPages(); managed > 0 {
		out.TotalBytes = scan.Times(managed, page)
	}
	out.SlabCaches, out.Allocations = slices.Clip(slices.Clone(m.slabs)), slices.Clip(slices.Clone(m.allocations))
	out.SwapTotalBytes, out.SwapFreeBytes = inBytes(m.swapTotalKB, 1<<10), either(inBytes(m.swapFreeKB, 1<<10), inBytes(m.swapFree, page))
	m.finishSwapoff(out)
	out.Stat = slices.Clip(m.finishStats(page))
	for i := range m.zones {
		z := m.zones[i]
		for _, v := range z.reserve {
			if page == 0 {
				break
			}
			z.LowmemReserveBytes = append(z.LowmemReserveBytes, scan.Times(v, page).Or(math.MaxUint64))
		}
		out.Zones = append(out.Zones, z.Zone)
	}
	out.Zones = slices.Clip(out.Zones)
	return out
}

// finishSwapoff: swapoff takes a device's size off the total and off what is free, and then
// brings its pages back (mm/swapfile.c). Where it is the only one, what is free is below zero
// by what is still in it; beside others it is not known.
func (m *memInfo) finishSwapoff(out *oom.Memory) {
	used := inBytes(m.swapInUseKB, 1<<10)
	switch {
	case !m.swapLeaves:
	case m.swapTotalKB == oom.Some(uint64(0)) && used.Known && used.Value < mostMemory:
		out.SwapDevices = []oom.SwapDevice{{UsedBytes: used}}
	default:
		m.leftOut++
	}
}

// usualReserved is more than the kernel itself, its table of pages and its bounce buffers of 64 MiB
// take of a small machine at boot; less is not worth a word.
const usualReserved = 256 << 20

func (m *memInfo) finishStats(page uint64) oom.Stats {
	var st oom.Stats
	add := func(name string, v oom.Opt[uint64]) {
		if _, twice := st.Get(name); v.Known && !twice {
			st = append(st, oom.Stat{Name: name, Bytes: v.Value})
		}
	}
	for _, p := range m.pages {
		add(p.name, scan.Times(p.pages, page))
	}
	add(oom.StatFilePages, inBytes(m.cache, page))
	// The report leaves out nodes and zones that the allocation could not use:
	// sums over what is shown are the machine's only when all are shown.
	if m.allListed(page) {
		ofNodes := m.nodeSums // of a report without the machine's own block
		if !m.allNodes() {
			ofNodes = nil
		}
		for _, s := range slices.Concat(m.sums, ofNodes, m.zoneSums) {
			add(s.Name, oom.Some(s.Bytes))
		}
	}
	// Up to 3.14 holes between zones count as reserved pages of the RAM (lib/show_mem.c).
	reserved := scan.Times(m.reserved.Value, page)
	if m.managedPages() > 0 && reserved.Value >= usualReserved && scan.Times(m.ram.Value, page) == scan.Kilobytes(m.presentKB) {
		add(oom.StatReserved, reserved)
	}
	add(oom.StatHugepagesTotal, m.hugeTotal)
	add(oom.StatHugepagesFree, m.hugeFree)
	add(oom.StatHugepagesSurp, m.hugeSurp)
	return st
}
