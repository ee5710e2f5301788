package tracer

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/probe"
)

// planText is a plan as data: a line for each hook, with its candidates.
func planText(hooks []hook) string {
	var b strings.Builder
	for _, h := range hooks {
		b.WriteString(h.name)
		if h.needed {
			b.WriteString(" (needed)")
		}
		b.WriteByte(':')
		for _, c := range h.candidates {
			b.WriteString(" " + c.kind + "=" + c.program)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

const (
	sidePlan = `sched_process_exec: raw_tp=raw_sched_process_exec
sched_process_exit: raw_tp=raw_sched_process_exit
exit_mmap: raw_tp=raw_exit_mmap
start_task_reaping: raw_tp=raw_start_task_reaping
finish_task_reaping: raw_tp=raw_finish_task_reaping
skip_task_reaping: raw_tp=raw_skip_task_reaping
cgroup_mkdir: raw_tp=raw_cgroup_mkdir
`
	fentryPlan = `out_of_memory: fentry=fentry_out_of_memory
out_of_memory return: fentry=fexit_out_of_memory
oom_evaluate_task: fentry=fentry_oom_evaluate_task
oom_kill_process: fentry=fentry_oom_kill_process
__oom_kill_process: fentry=fentry_kill_victim
`
	kprobePlan = `out_of_memory: kprobe=kprobe_out_of_memory
out_of_memory return: kprobe=kretprobe_out_of_memory
oom_evaluate_task: kprobe=kprobe_oom_evaluate_task
oom_kill_process: kprobe=kprobe_oom_kill_process
__oom_kill_process: kprobe=kprobe_kill_victim
`
	autoPlan = `out_of_memory: fentry=fentry_out_of_memory kprobe=kprobe_out_of_memory
out_of_memory return: fentry=fexit_out_of_memory kprobe=kretprobe_out_of_memory
oom_evaluate_task: fentry=fentry_oom_evaluate_task kprobe=kprobe_oom_evaluate_task
oom_kill_process: fentry=fentry_oom_kill_process kprobe=kprobe_oom_kill_process
__oom_kill_process: fentry=fentry_kill_victim kprobe=kprobe_kill_victim
`
	exitPlan = "exit_mmap return: fentry=fexit_exit_mmap\n"
	signal   = "signal_generate: raw_tp=raw_signal_generate\n"
	anyMark  = "mark_victim (needed): tp_btf=btf_mark_victim raw_tp=raw_mark_victim tracepoint=event_mark_victim\n"
)

func TestPlan(t *testing.T) {
	for tier, want := range map[Tier]string{
		TierAuto:       sidePlan + exitPlan + autoPlan + signal + anyMark,
		TierFentry:     sidePlan + exitPlan + fentryPlan + signal + anyMark,
		TierKprobe:     sidePlan + kprobePlan + signal + anyMark,
		TierTPBTF:      sidePlan + signal + "mark_victim (needed): tp_btf=btf_mark_victim\n",
		TierRawTP:      sidePlan + signal + "mark_victim (needed): raw_tp=raw_mark_victim\n",
		TierTracepoint: sidePlan + signal + "mark_victim (needed): tracepoint=event_mark_victim\n",
	} {
		if got := planText(plan(tier)); got != want {
			t.Errorf("tier %q plans\n%swant\n%s", tier, got, want)
		}
	}
}

// TestPlanPrograms holds the plan against the object: each program is there, of
// the kind and for the hook that the plan says, and none is left unused.
func TestPlanPrograms(t *testing.T) {
	spec, err := probe.LoadOomtrace()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]ebpf.ProgramType{
		string(TierFentry): ebpf.Tracing, string(TierKprobe): ebpf.Kprobe, string(TierTPBTF): ebpf.Tracing,
		string(TierRawTP): ebpf.RawTracepoint, string(TierTracepoint): ebpf.TracePoint,
	}
	unused := map[string]bool{}
	for name := range spec.Programs {
		unused[name] = true
	}
	for _, h := range plan(TierAuto) {
		for _, c := range h.candidates {
			p := spec.Programs[c.program]
			if p == nil || c.attach == nil {
				t.Errorf("%s: no program %s, or no way to attach it", h.name, c.program)
				continue
			}
			delete(unused, c.program)
			to := strings.TrimPrefix(p.AttachTo, "oom/")
			if p.Type != types[c.kind] || to != strings.TrimSuffix(h.name, " return") {
				t.Errorf("%s: %s is a %s on %q", h.name, c.program, p.Type, p.AttachTo)
			}
			if c.function != (c.kind == string(TierKprobe)) {
				t.Errorf("%s: looks up a symbol: %v", c.program, c.function)
			}
		}
	}
	for name := range unused {
		t.Errorf("%s is in no plan", name)
	}
}

func TestParseTier(t *testing.T) {
	for _, s := range []string{"", "auto"} {
		if tier, err := ParseTier(s); tier != TierAuto || err != nil {
			t.Errorf("%q: %q, %v", s, tier, err)
		}
	}
	for _, tier := range Tiers() {
		if got, err := ParseTier(string(tier)); got != tier || err != nil {
			t.Errorf("%q: %q, %v", tier, got, err)
		}
	}
	for _, s := range []string{"FENTRY", "fentry ", "kmsg", "fexit"} {
		if _, err := ParseTier(s); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", s)) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestHookNames(t *testing.T) {
	attached := []Attachment{
		{Hook: "sched_process_exit", Kind: "raw_tp"}, {Hook: hookOutOfMemoryReturn, Kind: "fentry"},
		{Hook: hookOutOfMemory, Kind: "fentry"}, {Hook: hookOOMKillProcess, Kind: "kprobe"}, {Hook: hookMarkVictim, Kind: "tp_btf"},
	}
	mark, kill := uint32(probe.OomtraceHookBitHOOK_MARK_VICTIM), uint32(probe.OomtraceHookBitHOOK_OOM_KILL_PROCESS)
	for mask, want := range map[uint32]string{
		0: "", mark: "tp_btf:mark_victim", mark | kill: "kprobe:oom_kill_process tp_btf:mark_victim",
		^uint32(0): "fentry:out_of_memory kprobe:oom_kill_process tp_btf:mark_victim",
	} {
		tr := &Tracer{attachments: attached}
		for range 2 {
			if got := strings.Join(tr.namesOf(mask), " "); got != want {
				t.Errorf("mask %#x: %q, want %q", mask, got, want)
			}
		}
	}
	seen := uint32(0)
	for _, h := range plan(TierAuto) {
		if seen&uint32(h.bit) != 0 {
			t.Errorf("%s has another hook's bit", h.name)
		}
		seen |= uint32(h.bit)
	}
	if seen != 1<<hookBits-1 {
		t.Errorf("bits %#x are in use, hookBits is %d", seen, hookBits)
	}
}

// TestConstants sets the programs' constants: every name must be in the
// object, with the size that is given.
func TestConstants(t *testing.T) {
	spec, err := probe.LoadOomtrace()
	if err != nil {
		t.Fatal(err)
	}
	s := parsed(t, someSymbols)
	if err := setConstants(spec, s, Options{Top: 100}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint64{
		probe.OomtraceVarKillStart: 0xffffffff81200400, probe.OomtraceVarKillEnd: 0xffffffff81200480,
		probe.OomtraceVarSymVmSwappiness: 0xffffffff82000000, probe.OomtraceVarSymTotalramPages: 0,
	} {
		var got uint64
		if err := spec.Variables[name].Get(&got); err != nil || got != want {
			t.Errorf("%s is %#x (%v), want %#x", name, got, err, want)
		}
	}
	var shift, top uint32
	if err := errors.Join(spec.Variables[probe.OomtraceVarPageShift].Get(&shift), spec.Variables[probe.OomtraceVarTopCandidates].Get(&top)); err != nil {
		t.Fatal(err)
	}
	if shift != uint32(bits.TrailingZeros(uint(os.Getpagesize()))) || top != MaxTop {
		t.Errorf("page shift %d, top %d", shift, top)
	}
	if err := setVariable(spec, "no_such_variable", uint32(1)); err == nil {
		t.Error("a variable that is not there")
	}
	for _, name := range []string{probe.OomtraceVarKillVictimHooked, probe.OomtraceVarExitMmapHooked, probe.OomtraceVarPercpuOffsetsKnown} {
		if v := spec.Variables[name]; v == nil || v.Size() != 4 {
			t.Errorf("%s: %v", name, v)
		}
	}
	if v := spec.Variables[probe.OomtraceVarPercpuOffsets]; v == nil || v.Size() != 8*maxCPUs {
		t.Errorf("%s: %v", probe.OomtraceVarPercpuOffsets, v)
	}
}

func TestOptions(t *testing.T) {
	for given, want := range map[int]int{0: DefaultTop, -1: 0, 1: 1, MaxTop: MaxTop, MaxTop + 1: MaxTop} {
		if got := (Options{Top: given}).top(); got != want {
			t.Errorf("top %d gives %d, want %d", given, got, want)
		}
	}
	for _, tc := range []struct {
		opts                     Options
		cpus                     uint32
		ring, cmdline, noVictims uint32
	}{
		{Options{}, 1, DefaultRingBytes, DefaultCmdlineEntries, 256},
		{Options{RingBytes: 4096, CmdlineEntries: 7}, 16, 4096, 7, 4096},
		{Options{}, 512, DefaultRingBytes, DefaultCmdlineEntries, 16384},
	} {
		spec, err := probe.LoadOomtrace()
		if err != nil {
			t.Fatal(err)
		}
		size(spec, tc.opts, tc.cpus)
		ring, cmdlines := spec.Maps[probe.OomtraceMapEvents].MaxEntries, spec.Maps[probe.OomtraceMapCmdlines].MaxEntries
		if noVictims := spec.Maps[probe.OomtraceMapNoVictims].MaxEntries; ring != tc.ring || cmdlines != tc.cmdline || noVictims != tc.noVictims {
			t.Errorf("%+v with %d CPUs: ring of %d bytes, %d command lines, %d OOMs without a victim", tc.opts, tc.cpus, ring, cmdlines, noVictims)
		}
	}
}

func TestAttachError(t *testing.T) {
	denied := &refusal{errno: unix.EPERM, text: "operation not permitted"}
	refusedProgram := &ebpf.VerifierError{Cause: unix.EACCES, Log: []string{"R1 invalid mem access"}}
	for _, tc := range []struct {
		name     string
		attempts []Attempt
		want     error
		not      error
		text     string
	}{
		{"all denied", []Attempt{{"tp_btf", denied}, {"raw_tp", unix.EACCES}}, ErrPermission, ErrUnsupported,
			"attach mark_victim: tp_btf: operation not permitted; raw_tp: permission denied"},
		{"one denied", []Attempt{{"fentry", denied}, {"kprobe", errNoKprobes}}, ErrUnsupported, ErrPermission,
			"attach mark_victim: fentry: operation not permitted; kprobe: " + errNoKprobes.Error()},
		{"refused by the verifier", []Attempt{{"raw_tp", fmt.Errorf("load: %w", refusedProgram)}}, ErrUnsupported, ErrPermission,
			"attach mark_victim: raw_tp: load: : permission denied: R1 invalid mem access"},
		{"denied without reasons", []Attempt{{"raw_tp", &ebpf.VerifierError{Cause: unix.EACCES}}}, ErrPermission, ErrUnsupported,
			"attach mark_victim: raw_tp: : permission denied"},
		{"no descriptors", []Attempt{{"tp_btf", &os.PathError{Op: "open", Path: "x", Err: unix.EMFILE}}, {"raw_tp", unix.EPERM}}, ErrResources, ErrUnsupported,
			"attach mark_victim: tp_btf: open x: too many open files; raw_tp: operation not permitted"},
		{"no memory", []Attempt{{"tp_btf", denied}, {"raw_tp", unix.ENOMEM}}, ErrResources, ErrPermission,
			"attach mark_victim: tp_btf: operation not permitted; raw_tp: cannot allocate memory"},
		{"none tried", nil, ErrUnsupported, ErrPermission, "attach mark_victim: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := error(&AttachError{Hook: hookMarkVictim, Attempts: tc.attempts})
			if !errors.Is(err, tc.want) || errors.Is(err, tc.not) || err.Error() != tc.text {
				t.Errorf("%v", err)
			}
			for _, a := range tc.attempts {
				if !errors.Is(err, a.Err) {
					t.Errorf("hides %v", a.Err)
				}
			}
		})
	}
}

// TestAnyDecides: an attach type without any of the decision's programs is refused,
// and not for want of privileges: mark_victim is attached.
func TestAnyDecides(t *testing.T) {
	denied := Attempt{Kind: "fentry", Err: unix.EPERM}
	refused := func(names ...string) (all []Attachment) {
		for _, name := range names {
			all = append(all, Attachment{Hook: name, Decides: true, Tried: []Attempt{denied}})
		}
		return append(all, Attachment{Hook: hookMarkVictim, Kind: "tp_btf"})
	}
	var attach *AttachError
	if err := anyDecides(refused(hookOutOfMemory, hookOOMKillProcess)); !errors.As(err, &attach) || attach.Hook != hookOOMKillProcess ||
		len(attach.Attempts) != 1 || !errors.Is(err, ErrUnsupported) || errors.Is(err, ErrPermission) {
		t.Errorf("%v", err)
	}
	one := append(refused(hookOutOfMemory), Attachment{Hook: hookOOMKillProcess, Kind: "fentry", Decides: true})
	if err := anyDecides(one); err != nil {
		t.Errorf("one is attached: %v", err)
	}
}

func TestPlainError(t *testing.T) {
	misleading := fmt.Errorf("create map: %w (MEMLOCK may be too low, consider rlimit.RemoveMemlock)", unix.EPERM)
	if err := plainError(misleading); !errors.Is(err, unix.EPERM) || strings.Contains(err.Error(), "MEMLOCK") {
		t.Errorf("%v", err)
	}
	other := fmt.Errorf("create map: %w", unix.ENOMEM)
	if err := plainError(other); !errors.Is(err, other) {
		t.Errorf("%v", err)
	}
	verifier := fmt.Errorf("load: %w", &ebpf.VerifierError{Cause: unix.EPERM, Log: []string{"R1 invalid"}})
	if err := plainError(verifier); !strings.Contains(err.Error(), "R1 invalid") {
		t.Errorf("%v", err)
	}
}

func TestLines(t *testing.T) {
	refused := []Attempt{{Kind: "fentry", Err: errors.New("operation not permitted")}}
	for _, tt := range []struct {
		at   Attachment
		want string
	}{
		{Attachment{Hook: "mark_victim", Kind: "tp_btf"}, "mark_victim           tp_btf"},
		{Attachment{Hook: "oom_kill_process", Kind: "kprobe", Symbol: "oom_kill_process.isra.0", Tried: refused},
			"oom_kill_process      kprobe on oom_kill_process.isra.0|                        fentry refused: operation not permitted"},
		{Attachment{Hook: "out_of_memory", Tried: refused}, "out_of_memory         not attached|                        fentry refused: operation not permitted"},
	} {
		if got := strings.Join(tt.at.Lines(), "|"); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// TestKinds: those that see a kill, each once.
func TestKinds(t *testing.T) {
	got := Kinds([]Attachment{
		{Hook: "a", Sees: true}, {Hook: "b", Kind: "fentry", Sees: true}, {Hook: "c", Kind: "raw_tp"}, {Hook: "d", Kind: "tp_btf", Sees: true}, {Hook: "e", Kind: "fentry", Sees: true},
	})
	if strings.Join(got, " ") != "fentry tp_btf" {
		t.Errorf("%q", got)
	}
}
