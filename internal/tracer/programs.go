package tracer

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// ProgramStats is how often and how long an attached program ran. The kernel counts
// only while kernel.bpf_stats_enabled is set.
type ProgramStats struct {
	// Name is the attach type and the place, such as "fentry:oom_kill_process".
	Name string
	Runs uint64
	Time time.Duration
}

// watched are the attached programs, kept open for their statistics: later the
// privilege to find them has been dropped.
type watched struct {
	names    []string
	programs []*ebpf.Program
}

// add keeps a program. Without it there are only its statistics missing.
func (w *watched) add(at *Attachment, prog *ebpf.Program) {
	if w == nil {
		return
	}
	kept, err := prog.Clone()
	if err != nil {
		return
	}
	w.names, w.programs = append(w.names, at.Kind+":"+at.Hook), append(w.programs, kept)
}

// addPinned keeps the program of a pinned link.
func (w *watched) addPinned(dir string, p pinned) {
	l, err := link.LoadPinnedLink(filepath.Join(dir, p.String()), nil)
	if err != nil {
		return
	}
	defer func() { _ = l.Close() }()
	info, err := l.Info()
	if err != nil {
		return
	}
	prog, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		return
	}
	w.names, w.programs = append(w.names, p.kind+":"+p.hook), append(w.programs, prog)
}

// Programs gives what the kernel counted of the attached programs; nothing while it
// does not count.
func (t *Tracer) Programs() []ProgramStats {
	var out []ProgramStats
	for i, p := range t.watched.programs {
		s, err := p.Stats()
		if err == nil && s.RunCount > 0 {
			out = append(out, ProgramStats{Name: t.watched.names[i], Runs: s.RunCount, Time: s.Runtime})
		}
	}
	return out
}

func (w *watched) close() error {
	var errs []error
	for _, p := range w.programs {
		errs = append(errs, p.Close())
	}
	w.names, w.programs = nil, nil
	return errors.Join(errs...)
}
