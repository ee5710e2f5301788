package render

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestListWidths: each record has a line that fits, and its id and process are in it.
func TestListWidths(t *testing.T) {
	for _, columns := range []int{48, 60, 72, 80, 100, 120, 200} {
		for _, ascii := range []bool{false, true} {
			var out bytes.Buffer
			l := NewList(&out, ListOptions{Width: columns, ASCII: ascii, Location: time.UTC})
			for _, e := range records() {
				out.Reset()
				if err := l.Write(e.rec); err != nil {
					t.Fatal(err)
				}
				if e.rec.Kind == oom.KindExit {
					if out.Len() > 0 {
						t.Errorf("%s: an exit has a line: %q", e.name, out.String())
					}
					continue
				}
				lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
				line := lines[len(lines)-1]
				if n := width(line); n > columns && columns >= 60 {
					t.Errorf("%d columns, %s: %d: %q", columns, e.name, n, line)
				}
				id := e.rec.ID
				if !strings.Contains(line, id[:min(len(id), 8)]) {
					t.Errorf("%d columns, %s: no id in %q", columns, e.name, line)
				}
				if ascii && strings.IndexFunc(line, func(r rune) bool { return r > 0x7e }) >= 0 {
					t.Errorf("%s: not ASCII: %q", e.name, line)
				}
			}
		}
	}
}
