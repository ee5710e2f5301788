// Package tracer attaches the BPF programs and reads what they send.
//
// It tries each way into the kernel for real, keeps the reason of every
// refusal and takes the next one: the version does not say what a kernel
// supports.
package tracer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/host"
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

// The sizes that a ring buffer can have: the least has room for the longest record,
// and is a multiple of any kernel's page size.
const (
	MinRingBytes = 64 << 10
	MaxRingBytes = 1 << 30
)

// ValidRingBytes says whether a ring buffer can have this size.
func ValidRingBytes(n int) bool {
	return n >= MinRingBytes && n <= MaxRingBytes && n&(n-1) == 0 && n%os.Getpagesize() == 0
}

// MaxTop is the most candidates a record can carry (MAX_CANDIDATES).
const MaxTop = 32

// Options says how to trace. The zero value works.
type Options struct {
	// Tier pins the attach type; TierAuto takes the best that attaches.
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
	// CmdlineEntries bounds the command lines kept in the kernel, 288 bytes
	// each; 0 means DefaultCmdlineEntries.
	CmdlineEntries int
	// NoSigkills leaves out the SIGKILLs that the OOM killer did not send.
	NoSigkills bool
	// Pin is a bpffs directory where programs and records stay while no reader
	// runs; the next Open resumes there. Empty: all ends with Close.
	Pin string
	// NoHistory leaves out what counts the growth of memory cgroups at each charge.
	NoHistory bool
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
	// Victims is how often mark_victim fired, NoVictim how often no
	// process could be killed.
	Victims, NoVictim uint64
	// Lost victim records, exit records, cgroup notices and records of OOMs
	// without a victim found the ring full, or the half of it that is theirs.
	Lost, LostExit, LostCgroup, LostNoVictim uint64
	// LostSigkill records of other SIGKILLs found their half of the ring full.
	LostSigkill uint64
	// Repeated OOMs without a victim came within a second after another one in
	// the same cgroup, and were only counted.
	Repeated uint64
	// Undecoded records had another layout or were damaged.
	Undecoded uint64
}

// Tracer is a running trace; a Source gives its records. Stats, Waiting and
// Pending may be called by any goroutine.
type Tracer struct {
	maps        map[string]*ebpf.Map
	links       []link.Link
	ring        *ring.Reader
	attachments []Attachment
	machine     wire.Machine
	clock       host.BootClock
	symbols     *Symbols
	notes       []string
	warnings    []string
	counters    counters
	growth      growth
	watched     watched
	set         uint32 // number of the ring's map, which no other set of this boot has
	drained     atomic.Uint64
	drainEnd    uint64 // where the ring ended when this reader came
	pin         *pinDir
	resumed     bool
	attachedAt  uint64       // CLOCK_MONOTONIC, ns
	others      pinSets      // of other builds, to take over from
	older       []*older     // the rings that were taken over
	draining    int          // the one of them that is being read
	reading     *ring.Reader // which has the event that is not done
	hookNames   [][]string
}

// Open loads and attaches the programs. The error is ErrUnsupported,
// ErrPermission, ErrResources or ErrBTF where one of those is the cause.
func Open(ctx context.Context, opts Options) (t *Tracer, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t = &Tracer{}
	defer func() {
		if err != nil {
			_ = t.Close()
			t = nil
		}
	}()
	if err := checkDescriptors(); err != nil {
		return t, err
	}
	// Needed below 5.11 only, where BPF memory counts against the limit; the
	// load reports whether that was the cause.
	_ = rlimit.RemoveMemlock()
	t.describeMachine()
	done, err := t.resume(opts)
	if err == nil && !done {
		err = t.load(opts)
	}
	if err != nil {
		return t, err
	}
	t.machine.Symbol, t.machine.Core = t.symbols.Name, t.symbols.Core
	t.attachedAt = host.MonotonicNS()
	return t, nil
}

// load loads and attaches the programs anew.
func (t *Tracer) load(opts Options) error {
	a, err := prepare(opts, t)
	if err != nil {
		return err
	}
	a.watched = &t.watched
	if err := t.openMaps(a); err != nil {
		return err
	}
	if err := t.attachAll(a, opts); err != nil {
		return err
	}
	if err := scanCmdlines("/proc", t.maps[probe.OomtraceMapCmdlines]); err != nil {
		t.notes = append(t.notes, err.Error())
	}
	a.release()
	return t.finishPin(opts)
}

// attachAll attaches the programs, and those that count growth.
func (t *Tracer) attachAll(a *attacher, opts Options) error {
	a.hooks = plan(opts.Tier)
	a.loadAhead()
	defer a.discard()
	own, err := t.prepareHistory(a, opts)
	defer own.discard()
	if err := t.attach(a, opts.Tier); err != nil {
		return err
	}
	if err == nil {
		err = t.attachHistory(own)
	}
	t.growth.err = err
	return nil
}

