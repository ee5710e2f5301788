package lines

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// undecorate takes off what people's tools put around a line: quotes of mail, line
// numbers, names of files, marks of Markdown.
func undecorate(b []byte, g Grammar) []byte {
	b = cutEvent(b, g)
	if i := quoted(b, stamped); i > 0 && !g.Class(b).Own {
		if bytes.HasSuffix(b[:i-1], []byte("rintf(")) && bytes.IndexByte(b, '%') > 0 { // a program's source, and what it prints
			return nil
		}
		b = closeQuote(b[i-1], b[i:])
	}
	for range 2 * maxWraps {
		rest := cutDecoration(b, g)
		if len(rest) == len(b) {
			break
		}
		b = rest
	}
	return bytes.TrimRight(bytes.TrimSuffix(b, []byte("**")), " \t")
}

// fences are what forums and wikis set a log in, where it begins and ends within a line.
// Those in brackets may have more in them: "{code:title=dmesg}".
var fences = [...]struct{ begin, end string }{
	{"```", "```"}, {"[code", "[/code]"}, {"[CODE", "[/CODE]"}, {"{code", "{code}"}, {"{noformat", "{noformat}"}, {"[quote", "[/quote]"}, {"[QUOTE", "[/QUOTE]"},
}

// cutBegin takes the begin of a fence off.
func cutBegin(b []byte, begin string) (rest []byte, ok bool) {
	const longest = 64
	rest, ok = bytes.CutPrefix(b, []byte(begin))
	if !ok || begin[0] == '`' {
		return rest, ok
	}
	i := bytes.IndexAny(rest[:min(len(rest), longest)], "]}")
	return rest[i+1:], i == 0 || i > 0 && (rest[0] == ':' || rest[0] == '=' || rest[0] == ' ')
}

// cutFence takes off such a mark. One at the end of a line may be a name's, but where one
// has begun.
func (x *prefixes) cutFence(b []byte) []byte {
	in := scan.SkipSpaces(b)
	if len(in) < 4 {
		return b
	}
	if x.fence != "" {
		return bytes.TrimSuffix(b, []byte(x.fence))
	}
	if c := in[0]; c != '`' && c != '[' && c != '{' {
		return b
	}
	for _, f := range &fences {
		if rest, ok := cutBegin(in, f.begin); ok && (stamped(rest) || x.g.Class(rest).Header) {
			x.fence = f.end
			return bytes.TrimSuffix(rest, []byte(f.end))
		}
	}
	return b
}

// cutDecoration takes off one of them.
func cutDecoration(b []byte, g Grammar) []byte {
	in := scan.SkipSpaces(b)
	if len(b) < 2 || len(in) == 0 {
		return b
	}
	if len(in) < len(b) && in[0] != '[' && stamped(in) { // indented, as code is
		return in
	}
	switch c := in[0]; {
	case c == '>', c == '|' && len(in) > 1 && (in[1] == ' ' || in[1] == '|' || in[1] == '>'):
		return scan.SkipSpaces(in[1:])
	case scan.IsDigit(c):
		return cutNumber(b, in, g)
	case scan.HasPrefix(in, "**"), scan.HasPrefix(in, "- "), scan.HasPrefix(in, "* "):
		if rest := scan.SkipSpaces(in[2:]); stamped(rest) || len(rest) > 0 && isQuote(rest[0]) && stamped(rest[1:]) {
			return rest
		}
	case scan.HasPrefix(in, otelBody):
		return bytes.TrimSuffix(in[len(otelBody):], []byte(")"))
	case isQuote(c):
		if rest := in[1:]; stamped(rest) || isLiteral(in) {
			return closeQuote(c, rest)
		}
	case c == '/', c == '.', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		return cutFile(b)
	}
	return b
}

// otelBody begins a line's text in what OpenTelemetry's collector prints; a bracket ends it.
const otelBody = "Body: Str("

// isLiteral says whether a line is a string in a list or a sum of them. No line of the kernel's that
// begins with a name ends so.
func isLiteral(b []byte) bool {
	n := len(bytes.TrimRight(b, " ,+"))
	return n > 2 && n < len(b) && b[n-1] == b[0]
}

