// Package redact hides the values of command-line arguments that look like
// secrets.
//
// A process's arguments reach oomtrace joined by blanks, so where one ends is
// not always known. In doubt more is hidden rather than less: an unquoted value
// goes up to the next blank, a quoted one up to its closing quote. What cannot
// be told from an ordinary argument stays: the value of a flag whose name says
// nothing (mysql's -pVALUE), the words of an unquoted value after the first.
package redact

import "strings"

// Mask stands where a value was.
const Mask = "***"

// Redactor knows the names whose values are hidden. A nil Redactor hides
// nothing. It holds no state that changes: any number of goroutines may use it.
type Redactor struct{ names []name }

// name is a pattern: lower case, without '-', '_' and '.'.
type name struct {
	text string
	// word asks that no lower-case letter follows: "token" is meant, "tokens"
	// and "tokenizer" are not.
	word bool
}

// builtin are the names that are always hidden, wherever they occur in a name.
func builtin() []name {
	return []name{
		{"password", false}, {"passwd", false}, {"passphrase", false}, {"passcode", false},
		{"secret", false}, {"apikey", false}, {"accesskey", false}, {"accountkey", false},
		{"privatekey", false}, {"encryptionkey", false}, {"signingkey", false}, {"sharedkey", false},
		{"masterkey", false}, {"authkey", false}, {"licensekey", false},
		{"credential", false}, {authorization, false}, {"signature", false}, {"cookie", false},
		{"token", true}, {"jwt", true}, {"pass", true}, {"pwd", true}, {"passin", true}, {"passout", true},
	}
}

// authorization is the one name whose value may be two words: scheme and value.
const authorization = "authorization"

// New returns a Redactor for the built-in names (password, passwd, token,
// secret, api-key, Authorization and their like) and for those that contain one
// of the patterns. Case, '-', '_' and '.' make no difference; a pattern of
// nothing else is ignored.
func New(patterns ...string) *Redactor {
	r := &Redactor{names: builtin()}
	for _, p := range patterns {
		p = strings.Map(func(c rune) rune {
			if isJoint(byte(c)) && c < 0x80 {
				return -1
			}
			return c
		}, strings.ToLower(p))
		if p != "" {
			r.names = append(r.names, name{text: p})
		}
	}
	return r
}

// secret says whether a name, such as "--db-password" or "API_KEY", is one of
// those to hide.
func (r *Redactor) secret(s string) bool {
	if s == "PWD" || s == "OLDPWD" { // the shell's working directories
		return false
	}
	for i := range len(s) {
		if isJoint(s[i]) {
			continue
		}
		for _, n := range r.names {
			if end := n.match(s, i); end > 0 && (!n.word || wordEnds(s, end)) {
				return true
			}
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

// wordEnds says whether a word ends before s[end]: at the end, at a mark, or
// where camel case starts the next one.
func wordEnds(s string, end int) bool {
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
