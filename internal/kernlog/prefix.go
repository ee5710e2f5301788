package kernlog

import (
	"bytes"
	"math"
	"time"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// prefixes takes off what the sources put before the kernel's text, line by
// line: a file may hold several kinds.
type prefixes struct {
	o     *Options
	now   func() time.Time
	clean []byte // scratch for lines with escapes
	text  []byte // the same for the text behind the prefixes
	escapes
	believed, contained bool   // the source says that it is the kernel's, or a container's
	afterUser           bool   // the last line that had a prefix was another program's
	node                string // the last node seen, so that it is made a string once
	human               time.Time
	year                int
	month               time.Month
}

// maxWraps is how many sources may have put their prefixes around each other.
const maxWraps = 4

// line reads a raw line. False when it is no kernel message: another program's
// line in a syslog file may quote a kernel message and must not count as one.
func (x *prefixes) line(raw []byte) (l Line, ok bool) {
	b := bytes.TrimLeft(bytes.TrimRight(raw, "\r\n \t\x00"), "\x00")
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if len(b) == 0 {
		x.afterUser = false
		return l, true
	}
	if special(b) {
		x.clean = append(x.clean[:0], plain(x.clean, b)...)
		b = x.clean
	}
	text, kernel, ok := x.kmsg(&l, b)
	if !ok {
		if bare := undecorate(b); len(bare) < len(b) {
			b = bare
			text, kernel, ok = x.kmsg(&l, b)
		}
	}
	if ok {
		l.Text, l.exact = text, true
		x.afterUser = !kernel
		return l, kernel
	}
	whole := len(b)
	x.escapes = escapeNone
	if b, ok = x.unwrap(&l, b); !ok {
		return l, false
	}
	l.Text, l.indent = x.undo(b), whole-len(b)
	return l, true
}

// special is a quick test for bytes that plain takes out.
func special(b []byte) bool {
	return bytes.IndexByte(b, 0x1b) >= 0 || bytes.IndexByte(b, 0xc2) >= 0 || bytes.Contains(b, []byte("^[["))
}

// unwrap takes off prefix after prefix. False when it is no kernel message: another
// program's, or a further line of one, which has no prefix of its own.
func (x *prefixes) unwrap(l *Line, b []byte) ([]byte, bool) {
	whole := len(b)
	for range maxWraps {
		rest, st := x.wrap(l, b)
		switch st {
		case wrapUser:
			x.afterUser = true
			return b, false
		case wrapMore:
			b = rest
			continue
		case wrapText:
			x.afterUser = false
			return rest, true
		}
		break
	}
	if !l.exact {
		b = x.anywhere(l, b)
	}
	if len(b) == whole && (x.afterUser && !x.believed || x.contained) {
		return b, false
	}
	x.afterUser = false
	return b, true
}

// escapes is how a source writes bytes that are no text.
type escapes int

const (
	escapeNone  escapes = iota
	escapeHex           // dmesg's \xNN
	escapeOctal         // rsyslog's #0NN
)

// undo takes the source's escapes back, of control characters and of what is
// not ASCII only: neither source escapes its own mark, so that in any other
// place it is what the name holds.
func (x *prefixes) undo(b []byte) []byte {
	switch {
	case x.escapes == escapeHex && bytes.Contains(b, []byte(`\x`)):
		x.text = unescape(x.text[:0], b, true)
	case x.escapes == escapeOctal && bytes.Contains(b, []byte("#0")):
		x.text = unescapeOctal(x.text[:0], b)
	default:
		return b
	}
	return x.text
}

type wrapState int

const (
	wrapNone wrapState = iota // no prefix here
	wrapMore                  // taken off; there may be more
	wrapText                  // taken off; the kernel's text follows
	wrapUser                  // not the kernel's
)

func (x *prefixes) wrap(l *Line, b []byte) ([]byte, wrapState) {
	if len(b) == 0 {
		return b, wrapNone
	}
	switch c := b[0]; {
	case c == '<':
		return x.priority(l, b)
	case c == '[':
		return x.bracket(l, b)
	case l.exact:
		return b, wrapNone // behind the kernel's tag only its own level and stamp
	case isDigit(c):
		if rest, st := x.iso(l, b); st != wrapNone {
			return rest, st
		}
		if rest, st := x.logcat(l, b); st != wrapNone {
			return rest, st
		}
		return x.unix(l, b)
	case c >= 'A' && c <= 'Z':
		if len(b) > 2 && b[1] == '/' {
			return logcatTag(l, b[2:])
		}
		return x.syslog(l, b)
	case hasPrefix(b, "kernel: "):
		l.exact = true
		return b[len("kernel: "):], wrapMore
	case c >= 'a' && c <= 'z':
		return facility(b)
	}
	return b, wrapNone
}

// kmsg reads the form of /dev/kmsg: "prio,seq,usec,flags[,caller=T1];text"
// (Documentation/ABI/testing/dev-kmsg). Other programs write there too, but
// not with the kernel's facility.
func (x *prefixes) kmsg(l *Line, b []byte) (text []byte, kernel, ok bool) {
	h, ok := parseKmsg(b)
	if !ok {
		return b, false, false
	}
	l.Uptime, l.Caller = h.uptime, h.caller
	text = h.text
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		text = text[:i] // the dictionary's lines
	}
	if bytes.Contains(text, []byte(`\x`)) {
		x.clean = unescape(x.clean[:0], text, false)
		text = x.clean
	}
	return text, h.prio>>3 == 0, true
}

