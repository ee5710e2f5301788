package kernlog

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// objects cuts JSON into the objects that are one entry of a log each, with all
// that is nested in them: one object a line, objects spread over lines, the
// elements of an array, also of one that is a known key's. Where an object is
// longer than it may be, it is passed over and counted.
type objects struct {
	start    int  // of the object that is open, from source.pos; -1: none
	at       int  // how far it was looked at, from source.pos
	depth    int  // of braces and brackets in the object
	text     int  // where the last string began, from source.pos
	list     bool // the last string is a key whose value is a list of entries
	skipping bool // within an object that is too long
	inString bool
	escaped  bool
	newline  bool // the last byte was one
	begun    bool
	broken   uint64 // objects without an end
}

// next returns the next object; false at the end of the input.
func (o *objects) next(s *source) ([]byte, bool) {
	if !o.begun {
		o.begun, o.start = true, -1
	}
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
			if o.depth == 1 && o.start >= 0 && o.list {
				o.start, o.depth = -1, 0 // the entries are in it
			} else if o.depth > 0 {
				o.depth++
			}
		case '}', ']':
			if o.depth == 0 {
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
			if o.depth == 1 && o.start >= 0 {
				o.list = isList(b[max(0, o.text):o.at])
			}
			o.at++
			o.inString, o.newline = false, c == '\n'
			return true
		}
	}
	return false
}

// isList says whether a key holds the entries of a log.
func isList(key []byte) bool {
	return string(key) == "dmesg" || string(key) == "entries" || string(key) == "events"
}

// stepJSON reads an object.
func (r *Reader) stepJSON() bool {
	obj, ok := r.obj.next(r.src)
	if !ok {
		return false
	}
	if r.start <= 0 && !r.p.busy() && !mayAnchor(obj) && !contains(obj, `"[`) {
		r.p.skip(1)
		return true
	}
	r.start--
	var fields map[string]json.RawMessage
	if json.Unmarshal(obj, &fields) != nil {
		r.unknown++
		return true
	}
	if console := fields["Output"]; console != nil { // "aws ec2 get-console-output"
		r.console(jsonText(console))
		return true
	}
	l, ok, known := r.decode(fields)
	if !known {
		r.unknown++
	}
	if ok {
		l.Number = int(r.src.lines)
		r.p.Line(l)
	}
	return true
}

// console reads a whole log in one string.
func (r *Reader) console(text string) {
	for line := range strings.Lines(text) {
		r.feed([]byte(line[:min(len(line), r.src.max)]), len(line) > r.src.max, int(r.src.lines))
	}
}

// decode reads an object of dmesg --json, journalctl -o json, or a container's
// or cloud's log. ok is false when it is no kernel message, known when there is
// no key whose meaning is known.
func (r *Reader) decode(fields map[string]json.RawMessage) (l Line, ok, known bool) {
	text := func(key string) string { return jsonText(fields[key]) }
	switch {
	case fields["MESSAGE"] != nil:
		e := entry{
			message: []byte(text("MESSAGE")), transport: text("_TRANSPORT"), identifier: text("SYSLOG_IDENTIFIER"),
			host: text("_HOSTNAME"), boot: text("_BOOT_ID"), uptimeUS: text("_SOURCE_MONOTONIC_TIMESTAMP"),
			realtimeUS: text("__REALTIME_TIMESTAMP"), sourceRealtimeUS: text("_SOURCE_REALTIME_TIMESTAMP"),
		}
		l, ok = e.line()
	case fields["msg"] != nil && (fields["time"] != nil || fields["pri"] != nil):
		l, ok = dmesgLine(fields)
	default:
		l, ok, known = r.shipped(fields)
		if !known {
			return l, false, false
		}
	}
	if l.Time.IsZero() && !l.Uptime.Known {
		l.Time = r.stampOf(fields)
	}
	return l, ok, true
}

