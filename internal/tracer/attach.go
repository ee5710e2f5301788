package tracer

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/oomtrace/oomtrace/internal/probe"
)

// Tier is the attach type of the programs. The zero Tier is TierAuto.
type Tier string

// The attach types, as --attach names them.
const (
	TierAuto       Tier = ""
	TierFentry     Tier = "fentry"
	TierKprobe     Tier = "kprobe"
	TierTPBTF      Tier = "tp_btf"
	TierRawTP      Tier = "raw_tp"
	TierTracepoint Tier = "tracepoint"
)

// Tiers lists the attach types a user can ask for, best first.
func Tiers() []Tier {
	return []Tier{TierFentry, TierKprobe, TierTPBTF, TierRawTP, TierTracepoint}
}

// ParseTier turns a user's word into a Tier; "auto" and "" are TierAuto.
func ParseTier(s string) (Tier, error) {
	if s == "auto" || s == "" {
		return TierAuto, nil
	}
	for _, t := range Tiers() {
		if s == string(t) {
			return t, nil
		}
	}
	return TierAuto, fmt.Errorf("unknown attach type %q", s)
}

// Attempt is one try to attach a program, and why the kernel refused it.
type Attempt struct {
	Kind string
	Err  error
}

// Attachment is how a program is attached. Kind is empty when no way worked.
type Attachment struct {
	// Hook is the kernel function or tracepoint.
	Hook string
	// Kind is "fentry", "kprobe", "tp_btf", "raw_tp" or "tracepoint".
	Kind string
	// Symbol is what was probed where it is not Hook itself: a split symbol
	// such as "oom_kill_process.isra.0".
	Symbol string
	// Sees is set for the programs that see the kill itself; the others see what
	// surrounds it.
	Sees bool
	// Decides is set for the program that sees the kernel's decision: gfp mask,
	// order, constraint and limit.
	Decides bool
	// Needed is set for the program without which nothing can be traced.
	Needed bool
	// Unpinned is set when pinning was asked for and this link cannot be: it
	// ends with its reader.
	Unpinned bool
	// Tried are the attempts that failed before Kind.
	Tried []Attempt
}

// Lines describes the attachment for a person: what is attached, and a line for
// each refusal.
func (a Attachment) Lines() []string {
	kind := a.Kind
	if kind == "" {
		kind = "not attached"
	}
	if a.Symbol != "" {
		kind += " on " + a.Symbol
	}
	lines := []string{fmt.Sprintf("%-21s %s", a.Hook, kind)}
	for _, try := range a.Tried {
		lines = append(lines, fmt.Sprintf("%-21s   %s refused: %v", "", try.Kind, try.Err))
	}
	return lines
}

// Kinds lists how the programs that see a kill are attached, the decision's first.
func Kinds(all []Attachment) []string {
	var kinds []string
	for _, a := range all {
		if a.Sees && a.Kind != "" && !slices.Contains(kinds, a.Kind) {
			kinds = append(kinds, a.Kind)
		}
	}
	return kinds
}

// candidate is one program for a hook, and how to attach it.
type candidate struct {
	kind    string
	program string
	attach  func(a *attacher, prog *ebpf.Program, symbol string) (link.Link, error)
	// function says that symbol must be looked up in kallsyms.
	function bool
}

// hook is a function or tracepoint and the ways to attach there, best first.
type hook struct {
	name       string
	bit        probe.OomtraceHookBit
	candidates []candidate
	needed     bool
	// wanted, if any, says whether this kernel has such a place at all: where it
	// has none, nothing is refused, and another program does the same.
	wanted func(*attacher) bool
	// unpinned is set for a hook whose events matter to a running reader only:
	// without one they would only fill the ring buffer. Of such a hook the program
	// is pinned, and each reader attaches it for itself.
	unpinned bool
}

// attachment describes the hook when it is attached by kind.
func (h *hook) attachment(kind string) Attachment {
	return Attachment{
		Hook: h.name, Kind: kind, Needed: h.needed, Sees: h.bit != 0,
		Decides: h.name == hookOutOfMemory || h.name == hookOOMKillProcess,
	}
}

