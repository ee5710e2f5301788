package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/docs"
)

// TestFlagsAreDocumented: each flag of each verb is in the manual page and in the
// verb's help, and there is none in the page that no verb has.
func TestFlagsAreDocumented(t *testing.T) {
	man, values := map[string]bool{}, map[string]string{}
	items := regexp.MustCompile(`(?m)^\.It (?:Fl (\w) , )?Fl Fl ([\w-]+)(?: Ar (\w+))?$`)
	for _, item := range items.FindAllStringSubmatch(docs.ManPage(), -1) {
		if man[item[2]] {
			t.Errorf("--%s is in the manual page twice", item[2])
		}
		man[item[2]], values[item[2]] = true, item[3]
		if item[1] != "" {
			man["-"+item[1]] = true
		}
	}
	flags := map[string]bool{}
	for _, v := range verbs() {
		if v.Flags == nil {
			continue
		}
		verb, groups := v.Name, v.Flags
		var help bytes.Buffer
		if code := Run(t.Context(), append(strings.Fields(verb), "--help"), Env{Stdout: &help}); code != exitOK {
			t.Errorf("%s --help: exit code %d", verb, code)
		}
		for _, line := range strings.Split(help.String(), "\n") {
			if utf8.RuneCountInString(line) > 80 {
				t.Errorf("oomtrace %s --help: %q is wider than 80 columns", verb, line)
			}
		}
		groups.All.VisitAll(func(f *pflag.Flag) {
			flags[f.Name] = true
			if !strings.Contains(help.String(), "--"+f.Name) {
				t.Errorf("oomtrace %s --help has no --%s", verb, f.Name)
			}
			if !man[f.Name] {
				t.Errorf("the manual page has no --%s", f.Name)
			}
			if value, _ := pflag.UnquoteUsage(f); f.NoOptDefVal == "" && !strings.EqualFold(value, values[f.Name]) {
				t.Errorf("oomtrace %s --help has --%s %s, the manual page %s", verb, f.Name, value, values[f.Name])
			}
			if f.Shorthand != "" && !man["-"+f.Shorthand] {
				t.Errorf("the manual page has no -%s", f.Shorthand)
			}
		})
	}
	for name := range man {
		if !strings.HasPrefix(name, "-") && !flags[name] {
			t.Errorf("no verb has --%s of the manual page", name)
		}
	}
	for _, v := range verbs() {
		name := v.Name
		if name == "" {
			continue
		}
		if !slices.Contains(strings.FieldsFunc(docs.ManPage(), func(r rune) bool { return r == ' ' || r == '\n' }), name) {
			t.Errorf("the manual page has no verb %s", name)
		}
	}
}
