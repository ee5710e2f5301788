package lines

import (
	"bytes"
	"html"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// markup says whether a text is a web page, or a part of one: a line begins with an element
// before anything that an OOM's lines would be known by. No line of a kernel's log does but
// one that begins with a process's name, which is not followed by what follows a tag. Or it is
// XML, a page as well, with each line of the log in an element: such a line is an element with
// its end, or begins a CDATA section.
func markup(g Grammar, head []byte) (page, xml bool) {
	for line := range bytes.Lines(head) {
		b := bytes.TrimSpace(line)
		if bytes.EqualFold(b[:min(len(b), len(doctype))], []byte(doctype)) || scan.First(b) == '<' && beginsElement(b) {
			return true, false
		}
		whole := len(b) > 0 && b[len(b)-1] == '>' || len(line) == len(head) && line[len(line)-1] != '\n'
		xml = xml || scan.HasPrefix(b, "<?xml ") || elements(b) && (whole || !g.Class(b).Header)
		if MayMatter(line) {
			break
		}
	}
	return xml, xml
}

const doctype = "<!doctype"

// beginsElement says whether a line begins with a tag that stands where one of a page does.
func beginsElement(b []byte) bool {
	name, kind, rest := cutTag(b, false)
	switch {
	case kind == tagNone || name == "":
		return false
	case len(rest) == 0, rest[0] == '<' || rest[0] == '&', stamped(rest), scan.HasPrefix(rest, "[ "):
		return true
	}
	return rest[0] >= 'a' && rest[0] <= 'z' || rest[0] >= 'A' && rest[0] <= 'Z' || scan.IsDigit(rest[0])
}

// elements says whether a line is an element with its end, or others within one.
func elements(b []byte) bool {
	for len(b) > 0 {
		name, _, rest := cutTag(b, true)
		end := bytes.Index(rest, []byte("</"+name+">"))
		switch {
		case name == "":
			return false
		case scan.HasPrefix(rest, cdataBegin):
			return true
		case end >= 0:
			after := rest[end+len(name)+3:]
			return len(after) == 0 || after[0] == '<'
		case scan.First(rest) != '<':
			return false
		}
		b = rest
	}
	return false
}

const cdataBegin, cdataEnd = "<![CDATA[", "]]>"

type tagKind int

const (
	tagNone   tagKind = iota // no tag, or not one of HTML: the kernel has <IRQ> and <TASK>
	tagInline                // within a line
	tagCell                  // between the cells of a table
	tagBlock                 // begins or ends a line
)

// tagKinds are the elements that logs are shown with.
var tagKinds = map[string]tagKind{
	"br": tagBlock, "p": tagBlock, "div": tagBlock, "pre": tagBlock, "tr": tagBlock, "li": tagBlock, "ul": tagBlock, "ol": tagBlock,
	"table": tagBlock, "tbody": tagBlock, "thead": tagBlock, "html": tagBlock, "head": tagBlock, "body": tagBlock, "blockquote": tagBlock,
	"details": tagBlock, "summary": tagBlock, "section": tagBlock, "article": tagBlock, "title": tagBlock, "hr": tagBlock, "h1": tagBlock,
	"h2": tagBlock, "h3": tagBlock, "td": tagCell, "th": tagCell, "span": tagInline, "code": tagInline, "a": tagInline, "b": tagInline,
	"i": tagInline, "u": tagInline, "em": tagInline, "strong": tagInline, "font": tagInline, "tt": tagInline, "samp": tagInline,
	"kbd": tagInline, "mark": tagInline, "small": tagInline, "ins": tagInline, "del": tagInline, "s": tagInline, "wbr": tagInline,
}

// cutTag takes a tag off the front: "<td class="x">", "</td>", "<br/>". In XML a name may be
// any but the kernel's.
func cutTag(b []byte, xml bool) (name string, kind tagKind, rest []byte) {
	const longestName, longest = 10, 512
	end := bytes.IndexByte(b[:min(len(b), longest)], '>')
	if len(b) < 3 || b[0] != '<' || end < 2 {
		return "", tagNone, b
	}
	in := bytes.TrimPrefix(b[1:end], []byte("/"))
	n := 0
	for n < len(in) && (isWordPart(in[n]) && in[n] != '_' && n < longestName || xml && (isWordPart(in[n]) || n > 0 && bytes.IndexByte([]byte(":-."), in[n]) >= 0)) {
		n++
	}
	switch name = string(in[:n]); {
	case n < len(in) && in[n] != ' ' && in[n] != '/':
		return "", tagNone, b
	case xml && (n == 0 || name == "TASK" || name == "IRQ" || name == "SOFTIRQ" || name == "NMI" || name == "EOI"):
		return "", tagNone, b
	case xml:
		return name, tagBlock, b[end+1:]
	}
	name = strings.ToLower(name)
	return name, tagKinds[name], b[end+1:]
}

// stripTags takes a page's tags out of a line; a block's is a line end.
func (x *prefixes) stripTags(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if x.cdata {
			text, rest, ended := bytes.Cut(b, []byte(cdataEnd))
			out, b, x.cdata = append(out, text...), rest, !ended
			continue
		}
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			break
		}
		out, b = append(out, b[:i]...), b[i:]
		if text, ok := bytes.CutPrefix(b, []byte(cdataBegin)); ok && x.xml {
			x.cdata, b = true, text
			continue
		}
		_, kind, rest := cutTag(b, x.xml)
		switch kind {
		case tagNone:
			out = append(out, '<')
			rest = b[1:]
		case tagBlock:
			out = append(out, '\n')
		case tagCell:
			if len(out) > 0 && out[len(out)-1] != '\n' && out[len(out)-1] != '\t' {
				out = append(out, '\t')
			}
		}
		b = rest
	}
	return append(out, b...)
}

