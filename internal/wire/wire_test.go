package wire

import (
	"errors"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

const page = 4096

// TestVictim compares every field with the record that the numbers mean.
func TestVictim(t *testing.T) {
	ev := decode(t, whole().encode())
	cgroup := "/kubepods.slice/pod42/leaf"
	v2 := func(path string, id, usage uint64, limit oom.Opt[uint64]) oom.CgroupLimit {
		return oom.CgroupLimit{Cgroup: path, CgroupID: some(id), UsageBytes: some(usage * page), MaxBytes: limit,
			SwapUsageBytes: some(3 * page), OOMGroup: oom.Some(false)}
	}
	boot := machine().BootTime
	same(t, ev.Record, oom.Record{
		Schema: 1, ID: "0b6a3d5e-k3b9aca00-700", Kind: oom.KindKill, Time: boot.Add(5 * time.Second), UptimeNS: some(5e9), Node: "node-3",
		BootID: "0b6a3d5e-0000-4000", Kernel: "6.12", Source: oom.SourceBPF, Hooks: []string{"mask:24"}, Incident: "0b6a3d5e-129f6afc0",
		Scope: oom.ScopeCgroup, DomainBytes: some(1000 * page),
		Victim: &oom.Victim{
			PID: oom.Some(int32(700)), TID: oom.Some(int32(701)), PPID: oom.Some(int32(1)), NSPID: oom.Some(int32(7)),
			UID: oom.Some(uint32(1000)), Comm: "worker", Cmdline: "java -jar a b.jar", Args: "java\x00-jar\x00a b.jar", Exe: "/usr/bin/java", StartTime: boot.Add(time.Second),
			TotalVMBytes: some(100 * page), RSSBytes: some(24 * page), AnonRSSBytes: some(20 * page), FileRSSBytes: some(page),
			ShmemRSSBytes: some(3 * page), SwapBytes: some(4 * page), PgtablesBytes: some(4096), LockedVMBytes: some(2 * page),
			OOMScoreAdj: oom.Some(int32(-5)), BadnessPages: oom.Some(int64(29)), Cgroup: cgroup, CgroupID: some(4242),
			CgroupLimits: []oom.CgroupLimit{
				v2(cgroup, 4242, 64, some(100*page)), v2("/kubepods.slice/pod42", 4243, 500, some(500*page)),
				v2("/kubepods.slice", 4244, 900, oom.Opt[uint64]{}),
			},
		},
		Trigger: &oom.Trigger{
			PID: oom.Some(int32(800)), TID: oom.Some(int32(800)), UID: oom.Some(uint32(1000)), Comm: "asker", Cmdline: "java -jar a b.jar", Args: "java\x00-jar\x00a b.jar",
			OOMScoreAdj: oom.Some(int32(-5)), Cgroup: cgroup, CgroupID: some(4243), GFPMask: oom.Some(uint32(0xcc0)),
			GFPFlags: []string{"GFP_KERNEL"}, Order: oom.Some(int32(0)), Nodemask: "1", MemsAllowed: "0-2,5", KernelStack: []string{"f11+0x1", "f22+0x1", "f33+0x1"},
		},
		Limit: &oom.Limit{
			Cgroup: "/kubepods.slice/pod42", CgroupID: some(4243), UsageBytes: some(500 * page), MaxBytes: some(500 * page),
			SwapUsageBytes: some(3 * page), Failures: some(9), OOMGroup: oom.Some(false), Version: oom.Some(uint32(2)),
			Stat: oom.Stats{{Name: "anon_bytes", Bytes: 0}, {Name: "swap_bytes", Bytes: 8192}},
		},
		Memory: &oom.Memory{
			TotalBytes: some(page << 20), FreeBytes: some(page << 10), SwapTotalBytes: some(page << 18), Swappiness: oom.Some(uint32(60)),
			OOMKillAllocatingTask: oom.Some(false), Stat: oom.Stats{{Name: "shmem_bytes", Bytes: 12288}},
			Zones: []oom.Zone{{
				Node: oom.Some(int32(0)), Zone: "Normal", FreeBytes: some(10 * page), MinBytes: some(5 * page), HighBytes: some(9 * page),
				ManagedBytes: some(page << 18), LowmemReserveBytes: []uint64{0, 7 * page}, FreeBlocks: []uint64{4, 3},
			}},
		},
		CandidatesTotal: some(17), CandidatesBytes: some(40 * page), Candidates: []oom.Candidate{wantCandidate(700, 29, "worker"), wantCandidate(900, 5, "small")},
	})
	same(t, ev.UserStack, []oom.UserFrame{{Address: 0x7f0011, BuildID: [20]byte{0xab}, Offset: 0x11}, {Address: 0x7f0022}})
}

func wantCandidate(pid int32, points int64, name string) oom.Candidate {
	return oom.Candidate{
		PID: oom.Some(pid), UID: oom.Some(uint32(1000)), OOMScoreAdj: oom.Some(int32(-5)), Comm: name, BadnessPages: oom.Some(points),
		Cgroup: "/kubepods.slice/pod42/leaf", CgroupID: some(4242), TotalVMBytes: some(50 * page), SwapBytes: some(4 * page), AnonRSSBytes: some(2 * page),
		FileRSSBytes: some(page), ShmemRSSBytes: some(3 * page), RSSBytes: some(6 * page), PgtablesBytes: some(8192),
	}
}

// TestNothingKnown shows that what BPF could not read is absent, not 0.
func TestNothingKnown(t *testing.T) {
	var ev Event
	if err := ev.Decode(bare().encode(), &Machine{}); err != nil {
		t.Fatal(err)
	}
	same(t, ev.Record, oom.Record{
		Schema: 1, ID: "12a05f200-701", Kind: oom.KindKill, UptimeNS: some(5e9), Source: oom.SourceBPF, Incident: "129f6afc0",
		Victim: &oom.Victim{TID: oom.Some(int32(701))},
	})
	if len(ev.UserStack) != 0 {
		t.Errorf("user stack %v", ev.UserStack)
	}
}

// TestUnknown marks one number after the other as not known: its field goes,
// and with it what is reckoned from it.
func TestUnknown(t *testing.T) {
	type opts = []oom.Opt[uint64]
	for _, tc := range []struct {
		name   string
		change func(*victimRecord)
		absent func(*oom.Record) opts
	}{
		{"anon", func(r *victimRecord) { r.Mm.AnonPages = unknown }, func(r *oom.Record) opts { return opts{r.Victim.AnonRSSBytes, r.Victim.RSSBytes} }},
		{"file", func(r *victimRecord) { r.Mm.FilePages = unknown }, func(r *oom.Record) opts { return opts{r.Victim.FileRSSBytes, r.Victim.RSSBytes} }},
		{"shmem", func(r *victimRecord) { r.Mm.ShmemPages = unknown }, func(r *oom.Record) opts { return opts{r.Victim.ShmemRSSBytes, r.Victim.RSSBytes} }},
		{"swap", func(r *victimRecord) { r.Mm.SwapPages = unknown }, func(r *oom.Record) opts { return opts{r.Victim.SwapBytes} }},
		{"pgtables", func(r *victimRecord) { r.Mm.PgtablesBytes = unknown }, func(r *oom.Record) opts { return opts{r.Victim.PgtablesBytes} }},
		{"locked", func(r *victimRecord) { r.Mm.LockedVmPages = unknown }, func(r *oom.Record) opts { return opts{r.Victim.LockedVMBytes} }},
		{"domain", func(r *victimRecord) { r.Decision.TotalPages = unknown }, func(r *oom.Record) opts { return opts{r.DomainBytes} }},
		{"free", func(r *victimRecord) { r.Memory.FreePages = unknown }, func(r *oom.Record) opts { return opts{r.Memory.FreeBytes} }},
		{"limit failures", func(r *victimRecord) { r.Limit.Failures = unknown }, func(r *oom.Record) opts { return opts{r.Limit.Failures} }},
		{"limit usage", func(r *victimRecord) { r.Limit.UsagePages = unknown }, func(r *oom.Record) opts { return opts{r.Limit.UsageBytes} }},
		{"limit of none", func(r *victimRecord) { r.Limit.MaxPages = noLimitPages }, func(r *oom.Record) opts { return opts{r.Limit.MaxBytes} }},
		{"not weighed", func(r *victimRecord) { r.Hooks = 0 }, func(r *oom.Record) opts { return opts{r.CandidatesTotal} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := whole()
			for _, o := range tc.absent(&decode(t, r.encode()).Record) {
				if !o.Known {
					t.Fatal("absent before the change")
				}
			}
			tc.change(r)
			for i, o := range tc.absent(&decode(t, r.encode()).Record) {
				if o.Known {
					t.Errorf("value %d is %d", i, o.Value)
				}
			}
		})
	}
}

func TestUnknown32(t *testing.T) {
	r := whole()
	r.Memory.Swappiness, r.Memory.KillAllocatingTask, r.Victim.NsTgid, r.Victim.CgroupId = unknown32, unknown32, -1, unknown
	rec := &decode(t, r.encode()).Record
	if rec.Memory.Swappiness.Known || rec.Memory.OOMKillAllocatingTask.Known || rec.Victim.NSPID.Known {
		t.Errorf("claims %+v, pid %v", rec.Memory, rec.Victim.NSPID)
	}
	if rec.Victim.Cgroup != "" || rec.Victim.CgroupID.Known {
		t.Errorf("cgroup %q %v", rec.Victim.Cgroup, rec.Victim.CgroupID)
	}
}

func TestKindsAndScopes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*victimRecord)
		kind   oom.Kind
		scope  oom.Scope
	}{
		{"killed", func(*victimRecord) {}, oom.KindKill, oom.ScopeCgroup},
		{"marked only", func(r *victimRecord) { r.Killed = 0 }, oom.KindAlreadyExiting, oom.ScopeCgroup},
		{"not known if killed", func(r *victimRecord) { r.Killed = 2 }, oom.KindKill, oom.ScopeCgroup},
		{"no process", func(r *victimRecord) { r.Hdr.Type, r.Killed = uint16(probe.OomtraceEventTypeEVENT_NO_VICTIM), 0 }, oom.KindNoVictim, oom.ScopeCgroup},
		{"system", func(r *victimRecord) { r.Decision.Constraint = constraintNone }, oom.KindKill, oom.ScopeSystem},
		{"cpuset", func(r *victimRecord) { r.Decision.Constraint = constraintCpuset }, oom.KindKill, oom.ScopeCpuset},
		{"mempolicy", func(r *victimRecord) { r.Decision.Constraint = constraintMempolicy }, oom.KindKill, oom.ScopeMempolicy},
		{"constraint of the future", func(r *victimRecord) { r.Decision.Constraint = 9 }, oom.KindKill, ""},
		{"decision not seen", func(r *victimRecord) { r.Decision = probe.OomtraceDecisionInfo{} }, oom.KindKill, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := whole()
			tc.change(r)
			rec := &decode(t, r.encode()).Record
			if rec.Kind != tc.kind || rec.Scope != tc.scope || rec.Sysrq.Known {
				t.Errorf("%s, %s, sysrq %v", rec.Kind, rec.Scope, rec.Sysrq)
			}
			if (rec.Victim == nil) != (tc.kind == oom.KindNoVictim) {
				t.Errorf("victim %+v", rec.Victim)
			}
		})
	}
	r := whole()
	r.Decision.Order = sysrqOrder
	if rec := &decode(t, r.encode()).Record; !rec.Sysrq.Value || rec.Trigger.Order != oom.Some(int32(-1)) {
		t.Errorf("sysrq %v, order %v", rec.Sysrq, rec.Trigger.Order)
	}
}

