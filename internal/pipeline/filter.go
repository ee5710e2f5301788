package pipeline

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Filters choose records by shell patterns; all that are given must match, and
// an empty one is none. What a victim does not have matches no pattern, but one
// whose container or pod has a name that could not be resolved passes: a kill is
// rather shown than lost. So does an exit whose kill was not seen, for all that
// only the kill's record says.
//
// A cgroup is matched by components: "*" does not cross a "/", and a last "/**"
// stands for all below, and the cgroup itself. In all other names "/" is a
// character like any other.
//
// Since and Until bound the time; a record without one passes.
type Filters struct {
	Comm, Cgroup, Unit, Namespace, Pod, Container string
	Since, Until                                  time.Time
}

// PatternError reports a pattern that path.Match does not understand.
type PatternError struct {
	Name, Pattern string
	Err           error
}

func (e *PatternError) Error() string {
	return fmt.Sprintf("pattern %q of %s: %v", e.Pattern, e.Name, e.Err)
}
func (e *PatternError) Unwrap() error { return e.Err }

// filter is one pattern and what it is held against.
type filter struct {
	name, pattern string
	of            func(*oom.Record) property
	match         func(pattern, s string) bool
}

// property is what a filter looks at: any of the values may match, and empty
// ones never do.
type property struct {
	values  [2]string
	unknown bool // there is one, but it could not be resolved
}

// Check returns a *PatternError for a pattern that is none.
func (f Filters) Check() error {
	for _, one := range f.list() {
		if _, err := path.Match(one.pattern, ""); err != nil {
			return &PatternError{one.name, one.pattern, err}
		}
	}
	return nil
}

// Stage is the stage that skips what does not match. It calls unresolved for
// each record that passes only because a name of its victim is not known.
func (f Filters) Stage(unresolved func()) Stage {
	all := f.list()
	return func(_ context.Context, rec *oom.Record) error {
		passes, unknown := match(all, rec)
		if !passes || !f.within(rec.Time) {
			return ErrSkip
		}
		if unknown {
			unresolved()
		}
		return nil
	}
}

func (f Filters) within(t time.Time) bool {
	return t.IsZero() || !t.Before(f.Since) && (f.Until.IsZero() || !t.After(f.Until))
}

func (f Filters) list() []filter {
	var set []filter
	for _, one := range []filter{
		{"comm", f.Comm, commOf, matchName},
		{"cgroup", f.Cgroup, cgroupOf, matchPath},
		{"unit", f.Unit, unitOf, matchName},
		{"namespace", f.Namespace, namespaceOf, matchName},
		{"pod", f.Pod, podOf, matchName},
		{"container", f.Container, containerOf, matchName},
	} {
		if one.pattern != "" {
			set = append(set, one)
		}
	}
	return set
}

func commOf(rec *oom.Record) property { return property{values: [2]string{rec.Victim.Comm}} }

func cgroupOf(rec *oom.Record) property {
	return property{values: [2]string{rec.Victim.Cgroup}, unknown: killUnseen(rec)}
}

func unitOf(rec *oom.Record) property {
	return property{values: [2]string{rec.Victim.Unit}, unknown: killUnseen(rec)}
}

func namespaceOf(rec *oom.Record) property {
	p := podOf(rec)
	p.values = [2]string{}
	if pod := rec.Victim.Pod; pod != nil {
		p.values[0] = pod.Namespace
	}
	return p
}

// podOf gives a pod's names. Which pod a container belongs to may be known to
// its runtime alone.
func podOf(rec *oom.Record) property {
	pod := rec.Victim.Pod
	if pod == nil {
		return property{unknown: containerOf(rec).unknown}
	}
	return property{values: [2]string{pod.Name, pod.UID}, unknown: pod.Name == ""}
}

func containerOf(rec *oom.Record) property {
	v := rec.Victim
	if v.Container == nil {
		return property{unknown: killUnseen(rec)}
	}
	name := v.Container.Name
	if v.Pod != nil && v.Pod.Container != "" {
		name = v.Pod.Container
	}
	return property{values: [2]string{name, v.Container.ID}, unknown: name == ""}
}

// killUnseen is of an exit whose kill came before this process: the owner is in
// the kill's record, since a task that exits has left its cgroup.
func killUnseen(rec *oom.Record) bool { return rec.Kind == oom.KindExit && rec.Victim.Cgroup == "" }

// match says whether a record passes all filters, and whether it does so only
// because a name of its victim is not known.
func match(filters []filter, rec *oom.Record) (passes, unknown bool) {
	if rec.Kind == oom.KindLost {
		return true, false // whose records they were is not known
	}
	for _, f := range filters {
		if rec.Victim == nil {
			return false, false
		}
		p := f.of(rec)
		switch {
		case p.matches(f.match, f.pattern):
		case p.unknown:
			unknown = true
		default:
			return false, false
		}
	}
	return true, unknown
}

func (p *property) matches(match func(pattern, s string) bool, pattern string) bool {
	for _, s := range p.values {
		if s != "" && match(pattern, s) {
			return true
		}
	}
	return false
}

// matchPath is path.Match, and a last "/**" is all below.
func matchPath(pattern, s string) bool {
	if below, ok := strings.CutSuffix(pattern, "/**"); ok {
		depth := strings.Count(below, "/")
		parts := strings.SplitAfterN(s, "/", depth+2)
		if len(parts) == depth+2 {
			s = strings.TrimSuffix(strings.Join(parts[:depth+1], ""), "/")
		}
		pattern = below
	}
	ok, err := path.Match(pattern, s)
	return err == nil && ok
}

// matchName is path.Match where "/" is a character like any other: threads name
// themselves "tokio/worker", kernel threads "kworker/0:1". No name has a NUL.
func matchName(pattern, s string) bool {
	plain := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	ok, err := path.Match(plain(pattern), plain(s))
	return err == nil && ok
}
