package lines

import (
	"bytes"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// prefixes takes off what the sources put before the kernel's text, line by
// line: a file may hold several kinds.
type prefixes struct {
	o     *Options
	g     Grammar
	clean []byte // scratch for lines with escapes
	text  []byte // the same for the text behind the prefixes
	escapes
	believed, contained bool   // the source says that it is the kernel's, or a container's
	page, entities      bool   // a web page, or its way to write characters
	xml, cdata          bool   // the page is XML, and in a part of which all is text
	marked              bool   // Markdown's way to write characters
	fence               string // what ends a log that is set in
	lead, trailer       string // what begins and ends each line
	cpus                bool   // behind each stamp is the CPU
	afterUser           bool   // the last line that had a prefix was another program's
	node                string // the last node seen, so that it is made a string once
	human               time.Time
	around              time.Time // of the entry that the line is kept in
	years               years
}

// maxWraps is how many sources may have put their prefixes around each other.
const maxWraps = 4

// line reads a raw line. False when it is no kernel message: another program's
// line in a syslog file may quote a kernel message and must not count as one.
func (x *prefixes) line(raw []byte) (l Line, ok bool) {
	b := scan.TrimEnd(raw)
	if len(b) > 0 && (b[0] < ' ' || b[len(b)-1] < ' ') {
		b = bytes.TrimLeft(bytes.TrimRight(b, "\r\n \t\x00\a\b"), "\r\f\v\x00\a\b")
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if len(b) > 0 && b[len(b)-1] >= utf8.RuneSelf {
		b = bytes.TrimRight(b, "\u200b\u200e\u200f\u2069") // what chats put around a text
	}
	if b = x.cutLead(x.cutTrailer(b)); len(b) == 0 {
		x.afterUser = false
		return l, true
	}
	if scan.IsDigit(b[0]) && bytes.Contains(b, []byte("\u00a0")) { // the kernel escapes its own: mail's
		b = bytes.ReplaceAll(b, []byte("\u00a0"), []byte(" "))
	}
	text, kernel, ok := x.kmsg(&l, b)
	if !ok {
		b = x.unescapeMarks(x.unescapeEntities(b))
		if special(b) {
			x.clean = append(x.clean[:0], plain(x.clean, b)...)
			b = x.clean
		}
		if said, ok := cutChat(b); ok {
			b, x.afterUser = said, false
		}
		if bare := undecorate(x.cutFence(b), x.g); len(bare) < len(b) {
			b = bare
			text, kernel, ok = x.kmsg(&l, b)
		}
	}
	if ok {
		l.Text, l.Exact = text, true
		x.afterUser = !kernel
		return l, kernel
	}
	whole := len(b)
	x.escapes = escapeNone
	if b, ok = x.unwrap(&l, b, maxWraps); !ok {
		return l, false
	}
	l.Text, l.Indent = x.undo(b), whole-len(b)
	return l, true
}

// printed reads a line that is just as /dev/kmsg or dmesg prints it, as most are: its first
// bytes tell, and nothing in it could be anybody's mark or escape. False for all others.
func (x *prefixes) printed(l *Line, raw []byte) bool {
	if len(raw) < 2 || x.page || x.lead != "" || x.trailer != "" || x.fence != "" || !endsPlainly(raw) || bytes.IndexByte(raw, '\\') >= 0 {
		return false
	}
	*l = Line{Exact: true}
	switch {
	case scan.IsDigit(raw[0]):
		var h KmsgHeader
		if bytes.IndexByte(raw, 0xa0) >= 0 || !h.parse(raw) || h.Prio>>3 != 0 || len(h.flags) > 1 {
			return false
		}
		l.Uptime, l.Text = h.Uptime, h.Text
	case raw[0] == '[' && bytes.IndexByte(raw, '&') < 0 && !special(raw):
		end := bytes.IndexByte(raw[:min(len(raw), longestClock)], ']')
		up, ok := uptime(raw[1:max(1, end)])
		if !ok || up > longestUptime || bytes.IndexByte(raw[:end], '<') >= 0 || bytes.IndexByte(raw[:end], ',') >= 0 {
			return false
		}
		l.Uptime = oom.Some(up)
		l.Text, _ = x.afterClock(l, raw[end+1:])
		l.Indent = len(raw) - len(l.Text)
	default:
		return false
	}
	x.afterUser = false
	return true
}

// longestClock is how long the kernel's stamp is at most.
const longestClock = 32

// endsPlainly says whether a line ends neither in blanks, nor in what could be an object's
// end or Markdown's.
func endsPlainly(b []byte) bool {
	switch c := b[len(b)-1]; c {
	case '}', '*':
		return false
	case ']':
		b = b[:len(b)-1]
	}
	c := b[len(b)-1]
	return c > ' ' && c < utf8.RuneSelf && c != ']' && c != '}'
}

// special is a quick test for bytes that plain takes out.
func special(b []byte) bool {
	return bytes.IndexByte(b, 0x1b) >= 0 || bytes.IndexByte(b, 0xa0) >= 0 || bytes.Contains(b, []byte(caret)) || writtenFirst(b) != ""
}

// unwrap takes off prefix after prefix, with what is nobody's before so many dates. False when
// it is no kernel message: another program's, or a further line of one, which has no prefix of
// its own.
func (x *prefixes) unwrap(l *Line, b []byte, dates int) ([]byte, bool) {
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
	if i := datedAt(b); i > 0 && dates > 0 && !l.Exact && l.Time.IsZero() && !x.g.Class(b).Part {
		return x.unwrap(l, b[i:], dates-1)
	}
	if i := composedAt(b); i > 0 && dates > 0 && !l.Exact && l.Time.IsZero() {
		return x.unwrap(l, b[i:], dates-1)
	}
	if !l.Exact {
		if b = x.anywhere(l, b); !l.Exact && taggedAway(b) && !x.known(scan.SkipSpaces(b), false) {
			x.afterUser = true
			return b, false
		}
	}
	if len(b) == whole && (x.afterUser && !x.believed || x.contained) {
		return b, false
	}
	x.afterUser = false
	return b, true
}

// datedAt is where, behind a few characters that are nobody's prefix ("12. ", "JD> "), the
// date of a syslog line begins; 0 for nowhere.
func datedAt(b []byte) int {
	const most = 12
	for i := 1; i < min(len(b), most); i++ {
		if b[i-1] == '[' { // the date is in brackets
			break
		}
		if c := b[i]; b[i-1] == ' ' && (c >= 'A' && c <= 'Z' || scan.IsDigit(c)) && stamped(b[i:]) {
			return i
		}
	}
	return 0
}

// composedAt is where the stamp behind "NAME-1  | ", which "docker compose logs" puts before each
// line, begins; 0 for none.
func composedAt(b []byte) int {
	const longest, mark = 80, " | "
	name, _, ok := bytes.Cut(b[:min(len(b), longest)], []byte(mark))
	if !ok || !isHost(bytes.TrimRight(name, " ")) || !stamped(b[len(name)+len(mark):]) {
		return 0
	}
	return len(name) + len(mark)
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
	case c == ' ' && !l.Exact:
		return x.unopened(l, b)
	case l.Exact:
		return b, wrapNone // behind the kernel's tag only its own level and stamp
	case scan.IsDigit(c):
		if rest, st := x.iso(l, b); st != wrapNone {
			return rest, st
		}
		if rest, st := x.logcat(l, b); st != wrapNone {
			return rest, st
		}
		if rest, st := x.unopened(l, b); st != wrapNone {
			return rest, st
		}
		if rest, st := x.unix(l, b); st != wrapNone {
			return rest, st
		}
		if len(b) > 2 && max(b[1], b[2]) >= utf8.RuneSelf {
			return x.localized(l, b) // "11月"
		}
	case c >= 'A' && c <= 'Z':
		if len(b) > 2 && b[1] == '/' {
			return logcatTag(l, b[2:], false)
		}
		if len(b) > 14 && b[5] == ' ' && b[8] == ':' && scan.IsDigit(b[1]) { // glog's and klog's "I0307 04:11:09.123456"
			return b, wrapUser
		}
		return x.syslog(l, b)
	case scan.HasPrefix(b, "kernel: "):
		l.Exact = true
		return b[len("kernel: "):], wrapMore
	case scan.HasPrefix(b, "time="), scan.HasPrefix(b, "level="), scan.HasPrefix(b, "ts="): // logfmt
		return b, wrapUser
	case c >= 'a' && c <= 'z':
		if rest, st := x.localized(l, b); st != wrapNone {
			return rest, st
		}
		return facility(b)
	case c >= utf8.RuneSelf:
		return x.localized(l, b)
	}
	return b, wrapNone
}

// kmsg reads the form of /dev/kmsg: "prio,seq,usec,flags[,caller=T1];text"
// (Documentation/ABI/testing/dev-kmsg). Other programs write there too, but
// not with the kernel's facility.
func (x *prefixes) kmsg(l *Line, b []byte) (text []byte, kernel, ok bool) {
	h, ok := ParseKmsg(b)
	if !ok {
		return b, false, false
	}
	l.Uptime, l.Caller = h.Uptime, h.Caller
	return h.Message(&x.clean), h.Prio>>3 == 0, true
}

// Message is the text without escapes, which takes scratch, and without the dictionary's
// lines behind it.
func (h *KmsgHeader) Message(scratch *[]byte) []byte {
	text, _, _ := bytes.Cut(h.Text, []byte("\n"))
	if !bytes.Contains(text, []byte(`\x`)) {
		return text
	}
	*scratch = unescape((*scratch)[:0], text, false)
	return *scratch
}

// KmsgHeader is what stands before a text in /dev/kmsg.
type KmsgHeader struct {
	Prio, Seq uint64
	Uptime    oom.Opt[uint64]
	Caller    int
	Text      []byte
	flags     []byte
}

// ParseKmsg reads a record of /dev/kmsg: "prio,seq,usec,flags[,caller=T1];text". netconsole
// may put the kernel's release before it: "6.12.3,".
func ParseKmsg(b []byte) (h KmsgHeader, ok bool) {
	ok = h.parse(b)
	return h, ok
}

func (h *KmsgHeader) parse(b []byte) bool {
	const longestRelease, longestFlags = 64, 64
	if len(b) == 0 || !scan.IsDigit(b[0]) {
		return false
	}
	if len(b) > 2 && (b[1] == '.' || b[2] == '.') {
		b = b[bytes.IndexByte(b[:min(len(b), longestRelease)], ',')+1:]
	}
	var usec uint64
	for _, to := range [...]*uint64{&h.Prio, &h.Seq, &usec} {
		v, rest, ok := scan.Uint(b)
		if !ok || len(rest) == 0 || rest[0] != ',' {
			return false
		}
		*to, b = v, rest[1:]
	}
	end := bytes.IndexByte(b, ';')
	if end < 0 || end > longestFlags {
		return false
	}
	h.Uptime, h.flags, h.Text = scan.Times(usec, 1000), b[:end], b[end+1:]
	if end > len("caller=") {
		s, _ := scan.After(h.flags, "caller=")
		h.Caller = caller(s)
	}
	return true
}

// caller reads "T123" or "C0".
func caller(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	v, _, ok := scan.Uint(b[1:])
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

// priority reads "<4>" (dmesg -r, console) and RFC 5424's "<4>1 TIME HOST
// kernel - - - ".
func (x *prefixes) priority(l *Line, b []byte) ([]byte, wrapState) {
	v, rest, ok := scan.Uint(b[1:])
	if !ok || v > 1023 || len(rest) == 0 || rest[0] != '>' {
		return b, wrapNone
	}
	if v>>3 != 0 {
		return b, wrapUser
	}
	rest = rest[1:]
	if !scan.HasPrefix(rest, "1 ") {
		return rest, wrapMore
	}
	stampText, fields := scan.Field(rest[2:])
	t, _, ok := parseISO(stampText, x.o.Location)
	if !ok && string(stampText) != "-" {
		return rest, wrapMore // "<4>1 pages in swap cache"
	}
	if ok {
		l.Time = t
	}
	host, rest := scan.Field(fields)
	app, rest := scan.Field(rest)
	if string(app) != "kernel" && string(app) != "-" {
		return b, wrapUser
	}
	x.setNode(l, host)
	_, rest = scan.Field(rest) // PROCID
	_, rest = scan.Field(rest) // MSGID
	rest = skipStructured(rest)
	l.Exact = true
	return bytes.TrimPrefix(rest, []byte("\ufeff")), wrapMore
}

// skipStructured takes RFC 5424's structured data off: "-" or "[id k="v"]…".
func skipStructured(b []byte) []byte {
	b = scan.SkipSpaces(b)
	if scan.HasPrefix(b, "- ") {
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
	return scan.SkipSpaces(b)
}

func (x *prefixes) setNode(l *Line, host []byte) {
	if x.node != string(host) {
		if len(host) > longestHost || string(host) == "-" || !isHost(host) {
			return
		}
		x.node = scan.Keep(host)
	}
	l.Node = x.node
}

// longestHost is how long a host's name is at most.
const longestHost = 255

// isHost says whether a word can be a host's name or address.
func isHost(b []byte) bool { return only(b, wordParts+".:-") }

// unopened reads the kernel's stamp where its bracket is lost, as at the start of what was
// selected: "1257.892709] ". It always has six digits behind the point.
func (x *prefixes) unopened(l *Line, b []byte) ([]byte, wrapState) {
	const fraction = 7
	end := bytes.IndexByte(b[:min(len(b), longestClock)], ']')
	if end <= fraction || b[end-fraction] != '.' || end+1 >= len(b) || b[end+1] != ' ' {
		return b, wrapNone
	}
	up, ok := uptime(b[:end])
	if !ok || up > longestUptime {
		return b, wrapNone
	}
	l.Uptime = oom.Some(up)
	return x.afterClock(l, b[end+1:])
}

// bracket reads what dmesg and the console put in brackets.
func (x *prefixes) bracket(l *Line, b []byte) ([]byte, wrapState) {
	const longest = 1024 // a pod's and its container's names
	end := bytes.IndexByte(b[:min(len(b), longest)], ']')
	if end < 0 {
		return b, wrapNone
	}
	in, rest := b[1:end], b[end+1:]
	if up, ok := uptime(in); ok {
		if up > longestUptime { // logread -t has the time once more, since 1970
			return x.tag(l, rest, false)
		}
		l.Uptime = oom.Some(up)
		return x.afterClock(l, rest)
	}
	if _, after, ok := scan.Uint(in); ok && len(after) > 1 && after[0] == '-' { // a vendor's "[CPU-uptime]"
		if up, ok := uptime(after[1:]); ok {
			l.Uptime = oom.Some(up)
			return x.afterClock(l, rest)
		}
	}
	switch {
	case len(in) > 0 && in[0] == '<': // an address
	case x.ctime(l, in), x.humanTime(l, in):
		return x.afterClock(l, rest)
	case x.isoStamp(l, in) && scan.HasPrefix(rest, ": "): // Talos: "[2025-11-24T01:02:03.123456789Z]: "
		l.Exact = true
		return rest[2:], wrapText
	case x.ctimeShort(l, in) && scan.HasPrefix(rest, " "): // not the kernel's own form: a tag may follow
		return rest[1:], wrapMore
	case !l.Time.IsZero() && len(in) >= 19 && scan.HasPrefix(rest, " "): // what people's tools put before each line
		return rest[1:], wrapMore
	case bytes.IndexByte(in, '/') > 0 && bytes.IndexByte(in, ' ') < 0 && len(rest) > 0 && rest[0] == ' ':
		return rest[1:], wrapMore // kubectl logs --prefix: "[pod/NAME/CONTAINER] "
	}
	return b, wrapNone
}

// longestUptime is what a machine may be up, in nanoseconds: 20 years.
const longestUptime = 20 * 365 * 24 * uint64(time.Hour)

// isoStamp reads a stamp that is nothing else.
func (x *prefixes) isoStamp(l *Line, b []byte) bool {
	t, rest, ok := parseISO(b, x.o.Location)
	if !ok || len(rest) > 0 {
		return false
	}
	l.Time = t
	return true
}

// afterClock takes off the caller's "[ T123]" and, after journalctl's
// monotonic stamps, the host and "kernel:".
func (x *prefixes) afterClock(l *Line, b []byte) ([]byte, wrapState) {
	if b = cutCaller(l, b); x.cpus {
		b = b[cpuMark(b):]
	}
	if !l.Uptime.Known && len(b) > len("[0.000000]") && b[0] == '[' { // a console's log, stamped by who keeps it
		if up, ok := uptime(b[1:max(1, bytes.IndexByte(b, ']'))]); ok {
			l.Uptime = oom.Some(up)
			b = cutCaller(l, b[bytes.IndexByte(b, ']')+1:])
		}
	}
	l.Exact = true
	if text, ok := bytes.CutPrefix(b, []byte("kernel: ")); ok { // journalctl --no-hostname
		return text, wrapText
	}
	if len(b) > 3 && b[0] == '<' && scan.IsDigit(b[1]) && b[2] == '>' { // crash's log -m
		b = b[3:]
	}
	host, rest := scan.Field(b)
	if scan.HasPrefix(rest, "kernel: ") && isHost(host) {
		x.setNode(l, host)
		return rest[len("kernel: "):], wrapText
	}
	x.escapes = escapeHex
	return b, wrapText
}

// cutCaller takes off who printed it: right behind the stamp as the console has
// it, behind a space as dmesg has it, and padded to six by both. Vendors of phones
// have forms of their own.
func cutCaller(l *Line, b []byte) []byte {
	in := bytes.TrimPrefix(b, []byte(" "))
	if rest, ok := vendorCaller(scan.SkipSpaces(in)); ok {
		return rest
	}
	if end := bytes.IndexByte(in, ']'); end > 0 && in[0] == '[' && (in[1] == ' ' || end >= len("[T12345")) {
		who := scan.SkipSpaces(in[1:end])
		if c := caller(who); c != 0 || string(who) == "T0" {
			l.Caller, b = c, in[end+1:]
		}
	}
	return bytes.TrimPrefix(b, []byte(" "))
}

// cpuMark is how long the CPU is that Unisoc's kernels put before each text: "c2 ".
func cpuMark(b []byte) int {
	if scan.First(b) != 'c' {
		return 0
	}
	n := 1 + digitsOf(b[1:])
	if n == 1 || n > 3 || n == len(b) || b[n] != ' ' {
		return 0
	}
	return len(b) - len(scan.SkipSpaces(b[n:]))
}

// cpusOf says whether a log has such a CPU before most texts, or before one that is known
// behind it: a process may be called "c2 sh".
func (x *prefixes) cpusOf(head []byte) bool {
	if !scan.Contains(head, "] c") {
		return false
	}
	const fewest = 3
	marked, all := 0, 0
	for line := range bytes.Lines(head) {
		l, ok := x.probe(line)
		if !ok || !l.Uptime.Known {
			continue
		}
		all++
		if n := cpuMark(l.Text); n > 0 && n < len(l.Text) {
			marked++
			if x.g.Class(l.Text[n:]).Own {
				return true
			}
		}
	}
	return marked >= fewest && marked*2 > all
}

// vendorCaller takes off "<4>.(1)[214:kswapd0]", "(1)[214:kswapd0]", "I[1:        kswapd0:  214] "
// and that without the level, and "[pid:214,cpu2,kswapd0]".
func vendorCaller(b []byte) (rest []byte, ok bool) {
	if len(b) > 8 && (b[0] == '<' && scan.IsDigit(b[1]) || b[0] == '(' && scan.IsDigit(b[1]) || b[0] == '.' && b[1] == '(') {
		if i := bytes.IndexByte(b, '['); i >= 3 && i < 12 && b[i-1] == ')' {
			if end := bytes.IndexByte(b[i:], ']'); end > 0 {
				return bytes.TrimPrefix(b[i+end+1:], []byte(" ")), true
			}
		}
		return b, false
	}
	if scan.HasPrefix(b, "[pid:") {
		if end := bytes.IndexByte(b, ']'); end > 0 && end < 64 && scan.Contains(b[:end], ",cpu") {
			return bytes.TrimPrefix(b[end+1:], []byte(" ")), true
		}
		return b, false
	}
	if len(b) > 8 && b[0] >= 'A' && b[0] <= 'Z' && b[1] == '[' {
		b = b[1:]
	}
	if len(b) > 8 && b[0] == '[' && scan.IsDigit(b[1]) && (b[2] == ':' || b[3] == ':') {
		if end := bytes.IndexByte(b, ']'); end > 0 && end < 48 && bytes.Count(b[:end], []byte(":")) >= 2 && scan.IsDigit(b[end-1]) {
			return bytes.TrimPrefix(b[end+1:], []byte(" ")), true
		}
	}
	return b, false
}

// iso reads stamps of journalctl -o short-iso, rsyslog's file format, dmesg
// --time-format iso, CRI and docker logs.
func (x *prefixes) iso(l *Line, b []byte) ([]byte, wrapState) {
	t, rest, ok := parseISO(b, x.o.Location)
	if !ok {
		return b, wrapNone
	}
	l.Time = t
	rest = scan.SkipSpaces(rest)
	if len(rest) > 0 && scan.IsDigit(rest[0]) {
		if text, st := logcatFields(l, rest); st == wrapMore {
			return text, st
		}
	}
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
	if len(b) > 19 && b[10] == 'T' && b[19] == ',' { // dmesg's own
		l.Exact, x.escapes = true, escapeHex
		return cutCaller(l, rest), wrapText
	}
	if x.dated(rest) { // by what has kept it: "docker logs -t", "kubectl logs --timestamps"
		return rest, wrapMore
	}
	return x.tag(l, rest, false)
}

// dated says whether a text begins with a full stamp, which is longer than a process's name.
func (x *prefixes) dated(b []byte) bool {
	_, _, iso := parseISO(b, x.o.Location)
	if !iso && len(b) > 4 && b[3] == ' ' {
		_, _, iso = parseISO(b[4:], x.o.Location) // journalctl -o short-full
	}
	var l Line
	_, st := x.unix(&l, b)
	return iso || st != wrapNone && !l.Time.IsZero()
}

// logcat reads Android's "03-07 04:11:09.123   214   214 W kernel  : text".
func (x *prefixes) logcat(l *Line, b []byte) ([]byte, wrapState) {
	if len(b) < 20 || b[2] != '-' || b[5] != ' ' || b[14] != '.' {
		return b, wrapNone
	}
	mon, ok := digits(b[:2])
	day, ok2 := digits(b[3:5])
	h, m, s, ok3 := clock(b[6:])
	ms, rest, ok4 := scan.Uint(b[15:])
	if !ok || !ok2 || !ok3 || !ok4 || mon < 1 || mon > 12 || ms > 999 {
		return b, wrapNone
	}
	l.Time = x.withYear(l, time.Month(mon), day, h, m, s, int(ms)*1_000_000)
	if text, st := logcatFields(l, rest); st != wrapNone {
		return text, st
	}
	if rest = scan.SkipSpaces(rest); len(rest) > 0 && (rest[0] == '<' || rest[0] == '[') && stamped(rest) {
		return rest, wrapMore // a vendor's, of the kernel's log alone: logd puts who wrote it before its text
	}
	return b, wrapUser
}

// logcatFields reads "root   214   214 W kernel  : " and its shorter forms.
func logcatFields(l *Line, rest []byte) ([]byte, wrapState) {
	idle := false // a process id is 0
	for range 4 { // who, pid, tid and level
		field, after := scan.Field(rest)
		switch {
		case len(field) > 1 && field[1] == '/':
			return logcatTag(l, scan.SkipSpaces(rest)[2:], idle)
		case len(field) == 1 && field[0] >= 'A' && field[0] <= 'Z':
			return logcatTag(l, scan.SkipSpaces(after), idle)
		}
		idle = idle || string(field) == "0"
		rest = after
	}
	return rest, wrapNone
}

// logcatTag reads "kernel  : text" and "kernel  (  214): text". Where logd finds no tag in a
// line of the kernel's there is none, and the process is 0, which no other's is.
func logcatTag(l *Line, b []byte, idle bool) ([]byte, wrapState) {
	tag, text, ok := bytes.Cut(b, []byte(": "))
	if i := bytes.IndexByte(tag, '('); i >= 0 {
		idle = idle || string(bytes.Trim(tag[i:], "( )")) == "0"
		tag = tag[:i]
	}
	tag = bytes.TrimSpace(tag)
	switch {
	case !ok:
		return b, wrapNone
	case len(tag) == 0 && idle, string(tag) == "kernel":
		l.Exact = true
		return text, wrapMore
	}
	return b, wrapUser
}

// unix reads journalctl -o short-unix: "1732410123.123456 host kernel: ".
func (x *prefixes) unix(l *Line, b []byte) ([]byte, wrapState) {
	f, rest := scan.Field(b)
	sec, frac, ok := scan.Uint(f)
	if !ok || sec < 1e8 || sec > 1e11 || len(frac) != 7 || frac[0] != '.' {
		return b, wrapNone
	}
	nanos, n := fraction(frac[1:])
	if n != 6 {
		return b, wrapNone
	}
	l.Time = time.Unix(int64(sec), int64(nanos))
	return x.tag(l, rest, true)
}

// syslog reads RFC 3164's "Nov 24 01:02:03 host kernel: ", journalctl's
// short-full "Mon 2025-11-24 01:02:03 UTC host kernel: ", and OpenWrt's "Mon
// Nov 24 01:02:03 2025 kern.err kernel: ".
func (x *prefixes) syslog(l *Line, b []byte) ([]byte, wrapState) {
	if rest, st := x.localized(l, b); st != wrapNone {
		return rest, st
	}
	if len(b) < 24 || b[3] != ' ' {
		return b, wrapNone
	}
	if t, rest, ok := parseISO(b[4:], x.o.Location); ok {
		if zone, after := scan.Field(rest); len(zone) > 0 && len(zone) < 6 {
			t, rest = inZone(t, zone), after
		}
		l.Time = t
		return x.tag(l, rest, true)
	}
	for _, n := range [...]int{24, 23} { // a day of one digit has a second blank, or lost it
		if x.ctime(l, b[:n]) && (n == len(b) || b[n] == ' ') {
			return x.tag(l, scan.SkipSpaces(b[n:]), true)
		}
	}
	return b, wrapNone
}

// localized reads RFC 3164's stamp, whose month follows the locale: "Nov 24 01:02:03", "févr. 24
// 01:02:03" or "11月 24 01:02:03". A word that is no month that is known may as well be no stamp's:
// then only a tag behind it tells.
func (x *prefixes) localized(l *Line, b []byte) ([]byte, wrapState) {
	t, rest, known, ok := x.stamp3164(l, b)
	if !ok {
		return b, wrapNone
	}
	if known {
		l.Time = t
		return x.tag(l, rest, true)
	}
	if text, st := x.tag(l, rest, false); st == wrapUser || l.Exact {
		return text, st
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

// taggedAway says whether a program's tag stands before a kill's words.
func taggedAway(b []byte) bool {
	before := b
	for _, mark := range [...]string{"Out of memory", "Out of Memory", "Memory cgroup out of", KilledMark, KillMark} {
		before, _, _ = bytes.Cut(before, []byte(mark))
	}
	if len(before) == len(b) {
		return false
	}
	for before = cutReason(before); len(before) > 0; {
		var word []byte
		if word, before = scan.Field(before); len(word) > 1 && word[len(word)-1] == ':' && !kernelsWord(word) {
			return true
		}
	}
	return false
}

// cutReason takes a kill's reason off the end, of which blanks are lost or doubled.
func cutReason(b []byte) []byte {
	const bare, bareCgroup = "Outofmemory:", "Memorycgroupoutofmemory:"
	for _, first := range [...]string{"Out", "Mem"} {
		if i := bytes.LastIndex(b, []byte(first)); i >= 0 && len(b)-i < 2*len(bareCgroup) {
			if reason := string(bytes.ReplaceAll(b[i:], []byte(" "), nil)); reason == bare || reason == bareCgroup {
				return b[:i]
			}
		}
	}
	return b
}

// kernelsWord says whether a word with a colon may stand before the kernel's text.
func kernelsWord(b []byte) bool {
	return slices.Contains([]string{"kernel:", "vmunix:", "kern:", "warning:", "Guest:"}, string(b))
}

// tag reads "host kernel: ", "kernel: " or "host kern.err kernel: ". Another program's
// tag or facility means that this is not the kernel's line. A tag may have blanks in it;
// what stands before the kernel's own stamp without one may be a shipper's words.
func (x *prefixes) tag(l *Line, b []byte, strict bool) ([]byte, wrapState) {
	b = scan.SkipSpaces(b)
	if level, rest, ok := bytes.Cut(b, []byte("> ")); ok && scan.First(level) == '<' && isLevel(level[1:]) { // BSD's syslogd -vv
		if !scan.HasPrefix(level, "<kern.") {
			return b, wrapUser
		}
		b = rest
	}
	if len(b) == 0 || b[0] == '[' || b[0] == '<' || b[0] == '{' {
		return b, wrapMore // no host: a stamp, or what a log shipper puts there
	}
	first, rest := scan.Field(b)
	second, text := scan.Field(rest)
	host, level := first, first
	switch {
	case isKernelTag(first):
		return x.tagged(l, nil, rest)
	case isLevel(first):
		host = nil
	case !strict && x.known(b, isKernelTag(second)):
		return b, wrapMore
	}
	if isLevel(second) && host != nil {
		level = second
		second, text = scan.Field(text)
	}
	if isLevel(level) && !scan.HasPrefix(level, "kern.") {
		return b, wrapUser
	}
	switch {
	case isKernelTag(second):
		return x.tagged(l, host, text)
	case string(second) == "kernel" && scan.HasPrefix(text, "- - "):
		_, text = scan.Field(text)
		_, text = scan.Field(text)
		return x.tagged(l, host, skipStructured(text))
	case len(second) > 0 && second[0] == ':' && !strict: // "kern  :notice: "
		return b, wrapMore
	case strict:
		return b, wrapUser
	}
	for more := rest; len(more) > 0; {
		var word []byte
		word, more = scan.Field(more)
		switch {
		case len(word) == 0:
		case word[0] == '[', word[0] == '<' && word[len(word)-1] != ':', string(word) == "Guest:":
			return b, wrapMore
		case word[len(word)-1] == ':' && !kernelsWord(word):
			return b, wrapUser
		}
	}
	return b, wrapMore
}

// isKernelTag says whether a syslog tag is the kernel's; old syslog daemons
// name it after the image's file.
func isKernelTag(b []byte) bool {
	return string(b) == "kernel:" || string(b) == "vmunix:" || string(b) == "kernel[0]:"
}

func (x *prefixes) tagged(l *Line, host, text []byte) ([]byte, wrapState) {
	x.setNode(l, host)
	l.Exact, x.escapes = true, escapeOctal
	return bytes.TrimPrefix(text, []byte(": ")), wrapMore // RHEL 6 has it twice
}

// isLevel says whether this is syslog's "facility.level".
func isLevel(b []byte) bool {
	facility, level, _ := bytes.Cut(b, []byte("."))
	levels := [...]string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}
	return len(facility) > 0 && slices.Contains(levels[:], string(level))
}

// facility reads dmesg -x's "kern  :warn  : ".
func facility(b []byte) ([]byte, wrapState) {
	name, rest, ok := bytes.Cut(b, []byte(":"))
	level, rest, ok2 := bytes.Cut(rest, []byte(": "))
	switch word := bytes.TrimSpace(name); {
	case !ok, len(name) > 8, len(name) < 4, name[len(name)-1] != ' ', bytes.IndexByte(word, ' ') >= 0:
	case !ok2, len(level) > 7, len(level) < 3, bytes.IndexByte(bytes.TrimSpace(level), ' ') >= 0:
	case string(word) != "kern":
		return b, wrapUser
	default:
		return rest, wrapMore
	}
	return b, wrapNone
}

// anywhere looks for the kernel's own stamp, or for "kernel: ", behind a prefix
// that is not known: serial consoles and log shippers have many. In a line that
// begins as the kernel's and has a name in it there is nothing to look for.
func (x *prefixes) anywhere(l *Line, b []byte) []byte {
	const most = 512
	if x.g.Class(b).Own {
		return b
	}
	head := b[:min(len(b), most)]
	if i := bytes.Index(head, []byte(" cpuset=")); i >= 0 {
		head = head[:i]
	}
	for i, c := range head {
		if c != '[' {
			continue
		}
		if rest, st := x.bracket(l, b[i:]); st == wrapText {
			return rest
		}
	}
	if i := bytes.Index(head, []byte(" kernel: ")); i >= 0 && isHost(head[bytes.LastIndexByte(head[:i], ' ')+1:i]) {
		l.Exact, x.escapes = true, escapeOctal
		return b[i+len(" kernel: "):]
	}
	return b
}

// known says whether a text is a report's, or begins as a line of the kernel's. A tag in
// the second place counts for more than what the first word may be.
func (x *prefixes) known(b []byte, tagged bool) bool {
	c := x.g.Class(b)
	return c.Own || !tagged && (c.Header || c.Part)
}
