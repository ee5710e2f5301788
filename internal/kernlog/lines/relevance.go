package lines

import (
	"bytes"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// The words by which the lines of an OOM are known.
const (
	HeaderMark  = "invoked oom-killer:"
	SummaryMark = "oom-kill:constraint="
	KilledMark  = "Killed process "
	KillMark    = "Kill process "
	PanicMark   = "Kernel panic - not syncing: "
)

// mark is a text, or two, that are found by a byte in them that is rare in
// logs; that byte stands at the same place in both.
type mark struct {
	rare   byte
	at     int
	second [2]byte // of the texts
	texts  [2]string
}

// marks are what every line holds that begins, decides or ends a report. An "m"
// is half as frequent as an "o", capitals are rarer still.
var marks = [...]mark{
	{'m', 2, [2]byte{'o', 'o'}, [2]string{"oom", "oom"}},
	{'O', 0, [2]byte{'u', 'O'}, [2]string{"Out of ", "OOM victim "}},
	{'K', 0, [2]byte{'i', 'e'}, [2]string{"Kill", "Kernel panic"}},
}

// index returns where one of the texts is, or -1.
func (m *mark) index(b []byte) int {
	for from := 0; ; from++ {
		i := bytes.IndexByte(b[from:], m.rare)
		if i < 0 {
			return -1
		}
		from += i
		start := from - m.at
		if start < 0 || start+1 >= len(b) || b[start+1] != m.second[0] && b[start+1] != m.second[1] {
			continue
		}
		if scan.HasPrefix(b[start:], m.texts[0]) || scan.HasPrefix(b[start:], m.texts[1]) {
			return start
		}
	}
}

// MayMatter is a quick test for the lines that begin, decide or end a report: the one
// rule by which lines are passed over while no report is read.
func MayMatter(b []byte) bool {
	for i := range marks {
		if marks[i].index(b) >= 0 {
			return true
		}
	}
	return false
}
