package wire

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

// The values of enum oom_constraint (include/linux/oom.h).
const (
	constraintNone = iota
	constraintCpuset
	constraintMempolicy
	constraintMemcg
)

// sysrqOrder is oom_control.order of a kill asked for by sysrq-f
// (mm/oom_kill.c, is_sysrq_oom).
const sysrqOrder = -1

func (ev *Event) decodeVictim(b []byte, m *Machine, kind oom.Kind) error {
	raw, err := take[probe.OomtraceVictimEvent](b, "victim")
	if err != nil {
		return err
	}
	if kind == oom.KindKill && raw.Killed == 0 {
		kind = oom.KindAlreadyExiting
	}
	ev.header(&raw.Hdr, kind, raw.MarkTid, m)
	d := victimDecoder{ev: ev, rec: &ev.Record, raw: &raw, tail: b[unsafe.Sizeof(raw):], m: m, page: pageSize(m)}
	if m.Hooks != nil {
		d.rec.Hooks = append(d.rec.Hooks, m.Hooks(raw.Hooks)...)
	}
	if kind != oom.KindNoVictim {
		if err := d.victim(); err != nil {
			return err
		}
	} else if raw.Repeats != 0 {
		d.rec.Repeats = oom.Some(raw.Repeats)
	}
	for _, part := range [...]func() error{d.trigger, d.stacks, d.decision, d.limit, d.memory, d.candidates} {
		if err := part(); err != nil {
			return err
		}
	}
	if start := raw.Victim.StartBootNs; kind == oom.KindKill && start != unknown && start != 0 {
		d.rec.ID = killID(m.BootID, start, raw.Victim.Tgid)
	}
	if l := d.rec.Limit; l != nil && isOld(d.rec, l.Stat) {
		l.Stat = nil
	}
	return nil
}

func pageSize(m *Machine) uint64 {
	if m.PageSize == 0 {
		return 4096
	}
	return m.PageSize
}

// victimDecoder carries what the parts of one victim record share.
type victimDecoder struct {
	ev   *Event
	rec  *oom.Record // of ev
	raw  *probe.OomtraceVictimEvent
	tail []byte
	m    *Machine
	page uint64
}

// span returns the bytes of the tail that s points at.
func (d *victimDecoder) span(s probe.OomtraceSpan, field string) ([]byte, error) {
	end := int(s.Off) + int(s.Len)
	if end > len(d.tail) {
		return nil, &DecodeError{Field: field, Need: end, Have: len(d.tail)}
	}
	return d.tail[s.Off:end], nil
}

func (d *victimDecoder) bytes(pages uint64) oom.Opt[uint64] { return pageBytes(pages, d.page) }

func pageBytes(pages, page uint64) oom.Opt[uint64] {
	if pages == unknown {
		return oom.Opt[uint64]{}
	}
	return oom.Some(pages * page)
}

// maximum leaves out PAGE_COUNTER_MAX, which is LONG_MAX pages' worth of bytes
// (include/linux/page_counter.h): no limit.
func (d *victimDecoder) maximum(pages uint64) oom.Opt[uint64] {
	if pages >= (1<<63-1)/d.page {
		return oom.Opt[uint64]{}
	}
	return oom.Some(pages * d.page)
}

func known(v uint64) oom.Opt[uint64] {
	if v == unknown {
		return oom.Opt[uint64]{}
	}
	return oom.Some(v)
}

func known32(v uint32) oom.Opt[uint32] {
	if v == unknown32 {
		return oom.Opt[uint32]{}
	}
	return oom.Some(v)
}

// text is what a field of fixed size holds up to its first NUL.
func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

func (d *victimDecoder) victim() error {
	raw, v := &d.raw.Victim, &oom.Victim{}
	d.rec.Victim = v
	v.TID = oom.Some(d.raw.MarkTid)
	if raw.Valid == 0 {
		return nil
	}
	v.PID, v.TID, v.PPID = oom.Some(raw.Tgid), oom.Some(raw.Tid), oom.Some(raw.Ppid)
	if raw.NsTgid >= 0 {
		v.NSPID = oom.Some(raw.NsTgid)
	}
	v.UID, v.OOMScoreAdj = oom.Some(raw.Uid), oom.Some(raw.OomScoreAdj)
	v.Comm = text(raw.Comm[:])
	if !d.m.BootTime.IsZero() {
		v.StartTime = d.m.BootTime.Add(time.Duration(raw.StartBootNs))
	}
	d.victimMemory()
	var err error
	if v.Args, v.Cmdline, err = d.cmdline(raw); err != nil {
		return err
	}
	if raw.Flags&uint32(probe.OomtraceTaskFlagTASK_CMDLINE_CUT) != 0 {
		v.CmdlineCut = oom.Some(true)
	}
	if v.Exe, err = d.exe(raw); err != nil {
		return err
	}
	if v.Cgroup, v.CgroupCut, err = d.taskCgroup(raw); err != nil {
		return err
	}
	v.CgroupID = known(raw.CgroupId)
	return d.chain()
}

