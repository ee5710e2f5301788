package lines

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// role is what a field of an entry stands for, whatever its name.
type role int

const (
	roleNone role = iota
	roleText
	roleTransport
	roleIdent
	roleFacility
	rolePriority // facility times eight, plus the level
	roleStream   // a container's output
	roleComponent
	roleHost
	roleBoot
	roleUptimeUS
	roleUptime
	roleCaller
	roleWallUS
	roleSourceUS
	roleTime
	roles
)

// roleOf gives a field's role by its name in small letters; of several fields for one
// role the one with the smallest rank counts.
func roleOf(name string) (r role, rank int) {
	for i, group := range &roleNames {
		for rank, n := range group {
			if n == name {
				return role(i), rank + 1
			}
		}
	}
	return roleNone, 0
}

// roleNames are the names that journald, syslog daemons, log shippers, clouds and
// Kubernetes give to fields, by role.
var roleNames = [roles][]string{
	roleText: {
		"message", "msg", "log", "line", "text", "textpayload", "_raw", "raw", "@message", "short_message", "full_message", "body", "content", "event.original", "log.original", "logline", "syslogmessage", "details", "description", "log message", "log_message", "body.stringvalue", "stdout", "stdout_lines", "output", "lines", "logs", "contents",
	},
	roleTransport: {"_transport", "transport"},
	roleIdent: {
		"syslog_identifier", "ident", "identifier", "appname", "app_name", "app-name", "program", "programname", "syslogtag", "process.name", "log.syslog.appname", "syslog.appname", "tag",
	},
	roleFacility: {
		"syslog_facility", "facility", "fac", "log.syslog.facility.name", "log.syslog.facility.code", "syslog.facility.name", "syslog.facility", "facility_label", "syslogfacility-text", "facility-text", "facility_name",
	},
	rolePriority:  {"pri"},
	roleStream:    {"stream"},
	roleComponent: {"source.component", "reportingcomponent"},
	roleHost:      {"_hostname", "hostname", "host", "host.name", "host.hostname", "source_host", "node_name", "nodename", "source.host", "computer"},
	roleBoot:      {"_boot_id"},
	roleUptimeUS:  {"_source_monotonic_timestamp"},
	roleUptime:    {"uptime"},
	roleCaller:    {"caller"},
	roleWallUS:    {"__realtime_timestamp"},
	roleSourceUS:  {"_source_realtime_timestamp"},
	roleTime: {
		"time", "timestamp", "@timestamp", "ts", "_time", "timeunixnano", "date", "datetime", "eventtime", "lasttimestamp", "firsttimestamp", "time_generated", "timegenerated", "timegenerated [utc]", "date/time", "date time",
	},
}

// entry is one entry of a log that keeps its parts as fields: of the journal, of a
// shipper's JSON, of a table.
type entry struct {
	values [roles]string
	ranks  [roles]int
	more   int // further lines of values
	cut    bool
	any    bool
	// embedded: behind other text in a line. Only what names the kernel is the kernel's.
	embedded bool
}

// set keeps a field that has a role.
func (e *entry) set(name, value string) {
	e.any = true
	r, rank := roleOf(name)
	switch {
	case r == roleNone, e.ranks[r] != 0 && e.ranks[r] <= rank:
		return
	case r == roleIdent && name == "tag" && !strings.HasSuffix(value, ":"):
		return // fluentd's tag says where a record goes
	}
	e.values[r], e.ranks[r] = value, rank
}

// further adds a further line to a value, up to as much as a line may have, and no more of
// them than the longest report has: each is a copy of the value.
func (e *entry) further(r role, joint, line string, most int) {
	const lines = 2048
	if e.more == lines || len(e.values[r])+len(joint)+len(line) > most {
		e.cut = true
		return
	}
	e.more++
	e.values[r] += joint + line
}

func (e *entry) has(r role) bool { return e.ranks[r] != 0 }

// believed says whether an entry's own fields name the kernel, and whether they name
// another program. All that are there must say the same.
func (e *entry) believed() (kernel, other bool) {
	say := func(r role, yes bool) {
		if e.has(r) && e.values[r] != "" {
			kernel, other = kernel || yes, other || !yes
		}
	}
	say(roleTransport, e.values[roleTransport] == "kernel")
	if ident := strings.TrimSuffix(e.values[roleIdent], ":"); e.has(roleIdent) {
		say(roleIdent, ident == "kernel" || ident == "vmunix")
	}
	facility := strings.ToLower(e.values[roleFacility])
	say(roleFacility, facility == "kern" || facility == "0" || facility == "kernel" || facility == "kernel messages")
	if v, rest, ok := scan.Uint([]byte(e.values[rolePriority])); ok && len(rest) == 0 {
		say(rolePriority, v>>3 == 0)
	}
	say(roleComponent, e.values[roleComponent] == "kernel-monitor") // node-problem-detector
	return kernel && !other, other
}

