package lines

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

const (
	bufferBytes = 768 << 10
	// readBytes are read at once: as much as the nearer caches hold.
	readBytes = 256 << 10
	// historyBytes of what was passed over stay in the buffer: a kill line may
	// show that the lines before it were of its report.
	historyBytes = 64 << 10
	// lookBackLines is how many lines that are none of a report's end the look
	// back.
	lookBackLines = 32
	// startLines: the first lines of a log may be the middle of a report.
	startLines = 64
	peekBytes  = 4096
)

// Reader reads the lines of a log. It is not safe for concurrent use.
type Reader struct {
	o         Options
	g         Grammar
	src       *source
	in        io.Reader
	sink      Sink
	x         prefixes
	format    format
	start     int // lines that are read closely at the start
	obj       objects
	entry     entry
	ord       order
	line      Line   // the one at hand
	above     Line   // the last one, where it is a stamp alone
	joined    []byte // a line put together, see rejoin
	inMessage bool   // of journalctl -o verbose: the last field
	columns   []string
	labels    entry // of a table's rows
	comma     byte
	guessed   bool // the columns, by what is in them
	wrapping  wrapping
	pieces    pieces
	events    events
	part      string // of a line of docker's
	afterUser bool   // as prefixes', of the entries within a text
	listed    listed
	ended     bool // its lines have ends
	rested    bool // what waited is given on, or ready
	stats     Stats
}

type format int

const (
	formatText format = iota
	formatJSON
	formatExport
	formatVerbose
	formatTable
	formatEvents
)

// steps read on, by format. False when nothing came.
var steps = [...]func(*Reader) bool{
	formatText: (*Reader).stepText, formatJSON: (*Reader).stepJSON, formatExport: (*Reader).stepExport,
	formatVerbose: (*Reader).stepVerbose, formatTable: (*Reader).stepTable, formatEvents: (*Reader).stepEvents,
}

// NewReader returns a reader that gives a log's lines to the sink. It does not close in.
func NewReader(in io.Reader, o Options, g Grammar, to Sink) *Reader {
	o.Location, o.MaxLine = cmp.Or(o.Location, time.Local), o.Longest()
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Reader{o: o, g: g, in: in, sink: to, start: startLines, obj: objects{start: -1}}
	r.x = prefixes{o: &r.o, g: g}
	r.ord = order{give: to.Line, g: g}
	return r
}

// Stats returns the counts so far.
func (r *Reader) Stats() Stats {
	s := r.stats
	if r.src != nil {
		s.Lines, s.Cut = r.src.lines, r.src.cuts
	}
	s.Unknown += r.obj.broken
	s.Doubled, s.Reversed = r.ord.doubled, r.ord.mode == newestFirst
	return s
}

// Step reads on, by a line or by many that cannot matter. It returns io.EOF at the end,
// and os.ErrDeadlineExceeded where the input did: nothing came for a while. Then no line
// waits for others any more. The error wraps ErrNotText when the input is no text.
func (r *Reader) Step() error {
	if r.src == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	if r.ord.giveNext() {
		return nil
	}
	if r.rested = !r.rested; r.rested {
		if steps[r.format](r) && !r.src.quiet {
			r.rested = false
			return nil
		}
		r.rest()
		r.ord.flush()
		return nil
	}
	if r.src.again() {
		return os.ErrDeadlineExceeded
	}
	return r.src.err
}

// rest gives on what waits for more of an entry.
func (r *Reader) rest() {
	number := int(r.src.lines)
	if r.pieces.open() {
		r.feedPlain(r.pieces.take(), true, number)
	}
	if r.part != "" {
		r.takeEntry(r.lastPart(), number)
	}
	if r.format == formatJSON {
		r.endFields()
	}
}

