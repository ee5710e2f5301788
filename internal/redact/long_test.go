package redact

import (
	"strings"
	"testing"
)

// TestLongText: of what is longer than any command line that is kept, the beginning is
// shown, and no secret of it, whole or in part.
func TestLongText(t *testing.T) {
	r := New()
	words := strings.Repeat("word ", longest/5)
	for _, tt := range []struct{ name, text, want string }{
		{"as long as may be", words[:longest-1], words[:longest-1]},
		{"a little longer", words + "ab", words[:kept/5*5] + Mask},
		{"a secret at the cut", words[:kept-20] + " --password=correct-horse-battery " + words, ""},
		{"a key at the cut", words[:kept-12] + "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl " + words, ""},
		{"one word", strings.Repeat("=", longest+1), Mask},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := r.Cmdline(tt.text)
			if tt.want != "" && got != tt.want {
				t.Errorf("%q", got)
			}
			for _, secret := range []string{"horse", "eyJh"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s in %q", secret, got)
				}
			}
			if again := r.Cmdline(got); again != got {
				t.Errorf("%q becomes %q", got, again)
			}
		})
	}
	args := strings.Repeat("a\x00", longest)
	if got := r.Args(args, strings.ReplaceAll(args, "\x00", " ")); got != strings.Repeat("a ", kept/2)+Mask {
		t.Errorf("arguments: %q", got)
	}
}
