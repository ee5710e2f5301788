package lines

import (
	"bytes"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// maxWrapped is how many lines mail makes of one at most.
const maxWrapped = 32

// wrapping is how a log was wrapped whose lines have stamps: what has none is the rest of
// the line before.
type wrapping struct {
	width int  // in characters; 0 where the log is not known to be wrapped
	hard  bool // at the width, as terminals do, and not between words
	lost  int  // the width that a pager has cut the lines to, whose rests are lost; else 0
}

// longestSoft is how long lines are at most that mail has wrapped, with what quotes them.
// A word that is longer stays whole, alone in its line.
const longestSoft = 86

// wrappingOf finds it by the first lines: those without a stamp must each come where the
// line before was full. What is apart from stamps, such as a mail's own text, does not count.
func (r *Reader) wrappingOf(head []byte) wrapping {
	const fewest = 3
	all := bytes.Split(head, []byte("\n"))
	all = all[:len(all)-1] // may be cut
	hard := wrapping{hard: true}
	for i, line := range all {
		all[i] = bytes.TrimRight(line, "\r \t")
		hard.width = max(hard.width, utf8.RuneCount(all[i]))
	}
	if r.x.trailer == "|" { // a frame is as wide as its longest line
		return wrapping{}
	}
	stamps, rests := r.restsOf(all)
	none := wrapping{lost: r.lostBehind(all, hard.width)}
	soft, broken := softWidth(all, rests)
	var softly, fully [2]int // sure, and possible
	n, hanging := 0, true
	for _, i := range rests {
		if _, full := soft.full(all[i-1], all[i]); all[i][0] == ' ' && !full {
			continue // a further line of one text
		}
		n++
		hanging = hanging && all[i][0] == ' '
		soft.count(&softly, all[i-1], all[i])
		hard.count(&fully, all[i-1], all[i])
	}
	switch {
	case stamps < fewest || n < fewest: // one or two may be what somebody says of the log
		return none
	case hanging: // what is put before rests is no part of them
	case fully[0] == n && hard.width > longestSoft, fully[0] > 1 && fully[0]*10 >= n*4 && fully[1] == n: // between words, one in eight would be
		return hard
	case softly[0]*10 >= n*7 && softly[1]*20 >= n*19 && broken*2 >= n: // behind longer lines, names in a chat stand too
		return soft
	}
	return none
}

// lostBehind is the width that lines were cut to: several of a report are as wide as the widest one,
// of more than one kind, since those of one are as wide by chance; and no rest is behind them.
func (r *Reader) lostBehind(all [][]byte, width int) int {
	const narrowest, fewest, fewestKinds, leastIndent = 40, 3, 2, len("[1.234567] ")
	found, kinds := map[string]bool{}, map[int]bool{} // an excerpt may be there twice
	for i, line := range all {
		if utf8.RuneCount(line) != width {
			continue
		}
		next := all[min(i+1, len(all)-1)]
		c := r.g.Class(scan.SkipSpaces(next))
		if further := indentOf(next) >= leastIndent; !further && !r.logStamp(next) && (!c.any() || c.Weak) {
			return 0
		}
		l, _ := r.x.probe(line)
		if c := r.g.Class(scan.SkipSpaces(l.Text)); c.any() && !c.Weak {
			found[string(line)], kinds[c.Place] = true, true
		}
	}
	if width < narrowest || len(found) < fewest || len(kinds) < fewestKinds {
		return 0
	}
	return width
}

// restsOf counts the lines that have stamps, and tells which others come right behind one.
func (r *Reader) restsOf(all [][]byte) (stamps int, rests []int) {
	_, kmsg := ParseKmsg(bytes.Join(all[:min(len(all), 1)], nil))
	for i, left, indent := 0, 0, 0; i < len(all); i++ {
		line := all[i]
		l, _ := r.x.probe(line)
		switch {
		case !hasWord(line):
			left = 0
		case l.marked():
			stamps++
			left, indent = maxWrapped, l.Indent
		case beginsChat(line):
			left = 0
		case kmsg && line[0] == ' ': // a record's dictionary
		case indent > 0 && indentOf(line) >= indent: // a further line of one text
		case left > 0:
			left--
			rests = append(rests, i)
		}
	}
	return stamps, rests
}

// softWidth is the width between whose words the most lines are broken, and how many are.
func softWidth(all [][]byte, rests []int) (w wrapping, lines int) {
	const narrowest = 60
	var broken [longestSoft + 1]int
	for _, i := range rests {
		n := utf8.RuneCount(all[i-1])
		first, _ := scan.Field(unquote(all[i]))
		for w := max(n, narrowest); w <= longestSoft && w < n+1+utf8.RuneCount(first); w++ {
			broken[w]++
		}
	}
	best := longestSoft
	for w := longestSoft - 1; w >= narrowest; w-- {
		if broken[w] > broken[best] {
			best = w
		}
	}
	return wrapping{width: best}, broken[best]
}

// logStamp says whether a line has the log's stamp.
func (r *Reader) logStamp(b []byte) bool {
	l, _ := r.x.probe(b)
	return l.marked()
}

func (w *wrapping) count(n *[2]int, line, next []byte) {
	sure, possible := w.full(line, next)
	if sure {
		n[0]++
	}
	if possible {
		n[1]++
	}
}

// full says whether a line has no room for how the next one begins; possibly where blanks
// between them are lost.
func (w *wrapping) full(line, next []byte) (sure, possible bool) {
	const marks, blanks = 3, 26 // what quotes one line and not the other; columns of a table
	n := utf8.RuneCount(line)
	if w.hard {
		return n == w.width, n <= w.width && n >= w.width-blanks
	}
	first, _ := scan.Field(unquote(next))
	with := n + 1 + utf8.RuneCount(first)
	return with > w.width-marks, with > w.width-blanks
}

// hasWord says whether there is a letter or a digit in a line: a console's noise has none.
func hasWord(b []byte) bool { return bytes.ContainsAny(b, wordParts) }

// unquote takes off what mail puts before a line.
func unquote(b []byte) []byte { return bytes.TrimLeft(b, "> \t") }

// quoteOf is what mail puts before a line.
func quoteOf(b []byte) []byte {
	quote := b[:len(b)-len(unquote(b))]
	if bytes.IndexByte(quote, '>') < 0 {
		return nil
	}
	return bytes.Clone(quote) // reading on overwrites the line
}

// indentOf is how many blanks a text begins with.
func indentOf(b []byte) int { return len(b) - len(bytes.TrimLeft(b, " ")) }

// unwrap puts a wrapped line together with the next ones. What is indented as far as the text is, is
// a further line of it.
func (r *Reader) unwrap(raw, quote []byte) {
	w, indent := &r.wrapping, max(r.line.Indent, indentOf(raw))
	r.joined = append(r.joined[:0], bytes.TrimRight(raw, "\r \t")...)
	last := bytes.Clone(r.joined)
	for range maxWrapped {
		next, ok := r.src.peekLine()
		next = bytes.TrimRight(next, "\r \t")
		sure, full := w.full(last, next)
		within := w.hard && sure && scan.First(next) == ']' // "lowmem_reserve[" and "]: 0 0"
		if !ok || !full || !hasWord(next) || endsPaste(next) && !within || beginsChat(next) || r.logStamp(next) ||
			w.hard && indent > 0 && indentOf(next) >= indent {
			break
		}
		if w.hard { // blanks at the end are lost
			gap := w.width - utf8.RuneCount(last)
			r.joined = append(append(r.joined, bytes.Repeat([]byte(" "), gap)...), bytes.TrimPrefix(next, quote)...)
		} else {
			r.joined = append(append(r.joined, ' '), unquote(next)...)
		}
		last = append(last[:0], next...)
		r.src.skipLine()
	}
	r.line, _ = r.x.line(r.joined)
}

// continues says whether a raw line can be the rest of the one before: it has no prefix,
// is not indented as a text's further lines are, and is nothing by itself.
func (r *Reader) continues(before, raw []byte) ([]byte, bool) {
	raw = r.x.cutTrailer(r.x.cutLead(bytes.TrimRight(raw, "\r\n \t")))
	if len(raw) == 0 || r.x.page && bytes.IndexByte(raw, '<') >= 0 {
		return nil, false
	}
	switch rest, joint := killRest(before, raw, r.g); joint {
	case jointNone:
		return nil, false
	case jointBlank, jointTight: // however far it is indented
		return rest, true
	}
	if len(raw) > longestRest(before) || endsPaste(raw) || beginsChat(raw) {
		return nil, false
	}
	if l, ok := r.x.probe(raw); !ok || l.marked() {
		return nil, false
	}
	b := undecorate(plain(nil, raw), r.g)
	if isRowsRest(before, scan.SkipSpaces(b)) { // a column, as wide as those of the table
		return scan.SkipSpaces(b), true
	}
	if len(b) == 0 || b[0] == ' ' && len(b) > 8 && len(scan.SkipSpaces(b)) < len(b)-8 || stamped(b) {
		return nil, false
	}
	b = scan.SkipSpaces(b)
	c := r.g.Class(b)
	if c.Header || c.Own || c.Part && !c.Weak && (!c.Frame || !bytes.HasSuffix(before, []byte("?"))) {
		return nil, false
	}
	before = scan.SkipSpaces(before)
	if isProse(before, b, r.g) {
		return nil, false
	}
	if isZones(before) {
		word, _ := scan.Field(b)
		if last := brokenWord(before); last != nil {
			whole := append(bytes.Clone(last), word...)
			return b, brokenWord(whole) == nil || bytes.ContainsAny(word, ":*")
		}
		return b, word[len(word)-1] != ':' && (scan.Contains(word, "kB") || bytes.ContainsAny(word, ":*=?("))
	}
	return b, true
}

// isZones says whether a line is a node's or a zone's.
func isZones(b []byte) bool {
	return scan.HasPrefix(b, "Node ") || scan.Contains(b, " free:") || scan.Contains(b, ": ") && scan.Contains(b, "*4kB")
}

// brokenWord is the last word of a node's or a zone's line where the kernel has none such:
// "0*40" of "0*4096kB", "mlocked:0k". It is nil for a whole one.
func brokenWord(b []byte) []byte {
	last := b[bytes.LastIndexByte(b, ' ')+1:]
	switch {
	case len(last) == 0, scan.HasPrefix(last, "pages_scanned:"), bytes.IndexByte(last, '=') >= 0, last[0] == '(' && last[len(last)-1] == ')':
		return nil
	}
	for _, end := range [...]string{"kB", "KB", "?", "yes", "no"} {
		if bytes.HasSuffix(last, []byte(end)) {
			return nil
		}
	}
	return last
}

// isProse says whether a text cannot be the rest of a header or of a row: what is in a header
// behind the name has signs, and the name in a row is short.
func isProse(before, rest []byte, g Grammar) bool {
	const longestName = 15
	switch {
	case len(before) > 1 && before[0] == '[' && (scan.IsDigit(before[1]) || before[1] == ' '):
		return len(rest) > longestName && !scan.IsDigit(rest[0]) && rest[0] != '-' && bytes.IndexByte(rest, ']') < 0
	case g.Class(before).Header:
		word, _ := scan.Field(rest)
		return !bytes.ContainsAny(word, "=()|") && (before[len(before)-1] != '=' || !scan.IsDigit(rest[0]))
	}
	return false
}

// isRowsRest says whether a row of the tasks table, which has only numbers so far, goes on so.
func isRowsRest(row, rest []byte) bool {
	row = scan.SkipSpaces(row)
	if len(row) == 0 || len(rest) == 0 || row[0] != '[' || !scan.IsDigit(row[len(row)-1]) {
		return false
	}
	number, _ := scan.Field(bytes.TrimPrefix(rest, []byte("-")))
	_, after, ok := scan.Uint(number)
	return ok && len(after) == 0
}

// longestRest is how long the rest of a line may be: some are all of numbers.
func longestRest(before []byte) int {
	const words, numbers = 120, 600
	before = scan.SkipSpaces(before)
	if scan.HasPrefix(before, statsMark) || scan.HasPrefix(before, "Node ") || scan.Contains(before, " free:") {
		return numbers
	}
	return words
}

// endsPaste says whether a line closes what a forum or a wiki sets a log in.
func endsPaste(b []byte) bool {
	// A bracket is the end of a list of strings.
	return prefixOf(scan.SkipSpaces(b), "]", "}", "```", "~~~", "[/", "</", "{noformat", "{code", "--", "...") != ""
}

// rejoin puts together what mail has wrapped: raw is the line at hand, and the next ones are
// still to be read.
func (r *Reader) rejoin(raw []byte) {
	const shortest = 16
	l, quote := &r.line, quoteOf(raw)
	if r.wrapping.width > 0 && (l.marked() || r.wrapping.hard && indentOf(raw) > 0) {
		r.unwrap(raw, quote)
		raw = bytes.Clone(r.joined)
	}
	text := bytes.TrimRight(raw, "\r \t")
	switch {
	case r.wrapping.lost > 0 && utf8.RuneCount(text) == r.wrapping.lost:
		r.cutLost()
		return
	case len(raw) < shortest:
		return
	case !r.g.Unfinished(l.Text) || cutShort(l.Text):
		r.mendNumber(raw)
		return
	}
	r.joined = append(r.joined[:0], r.x.cutTrailer(bytes.TrimRight(raw, " \t"))...)
	*l, _ = r.x.line(r.joined) // reading on overwrites what was read
	for range maxWrapped {
		next, more := r.src.peekLine()
		rest, ok := r.continues(l.Text, bytes.TrimPrefix(next, quote))
		if !more || !ok {
			break
		}
		whole := len(r.joined)
		r.joined = append(append(r.joined, ' '), rest...)
		joined, ok := r.x.line(r.joined)
		tight := killJoint(l.Text, rest) == jointTight || isZones(scan.SkipSpaces(l.Text)) && brokenWord(l.Text) != nil
		if ok && (inFlags(l.Text) || tight || (isSolid(joined.Text) || rest[0] == ':') && r.g.Unfinished(joined.Text)) {
			// A terminal breaks within a word.
			copy(r.joined[whole:], rest)
			r.joined = r.joined[:len(r.joined)-1]
			joined, ok = r.x.line(r.joined)
		}
		if !ok {
			r.joined = r.joined[:whole]
			break
		}
		r.src.skipLine()
		if *l = joined; !r.g.Unfinished(l.Text) || cutShort(l.Text) {
			break
		}
	}
	if *l, _ = r.x.line(r.joined); len(r.joined) > len(raw) {
		r.mendNumber(bytes.Clone(r.joined))
	}
}

// cutLost leaves nothing of a number that a pager may have cut. Of a row, the table's heading tells.
func (r *Reader) cutLost() {
	if scan.First(r.line.Text) == '[' {
		return
	}
	text := bytes.TrimSuffix(bytes.TrimRight(r.line.Text, "\r \t"), []byte(">"))
	if mask := bytes.TrimRight(text, decimals+"abcdef"); bytes.HasSuffix(mask, []byte("gfp_mask=0x")) {
		text = append(bytes.Clone(text), '*') // as people hide digits
	}
	if scan.Contains(text, KilledMark) && bytes.HasSuffix(text, []byte("kB")) {
		text = append(bytes.Clone(text), ',') // more sizes may follow
	}
	r.line.Text = r.cutNumberOff(text)
}

// mendNumber puts a number together that a terminal has broken, where the log is not known to be
// wrapped. Of one that may go on in another way nothing is left.
func (r *Reader) mendNumber(raw []byte) {
	const narrowest = 40
	raw = bytes.TrimRight(raw, "\r \t")
	if r.wrapping.width > 0 || len(raw) < narrowest || !scan.IsDigit(raw[len(raw)-1]) || !r.src.numberNext() ||
		len(r.cutNumberOff(r.line.Text)) == len(r.line.Text) {
		return
	}
	r.joined = append(r.joined[:0], raw...)
	r.line, _ = r.x.line(r.joined) // reading on overwrites what was read
	next, _ := r.src.peekLine()
	next = bytes.TrimRight(next, "\r \t")
	n, own := digitsOf(next), digitsOf(raw)
	l, _ := r.x.probe(next) // "12 " may be a line's number
	after := scan.SkipSpaces(next[n:])
	isRest := len(after) == 0 || next[n] == ' ' && (r.g.Class(after).Part || only(after, decimals+" "))
	numbered := own > 0 && own < len(raw) && raw[own] == ' '
	if n == 0 || numbered || l.marked() || len(l.Text) < len(next) || r.g.Class(next).any() || !isRest {
		return
	}
	if name := bytes.TrimRight(r.line.Text, decimals); bytes.HasSuffix(name, []byte(" ")) { // of a list
		r.line.Text = name
		return
	}
	r.joined = append(r.joined, next...)
	r.line, _ = r.x.line(r.joined)
	r.src.skipLine()
}

// cutNumberOff takes the number off that a text ends in: any of a line of counters, in which there is
// no name, and of others what is behind a key.
func (r *Reader) cutNumberOff(b []byte) []byte {
	name := bytes.TrimRight(b, decimals)
	for _, key := range [...]string{"oom_score_adj=", "oom_score_adj:", "uid=", "UID:", "UID "} {
		if bytes.HasSuffix(bytes.TrimSuffix(name, []byte("-")), []byte(key)) {
			return name
		}
	}
	text := scan.SkipSpaces(b)
	if len(name) == len(b) || len(text) == 0 || text[0] == '[' {
		return b
	}
	if c := r.g.Class(text); !c.Part || c.Own || c.Header || c.Frame {
		return b
	}
	return name
}

// inFlags says whether a header breaks off within the names of its flags, which have no blanks.
func inFlags(b []byte) bool {
	i := bytes.Index(b, []byte("gfp_mask="))
	return i >= 0 && bytes.IndexByte(b[i:], '(') >= 0 && bytes.IndexByte(b[i:], ')') < 0 && b[len(b)-1] != ' '
}

// isSolid says whether a line has no blanks of its own, so that it cannot have been
// broken at one.
func isSolid(b []byte) bool {
	b = scan.SkipSpaces(b)
	return scan.HasPrefix(b, SummaryMark) || scan.HasPrefix(b, statsMark) || scan.HasPrefix(b, "Task in ")
}

const statsMark = "Memory cgroup stats for "