// TestIncident decodes the victims of one memory.oom.group kill: one incident,
// an id each that stays, and points for the chosen one alone.
func TestIncident(t *testing.T) {
	ids, chosen := map[string]bool{}, 0
	incident := ""
	for i := range int32(5) {
		r := whole()
		r.Hdr.BootNs += uint64(i) * 1000
		r.Victim.Tgid, r.Victim.Tid, r.MarkTid = 700+2*i, 701+2*i, 701+2*i
		b := r.encode()
		rec := &decode(t, b).Record
		if again := &decode(t, b).Record; again.ID != rec.ID || again.Incident != rec.Incident {
			t.Errorf("read again: %s of %s, was %s of %s", again.ID, again.Incident, rec.ID, rec.Incident)
		}
		if incident == "" {
			incident = rec.Incident
		}
		if rec.Incident != incident || ids[rec.ID] {
			t.Errorf("record %s of %s: each its own, one incident %s", rec.ID, rec.Incident, incident)
		}
		ids[rec.ID] = true
		if rec.Victim.BadnessPages.Known {
			chosen++
		}
	}
	if chosen != 1 {
		t.Errorf("%d victims have the chosen one's points", chosen)
	}
	var other Event
	m := machine()
	m.BootID = "ffffffff"
	if err := other.Decode(whole().encode(), m); err != nil || other.Record.Incident == incident || ids[other.Record.ID] {
		t.Errorf("another boot: %s of %s, %v", other.Record.ID, other.Record.Incident, err)
	}
	if x := decode(t, bytesOf(exitRecord())); x.Record.Incident != incident {
		t.Errorf("the exit belongs to %s", x.Record.Incident)
	}
}

