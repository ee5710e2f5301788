package help

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func flags() *Groups {
	g := New("tool")
	g.Add("What", func(f *pflag.FlagSet) {
		f.StringP("output", "o", "", "`format`: it's [this]: text or json, and so many more words that they fill a second line")
		f.Bool("a-flag-with-a-very-long-name", false, "short")
		f.Int("top", 10, "how many")
		f.String("file", "", "a `file`")
		f.String("hide", "", "a `mode`")
		f.Lookup("hide").NoOptDefVal = "true"
	})
	return g
}

func program() *Program {
	return &Program{
		Name: "tool", Values: map[string][]string{"output": {"text", "json"}, "hide": {"true", "false"}},
		Verbs: []Verb{
			{About: "run", Flags: flags()},
			{Name: "read", Args: "[FILE]", About: "read it", Flags: flags(), Files: true, Words: []string{"last"}},
			{Name: "version", About: "print it's version"},
		},
	}
}

func TestHelp(t *testing.T) {
	want := `
What:
  -o, --output format       format: it's [this]: text or json, and so many more
                            words that they fill a second line
      --a-flag-with-a-very-long-name
                            short
      --top int             how many (default 10)
      --file file           a file
      --hide mode           a mode
`
	if got := flags().Help(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ arg, meant string }{
		{"--otput", "--output"}, {"--out", "--output"}, {"--flie", "--file"}, {"--nothing-like-it", ""}, {"-x", ""}, {"--top=many", ""},
	} {
		var wrong *Error
		if err := flags().Parse([]string{tt.arg}); !errors.As(err, &wrong) || wrong.Meant != tt.meant {
			t.Errorf("%s: %v, meant %+v", tt.arg, err, wrong)
		}
	}
	if err := flags().Parse([]string{"--help"}); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"read", "list", "show", "check", "completion"}
	for _, tt := range []struct{ word, want string }{
		{"raed", "read"}, {"lst", "list"}, {"shwo", "show"}, {"comp", "completion"}, {"chekc", "check"}, {"x", ""}, {"", ""}, {"trace", ""},
	} {
		if got := Nearest(tt.word, words); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.word, got, tt.want)
		}
	}
}

// TestBash completes words as bash does.
func TestBash(t *testing.T) {
	script, _ := program().Completion("bash")
	for _, tt := range []struct{ words, want string }{
		{"tool re", "read"}, {"tool --to", "--top"}, {"tool read -o j", "json"}, {"tool read --output = t", "text"}, {"tool read l", "last"},
		{"tool version --", "--help"}, {"tool read --a", "--a-flag-with-a-very-long-name"}, {"tool --file x", ""},
		// A verb is the first word, a value that may be left out one with "=".
		{"tool --file version --t", "--top"}, {"tool --top 1 re", ""}, {"tool --hide = f", "false"},
		{"tool read --hide =", "true false"}, {"tool read --hide l", "last"},
	} {
		cmd := exec.Command("bash", "-c", script+"\nCOMP_WORDS=("+tt.words+"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tool; echo \"${COMPREPLY[@]}\"")
		out, err := cmd.Output() // compopt complains where bash does not complete
		if got := strings.TrimSpace(string(out)); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.words, got, err, tt.want)
		}
	}
}

// TestOtherShells has zsh and fish read their scripts; fish completes, too.
func TestOtherShells(t *testing.T) {
	for _, shell := range Shells() {
		script, ok := program().Completion(shell)
		if !ok {
			t.Fatal(shell)
		}
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(shell, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	script, _ := program().Completion("fish")
	for _, tt := range []struct{ words, want string }{
		{"tool re", "read\tread it"}, {"tool read -o j", "json"}, {"tool read --to", "--top\thow many"},
		{"tool --file version --to", "--top\thow many"}, {"tool --top 1 re", ""}, {"tool --hide=f", "--hide=false"},
		{"tool read --hide l", "last"},
	} {
		cmd := exec.Command("fish", "--no-config", "-c", script+"\ncomplete -C "+fishQuoted(tt.words))
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.Output()
		if got := strings.TrimSpace(string(out)); err != nil || !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("fish, %s: got %q, %v; want %q", tt.words, got, err, tt.want)
		}
	}
	if _, ok := program().Completion("tcsh"); ok {
		t.Error("there is a completion for tcsh")
	}
}

// TestMeantFlag: a flag that another verb has is no mistyped one.
func TestMeantFlag(t *testing.T) {
	p := program()
	p.Verbs = append(p.Verbs, Verb{Name: "clean", Flags: New("clean")})
	p.Verbs[1].Flags.Add("Which", func(f *pflag.FlagSet) { f.Bool("to", false, "one") })
	for flag, want := range map[string]string{
		"--to": `--to is for tool read; see "tool help"`, "--top": `--top is for tool, tool read; see "tool help"`,
		"--fiel": `see "tool help"`, "-x": `see "tool help"`,
	} {
		var wrong *Error
		if err := p.Verbs[3].Flags.Parse([]string{flag}); !errors.As(err, &wrong) || p.MeantFlag(wrong) != want {
			t.Errorf("%s: %v, %q", flag, err, p.MeantFlag(wrong))
		}
	}
	var wrong *Error
	if err := p.Verbs[0].Flags.Parse([]string{"--fiel"}); !errors.As(err, &wrong) || p.MeantFlag(wrong) != `did you mean --file? See "tool help"` {
		t.Errorf("%v, %q", err, p.MeantFlag(wrong))
	}
}

func TestUsage(t *testing.T) {
	want := `  tool                                     run
  tool read [FILE]                         read it
  tool version                             print it's version
`
	if got := program().Usage(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMeant(t *testing.T) {
	for word, want := range map[string]string{
		"raed": `did you mean "read"? See "tool help"`,
		"read": `the verb comes first: tool read ...`,
		"xyz":  `the verbs are read, version; see "tool help"`,
	} {
		if got := program().Meant(word); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}
