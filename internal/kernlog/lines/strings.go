package lines

import (
	"bytes"
	"encoding/base64"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// longestEscape is how many bytes stand for a character, or for a line's end.
const longestEscape = len(`\r\n", b"`)

// decodeStrings makes lines of a log that is one string of a programming language, or a list of
// them in one line: "…\n…", '…\n…', ["…", "…"], [b'…', b'…']. Or it is one without quotes.
func decodeStrings(g Grammar, _ []byte, src *source) (io.Reader, error) {
	end := ""
	if first, ok := isStrung(g, src.begin()); ok {
		src.pos += first
	} else if end = joinedBy(g, src.begin()); end == "" {
		return nil, nil
	}
	return recoded(src, 4<<10, func(out, b []byte, err error) ([]byte, int) {
		return unstring(out, b, end, err != nil)
	}), nil
}

// unstring appends what a string stands for, as far as it is whole; newline is how a line's end is
// written in one without quotes.
func unstring(out, b []byte, newline string, end bool) ([]byte, int) {
	used := 0
	for used < len(b) && (end || len(b)-used >= longestEscape) {
		value, n := escapedString(b[used:], newline)
		out = append(out, value...)
		used += n
	}
	return out, used
}

// escapedString is what a string's escape, or another character, stands for, and its length.
func escapedString(b []byte, newline string) (value []byte, n int) {
	switch {
	case newline != "" && scan.HasPrefix(b, newline):
		return []byte{'\n'}, len(newline)
	case newline != "":
		return b[:1], 1
	}
	if value, n = lineEscape(b); n == 0 {
		value, n = charEscape(b)
	}
	return value, n
}

// joinedBy is how line ends are written in a text that is one line of many, without quotes;
// empty where it is none. The first is looked for before any path: names may hold anything.
func joinedBy(g Grammar, head []byte) string {
	const fewest = 3
	if i := bytes.IndexByte(head, '\n'); i >= 0 && len(bytes.TrimSpace(head[i:])) > 0 || detect(head) == formatJSON {
		return ""
	}
	first, _, _ := bytes.Cut(head, []byte("/"))
	for _, end := range [...]string{`\\r\\n`, `\\n`, `\r\n`, `\n`, `\015\012`, `\012`, `#015#012`, `#012`, `\x0a`, "<br>", "\v", "\u2028"} {
		if !scan.Contains(first, end) {
			continue
		}
		_, rest, _ := bytes.Cut(bytes.TrimSpace(head), []byte(end))
		ends, all := 0, 0
		for part := range bytes.SplitSeq(rest, []byte(end)) {
			all++
			if begins(g, part) || g.Class(scan.SkipSpaces(part[:min(len(part), longestBegin)])).Own && len(part) > 0 {
				ends++
			}
		}
		if ends == all || ends >= fewest && ends*16 > all {
			return end
		}
	}
	return ""
}

// listed tells of an output that Ansible prints twice: as one text, and as a list of its lines.
type listed struct {
	whole  bool // the text was there
	within bool // the list
}

// again says whether a line is of the list.
func (l *listed) again(raw []byte) bool {
	b := bytes.TrimSpace(raw)
	if l.within = l.within && (len(b) == 0 || b[0] == '"' || scan.HasPrefix(b, "- ")); l.within {
		return true
	}
	if c := scan.First(b); c != '"' && c != 's' {
		return false
	}
	name, value, ok := bytes.Cut(b, []byte(":"))
	if name, value = bytes.Trim(name, `"`), bytes.Trim(value, " ,"); !ok {
		return false
	}
	switch string(name) {
	case "stdout", "stderr":
		l.whole = l.whole || len(value) > 2 || len(value) > 0 && value[0] == '|'
	case "stdout_lines", "stderr_lines":
		l.within = l.whole && (len(value) == 0 || string(value) == "[")
		return l.within || l.whole && value[0] == '['
	}
	return false
}

// isStrung says whether a text is one string, or a list of them, and where that begins: its
// first stamp stands behind a quote, and most of its lines end by an escape.
func isStrung(g Grammar, head []byte) (first int, ok bool) {
	const fewest = 2
	if first = quoted(head, func([]byte) bool { return true }); first < 0 || detect(head) == formatJSON {
		return 0, false
	}
	first += keyed(head[first-1:])
	ends := 0
	for rest := head[first:]; ; {
		i := bytes.IndexAny(rest, `\"'`)
		if i < 0 {
			break
		}
		_, n := lineEscape(rest[i:])
		if n > 0 && begins(g, rest[i+n:]) {
			ends++
		}
		rest = rest[i+max(n, 1):]
	}
	return first, ends >= fewest && ends > 2*bytes.Count(head, []byte("\n"))
}

// keyed is how long the key is before a text in quotes: "stdout": "…", 'stdout': '…'.
func keyed(b []byte) int {
	n := 1
	for n < len(b) && isWordPart(b[n]) {
		n++
	}
	rest, ok := bytes.CutPrefix(b[n:], []byte{b[0], ':'})
	if value := scan.SkipSpaces(rest); ok && n > 1 && len(value) > 0 && value[0] == b[0] {
		return len(b) - len(value)
	}
	return 0
}

// longestBegin is how much of a line tells what it is.
const longestBegin = 512

// begins says whether a line of a log begins here.
func begins(g Grammar, b []byte) bool {
	if stamped(b) {
		return true
	}
	if end := bytes.IndexByte(b, '\\'); end >= 0 {
		b = b[:end]
	}
	c := g.Class(scan.SkipSpaces(b[:min(len(b), longestBegin)]))
	return c.Header || c.Part && !c.Weak
}

// quoted is where what is looked for, such as a stamp, stands behind a quote, near the begin
// of a text that does not begin with a stamp; negative for nowhere. What stands before it is no path: names may hold
// anything.
func quoted(b []byte, is func([]byte) bool) int {
	const farthest = 64
	begin := b[:min(len(b), farthest)]
	for i, c := range begin {
		switch {
		case c == '/', c == ']':
			return -1
		case isQuote(c) && is(b[i+1:]) && (b[0] == '[' || !stamped(b)):
			return i + 1
		}
	}
	return -1
}

// lineEscape is a line's end within a string, or between two: n is its length, 0 for none.
func lineEscape(b []byte) (value []byte, n int) {
	n = len(prefixOf(b, `\r\n`, `\n`))
	n += len(prefixOf(b[n:], `", "`, `","`, `', '`, `','`, `', b'`, `", b"`))
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
func decodeBase64(_ Grammar, head []byte, src *source) (io.Reader, error) {
	const enough = 256
	if len(head) < enough {
		return nil, nil
	}
	packed64 := bytes.ReplaceAll(bytes.ReplaceAll(head, []byte("\r"), nil), []byte("\n"), nil)
	if !only(packed64, letters+decimals+"+/=") {
		return nil, nil
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
	next  bool // the headers say so
	coded bool
	left  []byte // digits that are less than a group
}

const codedHeader = "content-transfer-encoding: base64"

func decodeMail(_ Grammar, _ []byte, src *source) (io.Reader, error) {
	if bytes.Contains(bytes.ToLower(src.begin()), []byte("\n"+codedHeader)) {
		return recodedLines(src, new(parts).decode), nil
	}
	return nil, nil
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

// decodeFramed reads a stream of syslog over TCP, whose messages have their lengths before them
// (RFC 6587, 3.4.1) and no line ends.
func decodeFramed(_ Grammar, _ []byte, src *source) (io.Reader, error) {
	n, rest, ok := frame(src.begin())
	if !ok || n+1 >= uint64(len(rest)) || bytes.IndexByte(rest[:n+1], '\n') >= 0 {
		return nil, nil
	}
	if _, _, ok := frame(rest[n+1:]); !ok {
		return nil, nil
	}
	return &made{next: func() ([]byte, error) {
		head := src.peek()
		var text []byte
		if n, after, ok := frame(head); ok {
			src.pos += len(head) - len(after) + 1
			text, _, _ = src.take(n)
		} else { // out of step
			if text, _, ok = src.line(); !ok && !src.again() {
				return nil, src.err
			}
		}
		return append(bytes.Clone(text), '\n'), nil
	}}, nil
}

// frame reads a message's length; what is behind it begins with a blank.
func frame(b []byte) (n uint64, rest []byte, ok bool) {
	n, rest, ok = scan.Uint(b)
	return n, rest, ok && scan.HasPrefix(rest, " <")
}
