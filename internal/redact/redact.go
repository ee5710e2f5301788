// Package redact hides the values of command-line arguments that look like
// secrets.
//
// Where one argument ends is known for what the kernel keeps (Args), and not for
// text (Cmdline). In doubt more is hidden rather than less: in text, an unquoted
// value goes up to the next blank, a quoted one up to its closing quote. What
// cannot be told from an ordinary argument stays: the value of a flag whose name
// says nothing, of a program that is not known here; in text, the words of an
// unquoted value after the first.
package redact

import "strings"

// Mask stands where a value was.
const Mask = "***"

// Redactor knows the names whose values are hidden. A nil Redactor hides
// nothing. It holds no state that changes: any number of goroutines may use it.
type Redactor struct {
	names, own, harmless []name
	endings              []string
	tools                []tool
	shapes               []shape
	starts               [256]bool // what names begin with, for most bytes begin none
}

// name is a pattern: lower case, without '-', '_' and '.'.
type name struct {
	text string
	when when
}

// when narrows where a pattern counts.
type when uint

const (
	// wordEnds: no lower-case letter follows: "token" is meant, "tokenizer" is not.
	wordEnds when = 1 << iota
	// wordStarts: "pat" is meant, "compat" is not.
	wordStarts
	// nameEnds: nothing but digits follows: "auth" is meant, "auth-url" is not.
	nameEnds
	// variable: the name is in capitals and goes on before: "STRIPE_KEY" is
	// meant, "--sort-key" is not.
	variable
	// noNumber: the value is no number: "--tokens 4096" are those of a model.
	noNumber
)

// builtin are the names that are always hidden, wherever they occur in a name.
func builtin() []name {
	return []name{
		{"password", 0}, {"passwd", 0}, {"passphrase", 0}, {"passcode", 0},
		{"secret", 0}, {"apikey", 0}, {"accesskey", 0}, {"accountkey", 0},
		{"privatekey", 0}, {"encryptionkey", 0}, {"signingkey", 0}, {"sharedkey", 0},
		{"masterkey", 0}, {"authkey", 0}, {"licensekey", 0},
		{"credential", 0}, {authorization, 0}, {"signature", 0}, {cookie, 0},
		{"token", wordEnds}, {"jwt", wordEnds}, {"pass", wordEnds}, {"pwd", wordEnds}, {"passin", wordEnds}, {"passout", wordEnds},
		{"tokens", nameEnds | noNumber}, {"bearer", nameEnds}, {"pw", nameEnds},
		{"auth", wordStarts | nameEnds}, {"pat", wordStarts | nameEnds}, {"key", wordStarts | nameEnds | variable},
	}
}

// harmless are words that hold one of builtin by chance.
func harmless() []name {
	return []name{
		{"bypass", 0}, {"compass", 0}, {"surpass", 0}, {"trespass", 0}, {"passthrough", 0}, {"passthru", 0},
		{"tokenbucket", 0}, {"maxtokens", 0}, {"numtokens", 0}, {"cookiejar", 0},
	}
}

// endings are those of names that say where a secret is, or what it is like, and
// not the secret.
func endings() []string { return []string{"file", "path", "dir", "name", "size", "max"} }

// The names whose value may be several words: a scheme and a value, a list.
const (
	authorization = "authorization"
	cookie        = "cookie"
)

// tool is a program with a flag whose value is a secret, though its name does
// not say so.
type tool struct {
	name string
	// verb has to come first, if any: docker login.
	verb string
	flag byte
	// apart and joined: "-p VALUE", "-pVALUE".
	apart, joined bool
	// user: the value is USER:PASSWORD.
	user bool
}

func tools() []tool {
	var all []tool
	for _, names := range []struct {
		names string
		tool  tool
	}{
		{"sshpass mongo mongosh mongodump mongorestore", tool{flag: 'p', apart: true, joined: true}},
		{"redis-cli valkey-cli keydb-cli", tool{flag: 'a', apart: true}},
		{"mysql mysqldump mysqladmin mysqlimport mysqlcheck mysqlshow mysqlslap", tool{flag: 'p', joined: true}},
		{"mariadb mariadb-dump mariadb-admin mariadb-import mariadb-check 7z 7za", tool{flag: 'p', joined: true}},
		{"docker podman nerdctl buildah skopeo helm oras crane", tool{verb: "login", flag: 'p', apart: true, joined: true}},
		{"ldapsearch ldapadd ldapmodify ldapdelete ldappasswd", tool{flag: 'w', apart: true, joined: true}},
		{"sqlcmd bcp zip unzip mosquitto_pub mosquitto_sub", tool{flag: 'P', apart: true, joined: true}},
		{"curl", tool{flag: 'u', apart: true, joined: true, user: true}},
		{"http https xh", tool{flag: 'a', apart: true, user: true}},
	} {
		for name := range strings.FieldsSeq(names.names) {
			t := names.tool
			t.name = name
			all = append(all, t)
		}
	}
	return all
}

// shape is what a well-known kind of secret begins with, and how many bytes
// follow at least.
type shape struct {
	prefix string
	least  int
}

