package kernlog

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
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

// TestExcerpt: a report and a part of it, in one log, are one record, that of the whole.
func TestExcerpt(t *testing.T) {
	ends := regexp.MustCompile(`Out of memory: OOM|Killed process|Kernel panic`)
	for name, kind := range map[string]oom.Kind{
		"3.10-system": oom.KindKill, "5.0-cpuset": oom.KindKill, "6.12-swapoff": oom.KindKill, "5.15-panic": oom.KindPanic, "6.6-arm64-16k-panic": oom.KindPanic,
	} {
		raw, err := os.ReadFile(filepath.Join(corpus, name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		whole := string(raw)
		want := sameFacts(readText(t, whole, testOptions())[0])
		end := ends.FindStringIndex(whole)[0]
		head := whole[:strings.LastIndexByte(whole[:end], '\n')+1]
		begin := head[:strings.LastIndexByte(head[:len(head)/3], '\n')+1]
		for form, log := range map[string]string{"the end lost, before": head + whole, "the end lost, behind": whole + head, "the begin, before": begin + whole, "the begin, behind": whole + begin, "both before": begin + head + whole, "both, around": head + whole + begin} {
			all, st := readAll(t, strings.NewReader(log), testOptions())
			if len(all) != 1 || all[0].Kind != kind || st.Kills > 1 {
				t.Errorf("%s, %s: %d records, %+v", name, form, len(all), st)
			} else if got := sameFacts(all[0]); got != want {
				t.Errorf("%s, %s: %s", name, form, difference(got, want))
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
