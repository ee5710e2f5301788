package help

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Verb is a verb; the one without a name is the program itself.
type Verb struct {
	Name, Args, About string
	Flags             *Groups
	// Files says that arguments are names of files, and Words what they may be too.
	Files bool
	Words []string
}

// Program is what help and completion are for.
type Program struct {
	Name  string
	Verbs []Verb
	// Values are the words that a flag's value may be, by the flag's name; any other value
	// is completed as the name of a file.
	Values map[string][]string
}

// Shells are those that there is a completion for.
func Shells() []string { return []string{"bash", "zsh", "fish"} }

// Completion is a shell's script; false for a shell that is not known.
func (p *Program) Completion(shell string) (string, bool) {
	switch shell {
	case "bash":
		return p.bash(), true
	case "zsh":
		return p.zsh(), true
	case "fish":
		return p.fish(), true
	}
	return "", false
}

// Usage lists the verbs.
func (p *Program) Usage() string {
	var b strings.Builder
	for _, v := range p.Verbs {
		fmt.Fprintf(&b, "  %-40s %s\n", strings.Join(strings.Fields(p.Name+" "+v.Name+" "+v.Args), " "), v.About)
	}
	return b.String()
}

// Meant is a hint for a word where none is expected.
func (p *Program) Meant(word string) string {
	names := p.names()
	if slices.Contains(names, word) {
		return fmt.Sprintf("the verb comes first: %s %s ...", p.Name, word)
	}
	if near := Nearest(word, names); near != "" {
		return fmt.Sprintf("did you mean %q? See \"%s help\"", near, p.Name)
	}
	return fmt.Sprintf("the verbs are %s; see \"%s help\"", strings.Join(names, ", "), p.Name)
}

// MeantFlag is a hint for flags that are wrong.
func (p *Program) MeantFlag(e *Error) string {
	var has []string
	for _, v := range p.Verbs {
		if v.Flags != nil && v.Flags.All.Lookup(e.unknown) != nil {
			has = append(has, strings.TrimSpace(p.Name+" "+v.Name))
		}
	}
	switch {
	case len(has) > 0:
		return fmt.Sprintf("--%s is for %s; see \"%s help\"", e.unknown, strings.Join(has, ", "), p.Name)
	case e.Meant != "":
		return fmt.Sprintf("did you mean %s? See \"%s help\"", e.Meant, p.Name)
	}
	return fmt.Sprintf("see \"%s help\"", p.Name)
}

func (v *Verb) each(do func(f *pflag.Flag)) {
	if v.Flags != nil {
		v.Flags.All.VisitAll(do)
	}
}

func (p *Program) names() []string {
	var out []string
	for _, v := range p.Verbs {
		if v.Name != "" {
			out = append(out, v.Name)
		}
	}
	return out
}

// takesValue says whether a flag is followed by one.
func takesValue(f *pflag.Flag) bool { return f.NoOptDefVal == "" }

func (p *Program) bash() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# bash completion for %[1]s
_%[1]s() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= flags= words= files= equals=
	# "=" is a word of its own.
	[[ $cur == = ]] && cur= equals=1
	[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]} equals=1
	if ((COMP_CWORD > 1)); then
		case ${COMP_WORDS[1]} in
		%[2]s) verb=${COMP_WORDS[1]} ;;
		esac
	fi
	case $prev in
