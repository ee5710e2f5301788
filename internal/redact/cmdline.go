package redact

import "strings"

// Cmdline returns the command line with each secret value replaced by Mask. It
// returns s itself, without allocating, when there is none. Applying it again
// changes nothing.
//
// Hidden are: the value after a secret name and '=' or ':' (arguments, the
// environment, queries, JSON, HTTP headers); the argument after a flag with a
// secret name, unless it is a "--flag" itself; what follows "Bearer"; the
// password of a URL, and the whole user part of an HTTP one that has no
// password; the password of "--user name:password".
func (r *Redactor) Cmdline(s string) string {
	if r == nil {
		return s
	}
	// A hidden blank joins two words, and so a pass can give the next one
	// something to do. Each leaves less unhidden text, so they come to an end.
	for {
		out, changed := r.once(s)
		if !changed {
			return s
		}
		s = out
	}
}

func (r *Redactor) once(s string) (string, bool) {
	p := pass{r: r, s: s}
	for i := 0; i < len(s); {
		i = p.step(i)
	}
	if p.out == nil {
		return s, false
	}
	return string(append(p.out, s[p.done:]...)), true
}

// pass is one run over a command line.
type pass struct {
	r *Redactor
	s string
	// out holds s[:done] with the secrets replaced.
	out  []byte
	done int
}

// step looks at one byte and returns where to go on.
func (p *pass) step(i int) int {
	switch c := p.s[i]; {
	case c == ':' && strings.HasPrefix(p.s[i:], "://"):
		return p.url(i + len("://"))
	case c == '=' || c == ':':
		return p.assigned(i)
	case isBlank(c):
		return p.blank(i)
	}
	return i + 1
}

// hide replaces s[from:to].
func (p *pass) hide(from, to int) {
	p.out = append(append(p.out, p.s[p.done:from]...), Mask...)
	p.done = to
}

// assigned handles NAME=VALUE, NAME: VALUE and "NAME": "VALUE" with the mark
// at i.
func (p *pass) assigned(i int) int {
	key := p.nameBefore(i)
	from, spaced := i+1, false
	for from < len(p.s) && (isBlank(p.s[from]) || strings.IndexByte("=:>", p.s[from]) >= 0) {
		spaced = spaced || isBlank(p.s[from])
		from++
	}
	switch {
	case key == "":
		return i + 1
	case p.r.secret(key):
		if spaced && isLongFlag(p.s[from:]) {
			return from // an empty value
		}
		return p.value(from, (name{text: authorization}).within(key))
	case isUserFlag(key):
		return p.userPassword(from)
	}
	return i + 1
}

// within says whether the pattern occurs in s.
func (n name) within(s string) bool {
	for i := range len(s) {
		if n.match(s, i) > 0 {
			return true
		}
	}
	return false
}

// nameBefore returns the name that ends before s[i], blanks and a closing quote
// left out, or "".
func (p *pass) nameBefore(i int) string {
	end := i
	for end > p.done && isBlank(p.s[end-1]) {
		end--
	}
	if end > p.done && isQuote(p.s[end-1]) {
		end--
		for end > p.done && p.s[end-1] == '\\' {
			end--
		}
	}
	start := end
	for start > p.done && isName(p.s[start-1]) {
		start--
	}
	return p.s[start:end]
}

// blank handles FLAG VALUE with the blank at i.
func (p *pass) blank(i int) int {
	start := i
	for start > p.done && !isBlank(p.s[start-1]) {
		start--
	}
	word := p.s[start:i]
	next := i
	for next < len(p.s) && isBlank(p.s[next]) {
		next++
	}
	rest := p.s[next:]
	switch {
	case word == "", rest == "", rest[0] == '=', rest[0] == ':': // the latter two see to themselves
		return next
	case isUserFlag(word):
		return p.userPassword(next)
	case len(rest) > 0 && isScheme(lastName(word), "bearer"):
		return p.value(next, false)
	case word[0] == '-' && !isLongFlag(rest) && lastName(word) == word && p.r.secret(word):
		return p.value(next, (name{text: authorization}).within(word))
	}
	return next
}

// lastName returns the name at the end of a word: the word less what is before
// the last quote or other mark.
func lastName(word string) string {
	i := len(word)
	for i > 0 && isName(word[i-1]) {
		i--
	}
	return word[i:]
}

// isLongFlag says whether s starts as "--flag" does.
func isLongFlag(s string) bool {
	return len(s) > 2 && s[0] == '-' && s[1] == '-' && isLetter(s[2])
}

// isUserFlag names the flags whose value is USER:PASSWORD.
func isUserFlag(s string) bool { return s == "-u" || s == "--user" || s == "--proxy-user" }