// shipped reads what log shippers and clouds make of a line.
func (r *Reader) shipped(fields map[string]json.RawMessage) (l Line, ok, known bool) {
	for _, key := range [...]string{"log", "message", "msg", "text", "textPayload"} {
		if fields[key] == nil {
			continue
		}
		line, ok := r.x.line([]byte(jsonText(fields[key])))
		if !ok {
			return l, false, true
		}
		if line.Time.IsZero() {
			line.Time = r.stampOf(fields)
		}
		line.Text = bytes.Clone(line.Text)
		return line, true, true
	}
	for _, key := range [...]string{"jsonPayload", "_source"} {
		var inner map[string]json.RawMessage
		if raw := fields[key]; len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &inner) != nil {
			continue
		}
		delete(inner, "jsonPayload") // no deeper
		delete(inner, "_source")
		line, ok, known := r.decode(inner)
		if line.Time.IsZero() {
			line.Time = r.stampOf(fields)
		}
		return line, ok, known
	}
	return l, false, false
}

// stampOf reads the time that is beside the text.
func (r *Reader) stampOf(fields map[string]json.RawMessage) time.Time {
	for _, stamp := range [...]string{"time", "timestamp", "ts", "@timestamp"} {
		if t, _, ok := parseISO([]byte(jsonText(fields[stamp])), r.o.location()); ok {
			return t
		}
	}
	return time.Time{}
}

// dmesgLine reads {"pri":6,"time":12.345678,"msg":"…"}; with -x there is "fac".
func dmesgLine(fields map[string]json.RawMessage) (l Line, ok bool) {
	if fac := jsonText(fields["fac"]); fac != "" && fac != "kern" {
		return l, false
	}
	if pri, rest, ok := cutUint(fields["pri"]); ok && len(rest) == 0 && pri>>3 != 0 {
		return l, false
	}
	if up, ok := uptime(bytes.TrimSpace(fields["time"])); ok {
		l.Uptime = oom.Some(up)
	}
	l.Caller = caller([]byte(jsonText(fields["caller"])))
	l.Text, l.exact = []byte(jsonText(fields["msg"])), true
	return l, true
}

// jsonText reads a string, a number, or the array of bytes that journalctl
// writes for what is not UTF-8.
func jsonText(raw json.RawMessage) string {
	if len(raw) == 0 {
		return ""
	}
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	case '[':
		var list []uint8
		var numbers []uint16
		if json.Unmarshal(raw, &numbers) != nil {
			return ""
		}
		for _, v := range numbers {
			if v > math.MaxUint8 {
				return ""
			}
			list = append(list, uint8(v))
		}
		return string(list)
	}
	return string(raw)
}

// entry is one journal entry.
type entry struct {
	message                                []byte
	transport, identifier, host, boot      string
	uptimeUS, realtimeUS, sourceRealtimeUS string
	cut, any                               bool
}

// line makes a kernel line of an entry; false when it is another program's.
func (e *entry) line() (l Line, ok bool) {
	if e.transport != "" && e.transport != "kernel" || e.transport == "" && e.identifier != "" && e.identifier != "kernel" {
		return l, false
	}
	l.exact = true
	l.Text, l.Node, l.BootID, l.Cut = e.message, e.host, bootID(e.boot), e.cut
	if us, err := strconv.ParseUint(e.uptimeUS, 10, 64); err == nil {
		l.Uptime = times(us, 1000)
	}
	for _, text := range [...]string{e.sourceRealtimeUS, e.realtimeUS} {
		if us, err := strconv.ParseInt(text, 10, 64); err == nil && us > 0 && us < math.MaxInt64/1000 {
			l.Time = time.UnixMicro(us)
			break
		}
	}
	return l, true
}

// bootID writes the journal's 32 digits with the dashes that
// /proc/sys/kernel/random/boot_id has.
func bootID(s string) string {
	if len(s) != 32 {
		return s
	}
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
