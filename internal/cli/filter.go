package cli

import (
	"path"
	"strings"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// filterFlags choose records by shell patterns; all that are given must match.
// A pattern for a cgroup or a path component wise: "*" does not cross a "/",
// and a trailing "/**" stands for everything below.
type filterFlags struct {
	comm, cgroup, unit, namespace, pod, container string
}

// filter is one pattern and what it is held against.
type filter struct {
	flag, pattern string
	of            func(*oom.Record) string
}

func (f *filterFlags) define(set *pflag.FlagSet) {
	set.StringVar(&f.comm, "comm", "", "victims whose name matches this shell `pattern`")
	set.StringVar(&f.cgroup, "cgroup", "", "victims whose cgroup path matches; a last /** means all below")
	set.StringVar(&f.unit, "unit", "", "victims of matching systemd units")
	set.StringVar(&f.namespace, "namespace", "", "victims in matching Kubernetes namespaces")
	set.StringVar(&f.pod, "pod", "", "victims in matching pods")
	set.StringVar(&f.container, "container", "", "victims in matching containers, by name or id")
}

func (f *filterFlags) filters() []filter {
	pod := func(get func(*oom.Pod) string) func(*oom.Record) string {
		return func(r *oom.Record) string {
			if r.Victim == nil || r.Victim.Pod == nil {
				return ""
			}
			return get(r.Victim.Pod)
		}
	}
	victim := func(get func(*oom.Victim) string) func(*oom.Record) string {
		return func(r *oom.Record) string {
			if r.Victim == nil {
				return ""
			}
			return get(r.Victim)
		}
	}
	all := []filter{
		{"comm", f.comm, victim(func(v *oom.Victim) string { return v.Comm })},
		{"cgroup", f.cgroup, victim(func(v *oom.Victim) string { return v.Cgroup })},
		{"unit", f.unit, victim(func(v *oom.Victim) string { return v.Unit })},
		{"namespace", f.namespace, pod(func(p *oom.Pod) string { return p.Namespace })},
		{"pod", f.pod, pod(func(p *oom.Pod) string { return p.Name })},
		{"container", f.container, victim(containerName)},
	}
	var set []filter
	for _, one := range all {
		if one.pattern != "" {
			set = append(set, one)
		}
	}
	return set
}

func containerName(v *oom.Victim) string {
	switch {
	case v.Pod != nil && v.Pod.Container != "":
		return v.Pod.Container
	case v.Container != nil && v.Container.Name != "":
		return v.Container.Name
	case v.Container != nil:
		return v.Container.ID
	}
	return ""
}

func (f *filterFlags) check() error {
	for _, one := range f.filters() {
		if _, err := path.Match(one.pattern, ""); err != nil {
			return usage("a pattern knows * ? [a-z] and \\; quote it from the shell", "--%s %q: %w", one.flag, one.pattern, err)
		}
	}
	return nil
}

// match says whether a record passes all filters.
func match(filters []filter, rec *oom.Record) bool {
	for _, f := range filters {
		if !matchPattern(f.pattern, f.of(rec)) {
			return false
		}
	}
	return true
}

func matchPattern(pattern, s string) bool {
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