func TestCutPaths(t *testing.T) {
	r := whole()
	r.Victim.Flags |= uint32(probe.OomtraceTaskFlagTASK_CGROUP_CUT | probe.OomtraceTaskFlagTASK_CMDLINE_CUT | probe.OomtraceTaskFlagTASK_EXE_CUT)
	r.Limit.Flags |= uint32(probe.OomtraceMemcgFlagMEMCG_CUT)
	rec := &decode(t, r.encode()).Record
	v := rec.Victim
	if v.Cgroup != "…/kubepods.slice/pod42/leaf" || !v.CgroupCut.Value || !v.CmdlineCut.Value || v.Exe != "…/usr/bin/java" {
		t.Errorf("cgroup %q cut %v, cmdline cut %v, exe %q", v.Cgroup, v.CgroupCut, v.CmdlineCut, v.Exe)
	}
	var chain []string
	for _, l := range v.CgroupLimits {
		chain = append(chain, l.Cgroup)
	}
	same(t, chain, []string{"…/kubepods.slice/pod42/leaf", "…/kubepods.slice/pod42", "…/kubepods.slice"})
	if rec.Limit.Cgroup != "…/kubepods.slice/pod42" || !rec.Limit.CgroupCut.Value || rec.Trigger.CgroupCut.Known {
		t.Errorf("limit %q cut %v; trigger cut %v", rec.Limit.Cgroup, rec.Limit.CgroupCut, rec.Trigger.CgroupCut)
	}
}

