package lines

import (
	"bytes"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// Kubernetes has the kernel's kill lines in events, by node-problem-detector.

// eventReason is that of the events.
const eventReason = " OOMKilling "

// cutEvent takes off the columns that kubectl prints before an event's message, and those
// behind it.
func cutEvent(b []byte, g Grammar) []byte {
	const longest = 160
	i := bytes.Index(b[:min(len(b), longest)], []byte(eventReason))
	if i < 0 || !scan.Contains(b[:i], "Warning") || stamped(b) || g.Class(b).Own {
		return b
	}
	rest := b[i+len(eventReason):]
	for _, begin := range [...]string{"Memory cgroup out of memory: ", "Out of memory: ", KilledMark} {
		if at := bytes.Index(rest, []byte(begin)); at >= 0 {
			text, _, _ := bytes.Cut(rest[at:], []byte("   "))
			return text
		}
	}
	return b
}

// events reads a list of events in YAML as kubectl prints it: no more of YAML than that.
type events struct {
	item  int // how far the items of the list are indented
	path  []step
	name  string // of the value that may go on
	quote byte
}

// step is a key that others are below.
type step struct {
	indent int
	key    string // no more of it than longestName
}

// longestName is more than any name that is looked for has.
const longestName = 128

// nameOf joins the keys by dots, up to a name that is none that is looked for.
func (y *events) nameOf() string {
	var name []byte
	for i, s := range y.path {
		if i > 0 {
			name = append(name, '.')
		}
		if name = append(name, s.key...); len(name) >= longestName {
			break
		}
	}
	return strings.ToLower(string(name))
}

// isEvents says whether a text is such a list.
func isEvents(b []byte) bool {
	return scan.HasPrefix(b, "apiVersion: ") && scan.Contains(b, "\nitems:\n") && (scan.Contains(b, "involvedObject:") || scan.Contains(b, "kind: Event"))
}

// stepEvents reads a line of the list.
func (r *Reader) stepEvents() bool {
	raw, cut, ok := r.fieldLine()
	if !ok {
		return false
	}
	r.src.lines++ // all are counted
	y := &r.events
	line := bytes.TrimRight(raw, "\r \t")
	in := scan.SkipSpaces(line)
	indent := len(line) - len(in)
	if rest, ok := bytes.CutPrefix(in, []byte("- ")); ok {
		if len(y.path) == 0 || indent <= y.item {
			r.endEntry()
			y.item, y.path = indent, nil
		}
		in, indent = rest, indent+2
	}
	r.entry.cut = r.entry.cut || cut
	key, value, ok := bytes.Cut(in, []byte(":"))
	last := len(y.path) - 1
	if !ok || len(value) > 0 && value[0] != ' ' || !isYAMLKey(key) || last >= 0 && y.name != "" && indent > y.path[last].indent {
		r.goOn(in) // a value's further line
		return true
	}
	for last >= 0 && y.path[last].indent >= indent {
		last--
	}
	y.path = append(y.path[:last+1], step{indent, string(key[:min(len(key), longestName)])})
	y.name, y.quote = "", 0
	if value = scan.SkipSpaces(value); len(value) > 0 {
		y.name = y.nameOf()
		if isQuote(value[0]) {
			y.quote, value = value[0], value[1:]
		}
		r.entry.set(y.name, r.unquoted(value))
	}
	return true
}

func isYAMLKey(b []byte) bool { return only(b, wordParts+"./-") }

// goOn adds a further line to a value.
func (r *Reader) goOn(in []byte) {
	if role, _ := roleOf(r.events.name); role != roleNone && r.entry.has(role) {
		r.entry.further(role, " ", r.unquoted(in), r.src.max)
	}
}

// unquoted takes off the quote that ends a value, and its escapes.
func (r *Reader) unquoted(b []byte) string {
	if r.events.quote == 0 || len(b) == 0 || b[len(b)-1] != r.events.quote {
		return string(b)
	}
	return string(closeQuote(r.events.quote, b))
}
