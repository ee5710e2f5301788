package lines

import (
	"bytes"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// joint is how the rest of a line that mail or a terminal has wrapped comes behind its begin.
type joint int

const (
	jointOpen  joint = iota // nothing is known
	jointNone               // it is not the rest
	jointBlank              // behind a blank
	jointTight              // within a word
)

// killWords are what a kill's line begins with, as far as it is the same in all of them.
var killWords = [...]string{
	"Memory cgroup out of memory: " + KilledMark, "Memory cgroup out of memory: " + KillMark, "Out of memory: " + KilledMark,
	"Out of memory: " + KillMark, "Out of memory (oom_kill_allocating_task): " + KilledMark, KilledMark, KillMark, vzWords,
}

// The words of OpenVZ's kernels: the container's number is between them.
const vzWords, vzVerb = "Out of memory in UB ", ": OOM killed process "

// WithinKill says whether a text breaks off within the words that a kill's line begins with.
func WithinKill(b []byte) bool {
	within, _ := wordsJoint(bytes.TrimRight(b, " "), nil)
	return within
}

// wordsJoint says it, and how the rest goes on with those words.
func wordsJoint(b, rest []byte) (within bool, j joint) {
	const fewest = len("Killed")
	if len(b) < fewest {
		return false, jointNone
	}
	try := func(begun []byte, words string) bool {
		if len(begun) >= len(words) || words[:len(begun)] != string(begun) {
			return false
		}
		within = true
		if len(begun) == len(words)-1 { // a number follows
			if _, after, ok := scan.Uint(rest); ok && (len(after) == 0 || bytes.IndexByte([]byte(" ,:("), after[0]) >= 0) {
				j = jointBlank
			}
			return j != jointNone
		}
		left := strings.TrimLeft(words[len(begun):], " ")
		if n := min(len(left), len(rest)); n > 0 && string(rest[:n]) == left[:n] {
			if j = jointTight; words[len(begun)] == ' ' {
				j = jointBlank
			}
			return true
		}
		return false
	}
	j = jointNone
	for _, words := range &killWords {
		if try(b, words) {
			return true, j
		}
	}
	if _, after, ok := scan.Uint(bytes.TrimPrefix(b, []byte(vzWords))); ok && scan.HasPrefix(b, vzWords) {
		try(after, vzVerb)
	}
	return within, j
}

// killRest is what a raw line adds to a kill's that breaks off, without what is around it.
func killRest(before, raw []byte, g Grammar) (rest []byte, j joint) {
	const longest = 320 // with all fields
	rest = unquote(raw)
	if j = killJoint(before, rest); j == jointNone {
		rest = scan.SkipSpaces(undecorate(plain(nil, rest), g))
		j = killJoint(before, rest)
	}
	if len(rest) > longest && j != jointOpen {
		j = jointNone
	}
	return rest, j
}

// killJoint says of the line behind one of a kill that breaks off whether it is its rest. Behind
// the name there are only the kernel's fields, so that no prose is taken for it.
func killJoint(before, rest []byte) joint {
	before = bytes.TrimRight(scan.SkipSpaces(before), " ")
	if within, j := wordsJoint(before, rest); within {
		return j
	}
	for _, mark := range [...]string{KilledMark, KillMark, "killed process "} {
		i := bytes.Index(before, []byte(mark))
		if i < 0 || scan.HasPrefix(before, SummaryMark) {
			continue
		}
		named := before[i+len(mark):]
		open := bytes.IndexByte(named, '(')
		if open < 0 {
			return beginsWith(rest, "(", ", UID ", "UID ")
		}
		return nameJoint(named[open+1:], rest)
	}
	return jointOpen
}

// nameJoint says it where the name has begun.
func nameJoint(name, rest []byte) joint {
	const longest = 15
	end := bytes.LastIndexByte(name, ')')
	fields := bytes.TrimLeft(name[end+1:], " ,")
	switch first, _ := scan.Field(fields); {
	case end >= 0 && len(fields) == 0:
		return beginsWith(rest, "total-", "vsz:", ", UID ", "UID ", "score ")
	case end >= 0 && (fieldPart(first) || string(first) == "UID" || string(first) == "score"):
		return fieldJoint(fields, rest)
	}
	if i := bytes.IndexByte(rest, ')'); i >= 0 && len(name)+i <= longest {
		return jointOpen // dmesg indents what is behind a newline in a name
	}
	return jointNone
}

// fieldJoint says it where the fields have begun.
func fieldJoint(fields, rest []byte) joint {
	last := fields[bytes.LastIndexByte(fields, ' ')+1:]
	first, more := scan.Field(rest)
	whole := bytes.IndexByte(first, ':') > 0 || len(scan.SkipSpaces(more)) == 0
	switch {
	case len(first) == 0:
		return jointNone
	case bytes.IndexByte(last, ',') < 0 && fieldPart(append(bytes.Clone(last), first...)):
		return jointTight
	case fieldPart(first) && whole, (string(last) == "UID" || string(last) == "score") && scan.IsDigit(first[0]):
		return jointBlank
	}
	return jointNone
}

// beginsWith is a joint behind a blank where a text begins as one of them.
func beginsWith(b []byte, begins ...string) joint {
	if prefixOf(b, begins...) != "" {
		return jointBlank
	}
	return jointNone
}

// fieldPart says whether a text is a field of a kill's line, or the begin of one.
func fieldPart(b []byte) bool {
	const fewest, unit = len("UI"), "kB,"
	name, value, ok := bytes.Cut(b, []byte(":"))
	if !ok {
		begins := func(key string) bool { return len(b) <= len(key) && key[:len(b)] == string(b) }
		return len(b) >= fewest && slices.ContainsFunc(killKeys[:], begins)
	}
	openVZ := [...]string{"vm", "rss", "swap"}
	if !slices.Contains(killKeys[:], string(name)) && !slices.Contains(openVZ[:], string(name)) {
		return false
	}
	value = bytes.TrimPrefix(value, []byte("-"))
	value = value[digitsOf(value):]
	return strings.HasPrefix(unit, string(value)) || string(value) == ","
}

// killKeys are the names of fields that stand in kill lines only.
var killKeys = [...]string{"total-vm", "anon-rss", "file-rss", "shmem-rss", "pgtables", "UID", "oom_score_adj"}

// cutShort says whether somebody has cut a line and said so: "anon-rss:4kB, ...".
func cutShort(b []byte) bool {
	b = bytes.TrimRight(b, " )]>}\"'")
	return bytes.HasSuffix(b, []byte("...")) || bytes.HasSuffix(b, []byte("…"))
}
