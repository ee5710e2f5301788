package render

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// appendClean appends s with everything neutralised that could act on a
// terminal or break a line: control characters, bidirectional overrides and
// other format characters, and bytes that are no UTF-8 appear as \xNN or \u....
// Names of processes and cgroups are chosen by those who run them.
func appendClean(dst []byte, s string) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1, r < ' ', r == 0x7f:
			dst = append(dst, '\\', 'x', hexDigit(s[0]>>4), hexDigit(s[0]))
		case r == '\\':
			dst = append(dst, '\\', '\\')
		case r < utf8.RuneSelf || (unicode.IsPrint(r) && !unicode.Is(unicode.Cf, r)):
			dst = append(dst, s[:n]...)
		default:
			dst = append(dst, '\\', 'u')
			h := strconv.FormatInt(int64(r), 16)
			for i := len(h); i < 4; i++ {
				dst = append(dst, '0')
			}
			dst = append(dst, h...)
		}
		s = s[n:]
	}
	return dst
}

func hexDigit(b byte) byte { return "0123456789abcdef"[b&15] }

func clean(s string) string { return string(appendClean(nil, s)) }

// width is the number of columns that cleaned text takes: East Asian wide
// characters take two.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// runeWidth follows Unicode's East Asian Width for what names are made of;
// combining marks take no column.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60,
		r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
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
	return "…" + string(runes[i:])
}

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