type kmsgHeader struct {
	prio, seq uint64
	uptime    oom.Opt[uint64]
	caller    int
	text      []byte
}

func parseKmsg(b []byte) (h kmsgHeader, ok bool) {
	if len(b) == 0 || !isDigit(b[0]) {
		return h, false
	}
	field := func() (v uint64) {
		var rest []byte
		if v, rest, ok = cutUint(b); ok {
			ok = len(rest) > 0 && rest[0] == ','
		}
		if ok {
			b = rest[1:]
		}
		return v
	}
	if h.prio = field(); !ok {
		return h, false
	}
	if h.seq = field(); !ok {
		return h, false
	}
	usec := field()
	if !ok {
		return h, false
	}
	h.uptime = times(usec, 1000)
	flags, text, ok := bytes.Cut(b, []byte(";"))
	if !ok || len(flags) > 64 {
		return h, false
	}
	if s, found := after(flags, "caller="); found {
		h.caller = caller(s)
	}
	h.text = text
	return h, true
}

// caller reads "T123" or "C0".
func caller(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	v, _, ok := cutUint(b[1:])
	switch {
	case !ok || v >= math.MaxInt32:
		return 0
	case b[0] == 'T':
		return int(v)
	case b[0] == 'C':
		return -1 - int(v)
	}
	return 0
}

// unescape undoes the \xNN of /dev/kmsg, or of dmesg, which has them for what
// cannot be printed only.
func unescape(dst, b []byte, unprintable bool) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+3 < len(b) && b[i+1] == 'x' {
			hi, ok := hexDigit(b[i+2])
			lo, ok2 := hexDigit(b[i+3])
			if v := hi<<4 | lo; ok && ok2 && (!unprintable || v < 0x20 || v >= 0x7f) {
				dst = append(dst, v)
				i += 3
				continue
			}
		}
		dst = append(dst, b[i])
	}
	return dst
}

// unescapeOctal undoes the #0NN that rsyslog writes for control characters.
func unescapeOctal(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] == '#' && i+3 < len(b) && b[i+1] == '0' && b[i+2] >= '0' && b[i+2] <= '3' && b[i+3] >= '0' && b[i+3] <= '7' {
			dst = append(dst, (b[i+2]-'0')<<3|(b[i+3]-'0'))
			i += 3
			continue
		}
		dst = append(dst, b[i])
	}
	return dst
}

// stripEscapes takes terminal escapes out: colours, and what consoles send.
func stripEscapes(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] != 0x1b {
			dst = append(dst, b[i])
			continue
		}
		i++
		switch {
		case i >= len(b):
		case b[i] == '[':
			for i++; i < len(b) && (b[i] < 0x40 || b[i] > 0x7e); i++ {
			}
		case b[i] >= ' ' && b[i] <= '/': // a character set: "ESC ( B"
			i++
		}
	}
	return dst
}

