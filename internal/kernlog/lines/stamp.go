package lines

import (
	"bytes"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// uptime reads "  123.456789", also with "dmesg -d"'s "<    0.000012>" after it.
func uptime(b []byte) (ns uint64, ok bool) {
	b = scan.SkipSpaces(b)
	sec, rest, ok := scan.Uint(b)
	if !ok || len(rest) < 2 || rest[0] != '.' || sec > math.MaxInt64/1_000_000_000-1 {
		return 0, false
	}
	nanos, n := fraction(rest[1:])
	if n == 0 || n > 9 {
		return 0, false
	}
	rest = scan.SkipSpaces(rest[1+n:])
	if len(rest) > 1 && rest[0] == ',' && scan.IsDigit(rest[1]) { // the CPU, as some phones have it
		_, rest, _ = scan.Uint(rest[1:])
	}
	if len(rest) > 0 && rest[0] != '<' && string(rest) != "s" { // HiSilicon's has the unit
		return 0, false
	}
	return sec*1e9 + uint64(nanos), true
}

// fraction reads the digits behind a second's point.
func fraction(b []byte) (nanos, n int) {
	for unit := 100_000_000; n < len(b) && scan.IsDigit(b[n]); n++ {
		nanos += int(b[n]-'0') * unit
		unit /= 10
	}
	return nanos, n
}

// parseISO reads "2025-11-24T01:02:03.123456+01:00" with its usual variants.
func parseISO(b []byte, loc *time.Location) (t time.Time, rest []byte, ok bool) {
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != ' ' {
		return t, b, false
	}
	year, ok := digits(b[:4])
	mon, ok2 := digits(b[5:7])
	day, ok3 := digits(b[8:10])
	h, m, s, ok4 := clock(b[11:])
	if !ok || !ok2 || !ok3 || !ok4 {
		return t, b, false
	}
	rest, nanos := b[19:], 0
	if len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') {
		var n int
		if nanos, n = fraction(rest[1:]); n > 0 {
			rest = rest[1+n:]
		}
	}
	loc, rest = zone(rest, loc)
	return time.Date(year, time.Month(mon), day, h, m, s, nanos, loc), rest, true
}

// canBeWritten says whether a time has a form in RFC 3339. A clock that was not set, or what
// no clock says, is none.
func canBeWritten(t time.Time) bool {
	const day = 24 * 3600
	_, offset := t.Zone()
	return t.Year() >= 1 && t.Year() <= 9999 && offset < day && offset > -day
}

// zone reads "Z", "+0100" or "+01:00".
func zone(b []byte, loc *time.Location) (*time.Location, []byte) {
	if len(b) > 0 && b[0] == 'Z' {
		return time.UTC, b[1:]
	}
	if len(b) < 5 || b[0] != '+' && b[0] != '-' {
		return loc, b
	}
	hours, ok := digits(b[1:3])
	rest := bytes.TrimPrefix(b[3:], []byte(":"))
	minutes, ok2 := digits(rest[:min(2, len(rest))])
	if !ok || !ok2 || len(rest) < 2 {
		return loc, b
	}
	offset := hours*3600 + minutes*60
	if offset == 0 {
		return time.UTC, rest[2:]
	}
	if b[0] == '-' {
		offset = -offset
	}
	return time.FixedZone("", offset), rest[2:]
}

func digits(b []byte) (int, bool) {
	v := 0
	for _, c := range b {
		if !scan.IsDigit(c) && c != ' ' {
			return 0, false
		}
		if c != ' ' {
			v = v*10 + int(c-'0')
		}
	}
	return v, len(b) > 0
}

// clock reads "01:02:03".
func clock(b []byte) (h, m, s int, ok bool) {
	if len(b) < 8 || b[2] != ':' || b[5] != ':' {
		return 0, 0, 0, false
	}
	h, ok1 := digits(b[0:2])
	m, ok2 := digits(b[3:5])
	s, ok3 := digits(b[6:8])
	return h, m, s, ok1 && ok2 && ok3
}

// stamp3164 reads "Nov 24 01:02:03" and "Nov 24 01:02:03.123456". Where the word before the day
// is no month that is known, the time is not either. l is what is known of the line so far.
func (x *prefixes) stamp3164(l *Line, b []byte) (t time.Time, rest []byte, known, ok bool) {
	name := bytes.IndexByte(b[:min(len(b), longestMonth+1)], ' ')
	if name < 3 {
		return t, b, false, false
	}
	day, rest, ok := scan.Uint(scan.SkipSpaces(b[name:]))
	if !ok || day < 1 || day > 31 || len(rest) < len(" 01:02:03 ") || rest[0] != ' ' {
		return t, b, false, false
	}
	h, m, s, ok := clock(rest[1:])
	if !ok {
		return t, b, false, false
	}
	mon, known := month(b[:name])
	if !known && !isWord(b[:name]) {
		return t, b, false, false
	}
	rest = rest[len(" 01:02:03"):]
	nanos, n := 0, 0
	if rest[0] == '.' {
		nanos, n = fraction(rest[1:])
		rest = rest[1+n:]
	}
	if known {
		t = x.withYear(l, mon, int(day), h, m, s, nanos)
	}
	return t, scan.SkipSpaces(rest), known, true
}

// isWord says whether there are only letters, and perhaps a full stop behind them.
func isWord(b []byte) bool {
	return !bytes.ContainsFunc(bytes.TrimSuffix(b, []byte(".")), func(r rune) bool {
		return r < utf8.RuneSelf && !isLetter(byte(r))
	})
}

