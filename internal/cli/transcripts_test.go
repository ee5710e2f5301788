package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

// TestTranscripts runs what the documents show, and compares.
func TestTranscripts(t *testing.T) {
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	t.Chdir("../..")
	for file, want := range map[string]int{"README.md": 2, "docs/vagrant.md": 1} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shown := strings.Split(string(text), "\n$ oomtrace read ")[1:]
		if len(shown) != want {
			t.Errorf("%s: %d transcripts, want %d", file, len(shown), want)
		}
		for _, s := range shown {
			args, rest, _ := strings.Cut(s, "\n")
			rest, _, _ = strings.Cut(rest, "```\n")
			t.Run(args, func(t *testing.T) {
				var out, messages bytes.Buffer
				env := Env{Stdout: &out, Stderr: &messages, StdoutTerminal: true, NoColor: true, Columns: 120}
				if code := Run(t.Context(), append([]string{"read"}, strings.Fields(args)...), env); code != exitOK {
					t.Fatalf("exit code %d: %s", code, messages.String())
				}
				if out.String() != rest {
					t.Errorf("%s shows\n%s\nit is\n%s", file, rest, out.String())
				}
			})
		}
	}
}
