package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestReadTwice: a kill that two files hold is written once, and told of; what
// one file holds twice stays.
func TestReadTwice(t *testing.T) {
	const syslog = "Mar  7 04:00:05 worker kernel: "
	text := strings.SplitN(oneKill, "] ", 2)[1]
	other := strings.ReplaceAll(text, "77", "78")
	for name, c := range map[string]struct {
		files  []string
		kills  int
		summed string
	}{
		"uptimes":             {[]string{oneKill, oneKill}, 1, "1 records read twice"},
		"a host's wall clock": {[]string{syslog + text + syslog + other, syslog + other}, 2, "1 records read twice"},
		"no clock":            {[]string{text, text}, 2, ""},
		"another kill":        {[]string{oneKill, strings.ReplaceAll(oneKill, "77", "78")}, 2, ""},
		"in one file":         {[]string{oneKill + oneKill}, 2, ""},
		"no host":             {[]string{"[Fri Mar  7 04:00:05 2025] " + text, "[Fri Mar  7 04:00:05 2025] " + text}, 2, ""},
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
			if n := strings.Count(out.String(), "\n"); n != c.kills || !strings.Contains(stderr.String(), c.summed) || c.summed == "" && strings.Contains(stderr.String(), "twice") {
				t.Errorf("%d kills, %s", n, stderr.String())
			}
		})
	}
}

// TestSeenBound: the ids kept are the last ones.
func TestSeenBound(t *testing.T) {
	var s seenIDs
	rec := oom.Record{UptimeNS: oom.Some(uint64(1))}
	for i := range 3 * maxSeen {
		rec.ID = string(rune(i))
		s.again(&rec)
	}
	s.file = 1
	if len(s.files) > maxSeen || len(s.order) > maxSeen || !s.again(&rec) {
		t.Errorf("%d ids", len(s.files))
	}
}
