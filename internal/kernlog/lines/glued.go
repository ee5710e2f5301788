package lines

import (
	"bytes"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// blanks are what may end a raw line.
const blanks = "\r \t"

// gluedAt is where in a raw line another one begins, whose line feed is lost: the line at hand
// is whole before it, and there is the kernel's stamp again, or the tag with the same host. 0 for
// nowhere: in a line that may end in a name, the name may say the same.
func (r *Reader) gluedAt(raw []byte) int {
	text := r.line.Text
	at := 0
	if r.line.Node != "" {
		at = r.retagged(raw)
	}
	for i, stamps := 1, 0; at == 0 && i < len(text) && stamps < maxStamps; i++ {
		next := bytes.IndexByte(text[i:], '[')
		if next < 0 {
			break
		}
		i += next
		if rest := r.restamped(text[i:]); rest != nil {
			if stamps++; r.g.Class(rest).any() {
				at = i
			}
		}
	}
	if at == 0 {
		return 0
	}
	if raw = bytes.TrimRight(raw, blanks); !bytes.HasSuffix(raw, text) || !r.g.Closed(bytes.TrimRight(text[:at], " ")) {
		return 0
	}
	return len(raw) - len(text) + at
}

// maxStamps is how many stamps in a text are looked behind for a line of a report.
const maxStamps = 16

// restamped is what follows the kernel's stamp, of about the time of the line at hand, that a
// text begins with; nil without one.
func (r *Reader) restamped(b []byte) []byte {
	const near = time.Minute
	end := bytes.IndexByte(b[:min(len(b), longestClock)], ']')
	if end < len("[0.0") || end+2 >= len(b) || b[end+1] != ' ' {
		return nil
	}
	up, ok := uptime(b[1:end])
	if !ok || up > longestUptime {
		return nil
	}
	if own := r.line.Uptime; own.Known && (up < own.Value || up-own.Value > uint64(near)) {
		return nil
	}
	return scan.SkipSpaces(b[end+1:])
}

// retagged is where in the text at hand a date of the same length as the line's own stands
// before the same host and the kernel's tag; 0 for nowhere.
func (r *Reader) retagged(raw []byte) int {
	const tag = " kernel: "
	text := r.line.Text
	i := bytes.Index(text, []byte(tag))
	if i < 0 || !bytes.HasSuffix(text[:i], []byte(r.line.Node)) {
		return 0
	}
	date := bytes.Index(raw, append([]byte(r.line.Node), tag...))
	at := i - len(r.line.Node) - date
	if date <= 0 || at <= 0 || !stamped(text[at:]) {
		return 0
	}
	return at
}

// takeGlued gives on the line at hand, behind which another one begins there, and returns that.
// Where it has the stamp only, what was before the first one's is before it too.
func (r *Reader) takeGlued(raw []byte, at int, cut bool, number int) []byte {
	text, head := r.line.Text, raw[:len(raw)-len(r.line.Text)]
	r.line.Text = bytes.TrimRight(text[:len(text)-(len(raw)-at)], " ")
	r.give(cut, number)
	if raw[at] != '[' {
		head = nil
	} else if i := bytes.LastIndexByte(head, '['); i >= 0 && r.line.Uptime.Known {
		head = head[:i]
	}
	return append(bytes.Clone(head), raw[at:]...)
}