// function is the kernel's name of the place: a word after it distinguishes hooks on
// one function.
func (h *hook) function() string {
	name, _, _ := strings.Cut(h.name, " ")
	return name
}

func attachTracing(_ *attacher, prog *ebpf.Program, _ string) (link.Link, error) {
	return link.AttachTracing(link.TracingOptions{Program: prog})
}

func attachKprobe(_ *attacher, prog *ebpf.Program, symbol string) (link.Link, error) {
	return link.Kprobe(symbol, prog, nil)
}

func attachKretprobe(_ *attacher, prog *ebpf.Program, symbol string) (link.Link, error) {
	return link.Kretprobe(symbol, prog, nil)
}

func attachRaw(name string) func(*attacher, *ebpf.Program, string) (link.Link, error) {
	return func(_ *attacher, prog *ebpf.Program, _ string) (link.Link, error) {
		return link.AttachRawTracepoint(link.RawTracepointOptions{Name: name, Program: prog})
	}
}

func attachEvent(group, name string) func(*attacher, *ebpf.Program, string) (link.Link, error) {
	return func(_ *attacher, prog *ebpf.Program, _ string) (link.Link, error) {
		return link.Tracepoint(group, name, prog, nil)
	}
}

func functionHook(name string, bit probe.OomtraceHookBit, fentry, kprobe string) hook {
	return hook{name: name, bit: bit, candidates: []candidate{
		{kind: string(TierFentry), program: fentry, attach: attachTracing},
		{kind: string(TierKprobe), program: kprobe, attach: attachKprobe, function: true},
	}}
}

func rawHook(name, program string) hook {
	return hook{name: name, candidates: []candidate{
		{kind: string(TierRawTP), program: program, attach: attachRaw(name)},
	}}
}

// exitMmapHook sees the end of an mm, which sched_process_exit may come before.
func exitMmapHook() hook {
	h := rawHook(hookExitMmap, probe.OomtraceProgRawExitMmap)
	h.wanted = hasExitMmap
	return h
}

// exitMmapReturnHook sees the same where there is no such tracepoint (seen on
// 5.10; it came with 6.1).
func exitMmapReturnHook() hook {
	return hook{
		name: hookExitMmapReturn, wanted: func(a *attacher) bool { return !hasExitMmap(a) },
		candidates: []candidate{{kind: string(TierFentry), program: probe.OomtraceProgFexitExitMmap, attach: attachTracing}},
	}
}

// hookOutOfMemoryReturn is the end of out_of_memory: the no-victim path.
const (
	hookOutOfMemory       = "out_of_memory"
	hookOutOfMemoryReturn = "out_of_memory return"
	hookEvaluateTask      = "oom_evaluate_task"
	hookOOMKillProcess    = "oom_kill_process"
	hookKillVictim        = "__oom_kill_process"
	hookMarkVictim        = "mark_victim"
	hookExitMmap          = "exit_mmap"
	hookExitMmapReturn    = "exit_mmap return"
)

// decisionHooks are the functions of mm/oom_kill.c, in the order they run.
func decisionHooks() []hook {
	return []hook{
		functionHook(hookOutOfMemory, probe.OomtraceHookBitHOOK_OUT_OF_MEMORY,
			probe.OomtraceProgFentryOutOfMemory, probe.OomtraceProgKprobeOutOfMemory),
		{name: hookOutOfMemoryReturn, candidates: []candidate{
			{kind: string(TierFentry), program: probe.OomtraceProgFexitOutOfMemory, attach: attachTracing},
			{kind: string(TierKprobe), program: probe.OomtraceProgKretprobeOutOfMemory, attach: attachKretprobe, function: true},
		}},
		functionHook(hookEvaluateTask, probe.OomtraceHookBitHOOK_EVALUATE_TASK,
			probe.OomtraceProgFentryOomEvaluateTask, probe.OomtraceProgKprobeOomEvaluateTask),
		functionHook(hookOOMKillProcess, probe.OomtraceHookBitHOOK_OOM_KILL_PROCESS,
			probe.OomtraceProgFentryOomKillProcess, probe.OomtraceProgKprobeOomKillProcess),
		functionHook(hookKillVictim, probe.OomtraceHookBitHOOK_KILL_VICTIM,
			probe.OomtraceProgFentryKillVictim, probe.OomtraceProgKprobeKillVictim),
	}
}

