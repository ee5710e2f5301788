package cli

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/docs"
)

// TestFlagsAreDocumented: each flag of each verb is in the manual page and in the
// verb's help, and there is none in the page that no verb has.
func TestFlagsAreDocumented(t *testing.T) {
	man := map[string]bool{}
	items := regexp.MustCompile(`(?m)^\.It (?:Fl (\w) , )?Fl Fl ([\w-]+)(?: Ar \w+)?$`)
	for _, item := range items.FindAllStringSubmatch(docs.ManPage(), -1) {
		if man[item[2]] {
			t.Errorf("--%s is in the manual page twice", item[2])
		}
		man[item[2]] = true
		if item[1] != "" {
			man["-"+item[1]] = true
		}
	}
	var dir string
	flags := map[string]bool{}
	for verb, groups := range map[string]*flagGroups{
		"": new(traceFlags).groups(), "read": new(readFlags).groups(), "list": new(recallFlags).groups("list", ""), "show": new(recallFlags).groups("show", ""), "check": new(traceFlags).checkGroups(), "unpin": unpinGroups(&dir),
	} {
		var help bytes.Buffer
		if code := Run(t.Context(), append(strings.Fields(verb), "--help"), Env{Stdout: &help}); code != exitOK {
			t.Errorf("%s --help: exit code %d", verb, code)
		}
		groups.all.VisitAll(func(f *pflag.Flag) {
			flags[f.Name] = true
			if !strings.Contains(help.String(), "--"+f.Name) {
				t.Errorf("oomtrace %s --help has no --%s", verb, f.Name)
			}
			if !man[f.Name] {
				t.Errorf("the manual page has no --%s", f.Name)
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
	for name := range verbs() {
		if !slices.Contains(strings.FieldsFunc(docs.ManPage(), func(r rune) bool { return r == ' ' || r == '\n' }), name) {
			t.Errorf("the manual page has no verb %s", name)
		}
	}
}
