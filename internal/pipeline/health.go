package pipeline

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// stuckAfter is how long one record may be on its way before the line counts as
// stuck: a consumer that stops reading for a while is no reason to restart.
const stuckAfter = 2 * time.Minute

// Health says how a line is doing. Any goroutine may ask; the zero value is a
// line that has not started.
type Health struct {
	running   atomic.Bool
	busySince atomic.Int64 // when the record on its way left the source, Unix ns; 0 when there is none
	waiting   atomic.Bool  // for room on a disk
}

// Start says that the line runs from here on, Stop that it has ended.
func (h *Health) Start() { h.running.Store(true) }

// Stop ends what Start began.
func (h *Health) Stop() { h.running.Store(false) }

// begin notes that a record is on its way, until the function returned is called.
func (h *Health) begin() (end func()) {
	if h == nil {
		return func() {}
	}
	h.busySince.Store(time.Now().UnixNano())
	return h.end
}

func (h *Health) end() { h.busySince.Store(0) }

// stuck is how long a record has been on its way, once that is too long; else 0.
// One that waits for room on a disk is not stuck: a restart would not help it.
func (h *Health) stuck() time.Duration {
	since := h.busySince.Load()
	if since == 0 || h.waiting.Load() {
		return 0
	}
	if d := time.Since(time.Unix(0, since)); d >= stuckAfter {
		return d
	}
	return 0
}

// Alive is what a watchdog asks: false is a reason to restart.
func (h *Health) Alive() bool { return h.stuck() == 0 }

// Err says why records are not written just now, if that is so.
func (h *Health) Err() error {
	switch d := h.stuck(); {
	case !h.running.Load():
		return errors.New("not tracing")
	case h.waiting.Load():
		return errors.New("disk full: records are queued")
	case d > 0:
		return fmt.Errorf("output is stuck for %v", d.Round(time.Second))
	}
	return nil
}
