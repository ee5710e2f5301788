// Package scan takes numbers and words off the front of the kernel's text, without
// allocating.
package scan

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// SkipSpaces takes blanks and tabs off the front.
func SkipSpaces(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// TrimEnd takes blanks and line ends off the end.
func TrimEnd(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t' || b[len(b)-1] == '\r' || b[len(b)-1] == '\n') {
		b = b[:len(b)-1]
	}
	return b
}

// IsDigit says whether this is a decimal digit.
func IsDigit(c byte) bool { return c >= '0' && c <= '9' }

// Uint takes a decimal number off the front.
func Uint(b []byte) (v uint64, rest []byte, ok bool) {
	const most = math.MaxUint64 / 10
	i := 0
	for ; i < len(b) && IsDigit(b[i]); i++ {
		d := uint64(b[i] - '0')
		if v > most || v == most && d > math.MaxUint64%10 {
			return 0, b, false
		}
		v = v*10 + d
	}
	return v, b[i:], i > 0
}

// Int32 takes a decimal number with an optional minus off the front.
func Int32(b []byte) (int32, []byte, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	v, rest, ok := Uint(b)
	if !ok || v > math.MaxInt32 {
		return 0, b, false
	}
	if neg {
		return -int32(v), rest, true
	}
	return int32(v), rest, true
}

// PID takes a process id off the front: there is none above 2^22
// (PID_MAX_LIMIT), but who knows.
func PID(b []byte) (int32, []byte, bool) {
	if len(b) > 0 && b[0] == '-' {
		return 0, b, false
	}
	return Int32(b)
}

// Hex takes a number with "0x" off the front.
func Hex(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != '0' || b[1] != 'x' {
		return 0, b, false
	}
	i := 2
	for ; i < len(b) && i < 18; i++ {
		d, ok := HexDigit(b[i])
		if !ok {
			break
		}
		v = v<<4 | uint64(d)
	}
	return v, b[i:], i > 2
}

// HexDigit is the value of a hexadecimal digit.
func HexDigit(c byte) (byte, bool) {
	switch {
	case IsDigit(c):
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// Field cuts the first word off, and the spaces before it.
func Field(b []byte) (field, rest []byte) {
	b = SkipSpaces(b)
	for i, c := range b {
		if c == ' ' || c == '\t' {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// After returns what follows the first mark.
func After(b []byte, mark string) ([]byte, bool) {
	i := bytes.Index(b, []byte(mark))
	if i < 0 {
		return nil, false
	}
	return b[i+len(mark):], true
}

// HasPrefix is bytes.HasPrefix for a string.
func HasPrefix(b []byte, p string) bool { return len(b) >= len(p) && string(b[:len(p)]) == p }

// Contains is bytes.Contains for a string.
func Contains(b []byte, s string) bool { return bytes.Contains(b, []byte(s)) }

// Kilobytes turns a printed kB value into bytes; what overflows is unknown.
func Kilobytes(v uint64) oom.Opt[uint64] {
	if v > math.MaxUint64>>10 {
		return oom.Opt[uint64]{}
	}
	return oom.Some(v << 10)
}

// Times is so many things of a size; what overflows is unknown, as is all without a size.
func Times(a, size uint64) oom.Opt[uint64] {
	if size == 0 || a > math.MaxUint64/size {
		return oom.Opt[uint64]{}
	}
	return oom.Some(a * size)
}

// Sum is known when every part is and the sum fits.
func Sum(parts ...oom.Opt[uint64]) oom.Opt[uint64] {
	var s uint64
	for _, v := range parts {
		if !v.Known || s+v.Value < s {
			return oom.Opt[uint64]{}
		}
		s += v.Value
	}
	return oom.Some(s)
}

// maxText is of a name or path that is kept.
const maxText = 4096

// Keep copies a name or path as valid text, and bounds it.
func Keep(b []byte) string {
	if len(b) > maxText {
		b = b[:maxText]
	}
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

// First is the first byte, 0 for none.
func First(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}
