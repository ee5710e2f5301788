package tracer

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// fakeEvents gives events; before the nth one, counters show losses.
type fakeEvents struct {
	all    []func(*wire.Event)
	losses map[int][]loss
	given  int
	waits  bool // at the end, for the context
	last   string
	order  []string
}

func (f *fakeEvents) read(ctx context.Context, ev *wire.Event) error {
	if f.given == len(f.all) {
		if f.waits {
			<-ctx.Done()
		}
		return io.EOF
	}
	*ev = wire.Event{}
	f.all[f.given](ev)
	f.last = ev.Record.ID + ev.Cgroup.Path + ev.Shared.Comm
	f.given++
	return nil
}

func (f *fakeEvents) note(what string) { f.order = append(f.order, what) }

func (f *fakeEvents) done() { f.note("ack " + f.last) }

func (f *fakeEvents) unreported(to []loss) ([]loss, error) {
	return append(to, f.losses[f.given]...), nil
}

func (f *fakeEvents) reported(l loss) error {
	f.note("reported " + string(l.Kind))
	all := f.losses[f.given]
	f.losses[f.given] = slices.DeleteFunc(slices.Clone(all), func(o loss) bool { return o.Kind == l.Kind })
	return nil
}

func (f *fakeEvents) lossRecord(l loss) *oom.Record {
	return &oom.Record{Kind: oom.KindLost, ID: "lost " + string(l.Kind) + " " + strconv.FormatUint(l.To-l.From, 10)}
}

func killEvent(id string) func(*wire.Event) {
	return func(ev *wire.Event) {
		ev.Record = oom.Record{Kind: oom.KindKill, ID: id, Victim: &oom.Victim{TID: oom.Some(int32(7))}, Trigger: &oom.Trigger{}}
		ev.UserStack = []oom.UserFrame{{Address: 16}}
	}
}

