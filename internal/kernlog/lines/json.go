package lines

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// objects cuts JSON into the objects that are one entry of a log each, with all
// that is nested in them: one object a line, objects spread over lines, the
// elements of an array, also of one that is a known key's. Where an object is
// longer than it may be, it is passed over and counted.
type objects struct {
	start     int  // of the object that is open, from source.pos; -1: none
	at        int  // how far it was looked at, from source.pos
	depth     int  // of braces and brackets in the object
	text      int  // where the last string began, from source.pos
	list      bool // the last string is a key whose value holds entries
	listDepth int  // where that key is
	skipping  bool // within an object that is too long
	inString  bool
	escaped   bool
	newline   bool   // the last byte was one
	values    bool   // that key's list is of rows, if it is one of entries
	rows      bool   // the list's entries are lists
	head      []byte // what stands before the list, in the object around it
	broken    uint64 // objects without an end
}

// next returns the next object; false at the end of the input.
func (o *objects) next(s *source) ([]byte, bool) {
	most := max(s.max, min(4*s.max, len(s.buf)/3))
	for {
		b := s.buf[s.pos:s.end]
		if end := o.scan(b); end >= 0 {
			obj := b[o.start:end]
			s.lines++
			s.pos += end
			o.start, o.at = -1, 0
			return obj, true
		}
		switch {
		case o.start < 0:
			s.pos, o.at = s.end, 0
		case s.end-s.pos-o.start > most:
			s.cuts++
			s.pos, o.start, o.at, o.skipping = s.end, -1, 0, true
		case o.start > 0:
			s.pos += o.start
			o.at -= o.start
			o.text -= o.start
			o.start = 0
		}
		if !s.fill() {
			return nil, false
		}
	}
}

// scan looks on for an object's end and returns what is behind it, or -1.
func (o *objects) scan(b []byte) int {
	for o.at < len(b) {
		if o.inString {
			if !o.skipString(b) {
				return -1
			}
			continue
		}
		c := b[o.at]
		o.at++
		first := o.newline
		o.newline = c == '\n'
		switch c {
		case '"':
			// Outside of any object a quote is rubbish, or the rest of an object
			// that was too long.
			o.inString, o.text = true, o.at
		case '{':
			o.open(first)
		case '[':
			if !o.bracket(b) {
				return -1
			}
		case ',':
			o.list = false
		case '}', ']':
			if o.depth == 0 {
				o.rows = o.rows && c == '}'
				continue
			}
			if o.depth--; o.depth == 0 && !o.skipping {
				return o.at
			}
			o.skipping = o.skipping && o.depth > 0
		}
	}
	return -1
}

// bracket begins a list; false when what is in it is not there yet.
func (o *objects) bracket(b []byte) bool {
	entries := o.depth > 0 && o.start >= 0 && o.list && o.listDepth == o.depth
	switch first := inner(b[o.at-1:]); {
	case entries && (len(first) == 0 || first[0] == '[' && len(inner(first)) == 0):
		o.at--
		return false
	case entries && (first[0] == '{' && !o.values || first[0] == '[' && !columnar(b[o.start:o.at])):
		o.head, o.rows = bytes.Clone(b[o.start:o.at-1]), first[0] == '[' && inner(first)[0] != '{' // CloudWatch's are of objects
		o.start, o.depth = -1, 0                                                                   // the entries are in it
	case o.depth > 0:
		o.depth++
	case o.rows:
		o.open(false)
	}
	return true
}

// columnar says whether a list that begins here is of columns, as Grafana has them.
func columnar(b []byte) bool { return scan.Contains(b, `"schema"`) && scan.Contains(b, `"data"`) }

// open begins an object, in another or not. At the very beginning of a line no
// nested one stands: there the one before lacks its end.
func (o *objects) open(first bool) {
	if o.depth > 0 && first {
		if !o.skipping {
			o.broken++
		}
		o.depth, o.skipping = 0, false
	}
	if o.depth == 0 {
		o.start = o.at - 1
	}
	o.depth++
}

// skipString goes to the end of a string; false when that is not there yet. A
// raw line end cannot be in a string: there the log was cut.
func (o *objects) skipString(b []byte) bool {
	for ; o.at < len(b); o.at++ {
		c := b[o.at]
		switch {
		case o.escaped:
			o.escaped = false
		case c == '\\':
			o.escaped = true
		case c == '"', c == '\n':
			if o.depth > 0 && o.depth <= maxNested && o.start >= 0 {
				key := b[max(0, o.text):o.at]
				o.values, o.listDepth = string(key) == "values", o.depth
				o.list = o.values || slices.ContainsFunc(lists[:], func(l string) bool { return l == string(key) })
			}
			o.at++
			o.inString, o.newline = false, c == '\n'
			return true
		}
	}
	return false
}