func markHook() hook {
	return hook{name: hookMarkVictim, bit: probe.OomtraceHookBitHOOK_MARK_VICTIM, needed: true, candidates: []candidate{
		{kind: string(TierTPBTF), program: probe.OomtraceProgBtfMarkVictim, attach: attachTracing},
		{kind: string(TierRawTP), program: probe.OomtraceProgRawMarkVictim, attach: attachRaw("mark_victim")},
		{kind: string(TierTracepoint), program: probe.OomtraceProgEventMarkVictim, attach: attachEvent("oom", "mark_victim")},
	}}
}

// sideHooks see what surrounds a kill: none of them is needed for one.
func sideHooks() []hook {
	return []hook{
		rawHook("sched_process_exec", probe.OomtraceProgRawSchedProcessExec),
		rawHook("sched_process_exit", probe.OomtraceProgRawSchedProcessExit),
		exitMmapHook(),
		rawHook("start_task_reaping", probe.OomtraceProgRawStartTaskReaping),
		rawHook("finish_task_reaping", probe.OomtraceProgRawFinishTaskReaping),
		rawHook("skip_task_reaping", probe.OomtraceProgRawSkipTaskReaping),
		{name: "cgroup_mkdir", unpinned: true, candidates: []candidate{
			{kind: string(TierRawTP), program: probe.OomtraceProgRawCgroupMkdir, attach: attachRaw("cgroup_mkdir")},
		}},
	}
}

// plan says what to attach for a tier, in order: mark_victim comes last, so
// that no kill is sent before what explains it is in place.
func plan(tier Tier) []hook {
	hooks := sideHooks()
	if tier == TierAuto || tier == TierFentry {
		hooks = append(hooks, exitMmapReturnHook())
	}
	if tier == TierAuto || tier == TierFentry || tier == TierKprobe {
		hooks = append(hooks, decisionHooks()...)
	}
	hooks = append(hooks, rawHook("signal_generate", probe.OomtraceProgRawSignalGenerate), markHook())
	for i := range hooks {
		hooks[i].candidates = allowed(hooks[i], tier)
	}
	return hooks
}

// allowed filters a hook's candidates by the attach type that was asked for.
func allowed(h hook, tier Tier) []candidate {
	if tier == TierAuto || len(h.candidates) == 1 {
		return h.candidates
	}
	var keep []candidate
	for _, c := range h.candidates {
		isFunction := c.kind == string(TierFentry) || c.kind == string(TierKprobe)
		pinned := tier == TierFentry || tier == TierKprobe
		if c.kind == string(tier) || (pinned && !isFunction) {
			keep = append(keep, c)
		}
	}
	return keep
}

// attacher loads and attaches the candidates one by one.
type attacher struct {
	spec      *ebpf.CollectionSpec
	maps      map[string]*ebpf.Map
	variables map[string]*ebpf.Variable
	cache     *btf.Cache
	types     *btf.Spec
	symbols   *Symbols
	watched   *watched

	hooks   []hook              // the plan
	ahead   map[string]*loading // by program, until it is asked for
	loads   sync.WaitGroup
	stopped atomic.Bool
}

// keep makes what was attached outlive its reader, as far as it can.
type keep func(link.Link, *ebpf.Program, *Attachment) error

func keepNothing(link.Link, *ebpf.Program, *Attachment) error { return nil }

