// Package wire turns the bytes of a BPF ring record into an oom.Record. The
// layout is bpf/event.h; the Go types of it are generated into internal/probe.
//
// Everything is checked against the record's length: a record can be of another
// version of oomtrace, left in a pinned ring.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// Layout is the wire layout this package reads (WIRE_LAYOUT in bpf/event.h).
const Layout = 4

// unknown marks a number that BPF could not read (UNKNOWN in bpf/event.h).
const (
	unknown   = ^uint64(0)
	unknown32 = ^uint32(0)
)

// ErrLayout reports a record of another wire layout.
var ErrLayout = errors.New("ring record has another layout")

// DecodeError reports a record whose bytes do not hold what it claims.
type DecodeError struct {
	Field string
	Need  int
	Have  int
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("ring record: %s needs %d bytes, has %d", e.Field, e.Need, e.Have)
}

// Machine is what a record says of the machine it was made on. The zero value
// leaves those fields out.
type Machine struct {
	// Node, BootID and Kernel go into the record as they are.
	Node, BootID, Kernel string
	// CPUs is how many the machine can have; zero leaves it out.
	CPUs uint32
	// PageSize is in bytes; zero means 4096.
	PageSize uint64
	// BootTime is the wall clock when CLOCK_BOOTTIME was zero; the zero time
	// leaves Record.Time out.
	BootTime time.Time
	// Hooks names the programs of a mask of probe.OomtraceHookBit; nil leaves
	// them out.
	Hooks func(mask uint32) []string
	// Symbol names a kernel address ("symbol+0x1f"); nil leaves the kernel stack
	// out.
	Symbol func(address uint64) string
	// Core says whether an address is in the kernel's own text, neither a module's
	// nor BPF's; nil counts all as such.
	Core func(address uint64) bool
	// GFP gives the names of a gfp mask; nil leaves them out.
	GFP func(mask uint32) []string
}

// Cgroup is a memory cgroup that was just created.
type Cgroup struct {
	ID   uint64
	Path string
}

// Shared is a process killed along with VictimPID, whose mm it used.
type Shared struct {
	PID, VictimPID int32
	Comm           string
	Incident       string
}

// Event is one decoded ring record, which owns all that it holds. Exactly one of
// Record.Kind, Cgroup.Path and Shared.PID is set.
type Event struct {
	Record oom.Record
	Cgroup Cgroup
	Shared Shared
	// UserStack are the trigger's frames, innermost first.
	UserStack []oom.UserFrame
}

// Decode fills the event from one ring record; what it held before stays with
// those who have it. It returns ErrLayout, a *DecodeError, or nil.
func (ev *Event) Decode(b []byte, m *Machine) error {
	*ev = Event{}
	hdr, err := take[probe.OomtraceEventHeader](b, "header")
	if err != nil {
		return err
	}
	if hdr.Layout != Layout {
		return fmt.Errorf("%w: %d, this is %d", ErrLayout, hdr.Layout, Layout)
	}
	switch probe.OomtraceEventType(hdr.Type) {
	case probe.OomtraceEventTypeEVENT_VICTIM:
		return ev.decodeVictim(b, m, oom.KindKill)
	case probe.OomtraceEventTypeEVENT_NO_VICTIM:
		return ev.decodeVictim(b, m, oom.KindNoVictim)
	case probe.OomtraceEventTypeEVENT_EXIT:
		return ev.decodeExit(b, m)
	case probe.OomtraceEventTypeEVENT_CGROUP:
		return ev.decodeCgroup(b)
	case probe.OomtraceEventTypeEVENT_SHARED_MM:
		return ev.decodeShared(b, m)
	case probe.OomtraceEventTypeEVENT_SIGKILL:
		return ev.decodeSigkill(b, m)
	}
	return fmt.Errorf("%w: record type %d", ErrLayout, hdr.Type)
}

// IsKill says by the first bytes of a ring record that it is of a kill, or of
// one that was not to be.
func IsKill(head [8]byte) bool {
	layout, kind := parseHead(head)
	return layout == Layout && (kind == probe.OomtraceEventTypeEVENT_VICTIM || kind == probe.OomtraceEventTypeEVENT_NO_VICTIM)
}

// IsRecord says by the first bytes of a ring record, of whatever layout, that it
// becomes a record of its own in the output.
func IsRecord(head [8]byte) bool {
	switch _, kind := parseHead(head); kind {
	case probe.OomtraceEventTypeEVENT_VICTIM, probe.OomtraceEventTypeEVENT_NO_VICTIM, probe.OomtraceEventTypeEVENT_EXIT,
		probe.OomtraceEventTypeEVENT_SIGKILL:
		return true
	}
	return false
}

// parseHead reads the first fields of struct event_header.
func parseHead(head [8]byte) (layout uint16, kind probe.OomtraceEventType) {
	return binary.NativeEndian.Uint16(head[:]), probe.OomtraceEventType(binary.NativeEndian.Uint16(head[2:]))
}

// take copies a wire struct out of the record: ring memory is 8-byte aligned,
// but a recorded one need not be.
func take[T any](b []byte, field string) (out T, err error) {
	size := int(unsafe.Sizeof(out))
	if len(b) < size {
		return out, &DecodeError{Field: field, Need: size, Have: len(b)}
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&out)), size), b)
	return out, nil
}

// header fills what every record has. The id is made of the boot, the kernel's
// clock and the thread: the same record read again gets the same id.
func (ev *Event) header(hdr *probe.OomtraceEventHeader, kind oom.Kind, tid int32, m *Machine) {
	r := &ev.Record
	r.Schema, r.Kind, r.Source = oom.Schema, kind, oom.SourceBPF
	r.Node, r.BootID, r.Kernel = m.Node, m.BootID, m.Kernel
	if m.CPUs != 0 {
		r.CPUs = oom.Some(m.CPUs)
	}
	r.UptimeNS = oom.Some(hdr.BootNs)
	if !m.BootTime.IsZero() {
		r.Time = m.BootTime.Add(time.Duration(hdr.BootNs))
	}
	r.ID, r.Incident = recordID(m.BootID, hdr.BootNs, tid), incidentID(m.BootID, hdr.IncidentNs)
}
