// Package assemble builds the line that a verb runs: its source, the stages in
// their order and its sink, from what the flags say.
package assemble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/enrich"
	"github.com/oomtrace/oomtrace/internal/explain"
	"github.com/oomtrace/oomtrace/internal/history"
	"github.com/oomtrace/oomtrace/internal/journal"
	"github.com/oomtrace/oomtrace/internal/metrics"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/redact"
	"github.com/oomtrace/oomtrace/internal/sample"
	"github.com/oomtrace/oomtrace/internal/senders"
	"github.com/oomtrace/oomtrace/internal/victims"
)

// StageOptions say what the stages do. The zero value works: no metadata of
// containers, nothing hidden.
type StageOptions struct {
	// Notify takes a message for the user; nil drops it.
	Notify  func(text string)
	Filters pipeline.Filters
	// NoWhy leaves the explanation out.
	NoWhy bool
	// Metadata asks the container runtimes of this machine, and those at Sockets.
	Metadata bool
	Sockets  []string
	// EnrichWait bounds how long a record waits for metadata; 0 is not at all.
	EnrichWait time.Duration
	// Sigkill says which SIGKILLs of others are records; "memory", "all" or "off"; memory when empty.
	Sigkill string
	// Redact hides arguments that look like secrets, and those of RedactNames;
	// RedactStrict all values.
	Redact, RedactStrict bool
	RedactNames          []string
	// History says how growth is followed; empty is not at all.
	History history.Mode
	// Top is how many candidates and holders a record has; 0 is none.
	Top int
}

// origin is where a line's records come from.
type origin int

const (
	fromPrograms origin = iota
	fromLiveLog
	fromFiles // of a log that is read afterwards
)

// stages are the stages of a line, with what they share.
type stages struct {
	o          StageOptions
	from       origin
	sampler    *sample.Sampler
	victims    *victims.Table
	senders    *senders.Tracker
	words      *senders.Words
	containers *container.Cache // nil: no runtime is asked
	enricher   *enrich.Enricher
	metrics    *metrics.Metrics  // nil: not counted
	redactor   *redact.Redactor  // nil: nothing is hidden
	recorder   *history.Recorder // nil: growth is not followed
	unresolved bool              // the user knows that names are missing
}

// newStages must be closed. Pending says that another kill waits; nil is never.
func newStages(ctx context.Context, o StageOptions, from origin, pending func() bool) *stages {
	if o.Notify == nil {
		o.Notify = func(string) {}
	}
	if from == fromFiles {
		o.Sigkill = string(senders.ModeAll) // the records were chosen when they were made
	}
	s := &stages{o: o, from: from, sampler: new(sample.Sampler), senders: senders.New(senders.Options{Mode: senders.Mode(o.Sigkill)})}
	owners := enrich.Options{Log: from == fromFiles, Wait: o.EnrichWait, Pending: pending}
	if o.EnrichWait == 0 {
		owners.Wait = -1
	}
	if o.Metadata {
		s.containers = container.Open(ctx, container.Options{Sockets: o.Sockets, Warn: o.Notify})
		owners.Containers = s.containers
	}
	s.enricher = enrich.New(owners)
	switch {
	case o.RedactStrict:
		s.redactor = redact.NewStrict()
	case o.Redact:
		s.redactor = redact.New(o.RedactNames...)
	}
	var table victims.Options
	if from == fromPrograms {
		s.sampler.Cgroups = memoryMount()
		table.Overdue = s.overdue // a log need not have the exits
	}
	s.victims = victims.New(table)
	words := senders.WordsOptions{Pending: pending}
	// In a container the machine id is the image's, if any, and no journal has it.
	if machine, err := journal.Machine("/etc/machine-id"); err == nil && from == fromPrograms {
		words.Tail = func(pid int32, since time.Time) ([]journal.Entry, error) {
			return journal.Tail(journal.Dirs(), machine, pid, since)
		}
	}
	s.words = senders.NewWords(words)
	return s
}

// memoryMount is where the whole hierarchy of memory cgroups is mounted; empty
// where only a part of it shows.
func memoryMount() string {
	h, err := cgroup.ReadHierarchies("/")
	if err != nil || h.Memory.Root != "/" {
		return ""
	}
	return h.Memory.Point
}

func (s *stages) Close() error {
	var errs []error
	s.victims.Close()
	if s.recorder != nil {
		errs = append(errs, s.recorder.Close())
	}
	if s.containers != nil {
		errs = append(errs, s.containers.Close())
	}
	return errors.Join(errs...)
}

// ready lets the runtimes report what they know already.
func (s *stages) ready(ctx context.Context, wait time.Duration) {
	if s.containers == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	s.containers.Ready(ctx)
}

// onCgroup is called for each cgroup that is made.
func (s *stages) onCgroup(path string) {
	if s.containers != nil {
		s.containers.Seen(path)
	}
	if s.recorder != nil {
		s.recorder.Notice(path)
	}
}

// list is the way of a record, in order.
func (s *stages) list() []pipeline.Stage {
	return []pipeline.Stage{
		madeHere(s.notice),
		madeHere(s.bound),
		madeHere(s.relate),
		madeHere(s.sample),
		madeHere(s.victims.Record),
		madeHere(s.enrich),
		madeHere(s.reason),
		madeHere(s.growth),
		s.count,
		s.o.Filters.Stage(s.noteUnresolved),
		s.redact,
		s.explain,
	}
}

