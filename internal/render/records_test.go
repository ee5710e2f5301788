package render

import (
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

func at(h, m, s int) time.Time { return time.Date(2026, 3, 14, h, m, s, 123456789, time.UTC) }

func some(bytes uint64) oom.Opt[uint64] { return oom.Some(bytes) }

type example struct {
	name string
	rec  *oom.Record
}

// records are the hand-made records of the goldens: one of each kind, and what
// hostile or poor input looks like.
func records() []example {
	return []example{
		{"a container's limit", cgroupKill()},
		{"the machine", systemKill()},
		{"a pod's limit", podKill()},
		{"oom.group, the chosen", groupKill(700, true)},
		{"oom.group, another", groupKill(701, false)},
		{"no killable process", noVictim()},
		{"an incomplete report", incomplete()},
		{"an OOM without its end", unfinished()},
		{"a panic", panicked()},
		{"a burst", grown()},
		{"a burst, sampled", sampledGrowth()},
		{"who holds the machine", held()},
		{"changed before the kill", changed()},
		{"SIGKILL by a manager", sigkill(oom.CauseMemoryManager, "")},
		{"SIGKILL with a victim", sigkill(oom.CausePIDNamespace, "0b6a3d5e-1")},
		{"marked only", alreadyExiting()},
		{"sysrq-f", sysrq()},
		{"a victim went", exit("java", 38e6)},
		{"a victim went with others", sharedExit()},
		{"records lost", &oom.Record{
			Schema: oom.Schema, ID: "lost-1", Kind: oom.KindLost, Source: oom.SourceBPF, Time: at(12, 50, 0), Lost: some(3), LostKind: oom.LostKill,
		}},
		{"records lost, number unknown", &oom.Record{Schema: oom.Schema, ID: "lost-2", Kind: oom.KindLost, Source: oom.SourceKmsg}},
		{"control characters", hostileNames("a\x1b[31m\nb", "run\x00\x1b]0;owned\a --x\n\r\t\x7f \u202egpj.sh", "/a\nb/\x1b[2J")},
		{"no UTF-8", hostileNames("\xff\xfe\xc3(", "\x80\x81 caf\xe9", "/\xe2\x28")},
		{"very long", hostileNames("kube-controller", strings.Repeat("--flag=value ", 40), strings.Repeat("/deeply-nested-cgroup", 30))},
		{"two columns a letter", hostileNames("箱⚡箱⚡箱", "箱 ⚡", "/箱箱箱箱箱箱箱箱箱箱箱箱箱箱箱⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡⚡")},
		{"from the log, without a clock", fromLog()},
		{"container without a name", unnamedContainer()},
		{"an owner with a long name", longOwner("prometheus-k8s-0")},
		{"an owner with names as long as can be", longOwner(strings.Repeat("name-of-253-bytes", 15)[:253])},
		{"nothing known", &oom.Record{Schema: oom.Schema, ID: "1", Kind: oom.KindKill, Source: oom.SourceKmsg}},
		{"blocks with nothing known", empty()},
	}
}

func changed() *oom.Record {
	r := cgroupKill()
	runc := func(from, to, ago uint64) *oom.LimitChange {
		return &oom.LimitChange{FromBytes: some(from), ToBytes: some(to), AgoNS: some(ago), PID: oom.Some(int32(911)), Comm: "runc", Cgroup: "/system.slice"}
	}
	r.Limit.Changed, r.Limit.HighChanged = runc(384*mib, 256*mib, 420e9), runc(0, 200*mib, 38e6)
	r.Limit.HighChanged.FromBytes = oom.Opt[uint64]{}
	r.Memory = &oom.Memory{TotalChanged: &oom.LimitChange{FromBytes: some(8 * gib), ToBytes: some(6 * gib), AgoNS: some(90e9)}, SwapChanged: &oom.LimitChange{FromBytes: some(2 * gib), ToBytes: some(0), AgoNS: some(5e9)}}
	r.Trigger.MemsChanged = &oom.NodesChange{From: "0-1", To: "1", AgoNS: some(3e9), Comm: "two\nlines\x1b[2J"}
	r.Victim.OOMScoreAdjChanged = &oom.AdjChange{AgoNS: some(60e9), PID: oom.Some(int32(77)), Comm: "kubelet"}
	return r
}

func base(id string, t time.Time) *oom.Record {
	return &oom.Record{
		Schema: oom.Schema, ID: id, Kind: oom.KindKill, Time: t, UptimeNS: some(512e9), Node: "node-3",
		BootID: "0b6a3d5e-0000-4000-8000-000000000000", Kernel: "6.12.117", Source: oom.SourceBPF,
		Hooks: []string{"fentry:oom_kill_process", "tp_btf:mark_victim"}, Incident: "0b6a3d5e-" + id,
	}
}

func process(comm string, pid int32, rss, swap uint64) *oom.Victim {
	return &oom.Victim{
		PID: oom.Some(pid), TID: oom.Some(pid), PPID: oom.Some(int32(1)), UID: oom.Some(uint32(1000)), Comm: comm,
		TotalVMBytes: some(2*rss + swap), RSSBytes: some(rss), AnonRSSBytes: some(rss - 4*kib), FileRSSBytes: some(4 * kib),
		ShmemRSSBytes: some(0), SwapBytes: some(swap), PgtablesBytes: some(528 * kib), OOMScoreAdj: oom.Some(int32(0)),
		BadnessPages: oom.Some(int64(rss / 4096)),
	}
}

func askedBy(comm string, pid int32) *oom.Trigger {
	return &oom.Trigger{
		PID: oom.Some(pid), TID: oom.Some(pid), Comm: comm, GFPMask: oom.Some(uint32(0xcc0)), Order: oom.Some(int32(0)),
		GFPFlags:    []string{"GFP_KERNEL"},
		KernelStack: []string{"mark_oom_victim+0xa3", "oom_kill_process+0x71", "out_of_memory+0x219", "mem_cgroup_out_of_memory+0xe3", "try_charge_memcg+0x61f", "do_user_addr_fault+0x5c"},
	}
}

func cgroupKill() *oom.Record {
	r := base("1", at(12, 42, 32))
	r.Scope = oom.ScopeCgroup
	r.Victim = process("java", 23143, 251*mib, 0)
	r.Victim.Cmdline = "java -Xmx1g -jar cart.jar"
	r.Victim.Cgroup = "/kubepods.slice/kubepods-burstable.slice/pod42/cri-containerd-0123456789abcdef"
	r.Victim.Pod = &oom.Pod{Namespace: "shop", Name: "cart-7c9f", Container: "app", UID: "42"}
	r.Victim.CgroupLimits = []oom.CgroupLimit{
		{Cgroup: r.Victim.Cgroup, UsageBytes: some(256 * mib), MaxBytes: some(256 * mib)},
		{Cgroup: "/kubepods.slice", UsageBytes: some(3 * gib)},
		{Cgroup: "/"},
	}
	r.Trigger = askedBy("java", 23143)
	r.Limit = &oom.Limit{
		Cgroup: r.Victim.Cgroup, Level: oom.LevelContainer, UsageBytes: some(256 * mib), MaxBytes: some(256 * mib),
		SwapUsageBytes: some(0), SwapMaxBytes: some(0), Stat: oom.Stats{{Name: oom.LimitAnon, Bytes: 250 * mib}},
	}
	r.CandidatesTotal = some(2)
	r.Candidates = []oom.Candidate{
		{PID: oom.Some(int32(23143)), Comm: "java", RSSBytes: some(251 * mib), SwapBytes: some(0), OOMScoreAdj: oom.Some(int32(0)),
			BadnessPages: oom.Some(int64(64256))},
		{PID: oom.Some(int32(23101)), Comm: "箱sh", RSSBytes: some(2 * mib), SwapBytes: some(0), OOMScoreAdj: oom.Some(int32(-997)),
			BadnessPages: oom.Some(int64(-3000))},
	}
	r.Why = &oom.Why{
		Verdict: "limit_full",
		Summary: "the container's limit of 256 MiB is used up, 98 % of it anonymous memory of this process; its cgroup may not swap (memory.swap.max=0)",
		Reasons: []oom.Reason{{Code: "limit_full", Text: "256 MiB of 256 MiB are used"}, {Code: "no_swap", Text: "memory.swap.max is 0"}},
	}
	return r
}

func incomplete() *oom.Record {
	r := systemKill()
	r.Source, r.Incomplete = oom.SourceKmsg, oom.Some(true)
	return r
}

func unfinished() *oom.Record {
	r := systemKill()
	r.Kind, r.Source, r.Victim, r.Candidates, r.Incomplete = oom.KindOOM, oom.SourceKmsg, nil, nil, oom.Some(true)
	r.Why = &oom.Why{Verdict: "oom_cut", Summary: "an OOM began here; the log does not hold how it ended"}
	return r
}

func panicked() *oom.Record {
	r := systemKill()
	r.Kind, r.Victim, r.Panic = oom.KindPanic, nil, oom.PanicOnOOM
	r.Why = &oom.Why{Verdict: "panic", Summary: "the kernel panicked instead of killing: vm.panic_on_oom is set"}
	return r
}

func grown() *oom.Record {
	r := cgroupKill()
	r.Candidates[1].Comm = "sh"
	r.History = &oom.History{
		Source: oom.HistoryExact, SpanNS: some(3600e9),
		Points: []oom.HistoryPoint{{AgoNS: 3600e9, Bytes: 100 * mib}, {AgoNS: 60e9, Bytes: 104 * mib}, {AgoNS: 8e9, Bytes: 101 * mib}, {AgoNS: 0, Bytes: 256 * mib}},
		Growers: []oom.Grower{
			{PID: oom.Some(int32(4730)), Comm: "pip3", ChargedBytes: some(140 * mib), Exited: oom.Some(true)},
			{PID: oom.Some(int32(23143)), Comm: "java", ChargedBytes: some(12 * mib)},
		},
	}
	r.Why = &oom.Why{Verdict: "limit_file", Summary: "the container's limit of 256 MiB is used up, 82 % of it page cache (could also be cache that reclaim was too slow to drop)",
		Unsure: oom.Some(true), Check: "file_mapped, active_file, unevictable and workingset_refault_file in memory.stat of the cgroup"}
	return r
}

// sampledGrowth has no charges, and of one process not even what it held.
func sampledGrowth() *oom.Record {
	r := grown()
	r.History.Source = oom.HistorySampled
	for i := range r.History.Growers {
		r.History.Growers[i].ChargedBytes = oom.Opt[uint64]{}
	}
	r.History.Growers[1].Points = []oom.HistoryPoint{{AgoNS: 9e9, Bytes: 90 * mib}, {AgoNS: 1e9, Bytes: 250 * mib}}
	return r
}

func held() *oom.Record {
	r := systemKill()
	r.Holders = []oom.Holder{
		{Owner: oom.Owner{Pod: &oom.Pod{Namespace: "shop", Name: "search-0"}}, UsageBytes: some(6871947673)},
		{Owner: oom.Owner{Pod: &oom.Pod{Namespace: "kube-system", Name: "fluent-bit"}}, UsageBytes: some(644245094)},
		{Owner: oom.Owner{Unit: "sshd.service"}, UsageBytes: some(40 * mib)}, {Comm: "sh\x1b", UsageBytes: some(mib)}, {Cgroup: "/a"},
	}
	r.HoldersTotal = some(17)
	return r
}

func sigkill(cause oom.Cause, incident string) *oom.Record {
	r := base("9", at(13, 0, 0))
	r.Kind, r.Cause, r.Incident = oom.KindSigkill, cause, incident
	r.Victim = process("nginx", 11, 40*mib, 0)
	r.Victim.CgroupPressure = &oom.Pressure{
		Some: &oom.PressureTime{Avg10Percent: oom.Some(0.31), Avg60Percent: oom.Some(0.0), TotalNS: some(3128887000)},
		Full: &oom.PressureTime{Avg10Percent: oom.Some(0.0)},
	}
	r.Sender = &oom.Sender{PID: oom.Some(int32(400)), Comm: "systemd-oomd", Role: oom.RoleMemoryManager, Program: "systemd-oomd", Says: "pressure 62 % for 30 s", Owner: oom.Owner{Unit: "systemd-oomd.service"}}
	r.Why = &oom.Why{Verdict: "killed_by_manager", Summary: "killed by systemd-oomd (pid 400); memory was not short: 38 % of the limit"}
	return r
}

func systemKill() *oom.Record {
	r := base("2", at(12, 47, 5))
	r.Scope = oom.ScopeSystem
	r.Victim = process("pip3", 24161, 1782579200, 153*mib)
	r.Victim.Unit = "ci-runner.service"
	r.Trigger = askedBy("kworker/u8:3", 88)
	r.Memory = &oom.Memory{
		TotalBytes: some(4 * gib), FreeBytes: some(31 * mib), SwapTotalBytes: some(2900 * mib), SwapFreeBytes: some(2871 * mib),
		Swappiness: oom.Some(uint32(0)), SwapDevices: []oom.SwapDevice{{Name: "/dev/zram0", Type: "partition", SizeBytes: some(2900 * mib)}},
		Zones: []oom.Zone{
			{Node: oom.Some(int32(0)), Zone: "DMA32", FreeBytes: some(12 * mib), MinBytes: some(16 * mib), LowBytes: some(20 * mib),
				HighBytes: some(24 * mib), ManagedBytes: some(2 * gib), FreeBlocks: []uint64{3, 2, 1}},
			{Node: oom.Some(int32(0)), Zone: "Normal", FreeBytes: some(19 * mib), ManagedBytes: some(2 * gib)},
		},
	}
	r.DomainBytes, r.Sampled = some(7*gib), []string{"memory.swap_devices"}
	r.Why = &oom.Why{Verdict: "swappiness", Summary: "no free memory, and swap (2.9 GiB, 99 % free) was not used because vm.swappiness is 0"}
	return r
}

func podKill() *oom.Record {
	r := cgroupKill()
	r.ID, r.Limit.Level, r.Limit.MaxBytes, r.Limit.UsageBytes = "3", oom.LevelPod, some(512*mib), some(400*mib)
	r.Limit.Cgroup = "/kubepods.slice/kubepods-burstable.slice/pod42"
	r.Why = nil
	return r
}

func groupKill(pid int32, chosen bool) *oom.Record {
	r := base("4", at(12, 48, 0))
	r.Scope = oom.ScopeCgroup
	r.Victim = process("worker", pid, 40*mib, 0)
	r.Victim.Cgroup = "/batch"
	r.Trigger = askedBy("worker", 700)
	r.Limit = &oom.Limit{Cgroup: "/batch", Level: oom.LevelCgroup, UsageBytes: some(100 * mib), MaxBytes: some(100 * mib), OOMGroup: oom.Some(true)}
	if !chosen {
		r.Victim.BadnessPages = oom.Opt[int64]{}
	}
	return r
}

func noVictim() *oom.Record {
	r := base("5", at(12, 48, 30))
	r.Kind, r.Scope = oom.KindNoVictim, oom.ScopeCgroup
	r.Trigger = askedBy("init", 1)
	r.Limit = &oom.Limit{Cgroup: "/locked", Level: oom.LevelSlice, UsageBytes: some(16 * mib), MaxBytes: some(16 * mib)}
	return r
}

func alreadyExiting() *oom.Record {
	r := base("6", at(12, 48, 40))
	r.Kind, r.Scope = oom.KindAlreadyExiting, oom.ScopeSystem
	r.Victim = process("java", 23143, 12*mib, 0)
	return r
}

func sysrq() *oom.Record {
	r := base("7", at(12, 48, 50))
	r.Scope, r.Sysrq = oom.ScopeSystem, oom.Some(true)
	r.Victim = process("kube-controller", 4194303, 900*mib, 0)
	r.Trigger = askedBy("kworker/3:2-events_freezable", 4194304)
	r.Trigger.Order = oom.Some(int32(-1))
	return r
}

func exit(comm string, after uint64) *oom.Record {
	r := base("8", at(12, 49, 0))
	r.Kind = oom.KindExit
	r.Victim = &oom.Victim{PID: oom.Some(int32(23143)), TID: oom.Some(int32(23143)), Comm: comm}
	r.Exit = &oom.Exit{AfterNS: some(after), Reaped: oom.Some(true)}
	return r
}

func sharedExit() *oom.Record {
	r := exit(strings.Repeat("\xff", 15), 125e9)
	r.Exit.Reaped, r.Exit.ReaperGaveUp = oom.Some(false), oom.Some(true)
	r.Exit.SharedMM = []oom.SharedProcess{{PID: oom.Some(int32(7)), Comm: "a"}, {PID: oom.Some(int32(8)), Comm: "\x1b"}}
	return r
}

func hostileNames(comm, cmdline, cgroup string) *oom.Record {
	r := base("9", at(12, 50, 1))
	r.Scope = oom.ScopeCgroup
	r.Victim = process(comm, 4194303, 64*mib, 0)
	r.Victim.Cmdline, r.Victim.Cgroup = cmdline, cgroup
	r.Trigger = askedBy(comm, 31337)
	r.Limit = &oom.Limit{Cgroup: cgroup, UsageBytes: some(64 * mib), MaxBytes: some(64 * mib)}
	r.Why = &oom.Why{Verdict: "limit_full", Summary: "limit of " + cgroup + " is used up by " + cmdline}
	return r
}

func fromLog() *oom.Record {
	r := base("10", time.Time{})
	r.Source, r.Hooks, r.Scope = oom.SourceKmsg, []string{"kmsg"}, oom.ScopeCpuset
	r.Victim = process("mysqld", 0, 3*gib, 1023)
	r.Victim.PID = oom.Opt[int32]{}
	r.Victim.TID = oom.Some(int32(77))
	r.Victim.Container = &oom.Container{Name: "db", ID: "0123456789abcdef"}
	return r
}

func unnamedContainer() *oom.Record {
	r := fromLog()
	r.ID, r.Victim.Container = "11", &oom.Container{ID: "0123456789abcdef0123"}
	return r
}

// longOwner is asked by another pod's container than it kills, in a node that is
// a container.
func longOwner(pod string) *oom.Record {
	r := podKill()
	r.Victim.Owner = oom.Owner{
		Container: &oom.Container{
			ID: strings.Repeat("3f0c4c21", 8), Name: "prometheus", Image: "quay.io/prometheus/prometheus:v3.5.0", Runtime: "containerd",
			RestartCount: some(3), MemoryRequestBytes: some(400 * mib), MemoryLimitBytes: some(512 * mib),
		},
		OuterContainer: &oom.Container{ID: strings.Repeat("b7d0fbb1", 8), Name: "kind-worker", Runtime: "docker"},
		Pod:            &oom.Pod{Namespace: "monitoring", Name: pod, UID: "0f6a1c2e-5b1d-4a77-9a0b-3c5d7e9f1a2b", Container: "prometheus", QoS: "burstable"},
	}
	r.Trigger.Owner = oom.Owner{Pod: &oom.Pod{Namespace: "monitoring", Name: pod, Container: "config-reloader"}}
	return r
}

func empty() *oom.Record {
	return &oom.Record{
		Schema: oom.Schema, ID: "a", Kind: oom.KindKill, Source: oom.SourceKmsg, Victim: &oom.Victim{Comm: "a"},
		Trigger: &oom.Trigger{}, Limit: &oom.Limit{}, Memory: &oom.Memory{Zones: []oom.Zone{{Zone: "DMA"}}},
		Candidates: []oom.Candidate{{Comm: "a"}},
	}
}