// open undoes what the input was packed and written in, and finds its format.
func (r *Reader) open() error {
	r.src = &source{in: r.in, max: r.o.MaxLine}
	r.src.buf = make([]byte, max(bufferBytes, 4*r.src.max+2*historyBytes))
	if err := r.unpack(); err != nil {
		return err
	}
	head := r.src.peek()
	if len(head) > 0 && head[0] == 0 {
		if !r.src.skipHole() {
			return ErrNotText
		}
		head = r.src.peek()
	}
	if len(head) == 0 {
		return r.src.err
	}
	switch {
	case scan.HasPrefix(head, "LPKSHHRH"):
		return fmt.Errorf("a journal file, to be read by journalctl -k --file: %w", ErrNotText)
	case !printable(head):
		return ErrNotText
	}
	r.src.endAtReturns(r.g)
	for more := r.o.Other != nil; more; more = more && r.src.readAhead() {
		var takes bool
		if takes, more = r.o.Other(r.src.ahead(), &packed{r.src}); takes {
			return ErrOther
		}
	}
	head = r.src.peek()
	if r.format = detect(head); r.format == formatText {
		r.openText(head)
	}
	return nil
}

// openText finds out what is around the lines of a text.
func (r *Reader) openText(head []byte) {
	r.x.page, r.x.xml = markup(r.g, head)
	r.x.entities = r.x.page
	if r.columns, r.comma = guessTable(head, r.g); r.columns != nil && !r.x.page {
		r.format, r.guessed = formatTable, true
		return
	}
	r.x.surroundings(r.src.begin())
	if r.wrapping = r.wrappingOf(r.src.begin()); r.wrapping.width > 0 || r.x.xml {
		r.start = math.MaxInt // what begins a line may tell nothing
	}
}

// decoders undo what a whole log was packed or written in. Each looks at its first bytes and
// returns a reader of what is in it, or nil.
var decoders = [...]func(g Grammar, head []byte, src *source) (io.Reader, error){
	decompress, decodeWide, decodeBase64, decodeMail, decodePrinted, decodeStrings,
	decodeFramed, decodeBox, decodeParts, decodeRich,
}

// unpack undoes them, from the outside in. A compressed log may have been compressed again.
func (r *Reader) unpack() error {
	const most = 4
	for range most {
		head := r.src.peek()
		var in io.Reader
		for i := 0; in == nil; i++ {
			if i == len(decoders) {
				return nil
			}
			var err error
			if in, err = decoders[i](r.g, head, r.src); err != nil {
				return err
			}
		}
		r.src = &source{in: in, max: r.src.max, buf: make([]byte, len(r.src.buf))}
	}
	return nil
}

// detect tells the formats apart by the first bytes.
func detect(head []byte) format {
	b := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n\x1e")
	b = bytes.TrimPrefix(b, []byte("data: "))
	switch {
	case scan.First(b) == '{' && scan.First(inner(b)) == '"', scan.First(b) == '[' && scan.First(inner(b)) == '{' && scan.First(inner(inner(b))) == '"':
		return formatJSON
	case scan.HasPrefix(b, "__CURSOR="), scan.HasPrefix(b, "__REALTIME_TIMESTAMP="), scan.HasPrefix(b, "MESSAGE="):
		return formatExport
	case isVerbose(b):
		return formatVerbose
	case isEvents(b):
		return formatEvents
	}
	if columns, _ := tableHead(b); columns != nil {
		return formatTable
	}
	return formatText
}

// inner is what follows a bracket.
func inner(b []byte) []byte { return bytes.TrimLeft(b[min(1, len(b)):], " \t\r\n") }

// stepText moves on by a line, or over many that cannot matter.
func (r *Reader) stepText() bool {
	if r.start > 0 || r.close() {
		line, cut, ok := r.src.line()
		if !ok {
			return false
		}
		r.start--
		if r.start == 0 && r.close() {
			r.start = 1 // stay close while it is about a report
		}
		r.feed(line, cut, int(r.src.lines))
		r.src.floor = r.src.pos
		return true
	}
	whole := r.src.whole()
	if len(whole) == 0 && r.src.quiet {
		return false
	}
	if len(whole) == 0 {
		line, cut, ok := r.src.line() // the last line, or one that is too long
		if ok && MayMatter(line) {
			r.feed(line, cut, int(r.src.lines))
		}
		return ok
	}
	at := r.src.find()
	if at < 0 {
		r.sink.Skip(r.src.pass(len(whole)))
		return true
	}
	start := bytes.LastIndexByte(whole[:at], '\n') + 1
	r.sink.Skip(r.src.pass(start))
	before := r.src.buf[:r.src.pos]
	line, cut, _ := r.src.line()
	number := int(r.src.lines)
	if r.needsPast(line) {
		line = bytes.Clone(line) // a line of before may be read on, and the buffer moved for that
		r.lookBack(before, number)
	}
	r.feed(line, cut, number)
	r.src.floor = r.src.pos
	return true
}

