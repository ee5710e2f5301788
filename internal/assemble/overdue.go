package assemble

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/victims"
)

// overdue warns of a victim that has not exited: its memory is still in use. One
// that is not alive has exited, and its record is late, or was lost.
func (s *stages) overdue(v victims.Overdue) {
	if errors.Is(unix.Kill(int(v.PID), 0), unix.ESRCH) {
		return
	}
	held := ""
	if rss, ok := v.RSSBytes.Get(); ok {
		held = fmt.Sprintf(" (up to %d MiB resident)", rss>>20)
	}
	s.o.Notify(fmt.Sprintf("warning: victim %d (%q) is still alive %v after SIGKILL%s; see /proc/%[1]d/stack", v.PID, v.Comm, v.After, held))
}
