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

// watch tells of victims that stay: until they go, nothing is won. What it keeps
// of them it has from the start: a kill shall not take memory.
type watch struct {
	after time.Duration
	tell  func(v *watched)
	timer *time.Timer
	ended chan struct{}
	done  chan struct{}

	mu    sync.Mutex
	queue []watched // in the order of the kills, and so of the deadlines
}

// watched is a victim that is not gone yet.
type watched struct {
	pid      int32
	rss      oom.Opt[uint64]
	deadline time.Time
	comm     [16]byte // TASK_COMM_LEN
	commLen  int
}

func (v *watched) name() string { return string(v.comm[:v.commLen]) }

// newWatch starts a watch, which stop ends.
func newWatch(after time.Duration, tell func(*watched)) *watch {
	w := &watch{
		after: after, tell: tell, timer: time.NewTimer(after), queue: make([]watched, 0, maxWatched),
		ended: make(chan struct{}), done: make(chan struct{}),
	}
	go w.run()
	return w
}

func (w *watch) run() {
	defer close(w.done)
	defer w.timer.Stop()
	for {
		select {
		case <-w.ended:
			return
		case now := <-w.timer.C:
			for v, ok := w.overdue(now); ok; v, ok = w.overdue(now) {
				w.tell(&v)
			}
		}
	}
}

// overdue takes a victim whose time is over. Once there is none it sets the timer
// for the next.
func (w *watch) overdue(now time.Time) (v watched, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return v, false
	}
	v = w.queue[0]
	if wait := v.deadline.Sub(now); wait > 0 {
		w.timer.Reset(wait)
		return v, false
	}
	w.remove(0)
	return v, true
}

// remove takes one out of the queue; mu is held.
func (w *watch) remove(i int) {
	w.queue = append(w.queue[:i], w.queue[i+1:]...)
}

// record begins with a kill and ends with its exit.
func (w *watch) record(rec *oom.Record) {
	if rec.Victim == nil || !rec.Victim.PID.Known || rec.Kind != oom.KindKill && rec.Kind != oom.KindExit {
		return
	}
	pid := rec.Victim.PID.Value
	w.mu.Lock()
	defer w.mu.Unlock()
	at := -1
	for i := range w.queue {
		if w.queue[i].pid == pid {
			at = i
			break
		}
	}
	switch {
	case rec.Kind == oom.KindExit && at >= 0:
		w.remove(at)
	case rec.Kind == oom.KindKill && at < 0 && len(w.queue) < maxWatched:
		v := watched{pid: pid, rss: rec.Victim.RSSBytes, deadline: time.Now().Add(w.after)}
		v.commLen = copy(v.comm[:], rec.Victim.Comm)
		w.queue = append(w.queue, v)
		if len(w.queue) == 1 {
			w.timer.Reset(w.after)
		}
	}
}

// stop ends all watching.
func (w *watch) stop() {
	close(w.ended)
	<-w.done
}