// priority reads "<4>" (dmesg -r, console) and RFC 5424's "<4>1 TIME HOST
// kernel - - - ".
func (x *prefixes) priority(l *Line, b []byte) ([]byte, wrapState) {
	v, rest, ok := cutUint(b[1:])
	if !ok || v > 1023 || len(rest) == 0 || rest[0] != '>' {
		return b, wrapNone
	}
	if v>>3 != 0 {
		return b, wrapUser
	}
	rest = rest[1:]
	if !hasPrefix(rest, "1 ") {
		return rest, wrapMore
	}
	stampText, fields := nextField(rest[2:])
	t, _, ok := parseISO(stampText, x.o.location())
	if !ok && string(stampText) != "-" {
		return rest, wrapMore // "<4>1 pages in swap cache"
	}
	if ok {
		l.Time = t
	}
	host, rest := nextField(fields)
	app, rest := nextField(rest)
	if string(app) != "kernel" && string(app) != "-" {
		return b, wrapUser
	}
	x.setNode(l, host)
	_, rest = nextField(rest) // PROCID
	_, rest = nextField(rest) // MSGID
	rest = skipStructured(rest)
	l.exact = true
	return bytes.TrimPrefix(rest, []byte("\ufeff")), wrapMore
}

// skipStructured takes RFC 5424's structured data off: "-" or "[id k="v"]…".
func skipStructured(b []byte) []byte {
	b = skipSpaces(b)
	if hasPrefix(b, "- ") {
		return b[2:]
	}
	for len(b) > 1 && b[0] == '[' && (b[1] < '0' || b[1] > '9') && b[1] != ' ' {
		quoted := false
		i := 1
		for ; i < len(b) && (quoted || b[i] != ']'); i++ {
			switch b[i] {
			case '\\':
				i++
			case '"':
				quoted = !quoted
			}
		}
		if i >= len(b) {
			return b
		}
		b = b[i+1:]
	}
	return skipSpaces(b)
}

func (x *prefixes) setNode(l *Line, host []byte) {
	if len(host) == 0 || len(host) > 255 || string(host) == "-" {
		return
	}
	if !isHost(host) {
		return
	}
	if x.node != string(host) {
		x.node = keep(host)
	}
	l.Node = x.node
}

// isHost says whether a word can be a host's name or address.
func isHost(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '.' && c != '_' && c != ':' && c != '-' {
			return false
		}
	}
	return len(b) > 0
}

// bracket reads what dmesg and the console put in brackets.
func (x *prefixes) bracket(l *Line, b []byte) ([]byte, wrapState) {
	end := bytes.IndexByte(b, ']')
	if end < 0 {
		return b, wrapNone
	}
	in, rest := b[1:end], b[end+1:]
	if up, ok := uptime(in); ok {
		l.Uptime = oom.Some(up)
		return x.afterClock(l, rest)
	}
	if _, after, ok := cutUint(in); ok && len(after) > 1 && after[0] == '-' { // a vendor's "[CPU-uptime]"
		if up, ok := uptime(after[1:]); ok {
			l.Uptime = oom.Some(up)
			return x.afterClock(l, rest)
		}
	}
	switch {
	case len(in) > 0 && in[0] == '<': // an address
	case x.ctime(l, in), x.humanTime(l, in):
		return x.afterClock(l, rest)
	case x.isoStamp(l, in) && hasPrefix(rest, ": "): // Talos: "[2025-11-24T01:02:03.123456789Z]: "
		l.exact = true
		return rest[2:], wrapText
	case bytes.IndexByte(in, '/') > 0 && bytes.IndexByte(in, ' ') < 0 && len(rest) > 0 && rest[0] == ' ':
		return rest[1:], wrapMore // kubectl logs --prefix: "[pod/NAME/CONTAINER] "
	}
	return b, wrapNone
}

// isoStamp reads a stamp that is nothing else.
func (x *prefixes) isoStamp(l *Line, b []byte) bool {
	t, rest, ok := parseISO(b, x.o.location())
	if !ok || len(rest) > 0 {
		return false
	}
	l.Time = t
	return true
}

