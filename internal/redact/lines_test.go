package redact

import (
	"os"
	"strings"
	"testing"
)

// line is a command line of testdata, with its secrets.
type line struct {
	args    []string
	secrets []string
	onlyArg bool // its end is known from arguments only
}

func (l *line) text() string { return strings.Join(l.args, " ") }
func (l *line) nul() string  { return strings.Join(l.args, "\x00") }

// readLines reads command lines as a shell would.
func readLines(t *testing.T, path string) (lines []line) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	var word strings.Builder
	var quote rune
	begun, comment := false, false
	endWord := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, c := range string(data) {
		switch {
		case comment:
			comment = c != '\n'
		case quote == 0 && (c == '\'' || c == '"'):
			quote, begun = c, true
		case c == quote:
			quote = 0
		case quote == 0 && c == '#' && !begun && words == nil:
			comment = true
		case quote == 0 && (c == ' ' || c == '\n'):
			endWord()
			if c == '\n' && words != nil {
				lines = append(lines, marked(words))
				words = nil
			}
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if quote != 0 {
		t.Fatal("a quote is open")
	}
	return lines
}

// marked takes the marks out of a command line.
func marked(words []string) (l line) {
	if words[0] == "args:" {
		l.onlyArg, words = true, words[1:]
	}
	for _, word := range words {
		for rest := word; ; {
			_, after, ok := strings.Cut(rest, "«")
			if !ok {
				break
			}
			secret, after, _ := strings.Cut(after, "»")
			l.secrets, rest = append(l.secrets, secret), after
		}
		l.args = append(l.args, strings.NewReplacer("«", "", "»", "").Replace(word))
	}
	return l
}

func TestSecretLines(t *testing.T) {
	r, strict := New(), NewStrict()
	lines := readLines(t, "testdata/secret.txt")
	if len(lines) < 200 {
		t.Errorf("only %d lines", len(lines))
	}
	for _, l := range lines {
		outs := map[string]string{"args": r.Args(l.nul(), l.text()), "strict": strict.Args(l.nul(), l.text()), "strict text": strict.Cmdline(l.text())}
		if !l.onlyArg {
			outs["text"] = r.Cmdline(l.text())
		}
		for form, out := range outs {
			for _, secret := range l.secrets {
				if strings.Contains(out, secret) {
					t.Errorf("%s: %q\ngives %q", form, l.text(), out)
				}
			}
			if strings.HasPrefix(form, "strict") {
				continue
			}
			if !strings.HasPrefix(out, l.args[0]) && !strings.Contains(l.args[0], l.secrets[0]) {
				t.Errorf("%s: %q\nlost its program: %q", form, l.text(), out)
			}
		}
		once := r.Cmdline(l.text())
		if twice := r.Cmdline(once); twice != once {
			t.Errorf("%q\nonce  %q\ntwice %q", l.text(), once, twice)
		}
	}
}

func TestHarmlessLines(t *testing.T) {
	r := New()
	lines := readLines(t, "testdata/harmless.txt")
	if len(lines) < 80 {
		t.Errorf("only %d lines", len(lines))
	}
	for _, l := range lines {
		if got := r.Cmdline(l.text()); got != l.text() {
			t.Errorf("text: %q\ngives %q", l.text(), got)
		}
		if got := r.Args(l.nul(), l.text()); got != l.text() {
			t.Errorf("args: %q\ngives %q", l.text(), got)
		}
	}
}
