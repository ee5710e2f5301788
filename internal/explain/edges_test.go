package explain

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// edge is a condition of a rule: a record that meets it, and one that differs in it alone.
type edge struct {
	name    string
	code    string // of the reason; verdict for the verdict, "" for the summary
	words   string // that the first says and the second does not; "" for the reason itself
	yes, no *oom.Record
}

const verdict = "verdict"

// told is what an explanation says under a code.
func told(w *oom.Why, code string) string {
	switch code {
	case "":
		return w.Summary
	case verdict:
		if w.Unsure.Value {
			return w.Verdict + ", unsure"
		}
		return w.Verdict + ", sure"
	}
	var texts []string
	for _, r := range w.Reasons {
		if r.Code == code {
			texts = append(texts, r.Text)
		}
	}
	return strings.Join(texts, "\n")
}

// TestEdges holds the conditions of the rules one by one.
func TestEdges(t *testing.T) {
	for _, tt := range slices.Concat(choiceEdges(), limitEdges(), swapEdges(), lockedEdges(), kubeletEdges(), systemEdges(), heldEdges(), factEdges(), zoneEdges(), taskEdges(), holderEdges(), sigkillEdges(), outcomeEdges(), growthEdges()) {
		t.Run(tt.name, func(t *testing.T) {
			says := func(rec *oom.Record) (*oom.Why, bool) {
				w := Of(rec)
				check(t, w)
				text := told(w, tt.code)
				return w, text != "" && strings.Contains(text, tt.words)
			}
			if w, ok := says(tt.yes); !ok {
				t.Errorf("%s lacks %q: %+v", tt.code, tt.words, w)
			}
			if w, ok := says(tt.no); ok {
				t.Errorf("%s has %q all the same: %+v", tt.code, tt.words, w)
			}
		})
	}
}

func choiceEdges() []edge {
	small := func(r *oom.Record) {
		r.Victim.RSSBytes, r.Victim.AnonRSSBytes, r.Victim.SwapBytes = b(mib), b(mib), b(0)
	}
	groups := func(on ...string) change { // of the victim's /a/b/c, at the limit of /a/b
		return func(r *oom.Record) {
			r.Limit.Cgroup, r.Victim.Cgroup, r.Victim.CgroupLimits = "/a/b", "/a/b/c", nil
			for _, c := range []string{"/a/b/c", "/a/b", "/a"} {
				level := oom.CgroupLimit{Cgroup: c}
				for _, o := range on {
					if o == c {
						level.OOMGroup = oom.Some(true)
					}
				}
				r.Victim.CgroupLimits = append(r.Victim.CgroupLimits, level)
			}
		}
	}
	ofGroup := func(r *oom.Record) { r.Victim.CgroupLimits[0].OOMGroup = oom.Some(true) }
	notWeighed := func(r *oom.Record) { r.Victim.BadnessPages = oom.Opt[int64]{} }
	asked := func(pid int32) change {
		return func(r *oom.Record) {
			r.Memory.OOMKillAllocatingTask, r.Trigger.PID = oom.Some(true), oom.Some(pid)
		}
	}
	inThread := func(r *oom.Record) { r.Victim.TID = oom.Some(int32(100)) }
	isOrigin := func(on bool) change { return func(r *oom.Record) { r.Victim.OOMOrigin = oom.Some(on) } }
	noPIDs := func(r *oom.Record) { r.Victim.PID, r.Trigger.PID = oom.Opt[int32]{}, oom.Opt[int32]{} }
	ksm := stack("unmerge_and_remove_all_rmap_items+0x2")
	spared := func(cgroups ...string) change {
		return func(r *oom.Record) {
			for i, c := range cgroups {
				r.Candidates = append(r.Candidates, oom.Candidate{PID: oom.Some(int32(i + 1)), Comm: "init", OOMScoreAdj: oom.Some(int32(-1000)), Cgroup: c})
			}
		}
	}
	big := func(r *oom.Record, change func(*oom.Candidate)) { change(&r.Candidates[1]) }
	sized := func(rss, swap, tables, theirs, theirSwap, theirTables size) change {
		return func(r *oom.Record) {
			spareBig(0, -998)(r)
			r.Victim.RSSBytes, r.Victim.SwapBytes, r.Victim.PgtablesBytes = rss, swap, tables
			big(r, func(c *oom.Candidate) { c.RSSBytes, c.SwapBytes, c.PgtablesBytes = theirs, theirSwap, theirTables })
		}
	}
	noSize := size{}
	inUse := func(v uint64) change { return func(r *oom.Record) { r.Limit.UsageBytes = b(v) } }
	noTotal := func(r *oom.Record) { r.Memory.TotalBytes = size{} }
	noSwapSize := func(r *oom.Record) { r.Victim.SwapBytes = size{} }
	return []edge{
		{"only a kill is a choice", codeVictimSmall, "", system(small), system(small, kind(oom.KindAlreadyExiting))},
		{"a group that was weighed", codeVictimAdj, "was spared", limited(ofGroup, spareBig(8*gib, -998)), limited(ofGroup, notWeighed, spareBig(8*gib, -998))},
		{"the task that asked was not chosen by its size", codeVictimAdj, "was spared", system(spareBig(8*gib, -998), asked(9)), system(spareBig(8*gib, -998), asked(100))},
		{"nor one that takes memory out of swap", codeVictimAdj, "was spared", system(spareBig(8*gib, -998), isOrigin(false)), system(spareBig(8*gib, -998), isOrigin(true))},
		{"KSM by the function that turns it off", codeVictimOrigin, "shared pages apart (KSM is being turned off)", system(fromLog, ksm), system(fromLog)},
		{"KSM by its file and what it calls", codeVictimOrigin, "KSM is being turned off", system(fromLog, stack("break_ksm_pmd_entry+0x1", "run_store+0x3")), system(fromLog, stack("run_store+0x3"))},
		{"KSM by its file and another that it calls", codeVictimOrigin, "KSM is being turned off", system(fromLog, stack("unmerge_ksm_pages+0x1", "run_store+0x3")), system(fromLog, stack("unmerge_ksm_pages+0x1"))},
		{"KSM by its file and a third", codeVictimOrigin, "KSM is being turned off", system(fromLog, stack("break_ksm+0x1", "run_store+0x3")), system(fromLog, stack("break_ksm+0x1"))},
		{"KSM, and the kernel's word that it was not so", codeVictimOrigin, "", system(ksm), system(ksm, isOrigin(false))},
		{"KSM, and who asked is not known", codeVictimOrigin, "", system(ksm), system(ksm, noPIDs)},
		{"KSM or swap, without a stack", codeVictimOrigin, "(swapoff) or KSM", system(isOrigin(true)), system(isOrigin(true), ksm)},
		{"KSM of one process", codeVictimOrigin, "KSM is being turned off", system(isOrigin(true), stack("unmerge_ksm_pages+0x1")), system(isOrigin(true), stack("ksm_madvise+0x1"))},
		{"KSM of one process, within a page table", codeVictimOrigin, "KSM is being turned off", system(isOrigin(true), stack("break_ksm+0x1")), system(isOrigin(true))},
		{"its origin in the summary", "", "the task that takes memory out of swap (swapoff) or KSM is killed first", system(isOrigin(true)), system()},
		{"a group at the limit", codeVictimGroup, "", limited(groups("/a/b")), limited(groups("/a"))},
		{"a group above the machine's victim", codeVictimGroup, "", system(func(r *oom.Record) { r.Limit = &oom.Limit{}; groups("/a")(r) }), system(func(r *oom.Record) { r.Limit = &oom.Limit{}; groups()(r) })},
		{"a group of which no usage is known", codeVictimGroup, "memory.oom.group=1:", limited(groups("/a/b")), limited(ofGroup)},
		{"a group's spared task below it", codeVictimGroup, "(init (pid 1))", limited(ofGroup, spared("/a/x")), limited(ofGroup, spared("/ax"))},
		{"a group's spared task of no known cgroup", codeVictimGroup, "(init (pid 1))", limited(ofGroup, spared("")), limited(ofGroup, spared("/"))},
		{"three spared tasks of a group are named", codeVictimGroup, "(init (pid 1), init (pid 2), init (pid 3))", limited(ofGroup, spared("/a", "/a", "/a", "/a")), limited(ofGroup, spared("/a", "/a"))},
		{"a spared task without a size", codeVictimAdj, "", system(spareBig(8*gib, -998)), system(spareBig(8*gib, -998), func(r *oom.Record) { r.Victim.RSSBytes = size{} })},
		{"the victim is no spared task", codeVictimAdj, "", system(spareBig(8*gib, -998)), system(spareBig(8*gib, -998), func(r *oom.Record) { r.Candidates[1].PID = r.Victim.PID })},
		{"a task without an id may be spared", codeVictimAdj, "a bigger task, a process, was spared: 8 GiB with oom_score_adj -998; the victim has 3 GiB and 0", system(spareBig(8*gib, -998), func(r *oom.Record) { r.Candidates[1].PID = oom.Opt[int32]{} }), system()},
		{"a task whose adjustment is not known", codeVictimAdj, "", system(spareBig(8*gib, -998)), system(spareBig(8*gib, -998), func(r *oom.Record) { r.Candidates[1].OOMScoreAdj = oom.Opt[int32]{} })},
		{"the biggest of those spared", codeVictimAdj, "pid 8, was spared: 9 GiB", system(spareBig(8*gib, -998), func(r *oom.Record) {
			c := r.Candidates[1]
			c.PID, c.RSSBytes = oom.Some(int32(8)), b(9*gib)
			r.Candidates = append(r.Candidates, c, r.Candidates[1])
		}), system(spareBig(8*gib, -998))},
		{"spared where the RAM is not known", codeVictimAdj, "", system(spareBig(8*gib, -998), func(r *oom.Record) { r.Memory = nil }), system(func(r *oom.Record) { r.Memory = nil })},
		{"a log that does not say who asked", codeVictimTrigger, "vm.oom_kill_allocating_task is 1: the task that asked for memory was chosen for it", system(fromLog, asked(9), inThread, func(r *oom.Record) { r.Trigger.PID = oom.Opt[int32]{} }), system(fromLog, asked(100), inThread)},
		{"small by the limit, whatever is in use", codeVictimSmall, "4 MiB of 256 MiB", limited(func(r *oom.Record) { r.Victim.AnonRSSBytes, r.Victim.SwapBytes = b(4*mib), b(0) }, inUse(128*mib)), limited(func(r *oom.Record) { r.Victim.AnonRSSBytes, r.Victim.SwapBytes = b(6*mib), b(0) }, inUse(256*mib))},
		{"small by what could be used, where the RAM is not known", codeVictimSmall, "1 MiB of 6 GiB", system(small, noTotal, func(r *oom.Record) { r.DomainBytes = b(6 * gib) }), system(small, noTotal)},
		{"a small one whose swap is not known", codeVictimSmall, "", system(small, swap(0, 0), noSwapSize), system(small, noSwapSize)},
		{"swap makes a task bigger", codeVictimAdj, "1.3 GiB with oom_score_adj -998; the victim has 1 GiB", system(sized(b(gib), b(0), noSize, b(gib), b(300*mib), noSize)), system(sized(b(gib), noSize, noSize, b(gib), b(300*mib), noSize))},
		{"page tables make a task bigger", codeVictimAdj, "1.3 GiB with oom_score_adj -998; the victim has 1 GiB", system(sized(b(gib), noSize, b(0), b(gib), noSize, b(300*mib))), system(sized(b(gib), noSize, noSize, b(gib), noSize, b(300*mib)))},
		{"swap makes the victim bigger", codeVictimAdj, "", system(sized(b(gib), b(300*mib), noSize, b(1200*mib), noSize, noSize)), system(sized(b(gib), b(300*mib), noSize, b(1200*mib), b(0), noSize))},
		{"page tables make the victim bigger", codeVictimAdj, "", system(sized(b(gib), noSize, b(300*mib), b(1200*mib), noSize, noSize)), system(sized(b(gib), noSize, b(300*mib), b(1200*mib), noSize, b(0)))},
	}
}

