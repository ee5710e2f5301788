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

// TestRecordsOwnTheirData: nothing of a record lies in the ring's memory, which is
// the kernel's again once the record is done.
func TestRecordsOwnTheirData(t *testing.T) {
	for _, name := range []string{"kill", "exit"} {
		b := recorded(t, name)
		ev := decode(t, b)
		before := jsonOf(t, ev)
		for i := range b {
			b[i] = 0xa5
		}
		if jsonOf(t, ev) != before {
			t.Errorf("%s: the record changed with the ring", name)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	m, raw := machine(), recorded(b, "kill")
	b.ReportAllocs()
	for b.Loop() {
		var ev Event
		if err := ev.Decode(raw, m); err != nil {
			b.Fatal(err)
		}
	}
}
