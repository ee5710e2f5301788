package kernlog

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// objects cuts JSON into its innermost objects, whatever is around them:
// dmesg's array, one object a line, objects spread over lines. Where an object
// is longer than a line may be, it is passed over and counted.
type objects struct {
	start    int // of the innermost object that is open, from source.pos; -1: none
	at       int // how far it was looked at, from source.pos
	inString bool
	escaped  bool
	begun    bool
}

// next returns the next object; false at the end of the input.
func (o *objects) next(s *source) ([]byte, bool) {
	if !o.begun {
		o.begun, o.start = true, -1
	}
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
		case s.end-s.pos-o.start > s.max:
			s.cuts++
			s.pos, o.start, o.at = s.end, -1, 0
		case o.start > 0:
			s.pos += o.start
			o.at -= o.start
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
		switch c {
		case '"':
			// Outside of any object a quote is rubbish, or the rest of an object
			// that was too long.
			o.inString = true
		case '{':
			o.start = o.at - 1
		case '}':
			if o.start >= 0 {
				return o.at
			}
		}
	}
	return -1
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
			o.at++
			o.inString = false
			return true
		}
	}
	return false
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
	if l, ok := r.decode(obj); ok {
		l.Number = int(r.src.lines)
		r.p.Line(l)
	}
	return true
}

// decode reads an object of dmesg --json, journalctl -o json, or a container
// log. False when it is no kernel message.
func (r *Reader) decode(obj []byte) (l Line, ok bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(obj, &fields) != nil {
		return l, false
	}
	text := func(key string) string { return jsonText(fields[key]) }
	switch {
	case fields["MESSAGE"] != nil:
		e := entry{
			message: []byte(text("MESSAGE")), transport: text("_TRANSPORT"), identifier: text("SYSLOG_IDENTIFIER"),
			host: text("_HOSTNAME"), boot: text("_BOOT_ID"), uptimeUS: text("_SOURCE_MONOTONIC_TIMESTAMP"),
			realtimeUS: text("__REALTIME_TIMESTAMP"), sourceRealtimeUS: text("_SOURCE_REALTIME_TIMESTAMP"),
		}
		return e.line()
	case fields["msg"] != nil && (fields["time"] != nil || fields["pri"] != nil):
		return dmesgLine(fields)
	}
	for _, key := range [...]string{"log", "message", "msg", "text", "textPayload"} {
		if fields[key] == nil {
			continue
		}
		line, ok := r.x.line([]byte(text(key)))
		if !ok {
			return l, false
		}
		if line.Time.IsZero() {
			for _, stamp := range [...]string{"time", "timestamp", "ts"} {
				if t, _, ok := parseISO([]byte(text(stamp)), r.o.location()); ok {
					line.Time = t
					break
				}
			}
		}
		line.Text = bytes.Clone(line.Text)
		return line, true
	}
	return l, false
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