// takeEntry gives an entry's line, or lines, on. False when no field has a known text.
func (r *Reader) takeEntry(e *entry, number int) bool {
	if !e.has(roleText) {
		return false
	}
	text := e.values[roleText]
	kernel, other := e.believed()
	var l Line
	e.stamp(&l, r.o.Location)
	switch {
	case other:
		l.Number = number
		r.another(&l, []byte(text))
	case e.values[roleTransport] == "kernel", kernel && !strings.Contains(text, "["):
		l.Text, l.Exact, l.Number, l.Cut = []byte(text), true, number, e.cut
		if e.values[roleTransport] != "kernel" && strings.Contains(text, "#0") {
			l.Text = unescapeOctal(nil, l.Text)
		}
		r.ord.push(&l)
	default:
		r.takeText(e, &l, kernel, number)
	}
	return true
}

// takeText reads a text that may have prefixes of its own, or many lines. A block of code that
// begins in it ends there. But many log shippers make an entry of each line: a further line of
// another program's text may be the next one.
func (r *Reader) takeText(e *entry, at *Line, kernel bool, number int) {
	around, fence := r.x.afterUser, r.x.fence
	r.x.afterUser = around || r.afterUser
	defer func() { r.afterUser, r.x.afterUser, r.x.fence = r.x.afterUser, around, fence }()
	text := strings.TrimRight(strings.ReplaceAll(e.values[roleText], "#012", "\n"), "\r\n")
	for raw := range strings.Lines(text) {
		raw = raw[:min(len(raw), r.src.max)]
		r.x.believed, r.x.contained, r.x.around = kernel, e.has(roleStream) && e.values[roleStream] != "kernel", at.Time
		l, ok := r.x.line([]byte(raw))
		r.x.believed, r.x.contained, r.x.around = false, false, time.Time{}
		if l.Time.IsZero() {
			l.Time = at.Time
		}
		l.Uptime = cmp.Or(l.Uptime, at.Uptime)
		l.Node, l.BootID = cmp.Or(l.Node, at.Node), cmp.Or(l.BootID, at.BootID)
		l.Number, l.Cut = number, e.cut
		if !ok || e.embedded && !l.Exact && !kernel {
			r.another(&l, []byte(raw))
			continue
		}
		l.Exact = l.Exact || kernel
		l.Text = bytes.Clone(l.Text)
		r.ord.push(&l)
	}
}

// stamp fills in what an entry says of when and where.
func (e *entry) stamp(l *Line, loc *time.Location) {
	l.BootID = bootID(e.values[roleBoot])
	if host := e.values[roleHost]; len(host) <= longestHost && isHost([]byte(host)) {
		l.Node = scan.Keep([]byte(host))
	}
	l.Caller = caller([]byte(e.values[roleCaller]))
	if us, err := strconv.ParseUint(e.values[roleUptimeUS], 10, 64); err == nil {
		l.Uptime = scan.Times(us, 1000)
	}
	if up, ok := uptime([]byte(e.values[roleUptime])); ok {
		l.Uptime = oom.Some(up)
	}
	for _, r := range [...]role{roleSourceUS, roleWallUS} {
		if us, err := strconv.ParseInt(e.values[r], 10, 64); err == nil && us > 0 && us < math.MaxInt64/1000 {
			l.Time = time.UnixMicro(us)
			return
		}
	}
	l.Time = timeOf(e.values[roleTime], loc)
}

// timeOf reads a time as a date or as a number since 1970 of seconds or parts of them.
func timeOf(s string, loc *time.Location) time.Time {
	if t, _, ok := parseISO([]byte(s), loc); ok {
		return t
	}
	for _, layout := range [...]string{"Jan 2, 2006 @ 15:04:05", "1/2/2006, 3:04:05 PM", "2/Jan/2006:15:04:05 -0700"} { // Kibana, Azure, Splunk
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return t
		}
	}
	whole, part, _ := strings.Cut(s, ".")
	v, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || v < 1e8 || len(part) > 9 {
		return time.Time{}
	}
	if part != "" {
		nanos, err := strconv.ParseInt(part+strings.Repeat("0", 9-len(part)), 10, 64)
		if err != nil || v > 1e11 {
			return time.Time{}
		}
		return time.Unix(v, nanos)
	}
	switch {
	case v < 1e11:
		return time.Unix(v, 0)
	case v < 1e14:
		return time.UnixMilli(v)
	case v < 1e17:
		return time.UnixMicro(v)
	}
	return time.Unix(v/1e9, v%1e9)
}

// bootID writes the journal's 32 digits with the dashes that
// /proc/sys/kernel/random/boot_id has. What is longer than that is none.
func bootID(s string) string {
	switch {
	case len(s) > 36:
		return ""
	case len(s) != 32:
		return s
	}
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