// TestSource: records come whole and once, losses before what follows them, and
// each is acknowledged after it was written, or at once where it is no record.
func TestSource(t *testing.T) {
	f := &fakeEvents{
		all: []func(*wire.Event){
			func(ev *wire.Event) { ev.Cgroup.Path = "/a" },
			killEvent("1"),
			func(ev *wire.Event) {
				ev.Shared = wire.Shared{PID: 5, VictimPID: 7, Comm: "sharer", Incident: "i"}
			},
			killEvent("2"),
		},
		losses: map[int][]loss{0: {{Kind: oom.LostKill, From: 1, To: 3}, {Kind: oom.LostExit, To: 1}}, 2: {{Kind: oom.LostNoVictim, To: 9}}, 4: {{Kind: oom.LostExit, From: 1, To: 2}}},
	}
	s := newSource(f, SourceOptions{
		UserStack: func(rec *oom.Record, stack []oom.UserFrame) {
			f.note("stack of " + rec.ID + " " + strconv.Itoa(len(stack)))
		},
		OnCgroup: func(path string) { f.note("cgroup " + path) },
		OnShared: func(incident string, victim int32, p oom.SharedProcess) {
			f.note("shared " + incident + " " + strconv.Itoa(int(victim)) + " " + p.Comm)
		},
	})
	for {
		rec, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		f.note("wrote " + rec.ID)
		if err := s.Done(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"wrote lost kill 2", "reported kill", "wrote lost exit 1", "reported exit",
		"cgroup /a", "ack /a",
		"stack of 1 1", "wrote 1", "ack 1",
		"wrote lost no_victim 9", "reported no_victim",
		"shared i 7 sharer", "ack sharer",
		"stack of 2 1", "wrote 2", "ack 2",
		"wrote lost exit 1", "reported exit",
	}
	if d := cmp.Diff(want, f.order); d != "" {
		t.Error(d)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestSourceLossStorm: losses that never end do not keep the ring buffer from
// being read.
func TestSourceLossStorm(t *testing.T) {
	f := &fakeEvents{all: []func(*wire.Event){killEvent("1"), killEvent("2")}, losses: map[int][]loss{}}
	s := newSource(f, SourceOptions{})
	var got []string
	for range 5 {
		for i := range 3 {
			f.losses[i] = []loss{{Kind: oom.LostKill, To: 1}}
		}
		rec, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rec.ID)
		if err := s.Done(); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"lost kill 1", "1", "lost kill 1", "2", "lost kill 1"}, got); d != "" {
		t.Error(d)
	}
}

// TestSourceLog: the log completes a kill, its end is reported once, and Close
// ends a log that goes on.
func TestSourceLog(t *testing.T) {
	ended := make(chan error, 2)
	o := SourceOptions{Log: &scripted{reports: []*oom.Record{logReport(7, 0)}, err: errors.New("log: gone")}, OnLogEnd: func(err error) { ended <- err }}
	s := newSource(&fakeEvents{all: []func(*wire.Event){killEvent("1")}}, o)
	rec, err := s.Next(t.Context())
	if err != nil || rec.Limit == nil || !slices.Contains(rec.Hooks, "kmsg") {
		t.Errorf("%+v, %v", rec, err)
	}
	if err := <-ended; err.Error() != "log: gone" {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	o.Log = &scripted{}
	s = newSource(&fakeEvents{}, o)
	if err := s.Close(); err != nil || len(ended) > 0 {
		t.Errorf("%v, %d ends of the log", err, len(ended))
	}
}

// TestSourceAlone: what only the log has is a record of its own, while an event is waited for too:
// at most one a second of a cgroup, and no kill waits for it.
func TestSourceAlone(t *testing.T) {
	noVictim := func(id, cgroup string, at time.Duration) *oom.Record {
		return &oom.Record{ID: id, Kind: oom.KindNoVictim, UptimeNS: oom.Some(uint64(at)), Limit: &oom.Limit{Cgroup: cgroup}}
	}
	synctest.Test(t, func(t *testing.T) {
		log := &scripted{reports: []*oom.Record{{ID: "lines", Kind: oom.KindLost}, {ID: "cut", Kind: oom.KindOOM}}}
		for i := range 100 {
			log.reports = append(log.reports, noVictim("first", "/a", time.Minute+time.Duration(i)*time.Millisecond))
			log.reports = append(log.reports, noVictim("other", "/b", time.Minute+time.Duration(i)*time.Millisecond))
		}
		log.reports = append(log.reports, noVictim("second", "/a", time.Minute+time.Second), logReport(7, 0))
		f := &fakeEvents{all: []func(*wire.Event){killEvent("kill")}, waits: true}
		s := newSource(f, SourceOptions{Log: log})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Hour, cancel)
		var got []string
		for {
			rec, err := s.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, rec.ID); rec.ID == "kill" && rec.Limit == nil {
				t.Error("the kill is not completed")
			}
			if rec.Repeats.Known != (rec.ID == "second") || rec.Repeats.Value != 0 && rec.Repeats.Value != 99 {
				t.Errorf("%s: %+v repeats", rec.ID, rec.Repeats)
			}
			if err := s.Done(); err != nil {
				t.Error(err)
			}
		}
		slices.Sort(got) // the kill and the log's are of two goroutines
		if d := cmp.Diff([]string{"first", "kill", "lines", "other", "second"}, got); d != "" {
			t.Error(d)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAloneBound: many cgroups at once are counted, and the reader's last question waits for what
// comes a moment later.
func TestAloneBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAlone()
		for i := range 4 * aloneKeep {
			a.pass(&oom.Record{Kind: oom.KindNoVictim, UptimeNS: oom.Some(uint64(i) * 10 * uint64(time.Second)), Limit: &oom.Limit{Cgroup: "/a"}})
		}
		n := 0
		for a.next() != nil {
			n++
		}
		if n != aloneKeep || a.repeats["/a"].n != 3*aloneKeep {
			t.Errorf("%d wait, %d repeats", n, a.repeats["/a"].n)
		}
		time.AfterFunc(drainFor/2, func() { a.pass(&oom.Record{ID: "late", Kind: oom.KindLost}) })
		if rec := a.last(); rec == nil || rec.ID != "late" {
			t.Errorf("%+v", rec)
		}
		if rec := a.last(); rec != nil {
			t.Errorf("%+v", rec)
		}
	})
}

func TestNeedsLog(t *testing.T) {
	for _, tt := range []struct {
		attachments []Attachment
		want        bool
	}{
		{nil, true},
		{[]Attachment{{Hook: "mark_victim", Kind: "tp_btf"}, {Hook: "oom_kill_process", Decides: true}}, true},
		{[]Attachment{{Hook: "oom_kill_process", Decides: true, Kind: "fentry"}}, false},
	} {
		if got := (&Tracer{attachments: tt.attachments}).NeedsLog(); got != tt.want {
			t.Errorf("%+v: %v", tt.attachments, got)
		}
	}
}