// uptime reads "  123.456789", also with "dmesg -d"'s "<    0.000012>" after it.
func uptime(b []byte) (ns uint64, ok bool) {
	b = skipSpaces(b)
	sec, rest, ok := cutUint(b)
	if !ok || len(rest) < 2 || rest[0] != '.' || sec > math.MaxInt64/1_000_000_000-1 {
		return 0, false
	}
	digits := 0
	var frac uint64
	rest = rest[1:]
	for ; digits < len(rest) && digits < 9 && isDigit(rest[digits]); digits++ {
		frac = frac*10 + uint64(rest[digits]-'0')
	}
	if digits == 0 {
		return 0, false
	}
	for i := digits; i < 9; i++ {
		frac *= 10
	}
	rest = skipSpaces(rest[digits:])
	if len(rest) > 0 && rest[0] != '<' {
		return 0, false
	}
	return sec*1e9 + frac, true
}

// afterClock takes off the caller's "[ T123]" and, after journalctl's
// monotonic stamps, the host and "kernel:".
func (x *prefixes) afterClock(l *Line, b []byte) ([]byte, wrapState) {
	b = cutCaller(l, b)
	l.exact = true
	host, rest := nextField(b)
	if tag, text, ok := bytes.Cut(rest, []byte(": ")); ok && string(tag) == "kernel" && isHost(host) {
		x.setNode(l, host)
		return text, wrapText
	}
	x.escapes = escapeHex
	return b, wrapText
}

// cutCaller takes off who printed it: right behind the stamp as the console has
// it, behind a space as dmesg has it, and padded to six by both. Vendors of phones
// have forms of their own.
func cutCaller(l *Line, b []byte) []byte {
	in := bytes.TrimPrefix(b, []byte(" "))
	if rest, ok := vendorCaller(in); ok {
		return rest
	}
	if end := bytes.IndexByte(in, ']'); end > 0 && in[0] == '[' && (in[1] == ' ' || end >= len("[T12345")) {
		who := skipSpaces(in[1:end])
		if c := caller(who); c != 0 || string(who) == "T0" {
			l.Caller, b = c, in[end+1:]
		}
	}
	return bytes.TrimPrefix(b, []byte(" "))
}

// vendorCaller takes off "<4>.(1)[214:kswapd0]" and "[1:        kswapd0:  214] ".
func vendorCaller(b []byte) (rest []byte, ok bool) {
	if len(b) > 8 && b[0] == '<' && isDigit(b[1]) {
		if i := bytes.IndexByte(b, '['); i > 3 && i < 12 && b[i-1] == ')' {
			if end := bytes.IndexByte(b[i:], ']'); end > 0 {
				return bytes.TrimPrefix(b[i+end+1:], []byte(" ")), true
			}
		}
		return b, false
	}
	if len(b) > 8 && b[0] == '[' && isDigit(b[1]) && (b[2] == ':' || b[3] == ':') {
		if end := bytes.IndexByte(b, ']'); end > 0 && end < 48 && bytes.Count(b[:end], []byte(":")) >= 2 && isDigit(b[end-1]) {
			return bytes.TrimPrefix(b[end+1:], []byte(" ")), true
		}
	}
	return b, false
}

// iso reads stamps of journalctl -o short-iso, rsyslog's file format, dmesg
// --time-format iso, CRI and docker logs.
func (x *prefixes) iso(l *Line, b []byte) ([]byte, wrapState) {
	t, rest, ok := parseISO(b, x.o.location())
	if !ok {
		return b, wrapNone
	}
	l.Time = t
	rest = skipSpaces(rest)
	for _, stream := range [...]string{"stdout ", "stderr "} {
		if s, ok := bytes.CutPrefix(rest, []byte(stream)); ok {
			if len(s) > 2 && s[1] == ' ' { // CRI: "F " or "P "
				s = s[2:]
			}
			if !stamped(s) {
				return s, wrapUser // the container's own words
			}
			return s, wrapMore
		}
	}
	if len(b) > 19 && b[19] == ',' { // dmesg's own
		l.exact, x.escapes = true, escapeHex
		return cutCaller(l, rest), wrapText
	}
	return x.tag(l, rest, false)
}