// tellPrograms lets mark_victim know which programs run before it.
func (a *attacher) tellPrograms(h hook) error {
	var names []string
	switch h.name {
	case hookKillVictim:
		names = []string{probe.OomtraceVarKillVictimHooked}
	case hookExitMmap, hookExitMmapReturn:
		names = []string{probe.OomtraceVarExitMmapHooked}
	}
	for _, name := range names {
		if err := a.variables[name].Set(uint32(1)); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// hookBits is how many bits enum hook_bit has.
const hookBits = 5

// hookNames lists the attachments behind a record's hook mask.
func hookNames(attachments []Attachment, mask uint32) []string {
	var names []string
	bitOf := map[string]probe.OomtraceHookBit{}
	for _, h := range append(decisionHooks(), markHook()) {
		bitOf[h.name] = h.bit
	}
	for _, at := range attachments {
		if bit := bitOf[at.Hook]; bit != 0 && mask&uint32(bit) != 0 {
			names = append(names, at.Kind+":"+at.Hook)
		}
	}
	return names
}

// errNoSymbol reports a function that the kernel does not have, or has inlined.
var errNoSymbol = errors.New("no such function in this kernel")

// errNoFunctionType reports a function that BTF does not have: without its type there
// is no fentry.
var errNoFunctionType = errors.New("no such function in this kernel's BTF")

// errNoKprobes reports a kernel without kprobes, which the library's errors
// leave to be guessed.
var errNoKprobes = errors.New("this kernel has no kprobes (CONFIG_KPROBES)")

// hasKprobes looks for the kprobe event source, which is there from 4.17 on
// wherever kprobes are (kernel/events/core.c), or the tracefs file.
func hasKprobes() bool {
	for _, path := range []string{
		"/sys/bus/event_source/devices/kprobe",
		"/sys/kernel/tracing/kprobe_events",
		"/sys/kernel/debug/tracing/kprobe_events",
	} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// hook tries the candidates of h in turn. A candidate whose link cannot be
// pinned gives way to one that can, and is the last resort: its program is
// pinned then, for each reader to attach.
func (a *attacher) hook(h hook, pin *pinSpot) (Attachment, link.Link) {
	at := h.attachment("")
	first := pin.link
	if h.unpinned {
		first = pin.program
	}
	resort := -1
	for i, c := range h.candidates {
		l, err := a.candidate(h, c, &at, first)
		if err == nil {
			return at, l
		}
		if resort < 0 && errors.Is(err, link.ErrNotSupported) {
			resort = i
		}
		at.Kind, at.Symbol = "", ""
		at.Tried = append(at.Tried, Attempt{Kind: c.kind, Err: err})
	}
	if resort >= 0 {
		l, err := a.candidate(h, h.candidates[resort], &at, pin.program)
		if err == nil {
			at.Unpinned = true
			return at, l
		}
		at.Kind = ""
	}
	return at, nil
}

// refused says why a candidate needs no try.
func (a *attacher) refused(h hook, c candidate) error {
	if c.kind == string(TierKprobe) && !hasKprobes() {
		return errNoKprobes
	}
	if c.kind == string(TierFentry) && !a.hasFunction(h.function()) {
		return fmt.Errorf("%s: %w", h.function(), errNoFunctionType)
	}
	_, err := a.symbol(h, c)
	return err
}

// hasFunction says whether the running kernel's types have a function, which the
// library would go on to look for in those of all modules. Without any, it is asked.
func (a *attacher) hasFunction(name string) bool {
	types, err := a.cache.Kernel()
	if err != nil {
		return true
	}
	var function *btf.Func
	return !errors.Is(types.TypeByName(name, &function), btf.ErrNotFound)
}

func (a *attacher) candidate(h hook, c candidate, at *Attachment, pin keep) (link.Link, error) {
	if err := a.refused(h, c); err != nil {
		return nil, err
	}
	prog, err := a.take(c.program)
	if err != nil {
		return nil, err
	}
	defer func() { _ = prog.Close() }() // the link holds it
	return a.attach(h, c, at, prog, pin)
}

// loading is a program that is loaded before it is asked for.
type loading struct {
	done chan struct{}
	prog *ebpf.Program
	err  error
}

// loadAhead loads what is to be tried first, some at a time and in the order of the plan,
// in which each is then asked for: to attach one can take a tenth of a second of waiting.
// Only the last is loaded first, which takes the verifier longest.
func (a *attacher) loadAhead() {
	var names []string
	a.ahead = map[string]*loading{}
	for _, h := range a.hooks {
		if c, ok := a.first(h); ok {
			names = append(names, c.program)
			a.ahead[c.program] = &loading{done: make(chan struct{})}
		}
	}
	if last := len(names) - 1; last > 0 {
		names = slices.Insert(names[:last], 0, names[last])
	}
	queue := make(chan string, len(names))
	for _, name := range names {
		queue <- name
	}
	close(queue)
	all := maps.Clone(a.ahead)
	for range min(runtime.GOMAXPROCS(0), mostAtATime) {
		a.loads.Go(func() {
			for name := range queue {
				if l := all[name]; !a.stopped.Load() {
					l.prog, l.err = a.load(name)
					close(l.done)
				}
			}
		})
	}
}

// first is the first candidate of a hook that may work.
func (a *attacher) first(h hook) (candidate, bool) {
	if h.wanted != nil && !h.wanted(a) {
		return candidate{}, false
	}
	for _, c := range h.candidates {
		if a.refused(h, c) == nil {
			return c, true
		}
	}
	return candidate{}, false
}

// discard closes what was loaded and not asked for.
func (a *attacher) discard() {
	if a == nil {
		return
	}
	a.stopped.Store(true)
	a.loads.Wait()
	for _, l := range a.ahead {
		_ = l.prog.Close()
	}
}

// mostAtATime bounds the memory that loading takes.
const mostAtATime = 4

// take gives a program that was loaded ahead, or loads it.
func (a *attacher) take(name string) (*ebpf.Program, error) {
	l := a.ahead[name]
	if l == nil {
		return a.load(name)
	}
	delete(a.ahead, name)
	<-l.done
	return l.prog, l.err
}

// attach attaches a program that is loaded.
func (a *attacher) attach(h hook, c candidate, at *Attachment, prog *ebpf.Program, pin keep) (link.Link, error) {
	symbol, err := a.symbol(h, c)
	if err != nil {
		return nil, err
	}
	l, err := c.attach(a, prog, symbol)
	if err != nil {
		return nil, fmt.Errorf("attach: %w", plainError(err))
	}
	at.Kind = c.kind
	if c.function && symbol != h.function() {
		at.Symbol = symbol
	}
	if err := pin(l, prog, at); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	a.watched.add(at, prog)
	return l, nil
}

// symbol finds what to probe: the function, or the copy of it that the
// compiler made and suffixed.
func (a *attacher) symbol(h hook, c candidate) (string, error) {
	name := h.function()
	if !c.function {
		return name, nil
	}
	symbol, ok := a.symbols.Function(name)
	if !ok {
		return "", fmt.Errorf("%s: %w", name, errNoSymbol)
	}
	return symbol, nil
}

// load loads one program alone, on those of the shared maps that it uses.
func (a *attacher) load(name string) (*ebpf.Program, error) {
	prog := a.spec.Programs[name]
	if prog == nil {
		return nil, fmt.Errorf("load: no program %s in the BPF object", name)
	}
	spec := &ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{name: prog}, Maps: map[string]*ebpf.MapSpec{}, Types: a.spec.Types, ByteOrder: a.spec.ByteOrder,
	}
	maps := map[string]*ebpf.Map{}
	for _, ins := range prog.Instructions {
		if !ins.IsLoadFromMap() {
			continue
		}
		ref := ins.Reference()
		if m := a.maps[ref]; m != nil && maps[ref] == nil {
			untyped := *a.spec.Maps[ref]
			untyped.Key, untyped.Value = nil, nil // the library would copy the types
			spec.Maps[ref], maps[ref] = &untyped, m
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs:        ebpf.ProgramOptions{KernelTypes: a.types},
		MapReplacements: maps,
		Cache:           a.cache,
	})
	if err != nil {
		return nil, fmt.Errorf("load: %w", plainError(err))
	}
	loaded := coll.DetachProgram(name)
	coll.Close()
	return loaded, nil
}
