package kernlog

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

const (
	// bufferKill is a kill's line whose report is cut.
	bufferKill = "[    5.000002] Out of memory: Killed process 4711 (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB"
	// unfinishedLine is one of a report, of which the next line may be the rest.
	unfinishedLine = "[    5.000001] Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0"
)

// filler are lines that cannot matter.
func filler(size int) string {
	const line = "[    1.000000] usb 1-1: new high-speed device\n"
	return strings.Repeat(line, size/len(line))
}

// TestLookBackAtTheEnd: wherever in the buffer a kill's line is the last that was read, the
// lines before it that are looked at once more do not change it, though more is read for
// them; nor does the part of a line before a hole.
func TestLookBackAtTheEnd(t *testing.T) {
	for name, before := range map[string]string{"a line before": unfinishedLine + "\n", "a line with a hole": unfinishedLine + "\x00\x00"} {
		for size := 100_000; size < 1_000_000; size += 50_000 {
			in := io.MultiReader(strings.NewReader(filler(size)+before+bufferKill+"\n"), strings.NewReader(filler(300_000)))
			all, stats := readAll(t, in, testOptions())
			if len(all) != 1 || all[0].Victim.TID.Value != 4711 || all[0].Victim.Comm != "java" || !all[0].Victim.AnonRSSBytes.Known {
				t.Errorf("%s, %d bytes before: %d records, %+v", name, size, len(all), stats)
			}
		}
	}
}

// TestLinesAcrossTheBuffer: lines that end within and across what is read at once are each
// read once.
func TestLinesAcrossTheBuffer(t *testing.T) {
	var log strings.Builder
	const kills = 60
	for i := range kills {
		log.WriteString(filler(30_000 + 777*i))
		fmt.Fprintf(&log, "[  %d.000002] Out of memory: Killed process %d (java) total-vm:8kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB\n", 100+i, 1000+i)
	}
	lines := uint64(strings.Count(log.String(), "\n"))
	for name, end := range map[string]string{"line feeds": "\n", "returns": "\r", "both": "\r\n"} {
		all, stats := readAll(t, strings.NewReader(strings.ReplaceAll(log.String(), "\n", end)), testOptions())
		if len(all) != kills || stats.Lines != lines {
			t.Errorf("%s: %d kills in %d lines, want %d in %d", name, len(all), stats.Lines, kills, lines)
		}
	}
}

// TestCutReportWithReturns: the lines before a kill are looked at again in a log whose lines
// end by returns, too.
func TestCutReportWithReturns(t *testing.T) {
	log := filler(20_000) +
		"[    5.000000] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n" +
		"[    5.000001] [   4711]     0  4711     1000      500    40960        0             0 java\n" + bufferKill + "\n" + filler(20_000)
	for _, end := range []string{"\n", "\r", "\r\n"} {
		all, _ := readAll(t, strings.NewReader(strings.ReplaceAll(log, "\n", end)), testOptions())
		if len(all) != 1 || len(all[0].Candidates) != 1 {
			t.Errorf("lines that end by %q: %+v", end, all)
		}
	}
}