// finishPin completes the new set and takes the place of older ones.
func (t *Tracer) finishPin(opts Options) error {
	if t.pin == nil {
		return nil
	}
	if err := t.pin.finish(t.maps, opts); err != nil {
		return err
	}
	return t.followUp()
}

// followUp is what comes once a set of this build is complete, be it new or not:
// a reader may have died at any point of it.
func (t *Tracer) followUp() error {
	t.warnUnpinned()
	if len(t.others.left) > 0 {
		t.warnings = append(t.warnings, (&ForeignPinError{Dir: t.pin.root, Names: t.others.left, Removed: true}).Error())
	}
	if err := t.takeOver(t.others.readable); err != nil {
		return err
	}
	return t.replace(t.others.foreign)
}

// warnUnpinned names the programs that see nothing while no reader runs.
func (t *Tracer) warnUnpinned() {
	var names []string
	for _, at := range t.attachments {
		if at.Unpinned {
			names = append(names, at.Kind+" on "+at.Hook)
		}
	}
	if len(names) > 0 {
		t.warnings = append(t.warnings, "this kernel cannot pin "+strings.Join(names, ", ")+"; data from it is missing while oomtrace is stopped")
	}
}

// resume takes what an earlier reader pinned, if there is something.
func (t *Tracer) resume(opts Options) (done bool, err error) {
	if opts.Pin == "" {
		return false, nil
	}
	if t.pin, err = openPinDir(opts.Pin); err != nil {
		return false, err
	}
	if t.others, err = t.pin.sets(); err != nil || !t.others.own {
		return false, err
	}
	t.keepSymbols(readSymbols(kallsyms, wantedSymbols()))
	if err := t.openPinned(t.pin.path); err != nil {
		return false, err
	}
	if err := t.attachPinned(t.pin.path); err != nil {
		return false, err
	}
	t.resumeHistory(t.pin.path)
	t.resumed = true
	if text := t.pin.differs(opts); text != "" {
		t.warnings = append(t.warnings, text)
	}
	return true, t.followUp()
}

// keepSymbols does without the symbols that cannot be had, and notes why.
func (t *Tracer) keepSymbols(symbols *Symbols, err error) {
	if err != nil {
		t.notes = append(t.notes, err.Error())
	}
	if symbols == nil {
		symbols = &Symbols{}
	}
	t.symbols = symbols
}

// prepare gathers what the programs need to know before they are loaded.
func prepare(opts Options, t *Tracer) (*attacher, error) {
	var symbols *Symbols
	var noSymbols error
	read := make(chan struct{})
	go func() {
		defer close(read)
		symbols, noSymbols = readSymbols(kallsyms, wantedSymbols())
	}()
	a, err := newAttacher(opts)
	if err == nil {
		err = t.setOffsets(a)
	}
	<-read
	if err != nil {
		return nil, err
	}
	t.keepSymbols(symbols, noSymbols)
	a.symbols = t.symbols
	size(a.spec, opts, t.machine.CPUs)
	return a, setConstants(a.spec, a.symbols, opts)
}

// setOffsets lets the programs find the parts of rss that are per CPU.
func (t *Tracer) setOffsets(a *attacher) error {
	if !rssIsPerCPU(a.types) {
		return nil
	}
	cpus, _, err := topology("/sys")
	if err != nil {
		return err
	}
	offsets, err := percpuOffsets(a.cache, a.types, cpus)
	if err != nil {
		t.notes = append(t.notes, "rss is approximate: "+err.Error())
		return nil
	}
	if err := setVariable(a.spec, probe.OomtraceVarPercpuOffsets, offsets); err != nil {
		return err
	}
	return setVariable(a.spec, probe.OomtraceVarPercpuOffsetsKnown, uint32(1))
}

