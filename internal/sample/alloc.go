package sample

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/procfs"
)

const (
	// mostSites is how many the kernel's report has (mm/show_mem.c, __show_mem).
	mostSites = 10
	// sitesBytes is more than the list of any kernel, which has some ten thousand lines.
	sitesBytes = 8 << 20
)

// allocations lists the sites in the kernel's source that hold the most, as its report does, where
// it counts them (Documentation/mm/allocation-profiling.rst) and a quarter of the memory that ran
// out is neither free nor on the LRU lists.
func (s *Sampler) allocations(rec *oom.Record) {
	m := rec.Memory
	if rec.Scope == oom.ScopeCgroup || len(m.Allocations) > 0 || !m.TotalBytes.Known || !m.FreeBytes.Known {
		return
	}
	known := m.FreeBytes.Value
	for _, name := range [...]string{oom.StatActiveAnon, oom.StatInactiveAnon, oom.StatActiveFile, oom.StatInactiveFile, oom.StatUnevictable} {
		size, ok := m.Stat.Get(name)
		if !ok {
			return
		}
		known += size
	}
	if known > m.TotalBytes.Value/4*3 {
		return
	}
	if !s.last.sitesRead {
		s.last.sites, _ = s.topSites()
		s.last.sitesRead = true
	}
	if len(s.last.sites) == 0 {
		return
	}
	m.Allocations = slices.Clone(s.last.sites)
	rec.Sampled = append(rec.Sampled, oom.SampledAllocations)
}

// topSites reads the list part by part: it is longer than any buffer that is worth keeping.
func (s *Sampler) topSites() ([]oom.Allocation, error) {
	f := &s.allocinfo
	if err := f.open(s.proc("allocinfo")); err != nil {
		return nil, err
	}
	buf, held := f.room(fileBytes), 0
	top := make([]oom.Allocation, 0, mostSites+1)
	for at := int64(0); at < sitesBytes; {
		n, err := f.ReadAt(buf[held:], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		at += int64(n)
		rest := buf[:held+n]
		for {
			line, after, ok := bytes.Cut(rest, []byte("\n"))
			if !ok {
				break
			}
			top, rest = keepSite(top, line), after
		}
		if err != nil || len(rest) == len(buf) { // the end, or a line that is none
			break
		}
		held = copy(buf, rest)
	}
	return top, nil
}

// keepSite keeps a line's site where it is among the biggest. Of most lines nothing is copied.
func keepSite(top []oom.Allocation, line []byte) []oom.Allocation {
	if len(top) == mostSites && firstNumber(line) <= top[mostSites-1].Bytes.Value {
		return top
	}
	a, ok := procfs.Allocation(string(line))
	if !ok || a.Bytes.Value == 0 {
		return top
	}
	i, _ := slices.BinarySearchFunc(top, a, func(a, b oom.Allocation) int { return cmp.Compare(b.Bytes.Value, a.Bytes.Value) })
	top = slices.Insert(top, i, a)
	return top[:min(len(top), mostSites)]
}

// firstNumber is what a line begins with, behind blanks; one that is too long is not a size.
func firstNumber(line []byte) (n uint64) {
	for _, c := range bytes.TrimLeft(line, " ") {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}
