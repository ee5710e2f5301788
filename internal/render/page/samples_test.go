package page

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/explain"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

func some(v uint64) oom.Opt[uint64] { return oom.Some(v) }

const podCgroup = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f6a1c2e_5b1d_4a77_9a0b_3c5d7e9f1a2b.slice"

// cgroupKill is a kill at a container's limit with all that a live trace can know.
func cgroupKill() *oom.Record {
	r := base("9f2c6f0d41ab77e0", time.Date(2026, 3, 14, 12, 42, 32, 123456789, time.UTC))
	id := strings.Repeat("3f0c4c21", 8)
	cgroup := podCgroup + "/cri-containerd-" + id + ".scope"
	r.Scope = oom.ScopeCgroup
	r.Victim = &oom.Victim{
		PID: oom.Some(int32(23143)), TID: oom.Some(int32(23160)), PPID: oom.Some(int32(23101)), UID: oom.Some(uint32(1000)), Comm: "java",
		Cmdline: "java -Xmx1g -XX:+UseG1GC -jar /app/cart.jar --spring.profiles.active=prod", Exe: "/opt/java/openjdk/bin/java",
		StartTime:    r.Time.Add(-3*time.Hour - 12*time.Minute),
		TotalVMBytes: some(4831838208), RSSBytes: some(263192576), AnonRSSBytes: some(262144000), FileRSSBytes: some(1048576), ShmemRSSBytes: some(0),
		SwapBytes: some(0), PgtablesBytes: some(1163264), OOMScoreAdj: oom.Some(int32(969)), BadnessPages: oom.Some(int64(1030512)), Cgroup: cgroup,
		Owner: oom.Owner{
			Container: &oom.Container{
				ID: id, Name: "app", Image: "registry.example/shop/cart:1.42.0", Runtime: "containerd",
				MemoryRequestBytes: some(128 * mib), MemoryLimitBytes: some(256 * mib), RestartCount: some(3),
			},
			Pod: &oom.Pod{Namespace: "shop", Name: "cart-7c9f6d5b8-x2x7k", UID: "0f6a1c2e-5b1d-4a77-9a0b-3c5d7e9f1a2b", Container: "app", QoS: "burstable", SwapBehavior: "NoSwap"},
		},
	}
	r.Victim.CgroupLimits = []oom.CgroupLimit{
		{Cgroup: cgroup, UsageBytes: some(268435456), MaxBytes: some(268435456), SwapUsageBytes: some(0), SwapMaxBytes: some(0)},
		{Cgroup: podCgroup, UsageBytes: some(282591232), MaxBytes: some(402653184), SwapUsageBytes: some(0)},
		{Cgroup: "/kubepods.slice/kubepods-burstable.slice", UsageBytes: some(2147483648)},
		{Cgroup: "/kubepods.slice", UsageBytes: some(3113851290), MaxBytes: some(3758096384), HighBytes: some(3651141632)},
		{Cgroup: "/"},
	}
	r.Trigger = trigger("java", 23143)
	r.Trigger.Owner, r.Trigger.Cgroup = r.Victim.Owner, cgroup
	r.Limit = &oom.Limit{
		Cgroup: cgroup, Level: oom.LevelContainer, UsageBytes: some(268435456), MaxBytes: some(268435456), SwapUsageBytes: some(0), SwapMaxBytes: some(0),
		Failures: some(1418), Version: oom.Some(uint32(2)),
		Changed: &oom.LimitChange{FromBytes: some(384 * mib), ToBytes: some(256 * mib), AgoNS: some(420e9), PID: oom.Some(int32(911)), Comm: "kubelet", Cgroup: "/system.slice/kubelet.service"},
		Stat: oom.Stats{
			{Name: oom.LimitAnon, Bytes: 252706816}, {Name: oom.LimitFile, Bytes: 9437184}, {Name: oom.LimitKernel, Bytes: 5242880},
			{Name: oom.LimitKernelStack, Bytes: 1048576}, {Name: oom.LimitPagetables, Bytes: 1163264}, {Name: oom.LimitSock, Bytes: 126976},
			{Name: oom.LimitShmem, Bytes: 4194304}, {Name: oom.LimitFileDirty, Bytes: 1048576}, {Name: oom.LimitInactiveAnon, Bytes: 251658240},
			{Name: oom.LimitActiveAnon, Bytes: 1048576}, {Name: oom.LimitSlabUnrecl, Bytes: 2097152}, {Name: oom.LimitSlabReclaimable, Bytes: 524288},
		},
	}
	r.History = containerHistory(r)
	r.Holders, r.HoldersTotal = containerHolders(r), some(2)
	r.Candidates, r.CandidatesTotal, r.CandidatesBytes = javaCandidates(cgroup), some(3), some(273678336)
	r.Memory = machine()
	r.Memory.Zones[1].FreeBytes = some(900 * mib)
	r.Exit = &oom.Exit{AfterNS: some(38_412_001), Reaped: oom.Some(true)}
	r.Sampled = []string{"memory.swap_devices", "memory.history"}
	explain.Explain(r)
	return r
}

