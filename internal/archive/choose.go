// Package archive finds the kills that a machine remembers, and picks one of them, after
// the manner of coredumpctl.
package archive

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// ErrNone is the error of a choice that nothing matches.
var ErrNone = errors.New("no such kill")

// SeveralError is that of one which several match.
type SeveralError struct {
	Which   string
	Matches []*oom.Record // oldest first
}

func (e *SeveralError) Error() string {
	return fmt.Sprintf("%d kills match %q", len(e.Matches), e.Which)
}

// Last is the choice of the newest.
const Last = "last"

// minID is the shortest beginning of an id that is taken for one.
const minID = 3

// Which tells what a person calls a kill from the logs to look in; Last where it is left out.
func Which(args []string) (which string, files []string) {
	if len(args) > 0 && !isFile(args[0]) {
		return args[0], args[1:]
	}
	return Last, args
}

// isFile takes an argument for a log rather than for a kill.
func isFile(name string) bool {
	if name == "-" || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./") {
		return true
	}
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// Newest are the last n kills, with what belongs to them and what else came since the first
// of them, such as a panic; 0 is all.
func Newest(records []*oom.Record, n int) []*oom.Record {
	first, kills := len(records), 0
	for first > 0 && kills < n {
		if first--; isKill(records[first]) {
			kills++
		}
	}
	if n == 0 || kills < n {
		return records
	}
	type process struct {
		incident string
		pid      oom.Opt[int32]
	}
	incidents, victims := map[string]bool{}, map[process]bool{}
	return filter(records[first:], func(r *oom.Record) bool {
		p := process{incident: r.Incident}
		if r.Victim != nil {
			p.pid = r.Victim.PID
		}
		switch {
		case isKill(r):
			incidents[r.Incident], victims[p] = true, true
		case r.Kind == oom.KindExit:
			return victims[p]
		case r.Kind == oom.KindSigkill:
			return incidents[r.Incident]
		}
		return true
	})
}

// isKill says whether a record counts as a kill. A SIGKILL that follows from an OOM kill
// belongs to that.
func isKill(r *oom.Record) bool {
	return r.Kind == oom.KindKill || r.Kind == oom.KindSigkill && r.Incident == ""
}

// Choose picks an event by what a person calls it: "last", a process id, an id or its
// beginning, a pod's name with or without its namespace, a process's name. What follows up on it, the exit,
// comes with it.
func Choose(all []*oom.Record, which string) ([]*oom.Record, error) {
	found := choose(filter(all, IsEvent), which)
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w: %q", ErrNone, which)
	case 1:
		return withExit(all, found[0]), nil
	}
	return nil, &SeveralError{which, found}
}

// IsEvent says whether a record can be meant by itself: what was lost and how a victim ended
// cannot.
func IsEvent(r *oom.Record) bool { return r.Kind != oom.KindExit && r.Kind != oom.KindLost }

// choose goes from what says most to what says least; the first that matches anything
// decides.
func choose(events []*oom.Record, which string) []*oom.Record {
	if which == Last {
		return events[max(0, len(events)-1):]
	}
	id := func(r *oom.Record) bool { return r.ID == which }
	for _, is := range []func(*oom.Record) bool{id, byPID(which), byIDPrefix(which), byPod(which), byComm(which)} {
		if is == nil {
			continue
		}
		if found := filter(events, is); len(found) > 0 {
			return found
		}
	}
	return nil
}

func filter(events []*oom.Record, is func(*oom.Record) bool) []*oom.Record {
	var out []*oom.Record
	for _, r := range events {
		if is(r) {
			out = append(out, r)
		}
	}
	return out
}

func byPID(which string) func(*oom.Record) bool {
	n, err := strconv.ParseInt(which, 10, 32)
	if err != nil {
		return nil
	}
	pid := oom.Some(int32(n))
	return func(r *oom.Record) bool { return r.Victim != nil && (r.Victim.PID == pid || r.Victim.TID == pid) }
}

func byIDPrefix(which string) func(*oom.Record) bool {
	if len(which) < minID {
		return nil
	}
	return func(r *oom.Record) bool { return strings.HasPrefix(r.ID, which) }
}

func byPod(which string) func(*oom.Record) bool {
	if which == "" {
		return nil
	}
	return func(r *oom.Record) bool {
		if r.Victim == nil || r.Victim.Pod == nil || r.Victim.Pod.Name == "" {
			return false
		}
		p := r.Victim.Pod
		return which == p.Name || which == p.Namespace+"/"+p.Name || which == p.UID
	}
}

func byComm(which string) func(*oom.Record) bool {
	if which == "" {
		return nil
	}
	return func(r *oom.Record) bool { return r.Victim != nil && r.Victim.Comm == which }
}

// withExit is an event and the exit of its victim.
func withExit(all []*oom.Record, event *oom.Record) []*oom.Record {
	out := []*oom.Record{event}
	if event.Victim == nil || event.Incident == "" {
		return out
	}
	for _, r := range all {
		if r.Kind == oom.KindExit && r.Incident == event.Incident && r.Victim != nil && r.Victim.PID == event.Victim.PID {
			return append(out, r)
		}
	}
	return out
}

// Sort puts the newest last, where the records share a clock; else they stay as they came.
func Sort(all []*oom.Record) {
	wall, boot := true, true
	for _, r := range all {
		wall = wall && !r.Time.IsZero()
		boot = boot && r.UptimeNS.Known && r.BootID == all[0].BootID && r.Node == all[0].Node
	}
	switch {
	case wall:
		slices.SortStableFunc(all, func(a, b *oom.Record) int { return a.Time.Compare(b.Time) })
	case boot:
		slices.SortStableFunc(all, func(a, b *oom.Record) int { return cmp.Compare(a.UptimeNS.Value, b.UptimeNS.Value) })
	}
}
