package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadTwice: a kill that is there twice is written once, and reported.
func TestReadTwice(t *testing.T) {
	const syslog = "Mar  7 04:00:05 worker kernel: "
	text := strings.SplitN(oneKill, "] ", 2)[1]
	other := strings.ReplaceAll(text, "77", "78")
	for name, c := range map[string]struct {
		files  []string
		kills  int
		summed string
	}{
		"uptimes":             {[]string{oneKill, oneKill}, 1, "1 duplicate records"},
		"a host's wall clock": {[]string{syslog + text + syslog + other, syslog + other}, 2, "1 duplicate records"},
		"no clock":            {[]string{text, text}, 1, "1 duplicate records"},
		"another kill":        {[]string{oneKill, strings.ReplaceAll(oneKill, "77", "78")}, 2, ""},
		"in one file":         {[]string{oneKill + other + oneKill}, 2, "1 duplicate"},
		"no host":             {[]string{"[Fri Mar  7 04:00:05 2025] " + text, "[Fri Mar  7 04:00:05 2025] " + text}, 1, "1 duplicate records"},
		"another time":        {[]string{"[Fri Mar  7 04:00:05 2025] " + text, "[Fri Mar  7 04:00:25 2025] " + text}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"read", "-o", "json", "--year", "2025"}
			for i, log := range c.files {
				file := filepath.Join(t.TempDir(), string(rune('a'+i)))
				if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, file)
			}
			var out, stderr bytes.Buffer
			if code := Run(t.Context(), args, Env{Stdout: &out, Stderr: &stderr}); code != 0 {
				t.Fatalf("exit %d: %s", code, stderr.String())
			}
			if n := strings.Count(out.String(), "\n"); n != c.kills || !strings.Contains(stderr.String(), c.summed) || c.summed == "" && strings.Contains(stderr.String(), "duplicate") {
				t.Errorf("%d kills, %s", n, stderr.String())
			}
		})
	}
}