func TestPaths(t *testing.T) {
	for _, tc := range []struct{ names, want string }{
		{"", "/"}, {"\x00", "/"}, {"a\x00", "/a"}, {"b\x00a\x00", "/a/b"}, {"b\x00a", "/a/b"}, {"a\nb\xff\x00", "/a\nb\xff"},
		{strings.Repeat("n", 255) + "\x00", "/" + strings.Repeat("n", 255)},
	} {
		r := whole()
		r.Victim.Cgroup = r.append([]byte(tc.names))
		if got := decode(t, r.encode()).Record.Victim.Cgroup; got != tc.want {
			t.Errorf("%q is %q, want %q", tc.names, got, tc.want)
		}
	}
}

func TestParentPath(t *testing.T) {
	for path, want := range map[string]string{"/a/b": "/a", "/a": "/", "/": "/", "…/a/b": "…/a", "…/a": "…", "…": "…", "": ""} {
		if got := parentPath(path); got != want {
			t.Errorf("above %q is %q, want %q", path, got, want)
		}
	}
}

// TestOrigin: points of LONG_MAX mean that the task was not weighed.
func TestOrigin(t *testing.T) {
	r := whole()
	r.Decision.ChosenPoints = math.MaxInt64
	v := decode(t, r.encode()).Record.Victim
	if v.BadnessPages.Known || !v.OOMOrigin.Value {
		t.Errorf("points %v, origin %v", v.BadnessPages, v.OOMOrigin)
	}
}

// TestNotWeighed: with vm.oom_kill_allocating_task the kernel weighs none, and its points stay 0.
func TestNotWeighed(t *testing.T) {
	weighed := uint32(probe.OomtraceHookBitHOOK_EVALUATE_TASK)
	for _, tt := range []struct {
		hooks  uint32
		points int64
		want   oom.Opt[int64]
	}{
		{weighed, 0, oom.Some[int64](0)},
		{weighed, 29, oom.Some[int64](29)},
		{0, 0, oom.Opt[int64]{}},
		{0, 29, oom.Some[int64](29)},
	} {
		r := whole()
		r.Hooks = uint32(probe.OomtraceHookBitHOOK_MARK_VICTIM) | tt.hooks
		r.Decision.ChosenPoints = tt.points
		if v := decode(t, r.encode()).Record.Victim; v.BadnessPages != tt.want {
			t.Errorf("hooks %#x, points %d: %v", r.Hooks, tt.points, v.BadnessPages)
		}
	}
}

func TestNodes(t *testing.T) {
	for mask, want := range map[uint64]string{
		0: "", 1: "0", 3: "0-1", 1 << 63: "63", 1<<63 | 1: "0,63", 1<<63 | 1<<62 | 5: "0,2,62-63", unknown: "", unknown - 1: "1-63",
	} {
		r := whole()
		r.Decision.Nodemask = mask
		if got := decode(t, r.encode()).Record.Trigger.Nodemask; got != want {
			t.Errorf("%#x is %q, want %q", mask, got, want)
		}
	}
}

