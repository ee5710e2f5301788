package redact

import "strings"

// escapes hides in each word what is seen to be secret once its percent-encoding is undone.
func (r *Redactor) escapes(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, false
	}
	var out []byte
	done := 0
	for i := 0; i < len(s); i++ {
		end := wordEnd(s, i)
		if strings.IndexByte(s[i:end], '%') < 0 && !isForm(s[i:end]) {
			i = end
			continue
		}
		if word, changed := r.decoded(s[i:end], end == len(s)); changed {
			out = append(append(out, s[done:i]...), word...)
			done = end
		}
		i = end
	}
	if out == nil {
		return s, false
	}
	return string(append(out, s[done:]...)), true
}

// decoded hides what is a secret of a word in any view of it: decoded once, twice and so on, as an
// address within another is. Blanks come last, for a value goes on behind those that are escaped, and
// behind all '+', which is a blank in forms.
func (r *Redactor) decoded(word string, last bool) (string, bool) {
	const most = 8
	v := view{text: word}
	blanks := false
	for range most {
		next := v.decoded(blanks)
		if len(next.text) == len(v.text) {
			if blanks {
				break
			}
			blanks = true
			continue
		}
		v = next
		p := pass{r: r, s: v.text, args: true, view: &view{text: word, at: v.at, last: last}}
		if out, changed := p.run(); changed {
			return out, true
		}
	}
	if strings.IndexByte(v.text, '+') < 0 {
		return word, false
	}
	v = v.decoded(true)
	p := pass{r: r, s: strings.ReplaceAll(v.text, "+", " "), args: true}
	p.view = &view{text: word, at: v.at, last: last, form: true}
	return p.run()
}

// isForm says whether a word has a query with '+' in it.
func isForm(word string) bool {
	_, query, _ := strings.Cut(word, "?")
	return strings.IndexByte(query, '=') >= 0 && strings.IndexByte(query, '+') >= 0
}

// view is a text with escapes undone, and where each byte of it, and its end, began.
type view struct {
	text string
	at   []int
	last bool // it is the command line's last word, which may have been cut
	form bool // each '+' is a blank
}

// formBlank is blank for a form, where words are mostly those of a search: only a token behind
// "Bearer" counts.
func (p *pass) formBlank(i int) int {
	next := p.afterBlank(i)
	rest := bare(p.s[next:])
	if isScheme(lastName(p.s[p.done:i]), "bearer") && strings.ContainsAny(rest, "0123456789") && !isVariable(rest) {
		return p.value(next, value{})
	}
	return next
}

// inQuery is what a decoded value is as far as it is known to go: to the next one of a query, or to
// an escaped blank, which is not decoded.
func inQuery(value string) string {
	const blank = "%20"
	for strings.HasPrefix(value, blank) {
		value = value[len(blank):]
	}
	value, _, _ = strings.Cut(value, blank)
	value, _, _ = strings.Cut(value, "&")
	return value
}

// isArchive says whether a name and what follows its colon are Debian's: passwd_1%3a4.13-1_amd64.deb.
func isArchive(key, version string) bool {
	epoch := strings.LastIndexByte(key, '_') + 1
	return epoch > 0 && isNumber(key[epoch:]) && isDigit(version[0]) && strings.HasSuffix(version, ".deb")
}

// decoded undoes the escapes of a view, of blanks only if they are to be. A NUL stays: it would
// end an argument.
func (v *view) decoded(blanks bool) view {
	text, at := make([]byte, 0, len(v.text)), make([]int, 0, len(v.text)+1)
	for i := 0; i < len(v.text); i++ {
		at = append(at, v.begin(i))
		c, ok := unescape(v.text[i:])
		if ok && c != 0 && (blanks || !isBlank(c)) {
			text = append(text, c)
			i += len("%3D") - 1
			continue
		}
		text = append(text, v.text[i])
	}
	return view{text: string(text), at: append(at, v.begin(len(v.text)))}
}

func (v *view) begin(i int) int {
	if v.at == nil {
		return i
	}
	return v.at[i]
}

// unescape returns the byte that an escape at the start of s stands for.
func unescape(s string) (c byte, ok bool) {
	if len(s) < len("%3D") || s[0] != '%' {
		return 0, false
	}
	for _, digit := range []byte(s[1:3]) {
		n := strings.IndexByte("0123456789abcdef", lower(digit))
		if n < 0 {
			return 0, false
		}
		c = c<<4 | byte(n)
	}
	return c, true
}
