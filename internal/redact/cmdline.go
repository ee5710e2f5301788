package redact

import (
	"slices"
	"strings"
)

// Cmdline returns the command line with each secret value replaced by Mask. It
// returns s itself, without allocating, when there is none. Applying it again
// changes nothing.
//
// Hidden are: the value after a secret name and '=' or ':' (arguments, the
// environment, queries, JSON, HTTP headers); the argument after a flag with a
// secret name, unless it is a "--flag" itself; what follows "Bearer"; the
// password of a URL, and a token in its place; the password of "--user
// name:password"; what a known program takes as a secret (sshpass -p, vault
// login); what begins as a well-known kind of key does; private keys; the secret
// part of a webhook's address; what a shell pipes into a program that reads a
// password. Of a text that is longer than any command line that is kept, only the
// beginning is shown.
func (r *Redactor) Cmdline(s string) string {
	if r == nil {
		return s
	}
	if r.strict {
		return bareFlags(strings.FieldsFunc(s, func(c rune) bool { return c < 0x80 && isBlank(byte(c)) }))
	}
	return r.all(s, false)
}

// Args is Cmdline for arguments with a NUL between them; joined is the same with
// a blank instead. It knows where a value ends that has blanks in it.
func (r *Redactor) Args(args, joined string) string {
	if r == nil {
		return joined
	}
	if r.strict {
		return bareFlags(strings.Split(args, "\x00"))
	}
	out := r.all(args, true)
	if out == args {
		return joined
	}
	return strings.ReplaceAll(out, "\x00", " ")
}

// A text of more than longest bytes is shown up to kept bytes, which leaves room for what
// masks add: some of the rules look back or ahead from each word.
const (
	longest = 4 << 10
	kept    = longest / 4
)

func (r *Redactor) all(s string, args bool) string {
	long := len(s) > longest
	if long {
		s = s[:1+strings.LastIndexAny(s[:kept], " \t\r\n\x00")]
	}
	// A hidden blank joins two words, and so a pass can give the next one
	// something to do. Each leaves less unhidden text, so they come to an end; most
	// lines need two.
	const most = 16
	for range most {
		out, changed := r.once(s, args)
		if !changed {
			break
		}
		s = out
	}
	if long {
		s += Mask
	}
	return s
}

func (r *Redactor) once(s string, args bool) (string, bool) {
	p := pass{r: r, s: s, args: args}
	if out, changed := p.run(); changed {
		return out, true
	}
	return r.escapes(s)
}

// pass is one run over a command line.
type pass struct {
	r *Redactor
	s string
	// args: arguments end with a NUL.
	args bool
	// view: s is a word of a command line, decoded.
	view *view
	// out holds s[:done] with the secrets replaced.
	out  []byte
	done int
	// program was named last; follow are its habits.
	program string
	follow  []following
	flag    bool   // the word before is a flag
	shell   bool   // a shell was named, and flags since
	set     bool   // "set", and flags since: the name of a setting comes
	named   bool   // the word before is that name
	login   int    // how much of "-u bob -p" was met
	label   string // of the value that comes: {"name": "DB_PASSWORD", "value": "x"}
}

func (p *pass) run() (string, bool) {
	for i := 0; i < len(p.s); {
		i = p.step(i)
	}
	if p.out == nil {
		return "", false
	}
	return string(append(p.out, p.written(p.done, len(p.s))...)), true
}

// written is what stands in the command line for s[from:to].
func (p *pass) written(from, to int) string {
	if p.view == nil {
		return p.s[from:to]
	}
	return p.view.text[p.view.at[from]:p.view.at[to]]
}

// following is how far a command line has come in a habit.
type following struct {
	habit *habit
	verbs int // of the habit's that were met
	words int // without a dash, since
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
	case c == ':' && strings.HasPrefix(p.s[i:], "::") && i > p.done && isName(p.s[i-1]) && i+2 < len(p.s) && isLetter(p.s[i+2]):
		return i + len("::") // a path in Rust or C++
	case c == '=' || c == ':':
		return p.assigned(i)
	case c == '>':
		return p.element(i)
	case c == '(':
		return p.call(i)
	case c == ',' && i > p.done && isQuote(p.s[i-1]):
		return p.defined(i)
	case c == '<' && strings.HasPrefix(p.s[i:], "<<<"):
		return p.hereString(i)
	case isBlank(c) && p.view != nil && p.view.form:
		return p.formBlank(i)
	case isBlank(c):
		return p.blank(i)
	}
	return i + 1
}

