package kernlog

import (
	"bytes"
	"math"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func skipSpaces(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// cutUint takes a decimal number off the front.
func cutUint(b []byte) (v uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && isDigit(b[i]); i++ {
		d := uint64(b[i] - '0')
		if v > (math.MaxUint64-d)/10 {
			return 0, b, false
		}
		v = v*10 + d
	}
	return v, b[i:], i > 0
}

// cutInt32 takes a decimal number with an optional minus off the front.
func cutInt32(b []byte) (int32, []byte, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	v, rest, ok := cutUint(b)
	if !ok || v > math.MaxInt32 {
		return 0, b, false
	}
	if neg {
		return -int32(v), rest, true
	}
	return int32(v), rest, true
}

// cutPID takes a process id off the front: there is none above 2^22
// (PID_MAX_LIMIT), but who knows.
func cutPID(b []byte) (int32, []byte, bool) {
	if len(b) > 0 && b[0] == '-' {
		return 0, b, false
	}
	return cutInt32(b)
}

func cutHex(b []byte) (v uint64, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != '0' || b[1] != 'x' {
		return 0, b, false
	}
	i := 2
	for ; i < len(b) && i < 18; i++ {
		d, ok := hexDigit(b[i])
		if !ok {
			break
		}
		v = v<<4 | uint64(d)
	}
	return v, b[i:], i > 2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// nextField cuts the first word off, and the spaces before it.
func nextField(b []byte) (field, rest []byte) {
	b = skipSpaces(b)
	i := bytes.IndexByte(b, ' ')
	if t := bytes.IndexByte(b[:max(i, 0)], '\t'); t >= 0 {
		i = t
	} else if i < 0 {
		i = bytes.IndexByte(b, '\t')
	}
	if i < 0 {
		return b, nil
	}
	return b[:i], b[i+1:]
}

// after returns what follows the first mark.
func after(b []byte, mark string) ([]byte, bool) {
	i := bytes.Index(b, []byte(mark))
	if i < 0 {
		return nil, false
	}
	return b[i+len(mark):], true
}

func hasPrefix(b []byte, p string) bool { return len(b) >= len(p) && string(b[:len(p)]) == p }

func contains(b []byte, s string) bool { return bytes.Contains(b, []byte(s)) }

// kilobytes turns a printed kB value into bytes; what overflows is unknown.
func kilobytes(v uint64) oom.Opt[uint64] {
	if v > math.MaxUint64>>10 {
		return oom.Opt[uint64]{}
	}
	return oom.Some(v << 10)
}

// times is a*b; what overflows is unknown.
func times(a, b uint64) oom.Opt[uint64] {
	if a != 0 && b > math.MaxUint64/a {
		return oom.Opt[uint64]{}
	}
	return oom.Some(a * b)
}

// sumOpt is known when every part is and the sum fits.
func sumOpt(parts ...oom.Opt[uint64]) oom.Opt[uint64] {
	var s uint64
	for _, v := range parts {
		if !v.Known || s+v.Value < s {
			return oom.Opt[uint64]{}
		}
		s += v.Value
	}
	return oom.Some(s)
}
