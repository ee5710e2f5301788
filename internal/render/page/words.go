package page

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// visible shows what would act on the reader's eye rather than be read: control and
// format characters, such as those that turn the direction of text, what shows nothing, and
// combining marks that have no character of the text's own before them or are more than a
// language puts on one appear as \u....
func visible(s string) string {
	const most = 4 // marks
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return invisible(r) || isMark(r) }) < 0 {
		return s
	}
	var b strings.Builder
	room := 0
	for _, r := range s {
		mark := isMark(r)
		if mark && room == 0 || invisible(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
			room = 0
			continue
		}
		b.WriteRune(r) // U+FFFD for what is not UTF-8
		switch {
		case mark:
			room--
		case r == ' ':
			room = 0
		default:
			room = most
		}
	}
	return b.String()
}

func invisible(r rune) bool {
	const blankBraille = 0x2800
	if r >= ' ' && r < 0x7f {
		return false // as nearly all are
	}
	return r == blankBraille || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func isMark(r rune) bool { return r >= 0x300 && unicode.In(r, unicode.Mn, unicode.Me) }

// text is the one way of a record's words into HTML that no template wrote.
func text(s string) template.HTML {
	return template.HTML(template.HTMLEscapeString(visible(s))) //nolint:gosec // escaped
}

// mono is text in the font of code.
func mono(s string) template.HTML { return "<code>" + text(s) + "</code>" }

// prose shows `code` in backticks as such.
func prose(s string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(s, "`") {
		if i%2 == 1 {
			b.WriteString(string(mono(part)))
		} else {
			b.WriteString(string(text(part)))
		}
	}
	return template.HTML(b.String()) //nolint:gosec // each part is escaped
}

// size is a number of bytes for a person, with the exact one beside it.
func size(n uint64) template.HTML {
	return template.HTML(fmt.Sprintf(`<data value="%d" title="%s bytes">%s</data>`, n, grouped(n), short(n))) //nolint:gosec // digits
}

// sizeOpt is size, or a dash.
func sizeOpt(v oom.Opt[uint64]) template.HTML {
	if !v.Known {
		return dash
	}
	return size(v.Value)
}

// dash stands for what the record does not hold.
const dash template.HTML = `<span class="none" title="not in the record">–</span>`

func signed(v oom.Opt[int64]) template.HTML {
	switch {
	case !v.Known:
		return dash
	case v.Value < 0:
		return "−" + size(uint64(-v.Value))
	}
	return "+" + size(uint64(v.Value))
}

// short is a size in binary units: one decimal below ten, none above.
func short(n uint64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	exp := (bits.Len64(n) - 1) / 10
	v := float64(n) / float64(uint64(1)<<(10*exp))
	if math.Round(v) >= 1024 && exp < len(units)-1 {
		v, exp = v/1024, exp+1
	}
	decimals := 0
	if tenths := math.Round(v * 10); tenths < 100 && math.Mod(tenths, 10) != 0 {
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + units[exp]
}

// grouped writes a number with its digits in threes.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

func number[T int32 | int64 | uint32 | uint64](v oom.Opt[T]) template.HTML {
	if !v.Known {
		return dash
	}
	return template.HTML(fmt.Sprint(v.Value)) //nolint:gosec // a number
}

// span is a duration with two or three significant digits.
func span(ns uint64) string {
	d := time.Duration(min(ns, math.MaxInt64))
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return strings.TrimSuffix(strconv.FormatFloat(d.Seconds(), 'f', 1, 64), ".0") + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(math.Round(d.Minutes())))
	case d < 48*time.Hour:
		return strings.TrimSuffix(strconv.FormatFloat(d.Hours(), 'f', 1, 64), ".0") + " h"
	}
	return fmt.Sprintf("%d days", int(math.Round(d.Hours()/24)))
}

func duration(v oom.Opt[uint64]) template.HTML {
	if !v.Known {
		return dash
	}
	return template.HTML(fmt.Sprintf(`<data value="%d" title="%s ns">%s</data>`, v.Value, grouped(v.Value), span(v.Value))) //nolint:gosec // digits
}

// percent is part of whole, neither 0 of something nor 100 of less than all.
func percent(part, whole uint64) string {
	if whole == 0 {
		return ""
	}
	p := math.Round(100 * float64(part) / float64(whole))
	switch {
	case part > 0 && p == 0:
		return "<1 %"
	case part < whole && p >= 100:
		p = 99
	}
	return fmt.Sprintf("%.0f %%", p)
}

// process is a name with its id.
func process(comm string, pid oom.Opt[int32]) string {
	comm = cmp.Or(comm, "?")
	if pid.Known {
		return fmt.Sprintf("%s (%d)", comm, pid.Value)
	}
	return comm
}
