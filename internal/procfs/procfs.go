// Package procfs parses the small text formats of /proc that more than one
// package reads.
package procfs

import (
	"math/bits"
	"strconv"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Unescape undoes the octal escapes of white space and backslashes in a name
// (fs/seq_file.c, mangle_path): "\040" is a space.
func Unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(v))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// Swaps parses /proc/swaps (mm/swapfile.c, swap_show): a heading, then name, type,
// size and used in KiB, and priority.
func Swaps(text string) []oom.SwapDevice {
	_, text, _ = strings.Cut(text, "\n")
	var out []oom.SwapDevice
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		d := oom.SwapDevice{
			Name: strings.TrimSuffix(Unescape(f[0]), " (deleted)"), Type: f[1], SizeBytes: kib(f[2]), UsedBytes: kib(f[3]),
		}
		if n, err := strconv.ParseInt(f[4], 10, 32); err == nil {
			d.Priority = oom.Some(int32(n))
		}
		out = append(out, d)
	}
	return out
}

// Meminfo is what is used of /proc/meminfo (fs/proc/meminfo.c). A line that the kernel
// does not have is unknown.
type Meminfo struct {
	// In bytes.
	MemTotal, MemFree, MemAvailable, SwapTotal, SwapFree, Percpu, VmallocUsed, Hugetlb, Hugepagesize oom.Opt[uint64]
	// In huge pages.
	HugePagesTotal, HugePagesFree, HugePagesRsvd, HugePagesSurp oom.Opt[uint64]
}

// ParseMeminfo parses /proc/meminfo.
func ParseMeminfo(text string) (m Meminfo) {
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		to := m.line(name)
		if to == nil {
			continue
		}
		number, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
		switch unit {
		case "kB":
			*to = kib(number)
		case "":
			if n, err := strconv.ParseUint(number, 10, 64); err == nil {
				*to = oom.Some(n)
			}
		}
	}
	return m
}

// line is where the number of a line belongs; nil for one that is not used.
func (m *Meminfo) line(name string) *oom.Opt[uint64] {
	switch name {
	case "MemTotal":
		return &m.MemTotal
	case "MemFree":
		return &m.MemFree
	case "MemAvailable":
		return &m.MemAvailable
	case "SwapTotal":
		return &m.SwapTotal
	case "SwapFree":
		return &m.SwapFree
	case "Percpu":
		return &m.Percpu
	case "VmallocUsed":
		return &m.VmallocUsed
	case "Hugetlb":
		return &m.Hugetlb
	case "Hugepagesize":
		return &m.Hugepagesize
	case "HugePages_Total":
		return &m.HugePagesTotal
	case "HugePages_Free":
		return &m.HugePagesFree
	case "HugePages_Rsvd":
		return &m.HugePagesRsvd
	case "HugePages_Surp":
		return &m.HugePagesSurp
	}
	return nil
}

// Slabs parses /proc/slabinfo (mm/slab_common.c, cache_show): two lines of heading, then name, objects
// in use, objects, and the size of one in bytes. It can be read by root alone.
func Slabs(text string) []oom.SlabCache {
	var out []oom.SlabCache
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] == "#" {
			continue
		}
		var n [3]uint64
		ok := true
		for i := range n {
			v, err := strconv.ParseUint(f[i+1], 10, 63)
			n[i], ok = v, ok && err == nil
		}
		tooMuch, used := bits.Mul64(n[0], n[2])
		tooMany, total := bits.Mul64(n[1], n[2])
		if ok && tooMuch == 0 && tooMany == 0 {
			out = append(out, oom.SlabCache{Name: f[0], UsedBytes: oom.Some(used), TotalBytes: oom.Some(total)})
		}
	}
	return out
}

// Allocation parses a line of /proc/allocinfo (lib/alloc_tag.c, allocinfo_show): bytes, calls, and
// the site in the source. From version 2.0 of the list on a site that missed some ends with a mark.
func Allocation(line string) (oom.Allocation, bool) {
	size, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
	calls, site, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	bytes, err := strconv.ParseUint(size, 10, 64)
	n, err2 := strconv.ParseUint(calls, 10, 64)
	site = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(site), "accurate:no"))
	if err != nil || err2 != nil || site == "" {
		return oom.Allocation{}, false
	}
	return oom.Allocation{Site: site, Bytes: oom.Some(bytes), Calls: oom.Some(n)}, true
}

// kib reads a number of KiB whose bytes fit into 64 bits.
func kib(s string) oom.Opt[uint64] {
	n, err := strconv.ParseUint(s, 10, 54)
	if err != nil {
		return oom.Opt[uint64]{}
	}
	return oom.Some(n << 10)
}
