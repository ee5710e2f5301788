package pipeline

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// list is a source of some records, which then fails with err, or ends.
type list struct {
	records []*oom.Record
	err     error
	given   int
	done    int
}

func (l *list) Next(context.Context) (*oom.Record, error) {
	if l.given == len(l.records) {
		if l.err != nil {
			return nil, l.err
		}
		return nil, io.EOF
	}
	l.given++
	return l.records[l.given-1], nil
}

func (l *list) Done() error { l.done = l.given; return nil }

func kills(n int) *list {
	var l list
	for i := range n {
		l.records = append(l.records, &oom.Record{Kind: oom.KindKill, ID: strconv.Itoa(i), Victim: &oom.Victim{TID: oom.Some(int32(i))}})
	}
	return &l
}

// ids collects what is written.
type ids []string

func (i *ids) sink(_ context.Context, rec *oom.Record) error { *i = append(*i, rec.ID); return nil }

// TestRun: stages come in order, a dropped record is acknowledged and not
// written, and nothing is acknowledged that was not written.
func TestRun(t *testing.T) {
	broken := errors.New("broken")
	visit := func(rec *oom.Record, name string) { rec.Hooks = append(rec.Hooks, name) }
	stages := []Stage{
		func(_ context.Context, rec *oom.Record) error { visit(rec, "a"); return nil },
		func(_ context.Context, rec *oom.Record) error {
			if visit(rec, "b"); rec.ID == "1" {
				return ErrSkip
			}
			return nil
		},
		func(_ context.Context, rec *oom.Record) error { visit(rec, "c"); return nil },
	}
	for _, tt := range []struct {
		name    string
		source  *list
		limit   int
		failAt  string // written id at which the sink fails
		err     error
		written ids
		done    int
		counts  Counts
	}{
		{"to the end", kills(3), 0, "", nil, ids{"0", "2"}, 3, Counts{Kills: 2, Written: 2}},
		{"to the limit", kills(5), 2, "", nil, ids{"0", "2"}, 3, Counts{Kills: 2, Written: 2}},
		{"a source that fails", &list{records: kills(1).records, err: broken}, 0, "", broken, ids{"0"}, 1, Counts{Kills: 1, Written: 1}},
		{"a sink that fails", kills(4), 0, "2", broken, ids{"0"}, 2, Counts{Kills: 2, Written: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var written ids
			l := Line{Source: tt.source, Stages: stages, Limit: tt.limit, Sink: func(ctx context.Context, rec *oom.Record) error {
				if want := []string{"a", "b", "c"}; !slices.Equal(rec.Hooks, want) {
					t.Errorf("%s went through %v, want %v", rec.ID, rec.Hooks, want)
				}
				if rec.ID == tt.failAt {
					return broken
				}
				return written.sink(ctx, rec)
			}}
			err := l.Run(t.Context())
			if !errors.Is(err, tt.err) || !slices.Equal(written, tt.written) || tt.source.done != tt.done || l.Counts() != tt.counts {
				t.Errorf("%v; wrote %v, acknowledged %d, %+v", err, written, tt.source.done, l.Counts())
			}
		})
	}
}

// TestAfter: what uses the time between records is called for each that is acknowledged,
// a dropped one too, and for none that failed.
func TestAfter(t *testing.T) {
	source := kills(4)
	var after []int
	l := Line{
		Source: source, After: func() { after = append(after, source.done) },
		Sink: func(_ context.Context, rec *oom.Record) error {
			if rec.ID == "3" {
				return errors.New("broken")
			}
			return nil
		},
		Stages: []Stage{func(_ context.Context, rec *oom.Record) error {
			if rec.ID == "1" {
				return ErrSkip
			}
			return nil
		}},
	}
	if err := l.Run(t.Context()); err == nil || !slices.Equal(after, []int{1, 2, 3}) {
		t.Errorf("%v; after %v", err, after)
	}
}

func TestStageFails(t *testing.T) {
	broken := errors.New("broken")
	source := kills(2)
	var written ids
	l := Line{Source: source, Stages: []Stage{func(context.Context, *oom.Record) error { return broken }}, Sink: written.sink}
	if err := l.Run(t.Context()); !errors.Is(err, broken) || len(written) > 0 || source.done != 0 {
		t.Errorf("%v; wrote %v, acknowledged %d", err, written, source.done)
	}
}