func TestCgroupV1(t *testing.T) {
	r := whole()
	info := probe.OomtraceMemcgInfo{Id: 1, UsagePages: 10, MaxPages: 10, HighPages: noLimitPages, SwapUsagePages: 12, SwapMaxPages: 20,
		KmemUsagePages: 2, KmemMaxPages: noLimitPages, Swappiness: 60}
	r.Limit, r.Chain = info, r.append(bytesOf(&info))
	rec := &decode(t, r.encode()).Record
	same(t, rec.Victim.CgroupLimits, []oom.CgroupLimit{{
		Cgroup: "/kubepods.slice/pod42/leaf", CgroupID: some(1), UsageBytes: some(10 * page), MaxBytes: some(10 * page), MemswMaxBytes: some(20 * page),
		Swappiness: oom.Some(uint32(60)),
	}})
	rec.Limit.Stat = nil
	for name, v := range map[string]struct {
		pages uint64
		known bool
	}{"at the limit": {noLimitPages, false}, "below it": {noLimitPages - 1, true}} {
		r.Limit.SwapMaxPages = v.pages
		if got := decode(t, r.encode()).Record.Limit.MemswMaxBytes; got.Known != v.known {
			t.Errorf("a memory and swap limit %s of what there can be: %v", name, got)
		}
	}
	same(t, rec.Limit, oom.Limit{
		Cgroup: "/kubepods.slice/pod42", CgroupID: some(1), UsageBytes: some(10 * page), MaxBytes: some(10 * page), Failures: some(0),
		MemswUsageBytes: some(12 * page), MemswMaxBytes: some(20 * page), KmemUsageBytes: some(2 * page), Swappiness: oom.Some(uint32(60)),
		Version: oom.Some(uint32(1)),
	})
}

// TestDeducedLimit covers the tiers that do not see the decision: the one full
// cgroup on the way up is the limit, two full ones leave it open.
func TestDeducedLimit(t *testing.T) {
	stack := map[uint64]string{1: "bpf_prog+0x1", 2: "mark_oom_victim+0x2", 3: "mem_cgroup_out_of_memory+0x3"}
	for _, tc := range []struct {
		name  string
		chain []byte
		addrs []uint64
		scope oom.Scope
		limit string
	}{
		{"one full", append(link(1, 10, 100), link(2, 500, 500)...), []uint64{1, 2, 3}, oom.ScopeCgroup, "/kubepods.slice/pod42"},
		{"charged in batches", append(link(1, 10, 100), link(2, 436, 500)...), []uint64{2, 3}, oom.ScopeCgroup, "/kubepods.slice/pod42"},
		{"the victim's own", append(link(1, 100, 100), link(2, 100, 500)...), []uint64{2, 3}, oom.ScopeCgroup, "/kubepods.slice/pod42/leaf"},
		{"two full", append(link(1, 100, 100), link(2, 500, 500)...), []uint64{2, 3}, oom.ScopeCgroup, ""},
		{"none full", append(link(1, 10, 100), link(2, 100, 500)...), []uint64{2, 3}, oom.ScopeCgroup, ""},
		{"usage not known", link(1, unknown, 100), []uint64{2, 3}, oom.ScopeCgroup, ""},
		{"not a cgroup's", link(1, 100, 100), []uint64{1, 2}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := whole()
			r.Decision = probe.OomtraceDecisionInfo{}
			fill(&r.Limit)
			r.Chain, r.KernelStack = r.append(tc.chain), r.append(words(tc.addrs...))
			m := machine()
			m.Symbol = func(a uint64) string { return stack[a] }
			var ev Event
			if err := ev.Decode(r.encode(), m); err != nil {
				t.Fatal(err)
			}
			got := ""
			if ev.Record.Limit != nil {
				got = ev.Record.Limit.Cgroup
			}
			if ev.Record.Scope != tc.scope || got != tc.limit {
				t.Errorf("scope %q, limit %q", ev.Record.Scope, got)
			}
			if s := ev.Record.Trigger.KernelStack; !strings.HasPrefix(s[0], "mark_oom_victim") {
				t.Errorf("the stack begins with the program's own frames: %v", s)
			}
		})
	}
}

