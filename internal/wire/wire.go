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
const Layout = 3

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
	// Hooks names the hooks of a mask of probe.OomtraceHookBit; nil leaves
	// them out.
	Hooks func(mask uint32) []string
	// Symbol appends the name of a kernel address ("symbol+0x1f"); nil leaves
	// the kernel stack out.
	Symbol func(dst []byte, address uint64) []byte
	// Core says whether an address is in the kernel's own text, neither a module's
	// nor BPF's; nil counts all as such.
	Core func(address uint64) bool
	// GFP appends the names of a gfp mask; nil leaves them out.
	GFP func(dst []string, mask uint32) []string
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

// Event is one decoded ring record. The caller owns it and may decode into it
// again; all that it holds lives until then. Exactly one of Record.Kind,
// Cgroup.Path and Shared.PID is set.
type Event struct {
	Record oom.Record
	Cgroup Cgroup
	Shared Shared
	// RSSCountBytes is the victim's rss without what the CPUs still hold: what
	// kernels 6.2 to 6.18 print in their kill line. It is a witness, not part of
	// the record.
	RSSCountBytes oom.Opt[uint64]
	// UserStack are the trigger's frames, innermost first.
	UserStack []oom.UserFrame
	// Pos is where the record lies in the ring; the tracer acknowledges by it.
	Pos uint64
	// Ring says which ring Pos is of: 0 is the tracer's own.
	Ring int

	victim  oom.Victim
	trigger oom.Trigger
	limit   oom.Limit
	memory  oom.Memory
	exit    oom.Exit
	decoder victimDecoder
	text    []byte // backs the strings
	reserve []uint64
	blocks  []uint64
}

// Decode fills the event from one ring record. It returns ErrLayout, a
// *DecodeError, or nil.
func (ev *Event) Decode(b []byte, m *Machine) error {
	ev.reset()
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

// IsKill says by the first bytes of a ring record that it tells of a kill, or of
// one that was not to be.
func IsKill(head [8]byte) bool {
	switch probe.OomtraceEventType(binary.NativeEndian.Uint16(head[2:])) {
	case probe.OomtraceEventTypeEVENT_VICTIM, probe.OomtraceEventTypeEVENT_NO_VICTIM:
		return binary.NativeEndian.Uint16(head[:]) == Layout
	}
	return false
}

func (ev *Event) reset() {
	ev.Record = oom.Record{
		Hooks: ev.Record.Hooks[:0], Candidates: ev.Record.Candidates[:0], Sampled: ev.Record.Sampled[:0],
	}
	ev.Cgroup, ev.Shared, ev.Pos, ev.Ring, ev.RSSCountBytes = Cgroup{}, Shared{}, 0, 0, oom.Opt[uint64]{}
	ev.UserStack = ev.UserStack[:0]
	ev.text, ev.reserve, ev.blocks = ev.text[:0], ev.reserve[:0], ev.blocks[:0]
	ev.victim = oom.Victim{CgroupLimits: ev.victim.CgroupLimits[:0]}
	ev.trigger = oom.Trigger{
		GFPFlags: ev.trigger.GFPFlags[:0], KernelStack: ev.trigger.KernelStack[:0], UserStack: ev.trigger.UserStack[:0],
	}
	ev.limit = oom.Limit{Stat: ev.limit.Stat[:0]}
	ev.memory = oom.Memory{Stat: ev.memory.Stat[:0], Zones: ev.memory.Zones[:0], SwapDevices: ev.memory.SwapDevices[:0]}
	ev.exit = oom.Exit{SharedMM: ev.exit.SharedMM[:0]}
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

// string keeps s until the next Decode without an allocation of its own.
func (ev *Event) string(s []byte) string {
	if len(s) == 0 {
		return ""
	}
	start := len(ev.text)
	ev.text = append(ev.text, s...)
	return unsafe.String(&ev.text[start], len(s))
}

// since returns what was appended to text from start on.
func (ev *Event) since(start int) string {
	if start == len(ev.text) {
		return ""
	}
	return unsafe.String(&ev.text[start], len(ev.text)-start)
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
	start := len(ev.text)
	ev.text = appendID(ev.text, m.BootID, hdr.BootNs, tid)
	r.ID = ev.since(start)
	r.Incident = ev.incident(hdr.IncidentNs, m)
}

func (ev *Event) incident(ns uint64, m *Machine) string {
	start := len(ev.text)
	ev.text = appendIncident(ev.text, m.BootID, ns)
	return ev.since(start)
}