// lists are the keys that hold the entries of a log.
var lists = [...]string{
	"dmesg", "entries", "events", "items", "hits", "result", "results", "logs", "data", "records", "rows", "messages",
	"comments", "posts", "series", "tables", "Tables", "Rows", "frames", "resourceLogs", "scopeLogs", "logRecords",
}

// stepJSON reads an object, or a line of text between two.
func (r *Reader) stepJSON() bool {
	text := r.obj.idle() && r.src.beginsText()
	if r.src.quiet {
		return false // too little is there to tell by
	}
	if text {
		line, cut, ok := r.src.line()
		if ok && (r.start > 0 || r.close() || MayMatter(line)) {
			r.start--
			r.feed(line, cut, int(r.src.lines))
		}
		return ok
	}
	obj, ok := r.obj.next(r.src)
	if !ok {
		return false
	}
	if !r.reads(scan.Contains(obj, `"[`), obj) {
		return true
	}
	r.stats.name(int(r.src.lines), obj)
	if obj[0] == '[' {
		r.row(obj)
		return true
	}
	fields := objectOf(obj)
	if console := fields["Output"]; console != nil { // "aws ec2 get-console-output"
		text := jsonText(console)
		if plain, err := base64.StdEncoding.DecodeString(text); err == nil && printable(plain) {
			text = string(plain)
		}
		r.console(text)
		return true
	}
	if fields == nil || !r.object(fields, entry{}) {
		r.stats.unknown(int(r.src.lines), obj)
	}
	return true
}

// idle says whether no object is open.
func (o *objects) idle() bool {
	return o.start < 0 && o.depth == 0 && !o.inString && !o.skipping
}

// beginsText says whether what comes next is a line that is no part of JSON.
func (s *source) beginsText() bool {
	for {
		b := bytes.TrimLeft(s.buf[s.pos:s.end], " \t\r\n\x1e\x00")
		if len(b) > 0 && (len(b) > 8 || s.err != nil) {
			s.pos = s.end - len(b)
			in := inner(b)
			switch b[0] {
			case '[':
				return len(in) > 0 && scan.IsDigit(in[0])
			case '{', '}', ']', ',', '"', ':':
				return false
			}
			return !scan.HasPrefix(b, "data: {") && !scan.HasPrefix(b, "\ufeff")
		}
		s.pos = s.end - len(b) // else blanks could leave no room for what follows them
		if !s.fill() {
			return false
		}
	}
}

// console reads a whole log in one string.
func (r *Reader) console(text string) {
	for line := range strings.Lines(text) {
		r.feed([]byte(line[:min(len(line), r.src.max)]), len(line) > r.src.max, int(r.src.lines))
	}
}

// object is one of JSON.
type object map[string]json.RawMessage

// objectOf reads one; nil for anything else.
func objectOf(raw []byte) (obj object) {
	if json.Unmarshal(raw, &obj) != nil {
		return nil
	}
	return obj
}

// fields flattens an object into an entry: nested keys are joined by a dot.
func (e *entry) fields(prefix string, obj object, depth int) {
	for key, raw := range obj {
		name := ""
		if len(prefix)+len(key) < longestName { // else it is none that is looked for
			name = strings.ToLower(prefix + key)
		}
		r, _ := roleOf(name)
		switch first := scan.First(raw); {
		case first == '{':
			if depth < maxNested {
				e.fields(name+".", objectOf(raw), depth+1)
			}
		case r != roleNone:
			e.set(name, jsonText(raw))
		case first == '[' && depth < maxNested:
			e.pairs(raw)
		}
	}
}

// pairs reads fields as OpenTelemetry writes them: [{"key": …, "value": {"stringValue": …}}].
func (e *entry) pairs(raw json.RawMessage) {
	var list []struct {
		Key   string
		Value struct{ StringValue json.RawMessage }
	}
	if !scan.Contains(raw, `"stringValue"`) || json.Unmarshal(raw, &list) != nil {
		return
	}
	for _, f := range list {
		e.set(strings.ToLower(f.Key), jsonText(f.Value.StringValue))
	}
}

// maxNested is how deep a known field may be in an object.
const maxNested = 3

// wrappers hold the entry that a shipper or a cloud was given; those in the second list
// where nothing else has a text.
var wrappers = [2][]string{{"jsonPayload", "_source", "result"}, {"fields", "content", "attributes", "record", "event", "post"}}

// wrapped adds what is in the wrappers.
func (e *entry) wrapped(names []string, obj object) {
	for _, key := range names {
		e.fields("", objectOf(obj[key]), 0)
	}
}

