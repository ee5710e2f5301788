//go:build hosttest

package tracer

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestHostKills traces real kills on this machine, in whichever hierarchy it
// has, on every tier that needs neither kprobes nor tracefs.
func TestHostKills(t *testing.T) {
	form := newRSSForm(t)
	for _, tier := range []Tier{TierAuto, TierTPBTF, TierRawTP} {
		t.Run("tier="+string(tier), func(t *testing.T) {
			l := start(t, tier, form)
			l.shared = true
			for _, s := range cgroupScenarios() {
				t.Run(s.name, func(t *testing.T) {
					// This machine need not allow the decision's programs.
					s.run(t, l, TierTPBTF)
				})
			}
			if l.reports == 0 {
				t.Error("no oom-kill line of any of these kills")
			}
		})
	}
}

// TestHostCounters: what is asked after every record, in a trace without losses.
func TestHostCounters(t *testing.T) {
	tr, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Stats(); err != nil {
		t.Error(err)
	}
	if lost, err := tr.unreported(nil); err != nil || len(lost) > 0 {
		t.Error(lost, err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if _, err := tr.Stats(); err == nil {
		t.Error("a closed tracer counts on")
	}
}

// TestHostFunctionTypes: fentry is not tried on what BTF does not have.
func TestHostFunctionTypes(t *testing.T) {
	a := &attacher{cache: btf.NewCache()}
	for name, want := range map[string]error{hookOutOfMemory: nil, "no_such_function": errNoFunctionType, "task_struct": errNoFunctionType} {
		if err := a.refused(functionHook(name, 0, "", ""), candidate{kind: string(TierFentry)}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}