func TestExit(t *testing.T) {
	raw := exitRecord()
	ev := decode(t, bytesOf(raw))
	same(t, ev.Record.Victim, oom.Victim{PID: oom.Some(int32(700)), TID: oom.Some(int32(701)), Comm: "worker"})
	same(t, ev.Record.Exit, oom.Exit{
		AfterNS: some(38e6), Reaped: oom.Some(true), ReapedAfterNS: some(10e6), RSSBytes: some(4 * page), AnonRSSBytes: some(0),
		FileRSSBytes: some(page), ShmemRSSBytes: some(3 * page), SwapBytes: some(4 * page),
	})
	fill(&raw.Mm)
	raw.ReapLast, raw.ReapEndBootNs, raw.MarkedBootNs = uint32(probe.OomtraceReapResultREAP_NONE), 0, raw.Hdr.BootNs+1
	same(t, decode(t, bytesOf(raw)).Record.Exit, oom.Exit{})
	raw.MarkedBootNs = raw.Hdr.BootNs
	same(t, decode(t, bytesOf(raw)).Record.Exit, oom.Exit{AfterNS: some(0)})
	raw = exitRecord()
	raw.Mm.ShmemPages, raw.Mm.SwapPages, raw.ReapLast = unknown, unknown, uint32(probe.OomtraceReapResultREAP_NEEDLESS)
	same(t, decode(t, bytesOf(raw)).Record.Exit, oom.Exit{
		AfterNS: some(38e6), Reaped: oom.Some(false), AnonRSSBytes: some(0), FileRSSBytes: some(page),
	})
}

// TestHeads: what waits in the ring buffer is counted by its first bytes.
func TestHeads(t *testing.T) {
	for _, tc := range []struct {
		name         string
		typ          probe.OomtraceEventType
		kill, record bool
	}{
		{"kill", probe.OomtraceEventTypeEVENT_VICTIM, true, true},
		{"no victim", probe.OomtraceEventTypeEVENT_NO_VICTIM, true, true},
		{"exit", probe.OomtraceEventTypeEVENT_EXIT, false, true},
		{"sigkill", probe.OomtraceEventTypeEVENT_SIGKILL, false, true},
		{"cgroup", probe.OomtraceEventTypeEVENT_CGROUP, false, false},
		{"shared mm", probe.OomtraceEventTypeEVENT_SHARED_MM, false, false},
	} {
		hdr := header(tc.typ)
		if head := [8]byte(bytesOf(&hdr)); IsKill(head) != tc.kill || IsRecord(head) != tc.record {
			t.Errorf("%s: a kill %v, a record %v", tc.name, IsKill(head), IsRecord(head))
		}
		hdr.Layout++
		if head := [8]byte(bytesOf(&hdr)); IsKill(head) || IsRecord(head) != tc.record {
			t.Errorf("%s of another layout: a kill %v, a record %v", tc.name, IsKill(head), IsRecord(head))
		}
	}
}

// TestProtection: none is left out, and all there is fits a signed number of bytes.
func TestProtection(t *testing.T) {
	for _, tc := range []struct {
		pages uint64
		want  oom.Opt[uint64]
	}{
		{0, oom.Opt[uint64]{}},
		{unknown, oom.Opt[uint64]{}},
		{1, some(page)},
		{noLimitPages, some((1<<63 - 1) / page * page)},
		{1 << 60, some((1<<63 - 1) / page * page)},
	} {
		r := whole()
		info := probe.OomtraceMemcgInfo{Id: 1, UsagePages: 10, MaxPages: 10, HighPages: noLimitPages, MinPages: tc.pages, LowPages: 2,
			Flags: uint32(probe.OomtraceMemcgFlagMEMCG_V2)}
		r.Chain = r.append(bytesOf(&info))
		l := decode(t, r.encode()).Record.Victim.CgroupLimits[0]
		if l.MinBytes != tc.want || l.LowBytes != some(2*page) {
			t.Errorf("%d pages: %v, want %v; low %v", tc.pages, l.MinBytes, tc.want, l.LowBytes)
		}
	}
}