// logcat reads Android's "03-07 04:11:09.123   214   214 W kernel  : text".
func (x *prefixes) logcat(l *Line, b []byte) ([]byte, wrapState) {
	if len(b) < 20 || b[2] != '-' || b[5] != ' ' || b[14] != '.' {
		return b, wrapNone
	}
	mon, ok := digits(b[:2])
	day, ok2 := digits(b[3:5])
	h, m, s, ok3 := clock(b[6:])
	ms, rest, ok4 := cutUint(b[15:])
	if !ok || !ok2 || !ok3 || !ok4 || mon < 1 || mon > 12 || ms > 999 {
		return b, wrapNone
	}
	l.Time = x.withYear(time.Month(mon), day, h, m, s, int(ms)*1_000_000)
	var id []byte
	for range 2 { // pid and tid
		if id, rest = nextField(rest); len(id) > 0 && !isDigit(id[0]) {
			break
		}
	}
	if len(id) > 2 && id[1] == '/' {
		return logcatTag(l, b[len(b)-len(rest)-len(id)+1:])
	}
	level, rest := nextField(rest)
	if len(level) != 1 {
		return b, wrapUser
	}
	return logcatTag(l, skipSpaces(rest))
}

// logcatTag reads "kernel  : text" and "kernel  (  214): text".
func logcatTag(l *Line, b []byte) ([]byte, wrapState) {
	tag, text, ok := bytes.Cut(b, []byte(": "))
	if i := bytes.IndexByte(tag, '('); i >= 0 {
		tag = tag[:i]
	}
	switch {
	case !ok:
		return b, wrapNone
	case string(bytes.TrimSpace(tag)) != "kernel":
		return b, wrapUser
	}
	l.exact = true
	return text, wrapMore
}

// unix reads journalctl -o short-unix: "1732410123.123456 host kernel: ".
func (x *prefixes) unix(l *Line, b []byte) ([]byte, wrapState) {
	f, rest := nextField(b)
	sec, frac, ok := cutUint(f)
	if !ok || sec < 1e8 || sec > 1e11 || len(frac) != 7 || frac[0] != '.' {
		return b, wrapNone
	}
	usec, tail, ok := cutUint(frac[1:])
	if !ok || len(tail) > 0 {
		return b, wrapNone
	}
	l.Time = time.Unix(int64(sec), int64(usec)*1000)
	return x.tag(l, rest, true)
}

// syslog reads RFC 3164's "Nov 24 01:02:03 host kernel: ", journalctl's
// short-full "Mon 2025-11-24 01:02:03 UTC host kernel: ", and OpenWrt's "Mon
// Nov 24 01:02:03 2025 kern.err kernel: ".
func (x *prefixes) syslog(l *Line, b []byte) ([]byte, wrapState) {
	if t, rest, ok := x.stamp3164(b); ok {
		l.Time = t
		return x.tag(l, rest, true)
	}
	if len(b) < 24 || b[3] != ' ' {
		return b, wrapNone
	}
	if t, rest, ok := parseISO(b[4:], x.o.location()); ok {
		if zone, after := nextField(rest); len(zone) > 0 && len(zone) < 6 {
			t, rest = inZone(t, zone), after
		}
		l.Time = t
		return x.tag(l, rest, true)
	}
	for _, n := range [...]int{24, 23} { // a day of one digit has a second blank, or lost it
		if x.ctime(l, b[:n]) && (n == len(b) || b[n] == ' ') {
			return x.tag(l, skipSpaces(b[n:]), true)
		}
	}
	return b, wrapNone
}

