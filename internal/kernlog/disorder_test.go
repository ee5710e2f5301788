package kernlog

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// disorders are what happens to a log's lines on their way: times is how often each may be
// there as a line of its own, on another machine.
func disorders(rng *rand.Rand) map[string]struct {
	f     func(lines []string) []string
	times int
} {
	type disorder = struct {
		f     func(lines []string) []string
		times int
	}
	keep := func(share float64) func([]string) []string {
		return func(lines []string) []string {
			return slices.DeleteFunc(slices.Clone(lines), func(string) bool { return rng.Float64() > share })
		}
	}
	jumble := func(lines []string) []string {
		out := slices.Clone(lines)
		for i := 0; i+1 < len(out); i++ {
			if rng.IntN(4) == 0 {
				out[i], out[i+1] = out[i+1], out[i]
			}
		}
		return out
	}
	behind := func(n int) func([]string) []string {
		return func(lines []string) (out []string) {
			for i := range len(lines) + n {
				if i < len(lines) {
					out = append(out, lines[i])
				}
				if j := i - n; j >= 0 {
					out = append(out, lines[j])
				}
			}
			return out
		}
	}
	return map[string]disorder{
		"two in three lines":       {keep(0.67), 1},
		"a third of the lines":     {keep(0.33), 1},
		"jumbled":                  {jumble, 1},
		"jumbled, newest first":    {func(lines []string) []string { return jumble(turned(lines)) }, 1},
		"newest first, parts":      {func(lines []string) []string { return keep(0.5)(turned(lines)) }, 1},
		"twice, five lines behind": {behind(5), 1},
		"twice, parts":             {func(lines []string) []string { return keep(0.8)(twice(lines)) }, 1},
		"cut lines": {func(lines []string) []string {
			out := slices.Clone(lines)
			for i := range out {
				if rng.IntN(3) == 0 && !strings.Contains(out[i], "ill") { // a pid that is cut is another
					out[i] = out[i][:rng.IntN(len(out[i])+1)]
				}
			}
			return out
		}, 1},
		"two hosts": {func(lines []string) (out []string) {
			for i, j := 0, 0; i < len(lines) || j < len(lines); {
				if j == len(lines) || i < len(lines) && rng.IntN(2) == 0 {
					out = append(out, lines[i])
					i++
				} else {
					out = append(out, strings.Replace(lines[j], " worker ", " other ", 1))
					j++
				}
			}
			return out
		}, 2},
	}
}

// TestDisorder: whatever order the lines come in and whatever is missing, no kill is there
// that is not in the log, and none twice.
func TestDisorder(t *testing.T) {
	const seeds = 4
	for _, w := range textWrappings() {
		if w.name != "journalctl short" && w.name != "syslog with uptime" && w.name != "rsyslog file" {
			continue
		}
		for _, name := range logs(t) {
			src := corpusLines(t, name)
			if src == nil {
				continue
			}
			text := strings.Split(strings.TrimSuffix(w.wrap(src), "\n"), "\n")
			most := choices(src)
			for _, how := range slices.Sorted(maps.Keys(disorders(nil))) {
				for seed := range uint64(seeds) {
					d := disorders(rand.New(rand.NewPCG(seed, 11)))[how]
					got := kills(readText(t, strings.Join(d.f(text), "\n")+"\n", testOptions()))
					for pid, n := range got {
						if n > most[pid]*d.times {
							t.Errorf("%s, %s, %s: %d kills of %d, at most %d", w.name, filepath.Base(name), how, n, pid, most[pid]*d.times)
						}
					}
				}
			}
		}
	}
}

// choices are the processes that a log says are chosen or killed, each once.
func choices(src []sourceLine) map[int32]int {
	var all []lines.Line
	for _, l := range src {
		all = append(all, lines.Line{Text: []byte(l.text)})
	}
	_, pids := namedIn(all)
	for pid := range pids {
		pids[pid] = 1
	}
	return pids
}

func kills(recs []*oom.Record) map[int32]int {
	n := map[int32]int{}
	for _, rec := range recs {
		if rec.Kind == oom.KindKill {
			n[rec.Victim.TID.Value]++
		}
	}
	return n
}
