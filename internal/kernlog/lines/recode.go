package lines

import "io"

// made is a text that is made part by part: a part may be empty.
type made struct {
	next func() ([]byte, error)
	rest []byte
}

// Read implements io.Reader.
func (m *made) Read(b []byte) (n int, err error) {
	for len(m.rest) == 0 {
		if m.rest, err = m.next(); err != nil {
			return 0, err
		}
	}
	n = copy(b, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// recoded is what a text stands for that is read in parts of a size. decode appends to out
// what stands in b as far as that is whole, and says how much it took; err is that of the
// input, behind b.
func recoded(src *source, size int, decode func(out, b []byte, err error) ([]byte, int)) io.Reader {
	in, raw, have := &packed{src}, make([]byte, size), 0
	var out []byte
	var err error
	return &made{next: func() ([]byte, error) {
		if err != nil {
			return nil, err
		}
		var n int
		n, err = in.Read(raw[have:])
		have += n
		out, n = decode(out[:0], raw[:have], err)
		have = copy(raw, raw[n:have])
		return out, nil
	}}
}

// recodedLines is what a text's lines stand for.
func recodedLines(src *source, decode func(line []byte) []byte) io.Reader {
	return &made{next: func() ([]byte, error) {
		line, _, ok := src.line()
		switch {
		case ok:
			return decode(line), nil
		case !src.again():
			return nil, src.err
		}
		return nil, nil
	}}
}
