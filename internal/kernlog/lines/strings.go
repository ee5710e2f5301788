package lines

import (
	"bytes"
	"encoding/base64"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// strung makes lines of a log that is one string of a programming language, or a list of
// them in one line: "…\n…", '…\n…', ["…", "…"].
type strung struct {
	in   io.Reader
	raw  [4 << 10]byte
	have int // bytes in raw
	rest []byte
	text [4 << 10]byte
	err  error
}

// longestEscape is how many bytes stand for a character, or for a line's end.
const longestEscape = len(`\r\n", "`)

func decodeStrings(_ []byte, src *source) (io.Reader, error) {
	if isStrung(src.begin()) {
		return &strung{in: &packed{src}}, nil
	}
	return nil, nil
}

// isStrung says whether a text is one string, or a list of them: its first stamp stands
// behind a quote, and most of its lines end by an escape.
func isStrung(head []byte) bool {
	const farthest, fewest = 64, 2
	first := -1
	for i := range min(len(head), farthest) {
		if stamped(head[i:]) {
			first = i
			break
		}
	}
	if first < 1 || head[first-1] != '"' && head[first-1] != '\'' || detect(head) == formatJSON {
		return false
	}
	ends := 0
	for rest := head[first:]; ; {
		i := bytes.IndexAny(rest, `\"'`)
		if i < 0 {
			break
		}
		_, n := lineEscape(rest[i:])
		if n > 0 && stamped(rest[i+n:]) {
			ends++
		}
		rest = rest[i+max(n, 1):]
	}
	return ends >= fewest && ends > 2*bytes.Count(head, []byte("\n"))
}

func (s *strung) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		n, err := s.in.Read(s.raw[s.have:])
		s.have, s.err = s.have+n, err
		s.decode(err != nil)
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// decode takes what is whole from raw. No escape stands for more bytes than it has.
func (s *strung) decode(end bool) {
	out, i := s.text[:0], 0
	for i < s.have && (end || s.have-i >= longestEscape) {
		b := s.raw[i:s.have]
		value, n := lineEscape(b)
		if n == 0 {
			value, n = charEscape(b)
		}
		out = append(out, value...)
		i += n
	}
	s.have = copy(s.raw[:], s.raw[i:s.have])
	s.rest = out
}

// lineEscape is a line's end within a string, or between two: n is its length, 0 for none.
func lineEscape(b []byte) (value []byte, n int) {
	for _, end := range [...]string{`\r\n`, `\n`} {
		if scan.HasPrefix(b, end) {
			n = len(end)
			break
		}
	}
	for _, end := range [...]string{`", "`, `","`, `', '`, `','`} {
		if scan.HasPrefix(b[n:], end) {
			n += len(end)
			break
		}
	}
	if n == 0 {
		return nil, 0
	}
	return []byte{'\n'}, n
}

// charEscape is the character that b begins with, escaped or not, and its length.
func charEscape(b []byte) (value []byte, n int) {
	if b[0] != '\\' || len(b) < 2 {
		return b[:1], 1
	}
	switch b[1] {
	case 't':
		return []byte{'\t'}, 2
	case '"', '\'', '\\', '/':
		return b[1:2], 2
	case 'u':
		if len(b) >= 6 {
			if v, err := strconv.ParseUint(string(b[2:6]), 16, 16); err == nil && v >= ' ' {
				return utf8.AppendRune(nil, rune(v)), 6
			}
		}
	}
	return b[:1], 1
}

// unescapeString undoes the escapes of a string.
func unescapeString(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		value, n := charEscape(b)
		out, b = append(out, value...), b[n:]
	}
	return out
}

// decodeBase64 reads a text that is all in base64.
func decodeBase64(head []byte, src *source) (io.Reader, error) {
	const enough = 256
	if len(head) < enough {
		return nil, nil
	}
	packed64 := make([]byte, 0, len(head))
	for _, c := range head {
		switch {
		case scan.IsDigit(c), c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '+', c == '/', c == '=':
			packed64 = append(packed64, c)
		case c != '\r' && c != '\n':
			return nil, nil
		}
	}
	text := make([]byte, len(packed64))
	n, err := base64.StdEncoding.Decode(text, bytes.TrimRight(packed64[:len(packed64)/4*4], "="))
	if text = text[:n]; n == 0 || err != nil && n < enough/2 || !printable(text) && !scan.HasPrefix(text, "\x1f\x8b") {
		return nil, nil
	}
	return base64.NewDecoder(base64.StdEncoding, &packed{src}), nil
}

// parts undoes the base64 of a mail's parts.
type parts struct {
	src   *source
	next  bool // the headers say so
	coded bool
	left  []byte // digits that are less than a group
	rest  []byte
}

const codedHeader = "content-transfer-encoding: base64"

func decodeMail(_ []byte, src *source) (io.Reader, error) {
	if bytes.Contains(bytes.ToLower(src.begin()), []byte("\n"+codedHeader)) {
		return &parts{src: src}, nil
	}
	return nil, nil
}

func (p *parts) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		line, _, ok := p.src.line()
		switch {
		case ok:
			p.rest = p.decode(line)
		case !p.src.again():
			return 0, p.src.err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// decode gives what a line stands for.
func (p *parts) decode(line []byte) []byte {
	plain := append(bytes.Clone(line), '\n')
	text := bytes.TrimSpace(line)
	switch {
	case scan.HasPrefix(text, "--"):
		p.next, p.coded, p.left = false, false, nil
	case bytes.EqualFold(text, []byte(codedHeader)):
		p.next = true
	case len(text) == 0:
		p.next, p.coded, p.left = false, p.next, nil
	case p.coded:
		digits := append(p.left, text...)
		whole := len(digits) / 4 * 4
		out := make([]byte, base64.StdEncoding.DecodedLen(whole))
		n, err := base64.StdEncoding.Decode(out, digits[:whole])
		if err == nil {
			p.left = bytes.Clone(digits[whole:])
			return out[:n]
		}
		p.coded = false
	}
	return plain
}