// newAttacher reads the programs and the kernel's types.
func newAttacher(opts Options) (*attacher, error) {
	spec, err := probe.LoadOomtrace()
	if err != nil {
		return nil, fmt.Errorf("BPF object: %w", err)
	}
	a := &attacher{spec: spec, cache: btf.NewCache()}
	if a.types, err = kernelTypes(opts.BTF); err != nil {
		return nil, err
	}
	if a.types != nil {
		return a, nil
	}
	// Those of modules are left out, of which the library would look at all.
	if a.types, err = a.cache.Kernel(); isExhausted(err) {
		return nil, fmt.Errorf("read the kernel's types: %w: %w", ErrResources, err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w: %w", ErrUnsupported, ErrNoBTF, err)
	}
	return a, nil
}

// roomPerCPU is how many entries of an LRU map a CPU takes for itself, and then uses again in
// turn, whatever the others have left (kernel/bpf/bpf_lru_list.c, LOCAL_FREE_TARGET: 128).
const roomPerCPU = 2 * 128

// forCPUs makes room in an LRU map for what each CPU takes, up to 64 of them.
func forCPUs(m *ebpf.MapSpec, cpus uint32) {
	m.MaxEntries = max(m.MaxEntries, roomPerCPU*min(cpus, 64))
}

func size(spec *ebpf.CollectionSpec, opts Options, cpus uint32) {
	ringBytes, entries := opts.RingBytes, opts.CmdlineEntries
	if ringBytes == 0 {
		ringBytes = DefaultRingBytes
	}
	if entries == 0 {
		entries = DefaultCmdlineEntries
	}
	spec.Maps[probe.OomtraceMapEvents].MaxEntries = uint32(ringBytes)
	spec.Maps[probe.OomtraceMapCmdlines].MaxEntries = uint32(entries)
	forCPUs(spec.Maps[probe.OomtraceMapNoVictims], cpus)
}

// kernelTypes reads the BTF file of --btf; nil means the kernel's own.
func kernelTypes(path string) (*btf.Spec, error) {
	if path == "" {
		return nil, nil
	}
	// A device or a pipe may have no end.
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBTF, err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s: not a regular file", ErrBTF, path)
	}
	spec, err := btf.LoadSpec(path)
	if isExhausted(err) {
		return nil, fmt.Errorf("read %s: %w: %w", path, ErrResources, err)
	} else if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBTF, path, err)
	}
	return spec, nil
}

// openMaps creates the maps, without any program.
func (t *Tracer) openMaps(a *attacher) error {
	spec := *a.spec
	spec.Programs = nil
	coll, err := ebpf.NewCollectionWithOptions(&spec, ebpf.CollectionOptions{Cache: a.cache})
	if err != nil {
		return loadError("create BPF maps", err, ErrUnsupported)
	}
	t.maps = coll.Maps
	a.maps, a.variables = coll.Maps, coll.Variables
	coll.Maps = nil // closed by us
	coll.Close()
	if err := t.openRing(); err != nil {
		return err
	}
	if t.pin != nil {
		return t.pin.pinMaps(t.maps)
	}
	return nil
}

// exhausted is the error of a program that failed, or got a lesser attach type, for
// lack of resources: that one would be kept for good.
func exhausted(at Attachment) error {
	if slices.ContainsFunc(at.Tried, func(try Attempt) bool { return isExhausted(try.Err) }) {
		return &AttachError{Hook: at.Hook, Attempts: at.Tried}
	}
	return nil
}

// attach carries out the plan. Only a program that is needed can make it fail, or
// none on the decision where the attach type asks for one.
func (t *Tracer) attach(a *attacher, tier Tier) error {
	for n, h := range a.hooks {
		if h.wanted != nil && !h.wanted(a) {
			continue
		}
		at, l := a.hook(h, t.pin.spot(n))
		t.attachments = append(t.attachments, at)
		if l != nil {
			t.links = append(t.links, l)
		}
		if err := exhausted(at); err != nil {
			return err
		}
		if l != nil {
			if err := a.tellPrograms(h); err != nil {
				return err
			}
			continue
		}
		if h.needed {
			return &AttachError{Hook: h.name, Attempts: at.Tried}
		}
	}
	if tier == TierFentry || tier == TierKprobe {
		return anyDecides(t.attachments)
	}
	return nil
}

// anyDecides fails when none of the programs that an attach type stands for is
// attached.
func anyDecides(attachments []Attachment) error {
	var refused AttachError
	for _, at := range attachments {
		switch {
		case !at.Decides:
		case at.Kind != "":
			return nil
		default: // oom_kill_process comes last, and says the most
			refused = AttachError{Hook: at.Hook, Attempts: at.Tried, Privileged: true}
		}
	}
	return &refused
}