// close says whether ordinary lines may still matter.
func (r *Reader) close() bool { return r.sink.Busy() || r.ord.holding() || r.pieces.open() }

// needsPast says whether a line ends a report whose other lines may have gone
// by unseen, or is the first of them with a word that is looked for, as a table's heading.
func (r *Reader) needsPast(line []byte) bool {
	if scan.Contains(line, KilledMark) || scan.Contains(line, KillMark) || scan.Contains(line, SummaryMark) {
		return true
	}
	l, ok := r.x.probe(line)
	text := scan.SkipSpaces(l.Text)
	return ok && len(text) > 0 && r.g.Class(text).Alone
}

// reads says whether an entry is to be read; what cannot matter is counted.
func (r *Reader) reads(may bool, text []byte) bool {
	may = may || r.start > 0 || r.close() || MayMatter(text)
	if !may {
		r.sink.Skip(1)
	}
	r.start--
	return may
}

// feed takes a line. Where a crash left a hole in it, what is before and behind
// that are lines of their own.
func (r *Reader) feed(raw []byte, cut bool, number int) {
	r.stats.name(number, raw)
	zero := -1
	if r.src.zeros || r.format != formatText {
		zero = bytes.IndexByte(raw, 0)
	}
	if zero < 0 && !r.pieces.open() && r.x.printed(&r.line, raw) {
		r.take(raw, cut, number)
		return
	}
	if r.listed.again(raw) {
		return
	}
	if r.listed.whole { // what follows is not to be passed over unseen
		r.start = math.MaxInt
	}
	if zero >= 0 {
		raw = bytes.Clone(raw) // see stepText
	}
	for i := zero; i >= 0; i = bytes.IndexByte(raw, 0) {
		if i > 0 {
			r.feedLine(raw[:i], false, number)
		}
		if raw = bytes.TrimLeft(raw[i:], "\x00"); len(raw) == 0 {
			return
		}
	}
	r.feedLine(raw, cut, number)
}

func (r *Reader) feedLine(raw []byte, cut bool, number int) {
	if r.x.page && (r.x.cdata || bytes.IndexByte(raw, '<') >= 0) {
		for line := range bytes.SplitSeq(r.x.stripTags(raw), []byte("\n")) {
			if len(line) > 0 {
				r.feedPlain(line, cut, number)
			}
		}
		return
	}
	r.feedPlain(raw, cut, number)
}

func (r *Reader) feedPlain(raw []byte, cut bool, number int) {
	raw, whole := r.pieces.whole(raw, r.src.max)
	if !whole || r.embedded(raw) || r.string(raw, cut, number) {
		return
	}
	if r.read(raw, cut, number) {
		r.take(raw, cut, number)
	}
}

// read makes a line the one at hand. False when it is not the kernel's.
func (r *Reader) read(raw []byte, cut bool, number int) (ok bool) {
	if r.line, ok = r.x.line(raw); !ok {
		r.line.Number, r.line.Cut = number, cut
		r.another(&r.line, raw)
	}
	return ok
}

// take gives on the line at hand, with what mail has cut off it, or each of those that are glued.
func (r *Reader) take(raw []byte, cut bool, number int) {
	at := r.gluedAt(raw)
	if at > 0 {
		raw = bytes.TrimRight(raw, blanks)
	}
	const most = 64
	for n := 0; at > 0 && n < most; n++ {
		if raw = r.takeGlued(raw, at, cut, number); !r.read(raw, cut, number) {
			return
		}
		at = r.gluedAt(raw)
	}
	r.rejoin(raw)
	r.give(cut, number)
}