// shape returns the end of a well-known kind of secret that starts at i, or 0.
func (p *pass) shape(i int) int {
	c := p.s[i]
	if c == '-' {
		return p.privateKey(i)
	}
	if i > p.done && (isLetter(p.s[i-1]) || isDigit(p.s[i-1]) || p.s[i-1] == '_') {
		return 0
	}
	for k := range p.r.prefixes[c] {
		if end := p.r.prefixes[c][k].match(p.s, i); end > 0 {
			return end
		}
	}
	if isDigit(c) {
		return botToken(p.s, i)
	}
	return jwt(p.s, i)
}

// botToken returns the end of a token of a Telegram bot at i, or 0: its number and
// a key.
func botToken(s string, i int) int {
	const least = 33
	colon := i
	for colon < len(s) && isDigit(s[colon]) {
		colon++
	}
	if colon-i < 8 || colon-i > 12 || !strings.HasPrefix(s[colon:], ":AA") || keyEnd(s, colon+1)-colon <= least {
		return 0
	}
	return keyEnd(s, colon+1)
}

// match returns the end of a secret at i that begins with the prefix, or 0.
func (x *prefix) match(s string, i int) int {
	if !strings.HasPrefix(s[i:], x.text) {
		return 0
	}
	from := i + len(x.text)
	end, digits := from, 0
	for ; end < len(s) && x.holds(s[end]); end++ {
		if isDigit(s[end]) {
			digits++
		}
	}
	if end-from < x.least || x.random && digits < 2 {
		return 0
	}
	return end
}

func (x *prefix) holds(c byte) bool {
	return isLetter(c) || isDigit(c) || !x.random && (c == '-' || c == '_') || strings.IndexByte(x.more, c) >= 0
}

// privateKey returns the end of a private key in PEM at i, or 0; one that is cut
// goes to the end.
func (p *pass) privateKey(i int) int {
	const begin, end = "-----BEGIN", "-----END"
	s := p.s[i:]
	if !strings.HasPrefix(s, begin) || len(s) == len(begin) || !isBlank(s[len(begin)]) {
		return 0
	}
	head := strings.Index(s[len(begin):], "-----")
	if head >= 0 && !strings.Contains(s[:len(begin)+head], "PRIVATE") {
		return 0
	}
	n := strings.Index(s, end)
	if n < 0 {
		return p.argEnd(i)
	}
	n += len(end)
	if tail := strings.Index(s[n:], "-----"); tail >= 0 {
		return i + n + tail + len("-----")
	}
	return i + len(s)
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
	p.flag = false // it has its value
	p.out = append(append(p.out, p.written(p.done, from)...), Mask...)
	p.done = to
}

// assigned handles NAME=VALUE, NAME: VALUE and "NAME": "VALUE" with the mark
// at i.
func (p *pass) assigned(i int) int {
	key, start := p.nameBefore(i)
	from, spaced := i+1, false
	if key == "" && (p.s[i] == '=' || from < len(p.s) && (isBlank(p.s[from]) ||
		strings.IndexByte("=:>", p.s[from]) >= 0)) {
		return from // the last of a run counts, which may be long
	}
	if p.args && p.s[i] == '=' && from < len(p.s) && p.s[from] == 0 && !p.starts(i) {
		return from // an empty value
	}
	for from < len(p.s) && (isBlank(p.s[from]) || strings.IndexByte("=:>", p.s[from]) >= 0) {
		spaced = spaced || isBlank(p.s[from])
		from++
	}
	whole := p.starts(start) && !p.isScript(start)
	key = p.field(p.labelled(key, from), start, from)
	switch {
	case p.s[i] == ':' && isSection(key, p.s[from:]):
		return i + 1
	case p.s[i] == ':' && !spaced && p.target(start, from) > 0:
		return p.hideIn(from, p.target(start, from))
	case key == "" || p.s[i] == ':' && p.isPlace(start, from, spaced) || (spaced || p.program == "sed") && p.isProse(key, start, from),
		strings.HasPrefix(p.s[i:], "==") && isTag(bare(p.s[from:])): // jwt==2.8.0
		return i + 1
	case p.secret(key, from, whole):
		if spaced && isLongFlag(p.s[from:]) {
			return from // an empty value
		}
		return p.value(from, kindOf(key, whole))
	case isUserFlag(key):
		return p.userPassword(from, ":", whole)
	case p.s[i] == '=' && start > 0 && strings.IndexByte("?&", p.s[start-1]) >= 0 && (strings.EqualFold(key, "sig") || strings.EqualFold(key, "signature")):
		return p.value(from, value{})
	case key == "thin" && p.s[i] == ':': // jdbc:oracle:thin:scott/tiger@host
		return p.userPassword(from, "/", whole)
	case p.s[i] == ':' && !spaced && p.atHost(from) > 0 && !isMail(key):
		return p.hideIn(from, p.atHost(from))
	case p.pairs(start, i):
		return p.value(from, value{whole: whole})
	}
	return i + 1
}

