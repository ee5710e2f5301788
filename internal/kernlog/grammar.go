package kernlog

import (
	"bytes"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// grammar is what package lines has to know of the kernel's text.
type grammar struct{}

// Class says what a line can be by itself.
func (grammar) Class(b []byte) (c lines.Class) {
	if len(b) == 0 {
		return lines.Class{Own: true}
	}
	if isHeader(b) {
		return lines.Class{Header: true, Place: int(stageHeader)}
	}
	k := classify(b)
	c.Own = ownWords(b) || k != partCpuset && named(k)
	c.Alone, c.Frame = orphan(k), k == partFrame
	c.Weak = k == partStat || k == partPages || k == partCount
	c.Part = k != partNone
	switch {
	case scan.HasPrefix(b, lines.SummaryMark):
		c.Place = int(stageSummary)
	case scan.Contains(b, lines.KilledMark) && scan.Contains(b, ") total-vm:"):
		c.Place = int(stageScore)
	case k == partHeading: // rows are below it
		c.Place = int(stageMemory)
	case k != partNone:
		c.Place = int(stageOf(k))
	default:
		c.Place = -1
	}
	return c
}

// ownWords says whether a line begins with words of the kernel's before a name.
func ownWords(b []byte) bool {
	switch b[0] {
	case 'O', 'M', 'K', 'T', 'o', 'c':
		for _, start := range [...]string{
			"Out of memory", "Out of Memory", lines.PanicMark, "Memory cgroup ", lines.KilledMark, lines.KillMark, lines.SummaryMark, reaperMark, "Tasks in ", "cgroup: ",
		} {
			if scan.HasPrefix(b, start) {
				return true
			}
		}
	}
	return false
}

// Unfinished says whether a line breaks off where the kernel's does not: mail wraps lines
// at 72 to 80 columns.
func (grammar) Unfinished(b []byte) bool {
	b = scan.SkipSpaces(b)
	switch {
	case len(b) == 0:
		return false
	case bytes.HasSuffix(b, []byte("invoked oom-killer:")), string(b) == "?": // a guessed frame
		return true
	case scan.Contains(b, "hugepages_total="):
		return !scan.Contains(b, "hugepages_size=")
	case isHeader(b):
		return !scan.Contains(b, "oom_score_adj=") && !scan.Contains(b, "oomkilladj=") && !scan.Contains(b, "oom_adj=")
	case scan.HasPrefix(b, lines.SummaryMark):
		_, ok := parseSummary(b)
		return !ok
	case scan.Contains(b, lines.KilledMark):
		k, ok := parseKilled(b, false)
		return !ok || k.cut
	case killIndex(b) >= 0:
		return !scan.Contains(b, ") score ") && !scan.Contains(b, "sharing same memory")
	case scan.HasPrefix(b, "Task in "):
		return !scan.Contains(b, " killed as a result of limit of ")
	case scan.HasPrefix(b, "CPU: "), scan.HasPrefix(b, "Pid: "):
		return !scan.Contains(b, " #") && (scan.Contains(b, "PID: ") || b[0] == 'P')
	case b[0] == '[':
		if _, rest, ok := rowPID(b); ok {
			var values [maxColumns]int64
			n, name := numbers(rest, values[:])
			return n < len(columns310) || len(scan.SkipSpaces(name)) == 0
		}
		return isWrappedHeading(b)
	case scan.HasPrefix(b, "Node "), scan.Contains(b, " free:"), scan.Contains(b, " hi:"):
		return scan.Contains(b, "kB")
	}
	return false
}

func isWrappedHeading(b []byte) bool { return isHeading(b) && !bytes.HasSuffix(b, []byte(" name")) }
