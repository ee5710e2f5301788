package lines

import (
	"bytes"
	"io"
	"slices"

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

// decodeParts puts the parts in order in which pstore has kept a log: the last lines are in
// the first part ("Panic#1 Part1"). No more than a store holds is waited for.
func decodeParts(_ Grammar, head []byte, src *source) (io.Reader, error) {
	const most = 1 << 20
	if _, n, ok := partOf(head); !ok || n != 1 {
		return nil, nil
	}
	text, err := io.ReadAll(io.LimitReader(&packed{src}, most))
	if err != nil {
		return nil, err
	}
	var parts [][]byte
	at := 0
	for line := range bytes.Lines(text) {
		if _, _, ok := partOf(line); ok {
			parts, text, at = append(parts, text[:at]), text[at:], 0
		}
		at += len(line)
	}
	if parts = append(parts, text); len(parts[0]) == 0 {
		parts = parts[1:]
	}
	for from, to := 0, 0; from < len(parts); from = to {
		dump, _, ok := partOf(parts[from])
		for to = from + 1; ok && to < len(parts) && scan.HasPrefix(parts[to], dump+" Part"); to++ {
		}
		if !earlier(parts[from], parts[to-1]) {
			slices.Reverse(parts[from:to])
		}
	}
	return io.MultiReader(bytes.NewReader(slices.Concat(parts...)), &packed{src}), nil
}

// earlier says whether one text has an earlier stamp of the kernel's first than another.
func earlier(a, b []byte) bool {
	var ups [2]uint64
	for i, text := range [...][]byte{a, b} {
		_, text, _ = bytes.Cut(text, []byte("["))
		stamp, _, _ := bytes.Cut(text[:min(len(text), longestClock)], []byte("]"))
		ups[i], _ = uptime(stamp)
	}
	return ups[0] < ups[1]
}

// partOf reads the line before a part: "Oops#1 Part2".
func partOf(b []byte) (dump string, n uint64, ok bool) {
	line, _, _ := bytes.Cut(b[:min(len(b), 64)], []byte("\n"))
	name, rest, ok := bytes.Cut(line, []byte(" Part"))
	if i := bytes.IndexByte(name, '#'); !ok || i <= 0 || i+1 == len(name) || bytes.IndexByte(name, ' ') >= 0 {
		return "", 0, false
	}
	n, rest, ok = scan.Uint(rest)
	return string(name), n, ok && len(bytes.TrimSpace(rest)) == 0
}