// isMail names the schemes of addresses with a user and no password.
func isMail(scheme string) bool {
	switch strings.ToLower(scheme) {
	case "mailto", "sip", "sips", "xmpp", "acct":
		return true
	}
	return false
}

// isSection says whether a name before ':' is that of a part of the settings, as .NET
// writes --Auth:Authority=URL, and rest begins with the name of one of these.
func isSection(key, rest string) bool {
	switch key {
	case "--Auth", "--Jwt", "--Token", "--Cookie", "--Session":
		end := 0
		for end < len(rest) && (isName(rest[end]) || rest[end] == ':') {
			end++
		}
		return end > 0 && isUpper(rest[0]) && end+1 < len(rest) && rest[end] == '='
	}
	return false
}

// labelled returns the name of the value at from: key, or the one that stands before
// it in {"name": "DB_PASSWORD", "value": "x"}.
func (p *pass) labelled(key string, from int) string {
	last := strings.TrimLeft(key[strings.LastIndexByte(key, '.')+1:], "-")
	switch {
	case strings.EqualFold(last, "name"), strings.EqualFold(last, "key"), strings.EqualFold(last, "ParameterKey"):
		p.label = bare(p.s[from:])
	case p.label != "" && (strings.EqualFold(last, "value") || strings.EqualFold(last, "ParameterValue")):
		key, p.label = p.label, ""
	}
	return key
}

// field returns the name of the value at from: key, which is at start, or where it is no secret's that
// of the field around it: a[secret][x]. In JSON:API it is the fields' that are to be shown.
func (p *pass) field(key string, start, from int) string {
	before := p.s[:start]
	switch {
	case strings.HasSuffix(before, "fields[") && !isMixed(bare(p.s[from:])):
		return ""
	case strings.HasSuffix(before, "][") && !p.secret(key, from, false):
		outer, _ := p.nameBefore(start - len("["))
		return outer
	}
	return key
}

// secret says whether the value at from of a name is to be hidden. whole says
// that the value is the rest of the argument.
func (p *pass) secret(key string, from int, whole bool) bool {
	value := p.s[from:p.argEnd(from)]
	value = value[:min(len(value), looked)]
	if p.view != nil {
		if value = inQuery(value); value == "" || isArchive(key, value) {
			return false
		}
	}
	if key == "--secret" && (isEngine(p.program) || p.program == "pulumi" || p.program == "gcloud") {
		return false // its name, or none
	}
	if key == "--auth-token" && (strings.HasPrefix(value, "simple") || strings.HasPrefix(value, "jwt,")) {
		return false // a kind, for etcd
	}
	return p.r.secret(key, value, whole || p.starts(from))
}

// isPlace says whether NAME:VALUE is part of an address, or an image with its
// tag.
func (p *pass) isPlace(start, from int, spaced bool) bool {
	if spaced || start == 0 {
		return false
	}
	word := start
	for word > 0 && !isBlank(p.s[word-1]) {
		word--
	}
	if strings.HasPrefix(p.s[word:], "arn:") || strings.HasPrefix(p.s[word:], "//") && p.atHost(from) == 0 || p.s[word] == '/' && (strings.HasPrefix(p.s[from:], "/") || strings.Contains(p.s[word:start], ":/")) { // -v /srv/secrets:/secrets
		return true
	}
	tag := bare(p.s[from:])
	return (p.s[start-1] == '/' || word == start) && isTag(tag)
}

// isProse says whether "name: value" is what a program looks for, or a message.
func (p *pass) isProse(key string, start, from int) bool {
	switch p.program {
	case "grep", "rg", "ag":
		return true
	case "sed": // s/token: //
		return strings.HasPrefix(p.s[from:], "/")
	case "git": // its http.extraheader is a header
		header := strings.HasSuffix(strings.ToLower(strings.TrimRight(p.s[:start], "\"'")), "http.extraheader=")
		return !header && !(name{text: authorization}).within(key)
	}
	return false
}

