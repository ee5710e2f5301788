package help

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// Man completes a manual page in mdoc(7). The source begins with what the page says
// beyond the help: "@verb NAME" and "@flag NAME", each with text below. The page follows
// "@page"; in it "@synopsis", "@verbs" and "@flags" stand for what the program knows.
func (p *Program) Man(source string) (string, error) {
	details, page, err := p.details(source)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for line := range strings.Lines(page) {
		switch line {
		case "@synopsis\n":
			p.synopsis(&b)
		case "@verbs\n":
			for _, v := range p.Verbs {
				if v.Name != "" {
					fmt.Fprintf(&b, ".It Cm %s\n%s%s", v.Name, sentence(v.About), details["@verb "+v.Name])
				}
			}
		case "@flags\n":
			p.manFlags(&b, details)
		default:
			b.WriteString(line)
		}
	}
	return b.String(), nil
}

// details are the texts before "@page", by the line above each, and the rest.
func (p *Program) details(source string) (details map[string]string, page string, err error) {
	known := map[string]bool{}
	for _, v := range p.Verbs {
		known["@verb "+v.Name] = true
		v.each(func(f *pflag.Flag) { known["@flag "+f.Name] = true })
	}
	before, page, _ := strings.Cut(source, "@page\n")
	details, of := map[string]string{}, ""
	for line := range strings.Lines(before) {
		if line[0] != '@' {
			details[of] += line
			continue
		}
		if of = strings.TrimSpace(line); !known[of] {
			return nil, "", fmt.Errorf("manual page: no such thing as %q", of)
		}
	}
	return details, page, nil
}

func (p *Program) synopsis(b *strings.Builder) {
	for _, v := range p.Verbs {
		b.WriteString(".Nm\n")
		if v.Name != "" {
			fmt.Fprintf(b, ".Cm %s\n", v.Name)
		}
		for arg := range strings.FieldsSeq(v.Args) {
			name := strings.ToLower(strings.Trim(arg, "[]."))
			if strings.Contains(arg, "...") {
				name += " ..."
			}
			macro := ".Ar"
			if arg[0] == '[' {
				macro = ".Op Ar"
			}
			fmt.Fprintf(b, "%s %s\n", macro, name)
		}
	}
}

// manFlag is a flag with what it is for, by the verbs that say so.
type manFlag struct {
	flag  *pflag.Flag
	texts []string
	verbs map[string][]string
}

// manFlags lists the flags of all verbs under the headings of the help.
func (p *Program) manFlags(b *strings.Builder, details map[string]string) {
	var titles []string
	groups, flags := map[string][]*manFlag{}, map[string]*manFlag{}
	for _, v := range p.Verbs {
		if v.Flags == nil {
			continue
		}
		for _, g := range v.Flags.groups {
			g.flags.VisitAll(func(f *pflag.Flag) {
				m := flags[f.Name]
				if m == nil {
					m = &manFlag{flag: f, verbs: map[string][]string{}}
					flags[f.Name] = m
					if !slices.Contains(titles, g.title) {
						titles = append(titles, g.title)
					}
					groups[g.title] = append(groups[g.title], m)
				}
				if m.verbs[f.Usage] == nil {
					m.texts = append(m.texts, f.Usage)
				}
				m.verbs[f.Usage] = append(m.verbs[f.Usage], v.Name)
			})
		}
	}
	for _, title := range titles {
		fmt.Fprintf(b, ".Pp\n%s:\n.Bl -tag -width Ds\n", title)
		for _, m := range groups[title] {
			m.write(b)
			b.WriteString(details["@flag "+m.flag.Name])
		}
		b.WriteString(".El\n")
	}
}

func (m *manFlag) write(b *strings.Builder) {
	b.WriteString(".It ")
	if m.flag.Shorthand != "" {
		fmt.Fprintf(b, "Fl %s , ", m.flag.Shorthand)
	}
	value, _ := pflag.UnquoteUsage(m.flag)
	if value != "" {
		value = " Ar " + value
	}
	fmt.Fprintf(b, "Fl Fl %s%s\n", m.flag.Name, value)
	for _, usage := range m.texts {
		if verbs := m.verbs[usage]; verbs[0] != "" { // not of the trace, which has no name
			fmt.Fprintf(b, "With\n.Cm %s :\n", strings.Join(verbs, " , "))
		}
		text := strings.ReplaceAll(usage, "`", "")
		if d := defaultOf(m.flag); d != "" && !strings.Contains(usage, "default") {
			text += " (default " + d + ")"
		}
		b.WriteString(sentence(text))
	}
}

// sentence is a text of the help as lines of the page.
func sentence(text string) string {
	const width = 76
	first, n := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[n:] + "."
	var b strings.Builder
	for _, line := range wrap(strings.ReplaceAll(text, `\`, `\e`), width) {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			b.WriteString(`\&`) // no macro
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