// TestReaper: what the OOM reaper did follows from its rounds, of which only the
// last can have been a good one.
func TestReaper(t *testing.T) {
	const none, started, done, unsure, busy, needless = probe.OomtraceReapResultREAP_NONE, probe.OomtraceReapResultREAP_STARTED,
		probe.OomtraceReapResultREAP_DONE, probe.OomtraceReapResultREAP_UNSURE, probe.OomtraceReapResultREAP_BUSY,
		probe.OomtraceReapResultREAP_NEEDLESS
	var unknown oom.Opt[bool]
	yes, no := oom.Some(true), oom.Some(false)
	for _, tc := range []struct {
		name             string
		finishes, skips  uint32
		last             probe.OomtraceReapResult
		reaped, gaveUp   oom.Opt[bool]
		reapedAfterKnown bool
	}{
		{"none came", 0, 0, none, unknown, unknown, false},
		{"at once", 1, 0, done, yes, unknown, true},
		{"the mm was busy first", 1, 3, done, yes, unknown, true},
		{"exited before the second round", 0, 1, busy, no, unknown, false},
		{"torn down before it came", 0, 1, needless, no, unknown, false},
		{"somebody else maps it", 1, 0, unsure, unknown, unknown, false},
		{"under way", 0, 0, started, unknown, unknown, false},
		{"busy for nine rounds", 0, 9, busy, no, unknown, false},
		{"busy for all rounds", 0, 10, busy, no, yes, false},
		{"failed and busy for all rounds", 4, 6, busy, no, yes, false},
		{"torn down in the last round", 0, 10, needless, no, unknown, false},
		{"unsure in the last round", 10, 0, unsure, unknown, unknown, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw := exitRecord()
			raw.ReapFinishes, raw.ReapSkips, raw.ReapLast = tc.finishes, tc.skips, uint32(tc.last)
			x := decode(t, bytesOf(raw)).Record.Exit
			if x.Reaped != tc.reaped || x.ReaperGaveUp != tc.gaveUp || x.ReapedAfterNS.Known != tc.reapedAfterKnown {
				t.Errorf("%+v", x)
			}
		})
	}
}

// TestAsked: of an OOM that was not decided, what was asked for is known, and the
// domain is not.
func TestAsked(t *testing.T) {
	r := whole()
	r.Killed, r.Decision.Valid = 0, uint32(probe.OomtraceDecisionValidDECISION_ASKED)
	rec := &decode(t, r.encode()).Record
	if rec.Kind != oom.KindAlreadyExiting || rec.Scope != oom.ScopeCgroup || rec.Limit == nil ||
		rec.Trigger.GFPMask != oom.Some(uint32(0xcc0)) || rec.Trigger.Order != oom.Some(int32(0)) {
		t.Errorf("%s", jsonOf(t, rec))
	}
	if rec.DomainBytes.Known || rec.Victim.BadnessPages.Known {
		t.Errorf("nothing was decided: %s", jsonOf(t, rec))
	}
	fill(&r.Limit)
	if rec := &decode(t, r.encode()).Record; rec.Scope != "" || rec.Trigger.GFPMask != oom.Some(uint32(0xcc0)) {
		t.Errorf("no limit, no stack: %s", jsonOf(t, rec))
	}
}

func TestSharedAndCgroup(t *testing.T) {
	ev := decode(t, bytesOf(sharedRecord()))
	same(t, ev.Shared, Shared{PID: 702, VictimPID: 700, Comm: "twin", Incident: "0b6a3d5e-129f6afc0"})
	ev = decode(t, bytesOf(cgroupRecord("/a/b")))
	same(t, ev.Cgroup, Cgroup{ID: 4242, Path: "/a/b"})
	long := "/" + strings.Repeat("x", 510)
	same(t, decode(t, bytesOf(cgroupRecord(long))).Cgroup, Cgroup{ID: 4242, Path: long})
}

// TestReuse decodes a rich record and then a poor one into the same event:
// nothing is left over. The bytes may change afterwards.
func TestReuse(t *testing.T) {
	var ev Event
	records := [][]byte{
		whole().encode(), bare().encode(), bytesOf(exitRecord()), bytesOf(sharedRecord()), bytesOf(cgroupRecord("/a")), whole().encode(),
	}
	for i, b := range records {
		fresh := decode(t, b)
		given := append([]byte(nil), b...)
		if err := ev.Decode(given, machine()); err != nil {
			t.Fatal(err)
		}
		clear(given)
		if g, w := jsonOf(t, &ev), jsonOf(t, fresh); g != w {
			t.Errorf("record %d into a used event:\n%s\nwant\n%s", i, g, w)
		}
	}
}

