package lines

import (
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// decodeWide makes UTF-8 of UTF-16, as some terminals' logs are written.
func decodeWide(_ Grammar, head []byte, src *source) (io.Reader, error) {
	order := wideOf(head)
	if order == nil {
		return nil, nil
	}
	return recoded(src, 1<<10, func(out, b []byte, err error) ([]byte, int) {
		used := 0
		for len(b)-used > 1 {
			r, n := rune(order.Uint16(b[used:])), 2
			if utf16.IsSurrogate(r) {
				if len(b)-used < 4 {
					break
				}
				r, n = utf16.DecodeRune(r, rune(order.Uint16(b[used+2:]))), 4
			}
			out = utf8.AppendRune(out, r)
			used += n
		}
		if errors.Is(err, io.EOF) && used < len(b) { // a half one is none
			out = utf8.AppendRune(out, utf8.RuneError)
		}
		return out, used
	}), nil
}

// wideOf returns the byte order of a text in UTF-16, or nil: its mark tells, and without
// one, as in a part of a file, that every other byte of most is zero.
func wideOf(head []byte) binary.ByteOrder {
	switch {
	case scan.HasPrefix(head, "\xff\xfe"):
		return binary.LittleEndian
	case scan.HasPrefix(head, "\xfe\xff"):
		return binary.BigEndian
	}
	little, big, units := 0, 0, len(head)/2
	for i := range units {
		switch low, high := head[2*i], head[2*i+1]; {
		case low != 0 && high == 0:
			little++
		case low == 0 && high != 0:
			big++
		}
	}
	switch {
	case units > 4 && little*4 > units*3:
		return binary.LittleEndian
	case units > 4 && big*4 > units*3:
		return binary.BigEndian
	}
	return nil
}