// give gives on the line at hand.
func (r *Reader) give(cut bool, number int) {
	l, text := &r.line, r.line.Text
	switch indented := len(text) > 0 && text[0] == ' '; {
	case l.marked() && len(text) == 0:
		r.above = *l
	case !l.marked() && indented && r.above.marked(): // people set the text below its stamp
		*l = r.above
		l.Text = text
	default:
		r.above = Line{}
	}
	l.Number, l.Cut = number, cut
	r.ord.push(l)
}

// embedded reads a line of text that is an object of JSON, or ends with one behind what a
// shipper puts there. False when it is none.
func (r *Reader) embedded(raw []byte) bool {
	b := bytes.TrimRightFunc(raw, func(r rune) bool { return r == ']' || r <= ' ' })
	at := bytes.Index(b, []byte(`{"`))
	if !bytes.HasSuffix(b, []byte("}")) || at < 0 {
		return false
	}
	fields := objectOf(b[at:])
	if at == 0 {
		return fields != nil && r.object(fields, entry{})
	}
	l, kernel := r.x.probe(raw[:at])
	const most = 8 // that stand before the object: each is read to its end
	for n := 1; fields == nil && n < most; n++ {
		next := bytes.Index(b[at+1:], []byte(`{"`))
		if next < 0 {
			break
		}
		at += next + 1
		fields = objectOf(b[at:])
	}
	if name := kernel && bytes.IndexByte(raw[:at], '/') >= 0 && r.g.Class(scan.SkipSpaces(l.Text)).Own; name || l.Exact || len(fields) == 0 {
		return false // a cgroup's name that looks like an object
	}
	e := entry{embedded: true}
	if !l.Time.IsZero() {
		e.set("timestamp", l.Time.Format(time.RFC3339Nano))
	} else if i := bytes.LastIndexAny(raw[:at], "[ \t"); i >= 0 {
		stamp := bytes.TrimRight(raw[:at], ", ]")
		e.set("timestamp", string(stamp[bytes.LastIndexAny(stamp, "[ \t")+1:]))
	}
	return r.object(fields, e)
}

// string reads a line that is a string with many lines in it.
func (r *Reader) string(raw []byte, cut bool, number int) bool {
	if bytes.IndexByte(raw, '\\') < 0 || !scan.Contains(raw, `\n`) {
		return false
	}
	first, ok := isStrung(r.g, raw)
	if !ok {
		return false
	}
	text, _ := unstring(nil, raw[first:], "", true)
	for line := range bytes.Lines(text) {
		r.feedPlain(line, cut, number)
	}
	return true
}

// another takes note of a line that is not the kernel's.
func (r *Reader) another(l *Line, raw []byte) {
	if scan.Contains(raw, KilledMark) || scan.Contains(raw, HeaderMark) {
		r.stats.foreign(l.Number, raw)
	}
	if r.ord.mode == undecided {
		l.Text = nil
		r.ord.weigh(l)
	}
}

// lookBack feeds the lines before a kill that look like a report's. They have
// been passed over but are still in the buffer.
func (r *Reader) lookBack(before []byte, number int) {
	low := max(r.src.floor, len(before)-historyBytes)
	start, misses, lines, found := len(before), 0, 0, 0
	first := start
	for start > low && misses < lookBackLines {
		end := start - 1 // the newline
		start = max(low, bytes.LastIndexByte(before[:end], '\n')+1)
		if start == low && low > 0 && before[low-1] != '\n' {
			break // not the whole line
		}
		lines++
		misses++
		if l, ok := r.x.probe(before[start:end]); ok { // as if they were not seen: they come again
			text := scan.SkipSpaces(l.Text)
			if len(text) > 0 && len(text) <= r.src.max && r.g.Class(text).Alone {
				misses, first, found = 0, start, lines
			}
		}
	}
	for b := bytes.Clone(before[first:]); len(b) > 0; found-- {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		r.feed(line, false, number-found)
		b = rest
	}
}