// object reads an object of dmesg --json, journalctl -o json, or a container's or
// cloud's log; e is what is known of it besides. False when there is no text in it that is
// known.
func (r *Reader) object(obj object, e entry) bool {
	if obj["field"] != nil && obj["value"] != nil {
		r.field(strings.ToLower(jsonText(obj["field"])), jsonText(obj["value"]))
		return true
	}
	e.wrapped(wrappers[0], obj)
	if !e.has(roleText) {
		e.fields("", obj, 0)
	}
	if !e.has(roleText) {
		e.wrapped(wrappers[1], obj)
	}
	if obj["msg"] != nil && (obj["pri"] != nil || obj["time"] != nil && isClock(obj["time"])) {
		// dmesg --json, with the kernel's own clock; -x has "fac".
		e.set("uptime", strings.TrimSpace(jsonText(obj["time"])))
		if !e.has(roleFacility) && !e.has(roleTransport) {
			e.set("facility", "kern")
		}
	}
	if obj["msg"] != nil && obj["sec"] != nil && obj["usec"] != nil { // Fluent Bit's kmsg
		e.set("uptime", jsonText(obj["sec"])+"."+strings.Repeat("0", max(0, 6-len(obj["usec"])))+jsonText(obj["usec"]))
		e.set("facility", "kern")
	}
	if values := obj["values"]; !e.has(roleText) && scan.First(values) == '[' {
		return r.values(values)
	}
	if r.dockerPart(obj, &e) || !e.has(roleText) && r.rowObject(obj) {
		return true
	}
	return r.takeEntry(&e, int(r.src.lines))
}

// dockerPart keeps back a container's text that has no end where others have: it is a part of a
// line.
func (r *Reader) dockerPart(obj object, e *entry) bool {
	if obj["log"] == nil || obj["stream"] == nil || obj["time"] == nil {
		return false
	}
	text := &e.values[roleText]
	if strings.HasSuffix(*text, "\n") {
		*text, r.part, r.ended = r.part+*text, "", true
		return false
	}
	if !r.ended || len(r.part)+len(*text) > r.src.max {
		return false
	}
	r.part += *text
	return true
}

// lastPart is a part that nothing followed.
func (r *Reader) lastPart() *entry {
	e := entry{cut: true}
	e.set("log", r.part)
	e.set("stream", "stdout")
	r.part = ""
	return &e
}

// field takes a field of a row of CloudWatch's, whose last one is "@ptr".
func (r *Reader) field(name, value string) {
	if role, _ := roleOf(name); name == "@ptr" || role != roleNone && r.entry.has(role) {
		r.endFields()
	}
	r.entry.set(name, value)
}

func (r *Reader) endFields() {
	if r.entry.has(roleText) {
		r.takeEntry(&r.entry, int(r.src.lines))
	}
	r.entry = entry{}
}

// isClock says whether a value is seconds since the boot, as the kernel prints them.
func isClock(raw json.RawMessage) bool {
	_, ok := uptime([]byte(jsonText(raw)))
	return ok && len(raw) < 20
}

// values reads the pairs of time and line that Loki's interface gives for a stream.
func (r *Reader) values(raw json.RawMessage) bool {
	var pairs [][]json.RawMessage
	if json.Unmarshal(raw, &pairs) != nil {
		return false
	}
	for _, pair := range pairs {
		if len(pair) < 2 {
			return false
		}
		var e entry
		e.set("timestamp", jsonText(pair[0]))
		e.set("line", jsonText(pair[1]))
		r.takeEntry(&e, int(r.src.lines))
	}
	return true
}

// jsonParts puts together a text whose parts are strings or objects with one.
func jsonParts(raw json.RawMessage) (text string, ok bool) {
	var parts []json.RawMessage
	if json.Unmarshal(raw, &parts) != nil {
		return "", false
	}
	var all strings.Builder
	for _, part := range parts {
		var object struct{ Text string }
		switch {
		case part[0] == '"':
			all.WriteString(jsonText(part))
		case part[0] == '{' && json.Unmarshal(part, &object) == nil:
			all.WriteString(object.Text)
		default:
			return "", false
		}
	}
	return all.String(), all.Len() > 0
}

// jsonText reads a string, a number, or the array of bytes that journalctl
// writes for what is not UTF-8.
func jsonText(raw json.RawMessage) string {
	switch scan.First(raw) {
	case '"':
		var s string
		_ = json.Unmarshal(raw, &s) // an error leaves it empty
		return s
	case '[':
		var texts []string
		if json.Unmarshal(raw, &texts) == nil {
			return strings.Join(texts, "\n")
		}
		if text, ok := jsonParts(raw); ok {
			return text
		}
		var list []uint8
		if json.Unmarshal(raw, &list) != nil {
			return ""
		}
		return string(list)
	}
	return string(raw)
}