func base(id string, t time.Time) *oom.Record {
	return &oom.Record{
		Schema: oom.Schema, ID: id, Kind: oom.KindKill, Time: t, UptimeNS: some(512e9), Node: "node-3", CPUs: oom.Some(uint32(4)),
		BootID: "0b6a3d5e-7a31-4f7e-9c55-1f1e4b7f6a10", Kernel: "6.12.117+deb13-cloud-amd64", Source: oom.SourceBPF,
		Hooks: []string{"fentry:oom_kill_process", "tp_btf:mark_victim"}, Incident: "i" + id,
	}
}

func trigger(comm string, pid int32) *oom.Trigger {
	return &oom.Trigger{
		PID: oom.Some(pid), TID: oom.Some(pid), Comm: comm, GFPMask: oom.Some(uint32(0xcc0)), Order: oom.Some(int32(0)), GFPFlags: []string{"GFP_KERNEL"},
		MemsAllowed: "0", OOMScoreAdj: oom.Some(int32(969)),
		KernelStack: []string{
			"out_of_memory+0x219", "mem_cgroup_out_of_memory+0x12b", "try_charge_memcg+0x48b", "__mem_cgroup_charge+0x42", "do_anonymous_page+0x389",
			"__handle_mm_fault+0xb38", "handle_mm_fault+0xe2", "do_user_addr_fault+0x173", "exc_page_fault+0x7e", "asm_exc_page_fault+0x26",
		},
		UserStack: []string{"libjvm.so+0x8a1f20", "libjvm.so+0x8a0c11", "libjvm.so+0x44c8e2"},
	}
}

func containerHistory(r *oom.Record) *oom.History {
	h := &oom.History{
		Source: oom.HistoryExact, SpanNS: some(5400e9), StartBytes: some(121 * mib), PeakBytes: some(268435456), RateBytesPerS: oom.Some(int64(3250585)),
		NearLimitNS: some(11.4e9), LimitHits: some(1418),
	}
	var worker []oom.HistoryPoint
	for i := 47; i >= 0; i-- {
		ago := uint64(5400e9 * (math.Pow(1.18, float64(i)) - 1) / (math.Pow(1.18, 47) - 1))
		s := float64(ago) / 1e9
		used := 121 + 60*math.Exp(-s/1500) + 75*math.Exp(-s/28) + 4*math.Sin(s/300)
		if i == 0 {
			used = 256
		}
		h.Points = append(h.Points, oom.HistoryPoint{AgoNS: ago, Bytes: min(uint64(used*mib), 268435456)})
		worker = append(worker, oom.HistoryPoint{AgoNS: ago, Bytes: min(uint64((used-9)*mib), 263192576)})
	}
	h.Growers = []oom.Grower{
		{PID: r.Victim.PID, Comm: "java", Cmdline: r.Victim.Cmdline, ChargedBytes: some(1610612736), Points: worker},
		{PID: oom.Some(int32(23377)), Comm: "sh", Cmdline: "sh -c /app/dump-heap.sh", ChargedBytes: some(37748736), Exited: oom.Some(true)},
		{PID: oom.Some(int32(23101)), Comm: "tini", Cmdline: "/sbin/tini -- java", ChargedBytes: some(528384)},
	}
	return h
}

func containerHolders(r *oom.Record) []oom.Holder {
	return []oom.Holder{
		{Cgroup: r.Victim.Cgroup, Level: oom.LevelContainer, Owner: r.Victim.Owner, UsageBytes: some(268435456), SwapBytes: some(0), Tasks: some(2), RequestBytes: some(128 * mib), GrewBytes: oom.Some(int64(141557760))},
		{Cgroup: podCgroup + "/cri-containerd-proxy.scope", Level: oom.LevelContainer, Owner: oom.Owner{Pod: &oom.Pod{Namespace: "shop", Name: "cart-7c9f6d5b8-x2x7k", Container: "proxy"}},
			UsageBytes: some(13631488), SwapBytes: some(0), Tasks: some(1), GrewBytes: oom.Some(int64(-262144))},
	}
}

