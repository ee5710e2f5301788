package sample

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/procfs"
)

const (
	// mostSlabs is how many caches a record has.
	mostSlabs = 10
	// slabBytes is more than the list of any machine's caches.
	slabBytes = 128 << 10
)

// slabs lists the biggest slab caches that cannot be reclaimed, as the kernel's report does
// (mm/slab_common.c, dump_unreclaimable_slab), where these hold an eighth of the machine's memory
// that ran out. What a process held of them may be given back by now: a list that is far from
// what slab was at the kill says nothing of it.
func (s *Sampler) slabs(rec *oom.Record) {
	m := rec.Memory
	fixed, _ := m.Stat.Get(oom.StatSlabUnrecl)
	freed, _ := m.Stat.Get(oom.StatSlabReclaimable)
	if rec.Scope == oom.ScopeCgroup || len(m.SlabCaches) > 0 || fixed == 0 || fixed < m.TotalBytes.Value/8 {
		return
	}
	text, err := s.slabinfo.readAll(s.proc("slabinfo"), slabBytes)
	if err != nil {
		return
	}
	all, sum := procfs.Slabs(text), uint64(0)
	for _, c := range all {
		sum += c.TotalBytes.Value
	}
	if sum < (fixed+freed)/4*3 {
		return
	}
	slices.SortStableFunc(all, func(a, b oom.SlabCache) int { return cmp.Compare(b.TotalBytes.Value, a.TotalBytes.Value) })
	var kept []oom.SlabCache
	for _, c := range all {
		if len(kept) == mostSlabs || c.TotalBytes.Value == 0 {
			break
		}
		freed, err := s.reclaimable(c.Name)
		if err != nil {
			return
		}
		if !freed {
			kept = append(kept, c)
		}
	}
	if len(kept) > 0 {
		m.SlabCaches = kept
		rec.Sampled = append(rec.Sampled, oom.SampledSlabCaches)
	}
}

// reclaimable says whether a cache counts as such (Documentation/ABI/testing/sysfs-kernel-slab). A
// kernel may not have its file.
func (s *Sampler) reclaimable(name string) (bool, error) {
	if strings.ContainsRune(name, '/') {
		return false, nil // no file can be called so
	}
	b, err := os.ReadFile(s.sys("kernel/slab/" + name + "/reclaim_account"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return strings.TrimSpace(string(b)) == "1", err
}