func limitEdges() []edge {
	lowered := func(edit func(*oom.LimitChange)) change {
		return func(r *oom.Record) {
			r.Trigger = &oom.Trigger{PID: oom.Some(int32(9)), Comm: "sh"}
			r.Limit.Changed = &oom.LimitChange{FromBytes: b(gib), ToBytes: b(256 * mib), AgoNS: oom.Some(uint64(1e9)), PID: oom.Some(int32(5)), Comm: "runc"}
			if edit != nil {
				edit(r.Limit.Changed)
			}
		}
	}
	writes := func(r *oom.Record) {
		r.Trigger = &oom.Trigger{PID: oom.Some(int32(9)), Comm: "sh", KernelStack: []string{"memory_max_write+0x1"}}
	}
	cut := func(victim, limit oom.Opt[uint64]) change {
		return func(r *oom.Record) {
			inPod(30 * mib)(r)
			r.Victim.CgroupCut, r.Victim.CgroupID, r.Limit.CgroupID = oom.Some(true), victim, limit
		}
	}
	at := func(limit, victim string, level oom.Level, inContainer bool) change {
		return func(r *oom.Record) {
			r.Limit.Cgroup, r.Limit.Level, r.Victim.Cgroup, r.Victim.CgroupLimits = limit, level, victim, nil
			if inContainer {
				r.Victim.Container = &oom.Container{Name: "db"}
			}
		}
	}
	bare := func(stat ...oom.Stat) change { // a small victim, without memory.stat but these
		return func(r *oom.Record) {
			victimAnon(9 * mib)(r)
			r.Limit.Stat = stat
		}
	}
	listed := func(anon ...uint64) change {
		return func(r *oom.Record) {
			for _, v := range anon {
				r.Candidates = append(r.Candidates, oom.Candidate{Comm: "x", RSSBytes: b(v), AnonRSSBytes: b(v)})
			}
		}
	}
	adjusted := func(adj oom.Opt[int32]) change {
		return func(r *oom.Record) {
			r.CandidatesBytes = b(20 * mib)
			for i := range r.Candidates {
				r.Candidates[i].OOMScoreAdj = adj
			}
		}
	}
	swapped := func(v uint64) change { return func(r *oom.Record) { r.Limit.SwapUsageBytes = b(v) } }
	noSwapUsage := func(r *oom.Record) { r.Limit.SwapUsageBytes = size{} }
	v1Swapped := func(v uint64) change {
		return func(r *oom.Record) { r.Limit.MemswUsageBytes = b(256*mib + v) }
	}
	writing := limitStat(oom.LimitFileWriteback, 100*mib)
	levels := func(l ...oom.CgroupLimit) change {
		return func(r *oom.Record) {
			inPod(30 * mib)(r)
			r.Victim.Cgroup, r.Victim.CgroupLimits = "/pod/app/x", append(l, r.Victim.CgroupLimits[1])
		}
	}
	v1Limits := func(usage, both uint64) change {
		return func(r *oom.Record) {
			r.Limit.UsageBytes, r.Limit.MaxBytes, r.Limit.MemswUsageBytes, r.Limit.MemswMaxBytes = b(usage), b(100*mib), b(both), b(100*mib)
		}
	}
	unevictable := oom.Stat{Name: oom.LimitUnevictable, Bytes: 190 * mib}
	used := func(v uint64) change { return func(r *oom.Record) { r.Limit.UsageBytes = b(v) } }
	weighs := func(v uint64) change { return func(r *oom.Record) { r.CandidatesBytes = b(v) } }
	noMax := func(r *oom.Record) { r.Limit.MaxBytes = size{} }
	noUsage := func(r *oom.Record) { r.Limit.UsageBytes = size{} }
	cache := []change{limitStat(oom.LimitAnon, 40*mib), limitStat(oom.LimitFile, 210*mib)}
	with := func(more ...change) *oom.Record { return limited(append(cache[:2:2], more...)...) }
	return []edge{
		{"what is left is the kernel's only where page cache is known", verdict, codeLimitKernel, limited(bare(oom.Stat{Name: oom.LimitAnon, Bytes: 20 * mib}, oom.Stat{Name: oom.LimitFile}, oom.Stat{Name: oom.LimitShmem})), limited(bare(oom.Stat{Name: oom.LimitAnon, Bytes: 20 * mib}))},
		{"who lowered a limit", codeLimitLowered, "by runc (pid 5)", limited(lowered(nil)), limited(lowered(func(c *oom.LimitChange) { c.PID, c.Comm = oom.Opt[int32]{}, "" }))},
		{"who asked for memory did not", codeLimitLowered, " by sh", limited(writes), limited(lowered(func(c *oom.LimitChange) { c.PID, c.Comm = oom.Opt[int32]{}, "" }))},
		{"who lowered a limit, by name alone", codeLimitLowered, "by runc 1 s before", limited(lowered(func(c *oom.LimitChange) { c.PID = oom.Opt[int32]{} })), limited(lowered(nil))},
		{"who lowered a limit, by id alone", codeLimitLowered, "by pid 5 1 s before", limited(lowered(func(c *oom.LimitChange) { c.Comm = "" })), limited(lowered(nil))},
		{"when it was lowered is not known", codeLimitLowered, " before", limited(lowered(nil)), limited(lowered(func(c *oom.LimitChange) { c.AgoNS = size{} }))},
		{"to what a limit was lowered", codeLimitLowered, "", limited(lowered(nil)), limited(lowered(func(c *oom.LimitChange) { c.ToBytes = size{} }))},
		{"when it was lowered", verdict, "limit_lowered, sure", limited(lowered(nil)), limited(lowered(func(c *oom.LimitChange) { c.AgoNS = size{} }))},
		{"what is in use above a lowered limit", codeLimitLowered, ", with 257 MiB in use", limited(lowered(nil), func(r *oom.Record) { r.Limit.UsageBytes = b(257 * mib) }), limited(lowered(nil))},
		{"as much as the limit is in use", codeLimitLowered, "in use", limited(lowered(nil), func(r *oom.Record) { r.Limit.UsageBytes = b(256*mib + 1) }), limited(lowered(nil))},
		{"a victim's cgroup that is cut, by its id", codeLimitAncestor, "", limited(cut(oom.Some(uint64(1)), oom.Some(uint64(2)))), limited(cut(oom.Some(uint64(2)), oom.Some(uint64(2))))},
		{"the same without the victim's", codeLimitAncestor, "", limited(cut(oom.Some(uint64(1)), oom.Some(uint64(2)))), limited(cut(oom.Opt[uint64]{}, oom.Some(uint64(2))))},
		{"the same without the limit's", codeLimitAncestor, "", limited(cut(oom.Some(uint64(1)), oom.Some(uint64(2)))), limited(cut(oom.Some(uint64(1)), oom.Opt[uint64]{}))},
		{"a limit's cgroup that is cut", codeLimitAncestor, "", limited(inPod(30 * mib)), limited(inPod(30*mib), func(r *oom.Record) { r.Limit.CgroupCut = oom.Some(true) })},
		{"a service with a container below it", codeLimitAncestor, "", limited(at("/s", "/s/c", oom.LevelService, true)), limited(at("/s", "/s/c", oom.LevelService, false))},
		{"a scope with a container below it", codeLimitAncestor, "", limited(at("/s", "/s/c", oom.LevelScope, true)), limited(at("/s", "/s/c", oom.LevelScope, false))},
		{"a container's own limit", codeLimitAncestor, "", limited(at("/s", "/s/c", oom.LevelPod, true)), limited(at("/s", "/s/c", oom.LevelContainer, true))},
		{"a service's own limit", codeLimitAncestor, "", limited(at("/s", "/s/c", oom.LevelService, true)), limited(at("/s", "/s", oom.LevelService, true))},
		{"the root's limit", codeLimitAncestor, "", limited(at("/", "/s", oom.LevelRoot, false)), limited(at("/", "/", oom.LevelRoot, false))},
		{"the root's limit, and the victim's cgroup is not known", codeLimitAncestor, "", limited(at("/", "/s", oom.LevelRoot, false)), limited(at("/", "", oom.LevelRoot, false))},
		{"a cgroup with a longer name", codeLimitAncestor, "", limited(at("/s", "/s/c", oom.LevelSlice, false)), limited(at("/s", "/sc", oom.LevelSlice, false))},
		{"an ancestor without a limit", codeLimitAncestor, "", limited(inPod(30 * mib)), limited(inPod(30*mib), noMax)},
		{"the victim's own cgroup of no known usage", codeLimitAncestor, ", which holds 30 MiB and has no limit", limited(inPod(30 * mib)), limited(inPod(30*mib), func(r *oom.Record) { r.Victim.CgroupLimits[0].UsageBytes = size{} })},
		{"the innermost limit below an ancestor's", codeLimitAncestor, ", which holds 40 MiB of its limit of 50 MiB",
			limited(levels(oom.CgroupLimit{Cgroup: "/pod/app/x", UsageBytes: b(30 * mib)}, oom.CgroupLimit{Cgroup: "/pod/app", UsageBytes: b(40 * mib), MaxBytes: b(50 * mib)})),
			limited(levels(oom.CgroupLimit{Cgroup: "/pod/app/x", UsageBytes: b(30 * mib)}, oom.CgroupLimit{Cgroup: "/pod/app", UsageBytes: b(40 * mib)}))},
		{"kernel memory beside the largest, whatever is in swap", codeLimitAlso, "kernel memory: 64 MiB", limited(limitStat(oom.LimitAnon, 180*mib), limitStat(oom.LimitKernel, 64*mib), swapped(60*mib)), limited(limitStat(oom.LimitAnon, 180*mib), limitStat(oom.LimitKernel, 64*mib-1), swapped(60*mib))},
		{"dirty cache less what is in swap", codeLimitAlso, "", limited(limitStat(oom.LimitAnon, 150*mib), limitStat(oom.LimitFile, 90*mib), limitStat(oom.LimitFileDirty, 90*mib), swapped(26*mib)),
			limited(limitStat(oom.LimitAnon, 150*mib), limitStat(oom.LimitFile, 90*mib), limitStat(oom.LimitFileDirty, 90*mib), swapped(26*mib+1))},
		{"cache, and the swap cache is counted", codeLimitAlso, "", limited(limitStat(oom.LimitAnon, 150*mib), limitStat(oom.LimitFile, 90*mib), limitStat(oom.LimitSwapcached, 0), swapped(60*mib)),
			limited(limitStat(oom.LimitAnon, 150*mib), limitStat(oom.LimitFile, 90*mib), swapped(60*mib))},
		{"the tasks listed hold half", codeLimitAnon, "anonymous memory of the tasks listed: 128 MiB of 256 MiB (50 %)", limited(bare(), listed(64*mib, 64*mib)), limited(bare(), listed(64*mib, 64*mib-1))},
		{"what forked tasks share", "", ", 50 % of it anonymous memory (could also be pages that forked tasks share: each counts them)", limited(bare(), listed(64*mib, 64*mib)), limited(bare(), listed(64*mib, 64*mib-1))},
		{"tasks that could be killed, of no known adjustment", codeLimitNoTask, "tasks at oom_score_adj -1000", limited(fromLog, tasks(2, mib, mib), adjusted(oom.Opt[int32]{})), limited(fromLog, tasks(2, mib, mib), adjusted(oom.Some(int32(-999))))},
		{"a task's memory in a log that is cut", codeLimitNoTask, "", limited(fromLog, tasks(2, mib, mib), adjusted(oom.Some(int32(0)))), limited(fromLog, tasks(2, mib, mib), adjusted(oom.Some(int32(0))), func(r *oom.Record) { r.Incomplete = oom.Some(true) })},
		{"a BPF program, and what is in use", "", "a BPF program asked for the kill", limited(stack("bpf_out_of_memory+0x1")), limited(stack("bpf_out_of_memory+0x1"), noUsage)},
		{"the limit without memory.stat", codeLimitFull, ", limit 256 MiB", limited(bare()), limited(bare(), noMax)},
		{"swap of a cgroup by its statistics", codeSwapTooSlow, "60 MiB of it is in swap and 100 MiB on the way there or back", limited(writing, noSwapUsage, limitStat(oom.LimitSwap, 60*mib)), limited(writing, noSwapUsage)},
		{"swap of a cgroup by its usage first", codeSwapTooSlow, "50 MiB of it is in swap", limited(writing, swapped(50*mib), limitStat(oom.LimitSwap, 60*mib)), limited(writing, noSwapUsage, limitStat(oom.LimitSwap, 60*mib))},
		{"swap of a v1 cgroup", codeSwapTooSlow, "60 MiB of it is in swap", limitedV1(limitStat(oom.LimitV1Writeback, 100*mib), v1Swapped(60*mib)), limitedV1(limitStat(oom.LimitV1Writeback, 100*mib), v1Swapped(0))},
		{"the swap cache is on its way too", codeSwapTooSlow, "4 MiB on the way there or back", limited(swapped(60*mib), limitStat(oom.LimitSwapcached, 4*mib)), limited(swapped(60*mib), limitStat(oom.LimitSwapcached, 4*mib-1))},
		{"what stayed, by the lists", codeSwapUnexplained, "yet 70 MiB of anonymous memory stayed", limited(limitStat(oom.LimitActiveAnon, 30*mib), limitStat(oom.LimitInactiveAnon, 40*mib)), limited(limitStat(oom.LimitActiveAnon, 70*mib))},
		{"what stayed, without lists", codeSwapUnexplained, "yet 231 MiB of anonymous memory stayed", limited(limitStat(oom.LimitUnevictable, 20*mib)), limited()},
		{"and shared memory", codeSwapUnexplained, "yet 211 MiB of anonymous memory stayed", limited(limitStat(oom.LimitAnon, 151*mib), limitStat(oom.LimitFile, 80*mib), limitStat(oom.LimitShmem, 60*mib)), limited(limitStat(oom.LimitAnon, 151*mib), limitStat(oom.LimitFile, 80*mib))},
		{"why swap was free is not asked of a full limit of no known kind", codeSwapUnexplained, "", limited(), limited(limitStat(oom.LimitAnon, 30*mib))},
		{"nor where a limit was lowered", codeSwapUnexplained, "", limited(), limited(lowered(nil))},
		{"nor where no task holds it", codeSwapUnexplained, "", limited(), limited(func(r *oom.Record) { r.CandidatesBytes = b(20 * mib) })},
		{"clean cache", "", "could also be cache that reclaim was too slow to drop", with(limitStat(oom.LimitFileDirty, 0), limitStat(oom.LimitFileWriteback, 0)), with(limitStat(oom.LimitFileDirty, 0))},
		{"cache that may be dirty", "", "could also be cache that waits to be written", with(limitStat(oom.LimitFileWriteback, 0)), with(limitStat(oom.LimitFileDirty, 0), limitStat(oom.LimitFileWriteback, 0))},
		{"how much of the cache is dirty", codeLimitFile, ", only 8 MiB of it dirty or under writeback", with(limitStat(oom.LimitFileDirty, 5*mib), limitStat(oom.LimitFileWriteback, 3*mib)), with(limitStat(oom.LimitFileDirty, 8*mib))},
		{"what is swapped out to zswap", codeLimitKernel, "zswap 150 MiB for 460 MiB swapped out", limited(limitStat(oom.LimitAnon, 80*mib), limitStat(oom.LimitKernel, 172*mib), limitStat(oom.LimitZswap, 150*mib), limitStat(oom.LimitZswapped, 460*mib)),
			limited(limitStat(oom.LimitAnon, 80*mib), limitStat(oom.LimitKernel, 172*mib), limitStat(oom.LimitZswap, 150*mib))},
		{"memory at 99 % of its own limit", "", "on memory and swap", limitedV1(v1Limits(99*mib-1, 100*mib)), limitedV1(v1Limits(99*mib, 100*mib))},
		{"what is swapped out at a limit on both is anonymous", codeLimitAnon, "anonymous memory: 96 MiB of 100 MiB", limitedV1(v1Limits(60*mib, 100*mib), limitStat(oom.LimitV1RSS, 56*mib)), limitedV1(v1Limits(60*mib, 98*mib), limitStat(oom.LimitV1RSS, 56*mib))},
		{"unevictable cache, and what is anonymous is not known", codeLimitFile, "is unevictable", limited(bare(unevictable, oom.Stat{Name: oom.LimitFile, Bytes: 200 * mib}, oom.Stat{Name: oom.LimitShmem}, oom.Stat{Name: oom.LimitAnon})),
			limited(bare(unevictable, oom.Stat{Name: oom.LimitFile, Bytes: 200 * mib}, oom.Stat{Name: oom.LimitShmem}))},
		{"a process of a group does not stand for it", codeLimitFull, "this process alone has", limited(bare(), func(r *oom.Record) { r.Victim.RSSBytes = b(200 * mib) }),
			limited(bare(), func(r *oom.Record) {
				r.Victim.RSSBytes, r.Victim.CgroupLimits[0].OOMGroup = b(200*mib), oom.Some(true)
			})},
		{"the first of two kinds that are equal", verdict, codeLimitAnon, limited(limitStat(oom.LimitAnon, 125*mib), limitStat(oom.LimitFile, 125*mib)), limited(limitStat(oom.LimitAnon, 125*mib), limitStat(oom.LimitFile, 125*mib+1))},
		{"as much as the largest kind is in no counter", verdict, codeLimitAnon, limited(limitStat(oom.LimitAnon, 100*mib), limitStat(oom.LimitFile, 0), limitStat(oom.LimitKernel, 56*mib)), limited(limitStat(oom.LimitAnon, 100*mib), limitStat(oom.LimitFile, 0), limitStat(oom.LimitKernel, 56*mib-1))},
		{"the victim's own cgroup is the innermost", codeLimitAncestor, ", which holds 30 MiB and has no limit", limited(levels(oom.CgroupLimit{Cgroup: "/pod/app/x", UsageBytes: b(30 * mib)}, oom.CgroupLimit{Cgroup: "/pod/app", UsageBytes: b(40 * mib)})),
			limited(levels(oom.CgroupLimit{Cgroup: "/pod/app", UsageBytes: b(40 * mib)}))},
		{"below nine tenths of the limit", "", "could also be what has been given back since", limited(limitStat(oom.LimitAnon, 200*mib), used(230*mib)), limited(limitStat(oom.LimitAnon, 200*mib), used(231*mib))},
		{"a BPF program does not wait for a limit", "", "given back", limited(limitStat(oom.LimitAnon, 200*mib), used(230*mib)), limited(limitStat(oom.LimitAnon, 200*mib), used(230*mib), stack("bpf_out_of_memory+0x1"))},
		{"what one of a group holds", codeLimitAnon, "anonymous memory of this process", limited(bare(), victimAnon(200*mib)), limited(bare(), victimAnon(200*mib), func(r *oom.Record) { r.Victim.CgroupLimits[0].OOMGroup = oom.Some(true) })},
		{"what of memory and swap is of no task", codeLimitNoTask, "", limitedV1(v1Limits(100*mib, 98*mib), weighs(20*mib)), limitedV1(v1Limits(90*mib, 100*mib), weighs(20*mib))},
		{"half in huge pages, in the summary", "", "; 50 % is in transparent huge pages", limited(limitStat(oom.LimitAnonTHP, 128*mib)), limited(limitStat(oom.LimitAnonTHP, 128*mib-1))},
		{"huge pages of v1", codeTHP, "128 MiB of 256 MiB (50 %) is in transparent huge pages", limitedV1(limitStat("rss_huge_bytes", 128*mib)), limitedV1(limitStat("rss_huge_bytes", 128*mib-1))},
	}
}

// TestLevels: the cgroup at its limit is named by its kind.
func TestLevels(t *testing.T) {
	for level, want := range map[oom.Level]string{
		oom.LevelContainer: "the container's", oom.LevelPod: "the pod's", oom.LevelQoS: "the QoS class's", oom.LevelKubepods: "the kubepods cgroup's",
		oom.LevelService: "the service's", oom.LevelScope: "the scope's", oom.LevelSlice: "the slice's", oom.LevelRoot: "the root cgroup's",
		oom.LevelCgroup: "the cgroup's", "": "the cgroup's",
	} {
		w := Of(limited(func(r *oom.Record) { r.Limit.Level = level }))
		if want += " limit of 256 MiB is used up"; !strings.HasPrefix(w.Summary, want) {
			t.Errorf("%q: %q, want %q", level, w.Summary, want)
		}
	}
}

// TestKernelParts: each counter of the kernel's memory has its name in a text.
func TestKernelParts(t *testing.T) {
	const tables = "page tables of KVM or the IOMMU"
	for counter, want := range map[string]string{
		oom.LimitSlab: "slab", oom.LimitPagetables: "page tables", oom.LimitKernelStack: "kernel stacks", oom.LimitPercpu: "per-CPU memory",
		oom.LimitVmalloc: "vmalloc", oom.LimitSecPagetables: tables, oom.LimitZswap: "zswap",
	} {
		w := Of(limited(limitStat(oom.LimitAnon, 10*mib), limitStat(oom.LimitKernel, 240*mib), limitStat(counter, 200*mib)))
		if want = "most of it " + want + " 200 MiB, 40 MiB in no counter"; !strings.Contains(reasonText(w, codeLimitKernel), want) {
			t.Errorf("%s: not %q: %+v", counter, want, w)
		}
	}
	for counter, want := range map[string]string{
		oom.StatSlabUnrecl: "slab", oom.StatKernelStack: "kernel stacks", oom.StatPageTable: "page tables", oom.StatSecPageTable: tables,
		oom.StatPercpu: "per-CPU memory", oom.StatVmalloc: "vmalloc", oom.StatGPUActive: "GPU drivers",
	} {
		w := Of(system(swap(0, 0), stat(oom.StatInactiveAnon, 0), stat(counter, 2*gib)))
		if want = ": " + want + " 2 GiB"; w.Verdict != codeMemoryKernel || !strings.Contains(reasonText(w, codeMemoryKernel), want) {
			t.Errorf("%s: not %q: %+v", counter, want, w)
		}
	}
}

// TestKernelHints: what the trigger was doing says what kernel memory no counter has.
func TestKernelHints(t *testing.T) {
	for words, names := range map[string][]string{
		"data in pipes":   {"pipe_write", "anon_pipe_write", "alloc_pipe_info", "pipe_fcntl", "pipe_resize_ring"},
		"data in sockets": {"unix_dgram_sendmsg", "unix_stream_sendmsg", "tcp_sendmsg", "udp_sendmsg", "sock_alloc_send_pskb", "netlink_sendmsg"},
		"BPF maps":        {"map_create", "bpf_map_area_alloc", "__bpf_map_area_alloc", "htab_map_alloc"},
		"io_uring":        {"io_uring_setup", "__do_sys_io_uring_setup"},
		"":                {"vfs_write"},
	} {
		for _, n := range names {
			text := reasonText(Of(limited(limitStat(oom.LimitAnon, 6*mib), limitStat(oom.LimitKernel, 240*mib), stack("x+0x1", n+".isra.0+0x2"))), codeLimitKernel)
			if _, hint, _ := strings.Cut(text, "240 MiB in no counter"); hint != strings.TrimSuffix(", probably "+words, ", probably ") {
				t.Errorf("%s: %q", n, text)
			}
		}
	}
}

