package lines

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// isVerbose says whether this is journalctl -o verbose: a stamp with a cursor, then
// fields that are indented.
func isVerbose(b []byte) bool {
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	if scan.HasPrefix(first, "-- ") {
		first, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	key, _, ok := bytes.Cut(scan.SkipSpaces(rest), []byte("="))
	return ok && scan.Contains(first, "[s=") && scan.HasPrefix(rest, "    ") && isKey(key)
}

// boxBegin is that of all characters of which boxes are drawn, U+2500 to U+257F.
const boxBegin = 0xe2

func isBoxed(b []byte) bool { return len(b) > 2 && b[0] == boxBegin && (b[1] == 0x94 || b[1] == 0x95) }

// decodeBox reads a text in tables that are drawn with lines, of which most lines begin so. It
// draws them with "|" and "-".
func decodeBox(_ Grammar, _ []byte, src *source) (io.Reader, error) {
	const fewest = 3
	boxed, all := 0, 0
	for line := range bytes.Lines(src.begin()) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			all++
		}
		if isBoxed(line) {
			boxed++
		}
	}
	if boxed < fewest || boxed*2 <= all {
		return nil, nil
	}
	return recoded(src, readBytes, func(out, b []byte, err error) ([]byte, int) {
		used := 0
		for used < len(b) && (b[used] != boxBegin || len(b)-used >= 3 || err != nil) {
			c, n := b[used], 1
			if isBoxed(b[used:]) {
				if c, n = '-', 3; strings.Contains("│┃║╎╏┆┇┊┋", string(b[used:used+3])) {
					c = '|'
				}
			}
			out = append(out, c)
			used += n
		}
		return out, used
	}), nil
}

// isRule says whether a line is drawn between the rows of a table.
func isRule(b []byte) bool {
	return bytes.Contains(b, []byte("--")) && len(bytes.Trim(b, "-+|=: \t\r\n")) == 0 || bytes.Contains(b, []byte("=====")) && len(bytes.Trim(b, "+|= \r\n")) == 0
}

// maxColumnNames bounds the columns of a table that are looked at.
const maxColumnNames = 64

// tableHead reads the heading of a table (CSV, or with semicolons or tabs): names of
// fields, in any order, one of which holds the text. Nil for anything else.
func tableHead(b []byte) (columns []string, comma byte) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	for _, comma := range [...]byte{',', ';', '\t', '|'} {
		if comma == '|' && scan.First(scan.SkipSpaces(line)) != '|' {
			continue
		}
		fields := cells(bytes.TrimRight(line, "\r"), comma)
		if len(fields) < 2 || len(fields) > maxColumnNames {
			continue
		}
		columns = columns[:0]
		for _, f := range fields {
			name := strings.ToLower(strings.TrimSpace(f))
			if len(name) > 64 || strings.ContainsAny(name, "[]{}=") {
				return nil, 0
			}
			columns = append(columns, name)
		}
		if holdsText(columns) {
			return columns, comma
		}
	}
	return nil, 0
}

// guessTable finds the columns of a table without a heading, or with one of names that are
// not known, by its first rows: they have the same number of cells, one of which holds the
// kernel's text. Nil for anything else.
func guessTable(head []byte, g Grammar) (columns []string, comma byte) {
	if _, ok := ParseKmsg(head); ok {
		return nil, 0
	}
	for _, comma := range [...]byte{',', ';', '|'} {
		if rows := firstRows(head, comma); len(rows) > 0 {
			if columns = guessColumns(rows, g, comma == '|' || bytes.HasPrefix(bytes.TrimSpace(head), []byte(`"`))); columns != nil {
				return columns, comma
			}
		}
	}
	return nil, 0
}

