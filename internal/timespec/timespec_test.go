package timespec

import (
	"errors"
	"testing"
	"time"
	_ "time/tzdata" // zones, also where the system has none
)

func TestParse(t *testing.T) {
	zone := time.FixedZone("", 3600)
	now := time.Date(2026, 11, 26, 17, 5, 9, 5, zone)
	at := func(mo time.Month, d, h, m, s int) time.Time { return time.Date(2026, mo, d, h, m, s, 0, zone) }
	for _, tt := range []struct {
		text string
		want time.Time
	}{
		{"2026-11-26 03:00", at(11, 26, 3, 0, 0)}, {"2026-11-26 03:00:07", at(11, 26, 3, 0, 7)}, {"2026-11-25", at(11, 25, 0, 0, 0)},
		{"26-11-25", at(11, 25, 0, 0, 0)}, {"03:00", at(11, 26, 3, 0, 0)}, {"03:00:07", at(11, 26, 3, 0, 7)}, {"now", now},
		{"today", at(11, 26, 0, 0, 0)}, {"yesterday", at(11, 25, 0, 0, 0)}, {"tomorrow", at(11, 27, 0, 0, 0)},
		{"-2h", now.Add(-2 * time.Hour)}, {"+1h30min", now.Add(90 * time.Minute)}, {"-2days", now.Add(-48 * time.Hour)}, {"2 hours ago", now.Add(-2 * time.Hour)},
		{"1h left", now.Add(time.Hour)}, {"-90", now.Add(-90 * time.Second)}, {"-1.5h", now.Add(-90 * time.Minute)}, {" -1w ", now.Add(-168 * time.Hour)},
		{"@1700000000", time.Unix(1700000000, 0)}, {"@1700000000.5", time.Unix(1700000000, 5e8)},
		{"2026-11-26T03:00:00Z", time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)}, {"2026-11-26T03:00:00.25+01:00", at(11, 26, 3, 0, 0).Add(250 * time.Millisecond)},
		{"2026-11-26 03:00 UTC", time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)}, {"Thu 2026-11-26 03:00", at(11, 26, 3, 0, 0)},
		{"2026-11-26 03:00:01.25", at(11, 26, 3, 0, 1).Add(250 * time.Millisecond)},
	} {
		got, err := Parse(tt.text, now)
		if err != nil || !got.Equal(tt.want) {
			t.Errorf("%q: got %v, %v; want %v", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"", " ", "soon", "-", "+", "-2q", "2026-13-01", "25:00", "@x", "@-5", "@nan", "@inf", "@137438953473", "-1h x", "ago", " ago", "-99999999999999y", "12:00 Mars/Base"} {
		if got, err := Parse(text, now); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

// TestParseZones: the date is that of the zone, now.
func TestParseZones(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	auckland, err := time.LoadLocation("Pacific/Auckland")
	if err != nil {
		t.Fatal(err)
	}
	noon, night := time.Date(2026, 11, 26, 12, 0, 0, 0, berlin), time.Date(2026, 11, 26, 0, 30, 0, 0, berlin)
	for _, tt := range []struct {
		text string
		now  time.Time
		want time.Time
	}{
		{"03:00 UTC", noon, time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)},
		{"03:00 UTC", night, time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)},
		{"03:00:07 Europe/Berlin", noon.UTC(), time.Date(2026, 11, 26, 3, 0, 7, 0, berlin)},
		{"03:00 Pacific/Auckland", noon, time.Date(2026, 11, 27, 3, 0, 0, 0, auckland)},
		{"today UTC", noon, time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)},
		{"yesterday UTC", noon, time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)},
		{"yesterday UTC", night, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)},
		{"tomorrow Pacific/Auckland", noon, time.Date(2026, 11, 28, 0, 0, 0, 0, auckland)},
		// The day of the change is 25 hours long.
		{"yesterday", time.Date(2026, 10, 26, 0, 30, 0, 0, berlin), time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC)},
	} {
		got, err := Parse(tt.text, tt.now)
		if err != nil || !got.Equal(tt.want) {
			t.Errorf("%q at %v: got %v, %v; want %v", tt.text, tt.now, got, err, tt.want)
		}
	}
	for _, text := range []string{"now UTC", "-2h UTC", "UTC", "today Mars/Base"} {
		if got, err := Parse(text, noon); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"-2h", "2026-11-26 03:00", "yesterday", "@1", "1h 30min ago"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := Parse(s, time.Unix(1e9, 0)); err != nil && !errors.Is(err, ErrFormat) {
			t.Error(err)
		}
	})
}
