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
	p := printed{on: true, ends: endsPrinted(src.begin())}
	for line := range bytes.Lines(src.begin()) {
		if _, said := saidEncoding(line); said { // then what does not say it is plain
			p.on, p.said = false, true
		}
	}
	return recoded(src, printedRoom, p.decode), nil
}

// printedRoom is how much of a mail is decoded at once: a line that is longer, in parts.
const printedRoom = 4 << 10

// printed decodes mail by mail, and line by line.
type printed struct {
	on   bool // the text at hand is quoted-printable
	ends bool // line ends are escapes, see endsPrinted
	said bool // by headers
	// blank and boundary are what the line before was.
	blank, boundary bool
}

func (p *printed) decode(out, b []byte, err error) ([]byte, int) {
	const escape = 3
	used := 0
	for used < len(b) {
		n := bytes.IndexByte(b[used:], '\n') + 1
		switch {
		case n > 0:
		case errors.Is(err, io.EOF):
			n = len(b) - used
		case used == 0 && len(b) == printedRoom:
			n = len(b) - escape
		default:
			return out, used
		}
		out = p.line(out, b[used:used+n])
		used += n
	}
	return out, used
}

// line appends what a line stands for. One with more signs that are none of the encoding's is plain.
func (p *printed) line(out, b []byte) []byte {
	p.header(b)
	if good, bad, _ := countPrinted(b); !p.on || bad > 0 && bad >= good {
		return append(out, b...)
	}
	for len(b) > 0 {
		value, n := escapedPrinted(b, p.ends)
		out, b = append(out, value...), b[n:]
	}
	return out
}

// header looks for where another mail begins, or a part of one: it is plain if it does not say more.
func (p *printed) header(b []byte) {
	if !p.said {
		return
	}
	if is, said := saidEncoding(b); said {
		p.on = is
	} else if beginsMail(b) || p.boundary && scan.HasPrefix(b, "Content-") ||
		p.blank && prefixOf(b, "Return-Path: ", "Received: ", "Delivered-To: ", "Message-ID: ") != "" {
		p.on = false
	}
	text := bytes.TrimRight(b, blanks+"\n")
	p.blank, p.boundary = len(text) == 0, len(text) > 2 && scan.HasPrefix(text, "--")
}

// beginsMail says whether this is the line before a mail in a mailbox:
// "From a@example.org Thu Apr  4 10:00:00 2024".
func beginsMail(b []byte) bool {
	fields := bytes.Fields(b[:min(len(b), 256)])
	if len(fields) < 6 || string(fields[0]) != "From" {
		return false
	}
	_, _, _, ok := clock(fields[len(fields)-2])
	return ok && len(fields[len(fields)-1]) == 4 && only(fields[len(fields)-1], decimals)
}

// saidEncoding says whether a line is a header that names an encoding, and whether that is
// quoted-printable.
func saidEncoding(b []byte) (printed, said bool) {
	const key, value = "content-transfer-encoding: ", "quoted-printable"
	b = bytes.ToLower(unquote(b[:min(len(b), 128)]))
	return scan.HasPrefix(b, key+value), scan.HasPrefix(b, key)
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