// entityMarks are the kernel's own characters as a page writes them, and what quotes a line.
var entityMarks = [...]string{"[&lt;", "&lt;TASK", "&lt;/TASK", "&lt;IRQ", "&lt;/IRQ", "&lt;EOI", "&lt;NMI", "&lt;/NMI", "&nbsp;", "&quot;", "&#", "[&amp;lt;", "&amp;lt;TASK", "&amp;gt;]", "&amp;#"}

// unescapeEntities writes a page's entities as the characters that they stand for, where
// the log has shown that it has them. None makes a line end: names may hold anything.
func (x *prefixes) unescapeEntities(b []byte) []byte {
	if bytes.IndexByte(b, '&') < 0 || bytes.IndexByte(b, ';') < 0 {
		return b
	}
	x.entities = x.entities || scan.HasPrefix(scan.SkipSpaces(b), "&gt;") ||
		slices.ContainsFunc(entityMarks[:], func(mark string) bool { return scan.Contains(b, mark) })
	if !x.entities {
		return b
	}
	out := []byte(html.UnescapeString(string(b)))
	for i, c := range out {
		if c == '\n' || c == '\r' || c == 0 {
			out[i] = ' '
		}
	}
	if scan.Contains(out, "&lt;") || scan.Contains(out, "&gt;") || scan.Contains(out, "&quot;") { // escaped twice
		return []byte(html.UnescapeString(string(out)))
	}
	return out
}

// unescapeMarks takes off the backslashes that Markdown has before its own characters, where
// the log has shown that it has them.
func (x *prefixes) unescapeMarks(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	x.marked = x.marked || scan.Contains(b, `\_`) || scan.HasPrefix(scan.SkipSpaces(b), `\[`)
	if !x.marked {
		return b
	}
	out := make([]byte, 0, len(b))
	for i, c := range b {
		if c != '\\' || i+1 == len(b) || bytes.IndexByte([]byte(`_[]*<>()#+-.!|~\`), b[i+1]) < 0 {
			out = append(out, c)
		}
	}
	return out
}
