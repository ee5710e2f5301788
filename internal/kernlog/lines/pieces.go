package lines

import (
	"bytes"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// pieces puts together lines that were cut where they were kept: by a container's runtime
// (CRI's "P" for a part, "F" for the last one) and by netconsole ("ncfrag=OFFSET/TOTAL").
type pieces struct {
	head []byte // what stands before the text
	text []byte
}

func (p *pieces) open() bool { return len(p.head) > 0 }

// whole takes a line and gives it back as it was, or with the parts before it; false where
// more of it has to come.
func (p *pieces) whole(raw []byte, longest int) ([]byte, bool) {
	head, text, more, ok := piece(raw)
	if !ok || !more && !p.open() {
		return raw, true
	}
	if !p.open() {
		p.head = append(p.head, head...)
	}
	p.text = append(p.text, text[:min(len(text), max(0, longest-len(p.text)))]...)
	if more {
		return nil, false
	}
	return p.take(), true
}

// take gives the parts that are there.
func (p *pieces) take() []byte {
	line := append(p.head, p.text...)
	p.head, p.text = nil, p.text[:0]
	return line
}

// piece says whether a line is a part of one, and whether more follows.
func piece(raw []byte) (head, text []byte, more, ok bool) {
	const longestHead = 96
	begin := raw[:min(len(raw), longestHead)]
	if len(begin) == 0 || !scan.IsDigit(begin[0]) {
		return nil, nil, false, false
	}
	if len(begin) > 19 && begin[4] == '-' && begin[10] == 'T' {
		i := bytes.Index(begin, []byte(" std"))
		if tag := i + len(" stdout "); i > 0 && tag+1 < len(raw) && raw[tag+1] == ' ' && (raw[tag] == 'P' || raw[tag] == 'F') {
			return append(bytes.Clone(raw[:tag]), "F "...), raw[tag+2:], raw[tag] == 'P', true
		}
		return nil, nil, false, false
	}
	const mark = ",ncfrag="
	end := bytes.IndexByte(begin, ';')
	if end < len(mark) || !scan.IsDigit(begin[end-1]) {
		return nil, nil, false, false
	}
	i := bytes.Index(begin[:end], []byte(mark))
	if i < 0 {
		return nil, nil, false, false
	}
	from, rest, ok := scan.Uint(begin[i+len(mark) : end])
	total, _, ok2 := scan.Uint(bytes.TrimPrefix(rest, []byte("/")))
	text = raw[end+1:]
	return append(bytes.Clone(raw[:i]), ';'), text, from+uint64(len(text)) < total, ok && ok2
}
