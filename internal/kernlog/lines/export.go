package lines

import (
	"bytes"
	"encoding/binary"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"strconv"
)

// stepExport reads one field of the journal's export format
// (systemd, JOURNAL_EXPORT_FORMATS): "KEY=value" lines, or a line "KEY", eight
// bytes of length, that many bytes and a line end; an empty line ends an entry.
func (r *Reader) stepExport() bool {
	lines := r.src.lines
	field, cut, ok := r.src.line()
	r.src.lines = lines // entries are counted, not fields
	if !ok {
		if !r.src.quiet {
			r.endEntry()
		}
		return false
	}
	if len(field) == 0 {
		r.endEntry()
		return true
	}
	r.entry.any = true
	if cut {
		// A long value in text: longer than what is of use.
		r.entry.cut = true
		return true
	}
	key, value, ok := bytes.Cut(field, []byte("="))
	if ok {
		r.set(key, value)
		return true
	}
	name := string(key)
	length, _, ok := r.src.take(8)
	if !ok {
		return false
	}
	data, cut, ok := r.src.take(binary.LittleEndian.Uint64(length))
	r.set([]byte(name), data)
	if cut {
		r.src.cuts++
		r.entry.cut = true
	}
	_, _, end := r.src.take(1)
	return ok && end
}

// set keeps the fields that matter. Keys that begin with an underscore are the
// journal's own: a program cannot forge them.
func (r *Reader) set(key, value []byte) {
	if name, ok := journalNames[string(key)]; ok {
		r.entry.set(name, string(value))
	}
}

// journalNames are the fields of the journal that have a role.
var journalNames = map[string]string{
	"MESSAGE": "message", "_TRANSPORT": "_transport", "SYSLOG_IDENTIFIER": "syslog_identifier", "SYSLOG_FACILITY": "syslog_facility",
	"_HOSTNAME": "_hostname", "_BOOT_ID": "_boot_id", "_SOURCE_MONOTONIC_TIMESTAMP": "_source_monotonic_timestamp",
	"__REALTIME_TIMESTAMP": "__realtime_timestamp", "_SOURCE_REALTIME_TIMESTAMP": "_source_realtime_timestamp",
}

// endEntry gives the entry on whose fields are read.
func (r *Reader) endEntry() {
	e := &r.entry
	if !e.any {
		return
	}
	r.src.lines++
	message := scan.SkipSpaces([]byte(e.values[roleText]))
	if r.start > 0 || r.close() || MayMatter(message) || len(message) > 0 && message[0] == '[' {
		r.takeEntry(e, int(r.src.lines))
	} else {
		r.sink.Skip(1)
	}
	r.start--
	*e = entry{}
}

// stepVerbose reads a line of journalctl -o verbose: an entry's stamp, or a field that is
// indented below it. A value's further lines are indented further.
func (r *Reader) stepVerbose() bool {
	lines := r.src.lines
	raw, cut, ok := r.src.line()
	r.src.lines = lines
	if !ok {
		if !r.src.quiet {
			r.endEntry()
		}
		return false
	}
	raw = bytes.TrimRight(raw, "\r")
	in := scan.SkipSpaces(raw)
	switch key, value, ok := bytes.Cut(in, []byte("=")); {
	case len(in) == len(raw):
		r.endEntry()
		r.verboseStamp(raw)
	case ok && isKey(key):
		r.entry.any = true
		r.entry.cut = r.entry.cut || cut
		r.inMessage = string(key) == "MESSAGE"
		r.set(key, value)
	case r.inMessage && len(in) > 0:
		e := &r.entry
		if len(e.values[roleText])+len(in) < r.src.max {
			e.values[roleText] += "\n" + string(in)
		}
	}
	return true
}

// isKey says whether this can be a field's name in the journal.
func isKey(b []byte) bool {
	for _, c := range b {
		if (c < 'A' || c > 'Z') && c != '_' && !scan.IsDigit(c) {
			return false
		}
	}
	return len(b) > 0
}

// verboseStamp reads "Fri 2025-03-07 04:00:24.123456 UTC [s=…".
func (r *Reader) verboseStamp(b []byte) {
	if len(b) < 24 {
		return
	}
	t, rest, ok := parseISO(b[4:], r.o.location())
	if !ok {
		return
	}
	if name, _ := scan.Field(rest); len(name) > 0 && name[0] != '[' {
		t = inZone(t, name)
	}
	if !t.IsZero() {
		r.entry.set("__realtime_timestamp", strconv.FormatInt(t.UnixMicro(), 10))
		r.entry.any = false
	}
}
