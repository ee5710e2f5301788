package wire

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// bytesOf are the bytes of a wire struct, as the kernel writes them.
func bytesOf[T any](v *T) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))...)
}

// victimRecord is a victim record in the making.
type victimRecord struct {
	probe.OomtraceVictimEvent
	tail []byte
}

func (r *victimRecord) append(b []byte) probe.OomtraceSpan {
	s := probe.OomtraceSpan{Off: uint16(len(r.tail)), Len: uint16(len(b))}
	r.tail = append(r.tail, b...)
	return s
}

func (r *victimRecord) encode() []byte {
	r.Hdr.Size = uint32(int(unsafe.Sizeof(r.OomtraceVictimEvent)) + len(r.tail))
	return append(bytesOf(&r.OomtraceVictimEvent), r.tail...)
}

// fill sets a whole struct to what BPF writes for "not known".
func fill[T any](v *T) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
	for i := range b {
		b[i] = 0xff
	}
}

func comm(s string) (c [16]uint8) {
	copy(c[:15], s)
	return c
}

func header(typ probe.OomtraceEventType) probe.OomtraceEventHeader {
	return probe.OomtraceEventHeader{
		Layout: Layout, Type: uint16(typ), BootNs: 5_000_000_000, MonoNs: 4_000_000_000, IncidentNs: 4_999_000_000,
	}
}

// bare is what start_event of bpf/oomtrace.bpf.c leaves: nothing is known.
func bare() *victimRecord {
	r := &victimRecord{}
	r.Hdr, r.Killed, r.MarkTid = header(probe.OomtraceEventTypeEVENT_VICTIM), 1, 701
	fill(&r.Limit)
	fill(&r.LimitStat)
	fill(&r.Memory)
	fill(&r.Mm)
	return r
}

func task(r *victimRecord, tgid, tid int32, name string) probe.OomtraceTaskInfo {
	return probe.OomtraceTaskInfo{
		Tgid: tgid, Tid: tid, Ppid: 1, NsTgid: 7, Uid: 1000, OomScoreAdj: -5, StartBootNs: 1_000_000_000, CgroupId: 4242, Valid: 1,
		Cgroup:  r.append([]byte("leaf\x00pod42\x00kubepods.slice\x00")),
		Cmdline: r.append([]byte("java\x00-jar\x00a b.jar\x00")),
		Exe:     r.append([]byte("java\x00bin\x00usr\x00")),
		Flags:   uint32(probe.OomtraceTaskFlagTASK_CGROUP_V2), Comm: comm(name),
	}
}

func link(id, usage, limit uint64) []byte {
	return bytesOf(&probe.OomtraceMemcgInfo{
		Id: id, UsagePages: usage, MaxPages: limit, HighPages: noLimitPages, Failures: 9, SwapUsagePages: 3, SwapMaxPages: noLimitPages,
		KmemUsagePages: unknown, KmemMaxPages: unknown, Swappiness: unknown32, Flags: uint32(probe.OomtraceMemcgFlagMEMCG_V2),
	})
}

// noLimitPages is PAGE_COUNTER_MAX of 64-bit kernels with 4 KiB pages.
const noLimitPages = (1<<63 - 1) / 4096

// whole has everything that a record can have.
func whole() *victimRecord {
	r := bare()
	r.Hooks = uint32(probe.OomtraceHookBitHOOK_MARK_VICTIM | probe.OomtraceHookBitHOOK_EVALUATE_TASK)
	r.Victim = task(r, 700, 701, "worker")
	r.Trigger = task(r, 800, 800, "asker")
	r.Trigger.CgroupId = 4243
	r.Mm = probe.OomtraceMmInfo{
		TotalVmPages: 100, FilePages: 1, AnonPages: 20, SwapPages: 4, ShmemPages: 3, LockedVmPages: 2, PgtablesBytes: 4096, RssCountPages: 22,
	}
	r.Decision = probe.OomtraceDecisionInfo{
		GfpMask: 0xcc0, Constraint: constraintMemcg, Valid: 1, TotalPages: 1000, ChosenPoints: 29, ChosenTid: 701,
	}
	r.Chain = r.append(append(append(link(4242, 64, 100), link(4243, 500, 500)...), link(4244, 900, noLimitPages)...))
	limit, _ := take[probe.OomtraceMemcgInfo](link(4243, 500, 500), "")
	r.Limit = limit
	r.LimitPath = r.append([]byte("pod42\x00kubepods.slice\x00"))
	r.LimitStat[probe.OomtraceMemcgStatMEMCG_STAT_ANON] = 0
	r.LimitStat[probe.OomtraceMemcgStatMEMCG_STAT_SWAP] = 8192
	r.Memory.TotalPages, r.Memory.FreePages, r.Memory.SwapTotalPages, r.Memory.Swappiness = 1<<20, 1<<10, 1<<18, 60
	r.Memory.KillAllocatingTask = 0
	r.Memory.Stat[probe.OomtraceVmStatVM_STAT_SHMEM] = 12288
	r.Zones = r.append(zone())
	r.Candidates = r.append(append(candidate(900, 5, "small"), candidate(700, 29, "worker")...))
	r.CandidatesTotal, r.CandidatesPages = 17, 40
	r.Decision.Nodemask, r.Decision.MemsAllowed = 1<<1, 1<<0|1<<1|1<<2|1<<5
	r.KernelStack = r.append(words(0x11, 0x22, 0x33))
	r.UserStack = r.append(words(0x7f0011, 0x7f0022))
	inFile := probe.OomtraceUserFrame{Status: frameValid, BuildId: [20]byte{0xab}, Offset: 0x11}
	bare := probe.OomtraceUserFrame{Status: 2, Offset: 0x7f0022}
	r.UserFrames = r.append(append(bytesOf(&inFile), bytesOf(&bare)...))
	return r
}

