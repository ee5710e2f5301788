package kernlog

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/oomtrace/oomtrace/internal/oom"
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
	// maxWindow bounds what a compressed input may make us allocate.
	maxWindow = 128 << 20
	peekBytes = 4096
)

// Reader reads the records out of a log. It is not safe for concurrent use.
type Reader struct {
	o      Options
	src    *source
	in     io.Reader
	p      *Parser
	x      prefixes
	format format
	opened bool
	err    error // what Next returns when all records are out
	start  int   // lines that are read closely at the start
	obj    objects
	entry  entry
	// unknown counts the objects in which no text was found.
	unknown   uint64
	ord       order
	joined    []byte // a line put together, see rejoin
	foreign   uint64
	inMessage bool                        // of journalctl -o verbose: the last field
	columns   []string                    // of a table
	other     func() (*oom.Record, error) // reads the input instead
	comma     byte
}

type format int

const (
	formatText format = iota
	formatJSON
	formatExport
	formatVerbose
	formatTable
)

// NewReader returns a reader of a log. It finds out by the content whether that
// is compressed (gzip, xz, zstd), JSON (dmesg --json, journalctl -o json,
// container logs), journal export, or text. It does not close r.
func NewReader(r io.Reader, o Options) *Reader {
	rd := &Reader{o: o, in: r, start: startLines}
	rd.p = NewParser(o)
	rd.x = prefixes{o: &rd.o, now: time.Now}
	rd.ord.give = rd.p.Line
	return rd
}

// Stats returns the counts so far.
func (r *Reader) Stats() Stats {
	s := r.p.Stats()
	if r.src == nil {
		return s
	}
	s.Lines, s.CutLines, s.Unknown = r.src.lines, r.src.cuts, r.unknown+r.obj.broken
	s.DoubledLines, s.Reversed, s.Foreign = r.ord.doubled, r.ord.mode == newestFirst, r.foreign
	return s
}

// Next returns the next record, in the order of the kills. At the end it
// returns io.EOF; an error of the input comes after the records read up to it.
// The error wraps ErrNotText when the input is no text.
func (r *Reader) Next() (*oom.Record, error) {
	if !r.opened {
		r.opened = true
		r.err = r.open()
	}
	if r.other != nil {
		return r.other()
	}
	for {
		if rec := r.p.Take(); rec != nil {
			return rec, nil
		}
		if r.err != nil {
			return nil, r.err
		}
		more := false
		switch r.format {
		case formatJSON:
			more = r.stepJSON()
		case formatExport:
			more = r.stepExport()
		case formatVerbose:
			more = r.stepVerbose()
		case formatTable:
			more = r.stepTable()
		default:
			more = r.stepText()
		}
		switch {
		case more:
		case r.src.again():
			r.ord.flush()
			r.p.quiet()
		default:
			r.ord.flush()
			r.p.Flush()
			r.err = r.src.err
		}
	}
}

// Quiet gives out the kills that wait for more lines, because none came for a
// while. An input may call it from within its Read.
func (r *Reader) Quiet() []*oom.Record {
	r.ord.flush()
	r.p.quiet()
	var all []*oom.Record
	for rec := r.p.Take(); rec != nil; rec = r.p.Take() {
		all = append(all, rec)
	}
	return all
}

// open unpacks the input and finds its format.
func (r *Reader) open() error {
	r.src = &source{in: r.in, max: r.o.maxLine()}
	r.src.buf = make([]byte, max(bufferBytes, 4*r.src.max+2*historyBytes))
	for range 2 { // a compressed log may have been compressed again
		head := r.src.peek(peekBytes)
		unpacked, err := unpack(head, r.src)
		if err != nil {
			return err
		}
		if unpacked == nil {
			break
		}
		r.src = &source{in: unpacked, max: r.src.max, buf: make([]byte, len(r.src.buf))}
	}
	head := r.src.peek(peekBytes)
	if order := wideOf(head); order != nil {
		r.src = &source{in: &wide{in: &packed{r.src}, order: order}, max: r.src.max, buf: make([]byte, len(r.src.buf))}
		head = r.src.peek(peekBytes)
	}
	if len(head) > 0 && head[0] == 0 {
		if !r.src.skipHole() {
			return ErrNotText
		}
		head = r.src.peek(peekBytes)
	}
	if len(head) == 0 {
		return r.src.err
	}
	switch {
	case hasPrefix(head, "LPKSHHRH"):
		return fmt.Errorf("a journal file, to be read by journalctl -k --file: %w", ErrNotText)
	case !printable(head):
		return ErrNotText
	}
	if r.o.Other != nil {
		if !bytes.Contains(head, []byte("\n")) && bytes.Contains(head, []byte("{")) {
			head, _ = r.src.peekLine()
		}
		if r.other = r.o.Other(head, &rest{r.src}); r.other != nil {
			return nil
		}
	}
	r.format = detect(r.src.peek(peekBytes))
	return nil
}

// rest is what follows in a source.
type rest struct{ s *source }

