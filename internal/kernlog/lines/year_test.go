package lines

import (
	"strings"
	"testing"
	"time"
)

// TestYears: the year of a stamp without one is that of what the line is kept in; a stamp is not
// of the future.
func TestYears(t *testing.T) {
	now := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	const inner = "Apr 19 10:11:12 h kernel: part one"
	april := time.Date(2024, 4, 19, 10, 11, 12, 0, time.UTC)
	for raw, want := range map[string]time.Time{
		inner:                                                             april.AddDate(2, 0, 0),
		"Nov 28 12:00:00 h kernel: part one":                              time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC),
		"Nov 30 12:00:00 h kernel: part one":                              time.Date(2025, 11, 30, 12, 0, 0, 0, time.UTC),
		"2024-04-19T10:11:13.5Z " + inner:                                 april,
		"2024-04-19T10:11:13.5Z stdout F " + inner:                        april,
		"web-1  | 2024-04-19T10:11:13.5Z " + inner:                        april,
		"[2024-04-19 10:11:13] " + inner:                                  april,
		"2024-04-19T10:11:13+02:00 [Apr 19 10:11:12] part one":            april,
		"2024-12-31T23:59:59Z Jan  1 00:59:59 h kernel: part one":         time.Date(2025, 1, 1, 0, 59, 59, 0, time.UTC),
		"2025-01-01T00:00:01Z Dec 31 23:59:59 h kernel: part one":         time.Date(2024, 12, 31, 23, 59, 59, 0, time.UTC),
		"2025-04-01T00:00:01Z Feb 29 23:59:59 h kernel: part one":         time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC),
		`{"time":"2024-04-19T10:11:13Z","log":"` + inner + `"}`:           april,
		`{"ts":"2024-04-19T10:11:13Z","line":"` + inner + `"}`:            april,
		"2024-04-19T10:11:13Z 04-19 10:11:12.000 [    5.000001] part one": april,
		"[Fr 19. Apr 2024 10:11:12] part one":                             april,
		"[vr 19 apr 2024 10:11:12] part one":                              april,
		"[Fr 19. Apr 10:11:12 2024] part one":                             april,
		"[Fr Apr 19 10:11:12 2024]\tpart one":                             april,
		"2024-04-19T10:11:12Z\tpart one":                                  april,
		"2024-04-19T10:11:13.5Z 2024-04-19T10:11:12Z h kernel: part one":  april,
		"2024-04-19T10:11:13.5Z [Fri Apr 19 10:11:12 2024] part one":      april,
	} {
		if got := timeIn(t, raw, Options{Location: time.UTC, Now: func() time.Time { return now }}); !got.Equal(want) {
			t.Errorf("%q: %v, want %v", raw, got, want)
		}
	}
	log := strings.Repeat("Nov  2 10:00:00 h kernel: part one\nJan  2 10:00:00 g kernel: part one\n", 9)
	to := &list{busy: true}
	r := NewReader(strings.NewReader(log), Options{Location: time.UTC, Year: 2025, Now: func() time.Time { return now }}, words{}, to)
	for r.Step() == nil {
	}
	for _, l := range to.lines {
		if l.Time.Sub(now) > 24*time.Hour {
			t.Errorf("%v is in the future", l.Time)
		}
	}
}

func timeIn(t *testing.T, raw string, o Options) time.Time {
	t.Helper()
	to := &list{busy: true}
	r := NewReader(strings.NewReader(raw+"\n"), o, words{}, to)
	for r.Step() == nil {
	}
	if len(to.lines) != 1 || strings.TrimSpace(string(to.lines[0].Text)) != "part one" {
		t.Errorf("%q: %+v", raw, to.lines)
		return time.Time{}
	}
	return to.lines[0].Time
}
