package lines

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// Databases give their answers as tables: the names of the columns once, and each row as a
// list of values.

// headOf is the object around a list, as far as it stands before that.
func headOf(b []byte) object {
	var open []byte
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			open = append(open, '}')
		case c == '[':
			open = append(open, ']')
		case (c == '}' || c == ']') && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	whole := append(bytes.Clone(b), "null"...)
	for i := len(open) - 1; i >= 0; i-- {
		whole = append(whole, open[i])
	}
	return objectOf(whole)
}

// columnsOf are the names of a table's columns, in small letters: of InfluxDB, Elasticsearch,
// Trino, pandas, Kusto, ClickHouse, Snowflake, BigQuery, Grafana.
func columnsOf(obj object) (names []string) {
	for _, key := range [...]string{"schema", "resultSetMetaData"} {
		if inner := objectOf(obj[key]); inner != nil {
			obj = inner
		}
	}
	for _, key := range [...]string{"columns", "Columns", "meta", "fields", "rowType"} {
		var list []json.RawMessage
		if json.Unmarshal(obj[key], &list) != nil || len(list) == 0 || len(list) > maxColumnNames {
			continue
		}
		for _, raw := range list {
			var column struct{ Name, ColumnName string }
			if raw[0] == '"' {
				column.Name = jsonText(raw)
			} else if json.Unmarshal(raw, &column) != nil {
				return nil
			}
			names = append(names, strings.ToLower(column.Name+column.ColumnName))
		}
		return names
	}
	return nil
}

// table takes note of what stands before a list: the columns of its rows, and the labels of
// Loki's stream or InfluxDB's series.
func (r *Reader) table() {
	if r.obj.head == nil {
		return
	}
	head := headOf(r.obj.head)
	r.obj.head, r.columns, r.labels = nil, columnsOf(head), entry{}
	for _, key := range [...]string{"stream", "tags"} {
		for name, raw := range objectOf(head[key]) {
			switch role, _ := roleOf(strings.ToLower(name)); role {
			case roleTransport, roleIdent, roleFacility, roleHost, roleStream:
				r.labels.set(strings.ToLower(name), jsonText(raw))
			}
		}
	}
}

// row reads a row of values.
func (r *Reader) row(raw []byte) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		r.stats.unknown(int(r.src.lines), raw)
		return
	}
	r.cells(jsonTexts(list), raw)
}

func jsonTexts(list []json.RawMessage) (texts []string) {
	for _, raw := range list {
		texts = append(texts, jsonText(raw))
	}
	return texts
}

// cells gives the text in a row on. Where the columns have no names that are known, what is in
// them tells, or they are Loki's pairs.
func (r *Reader) cells(cells []string, raw []byte) {
	r.table()
	columns := r.columns
	if !holdsText(columns) {
		switch {
		case len(columns) == 0 && len(cells) < maxColumnNames && holdsText(cells) && !MayMatter(raw):
			for _, name := range cells { // the names are the first row
				r.columns = append(r.columns, strings.ToLower(name))
			}
			return
		case len(columns) == 0 && len(cells) == 2:
			columns = []string{"timestamp", "line"}
		default:
			columns = guessColumns([][]string{cells}, r.g, true)
		}
	}
	e := r.labels
	for i, cell := range cells[:min(len(cells), len(columns))] {
		e.set(columns[i], cell)
	}
	if !r.takeEntry(&e, int(r.src.lines)) {
		r.stats.unknown(int(r.src.lines), raw)
	}
}

// holdsText says whether one of the columns is known to hold a log's text.
func holdsText(columns []string) bool { return slices.ContainsFunc(columns, isText) }

func isText(column string) bool {
	r, _ := roleOf(strings.ToLower(column))
	return r == roleText
}

// rowObject reads a row of BigQuery's, {"f": [{"v": …}, …]}, and a table of Grafana's, which
// has the values of each column in a list. False for any other object.
func (r *Reader) rowObject(obj object) bool {
	if fields := obj["f"]; scan.First(fields) == '[' {
		var list []struct{ V json.RawMessage }
		if json.Unmarshal(fields, &list) != nil {
			return false
		}
		var cells []string
		for _, cell := range list {
			cells = append(cells, jsonText(cell.V))
		}
		r.cells(cells, fields)
		return true
	}
	columns := columnsOf(obj)
	var data struct{ Values [][]json.RawMessage }
	if len(columns) == 0 || json.Unmarshal(obj["data"], &data) != nil || len(data.Values) == 0 || len(data.Values) > len(columns) {
		return false
	}
	r.obj.head, r.columns, r.labels = nil, columns, entry{}
	for i := range data.Values[0] {
		var cells []string
		for _, column := range data.Values {
			if i < len(column) {
				cells = append(cells, jsonText(column[i]))
			}
		}
		r.cells(cells, nil)
	}
	return true
}