func javaCandidates(cgroup string) []oom.Candidate {
	return []oom.Candidate{
		{PID: oom.Some(int32(23143)), Comm: "java", UID: oom.Some(uint32(1000)), TotalVMBytes: some(4831838208), RSSBytes: some(263192576), SwapBytes: some(0), PgtablesBytes: some(1163264), OOMScoreAdj: oom.Some(int32(969)), BadnessPages: oom.Some(int64(1030512)), Cgroup: cgroup},
		{PID: oom.Some(int32(23390)), Comm: "jcmd", UID: oom.Some(uint32(1000)), TotalVMBytes: some(2831838208), RSSBytes: some(8192000), SwapBytes: some(0), PgtablesBytes: some(163264), OOMScoreAdj: oom.Some(int32(969)), BadnessPages: oom.Some(int64(970512)), Cgroup: cgroup},
		{PID: oom.Some(int32(23101)), Comm: "tini", UID: oom.Some(uint32(0)), TotalVMBytes: some(2351104), RSSBytes: some(528384), SwapBytes: some(0), PgtablesBytes: some(45056), OOMScoreAdj: oom.Some(int32(-997)), BadnessPages: oom.Some(int64(-3000)), Cgroup: cgroup},
	}
}

// machine is a node of 4 GiB whose swap is idle.
func machine() *oom.Memory {
	m := &oom.Memory{
		TotalBytes: some(4 * gib), FreeBytes: some(31 * mib), SwapTotalBytes: some(3040870400), SwapFreeBytes: some(3010000000), SwapCacheBytes: some(2 * mib),
		Swappiness: oom.Some(uint32(0)), LRUGen: oom.Some(true), OOMKillAllocatingTask: oom.Some(false), PanicOnOOM: oom.Some(uint32(0)),
		SwapDevices: []oom.SwapDevice{{Name: "/dev/zram0", Type: "partition", SizeBytes: some(3040870400), UsedBytes: some(30870400), Priority: oom.Some(int32(100))}},
		Stat: oom.Stats{
			{Name: oom.StatActiveAnon, Bytes: 1 * gib}, {Name: oom.StatInactiveAnon, Bytes: 1900 * mib}, {Name: oom.StatActiveFile, Bytes: 12 * mib},
			{Name: oom.StatInactiveFile, Bytes: 9 * mib}, {Name: oom.StatUnevictable, Bytes: 310 * mib}, {Name: oom.StatMlocked, Bytes: 300 * mib},
			{Name: oom.StatSlabUnrecl, Bytes: 240 * mib}, {Name: oom.StatSlabReclaimable, Bytes: 60 * mib}, {Name: oom.StatKernelStack, Bytes: 14 * mib},
			{Name: oom.StatPageTable, Bytes: 52 * mib}, {Name: oom.StatPercpu, Bytes: 18 * mib}, {Name: oom.StatZspages, Bytes: 9 * mib}, {Name: oom.StatShmem, Bytes: 44 * mib},
		},
		Zones: []oom.Zone{
			{Node: oom.Some(int32(0)), Zone: "DMA32", FreeBytes: some(12 * mib), MinBytes: some(16 * mib), LowBytes: some(20 * mib), HighBytes: some(24 * mib),
				ManagedBytes: some(2 * gib), LowmemReserveBytes: []uint64{0, 0, 1900 * mib}, FreeBlocks: []uint64{412, 201, 96, 38, 12, 4, 1, 0, 0, 0, 1}},
			{Node: oom.Some(int32(0)), Zone: "Normal", FreeBytes: some(19 * mib), MinBytes: some(17 * mib), LowBytes: some(21 * mib), HighBytes: some(25 * mib),
				ManagedBytes: some(2 * gib), FreeBlocks: []uint64{2201, 804, 90, 11, 2, 0, 0, 0, 0, 0, 0}},
		},
		History: &oom.MemoryHistory{Source: oom.HistorySampled, SpanNS: some(600e9)},
	}
	for i := 60; i >= 0; i-- {
		ago := uint64(i) * 10e9
		f := float64(i) / 60
		m.History.Points = append(m.History.Points, oom.MemoryPoint{
			AgoNS: ago, FreeBytes: some(uint64((31 + 800*f*f) * mib)), AnonBytes: some(uint64((2950 - 900*f) * mib)), FileBytes: some(uint64((21 + 240*math.Sqrt(f)) * mib)),
			SlabUnreclaimableBytes: some(uint64((240 - 20*f) * mib)), SwapFreeBytes: some(uint64((2870 + 20*f) * mib)),
		})
	}
	return m
}

