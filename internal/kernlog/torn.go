package kernlog

import (
	"bytes"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// keepBack keeps a line back that seems to end within a name: logs as syslog(2)
// gives them, dmesg's for one, write a newline in a name as a new line with the
// same stamp.
func (p *Parser) keepBack(l *lines.Line, b []byte) bool {
	summary, stats := scan.HasPrefix(b, lines.SummaryMark), scan.HasPrefix(b, statsMark)
	switch kill := scan.Contains(b, lines.KilledMark); {
	case !summary && !stats && !kill, goesOn(b, l.Exact), stats && scan.Contains(b, ": cache:"), !summary && !stats && !openName(b, l.Exact):
		return false
	}
	p.partial = append(p.partial[:0], b...)
	p.partialLine = *l
	p.partialLine.Text = nil
	p.partials = 1
	return true
}

// goesOn says whether such a line goes on behind the name.
func goesOn(b []byte, exact bool) bool {
	switch {
	case scan.HasPrefix(b, lines.SummaryMark):
		_, ok := parseSummary(b)
		return ok
	case scan.HasPrefix(b, statsMark):
		return b[len(b)-1] == ':'
	}
	k, ok := parseKilled(b, exact)
	return ok && !k.noSizes
}

// openName says whether a kill line ends within its name.
func openName(b []byte, exact bool) bool {
	_, _, rest, ok := killHead(b, bytes.Index(b, []byte(lines.KilledMark)), lines.KilledMark, exact)
	return ok && bytes.IndexByte(rest, '(') >= 0
}

// tornKill reads the second of two lines where it ends within the name: "Killed process 7 (".
// The task is one that the report's table lists, up to 5.0 a child of the one that was chosen.
func (p *Parser) tornKill(l *lines.Line, b []byte) (k killLine, ok bool) {
	var rest []byte
	k.message, k.pid, rest, ok = killHead(b, bytes.Index(b, []byte(lines.KilledMark)), lines.KilledMark, l.Exact)
	if !ok || !k.bare || !scan.HasPrefix(rest, " (") {
		return k, false
	}
	r, _ := p.reportFor(l, k.message, func(r *report) int {
		if r.scored && r.tasks.find(k.pid) != nil {
			return fitsTable
		}
		return fitsNot
	})
	if r == nil {
		return k, false
	}
	k.v.Comm, k.cut, k.noSizes = r.tasks.name(k.pid), true, true
	if k.v.Comm == "" && r.chosen.pid == k.pid {
		k.v.Comm = r.chosen.comm
	}
	return k, true
}

// nameFull says whether what is kept of a kill line is more than the longest name.
func nameFull(b []byte) bool {
	if scan.HasPrefix(b, lines.SummaryMark) || scan.HasPrefix(b, statsMark) {
		return false
	}
	i := bytes.Index(b, []byte(lines.KilledMark))
	return i >= 0 && len(b)-bytes.IndexByte(b[i:], '(')-i > maxComm+len("()")
}

// maxPartials is how many lines a name may be spread over: 255 bytes can be
// newlines, but whoever does that gets no more.
const maxPartials = 64

// join adds a line to the one kept back. False when it is a line of its own.
func (p *Parser) join(l *lines.Line) bool {
	text, at := l.Text, stamp{node: l.Node, bootID: l.BootID}
	if !at.sameOrigin(&p.now) { // of the line kept back
		p.giveUpPartial()
		return false
	}
	if p.partialLine.Exact && !l.Exact {
		for i := 0; i < p.partialLine.Indent && len(text) > 0 && text[0] == ' '; i++ {
			text = text[1:] // dmesg writes blanks for the stamp
		}
	} else if l.Uptime != p.partialLine.Uptime || !l.Time.Equal(p.partialLine.Time) {
		p.giveUpPartial()
		return false
	}
	coarse := !l.Uptime.Known
	if coarse && (isHeader(text) || scan.HasPrefix(text, lines.SummaryMark)) || p.partials >= maxPartials || len(p.partial)+len(text) > p.longest || nameFull(p.partial) {
		p.giveUpPartial()
		return false
	}
	if !bytes.HasPrefix(text, []byte(",")) { // printed in pieces, else
		p.partial = append(p.partial, '\n')
	}
	p.partial = append(p.partial, text...)
	p.partials++
	if b := p.partial; goesOn(b, p.partialLine.Exact) {
		p.partial = nil
		p.text(&p.partialLine, b)
	}
	return true
}

// giveUpPartial takes the line kept back as it is: its end is lost. So are the lines
// behind it their own, but where there are as many as a name may be spread over by one
// who means to hide in it.
func (p *Parser) giveUpPartial() {
	l, all := p.partialLine, p.partial
	hostile := p.partials >= maxPartials && l.Uptime.Known
	p.partial, p.partials = nil, 0
	for first := true; len(all) > 0; first = false {
		line, rest, _ := bytes.Cut(all, []byte("\n"))
		all = rest
		switch line = scan.SkipSpaces(line); {
		case len(line) == 0:
		case !first && hostile && lines.MayMatter(line):
			p.unplaced(&l, line)
		case !p.anchor(&l, line, classify(line)):
			p.section(&l, line)
		}
	}
}
