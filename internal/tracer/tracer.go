// Package tracer attaches the BPF programs and reads what they send.
//
// It tries each way into the kernel for real, keeps the reason of every
// refusal and takes the next one: what a kernel offers cannot be told from its
// version.
package tracer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
	"github.com/oomtrace/oomtrace/internal/ring"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// Defaults of Options.
const (
	DefaultRingBytes      = 4 << 20
	DefaultTop            = 10
	DefaultCmdlineEntries = 8192
)

// MaxTop is the most candidates a record can carry (MAX_CANDIDATES).
const MaxTop = 32

// Options says how to trace. The zero value works.
type Options struct {
	// Tier pins the kinds of hooks; TierAuto takes the best that attach.
	Tier Tier
	// BTF is a file with the kernel's types, for a kernel that has none of its
	// own; empty means the kernel's.
	BTF string
	// RingBytes is the ring's size, a power of two and a multiple of the page
	// size; 0 means DefaultRingBytes.
	RingBytes int
	// Top is how many candidates a record carries, at most MaxTop: 0 means
	// DefaultTop, a negative number none.
	Top int
	// CmdlineEntries bounds the command lines kept in the kernel, 280 bytes
	// each; 0 means DefaultCmdlineEntries.
	CmdlineEntries int
}

func (o Options) top() int {
	switch {
	case o.Top == 0:
		return DefaultTop
	case o.Top < 0:
		return 0
	}
	return min(o.Top, MaxTop)
}

// Stats counts since the programs were loaded.
type Stats struct {
	// Victims is how often mark_victim fired, NoVictim how often nobody was
	// found.
	Victims, NoVictim uint64
	// Lost victim records, exit records and cgroup notices found the ring full.
	Lost, LostExit, LostCgroup uint64
	// Undecoded records had another layout or were damaged.
	Undecoded uint64
}

// Tracer is a running trace. One goroutine may call Read; Ack, Stats and Close
// may come from others.
type Tracer struct {
	maps        map[string]*ebpf.Map
	links       []link.Link
	ring        *ring.Reader
	attachments []Attachment
	machine     wire.Machine
	symbols     *Symbols
	notes       []string
	undecoded   uint64
	shared      map[int32][]oom.SharedProcess
	hookNames   [][]string
}

// Open loads and attaches the programs. The error is ErrUnsupported,
// ErrPermission or ErrBTF where one of those is the cause.
func Open(ctx context.Context, opts Options) (t *Tracer, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t = &Tracer{shared: map[int32][]oom.SharedProcess{}}
	defer func() {
		if err != nil {
			_ = t.Close()
			t = nil
		}
	}()
	// Needed below 5.11 only, where BPF memory counts against the limit; the
	// load tells if that was the trouble.
	_ = rlimit.RemoveMemlock()
	a, err := prepare(opts, t)
	if err != nil {
		return t, err
	}
	if err := t.openMaps(a); err != nil {
		return t, err
	}
	if err := t.attach(a, plan(opts.Tier)); err != nil {
		return t, err
	}
	if err := scanCmdlines("/proc", t.maps[probe.OomtraceMapCmdlines]); err != nil {
		t.notes = append(t.notes, err.Error())
	}
	if err := t.describeMachine(); err != nil {
		return t, err
	}
	a.release()
	return t, nil
}

// prepare gathers what the programs need to know before they are loaded.
func prepare(opts Options, t *Tracer) (*attacher, error) {
	spec, err := probe.LoadOomtrace()
	if err != nil {
		return nil, fmt.Errorf("BPF object: %w", err)
	}
	a := &attacher{spec: spec, cache: btf.NewCache()}
	if a.types, err = kernelTypes(opts.BTF); err != nil {
		return nil, err
	}
	if a.symbols, err = readSymbols("/proc/kallsyms", wantedSymbols()); err != nil {
		t.notes = append(t.notes, err.Error())
		a.symbols = &Symbols{}
	}
	t.symbols = a.symbols
	if err := setConstants(spec, a.symbols, opts); err != nil {
		return nil, err
	}
	size(spec, opts)
	cpus, _, err := topology("/sys")
	if err != nil {
		return nil, err
	}
	if !rssIsPerCPU(a) {
		return a, nil
	}
	offsets, err := percpuOffsets(a.cache, a.types, cpus)
	if err != nil {
		t.notes = append(t.notes, "rss is approximate: "+err.Error())
		return a, nil
	}
	if err := setVariable(spec, probe.OomtraceVarPercpuOffsets, offsets); err != nil {
		return nil, err
	}
	return a, setVariable(spec, probe.OomtraceVarPercpuOffsetsKnown, uint32(1))
}

