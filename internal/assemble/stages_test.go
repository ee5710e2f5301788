package assemble

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/metrics"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/pipeline"
)

// liveStages are the stages of a live line, without any runtime.
func liveStages(t testing.TB, o StageOptions) *stages {
	t.Helper()
	s := newStages(t.Context(), o, fromPrograms, nil)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// run takes records through all stages.
func run(t testing.TB, s *stages, to Output, records ...*oom.Record) pipeline.Counts {
	t.Helper()
	line := pipeline.Line{Source: &madeUp{records: records}, Stages: s.list(), Sink: sinkOnly(to, s.o.NoWhy)}
	if err := line.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return line.Counts()
}

// TestSecrets: no secret comes out in any output, whether the arguments are known
// one by one or only as a line.
func TestSecrets(t *testing.T) {
	const args, line = "app\x00--password\x00x S3CRET\x00-v", "app --password S3CRET -v"
	for _, format := range []string{"json", "text", "wide"} {
		for _, tt := range []struct{ name, args, cmdline, want string }{
			{"arguments", args, strings.ReplaceAll(args, "\x00", " "), "app --password *** -v"},
			{"line", "", line, "app --password *** -v"},
		} {
			t.Run(format+"/"+tt.name, func(t *testing.T) {
				var out bytes.Buffer
				rec := madeUpKill(oom.ScopeCgroup)
				rec.Victim.Args, rec.Victim.Cmdline = tt.args, tt.cmdline
				rec.Trigger.Args, rec.Trigger.Cmdline = tt.args, tt.cmdline
				rec.Sender = &oom.Sender{}
				rec.Sender.Args, rec.Sender.Cmdline = tt.args, tt.cmdline
				run(t, liveStages(t, StageOptions{Redact: true}), Output{To: &out, Format: format}, rec)
				if rec.Victim.Cmdline != tt.want || rec.Trigger.Cmdline != tt.want || rec.Sender.Cmdline != tt.want {
					t.Errorf("victim %q, trigger %q, sender %q, want %q", rec.Victim.Cmdline, rec.Trigger.Cmdline, rec.Sender.Cmdline, tt.want)
				}
				if got := out.String(); strings.Contains(got, "S3CRET") || format != "text" && !strings.Contains(got, tt.want) {
					t.Errorf("%s", got)
				}
			})
		}
	}
}

// TestTop bounds what the kernel's log lists as the programs bound it: the biggest stays.
func TestTop(t *testing.T) {
	sizes := []uint64{3, 2, 1, 9}
	for _, tt := range []struct {
		name    string
		from    origin
		hooks   []string
		top     int
		want    []uint64
		holders int
	}{
		{"completed", fromPrograms, []string{"tracepoint:mark_victim", "kmsg"}, 2, []uint64{3, 2, 9}, 2},
		{"log", fromLiveLog, []string{"kmsg"}, 3, []uint64{3, 2, 1, 9}, 3},
		{"all", fromLiveLog, []string{"kmsg"}, 10, sizes, 4},
		{"none", fromLiveLog, []string{"kmsg"}, 0, nil, 0},
		{"programs", fromPrograms, []string{"fentry:oom_kill_process"}, 2, sizes, 4},
		{"file", fromFiles, []string{"kmsg"}, 0, sizes, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStages(t.Context(), StageOptions{Top: tt.top}, tt.from, nil)
			rec := madeUpKill(oom.ScopeCgroup)
			rec.Hooks, rec.Candidates, rec.Holders = tt.hooks, nil, make([]oom.Holder, 4)
			for _, size := range sizes {
				rec.Candidates = append(rec.Candidates, oom.Candidate{RSSBytes: oom.Some(size)})
			}
			var out bytes.Buffer
			run(t, s, Output{To: &out, Format: "json"}, rec)
			var got []uint64
			for _, c := range rec.Candidates {
				got = append(got, c.RSSBytes.Value)
			}
			if !slices.Equal(got, tt.want) || len(rec.Holders) != tt.holders {
				t.Errorf("%v, %d holders", got, len(rec.Holders))
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFiltered: what is filtered out is counted in the metrics, followed to its
// exit and otherwise gone; that names are missing is said once.
func TestFiltered(t *testing.T) {
	var said []string
	s := liveStages(t, StageOptions{Filters: pipeline.Filters{Pod: "cart"}, Notify: func(text string) { said = append(said, text) }})
	s.metrics = metrics.New(metrics.Options{})
	kill := func(pid int32, cgroup string) *oom.Record {
		rec := madeUpKill(oom.ScopeCgroup)
		rec.Incident, rec.Victim.PID, rec.Victim.Cgroup = "i", oom.Some(pid), cgroup
		return rec
	}
	exit := func(pid int32) *oom.Record {
		return &oom.Record{Kind: oom.KindExit, Source: oom.SourceBPF, Incident: "i", Victim: &oom.Victim{PID: oom.Some(pid)}}
	}
	id := strings.Repeat("0a", 32)
	pod := "/kubepods/burstable/pod0f6a1c2e-5b1d-4a77-9a0b-3c5d7e9f1a2b/" + id
	var out bytes.Buffer
	counts := run(t, s, Output{To: &out, Format: "json"}, kill(1, "/a.service"), kill(2, pod), exit(1), exit(2), kill(3, pod))
	if counts.Kills != 2 || strings.Count(out.String(), "\n") != 3 || s.victims.Len() != 1 {
		t.Errorf("%+v, %d victims are left: %s", counts, s.victims.Len(), out.String())
	}
	if !strings.Contains(out.String(), `"kind":"exit"`) || strings.Contains(out.String(), "a.service") {
		t.Errorf("%s", out.String())
	}
	if want := []string{"victims whose container or pod name could not be resolved are not filtered out"}; !slices.Equal(said, want) {
		t.Errorf("said %q", said)
	}
}

// TestLossNotice: what was lost is reported once a record, with its reason.
func TestLossNotice(t *testing.T) {
	for kind, want := range map[oom.LostKind]string{
		oom.LostKill:       "7 records lost: ring buffer full",
		oom.LostNoVictim:   "7 records lost: no-victim records exceeded their share of the ring buffer",
		oom.LostExit:       "7 records lost: exit records dropped: ring buffer full",
		oom.LostSigkill:    "7 records lost: SIGKILL records exceeded their share of the ring buffer",
		oom.LostUnreadable: "7 records lost: they could not be decoded",
		oom.LostLogLines:   "7 lines of the kernel log lost: overwritten before they were read",
	} {
		var said []string
		var out bytes.Buffer
		s := liveStages(t, StageOptions{Filters: pipeline.Filters{Comm: "x"}, Notify: func(text string) { said = append(said, text) }})
		run(t, s, Output{To: &out, Format: "json"}, &oom.Record{Kind: oom.KindLost, Source: oom.SourceBPF, LostKind: kind, Lost: oom.Some(uint64(7))})
		if !slices.Equal(said, []string{want}) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("said %q, want %q; wrote %q", said, want, out.String())
		}
	}
}

// TestLossNoticeElsewhere: how many is not always known, and the losses of another run are
// its own.
func TestLossNoticeElsewhere(t *testing.T) {
	var said []string
	s := liveStages(t, StageOptions{Notify: func(text string) { said = append(said, text) }})
	run(t, s, Output{To: &bytes.Buffer{}, Format: "json"},
		&oom.Record{Kind: oom.KindLost, Source: oom.SourceKmsg, LostKind: oom.LostLogLines},
		&oom.Record{Kind: oom.KindLost, Source: oom.SourceBPF, LostKind: oom.LostKill, Lost: oom.Some(uint64(7)), Finished: true})
	if want := []string{"some lines of the kernel log lost: overwritten before they were read"}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
}

// TestWarmUp: it leaves nothing behind, and its errors are not swallowed.
func TestWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStages(t.Context(), StageOptions{Redact: true, Filters: pipeline.Filters{Comm: "x"}}, fromPrograms, nil)
		s.metrics = metrics.New(metrics.Options{})
		if err := s.warmUp(t.Context(), "json"); err != nil {
			t.Fatal(err)
		}
		if n := s.victims.Len(); n != 0 {
			t.Errorf("%d victims", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWarmUpOpens: the files that a kill is sampled from are open before it, when there may be
// no memory for that.
func TestWarmUpOpens(t *testing.T) {
	s := liveStages(t, StageOptions{})
	if err := s.warmUp(t.Context(), "json"); err != nil {
		t.Fatal(err)
	}
	runtime.GC() // ends what nothing holds any more
	runtime.GC()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	rec := madeUpKill(oom.ScopeSystem)
	rec.Memory = nil
	s.sampler.Record(rec)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if rec.Memory == nil || !rec.Memory.SwapTotalBytes.Known {
		t.Errorf("%+v", rec.Memory)
	}
}

// failing is an output that always fails.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestSinkFails(t *testing.T) {
	gone := errors.New("gone")
	for _, format := range []string{"json", "text", "wide"} {
		if err := sinkOnly(Output{To: failing{gone}, Format: format}, false)(context.Background(), madeUpKill(oom.ScopeSystem)); !errors.Is(err, gone) {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func sinkOnly(o Output, noWhy bool) pipeline.Sink {
	sink, _ := o.sink(noWhy)
	return sink
}