func (d *victimDecoder) victimMemory() {
	mm, v := &d.raw.Mm, d.rec.Victim
	if mm.TotalVmPages == unknown {
		return
	}
	v.TotalVMBytes = d.bytes(mm.TotalVmPages)
	v.AnonRSSBytes, v.FileRSSBytes, v.ShmemRSSBytes = d.bytes(mm.AnonPages), d.bytes(mm.FilePages), d.bytes(mm.ShmemPages)
	v.RSSBytes = rssBytes(mm, d.page)
	v.SwapBytes, v.LockedVMBytes = d.bytes(mm.SwapPages), d.bytes(mm.LockedVmPages)
	v.PgtablesBytes = known(mm.PgtablesBytes)
}

// rssBytes is the sum of the three parts, if all of them are known.
func rssBytes(mm *probe.OomtraceMmInfo, page uint64) oom.Opt[uint64] {
	if mm.AnonPages == unknown || mm.FilePages == unknown || mm.ShmemPages == unknown {
		return oom.Opt[uint64]{}
	}
	return oom.Some((mm.AnonPages + mm.FilePages + mm.ShmemPages) * page)
}

// cmdline returns the arguments as the kernel keeps them, with a NUL between
// them, and joined by spaces.
func (d *victimDecoder) cmdline(t *probe.OomtraceTaskInfo) (args, joined string, err error) {
	b, err := d.span(t.Cmdline, "cmdline")
	if err != nil {
		return "", "", err
	}
	args = string(bytes.TrimRight(b, "\x00"))
	return args, strings.ReplaceAll(args, "\x00", " "), nil
}

func (d *victimDecoder) exe(t *probe.OomtraceTaskInfo) (string, error) {
	b, err := d.span(t.Exe, "exe")
	if err != nil || len(b) == 0 {
		return "", err
	}
	return joinPath(b, t.Flags&uint32(probe.OomtraceTaskFlagTASK_EXE_CUT) != 0), nil
}

func (d *victimDecoder) taskCgroup(t *probe.OomtraceTaskInfo) (path string, cut oom.Opt[bool], err error) {
	if t.CgroupId == unknown {
		return "", cut, nil
	}
	b, err := d.span(t.Cgroup, "cgroup")
	if err != nil {
		return "", cut, err
	}
	isCut := t.Flags&uint32(probe.OomtraceTaskFlagTASK_CGROUP_CUT) != 0
	if isCut {
		cut = oom.Some(true)
	}
	return joinPath(b, isCut), cut, nil
}

// joinPath puts names that come leaf first, each with a NUL, into the usual
// order. No names are the root.
func joinPath(names []byte, cut bool) string {
	var parts []string
	if rest := strings.TrimSuffix(string(names), "\x00"); rest != "" {
		parts = strings.Split(rest, "\x00")
		slices.Reverse(parts)
	}
	path := "/" + strings.Join(parts, "/")
	switch {
	case !cut:
		return path
	case len(parts) == 0:
		return "…"
	}
	return "…" + path
}

// chain fills the limits from the victim's own cgroup upwards. Their paths are
// the victim's without its last names.
func (d *victimDecoder) chain() error {
	b, err := d.span(d.raw.Chain, "cgroup limits")
	if err != nil {
		return err
	}
	path := d.rec.Victim.Cgroup
	d.rec.Victim.CgroupLimits = make([]oom.CgroupLimit, 0, len(b)/int(unsafe.Sizeof(probe.OomtraceMemcgInfo{})))
	for len(b) > 0 {
		info, err := take[probe.OomtraceMemcgInfo](b, "cgroup limit")
		if err != nil {
			return err
		}
		b = b[unsafe.Sizeof(info):]
		d.rec.Victim.CgroupLimits = append(d.rec.Victim.CgroupLimits, d.cgroupLimit(&info, path))
		path = parentPath(path)
	}
	return nil
}

// parentPath is a path without its last name: "/" for that of a top cgroup, "…"
// where the names above were cut off.
func parentPath(path string) string {
	switch i := strings.LastIndexByte(path, '/'); {
	case i > 0:
		return path[:i]
	case i == 0:
		return "/"
	}
	return path
}

