package assemble

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"slices"

	"github.com/oomtrace/oomtrace/internal/archive"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// maxRecalled bounds the records that are kept in memory, the newest.
const maxRecalled = 10000

// RecallOptions say where the kills are looked for that a machine remembers.
type RecallOptions struct {
	ReadOptions
	// Places are looked at one after the other until one has a kill; nil is where this
	// machine may keep them. With Files only those are read.
	Places []archive.Place
}

// Recalled are the records that were found, the newest last.
type Recalled struct {
	Records []*oom.Record
	// Place is where they were found; empty for files.
	Place string
	// Dropped is how many more there were, older ones.
	Dropped int
	// Problems are of places that could not be read, and of the one where they were found.
	// What this machine does not have is among them only where nothing was found.
	Problems []string
	// Failed is how many of the files that were named could not be read to the end.
	Failed int
}

// Which tells the kill that is meant from the files to look in.
func Which(args []string) (which string, files []string) { return archive.Which(args) }

// Found says whether there is a kill, or what else is more than a record about others.
func (r *Recalled) Found() bool { return slices.ContainsFunc(r.Records, archive.IsEvent) }

// Newest are the last n kills and what belongs to them; 0 is all.
func (r *Recalled) Newest(n int) []*oom.Record { return archive.Newest(r.Records, n) }

// Choose picks one kill. The error is a *SeveralError where several match.
func (r *Recalled) Choose(which string) ([]*oom.Record, error) {
	return archive.Choose(r.Records, which)
}

// SeveralError has the kills that match, as Records.
type SeveralError = archive.SeveralError

// Recall finds them.
func Recall(ctx context.Context, o RecallOptions) (Recalled, error) {
	if len(o.Files) > 0 {
		return recall(ctx, o.ReadOptions)
	}
	var all Recalled
	var absent []string
	if o.Places == nil {
		o.Places = archive.Places(archive.Options{Since: o.Filters.Since})
	}
	for _, place := range o.Places {
		from := o.ReadOptions
		from.Files, from.Inputs = nil, map[string]archive.Input{}
		from.Progress = nil // how much a place has is not known
		from.Notify = func(text string) { all.Problems = append(all.Problems, text) }
		from.failed = func(err error) {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
				absent = append(absent, err.Error())
			} else {
				from.Notify(err.Error())
			}
		}
		for _, in := range place.Inputs {
			from.Files = append(from.Files, in.Name)
			from.Inputs[in.Name] = in
		}
		got, err := recall(ctx, from)
		if err != nil || ctx.Err() != nil {
			return all, err
		}
		if got.Found() {
			all.Records, all.Dropped, all.Place = got.Records, got.Dropped, place.Name
			return all, nil
		}
	}
	all.Problems = append(all.Problems, absent...)
	return all, nil
}

func recall(ctx context.Context, o ReadOptions) (Recalled, error) {
	var r Recalled
	o.Limit, o.collect = 0, func(_ context.Context, rec *oom.Record) error {
		own, err := rec.Clone()
		if err != nil {
			return err
		}
		r.add(own)
		return nil
	}
	sum, err := Read(ctx, o)
	r.Failed = sum.Failed
	r.drop()
	return r, err
}

func (r *Recalled) add(rec *oom.Record) {
	r.Records = append(r.Records, rec)
	if len(r.Records) == 2*maxRecalled {
		r.drop()
	}
}

// drop sorts, and forgets the oldest of what is too much: files need not come in order.
func (r *Recalled) drop() {
	archive.Sort(r.Records)
	if n := len(r.Records) - maxRecalled; n > 0 {
		r.Dropped += n
		r.Records = append([]*oom.Record(nil), r.Records[n:]...)
	}
}

// Write writes records that were recalled.
func (o Output) Write(ctx context.Context, records []*oom.Record, noWhy bool) error {
	sink, end := o.sink(noWhy)
	for _, rec := range records {
		if err := sink(ctx, rec); err != nil {
			return err
		}
	}
	return end()
}