// describeMachine fills what every record says of this machine.
func (t *Tracer) describeMachine() {
	m := host.Identify()
	cpus, _, _ := topology("/sys") // 0, which is unknown, where it cannot be read
	t.machine = wire.Machine{
		Node: m.Node, BootID: m.BootID, Kernel: m.Kernel, CPUs: cpus,
		PageSize: uint64(os.Getpagesize()), Hooks: t.namesOf, GFP: gfpFlags,
	}
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

// Attachments are what is attached, and what was refused and why.
func (t *Tracer) Attachments() []Attachment { return t.attachments }

// Notes are findings that make records poorer but prevent none, in one line
// each.
func (t *Tracer) Notes() []string { return t.notes }

// Warnings are findings because of which records may be missing, or are not what
// was asked for, in one line each.
func (t *Tracer) Warnings() []string { return t.warnings }

// Kernel is the release of the running kernel.
func (t *Tracer) Kernel() string { return t.machine.Kernel }

// HiddenData names the data symbols that this kernel does not show: what they
// hold is then sampled from user space.
func (t *Tracer) HiddenData() []string {
	var hidden []string
	for _, name := range slices.Sorted(maps.Keys(wantedSymbols().data)) {
		if t.symbols.Data(name) == 0 && name != symMemcgStats {
			hidden = append(hidden, name)
		}
	}
	return hidden
}

// Symbols is the kernel's symbol table, as far as it is readable.
func (t *Tracer) Symbols() *Symbols { return t.symbols }

// read waits for the next event and decodes it into ev. After ctx is done it
// goes on until the ring buffer is empty and then returns io.EOF. Records that
// cannot be decoded are counted and passed over.
func (t *Tracer) read(ctx context.Context, ev *wire.Event) error {
	if t.draining < len(t.older) {
		if ok, err := t.readOlder(ev); ok || err != nil {
			return err
		}
	}
	for {
		rec, err := t.ring.Next(ctx)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return io.EOF
			}
			return fmt.Errorf("read ring: %w", err)
		}
		took, err := t.take(t.ring, rec, ev)
		if err != nil {
			return err
		}
		if !took {
			continue
		}
		if rec.Pos < t.drainEnd && isRecord(ev) {
			t.drained.Add(1)
		}
		return nil
	}
}

// isRecord says that an event is a record of its own, not a word for one.
func isRecord(ev *wire.Event) bool { return ev.Record.Kind != "" }

// take decodes a record of a ring. False: it cannot be decoded, and is counted.
func (t *Tracer) take(from *ring.Reader, rec ring.Record, ev *wire.Event) (bool, error) {
	t.machine.BootTime = t.clock.Start() // the wall clock may have been set
	err := ev.Decode(rec.Bytes, &t.machine)
	if err == nil {
		t.reading = from
		return true, nil
	}
	if err := t.counters.inherit(t.maps[probe.OomtraceMapLedger], probe.OomtraceCounterCOUNTER_UNREADABLE, 1); err != nil {
		return false, err
	}
	from.Done()
	return false, nil
}

// Resumed says that the programs were attached by an earlier reader.
func (t *Tracer) Resumed() bool { return t.resumed }

// RingBytes is the ring buffer's size: that of its pin, where there is one.
func (t *Tracer) RingBytes() int { return int(t.maps[probe.OomtraceMapEvents].MaxEntries()) }

// Drained is how many records of those read were sent before this reader came.
func (t *Tracer) Drained() uint64 { return t.drained.Load() }

// AttachedMonotonic is when the last program was attached, in nanoseconds of
// CLOCK_MONOTONIC.
func (t *Tracer) AttachedMonotonic() uint64 { return t.attachedAt }

// Waiting is how many records wait in the ring buffer: the one that was given out
// and is not acknowledged, too. Any goroutine may ask.
func (t *Tracer) Waiting() int {
	n := waiting(t.ring)
	for _, old := range t.older {
		n += old.waiting()
	}
	return n
}

func waiting(r *ring.Reader) int {
	inUse, n := r.Unread(func(h ring.Head) bool { return wire.IsRecord(h) })
	if inUse {
		n++
	}
	return n
}

// done says that the event that read returned has been delivered: the kernel may
// forget it.
func (t *Tracer) done() {
	if t.reading != nil {
		t.reading.Done()
		t.reading = nil
	}
}

// Stats reads the programs' counters.
func (t *Tracer) Stats() (Stats, error) {
	var s Stats
	err := t.counters.read(t.maps, &s)
	return s, err
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
	errs = append(errs, t.growth.close(), t.watched.close())
	for _, old := range t.older {
		errs = append(errs, old.close())
	}
	if t.pin != nil {
		errs = append(errs, t.pin.close())
	}
	t.links, t.ring, t.maps, t.pin = nil, nil, nil, nil
	return errors.Join(errs...)
}

// release frees the kernel's types and the programs as they were read, some 10 MB,
// and the binary's pages with the programs: the page cache has them, should they
// be wanted again.
func (a *attacher) release() {
	a.cache, a.types, a.spec = nil, nil, nil
	debug.FreeOSMemory()
	page := os.Getpagesize()
	for _, object := range probe.Objects() {
		skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(object)))) & (page - 1)
		if whole := (len(object) - skip) &^ (page - 1); whole > 0 {
			_ = unix.Madvise(object[skip:skip+whole], unix.MADV_DONTNEED)
		}
	}
}