func zone() []byte {
	z := probe.OomtraceZoneInfo{FreePages: 10, MinPages: 5, LowPages: unknown, HighPages: 9, ManagedPages: 1 << 18}
	copy(z.Name[:], "Normal")
	fill(&z.LowmemReservePages)
	fill(&z.FreeBlocks)
	z.LowmemReservePages[0], z.LowmemReservePages[1] = 0, 7
	z.FreeBlocks[0], z.FreeBlocks[1] = 4, 3
	return bytesOf(&z)
}

func candidate(tgid int32, points int64, name string) []byte {
	return bytesOf(&probe.OomtraceCandidateInfo{
		Tgid: tgid, Tid: tgid, Uid: 1000, OomScoreAdj: -5, Points: points, CgroupId: 4242, Comm: comm(name),
		Mm: probe.OomtraceMmInfo{TotalVmPages: 50, FilePages: 1, AnonPages: 2, ShmemPages: 3, SwapPages: 4, PgtablesBytes: 8192},
	})
}

func words(all ...uint64) []byte {
	var b []byte
	for i := range all {
		b = append(b, bytesOf(&all[i])...)
	}
	return b
}

func exitRecord() *probe.OomtraceExitEvent {
	return &probe.OomtraceExitEvent{
		Hdr: header(probe.OomtraceEventTypeEVENT_EXIT), Tgid: 700, Tid: 701, MarkedBootNs: 4_962_000_000,
		ReapEndBootNs: 4_972_000_000, ReapStarts: 1, ReapFinishes: 1, ReapLast: uint32(probe.OomtraceReapResultREAP_DONE), Comm: comm("worker"),
		Mm: probe.OomtraceMmInfo{TotalVmPages: 100, FilePages: 1, AnonPages: 0, SwapPages: 4, ShmemPages: 3},
	}
}

func sharedRecord() *probe.OomtraceSharedMmEvent {
	return &probe.OomtraceSharedMmEvent{Hdr: header(probe.OomtraceEventTypeEVENT_SHARED_MM), Tgid: 702, VictimTgid: 700, Comm: comm("twin")}
}

func cgroupRecord(path string) *probe.OomtraceCgroupEvent {
	r := &probe.OomtraceCgroupEvent{Hdr: header(probe.OomtraceEventTypeEVENT_CGROUP), Id: 4242, Len: uint32(len(path))}
	copy(r.Path[:], path)
	return r
}

func machine() *Machine {
	return &Machine{
		Node: "node-3", BootID: "0b6a3d5e-0000-4000", Kernel: "6.12", PageSize: 4096, BootTime: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC),
		Hooks:  func(mask uint32) []string { return []string{fmt.Sprintf("mask:%d", mask)} },
		Symbol: func(address uint64) string { return fmt.Sprintf("f%x+0x1", address) },
		GFP:    func(uint32) []string { return []string{"GFP_KERNEL"} },
	}
}

func decode(t *testing.T, b []byte) *Event {
	t.Helper()
	var ev Event
	if err := ev.Decode(b, machine()); err != nil {
		t.Fatal(err)
	}
	return &ev
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if g, w := jsonOf(t, got), jsonOf(t, want); g != w {
		t.Errorf("got %s\nwant %s", g, w)
	}
}

func some(n uint64) oom.Opt[uint64] { return oom.Some(n) }