func swapEdges() []edge {
	noState := func(r *oom.Record) { r.Memory.SwapTotalBytes, r.Memory.SwapFreeBytes = size{}, size{} }
	free := swap(2*gib, 2*gib)
	lateUnknown := func(r *oom.Record) {
		late(0)(r)
		r.Victim.SwapBytes = size{}
	}
	by := func(victim string) change {
		return func(r *oom.Record) { r.Trigger.Comm, r.Victim.Comm = "swapoff", victim }
	}
	noTotal := func(r *oom.Record) { r.Memory.SwapTotalBytes, r.Memory.SwapFreeBytes = size{}, size{} }
	noVictim := func(r *oom.Record) { r.Kind, r.Victim = oom.KindPanic, nil }
	noSwap := func(r *oom.Record) { r.Limit.SwapMaxBytes = b(0) }
	above := func(maximum ...size) change { // of the victim's /a/b/c, /a/b and /a, at the limit of /
		return func(r *oom.Record) {
			r.Limit.Cgroup, r.Victim.Cgroup, r.Victim.CgroupLimits = "/", "/a/b/c", nil
			for i, c := range []string{"/a/b/c", "/a/b", "/a"} {
				r.Victim.CgroupLimits = append(r.Victim.CgroupLimits, oom.CgroupLimit{Cgroup: c, UsageBytes: b(9 * mib), SwapMaxBytes: maximum[i]})
			}
		}
	}
	memsw := func(usage uint64) change {
		return func(r *oom.Record) {
			r.Limit.UsageBytes, r.Limit.MaxBytes, r.Limit.MemswUsageBytes, r.Limit.MemswMaxBytes = b(usage), size{}, b(100*mib), b(100*mib)
			set(&r.Limit.Stat, oom.LimitV1RSS, usage)
		}
	}
	swappiness := func(version uint32, limit, vm oom.Opt[uint32]) change {
		return func(r *oom.Record) {
			r.Limit.Version, r.Limit.Swappiness, r.Memory.Swappiness = oom.Some(version), limit, vm
			if version == 0 {
				r.Limit.Version = oom.Opt[uint32]{}
			}
		}
	}
	zero, sixty, unknown := oom.Some(uint32(0)), oom.Some(uint32(60)), oom.Opt[uint32]{}
	ofVictim := func(value oom.Opt[uint32], anon uint64) change {
		return func(r *oom.Record) {
			victimAnon(anon)(r)
			r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: "/a", UsageBytes: b(anon), Swappiness: value}}
		}
	}
	noLocked := func(r *oom.Record) { r.Victim.LockedVMBytes = size{} }
	noFree := func(r *oom.Record) { r.Memory.SwapFreeBytes = size{} }
	return []edge{
		{"swap that was read late", codeSwapFull, "less the victim's", system(swap(2*gib, 3*mib), late(mib)), system(swap(2*gib, 3*mib), late(0))},
		{"swap that was read late, and what the victim had is not known", verdict, "swap_full, unsure", system(swap(2*gib, 3*mib), lateUnknown), system(swap(2*gib, 3*mib), late(0))},
		{"free swap that was read late", "", "could also be another state of swap: it was read after the kill", system(free, swappinessZero, lruGen(true), lateUnknown), system(free, swappinessZero, lruGen(true), late(0))},
		{"swapoff by name, in a log without swap", verdict, "swapoff, unsure", system(fromLog, swap(0, 0), by("x")), system(fromLog, by("x"))},
		{"swapoff by name, live", codeSwapoff, "", system(fromLog, swap(0, 0), by("x")), system(swap(0, 0), by("x"))},
		{"swapoff by both names, in a log that lacks swap", codeSwapoff, "", system(fromLog, noTotal, by("swapoff")), system(fromLog, noTotal, by("x"))},
		{"swapoff by both names, and swap is left", codeSwapoff, "", system(fromLog, noTotal, by("swapoff")), system(fromLog, by("swapoff"))},
		{"swapoff by both names, in a log that lacks the memory", codeSwapoff, "", system(fromLog, by("swapoff"), func(r *oom.Record) { r.Memory = nil }), system(fromLog, by("x"), func(r *oom.Record) { r.Memory = nil })},
		{"what many CPUs hold back of a little swap", verdict, "swap_full, sure", system(swap(400*mib, 32*mib), cpus(64)), system(swap(400*mib, 32*mib))},
		{"it is no more than a fifth", verdict, "swap_full, sure", system(swap(1000*mib, 200*mib), cpus(512)), system(swap(1000*mib, 200*mib+1), cpus(512))},
		{"how much of swap is free is not known", codeSwapFull, "", system(), system(noFree)},
		{"swap that was turned off", codeSwapNone, "were turned off", turnedOff(b(gib), b(1e9)), turnedOff(size{}, b(1e9))},
		{"when swap was turned off", codeSwapNone, "were turned off", turnedOff(b(gib), b(1e9)), turnedOff(b(gib), size{})},
		{"a limit on swap, and no victim", codeSwapForbidden, "the cgroup at its limit may not swap", limited(noVictim, noSwap), limited(noSwap)},
		{"a cgroup below the limit that may not swap", codeSwapForbidden, "the cgroup above its own may not swap", limited(above(size{}, b(0), size{})), limited(above(size{}, size{}, b(0)))},
		{"and one above that", codeSwapForbidden, "a cgroup 2 levels above its own may not swap", limited(above(size{}, size{}, b(0))), limited(above(size{}, b(0), size{}))},
		{"a level of a memory.oom.group", codeSwapForbidden, "the cgroup above its own", limited(above(b(0), b(0), size{}), func(r *oom.Record) { r.Victim.CgroupLimits[1].OOMGroup = oom.Some(true) }), limited(above(b(0), b(0), size{}))},
		{"what the machine's victim may not swap", "", "may not swap", system(free, levels(b(0)), victimAnon(gib)), system(free, levels(b(0)), victimAnon(gib), swappinessZero)},
		{"the rest may", "", "could also be another cause: most of what could be swapped is not this process's", system(free, levels(b(0)), victimAnon(gib)), system(free, levels(b(0)), victimAnon(3*gib/2))},
		{"swap that is being turned off is not asked for", codeSwapForbidden, "", limited(noSwap), limited(noSwap, stack("try_to_unuse+0x1"))},
		{"no swap is not asked for either", codeSwapForbidden, "", limited(noSwap), limited(noSwap, swap(0, 0))},
		{"v1, with some of it in swap", "", "; 10 MiB of it is in swap", limitedV1(memsw(90 * mib)), limitedV1(memsw(100 * mib))},
		{"v1, with none of it in swap", "", "; its swap is used up too", limitedV1(memsw(100 * mib)), limitedV1(memsw(90 * mib))},
		{"a fact of swappiness, with the LRU", codeSwapSwappiness, "so 3 GiB of anonymous memory stays in memory (multi-generational LRU)", system(free, swappinessZero, lruGen(true)), system(free, swappinessZero, lruGen(false))},
		{"which LRU is not known", codeSwapSwappiness, "LRU", system(free, swappinessZero, lruGen(true)), system(free, swappinessZero)},
		{"the LRU, and what could be swapped is not known", codeSwapSwappiness, "LRU", system(free, swappinessZero, lruGen(true)), system(free, swappinessZero, lruGen(true), noStats)},
		{"the LRU of a cgroup", codeSwapSwappiness, "LRU", system(free, swappinessZero, lruGen(true)), limited(swappinessZero, lruGen(true))},
		{"the older LRU with little page cache", codeSwapSwappiness, "; yet with so little page cache the kernel swaps all the same (file_is_tiny)", system(free, swappinessZero, lruGen(false)), system(free, swappinessZero, lruGen(false), stat(oom.StatActiveFile, 300*mib))},
		{"how much page cache is not known", "", "with little page cache the older LRU swaps at 0 too", system(free, swappinessZero), system(free, swappinessZero, noStats)},
		{"v1 has a swappiness of its own", codeSwapSwappiness, "the cgroup's memory.swappiness is 0", limited(swappiness(1, zero, sixty)), limited(swappiness(2, zero, zero))},
		{"v1's is the one that counts", codeSwapSwappiness, "", limited(swappiness(1, zero, sixty)), limited(swappiness(1, unknown, zero))},
		{"v2 has the machine's", codeSwapSwappiness, "vm.swappiness is 0", limited(swappiness(2, sixty, zero)), limited(swappiness(1, zero, zero))},
		{"a version that is not known", codeSwapSwappiness, "the cgroup's", limited(swappiness(0, zero, sixty)), limited(swappiness(0, unknown, zero))},
		{"and without one the machine's", codeSwapSwappiness, "vm.swappiness is 0", limited(swappiness(0, unknown, zero)), limited(swappiness(0, zero, sixty))},
		{"the victim's cgroup has one", verdict, "swap_swappiness_zero, sure", system(free, lruGen(true), ofVictim(zero, 3*gib/2)), system(free, lruGen(true), ofVictim(zero, 3*gib/2-1))},
		{"and others may have another", "", "could also be another swappiness of the cgroups that hold more", system(free, lruGen(true), ofVictim(zero, gib)), system(free, swappinessZero, lruGen(true), ofVictim(unknown, gib))},
		{"as much could be swapped as could not", "", "could also be memory that cannot be swapped: there is more of it", swapless(kernelHeavy(970*mib, 1000*mib)), swapless(kernelHeavy(970*mib-1, 1000*mib))},
		{"locked memory, at a swappiness of 0", "", "could also be memory that is mlocked", system(free, swappinessZero, lruGen(true), noStats, noLocked), system(free, swappinessZero, lruGen(true), noStats)},
		{"locked memory is counted", "", "could also be memory that is mlocked", system(free, swappinessZero, lruGen(true), noStats, noLocked), system(free, swappinessZero, lruGen(true), noLocked)},
		{"a whole log without statistics", "", "could also be memory that swap could not have taken", system(swap(0, 0), fromLog, noStats, func(r *oom.Record) { r.Incomplete = oom.Some(true) }), system(swap(0, 0), fromLog, noStats)},
		{"swap that is in use", "", "free) did not take more, for a reason", system(swap(2*gib, gib)), system(swap(2*gib, 2*gib-20*mib))},
		{"swap that is in use, as a reason", codeSwapUnexplained, "why it did not take more: 1 GiB free", system(swap(2*gib, gib)), system(swap(2*gib, 2*gib-20*mib))},
		{"the percentage is the process's own", "", "92 % of it anonymous memory of this process", limited(victimAnon(235 * mib)), limited(victimAnon(251 * mib))},
		{"and that of all where it is not", "", "98 % of it anonymous memory;", limited(victimAnon(225 * mib)), limited()},
		{"a cgroup's swap that is in use", codeSwapUnexplained, "swap was free", limited(), limited(swap(0, 0))},
		{"the same in the summary", "", "the record does not show why it did not take more", limited(usedSwap(90 * mib)), limited(usedSwap(mib))},
		{"a cgroup's swap that is in use, and swappiness 0", "", "swap did not take more because swappiness is 0", limited(usedSwap(90*mib), swappinessZero), limited(usedSwap(mib), swappinessZero)},
		{"swap that is in use, and swappiness 0", "", "free) did not take more because vm.swappiness is 0", system(swap(2*gib, gib), swappinessZero), system(free, swappinessZero)},
		{"page cache beside swap", "", "no free memory: 1.6 GiB of 3.9 GiB (40 %) is page cache that reclaim did not drop; this process holds 3 GiB of 3.9 GiB (could also be cache", cachedMost(1600 * mib), cachedMost(1600*mib - 1)},
		{"page cache is the verdict", verdict, "memory_free_low, unsure", cachedMost(1600 * mib), cachedMost(1600*mib - 1)},
		{"more anonymous memory than cache", verdict, codeMemoryLow, cachedMost(1600 * mib), cachedMost(1600*mib, stat(oom.StatActiveAnon, 1600*mib))},
		{"more anonymous and locked memory than cache", verdict, codeMemoryLow, cachedMost(1600*mib, stat(oom.StatUnevictable, 700*mib-1)), cachedMost(1600*mib, stat(oom.StatUnevictable, 700*mib))},
		{"page cache that is dirty", verdict, codeMemoryLow, cachedMost(1600 * mib), cachedMost(1600*mib, stat(oom.StatFileDirty, 1))},
		{"more slab than cache", verdict, codeMemoryLow, cachedMost(1600*mib, stat(oom.StatSlabReclaimable, 1600*mib)), cachedMost(1600*mib, stat(oom.StatSlabReclaimable, 1600*mib+1))},
		{"page cache, perhaps of other nodes", verdict, codeMemoryLow, cachedMost(1600 * mib), cachedMost(1600*mib, func(r *oom.Record) { r.Scope = oom.ScopeCpuset })},
		{"page cache, and no swap", "", "page cache that reclaim did not drop; this process", cachedMost(1600*mib, swap(0, 0)), cachedMost(1600*mib-1, swap(0, 0))},
		{"page cache, and swap in any state", verdict, "memory_free_low, unsure", cachedMost(1600*mib, swap(gib, 0)), cachedMost(1600*mib-1, swap(gib, 0))},
		{"page cache, and swap in a state that is not known", "", "page cache that reclaim did not drop", cachedMost(1600*mib, noState), cachedMost(1600*mib-1, noState)},
		{"page cache that is in no zone for the request", "", "page cache that reclaim did not drop", cachedMost(2500*mib, inZones(2400*mib, 1600*mib)), cachedMost(2500*mib, inZones(2400*mib, 1600*mib), cmaMask)},
		{"page cache, more than the others can hold", "", "page cache that reclaim did not drop", cachedMost(2500*mib, inZones(900*mib, 3100*mib), cmaMask), cachedMost(2500*mib, inZones(901*mib, 3099*mib), cmaMask)},
		{"page cache, and what the others can hold is not known", "", "page cache that reclaim did not drop", cachedMost(2500*mib, inZones(0, 3100*mib)), cachedMost(2500*mib, inZones(0, 0), cmaMask)},
		{"page cache in other zones is a doubt", "", "(could also be a shortage of the zones that the request may use: the others may hold the page cache (1 GiB)", cachedMost(gib, swap(0, 0), inZones(1025*mib, 2975*mib), cmaMask), cachedMost(gib, swap(0, 0), inZones(24*mib, 3976*mib), cmaMask)},
		{"page cache, and SysRq-f", "", "page cache that reclaim did not drop", cachedMost(1600 * mib), cachedMost(1600*mib, func(r *oom.Record) { r.Sysrq = oom.Some(true) })},
		{"page cache while swap is turned off", verdict, codeSwapoff, cachedMost(1600*mib, stack("try_to_unuse+0x1")), cachedMost(1600 * mib)},
		{"page cache that memory.min keeps", verdict, codeMemoryLow, cachedMost(1600*mib, protectedBy(999*mib)), cachedMost(1600*mib, protectedBy(2*gib))},
		{"a quarter of page cache is a doubt", "", "(could also be page cache that reclaim was too slow to drop: 1000 MiB of it is left; or slow swapping", cachedMost(1000 * mib), cachedMost(1000*mib - 1)},
		{"why swap was not used, without a victim", "", "(could also be slow swapping or pages pinned by a device)", system(free, noVictim), system(free, func(r *oom.Record) { r.Victim.Cgroup = "/x" })},
		{"swappiness where nothing explains it", codeSwapUnexplained, "2 GiB free, vm.swappiness 60", system(free), system(free, func(r *oom.Record) { r.Memory.Swappiness = unknown })},
	}
}

func turnedOff(from, ago size) *oom.Record {
	return system(swap(0, 0), func(r *oom.Record) {
		r.Memory.SwapChanged = &oom.LimitChange{FromBytes: from, ToBytes: b(0), AgoNS: ago}
	})
}

// swapless is rec with free swap that a swappiness of 0 keeps from use.
func swapless(rec *oom.Record) *oom.Record {
	swap(2*gib, 2*gib)(rec)
	swappinessZero(rec)
	lruGen(true)(rec)
	return rec
}

// TestSwapoffStacks: each name of the system call says that swap is being turned off.
func TestSwapoffStacks(t *testing.T) {
	for _, n := range []string{"__do_sys_swapoff", "__se_sys_swapoff", "__x64_sys_swapoff", "__arm64_sys_swapoff", "SyS_swapoff", "sys_swapoff", "try_to_unuse", "shmem_unuse"} {
		w := Of(system(swap(0, 0), stack(n+"+0x1")))
		if got, want := w.Verdict == codeSwapoff && !w.Unsure.Value, n != "shmem_unuse"; got != want {
			t.Errorf("%s: %+v", n, w)
		}
	}
}

// oldLists is the cut log of a kernel before 2.6.28, with so much in slab and on the LRU lists.
func oldLists(slab, lists uint64, changes ...change) *oom.Record {
	return system(append([]change{swap(0, 0), fromLog, func(r *oom.Record) {
		r.Incomplete, r.Victim.AnonRSSBytes = oom.Some(true), size{}
		r.Memory.Stat = oom.Stats{{Name: "active_bytes", Bytes: lists}, {Name: "inactive_bytes"}, {Name: "slab_bytes", Bytes: slab}}
	}}, changes...)...)
}

// inZones has a zone for what can move alone, and one for all.
func inZones(movable, normal uint64) change {
	return func(r *oom.Record) {
		for i, managed := range []uint64{movable, normal} {
			z := &r.Memory.Zones[i]
			z.Zone, z.ManagedBytes = []string{"Movable", "Normal"}[i], size{Value: managed, Known: managed > 0}
		}
	}
}

func usedSwap(v uint64) change { return func(r *oom.Record) { r.Limit.SwapUsageBytes = b(v) } }

// cachedMost has free swap, little anonymous memory, and so much page cache.
func cachedMost(v uint64, changes ...change) *oom.Record {
	return system(append([]change{swap(2*gib, 2*gib-20*mib), stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 900*mib), stat(oom.StatUnevictable, 600*mib), cached(v)}, changes...)...)
}

func lockedEdges() []edge {
	own := func(v uint64) change { return func(r *oom.Record) { r.Victim.LockedVMBytes = b(v) } }
	noOwn := func(r *oom.Record) { r.Victim.LockedVMBytes = size{} }
	noRSS := func(r *oom.Record) { r.Victim.RSSBytes = size{} }
	noVictim := func(r *oom.Record) { r.Kind, r.Victim = oom.KindPanic, nil }
	noMlocked := func(r *oom.Record) { without(r, oom.StatMlocked) }
	of4000 := func(r *oom.Record) { r.Memory.TotalBytes = b(4000 * mib) }
	half := []change{stat(oom.StatUnevictable, 2*gib), stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, gib)}
	with := func(more ...change) *oom.Record { return system(append(half[:3:3], more...)...) }
	// limitLocked is a limit with so much unevictable, and that on its lists.
	limitLocked := func(unevictable, lists, cache uint64, more ...change) *oom.Record {
		return limited(append([]change{
			limitStat(oom.LimitAnon, 251*mib-cache), limitStat(oom.LimitFile, cache), limitStat(oom.LimitUnevictable, unevictable),
			limitStat(oom.LimitActiveAnon, lists), limitStat(oom.LimitInactiveAnon, 0),
		}, more...)...)
	}
	return []edge{
		{"locked by the victim, who is not there", codeSwapMlocked, "", system(noStats, own(gib)), system(noStats, noVictim)},
		{"locked by the victim, of no known size", codeSwapMlocked, "this process locked 1 GiB with mlock and holds 3 GiB of 4 GiB", system(noStats, own(gib)), system(noStats, own(gib), noRSS)},
		{"unevictable, and the victim's size is not known", codeSwapMlocked, "; this process locked 2 GiB with mlock", with(own(2*gib), noRSS), with(noRSS)},
		{"locked by a victim of that size", codeSwapMlocked, "2 GiB of 4 GiB (50 %) is unevictable; this process locked 2 GiB with mlock", with(own(2 * gib)), with(own(gib))},
		{"40 % is locked by the victim, no statistics", verdict, "swap_mlocked", system(noStats, of4000, own(1600*mib)), system(noStats, of4000, own(1600*mib-1))},
		{"unevictable, and no word on locks", verdict, "swap_unevictable, unsure", with(noMlocked, noOwn), with(noMlocked)},
		{"unevictable, and no victim either", "", "the record does not hold how much is", with(noMlocked, noVictim), with(noVictim)},
		{"how much is locked", "", "could also be memory locked with mlock: the record does not hold how much is", with(noMlocked, noOwn), with(noMlocked)},
		{"what one of a group locked", codeSwapMlocked, "; this process locked 200 MiB with mlock", limitLocked(200*mib, 0, 0, own(200*mib)), limitLocked(200*mib, 0, 0, own(200*mib), func(r *oom.Record) { r.Victim.CgroupLimits[0].OOMGroup = oom.Some(true) })},
		{"most of it is neither file nor shared", codeSwapMlocked, " is unevictable, most of it private memory locked with mlock", limitLocked(200*mib, 0, 100*mib-1), limitLocked(200*mib, 0, 100*mib)},
		{"most of it is of files", codeSwapUnevictable, "200 MiB of 256 MiB (78 %) is unevictable (ramfs, SHM_LOCK) and stays in memory", limitLocked(200*mib, 0, 100*mib), limitLocked(200*mib, 0, 100*mib-1)},
		{"below 40 % of a limit is locked", codeSwapMlocked, "", limitLocked(103*mib, 0, 0), limitLocked(102*mib, 0, 0)},
		{"no more than could be swapped of it", codeSwapMlocked, "", limitLocked(120*mib+1, 120*mib, 0), limitLocked(120*mib, 120*mib, 0)},
		{"why the rest of a limit was not swapped", codeSwapUnexplained, "", limitLocked(102*mib, 0, 0), limitLocked(103*mib, 0, 0)},
		{"what the machine has locked is not the cgroup's", codeSwapUnevictable, "", limitLocked(200*mib, 0, 100*mib, stat(oom.StatMlocked, 3*gib)), limitLocked(200*mib, 0, 100*mib-1, stat(oom.StatMlocked, 3*gib))},
		{"half of it is locked by the victim", codeSwapMlocked, "this process locked 1 GiB", with(own(gib + 1)), with(own(gib))},
		{"no swap beside unevictable files", "", "no swap is configured", limited(swap(0, 0)), limitLocked(200*mib, 0, 100*mib, swap(0, 0))},
	}
}

func kubeletEdges() []edge {
	named := func(namespace, uid, qos, behavior string) change {
		return func(r *oom.Record) {
			pod(qos, behavior, b(128*mib), b(256*mib))(r)
			r.Victim.Pod.Namespace, r.Victim.Pod.UID = namespace, uid
		}
	}
	docker := func(r *oom.Record) {
		r.Victim.Container, r.Victim.CgroupLimits[0].SwapMaxBytes = &oom.Container{ID: "a"}, b(0)
	}
	share := func(qos, behavior string) *oom.Record {
		return limited(pod(qos, behavior, b(128*mib), b(256*mib)), func(r *oom.Record) {
			c := &r.Victim.CgroupLimits[0]
			c.SwapMaxBytes, c.SwapUsageBytes = b(64*mib), b(64*mib)
		})
	}
	request := func(v size) *oom.Record { return limited(pod("burstable", "LimitedSwap", v, b(256*mib))) }
	return []edge{
		{"a pod by its namespace", codeKubeletNoSwap, "", limited(named("shop", "", "burstable", "NoSwap")), limited(named("", "", "burstable", "NoSwap"))},
		{"a pod by its id", codeKubeletNoSwap, "", limited(named("", "u", "burstable", "NoSwap")), limited(named("", "", "burstable", "NoSwap"))},
		{"a container without a pod", codeSwapForbidden, "", limited(docker), limited()},
		{"the machine's kill of a burstable pod", codeKubeletUnsure, "memory.swap.max=0 of this burstable pod comes from NoSwap, or from LimitedSwap with a request equal to the limit",
			system(swap(2*gib, 2*gib), levels(b(0)), pod("burstable", "", size{}, size{})), system(swap(2*gib, 2*gib), levels(b(0)), pod("burstable", "LimitedSwap", size{}, size{}))},
		{"a request of 0", codeKubeletRequest, "a memory request of 0", request(b(0)), request(size{})},
		{"a request that is the limit", codeKubeletRequest, "whose memory request equals its limit (256 MiB)", request(b(256 * mib)), request(b(256*mib - 1))},
		{"a request that is not known", codeKubeletUnsure, "comes from a request equal to the limit", request(size{}), request(b(0))},
		{"a share of LimitedSwap", codeKubeletLimited, "gave the container 64 MiB of swap", share("burstable", "LimitedSwap"), share("burstable", "")},
		{"a share of a pod that gets none", codeKubeletLimited, "", share("burstable", "LimitedSwap"), share("guaranteed", "LimitedSwap")},
		{"what another QoS class gets", codeKubeletQoS, "kubelet gives besteffort pods no swap", limited(named("shop", "u", "besteffort", "")), limited(named("shop", "u", "odd", ""))},
	}
}