// value hides the value that starts at from and returns its end. For the
// Authorization header the name of the scheme stays.
func (p *pass) value(from int, scheme bool) int {
	end := valueEnd(p.s, from)
	if from == end {
		return end
	}
	if scheme && isScheme(p.s[from:end], "") {
		next := end
		for next < len(p.s) && isBlank(p.s[next]) {
			next++
		}
		return p.value(next, false)
	}
	quote := quoteAt(p.s, from)
	from += len(quote)
	closed := quote != "" && closing(p.s, from, quote) > 0
	to := end
	if closed && strings.HasSuffix(p.s[from:end], quote) {
		to -= len(quote)
	}
	if p.s[from:to] == Mask {
		return end
	}
	p.hide(from, to)
	if closed && to == end { // 'a'b
		p.out = append(p.out, quote...)
	}
	return end
}

// isScheme says whether s is a scheme of HTTP authentication; one of them if
// only names it.
func isScheme(s, only string) bool {
	for _, scheme := range [...]string{"bearer", "basic", "digest", "token", "apikey", "negotiate", "ntlm", "hawk", "aws4-hmac-sha256"} {
		if strings.EqualFold(s, scheme) {
			return only == "" || only == scheme
		}
	}
	return false
}

// quoteAt returns the quote at s[i] with the backslashes before it, or "".
func quoteAt(s string, i int) string {
	j := i
	for j < len(s) && s[j] == '\\' {
		j++
	}
	if j < len(s) && isQuote(s[j]) {
		return s[i : j+1]
	}
	return ""
}

// valueEnd returns where the value that starts at i ends: before the next
// blank, or after the closing quote. A quote that is not closed goes to the end
// of s, since a command line may have been cut.
func valueEnd(s string, i int) int {
	quote := quoteAt(s, i)
	if quote == "" {
		return wordEnd(s, i)
	}
	end := closing(s, i+len(quote), quote)
	if end == 0 {
		return len(s)
	}
	if end < len(s) && strings.IndexByte(",;}])&|", s[end]) < 0 {
		// A shell joins 'a'b to one word.
		if to := wordEnd(s, end); to > end {
			return to
		}
	}
	return end
}

func wordEnd(s string, i int) int {
	for i < len(s) && !isBlank(s[i]) {
		i++
	}
	return i
}

// closing returns the index after the next quote at or after i, or 0. A plain
// quote may be escaped.
func closing(s string, i int, quote string) int {
	for ; i < len(s); i++ {
		if len(quote) == 1 && s[i] == '\\' {
			i++
			continue
		}
		if strings.HasPrefix(s[i:], quote) {
			return i + len(quote)
		}
	}
	return 0
}

// userPassword hides what follows the colon of USER:PASSWORD, unless it is a
// number: a group's.
func (p *pass) userPassword(from int) int {
	end := wordEnd(p.s, from)
	colon := strings.IndexByte(p.s[from:end], ':')
	if colon < 0 || strings.HasPrefix(p.s[from+colon:], "://") {
		return from
	}
	from += colon + 1
	if strings.Trim(p.s[from:end], "0123456789") == "" {
		return end
	}
	return p.value(from, false)
}

// url handles what follows "://" at i: USER:PASSWORD@HOST. Since people leave
// '/' and '@' in passwords unescaped, the last '@' of the word counts.
func (p *pass) url(i int) int {
	end := wordEnd(p.s, i)
	at := strings.LastIndexByte(p.s[i:end], '@')
	if at < 0 {
		return i
	}
	at += i
	user := i
	for user < at && isUserByte(p.s[user]) {
		user++
	}
	switch {
	case user == at: // no password
		if !p.isHTTP(i) {
			return at
		}
		user = i
	case p.s[user] == ':':
		user++
		if slash := strings.IndexByte(p.s[user:at], '/'); slash > 0 && strings.Trim(p.s[user:user+slash], "0123456789") == "" {
			return user // HOST:PORT/PATH@...
		}
	case strings.IndexByte("/?#", p.s[user]) >= 0 && user > i:
		return user // the '@' belongs to the path
	default:
		user = i
	}
	if p.s[user:at] != Mask {
		p.hide(user, at)
	}
	return at
}

// isHTTP says whether "http://" or "https://" ends before i.
func (p *pass) isHTTP(i int) bool {
	scheme := strings.ToLower(lastName(p.s[p.done : i-len("://")]))
	return scheme == "http" || scheme == "https"
}

func isUserByte(c byte) bool { return isName(c) || strings.IndexByte("~!$+*%", c) >= 0 }