// withYear finds the year of a stamp without one: the latest that is not after what the line is kept
// in, if that has a full time. Else as given for the first stamp and one more whenever the months begin
// anew; else the latest that does not lie in the future.
func (x *prefixes) withYear(l *Line, mon time.Month, day, h, m, s, nanos int) time.Time {
	latest := x.around
	if !l.Time.IsZero() {
		latest = l.Time
	}
	if latest.IsZero() && x.o.Year != 0 {
		year := x.years.of(x.o.Year, mon, day)
		t, ok := x.onDay(year, mon, day, h, m, s, nanos)
		if year > x.o.Year && t.Sub(x.o.Now()) > nextDay { // lines of many hosts are not in order
			x.years.last.year--
			t, ok = x.onDay(year-1, mon, day, h, m, s, nanos)
		}
		if !ok {
			return time.Time{}
		}
		return t
	}
	if latest.IsZero() {
		latest = x.o.Now()
	}
	for back := range leapYears {
		if t, ok := x.onDay(latest.Year()+1-back, mon, day, h, m, s, nanos); ok && t.Sub(latest) <= nextDay {
			return t
		}
	}
	return time.Time{}
}

// nextDay is how far a stamp may be ahead of a clock in another zone.
const nextDay = 24 * time.Hour

// years follows the year of stamps without one.
type years struct {
	last   date
	turned bool // it began anew in the last stamp's month
}

type date struct {
	year  int
	month time.Month
	day   int
}

// of is a stamp's year; first is that of the log's first. In the first days of a year, lines of
// another host, or late ones, may still be of the last days of the year before.
func (y *years) of(first int, mon time.Month, day int) int {
	year, last := y.last.year, y.last
	switch ahead := mon - last.month; {
	case last.month == 0:
		year = first
	case ahead < -6:
		year++
		y.turned = true
	case y.turned && ahead == 11 && last.day <= 7 && day >= 25:
		return year - 1
	case ahead != 0:
		y.turned = false
	}
	y.last = date{year, mon, day}
	return year
}

// leapYears is among how many years in a row, and the next one, one has the 29th of February.
const leapYears = 10

// onDay is a time on a day; false when that year has no such day.
func (x *prefixes) onDay(year int, mon time.Month, day, h, m, s, nanos int) (time.Time, bool) {
	t := time.Date(year, mon, day, h, m, s, nanos, x.o.Location)
	if t.Day() != day {
		return time.Time{}, false
	}
	return t, true
}

// ctime reads "Mon Nov 24 01:02:03 2025" (dmesg -T), from its end: the names of
// days and months follow the locale.
func (x *prefixes) ctime(l *Line, b []byte) bool {
	b = bytes.TrimRight(b, " ")
	if i := bytes.IndexByte(b, '<'); i > 0 { // dmesg -T -d
		b = bytes.TrimRight(b[:i], " ")
	}
	n := len(b)
	if i := n - len("2024 01:02:03"); i > 0 && b[i-1] == ' ' && b[n-9] == ' ' { // Dutch and German dates
		b = slices.Concat(b[:i], b[n-8:], b[i+4:i+5], b[i:i+4])
	}
	var zone []byte
	if n > 20 && b[n-5] == ' ' && b[n-6] >= 'A' && b[n-6] <= 'Z' { // crash's log -T
		i := bytes.LastIndexByte(b[:n-5], ' ')
		zone = b[i+1 : n-5]
		b = append(bytes.Clone(b[:max(i, 0)]), b[n-5:]...)
		n = len(b)
	}
	if n < 16 || b[n-5] != ' ' || b[n-14] != ' ' {
		return false
	}
	year, ok := digits(b[n-4:])
	h, m, s, ok2 := clock(b[n-13 : n-5])
	if !ok || !ok2 || year < 1970 {
		return false
	}
	head := bytes.Fields(b[:n-14])
	if len(head) < 2 {
		return true // a stamp, but not one that can be read
	}
	first, second := head[len(head)-2], head[len(head)-1]
	if !scan.IsDigit(second[0]) { // in many locales the day is first: "ven. 7 mars"
		first, second = second, first
	}
	day, ok := digits(bytes.TrimSuffix(second, []byte(".")))
	mon, ok2 := month(first)
	if ok && ok2 {
		if l.Time = time.Date(year, mon, day, h, m, s, 0, x.o.Location); len(zone) > 0 {
			l.Time = inZone(l.Time, zone)
		}
	}
	return true
}

// ctimeShort reads "Mon Nov 24 01:02:03" and "Nov 24 01:02:03", of which the year is left out.
func (x *prefixes) ctimeShort(l *Line, b []byte) bool {
	if len(b) > 32 || bytes.Count(b, []byte(":")) != 2 {
		return false
	}
	for range 2 { // the day of the week
		if t, rest, known, ok := x.stamp3164(l, append(bytes.Clone(b), ' ')); ok && known && len(rest) == 0 {
			l.Time = t
			return true
		}
		_, b = scan.Field(b)
	}
	return false
}

// humanTime reads dmesg -H's "Nov24 01:02" and "  +0.000123" after it.
func (x *prefixes) humanTime(l *Line, b []byte) bool {
	b = scan.SkipSpaces(b)
	if len(b) > 1 && b[0] == '+' {
		delta, ok := uptime(b[1:])
		if ok && !x.human.IsZero() && delta < math.MaxInt64 {
			x.human = x.human.Add(time.Duration(delta))
			l.Time = x.human
		}
		return ok
	}
	name := len(b) - len("24 01:02")
	if name < 3 || b[name+2] != ' ' || b[name+5] != ':' {
		return false
	}
	mon, ok := month(b[:name])
	day, ok2 := digits(b[name : name+2])
	h, ok3 := digits(b[name+3 : name+5])
	m, ok4 := digits(b[name+6:])
	if !ok || !ok2 || !ok3 || !ok4 {
		return false
	}
	x.human = x.withYear(l, mon, day, h, m, 0, 0)
	l.Time = x.human
	return true
}