func systemEdges() []edge {
	free, none := swap(2*gib, 2*gib), swap(0, 0)
	noZones := func(r *oom.Record) { r.Memory.Zones = nil }
	leak := func(cache uint64, changes ...change) *oom.Record {
		return system(append([]change{stat(oom.StatSlabUnrecl, 1200*mib), func(r *oom.Record) {
			r.Memory.SlabCaches = []oom.SlabCache{{Name: "x", TotalBytes: b(cache)}}
		}}, changes...)...)
	}
	noRAM := func(r *oom.Record) { r.Memory.TotalBytes = size{} }
	has := func(free, total size) change {
		return func(r *oom.Record) { r.Memory.Zones, r.Memory.FreeBytes, r.Memory.TotalBytes = nil, free, total }
	}
	sysrq := func(r *oom.Record) { r.Sysrq, r.Trigger.Order = oom.Some(true), oom.Some(int32(-1)) }
	noAnon := []change{stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0)}
	missing := func(more ...change) *oom.Record { return system(append(noAnon[:2:2], more...)...) }
	unevictable := func(more ...change) *oom.Record {
		return system(append([]change{stat(oom.StatUnevictable, 2*gib), stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, gib)}, more...)...)
	}
	site := func(name string, bytes uint64) change {
		return func(r *oom.Record) { r.Memory.Allocations = []oom.Allocation{{Site: name, Bytes: b(bytes)}} }
	}
	fault := lowMask(0)
	noFree := func(r *oom.Record) { r.Memory.SwapFreeBytes = size{} }
	noTotal := func(r *oom.Record) { r.Memory.SwapTotalBytes, r.Memory.SwapFreeBytes = size{}, size{} }
	asks := func(comm string, edit func(*oom.Trigger)) change {
		return func(r *oom.Record) {
			kswapd(r)
			r.Trigger.Comm = comm
			if edit != nil {
				edit(r.Trigger)
			}
		}
	}
	isolated := stat(oom.StatIsolatedAnon, gib)
	hugeUsed := func(late bool) *oom.Record {
		return system(stat(oom.StatHugepagesTotal, 2*gib), stat(oom.StatHugepagesFree, 0), stat(oom.StatActiveAnon, 0), func(r *oom.Record) {
			set(&r.Memory.Stat, oom.StatInactiveAnon, gib)
			if late {
				r.Sampled = []string{"memory.stat.hugepages"}
			}
		})
	}
	onNode := func(anon uint64) *oom.Record { // node 0 of two, with 4 GiB of 16 GiB
		return system(fromLog, none, stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, gib), victimAnon(anon), func(r *oom.Record) {
			r.Scope, r.Trigger.MemsAllowed, r.DomainBytes = oom.ScopeCpuset, "0", b(4*gib)
			r.Memory.TotalBytes, r.Memory.Zones = b(16*gib), r.Memory.Zones[:1]
			r.Memory.FreeBytes = b(20 * mib)
		})
	}
	zones := func(second size) *oom.Record { // of a log without the machine's size
		return system(fromLog, none, func(r *oom.Record) {
			r.Memory.Zones = []oom.Zone{zone(0, "DMA32", 200*mib, 2*mib, 3*mib), zone(0, "Normal", 2*mib, 2*mib, 3*mib)}
			r.Memory.Zones[0].ManagedBytes, r.Memory.Zones[1].ManagedBytes = b(gib), second
			r.Trigger, r.Memory.FreeBytes, r.Memory.TotalBytes, r.Memory.Stat = nil, size{}, size{}, nil
		})
	}
	cma := func(v uint64) *oom.Record {
		return system(none, has(b(400*mib), b(4000*mib)), stat(oom.StatFreeCMA, v))
	}
	reclaimable := func(v uint64) *oom.Record {
		return system(stat(oom.StatSlabReclaimable, v), func(r *oom.Record) { r.Memory.TotalBytes = b(4000 * mib) })
	}
	shrunk := func(r *oom.Record) { shrank(r) }
	nodes := func(changes ...change) *oom.Record { // as short as the rest, with free memory in zones that are not listed
		return system(append([]change{none, numa(oom.ScopeCpuset, "0", 25*mib), func(r *oom.Record) { r.Memory.FreeBytes = b(500 * mib) }}, changes...)...)
	}
	roomy := func(r *oom.Record) {
		r.Memory.FreeBytes, r.Memory.Zones = b(300*mib), []oom.Zone{zone(0, "Normal", 300*mib, 20*mib, 30*mib)}
	}
	return []edge{
		{"a counter that is more than the machine has", "", "could also be another cause: what the record counts is more than the machine has", system(stat(oom.StatActiveFile, 9*gib)), system()},
		{"tasks hold below half of the allowed nodes", "", "is in no statistic, on these nodes or on others", onNode(2*gib - 1), onNode(2 * gib)},
		{"half of what is free is CMA", "", "400 MiB is free, 200 MiB of it CMA", cma(200 * mib), cma(200*mib - 1)},
		{"zones of a log without the machine's size", "", "could also be something that is no shortage: 202 MiB is free", zones(b(100 * mib)), zones(size{})},
		{"a page fault that failed, without zones", codeNotShort, "memory was not short: 512 MiB of 4 GiB (13 %) is free", system(free, fault, has(b(512*mib), b(4*gib))), system(free, fault, has(b(512*mib), size{}))},
		{"and how much was free is not known", codeNotShort, "", system(free, fault, has(b(512*mib), b(4*gib))), system(free, fault, has(size{}, b(4*gib)))},
		{"a zone is in the record, and what it has free is not", codeNotShort, "", system(free, fault, has(b(512*mib), b(4*gib))), system(free, fault, has(b(512*mib), b(4*gib)), func(r *oom.Record) { r.Memory.Zones = []oom.Zone{{Zone: "Normal"}} })},
		{"who asked is not known", codeNotShort, "", system(free, fault, has(b(512*mib), b(4*gib))), system(free, has(b(512*mib), b(4*gib)), func(r *oom.Record) { r.Trigger = nil })},
		{"why a page fault failed", "", "; a page fault failed for another reason (could also be a shortage of zones or nodes that the record does not hold)", system(free, fault, has(b(512*mib), b(4*gib))), system(free, has(b(512*mib), b(4*gib)))},
		{"SysRq-f, and what is free is not known", "", "no swap is configured", system(none, sysrq), system(none, sysrq, has(size{}, b(4*gib)))},
		{"SysRq-f, and the RAM is not known", "", "no swap is configured", system(none, sysrq), system(none, sysrq, has(b(40*mib), size{}))},
		{"SysRq-f with memory free", codeNotShort, "", system(none, sysrq, has(b(gib), b(4*gib))), system(none, sysrq, has(size{}, b(4*gib)))},
		{"SysRq-f with memory free, of how much is not known", codeNotShort, "", system(none, sysrq, has(b(gib), b(4*gib))), system(none, sysrq, has(b(gib), size{}))},
		{"nothing is free, and no zones", codeMemoryLow, "0 B of 4 GiB (0 %) is free", system(has(b(0), b(4*gib))), system(has(b(gib), b(4*gib)))},
		{"no zones, and the RAM is not known", codeMemoryLow, "", system(has(b(0), b(4*gib))), system(has(b(0), size{}))},
		{"huge pages in use that were counted late", verdict, "memory_hugepages_used, unsure", hugeUsed(true), hugeUsed(false)},
		{"why late", "", "could also be another number of them: they were counted after the kill", hugeUsed(true), hugeUsed(false)},
		{"locked, and there is no swap", "", "; no swap is configured, and swap would not help", unevictable(none), unevictable(noTotal)},
		{"locked, and swap is used up", "", "; swap is used up, and more of it would not help", unevictable(), unevictable(noFree)},
		{"locked, and swap is free", "", "; swap (2 GiB, 50 % free) cannot take it", unevictable(swap(2*gib, gib)), unevictable(swap(2*gib, gib/4))},
		{"locked, and swap is not known", "", "; swap", unevictable(), unevictable(noTotal)},
		{"locked, and free swap is not known", "", "; swap", unevictable(), unevictable(noFree)},
		{"a quarter counts as reclaimable", codeMemoryKernel, "1000 MiB of 3.9 GiB (25 %) is kernel memory that counts as reclaimable", reclaimable(1000 * mib), reclaimable(1000*mib - 1)},
		{"what is missing is a guess", codeMemoryMissing, ": it may be what zram", system(stat(oom.StatInactiveAnon, gib)), system(stat(oom.StatInactiveAnon, gib), site("net/x.c:7 func:y", 2*gib))},
		{"the guesses beside a hint", "", "pages of drivers, ZFS or a balloon, pipes, sockets", missing(), missing(stack("unix_dgram_sendmsg+0x9"))},
		{"zram, where free swap is not known", "", "what zram or zswap holds", missing(noFree), missing(free)},
		{"zram, where swap is not known", "", "what zram or zswap holds", missing(noFree), missing(noTotal)},
		{"a site without a function", codeMemoryMissing, `; "drivers/x.c:1 [x]" allocated 2 GiB`, missing(site("drivers/x.c:1 [x]", 2*gib)), missing(site("drivers/x.c:1 [x] func:y", 2*gib))},
		{"the cache that is most of slab", "", "is kernel memory, which cannot be swapped (slab 1.2 GiB); the slab cache x holds 600 MiB", leak(600*mib + 1), leak(600 * mib)},
		{"the same where the kernel's memory is the verdict", "", "the slab cache", leak(601 * mib), leak(601*mib, noAnon...)},
		{"the cache of a slab that is mostly reclaimable", "", "the slab cache", leak(601 * mib), leak(601*mib, stat(oom.StatSlabUnrecl, 700*mib), stat(oom.StatSlabReclaimable, 2*gib))},
		{"a cache, but there is little slab", "", "the slab cache", leak(601 * mib), leak(601*mib, stat(oom.StatSlabUnrecl, gib/2))},
		{"an old kernel's slab", verdict, "memory_kernel, unsure", oldLists(2*gib, gib), oldLists(2*gib, 2*gib)},
		{"an old kernel's slab, and its lists", verdict, codeMemoryKernel, oldLists(1700*mib, 1500*mib), oldLists(1700*mib, 1900*mib)},
		{"an old kernel's slab, of what is not known", "", "could also be memory that swap cannot take: 1.1 GiB is the kernel's, more than there is to swap", oldLists(gib+99*mib, gib, noRAM), oldLists(gib, gib, noRAM)},
		{"slab, of what is not known", "", "is the kernel's, more than there is to swap", system(stat(oom.StatSlabUnrecl, 3*gib), noRAM), system(noRAM)},
		{"an old kernel's lists of one kind alone", "", "the log lacks what held it", oldLists(200*mib, 3*gib, func(r *oom.Record) { without(r, "active_bytes") }), oldLists(200*mib, 3*gib)},
		{"what an old kernel does not count", verdict, "memory_missing, unsure", oldLists(200*mib, gib), oldLists(200*mib, 3*gib)},
		{"hardly any RAM is for use", verdict, "memory_balloon, sure", missing(stat(oom.StatReserved, 36*gib)), missing(stat(oom.StatReserved, 36*gib-1))},
		{"nine tenths reserved, and the rest has swap", verdict, codeMemoryBalloon, system(stat(oom.StatReserved, 36*gib), swap(2*gib, gib/2-1)), system(stat(oom.StatReserved, 36*gib), swap(2*gib, gib/2))},
		{"nine tenths reserved, and cache in the rest", verdict, codeMemoryBalloon, system(stat(oom.StatReserved, 36*gib), cached(950*mib-1)), system(stat(oom.StatReserved, 36*gib), cached(950*mib))},
		{"the same in words", "", "no free memory: all but 4 GiB of 40 GiB of RAM is not for use: reserved at boot", missing(stat(oom.StatReserved, 36*gib)), missing(stat(oom.StatReserved, 36*gib-1))},
		{"hardly any, of what is not known", codeMemoryBalloon, "", missing(stat(oom.StatReserved, 36*gib)), missing(stat(oom.StatReserved, 36*gib), func(r *oom.Record) { r.Memory.TotalBytes = size{} })},
		{"hardly any, and it shrank too", "", "no free memory: all but 4 GiB of 40 GiB of RAM is not for use", missing(stat(oom.StatReserved, 36*gib), shrunk), missing(stat(oom.StatReserved, gib), shrunk)},
		{"hardly any, and a balloon too", "", "no free memory: all but 4 GiB of 40 GiB of RAM is not for use", missing(stat(oom.StatReserved, 36*gib), stat(oom.StatBalloon, gib)), missing(stat(oom.StatReserved, gib), stat(oom.StatBalloon, gib))},
		{"what shrank was not there at boot", codeMemoryBalloon, "is not for use", system(stat(oom.StatReserved, gib)), system(stat(oom.StatReserved, gib), shrunk)},
		{"memory that was taken offline", codeMemoryBalloon, ": it was taken offline", system(shrunk, stat(oom.StatBalloon, 0)), system(shrunk)},
		{"what took memory", codeMemoryBalloon, ": a balloon of the hypervisor took it, or it was taken offline", system(shrunk), system(shrunk, stat(oom.StatBalloon, 0))},
		{"memory that a balloon took", codeMemoryBalloon, "offline", system(shrunk), system(shrunk, stat(oom.StatBalloon, gib))},
		{"a balloon that is not in the total is no verdict", verdict, codeMemoryBalloon, ballooned(1600*mib, 1400*mib, gib), ballooned(1600*mib, 1399*mib, gib)},
		{"nor is it what is missing", codeMemoryMissing, "1.4 GiB of 3.9 GiB", ballooned(1600*mib, 1399*mib, gib), ballooned(1600*mib, 1400*mib, gib)},
		{"kswapd by its name", verdict, "memory_min_ttl, unsure", system(free, asks("kswapd12", nil)), system(free, asks("12", nil))},
		{"a name without a node", codeMinTTL, "", system(free, asks("kswapd0", nil)), system(free, asks("kswapd", nil))},
		{"a name with more", codeMinTTL, "", system(free, asks("kswapd0", nil)), system(free, asks("kswapd0x", nil))},
		{"another stack", codeMinTTL, "", system(free, asks("kswapd0", nil)), system(free, asks("kswapd0", func(t *oom.Trigger) { t.KernelStack = []string{"x+0x1"} }))},
		{"another order", codeMinTTL, "", system(free, asks("kswapd0", nil)), system(free, asks("kswapd0", func(t *oom.Trigger) { t.Order = oom.Some(int32(1)) }))},
		{"a request for HighMem", codeMinTTL, "", system(free, asks("kswapd0", nil)), system(free, asks("kswapd0", func(t *oom.Trigger) { t.GFPMask = oom.Some(uint32(0xcc2)) }))},
		{"a movable request", codeMinTTL, "", system(free, asks("kswapd0", nil)), system(free, asks("kswapd0", func(t *oom.Trigger) { t.GFPMask = oom.Some(uint32(0xcc8)) }))},
		{"a request for DMA is of kswapd's kind", codeMinTTL, "", system(free, asks("kswapd0", func(t *oom.Trigger) { t.GFPMask = oom.Some(uint32(0xcc1)) })), system(free)},
		{"a request that is not known", codeMinTTL, "", system(free, asks("kswapd0", nil)), system(free, asks("kswapd0", func(t *oom.Trigger) { t.GFPMask = oom.Opt[uint32]{} }))},
		{"free swap at kswapd's kill", codeMinTTL, ", with 2 GiB of 2 GiB (100 %) of swap free", system(free, asks("kswapd0", nil)), system(noFree, asks("kswapd0", nil))},
		{"kswapd asks for no memory of its own", codeNotShort, "", system(roomy), system(roomy, kswapd, balance)},
		{"isolated, and swap is used up", codeSwapTooSlow, "", system(free, isolated, stat(oom.StatActiveAnon, 0)), system(isolated, stat(oom.StatActiveAnon, 0))},
		{"nearly full, and the victim may not swap", verdict, codeSwapForbidden, system(swap(2*gib, 300*mib), levels(b(0)), victimAnon(3*gib/2)), system(swap(2*gib, 300*mib), levels(b(0)), victimAnon(3*gib/2-1))},
		{"that is not asked where the kernel holds it", codeSwapForbidden, "", system(swap(2*gib, 300*mib), levels(b(0))), system(swap(2*gib, 300*mib), levels(b(0)), stat(oom.StatSlabUnrecl, 3*gib), stat(oom.StatActiveAnon, 0))},
		{"a cpuset in a log without zones", verdict, codeNodeCpuset, nodes(fromLog, noZones), nodes(fromLog)},
		{"a cpuset whose listed zones are as short as the rest", verdict, "node_cpuset, unsure", nodes(), nodes(fromLog)},
		{"what the machine has free beside a cpuset", codeNodeCpuset, "; the whole machine has", nodes(), nodes(func(r *oom.Record) { r.Memory.FreeBytes = size{} })},
		{"memory.min at a panic", "", "memory.min keeps 2 GiB of 4 GiB (50 %) in cgroups from reclaim; swap was free", system(free, kind(oom.KindPanic), protectedBy(2*gib)), system(free, kind(oom.KindPanic), protectedBy(2*gib-1))},
		{"a panic is the verdict all the same", verdict, codePanic, system(free, kind(oom.KindPanic), protectedBy(2*gib)), system(free, protectedBy(2*gib))},
		{"memory.min without a panic", verdict, codeMemoryProtected, system(free, protectedBy(2*gib)), system(free, kind(oom.KindPanic), protectedBy(2*gib))},
		{"what is isolated, and what else is anonymous is not known", verdict, codeMemoryKernel, isolatedOnly(2000*mib - 130*mib), isolatedOnly(2000*mib - 130*mib - 1)},
		{"what is missing, and the page cache is not known", codeMemoryMissing, "", missing(), missing(func(r *oom.Record) { without(r, oom.StatActiveFile) })},
		{"what no statistic has in a log of some nodes", codeMemoryMissing, "", nodes(stat(oom.StatInactiveAnon, 0)), nodes(fromLog, stat(oom.StatInactiveAnon, 0))},
		{"what the allowed nodes have", codeHolder, "the allowed nodes have 3 GiB", inDomain(3*gib, b(4*gib)), inDomain(5*gib, b(4*gib))},
		{"which the RAM that is not known does not bound", codeHolder, "the allowed nodes have 5 GiB", inDomain(5*gib, size{}), inDomain(5*gib, b(4*gib))},
	}
}

func protectedBy(v uint64) change {
	return func(r *oom.Record) { r.Victim.CgroupLimits = []oom.CgroupLimit{{Cgroup: "/", ChildrenMinBytes: b(v)}} }
}

// isolatedOnly is a machine of 4000 MiB with so much slab, of which the anonymous lists are not
// known, but 100 MiB that are off them.
func isolatedOnly(slab uint64) *oom.Record {
	return system(func(r *oom.Record) {
		r.Memory.TotalBytes = b(4000 * mib)
		r.Memory.Stat = oom.Stats{{Name: oom.StatSlabUnrecl, Bytes: slab}, {Name: oom.StatKernelStack, Bytes: 130 * mib}, {Name: oom.StatIsolatedAnon, Bytes: 100 * mib}}
	})
}

