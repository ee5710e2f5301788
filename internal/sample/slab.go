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
	// mostNames bounds the caches that are remembered.
	mostNames = 1 << 10
)

// slabs lists the biggest slab caches that cannot be reclaimed, as the kernel's report does
// (mm/slab_common.c, dump_unreclaimable_slab), where these hold an eighth of the machine's memory
// that ran out. What a process held of them may be given back by now: caches with less than half of
// what there was say nothing of the kill.
func (s *Sampler) slabs(rec *oom.Record) {
	m := rec.Memory
	fixed, _ := m.Stat.Get(oom.StatSlabUnrecl)
	if rec.Scope == oom.ScopeCgroup || len(m.SlabCaches) > 0 || fixed == 0 || fixed < m.TotalBytes.Value/8 {
		return
	}
	if !s.last.slabsRead {
		s.last.slabs, s.last.slabsRead = s.topSlabs(), true
	}
	sum := uint64(0)
	for _, c := range s.last.slabs {
		sum += c.TotalBytes.Value
	}
	if sum < fixed/2 || sum == 0 {
		return
	}
	m.SlabCaches = slices.Clone(s.last.slabs)
	rec.Sampled = append(rec.Sampled, oom.SampledSlabCaches)
}

// topSlabs is empty where not all can be read.
func (s *Sampler) topSlabs() []oom.SlabCache {
	text, err := s.slabinfo.readAll(s.proc("slabinfo"), slabBytes)
	if err != nil {
		return nil
	}
	all := procfs.Slabs(text)
	slices.SortStableFunc(all, func(a, b oom.SlabCache) int { return cmp.Compare(b.TotalBytes.Value, a.TotalBytes.Value) })
	var top []oom.SlabCache
	for _, c := range all {
		if len(top) == mostSlabs || c.TotalBytes.Value == 0 {
			break
		}
		freed, err := s.reclaimable(c.Name)
		if err != nil {
			return nil
		}
		if !freed {
			top = append(top, c)
		}
	}
	return top
}

// reclaimable says whether a cache counts as such (Documentation/ABI/testing/sysfs-kernel-slab),
// which it does for good. Of one that has no file, that is not known of any where the kernel
// has none at all.
func (s *Sampler) reclaimable(name string) (bool, error) {
	if freed, known := s.reclaims[name]; known {
		return freed, nil
	}
	if strings.ContainsRune(name, '/') {
		return false, nil // no file can be called so
	}
	b, err := os.ReadFile(s.sys("kernel/slab/" + name + "/reclaim_account"))
	if errors.Is(err, os.ErrNotExist) {
		_, err = os.Stat(s.sys("kernel/slab"))
	}
	if err != nil {
		return false, err
	}
	if s.reclaims == nil || len(s.reclaims) > mostNames {
		s.reclaims = map[string]bool{}
	}
	s.reclaims[name] = strings.TrimSpace(string(b)) == "1"
	return s.reclaims[name], nil
}