// firstRows are the rows that begin a text, at most a few; nil if they are not alike. What
// comes before the first of them is left out.
func firstRows(head []byte, comma byte) (rows [][]string) {
	const enough, strangers = 24, 2
	other := 0
	for len(head) > 0 && len(rows) < enough {
		line, rest, ended := bytes.Cut(head, []byte("\n"))
		for comma != '|' && bytes.Count(line, []byte(`"`))%2 != 0 && ended {
			var more []byte
			more, rest, ended = bytes.Cut(rest, []byte("\n"))
			line = head[:len(line)+1+len(more)]
		}
		if !ended && len(rows) > 0 {
			break // may be cut
		}
		head = rest
		if line = bytes.TrimSpace(line); len(line) == 0 || comma == '|' && isRule(line) {
			continue
		}
		var row []string
		// Colours and entities have semicolons, too.
		if comma != '|' && line[0] != '[' && line[0] != '&' && line[0] != 0x1b && line[0] != '>' || line[0] == '|' && comma == '|' {
			row = cells(line, comma)
		}
		if len(row) < 2 || len(rows) > 0 && len(row) != len(rows[0]) {
			if comma == '|' && len(row) > 2 {
				continue // the kernel's flags have such a mark between them
			}
			if other++; other > strangers || len(rows) > strangers {
				return nil
			}
			rows = rows[:0]
			continue
		}
		rows = append(rows, row)
	}
	return rows
}

// guessColumns names the columns by what is in them. The kernel's own lines have commas: that
// the first column is the text needs quotes around it.
func guessColumns(rows [][]string, g Grammar, quoted bool) []string {
	columns := make([]string, len(rows[0]))
	text, most := -1, 0
	for i := range columns {
		texts, times := 0, 0
		for _, row := range rows {
			cell := []byte(strings.TrimSpace(row[i]))
			c := g.Class(cell)
			if _, _, ok := parseISO(cell, time.UTC); ok {
				times++
			} else if len(cell) > 0 && (c.any() || stamped(cell) && len(cell) > 24) {
				texts++
			}
			switch strings.ToLower(row[i]) {
			case "kernel", "kernel:", "vmunix", "vmunix:":
				columns[i] = "ident"
			case "kern":
				columns[i] = "facility"
			}
		}
		switch {
		case texts > most:
			text, most = i, texts
		case times > len(rows)/2:
			columns[i] = "timestamp"
		}
	}
	if text < 0 || most < (len(rows)+2)/3 || text == 0 && !quoted {
		return nil
	}
	columns[text] = "message"
	return columns
}

// cells cuts a row; a cell in quotes may hold commas, line ends, and quotes twice.
func cells(b []byte, comma byte) (out []string) {
	if comma == '|' {
		return piped(b)
	}
	for more := true; more && len(out) <= maxColumnNames; {
		var text []byte
		first, quoted := true, scan.First(b) == '"'
		for ; scan.First(b) == '"'; first = false {
			if !first {
				text = append(text, '"')
			}
			part, rest, _ := bytes.Cut(b[1:], []byte(`"`))
			text, b = append(text, part...), rest
		}
		before, rest, found := bytes.Cut(b, []byte{comma})
		if !quoted {
			text = before
		}
		out, b, more = append(out, string(text)), rest, found
	}
	return out
}

// piped cuts a row as Markdown and database clients draw them, at each "|" that has no
// backslash before it.
func piped(b []byte) (out []string) {
	b = bytes.TrimSpace(b)
	var cell []byte
	for part := range bytes.SplitSeq(bytes.TrimSuffix(bytes.TrimPrefix(b, []byte("|")), []byte("|")), []byte("|")) {
		cell = append(cell, part...)
		if n := len(cell); n > 0 && cell[n-1] == '\\' {
			cell[n-1] = '|'
			continue
		}
		if out = append(out, strings.Trim(string(cell), " \t`")); len(out) > maxColumnNames {
			return out
		}
		cell = cell[:0]
	}
	if len(cell) > 0 {
		out = append(out, strings.Trim(string(cell), " \t`"))
	}
	return out
}

// joinText puts together the text of a row that has the mark between cells in it.
func joinText(row, columns []string) []string {
	i, more := slices.IndexFunc(columns, isText), len(row)-len(columns)
	if i < 0 || more <= 0 {
		return row
	}
	return slices.Concat(row[:i], []string{strings.Join(row[i:i+more+1], "|")}, row[i+more+1:])
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
	if r.comma != '|' && bytes.Count(line, []byte(`"`))%2 != 0 {
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
	if !r.reads(false, line) {
		return true
	}
	r.stats.name(number, line)
	row := cells(bytes.TrimRight(line, "\r"), r.comma)
	if r.comma == '|' {
		row = joinText(row, r.columns)
	}
	if r.guessed && len(row) != len(r.columns) {
		r.feed(line, cut, number)
		return true
	}
	e := entry{cut: cut}
	for i, cell := range row[:min(len(row), len(r.columns))] {
		e.set(r.columns[i], cell)
	}
	r.takeEntry(&e, number)
	return true
}