// inDomain is a kill on node 0 of two, with so much RAM of its own.
func inDomain(ram uint64, total size) *oom.Record {
	return system(numa(oom.ScopeCpuset, "0", 2*gib), func(r *oom.Record) {
		r.DomainBytes, r.Memory.TotalBytes = b(ram+2*gib), total
	})
}

func heldEdges() []edge {
	none := swap(0, 0)
	// held is a zone of which the marks hold 1 GiB back.
	held := func(edit func(*oom.Record)) *oom.Record {
		return system(none, func(r *oom.Record) {
			r.Memory.FreeBytes, r.Memory.Zones = b(gib), []oom.Zone{zone(0, "Normal", gib, gib, gib)}
			if edit != nil {
				edit(r)
			}
		})
	}
	scaled := func(edit func(*oom.Zone)) *oom.Record {
		return held(func(r *oom.Record) {
			z := &r.Memory.Zones[0]
			z.MinBytes = b(100 * mib)
			if edit != nil {
				edit(z)
			}
		})
	}
	managed := func(v size) *oom.Record {
		return system(func(r *oom.Record) {
			z := &r.Memory.Zones[0]
			z.FreeBytes, z.ManagedBytes, z.LowmemReserveBytes = size{}, v, []uint64{0, 0, 2 * gib}
		})
	}
	movableCMA := func(mask uint32) *oom.Record {
		return system(none, lowMask(mask), stat(oom.StatFreeCMA, gib), func(r *oom.Record) {
			r.Memory.FreeBytes, r.Memory.Zones = b(gib+30*mib), []oom.Zone{zone(0, "Normal", gib+30*mib, 20*mib, 30*mib)}
		})
	}
	low := func(mask uint32, edit func(*oom.Record)) *oom.Record { // slab in the one zone that is listed
		rec := lowSlab(400*mib, 700*mib, 8*mib)
		rec.Memory.Zones = rec.Memory.Zones[:1]
		rec.Trigger.GFPMask = oom.Some(mask)
		if edit != nil {
			edit(rec)
		}
		return rec
	}
	kernels := func(r *oom.Record) {
		set(&r.Memory.Stat, oom.StatActiveAnon, 0)
		set(&r.Memory.Stat, oom.StatInactiveAnon, 0)
		set(&r.Memory.Stat, oom.StatSlabUnrecl, 3*gib)
	}
	return []edge{
		{"a reserve is no more than what a zone manages", codeMemoryLow, "the zones reserve up to 130 MiB", managed(b(100 * mib)), managed(b(200 * mib))},
		{"what a zone manages is not known", codeMemoryLow, "the zones reserve up to 2.1 GiB", managed(size{}), managed(b(100 * mib))},
		{"held back, where nothing else holds it", codeMemoryLow, "but the zones hold it back", held(nil), held(kernels)},
		{"held back, and what the machine has free is not known", codeMemoryLow, "1 GiB of 4 GiB (25 %) is free, but the zones hold it back from this request (high watermarks 1 GiB, reserves 0 B)", held(func(r *oom.Record) { r.Memory.FreeBytes = size{} }), system(none)},
		{"held back by the scale of the marks", "", "vm.watermark_scale_factor is high", scaled(nil), scaled(func(z *oom.Zone) { z.MinBytes = size{} })},
		{"a min mark that is not known", "", "vm.min_free_kbytes is high", scaled(func(z *oom.Zone) { z.MinBytes = size{} }), scaled(nil)},
		{"CMA is for a movable request", codeNodeZone, "is CMA, for movable requests alone", movableCMA(0xcc0), movableCMA(0x140dca)},
		{"CMA, and the zones are not known", codeNodeZone, "", movableCMA(0xcc0), noZonesOf(movableCMA(0xcc0))},
		{"slab of the zones, for the kernel", codeMemoryKernel, "of the zones that the allocation can use is slab", low(0xcc0, nil), low(0x140dca, nil)},
		{"what they manage is not known", codeMemoryKernel, "of the zones", low(0xcc0, nil), low(0xcc0, func(r *oom.Record) { r.Memory.Zones[0].ManagedBytes = size{} })},
		{"for a request below 16 MiB", codeMemoryKernel, "of the zones", low(0xcc1, nil), low(0xcc1, func(r *oom.Record) { r.Memory.Zones[0].Zone = "DMA" })},
		{"no more slab than they manage", codeMemoryKernel, "700 MiB of 700 MiB (100 %) of the zones", low(0xcc0, func(r *oom.Record) { set(&r.Memory.Stat, oom.StatSlabUnrecl, 700*mib+700*mib/8+mib) }), low(0xcc0, func(r *oom.Record) { set(&r.Memory.Stat, oom.StatSlabUnrecl, 700*mib+700*mib/8+mib+1) })},
	}
}

func noZonesOf(rec *oom.Record) *oom.Record {
	rec.Memory.Zones = nil
	return rec
}

func factEdges() []edge {
	noScope := func(r *oom.Record) { r.Scope = "" }
	order := func(v int32) change { return func(r *oom.Record) { r.Trigger.Order = oom.Some(v) } }
	alone := func(rss, swap size) *oom.Record {
		return &oom.Record{Kind: oom.KindKill, Scope: oom.ScopeSystem, Victim: &oom.Victim{RSSBytes: rss, SwapBytes: swap}}
	}
	stats := func(list ...oom.Stat) *oom.Record {
		return limited(victimAnon(9*mib), func(r *oom.Record) { r.Limit.Stat = list })
	}
	v1 := func(list ...oom.Stat) *oom.Record {
		return limitedV1(victimAnon(9*mib), func(r *oom.Record) { r.Limit.Stat = list })
	}
	kmem := func(more ...oom.Stat) *oom.Record {
		return limitedV1(victimAnon(9*mib), func(r *oom.Record) {
			r.Limit.Stat = append(oom.Stats{{Name: oom.LimitV1RSS, Bytes: 60 * mib}, {Name: oom.LimitV1Cache, Bytes: 4 * mib}, {Name: oom.LimitShmem}}, more...)
			r.Limit.KmemUsageBytes = b(192 * mib)
		})
	}
	kmemOf := func(v uint64) *oom.Record {
		rec := kmem()
		rec.Limit.KmemUsageBytes = b(v)
		return rec
	}
	live := func(rec *oom.Record) *oom.Record {
		rec.Source = oom.SourceBPF
		return rec
	}
	cached := func(kernel uint64) *oom.Record {
		return limited(limitStat(oom.LimitAnon, 90*mib), limitStat(oom.LimitFile, 70*mib), limitStat(oom.LimitSwapcached, 92*mib), limitStat(oom.LimitKernel, kernel))
	}
	writeback := func(more ...change) *oom.Record {
		return limited(append([]change{limitStat(oom.LimitAnon, 40*mib), limitStat(oom.LimitFile, 210*mib), limitStat(oom.LimitFileWriteback, 150*mib), limitStat(oom.LimitFileDirty, 0)}, more...)...)
	}
	tables := func(r *oom.Record) { r.Victim.PgtablesBytes = b(90 * mib) }
	kernel := []change{limitStat(oom.LimitAnon, 10*mib), limitStat(oom.LimitKernel, 240*mib)}
	with := func(more ...change) *oom.Record { return limited(append(kernel[:2:2], more...)...) }
	missing := func(more ...change) *oom.Record {
		return system(append([]change{stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0)}, more...)...)
	}
	both := func(usage, memsw uint64) *oom.Record {
		return limitedV1(func(r *oom.Record) {
			r.Limit.UsageBytes, r.Limit.MaxBytes, r.Limit.MemswUsageBytes, r.Limit.MemswMaxBytes = b(usage), b(60*mib), b(memsw), b(100*mib)
		})
	}
	noSlab := func(r *oom.Record) { without(r, oom.StatSlabUnrecl) }
	return []edge{
		{"a limit without a scope", verdict, codeLimitAnon, limited(noScope), system(noScope)},
		{"no scope and no limit", verdict, codeSwapFull, system(noScope), limited(noScope)},
		{"SysRq-f by its order", verdict, "sysrq, sure", system(order(-1)), system(order(0))},
		{"what it held, with swap", "", "; this process held 3 GiB", alone(b(gib), b(2*gib)), alone(b(gib), size{})},
		{"what it held without its resident size", "", "this process held", alone(b(gib), b(2*gib)), alone(size{}, b(2*gib))},
		{"v1's kmem, with a part", codeLimitKernel, "most of it slab 100 MiB, 92 MiB in no counter", kmem(oom.Stat{Name: oom.LimitSlab, Bytes: 100 * mib}), kmem()},
		{"v1's kmem comes before what is left", codeLimitKernel, "kernel memory: 150 MiB", kmemOf(150 * mib), kmem()},
		{"v1's kmem is read as a whole", codeLimitKernel, "that was read", limited(limitStat(oom.LimitAnon, 10*mib), limitStat(oom.LimitKernel, 240*mib), func(r *oom.Record) { r.Source = oom.SourceBPF }), live(kmem())},
		{"what is left is the kernel's only where anonymous memory is known", verdict, codeLimitKernel, stats(oom.Stat{Name: oom.LimitAnon}, oom.Stat{Name: oom.LimitFile}, oom.Stat{Name: oom.LimitShmem}), stats(oom.Stat{Name: oom.LimitFile}, oom.Stat{Name: oom.LimitShmem})},
		{"v1 without lists does not tell cache from tmpfs", verdict, codeLimitFile,
			v1(oom.Stat{Name: oom.LimitV1RSS, Bytes: mib}, oom.Stat{Name: oom.LimitV1Cache, Bytes: 250 * mib}, oom.Stat{Name: oom.LimitActiveAnon}, oom.Stat{Name: oom.LimitInactiveAnon, Bytes: mib}, oom.Stat{Name: oom.LimitActiveFile}, oom.Stat{Name: oom.LimitInactiveFile, Bytes: 250 * mib}),
			v1(oom.Stat{Name: oom.LimitV1RSS, Bytes: mib}, oom.Stat{Name: oom.LimitV1Cache, Bytes: 250 * mib})},
		{"page tables that have a counter", codeLimitKernel, "page tables of this process 90 MiB", with(tables), with(tables, limitStat(oom.LimitPagetables, 0))},
		{"a swap cache that fits beside the files", codeLimitAlso, "page cache: 70 MiB", cached(4 * mib), cached(4*mib + 1)},
		{"writeback of the swap cache", codeLimitAlso, "page cache: 110 MiB of 256 MiB (43 %), only 50 MiB of it dirty or under writeback", writeback(limitStat(oom.LimitSwapcached, 100*mib)), writeback()},
		{"the kernel's memory without slab", codeMemoryKernel, "", system(stat(oom.StatKernelStack, 2*gib)), system(noSlab, stat(oom.StatKernelStack, 2*gib))},
		{"the machine's slab is not the cgroup's", codeLimitKernel, "slab 200 MiB", with(limitStat(oom.LimitSlab, 200*mib)), with(stat(oom.StatSlabUnrecl, 200*mib))},
		{"huge pages, and how many there are is not known", "", ", huge pages", missing(), missing(stat(oom.StatHugepagesTotal, 0))},
		{"huge pages, and how many are free is not known", codeHugepagesUsed, "2 GiB of 4 GiB", missing(stat(oom.StatHugepagesTotal, 2*gib), stat(oom.StatHugepagesFree, 0)), missing(stat(oom.StatHugepagesTotal, 2*gib))},
		{"99 % of memory and swap", "", "on memory and swap", both(40*mib, 99*mib), both(40*mib, 99*mib-1)},
	}
}

