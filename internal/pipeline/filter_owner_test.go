package pipeline

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestFilterOwners holds what filters make of owners: names and ids, what there
// is none of, and what nobody could tell.
func TestFilterOwners(t *testing.T) {
	id, uid := strings.Repeat("0a", 32), "0f6a1c2e-5b1d-4a77-9a0b-3c5d7e9f1a2b"
	pod := &oom.Victim{Owner: oom.Owner{
		Container: &oom.Container{ID: id, Name: "app"}, Pod: &oom.Pod{Namespace: "shop", Name: "cart-7c9f", UID: uid, Container: "app"},
	}}
	podDown := &oom.Victim{Owner: oom.Owner{Container: &oom.Container{ID: id}, Pod: &oom.Pod{UID: uid}}}
	stateOnly := &oom.Victim{Owner: oom.Owner{Container: &oom.Container{ID: id}, Pod: &oom.Pod{Namespace: "shop", Name: "cart-7c9f", UID: uid}}}
	docker := &oom.Victim{Owner: oom.Owner{Container: &oom.Container{ID: id, Name: "web"}}}
	dockerDown := &oom.Victim{Owner: oom.Owner{Container: &oom.Container{ID: id}}}
	podman := &oom.Victim{Owner: oom.Owner{Container: &oom.Container{ID: id, Name: "db"}, Pod: &oom.Pod{Name: "stack", UID: id, Container: "db"}}}
	service := &oom.Victim{Owner: oom.Owner{Unit: "nginx.service"}}
	for _, tt := range []struct {
		name, flag, pattern string
		victim              *oom.Victim
		passes, unknown     bool
	}{
		{"namespace", "namespace", "sh*", pod, true, false},
		{"another namespace", "namespace", "other", pod, false, false},
		{"namespace, runtime down", "namespace", "shop", podDown, true, true},
		{"namespace, container of whatever", "namespace", "shop", dockerDown, true, true},
		{"namespace of a container outside of pods", "namespace", "*", docker, false, false},
		{"namespace of a podman pod", "namespace", "*", podman, false, false},
		{"namespace of a service", "namespace", "*", service, false, false},
		{"namespace, pod known by its uid alone", "namespace", "other", stateOnly, false, false},
		{"pod by name", "pod", "cart-*", pod, true, false},
		{"pod by uid", "pod", uid, pod, true, false},
		{"pod by uid, runtime down", "pod", uid, podDown, true, false},
		{"pod by name, runtime down", "pod", "cart-*", podDown, true, true},
		{"another pod", "pod", "x*", pod, false, false},
		{"pod of a service", "pod", "*", service, false, false},
		{"pod of a plain container", "pod", "*", docker, false, false},
		{"container by name", "container", "app", pod, true, false},
		{"container by id", "container", id, pod, true, false},
		{"container by the beginning of its id", "container", id[:12] + "*", pod, true, false},
		{"another container", "container", "x", pod, false, false},
		{"container by name, runtime down", "container", "app", podDown, true, true},
		{"container by id, runtime down", "container", id, podDown, true, false},
		{"container of a known pod", "container", "app", stateOnly, true, true},
		{"container of a service", "container", "*", service, false, false},
		{"unit", "unit", "nginx.*", service, true, false},
		{"unit of a container", "unit", "*", docker, false, false},
		{"nobody", "comm", "*", nil, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := filtersOf(tt.flag, tt.pattern)
			passes, unknown := match(f.list(), &oom.Record{Kind: oom.KindKill, Victim: tt.victim})
			if passes != tt.passes || unknown != tt.unknown {
				t.Errorf("passes %v, unknown %v", passes, unknown)
			}
			if passes, _ := match(f.list(), &oom.Record{Kind: oom.KindLost}); !passes {
				t.Error("a loss is kept back")
			}
		})
	}
}