// madeHere keeps what only this machine can say out of records that were finished
// elsewhere.
func madeHere(stage pipeline.Stage) pipeline.Stage {
	return func(ctx context.Context, rec *oom.Record) error {
		if rec.Finished {
			return nil
		}
		return stage(ctx, rec)
	}
}

// notice reports to the user what was lost.
func (s *stages) notice(_ context.Context, rec *oom.Record) error {
	if rec.Kind != oom.KindLost {
		return nil
	}
	n, what := "some", "records"
	if rec.Lost.Known {
		n = strconv.FormatUint(rec.Lost.Value, 10)
	}
	if rec.LostKind == oom.LostLogLines {
		what = "lines of the kernel log"
	}
	s.o.Notify(fmt.Sprintf("%s %s lost: %s", n, what, lostWhy(rec.LostKind)))
	return nil
}

func lostWhy(kind oom.LostKind) string {
	switch kind {
	case oom.LostNoVictim:
		return "no-victim records exceeded their share of the ring buffer"
	case oom.LostExit:
		return "exit records dropped: ring buffer full"
	case oom.LostSigkill:
		return "SIGKILL records exceeded their share of the ring buffer"
	case oom.LostUnreadable:
		return "they could not be decoded"
	case oom.LostLogLines:
		return "overwritten before they were read"
	}
	return "ring buffer full"
}

// bound keeps of what the kernel's log lists what the programs would: so many, and beyond
// them the biggest task.
func (s *stages) bound(_ context.Context, rec *oom.Record) error {
	if s.from == fromFiles || !slices.Contains(rec.Hooks, string(oom.SourceKmsg)) {
		return nil
	}
	all, n := rec.Candidates, min(len(rec.Candidates), s.o.Top)
	biggest := 0
	for i := range all {
		if held(&all[i]) > held(&all[biggest]) {
			biggest = i
		}
	}
	if rec.Candidates = all[:n:n]; n > 0 && biggest >= n {
		rec.Candidates = append(rec.Candidates, all[biggest])
	}
	rec.Holders = rec.Holders[:min(len(rec.Holders), s.o.Top)]
	return nil
}

func held(c *oom.Candidate) uint64 {
	return c.RSSBytes.Value + c.SwapBytes.Value + c.PgtablesBytes.Value
}

// relate says what a SIGKILL has to do with memory. It comes early, by what the
// paths of cgroups say: most of them are dropped here, and cost no more.
func (s *stages) relate(_ context.Context, rec *oom.Record) error {
	s.enricher.Paths(rec)
	if !s.senders.Observe(rec) {
		return pipeline.ErrSkip
	}
	return nil
}

func (s *stages) sample(_ context.Context, rec *oom.Record) error {
	s.sampler.Record(rec)
	return nil
}

func (s *stages) enrich(ctx context.Context, rec *oom.Record) error {
	if v := rec.Victim; s.from == fromLiveLog && v != nil {
		s.onCgroup(v.Cgroup) // without programs the kill is the first sign of a container
	}
	s.enricher.Record(ctx, rec)
	return nil
}

// reason asks the journal why a memory manager killed.
func (s *stages) reason(ctx context.Context, rec *oom.Record) error {
	s.words.Record(ctx, rec)
	return nil
}

func (s *stages) growth(ctx context.Context, rec *oom.Record) error {
	if s.recorder == nil {
		return nil
	}
	return s.recorder.Stage(ctx, rec)
}

func (s *stages) count(_ context.Context, rec *oom.Record) error {
	if s.metrics != nil {
		s.metrics.Observe(rec)
	}
	return nil
}

func (s *stages) noteUnresolved() {
	if !s.unresolved {
		s.unresolved = true
		s.o.Notify("victims whose container or pod name could not be resolved are not filtered out")
	}
}

func (s *stages) redact(_ context.Context, rec *oom.Record) error {
	if s.redactor == nil {
		return nil
	}
	if v := rec.Victim; v != nil {
		v.Args, v.Cmdline = "", s.redacted(v.Args, v.Cmdline)
	}
	if t := rec.Trigger; t != nil {
		t.Args, t.Cmdline = "", s.redacted(t.Args, t.Cmdline)
	}
	if h := rec.History; h != nil {
		for i := range h.Growers {
			g := &h.Growers[i]
			g.Args, g.Cmdline = "", s.redacted(g.Args, g.Cmdline)
		}
	}
	if k := rec.Sender; k != nil {
		k.Args, k.Cmdline = "", s.redacted(k.Args, k.Cmdline)
	}
	if rec.Unknown == nil {
		return nil
	}
	var err error
	if rec.Unknown, err = oom.MapStrings(rec.Unknown, s.redactor.Cmdline); err != nil {
		return fmt.Errorf("redact unknown fields of record %s: %w", rec.ID, err)
	}
	return nil
}

func (s *stages) redacted(args, cmdline string) string {
	if args != "" {
		return s.redactor.Args(args, cmdline)
	}
	return s.redactor.Cmdline(cmdline)
}

func (s *stages) explain(_ context.Context, rec *oom.Record) error {
	if rec.Finished && rec.Why != nil && !s.o.NoWhy {
		return nil
	}
	rec.Why = nil
	if !s.o.NoWhy {
		explain.Explain(rec)
	}
	return nil
}
