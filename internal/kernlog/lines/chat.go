package lines

import (
	"bytes"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// cutChat takes off what a chat puts before each line: a clock, and a name in the way of one
// of the chats. Both are theirs, and tell nothing of when the kernel said it. A level is no
// name: that line is a program's.
func cutChat(b []byte) (said []byte, ok bool) {
	clock, rest := chatClock(b)
	if len(clock) == 0 || len(rest) < 2 {
		return b, false
	}
	if clock[0] == '[' && isLetter(rest[0]) { // Discord, compact: "[3:04 PM]bob: "
		name, said, ok := bytes.Cut(rest, []byte(": "))
		return said, ok && isNick(name) && bytes.HasSuffix(clock, []byte("M]"))
	}
	if name, said, ok := bytes.Cut(rest, []byte(": ")); ok && clock[len(clock)-1] == '-' { // WhatsApp: "07/03/2025, 05:11 - J Doe: "
		return said, bytes.IndexByte(clock, ',') > 0 && isNick(bytes.ReplaceAll(bytes.TrimSpace(name), []byte(" "), nil))
	}
	if rest[0] == '\t' { // WeeChat's file
		name, said, ok := bytes.Cut(rest[1:], []byte("\t"))
		return said, ok && len(clock) == len("2006-01-02 15:04:05") && clock[10] == ' ' && isNick(name)
	}
	rest = scan.SkipSpaces(rest)
	if scan.First(rest) == '#' {
		_, rest = scan.Field(rest)
	}
	if scan.First(rest) == '<' {
		name, said, ok := bytes.Cut(rest[1:], []byte(">"))
		return said[min(1, len(said)):], ok && isNick(name) && len(said) > 0 && (said[0] == ' ' || said[0] == '\t')
	}
	name, rest := scan.Field(rest)
	said, ok = bytes.CutPrefix(rest, []byte("| ")) // WeeChat
	return said, ok && bytes.IndexByte(clock, '-') < 0 && isNick(name)
}

// chatClock parts a chat's clock from what follows it: "[10:03]", "10:03:11", "3:04 PM",
// with a date before it or without. Nil for none; the kernel's own have no colon, or the
// day of the week.
func chatClock(b []byte) (clock, rest []byte) {
	const longest = 40
	n := 0
	if len(b) > 4 && b[3] == ' ' && monthOf(b[:3]) {
		n = 4
	}
	colons := 0
	for ; n < min(len(b), longest); n++ {
		switch c := b[n]; {
		case scan.IsDigit(c), c == '/', c == '.', c == '-', c == ',', c == '+':
		case c == ':' && n > 0 && scan.IsDigit(b[n-1]):
			colons++
		case c == ' ' && n+1 < len(b) && (scan.IsDigit(b[n+1]) || b[n+1] == '-' || b[n+1] == ' ' && n < 6), c == '[' && n == 0:
		case (c == 'T' || c == 'Z') && n > 0 && scan.IsDigit(b[n-1]):
		case c == ' ' && isNoon(b[n+1:]):
			n += 2
		case c == ']' && b[0] == '[' && colons > 0:
			return b[:n+1], b[n+1:]
		case colons == 0, b[0] == '[':
			return nil, b
		default:
			return b[:n], b[n:]
		}
	}
	if colons > 0 && n == len(b) && b[0] != '[' {
		return b, nil
	}
	return nil, b
}

// beginsChat says whether a line has a chat's clock: with what somebody said behind it, or,
// on a line of its own, with the name before it or behind it. No line of the kernel's goes on so.
func beginsChat(b []byte) bool {
	const longest = 64
	if clock, _ := chatClock(scan.SkipSpaces(b)); len(clock) > 0 {
		return true
	}
	b = bytes.TrimRight(b, " \t\r]:")
	if len(b) > longest {
		return false
	}
	if n := len(b) - len(" PM"); n > 0 && b[n] == ' ' && b[n+2] == 'M' {
		b = b[:n]
	}
	i := bytes.IndexByte(b, ':')
	_, rest, ok := scan.Uint(b[i+1:])
	return i > 0 && scan.IsDigit(b[i-1]) && ok && (len(rest) == 0 || rest[0] == ':' && len(rest) == len(":00"))
}

// isNoon says whether "AM" or "PM" is next.
func isNoon(b []byte) bool {
	return len(b) > 1 && (b[0] == 'A' || b[0] == 'P') && b[1] == 'M' && (len(b) == 2 || !isWordPart(b[2]))
}

// isNick says whether this can be somebody's name in a chat, with a mark of rank before it.
func isNick(b []byte) bool {
	const longest = 32
	b = bytes.TrimLeft(b, " @+%&~!")
	if len(b) == 0 || len(b) > longest || isLevel(b) {
		return false
	}
	if bytes.ContainsFunc(b, func(r rune) bool { return r <= ' ' || strings.ContainsRune("<>:/()", r) }) {
		return false
	}
	switch string(bytes.ToLower(b)) {
	case "emerg", "emergency", "alert", "crit", "critical", "err", "error", "warn", "warning", "notice", "info", "debug", "trace", "fatal", "panic":
		return false
	}
	return true
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 }
