package tracer

import (
	"errors"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/oomtrace/oomtrace/internal/probe"
)

// percpuOffsets finds what turns a per-CPU pointer into CPU n's address: see
// bpf/percpu.bpf.c. It needs 5.19, and is needed from 6.2 on.
func percpuOffsets(cache *btf.Cache, types *btf.Spec, cpus uint32) (offsets []uint64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("per-CPU offsets: %w", plainError(err))
		}
	}()
	spec, err := probe.LoadPercpu()
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{KernelTypes: types}, Cache: cache,
	})
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	if err := aimAtCell(coll, cpus); err != nil {
		return nil, err
	}
	if err := runIterator(coll.Programs[probe.PercpuProgFindPercpuOffsets]); err != nil {
		return nil, err
	}
	all := make([]uint64, maxCPUs)
	if err := coll.Variables[probe.PercpuVarCellOffsets].Get(all); err != nil {
		return nil, err
	}
	if all[0] == 0 {
		return nil, errors.New("the iterator found nothing")
	}
	return all, nil
}

// rssIsPerCPU says whether this kernel keeps rss per CPU: struct mm_rss_stat is
// not there since then (see mm_counter_is_percpu in bpf/compat.bpf.h).
func rssIsPerCPU(types *btf.Spec) bool { return !hasType(types, "mm_rss_stat") }

// hasExitMmap says whether this kernel has the tracepoint: the type of its
// handlers is there (include/trace/bpf_probe.h).
func hasExitMmap(a *attacher) bool { return hasType(a.types, "btf_trace_"+hookExitMmap) }

func hasType(types *btf.Spec, name string) bool {
	_, err := types.AnyTypesByName(name)
	return err == nil
}

func aimAtCell(coll *ebpf.Collection, cpus uint32) error {
	info, err := coll.Maps[probe.PercpuMapCell].Info()
	if err != nil {
		return err
	}
	id, ok := info.ID()
	if !ok {
		return fmt.Errorf("map id: %w", ebpf.ErrNotSupported)
	}
	if err := coll.Variables[probe.PercpuVarCellId].Set(uint32(id)); err != nil {
		return err
	}
	return coll.Variables[probe.PercpuVarCellCpus].Set(min(cpus, maxCPUs))
}

func runIterator(prog *ebpf.Program) error {
	it, err := link.AttachIter(link.IterOptions{Program: prog})
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }()
	r, err := it.Open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	_, err = io.Copy(io.Discard, r)
	return err
}