func zoneEdges() []edge {
	none := swap(0, 0)
	movable := func(node oom.Opt[int32], changes ...change) *oom.Record { // a node of ZONE_MOVABLE alone
		return system(append([]change{none, fromLog, cmaMask, func(r *oom.Record) {
			r.Scope, r.Trigger.MemsAllowed, r.Memory.FreeBytes = oom.ScopeCpuset, "0", b(3*gib)
			r.Memory.Zones = []oom.Zone{zone(0, "Movable", 2*gib, 9*mib, 20*mib)}
			r.Memory.Zones[0].Node = node
		}}, changes...)...)
	}
	node0 := oom.Some(int32(0))
	policy := func(r *oom.Record) {
		r.Scope, r.Trigger.MemsAllowed, r.Trigger.Nodemask = oom.ScopeMempolicy, "", "0"
	}
	live := func(r *oom.Record) { r.Source = oom.SourceBPF }
	roomy := func(free uint64, changes ...change) *oom.Record {
		return system(append([]change{none, func(r *oom.Record) {
			r.Memory.FreeBytes, r.Memory.Zones = b(free), []oom.Zone{zone(0, "Normal", free, 20*mib, 30*mib)}
		}}, changes...)...)
	}
	first := func(edit func(*oom.Zone)) change { return func(r *oom.Record) { edit(&r.Memory.Zones[0]) } }
	second := func(edit func(*oom.Zone)) change { return func(r *oom.Record) { edit(&r.Memory.Zones[1]) } }
	noNode := first(func(z *oom.Zone) { z.Node = oom.Opt[int32]{} })
	order := func(v oom.Opt[int32]) change { return func(r *oom.Record) { r.Trigger.Order = v } }
	mask := func(v oom.Opt[uint32]) change { return func(r *oom.Record) { r.Trigger.GFPMask = v } }
	// besideMovable is a short zone and one of ZONE_MOVABLE, or another name, with memory.
	beside := func(name string, gfp oom.Opt[uint32], changes ...change) *oom.Record {
		return system(append([]change{none, mask(gfp), func(r *oom.Record) {
			r.Memory.FreeBytes = b(20*mib + 2*gib)
			r.Memory.Zones = []oom.Zone{zone(0, "Normal", 20*mib, 20*mib, 30*mib), zone(0, name, 2*gib, 20*mib, 30*mib)}
		}}, changes...)...)
	}
	kernels, unknown := oom.Some(uint32(0xcc0)), oom.Opt[uint32]{}
	hidden := func(kernel string, changes ...change) *oom.Record { // node 1 is as short as can be
		return system(append([]change{none, fromLog, func(r *oom.Record) {
			r.Kernel, r.Memory.FreeBytes = kernel, b(2*gib+5*mib)
			r.Memory.Zones = []oom.Zone{zone(0, "Normal", 2*gib, 20*mib, 30*mib), zone(1, "Normal", 5*mib, 20*mib, 30*mib)}
		}}, changes...)...)
	}
	unknownNodes := func(scope oom.Scope, mask string) *oom.Record {
		return system(none, numa(scope, "", 2*gib), func(r *oom.Record) { r.Trigger.Nodemask = mask })
	}
	pages := func(types []string, changes ...change) *oom.Record { // of order 2, all in blocks of it
		return system(append([]change{none, fragmented(2, 400*mib, 0, 0, 25600), func(r *oom.Record) { r.Memory.Zones[0].FreeBlockTypes = types }}, changes...)...)
	}
	few := func(changes ...change) *oom.Record {
		return system(append([]change{none, fragmented(2, 400*mib, 102400-4*480, 0, 480)}, changes...)...)
	}
	flags := func(r *oom.Record) { r.Trigger.GFPFlags = []string{"GFP_KERNEL"} }
	// lacking has so much free between the min mark of 20 MiB and the high one of 30 MiB.
	lacking := func(n uint64, changes ...change) *oom.Record {
		return system(append([]change{fragmented(2, 20*mib+n, 4096, 512, 0), cmaMask}, changes...)...)
	}
	idle, cache := swap(2*gib, gib), cached(1000*mib)
	contradicting := func(r *oom.Record) { // more than there is, in a log of which lines are lost
		r.Source, r.Incomplete, r.Trigger.GFPFlags = oom.SourceKmsg, oom.Some(true), []string{"GFP_KERNEL"}
		stat(oom.StatUnevictable, 500*mib)(r)
	}
	types := func(types ...string) change {
		return func(r *oom.Record) {
			r.Memory.Zones[0].FreeBlocks, r.Memory.Zones[0].FreeBlockTypes = []uint64{4096, 512, 256}, types
		}
	}
	lower := func(free, managed, reserve uint64) change { // a zone with blocks, below its reserve
		return func(r *oom.Record) {
			z := zone(0, "DMA", free, mib, 2*mib)
			z.ManagedBytes, z.LowmemReserveBytes, z.FreeBlocks = b(managed), []uint64{0, 0, reserve}, []uint64{0, 0, 512}
			r.Memory.Zones = append(r.Memory.Zones, z)
		}
	}
	rank := func(dma uint64) *oom.Record {
		rec := lowMemory(0xd1)
		rec.Trigger.Order, rec.Memory.Zones[0].FreeBytes = oom.Some(int32(1)), b(dma)
		return rec
	}
	reserves := func(gfp uint32) *oom.Record {
		return system(none, lowMask(gfp), func(r *oom.Record) {
			r.Memory.FreeBytes = b(510 * mib)
			r.Memory.Zones = []oom.Zone{zone(0, "DMA32", 500*mib, 10*mib, 20*mib), zone(0, "Normal", 10*mib, 10*mib, 20*mib)}
			r.Memory.Zones[0].LowmemReserveBytes = []uint64{0, 0, 80 * mib, 800 * mib}
		})
	}
	shrunk := func(edit func(*oom.NodesChange)) *oom.Record {
		return system(none, numa(oom.ScopeCpuset, "0", 2*gib), memsChanged, func(r *oom.Record) {
			if edit != nil {
				edit(r.Trigger.MemsChanged)
			}
		})
	}
	cma := func(v uint64) *oom.Record {
		return beside("HighMem", kernels, first(func(z *oom.Zone) { z.FreeCMABytes = b(v) }))
	}
	sums := func(gfp uint32) *oom.Record { return roomy(500*mib, lowMask(gfp), stat(oom.StatFreeCMA, 100*mib)) }
	return []edge{
		{"a zone of no known node", "", "have no zone that the request may use", movable(node0), movable(oom.Opt[int32]{})},
		{"zones that are not usable, live", "", "have no zone that the request may use", movable(node0), movable(node0, live)},
		{"a policy of a node without a zone for the request", verdict, codeNodeMempolicy, movable(node0, policy), movable(node0)},
		{"the same in words", "", "the nodes of the memory policy have no zone that the request may use", movable(node0, policy), movable(node0)},
		{"a cpuset in a log without nodes", codeNotShort, "", roomy(gib, fromLog, noNode), roomy(gib, fromLog, noNode, func(r *oom.Record) { r.Scope = oom.ScopeCpuset })},
		{"a node that is not known, live", codeNotShort, "", roomy(gib, fromLog, noNode), roomy(gib, noNode)},
		{"what was given back is one reason", codeNotShort, "", beside("Movable", kernels, first(func(z *oom.Zone) { z.FreeBytes = b(400 * mib) })), beside("Movable", kernels, first(func(z *oom.Zone) { z.FreeBytes = b(200 * mib) }))},
		{"memory, and the order is not known", codeNotShort, "", roomy(gib), roomy(gib, order(oom.Opt[int32]{}))},
		{"memory, and the request is not known", codeNotShort, "", roomy(gib), roomy(gib, mask(unknown))},
		{"memory, and who asked is not known", codeNotShort, "", roomy(gib), roomy(gib, func(r *oom.Record) { r.Trigger = nil })},
		{"memory, and in which blocks is not known", codeNotShort, "", roomy(gib, order(oom.Some(int32(0)))), roomy(gib, order(oom.Some(int32(2))))},
		{"CMA that the zones do not tell is not for the kernel", codeNotShort, "400 MiB is free where the request may take it", sums(0xcc0), sums(0x140dca)},
		{"CMA is for what can move", codeNotShort, "500 MiB is free where the request may take it", sums(0x140dca), sums(0xcc0)},
		{"CMA that the zones tell counts once", codeNotShort, "400 MiB is free where the request may take it", roomy(500*mib, cmaMask, stat(oom.StatFreeCMA, 100*mib), first(func(z *oom.Zone) { z.FreeCMABytes = b(100 * mib) })), sums(0x140dca)},
		{"a page fault by its stack", codeNotShort, "100 MiB is free", roomy(100*mib, stack("pagefault_out_of_memory+0x1")), roomy(100 * mib)},
		{"a page fault in words", "", "; a page fault failed for another reason (could also be a shortage that was over when the numbers were taken)", roomy(gib, stack("pagefault_out_of_memory+0x1")), roomy(gib)},
		{"a policy that a log up to 4.9 does not show", verdict, "node_mempolicy, unsure", hidden("4.9.337"), hidden("4.10.0")},
		{"what it says", codeNodeMempolicy, "node 1 has 5 MiB free, below its watermarks, the rest of the machine 2 GiB, and a memory policy probably limits", hidden("3.10.0-1160"), hidden("5.4.0")},
		{"a kernel that is not known", codeNodeMempolicy, "", hidden("4.4"), hidden("")},
		{"a kernel that is none", codeNodeMempolicy, "", hidden("4.4"), hidden("4.x")},
		{"a live record has the policy", codeNodeMempolicy, "", hidden("4.4"), hidden("4.4", live)},
		{"a request for more than a page", codeNodeMempolicy, "", hidden("4.4"), hidden("4.4", order(oom.Some(int32(1))))},
		{"the kernel's word that it is a cpuset", codeNodeMempolicy, "", hidden("4.4"), hidden("4.4", func(r *oom.Record) { r.Scope = oom.ScopeCpuset })},
		{"a node whose min is not known", codeNodeMempolicy, "", hidden("4.4"), hidden("4.4", second(func(z *oom.Zone) { z.MinBytes = size{} }))},
		{"a node with another zone that is not short", codeNodeMempolicy, "", hidden("4.4"), hidden("4.4", func(r *oom.Record) { r.Memory.Zones = append(r.Memory.Zones, zone(1, "Movable", 10*mib, mib, 2*mib)) })},
		{"a policy whose nodes are not known", verdict, "node_mempolicy, unsure", unknownNodes(oom.ScopeMempolicy, ""), unknownNodes(oom.ScopeMempolicy, "0")},
		{"a cpuset whose nodes a nodemask has", verdict, "node_cpuset, sure", unknownNodes(oom.ScopeCpuset, "0"), unknownNodes(oom.ScopeCpuset, "")},
		{"a nodemask within the cpuset", verdict, codeNodeMempolicy, system(none, numa(oom.ScopeMempolicy, "0-1", 2*gib), func(r *oom.Record) { r.Trigger.Nodemask = "0" }), system(none, numa(oom.ScopeMempolicy, "0-1", 2*gib))},
		{"a zone of no node is for all", verdict, codeNodeCpuset, system(none, numa(oom.ScopeCpuset, "0", 2*gib)), system(none, numa(oom.ScopeCpuset, "0", 2*gib), second(func(z *oom.Zone) { z.Node = oom.Some(int32(-1)) }))},
		{"a zone of no known node is for all", verdict, "node_cpuset, sure", system(none, numa(oom.ScopeCpuset, "0", 2*gib)), system(none, numa(oom.ScopeCpuset, "0", 2*gib), second(func(z *oom.Zone) { z.Node = oom.Opt[int32]{} }))},
		{"a high mark that is not known, and the min", verdict, "node_cpuset, sure", system(none, numa(oom.ScopeCpuset, "0", 2*gib), first(func(z *oom.Zone) { z.HighBytes = size{} })), system(none, numa(oom.ScopeCpuset, "0", 2*gib), first(func(z *oom.Zone) { z.HighBytes, z.MinBytes = size{}, size{} }))},
		{"a high mark that is not known proves no room", codeNotShort, "", roomy(gib), roomy(gib, first(func(z *oom.Zone) { z.HighBytes = size{} }))},
		{"one block will do since 4.4", verdict, "memory_fragmented, unsure", few(), few(fromLog)},
		{"a log with names of flags is of 4.6 or newer", verdict, "memory_fragmented, unsure", few(fromLog, flags), few(fromLog)},
		{"what is too little for an old kernel", codeMemoryFragments, "370 MiB is free above watermarks and reserves, but too little of it in blocks of order 2 or higher", few(fromLog), few()},
		{"no block of the order, and swap is free", verdict, "memory_fragmented, unsure", lacking(mib, idle), lacking(0, idle)},
		{"the same in words", "", "1 MiB is free above the min watermarks, but in no block of order 2 or higher that the request may take (could also be a shortage", lacking(mib, idle), lacking(0, idle)},
		{"no block of the order, and nothing to reclaim", codeMemoryFragments, "", lacking(mib, idle), lacking(mib)},
		{"no block of the order, and swap that is refused", codeMemoryFragments, "", lacking(mib, idle), lacking(mib, idle, swappinessZero)},
		{"no block of the order, and page cache", verdict, "memory_fragmented, unsure", lacking(mib, cache), lacking(mib, cached(1000*mib-1))},
		{"the same in words, with cache", "", "1 MiB is free above the min watermarks, but in no block of order 2 or higher that the request may take; 1000 MiB of 3.9 GiB (25 %) is page cache (could also be", lacking(mib, cache), lacking(mib, idle)},
		{"next to nothing above the min watermarks", codeMemoryFragments, "", lacking(mib, idle), lacking(512<<10, idle)},
		{"swap that does not keep up comes before blocks", codeSwapTooSlow, "", lacking(mib, idle, stat(oom.StatFileWriteback, 300*mib)), lacking(mib, idle)},
		{"zram that gains nothing comes before blocks", codeMemoryFragments, "", lacking(mib, idle), lacking(mib, idle, stat(oom.StatZspages, 1100*mib))},
		{"memory.min that keeps a quarter comes before blocks", codeMemoryFragments, "", lacking(mib, idle), lacking(mib, idle, protectedBy(gib))},
		{"too few blocks are not none", "", "but too little of it in blocks of order 2 or higher; 1000 MiB", lacking(mib, cache, types(), fromLog), lacking(mib, cache)},
		{"page cache and too little free for a single page", codeMemoryFragments, "", lacking(mib, cache), lacking(0, cache)},
		{"numbers that contradict each other", codeMemoryFragments, "", lacking(mib, cache), lacking(mib, cache, contradicting)},
		{"page cache that has to be written", codeMemoryFragments, "", lacking(mib, cache), lacking(mib, cache, stat(oom.StatFileDirty, mib))},
		{"page cache that memory.min keeps, and no block", codeMemoryFragments, "", lacking(mib, cache), lacking(mib, cache, protectedBy(1000*mib))},
		{"page cache, perhaps of other nodes", codeMemoryFragments, "", lacking(mib, cache), lacking(mib, cache, func(r *oom.Record) { r.Scope = oom.ScopeCpuset })},
		{"page cache, and a single page", codeMemoryFragments, "", lacking(mib, cache), lacking(mib, cache, order(oom.Some(int32(0))))},
		{"page cache, and blocks for atomic requests", codeMemoryFragments, "", lacking(mib, cache, types("U", "U", "H")), lacking(mib, cache, types("U", "U", "UH"))},
		{"page cache, and blocks of CMA", codeMemoryFragments, "", lacking(mib, cache, types("U", "U", "C")), lacking(mib, cache, types("U", "U", "C"), lowMask(0x140dca))},
		{"page cache, and too few blocks for an old kernel", codeMemoryFragments, "", lacking(mib, cache, types(), fromLog), lacking(mib, cache, types(), fromLog, flags)},
		{"page cache, and no list of blocks", codeMemoryFragments, "", lacking(mib, cache), lacking(mib, cache, first(func(z *oom.Zone) { z.FreeBlocks = nil }))},
		{"a reserve that keeps a whole zone", codeMemoryFragments, "", lacking(mib, cache, lower(8*mib, 8*mib, 8*mib)), lacking(mib, cache, lower(8*mib, 20*mib, 8*mib))},
		{"a zone whose blocks are not known", codeMemoryFragments, "", few(), few(func(r *oom.Record) { r.Memory.Zones = append(r.Memory.Zones, zone(0, "DMA32", 300*mib, mib, 2*mib)) })},
		{"a zone at its mark does not count", codeMemoryFragments, "", few(func(r *oom.Record) { r.Memory.Zones = append(r.Memory.Zones, zone(0, "DMA32", mib, mib, 2*mib)) }), few(func(r *oom.Record) { r.Memory.Zones = append(r.Memory.Zones, zone(0, "DMA32", 3*mib, mib, 2*mib)) })},
		{"blocks of CMA serve what can move", codeNotShort, "", pages([]string{"U", "U", "C"}), pages([]string{"U", "U", "C"}, cmaMask)},
		{"blocks for atomic requests serve none that waits", codeNotShort, "", pages([]string{"", "", "UH"}), pages([]string{"", "", "H"})},
		{"isolated blocks serve none", codeNotShort, "", pages([]string{"", "", "MI"}), pages([]string{"", "", "I"})},
		{"blocks of no known type serve", codeNotShort, "", pages([]string{"H", "H", ""}), pages([]string{"H", "H", "H"})},
		{"blocks beyond the types serve", codeNotShort, "", pages([]string{"H", "H"}), pages([]string{"H", "H", "H"})},
		{"a request that is not known may move", codeNodeZone, "", beside("Movable", kernels), beside("Movable", unknown)},
		{"to move it takes both bits", codeNodeZone, "", beside("Movable", oom.Some(uint32(0xcc8))), beside("Movable", oom.Some(uint32(0xcca)))},
		{"HighMem by its bit", codeNodeZone, "", beside("HighMem", kernels), beside("HighMem", oom.Some(uint32(0xcc2)))},
		{"HighMem of a request that is not known", codeNodeZone, "", beside("HighMem", kernels), beside("HighMem", unknown)},
		{"the reserve of ZONE_DMA for its own requests", codeNodeZone, "", rank(2 * mib), rank(50 * mib)},
		{"the reserve against what can move is the largest", codeNotShort, "500 MiB is free", reserves(0xcc0), reserves(0x140dca)},
		{"more CMA than is free", codeNodeZone, "have 5 MiB free beside 15 MiB of CMA, which it may not use", cma(15 * mib), cma(10 * mib)},
		{"as much CMA as is free", codeNodeZone, "beside", cma(10*mib + 1), cma(10 * mib)},
		{"the rest with its CMA", codeNodeZone, "the rest of the machine 2 GiB", beside("Movable", kernels, second(func(z *oom.Zone) { z.FreeCMABytes = b(gib) })), beside("Movable", kernels, second(func(z *oom.Zone) { z.FreeBytes, z.FreeCMABytes = b(gib), b(gib) }))},
		{"a cpuset that was shrunk from what is not known", codeNodeCpuset, "shrunk", shrunk(nil), shrunk(func(c *oom.NodesChange) { c.From = "" })},
		{"a cpuset that was shrunk to what is not known", codeNodeCpuset, "shrunk", shrunk(nil), shrunk(func(c *oom.NodesChange) { c.To = "" })},
		{"a cpuset that was shrunk by what is not known", codeNodeCpuset, "0-1 to 0 3 s before", shrunk(func(c *oom.NodesChange) { c.PID, c.Comm = oom.Opt[int32]{}, "" }), shrunk(nil)},
		{"a cpuset that was shrunk, by name", codeNodeCpuset, "0-1 to 0 by runc 3 s before", shrunk(func(c *oom.NodesChange) { c.PID = oom.Opt[int32]{} }), shrunk(nil)},
		{"a cpuset that was shrunk, by id", codeNodeCpuset, "0-1 to 0 by pid 42 3 s before", shrunk(func(c *oom.NodesChange) { c.Comm = "" }), shrunk(nil)},
		{"when a cpuset was shrunk", codeNodeCpuset, " before", shrunk(nil), shrunk(func(c *oom.NodesChange) { c.AgoNS = oom.Opt[uint64]{} })},
		{"a zone of no known node is for all nodes", verdict, "node_cpuset, sure", system(none, numa(oom.ScopeCpuset, "1", 20*mib), first(func(z *oom.Zone) { z.FreeBytes = b(2 * gib) })), system(none, numa(oom.ScopeCpuset, "1", 20*mib), first(func(z *oom.Zone) { z.FreeBytes, z.Node = b(2*gib), oom.Opt[int32]{} }))},
		{"the reserve of the kernel is that of ZONE_NORMAL", codeNotShort, "500 MiB is free", normal(300 * mib), normal(480 * mib)},
		{"one zone without a mark proves no room", codeNotShort, "", twoZones(b(30 * mib)), twoZones(size{})},
		{"of nodes that are not known no room is said", codeNotShort, "", room(oom.ScopeCpuset, "0-1"), room(oom.ScopeCpuset, "")},
	}
}

// room is a machine of two nodes with memory on both.
func room(scope oom.Scope, mems string) *oom.Record {
	return system(swap(0, 0), numa(scope, mems, 500*mib), func(r *oom.Record) {
		r.Memory.FreeBytes, r.Memory.Zones[0].FreeBytes = b(gib), b(500*mib)
	})
}

func taskEdges() []edge {
	none := swap(0, 0)
	sum := func(v uint64) change { return func(r *oom.Record) { r.CandidatesBytes = b(v) } }
	noSum := func(r *oom.Record) { r.CandidatesBytes = size{} }
	fork := tasks(300, repeated(10, 18*mib)...)
	limitFork := func(v, swapped uint64) *oom.Record {
		return limited(tasks(80, repeated(10, 4*mib)...), sum(v), func(r *oom.Record) { r.Limit.SwapUsageBytes = b(swapped) })
	}
	few := func(cgroup string) *oom.Record { // of different names
		return limited(tasks(20, repeated(8, 15*mib)...), sum(200*mib), named("", cgroup), differ)
	}
	unnamed := func(comm string) *oom.Record {
		return limited(tasks(20, repeated(8, 15*mib)...), sum(200*mib), named(comm, ""))
	}
	kernel := func(v uint64) *oom.Record {
		return limited(tasks(80, repeated(10, 3*mib)...), sum(240*mib), func(r *oom.Record) {
			r.Limit.MaxBytes, r.Limit.UsageBytes = b(250*mib), b(250*mib)
			r.Limit.Stat = oom.Stats{{Name: oom.LimitAnon, Bytes: 140 * mib}, {Name: oom.LimitFile}, {Name: oom.LimitShmem}, {Name: oom.LimitKernel, Bytes: v}}
		})
	}
	notListed := func(v uint64) *oom.Record { return limited(tasks(64, repeated(10, v)...), bystander(50*mib), noSum) }
	beside := func(total uint64) *oom.Record {
		return limited(tasks(total, repeated(10, 15*mib)...), bystander(50*mib), sum(250*mib))
	}
	noSize := func(r *oom.Record) { r.Candidates[3].RSSBytes = size{} }
	return []edge{
		{"all that tasks hold fits into memory", codeManyTasks, "in memory and swap", system(fork, sum(4*gib+1)), system(fork, sum(4*gib))},
		{"all that tasks hold fits into memory and swap", codeManyTasks, "what they share counted for each", system(fork, sum(6*gib+1)), system(fork, sum(6*gib))},
		{"into a cgroup and what it has in swap", codeManyTasks, "in memory and swap", limitFork(300*mib, 44*mib), limitFork(300*mib, 44*mib-1)},
		{"what they hold is not known", codeManyTasks, "together they hold", system(fork), system(fork, noSum)},
		{"tasks of one cgroup are alike", codeManyTasks, "20 tasks", few("/b"), few("/")},
		{"tasks of no known cgroup are not", codeManyTasks, "20 tasks", few("/b"), few("")},
		{"tasks of no known name are not alike", codeManyTasks, "20 tasks", unnamed("x"), unnamed("")},
		{"40 % of the kernel's is its own", verdict, codeManyTasks, kernel(100*mib - 1), kernel(100 * mib)},
		{"a big one is not among those not listed", verdict, codeManyTasks, notListed(2 * mib), notListed(2*mib - 1)},
		{"16 tasks beside a big one", verdict, codeManyTasks, beside(16), beside(15)},
		{"a task without a size", verdict, codeManyTasks, system(fork), system(fork, noSize)},
		{"of a limit that is met no more", "", "in use by now), held by many small tasks (80)", limited(tasks(80, repeated(10, 4*mib)...), func(r *oom.Record) { r.Limit.UsageBytes = b(220 * mib) }), limited(tasks(80, repeated(10, 4*mib)...))},
		{"nothing anonymous is known", "", "could also be memory that they share, counted for each of them", system(fork, noStats), system(fork)},
		{"their sum is not known", "", "could also be something else: the record does not hold the tasks' sum", system(none, fork, noSum), system(none, fork)},
	}
}