// inZone reads a wall clock in the zone that is named. Such names are not
// unique: one that is not the location's own leaves the time unknown.
func inZone(t time.Time, zone []byte) time.Time {
	if own, _ := t.Zone(); string(zone) == own {
		return t
	}
	if string(zone) != "UTC" && string(zone) != "GMT" {
		return time.Time{}
	}
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// tag reads "host kernel: ", "kernel: " or "host kern.err kernel: ". Another program's
// tag or facility means that this is not the kernel's line. A tag may have blanks in it;
// what stands before the kernel's own stamp without one may be a shipper's words.
func (x *prefixes) tag(l *Line, b []byte, strict bool) ([]byte, wrapState) {
	b = skipSpaces(b)
	if len(b) == 0 || b[0] == '[' || b[0] == '<' || b[0] == '{' {
		return b, wrapMore // no host: a stamp, or what a log shipper puts there
	}
	first, rest := nextField(b)
	host, level := first, first
	switch {
	case isKernelTag(first):
		return x.tagged(l, nil, rest)
	case isLevel(first):
		host = nil
	case !strict && (ownLine(b) || isHeader(b) || classify(b) != partNone):
		return b, wrapMore
	}
	second, text := nextField(rest)
	if isLevel(second) && host != nil {
		level = second
		second, text = nextField(text)
	}
	if isLevel(level) && !hasPrefix(level, "kern.") {
		return b, wrapUser
	}
	switch {
	case isKernelTag(second):
		return x.tagged(l, host, text)
	case string(second) == "kernel" && hasPrefix(text, "- - "):
		_, text = nextField(text)
		_, text = nextField(text)
		return x.tagged(l, host, skipStructured(text))
	case len(second) > 0 && second[0] == ':' && !strict: // "kern  :notice: "
		return b, wrapMore
	case strict:
		return b, wrapUser
	}
	for more := rest; len(more) > 0; {
		var word []byte
		word, more = nextField(more)
		switch {
		case len(word) == 0:
		case word[0] == '[', word[0] == '<' && word[len(word)-1] != ':', string(word) == "Guest:":
			return b, wrapMore
		case word[len(word)-1] == ':' && string(word) != "kern:" && string(word) != "warning:":
			return b, wrapUser
		}
	}
	return b, wrapMore
}

// isKernelTag says whether a syslog tag is the kernel's; old syslog daemons
// name it after the image's file.
func isKernelTag(b []byte) bool { return string(b) == "kernel:" || string(b) == "vmunix:" }

func (x *prefixes) tagged(l *Line, host, text []byte) ([]byte, wrapState) {
	x.setNode(l, host)
	l.exact, x.escapes = true, escapeOctal
	return text, wrapMore
}

// isLevel says whether this is syslog's "facility.level".
func isLevel(b []byte) bool {
	i := bytes.IndexByte(b, '.')
	if i <= 0 {
		return false
	}
	switch string(b[i+1:]) {
	case "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug":
		return true
	}
	return false
}

// facility reads dmesg -x's "kern  :warn  : ".
func facility(b []byte) ([]byte, wrapState) {
	name, rest, ok := bytes.Cut(b, []byte(":"))
	if !ok || len(name) > 8 || len(name) < 4 || name[len(name)-1] != ' ' {
		return b, wrapNone
	}
	level, rest, ok := bytes.Cut(rest, []byte(": "))
	if !ok || len(level) > 7 || len(level) < 3 || bytes.IndexByte(bytes.TrimSpace(level), ' ') >= 0 {
		return b, wrapNone
	}
	name = bytes.TrimSpace(name)
	if bytes.IndexByte(name, ' ') >= 0 {
		return b, wrapNone
	}
	if string(name) != "kern" {
		return b, wrapUser
	}
	return rest, wrapMore
}

// anywhere looks for the kernel's own stamp, or for "kernel: ", behind a prefix
// that is not known: serial consoles and log shippers have many. In a line that
// begins as the kernel's and has a name in it there is nothing to look for.
func (x *prefixes) anywhere(l *Line, b []byte) []byte {
	const most = 512
	if ownLine(b) {
		return b
	}
	head := b[:min(len(b), most)]
	if i := bytes.Index(head, []byte(" cpuset=")); i >= 0 {
		head = head[:i]
	}
	for at := 0; ; {
		i := bytes.IndexByte(head[at:], '[')
		if i < 0 {
			break
		}
		at += i
		if rest, st := x.bracket(l, b[at:]); st == wrapText {
			return rest
		}
		at++
	}
	if i := bytes.Index(head, []byte(" kernel: ")); i >= 0 && isHost(head[bytes.LastIndexByte(head[:i], ' ')+1:i]) {
		l.exact, x.escapes = true, escapeOctal
		return b[i+len(" kernel: "):]
	}
	return b
}

// ownLine says whether a line begins as one that the kernel prints with a name
// in it, which may look like anything.
func ownLine(b []byte) bool {
	for _, start := range [...]string{"Out of memory", "Out of Memory", panicMark, "Memory cgroup ", killedMark, killMark, summaryMark, reaperMark, "Tasks in ", "cgroup: "} {
		if hasPrefix(b, start) {
			return true
		}
	}
	if len(b) == 0 {
		return true
	}
	k := classify(b)
	return k != partCpuset && named(k)
}

// parseISO reads "2025-11-24T01:02:03.123456+01:00" with its usual variants.
func parseISO(b []byte, loc *time.Location) (t time.Time, rest []byte, ok bool) {
	if len(b) < 19 || b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != ' ' || b[13] != ':' || b[16] != ':' {
		return t, b, false
	}
	var v [6]int
	for i, at := range [...]int{0, 5, 8, 11, 14, 17} {
		n := 2
		if i == 0 {
			n = 4
		}
		if v[i], ok = digits(b[at : at+n]); !ok {
			return t, b, false
		}
	}
	rest = b[19:]
	nanos := 0
	if len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') && isDigit(rest[1]) {
		rest = rest[1:]
		n := 0
		for ; len(rest) > 0 && isDigit(rest[0]); rest = rest[1:] {
			if n < 9 {
				nanos = nanos*10 + int(rest[0]-'0')
				n++
			}
		}
		for ; n < 9; n++ {
			nanos *= 10
		}
	}
	loc, rest = zone(rest, loc)
	return time.Date(v[0], time.Month(v[1]), v[2], v[3], v[4], v[5], nanos, loc), rest, true
}

