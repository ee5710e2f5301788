package render

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean is s with everything neutralised that could act on a
// terminal or break a line: control characters, bidirectional overrides and
// other format characters, what shows nothing, combining marks without end or
// without a character of the name's own before them, and bytes that are no UTF-8
// appear as \xNN or \u.... So does in ASCII what asASCII has no character for:
// names that differ shall look so. Names of processes and cgroups are chosen by
// those who run them.
func clean(s string, ascii bool) string {
	const most = 4 // marks that a language puts on one character
	dst, room := make([]byte, 0, len(s)), 0
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		before := len(dst)
		switch mark := runeWidth(r) == 0; {
		case mark && room == 0, ascii && n > 1 && r != '…' && r != 'µ':
			dst = fmt.Appendf(dst, `\u%04x`, r)
		case mark:
			room--
			dst = appendCleanRune(dst, r, s[:n])
		case r == '\\':
			dst = append(dst, `\\`...)
		default:
			room = most
			dst = appendCleanRune(dst, r, s[:n])
		}
		if r == ' ' || len(dst) > before+n { // no character of its own, as an escape is none
			room = 0
		}
		s = s[n:]
	}
	return string(dst)
}

// appendCleanRune appends one character, of which raw are the bytes.
func appendCleanRune(dst []byte, r rune, raw string) []byte {
	switch {
	case r == utf8.RuneError && len(raw) == 1, r < ' ', r == 0x7f:
		return fmt.Appendf(dst, `\x%02x`, raw[0])
	case r < utf8.RuneSelf || unicode.IsPrint(r) && !hidden(r):
		return append(dst, raw...)
	}
	return fmt.Appendf(dst, `\u%04x`, r)
}

// asASCII writes cleaned text in as many columns. A terminal that is not UTF-8's may obey single
// bytes of other characters.
func asASCII(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r <= unicode.MaxASCII:
			b.WriteRune(r)
		case r == '…':
			b.WriteByte('~')
		case r == 'µ':
			b.WriteByte('u')
		default:
			b.WriteString(strings.Repeat("?", runeWidth(r)))
		}
	}
	return b.String()
}

// hidden says whether a character shows nothing, though it may be a letter or a mark.
func hidden(r rune) bool {
	const blankBraille = 0x2800
	return r == blankBraille ||
		unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Message makes one line of a text for people that has words of others in it:
// library errors can span several, file names hold anything. A backslash stays
// one, since quoted names in it have theirs already.
func Message(s string) string {
	dst := make([]byte, 0, len(s))
	for s = strings.TrimRight(s, "\n"); len(s) > 0; {
		r, n := utf8.DecodeRuneInString(s)
		if r == '\n' || r == '\t' {
			dst = append(dst, ' ')
		} else {
			dst = appendCleanRune(dst, r, s[:n])
		}
		s = s[n:]
	}
	return string(dst)
}

// width is the number of columns that cleaned text takes: East Asian wide
// characters take two.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// runeWidth follows Unicode's East Asian Width; combining marks take no column.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// wide are the characters of two columns: W and F in Unicode's
// EastAsianWidth.txt. Gaps of unassigned ones are closed, since those are never
// written out.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1}, {0x231a, 0x231b, 1}, {0x2329, 0x232a, 1}, {0x23e9, 0x23ec, 1},
		{0x23f0, 0x23f3, 3}, {0x25fd, 0x25fe, 1}, {0x2614, 0x2615, 1}, {0x2648, 0x2653, 1},
		{0x267f, 0x2693, 20}, {0x26a1, 0x26aa, 9}, {0x26ab, 0x26ab, 1}, {0x26bd, 0x26be, 1},
		{0x26c4, 0x26c5, 1}, {0x26ce, 0x26d4, 6}, {0x26ea, 0x26f2, 8}, {0x26f3, 0x26f5, 2},
		{0x26fa, 0x26fd, 3}, {0x2705, 0x270a, 5}, {0x270b, 0x2728, 29}, {0x274c, 0x274e, 2},
		{0x2753, 0x2755, 1}, {0x2757, 0x2757, 1}, {0x2795, 0x2797, 1}, {0x27b0, 0x27bf, 15},
		{0x2b1b, 0x2b1c, 1}, {0x2b50, 0x2b55, 5}, {0x2e80, 0x303e, 1}, {0x3040, 0xa4cf, 1},
		{0xa960, 0xa97c, 1}, {0xac00, 0xd7a3, 1}, {0xf900, 0xfaff, 1}, {0xfe10, 0xfe6f, 1},
		{0xff00, 0xff60, 1}, {0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{
		{0x16fe0, 0x18d08, 1}, {0x1aff0, 0x1b2fb, 1}, {0x1f004, 0x1f0cf, 203}, {0x1f18e, 0x1f18e, 1},
		{0x1f191, 0x1f19a, 1}, {0x1f200, 0x1faff, 1}, {0x20000, 0x3fffd, 1},
	},
}

// cutLeft keeps the end of s in n columns, cutRight its beginning; "…" stands
// for what is left out.
func cutLeft(s string, n int) string {
	if width(s) <= n {
		return s
	}
	runes := []rune(s)
	used := 1
	i := len(runes)
	for i > 0 && used+runeWidth(runes[i-1]) <= n {
		i--
		used += runeWidth(runes[i])
	}
	for i < len(runes) && runeWidth(runes[i]) == 0 { // of the character that is left out
		i++
	}
	return "…" + string(runes[i:])
}

// pad fills s with blanks up to n columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(n-width(s), 0)) }

func cutRight(s string, n int) string {
	if width(s) <= n {
		return s
	}
	used := 1
	for i, r := range s {
		if used+runeWidth(r) > n {
			return s[:i] + "…"
		}
		used += runeWidth(r)
	}
	return s
}
