package pipeline

import (
	"context"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// maxSeen bounds the ids that are kept, of the last records.
const maxSeen = 1 << 16

// Dedupe drops the records that another input had: syslog and kern.log hold the
// same lines. The zero value is at the first input.
type Dedupe struct {
	input   int // the one that is read
	inputs  map[string]int
	order   []string
	dropped int
}

// NextInput says that the records that follow are of another input.
func (d *Dedupe) NextInput() { d.input++ }

// Dropped is how many records were dropped.
func (d *Dedupe) Dropped() int { return d.dropped }

// Stage is the stage.
func (d *Dedupe) Stage(_ context.Context, rec *oom.Record) error {
	if d.again(rec) {
		d.dropped++
		return ErrSkip
	}
	return nil
}

// again says whether a record was in another input. Its id identifies it only
// where that rests on a clock, and for a wall clock on a machine too.
func (d *Dedupe) again(rec *oom.Record) bool {
	if !rec.UptimeNS.Known && (rec.Time.IsZero() || rec.Node == "") {
		return false
	}
	if input, ok := d.inputs[rec.ID]; ok {
		return input != d.input
	}
	if d.inputs == nil {
		d.inputs = map[string]int{}
	}
	if len(d.order) == maxSeen {
		for _, id := range d.order[:maxSeen/2] {
			delete(d.inputs, id)
		}
		d.order = append(d.order[:0], d.order[maxSeen/2:]...)
	}
	d.inputs[rec.ID] = d.input
	d.order = append(d.order, rec.ID)
	return false
}
