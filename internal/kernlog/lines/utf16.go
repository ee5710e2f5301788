package lines

import (
	"encoding/binary"
	"errors"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// wide makes UTF-8 of UTF-16, as some terminals' logs are written.
type wide struct {
	in    io.Reader
	order binary.ByteOrder
	high  rune   // a first half that waits for its second
	rest  []byte // made, not yet given
	text  [4 << 10]byte
	raw   [1 << 10]byte
	have  int // bytes in raw
	err   error
}

func decodeWide(_ Grammar, head []byte, src *source) (io.Reader, error) {
	if order := wideOf(head); order != nil {
		return &wide{in: &packed{src}, order: order}, nil
	}
	return nil, nil
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

func (w *wide) Read(p []byte) (int, error) {
	for len(w.rest) == 0 {
		if w.err != nil {
			return 0, w.err
		}
		n, err := w.in.Read(w.raw[w.have:])
		w.have += n
		w.err = err
		w.decode(errors.Is(err, io.EOF))
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// decode takes whole units from raw; a half one at the end is none.
func (w *wide) decode(end bool) {
	out := w.text[:0]
	i := 0
	for ; i+1 < w.have; i += 2 {
		r := rune(w.order.Uint16(w.raw[i:]))
		switch {
		case w.high != 0:
			pair := utf16.DecodeRune(w.high, r)
			w.high = 0
			out = utf8.AppendRune(out, pair)
		case utf16.IsSurrogate(r):
			w.high = r
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	w.have = copy(w.raw[:], w.raw[i:w.have])
	if end && (w.have > 0 || w.high != 0) {
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	w.rest = out
}