// systemKill is the kill with swap idle.
func systemKill() *oom.Record {
	r := base("31e7a0b2c4d59f16", time.Date(2026, 3, 14, 12, 47, 5, 0, time.UTC))
	r.Scope = oom.ScopeSystem
	r.Victim = &oom.Victim{
		PID: oom.Some(int32(24161)), TID: oom.Some(int32(24161)), UID: oom.Some(uint32(0)), Comm: "pip3", Cmdline: "python3 /usr/bin/pip3 install torch",
		TotalVMBytes: some(2163077120), RSSBytes: some(1785253888), AnonRSSBytes: some(1785253888), FileRSSBytes: some(0), ShmemRSSBytes: some(0),
		SwapBytes: some(160821248), PgtablesBytes: some(3997696), OOMScoreAdj: oom.Some(int32(0)), BadnessPages: oom.Some(int64(476091)),
		Cgroup: "/system.slice/ci-runner.service", Owner: oom.Owner{Unit: "ci-runner.service"},
	}
	r.Trigger = trigger("kworker/u8:3", 88)
	r.Trigger.Order = oom.Some(int32(3))
	r.Memory = machine()
	r.Memory.SlabCaches = []oom.SlabCache{{Name: "kmalloc-8k", UsedBytes: some(120 * mib), TotalBytes: some(121 * mib)}, {Name: "task_struct", UsedBytes: some(9 * mib), TotalBytes: some(10 * mib)}}
	r.Memory.Allocations = []oom.Allocation{{Site: "mm/slub.c:2425 func:alloc_slab_page", Bytes: some(231 * mib), Calls: some(58211)}}
	r.DomainBytes = some(7 * gib)
	for i, h := range []struct {
		name  string
		bytes uint64
	}{{"ci-runner.service", 1790 * mib}, {"kubelet.service", 310 * mib}, {"containerd.service", 190 * mib}, {"ssh.service", 8 * mib}} {
		r.Holders = append(r.Holders, oom.Holder{
			Cgroup: "/system.slice/" + h.name, Level: oom.LevelService, Owner: oom.Owner{Unit: h.name}, UsageBytes: some(h.bytes), SwapBytes: some(h.bytes / 12),
			Tasks: some(uint64(40 - i*9)), GrewBytes: oom.Some(int64(h.bytes) / 3),
		})
	}
	r.HoldersTotal = some(41)
	for i, c := range []string{"pip3", "kubelet", "containerd", "systemd-journal", "dbus-daemon"} {
		rss := uint64(1785253888 >> (2 * i))
		r.Candidates = append(r.Candidates, oom.Candidate{
			PID: oom.Some(int32(24161 - 1000*i)), Comm: c, UID: oom.Some(uint32(0)), TotalVMBytes: some(2 * rss), RSSBytes: some(rss), SwapBytes: some(rss / 11),
			PgtablesBytes: some(rss / 440), OOMScoreAdj: oom.Some(int32(-250 * i)), BadnessPages: oom.Some(int64(476091 - 130000*i)),
		})
	}
	r.CandidatesTotal, r.CandidatesBytes = some(97), some(2893*mib)
	r.Why = &oom.Why{
		Verdict: "swap_swappiness_zero", Summary: "no free memory, and swap (2.8 GiB, 99 % free) was not used because vm.swappiness is 0", Unsure: oom.Some(true),
		Reasons: []oom.Reason{{Code: "memory_free_low", Text: "31 MiB free, both zones are below their marks"}, {Code: "swap_swappiness_zero", Text: "vm.swappiness is 0"}},
	}
	return r
}