func (r *rest) Read(p []byte) (int, error) {
	if r.s.pos == r.s.end && !r.s.fill() {
		switch {
		case r.s.again():
			return 0, os.ErrDeadlineExceeded
		case r.s.err != nil:
			return 0, r.s.err
		}
		return 0, io.EOF
	}
	n := copy(p, r.s.buf[r.s.pos:r.s.end])
	r.s.pos += n
	return n, nil
}

// unpack returns a reader of what is packed, or nil.
func unpack(head []byte, src *source) (io.Reader, error) {
	switch {
	case hasPrefix(head, "\x1f\x8b"):
		z, err := gzip.NewReader(&packed{src})
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return z, nil
	case hasPrefix(head, "\xfd7zXZ\x00"):
		if err := checkXZ(head); err != nil {
			return nil, err
		}
		z, err := xz.NewReader(&packed{src})
		if err != nil {
			return nil, fmt.Errorf("xz: %w", err)
		}
		return z, nil
	case hasPrefix(head, "\x28\xb5\x2f\xfd"):
		// One goroutine's worth of work in the caller's: nothing to close.
		z, err := zstd.NewReader(&packed{src}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return z, nil
	}
	return nil, nil
}

// checkXZ refuses a dictionary that is bigger than any preset's, since the
// decoder allocates what the header asks for. The first block's header follows
// the stream's 12 bytes; in it the LZMA2 filter is id, size 1, and the
// dictionary's size as (2|bits&1) << (bits/2+11) (xz file format, 5.3.1).
func checkXZ(head []byte) error {
	const streamHeader, mostBits = 12, 30
	if len(head) < streamHeader || head[min(len(head)-1, streamHeader)] == 0 {
		return nil
	}
	size := (int(head[min(len(head)-1, streamHeader)]) + 1) * 4
	block := head[streamHeader:min(len(head), streamHeader+size)]
	if i := bytes.Index(block, []byte("\x21\x01")); i >= 0 && i+2 < len(block) && block[i+2] > mostBits {
		return fmt.Errorf("xz: a dictionary of more than %d MiB", maxWindow>>20)
	}
	return nil
}

// detect tells the formats apart by the first bytes.
func detect(head []byte) format {
	b := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n\x1e")
	b = bytes.TrimPrefix(b, []byte("data: "))
	switch {
	case b0(b) == '{' && b0(inner(b)) == '"', b0(b) == '[' && b0(inner(b)) == '{' && b0(inner(inner(b))) == '"':
		return formatJSON
	case hasPrefix(b, "__CURSOR="), hasPrefix(b, "__REALTIME_TIMESTAMP="), hasPrefix(b, "MESSAGE="):
		return formatExport
	case isVerbose(b):
		return formatVerbose
	}
	if columns, _ := tableHead(b); columns != nil {
		return formatTable
	}
	return formatText
}

// inner is what follows a bracket.
func inner(b []byte) []byte { return bytes.TrimLeft(b[min(1, len(b)):], " \t\r\n") }

// b0 is the first byte, 0 for none.
func b0(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

// stepText moves on by a line, or over many that cannot matter.
func (r *Reader) stepText() bool {
	if r.start > 0 || r.close() {
		line, cut, ok := r.src.line()
		if !ok {
			return false
		}
		r.start--
		if r.close() && r.start == 0 {
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
		if ok && mayAnchor(line) {
			r.feed(line, cut, int(r.src.lines))
		}
		return ok
	}
	at := r.src.find()
	if at < 0 {
		r.p.skip(r.src.pass(len(whole)))
		return true
	}
	start := bytes.LastIndexByte(whole[:at], '\n') + 1
	r.p.skip(r.src.pass(start))
	before := r.src.buf[:r.src.pos]
	line, cut, _ := r.src.line()
	number := int(r.src.lines)
	if r.needsPast(line) {
		r.lookBack(before, number)
	}
	r.feed(line, cut, number)
	r.src.floor = r.src.pos
	return true
}

// close says whether ordinary lines may still matter.
func (r *Reader) close() bool { return r.p.busy() || r.ord.holding() }

// needsPast says whether a line ends a report whose other lines may have gone
// by unseen.
func (r *Reader) needsPast(line []byte) bool {
	return contains(line, killedMark) || contains(line, killMark) || contains(line, summaryMark)
}

// feed takes a line. Where a crash left a hole in it, what is before and behind
// that are lines of their own.
func (r *Reader) feed(raw []byte, cut bool, number int) {
	for i := bytes.IndexByte(raw, 0); i >= 0; i = bytes.IndexByte(raw, 0) {
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
	l, ok := r.x.line(raw)
	l.Number, l.Cut = number, cut
	if !ok {
		r.another(&l, raw)
		return
	}
	r.ord.push(r.rejoin(l, raw))
}

// another takes note of a line that is not the kernel's.
func (r *Reader) another(l *Line, raw []byte) {
	if contains(raw, killedMark) || contains(raw, headerMark) {
		r.foreign++
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
		if l, ok := r.x.line(before[start:end]); ok {
			text := skipSpaces(l.Text)
			if len(text) > 0 && len(text) <= r.src.max && orphan(classify(text)) {
				misses, first, found = 0, start, lines
			}
		}
	}
	for b := before[first:]; len(b) > 0; found-- {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		r.feed(line, false, number-found)
		b = rest
	}
}