func (d *victimDecoder) cgroupLimit(info *probe.OomtraceMemcgInfo, path string) oom.CgroupLimit {
	l := oom.CgroupLimit{
		Cgroup: path, CgroupID: known(info.Id), UsageBytes: d.bytes(info.UsagePages),
		MaxBytes: d.maximum(info.MaxPages), HighBytes: d.maximum(info.HighPages),
		OOMGroup: oom.Some(info.Flags&uint32(probe.OomtraceMemcgFlagMEMCG_OOM_GROUP) != 0),
	}
	l.ChildrenMinBytes, l.ChildrenLowBytes = d.protection(info.ChildrenMinPages), d.protection(info.ChildrenLowPages)
	if path == "/" {
		// Nothing is charged to the root cgroup (try_charge, mm/memcontrol.c),
		// and it has no memory.oom.group.
		return oom.CgroupLimit{
			Cgroup: path, CgroupID: l.CgroupID, ChildrenMinBytes: l.ChildrenMinBytes, ChildrenLowBytes: l.ChildrenLowBytes,
		}
	}
	if info.Flags&uint32(probe.OomtraceMemcgFlagMEMCG_V2) == 0 {
		l.MemswMaxBytes = d.maximum(info.SwapMaxPages)
		l.OOMGroup = oom.Opt[bool]{} // v1 has no such file
		l.Swappiness = known32(info.Swappiness)
		return l
	}
	l.SwapUsageBytes, l.SwapMaxBytes = d.bytes(info.SwapUsagePages), d.maximum(info.SwapMaxPages)
	l.MinBytes, l.LowBytes = d.protection(info.MinPages), d.protection(info.LowPages)
	return l
}

// protection leaves out 0, which is none, and caps "max", which is all there is.
func (d *victimDecoder) protection(pages uint64) oom.Opt[uint64] {
	if pages == 0 || pages == unknown {
		return oom.Opt[uint64]{}
	}
	return oom.Some(min(pages, (1<<63-1)/d.page) * d.page)
}

func (d *victimDecoder) trigger() error {
	raw, t := &d.raw.Trigger, &oom.Trigger{}
	if raw.Valid == 0 {
		return nil
	}
	d.rec.Trigger = t
	t.PID, t.TID, t.UID = oom.Some(raw.Tgid), oom.Some(raw.Tid), oom.Some(raw.Uid)
	t.OOMScoreAdj = oom.Some(raw.OomScoreAdj)
	t.Comm = text(raw.Comm[:])
	var err error
	if t.Args, t.Cmdline, err = d.cmdline(raw); err != nil {
		return err
	}
	t.CgroupID = known(raw.CgroupId)
	t.Cgroup, t.CgroupCut, err = d.taskCgroup(raw)
	return err
}

func (d *victimDecoder) decision() error {
	raw, r := &d.raw.Decision, d.rec
	if raw.Valid != uint32(probe.OomtraceDecisionValidDECISION_UNKNOWN) {
		d.request()
	}
	if raw.Valid != uint32(probe.OomtraceDecisionValidDECISION_MADE) {
		asked := raw.Valid == uint32(probe.OomtraceDecisionValidDECISION_ASKED)
		if asked && d.raw.Limit.Id != unknown || d.onStack(memcgFrame) {
			r.Scope = oom.ScopeCgroup
		}
		return nil
	}
	switch raw.Constraint {
	case constraintNone:
		r.Scope = oom.ScopeSystem
	case constraintCpuset:
		r.Scope = oom.ScopeCpuset
	case constraintMempolicy:
		r.Scope = oom.ScopeMempolicy
	case constraintMemcg:
		r.Scope = oom.ScopeCgroup
	}
	r.DomainBytes = d.bytes(raw.TotalPages)
	if r.Victim != nil && raw.ChosenTid != 0 && d.isChosen(raw.ChosenTid) {
		switch weighed := d.raw.Hooks&uint32(probe.OomtraceHookBitHOOK_EVALUATE_TASK) != 0; {
		case raw.ChosenPoints == math.MaxInt64:
			r.Victim.OOMOrigin = oom.Some(true)
		case weighed || raw.ChosenPoints != 0: // none of vm.oom_kill_allocating_task
			r.Victim.BadnessPages = oom.Some(raw.ChosenPoints)
		}
	}
	return nil
}

// request is what the allocation asked for, be it decided upon or not.
func (d *victimDecoder) request() {
	raw, r := &d.raw.Decision, d.rec
	if raw.Order == sysrqOrder {
		r.Sysrq = oom.Some(true)
	}
	if t := r.Trigger; t != nil {
		t.Nodemask, t.MemsAllowed = nodeList(raw.Nodemask), nodeList(raw.MemsAllowed)
		t.GFPMask, t.Order = oom.Some(raw.GfpMask), oom.Some(raw.Order)
		if d.m.GFP != nil {
			t.GFPFlags = d.m.GFP(raw.GfpMask)
		}
	}
}

// nodeList is a mask as the kernel prints one ("0-1,4"); a mask that is absent, or
// holds every number there is, says nothing.
func nodeList(mask uint64) string {
	if mask == unknown {
		return ""
	}
	return oom.NodeList(mask)
}

// isChosen separates the chosen task from the others of an oom.group. The kernel
// chooses a process by any of its threads (select_bad_process).
func (d *victimDecoder) isChosen(tid int32) bool {
	return tid == d.raw.Victim.Tgid || tid == d.raw.Victim.Tid
}
