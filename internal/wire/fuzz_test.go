package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

func FuzzDecode(f *testing.F) {
	noVictim := whole()
	noVictim.Hdr.Type = uint16(probe.OomtraceEventTypeEVENT_NO_VICTIM)
	for _, b := range [][]byte{
		whole().encode(), bare().encode(), noVictim.encode(), bytesOf(exitRecord()), bytesOf(sharedRecord()), bytesOf(cgroupRecord("/a/b")), sigkillRecord(),
		{}, bytes.Repeat([]byte{0xff}, 1000), whole().encode()[:900],
	} {
		f.Add(b)
	}
	m, used := machine(), &Event{}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := *used // shares all that the record points to
		was := compact(t, &before)
		fresh := &Event{}
		err := fresh.Decode(b, m)
		if again := used.Decode(bytes.Clone(b), m); (again == nil) != (err == nil) {
			t.Errorf("a used event says %v, a new one %v", again, err)
		}
		if !bytes.Equal(compact(t, &before), was) {
			t.Error("a record changed when the next one was decoded")
		}
		if err != nil {
			var short *DecodeError
			if !errors.Is(err, ErrLayout) && !errors.As(err, &short) {
				t.Errorf("error of no known kind: %v", err)
			}
			return
		}
		checkEvent(t, fresh, b)
		if !bytes.Equal(compact(t, fresh), compact(t, used)) {
			t.Error("a used event gives another record")
		}
	})
}

func compact(t *testing.T, ev *Event) []byte {
	b, err := json.Marshal(ev)
	if err != nil {
		t.Error(err)
	}
	return b
}

// checkEvent holds what is true of every event: one thing in it, and nothing
// that the bytes do not have.
func checkEvent(t *testing.T, ev *Event, b []byte) {
	r := &ev.Record
	set := 0
	for _, is := range []bool{r.Kind != "", ev.Cgroup.Path != "", ev.Shared.PID != 0} {
		if is {
			set++
		}
	}
	if set != 1 {
		t.Errorf("%d things in one event: %q, %q, %d", set, r.Kind, ev.Cgroup.Path, ev.Shared.PID)
	}
	in(t, b, "cgroup", ev.Cgroup.Path)
	in(t, b, "shared", ev.Shared.Comm)
	if r.Kind == "" {
		return
	}
	switch r.Kind {
	case oom.KindKill, oom.KindAlreadyExiting, oom.KindNoVictim, oom.KindExit, oom.KindSigkill:
	default:
		t.Errorf("kind %q", r.Kind)
	}
	if r.Schema != oom.Schema || r.ID == "" || (r.Incident == "" && r.Kind != oom.KindSigkill) || (r.Victim == nil) != (r.Kind == oom.KindNoVictim) {
		t.Errorf("incomplete: %q of %q, victim %v", r.ID, r.Incident, r.Victim)
	}
	counts(t, r, ev, len(b))
	if v := r.Victim; v != nil {
		in(t, b, "comm", v.Comm)
		joined(t, b, "cmdline", v.Cmdline)
		in(t, b, "arguments", v.Args)
		path(t, b, "exe", v.Exe)
		path(t, b, "cgroup", v.Cgroup)
	}
	if g := r.Trigger; g != nil {
		in(t, b, "trigger", g.Comm)
		joined(t, b, "trigger's cmdline", g.Cmdline)
		in(t, b, "trigger's arguments", g.Args)
		path(t, b, "trigger's cgroup", g.Cgroup)
	}
	if r.Limit != nil {
		path(t, b, "limit", r.Limit.Cgroup)
	}
	if s := r.Sender; s != nil {
		in(t, b, "sender", s.Comm)
		joined(t, b, "sender's cmdline", s.Cmdline)
		path(t, b, "sender's exe", s.Exe)
		path(t, b, "sender's cgroup", s.Cgroup)
	}
}

func counts(t *testing.T, r *oom.Record, ev *Event, size int) {
	bounded := func(name string, n int, each uintptr) {
		if n*int(each) > size {
			t.Errorf("%d %s out of %d bytes", n, name, size)
		}
	}
	bounded("candidates", len(r.Candidates), unsafe.Sizeof(probe.OomtraceCandidateInfo{}))
	bounded("user frames", len(ev.UserStack), 8)
	if r.Victim != nil {
		bounded("limits", len(r.Victim.CgroupLimits), unsafe.Sizeof(probe.OomtraceMemcgInfo{}))
	}
	if r.Trigger != nil {
		bounded("frames", len(r.Trigger.KernelStack), 8)
	}
	if r.Sender != nil {
		bounded("parents", len(r.Sender.Parents), unsafe.Sizeof(probe.OomtraceParentInfo{}))
	}
	if r.Memory != nil {
		bounded("zones", len(r.Memory.Zones), unsafe.Sizeof(probe.OomtraceZoneInfo{}))
	}
	for i := 1; i < len(r.Candidates); i++ {
		if r.Candidates[i].BadnessPages.Value > r.Candidates[i-1].BadnessPages.Value {
			t.Error("candidates are not sorted")
		}
	}
}

func in(t *testing.T, b []byte, name, s string) {
	if !bytes.Contains(b, []byte(s)) {
		t.Errorf("%s %q is not in the record", name, s)
	}
}

// joined checks what had its NULs replaced by blanks.
func joined(t *testing.T, b []byte, name, s string) {
	in(t, bytes.ReplaceAll(b, []byte{0}, []byte{' '}), name, s)
}

// path checks the names of a path, which come in the other order.
func path(t *testing.T, b []byte, name, s string) {
	for part := range strings.SplitSeq(strings.TrimPrefix(s, "…"), "/") {
		in(t, b, name, part)
	}
}
