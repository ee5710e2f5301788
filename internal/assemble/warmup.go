package assemble

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/pipeline"
)

// warmUp runs made-up kills through the stages and the renderers before the
// first real one, so that their code and buffers are in memory when there is
// none to be had. They are neither counted nor written.
func (s *stages) warmUp(ctx context.Context) error {
	for _, format := range []string{"json", "wide"} {
		sink, _ := Output{To: io.Discard, Format: format}.sink(s.o.NoWhy)
		line := pipeline.Line{
			Source: &madeUp{kills: []*oom.Record{madeUpKill(oom.ScopeSystem), madeUpKill(oom.ScopeCgroup)}},
			Stages: []pipeline.Stage{s.sample, s.enrich, s.redact, s.explain},
			Sink:   sink,
		}
		if err := line.Run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// madeUp is a source of kills that never were.
type madeUp struct{ kills []*oom.Record }

func (m *madeUp) Next(context.Context) (*oom.Record, error) {
	if len(m.kills) == 0 {
		return nil, io.EOF
	}
	return m.kills[0], nil
}

func (m *madeUp) Done() error {
	m.kills = m.kills[1:]
	return nil
}

// madeUpKill is a kill of this process, so that its owner is looked up too.
func madeUpKill(scope oom.Scope) *oom.Record {
	size, n, pid := oom.Some(uint64(1<<20)), oom.Some(uint64(1)), oom.Some(int32(os.Getpid()))
	now := time.Now()
	const name, group = "warm-up", "/warm-up"
	rec := &oom.Record{
		Schema: oom.Schema, ID: name, Kind: oom.KindKill, Time: now, UptimeNS: n, Source: oom.SourceBPF, Scope: scope,
		Victim: &oom.Victim{
			PID: pid, TID: pid, PPID: pid, Comm: name, Cmdline: "warm-up --now", Args: "warm-up\x00--now", StartTime: now, TotalVMBytes: size,
			RSSBytes: size, AnonRSSBytes: size, FileRSSBytes: size, ShmemRSSBytes: size, SwapBytes: size, PgtablesBytes: size,
			Cgroup: group, CgroupLimits: []oom.CgroupLimit{{Cgroup: group, UsageBytes: size, MaxBytes: size}},
		},
		Trigger:     &oom.Trigger{PID: pid, TID: pid, Comm: name, Cgroup: group, GFPFlags: []string{"GFP_KERNEL"}, KernelStack: []string{"out_of_memory+0x0"}},
		Memory:      &oom.Memory{TotalBytes: size, FreeBytes: size, SwapTotalBytes: size, SwapFreeBytes: size},
		DomainBytes: size, CandidatesTotal: n,
		Candidates: []oom.Candidate{{PID: pid, Comm: name, RSSBytes: size, AnonRSSBytes: size}},
	}
	if scope == oom.ScopeCgroup {
		rec.Limit = &oom.Limit{Cgroup: group, UsageBytes: size, MaxBytes: size, Failures: n}
	}
	return rec
}
