// Package redact hides the values of command-line arguments that look like
// secrets.
//
// Where one argument ends is known for what the kernel keeps (Args), and not for
// text (Cmdline). In doubt more is hidden rather than less: in text, an unquoted
// value goes up to the next blank, a quoted one up to its closing quote. What
// looks like an ordinary argument stays: the value of a flag whose name
// says nothing, of a program that is not known here; in text, the words of an
// unquoted value after the first. Strict hides all values.
package redact

import "strings"

// Mask stands where a value was.
const Mask = "***"

// Redactor knows the names whose values are hidden. A nil Redactor hides
// nothing. It holds no state that changes: any number of goroutines may use it.
type Redactor struct {
	names         [256][]name // by what they begin with
	own, harmless []name
	attributes    map[string]bool
	habits        map[string][]habit
	prefixes      map[byte][]prefix
	hooks         []hook
	strict        bool
}

// New returns a Redactor for the built-in names (password, passwd, token,
// secret, api-key, Authorization and their like) and for those that contain one
// of the patterns. Case, '-', '_' and '.' make no difference; a pattern of
// nothing else is ignored.
func New(patterns ...string) *Redactor {
	r := &Redactor{attributes: attributes(), habits: habits(), prefixes: prefixes(), hooks: hooks()}
	for _, n := range builtin() {
		r.names[n.text[0]] = append(r.names[n.text[0]], n)
	}
	for _, text := range harmless() {
		r.harmless = append(r.harmless, name{text: text})
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

// NewStrict returns a Redactor that keeps the program's name and the names of
// flags, and no value of any kind.
func NewStrict() *Redactor { return &Redactor{strict: true} }

// bareFlags is what strict keeps of arguments: the first, and flags without
// values. Of "-pVALUE" it keeps "-p".
func bareFlags(arguments []string) string {
	var b strings.Builder
	for i, arg := range arguments {
		switch {
		case i == 0:
			b.WriteString(programName(arg))
		case len(arg) > 2 && strings.HasPrefix(arg, "--") && isLetter(arg[2]):
			b.WriteByte(' ')
			b.WriteString(flagName(arg))
		case len(arg) > 1 && arg[0] == '-' && isLetter(arg[1]):
			b.WriteByte(' ')
			b.WriteString(arg[:2])
		}
	}
	return b.String()
}

// programName is a program's path, less what it may have written behind it
// (setproctitle). A shell's assignment is none.
func programName(arg string) string {
	arg = arg[:wordEnd(arg, 0)]
	if strings.ContainsAny(arg, "=@\"'`") || strings.Contains(arg, "://") {
		return Mask
	}
	return strings.TrimSuffix(arg, ":")
}

// flagName is "--flag" of "--flag=value". What is too long is no flag.
func flagName(arg string) string {
	const longest = 40
	end := len("--")
	for end < len(arg) && (isLetter(arg[end]) || isDigit(arg[end]) || isJoint(arg[end])) {
		end++
	}
	if end > longest {
		return "--" + Mask
	}
	return arg[:end]
}
