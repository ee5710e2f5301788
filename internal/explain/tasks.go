package explain

import (
	"slices"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// A fork bomb is distinguished from a busy machine by arithmetic: at least manyTasks of
// them, none above 1/32 of the memory, and yet together they hold half of it, and
// half of it is anonymous: what tasks share counts for each of them. Of one name or
// one cgroup, groupTasks of them do, none above 1/16. Bigger tasks beside them are
// taken off; the sum decides, not which is the biggest, if it is twice theirs.
const (
	manyTasks  = 64
	groupTasks = 16
)

// taskSizes are those of the tasks listed that are no bigger than a share of the
// memory; alike have the commonest name or cgroup among them.
type taskSizes struct {
	n, biggest, smallest, listed, alike uint64
	big, bigSum, bigAnon                uint64
}

func sizeTasks(tasks []oom.Candidate, most uint64) (t taskSizes, ok bool) {
	t.smallest = ^uint64(0)
	names, groups := map[string]uint64{}, map[string]uint64{}
	for i := range tasks {
		c := &tasks[i]
		s := taskSize(c.RSSBytes, c.SwapBytes, c.PgtablesBytes)
		switch {
		case !s.Known:
			return t, false
		case s.Value >= most:
			t.big, t.bigSum, t.bigAnon = t.big+1, add(t.bigSum, s.Value), add(t.bigAnon, c.AnonRSSBytes.Or(c.RSSBytes.Value))
			continue
		}
		t.n, t.biggest, t.smallest, t.listed = t.n+1, max(t.biggest, s.Value), min(t.smallest, s.Value), add(t.listed, s.Value)
		if c.Comm != "" {
			names[c.Comm]++
			t.alike = max(t.alike, names[c.Comm])
		}
		if c.Cgroup != "" && c.Cgroup != "/" {
			groups[c.Cgroup]++
			t.alike = max(t.alike, groups[c.Cgroup])
		}
	}
	return t, t.n > 0
}

func (e *explanation) manyTasks(whole, kernel, anonymous size) {
	total, ok := e.rec.CandidatesTotal.Get()
	if !whole.Known || !ok || total < groupTasks {
		return
	}
	t, ok := sizeTasks(e.rec.Candidates, (whole.Value+31)/32)
	if !ok || sub(total, t.big) < manyTasks || !e.tasksHold(t, total, whole.Value) {
		// Three in four of those listed are alike, and the rest is not listed since it
		// is smaller.
		t, ok = sizeTasks(e.rec.Candidates, (whole.Value+15)/16)
		alike := t.n >= min(groupTasks, 8) && ratio(t.alike, t.n, 3, 4)
		if !ok || !alike || sub(total, t.big) < groupTasks || !e.tasksHold(t, total, whole.Value) {
			return
		}
	}
	small := sub(total, t.big)
	if anonymous.Known && (!ratio(anonymous.Value, whole.Value, 1, 2) || !ratio(sub(anonymous.Value, t.bigAnon), whole.Value, 1, 3)) {
		return
	}
	// Kernel memory comes with every task: 16 KiB of stack, the page tables, its
	// objects in slab. Much beyond 256 KiB a task it is the kernel that holds it.
	if ratio(kernel.Value, whole.Value, 2, 5) && kernel.Value/small > 256<<10 {
		return
	}
	text := sprintf("%d tasks, the biggest of them %s", small, partText(t.biggest, whole.Value))
	if e.rec.CandidatesBytes.Known {
		text += "; together they hold " + sizeText(e.tasksSum(t, total)) + e.sumNote(e.tasksSum(t, total), whole.Value)
	}
	lead := e.shortage() + ": many small tasks hold it, " + text
	if e.cgroup {
		lead = sprintf("%s%s by many small tasks (%d)", e.limitUsedUp(), when(e.givenBack(), ", held"), small)
	}
	doubt := ""
	switch {
	case !e.rec.CandidatesBytes.Known:
		doubt = "something else: the record does not hold the tasks' sum"
	case !anonymous.Known:
		doubt = "memory that they share, counted for each of them"
	case t.alike*2 < t.n:
		doubt = "ordinary tasks that add up: they have different names"
	}
	e.add(finding{code: codeManyTasks, text: text, lead: lead, doubt: doubt, settles: true})
}

// tasksSum is what the small tasks hold together. Where the sum of all is not known:
// the candidates are the worst of all, so that one that is not listed counts at most
// as big as the smallest that is.
func (e *explanation) tasksSum(t taskSizes, total uint64) uint64 {
	if e.rec.CandidatesBytes.Known {
		return sub(e.rec.CandidatesBytes.Value, t.bigSum)
	}
	return add(t.listed, mul(sub(total, t.n+t.big), t.smallest))
}

func (e *explanation) tasksHold(t taskSizes, total, whole uint64) bool {
	sum := e.tasksSum(t, total)
	return ratio(sum, whole, 1, 2) && t.bigSum <= sum/2
}

// holding is who holds memory: an owner, a sum of tasks, or one task.
type holding struct {
	who   string
	bytes uint64
	words string // what else is known of it
	// victim: it is the victim alone.
	victim bool
}

// holder names who holds the most of the memory, from a quarter of it on.
func (e *explanation) holder() {
	whole := e.whole()
	if !whole.Known {
		return
	}
	best := e.biggestTask()
	if h := e.biggestOwner(); h.bytes > 0 && e.cgroup && (h.victim || h.bytes > whole.Value) {
		return // the verdict names the victim; and no more than the limit is charged
	} else if h.bytes > 0 && !h.victim {
		if !e.rowsLost() || h.bytes >= best.bytes { // a log that is cut may lack the victim's row
			best = h
		}
	} else if g := e.biggestGroup(); g.bytes > best.bytes {
		best = g
	}
	if !ratio(best.bytes, whole.Value, 1, 4) || e.nodes.Known && exceeds(best.bytes, whole.Value) {
		return
	}
	text := sprintf("%s %s of %s%s", best.who, sizeText(best.bytes), sizeText(whole.Value), best.words)
	if e.nodes.Known && !e.cgroup { // some of it may be on others
		text = sprintf("%s %s%s; the allowed nodes have %s", best.who, sizeText(best.bytes), best.words, sizeText(whole.Value))
	}
	f := finding{code: codeHolder, text: text, aside: text}
	switch e.cause() {
	case codeNodeCpuset, codeNodeMempolicy:
		f.aside = when(e.nodes.Known, text) // of the machine it is not why
	case codeNotShort, codeMemoryFragments, codeNodeZone:
		f.aside = ""
	}
	e.add(f)
}

const sharedForEach = ", what they share counted for each"

// sumNote explains a sum of tasks that is more than the memory.
func (e *explanation) sumNote(sum, whole uint64) string {
	switch {
	case sum > add(whole, e.swapped()):
		return sharedForEach
	case sum > whole:
		return " in memory and swap"
	}
	return ""
}

// swapped is what is in swap, of the machine or of the cgroup at its limit.
func (e *explanation) swapped() uint64 {
	if e.cgroup {
		return e.limitSwapped()
	}
	return sub(e.swapTotal.Value, e.swapFree.Value)
}

// biggestOwner is the first of the record's holders.
func (e *explanation) biggestOwner() holding {
	if len(e.rec.Holders) == 0 || !e.rec.Holders[0].UsageBytes.Known {
		return holding{}
	}
	h, twice, listed := &e.rec.Holders[0], uint64(0), uint64(0)
	for i := range e.rec.Holders { // the first one may have more in swap
		o := &e.rec.Holders[i]
		t, n := e.countedTwice(o)
		if i == 0 || sub(o.UsageBytes.Value, t) > sub(h.UsageBytes.Value, twice) {
			h, twice, listed = o, t, n
		}
	}
	out := holding{who: ownerName(h) + " holds", bytes: sub(h.UsageBytes.Value, twice)}
	if h.Comm != "" && h.Tasks.Known {
		out.who = sprintf("%d tasks named %s hold", h.Tasks.Value, name(h.Comm))
		sum, one := max(h.UsageBytes.Value, sub(e.rec.CandidatesBytes.Value, e.swapped())), e.nearlyAlone(h)
		switch {
		case h.Tasks.Value == 1:
			out.who = name(h.Comm) + " holds"
			out.victim = e.victim.Comm == h.Comm
		case one != nil:
			out.who, out.bytes = process(one.PID, one.Comm)+" holds", one.RSSBytes.Value
			out.victim = one.PID.Known && one.PID == e.victim.PID
		case twice > 0 && listed == h.Tasks.Value:
			out.words = ", what they share counted once"
		case twice > 0:
			out.who += " at most"
		case sum > e.whole().Value: // so much is shared that all tasks together hold more than there is
			out.words = sharedForEach
		}
	} else if h.Tasks.Value > 1 {
		out.words += sprintf(" in %d tasks", h.Tasks.Value)
	}
	if h.RequestBytes.Known {
		out.words += " (requested " + sizeText(h.RequestBytes.Value) + ")"
	}
	if grew, span := h.GrewBytes.Value, orEmpty(e.memory.History).SpanNS.Value; grew > 0 && span > 0 && ratio(uint64(grew), h.UsageBytes.Value, 1, 20) {
		out.words += sprintf(", %s for %s", rateText(float64(grew)/(float64(span)/1e9)), spanText(span))
		if leak := e.get(codeGrewLeak); leak != nil {
			out.words += ", a leak"
			leak.aside = ""
		}
	}
	return out
}

// nearlyAlone is the task that has nine tenths of what those of its name hold, if one has.
func (e *explanation) nearlyAlone(h *oom.Holder) *oom.Candidate {
	i := slices.IndexFunc(e.rec.Candidates, func(c oom.Candidate) bool {
		return c.Comm == h.Comm && ratio(c.RSSBytes.Value, h.UsageBytes.Value, 9, 10)
	})
	if i < 0 {
		return nil
	}
	return &e.rec.Candidates[i]
}

// countedTwice is what the tasks of a name count of shared memory beyond all that there is, as far
// as they are listed: each counts what it maps of it. The kernel's log has the column from 6.8 on.
func (e *explanation) countedTwice(h *oom.Holder) (bytes, listed uint64) {
	shmem := e.sysShmem
	if e.cgroup {
		shmem = e.shmem
	}
	if h.Comm == "" || !shmem.Known {
		return 0, 0
	}
	for i := range e.rec.Candidates {
		if c := &e.rec.Candidates[i]; c.Comm == h.Comm && c.ShmemRSSBytes.Known {
			bytes, listed = add(bytes, c.ShmemRSSBytes.Value), listed+1
		}
	}
	return sub(bytes, shmem.Value), listed
}

func ownerName(h *oom.Holder) string {
	switch {
	case h.Pod != nil && h.Pod.Name != "":
		if h.Pod.Namespace != "" {
			return name(h.Pod.Namespace + "/" + h.Pod.Name)
		}
		return name(h.Pod.Name)
	case h.Container != nil && h.Container.Name != "":
		return name(h.Container.Name)
	case h.Unit != "":
		return name(h.Unit)
	case h.Cgroup != "":
		return name(h.Cgroup)
	}
	return name(h.Comm)
}

// biggestTask is the biggest of the victim and the candidates, and why it lives on.
func (e *explanation) biggestTask() (best holding) {
	v, whole := e.victim, e.whole().Value
	if e.rec.Victim != nil && !e.cgroup && !exceeds(v.RSSBytes.Value, whole) { // a limit's verdict names the victim
		best = holding{who: "this process holds", bytes: v.RSSBytes.Value}
	}
	for i := range e.rec.Candidates {
		c := &e.rec.Candidates[i]
		if e.rec.Victim != nil && c.PID.Known && c.PID == v.PID || c.RSSBytes.Value <= best.bytes || exceeds(c.RSSBytes.Value, whole) {
			continue
		}
		best = holding{who: process(c.PID, c.Comm) + " holds", bytes: c.RSSBytes.Value}
		if adj, ok := c.OOMScoreAdj.Get(); ok && adj < 0 {
			best.words = sprintf(" and was spared (oom_score_adj %d)", adj)
		}
	}
	return best
}

// biggestGroup sums the candidates up by cgroup or, where one is not known, by name:
// their anonymous memory, since what they share would count for each of them. They are
// not all tasks, so that a sum is the least that the group holds.
func (e *explanation) biggestGroup() (best holding) {
	by, byCgroup := "named", !slices.ContainsFunc(e.rec.Candidates, func(c oom.Candidate) bool { return c.Cgroup == "" })
	if byCgroup {
		by = "of"
	}
	type group struct{ bytes, n, most uint64 }
	groups := map[string]group{}
	for i := range e.rec.Candidates {
		c := &e.rec.Candidates[i]
		key := c.Comm
		if byCgroup {
			key = c.Cgroup
		}
		if key == "" || key == "/" {
			continue
		}
		g, own := groups[key], c.AnonRSSBytes.Or(c.RSSBytes.Value)
		g = group{add(g.bytes, own), g.n + 1, max(g.most, own)}
		groups[key] = g
		alone := !byCgroup && ratio(g.most, g.bytes, 9, 10) // see nearlyAlone
		// Equal sums go by name, so that the same record gives the same words.
		if g.n > 1 && !alone && (g.bytes > best.bytes || g.bytes == best.bytes && name(key) < best.words) {
			best = holding{bytes: g.bytes, words: name(key)}
		}
	}
	if best.bytes == 0 {
		return best
	}
	least := when(e.rec.CandidatesTotal.Value != uint64(len(e.rec.Candidates)), " at least")
	best.who = sprintf("the tasks %s %s hold%s", by, best.words, least)
	best.words = when(best.bytes > e.whole().Value, sharedForEach)
	return best
}

// protected: reclaim takes nothing of what memory.min protects, and of what memory.low
// protects only once nothing else is left (mm/vmscan.c, memcg_low_reclaim): the cgroups
// below the level that ran out of memory, or one on the victim's way up.
func (e *explanation) protected(whole size) {
	levels := e.victim.CgroupLimits
	if i := slices.IndexFunc(levels, func(c oom.CgroupLimit) bool { return e.isLimit(&c) }); i >= 0 {
		levels = levels[:i+1]
	}
	for _, c := range slices.Backward(levels) {
		least, low, whose := min(c.MinBytes.Value, c.UsageBytes.Value), min(c.LowBytes.Value, c.UsageBytes.Value), "of the victim's cgroups"
		if e.isLimit(&c) || !e.cgroup && c.Cgroup == "/" {
			least, low, whose = c.ChildrenMinBytes.Value, c.ChildrenLowBytes.Value, "in cgroups"
		}
		text := ""
		switch {
		case ratio(least, whole.Value, 1, 4):
			e.minKept = least
			text = sprintf("memory.min keeps %s %s from reclaim", partText(least, whole.Value), whose)
		case ratio(low, whole.Value, 1, 4):
			text = sprintf("memory.low keeps %s %s from reclaim while other memory can be had", partText(low, whole.Value), whose)
		default:
			continue
		}
		e.add(finding{code: codeMemoryProtected, text: text, aside: text})
		return
	}
}
