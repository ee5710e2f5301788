package kernlog

import (
	"bytes"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
)

// checkReports holds that a report is in use in one place only: one that is taken for another
// OOM while its own goes on would mix the numbers of both.
func checkReports(t *testing.T, p *Parser) {
	t.Helper()
	seen := map[*report]bool{}
	for _, r := range p.open {
		if seen[r] {
			t.Fatal("a report is open twice")
		}
		seen[r] = true
	}
	for _, inc := range p.recent {
		seen[inc.rep] = true
	}
	for i, r := range p.spare {
		if seen[r] || slices.Contains(p.spare[:i], r) {
			t.Fatal("a report in use is spare")
		}
	}
}

// TestReportsInUse mixes the lines of logs, with many kills right behind each other.
func TestReportsInUse(t *testing.T) {
	var all [][]byte
	for _, name := range logs(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var in recorder
		for raw := range bytes.SplitSeq(text[:min(len(text), 60_000)], []byte("\n")) {
			l := lines.Line{Text: raw}
			if h, ok := parseKmsg(raw); ok {
				l.Text = h.Message(new([]byte))
			}
			in.Line(&l)
		}
		for i := range in.all {
			all = append(all, in.all[i].Text)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		p := NewParser(testOptions())
		for range 40 {
			from := random.IntN(len(all))
			for _, text := range all[from:min(from+1+random.IntN(60), len(all))] {
				if random.IntN(8) == 0 {
					continue
				}
				l := lines.Line{Text: text, Caller: random.IntN(3)}
				p.Line(&l)
				for p.Take() != nil {
				}
				checkReports(t, p)
			}
		}
	}
}

// TestGroupOfLater: an oom.group's line is not a kill's of long before.
func TestGroupOfLater(t *testing.T) {
	const kill = "Memory cgroup out of memory: Killed process %s total-vm:4kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB\n"
	for stamp, old := range map[string]bool{"9000.000000": false, "100.000100": true} {
		log := "[  100.000000] " + strings.Replace(kill, "%s", "7 (a)", 1) + "[ " + stamp + "] Tasks in /g are going to be killed due to memory.oom.group set\n" +
			"[ " + stamp[:len(stamp)-1] + "9] " + strings.Replace(kill, "%s", "8 (b)", 1)
		all, _ := readAll(t, strings.NewReader(log), testOptions())
		if len(all) != 2 || (len(all[0].Victim.CgroupLimits) > 0) != old || len(all[1].Victim.CgroupLimits) == 0 {
			t.Errorf("%s: %+v", stamp, all)
		}
	}
}
