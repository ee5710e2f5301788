package kernlog

import (
	"bytes"
	"encoding/binary"
)

// stepExport reads one field of the journal's export format
// (systemd, JOURNAL_EXPORT_FORMATS): "KEY=value" lines, or a line "KEY", eight
// bytes of length, that many bytes and a line end; an empty line ends an entry.
func (r *Reader) stepExport() bool {
	lines := r.src.lines
	field, cut, ok := r.src.line()
	r.src.lines = lines // entries are counted, not fields
	if !ok {
		r.endEntry()
		return false
	}
	if len(field) == 0 {
		r.endEntry()
		return true
	}
	r.entry.any = true
	if cut {
		// A long value in text: longer than what is of use.
		r.entry.set(field, nil, true)
		return true
	}
	key, value, ok := bytes.Cut(field, []byte("="))
	if ok {
		r.entry.set(key, value, false)
		return true
	}
	name := string(key)
	length, _, ok := r.src.take(8)
	if !ok {
		return false
	}
	data, cut, ok := r.src.take(binary.LittleEndian.Uint64(length))
	r.entry.set([]byte(name), data, cut)
	if cut {
		r.src.cuts++
	}
	_, _, end := r.src.take(1)
	return ok && end
}

// set keeps the fields that matter. Keys that begin with an underscore are the
// journal's own: a program cannot forge them.
func (e *entry) set(key, value []byte, cut bool) {
	switch string(key) {
	case "MESSAGE":
		e.message, e.cut = append(e.message[:0], value...), cut
	case "_TRANSPORT":
		if string(value) == "kernel" {
			e.transport = "kernel"
		} else {
			e.transport = "other"
		}
	case "SYSLOG_IDENTIFIER":
		e.identifier = same(e.identifier, value)
	case "_HOSTNAME":
		e.host = same(e.host, value)
	case "_BOOT_ID":
		e.boot = same(e.boot, value)
	case "_SOURCE_MONOTONIC_TIMESTAMP":
		e.uptimeUS = keep(value)
	case "__REALTIME_TIMESTAMP":
		e.realtimeUS = keep(value)
	case "_SOURCE_REALTIME_TIMESTAMP":
		e.sourceRealtimeUS = keep(value)
	}
}

// same avoids a new string where the value is that of the entry before.
func same(old string, value []byte) string {
	if old == string(value) {
		return old
	}
	return keep(value)
}

func (r *Reader) endEntry() {
	e := &r.entry
	if !e.any {
		return
	}
	r.src.lines++
	message := skipSpaces(e.message)
	close := r.start > 0 || r.p.busy() || mayAnchor(message) || len(message) > 0 && message[0] == '['
	if !close {
		r.p.skip(1)
	} else if l, ok := e.line(); ok {
		l.Number = int(r.src.lines)
		r.p.Line(l)
	}
	r.start--
	*e = entry{message: e.message[:0], identifier: e.identifier, host: e.host, boot: e.boot}
}