func size(spec *ebpf.CollectionSpec, opts Options) {
	ringBytes, entries := opts.RingBytes, opts.CmdlineEntries
	if ringBytes == 0 {
		ringBytes = DefaultRingBytes
	}
	if entries == 0 {
		entries = DefaultCmdlineEntries
	}
	spec.Maps[probe.OomtraceMapEvents].MaxEntries = uint32(ringBytes)
	spec.Maps[probe.OomtraceMapCmdlines].MaxEntries = uint32(entries)
}

// kernelTypes reads the BTF file of --btf; nil means the kernel's own.
func kernelTypes(path string) (*btf.Spec, error) {
	if path == "" {
		return nil, nil
	}
	spec, err := btf.LoadSpec(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBTF, path, err)
	}
	return spec, nil
}

// openMaps creates the maps, without any program.
func (t *Tracer) openMaps(a *attacher) error {
	spec := a.spec.Copy()
	clear(spec.Programs)
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Cache: a.cache})
	if err != nil {
		if isPermission(err) {
			return fmt.Errorf("create BPF maps: %w: %w", ErrPermission, plainError(err))
		}
		return fmt.Errorf("create BPF maps: %w: %w", ErrUnsupported, plainError(err))
	}
	t.maps = coll.Maps
	a.maps, a.variables = coll.Maps, coll.Variables
	coll.Maps = nil // closed by us
	coll.Close()
	events := t.maps[probe.OomtraceMapEvents]
	t.ring, err = ring.Open(events.FD(), int(events.MaxEntries()))
	if err != nil {
		return fmt.Errorf("open ring: %w", err)
	}
	return nil
}

// attach carries out the plan. Only a hook that is needed can make it fail.
func (t *Tracer) attach(a *attacher, hooks []hook) error {
	for _, h := range hooks {
		at, l := a.hook(h)
		t.attachments = append(t.attachments, at)
		if l != nil {
			t.links = append(t.links, l)
			if err := a.tellPrograms(h); err != nil {
				return err
			}
			continue
		}
		if h.needed {
			return &AttachError{Hook: h.name, Attempts: at.Tried}
		}
	}
	return nil
}

// describeMachine fills what every record says of this machine.
func (t *Tracer) describeMachine() error {
	boot, err := bootTime()
	if err != nil {
		return err
	}
	node, _ := os.Hostname()
	t.machine = wire.Machine{
		Node: node, BootID: bootID(), Kernel: kernelRelease(),
		PageSize: uint64(os.Getpagesize()), BootTime: boot,
		Hooks: t.namesOf, Symbol: t.symbols.Append, GFP: appendGFP,
	}
	return nil
}

// namesOf turns a record's hook mask into names such as "fentry:oom_kill_process".
func (t *Tracer) namesOf(mask uint32) []string {
	if t.hookNames == nil {
		t.hookNames = make([][]string, 1<<hookBits)
	}
	mask &= 1<<hookBits - 1
	if t.hookNames[mask] == nil {
		t.hookNames[mask] = hookNames(t.attachments, mask)
	}
	return t.hookNames[mask]
}

// Attachments tells what is attached, and what was refused and why.
func (t *Tracer) Attachments() []Attachment { return t.attachments }

// Notes are findings that make records poorer but prevent none, in one line
// each.
func (t *Tracer) Notes() []string { return t.notes }

