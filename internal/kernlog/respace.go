package kernlog

import (
	"bytes"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// headerAt finds the words of a header. Blanks between them may be lost or doubled.
func headerAt(b []byte) (at int, ok bool) {
	const last, first = "oom-killer:", "invoked"
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(last))
		if i < 0 {
			return 0, false
		}
		from += i
		before := bytes.TrimRight(b[:from], " ")
		if at = len(before) - len(first); at >= 0 && string(before[at:]) == first && (at == 0 || b[at-1] == ' ') {
			return at, true
		}
		from += len(last)
	}
}

// respace gives a kill line the blanks that the kernel prints, where some were lost or
// doubled on the way: around the words that are known, never within a name. Any other
// line stays as it is.
func respace(b []byte) []byte {
	i := bytes.Index(b, []byte("Kill"))
	if i < 0 || bytes.IndexByte(b[:i], '/') >= 0 || isHeader(b) || scan.HasPrefix(b, lines.SummaryMark) || scan.HasPrefix(b, reaperMark) {
		return b
	}
	mark, rest, ok := cutMark(b[i:])
	if !ok {
		return b
	}
	number := rest
	pid, rest, ok := scan.PID(number)
	if !ok || pid == 0 {
		return b
	}
	number = number[:len(number)-len(rest)]
	if rest = scan.SkipSpaces(rest); scan.First(rest) != '(' { // RHEL 6 has the user here
		return b
	}
	reason := respaceReason(b[:i])
	name, sizes := cutSizes(rest)
	if sizes == nil && len(reason) == 0 && !scan.HasPrefix(b[i:], mark) {
		return b // too little of a kill line to mend
	}
	return slices.Concat(reason, []byte(mark), number, []byte(" "), name, spaceKeys(sizes))
}

// cutMark takes "Killed process " or "Kill process " off, whatever its blanks.
func cutMark(b []byte) (mark string, rest []byte, ok bool) {
	for _, mark := range [...]string{lines.KilledMark, lines.KillMark} {
		verb, _, _ := bytes.Cut([]byte(mark), []byte(" "))
		rest, ok := bytes.CutPrefix(b, verb)
		if !ok || scan.First(rest) == 'e' {
			continue
		}
		if rest, ok = bytes.CutPrefix(scan.SkipSpaces(rest), []byte("process")); ok {
			return mark, scan.SkipSpaces(rest), true
		}
	}
	return "", nil, false
}

// respaceReason gives a reason of which only the blanks are others as the kernel writes it.
func respaceReason(b []byte) []byte {
	for i := range messages {
		if text := messages[i].text; !messages[i].bare && len(b) > 0 && sameLetters(b, text) {
			return []byte(text)
		}
	}
	return b
}

// sameLetters says whether two texts differ in nothing but blanks.
func sameLetters(b []byte, text string) bool {
	for _, c := range b {
		if c == ' ' {
			continue
		}
		for len(text) > 0 && text[0] == ' ' {
			text = text[1:]
		}
		if len(text) == 0 || text[0] != c {
			return false
		}
		text = text[1:]
	}
	return strings.TrimLeft(text, " ") == ""
}

// cutSizes parts what follows the name from the name, with its bracket and the first blank.
func cutSizes(b []byte) (name, sizes []byte) {
	for end := bytes.LastIndexByte(b, ')'); end >= 0; end = bytes.LastIndexByte(b[:end], ')') {
		name, in := b[:end+1:end+1], scan.SkipSpaces(b[end+1:])
		for _, key := range [...]string{"total-vm:", "vsz:"} {
			if scan.HasPrefix(in, key) {
				return append(name, ' '), in
			}
		}
		if score, ok := bytes.CutPrefix(in, []byte("score")); ok {
			return append(name, " score "...), scan.SkipSpaces(score)
		}
		comma, ok := bytes.CutPrefix(in, []byte(","))
		uid, ok2 := bytes.CutPrefix(scan.SkipSpaces(comma), []byte("UID"))
		uid = scan.SkipSpaces(uid)
		if _, rest, ok3 := scan.Uint(uid); ok && ok2 && ok3 && scan.First(rest) == ',' { // RHEL 7 and 8
			name = append(append(append(name, ", UID "...), uid[:len(uid)-len(rest)]...), ", "...)
			return name, scan.SkipSpaces(rest[1:])
		}
	}
	return b, nil
}

// spaceKeys puts the blank before each key of a kill line that lacks it.
func spaceKeys(b []byte) []byte {
	out := b
	for _, key := range [...]string{"anon-rss:", "file-rss:", "shmem-rss:", "UID:", "pgtables:", "oom_score_adj:"} {
		if i := bytes.Index(out, []byte(key)); i > 0 && out[i-1] != ' ' {
			out = slices.Concat(out[:i], []byte(" "), out[i:])
		}
	}
	return out
}
