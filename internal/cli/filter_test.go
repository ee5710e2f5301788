package cli

import (
	"path"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/oomtrace/oomtrace/internal/oom"
)

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
		{"comm", "tokio[.-0]worker", &known, true},
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
			var f filterFlags
			set := pflag.NewFlagSet("", pflag.ContinueOnError)
			f.define(set)
			if err := set.Set(tt.flag, tt.pattern); err != nil {
				t.Fatal(err)
			}
			if err := f.check(); err != nil {
				t.Fatal(err)
			}
			if got, _ := match(f.filters(), &oom.Record{Victim: tt.victim}); got != tt.want {
				t.Errorf("%v for %+v", got, tt.victim)
			}
		})
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
