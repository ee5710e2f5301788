// Package victims is the table of victims that are still alive: those whose
// kill was seen, and whose exit was not. It completes the exit's record with
// what only the kill could say, and reports victims that do not exit.
package victims

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// maxVictims bounds the table: exit records can be lost, and logs have few.
	// The oldest goes first.
	maxVictims = 1024
	// maxShared bounds the processes kept over all victims.
	maxShared = 4096
	// overdueAfter is when a victim that is alive is reported: the reaper comes
	// after 2 s (mm/oom_kill.c), and gives up after a second more.
	overdueAfter = 5 * time.Second
	// followsWithin is how long after a kill the same task may run into the same
	// limit again and find no process: a write to memory.max tries until its retries
	// are used up (mm/memcontrol.c, memory_max_write).
	followsWithin = 5 * time.Second
)

// Options of a Table. The zero value works.
type Options struct {
	// Overdue is called for each victim that has not exited After its kill, in
	// a goroutine of its own, and never after Close; nil is not at all.
	Overdue func(Overdue)
	// After is how long a victim may take; 0 means 5 s.
	After time.Duration
}

// Overdue is a victim that has not exited in time.
type Overdue struct {
	PID      int32
	Comm     string
	RSSBytes oom.Opt[uint64] // at the kill
	After    time.Duration
}

// Table is safe for concurrent use. Close it.
type Table struct {
	overdue func(Overdue)
	after   time.Duration

	mu      sync.Mutex
	byKey   map[key]*list.Element
	byPID   map[int32]*list.Element // the youngest of that number
	order   *list.List              // of *victim, oldest first
	shared  int                     // processes, over all victims
	timer   *time.Timer             // for the first that is not reported; nil when there is none
	calling sync.WaitGroup
	closed  bool
	last    decision
}

// decision is what distinguishes the last OOM that killed.
type decision struct {
	incident, limit string
	trigger         oom.Opt[int32]
	at              time.Time
}

// key identifies a victim. Process ids are used again: where a record names no
// incident, the start distinguishes a victim from the next one of its number.
type key struct {
	incident string
	pid      int32
}

// victim is what is kept of a kill.
type victim struct {
	key      key
	start    time.Time
	comm     string
	rss      oom.Opt[uint64]
	cgroup   string
	cgroupID oom.Opt[uint64]
	shared   []oom.SharedProcess
	deadline time.Time // zero: not watched, or reported
}

// New returns an empty table.
func New(o Options) *Table {
	if o.After == 0 {
		o.After = overdueAfter
	}
	return &Table{overdue: o.Overdue, after: o.After, byKey: map[key]*list.Element{}, byPID: map[int32]*list.Element{}, order: list.New()}
}

// Record is a stage of the line: a kill enters the table, and its exit leaves it.
func (t *Table) Record(_ context.Context, rec *oom.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rec.Kind == oom.KindNoVictim {
		t.follow(rec)
	}
	v := rec.Victim
	if v == nil || !v.PID.Known {
		return nil
	}
	switch rec.Kind {
	case oom.KindKill, oom.KindAlreadyExiting:
		t.killed(rec)
	case oom.KindExit:
		t.exited(rec)
	}
	return nil
}

// Shared adds a process that was killed along with a victim, whose mm it used.
func (t *Table) Shared(incident string, pid int32, p oom.SharedProcess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.enter(key{incident, pid}, time.Time{})
	if t.shared >= maxShared { // those of victims that never exited go first
		t.evict(v)
	}
	if t.shared < maxShared {
		v.shared = append(v.shared, p)
		t.shared++
	}
}

// Len is how many victims are in the table.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.order.Len()
}

// Close ends all reports.
func (t *Table) Close() {
	t.mu.Lock()
	t.closed = true
	if t.timer != nil && t.timer.Stop() {
		t.calling.Done()
	}
	t.mu.Unlock()
	t.calling.Wait()
}

func (t *Table) killed(rec *oom.Record) {
	t.last = decisionOf(rec)
	v := t.enter(key{rec.Incident, rec.Victim.PID.Value}, rec.Victim.StartTime)
	v.comm, v.rss = rec.Victim.Comm, rec.Victim.RSSBytes
	if rec.Victim.Cgroup != "" {
		v.cgroup, v.cgroupID = rec.Victim.Cgroup, rec.Victim.CgroupID
	}
	if rec.Kind == oom.KindKill && v.deadline.IsZero() {
		v.deadline = time.Now().Add(t.after)
		t.arm()
	}
}

