package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// TestManPage: the page is what the help and its own part make of it.
func TestManPage(t *testing.T) {
	const dir = "../../docs/"
	source, err := os.ReadFile(dir + "oomtrace.8.in")
	if err != nil {
		t.Fatal(err)
	}
	want, err := ManPage(string(source))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(dir + "oomtrace.8")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/oomtrace.8 is not up to date: make man")
	}
	if _, err := ManPage("@flag outptu\n@page\n"); err == nil {
		t.Error("a flag that no verb has is accepted")
	}
}

// TestHelpFits: each verb's help lists its flags, and fits 80 columns.
func TestHelpFits(t *testing.T) {
	for _, v := range verbs() {
		if v.Flags == nil {
			continue
		}
		var help bytes.Buffer
		if code := Run(t.Context(), append(strings.Fields(v.Name), "--help"), Env{Stdout: &help}); code != exitOK {
			t.Errorf("%s --help: exit code %d", v.Name, code)
		}
		for line := range strings.Lines(help.String()) {
			if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("oomtrace %s --help: %q is wider than 80 columns", v.Name, line)
			}
		}
		v.Flags.All.VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(help.String(), "--"+f.Name) {
				t.Errorf("oomtrace %s --help has no --%s", v.Name, f.Name)
			}
		})
	}
}
