package lines

import (
	"bytes"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"strings"
)

// isVerbose says whether this is journalctl -o verbose: a stamp with a cursor, then
// fields that are indented.
func isVerbose(b []byte) bool {
	first, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok || !scan.Contains(first, "[s=") && !scan.HasPrefix(first, "-- ") {
		return false
	}
	if scan.HasPrefix(first, "-- ") {
		first, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	key, _, ok := bytes.Cut(scan.SkipSpaces(rest), []byte("="))
	return ok && scan.Contains(first, "[s=") && scan.HasPrefix(rest, "    ") && isKey(key)
}

// maxColumnNames bounds the columns of a table that are looked at.
const maxColumnNames = 64

// tableHead reads the heading of a table (CSV, or with semicolons or tabs): names of
// fields, in any order, one of which holds the text. Nil for anything else.
func tableHead(b []byte) (columns []string, comma byte) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	for _, comma := range [...]byte{',', ';', '\t'} {
		fields := cells(bytes.TrimRight(line, "\r"), comma)
		if len(fields) < 2 || len(fields) > maxColumnNames {
			continue
		}
		text := false
		columns = columns[:0]
		for _, f := range fields {
			name := strings.ToLower(strings.TrimSpace(f))
			if len(name) > 64 || strings.ContainsAny(name, "[]{}=") {
				return nil, 0
			}
			r, _ := roleOf(name)
			text = text || r == roleText
			columns = append(columns, name)
		}
		if text {
			return columns, comma
		}
	}
	return nil, 0
}

// cells cuts a row; a cell in quotes may hold commas, line ends, and quotes twice.
func cells(b []byte, comma byte) []string {
	var out []string
	for len(out) <= maxColumnNames {
		if len(b) > 0 && b[0] == '"' {
			var cell strings.Builder
			b = b[1:]
			for {
				i := bytes.IndexByte(b, '"')
				if i < 0 {
					cell.Write(b)
					return append(out, cell.String())
				}
				cell.Write(b[:i])
				b = b[i+1:]
				if len(b) == 0 || b[0] != '"' {
					break
				}
				cell.WriteByte('"')
				b = b[1:]
			}
			out = append(out, cell.String())
		} else {
			i := bytes.IndexByte(b, comma)
			if i < 0 {
				return append(out, string(b))
			}
			out = append(out, string(b[:i]))
			b = b[i:]
		}
		i := bytes.IndexByte(b, comma)
		if i < 0 {
			return out
		}
		b = b[i+1:]
	}
	return out
}

// stepTable reads a row.
func (r *Reader) stepTable() bool {
	line, cut, ok := r.src.line()
	if !ok {
		return false
	}
	if r.columns == nil {
		r.columns, r.comma = tableHead(bytes.TrimLeft(bytes.TrimPrefix(line, []byte("\ufeff")), " \t\r\n\x1e"))
		return true
	}
	number := int(r.src.lines)
	if bytes.Count(line, []byte(`"`))%2 != 0 {
		line = bytes.Clone(line)
		for bytes.Count(line, []byte(`"`))%2 != 0 && len(line) < r.src.max { // a cell of several lines
			more, cutMore, ok := r.src.line()
			if !ok && r.src.again() {
				continue
			} else if !ok {
				break
			}
			line, cut = append(append(line, '\n'), more...), cut || cutMore
		}
	}
	if r.start <= 0 && !r.close() && !MayMatter(line) {
		r.sink.Skip(1)
		return true
	}
	r.start--
	e := entry{cut: cut}
	for i, cell := range cells(bytes.TrimRight(line, "\r"), r.comma) {
		if i < len(r.columns) {
			e.set(r.columns[i], cell)
		}
	}
	r.takeEntry(&e, number)
	return true
}