func holderEdges() []edge {
	none := swap(0, 0)
	holders := func(list ...oom.Holder) change { return func(r *oom.Record) { r.Holders = list } }
	unit := func(name string, usage uint64) oom.Holder {
		return oom.Holder{Owner: oom.Owner{Unit: name}, UsageBytes: b(usage)}
	}
	grew := func(v oom.Opt[int64], span uint64, changes ...change) *oom.Record {
		h := unit("a.service", 2*gib)
		h.GrewBytes = v
		return system(append([]change{none, holders(h), func(r *oom.Record) { r.Memory.History = &oom.MemoryHistory{SpanNS: oom.Some(span)} }}, changes...)...)
	}
	byName := func(tasks size, usage uint64, changes ...change) *oom.Record {
		return system(append([]change{none, holders(oom.Holder{Comm: "x", UsageBytes: b(usage), Tasks: tasks})}, changes...)...)
	}
	noVictim := func(r *oom.Record) { r.Kind, r.Victim = oom.KindPanic, nil }
	cut := func(r *oom.Record) { r.Source, r.Incomplete = oom.SourceKmsg, oom.Some(true) }
	mapped := func(shmem size, all bool) change { // tasks that map 500 MiB of shared memory each
		return func(r *oom.Record) {
			if all {
				set(&r.Memory.Stat, oom.StatShmem, 500*mib)
			} else {
				without(r, oom.StatShmem)
			}
			for i := range 6 {
				c := oom.Candidate{Comm: "x", RSSBytes: b(520 * mib), ShmemRSSBytes: b(500 * mib)}
				if i == 0 {
					c.ShmemRSSBytes = shmem
				}
				r.Candidates = append(r.Candidates, c)
			}
		}
	}
	other := func(pid oom.Opt[int32], rss uint64, adj oom.Opt[int32]) change {
		return func(r *oom.Record) {
			r.Candidates = []oom.Candidate{{PID: pid, Comm: "db", RSSBytes: b(rss), AnonRSSBytes: b(rss), OOMScoreAdj: adj}}
		}
	}
	zero, unknown := oom.Some(int32(0)), oom.Opt[int32]{}
	group := func(n int, each uint64) change {
		return func(r *oom.Record) {
			for i := range n {
				r.Candidates = append(r.Candidates, oom.Candidate{PID: oom.Some(int32(i + 200)), Comm: "tool", RSSBytes: b(each), Cgroup: "/build"})
			}
			r.CandidatesTotal = oom.Some(uint64(len(r.Candidates)))
			victimAnon(mib)(r)
		}
	}
	pair := func(a, b uint64, pid int32) change {
		return func(r *oom.Record) {
			for i, v := range []uint64{a, b} {
				r.Candidates = append(r.Candidates, oom.Candidate{PID: oom.Some(pid + int32(i)), Comm: "x", RSSBytes: oom.Some(v)})
			}
			r.CandidatesTotal = oom.Some(uint64(2))
		}
	}
	group2 := func(r *oom.Record) {
		for range 4 {
			r.Candidates = append(r.Candidates, oom.Candidate{Comm: "x", RSSBytes: b(300 * mib), Cgroup: "/other"})
		}
	}
	noCgroup := func(r *oom.Record) { r.Candidates[0].Cgroup = "" }
	owned := func(o oom.Owner, cgroup string) *oom.Record {
		return system(none, holders(oom.Holder{Owner: o, Cgroup: cgroup, UsageBytes: b(2 * gib)}))
	}
	atPod := func(usage uint64) *oom.Record { return limited(inPod(30*mib), holders(unit("a.service", usage))) }
	protects := func(c ...oom.CgroupLimit) change {
		return func(r *oom.Record) { r.Victim.CgroupLimits = c }
	}
	return []edge{
		{"no more than the limit is held", codeHolder, "a.service holds 256 MiB", atPod(256 * mib), atPod(256*mib + 1)},
		{"nobody holds more than the allowed nodes have", codeHolder, "a.service holds", system(numa(oom.ScopeCpuset, "0", 2*gib), holders(unit("a.service", 3*gib))), inDomainHeld(100 * gib)},
		{"the bigger of two holders", codeHolder, "a.service holds 2 GiB", system(none, holders(unit("a.service", 2*gib), unit("b.service", gib))), system(none, holders(unit("a.service", 2*gib), unit("b.service", 2*gib+1)))},
		{"a name without its tasks", codeHolder, "x holds 2 GiB of 4 GiB", byName(size{}, 2*gib), byName(b(3), 2*gib)},
		{"one task of a name, and no victim", codeHolder, "x holds 2 GiB", byName(b(1), 2*gib, noVictim), byName(b(2), 2*gib, noVictim)},
		{"a victim whose row is lost is bigger than all of a name", codeHolder, "this process holds 3 GiB", byName(b(2), 3*gib-1, cut), byName(b(2), 3*gib, cut)},
		{"a whole log has the victim's row", codeHolder, "this process holds 3 GiB", byName(b(2), 2*gib, cut), byName(b(2), 2*gib, fromLog)},
		{"two tasks of a name, and one has it", codeHolder, "this process holds 2 GiB of 4 GiB", byName(b(2), 2*gib+mib, victimAnon(2*gib), pair(2*gib, mib, 100)), byName(b(2), 2*gib+mib, victimAnon(2*gib), pair(gib, gib+mib, 100))},
		{"two tasks of a name, and another has it", codeHolder, "x (pid 7) holds 2 GiB of 4 GiB", byName(b(2), 2*gib+mib, victimAnon(mib), pair(2*gib, mib, 7)), byName(b(2), 2*gib+mib, victimAnon(mib), pair(gib, gib+mib, 7))},
		{"two tasks of a name", codeHolder, "2 tasks named x hold", byName(b(2), 2*gib, pair(9*gib/5-1, gib/5, 7)), byName(b(2), 2*gib, pair(9*gib/5+1, gib/5, 7))},
		{"tasks of a name without holders", codeHolder, "the tasks named x hold 2 GiB", system(none, victimAnon(mib), pair(9*gib/5-1, gib/5+1, 7)), system(none, victimAnon(mib), pair(9*gib/5+1, gib/5, 7))},
		{"more than there is they share", codeHolder, "what they share", byName(b(3), 4*gib+1), byName(b(3), 4*gib)},
		{"more than one task", codeHolder, " in 2 tasks", system(none, holders(oom.Holder{Cgroup: "/a", UsageBytes: b(2 * gib), Tasks: b(2)})), system(none, holders(oom.Holder{Cgroup: "/a", UsageBytes: b(2 * gib), Tasks: b(1)}))},
		{"two tasks of a cgroup", codeHolder, " tasks", system(none, holders(oom.Holder{Cgroup: "/a", UsageBytes: b(2 * gib), Tasks: b(2)})), system(none, holders(oom.Holder{Cgroup: "/a", UsageBytes: b(2 * gib), Tasks: b(1)}))},
		{"how a holder grew", codeHolder, "a.service holds 2 GiB of 4 GiB, +1 GiB/s for 1 s", grew(oom.Some(int64(gib)), 1e9), grew(oom.Opt[int64]{}, 1e9)},
		{"a holder that shrank", codeHolder, "/s", grew(oom.Some(int64(gib)), 1e9), grew(oom.Some(int64(-gib)), 1e9)},
		{"a holder's growth in no time", codeHolder, " for ", grew(oom.Some(int64(gib)), 1e9), grew(oom.Some(int64(gib)), 0)},
		{"a holder's growth without a history", codeHolder, " for ", grew(oom.Some(int64(gib)), 1e9), grew(oom.Some(int64(gib)), 1e9, func(r *oom.Record) { r.Memory.History = nil })},
		{"how much is shared is not known", codeHolder, "what they share counted once", byName(b(6), 3900*mib, mapped(b(500*mib), true)), byName(b(6), 3900*mib, mapped(b(500*mib), false))},
		{"what one of them maps is not known", codeHolder, "hold at most", byName(b(6), 3900*mib, mapped(size{}, true)), byName(b(6), 3900*mib, mapped(b(500*mib), true))},
		{"a pod without a name", codeHolder, "a.service holds", owned(oom.Owner{Pod: &oom.Pod{UID: "u"}, Unit: "a.service"}, ""), owned(oom.Owner{Pod: &oom.Pod{Name: "p"}, Unit: "a.service"}, "")},
		{"a pod in its namespace", codeHolder, "shop/p holds", owned(oom.Owner{Pod: &oom.Pod{Name: "p", Namespace: "shop"}, Unit: "a.service"}, ""), owned(oom.Owner{Pod: &oom.Pod{Name: "p"}}, "")},
		{"a container without a name", codeHolder, "/x holds", owned(oom.Owner{Container: &oom.Container{ID: "1"}}, "/x"), owned(oom.Owner{Container: &oom.Container{Name: "db"}}, "/x")},
		{"a victim that is more than there is", codeHolder, "this process holds 4.5 GiB", system(none, victimAnon(4*gib+gib/2+mib)), system(none, victimAnon(4*gib+gib/2+mib+1))},
		{"the victim among the tasks", codeHolder, "db (pid", system(none, other(oom.Some(int32(7)), 3584*mib, zero)), system(none, other(oom.Some(int32(100)), 3584*mib, zero))},
		{"a task without an id", codeHolder, "db holds 3.5 GiB", system(none, other(unknown, 3584*mib, zero)), system(none, other(unknown, 3*gib, zero))},
		{"a task without an id, and a victim without one", codeHolder, "db holds 3.5 GiB", system(none, other(unknown, 3584*mib, zero), func(r *oom.Record) { r.Victim.PID = unknown }), system(none)},
		{"a task, and no victim", codeHolder, "db (pid 7) holds 2 GiB", system(none, noVictim, other(oom.Some(int32(7)), 2*gib, zero)), system(none, noVictim)},
		{"a task as big as the victim", codeHolder, "db (pid 7) holds", system(none, other(oom.Some(int32(7)), 3*gib+1, zero)), system(none, other(oom.Some(int32(7)), 3*gib, zero))},
		{"a task that was spared", codeHolder, " and was spared (oom_score_adj -1)", system(none, other(oom.Some(int32(7)), 3584*mib, oom.Some(int32(-1)))), system(none, other(oom.Some(int32(7)), 3584*mib, zero))},
		{"a task with an adjustment of 0 was not", codeHolder, "spared", system(none, other(oom.Some(int32(7)), 3584*mib, oom.Some(int32(-1)))), system(none, other(oom.Some(int32(7)), 3584*mib, zero))},
		{"the bigger of two cgroups, the first", codeHolder, "the tasks of /build hold", system(none, group(8, 300*mib), group2), system(none, group(2, 300*mib), group2)},
		{"whether it was spared is not known", codeHolder, "spared", system(none, other(oom.Some(int32(7)), 3584*mib, oom.Some(int32(-1)))), system(none, other(oom.Some(int32(7)), 3584*mib, unknown))},
		{"tasks by their cgroup", codeHolder, "the tasks of /build hold 2.3 GiB", system(none, group(8, 300*mib)), system(none, group(8, 300*mib), noCgroup)},
		{"a cgroup of one of them is not known", codeHolder, "the tasks named tool hold 2.3 GiB", system(none, group(8, 300*mib), noCgroup), system(none, group(8, 300*mib))},
		{"one task is no group", codeHolder, "hold ", system(none, group(2, 1100*mib)), system(none, group(1, 2200*mib))},
		{"tasks that hold more than there is", codeHolder, "hold 4 GiB of 4 GiB, what they share counted for each", system(none, group(4, gib+1)), system(none, group(4, gib))},
		{"a protection is no more than what it protects", codeMemoryProtected, "memory.min keeps 1 GiB of 4 GiB (25 %) of the victim's cgroups", system(protects(oom.CgroupLimit{Cgroup: "/a", UsageBytes: b(gib), MinBytes: b(3 * gib)})), system(protects(oom.CgroupLimit{Cgroup: "/a", UsageBytes: b(gib - 1), MinBytes: b(3 * gib)}))},
		{"a quarter by memory.low below", codeMemoryProtected, "memory.low keeps 1 GiB of 4 GiB (25 %) in cgroups from reclaim while other memory can be had", system(protects(oom.CgroupLimit{Cgroup: "/", ChildrenLowBytes: b(gib)})), system(protects(oom.CgroupLimit{Cgroup: "/", ChildrenLowBytes: b(gib - 1)}))},
	}
}

// inDomainHeld is a kill on a node of 12 GiB while a unit holds so much, on any node.
func inDomainHeld(v uint64) *oom.Record {
	rec := inDomain(3*gib, b(256*gib))
	rec.Holders = []oom.Holder{{Owner: oom.Owner{Unit: "a.service"}, UsageBytes: b(v)}}
	return rec
}

func sigkillEdges() []edge {
	kill := func(changes ...change) *oom.Record {
		r := &oom.Record{Kind: oom.KindSigkill, Cause: oom.CauseUser, Sender: &oom.Sender{PID: oom.Some(int32(900)), Comm: "sh"}, Victim: &oom.Victim{}}
		for _, c := range changes {
			c(r)
		}
		return r
	}
	limit := func(usage, maximum size) change {
		return func(r *oom.Record) { r.Limit = &oom.Limit{UsageBytes: usage, MaxBytes: maximum} }
	}
	level := func(usage, maximum size) change {
		return func(r *oom.Record) {
			r.Victim.CgroupLimits = append(r.Victim.CgroupLimits, oom.CgroupLimit{UsageBytes: usage, MaxBytes: maximum})
		}
	}
	pressure := func(some, full oom.Opt[float64]) *oom.Pressure {
		return &oom.Pressure{Some: &oom.PressureTime{Avg10Percent: some}, Full: &oom.PressureTime{Avg10Percent: full}}
	}
	waited := func(some, full float64) change {
		return func(r *oom.Record) { r.Victim.CgroupPressure = pressure(oom.Some(some), oom.Some(full)) }
	}
	machine := func(r *oom.Record) {
		r.Memory = &oom.Memory{Pressure: pressure(oom.Some(3.0), oom.Some(0.0))}
	}
	memory := func(free, total size) change {
		return func(r *oom.Record) { r.Memory = &oom.Memory{FreeBytes: free, TotalBytes: total} }
	}
	manager := func(s *oom.Sender) *oom.Record {
		return kill(func(r *oom.Record) { r.Cause, r.Sender = oom.CauseMemoryManager, s })
	}
	sender := func(s oom.Sender) *oom.Record { return kill(func(r *oom.Record) { r.Sender = &s }) }
	half := limit(b(50), b(100))
	parents := []oom.Parent{{PID: oom.Some(int32(8)), Comm: "cron"}}
	return []edge{
		{"the fuller of a limit and a level", codeMemoryWasShort, "97 % of the limit of 200 B", kill(half, level(b(194), b(200))), kill(half, level(b(100), b(200)))},
		{"the fuller of two levels, the first", codeMemoryWasShort, "97 % of the limit of 100 B", kill(level(b(97), b(100)), level(b(100), b(200))), kill(level(b(97), b(100)), level(b(197), b(200)))},
		{"the fuller of two levels, the second", codeMemoryWasFree, "60 % of the limit", kill(level(b(10), b(100)), level(b(120), b(200))), kill(level(b(120), b(200)), level(b(70), b(100)))},
		{"the fullest is not the one with the most", codeMemoryWasFree, "60 % of the limit", kill(level(b(60), b(100)), level(b(500), b(1000))), kill(level(b(500), b(1000)))},
		{"a level without a limit", codeMemoryWasFree, "50 % of the limit", kill(half, level(b(99), size{})), kill(half, level(b(99), b(100)))},
		{"a level whose limit is 0", codeMemoryWasFree, "50 % of the limit", kill(half, level(b(99), b(0))), kill(half, level(b(99), b(100)))},
		{"a level without a usage", codeMemoryWasFree, "50 % of the limit", kill(half, level(size{}, b(1))), kill(level(size{}, b(1)))},
		{"the cgroup's pressure before the machine's", codeMemoryWasFree, "some of its cgroup's tasks waited for memory 2 % of the last 10 s", kill(half, waited(2, 0), machine), kill(half, machine)},
		{"the machine's where it is missing", codeMemoryWasFree, "some of the machine's tasks waited for memory 3 % of the last 10 s", kill(half, machine), kill(half, waited(2, 0), machine)},
		{"all waited for a tenth", codeMemoryWasShort, "all of its cgroup's tasks waited for memory 10 % of the last 10 s", kill(half, waited(20, 10)), kill(half, waited(20, 9.99))},
		{"some waited for a tenth", codeMemoryWasShort, "some of its cgroup's tasks waited for memory 10 % of the last 10 s", kill(half, waited(10, 0)), kill(half, waited(9.99, 0))},
		{"a share is rounded", codeMemoryWasShort, "waited for memory 13 % of", kill(half, waited(12.5, 0)), kill(half, waited(12.49, 0))},
		{"pressure that was not read", codeMemoryWasFree, "", kill(half), kill(half, func(r *oom.Record) { r.Victim.CgroupPressure = &oom.Pressure{} })},
		{"a tenth of the machine is free", codeMemoryWasFree, "100 B of 1000 B (10 %) is free", kill(memory(b(100), b(1000))), kill(memory(b(99), b(1000)))},
		{"what is free is not known", codeMemoryWasFree, "", kill(memory(b(500), b(1000))), kill(memory(size{}, b(1000)))},
		{"the RAM is not known", codeMemoryWasFree, "", kill(memory(b(500), b(1000))), kill(memory(b(500), size{}))},
		{"the machine was short", codeMemoryWasShort, "the machine had 29 B free", kill(memory(b(29), b(1000))), kill(memory(b(30), b(1000)))},
		{"a manager of no known program", codeKilledByManager, "killed by a memory manager: oomd (pid 7)", manager(&oom.Sender{PID: oom.Some(int32(7)), Comm: "oomd"}), manager(&oom.Sender{PID: oom.Some(int32(7)), Comm: "oomd", Program: "systemd-oomd"})},
		{"a manager that is not known", codeKilledByManager, "killed by a memory manager: an unknown sender", manager(nil), manager(&oom.Sender{Comm: "oomd"})},
		{"what a manager says", codeKilledByManager, "which says", manager(&oom.Sender{Program: "oomd", Says: "pressure"}), manager(&oom.Sender{Program: "oomd"})},
		{"a sender's owner", codeKilledByUser, "SIGKILL from sh of a.service", sender(oom.Sender{Comm: "sh", Owner: oom.Owner{Unit: "a.service"}, Parents: parents}), sender(oom.Sender{Comm: "sh", Parents: parents})},
		{"a sender's parent", codeKilledByUser, "SIGKILL from sh, started by cron (pid 8)", sender(oom.Sender{Comm: "sh", Parents: parents}), sender(oom.Sender{Comm: "sh"})},
		{"no sender", verdict, "killed_by_user, unsure", kill(func(r *oom.Record) { r.Sender = nil }), kill()},
		{"after an OOM kill", codeKilledByUser, ", following an OOM kill", kill(func(r *oom.Record) { r.Incident = "1" }), kill()},
	}
}

// normal has a zone below ZONE_NORMAL, with such a reserve against that, of a kernel without ZONE_DMA.
func normal(reserve uint64) *oom.Record {
	return system(swap(0, 0), cmaMask, func(r *oom.Record) {
		r.Memory.FreeBytes = b(510 * mib)
		r.Memory.Zones = []oom.Zone{zone(0, "DMA32", 500*mib, 10*mib, 20*mib), zone(0, "Normal", 10*mib, 10*mib, 20*mib)}
		r.Memory.Zones[0].LowmemReserveBytes = []uint64{0, reserve, 800 * mib}
		r.Memory.Zones[1].LowmemReserveBytes = []uint64{0, 0, 700 * mib}
	})
}

func twoZones(mark size) *oom.Record {
	return system(swap(0, 0), func(r *oom.Record) {
		r.Memory.FreeBytes, r.Memory.Zones = b(2*gib), []oom.Zone{zone(0, "DMA32", gib, 20*mib, 30*mib), zone(0, "Normal", gib, 20*mib, 30*mib)}
		r.Memory.Zones[0].HighBytes = mark
	})
}