func shapes() []shape {
	return []shape{
		{"AKIA", 12}, {"ASIA", 12}, {"AIza", 20},
		{"ghp_", 8}, {"gho_", 8}, {"ghu_", 8}, {"ghs_", 8}, {"ghr_", 8}, {"github_pat_", 8}, {"glpat-", 8},
		{"xoxb-", 8}, {"xoxp-", 8}, {"xoxa-", 8}, {"xoxr-", 8}, {"xoxs-", 8}, {"xoxe-", 8}, {"xapp-", 8},
		{"sk_live_", 8}, {"sk_test_", 8}, {"rk_live_", 8}, {"rk_test_", 8}, {"sk-ant-", 8}, {"sk-proj-", 8},
	}
}

// New returns a Redactor for the built-in names (password, passwd, token,
// secret, api-key, Authorization and their like) and for those that contain one
// of the patterns. Case, '-', '_' and '.' make no difference; a pattern of
// nothing else is ignored.
func New(patterns ...string) *Redactor {
	r := &Redactor{names: builtin(), harmless: harmless(), endings: endings(), tools: tools(), shapes: shapes()}
	for _, n := range r.names {
		r.starts[n.text[0]] = true
	}
	for _, p := range patterns {
		p = strings.Map(func(c rune) rune {
			if isJoint(byte(c)) && c < 0x80 {
				return -1
			}
			return c
		}, strings.ToLower(p))
		if p != "" {
			r.own = append(r.own, name{text: p})
		}
	}
	return r
}

// secret says whether the value of a name, such as "--db-password" or "API_KEY",
// is to be hidden.
func (r *Redactor) secret(s, value string) bool {
	for _, n := range r.own {
		if n.within(s) {
			return true
		}
	}
	if s == "PWD" || s == "OLDPWD" { // the shell's working directories
		return false
	}
	for _, e := range r.endings {
		if len(s) >= len(e) && strings.EqualFold(s[len(s)-len(e):], e) {
			return false
		}
	}
	for i := range len(s) {
		if !r.starts[lower(s[i])] {
			continue
		}
		for _, n := range r.names {
			if end := n.match(s, i); end > 0 && n.counts(s, i, end, value) && !r.isHarmless(s, i, end) {
				return true
			}
		}
	}
	return false
}

// counts says whether a match at s[start:end] is meant.
func (n name) counts(s string, start, end int, value string) bool {
	w := n.when
	switch {
	case w&wordEnds != 0 && !endsWord(s, end),
		w&noNumber != 0 && isNumber(value),
		w&wordStarts != 0 && !startsWord(s, start),
		w&nameEnds != 0 && strings.Trim(s[end:], "0123456789") != "",
		w&variable != 0 && (strings.Trim(s[:start], "-_.") == "" || !isUpper(s[start]) || !isUpper(s[end-1])):
		return false
	}
	return true
}

// isHarmless says whether s[start:end] is part of a harmless word.
func (r *Redactor) isHarmless(s string, start, end int) bool {
	for i := range start + 1 {
		for _, n := range r.harmless {
			if n.match(s, i) >= end {
				return true
			}
		}
	}
	return false
}

// isNumber says whether a number stands at the start of s.
func isNumber(s string) bool {
	s = s[:wordEnd(s, 0)]
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// within says whether the pattern occurs in s.
func (n name) within(s string) bool {
	for i := range len(s) {
		if !isJoint(s[i]) && n.match(s, i) > 0 {
			return true
		}
	}
	return false
}

// match returns the end of the pattern in s when it starts at i, or 0.
func (n name) match(s string, i int) int {
	for k := 0; k < len(n.text); i++ {
		switch {
		case i == len(s):
			return 0
		case lower(s[i]) == n.text[k]:
			k++
		case !isJoint(s[i]):
			return 0
		}
	}
	return i
}

// startsWord says whether a word starts at s[start].
func startsWord(s string, start int) bool {
	return start == 0 || !isLetter(s[start-1]) || (isUpper(s[start]) && !isUpper(s[start-1]))
}

// endsWord says whether a word ends before s[end]: at the end, at a mark, or
// where camel case starts the next one.
func endsWord(s string, end int) bool {
	if end == len(s) || !isLetter(s[end]) {
		return true
	}
	return isUpper(s[end]) && !isUpper(s[end-1])
}

func isJoint(c byte) bool  { return c == '-' || c == '_' || c == '.' }
func isUpper(c byte) bool  { return 'A' <= c && c <= 'Z' }
func isLetter(c byte) bool { return isUpper(c) || ('a' <= c && c <= 'z') }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isQuote(c byte) bool  { return c == '"' || c == '\'' || c == '`' }

// isName says whether c may be part of a name. Bytes beyond ASCII are: a
// pattern may have them.
func isName(c byte) bool { return isLetter(c) || isDigit(c) || isJoint(c) || c >= 0x80 }

// isBlank takes every control character for a blank: none belongs to a value.
func isBlank(c byte) bool { return c <= ' ' || c == 0x7f }

func lower(c byte) byte {
	if isUpper(c) {
		c += 'a' - 'A'
	}
	return c
}
