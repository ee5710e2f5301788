package lines

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// stepExport reads one field of the journal's export format
// (systemd, JOURNAL_EXPORT_FORMATS): "KEY=value" lines, or a line "KEY", eight
// bytes of length, that many bytes and a line end; an empty line ends an entry.
func (r *Reader) stepExport() bool {
	field, cut, ok := r.fieldLine()
	if !ok {
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
	key = bytes.Clone(key)
	length, _, ok := r.src.take(8)
	if !ok {
		return false
	}
	data, cut, ok := r.src.take(binary.LittleEndian.Uint64(length))
	r.set(key, data)
	if cut {
		r.src.cuts++
		r.entry.cut = true
	}
	_, _, end := r.src.take(1)
	return ok && end
}

// fieldLine returns the next line of an entry, and ends that at the end of the input. Entries are
// counted, not lines.
func (r *Reader) fieldLine() (line []byte, cut, ok bool) {
	line, cut, ok = r.src.line()
	if ok {
		r.src.lines--
	} else if !r.src.quiet {
		r.endEntry()
	}
	return line, cut, ok
}

// set keeps the fields that have a role. Keys that begin with an underscore are the
// journal's own: a program cannot forge them.
func (r *Reader) set(key, value []byte) {
	switch name := string(key); name {
	case "MESSAGE", "_TRANSPORT", "SYSLOG_IDENTIFIER", "SYSLOG_FACILITY", "_HOSTNAME", "_BOOT_ID",
		"_SOURCE_MONOTONIC_TIMESTAMP", "__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP":
		r.entry.set(strings.ToLower(name), string(value))
	}
}

// endEntry gives the entry on whose fields are read.
func (r *Reader) endEntry() {
	e := &r.entry
	if !e.any {
		return
	}
	r.src.lines++
	message := scan.SkipSpaces([]byte(e.values[roleText]))
	if r.reads(scan.First(message) == '[', message) {
		r.takeEntry(e, int(r.src.lines))
	}
	*e = entry{}
}

// stepVerbose reads a line of journalctl -o verbose: an entry's stamp, or a field that is
// indented below it. A value's further lines are indented further.
func (r *Reader) stepVerbose() bool {
	raw, cut, ok := r.fieldLine()
	if !ok {
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
		r.entry.further(roleText, "\n", string(in), r.src.max)
	}
	return true
}

// isKey says whether this can be a field's name in the journal.
func isKey(b []byte) bool { return only(b, capitals+decimals+"_") }

// verboseStamp reads "Fri 2025-03-07 04:00:24.123456 UTC [s=…".
func (r *Reader) verboseStamp(b []byte) {
	if len(b) < 24 {
		return
	}
	t, rest, ok := parseISO(b[4:], r.o.Location)
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