// isTag says whether s looks like the tag of an image, or a port.
func isTag(s string) bool {
	switch s {
	case "latest", "stable", "alpine", "edge", "main", "master", "dev":
		return true
	}
	s = strings.TrimPrefix(s, "v")
	return s != "" && len(s) < 12 && isDigit(s[0]) && strings.Trim(s[1:], "0123456789.") == "" && (strings.Contains(s, ".") || len(s) == 4)
}

// atHost returns where the password of USER:PASSWORD@HOST ends that begins at
// from, or 0. Since there is no scheme, HOST has to look like one.
func (p *pass) atHost(from int) int {
	word := p.s[from:wordEnd(p.s, from)]
	at := strings.LastIndexByte(word, '@')
	if at <= 0 {
		return 0
	}
	host, _, _ := strings.Cut(word[at+1:], "/")
	for _, as := range [...]string{"tcp(", "unix(", "/"} { // for Go's drivers
		if strings.HasPrefix(word[at+1:], as) {
			return from + at
		}
	}
	if name, port, ok := strings.Cut(host, ":"); ok && name != "" && isNumber(port) {
		return from + at
	}
	dots := strings.Count(host, ".")
	name := strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == ""
	digits := strings.Trim(host, "0123456789.") == ""
	if !name || host != "localhost" && (dots == 0 || digits && dots != 3) {
		return 0
	}
	return from + at
}

