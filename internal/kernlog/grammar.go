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
	c.Alone, c.Frame, c.Recurs = orphan(k), k == partFrame, k == partFrame || k == partReserve
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
	if len(b) == 0 {
		return false
	}
	if startsReport(b) {
		return !scan.Contains(b, "oom_score_adj=") && !scan.Contains(b, "oomkilladj=") && !scan.Contains(b, "oom_adj=")
	}
	_, zone := afterNode(b)
	if _, list, ok := isBlocks(zone); ok {
		return bytes.IndexByte(list, '=') < 0
	}
	switch b[0] {
	case '?':
		return len(b) == 1 // a guessed frame
	case '[':
		if _, rest, ok := rowPID(b); ok {
			var values [maxColumns]int64
			n, name := numbers(rest, values[:])
			return n < fewestColumns || len(scan.SkipSpaces(name)) == 0
		}
		return isHeading(b) && !bytes.HasSuffix(b, []byte(" name"))
	case 'C', 'P':
		return (scan.HasPrefix(b, "CPU: ") && scan.Contains(b, "PID: ") || scan.HasPrefix(b, "Pid: ")) && !scan.Contains(b, " #")
	case 'T':
		return scan.HasPrefix(b, "Task in ") && !wholeTaskIn(b)
	case 'N', 'D', 'H':
		switch {
		case scan.Contains(b, "hugepages_total="):
			return !scan.Contains(b, "hugepages_size=")
		case scan.HasPrefix(b, "Node "), scan.Contains(b, " free:"):
			return scan.Contains(b, "kB")
		}
	case 'O', 'M', 'K', 'o':
		return unfinishedKill(b) || unfinishedPanic(b) || unfinishedStats(b)
	}
	return false
}

// Closed says whether a text is a whole line that neither ends in a name nor can be made by one:
// many lines begin with a process's name, of at most 15 bytes, and have a file's or a cgroup's
// further on ("a[7]: segfault at 0 … in FILE[…", "a: page allocation failure: …,cpuset=CGROUP,…").
func (grammar) Closed(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	if isHeader(b) {
		_, number, ok := bytes.Cut(b, []byte("oom_score_adj="))
		_, rest, number2 := scan.Int32(number)
		return ok && number2 && len(rest) == 0
	}
	switch k := classify(b); {
	case scan.Contains(b, lines.KilledMark):
		kill, ok := parseKilled(b, true)
		return ok && !kill.cut
	case killIndex(b) >= 0:
		_, ok := parseScore(b, true)
		return ok && bytes.HasSuffix(b, []byte(" or sacrifice child"))
	case k == partFrame:
		return endsFrame(b)
	case k == partHeading:
		return bytes.HasSuffix(b, []byte(" name"))
	case k == partNone, k == partForeign, k == partBadRow, k == partSlab, k == partAllocation, named(k):
		return false
	}
	return !scan.Contains(b, "cpuset=") && !bytes.ContainsAny(bytes.TrimPrefix(b, []byte("lowmem_reserve[]:")), "/[]<>'\"`")
}

// endsFrame says whether a frame is whole: "f+0x1/0x2", with a module's name behind it or not.
func endsFrame(b []byte) bool {
	i := bytes.LastIndex(b, []byte("+0x"))
	if i < 0 {
		return false
	}
	_, rest, ok := scan.Hex(b[i+1:])
	rest, ok2 := bytes.CutPrefix(rest, []byte("/"))
	_, rest, ok3 := scan.Hex(rest)
	module := len(rest) > 3 && rest[0] == ' ' && rest[1] == '[' && rest[len(rest)-1] == ']' && bytes.Count(rest, []byte(" ")) == 1
	return ok && ok2 && ok3 && (len(rest) == 0 || module)
}

// unfinishedKill says it of the lines that name a victim.
func unfinishedKill(b []byte) bool {
	switch {
	case scan.HasPrefix(b, lines.SummaryMark):
		_, ok := parseSummary(b)
		return !ok
	case scan.Contains(b, lines.KilledMark):
		k, ok := parseKilled(b, false)
		return !ok || k.cut || b[len(b)-1] == ',' || scan.Contains(b, ", UID:") && !k.v.OOMScoreAdj.Known
	case scan.Contains(b, vzMark):
		k, ok := parseVZ(b)
		return !ok || !k.v.TotalVMBytes.Known || b[len(b)-1] == ','
	case lines.WithinKill(b):
		return true
	case killIndex(b) >= 0:
		return !scan.Contains(b, ") score ") && !scan.Contains(b, "sharing same memory")
	}
	return false
}

// unfinishedPanic says it of the lines of an OOM that ends without a kill.
func unfinishedPanic(b []byte) bool {
	b, said := bytes.CutPrefix(b, []byte(lines.PanicMark))
	if !said && len(b) <= len("Out of memory") {
		return false
	}
	for _, whole := range [...]string{
		"System is deadlocked on memory", noKillable, "Out of memory: compulsory panic_on_oom is ", "Out of memory: system-wide panic_on_oom is ",
	} {
		if len(b) < len(whole) && whole[:len(b)] == string(b) {
			return true
		}
	}
	return false
}

// unfinishedStats says it of a cgroup's counters that are all in one line.
func unfinishedStats(b []byte) bool {
	i := bytes.LastIndex(b, []byte(": cache:"))
	if i < 0 || !scan.HasPrefix(b, statsMark) {
		return false
	}
	for _, f := range bytes.Fields(b[i+2:]) {
		if name, number, ok := bytes.Cut(f, []byte(":")); !ok || len(name) == 0 || !bytes.HasSuffix(number, []byte("KB")) {
			return true
		}
	}
	return false
}