func isQuote(c byte) bool { return c == '"' || c == '\'' || c == '`' }

// closeQuote takes off what closes a quote, and its escapes. The quote may be of a list, or
// an argument.
func closeQuote(quote byte, b []byte) []byte {
	text, ok := bytes.CutSuffix(bytes.TrimRight(b, " ,;)]}+"), []byte{quote})
	if !ok {
		return bytes.TrimRight(b, "\"'`,")
	}
	switch quote {
	case '"':
		text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte(`\n`)), []byte(`\r`))
		return unescapeString(text)
	case '\'':
		return bytes.ReplaceAll(text, []byte("''"), []byte("'"))
	}
	return text
}

// trailers are what may end each line, longer ones before their own ends: cat -A and cat -v,
// strings of programming languages, hard line breaks of Markdown and of pages.
var trailers = [...]string{"^M$", "$", "^M", `\r\n"`, `\n"`, `\`, "<br>", "<br/>", "<br />", "”", "’", "»", "|"}

// surroundings finds what begins and ends the lines of a log, by its first ones.
func (x *prefixes) surroundings(head []byte) {
	const fewest = 3
	var ends [len(trailers)]int
	all := 0
	x.marked = scan.Contains(head, `\_`) || scan.Contains(head, `\[`)
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, "\r\n\t ")
		if len(line) > 0 && !isRule(line) {
			all++
		}
		if i := slices.IndexFunc(trailers[:], func(t string) bool { return bytes.HasSuffix(line, []byte(t)) }); i >= 0 {
			ends[i]++
		}
	}
	if i := slices.IndexFunc(ends[:], func(n int) bool { return n >= fewest && n*2 > all }); i >= 0 {
		x.trailer = trailers[i]
	}
	x.lead = x.leadOf(head, all)
	x.cpus = x.cpusOf(head)
}

// leadOf finds what stands before lines without stamps, such as a person's name or a number:
// before most lines the same, by those that are of a report.
func (x *prefixes) leadOf(head []byte, all int) string {
	const longest, fewest = 48, 2
	leads := map[string]int{}
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, "\r\n\t ")
		l, ok := x.probe(line)
		if l.marked() {
			return ""
		}
		text := scan.SkipSpaces(l.Text)
		if ok && x.g.Class(text).any() && (len(text) == 0 || text[0] != '[') {
			continue
		}
		for i := 1; i < min(len(line), longest) && line[i-1] != '/'; i++ {
			if c := x.g.Class(line[i:]); isWordPart(line[i]) && !isWordPart(line[i-1]) && (c.Part && !c.Weak || c.Own) {
				leads[leadPattern(line[:i])]++
				break
			}
		}
	}
	for _, lead := range slices.Sorted(maps.Keys(leads)) {
		if leads[lead] < fewest || isTag(lead) {
			continue
		}
		matching := 0
		for line := range bytes.Lines(head) {
			if matchLead(lead, line) >= 0 {
				matching++
			}
		}
		if matching*2 > all {
			return lead
		}
	}
	return ""
}

// isTag says whether a lead may be a program's: then the lines are not the kernel's.
func isTag(lead string) bool {
	tag, ok := strings.CutSuffix(lead, ": ")
	return ok && tag != "" && (tag[len(tag)-1] == ']' || strings.ContainsFunc(tag, unicode.IsLetter))
}

func isWordPart(c byte) bool {
	return scan.IsDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// Sets of characters.
const (
	decimals  = "0123456789"
	capitals  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	letters   = "abcdefghijklmnopqrstuvwxyz" + capitals
	wordParts = letters + decimals + "_"
)

// only says whether a text has no characters but some.
func only(b []byte, set string) bool { return len(b) > 0 && len(bytes.TrimLeft(b, set)) == 0 }

// prefixOf is which of them a text begins with; empty for none.
func prefixOf(b []byte, prefixes ...string) string {
	for _, prefix := range prefixes {
		if scan.HasPrefix(b, prefix) {
			return prefix
		}
	}
	return ""
}

// digitsOf is how many digits a text begins with.
func digitsOf(b []byte) int { return len(b) - len(bytes.TrimLeft(b, decimals)) }

// leadPattern writes each number of a lead, and the blanks before it, as one zero.
func leadPattern(b []byte) string {
	var out []byte
	for i, c := range b {
		if scan.IsDigit(c) {
			if i > 0 && scan.IsDigit(b[i-1]) {
				continue
			}
			out, c = bytes.TrimRight(out, " "), '0'
		}
		out = append(out, c)
	}
	return string(out)
}

// matchLead returns how long the lead of a line is, by its pattern; negative for none.
func matchLead(lead string, b []byte) int {
	rest := b
	for i := range len(lead) {
		if lead[i] == '0' {
			rest = bytes.TrimLeft(rest, " ")
			n := digitsOf(rest)
			if n == 0 {
				return -1
			}
			rest = rest[n:]
			continue
		}
		if len(rest) == 0 || rest[0] != lead[i] {
			return -1
		}
		rest = rest[1:]
	}
	return len(b) - len(rest)
}

// cutLead takes it off a line.
func (x *prefixes) cutLead(b []byte) []byte {
	n := matchLead(x.lead, b)
	if n < 0 || x.lead == "" {
		return b
	}
	if quote := x.lead[len(x.lead)-1]; isQuote(quote) {
		return closeQuote(quote, b[n:])
	}
	return b[n:]
}

// probe reads a line as x does, and leaves x as it is.
func (x *prefixes) probe(raw []byte) (Line, bool) {
	other := prefixes{
		o: x.o, g: x.g, page: x.page, entities: x.entities, lead: x.lead, trailer: x.trailer, cpus: x.cpus, marked: x.marked,
	}
	return other.line(raw)
}

// cutTrailer takes that off a line.
func (x *prefixes) cutTrailer(b []byte) []byte {
	if x.trailer == "" {
		return b
	}
	b = bytes.TrimRight(bytes.TrimSuffix(b, []byte(x.trailer)), "\r \t")
	if x.trailer[len(x.trailer)-1] == '$' && bytes.Contains(b, []byte("^I")) {
		b = bytes.ReplaceAll(b, []byte("^I"), []byte("\t"))
	}
	return b
}

// cutNumber takes off a line number as cat -n, grep -n and grep -C write it.
func cutNumber(b, in []byte, g Grammar) []byte {
	n := digitsOf(in)
	if n == len(in) || n > 9 {
		return b
	}
	rest := in[n+1:]
	switch in[n] {
	case '\t':
		return rest
	case ':', '-':
		if len(rest) > 0 && (!scan.IsDigit(rest[0]) || stamped(rest) || g.Class(rest).Part) && !stamped(in) {
			return rest
		}
	case ' ':
		if rest = scan.SkipSpaces(rest); stamped(rest) && !stamped(in) {
			return rest
		}
	}
	return b
}

// cutFile takes off the name of a file, and a number behind it: "kern.log:12:",
// "kern.log-12-", "kern.log:".
func cutFile(b []byte) []byte {
	const longest = 256
	name, numbered := 0, false
	for i, c := range b[:min(len(b), longest)] {
		switch {
		case c == '.' || c == '/':
			name++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', scan.IsDigit(c), c == '_', c == '~', c == '+':
		case (c == ':' || c == '-') && name > 0:
			rest := b[i+1:]
			if v, after, ok := scan.Uint(rest); ok && v > 0 && len(after) > 0 && after[0] == c {
				rest, numbered = after[1:], true
			}
			if stamped(rest) || numbered && c == ':' {
				return rest
			}
			if c == ':' {
				return b
			}
		case c == '-':
		default:
			return b
		}
	}
	return b
}

// stamped is a quick test for the stamps and tags that begin a line of a log.
func stamped(b []byte) bool {
	b = scan.SkipSpaces(b)
	if len(b) < 4 {
		return false
	}
	switch c := b[0]; {
	case c == '[':
		in := scan.SkipSpaces(b[1:])
		if _, rest, ok := scan.Uint(in); ok {
			return len(rest) > 1 && (rest[0] == '.' && scan.IsDigit(rest[1]) || rest[0] == '-') // an uptime, a date
		}
		end := bytes.IndexByte(in, ']')
		return end > 16 && bytes.Count(in[:end], []byte(":")) == 2
	case c == '<':
		_, rest, ok := scan.Uint(b[1:])
		return ok && len(rest) > 0 && rest[0] == '>'
	case scan.IsDigit(c):
		if _, _, ok := parseISO(b, time.UTC); ok || len(b) > 20 && b[2] == '-' && b[5] == ' ' && b[8] == ':' && b[14] == '.' {
			return true
		}
		if max(b[1], b[2]) < utf8.RuneSelf {
			_, ok := ParseKmsg(b)
			return ok
		}
	case scan.HasPrefix(b, "kernel: "), scan.HasPrefix(b, "kern "):
		return true
	}
	if len(b) < 16 || b[0] < 'A' && !scan.IsDigit(b[0]) || bytes.IndexByte(b[:min(len(b), 24)], ':') < 0 {
		return false
	}
	first, rest := scan.Field(b)
	if !monthOf(first) && !bytes.ContainsAny(first, "'\"[") { // the day of the week
		first, rest = scan.Field(rest)
	}
	rest = scan.SkipSpaces(rest)
	return monthOf(first) && len(rest) > 0 && scan.IsDigit(rest[0])
}

func monthOf(b []byte) bool {
	_, ok := month(b)
	return ok && len(b) > 2 && !scan.IsDigit(b[len(b)-1])
}

// plain takes escapes of terminals out, as bytes or written out, and makes the blanks of
// web pages plain ones. What it changes is in dst.
func plain(dst, b []byte) []byte {
	if bytes.IndexByte(b, 0x1b) >= 0 {
		b = stripEscapes(dst[:0], b)
	}
	if bytes.Contains(b, []byte(caret)) {
		b = stripWritten(b, caret)
	}
	if escape := writtenFirst(b); escape != "" {
		b = stripWritten(b, escape)
	}
	if bytes.IndexByte(b, 0xa0) >= 0 {
		b = bytes.ReplaceAll(b, []byte("\u00a0"), []byte(" "))
		if !utf8.Valid(b) { // in Latin-1
			b = bytes.ReplaceAll(b, []byte{0xa0}, []byte(" "))
		}
	}
	return b
}

// caret is the escape character and a bracket, as cat -v and editors show them.
const caret = "^[["

// writtenFirst is how a line's colours are written, if it begins with one: with the escape
// character in some language's form, or without it, as it is lost in a paste: "[0;31m".
func writtenFirst(b []byte) string {
	b = scan.SkipSpaces(b)
	if len(b) < 3 || b[0] != '[' && b[0] != '\\' && b[0] != 'E' {
		return ""
	}
	for _, escape := range [...]string{"[", `\u001b[`, `\033[`, `\x1b[`, `\e[`, "ESC["} {
		if rest, ok := bytes.CutPrefix(b, []byte(escape)); ok && colour(rest) > 0 {
			return escape
		}
	}
	return ""
}

// colour is how long the rest of a colour is, behind "[": "0;31m".
func colour(b []byte) int {
	n := 0
	for n < min(len(b), 12) && (scan.IsDigit(b[n]) || b[n] == ';') {
		n++
	}
	if n < len(b) && (b[n] == 'm' || n == 0 && b[n] == 'K') && (n+1 == len(b) || b[n+1] != ']') {
		return n + 1
	}
	return 0
}

// stripWritten takes out colours that are written out: "^[[0;31m".
func stripWritten(b []byte, escape string) []byte {
	out := make([]byte, 0, len(b))
	for {
		i := bytes.Index(b, []byte(escape))
		if i < 0 {
			return append(out, b...)
		}
		n := colour(b[i+len(escape):])
		if n == 0 && escape == "[" {
			out, b = append(out, b[:i+1]...), b[i+1:]
			continue
		}
		out = append(out, b[:i]...)
		b = b[i+len(escape)+n:]
	}
}
