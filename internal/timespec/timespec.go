// Package timespec reads points in time as journalctl's --since and --until take them
// (systemd.time(7)).
package timespec

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrFormat is the error of a text that is no point in time.
var ErrFormat = errors.New("not a point in time")

// Parse reads a point in time; now is what relative ones rest on, and its location is the
// zone of those without one.
func Parse(s string, now time.Time) (time.Time, error) {
	text := strings.TrimSpace(s)
	switch text {
	case "":
		return time.Time{}, fmt.Errorf("%q: %w", s, ErrFormat)
	case "now":
		return now, nil
	}
	if seconds, ok := strings.CutPrefix(text, "@"); ok {
		return unix(s, seconds)
	}
	if ago, ok := strings.CutSuffix(text, " ago"); ok {
		return relative(s, ago, now, -1)
	}
	if left, ok := strings.CutSuffix(text, " left"); ok {
		return relative(s, left, now, 1)
	}
	switch text[0] {
	case '-':
		return relative(s, text[1:], now, -1)
	case '+':
		return relative(s, text[1:], now, 1)
	}
	return absolute(s, text, now)
}

// unix reads seconds since 1970.
func unix(s, seconds string) (time.Time, error) {
	v, err := strconv.ParseFloat(seconds, 64)
	if err != nil || !(v >= 0 && v <= 1<<37) {
		return time.Time{}, fmt.Errorf("%q: %w", s, ErrFormat)
	}
	return time.UnixMicro(int64(v * 1e6)), nil
}

func relative(s, span string, now time.Time, sign time.Duration) (time.Time, error) {
	d, err := Span(span)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q: %w", s, ErrFormat)
	}
	return now.Add(sign * d), nil
}

// absolute reads a date, a time of today, or both, with or without a zone, which today is of.
func absolute(s, text string, now time.Time) (time.Time, error) {
	zone := now.Location()
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	if utc, ok := strings.CutSuffix(text, " UTC"); ok {
		text, zone = utc, time.UTC
	} else if at := strings.LastIndexByte(text, ' '); at > 0 && strings.ContainsRune(text[at:], '/') {
		named, err := time.LoadLocation(text[at+1:])
		if err != nil {
			return time.Time{}, fmt.Errorf("%q: %w", s, ErrFormat)
		}
		text, zone = text[:at], named
	}
	now = now.In(zone)
	day := func(n int) time.Time { return time.Date(now.Year(), now.Month(), now.Day()+n, 0, 0, 0, 0, zone) }
	switch text {
	case "today":
		return day(0), nil
	case "yesterday":
		return day(-1), nil
	case "tomorrow":
		return day(1), nil
	}
	// A weekday may stand before; what it says is not checked.
	if day, rest, ok := strings.Cut(text, " "); ok && weekday.MatchString(day) {
		text = rest
	}
	text = strings.Replace(text, "T", " ", 1)
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "06-01-02 15:04:05", "06-01-02 15:04", "06-01-02"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q: %w", s, ErrFormat)
}

var (
	weekday = regexp.MustCompile(`^(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?$`)
	part    = regexp.MustCompile(`^\s*(\d+(?:\.\d+)?)\s*([a-zA-Zµμ]*)\s*`)
)

// unit is the length of one of systemd's units; a number alone is in seconds.
func unit(name string) time.Duration {
	const day = 24 * time.Hour
	switch name {
	case "us", "µs", "μs", "usec":
		return time.Microsecond
	case "ms", "msec":
		return time.Millisecond
	case "", "s", "sec", "second", "seconds":
		return time.Second
	case "m", "min", "minute", "minutes":
		return time.Minute
	case "h", "hr", "hour", "hours":
		return time.Hour
	case "d", "day", "days":
		return day
	case "w", "week", "weeks":
		return 7 * day
	case "M", "month", "months":
		return 2629800 * time.Second // 30.44 days
	case "y", "year", "years":
		return 31557600 * time.Second // 365.25 days
	}
	return 0
}

// Span reads a time span, such as 2h or "1h 30min".
func Span(s string) (time.Duration, error) {
	rest, sum := s, time.Duration(0)
	for rest != "" {
		m := part.FindStringSubmatch(rest)
		if m == nil {
			return 0, fmt.Errorf("%q: %w", s, ErrFormat)
		}
		n, err := strconv.ParseFloat(m[1], 64)
		u := unit(m[2])
		if err != nil || u == 0 || n*float64(u)+float64(sum) > 1<<62 {
			return 0, fmt.Errorf("%q: %w", s, ErrFormat)
		}
		sum += time.Duration(n * float64(u))
		rest = rest[len(m[0]):]
	}
	if strings.TrimSpace(s) == "" {
		return 0, fmt.Errorf("%q: %w", s, ErrFormat)
	}
	return sum, nil
}