// follow gives an OOM that found no process the incident of the kill before it, where
// the same task came back with the same limit: it is one decision's end, not an
// OOM of its own.
func (t *Table) follow(rec *oom.Record) {
	d := decisionOf(rec)
	if after := d.at.Sub(t.last.at); t.last.incident == "" || after < 0 || after > followsWithin {
		return
	}
	if d.limit != "" && d.limit == t.last.limit && d.trigger.Known && d.trigger == t.last.trigger {
		rec.Incident = t.last.incident
	}
}

func decisionOf(rec *oom.Record) decision {
	d := decision{incident: rec.Incident, at: rec.Time}
	if rec.Limit != nil {
		d.limit = rec.Limit.Cgroup
	}
	if rec.Trigger != nil {
		d.trigger = rec.Trigger.PID
	}
	return d
}

// exited completes an exit's record. By then the task has left the cgroup that
// it was killed in (kernel/exit.c, cgroup_exit).
func (t *Table) exited(rec *oom.Record) {
	e, ok := t.byKey[key{rec.Incident, rec.Victim.PID.Value}]
	if !ok && rec.Incident == "" { // a log's exits name none
		e, ok = t.byPID[rec.Victim.PID.Value]
	}
	if !ok {
		return
	}
	v := e.Value.(*victim)
	if rec.Incident == "" && differ(v.start, rec.Victim.StartTime) {
		return
	}
	if rec.Victim.Cgroup == "" {
		rec.Victim.Cgroup, rec.Victim.CgroupID = v.cgroup, v.cgroupID
	}
	if len(v.shared) > 0 {
		if rec.Exit == nil {
			rec.Exit = &oom.Exit{}
		}
		rec.Exit.SharedMM = append(rec.Exit.SharedMM, v.shared...)
	}
	t.remove(e)
}

// enter finds a victim or makes it. A victim of the same number that started at
// another time has exited: the kernel gave its number again.
func (t *Table) enter(k key, start time.Time) *victim {
	if e, ok := t.byKey[k]; ok {
		v := e.Value.(*victim)
		if k.incident != "" || !differ(v.start, start) {
			if v.start.IsZero() {
				v.start = start
			}
			return v
		}
	}
	if e, ok := t.byPID[k.pid]; ok && differ(e.Value.(*victim).start, start) {
		t.remove(e)
	}
	if t.order.Len() >= maxVictims {
		t.remove(t.order.Front())
	}
	v := &victim{key: k, start: start}
	e := t.order.PushBack(v)
	t.byKey[k], t.byPID[k.pid] = e, e
	return v
}

// evict removes the oldest victims with shared processes, but for one.
func (t *Table) evict(but *victim) {
	for e := t.order.Front(); e != nil && t.shared >= maxShared; {
		next := e.Next()
		if v := e.Value.(*victim); v != but && len(v.shared) > 0 {
			t.remove(e)
		}
		e = next
	}
}

func (t *Table) remove(e *list.Element) {
	v := t.order.Remove(e).(*victim)
	t.shared -= len(v.shared)
	delete(t.byKey, v.key)
	if t.byPID[v.key.pid] == e {
		delete(t.byPID, v.key.pid)
	}
}

// startSlack is how far two readings of one start may lie apart: a wall clock
// is corrected now and then.
const startSlack = time.Second

// differ says that two known starts are not the same.
func differ(a, b time.Time) bool { return !a.IsZero() && !b.IsZero() && a.Sub(b).Abs() > startSlack }

// arm sets the timer for the next deadline; mu is held.
func (t *Table) arm() {
	if t.overdue == nil || t.closed || t.timer != nil {
		return
	}
	for e := t.order.Front(); e != nil; e = e.Next() {
		if v := e.Value.(*victim); !v.deadline.IsZero() {
			t.calling.Add(1)
			t.timer = time.AfterFunc(time.Until(v.deadline), t.report)
			return
		}
	}
}

// report calls for the victims whose time is over.
func (t *Table) report() {
	defer t.calling.Done()
	for _, o := range t.due() {
		t.overdue(o)
	}
}

// due takes note of the victims whose time is over, and waits for the next.
func (t *Table) due() (all []Overdue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = nil
	if t.closed {
		return nil
	}
	now := time.Now()
	for e := t.order.Front(); e != nil; e = e.Next() {
		v := e.Value.(*victim)
		if v.deadline.IsZero() || now.Before(v.deadline) {
			continue
		}
		v.deadline = time.Time{}
		all = append(all, Overdue{PID: v.key.pid, Comm: v.comm, RSSBytes: v.rss, After: t.after})
	}
	t.arm()
	return all
}