// TestTruncated cuts records at every length: an error or a record, no panic.
func TestTruncated(t *testing.T) {
	for name, b := range map[string][]byte{
		"victim": whole().encode(), "bare": bare().encode(), "exit": bytesOf(exitRecord()), "shared": bytesOf(sharedRecord()),
		"cgroup": bytesOf(cgroupRecord("/a")),
	} {
		var ev Event
		for n := range len(b) {
			err := ev.Decode(b[:n:n], machine())
			var short *DecodeError
			if !errors.As(err, &short) {
				t.Errorf("%s cut to %d of %d: %v", name, n, len(b), err)
			} else if short.Need <= short.Have || short.Field == "" || !strings.Contains(err.Error(), short.Field) {
				t.Errorf("%s cut to %d: %v", name, n, err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	change := func(b []byte, f func(*probe.OomtraceEventHeader)) []byte {
		hdr, _ := take[probe.OomtraceEventHeader](b, "")
		f(&hdr)
		return append(bytesOf(&hdr), b[unsafe.Sizeof(hdr):]...)
	}
	span := func(f func(*victimRecord)) []byte {
		r := whole()
		f(r)
		return r.encode()
	}
	outside := probe.OomtraceSpan{Off: 65535, Len: 65535}
	var short *DecodeError
	for _, tc := range []struct {
		name   string
		b      []byte
		layout bool
	}{
		{"another layout", change(whole().encode(), func(h *probe.OomtraceEventHeader) { h.Layout++ }), true},
		{"layout 0", change(whole().encode(), func(h *probe.OomtraceEventHeader) { h.Layout = 0 }), true},
		{"type 0", change(whole().encode(), func(h *probe.OomtraceEventHeader) { h.Type = 0 }), true},
		{"type of the future", change(whole().encode(), func(h *probe.OomtraceEventHeader) { h.Type = 99 }), true},
		{"empty", nil, false},
		{"cmdline outside", span(func(r *victimRecord) { r.Victim.Cmdline = outside }), false},
		{"exe outside", span(func(r *victimRecord) { r.Victim.Exe = outside }), false},
		{"cgroup outside", span(func(r *victimRecord) { r.Victim.Cgroup = outside }), false},
		{"trigger's cgroup outside", span(func(r *victimRecord) { r.Trigger.Cgroup = outside }), false},
		{"chain outside", span(func(r *victimRecord) { r.Chain = outside }), false},
		{"half a link", span(func(r *victimRecord) { r.Chain.Len = 100 }), false},
		{"limit outside", span(func(r *victimRecord) { r.LimitPath = outside }), false},
		{"zones outside", span(func(r *victimRecord) { r.Zones = outside }), false},
		{"half a zone", span(func(r *victimRecord) { r.Zones.Len = 10 }), false},
		{"candidates outside", span(func(r *victimRecord) { r.Candidates = outside }), false},
		{"half a candidate", span(func(r *victimRecord) { r.Candidates.Len = 10 }), false},
		{"stack outside", span(func(r *victimRecord) { r.KernelStack = outside }), false},
		{"user stack outside", span(func(r *victimRecord) { r.UserStack = outside }), false},
		{"cgroup path beyond", func() []byte { r := cgroupRecord("/a"); r.Len = 513; return bytesOf(r) }(), false},
		{"cgroup path beyond 31 bits", func() []byte { r := cgroupRecord("/a"); r.Len = unknown32; return bytesOf(r) }(), false},
		{"cgroup without a path", bytesOf(cgroupRecord("")), false},
		{"no process shared", func() []byte { r := sharedRecord(); r.Tgid = 0; return bytesOf(r) }(), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ev Event
			err := ev.Decode(tc.b, machine())
			if tc.layout != errors.Is(err, ErrLayout) || tc.layout == errors.As(err, &short) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestNames holds the statistics' names against the enums of bpf/event.h, and
// its numbers against this package's.
func TestNames(t *testing.T) {
	b, err := os.ReadFile("../../bpf/event.h")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, want := range map[string]string{"WIRE_LAYOUT": strconv.Itoa(Layout), "UNKNOWN": "(~0ULL)", "UNKNOWN32": "(~0U)"} {
		if m := regexp.MustCompile(`(?m)^#define ` + name + ` (\S+)$`).FindStringSubmatch(text); m == nil || m[1] != want {
			t.Errorf("%s in bpf/event.h: %q", name, m)
		}
	}
	limits, machines := limitStatNames(), vmStatNames()
	for enum, names := range map[string][]string{"MEMCG_STAT_": limits[:], "VM_STAT_": machines[:]} {
		found := regexp.MustCompile(`(?m)^\t`+enum+`(\w+),$`).FindAllStringSubmatch(text, -1)
		if len(found) != len(names)+1 { // and COUNT
			t.Fatalf("%s: %d in C, %d names", enum, len(found), len(names))
		}
		for i, name := range names {
			if want := strings.ToLower(found[i][1]) + "_bytes"; name != want {
				t.Errorf("%s%s is called %s", enum, found[i][1], name)
			}
		}
	}
}