func sigkill() *oom.Record {
	r := base("77aa01", time.Date(2026, 3, 14, 13, 1, 0, 0, time.UTC))
	r.Kind, r.Cause = oom.KindSigkill, oom.CauseMemoryManager
	r.Victim = systemKill().Victim
	r.Victim.CgroupPressure = &oom.Pressure{Some: &oom.PressureTime{Avg10Percent: oom.Some(62.1)}, Full: &oom.PressureTime{Avg10Percent: oom.Some(41.0), Avg60Percent: oom.Some(12.0)}}
	r.Sender = &oom.Sender{
		PID: oom.Some(int32(411)), Comm: "systemd-oomd", UID: oom.Some(uint32(104)), Role: oom.RoleMemoryManager, Program: "systemd-oomd", Says: "memory pressure 62.1 % for 30 s",
		Owner: oom.Owner{Unit: "systemd-oomd.service"}, Parents: []oom.Parent{{PID: oom.Some(int32(1)), Comm: "systemd"}},
	}
	return r
}

// hostile has markup and tricks in every name that somebody else chooses.
func hostile() *oom.Record {
	r := cgroupKill()
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>' style=x` + "\u202e\x00\xff"
	r.ID, r.Node, r.Kernel, r.Incident, r.BootID = evil, evil, evil, evil, evil
	r.Victim.Comm, r.Victim.Cmdline, r.Victim.Exe, r.Victim.Cgroup = evil, evil, evil, "/"+evil
	r.Victim.Pod = &oom.Pod{Namespace: evil, Name: evil, Container: evil, UID: evil, QoS: evil}
	r.Victim.Container = &oom.Container{ID: evil, Name: evil, Image: evil, Runtime: evil}
	r.Victim.CgroupLimits[0].Cgroup = "/" + evil
	r.Trigger.Comm, r.Trigger.Cmdline, r.Trigger.Cgroup, r.Trigger.GFPFlags, r.Trigger.Cpuset = evil, evil, evil, []string{evil}, evil
	r.Trigger.KernelStack, r.Trigger.UserStack = []string{evil}, []string{evil}
	r.Limit.Cgroup, r.Limit.Level, r.Scope = evil, evil, evil
	r.Limit.Changed.Comm, r.Limit.Changed.Cgroup = evil, evil
	r.Trigger.MemsChanged = &oom.NodesChange{From: evil, To: evil, Comm: evil, Cgroup: evil}
	r.Victim.OOMScoreAdjChanged = &oom.AdjChange{Comm: evil, Cgroup: evil}
	r.Limit.Stat = append(r.Limit.Stat, oom.Stat{Name: evil, Bytes: 7})
	r.Memory.Zones[0].Zone, r.Memory.SwapDevices[0].Name, r.Memory.SwapDevices[0].Type = evil, evil, evil
	r.Memory.SlabCaches, r.Memory.Allocations = []oom.SlabCache{{Name: evil}}, []oom.Allocation{{Site: evil}}
	r.History.Growers[0].Comm, r.History.Growers[0].Cmdline = evil, evil
	r.Holders[0].Cgroup, r.Holders[0].Pod = evil, &oom.Pod{Name: evil}
	r.Candidates[0].Comm, r.Candidates[0].Cgroup = evil, evil
	r.Why = &oom.Why{Verdict: evil, Summary: evil, Reasons: []oom.Reason{{Code: evil, Text: evil}}}
	r.Sampled, r.Hooks, r.NamesMissing = []string{evil}, []string{evil}, []string{evil}
	r.Sender = &oom.Sender{Comm: evil, Cmdline: evil, Exe: evil, Role: evil, Program: evil, Says: evil, Parents: []oom.Parent{{Comm: evil}}}
	r.Cause, r.Panic, r.LogText = evil, evil, evil+"\n"+evil
	return r
}

// many are n kills of a node within two days.
func many(n int) []*oom.Record {
	var out []*oom.Record
	for i := range n {
		r := cgroupKill()
		if i%5 == 3 {
			r = systemKill()
		}
		r.ID = fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15)
		r.Time = r.Time.Add(time.Duration((i*i*7919)%172800) * time.Second)
		if i%5 != 3 {
			pod := *r.Victim.Pod
			pod.Name = []string{"cart-7c9f6d5b8-x2x7k", "search-0", "search-1", "checkout-5d8f", "indexer-28812", "web-1"}[i*i%6]
			r.Victim.Pod = &pod
			r.Why.Verdict = []string{"limit_anon", "limit_shmem", "limit_kernel", "many_small_tasks"}[i*i%11%4]
		}
		out = append(out, r)
	}
	return out
}