// Kernel is the release of the running kernel.
func (t *Tracer) Kernel() string { return t.machine.Kernel }

// HiddenData names the data symbols that this kernel does not show: what they
// hold is then sampled from user space.
func (t *Tracer) HiddenData() []string {
	var hidden []string
	for _, name := range wantedSymbols().data {
		if t.symbols.Data(name) == 0 && name != symMemcgStats {
			hidden = append(hidden, name)
		}
	}
	return hidden
}

// Symbols is the kernel's symbol table, as far as it is readable.
func (t *Tracer) Symbols() *Symbols { return t.symbols }

// Read waits for the next event and decodes it into ev. After ctx is done it
// goes on until the ring is empty and then returns io.EOF. Records that cannot
// be decoded are counted and passed over.
func (t *Tracer) Read(ctx context.Context, ev *wire.Event) error {
	for {
		rec, err := t.ring.Next(ctx)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return io.EOF
			}
			return fmt.Errorf("read ring: %w", err)
		}
		err = ev.Decode(rec.Bytes, &t.machine)
		ev.Pos = rec.Pos
		if err != nil {
			t.undecoded++
			t.ring.Ack(rec.Pos)
			continue
		}
		if t.absorb(ev) {
			t.ring.Ack(rec.Pos)
			continue
		}
		return nil
	}
}

// absorb keeps the processes that shared a victim's mm until its exit record.
func (t *Tracer) absorb(ev *wire.Event) bool {
	if ev.Shared.PID != 0 {
		t.shared[ev.Shared.VictimPID] = append(t.shared[ev.Shared.VictimPID],
			oom.SharedProcess{PID: oom.Some(ev.Shared.PID), Comm: string([]byte(ev.Shared.Comm))})
		return true
	}
	if ev.Record.Kind == oom.KindExit {
		pid := ev.Record.Victim.PID.Value
		if shared, ok := t.shared[pid]; ok {
			ev.Record.Exit.SharedMM = append(ev.Record.Exit.SharedMM, shared...)
			delete(t.shared, pid)
		}
	}
	return false
}

// Ack says that the event has been delivered: the kernel may forget it. Events
// may be acknowledged out of order.
func (t *Tracer) Ack(ev *wire.Event) { t.ring.Ack(ev.Pos) }

// Stats reads the programs' counters.
func (t *Tracer) Stats() (Stats, error) {
	s := Stats{Undecoded: t.undecoded}
	for _, c := range []struct {
		key probe.OomtraceCounter
		to  *uint64
	}{
		{probe.OomtraceCounterCOUNTER_VICTIMS, &s.Victims},
		{probe.OomtraceCounterCOUNTER_NO_VICTIM, &s.NoVictim},
		{probe.OomtraceCounterCOUNTER_LOST, &s.Lost},
		{probe.OomtraceCounterCOUNTER_LOST_EXIT, &s.LostExit},
		{probe.OomtraceCounterCOUNTER_LOST_CGROUP, &s.LostCgroup},
	} {
		var perCPU []uint64
		if err := t.maps[probe.OomtraceMapCounters].Lookup(uint32(c.key), &perCPU); err != nil {
			return s, fmt.Errorf("read counters: %w", err)
		}
		for _, v := range perCPU {
			*c.to += v
		}
	}
	return s, nil
}

// Close detaches everything. It can be called again.
func (t *Tracer) Close() error {
	var errs []error
	for i := len(t.links) - 1; i >= 0; i-- {
		errs = append(errs, t.links[i].Close())
	}
	if t.ring != nil {
		errs = append(errs, t.ring.Close())
	}
	for _, m := range t.maps {
		errs = append(errs, m.Close())
	}
	t.links, t.ring, t.maps = nil, nil, nil
	return errors.Join(errs...)
}

// release lets go of the kernel's types, which are some 50 MB once parsed.
func (a *attacher) release() {
	a.cache, a.types, a.spec = nil, nil, nil
	debug.FreeOSMemory()
}
