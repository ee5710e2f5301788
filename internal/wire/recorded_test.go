package wire

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// recorded is what the ring of a 6.12 guest held (TestGuestRecording makes it).
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../testdata/wire", name+".ring"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frugal is a machine whose functions allocate nothing, as the tracer's.
func frugal() *Machine {
	m := machine()
	hooks := []string{"fentry:oom_kill_process", "tp_btf:mark_victim"}
	m.Hooks = func(uint32) []string { return hooks }
	m.Symbol = func(dst []byte, _ uint64) []byte { return append(dst, "try_charge_memcg+0x3a5"...) }
	return m
}

func TestRecorded(t *testing.T) {
	ev := decode(t, recorded(t, "kill"))
	r := &ev.Record
	if r.Kind != oom.KindKill || r.Scope != oom.ScopeCgroup || r.Victim.Comm != "java" || len(r.Candidates) != 10 || r.CandidatesTotal != some(12) ||
		r.Limit.MaxBytes != some(64<<20) || len(r.Memory.Zones) == 0 || len(r.Trigger.KernelStack) == 0 || len(r.Victim.CgroupLimits) < 4 {
		t.Errorf("%s", jsonOf(t, r))
	}
	if gone := decode(t, recorded(t, "exit")); gone.Record.Kind != oom.KindExit || gone.Record.Victim.PID != r.Victim.PID {
		t.Errorf("%s", jsonOf(t, gone.Record))
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	m := frugal()
	for _, name := range []string{"kill", "exit"} {
		b := recorded(t, name)
		var ev Event
		if n := testing.AllocsPerRun(100, func() {
			if err := ev.Decode(b, m); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	m, raw := frugal(), recorded(b, "kill")
	var ev Event
	b.ReportAllocs()
	for b.Loop() {
		if err := ev.Decode(raw, m); err != nil {
			b.Fatal(err)
		}
	}
}
