package kernlog

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestKeepText: a record has its own report's lines, each once and in their order, within
// the bound, and none where they are not asked for.
func TestKeepText(t *testing.T) {
	log, err := os.ReadFile("../../testdata/kernlog/4.19-group.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, most := range []int{0, 1 << 10, 1 << 20} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			recs, _ := readAll(t, strings.NewReader(string(log)), Options{KeepText: most})
			if len(recs) == 0 {
				t.Fatal("no records")
			}
			if left := strings.Contains(recs[0].LogText, textLeft); left != (most == 1<<10) {
				t.Errorf("left out: %v of %q", left, recs[0].LogText)
			}
			for _, rec := range recs {
				if most == 0 {
					if rec.LogText != "" {
						t.Errorf("%q", rec.LogText)
					}
					continue
				}
				checkText(t, rec.LogText, string(log), most)
				if kill := fmt.Sprintf(" %d (%s)", rec.Victim.TID.Value, rec.Victim.Comm); most > 1<<10 && !strings.Contains(rec.LogText, kill) {
					t.Errorf("no %q in %q", kill, rec.LogText)
				}
			}
		})
	}
}

func checkText(t *testing.T, text, log string, most int) {
	t.Helper()
	if text == "" || len(text) > most+len(textLeft) {
		t.Errorf("%d bytes: %q", len(text), text)
	}
	for line := range strings.Lines(text) {
		if line == textLeft {
			continue
		}
		_, after, found := strings.Cut(log, strings.TrimSuffix(line, "\n"))
		if !found {
			t.Errorf("not in the log, or not in this order: %q", line)
			return
		}
		log = after
	}
}
