package kernlog

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTwice: the same reports from two loggers are the same records, whatever the kind and
// however each logger stamps them.
func TestTwice(t *testing.T) {
	clock := regexp.MustCompile(`(?m)^(<\d>)?\[ *(\d+)\.\d{6}\] `)
	for _, name := range []string{"4.19-group", "5.0-cpuset", "5.4-cut-front", "5.15-panic", "6.6-arm64-16k-panic", "6.12-end-lost", "4.18-rhel8-escapes"} {
		raw, err := os.ReadFile(filepath.Join(corpus, name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		log := string(raw)
		stamped := clock.ReplaceAllString(log, "Mar  7 04:00:01 box kernel: ")
		var pairs strings.Builder
		for line := range strings.Lines(log) {
			pairs.WriteString(line + line)
		}
		want := countNew(t, log)
		for form, text := range map[string]string{"one after the other": log + log, "line by line": pairs.String(), "with other stamps": stamped + log} {
			if got := countNew(t, text); got != want {
				t.Errorf("%s, %s: %d records, want %d", name, form, got, want)
			}
		}
	}
}

// countNew counts the records of a log that are no repetition.
func countNew(t *testing.T, log string) int {
	t.Helper()
	var seen Seen
	all, _ := readAll(t, strings.NewReader(log), testOptions())
	n := 0
	for _, rec := range all {
		if !seen.Again(rec) {
			n++
		}
	}
	return n
}
