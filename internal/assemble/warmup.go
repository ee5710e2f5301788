package assemble

import (
	"context"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/metrics"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/senders"
	"github.com/oomtrace/oomtrace/internal/victims"
)

// warmUp runs made-up records through the stages and the renderer of a format before the
// first real one, so that their code and buffers are in memory when there is none to be
// had. They are neither counted nor written.
func (s *stages) warmUp(ctx context.Context, format string) error {
	rehearsal := s.rehearsal()
	defer rehearsal.victims.Close()
	stop := collect()
	defer stop()
	return rehearsal.rehearse(ctx, format)
}

func (s *stages) rehearse(ctx context.Context, format string) error {
	for _, rec := range madeUpRecords() {
		sink, _ := Output{To: io.Discard, Format: format}.sink(s.o.NoWhy)
		line := pipeline.Line{Source: &madeUp{records: []*oom.Record{rec}}, Stages: s.list(), Sink: sink}
		done := make(chan error)
		go func() { done <- line.Run(ctx) }() // on a new stack, which grows on the way
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

// collect collects garbage until it is stopped: a collection, like a stack that
// grows, reads what the linker wrote of the functions that are on the stacks then,
// and that is to be in memory too.
func collect() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ended:
				return
			default:
				runtime.GC()
			}
		}
	}()
	return func() { close(ended); <-done }
}

// rehearsal are the same stages, with what remembers replaced, and without filters:
// a record that is left out warms nothing.
func (s *stages) rehearsal() *stages {
	r := *s
	r.o.Filters, r.o.Notify = pipeline.Filters{}, func(string) {}
	r.victims = victims.New(victims.Options{})
	r.senders = senders.New(senders.Options{Mode: senders.ModeAll})
	if s.metrics != nil {
		r.metrics = metrics.New(metrics.Options{})
	}
	return &r
}

// madeUp is a source of records of what never was.
type madeUp struct{ records []*oom.Record }

func (m *madeUp) Next(context.Context) (*oom.Record, error) {
	if len(m.records) == 0 {
		return nil, io.EOF
	}
	return m.records[0], nil
}

func (m *madeUp) Done() error {
	m.records = m.records[1:]
	return nil
}

// madeUpRecords are of the kinds that come while memory is short, with the swap of
// the machine none, full and free: each is explained by code of its own.
func madeUpRecords() []*oom.Record {
	free, full, none := madeUpKill(oom.ScopeSystem), madeUpKill(oom.ScopeSystem), madeUpKill(oom.ScopeSystem)
	full.Memory.SwapFreeBytes = oom.Some(uint64(0))
	none.Memory.SwapFreeBytes, none.Memory.SwapTotalBytes = oom.Some(uint64(0)), oom.Some(uint64(0))
	none.Memory.FreeBytes = oom.Some(uint64(0))
	none.Memory.Stat = oom.Stats{ // all of it the kernel's: its caches and sites are listed
		{Name: oom.StatActiveAnon}, {Name: oom.StatInactiveAnon}, {Name: oom.StatActiveFile}, {Name: oom.StatInactiveFile}, {Name: oom.StatUnevictable},
		{Name: oom.StatSlabUnrecl, Bytes: 1 << 20},
	}
	exit := madeUpKill(oom.ScopeSystem)
	exit.Kind, exit.Exit = oom.KindExit, &oom.Exit{AfterNS: oom.Some(uint64(1)), RSSBytes: oom.Some(uint64(0))}
	slow := madeUpKill(oom.ScopeSystem)
	slow.Kind, slow.Exit = oom.KindExit, madeUpSlowExit()
	sigkill := madeUpKill(oom.ScopeSystem)
	sigkill.Kind, sigkill.Scope, sigkill.Sender = oom.KindSigkill, "", &oom.Sender{PID: sigkill.Victim.PID, Comm: "warm-up"}
	return []*oom.Record{free, full, none, madeUpKill(oom.ScopeCgroup), exit, slow, sigkill}
}

// madeUpSlowExit is one as they are where there is no memory: late, reaped, and not alone.
func madeUpSlowExit() *oom.Exit {
	late, size := oom.Some(uint64(time.Minute)), oom.Some(uint64(1<<20))
	return &oom.Exit{
		AfterNS: late, Reaped: oom.Some(true), ReapedAfterNS: late, RSSBytes: size, AnonRSSBytes: size, FileRSSBytes: size,
		ShmemRSSBytes: size, SwapBytes: size, SharedMM: []oom.SharedProcess{{PID: oom.Some(int32(1)), Comm: "warm-up"}},
	}
}

// madeUpMemory is a machine of a node and a zone, with all of it in use.
func madeUpMemory() *oom.Memory {
	size, none := oom.Some(uint64(1<<20)), oom.Some(uint64(0))
	return &oom.Memory{
		TotalBytes: size, FreeBytes: size, SwapTotalBytes: size, SwapFreeBytes: size, SwapCacheBytes: none,
		Stat: oom.Stats{
			{Name: "active_anon_bytes", Bytes: 1 << 20}, {Name: "unevictable_bytes", Bytes: 1 << 20}, {Name: "mlocked_bytes", Bytes: 1 << 20},
			{Name: "shmem_bytes", Bytes: 1 << 20},
		},
		Zones: []oom.Zone{{
			Node: oom.Some(int32(0)), Zone: "DMA32", FreeBytes: size, MinBytes: size, LowBytes: size, HighBytes: size, ManagedBytes: size,
			LowmemReserveBytes: []uint64{0}, FreeBlocks: []uint64{1},
		}},
	}
}

// madeUpKill is a kill of this process, so that its owner is looked up too.
func madeUpKill(scope oom.Scope) *oom.Record {
	size, n, pid := oom.Some(uint64(1<<20)), oom.Some(uint64(1)), oom.Some(int32(os.Getpid()))
	now := time.Now()
	const name, group = "warm-up", "/warm-up"
	rec := &oom.Record{
		Schema: oom.Schema, ID: name, Kind: oom.KindKill, Time: now, UptimeNS: oom.Some(host.BootNS()), Source: oom.SourceBPF, Scope: scope,
		Victim: &oom.Victim{
			PID: pid, TID: pid, PPID: pid, Comm: name, Cmdline: "warm-up --now", Args: "warm-up\x00--now", StartTime: now, TotalVMBytes: size,
			RSSBytes: size, AnonRSSBytes: size, FileRSSBytes: size, ShmemRSSBytes: size, SwapBytes: size, PgtablesBytes: size,
			Cgroup: group, CgroupLimits: []oom.CgroupLimit{{Cgroup: group, UsageBytes: size, MaxBytes: size}},
		},
		Trigger:     &oom.Trigger{PID: pid, TID: pid, Comm: name, Cgroup: group, GFPFlags: []string{"GFP_KERNEL"}, KernelStack: []string{"out_of_memory+0x0"}},
		Memory:      madeUpMemory(),
		DomainBytes: size, CandidatesTotal: n,
		Candidates: []oom.Candidate{{PID: pid, Comm: name, RSSBytes: size, AnonRSSBytes: size}},
	}
	if scope == oom.ScopeCgroup {
		rec.Limit = &oom.Limit{Cgroup: group, UsageBytes: size, MaxBytes: size, Failures: n}
	}
	return rec
}