// zone reads "Z", "+0100" or "+01:00".
func zone(b []byte, loc *time.Location) (*time.Location, []byte) {
	if len(b) > 0 && b[0] == 'Z' {
		return time.UTC, b[1:]
	}
	if len(b) < 5 || b[0] != '+' && b[0] != '-' {
		return loc, b
	}
	hours, ok := digits(b[1:3])
	rest := b[3:]
	if rest[0] == ':' {
		rest = rest[1:]
	}
	if !ok || len(rest) < 2 {
		return loc, b
	}
	minutes, ok := digits(rest[:2])
	if !ok {
		return loc, b
	}
	offset := hours*3600 + minutes*60
	if offset == 0 {
		return time.UTC, rest[2:]
	}
	if b[0] == '-' {
		offset = -offset
	}
	return time.FixedZone("", offset), rest[2:]
}

func digits(b []byte) (int, bool) {
	v := 0
	for _, c := range b {
		if !isDigit(c) && c != ' ' {
			return 0, false
		}
		if c != ' ' {
			v = v*10 + int(c-'0')
		}
	}
	return v, len(b) > 0
}

// clock reads "01:02:03".
func clock(b []byte) (h, m, s int, ok bool) {
	if len(b) < 8 || b[2] != ':' || b[5] != ':' {
		return 0, 0, 0, false
	}
	h, ok1 := digits(b[0:2])
	m, ok2 := digits(b[3:5])
	s, ok3 := digits(b[6:8])
	return h, m, s, ok1 && ok2 && ok3
}

// month reads "Nov", and "11月" as dmesg -T prints it in Chinese and Japanese.
func month(b []byte) (time.Month, bool) {
	const names = "JanFebMarAprMayJunJulAugSepOctNovDec"
	if len(b) == 3 {
		if i := bytes.Index([]byte(names), b); i >= 0 && i%3 == 0 {
			return time.Month(i/3 + 1), true
		}
	}
	if v, rest, ok := cutUint(b); ok && v >= 1 && v <= 12 && (len(rest) == 0 || hasPrefix(rest, "月") || hasPrefix(rest, "월")) {
		return time.Month(v), true
	}
	return 0, false
}

// stamp3164 reads "Nov 24 01:02:03" and "Nov 24 01:02:03.123456".
func (x *prefixes) stamp3164(b []byte) (time.Time, []byte, bool) {
	if len(b) < 16 || b[3] != ' ' {
		return time.Time{}, b, false
	}
	at := 6
	if b[5] == ' ' { // a second blank before a day of one digit, that is lost
		at = 5
	}
	mon, ok := month(b[:3])
	day, ok2 := digits(b[4:at])
	h, m, s, ok3 := clock(b[at+1:])
	if !ok || !ok2 || !ok3 || b[at] != ' ' || len(b) < at+10 {
		return time.Time{}, b, false
	}
	rest := b[at+9:]
	nanos := 0
	if rest[0] == '.' {
		n := 0
		for rest = rest[1:]; len(rest) > 0 && isDigit(rest[0]); rest = rest[1:] {
			if n < 9 {
				nanos = nanos*10 + int(rest[0]-'0')
				n++
			}
		}
		for ; n < 9; n++ {
			nanos *= 10
		}
	}
	return x.withYear(mon, day, h, m, s, nanos), skipSpaces(rest), true
}