// TestCounts: what lost records stand for is counted by its kind; lines of the kernel log
// are no records.
func TestCounts(t *testing.T) {
	lost := func(source oom.Source, kind oom.LostKind, n uint64) *oom.Record {
		return &oom.Record{Kind: oom.KindLost, Source: source, LostKind: kind, Lost: oom.Some(n)}
	}
	var written ids
	l := Line{Sink: written.sink, Source: &list{records: []*oom.Record{
		lost(oom.SourceBPF, oom.LostKill, 1), lost(oom.SourceBPF, oom.LostNoVictim, 2), lost(oom.SourceBPF, oom.LostExit, 4),
		lost(oom.SourceBPF, oom.LostUnreadable, 8), lost(oom.SourceBPF, oom.LostSigkill, 32), lost(oom.SourceKmsg, oom.LostLogLines, 16), {Kind: oom.KindExit}, {Kind: oom.KindNoVictim},
	}}}
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := (Counts{Lost: 3, LostExits: 4, LostSigkills: 32, Unreadable: 8}); l.Counts() != want || len(written) != 8 {
		t.Errorf("%+v, want %+v; %d written", l.Counts(), want, len(written))
	}
}

// TestStuck: a sink that hangs does not keep the line from ending, and one that
// is slow is waited for, as long as records get through.
func TestStuck(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write time.Duration
		err   error
		takes time.Duration
	}{
		{"hangs", 24 * time.Hour, ErrStuck, 3 * time.Second},
		{"slow", stuckEnd / 2, nil, 8 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var h Health
				hang := func(context.Context, *oom.Record) error { time.Sleep(tt.write); return nil }
				source := kills(5)
				l := Line{Source: source, Sink: hang, Health: &h, Limit: 5}
				time.AfterFunc(time.Second/2, cancel)
				start := time.Now()
				err := l.RunOrAbandon(ctx)
				if d := time.Since(start); !errors.Is(err, tt.err) || d > tt.takes {
					t.Errorf("%v after %v", err, d)
				}
				if err != nil {
					time.Sleep(6 * tt.write) // the line ends with its sink
				}
			})
		})
	}
}

func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		check := func(state, want string, alive bool) {
			t.Helper()
			got := ""
			if err := h.Err(); err != nil {
				got = err.Error()
			}
			if got != want || h.Alive() != alive {
				t.Errorf("%s: %q, alive %v", state, got, h.Alive())
			}
		}
		check("before", "not tracing", true)
		h.Start()
		check("running", "", true)
		end := h.begin()
		check("writing", "", true)
		time.Sleep(stuckAfter - time.Second)
		check("just in time", "", true)
		time.Sleep(2 * time.Second)
		check("stuck", "output is stuck for 2m1s", false)
		h.waiting.Store(true)
		check("full", "disk full: records are queued", true)
		h.waiting.Store(false)
		end()
		check("written", "", true)
		h.Stop()
		check("after", "not tracing", true)
	})
}

// TestRetry: a disk without room is waited for, is reported once, and is no
// reason to restart; what it refuses for ever ends the line.
func TestRetry(t *testing.T) {
	other := errors.New("gone")
	const queued = "no space left on device; records are queued until there is room"
	for _, tt := range []struct {
		name  string
		errs  []error
		ended bool
		want  error
		tries int
		done  int
		says  []string
	}{
		{"room at once", nil, false, nil, 1, 1, nil},
		{"room after a while", []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}, false, nil, 4, 1, []string{queued, "there is room again; writing continues"}},
		{"gone meanwhile", []error{syscall.ENOSPC, other}, false, other, 2, 0, []string{queued}},
		{"at the end", []error{syscall.ENOSPC}, true, syscall.ENOSPC, 1, 0, nil},
		{"for longer than there is time", slices.Repeat([]error{syscall.ENOSPC}, 99), false, syscall.ENOSPC, 10, 0, []string{queued}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
				defer cancel()
				if tt.ended {
					cancel()
				}
				var h Health
				h.Start()
				tries := 0
				write := func(context.Context, *oom.Record) error {
					tries++
					if tries > 1 && (h.Err() == nil || !h.Alive()) {
						t.Errorf("healthy %v, alive %v", h.Err(), h.Alive())
					}
					if tries <= len(tt.errs) {
						return tt.errs[tries-1]
					}
					return nil
				}
				var said []string
				source := kills(1)
				l := Line{Source: source, Health: &h, Sink: Retry(write, &h, func(s string) { said = append(said, s) })}
				err := l.Run(ctx)
				if !errors.Is(err, tt.want) || tries != tt.tries || source.done != tt.done || !slices.Equal(said, tt.says) {
					t.Errorf("%v after %d tries, %d acknowledged, said %q", err, tries, source.done, said)
				}
				if want := (Counts{Kills: 1, Written: tt.done}); l.Counts() != want {
					t.Errorf("%+v", l.Counts())
				}
			})
		})
	}
}
