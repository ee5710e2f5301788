package lines

import (
	"bytes"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// rich makes a plain text of one in RTF: paragraphs and lines, no more.
type rich struct {
	depth int
	skip  int // the depth of a group that is no text
}

func decodeRich(_ Grammar, head []byte, src *source) (io.Reader, error) {
	if !scan.HasPrefix(head, `{\rtf`) {
		return nil, nil
	}
	return recodedLines(src, new(rich).decode), nil
}

// decode gives the text of a line of the file; its end is none of the text's, but behind a
// backslash.
func (r *rich) decode(b []byte) []byte {
	var out []byte
	for b = bytes.TrimRight(b, "\r"); len(b) > 0; {
		text, n := b[:1], 1
		switch b[0] {
		case '{':
			r.depth++
			text = nil
		case '}':
			if r.depth--; r.depth < r.skip {
				r.skip = 0
			}
			text = nil
		case '\\':
			text, n = r.control(b)
		}
		if b = b[n:]; r.skip == 0 {
			out = append(out, text...)
		}
	}
	return out
}

// control is what a control word or symbol stands for, and its length.
func (r *rich) control(b []byte) (text []byte, n int) {
	n = len(b) - len(bytes.TrimLeft(b[1:], letters))
	word := string(b[1:n])
	number := n
	for n < len(b) && (scan.IsDigit(b[n]) || b[n] == '-' && n == number) {
		n++
	}
	value, _ := strconv.Atoi(string(b[number:n]))
	if word != "" && n < len(b) && b[n] == ' ' {
		n++
	}
	switch word {
	case "par", "line":
		return []byte("\n"), n
	case "tab":
		return []byte("\t"), n
	case "u":
		return utf8.AppendRune(nil, rune(uint16(value))), min(n+1, len(b)) // one character stands for it elsewhere
	case "fonttbl", "colortbl", "stylesheet", "info", "pict":
		r.skip = max(r.skip, r.depth)
		return nil, n
	case "":
	default:
		return nil, n
	}
	switch {
	case len(b) == 1: // before the line's end
		return []byte("\n"), 1
	case b[1] == '*':
		r.skip = max(r.skip, r.depth)
		return nil, 2
	case b[1] == '\'' && len(b) > 3:
		v, _ := strconv.ParseUint(string(b[2:4]), 16, 8)
		return utf8.AppendRune(nil, rune(v)), 4
	case b[1] == '~':
		return []byte(" "), 2
	}
	return b[1:2], 2
}
