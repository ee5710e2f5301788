package assemble

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/archive"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// place is one that has these logs.
func place(t *testing.T, name string, logs ...string) archive.Place {
	t.Helper()
	p := archive.Place{Name: name}
	for _, file := range write(t, logs...) {
		p.Inputs = append(p.Inputs, archive.Input{Name: file})
	}
	return p
}

// TestRecallLost: that records were lost is no kill.
func TestRecallLost(t *testing.T) {
	const lost = `{"schema":1,"id":"l","kind":"lost","time":"2026-03-14T12:00:00Z","source":"bpf","lost":2}` + "\n"
	const exit = `{"schema":1,"id":"e","kind":"exit","time":"2026-03-14T12:00:01Z","source":"bpf","victim":{"pid":7}}` + "\n"
	const kill = `{"schema":1,"id":"k","kind":"kill","time":"2026-03-14T12:00:02Z","source":"bpf","victim":{"pid":7}}` + "\n"
	for _, tt := range []struct {
		name   string
		places []archive.Place
		from   string
		want   int
	}{
		{"before a kill", []archive.Place{place(t, "a", lost+exit), place(t, "b", kill)}, "b", 1},
		{"beside a kill", []archive.Place{place(t, "a", lost+kill), place(t, "b", kill)}, "a", 2},
		{"alone", []archive.Place{place(t, "a", lost)}, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Recall(t.Context(), RecallOptions{Places: tt.places})
			if err != nil || got.Place != tt.from || len(got.Records) != tt.want || got.Found() != (tt.from != "") {
				t.Errorf("%v, %d records from %q", err, len(got.Records), got.Place)
			}
		})
	}
}

// TestRecallNewest: of too many, the oldest are dropped, in whatever order the files are.
func TestRecallNewest(t *testing.T) {
	start := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	const files, each = 3, maxRecalled
	var got Recalled
	for file := range files {
		for i := range each {
			n := (files-1-file)*each + i
			got.add(&oom.Record{Time: start.Add(time.Duration(n) * time.Second)})
		}
	}
	got.drop()
	first, last := start.Add((files-1)*each*time.Second), start.Add((files*each-1)*time.Second)
	if got.Dropped != (files-1)*each || len(got.Records) != each || !got.Records[0].Time.Equal(first) || !got.Records[each-1].Time.Equal(last) {
		t.Errorf("%d dropped; %d from %v on", got.Dropped, len(got.Records), got.Records[0].Time)
	}
}

// TestRecallProblems: what could not be read is told, be there kills or not; what is not there
// only where there are none.
func TestRecallProblems(t *testing.T) {
	const broken = "\x1f\x8b\x08\x00"
	missing := archive.Place{Name: "missing", Inputs: []archive.Input{{Name: filepath.Join(t.TempDir(), "missing")}}}
	for _, tt := range []struct {
		name     string
		places   []archive.Place
		from     string
		problems int
	}{
		{"beside a good one", []archive.Place{place(t, "a", broken, oneKill)}, "a", 1},
		{"a better place", []archive.Place{place(t, "a", broken), place(t, "b", oneKill), place(t, "c", broken)}, "b", 1},
		{"not there", []archive.Place{missing, place(t, "b", oneKill)}, "b", 0},
		{"none", []archive.Place{missing, place(t, "b", broken, "")}, "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Recall(t.Context(), RecallOptions{Places: tt.places})
			if err != nil || got.Place != tt.from || len(got.Problems) != tt.problems {
				t.Errorf("%v, from %q, problems %q", err, got.Place, got.Problems)
			}
		})
	}
}
