package lines

import (
	"bytes"
	"errors"
	"io"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// decodePrinted makes a plain text of one in MIME's quoted-printable, as mail archives keep
// it. What is none of its escapes stays as it is.
func decodePrinted(_ Grammar, _ []byte, src *source) (io.Reader, error) {
	if !isPrinted(src.begin()) {
		return nil, nil
	}
	const room, escape = 4 << 10, 3
	ends := endsPrinted(src.begin())
	return recoded(src, room, func(out, b []byte, err error) ([]byte, int) {
		used := 0
		for used < len(b) {
			n := bytes.IndexByte(b[used:], '\n') + 1
			switch {
			case n > 0:
			case errors.Is(err, io.EOF):
				n = len(b) - used
			case used == 0 && len(b) == room: // a longer line, in parts
				n = room
				if i := bytes.LastIndexByte(b[room-escape+1:], '='); i >= 0 { // an escape is not parted
					n += i - escape + 1
				}
			default:
				return out, used
			}
			out = appendPrinted(out, b[used:used+n], ends)
			used += n
		}
		return out, used
	}), nil
}

// appendPrinted appends what a line stands for. One with more signs that are none of the encoding's is
// plain: of another mail, or another part of one.
func appendPrinted(out, b []byte, ends bool) []byte {
	if good, bad, _ := countPrinted(b); bad > 0 && bad >= good {
		return append(out, b...)
	}
	for len(b) > 0 {
		value, n := escapedPrinted(b, ends)
		out, b = append(out, value...), b[n:]
	}
	return out
}

// isPrinted says whether a text is quoted-printable: then each "=" in it is escaped or ends
// a line. The headers of a mail, and other parts of it, may have others; where the lines of an
// OOM have none, they tell.
func isPrinted(head []byte) bool {
	at := bytes.Index(bytes.ToLower(head), []byte("content-transfer-encoding: quoted-printable"))
	said := at >= 0
	if said {
		head = head[at:] // signatures before it are full of "="
	}
	good, bad, signs := countPrinted(head)
	if signs > 1 && good > 4*bad || said && good > bad {
		return true
	}
	var matter []byte
	for line := range bytes.Lines(head) {
		if signs > 1 && MayMatter(line) {
			matter = append(matter, line...)
		}
	}
	_, bad, signs = countPrinted(matter)
	return signs > 1 && bad == 0
}

// countPrinted counts the "=" that are escapes, those that are none, and those that are escaped.
func countPrinted(head []byte) (good, bad, signs int) {
	sign := []byte("=")
	for _, rest, ok := bytes.Cut(head, sign); ok && len(rest) > 1; _, rest, ok = bytes.Cut(rest, sign) {
		switch v, ok := printedByte(rest); {
		case ok:
			good++
			if v == '=' {
				signs++
			}
		case rest[0] == '\n', rest[0] == '\r' && rest[1] == '\n':
			good++
		default:
			bad++
		}
	}
	return good, bad, signs
}

// printedByte reads an escape behind its "=". No mailer escapes digits or most controls, or writes
// small letters: that is another text, such as "cpuset=34ab".
func printedByte(b []byte) (v byte, ok bool) {
	v, ok = hexByte(b)
	control := v < ' ' && v != '\n' && v != '\r' && v != '\t' && v != 0x1b // of colours
	return v, ok && b[0] < 'a' && b[1] < 'a' && !control && !scan.IsDigit(v)
}

// endsPrinted says whether more lines end by an escape than by an end of their own: some
// mailers wrap the whole text as one line.
func endsPrinted(head []byte) bool {
	const fewest = 3
	if i := bytes.Index(head, []byte("\n\n")); i > 0 { // what is above is the mail's header
		head = head[i+2:]
	}
	soft := bytes.Count(head, []byte("=\n")) + bytes.Count(head, []byte("=\r\n"))
	escapes := bytes.Count(head, []byte("=0A"))
	return escapes >= fewest && escapes > bytes.Count(head, []byte("\n"))-soft
}

// escapedPrinted is what an escape, or another character, stands for, and how long it is. None makes a line end where
// lines have ends of their own.
func escapedPrinted(b []byte, ends bool) (value []byte, n int) {
	switch {
	case b[0] != '=':
	case len(b) > 1 && b[1] == '\n':
		return nil, 2
	case len(b) > 2 && b[1] == '\r' && b[2] == '\n':
		return nil, 3
	case len(b) > 2:
		if v, ok := printedByte(b[1:]); ok && (v != '\n' || ends) {
			return []byte{v}, 3
		}
	}
	return b[:1], 1
}
