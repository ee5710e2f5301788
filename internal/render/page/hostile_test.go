package page

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestTimesFarApart: times that are centuries apart have their places, and one that is in
// no such century is said to have none.
func TestTimesFarApart(t *testing.T) {
	var records []*oom.Record
	for _, year := range []int{1700, 1900, 2200, 9999} {
		records = append(records, &oom.Record{
			Schema: 1, ID: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).String(), Kind: oom.KindKill, Time: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC),
		})
	}
	out := render(t, records...)
	for _, want := range []string{"1700-01-01 00:00", "2200-01-01 00:00", "1 without a time are not in the picture."} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
}

// TestDeepJSON: what another version nests deeply is not indented as deeply.
func TestDeepJSON(t *testing.T) {
	const deep = 5000
	of := func(n int) int {
		rec := &oom.Record{Schema: 1, ID: "a", Kind: oom.KindKill, Unknown: []byte(`{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`)}
		return len(render(t, rec))
	}
	if shallow, n := of(1), of(deep); n > shallow+4*deep {
		t.Errorf("%d bytes, %d without the nesting", n, shallow)
	}
	for text, want := range map[string]int{`{}`: 1, `{"a":[1,{"b":2}],"c":{}}`: 3, `{"a[{":"\"[{"}`: 1, `7`: 0} {
		if got := nesting([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

// TestTicks: steps of 1, 2 and 5 of a power of ten, five at the most.
func TestTicks(t *testing.T) {
	for span, want := range map[uint64][]uint64{
		60e9:  {20e9, 40e9, 60e9},
		45e9:  {10e9, 20e9, 30e9, 40e9},
		7e9:   {2e9, 4e9, 6e9},
		1e9:   {200e6, 400e6, 600e6, 800e6, 1000e6},
		250e3: {100e3, 200e3},
	} {
		if got := (&chart{spanNS: span}).ticks(); !slices.Equal(got, want) {
			t.Errorf("%d ns: %d, want %d", span, got, want)
		}
	}
}

// TestLane: the fullest place of a lane is as high as the lane, whatever its verdicts are.
func TestLane(t *testing.T) {
	at := func(k *kill) (int64, bool) { return int64(k.rec.UptimeNS.Value), true }
	var kills []*kill
	for i, verdict := range []string{"a", "a", "b", "a", "b"} {
		kills = append(kills, &kill{Verdict: verdict, rec: &oom.Record{UptimeNS: oom.Some(uint64(i / 4))}})
	}
	l := drawLane("x", kills, map[string]string{"a": "c0", "b": "c1"}, at, 0, 1)
	var got []string
	for _, b := range l.Bars {
		got = append(got, b.Class+" "+b.X+" "+b.Y+" "+b.H)
	}
	if want := []string{"c0 0 6.5 19", "c1 0 0 6", "c1 99 19.5 6"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestCounters: the biggest first, those of one size as they came, none of zero.
func TestCounters(t *testing.T) {
	var got []string
	for _, c := range counters(oom.Stats{{Name: "b_bytes", Bytes: 1}, {Name: "x_bytes"}, {Name: "c_bytes", Bytes: 2}, {Name: "a_bytes", Bytes: 1}}) {
		got = append(got, c.Name)
	}
	if want := []string{"c", "b", "a"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLanesOfOwners: an owner that is called as the page calls many has a lane of its own, and the
// page's words are told from names.
func TestLanesOfOwners(t *testing.T) {
	var records []*oom.Record
	kill := func(unit string, times int) {
		for range times {
			records = append(records, &oom.Record{
				Schema: 1, ID: "1", Kind: oom.KindKill, UptimeNS: oom.Some(uint64(len(records))), Victim: &oom.Victim{Owner: oom.Owner{Unit: unit}},
			})
		}
	}
	kill("3 others", 9)
	kill("no owner known", 8)
	kill("", 7)
	for i := range maxLanes - 1 {
		kill(string(rune('a'+i)), 3)
	}
	page := render(t, records...)
	for _, want := range []string{
		`<th scope="row">3 others</th><td class="n">9</td>`, `<th scope="row" class="own">3 others</th><td class="n">9</td>`,
		`<th scope="row">no owner known</th><td class="n">8</td>`, `<th scope="row" class="own">no owner known</th><td class="n">7</td>`,
	} {
		if strings.Count(page, want) != 1 {
			t.Errorf("not once: %s", want)
		}
	}
	if n := strings.Count(page, `<td class="lane">`); n != maxLanes {
		t.Errorf("%d lanes", n)
	}
}

// TestAnchors: each kill has its own, whatever the ids of a foreign file are.
func TestAnchors(t *testing.T) {
	used, taken := map[string]bool{}, map[string]bool{"main": true}
	for i, id := range []string{"a-2", "a", "a", "a", "a-3", "", "", "-h", "a-h", "<a.2>", "a.2"} {
		own := anchor(id, i, used)
		if taken[own] || taken["h"+own] {
			t.Errorf("%q: %q is taken", id, own)
		}
		taken[own], taken["h"+own] = true, true
	}
}
