package pipeline

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func filtersOf(name, pattern string) (f Filters) {
	*map[string]*string{
		"comm": &f.Comm, "cgroup": &f.Cgroup, "unit": &f.Unit, "namespace": &f.Namespace, "pod": &f.Pod, "container": &f.Container,
	}[name] = pattern
	return f
}

func TestFilters(t *testing.T) {
	const below = "/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope"
	known := oom.Victim{
		Comm: "tokio/worker", Cgroup: below,
		Owner: oom.Owner{
			Unit: "app@a/b.service", Container: &oom.Container{ID: "0123abcd", Name: "cart"},
			Pod: &oom.Pod{Namespace: "shop", Name: "cart-7c9f", Container: "app"},
		},
	}
	unknown, root := oom.Victim{}, oom.Victim{Cgroup: "/"}
	noName := oom.Victim{Owner: oom.Owner{Container: &oom.Container{ID: "0123abcd"}}}
	for _, tt := range []struct {
		flag, pattern string
		victim        *oom.Victim
		want          bool
	}{
		{"comm", "*", &known, true},
		{"comm", "tokio*", &known, true},
		{"comm", "*worker", &known, true},
		{"comm", "tokio/*", &known, true},
		{"comm", "tokio?worker", &known, true},
		{"comm", "tokio[/]worker", &known, true},
		{"comm", `tokio\/worker`, &known, true},
		{"comm", "*o*k*", &known, true},
		{"comm", "*o*k*x", &known, false},
		{"comm", "tokio", &known, false},
		{"comm", "tokio/work", &known, false},
		{"comm", "*", &unknown, false},
		{"comm", "?*", &unknown, false},
		{"comm", "*", nil, false},
		{"cgroup", below, &known, true},
		{"cgroup", "*", &known, false},
		{"cgroup", "/*", &known, false},
		{"cgroup", "/*/*/*", &known, true},
		{"cgroup", "/kubepods.slice/**", &known, true},
		{"cgroup", "/kubepods.slice/*/**", &known, true},
		{"cgroup", below + "/**", &known, true},
		{"cgroup", "/kubepods.slice/*", &known, false},
		{"cgroup", "/other.slice/**", &known, false},
		{"cgroup", "/kubepods/**", &known, false},
		{"cgroup", "/**", &known, true},
		{"cgroup", "/**", &root, true},
		{"cgroup", "/", &root, true},
		{"cgroup", "/kubepods.slice/**", &root, false},
		{"cgroup", "/**", &unknown, false},
		{"cgroup", "**", &unknown, false},
		{"unit", "app@*.service", &known, true},
		{"unit", "app@*", &noName, false},
		{"namespace", "shop", &known, true},
		{"namespace", "sho", &known, false},
		{"namespace", "*", &known, true},
		{"namespace", "*", &noName, true}, // its runtime did not answer
		{"namespace", "*", &unknown, false},
		{"pod", "cart-*", &known, true},
		{"pod", "*", &noName, true},
		{"pod", "*", &unknown, false},
		{"container", "app", &known, true},
		{"container", "cart", &known, false}, // the pod's name for it comes first
		{"container", "0123*", &noName, true},
		{"container", "*", &unknown, false},
	} {
		t.Run(tt.flag+" "+tt.pattern, func(t *testing.T) {
			f := filtersOf(tt.flag, tt.pattern)
			if err := f.Check(); err != nil {
				t.Fatal(err)
			}
			if got, _ := match(f.list(), &oom.Record{Victim: tt.victim}); got != tt.want {
				t.Errorf("%v for %+v", got, tt.victim)
			}
		})
	}
}

// TestFilterUnseenKill: an exit whose kill came before this process passes what
// only the kill's record could answer; one whose owner is known does not.
func TestFilterUnseenKill(t *testing.T) {
	unseen, seen := oom.Victim{Comm: "java"}, oom.Victim{Comm: "java", Cgroup: "/a", Owner: oom.Owner{Unit: "a.service"}}
	for _, tt := range []struct {
		flag, pattern string
		kind          oom.Kind
		victim        *oom.Victim
		passes        bool
	}{
		{"namespace", "shop", oom.KindExit, &unseen, true},
		{"pod", "cart-*", oom.KindExit, &unseen, true},
		{"container", "app", oom.KindExit, &unseen, true},
		{"unit", "nginx.service", oom.KindExit, &unseen, true},
		{"cgroup", "/b/**", oom.KindExit, &unseen, true},
		{"comm", "java", oom.KindExit, &unseen, true},
		{"comm", "perl", oom.KindExit, &unseen, false},
		{"namespace", "shop", oom.KindExit, &seen, false},
		{"unit", "nginx.service", oom.KindExit, &seen, false},
		{"cgroup", "/b/**", oom.KindExit, &seen, false},
		{"namespace", "shop", oom.KindKill, &unseen, false},
	} {
		calls := 0
		stage := filtersOf(tt.flag, tt.pattern).Stage(func() { calls++ })
		err := stage(t.Context(), &oom.Record{Kind: tt.kind, Victim: tt.victim})
		if tt.passes != (err == nil) || err != nil && !errors.Is(err, ErrSkip) {
			t.Errorf("%s %s, %s of %+v: %v", tt.flag, tt.pattern, tt.kind, tt.victim, err)
		}
		if want := tt.passes && tt.flag != "comm"; (calls == 1) != want {
			t.Errorf("%s %s: %d unresolved", tt.flag, tt.pattern, calls)
		}
	}
}

func TestFilterPattern(t *testing.T) {
	var bad *PatternError
	if err := filtersOf("pod", "[").Check(); !errors.As(err, &bad) || bad.Name != "pod" || bad.Pattern != "[" || !errors.Is(err, path.ErrBadPattern) {
		t.Errorf("%v", err)
	}
}

// FuzzMatchName: where there is no slash, the rules are path.Match's.
func FuzzMatchName(f *testing.F) {
	for _, p := range []string{"*", "a*b?[c-d]\\*", "[^a]*", "*a*b*", "[\\]]x", "\xff*", "?"} {
		f.Add(p, "aabxc*")
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if strings.Contains(pattern+s, "/") {
			return
		}
		want, err := path.Match(pattern, s)
		if err != nil {
			return // refused at the start
		}
		if got := matchName(pattern, s); got != want {
			t.Errorf("matchName(%q, %q) = %v", pattern, s, got)
		}
	})
}
