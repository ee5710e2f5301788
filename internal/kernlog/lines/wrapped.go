package lines

import (
	"bytes"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// maxWrapped is how many lines mail makes of one at most.
const maxWrapped = 12

// continues says whether a raw line can be the rest of the one before: it has no prefix,
// is not indented as a text's further lines are, and is nothing by itself.
func (r *Reader) continues(before, raw []byte) ([]byte, bool) {
	raw = bytes.TrimRight(raw, "\r\n \t")
	if len(raw) == 0 || len(raw) > 120 || r.x.page && bytes.IndexByte(raw, '<') >= 0 || endsPaste(raw) {
		return nil, false
	}
	probe := prefixes{o: r.x.o, g: r.g}
	if l, ok := probe.line(raw); !ok || l.Exact || l.Uptime.Known || !l.Time.IsZero() {
		return nil, false
	}
	b := undecorate(plain(nil, raw), r.g)
	if in := scan.SkipSpaces(b); killField(in) { // however far it is indented
		return in, true
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
	if scan.HasPrefix(before, "Node ") || scan.Contains(before, " free:") {
		word, _ := scan.Field(b)
		return b, scan.Contains(word, "kB") || bytes.ContainsAny(word, ":*=?(")
	}
	return b, true
}

// endsPaste says whether a line closes what a forum or a wiki sets a log in.
func endsPaste(b []byte) bool {
	b = scan.SkipSpaces(b)
	for _, end := range [...]string{"```", "~~~", "[/", "</", "{noformat", "{code", "---", "..."} {
		if scan.HasPrefix(b, end) {
			return true
		}
	}
	return false
}

// rejoin puts together what mail has wrapped: l is the line at raw, and the next ones are
// still to be read.
func (r *Reader) rejoin(l *Line, raw []byte) {
	const shortest = 16
	if len(raw) < shortest || !r.g.Unfinished(l.Text) {
		return
	}
	r.joined = append(r.joined[:0], raw...)
	number, cut := l.Number, l.Cut
	*l, _ = r.x.line(r.joined) // reading on overwrites what was read
	for range maxWrapped {
		next, ok := r.src.peekLine()
		if !ok {
			break
		}
		rest, ok := r.continues(l.Text, next)
		if !ok {
			break
		}
		whole := len(r.joined)
		r.joined = append(append(r.joined, ' '), rest...)
		joined, ok := r.x.line(r.joined)
		if ok && isSolid(joined.Text) && r.g.Unfinished(joined.Text) {
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
		if *l = joined; !r.g.Unfinished(l.Text) {
			break
		}
	}
	*l, _ = r.x.line(r.joined)
	l.Number, l.Cut = number, cut
}

// killField says whether a text begins with what stands in kill lines only.
func killField(b []byte) bool {
	name, value, ok := bytes.Cut(b[:min(len(b), 24)], []byte(":"))
	if !ok || len(value) == 0 {
		return false
	}
	switch string(name) {
	case "total-vm", "anon-rss", "file-rss", "shmem-rss", "pgtables", "UID", "oom_score_adj":
		return scan.IsDigit(value[0]) || value[0] == '-'
	}
	return false
}

// isSolid says whether a line has no blanks of its own, so that it cannot have been
// broken at one.
func isSolid(b []byte) bool { return scan.HasPrefix(scan.SkipSpaces(b), SummaryMark) }