// target returns where the password at from ends in [DOMAIN/]USER:PASSWORD[@HOST], if
// the program that was named takes such a word; else 0. start is the user's.
func (p *pass) target(start, from int) int {
	if !slices.ContainsFunc(p.follow, func(f following) bool { return f.habit.target }) {
		return 0
	}
	word := start
	for word > p.done && !isBlank(p.s[word-1]) {
		word--
	}
	end := wordEnd(p.s, from)
	if p.starts(word) {
		end = p.argEnd(from)
	}
	if strings.IndexByte(`-/\`, p.s[word]) >= 0 || strings.HasPrefix(p.s[from:], "//") {
		return 0
	}
	if at := strings.LastIndexByte(p.s[from:end], '@'); at > 0 {
		return from + at
	}
	if strings.IndexByte(p.s[word:start], '/') > 0 {
		return end
	}
	return 0
}

// pairs says whether NAME=VALUE holds a secret because of who takes it.
func (p *pass) pairs(start, i int) bool {
	if p.s[i] != '=' || start == i || p.s[start] == '-' {
		return false
	}
	for _, f := range p.follow {
		if f.habit.pairs && f.ready() && (start == 0 || isBlank(p.s[start-1])) {
			return true
		}
	}
	return false
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
	if end > p.done+1 && strings.HasSuffix(p.s[:end], "[]") {
		end -= len("[]")
	}
	if end > p.done+1 && strings.IndexByte("]}", p.s[end-1]) >= 0 && (isQuote(p.s[end-2]) || isName(p.s[end-2])) { // environ["NAME"], $ENV{NAME}, user[name]
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
	p.note(word)
	if isLabelFlag(word) {
		p.label = bare(rest)
	}
	switch {
	case p.login == 3 && rest != "" && strings.Trim(bare(rest), "0123456789.:") != "" && !strings.ContainsAny(bare(rest), "=/"):
		p.login = 0
		return p.value(next, value{})
	case word == "", rest == "", rest[0] == '=', rest[0] == ':', p.starts(next) && rest[0] == 0: // '=' and ':' see to themselves
		return p.habit(word, next)
	case isUserFlag(word) && !isEngine(p.program) && !p.takes(word):
		return p.userPassword(next, ":", false)
	case isScheme(lastName(word), "bearer") && !isVariable(bare(rest)) && !isLongFlag(rest), word == "Basic" && looksRandom(bare(rest)):
		return p.value(next, value{})
	case (word[0] == '-' || word[0] == '+') && !isLongFlag(rest) && lastName(word) == strings.TrimPrefix(word, "+") && p.secret(word, next, false):
		return p.value(next, kindOf(word, false))
	case (word == "-value" || word == "--value") && p.label != "" && p.secret(p.label, next, false):
		return p.value(next, value{})
	case p.named && rest[0] != '-' && p.secret(lastName(word), next, false):
		return p.value(next, value{})
	case isQuote(rest[0]) && p.beforeQuoted(start, word), isPasswordWord(word) && isMixed(bare(rest)):
		return p.value(next, value{})
	case isEcho(strings.TrimLeft(word, "\"'(")) && !p.starts(next):
		return p.piped(start, next)
	case word == "<(echo" || word == "<(printf":
		return p.substituted(next)
	}
	return p.habit(word, next)
}

// isLabelFlag names the flags that say what the --value after them is.
func isLabelFlag(word string) bool {
	switch word {
	case "-key", "--key", "-name", "--name", "--secret-name", "--parameter-name":
		return true
	}
	return false
}

// isPasswordWord names a setting, or a verb's argument: "password hunter2".
func isPasswordWord(s string) bool {
	switch s {
	case "password", "passwd", "passphrase", "PASSWORD":
		return true
	}
	return false
}

// isMixed says whether s has letters and digits, and is no name of a file.
func isMixed(s string) bool {
	const letters, digits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	return strings.ContainsAny(s, letters) && strings.ContainsAny(s, digits) && !strings.ContainsAny(s, "./=:") && s[0] != '-'
}

// beforeQuoted says whether a quoted word is a secret because of the word before:
// PASSWORD 'x', IDENTIFIED BY 'x'.
func (p *pass) beforeQuoted(start int, word string) bool {
	switch strings.ToLower(word) {
	case "password", "passwd", "passphrase", "secret", "token", "convertto-securestring":
		return true
	case "by", "as":
		const most = 64
		before := strings.ToLower(strings.TrimRight(p.s[max(p.done, start-most):start], " "))
		return strings.HasSuffix(before, "identified") || strings.Contains(before, "identified with") || strings.Contains(before, "identified by password")
	}
	return false
}

// isEcho names what writes its arguments.
func isEcho(word string) bool { return word == "echo" || word == "printf" || word == "yes" }

// piped hides what echo, whose arguments are at i, writes into a program that reads a
// password, or for a flag such as --password-command.
func (p *pass) piped(echo, i int) int {
	s := p.s[:p.argEnd(i)]
	if p.isPasswordCommand(echo) {
		return p.hideIn(i, len(s))
	}
	for i < len(s) && s[i] == '-' { // echo -n
		i = p.afterBlank(wordEnd(s, i))
	}
	pipe := strings.IndexByte(s[min(i, len(s)):], '|')
	if pipe < 0 {
		return i
	}
	end := i + pipe
	if !readsPassword(s[end+1:]) {
		return i
	}
	for end > i && isBlank(s[end-1]) {
		end--
	}
	if i < end && s[i:end] != Mask {
		p.hide(i, end)
	}
	return end
}

// isPasswordCommand says whether the command at i is the value of a flag that takes one
// to get a secret from.
func (p *pass) isPasswordCommand(i int) bool {
	if !p.starts(i) {
		return false
	}
	flag := strings.ToLower(p.s[strings.LastIndexByte(p.s[:max(i-1, 0)], 0)+1 : max(i-1, 0)])
	return strings.HasPrefix(flag, "-") && strings.Contains(flag, "pass") && (strings.HasSuffix(flag, "command") || strings.HasSuffix(flag, "cmd") || strings.HasSuffix(flag, "eval"))
}

// readsPassword says whether a command reads a password from its input.
func readsPassword(command string) bool {
	command = strings.TrimLeft(command, " \t")
	if after, ok := strings.CutPrefix(command, "sudo "); ok && !strings.HasPrefix(strings.TrimLeft(after, " "), "-") {
		command = strings.TrimLeft(after, " ")
	}
	if end := strings.IndexAny(command, "|;&"); end >= 0 {
		command = command[:end]
	}
	for _, reader := range [...]string{"chpasswd", "passwd", "smbpasswd", "cryptsetup", "sudo -S", "sudo --stdin", "kinit", "vault login", "su ", "ssh-add", "chpass", "pw ", "gpg", "openssl"} {
		if strings.HasPrefix(command, reader) {
			return true
		}
	}
	return strings.Contains(command, "password-stdin") || strings.Contains(command, "passwd-on-stdin") || strings.Contains(command, "--with-token") || strings.Contains(command, "secret create") || strings.Contains(command, " -S ")
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

// note follows a word: it may name a program, be one of its verbs, or count.
func (p *pass) note(word string) {
	if word == "" {
		return
	}
	p.meetLogin(word)
	flag := p.flag
	p.flag = word[0] == '-' && len(word) > 1 && word != "--"
	if p.flag && p.shell && word[len(word)-1] == 'c' {
		p.flag = false // bash -lc: a program comes
		return
	}
	p.meetSet(word)
	if strings.IndexByte(";|&", word[len(word)-1]) >= 0 && p.program != "expect" {
		p.program, p.follow = "", nil
		return
	}
	verb := false
	for k := range p.follow {
		verb = p.follow[k].meet(word) || verb
	}
	if verb || p.flag || flag && p.follow != nil || p.program == "expect" {
		return
	}
	base := programOf(word)
	p.shell = isShell(base)
	if isEngine(base) {
		p.program = base
	}
	habits, known := p.r.habits[base]
	if !known {
		return
	}
	p.program = base
	p.follow = slices.DeleteFunc(p.follow, func(f following) bool { return !f.habit.bare }) // "sftp" may be a value
	for k := range habits {
		p.follow = append(p.follow, following{habit: &habits[k]})
	}
}

// programOf is the name of the program that a word may be, as Unix has it.
func programOf(word string) string {
	base := lastName(word)
	if n := len(base) - len(".exe"); n > 0 && strings.EqualFold(base[n:], ".exe") {
		return base[:n]
	}
	return base
}

// meetLogin looks for "-u NAME -p", after which many programs take a password.
func (p *pass) meetLogin(word string) {
	switch word {
	case "-u", "-U", "-l", "-au", "-xu", "--user", "--username", "-user":
		p.login = 1
		return
	case "-p", "-P", "-ap", "-xp":
		if p.login == 2 && p.program != "journalctl" && !p.joins(word) {
			p.login = 3
			return
		}
	}
	if p.login == 1 && word[0] != '-' {
		p.login = 2
		return
	}
	p.login = 0
}

// meetSet looks for "set NAME VALUE".
func (p *pass) meetSet(word string) {
	for _, verb := range [...]string{"set", "setenv", "arg"} {
		if strings.EqualFold(strings.TrimLeft(word, "-+"), verb) {
			p.set, p.named = true, false
			return
		}
	}
	p.named = p.set && !p.flag
	p.set = p.set && p.flag
}

func isShell(program string) bool {
	switch program {
	case "sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox", "su":
		return true
	}
	return false
}

// isEngine says whether a program's --user is not a login, and its --secret a
// name.
func isEngine(program string) bool {
	switch program {
	case "docker", "podman", "nerdctl", "buildah":
		return true
	}
	return false
}

func (f *following) ready() bool { return f.verbs == len(f.habit.verbs) }

// meet counts a word, and says whether it is one of the verbs.
func (f *following) meet(word string) bool {
	switch {
	case f.ready():
		if word[0] != '-' {
			f.words++
		}
	case isVerb(f.habit.verbs[f.verbs], word):
		f.verbs++
		return true
	}
	return false
}

func isVerb(verb, word string) bool {
	if before, ok := strings.CutSuffix(verb, "*"); ok {
		return strings.HasPrefix(word, before)
	}
	if len(verb) == 2 && verb[0] == '-' {
		return len(word) > 1 && word[0] == '-' && word[1] != '-' && strings.IndexByte(word, verb[1]) > 0
	}
	return verb == word
}

// habit hides the word at next if the program that was named takes a secret
// there. word is the one before.
func (p *pass) habit(word string, next int) int {
	if len(p.follow) == 0 || next == len(p.s) || isReference(bare(p.s[next:])) {
		return next
	}
	for k := range p.follow {
		f := &p.follow[k]
		if !f.ready() {
			continue
		}
		switch from := f.habit.follows(p.s, next); {
		case word != "" && f.habit.takes(word):
			return p.part(next, f.habit.after, p.starts(next))
		case from > 0:
			if !isBlank(p.s[from]) {
				return p.part(from, f.habit.after, p.starts(next))
			}
		case f.position(p.s[next:], word):
			return p.part(next, f.habit.after, p.starts(next))
		case f.habit.bare && word != "" && word[0] != '-' && !isLongFlag(p.s[next:]) && p.secret(lastName(word), next, false):
			return p.value(next, value{})
		}
	}
	return next
}

// takes says whether a habit of the program that was named has the flag.
func (p *pass) takes(word string) bool {
	for k := range p.follow {
		if f := &p.follow[k]; f.ready() && f.habit.takes(word) {
			return true
		}
	}
	return false
}

// joins says whether the program that was named has the flag's value only in the same
// word: mysql -p DATABASE.
func (p *pass) joins(flag string) bool {
	for k := range p.follow {
		if f := &p.follow[k]; f.ready() && slices.Contains(f.habit.joined, flag) {
			return !p.takes(flag)
		}
	}
	return false
}

// takes says whether the word after a flag is its value. One-letter flags may have
// others before them: curl -su.
func (h *habit) takes(word string) bool {
	for _, flag := range h.flags {
		if word == flag {
			return true
		}
		if h.after == ":" && len(flag) == 2 && len(word) > 2 && word[0] == '-' && word[1] != '-' && word[len(word)-1] == flag[1] &&
			strings.Trim(word[1:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ#") == "" && len(word) < 8 {
			return true
		}
	}
	return false
}

// follows returns where a value begins that follows its flag at once at i, or 0.
func (h *habit) follows(s string, i int) int {
	for _, flag := range h.joined {
		if from := i + len(flag); from < len(s) && strings.HasPrefix(s[i:], flag) {
			return from
		}
	}
	return 0
}

// position says whether the word at the start of s is a secret because of its
// place. before is the word before.
func (f *following) position(s, before string) bool {
	at := f.habit.at
	if at == 0 || f.habit.next && (before == "" || before[0] == '-' || f.words+1 > at) || s[0] == '-' || s[0] == '/' || f.words+1 < at || f.habit.after != "" && f.words+1 > at || isPlainFlag(before) {
		return false
	}
	name, value, pair := strings.Cut(bare(s), "=")
	return !f.habit.named || !pair || lastName(name) != name || strings.Trim(value, "=") == "" // username=bob
}

// isPlainFlag names flags whose value is not the secret that its program takes.
func isPlainFlag(s string) bool {
	switch s {
	case "-method", "-path", "-address", "-namespace", "-field", "-format", "-m", "-salt", "-C", "-a", "--api", "--path", "-h", "--host", "-u", "--user", "-accessor":
		return true
	}
	return false
}

// part hides a value from the first of after on; all of it if there is none.
func (p *pass) part(from int, after string, whole bool) int {
	switch after {
	case "":
		return p.value(from, value{whole: whole})
	case ":", "%", ",", "/":
		return p.userPassword(from, after, whole)
	}
	end := wordEnd(p.s, from)
	if whole {
		end = p.argEnd(from)
	}
	n := strings.Index(p.s[from:end], after)
	if n < 0 {
		return from
	}
	return p.value(from+n+len(after), value{list: true, whole: whole})
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
func isUserFlag(s string) bool {
	switch s {
	case "-u", "--user", "--proxy-user", "--login", "--userpass", "--userpwd", "--authenticate", "--auth-cred":
		return true
	}
	return strings.HasPrefix(s, "--") && strings.HasSuffix(s, "-login") // --rpc-login
}

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
			if isVariable(bare(p.s[next:])) {
				return next
			}
			return p.value(next, v)
		}
	}
	if key := from + len(quoteAt(p.s, from)); p.privateKey(key) > 0 {
		return key // see shape
	}
	if v.whole {
		end := p.argEnd(from)
		if from < end && p.s[from:end] != Mask {
			p.hide(from, end)
		}
		return end
	}
	if end := p.callEnd(from); end > 0 {
		return p.hideIn(from+1, end-1)
	}
	open := from
	for open < len(p.s) && isName(p.s[open]) {
		open++
	}
	if end := p.callEnd(open); end > 0 { // auth=HTTPBasicAuth('bob', 'x')
		return p.hideIn(from, end-1)
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
	if s[from:to] == Mask || closed && from == to { // -N ""
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
	for _, scheme := range [...]string{"bearer", "basic", "digest", "token", "apikey", "negotiate", "ntlm", "hawk", "aws4-hmac-sha256", "oauth", "zoho-oauthtoken", "geniekey", "sso-key", "ssws", "splunk", "bot", "jwt"} {
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
		return wordEnd(s, end) // a shell joins 'a'b to one word
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

// userPassword hides what follows the mark in USER:PASSWORD, unless it is a
// number: a group's. whole says that the rest of the argument is the value.
func (p *pass) userPassword(from int, mark string, whole bool) int {
	end := wordEnd(p.s, from)
	if whole = whole || p.starts(from); whole {
		end = p.argEnd(from)
	}
	n := strings.Index(p.s[from:end], mark)
	if n < 0 || n == 0 && mark == "/" || strings.HasPrefix(p.s[from+n:], "://") {
		return from
	}
	user := p.s[from : from+n]
	from += n + len(mark)
	if from == end && mark == ":" && !isPlainUser(strings.ToLower(user)) { // a token, without a password
		return p.hideIn(from-len(user)-len(mark), from-len(mark))
	}
	if mark == ":" && strings.Trim(p.s[from:end], "0123456789") == "" {
		return end
	}
	return p.value(from, value{whole: whole})
}

// url handles what follows "://" at i: USER:PASSWORD@HOST. Since people leave
// '/' and '@' in passwords unescaped, the last '@' of the word counts.
func (p *pass) url(i int) int {
	end := wordEnd(p.s, i)
	if hidden := p.hook(i, end); hidden > 0 {
		return hidden
	}
	user := i
	for user < end && isUserByte(p.s[user]) {
		user++
	}
	at := strings.LastIndexByte(p.s[i:end], '@')
	if at < 0 {
		return p.cutURL(i, user)
	}
	if w := p.written(i-len("://"), end); p.view != nil && strings.HasPrefix(w, "://") && strings.IndexByte(w, '@') >= 0 {
		return i // it was seen before it was decoded
	}
	at += i
	user = min(user, at)
	switch {
	case user == at: // no password
		colon := max(strings.Index(p.s[i:at], "%3A"), strings.Index(p.s[i:at], "%3a"))
		if colon < 0 && !p.isHTTP(i) || isPlainUser(p.s[i:at]) {
			return at
		}
		user = i
		if colon >= 0 && !p.isHTTP(i) {
			user += colon + len("%3A")
		}
	case p.s[user] == ':':
		user++
		if slash := strings.IndexByte(p.s[user:at], '/'); slash > 0 && strings.Trim(p.s[user:user+slash], "0123456789") == "" {
			return user // HOST:PORT/PATH@...
		}
	case strings.IndexByte("/?#", p.s[user]) >= 0 && (user > i || p.isScheme(i, "file")), p.s[user] == '[':
		return user // the '@' belongs to the path
	default:
		user = i
	}
	if p.s[user:at] != Mask {
		p.hide(user, at)
	}
	return at
}

// cutURL hides the password of USER:PASSWORD@HOST where the command line was cut in
// it, with the mark at colon: it is no port, and no image's tag.
func (p *pass) cutURL(i, colon int) int {
	if colon == i || colon+1 >= len(p.s) || p.s[colon] != ':' || p.s[colon+1] == ':' ||
		wordEnd(p.s, colon) < len(p.s) || p.view != nil && !p.view.last || strings.HasPrefix(p.s[colon:], "://") {
		return i
	}
	port := strings.TrimLeft(p.s[colon+1:], "0123456789")
	digits := len(port) < len(p.s)-colon-1
	if digits && (port == "" || strings.IndexByte("/?#&,;\"'`)]}>|\\", port[0]) >= 0) ||
		p.isScheme(i, "docker") || p.isScheme(i, "oci") {
		return i
	}
	return p.hideIn(colon+1, len(p.s))
}

