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
// password; the password of "--user name:password"; the value of a flag of a
// known program (sshpass -p); what has the shape of a well-known kind of key.
func (r *Redactor) Cmdline(s string) string {
	if r == nil {
		return s
	}
	return r.all(s, false)
}

// Args is Cmdline for arguments with a NUL between them; joined is the same with
// a blank instead. It knows where a value ends that has blanks in it.
func (r *Redactor) Args(args, joined string) string {
	if r == nil {
		return joined
	}
	out := r.all(args, true)
	if out == args {
		return joined
	}
	return strings.ReplaceAll(out, "\x00", " ")
}

func (r *Redactor) all(s string, args bool) string {
	// A hidden blank joins two words, and so a pass can give the next one
	// something to do. Each leaves less unhidden text, so they come to an end.
	for {
		out, changed := r.once(s, args)
		if !changed {
			return s
		}
		s = out
	}
}

func (r *Redactor) once(s string, args bool) (string, bool) {
	p := pass{r: r, s: s, args: args}
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
	// args: arguments end with a NUL.
	args bool
	// out holds s[:done] with the secrets replaced.
	out  []byte
	done int
	// tool is the program that was named last; armed, its verb too.
	tool  *tool
	armed bool
}

// step looks at one byte and returns where to go on.
func (p *pass) step(i int) int {
	if end := p.shape(i); end > 0 {
		p.hide(i, end)
		return end
	}
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

// shape returns the end of a well-known kind of secret that starts at i, or 0.
func (p *pass) shape(i int) int {
	c := p.s[i]
	if !isLetter(c) || i > p.done && (isLetter(p.s[i-1]) || isDigit(p.s[i-1]) || p.s[i-1] == '_') {
		return 0
	}
	for k := range p.r.shapes {
		sh := &p.r.shapes[k]
		if c != sh.prefix[0] || !strings.HasPrefix(p.s[i:], sh.prefix) {
			continue
		}
		if end := keyEnd(p.s, i+len(sh.prefix)); end-i-len(sh.prefix) >= sh.least {
			return end
		}
	}
	return jwt(p.s, i)
}

// jwt returns the end of a JSON Web Token at i, or 0: three parts in base64, the
// first of which is JSON (RFC 7519).
func jwt(s string, i int) int {
	const least = 4
	if !strings.HasPrefix(s[i:], "eyJ") {
		return 0
	}
	for range 2 {
		end := keyEnd(s, i)
		if end-i < least || end == len(s) || s[end] != '.' {
			return 0
		}
		i = end + 1
	}
	return keyEnd(s, i)
}

// keyEnd returns the end of the run of letters, digits, '-' and '_' at i.
func keyEnd(s string, i int) int {
	for i < len(s) && (isLetter(s[i]) || isDigit(s[i]) || s[i] == '-' || s[i] == '_') {
		i++
	}
	return i
}

// hide replaces s[from:to].
func (p *pass) hide(from, to int) {
	p.out = append(append(p.out, p.s[p.done:from]...), Mask...)
	p.done = to
}

// assigned handles NAME=VALUE, NAME: VALUE and "NAME": "VALUE" with the mark
// at i.
func (p *pass) assigned(i int) int {
	key, start := p.nameBefore(i)
	from, spaced := i+1, false
	if p.args && p.s[i] == '=' && from < len(p.s) && p.s[from] == 0 && !p.starts(i) {
		return from // an empty value
	}
	for from < len(p.s) && (isBlank(p.s[from]) || strings.IndexByte("=:>", p.s[from]) >= 0) {
		spaced = spaced || isBlank(p.s[from])
		from++
	}
	whole := p.starts(start) && !p.isScript(start)
	switch {
	case key == "":
		return i + 1
	case p.r.secret(key, p.s[from:]):
		if spaced && isLongFlag(p.s[from:]) {
			return from // an empty value
		}
		return p.value(from, kindOf(key, whole))
	case isUserFlag(key):
		return p.userPassword(from, whole)
	}
	return i + 1
}

// starts says whether an argument is known to start at i.
func (p *pass) starts(i int) bool { return p.args && (i == 0 || p.s[i-1] == 0) }

// isScript says whether the argument at i is a shell's program: it follows
// "-c", or flags that end so. Its words are arguments of their own.
func (p *pass) isScript(i int) bool {
	if i == 0 {
		return false
	}
	flag := p.s[strings.LastIndexByte(p.s[:i-1], 0)+1 : i-1]
	return len(flag) > 1 && flag[0] == '-' && flag[1] != '-' && flag[len(flag)-1] == 'c'
}

// argEnd returns where the argument at i ends.
func (p *pass) argEnd(i int) int {
	if p.args {
		if n := strings.IndexByte(p.s[i:], 0); n >= 0 {
			return i + n
		}
	}
	return len(p.s)
}

// nameBefore returns the name that ends before s[i], blanks and a closing quote
// left out, or "", and where it starts.
func (p *pass) nameBefore(i int) (key string, start int) {
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
	start = end
	for start > p.done && isName(p.s[start-1]) {
		start--
	}
	return p.s[start:end], start
}

// blank handles FLAG VALUE with the blank at i.
func (p *pass) blank(i int) int {
	start := i
	for start > p.done && !isBlank(p.s[start-1]) {
		start--
	}
	word := p.s[start:i]
	next := p.afterBlank(i)
	rest := p.s[next:]
	p.program(word)
	switch {
	case word == "", rest == "", rest[0] == '=', rest[0] == ':', p.starts(next) && rest[0] == 0: // '=' and ':' see to themselves
		return p.joined(next)
	case isUserFlag(word), p.takes(word) && p.tool.user:
		return p.userPassword(next, false)
	case isScheme(lastName(word), "bearer"), p.takes(word):
		return p.value(next, value{})
	case word[0] == '-' && !isLongFlag(rest) && lastName(word) == word && p.r.secret(word, rest):
		return p.value(next, kindOf(word, false))
	}
	return p.joined(next)
}

// afterBlank returns the start of the next word, or of the next argument, which
// may begin with a blank or be empty.
func (p *pass) afterBlank(i int) int {
	for i < len(p.s) && isBlank(p.s[i]) {
		i++
		if p.starts(i) {
			break
		}
	}
	return i
}

// program takes note of a word that names a tool, or its verb.
func (p *pass) program(word string) {
	if word == "" || word[0] == '-' {
		return
	}
	if p.tool != nil && word == p.tool.verb {
		p.armed = true
		return
	}
	base := lastName(word)
	for i := range p.r.tools {
		if t := &p.r.tools[i]; base == t.name {
			p.tool, p.armed = t, t.verb == ""
		}
	}
}

// takes says whether the word after this one is the value of the tool's flag.
// The flag may have others before it: curl -su.
func (p *pass) takes(word string) bool {
	if !p.armed || !p.tool.apart || len(word) < 2 || word[0] != '-' || word[1] == '-' || word[len(word)-1] != p.tool.flag {
		return false
	}
	return len(word) == 2 || p.tool.user
}

// joined hides the value of -pVALUE at i.
func (p *pass) joined(i int) int {
	if !p.armed || !p.tool.joined || len(p.s)-i < 3 || p.s[i] != '-' || p.s[i+1] != p.tool.flag || isBlank(p.s[i+2]) {
		return i
	}
	whole := p.starts(i)
	if p.tool.user {
		return p.userPassword(i+2, whole)
	}
	return p.value(i+2, value{whole: whole})
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

// value is what is known of a value before it is looked at.
type value struct {
	// scheme: the name of a scheme of HTTP authentication may come first.
	scheme bool
	// list: it goes on after a word that ends with ',' or ';'.
	list bool
	// whole: it is all of the argument.
	whole bool
}

func kindOf(key string, whole bool) value {
	header := (name{text: authorization}).within(key)
	return value{scheme: header, list: header || (name{text: cookie}).within(key), whole: whole}
}

// value hides the value that starts at from and returns its end. For the
// Authorization header the name of the scheme stays.
func (p *pass) value(from int, v value) int {
	if from == len(p.s) {
		return from
	}
	v.whole = v.whole || p.starts(from)
	if v.scheme {
		if end := wordEnd(p.s, from); isScheme(p.s[from:end], "") {
			next := end
			for next < len(p.s) && isBlank(p.s[next]) {
				next++
			}
			v.scheme = false
			return p.value(next, v)
		}
	}
	if v.whole {
		end := p.argEnd(from)
		if from < end && p.s[from:end] != Mask {
			p.hide(from, end)
		}
		return end
	}
	return p.words(from, v.list)
}

// words hides a value whose end has to be guessed.
func (p *pass) words(from int, list bool) int {
	s := p.s[:p.argEnd(from)]
	end := valueEnd(s, from)
	if from == end {
		return end
	}
	quote := quoteAt(s, from)
	if list && quote == "" {
		end = listEnd(s, from)
	}
	from += len(quote)
	closed := quote != "" && closing(s, from, quote) > 0
	to := end
	if closed && strings.HasSuffix(s[from:end], quote) {
		to -= len(quote)
	}
	if s[from:to] == Mask {
		return end
	}
	p.hide(from, to)
	if closed && to == end { // 'a'b
		p.out = append(p.out, quote...)
	}
	return end
}

// listEnd returns the end of "a=1; b=2" or of name="a b", other="c" at i. A quote
// opens only after '=', so that one around it all does not count.
func listEnd(s string, i int) int {
	for {
		for i < len(s) && !isBlank(s[i]) {
			i++
			if s[i-1] != '=' {
				continue
			}
			if quote := quoteAt(s, i); quote != "" {
				if end := closing(s, i+len(quote), quote); end > 0 && (end == len(s) || isBlank(s[end]) || strings.IndexByte(",;\"'", s[end]) >= 0) {
					i = end
				}
			}
		}
		next := i
		for next < len(s) && isBlank(s[next]) {
			next++
		}
		if next == len(s) || strings.IndexByte(",;", s[i-1]) < 0 {
			return i
		}
		i = next
	}
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
// number: a group's. whole says that the rest of the argument is the value.
func (p *pass) userPassword(from int, whole bool) int {
	end := wordEnd(p.s, from)
	if whole = whole || p.starts(from); whole {
		end = p.argEnd(from)
	}
	colon := strings.IndexByte(p.s[from:end], ':')
	if colon < 0 || strings.HasPrefix(p.s[from+colon:], "://") {
		return from
	}
	from += colon + 1
	if strings.Trim(p.s[from:end], "0123456789") == "" {
		return end
	}
	return p.value(from, value{whole: whole})
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