func outcomeEdges() []edge {
	sysrq := func(r *oom.Record) { r.Sysrq, r.Trigger.Order = oom.Some(true), oom.Some(int32(-1)) }
	panicked := func(on uint32) change {
		return func(r *oom.Record) {
			r.Kind, r.Panic, r.Memory.PanicOnOOM = oom.KindPanic, oom.PanicOnOOM, oom.Some(on)
		}
	}
	none := kind(oom.KindNoVictim)
	noUsage := func(r *oom.Record) { r.Limit.UsageBytes = size{} }
	listed := func(adj ...int32) change {
		return func(r *oom.Record) {
			r.Kind, r.Victim = oom.KindNoVictim, nil
			for _, a := range adj {
				r.Candidates = append(r.Candidates, oom.Candidate{OOMScoreAdj: oom.Some(a), RSSBytes: b(mib)})
			}
		}
	}
	total := func(v uint64) change { return func(r *oom.Record) { r.CandidatesTotal = oom.Some(v) } }
	exit := func(x oom.Exit) *oom.Record { return &oom.Record{Kind: oom.KindExit, Exit: &x} }
	yes := oom.Some(true)
	edit := func(f func(*oom.Record)) *oom.Record { return system(chosenOnly, f) }
	noFree := func(r *oom.Record) { r.Memory.FreeBytes = size{} }
	marks := func(scope oom.Scope) *oom.Record {
		return system(swap(0, 0), numa(scope, "0", 25*mib), func(r *oom.Record) { r.Memory.FreeBytes = b(500 * mib) })
	}
	return []edge{
		{"a child and another doubt", "", "; or a child of it that was killed: the log lacks that line or its end)", edit(func(r *oom.Record) { swap(2*gib, 300*mib)(r) }), edit(func(*oom.Record) {})},
		{"a child, in a whole log", "", "a child of it", edit(func(*oom.Record) {}), edit(func(r *oom.Record) { r.Incomplete = oom.Some(false) })},
		{"a child, live", "", "a child of it", edit(func(*oom.Record) {}), edit(func(r *oom.Record) { r.Source = oom.SourceBPF })},
		{"a child, and nobody was chosen", "", "a child of it", edit(func(*oom.Record) {}), edit(func(r *oom.Record) { r.Victim.Score = oom.Opt[int64]{} })},
		{"a child, and nothing was killed", "", "a child of it", edit(func(*oom.Record) {}), edit(kind(oom.KindAlreadyExiting))},
		{"a child, and no victim", "", "a child of it", edit(func(*oom.Record) {}), edit(func(r *oom.Record) { r.Victim = nil })},
		{"SysRq-f says what is free", "", "40 MiB of 4 GiB (1 %) is free, and no swap is configured", system(swap(0, 0), sysrq), system(swap(0, 0), sysrq, noFree)},
		{"SysRq-f, and the task was exiting", codeSysrq, "", system(sysrq), system(sysrq, kind(oom.KindAlreadyExiting))},
		{"short zones of a memory policy", "", "the nodes of the memory policy are out of memory, and no swap", nodesOut(oom.ScopeMempolicy, 20*mib), nodesOut(oom.ScopeCpuset, 20*mib)},
		{"short zones of a cpuset", "", "the nodes of the cpuset are out of memory, and no swap", nodesOut(oom.ScopeCpuset, 20*mib), nodesOut(oom.ScopeMempolicy, 20*mib)},
		{"zones of a cpuset that are not short", "", "the nodes of the cpuset are out of memory", nodesOut(oom.ScopeCpuset, 20*mib), nodesOut(oom.ScopeCpuset, 50*mib)},
		{"zones of a policy that are not short", "", "the nodes of the memory policy are out of memory", nodesOut(oom.ScopeMempolicy, 20*mib), nodesOut(oom.ScopeMempolicy, 50*mib)},
		{"free memory beside nodes that are as short", verdict, codeNodeCpuset, marks(oom.ScopeCpuset), marks(oom.ScopeMempolicy)},
		{"panic_on_oom at a limit", codePanic, "vm.panic_on_oom is 2, and that holds at a cgroup's limit too", limited(panicked(2)), limited(panicked(1))},
		{"panic_on_oom of the machine", codePanic, "vm.panic_on_oom is set", system(panicked(2)), limited(panicked(2))},
		{"panic_on_oom at a limit, and its value is not known", codePanic, "vm.panic_on_oom is set", limited(panicked(2), func(r *oom.Record) { r.Memory = nil }), limited(panicked(2))},
		{"no victim at a full limit", codeLimitAnon, "", limited(none), limited(none, noUsage)},
		{"no victim of the machine", codeSwapFull, "", system(none), limited(none)},
		{"no victim while a limit is written", codeLimitAnon, "", limited(none), limited(none, stack("memory_max_write+0x1"))},
		{"no victim at a limit that was met", "", "the cgroup's limit was met (52 MiB of 256 MiB in use by now), and the kernel found no killable process", limited(none, func(r *oom.Record) { r.Limit.UsageBytes = b(52 * mib) }), limited(none)},
		{"no victim, and what is in use is not known", "", "was met", limited(none, func(r *oom.Record) { r.Limit.UsageBytes = b(52 * mib) }), limited(none, noUsage)},
		{"each task listed is spared", codeNoVictim, "each task listed", system(listed(-1000, -1000)), system(listed(-1000, -999))},
		{"no task was weighed", codeNoVictim, ": 0 tasks weighed", system(listed(), total(0)), system(listed(), total(1))},
		{"how many were weighed is not known", codeNoVictim, ": 0 tasks weighed", system(listed(), total(0)), system(listed())},
		{"an exit after the reaper gave up", "", "; exited ", exit(oom.Exit{AfterNS: b(4.9e9), ReaperGaveUp: yes}), exit(oom.Exit{AfterNS: b(5e9), ReaperGaveUp: yes})},
		{"what the reaper left", codeExitReaped, "resident were left", exit(oom.Exit{Reaped: yes, RSSBytes: b(4 * kib)}), exit(oom.Exit{Reaped: yes})},
		{"what the reaper could not free", codeExitGaveUp, "were still resident", exit(oom.Exit{ReaperGaveUp: yes, RSSBytes: b(4 * kib)}), exit(oom.Exit{ReaperGaveUp: yes})},
		{"how many records were lost", codeLost, "3 records were lost here", &oom.Record{Kind: oom.KindLost, Lost: oom.Some(uint64(3))}, &oom.Record{Kind: oom.KindLost}},
		{"what was lost", codeLost, "3 lines of the kernel log were lost here",
			&oom.Record{Kind: oom.KindLost, Lost: oom.Some(uint64(3)), LostKind: oom.LostLogLines}, &oom.Record{Kind: oom.KindLost, Lost: oom.Some(uint64(3))}},
	}
}

// nodesOut is a log of a limited request whose nodes, and the rest, have so little free.
func nodesOut(scope oom.Scope, free uint64) *oom.Record {
	return system(fromLog, swap(0, 0), func(r *oom.Record) {
		r.Scope, r.Trigger.MemsAllowed, r.Memory.FreeBytes = scope, "0", b(50*mib)
		r.Memory.Zones = []oom.Zone{zone(0, "Normal", free, 20*mib, 30*mib)}
		r.Memory.Zones[0].ManagedBytes = b(4 * gib)
		r.Trigger.GFPMask = oom.Some(uint32(0x140dca))
	})
}

func growthEdges() []edge {
	none := swap(0, 0)
	long := func(near oom.Opt[uint64]) *oom.Record {
		return limited(history([2]uint64{100e3, 250}, [2]uint64{70e3, 250}, [2]uint64{40e3, 250}, [2]uint64{0, 250}), func(r *oom.Record) { r.History.NearLimitNS = near })
	}
	swapped := func(known bool) *oom.Record { // what grows is in swap
		return system(swap(2*gib, 0), machine([2]uint64{400e3, 2000}, [2]uint64{300e3, 2000}, [2]uint64{200e3, 2000}, [2]uint64{100e3, 2000}, [2]uint64{0, 2000}), func(r *oom.Record) {
			for i := range r.Memory.History.Points {
				p := &r.Memory.History.Points[i]
				if p.SwapFreeBytes = b(uint64(4-i) * 500 * mib); !known {
					p.SwapFreeBytes = size{}
				}
			}
		})
	}
	line := func(from, to uint64, ms ...uint64) [][2]uint64 {
		var points [][2]uint64
		for i, t := range ms {
			points = append(points, [2]uint64{t, from + (to-from)*uint64(i)/uint64(len(ms)-1)})
		}
		return points
	}
	leak := func(from, to uint64, ms ...uint64) *oom.Record { return limited(history(line(from, to, ms...)...)) }
	ofMachine := func(from, to uint64) *oom.Record {
		return system(none, machine(line(from, to, 400e3, 300e3, 200e3, 100e3, 0)...))
	}
	unknownAnon := func(r *oom.Record) { r.Memory.History.Points[1].AnonBytes = size{} }
	four := func(changes ...change) *oom.Record {
		return system(append([]change{none, machine(line(2000, 3200, 300e3, 200e3, 100e3, 0)...)}, changes...)...)
	}
	five := func(changes ...change) *oom.Record {
		return system(append([]change{none, machine(line(2000, 3200, 400e3, 300e3, 200e3, 100e3, 0)...)}, changes...)...)
	}
	saw := [][2]uint64{{400e3, 60}, {350e3, 200}, {340e3, 60}, {200e3, 220}, {190e3, 60}, {60e3, 150}, {0, 256}}
	fell := limited(history([2]uint64{1000e3, 200}, [2]uint64{900e3, 200}, [2]uint64{600e3, 10}, [2]uint64{400e3, 92}, [2]uint64{200e3, 174}, [2]uint64{0, 256}))
	start := func(onset uint64) *oom.Record {
		return limited(history([2]uint64{100e3, 10}, [2]uint64{onset, 10}, [2]uint64{onset / 2, 133}, [2]uint64{0, 256}))
	}
	steps := func(held, spread uint64) *oom.Record {
		return limited(history([2]uint64{400e3, 60}, [2]uint64{300e3, 60}, [2]uint64{299e3, 120}, [2]uint64{299e3 - held, 120 + spread}, [2]uint64{0, 256}))
	}
	together := func(held uint64) *oom.Record {
		return limited(history([2]uint64{400e3, 60}, [2]uint64{350e3, 100}, [2]uint64{349e3, 120}, [2]uint64{349e3 - held, 120}, [2]uint64{0, 256}))
	}
	burst := history([2]uint64{3600e3, 100}, [2]uint64{60e3, 100}, [2]uint64{4e3, 100}, [2]uint64{0, 256}) // in 3.6 s
	began := func(age time.Duration, edit func(*oom.Record)) *oom.Record {
		return limited(burst, grower(age, 100*mib), func(r *oom.Record) {
			if edit != nil {
				edit(r)
			}
		})
	}
	// slows grows by 100 MiB in so many ms, and by the last 12 MiB in 90 s.
	slows := func(ms uint64) *oom.Record {
		return limited(history([2]uint64{90e3 + ms, 143}, [2]uint64{90e3 + ms/2, 193}, [2]uint64{90e3, 244}, [2]uint64{60e3, 248}, [2]uint64{30e3, 252}, [2]uint64{0, 256}))
	}
	pauses := func(ms uint64) *oom.Record { // the same, with all of it in the last two thirds of that
		return limited(history([2]uint64{90e3 + ms, 143}, [2]uint64{90e3 + ms/2, 193}, [2]uint64{90e3, 244}, [2]uint64{60e3, 244}, [2]uint64{30e3, 250}, [2]uint64{0, 256}))
	}
	flat := func(v uint64) *oom.Record {
		return limited(history([2]uint64{400e3, v}, [2]uint64{300e3, v}, [2]uint64{200e3, v}, [2]uint64{0, v}))
	}
	return []edge{
		{"how long it was near the limit", codeFullForLong, "for 58 min", long(b(3500e9)), long(size{})},
		{"less than the points say", codeFullForLong, "for 1 min 40 s", long(b(1e9)), long(b(3600e9))},
		{"95 % of the limit", codeFullForLong, "for 6 min 40 s", flat(244), flat(243)},
		{"below 35 % of the fastest growth", codeFullForLong, "for 1 min 32 s", slows(265e3), slows(267e3)},
		{"in the last two thirds of that time", codeFullForLong, "for 1 min 32 s", pauses(265e3), pauses(267e3)},
		{"what grew is in swap", codeGrewLeak, "grew steadily from 2 GiB to 4 GiB, +5 MiB/s for 6 min 40 s", swapped(true), swapped(false)},
		{"what is in swap of how much is not known", codeGrewLeak, "", swapped(true), system(machine([2]uint64{400e3, 2000}), func(r *oom.Record) {
			*r = *swapped(true)
			r.Memory.SwapTotalBytes = size{}
		})},
		{"three points are no shape", codeGrewLeak, "", four(), four(unknownAnon)},
		{"a point of no known size is left out", codeGrewLeak, "for 6 min 40 s, a leak", five(unknownAnon), four(unknownAnon)},
		{"points in any order", codeGrewLeak, "grew steadily from 100 MiB to 200 MiB", backwards(leak(100, 200, 400e3, 300e3, 200e3, 100e3, 0)), leak(100, 101, 400e3, 300e3, 200e3, 100e3, 0)},
		{"full, and when the limit was lowered is not known", codeFullForLong, "", sinceLowered(long(b(3500e9)), size{}), sinceLowered(long(b(3500e9)), b(30e9))},
		{"a growth of 5 %", codeGrewLeak, "", ofMachine(950, 1000), ofMachine(951, 1000)},
		{"to 95 % of the limit", codeGrewLeak, "from 100 MiB to the limit", leak(100, 244, 400e3, 300e3, 200e3, 100e3, 0), leak(100, 243, 400e3, 300e3, 200e3, 100e3, 0)},
		{"the machine has no limit", codeGrewSawtooth, "; the last rise met the end", system(none, machine(saw...)), limited(history(saw...))},
		{"a limit is met", codeGrewSawtooth, "rose and fell between 60 MiB and 256 MiB for 6 min 40 s; the last rise met the limit", limited(history(saw...)), system(none, machine(saw...))},
		{"a start after a fall", codeGrewNew, "in 10 min, all that is recorded since it fell", fell, start(100e3)},
		{"a start", codeGrewNew, "all that is recorded: a start", start(100e3), fell},
		{"80 % of what is recorded", codeGrewNew, "", start(80e3), start(79e3)},
		{"1 MiB in a second", codeGrewLeak, ", +1 MiB/s for 2 min, a leak", leak(136, 256, 120e3, 80e3, 40e3, 0), leak(136, 256, 120300, 80200, 40100, 0)},
		{"less in a second", codeGrewLeak, ", +59 MiB/min for 2 min", leak(136, 256, 121500, 81e3, 40500, 0), leak(136, 256, 120e3, 80e3, 40e3, 0)},
		{"1 MiB in a minute", codeGrewLeak, ", +1 MiB/min for 2 h, a leak", leak(136, 256, 7200e3, 4800e3, 2400e3, 0), leak(136, 256, 7500e3, 5000e3, 2500e3, 0)},
		{"less in a minute", codeGrewLeak, ", +58 MiB/h for", leak(136, 256, 7500e3, 5000e3, 2500e3, 0), leak(136, 256, 7200e3, 4800e3, 2400e3, 0)},
		{"a level is held for 6 % of the time", codeGrewSteps, "", steps(24e3, 0), steps(23900, 0)},
		{"within 4 % of the growth", codeGrewSteps, "", steps(60e3, 7), steps(60e3, 8)},
		{"all levels for a tenth", codeGrewSteps, "", together(40e3), together(39900)},
		{"a burst in words", codeGrewBurst, "grew from 100 MiB to the limit in 3.6 s, a burst: the 1 h before it was flat at 100 MiB to 100 MiB", limited(burst), start(100e3)},
		{"a process that began in a burst", codeGrewNew, "pip3 (pid 4730), which has exited, charged 100 MiB; it had started 6.4 s before", began(6399*time.Millisecond, nil), began(6401*time.Millisecond, nil)},
		{"it lives", codeGrewNew, "pip3 (pid 4730) charged", began(time.Second, func(r *oom.Record) { r.History.Growers[0].Exited = oom.Opt[bool]{} }), began(time.Second, nil)},
		{"it began after the kill", codeGrewNew, "", began(0, nil), began(-1, nil)},
		{"when it began is not known", codeGrewNew, "", began(time.Second, nil), began(time.Second, func(r *oom.Record) { r.History.Growers[0].StartTime = time.Time{} })},
		{"when the kill was is not known", codeGrewNew, "", began(time.Second, nil), began(time.Second, func(r *oom.Record) { r.Time = time.Time{} })},
		{"a start, and who charged it", codeGrewNew, " charged ", began(time.Second, nil), limited(history([2]uint64{200e3, 2}, [2]uint64{150e3, 64}, [2]uint64{100e3, 128}, [2]uint64{50e3, 192}, [2]uint64{0, 256}), grower(time.Second, 200*mib))},
		{"a machine's kill names no process", codeGrewNew, "", began(time.Second, nil), system(none, machine([2]uint64{3600e3, 1000}, [2]uint64{60e3, 1000}, [2]uint64{4e3, 1000}, [2]uint64{0, 2560}), history([2]uint64{0, 1}), grower(time.Second, 2000*mib))},
	}
}

func backwards(rec *oom.Record) *oom.Record {
	slices.Reverse(rec.History.Points)
	return rec
}

func sinceLowered(rec *oom.Record, ago size) *oom.Record {
	rec.Limit.Changed = &oom.LimitChange{FromBytes: b(512 * mib), ToBytes: b(256 * mib), AgoNS: ago}
	return rec
}

// TestRoom: what does not fit into a summary is left to the reasons, and what follows it and
// fits is not.
func TestRoom(t *testing.T) {
	w := Of(system(swap(0, 0), stat(oom.StatShmem, gib), stat("unstable_bytes", 600*mib), stat(oom.StatInactiveFile, 600*mib), stat(oom.StatReserved, 12*gib)))
	const reserved, holder = "is not for use", "this process holds 3 GiB of 4 GiB"
	if len(w.Summary) > 300 || strings.Contains(w.Summary, reserved) || !strings.Contains(told(w, codeMemoryBalloon), reserved) || !strings.Contains(w.Summary, holder) {
		t.Errorf("%d bytes: %+v", len(w.Summary), w)
	}
}

// TestExplain: the explanation is set in the record.
func TestExplain(t *testing.T) {
	rec := limited()
	if Explain(rec); rec.Why == nil || rec.Why.Verdict != codeLimitAnon {
		t.Errorf("got %+v", rec.Why)
	}
}

// TestUnits holds sizes, times and names as a reader sees them.
func TestUnits(t *testing.T) {
	for ns, want := range map[uint64]string{
		0: "0 µs", 999_499: "999 µs", 1e6: "1 ms", 999_499_999: "999 ms", 999_999_999: "999 ms", 1e9: "1 s", 59_949_999_999: "59.9 s", 59_999_999_999: "59.9 s",
		60e9: "1 min", 599_499_999_999: "9 min 59 s", 600e9: "10 min", 3569e9: "59 min", 3570e9: "1 h", 47*3600e9 + 3540e9: "47 h 59 min", 48 * 3600e9: "2 d", 1<<64 - 1: "106751 d 23 h",
	} {
		w := Of(&oom.Record{Kind: oom.KindExit, Exit: &oom.Exit{AfterNS: b(ns)}})
		if got := reasonText(w, codeExitGone); got != "exited "+want+" after the kill" {
			t.Errorf("%d: %q, want %s", ns, got, want)
		}
	}
	for bytes, want := range map[uint64]string{
		1023: "1023 B", 1024: "1 KiB", 1025: "1 KiB", 9*kib + 900: "9.9 KiB", 9*kib + 1000: "10 KiB", 10*kib + 513: "11 KiB", 1023 * kib: "1023 KiB", 1023*kib + 511: "1023 KiB", 1023*kib + 512: "1 MiB",
		3 << 29: "1.5 GiB", 5 << 40: "5 TiB", 3 << 50: "3 PiB", 1<<60 - 1: "1 EiB", 1<<64 - 1: "16 EiB",
	} {
		w := Of(&oom.Record{Kind: oom.KindExit, Exit: &oom.Exit{ReaperGaveUp: oom.Some(true), RSSBytes: b(bytes)}})
		if got := reasonText(w, codeExitGaveUp); got != "the OOM reaper could not free its memory; "+want+" were still resident" {
			t.Errorf("%d: %q, want %s", bytes, got, want)
		}
	}
	pid := func(v int32) oom.Opt[int32] { return oom.Some(v) }
	long := strings.Repeat("a", 48)
	for _, s := range []struct {
		pid        oom.Opt[int32]
		comm, want string
	}{
		{pid(7), "AZaz09._-/@:+", "AZaz09._-/@:+ (pid 7)"}, {oom.Opt[int32]{}, "sh", "sh"}, {pid(7), "", "pid 7"}, {oom.Opt[int32]{}, "", "a process"},
		{pid(7), "a[", `"a[" (pid 7)`}, {pid(7), "a`", "\"a`\" (pid 7)"}, {pid(7), "a{", `"a{" (pid 7)`}, {pid(7), "a;", `"a;" (pid 7)`},
		{pid(7), long, long + " (pid 7)"}, {pid(7), long + "a", long[1:] + "… (pid 7)"},
		{pid(7), strings.Repeat("a", 34) + strings.Repeat("\n", 14), `"` + strings.Repeat("a", 34) + strings.Repeat(`\n`, 14) + `" (pid 7)`},
		{pid(7), strings.Repeat("a", 33) + strings.Repeat("\n", 15), `"` + strings.Repeat("a", 33) + strings.Repeat(`\n`, 13) + `…" (pid 7)`},
	} {
		w := Of(&oom.Record{Kind: oom.KindSigkill, Cause: oom.CauseUser, Sender: &oom.Sender{PID: s.pid, Comm: s.comm}})
		if got := reasonText(w, codeKilledByUser); got != "SIGKILL from "+s.want {
			t.Errorf("%q: %q, want %s", s.comm, got, s.want)
		}
	}
}
