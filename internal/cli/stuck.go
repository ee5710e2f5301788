package cli

import (
	"sync"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// stuckVictim is when a victim that is not gone is told of: the reaper
	// comes after 2 s (mm/oom_kill.c), and gives up after a second more.
	stuckVictim = 5 * time.Second
	// maxWatched bounds the victims that are watched at a time.
	maxWatched = 1024
)

// watch tells of victims that stay: until they go, nothing is won.
type watch struct {
	after time.Duration
	tell  func(rec oom.Record)

	mu     sync.Mutex
	timers map[int32]*time.Timer
}

func newWatch(after time.Duration, tell func(oom.Record)) *watch {
	return &watch{after: after, tell: tell, timers: map[int32]*time.Timer{}}
}

// record begins with a kill and ends with its exit.
func (w *watch) record(rec *oom.Record) {
	if rec.Victim == nil || !rec.Victim.PID.Known {
		return
	}
	pid := rec.Victim.PID.Value
	w.mu.Lock()
	defer w.mu.Unlock()
	switch rec.Kind {
	case oom.KindExit:
		if t, ok := w.timers[pid]; ok {
			t.Stop()
			delete(w.timers, pid)
		}
	case oom.KindKill:
		if len(w.timers) >= maxWatched || w.timers[pid] != nil {
			return
		}
		// The record's memory is used again: what is told is copied.
		v := &oom.Victim{PID: rec.Victim.PID, Comm: string([]byte(rec.Victim.Comm)), RSSBytes: rec.Victim.RSSBytes}
		w.timers[pid] = time.AfterFunc(w.after, func() {
			w.mu.Lock()
			_, watched := w.timers[pid]
			delete(w.timers, pid)
			w.mu.Unlock()
			if watched {
				w.tell(oom.Record{Victim: v})
			}
		})
	}
}

// stop ends all watching.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for pid, t := range w.timers {
		t.Stop()
		delete(w.timers, pid)
	}
}
