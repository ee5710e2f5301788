package cli

import (
	"path"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// filterFlags choose records by shell patterns; all that are given must match.
// What a victim does not have matches no pattern; but one whose container or pod
// has a name that nobody could tell passes: a kill is rather shown than lost. A
// cgroup is matched by components: "*" does not cross a "/", and a last "/**"
// stands for all below, and the cgroup itself. In all other names "/" is a
// character like any other.
type filterFlags struct {
	comm, cgroup, unit, namespace, pod, container string
}

// filter is one pattern and what it is held against.
type filter struct {
	flag, pattern string
	of            func(*oom.Victim) property
	match         func(pattern, s string) bool
}

// property is what a filter looks at: any of the values may match, and empty
// ones never do.
type property struct {
	values  [2]string
	unknown bool // there is one, and nobody could tell it
}

func (f *filterFlags) define(set *pflag.FlagSet) {
	set.StringVar(&f.comm, "comm", "", "victims whose name matches this shell `pattern`")
	set.StringVar(&f.cgroup, "cgroup", "", "victims whose cgroup path matches; a last /** means it and all below")
	set.StringVar(&f.unit, "unit", "", "victims of matching systemd units")
	set.StringVar(&f.namespace, "namespace", "", "victims in matching Kubernetes namespaces")
	set.StringVar(&f.pod, "pod", "", "victims in matching pods, by name or uid")
	set.StringVar(&f.container, "container", "", "victims in matching containers, by name or id")
}

func (f *filterFlags) filters() []filter {
	one := func(get func(*oom.Victim) string) func(*oom.Victim) property {
		return func(v *oom.Victim) property { return property{values: [2]string{get(v)}} }
	}
	all := []filter{
		{"comm", f.comm, one(func(v *oom.Victim) string { return v.Comm }), matchName},
		{"cgroup", f.cgroup, one(func(v *oom.Victim) string { return v.Cgroup }), matchPath},
		{"unit", f.unit, one(func(v *oom.Victim) string { return v.Unit }), matchName},
		{"namespace", f.namespace, namespaceOf, matchName},
		{"pod", f.pod, podOf, matchName},
		{"container", f.container, containerOf, matchName},
	}
	var set []filter
	for _, one := range all {
		if one.pattern != "" {
			set = append(set, one)
		}
	}
	return set
}

func namespaceOf(v *oom.Victim) property {
	p := podOf(v)
	p.values = [2]string{}
	if v.Pod != nil {
		p.values[0] = v.Pod.Namespace
	}
	return p
}

// podOf gives a pod's names. Which pod a container belongs to may be known to
// its runtime alone.
func podOf(v *oom.Victim) property {
	if v.Pod == nil {
		return property{unknown: containerOf(v).unknown}
	}
	return property{values: [2]string{v.Pod.Name, v.Pod.UID}, unknown: v.Pod.Name == ""}
}

func containerOf(v *oom.Victim) property {
	if v.Container == nil {
		return property{}
	}
	name := v.Container.Name
	if v.Pod != nil && v.Pod.Container != "" {
		name = v.Pod.Container
	}
	return property{values: [2]string{name, v.Container.ID}, unknown: name == ""}
}

func (f *filterFlags) check() error {
	for _, one := range f.filters() {
		if _, err := path.Match(one.pattern, ""); err != nil {
			return usage("a pattern knows * ? [a-z] and \\; quote it from the shell", "--%s %q: %w", one.flag, one.pattern, err)
		}
	}
	return nil
}

// match says whether a record passes all filters, and whether it does so only
// because a name of its victim is not known.
func match(filters []filter, rec *oom.Record) (passes, unknown bool) {
	if rec.Kind == oom.KindLost {
		return true, false // of nobody knows whom
	}
	for _, f := range filters {
		if rec.Victim == nil {
			return false, false
		}
		p := f.of(rec.Victim)
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
// themselves "tokio/worker", kernel threads "kworker/0:1".
func matchName(pattern, s string) bool {
	var rest, from string // behind the last star, and where that was tried
	starred := false
	for {
		if strings.HasPrefix(pattern, "*") {
			pattern = pattern[1:]
			rest, from, starred = pattern, s, true
			continue
		}
		if pattern == "" && s == "" {
			return true
		}
		if e, n := element(pattern), firstRune(s); e > 0 && n > 0 && matchOne(pattern[:e], s[:n]) {
			pattern, s = pattern[e:], s[n:]
			continue
		}
		if !starred || from == "" {
			return false
		}
		from = from[firstRune(from):]
		pattern, s = rest, from
	}
}

func matchOne(element, s string) bool {
	ok, err := path.Match(element, s)
	return element == "?" || err == nil && ok
}

func firstRune(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// element is the length of what a pattern begins with: a class, a character with
// a backslash, or a character.
func element(pattern string) int {
	switch {
	case strings.HasPrefix(pattern, `\`):
		return 1 + firstRune(pattern[1:])
	case !strings.HasPrefix(pattern, "["):
		return firstRune(pattern)
	}
	for i := 1; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case ']':
			return i + 1
		}
	}
	return len(pattern)
}
