package lines

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// source buffers an input and cuts it into lines. Memory is the buffer's,
// whatever the input.
type source struct {
	in    io.Reader
	buf   []byte
	pos   int // of what was not yet used
	end   int // of what was read
	floor int // what lies before was used already
	max   int
	err   error
	quiet bool // nothing came for a while; there may be more
	lines uint64
	cuts  uint64
	// The next place of each mark, -1 for none in the buffer; stale when before
	// pos.
	next  [len(marks)]int
	limit int // marks have been looked for up to here
	ended int // behind the last line's end in the buffer
	// skipping: in the rest of a line that was cut.
	skipping bool
	returns  bool // carriage returns end lines, too
	zeros    bool // there were some
}

// fill reads more, keeping some history. False when nothing came.
func (s *source) fill() bool {
	if s.err != nil {
		return false
	}
	if len(s.buf)-s.end < len(s.buf)/2 {
		from := max(0, s.pos-historyBytes)
		copy(s.buf, s.buf[from:s.end])
		s.pos, s.end, s.floor, s.limit = s.pos-from, s.end-from, max(0, s.floor-from), 0
		s.ended = max(0, s.ended-from)
	}
	for range 100 {
		room := s.buf[s.end:min(len(s.buf), s.end+readBytes)]
		n, err := s.in.Read(room)
		n = min(max(n, 0), len(room))
		s.zeros = s.zeros || bytes.IndexByte(room[:n], 0) >= 0
		s.end += n
		s.turnReturns(s.end - n)
		s.noteEnd(max(0, s.end-n-1))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.quiet = n == 0
			return n > 0
		}
		if err != nil {
			s.err = err
		}
		if n > 0 || err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// peek returns the first bytes: at most peekBytes, and enough to know the input by. It
// does not wait for more of a log that is still being written.
func (s *source) peek() []byte {
	const enough = 64
	for s.end-s.pos < enough && (s.fill() || s.again() && s.end == s.pos) {
	}
	return s.buf[s.pos:min(s.end, s.pos+peekBytes)]
}

// begin is what was read so far, at most as much as the history.
func (s *source) begin() []byte { return s.buf[s.pos:min(s.end, s.pos+historyBytes)] }

// ahead is what was read so far, at most as much as readAhead reads.
func (s *source) ahead() []byte { return s.buf[s.pos:min(s.end, s.pos+readBytes)] }

// readAhead reads on until another line has ended. False at the end of the input, or when
// that is too much.
func (s *source) readAhead() bool {
	for ended := s.ended; s.ended == ended; {
		if s.end-s.pos >= readBytes || !s.fill() && !s.again() {
			return false
		}
	}
	return true
}

// endAtReturns makes carriage returns end lines if they do so in what was read so far:
// where none is before a line feed, more lines end by one alone than by a line feed, and none within a name.
func (s *source) endAtReturns(g Grammar) {
	const fewest = 2
	alone, feeds := 0, 0
	for rest := s.begin(); len(rest) > 0; {
		i := bytes.IndexAny(rest, "\r\n")
		if i < 0 {
			break
		}
		end := i
		for end < len(rest) && rest[end] == '\r' {
			end++
		}
		switch {
		case end < len(rest) && rest[end] == '\n':
			feeds++
			end++
		case i > 0 && end < len(rest):
			alone++
			if at := bytes.Index(rest[:i], []byte(SummaryMark)); at >= 0 && g.Unfinished(rest[at:i]) {
				return
			}
		}
		rest = rest[end:]
	}
	if s.returns = alone >= fewest && alone > feeds; s.returns {
		s.turnReturns(s.pos)
		s.noteEnd(s.pos)
	}
}

// noteEnd keeps where the last line ends, as far as that is not before from: a line that
// goes on and on is not searched again for each line before it.
func (s *source) noteEnd(from int) {
	if i := bytes.LastIndexByte(s.buf[from:s.end], '\n'); i >= 0 {
		s.ended = from + i + 1
	}
}

// turnReturns makes line feeds of the carriage returns from there on that stand alone.
func (s *source) turnReturns(from int) {
	if !s.returns {
		return
	}
	for i := max(s.pos, from-1); i+1 < s.end; i++ {
		if s.buf[i] == '\r' && s.buf[i+1] != '\n' && s.buf[i+1] != '\r' {
			s.buf[i] = '\n'
		}
	}
}

// again says whether the input was only quiet, and forgets it.
func (s *source) again() bool {
	quiet := s.quiet
	s.quiet = false
	return quiet
}

// reach looks for the end of the next line, and reads more until it is there, or more than
// a line may have: how much there is before it, or without it.
func (s *source) reach() (n int, ended bool) {
	for {
		if i := bytes.IndexByte(s.buf[s.pos+n:s.end], '\n'); i >= 0 {
			return n + i, true
		}
		if n = s.end - s.pos; n > s.max || !s.fill() {
			return n, false
		}
	}
}

// line returns the next line without its end. A line longer than max is cut.
// False at the end of the input.
func (s *source) line() (line []byte, cut, ok bool) {
	if !s.skipRest() || !s.skipHole() {
		return nil, false, false
	}
	n, ended := s.reach()
	if cut = n > s.max; cut {
		s.cuts++
		s.skipping = !ended
	} else if !ended && (n == 0 || s.quiet) {
		return nil, false, false
	}
	line = s.buf[s.pos : s.pos+min(n, s.max)]
	s.lines++
	if s.pos += len(line); ended {
		s.pos += n - len(line) + 1
	}
	return line, cut, true
}

// peekLine returns the next line without taking it; false where there is none, or one that
// is too long. What line returned before is no longer valid.
func (s *source) peekLine() ([]byte, bool) {
	if s.skipping {
		return nil, false
	}
	n, ended := s.reach()
	return s.buf[s.pos : s.pos+n], n <= s.max && (ended || n > 0 && !s.quiet)
}

// numberNext says whether the next line may begin with a number that stands alone. It reads nothing.
func (s *source) numberNext() bool {
	b := s.buf[s.pos:s.end]
	n := digitsOf(b)
	return n == len(b) || n > 0 && (b[n] == ' ' || b[n] == '\n' || b[n] == '\r')
}

// skipLine passes over the line that peekLine returned.
func (s *source) skipLine() { _, _, _ = s.line() }

// skipRest passes over what is left of a line that was cut.
func (s *source) skipRest() bool {
	for s.skipping {
		if i := bytes.IndexByte(s.buf[s.pos:s.end], '\n'); i >= 0 {
			s.pos += i + 1
			s.skipping = false
			break
		}
		s.pos = s.end
		if !s.fill() {
			return false
		}
	}
	return true
}

// skipHole passes over the zeros that a crash left where lines were to be
// written. False at the end of the input.
func (s *source) skipHole() bool {
	for {
		if s.pos = s.end - len(bytes.TrimLeft(s.buf[s.pos:s.end], "\x00")); s.pos < s.end {
			return true
		}
		if !s.fill() {
			return false
		}
	}
}

// whole returns the lines in the buffer that are complete, reading more when
// there are none.
func (s *source) whole() []byte {
	if !s.skipRest() {
		return nil
	}
	for {
		if s.ended > s.pos {
			return s.buf[s.pos:s.ended]
		}
		if s.end-s.pos > s.max || !s.fill() {
			return nil
		}
	}
}

// find returns where in the whole lines the next mark is, or -1. Each mark is
// looked for once in each part of the buffer.
func (s *source) find() int {
	last := max(s.pos, s.ended)
	best := -1
	for i := range marks {
		if s.limit != last || s.next[i] >= 0 && s.next[i] < s.pos {
			s.next[i] = -1
			if at := marks[i].index(s.buf[s.pos:last]); at >= 0 {
				s.next[i] = s.pos + at
			}
		}
		if s.next[i] >= 0 && (best < 0 || s.next[i] < best) {
			best = s.next[i]
		}
	}
	s.limit = last
	if best < 0 {
		return -1
	}
	return best - s.pos
}

// pass goes over n bytes of whole lines and returns how many lines these were.
func (s *source) pass(n int) int {
	lines := bytes.Count(s.buf[s.pos:s.pos+n], []byte("\n"))
	s.pos += n
	s.lines += uint64(lines)
	return lines
}

// take returns the next n bytes, of which at most max are kept; ok is false
// when the input ends before.
func (s *source) take(n uint64) (b []byte, cut, ok bool) {
	keep := min(n, uint64(s.max))
	for uint64(s.end-s.pos) < keep {
		if !s.fill() && !s.again() {
			return nil, false, false
		}
	}
	b = bytes.Clone(s.buf[s.pos : s.pos+int(keep)])
	s.pos += int(keep)
	cut = n > keep
	for n -= keep; n > 0; {
		if s.pos == s.end && !s.fill() && !s.again() {
			return b, cut, false
		}
		step := min(n, uint64(s.end-s.pos))
		s.pos += int(step)
		n -= step
	}
	return b, cut, true
}

// packed gives a source's bytes to a decompressor.
type packed struct{ s *source }

func (p *packed) Read(b []byte) (int, error) {
	for p.s.pos == p.s.end && !p.s.fill() {
		if p.s.again() {
			continue // the packed stream knows no pauses
		}
		if p.s.err == nil || errors.Is(p.s.err, io.EOF) {
			return 0, io.EOF
		}
		return 0, p.s.err
	}
	n := copy(b, p.s.buf[p.s.pos:p.s.end])
	p.s.pos += n
	return n, nil
}
