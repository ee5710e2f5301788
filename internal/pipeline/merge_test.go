package pipeline

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func at(id string, kind oom.Kind, tid int32, uptime uint64) *oom.Record {
	return &oom.Record{ID: id, Kind: kind, UptimeNS: oom.Some(uptime), Victim: &oom.Victim{TID: oom.Some(tid)}}
}

// ring is a live source: some records wait in it, others come.
type ring struct {
	waiting, coming []*oom.Record
	done            []string
	last            string
}

func (r *ring) Next(ctx context.Context) (*oom.Record, error) {
	from := &r.waiting
	if len(*from) == 0 {
		if from = &r.coming; len(*from) == 0 || ctx.Err() != nil {
			return nil, io.EOF
		}
	}
	rec := (*from)[0]
	*from = (*from)[1:]
	r.last = rec.ID
	return rec, nil
}

func (r *ring) Done() error { r.done = append(r.done, r.last); return nil }

// TestMerge: old kills, then what happened meanwhile, from whichever source has
// it and once, then what comes.
func TestMerge(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name    string
		past    *list
		live    *ring
		written ids
		warns   int
	}{
		{"in both", &list{records: []*oom.Record{at("p1", oom.KindKill, 1, 10), at("p2", oom.KindKill, 2, 200), at("p3", oom.KindKill, 3, 201)}},
			&ring{waiting: []*oom.Record{at("l3", oom.KindKill, 3, 201)}, coming: []*oom.Record{at("l4", oom.KindKill, 4, 300)}},
			ids{"p1", "l3", "p2", "l4"}, 0},
		{"an exit is not a kill", &list{records: []*oom.Record{at("p3", oom.KindKill, 3, 201)}},
			&ring{waiting: []*oom.Record{at("x3", oom.KindExit, 3, 201), {ID: "lost", Kind: oom.KindLost}}},
			ids{"x3", "lost", "p3"}, 0},
		{"old of the same number", &list{records: []*oom.Record{at("p3", oom.KindKill, 3, 20)}},
			&ring{waiting: []*oom.Record{at("l3", oom.KindKill, 3, 201)}}, ids{"p3", "l3"}, 0},
		{"a past that fails", &list{records: []*oom.Record{at("p1", oom.KindKill, 1, 10), at("p2", oom.KindKill, 2, 200)}, err: broken},
			&ring{coming: []*oom.Record{at("l4", oom.KindKill, 4, 300)}}, ids{"p1", "p2", "l4"}, 1},
		{"the log's, which live is behind with", &list{records: []*oom.Record{at("n", oom.KindNoVictim, 0, 200)}},
			&ring{coming: []*oom.Record{{ID: "n", Kind: oom.KindNoVictim, Source: oom.SourceKmsg}, {ID: "n", Kind: oom.KindNoVictim, Source: oom.SourceBPF}}},
			ids{"n", "n"}, 0},
		{"without a victim", &list{records: []*oom.Record{at("n", oom.KindNoVictim, 0, 200), at("o", oom.KindNoVictim, 0, 201)}},
			&ring{waiting: []*oom.Record{{ID: "n", Kind: oom.KindNoVictim}}}, ids{"n", "o"}, 0},
		{"no past", &list{}, &ring{coming: []*oom.Record{at("l4", oom.KindKill, 4, 300)}}, ids{"l4"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			warns := 0
			var live ids
			for _, rec := range slices.Concat(tt.live.waiting, tt.live.coming) {
				live = append(live, rec.ID)
			}
			var written ids
			l := Line{Sink: written.sink, Source: Merge(tt.past, tt.live, 100, func(err error) {
				if warns++; !errors.Is(err, broken) {
					t.Error(err)
				}
			})}
			if err := l.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(written, tt.written) || warns != tt.warns {
				t.Errorf("wrote %v, want %v; %d warnings", written, tt.written, warns)
			}
			if !slices.Equal(tt.live.done, live) || tt.past.done != len(tt.past.records) {
				t.Errorf("acknowledged %v of %v, %d of %d", tt.live.done, live, tt.past.done, len(tt.past.records))
			}
		})
	}
}
