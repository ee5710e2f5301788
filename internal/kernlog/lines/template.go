package lines

import (
	"bytes"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// isTemplate says whether a line is a program's, and prints a kill: code stands before a quote, and
// behind it a placeholder in place of a process's number or name. In a log such a name may be real.
func isTemplate(b []byte) bool {
	at := -1
	for _, mark := range [...]string{KilledMark, KillMark, HeaderMark} {
		if at = bytes.Index(b, []byte(mark)); at >= 0 {
			break
		}
	}
	if at < 0 || stamped(b) {
		return false
	}
	quote := bytes.IndexAny(b[:at], "\"'`")
	if quote < 0 || len(scan.SkipSpaces(b[:quote])) == 0 {
		return false
	}
	before := bytes.TrimRight(b[quote+1:at], " ")
	rest := b[at:]
	rest = rest[bytes.IndexByte(rest, ' ')+1:] // "process "
	_, rest, _ = bytes.Cut(rest, []byte(" "))
	number, name, _ := bytes.Cut(rest, []byte(" ("))
	comm := before[bytes.LastIndexByte(before, ' ')+1:]
	return isPlaceholder(number) || isPlaceholder(name) || isPlaceholder(comm)
}

// isPlaceholder says whether a text begins with what a language puts a value for.
func isPlaceholder(b []byte) bool {
	return prefixOf(b, "%", "{", "$", "#{", `\(`, `" +`, `' +`) != ""
}