// isPlainUser says whether the user part of an address is a name, and no token.
func isPlainUser(s string) bool {
	const longest = 20
	return s == "oauth2" || len(s) <= longest && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-.") == ""
}

// hook hides the secret in the path of a webhook's address, or of a stream's, and
// returns its end; 0 if there is none.
func (p *pass) hook(i, end int) int {
	s := p.s[i:end]
	if n := strings.IndexAny(s, "\"'`?#<>"); n >= 0 {
		s = s[:n]
	}
	slash := strings.IndexByte(s, '/')
	if slash < 0 {
		return 0
	}
	if p.isScheme(i, "rtmp") || p.isScheme(i, "rtmps") {
		if app := strings.LastIndexByte(s, '/'); app > slash {
			return p.hideIn(i+app+1, i+len(s))
		}
	}
	for _, h := range p.r.hooks {
		if !strings.HasSuffix(s[:slash], h.host) {
			continue
		}
		n := strings.Index(s[slash:], h.path)
		if n < 0 {
			continue
		}
		from, to := slash+n+len(h.path), len(s)
		if h.to != "" {
			if n := strings.Index(s[from:], h.to); n >= 0 {
				to = from + n
			}
		}
		const least = 20
		if from == to || h.host == "" && keyEnd(s, from)-from < least {
			continue
		}
		return p.hideIn(i+from, i+to)
	}
	return 0
}

// hideIn hides s[from:to] unless it is, and returns its end.
func (p *pass) hideIn(from, to int) int {
	if from < to && p.s[from:to] != Mask {
		p.hide(from, to)
	}
	return to
}

func (p *pass) isScheme(i int, scheme string) bool {
	return strings.EqualFold(lastName(p.s[p.done:i-len("://")]), scheme)
}

// isHTTP says whether "http://" or the like ends before i: a lone user may be a token.
func (p *pass) isHTTP(i int) bool {
	scheme := strings.ToLower(lastName(p.s[p.done : i-len("://")]))
	return scheme == "http" || scheme == "https" || scheme == "nats"
}

func isUserByte(c byte) bool { return isName(c) || strings.IndexByte("~!$+*%", c) >= 0 }