`, p.Name, strings.Join(p.names(), "|"))
	var other []string
	seen := map[string]bool{}
	for _, v := range p.Verbs {
		v.each(func(f *pflag.Flag) {
			values := p.Values[f.Name]
			if !takesValue(f) && values == nil || seen[f.Name] {
				return
			}
			seen[f.Name] = true
			pattern := "--" + f.Name
			if f.Shorthand != "" {
				pattern += "|-" + f.Shorthand
			}
			if values != nil {
				when := ""
				if !takesValue(f) {
					when = "[[ ! $equals ]] || "
				}
				fmt.Fprintf(&b, "\t%s) %s{ COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return; } ;;\n",
					pattern, when, strings.Join(values, " "))
				return
			}
			other = append(other, pattern)
		})
	}
	if len(other) > 0 {
		fmt.Fprintf(&b, "\t%s) compopt -o default; return ;;\n", strings.Join(other, "|"))
	}
	b.WriteString("\tesac\n\tcase $verb in\n")
	for _, v := range p.Verbs {
		var flags []string
		v.each(func(f *pflag.Flag) {
			flags = append(flags, "--"+f.Name)
		})
		name, words := v.Name, v.Words
		if name == "" {
			name, words = `''`, append(p.names(), words...)
		}
		fmt.Fprintf(&b, "\t%s) flags='%s' words='%s' files=%s ;;\n", name, strings.Join(flags, " "), strings.Join(words, " "), yes(v.Files))
	}
	fmt.Fprintf(&b, `	esac
	# A verb is the first word, or there is none.
	((COMP_CWORD > 1)) && [[ ! $verb ]] && words=
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags --help" -- "$cur"))
		return
	fi
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
	[[ $files ]] && compopt -o default
}
complete -F _%[1]s %[1]s
`, p.Name)
	return b.String()
}

func yes(v bool) string {
	if v {
		return "1"
	}
	return ""
}

func (p *Program) zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n_%[1]s() {\n", p.Name)
	b.WriteString("\tlocal verb=\n\t((CURRENT > 2)) && verb=$words[2]\n\tcase $verb in\n")
	for _, v := range p.Verbs {
		name := v.Name
		if name == "" {
			continue
		}
		fmt.Fprintf(&b, "\t%s)\n\t\tshift words; ((CURRENT--))\n\t\t_arguments \\\n%s\t\t;;\n", name, p.zshArguments(&v))
	}
	for _, v := range p.Verbs {
		if v.Name == "" {
			fmt.Fprintf(&b, "\t*)\n\t\tlocal -a verbs=(\n")
			for _, o := range p.Verbs {
				if o.Name != "" {
					fmt.Fprintf(&b, "\t\t\t%s\n", quoted(o.Name+":"+o.About))
				}
			}
			fmt.Fprintf(&b, "\t\t)\n\t\t_arguments \\\n%s\t\t;;\n", p.zshArguments(&v))
		}
	}
	fmt.Fprintf(&b, "\tesac\n}\n[[ $funcstack[1] == _%[1]s ]] && _%[1]s \"$@\" || compdef _%[1]s %[1]s\n", p.Name)
	return b.String()
}

func (p *Program) zshArguments(v *Verb) string {
	var b strings.Builder
	v.each(func(f *pflag.Flag) {
		value, text := pflag.UnquoteUsage(f)
		text = strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(text)
		arg, sign := "", ""
		values := p.Values[f.Name]
		switch words := ":" + value + ":(" + strings.Join(values, " ") + ")"; {
		case takesValue(f) && values != nil:
			sign, arg = "=", words
		case takesValue(f):
			sign, arg = "=", ":"+value+":_files"
		case values != nil:
			sign, arg = "=-", ":"+words
		}
		if f.Shorthand == "" {
			fmt.Fprintf(&b, "\t\t\t%s \\\n", quoted("--"+f.Name+sign+"["+text+"]"+arg))
			return
		}
		fmt.Fprintf(&b, "\t\t\t'(-%[1]s --%[2]s)'{-%[1]s,--%[2]s%[3]s}%[4]s \\\n", f.Shorthand, f.Name, sign, quoted("["+text+"]"+arg))
	})
	rest := "'*::'"
	switch {
	case v.Name == "":
		rest = `'1:verb:{((CURRENT == 2)) && _describe verb verbs}'`
	case v.Files && len(v.Words) > 0:
		rest = `'*:which:{_alternative "words\:which\:(` + strings.Join(v.Words, " ") + `)" "files\:file\:_files"}'`
	case v.Files:
		rest = `'*:file:_files'`
	case len(v.Words) > 0:
		rest = "'*:which:(" + strings.Join(v.Words, " ") + ")'"
	}
	return b.String() + "\t\t\t" + rest + "\n"
}

// quoted is a word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// fishQuoted is one of fish, where a backslash counts within quotes.
func fishQuoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

func (p *Program) fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion for %s\n", p.Name)
	fmt.Fprintf(&b, `# The verb is the first word, or there is none.
function __%[1]s_verb
	set -l words (commandline -opc) ''
	contains -- $words[2] %[2]s; or set words[2] ''
	test "$words[2]" = "$argv[1]"
end
`, p.Name, strings.Join(p.names(), " "))
	const first = "test (count (commandline -opc)) -eq 1"
	for _, v := range p.Verbs {
		when := fmt.Sprintf("__%s_verb '%s'", p.Name, v.Name)
		if v.Name != "" {
			fmt.Fprintf(&b, "complete -c %s -n %s -f -a %s -d %s\n", p.Name, fishQuoted(first), v.Name, fishQuoted(v.About))
		}
		files := "-f"
		if v.Files {
			files = "-F"
		}
		fmt.Fprintf(&b, "complete -c %s -n %s %s", p.Name, fishQuoted(when), files)
		if len(v.Words) > 0 {
			fmt.Fprintf(&b, " -a %s", fishQuoted(strings.Join(v.Words, " ")))
		}
		b.WriteByte('\n')
		v.each(func(f *pflag.Flag) {
			_, text := pflag.UnquoteUsage(f)
			fmt.Fprintf(&b, "complete -c %s -n %s -l %s", p.Name, fishQuoted(when), f.Name)
			if f.Shorthand != "" {
				fmt.Fprintf(&b, " -s %s", f.Shorthand)
			}
			switch values := p.Values[f.Name]; {
			case values != nil && !takesValue(f):
				fmt.Fprintf(&b, " -f -a %s", fishQuoted(strings.Join(values, " "))) // behind "=" alone
			case values != nil:
				fmt.Fprintf(&b, " -x -a %s", fishQuoted(strings.Join(values, " ")))
			case takesValue(f):
				b.WriteString(" -r")
			}
			fmt.Fprintf(&b, " -d %s\n", fishQuoted(text))
		})
	}
	return b.String()
}
