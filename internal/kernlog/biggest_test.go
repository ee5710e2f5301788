package kernlog

import (
	"fmt"
	"testing"
)

// TestBiggestIsListed: oom_score_adj keeps the biggest task from the ones with
// the most points, and a reader still has to see it.
func TestBiggestIsListed(t *testing.T) {
	for _, adj := range []int{0, -997, -1000} {
		table := taskTable{domain: 1 << 24}
		table.parseHeading([]byte("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name"))
		for pid := range 20 {
			rss, own := 1000+pid, 0
			if pid == 7 {
				rss, own = 10<<20, adj
			}
			row := fmt.Sprintf("[%7d]     0 %5d    20000 %8d    40960        3         %5d task", pid+1, pid+1, rss, own)
			if !table.parseRow([]byte(row)) {
				t.Fatalf("not a row: %q", row)
			}
		}
		c := table.candidates(4096)
		want, at := maxCandidates, 0
		if adj != 0 {
			want, at = maxCandidates+1, maxCandidates
		}
		if len(c) != want || c[at].PID.Value != 8 || c[at].RSSBytes.Value != 10<<20*4096 {
			t.Errorf("adj %d: %d candidates: %+v", adj, len(c), c)
		}
		if sum := uint64(10<<20 + 19*1000 + 19*20/2 - 7 + 20*3 + 20*10); table.pages != sum {
			t.Errorf("all hold %d pages, want %d", table.pages, sum)
		}
	}
}
