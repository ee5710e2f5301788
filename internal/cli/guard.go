package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/harden"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/render"
)

// guard makes this process fit for a machine without memory. What cannot be had is
// told with -v and does without.
func (s *session) guard(ctx context.Context) error {
	s.note("release code", harden.ReleaseCode())
	if err := s.rehearse(ctx); err != nil {
		return err
	}
	kept, err := s.capabilities()
	if err != nil {
		return err
	}
	for _, step := range harden.Apply(harden.Options{OOMScoreAdj: s.oomScoreAdj, Capabilities: kept}) {
		s.note(step.Name, step.Err)
	}
	return nil
}

func (s *session) note(what string, err error) {
	if err != nil && s.verbose {
		say(s.env, "note: %s: %v", what, err)
	}
}

// rehearse runs a record through the pipeline before the first real one, so
// that its code and buffers are in memory already.
func (s *session) rehearse(ctx context.Context) error {
	p := s.p
	out, filters, metrics, kills, written := p.out, p.filters, p.metrics, p.kills, p.written
	defer func() { p.out, p.filters, p.metrics, p.kills, p.written = out, filters, metrics, kills, written }()
	p.filters, p.metrics = nil, nil
	var nowhere discard
	for _, w := range []recordWriter{render.NewJSON(nowhere), render.NewText(nowhere, render.TextOptions{Wide: true})} {
		p.out = w
		for _, scope := range []oom.Scope{oom.ScopeSystem, oom.ScopeCgroup} {
			if err := p.write(ctx, rehearsal(scope)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rehearsal is a kill of this very process: so its owner is looked for, too.
func rehearsal(scope oom.Scope) *oom.Record {
	size, n, pid := oom.Some(uint64(1<<20)), oom.Some(uint64(1)), oom.Some(int32(os.Getpid()))
	now := time.Now()
	rec := &oom.Record{
		Schema: oom.Schema, ID: "rehearsal", Kind: oom.KindKill, Time: now, UptimeNS: n, Source: oom.SourceBPF, Scope: scope,
		Victim: &oom.Victim{
			PID: pid, TID: pid, PPID: pid, Comm: "rehearsal", Cmdline: "rehearsal --again", Args: "rehearsal\x00--again", StartTime: now, TotalVMBytes: size,
			RSSBytes: size, AnonRSSBytes: size, FileRSSBytes: size, ShmemRSSBytes: size, SwapBytes: size, PgtablesBytes: size,
			Cgroup: "/rehearsal", CgroupLimits: []oom.CgroupLimit{{Cgroup: "/rehearsal", UsageBytes: size, MaxBytes: size}},
		},
		Trigger: &oom.Trigger{
			PID: pid, TID: pid, Comm: "rehearsal", Cgroup: "/rehearsal", GFPFlags: []string{"GFP_KERNEL"}, KernelStack: []string{"out_of_memory+0x0"},
		},
		Memory:      &oom.Memory{TotalBytes: size, FreeBytes: size, SwapTotalBytes: size, SwapFreeBytes: size},
		DomainBytes: size, CandidatesTotal: n,
		Candidates: []oom.Candidate{{PID: pid, Comm: "rehearsal", RSSBytes: size, AnonRSSBytes: size}},
	}
	if scope == oom.ScopeCgroup {
		rec.Limit = &oom.Limit{Cgroup: "/rehearsal", UsageBytes: size, MaxBytes: size, Failures: n}
	}
	return rec
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// keptCapabilities are what is needed after the hooks are attached: BPF to read
// the counters, the others to reach a runtime's sockets and files below
// /proc/PID/root.
func keptCapabilities() []uint {
	return []uint{unix.CAP_BPF, unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE}
}

// capabilities are those to keep: keptCapabilities, and what rotating the output
// file takes beyond, if that was asked for. A directory of another user is
// better found now than at the first rotation.
func (s *session) capabilities() ([]uint, error) {
	kept := keptCapabilities()
	if s.file == nil || s.traceFlags.file.maxBytes == 0 {
		return kept, nil
	}
	var failed error
	for _, more := range [][]uint{nil, {unix.CAP_DAC_OVERRIDE}, {unix.CAP_FOWNER}, {unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER}} {
		all := append(kept[:len(kept):len(kept)], more...)
		err := harden.WithCapabilities(all, s.file.CanRotate)
		if err == nil {
			return all, nil
		}
		if failed == nil {
			failed = err
		}
	}
	return nil, &failure{
		err: fmt.Errorf("--output-max-bytes: the file could not be rotated: %w", failed), code: exitError,
		hint: "let this user write to the directory, or leave --output-max-bytes out",
	}
}
