package kernlog

import "bytes"

// maxWrapped is how many lines mail makes of one at most.
const maxWrapped = 12

// unfinished says whether a line breaks off where the kernel's does not: mail wraps lines
// at 72 to 80 columns.
func unfinished(b []byte) bool {
	b = skipSpaces(b)
	switch {
	case len(b) == 0:
		return false
	case bytes.HasSuffix(b, []byte("invoked oom-killer:")), string(b) == "?": // a guessed frame
		return true
	case contains(b, "hugepages_total="):
		return !contains(b, "hugepages_size=")
	case isHeader(b):
		return !contains(b, "oom_score_adj=") && !contains(b, "oomkilladj=") && !contains(b, "oom_adj=")
	case hasPrefix(b, summaryMark):
		_, ok := parseSummary(b)
		return !ok
	case contains(b, killedMark):
		k, ok := parseKilled(b, false)
		return !ok || k.cut
	case killIndex(b) >= 0:
		return !contains(b, ") score ") && !contains(b, "sharing same memory")
	case hasPrefix(b, "Task in "):
		return !contains(b, " killed as a result of limit of ")
	case hasPrefix(b, "CPU: "), hasPrefix(b, "Pid: "):
		return !contains(b, " #") && (contains(b, "PID: ") || b[0] == 'P')
	case b[0] == '[':
		if _, rest, ok := rowPID(b); ok {
			var values [maxColumns]int64
			n, name := numbers(rest, values[:])
			return n < len(columns310) || len(skipSpaces(name)) == 0
		}
		return isWrappedHeading(b)
	case hasPrefix(b, "Node "), contains(b, " free:"), contains(b, " hi:"):
		return contains(b, "kB")
	}
	return false
}

func isWrappedHeading(b []byte) bool { return isHeading(b) && !bytes.HasSuffix(b, []byte(" name")) }

// continues says whether a raw line can be the rest of the one before: it has no prefix,
// is not indented as a text's further lines are, and is nothing by itself.
func (r *Reader) continues(before, raw []byte) ([]byte, bool) {
	raw = bytes.TrimRight(raw, "\r\n \t")
	if len(raw) == 0 || len(raw) > 120 {
		return nil, false
	}
	probe := prefixes{o: r.x.o, now: r.x.now}
	if l, ok := probe.line(raw); !ok || l.exact || l.Uptime.Known || !l.Time.IsZero() {
		return nil, false
	}
	b := undecorate(plain(nil, raw))
	if len(b) == 0 || b[0] == ' ' && len(b) > 8 && len(skipSpaces(b)) < len(b)-8 || stamped(b) || isHeader(b) || ownLine(b) {
		return nil, false
	}
	b = skipSpaces(b)
	switch k := classify(b); {
	case k == partNone, k == partFrame && bytes.HasSuffix(before, []byte("?")):
	case k == partStat, k == partPages, k == partCount: // "0 hostapd" and the like
	default:
		return nil, false
	}
	before = skipSpaces(before)
	if hasPrefix(before, "Node ") || contains(before, " free:") {
		word, _ := nextField(b)
		return b, contains(word, "kB") || bytes.ContainsAny(word, ":*=?(")
	}
	return b, true
}

// rejoin puts together what mail has wrapped: l is the line at raw, and the next ones are
// still to be read.
func (r *Reader) rejoin(l Line, raw []byte) Line {
	const shortest = 16
	ok := true
	if len(raw) < shortest || !unfinished(l.Text) {
		return l
	}
	r.joined = append(r.joined[:0], raw...)
	if l, ok = r.relined(l); !ok {
		return l
	}
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
		if ok && unfinished(joined.Text) && isSolid(joined.Text) {
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
		joined.Number, joined.Cut = l.Number, l.Cut
		if l = joined; !unfinished(l.Text) {
			break
		}
	}
	l, _ = r.relined(l)
	return l
}

// relined reads the joined text again: what was read of it last may be of another try.
func (r *Reader) relined(l Line) (Line, bool) {
	again, ok := r.x.line(r.joined)
	if !ok {
		return l, false
	}
	again.Number, again.Cut = l.Number, l.Cut
	return again, true
}

// isSolid says whether a line has no blanks of its own, so that it cannot have been
// broken at one.
func isSolid(b []byte) bool { return hasPrefix(skipSpaces(b), summaryMark) }