// withYear finds the year of a stamp without one: as given for the first stamp
// and one more whenever December turns to January; else the latest that does
// not lie in the future.
func (x *prefixes) withYear(mon time.Month, day, h, m, s, nanos int) time.Time {
	if x.o.Year != 0 {
		if x.year == 0 {
			x.year = x.o.Year
		} else if x.month == time.December && mon == time.January {
			x.year++
		}
		x.month = mon
		t, _ := x.onDay(x.year, mon, day, h, m, s, nanos)
		return t
	}
	now := x.now()
	for back := range leapYears {
		if t, ok := x.onDay(now.Year()-back, mon, day, h, m, s, nanos); ok && t.Sub(now) <= 24*time.Hour {
			return t
		}
	}
	return time.Time{}
}

// leapYears is among how many years in a row one has the 29th of February.
const leapYears = 9

// onDay is a time on a day; false when that year has no such day.
func (x *prefixes) onDay(year int, mon time.Month, day, h, m, s, nanos int) (time.Time, bool) {
	t := time.Date(year, mon, day, h, m, s, nanos, x.o.location())
	if t.Day() != day {
		return time.Time{}, false
	}
	return t, true
}

// ctime reads "Mon Nov 24 01:02:03 2025" (dmesg -T), from its end: the names of
// days and months follow the locale.
func (x *prefixes) ctime(l *Line, b []byte) bool {
	b = bytes.TrimRight(b, " ")
	if i := bytes.IndexByte(b, '<'); i > 0 { // dmesg -T -d
		b = bytes.TrimRight(b[:i], " ")
	}
	n := len(b)
	if n < 16 || b[n-5] != ' ' || b[n-14] != ' ' {
		return false
	}
	year, ok := digits(b[n-4:])
	h, m, s, ok2 := clock(b[n-13 : n-5])
	if !ok || !ok2 || year < 1970 {
		return false
	}
	head := bytes.Fields(b[:n-14])
	if len(head) < 2 {
		return true // a stamp, but not one that can be read
	}
	day, ok := digits(head[len(head)-1])
	mon, ok2 := month(head[len(head)-2])
	if ok && ok2 {
		l.Time = time.Date(year, mon, day, h, m, s, 0, x.o.location())
	}
	return true
}

// humanTime reads dmesg -H's "Nov24 01:02" and "  +0.000123" after it.
func (x *prefixes) humanTime(l *Line, b []byte) bool {
	b = skipSpaces(b)
	if len(b) > 1 && b[0] == '+' {
		delta, ok := uptime(b[1:])
		if ok && !x.human.IsZero() && delta < math.MaxInt64 {
			x.human = x.human.Add(time.Duration(delta))
			l.Time = x.human
		}
		return ok
	}
	if len(b) != 11 || b[5] != ' ' || b[8] != ':' {
		return false
	}
	mon, ok := month(b[:3])
	day, ok2 := digits(b[3:5])
	h, ok3 := digits(b[6:8])
	m, ok4 := digits(b[9:])
	if !ok || !ok2 || !ok3 || !ok4 {
		return false
	}
	x.human = x.withYear(mon, day, h, m, 0, 0)
	l.Time = x.human
	return true
}

// holeBytes is how many zeros in a row are a hole in a file.
const holeBytes = 32

// printable says whether data looks like text of some encoding.
func printable(b []byte) bool {
	control, zero, run := 0, 0, 0
	for _, c := range b {
		if c != 0 {
			run = 0
		}
		switch {
		case c == 0:
			zero++
			if run++; run == holeBytes {
				zero -= holeBytes - 1 // no encoding has so many: a crash left them
			} else if run > holeBytes {
				zero--
			}
		case c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != 0x1b && c != 0x1e && c != '\f' && c != '\b':
			control++
		}
	}
	if control > len(b)/20 || zero > len(b)/3 {
		return false
	}
	return control == 0 || utf8.Valid(b[:max(0, len(b)-utf8.UTFMax)]) || control < len(b)/50
}
